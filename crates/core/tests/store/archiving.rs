//! The archive tiers of intelligent tiering: what nobody reads goes there, is not read
//! before it was restored, and is where it began after that.

use std::sync::atomic::Ordering::Relaxed;

use costrel_core::bucket::Bucket;
use costrel_core::lifecycle::DAY_MS;
use costrel_core::record::Pair;
use costrel_core::restore::{RestoreDelays, RestoreRequest, Restored, Speed};
use costrel_core::tags::Tags;
use costrel_core::tiering::{AccessTier, Archiving, ArchivingFault};
use costrel_core::version::{VersionRef, Versioning};
use costrel_core::{Error, Result, StoreOptions};

use crate::common::{World, body, key, options};
use crate::tiering::{SIZE, blobs_below, lifecycle_job, put, tier, write_down};

const ARCHIVED: Option<AccessTier> = Some(AccessTier::Archive);
const DEEP: Option<AccessTier> = Some(AccessTier::DeepArchive);
const DOWN: Option<AccessTier> = Some(AccessTier::Infrequent);
const UP: Option<AccessTier> = Some(AccessTier::Frequent);

fn archiving(id: &str, archive_days: Option<u32>, deep_archive_days: Option<u32>) -> Archiving {
    let id = id.to_owned();
    Archiving { id, enabled: true, archive_days, deep_archive_days, ..Archiving::default() }
}

/// How many objects a round has moved: down, to the archives, and back.
async fn round(world: &World) -> (u64, u64, u64) {
    let job = lifecycle_job(world);
    assert!(job.round().await.unwrap());
    let stats = job.stats();
    assert_eq!(stats.failures.load(Relaxed), 0);
    assert_eq!(stats.moved.load(Relaxed), 0, "the class stays");
    (stats.cooled.load(Relaxed), stats.archived.load(Relaxed), stats.raised.load(Relaxed))
}

async fn restore(
    world: &World,
    bucket: &Bucket,
    version: Option<VersionRef>,
    speed: Speed,
    days: Option<u32>,
) -> Result<Restored> {
    let request = RestoreRequest {
        key: key("k"),
        version,
        days,
        allows_idle_days: false,
        speed,
        utc_offset_s: 0,
    };
    Ok(world.store.restore_object(bucket, &request).await?.0)
}

async fn is_archived(world: &World, bucket: &Bucket, want: Option<AccessTier>) {
    assert_eq!(tier(world, bucket, "k").await, want);
    let read = world.get(bucket, "k").await;
    let refused = matches!(&read, Err(Error::Archived { class, tier })
        if class == "INTELLIGENT_TIERING" && *tier == want);
    assert!(refused, "{:?}", read.err());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_archived_until_it_is_restored() {
    for world in [World::memory(), World::embedded()] {
        let bucket = world.bucket("archived").await;
        world.store.set_archiving(&bucket, archiving("a", Some(90), Some(180))).await.unwrap();
        put(&world, &bucket, "k", body(1, SIZE)).await;
        put(&world, &bucket, "small", body(2, 65_535)).await;
        world.put(&bucket, "plain", body(3, SIZE)).await.unwrap();
        world.advance(31 * DAY_MS);
        assert_eq!(round(&world).await, (1, 0, 0));
        assert_eq!(tier(&world, &bucket, "k").await, DOWN);
        world.advance(60 * DAY_MS);
        assert_eq!(round(&world).await, (0, 1, 0));
        is_archived(&world, &bucket, ARCHIVED).await;
        assert_eq!(blobs_below(&world).await, 1);
        world.advance(90 * DAY_MS);
        assert_eq!(round(&world).await, (0, 1, 0));
        is_archived(&world, &bucket, DEEP).await;
        assert_eq!(tier(&world, &bucket, "small").await, UP);
        assert_eq!(write_down(&world).await, (0, 0), "nobody has read it");

        let wrong = restore(&world, &bucket, None, Speed::Standard, Some(1)).await;
        assert!(matches!(wrong, Err(Error::RestoreWithDays)));
        let wrong = restore(&world, &bucket, None, Speed::Expedited, None).await;
        assert!(matches!(wrong, Err(Error::RestoreSpeed)));
        is_archived(&world, &bucket, DEEP).await;
        let restored = restore(&world, &bucket, None, Speed::Bulk, None).await.unwrap();
        assert_eq!(restored, Restored::Begun);
        assert_eq!(tier(&world, &bucket, "k").await, UP);
        assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, SIZE));
        assert_eq!(write_down(&world).await, (1, 1), "its bytes follow");
        let info = world.head(&bucket, "k").await.unwrap();
        assert_eq!(info.record.restore, None);
        assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, SIZE));
        let again = restore(&world, &bucket, None, Speed::Standard, None).await;
        assert!(matches!(again, Err(Error::NotArchived)));
        world.advance(29 * DAY_MS);
        assert_eq!(round(&world).await, (0, 0, 0), "the restore counts as a read");
        assert_eq!(blobs_below(&world).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_takes_its_time() {
    let bulk_ms = DAY_MS / 2;
    let restore_delays = RestoreDelays { bulk_ms, ..RestoreDelays::default() };
    let world = World::memory_with(StoreOptions { restore_delays, ..options() });
    let bucket = world.bucket("slow").await;
    world.store.set_archiving(&bucket, archiving("a", Some(90), None)).await.unwrap();
    world.store.set_archiving(&bucket, archiving("b", None, Some(180))).await.unwrap();
    put(&world, &bucket, "k", body(1, SIZE)).await;
    world.advance(91 * DAY_MS);
    assert_eq!(round(&world).await, (0, 1, 0));
    restore(&world, &bucket, None, Speed::Bulk, None).await.unwrap();
    is_archived(&world, &bucket, ARCHIVED).await;
    let again = restore(&world, &bucket, None, Speed::Bulk, None).await;
    assert!(matches!(again, Err(Error::RestoreUnderWay)));
    assert_eq!(write_down(&world).await, (0, 0));
    world.advance(bulk_ms);
    assert_eq!(tier(&world, &bucket, "k").await, UP);
    // Nobody reads it; the next round brings its bytes.
    world.advance(DAY_MS);
    assert_eq!(round(&world).await, (0, 0, 1));
    assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, SIZE));
    world.advance(89 * DAY_MS);
    assert_eq!(round(&world).await, (1, 0, 0), "from its restore on");
    assert_eq!(tier(&world, &bucket, "k").await, DOWN);
}

#[tokio::test(start_paused = true)]
async fn filters_and_versions() {
    let world = World::memory();
    let bucket = world.bucket("filtered").await;
    let tags = vec![Pair { name: "cold".into(), value: "yes".into() }];
    let tagged = Archiving { tags: tags.clone(), ..archiving("tagged", Some(90), None) };
    world.store.set_archiving(&bucket, tagged).await.unwrap();
    let below = Archiving { prefix: Some("logs/".into()), ..archiving("b", Some(200), None) };
    world.store.set_archiving(&bucket, below.clone()).await.unwrap();
    let off = Archiving { enabled: false, ..archiving("off", Some(90), None) };
    world.store.set_archiving(&bucket, off).await.unwrap();
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    for at in ["logs/1", "k"] {
        put(&world, &bucket, at, body(1, SIZE)).await;
    }
    let tags = Tags::of_object(tags).unwrap();
    world.store.set_object_tags(&bucket, &key("k"), None, &tags).await.unwrap();
    let first = world.head(&bucket, "k").await.unwrap().version;
    put(&world, &bucket, "k", body(2, SIZE)).await;
    world.advance(91 * DAY_MS);
    // The version that is not the current one has the tag.
    assert_eq!(round(&world).await, (2, 1, 0));
    assert_eq!(tier(&world, &bucket, "k").await, DOWN);
    assert_eq!(tier(&world, &bucket, "logs/1").await, DOWN);
    let read = world.get_version(&bucket, "k", first.unwrap()).await;
    assert!(matches!(read, Err(Error::Archived { tier: ARCHIVED, .. })));
    restore(&world, &bucket, first, Speed::Expedited, None).await.unwrap();
    assert_eq!(write_down(&world).await, (1, 1));
    assert_eq!(world.get_version(&bucket, "k", first.unwrap()).await.unwrap(), body(1, SIZE));
    world.advance(110 * DAY_MS);
    assert_eq!(round(&world).await, (0, 2, 0), "the one of logs, and the version again");
    assert_eq!(tier(&world, &bucket, "logs/1").await, ARCHIVED);
    // Deleted and replaced like any other.
    world.delete_version(&bucket, "k", first.unwrap()).await.unwrap();
    put(&world, &bucket, "logs/1", body(3, SIZE)).await;
    assert_eq!(tier(&world, &bucket, "logs/1").await, UP);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn archivings_are_kept_by_their_ids() {
    let world = World::memory();
    let bucket = world.bucket("configured").await;
    let ids = async || {
        let all = world.store.archivings(&bucket).await.unwrap();
        let ids = all.all.iter().map(|each| (each.id.clone(), each.archive_days));
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids().await, []);
    for (id, days) in [("b", 90), ("a", 100), ("b", 200)] {
        world.store.set_archiving(&bucket, archiving(id, Some(days), None)).await.unwrap();
    }
    let want = [("a".to_owned(), Some(100)), ("b".to_owned(), Some(200))];
    assert_eq!(ids().await, want);
    let wrong = world.store.set_archiving(&bucket, archiving("b", Some(1), None)).await;
    assert!(matches!(wrong, Err(Error::Archiving(ArchivingFault::Days { .. }))));
    let wrong = world.store.delete_archiving(&bucket, "c").await;
    assert!(matches!(wrong, Err(Error::NoArchiving)));
    assert_eq!(ids().await, want);
    // The days of the infrequent tier are another setting.
    world.store.set_tiering(&bucket, 60).await.unwrap();
    assert_eq!(ids().await, want);
    world.settle().await;
    for id in ["a", "b"] {
        world.store.delete_archiving(&bucket, id).await.unwrap();
    }
    assert_eq!(ids().await, []);
    let tiering = bucket.settings().tiering.clone().unwrap();
    assert!(tiering.days == 60 && !tiering.implied);
    // Many at once: none is lost.
    let adding = (0..20).map(|n| {
        let (store, bucket) = (world.store.clone(), bucket.clone());
        async move { store.set_archiving(&bucket, archiving(&n.to_string(), Some(90), None)).await }
    });
    let added = futures_util::future::join_all(adding).await;
    assert!(added.iter().all(Result::is_ok));
    assert_eq!(ids().await.len(), 20);
    for n in 20..1000 {
        let each = archiving(&n.to_string(), Some(90), None);
        world.store.set_archiving(&bucket, each).await.unwrap();
    }
    let one_more = world.store.set_archiving(&bucket, archiving("x", Some(90), None)).await;
    assert!(matches!(one_more, Err(Error::TooManyArchivings { max: 1000 })));
    world.store.set_archiving(&bucket, archiving("7", Some(91), None)).await.unwrap();
    world.settle().await;
    world.store.delete_bucket(&bucket).await.unwrap();
    world.settle().await;
}
