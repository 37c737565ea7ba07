//! Requests that wait to be delivered can be read.

use super::{Check, ROWS, show};
use crate::engine::{Partition, ScanRange, Table};
use crate::error::Result;
use crate::logging;
use crate::scan::{behind, rows};

impl Check<'_> {
    pub(super) async fn logs(&mut self) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, Partition::System, Table::Log, range, ROWS / 8).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for row in page {
                if let Err(error) = logging::check_row(&row.suffix, &row.value) {
                    self.found(format!("log of bucket {}: {error}", show(&row.group)));
                }
            }
            range = next;
        }
    }
}
