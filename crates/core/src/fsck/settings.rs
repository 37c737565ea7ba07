//! A bucket's CORS rules, its referer list, its website, its archivings, its inventories and
//! where its logs go are where its record says, and nowhere else.

use bytes::Bytes;

use super::{Check, show};
use crate::cors::{Cors, cors_row};
use crate::engine::{Partition, RowRef};
use crate::error::Result;
use crate::identified::{AllOf, Identified, identified_row};
use crate::inventory::{Inventory, Runs, runs_row};
use crate::logging::{Logging, logging_row};
use crate::record::{BucketRecord, decode};
use crate::referer::{RefererList, referer_row};
use crate::setting_cache::Setting;
use crate::tiering::Archiving;
use crate::website::{Website, website_row};

impl Check<'_> {
    pub(super) async fn settings(&mut self, name: &Bytes, bucket: &BucketRecord) -> Result<()> {
        self.setting::<Cors>(name, &bucket.cors, cors_row(), "CORS rules").await?;
        self.setting::<RefererList>(name, &bucket.referer, referer_row(), "referer list").await?;
        self.setting::<Website>(name, &bucket.website, website_row(), "website").await?;
        self.identified::<Archiving>(name, bucket).await?;
        self.identified::<Inventory>(name, bucket).await?;
        let runs = self.engine.index().read(Partition::System, name, &[runs_row()]).await?;
        if let Some(row) = runs.into_iter().next().flatten()
            && let Err(error) = decode::<Runs>(&row, "inventory runs")
        {
            self.found(format!("bucket {}: {error}", show(name)));
        }
        self.setting::<Logging>(name, &bucket.logging, logging_row(), "logging").await
    }

    async fn identified<T: Identified>(
        &mut self,
        name: &Bytes,
        bucket: &BucketRecord,
    ) -> Result<()> {
        let id = T::write_id(bucket);
        self.setting::<AllOf<T>>(name, &id, identified_row::<T>(), T::NAME).await
    }

    async fn setting<S: Setting + Default>(
        &mut self,
        name: &Bytes,
        id: &Bytes,
        row: RowRef,
        what: &'static str,
    ) -> Result<()> {
        let row = self.engine.index().read(Partition::System, name, &[row]).await?.pop().flatten();
        let name = show(name);
        match (id.is_empty(), row) {
            (true, None) => {}
            (true, Some(_)) => self.found(format!("bucket {name}: {what} that nothing names")),
            (false, None) => self.found(format!("bucket {name}: its {what} are missing")),
            (false, Some(row)) => match decode::<S>(&row, what) {
                Ok(setting) if setting.write_id() == id => {}
                Ok(_) => self.found(format!("bucket {name}: the {what} are others")),
                Err(error) => self.found(format!("bucket {name}: {error}")),
            },
        }
        Ok(())
    }
}
