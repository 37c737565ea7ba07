//! Readers beside writers and the collector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use costrel_core::Error;
use costrel_core::body::BytesSource;
use costrel_core::names::BucketName;
use costrel_core::object::{GetRequest, ObjectReader, Seen, Selection};
use costrel_core::range::ByteRange;
use costrel_core::record::Content;
use costrel_core::tier::BlobAddress;

use crate::common::faulty::{Faulty, Manner};
use crate::common::{LARGE, OWNER, SMALL, World, body, get_request, key, put_request};

/// Reads share as little of a snapshot as the seam allows.
const TORN: Manner = Manner { torn: true, lingering: false };

crate::on_every_engine!(
    readers_keep_what_they_opened,
    pinned_parts_wait_for_their_readers,
    a_range_inside_a_part_reads_little_else,
    readers_beside_overwriters,
    readers_beside_appends,
    who_saw_an_object_reads_no_other,
    who_saw_an_object_hears_that_its_bytes_are_missing,
);

async fn rest(mut reader: ObjectReader) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(piece) = reader.next_piece().await.unwrap() {
        data.extend_from_slice(&piece);
    }
    data
}

async fn readers_keep_what_they_opened(world: &World) {
    let bucket = world.bucket("readers").await;
    for len in [SMALL, LARGE, 600_000] {
        let data = body(len as u64, len);
        world.put(&bucket, "k", data.clone()).await.unwrap();
        let (_, _, reader) = world.store.get_object(&bucket, &get_request("k")).await.unwrap();
        world.delete(&bucket, "k").await.unwrap();
        world.settle().await;
        assert_eq!(rest(reader).await, data);
    }
}

async fn a_range_inside_a_part_reads_little_else(world: &World) {
    let bucket = world.bucket("ranges").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let data = body(1, 3 << 20);
    let part = world.part(&bucket, "k", upload, 1, data.clone()).await.unwrap();
    world.complete(&bucket, "k", upload, vec![part]).await.unwrap();
    let bytes_read = || {
        let metrics = world.engine.metrics().into_iter();
        let read = metrics.filter(|metric| metric.name == "costrel_engine_blob_read_bytes_total");
        read.map(|metric| metric.value).sum::<f64>()
    };
    let before = bytes_read();
    let selection = Selection::Range(ByteRange::FromTo(1_000_000, 1_000_999));
    let request = GetRequest { selection, ..get_request("k") };
    let (_, _, reader) = world.store.get_object(&bucket, &request).await.unwrap();
    assert!(rest(reader).await[..] == data[1_000_000..1_001_000]);
    assert!(bytes_read() - before <= 1000.0, "{} bytes", bytes_read() - before);
}

async fn pinned_parts_wait_for_their_readers(world: &World) {
    let bucket = world.bucket("pinned").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let mut parts = Vec::new();
    let mut whole = Vec::new();
    for number in 1..=70 {
        let data = body(number.into(), if number % 2 == 0 { SMALL } else { LARGE });
        whole.extend_from_slice(&data);
        parts.push(world.part(&bucket, "k", upload, number, data).await.unwrap());
    }
    world.complete(&bucket, "k", upload, parts).await.unwrap();
    let (_, _, first) = world.store.get_object(&bucket, &get_request("k")).await.unwrap();
    let (_, _, mut second) = world.store.get_object(&bucket, &get_request("k")).await.unwrap();
    second.next_piece().await.unwrap();
    world.put(&bucket, "k", body(0, SMALL)).await.unwrap();
    world.collector.sweep().await.unwrap();
    assert_eq!(rest(first).await, whole);
    world.collector.sweep().await.unwrap();
    assert_eq!(rest(second).await.len(), whole.len() - LARGE);
    // When the last has gone, the parts go.
    assert_eq!(world.settle().await.parts, 0);
}

async fn readers_beside_overwriters(world: &World) {
    let bucket = world.bucket("overwritten").await;
    // Bodies of every kind, recognised by their length.
    let lens = [SMALL, LARGE, SMALL + 1, LARGE + 1, SMALL + 2];
    let write = async |round: usize| {
        let which = round % (lens.len() + 1);
        if which < lens.len() {
            let data = body(lens[which] as u64, lens[which]);
            world.put(&bucket, "k", data).await.unwrap();
            return;
        }
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let mut parts = Vec::new();
        // Many runs, so that the layout has a row of its own.
        for number in 1..=66 {
            let data = body(7777, 10 + number as usize % 2);
            parts.push(world.part(&bucket, "k", upload, number, data).await.unwrap());
        }
        world.complete(&bucket, "k", upload, parts).await.unwrap();
    };
    write(0).await;
    let done = AtomicBool::new(false);
    let writer = async {
        for round in 0..60 {
            write(round).await;
            if round % 3 == 0 {
                world.collector.sweep().await.unwrap();
            }
        }
        done.store(true, Ordering::SeqCst);
    };
    let readers = (0..3).map(|reader| {
        let (bucket, done) = (&bucket, &done);
        async move {
            let mut read = 0;
            while !done.load(Ordering::SeqCst) {
                let selection = match reader {
                    0 => Selection::Part(1),
                    _ => Selection::Whole,
                };
                let (info, data) = world.get_part(bucket, "k", selection).await.unwrap();
                if info.record.etag_parts == 0 {
                    assert_eq!(data, body(data.len() as u64, data.len()));
                } else if selection == Selection::Whole {
                    assert_eq!(data.len(), 33 * 21);
                } else {
                    assert_eq!(data, body(7777, 11));
                }
                world.head(bucket, "k").await.unwrap();
                read += 1;
                tokio::task::yield_now().await;
            }
            read
        }
    });
    let ((), read) =
        futures_util::future::join(writer, futures_util::future::join_all(readers)).await;
    assert!(read.iter().all(|read| *read > 0), "{read:?}");
}

async fn readers_beside_appends(world: &World) {
    let bucket = world.bucket("appended").await;
    let whole = body(1, 20_000);
    let done = AtomicBool::new(false);
    let writer = async {
        let mut at = 0;
        for step in (0..).map(|n| [1, 150, 900, 1100][n % 4]) {
            let end = (at + step).min(whole.len());
            world.append(&bucket, "k", at as u64, whole.slice(at..end)).await.unwrap();
            at = end;
            tokio::task::yield_now().await;
            if at == whole.len() {
                break;
            }
        }
        done.store(true, Ordering::SeqCst);
    };
    let reader = async {
        while !done.load(Ordering::SeqCst) {
            match world.get(&bucket, "k").await {
                Ok(data) => assert_eq!(data, whole[..data.len()]),
                Err(error) => assert!(matches!(error, Error::NoSuchKey)),
            }
            tokio::task::yield_now().await;
        }
    };
    futures_util::future::join(writer, reader).await;
    assert_eq!(world.get(&bucket, "k").await.unwrap(), whole);
}

/// Bytes that are missing are not taken for replaced ones.
async fn who_saw_an_object_hears_that_its_bytes_are_missing(world: &World) {
    let bucket = world.bucket("lost").await;
    world.put(&bucket, "k", body(1, 600_000)).await.unwrap();
    let seen = world.store.see(&bucket, &key("k"), None, true).await.unwrap();
    let Some(Content::Blob(id)) = seen.record().unwrap().content.clone() else {
        panic!("not a blob");
    };
    world.engine.blobs().delete(BlobAddress::decode(&id).unwrap().id).await.unwrap();
    let request = GetRequest { seen: Some(Arc::new(seen)), ..get_request("k") };
    let missing = world.read(&bucket, &request).await.map(drop);
    assert!(matches!(missing, Err(Error::Damaged(_))), "{missing:?}");
    // For the check that follows each test.
    world.delete(&bucket, "k").await.unwrap();
    world.settle().await;
}

async fn who_saw_an_object_reads_no_other(world: &World) {
    let bucket = world.bucket("seen").await;
    let at = key("k");
    let read = async |seen: Seen| {
        let request = GetRequest { seen: Some(Arc::new(seen)), ..get_request("k") };
        world.read(&bucket, &request).await
    };
    let see = async |with_body| world.store.see(&bucket, &at, None, with_body).await.unwrap();
    for with_body in [true, false] {
        for len in [SMALL, LARGE, 600_000] {
            let data = body(len as u64, len);
            world.put(&bucket, "k", data.clone()).await.unwrap();
            let (_, found) = read(see(with_body).await).await.unwrap();
            assert!(found == data);

            let seen = see(with_body).await;
            world.put(&bucket, "k", body(1, len + 1)).await.unwrap();
            world.settle().await;
            match read(seen).await {
                Ok((info, found)) => assert!(info.record.size == len as u64 && found == data),
                Err(error) => assert!(matches!(error, Error::Overtaken), "{error}"),
            }
            let seen = see(with_body).await;
            world.delete(&bucket, "k").await.unwrap();
            world.settle().await;
            match read(seen).await {
                Ok((_, found)) => assert_eq!(found.len(), len + 1),
                Err(error) => assert!(matches!(error, Error::Overtaken), "{error}"),
            }

            let seen = see(with_body).await;
            assert!(seen.record().is_none() && seen.tags().is_none());
            let found = read(see(with_body).await).await;
            assert!(matches!(found, Err(Error::NoSuchKey)));
            world.put(&bucket, "k", data).await.unwrap();
            assert!(matches!(read(seen).await, Err(Error::Overtaken)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_reads_are_repeated() {
    let world = World::over(Faulty::with(World::memory().engine, TORN));
    readers_beside_overwriters(&world).await;
    readers_beside_appends(&world).await;
    world.settle().await;
}

#[tokio::test]
async fn a_dropped_collector_begins_again() {
    let world = World::over(Faulty::new(World::memory().engine));
    let bucket = world.bucket("collected").await;
    let upload = world.initiate(&bucket, "k").await.unwrap();
    let mut parts = Vec::new();
    for number in 1..=5 {
        let data = body(number.into(), LARGE);
        parts.push(world.part(&bucket, "k", upload, number, data).await.unwrap());
    }
    world.complete(&bucket, "k", upload, parts).await.unwrap();
    world.delete(&bucket, "k").await.unwrap();
    // Stopped a little later each time, in the middle of freeing the set.
    for times in 0..60 {
        let mut sweep = std::pin::pin!(world.collector.sweep());
        for _ in 0..times {
            let waker = std::task::Waker::noop();
            if sweep.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready() {
                break;
            }
        }
    }
    assert_eq!(world.settle().await.parts, 0);
}

#[tokio::test]
async fn the_collector_works_by_itself() {
    let World { collector, store, engine, .. } = World::memory();
    let running = tokio::spawn(collector.run());
    let name = BucketName::new("background").unwrap();
    let bucket = store.create_bucket(name, OWNER, None).await.unwrap();
    for round in 0..20 {
        let mut source = BytesSource::new(body(round, LARGE));
        store.put_object(&bucket, put_request("k"), &mut source).await.unwrap();
    }
    let blobs = async || engine.blobs().list(None, 100).await.unwrap().len();
    for _ in 0..1000 {
        if blobs().await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(blobs().await, 1);
    running.abort();
}
