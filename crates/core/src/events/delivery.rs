//! The job that delivers events.
//!
//! Each target has its own lane, so that one that is dead or slow holds up no other. A
//! lane takes the keys that it was told of: by commits of this process, and by walks over
//! the queue for those of others ([`super::walk`]). A key's events are sent one after the
//! other, and the next only when the one before is acknowledged and gone; after some of
//! them it is another key's turn. One process at a time delivers; what it has begun is
//! over before another may take its place.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::lane::{Lane, Place};
use super::queue::{QUEUE_HEAD, event_row, sequence_of};
use super::tending::Tending;
use super::{Dispatch, EventRecord, QueueHead};
use crate::claim::{self, Claim};
use crate::engine::{BucketId, Expect, Partition, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::record::decode;
use crate::scan::{OwnedRow, behind, rows};
use crate::store::Store;

/// How long a delivery may take. With what a claim is taken to hold after the last look
/// at it, this is less than what others wait for it to be given up.
pub const DELIVERY_MAX: Duration = Duration::from_secs(8);
pub(super) const HELD_MAX: Duration = Duration::from_secs(5);
const _: () = assert!(
    claim::BEAT.as_secs() + HELD_MAX.as_secs() + DELIVERY_MAX.as_secs() < claim::EXPIRES.as_secs()
);

/// Events of one key that are sent in a turn, and rows of it that are read at once.
const KEY_ROWS: usize = 64;

#[derive(Clone, Copy, Debug)]
pub struct EventOptions {
    /// How long an event waits for its target; older ones are lost.
    pub age_max: Duration,
    /// Messages to one target that are under way at once.
    pub at_once: usize,
}

/// Runs in the background for the life of a store, in every process that serves one.
pub struct EventJob {
    pub(super) store: Arc<Store>,
    options: EventOptions,
    claim: Claim,
    held: Mutex<Option<Instant>>,
    pub(super) tending: Tending,
}

impl EventJob {
    pub fn new(store: Arc<Store>, options: EventOptions) -> EventJob {
        let claim = Claim::new(store.clone(), "events");
        let tending = Tending::new(&store, options.age_max);
        EventJob { store, options, claim, held: Mutex::default(), tending }
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        // Of a job that ended before, what was at work is not any more.
        self.store.lanes.all().for_each(|lane| lane.forget());
        let lanes = join_all(self.store.lanes.all().map(|lane| self.serve(lane)));
        tokio::join!(
            self.keep_claim(),
            self.walk_again_and_again(),
            self.tend_again_and_again(),
            self.tell_due_again_and_again(),
            lanes
        );
    }

    pub(super) fn is_shared(&self) -> bool {
        self.store.engine.peers().is_some()
    }

    /// Whether deliveries are this process's for now.
    pub(super) fn holds(&self) -> bool {
        !self.is_shared() || self.held.lock().is_some_and(|at| at.elapsed() < HELD_MAX)
    }

    async fn keep_claim(&self) {
        while self.is_shared() {
            let held = self.claim.hold().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "who delivers events is not known");
                false
            });
            *self.held.lock() = held.then(Instant::now);
            tokio::time::sleep(claim::BEAT / 4).await;
        }
    }

    async fn serve(&self, lane: &Lane) {
        let at_once = self.options.at_once;
        let mut at_work = FuturesUnordered::new();
        loop {
            if !self.holds() {
                // Each ends before its next message.
                if at_work.next().await.is_none() {
                    // Whoever delivers finds them by walking, and so does this one then.
                    lane.forget();
                    tokio::time::sleep(claim::BEAT / 4).await;
                }
                continue;
            }
            let paused_until = lane.paused_until();
            while paused_until.is_none()
                && at_work.len() < at_once
                && let Some(place) = lane.take(at_once)
            {
                at_work.push(self.deliver_key(lane, place));
            }
            let has_room = at_work.len() < at_once;
            let next_try = lane.next_try(at_once).filter(|_| has_room);
            let look = Instant::now() + HELD_MAX;
            let until = paused_until.or(next_try).map_or(look, |until| until.min(look));
            tokio::select! {
                Some(()) = at_work.next() => {}
                () = lane.wake.notified(), if has_room && paused_until.is_none() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    pub(super) async fn events(
        &self,
        bucket: BucketId,
        range: ScanRange,
        limit: usize,
    ) -> Result<Vec<OwnedRow>> {
        rows(&*self.store.engine, Partition::Bucket(bucket), Table::Event, range, limit).await
    }

    /// Delivers what waits of a key, in order, until something does not arrive or others
    /// have their turn.
    async fn deliver_key(&self, lane: &Lane, place: Place) {
        match self.deliver_rows(lane, &place).await {
            Ok(()) => lane.done(place),
            // Looked at again when its time comes, or by the next walk.
            Err(Stop::Undelivered(why)) => {
                if !lane.stats.is_failing.load(Relaxed) {
                    tracing::warn!(target = lane.name, error = why, "an event was not taken");
                }
                lane.failed(place, why);
            }
            Err(Stop::NotNow) => lane.put_back(place),
            Err(Stop::Store(error)) => {
                tracing::warn!(%error, "events of a key will be delivered again");
                lane.failed(place, error.to_string());
            }
        }
    }

    async fn deliver_rows(&self, lane: &Lane, place: &Place) -> std::result::Result<(), Stop> {
        let (bucket, group) = place;
        let key = String::from_utf8_lossy(group);
        let (mut head, mut stays, mut sent) = (None, false, 0);
        let mut range = ScanRange::group(group.clone());
        loop {
            let page = self.events(*bucket, range.clone(), KEY_ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            range = ScanRange { end_group: range.end_group, ..next };
            for row in &page {
                if row.suffix == QUEUE_HEAD {
                    head = Some(row.value.clone());
                    continue;
                }
                let Some((sequence, event)) = readable(row) else {
                    stays = true;
                    continue;
                };
                if event.target != lane.name {
                    stays = true;
                    continue;
                }
                if sent == KEY_ROWS || lane.is_stopped() || !self.holds() {
                    return Err(Stop::NotNow);
                }
                if !self.tending.gives_up(&event) {
                    self.send(lane, &key, sequence, &event).await?;
                } else {
                    lane.stats.expired.fetch_add(1, Relaxed);
                }
                sent += 1;
                let head = head.clone().filter(|_| !stays && !self.is_shared());
                self.remove(*bucket, group, sequence, head).await?;
                lane.left();
            }
        }
    }

    async fn send(
        &self,
        lane: &Lane,
        key: &str,
        sequence: u64,
        event: &EventRecord,
    ) -> std::result::Result<(), Stop> {
        let courier = &self.store.options.courier;
        let dispatch = Dispatch::Event { event, key, sequence };
        match tokio::time::timeout(DELIVERY_MAX, courier.deliver(&lane.name, dispatch)).await {
            Ok(Ok(())) => {
                lane.arrived();
                Ok(())
            }
            Ok(Err(error)) => Err(Stop::Undelivered(error.0)),
            Err(_) => Err(Stop::Undelivered("it takes too long".into())),
        }
    }

    /// Removes an event, and the row with the last number if that is its own.
    async fn remove(
        &self,
        bucket: BucketId,
        group: &Bytes,
        sequence: u64,
        head: Option<Bytes>,
    ) -> Result<()> {
        let event = Write::Delete(event_row(sequence));
        let is_last = |head: &Bytes| {
            decode::<QueueHead>(head, "queue head").is_ok_and(|h| h.last == sequence)
        };
        if let Some(head) = head.filter(is_last)
            && self.remove_head(bucket, group, head, vec![event.clone()]).await?
        {
            return Ok(());
        }
        let partition = Partition::Bucket(bucket);
        match self.store.try_commit(partition, group, vec![], vec![event]).await {
            // With all that it held.
            Err(Error::NoSuchBucket) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Whether it was still the same.
    pub(super) async fn remove_head(
        &self,
        bucket: BucketId,
        group: &Bytes,
        head: Bytes,
        mut writes: Vec<Write>,
    ) -> Result<bool> {
        let row = RowRef { table: Table::Event, suffix: Bytes::from_static(QUEUE_HEAD) };
        writes.push(Write::Delete(row.clone()));
        let expects = vec![Expect::Equals(row, head)];
        match self.store.try_commit(Partition::Bucket(bucket), group, expects, writes).await {
            Err(Error::NoSuchBucket) => Ok(true),
            other => Ok(other?.is_ok()),
        }
    }
}

/// An event of a queue. One that cannot be read stays for the check to find.
pub(super) fn readable(row: &OwnedRow) -> Option<(u64, EventRecord)> {
    let sequence = sequence_of(&row.suffix).ok()??;
    match decode(&row.value, "event") {
        Ok(event) => Some((sequence, event)),
        Err(error) => {
            let key = String::from_utf8_lossy(&row.group);
            tracing::error!(%key, %error, "an event is not told");
            None
        }
    }
}

/// Why a key's events are not all delivered.
enum Stop {
    Undelivered(String),
    /// The target is left alone, somebody else delivers, or it is another key's turn.
    NotNow,
    Store(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Store(error)
    }
}
