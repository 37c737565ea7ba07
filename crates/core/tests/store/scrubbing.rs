//! The scrub reads everything, finds what is damaged, goes on where it stopped
//! and keeps its rate.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use costrel_core::record::{Content, blob_id};
use costrel_core::scrub::{ScrubOptions, run};

use crate::common::faulty::{Fault, Faulty, Plan};
use crate::common::{LARGE, OWNER, SMALL, World, body};

const FAST: ScrubOptions =
    ScrubOptions { bytes_per_second: u64::MAX, pause: Duration::from_millis(1) };

/// Scrubs until so many passes are done.
async fn scrub(world: &World, passes: u64, options: ScrubOptions) {
    let running = tokio::spawn(run(world.store.clone(), OWNER, options));
    while world.store.scrub_progress().passes.load(Ordering::Relaxed) < passes {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.abort();
    let _ = running.await;
}

async fn filled() -> World {
    let world = World::memory();
    for name in ["one", "two", "three"] {
        let bucket = world.bucket(name).await;
        for number in 0..120 {
            let len = if number % 3 == 0 { LARGE } else { SMALL };
            world.put(&bucket, &format!("k{number}"), body(number, len)).await.unwrap();
        }
    }
    world
}

fn counts(world: &World) -> (u64, u64) {
    let progress = world.store.scrub_progress();
    (progress.objects.load(Ordering::Relaxed), progress.findings.load(Ordering::Relaxed))
}

#[tokio::test]
async fn everything_is_read_and_damage_is_found() {
    let world = filled().await;
    scrub(&world, 1, FAST).await;
    assert_eq!(counts(&world), (360, 0));

    let bucket = world.store.bucket("two").await.unwrap();
    let info = world.head(&bucket, "k0").await.unwrap();
    let Some(Content::Blob(id)) = &info.record.content else { panic!("k0 is a blob") };
    let blob = blob_id(id).unwrap();
    world.engine.blobs().delete(blob).await.unwrap();
    scrub(&world, 2, FAST).await;
    let (objects, findings) = counts(&world);
    assert!(objects >= 719 && findings >= 1, "{objects} {findings}");
}

#[tokio::test]
async fn a_failing_engine_is_no_damage() {
    let engine = Faulty::new(filled().await.engine);
    let world = World::over(engine.clone());
    // A read fails in the middle of the first pass; the second ends.
    engine.plan(Some(Plan { at: 200, fault: Fault::Before, forever: false }));
    scrub(&world, 1, FAST).await;
    let (objects, findings) = counts(&world);
    assert_eq!(findings, 0);
    // It went on at the page where it stopped, not at the beginning.
    assert!((360..=460).contains(&objects), "{objects}");
}

#[tokio::test]
async fn one_large_object_is_read_at_the_rate() {
    let world = World::memory();
    let bucket = world.bucket("large").await;
    world.put(&bucket, "k", body(1, 1_000_000)).await.unwrap();
    let options = ScrubOptions { bytes_per_second: 2_000_000, pause: Duration::ZERO };
    let begun = Instant::now();
    let running = tokio::spawn(run(world.store.clone(), OWNER, options));
    tokio::time::sleep(Duration::from_millis(250)).await;
    // Not all of it was read at once.
    assert_eq!(counts(&world), (0, 0));
    while counts(&world).0 == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(490), "{:?}", begun.elapsed());
    running.abort();
}
