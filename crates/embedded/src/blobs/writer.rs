//! Writing a blob file.
//!
//! Pieces gather until there is enough for one write; then that is written on a
//! thread that may block while the next pieces gather, so the caller's hashing
//! and the writing overlap. Pieces are written from where they are; only very
//! small ones are copied together first.

use std::io::{self, IoSlice};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use costrel_core::engine::{BlobId, BlobWriter, EngineError};
use tokio::task::JoinHandle;

use super::Shared;
use super::buffers::Reservation;
use super::format::{self, BLOCK_BYTES, BlockChecksum};
use super::tree::BlobPath;
use crate::blocking::run_blocking;
use crate::disk::DiskFile;
use crate::options::Durability;
use crate::space::Growth;
use crate::status::{add, count};

/// Bytes that make one write.
const WRITE_BYTES: usize = 256 * 1024;

/// Pieces below this length are copied together: a slice costs more than that.
const SMALL_PIECE_BYTES: usize = 4096;

/// What one write carries: pieces in order, and their memory.
#[derive(Default)]
struct Gathered {
    pieces: Vec<Bytes>,
    /// Small pieces that follow `pieces`.
    tail: BytesMut,
    bytes: usize,
    reservation: Option<Reservation>,
}

impl Gathered {
    fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        if data.len() < SMALL_PIECE_BYTES {
            self.tail.extend_from_slice(&data);
        } else {
            self.seal_tail();
            self.pieces.push(data);
        }
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.split().freeze());
        }
    }
}

/// The file as far as it is written.
struct Written {
    id: BlobId,
    file: Arc<dyn DiskFile>,
    len: u64,
    /// Checksums of the full blocks.
    table: Vec<u8>,
    /// The block that is being filled, and how far.
    block: BlockChecksum,
    block_filled: usize,
}

impl Written {
    fn append(&mut self, mut gathered: Gathered) -> io::Result<()> {
        gathered.seal_tail();
        let slices: Vec<_> = gathered.pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.file.write_at(&slices, self.len)?;
        self.len += gathered.bytes as u64;
        for piece in &gathered.pieces {
            self.checksum(piece);
        }
        Ok(())
    }

    fn checksum(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, rest) = data.split_at(data.len().min(BLOCK_BYTES - self.block_filled));
            self.block.update(now);
            self.block_filled += now.len();
            data = rest;
            if self.block_filled == BLOCK_BYTES {
                self.seal_block();
            }
        }
    }

    fn seal_block(&mut self) {
        let next = self.table.len() / format::CHECKSUM_BYTES + 1;
        let block = BlockChecksum::new(self.id, next as u64);
        let sealed = std::mem::replace(&mut self.block, block);
        self.table.extend_from_slice(&sealed.finish().to_le_bytes());
        self.block_filled = 0;
    }

    /// Writes what tells that the blob is whole.
    fn close(&mut self) -> io::Result<()> {
        if self.block_filled > 0 {
            self.seal_block();
        }
        let footer = format::encode_footer(self.id, self.len);
        self.file.write_at(&[IoSlice::new(&self.table), IoSlice::new(&footer)], self.len)
    }
}

pub(super) struct FileWriter {
    shared: Arc<Shared>,
    path: BlobPath,
    gathered: Gathered,
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
    pub(super) fn new(shared: Arc<Shared>, path: BlobPath, file: Arc<dyn DiskFile>) -> Self {
        let id = path.0;
        let block = BlockChecksum::new(id, 0);
        let written = Written { id, file, len: 0, table: Vec::new(), block, block_filled: 0 };
        let state = State::Idle(Box::new(written));
        FileWriter { shared, path, gathered: Gathered::default(), state }
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
                let id = self.path.0;
                Err(EngineError::Unavailable(format!("writing blob {id} has failed before")))
            }
        }
    }

    /// Begins to write what has gathered.
    async fn flush(&mut self) -> Result<(), EngineError> {
        let mut written = self.idle().await?;
        let gathered = std::mem::take(&mut self.gathered);
        let shared = self.shared.clone();
        let id = self.path.0;
        self.state = State::Writing(tokio::task::spawn_blocking(move || {
            shared.admit(Growth::Grows)?;
            let bytes = gathered.bytes as u64;
            written.append(gathered).map_err(|e| shared.write_failed(id, e))?;
            add(&shared.status.counters.blob_bytes_written, bytes);
            Ok(written)
        }));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), EngineError> {
        self.shared.status.check_writable()?;
        if data.is_empty() {
            return Ok(());
        }
        self.gathered.push(data);
        if self.gathered.reservation.is_none() {
            self.gathered.reservation = self.shared.buffers.reserve(WRITE_BYTES);
        }
        let scarce = self.gathered.reservation.is_none();
        if scarce || self.gathered.bytes >= WRITE_BYTES {
            self.flush().await?;
        }
        if scarce {
            // Without a share of the memory there is no second buffer to fill.
            let written = self.idle().await?;
            self.state = State::Idle(written);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), EngineError> {
        self.shared.status.check_writable()?;
        let mut written = self.idle().await?;
        let gathered = std::mem::take(&mut self.gathered);
        let (shared, path) = (self.shared.clone(), self.path);
        run_blocking(move || {
            shared.admit(Growth::Grows)?;
            let bytes = gathered.bytes as u64;
            written
                .append(gathered)
                .and_then(|()| written.close())
                .map_err(|e| shared.write_failed(path.0, e))?;
            add(&shared.status.counters.blob_bytes_written, bytes);
            shared.status.check_not_poisoned()?;
            if shared.durability == Durability::Sync {
                count(&shared.status.counters.syncs);
                let synced = written.file.sync_data();
                synced
                    .map_err(|e| shared.status.poison(format!("syncing blob {}: {e}", path.0)))?;
                shared.tree.sync_leaf(path)?;
            }
            Ok(())
        })
        .await
    }
}
