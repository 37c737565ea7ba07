//! What is told of a bucket is where its record says; events that wait can be read, and
//! their numbers are no greater than the last.

use bytes::Bytes;

use super::{Check, ROWS, show};
use crate::engine::{BucketId, Partition, ScanRange, Table};
use crate::error::Result;
use crate::events::{self, Notification, QueueHead, target_row};
use crate::record::{BucketRecord, decode};
use crate::scan::{behind, rows};

impl Check<'_> {
    pub(super) async fn notification(&mut self, name: &Bytes, bucket: &BucketRecord) -> Result<()> {
        let row = target_row(BucketId(bucket.id));
        let row = self.engine.index().read(Partition::System, name, &[row]).await?.pop().flatten();
        let id = &bucket.notification;
        let found = row.map(|row| decode::<Notification>(&row, "notification")).transpose();
        let name = show(name);
        match found {
            Err(error) => self.found(format!("bucket {name}: {error}")),
            Ok(Some(found)) if !id.is_empty() && found.write_id != *id => {
                self.found(format!("bucket {name}: the notification is another one"));
            }
            Ok(None) if !id.is_empty() => {
                self.found(format!("bucket {name}: its notification is missing"));
            }
            // One without rules leads to events from before.
            Ok(Some(found)) if id.is_empty() && !found.rules.is_empty() => {
                self.found(format!("bucket {name}: a notification that nothing names"));
            }
            Ok(_) => {}
        }
        Ok(())
    }

    /// What is to be told when it is time.
    pub(super) async fn dues(&mut self, bucket: BucketId) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let partition = Partition::Bucket(bucket);
            let page = rows(self.engine, partition, Table::Due, range, ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for row in page {
                if let Err(error) = events::check_due_row(&row.suffix, &row.value) {
                    let key = show(&row.group);
                    self.found(format!("bucket {:016x}: what is due of {key}: {error}", bucket.0));
                }
            }
            range = next;
        }
    }

    pub(super) async fn events(&mut self, bucket: BucketId) -> Result<()> {
        let mut range = ScanRange::all();
        let mut head: Option<(Bytes, u64)> = None;
        loop {
            let partition = Partition::Bucket(bucket);
            let page = rows(self.engine, partition, Table::Event, range, ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for row in page {
                let what = format!("bucket {:016x}: an event of {}", bucket.0, show(&row.group));
                let number = match events::check_row(&row.suffix, &row.value) {
                    Ok(number) => number,
                    Err(error) => {
                        self.found(format!("{what}: {error}"));
                        continue;
                    }
                };
                match (number, &head) {
                    (None, _) => {
                        let last = decode::<QueueHead>(&row.value, "queue head")?.last;
                        head = Some((row.group, last));
                    }
                    (Some(number), Some((group, last)))
                        if *group == row.group && number > *last =>
                    {
                        self.found(format!("{what} comes after the last"));
                    }
                    // The last number may have gone with an event after this one.
                    (Some(_), _) => {}
                }
            }
            range = next;
        }
    }
}
