//! Ending what is due.
//!
//! Whatever a walk has found is looked at again: the rules, the thing and its
//! place are read, judged, and ended by a commit that holds only if they are still
//! what was judged. So nothing goes that was changed since, and nothing after the
//! rules were taken back.

use std::sync::Arc;

use bytes::Bytes;

use super::calendar::Calendar;
use super::fate::{Facts, Noncurrent};
use super::rules::Lifecycle;
use super::sinking::Older;
use crate::bucket::{Bucket, BucketSettings};
use crate::engine::Expect;
use crate::error::{Error, Result};
use crate::events::Cause;
use crate::names::{ObjectKey, UploadId};
use crate::object::{Change, History, MovePace, StoredVersion, version_row};
use crate::record::{AccessRecord, ObjectRecord, decode};
use crate::store::Store;
use crate::tiering::{AccessTier, TieringLaw};
use crate::upload::upload_row;

/// They respect locks.
const BY_RULES: (bool, Cause) = (false, Cause::Lifecycle);

/// Something that a walk has found to be due.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// The current object of a key.
    Object(ObjectKey),
    /// A version that is not the current one, as its row was read.
    Version {
        key: ObjectKey,
        suffix: Bytes,
        row: Bytes,
        place: Noncurrent,
    },
    /// A current object, or a version that is not the current one, that another class
    /// or access tier waits for.
    Sinking(ObjectKey, Option<Older>),
    /// A key whose current version is a delete marker.
    Marker(ObjectKey),
    Upload(ObjectKey, UploadId),
}

/// What was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// An object is gone for good.
    Deleted {
        bytes: u64,
    },
    /// A delete marker is now the current version.
    Marked,
    /// A version is gone for good.
    VersionRemoved {
        bytes: u64,
    },
    MarkerRemoved,
    Aborted,
    /// An object or a version has another class.
    Moved {
        bytes: u64,
    },
    /// One is in another access tier.
    Settled {
        tier: AccessTier,
        bytes: u64,
    },
}

/// The rules in force, for the length of a commit.
pub(super) struct InForce {
    pub rules: Arc<Lifecycle>,
    pub calendar: Calendar,
    pub tiering: Option<TieringLaw>,
    pub now_ms: u64,
}

impl Store {
    /// Ends something, if it is still due. `None`: it is not, or it is locked and
    /// has to wait.
    pub(super) async fn end(
        self: &Arc<Self>,
        bucket: &Bucket,
        found: &Found,
        pace: &MovePace,
    ) -> Result<Option<Ended>> {
        let ended = match found {
            Found::Object(key) => self.expire(bucket, key).await,
            Found::Version { key, suffix, row, place } => {
                self.remove_noncurrent(bucket, key, suffix, row, *place).await
            }
            Found::Sinking(key, older) => self.sink(bucket, key, older.as_ref(), pace).await,
            Found::Marker(key) => self.remove_lone_marker(bucket, key).await,
            Found::Upload(key, id) => self.abort_if_due(bucket, key, *id).await,
        };
        match ended {
            Err(Error::Locked) => Ok(None),
            ended => ended,
        }
    }

    pub(super) async fn in_force(
        &self,
        bucket: &Bucket,
        settings: &BucketSettings,
    ) -> Result<Option<InForce>> {
        let rules = self.rules_by(bucket, settings).await?;
        let tiering = self.tiering_law(bucket, settings).await?;
        if rules.is_none() && tiering.is_none() {
            return Ok(None);
        }
        let rules = rules.unwrap_or_default();
        let calendar = rules.calendar(self.options.day_ms);
        Ok(Some(InForce { rules, calendar, tiering, now_ms: self.now_ms() }))
    }

    async fn expire(&self, bucket: &Bucket, key: &ObjectKey) -> Result<Option<Ended>> {
        loop {
            let settled = self.settled(bucket).await?;
            let Some(law) = self.in_force(bucket, &settled.settings).await? else {
                return Ok(None);
            };
            let current = self.current_object(bucket, key).await?;
            let Some(record) = &current.record else { return Ok(None) };
            let facts = Facts::of(key.as_str().as_bytes(), record);
            let fate = law.rules.expiration(&law.calendar, &facts);
            if fate.is_none_or(|fate| fate.at_ms > law.now_ms) {
                return Ok(None);
            }
            match &current.history {
                None => {
                    if self.delete_once(&settled, key, &current, BY_RULES).await? {
                        return Ok(Some(Ended::Deleted { bytes: record.size }));
                    }
                }
                Some(history) => {
                    let cause = Cause::Lifecycle;
                    let marked =
                        self.mark_deleted_once(&settled, key, &current, history, cause).await?;
                    if marked.is_some() {
                        return Ok(Some(Ended::Marked));
                    }
                }
            }
        }
    }

    async fn remove_noncurrent(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        suffix: &Bytes,
        seen: &Bytes,
        place: Noncurrent,
    ) -> Result<Option<Ended>> {
        let record: ObjectRecord = decode(seen, "version record")?;
        loop {
            let settled = self.settled(bucket).await?;
            let Some(law) = self.in_force(bucket, &settled.settings).await? else {
                return Ok(None);
            };
            let facts = Facts::of(key.as_str().as_bytes(), &record);
            let fate = law.rules.noncurrent_removal(&law.calendar, &facts, place);
            if fate.is_none_or(|fate| fate.at_ms > law.now_ms) {
                return Ok(None);
            }
            let current = self.current_object(bucket, key).await?;
            let Some(history) = &current.history else { return Ok(None) };
            if current.version_suffix().as_ref() == Some(suffix) || history.record.marker == *suffix
            {
                // Those that were newer are gone.
                return Ok(None);
            }
            let row = self.read_row(bucket.partition(), &key.group(), version_row(suffix)).await?;
            if row.as_ref() != Some(seen) {
                return Ok(None);
            }
            let target = StoredVersion { suffix: suffix.clone(), row, record: record.clone() };
            let removed =
                self.remove_version_once(&settled, key, &current, history, &target, BY_RULES);
            if removed.await? {
                return Ok(Some(Ended::VersionRemoved { bytes: record.size }));
            }
        }
    }

    async fn remove_lone_marker(&self, bucket: &Bucket, key: &ObjectKey) -> Result<Option<Ended>> {
        loop {
            let settled = self.settled(bucket).await?;
            let Some(law) = self.in_force(bucket, &settled.settings).await? else {
                return Ok(None);
            };
            let current = self.current_object(bucket, key).await?;
            let Some(history) = &current.history else { return Ok(None) };
            let Some(marker) = self.lone_marker(bucket, key, history).await? else {
                return Ok(None);
            };
            if !law.removes_marker(key, &marker.record) {
                return Ok(None);
            }
            // Versions are only ever put on top, and this commit fails if one was.
            let removed =
                self.remove_version_once(&settled, key, &current, history, &marker, BY_RULES);
            if removed.await? {
                return Ok(Some(Ended::MarkerRemoved));
            }
        }
    }

    /// The delete marker that is the current version and has nothing below.
    async fn lone_marker(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        history: &History,
    ) -> Result<Option<StoredVersion>> {
        let suffix = history.record.marker.clone();
        if suffix.is_empty() {
            return Ok(None);
        }
        let row = self.read_row(bucket.partition(), &key.group(), version_row(&suffix)).await?;
        // Without its row it was replaced just now.
        let Some(row) = row else { return Ok(None) };
        if self.version_below(bucket, key, &suffix).await?.is_some() {
            return Ok(None);
        }
        let record = decode(&row, "version record")?;
        Ok(Some(StoredVersion { suffix, row: Some(row), record }))
    }

    async fn abort_if_due(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<Option<Ended>> {
        loop {
            // Whether or not a completion has begun when the rules say so, it has
            // all the time that completions take.
            let upload = match self.settled_upload(bucket, key, id).await {
                Err(Error::NoSuchUpload) => return Ok(None),
                found => found?,
            };
            let settled = self.settled(bucket).await?;
            let Some(law) = self.in_force(bucket, &settled.settings).await? else {
                return Ok(None);
            };
            let initiated = upload.record.initiated_ms;
            let fate = law.rules.abortion(&law.calendar, key.as_str().as_bytes(), initiated);
            if fate.is_none_or(|fate| fate.at_ms > law.now_ms) {
                return Ok(None);
            }
            let (writes, garbage) = self.abortion_of(id);
            let expects = vec![Expect::Equals(upload_row(id), upload.row)];
            let garbage = Some(garbage);
            let change = Change { expects, writes, garbage, ..Change::default() };
            if self.commit_change(&settled, key, change).await?.is_ok() {
                return Ok(Some(Ended::Aborted));
            }
        }
    }
}

impl InForce {
    pub fn settles(&self, key: &ObjectKey, record: &ObjectRecord) -> Option<AccessRecord> {
        let key = key.as_str().as_bytes();
        self.tiering.as_ref()?.settles(key, record, self.now_ms)
    }

    fn removes_marker(&self, key: &ObjectKey, marker: &ObjectRecord) -> bool {
        let key = key.as_str().as_bytes();
        let fate = self.rules.marker_removal(&self.calendar, key, marker.modified_ms);
        fate.is_some_and(|fate| fate.at_ms <= self.now_ms)
    }
}
