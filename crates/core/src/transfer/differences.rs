//! The rows of one table on both engines, side by side.

use std::cmp::Ordering;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::engine::{Engine, Partition, ScanRange, Table};
use crate::error::Result;
use crate::scan::{OwnedRow, behind, rows};

/// Rows read at once.
const ROWS: usize = 512;

/// A row as both have it; at least one does.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub group: Bytes,
    pub suffix: Bytes,
    pub source: Option<Bytes>,
    pub target: Option<Bytes>,
}

/// Walks over a table's rows on both engines in their order.
pub(super) struct Pairs<'a> {
    source: Rows<'a>,
    target: Rows<'a>,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(
        source: &'a dyn Engine,
        target: &'a dyn Engine,
        partition: Partition,
        table: Table,
    ) -> Self {
        Pairs {
            source: Rows::new(source, partition, table),
            target: Rows::new(target, partition, table),
        }
    }

    /// The target's rows, as if the source had none.
    pub(super) fn of_target(target: &'a dyn Engine, partition: Partition, table: Table) -> Self {
        let source = Rows { rest: None, ..Rows::new(target, partition, table) };
        Pairs { source, target: Rows::new(target, partition, table) }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Pair>> {
        let order = match (self.source.first().await?, self.target.first().await?) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(s), Some(t)) => (&s.group, &s.suffix).cmp(&(&t.group, &t.suffix)),
        };
        let source = order.is_le().then(|| self.source.take()).flatten();
        let target = order.is_ge().then(|| self.target.take()).flatten();
        let (source, target, row) = match (source, target) {
            (Some(s), Some(t)) => (Some(s.value.clone()), Some(t.value), s),
            (Some(s), None) => (Some(s.value.clone()), None, s),
            (None, Some(t)) => (None, Some(t.value.clone()), t),
            (None, None) => return Ok(None),
        };
        Ok(Some(Pair { group: row.group, suffix: row.suffix, source, target }))
    }
}

/// All rows of a table, a page at a time.
struct Rows<'a> {
    engine: &'a dyn Engine,
    partition: Partition,
    table: Table,
    page: VecDeque<OwnedRow>,
    /// What is behind the page; `None` at the end.
    rest: Option<ScanRange>,
}

impl<'a> Rows<'a> {
    fn new(engine: &'a dyn Engine, partition: Partition, table: Table) -> Self {
        let rest = Some(ScanRange::all());
        Rows { engine, partition, table, page: VecDeque::new(), rest }
    }

    async fn first(&mut self) -> Result<Option<&OwnedRow>> {
        if self.page.is_empty()
            && let Some(range) = self.rest.take()
        {
            let page = rows(self.engine, self.partition, self.table, range, ROWS).await?;
            self.rest = behind(&page).filter(|_| page.len() == ROWS);
            self.page = page.into();
        }
        Ok(self.page.front())
    }

    fn take(&mut self) -> Option<OwnedRow> {
        self.page.pop_front()
    }
}
