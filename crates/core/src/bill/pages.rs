//! Bills by pages, which clients find by their offsets.
//!
//! A bill that is not closed is made anew for whoever reads it. So that a client that goes
//! through one page by page does not have all that comes before made for each, it is
//! remembered for a while where a page has ended: the reader's place, which is small. How
//! much there is in all is remembered with it. Whoever begins with the first page sees the
//! bill as it is now.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::amount::Amount;
use super::item::Item;
use super::meter::Entry;
use super::month::Month;
use super::reader::{Bill, BillPlace, ENTRIES_AT_ONCE, State};
use crate::error::Result;
use crate::store::Store;

/// How long it is remembered where a page has ended.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Places that are remembered, of some tens of kilobytes each.
const PLACES_MAX: usize = 32;
/// Bytes of a filter that is remembered.
const FILTER_BYTES_MAX: usize = 1024;

/// Which entries count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillFilter {
    /// None do.
    pub nothing: bool,
    /// Name of a bucket.
    pub bucket: Option<String>,
    /// A key and a value; an empty value for those without the key.
    pub tag: Option<(String, String)>,
}

impl BillFilter {
    fn admits(&self, entry: &Entry) -> bool {
        let bucket = &*entry.bucket;
        self.bucket.as_ref().is_none_or(|name| bucket.name == *name)
            && self.tag.as_ref().is_none_or(|(key, value)| bucket.tag(key).unwrap_or("") == value)
    }

    fn is_short(&self) -> bool {
        let tag = self.tag.as_ref().map_or(0, |(key, value)| key.len() + value.len());
        self.bucket.as_ref().map_or(0, String::len) + tag <= FILTER_BYTES_MAX
    }
}

/// Which of what is found is shown.
#[derive(Clone, Copy, Debug)]
pub struct PageOf {
    pub offset: u64,
    pub limit: u64,
    /// Whether somebody wants to know how much was found.
    pub counted: bool,
}

impl PageOf {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.limit)
    }

    fn has(&self, at: u64) -> bool {
        (self.offset..self.end()).contains(&at)
    }
}

#[derive(Debug)]
pub struct BillPage<T> {
    pub bill: Bill,
    pub shown: Vec<T>,
    /// How much was found, if that was asked for.
    pub total: Option<u64>,
}

/// All entries of a bucket.
#[derive(Clone, Debug)]
pub struct BucketBill {
    pub first: Entry,
    pub last_day: u64,
    pub cost: Amount,
    /// What was used of each item: summed up over the days.
    pub used: Vec<(Item, Amount)>,
}

impl BucketBill {
    fn new(first: Entry) -> BucketBill {
        let entry = first.clone();
        let (last_day, cost) = (entry.day, Amount::default());
        let mut bucket = BucketBill { first, last_day, cost, used: Vec::new() };
        bucket.add(&entry);
        bucket
    }

    fn add(&mut self, entry: &Entry) {
        self.last_day = entry.day;
        for charge in &entry.charges {
            self.cost += &charge.cost();
            match self.used.iter_mut().find(|(item, _)| *item == charge.item) {
                Some((_, used)) => *used += &charge.used,
                None => self.used.push((charge.item, charge.used.clone())),
            }
        }
    }
}

/// What pages are of.
trait Rows {
    type Row;
    const ARE: Kind;
    /// A row that is whole now. `pending` is one that may not be.
    fn add(pending: &mut Option<BucketBill>, entry: Entry) -> Option<Self::Row>;
    fn last(pending: Option<BucketBill>) -> Option<Self::Row>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Entries,
    Buckets,
}

struct ByEntry;
struct ByBucket;

impl Rows for ByEntry {
    type Row = Entry;
    const ARE: Kind = Kind::Entries;

    fn add(_: &mut Option<BucketBill>, entry: Entry) -> Option<Entry> {
        Some(entry)
    }

    fn last(_: Option<BucketBill>) -> Option<Entry> {
        None
    }
}

impl Rows for ByBucket {
    type Row = BucketBill;
    const ARE: Kind = Kind::Buckets;

    fn add(pending: &mut Option<BucketBill>, entry: Entry) -> Option<BucketBill> {
        match pending {
            Some(bucket) if bucket.first.bucket.name == entry.bucket.name => {
                bucket.add(&entry);
                None
            }
            other => other.replace(BucketBill::new(entry)),
        }
    }

    fn last(pending: Option<BucketBill>) -> Option<BucketBill> {
        pending
    }
}

/// What pages have to have in common to follow each other.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    kind: Kind,
    month: Month,
    state: State,
    filter: BillFilter,
}

/// Where somebody has come to.
#[derive(Clone, Debug)]
struct Place {
    /// Rows before it.
    found: u64,
    reader: BillPlace,
    pending: Option<BucketBill>,
}

#[derive(Debug)]
struct Remembered {
    series: Series,
    at: Instant,
    place: Option<Place>,
    total: Option<(u64, Instant)>,
}

/// Where pages have ended lately.
#[derive(Debug, Default)]
pub(crate) struct BillPages(Mutex<VecDeque<Remembered>>);

impl BillPages {
    /// The last place that is not behind a row, and how many rows there are.
    fn find(&self, series: &Series, offset: u64) -> (Option<Place>, Option<(u64, Instant)>) {
        let mut known = self.0.lock();
        known.retain(|it| it.at.elapsed() < REMEMBERED);
        let of_series = || known.iter().filter(|it| it.series == *series);
        let places = of_series().filter_map(|it| it.place.as_ref());
        let place = places.filter(|place| place.found <= offset).max_by_key(|place| place.found);
        let totals = of_series().filter_map(|it| it.total);
        let total = totals.filter(|(_, at)| at.elapsed() < REMEMBERED).max_by_key(|(_, at)| *at);
        (place.cloned(), total)
    }

    fn remember(&self, series: Series, place: Option<Place>, total: Option<(u64, Instant)>) {
        if !series.filter.is_short() {
            return;
        }
        let mut known = self.0.lock();
        let found = |place: &Option<Place>| place.as_ref().map(|place| place.found);
        known.retain(|it| it.series != series || found(&it.place) != found(&place));
        if known.len() >= PLACES_MAX {
            known.pop_front();
        }
        known.push_back(Remembered { series, at: Instant::now(), place, total });
    }
}

impl Store {
    /// A page of a month's bill, entry by entry.
    pub async fn bill_entries(
        &self,
        month: Month,
        filter: BillFilter,
        page: PageOf,
    ) -> Result<BillPage<Entry>> {
        self.bill_page::<ByEntry>(month, filter, page).await
    }

    /// The same, bucket by bucket.
    pub async fn bill_buckets(
        &self,
        month: Month,
        filter: BillFilter,
        page: PageOf,
    ) -> Result<BillPage<BucketBill>> {
        self.bill_page::<ByBucket>(month, filter, page).await
    }

    async fn bill_page<R: Rows>(
        &self,
        month: Month,
        filter: BillFilter,
        page: PageOf,
    ) -> Result<BillPage<R::Row>> {
        let bill = self.bill(month).await?;
        if filter.nothing {
            return Ok(BillPage { bill, shown: Vec::new(), total: page.counted.then_some(0) });
        }
        let series = Series { kind: R::ARE, month, state: bill.state, filter };
        let (place, mut total) = match page.offset {
            // A client begins anew.
            0 => (None, None),
            offset => self.bill_pages.find(&series, offset),
        };
        let (mut found, from, mut pending) = match place {
            Some(Place { found, reader, pending }) => (found, Some(reader), pending),
            None => (0, None, None),
        };
        let mut shown = Vec::new();
        let mut show = |row: R::Row, found: &mut u64| {
            if page.has(*found) {
                shown.push(row);
            }
            *found += 1;
        };
        // The last place from which the next page can begin.
        let mut next = None;
        let mut reader = self.read_bill_from(&bill, from).await;
        loop {
            // Behind the page, what follows is for the total alone.
            if found >= page.end() && (!page.counted || total.is_some()) {
                break;
            }
            let is_near = (found..found + ENTRIES_AT_ONCE).contains(&page.end());
            let here = || Place { found, reader: reader.place(), pending: pending.clone() };
            next = is_near.then(here).or(next);
            let Some(entries) = reader.next().await? else {
                if let Some(row) = R::last(pending.take()) {
                    show(row, &mut found);
                }
                total = Some((found, Instant::now()));
                break;
            };
            for entry in entries.into_iter().filter(|entry| series.filter.admits(entry)) {
                if let Some(row) = R::add(&mut pending, entry) {
                    show(row, &mut found);
                }
            }
        }
        drop(reader);
        self.bill_pages.remember(series, next, total);
        let total = total.filter(|_| page.counted).map(|(total, _)| total);
        Ok(BillPage { bill, shown, total })
    }
}
