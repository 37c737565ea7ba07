//! Opening the row store: at the start, and anew after it has missed space.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use costrel_core::engine::EngineError;
use parking_lot::RwLock;

use super::journal::{self, JournalError};
use super::keyspaces::sync_manifests;
use super::store::{Store, engine_error};
use crate::options::{Durability, Memory};
use crate::space::SpaceGuard;
use crate::status::Status;

/// The file by which fjall knows that it has made a row store.
const MARKER: &str = "version";

/// The file of a keyspace that names its manifest.
const CURRENT: &str = "current";

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

/// Refuses a row store that was once opened whole and has lost a file without which fjall
/// begins anew: it takes a keyspace without its `current` for one whose creation was cut
/// short and removes all of it, and a database without a journal for one that has been
/// written to tables.
pub(crate) fn check_whole(path: &Path, status: &Status) -> Result<(), EngineError> {
    match lost_file(path) {
        Ok(None) => Ok(()),
        Ok(Some(lost)) => Err(status.corrupt(format!("{} is missing", lost.display()))),
        Err(error) => Err(EngineError::io("looking at the row store", error)),
    }
}

/// Removes what is left of a row store whose making was cut short at the very first start,
/// before there could be a row in it. fjall would not make it again beside that.
pub(crate) fn remove_unmade(path: &Path) -> Result<(), EngineError> {
    let remove = || {
        let is_made = path.join(MARKER).try_exists()? && names(path).join(CURRENT).try_exists()?;
        match is_made || !path.try_exists()? {
            true => Ok(()),
            false => std::fs::remove_dir_all(path),
        }
    };
    remove().map_err(|error| EngineError::io("removing an unfinished row store", error))
}

/// The keyspace of the keyspaces' names.
fn names(path: &Path) -> PathBuf {
    path.join("keyspaces/0")
}

fn lost_file(path: &Path) -> io::Result<Option<PathBuf>> {
    if !path.try_exists()? {
        return Ok(Some(path.to_owned()));
    }
    if !path.join(MARKER).try_exists()? {
        return Ok(Some(path.join(MARKER)));
    }
    if journal::is_missing(path)? {
        return Ok(Some(path.join("*.jnl")));
    }
    let keyspaces = path.join("keyspaces");
    let mut newest = None;
    let mut without = Vec::new();
    for entry in std::fs::read_dir(&keyspaces)? {
        let dir = entry?.path();
        let number = dir.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
        newest = newest.max(number);
        if !dir.join(CURRENT).try_exists()? {
            without.push((number, dir));
        }
    }
    if !names(path).join(CURRENT).try_exists()? {
        return Ok(Some(names(path).join(CURRENT)));
    }
    for (number, dir) in without {
        // A program that knew more tables than the one before may have been killed while
        // it made the last one's.
        if number != newest || holds_tables(&dir)? {
            return Ok(Some(dir.join(CURRENT)));
        }
    }
    Ok(None)
}

fn holds_tables(keyspace: &Path) -> io::Result<bool> {
    match std::fs::read_dir(keyspace.join("tables")) {
        Ok(mut tables) => Ok(tables.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
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
