//! The ends of restores are told when they happen, once, of what is still there.

use std::sync::Arc;
use std::time::Duration;

use costrel_core::StoreOptions;
use costrel_core::body::BytesSource;
use costrel_core::bucket::Bucket;
use costrel_core::engine::Table;
use costrel_core::events::{EventKind, Occasion};
use costrel_core::lifecycle::DAY_MS;
use costrel_core::object::{Attributes, PutRequest};
use costrel_core::restore::{RestoreDelays, RestoreRequest, Restored, Speed};
use costrel_core::tiering::Archiving;
use costrel_core::version::{VersionRef, Versioning};

use crate::common::{SMALL, World, body, key, options, put_request};
use crate::events::{Targets, deliver_for, forget_idle, pass, rows_of, rule, tell, world_with};
use crate::tiering::{SIZE, lifecycle_job};

use EventKind::{Put, RestoreBegun, RestoreDone, RestoreExpired};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_millis(DAY_MS);
const ALL: &[&str] = &["ObjectRestore:*"];

/// Restores take an hour, the fastest no time.
fn slow() -> StoreOptions {
    let hour_ms = HOUR.as_millis() as u64;
    let restore_delays =
        RestoreDelays { bulk_ms: 5 * hour_ms, standard_ms: hour_ms, expedited_ms: 0 };
    StoreOptions { restore_delays, ..options() }
}

/// A bucket whose restores are told.
async fn told(options: StoreOptions) -> (World, Arc<Targets>, Arc<Bucket>) {
    let (world, targets) = world_with(options);
    // Midnights are whole days from here.
    world.advance(DAY_MS - world.store.now_ms() % DAY_MS);
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    (world, targets, bucket)
}

async fn put(world: &World, bucket: &Bucket, at: &str, class: &str, data: bytes::Bytes) {
    let attributes = Attributes { storage_class: class.into(), ..Attributes::default() };
    let size = Some(data.len() as u64);
    let request = PutRequest { attributes, size, ..put_request(at) };
    world.store.put_object(bucket, request, &mut BytesSource::new(data)).await.unwrap();
}

async fn restore(
    world: &World,
    bucket: &Bucket,
    version: Option<VersionRef>,
    speed: Speed,
    days: Option<u32>,
) -> Restored {
    let request = RestoreRequest {
        key: key("k"),
        version,
        days,
        allows_idle_days: false,
        speed,
        utc_offset_s: 0,
    };
    let occasion = Occasion { principal: "7".into(), ..Occasion::default() };
    let restored = occasion.around(world.store.restore_object(bucket, &request)).await;
    restored.unwrap().0
}

/// Lets the job work while time passes, and then some.
async fn work_for(world: &World, time: Duration) {
    pass(world, time).await;
    deliver_for(world, Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_restore_is_told_from_beginning_to_end() {
    let (world, targets, bucket) = told(slow()).await;
    put(&world, &bucket, "k", "ARCHIVE", body(1, SMALL)).await;
    restore(&world, &bucket, None, Speed::Standard, Some(2)).await;
    work_for(&world, HOUR / 2).await;
    assert_eq!(targets.kinds("one"), [RestoreBegun]);
    work_for(&world, HOUR / 2).await;
    assert_eq!(targets.kinds("one"), [RestoreBegun, RestoreDone]);
    let until_ms = world.head(&bucket, "k").await.unwrap().record.restore.unwrap().until_ms;
    let now_ms = world.store.now_ms();
    work_for(&world, Duration::from_millis(until_ms - now_ms - 61_000)).await;
    assert_eq!(targets.got("one").len(), 2);
    work_for(&world, Duration::from_secs(61)).await;
    assert_eq!(targets.kinds("one"), [RestoreBegun, RestoreDone, RestoreExpired]);
    let got = targets.got("one");
    assert_eq!((got[0].event.principal.as_str(), got[0].event.by_server), ("7", false));
    for done in &got[1..] {
        assert_eq!((done.event.principal.as_str(), done.event.by_server), ("", true));
        assert_eq!((done.event.destination.as_str(), done.event.until_ms), ("ARCHIVE", until_ms));
        assert_eq!(done.event.size, Some(SMALL as u64));
    }
    assert!(rows_of(&world, Table::Due).await.is_empty());
    world.settle().await;
}

/// Nobody need remember anything: rows are found.
#[tokio::test(start_paused = true)]
async fn what_ended_while_nobody_served_is_told() {
    let (mut world, targets, bucket) = told(slow()).await;
    put(&world, &bucket, "k", "ARCHIVE", body(1, SMALL)).await;
    restore(&world, &bucket, None, Speed::Standard, Some(1)).await;
    world.restart_with(StoreOptions { courier: targets.clone(), ..slow() });
    work_for(&world, 2 * DAY).await;
    assert_eq!(targets.kinds("one"), [RestoreBegun, RestoreDone, RestoreExpired]);
    assert!(targets.got("one").is_sorted_by(|a, b| a.sequence < b.sequence));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn asking_again_moves_the_end() {
    let (world, targets, bucket) = told(slow()).await;
    put(&world, &bucket, "k", "ARCHIVE", body(1, SMALL)).await;
    restore(&world, &bucket, None, Speed::Standard, Some(1)).await;
    // A faster one takes its place.
    assert_eq!(restore(&world, &bucket, None, Speed::Expedited, Some(1)).await, Restored::Begun);
    work_for(&world, Duration::ZERO).await;
    assert_eq!(targets.kinds("one"), [RestoreBegun, RestoreBegun, RestoreDone]);
    let again = restore(&world, &bucket, None, Speed::Standard, Some(9)).await;
    assert_eq!(again, Restored::Extended);
    assert_eq!(rows_of(&world, Table::Due).await.len(), 1);
    work_for(&world, 5 * DAY).await;
    assert_eq!(targets.got("one").len(), 4, "it has been done before and goes on");
    // And sooner.
    restore(&world, &bucket, None, Speed::Standard, Some(1)).await;
    work_for(&world, 2 * DAY).await;
    assert_eq!(targets.kinds("one")[4..], [RestoreBegun, RestoreExpired]);
    work_for(&world, 9 * DAY).await;
    assert_eq!(targets.got("one").len(), 6);
    world.settle().await;
}

/// One that has expired unnoticed is told before the next begins.
#[tokio::test(start_paused = true)]
async fn what_is_due_comes_before_what_follows() {
    let (world, targets, bucket) = told(slow()).await;
    put(&world, &bucket, "k", "ARCHIVE", body(1, SMALL)).await;
    restore(&world, &bucket, None, Speed::Expedited, Some(1)).await;
    pass(&world, 3 * DAY).await;
    restore(&world, &bucket, None, Speed::Expedited, Some(1)).await;
    work_for(&world, 3 * DAY).await;
    let once = [RestoreBegun, RestoreDone, RestoreExpired];
    assert_eq!(targets.kinds("one"), [once, once].concat());
    let by_server: Vec<bool> = targets.got("one").iter().map(|got| got.event.by_server).collect();
    assert_eq!(by_server, [false, true, true, false, true, true]);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn of_what_was_replaced_or_deleted_nothing_is_told() {
    for replaced in [true, false] {
        let (world, targets, bucket) = told(slow()).await;
        put(&world, &bucket, "k", "ARCHIVE", body(1, SMALL)).await;
        restore(&world, &bucket, None, Speed::Standard, Some(1)).await;
        pass(&world, Duration::from_millis(1)).await;
        match replaced {
            true => put(&world, &bucket, "k", "ARCHIVE", body(2, SMALL)).await,
            false => drop(world.delete(&bucket, "k").await.unwrap()),
        }
        work_for(&world, 3 * DAY).await;
        assert_eq!(targets.kinds("one"), [RestoreBegun]);
        assert!(rows_of(&world, Table::Due).await.is_empty());
        world.settle().await;
    }
}

/// Each version has its own.
#[tokio::test(start_paused = true)]
async fn versions_are_restored_one_by_one() {
    let (world, targets, bucket) = told(slow()).await;
    put(&world, &bucket, "k", "ARCHIVE", body(1, SMALL)).await;
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    put(&world, &bucket, "k", "ARCHIVE", body(2, SMALL)).await;
    let newest = world.head(&bucket, "k").await.unwrap().version.unwrap();
    restore(&world, &bucket, Some(VersionRef::Null), Speed::Standard, Some(1)).await;
    restore(&world, &bucket, None, Speed::Expedited, Some(3)).await;
    world.delete(&bucket, "k").await.unwrap();
    work_for(&world, 2 * DAY).await;
    work_for(&world, 3 * DAY).await;
    let told: Vec<(EventKind, String)> = targets
        .got("one")
        .into_iter()
        .map(|got| (got.event.kind().unwrap(), got.event.version))
        .collect();
    let (null, newest) = (String::new(), newest.to_string());
    let of = |version: &str| -> Vec<EventKind> {
        told.iter().filter(|(_, of)| of == version).map(|(kind, _)| *kind).collect()
    };
    assert_eq!(of(&null), [RestoreBegun, RestoreDone, RestoreExpired], "{told:?}");
    assert_eq!(of(&newest), [RestoreBegun, RestoreDone, RestoreExpired], "{told:?}");
    assert!(rows_of(&world, Table::Due).await.is_empty());
    world.settle().await;
}

/// In intelligent tiering a restore has an end, too, and no other.
#[tokio::test(start_paused = true)]
async fn what_comes_back_for_good_is_told_once() {
    let (world, targets, bucket) = told(slow()).await;
    let archiving =
        Archiving { id: "a".into(), enabled: true, archive_days: Some(90), ..Archiving::default() };
    world.store.set_archiving(&bucket, archiving).await.unwrap();
    put(&world, &bucket, "k", "INTELLIGENT_TIERING", body(1, SIZE)).await;
    world.advance(91 * DAY_MS);
    assert!(lifecycle_job(&world).round().await.unwrap());
    restore(&world, &bucket, None, Speed::Standard, None).await;
    // Its bytes are brought before anybody has told of it.
    world.advance(2 * DAY_MS);
    assert!(lifecycle_job(&world).round().await.unwrap());
    assert_eq!(world.head(&bucket, "k").await.unwrap().record.restore, None);
    work_for(&world, 2 * DAY).await;
    assert_eq!(targets.kinds("one"), [RestoreBegun, RestoreDone]);
    assert_eq!(targets.got("one")[1].event.until_ms, 0);
    assert!(rows_of(&world, Table::Due).await.is_empty());
    world.settle().await;
}

/// Rules count as they are when it happens; without any, nothing is left behind.
#[tokio::test(start_paused = true)]
async fn rules_of_the_time_say_who_is_told() {
    let (world, targets, bucket) = told(slow()).await;
    put(&world, &bucket, "k", "ARCHIVE", body(1, SMALL)).await;
    restore(&world, &bucket, None, Speed::Standard, Some(1)).await;
    tell(&world, &bucket, vec![rule("two", &["ObjectRestore:Completed"], "")]).await;
    work_for(&world, HOUR).await;
    assert_eq!(targets.kinds("two"), [RestoreDone]);
    tell(&world, &bucket, Vec::new()).await;
    work_for(&world, 3 * DAY).await;
    forget_idle(&world).await;
    assert!(rows_of(&world, Table::Due).await.is_empty());
    tell(&world, &bucket, vec![rule("one", &["ObjectRestore:*", "ObjectCreated:*"], "")]).await;
    put(&world, &bucket, "l", "", body(1, SMALL)).await;
    work_for(&world, DAY).await;
    assert_eq!(targets.kinds("one"), [RestoreBegun, Put]);
    world.settle().await;
}

/// More keys than are remembered are all told.
#[tokio::test(start_paused = true)]
async fn many_restores_at_once() {
    let (world, targets, bucket) = told(slow()).await;
    let count = 17_000;
    for number in 0..count {
        let at = format!("k{number:05}");
        put(&world, &bucket, &at, "ARCHIVE", body(0, 1)).await;
        let request = RestoreRequest {
            key: key(&at),
            version: None,
            days: Some(1),
            allows_idle_days: false,
            speed: Speed::Standard,
            utc_offset_s: 0,
        };
        world.store.restore_object(&bucket, &request).await.unwrap();
    }
    pass(&world, 2 * DAY).await;
    deliver_for(&world, Duration::from_secs(600)).await;
    assert_eq!(targets.got("one").len(), 3 * count);
    assert!(rows_of(&world, Table::Due).await.is_empty());
}
