//! Whether a bucket's counters say what its rows do.

use super::Check;
use crate::engine::BucketId;
use crate::error::Result;
use crate::usage::{Recount, recount};

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
}
