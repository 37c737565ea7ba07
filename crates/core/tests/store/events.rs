//! Events: each commit's is there with it, those of a key arrive in order, whatever the
//! target does and whenever the job ends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use costrel_core::acl::{Acl, Grant, Grantee, ObjectAcl, Permission};
use costrel_core::body::BytesSource;
use costrel_core::bucket::Bucket;
use costrel_core::engine::{Partition, PartitionState, ScanRange, Step, Table};
use costrel_core::events::{
    Courier, Dispatch, EventFault, EventJob, EventKind, EventOptions, EventRecord, Occasion, Rule,
    Undelivered,
};
use costrel_core::names::ObjectKey;
use costrel_core::object::{Attributes, PutRequest};
use costrel_core::record::{Metadata, Pair};
use costrel_core::tags::Tags;
use costrel_core::version::Versioning;
use costrel_core::{Error, StoreOptions};
use parking_lot::Mutex;

use crate::common::{OWNER, SMALL, World, body, options, put_request};

/// A message as a target has got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub key: String,
    pub sequence: u64,
    pub event: EventRecord,
}

/// Targets that take everything, unless they are told otherwise.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    got: Mutex<HashMap<String, Vec<Got>>>,
    tests: Mutex<Vec<(String, String)>>,
    dead: Mutex<HashSet<String>>,
    /// Takes a message and says that it has not, so often.
    doubts: AtomicUsize,
    /// Never answers.
    hangs: AtomicBool,
    /// How long it takes to answer, in milliseconds.
    delay_ms: AtomicU64,
}

#[async_trait]
impl Courier for Targets {
    fn targets(&self) -> Vec<String> {
        vec!["one".into(), "two".into()]
    }

    fn wants_metadata(&self, target: &str) -> bool {
        target == "two"
    }

    async fn deliver(&self, target: &str, dispatch: Dispatch<'_>) -> Result<(), Undelivered> {
        if self.dead.lock().contains(target) {
            return Err(Undelivered("dead".into()));
        }
        match dispatch {
            Dispatch::Test { bucket, .. } => {
                self.tests.lock().push((target.to_owned(), bucket.to_owned()));
            }
            Dispatch::Event { event, key, sequence } => {
                let got = Got { key: key.to_owned(), sequence, event: event.clone() };
                self.got.lock().entry(target.to_owned()).or_default().push(got);
            }
        }
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(self.delay_ms.load(SeqCst))).await;
        let doubts = self.doubts.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        match doubts {
            Ok(_) => Err(Undelivered("who knows".into())),
            Err(_) => Ok(()),
        }
    }
}

impl Targets {
    pub fn got(&self, target: &str) -> Vec<Got> {
        self.got.lock().get(target).cloned().unwrap_or_default()
    }

    pub fn kinds(&self, target: &str) -> Vec<EventKind> {
        self.got(target).iter().map(|got| got.event.kind().unwrap()).collect()
    }

    /// What a target has got, each key's repetitions taken for one, in the order of the
    /// first times; fails if a message came again after a later one.
    fn in_order(&self, target: &str) -> BTreeMap<String, Vec<u64>> {
        let mut keys: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for got in self.got(target) {
            let seen = keys.entry(got.key.clone()).or_default();
            match seen.last() {
                Some(last) if *last == got.sequence => {}
                Some(last) => {
                    assert!(got.sequence > *last, "{}: {} after {last}", got.key, got.sequence);
                    seen.push(got.sequence);
                }
                None => seen.push(got.sequence),
            }
        }
        keys
    }
}

const AGE_MAX: Duration = Duration::from_secs(3600);

pub(crate) fn world() -> (World, Arc<Targets>) {
    world_with(options())
}

pub(crate) fn world_with(options: StoreOptions) -> (World, Arc<Targets>) {
    let targets: Arc<Targets> = Arc::default();
    (World::memory_with(StoreOptions { courier: targets.clone(), ..options }), targets)
}

fn job(world: &World) -> EventJob {
    EventJob::new(world.store.clone(), EventOptions { age_max: AGE_MAX, at_once: 4 })
}

pub(crate) fn rule(target: &str, events: &[&str], prefix: &str) -> Rule {
    Rule {
        id: format!("{target}-{prefix}"),
        service: 2,
        arn: format!("arn:aws:sqs:ap-guangzhou:{OWNER:012}:{target}"),
        events: events.iter().map(|name| format!("s3:{name}")).collect(),
        prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
        ..Rule::default()
    }
}

const ALL: &[&str] = &[
    "ObjectCreated:*",
    "ObjectRemoved:*",
    "ObjectTagging:*",
    "ObjectAcl:Put",
    "LifecycleExpiration:*",
    "LifecycleTransition",
];

pub(crate) async fn tell(world: &World, bucket: &Bucket, rules: Vec<Rule>) {
    world.store.set_notification(bucket, rules, None).await.unwrap();
}

/// Lets the job work until nothing waits, or for a while.
async fn deliver(world: &World, patience: Duration) -> bool {
    let emptied = async {
        while !rows(world).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = job(world).run() => unreachable!("it never ends"),
        emptied = tokio::time::timeout(patience, emptied) => emptied.is_ok(),
    }
}

/// Lets the job work for a while.
pub(crate) async fn deliver_for(world: &World, time: Duration) {
    tokio::select! {
        () = job(world).run() => unreachable!("it never ends"),
        () = tokio::time::sleep(time) => {}
    }
}

async fn deliver_all(world: &World) {
    assert!(deliver(world, Duration::from_secs(3600)).await, "{:?}", rows(world).await);
}

pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Rows of all queues.
async fn rows(world: &World) -> Vec<Row> {
    rows_of(world, Table::Event).await
}

/// Rows of a table of all buckets.
pub(crate) async fn rows_of(world: &World, table: Table) -> Vec<Row> {
    let mut all = Vec::new();
    for (bucket, _) in world.engine.index().partitions().await.unwrap() {
        all.append(&mut rows_in(world, Partition::Bucket(bucket), table).await);
    }
    all
}

async fn rows_in(world: &World, partition: Partition, table: Table) -> Vec<Row> {
    let found: Arc<Mutex<Vec<Row>>> = Arc::default();
    let visit = {
        let found = found.clone();
        move |group: &[u8], suffix: &[u8], _: &[u8]| {
            found.lock().push((group.to_vec(), suffix.to_vec()));
            Step::Next
        }
    };
    let all = ScanRange::all();
    world.engine.index().scan(partition, table, all, Box::new(visit)).await.unwrap();
    std::mem::take(&mut *found.lock())
}

/// Looks at what has no events any more, twice, so that it goes.
pub(crate) async fn forget_idle(world: &World) {
    let job = job(world);
    for _ in 0..2 {
        job.tend().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_told() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    world.put(&bucket, "before", body(0, SMALL)).await.unwrap();
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    let key = ObjectKey::new("k").unwrap();
    let occasion = Occasion {
        principal: "7".into(),
        source_ip: "10.0.0.1".into(),
        request_id: "R".into(),
        second_id: "H".into(),
        is_form: false,
    };
    let put = world.put(&bucket, "k", body(1, SMALL));
    let put = occasion.clone().around(put).await.unwrap();
    let form = Occasion { is_form: true, ..occasion };
    form.around(world.put(&bucket, "k", body(2, SMALL))).await.unwrap();
    let tags = Tags::of_object(vec![Pair { name: "a".into(), value: "b".into() }]).unwrap();
    let store = &world.store;
    store.set_object_tags(&bucket, &key, None, &tags).await.unwrap();
    store.set_object_tags(&bucket, &key, None, &Tags::default()).await.unwrap();
    let open = Grant { grantee: Grantee::AllUsers, permission: Permission::Read };
    let acl = ObjectAcl::Own(Acl { grants: vec![open] }.with_owner(OWNER));
    store.set_object_acl(&bucket, &key, None, &acl).await.unwrap();
    // What is so already is no event.
    store.set_object_acl(&bucket, &key, None, &acl).await.unwrap();
    world.delete(&bucket, "k").await.unwrap();
    // There is nothing that could be removed.
    world.delete(&bucket, "k").await.unwrap();
    deliver_all(&world).await;
    let expected = [
        EventKind::Put,
        EventKind::Post,
        EventKind::Tagged,
        EventKind::Untagged,
        EventKind::AclSet,
        EventKind::Removed,
    ];
    assert_eq!(targets.kinds("one"), expected);
    let got = targets.got("one");
    assert!(got.iter().all(|got| got.key == "k" && got.event.rule_id == "one-"));
    assert!(got.is_sorted_by(|a, b| a.sequence < b.sequence));
    let first = &got[0].event;
    assert_eq!((first.size, first.etag.as_str()), (Some(SMALL as u64), put.etag.as_str()));
    assert_eq!((first.principal.as_str(), first.source_ip.as_str()), ("7", "10.0.0.1"));
    assert_eq!((first.request_id.as_str(), first.second_id.as_str()), ("R", "H"));
    assert_eq!((first.bucket.as_str(), first.owner_uin, first.by_server), ("b-1", OWNER, false));
    assert_eq!((got[5].event.size, got[5].event.etag.as_str()), (None, ""));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn metadata_goes_where_it_is_said() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "1/"), rule("two", ALL, "2/")]).await;
    let metadata = Metadata { content_type: "text/x-one".into(), ..Metadata::default() };
    for key in ["1/k", "2/k"] {
        let data = body(1, SMALL);
        let size = Some(data.len() as u64);
        let attributes = Attributes { metadata: metadata.clone(), ..Attributes::default() };
        let request = PutRequest { attributes, size, ..put_request(key) };
        let mut source = BytesSource::new(data);
        world.store.put_object(&bucket, request, &mut source).await.unwrap();
        world.delete(&bucket, key).await.unwrap();
    }
    deliver_all(&world).await;
    let said = |target: &str| -> Vec<Option<Metadata>> {
        targets.got(target).into_iter().map(|got| got.event.metadata).collect()
    };
    assert_eq!(said("one"), [None, None]);
    assert_eq!(said("two"), [Some(metadata), None]);
}

#[tokio::test(start_paused = true)]
async fn versions_have_their_names() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    let put = world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    let marker = world.delete(&bucket, "k").await.unwrap().version.unwrap();
    world.delete_version(&bucket, "k", marker).await.unwrap();
    world.delete_version(&bucket, "k", put.version.unwrap()).await.unwrap();
    deliver_all(&world).await;
    let told: Vec<(EventKind, String)> = targets
        .got("one")
        .into_iter()
        .map(|got| (got.event.kind().unwrap(), got.event.version))
        .collect();
    let (put, marker) = (put.version.unwrap().to_string(), marker.to_string());
    let expected = [
        (EventKind::Put, put.clone()),
        (EventKind::Marked, marker.clone()),
        (EventKind::Removed, marker),
        (EventKind::Removed, put),
    ];
    assert_eq!(told, expected);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn rules_say_what_is_told_to_whom() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    let rules = vec![
        rule("one", &["ObjectCreated:*"], "a/"),
        rule("two", &["ObjectCreated:*"], "b/"),
        Rule { suffix: Some(".x".into()), ..rule("two", &["ObjectRemoved:Delete"], "a/") },
    ];
    tell(&world, &bucket, rules).await;
    for key in ["a/1", "b/1", "c/1", "a/1.x"] {
        world.put(&bucket, key, body(1, SMALL)).await.unwrap();
        world.delete(&bucket, key).await.unwrap();
    }
    deliver_all(&world).await;
    let keys = |target| targets.got(target).into_iter().map(|got| got.key).collect::<HashSet<_>>();
    assert_eq!(keys("one"), HashSet::from(["a/1".into(), "a/1.x".into()]));
    assert_eq!(keys("two"), HashSet::from(["b/1".into(), "a/1.x".into()]));
    // From now on nothing is told; what was, is gone.
    tell(&world, &bucket, Vec::new()).await;
    assert!(world.store.notification(&bucket).await.unwrap().is_none());
    world.put(&bucket, "a/2", body(1, SMALL)).await.unwrap();
    assert!(rows(&world).await.is_empty());
    forget_idle(&world).await;
    assert!(rows_in(&world, Partition::System, Table::Event).await.is_empty());
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_target_holds_up_no_other_and_loses_nothing() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    let rules = vec![rule("one", &["ObjectCreated:*"], ""), rule("two", &["ObjectRemoved:*"], "")];
    tell(&world, &bucket, rules).await;
    targets.dead.lock().insert("one".into());
    for round in 0..3 {
        for key in 0..40 {
            world.put(&bucket, &format!("k{key}"), body(round, SMALL)).await.unwrap();
            world.delete(&bucket, &format!("k{key}")).await.unwrap();
        }
    }
    assert!(!deliver(&world, Duration::from_secs(60)).await);
    assert!(targets.got("one").is_empty());
    let two = targets.in_order("two");
    assert_eq!((two.len(), two.values().map(Vec::len).sum::<usize>()), (40, 120));
    let stats = |target: &str| {
        let mut all = world.store.event_lanes().stats();
        let (_, stats) = all.find(|(name, _)| *name == target).unwrap();
        (stats.sent.load(Relaxed), stats.waiting.load(Relaxed), stats.failures.load(Relaxed) > 0)
    };
    assert_eq!(stats("one"), (0, 120, true));
    assert_eq!(stats("two"), (120, 0, false));
    targets.dead.lock().clear();
    deliver_all(&world).await;
    let one = targets.in_order("one");
    assert_eq!((one.len(), one.values().map(Vec::len).sum::<usize>()), (40, 120));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_have_arrived_is_sent_again_before_what_follows() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    targets.doubts.store(40, SeqCst);
    for round in 0..4 {
        for key in ["a", "b", "c"] {
            world.put(&bucket, key, body(round, SMALL)).await.unwrap();
        }
    }
    deliver_all(&world).await;
    let told = targets.in_order("one");
    assert!(told.len() == 3 && told.values().all(|events| events.len() == 4), "{told:?}");
    assert_eq!(targets.got("one").len(), 12 + 40);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_in_the_middle_is_gone_on_with() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    for round in 0..3 {
        for key in 0..20 {
            world.put(&bucket, &format!("k{key}"), body(round, SMALL)).await.unwrap();
        }
    }
    targets.hangs.store(true, SeqCst);
    assert!(!deliver(&world, Duration::from_secs(5)).await);
    let begun = targets.got("one").len();
    assert!(begun > 0);
    targets.hangs.store(false, SeqCst);
    deliver_all(&world).await;
    let told = targets.in_order("one");
    assert!(told.len() == 20 && told.values().all(|events| events.len() == 3), "{told:?}");
    assert_eq!(targets.got("one").len(), 60 + begun);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_answers_has_its_time() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    targets.hangs.store(true, SeqCst);
    assert!(!deliver(&world, Duration::from_secs(60)).await);
    assert!(targets.got("one").len() > 1);
}

/// A key that is written faster than its target answers has its turns and no more.
#[tokio::test(start_paused = true)]
async fn a_busy_key_holds_up_no_other() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    targets.delay_ms.store(50, SeqCst);
    let job = job(&world);
    let writes_on = async {
        for round in 0.. {
            world.put(&bucket, "busy", body(round, SMALL)).await.unwrap();
            if round == 500 {
                for key in 0..20 {
                    world.put(&bucket, &format!("k{key}"), body(0, SMALL)).await.unwrap();
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let arrived = async {
        while targets.in_order("one").len() < 21 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = job.run() => unreachable!("it never ends"),
        () = writes_on => unreachable!("it never ends"),
        arrived = tokio::time::timeout(Duration::from_secs(30), arrived) => arrived.unwrap(),
    }
}

/// More keys than are remembered are found once there is room.
#[tokio::test(start_paused = true)]
async fn what_is_not_remembered_is_found() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    let count = 17_000;
    for key in 0..count {
        world.put(&bucket, &format!("k{key:05}"), body(0, 1)).await.unwrap();
    }
    let arrived = async {
        while targets.got.lock().get("one").is_none_or(|got| got.len() < count) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = job(&world).run() => unreachable!("it never ends"),
        arrived = tokio::time::timeout(Duration::from_secs(60), arrived) => arrived.unwrap(),
    }
}

/// Time passes for the clock and for those who wait.
pub(crate) async fn pass(world: &World, time: Duration) {
    world.advance(time.as_millis() as u64);
    tokio::time::advance(time).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_given_up() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    targets.dead.lock().insert("one".into());
    let job = job(&world);
    for round in 0..3 {
        world.put(&bucket, "k", body(round, SMALL)).await.unwrap();
        world.put(&bucket, "l", body(round, SMALL)).await.unwrap();
    }
    pass(&world, AGE_MAX + Duration::from_secs(1)).await;
    world.put(&bucket, "k", body(3, SMALL)).await.unwrap();
    job.tend().await.unwrap();
    targets.dead.lock().clear();
    deliver_all(&world).await;
    assert_eq!(targets.got("one").len(), 1);
    let mut stats = world.store.event_lanes().stats();
    assert_eq!(stats.find(|(name, _)| *name == "one").unwrap().1.expired.load(Relaxed), 6);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_throws_nothing_away() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    let job = job(&world);
    pass(&world, AGE_MAX / 2).await;
    world.advance(100 * AGE_MAX.as_millis() as u64);
    job.tend().await.unwrap();
    pass(&world, AGE_MAX / 2).await;
    job.tend().await.unwrap();
    assert!(rows(&world).await.len() > 1);
    // One that stays so is believed.
    pass(&world, AGE_MAX).await;
    job.tend().await.unwrap();
    deliver_all(&world).await;
    assert!(targets.got("one").is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_of_a_bucket_that_is_gone_are_told() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    tell(&world, &bucket, vec![rule("one", ALL, "")]).await;
    world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    world.delete(&bucket, "k").await.unwrap();
    world.store.delete_bucket(&bucket).await.unwrap();
    world.collector.sweep().await.unwrap();
    // Another of its name is another.
    let second = world.bucket("b-1").await;
    tell(&world, &second, vec![rule("two", ALL, "")]).await;
    world.put(&second, "k", body(1, SMALL)).await.unwrap();
    deliver_all(&world).await;
    assert_eq!(targets.kinds("one"), [EventKind::Put, EventKind::Removed]);
    assert_eq!(targets.kinds("two"), [EventKind::Put]);
    forget_idle(&world).await;
    world.collector.sweep().await.unwrap();
    let left = world.engine.index().partitions().await.unwrap();
    assert_eq!(left, [(second.id, PartitionState::Live)]);
    world.settle().await;
}

#[tokio::test]
async fn configurations_that_cannot_be_obeyed_change_nothing() {
    let (world, targets) = world();
    let bucket = world.bucket("b-1").await;
    let good = rule("one", ALL, "");
    world.store.set_notification(&bucket, vec![good.clone()], Some(("R", "H"))).await.unwrap();
    assert_eq!(*targets.tests.lock(), [("one".into(), "b-1".into())]);
    let set = |rule: Rule, test: bool| {
        let (store, bucket) = (world.store.clone(), bucket.clone());
        async move {
            let tested = test.then_some(("R", "H"));
            match store.set_notification(&bucket, vec![rule], tested).await {
                Err(Error::InvalidNotification(fault)) => Some(fault),
                other => {
                    other.unwrap();
                    None
                }
            }
        }
    };
    let arn = |arn: String| Rule { arn, ..good.clone() };
    let other = arn(good.arn.replace(":one", ":three"));
    assert_eq!(set(other.clone(), false).await, Some(EventFault::NoTarget(other.arn)));
    let other = arn(good.arn.replace("guangzhou", "beijing"));
    assert_eq!(set(other.clone(), false).await, Some(EventFault::OtherRegion(other.arn)));
    let other = arn(good.arn.replace(&format!("{OWNER:012}"), "000000000001"));
    assert_eq!(set(other.clone(), false).await, Some(EventFault::NoTarget(other.arn)));
    for bad in ["", "one", "arn:aws:sns:ap-guangzhou:100000000001:one", "arn:aws:sqs:::"] {
        let fault = set(arn(bad.into()), false).await;
        assert_eq!(fault, Some(EventFault::MalformedArn(bad.into())));
    }
    targets.dead.lock().insert("one".into());
    let fault = set(good.clone(), true).await;
    assert!(matches!(fault, Some(EventFault::Unreachable { .. })), "{fault:?}");
    let kept = world.store.notification(&bucket).await.unwrap().unwrap();
    assert_eq!((kept.rules.len(), kept.rules[0].arn.as_str()), (1, good.arn.as_str()));
    // Functions are not tested, nor is anything that is not to be.
    let function = format!("arn:aws:lambda:ap-guangzhou:{OWNER:012}:function:one");
    assert_eq!(set(Rule { service: 3, ..arn(function) }, true).await, None);
    assert_eq!(set(Rule { id: String::new(), ..good }, false).await, None);
    let kept = world.store.notification(&bucket).await.unwrap().unwrap();
    assert!(!kept.rules[0].id.is_empty());
}
