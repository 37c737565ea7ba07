//! Closes months when they are over.

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

/// How many months before the present one are closed when none ever was.
const MONTHS_BACK: u32 = 18;

/// Closes each month when it is over and everything is counted, but what somebody has
/// reopened. Dropping it at any point is safe.
pub async fn close_months(store: Arc<Store>) {
    let claim = Claim::new(store.clone(), "bills");
    let day = Duration::from_millis(store.options.day_ms);
    let clock = SteadyClock::new(store.now_ms(), day);
    loop {
        // What a wrong clock closes stays closed.
        if clock.is_steady(store.now_ms())
            && let Err(error) = store.close_due(&claim).await
        {
            tracing::warn!(%error, "closing months will be tried again");
        }
        tokio::time::sleep(claim::BEAT).await;
    }
}

impl Store {
    async fn close_due(&self, claim: &Claim) -> Result<(), LedgerError> {
        let today = self.usage_calendar().day(self.now_ms());
        let Some(last) = Month::of_day(today).previous() else { return Ok(()) };
        if self.month_record(last).await?.is_some() || !self.is_month_over(last) {
            return Ok(());
        }
        let mut month = match self.last_closed().await? {
            Some(closed) if closed < last => closed.next(),
            Some(_) => return Ok(()),
            None => (1..MONTHS_BACK).fold(last, |month, _| month.previous().unwrap_or(month)),
        };
        while month <= last {
            if !claim.hold().await? {
                return Ok(());
            }
            match self.close_month(month).await {
                Ok(_) | Err(LedgerError::IsClosed | LedgerError::Overtaken) => {}
                Err(error) => return Err(error),
            }
            month = month.next();
        }
        Ok(())
    }

    /// The last month that was ever closed.
    async fn last_closed(&self) -> Result<Option<Month>> {
        let found = Arc::new(parking_lot::Mutex::new(None));
        let visit = {
            let found = found.clone();
            move |group: &[u8], _: &[u8], _: &[u8]| {
                let mut found = found.lock();
                // A month is known by its name, and longer years come first by that.
                *found = (*found).max(month_of_group(group));
                Step::SeekGroup([group, &[0]].concat().into())
            }
        };
        let (start_group, behind) = groups();
        let range = ScanRange { start_group, end_group: Some(behind), ..ScanRange::default() };
        let index = self.engine.index();
        index.scan(Partition::System, Table::Installation, range, Box::new(visit)).await?;
        let last = *found.lock();
        Ok(last)
    }
}
