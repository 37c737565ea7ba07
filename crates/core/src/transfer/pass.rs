//! One pass over everything.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::bodies::{self, Obstacle};
use super::differences::{Pair, Pairs};
use super::leftovers::{self, commit};
use super::plan::{Plan, plan};
use super::{Report, marker};
use crate::claim;
use crate::engine::{BucketId, Engine, Partition, PartitionState, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::naming::{Place, named};
use crate::record::{GarbageRecord, decode, split_part_suffix};
use crate::scan::{behind, rows};

/// Rows that are carried at once.
const ROWS_AT_ONCE: usize = 64;
/// Blobs among them: each takes some pieces of memory.
const BLOBS_AT_ONCE: usize = 6;
/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 512;

/// Tables that are compared row by row. Bodies go with the rows that name them; a
/// blob that nothing names yet ends with whoever was writing it.
fn tables() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|table| !matches!(table, Table::Body | Table::Pending))
}

pub(super) struct Pass<'a, P> {
    source: &'a dyn Engine,
    target: &'a dyn Engine,
    /// Nothing was there when it began.
    is_fresh: bool,
    blobs: Semaphore,
    report: Mutex<Report>,
    progress: Mutex<P>,
}

/// Where a row is.
#[derive(Clone, Copy)]
struct Spot {
    partition: Partition,
    table: Table,
}

impl<'a, P: FnMut(&Report) + Send> Pass<'a, P> {
    pub(super) fn new(
        source: &'a dyn Engine,
        target: &'a dyn Engine,
        is_fresh: bool,
        progress: P,
    ) -> Self {
        Pass {
            source,
            target,
            is_fresh,
            blobs: Semaphore::new(BLOBS_AT_ONCE),
            report: Mutex::default(),
            progress: Mutex::new(progress),
        }
    }

    pub(super) async fn run(self) -> Result<Report> {
        let there = self.source.index().partitions().await?;
        let live = there.into_iter().filter(|(_, state)| *state == PartitionState::Live);
        let live: HashSet<BucketId> = live.map(|(bucket, _)| bucket).collect();
        for (bucket, state) in self.target.index().partitions().await? {
            let partition = Partition::Bucket(bucket);
            if state == PartitionState::Live && live.contains(&bucket) {
                continue;
            }
            if state == PartitionState::Live {
                self.empty(partition).await?;
                self.target.index().retire_partition(partition, &[]).await?;
            }
            // Emptied, if an earlier pass retired it.
            self.target.index().remove_partition(partition).await?;
        }
        for bucket in live {
            let partition = Partition::Bucket(bucket);
            self.target.index().create_partition(partition).await?;
            self.partition(partition).await?;
        }
        self.partition(Partition::System).await?;
        (self.progress.into_inner())(&self.report.lock());
        Ok(self.report.into_inner())
    }

    async fn partition(&self, partition: Partition) -> Result<()> {
        for table in tables() {
            let spot = Spot { partition, table };
            let pairs = Pairs::new(self.source, self.target, partition, table);
            self.pairs(spot, pairs).await?;
        }
        leftovers::free(self.target, partition).await
    }

    /// Removes everything of a partition that the source does not have.
    async fn empty(&self, partition: Partition) -> Result<()> {
        for table in tables() {
            let spot = Spot { partition, table };
            self.pairs(spot, Pairs::of_target(self.target, partition, table)).await?;
        }
        leftovers::free(self.target, partition).await
    }

    async fn pairs(&self, spot: Spot, pairs: Pairs<'_>) -> Result<()> {
        let pairs = stream::try_unfold(pairs, |mut pairs| async move {
            Ok(pairs.next().await?.map(|pair| (pair, pairs)))
        });
        pairs.try_for_each_concurrent(ROWS_AT_ONCE, |pair| self.pair(spot, pair)).await
    }

    async fn pair(&self, spot: Spot, pair: Pair) -> Result<()> {
        if is_of_one_store(spot, &pair.group) {
            return Ok(());
        }
        let Some(value) = &pair.source else { return self.remove(spot, &pair).await };
        self.count(|report| report.rows += 1);
        match self.carry(spot, &pair, value).await {
            Ok(()) => Ok(()),
            Err(Obstacle::Fatal(error)) => Err(error),
            Err(Obstacle::Source(_)) if self.has_moved(spot, &pair, value).await? => {
                self.count(|report| report.moved += 1);
                Ok(())
            }
            Err(Obstacle::Source(why)) => {
                let key = String::from_utf8_lossy(&pair.group);
                let finding = format!("{:?} row of {key:?}: {why}", spot.table);
                tracing::error!(finding, "copy");
                self.count(|report| report.findings.push(finding));
                Ok(())
            }
        }
    }

    /// Counts, and reports now and then.
    fn count(&self, change: impl FnOnce(&mut Report)) {
        let mut report = self.report.lock();
        change(&mut report);
        if report.rows.is_multiple_of(PROGRESS_ROWS) {
            (self.progress.lock())(&report);
        }
    }

    async fn remove(&self, spot: Spot, pair: &Pair) -> Result<()> {
        let row = RowRef { table: spot.table, suffix: pair.suffix.clone() };
        let mut writes = vec![Write::Delete(row)];
        if let Some(value) = &pair.target {
            let body = named(spot.table, &pair.suffix, value)?;
            writes.extend(body.as_ref().map(leftovers::note));
        }
        commit(self.target, spot.partition, &pair.group, writes).await?;
        self.count(|report| report.rows_removed += 1);
        Ok(())
    }

    /// Makes the target's row what the source's is.
    async fn carry(&self, spot: Spot, pair: &Pair, value: &Bytes) -> Result<(), Obstacle> {
        let inline_max = self.target.inline_max() as u64;
        let planned = plan(spot.table, &pair.suffix, value, inline_max);
        let mut planned = planned.map_err(|error| Obstacle::Source(error.to_string()))?;
        if pair.target.as_ref() == Some(&planned.value) {
            return Ok(());
        }
        if planned.body.is_some() && self.is_freed(spot, pair).await? {
            // What it names may be gone already. The garbage row is carried too, and
            // the target's collector does the rest.
            planned = Plan { value: value.clone(), body: None };
            if pair.target.as_ref() == Some(value) {
                return Ok(());
            }
        }
        let (partition, group) = (spot.partition, &pair.group);
        let row = RowRef { table: spot.table, suffix: pair.suffix.clone() };
        let mut rows = vec![(row, planned.value.clone())];
        let mut writes = Vec::new();
        let before = match &pair.target {
            Some(before) => named(spot.table, &pair.suffix, before)?,
            None => None,
        };
        let after = named(spot.table, &pair.suffix, &planned.value)?;
        let mut carried = None;
        if let Some(body) = planned.body.filter(|body| before.as_ref() != Some(&body.to)) {
            match &body.to.place {
                Place::Row(suffix) => {
                    let value = bodies::row_value(self.source, partition, group, &body).await?;
                    rows.push((RowRef { table: Table::Body, suffix: suffix.clone() }, value));
                }
                Place::Blob(_) => {
                    let _permit = self.blobs.acquire().await;
                    commit(self.target, partition, group, vec![leftovers::note(&body.to)]).await?;
                    let anew = self.is_fresh && !body.is_shared;
                    let (source, target) = (self.source, self.target);
                    bodies::blob(source, target, partition, group, &body, anew).await?;
                    writes.push(Write::Delete(leftovers::row(&body.to)));
                }
            }
            carried = Some(body.size);
        }
        writes.extend(
            before.filter(|body| Some(body) != after.as_ref()).map(|body| leftovers::note(&body)),
        );
        writes.extend(rows.iter().map(|(row, value)| Write::Put(row.clone(), value.clone())));
        commit(self.target, partition, group, writes).await?;
        self.read_back(partition, group, rows).await?;
        self.count(|report| {
            report.rows_written += 1;
            report.bodies += u64::from(carried.is_some());
            report.bytes += carried.unwrap_or_default();
        });
        Ok(())
    }

    async fn read_back(
        &self,
        partition: Partition,
        group: &Bytes,
        written: Vec<(RowRef, Bytes)>,
    ) -> Result<()> {
        let (names, values): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        let found = self.target.index().read(partition, group, &names).await?;
        match found.iter().map(Option::as_ref).eq(values.iter().map(Some)) {
            true => Ok(()),
            false => {
                let key = String::from_utf8_lossy(group);
                Err(Error::Damaged(format!("rows of {key:?} read otherwise than written")))
            }
        }
    }

    /// Whether the source's row is another by now, or what it names is being freed.
    async fn has_moved(&self, spot: Spot, pair: &Pair, value: &Bytes) -> Result<bool> {
        let row = [RowRef { table: spot.table, suffix: pair.suffix.clone() }];
        let found = self.source.index().read(spot.partition, &pair.group, &row).await?;
        Ok(found.into_iter().next().flatten().as_ref() != Some(value)
            || self.is_freed(spot, pair).await?)
    }

    /// Whether a part waits for the source's collector.
    async fn is_freed(&self, spot: Spot, pair: &Pair) -> Result<bool> {
        let part = split_part_suffix(&pair.suffix).filter(|_| spot.table == Table::Part);
        let Some((set, number)) = part else { return Ok(false) };
        let end_group = ScanRange::group(pair.group.clone()).end_group;
        let mut range = ScanRange::group(pair.group.clone());
        loop {
            let page = rows(self.source, spot.partition, Table::Garbage, range, 64).await?;
            let Some(next) = behind(&page) else { return Ok(false) };
            for row in page {
                let garbage: GarbageRecord = decode(&row.value, "garbage record")?;
                let numbers = &garbage.part_numbers;
                if garbage.part_set == set && (numbers.is_empty() || numbers.contains(&number)) {
                    return Ok(true);
                }
            }
            range = ScanRange { end_group: end_group.clone(), ..next };
        }
    }
}

/// Rows that say something of one store and its processes.
fn is_of_one_store(spot: Spot, group: &[u8]) -> bool {
    spot.partition == Partition::System
        && spot.table == Table::Installation
        && (group == marker::GROUP || group.starts_with(claim::PREFIX.as_bytes()))
}
