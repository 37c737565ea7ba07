//! Clients that go away: the future of a request is dropped at every point at
//! which it can wait. Afterwards all of it has happened or nothing, and nothing
//! is left that the collector does not free.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::names::BucketName;
use costrel_core::object::{CopyRequest, CopySource, PutRequest};
use costrel_core::record::Metadata;
use costrel_core::version::Versioning;

use crate::common::faulty::{Faulty, Manner};
use crate::common::{
    LARGE, OWNER, Pieces, SMALL, World, body, complete_request, key, part_request, put_request,
};

/// Polls a future so many times, with time for other tasks in between, and drops
/// it. The result, if there was one by then.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => return Some(result),
            Poll::Pending => breathe().await,
        }
    }
    None
}

async fn breathe() {
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_micros(50)).await;
}

fn memory() -> World {
    let manner = Manner { torn: false, lingering: true };
    World::over(Faulty::with(World::memory().engine, manner))
}

/// Tasks that outlive their client come to their end; the collector looks before
/// and after.
async fn rest(world: &World) {
    world.collector.sweep().await.unwrap();
    let handle = tokio::runtime::Handle::current();
    for _ in 0..2000 {
        breathe().await;
        if handle.metrics().num_alive_tasks() == 0 {
            break;
        }
    }
    world.settle().await;
}

/// Runs until the future is ready before it is dropped, once with each number of
/// polls. After each the check must find nothing.
async fn at_every_point<T>(
    world: &World,
    points_min: usize,
    mut run: impl AsyncFnMut(usize) -> Option<T>,
) {
    for times in 0.. {
        let done = run(times).await.is_some();
        rest(world).await;
        if done {
            assert!(times >= points_min, "only {times} points");
            return;
        }
    }
}

async fn put_at_every_point(world: &World, len: usize, points_min: usize) {
    let bucket = world.bucket("puts").await;
    let mut before = body(0, SMALL);
    world.put(&bucket, "k", before.clone()).await.unwrap();
    at_every_point(world, points_min, async |times| {
        let after = body(times as u64 + 1, len);
        let request = PutRequest { size: Some(len as u64), ..put_request("k") };
        let mut source = Pieces::new(after.clone(), len / 2 + 1);
        let done = polled(world.store.put_object(&bucket, request, &mut source), times).await;
        rest(world).await;
        let now = world.get(&bucket, "k").await.unwrap();
        assert!(now == after || (now == before && done.is_none()), "{times} polls");
        before = now;
        done
    })
    .await;
    let report = world.settle().await;
    assert_eq!((report.objects, report.blobs), (1, u64::from(len > SMALL)));
}

#[tokio::test]
async fn puts() {
    for (len, points_min) in [(SMALL, 5), (LARGE, 12), (1_200_000, 12)] {
        put_at_every_point(&memory(), len, points_min).await;
    }
}

#[tokio::test]
async fn versions() {
    let world = memory();
    for versioning in [Versioning::Enabled, Versioning::Suspended] {
        let bucket = world.versioned(&format!("versions-{}", versioning as u32), versioning).await;
        at_every_point(&world, 5, async |times| {
            let put = world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
            let new = world.put(&bucket, "k", body(2, LARGE));
            let done = polled(new, times).await;
            rest(&world).await;
            let _ = polled(world.delete(&bucket, "k"), times).await;
            rest(&world).await;
            polled(world.delete_version(&bucket, "k", put.version.unwrap()), times).await;
            rest(&world).await;
            for (key, entry) in world.versions(&bucket, 100).await {
                world.delete_version(&bucket, &key, entry.version.unwrap()).await.unwrap();
            }
            done
        })
        .await;
        let report = world.settle().await;
        assert_eq!((report.versions, report.blobs), (0, 0));
    }
}

#[tokio::test]
async fn versioning_is_set_to_the_end() {
    let world = memory();
    at_every_point(&world, 2, async |times| {
        let bucket = world.bucket(&format!("set-{times}")).await;
        let set = polled(world.store.set_versioning(&bucket, Versioning::Enabled), times).await;
        rest(&world).await;
        let put = world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
        assert_eq!(put.version.is_some(), bucket.versioning() == Versioning::Enabled);
        assert!(set.is_none() || put.version.is_some());
        set
    })
    .await;
}

#[tokio::test]
async fn puts_on_the_embedded_engine() {
    for (len, points_min) in [(SMALL, 2), (LARGE, 4)] {
        put_at_every_point(&World::embedded(), len, points_min).await;
    }
}

#[tokio::test]
async fn deletions() {
    let world = memory();
    let bucket = world.bucket("deletions").await;
    at_every_point(&world, 3, async |times| {
        world.put(&bucket, "k", body(1, LARGE)).await.unwrap();
        let done = polled(world.delete(&bucket, "k"), times).await;
        match world.get(&bucket, "k").await {
            Ok(data) => assert!(done.is_none() && data == body(1, LARGE)),
            Err(Error::NoSuchKey) => {}
            Err(error) => panic!("{error}"),
        }
        done
    })
    .await;
}

#[tokio::test]
async fn appends() {
    let world = memory();
    let bucket = world.bucket("appends").await;
    for len in [SMALL, LARGE] {
        let mut whole = Vec::new();
        let at = format!("k{len}");
        at_every_point(&world, 5, async |times| {
            let data = body(times as u64, len);
            let done = polled(world.append(&bucket, &at, whole.len() as u64, data.clone()), times);
            let done = done.await;
            rest(&world).await;
            let now = world.get(&bucket, &at).await;
            let grown = [&whole[..], &data[..]].concat();
            match now {
                Ok(now) if now == grown => whole = grown,
                Ok(now) => assert!(done.is_none() && now == whole),
                Err(_) => assert!(done.is_none() && whole.is_empty()),
            }
            done
        })
        .await;
    }
}

#[tokio::test]
async fn copies() {
    let world = memory();
    let bucket = world.bucket("copies").await;
    world.put(&bucket, "source", body(1, LARGE)).await.unwrap();
    for at in ["source", "target"] {
        at_every_point(&world, 3, async |times| {
            let request = CopyRequest {
                source: CopySource {
                    bucket: bucket.clone(),
                    key: key("source"),
                    version: None,
                    range: None,
                    conditions: Default::default(),
                    links: Default::default(),
                },
                key: key(at),
                metadata: Some(Metadata::default()),
                website_redirect: String::new(),
                storage_class: None,
                tags: None,
                lock: Default::default(),
                acl: Default::default(),
                checksum: None,
                conditions: Default::default(),
            };
            let done = polled(world.store.copy_object(&bucket, request), times).await;
            assert_eq!(world.get(&bucket, "source").await.unwrap(), body(1, LARGE));
            if let Ok(copy) = world.get(&bucket, at).await {
                assert_eq!(copy, body(1, LARGE));
            }
            done
        })
        .await;
    }
}

#[tokio::test]
async fn parts() {
    let world = memory();
    let bucket = world.bucket("parts").await;
    for len in [SMALL, LARGE] {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        at_every_point(&world, 5, async |times| {
            let data = body(times as u64, len);
            let request = part_request("k", upload, 1, len);
            let mut source = Pieces::new(data, len);
            polled(world.store.upload_part(&bucket, request, &mut source), times).await
        })
        .await;
        world.abort(&bucket, "k", upload).await.unwrap();
    }
    let report = world.settle().await;
    assert_eq!((report.parts, report.blobs), (0, 0));
}

#[tokio::test]
async fn completions() {
    let world = memory();
    let bucket = world.bucket("completions").await;
    let whole = [body(1, LARGE), body(2, SMALL)].concat();
    at_every_point(&world, 2, async |times| {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let one = world.part(&bucket, "k", upload, 1, body(1, LARGE)).await.unwrap();
        let two = world.part(&bucket, "k", upload, 2, body(2, SMALL)).await.unwrap();
        world.part(&bucket, "k", upload, 3, body(3, LARGE)).await.unwrap();
        let request = complete_request("k", upload, vec![one, two]);
        let done = polled(world.store.complete_upload(&bucket, request), times).await;
        rest(&world).await;
        match world.get(&bucket, "k").await {
            Ok(now) => assert_eq!(now, whole),
            Err(_) => {
                assert!(done.is_none());
                // Never begun: the upload is as it was.
                world.abort(&bucket, "k", upload).await.unwrap();
            }
        }
        let _ = world.delete(&bucket, "k").await;
        done
    })
    .await;
}

#[tokio::test]
async fn initiations_and_abortions() {
    let world = memory();
    let bucket = world.bucket("initiations").await;
    at_every_point(&world, 2, async |times| polled(world.initiate(&bucket, "k"), times).await)
        .await;
    at_every_point(&world, 2, async |times| {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        world.part(&bucket, "k", upload, 1, body(1, LARGE)).await.unwrap();
        polled(world.abort(&bucket, "k", upload), times).await
    })
    .await;
}

async fn usable(world: &World, bucket: &Bucket) {
    world.put(bucket, "k", Bytes::from_static(b"data")).await.unwrap();
    world.delete(bucket, "k").await.unwrap();
}

fn name(number: usize) -> BucketName {
    BucketName::new(&format!("bucket-{number}")).unwrap()
}

#[tokio::test]
async fn bucket_creations() {
    let world = memory();
    at_every_point(&world, 2, async |times| {
        let made = polled(world.store.create_bucket(name(times), OWNER, None), times).await;
        rest(&world).await;
        match world.store.bucket(name(times).as_str()).await {
            Ok(bucket) => usable(&world, &bucket).await,
            Err(Error::NoSuchBucket) => assert!(made.is_none()),
            Err(error) => panic!("{error}"),
        }
        made
    })
    .await;
}

#[tokio::test]
async fn bucket_deletions() {
    let world = memory();
    at_every_point(&world, 2, async |times| {
        let bucket: Arc<Bucket> =
            world.store.create_bucket(name(times), OWNER, None).await.unwrap();
        let deleted = polled(world.store.delete_bucket(&bucket), times).await;
        rest(&world).await;
        match world.store.bucket(name(times).as_str()).await {
            Ok(bucket) => {
                assert!(deleted.is_none());
                usable(&world, &bucket).await;
            }
            Err(Error::NoSuchBucket) => {
                world.store.create_bucket(name(times), OWNER, None).await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        deleted
    })
    .await;
}
