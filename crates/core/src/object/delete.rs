use bytes::Bytes;

use super::CurrentObject;
use crate::bucket::Bucket;
use crate::engine::{RowRef, Table, Write};
use crate::error::Result;
use crate::names::ObjectKey;
use crate::precondition::WriteConditions;
use crate::store::{Store, unchanged};

#[derive(Clone, Debug)]
pub struct DeleteRequest {
    pub key: ObjectKey,
    pub conditions: WriteConditions,
}

impl Store {
    /// Deletes the current object. Succeeds when there is none, unless a
    /// condition asks for one.
    pub async fn delete_object(&self, bucket: &Bucket, request: &DeleteRequest) -> Result<()> {
        loop {
            let current = self.current_object(bucket, &request.key).await?;
            current.judge(&request.conditions)?;
            if current.row.is_none() || self.delete_once(bucket, &request.key, &current).await? {
                return Ok(());
            }
        }
    }

    async fn delete_once(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        current: &CurrentObject,
    ) -> Result<bool> {
        let expects = vec![unchanged(Table::Object, Bytes::new(), &current.row)];
        let (mut writes, garbage) = self.unreference(current.record.as_ref(), None);
        writes.push(Write::Delete(RowRef::only(Table::Object)));
        let group = key.group();
        let committed = self.try_commit(bucket.partition(), &group, expects, writes).await?;
        if let (Ok(()), Some(suffix)) = (committed, garbage) {
            self.collect_garbage(bucket.partition(), &group, suffix);
        }
        Ok(committed.is_ok())
    }
}
