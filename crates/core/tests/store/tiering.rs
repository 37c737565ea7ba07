//! Intelligent tiering: what nobody reads goes down, what is read comes back, while
//! others write.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::body::BytesSource;
use costrel_core::bucket::Bucket;
use costrel_core::lifecycle::{DAY_MS, LifecycleJob, LifecycleOptions};
use costrel_core::object::{Attributes, PutRequest, SymlinkRequest};
use costrel_core::precondition::WriteConditions;
use costrel_core::scrub::{self, ScrubOptions};
use costrel_core::tags::Tags;
use costrel_core::tiering::{AccessJob, AccessTier};
use costrel_core::upload::InitiateRequest;
use costrel_core::version::{VersionRef, Versioning};
use costrel_testkit::ELSEWHERE;

use crate::common::faulty::Faulty;
use crate::common::{OWNER, World, body, initiate_request, key, put_request};
use crate::interleaved::stopped;

const CLASS: &str = "INTELLIGENT_TIERING";
pub const SIZE: usize = 70_000;

fn world() -> World {
    World::over(Faulty::new(World::memory().engine))
}

fn attributes() -> Attributes {
    Attributes { storage_class: CLASS.into(), ..Attributes::default() }
}

pub async fn put(world: &World, bucket: &Bucket, at: &str, data: Bytes) -> Option<VersionRef> {
    let request = PutRequest { attributes: attributes(), ..put_request(at) };
    let mut data = BytesSource::new(data);
    world.store.put_object(bucket, request, &mut data).await.unwrap().version
}

/// An object of two parts, one of them inline.
async fn put_parts(world: &World, bucket: &Bucket) -> Bytes {
    let request = InitiateRequest { attributes: attributes(), ..initiate_request("k") };
    let upload = world.store.initiate_upload(bucket, request).await.unwrap();
    let bodies = [body(1, SIZE), body(2, 100)];
    let mut parts = Vec::new();
    for (number, data) in (1..).zip(&bodies) {
        parts.push(world.part(bucket, "k", upload, number, data.clone()).await.unwrap());
    }
    world.complete(bucket, "k", upload, parts).await.unwrap();
    bodies.concat().into()
}

pub async fn tier(world: &World, bucket: &Bucket, at: &str) -> Option<AccessTier> {
    world.head(bucket, at).await.unwrap().record.access_tier(world.store.now_ms())
}

pub fn lifecycle_job(world: &World) -> LifecycleJob {
    let options = LifecycleOptions {
        owner_uin: OWNER,
        rows_per_second: 1 << 30,
        ends_per_second: 1 << 30,
        moved_bytes_per_second: 1 << 40,
    };
    LifecycleJob::new(world.store.clone(), options)
}

/// How many objects a round has cooled.
async fn round(world: &World) -> u64 {
    let job = lifecycle_job(world);
    assert!(job.round().await.unwrap());
    assert_eq!(job.stats().failures.load(Relaxed), 0);
    assert_eq!(job.stats().moved.load(Relaxed), 0, "the class stays");
    job.stats().cooled.load(Relaxed)
}

/// How many reads were written down, and how many objects they have raised.
pub async fn write_down(world: &World) -> (u64, u64) {
    let job = AccessJob::new(world.store.clone(), 1 << 40);
    job.write_down().await;
    let stats = job.stats();
    assert_eq!(stats.failures.load(Relaxed), 0);
    (stats.noted.load(Relaxed), stats.raised.load(Relaxed))
}

pub async fn blobs_below(world: &World) -> usize {
    world.settle().await;
    world.engine.place(ELSEWHERE).unwrap().list(None, 10).await.unwrap().len()
}

const DOWN: Option<AccessTier> = Some(AccessTier::Infrequent);
const UP: Option<AccessTier> = Some(AccessTier::Frequent);

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_goes_down_and_a_read_brings_it_back() {
    for world in [World::memory(), World::embedded()] {
        let bucket = world.bucket("tiered").await;
        put(&world, &bucket, "k", body(1, SIZE)).await;
        put(&world, &bucket, "small", body(2, 65_535)).await;
        world.put(&bucket, "plain", body(3, SIZE)).await.unwrap();
        assert_eq!(tier(&world, &bucket, "plain").await, None);
        let implied = bucket.settings().tiering.clone().unwrap();
        assert!(implied.implied && implied.days == 30);
        world.store.set_tiering(&bucket, 60).await.unwrap();
        let wrong = world.store.set_tiering(&bucket, 31).await;
        assert!(matches!(wrong, Err(Error::InvalidTiering)));
        world.advance(59 * DAY_MS);
        assert_eq!(round(&world).await, 0);
        // A read of its last day is one of the sixty that begin.
        world.get(&bucket, "k").await.unwrap();
        assert_eq!(write_down(&world).await, (1, 0));
        world.get(&bucket, "k").await.unwrap();
        assert_eq!(write_down(&world).await, (0, 0), "it is known of this day");
        world.advance(59 * DAY_MS);
        assert_eq!(round(&world).await, 0);
        world.advance(2 * DAY_MS);
        let modified_ms = world.head(&bucket, "k").await.unwrap().record.modified_ms;
        assert_eq!(round(&world).await, 1);
        assert_eq!(tier(&world, &bucket, "k").await, DOWN);
        assert_eq!(tier(&world, &bucket, "small").await, UP);
        assert_eq!(blobs_below(&world).await, 1);
        world.head(&bucket, "k").await.unwrap();
        assert_eq!(write_down(&world).await, (0, 0), "nobody has read it");
        world.advance(70 * DAY_MS);
        assert_eq!(round(&world).await, 0);
        assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, SIZE));
        assert_eq!(write_down(&world).await, (1, 1));
        let info = world.head(&bucket, "k").await.unwrap();
        assert_eq!(info.record.access_tier(world.store.now_ms()), UP);
        assert_eq!(info.record.storage_class, CLASS);
        assert_eq!(info.record.modified_ms, modified_ms);
        assert_eq!(blobs_below(&world).await, 0);
        assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, SIZE));
    }
}

#[tokio::test(start_paused = true)]
async fn the_scrub_is_nobody() {
    let world = World::memory();
    let bucket = world.bucket("scrubbed").await;
    put(&world, &bucket, "k", body(1, SIZE)).await;
    world.advance(31 * DAY_MS);
    assert_eq!(round(&world).await, 1);
    let pause = Duration::from_secs(3600);
    let options = ScrubOptions { bytes_per_second: 1 << 30, pause };
    let scrub = scrub::run(world.store.clone(), OWNER, options);
    tokio::time::timeout(pause / 2, scrub).await.unwrap_err();
    assert_eq!(world.store.scrub_progress().objects.load(Relaxed), 1);
    assert_eq!(write_down(&world).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn each_version_for_itself_and_through_links() {
    let world = World::memory();
    let bucket = world.bucket("versions").await;
    put(&world, &bucket, "k", body(0, SIZE)).await;
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    let first = put(&world, &bucket, "k", body(1, SIZE)).await.unwrap();
    put(&world, &bucket, "k", body(2, SIZE)).await.unwrap();
    let link = SymlinkRequest {
        key: key("link"),
        target: key("k"),
        attributes: Attributes::default(),
        conditions: WriteConditions::default(),
    };
    world.store.put_symlink(&bucket, link).await.unwrap();
    world.advance(31 * DAY_MS);
    assert_eq!(round(&world).await, 3);
    assert_eq!(blobs_below(&world).await, 3);
    for (raises, below) in [(&first, 2), (&VersionRef::Null, 1)] {
        world.get_version(&bucket, "k", *raises).await.unwrap();
        assert_eq!(write_down(&world).await, (1, 1));
        assert_eq!(blobs_below(&world).await, below);
        assert_eq!(tier(&world, &bucket, "k").await, DOWN);
    }
    assert_eq!(world.get(&bucket, "link").await.unwrap(), body(2, SIZE));
    assert_eq!(write_down(&world).await, (1, 1));
    assert_eq!(tier(&world, &bucket, "k").await, UP);
    assert_eq!(world.get_version(&bucket, "k", first).await.unwrap(), body(1, SIZE));
    assert_eq!(world.get_version(&bucket, "k", VersionRef::Null).await.unwrap(), body(0, SIZE));
}

/// What the object is once everybody is done: whole, and nothing else is left.
async fn check(world: &World, bucket: &Bucket, want: Option<Bytes>, what: &str) {
    world.settle().await;
    assert_eq!(world.get(bucket, "k").await.ok(), want, "{what}");
    write_down(world).await;
    if want.is_some() {
        assert_eq!(world.get(bucket, "k").await.ok(), want, "{what}");
        world.delete(bucket, "k").await.unwrap();
    }
    assert_eq!(blobs_below(world).await, 0, "{what}");
    assert!(world.engine.blobs().list(None, 1).await.unwrap().is_empty(), "{what}");
}

/// A write that happens in the midst of a move; what the object is then.
async fn write(world: &World, bucket: &Bucket, action: &str, old: &Bytes) -> Option<Bytes> {
    match action {
        "put" => {
            put(world, bucket, "k", body(9, SIZE)).await;
            Some(body(9, SIZE))
        }
        "delete" => {
            world.delete(bucket, "k").await.unwrap();
            None
        }
        _ => {
            let (key, tags) = (key("k"), Tags::default());
            world.store.set_object_tags(bucket, &key, None, &tags).await.unwrap();
            Some(old.clone())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn moves_and_writers() {
    let world = world();
    let bucket = world.bucket("written").await;
    for in_parts in [false, true] {
        for (action, down) in
            ["put", "delete", "tag"].into_iter().flat_map(|a| [(a, true), (a, false)])
        {
            for times in 0.. {
                let old = match in_parts {
                    true => put_parts(&world, &bucket).await,
                    false => {
                        put(&world, &bucket, "k", body(1, SIZE)).await;
                        body(1, SIZE)
                    }
                };
                world.advance(31 * DAY_MS);
                let acting = write(&world, &bucket, action, &old);
                let (want, waited) = if down {
                    let (_, want, waited) = stopped(round(&world), times, acting).await;
                    (want, waited)
                } else {
                    assert_eq!(round(&world).await, 1);
                    assert_eq!(world.get(&bucket, "k").await.unwrap(), old);
                    let (_, want, waited) = stopped(write_down(&world), times, acting).await;
                    (want, waited)
                };
                let what = format!("{action} parts {in_parts} down {down} after {times}");
                check(&world, &bucket, want, &what).await;
                if !waited {
                    assert!(times > 5, "{what}");
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_reads_at_once_are_noted_by_the_next() {
    const NOTES_MAX: u64 = 16 * 1024;
    let world = World::memory();
    let bucket = world.bucket("many").await;
    for n in 0..NOTES_MAX + 5 {
        put(&world, &bucket, &n.to_string(), body(n, 10)).await;
    }
    world.advance(2 * DAY_MS);
    for (noted, dropped) in [(NOTES_MAX, 5), (5, 5), (0, 5)] {
        for n in 0..NOTES_MAX + 5 {
            world.get(&bucket, &n.to_string()).await.unwrap();
        }
        assert_eq!(world.store.accesses_dropped(), dropped);
        assert_eq!(write_down(&world).await, (noted, 0));
    }
}
