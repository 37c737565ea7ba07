//! Rows: an ordered store, one thread that writes it, and readers beside it.

mod carried;
mod chores;
mod committer;
mod fetch;
mod group;
mod journal;
mod key;
mod keyspaces;
mod opening;
mod pace;
mod partitions;
mod rewrites;
mod scan;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{
    BucketId, Commit, CommitError, EngineError, Index, Partition, PartitionState, Retired, RowRef,
    ScanRange, Table, Tallies, Visitor,
};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, oneshot};

use committer::{Committer, Reply, Request};
use fetch::fetch_unblocked;
use group::Prepared;
use opening::{Place, Slot, stopped, unshared};
pub(crate) use opening::{check_whole, remove_unmade};
use pace::Pace;
use partitions::REMOVE_STEP_ROWS;
use store::Store;

use crate::blocking::run_blocking;
use crate::bodies::{self, Append, Appender, BodyLog, Extent, Place as BodyPlace, Stored};
use crate::options::Options;
use crate::queue::Queue;
use crate::space::SpaceGuard;
use crate::status::Status;

/// How often a retirement looks at the tables beside the committer before the
/// committer is made to wait for the look.
const RETIRE_TRIES: usize = 3;

type CommitReply = Reply<Result<(), CommitError>>;

/// Scans that run at once, per core. Each is a millisecond or so of work on a thread
/// of its own; where many run, the system gives turns to some again and again while
/// others wait. Some more than cores, as one may wait for the device.
const SCANS_PER_CORE: usize = 2;
const SCANS_MIN: usize = 4;

/// The embedded engine's rows.
pub(crate) struct EmbeddedIndex {
    store: Slot,
    log: Arc<BodyLog>,
    appender: Appender<CommitReply>,
    committer: Committer,
    pace: Arc<Pace>,
    /// Turns of scans, first come, first served.
    scans: Semaphore,
    space: Arc<SpaceGuard>,
    status: Arc<Status>,
}

impl EmbeddedIndex {
    /// Opens the rows under `path`, making them if there are none. Blocks.
    pub(crate) fn open(
        path: &Path,
        options: &Options,
        log: Arc<BodyLog>,
        space: Arc<SpaceGuard>,
        status: Arc<Status>,
    ) -> Result<Self, EngineError> {
        let (memory, durability) = (options.memory(), options.durability);
        let place = Place { path: path.to_owned(), memory, durability };
        let store = place.open(&status)?;
        let (first, dead) = settle(&store, &log)?;
        let store: Slot = Arc::new(RwLock::new(Some(store)));
        let committer = Committer::start(
            store.clone(),
            place,
            log.clone(),
            dead,
            space.clone(),
            status.clone(),
        )?;
        let appender = Appender::start(log.clone(), first, ToCommitter(committer.queue()))?;
        let pace = Arc::default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let scans = Semaphore::new((SCANS_PER_CORE * cores).max(SCANS_MIN));
        Ok(EmbeddedIndex { store, log, appender, committer, pace, scans, space, status })
    }

    fn store(&self) -> Result<Arc<Store>, EngineError> {
        self.status.check_open()?;
        let store = self.store.read().clone();
        store.ok_or_else(|| EngineError::Unavailable("the rows are not open".into()))
    }

    /// Sends a request to the committer and waits for its answer.
    async fn ask<T>(
        &self,
        request: impl FnOnce(Reply<Result<T, EngineError>>) -> Request,
    ) -> Result<T, EngineError> {
        self.status.check_writable()?;
        let (reply, answer) = oneshot::channel();
        self.committer.submit(request(reply));
        answer.await.unwrap_or_else(|_| Err(unanswered()))
    }

    /// Finishes what was submitted, makes everything stable and lets go of the
    /// files, once running scans have ended. Blocks.
    pub(crate) fn close(&self) -> Result<(), EngineError> {
        self.appender.close();
        self.committer.close();
        let Some(store) = self.store.write().take() else {
            return self.status.check_not_poisoned();
        };
        let store = unshared(store);
        self.status.check_not_poisoned()?;
        store.persist().map_err(|error| {
            self.status.poison(format!("syncing the journal: {}", store::engine_error(error)))
        })
    }

    /// Compares the log of bodies with the rows, and what rows carry of others with
    /// those; nothing may be written meanwhile.
    /// What is wrong, in words for the operator.
    pub(crate) async fn audit(&self) -> Result<Vec<String>, EngineError> {
        let (store, log) = (self.store()?, self.log.clone());
        run_blocking(move || {
            let dead = store.log_rows()?.dead;
            let mut findings = log.audit(store.placed()?, dead)?;
            findings.extend(store.carried_amiss()?);
            Ok(findings)
        })
        .await
    }

    /// Gauges of the row store; `None` once closed. Notices as well when the row
    /// store has stopped, which no commit may have run into yet.
    pub(crate) fn sizes(&self) -> Option<IndexSizes> {
        let store = self.store().ok()?;
        if store.has_stopped() {
            let _ = stopped(&self.status, &self.space);
            self.committer.wake();
        }
        Some(IndexSizes {
            journal_bytes: store.journal_bytes()?,
            table_bytes: Table::ALL.iter().map(|table| store.disk_bytes(*table)).sum(),
            block_cache_bytes: store.block_cache_bytes(),
        })
    }
}

/// Makes the log and the rows agree after whatever ended the last run: the number
/// of the first segment that does not exist, and what is still to be given back.
fn settle(store: &Store, log: &BodyLog) -> Result<(u32, Vec<Extent>), EngineError> {
    let rows = store.log_rows()?;
    let snapshot = store.snapshot();
    let mut live = Vec::new();
    for named in &rows.named {
        if let Some(Stored::Placed(place)) = store.get(&snapshot, Table::Body, &named.key)?
            && place.extent() == named.extent
        {
            live.push(named.extent);
        }
    }
    // A number that a row knows is not used again: the row would mean another body.
    let known = rows.named.iter().map(|named| named.extent).chain(rows.dead.iter().copied());
    let known = known.map(|extent| extent.segment + 1).max().unwrap_or(0);
    let first = log.settle(rows.sealed_below, live)?.max(known);
    if first > rows.sealed_below || !rows.named.is_empty() {
        let mut batch = store.batch();
        batch.seal_below(first)?;
        batch.apply().map_err(store::engine_error)?;
    }
    log.seal_below(first);
    Ok((first, rows.dead))
}

/// How the appender reaches the committer.
struct ToCommitter(Arc<Queue<Request>>);

impl bodies::Next<CommitReply> for ToCommitter {
    fn commit(&self, commit: Commit, placed: Vec<(usize, BodyPlace)>, reply: CommitReply) {
        self.0.push(Request::Commit(Prepared { commit, placed }, reply));
    }

    fn failed(&self, error: EngineError, reply: CommitReply) {
        let _ = reply.send(Err(error.into()));
    }

    fn unused(&self, extents: Vec<Extent>) {
        self.0.push(Request::Unused(extents));
    }

    fn sealed(&self, segment: u32) {
        self.0.push(Request::Sealed(segment));
    }
}

/// Bytes that the row store holds.
pub(crate) struct IndexSizes {
    pub(crate) journal_bytes: u64,
    pub(crate) table_bytes: u64,
    pub(crate) block_cache_bytes: u64,
}

/// Reads rows of the group whose keys begin with `key`. May block.
fn read_rows(
    store: &Store,
    mut key: Vec<u8>,
    rows: &[RowRef],
    pace: &Pace,
) -> Result<Vec<Option<Stored>>, EngineError> {
    let start = Instant::now();
    let snapshot = store.snapshot();
    let prefix_len = key.len();
    let mut values = Vec::with_capacity(rows.len());
    // Of the object before, and at the same key.
    let mut carried: Option<(&Bytes, Stored)> = None;
    for row in rows {
        key.truncate(prefix_len);
        key.extend_from_slice(&row.suffix);
        values.push(match (row.table, carried.take()) {
            (Table::Object, _) => {
                let object = store.get_object(&snapshot, &key)?;
                object.map(|(value, body)| {
                    carried = body.map(|body| (&row.suffix, body));
                    Stored::Value(value)
                })
            }
            (Table::Body, Some((suffix, body))) if *suffix == row.suffix => Some(body),
            (table, _) => store.get(&snapshot, table, &key)?,
        });
    }
    pace.note(start.elapsed());
    Ok(values)
}

/// The committer dropped the request because the engine is closing.
fn unanswered() -> EngineError {
    EngineError::Unavailable("the engine closed before the request was served".into())
}

#[async_trait]
impl Index for EmbeddedIndex {
    async fn read(
        &self,
        partition: Partition,
        group: &[u8],
        rows: &[RowRef],
    ) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.read_rows(partition, group, rows).await.map_err(|error| self.status.note(error))
    }

    async fn scan(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
        mut visitor: Visitor,
    ) -> Result<(), EngineError> {
        let (store, log) = (self.store()?, self.log.clone());
        let _turn = self.scans.acquire().await;
        run_blocking(move || scan::scan(&store, &log, partition, table, &range, &mut visitor))
            .await
            .map_err(|error| self.status.note(error))
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.status.check_writable()?;
        let (reply, answer) = oneshot::channel();
        if self.log.takes_bodies() && bodies::has_bodies(&commit) {
            self.appender.submit(Append { commit, reply });
        } else {
            self.committer.submit(Request::Commit(commit.into(), reply));
        }
        answer.await.unwrap_or_else(|_| Err(unanswered().into()))
    }

    async fn tallies(&self, partition: Partition) -> Result<Tallies, EngineError> {
        self.store()?.tallies(partition).map_err(|error| self.status.note(error))
    }

    async fn create_partition(&self, partition: Partition) -> Result<(), EngineError> {
        self.ask(|reply| Request::Create(partition, reply)).await
    }

    async fn retire_partition(
        &self,
        partition: Partition,
        must_be_empty: &[Table],
    ) -> Result<Retired, EngineError> {
        if partition == Partition::System {
            return Ok(Retired::Missing);
        }
        // Finding a table empty can mean walking over a million deleted rows.
        // That is done here first, so that commits need not wait for it.
        for _ in 0..RETIRE_TRIES {
            let inspected = self.ask(|reply| Request::Inspect(partition, reply)).await?;
            let Some((PartitionState::Live, commits)) = inspected else {
                return Ok(Retired::Missing);
            };
            if !self.are_empty(partition, must_be_empty).await? {
                return Ok(Retired::NotEmpty);
            }
            if let Some(retired) = self.retire(partition, must_be_empty, Some(commits)).await? {
                return Ok(retired);
            }
        }
        let retired = self.retire(partition, must_be_empty, None).await?;
        Ok(retired.expect("the committer decides when it looks by itself"))
    }

    async fn remove_partition(&self, partition: Partition) -> Result<(), EngineError> {
        loop {
            let store = self.store()?;
            let rows = run_blocking(move || {
                let snapshot = store.snapshot();
                let mut rows = Vec::new();
                // Objects before the bodies that their rows carry along.
                for table in Table::ALL {
                    let limit = REMOVE_STEP_ROWS - rows.len();
                    let keys = store.first_keys(&snapshot, partition, table, limit)?;
                    rows.extend(keys.into_iter().map(|key| (table, key)));
                }
                Ok(rows)
            });
            let rows = rows.await?;
            if self.ask(|reply| Request::RemoveStep { partition, rows, reply }).await? {
                return Ok(());
            }
        }
    }

    async fn partitions(&self) -> Result<Vec<(BucketId, PartitionState)>, EngineError> {
        let store = self.store()?;
        let partitions = run_blocking(move || store.partitions()).await?;
        let buckets = partitions.into_iter().filter_map(|(partition, state, _)| match partition {
            Partition::System => None,
            Partition::Bucket(id) => Some((id, state)),
        });
        Ok(buckets.collect())
    }
}

impl EmbeddedIndex {
    async fn read_rows(
        &self,
        partition: Partition,
        group: &[u8],
        rows: &[RowRef],
    ) -> Result<Vec<Option<Bytes>>, EngineError> {
        let store = self.store()?;
        let prefix = key::group_prefix(partition, group);
        let read = if self.pace.is_slow() {
            let store = store.clone();
            let (rows, pace) = (rows.to_vec(), self.pace.clone());
            run_blocking(move || read_rows(&store, prefix, &rows, &pace)).await?
        } else {
            read_rows(&store, prefix, rows, &self.pace)?
        };
        let mut values = Vec::with_capacity(read.len());
        for (row, stored) in rows.iter().zip(read) {
            values.push(match stored {
                None => None,
                Some(Stored::Value(value)) => Some(value),
                Some(placed) => {
                    let key = key::row_key(partition, group, &row.suffix);
                    fetch_unblocked(&self.log, &store, key, placed).await?
                }
            });
        }
        Ok(values)
    }

    async fn are_empty(&self, partition: Partition, tables: &[Table]) -> Result<bool, EngineError> {
        let (store, tables) = (self.store()?, tables.to_vec());
        run_blocking(move || {
            let snapshot = store.snapshot();
            for table in tables {
                if !store.is_empty(&snapshot, partition, table)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    async fn retire(
        &self,
        partition: Partition,
        must_be_empty: &[Table],
        seen_empty_at: Option<u64>,
    ) -> Result<Option<Retired>, EngineError> {
        let must_be_empty = must_be_empty.to_vec();
        let request = |reply| Request::Retire { partition, must_be_empty, seen_empty_at, reply };
        self.ask(request).await
    }
}

#[cfg(test)]
mod tests {
    use costrel_core::engine::{Health, Write};

    use super::*;
    use crate::disk::RealDisk;

    fn open(dir: &Path, status: &Arc<Status>) -> EmbeddedIndex {
        let disk = Arc::new(RealDisk::open(dir).unwrap());
        let space = Arc::new(SpaceGuard::new(disk.clone(), status.clone(), 0));
        let options = Options::new(dir);
        let log = BodyLog::open(disk, space.clone(), status.clone(), options.durability).unwrap();
        EmbeddedIndex::open(&dir.join("index"), &options, log, space, status.clone()).unwrap()
    }

    /// After a failed sync anywhere in the engine, rows are read but not
    /// written, until the store is opened anew.
    #[tokio::test]
    async fn a_poisoned_engine_reads_on() {
        let dir = tempfile::tempdir().unwrap();
        let status = Arc::new(Status::default());
        let index = open(dir.path(), &status);
        let row = RowRef::only(Table::Installation);
        let commit = |value: &'static str| Commit {
            partition: Partition::System,
            group: Bytes::from_static(b"k"),
            expects: vec![],
            writes: vec![Write::Put(row.clone(), value.into())],
            tallies: Tallies::default(),
        };
        index.commit(commit("before")).await.unwrap();
        let _ = status.poison("the test says so".into());
        // One that comes while the committer is still ending is not answered;
        // those that follow are told why.
        let poisoned = |refused: &Result<(), CommitError>| {
            matches!(refused, Err(CommitError::Engine(EngineError::Poisoned(_))))
        };
        let mut refused = index.commit(commit("after")).await;
        for _ in 0..1000 {
            if poisoned(&refused) {
                break;
            }
            assert!(refused.is_err(), "a commit without a committer");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            refused = index.commit(commit("after")).await;
        }
        assert!(poisoned(&refused), "{refused:?}");
        let refused = index.create_partition(Partition::Bucket(BucketId(1))).await;
        assert!(matches!(refused, Err(EngineError::Poisoned(_))), "{refused:?}");
        assert!(matches!(status.health(), Health::ReadOnly(_)));
        let rows = std::slice::from_ref(&row);
        let before = [Some(Bytes::from_static(b"before"))];
        assert_eq!(index.read(Partition::System, b"k", rows).await.unwrap(), before);
        assert!(matches!(index.close(), Err(EngineError::Poisoned(_))));

        let index = open(dir.path(), &Arc::new(Status::default()));
        assert_eq!(index.read(Partition::System, b"k", rows).await.unwrap(), before);
        index.commit(commit("after")).await.unwrap();
    }

    /// A defect that ends the committer leaves nobody waiting.
    #[tokio::test]
    #[cfg(debug_assertions)]
    async fn a_committer_that_fails_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let status = Arc::new(Status::default());
        let index = open(dir.path(), &status);
        let row = RowRef::only(Table::Installation);
        let commit = |value: &'static str| Commit {
            partition: Partition::System,
            group: Bytes::from_static(b"k"),
            expects: vec![],
            writes: vec![Write::Put(row.clone(), value.into())],
            tallies: Tallies::default(),
        };
        index.commit(commit("before")).await.unwrap();
        // Values are never empty; builds with assertions panic.
        let (failed, waiting) = tokio::join!(index.commit(commit("")), index.commit(commit("v")));
        assert!(failed.is_err() && waiting.is_err(), "{failed:?} {waiting:?}");
        // One that comes while the committer is still ending is not answered;
        // those that follow are told why.
        let poisoned = |refused: &Result<(), CommitError>| {
            matches!(refused, Err(CommitError::Engine(EngineError::Poisoned(_))))
        };
        let mut refused = index.commit(commit("after")).await;
        for _ in 0..1000 {
            if poisoned(&refused) {
                break;
            }
            assert!(refused.is_err(), "a commit without a committer");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            refused = index.commit(commit("after")).await;
        }
        assert!(poisoned(&refused), "{refused:?}");
        let rows = index.read(Partition::System, b"k", &[row]).await.unwrap();
        assert_eq!(rows, [Some(Bytes::from_static(b"before"))]);
    }
}
