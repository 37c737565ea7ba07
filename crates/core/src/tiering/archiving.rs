//! Archivings: which objects of the class go on to the archive tiers, and when.
//!
//! A bucket has any number of them by their ids, each with a filter. They are one row
//! beside the bucket's record, which names it as it does the lifecycle's rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use prost::Message;

use super::{AccessTier, Tiering};
use crate::bucket::{Bucket, BucketSettings};
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::{ARCHIVING_ID_CHARS_MAX, ARCHIVINGS_MAX, KEY_BYTES_MAX};
use crate::record::{Pair, decode, encode};
use crate::setting_cache::Setting;
use crate::store::Store;
use crate::tags::Tags;

/// Days without a read after which objects may be wanted to go to the archive tier, and
/// to the deep one; both services.
pub const ARCHIVE_DAYS_MIN: u32 = 90;
pub const DEEP_ARCHIVE_DAYS_MIN: u32 = 180;
pub const ARCHIVE_DAYS_MAX: u32 = 730;

/// A bucket's archivings, as they are stored beside its record.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Archivings {
    /// The bucket's record repeats it.
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    /// In the order of their ids.
    #[prost(message, repeated, tag = "2")]
    pub all: Vec<Archiving>,
}

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

impl Setting for Archivings {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}

/// The row of a bucket's archivings, in the group of its name.
pub(crate) fn archiving_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"archiving") }
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
        self.change_archivings(bucket, |all| {
            match all.binary_search_by(|other| other.id.cmp(&archiving.id)) {
                Ok(at) => all[at] = archiving.clone(),
                Err(_) if all.len() >= ARCHIVINGS_MAX => {
                    return Err(Error::TooManyArchivings { max: ARCHIVINGS_MAX });
                }
                Err(at) => all.insert(at, archiving.clone()),
            }
            Ok(())
        })
        .await
    }

    pub async fn delete_archiving(self: &Arc<Self>, bucket: &Bucket, id: &str) -> Result<()> {
        self.change_archivings(bucket, |all| {
            let before = all.len();
            all.retain(|archiving| archiving.id != id);
            if all.len() < before { Ok(()) } else { Err(Error::NoArchiving) }
        })
        .await
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
        let stored = Arc::new(self.stored_archivings(bucket).await?);
        self.archivings.put(bucket.id, &stored);
        Ok(stored)
    }

    async fn stored_archivings(&self, bucket: &Bucket) -> Result<Archivings> {
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, archiving_row()).await?;
        Ok(row.map(|row| decode(&row, "archivings")).transpose()?.unwrap_or_default())
    }

    async fn change_archivings(
        self: &Arc<Self>,
        bucket: &Bucket,
        change: impl Fn(&mut Vec<Archiving>) -> Result<()>,
    ) -> Result<()> {
        loop {
            let Archivings { write_id: was, mut all } = self.stored_archivings(bucket).await?;
            change(&mut all)?;
            let new = Archivings { write_id: self.fresh_id(), all };
            let overtaken = Arc::new(AtomicBool::new(false));
            let seen = overtaken.clone();
            let changed = self.change_rows(bucket, move |record| {
                let tiering = record.tiering.get_or_insert_with(|| Tiering::implied().to_record());
                if tiering.archiving != was {
                    overtaken.store(true, Relaxed);
                    return Err(Error::StorageUnavailable);
                }
                if new.all.is_empty() {
                    tiering.archiving = Bytes::new();
                    return Ok(vec![Write::Delete(archiving_row())]);
                }
                tiering.archiving = new.write_id.clone();
                Ok(vec![Write::Put(archiving_row(), encode(&new))])
            });
            match changed.await {
                // Somebody else has changed them since they were read.
                Err(_) if seen.load(Relaxed) => {}
                changed => return changed,
            }
        }
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
