//! Takes rows into the counters that were written before anything was counted.
//!
//! Each commit says of some rows that they are counted, and counts them, if they are
//! still as they were read; so the buckets can be used meanwhile, by any number of
//! processes. How far the walk came is a row, and once it is at its end nobody walks
//! again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use prost::Message;

use super::{counts, is_counted};
use crate::claim::{self, Claim};
use crate::engine::{BucketId, Expect, Partition, PartitionState, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::record::{decode, encode};
use crate::scan::{OwnedRow, behind, rows};
use crate::store::{Store, unchanged};

/// Where the walk is, in the system partition.
#[derive(Clone, PartialEq, Message)]
struct Progress {
    /// It is at its end.
    #[prost(bool, tag = "1")]
    done: bool,
    #[prost(uint64, tag = "2")]
    bucket: u64,
    #[prost(uint32, tag = "3")]
    table: u32,
    /// The first row that is still to be looked at.
    #[prost(bytes = "bytes", tag = "4")]
    group: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    suffix: Bytes,
}

const PROGRESS: Bytes = Bytes::from_static(b"usage");
/// Objects before versions: an object's row and its version's are changed together.
const TABLES: [Table; 4] = [Table::Object, Table::Version, Table::Upload, Table::Part];
const PAGE_ROWS: usize = 512;
/// Commits under way at once, so that they share syncs.
const AT_ONCE: usize = 32;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What the walk has done since the process began.
#[derive(Default, Debug)]
pub struct CountingStats {
    /// Rows taken into the counters.
    pub rows: AtomicU64,
    pub failures: AtomicU64,
}

/// The row as one that is counted. Records are fields one behind the other, so that one
/// more can be put behind them.
fn counted(value: &[u8]) -> Bytes {
    // Field 26, a varint: true.
    [value, &[0xD0, 0x01, 0x01]].concat().into()
}

impl Store {
    /// Whether the counters hold everything that is there, and not only what was written
    /// since there are counters.
    pub async fn is_all_counted(&self) -> Result<bool> {
        Ok(self.counting_progress().await?.is_some_and(|progress| progress.done))
    }

    async fn counting_progress(&self) -> Result<Option<Progress>> {
        let row = RowRef::only(Table::Installation);
        let row = self.read_row(Partition::System, &PROGRESS, row).await?;
        row.map(|row| decode(&row, "progress of counting")).transpose()
    }

    async fn save_counting(&self, progress: &Progress) -> Result<()> {
        let writes = vec![Write::Put(RowRef::only(Table::Installation), encode(progress))];
        // Two that walk at once undo nothing of each other's.
        let _ = self.try_commit(Partition::System, &PROGRESS, vec![], writes).await?;
        Ok(())
    }

    /// Counts what was there before counters were. Returns when all is counted.
    /// Dropping it at any point is safe.
    pub async fn count_all(self: &Arc<Self>, stats: &CountingStats) {
        let claim = Claim::new(self.clone(), "usage");
        loop {
            let pause = match self.count_step(&claim, stats).await {
                Ok(true) => return,
                Ok(false) => claim::BEAT,
                Err(error) => {
                    stats.failures.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "counting what buckets hold will be tried again");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// False when another process does the work.
    async fn count_step(&self, claim: &Claim, stats: &CountingStats) -> Result<bool> {
        let mut progress = self.counting_progress().await?.unwrap_or_default();
        if progress.done {
            return Ok(true);
        }
        if !claim.hold().await? {
            return Ok(false);
        }
        let mut buckets: Vec<BucketId> = Vec::new();
        for (bucket, state) in self.engine.index().partitions().await? {
            if state == PartitionState::Live && bucket.0 >= progress.bucket {
                buckets.push(bucket);
            }
        }
        buckets.sort_unstable();
        for bucket in buckets {
            if bucket.0 != progress.bucket {
                progress = Progress { bucket: bucket.0, ..Progress::default() };
            }
            if !self.count_bucket(claim, bucket, &mut progress, stats).await? {
                return Ok(false);
            }
        }
        self.save_counting(&Progress { done: true, ..Progress::default() }).await?;
        if stats.rows.load(Relaxed) > 0 {
            tracing::info!(rows = stats.rows.load(Relaxed), "counted what was there before");
        }
        Ok(true)
    }

    async fn count_bucket(
        &self,
        claim: &Claim,
        bucket: BucketId,
        progress: &mut Progress,
        stats: &CountingStats,
    ) -> Result<bool> {
        let partition = Partition::Bucket(bucket);
        for table in TABLES {
            let at = position(table);
            if at < progress.table {
                continue;
            }
            let mut range = match at == progress.table {
                true => ScanRange {
                    start_group: progress.group.clone(),
                    start_suffix: progress.suffix.clone(),
                    ..ScanRange::default()
                },
                false => ScanRange::all(),
            };
            loop {
                if !claim.hold().await? {
                    return Ok(false);
                }
                let page = rows(&*self.engine, partition, table, range, PAGE_ROWS).await?;
                let Some(next) = behind(&page) else { break };
                let taken = self.count_page(partition, table, page, stats).await?;
                progress.table = at;
                progress.group = next.start_group.clone();
                progress.suffix = next.start_suffix.clone();
                if taken > 0 {
                    self.save_counting(progress).await?;
                }
                range = next;
            }
            *progress = Progress { bucket: bucket.0, table: at + 1, ..Progress::default() };
        }
        Ok(true)
    }

    async fn count_page(
        &self,
        partition: Partition,
        table: Table,
        page: Vec<OwnedRow>,
        stats: &CountingStats,
    ) -> Result<u64> {
        let before = stats.rows.load(Relaxed);
        let uncounted = page.into_iter().filter(|row| {
            let name = RowRef { table, suffix: row.suffix.clone() };
            counts(&name) && !is_counted(table, &row.value)
        });
        stream::iter(uncounted.map(Ok::<_, Error>))
            .try_for_each_concurrent(AT_ONCE, |row| async move {
                match self.count_row(partition, table, row, stats).await {
                    // The bucket was deleted meanwhile; a row that cannot be read is the
                    // check's to find.
                    Err(Error::NoSuchBucket | Error::Damaged(_)) => Ok(()),
                    other => other,
                }
            })
            .await?;
        Ok(stats.rows.load(Relaxed) - before)
    }

    async fn count_row(
        &self,
        partition: Partition,
        table: Table,
        row: OwnedRow,
        stats: &CountingStats,
    ) -> Result<()> {
        let name = RowRef { table, suffix: row.suffix };
        loop {
            let Some(value) = self.read_row(partition, &row.group, name.clone()).await? else {
                return Ok(());
            };
            check_readable(table, &value)?;
            if is_counted(table, &value) {
                return Ok(());
            }
            let mut rows = vec![name.clone()];
            let mut expects = Vec::new();
            match table {
                Table::Object => {
                    rows.extend(self.version_of(partition, &row.group, &value).await?);
                }
                Table::Version => {
                    let object = RowRef::only(Table::Object);
                    let now = self.read_row(partition, &row.group, object.clone()).await?;
                    match now.as_ref() == Some(&value) {
                        true => rows.push(object),
                        // It may become this version's.
                        false => expects.push(unchanged(Table::Object, Bytes::new(), &now)),
                    }
                }
                _ => {}
            }
            expects.extend(rows.iter().map(|row| Expect::Equals(row.clone(), value.clone())));
            if matches!(table, Table::Object | Table::Version) {
                // It tells whether an object without an id has a version row.
                let history = RowRef::only(Table::History);
                let now = self.read_row(partition, &row.group, history).await?;
                expects.push(unchanged(Table::History, Bytes::new(), &now));
            }
            let new = counted(&value);
            let writes = rows.into_iter().map(|row| Write::Put(row, new.clone())).collect();
            if self.try_commit(partition, &row.group, expects, writes).await?.is_ok() {
                stats.rows.fetch_add(1, Relaxed);
                return Ok(());
            }
        }
    }

    /// The version row that an object row repeats.
    async fn version_of(
        &self,
        partition: Partition,
        group: &Bytes,
        object: &Bytes,
    ) -> Result<Option<RowRef>> {
        let newest =
            rows(&*self.engine, partition, Table::Version, ScanRange::group(group.clone()), 1)
                .await?;
        let version = newest.into_iter().find(|row| row.value == object);
        Ok(version.map(|row| RowRef { table: Table::Version, suffix: row.suffix }))
    }
}

fn position(table: Table) -> u32 {
    TABLES.iter().position(|known| *known == table).unwrap_or_default() as u32
}

/// What cannot be read stays as it is.
fn check_readable(table: Table, value: &Bytes) -> Result<()> {
    use crate::record::{ObjectRecord, PartRecord, UploadRecord};
    match table {
        Table::Upload => decode::<UploadRecord>(value, "upload record").map(drop),
        Table::Part => decode::<PartRecord>(value, "part record").map(drop),
        _ => decode::<ObjectRecord>(value, "object record").map(drop),
    }
}
