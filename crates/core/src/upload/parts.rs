use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{OpenUpload, UploadChecksum, upload_row};
use crate::body::BodySource;
use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Checksum, Expected};
use crate::engine::{Expect, RowRef, ScanRange, Step, Table, Write};
use crate::error::{Error, Result};
use crate::ingest::{Ingested, Intake};
use crate::limits::{PART_NUMBER_MAX, PUT_BYTES_MAX};
use crate::names::{ObjectKey, UploadId};
use crate::object::{CopySource, ObjectInfo, PutOutcome};
use crate::record::{
    Content, GarbageRecord, Metadata, PartRecord, StoredChecksum, decode, decode_listed, encode,
    part_suffix, split_part_suffix,
};
use crate::store::{Store, unchanged};
use crate::tags::Tags;

#[derive(Clone, Debug)]
pub struct PartRequest {
    pub key: ObjectKey,
    pub upload: UploadId,
    pub number: u32,
    pub expected: Expected,
    /// Checksums announced for a trailer.
    pub checksums: Vec<Algorithm>,
    pub size: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct PartCopyRequest {
    pub source: CopySource,
    pub key: ObjectKey,
    pub upload: UploadId,
    pub number: u32,
}

#[derive(Clone, Debug)]
pub struct ListParts {
    pub key: ObjectKey,
    pub upload: UploadId,
    /// Exclusive.
    pub after: u32,
    pub max: usize,
}

#[derive(Clone, Debug)]
pub struct PartEntry {
    pub number: u32,
    pub size: u64,
    pub modified_ms: u64,
    /// Without quotes.
    pub etag: String,
    pub crc64: u64,
    pub checksums: Vec<Checksum>,
}

#[derive(Clone, Debug)]
pub struct PartPage {
    pub parts: Vec<PartEntry>,
    pub truncated: bool,
    pub storage_class: String,
    pub checksum: Option<UploadChecksum>,
}

impl PartEntry {
    fn new((number, record): (u32, PartRecord)) -> PartEntry {
        PartEntry {
            number,
            size: record.size,
            modified_ms: record.modified_ms,
            etag: hex::encode(&record.md5),
            crc64: record.crc64,
            checksums: record.checksums.iter().filter_map(StoredChecksum::get).collect(),
        }
    }
}

/// How often a part or a second completion looks whether a completion under way
/// has ended, before it takes that one for dead.
const COMPLETION_PATIENCE: usize = 40;
const COMPLETION_PAUSE: Duration = Duration::from_millis(50);

impl Store {
    pub async fn upload_part(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: PartRequest,
        body: &mut dyn BodySource,
    ) -> Result<PutOutcome> {
        check_number(request.number)?;
        let upload = self.open_upload(bucket, &request.key, request.upload).await?;
        let mut wanted = request.checksums;
        wanted.extend(upload.checksum().map(|checksum| checksum.algorithm));
        let declared = wanted.iter().copied().chain(request.expected.checksums.iter().map(|c| c.0));
        let mut kept = Vec::new();
        declared.for_each(|algorithm| {
            if !kept.contains(&algorithm) {
                kept.push(algorithm);
            }
        });
        let group = request.key.group();
        let intake = Intake {
            partition: bucket.partition(),
            group: &group,
            guard: Some(Expect::Present(upload_row(request.upload))),
            wanted: kept.clone(),
            expected: request.expected,
            size_hint: request.size,
            size_max: PUT_BYTES_MAX,
            tier: self.options.tiers.of(&upload.record.storage_class),
        };
        let ingested = self.ingest(intake, body).await?;
        self.put_part(bucket, &request.key, request.upload, request.number, ingested, &kept).await
    }

    /// Copies an object, or a range of one, as a part.
    pub async fn copy_part(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: PartCopyRequest,
    ) -> Result<PutOutcome> {
        check_number(request.number)?;
        let upload = self.open_upload(bucket, &request.key, request.upload).await?;
        let (info, range, mut reader) = self.open_copy_source(&request.source).await?;
        let kept: Vec<Algorithm> = upload.checksum().iter().map(|c| c.algorithm).collect();
        let intake = Intake {
            partition: bucket.partition(),
            group: &request.key.group(),
            guard: Some(Expect::Present(upload_row(request.upload))),
            wanted: kept.clone(),
            expected: Expected::default(),
            size_hint: Some(range.end - range.start),
            size_max: PUT_BYTES_MAX,
            tier: self.options.tiers.of(&upload.record.storage_class),
        };
        let ingested = self.ingest(intake, &mut reader).await?;
        let put =
            self.put_part(bucket, &request.key, request.upload, request.number, ingested, &kept);
        Ok(PutOutcome { source_version: info.version, ..put.await? })
    }

    async fn put_part(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        id: UploadId,
        number: u32,
        ingested: Ingested,
        kept: &[Algorithm],
    ) -> Result<PutOutcome> {
        let digests = &ingested.digests;
        let checksums = crate::object::full_checksums(kept, digests);
        let mut record = PartRecord {
            write_id: self.fresh_id(),
            size: digests.len,
            modified_ms: self.now_ms(),
            md5: Bytes::copy_from_slice(&digests.md5),
            crc64: digests.crc64,
            checksums: checksums.iter().map(StoredChecksum::new).collect(),
            content: ingested.content.clone(),
            storage_class: String::new(),
            counted: true,
        };
        let outcome = PutOutcome {
            etag: hex::encode(digests.md5),
            size: record.size,
            crc64: record.crc64,
            checksums,
            modified_ms: record.modified_ms,
            tags: Tags::default(),
            version: None,
            source_version: None,
        };
        let group = key.group();
        let suffix = part_suffix(&id.suffix(), number);
        let part_row = RowRef { table: Table::Part, suffix: suffix.clone() };
        loop {
            let upload = self.settled_upload(bucket, key, id).await?;
            if upload.record.completing {
                self.reopen_upload(bucket, key, id, &upload).await?;
                continue;
            }
            record.storage_class = upload.record.class_of_parts();
            let old = self.read_row(bucket.partition(), &group, part_row.clone()).await?;
            let mut expects = vec![
                Expect::Equals(upload_row(id), upload.row),
                unchanged(Table::Part, suffix.clone(), &old),
            ];
            let (expect, mut writes) = ingested.commit_parts(&suffix);
            expects.extend(expect);
            let garbage = self.unreference_part(old.as_ref(), &suffix, &record, &mut writes)?;
            writes.push(Write::Put(part_row.clone(), encode(&record)));
            match self.try_commit(bucket.partition(), &group, expects, writes).await? {
                Ok(()) => {
                    ingested.referenced();
                    if let Some(suffix) = garbage {
                        self.collect_garbage(bucket.partition(), &group, suffix);
                    }
                    return Ok(outcome);
                }
                Err(0 | 1) => continue,
                Err(_) => return Err(Error::StorageUnavailable),
            }
        }
    }

    /// Frees what an overwritten part held.
    pub(crate) fn unreference_part(
        &self,
        old: Option<&Bytes>,
        suffix: &Bytes,
        new: &PartRecord,
        writes: &mut Vec<Write>,
    ) -> Result<Option<Bytes>> {
        let Some(old) = old else {
            return Ok(None);
        };
        match decode::<PartRecord>(old, "part record")?.content {
            Some(Content::Blob(blob)) => {
                let garbage = GarbageRecord {
                    queued_ms: self.now_ms(),
                    blobs: vec![blob],
                    ..Default::default()
                };
                let (write, suffix) = self.garbage_row(&garbage);
                writes.push(write);
                Ok(Some(suffix))
            }
            Some(Content::Inline(_)) if !matches!(new.content, Some(Content::Inline(_))) => {
                let row = RowRef { table: Table::Body, suffix: suffix.clone() };
                writes.push(Write::Delete(row));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The upload when no completion of it is at work: either it is open, or it
    /// was frozen by one that died.
    pub(crate) async fn settled_upload(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<OpenUpload> {
        let mut upload = self.open_upload(bucket, key, id).await?;
        let mut patience = COMPLETION_PATIENCE;
        while upload.record.completing && patience > 0 {
            tokio::time::sleep(COMPLETION_PAUSE).await;
            let again = self.open_upload(bucket, key, id).await?;
            // Another completion deserves the same patience.
            patience = match again.row == upload.row {
                true => patience - 1,
                false => COMPLETION_PATIENCE,
            };
            upload = again;
        }
        Ok(upload)
    }

    /// Lifts the freeze of a completion that failed or died.
    pub(crate) async fn reopen_upload(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        id: UploadId,
        upload: &OpenUpload,
    ) -> Result<()> {
        let mut record = upload.record.clone();
        record.completing = false;
        record.write_id = self.fresh_id();
        let expects = vec![Expect::Equals(upload_row(id), upload.row.clone())];
        let writes = vec![Write::Put(upload_row(id), encode(&record))];
        // A conflict means that somebody else has changed the state; whoever
        // asked looks again.
        let _ = self.try_commit(bucket.partition(), &key.group(), expects, writes).await?;
        Ok(())
    }

    pub async fn list_parts(&self, bucket: &Bucket, request: &ListParts) -> Result<PartPage> {
        let upload = self.open_upload(bucket, &request.key, request.upload).await?;
        let mut parts = self
            .scan_parts(
                bucket,
                &request.key,
                request.upload,
                request.after,
                request.max.saturating_add(1),
                listed_part,
            )
            .await?;
        // A page of nothing could not say where the next one begins.
        let truncated = request.max > 0 && parts.len() > request.max;
        parts.truncate(request.max);
        Ok(PartPage {
            parts: parts.into_iter().map(PartEntry::new).collect(),
            truncated,
            checksum: upload.checksum(),
            storage_class: upload.record.storage_class,
        })
    }

    /// The parts of an object completed from an upload, behind part `after`, and
    /// whether there are more than `max`.
    pub async fn object_parts(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        info: &ObjectInfo,
        after: u32,
        max: usize,
    ) -> Result<(Vec<PartEntry>, bool)> {
        let Some(Content::Parts(parts)) = &info.record.content else {
            return Ok((Vec::new(), false));
        };
        let key = info.key_of_bytes(key);
        let set = parts.set.as_ref().try_into().map(UploadId);
        let set = set.map_err(|_| Error::Damaged("a set of parts has a wrong name".into()))?;
        let layout = self.layout(bucket.partition(), &key.group(), parts).await?;
        let layout = layout.unwrap_or_default();
        // The rows of parts that the completion left out are there until they
        // are collected.
        let belongs = |number: u32| {
            layout.iter().any(|run| (run.first_part..run.first_part + run.count).contains(&number))
        };
        let page = max.saturating_add(1);
        let (mut found, mut after) = (Vec::new(), after);
        loop {
            let rows = self.scan_parts(bucket, key, set, after, page, listed_part).await?;
            let last = rows.last().map(|(number, _)| *number);
            let more = rows.len() == page;
            found.extend(rows.into_iter().filter(|(number, _)| belongs(*number)));
            match last {
                Some(last) if more && found.len() < page => after = last,
                _ => break,
            }
        }
        let truncated = max > 0 && found.len() > max;
        found.truncate(max);
        Ok((found.into_iter().map(PartEntry::new).collect(), truncated))
    }

    /// The checksums of one part of an object completed from an upload, counted
    /// from 1 in order as [`crate::object::Selection::Part`] counts.
    pub async fn part_checksums(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        info: &ObjectInfo,
        count: u32,
    ) -> Result<Vec<Checksum>> {
        let Some(Content::Parts(parts)) = &info.record.content else {
            return Ok(Vec::new());
        };
        let key = info.key_of_bytes(key);
        let layout = self.layout(bucket.partition(), &key.group(), parts).await?;
        let mut before = count.saturating_sub(1);
        for run in layout.unwrap_or_default() {
            if before >= run.count {
                before -= run.count;
                continue;
            }
            let suffix = part_suffix(&parts.set, run.first_part + before);
            let row = RowRef { table: Table::Part, suffix };
            let row = self.read_row(bucket.partition(), &key.group(), row).await?;
            let part = row.map(|row| whole_part(&key.group(), &row)).transpose()?;
            let sums = part.iter().flat_map(|part| &part.checksums);
            return Ok(sums.filter_map(StoredChecksum::get).collect());
        }
        Ok(Vec::new())
    }

    /// Metadata an upload was begun with.
    pub(crate) fn upload_metadata(upload: &OpenUpload) -> Metadata {
        upload.record.metadata.clone().unwrap_or_default()
    }

    /// Parts of a set in order of their numbers. `read` decodes a key's row.
    pub(crate) async fn scan_parts(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        id: UploadId,
        after: u32,
        limit: usize,
        read: fn(&[u8], &[u8]) -> Result<PartRecord>,
    ) -> Result<Vec<(u32, PartRecord)>> {
        let found = Arc::new(Mutex::new((Vec::new(), None)));
        let visit = {
            let found = found.clone();
            move |group: &[u8], suffix: &[u8], value: &[u8]| {
                let mut found = found.lock();
                let number = match split_part_suffix(suffix) {
                    Some((set, number)) if set == id.0 => number,
                    _ => return Step::Stop,
                };
                if found.0.len() == limit {
                    return Step::Stop;
                }
                match read(group, value) {
                    Ok(part) => found.0.push((number, part)),
                    Err(error) => {
                        found.1 = Some(error);
                        return Step::Stop;
                    }
                }
                Step::Next
            }
        };
        let first = after.saturating_add(1);
        let range = ScanRange {
            start_suffix: part_suffix(&id.suffix(), first),
            ..ScanRange::group(key.group())
        };
        self.engine.index().scan(bucket.partition(), Table::Part, range, Box::new(visit)).await?;
        let (parts, damaged) = std::mem::take(&mut *found.lock());
        match damaged {
            Some(error) => Err(error),
            None => Ok(parts),
        }
    }
}

pub(crate) fn whole_part(_: &[u8], row: &[u8]) -> Result<PartRecord> {
    decode(row, "part record")
}

fn listed_part(key: &[u8], row: &[u8]) -> Result<PartRecord> {
    Ok(decode_listed(key, row, "part record"))
}

fn check_number(number: u32) -> Result<()> {
    match (1..=PART_NUMBER_MAX).contains(&number) {
        true => Ok(()),
        false => Err(Error::PartNumberOutOfRange),
    }
}
