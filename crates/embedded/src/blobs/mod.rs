//! Bodies in files: one per blob, with a checksum for every block.

mod buffers;
#[cfg(test)]
mod crash_tests;
mod format;
mod freed;
mod opened;
mod reader;
mod tree;
mod under_way;
mod writer;

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use costrel_core::engine::{BlobId, BlobInfo, BlobReader, BlobWriter, Blobs, EngineError};

pub(crate) use buffers::Buffers;
use format::FOOTER_BYTES;
use freed::Freed;
use opened::Opened;
use reader::FileReader;
use tree::{BlobPath, Tree};
use under_way::UnderWay;
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
    under_way: UnderWay,
    opened: Opened,
    freed: Freed,
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

    fn open_failed(&self, id: BlobId, error: io::Error) -> EngineError {
        if error.kind() == io::ErrorKind::NotFound {
            if !self.freed.knows(id) {
                count(&self.status.counters.missing_blobs);
                tracing::error!(blob = %id, "a blob is missing");
            }
            return EngineError::NotFound(id);
        }
        self.status.unreadable(format!("opening blob {id}"), error)
    }

    /// A reader of an open file whose footer is right; `None` if the footer was
    /// not to be had without waiting.
    fn reader(
        &self,
        id: BlobId,
        file: Arc<dyn DiskFile>,
        wait: Wait,
    ) -> Result<Option<Arc<dyn BlobReader>>, EngineError> {
        let failed = |e| self.status.unreadable(format!("opening blob {id}"), e);
        let corrupt = |problem| self.status.corrupt(format!("blob {id}: {problem}"));
        let file_bytes = file.len().map_err(failed)?;
        let Some(offset) = file_bytes.checked_sub(FOOTER_BYTES as u64) else {
            return Err(corrupt("the file is too short to be whole"));
        };
        let mut footer = [0; FOOTER_BYTES];
        match wait {
            Wait::ForDevice => file.read_at(&mut footer, offset).map_err(failed)?,
            Wait::Never => {
                if file.read_cached(&mut footer, offset).map_err(failed)? < FOOTER_BYTES {
                    return Ok(None);
                }
            }
        }
        let data_len = format::decode_footer(&footer, id, file_bytes).map_err(corrupt)?;
        let (buffers, status) = (self.buffers.clone(), self.status.clone());
        Ok(Some(Arc::new(FileReader { id, file, data_len, buffers, status })))
    }
}

/// Whether reading may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Never,
    ForDevice,
}

/// The embedded engine's blobs in one place.
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
        buffers: Arc<Buffers>,
    ) -> Result<Self, EngineError> {
        let tree = Tree::open(disk.clone(), status.clone(), durability == Durability::Sync)?;
        let (under_way, opened) = (UnderWay::default(), Opened::default());
        let freed = Freed::default();
        let shared =
            Shared { disk, tree, under_way, opened, freed, buffers, space, status, durability };
        let shared = Arc::new(shared);
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
        if !self.shared.under_way.begin(id) {
            return Err(self.shared.write_failed(id, io::ErrorKind::AlreadyExists.into()));
        }
        Ok(Box::new(FileWriter::new(self.shared.clone(), BlobPath(id))))
    }

    async fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, EngineError> {
        self.shared.status.check_open()?;
        let vacancy = match self.shared.opened.find(id) {
            Ok(reader) => return Ok(reader),
            Err(vacancy) => vacancy,
        };
        let path = BlobPath(id).file();
        let cached = match self.shared.disk.open_cached(&path) {
            Ok(Some(file)) => self.shared.reader(id, file, Wait::Never)?,
            Ok(None) => None,
            Err(e) => return Err(self.shared.open_failed(id, e)),
        };
        let reader = match cached {
            Some(reader) => reader,
            None => {
                let shared = self.shared.clone();
                run_blocking(move || {
                    let file = shared.disk.open(&path).map_err(|e| shared.open_failed(id, e))?;
                    let reader = shared.reader(id, file, Wait::ForDevice)?;
                    Ok(reader.expect("the footer was waited for"))
                })
                .await?
            }
        };
        self.shared.opened.keep(id, vacancy, &reader);
        Ok(reader)
    }

    async fn delete(&self, id: BlobId) -> Result<(), EngineError> {
        self.shared.status.check_writable()?;
        let shared = self.shared.clone();
        run_blocking(move || {
            shared.under_way.delete(id);
            shared.opened.forget(id);
            shared.freed.note(id);
            let path = BlobPath(id);
            match shared.disk.remove_file(&path.file()) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(EngineError::io(format!("deleting blob {id}"), e))
                }
                // The name must not come back once the caller has forgotten it; also
                // not one that was removed before by a process that was killed then.
                _ => shared.tree.sync_removal(path),
            }
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
