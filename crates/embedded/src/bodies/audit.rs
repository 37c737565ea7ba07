//! Compares what the segments hold with what the rows name.

use std::io;

use costrel_core::engine::EngineError;

use super::place::PAGE_BYTES;
use super::{BodyLog, Extent};

/// Pages that are read at once.
const READ_PAGES: u32 = 256;

impl BodyLog {
    /// What is wrong or left over, when rows name the bodies `live` and know that
    /// those in `dead` are to be given back. Blocks.
    pub(crate) fn audit(
        &self,
        mut live: Vec<Extent>,
        dead: Vec<Extent>,
    ) -> Result<Vec<String>, EngineError> {
        live.sort_unstable();
        let mut findings = Vec::new();
        for pair in live.windows(2) {
            if pair[0].segment == pair[1].segment && pair[0].end() > pair[1].page {
                findings.push(format!("two bodies share pages: {:?} and {:?}", pair[0], pair[1]));
            }
        }
        let mut known = live;
        known.extend(dead);
        known.sort_unstable();
        known.dedup();
        for used in self.used().map_err(|e| EngineError::io("looking at bodies", e))? {
            for unknown in without(used, &known) {
                let left = self.has_bytes(unknown);
                if left.map_err(|e| EngineError::io("looking at bodies", e))? {
                    findings.push(format!(
                        "{} pages of segment {:08x} from page {} on belong to nothing",
                        unknown.pages, unknown.segment, unknown.page
                    ));
                }
            }
        }
        Ok(findings)
    }

    /// The pages that take space.
    fn used(&self) -> io::Result<Vec<Extent>> {
        let mut used = Vec::new();
        for segment in self.segments()? {
            let file = self.file(segment)?;
            let mut offset = 0;
            while let Some(data) = file.next_data(offset)? {
                offset = data.end;
                let page = data.start / PAGE_BYTES as u64;
                let end = data.end.div_ceil(PAGE_BYTES as u64);
                used.push(Extent { segment, page: page as u32, pages: (end - page) as u32 });
            }
        }
        Ok(used)
    }

    /// Whether anything but zeros is there: a file system may free in larger units
    /// than pages and clear the rest.
    fn has_bytes(&self, extent: Extent) -> io::Result<bool> {
        let file = self.file(extent.segment)?;
        let len = file.len()?;
        let mut page = extent.page;
        while page < extent.end() {
            let pages = READ_PAGES.min(extent.end() - page);
            let part = Extent { segment: extent.segment, page, pages };
            let mut bytes = vec![0; part.len().min(len.saturating_sub(part.offset())) as usize];
            file.read_at(&mut bytes, part.offset())?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            page += pages;
        }
        Ok(false)
    }
}

/// The parts of an extent that none of the known ones has; they are sorted, and no
/// two of them share pages.
fn without(extent: Extent, known: &[Extent]) -> Vec<Extent> {
    let mut left = Vec::new();
    let mut page = extent.page;
    let before = |known: &Extent| (known.segment, known.end()) <= (extent.segment, extent.page);
    let first = known.partition_point(before);
    for known in &known[first..] {
        if known.segment > extent.segment || known.page >= extent.end() {
            break;
        }
        if known.page > page {
            left.push(Extent { page, pages: known.page - page, ..extent });
        }
        page = page.max(known.end());
    }
    if page < extent.end() {
        left.push(Extent { page, pages: extent.end() - page, ..extent });
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_taken_away() {
        let extent = |segment, page, pages| Extent { segment, page, pages };
        let known = [extent(1, 0, 50), extent(2, 2, 2), extent(2, 4, 2), extent(2, 8, 1)];
        assert_eq!(without(extent(1, 3, 4), &known), []);
        assert_eq!(without(extent(3, 3, 4), &known), [extent(3, 3, 4)]);
        assert_eq!(without(extent(2, 6, 2), &known), [extent(2, 6, 2)]);
        let left = [extent(2, 0, 2), extent(2, 6, 2), extent(2, 9, 1)];
        assert_eq!(without(extent(2, 0, 10), &known), left);
    }
}
