//! What the console endpoint answers about bills, to the operator alone.

use std::fmt::Write;

use costrel_core::Store;
use costrel_core::bill::{
    Amount, Bill, BillFilter, BillPage, Entry, Item, LedgerError, Month, PageOf, State,
};
use costrel_protocol::query::Query;
use http::{Method, StatusCode};

use super::csv;

/// Paths begin with it.
pub const PREFIX: &str = "/bill/";
pub const SHOW: &str = "/bill/show";
/// Lines of a file, behind a line that says where to go on.
pub const ROWS: &str = "/bill/rows";
pub const CLOSE: &str = "/bill/close";
pub const REOPEN: &str = "/bill/reopen";

/// Entries of one page of a file.
const PAGE_ENTRIES: u64 = 2000;

/// Answers a question, or does what is told.
pub async fn answer(
    store: &Store,
    method: &Method,
    path: &str,
    query: &str,
) -> Result<(StatusCode, String), LedgerError> {
    let query = Query::parse(query).unwrap_or_default();
    let Some(month) = query.get("month").and_then(Month::parse) else {
        return Ok((StatusCode::BAD_REQUEST, "there is no such month\n".into()));
    };
    let said = match (method, path) {
        (&Method::GET, SHOW) => show(store, month).await?,
        (&Method::GET, ROWS) => rows(store, month, offset(&query)).await?,
        (&Method::POST, CLOSE) => {
            let closed = store.close_month(month).await?;
            format!("{month} is closed: {} {}\n", closed.total, closed.currency)
        }
        (&Method::POST, REOPEN) => {
            store.reopen_month(month).await?;
            format!("{month} is open: `costrel bill close {month}` closes it again\n")
        }
        _ => return Ok((StatusCode::NOT_FOUND, "not found\n".into())),
    };
    Ok((StatusCode::OK, said))
}

fn offset(query: &Query) -> u64 {
    query.get("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0)
}

/// Sums of one bucket.
#[derive(Default)]
struct Sums {
    name: String,
    items: Vec<(Item, Amount, Amount)>,
    cost: Amount,
}

impl Sums {
    fn add(&mut self, entry: &Entry) {
        for charge in &entry.charges {
            let (item, cost) = (charge.item, charge.cost());
            self.cost += &cost;
            match self.items.iter_mut().find(|known| known.0 == item) {
                Some((_, used, sum)) => {
                    *used += &charge.used;
                    *sum += &cost;
                }
                None => self.items.push((item, charge.used.clone(), cost)),
            }
        }
    }

    /// Writing to a string cannot fail.
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "{}", self.name);
        for (item, used, cost) in &self.items {
            let days = if item.kind.is_by_time() { " days" } else { "" };
            let unit = format!("{}{days}", item.kind.unit().name);
            let (used, cost) = (used.to_string(), cost.to_string());
            let _ = writeln!(text, "{cost:>28} {used:>22} {unit:<15} {}", item.name());
        }
        let _ = writeln!(text, "{:>28} in all", self.cost.to_string());
    }
}

async fn show(store: &Store, month: Month) -> costrel_core::Result<String> {
    let bill = store.bill(month).await?;
    let mut text = heading(store, &bill);
    let (mut bucket, mut total) = (Sums::default(), Amount::default());
    let mut reader = store.read_bill(&bill).await;
    while let Some(entries) = reader.next().await? {
        for entry in &entries {
            if bucket.name != entry.bucket.name {
                if !bucket.name.is_empty() {
                    bucket.write(&mut text);
                }
                bucket = Sums { name: entry.bucket.name.clone(), ..Sums::default() };
            }
            bucket.add(entry);
            total += &entry.cost();
        }
    }
    if !bucket.name.is_empty() {
        bucket.write(&mut text);
    }
    let _ = writeln!(text, "all buckets\n{:>28} {}", total.to_string(), bill.currency);
    Ok(text)
}

fn heading(store: &Store, bill: &Bill) -> String {
    let state = match bill.state {
        State::Closed { .. } => "closed",
        State::Reopened { .. } => "open again: an estimate",
        State::Open if store.is_month_over(bill.month) => "about to be closed: an estimate",
        State::Open => "not over: an estimate",
    };
    format!("{}, {state}\nprices: {}, in {}\n", bill.month, bill.book, bill.currency)
}

async fn rows(store: &Store, month: Month, offset: u64) -> costrel_core::Result<String> {
    let page = PageOf { offset, limit: PAGE_ENTRIES, counted: false };
    let BillPage { bill, shown, .. } =
        store.bill_entries(month, BillFilter::default(), page).await?;
    let lines: String = shown.iter().map(|entry| csv::lines(&bill, entry)).collect();
    Ok(match (shown.len() as u64) < PAGE_ENTRIES {
        true => format!("\n{lines}"),
        false => format!("{}\n{lines}", offset + PAGE_ENTRIES),
    })
}
