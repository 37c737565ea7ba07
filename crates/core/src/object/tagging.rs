//! Tags, and what else is said about a version after it was written.

use super::ObjectInfo;
use super::history::{Change, version_row};
use crate::bucket::{Bucket, Settled};
use crate::engine::{Expect, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::events::{DuePlace, DueRecord, EventKind, Happening, due_row};
use crate::names::ObjectKey;
use crate::record::{ObjectRecord, encode};
use crate::store::Store;
use crate::tags::Tags;
use crate::version::VersionRef;

impl ObjectInfo {
    pub fn tags(&self) -> Tags {
        Tags::from_stored(self.record.tags.clone())
    }
}

impl Store {
    /// Replaces the tags of an object or of one of its versions, which is named
    /// in the answer. Nothing else of it changes, its time neither.
    pub async fn set_object_tags(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
        tags: &Tags,
    ) -> Result<Option<VersionRef>> {
        self.change_version(bucket, key, version, |record| {
            record.tags = tags.as_slice().to_vec();
            let kind = match record.tags.is_empty() {
                true => EventKind::Untagged,
                false => EventKind::Tagged,
            };
            Ok(Some(kind.into()))
        })
        .await
    }

    /// Changes what is said about a version, in all the rows that say it. What happens to
    /// it by that, `change` answers.
    pub(crate) async fn change_version(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
        change: impl Fn(&mut ObjectRecord) -> Result<Option<Changed>>,
    ) -> Result<Option<VersionRef>> {
        loop {
            let settled = self.settled(bucket).await?;
            let ToChange { mut commit, mut record, is_current, row } =
                self.find_to_change(&settled, key, version).await?;
            let mut due = None;
            if let Some(changed) = change(&mut record)? {
                commit.happening = settled.happening(|| Happening::to(changed.kind, &record))?;
                due = changed.due.filter(|_| commit.happening.is_some());
            }
            record.write_id = self.fresh_id();
            let named = VersionRef::of(&record.version, record.null_version)?;
            if let Some(due) = &due {
                commit.writes.push(Write::Put(due_row(named), encode(due)));
            }
            let value = encode(&record);
            if is_current {
                commit.writes.push(Write::Put(RowRef::only(Table::Object), value.clone()));
            }
            commit.writes.extend(row.map(|row| Write::Put(row, value)));
            if self.commit_change(&settled, key, commit).await?.is_ok() {
                if let Some(due) = due {
                    self.dues.note(due.due_ms, DuePlace::of(bucket, key));
                }
                return Ok(settled.settings.versioning.has_versions().then_some(named));
            }
        }
    }

    /// A version, and a commit that holds only while it is as it was read.
    pub(crate) async fn find_to_change(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        version: Option<VersionRef>,
    ) -> Result<ToChange> {
        let bucket = settled.bucket;
        let has_versions = settled.settings.versioning.has_versions();
        let (current, target) = match version {
            Some(version) if has_versions => {
                let (current, target) = self.named_version(bucket, key, version).await?;
                (current, Some((target.ok_or(Error::NoSuchVersion)?, version)))
            }
            Some(VersionRef::Id(_)) => return Err(Error::NoSuchVersion),
            _ => (self.current_object(bucket, key).await?, None),
        };
        let mut commit = current.unchanged();
        let Some((target, version)) = target else {
            let row = current.version_suffix().map(|suffix| version_row(&suffix));
            return match current.record {
                Some(record) => Ok(ToChange { commit, record, is_current: true, row }),
                None => Err(self.no_object(bucket, key).await),
            };
        };
        let record = target.object(version)?.clone();
        let is_current = current.record.as_ref().is_some_and(|r| r.write_id == record.write_id);
        let row = target.row.map(|value| {
            let row = version_row(&target.suffix);
            commit.expects.push(Expect::Equals(row.clone(), value));
            row
        });
        Ok(ToChange { commit, record, is_current, row })
    }
}

/// A version that may be changed.
pub(crate) struct ToChange {
    pub commit: Change,
    pub record: ObjectRecord,
    pub is_current: bool,
    /// Its row of its own, if it has one.
    pub row: Option<RowRef>,
}

/// What a change of a version is for those who want to be told of it.
pub(crate) struct Changed {
    pub kind: EventKind,
    /// What follows from it by the clock, to be told then.
    pub due: Option<DueRecord>,
}

impl From<EventKind> for Changed {
    fn from(kind: EventKind) -> Changed {
        Changed { kind, due: None }
    }
}
