//! Walks over the queue, which tell the lanes of the keys that they were not told of: all
//! of them after a start, those that found no room in a lane, and where several processes
//! serve, what the others queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::delivery::{EventJob, HELD_MAX, readable};
use super::lane::{Lane, Place};
use super::settings::bucket_of;
use crate::claim;
use crate::engine::{BucketId, Partition, ScanRange, Table};
use crate::error::Result;
use crate::scan::{behind, rows};

/// Rows in memory at once.
pub(super) const PAGE_ROWS: usize = 1000;
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often the queue is walked where other processes queue events.
const EVERY: Duration = Duration::from_secs(2);
/// The same where none do.
const EVERY_ALONE: Duration = Duration::from_secs(300);
/// A walk over a long queue is followed by a pause of so many times its length.
pub(super) const REST: u32 = 4;

/// A bucket whose events are, or were, told.
pub(super) struct ToldBucket {
    pub name: Bytes,
    pub id: BucketId,
    /// Its row in the system partition.
    pub row: Bytes,
}

impl EventJob {
    pub(super) async fn walk_again_and_again(&self) {
        let mut next = Instant::now();
        loop {
            if !self.holds() {
                next = Instant::now();
                tokio::time::sleep(claim::BEAT / 4).await;
                continue;
            }
            let lanes = &self.store.lanes;
            let is_whole = Instant::now() >= next;
            let left_out: Vec<(&Arc<Lane>, Place)> =
                lanes.all().filter_map(|lane| Some((lane, lane.take_left_out()?))).collect();
            let (from, wanting): (Option<Place>, Vec<&Arc<Lane>>) = match is_whole {
                true => (None, lanes.all().collect()),
                false => (
                    left_out.iter().map(|(_, place)| place.clone()).min(),
                    left_out.iter().map(|(lane, _)| *lane).collect(),
                ),
            };
            if !is_whole && from.is_none() {
                let look = next.min(Instant::now() + HELD_MAX);
                let _ = tokio::time::timeout_at(look, lanes.room.notified()).await;
                continue;
            }
            let begun = Instant::now();
            match self.walk(from, &wanting).await {
                Ok(()) if is_whole => {
                    let every = if self.is_shared() { EVERY } else { EVERY_ALONE };
                    next = Instant::now() + every.max(begun.elapsed() * REST);
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "the queue of events will be walked again");
                    next = Instant::now() + RETRY_AFTER;
                    tokio::time::sleep_until(next).await;
                }
            }
        }
    }

    /// Names keys from a place on, until the end or until no lane has room that wants to
    /// know. What cannot be read of one bucket keeps nobody from the others.
    async fn walk(&self, from: Option<Place>, wanting: &[&Arc<Lane>]) -> Result<()> {
        let mut buckets: Vec<BucketId> = self.told().await?.into_iter().map(|it| it.id).collect();
        buckets.sort();
        let mut outcome = Ok(());
        for bucket in buckets {
            let range = match &from {
                Some((first, _)) if bucket < *first => continue,
                Some((first, group)) if bucket == *first => {
                    ScanRange { start_group: group.clone(), ..ScanRange::all() }
                }
                _ => ScanRange::all(),
            };
            if let Err(error) = self.walk_bucket(bucket, range, wanting).await {
                outcome = Err(error);
            }
            if wanting.iter().all(|lane| lane.is_full()) || !self.holds() {
                break;
            }
        }
        outcome
    }

    async fn walk_bucket(
        &self,
        bucket: BucketId,
        mut range: ScanRange,
        wanting: &[&Arc<Lane>],
    ) -> Result<()> {
        loop {
            let page = self.events(bucket, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            range = next;
            for row in page {
                if let Some((_, event)) = readable(&row)
                    && let Some(lane) = self.store.lanes.get(&event.target)
                {
                    lane.remember((bucket, row.group));
                }
            }
            if wanting.iter().all(|lane| lane.is_full()) || !self.holds() {
                return Ok(());
            }
        }
    }

    /// Buckets that may have events.
    pub(super) async fn told(&self) -> Result<Vec<ToldBucket>> {
        let mut found = Vec::new();
        let mut range = ScanRange::all();
        loop {
            let engine = &*self.store.engine;
            let page = rows(engine, Partition::System, Table::Event, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(found) };
            let told = page.into_iter().filter_map(|row| {
                let id = bucket_of(&row.suffix)?;
                Some(ToldBucket { name: row.group, id, row: row.value })
            });
            found.extend(told);
            range = next;
        }
    }
}
