//! The store's own clock, which retention is measured by besides the machine's.
//!
//! A machine's clock can be put forward, and a process restarted under it; by that
//! clock alone every retention would then be over. This one only counts while the
//! store is served. Its time is a row, written once a minute and read again at the
//! start, so a restart neither loses nor gains any. While it is behind the
//! machine's, after an outage or because that one is wrong, it runs a fiftieth
//! faster: an honest outage of a day is made good in fifty, and a clock that is
//! wrong on purpose shortens no retention by more than that fiftieth.
//!
//! An outage ends nothing early either: what was retained then is retained a
//! little longer than its date says, at most by the length of the outage.
//!
//! The row appears with the first lock; where there is none, nothing is counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::LockTime;
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::Result;
use crate::record::{ClockRecord, decode, encode};
use crate::store::{Store, unchanged};

const GROUP: &[u8] = b"lock-clock";

/// How often the time is written down, and read from other processes.
const BEAT: Duration = Duration::from_secs(60);

/// What the clock gains while it is behind: this part of the time that passes.
const CATCH_UP: u64 = 50;

/// A machine's clock this far ahead is worth a word in the log.
const STRANGE_MS: u64 = 24 * 3600 * 1000;

/// Where the clock stood, and when.
#[derive(Default)]
pub(crate) struct LockClock(Mutex<Option<(u64, Instant)>>);

/// What it shows after running for a while.
fn advanced(ms: u64, elapsed_ms: u64, wall_ms: u64) -> u64 {
    let now = ms + elapsed_ms;
    (now + elapsed_ms / CATCH_UP).min(wall_ms.max(now))
}

impl LockClock {
    fn now(&self, wall_ms: u64) -> Option<u64> {
        let mut clock = self.0.lock();
        let (ms, since) = clock.as_mut()?;
        let elapsed = since.elapsed().as_millis() as u64;
        // Not for every moment anew, or the fiftieth would be rounded away.
        if elapsed >= 1000 {
            *ms = advanced(*ms, elapsed, wall_ms);
            *since += Duration::from_millis(elapsed);
            return Some(*ms);
        }
        Some(advanced(*ms, elapsed, wall_ms))
    }

    /// Another process is further, or this one has just begun.
    fn reaches(&self, ms: u64, wall_ms: u64) {
        if self.now(wall_ms).is_none_or(|now| now < ms) {
            *self.0.lock() = Some((ms, Instant::now()));
        }
    }
}

impl Store {
    pub(crate) async fn lock_time(&self) -> Result<LockTime> {
        let wall_ms = self.now_ms();
        if let Some(store_ms) = self.lock_clock.now(wall_ms) {
            return Ok(LockTime { wall_ms, store_ms });
        }
        loop {
            let (row, stored) = self.stored_lock_time().await?;
            let ms = stored.unwrap_or(wall_ms);
            // The first lock of all starts the clock.
            if stored.is_none() && !self.write_lock_time(row, ms).await? {
                continue;
            }
            self.lock_clock.reaches(ms, wall_ms);
            return Ok(LockTime { wall_ms, store_ms: ms });
        }
    }

    async fn stored_lock_time(&self) -> Result<(Option<Bytes>, Option<u64>)> {
        let row = RowRef::only(Table::Installation);
        let row = self.read_row(Partition::System, GROUP, row).await?;
        let time = row.as_ref().map(|row| decode::<ClockRecord>(row, "lock clock")).transpose()?;
        Ok((row, time.map(|time| time.ms)))
    }

    async fn write_lock_time(&self, old: Option<Bytes>, ms: u64) -> Result<bool> {
        let expects = vec![unchanged(Table::Installation, Bytes::new(), &old)];
        let time = encode(&ClockRecord { ms });
        let writes = vec![Write::Put(RowRef::only(Table::Installation), time)];
        let group = Bytes::from_static(GROUP);
        Ok(self.try_commit(Partition::System, &group, expects, writes).await?.is_ok())
    }

    /// Writes the clock's time down, if there is a clock.
    pub(crate) async fn beat_lock_clock(&self) -> Result<()> {
        let wall_ms = self.now_ms();
        let (row, stored) = self.stored_lock_time().await?;
        let Some(stored) = stored else { return Ok(()) };
        self.lock_clock.reaches(stored, wall_ms);
        match self.lock_clock.now(wall_ms) {
            // Whoever was faster has written what is as good.
            Some(now) if now > stored => self.write_lock_time(row, now).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    fn warn_of_strange_clock(&self, wall_ms: u64, stored_ms: u64) {
        if wall_ms > stored_ms + STRANGE_MS {
            let hours = (wall_ms - stored_ms) / 3_600_000;
            tracing::warn!(
                hours,
                "the machine's clock is far ahead of the time this store has been served; \
                 locked objects stay locked for longer than their dates say"
            );
        } else if wall_ms + STRANGE_MS < stored_ms {
            let hours = (stored_ms - wall_ms) / 3_600_000;
            tracing::warn!(hours, "the machine's clock is behind the time the store has seen");
        }
    }
}

/// Keeps the clock for the life of the store. Dropping it at any point is safe.
pub async fn keep_time(store: Arc<Store>) {
    if let Ok((_, Some(stored_ms))) = store.stored_lock_time().await {
        store.warn_of_strange_clock(store.now_ms(), stored_ms);
    }
    loop {
        if let Err(error) = store.beat_lock_clock().await {
            tracing::warn!(%error, "the time of object locks could not be written down");
        }
        tokio::time::sleep(BEAT).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_by_itself_and_catches_up_slowly() {
        // In step, or with the machine's clock behind.
        assert_eq!(advanced(1000, 500, 1500), 1500);
        assert_eq!(advanced(1000, 500, 7), 1500);
        // Behind: a fiftieth more, but never ahead.
        assert_eq!(advanced(1000, 500, 1_000_000), 1510);
        assert_eq!(advanced(1000, 500, 1505), 1505);
    }

    #[tokio::test(start_paused = true)]
    async fn the_fiftieth_is_not_rounded_away() {
        let clock = LockClock::default();
        clock.reaches(0, u64::MAX);
        for _ in 0..10_000 {
            tokio::time::advance(Duration::from_millis(10)).await;
            clock.now(u64::MAX);
        }
        assert_eq!(clock.now(u64::MAX), Some(102_000));
    }
}
