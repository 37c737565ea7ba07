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

/// Length of the buffers that are kept for the next reader, in bytes. Fresh
/// memory of this size costs more to map than to fill.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// How many unused buffers are kept.
const KEPT_MAX: usize = 16;

/// Bytes in use, of a fixed number.
pub(crate) struct Buffers {
    budget: u64,
    used: AtomicU64,
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    pub(crate) fn new(budget: u64) -> Arc<Self> {
        Arc::new(Buffers { budget, used: AtomicU64::new(0), kept: Mutex::new(Vec::new()) })
    }

    /// A share of the budget, or `None` when so much is not left.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let bytes = bytes as u64;
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let now = used.checked_add(bytes).filter(|now| *now <= self.budget)?;
            let order = Ordering::Relaxed;
            match self.used.compare_exchange_weak(used, now, order, order) {
                Ok(_) => return Some(Reservation { buffers: self.clone(), bytes }),
                Err(actual) => used = actual,
            }
        }
    }

    /// A buffer of `len` bytes at most [`PIECE_BYTES`], filled with anything.
    pub(crate) fn take(self: &Arc<Self>, len: usize, reservation: Option<Reservation>) -> Buffer {
        let large = len > PIECE_BYTES / 2;
        let kept = if large { self.kept.lock().pop() } else { None };
        let bytes = kept.unwrap_or_else(|| vec![0; if large { PIECE_BYTES } else { len }]);
        Buffer { bytes, len, buffers: self.clone(), _reservation: reservation }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        if bytes.len() == PIECE_BYTES {
            let mut kept = self.kept.lock();
            if kept.len() < KEPT_MAX {
                kept.push(bytes);
            }
        }
    }
}

/// Bytes of the budget, given back when dropped.
pub(crate) struct Reservation {
    buffers: Arc<Buffers>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.buffers.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Memory that returns to where it came from.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    buffers: Arc<Buffers>,
    _reservation: Option<Reservation>,
}

impl Buffer {
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The bytes for others to read; the memory returns when the last of them
    /// is done.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let buffers = Buffers::new(100);
        let first = buffers.reserve(60).unwrap();
        assert!(buffers.reserve(41).is_none());
        let second = buffers.reserve(40).unwrap();
        assert!(buffers.reserve(1).is_none());
        drop(first);
        let bytes = buffers.take(60, buffers.reserve(60)).freeze();
        assert!(buffers.reserve(1).is_none());
        drop(bytes.slice(3..4));
        assert!(buffers.reserve(1).is_none(), "the buffer is still in use");
        drop(bytes);
        drop(second);
        assert!(buffers.reserve(100).is_some());
    }

    #[test]
    fn large_buffers_are_used_again() {
        let buffers = Buffers::new(1 << 30);
        let mut buffer = buffers.take(PIECE_BYTES, None);
        buffer.as_mut()[0] = 42;
        drop(buffer);
        assert_eq!(buffers.kept.lock().len(), 1);
        assert_eq!(buffers.take(PIECE_BYTES - 1, None).as_ref()[0], 42);
        drop(buffers.take(10, None));
        assert_eq!(buffers.kept.lock().len(), 1, "small ones are not kept");
    }
}
