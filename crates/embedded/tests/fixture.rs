//! Data directories that earlier versions wrote still open.
//!
//! `COSTREL_WRITE_FIXTURE=1` writes the fixture of the present format anew; that
//! is only right when the format has a new number.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;

use bytes::Bytes;
use costrel_core::engine::{
    BlobId, BucketId, Commit, Engine, Partition, PartitionState, Retired, RowRef, Table, Write,
};
use costrel_embedded::{EmbeddedEngine, Options};

const LIVE: Partition = Partition::Bucket(BucketId(7));
const RETIRED: Partition = Partition::Bucket(BucketId(0x0102_0304_0506_0708));
const BLOB: BlobId = BlobId(*b"0123456789abcdef");

/// The format that the program writes.
const PRESENT: u32 = 3;

fn fixture(format: u32) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

fn options(dir: &Path) -> Options {
    Options { reserve_bytes: 0, ..Options::new(dir) }
}

fn rows(format: u32) -> Vec<(Partition, &'static [u8], RowRef, Bytes)> {
    let row = |table, suffix: &'static str| RowRef::new(table, suffix);
    let mut rows: Vec<(Partition, &'static [u8], RowRef, Bytes)> = vec![
        (Partition::System, b"settings", row(Table::Installation, ""), "installation".into()),
        (Partition::System, b"AKID", row(Table::AccessKey, ""), "key".into()),
        (Partition::System, b"bucket-1250000000", row(Table::Bucket, ""), "bucket".into()),
        (LIVE, b"a/b", row(Table::Object, ""), "object".into()),
        (LIVE, b"a/b", row(Table::Body, ""), vec![0xB0; 3000].into()),
        (LIVE, b"nul\0and\xff", row(Table::Upload, "u\0"), "upload".into()),
        (LIVE, b"nul\0and\xff", row(Table::Part, "u\0\0\0\0\x01"), "part".into()),
        (LIVE, b"nul", row(Table::Pending, "0123456789abcdef"), "pending".into()),
        (RETIRED, b"gone", row(Table::Garbage, "g"), "garbage".into()),
    ];
    if format >= 2 {
        // In the log.
        rows.push((LIVE, b"larger", row(Table::Body, ""), vec![0xB1; 12_300].into()));
    }
    if format >= 3 {
        // Carried along with the object's row, as is the place of the one before.
        rows.push((LIVE, b"larger", row(Table::Object, ""), "object".into()));
        rows.push((LIVE, b"small", row(Table::Object, ""), "object".into()));
        rows.push((LIVE, b"small", row(Table::Body, ""), vec![0xB2; 100].into()));
    }
    rows
}

fn blob_data() -> Vec<u8> {
    (0..20_000u32).map(|n| ((n * 31) >> 3) as u8).collect()
}

#[tokio::test]
async fn every_format_opens() {
    if std::env::var_os("COSTREL_WRITE_FIXTURE").is_some() {
        write_fixture(&fixture(PRESENT)).await;
    }
    for format in 1..=PRESENT {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(&fixture(format), dir.path());
        let text = || std::fs::read_to_string(dir.path().join("format")).unwrap();
        assert_eq!(text(), format!("costrel embedded {format}\n"));
        // The second time it is all in the present format.
        for _ in 0..2 {
            opens(dir.path(), format).await;
            assert_eq!(text(), format!("costrel embedded {PRESENT}\n"));
        }
    }
}

async fn opens(dir: &Path, format: u32) {
    let engine = EmbeddedEngine::open(options(dir)).unwrap();
    for (partition, group, row, value) in rows(format) {
        let read = engine.index().read(partition, group, std::slice::from_ref(&row)).await.unwrap();
        assert_eq!(read, [Some(value)], "format {format}: {partition:?} {group:?} {row:?}");
    }
    for (partition, group, row, value) in rows(format) {
        if row.table == Table::Body {
            let pair = [RowRef::only(Table::Object), row];
            let read = engine.index().read(partition, group, &pair).await.unwrap();
            assert_eq!(read[1], Some(value), "format {format}: {partition:?} {group:?}");
        }
    }
    let mut partitions = engine.index().partitions().await.unwrap();
    partitions.sort_by_key(|(id, _)| *id);
    let states: Vec<_> = partitions.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [PartitionState::Live, PartitionState::Retired]);
    let reader = engine.blobs().open(BLOB).await.unwrap();
    assert!(reader.read_at(0, usize::MAX).await.unwrap() == blob_data());
    assert_eq!(engine.audit().await.unwrap(), Vec::<String>::new());
    engine.close().await.unwrap();
}

async fn write_fixture(dir: &Path) {
    let _ = std::fs::remove_dir_all(dir);
    let engine = EmbeddedEngine::open(options(dir)).unwrap();
    for partition in [LIVE, RETIRED] {
        engine.index().create_partition(partition).await.unwrap();
    }
    let mut groups: BTreeMap<(Partition, &[u8]), Vec<Write>> = BTreeMap::new();
    for (partition, group, row, value) in rows(PRESENT) {
        groups.entry((partition, group)).or_default().push(Write::Put(row, value));
    }
    for ((partition, group), writes) in groups {
        let commit = Commit::new(partition, Bytes::from_static(group), vec![], writes);
        engine.index().commit(commit).await.unwrap();
    }
    assert_eq!(engine.index().retire_partition(RETIRED, &[]).await.unwrap(), Retired::Done);
    let mut writer = engine.blobs().create(BLOB, None).await.unwrap();
    writer.write(blob_data().into()).await.unwrap();
    writer.finish().await.unwrap();
    engine.close().await.unwrap();
    // The journal is made 64 MiB long; its empty end says nothing.
    let journal = dir.join("index/0.jnl");
    let bytes = std::fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    OpenOptions::new().write(true).open(journal).unwrap().set_len(used as u64).unwrap();
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
