//! Closing months, and opening them again.
//!
//! A month that is over is closed once: its charges are stored, with their prices, and
//! nothing changes them but reopening it. The charges come first; the row that then
//! makes the month closed names them, so a closing may stop anywhere and begin anew.

use bytes::Bytes;

use super::amount::Amount;
use super::meter::Entry;
use super::month::Month;
use super::reader::{Bill, State};
use super::rows::{CHUNK_ENTRIES, MonthRecord, chunk_row, group, month_row, pack};
use crate::engine::{Expect, Partition, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::record::{decode, encode};
use crate::scan::rows;
use crate::store::{Store, unchanged};

/// Rows that are removed by one commit.
const ROWS: usize = 64;

/// What a month was closed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub entries: u64,
    pub total: Amount,
    pub currency: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the month is not over, or not everything is counted yet")]
    NotOver,
    #[error("the month is closed already")]
    IsClosed,
    #[error("the month is not closed")]
    IsOpen,
    #[error("somebody else has closed or reopened the month meanwhile")]
    Overtaken,
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// A month's row, if it was ever closed, and what is in it.
    pub(super) async fn month_record(&self, month: Month) -> Result<Option<(Bytes, MonthRecord)>> {
        let row = self.read_row(Partition::System, &group(month), month_row()).await?;
        row.map(|row| Ok((row.clone(), decode(&row, "closed month")?))).transpose()
    }

    /// Whether all of a month's usage has been counted.
    pub fn is_month_over(&self, month: Month) -> bool {
        let settled_ms = self.now_ms().saturating_sub(2 * self.options.usage_settle_ms);
        self.usage_calendar().day(settled_ms) >= month.days().end
    }

    /// Makes a month's charges final.
    pub async fn close_month(&self, month: Month) -> Result<Closed, LedgerError> {
        if !self.is_month_over(month) {
            return Err(LedgerError::NotOver);
        }
        let old = self.month_record(month).await?;
        if old.as_ref().is_some_and(|(_, record)| record.reopened_ms == 0) {
            return Err(LedgerError::IsClosed);
        }
        let prices = self.options.prices.clone();
        let bill = Bill {
            month,
            state: State::Open,
            book: prices.name.clone(),
            currency: prices.currency.clone(),
            record: None,
        };
        let mut closing = MonthRecord {
            write_id: self.fresh_id(),
            closed_ms: self.now_ms(),
            book: bill.book.clone(),
            currency: bill.currency.clone(),
            ..MonthRecord::default()
        };
        let mut total = Amount::default();
        let mut waiting: Vec<Entry> = Vec::new();
        let mut reader = self.read_bill(&bill).await;
        loop {
            let next = reader.next().await?;
            let is_last = next.is_none();
            for entry in next.into_iter().flatten() {
                total += &entry.cost();
                closing.entries += 1;
                waiting.push(entry);
            }
            while waiting.len() >= CHUNK_ENTRIES || (is_last && !waiting.is_empty()) {
                let rest = waiting.split_off(waiting.len().min(CHUNK_ENTRIES));
                let row = chunk_row(&closing.write_id, closing.chunks);
                self.write_month(month, vec![Write::Put(row, pack(&waiting)?)]).await?;
                closing.chunks += 1;
                waiting = rest;
            }
            if is_last {
                break;
            }
        }
        drop(reader);
        closing.total = total.to_string();
        let id = closing.write_id.clone();
        if !self.replace_month(month, old.map(|(row, _)| row), &closing).await? {
            self.remove_chunks(month, None, |of| of == id).await?;
            return Err(LedgerError::Overtaken);
        }
        // Of one that was reopened, or did not come to its end; but not of one that comes
        // after this.
        self.remove_chunks(month, Some(&closing), |of| of != id).await?;
        let MonthRecord { entries, book, currency, .. } = closing;
        tracing::info!(%month, entries, %total, currency, prices = book, "month closed");
        Ok(Closed { entries, total, currency })
    }

    /// Opens a closed month again: its bill follows usage and prices until it is closed by
    /// somebody. That is never done in the background again.
    pub async fn reopen_month(&self, month: Month) -> Result<(), LedgerError> {
        let Some((row, record)) = self.month_record(month).await? else {
            return Err(LedgerError::IsOpen);
        };
        if record.reopened_ms > 0 {
            return Err(LedgerError::IsOpen);
        }
        let reopened = MonthRecord {
            write_id: self.fresh_id(),
            closed_ms: record.closed_ms,
            reopened_ms: self.now_ms().max(1),
            ..MonthRecord::default()
        };
        if !self.replace_month(month, Some(row), &reopened).await? {
            return Err(LedgerError::Overtaken);
        }
        // Somebody may be closing it again already.
        self.remove_chunks(month, None, |of| of == record.write_id).await?;
        let MonthRecord { entries, total, currency, book, .. } = record;
        tracing::info!(%month, entries, total, currency, prices = book, "month reopened");
        Ok(())
    }

    /// False if the month's row is another than was read.
    async fn replace_month(
        &self,
        month: Month,
        old: Option<Bytes>,
        new: &MonthRecord,
    ) -> Result<bool> {
        let expects = vec![unchanged(Table::Installation, Bytes::new(), &old)];
        let writes = vec![Write::Put(month_row(), encode(new))];
        Ok(self.try_commit(Partition::System, &group(month), expects, writes).await?.is_ok())
    }

    async fn write_month(&self, month: Month, writes: Vec<Write>) -> Result<()> {
        // It expects nothing that could fail.
        let _ = self.try_commit(Partition::System, &group(month), vec![], writes).await?;
        Ok(())
    }

    /// Removes chunks by the write id that they are under, as long as the month's row is
    /// this one, if that matters.
    async fn remove_chunks(
        &self,
        month: Month,
        under: Option<&MonthRecord>,
        which: impl Fn(&[u8]) -> bool,
    ) -> Result<()> {
        let expects: Vec<Expect> =
            under.iter().map(|record| Expect::Equals(month_row(), encode(*record))).collect();
        let mut start_suffix = Bytes::from_static(&[0]);
        loop {
            let range = ScanRange { start_suffix, ..ScanRange::group(group(month)) };
            let page =
                rows(&*self.engine, Partition::System, Table::Installation, range, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            start_suffix = [&last.suffix[..], &[0]].concat().into();
            let found = page.iter().filter_map(|row| {
                let (of, number) = row.suffix.split_last_chunk::<4>()?;
                which(of).then(|| Write::Delete(chunk_row(of, u32::from_be_bytes(*number))))
            });
            let found: Vec<Write> = found.collect();
            if found.is_empty() {
                continue;
            }
            let removed =
                self.try_commit(Partition::System, &group(month), expects.clone(), found).await?;
            if removed.is_err() {
                return Ok(());
            }
        }
    }
}
