//! Archivings: which objects of the class go on to the archive tiers, and when.
//!
//! A bucket has any number of them by their ids, each with a filter.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::{AccessTier, Tiering};
use crate::bucket::{Bucket, BucketSettings};
use crate::error::{Error, Result};
use crate::identified::{AllOf, Identified};
use crate::limits::{ARCHIVING_ID_CHARS_MAX, ARCHIVINGS_MAX, KEY_BYTES_MAX};
use crate::record::{BucketRecord, Pair};
use crate::store::Store;
use crate::tags::Tags;

/// Days without a read after which objects may be wanted to go to the archive tier, and
/// to the deep one; both services.
pub const ARCHIVE_DAYS_MIN: u32 = 90;
pub const DEEP_ARCHIVE_DAYS_MIN: u32 = 180;
pub const ARCHIVE_DAYS_MAX: u32 = 730;

/// A bucket's archivings.
pub type Archivings = AllOf<Archiving>;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Archiving {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    #[prost(string, optional, tag = "3")]
    pub prefix: Option<String>,
    /// All of them.
    #[prost(message, repeated, tag = "4")]
    pub tags: Vec<Pair>,
    /// The filter was written as a conjunction.
    #[prost(bool, tag = "5")]
    pub joined: bool,
    #[prost(uint32, optional, tag = "6")]
    pub archive_days: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub deep_archive_days: Option<u32>,
}

/// What is wrong with an archiving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchivingFault {
    /// It has none, or one that is too long.
    Id {
        max: usize,
    },
    NoTier,
    Days {
        tier: AccessTier,
        min: u32,
        max: u32,
    },
    /// Objects would go to the deep archive tier before they go to the other one.
    Order,
    PrefixTooLong {
        max: usize,
    },
}

impl Archiving {
    fn check(&self) -> Result<()> {
        let fault = |fault| Err(Error::Archiving(fault));
        if !(1..=ARCHIVING_ID_CHARS_MAX).contains(&self.id.chars().count()) {
            return fault(ArchivingFault::Id { max: ARCHIVING_ID_CHARS_MAX });
        }
        if self.prefix.as_ref().is_some_and(|prefix| prefix.len() > KEY_BYTES_MAX) {
            return fault(ArchivingFault::PrefixTooLong { max: KEY_BYTES_MAX });
        }
        Tags::of_object(self.tags.clone())?;
        for (tier, days, min) in [
            (AccessTier::Archive, self.archive_days, ARCHIVE_DAYS_MIN),
            (AccessTier::DeepArchive, self.deep_archive_days, DEEP_ARCHIVE_DAYS_MIN),
        ] {
            if days.is_some_and(|days| !(min..=ARCHIVE_DAYS_MAX).contains(&days)) {
                return fault(ArchivingFault::Days { tier, min, max: ARCHIVE_DAYS_MAX });
            }
        }
        match (self.archive_days, self.deep_archive_days) {
            (None, None) => fault(ArchivingFault::NoTier),
            (Some(archive), Some(deep)) if deep <= archive => fault(ArchivingFault::Order),
            _ => Ok(()),
        }
    }

    fn applies(&self, key: &[u8], tags: &[Pair]) -> bool {
        self.enabled
            && key.starts_with(self.prefix.as_deref().unwrap_or_default().as_bytes())
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

impl Archivings {
    /// The tiers that an object goes to, and after how many days without a read. Of
    /// several archivings each counts.
    pub(super) fn for_object<'a>(
        &'a self,
        key: &'a [u8],
        tags: &'a [Pair],
    ) -> impl Iterator<Item = (AccessTier, u32)> + 'a {
        let applying = self.all.iter().filter(move |archiving| archiving.applies(key, tags));
        applying.flat_map(|archiving| {
            let archive = archiving.archive_days.map(|days| (AccessTier::Archive, days));
            let deep = archiving.deep_archive_days.map(|days| (AccessTier::DeepArchive, days));
            archive.into_iter().chain(deep)
        })
    }
}

impl Identified for Archiving {
    const NAME: &'static str = "archiving";
    const MAX: usize = ARCHIVINGS_MAX;

    fn id(&self) -> &str {
        &self.id
    }

    fn too_many() -> Error {
        Error::TooManyArchivings { max: ARCHIVINGS_MAX }
    }

    fn absent() -> Error {
        Error::NoArchiving
    }

    fn write_id(record: &BucketRecord) -> Bytes {
        record.tiering.as_ref().map(|tiering| tiering.archiving.clone()).unwrap_or_default()
    }

    fn set_write_id(record: &mut BucketRecord, id: Bytes) {
        let tiering = record.tiering.get_or_insert_with(|| Tiering::implied().to_record());
        tiering.archiving = id;
    }
}

impl Store {
    /// Adds an archiving, or replaces the one of its id, unless something is wrong
    /// with it.
    pub async fn set_archiving(
        self: &Arc<Self>,
        bucket: &Bucket,
        archiving: Archiving,
    ) -> Result<()> {
        archiving.check()?;
        self.set_identified(bucket, archiving).await
    }

    pub async fn delete_archiving(self: &Arc<Self>, bucket: &Bucket, id: &str) -> Result<()> {
        self.delete_identified::<Archiving>(bucket, id).await
    }

    /// A bucket's archivings.
    pub async fn archivings(&self, bucket: &Bucket) -> Result<Arc<Archivings>> {
        self.archivings_by(bucket, &bucket.settings()).await
    }

    /// Those in force under these settings of the bucket.
    pub(super) async fn archivings_by(
        &self,
        bucket: &Bucket,
        settings: &BucketSettings,
    ) -> Result<Arc<Archivings>> {
        let id = settings.tiering.as_ref().map(|tiering| &tiering.archiving);
        let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(Arc::default()) };
        if let Some(known) = self.archivings.get(bucket.id, id) {
            return Ok(known);
        }
        let stored = Arc::new(self.stored_identified(bucket).await?);
        self.archivings.put(bucket.id, &stored);
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archiving() -> Archiving {
        Archiving {
            id: "a".into(),
            enabled: true,
            archive_days: Some(90),
            deep_archive_days: Some(180),
            ..Default::default()
        }
    }

    #[test]
    fn archivings_that_cannot_be() {
        let check = |change: fn(&mut Archiving), want: Option<ArchivingFault>| {
            let mut archiving = archiving();
            change(&mut archiving);
            let fault = match archiving.check() {
                Ok(()) => None,
                Err(Error::Archiving(fault)) => Some(fault),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(fault, want);
        };
        check(|_| (), None);
        check(|a| a.archive_days = None, None);
        check(|a| a.deep_archive_days = None, None);
        check(|a| a.id = "é".repeat(64), None);
        check(|a| a.id.clear(), Some(ArchivingFault::Id { max: 64 }));
        check(|a| a.id = "x".repeat(65), Some(ArchivingFault::Id { max: 64 }));
        let of_prefix = ArchivingFault::PrefixTooLong { max: 1024 };
        check(|a| a.prefix = Some("x".repeat(1025)), Some(of_prefix));
        let nothing = |a: &mut Archiving| (a.archive_days, a.deep_archive_days) = (None, None);
        check(nothing, Some(ArchivingFault::NoTier));
        let days = |tier, min| Some(ArchivingFault::Days { tier, min, max: 730 });
        check(|a| a.archive_days = Some(89), days(AccessTier::Archive, 90));
        check(|a| a.deep_archive_days = Some(179), days(AccessTier::DeepArchive, 180));
        check(|a| a.deep_archive_days = Some(731), days(AccessTier::DeepArchive, 180));
        check(|a| a.archive_days = Some(180), Some(ArchivingFault::Order));
    }

    #[test]
    fn filters_say_which_objects() {
        let pair = |name: &str| Pair { name: name.into(), value: "1".into() };
        let of = |change: fn(&mut Archiving), key: &str, tags: &[&str]| {
            let mut archiving = archiving();
            change(&mut archiving);
            let all = Archivings { all: vec![archiving], ..Default::default() };
            let tags: Vec<Pair> = tags.iter().map(|name| pair(name)).collect();
            all.for_object(key.as_bytes(), &tags).count()
        };
        assert_eq!(of(|_| (), "k", &[]), 2);
        assert_eq!(of(|a| a.enabled = false, "k", &[]), 0);
        assert_eq!(of(|a| a.archive_days = None, "k", &[]), 1);
        assert_eq!(of(|a| a.prefix = Some("logs/".into()), "logs/1", &[]), 2);
        assert_eq!(of(|a| a.prefix = Some("logs/".into()), "log", &[]), 0);
        let tagged = |a: &mut Archiving| {
            a.tags = ["a", "b"].map(|name| Pair { name: name.into(), value: "1".into() }).into();
        };
        assert_eq!(of(tagged, "k", &["b", "a", "c"]), 2);
        assert_eq!(of(tagged, "k", &["a"]), 0);
    }
}
