//! Objects: what they are and how one replaces another.

mod append;
mod copy;
mod delete;
mod get;
mod put;
mod read;

use bytes::Bytes;

pub use append::{AppendOutcome, AppendRequest};
pub use copy::{CopyRequest, CopySource};
pub use delete::DeleteRequest;
pub use get::{GetRequest, Selection};
pub(crate) use put::full_checksums;
pub use put::{PutOutcome, PutRequest};
pub use read::ObjectReader;
pub(crate) use read::{checked, runs};

use crate::bucket::Bucket;
use crate::checksum::Checksum;
use crate::engine::{Expect, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::USER_METADATA_BYTES_MAX;
use crate::names::ObjectKey;
use crate::precondition::{Current, WriteConditions};
use crate::record::{Content, GarbageRecord, Metadata, ObjectRecord, decode, encode};
use crate::store::{Store, unchanged};

/// What is known of an object without its bytes.
#[derive(Clone, Debug)]
pub struct ObjectInfo {
    pub record: ObjectRecord,
    /// Without quotes.
    pub etag: String,
}

impl ObjectInfo {
    pub fn new(record: ObjectRecord) -> ObjectInfo {
        ObjectInfo { etag: record.etag_text(), record }
    }

    pub fn checksums(&self) -> impl Iterator<Item = Checksum> + '_ {
        self.record.checksums.iter().filter_map(|stored| stored.get())
    }

    /// Number of parts of an object completed from an upload.
    pub fn parts_count(&self) -> Option<u32> {
        match &self.record.content {
            Some(Content::Parts(parts)) if !self.record.appendable => Some(parts.count),
            // The segments of an append are nobody's parts.
            _ => None,
        }
    }
}

/// What a client decides about a new object besides its bytes.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    pub metadata: Metadata,
    /// As the client named it, already known to be valid; empty for STANDARD.
    pub storage_class: String,
}

impl Attributes {
    pub fn check(&self) -> Result<()> {
        let size = self.metadata.user.iter().map(|p| p.name.len() + p.value.len()).sum::<usize>();
        if size > USER_METADATA_BYTES_MAX {
            return Err(Error::MetadataTooLarge { size, max: USER_METADATA_BYTES_MAX });
        }
        Ok(())
    }
}

/// The row of a key's current object and the record in it.
pub(crate) struct CurrentObject {
    pub row: Option<Bytes>,
    pub record: Option<ObjectRecord>,
}

impl CurrentObject {
    pub fn judge(&self, conditions: &WriteConditions) -> Result<()> {
        if conditions.is_empty() {
            return Ok(());
        }
        let etag = self.record.as_ref().map(ObjectRecord::etag_text).unwrap_or_default();
        conditions.judge(self.record.as_ref().map(|record| Current {
            etag: &etag,
            modified_ms: record.modified_ms,
            size: record.size,
        }))
    }
}

/// A commit that makes a record the current object of its key.
pub(crate) struct Replacement<'a> {
    pub record: ObjectRecord,
    pub conditions: &'a WriteConditions,
    /// Beyond those on the object row. A failure of one is returned by index.
    pub expects: Vec<Expect>,
    /// Beyond those that put the record and free the old one.
    pub writes: Vec<Write>,
}

impl Store {
    pub(crate) async fn current_object(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
    ) -> Result<CurrentObject> {
        let row = RowRef::only(Table::Object);
        let row = self.read_row(bucket.partition(), &key.group(), row).await?;
        let record = row.as_ref().map(|row| decode(row, "object record")).transpose()?;
        Ok(CurrentObject { row, record })
    }

    /// Judges the conditions and commits, again and again until no other write
    /// of the key came between.
    pub(crate) async fn replace(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        replacement: Replacement<'_>,
    ) -> Result<Result<(), usize>> {
        loop {
            let current = self.current_object(bucket, key).await?;
            current.judge(replacement.conditions)?;
            match self.replace_once(bucket, key, &current, &replacement).await? {
                Ok(()) => return Ok(Ok(())),
                Err(0) => continue,
                Err(index) => return Ok(Err(index - 1)),
            }
        }
    }

    /// One attempt; expectation 0 is that the current object is still this one.
    pub(crate) async fn replace_once(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        current: &CurrentObject,
        replacement: &Replacement<'_>,
    ) -> Result<Result<(), usize>> {
        let mut expects = vec![unchanged(Table::Object, Bytes::new(), &current.row)];
        expects.extend(replacement.expects.iter().cloned());
        let (mut writes, garbage) =
            self.unreference(current.record.as_ref(), replacement.record.content.as_ref());
        writes.push(Write::Put(RowRef::only(Table::Object), encode(&replacement.record)));
        writes.extend(replacement.writes.iter().cloned());
        let group = key.group();
        let committed = self.try_commit(bucket.partition(), &group, expects, writes).await?;
        if let (Ok(()), Some(suffix)) = (committed, garbage) {
            self.collect_garbage(bucket.partition(), &group, suffix);
        }
        Ok(committed)
    }

    /// The writes that free an old object's content in the commit that replaces
    /// it by `new`, and the suffix of the garbage row among them. Content that
    /// the new object keeps is left alone.
    pub(crate) fn unreference(
        &self,
        old: Option<&ObjectRecord>,
        new: Option<&Content>,
    ) -> (Vec<Write>, Option<Bytes>) {
        let Some(content) = old.and_then(|record| record.content.as_ref()) else {
            return (Vec::new(), None);
        };
        let mut garbage = GarbageRecord { queued_ms: self.now_ms(), ..Default::default() };
        match (content, new) {
            // The body row has one place: a new inline body overwrites it.
            (Content::Inline(_), Some(Content::Inline(_))) => return (Vec::new(), None),
            (Content::Inline(_), _) => {
                return (vec![Write::Delete(RowRef::only(Table::Body))], None);
            }
            (Content::Blob(old), Some(Content::Blob(new))) if old == new => {
                return (Vec::new(), None);
            }
            (Content::Blob(blob), _) => garbage.blobs.push(blob.clone()),
            (Content::Parts(old), Some(Content::Parts(new))) if old.set == new.set => {
                return (Vec::new(), None);
            }
            (Content::Parts(parts), _) => garbage.part_set = parts.set.clone(),
        }
        let (write, suffix) = self.garbage_row(&garbage);
        (vec![write], Some(suffix))
    }

    pub(crate) fn garbage_row(&self, garbage: &GarbageRecord) -> (Write, Bytes) {
        let suffix = self.fresh_id();
        let row = RowRef { table: Table::Garbage, suffix: suffix.clone() };
        (Write::Put(row, encode(garbage)), suffix)
    }
}
