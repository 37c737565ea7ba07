//! The rows that a bucket's counts are kept in, and reading them over a span of time.
//!
//! All are in the group of the bucket's name, in the system partition, so that they
//! outlive the bucket, and so that what moves from one kind to the next does so in one
//! commit. What begins one is behind the suffix's first byte, in milliseconds (8 bytes,
//! big-endian), so that each kind is in the order of time:
//!
//! | first byte | row |
//! |---|---|
//! | [`TRAFFIC`] | what one process has counted of requests in one slot, by 8 random bytes |
//! | [`SAMPLE`] | what the bucket held from a slot on, if that had changed |
//! | [`BLOCK`] | all of that of a block of slots, once it is over |
//! | [`DAY`] | what a day came to; by the day's number instead of its beginning |
//! | [`LATEST`] | what the bucket held when somebody looked last |

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use super::held::{Held, StorageRecord};
use super::traffic::Figures;
use crate::engine::{Partition, RowRef, ScanRange, Step, Table};
use crate::error::{Error, Result};
use crate::record::decode;
use crate::scan::rows;
use crate::store::Store;

pub(super) const TRAFFIC: u8 = 1;
pub(super) const SAMPLE: u8 = 2;
pub(super) const BLOCK: u8 = 3;
pub(super) const DAY: u8 = 4;
pub(super) const LATEST: u8 = 5;

/// Most that the slots of a block may take.
const BLOCK_BYTES_MAX: usize = 64 << 20;
/// Blocks are kept for months: space counts more than time.
const ZSTD_LEVEL: i32 = 9;

/// What a bucket held from a slot on, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SampleRecord {
    #[prost(message, optional, tag = "1")]
    pub before: Option<Held>,
    #[prost(message, optional, tag = "2")]
    pub held: Option<Held>,
}

/// A block of slots, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CountsBlock {
    /// What the bucket held when it began.
    #[prost(message, optional, tag = "1")]
    pub before: Option<Held>,
    /// Length of the slots.
    #[prost(uint64, tag = "2")]
    pub plain_bytes: u64,
    /// [`Slots`], in a zstd frame.
    #[prost(bytes = "bytes", tag = "3")]
    pub packed: Bytes,
    /// How often slots were put together: 0 never, 1 into spans of five, 2 into one.
    #[prost(uint32, tag = "4")]
    pub grain: u32,
}

/// Slots in which something happened, in the order of time.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Slots {
    #[prost(message, repeated, tag = "1")]
    pub slots: Vec<Slot>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Slot {
    /// Seconds behind the block's beginning.
    #[prost(uint32, tag = "1")]
    pub offset_s: u32,
    #[prost(message, optional, tag = "2")]
    pub figures: Option<Figures>,
    /// What the bucket held from then on, if that had changed.
    #[prost(message, optional, tag = "3")]
    pub held: Option<Held>,
}

/// What a day came to, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DayRecord {
    /// What the bucket held when it began.
    #[prost(message, optional, tag = "1")]
    pub before: Option<Held>,
    #[prost(message, optional, tag = "2")]
    pub figures: Option<Figures>,
    #[prost(message, repeated, tag = "3")]
    pub storage: Vec<StorageRecord>,
}

/// What a bucket held when somebody looked last, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LatestRecord {
    #[prost(message, optional, tag = "1")]
    pub held: Option<Held>,
    /// The first day whose row, if it needs one, is still to be written.
    #[prost(uint64, tag = "2")]
    pub days_from: u64,
    /// When the slot of the last sample began.
    #[prost(uint64, tag = "3")]
    pub sampled_ms: u64,
}

pub(super) fn row(kind: u8, at: u64) -> RowRef {
    RowRef { table: Table::Usage, suffix: suffix(kind, at) }
}

pub(super) fn suffix(kind: u8, at: u64) -> Bytes {
    let mut suffix = vec![kind];
    suffix.extend_from_slice(&at.to_be_bytes());
    suffix.into()
}

pub(super) fn latest_row() -> RowRef {
    RowRef::new(Table::Usage, vec![LATEST])
}

/// What a suffix is of, and the moment or the number in it.
pub(super) fn split(suffix: &[u8]) -> Option<(u8, u64)> {
    let (kind, rest) = suffix.split_first()?;
    if *kind == LATEST && rest.is_empty() {
        return Some((LATEST, 0));
    }
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let wanted = if *kind == TRAFFIC { 8 } else { 0 };
    let is_known = (TRAFFIC..=DAY).contains(kind) && rest.len() == wanted;
    is_known.then(|| (*kind, u64::from_be_bytes(*at)))
}

impl CountsBlock {
    pub(super) fn pack(before: Held, slots: Slots, grain: u32) -> Result<CountsBlock> {
        let plain = slots.encode_to_vec();
        let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL)
            .map_err(|error| Error::Internal(format!("packing: {error}")))?;
        let plain_bytes = plain.len() as u64;
        Ok(CountsBlock { before: Some(before), plain_bytes, packed: packed.into(), grain })
    }

    pub fn slots(&self) -> Result<Vec<Slot>> {
        let plain = usize::try_from(self.plain_bytes).unwrap_or(usize::MAX);
        if plain > BLOCK_BYTES_MAX {
            return Err(Error::Damaged("a block of counts is too large".into()));
        }
        let bytes = zstd::bulk::decompress(&self.packed, plain)
            .map_err(|error| Error::Damaged(format!("a block of counts: {error}")))?;
        Ok(decode::<Slots>(&bytes, "block of counts")?.slots)
    }
}

/// Whether a row can be read, for the check.
pub(crate) fn check_row(suffix: &[u8], value: &[u8]) -> Result<()> {
    match split(suffix) {
        Some((TRAFFIC, _)) => decode::<Figures>(value, "counts of requests").map(drop),
        Some((SAMPLE, _)) => decode::<SampleRecord>(value, "amounts held").map(drop),
        Some((BLOCK, _)) => decode::<CountsBlock>(value, "block of counts")?.slots().map(drop),
        Some((DAY, _)) => decode::<DayRecord>(value, "day of counts").map(drop),
        Some((LATEST, _)) => decode::<LatestRecord>(value, "latest amounts").map(drop),
        _ => Err(Error::Damaged("a row of counts is of no known kind".into())),
    }
}

/// What was counted of a bucket in some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// What it held at the beginning.
    pub before: Held,
    /// What it held from a moment on, if that had changed.
    pub changes: BTreeMap<u64, Held>,
    /// What requests have done, by the period of time in which they did.
    pub figures: BTreeMap<u64, Figures>,
}

/// Rows of one bucket, as a scan meets them.
#[derive(Default)]
struct Found {
    traffic: Vec<(u64, Bytes, Figures)>,
    samples: Vec<(u64, SampleRecord)>,
    blocks: Vec<(u64, CountsBlock)>,
    day: Option<(u64, DayRecord)>,
    latest: Option<LatestRecord>,
    error: Option<Error>,
}

/// Whether there is more to come of what was counted under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Motion {
    /// Nothing is held, and all that ever was is days, which stay as they are.
    Rests,
    /// There are blocks, which get coarser and go.
    Settles,
    /// There are slots that no block has yet, or something is held.
    Stirs,
}

impl Store {
    /// How much of the bucket of a name is still to be done.
    pub(super) async fn motion(&self, group: &Bytes) -> Result<Motion> {
        // Rows of the kinds that go into others sort before those that stay.
        let range = ScanRange::group(group.clone());
        let page = rows(&*self.engine, Partition::System, Table::Usage, range, 1).await?;
        let motion = match page.first().and_then(|row| split(&row.suffix)) {
            Some((TRAFFIC | SAMPLE, _)) => return Ok(Motion::Stirs),
            Some((BLOCK, _)) => Motion::Settles,
            _ => Motion::Rests,
        };
        let (_, latest) = self.latest_held(group).await?;
        let held = latest.and_then(|latest| latest.held);
        Ok(if held.is_none_or(|held| held.is_empty()) { motion } else { Motion::Stirs })
    }

    pub(super) async fn latest_held(
        &self,
        group: &Bytes,
    ) -> Result<(Option<Bytes>, Option<LatestRecord>)> {
        let value = self.read_row(Partition::System, group, latest_row()).await?;
        let latest = value.as_ref().map(|value| decode(value, "latest amounts")).transpose()?;
        Ok((value, latest))
    }

    /// What was counted of the bucket of a name from one moment to another, whether it
    /// still is there or not. `period` tells which period a slot belongs to that begins
    /// at a moment.
    ///
    /// Memory grows with the number of periods and changes.
    pub async fn usage_series(
        &self,
        name: &str,
        (from_ms, to_ms): (u64, u64),
        period: impl Fn(u64) -> u64 + Send + Sync,
    ) -> Result<Series> {
        let group = Bytes::copy_from_slice(name.as_bytes());
        loop {
            let found = self.find_usage(&group, (from_ms, to_ms)).await?;
            let again = self.find_traffic(&group).await?;
            // What went meanwhile is in a block that may have been read before.
            let remains = |row: &(u64, Bytes, Figures)| again.contains_key(&row.1);
            if found.traffic.iter().all(remains) {
                return found.series((from_ms, to_ms), self.usage_calendar(), &period);
            }
        }
    }

    async fn find_usage(&self, group: &Bytes, (from_ms, to_ms): (u64, u64)) -> Result<Found> {
        let calendar = self.usage_calendar();
        let from_ms = calendar.block(from_ms);
        let traffic = (suffix(TRAFFIC, from_ms), suffix(TRAFFIC, to_ms));
        let samples = (suffix(SAMPLE, from_ms), suffix(BLOCK, 0));
        let blocks = (suffix(BLOCK, from_ms), suffix(DAY, 0));
        // The first one that is whole tells what was held before.
        let day = calendar.day(from_ms + calendar.day_ms - 1);
        let days = (suffix(DAY, day), suffix(LATEST, 0));
        let latest = (vec![LATEST].into(), vec![LATEST + 1].into());
        let mut found = Found::default();
        for (begin, end) in [traffic, samples, blocks, days, latest] {
            found = self.scan_usage(group, begin, end, to_ms, found).await?;
        }
        match found.error.take() {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    async fn scan_usage(
        &self,
        group: &Bytes,
        begin: Bytes,
        end: Bytes,
        to_ms: u64,
        found: Found,
    ) -> Result<Found> {
        let found = Arc::new(Mutex::new(found));
        let visit = {
            let found = found.clone();
            move |_: &[u8], suffix: &[u8], value: &[u8]| {
                if suffix >= &end[..] {
                    return Step::Stop;
                }
                let mut found = found.lock();
                found.meet(suffix, value, to_ms).unwrap_or_else(|error| {
                    found.error = Some(error);
                    Step::Stop
                })
            }
        };
        let range = ScanRange { start_suffix: begin, ..ScanRange::group(group.clone()) };
        let index = self.engine.index();
        index.scan(Partition::System, Table::Usage, range, Box::new(visit)).await?;
        let found = std::mem::take(&mut *found.lock());
        Ok(found)
    }

    /// Names of the rows of slots that are in no block yet.
    async fn find_traffic(&self, group: &Bytes) -> Result<BTreeMap<Bytes, ()>> {
        let found = Arc::new(Mutex::new(BTreeMap::new()));
        let visit = {
            let found = found.clone();
            move |_: &[u8], suffix: &[u8], _: &[u8]| {
                if suffix.first() != Some(&TRAFFIC) {
                    return Step::Stop;
                }
                found.lock().insert(Bytes::copy_from_slice(suffix), ());
                Step::Next
            }
        };
        let range = ScanRange::group(group.clone());
        let index = self.engine.index();
        index.scan(Partition::System, Table::Usage, range, Box::new(visit)).await?;
        let found = std::mem::take(&mut *found.lock());
        Ok(found)
    }
}

impl Found {
    fn meet(&mut self, suffix: &[u8], value: &[u8], to_ms: u64) -> Result<Step> {
        match split(suffix) {
            Some((TRAFFIC, at)) => {
                let figures = decode(value, "counts of requests")?;
                self.traffic.push((at, Bytes::copy_from_slice(suffix), figures));
            }
            Some((SAMPLE, at)) => {
                self.samples.push((at, decode(value, "amounts held")?));
                return Ok(if at < to_ms { Step::Next } else { Step::Stop });
            }
            Some((BLOCK, at)) => {
                self.blocks.push((at, decode(value, "block of counts")?));
                return Ok(if at < to_ms { Step::Next } else { Step::Stop });
            }
            Some((DAY, at)) => {
                self.day = Some((at, decode(value, "day of counts")?));
                return Ok(Step::Stop);
            }
            Some((LATEST, _)) => self.latest = Some(decode(value, "latest amounts")?),
            _ => {}
        }
        Ok(Step::Next)
    }

    fn series(
        self,
        (from_ms, to_ms): (u64, u64),
        calendar: super::UsageCalendar,
        period: &impl Fn(u64) -> u64,
    ) -> Result<Series> {
        // The first row that tells, in the order of time.
        let sample = self.samples.first().map(|(at, sample)| (*at, &sample.before));
        let block = self.blocks.first().map(|(at, block)| (*at, &block.before));
        let day = self.day.as_ref().map(|(at, day)| (calendar.day_begin(*at), &day.before));
        let first = [sample, block, day].into_iter().flatten().min_by_key(|(at, _)| *at);
        let before = match (first, &self.latest) {
            (Some((_, before)), _) => before.clone(),
            (None, Some(latest)) => latest.held.clone(),
            (None, None) => None,
        };
        let mut series = Series { before: before.unwrap_or_default(), ..Series::default() };
        let mut slot = |at: u64, figures: Option<Figures>, held: Option<Held>| {
            if at >= to_ms {
                return;
            }
            if let Some(held) = held {
                series.changes.insert(at, held);
            }
            if let Some(figures) = figures.filter(|_| at >= from_ms) {
                series.figures.entry(period(at)).or_default().add_all(&figures);
            }
        };
        for (at, _, figures) in self.traffic {
            slot(at, Some(figures), None);
        }
        for (at, block) in &self.blocks {
            if *at < to_ms {
                for Slot { offset_s, figures, held } in block.slots()? {
                    slot(at + u64::from(offset_s) * 1000, figures, held);
                }
            }
        }
        for (at, sample) in self.samples {
            slot(at, None, Some(sample.held.unwrap_or_default()));
        }
        // What was held at the beginning follows from what came before it.
        let later = series.changes.split_off(&from_ms);
        if let Some((_, held)) = series.changes.pop_last() {
            series.before = held;
        }
        series.changes = later;
        Ok(series)
    }
}
