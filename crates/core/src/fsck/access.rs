//! A bucket's policies are where its record says, and nowhere else.

use bytes::Bytes;
use costrel_policy::{Grammar, Policy};

use super::{Check, show};
use crate::access::policy_rows;
use crate::engine::Partition;
use crate::error::Result;
use crate::record::{BucketRecord, PolicyRecord, decode};

impl Check<'_> {
    pub(super) async fn access(&mut self, name: &Bytes, bucket: &BucketRecord) -> Result<()> {
        let rows = self.engine.index().read(Partition::System, name, &policy_rows()).await?;
        let access = bucket.access.clone().unwrap_or_default();
        let references = [(Grammar::Cam, access.cam_policy), (Grammar::Iam, access.iam_policy)];
        let name = show(name);
        for ((grammar, id), row) in references.into_iter().zip(rows) {
            match (id.is_empty(), row) {
                (true, None) => {}
                (true, Some(_)) => {
                    self.found(format!("bucket {name}: a policy that nothing names"))
                }
                (false, None) => self.found(format!("bucket {name}: its policy is missing")),
                (false, Some(row)) => match decode::<PolicyRecord>(&row, "policy") {
                    Ok(policy) if policy.write_id != id => {
                        self.found(format!("bucket {name}: the policy is another one"));
                    }
                    Ok(policy) => {
                        if let Err(fault) = Policy::of_bucket(grammar, &policy.document) {
                            self.found(format!(
                                "bucket {name}: its policy cannot be read: {fault}"
                            ));
                        }
                    }
                    Err(error) => self.found(format!("bucket {name}: {error}")),
                },
            }
        }
        Ok(())
    }
}
