//! Opening the row store: at the start, and anew after it has missed space.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use costrel_core::engine::EngineError;
use parking_lot::RwLock;

use super::journal::{self, JournalError};
use super::store::{Store, engine_error, sync_manifests};
use crate::options::{Durability, Memory};
use crate::space::SpaceGuard;
use crate::status::Status;

/// The open row store: taken away while it is opened anew, and when the engine
/// closes.
pub(super) type Slot = Arc<RwLock<Option<Arc<Store>>>>;

/// Where the row store lies and how it is opened.
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) memory: Memory,
    pub(super) durability: Durability,
}

impl Place {
    /// Opens the rows, making them if there are none. Blocks.
    pub(super) fn open(&self, status: &Status) -> Result<Arc<Store>, EngineError> {
        journal::check(&self.path).map_err(|error| journal_error(error, status))?;
        let store = Store::open(&self.path, self.memory, self.durability);
        Ok(Arc::new(store.map_err(|error| match engine_error(error) {
            EngineError::Io { source, .. } => EngineError::io("opening the row store", source),
            other => other,
        })?))
    }

    /// Opens the rows again in the process that has closed them after a write
    /// failed for want of space. Blocks.
    ///
    /// A sync may have failed too, after which the system shows as written what the
    /// device does not have. So batches from the sequence number `failed` on, which
    /// nobody was told of, are cut off the journal, and what else is built on is
    /// synced before.
    pub(super) fn open_again(
        &self,
        failed: u64,
        status: &Status,
    ) -> Result<Arc<Store>, EngineError> {
        journal::cut(&self.path, failed).map_err(|error| journal_error(error, status))?;
        sync_manifests(&self.path).map_err(|e| EngineError::io("syncing the row store", e))?;
        self.open(status)
    }
}

fn journal_error(error: JournalError, status: &Status) -> EngineError {
    match error {
        JournalError::Io(source) => EngineError::io("reading the journal of rows", source),
        damaged => status.corrupt(damaged.to_string()),
    }
}

/// Waits until nobody else holds the store. New readers must not find it any more.
pub(super) fn unshared(mut store: Arc<Store>) -> Store {
    loop {
        match Arc::try_unwrap(store) {
            Ok(store) => return store,
            Err(shared) => store = shared,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The row store has stopped because its work in the background failed, and does
/// not say why.
pub(super) fn stopped(status: &Status, space: &SpaceGuard) -> EngineError {
    let reason = "the row store failed in the background".to_owned();
    match space.is_short() {
        true => status.poison_for_space(format!("{reason} while space was short")),
        false => status.poison(reason),
    }
}
