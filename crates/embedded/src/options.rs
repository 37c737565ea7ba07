//! Settings of the engine and how they divide its memory.

use std::path::PathBuf;

const MIB: u64 = 1024 * 1024;

/// Whether acknowledged writes are on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Data, rows and directory entries are synced before a write is
    /// acknowledged.
    Sync,
    /// Nothing is synced: a crash of the machine loses acknowledged writes. For
    /// throw-away test servers.
    None,
}

/// How to open an [`EmbeddedEngine`](crate::EmbeddedEngine).
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory that holds everything; made if it does not exist.
    pub data_dir: PathBuf,
    /// Other places for blobs, each a name and a directory, made if it does not exist.
    /// A place that was ever used has to be named for ever after. Default none.
    pub places: Vec<(String, PathBuf)>,
    /// Bytes of memory for caches and buffers. Nothing is taken before it is
    /// used. Default 192 MiB, at least 32 MiB.
    pub memory_bytes: u64,
    /// Default [`Durability::Sync`].
    pub durability: Durability,
    /// Writes that make the store grow are refused while the file system has
    /// fewer free bytes than this; deletions still work down to a quarter of it.
    /// Default 256 MiB.
    pub reserve_bytes: u64,
    /// Largest body kept beside its row, in bytes. Default 64 KiB.
    pub inline_max: usize,
}

impl Options {
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Options {
            data_dir: data_dir.into(),
            places: Vec::new(),
            memory_bytes: 192 * MIB,
            durability: Durability::Sync,
            reserve_bytes: 256 * MIB,
            inline_max: 64 * 1024,
        }
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory::split(self.memory_bytes)
    }
}

/// Shares of the memory budget, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Blocks of the row store.
    pub(crate) block_cache: u64,
    /// Pieces of blobs on their way in and out.
    pub(crate) blob_buffers: u64,
}

impl Memory {
    /// The rest, three tenths, is left to rows that are not yet in tables; what
    /// they take is fixed when the row store is made.
    fn split(total: u64) -> Self {
        let total = total.max(32 * MIB);
        Memory { block_cache: total / 10 * 4, blob_buffers: total / 10 * 3 }
    }
}
