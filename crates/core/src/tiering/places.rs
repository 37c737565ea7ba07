//! The access tiers, which of them an object lies in, and what a read changes.

use crate::record::{AccessRecord, ObjectRecord, RestoreRecord};
use crate::tier::{StorageClass, Tier, Tiers};

use super::SIZE_MIN;

/// Where an object of the class lies; what is colder is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessTier {
    Frequent,
    Infrequent,
    /// Read after a restore, as the next one is.
    Archive,
    DeepArchive,
}

impl AccessTier {
    /// As COS writes it; the archives are called so by both services.
    pub fn name(self) -> &'static str {
        match self {
            AccessTier::Frequent => "FREQUENT",
            AccessTier::Infrequent => "INFREQUENT",
            AccessTier::Archive => "ARCHIVE_ACCESS",
            AccessTier::DeepArchive => "DEEP_ARCHIVE_ACCESS",
        }
    }

    pub fn is_archived(self) -> bool {
        self >= AccessTier::Archive
    }

    /// `None` for the other classes. What was restored is in the frequent tier, even
    /// while its bytes are still on their way.
    pub fn of(
        class: &str,
        access: Option<&AccessRecord>,
        restore: Option<&RestoreRecord>,
        now_ms: u64,
    ) -> Option<AccessTier> {
        if !has_tiers(class) {
            return None;
        }
        let lies = access.map_or(AccessTier::Frequent, AccessRecord::tier);
        let is_back = lies.is_archived() && restore.is_some_and(|back| back.ready_ms <= now_ms);
        Some(if is_back { AccessTier::Frequent } else { lies })
    }
}

/// The class as which bytes of a tier are kept; `None` for objects that have no tiers.
fn class_below(class: &str, tier: AccessTier) -> Option<&str> {
    // Most objects are of this class, and nothing is looked up for them.
    if class.is_empty() {
        return None;
    }
    let [infrequent, archive, deep] = match StorageClass::from_name(class)? {
        StorageClass::IntelligentTiering => ["STANDARD_IA", "ARCHIVE", "DEEP_ARCHIVE"],
        StorageClass::MazIntelligentTiering => ["MAZ_STANDARD_IA", "MAZ_ARCHIVE", "MAZ_ARCHIVE"],
        _ => return None,
    };
    Some(match tier {
        AccessTier::Frequent => class,
        AccessTier::Infrequent => infrequent,
        AccessTier::Archive => archive,
        AccessTier::DeepArchive => deep,
    })
}

pub(super) fn has_tiers(class: &str) -> bool {
    class_below(class, AccessTier::Frequent).is_some()
}

impl AccessRecord {
    pub(crate) fn new(accessed_ms: u64, tier: AccessTier) -> AccessRecord {
        let archive = match tier {
            AccessTier::Frequent | AccessTier::Infrequent => 0,
            AccessTier::Archive => 1,
            AccessTier::DeepArchive => 2,
        };
        AccessRecord { accessed_ms, infrequent: tier == AccessTier::Infrequent, archive }
    }

    /// Where the bytes are.
    pub(crate) fn tier(&self) -> AccessTier {
        match (self.archive, self.infrequent) {
            (0, false) => AccessTier::Frequent,
            (0, true) => AccessTier::Infrequent,
            (1, _) => AccessTier::Archive,
            _ => AccessTier::DeepArchive,
        }
    }
}

impl ObjectRecord {
    /// `None` for objects of other classes.
    pub fn access_tier(&self, now_ms: u64) -> Option<AccessTier> {
        AccessTier::of(&self.storage_class, self.access.as_ref(), self.restore.as_ref(), now_ms)
    }

    /// Where its bytes are; the frequent tier also for objects of other classes.
    pub(crate) fn bytes_tier(&self) -> AccessTier {
        self.access.as_ref().map_or(AccessTier::Frequent, AccessRecord::tier)
    }

    /// When it was last read, or restored.
    pub(super) fn accessed_ms(&self) -> u64 {
        let read_ms = self.access.as_ref().map_or(self.modified_ms, |access| access.accessed_ms);
        match &self.restore {
            Some(restore) if self.bytes_tier().is_archived() => read_ms.max(restore.ready_ms),
            _ => read_ms,
        }
    }

    /// How it is to be kept when it has been read now; `None` if that changes nothing.
    pub(super) fn warms(&self, day_ms: u64, now_ms: u64) -> Option<AccessRecord> {
        if self.access_tier(now_ms)?.is_archived() {
            return None;
        }
        let changes = self.bytes_tier() != AccessTier::Frequent
            || now_ms >= self.accessed_ms().saturating_add(day_ms);
        changes.then(|| AccessRecord::new(now_ms, AccessTier::Frequent))
    }

    /// How it is to be kept when a rule gives it another class: what was read seldom
    /// already begins there.
    pub(crate) fn access_on_entering(&self, class: &str, now_ms: u64) -> Option<AccessRecord> {
        let below = class_below(class, AccessTier::Infrequent)?;
        let was_below = self.storage_class == below && self.size >= SIZE_MIN;
        let tier = if was_below { AccessTier::Infrequent } else { AccessTier::Frequent };
        Some(AccessRecord::new(now_ms, tier))
    }
}

impl Tiers {
    /// The tier for what lies in an access tier of its class.
    pub(crate) fn at(&self, class: &str, access: Option<&AccessRecord>) -> &Tier {
        let below = access.and_then(|access| class_below(class, access.tier()));
        self.of(below.unwrap_or(class))
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
            assert_eq!(object(class, SIZE_MIN).access_tier(DAY), None, "{class}");
            assert_eq!(object(class, SIZE_MIN).warms(DAY, u64::MAX), None, "{class}");
        }
        for class in ["INTELLIGENT_TIERING", "MAZ_INTELLIGENT_TIERING"] {
            assert_eq!(object(class, 1).access_tier(DAY), Some(AccessTier::Frequent), "{class}");
        }
    }

    #[test]
    fn a_tier_is_what_is_stored_of_it() {
        let tiers = Tiers::default();
        for tier in [
            AccessTier::Frequent,
            AccessTier::Infrequent,
            AccessTier::Archive,
            AccessTier::DeepArchive,
        ] {
            let access = AccessRecord::new(7, tier);
            assert_eq!((access.tier(), access.accessed_ms), (tier, 7));
            let kept_as = match tier {
                AccessTier::Frequent => "STANDARD",
                AccessTier::Infrequent => "STANDARD_IA",
                AccessTier::Archive => "ARCHIVE",
                AccessTier::DeepArchive => "DEEP_ARCHIVE",
            };
            assert_eq!(tiers.at("INTELLIGENT_TIERING", Some(&access)), tiers.of(kept_as));
            assert_eq!(tiers.at("", Some(&access)), tiers.of(""), "another class");
        }
    }

    #[test]
    fn what_was_read_seldom_enters_below() {
        let enter = |from, size| object(from, size).access_on_entering("INTELLIGENT_TIERING", 7);
        assert!(enter("STANDARD_IA", SIZE_MIN).unwrap().infrequent);
        assert!(!enter("STANDARD_IA", SIZE_MIN - 1).unwrap().infrequent);
        assert!(!enter("", SIZE_MIN).unwrap().infrequent);
        assert_eq!(object("", 1).access_on_entering("ARCHIVE", 7), None);
    }

    #[test]
    fn what_is_archived_is_back_once_it_is_restored() {
        let mut record = object("INTELLIGENT_TIERING", SIZE_MIN);
        record.access = Some(AccessRecord::new(DAY, AccessTier::Archive));
        let ready_ms = 100 * DAY;
        record.restore = Some(RestoreRecord { ready_ms, ..Default::default() });
        assert_eq!(record.access_tier(ready_ms - 1), Some(AccessTier::Archive));
        assert_eq!(record.warms(DAY, ready_ms - 1), None, "nobody can have read it");
        assert_eq!(record.access_tier(ready_ms), Some(AccessTier::Frequent));
        assert_eq!(record.bytes_tier(), AccessTier::Archive);
        assert_eq!(record.accessed_ms(), ready_ms);
        let read = record.warms(DAY, ready_ms);
        assert_eq!(read, Some(AccessRecord::new(ready_ms, AccessTier::Frequent)));
    }
}
