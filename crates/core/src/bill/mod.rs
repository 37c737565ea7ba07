//! Bills: what was used, times a price book.
//!
//! Usage is counted by the day ([`crate::usage`]). A [`Meter`] turns a month's days into
//! charges, by the prices and steps of a [`PriceBook`]; a charge is usage at one price,
//! and its cost is their product to the last digit, so that any sum of charges is exact.

mod amount;
mod item;
mod job;
mod ledger;
mod meter;
mod month;
mod pages;
mod prices;
mod reader;
mod rows;
mod used;

pub use amount::{Amount, AmountFault};
pub use item::{Item, Kind, Unit};
pub use job::close_months;
pub use ledger::{Closed, LedgerError};
pub use meter::{BilledBucket, Charge, Entry, Meter, Quantity, TIME_SPAN};
pub use month::{Month, date, day_of_date};
pub(crate) use pages::BillPages;
pub use pages::{BillFilter, BillPage, BucketBill, PageOf};
pub use prices::{Price, PriceBook, PriceFault, STEPS_MAX, Step};
pub use reader::{Bill, BillReader, State};
pub use rows::{BucketEntry, ChargeEntry, ChunkRecord, DayEntry, Entries, MonthRecord};
pub use used::quantities;

pub(crate) use rows::{chunk_row, group, groups, month_of_group, month_row, unpack};
