//! Whether the engine takes work, what the cluster answers, and what was
//! counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use costrel_core::engine::{EngineError, Health};
use parking_lot::Mutex;

use crate::ffi::Errno;

/// Shared by all parts of one engine.
#[derive(Default)]
pub(crate) struct Status {
    closed: AtomicBool,
    /// The cluster has taken this client for dead and does not take it back.
    shut_out: AtomicBool,
    /// The last operation came back with a timeout.
    silent: AtomicBool,
    full: Mutex<Option<String>>,
    is_full: AtomicBool,
    pub(crate) counters: Counters,
}

/// Counts since the engine was opened.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    /// Write operations that carried commits.
    pub(crate) groups: AtomicU64,
    /// Commits whose outcome a timeout left open, and that was found out.
    pub(crate) resolved: AtomicU64,
    pub(crate) layouts: AtomicU64,
    pub(crate) recovered: AtomicU64,
    pub(crate) splits: AtomicU64,
    pub(crate) merges: AtomicU64,
    /// Changes of shape that were ended before they took effect.
    pub(crate) abandoned: AtomicU64,
    pub(crate) corrupt: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) blob_bytes_written: AtomicU64,
    pub(crate) blob_bytes_read: AtomicU64,
}

/// Adds one. Counters order nothing.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Status {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn check_open(&self) -> Result<(), EngineError> {
        if self.is_closed() {
            return Err(EngineError::Unavailable("the engine is closed".into()));
        }
        if self.shut_out.load(Ordering::Relaxed) {
            return Err(EngineError::Unavailable(SHUT_OUT.into()));
        }
        Ok(())
    }

    /// Learns from how an operation ended.
    pub(crate) fn heard(&self, outcome: Result<(), Errno>) {
        match outcome {
            Err(Errno::TIMEDOUT) => {
                count(&self.counters.timeouts);
                if !self.silent.swap(true, Ordering::Relaxed) {
                    tracing::warn!("the cluster does not answer in time");
                }
            }
            Err(Errno::SHUTDOWN) => {
                if !self.shut_out.swap(true, Ordering::Relaxed) {
                    tracing::error!("{SHUT_OUT}");
                }
            }
            _ => {
                if self.silent.load(Ordering::Relaxed) && self.silent.swap(false, Ordering::Relaxed)
                {
                    tracing::info!("the cluster answers again");
                }
            }
        }
    }

    /// A write was refused for want of space.
    pub(crate) fn note_full(&self, errno: Errno, what: &str) -> EngineError {
        count(&self.counters.refused_full);
        let reason = match errno {
            Errno::DQUOT => format!("{what} has reached its quota"),
            _ => format!("{what} is full"),
        };
        *self.full.lock() = Some(reason.clone());
        if !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!(reason, "the cluster takes no more data");
        }
        EngineError::Full(reason)
    }

    /// A write that needed space has found it.
    pub(crate) fn note_space(&self) {
        if self.is_full.load(Ordering::Relaxed) {
            *self.full.lock() = None;
            if self.is_full.swap(false, Ordering::Relaxed) {
                tracing::info!("the cluster takes data again");
            }
        }
    }

    /// Counts and reports stored data that is not what was written.
    pub(crate) fn corrupt(&self, what: String) -> EngineError {
        count(&self.counters.corrupt);
        tracing::error!(what, "stored data is corrupt");
        EngineError::Corrupt(what)
    }

    pub(crate) fn health(&self) -> Health {
        if let Err(error) = self.check_open() {
            return Health::Down(error.to_string());
        }
        if self.silent.load(Ordering::Relaxed) {
            return Health::Down("the cluster does not answer in time".into());
        }
        match &*self.full.lock() {
            Some(reason) => Health::ReadOnly(reason.clone()),
            None => Health::Ready,
        }
    }
}

const SHUT_OUT: &str =
    "the cluster has blocklisted this client; restart the gateway when it is wanted back";
