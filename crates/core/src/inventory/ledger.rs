//! How far a bucket's reports are, as a row beside the bucket's record.

use bytes::Bytes;
use prost::Message;

use super::Inventory;
use crate::bucket::Bucket;
use crate::engine::{Expect, Partition, RowRef, Table, Write};
use crate::error::Result;
use crate::record::{ReportFileRecord, decode, encode};
use crate::store::{Store, unchanged};

/// The reports of a bucket, as they are stored.
#[derive(Clone, PartialEq, Message)]
pub struct Runs {
    /// The bucket's id: there may have been another one of the name.
    #[prost(uint64, tag = "1")]
    pub bucket: u64,
    #[prost(message, repeated, tag = "2")]
    pub all: Vec<Run>,
}

/// The reports of one inventory.
#[derive(Clone, PartialEq, Message)]
pub struct Run {
    #[prost(string, tag = "1")]
    pub id: String,
    /// When the last complete one was begun.
    #[prost(uint64, optional, tag = "2")]
    pub last_ms: Option<u64>,
    #[prost(message, optional, tag = "3")]
    pub progress: Option<Progress>,
    /// Token of the configuration that the last complete one was made by.
    #[prost(bytes = "bytes", tag = "4")]
    pub made_by: Bytes,
}

/// A report that is being made.
#[derive(Clone, PartialEq, Message)]
pub struct Progress {
    #[prost(uint64, tag = "1")]
    pub began_ms: u64,
    /// The names of its next files come from it; new with everybody who goes on with it.
    #[prost(bytes = "bytes", tag = "2")]
    pub token: Bytes,
    /// The configuration that it is made by.
    #[prost(message, optional, tag = "3")]
    pub inventory: Option<Inventory>,
    /// Where its next file begins.
    #[prost(string, tag = "4")]
    pub key: String,
    #[prost(string, tag = "5")]
    pub version: String,
    #[prost(message, repeated, tag = "6")]
    pub files: Vec<ReportFileRecord>,
    #[prost(uint64, tag = "7")]
    pub listed_count: u64,
    #[prost(uint64, tag = "8")]
    pub listed_bytes: u64,
    #[prost(uint64, tag = "9")]
    pub written_count: u64,
    #[prost(uint64, tag = "10")]
    pub written_bytes: u64,
    /// Names of files that whoever was at it before may have left, and nobody lists.
    #[prost(string, repeated, tag = "11")]
    pub left: Vec<String>,
}

impl Progress {
    /// There are files, and nothing behind them.
    pub(super) fn is_walked(&self) -> bool {
        !self.files.is_empty() && self.key.is_empty()
    }
}

/// The row of a bucket's [`Runs`], in the group of its name.
pub(crate) fn runs_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"inventory-runs") }
}

/// The reports of a bucket as this process has last read or written them.
pub(super) struct Ledger {
    pub runs: Runs,
    row: Option<Bytes>,
}

impl Ledger {
    pub async fn read(store: &Store, bucket: &Bucket) -> Result<Ledger> {
        let group = bucket.name.as_str().as_bytes();
        let row = store.read_row(Partition::System, group, runs_row()).await?;
        let runs = row.as_ref().map(|row| decode::<Runs>(row, "inventory runs")).transpose()?;
        let of_this = runs.filter(|runs| runs.bucket == bucket.id.0);
        let runs = of_this.unwrap_or(Runs { bucket: bucket.id.0, all: Vec::new() });
        Ok(Ledger { runs, row })
    }

    /// False: somebody else has changed it, or the bucket is gone.
    pub async fn write(&mut self, store: &Store, bucket: &Bucket) -> Result<bool> {
        let group = bucket.name.as_str().to_owned().into();
        let runs = runs_row();
        let expects = vec![
            Expect::Present(RowRef::only(Table::Bucket)),
            unchanged(runs.table, runs.suffix.clone(), &self.row),
        ];
        let row = encode(&self.runs);
        let writes = vec![Write::Put(runs, row.clone())];
        let written = store.try_commit(Partition::System, &group, expects, writes).await?;
        self.row = Some(row);
        Ok(written.is_ok())
    }

    fn run(&self, inventory: &Inventory) -> Option<&Run> {
        self.runs.all.iter().find(|run| run.id == inventory.id)
    }

    /// Where an inventory's reports are, from now on.
    pub fn place(&mut self, inventory: &Inventory) -> usize {
        let runs = &mut self.runs.all;
        runs.iter().position(|run| run.id == inventory.id).unwrap_or_else(|| {
            runs.push(Run { id: inventory.id.clone(), ..Run::default() });
            runs.len() - 1
        })
    }

    /// When its last complete report was begun; to be made once, by this very one.
    pub fn last_ms(&self, inventory: &Inventory) -> Option<u64> {
        let run = self.run(inventory)?;
        run.last_ms.filter(|_| !inventory.is_once() || run.made_by == inventory.token)
    }

    /// Nothing is left of a configuration that it has replaced.
    pub fn is_free_for(&self, inventory: &Inventory) -> bool {
        let progress = self.run(inventory).and_then(|run| run.progress.as_ref());
        progress.is_none_or(|progress| progress.inventory.as_ref() == Some(inventory))
    }

    /// A report of it is being made.
    pub fn is_begun(&self, inventory: &Inventory) -> bool {
        self.run(inventory).is_some_and(|run| run.progress.is_some())
    }

    /// A file of a report that is being made has this name.
    pub fn names(&self, key: &str) -> bool {
        let mut under_way = self.runs.all.iter().filter_map(|run| run.progress.as_ref());
        under_way.any(|progress| progress.files.iter().any(|file| file.key == key))
    }
}
