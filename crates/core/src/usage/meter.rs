//! What one request's commits do, for its line in a log.
//!
//! Whoever wants to know gives the request's work a meter; every commit within it, and
//! within what it leaves to go on by itself, says there what it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use parking_lot::Mutex;
use prost::Message;

use super::{Kind, Weighed};
use crate::engine::{Commit, RowRef, Table, Write};

tokio::task_local! {
    static METER: Arc<Meter>;
}

/// An object as a request has made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub size: u64,
    /// Empty for STANDARD.
    pub class: String,
}

#[derive(Default, Debug)]
pub struct Meter {
    stored: AtomicI64,
    made: Mutex<Option<Made>>,
}

impl Meter {
    /// Does some work whose commits are to be metered.
    pub async fn around<F: Future>(self: &Arc<Self>, work: F) -> F::Output {
        METER.scope(self.clone(), work).await
    }

    /// By how many bytes more is stored than before, parts and older versions included.
    pub fn stored(&self) -> i64 {
        self.stored.load(Relaxed)
    }

    /// The last object that was made.
    pub fn made(&self) -> Option<Made> {
        self.made.lock().clone()
    }
}

/// Work that goes on by itself, under the meter of whoever began it.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let meter = METER.try_with(Arc::clone).ok();
    async move {
        match meter {
            Some(meter) => METER.scope(meter, work).await,
            None => work.await,
        }
    }
}

/// What a commit will have done, for the meter that it is under, if any.
pub(crate) struct Reading(Option<(Arc<Meter>, i64, Option<Made>)>);

impl Reading {
    pub(crate) fn of(commit: &Commit) -> Reading {
        let Ok(meter) = METER.try_with(Arc::clone) else { return Reading(None) };
        let mut bytes = 0;
        for (counter, tally) in commit.tallies.iter() {
            match Kind::of(counter).map(|(kind, _)| kind) {
                Some(Kind::Current | Kind::Version | Kind::Part) => bytes += tally.bytes,
                Some(Kind::Versioned | Kind::Joined) => bytes -= tally.bytes,
                Some(Kind::Marker | Kind::Upload) | None => {}
            }
        }
        let object = RowRef::only(Table::Object);
        let made = commit.writes.iter().find_map(|write| match write {
            Write::Put(row, value) if *row == object => Weighed::decode(value.clone()).ok(),
            _ => None,
        });
        let made = made.map(|record| Made { size: record.size, class: record.storage_class });
        Reading(Some((meter, bytes, made)))
    }

    /// It is done.
    pub(crate) fn note(self) {
        let Some((meter, bytes, made)) = self.0 else { return };
        meter.stored.fetch_add(bytes, Relaxed);
        if made.is_some() {
            *meter.made.lock() = made;
        }
    }
}
