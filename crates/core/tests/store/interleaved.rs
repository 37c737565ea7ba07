//! One request stopped at every point at which it waits, while another runs from
//! beginning to end in between.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::object::Selection;
use costrel_core::{Error, Result};

use crate::common::faulty::Faulty;
use crate::common::{LARGE, OWNER, SMALL, World, body};

fn world() -> World {
    World::over(Faulty::new(World::memory().engine))
}

/// Polls `first` so many times, then runs `second`, then the rest of `first`.
/// Whether `first` was still waiting.
pub(crate) async fn stopped<A, B>(
    first: impl Future<Output = A>,
    times: usize,
    second: impl Future<Output = B>,
) -> (A, B, bool) {
    let mut first = pin!(first);
    let mut done = None;
    for _ in 0..times {
        match first.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                done = Some(result);
                break;
            }
            // Tasks that the request has started go on.
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    let second = second.await;
    match done {
        Some(done) => (done, second, false),
        None => (first.await, second, true),
    }
}

/// Stores an object of so many runs; from 65 on its layout has a row of its own.
async fn parts(world: &World, bucket: &Bucket, count: u32, seed: u64) -> Vec<u8> {
    let upload = world.initiate(bucket, "k").await.unwrap();
    let (mut named, mut whole) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let data = body(seed * 100 + u64::from(number), 10 + number as usize % 2);
        whole.extend_from_slice(&data);
        named.push(world.part(bucket, "k", upload, number, data).await.unwrap());
    }
    world.complete(bucket, "k", upload, named).await.unwrap();
    whole
}

#[tokio::test(start_paused = true)]
async fn gets_and_overwriters() {
    let world = world();
    let bucket = world.bucket("gets").await;
    for kind in ["small", "large", "parts"] {
        for (selection, count) in
            [(Selection::Whole, 66), (Selection::Whole, 4), (Selection::Part(1), 66)]
        {
            for times in 0.. {
                let old = parts(&world, &bucket, count, 1).await;
                let overwrite = async {
                    let new = match kind {
                        "small" => body(2, SMALL).to_vec(),
                        "large" => body(2, LARGE).to_vec(),
                        _ => return parts(&world, &bucket, count, 2).await,
                    };
                    world.put(&bucket, "k", new.clone().into()).await.unwrap();
                    new
                };
                let second = async {
                    let new = overwrite.await;
                    world.collector.sweep().await.unwrap();
                    new
                };
                let get = world.get_part(&bucket, "k", selection);
                let (seen, new, waited) = stopped(get, times, second).await;
                let (info, seen) = seen.unwrap();
                let whole = if info.record.size == old.len() as u64 && seen.len() <= old.len() {
                    if old.starts_with(&seen) { &old } else { &new }
                } else {
                    &new
                };
                assert!(whole.starts_with(&seen), "{kind} {selection:?} after {times} polls");
                world.settle().await;
                if !waited {
                    assert!(times > 5);
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lookups_and_deletions_of_buckets() {
    for times in 0.. {
        let mut fresh = world();
        let bucket = fresh.bucket("looked-up").await;
        // A process that knows no bucket yet.
        fresh.restart();
        let name = bucket.name.as_str();
        let (found, deleted, waited) = stopped(fresh.store.bucket(name), times, async {
            let bucket = fresh.store.bucket(name).await.unwrap();
            fresh.store.delete_bucket(&bucket).await
        })
        .await;
        deleted.unwrap();
        assert!(found.is_ok() || matches!(found, Err(Error::NoSuchBucket)));
        assert!(matches!(fresh.store.bucket(name).await, Err(Error::NoSuchBucket)), "{times}");
        let name = costrel_core::names::BucketName::new(name).unwrap();
        fresh.store.create_bucket(name, OWNER, None).await.unwrap();
        if !waited {
            assert!(times > 1);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn appends_and_appends() {
    let world = world();
    let bucket = world.bucket("appends").await;
    for (first, second) in [(SMALL, SMALL), (LARGE, SMALL), (SMALL, LARGE)] {
        for times in 0.. {
            let before = body(1, SMALL);
            world.append(&bucket, "k", 0, before.clone()).await.unwrap();
            let at = SMALL as u64;
            let (a, b, waited) = stopped(
                world.append(&bucket, "k", at, body(2, first)),
                times,
                world.append(&bucket, "k", at, body(3, second)),
            )
            .await;
            let wrong = |result: &Result<_>| matches!(result, Err(Error::AppendPosition { .. }));
            let added = match (&a, &b) {
                (Ok(_), lost) if wrong(lost) => body(2, first),
                (lost, Ok(_)) if wrong(lost) => body(3, second),
                other => panic!("{other:?}"),
            };
            let whole = [&before[..], &added[..]].concat();
            assert_eq!(world.get(&bucket, "k").await.unwrap(), whole, "{times} polls");
            world.delete(&bucket, "k").await.unwrap();
            world.settle().await;
            if !waited {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn parts_and_completions() {
    let world = world();
    let bucket = world.bucket("parts").await;
    for len in [SMALL, LARGE] {
        let mut uploading = 0;
        for part_polls in 0.. {
            let mut waited = false;
            for complete_polls in 0..20 {
                let upload = world.initiate(&bucket, "k").await.unwrap();
                let old = body(1, SMALL);
                let part = world.part(&bucket, "k", upload, 1, old.clone()).await.unwrap();
                let new: Bytes = body(2, len);
                // The part stops, the completion begins and stops, the part goes
                // on, and both end.
                let overwrite = world.part(&bucket, "k", upload, 1, new.clone());
                let complete = world.complete(&bucket, "k", upload, vec![part]);
                let mut complete = pin!(complete);
                let mut early = None;
                let begin = async {
                    for _ in 0..complete_polls {
                        let waker = Waker::noop();
                        match complete.as_mut().poll(&mut Context::from_waker(waker)) {
                            Poll::Ready(done) => {
                                early = Some(done);
                                break;
                            }
                            Poll::Pending => tokio::task::yield_now().await,
                        }
                    }
                };
                let (overwritten, (), still) = stopped(overwrite, part_polls, begin).await;
                waited |= still;
                let completed = match early {
                    Some(done) => done,
                    None => complete.await,
                };
                match (overwritten, completed) {
                    (Err(Error::NoSuchUpload), Ok(_)) => {
                        assert_eq!(world.get(&bucket, "k").await.unwrap(), old);
                    }
                    (Ok(part), Err(Error::InvalidPart { number: 1 })) => {
                        world.complete(&bucket, "k", upload, vec![part]).await.unwrap();
                        assert_eq!(world.get(&bucket, "k").await.unwrap(), new);
                    }
                    other => panic!("{part_polls} {complete_polls}: {other:?}"),
                }
                world.settle().await;
            }
            uploading += 1;
            if !waited {
                break;
            }
        }
        assert!(uploading > 8);
    }
}

#[tokio::test(start_paused = true)]
async fn right_and_wrong_completions() {
    let world = world();
    let bucket = world.bucket("completions").await;
    for times in 0..60 {
        let upload = world.initiate(&bucket, "k").await.unwrap();
        let data = body(times as u64, SMALL);
        let right = world.part(&bucket, "k", upload, 1, data.clone()).await.unwrap();
        let mut wrong = right.clone();
        wrong.number = 2;
        let (right, wrong, _) = stopped(
            world.complete(&bucket, "k", upload, vec![right]),
            times,
            world.complete(&bucket, "k", upload, vec![wrong]),
        )
        .await;
        // Whichever came first, nothing stands in the way of the right one.
        right.unwrap();
        assert!(matches!(wrong, Err(Error::InvalidPart { number: 2 } | Error::NoSuchUpload)));
        assert_eq!(world.get(&bucket, "k").await.unwrap(), data);
    }
    world.settle().await;
}
