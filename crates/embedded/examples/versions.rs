//! Measures what versions and many objects cost: lists of current objects whose keys
//! have a thousand versions each, and a lifecycle's walk over objects none of which
//! is due.
//!
//! `cargo run --release -p costrel-embedded --example versions -- DIR lists KEYS VERSIONS`
//! `cargo run --release -p costrel-embedded --example versions -- DIR walk OBJECTS`

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::body::BytesSource;
use costrel_core::bucket::Bucket;
use costrel_core::engine::{Commit, Engine, RowRef, Table, Write};
use costrel_core::env::{Clock, Entropy};
use costrel_core::lifecycle::{
    Expiration, Lifecycle, LifecycleJob, LifecycleOptions, Rule, RuleBounds,
};
use costrel_core::list::ListObjects;
use costrel_core::names::{BucketName, ObjectKey};
use costrel_core::object::PutRequest;
use costrel_core::record::{ObjectRecord, encode};
use costrel_core::version::Versioning;
use costrel_core::{Store, StoreOptions};
use costrel_embedded::{Durability, EmbeddedEngine, Options};

const OWNER: u64 = 100_000_000_001;
const WRITERS: u64 = 64;

struct Machine;

impl Clock for Machine {
    fn now_ms(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("a clock").as_millis() as u64
    }
}

impl Entropy for Machine {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a directory"));
    let what = arguments.next().expect("`lists` or `walk`");
    let mut number = || arguments.next().expect("a number").parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    match what.as_str() {
        "lists" => runtime.block_on(lists(dir, number(), number())),
        _ => runtime.block_on(walk(dir, number())),
    }
}

/// Writes wait for no sync: only what reading costs is measured.
fn open(dir: PathBuf) -> (Arc<EmbeddedEngine>, Arc<Store>) {
    let mut options = Options::new(dir);
    options.durability = Durability::None;
    let engine = EmbeddedEngine::open(options).expect("the engine opens");
    let clock = Arc::new(Machine);
    let (store, collector) =
        Store::new(engine.clone(), clock.clone(), clock, StoreOptions::default());
    tokio::spawn(collector.run());
    (engine, store)
}

async fn bucket(store: &Arc<Store>, name: &str) -> Arc<Bucket> {
    let name = BucketName::new(name).expect("a name");
    store.create_bucket(name, OWNER, None).await.expect("a bucket")
}

/// Numbers from 0 on, each for one of the writers.
async fn spread<A>(count: u64, work: impl Fn(u64) -> A + Clone + Send + 'static)
where
    A: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (next, work) = (next.clone(), work.clone());
            tokio::spawn(async move {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        n if n < count => work(n).await,
                        _ => break,
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
}

fn key(n: u64) -> ObjectKey {
    ObjectKey::new(&format!("folder-{:02}/object-{n:010}.bin", n % 100)).expect("a key")
}

async fn lists(dir: PathBuf, keys: u64, versions: u64) {
    let (_engine, store) = open(dir);
    let plain = bucket(&store, "plain").await;
    let versioned = bucket(&store, "versioned").await;
    store.set_versioning(&versioned, Versioning::Enabled).await.expect("versioning");
    for (bucket, puts) in [(&plain, 1), (&versioned, versions)] {
        let begun = Instant::now();
        let (store, bucket) = (store.clone(), bucket.clone());
        spread(keys * puts, move |n| {
            let (store, bucket) = (store.clone(), bucket.clone());
            async move {
                let request = PutRequest {
                    key: key(n % keys),
                    attributes: Default::default(),
                    conditions: Default::default(),
                    checksums: Vec::new(),
                    expected: Default::default(),
                    size: Some(0),
                };
                let put =
                    store.put_object(&bucket, request, &mut BytesSource::new(Bytes::new())).await;
                put.expect("a put");
            }
        })
        .await;
        println!("{} puts in {:?}", keys * puts, begun.elapsed());
    }
    for round in 0..6 {
        for bucket in [&plain, &versioned] {
            let (begun, spent) = (Instant::now(), cpu());
            let mut pages = 0;
            while begun.elapsed() < Duration::from_secs(2) {
                let request = ListObjects { max: 1000, ..Default::default() };
                let page = store.list_objects(bucket, &request).await.expect("a page");
                assert_eq!(page.entries.len() as u64, keys.min(1000));
                pages += 1;
            }
            let each = (cpu() - spent).as_secs_f64() * 1e6 / f64::from(pages);
            let name = bucket.name.as_str();
            println!("round {round}, {name}: {each:.0} µs CPU a page, {pages} pages");
        }
    }
}

async fn walk(dir: PathBuf, objects: u64) {
    let (engine, store) = open(dir);
    let bucket = bucket(&store, "walked").await;
    let (begun, partition) = (Instant::now(), bucket.partition());
    let now_ms = store.now_ms();
    spread(objects, {
        let engine = engine.clone();
        move |n| {
            let record = ObjectRecord {
                write_id: Bytes::copy_from_slice(&rand::random::<[u8; 16]>()),
                modified_ms: now_ms,
                etag: Bytes::copy_from_slice(&rand::random::<[u8; 16]>()),
                metadata: Some(Default::default()),
                ..Default::default()
            };
            let writes = vec![Write::Put(RowRef::only(Table::Object), encode(&record))];
            let commit = Commit::new(partition, key(n).group(), vec![], writes);
            let engine = engine.clone();
            async move { engine.index().commit(commit).await.expect("a commit") }
        }
    })
    .await;
    println!("{objects} objects in {:?}, resident {} MiB", begun.elapsed(), resident_mib());
    let rule = Rule { enabled: true, expiration: Some(Expiration::Days(3650)), ..Rule::default() };
    let lifecycle = Lifecycle { rules: vec![rule], ..Lifecycle::default() };
    let bounds = RuleBounds { days_max: 3650, infrequent_days_min: 30 };
    store.set_lifecycle(&bucket, lifecycle, bounds).await.expect("rules");
    let options = LifecycleOptions {
        owner_uin: OWNER,
        rows_per_second: 1 << 40,
        ends_per_second: 1 << 40,
        moved_bytes_per_second: 1 << 40,
    };
    let job = LifecycleJob::new(store, options);
    let stats = job.stats();
    let (begun, spent) = (Instant::now(), cpu());
    let round = tokio::spawn(async move { job.round().await.expect("a round") });
    let (mut seen, mut peak) = (0, 0);
    let mut last = (Instant::now(), cpu());
    while !round.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        peak = peak.max(resident_mib());
        let rows = stats.rows.load(Ordering::Relaxed);
        // The cost of each tenth by itself tells whether it is steady.
        if rows - seen >= objects / 10 {
            let each = (cpu() - last.1).as_secs_f64() * 1e6 / (rows - seen) as f64;
            println!("  {rows} objects: {each:.2} µs CPU each, {:?}", last.0.elapsed());
            (seen, last) = (rows, (Instant::now(), cpu()));
        }
    }
    let rows = stats.rows.load(Ordering::Relaxed);
    let each = (cpu() - spent).as_secs_f64() * 1e6 / rows as f64;
    println!("{rows} objects in {:?}: {each:.2} µs CPU each, peak {peak} MiB", begun.elapsed());
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn resident_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096 / (1024 * 1024)
}
