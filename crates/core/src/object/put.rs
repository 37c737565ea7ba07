use std::sync::Arc;

use bytes::Bytes;

use super::{Attributes, Replacement};
use crate::body::BodySource;
use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Checksum, Digests, Expected};
use crate::error::{Error, Result};
use crate::events::EventKind;
use crate::ingest::{Ingested, Intake};
use crate::limits::PUT_BYTES_MAX;
use crate::names::ObjectKey;
use crate::precondition::WriteConditions;
use crate::record::{ObjectRecord, StoredChecksum};
use crate::store::Store;
use crate::tags::Tags;
use crate::version::VersionRef;

#[derive(Clone, Debug)]
pub struct PutRequest {
    pub key: ObjectKey,
    pub attributes: Attributes,
    pub conditions: WriteConditions,
    /// Checksums to compute and keep, beyond those that are declared.
    pub checksums: Vec<Algorithm>,
    pub expected: Expected,
    /// Length of the body, if it was declared.
    pub size: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct PutOutcome {
    /// Without quotes.
    pub etag: String,
    pub size: u64,
    pub crc64: u64,
    pub checksums: Vec<Checksum>,
    pub modified_ms: u64,
    pub tags: Tags,
    /// The version that was made, in a bucket that keeps versions.
    pub version: Option<VersionRef>,
    /// The version that was copied, if it has a name.
    pub source_version: Option<VersionRef>,
}

impl PutOutcome {
    pub(crate) fn of(record: &ObjectRecord) -> PutOutcome {
        PutOutcome {
            etag: record.etag_text(),
            size: record.size,
            crc64: record.crc64,
            checksums: record.checksums.iter().filter_map(StoredChecksum::get).collect(),
            modified_ms: record.modified_ms,
            tags: Tags::from_stored(record.tags.clone()),
            version: None,
            source_version: None,
        }
    }
}

impl Store {
    /// Stores a body as the current object of its key. When this returns, the
    /// object is on stable storage and every later read sees it or a successor.
    pub async fn put_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: PutRequest,
        body: &mut dyn BodySource,
    ) -> Result<PutOutcome> {
        self.check_attributes(bucket, &request.attributes)?;
        self.expect_class(bucket, &request.attributes.storage_class).await?;
        if !request.conditions.is_empty() {
            // Spares the client sending a body that cannot be taken; judged
            // again at the commit.
            self.current_object(bucket, &request.key).await?.judge(&request.conditions)?;
        }
        let kept = kept_checksums(&request.checksums, &request.expected);
        let intake = Intake {
            partition: bucket.partition(),
            group: &request.key.group(),
            guard: None,
            wanted: kept.clone(),
            expected: request.expected,
            size_hint: request.size,
            size_max: PUT_BYTES_MAX,
            tier: self.options.tiers.of(&request.attributes.storage_class),
        };
        let ingested = self.ingest(intake, body).await?;
        let checksums = full_checksums(&kept, &ingested.digests);
        let record = self.simple_record(bucket, request.attributes, &ingested, &checksums);
        let made = (EventKind::Put, record);
        self.put_ingested(bucket, &request.key, made, &request.conditions, ingested).await
    }

    /// The record of a body stored in one piece.
    pub(crate) fn simple_record(
        &self,
        bucket: &Bucket,
        attributes: Attributes,
        ingested: &Ingested,
        checksums: &[Checksum],
    ) -> ObjectRecord {
        ObjectRecord {
            write_id: self.fresh_id(),
            size: ingested.digests.len,
            modified_ms: self.now_ms(),
            etag: Bytes::copy_from_slice(&ingested.digests.md5),
            crc64: ingested.digests.crc64,
            storage_class: attributes.storage_class,
            metadata: Some(attributes.metadata),
            tags: attributes.tags.into_vec(),
            lock: attributes.lock.to_record(),
            acl: attributes.acl.to_record(bucket.owner_uin),
            checksums: checksums.iter().map(StoredChecksum::new).collect(),
            content: ingested.content.clone(),
            counted: true,
            ..Default::default()
        }
    }

    /// Makes a stored body the current object of a key.
    pub(crate) async fn put_ingested(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        (kind, record): (EventKind, ObjectRecord),
        conditions: &WriteConditions,
        ingested: Ingested,
    ) -> Result<PutOutcome> {
        let (expects, writes) = ingested.pending_parts().into_iter().unzip();
        let outcome = PutOutcome::of(&record);
        let body = ingested.body_row();
        let replacement = Replacement { kind, record, body, conditions, expects, writes };
        match self.replace(bucket, key, replacement).await? {
            Ok(version) => {
                ingested.referenced();
                Ok(PutOutcome { version, ..outcome })
            }
            // The collector took the blob for abandoned: this writer stood still
            // for longer than any upload may take.
            Err(_) => Err(Error::StorageUnavailable),
        }
    }
}

/// Which checksums are stored: those asked for and those declared.
pub(crate) fn kept_checksums(asked: &[Algorithm], expected: &Expected) -> Vec<Algorithm> {
    let mut kept = asked.to_vec();
    for (algorithm, _) in &expected.checksums {
        if !kept.contains(algorithm) {
            kept.push(*algorithm);
        }
    }
    kept
}

/// The kept checksums of one body.
pub(crate) fn full_checksums(kept: &[Algorithm], digests: &Digests) -> Vec<Checksum> {
    kept.iter()
        .filter_map(|algorithm| {
            Some(Checksum {
                algorithm: *algorithm,
                value: digests.of(*algorithm)?.clone(),
                composite_parts: None,
            })
        })
        .collect()
}
