//! The collector frees what commits have unreferenced and what uploads that
//! never finished left behind.
//!
//! Everything it frees is named in a row: garbage rows are written by the very
//! commit that unreferences something, pending rows before a blob's first byte.
//! It is told of new work through a channel and finds the rest by scanning when
//! it starts, when the channel overflowed, and now and then. Each step may be
//! repeated, so a crash at any point only leaves work for the next run.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::claim::{self, Claim};
use crate::engine::{
    BlobId, BucketId, Expect, Partition, PartitionState, Retired, RowRef, ScanRange, Step, Table,
    Write,
};
use crate::error::{Error, Result};
use crate::limits::COLLECT_ROWS_MAX;
use crate::naming::{Named, Place, retain_unnamed};
use crate::record::{
    BucketRecord, Content, GarbageRecord, PartRecord, PendingRecord, blob_id, decode, encode,
    part_suffix, split_part_suffix,
};
use crate::scan::{OwnedRow, behind, rows};
use crate::store::Store;
use crate::tier::{BlobAddress, Coding, blobs, delete_blob};

/// Work for the collector.
#[derive(Debug)]
pub(crate) enum Collectable {
    /// A garbage row.
    Garbage { partition: Partition, group: Bytes, suffix: Bytes },
    /// A blob whose writer gave up; its pending row may or may not be there.
    Abandoned { partition: Partition, group: Bytes, blob: BlobId, place: Option<Arc<str>> },
    /// A partition retired by the deletion of its bucket.
    Partition(BucketId),
}

/// Sets of parts that are being read, or freed. A reader that comes first keeps
/// them; one that comes after the collector began must look the object up again.
#[derive(Default)]
pub(crate) struct Pins {
    sets: Mutex<HashMap<Bytes, Pin>>,
}

enum Pin {
    Readers(usize),
    Freeing,
}

/// Keeps a set of parts from being freed.
pub(crate) struct PinGuard {
    store: Arc<Store>,
    set: Bytes,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        let mut sets = self.store.pins.sets.lock();
        if let Some(Pin::Readers(count)) = sets.get_mut(&self.set) {
            *count -= 1;
            if *count == 0 {
                sets.remove(&self.set);
            }
        }
    }
}

/// Keeps readers from a set while it is being freed.
struct FreeingGuard {
    store: Arc<Store>,
    set: Bytes,
}

impl Drop for FreeingGuard {
    fn drop(&mut self) {
        self.store.pins.sets.lock().remove(&self.set);
    }
}

impl Store {
    /// `None` when the set is being freed.
    pub(crate) fn pin(self: &Arc<Self>, set: &Bytes) -> Option<PinGuard> {
        match self.pins.sets.lock().entry(set.clone()).or_insert(Pin::Readers(0)) {
            Pin::Readers(count) => *count += 1,
            Pin::Freeing => return None,
        }
        Some(PinGuard { store: self.clone(), set: set.clone() })
    }

    pub(crate) fn collect_garbage(&self, partition: Partition, group: &Bytes, suffix: Bytes) {
        self.offer(Collectable::Garbage { partition, group: group.clone(), suffix });
    }

    pub(crate) fn collect_partition(&self, bucket: BucketId) {
        self.offer(Collectable::Partition(bucket));
    }

    /// A full channel loses nothing: the next scan finds the rows.
    pub(crate) fn offer(&self, work: Collectable) {
        let _ = self.collect.try_send(work);
    }
}

/// Counters of the collector's work.
#[derive(Default, Debug)]
pub struct CollectorStats {
    pub blobs_freed: AtomicU64,
    pub abandoned_freed: AtomicU64,
    pub failures: AtomicU64,
}

/// Runs in the background for the life of a store.
pub struct Collector {
    store: Arc<Store>,
    work: mpsc::Receiver<Collectable>,
    stats: Arc<CollectorStats>,
    rescan: AtomicBool,
    /// Sweeps are one process's work; what a process is told of by its own
    /// requests, it does itself.
    claim: Claim,
    /// Live partitions that no name was found for, since when.
    unnamed: Mutex<HashMap<BucketId, Instant>>,
}

/// How long a partition without a name may be one that is being created by
/// another process. One that is slower begins anew.
const UNNAMED_MAX: Duration = Duration::from_secs(60);

const RESCAN_EVERY: Duration = Duration::from_secs(300);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Rows held in memory at once.
const PAGE_ROWS: usize = 512;
/// Rows worked on at once, so that their commits share syncs and writers that
/// overwrite at full speed do not outrun the collector.
const AT_ONCE: usize = 16;

impl Collector {
    pub(crate) fn new(store: Arc<Store>, work: mpsc::Receiver<Collectable>) -> Collector {
        let claim = Claim::new(store.clone(), "collector");
        Collector {
            store,
            work,
            stats: Arc::default(),
            rescan: AtomicBool::new(false),
            claim,
            unnamed: Mutex::default(),
        }
    }

    pub fn stats(&self) -> Arc<CollectorStats> {
        self.stats.clone()
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(mut self) {
        let mut next_sweep = Instant::now();
        loop {
            if Instant::now() >= next_sweep {
                let pause = match self.claim.hold().await {
                    Ok(true) => {
                        if let Err(error) = self.sweep().await {
                            self.failed("sweep", &error);
                        }
                        self.sweep_every()
                    }
                    Ok(false) => claim::BEAT,
                    Err(error) => {
                        self.failed("claim", &error);
                        claim::BEAT
                    }
                };
                next_sweep = Instant::now() + pause;
            }
            // However much work comes meanwhile, sweeps keep their distance.
            if self.rescan.swap(false, Ordering::Relaxed) {
                next_sweep = next_sweep.min(Instant::now() + RETRY_AFTER);
            }
            let mut batch = Vec::with_capacity(PAGE_ROWS);
            let arrived = self.work.recv_many(&mut batch, PAGE_ROWS);
            match tokio::time::timeout_at(next_sweep, arrived).await {
                Ok(0) => return,
                Ok(_) => {
                    let work = stream::iter(batch);
                    work.for_each_concurrent(AT_ONCE, |work| async {
                        if let Err(error) = self.collect(work).await {
                            self.failed("collect", &error);
                        }
                    })
                    .await;
                }
                Err(_) => {}
            }
        }
    }

    /// Often enough that what waits for its time does not wait much longer.
    fn sweep_every(&self) -> Duration {
        match self.store.engine.pending_age_max() {
            Some(age) => {
                let times = [age, self.store.engine.reader_grace()];
                let shortest = times.into_iter().min().unwrap_or_default();
                RESCAN_EVERY.min(shortest / 2).max(Duration::from_secs(1))
            }
            None => RESCAN_EVERY,
        }
    }

    fn is_shared(&self) -> bool {
        self.store.engine.peers().is_some()
    }

    fn failed(&self, step: &str, error: &Error) {
        self.stats.failures.fetch_add(1, Ordering::Relaxed);
        self.rescan.store(true, Ordering::Relaxed);
        tracing::warn!(step, %error, "collector will try again");
    }

    async fn collect(&self, work: Collectable) -> Result<()> {
        match work {
            Collectable::Garbage { partition, group, suffix } => {
                let row = RowRef { table: Table::Garbage, suffix };
                match self.store.read_row(partition, &group, row.clone()).await? {
                    Some(value) => self.free(partition, &group, row, value).await,
                    None => Ok(()),
                }
            }
            Collectable::Abandoned { partition, group, blob, place } => {
                match self.abandon(partition, &group, blob, place.clone()).await? {
                    true => Ok(()),
                    false => self.free_late_bytes(partition, &group, blob, place).await,
                }
            }
            Collectable::Partition(bucket) => {
                let partitions = self.store.engine.index().partitions().await?;
                match partitions.contains(&(bucket, PartitionState::Retired)) {
                    true => self.drain(bucket).await,
                    false => Ok(()),
                }
            }
        }
    }

    /// One pass over everything that is left to free.
    pub async fn sweep(&self) -> Result<()> {
        if !self.claim.hold().await? {
            return Ok(());
        }
        if self.is_shared() {
            self.mend_buckets().await?;
        }
        for (bucket, state) in self.store.engine.index().partitions().await? {
            // Somebody else goes on when this process was away for too long.
            if !self.claim.hold().await? {
                return Ok(());
            }
            match state {
                PartitionState::Retired => self.drain(bucket).await?,
                PartitionState::Live => self.sweep_partition(Partition::Bucket(bucket)).await?,
            }
        }
        Ok(())
    }

    /// Finishes creations and deletions of buckets that a crash interrupted, while
    /// no request is served. Where other processes serve, sweeps do that.
    pub async fn recover(&self) -> Result<()> {
        match self.is_shared() {
            true => Ok(()),
            false => self.mend_buckets().await,
        }
    }

    /// Removes partitions that no name leads to and names that lead to no live
    /// partition.
    async fn mend_buckets(&self) -> Result<()> {
        let index = self.store.engine.index();
        // Names first: a partition is there before its name.
        let mut names = Vec::new();
        let mut all_named = true;
        let mut range = ScanRange::all();
        loop {
            let page = self.page(Partition::System, Table::Bucket, range).await?;
            let Some(next) = behind(&page) else { break };
            for row in page {
                match decode::<BucketRecord>(&row.value, "bucket record") {
                    Ok(record) => names.push((BucketId(record.id), row)),
                    Err(error) => {
                        let name = String::from_utf8_lossy(&row.group);
                        tracing::error!(%name, %error, "a bucket's row is damaged");
                        all_named = false;
                    }
                }
            }
            range = next;
        }
        let partitions: HashMap<BucketId, PartitionState> =
            index.partitions().await?.into_iter().collect();
        let mut named = HashSet::new();
        for (id, name) in names {
            if partitions.get(&id) == Some(&PartitionState::Live) {
                named.insert(id);
                continue;
            }
            // A conflict means that the name leads elsewhere by now.
            let _ = self.store.remove_name_once(&name.group, name.value).await?;
        }
        if !all_named {
            // Any partition may be the one that the damaged row names.
            return Ok(());
        }
        let is_nameless = |bucket: &BucketId| {
            partitions.get(bucket) == Some(&PartitionState::Live) && !named.contains(bucket)
        };
        self.unnamed.lock().retain(|bucket, _| is_nameless(bucket));
        for (bucket, state) in &partitions {
            let bucket = *bucket;
            if *state == PartitionState::Live && !named.contains(&bucket) {
                let since = *self.unnamed.lock().entry(bucket).or_insert_with(Instant::now);
                if self.is_shared() && since.elapsed() < UNNAMED_MAX {
                    continue;
                }
                // A creation that crashed has left nothing in it. Anything else
                // has lost its name, and that is no reason to free its objects.
                // One that was named since has a row that says so.
                let must_be_empty =
                    [Table::Object, Table::Upload, Table::Version, Table::Installation];
                let partition = Partition::Bucket(bucket);
                if index.retire_partition(partition, &must_be_empty).await? == Retired::NotEmpty {
                    tracing::error!(?bucket, "a bucket that holds objects has no name");
                }
            }
        }
        Ok(())
    }

    async fn sweep_partition(&self, partition: Partition) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = self.page(partition, Table::Pending, range).await?;
            let Some(next) = behind(&page) else { break };
            let pending = stream::iter(page).map(Ok::<_, Error>);
            pending
                .try_for_each_concurrent(AT_ONCE, |row| async move {
                    self.pass_over(self.sweep_pending(partition, row).await)
                })
                .await?;
            range = next;
        }
        let mut range = ScanRange::all();
        loop {
            let page = self.page(partition, Table::Garbage, range).await?;
            let Some(next) = behind(&page) else {
                return Ok(());
            };
            let garbage = stream::iter(page).map(Ok::<_, Error>);
            garbage
                .try_for_each_concurrent(AT_ONCE, |row| async move {
                    let name = RowRef { table: Table::Garbage, suffix: row.suffix };
                    self.pass_over(self.free(partition, &row.group, name, row.value).await)
                })
                .await?;
            range = next;
        }
    }

    /// A damaged row is left for the check to find and keeps nothing else from
    /// being freed.
    fn pass_over(&self, freed: Result<()>) -> Result<()> {
        match freed {
            Err(error @ Error::Damaged(_)) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "the collector passes over a damaged row");
                Ok(())
            }
            other => other,
        }
    }

    async fn sweep_pending(&self, partition: Partition, row: OwnedRow) -> Result<()> {
        let pending: PendingRecord = decode(&row.value, "pending record")?;
        let blob = blob_id(&row.suffix)?;
        let abandoned = match self.store.engine.pending_age_max() {
            // Its writer lives in this process, or has given up.
            _ if pending.writer == self.store.writer.as_slice() => {
                !self.store.writing.lock().contains(&blob)
            }
            None => true,
            Some(age) => {
                let age_ms = self.store.now_ms().saturating_sub(pending.started_ms);
                age_ms > age.as_millis() as u64
            }
        };
        let place = (!pending.place.is_empty()).then(|| pending.place.as_str().into());
        match abandoned {
            true => self.abandon(partition, &row.group, blob, place).await.map(|_| ()),
            false => Ok(()),
        }
    }

    /// Frees what a retired partition still names, then the partition.
    async fn drain(&self, bucket: BucketId) -> Result<()> {
        let partition = Partition::Bucket(bucket);
        self.remove_names(bucket).await?;
        self.sweep_partition(partition).await?;
        // A writer that is still at work will meet the retired partition and
        // give up; the partition goes when that has happened.
        for table in [Table::Pending, Table::Garbage] {
            if !self.page(partition, table, ScanRange::all()).await?.is_empty() {
                // Where others write and read, it may take hours.
                if !self.is_shared() {
                    self.rescan.store(true, Ordering::Relaxed);
                }
                return Ok(());
            }
        }
        // What has happened in it is told first, or given up. Whoever does that says so.
        if !self.page(partition, Table::Event, ScanRange::all()).await?.is_empty() {
            return Ok(());
        }
        Ok(self.store.engine.index().remove_partition(partition).await?)
    }

    /// Removes the name that an interrupted deletion has left.
    async fn remove_names(&self, bucket: BucketId) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = self.page(Partition::System, Table::Bucket, range).await?;
            let Some(next) = behind(&page) else {
                return Ok(());
            };
            for row in page {
                let record = decode::<BucketRecord>(&row.value, "bucket record");
                if record.is_ok_and(|record| record.id == bucket.0) {
                    let name = String::from_utf8_lossy(&row.group);
                    self.store.remove_name(&name, bucket).await?;
                }
            }
            range = next;
        }
    }

    /// Frees a blob of this process that is not pending any more. Its commit may have
    /// taken effect without an answer. If not, another process has given it up while
    /// this one was away, and what this one has written since is nobody's.
    async fn free_late_bytes(
        &self,
        partition: Partition,
        group: &Bytes,
        blob: BlobId,
        place: Option<Arc<str>>,
    ) -> Result<()> {
        let id = Bytes::copy_from_slice(&blob.0);
        let engine = &*self.store.engine;
        let named = Named { id: id.clone(), place: Place::Blob(place.clone()) };
        let mut unnamed = BTreeSet::from([named]);
        // In this order: an object's blob becomes garbage, and never the other way.
        retain_unnamed(engine, partition, group, &mut unnamed).await?;
        if unnamed.is_empty() {
            return Ok(());
        }
        let end_group = ScanRange::group(group.clone()).end_group;
        let mut range = ScanRange::group(group.clone());
        loop {
            let page = self.page(partition, Table::Garbage, range).await?;
            let Some(next) = behind(&page) else { break };
            for row in page {
                let garbage: GarbageRecord = decode(&row.value, "garbage record")?;
                if garbage.blobs.iter().any(|address| address.starts_with(&id)) {
                    return Ok(());
                }
            }
            range = ScanRange { end_group: end_group.clone(), ..next };
        }
        Ok(blobs(engine, place.as_deref())?.delete(blob).await?)
    }

    /// Turns a pending blob into garbage in one conditional commit, so that a
    /// writer that is merely slow fails at its own commit, then frees it. `false`
    /// when it is not pending.
    async fn abandon(
        &self,
        partition: Partition,
        group: &Bytes,
        blob: BlobId,
        place: Option<Arc<str>>,
    ) -> Result<bool> {
        let pending = RowRef::new(Table::Pending, blob.0.to_vec());
        let garbage = GarbageRecord {
            queued_ms: self.store.now_ms(),
            blobs: vec![BlobAddress { id: blob, coding: Coding::Plain, place }.encode()],
            ..Default::default()
        };
        let row = RowRef { table: Table::Garbage, suffix: self.store.fresh_id() };
        let value = encode(&garbage);
        let committed = self
            .store
            .try_commit(
                partition,
                group,
                vec![Expect::Present(pending.clone())],
                vec![Write::Delete(pending), Write::Put(row.clone(), value.clone())],
            )
            .await;
        match committed {
            Ok(Ok(())) => {
                self.stats.abandoned_freed.fetch_add(1, Ordering::Relaxed);
                self.free(partition, group, row, value).await?;
                Ok(true)
            }
            // Referenced after all, or abandoned by another, or gone.
            Ok(Err(_)) | Err(Error::NoSuchBucket) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Frees what a garbage row names and then the row.
    async fn free(
        &self,
        partition: Partition,
        group: &Bytes,
        row: RowRef,
        value: Bytes,
    ) -> Result<()> {
        let garbage: GarbageRecord = decode(&value, "garbage record")?;
        let grace = self.store.engine.reader_grace().as_millis() as u64;
        if self.store.now_ms().saturating_sub(garbage.queued_ms) < grace {
            // A later sweep's.
            return Ok(());
        }
        for blob in &garbage.blobs {
            delete_blob(&*self.store.engine, blob).await?;
            self.stats.blobs_freed.fetch_add(1, Ordering::Relaxed);
        }
        if !garbage.part_set.is_empty() {
            let whole_set = garbage.part_numbers.is_empty();
            let freeing = whole_set.then(|| self.begin_freeing(&garbage.part_set));
            if matches!(freeing, Some(None)) {
                self.rescan.store(true, Ordering::Relaxed);
                return Ok(());
            }
            self.free_parts(partition, group, &garbage).await?;
        }
        let commit = self.store.try_commit(partition, group, vec![], vec![Write::Delete(row)]);
        match commit.await {
            Ok(_) | Err(Error::NoSuchBucket) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `None` when somebody reads the set; otherwise nobody can begin to.
    fn begin_freeing(&self, set: &Bytes) -> Option<FreeingGuard> {
        let mut sets = self.store.pins.sets.lock();
        if sets.contains_key(set) {
            return None;
        }
        sets.insert(set.clone(), Pin::Freeing);
        Some(FreeingGuard { store: self.store.clone(), set: set.clone() })
    }

    async fn free_parts(
        &self,
        partition: Partition,
        group: &Bytes,
        garbage: &GarbageRecord,
    ) -> Result<()> {
        let set = &garbage.part_set;
        if !garbage.part_numbers.is_empty() {
            for numbers in garbage.part_numbers.chunks(COLLECT_ROWS_MAX) {
                let rows: Vec<RowRef> = numbers
                    .iter()
                    .map(|n| RowRef { table: Table::Part, suffix: part_suffix(set, *n) })
                    .collect();
                loop {
                    let values = self.store.engine.index().read(partition, group, &rows).await?;
                    let found = rows.iter().zip(values);
                    let found = found.filter_map(|(row, value)| Some((row.suffix.clone(), value?)));
                    if self.free_part_rows(partition, group, found.collect()).await? {
                        break;
                    }
                }
            }
            return Ok(());
        }
        loop {
            let found = Arc::new(Mutex::new(Vec::new()));
            let visit = {
                let (found, set) = (found.clone(), set.clone());
                move |_: &[u8], suffix: &[u8], value: &[u8]| {
                    if !suffix.starts_with(&set) {
                        return Step::Stop;
                    }
                    let mut found = found.lock();
                    found.push((Bytes::copy_from_slice(suffix), Bytes::copy_from_slice(value)));
                    match found.len() < COLLECT_ROWS_MAX {
                        true => Step::Next,
                        false => Step::Stop,
                    }
                }
            };
            let range = ScanRange { start_suffix: set.clone(), ..ScanRange::group(group.clone()) };
            self.store.engine.index().scan(partition, Table::Part, range, Box::new(visit)).await?;
            let found = std::mem::take(&mut *found.lock());
            if found.is_empty() {
                return Ok(());
            }
            self.free_part_rows(partition, group, found).await?;
        }
    }

    /// False when one of the rows was changed meanwhile, or freed by somebody else; each
    /// is counted once.
    async fn free_part_rows(
        &self,
        partition: Partition,
        group: &Bytes,
        rows: Vec<(Bytes, Bytes)>,
    ) -> Result<bool> {
        let (mut expects, mut writes) = (Vec::with_capacity(rows.len()), Vec::new());
        for (suffix, value) in rows {
            let row = RowRef { table: Table::Part, suffix: suffix.clone() };
            expects.push(Expect::Equals(row, value.clone()));
            // Part number 0 is the set's layout.
            if split_part_suffix(&suffix).is_some_and(|(_, number)| number > 0) {
                let part: PartRecord = decode(&value, "part record")?;
                match part.content {
                    Some(Content::Blob(blob)) => {
                        delete_blob(&*self.store.engine, &blob).await?;
                        self.stats.blobs_freed.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Content::Inline(_)) => {
                        let body = RowRef { table: Table::Body, suffix: suffix.clone() };
                        writes.push(Write::Delete(body));
                    }
                    Some(Content::Parts(_) | Content::Link(_)) | None => {}
                }
            }
            writes.push(Write::Delete(RowRef { table: Table::Part, suffix }));
        }
        if writes.is_empty() {
            return Ok(true);
        }
        match self.store.try_commit(partition, group, expects, writes).await {
            Ok(freed) => Ok(freed.is_ok()),
            Err(Error::NoSuchBucket) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn page(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
    ) -> Result<Vec<OwnedRow>> {
        rows(&*self.store.engine, partition, table, range, PAGE_ROWS).await
    }
}
