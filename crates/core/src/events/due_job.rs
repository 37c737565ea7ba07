//! Sees to it that what happens by the clock is told when it happens.
//!
//! Each process remembers which of its own commits have left rows, as far as they are due
//! soon. All rows are looked at after a start, when one may be due that was not remembered,
//! and now and then, for those that other processes have left.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::Notification;
use super::delivery::{EventJob, HELD_MAX};
use super::due::{DuePlace, DueRecord};
use super::walk::{PAGE_ROWS, REST, RETRY_AFTER, ToldBucket};
use crate::engine::{BucketId, Expect, Partition, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::names::{BucketName, ObjectKey};
use crate::record::decode;
use crate::scan::{OwnedRow, behind, rows};

/// How often all rows are looked at.
const EVERY: Duration = Duration::from_secs(300);
/// The same where other processes leave some.
const EVERY_SHARED: Duration = Duration::from_secs(30);
/// What could not be told is tried again.
const AGAIN_AFTER_MS: u64 = 30_000;
/// Keys at once: very many may be due at the same midnight.
const KEYS_AT_ONCE: usize = 32;

impl EventJob {
    pub(super) async fn tell_due_again_and_again(&self) {
        let dues = &self.store.dues;
        let mut next_look = Instant::now();
        loop {
            let known = std::iter::from_fn(|| dues.take(self.store.now_ms()));
            stream::iter(known).for_each_concurrent(KEYS_AT_ONCE, |it| self.tell_place(it)).await;
            if self.holds()
                && (dues.take_left_out(self.store.now_ms()) || Instant::now() >= next_look)
            {
                let begun = Instant::now();
                let every = if self.is_shared() { EVERY_SHARED } else { EVERY };
                let pause = match self.look_for_due().await {
                    Ok(()) => every.max(begun.elapsed() * REST),
                    Err(error) => {
                        tracing::warn!(%error, "what is due will be looked for again");
                        RETRY_AFTER
                    }
                };
                next_look = Instant::now() + pause;
            }
            let wait_ms = dues.next_ms().map(|next| next.saturating_sub(self.store.now_ms()));
            // Clocks may be set.
            let wait = wait_ms.map_or(HELD_MAX, |ms| HELD_MAX.min(Duration::from_millis(ms)));
            let _ = tokio::time::timeout(wait, dues.wake.notified()).await;
        }
    }

    async fn tell_place(&self, place: DuePlace) {
        match self.tell_due_of(&place).await {
            Ok(None) => {}
            Ok(Some(next_ms)) => self.store.dues.note(next_ms, place),
            Err(error) => {
                let key = String::from_utf8_lossy(&place.group);
                tracing::warn!(%key, %error, "the end of a restore will be told again");
                self.store.dues.note(self.store.now_ms() + AGAIN_AFTER_MS, place);
            }
        }
    }

    async fn tell_due_of(&self, place: &DuePlace) -> Result<Option<u64>> {
        let bucket = match self.store.bucket(place.bucket.as_str()).await {
            Ok(bucket) if bucket.id == place.id => bucket,
            // Its rows go with it.
            Ok(_) | Err(Error::NoSuchBucket) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.store.tell_due(&bucket, &ObjectKey::from_stored(&place.group)?).await
    }

    /// Tells what is due, of all buckets. What is wrong with one keeps nobody from the
    /// others.
    async fn look_for_due(&self) -> Result<()> {
        let mut outcome = Ok(());
        for told in self.told().await? {
            if let Err(error) = self.look_for_due_in(&told).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn look_for_due_in(&self, told: &ToldBucket) -> Result<()> {
        let notification: Notification = decode(&told.row, "notification")?;
        let is_told = !notification.rules.is_empty();
        let Ok(bucket) = BucketName::new(&String::from_utf8_lossy(&told.name)) else {
            return Ok(());
        };
        let place = |group: Bytes| DuePlace { id: told.id, group, bucket: bucket.clone() };
        let mut range = ScanRange::all();
        loop {
            let page = self.dues(told.id, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            range = next;
            if !is_told {
                self.drop_dues(told, bucket.as_str(), page).await?;
                continue;
            }
            let now_ms = self.store.now_ms();
            let mut due = BTreeSet::new();
            for row in page {
                match decode::<DueRecord>(&row.value, "due record") {
                    Ok(record) if record.due_ms <= now_ms => {
                        due.insert(place(row.group));
                    }
                    Ok(record) => self.store.dues.note(record.due_ms, place(row.group)),
                    Err(error) => {
                        let key = String::from_utf8_lossy(&row.group);
                        tracing::error!(%key, %error, "the end of a restore is not told");
                    }
                }
            }
            let each = stream::iter(due);
            each.for_each_concurrent(KEYS_AT_ONCE, |it| self.tell_place(it)).await;
            if !self.holds() {
                return Ok(());
            }
        }
    }

    pub(super) async fn dues(
        &self,
        bucket: BucketId,
        range: ScanRange,
        limit: usize,
    ) -> Result<Vec<OwnedRow>> {
        rows(&*self.store.engine, Partition::Bucket(bucket), Table::Due, range, limit).await
    }

    /// Removes rows of which nobody is to be told any more.
    async fn drop_dues(&self, told: &ToldBucket, name: &str, page: Vec<OwnedRow>) -> Result<()> {
        let bucket = match self.store.bucket(name).await {
            Ok(bucket) if bucket.id == told.id => Some(bucket),
            Ok(_) | Err(Error::NoSuchBucket) => None,
            Err(error) => return Err(error),
        };
        let settled = match &bucket {
            Some(bucket) => Some(self.store.settled(bucket).await?),
            None => None,
        };
        // Somebody wants to be told since.
        if settled.as_ref().is_some_and(|settled| !settled.settings.notification.is_empty()) {
            return Ok(());
        }
        for row in page {
            let due = RowRef { table: Table::Due, suffix: row.suffix };
            let expects = vec![Expect::Equals(due.clone(), row.value)];
            let (writes, group) = (vec![Write::Delete(due)], &row.group);
            let committed = match &settled {
                Some(settled) => self.store.try_commit_by(settled, group, expects, writes).await,
                None => {
                    let partition = Partition::Bucket(told.id);
                    self.store.try_commit(partition, group, expects, writes).await
                }
            };
            match committed {
                // With all that it held.
                Err(Error::NoSuchBucket) => return Ok(()),
                other => other.map(|_| ())?,
            }
        }
        Ok(())
    }
}
