//! Inventories: a report holds each object once, whatever fails on its way, and comes when
//! it is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::bucket::{Bucket, ListBuckets};
use costrel_core::inventory::{
    Filter, Form, Format, Frequency, Inventory, InventoryFault, InventoryJob,
};
use costrel_core::lifecycle::DAY_MS;
use costrel_core::list::ListObjects;
use costrel_core::names::BucketName;
use costrel_core::record::Pair;
use costrel_core::tags::Tags;
use costrel_core::version::{ListVersions, Versioning};

use crate::common::faulty::{Fault, Faulty, Plan};
use crate::common::{OWNER, SMALL, World, body, put_request};
use crate::interleaved::stopped;

const FILE_ROWS: usize = 2;

fn inventory(id: &str, form: Form) -> Inventory {
    Inventory {
        id: id.into(),
        enabled: true,
        form: form as u32,
        target: "t-1".into(),
        prefix: Some("p".into()),
        frequency: Frequency::Daily as u32,
        fields: vec!["Size".into(), "ETag".into()],
        ..Inventory::default()
    }
}

fn job(world: &World) -> InventoryJob {
    InventoryJob::bounded(world.store.clone(), OWNER, u64::MAX, FILE_ROWS)
}

async fn objects(world: &World, bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    let all = ListObjects { max: 1000, ..ListObjects::default() };
    let mut objects = BTreeMap::new();
    for (key, _) in world.store.list_objects(bucket, &all).await.unwrap().entries {
        let content = world.get(bucket, &key).await.unwrap().to_vec();
        objects.insert(key, content);
    }
    objects
}

fn plain(packed: &[u8]) -> String {
    let mut text = String::new();
    let mut gzip = flate2::read::GzDecoder::new(packed);
    std::io::Read::read_to_string(&mut gzip, &mut text).unwrap();
    text
}

/// The rows of each report, by the names of their manifests. What a manifest names is
/// there, and as it says.
async fn reports(world: &World, target: &Bucket) -> BTreeMap<String, Vec<String>> {
    let objects = objects(world, target).await;
    let mut reports = BTreeMap::new();
    for (name, content) in &objects {
        if !name.ends_with("manifest.json") {
            continue;
        }
        let checksum = name.replace("manifest.json", "manifest.checksum");
        let md5 = |content: &[u8]| {
            use md5::Digest as _;
            hex::encode(md5::Md5::digest(content))
        };
        assert_eq!(objects.get(&checksum), Some(&md5(content).into_bytes()), "{name}");
        let manifest: serde_json::Value = serde_json::from_slice(content).unwrap();
        let mut rows = Vec::new();
        for file in manifest["files"].as_array().unwrap() {
            let content = &objects[file["key"].as_str().unwrap()];
            let (size, sum) = match file.get("md5Checksum") {
                Some(sum) => (file["size"].as_str().unwrap().parse().unwrap(), sum),
                None => (file["size"].as_u64().unwrap(), &file["MD5checksum"]),
            };
            assert_eq!((content.len() as u64, md5(content)), (size, sum.as_str().unwrap().into()));
            let text = plain(content);
            assert!(text.lines().count() <= FILE_ROWS);
            rows.extend(text.lines().map(str::to_owned));
        }
        reports.insert(name.clone(), rows);
    }
    reports
}

/// The target has what its manifests name, and these, and nothing else.
async fn nothing_is_left(world: &World, target: &Bucket) {
    let objects = objects(world, target).await;
    let mut named = BTreeSet::new();
    for (name, content) in &objects {
        if let Some(folder) = name.strip_suffix("manifest.json") {
            let manifest: serde_json::Value = serde_json::from_slice(content).unwrap();
            let files = manifest["files"].as_array().unwrap().iter();
            named.extend(files.map(|file| file["key"].as_str().unwrap().to_owned()));
            named.extend([name.clone(), format!("{folder}manifest.checksum")]);
        }
        if name.ends_with("symlink.txt") {
            named.insert(name.clone());
        }
    }
    assert_eq!(objects.into_keys().collect::<BTreeSet<_>>(), named);
}

/// A bucket with some objects, and one for its reports.
async fn filled(world: &World) -> (Arc<Bucket>, Arc<Bucket>) {
    let (bucket, target) = (world.bucket("b-1").await, world.bucket("t-1").await);
    for key in ["a", "b/1 2", "b/é", "c\"d", "e"] {
        world.put(&bucket, key, body(1, SMALL)).await.unwrap();
    }
    (bucket, target)
}

fn row(bucket: &str, key: &str) -> String {
    let etag = {
        use md5::Digest as _;
        hex::encode(md5::Md5::digest(body(1, SMALL)))
    };
    format!("{bucket},\"{key}\",\"{SMALL}\",\"{etag}\"")
}

const ESCAPED: [&str; 5] = ["a", "b/1%202", "b/%C3%A9", "c%22d", "e"];

#[tokio::test]
async fn reports_name_every_object() {
    for form in [Form::Cos, Form::S3] {
        let world = World::memory();
        let (bucket, target) = filled(&world).await;
        world.store.set_inventory(&bucket, inventory("daily", form)).await.unwrap();
        let job = job(&world);
        job.round().await.unwrap();
        let mut found = reports(&world, &target).await;
        let (name, rows) = found.pop_first().unwrap();
        assert!(found.is_empty());
        let (folder, columns) = match form {
            Form::Cos => ("p/1/b/daily/20231115/", "\"1\",\"b\""),
            Form::S3 => ("p/b-1/daily/2023-11-14T22-13Z/", "\"b-1\""),
        };
        assert_eq!(name, format!("{folder}manifest.json"));
        assert_eq!(rows, ESCAPED.map(|key| row(columns, key)));
        if form == Form::S3 {
            let links = objects(&world, &target).await;
            let links = &links["p/b-1/daily/hive/dt=2023-11-14-22-13/symlink.txt"];
            assert_eq!(String::from_utf8_lossy(links).lines().count(), 3);
        }
        // Nothing is due before midnight.
        job.round().await.unwrap();
        assert_eq!(job.stats().reports.load(Relaxed), 1);
        world.advance(DAY_MS);
        job.round().await.unwrap();
        assert_eq!(job.stats().reports.load(Relaxed), 2);
        assert_eq!(job.stats().rows.load(Relaxed), 10);
        assert_eq!(job.stats().failures.load(Relaxed), 0);
        assert_eq!(reports(&world, &target).await.len(), 2);
        world.settle().await;
    }
}

#[tokio::test]
async fn a_report_may_be_parquet() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;
    let world = World::memory();
    let (bucket, target) = filled(&world).await;
    let fields = ["Size", "IsMultipartUploaded", "ObjectLockMode", "ObjectOwner"];
    let parquet = Inventory {
        format: Format::Parquet as u32,
        all_versions: true,
        fields: fields.map(str::to_owned).into(),
        ..inventory("i", Form::S3)
    };
    world.store.set_inventory(&bucket, parquet).await.unwrap();
    job(&world).round().await.unwrap();
    let objects = objects(&world, &target).await;
    let (_, manifest) = objects.iter().find(|(name, _)| name.ends_with("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    assert_eq!(manifest["fileFormat"], "Parquet");
    let schema = manifest["fileSchema"].as_str().unwrap();
    assert!(schema.contains("optional boolean is_multipart_uploaded;"), "{schema}");
    let mut keys = Vec::new();
    for file in manifest["files"].as_array().unwrap() {
        let name = file["key"].as_str().unwrap();
        assert!(name.ends_with(".parquet"));
        let reader = SerializedFileReader::new(Bytes::from(objects[name].clone())).unwrap();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            keys.push(row.get_string(1).unwrap().clone());
            assert_eq!(row.get_string(0).unwrap(), "b-1");
            assert!(row.get_string(2).is_err(), "no versions");
            assert!(row.get_bool(3).unwrap() && !row.get_bool(4).unwrap());
            assert_eq!(row.get_long(5).unwrap(), SMALL as i64);
            assert!(!row.get_bool(6).unwrap());
            assert!(row.get_string(7).is_err());
            assert_eq!(*row.get_string(8).unwrap(), OWNER.to_string());
        }
    }
    assert_eq!(keys, ["a", "b/1 2", "b/é", "c\"d", "e"]);
}

#[tokio::test]
async fn every_call_of_a_report_may_fail() {
    for fault in [Fault::Before, Fault::After] {
        for forever in [false, true] {
            for at in 0.. {
                let engine = Faulty::new(World::memory().engine);
                let world = World::over(engine.clone());
                let (bucket, target) = filled(&world).await;
                world.store.set_inventory(&bucket, inventory("i", Form::S3)).await.unwrap();
                engine.plan(Some(Plan { at, fault, forever }));
                let _ = job(&world).round().await;
                let ended = engine.calls() <= at;
                engine.plan(None);
                // Another process.
                job(&world).round().await.unwrap();
                let found = reports(&world, &target).await;
                let whole = ESCAPED.map(|key| row("\"b-1\"", key)).to_vec();
                let rows: Vec<_> = found.into_values().collect();
                assert_eq!(rows, [whole], "{fault:?} at {at}, {forever}");
                nothing_is_left(&world, &target).await;
                if ended {
                    assert!(at > 10);
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn two_may_make_a_report_at_once() {
    for times in 0.. {
        let world = World::over(Faulty::new(World::memory().engine));
        let (bucket, target) = filled(&world).await;
        world.store.set_inventory(&bucket, inventory("i", Form::S3)).await.unwrap();
        let (one, other) = (job(&world), job(&world));
        // Who takes over meets another bucket than who was at it before.
        let take_over = async {
            world.delete(&bucket, "a").await.unwrap();
            world.put(&bucket, "b/2", body(1, SMALL)).await.unwrap();
            other.round().await
        };
        let (first, second, waited) = stopped(one.round(), times, take_over).await;
        first.unwrap();
        second.unwrap();
        // Whichever has given way left it to the other.
        job(&world).round().await.unwrap();
        let [rows]: [Vec<String>; 1] =
            reports(&world, &target).await.into_values().collect::<Vec<_>>().try_into().unwrap();
        for key in &ESCAPED[1..] {
            let row = row("\"b-1\"", key);
            assert!(rows.contains(&row), "{key} at {times}");
        }
        let different: BTreeSet<&String> = rows.iter().collect();
        assert_eq!(different.len(), rows.len(), "{rows:?}");
        nothing_is_left(&world, &target).await;
        if !waited {
            break;
        }
    }
}

#[tokio::test]
async fn all_versions_are_told_apart() {
    let world = World::memory();
    let (bucket, target) = (world.bucket("b-1").await, world.bucket("t-1").await);
    world.put(&bucket, "from before", body(1, SMALL)).await.unwrap();
    world.store.set_versioning(&bucket, Versioning::Enabled).await.unwrap();
    let bucket = world.store.bucket("b-1").await.unwrap();
    assert_eq!(bucket.versioning(), Versioning::Enabled);
    for key in ["k", "k", "from before", "z"] {
        world.put(&bucket, key, body(1, SMALL)).await.unwrap();
    }
    world.delete(&bucket, "k").await.unwrap();
    let mut all = inventory("all", Form::S3);
    (all.all_versions, all.fields) = (true, vec!["LastModifiedDate".into(), "Size".into()]);
    world.store.set_inventory(&bucket, all).await.unwrap();
    world.store.set_inventory(&bucket, inventory("current", Form::Cos)).await.unwrap();
    job(&world).round().await.unwrap();
    let mut found: Vec<_> = reports(&world, &target).await.into_values().collect();
    found.sort_by_key(Vec::len);
    let [current, all]: [Vec<String>; 2] = found.try_into().unwrap();
    let keys: Vec<_> = current.iter().map(|row| row.split(',').nth(2).unwrap()).collect();
    assert_eq!(keys, ["\"from%20before\"", "\"z\""]);
    let facts: Vec<_> = all
        .iter()
        .map(|row| {
            let values: Vec<_> = row.split(',').map(|value| value.trim_matches('"')).collect();
            let [_, key, version, latest, marker, modified, size] = values[..] else {
                panic!("{row}")
            };
            assert_eq!(modified.len(), "2023-11-14T22:13:20.000Z".len());
            let id = if version.is_empty() { "" } else { "id" };
            (key, id, latest, marker, size)
        })
        .collect();
    let size = SMALL.to_string();
    let size = size.as_str();
    assert_eq!(
        facts,
        [
            ("from%20before", "id", "true", "false", size),
            ("from%20before", "", "false", "false", size),
            ("k", "id", "true", "true", ""),
            ("k", "id", "false", "false", size),
            ("k", "id", "false", "false", size),
            ("z", "id", "true", "false", size),
        ]
    );
}

#[tokio::test]
async fn filters_say_which_objects() {
    let world = World::memory();
    let (bucket, target) = filled(&world).await;
    let mut tagged = put_request("b/tagged");
    let pair = Pair { name: "k".into(), value: "v".into() };
    tagged.attributes.tags = Tags::of_object(vec![pair]).unwrap();
    tagged.attributes.metadata.user = vec![Pair { name: "colour".into(), value: "red".into() }];
    let mut source = costrel_core::body::BytesSource::new(body(1, SMALL));
    world.store.put_object(&bucket, tagged, &mut source).await.unwrap();
    const NOW_S: u64 = 1_700_000_000;
    let filter = |change: fn(&mut Filter)| {
        let mut filter = Filter { prefix: Some("b/".into()), ..Filter::default() };
        change(&mut filter);
        Some(filter)
    };
    let tags = |filter: &mut Filter| {
        filter.tags = vec![Pair { name: "k".into(), value: "v".into() }];
    };
    for (id, filter, count) in [
        ("prefix", filter(|_| ()), 3),
        ("tags", filter(tags), 1),
        ("class", filter(|filter| filter.class = "ARCHIVE".into()), 0),
        ("standard", filter(|filter| filter.class = "STANDARD".into()), 3),
        ("later", filter(|filter| filter.from_s = Some(NOW_S + 1)), 0),
        ("until", filter(|filter| filter.to_s = Some(NOW_S)), 3),
    ] {
        let mut inventory = inventory(id, Form::Cos);
        let fields = ["Tag", "x-cos-meta-colour", "x-cos-meta-*", "Crc64", "StorageClass"];
        inventory.fields = fields.map(str::to_owned).to_vec();
        inventory.filter = filter;
        world.store.set_inventory(&bucket, inventory).await.unwrap();
        job(&world).round().await.unwrap();
        let found = reports(&world, &target).await;
        let [rows] = found
            .iter()
            .filter(|(name, _)| name.contains(&format!("/{id}/")))
            .map(|(_, rows)| rows)
            .collect::<Vec<_>>()[..]
        else {
            panic!("{id}")
        };
        assert_eq!(rows.len(), count, "{id}");
        if id == "tags" {
            let want = "\"k=v\",\"red\",\"{\"\"colour\"\":\"\"red\"\"}\"";
            assert!(rows[0].contains(want), "{}", rows[0]);
            assert!(rows[0].ends_with(",\"STANDARD\""));
            let manifest = objects(&world, &target).await;
            let manifest = &manifest["p/1/b/tags/20231115/manifest.json"];
            let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
            assert_eq!(manifest["listObjectCount"], "3");
            assert_eq!(manifest["filterObjectCount"], "1");
            assert_eq!(manifest["filterStorageSize"], SMALL.to_string());
        }
    }
}

#[tokio::test]
async fn once_is_once() {
    let world = World::memory();
    let (bucket, target) = filled(&world).await;
    let mut once = inventory("once", Form::Cos);
    once.frequency = Frequency::Once as u32;
    world.store.set_inventory(&bucket, once.clone()).await.unwrap();
    let again = world.store.set_inventory(&bucket, once.clone()).await;
    assert!(matches!(again, Err(Error::InvalidInventory(InventoryFault::Exists))));
    let job = job(&world);
    job.round().await.unwrap();
    assert_eq!(reports(&world, &target).await.len(), 1);
    let bucket = world.store.bucket("b-1").await.unwrap();
    assert_eq!(world.store.inventories(&bucket).await.unwrap().all, []);
    world.advance(DAY_MS);
    job.round().await.unwrap();
    assert_eq!(job.stats().reports.load(Relaxed), 1);
    world.store.set_inventory(&bucket, once).await.unwrap();
    job.round().await.unwrap();
    assert_eq!(job.stats().reports.load(Relaxed), 2);
}

#[tokio::test]
async fn what_fails_does_not_keep_others_waiting() {
    let world = World::memory();
    let (bucket, target) = filled(&world).await;
    let gone = world.bucket("gone-1").await;
    let lost = Inventory { target: "gone-1".into(), ..inventory("a", Form::S3) };
    world.store.set_inventory(&bucket, lost).await.unwrap();
    world.store.set_inventory(&bucket, inventory("b", Form::S3)).await.unwrap();
    world.store.delete_bucket(&gone).await.unwrap();
    let job = job(&world);
    job.round().await.unwrap();
    assert_eq!(job.stats().failures.load(Relaxed), 1);
    assert_eq!(reports(&world, &target).await.len(), 1);
    // Whoever has not seen it fail tries at once.
    let gone = world.bucket("gone-1").await;
    self::job(&world).round().await.unwrap();
    assert_eq!(reports(&world, &gone).await.len(), 1);
}

#[tokio::test]
async fn an_inventory_goes_with_its_bucket() {
    let world = World::memory();
    let (bucket, target) = (world.bucket("b-1").await, world.bucket("t-1").await);
    world.store.set_inventory(&bucket, inventory("i", Form::S3)).await.unwrap();
    job(&world).round().await.unwrap();
    let [(name, rows)] = &reports(&world, &target).await.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one report")
    };
    assert!(rows.is_empty() && name.ends_with("manifest.json"));
    world.store.delete_bucket(&bucket).await.unwrap();
    let bucket = world.bucket("b-1").await;
    assert_eq!(world.store.inventories(&bucket).await.unwrap().all, []);
    world.settle().await;
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_in_force() {
    let world = World::memory();
    let (bucket, _) = filled(&world).await;
    world.store.set_inventory(&bucket, inventory("i", Form::S3)).await.unwrap();
    let foreign = BucketName::new("f-1").unwrap();
    world.store.create_bucket(foreign, 7, None).await.unwrap();
    let elsewhere = BucketName::new("e-1").unwrap();
    world.store.create_bucket(elsewhere, OWNER, Some("ap-beijing")).await.unwrap();
    for target in ["B", "m-1", "f-1", "e-1"] {
        let wrong = Inventory { target: target.into(), ..inventory("i", Form::S3) };
        let outcome = world.store.set_inventory(&bucket, wrong).await;
        assert!(
            matches!(outcome, Err(Error::InvalidInventory(InventoryFault::Target))),
            "{target}"
        );
    }
    for (account, taken) in [("1", true), ("100000000001", true), ("8", false), ("me", false)] {
        let account = Some(account.to_owned());
        let named = Inventory { account, ..inventory("j", Form::S3) };
        assert_eq!(world.store.set_inventory(&bucket, named).await.is_ok(), taken);
    }
    let bucket = world.store.bucket("b-1").await.unwrap();
    let kept = world.store.inventories(&bucket).await.unwrap();
    let kept = kept.get("i").unwrap().clone();
    assert_eq!(Inventory { token: Bytes::new(), ..kept }, inventory("i", Form::S3));
    world.store.delete_inventory(&bucket, "i").await.unwrap();
    let gone = world.store.delete_inventory(&bucket, "i").await;
    assert!(matches!(gone, Err(Error::NoInventory)));
}

/// A report of which some of the files are written, or all.
async fn half_made(versioned: bool, at: u64) -> (World, Arc<Bucket>, Arc<Bucket>, bool) {
    let engine = Faulty::new(World::memory().engine);
    let world = World::over(engine.clone());
    let (bucket, target) = filled(&world).await;
    if versioned {
        world.store.set_versioning(&target, Versioning::Enabled).await.unwrap();
    }
    world.store.set_inventory(&bucket, inventory("i", Form::S3)).await.unwrap();
    engine.plan(Some(Plan { at, fault: Fault::After, forever: true }));
    let _ = job(&world).round().await;
    let ended = engine.calls() <= at;
    engine.plan(None);
    (world, bucket, target, ended)
}

#[tokio::test]
async fn a_report_that_is_given_up_leaves_no_files() {
    for at in 0.. {
        let mut ended = false;
        for end in ["deleted", "replaced", "disabled", "moved", "bucket deleted"] {
            for versioned in [false, true] {
                let (mut world, bucket, target, all) = half_made(versioned, at).await;
                (ended, _) = (all, world.bucket("t-2").await);
                if ended {
                    break;
                }
                let other = inventory("i", Form::S3);
                let store = &world.store;
                match end {
                    "deleted" => store.delete_inventory(&bucket, "i").await.unwrap(),
                    "replaced" => drop(store.set_inventory(&bucket, other).await.unwrap()),
                    "disabled" => {
                        let disabled = Inventory { enabled: false, ..other };
                        store.set_inventory(&bucket, disabled).await.unwrap();
                    }
                    "moved" => {
                        let moved = Inventory { target: "t-2".into(), ..other };
                        store.set_inventory(&bucket, moved).await.unwrap();
                    }
                    _ => {
                        for key in ["a", "b/1 2", "b/é", "c\"d", "e"] {
                            world.delete(&bucket, key).await.unwrap();
                        }
                        world.store.delete_bucket(&bucket).await.unwrap();
                    }
                }
                // Another process, which knows of nothing.
                world.restart();
                job(&world).round().await.unwrap();
                let target = world.store.bucket(target.name.as_str()).await.unwrap();
                nothing_is_left(&world, &target).await;
                let all = ListVersions { max: 1000, ..ListVersions::default() };
                let versions = world.store.list_versions(&target, &all).await.unwrap().entries;
                let files = |name: &str| name.ends_with(".csv.gz");
                let kept = versions.iter().filter(|(name, _)| files(name)).count();
                let named = objects(&world, &target).await;
                assert_eq!(kept, named.keys().filter(|name| files(name)).count(), "{end} at {at}");
                if end == "deleted" {
                    let bucket = world.store.bucket("b-1").await.unwrap();
                    assert!(bucket.settings().inventories.is_empty(), "{end} at {at}");
                }
                world.settle().await;
            }
        }
        if ended {
            assert!(at > 10);
            break;
        }
    }
}

#[tokio::test]
async fn a_manifest_names_no_file_that_is_gone() {
    let mut met = 0;
    for at in 0.. {
        let (world, _, target, ended) = half_made(false, at).await;
        if ended {
            break;
        }
        let found = objects(&world, &target).await;
        let manifests = found.keys().any(|name| name.ends_with("manifest.json"));
        for name in found.keys().filter(|name| name.ends_with(".csv.gz") && !manifests) {
            world.delete(&target, name).await.unwrap();
            met += 1;
        }
        job(&world).round().await.unwrap();
        let found = reports(&world, &target).await;
        let whole = ESCAPED.map(|key| row("\"b-1\"", key)).to_vec();
        assert_eq!(found.into_values().collect::<Vec<_>>(), [whole], "at {at}");
        nothing_is_left(&world, &target).await;
    }
    assert!(met > 3);
}

#[tokio::test(start_paused = true)]
async fn a_large_bucket_does_not_keep_the_others_waiting() {
    let world = World::memory();
    let (target, large) = (world.bucket("t-1").await, world.bucket("a-1").await);
    for number in 0..40 {
        world.put(&large, &format!("k{number:02}"), body(1, SMALL)).await.unwrap();
    }
    world.store.set_inventory(&large, inventory("i", Form::S3)).await.unwrap();
    for number in 2..9 {
        let small = world.bucket(&format!("b-{number}")).await;
        world.put(&small, "k", body(1, SMALL)).await.unwrap();
        world.store.set_inventory(&small, inventory("i", Form::S3)).await.unwrap();
    }
    let job = InventoryJob::bounded(world.store.clone(), OWNER, 1, FILE_ROWS);
    let (stats, begun) = (job.stats(), tokio::time::Instant::now());
    let small_ones = async {
        while stats.reports.load(Relaxed) < 7 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        stats.rows.load(Relaxed)
    };
    let (round, rows) = tokio::join!(job.round(), small_ones);
    round.unwrap();
    assert!(rows < 7 + 10, "{rows} were looked at before the small ones were done");
    assert_eq!(reports(&world, &target).await.len(), 8);
    // All of them together are no faster than one is allowed to be.
    assert!(begun.elapsed().as_secs() >= 46, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_rests_is_not_read() {
    let engine = Faulty::new(World::memory().engine);
    let world = World::over(engine.clone());
    let (bucket, target) = filled(&world).await;
    for id in ["i", "j"] {
        world.store.set_inventory(&bucket, inventory(id, Form::S3)).await.unwrap();
    }
    let job = job(&world);
    let calls = async || {
        let before = engine.calls();
        job.round().await.unwrap();
        engine.calls() - before
    };
    assert!(calls().await > 10);
    let list = ListBuckets { owner_uin: OWNER, max: 1000, ..ListBuckets::default() };
    let before = engine.calls();
    world.store.list_buckets(&list).await.unwrap();
    let looking = engine.calls() - before;
    assert_eq!(calls().await, looking, "nothing is due");
    // What is new is seen, and so is midnight, and a clock that was ahead.
    world.store.set_inventory(&bucket, inventory("k", Form::S3)).await.unwrap();
    assert!(calls().await > looking + 10);
    assert_eq!(calls().await, looking);
    world.set_back(1000);
    assert!(calls().await > looking);
    assert_eq!(calls().await, looking);
    world.advance(DAY_MS);
    assert!(calls().await > looking + 10);
    assert_eq!(job.stats().reports.load(Relaxed), 6);
    // So is what has failed when it is to be tried again, and not before.
    let lost = Inventory { target: "t-2".into(), ..inventory("l", Form::S3) };
    let other = world.bucket("t-2").await;
    world.store.set_inventory(&bucket, lost).await.unwrap();
    world.store.delete_bucket(&other).await.unwrap();
    assert!(calls().await > looking);
    assert_eq!(job.stats().failures.load(Relaxed), 1);
    assert_eq!(calls().await, looking);
    assert_eq!(reports(&world, &target).await.len(), 6);
}

#[tokio::test]
async fn two_gateways_change_different_inventories() {
    for times in 0.. {
        let mut world = World::over(Faulty::new(World::memory().engine));
        let (bucket, _) = filled(&world).await;
        for id in ["kept", "gone"] {
            world.store.set_inventory(&bucket, inventory(id, Form::S3)).await.unwrap();
        }
        let one = world.store.clone();
        world.restart();
        let theirs = world.store.bucket("b-1").await.unwrap();
        let other = async {
            world.store.set_inventory(&theirs, inventory("theirs", Form::Cos)).await?;
            world.store.delete_inventory(&theirs, "gone").await
        };
        let mine = one.set_inventory(&bucket, inventory("mine", Form::S3));
        let (mine, other, waited) = stopped(mine, times, other).await;
        mine.unwrap();
        other.unwrap();
        world.restart();
        let bucket = world.store.bucket("b-1").await.unwrap();
        let all = world.store.inventories(&bucket).await.unwrap().all;
        let ids: Vec<_> = all.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["kept", "mine", "theirs"], "at {times}");
        if !waited {
            break;
        }
    }
}

#[tokio::test]
async fn all_of_a_bucket_have_a_bound() {
    let world = World::memory();
    let (bucket, _) = filled(&world).await;
    let fields: Vec<String> =
        (0..64).map(|n| format!("x-cos-meta-{n:02}{}", "x".repeat(240))).collect();
    let large = |id: usize| Inventory {
        fields: fields.clone(),
        enabled: false,
        ..inventory(&format!("{id:04}"), Form::Cos)
    };
    let mut count = 0;
    let refused = loop {
        match world.store.set_inventory(&bucket, large(count)).await {
            Ok(_) => count += 1,
            Err(refused) => break refused,
        }
    };
    let full = matches!(refused, Error::InvalidInventory(InventoryFault::NoRoom { .. }));
    assert!(full && (100..200).contains(&count), "{refused} after {count}");
    let bucket = world.store.bucket("b-1").await.unwrap();
    assert_eq!(world.store.inventories(&bucket).await.unwrap().all.len(), count);
    // A thousand as they are in use fit.
    for id in 0..count {
        world.store.delete_inventory(&bucket, &format!("{id:04}")).await.unwrap();
    }
    for id in 0..1000 {
        let mut usual = inventory(&format!("{id:064}"), Form::S3);
        usual.enabled = false;
        usual.prefix = Some("p".repeat(500));
        usual.fields =
            ["ObjectLockRetainUntilDate", "IntelligentTieringAccessTier"].map(str::to_owned).into();
        world.store.set_inventory(&bucket, usual).await.unwrap();
    }
    let refused = world.store.set_inventory(&bucket, inventory("z", Form::S3)).await;
    assert!(matches!(refused, Err(Error::TooManyInventories { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_takes_more_than_a_day_lets_others_be_made() {
    let world = World::memory();
    let (bucket, target) = filled(&world).await;
    for id in ["a", "b"] {
        world.store.set_inventory(&bucket, inventory(id, Form::S3)).await.unwrap();
    }
    let job = InventoryJob::bounded(world.store.clone(), OWNER, 1, FILE_ROWS);
    let second = std::time::Duration::from_secs(1);
    let days = async {
        for _ in 0..60 {
            world.advance(DAY_MS);
            tokio::time::sleep(second).await;
        }
    };
    tokio::select! {
        _ = job.round() => panic!("there is always one that is due"),
        () = days => {}
    }
    let names = objects(&world, &target).await;
    for id in ["/a/", "/b/"] {
        let whole = |name: &&String| name.contains(id) && name.ends_with("manifest.checksum");
        assert!(names.keys().filter(whole).count() > 1, "{id}");
    }
}
