use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{ObjectInfo, ObjectReader};
use crate::bucket::Bucket;
use crate::engine::{RowRef, Table};
use crate::error::{Error, Result};
use crate::names::ObjectKey;
use crate::precondition::{ReadConditions, ReadVerdict};
use crate::range::ByteRange;
use crate::record::{Content, ObjectRecord, decode};
use crate::store::Store;

/// Which bytes of an object are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    #[default]
    Whole,
    Range(ByteRange),
    /// One part of an object completed from an upload, counted from 1 in order;
    /// part 1 of any other object is all of it.
    Part(u32),
}

#[derive(Clone, Debug)]
pub struct GetRequest {
    pub key: ObjectKey,
    pub selection: Selection,
    pub conditions: ReadConditions,
}

/// How often a reader looks again when the object was replaced between its row
/// and its bytes. Each round means that another write was acknowledged.
const ROUNDS_MAX: usize = 100;

/// Tells bytes that are gone for good from bytes that a write has replaced.
///
/// Rows are read one by one, so a row can be older or newer than the one beside
/// it. But an object seen in three rounds on end was the current one during the
/// whole of the second, and what that round did not find is missing.
#[derive(Default)]
struct Rounds {
    seen: Bytes,
    on_end: usize,
}

impl Rounds {
    /// Nothing was found where this record says.
    fn missed(&mut self, bucket: &Bucket, key: &ObjectKey, record: &ObjectRecord) -> Result<()> {
        if self.seen != record.write_id {
            self.seen = record.write_id.clone();
            self.on_end = 0;
        }
        self.on_end += 1;
        match self.on_end {
            0..3 => Ok(()),
            _ => Err(Error::Damaged(format!("bytes of {key:?} in {} are missing", bucket.name))),
        }
    }
}

impl Store {
    /// The current object's record and the bytes that a selection means,
    /// without opening the body.
    pub async fn head_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
    ) -> Result<(ObjectInfo, Range<u64>)> {
        let mut rounds = Rounds::default();
        for _ in 0..ROUNDS_MAX {
            let current = self.current_object(bucket, &request.key).await?;
            let record = current.record.ok_or(Error::NoSuchKey)?;
            let info = judged(record, &request.conditions)?;
            let selected = self.select(bucket, &request.key, &info.record, request.selection);
            match selected.await? {
                Some(range) => return Ok((info, range)),
                None => rounds.missed(bucket, &request.key, &info.record)?,
            }
        }
        Err(Error::StorageUnavailable)
    }

    /// Opens the current object for reading.
    pub async fn get_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
    ) -> Result<(ObjectInfo, Range<u64>, ObjectReader)> {
        let group = request.key.group();
        let rows = [RowRef::only(Table::Object), RowRef::only(Table::Body)];
        let mut rounds = Rounds::default();
        for _ in 0..ROUNDS_MAX {
            let mut found = self.engine.index().read(bucket.partition(), &group, &rows).await?;
            let body = found.pop().flatten();
            let row = found.pop().flatten().ok_or(Error::NoSuchKey)?;
            let record: ObjectRecord = decode(&row, "object record")?;
            let info = judged(record, &request.conditions)?;
            let key = &request.key;
            if let Some(range) = self.select(bucket, key, &info.record, request.selection).await?
                && let Some(reader) =
                    self.open_object(bucket, key, &info.record, body, range.clone()).await?
            {
                return Ok((info, range, reader));
            }
            rounds.missed(bucket, key, &info.record)?;
        }
        Err(Error::StorageUnavailable)
    }

    /// `Ok(None)` when the layout is gone because the object was replaced.
    async fn select(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        record: &ObjectRecord,
        selection: Selection,
    ) -> Result<Option<Range<u64>>> {
        let number = match selection {
            Selection::Whole => return Ok(Some(0..record.size)),
            Selection::Range(range) => return range.resolve(record.size).map(Some),
            Selection::Part(number) => number,
        };
        let parts = match &record.content {
            Some(Content::Parts(parts)) if !record.appendable => parts,
            _ if number == 1 => return Ok(Some(0..record.size)),
            _ => return Err(Error::InvalidPartNumber),
        };
        let mut before = number.checked_sub(1).ok_or(Error::InvalidPartNumber)?;
        let mut offset = 0;
        let Some(runs) = self.layout(bucket.partition(), &key.group(), parts).await? else {
            return Ok(None);
        };
        for run in runs {
            if before < run.count {
                let start = offset + u64::from(before) * run.size;
                return Ok(Some(start..start + run.size));
            }
            before -= run.count;
            offset += u64::from(run.count) * run.size;
        }
        Err(Error::InvalidPartNumber)
    }
}

fn judged(record: ObjectRecord, conditions: &ReadConditions) -> Result<ObjectInfo> {
    let info = ObjectInfo::new(record);
    match conditions.judge(&info.etag, info.record.modified_ms) {
        ReadVerdict::Proceed => Ok(info),
        ReadVerdict::NotModified => Err(Error::NotModified(Box::new(info))),
        ReadVerdict::Failed { condition } => Err(Error::PreconditionFailed { condition }),
    }
}
