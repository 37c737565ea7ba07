use super::*;
use crate::record::{ObjectRecord, PartRecord, Parts, UploadRecord, encode, part_suffix};

fn object(size: u64, class: &str, version: &'static [u8]) -> ObjectRecord {
    ObjectRecord {
        size,
        storage_class: class.into(),
        version: Bytes::from_static(version),
        counted: true,
        ..Default::default()
    }
}

fn object_row() -> RowRef {
    RowRef::only(Table::Object)
}

fn version_row(suffix: &'static [u8]) -> RowRef {
    RowRef::new(Table::Version, suffix)
}

fn put(row: RowRef, record: &impl Message) -> Write {
    Write::Put(row, record.encode_to_vec().into())
}

fn equals(row: RowRef, record: &impl Message) -> Expect {
    Expect::Equals(row, record.encode_to_vec().into())
}

fn check(expects: &[Expect], writes: &[Write], want: &[(Kind, u8, i64, i64)]) {
    let changes = changes(expects, writes);
    let mut wanted = Tallies::default();
    for (kind, class, count, bytes) in want {
        wanted.add(kind.counter(*class), Tally { count: *count, bytes: *bytes });
    }
    assert_eq!(changes, wanted);
}

#[test]
fn a_put_counts_what_it_adds_and_takes_off_what_it_replaces() {
    let (old, new) = (object(10, "", b""), object(7, "ARCHIVE", b""));
    check(
        &[Expect::Absent(object_row())],
        &[put(object_row(), &old)],
        &[(Kind::Current, 0, 1, 10)],
    );
    check(
        &[equals(object_row(), &old)],
        &[put(object_row(), &new)],
        &[(Kind::Current, 0, -1, -10), (Kind::Current, 3, 1, 7)],
    );
    check(
        &[equals(object_row(), &new)],
        &[Write::Delete(object_row())],
        &[(Kind::Current, 3, -1, -7)],
    );
}

#[test]
fn what_is_not_counted_counts_once_it_says_that_it_is() {
    let old = ObjectRecord { counted: false, ..object(10, "", b"") };
    let new = object(10, "", b"");
    check(&[equals(object_row(), &old)], &[put(object_row(), &old)], &[]);
    check(&[equals(object_row(), &old)], &[put(object_row(), &new)], &[(Kind::Current, 0, 1, 10)]);
    check(&[equals(object_row(), &old)], &[Write::Delete(object_row())], &[]);
    let damaged = Expect::Equals(object_row(), Bytes::from_static(b"\xFF"));
    check(&[damaged], &[put(object_row(), &new)], &[(Kind::Current, 0, 1, 10)]);
}

#[test]
fn an_object_from_before_versions_keeps_counting_once_below_another() {
    let (old, new) = (object(10, "", b""), object(5, "", b"v1"));
    let history = HistoryRecord { null_version: Bytes::from_static(b"null"), ..Default::default() };
    let history_row = RowRef::only(Table::History);
    check(
        &[equals(object_row(), &old), Expect::Absent(history_row.clone())],
        &[
            put(version_row(b"null"), &old),
            put(version_row(b"v1"), &new),
            put(object_row(), &new),
            put(history_row.clone(), &history),
        ],
        &[(Kind::Current, 0, 0, -5), (Kind::Versioned, 0, 1, 5), (Kind::Version, 0, 2, 15)],
    );
    // The newer one is removed.
    check(
        &[
            equals(object_row(), &new),
            equals(history_row.clone(), &history),
            equals(version_row(b"v1"), &new),
            equals(version_row(b"null"), &old),
        ],
        &[Write::Delete(version_row(b"v1")), put(object_row(), &old)],
        &[(Kind::Current, 0, 0, 5), (Kind::Versioned, 0, 0, 5), (Kind::Version, 0, -1, -5)],
    );
    // And then the old one itself, by its object row alone.
    check(
        &[equals(object_row(), &old), equals(history_row.clone(), &history)],
        &[
            Write::Delete(version_row(b"null")),
            Write::Delete(object_row()),
            Write::Delete(history_row),
        ],
        &[(Kind::Current, 0, -1, -10), (Kind::Versioned, 0, -1, -10), (Kind::Version, 0, -1, -10)],
    );
}

#[test]
fn a_marker_holds_no_bytes() {
    let marker = ObjectRecord { delete_marker: true, ..object(0, "", b"m") };
    let row = version_row(b"m");
    check(&[], &[put(row.clone(), &marker)], &[(Kind::Marker, 0, 1, 0)]);
    check(&[equals(row.clone(), &marker)], &[Write::Delete(row)], &[(Kind::Marker, 0, -1, 0)]);
}

#[test]
fn parts_are_loose_until_an_object_is_made_of_them() {
    let part = |size| PartRecord {
        size,
        storage_class: "STANDARD_IA".into(),
        counted: true,
        ..Default::default()
    };
    let row = |n| RowRef { table: Table::Part, suffix: part_suffix(&[7; 16], n) };
    let upload =
        UploadRecord { storage_class: "STANDARD_IA".into(), counted: true, ..Default::default() };
    let upload_row = RowRef::new(Table::Upload, vec![7; 16]);
    check(&[], &[put(upload_row.clone(), &upload)], &[(Kind::Upload, 1, 1, 0)]);
    check(
        &[equals(row(1), &part(3))],
        &[put(row(1), &part(5)), put(row(2), &part(4)), put(row(0), &part(1000))],
        &[(Kind::Part, 1, 1, 6)],
    );
    let storage_class = "STANDARD_IA".into();
    let parts = Parts { set: vec![7; 16].into(), count: 2, runs: vec![], storage_class };
    let whole = ObjectRecord {
        content: Some(crate::record::Content::Parts(parts)),
        ..object(9, "STANDARD_IA", b"")
    };
    check(
        &[Expect::Absent(object_row()), equals(upload_row.clone(), &upload)],
        &[put(object_row(), &whole), Write::Delete(upload_row)],
        &[(Kind::Current, 1, 1, 9), (Kind::Upload, 1, -1, 0), (Kind::Joined, 1, 2, 9)],
    );
    // It moves to another class; what it was made of does not.
    let moved = ObjectRecord { storage_class: "ARCHIVE".into(), ..whole.clone() };
    check(
        &[equals(object_row(), &whole)],
        &[put(object_row(), &moved)],
        &[(Kind::Current, 1, -1, -9), (Kind::Current, 3, 1, 9)],
    );
    let mut held = Tallies::default();
    held.add(Kind::Part.counter(1), Tally { count: 2, bytes: 9 });
    held.add_all(&changes(&[], &[put(object_row(), &whole)]));
    let usage = BucketUsage::of(&held);
    assert_eq!((usage.parts(), usage.total()), (Tally::default(), Tally { count: 1, bytes: 9 }));
}

/// What the walk puts behind a row is the field of the record.
#[test]
fn a_row_becomes_counted_by_three_bytes() {
    let old = ObjectRecord { counted: false, ..object(10, "", b"v") };
    let mut bytes = encode(&old).to_vec();
    bytes.extend_from_slice(&[0xD0, 0x01, 0x01]);
    assert_eq!(decode::<ObjectRecord>(&bytes, "").unwrap(), object(10, "", b"v"));
}
