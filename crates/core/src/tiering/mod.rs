//! Intelligent tiering: objects of the class of that name lie in one of two access
//! tiers, by when they were last read.
//!
//! What nobody reads for the bucket's number of days goes to the infrequent tier, whose
//! bytes are kept as those of STANDARD_IA are, with the next round of the
//! [lifecycle](crate::lifecycle). A read brings it back, in the background
//! (`accesses.rs`). When an object was last read is in its record, true to the day: a
//! hundred reads of a day cost one commit.

mod accesses;

use std::sync::Arc;

pub(crate) use accesses::Accesses;
pub use accesses::{AccessJob, AccessStats};

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::lifecycle::Calendar;
use crate::record::{AccessRecord, ObjectRecord, TieringRecord};
use crate::store::Store;
use crate::tier::{StorageClass, Tier, Tiers};

/// After how many days without a read objects may be wanted to go down.
pub const DAYS: [u32; 3] = [30, 60, 90];
/// What holds in buckets where nobody has said anything.
pub const DAYS_DEFAULT: u32 = DAYS[0];
/// Smaller objects stay in the frequent tier.
pub const SIZE_MIN: u64 = 64 << 10;
/// The days' midnight is the one in China, as it is COS that has them configured.
const UTC_OFFSET_S: u32 = 8 * 3600;

/// Where an object of the class lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTier {
    Frequent,
    Infrequent,
}

impl AccessTier {
    /// As COS writes it.
    pub fn name(self) -> &'static str {
        match self {
            AccessTier::Frequent => "FREQUENT",
            AccessTier::Infrequent => "INFREQUENT",
        }
    }

    /// `None` for the other classes.
    pub fn of(class: &str, access: Option<&AccessRecord>) -> Option<AccessTier> {
        infrequent_class(class)?;
        Some(match access {
            Some(access) if access.infrequent => AccessTier::Infrequent,
            _ => AccessTier::Frequent,
        })
    }
}

/// The class as which bytes of the infrequent tier are kept; `None` for objects that
/// have no tiers.
fn infrequent_class(class: &str) -> Option<&'static str> {
    // Most objects are of this class, and nothing is looked up for them.
    if class.is_empty() {
        return None;
    }
    match StorageClass::from_name(class)? {
        StorageClass::IntelligentTiering => Some("STANDARD_IA"),
        StorageClass::MazIntelligentTiering => Some("MAZ_STANDARD_IA"),
        _ => None,
    }
}

/// What a bucket's owner has said, or what holds if he has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiering {
    /// One of [`DAYS`].
    pub days: u32,
    /// Nobody has said it: the bucket has objects of the class all the same.
    pub implied: bool,
}

impl Tiering {
    pub(crate) fn from_record(record: &TieringRecord) -> Tiering {
        Tiering { days: record.days, implied: record.implied }
    }

    pub(crate) fn to_record(self) -> TieringRecord {
        TieringRecord { days: self.days, implied: self.implied }
    }

    pub(crate) fn calendar(day_ms: u64) -> Calendar {
        Calendar::new(day_ms, UTC_OFFSET_S)
    }

    /// How an object is to be kept that has not been read for so long that it goes
    /// down; `None` while it stays where it is.
    pub(crate) fn cools(
        &self,
        day_ms: u64,
        record: &ObjectRecord,
        now_ms: u64,
    ) -> Option<AccessRecord> {
        if record.access_tier() != Some(AccessTier::Frequent) || record.size < SIZE_MIN {
            return None;
        }
        let accessed_ms = record.accessed_ms();
        let due_ms = Tiering::calendar(day_ms).after_days(accessed_ms, self.days);
        (due_ms <= now_ms).then_some(AccessRecord { accessed_ms, infrequent: true })
    }
}

impl ObjectRecord {
    /// `None` for objects of other classes.
    pub fn access_tier(&self) -> Option<AccessTier> {
        AccessTier::of(&self.storage_class, self.access.as_ref())
    }

    fn accessed_ms(&self) -> u64 {
        self.access.as_ref().map_or(self.modified_ms, |access| access.accessed_ms)
    }

    /// How it is to be kept when it has been read now; `None` if that changes nothing.
    fn warms(&self, day_ms: u64, now_ms: u64) -> Option<AccessRecord> {
        let changes = match self.access_tier()? {
            AccessTier::Infrequent => true,
            AccessTier::Frequent => now_ms >= self.accessed_ms().saturating_add(day_ms),
        };
        changes.then_some(AccessRecord { accessed_ms: now_ms, infrequent: false })
    }

    /// How it is to be kept when a rule gives it another class: what was read seldom
    /// already begins there.
    pub(crate) fn access_on_entering(&self, class: &str, now_ms: u64) -> Option<AccessRecord> {
        let below = infrequent_class(class)?;
        let infrequent = self.storage_class == below && self.size >= SIZE_MIN;
        Some(AccessRecord { accessed_ms: now_ms, infrequent })
    }
}

impl Tiers {
    /// The tier for what lies in an access tier of its class.
    pub(crate) fn at(&self, class: &str, access: Option<&AccessRecord>) -> &Tier {
        match (infrequent_class(class), access) {
            (Some(below), Some(access)) if access.infrequent => self.of(below),
            _ => self.of(class),
        }
    }
}

impl Store {
    /// Says after how many days without a read objects go down.
    pub async fn set_tiering(self: &Arc<Self>, bucket: &Bucket, days: u32) -> Result<()> {
        if !DAYS.contains(&days) {
            return Err(Error::InvalidTiering);
        }
        let tiering = Tiering { days, implied: false };
        self.change_settings(bucket, move |record| {
            record.tiering = Some(tiering.to_record());
            Ok(())
        })
        .await
    }

    /// Sees to it that rounds look at a bucket that is about to have its first object
    /// of the class. Not while the bucket's settings are held.
    pub(crate) async fn expect_class(self: &Arc<Self>, bucket: &Bucket, class: &str) -> Result<()> {
        if infrequent_class(class).is_none() || bucket.settings().tiering.is_some() {
            return Ok(());
        }
        self.change_settings(bucket, |record| {
            let implied = Tiering { days: DAYS_DEFAULT, implied: true };
            record.tiering.get_or_insert_with(|| implied.to_record());
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = crate::lifecycle::DAY_MS;

    fn object(class: &str, size: u64) -> ObjectRecord {
        ObjectRecord { storage_class: class.into(), size, modified_ms: DAY, ..Default::default() }
    }

    #[test]
    fn only_the_class_has_tiers() {
        for class in ["", "STANDARD_IA", "ARCHIVE", "nonsense"] {
            assert_eq!(object(class, SIZE_MIN).access_tier(), None, "{class}");
            assert_eq!(object(class, SIZE_MIN).warms(DAY, u64::MAX), None, "{class}");
        }
        for class in ["INTELLIGENT_TIERING", "MAZ_INTELLIGENT_TIERING"] {
            assert_eq!(object(class, 1).access_tier(), Some(AccessTier::Frequent), "{class}");
        }
    }

    #[test]
    fn goes_down_after_so_many_days_and_up_with_a_read() {
        let tiering = Tiering { days: 30, implied: false };
        let mut record = object("INTELLIGENT_TIERING", SIZE_MIN);
        // Midnight in China is at 16:00 UTC.
        let midnight = 31 * DAY + DAY * 16 / 24;
        assert_eq!(tiering.cools(DAY, &record, midnight - 1), None);
        assert_eq!(tiering.cools(DAY, &object("INTELLIGENT_TIERING", 65_535), midnight), None);
        record.access = tiering.cools(DAY, &record, midnight);
        assert_eq!(record.access, Some(AccessRecord { accessed_ms: DAY, infrequent: true }));
        assert_eq!(tiering.cools(DAY, &record, midnight), None, "it is there");
        record.access = record.warms(DAY, midnight + 5);
        assert_eq!(record.access_tier(), Some(AccessTier::Frequent));
        assert_eq!(record.warms(DAY, midnight + DAY), None, "a second read of the day");
        assert!(record.warms(DAY, midnight + DAY + 5).is_some());
    }

    #[test]
    fn what_was_read_seldom_enters_below() {
        let enter = |from, size| object(from, size).access_on_entering("INTELLIGENT_TIERING", 7);
        assert!(enter("STANDARD_IA", SIZE_MIN).unwrap().infrequent);
        assert!(!enter("STANDARD_IA", SIZE_MIN - 1).unwrap().infrequent);
        assert!(!enter("", SIZE_MIN).unwrap().infrequent);
        assert_eq!(object("", 1).access_on_entering("ARCHIVE", 7), None);
    }
}
