//! What requests do and what buckets hold, counted by any number of processes: whatever
//! fails, and however often rows are put together, each request counts once and each
//! day comes to the same.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::engine::{Commit, Partition, RowRef, ScanRange, Step, Table, Write};
use costrel_core::usage::{DayUsage, RequestKind, Served, StorageDay, UsageJob, class_number};
use costrel_testkit::SharedMemory;

use crate::common::faulty::{Fault, Faulty, Plan};
use crate::common::{SMALL, World, body};

const PERIOD: Duration = Duration::from_secs(300);
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

fn job(world: &World) -> UsageJob {
    UsageJob::new(world.store.clone(), PERIOD)
}

fn count(world: &World, bucket: &Bucket, requests: u64) {
    for _ in 0..requests {
        let served = Served {
            class: class_number("STANDARD_IA"),
            kind: RequestKind::Read,
            status: 206,
            is_internal: false,
            bytes_in: 1,
            bytes_out: 10,
            is_retrieval: true,
        };
        world.store.count_request(bucket, &served);
    }
}

/// To the beginning of the next day, and a bit.
fn to_next_day(world: &World) -> u64 {
    let calendar = world.store.usage_calendar();
    let now_ms = world.store.now_ms();
    world.advance(calendar.day_begin(calendar.day(now_ms) + 1) - now_ms);
    calendar.day(world.store.now_ms())
}

async fn used(world: &World, name: &str) -> Vec<DayUsage> {
    world.store.days_used(name, (0, u64::MAX)).await.unwrap()
}

fn requests(days: &[DayUsage]) -> Vec<(u64, u64, u64)> {
    let of = |day: &DayUsage| day.classes.iter().map(|class| class.reads).sum();
    days.iter().map(|day| (day.day, of(day), day.traffic.internet_out)).collect()
}

/// How many rows of each kind there are.
async fn kinds(world: &World) -> [usize; 6] {
    let found = Arc::new(parking_lot::Mutex::new([0; 6]));
    let visit = {
        let found = found.clone();
        move |_: &[u8], suffix: &[u8], _: &[u8]| {
            found.lock()[usize::from(suffix[0])] += 1;
            Step::Next
        }
    };
    let index = world.engine.index();
    let all = ScanRange::all();
    index.scan(Partition::System, Table::Usage, all, Box::new(visit)).await.unwrap();
    *found.lock()
}

#[tokio::test]
async fn a_day_comes_to_the_same_before_and_after_it_is_put_together() {
    let world = World::memory();
    let bucket = world.bucket("b-1").await;
    let day = to_next_day(&world);
    let job = job(&world);
    job.round().await.unwrap();
    world.advance(HOUR_MS);
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    job.round().await.unwrap();
    for _ in 0..4 {
        count(&world, &bucket, 3);
        world.advance(30_000);
        world.store.keep_counts().await.unwrap();
    }
    world.advance(11 * HOUR_MS - 2 * MINUTE_MS);
    world.put(&bucket, "l", body(2, 2 * SMALL)).await.unwrap();
    job.round().await.unwrap();
    let [_, traffic, samples, blocks, days, _] = kinds(&world).await;
    assert_eq!((samples, days), (1, 0), "the first hours are put together");
    assert!(traffic == 0 && blocks > 0);
    to_next_day(&world);
    let before = used(&world, "b-1").await;
    assert_eq!(requests(&before), [(day, 12, 120), (day + 1, 0, 0)][..before.len()]);
    let storage = before[0].classes.iter().find(|class| class.class == "STANDARD").unwrap().storage;
    let small = SMALL as u128;
    let want = StorageDay {
        byte_ms: small * u128::from(11 * HOUR_MS) + 3 * small * u128::from(12 * HOUR_MS),
        bytes_peak: 300,
        bytes_last: 300,
        object_ms: u128::from(11 * HOUR_MS + 2 * 12 * HOUR_MS),
        objects_peak: 2,
        objects_last: 2,
    };
    assert_eq!(storage, want);
    assert_eq!(before[0].statuses, [(206, 12)]);
    assert_eq!(before[0].traffic.internet_in, 12);

    world.advance(2 * PERIOD.as_millis() as u64);
    job.round().await.unwrap();
    assert_eq!(kinds(&world).await[4], 1);
    let after = used(&world, "b-1").await;
    assert_eq!(after[0], before[0]);
    world.settle().await;
}

#[tokio::test]
async fn what_was_seen_last_counts_whatever_the_clock_said() {
    let world = World::memory();
    let bucket = world.bucket("b-1").await;
    to_next_day(&world);
    let job = job(&world);
    world.advance(HOUR_MS);
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    job.round().await.unwrap();
    world.set_back(10 * MINUTE_MS);
    world.delete(&bucket, "k").await.unwrap();
    job.round().await.unwrap();
    to_next_day(&world);
    job.round().await.unwrap();
    to_next_day(&world);
    // Both looks count for one slot, at whose end there was nothing.
    assert_eq!(used(&world, "b-1").await, []);
}

#[tokio::test]
async fn a_row_of_long_ago_changes_no_day_but_its_own() {
    let world = World::memory();
    let bucket = world.bucket("b-1").await;
    let first = to_next_day(&world);
    let job = job(&world);
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    for _ in 0..100 {
        count(&world, &bucket, 1);
        world.store.keep_counts().await.unwrap();
        to_next_day(&world);
        world.advance(HOUR_MS);
        job.round().await.unwrap();
    }
    let before = used(&world, "b-1").await;
    // A process comes up with an old clock.
    let ago = world.store.now_ms() - world.store.usage_calendar().day_begin(first + 1);
    world.set_back(ago);
    let beside = world.beside(world.engine.clone());
    let seen = beside.store.bucket("b-1").await.unwrap();
    count(&beside, &seen, 5);
    beside.store.keep_counts().await.unwrap();
    world.advance(ago);
    job.round().await.unwrap();
    let mut after = used(&world, "b-1").await;
    let of_day = after.iter_mut().find(|day| day.day == first + 1).unwrap();
    assert_eq!(of_day.statuses, [(206, 6)]);
    let unchanged = before.iter().find(|day| day.day == first + 1).unwrap();
    assert_eq!(of_day.classes[0].storage, unchanged.classes[0].storage);
    *of_day = unchanged.clone();
    assert_eq!(after[..100], before[..100]);
}

#[tokio::test]
async fn rows_get_coarser_and_go_but_days_stay() {
    let world = World::memory();
    let bucket = world.bucket("b-1").await;
    let first = to_next_day(&world);
    let job = job(&world);
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    job.round().await.unwrap();
    for _ in 0..120 {
        for _ in 0..20 {
            count(&world, &bucket, 1);
            world.store.keep_counts().await.unwrap();
            world.advance(MINUTE_MS);
        }
        to_next_day(&world);
        world.advance(HOUR_MS);
        job.round().await.unwrap();
    }
    let days = used(&world, "b-1").await;
    let past = &days[..120];
    assert!(past.iter().enumerate().all(|(n, day)| day.day == first + n as u64));
    assert!(requests(past).iter().all(|(_, requests, bytes)| (*requests, *bytes) == (20, 200)));
    let bytes = |day: &DayUsage| day.classes[0].storage.byte_ms;
    assert!(past.iter().all(|day| bytes(day) == SMALL as u128 * u128::from(DAY_MS)));
    let [_, traffic, samples, blocks, rows, latest] = kinds(&world).await;
    assert_eq!((traffic, samples, rows, latest), (0, 0, 120, 1));
    assert!((93..=95).contains(&blocks), "{blocks}");
    // Of how many slots each period is, the older, the fewer.
    let calendar = world.store.usage_calendar();
    for (age, slots) in [(1, 20), (20, 4), (60, 1), (100, 0)] {
        let begin_ms = calendar.day_begin(first + 120 - age);
        let span = (begin_ms, begin_ms + DAY_MS);
        let series = world.store.usage_series("b-1", span, |at| at).await.unwrap();
        assert_eq!(series.figures.len(), slots, "{age} days ago");
        assert_eq!(series.before.classes[0].bytes, SMALL as u64, "{age} days ago");
    }
    world.settle().await;
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_known_by_what_it_used() {
    let world = World::memory();
    let bucket = world.bucket("b-1").await;
    let job = job(&world);
    let day = to_next_day(&world);
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    job.round().await.unwrap();
    world.advance(HOUR_MS);
    world.delete(&bucket, "k").await.unwrap();
    world.store.delete_bucket(&bucket).await.unwrap();
    count(&world, &bucket, 1);
    world.store.keep_counts().await.unwrap();
    job.round().await.unwrap();
    to_next_day(&world);
    world.advance(HOUR_MS);
    job.round().await.unwrap();
    world.bucket("a-1").await;
    assert_eq!(world.store.buckets_used("", 10).await.unwrap(), ["b-1"]);
    assert_eq!(world.store.buckets_used("b-1", 10).await.unwrap(), [""; 0]);
    let days = used(&world, "b-1").await;
    assert_eq!(requests(&days), [(day, 1, 10)]);
    let bytes = |day: &DayUsage| day.classes[0].storage.byte_ms;
    assert_eq!(bytes(&days[0]), SMALL as u128 * u128::from(HOUR_MS));
    // Another one of its name goes on where it has ended.
    let again = world.bucket("b-1").await;
    world.put(&again, "k", body(1, SMALL)).await.unwrap();
    job.round().await.unwrap();
    world.advance(HOUR_MS);
    let days = used(&world, "b-1").await;
    assert_eq!(days.len(), 2);
    // The clock of these tests goes on a bit whenever somebody looks at it.
    let hours = SMALL as u128 * u128::from(HOUR_MS)..SMALL as u128 * u128::from(HOUR_MS + 200);
    assert!(hours.contains(&bytes(&days[1])));
}

#[tokio::test]
async fn every_call_of_a_round_may_fail() {
    for fault in [Fault::Before, Fault::After] {
        for forever in [false, true] {
            for at in 0.. {
                let engine = Faulty::new(World::memory().engine);
                let world = World::over(engine.clone());
                let bucket = world.bucket("b-1").await;
                to_next_day(&world);
                world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
                job(&world).round().await.unwrap();
                for _ in 0..3 {
                    count(&world, &bucket, 1);
                    world.store.keep_counts().await.unwrap();
                    world.advance(MINUTE_MS);
                }
                to_next_day(&world);
                world.advance(HOUR_MS);
                let want = used(&world, "b-1").await.swap_remove(0);
                engine.plan(Some(Plan { at, fault, forever }));
                let _ = job(&world).round().await;
                let ended = engine.calls() <= at;
                engine.plan(None);
                let halfway = used(&world, "b-1").await;
                assert_eq!(halfway[0], want, "{fault:?} at {at}, {forever}, halfway");
                // Another process, or the next period.
                job(&world).round().await.unwrap();
                let [_, traffic, .., days, _] = kinds(&world).await;
                assert_eq!((traffic, days), (0, 1), "{fault:?} at {at}, {forever}");
                assert_eq!(used(&world, "b-1").await[0], want, "{fault:?} at {at}, {forever}");
                if ended {
                    break;
                }
            }
        }
    }
}

/// What could not be written, or whose answer was lost, is written again, once.
#[tokio::test]
async fn counts_wait_until_they_can_be_written() {
    for fault in [Fault::Before, Fault::After] {
        let engine = Faulty::new(World::memory().engine);
        let world = World::over(engine.clone());
        let bucket = world.bucket("b-1").await;
        count(&world, &bucket, 2);
        engine.plan(Some(Plan { at: 0, fault, forever: false }));
        world.store.keep_counts().await.unwrap_err();
        engine.plan(None);
        count(&world, &bucket, 3);
        world.advance(MINUTE_MS);
        count(&world, &bucket, 4);
        world.store.keep_counts().await.unwrap();
        world.store.keep_counts().await.unwrap();
        let total: u64 = requests(&used(&world, "b-1").await).iter().map(|day| day.1).sum();
        assert_eq!(total, 9, "{fault:?}");
    }
}

/// So is what waited for so long that its slot is over. What was written after all is not
/// counted again, whether it still has its row or not.
#[tokio::test]
async fn counts_that_wait_for_long_count_once() {
    for fault in [Fault::Before, Fault::After] {
        for is_put_together in [false, true] {
            let engine = Faulty::new(World::memory().engine);
            let world = World::over(engine.clone());
            let bucket = world.bucket("b-1").await;
            count(&world, &bucket, 2);
            world.store.keep_counts().await.unwrap();
            if is_put_together {
                to_next_day(&world);
                world.advance(HOUR_MS);
                count(&world, &bucket, 3);
                job(&world).round().await.unwrap();
            } else {
                count(&world, &bucket, 3);
                engine.plan(Some(Plan { at: 0, fault, forever: false }));
                world.store.keep_counts().await.unwrap_err();
                engine.plan(None);
                to_next_day(&world);
                world.advance(HOUR_MS);
            }
            count(&world, &bucket, 4);
            world.store.keep_counts().await.unwrap();
            let total = |days: &[DayUsage]| requests(days).iter().map(|day| day.1).sum::<u64>();
            assert_eq!(total(&used(&world, "b-1").await), 9, "{fault:?}");
            job(&world).round().await.unwrap();
            assert_eq!(total(&used(&world, "b-1").await), 9, "{fault:?}");
        }
    }
}

/// Names are kept for ever. Those of long ago cost rounds nothing, and bills little.
#[tokio::test]
async fn names_of_long_ago_are_left_alone() {
    let engine = Faulty::new(World::memory().engine);
    let world = World::over(engine.clone());
    let job = job(&world);
    let day = to_next_day(&world);
    for number in 0..20 {
        let bucket = world.bucket(&format!("b-{number}")).await;
        world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
        job.round().await.unwrap();
        world.advance(MINUTE_MS);
        world.delete(&bucket, "k").await.unwrap();
        count(&world, &bucket, 1);
        world.store.keep_counts().await.unwrap();
        world.store.delete_bucket(&bucket).await.unwrap();
    }
    world.bucket("a-1").await;
    let calls = async || {
        engine.plan(None);
        job.round().await.unwrap();
        engine.calls()
    };
    let busy = calls().await;
    world.advance(100 * DAY_MS);
    // A process that begins looks at all once.
    let whole = UsageJob::new(world.store.clone(), PERIOD);
    whole.round().await.unwrap();
    whole.round().await.unwrap();
    assert_eq!(kinds(&world).await[1..5], [0, 0, 0, 20], "days alone are left");
    let _ = calls().await;
    let idle = calls().await;
    assert!(busy > 100 && idle < 10, "{busy} calls, then {idle}");
    let days = used(&world, "b-7").await;
    assert_eq!(requests(&days), [(day, 1, 10)]);
    engine.plan(None);
    let today = world.store.usage_calendar().day(world.store.now_ms());
    assert_eq!(world.store.days_used("b-7", (today - 20, today)).await.unwrap(), []);
    assert!(engine.calls() < 5, "{}", engine.calls());
    // Somebody takes the name again.
    let bucket = world.bucket("b-7").await;
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    job.round().await.unwrap();
    world.advance(2 * DAY_MS);
    job.round().await.unwrap();
    let days = used(&world, "b-7").await;
    assert_eq!((days[0].day, days[1].day), (day, today));
    world.settle().await;
}

/// Whoever serves, counts; one puts together.
#[tokio::test]
async fn processes_count_beside_each_other() {
    let engine = SharedMemory::new(Duration::from_secs(3600), Duration::from_secs(3600));
    let other = engine.another();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let bucket = one.bucket("b-1").await;
    let day = to_next_day(&one);
    let jobs = [job(&one), job(&two)];
    for round in 1..=5 {
        for world in [&one, &two] {
            let bucket = world.store.bucket("b-1").await.unwrap();
            count(world, &bucket, round);
            world.store.keep_counts().await.unwrap();
        }
        one.advance(30_000);
        for job in &jobs {
            job.round().await.unwrap();
        }
    }
    assert_eq!(requests(&used(&two, "b-1").await), [(day, 30, 300)]);
    to_next_day(&one);
    one.advance(HOUR_MS);
    tokio::join!(async { jobs[0].round().await.unwrap() }, async {
        jobs[1].round().await.unwrap();
    });
    assert_eq!(requests(&used(&two, "b-1").await), [(day, 30, 300)]);
    assert_eq!(kinds(&one).await[1], 0);
    drop(bucket);
    one.settle().await;
}

/// A day that tests have shortened is as exact as a long one.
#[tokio::test]
async fn short_days_are_days() {
    let mut options = crate::common::options();
    options.day_ms = 10_000;
    options.usage_settle_ms = 5000;
    let world = World::memory_with(options);
    let bucket = world.bucket("b-1").await;
    let job = UsageJob::new(world.store.clone(), Duration::from_secs(1));
    let day = to_next_day(&world);
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    for second in 0..40 {
        job.round().await.unwrap();
        count(&world, &bucket, 1);
        if second % 3 == 0 {
            world.store.keep_counts().await.unwrap();
        }
        world.advance(1000);
    }
    world.store.keep_counts().await.unwrap();
    let days = used(&world, "b-1").await;
    let want: Vec<_> = (0..4).map(|n| (day + n, 10, 100)).collect();
    assert_eq!(requests(&days)[..4], want);
    let bytes = |day: &DayUsage| day.classes[0].storage.byte_ms;
    assert!(days[..4].iter().all(|day| bytes(day) == SMALL as u128 * 10_000), "{days:?}");
    assert!(kinds(&world).await[4] >= 2);
}

#[tokio::test]
async fn what_is_damaged_of_one_bucket_keeps_no_other_waiting() {
    let world = World::memory();
    let (broken, whole) = (world.bucket("a-1").await, world.bucket("b-1").await);
    to_next_day(&world);
    for bucket in [&broken, &whole] {
        count(&world, bucket, 2);
    }
    world.store.keep_counts().await.unwrap();
    let index = world.engine.index();
    let found = Arc::new(parking_lot::Mutex::new(None));
    let visit = {
        let found = found.clone();
        move |_: &[u8], suffix: &[u8], _: &[u8]| {
            *found.lock() = Some(Bytes::copy_from_slice(suffix));
            Step::Stop
        }
    };
    let range = ScanRange::group(Bytes::from_static(b"a-1"));
    index.scan(Partition::System, Table::Usage, range, Box::new(visit)).await.unwrap();
    let suffix = found.lock().take().unwrap();
    let row = RowRef { table: Table::Usage, suffix };
    let writes = vec![Write::Put(row, Bytes::from_static(b"\xff"))];
    let group = Bytes::from_static(b"a-1");
    let commit = Commit::new(Partition::System, group, vec![], writes);
    index.commit(commit).await.unwrap();
    world.advance(2 * HOUR_MS);
    let job = job(&world);
    job.round().await.unwrap();
    assert!(job.stats().failures.load(Relaxed) > 0);
    let [_, traffic, _, blocks, ..] = kinds(&world).await;
    assert_eq!((traffic, blocks), (1, 1), "the other's are put together");
}
