//! The check finds what is wrong, whatever it is: each test breaks one thing
//! behind the store's back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::bucket::{Bucket, ListBuckets};
use costrel_core::engine::{
    BlobId, Commit, EngineError, Partition, PartitionState, RowRef, ScanRange, Step, Table, Write,
};
use costrel_core::fsck;
use costrel_core::list::{ListObjects, ObjectPage};
use costrel_core::lock::BucketLock;
use costrel_core::names::{ObjectKey, UploadId};
use costrel_core::precondition::WriteConditions;
use costrel_core::record::{
    Content, GarbageRecord, ObjectRecord, PartRecord, PendingRecord, decode, encode, part_suffix,
};
use costrel_core::tags::Tags;
use costrel_core::upload::{CompletePart, CompleteRequest, ListParts, ListUploads};
use costrel_core::version::Versioning;
use parking_lot::Mutex;

use crate::common::{LARGE, SMALL, World, body, complete_request, key as named};

struct Broken {
    world: World,
    bucket: Arc<Bucket>,
}

type Row = (Bytes, Bytes, Bytes);

impl Broken {
    /// A bucket with an object of every kind and an open upload.
    async fn new() -> Broken {
        let world = World::memory();
        let bucket = world.bucket("broken").await;
        world.put(&bucket, "small", body(1, SMALL)).await.unwrap();
        world.put(&bucket, "large", body(2, LARGE)).await.unwrap();
        world.append(&bucket, "appended", 0, body(3, LARGE)).await.unwrap();
        world.append(&bucket, "appended", LARGE as u64, body(4, SMALL)).await.unwrap();
        let upload = world.initiate(&bucket, "parts").await.unwrap();
        let one = world.part(&bucket, "parts", upload, 1, body(5, LARGE)).await.unwrap();
        let two = world.part(&bucket, "parts", upload, 2, body(6, SMALL)).await.unwrap();
        world.complete(&bucket, "parts", upload, vec![one, two]).await.unwrap();
        let open = world.initiate(&bucket, "open").await.unwrap();
        world.part(&bucket, "open", open, 1, body(7, LARGE)).await.unwrap();
        world.settle().await;
        Broken { world, bucket }
    }

    async fn rows(&self, table: Table, group: &'static str) -> Vec<Row> {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let visit = {
            let rows = rows.clone();
            move |group: &[u8], suffix: &[u8], value: &[u8]| {
                let copy = Bytes::copy_from_slice;
                rows.lock().push((copy(group), copy(suffix), copy(value)));
                Step::Next
            }
        };
        let (partition, range) = (self.bucket.partition(), ScanRange::group(group.into()));
        self.world.engine.index().scan(partition, table, range, Box::new(visit)).await.unwrap();
        std::mem::take(&mut *rows.lock())
    }

    async fn commit(&self, partition: Partition, group: &str, write: Write) {
        let group = Bytes::copy_from_slice(group.as_bytes());
        let commit = Commit::new(partition, group, Vec::new(), vec![write]);
        self.world.engine.index().commit(commit).await.unwrap();
    }

    async fn write(&self, group: &str, table: Table, suffix: &Bytes, value: Bytes) {
        let row = RowRef { table, suffix: suffix.clone() };
        self.commit(self.bucket.partition(), group, Write::Put(row, value)).await;
    }

    async fn remove(&self, group: &str, table: Table, suffix: &Bytes) {
        let row = RowRef { table, suffix: suffix.clone() };
        self.commit(self.bucket.partition(), group, Write::Delete(row)).await;
    }

    async fn object(&self, group: &'static str) -> ObjectRecord {
        decode(&self.rows(Table::Object, group).await[0].2, "object").unwrap()
    }

    async fn change(&self, group: &'static str, change: impl FnOnce(&mut ObjectRecord)) {
        let mut record = self.object(group).await;
        change(&mut record);
        self.write(group, Table::Object, &Bytes::new(), encode(&record)).await;
    }

    async fn blob_of(&self, group: &'static str) -> BlobId {
        let content = match self.object(group).await.content {
            Some(Content::Parts(_)) => {
                let rows = self.rows(Table::Part, group).await;
                decode::<PartRecord>(&rows[0].2, "part").unwrap().content
            }
            content => content,
        };
        match content {
            Some(Content::Blob(id)) => BlobId(id.as_ref().try_into().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// Something is found, and every finding says one of these.
    async fn finds(&self, words: &[&str]) {
        let findings = findings(&self.world).await;
        assert!(!findings.is_empty(), "nothing about {words:?}");
        for finding in &findings {
            assert!(words.iter().any(|word| finding.contains(word)), "{finding}");
        }
    }
}

/// But for those about counters: they do not know of what happens to rows behind the
/// store's back.
async fn findings(world: &World) -> Vec<String> {
    let report = fsck::run(&*world.engine, |_| ()).await.unwrap();
    report.findings.into_iter().filter(|finding| !finding.contains("counters say")).collect()
}

#[tokio::test]
async fn missing_bytes() {
    for key in ["large", "parts", "appended"] {
        let broken = Broken::new().await;
        let blob = broken.blob_of(key).await;
        broken.world.engine.blobs().delete(blob).await.unwrap();
        broken.finds(&["is missing"]).await;
        assert!(matches!(broken.world.get(&broken.bucket, key).await, Err(Error::Damaged(_))));
        // Nothing else suffers.
        assert_eq!(broken.world.get(&broken.bucket, "small").await.unwrap(), body(1, SMALL));
    }
    let broken = Broken::new().await;
    broken.remove("small", Table::Body, &Bytes::new()).await;
    broken.finds(&["inline body is missing"]).await;
    assert!(matches!(broken.world.get(&broken.bucket, "small").await, Err(Error::Damaged(_))));
}

#[tokio::test]
async fn other_bytes() {
    let broken = Broken::new().await;
    let (_, suffix, value) = broken.rows(Table::Body, "small").await.remove(0);
    let mut changed = value.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    broken.write("small", Table::Body, &suffix, changed.into()).await;
    broken.finds(&["MD5 differs"]).await;

    for change in [
        (|record| record.size += 1) as fn(&mut ObjectRecord),
        |record| record.crc64 ^= 1,
        |record| record.etag = Bytes::from_static(&[0; 16]),
    ] {
        for key in ["small", "large", "parts"] {
            let broken = Broken::new().await;
            broken.change(key, change).await;
            broken.finds(&["differs from the record's"]).await;
        }
    }
    let broken = Broken::new().await;
    broken.change("appended", |record| record.crc64 ^= 1).await;
    broken.finds(&["CRC-64 differs"]).await;
}

#[tokio::test]
async fn rows_and_blobs_of_nothing() {
    let broken = Broken::new().await;
    let mut writer = broken.world.engine.blobs().create(BlobId([9; 16]), None).await.unwrap();
    writer.write(body(1, 10)).await.unwrap();
    writer.finish().await.unwrap();
    broken.finds(&["blob 09090909090909090909090909090909 belongs to nothing"]).await;

    let broken = Broken::new().await;
    broken.remove("small", Table::Object, &Bytes::new()).await;
    broken.finds(&["body row of \"small\" belongs to nothing"]).await;

    let broken = Broken::new().await;
    broken.remove("parts", Table::Object, &Bytes::new()).await;
    broken.finds(&["belongs to nothing"]).await;

    // A part that the object does not use and nobody will free.
    let broken = Broken::new().await;
    let rows = broken.rows(Table::Part, "parts").await;
    let set = &rows[0].1[..16];
    let part = PartRecord { write_id: Bytes::from_static(b"w"), ..Default::default() };
    broken.write("parts", Table::Part, &part_suffix(set, 3), encode(&part)).await;
    broken.finds(&["part 3 belongs to nothing"]).await;
    let broken = Broken::new().await;
    broken.remove("parts", Table::Part, &rows[1].1).await;
    broken.finds(&["part 2 is missing", "belongs to nothing"]).await;
}

#[tokio::test]
async fn blobs_of_two_owners() {
    let broken = Broken::new().await;
    let id = broken.object("large").await;
    broken.write("other", Table::Object, &Bytes::new(), encode(&id)).await;
    broken.finds(&["belongs to another row as well"]).await;

    // What is used is about to be freed.
    for key in ["large", "parts"] {
        let broken = Broken::new().await;
        let blobs = vec![Bytes::copy_from_slice(&broken.blob_of(key).await.0)];
        let garbage = GarbageRecord { queued_ms: 1, blobs, ..Default::default() };
        let suffix = Bytes::from_static(&[1; 16]);
        broken.write(key, Table::Garbage, &suffix, encode(&garbage)).await;
        broken.finds(&["belongs to another row as well"]).await;

        let broken = Broken::new().await;
        let suffix = Bytes::copy_from_slice(&broken.blob_of(key).await.0);
        let pending = PendingRecord { started_ms: 1, ..Default::default() };
        broken.write(key, Table::Pending, &suffix, encode(&pending)).await;
        broken.finds(&["belongs to another row as well"]).await;
    }
    for part_numbers in [vec![], vec![1]] {
        let broken = Broken::new().await;
        let part_set = broken.rows(Table::Part, "parts").await[0].1.slice(..16);
        let garbage = GarbageRecord { queued_ms: 1, part_set, part_numbers, ..Default::default() };
        let suffix = Bytes::from_static(&[1; 16]);
        broken.write("parts", Table::Garbage, &suffix, encode(&garbage)).await;
        broken.finds(&["belong to something else as well", "part 1 is to be freed"]).await;
    }
}

#[tokio::test]
async fn undecodable_rows() {
    let noise = Bytes::from_static(&[0xff; 7]);
    for (table, key) in [
        (Table::Object, "small"),
        (Table::Part, "parts"),
        (Table::Upload, "open"),
        (Table::Pending, "small"),
        (Table::Garbage, "small"),
    ] {
        let broken = Broken::new().await;
        let suffix = match broken.rows(table, key).await.first() {
            Some((_, suffix, _)) => suffix.clone(),
            None => Bytes::from_static(&[1; 16]),
        };
        broken.write(key, table, &suffix, noise.clone()).await;
        broken.finds(&["record:", "belongs to nothing"]).await;
        // What meets it is an error and no panic.
        let got = broken.world.get(&broken.bucket, key).await;
        let expected = match table {
            Table::Object | Table::Part => matches!(got, Err(Error::Damaged(_))),
            Table::Upload => matches!(got, Err(Error::NoSuchKey)),
            _ => got.is_ok(),
        };
        assert!(expected, "{table:?}: {got:?}");
    }
}

/// What nobody looks at is replaced and deleted all the same, and what could have
/// been locked is not.
#[tokio::test]
async fn undecodable_objects_are_replaced() {
    let noise = Bytes::from_static(&[0xff; 7]);
    for key in ["small", "large", "parts", "appended"] {
        for len in [SMALL, LARGE] {
            let broken = Broken::new().await;
            let (world, bucket) = (&broken.world, &broken.bucket);
            broken.write(key, Table::Object, &Bytes::new(), noise.clone()).await;
            // Whoever asks what is there hears that it is damaged.
            let forbid = WriteConditions { forbid_overwrite: true, ..Default::default() };
            let put = world.put_if(bucket, key, body(9, len), forbid).await.map(drop);
            let tags = Tags::default();
            let tags = world.store.set_object_tags(bucket, &named(key), None, &tags).await;
            let grown = world.append(bucket, key, 0, body(9, len)).await;
            for refused in [put, tags.map(drop), grown.map(drop)] {
                assert!(matches!(refused, Err(Error::Damaged(_))), "{key}: {refused:?}");
            }
            world.put(bucket, key, body(9, len)).await.unwrap();
            assert_eq!(world.get(bucket, key).await.unwrap(), body(9, len));
            broken.write(key, Table::Object, &Bytes::new(), noise.clone()).await;
            world.delete(bucket, key).await.unwrap();
            assert!(matches!(world.get(bucket, key).await, Err(Error::NoSuchKey)));
            // What is left is what only the row knew of.
            let findings = findings(world).await;
            assert!(findings.iter().all(|f| f.contains("belongs to nothing")));
            assert_eq!(findings.is_empty(), key == "small" && len == SMALL);
        }
    }
    let broken = Broken::new().await;
    let (world, bucket) = (&broken.world, &broken.bucket);
    world.store.set_object_lock(bucket, BucketLock::default(), true).await.unwrap();
    broken.write("small", Table::Object, &Bytes::new(), noise).await;
    let put = world.put(bucket, "small", body(9, SMALL)).await.map(drop);
    for refused in [put, world.delete(bucket, "small").await.map(drop)] {
        assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
    }
}

/// The row of the newest version says what the row of the current object said.
#[tokio::test]
async fn undecodable_objects_with_versions_are_made_out() {
    let noise = Bytes::from_static(&[0xff; 7]);
    for way in ["put", "delete", "tags", "remove"] {
        let broken = Broken::new().await;
        let (world, bucket) = (&broken.world, &broken.bucket);
        world.store.set_versioning(bucket, Versioning::Enabled).await.unwrap();
        let old = world.put(bucket, "small", body(8, SMALL)).await.unwrap().version.unwrap();
        let new = world.put(bucket, "small", body(9, LARGE)).await.unwrap().version.unwrap();
        broken.write("small", Table::Object, &Bytes::new(), noise.clone()).await;
        match way {
            "put" => drop(world.put(bucket, "small", body(10, LARGE)).await.unwrap()),
            "delete" => drop(world.delete(bucket, "small").await.unwrap()),
            "tags" => {
                let tags = Tags::default();
                world.store.set_object_tags(bucket, &named("small"), None, &tags).await.unwrap();
            }
            _ => drop(world.delete_version(bucket, "small", new).await.unwrap()),
        }
        assert_eq!(world.get_version(bucket, "small", old).await.unwrap(), body(8, SMALL));
        if way != "remove" {
            assert_eq!(world.get_version(bucket, "small", new).await.unwrap(), body(9, LARGE));
        }
        world.collector.sweep().await.unwrap();
        assert_eq!(findings(world).await, Vec::<String>::new());
    }
}

/// A damaged row hides no other from a list, nor itself: a mirror would delete
/// its copy of what it no longer sees.
#[tokio::test]
async fn undecodable_rows_are_listed() {
    let noise = Bytes::from_static(&[0xff; 7]);
    let broken = Broken::new().await;
    let (store, bucket) = (&broken.world.store, &broken.bucket);
    let before = store.list_objects(bucket, &list_all()).await.unwrap();
    broken.write("large", Table::Object, &Bytes::new(), noise.clone()).await;
    let after = store.list_objects(bucket, &list_all()).await.unwrap();
    let keys = |page: &ObjectPage| -> Vec<String> {
        page.entries.iter().map(|(key, _)| key.clone()).collect()
    };
    assert_eq!(keys(&after), keys(&before));
    let sizes = |page: &ObjectPage| -> Vec<u64> {
        page.entries.iter().map(|(_, entry)| entry.size).collect()
    };
    assert_eq!(sizes(&after)[1..2], [0]);
    assert_eq!(sizes(&after)[2..], sizes(&before)[2..]);
    assert!(matches!(broken.world.get(bucket, "large").await, Err(Error::Damaged(_))));

    let (_, part, _) = broken.rows(Table::Part, "open").await.remove(0);
    let upload = UploadId(part[..16].try_into().unwrap());
    broken.write("open", Table::Part, &part, noise.clone()).await;
    let request = ListParts { key: ObjectKey::new("open").unwrap(), upload, after: 0, max: 10 };
    let parts = store.list_parts(bucket, &request).await.unwrap().parts;
    assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1]);
    let named = CompletePart { number: 1, etag: String::new(), checksums: Vec::new() };
    let completed = complete_request("open", upload, Vec::new());
    let completed = CompleteRequest { parts: vec![named], ..completed };
    let completed = store.complete_upload(bucket, completed).await;
    assert!(matches!(completed, Err(Error::Damaged(_))), "{completed:?}");

    broken.write("open", Table::Upload, &upload.suffix(), noise.clone()).await;
    let request = ListUploads { max: 10, ..ListUploads::default() };
    let uploads = store.list_uploads(bucket, &request).await.unwrap();
    assert_eq!(uploads.entries.iter().map(|(_, entry)| entry.id).collect::<Vec<_>>(), [upload]);

    let other = broken.world.bucket("other").await;
    let row = RowRef::only(Table::Bucket);
    broken.commit(Partition::System, "broken", Write::Put(row, noise)).await;
    let request = ListBuckets { owner_uin: other.owner_uin, max: 10, ..Default::default() };
    let buckets = store.list_buckets(&request).await.unwrap().buckets;
    assert_eq!(buckets.iter().map(|b| b.name.as_str()).collect::<Vec<_>>(), ["other"]);
}

fn list_all() -> ListObjects {
    ListObjects { max: 100, ..ListObjects::default() }
}

#[tokio::test]
async fn a_bucket_without_a_name_is_kept() {
    let mut broken = Broken::new().await;
    let name = Write::Delete(RowRef::only(Table::Bucket));
    broken.commit(Partition::System, "broken", name).await;
    broken.finds(&["holds objects and has no name"]).await;
    broken.world.restart();
    broken.world.collector.recover().await.unwrap();
    broken.world.collector.sweep().await.unwrap();
    assert_eq!(broken.world.get(&broken.bucket, "large").await.unwrap(), body(2, LARGE));
    broken.finds(&["holds objects and has no name"]).await;
}

/// A damaged row keeps neither the others from being freed nor the store from
/// starting, and no partition is taken for nameless that it may name.
#[tokio::test]
async fn undecodable_rows_stop_neither_collector_nor_start() {
    let noise = Bytes::from_static(&[0xff; 7]);
    let mut broken = Broken::new().await;
    let blob = broken.blob_of("large").await;
    for table in [Table::Garbage, Table::Pending] {
        broken.write("a", table, &Bytes::from_static(&[1; 16]), noise.clone()).await;
    }
    broken.world.delete(&broken.bucket, "large").await.unwrap();
    broken.world.collector.sweep().await.unwrap();
    let freed = broken.world.engine.blobs().open(blob).await.map(drop);
    assert!(matches!(freed, Err(EngineError::NotFound(_))), "{freed:?}");
    assert_eq!(broken.world.collector.stats().failures.load(Ordering::Relaxed), 2);

    let empty = broken.world.bucket("empty").await;
    let row = RowRef::only(Table::Bucket);
    broken.commit(Partition::System, "empty", Write::Put(row, noise)).await;
    broken.world.restart();
    broken.world.collector.recover().await.unwrap();
    let partitions = broken.world.engine.index().partitions().await.unwrap();
    assert!(partitions.contains(&(empty.id, PartitionState::Live)), "{partitions:?}");
    let bucket = broken.world.store.bucket("broken").await.unwrap();
    assert_eq!(broken.world.get(&bucket, "small").await.unwrap(), body(1, SMALL));
}
