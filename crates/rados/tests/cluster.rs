//! The RADOS engine keeps the promises of the engine seam on a real cluster, with
//! one gateway and with several at once.
//!
//! Needs the cluster that `cargo xtask test --only rados-engine` starts.

#[path = "../../core/tests/common/linear.rs"]
mod linear;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use costrel_core::engine::{
    BlobId, BucketId, Commit, CommitError, Engine, Expect, Partition, RowRef, Table, Tallies, Write,
};
use costrel_rados::{Options, RadosEngine};
use costrel_testkit::{ELSEWHERE, Workload, conformance, seed};
use linear::{Event, Operation, check};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const META: &str = "costrel-meta";
const REPLICATED: &str = "costrel-data";
const ERASURE_CODED: &str = "costrel-data-ec";

/// Options for a namespace of its own.
fn options(data_pool: &str) -> Options {
    let conf = std::env::var("COSTREL_TEST_CEPH_CONF").expect("COSTREL_TEST_CEPH_CONF is set");
    let other_pool = if data_pool == REPLICATED { ERASURE_CODED } else { REPLICATED };
    Options {
        namespace: format!("test-{:016x}", rand::random::<u64>()),
        places: vec![(ELSEWHERE.to_owned(), other_pool.to_owned())],
        ..Options::new(conf, "client.admin", META, data_pool)
    }
}

async fn open(options: &Options) -> Arc<dyn Engine> {
    RadosEngine::open(options.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn rados_engine_conforms() {
    conformance::run(|| async { open(&options(REPLICATED)).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn rados_engine_conforms_on_erasure_coded_data() {
    conformance::run(|| async { open(&options(ERASURE_CODED)).await }).await;
}

/// Each burst of work goes through another gateway, and another one compares.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn gateways_see_each_others_work() {
    let options = options(REPLICATED);
    let gateways = [open(&options).await, open(&options).await];
    let mut workload = Workload::new(seed());
    for round in 0..6 {
        workload.run(&*gateways[round % 2], 150).await;
        workload.compare(&*gateways[(round + 1) % 2]).await;
    }
    for gateway in gateways {
        gateway.close().await.unwrap();
    }
}

/// A gateway that was away goes on with a blob that another one has freed meanwhile.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn a_blob_that_was_freed_under_its_writer_leaves_nothing() {
    const PIECE: usize = 4 << 20;
    let options = options(REPLICATED);
    let (writing, freeing) = (open(&options).await, open(&options).await);
    let id = BlobId(rand::random());
    let mut writer = writing.blobs().create(id, None).await.unwrap();
    for _ in 0..7 {
        writer.write(Bytes::from(vec![1; PIECE])).await.unwrap();
    }
    freeing.blobs().delete(id).await.unwrap();
    for _ in 0..7 {
        writer.write(Bytes::from(vec![2; PIECE])).await.unwrap();
    }
    drop(writer);
    let left = freeing.blobs().list(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|blob| blob.id).collect::<Vec<_>>(), [id]);
    writing.blobs().delete(id).await.unwrap();
    assert_eq!(freeing.blobs().list(None, 10).await.unwrap(), []);
    for gateway in [writing, freeing] {
        gateway.close().await.unwrap();
    }
}

const BUCKET: Partition = Partition::Bucket(BucketId(1));
const KEYS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// Hands out values and times, and keeps what happened to each key.
#[derive(Default)]
struct Recorder {
    ticks: AtomicU64,
    values: AtomicU64,
    events: Mutex<HashMap<&'static [u8], Vec<Event<Operation>>>>,
}

impl Recorder {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }
}

async fn client(gateway: Arc<dyn Engine>, recorder: Arc<Recorder>, mut rng: StdRng) {
    let row = RowRef::only(Table::Object);
    let bytes = |value: u64| Bytes::copy_from_slice(&value.to_be_bytes());
    let mut seen: HashMap<&[u8], u64> = HashMap::new();
    for _ in 0..120 {
        let key = KEYS[rng.random_range(0..KEYS.len())];
        let new = recorder.values.fetch_add(1, Ordering::SeqCst) + 1;
        let old = seen.get(key).copied();
        let put = Write::Put(row.clone(), bytes(new));
        let equals = |old| vec![Expect::Equals(row.clone(), bytes(old))];
        let (expects, write) = match (rng.random_range(0..8), old) {
            (0 | 1, _) => (vec![], put),
            (2, _) => (vec![Expect::Absent(row.clone())], put),
            (3, Some(old)) => (equals(old), put),
            (4, _) => (vec![], Write::Delete(row.clone())),
            (5, Some(old)) => (equals(old), Write::Delete(row.clone())),
            _ => {
                let called = recorder.tick();
                let rows = std::slice::from_ref(&row);
                let value = gateway.index().read(BUCKET, key, rows).await.unwrap().remove(0);
                let value = value.map(|v| u64::from_be_bytes(v[..].try_into().unwrap()));
                value.map(|value| seen.insert(key, value));
                let returned = Some(recorder.tick());
                let event = Event { called, returned, operation: Operation::Read(value) };
                recorder.events.lock().entry(key).or_default().push(event);
                continue;
            }
        };
        let called = recorder.tick();
        let commit = Commit {
            partition: BUCKET,
            group: Bytes::from_static(key),
            expects: expects.clone(),
            writes: vec![write.clone()],
            tallies: Tallies::default(),
        };
        let taken = match gateway.index().commit(commit).await {
            Ok(()) => true,
            Err(CommitError::Conflict(0)) => false,
            Err(error) => panic!("{error}"),
        };
        let returned = Some(recorder.tick());
        let operation = match (&expects[..], &write, old) {
            ([], Write::Put(..), _) => Operation::Put(new),
            ([], Write::Delete(_), _) => Operation::Delete,
            ([Expect::Equals(..)], Write::Put(..), Some(old)) => {
                Operation::PutIfMatch(old, new, taken)
            }
            ([_], Write::Delete(_), Some(old)) => Operation::DeleteIfMatch(old, taken),
            _ => Operation::PutIfAbsent(new, taken),
        };
        recorder.events.lock().entry(key).or_default().push(Event { called, returned, operation });
    }
}

/// Clients of three gateways at once, on the same few keys.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn histories_over_several_gateways_are_linearizable() {
    let (options, seed) = (options(REPLICATED), seed());
    let mut clients = Vec::new();
    let recorder = Arc::new(Recorder::default());
    for gateway in 0..3 {
        let engine = open(&options).await;
        engine.index().create_partition(BUCKET).await.unwrap();
        for number in 0..3 {
            let rng = StdRng::seed_from_u64(seed.wrapping_add(gateway * 3 + number));
            clients.push(tokio::spawn(client(engine.clone(), recorder.clone(), rng)));
        }
    }
    for client in clients {
        client.await.unwrap();
    }
    let events = std::mem::take(&mut *recorder.events.lock());
    assert!(events.values().map(Vec::len).sum::<usize>() > 800);
    for (key, history) in events {
        check(&history).unwrap_or_else(|problem| panic!("key {key:?}: {problem}"));
    }
}
