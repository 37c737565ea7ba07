//! The one thread that appends bodies.
//!
//! It takes all commits with bodies that wait, writes their bodies behind one
//! another with one sync, and passes them on to the committer with the places.
//! While the committer syncs their rows, the next round is written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use costrel_core::engine::{Commit, EngineError, Table, Write};
use parking_lot::Mutex;

use super::place::{PAGE_BYTES, checksum, logged_len, pages};
use super::{BodyLog, DIR, Extent, Place, path};
use crate::disk::DiskFile;
use crate::options::Durability;
use crate::queue::Queue;
use crate::space::Growth;
use crate::status::{add, count};

/// Bytes of a segment at most.
const SEGMENT_PAGES: u32 = 64 * 1024 * 1024 / PAGE_BYTES as u32;

/// A segment is made longer by so much at once, so that a sync of what is written
/// into it need not make the file system note a new length or new blocks.
const STEP_PAGES: u32 = 8 * 1024 * 1024 / PAGE_BYTES as u32;

/// Bytes that are written with one call.
const WRITE_BYTES: usize = 1024 * 1024;

/// Bytes of bodies under one sync, unless a single commit has more: bounds how
/// long the first waits for the last.
const ROUND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A commit with bodies, and what the committer answers it by.
pub(crate) struct Append<R> {
    pub(crate) commit: Commit,
    pub(crate) reply: R,
}

/// Where the appender passes on what it has done.
pub(crate) trait Next<R>: Send + 'static {
    /// The bodies of a commit are stable. Each place is that of the write with the
    /// number beside it.
    fn commit(&self, commit: Commit, placed: Vec<(usize, Place)>, reply: R);

    /// The bodies of a commit could not be written.
    fn failed(&self, error: EngineError, reply: R);

    /// Pages that were taken and that no commit will use.
    fn unused(&self, extents: Vec<Extent>);

    /// A segment takes no more bodies; all commits into it were passed on before.
    fn sealed(&self, segment: u32);
}

/// The thread's other end.
pub(crate) struct Appender<R> {
    queue: Arc<Queue<Append<R>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<R: Send + 'static> Appender<R> {
    /// `first` is the number of the first segment that does not exist.
    pub(crate) fn start(
        log: Arc<BodyLog>,
        first: u32,
        next: impl Next<R>,
    ) -> Result<Self, EngineError> {
        let queue = Arc::new(Queue::default());
        let work = queue.clone();
        let thread = std::thread::Builder::new()
            .name("appender".into())
            .spawn(move || {
                let _end = End { queue: &work, log: &log };
                let mut worker = Worker::new(log.clone(), first);
                let mut taken = Vec::new();
                while work.take_all(&mut taken, || None) {
                    worker.append(std::mem::take(&mut taken), &next);
                }
                // Only gives back its unused end: everything in it is stable.
                let _ = worker.leave_segment();
            })
            .map_err(|e| EngineError::io("starting the appender", e))?;
        Ok(Appender { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Hands over a commit. Its reply is dropped unanswered if the log is closing.
    pub(crate) fn submit(&self, append: Append<R>) {
        self.queue.push(append);
    }
}

impl<R> Appender<R> {
    /// Lets the thread finish what waits, then ends it. Blocks.
    pub(crate) fn close(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the appender ended with a panic");
        }
    }
}

impl<R> Drop for Appender<R> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Leaves nobody waiting when the appender ends, however it ends.
struct End<'a, R> {
    queue: &'a Queue<Append<R>>,
    log: &'a BodyLog,
}

impl<R> Drop for End<'_, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.log.status.poison("the appender has failed".into());
        }
        self.queue.abandon();
    }
}

/// The segment that is being filled.
struct Current {
    segment: u32,
    file: Arc<dyn DiskFile>,
    /// Pages that are taken.
    taken: u32,
    /// Pages that the file has.
    allocated: u32,
    /// Something was written since the last sync.
    unsynced: bool,
}

struct Worker {
    log: Arc<BodyLog>,
    /// The number of the next segment.
    next_segment: u32,
    current: Option<Current>,
    /// What is to be written next, from the page `buffered_at` of the current
    /// segment on.
    buffer: Vec<u8>,
    buffered_at: u32,
    /// Segments that were filled since their commits were last passed on.
    filled: Vec<u32>,
}

impl Worker {
    fn new(log: Arc<BodyLog>, first: u32) -> Self {
        let (buffer, filled) = (Vec::new(), Vec::new());
        Worker { log, next_segment: first, current: None, buffer, buffered_at: 0, filled }
    }

    fn append<R>(&mut self, taken: Vec<Append<R>>, next: &impl Next<R>) {
        let mut round = Vec::new();
        let mut bytes = 0;
        for append in taken {
            bytes += bodies(&append.commit).map(|(_, body, _)| body.len()).sum::<usize>();
            round.push(append);
            if bytes >= ROUND_BYTES_MAX {
                self.append_round(std::mem::take(&mut round), next);
                bytes = 0;
            }
        }
        self.append_round(round, next);
    }

    fn append_round<R>(&mut self, round: Vec<Append<R>>, next: &impl Next<R>) {
        if round.is_empty() {
            return;
        }
        let mut placed = Vec::with_capacity(round.len());
        let written = self.write_round(&round, &mut placed);
        match written {
            Ok(()) => {
                for (append, placed) in round.into_iter().zip(placed) {
                    next.commit(append.commit, placed, append.reply);
                }
            }
            Err(error) => {
                self.buffer.clear();
                let unused = placed.into_iter().flatten().map(|(_, place)| place.extent());
                next.unused(unused.collect());
                let again = || match &error {
                    EngineError::Full(what) => EngineError::Full(what.clone()),
                    EngineError::Poisoned(what) => EngineError::Poisoned(what.clone()),
                    other => EngineError::Unavailable(other.to_string()),
                };
                for append in round {
                    next.failed(again(), append.reply);
                }
            }
        }
        for segment in self.filled.drain(..) {
            next.sealed(segment);
        }
    }

    /// Writes and syncs the bodies of a round. `placed` has all places that were
    /// taken, also after a failure.
    fn write_round<R>(
        &mut self,
        round: &[Append<R>],
        placed: &mut Vec<Vec<(usize, Place)>>,
    ) -> Result<(), EngineError> {
        self.log.status.check_not_poisoned()?;
        self.log.space.admit(Growth::Grows, self.log.space.free_bytes()?)?;
        for append in round {
            placed.push(Vec::new());
            for (number, body, logged) in bodies(&append.commit) {
                let place = self.place(body, logged)?;
                placed.last_mut().expect("just pushed").push((number, place));
            }
        }
        self.write_buffer()?;
        self.sync()
    }

    /// Takes pages for a body and puts it into the buffer.
    fn place(&mut self, body: &Bytes, logged: usize) -> Result<Place, EngineError> {
        let pages = pages(logged);
        let fits = |current: &Current| current.taken + pages <= SEGMENT_PAGES.max(pages);
        if !self.current.as_ref().is_some_and(fits) {
            self.leave_segment()?;
        }
        if self.buffer.len() + logged > WRITE_BYTES {
            self.write_buffer()?;
        }
        let current = match &mut self.current {
            Some(current) => current,
            None => self.current.insert(self.log.begin(self.next_segment)?),
        };
        self.next_segment = current.segment + 1;
        let (segment, page) = (current.segment, current.taken);
        if page + pages > current.allocated {
            let allocated = (page + pages).next_multiple_of(STEP_PAGES);
            let [start, end] =
                [current.allocated, allocated].map(|p| u64::from(p) * PAGE_BYTES as u64);
            // What lies before may have holes by now, which are to stay.
            current.file.allocate(start..end).map_err(|e| self.log.failed(segment, e))?;
            current.allocated = allocated;
        }
        if self.buffer.is_empty() {
            self.buffered_at = page;
        }
        current.taken += pages;
        let data = &body[..logged];
        self.buffer.extend_from_slice(data);
        self.buffer.resize(self.buffer.len().next_multiple_of(PAGE_BYTES), 0);
        Ok(Place {
            segment,
            page,
            len: logged as u32,
            checksum: checksum(segment, page, data),
            // A copy: the body must not live on with its row.
            tail: Bytes::copy_from_slice(&body[logged..]),
        })
    }

    fn write_buffer(&mut self) -> Result<(), EngineError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let current = self.current.as_mut().expect("what is buffered has a segment");
        let offset = u64::from(self.buffered_at) * PAGE_BYTES as u64;
        current.unsynced = true;
        let written = current.file.write_at(&self.buffer, offset);
        written.map_err(|e| self.log.failed(current.segment, e))?;
        add(&self.log.status.counters.log_bytes_written, self.buffer.len() as u64);
        self.buffer.clear();
        // One large body does not leave its length behind for ever.
        self.buffer.shrink_to(WRITE_BYTES);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        let Some(current) = self.current.as_mut().filter(|current| current.unsynced) else {
            return Ok(());
        };
        if self.log.durability == Durability::Sync {
            count(&self.log.status.counters.syncs);
            let what = |e| format!("syncing bodies {:08x}: {e}", current.segment);
            current.file.sync_data().map_err(|e| self.log.status.poison(what(e)))?;
        }
        current.unsynced = false;
        // Another's sync may have failed meanwhile.
        self.log.status.check_not_poisoned()
    }

    /// Makes what is in the current segment stable and gives back its unused end.
    fn leave_segment(&mut self) -> Result<(), EngineError> {
        self.write_buffer()?;
        if let Some(current) = &mut self.current {
            let end = u64::from(current.taken) * PAGE_BYTES as u64;
            if let Err(error) = current.file.set_len(end) {
                tracing::warn!(%error, segment = current.segment, "cutting a segment's unused end");
            }
            current.allocated = current.taken;
            // The cut is to last as well: nobody looks at a sealed segment's end.
            current.unsynced = true;
        }
        self.sync()?;
        self.filled.extend(self.current.take().map(|current| current.segment));
        Ok(())
    }
}

/// The bodies of a commit that go to the log: the number of the write, the body,
/// and how much of it goes.
fn bodies(commit: &Commit) -> impl Iterator<Item = (usize, &Bytes, usize)> {
    commit.writes.iter().enumerate().filter_map(|(number, write)| match write {
        Write::Put(row, body) if row.table == Table::Body => {
            Some((number, body, logged_len(body.len())?))
        }
        _ => None,
    })
}

/// Whether the log should have the bodies of a commit.
pub(crate) fn has_bodies(commit: &Commit) -> bool {
    bodies(commit).next().is_some()
}

impl BodyLog {
    /// Makes a segment whose name lasts.
    fn begin(&self, segment: u32) -> Result<Current, EngineError> {
        let failed = |e| self.failed(segment, e);
        let file = match self.disk.create(&path(segment)) {
            // An attempt that failed has left it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.open_writable(&path(segment))
            }
            other => other,
        };
        let file = file.map_err(failed)?;
        if self.durability == Durability::Sync {
            count(&self.status.counters.syncs);
            let synced = self.disk.sync_dir(Path::new(DIR));
            synced.map_err(|e| self.status.poison(format!("syncing the names of bodies: {e}")))?;
        }
        // Not for others to use: the system tells of a failed write once to each file
        // that is open, and a sync of the freer must not be the one that is told.
        Ok(Current { segment, file, taken: 0, allocated: 0, unsynced: false })
    }

    /// What a failed write means: only a failed sync leaves the rest in doubt.
    fn failed(&self, segment: u32, error: io::Error) -> EngineError {
        let what = format!("writing bodies {segment:08x}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                count(&self.status.counters.refused_full);
                EngineError::Full(format!("{what}: {error}"))
            }
            _ => EngineError::io(what, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::space::SpaceGuard;
    use crate::status::Status;

    /// The freer syncs the same segment and takes its failure lightly.
    #[test]
    fn a_sync_of_the_freer_does_not_hide_a_failed_write() {
        let disk = SimDisk::new(1);
        let shared = Arc::new(disk.clone());
        let status = Arc::new(Status::default());
        let space = Arc::new(SpaceGuard::new(shared.clone(), status.clone(), 0));
        let log = BodyLog::open(shared, space, status.clone(), Durability::Sync).unwrap();
        let mut worker = Worker::new(log.clone(), 0);
        let body = Bytes::from(vec![7; PAGE_BYTES]);
        let dead = worker.place(&body, body.len()).unwrap();
        worker.write_buffer().unwrap();
        worker.sync().unwrap();

        worker.place(&body, body.len()).unwrap();
        worker.write_buffer().unwrap();
        // It makes a hole and syncs what has been written by then.
        disk.fail_nth(2, io::ErrorKind::Other);
        let mut left = Vec::new();
        assert_eq!(log.give_back(&[dead.extent()], &mut BTreeSet::new(), &mut left), []);
        assert_eq!(left, [dead.extent()]);
        assert!(matches!(worker.sync(), Err(EngineError::Poisoned(_))));
    }
}
