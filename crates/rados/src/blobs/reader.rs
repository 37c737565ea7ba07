//! Reading a blob. Every byte is compared with its checksum before it is
//! returned.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{BlobId, BlobReader, EngineError};

use super::format::{BLOCK_BYTES, FINISHED, PIECE_BYTES, SUMS, Sums, decode_finished, piece_name};
use crate::ffi::{Done, Errno};
use crate::remote::Remote;
use crate::status::add;

/// Read with the length, so that a small blob takes one operation.
const HEAD_BYTES: usize = 64 << 10;

/// Most bytes of one read.
const READ_BYTES_MAX: usize = 1 << 20;

pub(super) struct Reader {
    data: Arc<Remote>,
    id: BlobId,
    len: u64,
    /// The first bytes, whole blocks or all there are.
    head: Bytes,
}

impl Reader {
    pub(super) async fn open(data: Arc<Remote>, id: BlobId) -> Result<Reader, EngineError> {
        let mut reader = Reader { data, id, len: 0, head: Bytes::new() };
        let mut done = reader.read(0, 0, HEAD_BYTES).await?;
        let attributes = done.xattrs();
        let find = |name: &std::ffi::CStr| {
            attributes.iter().find(|(found, _)| found == name.to_bytes()).map(|(_, value)| value)
        };
        // A blob that was never finished is none.
        let finished = find(FINISHED).ok_or(EngineError::NotFound(id))?;
        reader.len = decode_finished(finished).ok_or_else(|| reader.damaged(0, "its length"))?;
        let len = reader.len.min(HEAD_BYTES as u64) as usize;
        let sums = find(SUMS).map(|value| &value[..]);
        reader.head = reader.verified(0, 0, len, sums, &mut done)?;
        Ok(reader)
    }

    fn damaged(&self, piece: u64, what: &str) -> EngineError {
        self.data.status().corrupt(format!("blob {}, piece {piece}: {what}", self.id))
    }

    async fn read(&self, piece: u64, offset: usize, len: usize) -> Result<Done, EngineError> {
        let mut op = self.data.read_op();
        op.xattrs();
        op.data(offset as u64, len);
        match self.data.read(&piece_name(self.id, piece), op, len).await {
            Ok(done) => Ok(done),
            Err(Errno::NOENT) => Err(EngineError::NotFound(self.id)),
            Err(errno) => Err(self.data.error("reading a blob", errno)),
        }
    }

    /// What was read, if it is `len` bytes that match their checksums. `offset`
    /// is a block's.
    fn verified(
        &self,
        piece: u64,
        offset: usize,
        len: usize,
        sums: Option<&[u8]>,
        done: &mut Done,
    ) -> Result<Bytes, EngineError> {
        let sums =
            sums.and_then(Sums::decode).ok_or_else(|| self.damaged(piece, "its checksums"))?;
        let data = done.data();
        let before = piece * PIECE_BYTES as u64;
        let want = (self.len - before).min(PIECE_BYTES as u64) as usize;
        if sums.data_len() != want || data.len() < len {
            return Err(self.damaged(piece, "it has a wrong length"));
        }
        if !sums.verify(self.id, piece, offset / BLOCK_BYTES, &data[..len]) {
            return Err(self.damaged(piece, "its data do not match their checksums"));
        }
        add(&self.data.status().counters.blob_bytes_read, len as u64);
        Ok(data.slice(..len))
    }
}

#[async_trait]
impl BlobReader for Reader {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, EngineError> {
        self.data.status().check_open()?;
        if offset >= self.len || max == 0 {
            return Ok(Bytes::new());
        }
        if offset < self.head.len() as u64 {
            let start = offset as usize;
            return Ok(self.head.slice(start..self.head.len().min(start.saturating_add(max))));
        }
        let piece = offset / PIECE_BYTES as u64;
        let before = piece * PIECE_BYTES as u64;
        let piece_len = (self.len - before).min(PIECE_BYTES as u64) as usize;
        let start = (offset - before) as usize;
        let end = start.saturating_add(max.min(READ_BYTES_MAX)).min(piece_len);
        let first = start / BLOCK_BYTES * BLOCK_BYTES;
        let len = end.next_multiple_of(BLOCK_BYTES).min(piece_len) - first;
        let mut done = self.read(piece, first, len).await?;
        let attributes = done.xattrs();
        let sums = attributes.iter().find(|(name, _)| name == SUMS.to_bytes());
        let data = self.verified(piece, first, len, sums.map(|(_, v)| &v[..]), &mut done)?;
        Ok(data.slice(start - first..end - first))
    }
}
