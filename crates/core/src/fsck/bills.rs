//! Closed months have all their charges, and these add up to their totals.

use std::collections::BTreeSet;

use super::{Check, ROWS, show};
use crate::bill::{self, Amount, Entry, Month, MonthRecord};
use crate::engine::{Partition, RowRef, ScanRange, Table};
use crate::error::Result;
use crate::record::decode;
use crate::scan::{behind, rows};

impl Check<'_> {
    pub(super) async fn bills(&mut self) -> Result<()> {
        let (start_group, end) = bill::groups();
        let mut range = ScanRange { start_group, ..ScanRange::default() };
        let mut months = BTreeSet::new();
        loop {
            range.end_group = Some(end.clone());
            let (system, table) = (Partition::System, Table::Installation);
            let page = rows(self.engine, system, table, range, ROWS / 8).await?;
            let Some(next) = behind(&page) else { break };
            for row in page {
                let Some(month) = bill::month_of_group(&row.group) else {
                    self.found(format!("{}: is no month", show(&row.group)));
                    continue;
                };
                months.insert(month);
            }
            range = next;
        }
        for month in months {
            self.month(month).await?;
        }
        Ok(())
    }

    async fn month(&mut self, month: Month) -> Result<()> {
        let group = bill::group(month);
        let read = async |row: RowRef| {
            let rows = self.engine.index().read(Partition::System, &group, &[row]).await?;
            Ok::<_, crate::Error>(rows.into_iter().next().flatten())
        };
        // Chunks alone are left over of a closing that did not come to its end.
        let Some(row) = read(bill::month_row()).await? else { return Ok(()) };
        let mut fault = None;
        match decode::<MonthRecord>(&row, "closed month") {
            Ok(closed) if closed.reopened_ms > 0 => {}
            Ok(closed) => {
                let (mut entries, mut total) = (0, Amount::default());
                for number in 0..closed.chunks {
                    let chunk = read(bill::chunk_row(&closed.write_id, number)).await?;
                    match chunk.as_ref().map(bill::unpack) {
                        Some(Ok(chunk)) => {
                            entries += chunk.len() as u64;
                            total += &chunk.iter().map(Entry::cost).sum::<Amount>();
                        }
                        Some(Err(error)) => fault = Some(error.to_string()),
                        None => fault = Some(format!("charges number {number} are missing")),
                    }
                }
                let sums = (entries, total.to_string());
                if fault.is_none() && sums != (closed.entries, closed.total) {
                    fault = Some("its charges are not what it was closed with".into());
                }
            }
            Err(error) => fault = Some(error.to_string()),
        }
        if let Some(fault) = fault {
            self.found(format!("month {month}: {fault}"));
        }
        Ok(())
    }
}
