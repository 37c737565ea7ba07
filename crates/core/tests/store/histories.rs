//! Concurrent clients on the versions of few keys, while versioning is turned on and
//! suspended and versions are held: whatever they are told can be explained by
//! operations that happened one after the other, down to each version's name, bytes
//! and place.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::Error;
use costrel_core::bucket::{Bucket, InitialSettings};
use costrel_core::checksum::Digester;
use costrel_core::names::BucketName;
use costrel_core::object::{DeleteOutcome, DeleteRequest};
use costrel_core::precondition::{EtagCondition, WriteConditions};
use costrel_core::version::{ListVersions, VersionRef, Versioning};
use parking_lot::Mutex;

use crate::common::faulty::{Faulty, Manner};
use crate::common::linear::{Event, Step, check};
use crate::common::random::{Random, seed};
use crate::common::{LARGE, OWNER, SMALL, World, body, delete_request, key};

crate::on_every_engine!(versions_are_linearizable, held_versions_are_linearizable);

const CLIENTS: u64 = 6;
const KEYS: [&str; 2] = ["a", "b"];
/// What a key holds stays small, or the search would not.
const VERSIONS: usize = 4;

/// A version: its name, the value of its bytes (none for a delete marker), and
/// whether it is held.
type Version = (VersionRef, Option<u64>, bool);

/// The versions of one key, newest first, and the bucket's state of versioning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Versions {
    versioning: u32,
    all: Vec<Version>,
}

impl Versions {
    fn current(&self) -> Option<u64> {
        self.all.first().and_then(|(_, value, _)| *value)
    }

    /// Something new on top; none where versions have no names yet.
    fn push(&self, name: Option<VersionRef>, value: Option<u64>) -> Option<Versions> {
        let mut new = self.clone();
        match (self.versioning, name) {
            (0, None) => new.all.clear(),
            (1, Some(VersionRef::Id(id))) => {
                // The newest sorts first.
                let is_newest = |(name, ..): &Version| match name {
                    VersionRef::Id(other) => id < *other,
                    VersionRef::Null => true,
                };
                if !self.all.iter().all(is_newest) {
                    return None;
                }
            }
            (2, Some(VersionRef::Null)) => new.all.retain(|(name, ..)| *name != VersionRef::Null),
            _ => return None,
        }
        if value.is_some() || self.versioning != 0 {
            new.all.insert(0, (name.unwrap_or(VersionRef::Null), value, false));
        }
        Some(new)
    }
}

/// What becomes of a condition on the current value.
#[derive(Clone, Copy, Debug)]
enum Wants {
    Anything,
    Nothing,
    Value(u64),
}

impl Wants {
    fn holds(self, versions: &Versions) -> bool {
        match self {
            Wants::Anything => true,
            Wants::Nothing => versions.current().is_none(),
            Wants::Value(value) => versions.current() == Some(value),
        }
    }
}

#[derive(Clone, Debug)]
enum Done {
    /// The name of what was made, if the condition held.
    Put(u64, Wants, Option<Option<VersionRef>>),
    Delete(Wants, Option<Option<VersionRef>>),
    /// Whether it was a marker, if it was not held.
    Remove(VersionRef, Option<bool>),
    /// Whether there was an object.
    Hold(VersionRef, bool, bool),
    Set(Versioning),
    Read(Option<u64>),
    ReadVersion(VersionRef, Option<u64>),
    List(Vec<(VersionRef, Option<u64>)>),
}

impl Step for Done {
    type State = Versions;

    fn changes_nothing(&self) -> bool {
        matches!(
            self,
            Done::Put(_, _, None)
                | Done::Delete(_, None)
                | Done::Remove(_, None)
                | Done::Hold(_, _, false)
                | Done::Read(_)
                | Done::ReadVersion(..)
                | Done::List(_)
        )
    }

    fn apply(&self, versions: &Versions) -> Option<Versions> {
        let same = |holds: bool| holds.then(|| versions.clone());
        let position = |name: &VersionRef| versions.all.iter().position(|(n, ..)| n == name);
        match self {
            Done::Put(value, wants, Some(name)) => {
                wants.holds(versions).then(|| versions.push(*name, Some(*value)))?
            }
            Done::Delete(wants, Some(name)) => {
                wants.holds(versions).then(|| versions.push(*name, None))?
            }
            Done::Put(_, wants, None) | Done::Delete(wants, None) => same(!wants.holds(versions)),
            Done::Remove(name, was_marker) => match (position(name), was_marker) {
                (None, Some(false)) => Some(versions.clone()),
                (Some(at), Some(was_marker)) => {
                    let (_, value, held) = versions.all[at];
                    let mut new = versions.clone();
                    new.all.remove(at);
                    (!held && value.is_none() == *was_marker).then_some(new)
                }
                (Some(at), None) => same(versions.all[at].2),
                (None, None | Some(true)) => None,
            },
            Done::Hold(name, on, done) => {
                let at = position(name).filter(|at| versions.all[*at].1.is_some());
                let Some(at) = at.filter(|_| *done) else { return same(at.is_none() && !done) };
                let mut new = versions.clone();
                new.all[at].2 = *on;
                Some(new)
            }
            Done::Set(versioning) => {
                Some(Versions { versioning: *versioning as u32, all: versions.all.clone() })
            }
            Done::Read(seen) => same(*seen == versions.current()),
            Done::ReadVersion(name, seen) => {
                same(*seen == position(name).and_then(|at| versions.all[at].1))
            }
            Done::List(seen) => {
                let all = versions.all.iter().map(|(name, value, _)| (*name, *value));
                same(all.eq(seen.iter().copied()))
            }
        }
    }
}

#[derive(Default)]
struct Recorder {
    ticks: AtomicU64,
    values: AtomicU64,
    etags: Mutex<HashMap<String, u64>>,
    events: Mutex<HashMap<&'static str, Vec<Event<Done>>>>,
    /// Names that somebody has seen.
    names: Mutex<HashMap<&'static str, Vec<VersionRef>>>,
}

impl Recorder {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn record(&self, key: &'static str, called: u64, operation: Done) {
        let event = Event { called, returned: Some(self.tick()), operation };
        self.events.lock().entry(key).or_default().push(event);
    }

    fn value_of(&self, etag: &str) -> u64 {
        self.etags.lock()[etag]
    }

    fn made(&self, key: &'static str, name: Option<VersionRef>) {
        let mut names = self.names.lock();
        let names = names.entry(key).or_default();
        names.extend(name);
        names.dedup();
        let behind = names.len().saturating_sub(2 * VERSIONS);
        names.drain(..behind);
    }

    fn some_name(&self, key: &str, random: &mut Random) -> VersionRef {
        match self.names.lock().get(key) {
            Some(names) if random.below(5) > 0 && !names.is_empty() => *random.pick(names),
            _ => VersionRef::Null,
        }
    }
}

struct Client<'a> {
    world: &'a World,
    bucket: &'a Bucket,
    recorder: &'a Recorder,
    random: Random,
    /// What this client saw last, for its conditions.
    seen: HashMap<&'static str, (u64, String)>,
    locking: bool,
    /// Where a list is one scan of rows that the engine reads at one instant.
    whole_lists: bool,
}

impl Client<'_> {
    async fn run(mut self, operations: usize) {
        for _ in 0..operations {
            let at = *self.random.pick(&KEYS);
            match self.random.below(if self.locking { 22 } else { 20 }) {
                0..=4 => self.put(at).await,
                5 | 6 => self.delete(at).await,
                7..=12 => self.remove(at).await,
                13..=15 => self.read(at).await,
                16 | 17 => self.read_version(at).await,
                18 => self.list(at).await,
                19 if !self.locking => self.set_versioning().await,
                _ => self.hold(at).await,
            }
        }
    }

    fn condition(&mut self, at: &str) -> (Wants, WriteConditions) {
        match (self.random.below(3), self.seen.get(at)) {
            (0, _) => {
                let if_none_match = Some(EtagCondition::Any);
                (Wants::Nothing, WriteConditions { if_none_match, ..Default::default() })
            }
            (1, Some((value, etag))) => {
                let if_match = Some(EtagCondition::parse(etag));
                (Wants::Value(*value), WriteConditions { if_match, ..Default::default() })
            }
            _ => (Wants::Anything, WriteConditions::default()),
        }
    }

    async fn put(&mut self, at: &'static str) {
        let value = self.recorder.values.fetch_add(1, Ordering::SeqCst) + 1;
        let data = body(value, if self.random.below(8) == 0 { LARGE } else { SMALL });
        let mut digester = Digester::new([]);
        digester.update(&data);
        self.recorder.etags.lock().insert(hex::encode(digester.finish().md5), value);
        let (wants, conditions) = self.condition(at);
        let called = self.recorder.tick();
        let taken = match self.world.put_if(self.bucket, at, data, conditions).await {
            Ok(put) => {
                self.recorder.made(at, put.version);
                self.seen.insert(at, (value, put.etag));
                Some(put.version)
            }
            Err(Error::PreconditionFailed { .. } | Error::NoSuchKey) => None,
            Err(error) => panic!("{error}"),
        };
        self.recorder.record(at, called, Done::Put(value, wants, taken));
    }

    async fn delete(&mut self, at: &'static str) {
        let (mut wants, mut conditions) = self.condition(at);
        if let Wants::Nothing = wants {
            (wants, conditions) = (Wants::Anything, WriteConditions::default());
        }
        let request = DeleteRequest { conditions, ..delete_request(at) };
        let called = self.recorder.tick();
        let taken = match self.world.store.delete_object(self.bucket, &request).await {
            Ok(deleted) => {
                self.recorder.made(at, deleted.version);
                Some(deleted.version)
            }
            Err(Error::PreconditionFailed { .. } | Error::NoSuchKey) => None,
            Err(error) => panic!("{error}"),
        };
        self.recorder.record(at, called, Done::Delete(wants, taken));
    }

    async fn remove(&mut self, at: &'static str) {
        let name = self.recorder.some_name(at, &mut self.random);
        let called = self.recorder.tick();
        let removed = match self.world.delete_version(self.bucket, at, name).await {
            Ok(DeleteOutcome { delete_marker, .. }) => Some(delete_marker),
            Err(Error::Locked) => None,
            Err(error) => panic!("{error}"),
        };
        self.recorder.record(at, called, Done::Remove(name, removed));
    }

    async fn read(&mut self, at: &'static str) {
        let called = self.recorder.tick();
        let seen = match self.world.get_part(self.bucket, at, Default::default()).await {
            Ok((info, data)) => {
                let value = self.recorder.value_of(&info.etag);
                assert_eq!(data, body(value, data.len()));
                self.seen.insert(at, (value, info.etag));
                Some(value)
            }
            Err(Error::NoSuchKey | Error::CurrentIsMarker { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        self.recorder.record(at, called, Done::Read(seen));
    }

    async fn read_version(&mut self, at: &'static str) {
        let name = self.recorder.some_name(at, &mut self.random);
        let called = self.recorder.tick();
        let info = self.world.store.stat_object(self.bucket, &key(at), Some(name)).await;
        let seen = match info {
            Ok(info) => Some(self.recorder.value_of(&info.etag)),
            Err(
                Error::NoSuchKey
                | Error::NoSuchVersion
                | Error::CurrentIsMarker { .. }
                | Error::VersionIsMarker { .. },
            ) => None,
            Err(error) => panic!("{error}"),
        };
        self.recorder.record(at, called, Done::ReadVersion(name, seen));
    }

    async fn list(&mut self, at: &'static str) {
        let request = ListVersions { prefix: at.into(), max: 1000, ..Default::default() };
        let called = self.recorder.tick();
        let page = self.world.store.list_versions(self.bucket, &request).await.unwrap();
        let seen: Vec<_> = page
            .entries
            .iter()
            .map(|(_, entry)| {
                let value =
                    (!entry.delete_marker).then(|| self.recorder.value_of(&entry.object.etag));
                (entry.version.unwrap_or(VersionRef::Null), value)
            })
            .collect();
        match self.whole_lists {
            true => self.recorder.record(at, called, Done::List(seen.clone())),
            // Each version was there once during the call.
            false => {
                for (name, value) in &seen {
                    self.recorder.record(at, called, Done::ReadVersion(*name, *value));
                }
            }
        }
        // What is too much is removed, so that the search stays short.
        for (name, _) in seen.into_iter().skip(VERSIONS) {
            let called = self.recorder.tick();
            match self.world.delete_version(self.bucket, at, name).await {
                Ok(gone) => {
                    self.recorder.record(at, called, Done::Remove(name, Some(gone.delete_marker)));
                }
                Err(Error::Locked) => self.recorder.record(at, called, Done::Remove(name, None)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A step of every key.
    async fn set_versioning(&mut self) {
        let versioning = *self.random.pick(&[Versioning::Enabled, Versioning::Suspended]);
        let called = self.recorder.tick();
        self.world.store.set_versioning(self.bucket, versioning).await.unwrap();
        for at in KEYS {
            self.recorder.record(at, called, Done::Set(versioning));
        }
    }

    async fn hold(&mut self, at: &'static str) {
        let name = self.recorder.some_name(at, &mut self.random);
        let on = self.random.below(2) == 0;
        let called = self.recorder.tick();
        let held = self.world.store.set_legal_hold(self.bucket, &key(at), Some(name), on).await;
        let done = match held {
            Ok(_) => true,
            Err(Error::NoSuchVersion | Error::VersionIsMarker { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        self.recorder.record(at, called, Done::Hold(name, on, done));
    }
}

/// In a bucket that was born with object lock, or in one that never had versions.
async fn histories(world: &World, bucket: Arc<Bucket>, locking: bool, whole_lists: bool) {
    let operations = 200;
    let seed = seed("histories");
    let recorder = Recorder::default();
    if locking {
        for at in KEYS {
            recorder.record(at, recorder.tick(), Done::Set(Versioning::Enabled));
        }
    }
    let clients = (0..CLIENTS).map(|number| {
        let random = Random::new(seed.wrapping_add(number * 7919));
        let seen = HashMap::new();
        let (bucket, recorder) = (&*bucket, &recorder);
        Client { world, bucket, recorder, random, seen, locking, whole_lists }.run(operations)
    });
    let collecting = async {
        for _ in 0..30 {
            world.collector.sweep().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    futures_util::future::join(futures_util::future::join_all(clients), collecting).await;
    let events = std::mem::take(&mut *recorder.events.lock());
    assert!(events.values().map(Vec::len).sum::<usize>() > operations * 3);
    for (key, history) in events {
        check(&history).unwrap_or_else(|problem| panic!("key {key}: {problem}"));
    }
}

async fn versions_are_linearizable(world: &World) {
    for round in 0..3 {
        let bucket = world.bucket(&format!("histories-{round}")).await;
        histories(world, bucket, false, false).await;
    }
}

async fn held_versions_are_linearizable(world: &World) {
    held_versions(world, true).await;
}

async fn held_versions(world: &World, whole_lists: bool) {
    let name = BucketName::new("histories").unwrap();
    let initial = InitialSettings { object_lock: true, ..Default::default() };
    let bucket = world.store.create_bucket_with(name, OWNER, None, initial).await.unwrap();
    histories(world, bucket, true, whole_lists).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_torn_reads() {
    let manner = Manner { torn: true, lingering: false };
    let world = World::over(Faulty::with(World::memory().engine, manner));
    versions_are_linearizable(&world).await;
    held_versions(&world, false).await;
    world.settle().await;
}

#[test]
fn a_bad_history_is_refused() {
    let event = |called, operation| Event { called, returned: Some(called + 1), operation };
    let put = |called, value, name| event(called, Done::Put(value, Wants::Anything, Some(name)));
    let null = Some(VersionRef::Null);
    let enabled = event(0, Done::Set(Versioning::Enabled));
    let suspended = event(0, Done::Set(Versioning::Suspended));
    let held = event(10, Done::Hold(VersionRef::Null, true, true));
    let removed = event(20, Done::Remove(VersionRef::Null, Some(false)));
    let read = |called, value| event(called, Done::ReadVersion(VersionRef::Null, value));
    assert_eq!(check(&[suspended.clone(), put(2, 1, null), held.clone()]), Ok(()));
    for bad in [
        // A version without a name once versions are kept, and the reverse.
        vec![enabled.clone(), put(2, 1, None)],
        vec![put(2, 1, null)],
        // What is held is gone.
        vec![suspended.clone(), put(2, 1, null), held, removed],
        // The null version from before was lost, or not replaced.
        vec![put(2, 1, None), event(4, Done::Set(Versioning::Enabled)), read(6, None)],
        vec![suspended, put(2, 1, null), put(4, 2, null), read(6, Some(1))],
    ] {
        assert!(check(&bad).is_err(), "{bad:?}");
    }
}
