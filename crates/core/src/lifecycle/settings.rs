//! Where a bucket's rules are kept, and what they say to clients.
//!
//! The rules are a row in the group of the bucket's name, written by the commit
//! that notes their id in the bucket's record. Whoever goes by the bucket's
//! settings, as every write does, knows by that id whether the rules that it
//! remembers are still the ones in force.

use std::sync::Arc;

use bytes::Bytes;

use super::fate::{Facts, Fate};
use super::rules::{Lifecycle, RuleBounds};
use crate::bucket::{Bucket, BucketSettings};
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::names::ObjectKey;
use crate::record::{LifecycleRef, decode, encode};
use crate::setting_cache::Setting;
use crate::store::Store;
use crate::tags::Tags;

/// The row of a bucket's rules, in the group of its name.
pub(crate) fn lifecycle_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"lifecycle") }
}

impl Setting for Lifecycle {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}

/// What a rule will do, for a client to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    pub at_ms: u64,
    pub rule_id: String,
}

impl From<Fate<'_>> for Foreseen {
    fn from(fate: Fate<'_>) -> Foreseen {
        Foreseen { at_ms: fate.at_ms, rule_id: fate.rule.id.clone() }
    }
}

impl Store {
    /// Replaces a bucket's rules, within the bounds of the client's service. Rules that
    /// are refused leave the old ones in force.
    pub async fn set_lifecycle(
        self: &Arc<Self>,
        bucket: &Bucket,
        mut lifecycle: Lifecycle,
        bounds: RuleBounds,
    ) -> Result<()> {
        lifecycle.check(&bounds)?;
        for rule in lifecycle.rules.iter_mut().filter(|rule| rule.id.is_empty()) {
            rule.id = hex::encode(self.fresh_id());
        }
        lifecycle.write_id = self.fresh_id();
        let reference = LifecycleRef {
            id: lifecycle.write_id.clone(),
            changed_ms: self.now_ms(),
            utc_offset_s: lifecycle.utc_offset_s,
        };
        self.change_rows(bucket, move |record| {
            record.lifecycle = Some(reference.clone());
            Ok(vec![Write::Put(lifecycle_row(), encode(&lifecycle))])
        })
        .await
    }

    pub async fn delete_lifecycle(self: &Arc<Self>, bucket: &Bucket) -> Result<()> {
        self.change_rows(bucket, |record| {
            record.lifecycle = None;
            Ok(vec![Write::Delete(lifecycle_row())])
        })
        .await
    }

    /// A bucket's rules.
    pub async fn lifecycle(&self, bucket: &Bucket) -> Result<Arc<Lifecycle>> {
        let found = self.rules_by(bucket, &bucket.settings()).await?;
        found.ok_or(Error::NoLifecycle)
    }

    /// The rules in force under these settings of the bucket.
    pub(super) async fn rules_by(
        &self,
        bucket: &Bucket,
        settings: &BucketSettings,
    ) -> Result<Option<Arc<Lifecycle>>> {
        let Some(reference) = &settings.lifecycle else { return Ok(None) };
        if let Some(known) = self.lifecycles.get(bucket.id, &reference.id) {
            return Ok(Some(known));
        }
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, lifecycle_row()).await?;
        // Gone, or newer than what is known of the bucket: changed meanwhile.
        let Some(row) = row else { return Ok(None) };
        let rules: Arc<Lifecycle> = Arc::new(decode(&row, "lifecycle")?);
        self.lifecycles.put(bucket.id, &rules);
        Ok(Some(rules))
    }

    /// When the current object of a key will expire, as far as can be told now.
    pub async fn foresee_expiration(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        size: u64,
        modified_ms: u64,
        tags: &Tags,
    ) -> Result<Option<Foreseen>> {
        let Some(rules) = self.rules_by(bucket, &bucket.settings()).await? else {
            return Ok(None);
        };
        let facts =
            Facts { key: key.as_str().as_bytes(), size, tags: tags.as_slice(), modified_ms };
        let calendar = rules.calendar(self.options.day_ms);
        Ok(rules.expiration(&calendar, &facts).map(Foreseen::from))
    }

    /// When an upload will be aborted if it is not completed.
    pub async fn foresee_abortion(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        initiated_ms: u64,
    ) -> Result<Option<Foreseen>> {
        let Some(rules) = self.rules_by(bucket, &bucket.settings()).await? else {
            return Ok(None);
        };
        let calendar = rules.calendar(self.options.day_ms);
        let key = key.as_str().as_bytes();
        Ok(rules.abortion(&calendar, key, initiated_ms).map(Foreseen::from))
    }
}
