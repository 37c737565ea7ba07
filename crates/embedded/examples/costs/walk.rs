//! Walks over objects: a lifecycle's, none of which is due, and an inventory's report.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::Store;
use costrel_core::bucket::Bucket;
use costrel_core::engine::{Commit, Engine, RowRef, Table, Write};
use costrel_core::inventory::{Form, Frequency, Inventory, InventoryJob};
use costrel_core::lifecycle::{
    Expiration, Lifecycle, LifecycleJob, LifecycleOptions, Rule, RuleBounds,
};
use costrel_core::record::{ObjectRecord, encode};

use crate::{OWNER, bucket, cpu, key, open, resident_mib, spread};

pub async fn walk(dir: PathBuf, objects: u64) {
    let (engine, store) = open(dir);
    let bucket = bucket(&store, "walked").await;
    let (begun, partition) = (Instant::now(), bucket.partition());
    let now_ms = store.now_ms();
    spread(objects, {
        let engine = engine.clone();
        move |n| {
            let record = ObjectRecord {
                write_id: Bytes::copy_from_slice(&rand::random::<[u8; 16]>()),
                modified_ms: now_ms,
                etag: Bytes::copy_from_slice(&rand::random::<[u8; 16]>()),
                metadata: Some(Default::default()),
                ..Default::default()
            };
            let writes = vec![Write::Put(RowRef::only(Table::Object), encode(&record))];
            let commit = Commit::new(partition, key(n).group(), vec![], writes);
            let engine = engine.clone();
            async move { engine.index().commit(commit).await.expect("a commit") }
        }
    })
    .await;
    println!("{objects} objects in {:?}, resident {} MiB", begun.elapsed(), resident_mib());
    let rule = Rule { enabled: true, expiration: Some(Expiration::Days(3650)), ..Rule::default() };
    let lifecycle = Lifecycle { rules: vec![rule], ..Lifecycle::default() };
    let bounds = RuleBounds { days_max: 3650, infrequent_days_min: 30 };
    store.set_lifecycle(&bucket, lifecycle, bounds).await.expect("rules");
    let options = LifecycleOptions {
        owner_uin: OWNER,
        rows_per_second: 1 << 40,
        ends_per_second: 1 << 40,
        moved_bytes_per_second: 1 << 40,
    };
    let job = LifecycleJob::new(store.clone(), options);
    let stats = job.stats();
    let (begun, spent) = (Instant::now(), cpu());
    let round = tokio::spawn(async move { job.round().await.expect("a round") });
    let (mut seen, mut peak) = (0, 0);
    let mut last = (Instant::now(), cpu());
    while !round.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        peak = peak.max(resident_mib());
        let rows = stats.rows.load(Ordering::Relaxed);
        // The cost of each tenth by itself tells whether it is steady.
        if rows - seen >= objects / 10 {
            let each = (cpu() - last.1).as_secs_f64() * 1e6 / (rows - seen) as f64;
            println!("  {rows} objects: {each:.2} µs CPU each, {:?}", last.0.elapsed());
            (seen, last) = (rows, (Instant::now(), cpu()));
        }
    }
    let rows = stats.rows.load(Ordering::Relaxed);
    let each = (cpu() - spent).as_secs_f64() * 1e6 / rows as f64;
    println!("{rows} objects in {:?}: {each:.2} µs CPU each, peak {peak} MiB", begun.elapsed());
    report(store, &bucket, objects).await;
}

async fn report(store: Arc<Store>, walked: &Bucket, objects: u64) {
    let target = bucket(&store, "reports").await;
    let inventory = Inventory {
        id: "all".into(),
        enabled: true,
        form: Form::S3 as u32,
        target: target.name.as_str().into(),
        frequency: Frequency::Daily as u32,
        fields: ["Size", "LastModifiedDate", "ETag", "StorageClass"].map(str::to_owned).into(),
        ..Inventory::default()
    };
    store.set_inventory(walked, inventory).await.expect("an inventory");
    let job = InventoryJob::new(store.clone(), OWNER, 1 << 40);
    let stats = job.stats();
    let (begun, spent, before) = (Instant::now(), cpu(), resident_mib());
    let round = tokio::spawn(async move { job.round().await.expect("a round") });
    let mut peak = 0;
    while !round.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        peak = peak.max(resident_mib());
    }
    assert_eq!(stats.rows.load(Ordering::Relaxed), objects, "all are in the report");
    let each = (cpu() - spent).as_secs_f64() * 1e6 / objects as f64;
    let size = store.usage(&target).await.expect("the usage").total();
    let took = begun.elapsed();
    println!(
        "a report of them in {took:?}: {each:.2} µs CPU each, {before} to {peak} MiB, {size:?}"
    );
}
