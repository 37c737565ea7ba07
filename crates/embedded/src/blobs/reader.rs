//! Reading verified bytes out of a blob file.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{BlobId, BlobReader, EngineError};

use super::buffers::{Buffer, Buffers, PIECE_BYTES, PIECE_BYTES_SCARCE};
use super::format::{BLOCK_BYTES, BlockChecksum, CHECKSUM_BYTES, block_count};
use crate::blocking::run_blocking;
use crate::disk::DiskFile;
use crate::status::{Status, add};

/// Blocks that one call reads at most.
const BLOCKS_MAX: u64 = (PIECE_BYTES / BLOCK_BYTES) as u64;

/// A buffer holds whole blocks, also when memory is scarce.
const _: () = assert!(PIECE_BYTES_SCARCE.is_multiple_of(BLOCK_BYTES));

pub(super) struct FileReader {
    pub(super) id: BlobId,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) data_len: u64,
    pub(super) buffers: Arc<Buffers>,
    pub(super) status: Arc<Status>,
}

/// Some whole blocks of a file with their checksums.
struct Run {
    id: BlobId,
    file: Arc<dyn DiskFile>,
    data_len: u64,
    /// The blocks: `first` and those after it, without `end`.
    first: u64,
    end: u64,
    data: Buffer,
    /// Bytes of `data` that are read.
    filled: usize,
    checksums: [u8; BLOCKS_MAX as usize * CHECKSUM_BYTES],
    checksums_filled: bool,
}

impl Run {
    fn data_offset(&self) -> u64 {
        self.first * BLOCK_BYTES as u64
    }

    fn table_offset(&self) -> u64 {
        self.data_len + self.first * CHECKSUM_BYTES as u64
    }

    fn table_len(&self) -> usize {
        (self.end - self.first) as usize * CHECKSUM_BYTES
    }

    /// Reads what lies in memory; answers whether that was everything.
    fn read_cached(&mut self) -> std::io::Result<bool> {
        let (offset, len) = (self.table_offset(), self.table_len());
        self.checksums_filled = self.file.read_cached(&mut self.checksums[..len], offset)? == len;
        let offset = self.data_offset();
        self.filled = self.file.read_cached(self.data.as_mut(), offset)?;
        Ok(self.checksums_filled && self.filled == self.data.as_ref().len())
    }

    /// Reads the rest from the device.
    fn read_rest(&mut self) -> std::io::Result<()> {
        if !self.checksums_filled {
            let (offset, len) = (self.table_offset(), self.table_len());
            self.file.read_at(&mut self.checksums[..len], offset)?;
        }
        let offset = self.data_offset() + self.filled as u64;
        self.file.read_at(&mut self.data.as_mut()[self.filled..], offset)
    }

    /// Compares every block with its checksum: the first that does not match.
    fn verify(&self) -> Result<(), u64> {
        let blocks = self.data.as_ref().chunks(BLOCK_BYTES);
        let stored = self.checksums.chunks(CHECKSUM_BYTES);
        for ((block, data), stored) in (self.first..).zip(blocks).zip(stored) {
            let mut checksum = BlockChecksum::new(self.id, block);
            checksum.update(data);
            if checksum.finish().to_le_bytes() != stored {
                return Err(block);
            }
        }
        Ok(())
    }
}

impl FileReader {
    fn run(&self, offset: u64, max: usize) -> Run {
        let first = offset / BLOCK_BYTES as u64;
        let wanted_end = block_count(offset.saturating_add(max as u64).min(self.data_len));
        let end = wanted_end.min(first + BLOCKS_MAX);
        let bytes = (end * BLOCK_BYTES as u64).min(self.data_len) - first * BLOCK_BYTES as u64;
        let data = self.buffers.take(bytes as usize);
        let end = first + block_count(data.len() as u64);
        Run {
            id: self.id,
            file: self.file.clone(),
            data_len: self.data_len,
            first,
            end,
            data,
            filled: 0,
            checksums: [0; BLOCKS_MAX as usize * CHECKSUM_BYTES],
            checksums_filled: false,
        }
    }
}

#[async_trait]
impl BlobReader for FileReader {
    fn len(&self) -> u64 {
        self.data_len
    }

    async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, EngineError> {
        if offset >= self.data_len || max == 0 {
            return Ok(Bytes::new());
        }
        let mut run = self.run(offset, max);
        let failed = |e| self.status.unreadable(format!("reading blob {}", self.id), e);
        if !run.read_cached().map_err(failed)? {
            run = run_blocking(move || Ok(run.read_rest().map(|()| run))).await?.map_err(failed)?;
        }
        run.verify().map_err(|block| {
            let what = format!("block {block} of blob {} does not match its checksum", self.id);
            self.status.corrupt(what)
        })?;
        let skip = (offset - run.data_offset()) as usize;
        let data = run.data.freeze();
        let data = data.slice(skip..data.len().min(skip.saturating_add(max)));
        add(&self.status.counters.blob_bytes_read, data.len() as u64);
        Ok(data)
    }
}
