use std::ops::Range;
use std::sync::Arc;

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

impl Store {
    /// The current object's record and the bytes that a selection means,
    /// without opening the body.
    pub async fn head_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
    ) -> Result<(ObjectInfo, Range<u64>)> {
        let current = self.current_object(bucket, &request.key).await?;
        let record = current.record.ok_or(Error::NoSuchKey)?;
        let info = judged(record, &request.conditions)?;
        let range = self.select(bucket, &request.key, &info.record, request.selection).await?;
        Ok((info, range))
    }

    /// Opens the current object for reading.
    pub async fn get_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
    ) -> Result<(ObjectInfo, Range<u64>, ObjectReader)> {
        let group = request.key.group();
        let rows = [RowRef::only(Table::Object), RowRef::only(Table::Body)];
        let mut missing = None;
        for _ in 0..ROUNDS_MAX {
            let mut found = self.engine.index().read(bucket.partition(), &group, &rows).await?;
            let body = found.pop().flatten();
            let row = found.pop().flatten().ok_or(Error::NoSuchKey)?;
            let record: ObjectRecord = decode(&row, "object record")?;
            if missing.as_ref() == Some(&record.write_id) {
                return Err(Error::Damaged(format!(
                    "the body of {:?} in {} is missing",
                    request.key, bucket.name
                )));
            }
            let info = judged(record, &request.conditions)?;
            let range = self.select(bucket, &request.key, &info.record, request.selection).await?;
            let opened =
                self.open_object(bucket, &request.key, &info.record, body, range.clone()).await?;
            match opened {
                Some(reader) => return Ok((info, range, reader)),
                // Replaced in between; if the row is still the same next time,
                // nobody replaced it and the body is really gone.
                None => missing = Some(info.record.write_id),
            }
        }
        Err(Error::StorageUnavailable)
    }

    async fn select(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        record: &ObjectRecord,
        selection: Selection,
    ) -> Result<Range<u64>> {
        let number = match selection {
            Selection::Whole => return Ok(0..record.size),
            Selection::Range(range) => return range.resolve(record.size),
            Selection::Part(number) => number,
        };
        let parts = match &record.content {
            Some(Content::Parts(parts)) if !record.appendable => parts,
            _ if number == 1 => return Ok(0..record.size),
            _ => return Err(Error::InvalidPartNumber),
        };
        let mut before = number.checked_sub(1).ok_or(Error::InvalidPartNumber)?;
        let mut offset = 0;
        for run in self.layout(bucket.partition(), &key.group(), parts).await? {
            if before < run.count {
                let start = offset + u64::from(before) * run.size;
                return Ok(start..start + run.size);
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
