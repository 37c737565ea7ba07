//! Bodies in the log: where they go, and that their pages come back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use costrel_core::engine::{
    BucketId, Commit, CommitError, Engine, EngineError, Expect, Partition, Retired, RowRef,
    ScanRange, Step, Table, Write,
};
use costrel_embedded::{EmbeddedEngine, Options};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const BUCKET: Partition = Partition::Bucket(BucketId(1));
const BODY: RowRef = RowRef { table: Table::Body, suffix: Bytes::new() };

fn open(dir: &Path) -> Arc<EmbeddedEngine> {
    EmbeddedEngine::open(Options { reserve_bytes: 0, ..Options::new(dir) }).unwrap()
}

async fn commit(
    engine: &EmbeddedEngine,
    group: &str,
    expects: Vec<Expect>,
    writes: Vec<Write>,
) -> Result<(), CommitError> {
    let group = Bytes::copy_from_slice(group.as_bytes());
    engine.index().commit(Commit::new(BUCKET, group, expects, writes)).await
}

async fn put(engine: &EmbeddedEngine, group: &str, body: &Bytes) {
    commit(engine, group, vec![], vec![Write::Put(BODY, body.clone())]).await.unwrap();
}

async fn delete(engine: &EmbeddedEngine, group: &str) {
    commit(engine, group, vec![], vec![Write::Delete(BODY)]).await.unwrap();
}

async fn read(engine: &EmbeddedEngine, group: &str) -> Result<Option<Bytes>, EngineError> {
    let rows = engine.index().read(BUCKET, group.as_bytes(), &[BODY]).await?;
    Ok(rows.into_iter().next().unwrap())
}

async fn all(engine: &EmbeddedEngine) -> BTreeMap<String, Bytes> {
    let found = Arc::new(Mutex::new(BTreeMap::new()));
    let visited = found.clone();
    let visitor = move |group: &[u8], _: &[u8], body: &[u8]| {
        let group = String::from_utf8(group.to_vec()).unwrap();
        visited.lock().insert(group, Bytes::copy_from_slice(body));
        Step::Next
    };
    let range = ScanRange::all();
    engine.index().scan(BUCKET, Table::Body, range, Box::new(visitor)).await.unwrap();
    std::mem::take(&mut *found.lock())
}

/// Pages of the log that take space on the disk.
fn pages(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = std::fs::read_dir(dir.join("bodies")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().blocks() / 8).sum()
}

async fn until_pages(dir: &Path, wanted: impl Fn(u64) -> bool) {
    for _ in 0..500 {
        if wanted(pages(dir)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} pages are still in use", pages(dir));
}

fn random_body(rng: &mut StdRng) -> Bytes {
    let len = match rng.random_range(0..4) {
        0 => rng.random_range(1..4096),
        1 => 4096 * rng.random_range(1..=16) + 16,
        2 => rng.random_range(4096..70_000),
        _ => rng.random_range(70_000..1_200_000),
    };
    let mut body = vec![0; len];
    rng.fill(&mut body[..]);
    body.into()
}

/// Whatever is done, rows and log agree, also after a start.
#[tokio::test]
async fn bodies_come_and_go() {
    let seed = costrel_testkit::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut wanted: BTreeMap<String, Bytes> = BTreeMap::new();
    for _ in 0..4 {
        let engine = open(dir.path());
        engine.index().create_partition(BUCKET).await.unwrap();
        for _ in 0..60 {
            let group = rng.random_range(0..30).to_string();
            match rng.random_range(0..10) {
                0..=5 => {
                    let body = random_body(&mut rng);
                    put(&engine, &group, &body).await;
                    wanted.insert(group, body);
                }
                6..=7 => {
                    delete(&engine, &group).await;
                    wanted.remove(&group);
                }
                // One that holds and one that does not.
                8 => {
                    let (before, body) = (wanted.get(&group), random_body(&mut rng));
                    let expects = match before {
                        Some(before) => vec![Expect::Equals(BODY, before.clone())],
                        None => vec![Expect::Absent(BODY)],
                    };
                    let writes = vec![Write::Put(BODY, body.clone())];
                    commit(&engine, &group, expects, writes).await.unwrap();
                    wanted.insert(group, body);
                }
                _ => {
                    let expects = vec![Expect::Equals(BODY, Bytes::from_static(b"another"))];
                    let writes = vec![Write::Put(BODY, random_body(&mut rng))];
                    let refused = commit(&engine, &group, expects, writes).await;
                    assert!(matches!(refused, Err(CommitError::Conflict(0))), "{refused:?}");
                }
            }
        }
        for group in (0..30).map(|n| n.to_string()) {
            assert_eq!(read(&engine, &group).await.unwrap(), wanted.get(&group).cloned());
        }
        assert!(all(&engine).await == wanted);
        // What a refused commit has left is noted with the next one.
        put(&engine, "last", &Bytes::from_static(b"small")).await;
        delete(&engine, "last").await;
        assert_eq!(engine.audit().await.unwrap(), Vec::<String>::new());
        engine.close().await.unwrap();
    }
    // Nothing but what is alive takes space in the end, as long as nothing is written.
    let engine = open(dir.path());
    let alive: usize = wanted.values().map(|body| body.len().div_ceil(4096)).sum();
    // And what the file system needs to find the pages between the holes.
    let segments = std::fs::read_dir(dir.path().join("bodies")).unwrap().count();
    until_pages(dir.path(), |pages| pages <= (alive + 2 * segments) as u64).await;
    assert!(all(&engine).await == wanted);
    for group in wanted.keys() {
        delete(&engine, group).await;
    }
    until_pages(dir.path(), |pages| pages == 0).await;
    assert_eq!(engine.audit().await.unwrap(), Vec::<String>::new());
    engine.close().await.unwrap();
}

/// A group of commits can replace what it has only just written.
#[tokio::test]
async fn a_body_that_is_replaced_at_once_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.index().create_partition(BUCKET).await.unwrap();
    let body = |n: u8| Bytes::from(vec![n; 20_000]);
    for _ in 0..20 {
        let puts = (0..16).map(|n| {
            let (engine, body) = (engine.clone(), body(n));
            tokio::spawn(async move { put(&engine, "k", &body).await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap();
        }
        let left = read(&engine, "k").await.unwrap().unwrap();
        assert!(left == body(left[0]));
    }
    until_pages(dir.path(), |pages| pages < 2048 + 100).await;
    assert_eq!(engine.audit().await.unwrap(), Vec::<String>::new());
    engine.close().await.unwrap();
    let engine = open(dir.path());
    until_pages(dir.path(), |pages| pages <= 5).await;
    engine.close().await.unwrap();
}

/// Pages are given back while readers are on their way to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_pages_that_were_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.index().create_partition(BUCKET).await.unwrap();
    let body = |n: u32| Bytes::from(n.to_le_bytes().repeat(8_000));
    put(&engine, "k", &body(0)).await;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers = (0..3).map(|_| {
        let (engine, done) = (engine.clone(), done.clone());
        tokio::spawn(async move {
            let mut last = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let read = read(&engine, "k").await.unwrap().unwrap();
                let n = u32::from_le_bytes(read[..4].try_into().unwrap());
                assert!(read == n.to_le_bytes().repeat(8_000) && n >= last);
                last = n;
                tokio::task::yield_now().await;
            }
            last
        })
    });
    let readers: Vec<_> = readers.collect();
    for n in 1..500 {
        put(&engine, "k", &body(n)).await;
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 300);
    }
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_partition_that_is_removed_gives_back_its_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.index().create_partition(BUCKET).await.unwrap();
    for n in 0..50 {
        put(&engine, &n.to_string(), &Bytes::from(vec![1; 30_000])).await;
    }
    assert_eq!(engine.index().retire_partition(BUCKET, &[]).await.unwrap(), Retired::Done);
    engine.index().remove_partition(BUCKET).await.unwrap();
    assert_eq!(engine.audit().await.unwrap(), Vec::<String>::new());
    engine.close().await.unwrap();
    let engine = open(dir.path());
    until_pages(dir.path(), |pages| pages == 0).await;
    engine.close().await.unwrap();
}

/// What nobody can have written is found, and is not taken for a body.
#[tokio::test]
async fn pages_of_nobody_are_found() {
    use std::os::unix::fs::FileExt;

    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.index().create_partition(BUCKET).await.unwrap();
    for group in ["a", "b", "c"] {
        put(&engine, group, &Bytes::from(vec![1; 20_000])).await;
    }
    engine.close().await.unwrap();
    let engine = open(dir.path());
    let segment = dir.path().join("bodies/00000000");
    let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[7; 4096], 15 * 4096).unwrap();
    let findings = engine.audit().await.unwrap();
    assert_eq!(findings, ["1 pages of segment 00000000 from page 15 on belong to nothing"]);
    // And what is missing.
    std::fs::remove_file(&segment).unwrap();
    engine.close().await.unwrap();
    let engine = open(dir.path());
    let missing = read(&engine, "b").await;
    assert!(matches!(missing, Err(EngineError::Corrupt(_))), "{missing:?}");
    put(&engine, "b", &Bytes::from(vec![2; 20_000])).await;
    assert_eq!(read(&engine, "b").await.unwrap().unwrap(), vec![2; 20_000]);
    engine.close().await.unwrap();
}

/// A body that cannot be read keeps nobody from the names of all of them.
#[tokio::test]
async fn names_are_scanned_past_a_damaged_body() {
    use std::os::unix::fs::FileExt;

    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.index().create_partition(BUCKET).await.unwrap();
    for group in ["a", "b", "c"] {
        put(&engine, group, &Bytes::from(vec![1; 20_000])).await;
    }
    let segment = dir.path().join("bodies/00000000");
    let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[7], 6 * 4096).unwrap();
    engine.close().await.unwrap();
    let engine = open(dir.path());

    let scan = async |names_only| {
        let found = Arc::new(Mutex::new(String::new()));
        let visited = found.clone();
        let visitor = move |group: &[u8], _: &[u8], _: &[u8]| {
            visited.lock().push_str(std::str::from_utf8(group).unwrap());
            Step::Next
        };
        let range = ScanRange { names_only, ..ScanRange::all() };
        let scanned = engine.index().scan(BUCKET, Table::Body, range, Box::new(visitor)).await;
        let found = found.lock().clone();
        scanned.map(|()| found)
    };
    assert!(matches!(scan(false).await, Err(EngineError::Corrupt(_))));
    assert_eq!(scan(true).await.unwrap(), "abc");
    engine.close().await.unwrap();
}

/// Without rows a start would take every body for one that nothing names.
#[tokio::test]
async fn bodies_are_not_freed_when_the_rows_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.index().create_partition(BUCKET).await.unwrap();
    put(&engine, "k", &Bytes::from(vec![1; 20_000])).await;
    engine.close().await.unwrap();
    drop(engine);
    let (index, aside) = (dir.path().join("index"), dir.path().join("aside"));
    std::fs::rename(&index, &aside).unwrap();
    let refused = EmbeddedEngine::open(Options { reserve_bytes: 0, ..Options::new(dir.path()) });
    assert!(refused.is_err_and(|error| error.to_string().contains("index is missing")));
    std::fs::rename(&aside, &index).unwrap();
    let engine = open(dir.path());
    assert_eq!(read(&engine, "k").await.unwrap().unwrap(), vec![1; 20_000]);
    engine.close().await.unwrap();
}

/// What an object's row carries of its body's is never older or newer than that,
/// however the two rows change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_carries_the_body_that_it_has() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(dir.path());
    engine.index().create_partition(BUCKET).await.unwrap();
    let (object, other) = (RowRef::only(Table::Object), RowRef::new(Table::Object, "other"));
    let read_rows = [object.clone(), BODY, other.clone(), BODY, object.clone(), other.clone()];
    let mut rows: BTreeMap<(String, Table, Bytes), Bytes> = BTreeMap::new();
    for round in 0..300 {
        // Several at once become one group of commits. Without bodies for the log they
        // keep their order.
        let in_log = rng.random();
        let mut commits = Vec::new();
        for n in 0..rng.random_range(1..4) {
            let name = format!("object {}", if in_log { n } else { rng.random_range(0..4) });
            let mut writes = Vec::new();
            for row in [&object, &BODY, &other] {
                let value = match (rng.random_range(0..5), row.table) {
                    (0 | 1, _) => continue,
                    (2, _) => None,
                    (_, Table::Body) => Some(random_carried(&mut rng, in_log)),
                    _ => Some(Bytes::from(vec![rng.random_range(0..3); 30])),
                };
                let address = (name.clone(), row.table, row.suffix.clone());
                match value {
                    Some(value) => {
                        writes.push(Write::Put(row.clone(), value.clone()));
                        rows.insert(address, value);
                    }
                    None => {
                        writes.push(Write::Delete(row.clone()));
                        rows.remove(&address);
                    }
                }
            }
            let (engine, group) = (engine.clone(), Bytes::from(name));
            commits.push(async move {
                engine.index().commit(Commit::new(BUCKET, group, vec![], writes)).await.unwrap();
            });
        }
        futures_util::future::join_all(commits).await;
        if round % 100 == 99 {
            assert_eq!(engine.audit().await.unwrap(), Vec::<String>::new());
            engine.close().await.unwrap();
            drop(engine);
            engine = open(dir.path());
        }
        for n in 0..4 {
            let name = format!("object {n}");
            let read = engine.index().read(BUCKET, name.as_bytes(), &read_rows).await.unwrap();
            let wanted = read_rows
                .iter()
                .map(|row| rows.get(&(name.clone(), row.table, row.suffix.clone())).cloned());
            assert_eq!(read, wanted.collect::<Vec<_>>(), "{name} in round {round}");
        }
    }
    engine.close().await.unwrap();
}

/// A body that is carried whole, one whose place is, or one that is not carried.
fn random_carried(rng: &mut StdRng, in_log: bool) -> Bytes {
    let len = match rng.random_range(0..3) {
        0 => rng.random_range(1..273),
        1 if in_log => 4096 + 16,
        _ => rng.random_range(273..3000),
    };
    let mut body = vec![0; len];
    rng.fill(&mut body[..]);
    body.into()
}
