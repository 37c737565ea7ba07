//! Multipart uploads.
//!
//! An upload is a row of its key, its parts are rows of the same group. A part's
//! commit expects the upload's row as it was read, so it loses against an abort
//! or a completion that came first. A completion first marks the row
//! (`completing`), which freezes the parts, then reads and checks them and
//! commits the object; the part rows stay where they are and become the object's
//! layout, so completing costs the same however many bytes there are.

mod complete;
mod list;
mod parts;

use std::sync::Arc;

use bytes::Bytes;

pub use complete::{CompletePart, CompleteRequest};
pub use list::{ListUploads, UploadEntry, UploadPage};
pub use parts::{ListParts, PartCopyRequest, PartEntry, PartPage, PartRequest};

use crate::bucket::Bucket;
use crate::checksum::{Algorithm, ChecksumType};
use crate::engine::{Expect, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::names::{ObjectKey, UploadId};
use crate::object::Attributes;
use crate::record::{GarbageRecord, UploadRecord, decode, encode};
use crate::store::Store;
use crate::version::ListVersions;

/// Read in one page while the uploads into a bucket are aborted.
const UPLOADS_AT_ONCE: usize = 1000;

/// The checksum an upload keeps of its parts and its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadChecksum {
    pub algorithm: Algorithm,
    pub kind: ChecksumType,
}

impl UploadChecksum {
    pub fn new(algorithm: Algorithm, kind: Option<ChecksumType>) -> Result<UploadChecksum> {
        let kind = kind.unwrap_or(algorithm.default_type());
        match algorithm.supports(kind) {
            true => Ok(UploadChecksum { algorithm, kind }),
            false => Err(Error::ChecksumTypeUnsupported { algorithm }),
        }
    }
}

#[derive(Clone, Debug)]
pub struct InitiateRequest {
    pub key: ObjectKey,
    pub attributes: Attributes,
    pub checksum: Option<UploadChecksum>,
}

/// An upload that was open when it was looked up.
pub(crate) struct OpenUpload {
    pub row: Bytes,
    pub record: UploadRecord,
}

impl OpenUpload {
    pub fn checksum(&self) -> Option<UploadChecksum> {
        Some(UploadChecksum {
            algorithm: Algorithm::from_number(self.record.checksum_algorithm)?,
            kind: match self.record.checksum_composite {
                true => ChecksumType::Composite,
                false => ChecksumType::FullObject,
            },
        })
    }
}

pub(crate) fn upload_row(id: UploadId) -> RowRef {
    RowRef { table: Table::Upload, suffix: id.suffix() }
}

impl Store {
    pub async fn initiate_upload(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: InitiateRequest,
    ) -> Result<UploadId> {
        self.check_attributes(bucket, &request.attributes)?;
        self.expect_class(bucket, &request.attributes.storage_class).await?;
        let now_ms = self.now_ms();
        let id = UploadId::fresh(now_ms, &*self.entropy);
        let record = UploadRecord {
            write_id: self.fresh_id(),
            initiated_ms: now_ms,
            storage_class: request.attributes.storage_class,
            metadata: Some(request.attributes.metadata),
            tags: request.attributes.tags.into_vec(),
            lock: request.attributes.lock.to_record(),
            acl: request.attributes.acl.to_record(bucket.owner_uin),
            checksum_algorithm: request.checksum.map_or(0, |c| c.algorithm as u32),
            checksum_composite: request.checksum.is_some_and(|c| c.kind == ChecksumType::Composite),
            completing: false,
            parts_by_class: true,
            counted: true,
        };
        let row = upload_row(id);
        let expects = vec![Expect::Absent(row.clone())];
        let writes = vec![Write::Put(row, encode(&record))];
        match self.try_commit(bucket.partition(), &request.key.group(), expects, writes).await? {
            Ok(()) => Ok(id),
            Err(_) => Err(Error::Internal("a fresh upload id exists already".into())),
        }
    }

    pub(crate) async fn open_upload(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<OpenUpload> {
        let row = self.read_row(bucket.partition(), &key.group(), upload_row(id)).await?;
        let row = row.ok_or(Error::NoSuchUpload)?;
        let record = decode(&row, "upload record")?;
        Ok(OpenUpload { row, record })
    }

    /// Forgets an upload; the collector frees its parts.
    pub async fn abort_upload(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<()> {
        let group = key.group();
        loop {
            let upload = self.open_upload(bucket, key, id).await?;
            let (writes, suffix) = self.abortion_of(id);
            let expects = vec![Expect::Equals(upload_row(id), upload.row)];
            if self.try_commit(bucket.partition(), &group, expects, writes).await?.is_ok() {
                self.collect_garbage(bucket.partition(), &group, suffix);
                return Ok(());
            }
        }
    }

    /// Deletes a bucket that holds nothing but uploads, which end with it.
    pub async fn delete_bucket_and_uploads(self: &Arc<Self>, bucket: &Bucket) -> Result<()> {
        let deleted = self.delete_bucket(bucket).await;
        if !matches!(deleted, Err(Error::BucketNotEmpty)) {
            return deleted;
        }
        let anything = ListVersions { max: 1, ..ListVersions::default() };
        if !self.list_versions(bucket, &anything).await?.entries.is_empty() {
            return deleted;
        }
        let mut rest = ListUploads { max: UPLOADS_AT_ONCE, ..ListUploads::default() };
        loop {
            let page = self.list_uploads(bucket, &rest).await?;
            for (key, upload) in &page.entries {
                match self
                    .abort_upload(bucket, &ObjectKey::from_stored(key.as_bytes())?, upload.id)
                    .await
                {
                    Ok(()) | Err(Error::NoSuchUpload) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some((key, upload)) = page.entries.last().filter(|_| page.truncated) else { break };
            (rest.key_marker, rest.upload_marker) = (key.clone(), Some(upload.id));
        }
        // Whoever has begun something meanwhile keeps the bucket.
        self.delete_bucket(bucket).await
    }

    /// What forgets an upload, and the suffix of the garbage row among it.
    pub(crate) fn abortion_of(&self, id: UploadId) -> (Vec<Write>, Bytes) {
        let garbage =
            GarbageRecord { queued_ms: self.now_ms(), part_set: id.suffix(), ..Default::default() };
        let (write, suffix) = self.garbage_row(&garbage);
        (vec![Write::Delete(upload_row(id)), write], suffix)
    }
}
