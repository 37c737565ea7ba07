//! How much a bucket holds, counted where it changes.
//!
//! Every row of an object, a version, an upload or a part counts for something
//! ([`weigh`]). A commit moves the bucket's counters by what its rows count for
//! afterwards, less what they did before ([`counting`]); the engine makes both in the
//! same moment, so the counters are right after any crash and nothing is ever counted
//! by looking. What a row was before, the commit's own expectations say: whoever
//! changes such a row expects it as he has read it, or it is new.
//!
//! Rows that older programs have written are in no counter. A row says of itself
//! whether it is (`counted`), so that a walk ([`job`]) can take the others in one by
//! one while the bucket is in use.

mod calendar;
mod classes;
mod days;
mod figures;
mod gather;
mod held;
mod job;
mod meter;
mod recount;
mod series;
mod traffic;
mod upkeep;

use bytes::Bytes;
use prost::Message;

pub use calendar::UsageCalendar;
pub use days::{ClassDay, DayUsage, RestoredDay};
pub use figures::{BucketUsage, ClassUsage};
pub(crate) use gather::{Counters, Gathering};
pub use held::{Held, HeldClass, StorageDay, StorageRecord};
pub use job::CountingStats;
pub use meter::{Made, Meter};
pub(crate) use meter::{Reading, carried, note_copied_from};
pub use recount::{Recount, correct, recount};
pub(crate) use series::check_row;
pub use series::{CountsBlock, DayRecord, LatestRecord, SampleRecord, Series, Slot, Slots};
pub use traffic::{
    ClassFigures, Figures, InternalNetworks, RequestKind, RestoredFigures, Served, StatusFigures,
    Traffic, class_name, class_number,
};
pub use upkeep::{UsageJob, UsageStats};

use crate::engine::{Commit, Counter, Expect, Partition, RowRef, Table, Tallies, Tally, Write};
use crate::record::{HistoryRecord, decode, split_part_suffix};

/// What a counter is of. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Current objects, by class.
    Current = 1,
    /// Those of them that have a version row as well.
    Versioned = 2,
    /// Version rows but delete markers, by class.
    Version = 3,
    Marker = 4,
    /// Open uploads, by class.
    Upload = 5,
    /// Parts, whatever they belong to, by class.
    Part = 6,
    /// Those that objects and versions are made of, by the class that they had as parts.
    Joined = 7,
}

const KINDS: [Kind; 7] = [
    Kind::Current,
    Kind::Versioned,
    Kind::Version,
    Kind::Marker,
    Kind::Upload,
    Kind::Part,
    Kind::Joined,
];

impl Kind {
    fn counter(self, class: u8) -> Counter {
        Counter((self as u16) << 8 | u16::from(class))
    }

    fn of(counter: Counter) -> Option<(Kind, u8)> {
        let [number, class] = counter.0.to_be_bytes();
        KINDS.into_iter().find(|kind| *kind as u8 == number).map(|kind| (kind, class))
    }
}

/// What of an object's, a version's or an upload's record counts.
#[derive(Clone, PartialEq, Message)]
struct Weighed {
    #[prost(uint64, tag = "2")]
    size: u64,
    #[prost(message, optional, tag = "12")]
    parts: Option<WeighedParts>,
    #[prost(bytes = "bytes", tag = "14")]
    version: Bytes,
    #[prost(bool, tag = "16")]
    delete_marker: bool,
    #[prost(string, tag = "7")]
    storage_class: String,
    #[prost(bool, tag = "26")]
    counted: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WeighedParts {
    #[prost(uint32, tag = "2")]
    count: u32,
    #[prost(string, tag = "4")]
    storage_class: String,
}

#[derive(Clone, PartialEq, Message)]
struct WeighedUpload {
    #[prost(string, tag = "3")]
    storage_class: String,
    #[prost(bool, tag = "26")]
    counted: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WeighedPart {
    #[prost(uint64, tag = "2")]
    size: u64,
    #[prost(string, tag = "13")]
    storage_class: String,
    #[prost(bool, tag = "26")]
    counted: bool,
}

/// Of the tables whose rows count.
fn counts(row: &RowRef) -> bool {
    match row.table {
        Table::Object | Table::Version | Table::Upload => true,
        // Number 0 is a layout.
        Table::Part => split_part_suffix(&row.suffix).is_none_or(|(_, number)| number > 0),
        _ => false,
    }
}

/// Whether a row of such a table is in the counters. One that cannot be read never was.
fn is_counted(table: Table, value: &Bytes) -> bool {
    match table {
        Table::Object | Table::Version => {
            Weighed::decode(value.clone()).is_ok_and(|record| record.counted)
        }
        Table::Upload => WeighedUpload::decode(value.clone()).is_ok_and(|record| record.counted),
        Table::Part => WeighedPart::decode(value.clone()).is_ok_and(|record| record.counted),
        _ => false,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Calls `add` with what a row counts for. `has_null_row` answers whether the key's
/// version without an id has a version row, and is asked only of an object without one.
fn weigh(
    table: Table,
    value: &Bytes,
    has_null_row: impl FnOnce() -> bool,
    mut add: impl FnMut(Counter, Tally),
) {
    let one = |size: u64| Tally { count: 1, bytes: signed(size) };
    let of_parts = |record: &Weighed| {
        record.parts.as_ref().map(|parts| {
            let tally = Tally { count: parts.count.into(), bytes: signed(record.size) };
            (Kind::Joined.counter(classes::number(&parts.storage_class)), tally)
        })
    };
    match table {
        Table::Object => {
            let Ok(record) = Weighed::decode(value.clone()) else { return };
            if !record.counted {
                return;
            }
            let class = classes::number(&record.storage_class);
            add(Kind::Current.counter(class), one(record.size));
            if !record.version.is_empty() || has_null_row() {
                add(Kind::Versioned.counter(class), one(record.size));
            } else if let Some((counter, parts)) = of_parts(&record) {
                add(counter, parts);
            }
        }
        Table::Version => {
            let Ok(record) = Weighed::decode(value.clone()) else { return };
            if !record.counted {
                return;
            }
            if record.delete_marker {
                add(Kind::Marker.counter(0), one(0));
                return;
            }
            add(Kind::Version.counter(classes::number(&record.storage_class)), one(record.size));
            if let Some((counter, parts)) = of_parts(&record) {
                add(counter, parts);
            }
        }
        Table::Upload => {
            let Ok(record) = WeighedUpload::decode(value.clone()) else { return };
            if record.counted {
                add(Kind::Upload.counter(classes::number(&record.storage_class)), one(0));
            }
        }
        Table::Part => {
            let Ok(record) = WeighedPart::decode(value.clone()) else { return };
            if record.counted {
                let class = classes::number(&record.storage_class);
                add(Kind::Part.counter(class), one(record.size));
            }
        }
        _ => {}
    }
}

/// A commit that moves the counters by what its writes change.
pub(crate) fn counting(
    partition: Partition,
    group: Bytes,
    expects: Vec<Expect>,
    writes: Vec<Write>,
) -> Commit {
    let mut commit = Commit::new(partition, group, expects, writes);
    if matches!(partition, Partition::Bucket(_)) {
        commit.tallies = changes(&commit.expects, &commit.writes);
    }
    commit
}

fn changes(expects: &[Expect], writes: &[Write]) -> Tallies {
    let mut tallies = Tallies::default();
    for write in writes {
        let (row, new) = match write {
            Write::Put(row, value) => (row, Some(value)),
            Write::Delete(row) => (row, None),
        };
        if !counts(row) {
            continue;
        }
        let old = before(expects, row);
        if let Some(new) = new {
            let has_null_row = || has_null_row(expects, writes);
            weigh(row.table, new, has_null_row, |counter, by| tallies.add(counter, by));
        }
        if let Some(old) = old {
            let had_null_row = || has_null_row(expects, &[]);
            weigh(row.table, old, had_null_row, |counter, by| tallies.add(counter, by.negated()));
        }
    }
    tallies
}

/// What a row holds that is about to be written.
fn before<'a>(expects: &'a [Expect], row: &RowRef) -> Option<&'a Bytes> {
    let expected = |wanted: &RowRef| {
        expects.iter().find_map(|expect| match expect {
            Expect::Equals(row, value) if row == wanted => Some(value),
            _ => None,
        })
    };
    expected(row).or_else(|| {
        // The object row repeats the newest version's.
        let object =
            expected(&RowRef::only(Table::Object)).filter(|_| row.table == Table::Version)?;
        let version = Weighed::decode(object.clone()).ok()?.version;
        let is_it = match version.is_empty() {
            true => null_row(expects, &[]).is_some_and(|null| null == row.suffix),
            false => version == row.suffix,
        };
        is_it.then_some(object)
    })
}

fn has_null_row(expects: &[Expect], writes: &[Write]) -> bool {
    null_row(expects, writes).is_some()
}

/// Where the key's `null` version has a version row, by the history as the commit
/// leaves it, or finds it if there are no writes.
fn null_row(expects: &[Expect], writes: &[Write]) -> Option<Bytes> {
    let history = RowRef::only(Table::History);
    let written = writes.iter().rev().find_map(|write| match write {
        Write::Put(row, value) if *row == history => Some(Some(value)),
        Write::Delete(row) if *row == history => Some(None),
        _ => None,
    });
    let expected = || {
        expects.iter().find_map(|expect| match expect {
            Expect::Equals(row, value) if *row == history => Some(value),
            _ => None,
        })
    };
    let history = written.unwrap_or_else(expected)?;
    let history: HistoryRecord = decode(history, "history record").ok()?;
    (!history.null_version.is_empty()).then_some(history.null_version)
}

#[cfg(test)]
mod tests;
