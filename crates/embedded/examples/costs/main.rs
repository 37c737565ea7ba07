//! Measures what operations cost where much is stored, in one process.
//!
//! `cargo run --release -p costrel-embedded --example costs -- DIR lists KEYS VERSIONS`
//! `cargo run --release -p costrel-embedded --example costs -- DIR walk OBJECTS`
//! `cargo run --release -p costrel-embedded --example costs -- DIR scale OBJECTS SIZE`
//! `cargo run --release -p costrel-embedded --example costs -- DIR users USERS`
//!
//! With `COSTS_MEMORY_MIB` the engine has more or less memory than it has by default.

mod lists;
mod scale;
mod users;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use costrel_core::body::BytesSource;
use costrel_core::bucket::Bucket;
use costrel_core::env::{Clock, Entropy};
use costrel_core::names::{BucketName, ObjectKey};
use costrel_core::object::PutRequest;
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
    let what = arguments.next().expect("`lists`, `walk`, `scale` or `users`");
    let mut number = || arguments.next().expect("a number").parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    match what.as_str() {
        "lists" => runtime.block_on(lists::lists(dir, number(), number())),
        "walk" => runtime.block_on(walk::walk(dir, number())),
        "users" => runtime.block_on(users::users(dir, number())),
        _ => runtime.block_on(scale::scale(dir, number(), number())),
    }
}

/// Writes wait for no sync: only what reading costs is measured.
fn open(dir: PathBuf) -> (Arc<EmbeddedEngine>, Arc<Store>) {
    let mut options = Options::new(dir);
    options.durability = Durability::None;
    if let Ok(mib) = std::env::var("COSTS_MEMORY_MIB") {
        options.memory_bytes = mib.parse::<u64>().expect("a number of MiB") << 20;
    }
    let engine = EmbeddedEngine::open(options).expect("the engine opens");
    let clock = Arc::new(Machine);
    let (store, collector) =
        Store::new(engine.clone(), clock.clone(), clock, StoreOptions::default());
    tokio::spawn(collector.run());
    (engine, store)
}

/// A bucket, made if there is none of the name.
async fn bucket(store: &Arc<Store>, name: &str) -> Arc<Bucket> {
    if let Ok(bucket) = store.bucket(name).await {
        return bucket;
    }
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

async fn put(store: &Arc<Store>, bucket: &Bucket, key: ObjectKey, body: Bytes) {
    let request = PutRequest {
        key,
        attributes: Default::default(),
        conditions: Default::default(),
        checksums: Vec::new(),
        expected: Default::default(),
        size: Some(body.len() as u64),
    };
    store.put_object(bucket, request, &mut BytesSource::new(body)).await.expect("a put");
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
