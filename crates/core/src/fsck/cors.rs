//! A bucket's CORS rules are where its record says, and nowhere else.

use bytes::Bytes;

use super::{Check, show};
use crate::cors::{Cors, cors_row};
use crate::engine::Partition;
use crate::error::Result;
use crate::record::{BucketRecord, decode};

impl Check<'_> {
    pub(super) async fn cors(&mut self, name: &Bytes, bucket: &BucketRecord) -> Result<()> {
        let rows = [cors_row()];
        let row = self.engine.index().read(Partition::System, name, &rows).await?.pop().flatten();
        let name = show(name);
        match (bucket.cors.is_empty(), row) {
            (true, None) => {}
            (true, Some(_)) => self.found(format!("bucket {name}: CORS rules that nothing names")),
            (false, None) => self.found(format!("bucket {name}: its CORS rules are missing")),
            (false, Some(row)) => match decode::<Cors>(&row, "CORS rules") {
                Ok(rules) if rules.write_id == bucket.cors => {}
                Ok(_) => self.found(format!("bucket {name}: the CORS rules are others")),
                Err(error) => self.found(format!("bucket {name}: {error}")),
            },
        }
        Ok(())
    }
}
