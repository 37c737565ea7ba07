//! Partitions as the committer knows them, and how they come and go.
//!
//! Only the committer changes a partition's state, between groups of commits,
//! so that a commit is either before a change or after it.

use std::collections::HashMap;

use bytes::Bytes;
use costrel_core::engine::{EngineError, Partition, PartitionState, Retired, Table, Tallies};

use super::store::{Batch, Store};

/// Rows that one step of a removal deletes.
pub(super) const REMOVE_STEP_ROWS: usize = 1000;

struct Known {
    state: PartitionState,
    tallies: Tallies,
    /// Commits accepted since the engine was opened.
    commits: u64,
}

/// All partitions that exist.
pub(super) struct Partitions {
    known: HashMap<Partition, Known>,
}

impl Partitions {
    /// The system's partition always exists and is never retired.
    pub(super) fn load(store: &Store) -> Result<Self, EngineError> {
        let system = (Partition::System, PartitionState::Live, Tallies::default());
        // Its row, if it has one, comes later and has its counters.
        let states = std::iter::once(system).chain(store.partitions()?);
        let known = states
            .map(|(partition, state, tallies)| (partition, Known { state, tallies, commits: 0 }));
        Ok(Partitions { known: known.collect() })
    }

    /// Looks again after the store was opened anew. Nobody may take the count of
    /// commits for what it was before.
    pub(super) fn reload(&mut self, store: &Store) -> Result<(), EngineError> {
        let mut fresh = Partitions::load(store)?;
        for (partition, known) in &mut fresh.known {
            let before = self.known.get(partition).map_or(0, |known| known.commits);
            known.commits = before + 1;
        }
        *self = fresh;
        Ok(())
    }

    pub(super) fn state(&self, partition: Partition) -> Option<PartitionState> {
        self.known.get(&partition).map(|known| known.state)
    }

    /// Notes that a commit to the partition was accepted.
    pub(super) fn count_commit(&mut self, partition: Partition) {
        if let Some(known) = self.known.get_mut(&partition) {
            known.commits += 1;
        }
    }

    /// Moves a partition's counters.
    pub(super) fn tally(&mut self, partition: Partition, by: &Tallies, batch: &mut Batch<'_>) {
        if let Some(known) = self.known.get_mut(&partition) {
            known.tallies.add_all(by);
            batch.set_partition(partition, known.state, &known.tallies);
        }
    }

    /// State and number of commits accepted so far, if the partition exists.
    /// While the number stays the same, so do the partition's rows.
    pub(super) fn inspect(&self, partition: Partition) -> Option<(PartitionState, u64)> {
        self.known.get(&partition).map(|known| (known.state, known.commits))
    }

    /// Stages the creation of a partition.
    pub(super) fn create(
        &mut self,
        partition: Partition,
        batch: &mut Batch<'_>,
    ) -> Result<(), EngineError> {
        match self.state(partition) {
            Some(PartitionState::Live) => Ok(()),
            Some(PartitionState::Retired) => {
                Err(EngineError::Unavailable(format!("{partition:?} is being removed")))
            }
            None => {
                let (state, tallies) = (PartitionState::Live, Tallies::default());
                batch.set_partition(partition, state, &tallies);
                self.known.insert(partition, Known { state, tallies, commits: 0 });
                Ok(())
            }
        }
    }

    /// Stages the retirement of a partition. With `seen_empty_at` the caller has
    /// found the tables empty when the partition had taken that many commits;
    /// `Ok(None)` says that it has taken more since. Otherwise the tables are
    /// looked at here, where no commit can come between.
    pub(super) fn retire(
        &mut self,
        store: &Store,
        partition: Partition,
        must_be_empty: &[Table],
        seen_empty_at: Option<u64>,
        batch: &mut Batch<'_>,
    ) -> Result<Option<Retired>, EngineError> {
        let Some(known) = self.known.get_mut(&partition) else {
            return Ok(Some(Retired::Missing));
        };
        if known.state == PartitionState::Retired {
            return Ok(Some(Retired::Missing));
        }
        match seen_empty_at {
            Some(commits) if commits == known.commits => {}
            Some(_) => return Ok(None),
            None => {
                let snapshot = store.snapshot();
                for table in must_be_empty {
                    if !store.is_empty(&snapshot, partition, *table)? {
                        return Ok(Some(Retired::NotEmpty));
                    }
                }
            }
        }
        known.state = PartitionState::Retired;
        batch.set_partition(partition, known.state, &known.tallies);
        Ok(Some(Retired::Done))
    }

    /// Stages one step of a removal: the given rows go, or, when there are none
    /// left, the partition itself. Answers whether it is gone.
    pub(super) fn remove_step(
        &mut self,
        store: &Store,
        partition: Partition,
        rows: Vec<(Table, Bytes)>,
        batch: &mut Batch<'_>,
    ) -> Result<bool, EngineError> {
        match self.state(partition) {
            None => return Ok(true),
            Some(PartitionState::Live) => {
                return Err(EngineError::Unavailable(format!("{partition:?} is in use")));
            }
            Some(PartitionState::Retired) => {}
        }
        if !rows.is_empty() {
            for (table, key) in rows {
                batch.delete(table, key);
            }
            return Ok(false);
        }
        // The collector may have put rows since the caller looked.
        let snapshot = store.snapshot();
        for table in Table::ALL {
            if !store.is_empty(&snapshot, partition, table)? {
                return Ok(false);
            }
        }
        self.known.remove(&partition);
        batch.forget_partition(partition);
        Ok(true)
    }
}
