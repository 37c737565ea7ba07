//! Objects: what they are and how one replaces another.

mod append;
mod copy;
mod delete;
mod get;
mod history;
mod locking;
mod moving;
mod put;
mod read;
mod symlink;
mod tagging;

use bytes::Bytes;

pub use append::{AppendOutcome, AppendRequest};
pub use copy::{CopyRequest, CopySource};
pub use delete::{DeleteOutcome, DeleteRequest};
pub(crate) use get::Found;
pub use get::{GetRequest, Links, Seen, Selection};
pub(crate) use history::{Change, CurrentObject, History, Replaced, StoredVersion, version_row};
pub(crate) use moving::{Brought, Destination, MovePace, Moved};
pub(crate) use put::full_checksums;
pub use put::{PutOutcome, PutRequest};
pub use read::ObjectReader;
pub(crate) use read::{checked, runs};
pub use symlink::{Link, SymlinkRequest};
pub(crate) use tagging::{Changed, ToChange};

use crate::acl::ObjectAcl;
use crate::bucket::Bucket;
use crate::checksum::Checksum;
use crate::engine::{Expect, Write};
use crate::error::{Error, Result};
use crate::events::EventKind;
use crate::limits::USER_METADATA_BYTES_MAX;
use crate::lock::VersionLock;
use crate::names::ObjectKey;
use crate::precondition::WriteConditions;
use crate::record::{Content, Metadata, ObjectRecord};
use crate::store::Store;
use crate::tags::Tags;
use crate::version::VersionRef;

/// What is known of an object without its bytes.
#[derive(Clone, Debug)]
pub struct ObjectInfo {
    pub record: ObjectRecord,
    /// Without quotes.
    pub etag: String,
    /// The version's name, in a bucket that keeps versions.
    pub version: Option<VersionRef>,
    /// The symlink through which it was found.
    pub link: Option<Box<Link>>,
}

impl ObjectInfo {
    pub(crate) fn new(bucket: &Bucket, record: ObjectRecord) -> Result<ObjectInfo> {
        let version = match bucket.versioning().has_versions() {
            true => Some(VersionRef::of(&record.version, record.null_version)?),
            false => None,
        };
        Ok(ObjectInfo { etag: record.etag_text(), version, record, link: None })
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
    pub tags: Tags,
    pub lock: VersionLock,
    pub acl: ObjectAcl,
}

impl Attributes {
    fn check(&self) -> Result<()> {
        let size = self.metadata.user.iter().map(|p| p.name.len() + p.value.len()).sum::<usize>();
        if size > USER_METADATA_BYTES_MAX {
            return Err(Error::MetadataTooLarge { size, max: USER_METADATA_BYTES_MAX });
        }
        Ok(())
    }
}

/// A commit that makes a record the current object of its key.
pub(crate) struct Replacement<'a> {
    pub kind: EventKind,
    pub record: ObjectRecord,
    /// The row of an inline body that is not stored yet.
    pub body: Option<Bytes>,
    pub conditions: &'a WriteConditions,
    /// Beyond those on the key's current version.
    pub expects: Vec<Expect>,
    /// Beyond those that put the record and free the old one.
    pub writes: Vec<Write>,
}

/// One of a replacement's own expectations did not hold.
pub(crate) struct Refused;

impl Store {
    /// Whether a bucket can have an object with these attributes.
    pub(crate) fn check_attributes(&self, bucket: &Bucket, attributes: &Attributes) -> Result<()> {
        attributes.check()?;
        self.check_new_acl(bucket, &attributes.acl)?;
        self.check_new_lock(bucket, &attributes.lock)
    }

    /// Judges the conditions and commits, again and again until no other write
    /// of the key came between. Answers the version that was made.
    pub(crate) async fn replace(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        replacement: Replacement<'_>,
    ) -> Result<Result<Option<VersionRef>, Refused>> {
        loop {
            let settled = self.settled(bucket).await?;
            let current = self.object_to_replace(bucket, key).await?;
            current.judge(replacement.conditions)?;
            match self.replace_once(&settled, key, &current, &replacement).await? {
                Replaced::Done(version) => return Ok(Ok(version)),
                Replaced::Raced => continue,
                Replaced::Refused => return Ok(Err(Refused)),
            }
        }
    }
}
