//! Stored records.

use std::fmt::Debug;

use bytes::Bytes;
use costrel_core::bill::{ChunkRecord, Entries, MonthRecord};
use costrel_core::record::{
    BucketRecord, Content, GarbageRecord, HistoryRecord, LayoutRecord, ListedRecord, Metadata,
    ObjectRecord, PartRecord, Parts, PendingRecord, PolicyRecord, StoredChecksum, UploadRecord,
    decode, encode, part_suffix, split_part_suffix,
};
use costrel_core::tier::BlobAddress;
use costrel_core::usage::{CountsBlock, DayRecord, Figures, LatestRecord, SampleRecord, Slots};
use prost::Message;

/// The bytes of a row, read as each of the records there are.
pub fn record(data: &[u8]) {
    if let Some(object) = check::<ObjectRecord>(data) {
        object_record(data, &object);
    }
    if let Some(part) = check::<PartRecord>(data) {
        content(&part.content);
        checksums(&part.checksums);
    }
    if let Some(garbage) = check::<GarbageRecord>(data) {
        garbage.blobs.iter().for_each(|blob| identifier(blob));
    }
    check::<ListedRecord>(data);
    check::<HistoryRecord>(data);
    check::<UploadRecord>(data);
    check::<LayoutRecord>(data);
    check::<Parts>(data);
    check::<Metadata>(data);
    check::<PendingRecord>(data);
    check::<BucketRecord>(data);
    check::<PolicyRecord>(data);
    check::<MonthRecord>(data);
    check::<ChunkRecord>(data);
    check::<Entries>(data);
    check::<SampleRecord>(data);
    check::<DayRecord>(data);
    check::<LatestRecord>(data);
    check::<Slots>(data);
    if let Some(figures) = check::<Figures>(data) {
        counts(&figures);
    }
    if let Some(block) = check::<CountsBlock>(data) {
        // A frame of another length, or of none, is told.
        let _ = block.slots();
    }
    suffix(data);
}

/// What can be read is written as bytes that are read as the same, and that are
/// the only ones the record is written as.
fn check<R: Message + Default + PartialEq + Debug>(data: &[u8]) -> Option<R> {
    let read: R = decode(data, "record").ok()?;
    let written = encode(&read);
    let again: R = decode(&written, "record").expect("what was written can be read");
    assert_eq!(again, read);
    assert_eq!(encode(&again), written);
    // A repeated number may have come without a length and is written with one.
    assert!(written.len() <= 2 * data.len());
    Some(read)
}

/// However large what is stored, and whatever order it is in.
fn counts(figures: &Figures) {
    let mut sum = Figures::default();
    for _ in 0..3 {
        sum.add_all(figures);
    }
    assert!(sum.reads() >= figures.reads());
}

fn object_record(data: &[u8], object: &ObjectRecord) {
    content(&object.content);
    checksums(&object.checksums);
    // A listing reads the same row.
    let listed: ListedRecord = decode(data, "object record").expect("it has fewer fields");
    assert_eq!(listed.size, object.size);
    assert_eq!(listed.modified_ms, object.modified_ms);
    assert_eq!(listed.etag_text(), object.etag_text());
    assert_eq!(listed.storage_class, object.storage_class);
    assert_eq!(listed.checksums, object.checksums);
    assert_eq!(listed.version, object.version);
    assert_eq!(
        (listed.null_version, listed.delete_marker),
        (object.null_version, object.delete_marker)
    );
}

fn content(content: &Option<Content>) {
    if let Some(Content::Blob(id)) = content {
        identifier(id);
    }
}

fn identifier(id: &[u8]) {
    if let Ok(address) = BlobAddress::decode(id) {
        assert_eq!(BlobAddress::decode(&address.encode()).expect("an address"), address);
    }
}

fn checksums(stored: &[StoredChecksum]) {
    for one in stored {
        if let Some(checksum) = one.get() {
            assert_eq!(StoredChecksum::new(&checksum), *one);
        }
    }
}

fn suffix(data: &[u8]) {
    if let Some((set, number)) = split_part_suffix(data)
        && data.len() == 20
    {
        assert_eq!(part_suffix(set, number), Bytes::copy_from_slice(data));
    }
}
