//! Retention and legal hold of a version that is there.

use super::ObjectInfo;
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::lock::{Retention, VersionLock};
use crate::names::ObjectKey;
use crate::record::ObjectRecord;
use crate::store::Store;
use crate::version::VersionRef;

impl ObjectInfo {
    pub fn lock(&self) -> VersionLock {
        VersionLock::of(&self.record)
    }
}

impl Store {
    /// Retains a version, or no longer if it may be; names it in the answer.
    pub async fn set_retention(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
        retention: Option<Retention>,
        bypass_governance: bool,
    ) -> Result<Option<VersionRef>> {
        self.check_has_lock(bucket)?;
        let retain = self.retaining(retention, bypass_governance).await?;
        let change = |record: &mut ObjectRecord| retain(record).map(|()| None);
        self.change_version(bucket, key, version, change).await
    }

    /// Puts a legal hold on a version or takes it away; names it in the answer.
    pub async fn set_legal_hold(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
        hold: bool,
    ) -> Result<Option<VersionRef>> {
        self.check_has_lock(bucket)?;
        let change = self.change_version(bucket, key, version, |record| {
            record.lock.get_or_insert_default().hold(hold);
            Ok(None)
        });
        change.await
    }

    /// Object lock is never turned off again, so that a look beforehand is enough.
    fn check_has_lock(&self, bucket: &Bucket) -> Result<()> {
        match bucket.settings().lock {
            Some(_) => Ok(()),
            None => Err(Error::NoObjectLock),
        }
    }
}
