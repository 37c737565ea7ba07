//! The one thread that writes rows.
//!
//! It takes all commits that wait, judges them in order, writes what they
//! change as one batch with one sync, and answers all of them. Judging and
//! writing are serial here, so expectations need no locks; while a sync is
//! under way the next group gathers by itself, so grouping adds no delay.
//!
//! Changes of partitions pass through the same queue and stand alone between
//! groups. What is to be noted of the log of bodies goes along with the next
//! batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::engine::{
    CommitError, EngineError, Partition, PartitionState, Retired, Table, Write,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::chores::Chores;
use super::group::{Changes, Group, Prepared};
use super::opening::{Place, Slot, stopped, unshared};
use super::partitions::Partitions;
use super::store::{Batch, Store, engine_error, is_for_space};
use crate::bodies::{BodyLog, Extent, Freer, Stored};
use crate::queue::Queue;
use crate::space::{Growth, SpaceGuard};
use crate::status::{Status, add, count};

/// Bytes of values that one group writes at most, unless a single commit is
/// larger: bounds how long the first of a group waits for the last.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// While space is short, how often the row store is told to give some back.
const RECLAIM_INTERVAL: Duration = Duration::from_secs(5);

/// How often it is tried to open the rows anew after they missed space.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Where the answer to a request goes. The asker may be gone.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// What the committer is asked to do.
pub(super) enum Request {
    Commit(Prepared, Reply<Result<(), CommitError>>),
    Create(Partition, Reply<Result<(), EngineError>>),
    /// The partition's state and how many commits it has taken.
    Inspect(Partition, Reply<Result<Option<(PartitionState, u64)>, EngineError>>),
    Retire {
        partition: Partition,
        must_be_empty: Vec<Table>,
        seen_empty_at: Option<u64>,
        reply: Reply<Result<Option<Retired>, EngineError>>,
    },
    RemoveStep {
        partition: Partition,
        rows: Vec<(Table, Bytes)>,
        reply: Reply<Result<bool, EngineError>>,
    },
    /// Pages of the log that no commit will use.
    Unused(Vec<Extent>),
    /// Dead bodies that have been given back.
    GivenBack(Vec<Extent>),
    /// A segment of the log that takes no more bodies.
    Sealed(u32),
}

/// The committer's other end.
pub(super) struct Committer {
    queue: Arc<Queue<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// `dead` has the bodies that are noted as dead.
    pub(super) fn start(
        slot: Slot,
        place: Place,
        log: Arc<BodyLog>,
        dead: Vec<Extent>,
        space: Arc<SpaceGuard>,
        status: Arc<Status>,
    ) -> Result<Self, EngineError> {
        let closed = || EngineError::Unavailable("the rows are not open".into());
        let store = slot.read().clone().ok_or_else(closed)?;
        let partitions = Partitions::load(&store)?;
        let queue = Arc::new(Queue::default());
        let given_back = queue.clone();
        let freer = Freer::start(log.clone(), move |extents| {
            given_back.push(Request::GivenBack(extents));
        })?;
        freer.free(dead);
        let acknowledged_below = store.unacknowledged();
        let store = Some(store);
        let worker = Worker {
            store,
            slot,
            place,
            log,
            freer,
            chores: Chores::default(),
            space,
            status,
            partitions,
            acknowledged_below,
            reclaimed: None,
        };
        let work = queue.clone();
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                let _end = End { queue: work.clone(), status: worker.status.clone() };
                worker.run(&work);
            })
            .map_err(|e| EngineError::io("starting the committer", e))?;
        Ok(Committer { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Hands over a request. Its reply is dropped unanswered if the committer
    /// is closing.
    pub(super) fn submit(&self, request: Request) {
        self.queue.push(request);
    }

    /// For those that hand over requests without the committer.
    pub(super) fn queue(&self) -> Arc<Queue<Request>> {
        self.queue.clone()
    }

    /// Lets the committer see that the rows have to be opened anew.
    pub(super) fn wake(&self) {
        self.queue.wake();
    }

    /// Lets the committer finish what waits, then ends it. Blocks.
    pub(super) fn close(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the committer ended with a panic");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Leaves nobody waiting when the committer ends, however it ends.
struct End {
    queue: Arc<Queue<Request>>,
    status: Arc<Status>,
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.status.poison("the committer has failed".into());
        }
        self.queue.abandon();
    }
}

struct Worker {
    /// Missing only when it could not be opened anew; then every write is refused.
    store: Option<Arc<Store>>,
    slot: Slot,
    place: Place,
    log: Arc<BodyLog>,
    freer: Freer,
    chores: Chores,
    /// Batches from this sequence number on failed, once the store is closed.
    acknowledged_below: u64,
    space: Arc<SpaceGuard>,
    status: Arc<Status>,
    partitions: Partitions,
    reclaimed: Option<Instant>,
}

impl Worker {
    fn run(mut self, queue: &Queue<Request>) {
        let mut taken = Vec::new();
        let status = self.status.clone();
        // Looks around now and then while the rows wait to be opened anew.
        let patience = || status.waits_for_space().then_some(REOPEN_INTERVAL);
        while queue.take_all(&mut taken, patience) {
            if self.status.waits_for_space() {
                self.reopen();
            }
            let mut commits = Vec::with_capacity(taken.len());
            let mut bytes = 0;
            for request in taken.drain(..) {
                match request {
                    Request::Commit(prepared, reply) => {
                        bytes += value_bytes(&prepared);
                        commits.push((prepared, reply));
                        if bytes >= GROUP_BYTES_MAX {
                            self.commit_group(std::mem::take(&mut commits));
                            bytes = 0;
                        }
                    }
                    Request::GivenBack(extents) => self.chores.given_back(extents),
                    Request::Unused(extents) => self.chores.unused(extents),
                    Request::Sealed(segment) => self.chores.sealed(segment),
                    other => {
                        self.commit_group(std::mem::take(&mut commits));
                        bytes = 0;
                        self.change_partition(other);
                    }
                }
            }
            self.commit_group(commits);
        }
    }

    fn commit_group(&mut self, commits: Vec<(Prepared, Reply<Result<(), CommitError>>)>) {
        if commits.is_empty() {
            return;
        }
        let store = self.store.clone().filter(|_| self.status.check_not_poisoned().is_ok());
        let Some(store) = store else {
            for (prepared, reply) in commits {
                self.chores.unused(prepared.placed.iter().map(|(_, place)| place.extent()));
                if let Err(refused) = self.status.check_not_poisoned() {
                    let _ = reply.send(Err(refused.into()));
                }
            }
            return;
        };
        let log = self.log.clone();
        let mut group = Group::new(&store, &log);
        let mut free = None;
        let mut outcomes = Vec::with_capacity(commits.len());
        let mut accepted = 0;
        for (prepared, reply) in commits {
            let space = &self.space;
            let admit = |growth: Growth| {
                let free = match free {
                    Some(free) => free,
                    None => *free.insert(space.free_bytes()?),
                };
                space.admit(growth, free)
            };
            let outcome = match group.judge(prepared, &mut self.partitions, admit) {
                Err(CommitError::Engine(error)) => Err(self.status.note(error).into()),
                outcome => outcome,
            };
            match outcome {
                Ok(()) => accepted += 1,
                Err(CommitError::Conflict(_)) => count(&self.status.counters.conflicts),
                Err(_) => {}
            }
            outcomes.push((reply, outcome));
        }
        let is_full = |outcome: &Result<(), CommitError>| {
            matches!(outcome, Err(CommitError::Engine(EngineError::Full(_))))
        };
        let full = outcomes.iter().any(|(_, outcome)| is_full(outcome));
        let changes = group.into_changes(&mut self.partitions);
        let written = self.apply(changes);
        if written.is_ok() && full {
            self.reclaim();
        }
        if written.is_ok() {
            add(&self.status.counters.commits, accepted);
        }
        for (reply, outcome) in outcomes {
            // After a failed sync no outcome stands: even a conflict may be with
            // a commit that was not written.
            let answer = match &written {
                Ok(()) => outcome,
                Err(reason) => Err(EngineError::Poisoned(reason.clone()).into()),
            };
            let _ = reply.send(answer);
        }
    }

    /// Deleted rows hold their space until the row store comes round to them.
    /// It does so as it is written to, which a full disk forbids.
    fn reclaim(&mut self) {
        if self.reclaimed.is_some_and(|last| last.elapsed() < RECLAIM_INTERVAL) {
            return;
        }
        self.reclaimed = Some(Instant::now());
        let Some(store) = &self.store else { return };
        if let Err(error) = store.reclaim() {
            tracing::warn!(%error, "the row store could not begin to give back space");
        }
    }

    fn change_partition(&mut self, request: Request) {
        let Some(store) = self.store.clone() else { return };
        let mut batch = store.batch();
        match request {
            Request::Commit(..)
            | Request::Unused(_)
            | Request::GivenBack(_)
            | Request::Sealed(_) => unreachable!("these go along with groups of commits"),
            Request::Inspect(partition, reply) => {
                let _ = reply.send(Ok(self.partitions.inspect(partition)));
            }
            Request::Create(partition, reply) => {
                let outcome = self.partitions.create(partition, &mut batch);
                self.finish_change(batch, Vec::new(), outcome, reply);
            }
            Request::Retire { partition, must_be_empty, seen_empty_at, reply } => {
                let partitions = &mut self.partitions;
                let outcome =
                    partitions.retire(&store, partition, &must_be_empty, seen_empty_at, &mut batch);
                self.finish_change(batch, Vec::new(), outcome, reply);
            }
            Request::RemoveStep { partition, rows, reply } => {
                let freed = placed_bodies(&store, &rows);
                let outcome = freed.and_then(|freed| {
                    let removed =
                        self.partitions.remove_step(&store, partition, rows, &mut batch)?;
                    Ok((freed, removed))
                });
                let (freed, outcome) = match outcome {
                    Ok((freed, removed)) => (freed, Ok(removed)),
                    Err(error) => (Vec::new(), Err(error)),
                };
                self.finish_change(batch, freed, outcome, reply);
            }
        }
    }

    fn finish_change<T>(
        &mut self,
        batch: Batch<'_>,
        freed: Vec<Extent>,
        outcome: Result<T, EngineError>,
        reply: Reply<Result<T, EngineError>>,
    ) {
        let outcome = self.status.check_not_poisoned().and(outcome);
        let written = match outcome {
            Ok(_) => {
                let (named, unused) = (Vec::new(), Vec::new());
                let changes = Changes { batch, named, freed, unused };
                self.apply(changes).map_err(EngineError::Poisoned)
            }
            Err(_) => Ok(()),
        };
        let _ = reply.send(written.and(outcome));
    }

    /// Writes changes and what is to be noted of the log, and syncs them, if there
    /// are any changes. The error is why the engine refuses writes from now on.
    fn apply(&mut self, changes: Changes<'_>) -> Result<(), String> {
        let Changes { mut batch, mut named, freed, unused } = changes;
        self.chores.unused(unused);
        if batch.is_empty() && !self.chores.are_pressing() {
            return Ok(());
        }
        let noted = self.chores.write_into(&mut batch, &mut named, &freed);
        let written = match noted {
            Ok(()) => self.write(batch),
            Err(error) => Err(self.status.poison(format!("noting bodies: {error}")).to_string()),
        };
        if written.is_ok() {
            let (dead, sealed_below) = self.chores.done();
            if let Some(segment) = sealed_below {
                self.log.seal_below(segment);
            }
            self.freer.free(freed.into_iter().chain(dead));
        } else {
            self.chores.unused(named.into_iter().map(|named| named.extent));
        }
        written
    }

    /// Writes a batch and syncs it.
    fn write(&self, batch: Batch<'_>) -> Result<(), String> {
        let error = match batch.apply() {
            Ok(()) => {
                count(&self.status.counters.groups);
                self.status.counters.syncs.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => error,
        };
        let for_space = is_for_space(&error);
        let refused = match error {
            fjall::Error::Poisoned => stopped(&self.status, &self.space),
            error => {
                let reason = format!("writing rows: {}", engine_error(error));
                match for_space {
                    true => self.status.poison_for_space(reason),
                    false => self.status.poison(reason),
                }
            }
        };
        match refused {
            EngineError::Poisoned(reason) => Err(reason),
            other => Err(other.to_string()),
        }
    }

    /// Closes the row store and opens it again, once there is space, after a write
    /// of it has missed some.
    ///
    /// Reads are refused meanwhile. What fails is tried again.
    fn reopen(&mut self) {
        if self.space.is_short() {
            return;
        }
        self.slot.write().take();
        if let Some(store) = self.store.take() {
            self.acknowledged_below = store.unacknowledged();
            drop(unshared(store));
        }
        let opened = self.place.open_again(self.acknowledged_below, &self.status);
        match opened.and_then(|store| self.partitions.reload(&store).map(|()| store)) {
            Ok(store) => {
                *self.slot.write() = Some(store.clone());
                self.store = Some(store);
                self.status.space_is_back();
            }
            Err(error) => tracing::error!(%error, "the rows could not be opened again"),
        }
    }
}

/// The bodies in the log among some rows that are to be deleted.
fn placed_bodies(store: &Store, rows: &[(Table, Bytes)]) -> Result<Vec<Extent>, EngineError> {
    let snapshot = store.snapshot();
    let mut extents = Vec::new();
    for (table, key) in rows.iter().filter(|(table, _)| *table == Table::Body) {
        if let Some(Stored::Placed(place)) = store.get(&snapshot, *table, key)? {
            extents.push(place.extent());
        }
    }
    Ok(extents)
}

/// Bytes of values that go through the row store.
fn value_bytes(prepared: &Prepared) -> usize {
    let sizes = prepared.commit.writes.iter().map(|write| match write {
        Write::Put(_, value) => value.len(),
        Write::Delete(_) => 0,
    });
    let in_log = prepared.placed.iter().map(|(_, place)| place.len as usize);
    sizes.sum::<usize>() - in_log.sum::<usize>()
}
