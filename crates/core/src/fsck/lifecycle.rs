//! A bucket's rules are where its record says, and nowhere else.

use bytes::Bytes;

use super::{Check, show};
use crate::engine::Partition;
use crate::error::Result;
use crate::lifecycle::{Lifecycle, lifecycle_row};
use crate::record::{BucketRecord, decode};

impl Check<'_> {
    pub(super) async fn lifecycle(&mut self, name: &Bytes, bucket: &BucketRecord) -> Result<()> {
        let rows = [lifecycle_row()];
        let row = self.engine.index().read(Partition::System, name, &rows).await?.pop().flatten();
        let name = show(name);
        match (&bucket.lifecycle, row) {
            (None, None) => {}
            (None, Some(_)) => self.found(format!("bucket {name}: rules that nothing names")),
            (Some(_), None) => self.found(format!("bucket {name}: its lifecycle is missing")),
            (Some(reference), Some(row)) => match decode::<Lifecycle>(&row, "lifecycle") {
                Ok(rules) if rules.write_id == reference.id => {}
                Ok(_) => self.found(format!("bucket {name}: the rules are another lifecycle's")),
                Err(error) => self.found(format!("bucket {name}: {error}")),
            },
        }
        Ok(())
    }
}
