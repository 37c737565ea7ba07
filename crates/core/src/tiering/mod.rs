//! Intelligent tiering: objects of the class of that name lie in one of four access
//! tiers, by when they were last read.
//!
//! What nobody reads for the bucket's number of days goes to the infrequent tier, whose
//! bytes are kept as those of STANDARD_IA are, with the next round of the
//! [lifecycle](crate::lifecycle). A read brings it back, in the background
//! (`accesses.rs`). Where an archiving says so (`archiving.rs`), what is not read for
//! longer goes on to the archive tiers, is read after a restore only, and comes back by
//! that. When an object was last read is in its record, true to the day: a hundred reads
//! of a day cost one commit.

mod accesses;
mod archiving;
mod places;

use std::sync::Arc;

use bytes::Bytes;

pub(crate) use accesses::Accesses;
pub use accesses::{AccessJob, AccessStats};
pub use archiving::{
    ARCHIVE_DAYS_MAX, ARCHIVE_DAYS_MIN, Archiving, ArchivingFault, Archivings,
    DEEP_ARCHIVE_DAYS_MIN,
};
pub use places::AccessTier;

use crate::bucket::{Bucket, BucketSettings};
use crate::error::{Error, Result};
use crate::lifecycle::Calendar;
use crate::record::{AccessRecord, ObjectRecord, TieringRecord};
use crate::store::Store;

/// After how many days without a read objects may be wanted to go down.
pub const DAYS: [u32; 3] = [30, 60, 90];
/// What holds in buckets where nobody has said anything.
pub const DAYS_DEFAULT: u32 = DAYS[0];
/// Smaller objects stay in the frequent tier.
pub const SIZE_MIN: u64 = 64 << 10;
/// The days' midnight is the one in China, as it is COS that has them configured.
const UTC_OFFSET_S: u32 = 8 * 3600;

/// What a bucket's owner has said, or what holds if he has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiering {
    /// One of [`DAYS`].
    pub days: u32,
    /// Nobody has said it: the bucket has objects of the class all the same.
    pub implied: bool,
    /// Names its archivings; empty if it has none.
    pub(crate) archiving: Bytes,
}

impl Tiering {
    fn implied() -> Tiering {
        Tiering { days: DAYS_DEFAULT, implied: true, archiving: Bytes::new() }
    }

    pub(crate) fn from_record(record: &TieringRecord) -> Tiering {
        let archiving = record.archiving.clone();
        Tiering { days: record.days, implied: record.implied, archiving }
    }

    fn to_record(&self) -> TieringRecord {
        let archiving = self.archiving.clone();
        TieringRecord { days: self.days, implied: self.implied, archiving }
    }

    pub(crate) fn calendar(day_ms: u64) -> Calendar {
        Calendar::new(day_ms, UTC_OFFSET_S)
    }
}

/// What is in force in a bucket about objects of the class.
#[derive(Clone, Debug)]
pub(crate) struct TieringLaw {
    days: u32,
    archivings: Arc<Archivings>,
    calendar: Calendar,
}

impl TieringLaw {
    /// How an object is to be kept by now, if that is elsewhere than where its bytes
    /// are: it was not read for so long, or it was restored.
    pub fn settles(&self, key: &[u8], record: &ObjectRecord, now_ms: u64) -> Option<AccessRecord> {
        let tier = record.access_tier(now_ms)?;
        if tier.is_archived() && record.restore.is_some() {
            // It is on its way back.
            return None;
        }
        let accessed_ms = record.accessed_ms();
        let is_due = |days| self.calendar.after_days(accessed_ms, days) <= now_ms;
        let below = || {
            let archives = self.archivings.for_object(key, &record.tags);
            let steps = archives.chain([(AccessTier::Infrequent, self.days)]);
            steps.filter(|(_, days)| is_due(*days)).map(|(tier, _)| tier).max()
        };
        let wanted = if record.size < SIZE_MIN { None } else { below() };
        let wanted = wanted.map_or(tier, |below| below.max(tier));
        (wanted != record.bytes_tier()).then(|| AccessRecord::new(accessed_ms, wanted))
    }
}

impl Store {
    /// Says after how many days without a read objects go down.
    pub async fn set_tiering(self: &Arc<Self>, bucket: &Bucket, days: u32) -> Result<()> {
        if !DAYS.contains(&days) {
            return Err(Error::InvalidTiering);
        }
        self.change_settings(bucket, move |record| {
            let tiering = record.tiering.get_or_insert_with(|| Tiering::implied().to_record());
            (tiering.days, tiering.implied) = (days, false);
            Ok(())
        })
        .await
    }

    /// Sees to it that rounds look at a bucket that is about to have its first object
    /// of the class. Not while the bucket's settings are held.
    pub(crate) async fn expect_class(self: &Arc<Self>, bucket: &Bucket, class: &str) -> Result<()> {
        if !places::has_tiers(class) || bucket.settings().tiering.is_some() {
            return Ok(());
        }
        self.change_settings(bucket, |record| {
            record.tiering.get_or_insert_with(|| Tiering::implied().to_record());
            Ok(())
        })
        .await
    }

    /// What is in force under these settings of a bucket; `None` if it has no objects
    /// of the class.
    pub(crate) async fn tiering_law(
        &self,
        bucket: &Bucket,
        settings: &BucketSettings,
    ) -> Result<Option<TieringLaw>> {
        let Some(tiering) = &settings.tiering else { return Ok(None) };
        let archivings = self.archivings_by(bucket, settings).await?;
        let calendar = Tiering::calendar(self.options.day_ms);
        Ok(Some(TieringLaw { days: tiering.days, archivings, calendar }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RestoreRecord;

    const DAY: u64 = crate::lifecycle::DAY_MS;
    /// Midnight in China is at 16:00 UTC.
    const MIDNIGHT: u64 = DAY * 16 / 24;

    fn law(archivings: Vec<Archiving>) -> TieringLaw {
        let archivings = Arc::new(Archivings { all: archivings, ..Default::default() });
        TieringLaw { days: 30, archivings, calendar: Tiering::calendar(DAY) }
    }

    fn object(size: u64) -> ObjectRecord {
        let storage_class = "INTELLIGENT_TIERING".into();
        ObjectRecord { storage_class, size, modified_ms: DAY, ..Default::default() }
    }

    #[test]
    fn goes_down_after_so_many_days_and_up_with_a_read() {
        let (law, mut record) = (law(Vec::new()), object(SIZE_MIN));
        let midnight = 31 * DAY + MIDNIGHT;
        assert_eq!(law.settles(b"k", &record, midnight - 1), None);
        assert_eq!(law.settles(b"k", &object(SIZE_MIN - 1), midnight), None);
        record.access = law.settles(b"k", &record, midnight);
        assert_eq!(record.access, Some(AccessRecord::new(DAY, AccessTier::Infrequent)));
        assert_eq!(law.settles(b"k", &record, midnight), None, "it is there");
        record.access = record.warms(DAY, midnight + 5);
        assert_eq!(record.access_tier(midnight), Some(AccessTier::Frequent));
        assert_eq!(record.warms(DAY, midnight + DAY), None, "a second read of the day");
        assert!(record.warms(DAY, midnight + DAY + 5).is_some());
    }

    #[test]
    fn goes_on_to_the_archives_and_back_by_a_restore() {
        let archiving = |prefix: &str, archive_days, deep_archive_days| Archiving {
            enabled: true,
            prefix: Some(prefix.into()),
            archive_days,
            deep_archive_days,
            ..Default::default()
        };
        let law = law(vec![
            archiving("", Some(100), None),
            archiving("a/", Some(90), Some(200)),
            archiving("b/", None, Some(180)),
        ]);
        let after = |days: u64, key: &str, size| {
            let access = law.settles(key.as_bytes(), &object(size), (1 + days) * DAY + MIDNIGHT);
            access.map(|access| access.tier())
        };
        let (down, archive) = (Some(AccessTier::Infrequent), Some(AccessTier::Archive));
        let deep = Some(AccessTier::DeepArchive);
        for (days, key, want) in [
            (89, "a/1", down),
            (90, "a/1", archive),
            (199, "a/1", archive),
            (200, "a/1", deep),
            (99, "c", down),
            (100, "c", archive),
            (500, "c", archive),
            (180, "b/1", deep),
        ] {
            assert_eq!(after(days, key, SIZE_MIN), want, "{days} {key}");
            assert_eq!(after(days, key, SIZE_MIN - 1), None, "{days} {key}");
        }
        let mut record = object(SIZE_MIN);
        let now_ms = 150 * DAY;
        record.access = law.settles(b"c", &record, now_ms);
        assert_eq!(law.settles(b"c", &record, now_ms + 1000 * DAY), None, "it stays archived");
        let ready_ms = now_ms + 5;
        assert!(law.settles(b"a/1", &record, now_ms + 100 * DAY).is_some());
        record.restore = Some(RestoreRecord { ready_ms: u64::MAX, ..Default::default() });
        assert_eq!(law.settles(b"a/1", &record, now_ms + 100 * DAY), None, "a restore goes on");
        record.restore = Some(RestoreRecord { ready_ms, ..Default::default() });
        let back = AccessRecord::new(ready_ms, AccessTier::Frequent);
        assert_eq!(law.settles(b"c", &record, ready_ms), Some(back));
        let later = ready_ms + 31 * DAY;
        let down = AccessRecord::new(ready_ms, AccessTier::Infrequent);
        assert_eq!(law.settles(b"c", &record, later), Some(down));
    }
}
