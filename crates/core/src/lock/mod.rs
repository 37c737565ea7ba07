//! Object lock: which versions nobody may remove, and until when.
//!
//! A version may have a retention, which ends by itself, and a legal hold, which
//! somebody takes away. Whatever would free a version's bytes asks here first
//! (`Store::unreference`): deletions, overwrites where no versions are kept, and
//! whoever deletes in the background. A delete marker frees nothing and is always
//! possible.

mod clock;

use crate::bucket::{Bucket, BucketSettings};
use crate::error::{Error, Result};
use crate::limits::{RETENTION_DAYS_MAX, RETENTION_YEARS_MAX};
use crate::record::{BucketLockRecord, LockRecord, ObjectRecord};
use crate::store::Store;

pub(crate) use clock::LockClock;
pub use clock::keep_time;

const DAY_MS: u64 = 86_400_000;
const DAYS_OF_YEAR: u64 = 365;

/// How firmly a version is retained. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RetentionMode {
    /// May be bypassed by who is allowed to and says so.
    Governance = 1,
    /// By nobody.
    Compliance = 2,
}

impl RetentionMode {
    pub const ALL: [RetentionMode; 2] = [RetentionMode::Governance, RetentionMode::Compliance];

    pub fn name(self) -> &'static str {
        match self {
            RetentionMode::Governance => "GOVERNANCE",
            RetentionMode::Compliance => "COMPLIANCE",
        }
    }

    pub fn from_name(name: &str) -> Option<RetentionMode> {
        RetentionMode::ALL.into_iter().find(|mode| mode.name() == name)
    }

    pub(crate) fn from_number(number: u32) -> Option<RetentionMode> {
        RetentionMode::ALL.into_iter().find(|mode| *mode as u32 == number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub mode: RetentionMode,
    /// Milliseconds since 1970.
    pub until_ms: u64,
}

/// What a client says of the lock of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionLock {
    pub retention: Option<Retention>,
    /// `None`: nobody has ever said.
    pub legal_hold: Option<bool>,
}

impl VersionLock {
    pub fn is_empty(&self) -> bool {
        *self == VersionLock::default()
    }

    pub fn of(record: &ObjectRecord) -> VersionLock {
        record.lock.as_ref().map(VersionLock::from_record).unwrap_or_default()
    }

    fn from_record(record: &LockRecord) -> VersionLock {
        VersionLock { retention: record.retention(), legal_hold: record.legal_hold() }
    }

    /// The record, without its end by the store's own clock yet.
    pub(crate) fn to_record(self) -> Option<LockRecord> {
        (!self.is_empty()).then(|| LockRecord {
            mode: self.retention.map_or(0, |retention| retention.mode as u32),
            until_ms: self.retention.map_or(0, |retention| retention.until_ms),
            store_until_ms: 0,
            legal_hold: self.legal_hold.map_or(0, hold_number),
        })
    }
}

fn hold_number(hold: bool) -> u32 {
    if hold { 1 } else { 2 }
}

impl LockRecord {
    pub(crate) fn hold(&mut self, hold: bool) {
        self.legal_hold = hold_number(hold);
    }

    fn retention(&self) -> Option<Retention> {
        let mode = RetentionMode::from_number(self.mode)?;
        Some(Retention { mode, until_ms: self.until_ms })
    }

    fn legal_hold(&self) -> Option<bool> {
        match self.legal_hold {
            0 => None,
            number => Some(number == 1),
        }
    }

    /// The retention that has not ended yet. It ends when both clocks say so.
    fn in_force(&self, now: LockTime) -> Option<Retention> {
        let over = now.wall_ms >= self.until_ms && now.store_ms >= self.store_until_ms;
        self.retention().filter(|_| !over)
    }

    /// Whether the version may be removed.
    fn judge(&self, now: LockTime, bypass_governance: bool) -> Result<()> {
        let retained = match self.in_force(now) {
            Some(Retention { mode: RetentionMode::Governance, .. }) => !bypass_governance,
            Some(Retention { mode: RetentionMode::Compliance, .. }) => true,
            None => false,
        };
        match retained || self.legal_hold() == Some(true) {
            true => Err(Error::Locked),
            false => Ok(()),
        }
    }

    /// Sets another retention. It cannot be loosened while it is in force, unless
    /// it may be bypassed.
    fn retain(
        &mut self,
        wanted: Option<Retention>,
        now: LockTime,
        bypass_governance: bool,
    ) -> Result<()> {
        if wanted.is_some_and(|wanted| wanted.until_ms <= now.wall_ms) {
            return Err(Error::RetentionInThePast);
        }
        let mut store_until_ms = wanted.map_or(0, |wanted| now.store_end(wanted.until_ms));
        if let Some(old) = self.in_force(now) {
            let tighter = wanted
                .is_some_and(|wanted| wanted.mode == old.mode && wanted.until_ms >= old.until_ms);
            let bypassed = old.mode == RetentionMode::Governance && bypass_governance;
            if !tighter && !bypassed {
                return Err(Error::RetentionLoosened);
            }
            // The same end, set again under a clock that was put forward, is
            // not to come sooner.
            if !bypassed {
                store_until_ms = store_until_ms.max(self.store_until_ms);
            }
        }
        self.mode = wanted.map_or(0, |wanted| wanted.mode as u32);
        self.until_ms = wanted.map_or(0, |wanted| wanted.until_ms);
        self.store_until_ms = store_until_ms;
        Ok(())
    }
}

/// Now, by the machine's clock and by the store's own (see [`keep_time`]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockTime {
    wall_ms: u64,
    store_ms: u64,
}

impl LockTime {
    /// When the store's own clock will have run as long as the machine's has to.
    fn store_end(self, until_ms: u64) -> u64 {
        self.store_ms + until_ms.saturating_sub(self.wall_ms)
    }
}

/// How long new versions of a bucket are retained that do not say so themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRetention {
    pub mode: RetentionMode,
    pub period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Days(u64),
    /// Of 365 days.
    Years(u64),
}

impl DefaultRetention {
    pub fn check(&self) -> Result<()> {
        let (number, max) = match self.period {
            Period::Days(days) => (days, RETENTION_DAYS_MAX),
            Period::Years(years) => (years, RETENTION_YEARS_MAX),
        };
        match (1..=max).contains(&number) {
            true => Ok(()),
            false => Err(Error::RetentionPeriod),
        }
    }

    fn from(self, now_ms: u64) -> Retention {
        let days = match self.period {
            Period::Days(days) => days,
            Period::Years(years) => years * DAYS_OF_YEAR,
        };
        Retention { mode: self.mode, until_ms: now_ms + days * DAY_MS }
    }
}

/// What a bucket that has object lock says about it. It can never be turned off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketLock {
    pub default_retention: Option<DefaultRetention>,
}

impl BucketLock {
    pub(crate) fn from_record(record: &BucketLockRecord) -> Result<BucketLock> {
        let period = match (record.days, record.years) {
            (0, 0) => return Ok(BucketLock::default()),
            (days, 0) => Period::Days(days),
            (_, years) => Period::Years(years),
        };
        let mode = RetentionMode::from_number(record.mode)
            .ok_or_else(|| Error::Damaged("unknown retention mode".into()))?;
        Ok(BucketLock { default_retention: Some(DefaultRetention { mode, period }) })
    }

    pub(crate) fn to_record(self) -> BucketLockRecord {
        let Some(DefaultRetention { mode, period }) = self.default_retention else {
            return BucketLockRecord::default();
        };
        let (days, years) = match period {
            Period::Days(days) => (days, 0),
            Period::Years(years) => (0, years),
        };
        BucketLockRecord { mode: mode as u32, days, years }
    }
}

impl Store {
    /// Whether a version may be removed.
    pub(crate) async fn check_unlocked(
        &self,
        record: &ObjectRecord,
        bypass_governance: bool,
    ) -> Result<()> {
        match &record.lock {
            None => Ok(()),
            Some(lock) => lock.judge(self.lock_time().await?, bypass_governance),
        }
    }

    /// Spares a client sending a body that could not be locked as it wants.
    pub(crate) fn check_new_lock(&self, bucket: &Bucket, lock: &VersionLock) -> Result<()> {
        if lock.is_empty() {
            return Ok(());
        }
        if bucket.settings().lock.is_none() {
            return Err(Error::NoObjectLock);
        }
        match lock.retention {
            Some(retention) if retention.until_ms <= self.now_ms() => {
                Err(Error::RetentionInThePast)
            }
            _ => Ok(()),
        }
    }

    /// Locks a version that is about to be made: as its request says, else as its
    /// bucket does.
    pub(crate) async fn lock_new(
        &self,
        settings: &BucketSettings,
        record: &mut ObjectRecord,
    ) -> Result<()> {
        let Some(bucket_lock) = settings.lock else {
            return match record.lock {
                None => Ok(()),
                Some(_) => Err(Error::NoObjectLock),
            };
        };
        let mut lock = record.lock.take().unwrap_or_default();
        if lock.mode == 0
            && let Some(default) = bucket_lock.default_retention
        {
            let retention = default.from(self.now_ms());
            lock.mode = retention.mode as u32;
            lock.until_ms = retention.until_ms;
        }
        if lock.mode != 0 && lock.store_until_ms == 0 {
            lock.store_until_ms = self.lock_time().await?.store_end(lock.until_ms);
        }
        record.lock = Some(lock).filter(|lock| *lock != LockRecord::default());
        Ok(())
    }

    /// The change that [`Store::set_retention`] makes.
    pub(crate) async fn retaining(
        &self,
        retention: Option<Retention>,
        bypass_governance: bool,
    ) -> Result<impl Fn(&mut ObjectRecord) -> Result<()>> {
        let now = self.lock_time().await?;
        Ok(move |record: &mut ObjectRecord| {
            let mut lock = record.lock.clone().unwrap_or_default();
            lock.retain(retention, now, bypass_governance)?;
            record.lock = Some(lock).filter(|lock| *lock != LockRecord::default());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_ms: u64, store_ms: u64) -> LockTime {
        LockTime { wall_ms, store_ms }
    }

    fn retention(mode: RetentionMode, until_ms: u64) -> Option<Retention> {
        Some(Retention { mode, until_ms })
    }

    fn retained(mode: RetentionMode, until_ms: u64, now: LockTime) -> LockRecord {
        let mut lock = LockRecord::default();
        lock.retain(retention(mode, until_ms), now, false).unwrap();
        lock
    }

    use RetentionMode::{Compliance, Governance};

    #[test]
    fn a_retention_ends_when_both_clocks_say_so() {
        let lock = retained(Compliance, 150, at(100, 30));
        assert_eq!(lock.store_until_ms, 80);
        for (wall, store, locked) in
            [(100, 30, true), (150, 79, true), (149, 80, true), (150, 80, false), (9999, 31, true)]
        {
            assert_eq!(lock.judge(at(wall, store), true).is_err(), locked, "{wall} {store}");
        }
    }

    #[test]
    fn who_may_bypass() {
        let now = at(100, 100);
        let governed = retained(Governance, 200, now);
        assert!(governed.judge(now, false).is_err() && governed.judge(now, true).is_ok());
        let held = LockRecord { legal_hold: 1, ..governed.clone() };
        assert!(held.judge(now, true).is_err() && held.judge(at(300, 300), true).is_err());
        let released = LockRecord { legal_hold: 2, ..governed };
        assert!(released.judge(at(300, 300), false).is_ok());
    }

    #[test]
    fn a_retention_in_force_is_only_tightened() {
        let now = at(100, 100);
        let change = |from: RetentionMode, to: Option<Retention>, bypass| {
            retained(from, 200, now).retain(to, at(110, 110), bypass).is_ok()
        };
        for (from, to, plain, bypassed) in [
            (Governance, retention(Governance, 200), true, true),
            (Governance, retention(Governance, 201), true, true),
            (Governance, retention(Governance, 199), false, true),
            (Governance, retention(Compliance, 200), false, true),
            (Governance, None, false, true),
            (Compliance, retention(Compliance, 200), true, true),
            (Compliance, retention(Compliance, 199), false, false),
            (Compliance, retention(Governance, 300), false, false),
            (Compliance, None, false, false),
        ] {
            assert_eq!(change(from, to, false), plain, "{from:?} {to:?}");
            assert_eq!(change(from, to, true), bypassed, "{from:?} {to:?} bypassed");
        }
        let mut over = retained(Compliance, 200, now);
        assert!(over.retain(None, at(200, 200), false).is_ok());
        let past = retained(Governance, 200, now).retain(retention(Governance, 90), now, true);
        assert!(matches!(past, Err(Error::RetentionInThePast)));
    }

    #[test]
    fn setting_it_again_under_a_wrong_clock_ends_nothing_sooner() {
        let mut lock = retained(Compliance, 1100, at(100, 100));
        lock.retain(retention(Compliance, 1100), at(1099, 101), true).unwrap();
        assert!(lock.judge(at(1100, 102), true).is_err());
        assert!(lock.judge(at(1100, 1100), true).is_ok());
    }

    #[test]
    fn periods() {
        let of = |period| DefaultRetention { mode: Governance, period };
        for (period, good) in [
            (Period::Days(0), false),
            (Period::Days(1), true),
            (Period::Days(36_500), true),
            (Period::Days(36_501), false),
            (Period::Years(100), true),
            (Period::Years(101), false),
        ] {
            assert_eq!(of(period).check().is_ok(), good, "{period:?}");
            let lock = BucketLock { default_retention: Some(of(period)) };
            if good {
                assert_eq!(BucketLock::from_record(&lock.to_record()).unwrap(), lock);
            }
        }
        assert_eq!(of(Period::Days(2)).from(5).until_ms, 5 + 2 * DAY_MS);
        assert_eq!(of(Period::Years(1)).from(0).until_ms, 365 * DAY_MS);
    }
}
