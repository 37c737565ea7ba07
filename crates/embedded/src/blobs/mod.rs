//! Bodies in files: one per blob, with a checksum for every block.

mod buffers;
mod format;
mod reader;
mod tree;
mod writer;

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use costrel_core::engine::{BlobId, BlobInfo, BlobReader, BlobWriter, Blobs, EngineError};

use buffers::Buffers;
use format::FOOTER_BYTES;
use reader::FileReader;
use tree::{BlobPath, Tree};
use writer::FileWriter;

use crate::blocking::run_blocking;
use crate::disk::{Disk, DiskFile};
use crate::options::Durability;
use crate::space::{Growth, SpaceGuard};
use crate::status::{Status, count};

/// What all writers and readers of blobs share.
struct Shared {
    disk: Arc<dyn Disk>,
    tree: Tree,
    buffers: Arc<Buffers>,
    space: Arc<SpaceGuard>,
    status: Arc<Status>,
    durability: Durability,
}

impl Shared {
    fn admit(&self, growth: Growth) -> Result<(), EngineError> {
        self.space.admit(growth, self.space.free_bytes()?)
    }

    /// What a failed write of a blob means. The blob is lost but nothing else
    /// is: only a failed sync leaves the rest in doubt.
    fn write_failed(&self, id: BlobId, error: io::Error) -> EngineError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                count(&self.status.counters.refused_full);
                EngineError::Full(format!("writing blob {id}: {error}"))
            }
            _ => EngineError::io(format!("writing blob {id}"), error),
        }
    }
}

/// The embedded engine's blobs.
pub(crate) struct EmbeddedBlobs {
    shared: Arc<Shared>,
}

impl EmbeddedBlobs {
    /// Opens the blobs, making their directories if need be. Blocks.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        space: Arc<SpaceGuard>,
        status: Arc<Status>,
        durability: Durability,
        buffer_bytes: u64,
    ) -> Result<Self, EngineError> {
        let tree = Tree::open(disk.clone(), status.clone(), durability == Durability::Sync)?;
        let buffers = Buffers::new(buffer_bytes);
        let shared = Arc::new(Shared { disk, tree, buffers, space, status, durability });
        Ok(EmbeddedBlobs { shared })
    }
}

#[async_trait]
impl Blobs for EmbeddedBlobs {
    async fn create(
        &self,
        id: BlobId,
        _expected_len: Option<u64>,
    ) -> Result<Box<dyn BlobWriter>, EngineError> {
        self.shared.status.check_writable()?;
        let shared = self.shared.clone();
        run_blocking(move || {
            shared.admit(Growth::Grows)?;
            let path = BlobPath(id);
            shared.tree.ensure_leaf(path)?;
            let file = shared.disk.create(&path.file()).map_err(|e| shared.write_failed(id, e))?;
            Ok(Box::new(FileWriter::new(shared, path, file)) as Box<dyn BlobWriter>)
        })
        .await
    }

    async fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, EngineError> {
        self.shared.status.check_open()?;
        let shared = self.shared.clone();
        run_blocking(move || open_blocking(&shared, id)).await
    }

    async fn delete(&self, id: BlobId) -> Result<(), EngineError> {
        self.shared.status.check_writable()?;
        let shared = self.shared.clone();
        run_blocking(move || match shared.disk.remove_file(&BlobPath(id).file()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(EngineError::io(format!("deleting blob {id}"), e))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, EngineError> {
        self.shared.status.check_open()?;
        let shared = self.shared.clone();
        run_blocking(move || {
            let failed = |e| EngineError::io("listing blobs", e);
            let mut infos = Vec::new();
            for id in shared.tree.list(after, limit).map_err(failed)? {
                match shared.disk.open(&BlobPath(id).file()).and_then(|file| file.len()) {
                    Ok(stored_bytes) => infos.push(BlobInfo { id, stored_bytes }),
                    // Deleted since the directory was read.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(failed(e)),
                }
            }
            Ok(infos)
        })
        .await
    }
}

fn open_blocking(shared: &Shared, id: BlobId) -> Result<Arc<dyn BlobReader>, EngineError> {
    let failed = |e: io::Error| EngineError::io(format!("opening blob {id}"), e);
    let file = match shared.disk.open(&BlobPath(id).file()) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            count(&shared.status.counters.missing_blobs);
            tracing::error!(blob = %id, "a blob is missing");
            return Err(EngineError::NotFound(id));
        }
        Err(e) => return Err(failed(e)),
    };
    let data_len = read_footer(&*file, id)
        .map_err(failed)?
        .map_err(|problem| shared.status.corrupt(format!("blob {id}: {problem}")))?;
    Ok(Arc::new(FileReader {
        id,
        file,
        data_len,
        buffers: shared.buffers.clone(),
        status: shared.status.clone(),
    }))
}

/// The length of a blob's data, or what is wrong with its file.
fn read_footer(file: &dyn DiskFile, id: BlobId) -> io::Result<Result<u64, &'static str>> {
    let file_bytes = file.len()?;
    let Some(offset) = file_bytes.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(Err("the file is too short to be whole"));
    };
    let mut footer = [0; FOOTER_BYTES];
    file.read_at(&mut footer, offset)?;
    Ok(format::decode_footer(&footer, id, file_bytes))
}
