//! Bodies on the target that may be named by nothing: begun by a pass that was
//! interrupted, or named by a row that was replaced.
//!
//! Each is named by a pending row of its group. Whether something else names it is
//! looked at when all rows are in place, since a body may go from one row to another:
//! the object of a key becomes one of its versions.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::engine::{Commit, CommitError, Engine, Partition, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::naming::{Named, Place, retain_unnamed};
use crate::record::{PendingRecord, blob_id, decode, encode};
use crate::scan::{OwnedRow, behind, rows};
use crate::tier::blobs;

/// Rows looked at, and changed, at once.
const ROWS: usize = 256;

/// Between the id and the suffix of a body's row in the name of a leftover.
const IN_ROW: u8 = 1;

/// The row that names a leftover.
pub(super) fn row(body: &Named) -> RowRef {
    let mut suffix = body.id.to_vec();
    if let Place::Row(of) = &body.place {
        suffix.push(IN_ROW);
        suffix.extend_from_slice(of);
    }
    RowRef::new(Table::Pending, suffix)
}

pub(super) fn note(body: &Named) -> Write {
    let place = match &body.place {
        Place::Blob(Some(name)) => name.to_string(),
        Place::Blob(None) | Place::Row(_) => String::new(),
    };
    let record = PendingRecord { started_ms: 0, writer: Bytes::from_static(b"copy"), place };
    Write::Put(row(body), encode(&record))
}

fn noted(row: &OwnedRow) -> Result<Named> {
    let suffix = &row.suffix;
    let (id, place) = match suffix.len() {
        0..=15 => return Err(Error::Damaged("a pending row of a copy has a wrong name".into())),
        16 => {
            let record: PendingRecord = decode(&row.value, "pending record")?;
            let name = (!record.place.is_empty()).then(|| record.place.into());
            (suffix.clone(), Place::Blob(name))
        }
        _ => (suffix.slice(..16), Place::Row(suffix.slice(17..))),
    };
    Ok(Named { id, place })
}

/// Frees what nothing names, in one partition of the target.
pub(super) async fn free(target: &dyn Engine, partition: Partition) -> Result<()> {
    let mut range = ScanRange::all();
    loop {
        let page = rows(target, partition, Table::Pending, range, ROWS).await?;
        let Some(next) = behind(&page) else { return Ok(()) };
        for of_group in page.chunk_by(|one, other| one.group == other.group) {
            free_of_group(target, partition, of_group).await?;
        }
        range = next;
    }
}

async fn free_of_group(
    target: &dyn Engine,
    partition: Partition,
    leftovers: &[OwnedRow],
) -> Result<()> {
    let Some(OwnedRow { group, .. }) = leftovers.first() else { return Ok(()) };
    let bodies: Result<Vec<Named>> = leftovers.iter().map(noted).collect();
    let mut unnamed: BTreeSet<Named> = bodies?.into_iter().collect();
    retain_unnamed(target, partition, group, &mut unnamed).await?;
    let mut writes: Vec<Write> = Vec::new();
    for body in unnamed {
        match &body.place {
            Place::Blob(place) => {
                blobs(target, place.as_deref())?.delete(blob_id(&body.id)?).await?;
            }
            Place::Row(suffix) => {
                let row = RowRef { table: Table::Body, suffix: suffix.clone() };
                let rows = [row.clone()];
                let found = target.index().read(partition, group, &rows).await?;
                // Else another body has taken its place.
                if found.into_iter().flatten().any(|value| value.starts_with(&body.id)) {
                    writes.push(Write::Delete(row));
                }
            }
        }
    }
    let notes = leftovers.iter().map(|row| RowRef::new(Table::Pending, row.suffix.clone()));
    writes.extend(notes.map(Write::Delete));
    commit(target, partition, group, writes).await
}

/// Writes to the target, which nobody else does.
pub(super) async fn commit(
    target: &dyn Engine,
    partition: Partition,
    group: &Bytes,
    writes: Vec<Write>,
) -> Result<()> {
    let commit = Commit::new(partition, group.clone(), Vec::new(), writes);
    match target.index().commit(commit).await {
        Ok(()) => Ok(()),
        Err(CommitError::Engine(error)) => Err(error.into()),
        Err(error) => Err(Error::Internal(format!("writing to the copy: {error}"))),
    }
}
