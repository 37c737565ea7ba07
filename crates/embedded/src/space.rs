//! Refuses writes before the disk is full.
//!
//! The row store cannot go on after its journal met a full disk and has to be
//! opened anew, which other processes can bring about and this one should not: what
//! grows is refused while less than the reserve is free, and
//! what shrinks may use the reserve down to a quarter, since deleting is how
//! space comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use costrel_core::engine::EngineError;

use crate::disk::Disk;
use crate::status::{Status, count};

/// Free bytes that the row store may need at once for its work in the background.
const SHORT_BYTES: u64 = 64 * 1024 * 1024;

/// What a write does to the space in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    Grows,
    Shrinks,
}

pub(crate) struct SpaceGuard {
    disk: Arc<dyn Disk>,
    status: Arc<Status>,
    reserve: u64,
    /// Whether the log has been told last that writes are refused.
    told_full: AtomicBool,
}

impl SpaceGuard {
    pub(crate) fn new(disk: Arc<dyn Disk>, status: Arc<Status>, reserve: u64) -> Self {
        SpaceGuard { disk, status, reserve, told_full: AtomicBool::new(false) }
    }

    /// Free bytes at this moment. Asking costs about a microsecond.
    pub(crate) fn free_bytes(&self) -> Result<u64, EngineError> {
        self.disk.free_bytes().map_err(|e| EngineError::io("reading the free space", e))
    }

    /// Whether so little is free that a failure of unknown cause in the row store
    /// is taken for want of space.
    pub(crate) fn is_short(&self) -> bool {
        self.free_bytes().is_ok_and(|free| free < self.reserve.max(SHORT_BYTES))
    }

    /// Whether a write may go on, given the free bytes.
    pub(crate) fn admit(&self, growth: Growth, free: u64) -> Result<(), EngineError> {
        let needed = match growth {
            Growth::Grows => self.reserve,
            Growth::Shrinks => self.reserve / 4,
        };
        if free < needed {
            count(&self.status.counters.refused_full);
            if !self.told_full.swap(true, Ordering::Relaxed) {
                let reserve_bytes = self.reserve;
                tracing::warn!(
                    free_bytes = free,
                    reserve_bytes,
                    "storage is full; refusing writes until more than the reserve is free"
                );
            }
            return Err(EngineError::Full(format!(
                "{free} bytes are free and {needed} are kept in reserve"
            )));
        }
        if growth == Growth::Grows
            && self.told_full.load(Ordering::Relaxed)
            && self.told_full.swap(false, Ordering::Relaxed)
        {
            tracing::info!(free_bytes = free, "there is space again; taking writes");
        }
        Ok(())
    }
}
