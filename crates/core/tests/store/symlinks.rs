//! Links to other objects: what is read through them, and what they are themselves.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::list::ListObjects;
use costrel_core::object::{
    Attributes, CopyRequest, CopySource, GetRequest, PutOutcome, Selection, SymlinkRequest,
};
use costrel_core::precondition::{EtagCondition, ReadConditions, WriteConditions};
use costrel_core::range::ByteRange;
use costrel_core::record::Pair;
use costrel_core::tags::Tags;
use costrel_core::version::Versioning;
use costrel_core::{Error, Result};

use crate::common::faulty::{Faulty, Manner};
use crate::common::{LARGE, SMALL, World, body, get_request, key};

crate::on_every_engine!(
    reading_through_a_link,
    a_link_is_an_object_of_its_own,
    one_step_and_no_further,
    copies_are_of_what_a_link_leads_to,
    links_have_versions,
    parts_of_a_target,
    a_link_is_never_without_a_target_that_it_always_had,
);

fn link_request(at: &str, target: &str) -> SymlinkRequest {
    SymlinkRequest {
        key: key(at),
        target: key(target),
        attributes: Attributes::default(),
        conditions: WriteConditions::default(),
    }
}

async fn link(world: &World, bucket: &Bucket, at: &str, target: &str) -> Result<PutOutcome> {
    world.store.put_symlink(bucket, link_request(at, target)).await
}

fn md5(data: &[u8]) -> String {
    let mut digester = costrel_core::checksum::Digester::new([]);
    digester.update(data);
    hex::encode(digester.finish().md5)
}

async fn reading_through_a_link(world: &World) {
    let bucket = world.bucket("links").await;
    // The target may come later.
    let made = link(world, &bucket, "l", "dir/t").await.unwrap();
    assert_eq!((made.etag, made.size, made.version), (md5(b"dir/t"), 5, None));
    assert!(matches!(world.get(&bucket, "l").await, Err(Error::NoSuchKey)));
    for (seed, len) in [(1, SMALL), (2, LARGE), (3, 0)] {
        let data = body(seed, len);
        let put = world.put(&bucket, "dir/t", data.clone()).await.unwrap();
        let (info, read) = world.get_part(&bucket, "l", Selection::Whole).await.unwrap();
        assert_eq!((info.etag.as_str(), read), (put.etag.as_str(), data.clone()));
        assert_eq!(info.link.as_ref().unwrap().target, key("dir/t"));
        assert_eq!(info.own_record().size, 5);
        let head = world.head(&bucket, "l").await.unwrap();
        assert_eq!((head.etag, head.record.size), (put.etag.clone(), len as u64));
        if len > 0 {
            let range = Selection::Range(ByteRange::FromTo(3, 9));
            assert_eq!(world.get_part(&bucket, "l", range).await.unwrap().1, data.slice(3..10));
        }
        let if_none_match = Some(EtagCondition::parse(&put.etag));
        let conditions = ReadConditions { if_none_match, ..Default::default() };
        let request = GetRequest { conditions, ..get_request("l") };
        match world.store.head_object(&bucket, &request).await {
            Err(Error::NotModified(info)) => assert_eq!(info.etag, put.etag),
            other => panic!("{other:?}"),
        }
    }
    world.delete(&bucket, "dir/t").await.unwrap();
    assert!(matches!(world.get(&bucket, "l").await, Err(Error::NoSuchKey)));
}

async fn a_link_is_an_object_of_its_own(world: &World) {
    let bucket = world.bucket("links").await;
    world.put(&bucket, "t", body(1, LARGE)).await.unwrap();
    link(world, &bucket, "l", "t").await.unwrap();
    let request = ListObjects { max: 9, ..Default::default() };
    let page = world.store.list_objects(&bucket, &request).await.unwrap();
    let listed: Vec<_> = page.entries.iter().map(|(k, e)| (k.as_str(), e.size)).collect();
    assert_eq!(listed, [("l", 1), ("t", LARGE as u64)]);
    assert_eq!(page.entries[0].1.etag, md5(b"t"));

    let tags = Tags::of_object(vec![Pair { name: "a".into(), value: "1".into() }]).unwrap();
    world.store.set_object_tags(&bucket, &key("l"), None, &tags).await.unwrap();
    let itself = world.store.stat_object(&bucket, &key("l"), None).await.unwrap();
    assert_eq!(itself.tags(), tags);
    assert_eq!(world.head(&bucket, "t").await.unwrap().tags(), Tags::default());
    let (_, target) = world.store.symlink(&bucket, &key("l"), None).await.unwrap();
    assert_eq!(target, key("t"));
    let other = world.store.symlink(&bucket, &key("t"), None).await;
    assert!(matches!(other, Err(Error::NotALink)));
    let missing = world.store.symlink(&bucket, &key("none"), None).await;
    assert!(matches!(missing, Err(Error::NoSuchKey)));

    // It grows by nothing, replaces and is replaced, and goes alone.
    let grown = world.append(&bucket, "l", 1, body(9, SMALL)).await;
    assert!(matches!(grown, Err(Error::NotAppendable)));
    let conditions = WriteConditions { forbid_overwrite: true, ..Default::default() };
    let again = SymlinkRequest { conditions, ..link_request("l", "u") };
    let again = world.store.put_symlink(&bucket, again).await;
    assert!(matches!(again, Err(Error::AlreadyExists)), "{again:?}");
    for len in [SMALL, LARGE] {
        world.put(&bucket, "l", body(2, len)).await.unwrap();
        assert_eq!(world.get(&bucket, "l").await.unwrap(), body(2, len));
        link(world, &bucket, "l", "t").await.unwrap();
        assert_eq!(world.get(&bucket, "l").await.unwrap(), body(1, LARGE));
    }
    world.delete(&bucket, "l").await.unwrap();
    assert_eq!(world.get(&bucket, "t").await.unwrap(), body(1, LARGE));
    assert_eq!(world.settle().await.objects, 1);
}

async fn one_step_and_no_further(world: &World) {
    let bucket = world.bucket("links").await;
    world.put(&bucket, "t", body(1, SMALL)).await.unwrap();
    link(world, &bucket, "first", "t").await.unwrap();
    link(world, &bucket, "second", "first").await.unwrap();
    assert!(matches!(world.get(&bucket, "second").await, Err(Error::LinkToLink)));
    assert!(matches!(link(world, &bucket, "l", "l").await, Err(Error::LinkToLink)));
    let archived = Attributes { storage_class: "ARCHIVE".into(), ..Default::default() };
    let archived = SymlinkRequest { attributes: archived, ..link_request("l", "t") };
    let archived = world.store.put_symlink(&bucket, archived).await;
    assert!(matches!(archived, Err(Error::InvalidStorageClass)));
    assert!(matches!(world.get(&bucket, "l").await, Err(Error::NoSuchKey)));
}

async fn copies_are_of_what_a_link_leads_to(world: &World) {
    let bucket = world.bucket("links").await;
    let data = body(1, LARGE);
    let copy = |from: &str, to: &str, class: Option<&str>| {
        let source = CopySource {
            bucket: bucket.clone(),
            key: key(from),
            version: None,
            range: None,
            conditions: ReadConditions::default(),
            links: Default::default(),
        };
        let request = CopyRequest {
            source,
            key: key(to),
            metadata: None,
            website_redirect: String::new(),
            storage_class: class.map(str::to_owned),
            tags: None,
            lock: Default::default(),
            acl: Default::default(),
            checksum: None,
            conditions: WriteConditions::default(),
        };
        world.store.copy_object(&bucket, request)
    };
    world.put(&bucket, "t", data.clone()).await.unwrap();
    link(world, &bucket, "l", "t").await.unwrap();
    copy("l", "c", None).await.unwrap();
    world.delete(&bucket, "t").await.unwrap();
    assert_eq!(world.get(&bucket, "c").await.unwrap(), data);
    assert!(matches!(copy("l", "d", None).await, Err(Error::NoSuchKey)));
    world.put(&bucket, "t", data.clone()).await.unwrap();
    copy("l", "l", Some("STANDARD_IA")).await.unwrap();
    world.delete(&bucket, "t").await.unwrap();
    assert_eq!(world.get(&bucket, "l").await.unwrap(), data);
}

async fn links_have_versions(world: &World) {
    let bucket = world.versioned("links", Versioning::Enabled).await;
    for name in ["t1", "t2"] {
        world.put(&bucket, name, Bytes::from_static(name.as_bytes())).await.unwrap();
    }
    let first = link(world, &bucket, "l", "t1").await.unwrap().version.unwrap();
    let second = link(world, &bucket, "l", "t2").await.unwrap().version.unwrap();
    assert_eq!(world.get(&bucket, "l").await.unwrap(), "t2");
    assert_eq!(world.get_version(&bucket, "l", first).await.unwrap(), "t1");
    // Each version leads to what the target is now, and is called by its own name.
    world.put(&bucket, "t1", Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(world.get_version(&bucket, "l", first).await.unwrap(), "new");
    assert_eq!(world.head(&bucket, "l").await.unwrap().version, Some(second));
    let old = world.store.symlink(&bucket, &key("l"), Some(first)).await.unwrap();
    assert_eq!((old.0.version, old.1), (Some(first), key("t1")));
    // A marker on the target is none on the link.
    world.delete(&bucket, "t2").await.unwrap();
    assert!(matches!(world.get(&bucket, "l").await, Err(Error::NoSuchKey)));
    world.delete_version(&bucket, "l", second).await.unwrap();
    assert_eq!(world.get(&bucket, "l").await.unwrap(), "new");
    world.delete(&bucket, "l").await.unwrap();
    assert!(matches!(world.get(&bucket, "l").await, Err(Error::CurrentIsMarker { .. })));
    assert_eq!(world.get_version(&bucket, "l", first).await.unwrap(), "new");
}

async fn parts_of_a_target(world: &World) {
    let bucket = world.bucket("links").await;
    let upload = world.initiate(&bucket, "t").await.unwrap();
    let mut parts = Vec::new();
    for number in 1..=2 {
        let data = body(number.into(), LARGE + number as usize);
        parts.push(world.part(&bucket, "t", upload, number, data).await.unwrap());
    }
    world.complete(&bucket, "t", upload, parts).await.unwrap();
    link(world, &bucket, "l", "t").await.unwrap();
    let (info, read) = world.get_part(&bucket, "l", Selection::Part(2)).await.unwrap();
    assert_eq!(read, body(2, LARGE + 2));
    let (parts, _) = world.store.object_parts(&bucket, &key("l"), &info, 0, 9).await.unwrap();
    assert_eq!(parts.len(), 2);
}

/// The link is pointed at the next object before the last one is deleted, so there
/// is no moment at which it leads nowhere, or to anything but the newest.
async fn a_link_is_never_without_a_target_that_it_always_had(world: &World) {
    let bucket = world.bucket("links").await;
    let name = |round: u64| format!("t{round}");
    let put = |round: u64| {
        let len = if round.is_multiple_of(3) { LARGE } else { SMALL };
        (name(round), body(round, len))
    };
    let (at, data) = put(0);
    world.put(&bucket, &at, data).await.unwrap();
    link(world, &bucket, "l", &at).await.unwrap();
    let done = AtomicBool::new(false);
    let writer = async {
        for round in 1..200 {
            let (at, data) = put(round);
            world.put(&bucket, &at, data).await.unwrap();
            link(world, &bucket, "l", &at).await.unwrap();
            // Nobody may see this one through the link.
            world.put(&bucket, &name(round - 1), body(7777, SMALL)).await.unwrap();
            world.delete(&bucket, &name(round - 1)).await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
    };
    let readers = (0..3).map(|_| async {
        while !done.load(Ordering::SeqCst) {
            let read = world.get(&bucket, "l").await.expect("the link leads somewhere");
            assert_ne!(read, body(7777, SMALL));
            tokio::task::yield_now().await;
        }
    });
    futures_util::future::join(writer, futures_util::future::join_all(readers)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_over_torn_reads() {
    let manner = Manner { torn: true, lingering: false };
    let world = World::over(Faulty::with(World::memory().engine, manner));
    a_link_is_never_without_a_target_that_it_always_had(&world).await;
    world.settle().await;
}
