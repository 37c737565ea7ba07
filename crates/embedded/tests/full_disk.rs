//! A disk that other processes fill, whatever is kept in reserve: a small file
//! system of its own, which takes the right to mount one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::engine::{
    BucketId, Commit, CommitError, Engine, EngineError, Health, Partition, RowRef, Table, Write,
};
use costrel_embedded::{EmbeddedEngine, Options};

const BUCKET: Partition = Partition::Bucket(BucketId(1));

struct Mounted(PathBuf);

impl Mounted {
    fn new(path: PathBuf) -> Option<Mounted> {
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512m", "tmpfs"]).arg(&path);
        mount.status().is_ok_and(|status| status.success()).then_some(Mounted(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn open(dir: &Path) -> Arc<EmbeddedEngine> {
    EmbeddedEngine::open(Options { reserve_bytes: 0, ..Options::new(dir.join("data")) }).unwrap()
}

/// A row that goes through the journal of rows, or one that goes to the log.
fn row(group: &str) -> RowRef {
    RowRef::only(if group.ends_with(['1', '3', '5', '7', '9']) {
        Table::Object
    } else {
        Table::Body
    })
}

fn value(group: &str) -> Bytes {
    group.repeat(60_000 / group.len()).into()
}

async fn put(engine: &dyn Engine, group: &str) -> Result<(), CommitError> {
    let (writes, expects) = (vec![Write::Put(row(group), value(group))], vec![]);
    let group = Bytes::copy_from_slice(group.as_bytes());
    engine.index().commit(Commit::new(BUCKET, group, expects, writes)).await
}

async fn get(engine: &dyn Engine, group: &str) -> Option<Bytes> {
    engine.index().read(BUCKET, group.as_bytes(), &[row(group)]).await.unwrap().remove(0)
}

fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 16 * 1024]).is_ok() {}
    while file.write_all(&[1]).is_ok() {}
}

#[derive(Default)]
struct Seen {
    stored: Vec<String>,
    refused: Vec<String>,
}

impl Seen {
    async fn holds(&self, engine: &dyn Engine) {
        for group in &self.stored {
            assert_eq!(get(engine, group).await, Some(value(group)), "{group}");
        }
        for group in &self.refused {
            assert_eq!(get(engine, group).await, None, "{group} was refused");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_when_space_returns() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = Mounted::new(dir.path().join("small")) else {
        println!("not tested: a file system cannot be mounted here");
        return;
    };
    let engine = open(&small.0);
    engine.index().create_partition(BUCKET).await.unwrap();
    let mut seen = Seen::default();
    for round in 0..3 {
        // More than a table holds in memory, so that there is work in the background.
        for number in 0..800 {
            let group = format!("before-{round}-{}", number % 100);
            put(&*engine, &group).await.unwrap();
            if number < 100 {
                seen.stored.push(group);
            }
        }
        let filler = small.0.join("filler");
        fill(&filler);
        for number in 0..300 {
            let group = format!("full-{round}-{number}");
            match put(&*engine, &group).await {
                Ok(()) => seen.stored.push(group),
                Err(_) => seen.refused.push(group),
            }
        }
        for group in ["refused-0", "refused-1"] {
            let refused = put(&*engine, group).await;
            let full = matches!(refused, Err(CommitError::Engine(EngineError::Full(_))));
            assert!(full, "{group}: {refused:?}");
        }
        assert!(matches!(engine.health(), Health::ReadOnly(_)));
        seen.holds(&*engine).await;

        std::fs::remove_file(&filler).unwrap();
        let since = Instant::now();
        let group = format!("after-{round}");
        while let Err(error) = put(&*engine, &group).await {
            assert!(since.elapsed() < Duration::from_secs(60), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        seen.stored.push(group);
        assert_eq!(engine.health(), Health::Ready);
        seen.holds(&*engine).await;
    }
    engine.close().await.unwrap();
    drop(engine);
    let engine = open(&small.0);
    seen.holds(&*engine).await;
    assert_eq!(engine.audit().await.unwrap(), Vec::<String>::new());
    engine.close().await.unwrap();
}
