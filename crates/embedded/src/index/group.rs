//! Judges a group of commits one after the other and gathers what they write.
//!
//! Each commit sees the rows as the commits before it leave them, although none
//! of them is written yet: what they change lies in an overlay in front of the
//! store. The overlay becomes one batch, so the group is written as a whole.

use std::collections::HashMap;

use bytes::Bytes;
use costrel_core::engine::{
    Commit, CommitError, EngineError, Expect, Partition, PartitionState, RowRef, Table, Tallies,
    Write,
};
use fjall::Snapshot;

use super::fetch::fetch;
use super::key;
use super::partitions::Partitions;
use super::store::{Batch, Store};
use crate::bodies::{BodyLog, Extent, Named, Place, Stored};
use crate::space::Growth;

/// A commit whose bodies are in the log, or that has none for it.
pub(super) struct Prepared {
    pub(super) commit: Commit,
    /// The number of a write and where its body lies, in the order of the numbers.
    pub(super) placed: Vec<(usize, Place)>,
}

impl From<Commit> for Prepared {
    fn from(commit: Commit) -> Self {
        Prepared { commit, placed: Vec::new() }
    }
}

/// The outcome of each commit's judgement, and what the accepted ones change.
pub(super) struct Group<'a> {
    store: &'a Store,
    log: &'a BodyLog,
    snapshot: Snapshot,
    /// The last change of each row: its value, or `None` for deleted.
    overlay: HashMap<(Table, Bytes), Option<Stored>>,
    /// By how much counters of partitions change.
    tallies: HashMap<Partition, Tallies>,
    /// Bodies in the log that stored rows no longer name.
    freed: Vec<Extent>,
    /// Bodies in the log that no row will ever name.
    unused: Vec<Extent>,
}

/// What a group changes.
pub(super) struct Changes<'a> {
    pub(super) batch: Batch<'a>,
    /// Bodies in the log that the batch names.
    pub(super) named: Vec<Named>,
    pub(super) freed: Vec<Extent>,
    pub(super) unused: Vec<Extent>,
}

impl<'a> Group<'a> {
    pub(super) fn new(store: &'a Store, log: &'a BodyLog) -> Self {
        let (freed, unused) = (Vec::new(), Vec::new());
        let (overlay, tallies) = (HashMap::new(), HashMap::new());
        let snapshot = store.snapshot();
        Group { store, log, snapshot, overlay, tallies, freed, unused }
    }

    /// Accepts the commit, or says why not. An accepted commit is in the
    /// overlay but not written.
    pub(super) fn judge(
        &mut self,
        prepared: Prepared,
        partitions: &mut Partitions,
        admit: impl FnOnce(Growth) -> Result<(), EngineError>,
    ) -> Result<(), CommitError> {
        let Prepared { commit, placed } = prepared;
        let mut places = placed.into_iter();
        let judged = self.judge_placed(commit, &mut places, partitions, admit);
        self.unused.extend(places.map(|(_, place)| place.extent()));
        judged
    }

    /// Takes the places if it accepts the commit.
    fn judge_placed(
        &mut self,
        commit: Commit,
        places: &mut std::vec::IntoIter<(usize, Place)>,
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
        if commit.writes.is_empty() && commit.tallies.is_empty() {
            return Ok(());
        }
        admit(growth)?;
        let mut replaced = Vec::new();
        for row in commit.writes.iter().map(written).filter(|row| row.table == Table::Body) {
            key.truncate(prefix_len);
            key.extend_from_slice(&row.suffix);
            if !self.overlay.contains_key(&(Table::Body, Bytes::copy_from_slice(&key)))
                && let Some(Stored::Placed(place)) =
                    self.store.get(&self.snapshot, Table::Body, &key)?
            {
                replaced.push(place.extent());
            }
        }
        key.truncate(prefix_len);
        let kept = self.object_kept(&commit.writes, &key)?;
        // Nothing fails from here on.
        self.freed.append(&mut replaced);
        if let Some(kept) = kept {
            let object = (Table::Object, Bytes::copy_from_slice(&key));
            self.overlay.insert(object, Some(Stored::Value(kept)));
        }
        for (number, write) in commit.writes.into_iter().enumerate() {
            let place = places.as_slice().first().is_some_and(|(placed, _)| *placed == number);
            let (row, value) = match write {
                Write::Put(row, _) if place => {
                    (row, places.next().map(|(_, place)| Stored::Placed(place)))
                }
                Write::Put(row, value) => {
                    debug_assert!(!value.is_empty(), "the value of {row:?} is empty");
                    (row, Some(Stored::Value(value)))
                }
                Write::Delete(row) => (row, None),
            };
            key.truncate(prefix_len);
            key.extend_from_slice(&row.suffix);
            let before = self.overlay.insert((row.table, Bytes::copy_from_slice(&key)), value);
            if let Some(Some(Stored::Placed(place))) = before {
                self.unused.push(place.extent());
            }
        }
        if !commit.tallies.is_empty() {
            self.tallies.entry(commit.partition).or_default().add_all(&commit.tallies);
        }
        partitions.count_commit(commit.partition);
        Ok(())
    }

    /// The value of the object at a key whose row carries the body's along, when the
    /// body's row changes and the object's does not: it has to be written again.
    fn object_kept(&self, writes: &[Write], key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let writes_to = |table| {
            let is_one = move |row: &RowRef| row.table == table && row.suffix.is_empty();
            writes.iter().map(written).any(is_one)
        };
        if !writes_to(Table::Body)
            || writes_to(Table::Object)
            || self.overlay.contains_key(&(Table::Object, Bytes::copy_from_slice(key)))
        {
            return Ok(None);
        }
        let object = self.store.get_object(&self.snapshot, key)?;
        Ok(object.and_then(|(value, body)| body.map(|_| value)))
    }

    /// The row's value as the commits so far leave it.
    fn value(&self, table: Table, key: Bytes) -> Result<Option<Bytes>, EngineError> {
        let row = (table, key);
        let stored = match self.overlay.get(&row) {
            Some(stored) => stored.clone(),
            None => self.store.get(&self.snapshot, table, &row.1)?,
        };
        match stored {
            Some(stored) => fetch(self.log, self.store, &row.1, stored),
            None => Ok(None),
        }
    }

    /// What the accepted commits change together. A partition's counters are one row,
    /// written once for all of them.
    pub(super) fn into_changes(self, partitions: &mut Partitions) -> Changes<'a> {
        let mut batch = self.store.batch();
        for (partition, by) in &self.tallies {
            if !by.is_empty() {
                partitions.tally(*partition, by, &mut batch);
            }
        }
        let mut named = Vec::new();
        for ((table, key), value) in &self.overlay {
            if let Some(Stored::Placed(place)) = value {
                named.push(Named { extent: place.extent(), key: key.clone() });
            }
            match value {
                Some(Stored::Value(value)) if *table == Table::Object => {
                    // Only there a change of the body alone is looked out for.
                    let body = match key::has_empty_suffix(key) {
                        true => self.overlay.get(&(Table::Body, key.clone())),
                        false => None,
                    };
                    batch.put_object(key.clone(), value, body.and_then(Option::as_ref));
                }
                Some(value) => batch.put(*table, key.clone(), value.clone()),
                None => batch.delete(*table, key.clone()),
            }
        }
        Changes { batch, named, freed: self.freed, unused: self.unused }
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
