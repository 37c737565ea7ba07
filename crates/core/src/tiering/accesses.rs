//! What was read, until its record says so.
//!
//! A read only notes in memory what it has read, if the record does not tell so of this
//! day already. A job writes the notes down, and brings what lay below the frequent tier
//! back. A note that is lost, by a crash or because there were too many at once, is made
//! again by the next read; until then the object counts as read earlier than it was.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::AccessTier;
use super::places::has_tiers;
use crate::bucket::Bucket;
use crate::engine::BucketId;
use crate::error::{Error, Result};
use crate::names::ObjectKey;
use crate::object::{Brought, Destination, MovePace, Moved, version_row};
use crate::pace::Pace;
use crate::record::{ObjectRecord, decode};
use crate::store::Store;
use crate::version::VersionId;

/// Notes in memory at once.
const NOTES_MAX: usize = 16 * 1024;
/// How long notes are gathered, so that reads that follow each other make one.
const GATHER: Duration = Duration::from_millis(500);
/// Written down at once, so that their commits share syncs.
const AT_ONCE: usize = 16;
/// How often a note begins again because somebody writes the key; the next read will
/// make it anew.
const TRIES_MAX: usize = 4;

/// A version that was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Read {
    bucket: BucketId,
    key: ObjectKey,
    version: Bytes,
}

#[derive(Default)]
pub(crate) struct Accesses {
    noted: Mutex<HashMap<Read, Bucket>>,
    wake: Notify,
    dropped: AtomicU64,
}

/// What has come of the notes since the process began.
#[derive(Default, Debug)]
pub struct AccessStats {
    /// Objects and versions whose records tell of a later read.
    pub noted: AtomicU64,
    /// Those of them that came back from the tiers below.
    pub raised: AtomicU64,
    pub failures: AtomicU64,
}

impl Accesses {
    /// Reads that were not noted, since there were too many at once.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// What came of one note.
enum Outcome {
    Nothing,
    Noted,
    Raised,
}

/// Runs in the background for the life of a store, in every process that serves one:
/// each has notes of its own.
pub struct AccessJob {
    store: Arc<Store>,
    moves: MovePace,
    stats: Arc<AccessStats>,
}

impl AccessJob {
    /// At most so many bytes per second come back from the tiers below.
    pub fn new(store: Arc<Store>, moved_bytes_per_second: u64) -> AccessJob {
        let moves = MovePace::new(Pace::new(moved_bytes_per_second));
        AccessJob { store, moves, stats: Arc::default() }
    }

    pub fn stats(&self) -> Arc<AccessStats> {
        self.stats.clone()
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        loop {
            self.store.accesses.wake.notified().await;
            tokio::time::sleep(GATHER).await;
            self.write_down().await;
        }
    }

    /// Writes down what is noted now.
    pub async fn write_down(&self) {
        let noted = std::mem::take(&mut *self.store.accesses.noted.lock());
        let noted: Vec<(Read, Bucket)> = noted.into_iter().collect();
        for some in noted.chunks(AT_ONCE) {
            let raising = some.iter().map(|(read, bucket)| {
                self.store.tell_read(bucket, &read.key, &read.version, &self.moves)
            });
            for ((read, bucket), outcome) in some.iter().zip(join_all(raising).await) {
                match outcome {
                    Ok(Outcome::Nothing) | Err(Error::NoSuchBucket) => {}
                    Ok(Outcome::Noted) => self.count(&self.stats.noted),
                    Ok(Outcome::Raised) => {
                        self.count(&self.stats.noted);
                        self.count(&self.stats.raised);
                    }
                    Err(error) => {
                        self.count(&self.stats.failures);
                        let (bucket, key) = (&bucket.name, &read.key);
                        tracing::warn!(%bucket, ?key, %error, "a read was not noted");
                    }
                }
            }
        }
    }

    fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

impl Store {
    /// Reads of objects in intelligent tiering that were not noted.
    pub fn accesses_dropped(&self) -> u64 {
        self.accesses.dropped()
    }

    /// Notes that an object is being read, if its record does not say so.
    pub(crate) fn note_read(&self, bucket: &Bucket, key: &ObjectKey, record: &ObjectRecord) {
        // First: every read comes by here, and the clock is asked for few of them.
        if !has_tiers(&record.storage_class)
            || record.warms(self.options.day_ms, self.now_ms()).is_none()
        {
            return;
        }
        let read = Read { bucket: bucket.id, key: key.clone(), version: record.version.clone() };
        let mut noted = self.accesses.noted.lock();
        if noted.len() >= NOTES_MAX && !noted.contains_key(&read) {
            self.accesses.dropped.fetch_add(1, Relaxed);
            return;
        }
        noted.insert(read, bucket.clone());
        self.accesses.wake.notify_one();
    }

    async fn tell_read(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &ObjectKey,
        version: &Bytes,
        pace: &MovePace,
    ) -> Result<Outcome> {
        for _ in 0..TRIES_MAX {
            let Some(moved) = self.as_read(bucket, key, version).await? else { break };
            let Some(access) = moved.record.warms(self.options.day_ms, self.now_ms()) else {
                break;
            };
            let is_below = moved.record.bytes_tier() != AccessTier::Frequent;
            let class = moved.record.storage_class.clone();
            let destination = Destination { class, access: Some(access) };
            let brought = match is_below {
                true => self.bring(bucket, key, &moved, &destination, pace).await?,
                false => Brought::There,
            };
            let settled = self.settled(bucket).await?;
            if self.commit_move(&settled, key, &moved, brought, destination).await? {
                return Ok(if is_below { Outcome::Raised } else { Outcome::Noted });
            }
        }
        Ok(Outcome::Nothing)
    }

    /// The version that was read, wherever it is by now.
    async fn as_read(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: &Bytes,
    ) -> Result<Option<Moved>> {
        let current = self.current_object(bucket, key).await?;
        if let Some(record) = current.record.clone().filter(|record| record.version == *version) {
            return Ok(Some(Moved { current, record, older: None }));
        }
        if current.history.is_none() {
            return Ok(None);
        }
        let suffix = match version.is_empty() {
            true => VersionId::OLDEST.suffix(),
            false => version.clone(),
        };
        let row = self.read_row(bucket.partition(), &key.group(), version_row(&suffix)).await?;
        let Some(row) = row else { return Ok(None) };
        let record = decode(&row, "version record")?;
        Ok(Some(Moved { current, record, older: Some((suffix, row)) }))
    }
}
