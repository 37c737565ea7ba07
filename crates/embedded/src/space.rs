//! Refuses writes before the disk is full.
//!
//! The row store cannot go on after its journal met a full disk, so that must
//! not happen: what grows is refused while less than the reserve is free, and
//! what shrinks may use the reserve down to a quarter, since deleting is how
//! space comes back.

use std::sync::Arc;

use costrel_core::engine::EngineError;

use crate::disk::Disk;
use crate::status::{Status, count};

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
}

impl SpaceGuard {
    pub(crate) fn new(disk: Arc<dyn Disk>, status: Arc<Status>, reserve: u64) -> Self {
        SpaceGuard { disk, status, reserve }
    }

    /// Free bytes at this moment. Asking costs about a microsecond.
    pub(crate) fn free_bytes(&self) -> Result<u64, EngineError> {
        self.disk.free_bytes().map_err(|e| EngineError::io("reading the free space", e))
    }

    /// Whether a write may go on, given the free bytes.
    pub(crate) fn admit(&self, growth: Growth, free: u64) -> Result<(), EngineError> {
        let needed = match growth {
            Growth::Grows => self.reserve,
            Growth::Shrinks => self.reserve / 4,
        };
        if free < needed {
            count(&self.status.counters.refused_full);
            return Err(EngineError::Full(format!(
                "{free} bytes are free and {needed} are kept in reserve"
            )));
        }
        Ok(())
    }
}
