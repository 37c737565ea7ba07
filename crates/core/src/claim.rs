//! Work in the background that one process does for all of them.
//!
//! A claim is a row that its holder keeps changing. Whoever has seen it unchanged
//! for a while takes it over. No clock is compared with another's; that two do the
//! work for a moment is harmless, as all of it may be repeated.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::Result;
use crate::record::{Pair, decode, encode};
use crate::store::{Store, unchanged};

/// How often the holder changes the row, and others look at it.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// How long a claim may stay unchanged.
pub(crate) const EXPIRES: Duration = Duration::from_secs(20);

/// Groups of claims begin with it.
pub(crate) const PREFIX: &str = "claim:";

pub(crate) struct Claim {
    store: Arc<Store>,
    group: Bytes,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When this process last changed the row.
    held: Option<Instant>,
    /// What another has left in it, and since when.
    other: Option<(Bytes, Instant)>,
}

impl Claim {
    pub(crate) fn new(store: Arc<Store>, work: &str) -> Claim {
        Claim { store, group: format!("{PREFIX}{work}").into(), seen: Mutex::default() }
    }

    /// Whether the work is this process's for now. To be asked again before each
    /// step of it.
    pub(crate) async fn hold(&self) -> Result<bool> {
        if self.store.engine.peers().is_none() {
            return Ok(true);
        }
        if self.seen.lock().held.is_some_and(|held| held.elapsed() < BEAT) {
            return Ok(true);
        }
        let row = RowRef::only(Table::Installation);
        let now = Instant::now();
        let old = self.store.read_row(Partition::System, &self.group, row.clone()).await?;
        if let Some(old) = &old
            && !self.may_take(old, now)?
        {
            return Ok(false);
        }
        let mine = Pair {
            name: hex::encode(self.store.writer),
            value: hex::encode(self.store.fresh_id()),
        };
        let expects = vec![unchanged(Table::Installation, Bytes::new(), &old)];
        let writes = vec![Write::Put(row, encode(&mine))];
        let taken = self.store.try_commit(Partition::System, &self.group, expects, writes).await?;
        self.seen.lock().held = taken.is_ok().then_some(now);
        Ok(taken.is_ok())
    }

    fn may_take(&self, old: &Bytes, now: Instant) -> Result<bool> {
        let holder = decode::<Pair>(old, "claim")?.name;
        let mut seen = self.seen.lock();
        seen.held = None;
        if holder == hex::encode(self.store.writer) {
            return Ok(true);
        }
        match &seen.other {
            Some((same, since)) if same == old => Ok(now - *since >= EXPIRES),
            _ => {
                seen.other = Some((old.clone(), now));
                Ok(false)
            }
        }
    }
}
