//! Files that no manifest will name: of reports that are given up, and of whoever has
//! been overtaken. Nobody would find them, and they would stay for ever.

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::manifest::Closing;
use super::{Progress, Runs, runs_row};
use crate::bucket::Bucket;
use crate::engine::Partition;
use crate::error::{Error, Result};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::names::{BucketName, ObjectKey};
use crate::object::DeleteRequest;
use crate::precondition::WriteConditions;
use crate::record::{BucketRecord, ObjectRecord, decode};
use crate::store::Store;
use crate::version::{ListVersions, VersionRef};

impl Store {
    /// Removes what a report that is given up has written so far, and of what belongs to
    /// the files what is this report's: of another one it may have the same name.
    pub(super) async fn remove_report(
        &self,
        source: &BucketName,
        owner_uin: u64,
        progress: &Progress,
    ) -> Result<()> {
        let Some(inventory) = &progress.inventory else { return Ok(()) };
        let mut keys = progress.left.clone();
        keys.extend(progress.files.iter().map(|file| file.key.clone()));
        keys.push(inventory.file_key(source, progress));
        let mut files: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
        for (key, content, _) in Closing::of(source, inventory, progress)?.objects {
            files.push((key, Some(hex::encode(Md5::digest(content)))));
        }
        self.remove_objects(&inventory.target, owner_uin, files).await
    }

    pub(super) async fn remove_files(
        &self,
        target: &str,
        owner_uin: u64,
        keys: Vec<String>,
    ) -> Result<()> {
        let files = keys.into_iter().map(|key| (key, None)).collect();
        self.remove_objects(target, owner_uin, files).await
    }

    /// Each by its name, and its ETag if others may have the name. A target that is gone
    /// has none of them.
    async fn remove_objects(
        &self,
        target: &str,
        owner_uin: u64,
        objects: Vec<(String, Option<String>)>,
    ) -> Result<()> {
        let target = match self.bucket(target).await {
            Ok(target) if target.owner_uin == owner_uin => target,
            Ok(_) | Err(Error::NoSuchBucket) => return Ok(()),
            Err(error) => return Err(error),
        };
        for (key, etag) in objects {
            match self.remove_object(&target, &key, etag.as_deref()).await {
                Ok(()) => {}
                Err(Error::NoSuchBucket) => return Ok(()),
                Err(Error::Locked) => {
                    let bucket = &target.name;
                    tracing::warn!(%bucket, %key, "a lock keeps a file of no report");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// All its versions, or those of this ETag.
    async fn remove_object(&self, target: &Bucket, key: &str, etag: Option<&str>) -> Result<()> {
        let of_prefix = ListVersions {
            prefix: key.to_owned(),
            delimiter: String::new(),
            key_marker: String::new(),
            version_marker: None,
            max: PAGE_ENTRIES_MAX,
        };
        let page = self.list_version_records::<ObjectRecord>(target, &of_prefix).await?;
        for (name, listed) in page.entries {
            if name != key || etag.is_some_and(|etag| etag != listed.record.etag_text()) {
                continue;
            }
            let request = DeleteRequest {
                key: ObjectKey::new(&name)?,
                version: Some(listed.version.unwrap_or(VersionRef::Null)),
                conditions: WriteConditions::default(),
                bypass_governance: false,
            };
            self.delete_object(target, &request).await?;
        }
        Ok(())
    }

    /// Removes the files of all reports of a bucket that is being deleted.
    pub(crate) async fn remove_reports(&self, group: &Bytes, bucket: &BucketRecord) -> Result<()> {
        let row = self.read_row(Partition::System, group, runs_row()).await?;
        let Some(row) = row else { return Ok(()) };
        let runs: Runs = decode(&row, "inventory runs")?;
        let name = String::from_utf8_lossy(group);
        let name = BucketName::new(&name)?;
        if runs.bucket != bucket.id {
            return Ok(());
        }
        for progress in runs.all.iter().filter_map(|run| run.progress.as_ref()) {
            // One that has its reports itself is empty by now.
            let inventory = progress.inventory.as_ref();
            if inventory.is_some_and(|inventory| inventory.target != name.as_str()) {
                self.remove_report(&name, bucket.owner_uin, progress).await?;
            }
        }
        Ok(())
    }
}
