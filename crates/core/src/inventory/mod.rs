//! Inventories: what a bucket holds, written down regularly as objects of another.
//!
//! A bucket has any number of configurations by their ids, of either service; each says
//! which objects or versions, what of them, how often, and where to ([`settings`]). A
//! job ([`job`], [`turn`]) walks the bucket when a report is due and puts its rows into
//! files as it goes ([`report`], [`sheet`]), a bounded part of them in memory; a row
//! says how far it is ([`ledger`]). A manifest, written last, names the files
//! ([`manifest`]); those that none will name are removed ([`leftovers`]). The form belongs to the service whose client has configured
//! it. Reports are written by no request, so neither logs nor counts of requests show
//! them.

mod column;
mod job;
mod ledger;
mod leftovers;
mod manifest;
mod report;
mod schedule;
mod settings;
mod sheet;
mod turn;

use bytes::Bytes;
use prost::Message;

use column::Column;
pub use job::{InventoryJob, InventoryStats};
pub(crate) use ledger::runs_row;
pub use ledger::{Progress, Run, Runs};
pub use settings::InventoryFault;

use crate::record::Pair;

/// A configuration, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Inventory {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    /// [`Form`].
    #[prost(uint32, tag = "3")]
    pub form: u32,
    /// Name of the bucket that reports are put into.
    #[prost(string, tag = "4")]
    pub target: String,
    /// The target's account, if the client has named it, in his words.
    #[prost(string, optional, tag = "5")]
    pub account: Option<String>,
    /// What the names of reports begin with, without the slash behind it.
    #[prost(string, optional, tag = "6")]
    pub prefix: Option<String>,
    /// Versions below the current ones, and delete markers, too.
    #[prost(bool, tag = "7")]
    pub all_versions: bool,
    /// [`Frequency`].
    #[prost(uint32, tag = "8")]
    pub frequency: u32,
    /// The day of a monthly report, from 1; a shorter month's last one.
    #[prost(uint32, tag = "9")]
    pub month_day: u32,
    /// What is said of each object besides its name, in the client's order.
    #[prost(string, repeated, tag = "10")]
    pub fields: Vec<String>,
    #[prost(message, optional, tag = "11")]
    pub filter: Option<Filter>,
    /// [`Format`].
    #[prost(uint32, tag = "13")]
    pub format: u32,
    /// Tells it from others that the bucket has had by that id.
    #[prost(bytes = "bytes", tag = "12")]
    pub token: Bytes,
}

/// Which objects; those for which all of it holds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Filter {
    #[prost(string, optional, tag = "1")]
    pub prefix: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub tags: Vec<Pair>,
    /// As the client names it; empty for any.
    #[prost(string, tag = "3")]
    pub class: String,
    /// Last modified from then on, in seconds since 1970.
    #[prost(uint64, optional, tag = "4")]
    pub from_s: Option<u64>,
    /// And not later.
    #[prost(uint64, optional, tag = "5")]
    pub to_s: Option<u64>,
    /// It was written as a conjunction.
    #[prost(bool, tag = "6")]
    pub joined: bool,
}

/// Whose files and names. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Cos = 1,
    S3 = 2,
}

/// The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// At once, and never again. COS.
    Once = 0,
    Daily = 1,
    /// On Sundays.
    Weekly = 2,
    /// COS.
    Monthly = 3,
}

impl Frequency {
    pub const ALL: [Frequency; 4] =
        [Frequency::Once, Frequency::Daily, Frequency::Weekly, Frequency::Monthly];

    /// `None` for once.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Frequency::Once => None,
            Frequency::Daily => Some("Daily"),
            Frequency::Weekly => Some("Weekly"),
            Frequency::Monthly => Some("Monthly"),
        }
    }
}

/// What files are. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values, gzipped.
    Csv = 0,
    /// S3.
    Parquet = 1,
    Orc = 2,
}

impl Format {
    pub const ALL: [Format; 3] = [Format::Csv, Format::Parquet, Format::Orc];

    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "CSV",
            Format::Parquet => "Parquet",
            Format::Orc => "ORC",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv.gz",
            Format::Parquet => "parquet",
            Format::Orc => "orc",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "application/x-gzip",
            Format::Parquet => "application/vnd.apache.parquet",
            // None is registered.
            Format::Orc => "application/octet-stream",
        }
    }
}

impl Inventory {
    /// What is not known any more was the one that both services have.
    pub fn format(&self) -> Format {
        let known = Format::ALL.into_iter().find(|known| *known as u32 == self.format);
        known.unwrap_or(Format::Csv)
    }

    /// What is not known any more was S3's.
    pub fn form(&self) -> Form {
        match self.form {
            1 => Form::Cos,
            _ => Form::S3,
        }
    }

    /// What is not known any more comes daily.
    pub fn frequency(&self) -> Frequency {
        let known = Frequency::ALL.into_iter().find(|known| *known as u32 == self.frequency);
        known.unwrap_or(Frequency::Daily)
    }
}
