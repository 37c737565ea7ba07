//! The job that delivers events.
//!
//! Each target has its own lane, so that one that is dead or slow holds up no other. A
//! lane takes the keys that it was told of, and walks the queue for those that it was
//! not: after a start, and now and then where other processes queue events, too. A key's
//! events are sent one after the other, and the next only when the one before is
//! acknowledged and gone. One process at a time delivers; what it has begun is over before
//! another may take its place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::lane::{Lane, Place};
use super::queue::{QUEUE_HEAD, began_ms, event_row, sequence_of};
use super::settings::bucket_of;
use super::{Dispatch, EventRecord, Notification, QueueHead};
use crate::claim::{self, Claim};
use crate::engine::{BucketId, Expect, Partition, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::record::decode;
use crate::scan::{OwnedRow, behind, rows};
use crate::store::Store;

/// How long a delivery may take. With what a claim is taken to hold after the last look
/// at it, this is less than what others wait for it to be given up.
pub const DELIVERY_MAX: Duration = Duration::from_secs(8);
const HELD_MAX: Duration = Duration::from_secs(5);
const _: () = assert!(
    claim::BEAT.as_secs() + HELD_MAX.as_secs() + DELIVERY_MAX.as_secs() < claim::EXPIRES.as_secs()
);

/// Rows in memory at once.
const PAGE_ROWS: usize = 1000;
/// Keys that a lane takes at once.
const KEYS_AT_ONCE: usize = 256;
/// Rows of one key that are read at once.
const KEY_ROWS: usize = 64;
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often the whole queue is looked at, for what is too old and for the figures.
const TEND_EVERY: Duration = Duration::from_secs(300);
/// How often it is walked where other processes queue events.
const WALK_EVERY: Duration = Duration::from_secs(2);
/// How long a key's last number is kept where clocks may differ, at most by this.
const HEAD_LINGERS_MS: u64 = 900_000;

#[derive(Clone, Copy, Debug)]
pub struct EventOptions {
    /// How long an event waits for its target; older ones are lost.
    pub age_max: Duration,
    /// Messages to one target that are under way at once.
    pub at_once: usize,
}

/// Runs in the background for the life of a store, in every process that serves one.
pub struct EventJob {
    store: Arc<Store>,
    options: EventOptions,
    claim: Claim,
    held: Mutex<Option<Instant>>,
    /// Rows of buckets without rules that had no events at the last look.
    idle: Mutex<HashSet<Bytes>>,
}

/// A walk over the queue under way.
struct Walk {
    /// Those that are still to be visited.
    buckets: Vec<BucketId>,
    range: ScanRange,
}

/// A bucket whose events are, or were, told.
struct Told {
    name: Bytes,
    id: BucketId,
    row: Bytes,
}

impl EventJob {
    pub fn new(store: Arc<Store>, options: EventOptions) -> EventJob {
        let claim = Claim::new(store.clone(), "events");
        EventJob { store, options, claim, held: Mutex::default(), idle: Mutex::default() }
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        let lanes = join_all(self.store.lanes.all().map(|lane| self.serve(lane)));
        tokio::join!(self.keep_claim(), self.tend_again_and_again(), lanes);
    }

    fn is_shared(&self) -> bool {
        self.store.engine.peers().is_some()
    }

    /// Whether deliveries are this process's for now.
    fn holds(&self) -> bool {
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
        let mut walk_at = Instant::now();
        let mut walk = None;
        loop {
            if !self.holds() {
                // Whoever delivers them finds them by walking, and so does this one then.
                lane.forget();
                (walk, walk_at) = (None, Instant::now());
                tokio::time::sleep(claim::BEAT / 4).await;
                continue;
            }
            if let Some(until) = lane.paused_until() {
                tokio::time::sleep_until(until.min(Instant::now() + HELD_MAX)).await;
                continue;
            }
            if walk.is_none() && (lane.take_overflow() || Instant::now() >= walk_at) {
                let every = if self.is_shared() { WALK_EVERY } else { TEND_EVERY };
                walk_at = Instant::now() + every;
                match self.begin_walk().await {
                    Ok(begun) => walk = Some(begun),
                    Err(error) => self.try_later(&mut walk_at, &error),
                }
            }
            let mut places = lane.take(KEYS_AT_ONCE);
            if let Some(walking) = &mut walk {
                match self.page(lane, walking).await {
                    Ok(Some(found)) => places.extend(found),
                    Ok(None) => walk = None,
                    Err(error) => {
                        walk = None;
                        self.try_later(&mut walk_at, &error);
                    }
                }
            }
            if places.is_empty() && walk.is_none() {
                let next = lane.next_try().map_or(walk_at, |next| next.min(walk_at));
                let next = next.min(Instant::now() + HELD_MAX);
                let _ = tokio::time::timeout_at(next, lane.wake.notified()).await;
                continue;
            }
            // What a walk has found may have been named besides.
            places.sort();
            places.dedup();
            let places = stream::iter(places);
            places.for_each_concurrent(self.options.at_once, |it| self.deliver_key(lane, it)).await;
        }
    }

    fn try_later(&self, at: &mut Instant, error: &Error) {
        tracing::warn!(%error, "the queue of events will be read again");
        *at = Instant::now() + RETRY_AFTER;
    }

    async fn begin_walk(&self) -> Result<Walk> {
        let told = self.told().await?;
        Ok(Walk { buckets: told.into_iter().map(|it| it.id).collect(), range: ScanRange::all() })
    }

    /// Keys of a lane on the next page of a walk; `None` behind the last.
    async fn page(&self, lane: &Lane, walk: &mut Walk) -> Result<Option<Vec<Place>>> {
        let Some(bucket) = walk.buckets.last().copied() else { return Ok(None) };
        let page = self.events(bucket, walk.range.clone(), PAGE_ROWS).await?;
        match behind(&page) {
            Some(range) => walk.range = range,
            None => {
                walk.buckets.pop();
                walk.range = ScanRange::all();
            }
        }
        let mut places: Vec<Place> = Vec::new();
        for row in page {
            let Some((_, event)) = readable(&row) else { continue };
            let is_known = places.last().is_some_and(|(_, group)| *group == row.group);
            let place = (bucket, row.group);
            if event.target == lane.name && !is_known && !lane.has_failed(&place) {
                places.push(place);
            }
        }
        Ok(Some(places))
    }

    async fn events(
        &self,
        bucket: BucketId,
        range: ScanRange,
        limit: usize,
    ) -> Result<Vec<OwnedRow>> {
        rows(&*self.store.engine, Partition::Bucket(bucket), Table::Event, range, limit).await
    }

    /// Delivers what waits of a key, in order, until something does not arrive.
    async fn deliver_key(&self, lane: &Lane, place: Place) {
        match self.deliver_rows(lane, &place).await {
            Ok(()) => lane.done(&place),
            // Looked at again when its time comes, or by the next walk.
            Err(Stop::Undelivered(why)) => {
                if !lane.stats.is_failing.load(Relaxed) {
                    tracing::warn!(target = lane.name, error = why, "an event was not taken");
                }
                lane.failed(place, why);
            }
            Err(Stop::NotNow) => lane.remember(place),
            Err(Stop::Store(error)) => {
                tracing::warn!(%error, "events of a key will be delivered again");
                lane.failed(place, error.to_string());
            }
        }
    }

    async fn deliver_rows(&self, lane: &Lane, place: &Place) -> std::result::Result<(), Stop> {
        let (bucket, group) = place;
        let key = String::from_utf8_lossy(group);
        let (mut head, mut stays) = (None, false);
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
                if !self.is_too_old(&event) {
                    if lane.is_stopped() || !self.holds() {
                        return Err(Stop::NotNow);
                    }
                    self.send(lane, &key, sequence, &event).await?;
                } else {
                    lane.stats.expired.fetch_add(1, Relaxed);
                }
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

    fn is_too_old(&self, event: &EventRecord) -> bool {
        let age_ms = self.store.now_ms().saturating_sub(event.at_ms);
        u128::from(age_ms) > self.options.age_max.as_millis()
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
    async fn remove_head(
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

    async fn tend_again_and_again(&self) {
        loop {
            if self.holds()
                && let Err(error) = self.tend().await
            {
                tracing::warn!(%error, "the queue of events will be looked at again");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            let pause = if self.holds() { TEND_EVERY } else { claim::BEAT };
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at the whole queue: counts what waits, removes what is too old and what
    /// nothing refers to any more.
    pub async fn tend(&self) -> Result<()> {
        let mut waiting: HashMap<String, (u64, u64)> = HashMap::new();
        let idle_before = std::mem::take(&mut *self.idle.lock());
        for told in self.told().await? {
            let is_empty = self.tend_bucket(told.id, &mut waiting).await?;
            let notification: Notification = decode(&told.row, "notification")?;
            if is_empty && notification.rules.is_empty() {
                // A commit by the rules that there were may just be under way.
                if !idle_before.contains(&told.row) {
                    self.idle.lock().insert(told.row);
                    continue;
                }
                let row = RowRef { table: Table::Event, suffix: id_suffix(told.id) };
                let expects = vec![Expect::Equals(row.clone(), told.row)];
                let writes = vec![Write::Delete(row)];
                let commit = self.store.try_commit(Partition::System, &told.name, expects, writes);
                let _ = commit.await?;
                self.store.collect_partition(told.id);
            }
        }
        for lane in self.store.lanes.all() {
            let (count, oldest_ms) = waiting.get(&lane.name).copied().unwrap_or_default();
            lane.counted(count, oldest_ms);
        }
        Ok(())
    }

    /// Whether nothing waits in it.
    async fn tend_bucket(
        &self,
        bucket: BucketId,
        waiting: &mut HashMap<String, (u64, u64)>,
    ) -> Result<bool> {
        let mut is_empty = true;
        let mut range = ScanRange::all();
        // A key's row with the last number, until an event of the key is seen.
        let mut head: Option<(Bytes, Bytes)> = None;
        loop {
            let page = self.events(bucket, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { break };
            for row in page {
                if row.suffix == QUEUE_HEAD {
                    self.drop_idle_head(bucket, head.replace((row.group, row.value))).await?;
                    continue;
                }
                if head.as_ref().is_some_and(|(group, _)| *group == row.group) {
                    head = None;
                }
                let Some((sequence, event)) = readable(&row) else {
                    is_empty = false;
                    continue;
                };
                if self.is_too_old(&event) {
                    self.remove(bucket, &row.group, sequence, None).await?;
                    if let Some(lane) = self.store.lanes.get(&event.target) {
                        lane.stats.expired.fetch_add(1, Relaxed);
                    }
                    continue;
                }
                is_empty = false;
                let (count, oldest_ms) = waiting.entry(event.target).or_insert((0, event.at_ms));
                *count += 1;
                *oldest_ms = event.at_ms.min(*oldest_ms);
            }
            range = next;
        }
        self.drop_idle_head(bucket, head).await?;
        Ok(is_empty)
    }

    async fn drop_idle_head(&self, bucket: BucketId, head: Option<(Bytes, Bytes)>) -> Result<()> {
        let Some((group, value)) = head else { return Ok(()) };
        let last = decode::<QueueHead>(&value, "queue head")?.last;
        let lingers_ms = if self.is_shared() { HEAD_LINGERS_MS } else { 0 };
        if began_ms(last) + lingers_ms <= self.store.now_ms() {
            self.remove_head(bucket, &group, value, Vec::new()).await?;
        }
        Ok(())
    }

    /// Buckets that may have events.
    async fn told(&self) -> Result<Vec<Told>> {
        let mut found = Vec::new();
        let mut range = ScanRange::all();
        loop {
            let engine = &*self.store.engine;
            let page = rows(engine, Partition::System, Table::Event, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(found) };
            let told = page.into_iter().filter_map(|row| {
                let id = bucket_of(&row.suffix)?;
                Some(Told { name: row.group, id, row: row.value })
            });
            found.extend(told);
            range = next;
        }
    }
}

fn id_suffix(bucket: BucketId) -> Bytes {
    super::target_row(bucket).suffix
}

/// An event of a queue. One that cannot be read stays for the check to find.
fn readable(row: &OwnedRow) -> Option<(u64, EventRecord)> {
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
    /// The target is left alone, or somebody else delivers.
    NotNow,
    Store(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Store(error)
    }
}
