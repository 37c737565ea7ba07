//! Counts by looking at every row, to prove that the counters say the same.

use std::collections::HashSet;

use super::figures::BucketUsage;
use super::{counts, is_counted, weigh};
use crate::engine::{BucketId, Commit, Engine, Partition, RowRef, ScanRange, Table, Tallies};
use crate::error::{Error, Result};
use crate::record::{HistoryRecord, decode};
use crate::scan::{OwnedRow, behind, rows};

const ROWS: usize = 512;
const COUNTED: [Table; 4] = [Table::Object, Table::Version, Table::Upload, Table::Part];

/// What a bucket's counters and its rows say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recount {
    pub counters: BucketUsage,
    pub rows: BucketUsage,
    /// Rows that are in no counter yet.
    pub uncounted: u64,
    /// What the counters lack.
    missing: Tallies,
}

impl Recount {
    /// Whether they say the same.
    pub fn agrees(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Compares a bucket's counters with its rows, which nobody may write meanwhile.
pub async fn recount(engine: &dyn Engine, bucket: BucketId) -> Result<Recount> {
    let partition = Partition::Bucket(bucket);
    let (found, uncounted) = count(engine, partition).await?;
    let counters = engine.index().tallies(partition).await?;
    Ok(Recount {
        counters: BucketUsage::of(&counters),
        rows: BucketUsage::of(&found),
        uncounted,
        missing: found.minus(&counters),
    })
}

/// Lets a bucket's counters say what its rows do.
pub async fn correct(engine: &dyn Engine, bucket: BucketId, found: &Recount) -> Result<()> {
    let mut commit = Commit::new(Partition::Bucket(bucket), Vec::new().into(), vec![], vec![]);
    commit.tallies = found.missing.clone();
    let committed = engine.index().commit(commit).await;
    committed.map_err(|error| Error::Internal(format!("counters were not corrected: {error}")))
}

async fn count(engine: &dyn Engine, partition: Partition) -> Result<(Tallies, u64)> {
    let (mut tallies, mut uncounted) = (Tallies::default(), 0);
    for table in COUNTED {
        let mut range = ScanRange::all();
        loop {
            let page = rows(engine, partition, table, range, ROWS).await?;
            let Some(next) = behind(&page) else { break };
            let null_rows = match table {
                Table::Object => null_rows(engine, partition, &page).await?,
                _ => HashSet::new(),
            };
            for row in page {
                if counts(&RowRef { table, suffix: row.suffix }) {
                    uncounted += u64::from(!is_counted(table, &row.value));
                    let has_null_row = || null_rows.contains(&row.group);
                    let add = |counter, by| tallies.add(counter, by);
                    weigh(table, &row.value, has_null_row, add);
                }
            }
            range = next;
        }
    }
    Ok((tallies, uncounted))
}

/// The keys of a page of objects whose `null` version has a version row.
async fn null_rows(
    engine: &dyn Engine,
    partition: Partition,
    objects: &[OwnedRow],
) -> Result<HashSet<bytes::Bytes>> {
    let mut keys = HashSet::new();
    let (Some(first), Some(last)) = (objects.first(), objects.last()) else { return Ok(keys) };
    let end_group = ScanRange::group(last.group.clone()).end_group;
    let mut range = ScanRange {
        start_group: first.group.clone(),
        end_group: end_group.clone(),
        ..ScanRange::default()
    };
    loop {
        let page = rows(engine, partition, Table::History, range, ROWS).await?;
        let Some(next) = behind(&page) else { return Ok(keys) };
        for row in page {
            // One that cannot be read is another check's to find.
            let history = decode::<HistoryRecord>(&row.value, "history record");
            if history.is_ok_and(|history| !history.null_version.is_empty()) {
                keys.insert(row.group);
            }
        }
        range = ScanRange { end_group: end_group.clone(), ..next };
    }
}
