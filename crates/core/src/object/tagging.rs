//! Tags, and what else is said about a version after it was written.

use super::ObjectInfo;
use super::history::version_row;
use crate::bucket::Bucket;
use crate::engine::{Expect, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::events::{EventKind, Happening};
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
            Ok(Some(match record.tags.is_empty() {
                true => EventKind::Untagged,
                false => EventKind::Tagged,
            }))
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
        change: impl Fn(&mut ObjectRecord) -> Result<Option<EventKind>>,
    ) -> Result<Option<VersionRef>> {
        loop {
            let settled = self.settled(bucket).await?;
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
            let (mut record, is_current, row) = match target {
                Some((target, version)) => {
                    let record = target.object(version)?.clone();
                    let is_current =
                        current.record.as_ref().is_some_and(|r| r.write_id == record.write_id);
                    let row = target.row.map(|value| {
                        let row = version_row(&target.suffix);
                        commit.expects.push(Expect::Equals(row.clone(), value));
                        row
                    });
                    (record, is_current, row)
                }
                None => {
                    let row = current.version_suffix().map(|suffix| version_row(&suffix));
                    let Some(record) = current.record else {
                        return Err(self.no_object(bucket, key).await);
                    };
                    (record, true, row)
                }
            };
            if let Some(kind) = change(&mut record)? {
                commit.happening = settled.happening(|| Happening::to(kind, &record))?;
            }
            record.write_id = self.fresh_id();
            let named = match has_versions {
                true => Some(VersionRef::of(&record.version, record.null_version)?),
                false => None,
            };
            let value = encode(&record);
            if is_current {
                commit.writes.push(Write::Put(RowRef::only(Table::Object), value.clone()));
            }
            commit.writes.extend(row.map(|row| Write::Put(row, value)));
            if self.commit_change(&settled, key, commit).await?.is_ok() {
                return Ok(named);
            }
        }
    }
}
