//! Ordered scans, page by page and shard by shard.

use costrel_core::engine::{EngineError, Partition, ScanRange, Step, Table, Visitor};

use super::key::{self, Place};
use super::{RadosIndex, Stale};

/// Rows of a scan's first page if nobody knows how many are wanted, and of the first
/// after a seek that left its page: few, because who seeks wants few.
const FIRST_PAGE: usize = 128;
const SEEK_PAGE: usize = 4;
/// Most rows of a page; what an OSD gives at once by default.
const PAGE_MAX: usize = 1024;
/// The same where values are large.
const LARGE_PAGE_MAX: usize = 64;

impl RadosIndex {
    pub(super) async fn visit(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
        mut visitor: Visitor,
    ) -> Result<(), EngineError> {
        let end = range.end_group.as_deref().map(|end| Place::group(table, &key::escape(end)));
        let past_end = |key: &[u8]| end.as_ref().is_some_and(|end| key >= &end.after[..]);
        let most = if table.has_large_values() { LARGE_PAGE_MAX } else { PAGE_MAX };
        let mut size = match range.rows_wanted {
            0 => FIRST_PAGE,
            wanted => wanted,
        }
        .min(most);
        let mut visited = 0;
        let mut place = Place::start(table, &range);
        let mut stale = Stale::new(&self.context, partition);
        while !past_end(&place.after) {
            let Some(layout) = self.layouts.get(&self.context, partition).await? else {
                return Ok(());
            };
            let (shard, next_low) = layout.find(place.escaped_group());
            let page = match shard.page(&self.context, table, &place, size).await? {
                Some((header, page)) if header.phase.is_readable() => page,
                _ => {
                    layout.outdate();
                    stale.again().await?;
                    continue;
                }
            };
            let (mut left_page, mut last) = (false, None);
            for (key, value) in &page.rows {
                if key[..] <= place.after[..] && place.first.as_deref() != Some(&key[..]) {
                    continue;
                }
                if past_end(key) {
                    return Ok(());
                }
                let (group, suffix) = key::split(key).ok_or_else(|| {
                    self.context.meta.status().corrupt(format!("{}: a row's key", shard.object))
                })?;
                visited += 1;
                match visitor(&group, &suffix, value) {
                    Step::Stop => return Ok(()),
                    Step::SeekGroup(to) if to[..] > *group => {
                        place = Place::group(table, &key::escape(&to));
                        (left_page, last) = (true, None);
                    }
                    Step::Next | Step::SeekGroup(_) => (left_page, last) = (false, Some(key)),
                }
            }
            if let Some(key) = last {
                place = Place::behind(key.to_vec());
            }
            if !page.more {
                let Some(low) = next_low else { return Ok(()) };
                if place.escaped_group() < low {
                    place = Place::group(table, low);
                }
            }
            stale = Stale::new(&self.context, partition);
            size = match range.rows_wanted.checked_sub(visited) {
                _ if left_page => SEEK_PAGE,
                Some(left @ 1..) => left.min(most),
                _ => (size * 4).min(most),
            };
        }
        Ok(())
    }
}
