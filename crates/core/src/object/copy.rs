use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::put::{full_checksums, kept_checksums};
use super::{
    Attributes, GetRequest, Links, ObjectInfo, ObjectReader, PutOutcome, Replaced, Replacement,
    Selection,
};
use crate::acl::ObjectAcl;
use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Expected};
use crate::error::{Error, Result};
use crate::events::EventKind;
use crate::ingest::{Ingested, Intake};
use crate::limits::PUT_BYTES_MAX;
use crate::lock::VersionLock;
use crate::names::ObjectKey;
use crate::precondition::{ReadConditions, WriteConditions};
use crate::range::ByteRange;
use crate::record::{Content, Metadata, ObjectRecord};
use crate::store::Store;
use crate::tags::Tags;
use crate::usage::note_copied_from;
use crate::version::VersionRef;

/// An object, or a range of one, that is copied from.
#[derive(Clone, Debug)]
pub struct CopySource {
    pub bucket: Arc<Bucket>,
    pub key: ObjectKey,
    pub version: Option<VersionRef>,
    pub range: Option<ByteRange>,
    pub conditions: ReadConditions,
    pub links: Links,
}

#[derive(Clone, Debug)]
pub struct CopyRequest {
    pub source: CopySource,
    pub key: ObjectKey,
    /// `None` keeps the source's.
    pub metadata: Option<Metadata>,
    /// Where visitors of the copy are sent, if the source's metadata is copied: this one
    /// thing never is. (AWS.)
    pub website_redirect: String,
    /// `None` when the request names none, which means STANDARD.
    pub storage_class: Option<String>,
    /// `None` keeps the source's.
    pub tags: Option<Tags>,
    /// Never the source's.
    pub lock: VersionLock,
    /// Never the source's.
    pub acl: ObjectAcl,
    /// A checksum to compute besides those the source has.
    pub checksum: Option<Algorithm>,
    pub conditions: WriteConditions,
}

impl CopyRequest {
    /// Whether the copy is the source again, but perhaps for its tags and its ACL.
    fn changes_nothing(&self) -> bool {
        self.metadata.is_none() && self.website_redirect.is_empty() && self.storage_class.is_none()
    }

    fn metadata_of(&self, source: &ObjectRecord) -> Metadata {
        let copied = || Metadata {
            website_redirect: self.website_redirect.clone(),
            ..source.metadata.clone().unwrap_or_default()
        };
        self.metadata.clone().unwrap_or_else(copied)
    }
}

impl Store {
    /// Opens a copy's source; its conditions fail as errors, never as "not
    /// modified".
    pub(crate) async fn open_copy_source(
        self: &Arc<Self>,
        source: &CopySource,
    ) -> Result<(ObjectInfo, Range<u64>, ObjectReader)> {
        let request = GetRequest {
            key: source.key.clone(),
            version: source.version,
            selection: source.range.map_or(Selection::Whole, Selection::Range),
            conditions: ReadConditions::default(),
            links: source.links.clone(),
            seen: None,
        };
        let found = self.get_object(&source.bucket, &request).await;
        let (info, range, reader) = found.map_err(|error| match error {
            Error::CurrentIsMarker { .. } => Error::NoSuchKey,
            Error::VersionIsMarker { .. } => Error::SourceIsMarker,
            error => error,
        })?;
        source.conditions.judge_copy_source(&info.etag, info.record.modified_ms)?;
        // Unlike a get's, a copy's range is not cut to what there is.
        if let Some(ByteRange::FromTo(_, last)) = source.range
            && last >= info.record.size
        {
            return Err(Error::CopyRange { size: info.record.size });
        }
        note_copied_from(info.record.size);
        Ok((info, range, reader))
    }

    /// Copies an object, or changes the metadata or class of one by copying it
    /// onto itself. The body passes through in pieces; a change in place moves
    /// no bytes, unless the new class keeps them elsewhere or in another way.
    pub async fn copy_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: CopyRequest,
    ) -> Result<PutOutcome> {
        let source = &request.source;
        // An older version that is copied onto its key becomes the current one.
        let onto_itself =
            source.bucket.id == bucket.id && source.key == request.key && source.version.is_none();
        if onto_itself && request.changes_nothing() {
            return Err(Error::CopyOntoItself);
        }
        let class = request.storage_class.as_deref().unwrap_or_default();
        self.expect_class(bucket, class).await?;
        loop {
            // Where versions are kept, the copy is one more, with its own bytes.
            let has_versions = bucket.versioning().has_versions();
            if onto_itself && request.checksum.is_none() && !has_versions {
                match self.change_in_place(bucket, &request).await? {
                    Some(outcome) => return Ok(outcome),
                    None => tracing::debug!("the bytes have to be copied"),
                }
            }
            let over_itself = onto_itself && !has_versions;
            if let Some(outcome) = self.copy_bytes(bucket, &request, over_itself).await? {
                return Ok(outcome);
            }
        }
    }

    /// `None` when an object that was copied over itself has changed meanwhile.
    async fn copy_bytes(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &CopyRequest,
        over_itself: bool,
    ) -> Result<Option<PutOutcome>> {
        self.object_to_replace(bucket, &request.key).await?.judge(&request.conditions)?;
        let (info, _, mut reader) = self.open_copy_source(&request.source).await?;
        let size = info.record.size;
        if size > PUT_BYTES_MAX {
            return Err(Error::TooLarge { size, max: PUT_BYTES_MAX });
        }
        let metadata = request.metadata_of(&info.record);
        let attributes = Attributes {
            metadata,
            storage_class: request.storage_class.clone().unwrap_or_default(),
            tags: request.tags.clone().unwrap_or_else(|| info.tags()),
            lock: request.lock,
            acl: request.acl.clone(),
        };
        self.check_attributes(bucket, &attributes)?;
        let asked: Vec<Algorithm> = match request.checksum {
            Some(algorithm) => vec![algorithm],
            None => info.checksums().map(|checksum| checksum.algorithm).collect(),
        };
        let kept = kept_checksums(&asked, &Expected::default());
        let intake = Intake {
            partition: bucket.partition(),
            group: &request.key.group(),
            guard: None,
            wanted: kept.clone(),
            expected: Expected::default(),
            size_hint: Some(size),
            size_max: PUT_BYTES_MAX,
            tier: self.options.tiers.of(&attributes.storage_class),
        };
        let ingested = self.ingest(intake, &mut reader).await?;
        let checksums = full_checksums(&kept, &ingested.digests);
        let record = self.simple_record(bucket, attributes, &ingested, &checksums);
        let (key, conditions) = (&request.key, &request.conditions);
        let source_version = info.version;
        if over_itself {
            let over = &info.own_record().write_id;
            let put = self.put_over(bucket, key, record, conditions, ingested, over).await?;
            return Ok(put.map(|outcome| PutOutcome { source_version, ..outcome }));
        }
        let put =
            self.put_ingested(bucket, key, (EventKind::Copy, record), conditions, ingested).await?;
        Ok(Some(PutOutcome { source_version, ..put }))
    }

    /// Makes a stored body the current object, if the one that it was copied from
    /// still is that: otherwise a write that came between would be lost.
    async fn put_over(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        record: ObjectRecord,
        conditions: &WriteConditions,
        ingested: Ingested,
        over: &Bytes,
    ) -> Result<Option<PutOutcome>> {
        let (expects, writes) = ingested.pending_parts().into_iter().unzip();
        let outcome = PutOutcome::of(&record);
        let body = ingested.body_row();
        let kind = EventKind::Copy;
        let replacement = Replacement { kind, record, body, conditions, expects, writes };
        loop {
            let settled = self.settled(bucket).await?;
            let current = self.current_object(bucket, key).await?;
            if current.record.as_ref().is_none_or(|record| record.write_id != over) {
                return Ok(None);
            }
            current.judge(conditions)?;
            match self.replace_once(&settled, key, &current, &replacement).await? {
                Replaced::Done(version) => {
                    ingested.referenced();
                    return Ok(Some(PutOutcome { version, ..outcome }));
                }
                Replaced::Raced => continue,
                Replaced::Refused => return Err(Error::StorageUnavailable),
            }
        }
    }

    /// `None` when the bucket keeps versions by now, the bytes have to move, or the
    /// object is a symlink: a copy is one of what it leads to.
    async fn change_in_place(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &CopyRequest,
    ) -> Result<Option<PutOutcome>> {
        loop {
            let settled = self.settled(bucket).await?;
            if settled.settings.versioning.has_versions() {
                return Ok(None);
            }
            let current = self.current_object(bucket, &request.key).await?;
            let old = current.record.as_ref().ok_or(Error::NoSuchKey)?;
            let (tiers, class) = (&self.options.tiers, request.storage_class.as_deref());
            let from = tiers.at(&old.storage_class, old.access.as_ref());
            if from != tiers.of(class.unwrap_or_default())
                || matches!(old.content, Some(Content::Link(_)))
            {
                return Ok(None);
            }
            let etag = old.etag_text();
            request.source.conditions.judge_copy_source(&etag, old.modified_ms)?;
            current.judge(&request.conditions)?;
            self.check_readable(old)?;
            note_copied_from(old.size);
            let attributes = Attributes {
                metadata: request.metadata_of(old),
                storage_class: request.storage_class.clone().unwrap_or_default(),
                tags: Tags::default(),
                lock: request.lock,
                acl: request.acl.clone(),
            };
            self.check_attributes(bucket, &attributes)?;
            let mut record = old.clone();
            if let Some(tags) = &request.tags {
                record.tags = tags.as_slice().to_vec();
            }
            record.write_id = self.fresh_id();
            record.modified_ms = self.now_ms();
            record.metadata = Some(attributes.metadata);
            record.storage_class = attributes.storage_class;
            // It is a copy like any other, and copies are not restored.
            record.restore = None;
            record.access = None;
            record.lock = attributes.lock.to_record();
            record.acl = attributes.acl.to_record(bucket.owner_uin);
            let outcome = PutOutcome::of(&record);
            let replacement = Replacement {
                kind: EventKind::Copy,
                record,
                body: None,
                conditions: &request.conditions,
                expects: Vec::new(),
                writes: Vec::new(),
            };
            let replaced = self.replace_once(&settled, &request.key, &current, &replacement);
            if let Replaced::Done(_) = replaced.await? {
                return Ok(Some(outcome));
            }
        }
    }
}
