//! Buckets: their directory, and what happens to a bucket's requests when it is
//! deleted beside them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::Error;
use costrel_core::bucket::ListBuckets;
use costrel_core::list::ListObjects;
use costrel_core::names::BucketName;
use costrel_core::upload::ListUploads;

use crate::common::{LARGE, OWNER, SMALL, World, body};

crate::on_every_engine!(
    made_found_and_deleted,
    only_empty_buckets_are_deleted,
    lists_page_and_filter,
    a_new_bucket_of_the_name_is_another,
    deletion_beside_writers,
    creation_beside_deletion,
);

fn name(text: &str) -> BucketName {
    BucketName::new(text).unwrap()
}

async fn made_found_and_deleted(world: &World) {
    assert!(matches!(world.store.bucket("one").await, Err(Error::NoSuchBucket)));
    assert!(matches!(world.store.bucket("NOT A NAME").await, Err(Error::NoSuchBucket)));
    let made = world.store.create_bucket(name("one"), OWNER, Some("ap-x")).await.unwrap();
    let found = world.store.bucket("one").await.unwrap();
    assert!(Arc::ptr_eq(&made, &found));
    assert_eq!((found.region.as_str(), found.owner_uin), ("ap-x", OWNER));
    let again = world.store.create_bucket(name("one"), OWNER, None).await;
    assert!(matches!(again, Err(Error::BucketAlreadyOwnedByYou)));
    let other = world.store.create_bucket(name("one"), OWNER + 1, None).await;
    assert!(matches!(other, Err(Error::BucketAlreadyExists)));
    world.store.delete_bucket(&found).await.unwrap();
    assert!(matches!(world.store.bucket("one").await, Err(Error::NoSuchBucket)));
    assert!(matches!(world.store.delete_bucket(&found).await, Err(Error::NoSuchBucket)));
    assert!(matches!(world.put(&found, "k", body(1, SMALL)).await, Err(Error::NoSuchBucket)));
    assert!(matches!(world.put(&found, "k", body(1, LARGE)).await, Err(Error::NoSuchBucket)));
    assert!(matches!(world.initiate(&found, "k").await, Err(Error::NoSuchBucket)));
    assert_eq!(world.settle().await.buckets, 0);
    assert!(world.engine.index().partitions().await.unwrap().is_empty());
}

async fn only_empty_buckets_are_deleted(world: &World) {
    let bucket = world.bucket("full").await;
    world.put(&bucket, "k", body(1, LARGE)).await.unwrap();
    assert!(matches!(world.store.delete_bucket(&bucket).await, Err(Error::BucketNotEmpty)));
    world.delete(&bucket, "k").await.unwrap();
    let upload = world.initiate(&bucket, "k").await.unwrap();
    world.part(&bucket, "k", upload, 1, body(1, LARGE)).await.unwrap();
    assert!(matches!(world.store.delete_bucket(&bucket).await, Err(Error::BucketNotEmpty)));
    assert!(world.store.bucket("full").await.is_ok());
    world.abort(&bucket, "k", upload).await.unwrap();
    // What waits for the collector does not keep a bucket.
    world.store.delete_bucket(&bucket).await.unwrap();

    // Uploads end with it if whoever deletes it says so, unless there is more.
    let bucket = world.bucket("uploads").await;
    world.put(&bucket, "k", body(1, LARGE)).await.unwrap();
    for n in 0..1003 {
        let key = format!("key-{}", n % 1001);
        let upload = world.initiate(&bucket, &key).await.unwrap();
        if n % 500 == 0 {
            world.part(&bucket, &key, upload, 1, body(1, LARGE)).await.unwrap();
        }
    }
    let kept = world.store.delete_bucket_and_uploads(&bucket).await;
    assert!(matches!(kept, Err(Error::BucketNotEmpty)));
    let all = ListUploads { max: 2000, ..ListUploads::default() };
    assert_eq!(world.store.list_uploads(&bucket, &all).await.unwrap().entries.len(), 1003);
    world.delete(&bucket, "k").await.unwrap();
    world.store.delete_bucket_and_uploads(&bucket).await.unwrap();
    let gone = world.store.delete_bucket_and_uploads(&bucket).await;
    assert!(matches!(gone, Err(Error::NoSuchBucket)));
    let report = world.settle().await;
    assert_eq!((report.buckets, report.blobs), (0, 0));
}

async fn lists_page_and_filter(world: &World) {
    let names = ["aaa", "aab", "abc", "b-one", "b-two", "ccc"];
    for (number, bucket) in names.iter().enumerate() {
        let region = if number % 2 == 0 { "even" } else { "odd" };
        world.store.create_bucket(name(bucket), OWNER, Some(region)).await.unwrap();
    }
    world.store.create_bucket(name("aaz"), OWNER + 1, None).await.unwrap();
    let list = async |prefix: &str, region: Option<&str>, max: usize| {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let request = ListBuckets {
                owner_uin: OWNER,
                prefix: prefix.into(),
                region: region.map(str::to_owned),
                after,
                max,
            };
            let page = world.store.list_buckets(&request).await.unwrap();
            assert!(page.buckets.len() <= max);
            seen.extend(page.buckets.iter().map(|bucket| bucket.name.to_string()));
            match page.next {
                Some(next) => after = next,
                None => return seen,
            }
        }
    };
    for max in [1, 2, 3, 5, 6, 7, 1000] {
        assert_eq!(list("", None, max).await, names);
        assert_eq!(list("a", None, max).await, ["aaa", "aab", "abc"]);
        assert_eq!(list("b-", None, max).await, ["b-one", "b-two"]);
        assert_eq!(list("zzz", None, max).await, [""; 0]);
        assert_eq!(list("", Some("odd"), max).await, ["aab", "b-one", "ccc"]);
    }
    let none = ListBuckets { owner_uin: OWNER, max: 0, ..Default::default() };
    assert!(world.store.list_buckets(&none).await.unwrap().next.is_none());
}

async fn a_new_bucket_of_the_name_is_another(world: &World) {
    let first = world.bucket("again").await;
    world.put(&first, "k", body(1, LARGE)).await.unwrap();
    world.delete(&first, "k").await.unwrap();
    world.store.delete_bucket(&first).await.unwrap();
    let second = world.bucket("again").await;
    assert_ne!(first.id, second.id);
    // A request that still holds the first neither sees nor removes the second.
    assert!(matches!(world.put(&first, "k", body(1, SMALL)).await, Err(Error::NoSuchBucket)));
    world.put(&second, "k", body(2, SMALL)).await.unwrap();
    assert!(matches!(world.store.delete_bucket(&first).await, Err(Error::NoSuchBucket)));
    assert!(Arc::ptr_eq(&world.store.bucket("again").await.unwrap(), &second));
    assert_eq!(world.get(&second, "k").await.unwrap(), body(2, SMALL));
}

async fn deletion_beside_writers(world: &World) {
    for round in 0..20 {
        let bucket = world.bucket("busy").await;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writers = (0..4).map(|writer| {
            let (bucket, acknowledged) = (bucket.clone(), acknowledged.clone());
            async move {
                for number in 0..6u64 {
                    let at = format!("{writer}-{number}");
                    let len = if number % 2 == 0 { SMALL } else { LARGE };
                    match world.put(&bucket, &at, body(number, len)).await {
                        Ok(_) => acknowledged.fetch_add(1, Ordering::SeqCst),
                        Err(Error::NoSuchBucket) => return,
                        Err(error) => panic!("{error}"),
                    };
                    tokio::task::yield_now().await;
                }
            }
        });
        let deleter = async {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            world.store.delete_bucket(&bucket).await
        };
        let (_, deleted) =
            futures_util::future::join(futures_util::future::join_all(writers), deleter).await;
        let list = ListObjects { max: 1000, ..Default::default() };
        let listed = world.store.list_objects(&bucket, &list).await.unwrap().entries.len() as u64;
        match deleted {
            // Nobody was told that something was stored in a bucket that is gone.
            Ok(()) => {
                assert_eq!(acknowledged.load(Ordering::SeqCst), 0);
                assert!(matches!(world.store.bucket("busy").await, Err(Error::NoSuchBucket)));
            }
            Err(Error::BucketNotEmpty) => {
                assert_eq!(listed, acknowledged.load(Ordering::SeqCst));
                for writer in 0..4 {
                    for number in 0..6 {
                        world.delete(&bucket, &format!("{writer}-{number}")).await.unwrap();
                    }
                }
                world.store.delete_bucket(&bucket).await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        let report = world.settle().await;
        assert_eq!((report.buckets, report.blobs), (0, 0));
    }
}

async fn creation_beside_deletion(world: &World) {
    for _ in 0..20 {
        let racers = (0..6).map(|racer| async move {
            let mut made = 0i64;
            for _ in 0..4 {
                if racer % 2 == 0 {
                    match world.store.create_bucket(name("contended"), OWNER, None).await {
                        Ok(_) => made += 1,
                        Err(Error::BucketAlreadyOwnedByYou) => {}
                        Err(error) => panic!("{error}"),
                    }
                } else if let Ok(bucket) = world.store.bucket("contended").await {
                    match world.store.delete_bucket(&bucket).await {
                        Ok(()) => made -= 1,
                        Err(Error::NoSuchBucket) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            made
        });
        let made: i64 = futures_util::future::join_all(racers).await.into_iter().sum();
        // Every creation but the last of a chain was undone by one deletion.
        let left = world.store.bucket("contended").await;
        assert_eq!(made, i64::from(left.is_ok()), "{left:?}");
        let report = world.settle().await;
        assert_eq!(report.buckets as i64, made);
        let names: BTreeSet<String> = world
            .store
            .list_buckets(&ListBuckets { owner_uin: OWNER, max: 10, ..Default::default() })
            .await
            .unwrap()
            .buckets
            .into_iter()
            .map(|bucket| bucket.name.to_string())
            .collect();
        assert_eq!(names.len() as i64, made);
        if let Ok(bucket) = left {
            world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
            world.delete(&bucket, "k").await.unwrap();
            world.store.delete_bucket(&bucket).await.unwrap();
        }
    }
}
