//! Memory for bytes of blobs on their way in and out.
//!
//! Nobody ever waits for memory here: a slow client that holds a buffer must
//! not stop the others. Who finds the budget used up works in smaller pieces
//! instead, so the most that is held is the budget and one small piece per
//! request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::ALIGNMENT;

/// Length of the largest buffers, in bytes.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// Length of a buffer when the budget is used up, in bytes.
pub(crate) const PIECE_BYTES_SCARCE: usize = 32 * 1024;

/// Lengths of the buffers that are kept for the next user, in bytes. Fresh memory of
/// such sizes costs more to map and to zero than to fill. A buffer that is shorter than
/// half of one does not take it from those who need it.
const KEPT_BYTES: [usize; 2] = [96 * 1024, PIECE_BYTES];

/// How many unused buffers are kept of each length.
const KEPT_MAX: usize = 32;

/// Buffers of which no more are in use than a budget of bytes allows.
pub(crate) struct Buffers {
    budget: u64,
    used: AtomicU64,
    kept: [Mutex<Vec<Vec<u8>>>; KEPT_BYTES.len()],
}

impl Buffers {
    pub(crate) fn new(budget: u64) -> Arc<Self> {
        Arc::new(Buffers { budget, used: AtomicU64::new(0), kept: Default::default() })
    }

    /// A buffer of `len` bytes, or of [`PIECE_BYTES_SCARCE`] if that is less and
    /// so much is not left. Aligned, and filled with anything.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        if self.reserve(len) {
            self.buffer(len, len)
        } else {
            self.buffer(len.min(PIECE_BYTES_SCARCE), 0)
        }
    }

    /// A buffer of `len` bytes whatever the budget says: for the end of a blob,
    /// which cannot be cut into pieces. Aligned, and filled with anything.
    pub(crate) fn take_whole(self: &Arc<Self>, len: usize) -> Buffer {
        let reserved = if self.reserve(len) { len } else { 0 };
        self.buffer(len, reserved)
    }

    fn reserve(&self, bytes: usize) -> bool {
        let order = Ordering::Relaxed;
        let add = |used: u64| used.checked_add(bytes as u64).filter(|now| *now <= self.budget);
        self.used.fetch_update(order, order, add).is_ok()
    }

    fn buffer(self: &Arc<Self>, len: usize, reserved: usize) -> Buffer {
        let class = KEPT_BYTES.iter().position(|bytes| (bytes / 2..=*bytes).contains(&len));
        let kept = class.and_then(|class| self.kept[class].lock().pop());
        let bytes = class.map_or(len, |class| KEPT_BYTES[class]);
        let memory = kept.unwrap_or_else(|| vec![0; bytes + ALIGNMENT]);
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Buffer { memory, start, len, reserved: reserved as u64, buffers: self.clone() }
    }
}

/// Memory that returns to where it came from.
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
    reserved: u64,
    buffers: Arc<Buffers>,
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// The bytes for others to read; the memory returns when the last of them
    /// is done.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.buffers.used.fetch_sub(self.reserved, Ordering::Relaxed);
        let class = KEPT_BYTES.iter().position(|bytes| bytes + ALIGNMENT == self.memory.len());
        if let Some(class) = class {
            let mut kept = self.buffers.kept[class].lock();
            if kept.len() < KEPT_MAX {
                kept.push(std::mem::take(&mut self.memory));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let buffers = Buffers::new(100_000);
        let first = buffers.take(60_000);
        assert_eq!(first.len(), 60_000);
        let scarce = buffers.take(60_000);
        assert_eq!(scarce.len(), PIECE_BYTES_SCARCE);
        assert_eq!(buffers.take(50_000).len(), PIECE_BYTES_SCARCE);
        assert_eq!(buffers.take(40_000).len(), 40_000);
        assert_eq!(buffers.take_whole(60_000).len(), 60_000);
        let bytes = first.freeze();
        drop(bytes.slice(3..4));
        assert_eq!(buffers.take(60_000).len(), PIECE_BYTES_SCARCE, "still in use");
        drop(bytes);
        drop(scarce);
        assert_eq!(buffers.take(100_000).len(), 100_000);
        assert_eq!(buffers.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_buffers_are_used_again() {
        let buffers = Buffers::new(1 << 30);
        for (class, bytes) in KEPT_BYTES.into_iter().enumerate() {
            let mut buffer = buffers.take(bytes);
            buffer.as_mut()[0] = 42;
            drop(buffer);
            assert_eq!(buffers.kept[class].lock().len(), 1);
            assert_eq!(buffers.take(bytes - 1).as_ref()[0], 42);
        }
        drop(buffers.take(10));
        let kept = buffers.kept.each_ref().map(|kept| kept.lock().len());
        assert_eq!(kept, [1, 1], "small ones are not kept");
    }

    #[test]
    fn buffers_are_aligned() {
        let buffers = Buffers::new(1 << 30);
        for len in [1, 5000, PIECE_BYTES / 2, PIECE_BYTES, PIECE_BYTES + 1] {
            let buffer = buffers.take(len);
            assert_eq!(buffer.as_ref().as_ptr().align_offset(ALIGNMENT), 0);
            assert_eq!(buffer.as_ref().len(), len);
        }
    }
}
