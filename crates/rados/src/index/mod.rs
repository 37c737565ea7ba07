//! Rows in the omaps of index objects: a root per partition, which names shards
//! by their range of groups, and the shards. `docs/formats/rados.md` draws them.
//!
//! Invariants:
//!
//! 1. All rows of a group lie in one shard, so a commit is one operation.
//! 2. Every operation on a shard compares its header, or reads it in the same
//!    breath; what a gateway remembers is never trusted.
//! 3. Epochs only grow. What was overtaken cannot take effect.

mod change;
mod commit;
mod copy;
mod header;
mod key;
mod layout;
mod partitions;
mod recover;
mod reshape;
mod root;
mod scan;
mod settings;
mod shard;
mod size;
#[cfg(test)]
mod stress;
mod tallies;
mod tend;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{
    BucketId, Commit, CommitError, EngineError, Index, Partition, PartitionState, Retired, RowRef,
    ScanRange, Table, Tallies, Visitor,
};

use commit::{Outcome, Prepared};
use header::Phase;
use key::root_object;
use layout::Layouts;
use shard::{Context, Shard};
pub(crate) use tend::Bounds;
use tend::Seen;

use crate::remote::Remote;

pub(crate) struct RadosIndex {
    context: Arc<Context>,
    layouts: Layouts,
    seen: Seen,
}

impl Phase {
    /// Whether the shard holds its rows as they are.
    fn is_readable(self) -> bool {
        match self {
            Phase::Active | Phase::Logging | Phase::Frozen | Phase::Retired => true,
            Phase::Moved | Phase::Prepared => false,
        }
    }
}

/// Something proved out of date and is tried again.
struct Stale<'a> {
    context: &'a Context,
    partition: Partition,
    tries: u32,
    deadline: Instant,
    /// When what hinders it is taken for something that somebody has left.
    left: Instant,
}

impl<'a> Stale<'a> {
    fn new(context: &'a Context, partition: Partition) -> Stale<'a> {
        let now = Instant::now();
        let (deadline, left) = (now + context.patience, now + recover::PATIENCE);
        Stale { context, partition, tries: 0, deadline, left }
    }

    /// Pauses, longer each time; fails when the time is up.
    async fn again(&mut self) -> Result<(), EngineError> {
        let now = Instant::now();
        if now >= self.deadline {
            let reason = "an index shard is not where it should be";
            return Err(EngineError::Unavailable(reason.into()));
        }
        if now >= self.left {
            self.left = now + recover::PATIENCE;
            recover::shard(self.context, &root_object(self.partition)).await?;
        }
        // The first time it was only this process that did not know.
        if self.tries > 0 {
            let pause = 2 * self.tries.min(50);
            tokio::time::sleep(Duration::from_millis(pause.into())).await;
        }
        self.tries += 1;
        Ok(())
    }
}

impl RadosIndex {
    /// Opens the index of a namespace, making the system partition at the first
    /// start.
    pub(crate) async fn open(
        meta: Arc<Remote>,
        patience: Duration,
        bounds: Bounds,
    ) -> Result<Self, EngineError> {
        let index = RadosIndex::new(Arc::new(Context::new(meta, patience, bounds)));
        index.create(Partition::System).await?;
        Ok(index)
    }

    fn new(context: Arc<Context>) -> RadosIndex {
        RadosIndex { context, layouts: Layouts::default(), seen: Seen::default() }
    }

    fn check_open(&self) -> Result<(), EngineError> {
        self.context.meta.status().check_open()
    }

    /// Commits what was decided by the bucket's settings of an epoch.
    pub(crate) async fn commit_by(
        &self,
        settings: Option<u64>,
        commit: &Commit,
    ) -> Result<(), CommitError> {
        self.check_open()?;
        let prepared = Arc::new(Prepared::new(commit, settings)?);
        let deadline = Instant::now() + self.context.patience;
        let mut stale = Stale::new(&self.context, commit.partition);
        loop {
            let layout = self.layouts.get(&self.context, commit.partition).await?;
            let layout = layout.ok_or(CommitError::NoPartition)?;
            let shard = layout.find(&prepared.group).0;
            match shard.commit(&self.context, prepared.clone(), deadline).await {
                Some(Outcome::Done(outcome)) => return outcome,
                Some(Outcome::Moved) => {
                    layout.outdate();
                    stale.again().await?;
                }
                None => {
                    let reason = "a commit was given up".to_owned();
                    return Err(EngineError::Unavailable(reason).into());
                }
            }
        }
    }

    pub(crate) async fn settle(&self) {
        self.context.meta.settle().await;
    }
}

#[async_trait]
impl Index for RadosIndex {
    async fn read(
        &self,
        partition: Partition,
        group: &[u8],
        rows: &[RowRef],
    ) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.check_open()?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let group = key::escape(group);
        let keys: Vec<_> = rows.iter().map(|row| key::row_key(&group, row)).collect();
        let mut stale = Stale::new(&self.context, partition);
        loop {
            let Some(layout) = self.layouts.get(&self.context, partition).await? else {
                return Ok(vec![None; rows.len()]);
            };
            match layout.find(&group).0.fetch(&self.context, &keys).await? {
                Some((header, found)) if header.phase.is_readable() => {
                    let value = |key: &Vec<u8>| Shard::value(&found, key).cloned();
                    return Ok(keys.iter().map(value).collect());
                }
                _ => {
                    layout.outdate();
                    stale.again().await?;
                }
            }
        }
    }

    async fn scan(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
        visitor: Visitor,
    ) -> Result<(), EngineError> {
        self.check_open()?;
        self.visit(partition, table, range, visitor).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.commit_by(None, &commit).await
    }

    async fn tallies(&self, partition: Partition) -> Result<Tallies, EngineError> {
        self.check_open()?;
        self.sum_tallies(partition).await
    }

    async fn create_partition(&self, partition: Partition) -> Result<(), EngineError> {
        self.check_open()?;
        self.create(partition).await
    }

    async fn retire_partition(
        &self,
        partition: Partition,
        must_be_empty: &[Table],
    ) -> Result<Retired, EngineError> {
        self.check_open()?;
        self.retire(partition, must_be_empty).await
    }

    async fn remove_partition(&self, partition: Partition) -> Result<(), EngineError> {
        self.check_open()?;
        self.remove(partition).await
    }

    async fn partitions(&self) -> Result<Vec<(BucketId, PartitionState)>, EngineError> {
        self.check_open()?;
        self.all().await
    }
}
