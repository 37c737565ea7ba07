use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};

use super::parts::whole_part;
use super::{OpenUpload, UploadChecksum, upload_row};
use crate::bucket::Bucket;
use crate::checksum::{
    Algorithm, Checksum, ChecksumType, Expected, combine, composite, crc64_combiner,
};
use crate::engine::{Expect, Write};
use crate::error::{Declared, Error, Result};
use crate::events::EventKind;
use crate::limits::PART_NUMBER_MAX;
use crate::names::{ObjectKey, UploadId};
use crate::object::{PutOutcome, Replacement, runs};
use crate::precondition::WriteConditions;
use crate::record::{Content, GarbageRecord, ObjectRecord, PartRecord, StoredChecksum, encode};
use crate::store::{Store, detached};

/// A part as the completion names it.
#[derive(Clone, Debug)]
pub struct CompletePart {
    pub number: u32,
    /// Without quotes.
    pub etag: String,
    pub checksums: Vec<(Algorithm, Bytes)>,
}

#[derive(Clone, Debug)]
pub struct CompleteRequest {
    pub key: ObjectKey,
    pub upload: UploadId,
    pub parts: Vec<CompletePart>,
    pub conditions: WriteConditions,
    /// Smallest size of any part but the last; the dialects differ.
    pub part_bytes_min: u64,
    /// What the request declares about the whole object.
    pub expected: Expected,
    pub expected_kind: Option<ChecksumType>,
    pub expected_size: Option<u64>,
}

impl Store {
    /// Turns an upload into the current object of its key. Goes on to its end
    /// when the client goes away, so that no upload stays frozen.
    pub async fn complete_upload(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: CompleteRequest,
    ) -> Result<PutOutcome> {
        check_order(&request.parts)?;
        let (store, bucket) = (self.clone(), bucket.clone());
        detached(async move { store.complete_to_the_end(&bucket, &request).await }).await
    }

    async fn complete_to_the_end(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &CompleteRequest,
    ) -> Result<PutOutcome> {
        let (key, id) = (&request.key, request.upload);
        loop {
            let upload = self.settled_upload(bucket, key, id).await?;
            self.current_object(bucket, key).await?.judge(&request.conditions)?;
            let Some(frozen) = self.freeze(bucket, request, upload).await? else {
                continue;
            };
            match self.complete_frozen(bucket, request, &frozen).await {
                Ok(Some(outcome)) => return Ok(outcome),
                // Somebody took this completion for dead, or aborted the upload.
                Ok(None) => continue,
                Err(error) => {
                    // The upload stays usable after a completion that was
                    // refused. If not even this works, the next to come waits
                    // and then takes the completion for dead.
                    let reopened = self.reopen_upload(bucket, key, id, &frozen).await;
                    if let Err(error) = reopened {
                        tracing::warn!(%error, "an upload stays frozen for a while");
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Marks the upload so that no part changes from here on; `None` when it has
    /// changed since it was read.
    async fn freeze(
        &self,
        bucket: &Bucket,
        request: &CompleteRequest,
        upload: OpenUpload,
    ) -> Result<Option<OpenUpload>> {
        let mut record = upload.record;
        record.completing = true;
        record.write_id = self.fresh_id();
        let row = encode(&record);
        let expects = vec![Expect::Equals(upload_row(request.upload), upload.row)];
        let writes = vec![Write::Put(upload_row(request.upload), row.clone())];
        let group = request.key.group();
        let frozen = self.try_commit(bucket.partition(), &group, expects, writes).await?;
        Ok(frozen.ok().map(|()| OpenUpload { row, record }))
    }

    /// `None` when the upload is no longer frozen as it was.
    async fn complete_frozen(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &CompleteRequest,
        upload: &OpenUpload,
    ) -> Result<Option<PutOutcome>> {
        let limit = PART_NUMBER_MAX as usize;
        let (key, id) = (&request.key, request.upload);
        let stored = self.scan_parts(bucket, key, id, 0, limit, whole_part).await?;
        let (chosen, unused) = choose(request, stored)?;
        let size: u64 = chosen.iter().map(|(_, part)| part.size).sum();
        if let Some(declared) = request.expected_size.filter(|declared| *declared != size) {
            return Err(Error::UploadSizeMismatch { size, declared });
        }
        // The CRC of no bytes is zero.
        let mut crc64s = crc64_combiner();
        let crc64 = chosen
            .iter()
            .fold(0, |before, (_, part)| crc64s.combine(before, part.crc64, part.size));
        let checksum = match upload.checksum() {
            Some(wanted) => Some(whole_checksum(wanted, &chosen)?),
            None => None,
        };
        check_declared(request, &chosen, upload.checksum(), checksum.as_ref(), crc64)?;

        let mut md5 = Md5::new();
        chosen.iter().for_each(|(_, part)| md5.update(&part.md5));
        let runs = runs(chosen.iter().map(|(number, part)| (*number, part.size)));
        let (mut parts, layout) = self.parts_content(request.upload.suffix(), runs);
        parts.storage_class = upload.record.class_of_parts();
        let record = ObjectRecord {
            write_id: self.fresh_id(),
            size,
            modified_ms: self.now_ms(),
            etag: Bytes::copy_from_slice(&md5.finalize()),
            etag_parts: chosen.len() as u32,
            crc64,
            storage_class: upload.record.storage_class.clone(),
            metadata: Some(Store::upload_metadata(upload)),
            tags: upload.record.tags.clone(),
            lock: upload.record.lock.clone(),
            acl: upload.record.acl.clone(),
            checksums: checksum.iter().map(StoredChecksum::new).collect(),
            content: Some(Content::Parts(parts)),
            counted: true,
            ..Default::default()
        };
        let outcome = PutOutcome::of(&record);

        let mut writes = vec![Write::Delete(upload_row(request.upload))];
        writes.extend(layout);
        let mut garbage = None;
        if !unused.is_empty() {
            let (write, suffix) = self.garbage_row(&GarbageRecord {
                queued_ms: self.now_ms(),
                part_set: request.upload.suffix(),
                part_numbers: unused,
                ..Default::default()
            });
            writes.push(write);
            garbage = Some(suffix);
        }
        let replacement = Replacement {
            kind: EventKind::Complete,
            record,
            body: None,
            conditions: &request.conditions,
            expects: vec![Expect::Equals(upload_row(request.upload), upload.row.clone())],
            writes,
        };
        match self.replace(bucket, &request.key, replacement).await? {
            Ok(version) => {
                if let Some(suffix) = garbage {
                    self.collect_garbage(bucket.partition(), &request.key.group(), suffix);
                }
                Ok(Some(PutOutcome { version, ..outcome }))
            }
            Err(_) => Ok(None),
        }
    }
}

fn check_order(parts: &[CompletePart]) -> Result<()> {
    if parts.is_empty() {
        return Err(Error::NoParts);
    }
    if parts.iter().any(|part| !(1..=PART_NUMBER_MAX).contains(&part.number)) {
        return Err(Error::PartNumberOutOfRange);
    }
    if parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(Error::InvalidPartOrder);
    }
    Ok(())
}

type NumberedPart = (u32, PartRecord);

/// The stored parts that the request names, and the numbers of the others.
fn choose(
    request: &CompleteRequest,
    stored: Vec<NumberedPart>,
) -> Result<(Vec<NumberedPart>, Vec<u32>)> {
    let mut chosen = Vec::with_capacity(request.parts.len());
    let mut unused = Vec::new();
    let mut wanted = request.parts.iter().peekable();
    for (number, part) in stored {
        match wanted.peek() {
            Some(want) if want.number < number => {
                return Err(Error::InvalidPart { number: want.number });
            }
            Some(want) if want.number == number => {
                let stored_checksum = |algorithm: Algorithm| {
                    part.checksums
                        .iter()
                        .filter_map(StoredChecksum::get)
                        .find_map(|c| (c.algorithm == algorithm).then_some(c.value))
                };
                let matches = want.etag.eq_ignore_ascii_case(&hex::encode(&part.md5))
                    && want.checksums.iter().all(|(algorithm, value)| {
                        stored_checksum(*algorithm).is_some_and(|have| have == value)
                    });
                if !matches {
                    return Err(Error::InvalidPart { number });
                }
                chosen.push((number, part));
                wanted.next();
            }
            _ => unused.push(number),
        }
    }
    if let Some(missing) = wanted.next() {
        return Err(Error::InvalidPart { number: missing.number });
    }
    let but_last = &chosen[..chosen.len() - 1];
    match but_last.iter().find(|(_, part)| part.size < request.part_bytes_min) {
        Some((number, part)) => Err(Error::PartTooSmall {
            number: *number,
            size: part.size,
            min: request.part_bytes_min,
            etag: hex::encode(&part.md5),
        }),
        None => Ok((chosen, unused)),
    }
}

/// The object's checksum from its parts', without their bytes.
fn whole_checksum(wanted: UploadChecksum, parts: &[NumberedPart]) -> Result<Checksum> {
    let of_part = |(number, part): &NumberedPart| {
        part.checksums
            .iter()
            .filter_map(StoredChecksum::get)
            .find(|checksum| checksum.algorithm == wanted.algorithm)
            .map(|checksum| (checksum.value, part.size))
            .ok_or(Error::InvalidPart { number: *number })
    };
    let values: Vec<(Bytes, u64)> = parts.iter().map(of_part).collect::<Result<_>>()?;
    let (value, composite_parts) = match wanted.kind {
        ChecksumType::Composite => {
            let values: Vec<Bytes> = values.into_iter().map(|(value, _)| value).collect();
            (composite(wanted.algorithm, &values), Some(parts.len() as u32))
        }
        ChecksumType::FullObject => {
            let value = combine(wanted.algorithm, &values)
                .ok_or_else(|| Error::Damaged("part checksums cannot be combined".into()))?;
            (value, None)
        }
    };
    Ok(Checksum { algorithm: wanted.algorithm, value, composite_parts })
}

/// Compares with what the completion declares about the whole. What cannot be
/// compared is refused, so that nothing looks verified that was not.
fn check_declared(
    request: &CompleteRequest,
    parts: &[NumberedPart],
    upload: Option<UploadChecksum>,
    checksum: Option<&Checksum>,
    crc64: u64,
) -> Result<()> {
    if request.expected.crc64.is_some_and(|declared| declared != crc64) {
        return Err(Error::DigestMismatch { declared: Declared::Crc64 });
    }
    let mismatch = || Error::ChecksumAlgorithmMismatch { upload: upload.map(|u| u.algorithm) };
    if let (Some(kind), Some(upload)) = (request.expected_kind, upload)
        && kind != upload.kind
    {
        return Err(mismatch());
    }
    for (algorithm, declared) in &request.expected.checksums {
        let have = match checksum {
            Some(have) if have.algorithm == *algorithm => have.value.clone(),
            Some(_) => return Err(mismatch()),
            // An upload begun without a checksum can have one all the same, if
            // all its parts were sent with it.
            None => {
                let wanted = UploadChecksum::new(*algorithm, request.expected_kind)?;
                whole_checksum(wanted, parts).map_err(|_| mismatch())?.value
            }
        };
        if have != declared {
            return Err(Error::DigestMismatch { declared: Declared::Checksum(*algorithm) });
        }
    }
    Ok(())
}
