//! The job that makes the reports that are due.
//!
//! Buckets take turns ([`turn`](super::turn)), some of them at once, so that no large
//! one keeps the others waiting for more than a file of its report. A bucket of which
//! nothing is due is left alone until something may be.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::turn::Next;
use crate::bucket::ListBuckets;
use crate::claim::{self, Claim};
use crate::error::{Error, Result};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::pace::Pace;
use crate::store::Store;

/// Objects looked at for one file, at most.
const FILE_ROWS_MAX: usize = 1_000_000;
/// Buckets whose turn it is, at most.
const AT_ONCE: usize = 4;
/// Pauses after failures.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What the job has done since the process began.
#[derive(Default, Debug)]
pub struct InventoryStats {
    /// Complete reports.
    pub reports: AtomicU64,
    /// Objects and versions in their files.
    pub rows: AtomicU64,
    pub failures: AtomicU64,
}

/// An inventory whose report has failed.
struct Trouble {
    failures: u32,
    again: Instant,
}

/// A bucket's name, and the token of a configuration that it has.
type Whose = (String, Bytes);

/// Why a bucket of which nothing is due need not be looked at.
pub(super) struct Rest {
    /// Of the inventories that it has. Others have another.
    pub write_id: Bytes,
    /// Nothing is due from then on, by the store's clock,
    pub from_ms: u64,
    /// until then,
    pub until_ms: u64,
    /// or until what has failed is to be tried again.
    pub again: Option<Instant>,
}

/// Runs in the background for the life of a store, in every process that serves one.
pub struct InventoryJob {
    pub(super) store: Arc<Store>,
    /// Whose buckets.
    owner_uin: u64,
    /// Of objects looked at, by all reports together.
    pub(super) pace: Arc<tokio::sync::Mutex<Pace>>,
    pub(super) file_rows_max: usize,
    pub(super) claim: Claim,
    pub(super) stats: Arc<InventoryStats>,
    troubles: Mutex<HashMap<Whose, Trouble>>,
    /// By the names of buckets.
    rests: Mutex<HashMap<String, Rest>>,
}

impl InventoryJob {
    pub fn new(store: Arc<Store>, owner_uin: u64, rows_per_second: u64) -> InventoryJob {
        InventoryJob::bounded(store, owner_uin, rows_per_second, FILE_ROWS_MAX)
    }

    /// With files of so many objects looked at, at most.
    pub fn bounded(
        store: Arc<Store>,
        owner_uin: u64,
        rows_per_second: u64,
        file_rows_max: usize,
    ) -> InventoryJob {
        let claim = Claim::new(store.clone(), "inventories");
        let pace = Arc::new(tokio::sync::Mutex::new(Pace::new(rows_per_second)));
        let (stats, troubles, rests) = Default::default();
        InventoryJob { store, owner_uin, pace, file_rows_max, claim, stats, troubles, rests }
    }

    pub fn stats(&self) -> Arc<InventoryStats> {
        self.stats.clone()
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        let mut lanes = Lanes::new(&self);
        let mut look_at = Instant::now();
        loop {
            lanes.begin();
            tokio::select! {
                Some(ended) = lanes.turns.next() => lanes.end(ended),
                _ = timeout_at(look_at, self.store.inventories_changed.notified()) => {
                    let pause = match self.look(&mut lanes).await {
                        Ok(()) => self.look_again_after(),
                        Err(error) => {
                            self.stats.failures.fetch_add(1, Relaxed);
                            tracing::warn!(%error, "inventories will be tried again");
                            RETRY_AFTER
                        }
                    };
                    look_at = Instant::now() + pause;
                }
            }
        }
    }

    /// Some hundred times in a day, so that others see this process alive in between.
    fn look_again_after(&self) -> Duration {
        let pause = Duration::from_millis(self.store.options.day_ms / 288);
        pause.clamp(Duration::from_millis(100), claim::BEAT)
    }

    /// Makes all reports that are due.
    pub async fn round(&self) -> Result<()> {
        let mut lanes = Lanes::new(self);
        self.look(&mut lanes).await?;
        lanes.begin();
        while let Some(ended) = lanes.turns.next().await {
            lanes.end(ended);
            lanes.begin();
        }
        Ok(())
    }

    /// Has every bucket wait for its turn of which something may be due.
    async fn look(&self, lanes: &mut Lanes<'_>) -> Result<()> {
        if !self.claim.hold().await? {
            lanes.give_way();
            return Ok(());
        }
        let (owner_uin, max) = (self.owner_uin, PAGE_ENTRIES_MAX);
        let mut request = ListBuckets { owner_uin, max, ..ListBuckets::default() };
        let mut seen = HashSet::new();
        loop {
            let page = self.store.list_buckets(&request).await?;
            for bucket in page.buckets {
                let inventories = bucket.settings().inventories.clone();
                if inventories.is_empty() {
                    continue;
                }
                let name = bucket.name.as_str().to_owned();
                if !self.rests(&name, &inventories) {
                    lanes.wait(&name);
                }
                seen.insert(name);
            }
            let Some(next) = page.next else { break };
            request.after = next;
        }
        self.rests.lock().retain(|name, _| seen.contains(name));
        self.troubles.lock().retain(|(name, _), _| seen.contains(name));
        Ok(())
    }

    fn rests(&self, bucket: &str, inventories: &Bytes) -> bool {
        let (now, now_ms) = (Instant::now(), self.store.now_ms());
        self.rests.lock().get(bucket).is_some_and(|rest| {
            rest.write_id == *inventories
                && (rest.from_ms..rest.until_ms).contains(&now_ms)
                && rest.again.is_none_or(|again| now < again)
        })
    }

    /// A bucket's turn. Whether there is more to do for it.
    async fn turn(&self, name: String) -> (String, bool) {
        let served = async {
            match self.claim.hold().await? {
                true => self.serve(&self.store.bucket(&name).await?).await,
                false => Ok(Next::Later),
            }
        };
        let goes_on = match served.await {
            Ok(Next::More) => true,
            Ok(Next::Later) | Err(Error::NoSuchBucket) => false,
            Ok(Next::Nothing(rest)) => {
                self.rests.lock().insert(name.clone(), rest);
                false
            }
            // Others need not wait for it.
            Err(error) => {
                self.stats.failures.fetch_add(1, Relaxed);
                tracing::warn!(bucket = %name, %error, "inventories will be tried again");
                false
            }
        };
        (name, goes_on)
    }

    /// When a configuration is tried again that has failed, if that is not yet.
    pub(super) fn again(&self, bucket: &str, token: &Bytes) -> Option<Instant> {
        let troubles = self.troubles.lock();
        let again = troubles.get(&(bucket.to_owned(), token.clone()))?.again;
        Some(again).filter(|again| *again > Instant::now())
    }

    pub(super) fn failed(&self, bucket: &str, id: &str, token: &Bytes, error: &Error) {
        self.stats.failures.fetch_add(1, Relaxed);
        tracing::warn!(%bucket, %id, %error, "an inventory will be tried again");
        let mut troubles = self.troubles.lock();
        let again = Instant::now();
        let trouble = troubles.entry((bucket.to_owned(), token.clone()));
        let trouble = trouble.or_insert(Trouble { failures: 0, again });
        let pause = RETRY_AFTER * (1 << trouble.failures.min(10));
        trouble.failures += 1;
        trouble.again = again + pause.min(RETRY_AFTER_MAX);
    }

    /// A configuration has not failed this time, or it is gone.
    pub(super) fn recovered(&self, bucket: &str, token: &Bytes) {
        self.troubles.lock().remove(&(bucket.to_owned(), token.clone()));
    }
}

/// Buckets whose turn it is, and those that wait for it.
struct Lanes<'a> {
    job: &'a InventoryJob,
    turns: FuturesUnordered<BoxFuture<'a, (String, bool)>>,
    queue: VecDeque<String>,
    /// Both.
    names: HashSet<String>,
}

impl<'a> Lanes<'a> {
    fn new(job: &'a InventoryJob) -> Lanes<'a> {
        let (turns, queue, names) = Default::default();
        Lanes { job, turns, queue, names }
    }

    fn wait(&mut self, name: &str) {
        if self.names.insert(name.to_owned()) {
            self.queue.push_back(name.to_owned());
        }
    }

    fn begin(&mut self) {
        while self.turns.len() < AT_ONCE
            && let Some(name) = self.queue.pop_front()
        {
            self.turns.push(Box::pin(self.job.turn(name)));
        }
    }

    fn end(&mut self, (name, goes_on): (String, bool)) {
        match goes_on {
            true => self.queue.push_back(name),
            false => drop(self.names.remove(&name)),
        }
    }

    /// The work is another process's. What is being done notices it by itself.
    fn give_way(&mut self) {
        for name in self.queue.drain(..) {
            self.names.remove(&name);
        }
    }
}
