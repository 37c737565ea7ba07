//! How writes change which version of a key is current, and what is kept.
//!
//! In a bucket that never had versioning a key has one row, its object. Elsewhere
//! each version has a row of its own besides, which stays where it is for the
//! version's life; the object row repeats the newest version's, unless that is a
//! delete marker, which the history row then names. An object from before the
//! bucket kept versions gets its version row when the first version is put on
//! top of it.
//!
//! Whatever makes another version the current one changes the object row or the
//! history row, so a commit that expects both as they were read loses against
//! every other.

use std::borrow::Cow;

use bytes::Bytes;

use super::Replacement;
use crate::bucket::{Bucket, Settled};
use crate::engine::{Expect, RowRef, ScanRange, Step, Table, Write};
use crate::error::{Error, Result};
use crate::events::{Cause, Happening, Told};
use crate::names::ObjectKey;
use crate::precondition::{Current, WriteConditions};
use crate::record::{Content, GarbageRecord, HistoryRecord, ObjectRecord, decode, encode};
use crate::store::{Store, unchanged};
use crate::version::{VersionId, VersionRef, Versioning};

/// The row of a key's current object and the record in it.
pub(crate) struct CurrentObject {
    pub row: Option<Bytes>,
    pub record: Option<ObjectRecord>,
    /// `None` in a bucket that never had versioning.
    pub history: Option<History>,
    /// There is a row that cannot be read, and so no record.
    pub unreadable: bool,
}

/// What is known of a key's versions together.
#[derive(Default)]
pub(crate) struct History {
    row: Option<Bytes>,
    pub record: HistoryRecord,
}

impl History {
    pub fn read(row: Option<Bytes>) -> Result<History> {
        let record = row.as_ref().map(|row| decode(row, "history record")).transpose()?;
        Ok(History { row, record: record.unwrap_or_default() })
    }

    /// The delete marker that is the current version.
    pub fn marker(&self) -> Result<Option<VersionRef>> {
        let (marker, null) = (&self.record.marker, &self.record.null_version);
        match marker.is_empty() {
            true => Ok(None),
            false => VersionRef::of(marker, marker == null).map(Some),
        }
    }

    fn becomes(&self, marker: Bytes, null_version: Bytes, write_id: Bytes) -> Option<Write> {
        let row = RowRef::only(Table::History);
        if marker == self.record.marker && null_version == self.record.null_version {
            return None;
        }
        if marker.is_empty() && null_version.is_empty() {
            return self.row.as_ref().map(|_| Write::Delete(row));
        }
        Some(Write::Put(row, encode(&HistoryRecord { write_id, marker, null_version })))
    }
}

/// A commit in the making.
#[derive(Default)]
pub(crate) struct Change {
    pub expects: Vec<Expect>,
    pub writes: Vec<Write>,
    /// Suffix of the garbage row among the writes.
    pub garbage: Option<Bytes>,
    /// What it does, if somebody may want to be told.
    pub happening: Option<Happening>,
}

/// What came of an attempt to make a record the current object.
pub(crate) enum Replaced {
    /// Done; the version has a name where versions are kept.
    Done(Option<VersionRef>),
    /// Another write of the key came first.
    Raced,
    /// One of the replacement's own expectations does not hold.
    Refused,
}

pub(crate) fn version_row(version: &Bytes) -> RowRef {
    RowRef { table: Table::Version, suffix: version.clone() }
}

/// Whether clients call the record's version `null`.
pub(crate) fn is_null(record: &ObjectRecord) -> bool {
    record.null_version || record.version.is_empty()
}

impl CurrentObject {
    pub fn judge(&self, conditions: &WriteConditions) -> Result<()> {
        if self.unreadable && !conditions.is_empty() {
            return Err(Error::Damaged("conditions on a row that cannot be read".into()));
        }
        judge(self.record.as_ref(), conditions)
    }

    /// A change that holds only while the key's current version is this one.
    pub fn unchanged(&self) -> Change {
        let mut expects = vec![unchanged(Table::Object, Bytes::new(), &self.row)];
        if let Some(history) = &self.history {
            expects.push(unchanged(Table::History, Bytes::new(), &history.row));
        }
        Change { expects, ..Change::default() }
    }

    /// Removes the body row that an object without versions may have had, unless
    /// what replaces it has it now.
    pub fn leave_no_body(&self, new: Option<&ObjectRecord>, change: &mut Change) {
        let content = new.and_then(|new| new.content.as_ref());
        if self.unreadable && !matches!(content, Some(Content::Inline(_))) {
            change.writes.push(Write::Delete(RowRef::only(Table::Body)));
        }
    }

    /// Whether the other was read from the same rows: then nothing had changed
    /// between the first reading and the second.
    pub fn is_same(&self, other: &CurrentObject) -> bool {
        let row = |current: &CurrentObject| current.history.as_ref().and_then(|h| h.row.clone());
        self.row == other.row && row(self) == row(other)
    }

    /// The newest version there is.
    fn latest(&self) -> Result<VersionId> {
        let of_object = self.record.as_ref().map(|record| &record.version);
        let of_marker = self.history.as_ref().map(|history| &history.record.marker);
        match of_object.or(of_marker).filter(|version| !version.is_empty()) {
            Some(version) => VersionId::from_stored(version),
            None => Ok(VersionId::OLDEST),
        }
    }

    /// The suffix of the current object's version row, if it has one.
    pub fn version_suffix(&self) -> Option<Bytes> {
        let record = self.record.as_ref()?;
        if !record.version.is_empty() {
            return Some(record.version.clone());
        }
        let oldest = VersionId::OLDEST.suffix();
        let history = self.history.as_ref()?;
        (history.record.null_version == oldest).then_some(oldest)
    }
}

pub(crate) fn judge(record: Option<&ObjectRecord>, conditions: &WriteConditions) -> Result<()> {
    if conditions.is_empty() {
        return Ok(());
    }
    let etag = record.map(ObjectRecord::etag_text).unwrap_or_default();
    conditions.judge(record.map(|record| Current {
        etag: &etag,
        modified_ms: record.modified_ms,
        size: record.size,
    }))
}

impl Store {
    pub(crate) async fn current_object(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
    ) -> Result<CurrentObject> {
        match self.object_to_replace(bucket, key).await? {
            current if current.unreadable => {
                Err(Error::Damaged("an object record cannot be read".into()))
            }
            current => Ok(current),
        }
    }

    /// The same for whoever puts something in its place or deletes it without
    /// looking at it: a row that cannot be read is no obstacle to that, unless the
    /// object may have been locked.
    pub(crate) async fn object_to_replace(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
    ) -> Result<CurrentObject> {
        let rows = [RowRef::only(Table::Object), RowRef::only(Table::History)];
        let has_versions = bucket.versioning().has_versions();
        let rows = if has_versions { &rows[..] } else { &rows[..1] };
        let found = self.engine.index().read(bucket.partition(), &key.group(), rows).await?;
        let mut found = found.into_iter();
        let row = found.next().flatten();
        let decoded = row.as_ref().map(|row| decode(row, "object record")).transpose();
        let history = match has_versions {
            true => Some(History::read(found.next().flatten())?),
            false => None,
        };
        let (record, unreadable) = match decoded {
            Ok(record) => (record, false),
            Err(error) => {
                tracing::error!(bucket = %bucket.name, %key, %error, "a row cannot be read");
                (self.made_out(bucket, key, error).await?, !has_versions)
            }
        };
        Ok(CurrentObject { row, record, history, unreadable })
    }

    /// What is known of an object whose row cannot be read. The row repeats that of
    /// the newest version, where there are versions. Elsewhere it is `None`, and the
    /// bytes that it named are nobody's from the moment it is replaced: the check of
    /// the store names them.
    async fn made_out(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        error: Error,
    ) -> Result<Option<ObjectRecord>> {
        if !bucket.versioning().has_versions() {
            return match bucket.settings().lock {
                None => Ok(None),
                Some(_) => Err(error),
            };
        }
        let newest = self.version_below(bucket, key, &Bytes::new()).await?;
        let Some((_, row)) = newest else { return Err(error) };
        let record: ObjectRecord = decode(&row, "version record")?;
        match record.delete_marker {
            true => Err(error),
            false => Ok(Some(record)),
        }
    }

    /// One attempt to make the replacement's record the current object, if that
    /// is still the one that was read.
    pub(crate) async fn replace_once(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        current: &CurrentObject,
        replacement: &Replacement<'_>,
    ) -> Result<Replaced> {
        settled.settings.check_acl(replacement.record.acl.as_ref())?;
        let mut change = current.unchanged();
        let mut record = Cow::Borrowed(&replacement.record);
        let version = match &current.history {
            None => {
                self.lock_new(&settled.settings, record.to_mut()).await?;
                let (old, new) = (current.record.as_ref(), Some(&*record));
                self.unreference(old, new, false, &mut change).await?;
                let row = RowRef::only(Table::Object);
                change.writes.push(Write::Put(row, encode(&*record)));
                current.leave_no_body(Some(&*record), &mut change);
                None
            }
            Some(history) => {
                let named =
                    self.name_version(settled.settings.versioning, current, record.to_mut())?;
                self.lock_new(&settled.settings, record.to_mut()).await?;
                let record = &*record;
                self.push_version(settled.bucket, key, current, history, record, &mut change)
                    .await?;
                Some(named)
            }
        };
        if let Some(body) = &replacement.body {
            let row = RowRef { table: Table::Body, suffix: record.body_suffix() };
            change.writes.push(Write::Put(row, body.clone()));
        }
        change.happening = settled.happening(|| Happening::to(replacement.kind, &record))?;
        let of_key = change.expects.len();
        change.expects.extend(replacement.expects.iter().cloned());
        change.writes.extend(replacement.writes.iter().cloned());
        Ok(match self.commit_change(settled, key, change).await? {
            Ok(()) => Replaced::Done(version),
            Err(number) if number < of_key => Replaced::Raced,
            Err(_) => Replaced::Refused,
        })
    }

    /// Puts a delete marker on top of the versions, if the current one is still
    /// the one that was read. `None` if it is not.
    pub(crate) async fn mark_deleted_once(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        current: &CurrentObject,
        history: &History,
        cause: Cause,
    ) -> Result<Option<VersionRef>> {
        let mut marker = ObjectRecord {
            write_id: self.fresh_id(),
            modified_ms: self.now_ms(),
            delete_marker: true,
            counted: true,
            ..Default::default()
        };
        let version = self.name_version(settled.settings.versioning, current, &mut marker)?;
        let mut change = current.unchanged();
        self.push_version(settled.bucket, key, current, history, &marker, &mut change).await?;
        change.happening = settled.happening(|| Happening::marker(cause.marked(), &marker))?;
        let committed = self.commit_change(settled, key, change).await?;
        Ok(committed.ok().map(|()| version))
    }

    /// Gives a new version its id.
    fn name_version(
        &self,
        versioning: Versioning,
        current: &CurrentObject,
        record: &mut ObjectRecord,
    ) -> Result<VersionRef> {
        let id = VersionId::after(current.latest()?, self.now_ms(), &*self.entropy);
        record.version = id.suffix();
        record.null_version = versioning == Versioning::Suspended;
        VersionRef::of(&record.version, record.null_version)
    }

    /// What puts a version on top of the others. A `null` version takes the place
    /// of the one before it.
    async fn push_version(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        current: &CurrentObject,
        history: &History,
        record: &ObjectRecord,
        change: &mut Change,
    ) -> Result<()> {
        let mut null_version = history.record.null_version.clone();
        if record.null_version {
            self.remove_null(bucket, key, current, history, Some(record), change).await?;
            null_version = record.version.clone();
        } else if let (Some(old), Some(row)) = (&current.record, &current.row)
            && old.version.is_empty()
            && null_version.is_empty()
        {
            null_version = VersionId::OLDEST.suffix();
            change.writes.push(Write::Put(version_row(&null_version), row.clone()));
        }
        let value = encode(record);
        change.writes.push(Write::Put(version_row(&record.version), value.clone()));
        let object = RowRef::only(Table::Object);
        let mut marker = Bytes::new();
        match record.delete_marker {
            false => change.writes.push(Write::Put(object, value)),
            true => {
                marker = record.version.clone();
                if current.row.is_some() {
                    change.writes.push(Write::Delete(object));
                }
            }
        }
        change.writes.extend(history.becomes(marker, null_version, self.fresh_id()));
        Ok(())
    }

    /// Frees the `null` version for `new` to take its place.
    async fn remove_null(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        current: &CurrentObject,
        history: &History,
        new: Option<&ObjectRecord>,
        change: &mut Change,
    ) -> Result<()> {
        let null_version = &history.record.null_version;
        if !null_version.is_empty() {
            change.writes.push(Write::Delete(version_row(null_version)));
        }
        if let Some(old) = current.record.as_ref().filter(|record| is_null(record)) {
            self.unreference(Some(old), new, false, change).await?;
        } else if !null_version.is_empty() {
            let row = version_row(null_version);
            let value = self.read_row(bucket.partition(), &key.group(), row.clone()).await?;
            match value {
                Some(value) => {
                    let old: ObjectRecord = decode(&value, "version record")?;
                    self.unreference(Some(&old), new, false, change).await?;
                    change.expects.push(Expect::Equals(row, value));
                }
                // Gone since the history was read, or missing: the commit tells.
                None => change.expects.push(Expect::Present(row)),
            }
        }
        Ok(())
    }

    /// The newest version but the current one.
    pub(crate) async fn version_below(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: &Bytes,
    ) -> Result<Option<(Bytes, Bytes)>> {
        let found = std::sync::Arc::new(parking_lot::Mutex::new(None));
        let visit = {
            let found = found.clone();
            move |_: &[u8], suffix: &[u8], value: &[u8]| {
                let row = (Bytes::copy_from_slice(suffix), Bytes::copy_from_slice(value));
                *found.lock() = Some(row);
                Step::Stop
            }
        };
        let mut start = version.to_vec();
        start.push(0);
        let range = ScanRange { start_suffix: start.into(), ..ScanRange::group(key.group()) };
        let partition = bucket.partition();
        self.engine.index().scan(partition, Table::Version, range, Box::new(visit)).await?;
        Ok(found.lock().take())
    }

    /// Removes one version for good, if it and the current version are still the
    /// ones that were read. Whether they were.
    pub(crate) async fn remove_version_once(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        current: &CurrentObject,
        history: &History,
        target: &StoredVersion,
        (bypass_governance, cause): (bool, Cause),
    ) -> Result<bool> {
        let mut change = current.unchanged();
        let old = &target.record;
        change.happening = settled.happening(|| Happening::without(cause.removed(), old))?;
        let null_version = match target.suffix == history.record.null_version {
            true => Bytes::new(),
            false => history.record.null_version.clone(),
        };
        let mut marker = history.record.marker.clone();
        if let Some(value) = &target.row {
            let row = version_row(&target.suffix);
            change.expects.push(Expect::Equals(row.clone(), value.clone()));
            change.writes.push(Write::Delete(row));
        }
        let old = Some(&target.record);
        self.unreference(old, None, bypass_governance, &mut change).await?;
        let is_current = match target.record.delete_marker {
            true => target.suffix == marker,
            false => current.record.as_ref().is_some_and(|r| r.write_id == target.record.write_id),
        };
        if is_current {
            marker = Bytes::new();
            let object = RowRef::only(Table::Object);
            match self.version_below(settled.bucket, key, &target.suffix).await? {
                Some((suffix, value)) => {
                    change.expects.push(Expect::Equals(version_row(&suffix), value.clone()));
                    match decode::<ObjectRecord>(&value, "version record")?.delete_marker {
                        true => {
                            marker = suffix;
                            change.writes.push(Write::Delete(object));
                        }
                        false => change.writes.push(Write::Put(object, value)),
                    }
                }
                None => change.writes.push(Write::Delete(object)),
            }
        }
        change.writes.extend(history.becomes(marker, null_version, self.fresh_id()));
        Ok(self.commit_change(settled, key, change).await?.is_ok())
    }

    /// The current version as it was read, and a version as it is stored now.
    pub(crate) async fn named_version(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: VersionRef,
    ) -> Result<(CurrentObject, Option<StoredVersion>)> {
        let mut current = self.current_object(bucket, key).await?;
        loop {
            let found = self.stored_version(bucket, key, &current, version).await?;
            if found.is_some() || matches!(version, VersionRef::Id(_)) {
                return Ok((current, found));
            }
            // The object row may be newer than the history row beside it, and the
            // null version have left the one for the other. What two readings
            // agree on was there between them.
            let again = self.current_object(bucket, key).await?;
            if again.is_same(&current) {
                return Ok((current, None));
            }
            current = again;
        }
    }

    /// `Ok(None)`: there is no such version.
    async fn stored_version(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        current: &CurrentObject,
        version: VersionRef,
    ) -> Result<Option<StoredVersion>> {
        let suffix = match version {
            VersionRef::Id(id) => id.suffix(),
            VersionRef::Null => match (&current.record, &current.history) {
                (Some(record), _) if is_null(record) => {
                    let suffix = current.version_suffix();
                    let row = suffix.as_ref().and(current.row.clone());
                    let suffix = suffix.unwrap_or_else(|| VersionId::OLDEST.suffix());
                    return Ok(Some(StoredVersion { suffix, row, record: record.clone() }));
                }
                (_, Some(history)) if !history.record.null_version.is_empty() => {
                    history.record.null_version.clone()
                }
                _ => return Ok(None),
            },
        };
        let row = self.read_row(bucket.partition(), &key.group(), version_row(&suffix)).await?;
        let Some(row) = row else { return Ok(None) };
        let record: ObjectRecord = decode(&row, "version record")?;
        // The id of a null version is nobody's name for it.
        if is_null(&record) != (version == VersionRef::Null) {
            return Ok(None);
        }
        Ok(Some(StoredVersion { suffix, row: Some(row), record }))
    }

    pub(crate) async fn commit_change(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        change: Change,
    ) -> Result<Result<(), usize>> {
        let group = key.group();
        let Change { expects, writes, garbage, happening } = change;
        let told = match happening {
            None => Told::Nothing,
            Some(happening) => self.event_of(settled, key, happening).await?,
        };
        let committed = match told {
            Told::Nothing => self.try_commit_by(settled, &group, expects, writes).await?,
            Told::Event(event) => {
                let change = (expects, writes);
                self.commit_with_event(settled, &group, change, *event).await?
            }
            // As if that commit had failed: whoever makes it decides anew.
            Told::Superseded => Err(0),
        };
        if let (Ok(()), Some(suffix)) = (committed, garbage) {
            self.collect_garbage(settled.bucket.partition(), &group, suffix);
        }
        Ok(committed)
    }

    /// Frees an old version's content in the commit that puts `new` in its place,
    /// or nothing, unless the old one is locked. What the new one keeps is left
    /// alone.
    pub(crate) async fn unreference(
        &self,
        old: Option<&ObjectRecord>,
        new: Option<&ObjectRecord>,
        bypass_governance: bool,
        change: &mut Change,
    ) -> Result<()> {
        if let Some(old) = old {
            self.check_unlocked(old, bypass_governance).await?;
            self.free_content(old, new, change);
        }
        Ok(())
    }

    /// The same for a version that stays, with the same bytes elsewhere: a lock is no
    /// obstacle.
    pub(super) fn free_content(
        &self,
        old: &ObjectRecord,
        new: Option<&ObjectRecord>,
        change: &mut Change,
    ) {
        let Some(content) = &old.content else { return };
        let mut garbage = GarbageRecord { queued_ms: self.now_ms(), ..Default::default() };
        match (content, new.and_then(|new| new.content.as_ref())) {
            (Content::Inline(_), new_content) => {
                let suffix = old.body_suffix();
                // A new inline body overwrites the old one where it has its place.
                let overwritten = matches!(new_content, Some(Content::Inline(_)))
                    && new.is_some_and(|new| new.body_suffix() == suffix);
                if !overwritten {
                    let row = RowRef { table: Table::Body, suffix };
                    change.writes.push(Write::Delete(row));
                }
                return;
            }
            (Content::Blob(old), Some(Content::Blob(new))) if old == new => return,
            (Content::Blob(blob), _) => garbage.blobs.push(blob.clone()),
            (Content::Parts(old), Some(Content::Parts(new))) if old.set == new.set => return,
            (Content::Parts(parts), _) => garbage.part_set = parts.set.clone(),
            (Content::Link(_), _) => return,
        }
        let (write, suffix) = self.garbage_row(&garbage);
        change.writes.push(write);
        change.garbage = Some(suffix);
    }

    pub(crate) fn garbage_row(&self, garbage: &GarbageRecord) -> (Write, Bytes) {
        let suffix = self.fresh_id();
        let row = RowRef { table: Table::Garbage, suffix: suffix.clone() };
        (Write::Put(row, encode(garbage)), suffix)
    }
}

/// One version and the row that holds it.
pub(crate) struct StoredVersion {
    pub suffix: Bytes,
    /// `None` for an object from before the bucket kept versions: it has only its
    /// object row.
    pub row: Option<Bytes>,
    pub record: ObjectRecord,
}

impl StoredVersion {
    /// The version as an object.
    pub fn object(&self, version: VersionRef) -> Result<&ObjectRecord> {
        match self.record.delete_marker {
            false => Ok(&self.record),
            true => Err(Error::VersionIsMarker { version, modified_ms: self.record.modified_ms }),
        }
    }
}
