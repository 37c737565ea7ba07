//! Installations that are copied from one engine to another: everything arrives,
//! whatever was there from a copy before, and an interruption at any call leaves
//! nothing that the next run does not mend.

use std::sync::Arc;

use bytes::Bytes;
use costrel_core::account::{Accounts, FixedIdentity};
use costrel_core::body::BytesSource;
use costrel_core::bucket::{Bucket, InitialSettings, ListBuckets};
use costrel_core::cors::{Cors, CorsRule};
use costrel_core::engine::{BlobId, Engine, Partition, ScanRange, Step, Table};
use costrel_core::lifecycle::{Expiration, Lifecycle, Rule, RuleBounds};
use costrel_core::names::BucketName;
use costrel_core::object::{Attributes, PutRequest, SymlinkRequest};
use costrel_core::record::{Content, Pair};
use costrel_core::secret::MasterKey;
use costrel_core::tags::Tags;
use costrel_core::transfer::{self, Report, TransferError, Unfinished};
use costrel_core::upload::{ListParts, ListUploads};
use costrel_core::version::Versioning;
use costrel_testkit::{MemoryEngine, SharedMemory};
use parking_lot::Mutex;

use crate::common::faulty::{Fault, Faulty, Plan};
use crate::common::{LARGE, OWNER, SMALL, World, body, key, put_request};

/// Between the lengths of small and large bodies, and below and above both.
const INLINE: [usize; 3] = [1024, 10, 1 << 20];

/// A world with an account.
async fn installation(world: World) -> World {
    let fixed = FixedIdentity::default();
    let (clock, entropy) = world.outside();
    let master_key = MasterKey::new(&[7; 32]);
    Accounts::open(world.engine.clone(), master_key, entropy, clock, fixed).await.unwrap();
    world
}

fn memory(inline_max: usize) -> Arc<dyn Engine> {
    Arc::new(MemoryEngine::with_inline_max(inline_max))
}

async fn copy(source: &Arc<dyn Engine>, target: &Arc<dyn Engine>) -> Report {
    transfer::run(source.clone(), target.clone(), |_| ()).await.unwrap()
}

/// Everything of every kind that a store can hold.
async fn fill(world: &World) {
    let plain = world.bucket("plain").await;
    for (number, at) in ["small", "large", "replaced", "gone", "empty"].into_iter().enumerate() {
        let len = if at == "empty" { 0 } else { [SMALL, LARGE][number % 2] };
        world.put(&plain, at, body(number as u64, len)).await.unwrap();
    }
    for at in ["p1", "p2", "p3"] {
        world.put(&plain, at, body(7, LARGE)).await.unwrap();
    }
    world.store.set_cors(&plain, cors("GET")).await.unwrap();
    link(world, &plain, "link", "large").await;
    link(world, &plain, "other-link", "small").await;
    // Compressed, elsewhere, and both.
    for class in ["STANDARD_IA", "GLACIER_IR", "ONEZONE_IA"] {
        for len in [SMALL, LARGE] {
            let data = Bytes::from(vec![7; len]);
            let attributes =
                Attributes { storage_class: class.to_owned(), ..Attributes::default() };
            let size = Some(len as u64);
            let request = PutRequest { attributes, size, ..put_request(&format!("{class}-{len}")) };
            let source = &mut BytesSource::new(data);
            world.store.put_object(&plain, request, source).await.unwrap();
        }
    }
    let mut len = 0;
    for (number, more) in [SMALL, SMALL, LARGE, SMALL].into_iter().enumerate() {
        world.append(&plain, "grown", len, body(number as u64, more)).await.unwrap();
        len += more as u64;
    }
    let upload = world.initiate(&plain, "multi").await.unwrap();
    let mut parts = Vec::new();
    for (number, len) in [(1, LARGE), (2, SMALL), (4, LARGE)] {
        let data = body(u64::from(number), len);
        parts.push(world.part(&plain, "multi", upload, number, data).await.unwrap());
    }
    // Left out by the completion, and so garbage.
    world.part(&plain, "multi", upload, 5, body(5, LARGE)).await.unwrap();
    world.complete(&plain, "multi", upload, parts).await.unwrap();
    let open = world.initiate(&plain, "open").await.unwrap();
    for (number, len) in [(1, SMALL), (2, LARGE)] {
        world.part(&plain, "open", open, number, body(9, len)).await.unwrap();
    }
    let rule = Rule {
        enabled: true,
        prefix: Some("p".into()),
        expiration: Some(Expiration::Date(86_400_000 * 100_000)),
        ..Default::default()
    };
    let rules = Lifecycle { rules: vec![rule], ..Default::default() };
    let bounds = RuleBounds { days_max: 3650, infrequent_days_min: 0 };
    world.store.set_lifecycle(&plain, rules, bounds).await.unwrap();

    let versions = world.bucket("versions").await;
    // Objects from before it had versions.
    world.put(&versions, "old-small", body(20, SMALL)).await.unwrap();
    world.put(&versions, "old-large", body(21, LARGE)).await.unwrap();
    world.put(&versions, "lone", body(22, LARGE)).await.unwrap();
    world.store.set_versioning(&versions, Versioning::Enabled).await.unwrap();
    world.store.set_bucket_tags(&versions, Tags::of_bucket(vec![pair()]).unwrap()).await.unwrap();
    for number in 0..3 {
        world.put(&versions, "k", body(number, [SMALL, LARGE][number as usize % 2])).await.unwrap();
    }
    world.put(&versions, "old-small", body(30, LARGE)).await.unwrap();
    world.put(&versions, "marked", body(31, SMALL)).await.unwrap();
    world.delete(&versions, "marked").await.unwrap();
    let tags = Tags::of_object(vec![pair()]).unwrap();
    world.store.set_object_tags(&versions, &key("k"), None, &tags).await.unwrap();

    let initial = InitialSettings { object_lock: true, ..Default::default() };
    let name = BucketName::new("locked").unwrap();
    let locked = world.store.create_bucket_with(name, OWNER, None, initial).await.unwrap();
    world.put(&locked, "held", body(23, LARGE)).await.unwrap();
    world.store.set_legal_hold(&locked, &key("held"), None, true).await.unwrap();
    world.bucket("empty").await;
}

fn cors(method: &str) -> Cors {
    let (origins, methods) = (vec!["*".into()], vec![method.into()]);
    let rule = CorsRule { origins, methods, ..Default::default() };
    Cors { rules: vec![rule], ..Default::default() }
}

async fn link(world: &World, bucket: &Bucket, at: &str, target: &str) {
    let request = SymlinkRequest {
        key: key(at),
        target: key(target),
        attributes: Attributes::default(),
        conditions: Default::default(),
    };
    world.store.put_symlink(bucket, request).await.unwrap();
}

fn pair() -> Pair {
    Pair { name: "team".into(), value: "storage".into() }
}

/// Changes of every kind.
async fn change(world: &World) {
    let plain = world.store.bucket("plain").await.unwrap();
    world.put(&plain, "small", body(40, LARGE)).await.unwrap();
    world.put(&plain, "large", body(41, SMALL)).await.unwrap();
    world.put(&plain, "replaced", body(42, SMALL)).await.unwrap();
    world.put(&plain, "link", body(43, LARGE)).await.unwrap();
    link(world, &plain, "p3", "large").await;
    world.delete(&plain, "gone").await.unwrap();
    world.delete(&plain, "multi").await.unwrap();
    let uploads = world.store.list_uploads(&plain, &listing_uploads()).await.unwrap();
    for (at, upload) in uploads.entries {
        world.abort(&plain, &at, upload.id).await.unwrap();
    }
    world.store.delete_lifecycle(&plain).await.unwrap();
    world.store.set_cors(&plain, cors("PUT")).await.unwrap();
    // Its bytes stay where they are.
    let tags = Tags::of_object(vec![pair()]).unwrap();
    world.store.set_object_tags(&plain, &key("p1"), None, &tags).await.unwrap();

    let versions = world.store.bucket("versions").await.unwrap();
    // What was an object becomes a version, and the other way round.
    world.put(&versions, "old-large", body(50, LARGE)).await.unwrap();
    world.delete(&versions, "lone").await.unwrap();
    let newest = world.versions(&versions, 100).await;
    let (_, newest) = newest.into_iter().find(|(at, _)| at == "old-small").unwrap();
    world.delete_version(&versions, "old-small", newest.version.unwrap()).await.unwrap();
    world.store.set_versioning(&versions, Versioning::Suspended).await.unwrap();
    world.put(&versions, "k", body(51, SMALL)).await.unwrap();
    let empty = world.store.bucket("empty").await.unwrap();
    world.store.delete_bucket(&empty).await.unwrap();
    let late = world.bucket("late").await;
    world.put(&late, "k", body(52, LARGE)).await.unwrap();
}

fn listing_uploads() -> ListUploads {
    ListUploads { max: 100, ..Default::default() }
}

/// All that clients can see, as text; where bodies are left aside.
async fn seen(world: &World) -> Vec<String> {
    let mut seen = Vec::new();
    let all = ListBuckets { owner_uin: OWNER, max: 100, ..Default::default() };
    for bucket in world.store.list_buckets(&all).await.unwrap().buckets {
        seen.push(format!("{} {:?} {:?}", bucket.name, bucket.created_ms, bucket.settings()));
        seen.extend(seen_objects(world, &bucket).await);
        let uploads = world.store.list_uploads(&bucket, &listing_uploads()).await.unwrap();
        for (at, upload) in uploads.entries {
            let request = ListParts { key: key(&at), upload: upload.id, after: 0, max: 100 };
            let parts = world.store.list_parts(&bucket, &request).await.unwrap();
            seen.push(format!("{at} {upload:?} {:?}", parts.parts));
        }
    }
    seen
}

async fn seen_objects(world: &World, bucket: &Bucket) -> Vec<String> {
    let mut seen = Vec::new();
    for (at, entry) in world.versions(bucket, 100).await {
        seen.push(format!("{at} {entry:?}"));
        if entry.delete_marker {
            continue;
        }
        let data = match entry.version {
            Some(version) => world.get_version(bucket, &at, version).await.unwrap(),
            None => world.get(bucket, &at).await.unwrap(),
        };
        seen.push(format!("{:?}", costrel_core::checksum::Digester::crc64(&data)));
        if entry.is_latest {
            let mut record = world.head(bucket, &at).await.unwrap().record;
            record.content = None;
            seen.push(format!("{record:?}"));
        }
    }
    seen
}

/// Rows of the installation, but for those that say something of one store.
async fn system_rows(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    let mut all = Vec::new();
    for table in [Table::Installation, Table::AccessKey, Table::Bucket] {
        let found = Arc::new(Mutex::new(Vec::new()));
        let visit = {
            let found = found.clone();
            move |group: &[u8], _: &[u8], value: &[u8]| {
                if group != b"copy" && !group.starts_with(b"claim:") {
                    let row = (Bytes::copy_from_slice(group), Bytes::copy_from_slice(value));
                    found.lock().push(row);
                }
                Step::Next
            }
        };
        let range = ScanRange::all();
        engine.index().scan(Partition::System, table, range, Box::new(visit)).await.unwrap();
        all.append(&mut found.lock());
    }
    all
}

/// The target has what the source has, is whole, and can be served.
async fn check(source: &World, target: &Arc<dyn Engine>) {
    assert_eq!(system_rows(&*source.engine).await, system_rows(&**target).await);
    let copy = World::over(target.clone());
    assert_eq!(seen(source).await, seen(&copy).await);
    transfer::admit(&**target).await.unwrap();
    copy.collector.recover().await.unwrap();
    copy.settle().await;
    assert_eq!(seen(source).await, seen(&copy).await);
}

#[tokio::test]
async fn everything_arrives_on_engines_that_keep_bodies_elsewhere() {
    for source in [World::memory(), World::embedded()] {
        let source = installation(source).await;
        fill(&source).await;
        for inline_max in INLINE {
            let target = memory(inline_max);
            let report = copy(&source.engine, &target).await;
            assert!(report.is_finished() && report.bodies > 15, "{report:?}");
            check(&source, &target).await;
        }
        let embedded = World::embedded();
        copy(&source.engine, &embedded.engine).await;
        check(&source, &embedded.engine).await;
    }
}

#[tokio::test]
async fn a_second_run_copies_the_difference() {
    for inline_max in INLINE {
        let source = installation(World::memory()).await;
        fill(&source).await;
        let target = memory(inline_max);
        let first = copy(&source.engine, &target).await;
        let second = copy(&source.engine, &target).await;
        assert_eq!((second.rows_written, second.rows_removed, second.bodies), (0, 0, 0));
        assert_eq!(second.rows, first.rows);

        change(&source).await;
        let third = copy(&source.engine, &target).await;
        assert!(third.rows_removed > 5 && third.bodies > 5, "{third:?}");
        assert!(third.bodies < first.bodies, "{third:?}");
        // What the garbage of the source named is free on the target.
        source.settle().await;
        copy(&source.engine, &target).await;
        check(&source, &target).await;
    }
}

#[tokio::test]
async fn an_end_before_any_call_is_mended_by_the_next_run() {
    interrupted(Fault::Before, 10).await;
}

#[tokio::test]
async fn an_end_after_any_call_is_mended_by_the_next_run() {
    interrupted(Fault::After, 1024).await;
}

/// Runs that end at each call to the target, each followed by one that does not.
async fn interrupted(fault: Fault, inline_max: usize) {
    let source = installation(World::memory()).await;
    fill(&source).await;
    let later = installation_again(&source).await;
    for at in 0.. {
        let inner = memory(inline_max);
        let target = Faulty::new(inner.clone());
        target.plan(Some(Plan { at, fault, forever: true }));
        let target: Arc<dyn Engine> = target;
        let run = transfer::run(source.engine.clone(), target, |_| ()).await;
        let admitted = transfer::admit(&*inner).await;
        if run.is_ok() {
            assert!(at > 100, "only {at} calls");
            return;
        }
        if admitted.is_ok() {
            // Nothing was begun, or only the last answer was lost.
            if !system_rows(&*inner).await.is_empty() {
                check(&source, &inner).await;
            }
            continue;
        }
        // Every other time the source has changed until the next run.
        let from = [&source, &later][at as usize % 2];
        let report = copy(&from.engine, &inner).await;
        assert!(report.is_finished(), "{report:?}");
        check(from, &inner).await;
    }
}

/// The same installation some time later.
async fn installation_again(source: &World) -> World {
    let engine = memory(1024);
    copy(&source.engine, &engine).await;
    transfer::admit(&*engine).await.unwrap();
    let later = World::over(engine);
    later.advance(1_000_000);
    change(&later).await;
    later.settle().await;
    later
}

#[tokio::test]
async fn an_interruption_of_the_difference_is_mended_too() {
    let source = installation(World::memory()).await;
    fill(&source).await;
    let later = installation_again(&source).await;
    for at in 0.. {
        let inner = memory([10, 1024][at as usize / 2 % 2]);
        copy(&source.engine, &inner).await;
        let target = Faulty::new(inner.clone());
        target.plan(Some(Plan { at, fault: Fault::Before, forever: true }));
        let target: Arc<dyn Engine> = target;
        let run = transfer::run(later.engine.clone(), target, |_| ()).await;
        // Back again or forwards.
        let from = [&source, &later][at as usize % 2];
        let report = copy(&from.engine, &inner).await;
        assert!(report.is_finished(), "{report:?}");
        check(from, &inner).await;
        if run.is_ok() {
            assert!(at > 50, "only {at} calls");
            return;
        }
    }
}

#[tokio::test]
async fn a_failing_source_ends_the_run_and_not_the_copy() {
    let source = installation(World::memory()).await;
    fill(&source).await;
    let faulty = Faulty::new(source.engine.clone());
    for at in 0.. {
        let target = memory(10);
        faulty.plan(Some(Plan { at, fault: Fault::Before, forever: true }));
        let failing: Arc<dyn Engine> = faulty.clone();
        let run = transfer::run(failing, target.clone(), |_| ()).await;
        if run.is_ok() {
            assert!(at > 50, "only {at} calls");
            break;
        }
        let report = copy(&source.engine, &target).await;
        assert!(report.is_finished(), "{report:?}");
        check(&source, &target).await;
    }
}

#[tokio::test]
async fn what_is_damaged_is_said_and_keeps_nothing_else_back() {
    let source = installation(World::memory()).await;
    fill(&source).await;
    let plain = source.store.bucket("plain").await.unwrap();
    let Some(Content::Blob(blob)) = source.head(&plain, "p2").await.unwrap().record.content else {
        panic!("p2 is a blob");
    };
    let blob = BlobId(blob.as_ref().try_into().unwrap());
    source.engine.blobs().delete(blob).await.unwrap();
    for inline_max in INLINE {
        let target = memory(inline_max);
        let report = copy(&source.engine, &target).await;
        assert_eq!(report.findings.len(), 1, "{report:?}");
        assert!(report.findings[0].contains("p2"), "{report:?}");
        assert!(matches!(transfer::admit(&*target).await, Err(Unfinished::Copy)));
    }
    let target = memory(10);
    copy(&source.engine, &target).await;
    source.delete(&plain, "p2").await.unwrap();
    assert!(copy(&source.engine, &target).await.is_finished());
    check(&source, &target).await;
}

#[tokio::test]
async fn a_source_that_others_serve_is_not_finished_with() {
    let second = std::time::Duration::from_secs(1);
    let shared = SharedMemory::new(second, second);
    let gateway = installation(World::over(Arc::new(shared.another()))).await;
    let source: Arc<dyn Engine> = Arc::new(shared);
    fill(&gateway).await;
    let target = memory(10);
    let report = copy(&source, &target).await;
    assert!(report.source_served && report.rows_written > 10, "{report:?}");
    assert!(matches!(transfer::admit(&*target).await, Err(Unfinished::Copy)));
    change(&gateway).await;
    let before = seen(&gateway).await;
    drop(gateway);
    let report = copy(&source, &target).await;
    assert!(report.is_finished(), "{report:?}");
    transfer::admit(&*target).await.unwrap();
    let copied = World::over(target);
    assert_eq!(seen(&copied).await, before);
    copied.settle().await;
}

#[tokio::test]
async fn only_a_copy_that_nobody_has_served_is_written_to() {
    let source = installation(World::memory()).await;
    fill(&source).await;
    let refusal = async |source: &Arc<dyn Engine>, target: &Arc<dyn Engine>| {
        transfer::run(source.clone(), target.clone(), |_| ()).await.unwrap_err()
    };
    let empty = memory(10);
    assert!(matches!(refusal(&empty, &source.engine).await, TransferError::SourceEmpty));

    let other = World::memory();
    other.advance(5);
    let other = installation(other).await;
    assert!(matches!(refusal(&source.engine, &other.engine).await, TransferError::TargetInUse));

    let target = memory(10);
    copy(&source.engine, &target).await;
    assert!(matches!(refusal(&other.engine, &target).await, TransferError::TargetOfAnother));
    transfer::admit(&*target).await.unwrap();
    assert!(matches!(refusal(&source.engine, &target).await, TransferError::TargetInUse));

    // An unfinished one is no source.
    let half: Arc<dyn Engine> = memory(10);
    let faulty = Faulty::new(half.clone());
    faulty.plan(Some(Plan { at: 80, fault: Fault::Before, forever: true }));
    let faulty: Arc<dyn Engine> = faulty;
    transfer::run(source.engine.clone(), faulty, |_| ()).await.unwrap_err();
    let refused = refusal(&half, &memory(10)).await;
    assert!(
        matches!(refused, TransferError::SourceUnfinished | TransferError::SourceEmpty),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_others_have_open_is_waited_for_and_then_refused() {
    let source = installation(World::memory()).await;
    let second = std::time::Duration::from_secs(1);
    let shared = SharedMemory::new(second, second);
    let open: Arc<dyn Engine> = Arc::new(shared.another());
    let refused = transfer::run(source.engine.clone(), open.clone(), |_| ()).await;
    assert!(matches!(refused, Err(TransferError::TargetOpen)));
    tokio::spawn(async move {
        tokio::time::sleep(second).await;
        drop(shared);
    });
    assert!(copy(&source.engine, &open).await.is_finished());
}
