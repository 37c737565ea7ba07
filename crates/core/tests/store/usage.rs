//! What buckets hold, by their counters. That they agree with the rows, every test of
//! the store checks at its end; here are the figures themselves, and how what an older
//! program has written comes into them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::engine::{
    BucketId, Commit, Engine, Partition, RowRef, ScanRange, Step, Table, Tallies, Tally, Write,
};
use costrel_core::object::Attributes;
use costrel_core::record::{ObjectRecord, PartRecord, UploadRecord, decode, encode};
use costrel_core::usage::{BucketUsage, CountingStats, recount};
use costrel_core::version::Versioning;

use crate::common::faulty::Faulty;
use crate::common::{LARGE, SMALL, World, body, put_request};
use crate::interleaved::stopped;

fn tally(count: i64, bytes: usize) -> Tally {
    Tally { count, bytes: bytes as i64 }
}

fn of(usage: &BucketUsage, class: &str) -> (Tally, Tally, i64) {
    let found = usage.classes.iter().find(|usage| usage.class == class);
    found.map_or_else(Default::default, |c| (c.current, c.noncurrent, c.uploads))
}

async fn put_in_class(world: &World, bucket: &Bucket, at: &str, class: &str) {
    let mut request = put_request(at);
    request.attributes = Attributes { storage_class: class.into(), ..Attributes::default() };
    let mut source = crate::common::Pieces::new(body(9, SMALL), 10);
    world.store.put_object(bucket, request, &mut source).await.unwrap();
}

#[tokio::test]
async fn each_kind_is_told_apart() {
    let world = World::memory();
    let bucket = world.versioned("b-1250000000", Versioning::Enabled).await;
    world.put(&bucket, "a", body(1, SMALL)).await.unwrap();
    world.put(&bucket, "a", body(2, LARGE)).await.unwrap();
    put_in_class(&world, &bucket, "b", "ARCHIVE").await;
    world.delete(&bucket, "b").await.unwrap();
    let upload = world.initiate(&bucket, "c").await.unwrap();
    let part = world.part(&bucket, "c", upload, 1, body(3, LARGE)).await.unwrap();
    world.part(&bucket, "c", upload, 2, body(4, SMALL)).await.unwrap();

    let usage = world.store.usage(&bucket).await.unwrap();
    assert_eq!(of(&usage, "STANDARD"), (tally(1, LARGE), tally(1, SMALL), 1));
    assert_eq!(of(&usage, "ARCHIVE"), (tally(0, 0), tally(1, SMALL), 0));
    assert_eq!(usage.delete_markers, 1);
    assert_eq!(usage.parts(), tally(2, LARGE + SMALL));
    assert_eq!(usage.total(), tally(3, LARGE + 2 * SMALL));

    // The second part is left out, and counts until it is freed.
    world.complete(&bucket, "c", upload, vec![part]).await.unwrap();
    let usage = world.store.usage(&bucket).await.unwrap();
    assert_eq!(of(&usage, "STANDARD"), (tally(2, 2 * LARGE), tally(1, SMALL), 0));
    assert_eq!(usage.parts(), tally(1, SMALL));
    world.settle().await;
    assert_eq!(world.store.usage(&bucket).await.unwrap().parts(), tally(0, 0));
}

#[tokio::test]
async fn a_wrong_counter_is_found_and_corrected() {
    let world = World::memory();
    let bucket = world.bucket("b-1250000000").await;
    world.put(&bucket, "a", body(1, SMALL)).await.unwrap();
    let Partition::Bucket(id) = bucket.partition() else { unreachable!() };
    let right = recount(&*world.engine, id).await.unwrap();
    assert!(right.agrees(), "{right:?}");
    move_counters(
        &*world.engine,
        id,
        &world.engine.index().tallies(bucket.partition()).await.unwrap(),
    )
    .await;
    let report = costrel_core::fsck::run(&*world.engine, |_| ()).await.unwrap();
    assert!(report.findings[0].contains("counters say"), "{:?}", report.findings);
    let wrong = recount(&*world.engine, id).await.unwrap();
    assert_eq!(
        (wrong.rows.total(), wrong.counters.total()),
        (tally(1, SMALL), tally(2, 2 * SMALL))
    );
    costrel_core::usage::correct(&*world.engine, id, &wrong).await.unwrap();
    world.settle().await;
}

async fn move_counters(engine: &dyn Engine, bucket: BucketId, by: &Tallies) {
    let mut commit = Commit::new(Partition::Bucket(bucket), Bytes::new(), vec![], vec![]);
    commit.tallies = by.clone();
    engine.index().commit(commit).await.unwrap();
}

type Rows = Vec<(Bytes, Bytes, Bytes)>;

async fn scan(engine: &dyn Engine, partition: Partition, table: Table) -> Rows {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let visit = {
        let rows = rows.clone();
        move |group: &[u8], suffix: &[u8], value: &[u8]| {
            let copy = Bytes::copy_from_slice;
            rows.lock().unwrap().push((copy(group), copy(suffix), copy(value)));
            Step::Next
        }
    };
    engine.index().scan(partition, table, ScanRange::all(), Box::new(visit)).await.unwrap();
    std::mem::take(&mut *rows.lock().unwrap())
}

/// Makes of the bucket what a program would have left that did not count.
async fn forget(engine: &dyn Engine, bucket: BucketId) {
    let partition = Partition::Bucket(bucket);
    for table in [Table::Object, Table::Version, Table::Upload, Table::Part] {
        for (group, suffix, value) in scan(engine, partition, table).await {
            let value = match table {
                Table::Upload => {
                    let record: UploadRecord = decode(&value, "").unwrap();
                    encode(&UploadRecord { counted: false, ..record })
                }
                Table::Part if suffix.ends_with(&[0; 4]) => continue,
                Table::Part => {
                    let record: PartRecord = decode(&value, "").unwrap();
                    encode(&PartRecord { counted: false, ..record })
                }
                _ => {
                    let record: ObjectRecord = decode(&value, "").unwrap();
                    encode(&ObjectRecord { counted: false, ..record })
                }
            };
            let write = Write::Put(RowRef { table, suffix }, value);
            let commit = Commit::new(partition, group, vec![], vec![write]);
            engine.index().commit(commit).await.unwrap();
        }
    }
    let counters = engine.index().tallies(partition).await.unwrap();
    move_counters(engine, bucket, &Tallies::default().minus(&counters)).await;
}

/// Something of every kind, in a bucket that had no versions at first.
async fn furnish(world: &World) -> Arc<Bucket> {
    let bucket = world.bucket("b-1250000000").await;
    world.put(&bucket, "old", body(1, SMALL)).await.unwrap();
    world.put(&bucket, "covered", body(1, LARGE)).await.unwrap();
    world.put(&bucket, "marked", body(1, SMALL)).await.unwrap();
    world.append(&bucket, "grown", 0, body(1, LARGE)).await.unwrap();
    world.append(&bucket, "grown", LARGE as u64, body(2, SMALL)).await.unwrap();
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    world.put(&bucket, "covered", body(2, SMALL)).await.unwrap();
    world.put(&bucket, "new", body(2, SMALL)).await.unwrap();
    world.delete(&bucket, "marked").await.unwrap();
    let upload = world.initiate(&bucket, "joined").await.unwrap();
    let part = world.part(&bucket, "joined", upload, 1, body(3, LARGE)).await.unwrap();
    world.complete(&bucket, "joined", upload, vec![part]).await.unwrap();
    let upload = world.initiate(&bucket, "open").await.unwrap();
    world.part(&bucket, "open", upload, 1, body(3, LARGE)).await.unwrap();
    bucket
}

#[tokio::test]
async fn what_was_there_before_is_counted_once() {
    let world = World::memory();
    let bucket = furnish(&world).await;
    let Partition::Bucket(id) = bucket.partition() else { unreachable!() };
    let before = world.store.usage(&bucket).await.unwrap();
    forget(&*world.engine, id).await;
    assert_eq!(world.store.usage(&bucket).await.unwrap(), BucketUsage::default());
    assert!(!world.store.is_all_counted().await.unwrap());
    // What is written meanwhile counts at once, and what is taken away does not.
    world.put(&bucket, "meanwhile", body(7, SMALL)).await.unwrap();
    world.delete(&bucket, "new").await.unwrap();
    let covered = world.versions(&bucket, 100).await;
    let newest = covered.iter().find(|(key, _)| key == "covered").unwrap().1.version;
    world.delete_version(&bucket, "covered", newest.unwrap()).await.unwrap();
    let stats = CountingStats::default();
    world.store.count_all(&stats).await;
    assert!(world.store.is_all_counted().await.unwrap());
    let counted = stats.rows.load(Relaxed);
    assert!(counted >= 9, "{counted}");
    // Again for nothing.
    world.store.count_all(&stats).await;
    assert_eq!(stats.rows.load(Relaxed), counted);
    let after = world.settle().await;
    assert_eq!(after.uncounted, 0);
    let usage = world.store.usage(&bucket).await.unwrap();
    assert_eq!(usage.parts(), before.parts());
    assert_eq!(usage.delete_markers, before.delete_markers + 1);
    // One version more by the put, one less by the removal.
    assert_eq!(usage.total(), before.total());
    assert_eq!(world.get(&bucket, "covered").await.unwrap(), body(1, LARGE));
}

/// The walk ends at every point at which it waits, and goes on in another process.
#[tokio::test(start_paused = true)]
async fn counting_may_end_anywhere() {
    for round in 0.. {
        let world = World::over(Faulty::new(World::memory().engine));
        let bucket = furnish(&world).await;
        let Partition::Bucket(id) = bucket.partition() else { unreachable!() };
        let before = world.store.usage(&bucket).await.unwrap();
        forget(&*world.engine, id).await;
        let stats = CountingStats::default();
        let ended = {
            let mut polls = 0;
            let mut walk = std::pin::pin!(world.store.count_all(&stats));
            std::future::poll_fn(|context| {
                polls += 1;
                match polls > round {
                    true => Poll::Ready(false),
                    false => walk.as_mut().poll(context).map(|()| true),
                }
            })
            .await
        };
        world.store.count_all(&CountingStats::default()).await;
        world.settle().await;
        assert_eq!(world.store.usage(&bucket).await.unwrap(), before, "ended at {round}");
        if ended {
            assert!(round > 20, "it waits at {round} points");
            return;
        }
    }
}

/// Somebody writes at every point at which the walk waits.
#[tokio::test(start_paused = true)]
async fn counting_beside_writers() {
    for round in 0.. {
        let world = World::over(Faulty::new(World::memory().engine));
        let bucket = furnish(&world).await;
        let Partition::Bucket(id) = bucket.partition() else { unreachable!() };
        forget(&*world.engine, id).await;
        let stats = CountingStats::default();
        let writing = async {
            world.put(&bucket, "old", body(9, LARGE)).await.unwrap();
            world.put(&bucket, "marked", body(9, SMALL)).await.unwrap();
            world.delete(&bucket, "joined").await.unwrap();
            for (key, entry) in world.versions(&bucket, 100).await {
                if key == "covered" {
                    world.delete_version(&bucket, &key, entry.version.unwrap()).await.unwrap();
                    break;
                }
            }
        };
        let ((), (), waits) = stopped(world.store.count_all(&stats), round, writing).await;
        // The check compares the counters with the rows.
        world.settle().await;
        if !waits {
            return;
        }
    }
}
