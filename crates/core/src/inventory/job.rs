//! The job that makes the reports that are due.
//!
//! How far a report has come is a row of its bucket, written behind each file, so that
//! whoever goes on, after a restart or in the place of a gateway that is gone, begins
//! with the file that was being written. He gives his files names of their own, since the
//! other may be at work still without knowing; each change of the row expects it as he
//! has left it, so one of them gives way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{Instant, timeout};

use super::Inventory;
use super::manifest::Closing;
use super::report::{Place, Report, ReportFile, Sum};
use crate::acl::ObjectAcl;
use crate::body::{BodySource, BytesSource};
use crate::bucket::{Bucket, ListBuckets};
use crate::checksum::Expected;
use crate::claim::{self, Claim};
use crate::engine::{Expect, Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::names::ObjectKey;
use crate::object::{Attributes, DeleteRequest, PutOutcome, PutRequest};
use crate::precondition::WriteConditions;
use crate::record::{Metadata, ReportFileRecord, decode, encode};
use crate::store::{Store, unchanged};
use crate::version::VersionRef;

/// Objects looked at for one file, at most.
const FILE_ROWS_MAX: usize = 1_000_000;
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

/// The reports of a bucket, as they are stored beside its record.
#[derive(Clone, PartialEq, Message)]
pub struct Runs {
    /// The bucket's id: there may have been another one of the name.
    #[prost(uint64, tag = "1")]
    pub bucket: u64,
    #[prost(message, repeated, tag = "2")]
    pub all: Vec<Run>,
}

/// The reports of one inventory.
#[derive(Clone, PartialEq, Message)]
pub struct Run {
    #[prost(string, tag = "1")]
    pub id: String,
    /// When the last complete one was begun.
    #[prost(uint64, optional, tag = "2")]
    pub last_ms: Option<u64>,
    /// The one that is being made.
    #[prost(message, optional, tag = "3")]
    pub progress: Option<Progress>,
    /// Token of the configuration that the last complete one was made by.
    #[prost(bytes = "bytes", tag = "4")]
    pub made_by: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct Progress {
    #[prost(uint64, tag = "1")]
    pub began_ms: u64,
    /// The names of its next files come from it; new with everybody who goes on with it.
    #[prost(bytes = "bytes", tag = "2")]
    pub token: Bytes,
    /// The configuration that it is made by.
    #[prost(message, optional, tag = "3")]
    pub inventory: Option<Inventory>,
    /// Where its next file begins.
    #[prost(string, tag = "4")]
    pub key: String,
    #[prost(string, tag = "5")]
    pub version: String,
    #[prost(message, repeated, tag = "6")]
    pub files: Vec<ReportFileRecord>,
    #[prost(uint64, tag = "7")]
    pub listed_count: u64,
    #[prost(uint64, tag = "8")]
    pub listed_bytes: u64,
    #[prost(uint64, tag = "9")]
    pub written_count: u64,
    #[prost(uint64, tag = "10")]
    pub written_bytes: u64,
}

/// The reports of a bucket as this process has last read or written them.
struct Ledger {
    runs: Runs,
    row: Option<Bytes>,
}

/// The row of a bucket's [`Runs`], in the group of its name.
pub(crate) fn runs_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"inventory-runs") }
}

/// An inventory whose report has failed.
struct Trouble {
    failures: u32,
    again: Instant,
}

/// Runs in the background for the life of a store, in every process that serves one.
pub struct InventoryJob {
    store: Arc<Store>,
    /// Whose buckets.
    owner_uin: u64,
    /// Objects looked at per second, at most.
    rows_per_second: u64,
    file_rows_max: usize,
    claim: Claim,
    stats: Arc<InventoryStats>,
    troubles: Mutex<HashMap<(String, String), Trouble>>,
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
        let (stats, troubles) = Default::default();
        InventoryJob { store, owner_uin, rows_per_second, file_rows_max, claim, stats, troubles }
    }

    pub fn stats(&self) -> Arc<InventoryStats> {
        self.stats.clone()
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        loop {
            let pause = match self.round().await {
                Ok(()) => self.look_again_after(),
                Err(error) => {
                    self.stats.failures.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "inventories will be tried again");
                    RETRY_AFTER
                }
            };
            let _ = timeout(pause, self.store.inventories_changed.notified()).await;
        }
    }

    /// Some hundred times in a day, so that others see this process alive in between.
    fn look_again_after(&self) -> Duration {
        let pause = Duration::from_millis(self.store.options.day_ms / 288);
        pause.clamp(Duration::from_millis(100), claim::BEAT)
    }

    /// Makes all reports that are due.
    pub async fn round(&self) -> Result<()> {
        let (owner_uin, max) = (self.owner_uin, PAGE_ENTRIES_MAX);
        let mut request = ListBuckets { owner_uin, max, ..ListBuckets::default() };
        let mut seen = HashSet::new();
        loop {
            if !self.claim.hold().await? {
                return Ok(());
            }
            let page = self.store.list_buckets(&request).await?;
            let with = |bucket: &&Bucket| !bucket.settings().inventories.is_empty();
            for listed in page.buckets.iter().filter(with) {
                let served = async {
                    let bucket = self.store.bucket(listed.name.as_str()).await?;
                    self.serve(&bucket, &mut seen).await
                };
                match served.await {
                    Ok(()) | Err(Error::NoSuchBucket) => {}
                    // Others need not wait for it.
                    Err(error) => {
                        self.stats.failures.fetch_add(1, Relaxed);
                        let bucket = &listed.name;
                        tracing::warn!(%bucket, %error, "inventories will be tried again");
                    }
                }
            }
            let Some(next) = page.next else { break };
            request.after = next;
        }
        self.troubles.lock().retain(|name, _| seen.contains(name));
        Ok(())
    }

    /// Makes what is due of a bucket. What fails does not keep the others waiting.
    async fn serve(
        &self,
        bucket: &Arc<Bucket>,
        seen: &mut HashSet<(String, String)>,
    ) -> Result<()> {
        let inventories = self.store.inventories(bucket).await?.all;
        let mut ledger = self.read_ledger(bucket).await?;
        let all = &mut ledger.runs.all;
        let before = all.len();
        all.retain(|run| inventories.iter().any(|inventory| inventory.id == run.id));
        if all.len() < before && !self.write(bucket, &mut ledger).await? {
            return Ok(());
        }
        for inventory in inventories {
            let name = (bucket.name.as_str().to_owned(), inventory.id.clone());
            seen.insert(name.clone());
            if self.waits(&name) {
                continue;
            }
            match self.make(bucket, Arc::new(inventory), &mut ledger).await {
                Ok(true) => {
                    self.troubles.lock().remove(&name);
                }
                // Somebody else is at it.
                Ok(false) => return Ok(()),
                Err(_) if !self.claim.hold().await? => return Ok(()),
                Err(error) => {
                    self.stats.failures.fetch_add(1, Relaxed);
                    let (bucket, id) = &name;
                    tracing::warn!(%bucket, %id, %error, "an inventory will be tried again");
                    self.trouble(name);
                }
            }
        }
        Ok(())
    }

    fn waits(&self, name: &(String, String)) -> bool {
        self.troubles.lock().get(name).is_some_and(|trouble| trouble.again > Instant::now())
    }

    fn trouble(&self, name: (String, String)) {
        let mut troubles = self.troubles.lock();
        let again = Instant::now();
        let trouble = troubles.entry(name).or_insert(Trouble { failures: 0, again });
        let pause = RETRY_AFTER * (1 << trouble.failures.min(10));
        trouble.failures += 1;
        trouble.again = again + pause.min(RETRY_AFTER_MAX);
    }

    /// Makes a report, or goes on with it, if it is due. False: somebody else does.
    async fn make(
        &self,
        bucket: &Arc<Bucket>,
        inventory: Arc<Inventory>,
        ledger: &mut Ledger,
    ) -> Result<bool> {
        let runs = &mut ledger.runs.all;
        let at = runs.iter().position(|run| run.id == inventory.id);
        let at = at.unwrap_or_else(|| {
            runs.push(Run { id: inventory.id.clone(), ..Run::default() });
            runs.len() - 1
        });
        let run = &mut runs[at];
        let is_done = |_: &u64| !inventory.is_once() || run.made_by == inventory.token;
        let (now_ms, last_ms) = (self.store.now_ms(), run.last_ms.filter(is_done));
        // One that was begun by another configuration is not what is wanted now.
        let goes_on = |progress: &Progress| {
            inventory.enabled && progress.inventory.as_ref() == Some(&inventory)
        };
        let (token, mut left) = (self.store.fresh_id(), None);
        match run.progress.take() {
            Some(progress) if goes_on(&progress) => {
                left = Some(inventory.file_key(&bucket.name, &progress));
                run.progress = Some(Progress { token, ..progress });
            }
            _ if inventory.is_due(last_ms, now_ms, self.store.options.day_ms) => {
                let inventory = Some((*inventory).clone());
                run.progress =
                    Some(Progress { began_ms: now_ms, token, inventory, ..Progress::default() });
            }
            begun => {
                let is_over = inventory.is_once() && last_ms.is_some();
                let is_written = begun.is_none() || self.write(bucket, ledger).await?;
                if is_over {
                    self.forget(bucket, &inventory).await?;
                }
                return Ok(is_written);
            }
        }
        if !self.write(bucket, ledger).await? {
            return Ok(false);
        }
        let (store, rate) = (self.store.clone(), self.rows_per_second);
        let report = Report::new(store, bucket.clone(), inventory.clone(), rate)?;
        if let Some(left) = left {
            self.remove(&report, &left).await?;
        }
        loop {
            match self.write_file(&report, ledger, at).await? {
                Step::Next => {}
                Step::Last => break,
                Step::Overtaken => return Ok(false),
            }
        }
        if !self.close(&report, ledger, at).await? {
            return Ok(false);
        }
        if inventory.is_once() {
            self.forget(bucket, &inventory).await?;
        }
        Ok(true)
    }

    /// Removes the configuration, if it is still this one.
    async fn forget(&self, bucket: &Bucket, inventory: &Inventory) -> Result<()> {
        let change = |all: &mut Vec<Inventory>| {
            all.retain(|other| other.token != inventory.token);
            Ok(())
        };
        self.store.change_identified(bucket, change).await
    }

    /// Writes the next file.
    async fn write_file(&self, report: &Report, ledger: &mut Ledger, at: usize) -> Result<Step> {
        let progress = ledger.runs.all[at].progress.get_or_insert_default();
        if progress.is_walked() {
            return Ok(Step::Last);
        }
        let place =
            Place { key: progress.key.clone(), version: VersionRef::parse(&progress.version) };
        let file = ReportFile::open(report, &self.claim, place, self.file_rows_max).await?;
        let Some(mut file) = file else { return Ok(Step::Last) };
        let inventory = &report.inventory;
        let (key, media_type) =
            (inventory.file_key(&report.bucket.name, progress), inventory.format().media_type());
        let done = self.put(report, &key, media_type, &mut file).await?;
        let (next, listed, written) = (file.next, file.listed, file.written);
        progress.files.push(ReportFileRecord { key, size: done.size, md5: done.etag });
        progress.listed_count += listed.count;
        progress.listed_bytes += listed.bytes;
        progress.written_count += written.count;
        progress.written_bytes += written.bytes;
        let goes_on = next.is_some();
        let Place { key, version } = next.unwrap_or_default();
        progress.key = key;
        progress.version = version.map_or(String::new(), |version| version.to_string());
        if !self.write(&report.bucket, ledger).await? {
            return Ok(Step::Overtaken);
        }
        self.stats.rows.fetch_add(written.count, Relaxed);
        Ok(if goes_on { Step::Next } else { Step::Last })
    }

    /// Writes what belongs to the files, the manifest last, and remembers that it is done.
    async fn close(&self, report: &Report, ledger: &mut Ledger, at: usize) -> Result<bool> {
        let progress = ledger.runs.all[at].progress.clone().unwrap_or_default();
        let listed = Sum { count: progress.listed_count, bytes: progress.listed_bytes };
        let written = Sum { count: progress.written_count, bytes: progress.written_bytes };
        let closing = Closing::of(report, progress.began_ms, &progress.files, listed, written);
        for (key, content, media_type) in closing.objects {
            self.put(report, &key, media_type, &mut BytesSource::new(content.into())).await?;
        }
        let run = &mut ledger.runs.all[at];
        run.progress = None;
        run.last_ms = Some(progress.began_ms);
        run.made_by = report.inventory.token.clone();
        let is_written = self.write(&report.bucket, ledger).await?;
        if is_written {
            self.stats.reports.fetch_add(1, Relaxed);
        }
        Ok(is_written)
    }

    /// Removes the file that whoever was at the report before has left, if it is there.
    async fn remove(&self, report: &Report, key: &str) -> Result<()> {
        let target = self.target(report).await?;
        let key = ObjectKey::new(key)?;
        if self.store.current_object(&target, &key).await?.record.is_none() {
            return Ok(());
        }
        let conditions = WriteConditions::default();
        let request = DeleteRequest { key, version: None, conditions, bypass_governance: false };
        self.store.delete_object(&target, &request).await.map(drop)
    }

    async fn target(&self, report: &Report) -> Result<Arc<Bucket>> {
        let target = self.store.bucket(&report.inventory.target).await?;
        // Another one of that name, whose owner has asked for nothing.
        match target.owner_uin == report.bucket.owner_uin {
            true => Ok(target),
            false => Err(Error::NoSuchBucket),
        }
    }

    async fn put(
        &self,
        report: &Report,
        key: &str,
        media_type: &str,
        body: &mut dyn BodySource,
    ) -> Result<PutOutcome> {
        let target = self.target(report).await?;
        let metadata = Metadata { content_type: media_type.into(), ..Metadata::default() };
        let request = PutRequest {
            key: ObjectKey::new(key)?,
            attributes: Attributes { metadata, acl: ObjectAcl::Private, ..Attributes::default() },
            conditions: WriteConditions::default(),
            checksums: Vec::new(),
            expected: Expected::default(),
            size: None,
        };
        self.store.put_object(&target, request, body).await
    }

    async fn read_ledger(&self, bucket: &Bucket) -> Result<Ledger> {
        let group = bucket.name.as_str().as_bytes();
        let row = self.store.read_row(Partition::System, group, runs_row()).await?;
        let runs = row.as_ref().map(|row| decode::<Runs>(row, "inventory runs")).transpose()?;
        let of_this = runs.filter(|runs| runs.bucket == bucket.id.0);
        let runs = of_this.unwrap_or(Runs { bucket: bucket.id.0, all: Vec::new() });
        Ok(Ledger { runs, row })
    }

    /// False: somebody else has changed it.
    async fn write(&self, bucket: &Bucket, ledger: &mut Ledger) -> Result<bool> {
        let group = bucket.name.as_str().to_owned().into();
        let runs = runs_row();
        let expects = vec![
            Expect::Present(RowRef::only(Table::Bucket)),
            unchanged(runs.table, runs.suffix.clone(), &ledger.row),
        ];
        let row = encode(&ledger.runs);
        let writes = vec![Write::Put(runs, row.clone())];
        let written = self.store.try_commit(Partition::System, &group, expects, writes).await?;
        ledger.row = Some(row);
        Ok(written.is_ok())
    }
}

/// What comes behind a file.
enum Step {
    Next,
    Last,
    /// Whoever else was at it has changed the row first.
    Overtaken,
}

impl Progress {
    /// There are files, and nothing behind them.
    fn is_walked(&self) -> bool {
        !self.files.is_empty() && self.key.is_empty()
    }
}
