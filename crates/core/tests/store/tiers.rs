//! Bodies are kept where their class's tier says, and are the same bytes everywhere.

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::checksum::Expected;
use costrel_core::engine::Blobs;
use costrel_core::object::{AppendRequest, Attributes, CopyRequest, CopySource, PutRequest};
use costrel_core::range::ByteRange;
use costrel_core::upload::InitiateRequest;
use costrel_core::version::Versioning;
use costrel_core::{Result, body::BytesSource, object::PutOutcome, object::Selection};
use costrel_testkit::ELSEWHERE;

use crate::common::{LARGE, SMALL, World, body, initiate_request, key, options, put_request};

/// In the worlds' own place, elsewhere, compressed elsewhere, compressed here.
const CLASSES: [&str; 4] = ["", "STANDARD_IA", "GLACIER_IR", "ONEZONE_IA"];

fn attributes(class: &str) -> Attributes {
    Attributes { storage_class: class.to_owned(), ..Attributes::default() }
}

async fn put(world: &World, bucket: &Bucket, at: &str, class: &str, data: Bytes) -> PutOutcome {
    let size = Some(data.len() as u64);
    let request = PutRequest { attributes: attributes(class), size, ..put_request(at) };
    world.store.put_object(bucket, request, &mut BytesSource::new(data)).await.unwrap()
}

async fn copy(
    world: &World,
    bucket: &Bucket,
    from: &str,
    to: &str,
    class: &str,
) -> Result<PutOutcome> {
    let request = CopyRequest {
        source: CopySource {
            bucket: world.store.bucket(bucket.name.as_str()).await?,
            key: key(from),
            version: None,
            range: None,
            conditions: Default::default(),
            links: Default::default(),
        },
        key: key(to),
        metadata: None,
        website_redirect: String::new(),
        storage_class: Some(class.to_owned()),
        tags: None,
        lock: Default::default(),
        acl: Default::default(),
        checksum: None,
        conditions: Default::default(),
    };
    world.store.copy_object(bucket, request).await
}

/// Blobs in the engine's own place and elsewhere, and the bytes that they take.
async fn blobs(world: &World) -> [(usize, u64); 2] {
    let count = async |blobs: &dyn Blobs| {
        let blobs = blobs.list(None, 1000).await.unwrap();
        (blobs.len(), blobs.iter().map(|blob| blob.stored_bytes).sum())
    };
    let elsewhere = world.engine.place(ELSEWHERE).unwrap();
    [count(world.engine.blobs()).await, count(elsewhere).await]
}

/// Shrinks well.
fn text(len: usize) -> Bytes {
    (0..len).map(|at| b"some words of a log, "[at % 21]).collect()
}

async fn assert_same(world: &World, bucket: &Bucket, at: &str, data: &Bytes) {
    assert!(world.get(bucket, at).await.unwrap() == data, "{at}");
    for (first, last) in [(0, 0), (3, 70), (1000, 140_000), (131_071, 131_072)] {
        if last < data.len() as u64 {
            let range = Selection::Range(ByteRange::FromTo(first, last));
            let part = world.get_part(bucket, at, range).await.unwrap().1;
            assert!(part == data.slice(first as usize..=last as usize), "{at} {first}..={last}");
        }
    }
}

async fn every_class_keeps_every_body(world: &World) {
    let bucket = world.bucket("classes").await;
    for class in CLASSES {
        for (name, data) in [
            ("empty", Bytes::new()),
            ("small", body(1, SMALL)),
            ("large", body(2, LARGE)),
            ("text", text(400_000)),
            ("noise", body(3, 400_000)),
        ] {
            let at = format!("{class}/{name}");
            let outcome = put(world, &bucket, &at, class, data.clone()).await;
            let plain = put(world, &bucket, "plain", "", data.clone()).await;
            assert_eq!((&outcome.etag, outcome.crc64), (&plain.etag, plain.crc64), "{at}");
            assert_same(world, &bucket, &at, &data).await;
        }
    }
    world.delete(&bucket, "plain").await.unwrap();
    world.settle().await;
    let [here, elsewhere] = blobs(world).await;
    // Three of the plain ones and of the compressed ones; elsewhere small ones too.
    assert_eq!((here.0, elsewhere.0), (6, 8));
    assert!(here.1 < 1_350_000 && elsewhere.1 < 1_350_000, "{here:?} {elsewhere:?}");
}

async fn a_change_of_class_moves_the_bytes(world: &World) {
    let bucket = world.bucket("moves").await;
    let data = text(300_000);
    let outcome = put(world, &bucket, "k", "", data.clone()).await;
    for (class, counts) in [
        ("STANDARD_IA", (0, 1)),
        ("GLACIER_IR", (0, 1)),
        ("ONEZONE_IA", (1, 0)),
        ("STANDARD_IA", (0, 1)),
        ("REDUCED_REDUNDANCY", (1, 0)),
    ] {
        let copied = copy(world, &bucket, "k", "k", class).await.unwrap();
        assert_eq!((copied.etag, copied.crc64), (outcome.etag.clone(), outcome.crc64));
        world.settle().await;
        let [here, elsewhere] = blobs(world).await;
        assert_eq!((here.0, elsewhere.0), counts, "{class}");
        assert_eq!(here.1 + elsewhere.1 >= 300_000, !["GLACIER_IR", "ONEZONE_IA"].contains(&class));
        assert_same(world, &bucket, "k", &data).await;
        assert_eq!(world.head(&bucket, "k").await.unwrap().record.storage_class, class);
    }
    // A small body that comes from elsewhere is inline again.
    put(world, &bucket, "k", "STANDARD_IA", body(1, SMALL)).await;
    copy(world, &bucket, "k", "k", "").await.unwrap();
    world.settle().await;
    assert_eq!(blobs(world).await.map(|(count, _)| count), [0, 0]);
    assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, SMALL));
}

async fn parts_and_appends_have_the_tier_of_their_object(world: &World) {
    let bucket = world.bucket("parts").await;
    let initiate =
        InitiateRequest { attributes: attributes("GLACIER_IR"), ..initiate_request("m") };
    let upload = world.store.initiate_upload(&bucket, initiate).await.unwrap();
    let (first, second) = (text(200_000), body(5, SMALL));
    let parts = vec![
        world.part(&bucket, "m", upload, 1, first.clone()).await.unwrap(),
        world.part(&bucket, "m", upload, 2, second.clone()).await.unwrap(),
    ];
    world.complete(&bucket, "m", upload, parts).await.unwrap();
    let whole: Bytes = [first, second].concat().into();
    assert_same(world, &bucket, "m", &whole).await;
    assert_eq!(blobs(world).await.map(|(count, _)| count), [0, 2]);

    let mut grown = Vec::new();
    for (class, data) in [("STANDARD_IA", body(6, SMALL)), ("", body(7, SMALL)), ("", text(9000))] {
        let request = AppendRequest {
            key: key("a"),
            position: grown.len() as u64,
            attributes: attributes(class),
            expected: Expected::default(),
            size: None,
        };
        grown.extend_from_slice(&data);
        world.store.append_object(&bucket, request, &mut BytesSource::new(data)).await.unwrap();
    }
    assert_same(world, &bucket, "a", &grown.into()).await;
    assert_eq!(blobs(world).await.map(|(count, _)| count), [0, 5]);
    // Moved whole, both become ordinary objects.
    for at in ["m", "a"] {
        copy(world, &bucket, at, at, "").await.unwrap();
    }
    world.settle().await;
    assert_eq!(blobs(world).await.map(|(count, _)| count), [2, 0]);
    assert_same(world, &bucket, "m", &whole).await;
}

async fn versions_have_tiers_of_their_own(world: &World) {
    let bucket = world.versioned("versions", Versioning::Enabled).await;
    put(world, &bucket, "k", "GLACIER_IR", text(300_000)).await;
    copy(world, &bucket, "k", "k", "").await.unwrap();
    assert_eq!(blobs(world).await.map(|(count, _)| count), [1, 1]);
    for (_, entry) in world.versions(&bucket, 10).await {
        let version = entry.version.unwrap();
        assert!(world.get_version(&bucket, "k", version).await.unwrap() == text(300_000));
    }
}

async fn concurrent_writes_are_not_lost_to_a_move(world: &World) {
    let bucket = world.bucket("raced").await;
    put(world, &bucket, "k", "", body(0, 200_000)).await;
    for round in 1..20 {
        let class = CLASSES[round % CLASSES.len()];
        let written = async { put(world, &bucket, "k", "", body(round as u64, 200_000)).await };
        let (moved, _) = tokio::join!(copy(world, &bucket, "k", "k", class), written);
        moved.unwrap();
        assert!(world.get(&bucket, "k").await.unwrap() == body(round as u64, 200_000));
    }
}

crate::on_every_engine!(
    every_class_keeps_every_body,
    a_change_of_class_moves_the_bytes,
    parts_and_appends_have_the_tier_of_their_object,
    versions_have_tiers_of_their_own,
    concurrent_writes_are_not_lost_to_a_move,
);

/// Nothing is served from a place that is not there, and nothing is lost either.
#[tokio::test]
async fn a_place_that_is_not_named_is_unavailable() {
    let mut other = options();
    let nowhere = costrel_core::tier::Tier { place: Some("nowhere".into()), ..Default::default() };
    other.tiers.set(costrel_core::tier::StorageClass::StandardIa, nowhere);
    let world = World::memory_with(other);
    let bucket = world.bucket("nowhere").await;
    let request = PutRequest { attributes: attributes("STANDARD_IA"), ..put_request("k") };
    let put = world.store.put_object(&bucket, request, &mut BytesSource::new(body(1, SMALL))).await;
    assert!(matches!(put, Err(costrel_core::Error::StorageUnavailable)), "{put:?}");
    assert!(world.get(&bucket, "k").await.is_err());
}
