//! Multipart uploads: what completes, what is refused and what is freed.

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::checksum::{
    Algorithm, ChecksumType, Digester, Expected, composite, crc64_combine,
};
use costrel_core::error::Declared;
use costrel_core::object::{CopySource, Selection};
use costrel_core::precondition::{EtagCondition, WriteConditions};
use costrel_core::range::ByteRange;
use costrel_core::upload::{
    CompletePart, CompleteRequest, InitiateRequest, ListParts, PartCopyRequest, UploadChecksum,
};
use md5::{Digest as _, Md5};

use crate::common::random::{Random, seed};
use crate::common::{LARGE, SMALL, World, body, complete_request, initiate_request, key};

crate::on_every_engine!(
    parts_become_the_object,
    random_uploads_equal_their_parts,
    overwritten_and_unused_parts_are_freed,
    refused_completions_leave_the_upload_open,
    checksums_of_whole_objects,
    aborted_uploads_are_freed,
    unknown_uploads,
    parts_copied_from_objects,
    part_lists_page,
    many_runs_get_a_row,
    conditional_completions,
    completed_objects_are_replaced,
);

async fn parts_become_the_object(world: &World) {
    let bucket = world.bucket("uploads").await;
    let pieces = [body(1, LARGE), body(2, SMALL), body(3, LARGE), Bytes::new()];
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let mut parts = Vec::new();
    // Any numbers, in any order of time.
    for (number, piece) in [(9, 2), (3, 0), (10_000, 3), (5, 1)] {
        parts.push(world.part(&bucket, "k", upload, number, pieces[piece].clone()).await.unwrap());
    }
    parts.sort_by_key(|part| part.number);
    assert!(matches!(world.get(&bucket, "k").await, Err(Error::NoSuchKey)));
    let done = world.complete(&bucket, "k", upload, parts).await.unwrap();

    let whole = pieces.concat();
    let mut md5 = Md5::new();
    pieces.iter().for_each(|piece| md5.update(Md5::digest(piece)));
    assert_eq!(done.etag, format!("{}-4", hex::encode(md5.finalize())));
    assert_eq!(done.crc64, Digester::crc64(&whole));
    assert_eq!(done.size, whole.len() as u64);
    let (info, read) = world.get_part(&bucket, "k", Selection::Whole).await.unwrap();
    assert_eq!(read, whole);
    assert_eq!((info.etag, info.record.crc64), (done.etag, done.crc64));
    for (number, piece) in pieces.iter().enumerate() {
        let part = Selection::Part(number as u32 + 1);
        let (info, read) = world.get_part(&bucket, "k", part).await.unwrap();
        assert_eq!(info.record.size, done.size);
        assert_eq!(&read, piece);
    }
    for number in [0, 5, 9] {
        let part = world.get_part(&bucket, "k", Selection::Part(number)).await;
        assert!(matches!(part, Err(Error::InvalidPartNumber)));
    }
    for (first, last) in [(0, 0), (4999, 5000), (4999, 5100), (5099, 10_099), (100, 9000)] {
        let range = Selection::Range(ByteRange::FromTo(first, last));
        let (_, read) = world.get_part(&bucket, "k", range).await.unwrap();
        assert_eq!(read, whole[first as usize..=(last as usize).min(whole.len() - 1)]);
    }
    let report = world.settle().await;
    assert_eq!((report.uploads, report.parts, report.blobs), (0, 4, 2));
}

async fn random_uploads_equal_their_parts(world: &World) {
    let mut random = Random::new(seed("random_uploads_equal_their_parts"));
    let bucket = world.bucket("random-uploads").await;
    for _ in 0..12 {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let mut number = 0;
        let mut whole = Vec::new();
        let mut parts = Vec::new();
        for _ in 0..1 + random.below(8) {
            number += 1 + random.below(3) as u32;
            let len = *random.pick(&[0, 1, SMALL, SMALL, LARGE, LARGE, 300_000]);
            let data = body(random.next(), len);
            whole.extend_from_slice(&data);
            parts.push(world.part(&bucket, "k", upload, number, data).await.unwrap());
        }
        let mut request = complete_request("k", upload, parts);
        request.part_bytes_min = 0;
        world.store.complete_upload(&bucket, request).await.unwrap();
        assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
        for _ in 0..10 {
            if whole.is_empty() {
                break;
            }
            let first = random.below(whole.len());
            let last = first + random.below(whole.len() - first);
            let range = Selection::Range(ByteRange::FromTo(first as u64, last as u64));
            let (_, read) = world.get_part(&bucket, "k", range).await.unwrap();
            assert_eq!(read, whole[first..=last], "{first}..={last} of {}", whole.len());
        }
    }
}

async fn overwritten_and_unused_parts_are_freed(world: &World) {
    let bucket = world.bucket("unused").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let mut last = None;
    for (seed, len) in [LARGE, LARGE, SMALL, SMALL, 0, LARGE, 0, SMALL, LARGE].iter().enumerate() {
        let data = body(seed as u64, *len);
        last = Some((world.part(&bucket, "k", upload, 2, data.clone()).await.unwrap(), data));
        let report = world.settle().await;
        assert_eq!((report.parts, report.blobs), (1, u64::from(*len == LARGE)));
    }
    for (number, len) in [(1, LARGE), (3, LARGE), (4, SMALL), (5, 0)] {
        world.part(&bucket, "k", upload, number, body(number.into(), len)).await.unwrap();
    }
    let (part, data) = last.unwrap();
    world.complete(&bucket, "k", upload, vec![part]).await.unwrap();
    let report = world.settle().await;
    assert_eq!((report.uploads, report.parts, report.blobs), (0, 1, 1));
    assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
}

async fn refused_completions_leave_the_upload_open(world: &World) {
    let bucket = world.bucket("refused").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let one = world.part(&bucket, "k", upload, 1, body(1, SMALL)).await.unwrap();
    let two = world.part(&bucket, "k", upload, 2, body(2, LARGE)).await.unwrap();
    let request = |parts: &[&CompletePart]| {
        complete_request("k", upload, parts.iter().map(|part| (*part).clone()).collect())
    };
    let attempt = async |request: CompleteRequest| {
        let refused = world.store.complete_upload(&bucket, request).await.unwrap_err();
        assert!(matches!(world.get(&bucket, "k").await, Err(Error::NoSuchKey)));
        refused
    };
    assert!(matches!(attempt(request(&[])).await, Error::NoParts));
    assert!(matches!(attempt(request(&[&two, &one])).await, Error::InvalidPartOrder));
    assert!(matches!(attempt(request(&[&one, &one])).await, Error::InvalidPartOrder));
    for number in [0, 10_001] {
        let part = CompletePart { number, ..one.clone() };
        assert!(matches!(attempt(request(&[&part])).await, Error::PartNumberOutOfRange));
    }
    for number in [3, 10_000] {
        let part = CompletePart { number, ..one.clone() };
        let refused = attempt(request(&[&one, &part])).await;
        assert!(matches!(refused, Error::InvalidPart { number: n } if n == number));
    }
    let part = CompletePart { etag: two.etag.clone(), ..one.clone() };
    assert!(matches!(attempt(request(&[&part])).await, Error::InvalidPart { number: 1 }));
    let small = CompleteRequest { part_bytes_min: 101, ..request(&[&one, &two]) };
    assert!(matches!(
        attempt(small).await,
        Error::PartTooSmall { number: 1, size: 100, min: 101, .. }
    ));
    let size = CompleteRequest { expected_size: Some(1), ..request(&[&one, &two]) };
    assert!(matches!(attempt(size).await, Error::UploadSizeMismatch { size: 5100, declared: 1 }));
    let crc64 = Expected { crc64: Some(1), ..Default::default() };
    let crc64 = CompleteRequest { expected: crc64, ..request(&[&one, &two]) };
    assert!(matches!(attempt(crc64).await, Error::DigestMismatch { declared: Declared::Crc64 }));

    // Still open: parts can change, and a right completion is taken at once.
    let two = world.part(&bucket, "k", upload, 2, body(3, LARGE)).await.unwrap();
    let right = CompleteRequest { part_bytes_min: 100, ..request(&[&one, &two]) };
    world.store.complete_upload(&bucket, right).await.unwrap();
    let whole = [body(1, SMALL), body(3, LARGE)].concat();
    assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
}

async fn checksums_of_whole_objects(world: &World) {
    let bucket = world.bucket("whole-checksums").await;
    let pieces = [body(1, LARGE), body(2, LARGE), body(3, SMALL)];
    let whole = pieces.concat();
    for algorithm in Algorithm::ALL {
        for kind in [ChecksumType::Composite, ChecksumType::FullObject] {
            if !algorithm.supports(kind) {
                assert!(matches!(
                    UploadChecksum::new(algorithm, Some(kind)),
                    Err(Error::ChecksumTypeUnsupported { .. })
                ));
                continue;
            }
            let checksum = UploadChecksum::new(algorithm, Some(kind)).unwrap();
            let request = InitiateRequest { checksum: Some(checksum), ..initiate_request("k") };
            let upload = world.store.initiate_upload(&bucket, request).await.unwrap();
            let mut parts = Vec::new();
            for (number, piece) in (1..).zip(&pieces) {
                let part = world.part(&bucket, "k", upload, number, piece.clone()).await.unwrap();
                assert_eq!(part.checksums.len(), 1);
                parts.push(part);
            }
            let digest = |data: &[u8]| {
                let mut digester = Digester::new([algorithm]);
                digester.update(data);
                digester.finish().of(algorithm).unwrap().clone()
            };
            let want = match kind {
                ChecksumType::FullObject => digest(&whole),
                ChecksumType::Composite => {
                    composite(algorithm, &pieces.iter().map(|p| digest(p)).collect::<Vec<_>>())
                }
            };
            let declare = |algorithm, value: Bytes| {
                let checksums = vec![(algorithm, value)];
                let expected = Expected { checksums, ..Default::default() };
                let request = complete_request("k", upload, parts.clone());
                CompleteRequest { expected, expected_kind: Some(kind), ..request }
            };
            let wrong = declare(algorithm, Bytes::from(vec![0; algorithm.value_len()]));
            let wrong = world.store.complete_upload(&bucket, wrong).await;
            assert!(matches!(wrong, Err(Error::DigestMismatch { .. })), "{wrong:?}");
            let other = Algorithm::ALL.into_iter().find(|other| *other != algorithm).unwrap();
            let other = declare(other, want.clone());
            let other = world.store.complete_upload(&bucket, other).await;
            assert!(matches!(other, Err(Error::ChecksumAlgorithmMismatch { .. })), "{other:?}");
            let mut part = parts.clone();
            part[0].checksums[0].1 = Bytes::from(vec![0; algorithm.value_len()]);
            let part = world.complete(&bucket, "k", upload, part).await;
            assert!(matches!(part, Err(Error::InvalidPart { number: 1 })), "{part:?}");

            let right = declare(algorithm, want.clone());
            let done = world.store.complete_upload(&bucket, right).await.unwrap();
            assert_eq!(done.checksums[0].value, want, "{algorithm:?} {kind:?}");
            assert_eq!(done.checksums[0].kind(), kind);
            let info = world.head(&bucket, "k").await.unwrap();
            assert_eq!(info.checksums().collect::<Vec<_>>(), done.checksums);
        }
    }
    // The CRC of the whole comes from the parts', empty ones among them.
    let (a, b) = (Digester::crc64(&pieces[0]), Digester::crc64(&pieces[1]));
    assert_eq!(crc64_combine(a, b, LARGE as u64), Digester::crc64(&whole[..2 * LARGE]));
    assert_eq!(crc64_combine(a, Digester::crc64(b""), 0), a);
    assert_eq!(crc64_combine(Digester::crc64(b""), b, LARGE as u64), b);
}

async fn aborted_uploads_are_freed(world: &World) {
    let bucket = world.bucket("aborted").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let kept = world.initiate(&bucket, "k").await.unwrap();
    for (number, len) in [(1, LARGE), (2, SMALL), (3, 0)] {
        world.part(&bucket, "k", upload, number, body(1, len)).await.unwrap();
        world.part(&bucket, "k", kept, number, body(2, len)).await.unwrap();
    }
    world.abort(&bucket, "k", upload).await.unwrap();
    assert!(matches!(world.abort(&bucket, "k", upload).await, Err(Error::NoSuchUpload)));
    let report = world.settle().await;
    assert_eq!((report.uploads, report.parts, report.blobs), (1, 3, 1));
    world.abort(&bucket, "k", kept).await.unwrap();
    let report = world.settle().await;
    assert_eq!((report.uploads, report.parts, report.blobs), (0, 0, 0));
}

async fn unknown_uploads(world: &World) {
    let bucket = world.bucket("unknown").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let part = world.part(&bucket, "k", upload, 1, body(1, LARGE)).await.unwrap();
    // Of another key, it does not exist.
    for len in [SMALL, LARGE] {
        let other = world.part(&bucket, "other", upload, 1, body(1, len)).await;
        assert!(matches!(other, Err(Error::NoSuchUpload)));
    }
    assert!(matches!(world.abort(&bucket, "other", upload).await, Err(Error::NoSuchUpload)));
    world.complete(&bucket, "k", upload, vec![part.clone()]).await.unwrap();
    let again = world.complete(&bucket, "k", upload, vec![part]).await;
    assert!(matches!(again, Err(Error::NoSuchUpload)));
    assert!(matches!(world.abort(&bucket, "k", upload).await, Err(Error::NoSuchUpload)));
    let late = world.part(&bucket, "k", upload, 2, body(1, LARGE)).await;
    assert!(matches!(late, Err(Error::NoSuchUpload)));
    for number in [0, 10_001] {
        let part = world.part(&bucket, "k", upload, number, body(1, SMALL)).await;
        assert!(matches!(part, Err(Error::PartNumberOutOfRange)));
    }
    let list = ListParts { key: key("k"), upload, after: 0, max: 10 };
    assert!(matches!(world.store.list_parts(&bucket, &list).await, Err(Error::NoSuchUpload)));
}

async fn parts_copied_from_objects(world: &World) {
    let bucket = world.bucket("part-copy").await;
    let source = body(1, 50_000);
    world.put(&bucket, "source", source.clone()).await.unwrap();
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let mut parts = Vec::new();
    for (number, range) in [(1, Some((0, 19_999))), (2, Some((20_000, 20_099))), (3, None)] {
        let request = PartCopyRequest {
            source: CopySource {
                bucket: bucket.clone(),
                key: key("source"),
                version: None,
                range: range.map(|(first, last)| ByteRange::FromTo(first, last)),
                conditions: Default::default(),
                links: Default::default(),
            },
            key: key("k"),
            upload,
            number,
        };
        let copied = world.store.copy_part(&bucket, request).await.unwrap();
        parts.push(CompletePart { number, etag: copied.etag, checksums: Vec::new() });
    }
    world.complete(&bucket, "k", upload, parts).await.unwrap();
    let whole = [&source[..20_100], &source[..]].concat();
    assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
    // And an object made of parts is itself copied whole.
    let source = CopySource {
        bucket: bucket.clone(),
        key: key("k"),
        version: None,
        range: None,
        conditions: Default::default(),
        links: Default::default(),
    };
    let request = costrel_core::object::CopyRequest {
        source,
        key: key("copy"),
        metadata: None,
        website_redirect: String::new(),
        storage_class: None,
        tags: None,
        lock: Default::default(),
        acl: Default::default(),
        checksum: None,
        conditions: Default::default(),
    };
    world.store.copy_object(&bucket, request).await.unwrap();
    world.delete(&bucket, "k").await.unwrap();
    world.settle().await;
    assert_eq!(world.get(&bucket, "copy").await.unwrap(), whole);
}

async fn part_lists_page(world: &World) {
    let bucket = world.bucket("part-lists").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let neighbour = world.initiate(&bucket, "k").await.unwrap();
    let numbers = [1, 2, 3, 255, 256, 257, 9_999, 10_000];
    for number in numbers {
        for id in [upload, neighbour] {
            world.part(&bucket, "k", id, number, body(number.into(), SMALL)).await.unwrap();
        }
    }
    for max in [1, 2, 3, 7, 8, 9, 1000, usize::MAX] {
        let mut seen = Vec::new();
        let mut after = 0;
        loop {
            let list = ListParts { key: key("k"), upload, after, max };
            let page = world.store.list_parts(&bucket, &list).await.unwrap();
            assert!(page.parts.len() <= max);
            seen.extend(page.parts.iter().map(|part| part.number));
            if !page.truncated {
                break;
            }
            after = page.parts.last().unwrap().number;
        }
        assert_eq!(seen, numbers, "{max} at a time");
    }
    let none = ListParts { key: key("k"), upload, after: 0, max: 0 };
    let none = world.store.list_parts(&bucket, &none).await.unwrap();
    assert!(none.parts.is_empty() && !none.truncated);
    let end = ListParts { key: key("k"), upload, after: u32::MAX, max: 5 };
    assert!(world.store.list_parts(&bucket, &end).await.unwrap().parts.is_empty());
}

async fn many_runs_get_a_row(world: &World) {
    let bucket = world.bucket("runs").await;
    for (round, parts) in [70u32, 10, 64, 65].into_iter().enumerate() {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let mut named = Vec::new();
        let mut whole = Vec::new();
        for number in 1..=parts {
            let data = body(round as u64 * 1000 + u64::from(number), 10 + (number % 2) as usize);
            whole.extend_from_slice(&data);
            named.push(world.part(&bucket, "k", upload, number, data).await.unwrap());
        }
        world.complete(&bucket, "k", upload, named).await.unwrap();
        assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
        let part = Selection::Part(parts);
        let (info, last) = world.get_part(&bucket, "k", part).await.unwrap();
        assert_eq!(last, whole[whole.len() - last.len()..]);
        assert_eq!(info.parts_count(), Some(parts));
        let report = world.settle().await;
        assert_eq!(report.parts, u64::from(parts) + u64::from(parts > 64));
    }
}

async fn conditional_completions(world: &World) {
    let bucket = world.bucket("complete-if").await;
    let put = world.put(&bucket, "k", body(1, LARGE)).await.unwrap();
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let part = world.part(&bucket, "k", upload, 1, body(2, LARGE)).await.unwrap();
    let attempt = async |conditions| {
        let request = complete_request("k", upload, vec![part.clone()]);
        let request = CompleteRequest { conditions, ..request };
        world.store.complete_upload(&bucket, request).await
    };
    let tag = |etag: &str| Some(EtagCondition::parse(etag));
    let absent = WriteConditions { if_none_match: tag("*"), ..Default::default() };
    assert!(matches!(attempt(absent).await, Err(Error::PreconditionFailed { .. })));
    let other = WriteConditions { if_match: tag("x"), ..Default::default() };
    assert!(matches!(attempt(other).await, Err(Error::PreconditionFailed { .. })));
    let matching = WriteConditions { if_match: tag(&put.etag), ..Default::default() };
    attempt(matching).await.unwrap();
    assert_eq!(world.get(&bucket, "k").await.unwrap(), body(2, LARGE));
}

async fn completed_objects_are_replaced(world: &World) {
    let bucket = world.bucket("replaced").await;
    for (round, after) in [SMALL, LARGE, 0].into_iter().enumerate() {
        for _ in 0..2 {
            let upload = world.initiate(&bucket, "k").await.unwrap();
            let one = world.part(&bucket, "k", upload, 1, body(1, LARGE)).await.unwrap();
            let two = world.part(&bucket, "k", upload, 2, body(2, SMALL)).await.unwrap();
            world.complete(&bucket, "k", upload, vec![one, two]).await.unwrap();
            let report = world.settle().await;
            assert_eq!((report.objects, report.parts, report.blobs), (1, 2, 1));
        }
        let data = body(round as u64, after);
        world.put(&bucket, "k", data.clone()).await.unwrap();
        let report = world.settle().await;
        assert_eq!((report.parts, report.blobs), (0, u64::from(after == LARGE)));
        assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
    }
}
