//! Writing a blob file.
//!
//! Bytes gather in a buffer; a full buffer is written on a thread that may block
//! while the next one fills, so the caller's hashing and the writing overlap.
//! The file is made with the first write: a blob that fits one buffer goes to
//! disk in a single piece of blocking work.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use costrel_core::engine::{BlobId, BlobWriter, EngineError};
use tokio::task::JoinHandle;

use super::Shared;
use super::buffers::{Buffer, PIECE_BYTES};
use super::format::{self, BLOCK_BYTES, BlockChecksum, CHECKSUM_BYTES, FOOTER_BYTES};
use super::tree::BlobPath;
use crate::blocking::run_blocking;
use crate::disk::{ALIGNMENT, DiskFile};
use crate::options::Durability;
use crate::space::Growth;
use crate::status::{add, count};

/// Buffers are whole blocks, so that a block is never in two of them, and
/// aligned.
const _: () =
    assert!(PIECE_BYTES.is_multiple_of(BLOCK_BYTES) && BLOCK_BYTES.is_multiple_of(ALIGNMENT));

/// The file as far as it is written.
struct Written {
    shared: Arc<Shared>,
    path: BlobPath,
    file: Option<Arc<dyn DiskFile>>,
    len: u64,
    /// Checksums of the blocks so far.
    table: Vec<u8>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.shared.under_way.end(self.path.0);
    }
}

impl Written {
    fn id(&self) -> BlobId {
        self.path.0
    }

    /// Adds the checksums of data that begins at a block.
    fn checksum(&mut self, data: &[u8]) {
        for data in data.chunks(BLOCK_BYTES) {
            let block = (self.table.len() / CHECKSUM_BYTES) as u64;
            let mut checksum = BlockChecksum::new(self.id(), block);
            checksum.update(data);
            self.table.extend_from_slice(&checksum.finish().to_le_bytes());
        }
    }

    /// Writes an aligned piece of the file, making the file first if need be.
    fn append(&mut self, piece: &[u8], offset: u64) -> Result<(), EngineError> {
        let (shared, id) = (self.shared.clone(), self.id());
        shared.status.check_not_poisoned()?;
        shared.admit(Growth::Grows)?;
        let written = shared.under_way.write(id, || {
            let failed = |e| shared.write_failed(id, e);
            let file = match &self.file {
                Some(file) => file,
                None => {
                    shared.tree.ensure_leaf(self.path)?;
                    let file = shared.disk.create_direct(&self.path.file()).map_err(failed)?;
                    self.file.insert(file)
                }
            };
            file.write_at(piece, offset).map_err(failed)
        });
        written.unwrap_or(Err(EngineError::NotFound(id)))?;
        add(&shared.status.counters.blob_bytes_written, piece.len() as u64);
        Ok(())
    }

    /// Writes a full buffer of data.
    fn write(&mut self, buffer: Buffer) -> Result<(), EngineError> {
        self.checksum(buffer.as_ref());
        self.append(buffer.as_ref(), self.len)?;
        self.len += buffer.len() as u64;
        Ok(())
    }

    /// Writes the last data and what tells that the blob is whole, and makes it
    /// last.
    fn finish(&mut self, mut buffer: Buffer, filled: usize) -> Result<(), EngineError> {
        self.checksum(&buffer.as_ref()[..filled]);
        let data_len = self.len + filled as u64;
        let end_len = (format::file_len(data_len) - self.len) as usize;
        if end_len > buffer.len() {
            let mut larger = self.shared.buffers.take_whole(end_len);
            larger.as_mut()[..filled].copy_from_slice(&buffer.as_ref()[..filled]);
            buffer = larger;
        }
        let end = &mut buffer.as_mut()[..end_len];
        let table_end = filled + self.table.len();
        let footer_start = end_len - FOOTER_BYTES;
        end[filled..table_end].copy_from_slice(&self.table);
        end[table_end..footer_start].fill(0);
        end[footer_start..].copy_from_slice(&format::encode_footer(self.id(), data_len));
        self.append(&buffer.as_ref()[..end_len], self.len)?;
        drop(buffer);
        let (shared, path) = (&self.shared, self.path);
        if shared.durability == Durability::Sync {
            count(&shared.status.counters.syncs);
            let file = self.file.as_ref().expect("the end was written to it");
            file.sync_data()
                .map_err(|e| shared.status.poison(format!("syncing blob {}: {e}", path.0)))?;
            shared.tree.sync_leaf(path)?;
        }
        // Another writer's sync may have failed meanwhile.
        shared.status.check_not_poisoned()
    }
}

pub(super) struct FileWriter {
    shared: Arc<Shared>,
    id: BlobId,
    buffer: Option<Buffer>,
    /// Bytes in the buffer.
    filled: usize,
    state: State,
}

/// Who has the file at the moment.
enum State {
    Idle(Box<Written>),
    Writing(JoinHandle<Result<Box<Written>, EngineError>>),
    /// A write failed; the blob cannot be finished.
    Failed,
}

impl FileWriter {
    /// The blob must have been noted as under way.
    pub(super) fn new(shared: Arc<Shared>, path: BlobPath) -> Self {
        let written = Written { shared, path, file: None, len: 0, table: Vec::new() };
        let (shared, id) = (written.shared.clone(), written.id());
        let state = State::Idle(Box::new(written));
        FileWriter { shared, id, buffer: None, filled: 0, state }
    }

    /// Waits for the write that is under way.
    async fn idle(&mut self) -> Result<Box<Written>, EngineError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(written) => Ok(written),
            State::Writing(task) => match task.await {
                Ok(result) => result,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Err(EngineError::Unavailable("the process is shutting down".into())),
            },
            State::Failed => {
                let what = format!("writing blob {} has failed before", self.id);
                Err(EngineError::Unavailable(what))
            }
        }
    }

    /// Begins to write a full buffer.
    async fn flush(&mut self, buffer: Buffer) -> Result<(), EngineError> {
        let mut written = self.idle().await?;
        // Without a share of the memory there is no second buffer to fill.
        let scarce = buffer.len() < PIECE_BYTES;
        self.state = State::Writing(tokio::task::spawn_blocking(move || {
            written.write(buffer)?;
            Ok(written)
        }));
        if scarce {
            self.state = State::Idle(self.idle().await?);
        }
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, mut data: Bytes) -> Result<(), EngineError> {
        self.shared.status.check_writable()?;
        while !data.is_empty() {
            let mut buffer = match self.buffer.take() {
                Some(buffer) => buffer,
                None => self.shared.buffers.take(PIECE_BYTES),
            };
            let room = &mut buffer.as_mut()[self.filled..];
            let now = room.len().min(data.len());
            data.copy_to_slice(&mut room[..now]);
            self.filled += now;
            if self.filled < buffer.len() {
                self.buffer = Some(buffer);
            } else {
                self.filled = 0;
                self.flush(buffer).await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), EngineError> {
        self.shared.status.check_writable()?;
        let mut written = self.idle().await?;
        let filled = self.filled;
        let buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => self.shared.buffers.take_whole(ALIGNMENT),
        };
        run_blocking(move || written.finish(buffer, filled)).await
    }
}
