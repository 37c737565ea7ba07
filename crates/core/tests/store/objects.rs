//! Objects one at a time: bodies of every kind replacing each other, conditions,
//! ranges, checksums, metadata and copies.

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::checksum::{Algorithm, Digester, Expected};
use costrel_core::error::Declared;
use costrel_core::names::ObjectKey;
use costrel_core::object::{
    Attributes, CopyRequest, CopySource, DeleteRequest, PutRequest, Selection,
};
use costrel_core::precondition::{EtagCondition, ReadConditions, WriteConditions};
use costrel_core::range::ByteRange;
use costrel_core::record::{Metadata, Pair};
use costrel_core::restore::{RestoreRequest, Restored, Speed};
use costrel_core::{BodyError, Error};

use crate::common::{
    INLINE_MAX, LARGE, Pieces, SMALL, World, body, delete_request, get_request, key, put_request,
};

crate::on_every_engine!(
    every_kind_of_body_replaces_every_other,
    bodies_of_undeclared_length,
    bodies_of_another_length_than_declared,
    broken_bodies_leave_nothing,
    conditional_writes,
    conditional_reads,
    ranges_and_parts,
    declared_digests_are_compared,
    checksums_are_kept,
    metadata_has_a_limit,
    too_large_is_refused_before_the_body,
    keys_are_literal,
    copies,
    copies_in_place,
    conditional_copies,
);

/// A digest of a body, by which tests recognise it.
fn md5(data: &[u8]) -> [u8; 16] {
    let mut digester = Digester::new([]);
    digester.update(data);
    digester.finish().md5
}

async fn every_kind_of_body_replaces_every_other(world: &World) {
    let bucket = world.bucket("kinds").await;
    let sizes = [0, 1, SMALL, INLINE_MAX, INLINE_MAX + 1, LARGE, 2_000_000];
    let mut seed = 0;
    for before in sizes {
        for after in [0, SMALL, LARGE] {
            for len in [before, after] {
                seed += 1;
                let data = body(seed, len);
                let put = world.put(&bucket, "k", data.clone()).await.unwrap();
                let info = world.head(&bucket, "k").await.unwrap();
                assert_eq!((put.size, &put.etag), (len as u64, &info.etag));
                assert_eq!(put.etag, hex::encode(md5(&data)));
                assert_eq!(put.crc64, Digester::crc64(&data));
                assert_eq!(info.record.crc64, put.crc64);
                assert_eq!(info.record.modified_ms, put.modified_ms);
                assert_eq!(world.get(&bucket, "k").await.unwrap(), data, "{before} {after}");
            }
            world.settle().await;
        }
    }
    world.delete(&bucket, "k").await.unwrap();
    assert!(matches!(world.get(&bucket, "k").await, Err(Error::NoSuchKey)));
    assert!(matches!(world.head(&bucket, "k").await, Err(Error::NoSuchKey)));
    // Deleting what is not there succeeds.
    world.delete(&bucket, "k").await.unwrap();
    let report = world.settle().await;
    assert_eq!((report.objects, report.blobs), (0, 0));
}

async fn bodies_of_undeclared_length(world: &World) {
    let bucket = world.bucket("undeclared").await;
    for (number, len) in [0, 1, INLINE_MAX, INLINE_MAX + 1, 1_300_000].into_iter().enumerate() {
        let at = format!("k{number}");
        let data = body(number as u64, len);
        for piece in [7 + len / 3, 1 << 20] {
            let mut source = Pieces::new(data.clone(), piece);
            world.store.put_object(&bucket, put_request(&at), &mut source).await.unwrap();
            assert_eq!(world.get(&bucket, &at).await.unwrap(), data);
        }
    }
}

/// Whoever takes the framing off compares the length; the core only plans by it.
async fn bodies_of_another_length_than_declared(world: &World) {
    let bucket = world.bucket("lying").await;
    for (declared, len) in [(SMALL, LARGE), (LARGE, SMALL), (LARGE, 0), (0, LARGE), (SMALL, 0)] {
        let data = body(declared as u64, len);
        let request = PutRequest { size: Some(declared as u64), ..put_request("k") };
        let mut source = Pieces::new(data.clone(), 300);
        world.store.put_object(&bucket, request, &mut source).await.unwrap();
        assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
        let blobs = u64::from(len > 0 && len.max(declared) == LARGE);
        assert_eq!(world.settle().await.blobs, blobs, "{declared} {len}");
    }
}

async fn broken_bodies_leave_nothing(world: &World) {
    let bucket = world.bucket("broken").await;
    let kept = body(1, SMALL);
    world.put(&bucket, "k", kept.clone()).await.unwrap();
    for len in [0, SMALL, LARGE, 1_300_000] {
        for size in [None, Some(len as u64 + 10)] {
            let mut source = Pieces { broken: true, ..Pieces::new(body(2, len), 600) };
            let request = PutRequest { size, ..put_request("k") };
            let put = world.store.put_object(&bucket, request, &mut source).await;
            assert!(matches!(put, Err(Error::Body(BodyError::Disconnected))));
            assert_eq!(world.get(&bucket, "k").await.unwrap(), kept);
        }
    }
    assert_eq!(world.settle().await.blobs, 0);
}

fn if_match(etag: &str) -> WriteConditions {
    WriteConditions { if_match: Some(EtagCondition::parse(etag)), ..Default::default() }
}

fn if_absent() -> WriteConditions {
    WriteConditions { if_none_match: Some(EtagCondition::Any), ..Default::default() }
}

async fn conditional_writes(world: &World) {
    let bucket = world.bucket("conditions").await;
    for len in [SMALL, LARGE] {
        let failed = |result| matches!(result, Err(Error::PreconditionFailed { .. }));
        let (first, second) = (body(1, len), body(2, len));
        let absent = world.put_if(&bucket, "k", first.clone(), if_match("*")).await;
        assert!(matches!(absent, Err(Error::NoSuchKey)));
        let put = world.put_if(&bucket, "k", first.clone(), if_absent()).await.unwrap();
        assert!(failed(world.put_if(&bucket, "k", second.clone(), if_absent()).await));
        let forbid = WriteConditions { forbid_overwrite: true, ..Default::default() };
        let refused = world.put_if(&bucket, "k", second.clone(), forbid).await;
        assert!(matches!(refused, Err(Error::AlreadyExists)));
        assert!(failed(world.put_if(&bucket, "k", second.clone(), if_match("nothing")).await));
        assert_eq!(world.get(&bucket, "k").await.unwrap(), first);
        world.put_if(&bucket, "k", second.clone(), if_match(&put.etag)).await.unwrap();
        assert_eq!(world.get(&bucket, "k").await.unwrap(), second);

        let delete = |conditions| DeleteRequest { conditions, ..delete_request("k") };
        let refused = world.store.delete_object(&bucket, &delete(if_match(&put.etag))).await;
        assert!(matches!(refused, Err(Error::PreconditionFailed { condition: "If-Match" })));
        let size = WriteConditions { if_match_size: Some(len as u64), ..Default::default() };
        world.store.delete_object(&bucket, &delete(size)).await.unwrap();
        let gone = world.store.delete_object(&bucket, &delete(if_match("*"))).await;
        assert!(matches!(gone, Err(Error::NoSuchKey)));
    }
    assert_eq!(world.settle().await.blobs, 0);
}

async fn conditional_reads(world: &World) {
    let bucket = world.bucket("reads").await;
    let put = world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    let seconds = put.modified_ms / 1000;
    let tag = |etag: &str| Some(EtagCondition::parse(etag));
    let read = async |conditions: ReadConditions| {
        let mut request = get_request("k");
        request.conditions = conditions;
        let get = world.store.get_object(&bucket, &request).await.map(|_| ());
        let head = world.store.head_object(&bucket, &request).await.map(|_| ());
        match (get, head) {
            (Ok(()), Ok(())) => "ok",
            (Err(Error::NotModified(info)), Err(Error::NotModified(_))) => {
                assert_eq!(info.etag, put.etag);
                "not modified"
            }
            (
                Err(Error::PreconditionFailed { condition }),
                Err(Error::PreconditionFailed { .. }),
            ) => condition,
            other => panic!("{other:?}"),
        }
    };
    let none = ReadConditions::default;
    assert_eq!(read(none()).await, "ok");
    assert_eq!(read(ReadConditions { if_match: tag(&put.etag), ..none() }).await, "ok");
    assert_eq!(read(ReadConditions { if_match: tag("x"), ..none() }).await, "If-Match");
    let same = ReadConditions { if_none_match: tag(&put.etag), ..none() };
    assert_eq!(read(same).await, "not modified");
    let since = ReadConditions { if_modified_since: Some(seconds), ..none() };
    assert_eq!(read(since).await, "not modified");
    let until = ReadConditions { if_unmodified_since: Some(seconds - 1), ..none() };
    assert_eq!(read(until).await, "If-Unmodified-Since");
}

async fn ranges_and_parts(world: &World) {
    let bucket = world.bucket("ranges").await;
    for len in [1, SMALL, LARGE, 700_000] {
        let data = body(len as u64, len);
        world.put(&bucket, "k", data.clone()).await.unwrap();
        let (last, middle) = (len as u64 - 1, len / 2);
        for (range, want) in [
            (ByteRange::FromTo(0, 0), 0..1),
            (ByteRange::FromTo(0, middle as u64), 0..middle + 1),
            (ByteRange::FromTo(middle as u64, last), middle..len),
            (ByteRange::FromTo(0, u64::MAX), 0..len),
            (ByteRange::From(last), len - 1..len),
            (ByteRange::Last(1), len - 1..len),
            (ByteRange::Last(u64::MAX), 0..len),
        ] {
            let (_, read) = world.get_part(&bucket, "k", Selection::Range(range)).await.unwrap();
            let want = want.start..want.end.min(len);
            assert_eq!(read, data.slice(want), "{range:?} of {len}");
        }
        for range in [ByteRange::From(len as u64), ByteRange::FromTo(u64::MAX, u64::MAX)] {
            let read = world.get_part(&bucket, "k", Selection::Range(range)).await;
            assert!(matches!(read, Err(Error::InvalidRange { size }) if size == len as u64));
        }
        let (_, read) = world.get_part(&bucket, "k", Selection::Part(1)).await.unwrap();
        assert_eq!(read, data);
        for number in [0, 2] {
            let read = world.get_part(&bucket, "k", Selection::Part(number)).await;
            assert!(matches!(read, Err(Error::InvalidPartNumber)));
        }
    }
    world.put(&bucket, "k", Bytes::new()).await.unwrap();
    let read = world.get_part(&bucket, "k", Selection::Range(ByteRange::From(0))).await;
    assert!(matches!(read, Err(Error::InvalidRange { size: 0 })));
}

async fn declared_digests_are_compared(world: &World) {
    let bucket = world.bucket("digests").await;
    for len in [0, SMALL, LARGE] {
        let data = body(3, len);
        let mut digester = Digester::new(Algorithm::ALL);
        digester.update(&data);
        let digests = digester.finish();
        let right = Expected {
            content_md5: Some(digests.md5),
            content_sha256: digests.of(Algorithm::Sha256).unwrap().as_ref().try_into().ok(),
            content_sha1: digests.of(Algorithm::Sha1).unwrap().as_ref().try_into().ok(),
            crc64: Some(digests.crc64),
            checksums: digests.others.clone(),
        };
        let put = async |expected: Expected| {
            let request = PutRequest { expected, ..put_request("k") };
            let mut source = Pieces::new(data.clone(), 900);
            world.store.put_object(&bucket, request, &mut source).await
        };
        put(right.clone()).await.unwrap();
        let wrong: [(Declared, Expected); 5] = [
            (Declared::ContentMd5, Expected { content_md5: Some([1; 16]), ..right.clone() }),
            (Declared::ContentSha256, Expected { content_sha256: Some([1; 32]), ..right.clone() }),
            (Declared::ContentSha1, Expected { content_sha1: Some([1; 20]), ..right.clone() }),
            (Declared::Crc64, Expected { crc64: Some(!digests.crc64), ..right.clone() }),
            (
                Declared::Checksum(Algorithm::Crc32c),
                Expected {
                    checksums: vec![(Algorithm::Crc32c, Bytes::from_static(b"none"))],
                    ..right.clone()
                },
            ),
        ];
        for (want, expected) in wrong {
            match put(expected).await {
                Err(Error::DigestMismatch { declared }) => assert_eq!(declared, want),
                other => panic!("{want:?}: {other:?}"),
            }
        }
        assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
    }
}

async fn checksums_are_kept(world: &World) {
    let bucket = world.bucket("checksums").await;
    for (number, algorithm) in Algorithm::ALL.into_iter().enumerate() {
        let at = format!("k{number}");
        for len in [SMALL, LARGE] {
            let request = PutRequest { checksums: vec![algorithm], ..put_request(&at) };
            let data = body(4, len);
            let mut source = Pieces::new(data.clone(), 4000);
            let put = world.store.put_object(&bucket, request, &mut source).await.unwrap();
            let mut digester = Digester::new([algorithm]);
            digester.update(&data);
            assert_eq!(put.checksums.len(), 1);
            assert_eq!(put.checksums[0].value, digester.finish().of(algorithm).unwrap());
            let info = world.head(&bucket, &at).await.unwrap();
            assert_eq!(info.checksums().collect::<Vec<_>>(), put.checksums);
        }
    }
}

fn user_metadata(bytes: usize) -> Metadata {
    let pair = Pair { name: "n".into(), value: "v".repeat(bytes - 1) };
    Metadata { user: vec![pair], content_type: "text/plain".into(), ..Default::default() }
}

async fn metadata_has_a_limit(world: &World) {
    let bucket = world.bucket("metadata").await;
    for (bytes, taken) in [(2048, true), (2049, false)] {
        let attributes = Attributes { metadata: user_metadata(bytes), ..Default::default() };
        let request = PutRequest { attributes: attributes.clone(), ..put_request("k") };
        let mut source = Pieces::new(body(1, SMALL), 50);
        let put = world.store.put_object(&bucket, request, &mut source).await;
        match taken {
            true => {
                put.unwrap();
                let info = world.head(&bucket, "k").await.unwrap();
                assert_eq!(info.record.metadata, Some(attributes.metadata));
            }
            false => assert!(
                matches!(put, Err(Error::MetadataTooLarge { size: 2049, max: 2048 })),
                "{put:?}"
            ),
        }
    }
}

async fn too_large_is_refused_before_the_body(world: &World) {
    let bucket = world.bucket("too-large").await;
    let request = PutRequest { size: Some((5 << 30) + 1), ..put_request("k") };
    let mut source = Pieces { broken: true, ..Pieces::new(Bytes::new(), 1) };
    let put = world.store.put_object(&bucket, request, &mut source).await;
    assert!(matches!(put, Err(Error::TooLarge { .. })));
}

async fn keys_are_literal(world: &World) {
    let bucket = world.bucket("names").await;
    let long = "k".repeat(1024);
    let names = [
        "a",
        "/a",
        "a/",
        "//",
        "a//b",
        ".",
        "..",
        "a/../b",
        " ",
        "+",
        "%2F",
        "?",
        "#",
        "\0",
        "a\0",
        "a\0b",
        "\u{7f}",
        "数据",
        "🙂",
        "\u{10ffff}",
        "\u{feff}",
        &long,
    ];
    for (number, name) in names.iter().enumerate() {
        world.put(&bucket, name, body(number as u64, SMALL)).await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(world.get(&bucket, name).await.unwrap(), body(number as u64, SMALL), "{name:?}");
    }
    assert_eq!(world.settle().await.objects, names.len() as u64);
    assert!(ObjectKey::new("").is_err());
}

fn copy(source: &CopySource, at: &str) -> CopyRequest {
    CopyRequest {
        source: source.clone(),
        key: key(at),
        metadata: None,
        website_redirect: String::new(),
        storage_class: None,
        tags: None,
        lock: Default::default(),
        acl: Default::default(),
        checksum: None,
        conditions: WriteConditions::default(),
    }
}

async fn copies(world: &World) {
    let from = world.bucket("copy-from").await;
    let to = world.bucket("copy-to").await;
    let source = CopySource {
        bucket: from.clone(),
        key: key("k"),
        version: None,
        range: None,
        conditions: Default::default(),
        links: Default::default(),
    };
    let missing = world.store.copy_object(&to, copy(&source, "c")).await;
    assert!(matches!(missing, Err(Error::NoSuchKey)));
    for len in [0, SMALL, LARGE, 900_000] {
        let data = body(5, len);
        let attributes = Attributes {
            metadata: user_metadata(20),
            storage_class: "STANDARD_IA".into(),
            ..Default::default()
        };
        let checksums = vec![Algorithm::Crc32];
        let request = PutRequest { attributes: attributes.clone(), checksums, ..put_request("k") };
        let mut bytes = Pieces::new(data.clone(), 100_000);
        let put = world.store.put_object(&from, request, &mut bytes).await.unwrap();

        let copied = world.store.copy_object(&to, copy(&source, "c")).await.unwrap();
        assert_eq!((&copied.etag, &copied.checksums), (&put.etag, &put.checksums));
        let info = world.head(&to, "c").await.unwrap();
        // The metadata comes along, the class does not.
        assert_eq!(info.record.metadata.as_ref(), Some(&attributes.metadata));
        assert_eq!(info.record.storage_class, "");

        let mut request = copy(&source, "c");
        request.metadata = Some(Metadata::default());
        request.storage_class = Some("ARCHIVE".into());
        request.checksum = Some(Algorithm::Sha256);
        let copied = world.store.copy_object(&to, request).await.unwrap();
        assert_eq!(copied.checksums[0].algorithm, Algorithm::Sha256);
        let info = world.head(&to, "c").await.unwrap();
        assert_eq!(info.record.metadata, Some(Metadata::default()));
        assert_eq!(info.record.storage_class, "ARCHIVE");

        world.delete(&from, "k").await.unwrap();
        world.settle().await;
        assert!(matches!(world.get(&to, "c").await, Err(Error::Archived { .. })));
        restore(world, &to, "c").await;
        assert_eq!(world.get(&to, "c").await.unwrap(), data);
    }
}

/// Makes an archived object readable.
async fn restore(world: &World, bucket: &Bucket, at: &str) {
    let request = RestoreRequest {
        key: key(at),
        version: None,
        days: Some(1),
        allows_idle_days: false,
        speed: Speed::Standard,
        utc_offset_s: 0,
    };
    let restored = world.store.restore_object(bucket, &request).await.unwrap();
    assert_eq!(restored, (Restored::Begun, None));
}

async fn copies_in_place(world: &World) {
    let bucket = world.bucket("in-place").await;
    for len in [0, SMALL, LARGE] {
        let data = body(6, len);
        let put = world.put(&bucket, "k", data.clone()).await.unwrap();
        let source = CopySource {
            bucket: bucket.clone(),
            key: key("k"),
            version: None,
            range: None,
            conditions: Default::default(),
            links: Default::default(),
        };
        let idle = world.store.copy_object(&bucket, copy(&source, "k")).await;
        assert!(matches!(idle, Err(Error::CopyOntoItself)));
        let mut request = copy(&source, "k");
        request.metadata = Some(user_metadata(30));
        let copied = world.store.copy_object(&bucket, request).await.unwrap();
        assert_eq!(copied.etag, put.etag);
        let info = world.head(&bucket, "k").await.unwrap();
        assert_eq!(info.record.metadata, Some(user_metadata(30)));
        world.settle().await;
        assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
        // A new checksum needs the bytes; they are read from what is replaced.
        let mut request = copy(&source, "k");
        request.storage_class = Some("STANDARD_IA".into());
        request.checksum = Some(Algorithm::Sha1);
        let copied = world.store.copy_object(&bucket, request).await.unwrap();
        assert_eq!(copied.checksums.len(), 1);
        world.settle().await;
        assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
        let info = world.head(&bucket, "k").await.unwrap();
        assert_eq!(info.record.metadata, Some(user_metadata(30)));
    }
}

async fn conditional_copies(world: &World) {
    let bucket = world.bucket("copy-conditions").await;
    let put = world.put(&bucket, "k", body(7, SMALL)).await.unwrap();
    for at in ["k", "other"] {
        let attempt = async |conditions: ReadConditions, target: WriteConditions| {
            let source = CopySource {
                bucket: bucket.clone(),
                key: key("k"),
                version: None,
                range: None,
                conditions,
                links: Default::default(),
            };
            let mut request = copy(&source, at);
            request.metadata = Some(Metadata::default());
            request.conditions = target;
            world.store.copy_object(&bucket, request).await.map(|_| ())
        };
        let tag = |etag: &str| Some(EtagCondition::parse(etag));
        let none = WriteConditions::default;
        let same = ReadConditions { if_none_match: tag(&put.etag), ..Default::default() };
        assert!(matches!(
            attempt(same, none()).await,
            Err(Error::PreconditionFailed { condition: "If-None-Match" })
        ));
        let other = ReadConditions { if_match: tag("x"), ..Default::default() };
        assert!(matches!(
            attempt(other, none()).await,
            Err(Error::PreconditionFailed { condition: "If-Match" })
        ));
        let matching = ReadConditions { if_match: tag(&put.etag), ..Default::default() };
        assert!(attempt(matching, none()).await.is_ok());
        let taken = attempt(ReadConditions::default(), if_absent()).await;
        assert!(matches!(taken, Err(Error::PreconditionFailed { condition: "If-None-Match" })));
    }
}
