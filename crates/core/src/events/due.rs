//! What happens to objects by the clock alone: restores are done, and what they made
//! readable expires. No work is done for either, so nothing commits when it happens.
//!
//! Where somebody may want to be told, the commit that begins a restore leaves a row
//! ([`DueRecord`]) beside the object, one for each version. When its time has come, the
//! object is looked at, and if it still is what the row tells of, a commit queues the
//! event and moves the row on to the next moment, or removes it. So whatever became of the
//! object since need not know of the row: it tells of nothing then. Rows are found as
//! [`super::due_job`] says.

use std::collections::BTreeSet;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;

use super::occasion::unasked;
use super::{EventKind, Happening};
use crate::bucket::{Bucket, Settled};
use crate::engine::{BucketId, Expect, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::names::{BucketName, ObjectKey};
use crate::object::{Change, ToChange};
use crate::record::{ObjectRecord, RestoreRecord, decode, encode};
use crate::scan::{behind, rows};
use crate::store::Store;
use crate::version::{VersionId, VersionRef};

/// Keys whose moments are remembered, at most: those that come first.
const KEYS_MAX: usize = 1 << 14;
/// Versions of a key whose rows are read at once.
const VERSIONS_AT_ONCE: usize = 64;

/// When a version is to be looked at, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DueRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(uint64, tag = "2")]
    pub due_ms: u64,
    /// Of the version: another one may get its name.
    #[prost(uint64, tag = "3")]
    pub modified_ms: u64,
    /// It was told that the restore is done.
    #[prost(bool, tag = "4")]
    pub is_done: bool,
    /// The restore has no end. What it has brought back says nothing of it any more.
    #[prost(bool, tag = "5")]
    pub for_good: bool,
}

impl DueRecord {
    /// Of a restore that was begun, or goes on for longer.
    pub(crate) fn of(
        record: &ObjectRecord,
        restore: &RestoreRecord,
        is_done: bool,
        write_id: Bytes,
    ) -> DueRecord {
        DueRecord {
            write_id,
            due_ms: if is_done { restore.until_ms } else { restore.ready_ms },
            modified_ms: record.modified_ms,
            is_done,
            for_good: restore.until_ms == 0,
        }
    }

    /// What is to be told now of the version as it is, and when there will be more.
    fn step(&self, record: Option<&ObjectRecord>, now_ms: u64) -> Step {
        let none = Step { kind: None, next: None };
        let Some(record) = record.filter(|record| record.modified_ms == self.modified_ms) else {
            return none;
        };
        let Some(restore) = &record.restore else {
            let is_back = self.for_good && !self.is_done;
            return Step { kind: is_back.then_some(EventKind::RestoreDone), next: None };
        };
        let at = |due_ms, is_done| Some(DueRecord { due_ms, is_done, ..self.clone() });
        if now_ms < restore.ready_ms {
            return Step { kind: None, next: at(restore.ready_ms, false) };
        }
        if !self.is_done {
            let next = at(restore.until_ms, true).filter(|_| restore.until_ms > 0);
            return Step { kind: Some(EventKind::RestoreDone), next };
        }
        match now_ms < restore.until_ms {
            true => Step { kind: None, next: at(restore.until_ms, true) },
            false if restore.until_ms == 0 => none,
            false => Step { kind: Some(EventKind::RestoreExpired), next: None },
        }
    }
}

struct Step {
    kind: Option<EventKind>,
    next: Option<DueRecord>,
}

/// The row of a version.
pub(crate) fn due_row(version: VersionRef) -> RowRef {
    let suffix = match version {
        VersionRef::Null => Bytes::new(),
        VersionRef::Id(id) => id.suffix(),
    };
    RowRef { table: Table::Due, suffix }
}

fn version_of(suffix: &[u8]) -> Result<VersionRef> {
    match suffix.is_empty() {
        true => Ok(VersionRef::Null),
        false => VersionId::from_stored(suffix).map(VersionRef::Id),
    }
}

/// Fails for a row that cannot be read.
pub(crate) fn check_due_row(suffix: &[u8], value: &[u8]) -> Result<()> {
    version_of(suffix)?;
    decode::<DueRecord>(value, "due record").map(|_| ())
}

/// A key with such rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DuePlace {
    pub id: BucketId,
    pub group: Bytes,
    pub bucket: BucketName,
}

impl DuePlace {
    pub fn of(bucket: &Bucket, key: &ObjectKey) -> DuePlace {
        DuePlace { id: bucket.id, group: key.group(), bucket: bucket.name.clone() }
    }
}

/// What this process knows of keys that are due soon. All of it may be lost: the rows are
/// found by a look at all of them.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    soon: Mutex<Soon>,
    pub wake: Notify,
}

#[derive(Debug, Default)]
struct Soon {
    keys: BTreeSet<(u64, DuePlace)>,
    /// When the first is due that found no room here.
    left_out_ms: Option<u64>,
}

impl Dues {
    /// A key is due then.
    pub fn note(&self, due_ms: u64, place: DuePlace) {
        let mut soon = self.soon.lock();
        soon.keys.insert((due_ms, place));
        if soon.keys.len() > KEYS_MAX
            && let Some((due_ms, _)) = soon.keys.pop_last()
        {
            soon.left_out_ms = Some(soon.left_out_ms.map_or(due_ms, |first| first.min(due_ms)));
        }
        drop(soon);
        self.wake.notify_one();
    }

    /// A key that is due.
    pub fn take(&self, now_ms: u64) -> Option<DuePlace> {
        let mut soon = self.soon.lock();
        let is_due = soon.keys.first().is_some_and(|(due_ms, _)| *due_ms <= now_ms);
        if is_due { soon.keys.pop_first().map(|(_, place)| place) } else { None }
    }

    /// Whether one may be due that is not remembered; asked just before a look at all.
    pub fn take_left_out(&self, now_ms: u64) -> bool {
        self.soon.lock().left_out_ms.take_if(|first| *first <= now_ms).is_some()
    }

    /// When the next is due that is known of.
    pub fn next_ms(&self) -> Option<u64> {
        let soon = self.soon.lock();
        let first = soon.keys.first().map(|(due_ms, _)| *due_ms);
        first.into_iter().chain(soon.left_out_ms).min()
    }
}

impl Store {
    /// Queues what is due of a key. When there will be more.
    pub(crate) async fn tell_due(&self, bucket: &Bucket, key: &ObjectKey) -> Result<Option<u64>> {
        let mut next_ms: Option<u64> = None;
        let mut range = ScanRange::group(key.group());
        loop {
            let (engine, partition) = (&*self.engine, bucket.partition());
            let page = rows(engine, partition, Table::Due, range.clone(), VERSIONS_AT_ONCE).await?;
            let Some(next) = behind(&page) else { return Ok(next_ms) };
            range = ScanRange { end_group: range.end_group, ..next };
            for row in page {
                let version = version_of(&row.suffix)?;
                // Nobody asks for it when it happens.
                let due_ms = unasked(self.tell_due_version(bucket, key, version)).await?;
                next_ms = next_ms.into_iter().chain(due_ms).min();
            }
        }
    }

    async fn tell_due_version(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: VersionRef,
    ) -> Result<Option<u64>> {
        loop {
            let settled = self.settled(bucket).await?;
            let row = due_row(version);
            let old = self.read_row(bucket.partition(), &key.group(), row.clone()).await?;
            let Some(old) = old else { return Ok(None) };
            let due: DueRecord = decode(&old, "due record")?;
            let now_ms = self.now_ms();
            if now_ms < due.due_ms {
                return Ok(Some(due.due_ms));
            }
            let found = match self.find_to_change(&settled, key, Some(version)).await {
                Ok(found) => Some(found),
                Err(Error::NoSuchKey | Error::NoSuchVersion) => None,
                Err(Error::VersionIsMarker { .. }) => None,
                Err(error) => return Err(error),
            };
            let step = due.step(found.as_ref().map(|found| &found.record), now_ms);
            let next_ms = step.next.as_ref().map(|next| next.due_ms);
            let change = self.due_change(&settled, row, old, found, step)?;
            if self.commit_change(&settled, key, change).await?.is_ok()
                && next_ms.is_none_or(|next_ms| now_ms < next_ms)
            {
                return Ok(next_ms);
            }
        }
    }

    fn due_change(
        &self,
        settled: &Settled<'_>,
        row: RowRef,
        old: Bytes,
        found: Option<ToChange>,
        step: Step,
    ) -> Result<Change> {
        let mut change = Change::default();
        if let Some(found) = found {
            change = found.commit;
            if let Some(kind) = step.kind {
                change.happening = settled.happening(|| Happening::restore(kind, &found.record))?;
            }
        }
        change.expects.push(Expect::Equals(row.clone(), old));
        change.writes.push(match step.next {
            Some(next) => Write::Put(row, encode(&DueRecord { write_id: self.fresh_id(), ..next })),
            None => Write::Delete(row),
        });
        Ok(change)
    }
}
