//! What a bucket held at some moment, and what that comes to over a day.

use std::collections::BTreeMap;

use prost::Message;

use super::classes;
use super::figures::BucketUsage;

/// What a bucket held, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Held {
    /// In the order of the classes' numbers; only those that hold something.
    #[prost(message, repeated, tag = "1")]
    pub classes: Vec<HeldClass>,
    /// Parts that no object is made of, of whatever class: as they were written before
    /// they counted by class.
    #[prost(uint64, tag = "2")]
    pub part_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub parts: u64,
}

/// Objects, versions and parts of one class.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HeldClass {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    #[prost(uint64, tag = "3")]
    pub objects: u64,
    /// Open uploads.
    #[prost(uint64, tag = "4")]
    pub uploads: u64,
    /// Parts that no object is made of.
    #[prost(uint64, tag = "5")]
    pub part_bytes: u64,
    #[prost(uint64, tag = "6")]
    pub parts: u64,
}

fn counted(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

impl Held {
    pub(super) fn of(usage: &BucketUsage) -> Held {
        let classes = usage.classes.iter().map(|class| HeldClass {
            class: u32::from(classes::number(class.class)),
            bytes: counted(class.current.bytes.saturating_add(class.noncurrent.bytes)),
            objects: counted(class.current.count.saturating_add(class.noncurrent.count)),
            uploads: counted(class.uploads),
            part_bytes: counted(class.parts.bytes),
            parts: counted(class.parts.count),
        });
        let mut classes: Vec<HeldClass> = classes
            .filter(|held| *held != HeldClass { class: held.class, ..HeldClass::default() })
            .collect();
        classes.sort_by_key(|held| held.class);
        Held { classes, ..Held::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Held::default()
    }
}

/// What was stored over a day. Amounts times time are what bills are made of: their
/// quotient by the day's length is the average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageDay {
    /// Bytes times the milliseconds that they were there for.
    pub byte_ms: u128,
    pub bytes_peak: u64,
    /// At the day's end, or now.
    pub bytes_last: u64,
    /// Objects, or parts, times milliseconds.
    pub object_ms: u128,
    pub objects_peak: u64,
    pub objects_last: u64,
}

/// A [`StorageDay`] as it is stored. 128 bits are two halves.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StorageRecord {
    /// Of the class; for parts that no object is made of, 256 more.
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub byte_ms_high: u64,
    #[prost(uint64, tag = "3")]
    pub byte_ms_low: u64,
    #[prost(uint64, tag = "4")]
    pub bytes_peak: u64,
    #[prost(uint64, tag = "5")]
    pub bytes_last: u64,
    #[prost(uint64, tag = "6")]
    pub object_ms_high: u64,
    #[prost(uint64, tag = "7")]
    pub object_ms_low: u64,
    #[prost(uint64, tag = "8")]
    pub objects_peak: u64,
    #[prost(uint64, tag = "9")]
    pub objects_last: u64,
}

/// What is added to a class's number where parts are counted that no object is made of.
/// Those that did not count by class are STANDARD's, whose number is 0.
pub(super) const PARTS: u32 = 256;

fn halves(whole: u128) -> (u64, u64) {
    ((whole >> 64) as u64, whole as u64)
}

fn whole(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

impl StorageRecord {
    pub(super) fn new(class: u32, day: &StorageDay) -> StorageRecord {
        let (byte_ms_high, byte_ms_low) = halves(day.byte_ms);
        let (object_ms_high, object_ms_low) = halves(day.object_ms);
        StorageRecord {
            class,
            byte_ms_high,
            byte_ms_low,
            bytes_peak: day.bytes_peak,
            bytes_last: day.bytes_last,
            object_ms_high,
            object_ms_low,
            objects_peak: day.objects_peak,
            objects_last: day.objects_last,
        }
    }

    pub(super) fn day(&self) -> StorageDay {
        StorageDay {
            byte_ms: whole(self.byte_ms_high, self.byte_ms_low),
            bytes_peak: self.bytes_peak,
            bytes_last: self.bytes_last,
            object_ms: whole(self.object_ms_high, self.object_ms_low),
            objects_peak: self.objects_peak,
            objects_last: self.objects_last,
        }
    }
}

/// What came of a time in which a bucket held now this and now that, by class, and by
/// [`PARTS`]. `changes` are in order, and within the time.
pub(super) fn integrate<'a>(
    before: &'a Held,
    changes: impl IntoIterator<Item = (u64, &'a Held)>,
    (begin_ms, end_ms): (u64, u64),
) -> BTreeMap<u32, StorageDay> {
    let mut days = BTreeMap::new();
    let (mut held, mut since_ms) = (before, begin_ms);
    for (at_ms, next) in changes {
        accrue(&mut days, held, at_ms.saturating_sub(since_ms));
        (held, since_ms) = (next, at_ms);
    }
    accrue(&mut days, held, end_ms.saturating_sub(since_ms));
    for (class, (bytes, objects)) in amounts(held) {
        let day = days.entry(class).or_default();
        day.bytes_last = bytes;
        day.objects_last = objects;
    }
    days
}

fn amounts(held: &Held) -> impl Iterator<Item = (u32, (u64, u64))> {
    let of_class = |class: &HeldClass| {
        let parts = (PARTS + class.class, (class.part_bytes, class.parts));
        [(class.class, (class.bytes, class.objects)), parts]
    };
    let parts = (PARTS, (held.part_bytes, held.parts));
    let all = held.classes.iter().flat_map(of_class).chain([parts]);
    all.filter(|(_, amounts)| *amounts != (0, 0))
}

fn accrue(days: &mut BTreeMap<u32, StorageDay>, held: &Held, ms: u64) {
    if ms == 0 {
        return;
    }
    for (class, (bytes, objects)) in amounts(held) {
        let day = days.entry(class).or_default();
        day.byte_ms = day.byte_ms.saturating_add(u128::from(bytes) * u128::from(ms));
        day.object_ms = day.object_ms.saturating_add(u128::from(objects) * u128::from(ms));
        day.bytes_peak = day.bytes_peak.max(bytes);
        day.objects_peak = day.objects_peak.max(objects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: u64, objects: u64) -> Held {
        let class = HeldClass { bytes, objects, ..HeldClass::default() };
        Held { classes: vec![class], ..Held::default() }
    }

    #[test]
    fn amounts_count_by_how_long_they_were_there() {
        let (first, second) = (held(10, 1), held(40, 2));
        let none = Held::default();
        let changes = [(200, &first), (500, &second), (900, &none)];
        let days = integrate(&none, changes, (0, 1000));
        let want = StorageDay {
            byte_ms: 300 * 10 + 400 * 40,
            bytes_peak: 40,
            bytes_last: 0,
            object_ms: 300 + 800,
            objects_peak: 2,
            objects_last: 0,
        };
        assert_eq!(days, BTreeMap::from([(0, want)]));
        let still = integrate(&second, [], (1000, 3000));
        assert_eq!((still[&0].byte_ms, still[&0].bytes_last), (80_000, 40));
    }

    #[test]
    fn parts_count_by_their_class() {
        let class = HeldClass { class: 4, part_bytes: 7, parts: 1, ..HeldClass::default() };
        let days = integrate(&Held { classes: vec![class], ..Held::default() }, [], (0, 10));
        assert_eq!(days.keys().copied().collect::<Vec<_>>(), [PARTS + 4]);
        assert_eq!((days[&(PARTS + 4)].byte_ms, days[&(PARTS + 4)].objects_last), (70, 1));
    }

    #[test]
    fn the_largest_amounts_are_stored_whole() {
        let parts = Held { part_bytes: u64::MAX, parts: u64::MAX, ..Held::default() };
        let day = integrate(&parts, [], (0, 86_400_000))[&PARTS];
        assert_eq!(day.byte_ms, u128::from(u64::MAX) * 86_400_000);
        assert_eq!(StorageRecord::new(PARTS, &day).day(), day);
    }
}
