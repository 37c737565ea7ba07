//! Concurrent clients on few keys: whatever they see can be explained by
//! operations that happened one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::list::ListObjects;
use costrel_core::object::DeleteRequest;
use costrel_core::precondition::{EtagCondition, WriteConditions};
use costrel_core::version::Versioning;
use costrel_embedded::Durability;
use parking_lot::Mutex;

use crate::common::faulty::{Faulty, Manner};
use crate::common::linear::{Event, Operation, Value, check};
use crate::common::random::{Random, seed};
use crate::common::{LARGE, SMALL, World, body, complete_request, delete_request};

/// Reads share as little of a snapshot as the seam allows.
const TORN: Manner = Manner { torn: true, lingering: false };

crate::on_every_engine!(
    histories_are_linearizable,
    histories_of_versions_are_linearizable,
    completions_beside_each_other,
    parts_beside_completions,
    abortions_beside_completions,
    appends_beside_each_other,
);

const CLIENTS: usize = 8;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// Hands out values, times, and which ETag is whose.
#[derive(Default)]
struct Recorder {
    ticks: AtomicU64,
    values: AtomicU64,
    etags: Mutex<HashMap<String, u64>>,
    events: Mutex<HashMap<&'static str, Vec<Event<Operation>>>>,
}

impl Recorder {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn record(&self, key: &'static str, called: u64, operation: Operation) {
        let event = Event { called, returned: Some(self.tick()), operation };
        self.events.lock().entry(key).or_default().push(event);
    }

    fn value_of(&self, etag: &str) -> Option<u64> {
        Some(self.etags.lock()[etag])
    }
}

async fn client(world: &World, bucket: &Bucket, recorder: &Recorder, seed: u64, operations: usize) {
    let mut random = Random::new(seed);
    // What this client saw last, for its conditions.
    let mut seen: HashMap<&str, (u64, String)> = HashMap::new();
    for _ in 0..operations {
        let key = *random.pick(&KEYS);
        match random.below(10) {
            0..=4 => {
                let value = recorder.values.fetch_add(1, Ordering::SeqCst) + 1;
                // One in eight is a blob.
                let len = if random.below(8) == 0 { LARGE } else { SMALL };
                let data = body(value, len);
                let mut digester = costrel_core::checksum::Digester::new([]);
                digester.update(&data);
                recorder.etags.lock().insert(hex::encode(digester.finish().md5), value);
                let (conditions, expected) = match random.below(3) {
                    0 => (WriteConditions::default(), None),
                    1 => {
                        let if_none_match = Some(EtagCondition::Any);
                        (WriteConditions { if_none_match, ..Default::default() }, None)
                    }
                    _ => match seen.get(key) {
                        Some((old, etag)) => (if_match(etag), Some(*old)),
                        None => continue,
                    },
                };
                let absent = conditions.if_none_match.is_some();
                let called = recorder.tick();
                let put = world.put_if(bucket, key, data, conditions).await;
                let taken = match &put {
                    Ok(_) => true,
                    Err(Error::PreconditionFailed { .. } | Error::NoSuchKey) => false,
                    Err(error) => panic!("{error}"),
                };
                let operation = match (expected, absent) {
                    (Some(old), _) => Operation::PutIfMatch(old, value, taken),
                    (None, true) => Operation::PutIfAbsent(value, taken),
                    (None, false) => Operation::Put(value),
                };
                recorder.record(key, called, operation);
                if let Ok(put) = put {
                    seen.insert(key, (value, put.etag));
                }
            }
            5 => {
                let expected = seen.get(key).filter(|_| random.below(2) == 0).cloned();
                let conditions = match &expected {
                    Some((_, etag)) => if_match(etag),
                    None => WriteConditions::default(),
                };
                let request = DeleteRequest { conditions, ..delete_request(key) };
                let called = recorder.tick();
                let deleted = world.store.delete_object(bucket, &request).await;
                let taken = match deleted {
                    Ok(_) => true,
                    Err(Error::PreconditionFailed { .. } | Error::NoSuchKey) => false,
                    Err(error) => panic!("{error}"),
                };
                recorder.record(
                    key,
                    called,
                    match expected {
                        Some((old, _)) => Operation::DeleteIfMatch(old, taken),
                        None => Operation::Delete,
                    },
                );
            }
            6 => {
                // A list reads each key once, somewhere during the call.
                let called = recorder.tick();
                let request = ListObjects { max: 100, ..Default::default() };
                let page = world.store.list_objects(bucket, &request).await.unwrap();
                let listed: HashMap<String, String> =
                    page.entries.into_iter().map(|(key, entry)| (key, entry.etag)).collect();
                for key in KEYS {
                    let value = listed.get(key).and_then(|etag| recorder.value_of(etag));
                    recorder.record(key, called, Operation::Read(value));
                }
            }
            _ => {
                let called = recorder.tick();
                let value: Value = match world.get_part(bucket, key, Default::default()).await {
                    Ok((info, data)) => {
                        let value = recorder.value_of(&info.etag).unwrap();
                        assert_eq!(data, body(value, data.len()));
                        seen.insert(key, (value, info.etag));
                        Some(value)
                    }
                    Err(Error::NoSuchKey | Error::CurrentIsMarker { .. }) => None,
                    Err(error) => panic!("{error}"),
                };
                recorder.record(key, called, Operation::Read(value));
            }
        }
    }
}

fn if_match(etag: &str) -> WriteConditions {
    WriteConditions { if_match: Some(EtagCondition::parse(etag)), ..Default::default() }
}

async fn histories_are_linearizable(world: &World) {
    histories_in(world, world.bucket("histories").await).await;
}

/// Delete markers and null versions are what the clients see as nothing.
async fn histories_of_versions_are_linearizable(world: &World) {
    for versioning in [Versioning::Enabled, Versioning::Suspended] {
        let name = format!("histories-{}", versioning as u32);
        histories_in(world, world.versioned(&name, versioning).await).await;
    }
}

async fn histories_in(world: &World, bucket: Arc<Bucket>) {
    let seed = seed("histories_are_linearizable");
    let recorder = Arc::new(Recorder::default());
    let clients = (0..CLIENTS as u64)
        .map(|number| client(world, &bucket, &recorder, seed.wrapping_add(number * 7919), 500));
    // The collector works beside them.
    let collecting = async {
        for _ in 0..50 {
            world.collector.sweep().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    futures_util::future::join(futures_util::future::join_all(clients), collecting).await;
    let events = std::mem::take(&mut *recorder.events.lock());
    assert!(events.values().map(Vec::len).sum::<usize>() > 3000);
    for (key, history) in events {
        check(&history).unwrap_or_else(|problem| panic!("key {key}: {problem}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_of_synced_commits_are_linearizable() {
    let world = World::embedded_with(Durability::Sync);
    histories_are_linearizable(&world).await;
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_over_torn_reads_are_linearizable() {
    let world = World::over(Faulty::with(World::memory().engine, TORN));
    histories_are_linearizable(&world).await;
    world.settle().await;
    histories_of_versions_are_linearizable(&world).await;
    world.settle().await;
}

async fn completions_beside_each_other(world: &World) {
    let bucket = world.bucket("completions").await;
    for round in 0..10 {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let data = body(round, LARGE);
        let part = world.part(&bucket, "k", upload, 1, data.clone()).await.unwrap();
        let right = complete_request("k", upload, vec![part.clone()]);
        let mut wrong = right.clone();
        wrong.parts[0].number = 2;
        let attempts = [&right, &wrong, &wrong, &right, &wrong];
        let attempts = attempts.map(|request| {
            let (request, bucket) = (request.clone(), &bucket);
            async move { world.store.complete_upload(bucket, request).await }
        });
        let mut completed = 0;
        for (number, result) in
            futures_util::future::join_all(attempts).await.into_iter().enumerate()
        {
            match result {
                Ok(_) => completed += 1,
                Err(Error::InvalidPart { number: 2 }) => assert!(![0, 3].contains(&number)),
                Err(Error::NoSuchUpload) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // A right completion is never lost to wrong ones.
        assert_eq!(completed, 1);
        assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
    }
}

async fn parts_beside_completions(world: &World) {
    let bucket = world.bucket("parts-completions").await;
    for round in 0..10u64 {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let first = body(round, LARGE);
        let part = world.part(&bucket, "k", upload, 1, first.clone()).await.unwrap();
        let second = body(round + 1000, if round % 2 == 0 { LARGE } else { SMALL });
        let overwrite = world.part(&bucket, "k", upload, 1, second.clone());
        let complete = world.complete(&bucket, "k", upload, vec![part]);
        let (overwritten, completed) = futures_util::future::join(overwrite, complete).await;
        match completed {
            Ok(_) => {
                // The overwriting part came too late.
                assert!(matches!(overwritten, Err(Error::NoSuchUpload)), "{overwritten:?}");
                assert_eq!(world.get(&bucket, "k").await.unwrap(), first);
            }
            Err(Error::InvalidPart { number: 1 }) => {
                let part = overwritten.unwrap();
                world.complete(&bucket, "k", upload, vec![part]).await.unwrap();
                assert_eq!(world.get(&bucket, "k").await.unwrap(), second);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn abortions_beside_completions(world: &World) {
    let bucket = world.bucket("abortions").await;
    for round in 0..10 {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let part = world.part(&bucket, "k", upload, 1, body(round, LARGE)).await.unwrap();
        let late = world.part(&bucket, "k", upload, 2, body(round, LARGE));
        let (aborted, completed, late) = futures_util::future::join3(
            world.abort(&bucket, "k", upload),
            world.complete(&bucket, "k", upload, vec![part]),
            late,
        )
        .await;
        assert!(late.is_ok() || matches!(late, Err(Error::NoSuchUpload)), "{late:?}");
        match (aborted, completed) {
            (Ok(()), Err(Error::NoSuchUpload)) => {
                assert!(matches!(world.get(&bucket, "k").await, Err(Error::NoSuchKey)));
            }
            (Err(Error::NoSuchUpload), Ok(_)) => {
                assert_eq!(world.get(&bucket, "k").await.unwrap(), body(round, LARGE));
                world.delete(&bucket, "k").await.unwrap();
            }
            other => panic!("{other:?}"),
        }
        world.settle().await;
    }
}

async fn appends_beside_each_other(world: &World) {
    let bucket = world.bucket("appends").await;
    let writers = (0..4u64).map(|writer| {
        let bucket = &bucket;
        async move {
            let mut done = Vec::new();
            for number in 0..12 {
                let data = body(writer * 100 + number, if number % 3 == 0 { LARGE } else { SMALL });
                loop {
                    let at = match world.head(bucket, "k").await {
                        Ok(info) => info.record.size,
                        Err(_) => 0,
                    };
                    match world.append(bucket, "k", at, data.clone()).await {
                        Ok(_) => break done.push((at as usize, data)),
                        Err(Error::AppendPosition { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            done
        }
    });
    let done = futures_util::future::join_all(writers).await.concat();
    let whole = world.get(&bucket, "k").await.unwrap();
    assert_eq!(whole.len(), done.iter().map(|(_, data)| data.len()).sum::<usize>());
    for (at, data) in done {
        assert_eq!(whole[at..at + data.len()], data);
    }
}
