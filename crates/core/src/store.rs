//! The store: one engine with the rules of buckets, objects and uploads on top.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::access::PolicyCache;
use crate::bill::{BillPages, PriceBook};
use crate::bucket::{BucketDirectory, Settled};
use crate::checksum::Hasher;
use crate::collector::{Collectable, Collector, Pins};
use crate::cors::Cors;
use crate::engine::{BlobId, CommitError, Engine, Expect, Partition, RowRef, Table, Write};
use crate::env::{Clock, Entropy};
use crate::error::{Error, Result};
use crate::events::{self, Courier, Dues, Lanes, NoTargets, Notification};
use crate::lifecycle::Lifecycle;
use crate::lock::LockClock;
use crate::logging::{Logging, Spool};
use crate::referer::RefererList;
use crate::restore::RestoreDelays;
use crate::scrub::ScrubProgress;
use crate::setting_cache::SettingCache;
use crate::tier::Tiers;
use crate::tiering::{Accesses, Archivings};
use crate::usage::{self, Gathering};
use crate::website::Website;

/// What the store is told from outside.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Region of buckets created without another.
    pub region: String,
    /// Bytes of bodies that may be in memory on their way in, over all requests.
    pub ingest_bytes_max: usize,
    /// How long a day is taken to be wherever something is counted in days.
    pub day_ms: u64,
    /// How long after the end of an hour all processes are taken to have written what
    /// they counted in it.
    pub usage_settle_ms: u64,
    /// Where the bodies of each storage class are kept, and how.
    pub tiers: Tiers,
    pub restore_delays: RestoreDelays,
    /// Carries events to their targets.
    pub courier: Arc<dyn Courier>,
    pub prices: Arc<PriceBook>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            region: "ap-guangzhou".into(),
            ingest_bytes_max: 96 << 20,
            day_ms: crate::lifecycle::DAY_MS,
            usage_settle_ms: 300_000,
            tiers: Tiers::default(),
            restore_delays: RestoreDelays::default(),
            courier: Arc::new(NoTargets),
            prices: Arc::default(),
        }
    }
}

/// Buckets and objects over an engine. Shared by all requests.
pub struct Store {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) options: StoreOptions,
    pub(crate) buckets: BucketDirectory,
    pub(crate) pins: Pins,
    pub(crate) collect: mpsc::Sender<Collectable>,
    /// Names this run of this process in pending records.
    pub(crate) writer: [u8; 16],
    /// Pending blobs of this run that somebody still writes or is committing.
    pub(crate) writing: Mutex<HashSet<BlobId>>,
    /// Kibibytes of bodies in memory, for small bodies and for large ones. Two
    /// pools, so that a request waiting in the second never starves the first.
    pub(crate) pool_kib: usize,
    pub(crate) small_bodies: Arc<Semaphore>,
    pub(crate) large_bodies: Arc<Semaphore>,
    /// What of those may be taken by bodies that are kept slow.
    pub(crate) slowed_bodies: Arc<Semaphore>,
    pub(crate) hasher: Arc<Hasher>,
    pub(crate) scrub: ScrubProgress,
    pub(crate) lifecycles: SettingCache<Lifecycle>,
    pub(crate) cors_rules: SettingCache<Cors>,
    pub(crate) accesses: Accesses,
    pub(crate) archivings: SettingCache<Archivings>,
    pub(crate) referer_lists: SettingCache<RefererList>,
    pub(crate) websites: SettingCache<Website>,
    pub(crate) loggings: SettingCache<Logging>,
    pub(crate) spool: Spool,
    /// There may be a report to be made.
    pub(crate) inventories_changed: Notify,
    pub(crate) gathering: Gathering,
    pub(crate) notifications: SettingCache<Notification>,
    pub(crate) lanes: Lanes,
    pub(crate) dues: Dues,
    /// Held by whoever makes a bill of a month that is not closed.
    pub(crate) billing: tokio::sync::Mutex<()>,
    pub(crate) bill_pages: BillPages,
    pub(crate) policies: PolicyCache,
    pub(crate) lock_clock: LockClock,
}

impl Store {
    /// Opens the store over an engine. The collector runs when the caller spawns
    /// it; it begins with what an earlier run left behind.
    pub fn new(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: StoreOptions,
    ) -> (Arc<Store>, Collector) {
        let (collect, collectables) = mpsc::channel(4096);
        let pool_kib = (options.ingest_bytes_max / 2 / 1024).clamp(2048, u32::MAX as usize);
        let memory_max = engine.peers().map(|peers| peers.memory_max());
        let lanes = Lanes::new(options.courier.targets());
        let store = Arc::new(Store {
            writer: entropy.id(),
            writing: Mutex::default(),
            engine,
            clock,
            entropy,
            options,
            buckets: BucketDirectory::new(memory_max),
            pins: Pins::default(),
            collect,
            pool_kib,
            small_bodies: Arc::new(Semaphore::new(pool_kib)),
            large_bodies: Arc::new(Semaphore::new(pool_kib)),
            slowed_bodies: Arc::new(Semaphore::new(pool_kib / 2)),
            hasher: Hasher::new(),
            scrub: ScrubProgress::default(),
            lifecycles: SettingCache::default(),
            cors_rules: SettingCache::default(),
            accesses: Accesses::default(),
            archivings: SettingCache::default(),
            referer_lists: SettingCache::default(),
            websites: SettingCache::default(),
            loggings: SettingCache::default(),
            spool: Spool::default(),
            inventories_changed: Notify::new(),
            gathering: Gathering::default(),
            notifications: SettingCache::default(),
            lanes,
            dues: Dues::default(),
            billing: tokio::sync::Mutex::default(),
            bill_pages: BillPages::default(),
            policies: PolicyCache::default(),
            lock_clock: LockClock::default(),
        });
        if let Some(peers) = store.engine.peers() {
            let store = Arc::downgrade(&store);
            peers.listen(Box::new(move |bucket| match (store.upgrade(), bucket) {
                (Some(store), Some(id)) => store.buckets.forget(Partition::Bucket(id)),
                (Some(store), None) => store.buckets.forget_all(),
                (None, _) => {}
            }));
        }
        let collector = Collector::new(store.clone(), collectables);
        (store, collector)
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// The targets of events that there are, and how their deliveries go.
    pub fn event_lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub fn scrub_progress(&self) -> &ScrubProgress {
        &self.scrub
    }

    pub(crate) fn fresh_id(&self) -> Bytes {
        Bytes::copy_from_slice(&self.entropy.id())
    }

    pub(crate) async fn read_row(
        &self,
        partition: Partition,
        group: &[u8],
        row: RowRef,
    ) -> Result<Option<Bytes>> {
        let mut rows = self.engine.index().read(partition, group, &[row]).await?;
        Ok(rows.pop().flatten())
    }

    /// Commits; `Ok(false)` when an expectation did not hold.
    pub(crate) async fn try_commit(
        &self,
        partition: Partition,
        group: &Bytes,
        expects: Vec<Expect>,
        writes: Vec<Write>,
    ) -> Result<Result<(), usize>> {
        let commit = usage::counting(partition, group.clone(), expects, writes);
        let reading = usage::Reading::of(&commit);
        self.committed(partition, self.engine.index().commit(commit).await, reading)
    }

    /// Commits what was decided by a bucket's settings. The first expectation must
    /// be one that its caller looks at again: it counts as the one that did not
    /// hold when the settings have changed.
    pub(crate) async fn try_commit_by(
        &self,
        settled: &Settled<'_>,
        group: &Bytes,
        expects: Vec<Expect>,
        writes: Vec<Write>,
    ) -> Result<Result<(), usize>> {
        let partition = settled.bucket.partition();
        let Some(peers) = self.engine.peers() else {
            return self.try_commit(partition, group, expects, writes).await;
        };
        let commit = usage::counting(partition, group.clone(), expects, writes);
        let reading = usage::Reading::of(&commit);
        self.committed(partition, peers.commit_by(settled.epoch(), commit).await, reading)
    }

    fn committed(
        &self,
        partition: Partition,
        outcome: Result<(), CommitError>,
        reading: usage::Reading,
    ) -> Result<Result<(), usize>> {
        match outcome {
            Ok(()) => {
                reading.note();
                Ok(Ok(()))
            }
            Err(CommitError::Conflict(index)) => Ok(Err(index)),
            Err(CommitError::Superseded) => {
                self.buckets.forget(partition);
                Ok(Err(0))
            }
            Err(CommitError::NoPartition) => {
                self.buckets.forget(partition);
                Err(Error::NoSuchBucket)
            }
            Err(CommitError::Engine(error)) => Err(error.into()),
        }
    }
}

/// Runs work to its end even if the caller is dropped, as it is when a client
/// goes away.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match tokio::spawn(events::carried(usage::carried(work))).await {
        Ok(result) => result,
        Err(error) => Err(Error::Internal(format!("a task failed: {error}"))),
    }
}

/// `Equals` or `Absent`, as the row was read.
pub(crate) fn unchanged(table: Table, suffix: Bytes, value: &Option<Bytes>) -> Expect {
    let row = RowRef { table, suffix };
    match value {
        Some(value) => Expect::Equals(row, value.clone()),
        None => Expect::Absent(row),
    }
}
