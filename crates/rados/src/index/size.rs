//! How large a shard is.
//!
//! Each gateway leaves in its own row of a shard by how much its commits have made
//! the shard grow, as far as commits tell: the sum over gateways, and what there
//! was to begin with, says when it is worth looking. Whoever looks counts.

use std::ops::AddAssign;

use bytes::Bytes;
use costrel_core::engine::{EngineError, ScanRange, Table, Tallies};

use super::header::Header;
use super::key::{self, HEADER, MARKER, Place};
use super::shard::{Context, Shard};
use crate::ffi::Errno;
use crate::remote::expect_equal;

/// The row that says how large a shard was when somebody counted.
pub(super) const BASE: &[u8] = b"n";
/// Length of an encoded size.
const BYTES: usize = 16;

const PAGE: usize = 512;
/// Groups that are remembered of a shard that is counted.
const SAMPLES: i64 = 4096;

/// Rows, and bytes of their keys and values. Negative where a shard has shrunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub rows: i64,
    pub bytes: i64,
}

impl Size {
    pub(super) fn of(key: &[u8], value: &[u8]) -> Size {
        Size { rows: 1, bytes: (key.len() + value.len()) as i64 }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        [self.rows.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Size> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| Some(i64::from_be_bytes(bytes[at..at + 8].try_into().ok()?));
        Some(Size { rows: number(0)?, bytes: number(8)? })
    }

    pub(super) fn minus(self, other: Size) -> Size {
        Size { rows: self.rows - other.rows, bytes: self.bytes - other.bytes }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Size) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// What a shard seems to hold.
pub(super) struct Estimate {
    pub header: Header,
    pub size: Size,
    /// The part of it that gateways have left in their rows.
    growth: Size,
}

/// What a shard holds.
pub(super) struct Count {
    pub size: Size,
    /// Groups, escaped, in order; each row is as likely to be among them.
    pub samples: Vec<Vec<u8>>,
    /// The first and the last group.
    pub ends: Option<(Vec<u8>, Vec<u8>)>,
}

impl Shard {
    /// `None` when the shard is not there.
    pub(super) async fn estimate(
        &self,
        context: &Context,
    ) -> Result<Option<Estimate>, EngineError> {
        let (mut growth, mut after) = (Size::default(), vec![MARKER]);
        loop {
            let Some(page) = self.rows(context, &[BASE], &[MARKER], &after, PAGE).await? else {
                return Ok(None);
            };
            for (_, value) in &page.rows {
                growth += marker_growth(value);
            }
            match page.rows.last() {
                Some((key, _)) if page.more => after = key.to_vec(),
                _ => {
                    let mut size = Shard::value(&page.keys, BASE).and_then(|row| Size::decode(row));
                    let size = size.get_or_insert_default();
                    *size += growth;
                    return Ok(Some(Estimate { header: page.header, size: *size, growth }));
                }
            }
        }
    }

    /// Reads all rows. `None` when the shard is not there any more.
    pub(super) async fn count(
        &self,
        context: &Context,
        expected: Size,
    ) -> Result<Option<Count>, EngineError> {
        let every = (expected.rows / SAMPLES).max(1);
        let mut count = Count { size: Size::default(), samples: Vec::new(), ends: None };
        for table in Table::ALL {
            let mut place = Place::start(table, &ScanRange::all());
            loop {
                let Some((_, page)) = self.page(context, table, &place, PAGE).await? else {
                    return Ok(None);
                };
                for (key, value) in &page.rows {
                    let Some(group) = key::group_of(key) else { continue };
                    count.size += Size::of(key, value);
                    if count.size.rows % every == 0 {
                        count.samples.push(group.to_vec());
                    }
                    count.include(group);
                }
                match page.rows.last() {
                    Some((key, _)) if page.more => place = Place::behind(key.to_vec()),
                    _ => break,
                }
            }
        }
        count.samples.sort_unstable();
        Ok(Some(count))
    }

    /// Corrects what the shard says about itself.
    pub(super) async fn leave_size(
        &self,
        context: &Context,
        estimate: &Estimate,
        counted: Size,
    ) -> Result<(), EngineError> {
        let mut op = context.meta.write_op();
        expect_equal(&mut op, HEADER, &estimate.header.encode());
        op.set(&[(BASE, counted.minus(estimate.growth).encode())]);
        match context.meta.apply(&self.object, op).await {
            // It is asked again when it grows.
            Ok(()) | Err(Errno::CANCELED | Errno::NOENT) => Ok(()),
            Err(errno) => Err(context.meta.error("leaving a shard's size", errno)),
        }
    }
}

impl Count {
    fn include(&mut self, group: &[u8]) {
        match &mut self.ends {
            None => self.ends = Some((group.to_vec(), group.to_vec())),
            Some((first, _)) if group < &first[..] => *first = group.to_vec(),
            Some((_, last)) if group > &last[..] => *last = group.to_vec(),
            Some(_) => {}
        }
    }

    /// Where so many parts of about the same number of rows begin, but for the
    /// first. Fewer, or none, when few groups hold most rows.
    pub(super) fn cuts(&self, parts: usize) -> Vec<Vec<u8>> {
        let Some((first, last)) = &self.ends else { return Vec::new() };
        let mut cuts: Vec<Vec<u8>> = Vec::new();
        for part in 1..parts {
            // The first group has to stay before the cut.
            let at = self.samples.len() * part / parts;
            let cut =
                self.samples[at.min(self.samples.len())..].iter().find(|group| *group > first);
            if let Some(cut) = cut.filter(|cut| cuts.last() != Some(*cut)) {
                cuts.push(cut.clone());
            }
        }
        if cuts.is_empty() && last > first {
            cuts.push(last.clone());
        }
        cuts
    }
}

/// The value of a gateway's row: the number of its last commit, by how much its
/// commits have made the shard grow, and by how much they have moved counters.
pub(super) fn marker_value(number: &[u8; 8], growth: Size, counters: &Tallies) -> Bytes {
    [&number[..], &growth.encode(), &counters.encode()].concat().into()
}

const NUMBER_BYTES: usize = 8;

pub(super) fn marker_growth(value: &[u8]) -> Size {
    let growth = value.get(NUMBER_BYTES..NUMBER_BYTES + BYTES);
    growth.and_then(Size::decode).unwrap_or_default()
}

pub(super) fn marker_counters(value: &[u8]) -> Result<Tallies, EngineError> {
    Tallies::decode(value.get(NUMBER_BYTES + BYTES..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use costrel_core::engine::{Counter, Tally};

    use super::*;

    fn check(groups: &[&str], parts: usize, want: &[&str]) {
        let mut count = Count { size: Size::default(), samples: Vec::new(), ends: None };
        for group in groups {
            count.samples.push(group.as_bytes().to_vec());
            count.include(group.as_bytes());
        }
        count.samples.sort_unstable();
        let cuts = count.cuts(parts);
        let cuts: Vec<_> = cuts.iter().map(|cut| std::str::from_utf8(cut).unwrap()).collect();
        assert_eq!(cuts, want, "{groups:?} in {parts}");
    }

    #[test]
    fn a_shard_is_cut_between_groups() {
        check(&["a", "b", "c", "d"], 2, &["c"]);
        check(&["d", "a", "c", "b", "f", "e"], 3, &["c", "e"]);
        check(&["a", "a", "a", "b"], 2, &["b"]);
        check(&["a", "b", "b", "b"], 2, &["b"]);
        check(&["a", "b", "b", "b", "b", "c"], 4, &["b"]);
        check(&["a", "a", "a"], 2, &[]);
        check(&[], 2, &[]);
    }

    #[test]
    fn a_group_that_no_sample_shows_can_be_a_cut() {
        let mut count = Count { size: Size::default(), samples: vec![b"a".to_vec()], ends: None };
        count.include(b"a");
        count.include(b"z");
        assert_eq!(count.cuts(2), [b"z".to_vec()]);
    }

    #[test]
    fn sizes_come_back() {
        let size = Size { rows: -3, bytes: 1 << 40 };
        assert_eq!(Size::decode(&size.encode()), Some(size));
        assert_eq!(Size::decode(b"short"), None);
        let mut counters = Tallies::default();
        counters.add(Counter(3), Tally { count: 1, bytes: -2 });
        let marker = marker_value(&[7; 8], size, &counters);
        assert_eq!((&marker[..8], marker_growth(&marker)), (&[7; 8][..], size));
        assert_eq!(marker_counters(&marker).unwrap(), counters);
        // As it was before there were counters.
        assert_eq!(marker_growth(&marker[..24]), size);
        assert!(marker_counters(&marker[..24]).unwrap().is_empty());
        assert!(marker_counters(&marker[..30]).is_err());
    }
}
