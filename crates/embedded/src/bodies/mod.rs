//! The log of bodies: those too large to travel through the row store and too
//! small for files of their own.
//!
//! The row store writes what it is given three times: to its journal, to a table,
//! and again when tables are merged. For bodies of tens of kilobytes that is most
//! of what a write costs, and its bursts are what writes wait for. So they are
//! appended to a log of segments, synced there, and the commit takes along only
//! their places.
//!
//! * A body's pages are written once, before its commit, and never again; a
//!   segment that was begun before the last start takes nothing more.
//! * What a commit leaves behind (a body that was replaced or removed) is named as
//!   dead by that same commit, then its pages are given back to the file system as
//!   a hole, then the name goes. Nothing is ever moved.
//! * While a segment is open, the commits into it also name what they use in it,
//!   so that after a crash everything else in it can be given back.
//! * A reader may come too late to a place and find a hole or no file. It then
//!   looks at the row again.

mod appender;
mod audit;
#[cfg(test)]
mod crash_tests;
mod freer;
mod place;
mod recovery;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use costrel_core::engine::EngineError;
use parking_lot::RwLock;

use crate::disk::{Disk, DiskFile};
use crate::open_files;
use crate::options::Durability;
use crate::space::SpaceGuard;
use crate::status::{Status, add, count};

pub(crate) use appender::{Append, Appender, Next, has_bodies};
pub(crate) use freer::Freer;
pub(crate) use place::{Extent, Place, Stored};
pub(crate) use recovery::Named;

const DIR: &str = "bodies";
const PROBE: &str = "bodies/probe";

/// Why a place could not be read.
#[derive(Debug)]
pub(crate) enum Misread {
    Io(io::Error),
    /// Other bytes lie there, or none.
    Changed,
}

impl From<io::Error> for Misread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Misread::Changed,
            _ => Misread::Io(error),
        }
    }
}

/// The segments, for everybody who reads or writes them.
pub(crate) struct BodyLog {
    disk: Arc<dyn Disk>,
    status: Arc<Status>,
    space: Arc<SpaceGuard>,
    durability: Durability,
    /// Whether the file system gives back single pages. Without that the log is read
    /// but not written.
    gives_back: bool,
    /// Segments that are kept open for reading, so many at most.
    open: RwLock<HashMap<u32, Arc<dyn DiskFile>>>,
    open_max: usize,
    /// Segments below take no more bodies, and what is used in them is not named.
    sealed_below: AtomicU32,
}

fn path(segment: u32) -> PathBuf {
    Path::new(DIR).join(format!("{segment:08x}"))
}

impl BodyLog {
    /// Opens the log, making its directory if need be. Blocks.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        space: Arc<SpaceGuard>,
        status: Arc<Status>,
        durability: Durability,
    ) -> Result<Arc<Self>, EngineError> {
        let failed = |e| EngineError::io("making the directory of bodies", e);
        match disk.create_dir(Path::new(DIR)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
            _ => {}
        }
        // Also when it existed: the run that made it may have ended before this.
        disk.sync_dir(Path::new("")).map_err(failed)?;
        let gives_back = gives_back(&*disk).map_err(|e| EngineError::io("trying the log", e))?;
        if !gives_back {
            tracing::warn!("the file system does not free single pages; small bodies go with rows");
        }
        Ok(Arc::new(BodyLog {
            disk,
            status,
            space,
            durability,
            gives_back,
            open: RwLock::default(),
            open_max: open_files::segments_max(),
            sealed_below: AtomicU32::new(0),
        }))
    }

    /// Whether bodies should be appended at all.
    pub(crate) fn takes_bodies(&self) -> bool {
        self.gives_back
    }

    /// Notes that segments below `segment` take no more bodies.
    pub(crate) fn seal_below(&self, segment: u32) {
        self.sealed_below.store(segment, Ordering::Release);
    }

    /// Reads a place if it lies in memory; `None` if that would have to wait.
    pub(crate) fn read_cached(&self, place: &Place) -> Option<Result<Bytes, Misread>> {
        let file = self.open.read().get(&place.segment).cloned()?;
        let (mut body, len) = room_for(place);
        match file.read_cached(&mut body[..len], place.offset()) {
            Ok(read) if read == len => Some(self.verified(place, body)),
            // At the file's end as well: a read that may wait tells the two apart.
            Ok(_) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Reads a place. Blocks.
    pub(crate) fn read(&self, place: &Place) -> Result<Bytes, Misread> {
        let file = self.file(place.segment)?;
        let (mut body, len) = room_for(place);
        file.read_at(&mut body[..len], place.offset())?;
        self.verified(place, body)
    }

    /// `body` is what was read, with room for the tail.
    fn verified(&self, place: &Place, mut body: BytesMut) -> Result<Bytes, Misread> {
        let (logged, tail) = body.split_at_mut(place.len as usize);
        if place::checksum(place.segment, place.page, logged) != place.checksum {
            return Err(Misread::Changed);
        }
        tail.copy_from_slice(&place.tail);
        add(&self.status.counters.log_bytes_read, body.len() as u64);
        Ok(body.freeze())
    }

    fn file(&self, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.open.read().get(&segment) {
            return Ok(file.clone());
        }
        let file = self.disk.open_writable(&path(segment))?;
        // A read of what is not in memory, behind much that is, would be taken for part
        // of a long one, and the system would read on far behind the body.
        file.expect_random_reads();
        self.keep_open(segment, file.clone());
        Ok(file)
    }

    fn keep_open(&self, segment: u32, file: Arc<dyn DiskFile>) {
        let mut open = self.open.write();
        if open.len() >= self.open_max
            && let Some(other) = open.keys().next().copied()
        {
            open.remove(&other);
        }
        open.insert(segment, file);
    }

    /// Whether there is any segment. Blocks.
    pub(crate) fn has_segments(&self) -> Result<bool, EngineError> {
        let segments = self.segments().map_err(|e| EngineError::io("listing bodies", e))?;
        Ok(!segments.is_empty())
    }

    /// The numbers of all segments, in no order. Blocks.
    fn segments(&self) -> io::Result<Vec<u32>> {
        let entries = self.disk.list_dir(Path::new(DIR))?;
        let number = |name: &str| u32::from_str_radix(name, 16).ok().filter(|_| name.len() == 8);
        Ok(entries.iter().filter_map(|entry| number(&entry.name)).collect())
    }

    /// Removes a segment in which nothing is left, for good: once the rows know
    /// nothing of it, nobody would find it if it came back. Blocks.
    fn remove(&self, segment: u32) -> io::Result<()> {
        self.open.write().remove(&segment);
        match self.disk.remove_file(&path(segment)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if self.durability == Durability::Sync {
            count(&self.status.counters.syncs);
            self.disk.sync_dir(Path::new(DIR))?;
        }
        Ok(())
    }

    /// Removes a segment that takes no more bodies if it has none; whether it is
    /// gone. Blocks.
    fn remove_if_empty(&self, segment: u32) -> io::Result<bool> {
        let empty = match self.disk.open(&path(segment)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            file => file?.next_data(0)?.is_none(),
        };
        if empty {
            self.remove(segment)?;
        }
        Ok(empty)
    }
}

/// Room for a body, and how much of it is read from the log. All of it is taken at
/// once: growing by the tail would move the body.
fn room_for(place: &Place) -> (BytesMut, usize) {
    let len = place.len as usize;
    (BytesMut::zeroed(len + place.tail.len()), len)
}

/// Whether the file system frees single pages of a file, tried out. One that frees
/// only more at once would never free those of bodies that die one by one.
fn gives_back(disk: &dyn Disk) -> io::Result<bool> {
    let probe = Path::new(PROBE);
    match disk.remove_file(probe) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let tried = disk.create(probe).and_then(|file| {
        file.write_at(&[1; 2 * place::PAGE_BYTES], 0)?;
        file.punch(0, place::PAGE_BYTES as u64)?;
        // Some file systems do not know before.
        file.sync_data()?;
        file.next_data(0)
    });
    match disk.remove_file(probe) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    match tried {
        Ok(data) => Ok(data.is_some_and(|data| data.start == place::PAGE_BYTES as u64)),
        // A full disk says nothing about holes, and they are the rule.
        Err(e) if e.kind() == io::ErrorKind::StorageFull => Ok(true),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn open(disk: &SimDisk) -> Arc<BodyLog> {
        let disk = Arc::new(disk.clone());
        let status = Arc::new(Status::default());
        let space = Arc::new(SpaceGuard::new(disk.clone(), status.clone(), 0));
        BodyLog::open(disk, space, status, Durability::Sync).unwrap()
    }

    fn takes_bodies(disk: &SimDisk) -> bool {
        open(disk).takes_bodies()
    }

    #[test]
    fn no_more_segments_stay_open_than_may() {
        const MAX: usize = 4;
        let disk = SimDisk::new(1);
        let mut log = open(&disk);
        Arc::get_mut(&mut log).unwrap().open_max = MAX;
        for segment in 0..2 * MAX as u32 {
            disk.create(&path(segment)).unwrap();
            log.file(segment).unwrap();
        }
        assert_eq!(log.open.read().len(), MAX);
    }

    #[test]
    fn the_log_is_used_where_single_pages_are_freed() {
        let disk = SimDisk::new(1);
        assert!(takes_bodies(&disk));
        disk.set_hole_bytes(2 * place::PAGE_BYTES);
        assert!(!takes_bodies(&disk), "the pages of a body beside another would not be freed");
    }

    #[test]
    fn a_full_disk_does_not_keep_the_log_from_opening() {
        let disk = SimDisk::new(1);
        assert!(takes_bodies(&disk));
        for change in 3..7 {
            disk.fail_nth(change, io::ErrorKind::StorageFull);
            assert!(takes_bodies(&disk), "change {change}");
        }
    }
}
