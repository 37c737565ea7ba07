//! A process that ends, or an engine that fails, at every call that a workload
//! makes. Whatever was acknowledged is there afterwards, what was not has
//! happened whole or not at all, and nothing is left that nobody frees.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use costrel_core::bucket::Bucket;
use costrel_core::lifecycle::{
    Expiration, Lifecycle, LifecycleJob, LifecycleOptions, Rule, RuleBounds, Transition,
    TransitionMinimum, TransitionTime,
};
use costrel_core::list::ListObjects;
use costrel_core::names::{BucketName, UploadId};
use costrel_core::object::{CopyRequest, CopySource, PutOutcome};
use costrel_core::record::Metadata;
use costrel_core::tiering::AccessJob;
use costrel_core::upload::{CompletePart, ListUploads};
use costrel_core::version::{VersionRef, Versioning};
use costrel_core::{Error, Result};

use crate::common::faulty::{Fault, Faulty, Plan};
use crate::common::{LARGE, OWNER, SMALL, World, body, key};

/// Length of a body that may lie in the infrequent tier.
const TIERED: usize = 70_000;

const KEYS: [&str; 6] = ["a", "b", "c", "grown", "copy", "multi"];

/// What each key may hold: more than one thing after an operation whose outcome
/// nobody was told.
#[derive(Default)]
struct Model {
    /// `None` is an absent object.
    possible: BTreeMap<&'static str, HashSet<Option<Bytes>>>,
    failures: usize,
    /// Keys whose newest version was removed: what was below it shows.
    unsure: HashSet<&'static str>,
    /// Versions that were acknowledged and not removed since.
    kept: Vec<(&'static str, VersionRef, Bytes)>,
}

impl Model {
    fn of(&mut self, key: &'static str) -> &mut HashSet<Option<Bytes>> {
        self.possible.entry(key).or_insert_with(|| HashSet::from([None]))
    }

    /// A write that would make the key hold `after`.
    fn wrote<T>(&mut self, key: &'static str, after: Option<Bytes>, result: &Result<T>) {
        let possible = self.of(key);
        match result {
            Ok(_) => *possible = HashSet::from([after]),
            Err(_) => {
                possible.insert(after);
                self.failures += 1;
            }
        }
    }

    /// What a read saw; from then on nothing else is possible.
    fn saw(&mut self, key: &'static str, seen: Result<Bytes>) {
        let seen = match seen {
            Ok(data) => Some(data),
            Err(Error::NoSuchKey | Error::CurrentIsMarker { .. }) => None,
            Err(_) => return self.failures += 1,
        };
        if self.unsure.contains(key) {
            return;
        }
        let possible = self.of(key);
        assert!(possible.contains(&seen), "{key} holds {:?} bytes", seen.map(|data| data.len()));
        *possible = HashSet::from([seen]);
    }
}

struct Run<'a> {
    world: &'a World,
    bucket: Arc<Bucket>,
    model: Model,
}

impl Run<'_> {
    async fn put(&mut self, key: &'static str, seed: u64, len: usize) {
        let data = body(seed, len);
        let put = self.world.put(&self.bucket, key, data.clone()).await;
        if let Ok(PutOutcome { version: Some(version @ VersionRef::Id(_)), .. }) = put {
            self.model.kept.push((key, version, data.clone()));
        }
        self.model.wrote(key, Some(data), &put);
    }

    /// Removes versions of a key: its newest, if that is a put's, and its oldest.
    async fn remove(&mut self, key: &'static str) {
        self.model.unsure.insert(key);
        for newest in [true, false] {
            let mut of_key = self.model.kept.iter().enumerate().filter(|(_, kept)| kept.0 == key);
            let position = if newest { of_key.next_back() } else { of_key.next() };
            let Some((position, _)) = position else { return };
            let (_, version, _) = self.model.kept.remove(position);
            let removed = self.world.delete_version(&self.bucket, key, version).await;
            self.model.failures += usize::from(removed.is_err());
        }
    }

    async fn delete(&mut self, key: &'static str) {
        let deleted = self.world.delete(&self.bucket, key).await;
        self.model.wrote(key, None, &deleted);
    }

    /// Lets a rule end a key's object.
    async fn expire(&mut self, key: &'static str) {
        let expiration = Some(Expiration::Date(0));
        let ended = self.apply(key, Rule { expiration, ..Default::default() }).await;
        self.model.wrote(key, None, &ended);
    }

    /// Lets a rule move a key's object to another class.
    async fn sink(&mut self, key: &'static str, class: &str) {
        let time = Some(TransitionTime::Date(0));
        let transitions = vec![Transition { time, class: class.to_owned() }];
        // However small it is.
        let rule = Rule { transitions, size_greater: Some(0), ..Default::default() };
        let moved = self.apply(key, rule).await;
        self.model.failures += usize::from(moved.is_err());
    }

    /// A round by one rule for one key.
    async fn apply(&mut self, key: &'static str, rule: Rule) -> Result<bool> {
        let store = &self.world.store;
        let rule = Rule { enabled: true, prefix: Some(key.to_owned()), ..rule };
        let minimum = TransitionMinimum::Always128K.into();
        let rules = Lifecycle { rules: vec![rule], minimum, ..Default::default() };
        let bounds = RuleBounds { days_max: 1, infrequent_days_min: 0 };
        store.set_lifecycle(&self.bucket, rules, bounds).await?;
        let rate = 1 << 30;
        let options = LifecycleOptions {
            owner_uin: OWNER,
            rows_per_second: rate,
            ends_per_second: rate,
            moved_bytes_per_second: rate,
        };
        let job = LifecycleJob::new(store.clone(), options);
        let round = job.round().await;
        // What cannot be ended is passed over and counted.
        let failed = job.stats().failures.load(Relaxed) > 0;
        let taken_back = store.delete_lifecycle(&self.bucket).await;
        self.model.failures += usize::from(taken_back.is_err());
        if failed { Err(Error::StorageUnavailable) } else { round }
    }

    /// Writes down what was read, and brings back what lay below.
    async fn raise(&mut self) {
        let job = AccessJob::new(self.world.store.clone(), 1 << 30);
        job.write_down().await;
        self.model.failures += job.stats().failures.load(Relaxed) as usize;
    }

    async fn get(&mut self, key: &'static str) {
        let seen = self.world.get(&self.bucket, key).await;
        self.model.saw(key, seen);
    }

    async fn append(&mut self, seed: u64, len: usize) {
        if self.bucket.versioning().has_versions() {
            return;
        }
        self.get("grown").await;
        let possible = self.model.of("grown").clone();
        let Some(before) = possible.iter().next().filter(|_| possible.len() == 1).cloned() else {
            return;
        };
        let before = before.unwrap_or_default();
        let data = body(seed, len);
        let appended =
            self.world.append(&self.bucket, "grown", before.len() as u64, data.clone()).await;
        let after = [&before[..], &data[..]].concat().into();
        self.model.wrote("grown", Some(after), &appended);
    }

    async fn copy(&mut self, from: &'static str, to: &'static str) {
        self.get(from).await;
        let possible = self.model.of(from).clone();
        let request = copy_request(&self.bucket, from, to, None);
        let copied = self.world.store.copy_object(&self.bucket, request).await;
        for source in possible {
            if from != to && (source.is_some() || copied.is_ok()) {
                self.model.wrote(to, source, &copied);
            }
        }
    }

    /// Moves an object's bytes to where another class keeps them.
    async fn reclass(&mut self, at: &'static str, class: &str) {
        let request = copy_request(&self.bucket, at, at, Some(class));
        match self.world.store.copy_object(&self.bucket, request).await {
            Ok(_) | Err(Error::NoSuchKey) => {}
            Err(_) => self.model.failures += 1,
        }
    }

    async fn parts(&mut self, upload: UploadId, parts: &[(u32, usize)]) -> Result<Uploaded> {
        let mut uploaded = (Vec::new(), Vec::new());
        for (number, len) in parts {
            let data = body(u64::from(*number) + *len as u64, *len);
            let part = self.world.part(&self.bucket, "multi", upload, *number, data.clone());
            uploaded.0.push(part.await?);
            uploaded.1.extend_from_slice(&data);
        }
        Ok(uploaded)
    }

    /// Uploads, overwrites and completes with some parts, or aborts.
    async fn multipart(&mut self, complete: bool) {
        let Ok(upload) = self.world.initiate(&self.bucket, "multi").await else {
            return self.model.failures += 1;
        };
        let _ = self.parts(upload, &[(1, SMALL), (2, LARGE), (4, LARGE), (5, SMALL)]).await;
        let Ok((parts, data)) = self.parts(upload, &[(1, LARGE), (2, SMALL), (3, LARGE)]).await
        else {
            return self.model.failures += 1;
        };
        if !complete {
            self.model.failures +=
                usize::from(self.world.abort(&self.bucket, "multi", upload).await.is_err());
            return;
        }
        let completed = self.world.complete(&self.bucket, "multi", upload, parts).await;
        self.model.wrote("multi", Some(data.into()), &completed);
    }
}

fn copy_request(bucket: &Arc<Bucket>, from: &str, to: &str, class: Option<&str>) -> CopyRequest {
    CopyRequest {
        source: CopySource {
            bucket: bucket.clone(),
            key: key(from),
            version: None,
            range: None,
            conditions: Default::default(),
            links: Default::default(),
        },
        key: key(to),
        metadata: Some(Metadata::default()),
        website_redirect: String::new(),
        storage_class: class.map(str::to_owned),
        tags: None,
        lock: Default::default(),
        acl: Default::default(),
        checksum: None,
        conditions: Default::default(),
    }
}

type Uploaded = (Vec<CompletePart>, Vec<u8>);

/// Every kind of write over every kind of content.
async fn workload(run: &mut Run<'_>) {
    run.put("a", 1, SMALL).await;
    run.put("b", 2, LARGE).await;
    run.put("a", 3, LARGE).await;
    run.put("b", 4, SMALL).await;
    run.put("b", 5, LARGE).await;
    run.put("b", 6, LARGE).await;
    run.copy("b", "copy").await;
    run.copy("a", "a").await;
    for (key, class) in [("b", "STANDARD_IA"), ("a", "GLACIER_IR"), ("b", "GLACIER_IR"), ("b", "")]
    {
        run.reclass(key, class).await;
    }
    run.append(7, SMALL).await;
    run.append(8, SMALL).await;
    run.append(9, LARGE).await;
    run.multipart(true).await;
    run.reclass("multi", "ONEZONE_IA").await;
    run.get("multi").await;
    run.multipart(true).await;
    run.multipart(false).await;
    run.put("grown", 10, SMALL).await;
    run.delete("b").await;
    run.put("b", 15, LARGE).await;
    run.sink("b", "GLACIER_IR").await;
    run.expire("b").await;
    run.sink("multi", "STANDARD_IA").await;
    run.put("multi", 11, LARGE).await;
    run.expire("multi").await;
    run.put("multi", 16, SMALL).await;
    run.put("c", 12, 0).await;
    run.delete("c").await;
    run.put("c", 17, TIERED).await;
    for class in ["STANDARD_IA", "INTELLIGENT_TIERING"] {
        run.sink("c", class).await;
    }
    run.get("c").await;
    run.raise().await;
    if run.bucket.versioning().has_versions() {
        run.put("c", 13, SMALL).await;
        run.remove("c").await;
        run.remove("b").await;
        run.put("a", 14, SMALL).await;
        run.remove("a").await;
    }
}

/// One run with one fault. Answers whether the fault was met.
async fn run_with(plan: Plan, versioning: Versioning) -> bool {
    let inner = World::memory().engine;
    let engine = Faulty::new(inner.clone());
    let mut world = World::over(engine.clone());
    let bucket = world.bucket("crashes").await;
    if versioning.has_versions() {
        world.put(&bucket, "b", body(0, SMALL)).await.unwrap();
        world.store.set_versioning(&bucket, versioning).await.unwrap();
    }
    engine.plan(Some(plan));
    let mut run = Run { world: &world, bucket: bucket.clone(), model: Model::default() };
    if versioning.has_versions() {
        run.model.possible.insert("b", HashSet::from([Some(body(0, SMALL))]));
    }
    workload(&mut run).await;
    let mut model = run.model;

    let met = engine.calls() > plan.at;
    assert!(met || model.failures == 0);
    engine.plan(None);
    if plan.forever {
        // Tasks of the old process must not go on in the new one.
        world.restart();
        world.collector.recover().await.unwrap();
    }

    for key in KEYS {
        let seen = world.get(&bucket, key).await;
        let absent = matches!(seen, Err(Error::NoSuchKey | Error::CurrentIsMarker { .. }));
        assert!(seen.is_ok() || absent, "{seen:?}");
        if model.unsure.contains(key) {
            model.possible.insert(key, HashSet::from([seen.as_ref().ok().cloned()]));
        }
        model.saw(key, seen);
    }
    for (key, version, data) in &model.kept {
        assert_eq!(world.get_version(&bucket, key, *version).await.unwrap(), data);
    }
    let list = ListObjects { max: 100, ..Default::default() };
    let listed = world.store.list_objects(&bucket, &list).await.unwrap();
    let listed: Vec<&str> = listed.entries.iter().map(|(key, _)| key.as_str()).collect();
    let held: Vec<&str> = KEYS.into_iter().filter(|key| !model.of(key).contains(&None)).collect();
    let mut sorted = held.clone();
    sorted.sort_unstable();
    assert_eq!(listed, sorted);
    world.settle().await;

    // Everything can still be used and emptied.
    let uploads = ListUploads { max: 100, ..Default::default() };
    for (key, upload) in world.store.list_uploads(&bucket, &uploads).await.unwrap().entries {
        world.abort(&bucket, &key, upload.id).await.unwrap();
    }
    for key in KEYS {
        world.put(&bucket, key, body(99, LARGE)).await.unwrap();
        world.delete(&bucket, key).await.unwrap();
    }
    if versioning.has_versions() {
        for (key, entry) in world.versions(&bucket, 100).await {
            world.delete_version(&bucket, &key, entry.version.unwrap()).await.unwrap();
        }
    }
    world.store.delete_bucket(&bucket).await.unwrap();
    let report = world.settle().await;
    assert_eq!((report.buckets, report.parts, report.blobs), (0, 0, 0));
    assert!(inner.index().partitions().await.unwrap().is_empty());
    met
}

async fn at_every_call(fault: Fault, forever: bool) {
    for versioning in [Versioning::Never, Versioning::Enabled, Versioning::Suspended] {
        for at in 0.. {
            if !run_with(Plan { at, fault, forever }, versioning).await {
                assert!(at > 150, "only {at} calls");
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_process_ends_before_a_call() {
    at_every_call(Fault::Before, true).await;
}

#[tokio::test]
async fn the_process_ends_after_a_call() {
    at_every_call(Fault::After, true).await;
}

#[tokio::test]
async fn one_call_fails() {
    at_every_call(Fault::Before, false).await;
}

#[tokio::test]
async fn one_answer_is_lost() {
    at_every_call(Fault::After, false).await;
}

/// Creations and deletions of buckets, and the collector itself, meet a fault.
async fn buckets_with(plan: Plan) -> bool {
    let inner = World::memory().engine;
    let engine = Faulty::new(inner.clone());
    let mut world = World::over(engine.clone());
    let name = || BucketName::new("crashes").unwrap();
    engine.plan(Some(plan));
    let mut acknowledged = None;
    if let Ok(bucket) = world.store.create_bucket(name(), OWNER, None).await {
        acknowledged = Some(true);
        let stored = world.put(&bucket, "k", body(1, LARGE)).await.is_ok()
            && world.delete(&bucket, "k").await.is_ok();
        if stored {
            acknowledged = match world.store.delete_bucket(&bucket).await {
                Ok(()) => Some(false),
                Err(_) => None,
            };
        }
        let _ = world.collector.sweep().await;
    }
    let met = engine.calls() > plan.at;
    engine.plan(None);
    world.restart();
    world.collector.recover().await.unwrap();
    match (acknowledged, world.store.bucket("crashes").await) {
        (Some(false), Ok(_)) => panic!("a deleted bucket is back"),
        (Some(true), Err(error)) => panic!("{error}"),
        (_, Ok(bucket)) => {
            let _ = world.delete(&bucket, "k").await;
            world.put(&bucket, "k", body(1, LARGE)).await.unwrap();
            world.delete(&bucket, "k").await.unwrap();
            world.store.delete_bucket(&bucket).await.unwrap();
        }
        (_, Err(Error::NoSuchBucket)) => {}
        (_, Err(error)) => panic!("{error}"),
    }
    world.store.create_bucket(name(), OWNER, None).await.unwrap();
    let report = world.settle().await;
    assert_eq!((report.buckets, report.blobs), (1, 0));
    assert_eq!(inner.index().partitions().await.unwrap().len(), 1);
    met
}

#[tokio::test]
async fn buckets_at_every_call() {
    for (fault, forever) in
        [(Fault::Before, true), (Fault::After, true), (Fault::Before, false), (Fault::After, false)]
    {
        for at in 0.. {
            if !buckets_with(Plan { at, fault, forever }).await {
                assert!(at > 15, "only {at} calls");
                break;
            }
        }
    }
}
