//! Random operations on versions, with their tags and holds, against a model that
//! does the same by hand.

use std::collections::BTreeMap;

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::bucket::{Bucket, InitialSettings};
use costrel_core::list::ListObjects;
use costrel_core::names::BucketName;
use costrel_core::object::{CopyRequest, CopySource, DeleteOutcome, Links, SymlinkRequest};
use costrel_core::precondition::{ReadConditions, WriteConditions};
use costrel_core::record::Pair;
use costrel_core::tags::Tags;
use costrel_core::version::{VersionRef, Versioning};

use crate::common::random::{Random, seed};
use crate::common::{LARGE, OWNER, SMALL, World, body, complete_request, key};

crate::on_every_engine!(random_operations_match_the_model, random_holds_match_the_model);

const KEYS: [&str; 4] = ["a", "a/b", "b", "c"];
const SIZES: &[usize] = &[SMALL, LARGE, 0];

#[derive(Clone, Debug)]
enum Content {
    Bytes(Bytes),
    /// A symlink to this key.
    Link(&'static str),
    Marker,
}

#[derive(Clone, Debug)]
struct Version {
    /// `None` while the bucket never kept versions.
    name: Option<VersionRef>,
    content: Content,
    tags: Tags,
    held: bool,
}

impl Version {
    fn is_marker(&self) -> bool {
        matches!(self.content, Content::Marker)
    }
}

/// The versions of each key, newest first.
struct Model {
    state: Versioning,
    keys: BTreeMap<&'static str, Vec<Version>>,
    /// Versions can be held.
    locking: bool,
}

impl Model {
    fn write(&mut self, at: &'static str, name: Option<VersionRef>, content: Content, tags: Tags) {
        let is_marker = matches!(content, Content::Marker);
        let versions = self.keys.entry(at).or_default();
        match self.state {
            Versioning::Never => {
                versions.clear();
                if is_marker {
                    return;
                }
            }
            Versioning::Enabled => assert!(matches!(name, Some(VersionRef::Id(_)))),
            Versioning::Suspended => {
                assert_eq!(name, Some(VersionRef::Null));
                versions.retain(|version| version.name != Some(VersionRef::Null));
            }
        }
        versions.insert(0, Version { name, content, tags, held: false });
    }

    /// From here on objects without versions are called `null`.
    fn set(&mut self, state: Versioning) {
        self.state = state;
        for version in self.keys.values_mut().flatten() {
            version.name.get_or_insert(VersionRef::Null);
        }
    }

    fn current(&self, at: &str) -> Option<&Version> {
        self.keys.get(at).and_then(|versions| versions.first()).filter(|v| !v.is_marker())
    }

    /// What a get of the current version of a key answers.
    fn seen(&self, at: &str) -> Option<Bytes> {
        self.current(at).and_then(|version| self.read(version))
    }

    /// What a get of a version answers.
    fn read(&self, version: &Version) -> Option<Bytes> {
        match &version.content {
            Content::Bytes(data) => Some(data.clone()),
            Content::Link(target) => match &self.current(target)?.content {
                Content::Bytes(data) => Some(data.clone()),
                _ => None,
            },
            Content::Marker => None,
        }
    }

    /// A version of a key, or a name that it has none of.
    fn some_name(&self, at: &str, random: &mut Random) -> VersionRef {
        let versions = self.keys.get(at).map(Vec::as_slice).unwrap_or_default();
        let position = random.below(versions.len() + 1);
        let version = versions.get(position);
        version.and_then(|version| version.name).unwrap_or(VersionRef::Null)
    }

    fn find(&mut self, at: &'static str, name: VersionRef) -> Option<usize> {
        let versions = self.keys.entry(at).or_default();
        versions.iter().position(|version| version.name.unwrap_or(VersionRef::Null) == name)
    }
}

async fn random_operations_match_the_model(world: &World) {
    let mut random = Random::new(seed("random_operations_match_the_model"));
    for round in 0..6 {
        let bucket = world.bucket(&format!("model-{round}")).await;
        run(world, &bucket, Versioning::Never, &mut random).await;
    }
}

/// In a bucket with object lock, whose versioning is never suspended.
async fn random_holds_match_the_model(world: &World) {
    let mut random = Random::new(seed("random_holds_match_the_model"));
    for round in 0..3 {
        let name = BucketName::new(&format!("model-{round}")).unwrap();
        let initial = InitialSettings { object_lock: true, ..Default::default() };
        let bucket = world.store.create_bucket_with(name, OWNER, None, initial).await.unwrap();
        run(world, &bucket, Versioning::Enabled, &mut random).await;
    }
}

async fn run(world: &World, bucket: &Bucket, state: Versioning, random: &mut Random) {
    let locking = bucket.settings().lock.is_some();
    let mut model = Model { state, keys: BTreeMap::new(), locking };
    for step in 0..200u64 {
        operation(world, bucket, &mut model, random, step).await;
        if step % 40 == 39 {
            compare(world, bucket, &mut model, random).await;
            world.settle().await;
        }
    }
}

fn some_tags(random: &mut Random) -> Tags {
    let pairs = (0..random.below(3))
        .map(|n| Pair { name: format!("k{n}"), value: random.below(9).to_string() })
        .collect();
    Tags::of_object(pairs).unwrap()
}

async fn operation(
    world: &World,
    bucket: &Bucket,
    model: &mut Model,
    random: &mut Random,
    step: u64,
) {
    let at = *random.pick(&KEYS);
    match random.below(32) {
        0..=6 => {
            let data = body(step, *random.pick(SIZES));
            let put = world.put(bucket, at, data.clone()).await.unwrap();
            model.write(at, put.version, Content::Bytes(data), Tags::default());
        }
        7 | 8 => upload(world, bucket, model, at, step).await,
        9 => {
            let target = *random.pick(&KEYS);
            let request = SymlinkRequest {
                key: key(at),
                target: key(target),
                attributes: Default::default(),
                conditions: WriteConditions::default(),
            };
            match world.store.put_symlink(bucket, request).await {
                Ok(put) => model.write(at, put.version, Content::Link(target), Tags::default()),
                Err(error) => assert!(matches!(error, Error::LinkToLink) && target == at),
            }
        }
        10 | 11 => copy(world, bucket, model, random, at).await,
        12..=14 => {
            let marked = world.delete(bucket, at).await.unwrap();
            assert_eq!(marked.delete_marker, model.state != Versioning::Never);
            model.write(at, marked.version, Content::Marker, Tags::default());
        }
        15..=19 => {
            let name = model.some_name(at, random);
            let known = model.find(at, name);
            let held = known.is_some_and(|known| model.keys[at][known].held);
            match world.delete_version(bucket, at, name).await {
                Err(Error::Locked) => assert!(held, "{at} {name}"),
                Ok(gone) => {
                    assert!(!held, "{at} {name} was held and is gone");
                    let gone_from = model.keys.entry(at).or_default();
                    let was_marker = known.is_some_and(|known| gone_from.remove(known).is_marker());
                    let want = DeleteOutcome { version: Some(name), delete_marker: was_marker };
                    assert_eq!(gone, want);
                }
                Err(error) => panic!("{error}"),
            }
        }
        20 if !model.locking => {
            let state = *random.pick(&[Versioning::Enabled, Versioning::Suspended]);
            world.store.set_versioning(bucket, state).await.unwrap();
            model.set(state);
        }
        20..=23 => {
            let (name, tags) = (model.some_name(at, random), some_tags(random));
            let set = world.store.set_object_tags(bucket, &key(at), Some(name), &tags).await;
            match model.find(at, name) {
                Some(known) if !model.keys[at][known].is_marker() => {
                    assert_eq!(set.unwrap().unwrap_or(VersionRef::Null), name);
                    model.keys.get_mut(at).unwrap()[known].tags = tags;
                }
                _ => assert!(set.is_err(), "{at} {name}"),
            }
        }
        24 | 25 => {
            let tags = some_tags(random);
            let set = world.store.set_object_tags(bucket, &key(at), None, &tags).await;
            match model.current(at).is_some() {
                true => {
                    set.unwrap();
                    model.keys.get_mut(at).unwrap()[0].tags = tags;
                }
                false => assert!(set.is_err()),
            }
        }
        26..=28 if model.locking => {
            let (name, on) = (model.some_name(at, random), random.below(2) == 0);
            let held = world.store.set_legal_hold(bucket, &key(at), Some(name), on).await;
            match model.find(at, name) {
                Some(known) if !model.keys[at][known].is_marker() => {
                    held.unwrap();
                    model.keys.get_mut(at).unwrap()[known].held = on;
                }
                _ => assert!(held.is_err(), "{at} {name}"),
            }
        }
        _ => assert_eq!(world.get(bucket, at).await.ok(), model.seen(at)),
    }
}

async fn upload(world: &World, bucket: &Bucket, model: &mut Model, at: &'static str, step: u64) {
    let upload = world.initiate(bucket, at).await.unwrap();
    let data = [body(step, LARGE), body(step + 1, SMALL)];
    let mut parts = Vec::new();
    for (number, data) in (1..).zip(&data) {
        parts.push(world.part(bucket, at, upload, number, data.clone()).await.unwrap());
    }
    let request = complete_request(at, upload, parts);
    let put = world.store.complete_upload(bucket, request).await.unwrap();
    model.write(at, put.version, Content::Bytes(data.concat().into()), Tags::default());
}

/// Of any version of any key, or of the current one.
async fn copy(
    world: &World,
    bucket: &Bucket,
    model: &mut Model,
    random: &mut Random,
    at: &'static str,
) {
    let from = *random.pick(&KEYS);
    let named = model.state != Versioning::Never && random.below(2) == 0;
    let version = named.then(|| model.some_name(from, random));
    let source = CopySource {
        bucket: world.store.bucket(bucket.name.as_str()).await.unwrap(),
        key: key(from),
        version,
        range: None,
        conditions: ReadConditions::default(),
        links: Links::Anywhere,
    };
    let tags = (random.below(2) == 0).then(|| some_tags(random));
    let request = CopyRequest {
        source,
        key: key(at),
        metadata: Some(Default::default()),
        website_redirect: String::new(),
        storage_class: None,
        tags: tags.clone(),
        lock: Default::default(),
        acl: Default::default(),
        checksum: None,
        conditions: WriteConditions::default(),
    };
    let copied = world.store.copy_object(bucket, request).await;
    let read = match version {
        Some(name) => model.find(from, name).map(|known| model.keys[from][known].clone()),
        None => model.current(from).cloned(),
    };
    // A link's own tags are not those of what is copied.
    let source = match &read {
        Some(Version { content: Content::Link(target), .. }) => model.current(target).cloned(),
        read => read.clone(),
    };
    match read.and_then(|version| model.read(&version)) {
        Some(data) => {
            let version = copied.unwrap().version;
            let tags = tags.unwrap_or_else(|| source.map(|v| v.tags).unwrap_or_default());
            model.write(at, version, Content::Bytes(data), tags);
        }
        None => assert!(copied.is_err(), "{from} {version:?}"),
    }
}

async fn compare(world: &World, bucket: &Bucket, model: &mut Model, random: &mut Random) {
    let listed = world.versions(bucket, 1 + random.below(7)).await;
    let mut listed = listed.into_iter();
    for (at, versions) in &model.keys {
        for (number, version) in versions.iter().enumerate() {
            let (found, entry) = listed.next().expect("all versions are listed");
            assert_eq!((found.as_str(), entry.version), (*at, version.name));
            assert_eq!((entry.is_latest, entry.delete_marker), (number == 0, version.is_marker()));
            let name = version.name.unwrap_or(VersionRef::Null);
            let seen = world.get_version(bucket, at, name).await;
            assert_eq!(seen.ok(), model.read(version), "{at} {name}");
            let itself = world.store.stat_object(bucket, &key(at), Some(name)).await;
            match version.is_marker() {
                true => assert!(matches!(itself, Err(Error::VersionIsMarker { .. }))),
                false => {
                    let itself = itself.unwrap();
                    assert_eq!(itself.tags(), version.tags, "{at} {name}");
                    assert_eq!(itself.lock().legal_hold == Some(true), version.held);
                }
            }
        }
        let current = world.store.stat_object(bucket, &key(at), None).await.ok();
        let tags = current.map(|info| info.tags());
        assert_eq!(tags, model.current(at).map(|version| version.tags.clone()), "{at}");
    }
    assert!(listed.next().is_none());
    let request = ListObjects { max: 100, ..Default::default() };
    let page = world.store.list_objects(bucket, &request).await.unwrap();
    let current: Vec<&str> = page.entries.iter().map(|(key, _)| key.as_str()).collect();
    let want: Vec<&str> =
        model.keys.keys().filter(|at| model.current(at).is_some()).copied().collect();
    assert_eq!(current, want);
}
