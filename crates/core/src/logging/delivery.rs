//! The job that makes objects of what was logged.
//!
//! At the end of each window it makes one object of each bucket's rows, or several if
//! they are many. A row says first which rows an object is to be of and what it will be
//! called, so that whoever goes on after a crash makes the same object or finds it there;
//! then comes the object, and then the rows go. What cannot be delivered stays, and is
//! tried again at growing intervals; there is a bound to it, behind which the oldest goes.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::Instant;

use super::naming::Contents;
use super::spool::{CHUNK, ChunkRecord};
use super::{Form, Logging};
use crate::acl::ObjectAcl;
use crate::body::BodySource;
use crate::checksum::Expected;
use crate::claim::{self, Claim};
use crate::engine::{Expect, Partition, RowRef, ScanRange, Step, Table, Write};
use crate::error::{Error, Result};
use crate::limits::COLLECT_ROWS_MAX;
use crate::names::{BucketName, ObjectKey};
use crate::object::{Attributes, PutRequest};
use crate::precondition::WriteConditions;
use crate::record::{Metadata, decode, encode};
use crate::store::Store;

/// Suffixes of rows that announce an object begin with it.
const ANNOUNCED: u8 = 0;
/// Rows of one object, at most.
const OBJECT_CHUNKS_MAX: usize = 2048;
/// Longest pause between two tries, in windows.
const PAUSE_MAX: u32 = 12;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How much there may be of something.
#[derive(Clone, Copy, Debug)]
pub struct LogBounds {
    /// Bytes of the lines of one object. COS's by default.
    pub object_bytes: u64,
    /// Compressed bytes of one bucket's lines that wait for another try.
    pub waiting_bytes: u64,
    /// The same in rows.
    pub waiting_rows: usize,
}

impl Default for LogBounds {
    fn default() -> Self {
        let (object_bytes, waiting_bytes) = (256 << 20, 256 << 20);
        LogBounds { object_bytes, waiting_bytes, waiting_rows: 200_000 }
    }
}

/// An object that is being made, as it is stored.
#[derive(Clone, PartialEq, Message)]
pub struct Announced {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub logging: Option<Logging>,
    /// Suffixes of the rows that it is made of.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub chunks: Vec<Bytes>,
    #[prost(uint64, tag = "4")]
    pub owner_uin: u64,
    #[prost(uint64, tag = "5")]
    pub lines: u64,
}

/// A [`ChunkRecord`] without its lines, which are skipped.
#[derive(Clone, PartialEq, Message)]
struct ChunkHead {
    #[prost(uint64, tag = "1")]
    first_ms: u64,
    #[prost(uint64, tag = "2")]
    lines: u64,
    #[prost(uint64, tag = "3")]
    plain_bytes: u64,
    #[prost(message, optional, tag = "5")]
    logging: Option<Logging>,
    #[prost(uint64, tag = "6")]
    owner_uin: u64,
    #[prost(string, tag = "7")]
    region: String,
}

/// What the job has done since the process began.
#[derive(Default, Debug)]
pub struct LogStats {
    /// Log objects.
    pub objects: AtomicU64,
    /// Requests in them.
    pub requests: AtomicU64,
    /// Tries that failed.
    pub failures: AtomicU64,
    /// Requests that waited for their delivery beyond the bound, and are lost.
    pub lost: AtomicU64,
    /// What waits, by the last look: requests, and compressed bytes.
    pub waiting_requests: AtomicU64,
    pub waiting_bytes: AtomicU64,
}

/// A destination that could not be delivered to.
struct Trouble {
    failures: u32,
    again: Instant,
}

/// Runs in the background for the life of a store, in every process that serves one.
pub struct LogJob {
    store: Arc<Store>,
    window: Duration,
    bounds: LogBounds,
    claim: Claim,
    stats: Arc<LogStats>,
    /// By the configuration's id.
    troubles: Mutex<HashMap<Bytes, Trouble>>,
}

/// Rows that make one object.
struct Load {
    announced: Announced,
    /// The value of the row that says so; `None` if it is still to be written.
    row: Option<Bytes>,
}

#[derive(Default)]
struct Found {
    announced: Option<(Bytes, Bytes)>,
    head: Option<ChunkHead>,
    chunks: Vec<Bytes>,
    lines: u64,
    bytes: u64,
    damaged: Vec<Bytes>,
}

impl LogJob {
    /// `window` is how often logs are delivered.
    pub fn new(store: Arc<Store>, window: Duration) -> LogJob {
        LogJob::bounded(store, window, LogBounds::default())
    }

    pub fn bounded(store: Arc<Store>, window: Duration, bounds: LogBounds) -> LogJob {
        let claim = Claim::new(store.clone(), "logs");
        let window = window.max(Duration::from_millis(100));
        let (stats, troubles) = Default::default();
        LogJob { store, window, bounds, claim, stats, troubles }
    }

    pub fn stats(&self) -> Arc<LogStats> {
        self.stats.clone()
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        tokio::join!(self.store.keep_requests_coming(), self.deliver_again_and_again());
    }

    async fn deliver_again_and_again(&self) {
        let window_ms = self.window.as_millis() as u64;
        let mut delivered = self.store.now_ms() / window_ms;
        loop {
            let now_ms = self.store.now_ms();
            let next = Duration::from_millis(window_ms - now_ms % window_ms);
            let pause = match self.round(&mut delivered, now_ms / window_ms).await {
                Ok(()) => next.min(claim::BEAT),
                Err(error) => {
                    self.stats.failures.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "the delivery of logs will be tried again");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(&self, delivered: &mut u64, window: u64) -> Result<()> {
        // Asked in between, too, so that others see this process alive.
        if self.claim.hold().await? && *delivered != window {
            self.deliver().await?;
            *delivered = window;
        }
        Ok(())
    }

    /// Delivers what is there now.
    pub async fn deliver(&self) -> Result<()> {
        self.store.keep_requests().await?;
        let begun_ms = self.store.now_ms();
        let (mut requests, mut bytes) = (0, 0);
        let mut after = Bytes::new();
        while let Some(group) = self.next_bucket(after).await? {
            // What is wrong with one bucket keeps nobody from the others.
            let waits = self.deliver_bucket(&group, begun_ms).await.unwrap_or_else(|error| {
                self.stats.failures.fetch_add(1, Relaxed);
                let bucket = String::from_utf8_lossy(&group);
                tracing::error!(%bucket, %error, "logs of a bucket cannot be delivered");
                true
            });
            if waits {
                let (lines, packed) = self.bound(&group).await?;
                requests += lines;
                bytes += packed;
            }
            after = [&group[..], &[0]].concat().into();
        }
        self.stats.waiting_requests.store(requests, Relaxed);
        self.stats.waiting_bytes.store(bytes, Relaxed);
        Ok(())
    }

    async fn next_bucket(&self, start_group: Bytes) -> Result<Option<Bytes>> {
        let range = ScanRange { start_group, rows_wanted: 1, ..ScanRange::default() };
        let page = crate::scan::rows(&*self.store.engine, Partition::System, Table::Log, range, 1);
        Ok(page.await?.pop().map(|row| row.group))
    }

    /// Delivers what was logged before the round began; what comes meanwhile is of the
    /// next, or a busy bucket's round would never end. Whether something is left that has
    /// to wait.
    async fn deliver_bucket(&self, group: &Bytes, begun_ms: u64) -> Result<bool> {
        let mut passed: HashSet<Bytes> = self.waiting();
        let mut counts: HashMap<Bytes, u32> = HashMap::new();
        loop {
            if !self.claim.hold().await? {
                return Ok(false);
            }
            let Some(load) = self.next_load(group, begun_ms, &passed, &mut counts).await? else {
                break;
            };
            let id = load.announced.logging.clone().unwrap_or_default().write_id;
            match self.deliver_load(group, load).await {
                Ok(()) => {
                    self.troubles.lock().remove(&id);
                }
                Err(error) => {
                    self.stats.failures.fetch_add(1, Relaxed);
                    let bucket = String::from_utf8_lossy(group);
                    tracing::warn!(%bucket, %error, "a log was not delivered and will be again");
                    self.wait_for(&id);
                    passed.insert(id);
                }
            }
        }
        Ok(!passed.is_empty())
    }

    fn waiting(&self) -> HashSet<Bytes> {
        let now = Instant::now();
        let troubles = self.troubles.lock();
        let waiting = troubles.iter().filter(|(_, trouble)| trouble.again > now);
        waiting.map(|(id, _)| id.clone()).collect()
    }

    fn wait_for(&self, id: &Bytes) {
        let mut troubles = self.troubles.lock();
        let trouble = troubles
            .entry(id.clone())
            .or_insert_with(|| Trouble { failures: 0, again: Instant::now() });
        // The next window's try is the first.
        let windows = (1_u32 << trouble.failures.min(8)).min(PAUSE_MAX) - 1;
        trouble.failures += 1;
        trouble.again = Instant::now() + self.window * windows;
    }

    /// What is to be delivered next of a bucket, to others than these destinations.
    async fn next_load(
        &self,
        group: &Bytes,
        begun_ms: u64,
        passed: &HashSet<Bytes>,
        counts: &mut HashMap<Bytes, u32>,
    ) -> Result<Option<Load>> {
        let found = self.look(group, begun_ms, passed).await?;
        if !found.damaged.is_empty() {
            tracing::error!(bucket = %String::from_utf8_lossy(group), "rows of a log are damaged");
            self.remove(group, &found.damaged, None).await?;
        }
        if let Some((_, row)) = found.announced {
            let announced = decode(&row, "announced log")?;
            return Ok(Some(Load { announced, row: Some(row) }));
        }
        let Some(head) = found.head else { return Ok(None) };
        let logging = head.logging.unwrap_or_default();
        let bucket = BucketName::new(&String::from_utf8_lossy(group))?;
        let contents = Contents {
            logging: &logging,
            bucket: &bucket,
            owner_uin: head.owner_uin,
            region: &head.region,
            event_ms: head.first_ms,
        };
        let index = counts.entry(logging.write_id.clone()).or_default();
        let mut random = [0; 8];
        self.store.entropy.fill(&mut random);
        let key = contents.name(self.store.now_ms(), random, *index);
        *index += 1;
        let announced = Announced {
            key,
            logging: Some(logging),
            chunks: found.chunks,
            owner_uin: head.owner_uin,
            lines: found.lines,
        };
        Ok(Some(Load { announced, row: None }))
    }

    /// An announced object, or the oldest rows of one destination and day.
    async fn look(&self, group: &Bytes, begun_ms: u64, passed: &HashSet<Bytes>) -> Result<Found> {
        let found = Arc::new(Mutex::new(Found::default()));
        let visit = {
            let (found, passed) = (found.clone(), passed.clone());
            let object_bytes = self.bounds.object_bytes;
            move |_: &[u8], suffix: &[u8], value: &[u8]| {
                let mut found = found.lock();
                let suffix = Bytes::copy_from_slice(suffix);
                if suffix.first() == Some(&ANNOUNCED) {
                    if passed.contains(&suffix[1..]) {
                        return Step::Next;
                    }
                    // Its rows are still there, and will be announced anew.
                    if Announced::decode(value).is_err() {
                        found.damaged.push(suffix);
                        return Step::Next;
                    }
                    found.announced = Some((suffix, Bytes::copy_from_slice(value)));
                    return Step::Stop;
                }
                let Ok(head) = ChunkHead::decode(value) else {
                    found.damaged.push(suffix);
                    return Step::Next;
                };
                // A clock that is wrong by days makes nobody wait for it.
                let is_later = head.first_ms > begun_ms;
                if is_later && head.first_ms - begun_ms < crate::lifecycle::DAY_MS {
                    return Step::Next;
                }
                let id = head.logging.as_ref().map_or(&[][..], |logging| &logging.write_id);
                if passed.contains(id) {
                    return Step::Next;
                }
                let day = |head: &ChunkHead| head.first_ms / crate::lifecycle::DAY_MS;
                if let Some(first) = &found.head
                    && (first.logging != head.logging || day(first) != day(&head))
                {
                    return Step::Next;
                }
                if found.bytes + head.plain_bytes > object_bytes && !found.chunks.is_empty() {
                    return Step::Stop;
                }
                found.chunks.push(suffix);
                found.lines += head.lines;
                found.bytes += head.plain_bytes;
                found.head.get_or_insert(head);
                match found.chunks.len() < OBJECT_CHUNKS_MAX {
                    true => Step::Next,
                    false => Step::Stop,
                }
            }
        };
        let range = ScanRange::group(group.clone());
        let index = self.store.engine.index();
        index.scan(Partition::System, Table::Log, range, Box::new(visit)).await?;
        let found = std::mem::take(&mut *found.lock());
        Ok(found)
    }

    async fn deliver_load(&self, group: &Bytes, load: Load) -> Result<()> {
        let Load { announced, row } = load;
        let logging = announced.logging.clone().unwrap_or_default();
        let name = announced_row(&logging);
        let row = match row {
            Some(row) => row,
            None => {
                let row = encode(&announced);
                let mut expects = vec![Expect::Absent(name.clone())];
                // Rows go from the first on: with it there, they are not delivered yet.
                let first = announced.chunks.first().cloned().unwrap_or_default();
                expects.push(Expect::Present(RowRef { table: Table::Log, suffix: first }));
                let writes = vec![Write::Put(name.clone(), row.clone())];
                let done = self.store.try_commit(Partition::System, group, expects, writes).await?;
                if done.is_err() {
                    // Somebody else has announced one, or delivered it.
                    return Ok(());
                }
                row
            }
        };
        let is_new = self.put(group, &announced, &logging).await?;
        if is_new {
            self.stats.objects.fetch_add(1, Relaxed);
            self.stats.requests.fetch_add(announced.lines, Relaxed);
        }
        self.remove(group, &announced.chunks, Some((name, row))).await
    }

    /// False if the object is there already.
    async fn put(&self, group: &Bytes, announced: &Announced, logging: &Logging) -> Result<bool> {
        let store = &self.store;
        let target = store.bucket(&logging.target).await?;
        // Another one of that name, whose owner has asked for nothing.
        if target.owner_uin != announced.owner_uin {
            return Err(Error::NoSuchBucket);
        }
        let key = ObjectKey::new(&announced.key)?;
        store.check_lets_in(&target, &String::from_utf8_lossy(group), &key).await?;
        let is_cos = logging.form() == Form::Cos;
        let media_type = if is_cos { "application/x-gzip" } else { "text/plain" };
        let mut acl = logging.acl(target.owner_uin)?;
        loop {
            let metadata = Metadata { content_type: media_type.into(), ..Metadata::default() };
            let request = PutRequest {
                key: key.clone(),
                attributes: Attributes { metadata, acl: acl.clone(), ..Attributes::default() },
                conditions: WriteConditions { forbid_overwrite: true, ..Default::default() },
                checksums: Vec::new(),
                expected: Expected::default(),
                size: None,
            };
            let mut body = LogBody {
                store: store.clone(),
                group: group.clone(),
                chunks: announced.chunks.clone().into_iter(),
                gzip: is_cos.then(|| GzEncoder::new(Vec::new(), Compression::default())),
            };
            return match store.put_object(&target, request, &mut body).await {
                Ok(_) => Ok(true),
                Err(Error::AlreadyExists) => Ok(false),
                // Since it was configured, the target has stopped taking such lists.
                Err(Error::AclsDisabled | Error::PublicAclBlocked) if acl != ObjectAcl::Private => {
                    acl = ObjectAcl::Private;
                    continue;
                }
                Err(error) => Err(error),
            };
        }
    }

    /// Removes rows, and in the end the one that names them.
    async fn remove(
        &self,
        group: &Bytes,
        chunks: &[Bytes],
        announced: Option<(RowRef, Bytes)>,
    ) -> Result<()> {
        let row = |suffix: &Bytes| RowRef { table: Table::Log, suffix: suffix.clone() };
        let mut some = chunks.chunks(COLLECT_ROWS_MAX).peekable();
        while let Some(suffixes) = some.next() {
            let mut writes: Vec<Write> = suffixes.iter().map(row).map(Write::Delete).collect();
            let mut expects = Vec::new();
            if let Some((name, value)) = &announced {
                expects.push(Expect::Equals(name.clone(), value.clone()));
                if some.peek().is_none() {
                    writes.push(Write::Delete(name.clone()));
                }
            }
            let done = self.store.try_commit(Partition::System, group, expects, writes).await?;
            if done.is_err() {
                // Somebody else has done it all.
                break;
            }
        }
        Ok(())
    }

    /// Removes the oldest of what waits for its delivery if it has become too much.
    /// Answers how many requests, and how many bytes of them, are left.
    async fn bound(&self, group: &Bytes) -> Result<(u64, u64)> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let visit = {
            let kept = kept.clone();
            move |_: &[u8], suffix: &[u8], value: &[u8]| {
                if suffix.first() == Some(&CHUNK) {
                    let lines = ChunkHead::decode(value).map_or(0, |head| head.lines);
                    let suffix = Bytes::copy_from_slice(suffix);
                    kept.lock().push((suffix, value.len() as u64, lines));
                }
                Step::Next
            }
        };
        let range = ScanRange::group(group.clone());
        let index = self.store.engine.index();
        index.scan(Partition::System, Table::Log, range, Box::new(visit)).await?;
        let kept = std::mem::take(&mut *kept.lock());
        let (mut bytes, mut lines) =
            kept.iter().fold((0, 0), |(bytes, lines), row| (bytes + row.1, lines + row.2));
        let (mut count, mut lost, mut gone) = (kept.len(), 0, Vec::new());
        for (suffix, packed, requests) in kept {
            if bytes <= self.bounds.waiting_bytes && count <= self.bounds.waiting_rows {
                break;
            }
            bytes -= packed;
            lines -= requests;
            lost += requests;
            count -= 1;
            gone.push(suffix);
        }
        if !gone.is_empty() {
            let bucket = String::from_utf8_lossy(group);
            tracing::error!(%bucket, requests = lost, "logs waited too long and are lost");
            self.remove(group, &gone, None).await?;
            self.stats.lost.fetch_add(lost, Relaxed);
        }
        Ok((lines, bytes))
    }
}

/// Whether a row of what is logged can be read.
pub(crate) fn check_row(suffix: &[u8], value: &Bytes) -> Result<()> {
    match suffix.first() {
        Some(&ANNOUNCED) => decode::<Announced>(value, "announced log").map(drop),
        Some(&CHUNK) => decode::<ChunkRecord>(value, "lines of a log")?.lines().map(drop),
        _ => Err(Error::Damaged("an unknown row".into())),
    }
}

/// Names the row that announces an object: there is one for a destination at most.
fn announced_row(logging: &Logging) -> RowRef {
    RowRef { table: Table::Log, suffix: [&[ANNOUNCED][..], &logging.write_id].concat().into() }
}

/// The lines of some rows, one row at a time.
struct LogBody {
    store: Arc<Store>,
    group: Bytes,
    chunks: std::vec::IntoIter<Bytes>,
    /// `None` if they are not to be compressed, or once they are.
    gzip: Option<GzEncoder<Vec<u8>>>,
}

#[async_trait]
impl BodySource for LogBody {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let failed = |error: std::io::Error| Error::Internal(format!("compressing: {error}"));
        for suffix in self.chunks.by_ref() {
            let row = RowRef { table: Table::Log, suffix };
            let row = self.store.read_row(Partition::System, &self.group, row).await?;
            // Gone beyond the bound.
            let Some(row) = row else { continue };
            let read = decode::<ChunkRecord>(&row, "lines of a log");
            let lines = match read.and_then(|chunk| chunk.lines()) {
                Ok(lines) => lines,
                // The others need not wait for it.
                Err(error) => {
                    tracing::error!(%error, "a row of a log is left out");
                    continue;
                }
            };
            let Some(mut gzip) = self.gzip.take() else { return Ok(Some(lines.into())) };
            let compressing = tokio::task::spawn_blocking(move || {
                gzip.write_all(&lines).map(|()| (std::mem::take(gzip.get_mut()), gzip))
            });
            let compressed = compressing
                .await
                .map_err(|error| Error::Internal(format!("a task failed: {error}")))?;
            let (piece, gzip) = compressed.map_err(failed)?;
            self.gzip = Some(gzip);
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        match self.gzip.take() {
            None => Ok(None),
            Some(gzip) => Ok(Some(gzip.finish().map_err(failed)?.into())),
        }
    }
}
