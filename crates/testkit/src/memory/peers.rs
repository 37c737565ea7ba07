//! The memory engine as several processes see it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use costrel_core::engine::{
    Blobs, BucketId, Commit, CommitError, Engine, EngineError, Health, Index, Listener, Metric,
    Partition, Peers,
};
use parking_lot::Mutex;
use tokio::sync::RwLock;

use super::MemoryEngine;

/// One process's view of an engine that others have open too.
pub struct SharedMemory {
    engine: Arc<MemoryEngine>,
    memory_max: Duration,
    pending_age_max: Duration,
    listeners: Arc<Mutex<Vec<Arc<Listener>>>>,
    /// Epochs of the settings in force; held for reading by commits.
    enforced: Arc<RwLock<HashMap<BucketId, u64>>>,
    /// Neither hears nor is heard.
    deaf: bool,
}

impl SharedMemory {
    pub fn new(memory_max: Duration, pending_age_max: Duration) -> Self {
        SharedMemory {
            engine: Arc::new(MemoryEngine::new()),
            memory_max,
            pending_age_max,
            listeners: Arc::default(),
            enforced: Arc::default(),
            deaf: false,
        }
    }

    /// Another process on the same rows.
    pub fn another(&self) -> Self {
        SharedMemory {
            engine: self.engine.clone(),
            memory_max: self.memory_max,
            pending_age_max: self.pending_age_max,
            listeners: self.listeners.clone(),
            enforced: self.enforced.clone(),
            deaf: false,
        }
    }

    /// Another one that announcements do not reach.
    pub fn deaf(&self) -> Self {
        SharedMemory { deaf: true, ..self.another() }
    }
}

#[async_trait]
impl Peers for SharedMemory {
    fn memory_max(&self) -> Duration {
        self.memory_max
    }

    fn listen(&self, listener: Listener) {
        if !self.deaf {
            self.listeners.lock().push(Arc::new(listener));
        }
    }

    async fn announce(&self, bucket: BucketId) {
        let listeners = self.listeners.lock().clone();
        for listener in listeners {
            listener(Some(bucket));
        }
    }

    async fn commit_by(&self, epoch: u64, commit: Commit) -> Result<(), CommitError> {
        let enforced = self.enforced.read().await;
        let in_force = match commit.partition {
            Partition::Bucket(bucket) => enforced.get(&bucket).copied().unwrap_or_default(),
            Partition::System => 0,
        };
        match epoch < in_force {
            true => Err(CommitError::Superseded),
            false => self.engine.index().commit(commit).await,
        }
    }

    async fn enforce(&self, bucket: BucketId, epoch: u64) -> Result<(), EngineError> {
        let mut enforced = self.enforced.write().await;
        let in_force = enforced.entry(bucket).or_default();
        *in_force = epoch.max(*in_force);
        Ok(())
    }

    async fn others(&self) -> Result<usize, EngineError> {
        Ok(Arc::strong_count(&self.engine) - 1)
    }

    async fn tend(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[async_trait]
impl Engine for SharedMemory {
    fn index(&self) -> &dyn Index {
        self.engine.index()
    }

    fn blobs(&self) -> &dyn Blobs {
        self.engine.blobs()
    }

    fn place(&self, name: &str) -> Option<&dyn Blobs> {
        self.engine.place(name)
    }

    fn places(&self) -> Vec<&str> {
        self.engine.places()
    }

    fn peers(&self) -> Option<&dyn Peers> {
        Some(self)
    }

    fn inline_max(&self) -> usize {
        self.engine.inline_max()
    }

    fn reader_grace(&self) -> Duration {
        Duration::ZERO
    }

    fn pending_age_max(&self) -> Option<Duration> {
        Some(self.pending_age_max)
    }

    fn health(&self) -> Health {
        self.engine.health()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.engine.metrics()
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.engine.close().await
    }
}
