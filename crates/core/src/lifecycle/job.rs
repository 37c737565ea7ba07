//! The job that applies all buckets' rules.
//!
//! What is counted in days falls due at midnight, so a round begins after each
//! midnight of a service's, and after a change of rules for the buckets concerned.
//! How far it came is a row, so that whoever goes on, after a restart or in the
//! place of a gateway that is gone, begins there.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message;
use tokio::time::{Instant, timeout};

use super::calendar::Calendar;
use super::removal::Ended;
use super::walk::{Aspect, Due, Place, Walk};
use crate::bucket::{Bucket, ListBuckets};
use crate::claim::{self, Claim};
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::object::MovePace;
use crate::pace::Pace;
use crate::record::{decode, encode};
use crate::store::{Store, unchanged};
use crate::tiering::{AccessTier, Tiering};

#[derive(Clone, Copy, Debug)]
pub struct LifecycleOptions {
    /// Whose buckets.
    pub owner_uin: u64,
    /// Rows looked at per second, at most.
    pub rows_per_second: u64,
    /// Objects, versions, markers and uploads ended per second, at most.
    pub ends_per_second: u64,
    /// Bytes moved to other classes per second, at most.
    pub moved_bytes_per_second: u64,
}

/// What the job has done since the process began.
#[derive(Default, Debug)]
pub struct LifecycleStats {
    /// Rows looked at.
    pub rows: AtomicU64,
    pub deleted: AtomicU64,
    pub marked: AtomicU64,
    pub versions_removed: AtomicU64,
    pub markers_removed: AtomicU64,
    pub uploads_aborted: AtomicU64,
    /// Objects and versions that have another class.
    pub moved: AtomicU64,
    /// Objects and versions that went to the infrequent tier.
    pub cooled: AtomicU64,
    /// To the archive tiers.
    pub archived: AtomicU64,
    /// Those that were restored from there, and went back to the frequent tier.
    pub raised: AtomicU64,
    /// The bytes of all these.
    pub moved_bytes: AtomicU64,
    /// Of objects and versions that are gone for good.
    pub bytes: AtomicU64,
    pub failures: AtomicU64,
    /// Rounds ended by this process.
    pub rounds: AtomicU64,
    /// When the round under way began, in ms since 1970; 0 for none.
    pub round_began_ms: AtomicU64,
    /// When the last complete round of any process began.
    pub last_round_ms: AtomicU64,
}

/// Where the rounds are, in the system partition.
#[derive(Clone, PartialEq, Message)]
struct Progress {
    /// When the round before began, in ms since 1970.
    #[prost(uint64, tag = "1")]
    before_ms: u64,
    /// When the last round began.
    #[prost(uint64, tag = "2")]
    began_ms: u64,
    /// The bucket it is at; empty when it is complete.
    #[prost(string, tag = "3")]
    bucket: String,
    #[prost(uint32, tag = "4")]
    aspect: u32,
    #[prost(bytes = "bytes", tag = "5")]
    group: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    suffix: Bytes,
}

const PROGRESS: Bytes = Bytes::from_static(b"lifecycle");

/// How often the progress is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Ends under way at once, so that their commits share syncs.
const AT_ONCE: usize = 16;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How fast things are ended.
struct Ends {
    count: Pace,
    moves: MovePace,
}

/// Runs in the background for the life of a store.
pub struct LifecycleJob {
    store: Arc<Store>,
    options: LifecycleOptions,
    stats: Arc<LifecycleStats>,
    claim: Claim,
}

impl LifecycleJob {
    pub fn new(store: Arc<Store>, options: LifecycleOptions) -> LifecycleJob {
        let claim = Claim::new(store.clone(), "lifecycle");
        LifecycleJob { store, options, stats: Arc::default(), claim }
    }

    pub fn stats(&self) -> Arc<LifecycleStats> {
        self.stats.clone()
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        loop {
            let pause = match self.round().await {
                Ok(true) => self.look_again_after(),
                Ok(false) => claim::BEAT,
                Err(error) => {
                    self.stats.failures.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "lifecycle will try again");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Some hundred times in a day, which is every five minutes of a real one.
    fn look_again_after(&self) -> Duration {
        let pause = Duration::from_millis(self.store.options.day_ms / 288);
        pause.clamp(Duration::from_millis(100), Duration::from_secs(300))
    }

    /// Does what there is to do now: goes on with the round under way, or begins
    /// one if rules wait for it. False when it is another process's work.
    pub async fn round(&self) -> Result<bool> {
        if !self.claim.hold().await? {
            return Ok(false);
        }
        let mut progress = self.read_progress().await?;
        if progress.bucket.is_empty() {
            self.stats.last_round_ms.store(progress.began_ms, Relaxed);
            let now_ms = self.store.now_ms();
            // A clock that was set back does not make the rules wait for it.
            let before_ms = progress.began_ms.min(now_ms);
            let next = Progress { before_ms, began_ms: now_ms, ..Progress::default() };
            let Some(first) = self.next_waiting(&next, "").await? else { return Ok(true) };
            progress = Progress { bucket: first.name.as_str().to_owned(), ..next };
        }
        self.stats.round_began_ms.store(progress.began_ms, Relaxed);
        let done = self.finish(&mut progress).await;
        self.stats.round_began_ms.store(0, Relaxed);
        if !done? {
            return Ok(false);
        }
        self.stats.last_round_ms.store(progress.began_ms, Relaxed);
        self.stats.rounds.fetch_add(1, Relaxed);
        Ok(true)
    }

    /// Goes on with a round until its end.
    async fn finish(&self, progress: &mut Progress) -> Result<bool> {
        let mut rows = Pace::new(self.options.rows_per_second);
        let mut ends = Ends {
            count: Pace::new(self.options.ends_per_second),
            moves: MovePace::new(Pace::new(self.options.moved_bytes_per_second)),
        };
        // Inclusive: the bucket at which the round was left is gone on with.
        let mut after = String::new();
        let mut resumed = Some(progress.bucket.clone());
        loop {
            let named = match &resumed {
                Some(name) => self.store.bucket(name).await.map(Some),
                None => self.next_waiting(progress, &after).await,
            };
            let bucket = match named {
                Ok(Some(bucket)) => Some(bucket),
                Ok(None) => None,
                Err(Error::NoSuchBucket) => {
                    // Deleted since: the next one begins at its beginning.
                    after = resumed.take().unwrap_or(after);
                    progress.begin_bucket(&after);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(bucket) = bucket else { break };
            if resumed.take().is_none() {
                progress.begin_bucket(bucket.name.as_str());
            }
            after = bucket.name.as_str().to_owned();
            match self.walk(&bucket, progress, &mut rows, &mut ends).await {
                Ok(true) | Err(Error::NoSuchBucket) => {}
                other => return other,
            }
        }
        progress.begin_bucket("");
        self.write_progress(progress).await?;
        Ok(true)
    }

    /// The first bucket behind a name whose rules wait for this round.
    async fn next_waiting(&self, progress: &Progress, after: &str) -> Result<Option<Arc<Bucket>>> {
        let owner_uin = self.options.owner_uin;
        let mut request = ListBuckets {
            owner_uin,
            after: after.to_owned(),
            max: PAGE_ENTRIES_MAX,
            ..ListBuckets::default()
        };
        loop {
            let page = self.store.list_buckets(&request).await?;
            for listed in &page.buckets {
                if !self.waits(listed, progress) {
                    continue;
                }
                match self.store.bucket(listed.name.as_str()).await {
                    Err(Error::NoSuchBucket) => {}
                    found => return found.map(Some),
                }
            }
            match page.next {
                Some(last) => request.after = last,
                None => return Ok(None),
            }
        }
    }

    /// Whether a bucket has rules that changed, or that a midnight was for, since
    /// the round before began, or intelligent tiering that a midnight was for.
    fn waits(&self, bucket: &Bucket, progress: &Progress) -> bool {
        let (settings, day_ms) = (bucket.settings(), self.store.options.day_ms);
        let midnight =
            |calendar: Calendar| calendar.last_midnight(progress.began_ms) > progress.before_ms;
        settings.lifecycle.as_ref().is_some_and(|rules| {
            rules.changed_ms >= progress.before_ms
                || midnight(Calendar::new(day_ms, rules.utc_offset_s))
        }) || settings.tiering.is_some() && midnight(Tiering::calendar(day_ms))
    }

    /// Applies one bucket's rules from where the progress says.
    async fn walk(
        &self,
        bucket: &Bucket,
        progress: &mut Progress,
        rows: &mut Pace,
        ends: &mut Ends,
    ) -> Result<bool> {
        let tiering = self.store.tiering_law(bucket, &bucket.settings()).await?;
        let lifecycle = match self.store.lifecycle(bucket).await {
            Err(Error::NoLifecycle) if tiering.is_some() => Arc::default(),
            Err(Error::NoLifecycle) => return Ok(true),
            found => found?,
        };
        let mut saved = Instant::now();
        let first = progress.aspect;
        for aspect in Aspect::ALL.into_iter().filter(|aspect| *aspect as u32 >= first) {
            let resumed = aspect as u32 == first;
            let place = if resumed { progress.place() } else { Place::default() };
            progress.go_to(aspect, place.clone());
            let partition = bucket.partition();
            let day_ms = self.store.options.day_ms;
            let walk = Walk::begin(aspect, partition, &lifecycle, tiering.as_ref(), day_ms, &place);
            let Some(mut walk) = walk else { continue };
            let engine = self.store.engine.clone();
            while let Some(page) = walk.page(&*engine, self.store.now_ms()).await? {
                self.stats.rows.fetch_add(page.rows as u64, Relaxed);
                self.stats.failures.fetch_add(page.damaged as u64, Relaxed);
                if !self.end_all(bucket, &page.found, ends).await? {
                    return Ok(false);
                }
                rows.spent(page.rows as u64).await;
                progress.go_to(aspect, page.place);
                if saved.elapsed() >= SAVE_EVERY {
                    self.write_progress(progress).await?;
                    saved = Instant::now();
                }
            }
        }
        Ok(true)
    }

    /// Ends what a page has shown; false when it is another process's work by now. One
    /// thing that is damaged keeps no other from being ended; what else fails is tried
    /// again later.
    async fn end_all(&self, bucket: &Bucket, due: &[Due], ends: &mut Ends) -> Result<bool> {
        // Asked for on a page without anything due as well.
        for some in due.chunks(AT_ONCE).chain(due.is_empty().then_some(&[][..])) {
            // Somebody else goes on when this process was away for too long.
            if !self.claim.hold().await? {
                return Ok(false);
            }
            let ending = some.iter().map(|due| self.store.end(bucket, &due.found, &ends.moves));
            let mut ending = pin!(join_all(ending));
            let results = loop {
                // Large objects take longer to move than a claim lasts.
                match timeout(claim::BEAT, &mut ending).await {
                    Ok(results) => break results,
                    Err(_) if !self.claim.hold().await? => return Ok(false),
                    Err(_) => {}
                }
            };
            for result in results {
                match result {
                    Ok(Some(ended)) => self.count(ended),
                    Ok(None) => {}
                    Err(error @ (Error::Damaged(_) | Error::Internal(_))) => {
                        self.stats.failures.fetch_add(1, Relaxed);
                        tracing::error!(bucket = %bucket.name, %error, "lifecycle passes over it");
                    }
                    Err(error) => return Err(error),
                }
            }
            ends.count.spent(some.len() as u64).await;
        }
        Ok(true)
    }

    fn count(&self, ended: Ended) {
        let stats = &self.stats;
        let counter = match ended {
            Ended::Deleted { bytes } => {
                stats.bytes.fetch_add(bytes, Relaxed);
                &stats.deleted
            }
            Ended::Marked => &stats.marked,
            Ended::VersionRemoved { bytes } => {
                stats.bytes.fetch_add(bytes, Relaxed);
                &stats.versions_removed
            }
            Ended::MarkerRemoved => &stats.markers_removed,
            Ended::Aborted => &stats.uploads_aborted,
            Ended::Moved { bytes } => {
                stats.moved_bytes.fetch_add(bytes, Relaxed);
                &stats.moved
            }
            Ended::Settled { tier, bytes } => {
                stats.moved_bytes.fetch_add(bytes, Relaxed);
                match tier {
                    AccessTier::Frequent => &stats.raised,
                    AccessTier::Infrequent => &stats.cooled,
                    AccessTier::Archive | AccessTier::DeepArchive => &stats.archived,
                }
            }
        };
        counter.fetch_add(1, Relaxed);
    }

    async fn read_progress(&self) -> Result<Progress> {
        let row = RowRef::only(Table::Installation);
        let row = self.store.read_row(Partition::System, &PROGRESS, row).await?;
        Ok(row.map(|row| decode(&row, "lifecycle progress")).transpose()?.unwrap_or_default())
    }

    async fn write_progress(&self, progress: &Progress) -> Result<()> {
        let row = RowRef::only(Table::Installation);
        let old = self.store.read_row(Partition::System, &PROGRESS, row.clone()).await?;
        let expects = vec![unchanged(Table::Installation, Bytes::new(), &old)];
        let writes = vec![Write::Put(row, encode(progress))];
        // A conflict means that another gateway is at it as well; either place serves.
        let _ = self.store.try_commit(Partition::System, &PROGRESS, expects, writes).await?;
        Ok(())
    }
}

impl Progress {
    fn begin_bucket(&mut self, name: &str) {
        self.bucket = name.to_owned();
        self.go_to(Aspect::Objects, Place::default());
    }

    fn place(&self) -> Place {
        Place { group: self.group.clone(), suffix: self.suffix.clone() }
    }

    fn go_to(&mut self, aspect: Aspect, place: Place) {
        self.aspect = aspect as u32;
        (self.group, self.suffix) = (place.group, place.suffix);
    }
}
