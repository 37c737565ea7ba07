//! The oracle keeps its own promises.

use std::sync::Arc;

use costrel_core::engine::Engine;
use costrel_testkit::{MemoryEngine, Workload, conformance, seed};

#[tokio::test(flavor = "multi_thread")]
async fn memory_engine_conforms() {
    conformance::run(|| async { Arc::new(MemoryEngine::new()) as Arc<dyn Engine> }).await;
}

/// A workload replays: the same seed on a second memory engine agrees at every
/// step, and leaves the same state.
#[tokio::test]
async fn workload_replays() {
    let seed = seed();
    let engine = MemoryEngine::new();
    let mut workload = Workload::new(seed);
    workload.run(&engine, 3000).await;
    workload.compare(&engine).await;
    assert!(engine.metrics().iter().any(|metric| metric.value > 0.0), "it did something");
}
