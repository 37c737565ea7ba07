//! The one thread that gives the pages of dead bodies back to the file system.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use costrel_core::engine::EngineError;

use super::place::PAGE_BYTES;
use super::{BodyLog, Extent};
use crate::options::Durability;
use crate::queue::Queue;
use crate::status::count;

/// How long dead bodies gather: neighbours make one hole, and a segment is synced
/// once for all of them.
const GATHER: Duration = Duration::from_millis(500);

/// Pages that are given back at once: what a file system does for them, other syncs
/// wait for.
const STEP_PAGES: u32 = 4 * 1024 * 1024 / PAGE_BYTES as u32;

/// How long others may sync between two steps.
const PAUSE: Duration = Duration::from_millis(10);

/// How long to wait before what could not be given back is tried again: a file
/// system that is full cannot always make holes.
const RETRY: Duration = Duration::from_secs(5);

/// The thread's other end. Dropping it ends the thread, which blocks.
pub(crate) struct Freer {
    queue: Arc<Queue<Extent>>,
    thread: Option<JoinHandle<()>>,
}

impl Freer {
    /// `done` is told of what has been given back for good.
    pub(crate) fn start(
        log: Arc<BodyLog>,
        done: impl Fn(Vec<Extent>) + Send + 'static,
    ) -> Result<Self, EngineError> {
        let queue = Arc::new(Queue::default());
        let work = queue.clone();
        let thread = std::thread::Builder::new()
            .name("freer".into())
            .spawn(move || {
                let mut taken = Vec::new();
                let mut waiting = BTreeSet::new();
                let mut left = Vec::new();
                while work.take_all(&mut taken, || retry_after(&left)) {
                    let mut dead = std::mem::take(&mut left);
                    dead.append(&mut taken);
                    // What is left when the engine closes has its rows, and is found at
                    // the next start.
                    if work.pause(GATHER) || !work.take_all(&mut taken, || Some(Duration::ZERO)) {
                        return;
                    }
                    dead.append(&mut taken);
                    dead.sort_unstable();
                    for step in steps(&dead) {
                        done(log.give_back(step, &mut waiting, &mut left));
                        if work.pause(PAUSE) {
                            return;
                        }
                    }
                    log.look_again(&mut waiting);
                }
            })
            .map_err(|e| EngineError::io("starting the freer", e))?;
        Ok(Freer { queue, thread: Some(thread) })
    }

    /// Hands over what no commit uses any more.
    pub(crate) fn free(&self, extents: impl IntoIterator<Item = Extent>) {
        extents.into_iter().for_each(|extent| self.queue.push(extent));
    }
}

impl Drop for Freer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the freer ended with a panic");
        }
    }
}

impl BodyLog {
    /// Makes holes of dead extents, which are sorted, and removes segments that have
    /// nothing left; answers which of them are holes for good. Segments that still
    /// took bodies are added to `waiting`, and what failed to `left`. Blocks.
    pub(super) fn give_back(
        &self,
        dead: &[Extent],
        waiting: &mut BTreeSet<u32>,
        left: &mut Vec<Extent>,
    ) -> Vec<Extent> {
        let mut done = Vec::new();
        for extents in dead.chunk_by(|a, b| a.segment == b.segment) {
            let segment = extents[0].segment;
            match self.give_back_in(segment, extents, waiting) {
                Ok(()) => done.extend(extents),
                Err(error) => {
                    tracing::warn!(segment, %error, "pages of dead bodies were not freed");
                    left.extend(extents);
                }
            }
        }
        done
    }

    fn give_back_in(
        &self,
        segment: u32,
        extents: &[Extent],
        waiting: &mut BTreeSet<u32>,
    ) -> io::Result<()> {
        let file = match self.file(segment) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.remove(segment),
            file => file?,
        };
        for run in runs(extents) {
            file.punch(run.offset(), run.len())?;
        }
        if segment >= self.sealed_below.load(Ordering::Acquire) {
            waiting.insert(segment);
        } else if self.remove_if_empty(segment)? {
            return Ok(());
        }
        if self.durability == Durability::Sync {
            count(&self.status.counters.syncs);
            // Nothing rests on it but space: a failure poisons nothing.
            file.sync_data()?;
        }
        Ok(())
    }

    /// Removes those of the segments that take no more bodies by now and have none:
    /// without dead bodies to come, nothing else leads to them. Blocks.
    fn look_again(&self, waiting: &mut BTreeSet<u32>) {
        let open = waiting.split_off(&self.sealed_below.load(Ordering::Acquire));
        for segment in std::mem::replace(waiting, open) {
            // Tried again at the next start.
            if let Err(error) = self.remove_if_empty(segment) {
                tracing::warn!(segment, %error, "an empty segment of bodies was not removed");
            }
        }
    }
}

fn retry_after(left: &[Extent]) -> Option<Duration> {
    (!left.is_empty()).then_some(RETRY)
}

/// Parts of a list of extents, each with some pages.
fn steps(mut extents: &[Extent]) -> impl Iterator<Item = &[Extent]> {
    std::iter::from_fn(move || {
        let mut pages = 0;
        let end = extents.iter().position(|extent| {
            let full = pages >= STEP_PAGES;
            pages += extent.pages;
            full
        });
        let (step, rest) = extents.split_at(end.unwrap_or(extents.len()));
        extents = rest;
        (!step.is_empty()).then_some(step)
    })
}

/// Joins neighbours.
fn runs(extents: &[Extent]) -> Vec<Extent> {
    let mut runs: Vec<Extent> = Vec::new();
    for extent in extents {
        match runs.last_mut() {
            Some(last) if last.end() >= extent.page => {
                last.pages = last.end().max(extent.end()) - last.page;
            }
            _ => runs.push(*extent),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{DIR, path};
    use super::*;
    use crate::disk::Disk;
    use crate::disk::sim::SimDisk;
    use crate::space::SpaceGuard;
    use crate::status::Status;

    /// Whenever a segment is emptied and sealed, it goes, and no power cut brings it
    /// back.
    #[test]
    fn empty_segments_are_removed_for_good() {
        let disk = SimDisk::new(1);
        let shared = Arc::new(disk.clone());
        let status = Arc::new(Status::default());
        let space = Arc::new(SpaceGuard::new(shared.clone(), status.clone(), 0));
        let log = BodyLog::open(shared, space, status, Durability::Sync).unwrap();
        let extent = |segment| Extent { segment, page: 0, pages: 1 };
        for segment in 0..4 {
            let file = disk.create(&path(segment)).unwrap();
            file.write_at(&[1; PAGE_BYTES], 0).unwrap();
            file.sync_data().unwrap();
        }
        disk.sync_dir(Path::new(DIR)).unwrap();
        let mut waiting = BTreeSet::new();
        let there = |segment| {
            let path = path(segment);
            (0..20).any(|seed| disk.crash(seed).open(&path).is_ok())
        };

        // Emptied while it takes bodies.
        let mut left = Vec::new();
        disk.fail_nth(1, io::ErrorKind::StorageFull);
        assert_eq!(log.give_back(&[extent(0)], &mut waiting, &mut left), []);
        assert_eq!(std::mem::take(&mut left), [extent(0)], "to be tried again");
        assert_eq!(log.give_back(&[extent(0)], &mut waiting, &mut left), [extent(0)]);
        log.look_again(&mut waiting);
        assert!(there(0));
        log.seal_below(2);
        log.look_again(&mut waiting);
        assert!(!there(0));
        // And afterwards.
        assert_eq!(log.give_back(&[extent(1)], &mut waiting, &mut left), [extent(1)]);
        assert!(!there(1));
        // Emptied before an end that nobody saw coming.
        assert_eq!(log.give_back(&[extent(2)], &mut waiting, &mut left), [extent(2)]);
        assert_eq!(log.settle(3, []).unwrap(), 4);
        assert!(!there(2) && !there(3));
    }

    #[test]
    fn steps_have_some_pages_each() {
        let extent = |page, pages| Extent { segment: 1, page, pages };
        assert_eq!(steps(&[]).count(), 0);
        let extents = [STEP_PAGES * 2, 1, STEP_PAGES, STEP_PAGES, 1].map(|pages| extent(0, pages));
        let lens: Vec<usize> = steps(&extents).map(<[Extent]>::len).collect();
        assert_eq!(lens, [1, 2, 1, 1]);
    }

    #[test]
    fn neighbours_are_joined() {
        let extent = |page, pages| Extent { segment: 1, page, pages };
        assert_eq!(runs(&[]), []);
        let extents = [extent(0, 2), extent(2, 1), extent(4, 4), extent(5, 1), extent(9, 1)];
        assert_eq!(runs(&extents), [extent(0, 3), extent(4, 4), extent(9, 1)]);
    }
}
