//! The row by which a target knows that it is a copy, and whether it is whole.

use bytes::Bytes;
use prost::Message;

use super::TransferError;
use crate::account;
use crate::engine::{
    Commit, CommitError, Engine, Partition, RowRef, ScanRange, Table, Tallies, Write,
};
use crate::error::{Error, Result};
use crate::record::{decode, encode};
use crate::scan::rows;
use crate::store::unchanged;

/// Group of the row, in the table of the installation.
pub(super) const GROUP: &[u8] = b"copy";

/// There while the target is a copy that nobody has served.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Marker {
    /// Whose copy it is: what an installation is known by.
    #[prost(uint64, tag = "1")]
    pub uin: u64,
    #[prost(uint64, tag = "2")]
    pub appid: u64,
    #[prost(uint64, tag = "3")]
    pub created_ms: u64,
    #[prost(bool, tag = "4")]
    pub finished: bool,
}

/// A server was to start on a copy that is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    #[error("what is stored is a copy that is not finished: run `costrel copy` again")]
    Copy,
    #[error(transparent)]
    Store(#[from] Error),
}

/// Lets a server start on a store. A copy is one no longer from then on: what its
/// server writes must not be taken back by another pass.
pub async fn admit(engine: &dyn Engine) -> Result<(), Unfinished> {
    loop {
        let Some(row) = row(engine).await? else { return Ok(()) };
        if !decode::<Marker>(&row, "the marker of a copy")?.finished {
            return Err(Unfinished::Copy);
        }
        if change(engine, Some(row), Write::Delete(name())).await? {
            return Ok(());
        }
    }
}

pub(super) async fn read(engine: &dyn Engine) -> Result<Option<Marker>> {
    row(engine).await?.map(|row| decode(&row, "the marker of a copy")).transpose()
}

impl Marker {
    /// The marker that copies of this installation bear; `None` if there is none.
    pub(super) async fn of(source: &dyn Engine) -> Result<Option<Marker>> {
        let account = account::read_account(source).await?;
        Ok(account.map(|(account, created_ms)| Marker {
            uin: account.uin.get(),
            appid: account.appid.get(),
            created_ms,
            finished: false,
        }))
    }

    /// Marks the target as unfinished, unless it is not to be written. Whether it was
    /// empty.
    pub(super) async fn begin(&self, target: &dyn Engine) -> Result<bool, TransferError> {
        loop {
            let before = row(target).await?;
            match &before {
                None if !is_empty(target).await? => return Err(TransferError::TargetInUse),
                None => {}
                Some(row) => {
                    let marker: Marker = decode(row, "the marker of a copy")?;
                    if (Marker { finished: false, ..marker }) != *self {
                        return Err(TransferError::TargetOfAnother);
                    }
                }
            }
            let is_fresh = before.is_none();
            if change(target, before, Write::Put(name(), encode(self))).await? {
                return Ok(is_fresh);
            }
        }
    }

    pub(super) async fn finish(&self, target: &dyn Engine) -> Result<(), TransferError> {
        let finished = Marker { finished: true, ..self.clone() };
        let before = Some(encode(self));
        match change(target, before, Write::Put(name(), encode(&finished))).await? {
            true => Ok(()),
            false => Err(TransferError::TargetOpen),
        }
    }
}

fn name() -> RowRef {
    RowRef::only(Table::Installation)
}

async fn row(engine: &dyn Engine) -> Result<Option<Bytes>> {
    let rows = engine.index().read(Partition::System, GROUP, &[name()]).await?;
    Ok(rows.into_iter().next().flatten())
}

/// `false` when the row is not what it was.
async fn change(engine: &dyn Engine, before: Option<Bytes>, write: Write) -> Result<bool> {
    let commit = Commit {
        partition: Partition::System,
        group: Bytes::from_static(GROUP),
        expects: vec![unchanged(Table::Installation, Bytes::new(), &before)],
        writes: vec![write],
        tallies: Tallies::default(),
    };
    match engine.index().commit(commit).await {
        Ok(()) => Ok(true),
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(CommitError::Engine(error)) => Err(error.into()),
        Err(error) => Err(Error::Internal(format!("marking a copy: {error}"))),
    }
}

async fn is_empty(engine: &dyn Engine) -> Result<bool> {
    for table in Table::ALL {
        let found = rows(engine, Partition::System, table, ScanRange::all(), 1).await?;
        if !found.is_empty() {
            return Ok(false);
        }
    }
    Ok(engine.index().partitions().await?.is_empty())
}
