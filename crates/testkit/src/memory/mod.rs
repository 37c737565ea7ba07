//! The engine that keeps everything in memory.
//!
//! It is the oracle: each promise of [`costrel_core::engine`] is kept by the
//! plainest means, one lock around ordered maps, so that another engine that
//! differs from it is wrong. It is also what the layers above are tested on.

mod blobs;
mod peers;
mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use costrel_core::engine::{Blobs, Engine, EngineError, Health, Index, Metric, MetricKind, Peers};

use blobs::MemoryBlobs;
pub use peers::SharedMemory;
use rows::MemoryIndex;

/// Largest inline body unless [`MemoryEngine::with_inline_max`] says otherwise.
const INLINE_MAX_DEFAULT: usize = 64 * 1024;

/// The name of the other place that the engine has, as any under test must.
pub const ELSEWHERE: &str = "elsewhere";

/// Rows and bodies in ordered maps. Nothing survives the value.
pub struct MemoryEngine {
    index: MemoryIndex,
    blobs: MemoryBlobs,
    elsewhere: MemoryBlobs,
    open: Arc<AtomicBool>,
    inline_max: usize,
}

impl MemoryEngine {
    pub fn new() -> Self {
        Self::with_inline_max(INLINE_MAX_DEFAULT)
    }

    /// `inline_max` in bytes is what [`Engine::inline_max`] answers: small values
    /// send small bodies through the blob path.
    pub fn with_inline_max(inline_max: usize) -> Self {
        let open = Arc::new(AtomicBool::new(true));
        MemoryEngine {
            index: MemoryIndex::new(open.clone()),
            blobs: MemoryBlobs::new(open.clone()),
            elsewhere: MemoryBlobs::new(open.clone()),
            open,
            inline_max,
        }
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses work after [`Engine::close`].
fn check_open(open: &AtomicBool) -> Result<(), EngineError> {
    if open.load(Ordering::Acquire) {
        Ok(())
    } else {
        Err(EngineError::Unavailable("the engine is closed".into()))
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    fn index(&self) -> &dyn Index {
        &self.index
    }

    fn blobs(&self) -> &dyn Blobs {
        &self.blobs
    }

    fn place(&self, name: &str) -> Option<&dyn Blobs> {
        (name == ELSEWHERE).then_some(&self.elsewhere as _)
    }

    fn places(&self) -> Vec<&str> {
        vec![ELSEWHERE]
    }

    fn peers(&self) -> Option<&dyn Peers> {
        None
    }

    fn inline_max(&self) -> usize {
        self.inline_max
    }

    fn reader_grace(&self) -> Duration {
        Duration::ZERO
    }

    fn pending_age_max(&self) -> Option<Duration> {
        None
    }

    fn health(&self) -> Health {
        match check_open(&self.open) {
            Ok(()) => Health::Ready,
            Err(error) => Health::Down(error.to_string()),
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![
            Metric {
                name: "costrel_engine_rows",
                help: "Rows kept",
                kind: MetricKind::Gauge,
                value: self.index.len() as f64,
            },
            Metric {
                name: "costrel_engine_blobs",
                help: "Blobs kept, unfinished ones included",
                kind: MetricKind::Gauge,
                value: (self.blobs.len() + self.elsewhere.len()) as f64,
            },
        ]
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.open.store(false, Ordering::Release);
        Ok(())
    }
}
