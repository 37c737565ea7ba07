//! Reads of single objects, picked at random, out of many.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::body::BodySource;
use costrel_core::names::ObjectKey;
use costrel_core::object::{GetRequest, Links, Selection};

use crate::{bucket, cpu, open, put, resident_mib, spread};

/// Where `costrel bench run --no-fill` looks for objects.
const BUCKET: &str = "bench-1250000000";
const FOLDER: u64 = 1000;
/// So many readers as a core has work for.
const READERS: u64 = 2;

fn key(n: u64) -> ObjectKey {
    ObjectKey::new(&format!("bench/{:04}/{n:010}", n / FOLDER)).expect("a key")
}

/// Fills a bucket with objects if it has none, then reads.
pub async fn scale(dir: PathBuf, objects: u64, size: u64) {
    let (_engine, store) = open(dir);
    let bucket = bucket(&store, BUCKET).await;
    let held = store.usage(&bucket).await.expect("counters");
    if held.total().count == 0 {
        let begun = Instant::now();
        let body = Bytes::from(vec![b'x'; size as usize]);
        spread(objects, {
            let (store, bucket) = (store.clone(), bucket.clone());
            move |n| {
                let (store, bucket, body) = (store.clone(), bucket.clone(), body.clone());
                async move { put(&store, &bucket, key(n), body).await }
            }
        })
        .await;
        println!("{objects} puts in {:?}", begun.elapsed());
    }
    for round in 0..4 {
        for with_body in [false, true] {
            let (begun, spent) = (Instant::now(), cpu());
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let (store, bucket) = (store.clone(), bucket.clone());
                    tokio::spawn(async move {
                        let mut reads = 0u64;
                        while begun.elapsed() < Duration::from_secs(3) {
                            let request = GetRequest {
                                key: key(rand::random_range(0..objects)),
                                version: None,
                                selection: Selection::Whole,
                                conditions: Default::default(),
                                links: Links::Anywhere,
                                seen: None,
                            };
                            if with_body {
                                let got = store.get_object(&bucket, &request).await;
                                let (_, _, mut reader) = got.expect("an object");
                                while reader.next().await.expect("bytes").is_some() {}
                            } else {
                                store.head_object(&bucket, &request).await.expect("an object");
                            }
                            reads += 1;
                        }
                        reads
                    })
                })
                .collect();
            let mut reads = 0;
            for reader in readers {
                reads += reader.await.expect("a reader");
            }
            let each = (cpu() - spent).as_secs_f64() * 1e6 / reads as f64;
            let what = if with_body { "get" } else { "head" };
            println!(
                "round {round}, {what}: {each:.2} µs CPU each, resident {} MiB",
                resident_mib()
            );
        }
    }
}
