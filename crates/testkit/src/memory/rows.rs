//! Rows in ordered maps.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{
    BucketId, Commit, CommitError, EngineError, Index, Partition, PartitionState, Retired, RowRef,
    ScanRange, Step, Table, Tallies, Visitor, Write,
};
use parking_lot::RwLock;

use super::check_open;

/// Group and suffix. Tuples of byte strings compare as the contract orders rows.
type RowKey = (Bytes, Bytes);

struct Rows {
    state: PartitionState,
    tables: BTreeMap<Table, BTreeMap<RowKey, Bytes>>,
    tallies: Tallies,
}

impl Rows {
    fn new() -> Self {
        Rows { state: PartitionState::Live, tables: BTreeMap::new(), tallies: Tallies::default() }
    }

    fn get(&self, group: &Bytes, row: &RowRef) -> Option<&Bytes> {
        self.tables.get(&row.table)?.get(&(group.clone(), row.suffix.clone()))
    }

    fn apply(&mut self, group: &Bytes, write: Write) {
        match write {
            Write::Put(row, value) => {
                assert!(!value.is_empty(), "the value of {row:?} is empty");
                let table = self.tables.entry(row.table).or_default();
                table.insert((group.clone(), row.suffix), value);
            }
            Write::Delete(row) => {
                if let Some(table) = self.tables.get_mut(&row.table) {
                    table.remove(&(group.clone(), row.suffix));
                }
            }
        }
    }

    fn is_empty(&self, table: Table) -> bool {
        self.tables.get(&table).is_none_or(BTreeMap::is_empty)
    }
}

pub(super) struct MemoryIndex {
    partitions: RwLock<BTreeMap<Partition, Rows>>,
    open: Arc<AtomicBool>,
}

impl MemoryIndex {
    pub(super) fn new(open: Arc<AtomicBool>) -> Self {
        let partitions = BTreeMap::from([(Partition::System, Rows::new())]);
        MemoryIndex { partitions: RwLock::new(partitions), open }
    }

    pub(super) fn len(&self) -> usize {
        let partitions = self.partitions.read();
        partitions.values().flat_map(|p| p.tables.values()).map(BTreeMap::len).sum()
    }
}

/// Whether a retired partition takes this write: it only shrinks, but for what
/// the collector is told to free.
fn allowed_when_retired(write: &Write) -> bool {
    match write {
        Write::Delete(_) => true,
        Write::Put(row, _) => row.table == Table::Garbage,
    }
}

#[async_trait]
impl Index for MemoryIndex {
    async fn read(
        &self,
        partition: Partition,
        group: &[u8],
        rows: &[RowRef],
    ) -> Result<Vec<Option<Bytes>>, EngineError> {
        check_open(&self.open)?;
        let group = Bytes::copy_from_slice(group);
        let partitions = self.partitions.read();
        let partition = partitions.get(&partition);
        Ok(rows.iter().map(|row| partition?.get(&group, row).cloned()).collect())
    }

    async fn scan(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
        mut visitor: Visitor,
    ) -> Result<(), EngineError> {
        check_open(&self.open)?;
        let partitions = self.partitions.read();
        let Some(rows) = partitions.get(&partition).and_then(|p| p.tables.get(&table)) else {
            return Ok(());
        };
        let mut from = Bound::Included((range.start_group, range.start_suffix));
        while let Some((key, value)) = rows.range((from, Bound::Unbounded)).next() {
            if range.end_group.as_ref().is_some_and(|end| key.0 >= end) {
                break;
            }
            from = match visitor(&key.0, &key.1, value) {
                Step::SeekGroup(group) if group > key.0 => Bound::Included((group, Bytes::new())),
                Step::Next | Step::SeekGroup(_) => Bound::Excluded(key.clone()),
                Step::Stop => break,
            };
        }
        Ok(())
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        check_open(&self.open)?;
        let mut partitions = self.partitions.write();
        let rows = partitions.get_mut(&commit.partition).ok_or(CommitError::NoPartition)?;
        if rows.state == PartitionState::Retired && !commit.writes.iter().all(allowed_when_retired)
        {
            return Err(CommitError::NoPartition);
        }
        for (number, expect) in commit.expects.iter().enumerate() {
            if !expect.holds(rows.get(&commit.group, expect.row()).map(|v| v.as_ref())) {
                return Err(CommitError::Conflict(number));
            }
        }
        for write in commit.writes {
            rows.apply(&commit.group, write);
        }
        rows.tallies.add_all(&commit.tallies);
        Ok(())
    }

    async fn tallies(&self, partition: Partition) -> Result<Tallies, EngineError> {
        check_open(&self.open)?;
        let partitions = self.partitions.read();
        Ok(partitions.get(&partition).map(|rows| rows.tallies.clone()).unwrap_or_default())
    }

    async fn create_partition(&self, partition: Partition) -> Result<(), EngineError> {
        check_open(&self.open)?;
        let mut partitions = self.partitions.write();
        match partitions.entry(partition).or_insert_with(Rows::new).state {
            PartitionState::Live => Ok(()),
            PartitionState::Retired => {
                Err(EngineError::Unavailable(format!("{partition:?} is being removed")))
            }
        }
    }

    async fn retire_partition(
        &self,
        partition: Partition,
        must_be_empty: &[Table],
    ) -> Result<Retired, EngineError> {
        check_open(&self.open)?;
        let mut partitions = self.partitions.write();
        match partitions.get_mut(&partition) {
            Some(rows) if rows.state == PartitionState::Live && partition != Partition::System => {
                if must_be_empty.iter().all(|table| rows.is_empty(*table)) {
                    rows.state = PartitionState::Retired;
                    Ok(Retired::Done)
                } else {
                    Ok(Retired::NotEmpty)
                }
            }
            _ => Ok(Retired::Missing),
        }
    }

    async fn remove_partition(&self, partition: Partition) -> Result<(), EngineError> {
        check_open(&self.open)?;
        let mut partitions = self.partitions.write();
        match partitions.get(&partition).map(|rows| rows.state) {
            Some(PartitionState::Live) => {
                Err(EngineError::Unavailable(format!("{partition:?} is in use")))
            }
            Some(PartitionState::Retired) => {
                partitions.remove(&partition);
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn partitions(&self) -> Result<Vec<(BucketId, PartitionState)>, EngineError> {
        check_open(&self.open)?;
        let partitions = self.partitions.read();
        let buckets = partitions.iter().filter_map(|(partition, rows)| match partition {
            Partition::System => None,
            Partition::Bucket(id) => Some((*id, rows.state)),
        });
        Ok(buckets.collect())
    }
}
