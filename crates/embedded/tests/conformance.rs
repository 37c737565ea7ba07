//! The embedded engine keeps the promises of the engine seam, and agrees with
//! the memory engine through random work, restarts and crashes.

use std::sync::Arc;

use costrel_core::engine::Engine;
use costrel_embedded::{EmbeddedEngine, Options};
use costrel_testkit::{ELSEWHERE, Workload, conformance, seed};
use parking_lot::Mutex;
use tempfile::TempDir;

fn options(dir: &TempDir) -> Options {
    let places = vec![(ELSEWHERE.to_owned(), dir.path().join(ELSEWHERE))];
    Options { reserve_bytes: 0, places, ..Options::new(dir.path().join("data")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_engine_conforms() {
    let dirs = Mutex::new(Vec::new());
    conformance::run(|| async {
        let dir = tempfile::tempdir().unwrap();
        let engine = EmbeddedEngine::open(options(&dir)).unwrap();
        dirs.lock().push(dir);
        engine as Arc<dyn Engine>
    })
    .await;
}

/// Closes and reopens between bursts of random work.
#[tokio::test(flavor = "multi_thread")]
async fn random_work_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut workload = Workload::new(seed());
    for _ in 0..6 {
        let engine = EmbeddedEngine::open(options(&dir)).unwrap();
        workload.compare(&*engine).await;
        workload.run(&*engine, 400).await;
        workload.compare(&*engine).await;
        engine.close().await.unwrap();
    }
}

/// Instead of closing, goes on with a copy of the files as they are: what a
/// process leaves behind that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn random_work_survives_kills() {
    let mut dir = tempfile::tempdir().unwrap();
    let mut workload = Workload::new(seed());
    for _ in 0..6 {
        let engine = EmbeddedEngine::open(options(&dir)).unwrap();
        workload.compare(&*engine).await;
        workload.run(&*engine, 300).await;
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        drop(engine);
        dir = copy;
    }
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
