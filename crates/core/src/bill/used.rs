//! What a day's counts come to, item by item.

use std::collections::BTreeMap;

use super::item::{Item, Kind};
use super::meter::Quantity;
use crate::restore::Speed;
use crate::usage::DayUsage;

/// What was used on a day, in the order of the items. Only what is not nothing.
pub fn quantities(day: &DayUsage) -> Vec<Quantity> {
    let mut counts: BTreeMap<Item, u128> = BTreeMap::new();
    let mut add = |item: Item, count: u128| *counts.entry(item).or_default() += count;
    for class in &day.classes {
        let of = |kind| Item::of_class(kind, class.class);
        add(of(Kind::Storage), class.storage.byte_ms);
        add(of(Kind::Storage), class.parts.byte_ms);
        add(of(Kind::ReadRequests), class.reads.into());
        add(of(Kind::WriteRequests), class.writes.into());
        add(of(Kind::Retrieval), class.retrieved_bytes.into());
    }
    for restored in &day.restored {
        let kind = match restored.speed {
            Speed::Expedited => Kind::ExpeditedRestore,
            Speed::Standard => Kind::StandardRestore,
            Speed::Bulk => Kind::BulkRestore,
        };
        add(Item::of_class(kind, restored.class), restored.bytes.into());
    }
    let traffic = &day.traffic;
    add(Item::traffic(Kind::InternetDownstream), traffic.internet_out.into());
    add(Item::traffic(Kind::InternetUpstream), traffic.internet_in.into());
    add(Item::traffic(Kind::InternalDownstream), traffic.internal_out.into());
    add(Item::traffic(Kind::InternalUpstream), traffic.internal_in.into());
    let length = u128::from(day.end_ms.saturating_sub(day.begin_ms)).max(1);
    let quantity = |(item, count): (Item, u128)| Quantity {
        item,
        count,
        per: if item.kind.is_by_time() { length } else { 1 },
    };
    counts.into_iter().filter(|(_, count)| *count > 0).map(quantity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{ClassDay, RestoredDay, StorageDay, Traffic};

    #[test]
    fn all_that_is_counted_is_an_item() {
        let storage = |byte_ms| StorageDay { byte_ms, ..StorageDay::default() };
        let class = |class, byte_ms: [u128; 2], numbers: [u64; 3]| ClassDay {
            class,
            storage: storage(byte_ms[0]),
            parts: storage(byte_ms[1]),
            reads: numbers[0],
            writes: numbers[1],
            retrieved_bytes: numbers[2],
        };
        let restored = |speed, bytes| RestoredDay { class: "ARCHIVE", speed, objects: 1, bytes };
        let day = DayUsage {
            begin_ms: 1000,
            end_ms: 3000,
            classes: vec![
                class("STANDARD", [10, 0], [1, 2, 3]),
                class("ARCHIVE", [20, 5], [0, 4, 0]),
            ],
            traffic: Traffic {
                internet_in: 11,
                internet_out: 12,
                internal_in: 13,
                internal_out: 14,
            },
            restored: vec![
                restored(Speed::Bulk, 21),
                restored(Speed::Standard, 22),
                restored(Speed::Expedited, 23),
            ],
            ..DayUsage::default()
        };
        let found: Vec<(String, u128, u128)> =
            quantities(&day).iter().map(|q| (q.item.code(), q.count, q.per)).collect();
        let found: Vec<(&str, u128, u128)> =
            found.iter().map(|(code, count, per)| (code.as_str(), *count, *per)).collect();
        assert_eq!(
            found,
            [
                ("storage:ARCHIVE", 25, 2000),
                ("storage:STANDARD", 10, 2000),
                ("read_requests:STANDARD", 1, 1),
                ("write_requests:ARCHIVE", 4, 1),
                ("write_requests:STANDARD", 2, 1),
                ("retrieval:STANDARD", 3, 1),
                ("expedited_restore:ARCHIVE", 23, 1),
                ("standard_restore:ARCHIVE", 22, 1),
                ("bulk_restore:ARCHIVE", 21, 1),
                ("internet_downstream", 12, 1),
                ("internet_upstream", 11, 1),
                ("internal_downstream", 14, 1),
                ("internal_upstream", 13, 1),
            ]
        );
        assert_eq!(quantities(&DayUsage::default()), []);
    }
}
