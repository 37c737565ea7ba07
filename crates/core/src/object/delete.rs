use super::CurrentObject;
use super::history::judge;
use crate::bucket::{Bucket, Settled};
use crate::engine::{RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::events::{Cause, Happening};
use crate::names::ObjectKey;
use crate::precondition::WriteConditions;
use crate::record::ObjectRecord;
use crate::store::Store;
use crate::version::VersionRef;

#[derive(Clone, Debug)]
pub struct DeleteRequest {
    pub key: ObjectKey,
    /// The version to remove for good. `None` deletes the object: where versions
    /// are kept, by putting a delete marker on top of them.
    pub version: Option<VersionRef>,
    pub conditions: WriteConditions,
    /// Whether a retention in governance mode is no obstacle.
    pub bypass_governance: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// The version that is gone, or the delete marker that was made.
    pub version: Option<VersionRef>,
    /// Whether that version is, or was, a delete marker.
    pub delete_marker: bool,
}

impl Store {
    /// Deletes the current object, or a version, unless it is locked. Succeeds when
    /// there is none, unless a condition asks for one.
    pub async fn delete_object(
        &self,
        bucket: &Bucket,
        request: &DeleteRequest,
    ) -> Result<DeleteOutcome> {
        let (key, cause) = (&request.key, Cause::Request);
        loop {
            let settled = self.settled(bucket).await?;
            let has_versions = settled.settings.versioning.has_versions();
            let (current, target) = match request.version {
                Some(version) if has_versions => self.named_version(bucket, key, version).await?,
                _ => (self.object_to_replace(bucket, key).await?, None),
            };
            match (&current.history, request.version) {
                (None, None | Some(VersionRef::Null)) => {
                    current.judge(&request.conditions)?;
                    let bypass = request.bypass_governance;
                    if current.row.is_none()
                        || self.delete_once(&settled, key, &current, (bypass, cause)).await?
                    {
                        let outcome = DeleteOutcome::default();
                        return Ok(DeleteOutcome { version: request.version, ..outcome });
                    }
                }
                (Some(history), None) => {
                    current.judge(&request.conditions)?;
                    let marked =
                        self.mark_deleted_once(&settled, key, &current, history, cause).await?;
                    if marked.is_some() {
                        return Ok(DeleteOutcome { version: marked, delete_marker: true });
                    }
                }
                (history, Some(_)) => {
                    let (Some(history), Some(target)) = (history, target) else {
                        judge(None, &request.conditions)?;
                        let outcome = DeleteOutcome::default();
                        return Ok(DeleteOutcome { version: request.version, ..outcome });
                    };
                    let delete_marker = target.record.delete_marker;
                    judge((!delete_marker).then_some(&target.record), &request.conditions)?;
                    let bypass = request.bypass_governance;
                    let by = (bypass, cause);
                    let removed =
                        self.remove_version_once(&settled, key, &current, history, &target, by);
                    if removed.await? {
                        return Ok(DeleteOutcome { version: request.version, delete_marker });
                    }
                }
            }
        }
    }

    /// Removes the object of a key without versions, if it is still the one that was
    /// read. Whether it was.
    pub(crate) async fn delete_once(
        &self,
        settled: &Settled<'_>,
        key: &ObjectKey,
        current: &CurrentObject,
        (bypass_governance, cause): (bool, Cause),
    ) -> Result<bool> {
        let mut change = current.unchanged();
        let old = current.record.as_ref();
        // Of one that cannot be read, nothing but its end is known.
        let none = ObjectRecord::default();
        let gone = || Happening::without(cause.removed(), old.unwrap_or(&none));
        change.happening = settled.happening(gone)?;
        self.unreference(old, None, bypass_governance, &mut change).await?;
        change.writes.push(Write::Delete(RowRef::only(Table::Object)));
        current.leave_no_body(None, &mut change);
        Ok(self.commit_change(settled, key, change).await?.is_ok())
    }

    /// Why there is no object where one was looked for.
    pub(crate) async fn no_object(&self, bucket: &Bucket, key: &ObjectKey) -> Error {
        if !bucket.versioning().has_versions() {
            return Error::NoSuchKey;
        }
        let row = RowRef::only(Table::History);
        let marker = match self.read_row(bucket.partition(), &key.group(), row).await {
            Ok(row) => super::History::read(row).and_then(|history| history.marker()),
            Err(error) => Err(error),
        };
        match marker {
            Ok(Some(version)) => Error::CurrentIsMarker { version },
            Ok(None) => Error::NoSuchKey,
            Err(error) => error,
        }
    }
}
