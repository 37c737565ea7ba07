//! Restoring archived objects.
//!
//! What is archived is not read before it was restored, and then for so many days.
//! That is all that a restore changes: the bytes stay where their tier has them and are
//! decoded as they are read, so that no second copy takes space, can be lost or has to
//! be freed. A restore begins, is done and expires by what its record says and the
//! clock; nothing has to run for it. Those who want to be told get to know by rows that
//! are looked at when it is time ([`crate::events`]).
//!
//! In intelligent tiering a restore takes an object out of its archive tiers, for good.
//! That, too, is so by the clock; its bytes follow as those of an object that was read.

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::events::{DueRecord, EventKind};
use crate::lifecycle::Calendar;
use crate::names::ObjectKey;
use crate::object::{Changed, ObjectInfo};
use crate::record::{ObjectRecord, RestoreRecord};
use crate::store::Store;
use crate::tier::{StorageClass, needs_restore};
use crate::tiering::AccessTier;
use crate::version::VersionRef;

/// How fast a restore is to be, slowest first. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Speed {
    Bulk = 1,
    Standard = 2,
    Expedited = 3,
}

impl Speed {
    pub const ALL: [Speed; 3] = [Speed::Bulk, Speed::Standard, Speed::Expedited];

    pub fn name(self) -> &'static str {
        match self {
            Speed::Bulk => "Bulk",
            Speed::Standard => "Standard",
            Speed::Expedited => "Expedited",
        }
    }

    pub fn from_name(name: &str) -> Option<Speed> {
        Speed::ALL.into_iter().find(|speed| speed.name() == name)
    }

    pub(crate) fn from_number(number: u32) -> Speed {
        Speed::ALL.into_iter().find(|speed| *speed as u32 == number).unwrap_or(Speed::Standard)
    }
}

/// How long restores take, in milliseconds. Nothing has to thaw here: the delays are
/// for those who want to see what their programs do meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreDelays {
    pub bulk_ms: u64,
    pub standard_ms: u64,
    pub expedited_ms: u64,
}

impl RestoreDelays {
    fn of(&self, speed: Speed) -> u64 {
        match speed {
            Speed::Bulk => self.bulk_ms,
            Speed::Standard => self.standard_ms,
            Speed::Expedited => self.expedited_ms,
        }
    }
}

#[derive(Clone, Debug)]
pub struct RestoreRequest {
    pub key: ObjectKey,
    pub version: Option<VersionRef>,
    /// How long the object is to be readable, at least 1. Of what comes back for good
    /// nothing is to be said.
    pub days: Option<u32>,
    /// What is said all the same means nothing, instead of being wrong.
    pub allows_idle_days: bool,
    pub speed: Speed,
    /// Where midnight is, at which the last day ends, in seconds ahead of UTC.
    pub utc_offset_s: u32,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// A restore has begun, or goes on faster.
    Begun,
    /// The object was restored already; it stays so for the days of this request.
    Extended,
}

/// What a restore is at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreState {
    Ongoing { asked_ms: u64, speed: Speed },
    Done { until_ms: u64 },
}

impl RestoreRecord {
    /// `None` when it has expired.
    pub fn state(&self, now_ms: u64) -> Option<RestoreState> {
        if now_ms < self.ready_ms {
            let speed = Speed::from_number(self.speed);
            return Some(RestoreState::Ongoing { asked_ms: self.asked_ms, speed });
        }
        (now_ms < self.until_ms).then_some(RestoreState::Done { until_ms: self.until_ms })
    }
}

impl ObjectInfo {
    /// What a restore of the object is now, if there is one.
    pub fn restore(&self, now_ms: u64) -> Option<RestoreState> {
        self.record.restore.as_ref()?.state(now_ms)
    }
}

impl Store {
    /// Fails for what is archived and not restored.
    pub(crate) fn check_readable(&self, record: &ObjectRecord) -> Result<()> {
        // Most objects are of this class, and nothing is looked up for them.
        if record.storage_class.is_empty() {
            return Ok(());
        }
        let archived = |tier| Err(Error::Archived { class: record.storage_class.clone(), tier });
        if record.bytes_tier().is_archived() {
            let tier = record.access_tier(self.now_ms());
            return if tier.is_some_and(AccessTier::is_archived) { archived(tier) } else { Ok(()) };
        }
        if !needs_restore(&record.storage_class) {
            return Ok(());
        }
        let state = record.restore.as_ref().and_then(|restore| restore.state(self.now_ms()));
        match state {
            Some(RestoreState::Done { .. }) => Ok(()),
            _ => archived(None),
        }
    }

    /// Makes an archived object, or a version of one, readable: for some days, or in
    /// intelligent tiering for good. The version is named in the answer.
    pub async fn restore_object(
        &self,
        bucket: &Bucket,
        request: &RestoreRequest,
    ) -> Result<(Restored, Option<VersionRef>)> {
        let calendar = Calendar::new(self.options.day_ms, request.utc_offset_s);
        let looked_ms = self.now_ms();
        if !bucket.settings().notification.is_empty() {
            // What the last restore has to tell is told before another takes its place.
            self.tell_due(bucket, &request.key).await?;
        }
        let outcome = parking_lot::Mutex::new((Restored::Begun, None));
        let thawed = parking_lot::Mutex::new(None);
        let change = |record: &mut ObjectRecord| {
            let now_ms = self.now_ms();
            let tier = record.access_tier(now_ms).filter(|tier| tier.is_archived());
            if tier.is_none() && !needs_restore(&record.storage_class) {
                return Err(Error::NotArchived);
            }
            let class = StorageClass::from_name(&record.storage_class);
            let is_deep =
                class == Some(StorageClass::DeepArchive) || tier == Some(AccessTier::DeepArchive);
            if is_deep && request.speed == Speed::Expedited {
                return Err(Error::RestoreSpeed);
            }
            let days = match (tier, request.days) {
                (None, None) => return Err(Error::RestoreWithoutDays),
                (None, days) => days,
                (Some(_), Some(_)) if !request.allows_idle_days => {
                    return Err(Error::RestoreWithDays);
                }
                (Some(_), _) => None,
            };
            let state = record.restore.as_ref().and_then(|restore| restore.state(now_ms));
            let ready_ms = now_ms.saturating_add(self.options.restore_delays.of(request.speed));
            let until_ms = |from_ms| days.map_or(0, |days| calendar.after_days(from_ms, days));
            record.restore = Some(match (state, &record.restore) {
                (Some(RestoreState::Done { .. }), Some(restore)) => {
                    outcome.lock().0 = Restored::Extended;
                    RestoreRecord { until_ms: until_ms(now_ms), ..restore.clone() }
                }
                (Some(RestoreState::Ongoing { speed, .. }), _) if request.speed <= speed => {
                    return Err(Error::RestoreUnderWay);
                }
                (_, restore) => {
                    outcome.lock().0 = Restored::Begun;
                    // A faster one is no later than the slower one would have been.
                    let sooner = restore.as_ref().filter(|_| state.is_some());
                    let ready_ms = sooner.map_or(ready_ms, |old| old.ready_ms.min(ready_ms));
                    RestoreRecord {
                        asked_ms: now_ms,
                        ready_ms,
                        until_ms: until_ms(ready_ms),
                        speed: request.speed as u32,
                    }
                }
            });
            outcome.lock().1 = tier.is_some().then(|| record.clone());
            *thawed.lock() = Some((record.storage_class.clone(), record.size));
            let due = record.restore.as_ref().map(|restore| {
                let is_told =
                    outcome.lock().0 == Restored::Extended && restore.ready_ms <= looked_ms;
                DueRecord::of(record, restore, is_told, self.fresh_id())
            });
            Ok(Some(Changed { kind: EventKind::RestoreBegun, due }))
        };
        let version = self.change_version(bucket, &request.key, request.version, change).await?;
        let (restored, raised) = outcome.into_inner();
        if let (Restored::Begun, Some((class, bytes))) = (restored, thawed.into_inner()) {
            self.count_restore(bucket, &class, request.speed, bytes);
        }
        if let Some(record) = raised {
            // If it is back already, its bytes can be brought now.
            self.note_read(bucket, &request.key, &record);
        }
        Ok((restored, version))
    }
}
