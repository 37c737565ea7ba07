//! Which buckets are logged, and where to.

use std::sync::Arc;

use bytes::Bytes;

use super::Logging;
use super::naming::NAME_BYTES_MAX;
use crate::acl::{Acl, Grant, ObjectAcl};
use crate::bucket::Bucket;
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::{ACL_GRANTS_MAX, KEY_BYTES_MAX};
use crate::record::{decode, encode};
use crate::store::Store;

/// Why a configuration of logs is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    #[error("the target's name is no bucket's")]
    TargetName,
    #[error("there is no target")]
    NoTarget,
    #[error("the target belongs to somebody else")]
    ForeignTarget,
    #[error("the target is in another region")]
    OtherRegion,
    #[error("the target retains whatever is put into it")]
    RetainingTarget,
    #[error("ACLs count for nothing in the target")]
    Grants,
    #[error("there are more than {max} grants")]
    TooManyGrants { max: usize },
    #[error("the prefix has more than {max} bytes")]
    PrefixTooLong { max: usize },
    /// Of a delivery.
    #[error("the target's policy denies it")]
    Denied,
}

/// Longest prefix that leaves room for the rest of a log object's name, in bytes.
pub const PREFIX_BYTES_MAX: usize = KEY_BYTES_MAX - NAME_BYTES_MAX;

/// A bucket whose requests are logged, and where to.
#[derive(Clone, Debug)]
pub struct Logged {
    pub bucket: Arc<Bucket>,
    pub logging: Arc<Logging>,
}

/// The row of a bucket's configuration, in the group of its name.
pub(crate) fn logging_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"logging") }
}

impl Logging {
    pub fn set_grants(&mut self, grants: &[Grant]) {
        self.grants = grants.iter().map(|grant| grant.to_record()).collect();
    }

    pub fn grants(&self) -> Result<Vec<Grant>> {
        self.grants.iter().map(Grant::from_record).collect()
    }

    /// The ACL of what is delivered. Who says nothing means the bucket's own list in
    /// COS, and the owner alone in S3.
    pub(super) fn acl(&self, owner_uin: u64) -> Result<ObjectAcl> {
        Ok(match (self.form(), self.grants.is_empty()) {
            (super::Form::Cos, true) => ObjectAcl::Inherits,
            (super::Form::S3, true) => ObjectAcl::Private,
            (_, false) => ObjectAcl::Own(Acl { grants: self.grants()? }.with_owner(owner_uin)),
        })
    }
}

impl Store {
    /// Has a bucket's requests logged from now on. A configuration that is refused
    /// leaves the old one in force.
    pub async fn set_logging(
        self: &Arc<Self>,
        bucket: &Bucket,
        mut logging: Logging,
    ) -> Result<()> {
        self.check_logging(bucket, &logging).await?;
        logging.write_id = self.fresh_id();
        self.change_rows(bucket, move |record| {
            record.logging = logging.write_id.clone();
            Ok(vec![Write::Put(logging_row(), encode(&logging))])
        })
        .await
    }

    async fn check_logging(&self, bucket: &Bucket, logging: &Logging) -> Result<()> {
        if logging.grants.len() > ACL_GRANTS_MAX {
            return Err(LogFault::TooManyGrants { max: ACL_GRANTS_MAX }.into());
        }
        if logging.prefix.len() > PREFIX_BYTES_MAX {
            return Err(LogFault::PrefixTooLong { max: PREFIX_BYTES_MAX }.into());
        }
        if crate::names::BucketName::new(&logging.target).is_err() {
            return Err(LogFault::TargetName.into());
        }
        let target = match self.bucket(&logging.target).await {
            Err(Error::NoSuchBucket) => return Err(LogFault::NoTarget.into()),
            other => other?,
        };
        let retains =
            target.settings().lock.as_ref().is_some_and(|lock| lock.default_retention.is_some());
        match () {
            () if target.owner_uin != bucket.owner_uin => Err(LogFault::ForeignTarget.into()),
            () if target.region != bucket.region => Err(LogFault::OtherRegion.into()),
            () if retains => Err(LogFault::RetainingTarget.into()),
            () if !logging.grants.is_empty() && target.disables_acls() => {
                Err(LogFault::Grants.into())
            }
            () => Ok(()),
        }
    }

    /// Has a bucket's requests logged no longer. What was logged is still delivered.
    pub async fn delete_logging(self: &Arc<Self>, bucket: &Bucket) -> Result<()> {
        self.change_rows(bucket, |record| {
            record.logging = Bytes::new();
            Ok(vec![Write::Delete(logging_row())])
        })
        .await
    }

    /// Where a bucket's logs go, if its requests are logged.
    pub async fn logging(&self, bucket: &Bucket) -> Result<Option<Arc<Logging>>> {
        let id = &bucket.settings().logging;
        if id.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.loggings.get(bucket.id, id) {
            return Ok(Some(known));
        }
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, logging_row()).await?;
        // Gone, or newer than what is known of the bucket: changed meanwhile.
        let Some(row) = row else { return Ok(None) };
        let logging: Arc<Logging> = Arc::new(decode(&row, "logging")?);
        self.loggings.put(bucket.id, &logging);
        Ok(Some(logging))
    }

    /// The bucket with where its logs go, if its requests are logged.
    pub async fn logged(&self, bucket: &Arc<Bucket>) -> Result<Option<Logged>> {
        let logging = self.logging(bucket).await?;
        Ok(logging.map(|logging| Logged { bucket: bucket.clone(), logging }))
    }
}
