//! Judges a group of commits one after the other and gathers what they write.
//!
//! Each commit sees the rows as the commits before it leave them, although none
//! of them is written yet: what they change lies in an overlay in front of the
//! store. The overlay becomes one batch, so the group is written as a whole.

use std::collections::HashMap;

use bytes::Bytes;
use costrel_core::engine::{
    Commit, CommitError, EngineError, Expect, PartitionState, RowRef, Table, Write,
};
use fjall::Snapshot;

use super::key;
use super::partitions::Partitions;
use super::store::{Batch, Store};
use crate::space::Growth;

/// The outcome of each commit's judgement, and what the accepted ones change.
pub(super) struct Group<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    /// The last change of each row: its value, or `None` for deleted.
    overlay: HashMap<(Table, Bytes), Option<Bytes>>,
}

impl<'a> Group<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Group { store, snapshot: store.snapshot(), overlay: HashMap::new() }
    }

    /// Accepts the commit, or says why not. An accepted commit is in the
    /// overlay but not written.
    pub(super) fn judge(
        &mut self,
        commit: Commit,
        partitions: &mut Partitions,
        admit: impl FnOnce(Growth) -> Result<(), EngineError>,
    ) -> Result<(), CommitError> {
        let state = partitions.state(commit.partition).ok_or(CommitError::NoPartition)?;
        let growth = growth(&commit.writes);
        if state == PartitionState::Retired && growth == Growth::Grows {
            return Err(CommitError::NoPartition);
        }
        let rows = commit.expects.iter().map(Expect::row).chain(commit.writes.iter().map(written));
        for row in rows {
            if !key::fits(&commit.group, &row.suffix) {
                return Err(too_long(&commit.group, row).into());
            }
        }
        let mut key = key::group_prefix(commit.partition, &commit.group);
        let prefix_len = key.len();
        for (number, expect) in commit.expects.iter().enumerate() {
            let row = expect.row();
            key.truncate(prefix_len);
            key.extend_from_slice(&row.suffix);
            let key = Bytes::copy_from_slice(&key);
            if !expect.holds(self.value(row.table, key)?.as_deref()) {
                return Err(CommitError::Conflict(number));
            }
        }
        if commit.writes.is_empty() {
            return Ok(());
        }
        admit(growth)?;
        for write in commit.writes {
            let (row, value) = match write {
                Write::Put(row, value) => {
                    debug_assert!(!value.is_empty(), "the value of {row:?} is empty");
                    (row, Some(value))
                }
                Write::Delete(row) => (row, None),
            };
            key.truncate(prefix_len);
            key.extend_from_slice(&row.suffix);
            self.overlay.insert((row.table, Bytes::copy_from_slice(&key)), value);
        }
        partitions.count_commit(commit.partition);
        Ok(())
    }

    /// The row's value as the commits so far leave it.
    fn value(&self, table: Table, key: Bytes) -> Result<Option<Bytes>, EngineError> {
        let row = (table, key);
        match self.overlay.get(&row) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(&self.snapshot, table, &row.1),
        }
    }

    /// What the accepted commits change together.
    pub(super) fn into_batch(self) -> Batch<'a> {
        let mut batch = self.store.batch();
        for ((table, key), value) in self.overlay {
            match value {
                Some(value) => batch.put(table, key, value),
                None => batch.delete(table, key),
            }
        }
        batch
    }
}

/// A commit grows the store when it puts anything but work for the collector:
/// the same rule says what a retired partition takes.
fn growth(writes: &[Write]) -> Growth {
    let grows = writes.iter().any(|write| match write {
        Write::Put(row, _) => row.table != Table::Garbage,
        Write::Delete(_) => false,
    });
    if grows { Growth::Grows } else { Growth::Shrinks }
}

fn written(write: &Write) -> &RowRef {
    match write {
        Write::Put(row, _) | Write::Delete(row) => row,
    }
}

fn too_long(group: &[u8], row: &RowRef) -> EngineError {
    let context = format!(
        "a row of {:?} with a group of {} and a suffix of {} bytes is too long",
        row.table,
        group.len(),
        row.suffix.len()
    );
    EngineError::io(context, std::io::ErrorKind::InvalidInput.into())
}
