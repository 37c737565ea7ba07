//! Closes months when they are over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::LedgerError;
use super::month::Month;
use super::rows::{groups, month_of_group};
use crate::claim::{self, Claim};
use crate::engine::{Partition, ScanRange, Step, Table};
use crate::error::Result;
use crate::steady::SteadyClock;
use crate::store::Store;

/// So many months, up to the last that is over, are closed if they never were.
const MONTHS: usize = 18;

/// Closes each month when it is over and everything is counted, but what somebody has
/// reopened. Dropping it at any point is safe.
pub async fn close_months(store: Arc<Store>) {
    let claim = Claim::new(store.clone(), "bills");
    let day = Duration::from_millis(store.options.day_ms);
    let clock = SteadyClock::new(store.now_ms(), day);
    // The last month that is over, once it and all before it have been closed.
    let mut done = None;
    loop {
        // What a wrong clock closes stays closed.
        if clock.is_steady(store.now_ms())
            && let Err(error) = store.close_due(&claim, &mut done).await
        {
            tracing::warn!(%error, "closing months will be tried again");
        }
        tokio::time::sleep(claim::BEAT).await;
    }
}

impl Store {
    async fn close_due(&self, claim: &Claim, done: &mut Option<Month>) -> Result<(), LedgerError> {
        let today = self.usage_calendar().day(self.now_ms());
        let Some(last) = Month::of_day(today).previous() else { return Ok(()) };
        if *done == Some(last) || !self.is_month_over(last) || !claim.hold().await? {
            return Ok(());
        }
        let closed = self.closed_months().await?;
        let mut due: Vec<Month> =
            std::iter::successors(Some(last), |month| month.previous()).take(MONTHS).collect();
        due.retain(|month| !closed.contains(month));
        let mut outcome = Ok(());
        for month in due.into_iter().rev() {
            if !claim.hold().await? {
                return Ok(());
            }
            match self.close_month(month).await {
                Ok(_) | Err(LedgerError::IsClosed | LedgerError::Overtaken) => {}
                // It keeps no other from being closed.
                Err(error) => outcome = Err(error),
            }
        }
        if outcome.is_ok() {
            *done = Some(last);
        }
        outcome
    }

    /// Months that were ever closed.
    async fn closed_months(&self) -> Result<BTreeSet<Month>> {
        let found = Arc::new(parking_lot::Mutex::new(BTreeSet::new()));
        let visit = {
            let found = found.clone();
            move |group: &[u8], _: &[u8], _: &[u8]| {
                found.lock().extend(month_of_group(group));
                Step::SeekGroup([group, &[0]].concat().into())
            }
        };
        let (start_group, behind) = groups();
        let range = ScanRange { start_group, end_group: Some(behind), ..ScanRange::default() };
        let index = self.engine.index();
        index.scan(Partition::System, Table::Installation, range, Box::new(visit)).await?;
        let closed = std::mem::take(&mut *found.lock());
        Ok(closed)
    }
}
