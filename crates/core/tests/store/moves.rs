//! Objects of every kind that move to another class while somebody else writes or
//! reads them: the move stops at every point at which it waits, and the other runs in
//! between; then the other way round.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::lifecycle::{
    Lifecycle, LifecycleJob, LifecycleOptions, Rule, RuleBounds, Transition, TransitionMinimum,
    TransitionTime,
};
use costrel_core::tags::Tags;

use crate::common::faulty::Faulty;
use crate::common::{LARGE, OWNER, SMALL, World, body, key};
use crate::interleaved::stopped;

const KINDS: [&str; 4] = ["small", "large", "parts", "grown"];

fn world() -> World {
    World::over(Faulty::new(World::memory().engine))
}

/// Stores an object of the kind; two of its parts are inline, if it has any.
async fn make(world: &World, bucket: &Bucket, kind: &str) -> Bytes {
    match kind {
        "small" => _ = world.put(bucket, "k", body(1, SMALL)).await.unwrap(),
        "large" => _ = world.put(bucket, "k", body(1, LARGE)).await.unwrap(),
        "parts" => {
            let upload = world.initiate(bucket, "k").await.unwrap();
            let mut parts = Vec::new();
            for (number, len) in [(1, LARGE), (2, SMALL), (3, SMALL)] {
                let data = body(u64::from(number), len);
                parts.push(world.part(bucket, "k", upload, number, data).await.unwrap());
            }
            world.complete(bucket, "k", upload, parts).await.unwrap();
        }
        _ => {
            world.append(bucket, "k", 0, body(1, LARGE)).await.unwrap();
            world.append(bucket, "k", LARGE as u64, body(2, SMALL)).await.unwrap();
        }
    }
    world.get(bucket, "k").await.unwrap()
}

/// Sets a rule that moves everything at once, to a class with a place of its own.
async fn rule(world: &World, bucket: &Bucket) {
    let time = Some(TransitionTime::Date(0));
    let rule = Rule {
        id: "all".into(),
        enabled: true,
        size_greater: Some(0),
        transitions: vec![Transition { time, class: "STANDARD_IA".into() }],
        ..Rule::default()
    };
    let minimum = TransitionMinimum::Always128K.into();
    let rules = Lifecycle { rules: vec![rule], minimum, ..Lifecycle::default() };
    let bounds = RuleBounds { days_max: 1, infrequent_days_min: 0 };
    world.store.set_lifecycle(bucket, rules, bounds).await.unwrap();
}

/// How many objects a round has moved.
async fn round(world: &World) -> u64 {
    let options = LifecycleOptions {
        owner_uin: OWNER,
        rows_per_second: 1 << 30,
        ends_per_second: 1 << 30,
        moved_bytes_per_second: 1 << 40,
    };
    let job = LifecycleJob::new(world.store.clone(), options);
    assert!(job.round().await.unwrap());
    assert_eq!(job.stats().failures.load(Relaxed), 0);
    job.stats().moved.load(Relaxed)
}

/// What the object is after the other has written, and whatever the move has done: a
/// round later it has moved, once it is gone nothing is left.
async fn check(world: &World, bucket: &Bucket, want: Option<Bytes>, what: &str) {
    world.settle().await;
    assert_eq!(world.get(bucket, "k").await.ok(), want, "{what}");
    rule(world, bucket).await;
    round(world).await;
    world.settle().await;
    assert_eq!(world.get(bucket, "k").await.ok(), want, "{what}");
    if want.is_some() {
        let info = world.head(bucket, "k").await.unwrap();
        assert_eq!(info.record.storage_class, "STANDARD_IA", "{what}");
        world.delete(bucket, "k").await.unwrap();
    }
    world.settle().await;
    assert!(world.engine.blobs().list(None, 1).await.unwrap().is_empty(), "{what}");
    let elsewhere = world.engine.place(costrel_testkit::ELSEWHERE).unwrap();
    assert!(elsewhere.list(None, 1).await.unwrap().is_empty(), "{what}");
}

#[tokio::test(start_paused = true)]
async fn moves_and_writers() {
    let world = world();
    let bucket = world.bucket("written").await;
    for kind in KINDS {
        for action in ["put", "append", "delete", "tag"] {
            if (action == "append") != (kind == "grown") {
                continue;
            }
            for times in 0.. {
                let old = make(&world, &bucket, kind).await;
                rule(&world, &bucket).await;
                let write = async {
                    match action {
                        "put" => {
                            world.put(&bucket, "k", body(9, LARGE)).await.unwrap();
                            Some(body(9, LARGE))
                        }
                        "append" => {
                            let more = body(9, SMALL);
                            let at = old.len() as u64;
                            world.append(&bucket, "k", at, more.clone()).await.unwrap();
                            Some([&old[..], &more[..]].concat().into())
                        }
                        "delete" => {
                            world.delete(&bucket, "k").await.unwrap();
                            None
                        }
                        _ => {
                            let (tags, key) = (Tags::default(), key("k"));
                            let tagged = world.store.set_object_tags(&bucket, &key, None, &tags);
                            tagged.await.unwrap();
                            Some(old.clone())
                        }
                    }
                };
                let (_, want, waited) = stopped(round(&world), times, write).await;
                check(&world, &bucket, want, &format!("{action} {kind} after {times}")).await;
                if !waited {
                    assert!(times > 5);
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn appends_and_moves() {
    let world = world();
    let bucket = world.bucket("grown").await;
    for times in 0.. {
        let old = make(&world, &bucket, "grown").await;
        rule(&world, &bucket).await;
        let (at, more) = (old.len() as u64, body(9, SMALL));
        let append = world.append(&bucket, "k", at, more.clone());
        let (appended, _, waited) = stopped(append, times, round(&world)).await;
        appended.unwrap();
        let want: Bytes = [&old[..], &more[..]].concat().into();
        check(&world, &bucket, Some(want), &format!("after {times}")).await;
        if !waited {
            assert!(times > 2);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn gets_and_moves() {
    let world = world();
    let bucket = world.bucket("read").await;
    for kind in KINDS {
        for times in 0.. {
            let old = make(&world, &bucket, kind).await;
            rule(&world, &bucket).await;
            let move_away = async {
                assert_eq!(round(&world).await, 1);
                world.collector.sweep().await.unwrap();
            };
            let (seen, (), waited) = stopped(world.get(&bucket, "k"), times, move_away).await;
            assert_eq!(seen.unwrap(), old, "{kind} after {times}");
            check(&world, &bucket, Some(old), kind).await;
            if !waited {
                assert!(times > 2);
                break;
            }
        }
    }
}
