//! The file layer: all that the engine asks of a file system for its blobs,
//! its log of bodies, its lock and its format file.
//!
//! It is this small so that a simulated disk can stand in for the real one and
//! lose, tear or refuse what a real one may (the row store does its own file
//! work and is not behind it). Paths are relative to the data directory.
//!
//! What callers may rely on after a crash:
//!
//! * bytes written to a file last once [`DiskFile::sync_data`] has returned;
//! * a created, renamed or removed name lasts once [`Disk::sync_dir`] of its
//!   directory has returned; a file whose name is lost is lost;
//! * nothing else, in no order.

mod real;
#[cfg(test)]
pub(crate) mod sim;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;

/// Writes to a file from [`Disk::create_direct`] have a place, a length and an
/// address in memory that are multiples of this.
pub(crate) const ALIGNMENT: usize = 4096;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

/// A directory tree. All calls but [`Disk::open_cached`] may block.
pub trait Disk: Send + Sync {
    /// Creates a file for writing and reading; fails if the name exists.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates a file whose writes go past the system's page cache where the file
    /// system can do that. All of them must be aligned to [`ALIGNMENT`]. Filling
    /// fresh cache pages costs several times what a direct write does.
    fn create_direct(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for writing and reading.
    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading if that needs no device; `None` if it might.
    /// Never blocks.
    fn open_cached(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>>;

    /// Makes one directory; fails if the name exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory last.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Names in a directory, in no order. Names that are not UTF-8 are left out:
    /// the engine makes none.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Bytes that this process may still write.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Takes the lock file, making it if need be; `None` when another process
    /// or another engine of this process holds it. Held until dropped.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;
}

/// An open file. All calls but [`DiskFile::read_cached`] and the length of a file
/// from [`Disk::open_cached`] may block.
pub trait DiskFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;

    /// Writes all bytes.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Fills the buffer; [`io::ErrorKind::UnexpectedEof`] when the file ends
    /// before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Fills as much of the buffer as lies in memory, without waiting for a
    /// device: the number of bytes, from the front.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Tells the system that reads come in no order: what a read asks for is brought into
    /// memory then, and nothing that lies behind it.
    fn expect_random_reads(&self);

    /// Makes the file longer by the bytes of `range`, and has room for them from then
    /// on where the file system can promise that. They read as zero.
    fn allocate(&self, range: Range<u64>) -> io::Result<()>;

    /// Cuts off or fills up the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Gives bytes back to the file system; they read as zero.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

    /// The next bytes at or behind `offset` that take space; a file system that
    /// cannot tell says that all do.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>>;

    /// Makes the bytes last.
    fn sync_data(&self) -> io::Result<()>;
}
