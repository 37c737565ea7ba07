//! COS append: an object that grows. Its segments are part rows; a small append
//! onto a small last segment rewrites that segment, so that many small appends
//! do not make many rows.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};

use super::read::runs;
use super::{Attributes, CurrentObject, Replaced, Replacement};
use crate::body::BodySource;
use crate::bucket::Bucket;
use crate::checksum::{Expected, crc64_combine};
use crate::engine::{Expect, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::events::EventKind;
use crate::ingest::{Ingested, Intake, body_row, inline_bytes};
use crate::limits::{APPEND_SEGMENTS_MAX, PUT_BYTES_MAX, RUNS_IN_RECORD_MAX};
use crate::names::ObjectKey;
use crate::precondition::WriteConditions;
use crate::record::{
    Content, LayoutRecord, ObjectRecord, PartRecord, Parts, Run, encode, part_suffix,
};
use crate::store::Store;
use crate::tags::Tags;

#[derive(Clone, Debug)]
pub struct AppendRequest {
    pub key: ObjectKey,
    /// Must equal the object's present length; 0 creates it.
    pub position: u64,
    /// Count only when the object is created.
    pub attributes: Attributes,
    pub expected: Expected,
    pub size: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct AppendOutcome {
    pub etag: String,
    pub next_position: u64,
    /// Of the bytes appended by this call.
    pub appended_md5: [u8; 16],
    /// Of the whole object.
    pub crc64: u64,
    pub modified_ms: u64,
    pub tags: Tags,
}

impl Store {
    pub async fn append_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: AppendRequest,
        body: &mut dyn BodySource,
    ) -> Result<AppendOutcome> {
        if bucket.versioning().has_versions() {
            return Err(Error::AppendToVersions);
        }
        self.check_attributes(bucket, &request.attributes)?;
        self.expect_class(bucket, &request.attributes.storage_class).await?;
        let check = |current: &CurrentObject| match &current.record {
            Some(record) if !record.appendable => Err(Error::NotAppendable),
            Some(record) if record.size != request.position => {
                Err(Error::AppendPosition { length: record.size })
            }
            None if request.position != 0 => Err(Error::AppendPosition { length: 0 }),
            _ => Ok(()),
        };
        let current = self.current_object(bucket, &request.key).await?;
        check(&current)?;
        let class = current.record.as_ref().map(|record| &record.storage_class);
        let class = class.unwrap_or(&request.attributes.storage_class);
        let intake = Intake {
            partition: bucket.partition(),
            group: &request.key.group(),
            guard: None,
            wanted: Vec::new(),
            expected: request.expected.clone(),
            size_hint: request.size,
            size_max: PUT_BYTES_MAX - request.position.min(PUT_BYTES_MAX),
            tier: self.options.tiers.of(class),
        };
        let ingested = self.ingest(intake, body).await?;
        loop {
            let settled = self.settled(bucket).await?;
            if settled.settings.versioning.has_versions() {
                return Err(Error::AppendToVersions);
            }
            let current = self.current_object(bucket, &request.key).await?;
            check(&current)?;
            let (replacement, outcome) =
                match self.grown(bucket, &request, &current, &ingested).await {
                    // Rows of an object that was replaced meanwhile are gone.
                    Err(Error::Damaged(_))
                        if self.current_object(bucket, &request.key).await?.row != current.row =>
                    {
                        continue;
                    }
                    grown => grown?,
                };
            match self.replace_once(&settled, &request.key, &current, &replacement).await? {
                Replaced::Done(_) => {
                    ingested.referenced();
                    return Ok(outcome);
                }
                Replaced::Raced => continue,
                Replaced::Refused => return Err(Error::StorageUnavailable),
            }
        }
    }

    /// The object after the append, and what the commit must write for it.
    async fn grown(
        &self,
        bucket: &Bucket,
        request: &AppendRequest,
        current: &CurrentObject,
        ingested: &Ingested,
    ) -> Result<(Replacement<'static>, AppendOutcome)> {
        static UNCONDITIONAL: WriteConditions = WriteConditions {
            if_match: None,
            if_none_match: None,
            forbid_overwrite: false,
            if_match_modified: None,
            if_match_size: None,
        };
        let added = &ingested.digests;
        let group = request.key.group();
        let mut record = current.record.clone().unwrap_or_else(|| ObjectRecord {
            storage_class: request.attributes.storage_class.clone(),
            metadata: Some(request.attributes.metadata.clone()),
            tags: request.attributes.tags.as_slice().to_vec(),
            lock: request.attributes.lock.to_record(),
            acl: request.attributes.acl.to_record(bucket.owner_uin),
            appendable: true,
            counted: true,
            ..Default::default()
        });
        let (set, mut segments) = match &record.content {
            Some(Content::Parts(parts)) => {
                let runs = self.layout(bucket.partition(), &group, parts).await?;
                let runs = runs.ok_or_else(|| Error::Damaged("a layout is missing".into()))?;
                (parts.set.clone(), spread(&runs))
            }
            _ => (self.fresh_id(), Vec::new()),
        };

        let mut expects = Vec::new();
        let mut writes = Vec::new();
        if added.len > 0 {
            let merged = self.merge(bucket, &group, &set, segments.last(), ingested).await?;
            let (number, part) = match merged {
                Some((number, part, row, old)) => {
                    segments.pop();
                    let suffix = part_suffix(&set, number);
                    let row_of_part = RowRef { table: Table::Part, suffix: suffix.clone() };
                    expects.push(Expect::Equals(row_of_part, old));
                    writes.push(Write::Put(RowRef { table: Table::Body, suffix }, row));
                    (number, part)
                }
                None => {
                    let number = segments.last().map_or(1, |(number, _)| number + 1);
                    if number > APPEND_SEGMENTS_MAX {
                        return Err(Error::TooManyAppends { max: APPEND_SEGMENTS_MAX });
                    }
                    let (expect, body_writes) = ingested.commit_parts(&part_suffix(&set, number));
                    expects.extend(expect);
                    writes.extend(body_writes);
                    let part = PartRecord {
                        size: added.len,
                        crc64: added.crc64,
                        content: ingested.content.clone(),
                        counted: true,
                        ..Default::default()
                    };
                    (number, part)
                }
            };
            segments.push((number, part.size));
            let part = PartRecord { write_id: self.fresh_id(), modified_ms: self.now_ms(), ..part };
            let suffix = part_suffix(&set, number);
            writes.push(Write::Put(RowRef { table: Table::Part, suffix }, encode(&part)));
        }

        // Not the MD5 of the whole, which nobody knows without reading it again:
        // a chain over the appends, in the form of a multipart ETag.
        let chained = Md5::new().chain_update(&record.etag).chain_update(added.md5).finalize();
        record.etag = Bytes::copy_from_slice(&chained);
        record.etag_parts = segments.len().max(1) as u32;
        record.crc64 = match record.size {
            0 => added.crc64,
            _ => crc64_combine(record.crc64, added.crc64, added.len),
        };
        record.size += added.len;
        record.write_id = self.fresh_id();
        record.modified_ms = self.now_ms();
        let (parts, layout) = self.parts_content(set, runs(segments));
        record.content = (record.size > 0).then_some(Content::Parts(parts));
        writes.extend(layout);
        let outcome = AppendOutcome {
            etag: record.etag_text(),
            next_position: record.size,
            appended_md5: added.md5,
            crc64: record.crc64,
            modified_ms: record.modified_ms,
            tags: Tags::from_stored(record.tags.clone()),
        };
        let conditions = &UNCONDITIONAL;
        let (kind, body) = (EventKind::Append, None);
        Ok((Replacement { kind, record, body, conditions, expects, writes }, outcome))
    }

    /// The last segment with the added bytes behind it, when both are inline and
    /// still small together: its number, its record, its body row, and the part row that
    /// all this replaces.
    async fn merge(
        &self,
        bucket: &Bucket,
        group: &Bytes,
        set: &Bytes,
        last: Option<&(u32, u64)>,
        ingested: &Ingested,
    ) -> Result<Option<(u32, PartRecord, Bytes, Bytes)>> {
        let Some(&(number, size)) = last else {
            return Ok(None);
        };
        let total = size + ingested.digests.len;
        let added = ingested.inline_data();
        if total > self.engine.inline_max() as u64 {
            return Ok(None);
        }
        let Some(added) = added else {
            return Ok(None);
        };
        let (part, body) = self.part_rows(bucket.partition(), group, set, number).await?;
        let part_row = encode(&part);
        let Some(Content::Inline(id)) = &part.content else {
            return Ok(None);
        };
        // Without the row the segment was rewritten meanwhile; the commit will
        // fail on the object row and all of this is done again.
        let Some(old) = body.and_then(|row| inline_bytes(&row, id)) else {
            return Ok(None);
        };
        let id = self.entropy.id();
        let mut row = body_row(&id, &old).to_vec();
        row.extend_from_slice(&added);
        let part = PartRecord {
            size: total,
            crc64: crc64_combine(part.crc64, ingested.digests.crc64, ingested.digests.len),
            content: Some(Content::Inline(Bytes::copy_from_slice(&id))),
            ..part
        };
        Ok(Some((number, part, row.into(), part_row)))
    }

    /// The content of an object made of parts, and the row of its layout when
    /// that is too long for the record.
    pub(crate) fn parts_content(&self, set: Bytes, runs: Vec<Run>) -> (Parts, Option<Write>) {
        let count = runs.iter().map(|run| run.count).sum();
        if runs.len() <= RUNS_IN_RECORD_MAX {
            return (Parts { set, count, runs, ..Parts::default() }, None);
        }
        let row = RowRef { table: Table::Part, suffix: part_suffix(&set, 0) };
        let layout = LayoutRecord { runs, write_id: self.fresh_id() };
        let write = Write::Put(row, encode(&layout));
        (Parts { set, count, ..Parts::default() }, Some(write))
    }
}

fn spread(runs: &[Run]) -> Vec<(u32, u64)> {
    runs.iter().flat_map(|run| (0..run.count).map(|i| (run.first_part + i, run.size))).collect()
}
