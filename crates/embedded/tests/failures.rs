//! What the engine does when the world is not as it should be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use costrel_core::engine::{
    BlobId, BucketId, Commit, CommitError, Engine, EngineError, Health, Partition, RowRef, Table,
    Write,
};
use costrel_embedded::{Durability, EmbeddedEngine, OpenError, Options};
use tempfile::TempDir;

const BUCKET: Partition = Partition::Bucket(BucketId(1));

fn options(dir: &Path) -> Options {
    Options { reserve_bytes: 0, ..Options::new(dir) }
}

fn open(dir: &TempDir) -> Arc<EmbeddedEngine> {
    EmbeddedEngine::open(options(dir.path())).unwrap()
}

fn open_error(dir: &TempDir) -> OpenError {
    EmbeddedEngine::open(options(dir.path())).map(drop).unwrap_err()
}

async fn commit(engine: &dyn Engine, group: &str, writes: Vec<Write>) -> Result<(), CommitError> {
    let group = Bytes::copy_from_slice(group.as_bytes());
    engine.index().commit(Commit::new(BUCKET, group, vec![], writes)).await
}

fn put(table: Table, value: &'static [u8]) -> Write {
    Write::Put(RowRef::only(table), Bytes::from_static(value))
}

async fn write_blob(engine: &dyn Engine, id: BlobId, data: &[u8]) {
    let mut writer = engine.blobs().create(id, Some(data.len() as u64)).await.unwrap();
    writer.write(Bytes::copy_from_slice(data)).await.unwrap();
    writer.finish().await.unwrap();
}

fn metric(engine: &dyn Engine, name: &str) -> f64 {
    engine.metrics().into_iter().find(|metric| metric.name == name).unwrap().value
}

#[tokio::test]
async fn a_second_engine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir);
    let error = open_error(&dir);
    assert!(matches!(error, OpenError::Locked(_)), "{error:?}");
    assert!(error.to_string().contains("in use by another costrel process"), "{error}");
    engine.close().await.unwrap();
    // Closing gives the directory back, although the engine's value lives on.
    open(&dir).close().await.unwrap();
}

#[tokio::test]
async fn other_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).close().await.unwrap();
    let format = dir.path().join("format");
    std::fs::write(&format, "costrel embedded 4\n").unwrap();
    let error = open_error(&dir);
    assert!(matches!(error, OpenError::Newer { found: 4, .. }), "{error:?}");
    assert!(error.to_string().contains("newer version of costrel"), "{error}");
    for text in ["", "costrel embedded x\n", "costrel embedded 0\n", "something else\n"] {
        std::fs::write(&format, text).unwrap();
        assert!(matches!(open_error(&dir), OpenError::Foreign { .. }), "{text:?}");
    }
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("letter.txt"), "dear").unwrap();
    let error = open_error(&foreign);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("letter.txt"), "{error}");
}

/// Growth is refused before deletions are, and both work again afterwards.
#[tokio::test]
async fn the_reserve_leaves_room_for_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir);
    engine.index().create_partition(BUCKET).await.unwrap();
    commit(&*engine, "k", vec![put(Table::Object, b"v")]).await.unwrap();
    let free = metric(&*engine, "costrel_engine_free_bytes") as u64;
    engine.close().await.unwrap();

    let reserve_bytes = free.saturating_mul(2);
    let engine = EmbeddedEngine::open(Options { reserve_bytes, ..options(dir.path()) }).unwrap();
    let grow = || commit(&*engine, "k", vec![put(Table::Object, b"w")]);
    let refused = grow().await;
    assert!(matches!(refused, Err(CommitError::Engine(EngineError::Full(_)))), "{refused:?}");
    let mut writer = engine.blobs().create(BlobId([1; 16]), None).await.unwrap();
    writer.write(Bytes::from_static(b"body")).await.unwrap();
    let refused = writer.finish().await;
    assert!(matches!(refused, Err(EngineError::Full(_))), "{refused:?}");
    assert_eq!(engine.health(), Health::Ready);
    assert!(metric(&*engine, "costrel_engine_refused_full_total") >= 2.0);
    let shrink = vec![Write::Delete(RowRef::only(Table::Object)), put(Table::Garbage, b"blob")];
    commit(&*engine, "k", shrink).await.unwrap();
    engine.close().await.unwrap();

    let reserve_bytes = free.saturating_mul(8);
    let engine = EmbeddedEngine::open(Options { reserve_bytes, ..options(dir.path()) }).unwrap();
    let refused = commit(&*engine, "k", vec![Write::Delete(RowRef::only(Table::Garbage))]).await;
    assert!(matches!(refused, Err(CommitError::Engine(EngineError::Full(_)))), "{refused:?}");
    engine.close().await.unwrap();

    let engine = open(&dir);
    commit(&*engine, "k", vec![put(Table::Object, b"w")]).await.unwrap();
    engine.close().await.unwrap();
}

fn blob_file(dir: &Path, id: BlobId) -> PathBuf {
    let name = id.to_string();
    dir.join("blobs").join(&name[..2]).join(&name[2..4]).join(name)
}

#[tokio::test]
async fn damaged_and_missing_blobs_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir);
    let (damaged, missing, other) = (BlobId([1; 16]), BlobId([2; 16]), BlobId([3; 16]));
    for id in [damaged, missing, other] {
        write_blob(&*engine, id, &[7; 100_000]).await;
    }
    // A block of one blob in the place of the same block of another.
    std::fs::copy(blob_file(dir.path(), other), blob_file(dir.path(), damaged)).unwrap();
    let result = engine.blobs().open(damaged).await.map(drop);
    assert!(matches!(result, Err(EngineError::Corrupt(_))), "{result:?}");
    assert_eq!(metric(&*engine, "costrel_engine_corrupt_total"), 1.0);
    std::fs::remove_file(blob_file(dir.path(), missing)).unwrap();
    let result = engine.blobs().open(missing).await.map(drop);
    assert!(matches!(result, Err(EngineError::NotFound(id)) if id == missing), "{result:?}");
    assert_eq!(metric(&*engine, "costrel_engine_missing_blobs_total"), 1.0);
    assert_eq!(engine.blobs().open(other).await.unwrap().len(), 100_000);
    // Who comes too late for one that was deleted has lost nothing.
    engine.blobs().delete(other).await.unwrap();
    let result = engine.blobs().open(other).await.map(drop);
    assert!(matches!(result, Err(EngineError::NotFound(id)) if id == other), "{result:?}");
    assert_eq!(metric(&*engine, "costrel_engine_missing_blobs_total"), 1.0);
    assert_eq!(engine.health(), Health::Ready);
}

#[tokio::test]
async fn rows_survive_without_syncs_when_only_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let unsynced = Options { durability: Durability::None, ..options(dir.path()) };
    let engine = EmbeddedEngine::open(unsynced).unwrap();
    engine.index().create_partition(BUCKET).await.unwrap();
    commit(&*engine, "k", vec![put(Table::Object, b"v")]).await.unwrap();
    drop(engine);
    let engine = open(&dir);
    let rows = engine.index().read(BUCKET, b"k", &[RowRef::only(Table::Object)]).await.unwrap();
    assert_eq!(rows, [Some(Bytes::from_static(b"v"))]);
}

/// The largest file below a directory whose path has this part in it.
fn largest_file(dir: &Path, part: &str) -> Option<PathBuf> {
    let mut largest = None;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let file = if path.is_dir() { largest_file(&path, part) } else { Some(path) };
        let len = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        let file = file.filter(|path| path.to_string_lossy().contains(part));
        largest = largest.into_iter().chain(file).max_by_key(len);
    }
    largest
}

#[tokio::test]
async fn damaged_rows_give_errors_and_never_wrong_bytes() {
    damage_rows(Table::Object, 100_000, "index", "/tables/").await;
    // Those that lie apart from their keys, and those in the log.
    damage_rows(Table::Body, 3_000, "index", "/blobs/").await;
    damage_rows(Table::Body, 100_000, "bodies", "").await;
}

async fn damage_rows(table: Table, value_bytes: usize, part: &str, files: &str) {
    const TOTAL_BYTES: usize = 24_000_000;
    const AT_ONCE: usize = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir);
    engine.index().create_partition(BUCKET).await.unwrap();
    let count = (TOTAL_BYTES / value_bytes) as u32;
    let row = |n: u32| RowRef::new(table, n.to_be_bytes().to_vec());
    let value = |n: u32| Bytes::from(n.to_le_bytes().repeat(value_bytes / 4));
    let numbers: Vec<u32> = (0..count).collect();
    for numbers in numbers.chunks(AT_ONCE / value_bytes) {
        let writes = numbers.iter().map(|n| Write::Put(row(*n), value(*n)));
        commit(&*engine, "k", writes.collect()).await.unwrap();
    }
    let part = dir.path().join(part);
    while largest_file(&part, files).is_none_or(|f| f.metadata().unwrap().len() < 1 << 20) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    engine.close().await.unwrap();
    let file = largest_file(&part, files).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let engine = open(&dir);
    let (mut right, mut corrupt) = (0, 0);
    for n in 0..count {
        match engine.index().read(BUCKET, b"k", &[row(n)]).await {
            Ok(rows) => {
                assert_eq!(rows, [Some(value(n))], "row {n}");
                right += 1;
            }
            Err(EngineError::Corrupt(_)) => corrupt += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(corrupt > 0 && right > count / 4, "{corrupt} corrupt, {right} right");
    assert_eq!(metric(&*engine, "costrel_engine_corrupt_total"), f64::from(corrupt));
}

/// fjall would begin anew without them, and remove what they led to.
#[tokio::test]
async fn a_row_store_that_has_lost_a_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir);
    engine.index().create_partition(BUCKET).await.unwrap();
    let value: Bytes = vec![7; 1 << 20].into();
    for n in 0..48u32 {
        let row = RowRef::new(Table::Object, n.to_be_bytes().to_vec());
        commit(&*engine, "k", vec![Write::Put(row, value.clone())]).await.unwrap();
    }
    let index = dir.path().join("index");
    while largest_file(&index, "/tables/").is_none_or(|f| f.metadata().unwrap().len() < 1 << 20) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    engine.close().await.unwrap();
    drop(engine);

    let table = largest_file(&index, "/tables/").unwrap();
    let keyspace = table.parent().unwrap().parent().unwrap();
    let mut journals: Vec<PathBuf> = std::fs::read_dir(&index)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect();
    let mut losses = vec![
        vec![keyspace.join("current")],
        vec![index.join("version")],
        vec![index.join("keyspaces/0/current")],
        vec![index.join("keyspaces/1/current")],
        vec![index.clone()],
    ];
    losses.push(std::mem::take(&mut journals));
    for lost in losses {
        let away = tempfile::tempdir().unwrap();
        for (n, path) in lost.iter().enumerate() {
            std::fs::rename(path, away.path().join(n.to_string())).unwrap();
        }
        let error = open_error(&dir);
        assert!(error.to_string().contains("missing"), "{lost:?}: {error}");
        assert_eq!(lost[0] == index, !table.exists());
        for (n, path) in lost.iter().enumerate() {
            std::fs::rename(away.path().join(n.to_string()), path).unwrap();
        }
    }
    let engine = open(&dir);
    for n in 0..48u32 {
        let row = RowRef::new(Table::Object, n.to_be_bytes().to_vec());
        assert_eq!(engine.index().read(BUCKET, b"k", &[row]).await.unwrap(), [Some(value.clone())]);
    }
}

/// Wherever it ended before there was anything to lose.
#[tokio::test]
async fn a_first_start_that_was_cut_short_is_made_again() {
    let whole = tempfile::tempdir().unwrap();
    drop(open(&whole));
    let index = "index";
    let cut: [&[&str]; 6] = [
        &[],
        &["index"],
        &["index", "index/keyspaces"],
        &["index", "index/keyspaces", "index/0.jnl"],
        &["index", "index/keyspaces", "index/0.jnl", "index/version"],
        &["index", "index/keyspaces", "index/0.jnl", "index/version", "index/keyspaces/0"],
    ];
    for made in cut {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(whole.path().join("format"), dir.path().join("format")).unwrap();
        for path in made {
            let (from, to) = (whole.path().join(path), dir.path().join(path));
            match from.is_dir() {
                true => std::fs::create_dir(to).unwrap(),
                false => drop(std::fs::copy(from, to).unwrap()),
            }
        }
        let engine = open(&dir);
        engine.index().create_partition(BUCKET).await.unwrap();
        commit(&*engine, "k", vec![put(Table::Object, b"v")]).await.unwrap();
        engine.close().await.unwrap();
        drop(engine);
        assert!(dir.path().join(index).join("version").exists(), "{made:?}");
        let row = RowRef::only(Table::Object);
        let read = open(&dir).index().read(BUCKET, b"k", &[row]).await.unwrap();
        assert!(read[0].is_some(), "{made:?}");
    }
}

/// Names the directory that a child process of this test is to work in.
const CHILD: &str = "COSTREL_TEST_CHILD_DIR";

/// Not a test by itself: the child process of the next one. Says on its output
/// what was acknowledged, until it is killed.
#[tokio::test]
async fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let engine = EmbeddedEngine::open(options(Path::new(&dir))).unwrap();
    engine.index().create_partition(BUCKET).await.unwrap();
    let start = std::process::id();
    for n in 0u64.. {
        let group = format!("{start}-{n}");
        let mut id = [0; 16];
        id[..8].copy_from_slice(&u64::from(start).to_le_bytes());
        id[8..].copy_from_slice(&n.to_le_bytes());
        if n % 4 == 0 {
            write_blob(&*engine, BlobId(id), &id.repeat(10_000)).await;
            println!("blob {}", BlobId(id));
        }
        commit(&*engine, &group, vec![put(Table::Object, b"v")]).await.unwrap();
        println!("row {group}");
    }
}

/// Kills a process in the middle of its work, again and again, and finds all
/// that it had acknowledged.
#[tokio::test]
async fn acknowledged_work_survives_kills() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let dir = tempfile::tempdir().unwrap();
    let (mut rows, mut blobs) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut left = 30 + 17 * round;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            match line.split_once(' ') {
                Some(("row", group)) => rows.push(group.to_owned()),
                Some(("blob", id)) => blobs.push(id.to_owned()),
                _ => continue,
            }
            if left == 0 {
                child.kill().unwrap();
            }
            left -= 1;
        }
        child.wait().unwrap();
    }
    assert!(rows.len() > 100 && blobs.len() > 20, "{} rows, {} blobs", rows.len(), blobs.len());
    let engine = open(&dir);
    for group in rows {
        let row = [RowRef::only(Table::Object)];
        let read = engine.index().read(BUCKET, group.as_bytes(), &row).await.unwrap();
        assert!(read[0].is_some(), "row {group} is lost");
    }
    for id in blobs {
        let id = BlobId(u128::from_str_radix(&id, 16).unwrap().to_be_bytes());
        let reader = engine.blobs().open(id).await.unwrap();
        let mut offset = 0;
        while offset < reader.len() {
            let piece = reader.read_at(offset, 160_000).await.unwrap();
            assert_eq!(piece[..16], id.0.repeat(2)[offset as usize % 16..][..16]);
            offset += piece.len() as u64;
        }
        assert_eq!(offset, 160_000);
    }
}
