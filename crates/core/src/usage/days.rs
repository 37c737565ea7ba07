//! What a bucket used on a day: what bills are made of.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::UsageCalendar;
use super::held::{self, Held, PARTS, StorageDay};
use super::series::{
    BLOCK, DAY, DayRecord, LATEST, Motion, SAMPLE, Series, TRAFFIC, split, suffix,
};
use super::traffic::{Figures, Traffic, class_name};
use crate::engine::{Partition, ScanRange, Step, Table};
use crate::error::Result;
use crate::record::decode;
use crate::restore::Speed;
use crate::scan::{behind, rows};
use crate::store::Store;

/// What a bucket used on one day. Of a day that is not over, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayUsage {
    /// Number of the day: days after the first of January 1970, by China's clock.
    pub day: u64,
    /// When it began, and when it ended or will end, in milliseconds since the epoch.
    pub begin_ms: u64,
    pub end_ms: u64,
    /// In the order of the classes' numbers; only those of which there is something to
    /// say.
    pub classes: Vec<ClassDay>,
    /// Bytes of bodies, by where clients are.
    pub traffic: Traffic,
    /// HTTP statuses of answers, and how often each was given.
    pub statuses: Vec<(u16, u64)>,
    /// Restores that have begun.
    pub restored: Vec<RestoredDay>,
}

/// What was used in one storage class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassDay {
    /// As clients name it.
    pub class: &'static str,
    /// Objects, noncurrent versions included.
    pub storage: StorageDay,
    /// Parts that no object is made of. They count as objects.
    pub parts: StorageDay,
    /// Requests about objects of the class. STANDARD has those about no object, too.
    pub reads: u64,
    pub writes: u64,
    /// Bytes of objects' content that went out.
    pub retrieved_bytes: u64,
}

/// Restores of archived objects of one class that were asked for with one speed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredDay {
    pub class: &'static str,
    pub speed: Speed,
    pub objects: u64,
    /// Their size.
    pub bytes: u64,
}

/// Most days that are read at once.
const DAYS_AT_ONCE: u64 = 400;
const ROWS: usize = 256;

impl DayUsage {
    fn new(
        calendar: &UsageCalendar,
        day: u64,
        figures: &Figures,
        storage: &BTreeMap<u32, StorageDay>,
    ) -> DayUsage {
        let begin_ms = calendar.day_begin(day);
        let end_ms = begin_ms + calendar.day_ms;
        let mut usage = DayUsage { day, begin_ms, end_ms, ..DayUsage::default() };
        let mut classes: BTreeMap<u32, ClassDay> = BTreeMap::new();
        for (number, storage) in storage {
            match number.checked_sub(PARTS) {
                Some(number) => classes.entry(number).or_default().parts = *storage,
                None => classes.entry(*number).or_default().storage = *storage,
            }
        }
        for counted in &figures.classes {
            let class = classes.entry(counted.class).or_default();
            class.reads = counted.reads;
            class.writes = counted.writes;
            class.retrieved_bytes = counted.retrieved_bytes;
        }
        for (number, mut class) in classes {
            class.class = class_name(number);
            usage.classes.push(class);
        }
        usage.traffic = figures.traffic.unwrap_or_default();
        let statuses = figures.statuses.iter();
        let status = |status: u32| u16::try_from(status).unwrap_or(u16::MAX);
        usage.statuses = statuses.map(|known| (status(known.status), known.requests)).collect();
        let restored = figures.restored.iter().map(|restored| RestoredDay {
            class: class_name(restored.class),
            speed: Speed::from_number(restored.speed),
            objects: restored.objects,
            bytes: restored.bytes,
        });
        usage.restored = restored.collect();
        usage
    }

    /// Nothing was there, and nobody asked for anything.
    pub fn is_idle(&self) -> bool {
        self.classes.is_empty() && self.statuses.is_empty()
    }
}

impl DayRecord {
    fn usage(self, calendar: &UsageCalendar, day: u64) -> DayUsage {
        let storage = self.storage.iter().map(|held| (held.class, held.day()));
        let figures = self.figures.unwrap_or_default();
        DayUsage::new(calendar, day, &figures, &storage.collect())
    }
}

/// What a day came to, of a series that has its figures by day.
pub(super) fn day_record(
    calendar: &UsageCalendar,
    series: &Series,
    day: u64,
    now_ms: u64,
) -> (Held, Figures, BTreeMap<u32, StorageDay>) {
    let begin_ms = calendar.day_begin(day);
    let end_ms = begin_ms + calendar.day_ms;
    let before =
        series.changes.range(..begin_ms).next_back().map_or(&series.before, |(_, held)| held);
    // A change at midnight is the new day's, from its first moment on.
    let changes = series.changes.range(begin_ms..end_ms).map(|(at, held)| (*at, held));
    let until_ms = end_ms.min(now_ms.max(begin_ms));
    let storage = held::integrate(before, changes, (begin_ms, until_ms));
    let figures = series.figures.get(&day).cloned().unwrap_or_default();
    (before.clone(), figures, storage)
}

impl Store {
    /// How time is cut where usage is counted.
    pub fn usage_calendar(&self) -> UsageCalendar {
        UsageCalendar::new(self.options.day_ms)
    }

    /// What the bucket of a name used on each day from one to another, both included,
    /// whether the bucket still is there or not; of several of the name, one after the
    /// other, all. Days on which there was nothing are left out, and so is what is still
    /// to come. What requests did in the last second may be missing.
    pub async fn days_used(&self, name: &str, (from, to): (u64, u64)) -> Result<Vec<DayUsage>> {
        let calendar = self.usage_calendar();
        let to = to.min(calendar.day(self.now_ms()));
        let mut used = Vec::new();
        // Names are kept for ever, and most of them may be long gone.
        if self.motion(&Bytes::copy_from_slice(name.as_bytes())).await? == Motion::Rests {
            let kept = self.kept_days(name, (from, to)).await?;
            let kept = kept.into_iter().map(|(day, record)| record.usage(&calendar, day));
            return Ok(kept.filter(|day| !day.is_idle()).collect());
        }
        let Some(first) = self.first_day_used(name).await? else { return Ok(used) };
        let mut day = from.max(first);
        while day <= to {
            let last = to.min(day + DAYS_AT_ONCE - 1);
            self.some_days_used(name, (day, last), &mut used).await?;
            day = last + 1;
        }
        Ok(used)
    }

    /// The first day of which there is anything.
    async fn first_day_used(&self, name: &str) -> Result<Option<u64>> {
        let calendar = self.usage_calendar();
        let group = Bytes::copy_from_slice(name.as_bytes());
        let mut first: Option<u64> = None;
        for kind in [TRAFFIC, SAMPLE, BLOCK, DAY] {
            let range =
                ScanRange { start_suffix: suffix(kind, 0), ..ScanRange::group(group.clone()) };
            let page = rows(&*self.engine, Partition::System, Table::Usage, range, 1).await?;
            let found = page.first().and_then(|row| split(&row.suffix));
            let day = match found {
                Some((DAY, day)) => day,
                Some((LATEST, _)) | None => continue,
                Some((_, at)) => calendar.day(at),
            };
            first = Some(first.map_or(day, |first| first.min(day)));
        }
        Ok(first)
    }

    async fn some_days_used(
        &self,
        name: &str,
        (from, to): (u64, u64),
        used: &mut Vec<DayUsage>,
    ) -> Result<()> {
        let calendar = self.usage_calendar();
        let mut kept = self.kept_days(name, (from, to)).await?;
        let open = |day: &u64| !kept.contains_key(day);
        let first = (from..=to).find(open);
        let last = (from..=to).rev().find(open);
        let series = match (first, last) {
            (Some(first), Some(last)) => {
                let span = (calendar.day_begin(first), calendar.day_begin(last + 1));
                self.usage_series(name, span, |at| calendar.day(at)).await?
            }
            _ => Series::default(),
        };
        let now_ms = self.now_ms();
        for day in from..=to {
            let usage = match kept.remove(&day) {
                Some(record) => record.usage(&calendar, day),
                None => {
                    let (_, figures, storage) = day_record(&calendar, &series, day, now_ms);
                    DayUsage::new(&calendar, day, &figures, &storage)
                }
            };
            if !usage.is_idle() {
                used.push(usage);
            }
        }
        Ok(())
    }

    /// Days that have a row.
    async fn kept_days(
        &self,
        name: &str,
        (from, to): (u64, u64),
    ) -> Result<BTreeMap<u64, DayRecord>> {
        let group = Bytes::copy_from_slice(name.as_bytes());
        let mut range =
            ScanRange { start_suffix: suffix(DAY, from), ..ScanRange::group(group.clone()) };
        let end_group = range.end_group.clone();
        let mut kept = BTreeMap::new();
        loop {
            let page =
                rows(&*self.engine, Partition::System, Table::Usage, range.clone(), ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(kept) };
            for row in page {
                match split(&row.suffix) {
                    Some((DAY, day)) if day <= to => {
                        kept.insert(day, decode(&row.value, "day of counts")?);
                    }
                    _ => return Ok(kept),
                }
            }
            range = ScanRange { end_group: end_group.clone(), ..next };
        }
    }

    /// Names of buckets, in order, of which something was counted, those that are gone
    /// included: at most `max` of them, behind `after`.
    pub async fn buckets_used(&self, after: &str, max: usize) -> Result<Vec<String>> {
        let found = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let visit = {
            let found = found.clone();
            move |group: &[u8], _: &[u8], _: &[u8]| {
                let mut found = found.lock();
                if found.len() == max {
                    return Step::Stop;
                }
                found.push(String::from_utf8_lossy(group).into_owned());
                Step::SeekGroup([group, &[0]].concat().into())
            }
        };
        let start_group = match after {
            "" => Bytes::new(),
            after => [after.as_bytes(), &[0]].concat().into(),
        };
        let range = ScanRange { start_group, ..ScanRange::default() };
        let index = self.engine.index();
        index.scan(Partition::System, Table::Usage, range, Box::new(visit)).await?;
        let found = std::mem::take(&mut *found.lock());
        Ok(found)
    }
}
