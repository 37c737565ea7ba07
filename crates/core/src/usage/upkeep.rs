//! The job that looks what buckets hold and puts counts together.
//!
//! At the end of each period it writes down what has changed of what buckets hold. What
//! processes have counted in the slots of a block becomes one row when the block is
//! over, and a day's blocks become the day's row; in the end blocks get coarser, and go.
//! Each step is one commit of one group, which takes away what it puts together, so any
//! process may repeat or go on with what another has begun, and a step that meets what
//! changed meanwhile is done anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::UsageCalendar;
use super::days::day_record;
use super::held::{Held, StorageRecord};
use super::series::{
    BLOCK, CountsBlock, DAY, DayRecord, LatestRecord, Motion, SAMPLE, SampleRecord, Slot, Slots,
    TRAFFIC, latest_row, row, split, suffix,
};
use super::traffic::Figures;
use crate::claim::{self, Claim};
use crate::engine::{BucketId, Expect, Partition, RowRef, ScanRange, Table, Write};
use crate::error::{Error, Result};
use crate::record::{BucketRecord, decode, encode};
use crate::scan::{OwnedRow, behind, rows};
use crate::store::{Store, unchanged};

/// Rows that one commit puts together, at most.
const ROWS_AT_ONCE: usize = 64;
/// Days that one commit puts together, at most.
const DAYS_AT_ONCE: u64 = 64;
const PAGE_ROWS: usize = 256;
/// Buckets looked at at once.
const AT_ONCE: usize = 16;
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often names are looked at of which nothing is to be done soon: those of buckets
/// that are gone, which become ever more.
const WHOLE_EVERY: Duration = Duration::from_secs(3600);

/// For so many days slots are kept as they are, then five of them as one, then whole
/// blocks as one, and then only days.
const SLOT_DAYS: u64 = 15;
const FIVE_SLOT_DAYS: u64 = 31;
const BLOCK_DAYS: u64 = 93;

/// What the job has done since the process began.
#[derive(Default, Debug)]
pub struct UsageStats {
    /// Times that it saw that what a bucket holds had changed.
    pub samples: AtomicU64,
    /// Rows of slots that were put together.
    pub slots: AtomicU64,
    /// Days of buckets that were put together.
    pub days: AtomicU64,
    /// Rounds that failed.
    pub failures: AtomicU64,
}

/// Runs in the background for the life of a store, in every process that serves one.
pub struct UsageJob {
    store: Arc<Store>,
    period: Duration,
    claim: Claim,
    stats: Arc<UsageStats>,
    walked: Mutex<Walked>,
}

/// What the last round has left for the next.
#[derive(Default)]
struct Walked {
    /// When all names are to be looked at again.
    whole: Option<Instant>,
    /// Names of buckets that were there, and those of which more is to be done soon.
    stirring: BTreeSet<Bytes>,
}

impl UsageJob {
    /// `period` is how often the job looks what buckets hold.
    pub fn new(store: Arc<Store>, period: Duration) -> UsageJob {
        let claim = Claim::new(store.clone(), "counts");
        let period = period.max(Duration::from_secs(1));
        UsageJob { store, period, claim, stats: Arc::default(), walked: Mutex::default() }
    }

    pub fn stats(&self) -> Arc<UsageStats> {
        self.stats.clone()
    }

    /// Works until the future is dropped. Dropping it at any point is safe.
    pub async fn run(self) {
        tokio::join!(self.store.keep_counts_coming(), self.round_again_and_again());
    }

    async fn round_again_and_again(&self) {
        let period_ms = self.period.as_millis() as u64;
        let mut done = self.store.now_ms() / period_ms;
        loop {
            let now_ms = self.store.now_ms();
            let next = Duration::from_millis(period_ms - now_ms % period_ms);
            let pause = match self.round_of(&mut done, now_ms / period_ms).await {
                Ok(()) => next.min(claim::BEAT),
                Err(error) => {
                    self.stats.failures.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "counts will be put together again");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn round_of(&self, done: &mut u64, period: u64) -> Result<()> {
        // Asked in between, too, so that others see this process alive.
        if self.claim.hold().await? && *done != period {
            self.round().await?;
            *done = period;
        }
        Ok(())
    }

    /// Looks what all buckets hold now, and puts together what is over.
    pub async fn round(&self) -> Result<()> {
        // If this comes to no end, the next looks at all.
        let before = std::mem::take(&mut *self.walked.lock());
        let mut stirring = BTreeSet::new();
        if !self.sample_all(&mut stirring).await? {
            return Ok(());
        }
        let whole = before.whole.filter(|at| Instant::now() < *at);
        if whole.is_some() {
            let names = before.stirring.union(&stirring).cloned().collect();
            if !self.tidy_all(names, &mut stirring).await? {
                return Ok(());
            }
        } else {
            let mut after = String::new();
            loop {
                let names = self.store.buckets_used(&after, PAGE_ROWS).await?;
                let Some(last) = names.last() else { break };
                after.clone_from(last);
                let names = names.into_iter().map(Bytes::from).collect();
                if !self.tidy_all(names, &mut stirring).await? {
                    return Ok(());
                }
            }
        }
        let whole = whole.or_else(|| Some(Instant::now() + WHOLE_EVERY));
        *self.walked.lock() = Walked { whole, stirring };
        Ok(())
    }

    /// Adds to `stirring` what is to be looked at next time. False when the work is another
    /// process's.
    async fn tidy_all(&self, names: Vec<Bytes>, stirring: &mut BTreeSet<Bytes>) -> Result<bool> {
        for name in names {
            if !self.claim.hold().await? {
                return Ok(false);
            }
            let mut motion = Motion::Stirs;
            self.readable(&name, self.tidy(&name, &mut motion).await)?;
            if motion == Motion::Stirs {
                stirring.insert(name);
            }
        }
        Ok(true)
    }

    async fn tidy(&self, group: &Bytes, motion: &mut Motion) -> Result<()> {
        *motion = self.store.motion(group).await?;
        if *motion == Motion::Rests {
            return Ok(());
        }
        self.see_gone(group).await?;
        while self.put_together(group).await? {}
        while self.end_days(group).await? {}
        Ok(())
    }

    /// What cannot be read of one bucket keeps no other waiting.
    fn readable(&self, group: &Bytes, outcome: Result<()>) -> Result<()> {
        let Err(Error::Damaged(what)) = outcome else { return outcome };
        self.stats.failures.fetch_add(1, Relaxed);
        let bucket = String::from_utf8_lossy(group);
        tracing::error!(%bucket, what, "counts of a bucket are damaged");
        Ok(())
    }

    /// Names the buckets that there are. False when the work is another process's.
    async fn sample_all(&self, names: &mut BTreeSet<Bytes>) -> Result<bool> {
        let mut range = ScanRange::all();
        loop {
            let engine = &*self.store.engine;
            let page = rows(engine, Partition::System, Table::Bucket, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(true) };
            if !self.claim.hold().await? {
                return Ok(false);
            }
            names.extend(page.iter().map(|row| row.group.clone()));
            stream::iter(page.into_iter().map(Ok))
                .try_for_each_concurrent(AT_ONCE, |row| self.sample_bucket(row))
                .await?;
            range = next;
        }
    }

    async fn sample_bucket(&self, row: OwnedRow) -> Result<()> {
        // One that cannot be read is the check's to find.
        let Ok(record) = decode::<BucketRecord>(&row.value, "bucket record") else { return Ok(()) };
        let usage = self.store.usage_of(Partition::Bucket(BucketId(record.id))).await?;
        self.readable(&row.group, self.sample(&row.group, Held::of(&usage)).await)
    }

    /// A bucket that is gone holds nothing.
    async fn see_gone(&self, group: &Bytes) -> Result<()> {
        let latest = self.store.latest_held(group).await?.1;
        if latest.and_then(|latest| latest.held).is_none_or(|held| held.is_empty()) {
            return Ok(());
        }
        let bucket = RowRef::only(Table::Bucket);
        match self.store.read_row(Partition::System, group, bucket).await? {
            Some(_) => Ok(()),
            None => self.sample(group, Held::default()).await,
        }
    }

    /// Writes down what a bucket holds from this slot on, if that has changed.
    async fn sample(&self, group: &Bytes, held: Held) -> Result<()> {
        let calendar = self.store.usage_calendar();
        loop {
            let (latest_value, latest) = self.store.latest_held(group).await?;
            let now_ms = self.store.now_ms();
            let latest = latest.unwrap_or_else(|| LatestRecord {
                days_from: calendar.day(now_ms),
                ..LatestRecord::default()
            });
            let before = latest.held.clone().unwrap_or_default();
            if before == held {
                return Ok(());
            }
            // Never before what was seen earlier, whoever's clock said when: the last
            // sample is what counts from then on.
            let sampled_ms = calendar.slot(now_ms).max(latest.sampled_ms);
            let sample = row(SAMPLE, sampled_ms);
            let old = self.store.read_row(Partition::System, group, sample.clone()).await?;
            let before = match &old {
                Some(old) => decode::<SampleRecord>(old, "amounts held")?.before,
                None => Some(before),
            };
            let record = SampleRecord { before, held: Some(held.clone()) };
            let latest = LatestRecord { held: Some(held.clone()), sampled_ms, ..latest };
            let expects = vec![
                unchanged(Table::Usage, latest_row().suffix, &latest_value),
                unchanged(Table::Usage, sample.suffix.clone(), &old),
            ];
            let writes = vec![put(sample, &record), put(latest_row(), &latest)];
            let done = self.store.try_commit(Partition::System, group, expects, writes).await?;
            if done.is_ok() {
                self.stats.samples.fetch_add(1, Relaxed);
                return Ok(());
            }
        }
    }

    /// Rows of a kind that begin within a time.
    async fn rows_of(
        &self,
        group: &Bytes,
        kind: u8,
        (from_ms, to_ms): (u64, u64),
    ) -> Result<Vec<(u64, OwnedRow)>> {
        let range =
            ScanRange { start_suffix: suffix(kind, from_ms), ..ScanRange::group(group.clone()) };
        let engine = &*self.store.engine;
        let page = rows(engine, Partition::System, Table::Usage, range, ROWS_AT_ONCE).await?;
        let found = page.into_iter().map_while(|row| match split(&row.suffix) {
            Some((found, at)) if found == kind && at < to_ms => Some((at, row)),
            _ => None,
        });
        Ok(found.collect())
    }

    /// Puts some rows of a block that is over together. False if there are none.
    async fn put_together(&self, group: &Bytes) -> Result<bool> {
        let calendar = self.store.usage_calendar();
        let settled_ms = self.store.now_ms().saturating_sub(self.store.options.usage_settle_ms);
        let over_ms = calendar.block(settled_ms);
        let mut traffic = self.rows_of(group, TRAFFIC, (0, over_ms)).await?;
        let mut samples = self.rows_of(group, SAMPLE, (0, over_ms)).await?;
        let firsts = [traffic.first(), samples.first()];
        let Some(first_ms) = firsts.into_iter().flatten().map(|(at, _)| *at).min() else {
            return Ok(false);
        };
        let begin_ms = calendar.block(first_ms);
        let is_within = |(at, _): &(u64, OwnedRow)| calendar.block(*at) == begin_ms;
        traffic.retain(is_within);
        samples.retain(is_within);

        let (latest_value, latest) = self.store.latest_held(group).await?;
        let day = calendar.day(begin_ms);
        let is_summed_up = latest.as_ref().is_some_and(|latest| day < latest.days_from);
        if is_summed_up && calendar.day(settled_ms).saturating_sub(day) > BLOCK_DAYS {
            return self.add_to_day(group, day, traffic, samples).await;
        }
        let block = row(BLOCK, begin_ms);
        let old = self.store.read_row(Partition::System, group, block.clone()).await?;
        let (before, slots, grain) = match &old {
            Some(old) => {
                let record: CountsBlock = decode(old, "block of counts")?;
                let slots = record.slots()?;
                (record.before.unwrap_or_default(), slots, record.grain)
            }
            None => {
                let name = String::from_utf8_lossy(group);
                let series = self.store.usage_series(&name, (begin_ms, begin_ms), |at| at).await?;
                (series.before, Vec::new(), 0)
            }
        };
        let mut slots: BTreeMap<u32, Slot> =
            slots.into_iter().map(|slot| (slot.offset_s, slot)).collect();
        let mut expects = vec![
            unchanged(Table::Usage, latest_row().suffix, &latest_value),
            unchanged(Table::Usage, block.suffix.clone(), &old),
        ];
        let mut writes = Vec::new();
        let count = traffic.len() + samples.len();
        for (at, row) in traffic.into_iter().chain(samples) {
            let offset_s = ((at - begin_ms) / 1000) as u32;
            let slot =
                slots.entry(offset_s).or_insert_with(|| Slot { offset_s, ..Slot::default() });
            match row.suffix.first() {
                Some(&TRAFFIC) => {
                    let figures: Figures = decode(&row.value, "counts of requests")?;
                    slot.figures.get_or_insert_default().add_all(&figures);
                }
                _ => slot.held = decode::<SampleRecord>(&row.value, "amounts held")?.held,
            }
            let name = RowRef { table: Table::Usage, suffix: row.suffix };
            expects.push(Expect::Equals(name.clone(), row.value));
            writes.push(Write::Delete(name));
        }
        let slots = coarser(&calendar, slots.into_values(), grain);
        writes.push(put(block, &CountsBlock::pack(before, slots, grain)?));
        let mut latest = latest
            .unwrap_or_else(|| LatestRecord { days_from: day + 1, ..LatestRecord::default() });
        if day < latest.days_from {
            // The day is to be summed up, or again: this came late.
            latest.days_from = day;
            writes.push(Write::Delete(row(DAY, day)));
            writes.push(put(latest_row(), &latest));
        }
        let done = self.store.try_commit(Partition::System, group, expects, writes).await?;
        if done.is_ok() {
            self.stats.slots.fetch_add(count as u64, Relaxed);
        }
        Ok(true)
    }

    /// Takes rows of a day that was summed up so long ago that its blocks are gone into
    /// the day's row: it cannot be summed up again, nor can those behind it. Such rows
    /// come of a clock that was wrong, so what they say is held was not held then.
    async fn add_to_day(
        &self,
        group: &Bytes,
        day: u64,
        traffic: Vec<(u64, OwnedRow)>,
        samples: Vec<(u64, OwnedRow)>,
    ) -> Result<bool> {
        let name = row(DAY, day);
        let old = self.store.read_row(Partition::System, group, name.clone()).await?;
        let record = old.as_ref().map(|old| decode::<DayRecord>(old, "day of counts"));
        let mut record = record.transpose()?.unwrap_or_default();
        let mut expects = vec![unchanged(Table::Usage, name.suffix.clone(), &old)];
        let mut writes = Vec::new();
        for (_, row) in traffic.iter() {
            let figures: Figures = decode(&row.value, "counts of requests")?;
            record.figures.get_or_insert_default().add_all(&figures);
        }
        for (_, row) in traffic.into_iter().chain(samples) {
            let name = RowRef { table: Table::Usage, suffix: row.suffix };
            expects.push(Expect::Equals(name.clone(), row.value));
            writes.push(Write::Delete(name));
        }
        if record.figures.is_some() {
            writes.push(put(name, &record));
        }
        let _ = self.store.try_commit(Partition::System, group, expects, writes).await?;
        Ok(true)
    }

    /// Sums up days that are over. False if there are none.
    async fn end_days(&self, group: &Bytes) -> Result<bool> {
        let calendar = self.store.usage_calendar();
        let (value, latest) = self.store.latest_held(group).await?;
        let Some(latest) = latest else { return Ok(false) };
        let now_ms = self.store.now_ms();
        // Later than the day's last block is put together.
        let settled_ms = now_ms.saturating_sub(2 * self.store.options.usage_settle_ms);
        let today = calendar.day(settled_ms);
        if latest.days_from >= today {
            return Ok(false);
        }
        let days = latest.days_from..today.min(latest.days_from + DAYS_AT_ONCE);
        let name = String::from_utf8_lossy(group);
        let span = (calendar.day_begin(days.start), calendar.day_begin(days.end));
        let series = self.store.usage_series(&name, span, |at| calendar.day(at)).await?;
        let latest = LatestRecord { days_from: days.end, ..latest };
        let mut writes = vec![put(latest_row(), &latest)];
        for day in days {
            let (before, figures, storage) = day_record(&calendar, &series, day, now_ms);
            if figures.is_empty() && storage.is_empty() {
                continue;
            }
            let storage =
                storage.iter().map(|(class, storage)| StorageRecord::new(*class, storage));
            let record = DayRecord {
                before: Some(before),
                figures: Some(figures),
                storage: storage.collect(),
            };
            writes.push(put(row(DAY, day), &record));
        }
        let ended = writes.len() as u64 - 1;
        let expects = vec![unchanged(Table::Usage, latest_row().suffix, &value)];
        let done = self.store.try_commit(Partition::System, group, expects, writes).await?;
        if done.is_ok() {
            self.stats.days.fetch_add(ended, Relaxed);
            self.thin_out(group, today).await?;
        }
        Ok(true)
    }

    /// Puts slots of old blocks together, and removes the oldest.
    async fn thin_out(&self, group: &Bytes, today: u64) -> Result<()> {
        let calendar = self.store.usage_calendar();
        let mut from = suffix(BLOCK, 0);
        loop {
            let range = ScanRange { start_suffix: from, ..ScanRange::group(group.clone()) };
            let engine = &*self.store.engine;
            let page = rows(engine, Partition::System, Table::Usage, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for found in page {
                let Some((BLOCK, begin_ms)) = split(&found.suffix) else { return Ok(()) };
                let age = today.saturating_sub(calendar.day(begin_ms));
                let grain = match () {
                    () if age <= SLOT_DAYS => return Ok(()),
                    () if age <= FIVE_SLOT_DAYS => 1,
                    () => 2,
                };
                let block: CountsBlock = decode(&found.value, "block of counts")?;
                let name = RowRef { table: Table::Usage, suffix: found.suffix };
                let write = match () {
                    () if age > BLOCK_DAYS => Write::Delete(name.clone()),
                    () if block.grain >= grain => continue,
                    () => {
                        let slots = coarser(&calendar, block.slots()?, grain);
                        let before = block.before.unwrap_or_default();
                        put(name.clone(), &CountsBlock::pack(before, slots, grain)?)
                    }
                };
                let expects = vec![Expect::Equals(name, found.value)];
                // If it has changed meanwhile, it is for another time.
                let _ =
                    self.store.try_commit(Partition::System, group, expects, vec![write]).await?;
            }
            from = next.start_suffix;
        }
    }
}

fn put(row: RowRef, record: &impl prost::Message) -> Write {
    Write::Put(row, encode(record))
}

/// Slots in spans of a grain. What was held at a span's end counts for all of it.
fn coarser(calendar: &UsageCalendar, slots: impl IntoIterator<Item = Slot>, grain: u32) -> Slots {
    let span_s = match grain {
        0 => 1,
        1 => (5 * calendar.slot_ms / 1000) as u32,
        _ => u32::MAX,
    };
    let mut spans: BTreeMap<u32, Slot> = BTreeMap::new();
    for slot in slots {
        let offset_s = slot.offset_s - slot.offset_s % span_s;
        let span = spans.entry(offset_s).or_insert_with(|| Slot { offset_s, ..Slot::default() });
        if let Some(figures) = &slot.figures {
            span.figures.get_or_insert_default().add_all(figures);
        }
        if slot.held.is_some() {
            span.held = slot.held;
        }
    }
    Slots { slots: spans.into_values().collect() }
}
