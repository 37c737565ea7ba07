//! The one thread that writes rows.
//!
//! It takes all commits that wait, judges them in order, writes what they
//! change as one batch with one sync, and answers all of them. Judging and
//! writing are serial here, so expectations need no locks; while a sync is
//! under way the next group gathers by itself, so grouping adds no delay.
//!
//! Changes of partitions pass through the same queue and stand alone between
//! groups.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::engine::{
    Commit, CommitError, EngineError, Partition, PartitionState, Retired, Table, Write,
};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::group::Group;
use super::opening::{Place, Slot, stopped, unshared};
use super::partitions::Partitions;
use super::store::{Batch, Store, engine_error, is_for_space};
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
    Commit(Commit, Reply<Result<(), CommitError>>),
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
}

/// Requests in the order they came.
#[derive(Default)]
struct Queue {
    waiting: Vec<Request>,
    /// The committer sleeps and needs to be woken.
    asleep: bool,
    closing: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The committer's other end.
pub(super) struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    pub(super) fn start(
        slot: Slot,
        place: Place,
        space: Arc<SpaceGuard>,
        status: Arc<Status>,
    ) -> Result<Self, EngineError> {
        let closed = || EngineError::Unavailable("the rows are not open".into());
        let store = slot.read().clone().ok_or_else(closed)?;
        let partitions = Partitions::load(&store)?;
        let shared = Arc::new(Shared::default());
        let acknowledged_below = store.unacknowledged();
        let store = Some(store);
        let worker = Worker {
            store,
            slot,
            place,
            space,
            status,
            partitions,
            acknowledged_below,
            reclaimed: None,
        };
        let queue = shared.clone();
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                let _end = End { shared: queue.clone(), status: worker.status.clone() };
                worker.run(&queue);
            })
            .map_err(|e| EngineError::io("starting the committer", e))?;
        Ok(Committer { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands over a request. Its reply is dropped unanswered if the committer
    /// is closing.
    pub(super) fn submit(&self, request: Request) {
        let mut queue = self.shared.queue.lock();
        if queue.closing {
            return;
        }
        queue.waiting.push(request);
        let wake = std::mem::take(&mut queue.asleep);
        drop(queue);
        if wake {
            self.shared.wake.notify_one();
        }
    }

    /// Lets the committer see that the rows have to be opened anew.
    pub(super) fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Lets the committer finish what waits, then ends it. Blocks.
    pub(super) fn close(&self) {
        {
            let mut queue = self.shared.queue.lock();
            queue.closing = true;
            queue.asleep = false;
        }
        self.shared.wake.notify_one();
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
    shared: Arc<Shared>,
    status: Arc<Status>,
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.status.poison("the committer has failed".into());
        }
        let waiting = {
            let mut queue = self.shared.queue.lock();
            queue.closing = true;
            std::mem::take(&mut queue.waiting)
        };
        drop(waiting);
    }
}

struct Worker {
    /// Missing only when it could not be opened anew; then every write is refused.
    store: Option<Arc<Store>>,
    slot: Slot,
    place: Place,
    /// Batches from this sequence number on failed, once the store is closed.
    acknowledged_below: u64,
    space: Arc<SpaceGuard>,
    status: Arc<Status>,
    partitions: Partitions,
    reclaimed: Option<Instant>,
}

impl Worker {
    fn run(mut self, shared: &Shared) {
        let mut taken = Vec::new();
        while take_all(shared, &self.status, &mut taken) {
            if self.status.waits_for_space() {
                self.reopen();
            }
            let mut commits = Vec::with_capacity(taken.len());
            let mut bytes = 0;
            for request in taken.drain(..) {
                match request {
                    Request::Commit(commit, reply) => {
                        bytes += value_bytes(&commit);
                        commits.push((commit, reply));
                        if bytes >= GROUP_BYTES_MAX {
                            self.commit_group(std::mem::take(&mut commits));
                            bytes = 0;
                        }
                    }
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

    fn commit_group(&mut self, commits: Vec<(Commit, Reply<Result<(), CommitError>>)>) {
        if commits.is_empty() {
            return;
        }
        if self.status.check_not_poisoned().is_err() {
            for (_, reply) in commits {
                let refused = self.status.check_not_poisoned();
                let _ = reply.send(refused.map_err(CommitError::from));
            }
            return;
        }
        let Some(store) = self.store.clone() else { return };
        let mut group = Group::new(&store);
        let mut free = None;
        let mut outcomes = Vec::with_capacity(commits.len());
        let mut accepted = 0;
        for (commit, reply) in commits {
            let space = &self.space;
            let admit = |growth: Growth| {
                let free = match free {
                    Some(free) => free,
                    None => *free.insert(space.free_bytes()?),
                };
                space.admit(growth, free)
            };
            let outcome = match group.judge(commit, &mut self.partitions, admit) {
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
        let written = self.apply(group.into_batch());
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
            Request::Commit(..) => unreachable!("commits are written in groups"),
            Request::Inspect(partition, reply) => {
                let _ = reply.send(Ok(self.partitions.inspect(partition)));
            }
            Request::Create(partition, reply) => {
                let outcome = self.partitions.create(partition, &mut batch);
                self.finish_change(batch, outcome, reply);
            }
            Request::Retire { partition, must_be_empty, seen_empty_at, reply } => {
                let partitions = &mut self.partitions;
                let outcome =
                    partitions.retire(&store, partition, &must_be_empty, seen_empty_at, &mut batch);
                self.finish_change(batch, outcome, reply);
            }
            Request::RemoveStep { partition, rows, reply } => {
                let outcome = self.partitions.remove_step(&store, partition, rows, &mut batch);
                self.finish_change(batch, outcome, reply);
            }
        }
    }

    fn finish_change<T>(
        &self,
        batch: Batch<'_>,
        outcome: Result<T, EngineError>,
        reply: Reply<Result<T, EngineError>>,
    ) {
        let outcome = self.status.check_not_poisoned().and(outcome);
        let written = match outcome {
            Ok(_) => self.apply(batch).map_err(EngineError::Poisoned),
            Err(_) => Ok(()),
        };
        let _ = reply.send(written.and(outcome));
    }

    /// Writes a batch and syncs it, if there is anything in it. The error is why
    /// the engine refuses writes from now on.
    fn apply(&self, batch: Batch<'_>) -> Result<(), String> {
        if batch.is_empty() {
            return Ok(());
        }
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

/// Waits for requests and takes all of them; `false` when there will be none.
/// Returns with nothing now and then while the rows wait to be opened anew.
fn take_all(shared: &Shared, status: &Status, taken: &mut Vec<Request>) -> bool {
    let mut queue = shared.queue.lock();
    while queue.waiting.is_empty() {
        if queue.closing {
            return false;
        }
        queue.asleep = true;
        if !status.waits_for_space() {
            shared.wake.wait(&mut queue);
        } else if shared.wake.wait_for(&mut queue, REOPEN_INTERVAL).timed_out() {
            break;
        }
    }
    queue.asleep = false;
    std::mem::swap(&mut queue.waiting, taken);
    true
}

fn value_bytes(commit: &Commit) -> usize {
    let sizes = commit.writes.iter().map(|write| match write {
        Write::Put(_, value) => value.len(),
        Write::Delete(_) => 0,
    });
    sizes.sum()
}
