//! Events on their way into the queue: rows of the key's group.
//!
//! A key's events are numbered. The number of the last stands in a row beside them, which
//! every commit that adds one expects as it was read: so numbers grow in the order of the
//! commits, whoever makes them. A first number is the time. Where one process serves, the
//! row goes with the last event; where several do, whose clocks differ, it stays for a
//! while behind it.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{EventKind, EventRecord, Occasion, QueueHead};
use crate::bucket::Settled;
use crate::engine::{Expect, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::names::ObjectKey;
use crate::record::{Metadata, ObjectRecord, decode, encode};
use crate::store::{Store, unchanged};
use crate::version::VersionRef;

/// The suffix of the row with the last number.
pub(super) const QUEUE_HEAD: &[u8] = &[];

/// Behind the milliseconds of a first number.
const SEQUENCE_BITS: u32 = 16;

/// The ETag that S3 gives to delete markers: that of nothing.
const MARKER_ETAG: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// On whose account something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Request,
    Lifecycle,
}

impl Cause {
    pub fn removed(self) -> EventKind {
        match self {
            Cause::Request => EventKind::Removed,
            Cause::Lifecycle => EventKind::Expired,
        }
    }

    pub fn marked(self) -> EventKind {
        match self {
            Cause::Request => EventKind::Marked,
            Cause::Lifecycle => EventKind::ExpiredMarked,
        }
    }
}

/// What a commit does to an object, as far as somebody may want to be told.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    kind: EventKind,
    size: Option<u64>,
    etag: String,
    version: String,
    destination: String,
    until_ms: u64,
    metadata: Option<Metadata>,
}

impl Happening {
    /// `record` is what is there afterwards.
    pub fn to(kind: EventKind, record: &ObjectRecord) -> Result<Happening> {
        Ok(Happening {
            size: Some(record.size),
            etag: record.etag_text(),
            metadata: record.metadata.clone(),
            ..Happening::without(kind, record)?
        })
    }

    /// A delete marker was made.
    pub fn marker(kind: EventKind, marker: &ObjectRecord) -> Result<Happening> {
        Ok(Happening { etag: MARKER_ETAG.into(), ..Happening::without(kind, marker)? })
    }

    /// `record` was there before and is gone.
    pub fn without(kind: EventKind, record: &ObjectRecord) -> Result<Happening> {
        let version = match VersionRef::of(&record.version, record.null_version)? {
            VersionRef::Null => String::new(),
            version => version.to_string(),
        };
        let (size, etag, destination, until_ms, metadata) = Default::default();
        Ok(Happening { kind, size, etag, version, destination, until_ms, metadata })
    }

    /// What was archived is readable, or no longer.
    pub fn restore(kind: EventKind, record: &ObjectRecord) -> Result<Happening> {
        let until_ms = record.restore.as_ref().map_or(0, |restore| restore.until_ms);
        let happening = Happening::to(kind, record)?.towards(&record.storage_class);
        Ok(Happening { until_ms, ..happening })
    }

    /// Where it lies afterwards.
    pub fn towards(self, destination: &str) -> Happening {
        Happening { destination: destination.to_owned(), ..self }
    }
}

/// An event's row.
pub(super) fn event_row(sequence: u64) -> RowRef {
    RowRef { table: Table::Event, suffix: Bytes::copy_from_slice(&sequence.to_be_bytes()) }
}

/// `None` for the row with the last number.
pub(super) fn sequence_of(suffix: &[u8]) -> Result<Option<u64>> {
    if suffix == QUEUE_HEAD {
        return Ok(None);
    }
    let bytes = suffix.try_into().map_err(|_| Error::Damaged("an event's number".into()))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

/// When a number was the first.
pub(super) fn began_ms(sequence: u64) -> u64 {
    sequence >> SEQUENCE_BITS
}

/// The number of an event whose row can be read; `None` for the row with the last number.
pub(crate) fn check_row(suffix: &[u8], value: &[u8]) -> Result<Option<u64>> {
    let sequence = sequence_of(suffix)?;
    match sequence {
        None => decode::<QueueHead>(value, "queue head").map(|_| None),
        Some(_) => match decode::<EventRecord>(value, "event")?.kind() {
            Some(_) => Ok(sequence),
            None => Err(Error::Damaged("an event of no kind".into())),
        },
    }
}

/// What is to be told of a commit.
pub(crate) enum Told {
    Nothing,
    Event(Box<EventRecord>),
    /// The settings that it was decided by are not in force any more.
    Superseded,
}

impl Store {
    /// The event that a commit makes, if its bucket wants it told.
    pub(crate) fn event_of<'a>(
        &'a self,
        settled: &'a Settled<'_>,
        key: &'a ObjectKey,
        happening: Happening,
    ) -> BoxFuture<'a, Result<Told>> {
        // Most commits need no room for it.
        Box::pin(self.find_event(settled, key, happening))
    }

    async fn find_event(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        happening: Happening,
    ) -> Result<Told> {
        let bucket = settled.bucket;
        let Some(notification) = self.notification_by(bucket, &settled.settings).await? else {
            self.buckets.forget(bucket.partition());
            return Ok(Told::Superseded);
        };
        let occasion = Occasion::now();
        let kind = match happening.kind {
            EventKind::Put if occasion.as_ref().is_some_and(|it| it.is_form) => EventKind::Post,
            kind => kind,
        };
        let Some(rule) = notification.rule(kind, key.as_str()) else { return Ok(Told::Nothing) };
        let metadata = happening.metadata;
        let metadata = metadata.filter(|_| self.options.courier.wants_metadata(&rule.target));
        let by_server = occasion.is_none();
        let occasion = occasion.as_deref().cloned().unwrap_or_default();
        Ok(Told::Event(Box::new(EventRecord {
            kind: kind as u32,
            at_ms: self.now_ms(),
            target: rule.target.clone(),
            rule_id: rule.id.clone(),
            bucket: bucket.name.as_str().to_owned(),
            owner_uin: bucket.owner_uin,
            region: bucket.region.clone(),
            size: happening.size,
            etag: happening.etag,
            version: happening.version,
            principal: occasion.principal,
            by_server,
            source_ip: occasion.source_ip,
            request_id: occasion.request_id,
            second_id: occasion.second_id,
            destination: happening.destination,
            metadata,
            until_ms: happening.until_ms,
        })))
    }

    /// Commits with an event, as [`Store::try_commit_by`] does without.
    pub(crate) fn commit_with_event<'a>(
        &'a self,
        settled: &'a Settled<'_>,
        group: &'a Bytes,
        (expects, writes): (Vec<Expect>, Vec<Write>),
        event: EventRecord,
    ) -> BoxFuture<'a, Result<Result<(), usize>>> {
        Box::pin(self.commit_and_queue(settled, group, expects, writes, event))
    }

    async fn commit_and_queue(
        &self,
        settled: &Settled<'_>,
        group: &Bytes,
        expects: Vec<Expect>,
        writes: Vec<Write>,
        event: EventRecord,
    ) -> Result<Result<(), usize>> {
        let bucket = settled.bucket;
        let value = encode(&event);
        loop {
            let row = RowRef { table: Table::Event, suffix: Bytes::from_static(QUEUE_HEAD) };
            let old = self.read_row(bucket.partition(), group, row.clone()).await?;
            let last = match &old {
                Some(old) => decode::<QueueHead>(old, "queue head")?.last,
                None => 0,
            };
            let sequence = self.lanes.sequence(self.now_ms() << SEQUENCE_BITS).max(last + 1);
            let (mut expects, mut writes) = (expects.clone(), writes.clone());
            let of_caller = expects.len();
            expects.push(unchanged(Table::Event, row.suffix.clone(), &old));
            writes.push(Write::Put(row, encode(&QueueHead { last: sequence })));
            expects.push(Expect::Absent(event_row(sequence)));
            writes.push(Write::Put(event_row(sequence), value.clone()));
            match self.try_commit_by(settled, group, expects, writes).await? {
                // Another event of the key was added or delivered meanwhile.
                Err(number) if number >= of_caller => continue,
                Ok(()) => {
                    self.lanes.queued(&event.target, bucket.id, group, event.at_ms);
                    return Ok(Ok(()));
                }
                Err(number) => return Ok(Err(number)),
            }
        }
    }
}
