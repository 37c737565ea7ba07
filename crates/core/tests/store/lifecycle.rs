//! Lifecycle over the engines: what the rules say happens, nothing else does, and
//! a round that is left in the middle is gone on with.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use costrel_core::bucket::{Bucket, InitialSettings};
use costrel_core::engine::{Commit, Partition, RowRef, Table, Write};
use costrel_core::lifecycle::{
    DAY_MS, Expiration, FilterForm, Lifecycle, LifecycleJob, LifecycleOptions,
    NoncurrentExpiration, NoncurrentTransition, Rule, RuleBounds, Transition, TransitionMinimum,
    TransitionTime,
};
use costrel_core::lock::BucketLock;
use costrel_core::names::BucketName;
use costrel_core::object::SymlinkRequest;
use costrel_core::version::Versioning;
use costrel_core::{Error, fsck};

use crate::common::{LARGE, OWNER, SMALL, World, body, key};
use crate::on_every_engine;

const DAYS_MAX: u32 = 3650;

fn rule(prefix: &str) -> Rule {
    Rule {
        id: format!("rule of {prefix}"),
        enabled: true,
        form: FilterForm::One.into(),
        prefix: Some(prefix.to_owned()),
        ..Default::default()
    }
}

const BOUNDS: RuleBounds = RuleBounds { days_max: DAYS_MAX, infrequent_days_min: 0 };

fn sink(prefix: &str, days: u32, class: &str) -> Rule {
    let time = Some(TransitionTime::Days(days));
    let transitions = vec![Transition { time, class: class.to_owned() }];
    Rule { id: format!("{class} of {prefix}"), transitions, size_greater: Some(0), ..rule(prefix) }
}

fn sink_noncurrent(prefix: &str, days: u32, newer: u32, class: &str) -> Rule {
    let class = class.to_owned();
    let noncurrent_transitions = vec![NoncurrentTransition { days, newer, class }];
    let id = format!("older of {prefix}");
    Rule { id, noncurrent_transitions, size_greater: Some(0), ..rule(prefix) }
}

fn expire(prefix: &str, days: u32) -> Rule {
    Rule { expiration: Some(Expiration::Days(days)), ..rule(prefix) }
}

fn noncurrent(prefix: &str, days: u32, newer: u32) -> Rule {
    let id = format!("versions of {prefix}");
    Rule { id, noncurrent: Some(NoncurrentExpiration { days, newer }), ..rule(prefix) }
}

fn lone_markers(prefix: &str) -> Rule {
    let id = format!("markers of {prefix}");
    Rule { id, expiration: Some(Expiration::LoneMarker(true)), ..rule(prefix) }
}

async fn set(world: &World, bucket: &Bucket, rules: Vec<Rule>) {
    let minimum = TransitionMinimum::Always128K.into();
    let lifecycle = Lifecycle { rules, minimum, ..Default::default() };
    world.store.set_lifecycle(bucket, lifecycle, BOUNDS).await.expect("the rules are good");
}

fn job(world: &World) -> LifecycleJob {
    let options = LifecycleOptions {
        owner_uin: OWNER,
        rows_per_second: 1 << 30,
        ends_per_second: 1 << 30,
        moved_bytes_per_second: 1 << 40,
    };
    LifecycleJob::new(world.store.clone(), options)
}

/// A round by a job that has done nothing before.
async fn round(world: &World) -> LifecycleJob {
    let job = job(world);
    assert!(job.round().await.expect("the round works"));
    job
}

/// Keys of the current objects.
async fn keys(world: &World, bucket: &Bucket) -> Vec<String> {
    let versions = world.versions(bucket, 7).await;
    let current = versions.iter().filter(|(_, entry)| entry.is_latest && !entry.delete_marker);
    current.map(|(key, _)| key.clone()).collect()
}

/// Every version as its key, with `!` for a delete marker.
async fn all(world: &World, bucket: &Bucket) -> Vec<String> {
    let versions = world.versions(bucket, 7).await;
    let shown =
        |(key, entry): &(String, costrel_core::version::VersionEntry)| match entry.delete_marker {
            true => format!("{key}!"),
            false => key.clone(),
        };
    versions.iter().map(shown).collect()
}

async fn objects_expire(world: &World) {
    let bucket = world.bucket("bucket").await;
    for (at, key) in ["a/1", "a/2", "b/1", "c/1", "c/2"].iter().enumerate() {
        world
            .put(&bucket, key, body(at as u64, if at % 2 == 0 { SMALL } else { LARGE }))
            .await
            .unwrap();
    }
    let small = Rule { size_less: Some(SMALL as u64 + 1), ..expire("c/", 1) };
    set(world, &bucket, vec![expire("a/", 1), expire("b/", 9), small]).await;
    round(world).await;
    assert_eq!(keys(world, &bucket).await.len(), 5, "nothing is due yet");
    world.advance(DAY_MS);
    // Written long after the midnight that the others wait for.
    world.put(&bucket, "a/2", body(9, LARGE)).await.unwrap();
    world.advance(DAY_MS);
    let job = round(world).await;
    assert_eq!(keys(world, &bucket).await, ["a/2", "b/1", "c/1"]);
    let stats = job.stats();
    assert_eq!((stats.deleted.load(Relaxed), stats.bytes.load(Relaxed)), (2, 2 * SMALL as u64));
    assert_eq!(stats.failures.load(Relaxed), 0);
    world.advance(9 * DAY_MS);
    round(world).await;
    assert_eq!(keys(world, &bucket).await, ["c/1"]);
}

async fn locked_versions_wait(world: &World) {
    let name = BucketName::new("locked").unwrap();
    let initial = InitialSettings { object_lock: true, ..Default::default() };
    let bucket = world.store.create_bucket_with(name, OWNER, None, initial).await.unwrap();
    set(world, &bucket, vec![expire("", 1), noncurrent("", 1, 0)]).await;
    for key in ["held", "free"] {
        world.put(&bucket, key, body(1, LARGE)).await.unwrap();
    }
    let held = crate::common::key("held");
    world.store.set_legal_hold(&bucket, &held, None, true).await.unwrap();
    let version = world.head(&bucket, "held").await.unwrap().version;
    for _ in 0..3 {
        world.advance(3 * DAY_MS);
        assert_eq!(round(world).await.stats().failures.load(Relaxed), 0);
    }
    assert_eq!(all(world, &bucket).await, ["held!", "held"]);
    let told = world.store.preview_lifecycle(&bucket, 1 << 30, 1).await.unwrap();
    assert!(told.endings.iter().all(|told| told.count == 0), "{told:?}");
    world.store.set_legal_hold(&bucket, &held, version, false).await.unwrap();
    world.advance(DAY_MS);
    round(world).await;
    assert!(!all(world, &bucket).await.contains(&"held".to_owned()));
}

async fn versions_end(world: &World) {
    for versioning in [Versioning::Enabled, Versioning::Suspended] {
        let bucket = world.versioned(&format!("{versioning:?}").to_lowercase(), versioning).await;
        let id = if versioning == Versioning::Enabled { "v" } else { "n" };
        world.put(&bucket, id, body(1, SMALL)).await.unwrap();
        set(world, &bucket, vec![expire("", 1), noncurrent("", 1, 0)]).await;
        world.advance(2 * DAY_MS);
        let job = round(world).await;
        let marked = job.stats().marked.load(Relaxed);
        assert_eq!(marked, 1, "{versioning:?}");
        let want: &[&str] = if versioning == Versioning::Enabled { &["v!", "v"] } else { &["n!"] };
        assert_eq!(all(world, &bucket).await, want);
        // The version is noncurrent since now; when it is gone, the marker is alone,
        // and as old as an object that expires.
        world.advance(2 * DAY_MS);
        round(world).await;
        assert_eq!(all(world, &bucket).await, [""; 0], "{versioning:?}");
        world.store.delete_bucket(&bucket).await.unwrap();
    }
}

async fn newer_versions_are_kept(world: &World) {
    let bucket = world.bucket("bucket").await;
    // From before the bucket kept versions.
    world.put(&bucket, "old", body(0, LARGE)).await.unwrap();
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    for n in 0..6 {
        world.put(&bucket, "many", body(n, LARGE)).await.unwrap();
    }
    world.put(&bucket, "old", body(1, SMALL)).await.unwrap();
    world.delete(&bucket, "many").await.unwrap();
    set(world, &bucket, vec![noncurrent("many", 1, 2), noncurrent("old", 1, 0)]).await;
    world.advance(2 * DAY_MS);
    let job = round(world).await;
    assert_eq!(all(world, &bucket).await, ["many!", "many", "many", "old"]);
    assert_eq!(job.stats().versions_removed.load(Relaxed), 5);
    assert_eq!(world.get(&bucket, "old").await.unwrap(), body(1, SMALL));
    // A marker with versions below is no lone one.
    set(world, &bucket, vec![lone_markers("")]).await;
    round(world).await;
    assert_eq!(all(world, &bucket).await, ["many!", "many", "many", "old"]);
    set(world, &bucket, vec![lone_markers(""), noncurrent("many", 1, 0)]).await;
    round(world).await;
    assert_eq!(all(world, &bucket).await, ["old"]);
}

async fn uploads_are_aborted(world: &World) {
    let bucket = world.bucket("bucket").await;
    let old = world.initiate(&bucket, "a/1").await.unwrap();
    world.part(&bucket, "a/1", old, 1, body(1, LARGE)).await.unwrap();
    let kept = world.initiate(&bucket, "b/1").await.unwrap();
    set(world, &bucket, vec![Rule { abort_days: Some(1), ..rule("a/") }]).await;
    world.advance(DAY_MS);
    let young = world.initiate(&bucket, "a/1").await.unwrap();
    world.advance(DAY_MS);
    let job = round(world).await;
    assert_eq!(job.stats().uploads_aborted.load(Relaxed), 1);
    assert!(matches!(world.abort(&bucket, "a/1", old).await, Err(Error::NoSuchUpload)));
    world.abort(&bucket, "a/1", young).await.unwrap();
    world.abort(&bucket, "b/1", kept).await.unwrap();
}

fn sinks(steps: &[(u32, &str)]) -> Rule {
    let step = |(days, class): &(u32, &str)| Transition {
        time: Some(TransitionTime::Days(*days)),
        class: (*class).to_owned(),
    };
    let transitions = steps.iter().map(step).collect();
    Rule { transitions, size_greater: Some(0), ..rule("a/") }
}

/// Blobs in the engine's own place and elsewhere.
async fn blobs(world: &World) -> [usize; 2] {
    let elsewhere = world.engine.place(costrel_testkit::ELSEWHERE).unwrap();
    let here = world.engine.blobs().list(None, 1000).await.unwrap();
    [here.len(), elsewhere.list(None, 1000).await.unwrap().len()]
}

async fn objects_move_to_colder_classes(world: &World) {
    for versioning in [Versioning::Never, Versioning::Enabled] {
        let bucket = world.bucket(&format!("sink{}", u8::from(versioning.has_versions()))).await;
        if versioning.has_versions() {
            world.store.set_versioning(&bucket, versioning).await.unwrap();
        }
        world.put(&bucket, "a/small", body(1, SMALL)).await.unwrap();
        world.put(&bucket, "a/large", body(2, LARGE)).await.unwrap();
        world.put(&bucket, "b/large", body(3, LARGE)).await.unwrap();
        let upload = world.initiate(&bucket, "a/parts").await.unwrap();
        let mut parts = Vec::new();
        for (number, len) in [(1, LARGE), (2, SMALL), (3, LARGE)] {
            let data = body(u64::from(number), len);
            parts.push(world.part(&bucket, "a/parts", upload, number, data).await.unwrap());
        }
        world.complete(&bucket, "a/parts", upload, parts).await.unwrap();
        let mut before = Vec::new();
        for key in ["a/small", "a/large", "a/parts", "b/large"] {
            let info = world.head(&bucket, key).await.unwrap();
            before.push((key, info, world.get(&bucket, key).await.unwrap()));
        }
        world.settle().await;
        assert_eq!(blobs(world).await, [4, 0]);
        let rules = vec![sinks(&[(1, "STANDARD_IA"), (3, "GLACIER_IR"), (5, "ARCHIVE")])];
        set(world, &bucket, rules).await;
        for (days, class) in [(0, ""), (2, "STANDARD_IA"), (2, "GLACIER_IR"), (2, "ARCHIVE")] {
            world.advance(days * DAY_MS);
            let told = world.store.preview_lifecycle(&bucket, 1 << 30, 1).await.unwrap();
            let job = round(world).await;
            let moved = if class.is_empty() { 0 } else { 3 };
            assert_eq!(told.endings[5].count, moved);
            assert_eq!(job.stats().moved.load(Relaxed), moved);
            world.settle().await;
            assert_eq!(blobs(world).await, if moved == 0 { [4, 0] } else { [1, 5] });
            for (key, info, data) in &before {
                let now = world.head(&bucket, key).await.unwrap();
                let class = if key.starts_with('a') { class } else { "" };
                assert_eq!(now.record.storage_class, class);
                assert_eq!(
                    (&now.etag, now.version, now.record.modified_ms, now.parts_count()),
                    (&info.etag, info.version, info.record.modified_ms, info.parts_count())
                );
                match class {
                    "ARCHIVE" => {
                        let read = world.get(&bucket, key).await;
                        assert!(matches!(read, Err(Error::Archived { .. })), "{read:?}");
                    }
                    _ => assert!(world.get(&bucket, key).await.unwrap() == data),
                }
            }
            assert_eq!(round(world).await.stats().moved.load(Relaxed), 0, "once is enough");
        }
        world.store.delete_lifecycle(&bucket).await.unwrap();
        for (key, ..) in before {
            world.delete(&bucket, key).await.unwrap();
        }
        if versioning.has_versions() {
            for (key, entry) in world.versions(&bucket, 100).await {
                world.delete_version(&bucket, &key, entry.version.unwrap()).await.unwrap();
            }
        }
        world.settle().await;
        assert_eq!(blobs(world).await, [0, 0]);
    }
}

async fn noncurrent_versions_move(world: &World) {
    let bucket = world.versioned("older", Versioning::Enabled).await;
    for n in 0..4 {
        world.put(&bucket, "k", body(n, LARGE)).await.unwrap();
    }
    world.delete(&bucket, "k").await.unwrap();
    set(world, &bucket, vec![sink_noncurrent("", 1, 1, "GLACIER_IR")]).await;
    assert_eq!(round(world).await.stats().moved.load(Relaxed), 0);
    world.advance(2 * DAY_MS);
    assert_eq!(round(world).await.stats().moved.load(Relaxed), 3);
    world.settle().await;
    assert_eq!(blobs(world).await, [1, 3]);
    for (n, (_, entry)) in world.versions(&bucket, 10).await.into_iter().skip(1).enumerate() {
        let class = if n == 0 { "" } else { "GLACIER_IR" };
        assert_eq!(entry.object.storage_class, class);
        let data = world.get_version(&bucket, "k", entry.version.unwrap()).await.unwrap();
        assert!(data == body(3 - n as u64, LARGE));
    }
}

/// A link has no bytes of its own, and a lock is about what they are, not where.
async fn links_stay_and_what_is_locked_moves(world: &World) {
    let bucket = world.versioned("kept", Versioning::Enabled).await;
    world.store.set_object_lock(&bucket, BucketLock::default(), false).await.unwrap();
    let put = world.put(&bucket, "a/k", body(1, LARGE)).await.unwrap();
    let request = SymlinkRequest {
        key: key("a/link"),
        target: key("a/k"),
        attributes: Default::default(),
        conditions: Default::default(),
    };
    world.store.put_symlink(&bucket, request).await.unwrap();
    let held = world.store.set_legal_hold(&bucket, &key("a/k"), put.version, true).await;
    held.unwrap();
    set(world, &bucket, vec![sink("a/", 1, "GLACIER_IR")]).await;
    world.advance(2 * DAY_MS);
    assert_eq!(round(world).await.stats().moved.load(Relaxed), 1);
    let (link, _) = world.store.symlink(&bucket, &key("a/link"), None).await.unwrap();
    assert_eq!(link.record.storage_class, "");
    let info = world.head(&bucket, "a/k").await.unwrap();
    assert_eq!((info.record.storage_class.as_str(), info.version), ("GLACIER_IR", put.version));
    assert!(world.get(&bucket, "a/link").await.unwrap() == body(1, LARGE));
    let gone = world.delete_version(&bucket, "a/k", put.version.unwrap()).await;
    assert!(matches!(gone, Err(Error::Locked)), "{gone:?}");
}

/// The services do not move what is small; S3 does if a filter speaks of sizes.
async fn small_objects_stay(world: &World) {
    let bucket = world.bucket("small").await;
    world.put(&bucket, "a/k", body(1, LARGE)).await.unwrap();
    let sized = |class: &str| sink("a/", 1, class);
    let plain = |class: &str| Rule { size_greater: None, ..sized(class) };
    for (rule, minimum, moved) in [
        (plain("GLACIER"), TransitionMinimum::Always128K, 0),
        (plain("STANDARD_IA"), TransitionMinimum::Varies, 0),
        (sized("STANDARD_IA"), TransitionMinimum::Always64K, 0),
        (sized("STANDARD_IA"), TransitionMinimum::Always128K, 1),
        (plain("GLACIER"), TransitionMinimum::Varies, 1),
        (plain("DEEP_ARCHIVE"), TransitionMinimum::Always128K, 0),
        (sized("DEEP_ARCHIVE"), TransitionMinimum::Varies, 1),
    ] {
        let lifecycle =
            Lifecycle { rules: vec![rule], minimum: minimum.into(), ..Default::default() };
        world.store.set_lifecycle(&bucket, lifecycle, BOUNDS).await.unwrap();
        world.advance(2 * DAY_MS);
        assert_eq!(round(world).await.stats().moved.load(Relaxed), moved, "{minimum:?}");
    }
}

async fn rules_that_are_refused_leave_the_old_ones(world: &World) {
    let bucket = world.bucket("bucket").await;
    assert!(matches!(world.store.lifecycle(&bucket).await, Err(Error::NoLifecycle)));
    set(world, &bucket, vec![Rule { id: String::new(), ..expire("a/", 1) }]).await;
    let before = world.store.lifecycle(&bucket).await.unwrap();
    assert!(!before.rules[0].id.is_empty(), "a rule without a name gets one");
    let refused = [
        vec![],
        vec![rule("a/")],
        vec![expire("a/", 0)],
        vec![expire("a/", DAYS_MAX + 1)],
        vec![expire("a/", 1), expire("a/", 2)],
        vec![noncurrent("a/", 1, 101)],
        vec![Rule { size_greater: Some(4), size_less: Some(5), ..expire("a/", 1) }],
        vec![Rule { expiration: Some(Expiration::Date(1)), ..rule("a/") }],
        vec![expire("a/", 1), Rule { form: FilterForm::Prefix.into(), ..expire("b/", 1) }],
        vec![Rule { id: "x".repeat(256), ..expire("a/", 1) }],
        (0..1001).map(|n| expire(&n.to_string(), 1)).collect(),
        vec![sink("a/", 1, "STANDARD")],
        vec![sink("a/", 1, "COLD")],
        vec![sink("a/", DAYS_MAX + 1, "ARCHIVE")],
        vec![Rule { expiration: Some(Expiration::Days(1)), ..sink("a/", 1, "ARCHIVE") }],
        vec![Rule { expiration: Some(Expiration::Date(0)), ..sink("a/", 1, "ARCHIVE") }],
        vec![sinks(&[(2, "ARCHIVE"), (1, "DEEP_ARCHIVE")])],
        vec![sinks(&[(1, "ARCHIVE"), (1, "DEEP_ARCHIVE")])],
        vec![sinks(&[(1, "ARCHIVE"), (2, "GLACIER")])],
        vec![sink_noncurrent("a/", 1, 101, "ARCHIVE")],
        vec![Rule {
            noncurrent: Some(NoncurrentExpiration { days: 2, newer: 0 }),
            ..sink_noncurrent("a/", 2, 0, "ARCHIVE")
        }],
    ];
    for rules in refused {
        let lifecycle = Lifecycle { rules: rules.clone(), ..Default::default() };
        let result = world.store.set_lifecycle(&bucket, lifecycle, BOUNDS).await;
        assert!(matches!(result, Err(Error::InvalidLifecycle(_))), "{rules:?}");
        assert_eq!(world.store.lifecycle(&bucket).await.unwrap(), before);
    }
    let longest = |n| Rule { id: format!("{n:0255}"), ..expire(&format!("{n:01024}"), 1) };
    set(world, &bucket, (0..1000).map(longest).collect()).await;
    assert_eq!(
        world.store.lifecycle(&bucket).await.unwrap().rules,
        (0..1000).map(longest).collect::<Vec<_>>()
    );
    set(world, &bucket, vec![expire("a/", 1)]).await;
    world.put(&bucket, "a/1", body(1, SMALL)).await.unwrap();
    world.advance(2 * DAY_MS);
    world.store.delete_lifecycle(&bucket).await.unwrap();
    round(world).await;
    assert_eq!(keys(world, &bucket).await, ["a/1"], "rules that are gone do nothing");
    assert!(matches!(world.store.lifecycle(&bucket).await, Err(Error::NoLifecycle)));
}

/// What a preview tells is what the next round does, and telling does nothing.
async fn a_preview_tells_what_a_round_does(world: &World) {
    let plain = world.bucket("plain").await;
    let versioned = world.versioned("versioned", Versioning::Enabled).await;
    assert!(matches!(world.store.preview_lifecycle(&plain, 1, 1).await, Err(Error::NoLifecycle)));
    for bucket in [&plain, &versioned] {
        for (n, key) in ["a/1", "a/2", "b/1", "a/2", "c/1"].into_iter().enumerate() {
            world.put(bucket, key, body(n as u64, SMALL)).await.unwrap();
        }
        world.delete(bucket, "c/1").await.unwrap();
        world.initiate(bucket, "a/3").await.unwrap();
        let uploads = Rule { id: "uploads".into(), abort_days: Some(1), ..rule("") };
        let rules = vec![expire("a/", 1), noncurrent("", 1, 0), lone_markers("c/"), uploads];
        set(world, bucket, rules).await;
    }
    world.advance(2 * DAY_MS);
    // Versions: the older one of `a/2`, and that of `c/1`, whose marker follows it.
    for (bucket, want) in [(&plain, [2, 0, 0, 0, 1, 0]), (&versioned, [0, 2, 2, 1, 1, 0])] {
        let before = all(world, bucket).await;
        let told = world.store.preview_lifecycle(bucket, 1 << 30, 1).await.unwrap();
        assert_eq!(all(world, bucket).await, before);
        assert_eq!(told.endings.each_ref().map(|told| told.count), want);
        let bytes = |n: usize| told.endings[n].bytes;
        assert_eq!([bytes(0), bytes(1), bytes(2)], want.map(|n| n * SMALL as u64)[..3]);
        for told in told.endings.iter().filter(|told| told.count > 0) {
            assert!(told.examples.len() == 1 && !told.examples[0].rule_id.is_empty(), "{told:?}");
        }
    }
    let job = round(world).await;
    let stats = job.stats();
    let done = [
        &stats.deleted,
        &stats.marked,
        &stats.versions_removed,
        &stats.markers_removed,
        &stats.uploads_aborted,
    ];
    assert_eq!(done.map(|counter| counter.load(Relaxed)), [2, 2, 2, 1, 2]);
    let told = world.store.preview_lifecycle(&versioned, 1 << 30, 1).await.unwrap();
    assert!(told.endings.iter().all(|told| told.count == 0), "{told:?}");
}

on_every_engine!(
    objects_expire,
    objects_move_to_colder_classes,
    noncurrent_versions_move,
    small_objects_stay,
    links_stay_and_what_is_locked_moves,
    a_preview_tells_what_a_round_does,
    versions_end,
    newer_versions_are_kept,
    uploads_are_aborted,
    rules_that_are_refused_leave_the_old_ones,
    locked_versions_wait,
);

/// A round at a crawl, which is dropped again and again at whatever it does, by
/// processes that end.
#[tokio::test(start_paused = true)]
async fn a_round_goes_on_where_it_was_left() {
    let mut world = World::memory();
    for name in ["first", "second"] {
        let bucket = world.versioned(name, Versioning::Enabled).await;
        for n in 0..1500 {
            world.put(&bucket, &format!("k{n:04}"), body(n, SMALL)).await.unwrap();
            if n % 500 == 0 {
                for m in 0..700 {
                    world.put(&bucket, "many", body(m, 1)).await.unwrap();
                }
            }
        }
        set(&world, &bucket, vec![noncurrent("", 1, 3), expire("k", 1)]).await;
    }
    world.advance(2 * DAY_MS);
    let (mut rows, mut restarts) = (0, 0);
    loop {
        let slow = LifecycleOptions {
            owner_uin: OWNER,
            rows_per_second: 500,
            ends_per_second: 2000,
            moved_bytes_per_second: 1 << 30,
        };
        let job = LifecycleJob::new(world.store.clone(), slow);
        let stats = job.stats();
        let time = std::time::Duration::from_millis(2345);
        let ended = tokio::time::timeout(time, job.round()).await;
        rows += stats.rows.load(Relaxed);
        match ended {
            Ok(round) => {
                round.unwrap();
                break;
            }
            Err(_) => restarts += 1,
        }
        world.restart();
    }
    assert!(restarts > 3, "{restarts}");
    // Twice 1500 objects, as many markers, and 2100 versions of one key besides; what
    // a restart sees again is what a second has shown, and a key's versions.
    assert!(rows < 30_000, "{rows} rows after {restarts} restarts");
    for name in ["first", "second"] {
        let bucket = world.store.bucket(name).await.unwrap();
        assert_eq!(keys(&world, &bucket).await, ["many"]);
        let many = all(&world, &bucket).await;
        assert_eq!(many.iter().filter(|key| *key == "many").count(), 4);
    }
    world.settle().await;
}

/// What changes between the walk and the end is looked at again.
#[tokio::test]
async fn rules_and_objects_that_change_are_obeyed_by_all_gateways() {
    let engine = costrel_testkit::SharedMemory::new(
        std::time::Duration::from_secs(3600),
        std::time::Duration::from_secs(3600),
    );
    let other = engine.another();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let bucket = one.bucket("shared").await;
    let seen = two.store.bucket("shared").await.unwrap();
    set(&one, &bucket, vec![expire("", 1)]).await;
    assert!(two.store.lifecycle(&two.store.bucket("shared").await.unwrap()).await.is_ok());
    two.put(&seen, "k", body(1, SMALL)).await.unwrap();
    one.advance(2 * DAY_MS);
    // One of them does it, the other one leaves it alone.
    let (first, second) = (job(&one), job(&two));
    assert!(first.round().await.unwrap());
    assert!(!second.round().await.unwrap());
    assert_eq!(first.stats().deleted.load(Relaxed), 1);
    set(&two, &two.store.bucket("shared").await.unwrap(), vec![expire("x", 1)]).await;
    let rules = one.store.lifecycle(&one.store.bucket("shared").await.unwrap()).await.unwrap();
    assert_eq!(rules.rules[0].prefix(), "x");
}

/// The check misses neither rules that are gone nor rules that are nobody's.
#[tokio::test]
async fn the_check_looks_for_the_rules() {
    let world = World::memory();
    let bucket = world.bucket("bucket").await;
    set(&world, &bucket, vec![expire("", 1)]).await;
    world.settle().await;
    let row = RowRef::new(Table::Installation, "lifecycle");
    let group: Bytes = "bucket".into();
    let stored =
        world.engine.index().read(Partition::System, &group, std::slice::from_ref(&row)).await;
    let stored = stored.unwrap().pop().flatten().expect("the rules are there");
    let change = async |write: Write| {
        let (partition, group) = (Partition::System, group.clone());
        let commit = Commit::new(partition, group, vec![], vec![write]);
        world.engine.index().commit(commit).await.unwrap();
        fsck::run(&*world.engine, |_| ()).await.unwrap().findings.len()
    };
    assert_eq!(change(Write::Delete(row.clone())).await, 1);
    assert_eq!(change(Write::Put(row.clone(), Bytes::from_static(b"\xff"))).await, 1);
    assert_eq!(change(Write::Put(row.clone(), stored.clone())).await, 0);
    world.store.delete_lifecycle(&bucket).await.unwrap();
    assert_eq!(change(Write::Put(row, stored)).await, 1);
}
