//! Bringing a version's bytes to the tier of another class or access tier, without a change of anything
//! else that is said about it.
//!
//! A body in one piece is written anew as a pending blob, and the commit that says the
//! new class names it and frees the old one. Of a body made of parts each part is moved
//! by a commit of its own, which leaves the object as it is: its parts may lie in
//! different tiers meanwhile, since each says itself where it is. So nothing is lost or
//! left over when a move stops in the middle, and the next one goes on there.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::history::version_row;
use super::{CurrentObject, ObjectReader};
use crate::body::BodySource;
use crate::bucket::{Bucket, Settled};
use crate::checksum::Expected;
use crate::engine::{Expect, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::events::{EventKind, Happening};
use crate::ingest::{Ingested, Intake};
use crate::limits::PUT_BYTES_MAX;
use crate::names::ObjectKey;
use crate::pace::Pace;
use crate::record::{
    AccessRecord, Content, ObjectRecord, PartRecord, Parts, decode, encode, part_suffix,
};
use crate::store::{Store, unchanged};
use crate::tier::Tier;

/// Keeps all moves together at a mean rate of bytes.
pub(crate) type MovePace = Mutex<Pace>;

/// What is moved.
pub(crate) struct Moved {
    /// The key's current object, which is what is moved unless `older` is there.
    pub current: CurrentObject,
    pub record: ObjectRecord,
    /// Suffix and row of a version that is not the current one.
    pub older: Option<(Bytes, Bytes)>,
}

impl Moved {
    /// The row that names the bytes, as it was read.
    fn holder(&self) -> Option<(RowRef, Bytes)> {
        match &self.older {
            Some((suffix, row)) => Some((version_row(suffix), row.clone())),
            None => Some((RowRef::only(Table::Object), self.current.row.clone()?)),
        }
    }
}

/// What a move makes of a version.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub class: String,
    /// Where it lies in intelligent tiering, if that is the class.
    pub access: Option<AccessRecord>,
}

impl Destination {
    /// Whether the bytes belong in the same place.
    pub fn is_beside(&self, other: &Destination) -> bool {
        let tier = |access: &Option<AccessRecord>| access.as_ref().map(AccessRecord::tier);
        self.class == other.class && tier(&self.access) == tier(&other.access)
    }

    /// What a move is to those who are told of it: into which class, or into which archive
    /// tier.
    fn arrival<'a>(old: &ObjectRecord, new: &'a ObjectRecord) -> Option<(EventKind, &'a str)> {
        if old.storage_class != new.storage_class {
            return Some((EventKind::Moved, &new.storage_class));
        }
        let tier = |record: &ObjectRecord| record.access.as_ref().map(AccessRecord::tier);
        let to = tier(new).filter(|to| to.is_archived() && tier(old) != Some(*to))?;
        Some((EventKind::Archived, to.name()))
    }
}

/// Where the bytes are now.
pub(crate) enum Brought {
    /// Where they belong, and named already.
    There,
    /// There, and to be named by the commit that says the new class.
    New(Box<Ingested>),
    /// What was to be moved has changed.
    Gone,
}

/// Takes no more bytes than its share of the rate.
struct Paced<'a> {
    reader: ObjectReader,
    pace: &'a MovePace,
}

#[async_trait]
impl BodySource for Paced<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let piece = self.reader.next_piece().await?;
        if let Some(piece) = &piece {
            self.pace.lock().await.spent(piece.len() as u64).await;
        }
        Ok(piece)
    }
}

impl Store {
    /// Writes a version's bytes where they are to be kept.
    pub(crate) async fn bring(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &ObjectKey,
        moved: &Moved,
        destination: &Destination,
        pace: &MovePace,
    ) -> Result<Brought> {
        let (record, tiers) = (&moved.record, &self.options.tiers);
        let from = tiers.at(&record.storage_class, record.access.as_ref());
        let to = tiers.at(&destination.class, destination.access.as_ref());
        let way = Way { bucket, group: &key.group(), from, to, pace };
        let Some((holder, held)) = moved.holder() else { return Ok(Brought::Gone) };
        match &record.content {
            Some(Content::Parts(parts)) => {
                // An append rewrites its last part under the object's row alone.
                let bound = record.appendable && moved.older.is_none();
                self.bring_parts(&way, (holder, held), record, parts, bound).await
            }
            content if way.is_at_its_end(content) => Ok(Brought::There),
            _ => {
                let body = RowRef { table: Table::Body, suffix: record.body_suffix() };
                let body = self.read_row(bucket.partition(), way.group, body).await?;
                let range = 0..record.size;
                let opened = self.open_object(bucket, key, holder.clone(), record, body, range);
                let Some(reader) = opened.await? else {
                    return self.missing(&way, holder, &held).await;
                };
                let ingested = self.carry(&way, reader, record.size, record.crc64).await?;
                Ok(Brought::New(Box::new(ingested)))
            }
        }
    }

    async fn bring_parts(
        self: &Arc<Self>,
        way: &Way<'_>,
        (holder, mut held): (RowRef, Bytes),
        record: &ObjectRecord,
        parts: &Parts,
        bound: bool,
    ) -> Result<Brought> {
        let (partition, group) = (way.bucket.partition(), way.group);
        let Some(runs) = self.layout(partition, group, parts).await? else {
            return self.missing(way, holder, &held).await;
        };
        let numbers = runs.iter().flat_map(|run| run.first_part..run.first_part + run.count);
        for number in numbers {
            let suffix = part_suffix(&parts.set, number);
            let row = RowRef { table: Table::Part, suffix: suffix.clone() };
            let old = self.read_row(partition, group, row.clone()).await?;
            let Some(value) = &old else { return self.missing(way, holder, &held).await };
            let part: PartRecord = decode(value, "part record")?;
            if way.is_at_its_end(&part.content) {
                continue;
            }
            let body = RowRef { table: Table::Body, suffix: suffix.clone() };
            let body = self.read_row(partition, group, body).await?;
            let reader = match self.open_content(&part.content, body, 0, part.size).await {
                Err(Error::Damaged(_))
                    if self.read_row(partition, group, row.clone()).await? != old =>
                {
                    return Ok(Brought::Gone);
                }
                opened => opened?,
            };
            let ingested = self.carry(way, reader, part.size, part.crc64).await?;
            let new = PartRecord {
                write_id: self.fresh_id(),
                content: ingested.content.clone(),
                ..part.clone()
            };
            let mut expects = vec![
                Expect::Equals(holder.clone(), held.clone()),
                unchanged(Table::Part, suffix.clone(), &old),
            ];
            let (expect, mut writes) = ingested.commit_parts(&suffix);
            expects.extend(expect);
            let garbage = self.unreference_part(old.as_ref(), &suffix, &new, &mut writes)?;
            writes.push(Write::Put(row, encode(&new)));
            if bound {
                held = encode(&ObjectRecord { write_id: self.fresh_id(), ..record.clone() });
                writes.push(Write::Put(holder.clone(), held.clone()));
            }
            match self.try_commit(partition, group, expects, writes).await? {
                Ok(()) => {
                    ingested.referenced();
                    if let Some(suffix) = garbage {
                        self.collect_garbage(partition, group, suffix);
                    }
                }
                Err(0 | 1) => return Ok(Brought::Gone),
                Err(_) => return Err(Error::StorageUnavailable),
            }
        }
        Ok(Brought::There)
    }

    /// Writes bytes anew, if they are what was stored.
    async fn carry(
        self: &Arc<Self>,
        way: &Way<'_>,
        reader: ObjectReader,
        size: u64,
        crc64: u64,
    ) -> Result<Ingested> {
        let intake = Intake {
            partition: way.bucket.partition(),
            group: way.group,
            guard: None,
            wanted: Vec::new(),
            expected: Expected::default(),
            size_hint: Some(size),
            size_max: PUT_BYTES_MAX,
            tier: way.to,
        };
        let ingested = self.ingest(intake, &mut Paced { reader, pace: way.pace }).await?;
        match ingested.digests.crc64 == crc64 {
            true => Ok(ingested),
            false => Err(Error::Damaged("CRC-64 differs from the record's".into())),
        }
    }

    /// What it means that bytes are not there: their object was replaced, or it is
    /// damaged.
    async fn missing(&self, way: &Way<'_>, holder: RowRef, held: &Bytes) -> Result<Brought> {
        let now = self.read_row(way.bucket.partition(), way.group, holder).await?;
        match now.as_ref() == Some(held) {
            true => Err(Error::Damaged("bytes of an object are missing".into())),
            false => Ok(Brought::Gone),
        }
    }

    /// Gives a version its new class and access tier, and the bytes that were brought for it. False:
    /// it, or the key's current version, has changed meanwhile.
    pub(crate) async fn commit_move(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        moved: &Moved,
        brought: Brought,
        destination: Destination,
    ) -> Result<bool> {
        let mut change = moved.current.unchanged();
        if let Some((suffix, row)) = &moved.older {
            change.expects.push(Expect::Equals(version_row(suffix), row.clone()));
        }
        let of_key = change.expects.len();
        let mut new = ObjectRecord {
            write_id: self.fresh_id(),
            storage_class: destination.class,
            restore: None,
            access: destination.access,
            ..moved.record.clone()
        };
        let ingested = match brought {
            Brought::Gone => return Ok(false),
            Brought::There => None,
            Brought::New(ingested) => {
                new.content = ingested.content.clone();
                self.free_content(&moved.record, Some(&new), &mut change);
                let (expect, writes) = ingested.commit_parts(&new.body_suffix());
                change.expects.extend(expect);
                change.writes.extend(writes);
                Some(ingested)
            }
        };
        change.happening = match Destination::arrival(&moved.record, &new) {
            None => None,
            Some((kind, to)) => settled.happening(|| Ok(Happening::to(kind, &new)?.towards(to)))?,
        };
        let value = encode(&new);
        let suffix = match &moved.older {
            Some((suffix, _)) => Some(suffix.clone()),
            None => {
                change.writes.push(Write::Put(RowRef::only(Table::Object), value.clone()));
                moved.current.version_suffix()
            }
        };
        change.writes.extend(suffix.map(|suffix| Write::Put(version_row(&suffix), value)));
        match self.commit_change(settled, key, change).await? {
            Ok(()) => {
                if let Some(ingested) = ingested {
                    ingested.referenced();
                }
                Ok(true)
            }
            Err(number) if number < of_key => Ok(false),
            Err(_) => Err(Error::StorageUnavailable),
        }
    }
}

/// Whose bytes go from where to where.
struct Way<'a> {
    bucket: &'a Bucket,
    group: &'a Bytes,
    from: &'a Tier,
    to: &'a Tier,
    pace: &'a MovePace,
}

impl Way<'_> {
    /// Whether bytes are where they belong, and written so. What a blob says does not
    /// tell one level of a codec from another: between tiers that differ in it alone,
    /// all is written anew.
    fn is_at_its_end(&self, content: &Option<Content>) -> bool {
        let is_written_anew =
            matches!(content, Some(Content::Blob(_))) && self.from.differs_in_level(self.to);
        self.to.holds(content) && !is_written_anew
    }
}
