//! Settings of which a bucket has any number, each by an id of its own.
//!
//! All of a kind are one row beside the bucket's record, which names it by its write id
//! as it does the other settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use prost::Message;

use crate::bucket::Bucket;
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::record::{BucketRecord, decode, encode};
use crate::setting_cache::Setting;
use crate::store::Store;

pub trait Identified: Message + Default + Clone + PartialEq + std::fmt::Debug + 'static {
    /// What a row of them is called, in its name and in what is said of it.
    const NAME: &'static str;
    /// How many a bucket may have.
    const MAX: usize;
    /// The row stays when the last one goes, until whoever works by them has noticed.
    const STAYS_EMPTY: bool = false;

    fn id(&self) -> &str;
    fn too_many() -> Error;
    fn absent() -> Error;
    /// Names the row; empty without one.
    fn write_id(record: &BucketRecord) -> Bytes;
    fn set_write_id(record: &mut BucketRecord, id: Bytes);
}

/// A bucket's settings of one kind, as they are stored.
#[derive(Clone, PartialEq, Message)]
pub struct AllOf<T: Identified> {
    /// The bucket's record repeats it.
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    /// In the order of their ids.
    #[prost(message, repeated, tag = "2")]
    pub all: Vec<T>,
}

impl<T: Identified> AllOf<T> {
    pub fn get(&self, id: &str) -> Option<&T> {
        self.all.binary_search_by(|other| other.id().cmp(id)).ok().map(|at| &self.all[at])
    }
}

impl<T: Identified> Setting for AllOf<T> {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}

/// The row of a bucket's settings of a kind, in the group of its name.
pub(crate) fn identified_row<T: Identified>() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(T::NAME.as_bytes()) }
}

impl Store {
    /// Adds a setting, or replaces the one of its id.
    pub(crate) async fn set_identified<T: Identified>(
        self: &Arc<Self>,
        bucket: &Bucket,
        setting: T,
    ) -> Result<()> {
        self.change_identified(bucket, |all: &mut Vec<T>| {
            match all.binary_search_by(|other| other.id().cmp(setting.id())) {
                Ok(at) => all[at] = setting.clone(),
                Err(_) if all.len() >= T::MAX => return Err(T::too_many()),
                Err(at) => all.insert(at, setting.clone()),
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn delete_identified<T: Identified>(
        self: &Arc<Self>,
        bucket: &Bucket,
        id: &str,
    ) -> Result<()> {
        self.change_identified(bucket, |all: &mut Vec<T>| {
            let before = all.len();
            all.retain(|setting| setting.id() != id);
            if all.len() < before { Ok(()) } else { Err(T::absent()) }
        })
        .await
    }

    pub(crate) async fn stored_identified<T: Identified>(
        &self,
        bucket: &Bucket,
    ) -> Result<AllOf<T>> {
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, identified_row::<T>()).await?;
        Ok(row.map(|row| decode(&row, T::NAME)).transpose()?.unwrap_or_default())
    }

    /// `change` is done again if somebody else has changed them meanwhile.
    pub(crate) async fn change_identified<T: Identified>(
        self: &Arc<Self>,
        bucket: &Bucket,
        change: impl Fn(&mut Vec<T>) -> Result<()>,
    ) -> Result<()> {
        loop {
            let AllOf { write_id: was, mut all } = self.stored_identified::<T>(bucket).await?;
            change(&mut all)?;
            let new = AllOf { write_id: self.fresh_id(), all };
            let overtaken = Arc::new(AtomicBool::new(false));
            let seen = overtaken.clone();
            let changed = self.change_rows(bucket, move |record| {
                if T::write_id(record) != was {
                    overtaken.store(true, Relaxed);
                    return Err(Error::StorageUnavailable);
                }
                if new.all.is_empty() && !T::STAYS_EMPTY {
                    T::set_write_id(record, Bytes::new());
                    return Ok(vec![Write::Delete(identified_row::<T>())]);
                }
                T::set_write_id(record, new.write_id.clone());
                Ok(vec![Write::Put(identified_row::<T>(), encode(&new))])
            });
            match changed.await {
                // Somebody else has changed them since they were read.
                Err(_) if seen.load(Relaxed) => {}
                changed => return changed,
            }
        }
    }
}
