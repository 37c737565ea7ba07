//! Several processes over one engine: what one does the others obey, and work in
//! the background is done once.

use std::sync::Arc;
use std::time::Duration;

use costrel_core::Error;
use costrel_core::engine::{BucketId, Partition, PartitionState};
use costrel_core::version::{VersionRef, Versioning};
use costrel_testkit::SharedMemory;

use crate::common::{LARGE, SMALL, World, body};

const HOUR: Duration = Duration::from_secs(3600);

/// Longer than a claim stays when its holder does nothing.
const CLAIM_OVER: Duration = Duration::from_secs(21);

#[tokio::test]
async fn a_deletion_is_obeyed_at_once() {
    let engine = SharedMemory::new(HOUR, HOUR);
    let other = engine.another();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let first = one.bucket("shared").await;
    assert_eq!(two.store.bucket("shared").await.unwrap().id, first.id);
    one.store.delete_bucket(&first).await.unwrap();
    assert!(matches!(two.store.bucket("shared").await, Err(Error::NoSuchBucket)));
    let second = two.bucket("shared").await;
    assert_ne!(first.id, second.id);
    assert_eq!(one.store.bucket("shared").await.unwrap().id, second.id);
    two.put(&second, "k", body(1, SMALL)).await.unwrap();
    assert!(matches!(one.store.delete_bucket(&second).await, Err(Error::BucketNotEmpty)));
}

#[tokio::test]
async fn a_change_of_settings_is_obeyed_at_once() {
    let engine = SharedMemory::new(HOUR, HOUR);
    let other = engine.another();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let first = one.bucket("shared").await;
    // A request that began before goes by the settings of its commit.
    let seen = two.store.bucket("shared").await.unwrap();
    for (state, name) in
        [(Versioning::Enabled, false), (Versioning::Suspended, true), (Versioning::Enabled, false)]
    {
        one.store.set_versioning(&first, state).await.unwrap();
        let put = two.put(&seen, "k", body(1, SMALL)).await.unwrap();
        assert_eq!(put.version.map(|version| version == VersionRef::Null), Some(name));
        let put = one.put(&first, "k", body(2, LARGE)).await.unwrap();
        assert_eq!(put.version.map(|version| version == VersionRef::Null), Some(name));
    }
    one.settle().await;
}

/// Whoever goes by what it remembers, or was away, cannot get round new settings.
#[tokio::test]
async fn what_old_settings_decided_is_decided_anew() {
    let engine = SharedMemory::new(HOUR, HOUR);
    let other = engine.deaf();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let bucket = one.bucket("shared").await;
    one.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    let seen = two.store.bucket("shared").await.unwrap();
    one.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    let put = two.put(&seen, "k", body(2, SMALL)).await.unwrap();
    assert!(matches!(put.version, Some(VersionRef::Id(_))), "{put:?}");
    let old = one.get_version(&bucket, "k", VersionRef::Null).await.unwrap();
    assert_eq!(old, body(1, SMALL));
    one.settle().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_told_is_forgotten_after_a_while() {
    let engine = SharedMemory::new(Duration::from_secs(1), HOUR);
    let other = engine.deaf();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let bucket = one.bucket("shared").await;
    two.store.bucket("shared").await.unwrap();
    one.store.delete_bucket(&bucket).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(two.store.bucket("shared").await, Err(Error::NoSuchBucket)));
}

#[tokio::test(start_paused = true)]
async fn one_process_sweeps_until_it_is_gone() {
    let engine = SharedMemory::new(HOUR, HOUR);
    let other = engine.another();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let blobs = async || one.engine.blobs().list(None, 10).await.unwrap().len();
    one.collector.sweep().await.unwrap();
    let bucket = two.bucket("shared").await;
    two.put(&bucket, "k", body(1, LARGE * 20)).await.unwrap();
    two.delete(&bucket, "k").await.unwrap();
    assert_eq!(blobs().await, 1);
    two.collector.sweep().await.unwrap();
    assert_eq!(blobs().await, 1, "the work is the other's");
    tokio::time::sleep(CLAIM_OVER).await;
    two.collector.sweep().await.unwrap();
    assert_eq!(blobs().await, 0, "the other is gone");
    two.put(&bucket, "k", body(2, LARGE * 20)).await.unwrap();
    two.delete(&bucket, "k").await.unwrap();
    one.collector.sweep().await.unwrap();
    assert_eq!(blobs().await, 1, "it has come back too late");
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_name_goes_when_nobody_names_it() {
    let engine = SharedMemory::new(HOUR, HOUR);
    let one = World::over(Arc::new(engine));
    let named = one.bucket("named").await;
    let nameless = BucketId(77);
    one.engine.index().create_partition(Partition::Bucket(nameless)).await.unwrap();
    one.collector.sweep().await.unwrap();
    let states = async || one.engine.index().partitions().await.unwrap();
    assert!(states().await.contains(&(nameless, PartitionState::Live)), "it may get a name yet");
    tokio::time::sleep(Duration::from_secs(61)).await;
    for _ in 0..2 {
        one.collector.sweep().await.unwrap();
    }
    assert_eq!(states().await, [(named.id, PartitionState::Live)]);
}
