//! Which shard holds which groups, as far as this process knows.
//!
//! Kept without a lease: every operation reads or compares the header of the
//! shard it goes to, so what is out of date shows itself and is read again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use costrel_core::engine::{EngineError, Partition};
use parking_lot::{Mutex, RwLock};

use super::header::Life;
use super::key::{partition_name, root_object, shard_object};
use super::recover;
use super::root;
use super::shard::{Context, Shard};
use crate::status::count;

pub(super) struct Layout {
    /// Proved to be out of date. It is kept until there is a newer one, so that what
    /// is known of its shards stays known.
    is_old: AtomicBool,
    ranges: Vec<(Vec<u8>, Arc<Shard>)>,
}

impl Layout {
    /// What it says proved to be wrong.
    pub(super) fn outdate(&self) {
        self.is_old.store(true, Ordering::Relaxed);
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.ranges.iter().map(|(_, shard)| shard)
    }

    /// The shard of an escaped group, and where the next one begins.
    pub(super) fn find(&self, group: &[u8]) -> (&Arc<Shard>, Option<&[u8]>) {
        let behind = self.ranges.partition_point(|(low, _)| low[..] <= *group);
        let (_, shard) = &self.ranges[behind - 1];
        (shard, self.ranges.get(behind).map(|(low, _)| &low[..]))
    }
}

#[derive(Default)]
pub(super) struct Layouts {
    known: RwLock<HashMap<Partition, Arc<Layout>>>,
    /// A shard is one value in a process, whatever layouts name it: it has one
    /// queue.
    shards: Mutex<HashMap<(Partition, u64), Weak<Shard>>>,
}

impl Layouts {
    /// The layout of a partition; `None` when there is no such partition.
    pub(super) async fn get(
        &self,
        context: &Context,
        partition: Partition,
    ) -> Result<Option<Arc<Layout>>, EngineError> {
        let known = self.known.read().get(&partition).cloned();
        match known {
            Some(layout) if !layout.is_old.load(Ordering::Relaxed) => Ok(Some(layout)),
            _ => self.load(context, partition).await,
        }
    }

    async fn load(
        &self,
        context: &Context,
        partition: Partition,
    ) -> Result<Option<Arc<Layout>>, EngineError> {
        count(&context.meta.status().counters.layouts);
        let root = loop {
            match root::read(&context.meta, &root_object(partition)).await? {
                None => {
                    self.known.write().remove(&partition);
                    return Ok(None);
                }
                Some(root) if root.state.life == Life::Creating => {
                    recover::finish_creation(context, &partition_name(partition), &root).await?;
                }
                Some(root) => break root,
            }
        };
        let ranges = root.ranges.into_iter();
        let ranges = ranges.map(|(low, id)| (low, self.shard(partition, id))).collect();
        let layout = Arc::new(Layout { is_old: AtomicBool::new(false), ranges });
        self.known.write().insert(partition, layout.clone());
        Ok(Some(layout))
    }

    fn shard(&self, partition: Partition, id: u64) -> Arc<Shard> {
        let mut shards = self.shards.lock();
        if let Some(shard) = shards.get(&(partition, id)).and_then(Weak::upgrade) {
            return shard;
        }
        if shards.len() == shards.capacity() {
            shards.retain(|_, shard| shard.strong_count() > 0);
        }
        let shard = Shard::new(shard_object(partition, id));
        shards.insert((partition, id), Arc::downgrade(&shard));
        shard
    }

    /// Has the layout of a partition read again.
    pub(super) fn outdate(&self, partition: Partition) {
        if let Some(layout) = self.known.read().get(&partition) {
            layout.outdate();
        }
    }
}
