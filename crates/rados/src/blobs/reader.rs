//! Reading a blob. Every byte is compared with its checksum before it is
//! returned.
//!
//! Who reads on gets large pieces, and the next one is on its way while he has the
//! last, as far as a budget of memory goes. Who comes when it is used up gets small
//! ones, one after the other: a slow client that holds a piece must not stop others.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{BlobId, BlobReader, EngineError};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::format::{BLOCK_BYTES, FINISHED, PIECE_BYTES, SUMS, Sums, decode_finished, piece_name};
use crate::ffi::{Done, Errno};
use crate::remote::Remote;
use crate::status::add;

/// Read with the length, so that a small blob takes one operation.
const HEAD_BYTES: usize = 64 << 10;

/// A read within the budget ends at a multiple of this.
const LARGE_BYTES: u64 = 1 << 20;

/// The same when the budget is used up.
const SMALL_BYTES: u64 = 128 << 10;

/// A read never goes from one object to the next.
const _: () = assert!((PIECE_BYTES as u64).is_multiple_of(LARGE_BYTES));

/// What large reads of all blobs may hold.
const BUDGET_BYTES: usize = 64 << 20;

/// Memory for large reads, counted in blocks.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Budget(Arc::new(Semaphore::new(BUDGET_BYTES / BLOCK_BYTES)))
    }
}

impl Budget {
    /// Never waits.
    fn take(&self, range: &Range<u64>) -> Option<OwnedSemaphorePermit> {
        let blocks = (range.end - range.start).div_ceil(BLOCK_BYTES as u64);
        self.0.clone().try_acquire_many_owned(u32::try_from(blocks).ok()?).ok()
    }
}

/// Bytes that count until the last of them is let go.
struct Counted {
    data: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// A read that nobody has asked for yet.
struct Ahead {
    range: Range<u64>,
    bytes: JoinHandle<Result<Bytes, EngineError>>,
}

pub(super) struct Reader {
    blob: Arc<Blob>,
    budget: Budget,
    /// The first bytes, whole blocks or all there are.
    head: Bytes,
    ahead: Mutex<Option<Ahead>>,
}

impl Reader {
    pub(super) async fn open(
        data: Arc<Remote>,
        id: BlobId,
        budget: Budget,
    ) -> Result<Reader, EngineError> {
        let mut blob = Blob { data, id, len: 0 };
        let head = blob.open().await?;
        Ok(Reader { blob: Arc::new(blob), budget, head, ahead: Mutex::default() })
    }

    /// Begins to read what follows, if there is memory for it.
    fn read_ahead(&self, from: u64, end: u64) {
        let range = until_multiple(LARGE_BYTES, from, end);
        if range.is_empty() {
            return;
        }
        if let Some(permit) = self.budget.take(&range) {
            let bytes = tokio::spawn(self.blob.clone().fetch(range.clone(), Some(permit)));
            *self.ahead.lock() = Some(Ahead { range, bytes });
        }
    }
}

/// What one read takes of the bytes from `from` to `end`.
fn until_multiple(step: u64, from: u64, end: u64) -> Range<u64> {
    from..(from / step + 1).saturating_mul(step).min(end)
}

#[async_trait]
impl BlobReader for Reader {
    fn len(&self) -> u64 {
        self.blob.len
    }

    async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, EngineError> {
        self.blob.data.status().check_open()?;
        let end = offset.saturating_add(max as u64).min(self.blob.len);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let head_end = self.head.len() as u64;
        if offset < head_end {
            self.read_ahead(head_end, end);
            return Ok(self.head.slice(offset as usize..head_end.min(end) as usize));
        }
        let ahead = self.ahead.lock().take().filter(|ahead| ahead.range.start == offset);
        let mut bytes = match ahead {
            Some(Ahead { range, bytes }) => {
                self.read_ahead(range.end, end);
                let lost = |_| EngineError::Unavailable("a read was given up".into());
                bytes.await.map_err(lost)??
            }
            None => {
                let large = until_multiple(LARGE_BYTES, offset, end);
                let (range, permit) = match self.budget.take(&large) {
                    Some(permit) => (large, Some(permit)),
                    None => (until_multiple(SMALL_BYTES, offset, end), None),
                };
                if permit.is_some() {
                    self.read_ahead(range.end, end);
                }
                self.blob.clone().fetch(range, permit).await?
            }
        };
        bytes.truncate((end - offset) as usize);
        Ok(bytes)
    }
}

/// A finished blob.
struct Blob {
    data: Arc<Remote>,
    id: BlobId,
    len: u64,
}

impl Blob {
    /// Finds the length, and reads the first bytes.
    async fn open(&mut self) -> Result<Bytes, EngineError> {
        let mut done = self.read(0, 0, HEAD_BYTES).await?;
        let attributes = done.xattrs();
        let find = |name: &std::ffi::CStr| {
            attributes.iter().find(|(found, _)| found == name.to_bytes()).map(|(_, value)| value)
        };
        // A blob that was never finished is none.
        let finished = find(FINISHED).ok_or(EngineError::NotFound(self.id))?;
        self.len = decode_finished(finished).ok_or_else(|| self.damaged(0, "its length"))?;
        let len = self.len.min(HEAD_BYTES as u64) as usize;
        let sums = find(SUMS).map(|value| &value[..]);
        self.verified(0, 0, len, sums, &mut done)
    }

    /// Reads bytes of one object.
    async fn fetch(
        self: Arc<Self>,
        range: Range<u64>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Bytes, EngineError> {
        let piece = range.start / PIECE_BYTES as u64;
        let before = piece * PIECE_BYTES as u64;
        let piece_len = (self.len - before).min(PIECE_BYTES as u64) as usize;
        let (start, end) = ((range.start - before) as usize, (range.end - before) as usize);
        let first = start / BLOCK_BYTES * BLOCK_BYTES;
        let len = end.next_multiple_of(BLOCK_BYTES).min(piece_len) - first;
        let mut done = self.read(piece, first, len).await?;
        let attributes = done.xattrs();
        let sums = attributes.iter().find(|(name, _)| name == SUMS.to_bytes());
        let data = self.verified(piece, first, len, sums.map(|(_, v)| &v[..]), &mut done)?;
        let data = data.slice(start - first..end - first);
        Ok(match permit {
            Some(permit) => Bytes::from_owner(Counted { data, _permit: permit }),
            None => data,
        })
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
