//! Requests between their end and the object that they are delivered in.
//!
//! In memory for a second at most, then in rows, one for each bucket and second: what
//! was handed in before the last row was written, a crash does not lose. Memory is
//! bounded; what comes when it is full, because the engine takes no rows or is slow, is
//! counted and lost. Requests never wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Logged, Logging};
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::record::encode;
use crate::store::{Store, detached};

/// Bytes of lines in memory, at most.
const MEMORY_MAX: usize = 16 << 20;
/// Bytes of lines of one row, about; more of a second's are several rows.
const CHUNK_BYTES: usize = 256 << 10;
/// How long lines are gathered.
const GATHER: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Rows written at once, so that their commits share syncs.
const AT_ONCE: usize = 16;
const DAY_MS: u64 = 86_400_000;
/// The rows are gone within minutes: time counts more than space.
const ZSTD_LEVEL: i32 = 1;

/// Suffixes of rows with lines begin with it.
pub(super) const CHUNK: u8 = 1;

/// Lines of one bucket and one day, compressed.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkRecord {
    /// Of the first line.
    #[prost(uint64, tag = "1")]
    pub first_ms: u64,
    #[prost(uint64, tag = "2")]
    pub lines: u64,
    /// Length of the lines.
    #[prost(uint64, tag = "3")]
    pub plain_bytes: u64,
    /// A zstd frame.
    #[prost(bytes = "bytes", tag = "4")]
    pub packed: Bytes,
    /// Where they go.
    #[prost(message, optional, tag = "5")]
    pub logging: Option<Logging>,
    #[prost(uint64, tag = "6")]
    pub owner_uin: u64,
    #[prost(string, tag = "7")]
    pub region: String,
}

impl ChunkRecord {
    pub(crate) fn lines(&self) -> Result<Vec<u8>> {
        let plain = usize::try_from(self.plain_bytes).unwrap_or(usize::MAX);
        // A line may be as long as a request's head, each byte of it escaped.
        if plain > CHUNK_BYTES + (4 << 20) {
            return Err(Error::Damaged("too many lines of a log in one row".into()));
        }
        let lines = zstd::bulk::decompress(&self.packed, plain)
            .map_err(|error| Error::Damaged(format!("lines of a log: {error}")))?;
        match lines.len() == plain {
            true => Ok(lines),
            false => Err(Error::Damaged("lines of a log are missing".into())),
        }
    }
}

/// Lines that are not in a row yet.
#[derive(Default)]
pub(crate) struct Spool {
    gathered: Mutex<Gathered>,
    /// There is something.
    wake: Notify,
    /// There is a row full.
    hurry: Notify,
    dropped: AtomicU64,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Gathered {
    /// By configuration, which is of one bucket, and day.
    open: HashMap<(Bytes, u64), Batch>,
    full: Vec<Batch>,
    /// Of all, those that are being written included.
    bytes: usize,
}

struct Batch {
    logged: Logged,
    first_ms: u64,
    lines: u64,
    text: Vec<u8>,
    /// Once it was tried to be written: it may be there.
    suffix: Option<Bytes>,
}

impl Spool {
    /// Adds a line, which ends with a line feed.
    fn add(&self, logged: &Logged, at_ms: u64, line: &[u8]) {
        let mut gathered = self.gathered.lock();
        if gathered.bytes + line.len() > MEMORY_MAX {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        gathered.bytes += line.len();
        let key = (logged.logging.write_id.clone(), at_ms / DAY_MS);
        let batch = gathered.open.entry(key.clone()).or_insert_with(|| Batch {
            logged: logged.clone(),
            first_ms: at_ms,
            lines: 0,
            text: Vec::new(),
            suffix: None,
        });
        batch.lines += 1;
        batch.text.extend_from_slice(line);
        let is_full = batch.text.len() >= CHUNK_BYTES;
        if is_full && let Some(batch) = gathered.open.remove(&key) {
            gathered.full.push(batch);
            self.hurry.notify_one();
        }
        self.wake.notify_one();
    }

    fn take(&self) -> Vec<Batch> {
        let mut gathered = self.gathered.lock();
        let mut batches = std::mem::take(&mut gathered.full);
        batches.extend(std::mem::take(&mut gathered.open).into_values());
        batches
    }

    fn written(&self, batch: &Batch) {
        self.gathered.lock().bytes -= batch.text.len();
    }

    fn give_back(&self, batch: Batch) {
        self.gathered.lock().full.push(batch);
        self.wake.notify_one();
    }
}

impl Store {
    /// Hands in the line of a finished request of a logged bucket, without its end. Never
    /// waits.
    pub fn log_request(&self, logged: &Logged, at_ms: u64, mut line: String) {
        // Whatever a client sends, it is one line.
        debug_assert!(!line.contains(['\n', '\r']), "{line:?}");
        line.push('\n');
        self.spool.add(logged, at_ms, line.as_bytes());
    }

    /// Counts a request that could not be logged.
    pub fn lose_request(&self) {
        self.spool.dropped.fetch_add(1, Relaxed);
    }

    /// Requests of logged buckets that no log will hold, since memory was full.
    pub fn requests_dropped(&self) -> u64 {
        self.spool.dropped.load(Relaxed)
    }

    /// Puts everything that was handed in on stable storage. Goes on to its end if the
    /// future is dropped, and waits for others that do.
    pub async fn keep_requests(self: &Arc<Self>) -> Result<()> {
        let store = self.clone();
        detached(async move {
            let _alone = store.spool.writing.lock().await;
            store.keep_taken().await
        })
        .await
    }

    async fn keep_taken(&self) -> Result<()> {
        let mut outcome = Ok(());
        let mut batches = self.spool.take();
        while !batches.is_empty() {
            let some: Vec<Batch> = batches.drain(..batches.len().min(AT_ONCE)).collect();
            let writing = some.into_iter().map(|batch| self.keep_batch(batch));
            for (batch, written) in join_all(writing).await {
                match written {
                    Ok(()) => self.spool.written(&batch),
                    Err(error) => {
                        self.spool.give_back(batch);
                        outcome = Err(error);
                    }
                }
            }
        }
        outcome
    }

    /// The same again and again, until the future is dropped.
    pub(super) async fn keep_requests_coming(self: &Arc<Self>) {
        loop {
            self.spool.wake.notified().await;
            let _ = timeout(GATHER, self.spool.hurry.notified()).await;
            if let Err(error) = self.keep_requests().await {
                tracing::warn!(%error, "requests of logged buckets wait in memory");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }

    async fn keep_batch(&self, mut batch: Batch) -> (Batch, Result<()>) {
        let suffix = batch.suffix.get_or_insert_with(|| {
            let mut suffix = vec![CHUNK];
            suffix.extend_from_slice(&batch.first_ms.to_be_bytes());
            suffix.extend_from_slice(&self.fresh_id()[..8]);
            suffix.into()
        });
        let row = RowRef { table: Table::Log, suffix: suffix.clone() };
        // Some hundred microseconds for a full one.
        let packed = match zstd::bulk::compress(&batch.text, ZSTD_LEVEL) {
            Ok(packed) => packed,
            Err(error) => return (batch, Err(Error::Internal(format!("packing: {error}")))),
        };
        let bucket = &batch.logged.bucket;
        let record = ChunkRecord {
            first_ms: batch.first_ms,
            lines: batch.lines,
            plain_bytes: batch.text.len() as u64,
            packed: packed.into(),
            logging: Some((*batch.logged.logging).clone()),
            owner_uin: bucket.owner_uin,
            region: bucket.region.clone(),
        };
        let group = bucket.name.as_str().to_owned().into();
        let writes = vec![Write::Put(row, encode(&record))];
        let written = self.try_commit(Partition::System, &group, vec![], writes).await;
        // It expects nothing, so nothing can be in its way.
        (batch, written.map(|_| ()))
    }
}
