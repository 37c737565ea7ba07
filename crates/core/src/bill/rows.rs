//! Closed months as they are stored.
//!
//! All rows of a month are in one group of the system partition, whose name no bucket
//! can have. The charges are in chunks, written first, under the write id of the row
//! that then makes the month closed. What else is there is left over of a closing that
//! did not come to its end.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::amount::Amount;
use super::item::Item;
use super::meter::{BilledBucket, Charge, Entry};
use super::month::Month;
use crate::engine::{RowRef, Table};
use crate::error::{Error, Result};
use crate::record::{Pair, decode, encode};

/// Names of groups begin with it.
const PREFIX: &str = "bills/";
/// Entries of a chunk.
pub(super) const CHUNK_ENTRIES: usize = 200;
/// Bytes of a chunk, of 200 buckets with 50 tags each and all charges there are.
const CHUNK_BYTES_MAX: usize = 16 << 20;
const ZSTD_LEVEL: i32 = 3;

/// A month that is closed, or was and is open again.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MonthRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(uint64, tag = "2")]
    pub closed_ms: u64,
    /// Not 0 if it is open again: then there are no charges.
    #[prost(uint64, tag = "3")]
    pub reopened_ms: u64,
    /// Of the price book.
    #[prost(string, tag = "4")]
    pub book: String,
    #[prost(string, tag = "5")]
    pub currency: String,
    #[prost(uint64, tag = "6")]
    pub entries: u64,
    #[prost(uint32, tag = "7")]
    pub chunks: u32,
    /// Of all charges, as a decimal number.
    #[prost(string, tag = "8")]
    pub total: String,
}

/// Some of a closed month's entries.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChunkRecord {
    /// [`Entries`], in a zstd frame.
    #[prost(bytes = "bytes", tag = "1")]
    pub packed: Bytes,
    /// Their length.
    #[prost(uint64, tag = "2")]
    pub plain_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub buckets: Vec<BucketEntry>,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<DayEntry>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct BucketEntry {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub region: String,
    #[prost(message, repeated, tag = "3")]
    pub tags: Vec<Pair>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DayEntry {
    /// Which of the buckets, from 0.
    #[prost(uint32, tag = "1")]
    pub bucket: u32,
    #[prost(uint64, tag = "2")]
    pub day: u64,
    #[prost(message, repeated, tag = "3")]
    pub charges: Vec<ChargeEntry>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChargeEntry {
    /// [`Item::code`].
    #[prost(string, tag = "1")]
    pub item: String,
    /// Decimal numbers.
    #[prost(string, tag = "2")]
    pub price: String,
    #[prost(string, tag = "3")]
    pub used: String,
}

pub(crate) fn group(month: Month) -> Bytes {
    format!("{PREFIX}{month}").into()
}

/// Whether a group of the installation's rows is a month's.
pub(crate) fn month_of_group(group: &[u8]) -> Option<Month> {
    std::str::from_utf8(group).ok()?.strip_prefix(PREFIX).and_then(Month::parse)
}

/// Groups of months, the first and behind the last.
pub(crate) fn groups() -> (Bytes, Bytes) {
    // The byte behind the slash.
    (PREFIX.into(), "bills0".into())
}

pub(crate) fn month_row() -> RowRef {
    RowRef::only(Table::Installation)
}

pub(crate) fn chunk_row(write_id: &[u8], number: u32) -> RowRef {
    RowRef::new(Table::Installation, [write_id, &number.to_be_bytes()].concat())
}

pub(super) fn pack(entries: &[Entry]) -> Result<Bytes> {
    let mut plain = Entries::default();
    for entry in entries {
        let bucket = &*entry.bucket;
        let last = plain.buckets.last();
        if last.is_none_or(|last| last.name != bucket.name) {
            plain.buckets.push(BucketEntry {
                name: bucket.name.clone(),
                region: bucket.region.clone(),
                tags: bucket.tags.clone(),
            });
        }
        plain.entries.push(DayEntry {
            bucket: (plain.buckets.len() - 1) as u32,
            day: entry.day,
            charges: entry.charges.iter().map(charge_entry).collect(),
        });
    }
    let plain = plain.encode_to_vec();
    let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL)
        .map_err(|error| Error::Internal(format!("charges cannot be compressed: {error}")))?;
    Ok(encode(&ChunkRecord { packed: packed.into(), plain_bytes: plain.len() as u64 }))
}

fn charge_entry(charge: &Charge) -> ChargeEntry {
    ChargeEntry {
        item: charge.item.code(),
        price: charge.price.to_string(),
        used: charge.used.to_string(),
    }
}

pub(crate) fn unpack(row: &Bytes) -> Result<Vec<Entry>> {
    let damaged = |what: &str| Error::Damaged(format!("charges of a closed month: {what}"));
    let chunk: ChunkRecord = decode(row, "charges of a closed month")?;
    let length = usize::try_from(chunk.plain_bytes).unwrap_or(usize::MAX);
    if length > CHUNK_BYTES_MAX {
        return Err(damaged("too many in one row"));
    }
    let plain = zstd::bulk::decompress(&chunk.packed, length)
        .map_err(|error| damaged(&error.to_string()))?;
    let plain: Entries = decode(&plain, "charges of a closed month")?;
    let buckets: Vec<Arc<BilledBucket>> = plain
        .buckets
        .into_iter()
        .map(|BucketEntry { name, region, tags }| Arc::new(BilledBucket { name, region, tags }))
        .collect();
    let charge = |entry: ChargeEntry| {
        Some(Charge {
            item: Item::from_code(&entry.item)?,
            price: Amount::stored(&entry.price)?,
            used: Amount::stored(&entry.used)?,
        })
    };
    let entry = |entry: DayEntry| {
        Some(Entry {
            day: entry.day,
            bucket: buckets.get(entry.bucket as usize)?.clone(),
            charges: entry.charges.into_iter().map(charge).collect::<Option<_>>()?,
        })
    };
    let entries: Option<Vec<Entry>> = plain.entries.into_iter().map(entry).collect();
    entries.ok_or_else(|| damaged("cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::super::item::Kind;
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let bucket = |name: &str| {
            let tags = vec![Pair { name: "team".into(), value: "a,\"b\"\n".into() }];
            Arc::new(BilledBucket { name: name.into(), region: "ap-guangzhou".into(), tags })
        };
        let charge = |kind, class| Charge {
            item: Item { kind, class },
            price: Amount::parse("0.00393333").unwrap(),
            used: Amount::of_units(1, 1 << 30),
        };
        let (a, b) = (bucket("a-1250000000"), bucket("b-1250000000"));
        let storage = charge(Kind::Storage, "ARCHIVE");
        let traffic = charge(Kind::InternetDownstream, "");
        let entries = vec![
            Entry { day: 20_758, bucket: a.clone(), charges: vec![storage.clone(), traffic] },
            Entry { day: 20_759, bucket: a, charges: vec![storage.clone()] },
            Entry { day: 20_758, bucket: b, charges: vec![storage] },
        ];
        let packed = pack(&entries).unwrap();
        assert_eq!(unpack(&packed).unwrap(), entries);
        for at in 0..packed.len() {
            // It may be read as something else, but it is read or refused.
            let mut bad = packed.to_vec();
            bad[at] ^= 1;
            let _ = unpack(&bad.into());
        }
        assert!(unpack(&packed.slice(..packed.len() - 3)).is_err());
    }

    #[test]
    fn groups_are_no_buckets() {
        let month = Month::parse("2026-11").unwrap();
        let group = group(month);
        assert_eq!(month_of_group(&group), Some(month));
        let (first, behind) = groups();
        assert!(first < group && group < behind);
        assert!(crate::names::BucketName::new(std::str::from_utf8(&group).unwrap()).is_err());
        assert_eq!(month_of_group(b"bills/2026-1"), None);
        assert_eq!(month_of_group(b"bills-1250000000"), None);
    }
}
