//! Collecting rows from an engine's scan.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::engine::{Engine, Partition, ScanRange, Step, Table};
use crate::error::Result;

pub(crate) struct OwnedRow {
    pub group: Bytes,
    pub suffix: Bytes,
    pub value: Bytes,
}

/// The range behind a page of rows; `None` when the page is empty.
pub(crate) fn behind(page: &[OwnedRow]) -> Option<ScanRange> {
    let last = page.last()?;
    let mut suffix = last.suffix.to_vec();
    suffix.push(0);
    Some(ScanRange {
        start_group: last.group.clone(),
        start_suffix: suffix.into(),
        ..ScanRange::default()
    })
}

/// The first `limit` rows of a range.
pub(crate) async fn rows(
    engine: &dyn Engine,
    partition: Partition,
    table: Table,
    range: ScanRange,
    limit: usize,
) -> Result<Vec<OwnedRow>> {
    let range = ScanRange { rows_wanted: limit, ..range };
    let found = Arc::new(Mutex::new(Vec::new()));
    let visit = {
        let found = found.clone();
        move |group: &[u8], suffix: &[u8], value: &[u8]| {
            let mut found = found.lock();
            if found.len() == limit {
                return Step::Stop;
            }
            found.push(OwnedRow {
                group: Bytes::copy_from_slice(group),
                suffix: Bytes::copy_from_slice(suffix),
                value: Bytes::copy_from_slice(value),
            });
            match found.len() < limit {
                true => Step::Next,
                false => Step::Stop,
            }
        }
    };
    engine.index().scan(partition, table, range, Box::new(visit)).await?;
    let found = std::mem::take(&mut *found.lock());
    Ok(found)
}
