use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::history::version_row;
use super::symlink::target_of;
use super::{Link, ObjectInfo, ObjectReader};
use crate::bucket::Bucket;
use crate::engine::{RowRef, Table};
use crate::error::{Error, Result};
use crate::names::ObjectKey;
use crate::precondition::{ReadConditions, ReadVerdict};
use crate::range::ByteRange;
use crate::record::{Content, ObjectRecord, decode};
use crate::store::Store;
use crate::tags::Tags;
use crate::version::VersionRef;

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
    /// `None` for the current version.
    pub version: Option<VersionRef>,
    pub selection: Selection,
    pub conditions: ReadConditions,
    pub links: Links,
    /// What was seen at the key, if that alone may be read: somebody was let in by
    /// what it says.
    pub seen: Option<Arc<Seen>>,
}

/// Where a symlink may lead a reader.
#[derive(Clone, Debug, Default)]
pub enum Links {
    /// Wherever it does: for who may read all of the bucket.
    #[default]
    Anywhere,
    /// Nowhere yet: [`Error::LinkLeadsTo`] says where it would, for the caller to
    /// judge.
    Nowhere,
    /// To this key, and to what was seen there if it says.
    Only(ObjectKey, Option<Arc<Seen>>),
}

impl Links {
    pub(super) fn may_lead_to(&self, target: &ObjectKey) -> bool {
        match self {
            Links::Anywhere => true,
            Links::Nowhere => false,
            Links::Only(key, _) => key == target,
        }
    }

    /// What was seen where they lead.
    pub(super) fn seen(&self) -> Option<&Arc<Seen>> {
        match self {
            Links::Only(_, seen) => seen.as_ref(),
            Links::Anywhere | Links::Nowhere => None,
        }
    }
}

/// How often a reader looks again when the object was replaced between its row
/// and its bytes. Each round means that another write was acknowledged.
pub(super) const ROUNDS_MAX: usize = 100;

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

/// What lies at a key.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub(crate) enum Found {
    /// The reader is there if the body was asked for.
    Object(ObjectInfo, Range<u64>, Option<ObjectReader>),
    /// A symlink, whatever the request's selection and conditions.
    Link(Box<Link>),
}

/// What lay at a key at some moment, or that nothing did.
#[derive(Debug)]
pub struct Seen {
    found: Option<(ObjectRecord, Place)>,
}

impl Seen {
    /// The tags of what lay there.
    pub fn tags(&self) -> Option<Tags> {
        Some(Tags::from_stored(self.record()?.tags.clone()))
    }

    /// Whether nothing was written in between.
    pub fn is_same(&self, other: &Seen) -> bool {
        let written = |seen: &Seen| seen.record().map(|record| record.write_id.clone());
        written(self) == written(other)
    }

    pub fn record(&self) -> Option<&ObjectRecord> {
        self.found.as_ref().map(|(record, _)| record)
    }
}

/// Where a record was found.
#[derive(Clone, Debug)]
struct Place {
    row: RowRef,
    /// The body row that was read beside it, and its suffix.
    body: Option<Bytes>,
    body_suffix: Bytes,
}

impl Store {
    /// The record that a request means, and its body row if that is where one
    /// reading finds it.
    async fn find(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
        with_body: bool,
    ) -> Result<(ObjectRecord, Place)> {
        let (row, suffix) = match version {
            Some(VersionRef::Null) if bucket.versioning().has_versions() => {
                let (_, found) = self.named_version(bucket, key, VersionRef::Null).await?;
                let found = found.ok_or(Error::NoSuchVersion)?;
                let record = found.object(VersionRef::Null)?.clone();
                let row = match found.row {
                    Some(_) => version_row(&found.suffix),
                    None => RowRef::only(Table::Object),
                };
                return Ok((record, Place { row, body: None, body_suffix: Bytes::new() }));
            }
            Some(VersionRef::Id(id)) => (version_row(&id.suffix()), id.suffix()),
            None | Some(VersionRef::Null) => (RowRef::only(Table::Object), Bytes::new()),
        };
        let rows = [row.clone(), RowRef { table: Table::Body, suffix: suffix.clone() }];
        let rows = if with_body { &rows[..] } else { &rows[..1] };
        let found = self.engine.index().read(bucket.partition(), &key.group(), rows).await?;
        let mut found = found.into_iter();
        let Some(value) = found.next().flatten() else {
            return Err(match version {
                Some(VersionRef::Id(_)) => Error::NoSuchVersion,
                _ => self.no_object(bucket, key).await,
            });
        };
        let record: ObjectRecord = decode(&value, "object record")?;
        if let Some(named @ VersionRef::Id(_)) = version {
            if record.null_version {
                return Err(Error::NoSuchVersion);
            }
            if record.delete_marker {
                let modified_ms = record.modified_ms;
                return Err(Error::VersionIsMarker { version: named, modified_ms });
            }
        }
        Ok((record, Place { row, body: found.next().flatten(), body_suffix: suffix }))
    }

    /// What lies at a key, for a reader of its body or for somebody else. A marker of a
    /// deletion is nothing.
    pub async fn see(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
        with_body: bool,
    ) -> Result<Seen> {
        match self.find(bucket, key, version, with_body).await {
            Ok(found) => Ok(Seen { found: Some(found) }),
            Err(error) if error.is_absence() => Ok(Seen { found: None }),
            Err(error) => Err(error),
        }
    }

    /// What a request means, as it was seen. Who did not find its bytes looks again, and
    /// goes on if it is still there: they may be missing, and not replaced.
    async fn find_as_seen(
        &self,
        bucket: &Bucket,
        request: &GetRequest,
        with_body: bool,
        is_again: bool,
    ) -> Result<(ObjectRecord, Place)> {
        let seen = request.seen.as_deref();
        if let (Some(Seen { found: Some(found) }), false) = (seen, is_again) {
            return Ok(found.clone());
        }
        let found = self.find(bucket, &request.key, request.version, with_body).await;
        let Some(seen) = seen else { return found };
        match (seen.record(), &found) {
            (Some(record), Ok((now, _))) if now.write_id == record.write_id => found,
            (_, Ok(_)) => Err(Error::Overtaken),
            (Some(_), Err(error)) if error.is_absence() => Err(Error::Overtaken),
            (_, Err(_)) => found,
        }
    }

    /// The row of an inline body, which each version has for itself.
    async fn body_of(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        record: &ObjectRecord,
        place: &mut Place,
    ) -> Result<Option<Bytes>> {
        let suffix = record.body_suffix();
        let is_inline = matches!(record.content, Some(Content::Inline(_)));
        if !is_inline || place.body.is_some() && suffix == place.body_suffix {
            return Ok(place.body.take());
        }
        let row = RowRef { table: Table::Body, suffix };
        self.read_row(bucket.partition(), &key.group(), row).await
    }

    /// An object's record and the bytes that a selection means,
    /// without opening the body.
    pub async fn head_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
    ) -> Result<(ObjectInfo, Range<u64>)> {
        let (info, range, _) = self.read_through(bucket, request, false).await?;
        Ok((info, range))
    }

    /// Opens an object for reading, unless it is archived.
    pub async fn get_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
    ) -> Result<(ObjectInfo, Range<u64>, ObjectReader)> {
        let (info, range, reader) = self.read_through(bucket, request, true).await?;
        self.check_readable(&info.record)?;
        let reader = reader.ok_or_else(|| Error::Internal("no body was opened".into()))?;
        let key = info.link.as_ref().map_or(&request.key, |link| &link.target);
        self.note_read(bucket, key, &info.record);
        Ok((info, range, reader))
    }

    /// Reads what lies at a key, and follows no link.
    pub(crate) async fn read_itself(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
        with_body: bool,
    ) -> Result<Found> {
        let mut rounds = Rounds::default();
        for round in 0..ROUNDS_MAX {
            let key = &request.key;
            let (record, mut place) =
                self.find_as_seen(bucket, request, with_body, round > 0).await?;
            if let Some(target) = target_of(&record)? {
                return Ok(Found::Link(Box::new(Link { target, record })));
            }
            let info = judged(bucket, record, &request.conditions)?;
            if let Some(range) = self.select(bucket, key, &info.record, request.selection).await? {
                if !with_body {
                    return Ok(Found::Object(info, range, None));
                }
                let body = self.body_of(bucket, key, &info.record, &mut place).await?;
                let opened =
                    self.open_object(bucket, key, place.row, &info.record, body, range.clone());
                if let Some(reader) = opened.await? {
                    return Ok(Found::Object(info, range, Some(reader)));
                }
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

fn judged(
    bucket: &Bucket,
    record: ObjectRecord,
    conditions: &ReadConditions,
) -> Result<ObjectInfo> {
    let info = ObjectInfo::new(bucket, record)?;
    match conditions.judge(&info.etag, info.record.modified_ms) {
        ReadVerdict::Proceed => Ok(info),
        ReadVerdict::NotModified => Err(Error::NotModified(Box::new(info))),
        ReadVerdict::Failed { condition } => Err(Error::PreconditionFailed { condition }),
    }
}
