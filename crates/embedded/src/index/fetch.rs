//! Bodies as their readers want them, wherever they lie.

use std::sync::Arc;

use bytes::Bytes;
use costrel_core::engine::{EngineError, Table};

use super::store::Store;
use crate::blocking::run_blocking;
use crate::bodies::{BodyLog, Misread, Place, Stored};

/// The body of a row that was read; `None` if it was removed meanwhile. Blocks.
pub(super) fn fetch(
    log: &BodyLog,
    store: &Store,
    key: &[u8],
    mut stored: Stored,
) -> Result<Option<Bytes>, EngineError> {
    loop {
        let place = match stored {
            Stored::Value(body) => return Ok(Some(body)),
            Stored::Placed(place) => place,
        };
        let misread = match log.read(&place) {
            Ok(body) => return Ok(Some(body)),
            Err(misread) => misread,
        };
        // The body was replaced or removed since, and its pages may be free.
        match store.get(&store.snapshot(), Table::Body, key)? {
            Some(Stored::Placed(now)) if now == place => return Err(unreadable(&place, misread)),
            Some(now) => stored = now,
            None => return Ok(None),
        }
    }
}

/// The same, without blocking.
pub(super) async fn fetch_unblocked(
    log: &Arc<BodyLog>,
    store: &Arc<Store>,
    key: Vec<u8>,
    stored: Stored,
) -> Result<Option<Bytes>, EngineError> {
    match &stored {
        Stored::Value(body) => return Ok(Some(body.clone())),
        Stored::Placed(place) => {
            if let Some(Ok(body)) = log.read_cached(place) {
                return Ok(Some(body));
            }
        }
    }
    let (log, store) = (log.clone(), store.clone());
    run_blocking(move || fetch(&log, &store, &key, stored)).await
}

fn unreadable(place: &Place, misread: Misread) -> EngineError {
    let what = format!("the body at page {} of segment {:08x}", place.page, place.segment);
    match misread {
        Misread::Io(source) => EngineError::io(format!("reading {what}"), source),
        Misread::Changed => EngineError::Corrupt(format!("{what} does not match its checksum")),
    }
}
