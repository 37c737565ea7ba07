//! Object lock: what is locked stays, whoever removes or replaces it and however
//! the clock is turned.

use std::time::Duration;

use costrel_core::Error;
use costrel_core::body::BytesSource;
use costrel_core::bucket::{Bucket, InitialSettings};
use costrel_core::lock::{
    self, BucketLock, DefaultRetention, Period, Retention, RetentionMode, VersionLock,
};
use costrel_core::names::BucketName;
use costrel_core::object::{
    Attributes, CopyRequest, CopySource, DeleteRequest, GetRequest, PutRequest,
};
use costrel_core::record::Metadata;
use costrel_core::upload::InitiateRequest;
use costrel_core::version::{VersionRef, Versioning};

use crate::common::{
    LARGE, OWNER, SMALL, World, body, delete_request, get_request, initiate_request, key,
    put_request,
};
use RetentionMode::{Compliance, Governance};

crate::on_every_engine!(
    locked_versions_stay,
    retention_ends_and_holds_are_taken_away,
    locks_come_with_what_is_made,
    without_versions_nothing_locked_is_replaced,
    object_lock_and_versioning,
);

const HOUR: u64 = 3_600_000;

async fn locking(world: &World, name: &str) -> std::sync::Arc<Bucket> {
    let name = BucketName::new(name).unwrap();
    let initial = InitialSettings { object_lock: true, ..Default::default() };
    world.store.create_bucket_with(name, OWNER, None, initial).await.unwrap()
}

async fn put(world: &World, bucket: &Bucket, at: &str, len: usize) -> VersionRef {
    world.put(bucket, at, body(1, len)).await.unwrap().version.unwrap()
}

fn retention(world: &World, mode: RetentionMode, ms: u64) -> Option<Retention> {
    Some(Retention { mode, until_ms: world.store.now_ms() + ms })
}

async fn remove(
    world: &World,
    bucket: &Bucket,
    at: &str,
    version: VersionRef,
    bypass: bool,
) -> bool {
    let version = Some(version);
    let request = DeleteRequest { version, bypass_governance: bypass, ..delete_request(at) };
    match world.store.delete_object(bucket, &request).await {
        Ok(_) => true,
        Err(Error::Locked) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn lock_of(world: &World, bucket: &Bucket, at: &str) -> VersionLock {
    world.head(bucket, at).await.unwrap().lock()
}

async fn locked_versions_stay(world: &World) {
    let bucket = locking(world, "stay").await;
    let store = &world.store;
    assert_eq!(bucket.versioning(), Versioning::Enabled);
    for len in [0, SMALL, LARGE] {
        let at = format!("k{len}");
        let [plain, governed, complying, held] = [0; 4].map(|_| put(world, &bucket, &at, len));
        let (plain, governed) = (plain.await, governed.await);
        let (complying, held) = (complying.await, held.await);
        for (version, mode) in [(governed, Governance), (complying, Compliance)] {
            let retention = retention(world, mode, HOUR);
            let named = Some(version);
            let set = store.set_retention(&bucket, &key(&at), named, retention, false).await;
            assert_eq!(set.unwrap(), named);
        }
        store.set_legal_hold(&bucket, &key(&at), None, true).await.unwrap();
        // Markers and new versions are put on top of them.
        let marker = world.delete(&bucket, &at).await.unwrap().version.unwrap();
        for version in [governed, complying, held] {
            assert!(!remove(world, &bucket, &at, version, false).await);
        }
        assert!(!remove(world, &bucket, &at, complying, true).await);
        assert!(!remove(world, &bucket, &at, held, true).await);
        assert!(remove(world, &bucket, &at, plain, false).await);
        assert!(remove(world, &bucket, &at, governed, true).await);
        assert!(remove(world, &bucket, &at, marker, false).await);
        world.settle().await;
        for version in [complying, held] {
            assert_eq!(world.get_version(&bucket, &at, version).await.unwrap(), body(1, len));
        }
        let deleted = store.delete_bucket(&bucket).await;
        assert!(matches!(deleted, Err(Error::BucketNotEmpty)));
    }
}

async fn retention_ends_and_holds_are_taken_away(world: &World) {
    let bucket = locking(world, "ends").await;
    let store = &world.store;
    let (version, at) = (put(world, &bucket, "k", SMALL).await, key("k"));
    let short = retention(world, Compliance, 300);
    store.set_retention(&bucket, &at, None, short, false).await.unwrap();
    let loosened = store.set_retention(&bucket, &at, None, None, true).await;
    assert!(matches!(loosened, Err(Error::RetentionLoosened)));
    let past = Some(Retention { mode: Compliance, until_ms: 1 });
    let past = store.set_retention(&bucket, &at, None, past, true).await;
    assert!(matches!(past, Err(Error::RetentionInThePast)));
    store.set_legal_hold(&bucket, &at, None, true).await.unwrap();
    // The machine's clock alone ends nothing.
    world.advance(1000 * HOUR);
    assert!(!remove(world, &bucket, "k", version, true).await);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!remove(world, &bucket, "k", version, true).await);
    store.set_legal_hold(&bucket, &at, Some(version), false).await.unwrap();
    assert_eq!(lock_of(world, &bucket, "k").await.legal_hold, Some(false));
    assert!(remove(world, &bucket, "k", version, false).await);
    let gone = store.set_legal_hold(&bucket, &at, Some(version), true).await;
    assert!(matches!(gone, Err(Error::NoSuchVersion)));
}

async fn locks_come_with_what_is_made(world: &World) {
    let bucket = locking(world, "made").await;
    let store = &world.store;
    let default = DefaultRetention { mode: Governance, period: Period::Days(2) };
    let lock = BucketLock { default_retention: Some(default) };
    store.set_object_lock(&bucket, lock, false).await.unwrap();
    assert_eq!(bucket.settings().lock, Some(lock));
    put(world, &bucket, "default", SMALL).await;
    let by_default = lock_of(world, &bucket, "default").await.retention.unwrap();
    let until = by_default.until_ms - world.store.now_ms();
    assert!(by_default.mode == Governance && until.abs_diff(48 * HOUR) < 1000, "{until}");

    let retention = retention(world, Compliance, HOUR);
    let wanted = VersionLock { retention, legal_hold: Some(true) };
    let attributes = Attributes { lock: wanted, ..Default::default() };
    let request = PutRequest { attributes: attributes.clone(), ..put_request("put") };
    let mut bytes = BytesSource::new(body(1, SMALL));
    let put = store.put_object(&bucket, request, &mut bytes).await.unwrap();
    let version = put.version.unwrap();
    assert_eq!(lock_of(world, &bucket, "put").await, wanted);
    assert!(!remove(world, &bucket, "put", version, true).await);

    let request = InitiateRequest { attributes: attributes.clone(), ..initiate_request("parts") };
    let upload = store.initiate_upload(&bucket, request).await.unwrap();
    let part = world.part(&bucket, "parts", upload, 1, body(1, LARGE)).await.unwrap();
    world.complete(&bucket, "parts", upload, vec![part]).await.unwrap();
    assert_eq!(lock_of(world, &bucket, "parts").await, wanted);

    // A copy has its own.
    let source = CopySource {
        bucket: bucket.clone(),
        key: key("put"),
        version: None,
        range: None,
        conditions: Default::default(),
        links: Default::default(),
    };
    let copy = CopyRequest {
        source,
        key: key("copy"),
        metadata: Some(Metadata::default()),
        website_redirect: String::new(),
        storage_class: None,
        tags: None,
        lock: VersionLock { legal_hold: Some(false), ..Default::default() },
        acl: Default::default(),
        checksum: None,
        conditions: Default::default(),
    };
    store.copy_object(&bucket, copy).await.unwrap();
    let of_copy = lock_of(world, &bucket, "copy").await;
    assert_eq!((of_copy.retention.unwrap().mode, of_copy.legal_hold), (Governance, Some(false)));

    let without = world.bucket("without").await;
    let request = PutRequest { attributes, ..put_request("k") };
    let mut bytes = BytesSource::new(body(1, SMALL));
    let put = store.put_object(&without, request, &mut bytes).await;
    assert!(matches!(put, Err(Error::NoObjectLock)));
    let set = store.set_legal_hold(&without, &key("k"), None, true).await;
    assert!(matches!(set, Err(Error::NoObjectLock)));
    let past = Some(Retention { mode: Governance, until_ms: 5 });
    let lock = VersionLock { retention: past, legal_hold: None };
    let attributes = Attributes { lock, ..Default::default() };
    let request = InitiateRequest { attributes, ..initiate_request("past") };
    let begun = store.initiate_upload(&bucket, request).await;
    assert!(matches!(begun, Err(Error::RetentionInThePast)));
}

async fn without_versions_nothing_locked_is_replaced(world: &World) {
    let bucket = world.bucket("plain").await;
    let store = &world.store;
    let refused = store.set_object_lock(&bucket, BucketLock::default(), false).await;
    assert!(matches!(refused, Err(Error::LockNeedsVersions)));
    store.set_object_lock(&bucket, BucketLock::default(), true).await.unwrap();
    let locked = |refused: Result<_, Error>| matches!(refused, Err(Error::Locked));
    for len in [0, SMALL, LARGE] {
        let at = format!("k{len}");
        world.append(&bucket, &at, 0, body(1, len)).await.unwrap();
        let wanted = retention(world, Compliance, HOUR);
        store.set_retention(&bucket, &key(&at), None, wanted, false).await.unwrap();
        assert!(locked(world.put(&bucket, &at, body(2, len)).await.map(drop)));
        assert!(locked(world.append(&bucket, &at, len as u64, body(2, len)).await.map(drop)));
        assert!(locked(world.delete(&bucket, &at).await.map(drop)));
        let source = CopySource {
            bucket: bucket.clone(),
            key: key(&at),
            version: None,
            range: None,
            conditions: Default::default(),
            links: Default::default(),
        };
        let copy = CopyRequest {
            source,
            key: key(&at),
            metadata: Some(Metadata::default()),
            website_redirect: String::new(),
            storage_class: None,
            tags: None,
            lock: Default::default(),
            acl: Default::default(),
            checksum: None,
            conditions: Default::default(),
        };
        assert!(locked(store.copy_object(&bucket, copy).await.map(drop)));
        let upload = world.initiate(&bucket, &at).await.unwrap();
        let part = world.part(&bucket, &at, upload, 1, body(2, LARGE)).await.unwrap();
        assert!(locked(world.complete(&bucket, &at, upload, vec![part]).await.map(drop)));
        world.abort(&bucket, &at, upload).await.unwrap();
        world.settle().await;
        assert_eq!(world.get(&bucket, &at).await.unwrap(), body(1, len));
    }
    // With versions it is the `null` one, and stays as well.
    store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    put(world, &bucket, "k100", SMALL).await;
    assert!(!remove(world, &bucket, "k100", VersionRef::Null, true).await);
    let request = GetRequest { version: Some(VersionRef::Null), ..get_request("k100") };
    assert!(store.head_object(&bucket, &request).await.unwrap().0.lock().retention.is_some());
}

async fn object_lock_and_versioning(world: &World) {
    let store = &world.store;
    let bucket = world.versioned("states", Versioning::Suspended).await;
    for without_versions in [false, true] {
        let set = store.set_object_lock(&bucket, BucketLock::default(), without_versions).await;
        assert!(matches!(set, Err(Error::LockNeedsVersions)));
    }
    store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    store.set_object_lock(&bucket, BucketLock::default(), false).await.unwrap();
    let suspended = store.set_versioning(&bucket, Versioning::Suspended).await;
    assert!(matches!(suspended, Err(Error::LockNeedsVersions)));
    for days in [0, 36_501] {
        let default = DefaultRetention { mode: Governance, period: Period::Days(days) };
        let lock = BucketLock { default_retention: Some(default) };
        let set = store.set_object_lock(&bucket, lock, false).await;
        assert!(matches!(set, Err(Error::RetentionPeriod)));
    }
    assert_eq!(bucket.settings().lock, Some(BucketLock::default()));
    assert_eq!(bucket.versioning(), Versioning::Enabled);
}

/// The store's own clock goes on over restarts, and only while it is served:
/// whatever the machine's says, an hour of retention is an hour of service.
#[tokio::test(start_paused = true)]
async fn no_restart_cheats_the_clock() {
    let mut world = World::memory();
    let bucket = locking(&world, "clock").await;
    let version = put(&world, &bucket, "k", SMALL).await;
    let wanted = retention(&world, Compliance, HOUR);
    world.store.set_retention(&bucket, &key("k"), None, wanted, false).await.unwrap();
    let serve = async |world: &World, minutes: u64| {
        let keeping = tokio::spawn(lock::keep_time(world.store.clone()));
        for _ in 0..minutes {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        // The last minute is written down.
        tokio::time::sleep(Duration::from_millis(1)).await;
        keeping.abort();
    };
    serve(&world, 20).await;
    for ahead in [1000 * HOUR, 0, 100_000 * HOUR] {
        world.advance(ahead);
        world.restart();
        let bucket = world.store.bucket("clock").await.unwrap();
        serve(&world, 12).await;
        assert!(!remove(&world, &bucket, "k", version, true).await, "{ahead}");
    }
    // Four minutes are left, less what the clock gained while it was behind.
    serve(&world, 5).await;
    let bucket = world.store.bucket("clock").await.unwrap();
    assert!(remove(&world, &bucket, "k", version, false).await);
    world.settle().await;
}
