//! Whether a bucket's counters say what its rows do, and what was counted of requests
//! can be read.

use super::{Check, ROWS, show};
use crate::engine::{BucketId, Partition, ScanRange, Table};
use crate::error::Result;
use crate::scan::{behind, rows};
use crate::usage::{Recount, check_row, recount};

impl Check<'_> {
    pub(super) async fn usage(&mut self, bucket: BucketId) -> Result<()> {
        let recount = recount(self.engine, bucket).await?;
        self.report.uncounted += recount.uncounted;
        if !recount.agrees() {
            let (Recount { counters, rows, .. }, id) = (recount, bucket.0);
            self.found(format!("bucket {id:016x}: counters say {counters:?}, rows {rows:?}"));
        }
        Ok(())
    }

    pub(super) async fn counts(&mut self) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, Partition::System, Table::Usage, range, ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for row in page {
                if let Err(error) = check_row(&row.suffix, &row.value) {
                    self.found(format!("usage of bucket {}: {error}", show(&row.group)));
                }
            }
            range = next;
        }
    }
}
