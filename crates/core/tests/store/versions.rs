//! Buckets that keep versions: what each write does to the versions of its key,
//! checked step by step and by many clients at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::list::ListObjects;
use costrel_core::object::{CopyRequest, CopySource, DeleteOutcome, DeleteRequest, GetRequest};
use costrel_core::precondition::{EtagCondition, WriteConditions};
use costrel_core::record::{Metadata, Pair};
use costrel_core::tags::Tags;
use costrel_core::version::{ListVersions, VersionId, VersionRef, Versioning};

use crate::common::random::Random;
use crate::common::{LARGE, SMALL, World, body, delete_request, get_request, key};

crate::on_every_engine!(
    versions_pile_up,
    suspension_replaces_only_the_null_version,
    an_old_version_comes_back,
    objects_from_before_are_versions_too,
    conditions_look_at_the_current_version,
    copies_are_versions,
    tags_stay_with_their_version,
    appends_are_refused,
    lists_go_through_all_versions,
    a_bucket_with_versions_is_not_empty,
    versions_of_many_clients,
    settings_change_under_load,
);

const ANY: &[usize] = &[SMALL, LARGE, 0];

async fn ids(world: &World, bucket: &Bucket, at: &str) -> Vec<(Option<VersionRef>, bool, bool)> {
    let all = world.versions(bucket, 2).await;
    let of_key = all.into_iter().filter(|(key, _)| key == at);
    of_key.map(|(_, entry)| (entry.version, entry.is_latest, entry.delete_marker)).collect()
}

async fn put(world: &World, bucket: &Bucket, at: &str, seed: u64, len: usize) -> VersionRef {
    let put = world.put(bucket, at, body(seed, len)).await.expect("the put works");
    put.version.expect("a version was made")
}

async fn versions_pile_up(world: &World) {
    let bucket = world.versioned("pile", Versioning::Enabled).await;
    for len in ANY {
        let at = format!("k{len}");
        let one = put(world, &bucket, &at, 1, *len).await;
        let two = put(world, &bucket, &at, 2, *len).await;
        assert_ne!(one, two);
        let marked = world.delete(&bucket, &at).await.unwrap();
        assert!(marked.delete_marker);
        let marker = marked.version.unwrap();
        let gone = world.get(&bucket, &at).await;
        assert!(matches!(gone, Err(Error::CurrentIsMarker { version }) if version == marker));
        let of_marker = world.get_version(&bucket, &at, marker).await;
        assert!(matches!(of_marker, Err(Error::VersionIsMarker { .. })), "{of_marker:?}");
        assert_eq!(world.get_version(&bucket, &at, one).await.unwrap(), body(1, *len));
        assert_eq!(world.get_version(&bucket, &at, two).await.unwrap(), body(2, *len));
        let second = world.delete(&bucket, &at).await.unwrap().version.unwrap();
        let listed = ids(world, &bucket, &at).await;
        let want = [
            (Some(second), true, true),
            (Some(marker), false, true),
            (Some(two), false, false),
            (Some(one), false, false),
        ];
        assert_eq!(listed, want);
        let three = put(world, &bucket, &at, 3, *len).await;
        let missing = world.get_version(&bucket, &at, VersionRef::Null).await;
        assert!(matches!(missing, Err(Error::NoSuchVersion)), "{missing:?}");
        // The ids of one key name nothing in another.
        let elsewhere = world.get_version(&bucket, "other", three).await;
        assert!(matches!(elsewhere, Err(Error::NoSuchVersion)));
        for version in [two, marker, three, second, one] {
            let gone = world.delete_version(&bucket, &at, version).await.unwrap();
            let delete_marker = version == marker || version == second;
            assert_eq!(gone, DeleteOutcome { version: Some(version), delete_marker });
            let again = world.delete_version(&bucket, &at, version).await.unwrap();
            assert_eq!(again, DeleteOutcome { version: Some(version), delete_marker: false });
        }
        assert!(ids(world, &bucket, &at).await.is_empty());
    }
    let report = world.settle().await;
    assert_eq!((report.objects, report.versions, report.blobs), (0, 0, 0));
}

async fn suspension_replaces_only_the_null_version(world: &World) {
    let bucket = world.versioned("suspended", Versioning::Enabled).await;
    for len in ANY {
        let at = format!("k{len}");
        world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
        let one = put(world, &bucket, &at, 1, *len).await;
        world.store.set_versioning(&bucket, Versioning::Suspended).await.unwrap();
        assert_eq!(put(world, &bucket, &at, 2, *len).await, VersionRef::Null);
        assert_eq!(put(world, &bucket, &at, 3, *len).await, VersionRef::Null);
        let null = Some(VersionRef::Null);
        let both = [(null, true, false), (Some(one), false, false)];
        assert_eq!(ids(world, &bucket, &at).await, both);
        assert_eq!(world.get(&bucket, &at).await.unwrap(), body(3, *len));
        world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
        let four = put(world, &bucket, &at, 4, *len).await;
        assert_eq!(world.get_version(&bucket, &at, VersionRef::Null).await.unwrap(), body(3, *len));
        // A null version below others makes room for the new one on top.
        world.store.set_versioning(&bucket, Versioning::Suspended).await.unwrap();
        let marked = world.delete(&bucket, &at).await.unwrap();
        assert_eq!(marked, DeleteOutcome { version: null, delete_marker: true });
        let want = [(null, true, true), (Some(four), false, false), (Some(one), false, false)];
        assert_eq!(ids(world, &bucket, &at).await, want);
        let gone = world.get_version(&bucket, &at, VersionRef::Null).await;
        assert!(matches!(gone, Err(Error::VersionIsMarker { version: VersionRef::Null, .. })));
        put(world, &bucket, &at, 5, *len).await;
        let want = [(null, true, false), (Some(four), false, false), (Some(one), false, false)];
        assert_eq!(ids(world, &bucket, &at).await, want);
        world.delete_version(&bucket, &at, VersionRef::Null).await.unwrap();
        assert_eq!(world.get(&bucket, &at).await.unwrap(), body(4, *len));
        let now = world.settle().await;
        assert_eq!(now.versions % 2, 0);
    }
}

async fn an_old_version_comes_back(world: &World) {
    let bucket = world.versioned("back", Versioning::Enabled).await;
    for len in ANY {
        let at = format!("k{len}");
        let one = put(world, &bucket, &at, 1, *len).await;
        let marker = world.delete(&bucket, &at).await.unwrap().version.unwrap();
        let two = put(world, &bucket, &at, 2, *len).await;
        let last = world.delete(&bucket, &at).await.unwrap().version.unwrap();
        // Removing a marker uncovers what it hid, an object or another marker.
        world.delete_version(&bucket, &at, last).await.unwrap();
        assert_eq!(world.get(&bucket, &at).await.unwrap(), body(2, *len));
        world.delete_version(&bucket, &at, two).await.unwrap();
        let gone = world.get(&bucket, &at).await;
        assert!(matches!(gone, Err(Error::CurrentIsMarker { version }) if version == marker));
        world.delete_version(&bucket, &at, marker).await.unwrap();
        assert_eq!(world.get(&bucket, &at).await.unwrap(), body(1, *len));
        assert_eq!(ids(world, &bucket, &at).await, [(Some(one), true, false)]);
        world.settle().await;
    }
}

async fn objects_from_before_are_versions_too(world: &World) {
    let bucket = world.bucket("before").await;
    for (number, len) in ANY.iter().enumerate() {
        world.put(&bucket, &format!("k{number}"), body(1, *len)).await.unwrap();
    }
    let upload = world.initiate(&bucket, "parts").await.unwrap();
    let part = world.part(&bucket, "parts", upload, 1, body(1, LARGE)).await.unwrap();
    world.complete(&bucket, "parts", upload, vec![part]).await.unwrap();
    let keys = ["k0", "k1", "k2", "parts"];
    let null = Some(VersionRef::Null);
    assert_eq!(ids(world, &bucket, "k0").await, [(None, true, false)]);
    for state in [Versioning::Suspended, Versioning::Enabled] {
        world.store.set_versioning(&bucket, state).await.unwrap();
        for at in keys {
            assert_eq!(ids(world, &bucket, at).await, [(null, true, false)]);
        }
    }
    for at in keys {
        let old = world.get(&bucket, at).await.unwrap();
        assert_eq!(world.get_version(&bucket, at, VersionRef::Null).await.unwrap(), old);
        let new = put(world, &bucket, at, 2, SMALL).await;
        assert_eq!(world.get_version(&bucket, at, VersionRef::Null).await.unwrap(), old);
        let both = [(Some(new), true, false), (null, false, false)];
        assert_eq!(ids(world, &bucket, at).await, both);
        world.settle().await;
        // It is the current one again, and is covered again.
        world.delete_version(&bucket, at, new).await.unwrap();
        assert_eq!(world.get(&bucket, at).await.unwrap(), old);
        assert_eq!(ids(world, &bucket, at).await, [(null, true, false)]);
        world.settle().await;
        let marker = world.delete(&bucket, at).await.unwrap().version;
        assert_eq!(ids(world, &bucket, at).await, [(marker, true, true), (null, false, false)]);
        world.store.set_versioning(&bucket, Versioning::Suspended).await.unwrap();
        assert_eq!(put(world, &bucket, at, 3, LARGE).await, VersionRef::Null);
        assert_eq!(ids(world, &bucket, at).await, [(null, true, false), (marker, false, true)]);
        world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
        world.delete_version(&bucket, at, VersionRef::Null).await.unwrap();
        world.delete_version(&bucket, at, marker.unwrap()).await.unwrap();
        assert!(ids(world, &bucket, at).await.is_empty());
    }
    let report = world.settle().await;
    assert_eq!((report.objects, report.versions, report.parts, report.blobs), (0, 0, 0, 0));
}

async fn conditions_look_at_the_current_version(world: &World) {
    let bucket = world.versioned("conditions", Versioning::Enabled).await;
    let absent =
        || WriteConditions { if_none_match: Some(EtagCondition::Any), ..Default::default() };
    let matching = |etag: &str| WriteConditions {
        if_match: Some(EtagCondition::parse(etag)),
        ..Default::default()
    };
    let one = world.put_if(&bucket, "k", body(1, SMALL), absent()).await.unwrap();
    let refused = world.put_if(&bucket, "k", body(2, SMALL), absent()).await;
    assert!(matches!(refused, Err(Error::PreconditionFailed { .. })));
    let two = world.put_if(&bucket, "k", body(2, SMALL), matching(&one.etag)).await.unwrap();
    let refused = world.put_if(&bucket, "k", body(3, SMALL), matching(&one.etag)).await;
    assert!(matches!(refused, Err(Error::PreconditionFailed { .. })));
    let delete = |conditions, version| DeleteRequest { conditions, version, ..delete_request("k") };
    let refused = world.store.delete_object(&bucket, &delete(matching(&one.etag), None)).await;
    assert!(matches!(refused, Err(Error::PreconditionFailed { .. })));
    // A condition on the removal of a version looks at that one.
    let refused = delete(matching(&two.etag), one.version);
    let refused = world.store.delete_object(&bucket, &refused).await;
    assert!(matches!(refused, Err(Error::PreconditionFailed { .. })));
    let removed = delete(matching(&one.etag), one.version);
    world.store.delete_object(&bucket, &removed).await.unwrap();
    world.store.delete_object(&bucket, &delete(matching(&two.etag), None)).await.unwrap();
    // A delete marker is no object.
    let refused = world.put_if(&bucket, "k", body(3, SMALL), matching(&two.etag)).await;
    assert!(matches!(refused, Err(Error::NoSuchKey)));
    world.put_if(&bucket, "k", body(3, SMALL), absent()).await.unwrap();
}

async fn copies_are_versions(world: &World) {
    let bucket = world.versioned("copies", Versioning::Enabled).await;
    for len in ANY {
        let at = format!("k{len}");
        let one = put(world, &bucket, &at, 1, *len).await;
        let two = put(world, &bucket, &at, 2, *len).await;
        let copy = |version, metadata| CopyRequest {
            source: CopySource {
                bucket: world_bucket(&bucket),
                key: key(&at),
                version,
                range: None,
                conditions: Default::default(),
                links: Default::default(),
            },
            key: key(&at),
            metadata,
            website_redirect: String::new(),
            storage_class: None,
            tags: None,
            lock: Default::default(),
            acl: Default::default(),
            checksum: None,
            conditions: Default::default(),
        };
        let idle = world.store.copy_object(&bucket, copy(None, None)).await;
        assert!(matches!(idle, Err(Error::CopyOntoItself)));
        // An older version over the newer one.
        let back = world.store.copy_object(&bucket, copy(Some(one), None)).await.unwrap();
        assert_eq!(back.source_version, Some(one));
        assert_eq!(world.get(&bucket, &at).await.unwrap(), body(1, *len));
        let changed = copy(None, Some(Metadata::default()));
        let changed = world.store.copy_object(&bucket, changed).await.unwrap();
        assert_eq!(changed.source_version, back.version);
        let all: Vec<_> = ids(world, &bucket, &at).await.into_iter().map(|(v, ..)| v).collect();
        assert_eq!(all, [changed.version, back.version, Some(two), Some(one)]);
        let marker = world.delete(&bucket, &at).await.unwrap().version;
        let of_marker = world.store.copy_object(&bucket, copy(marker, None)).await;
        assert!(matches!(of_marker, Err(Error::SourceIsMarker)));
        let changed = world.store.copy_object(&bucket, copy(None, Some(Metadata::default()))).await;
        assert!(matches!(changed, Err(Error::NoSuchKey)));
        world.settle().await;
    }
}

async fn tags_stay_with_their_version(world: &World) {
    let tags = |value: &str| {
        Tags::of_object(vec![Pair { name: "k".into(), value: value.into() }]).unwrap()
    };
    let bucket = world.bucket("tags").await;
    let store = &world.store;
    let at = key("k");
    let missing = store.set_object_tags(&bucket, &at, None, &tags("0")).await;
    assert!(matches!(missing, Err(Error::NoSuchKey)));
    let old = world.put(&bucket, "k", body(1, SMALL)).await.unwrap();
    assert_eq!(store.set_object_tags(&bucket, &at, None, &tags("old")).await.unwrap(), None);
    let seen = world.head(&bucket, "k").await.unwrap();
    assert_eq!((seen.tags(), seen.record.modified_ms), (tags("old"), old.modified_ms));
    store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    let one = put(world, &bucket, "k", 2, LARGE).await;
    let two = put(world, &bucket, "k", 3, SMALL).await;
    let of = async |version| {
        let request = GetRequest { version, ..get_request("k") };
        store.head_object(&bucket, &request).await.unwrap().0.tags()
    };
    for (version, value) in [(Some(VersionRef::Null), "null"), (Some(one), "one"), (None, "two")] {
        let named = store.set_object_tags(&bucket, &at, version, &tags(value)).await.unwrap();
        assert_eq!(named, version.or(Some(two)));
        world.settle().await;
    }
    for (version, value) in [(VersionRef::Null, "null"), (one, "one"), (two, "two")] {
        assert_eq!(of(Some(version)).await, tags(value));
    }
    store.set_object_tags(&bucket, &at, Some(two), &tags("again")).await.unwrap();
    assert_eq!(of(None).await, tags("again"));
    // Uncovered again, they have what was said of them.
    world.delete_version(&bucket, "k", two).await.unwrap();
    assert_eq!(of(None).await, tags("one"));
    world.delete_version(&bucket, "k", one).await.unwrap();
    assert_eq!(of(None).await, tags("null"));
    store.set_object_tags(&bucket, &at, None, &tags("new")).await.unwrap();
    assert_eq!(of(Some(VersionRef::Null)).await, tags("new"));
    world.settle().await;
    let marker = world.delete(&bucket, "k").await.unwrap().version;
    let of_marker = store.set_object_tags(&bucket, &at, marker, &tags("x")).await;
    assert!(matches!(of_marker, Err(Error::VersionIsMarker { .. })));
    let of_marker = store.set_object_tags(&bucket, &at, None, &tags("x")).await;
    assert!(matches!(of_marker, Err(Error::CurrentIsMarker { .. })));
    let gone = store.set_object_tags(&bucket, &at, Some(one), &tags("x")).await;
    assert!(matches!(gone, Err(Error::NoSuchVersion)));
}

fn world_bucket(bucket: &Bucket) -> std::sync::Arc<Bucket> {
    std::sync::Arc::new(bucket.clone())
}

async fn appends_are_refused(world: &World) {
    let bucket = world.bucket("appends").await;
    world.append(&bucket, "k", 0, body(1, SMALL)).await.unwrap();
    for state in [Versioning::Enabled, Versioning::Suspended] {
        world.store.set_versioning(&bucket, state).await.unwrap();
        let refused = world.append(&bucket, "k", SMALL as u64, body(1, SMALL)).await;
        assert!(matches!(refused, Err(Error::AppendToVersions)));
    }
    assert_eq!(world.get(&bucket, "k").await.unwrap(), body(1, SMALL));
    put(world, &bucket, "k", 2, SMALL).await;
}

async fn lists_go_through_all_versions(world: &World) {
    let bucket = world.bucket("lists").await;
    for at in ["a/1", "a/2", "b", "c/1", "e"] {
        world.put(&bucket, at, body(1, SMALL)).await.unwrap();
    }
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    for at in ["a/2", "b", "b", "d/1", "e", "f"] {
        put(world, &bucket, at, 2, SMALL).await;
    }
    for at in ["b", "c/1", "x"] {
        world.delete(&bucket, at).await.unwrap();
    }
    let whole = world.versions(&bucket, 1000).await;
    let keys: Vec<&str> = whole.iter().map(|(key, _)| key.as_str()).collect();
    let want = ["a/1", "a/2", "a/2", "b", "b", "b", "b", "c/1", "c/1", "d/1", "e", "e", "f", "x"];
    assert_eq!(keys, want);
    let latest = whole.iter().filter(|(_, entry)| entry.is_latest).count();
    assert_eq!(latest, want.iter().collect::<HashSet<_>>().len());
    let names = |all: &[(String, costrel_core::version::VersionEntry)]| -> Vec<_> {
        all.iter().map(|(k, e)| (k.clone(), e.version, e.is_latest, e.delete_marker)).collect()
    };
    for page in 1..=whole.len() {
        assert_eq!(names(&world.versions(&bucket, page).await), names(&whole), "{page}");
    }
    let list = async |prefix: &str, delimiter: &str, key_marker: &str, max| {
        let request = ListVersions {
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            key_marker: key_marker.into(),
            version_marker: None,
            max,
        };
        let page = world.store.list_versions(&bucket, &request).await.unwrap();
        let keys: Vec<String> = page.entries.into_iter().map(|(key, _)| key).collect();
        (keys.join(" "), page.common_prefixes.join(" "), page.truncated)
    };
    let all = list("", "/", "", 1000).await;
    assert_eq!(all, ("b b b b e e f x".into(), "a/ c/ d/".into(), false));
    assert_eq!(list("", "/", "", 2).await, ("b".into(), "a/".into(), true));
    assert_eq!(list("", "/", "a/", 1000).await, ("b b b b e e f x".into(), "c/ d/".into(), false));
    assert_eq!(list("", "", "b", 2).await, ("c/1 c/1".into(), String::new(), true));
    assert_eq!(list("c", "", "", 1000).await, ("c/1 c/1".into(), String::new(), false));
    assert_eq!(list("a/", "/", "", 1000).await, ("a/1 a/2 a/2".into(), String::new(), false));
    assert_eq!(list("", "", "", 0).await, (String::new(), String::new(), false));
    // Current objects are listed as if there were nothing else.
    let request = ListObjects { max: 1000, ..Default::default() };
    let page = world.store.list_objects(&bucket, &request).await.unwrap();
    let keys: Vec<&str> = page.entries.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a/1", "a/2", "d/1", "e", "f"]);
}

async fn a_bucket_with_versions_is_not_empty(world: &World) {
    let bucket = world.versioned("full", Versioning::Enabled).await;
    let one = put(world, &bucket, "k", 1, LARGE).await;
    let marker = world.delete(&bucket, "k").await.unwrap().version.unwrap();
    let refused = world.store.delete_bucket(&bucket).await;
    assert!(matches!(refused, Err(Error::BucketNotEmpty)));
    world.delete_version(&bucket, "k", one).await.unwrap();
    // A marker alone keeps it.
    let refused = world.store.delete_bucket(&bucket).await;
    assert!(matches!(refused, Err(Error::BucketNotEmpty)));
    world.delete_version(&bucket, "k", marker).await.unwrap();
    world.store.delete_bucket(&bucket).await.unwrap();
    let refused = world.store.set_versioning(&bucket, Versioning::Enabled).await;
    assert!(matches!(refused, Err(Error::NoSuchBucket)));
    // A bucket of the same name begins anew.
    let bucket = world.bucket("full").await;
    assert_eq!(bucket.versioning(), Versioning::Never);
}

/// Each client's versions stay whatever the others do, and the list has them in
/// the order in which they came to be.
async fn versions_of_many_clients(world: &World) {
    let bucket = world.versioned("clients", Versioning::Enabled).await;
    let clients = (0..6u64).map(|client| {
        let bucket = &bucket;
        async move {
            let mut random = Random::new(client);
            let mut mine: Vec<(VersionRef, Bytes)> = Vec::new();
            for step in 0..60 {
                match random.below(6) {
                    0..=2 => {
                        let data = body(client * 1000 + step, *random.pick(ANY));
                        let put = world.put(bucket, "k", data.clone()).await.unwrap();
                        mine.push((put.version.unwrap(), data));
                    }
                    3 => {
                        let marker = world.delete(bucket, "k").await.unwrap().version.unwrap();
                        world.delete_version(bucket, "k", marker).await.unwrap();
                    }
                    4 if !mine.is_empty() => {
                        let (version, _) = mine.swap_remove(random.below(mine.len()));
                        world.delete_version(bucket, "k", version).await.unwrap();
                    }
                    _ => {
                        for (version, data) in &mine {
                            let seen = world.get_version(bucket, "k", *version).await.unwrap();
                            assert_eq!(seen, data);
                        }
                        let listed = world.versions(bucket, 50).await;
                        for (version, _) in &mine {
                            assert!(listed.iter().any(|(_, e)| e.version == Some(*version)));
                        }
                    }
                }
            }
            mine
        }
    });
    let mine = futures_util::future::join_all(clients).await;
    let listed = world.versions(&bucket, 7).await;
    assert_eq!(listed.len(), mine.iter().map(Vec::len).sum::<usize>());
    for mine in mine {
        let position = |version: VersionRef| {
            listed.iter().position(|(_, entry)| entry.version == Some(version)).unwrap()
        };
        let ids: Vec<VersionId> = mine
            .iter()
            .map(|(version, _)| match version {
                VersionRef::Id(id) => *id,
                VersionRef::Null => panic!("versioning was never suspended"),
            })
            .collect();
        for (one, other) in ids.iter().zip(ids.iter().skip(1)) {
            let newer = one < other;
            assert_eq!(position(VersionRef::Id(*one)) < position(VersionRef::Id(*other)), newer);
        }
    }
    let report = world.settle().await;
    assert_eq!(report.versions, listed.len() as u64);
}

/// Once enabling is acknowledged, nothing that a key held is lost to a write.
async fn settings_change_under_load(world: &World) {
    for round in 0..8u64 {
        let bucket = world.bucket(&format!("load-{round}")).await;
        let enabled = AtomicBool::new(false);
        let writers = (0..4u64).map(|writer| {
            let (bucket, enabled) = (&bucket, &enabled);
            async move {
                let mut kept = 0;
                for step in 0..20 {
                    let before = enabled.load(Ordering::SeqCst);
                    let data = body(writer * 100 + step, if step % 3 == 0 { LARGE } else { SMALL });
                    let put = world.put(bucket, "k", data).await.unwrap();
                    match put.version {
                        Some(version) => {
                            kept += 1;
                            assert!(world.get_version(bucket, "k", version).await.is_ok());
                        }
                        None => assert!(!before, "a version was lost"),
                    }
                }
                kept
            }
        });
        let switch = async {
            tokio::time::sleep(std::time::Duration::from_millis(round)).await;
            world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
            enabled.store(true, Ordering::SeqCst);
        };
        let (kept, ()) =
            futures_util::future::join(futures_util::future::join_all(writers), switch).await;
        let kept: usize = kept.into_iter().sum();
        let listed = ids(world, &bucket, "k").await;
        let nulls = listed.iter().filter(|(name, ..)| *name == Some(VersionRef::Null)).count();
        assert!(nulls <= 1);
        assert_eq!(listed.len() - nulls, kept);
        world.settle().await;
    }
}
