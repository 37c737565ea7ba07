//! What is in a month's bill: as it was closed, or as usage and prices have it now.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::meter::{BilledBucket, Entry, Meter, Used};
use super::month::Month;
use super::rows::{CHUNK_ENTRIES, MonthRecord, chunk_row, group, unpack};
use super::used::quantities;
use crate::engine::Partition;
use crate::error::{Error, Result};
use crate::store::Store;

/// Names of buckets that are read at once.
const NAMES: usize = 256;
/// Entries that are read at once, at most: a bucket's month, or a chunk.
pub(super) const ENTRIES_AT_ONCE: u64 = 256;
const _: () = assert!(CHUNK_ENTRIES as u64 <= ENTRIES_AT_ONCE);

/// How far a month has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its charges are final.
    Closed { closed_ms: u64 },
    /// It was closed, and somebody has taken that back.
    Reopened { reopened_ms: u64 },
    /// It has not been closed; perhaps it is not over.
    Open,
}

/// A month's bill.
#[derive(Clone, Debug)]
pub struct Bill {
    pub month: Month,
    pub state: State,
    /// Name and currency of the price book.
    pub book: String,
    pub currency: String,
    /// There if it is closed.
    pub(super) record: Option<MonthRecord>,
}

impl Bill {
    pub fn is_final(&self) -> bool {
        self.record.is_some()
    }
}

/// Reads a bill's entries: buckets in the order of their names, the days of each in
/// order.
pub struct BillReader<'a> {
    store: &'a Store,
    month: Month,
    from: From<'a>,
}

/// Where a reader has come to, for another to go on there.
#[derive(Clone, Debug)]
pub(super) enum BillPlace {
    Closed {
        next: u32,
    },
    Live {
        used: Used,
        /// Name of the last bucket that was read.
        read: String,
    },
}

enum From<'a> {
    Closed {
        record: &'a MonthRecord,
        next: u32,
    },
    Live {
        meter: Meter<'a>,
        names: VecDeque<String>,
        /// The last name that was ever among them.
        after: String,
        /// The last that has been read.
        read: String,
        /// Each has a bucket's month in memory, and reads much: one at a time.
        _alone: MutexGuard<'a, ()>,
    },
}

impl Store {
    /// The bill of a month; [`Store::read_bill`] shows what is in it.
    pub async fn bill(&self, month: Month) -> Result<Bill> {
        let record = self.month_record(month).await?.map(|(_, record)| record);
        Ok(match record {
            Some(record) if record.reopened_ms == 0 => Bill {
                month,
                state: State::Closed { closed_ms: record.closed_ms },
                book: record.book.clone(),
                currency: record.currency.clone(),
                record: Some(record),
            },
            reopened => Bill {
                month,
                state: reopened.map_or(State::Open, |record| State::Reopened {
                    reopened_ms: record.reopened_ms,
                }),
                book: self.options.prices.name.clone(),
                currency: self.options.prices.currency.clone(),
                record: None,
            },
        })
    }

    pub async fn read_bill<'a>(&'a self, bill: &'a Bill) -> BillReader<'a> {
        self.read_bill_from(bill, None).await
    }

    /// Goes on from a place of the same bill.
    pub(super) async fn read_bill_from<'a>(
        &'a self,
        bill: &'a Bill,
        place: Option<BillPlace>,
    ) -> BillReader<'a> {
        let from = match (&bill.record, place) {
            (Some(record), Some(BillPlace::Closed { next })) => From::Closed { record, next },
            (Some(record), _) => From::Closed { record, next: 0 },
            (None, place) => {
                let (used, read) = match place {
                    Some(BillPlace::Live { used, read }) => (used, read),
                    _ => Default::default(),
                };
                From::Live {
                    meter: Meter::going_on(&self.options.prices, used),
                    names: VecDeque::new(),
                    after: read.clone(),
                    read,
                    _alone: self.billing.lock().await,
                }
            }
        };
        BillReader { store: self, month: bill.month, from }
    }

    async fn billed_bucket(&self, name: &str) -> Result<BilledBucket> {
        let name = name.to_owned();
        match self.bucket(&name).await {
            Ok(bucket) => {
                let tags = bucket.settings().tags.as_slice().to_vec();
                Ok(BilledBucket { name, region: bucket.region.clone(), tags })
            }
            Err(Error::NoSuchBucket) => {
                Ok(BilledBucket { name, region: self.region().to_owned(), tags: Vec::new() })
            }
            Err(error) => Err(error),
        }
    }
}

impl BillReader<'_> {
    pub(super) fn place(&self) -> BillPlace {
        match &self.from {
            From::Closed { next, .. } => BillPlace::Closed { next: *next },
            From::Live { meter, read, .. } => {
                BillPlace::Live { used: meter.used().clone(), read: read.clone() }
            }
        }
    }

    /// The next entries, some hundreds at most; none when there are no more.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        match &mut self.from {
            From::Closed { record, next } => {
                if *next == record.chunks {
                    return Ok(None);
                }
                let row = chunk_row(&record.write_id, *next);
                *next += 1;
                let chunk = self.store.read_row(Partition::System, &group(self.month), row).await?;
                let chunk = chunk.ok_or_else(|| {
                    Error::Damaged(format!("the month {} has lost charges", self.month))
                })?;
                unpack(&chunk).map(Some)
            }
            From::Live { meter, names, after, read, .. } => loop {
                let Some(name) = names.pop_front() else {
                    *names = self.store.buckets_used(after, NAMES).await?.into();
                    match names.back() {
                        Some(last) => after.clone_from(last),
                        None => return Ok(None),
                    }
                    continue;
                };
                read.clone_from(&name);
                let days = self.month.days();
                let used = self.store.days_used(&name, (days.start, days.end - 1)).await?;
                if used.is_empty() {
                    continue;
                }
                let bucket = Arc::new(self.store.billed_bucket(&name).await?);
                let entries =
                    used.iter().filter_map(|day| meter.day(&bucket, day.day, quantities(day)));
                let entries: Vec<Entry> = entries.collect();
                if !entries.is_empty() {
                    return Ok(Some(entries));
                }
            },
        }
    }
}
