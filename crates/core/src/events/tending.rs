//! Looks at the whole queue now and then: what waits is counted, what has waited for too
//! long is given up, and what nothing refers to any more goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use parking_lot::Mutex;

use super::delivery::{EventJob, readable};
use super::queue::{QUEUE_HEAD, began_ms, event_row};
use super::walk::{PAGE_ROWS, RETRY_AFTER, ToldBucket};
use super::{EventRecord, Notification, QueueHead};
use crate::claim;
use crate::engine::{BucketId, Expect, Partition, ScanRange, Write};
use crate::error::{Error, Result};
use crate::record::decode;
use crate::scan::behind;
use crate::steady::SteadyClock;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(300);
/// Keys whose events are given up at once.
const KEYS_AT_ONCE: usize = 32;
/// How long a key's last number is kept where clocks may differ, at most by this.
const HEAD_LINGERS_MS: u64 = 900_000;
/// When events are too old.
pub(super) struct Tending {
    store: Arc<Store>,
    age_max: Duration,
    clock: SteadyClock,
    /// Rows of buckets without rules that had no events at the last look.
    idle: Mutex<HashSet<Bytes>>,
}

/// What waits for targets: how much, and since when.
type Waiting = HashMap<String, (u64, u64)>;

impl Tending {
    pub fn new(store: &Arc<Store>, age_max: Duration) -> Tending {
        let clock = SteadyClock::new(store.now_ms(), age_max);
        Tending { store: store.clone(), age_max, clock, idle: Mutex::default() }
    }

    /// Whether an event has waited for too long. A clock that has jumped ahead would throw
    /// away all that waits.
    pub fn gives_up(&self, event: &EventRecord) -> bool {
        let now_ms = self.store.now_ms();
        let age_ms = now_ms.saturating_sub(event.at_ms);
        u128::from(age_ms) > self.age_max.as_millis() && self.clock.is_steady(now_ms)
    }
}

impl EventJob {
    pub(super) async fn tend_again_and_again(&self) {
        loop {
            if self.holds()
                && let Err(error) = self.tend().await
            {
                tracing::warn!(%error, "the queue of events will be looked at again");
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            let pause = if self.holds() { EVERY } else { claim::BEAT };
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at the whole queue once. What is wrong with one bucket keeps nobody from the
    /// others.
    pub async fn tend(&self) -> Result<()> {
        let (mut waiting, mut lost) = (Waiting::new(), BTreeMap::new());
        let idle_before = std::mem::take(&mut *self.tending.idle.lock());
        let mut outcome = Ok(());
        for told in self.told().await? {
            let name = String::from_utf8_lossy(&told.name).into_owned();
            if let Err(error) = self.tend_told(told, &idle_before, &mut waiting, &mut lost).await {
                tracing::warn!(bucket = name, %error, "a queue of events cannot be looked at");
                outcome = Err(error);
            }
        }
        for lane in self.store.lanes.all() {
            let (count, oldest_ms) = waiting.get(&lane.name).copied().unwrap_or_default();
            lane.counted(count, oldest_ms);
        }
        for (target, count) in lost {
            tracing::error!(target, count, "events have waited for too long and are lost");
            if let Some(lane) = self.store.lanes.get(&target) {
                lane.stats.expired.fetch_add(count, Relaxed);
            }
        }
        outcome
    }

    async fn tend_told(
        &self,
        told: ToldBucket,
        idle_before: &HashSet<Bytes>,
        waiting: &mut Waiting,
        lost: &mut BTreeMap<String, u64>,
    ) -> Result<()> {
        let is_empty = self.tend_bucket(told.id, waiting, lost).await?;
        let notification: Notification = decode(&told.row, "notification")?;
        if !is_empty || !notification.rules.is_empty() {
            return Ok(());
        }
        // What leads to rows of other kinds stays while there are any.
        if !self.dues(told.id, ScanRange::all(), 1).await?.is_empty() {
            return Ok(());
        }
        // A commit by the rules that there were may just be under way.
        if !idle_before.contains(&told.row) {
            self.tending.idle.lock().insert(told.row);
            return Ok(());
        }
        let row = super::target_row(told.id);
        let expects = vec![Expect::Equals(row.clone(), told.row)];
        let writes = vec![Write::Delete(row)];
        let _ = self.store.try_commit(Partition::System, &told.name, expects, writes).await?;
        self.store.collect_partition(told.id);
        Ok(())
    }

    /// Whether nothing waits in it.
    async fn tend_bucket(
        &self,
        bucket: BucketId,
        waiting: &mut Waiting,
        lost: &mut BTreeMap<String, u64>,
    ) -> Result<bool> {
        let mut is_empty = true;
        let mut range = ScanRange::all();
        // A key's row with the last number, until an event of the key is seen.
        let mut head: Option<(Bytes, Bytes)> = None;
        loop {
            let page = self.events(bucket, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { break };
            let mut given_up: BTreeMap<Bytes, Vec<u64>> = BTreeMap::new();
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
                if self.tending.gives_up(&event) {
                    given_up.entry(row.group).or_default().push(sequence);
                    *lost.entry(event.target).or_default() += 1;
                    continue;
                }
                is_empty = false;
                let (count, oldest_ms) = waiting.entry(event.target).or_insert((0, event.at_ms));
                *count += 1;
                *oldest_ms = event.at_ms.min(*oldest_ms);
            }
            self.give_up(bucket, given_up).await?;
            range = next;
        }
        self.drop_idle_head(bucket, head).await?;
        Ok(is_empty)
    }

    /// Removes events by their keys: one commit for each key, many at once, as they may
    /// come as fast as they are queued.
    async fn give_up(&self, bucket: BucketId, events: BTreeMap<Bytes, Vec<u64>>) -> Result<()> {
        let keys = stream::iter(events.into_iter().map(Ok));
        keys.try_for_each_concurrent(KEYS_AT_ONCE, |(group, sequences)| async move {
            let writes = sequences.into_iter().map(|it| Write::Delete(event_row(it))).collect();
            let partition = Partition::Bucket(bucket);
            match self.store.try_commit(partition, &group, vec![], writes).await {
                // With all that it held.
                Err(Error::NoSuchBucket) => Ok(()),
                other => other.map(|_| ()),
            }
        })
        .await
    }

    async fn drop_idle_head(&self, bucket: BucketId, head: Option<(Bytes, Bytes)>) -> Result<()> {
        let Some((group, value)) = head else { return Ok(()) };
        let last = match decode::<QueueHead>(&value, "queue head") {
            Ok(head) => head.last,
            Err(error) => {
                let key = String::from_utf8_lossy(&group);
                tracing::error!(%key, %error, "a key's last number cannot be read");
                return Ok(());
            }
        };
        let lingers_ms = if self.is_shared() { HEAD_LINGERS_MS } else { 0 };
        if began_ms(last) + lingers_ms <= self.store.now_ms() {
            self.remove_head(bucket, &group, value, Vec::new()).await?;
        }
        Ok(())
    }
}
