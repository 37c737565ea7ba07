//! Walks over a table's rows.

use std::ops::Bound;

use bytes::Bytes;
use costrel_core::engine::{EngineError, Partition, ScanRange, Step, Table, Visitor};
use fjall::Readable;

use super::fetch::fetch;
use super::key;
use super::store::{Store, engine_error, stored};
use crate::bodies::BodyLog;

/// Rows that are stepped over before a seek is made: opening an iterator costs
/// about as much as walking over this many rows.
const STEPS_BEFORE_SEEK: usize = 16;

/// Visits rows until the range ends or the visitor stops. Blocks.
pub(super) fn scan(
    store: &Store,
    log: &BodyLog,
    partition: Partition,
    table: Table,
    range: &ScanRange,
    visitor: &mut Visitor,
) -> Result<(), EngineError> {
    let mut walked = 0;
    let counted = |group: &[u8], suffix: &[u8], value: &[u8]| {
        walked += 1;
        visitor(group, suffix, value)
    };
    walk(store, log, partition, table, range, counted)?;
    store.tidy_after_scan(table, walked);
    Ok(())
}

fn walk(
    store: &Store,
    log: &BodyLog,
    partition: Partition,
    table: Table,
    range: &ScanRange,
    mut visitor: impl FnMut(&[u8], &[u8], &[u8]) -> Step,
) -> Result<(), EngineError> {
    let (keyspace, snapshot) = (store.keyspace(table), store.snapshot());
    let prefix_len = key::partition_prefix(partition).len();
    let end = match &range.end_group {
        Some(group) => key::group_prefix(partition, group),
        None => key::partition_end(partition),
    };
    let mut start = key::row_key(partition, &range.start_group, &range.start_suffix);
    'seek: while start < end {
        let bounds = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
        let mut target: Option<Vec<u8>> = None;
        let mut stepped = 0;
        for row in snapshot.range::<&[u8], _>(keyspace, bounds) {
            let (key, value) = match range.names_only {
                true => (row.key().map_err(engine_error)?, None),
                false => {
                    let (key, value) = row.into_inner().map_err(engine_error)?;
                    (key, Some(value))
                }
            };
            if let Some(wanted) = &target {
                if key[..] < wanted[..] {
                    stepped += 1;
                    if stepped > STEPS_BEFORE_SEEK {
                        start.clone_from(wanted);
                        continue 'seek;
                    }
                    continue;
                }
                target = None;
                stepped = 0;
            }
            let Some((group, suffix)) = key::split(&key[prefix_len..]) else {
                return Err(EngineError::Corrupt(format!("row key {key:?} of {table:?}")));
            };
            let value = match value {
                Some(value) => fetch(log, store, &key, stored(table, value)?)?,
                None => Some(Bytes::new()),
            };
            // Without a value it was removed meanwhile.
            let Some(value) = value else { continue };
            match visitor(&group, suffix, &value) {
                Step::Next => {}
                Step::SeekGroup(wanted) if wanted[..] > *group => {
                    target = Some(key::group_prefix(partition, &wanted));
                }
                Step::SeekGroup(_) => {}
                Step::Stop => return Ok(()),
            }
        }
        return Ok(());
    }
    Ok(())
}
