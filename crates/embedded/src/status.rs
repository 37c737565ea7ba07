//! Whether the engine still takes work, and what it has counted.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use costrel_core::engine::{EngineError, Health};
use parking_lot::Mutex;

/// Shared by all parts of one engine.
#[derive(Default)]
pub(crate) struct Status {
    closed: AtomicBool,
    poisoned: AtomicBool,
    poison: Mutex<Option<Poison>>,
    pub(crate) counters: Counters,
}

/// Why nothing is written.
struct Poison {
    reason: String,
    /// Only space was missing, and the rows can be opened anew when it is back.
    for_space: bool,
}

/// Counts since the engine was opened.
#[derive(Default)]
pub(crate) struct Counters {
    /// Commits that were written.
    pub(crate) commits: AtomicU64,
    /// Commits whose expectations did not hold.
    pub(crate) conflicts: AtomicU64,
    /// Groups of commits that shared a sync.
    pub(crate) groups: AtomicU64,
    /// Syncs of the journal, of blob files and of directories.
    pub(crate) syncs: AtomicU64,
    /// Stored data that did not match its checksum or its format.
    pub(crate) corrupt: AtomicU64,
    /// Reads that the disk failed.
    pub(crate) unreadable: AtomicU64,
    /// Blobs that were asked for and do not exist.
    pub(crate) missing_blobs: AtomicU64,
    /// Writes refused for want of space.
    pub(crate) refused_full: AtomicU64,
    pub(crate) blob_bytes_written: AtomicU64,
    pub(crate) blob_bytes_read: AtomicU64,
    pub(crate) log_bytes_written: AtomicU64,
    pub(crate) log_bytes_read: AtomicU64,
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

    /// Refuses all work once the engine is closing.
    pub(crate) fn check_open(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(EngineError::Unavailable("the engine is closed".into()));
        }
        Ok(())
    }

    /// Refuses writes once the engine is closing or a sync has failed.
    pub(crate) fn check_writable(&self) -> Result<(), EngineError> {
        self.check_open()?;
        self.check_not_poisoned()
    }

    pub(crate) fn check_not_poisoned(&self) -> Result<(), EngineError> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.poison.lock() {
            Some(Poison { reason, for_space: true }) => Err(EngineError::Full(reason.clone())),
            Some(Poison { reason, .. }) => Err(EngineError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    /// Refuses writes from now on: what is on stable storage is no longer known.
    /// The first reason stays.
    pub(crate) fn poison(&self, reason: String) -> EngineError {
        self.refuse(Poison { reason, for_space: false })
    }

    /// Refuses writes until the rows have been opened anew, for want of space.
    pub(crate) fn poison_for_space(&self, reason: String) -> EngineError {
        self.refuse(Poison { reason, for_space: true })
    }

    fn refuse(&self, new: Poison) -> EngineError {
        let mut poison = self.poison.lock();
        let replaces = match &*poison {
            None => true,
            Some(old) => old.for_space && !new.for_space,
        };
        if replaces {
            let until = if new.for_space { "space is back" } else { "reopened" };
            tracing::error!(
                reason = new.reason,
                "a write to stable storage failed; refusing writes until {until}"
            );
            *poison = Some(new);
        }
        self.poisoned.store(true, Ordering::Release);
        let reason = poison.as_ref().map(|poison| poison.reason.clone());
        EngineError::Poisoned(reason.unwrap_or_default())
    }

    /// Whether the rows wait to be opened anew.
    pub(crate) fn waits_for_space(&self) -> bool {
        self.poison.lock().as_ref().is_some_and(|poison| poison.for_space)
    }

    /// The rows have been opened anew.
    pub(crate) fn space_is_back(&self) {
        let mut poison = self.poison.lock();
        if poison.as_ref().is_some_and(|poison| poison.for_space) {
            *poison = None;
            self.poisoned.store(false, Ordering::Release);
            tracing::info!("space is back and the rows are open again");
        }
    }

    /// Counts and reports stored data that is not what was written.
    pub(crate) fn corrupt(&self, what: String) -> EngineError {
        count(&self.counters.corrupt);
        tracing::error!(what, "stored data is corrupt");
        EngineError::Corrupt(what)
    }

    /// Counts and reports a read that the disk failed.
    pub(crate) fn unreadable(&self, context: String, source: io::Error) -> EngineError {
        count(&self.counters.unreadable);
        tracing::error!(what = context, error = %source, "stored data cannot be read");
        EngineError::io(context, source)
    }

    /// Counts and reports what a failed read says of what is stored.
    pub(crate) fn note(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Corrupt(what) => self.corrupt(what),
            // Nothing was read by a request that makes no sense.
            EngineError::Io { context, source } if source.kind() != io::ErrorKind::InvalidInput => {
                self.unreadable(context, source)
            }
            other => other,
        }
    }

    pub(crate) fn health(&self) -> Health {
        if let Err(error) = self.check_open() {
            return Health::Down(error.to_string());
        }
        match &*self.poison.lock() {
            Some(poison) => Health::ReadOnly(poison.reason.clone()),
            None => Health::Ready,
        }
    }
}
