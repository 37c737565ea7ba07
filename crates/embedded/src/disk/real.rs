//! The file layer on the operating system's files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags, ResolveFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::{DirEntry, Disk, DiskFile};

/// Files below one directory of the operating system.
pub struct RealDisk {
    root: PathBuf,
    root_fd: File,
}

impl RealDisk {
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let root_fd = File::open(&root)?;
        Ok(RealDisk { root, root_fd })
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.at(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_direct(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let flags = OFlags::DIRECT.bits() as i32;
        let direct =
            OpenOptions::new().write(true).create_new(true).custom_flags(flags).open(self.at(path));
        match direct {
            Ok(file) => Ok(Arc::new(RealFile(file))),
            // The file system has no direct writes. It may have made the file
            // before it found out.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => match self.remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => self.create(path),
            },
            Err(e) => Err(e),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(File::open(self.at(path))?)))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.at(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_cached(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::CACHED;
        match rustix::fs::openat2(&self.root_fd, path, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(Arc::new(RealFile(file.into())))),
            Err(Errno::NOENT) => Err(Errno::NOENT.into()),
            // Not in memory, or a system that cannot tell.
            Err(_) => Ok(None),
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // What is below belongs to everybody whose objects are stored, and so to
        // nobody else on the machine.
        std::fs::DirBuilder::new().mode(0o700).create(self.at(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(self.at(path))?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(self.at(from), self.at(to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(self.at(path))
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.at(path))? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir });
            }
        }
        Ok(entries)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let path = self.at(path);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let mut rest = [IoSliceMut::new(&mut buffer[filled..])];
            let at = offset + filled as u64;
            match rustix::io::preadv2(&self.0, &mut rest, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                // Not in memory, or a file system that cannot tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    fn expect_random_reads(&self) {
        // Advice: where it is not taken, reads cost more.
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::Random);
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let len = range.end - range.start;
        let flags = FallocateFlags::empty();
        match retry_on_intr(|| rustix::fs::fallocate(&self.0, flags, range.start, len)) {
            // The file system cannot promise room.
            Err(Errno::OPNOTSUPP) => self.0.set_len(range.end),
            other => Ok(other?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(retry_on_intr(|| rustix::fs::fallocate(&self.0, flags, offset, len))?)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let start = match rustix::fs::seek(&self.0, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(start..rustix::fs::seek(&self.0, SeekFrom::Hole(start))?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_read_brings_nothing_along() {
        const PAGE: usize = 4096;
        const PAGES: usize = 1024;
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let name = Path::new("file");
        let written = disk.create(name).unwrap();
        written.write_at(&vec![1; PAGES * PAGE], 0).unwrap();
        written.sync_data().unwrap();
        let all = File::open(dir.path().join(name)).unwrap();
        rustix::fs::fadvise(&all, 0, None, Advice::DontNeed).unwrap();

        let file = disk.open(name).unwrap();
        file.expect_random_reads();
        let read = |page: usize| file.read_at(&mut [0; PAGE], (page * PAGE) as u64).unwrap();
        let cached = |page: usize| file.read_cached(&mut [0; PAGE], (page * PAGE) as u64).unwrap();
        if cached(PAGES - 1) > 0 {
            return; // A file system in memory.
        }
        // As much as would be taken for a long read that goes on.
        (0..PAGES / 2).rev().for_each(read);
        read(PAGES / 2);
        assert_eq!(cached(PAGES / 2 + 1), 0, "more was read than was asked for");
    }
}
