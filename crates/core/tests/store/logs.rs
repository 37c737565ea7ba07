//! Access logs: whatever fails, and whoever delivers at the same time, each line is
//! delivered once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use costrel_core::Error;
use costrel_core::access::BucketPolicy;
use costrel_core::acl::{Grant, Grantee, ObjectAcl, Permission};
use costrel_core::bucket::Bucket;
use costrel_core::list::ListObjects;
use costrel_core::logging::{Form, LogBounds, LogFault, LogJob, Logged, Logging};
use costrel_core::usage::{Made, Meter};
use costrel_policy::Grammar;

use crate::common::faulty::{Fault, Faulty, Plan};
use crate::common::{LARGE, OWNER, SMALL, World, body};
use crate::interleaved::stopped;

const WINDOW: Duration = Duration::from_secs(300);
const DAY_MS: u64 = 86_400_000;
const NOW_MS: u64 = 20_000 * DAY_MS;

fn logging(target: &str, form: Form) -> Logging {
    Logging { target: target.into(), prefix: "p/".into(), form: form as u32, ..Logging::default() }
}

/// A bucket that is logged into another.
async fn logged(world: &World, form: Form) -> (Arc<Bucket>, Arc<Bucket>) {
    let (bucket, target) = (world.bucket("b-1").await, world.bucket("t-1").await);
    world.store.set_logging(&bucket, logging("t-1", form)).await.unwrap();
    (bucket, target)
}

/// Where the requests of `b-1` go now.
async fn in_force(world: &World) -> Option<Logged> {
    let bucket = world.store.bucket("b-1").await.unwrap();
    world.store.logged(&bucket).await.unwrap()
}

async fn hand_in(world: &World, at_ms: u64, lines: std::ops::Range<u32>) {
    let logged = in_force(world).await.unwrap();
    for line in lines {
        world.store.log_request(&logged, at_ms, format!("line {line}"));
    }
}

fn job(world: &World) -> LogJob {
    LogJob::new(world.store.clone(), WINDOW)
}

/// The lines of each object in a bucket.
async fn delivered(world: &World, target: &Bucket) -> Vec<Vec<String>> {
    let all = ListObjects { max: 1000, ..ListObjects::default() };
    let mut objects = Vec::new();
    for (key, _) in world.store.list_objects(target, &all).await.unwrap().entries {
        let mut text = world.get(target, &key).await.unwrap().to_vec();
        if key.ends_with(".gz") {
            let packed = std::mem::take(&mut text);
            let mut gzip = flate2::read::GzDecoder::new(&packed[..]);
            std::io::Read::read_to_end(&mut gzip, &mut text).unwrap();
        }
        let text = String::from_utf8(text).unwrap();
        objects.push(text.lines().map(str::to_owned).collect());
    }
    objects
}

fn named(lines: std::ops::Range<u32>) -> Vec<String> {
    lines.map(|line| format!("line {line}")).collect()
}

#[tokio::test]
async fn lines_become_objects() {
    for form in [Form::Cos, Form::S3] {
        let world = World::memory();
        let (bucket, target) = logged(&world, form).await;
        hand_in(&world, NOW_MS, 0..3).await;
        hand_in(&world, NOW_MS + DAY_MS, 3..5).await;
        let job = job(&world);
        job.deliver().await.unwrap();
        job.deliver().await.unwrap();
        let found = delivered(&world, &target).await;
        assert_eq!(found.len(), 2, "one for each day");
        assert!(found.contains(&named(0..3)) && found.contains(&named(3..5)));
        assert_eq!(job.stats().requests.load(Relaxed), 5);
        // What was logged goes where it was to go then.
        let other = world.bucket("o-1").await;
        hand_in(&world, NOW_MS, 5..6).await;
        world.store.set_logging(&bucket, logging("o-1", form)).await.unwrap();
        hand_in(&world, NOW_MS, 6..7).await;
        world.store.delete_logging(&bucket).await.unwrap();
        assert!(in_force(&world).await.is_none());
        job.deliver().await.unwrap();
        assert!(delivered(&world, &target).await.contains(&named(5..6)));
        assert_eq!(delivered(&world, &other).await, [named(6..7)]);
        world.store.delete_bucket(&bucket).await.unwrap();
    }
}

#[tokio::test]
async fn every_call_of_a_delivery_may_fail() {
    for fault in [Fault::Before, Fault::After] {
        for forever in [false, true] {
            for at in 0.. {
                let engine = Faulty::new(World::memory().engine);
                let world = World::over(engine.clone());
                let (_, target) = logged(&world, Form::S3).await;
                hand_in(&world, NOW_MS, 0..3).await;
                engine.plan(Some(Plan { at, fault, forever }));
                let _ = job(&world).deliver().await;
                let ended = engine.calls() <= at;
                engine.plan(None);
                // Another process, or the next window.
                job(&world).deliver().await.unwrap();
                let found = delivered(&world, &target).await;
                assert_eq!(found, [named(0..3)], "{fault:?} at {at}, {forever}");
                if ended {
                    assert!(at > 5);
                    break;
                }
            }
        }
    }
}

/// What comes while a round delivers is of the next round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_bucket_ends_its_round() {
    let world = World::memory();
    let (_, target) = logged(&world, Form::S3).await;
    let logged = in_force(&world).await.unwrap();
    let (store, handed_in) = (world.store.clone(), Arc::new(AtomicU32::new(0)));
    let counter = handed_in.clone();
    let writer = tokio::spawn(async move {
        loop {
            let at_ms = store.now_ms();
            store.log_request(&logged, at_ms, "line".into());
            store.keep_requests().await.unwrap();
            counter.fetch_add(1, Relaxed);
        }
    });
    let job = job(&world);
    let few_rounds = async {
        for _ in 0..3 {
            let before = handed_in.load(Relaxed);
            while handed_in.load(Relaxed) == before {
                tokio::task::yield_now().await;
            }
            job.deliver().await.unwrap();
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), few_rounds).await;
    writer.abort();
    ended.expect("it goes on for as long as something comes");
    // One a round, and another of a line whose time was taken before the round began.
    let objects = delivered(&world, &target).await.len();
    assert!(objects < 20, "{objects} objects of {handed_in:?} lines");
}

#[tokio::test]
async fn two_may_deliver_at_once() {
    for times in 0.. {
        let world = World::over(Faulty::new(World::memory().engine));
        let (_, target) = logged(&world, Form::S3).await;
        hand_in(&world, NOW_MS, 0..3).await;
        let (one, other) = (job(&world), job(&world));
        let (first, second, waited) = stopped(one.deliver(), times, other.deliver()).await;
        first.unwrap();
        second.unwrap();
        // Whichever gave way may have met what the other was at.
        job(&world).deliver().await.unwrap();
        assert_eq!(delivered(&world, &target).await, [named(0..3)], "at {times}");
        if !waited {
            break;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_delivered_waits_within_bounds() {
    let world = World::memory();
    let (bucket, target) = logged(&world, Form::S3).await;
    world.store.delete_bucket(&target).await.unwrap();
    let bounds = LogBounds { waiting_rows: 3, object_bytes: 20, ..LogBounds::default() };
    let job = LogJob::bounded(world.store.clone(), WINDOW, bounds);
    for at in 0..5 {
        hand_in(&world, NOW_MS + u64::from(at), at..at + 1).await;
        job.deliver().await.unwrap();
    }
    let stats = job.stats();
    assert!(stats.failures.load(Relaxed) >= 1);
    assert_eq!(stats.lost.load(Relaxed), 2, "the oldest");
    assert_eq!(stats.waiting_requests.load(Relaxed), 3);
    assert!(stats.waiting_bytes.load(Relaxed) > 0);
    let target = world.bucket("t-1").await;
    // Somebody who has not seen it fail.
    let another = LogJob::bounded(world.store.clone(), WINDOW, bounds);
    another.deliver().await.unwrap();
    let mut found = delivered(&world, &target).await.concat();
    found.sort();
    assert_eq!(found, named(2..5));
    assert!(delivered(&world, &target).await.len() > 1, "no object is larger than it may be");
    world.store.delete_bucket(&bucket).await.unwrap();
}

/// A policy of the target that denies everybody to put what is delivered keeps it out, as
/// long as it is there. One that is about others does not.
#[tokio::test]
async fn a_target_may_deny() {
    let iam = |statement: &str| {
        let all = r#""Action": "s3:PutObject", "Resource": "arn:aws:s3:::t-1/p/*""#;
        (Grammar::Iam, format!(r#"{{"Statement": [{{"Effect": "Deny", {all}, {statement}}}]}}"#))
    };
    let cam = |principal: &str| {
        let all = r#""action": "name/cos:PutObject", "resource": "*""#;
        let principal = format!(r#""principal": {{"qcs": ["{principal}"]}}"#);
        let document = format!(
            r#"{{"version": "2.0", "statement": [{{"effect": "deny", {all}, {principal}}}]}}"#
        );
        (Grammar::Cam, document)
    };
    let user = format!("qcs::cam::uin/{OWNER}:uin/7");
    let plain = r#""Bool": {"aws:SecureTransport": "false"}"#;
    let elsewhere = r#""StringNotEquals": {"aws:SourceArn": "arn:aws:s3:::b-2"}"#;
    let nobody = r#""Principal": "*""#;
    for ((grammar, document), denies) in [
        (iam(nobody), true),
        (iam(&format!(r#"{nobody}, "Condition": {{{elsewhere}}}"#)), true),
        (iam(&format!(r#"{nobody}, "Condition": {{{plain}}}"#)), false),
        (iam(&format!(r#""Principal": {{"AWS": "{OWNER:012}"}}"#)), false),
        (cam("qcs::cam::anyone:anyone"), true),
        (cam(&user), false),
    ] {
        let world = World::memory();
        let (_, target) = logged(&world, Form::S3).await;
        let policy = BucketPolicy::read(grammar, document.clone().into()).unwrap();
        world.store.set_policy(&target, policy).await.unwrap();
        hand_in(&world, NOW_MS, 0..3).await;
        let job = job(&world);
        job.deliver().await.unwrap();
        let found = delivered(&world, &target).await;
        assert_eq!(
            (found.is_empty(), job.stats().failures.load(Relaxed) > 0),
            (denies, denies),
            "{document}"
        );
        assert_eq!(job.stats().waiting_requests.load(Relaxed), if denies { 3 } else { 0 });
        world.store.delete_policy(&target, grammar).await.unwrap();
        job.deliver().await.unwrap();
        assert_eq!(delivered(&world, &target).await, [named(0..3)]);
    }
}

#[tokio::test]
async fn memory_has_a_bound() {
    let world = World::memory();
    logged(&world, Form::S3).await;
    let logged = in_force(&world).await.unwrap();
    let line = "x".repeat(1 << 20);
    for _ in 0..40 {
        world.store.log_request(&logged, NOW_MS, line.clone());
    }
    let dropped = world.store.requests_dropped();
    assert!((20..40).contains(&dropped), "{dropped}");
    world.store.keep_requests().await.unwrap();
    world.store.log_request(&logged, NOW_MS, line);
    assert_eq!(world.store.requests_dropped(), dropped, "there is space again");
}

#[tokio::test]
async fn grants_are_those_of_what_is_delivered() {
    let world = World::memory();
    let (bucket, target) = logged(&world, Form::S3).await;
    let mut granting = logging("t-1", Form::S3);
    granting.set_grants(&[Grant { grantee: Grantee::AllUsers, permission: Permission::Read }]);
    world.store.set_logging(&bucket, granting).await.unwrap();
    hand_in(&world, NOW_MS, 0..1).await;
    job(&world).deliver().await.unwrap();
    let all = ListObjects { max: 10, ..ListObjects::default() };
    let (key, _) = world.store.list_objects(&target, &all).await.unwrap().entries.remove(0);
    let acl = world.head(&target, &key).await.unwrap().acl().unwrap();
    let ObjectAcl::Own(acl) = acl else { panic!("{acl:?}") };
    assert!(acl.is_public() && acl.grants.len() == 2);
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_in_force() {
    let world = World::memory();
    let (bucket, _) = logged(&world, Form::S3).await;
    let before = world.store.logging(&bucket).await.unwrap();
    let foreign = costrel_core::names::BucketName::new("f-1").unwrap();
    world.store.create_bucket(foreign.clone(), 7, None).await.unwrap();
    let elsewhere = costrel_core::names::BucketName::new("e-1").unwrap();
    let owner = bucket.owner_uin;
    world.store.create_bucket(elsewhere, owner, Some("ap-beijing")).await.unwrap();
    for (target, expected) in [
        ("B", LogFault::TargetName),
        ("m-1", LogFault::NoTarget),
        ("f-1", LogFault::ForeignTarget),
        ("e-1", LogFault::OtherRegion),
    ] {
        let outcome = world.store.set_logging(&bucket, logging(target, Form::Cos)).await;
        assert!(matches!(outcome, Err(Error::InvalidLogging(fault)) if fault == expected));
    }
    let long = Logging { prefix: "x".repeat(1024), ..logging("t-1", Form::Cos) };
    assert!(world.store.set_logging(&bucket, long).await.is_err());
    assert_eq!(world.store.logging(&bucket).await.unwrap(), before);
}

#[tokio::test]
async fn a_meter_says_what_a_request_has_changed() {
    let world = World::memory();
    let bucket = world.bucket("b-1").await;
    let meter = |work| async {
        let meter = Arc::new(Meter::default());
        meter.around(work).await;
        (meter.stored(), meter.made().map(|made: Made| made.size))
    };
    let put = |len: usize| {
        let (world, bucket) = (&world, &bucket);
        async move {
            world.put(bucket, "k", body(1, len)).await.unwrap();
        }
    };
    assert_eq!(meter(put(SMALL)).await, (SMALL as i64, Some(SMALL as u64)));
    let grown = LARGE as i64 - SMALL as i64;
    assert_eq!(meter(put(LARGE)).await, (grown, Some(LARGE as u64)));
}
