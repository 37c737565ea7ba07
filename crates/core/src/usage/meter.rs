//! What one request's commits do, for its line in a log and for its bucket's figures.
//!
//! Whoever wants to know gives the request's work a meter; every commit within it, and
//! within what it leaves to go on by itself, says there what it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use parking_lot::Mutex;
use prost::Message;

use super::{Kind, Weighed, WeighedUpload};
use crate::engine::{Commit, Expect, RowRef, Table, Write};

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
    /// Class of the upload that a part was added to.
    part_class: Mutex<Option<String>>,
    copied_from: Mutex<Option<u64>>,
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

    /// Class of the last object that was made, or of the upload that got a part. Empty
    /// for STANDARD.
    pub fn class(&self) -> Option<String> {
        let made = self.made.lock().as_ref().map(|made| made.class.clone());
        made.or_else(|| self.part_class.lock().clone())
    }

    /// Size of the object that was copied from.
    pub fn copied_from(&self) -> Option<u64> {
        *self.copied_from.lock()
    }

    /// The last object that was made.
    pub fn made(&self) -> Option<Made> {
        self.made.lock().clone()
    }
}

/// The source of a copy was found, of such a size, and is read.
pub(crate) fn note_copied_from(size: u64) {
    // Without a meter nobody wants to know.
    let _ = METER.try_with(|meter| *meter.copied_from.lock() = Some(size));
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
pub(crate) struct Reading(Option<(Arc<Meter>, Change)>);

struct Change {
    stored: i64,
    made: Option<Made>,
    part_class: Option<String>,
}

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
        let adds_part = commit
            .writes
            .iter()
            .any(|write| matches!(write, Write::Put(row, _) if row.table == Table::Part));
        // A part is added only if its upload is as it was read.
        let upload = commit.expects.iter().filter(|_| adds_part).find_map(|expect| match expect {
            Expect::Equals(row, value) if row.table == Table::Upload => {
                WeighedUpload::decode(value.clone()).ok()
            }
            _ => None,
        });
        let part_class = upload.map(|upload| upload.storage_class);
        Reading(Some((meter, Change { stored: bytes, made, part_class })))
    }

    /// It is done.
    pub(crate) fn note(self) {
        let Some((meter, Change { stored, made, part_class })) = self.0 else { return };
        meter.stored.fetch_add(stored, Relaxed);
        if made.is_some() {
            *meter.made.lock() = made;
        }
        if part_class.is_some() {
            *meter.part_class.lock() = part_class;
        }
    }
}
