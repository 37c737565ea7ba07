//! Measures the engine by itself: CPU time of the process and operations per
//! second, for rows, small bodies and blobs.
//!
//! `cargo run --release -p costrel-embedded --example measure -- DIR KEYS [NAME]`
//! does what has NAME in its name.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::engine::{
    BlobId, BucketId, Commit, Engine, Expect, Partition, RowRef, ScanRange, Step, Table, Write,
};
use costrel_embedded::{EmbeddedEngine, Options};

const BUCKET: Partition = Partition::Bucket(BucketId(1));
const RECORD_BYTES: usize = 300;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a directory"));
    let keys: u64 = arguments.next().map_or(10_000, |keys| keys.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure(dir, keys));
}

async fn measure(dir: PathBuf, keys: u64) {
    let start = Instant::now();
    let engine = EmbeddedEngine::open(Options::new(&dir)).expect("the engine opens");
    println!("open {:?}, resident {} MiB", start.elapsed(), resident_mib());
    engine.index().create_partition(BUCKET).await.expect("a partition");
    if read(&engine, key(keys - 1)).await.0.is_none() {
        fill(&engine, keys).await;
    }
    let lap = Duration::from_secs(2);
    let next = Arc::new(AtomicU64::new(0));
    let random_key = move || {
        let n = next.fetch_add(1, Ordering::Relaxed);
        key(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % keys)
    };
    report("get 4 KiB", &engine, 16, lap, {
        let random_key = random_key.clone();
        move |engine| {
            let key = random_key();
            async move { assert!(read(&engine, key).await.1.is_some()) }
        }
    })
    .await;
    report("head", &engine, 16, lap, {
        let random_key = random_key.clone();
        move |engine| {
            let key = random_key();
            async move {
                let rows = [RowRef::only(Table::Object)];
                let values = engine.index().read(BUCKET, &key, &rows).await.expect("a read");
                assert!(values[0].is_some());
            }
        }
    })
    .await;
    for writers in [1, 16, 64] {
        report(&format!("put 4 KiB, {writers} writers"), &engine, writers, lap, {
            let random_key = random_key.clone();
            move |engine| {
                let key = random_key();
                async move { put(&engine, key, 4096).await }
            }
        })
        .await;
    }
    // Where a body is better kept beside its record, and where in a file.
    let new = Arc::new(AtomicU64::new(rand::random::<u32>().into()));
    let new_key = move || Bytes::from(format!("new-{}", new.fetch_add(1, Ordering::Relaxed)));
    for kib in [16, 32, 64, 128] {
        let (inline_key, file_key) = (new_key.clone(), new_key.clone());
        report(&format!("body inline {kib} KiB"), &engine, 16, lap, move |engine| {
            let key = inline_key();
            async move { put(&engine, key, kib * 1024).await }
        })
        .await;
        report(&format!("body in a file {kib} KiB"), &engine, 16, lap, move |engine| {
            let key = file_key();
            async move { put_in_file(&engine, key, kib * 1024).await }
        })
        .await;
    }
    let fresh = Arc::new(AtomicU64::new(0));
    report("put and delete, 16 writers", &engine, 16, lap, move |engine| {
        let key = Bytes::from(format!("fresh-{}", fresh.fetch_add(1, Ordering::Relaxed)));
        async move {
            put(&engine, key.clone(), 4096).await;
            delete(&engine, key).await;
        }
    })
    .await;
    report("list 1000", &engine, 2, lap, {
        let random_key = random_key.clone();
        move |engine| {
            let start_group = random_key();
            async move {
                let range = ScanRange { start_group, ..ScanRange::all() };
                let mut left = 1000;
                let visitor = Box::new(move |_: &[u8], _: &[u8], _: &[u8]| {
                    left -= 1;
                    if left == 0 { Step::Stop } else { Step::Next }
                });
                engine.index().scan(BUCKET, Table::Object, range, visitor).await.expect("a scan");
            }
        }
    })
    .await;
    report("100 seeks", &engine, 2, lap, move |engine| async move {
        let visitor = Box::new(move |group: &[u8], _: &[u8], _: &[u8]| {
            Step::SeekGroup([&group[..9], b"0"].concat().into())
        });
        engine
            .index()
            .scan(BUCKET, Table::Object, ScanRange::all(), visitor)
            .await
            .expect("a scan");
    })
    .await;
    for (kib, writers) in [(64, 16), (128, 16), (1024, 8), (16 * 1024, 4)] {
        blobs(&engine, kib, writers, lap).await;
    }
    println!("resident {} MiB", resident_mib());
    for metric in engine.metrics() {
        println!("{} {}", metric.name, metric.value);
    }
    let start = Instant::now();
    engine.close().await.expect("it closes");
    println!("close {:?}", start.elapsed());
}

/// Keys lie in a hundred folders.
fn key(n: u64) -> Bytes {
    Bytes::from(format!("folder-{:02}/object-{n:010}.bin", n % 100))
}

async fn read(engine: &EmbeddedEngine, key: Bytes) -> (Option<Bytes>, Option<Bytes>) {
    let rows = [RowRef::only(Table::Object), RowRef::only(Table::Body)];
    let mut values = engine.index().read(BUCKET, &key, &rows).await.expect("a read");
    let body = values.pop().flatten();
    (values.pop().flatten(), body)
}

async fn put(engine: &EmbeddedEngine, key: Bytes, body_bytes: usize) {
    let object = RowRef::only(Table::Object);
    let old = engine.index().read(BUCKET, &key, std::slice::from_ref(&object)).await;
    let expect = match old.expect("a read").pop().flatten() {
        None => Expect::Absent(object.clone()),
        Some(old) => Expect::Equals(object.clone(), old),
    };
    let mut record = vec![7; RECORD_BYTES];
    record[..8].copy_from_slice(&rand::random::<[u8; 8]>());
    let body = Bytes::from(vec![9; body_bytes]);
    let writes =
        vec![Write::Put(object, record.into()), Write::Put(RowRef::only(Table::Body), body)];
    let commit = Commit::new(BUCKET, key, vec![expect], writes);
    // Two writers may meet on a key; the loser's commit is a fair measure too.
    let _ = engine.index().commit(commit).await;
}

/// What a body in a file takes: a row that says it is being written, the file,
/// and a commit that drops that row and puts the record.
async fn put_in_file(engine: &EmbeddedEngine, key: Bytes, body_bytes: usize) {
    let id = BlobId(rand::random());
    let pending = RowRef::new(Table::Pending, Bytes::copy_from_slice(&id.0));
    let writes = vec![Write::Put(pending.clone(), Bytes::from_static(b"pending"))];
    let commit = Commit::new(BUCKET, key.clone(), vec![], writes);
    engine.index().commit(commit).await.expect("a commit");
    let mut writer = engine.blobs().create(id, None).await.expect("a writer");
    writer.write(vec![9; body_bytes].into()).await.expect("a write");
    writer.finish().await.expect("a finish");
    let object = RowRef::only(Table::Object);
    let expects = vec![Expect::Absent(object.clone()), Expect::Present(pending.clone())];
    let record = Bytes::from(vec![7; RECORD_BYTES]);
    let writes = vec![Write::Put(object, record), Write::Delete(pending)];
    let commit = Commit::new(BUCKET, key, expects, writes);
    engine.index().commit(commit).await.expect("a commit");
}

async fn delete(engine: &EmbeddedEngine, key: Bytes) {
    let object = RowRef::only(Table::Object);
    let old = engine.index().read(BUCKET, &key, std::slice::from_ref(&object)).await;
    let old = old.expect("a read").pop().flatten().expect("the object");
    let expects = vec![Expect::Equals(object.clone(), old)];
    let writes = vec![Write::Delete(object), Write::Delete(RowRef::only(Table::Body))];
    let commit = Commit::new(BUCKET, key, expects, writes);
    engine.index().commit(commit).await.expect("a commit");
}

async fn fill(engine: &Arc<EmbeddedEngine>, keys: u64) {
    let start = (Instant::now(), cpu());
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..256)
        .map(|_| {
            let (engine, next) = (engine.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= keys {
                        break;
                    }
                    put(&engine, key(n), 4096).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    print_rates("fill", keys, start.0.elapsed(), cpu() - start.1, &mut []);
}

async fn blobs(engine: &Arc<EmbeddedEngine>, kib: usize, writers: usize, lap: Duration) {
    let ids = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let piece = Bytes::from(vec![5; (kib * 1024).min(64 * 1024)]);
    report(&format!("write blob {kib} KiB, {writers} writers"), engine, writers, lap, {
        let ids = ids.clone();
        move |engine| {
            let (ids, piece) = (ids.clone(), piece.clone());
            async move {
                let id = BlobId(rand::random());
                let mut writer = engine.blobs().create(id, None).await.expect("a writer");
                for _ in 0..kib * 1024 / piece.len() {
                    writer.write(piece.clone()).await.expect("a write");
                }
                writer.finish().await.expect("a finish");
                ids.lock().push(id);
            }
        }
    })
    .await;
    let ids = Arc::new(std::mem::take(&mut *ids.lock()));
    if ids.is_empty() {
        return;
    }
    let read = |range: Option<u64>| {
        let ids = ids.clone();
        move |engine: Arc<EmbeddedEngine>| {
            let id = ids[rand::random::<u64>() as usize % ids.len()];
            async move {
                let reader = engine.blobs().open(id).await.expect("a blob");
                let mut offset =
                    range.map_or(0, |len| rand::random::<u64>() % (reader.len() - len));
                let end = range.map_or(reader.len(), |len| offset + len);
                while offset < end {
                    let max = (end - offset) as usize;
                    offset += reader.read_at(offset, max).await.expect("a read").len() as u64;
                }
            }
        }
    };
    report(&format!("read blob {kib} KiB"), engine, writers, lap / 2, read(None)).await;
    if kib > 1024 {
        report("read 64 KiB of it", engine, 16, lap / 2, read(Some(64 * 1024))).await;
    }
    for id in ids.iter() {
        engine.blobs().delete(*id).await.expect("a deletion");
    }
}

/// Runs an operation from several tasks at once for a while.
async fn report<F, A>(name: &str, engine: &Arc<EmbeddedEngine>, tasks: usize, lap: Duration, op: F)
where
    F: Fn(Arc<EmbeddedEngine>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = ()> + Send,
{
    let wanted = std::env::args().nth(3).unwrap_or_default();
    if !name.contains(&wanted) {
        return;
    }
    let start = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (engine, op) = (engine.clone(), op.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.0.elapsed() < lap {
                    let begin = Instant::now();
                    op(engine.clone()).await;
                    times.push(begin.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a task"));
    }
    print_rates(name, times.len() as u64, start.0.elapsed(), cpu() - start.1, &mut times);
}

fn print_rates(name: &str, count: u64, wall: Duration, cpu: Duration, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied();
    println!(
        "{name}: {:.0} op/s, {:.1} µs CPU/op, p50 {:?} p99 {:?} max {:?}",
        count as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count as f64,
        at(0.5).unwrap_or_default(),
        at(0.99).unwrap_or_default(),
        times.last().copied().unwrap_or_default(),
    );
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
