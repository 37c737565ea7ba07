//! A bucket's CORS rules, its referer list, its website, its archivings and where its logs
//! go are where its record says, and nowhere else.

use bytes::Bytes;

use super::{Check, show};
use crate::cors::{Cors, cors_row};
use crate::engine::{Partition, RowRef};
use crate::error::Result;
use crate::logging::{Logging, logging_row};
use crate::record::{BucketRecord, decode};
use crate::referer::{RefererList, referer_row};
use crate::setting_cache::Setting;
use crate::tiering::{Archivings, archiving_row};
use crate::website::{Website, website_row};

impl Check<'_> {
    pub(super) async fn settings(&mut self, name: &Bytes, bucket: &BucketRecord) -> Result<()> {
        self.setting::<Cors>(name, &bucket.cors, cors_row(), "CORS rules").await?;
        self.setting::<RefererList>(name, &bucket.referer, referer_row(), "referer list").await?;
        self.setting::<Website>(name, &bucket.website, website_row(), "website").await?;
        let archiving = bucket.tiering.as_ref().map(|tiering| tiering.archiving.clone());
        let archiving = archiving.unwrap_or_default();
        self.setting::<Archivings>(name, &archiving, archiving_row(), "archivings").await?;
        self.setting::<Logging>(name, &bucket.logging, logging_row(), "logging").await
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
