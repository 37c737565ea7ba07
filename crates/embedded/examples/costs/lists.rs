//! Lists of current objects whose keys have a thousand versions each, beside a bucket
//! where each has none.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::list::ListObjects;
use costrel_core::version::Versioning;

use crate::{bucket, cpu, key, open, put, spread};

pub async fn lists(dir: PathBuf, keys: u64, versions: u64) {
    let (_engine, store) = open(dir);
    let plain = bucket(&store, "plain").await;
    let versioned = bucket(&store, "versioned").await;
    store.set_versioning(&versioned, Versioning::Enabled).await.expect("versioning");
    for (bucket, puts) in [(&plain, 1), (&versioned, versions)] {
        let begun = Instant::now();
        let (store, bucket) = (store.clone(), bucket.clone());
        spread(keys * puts, move |n| {
            let (store, bucket) = (store.clone(), bucket.clone());
            async move { put(&store, &bucket, key(n % keys), Bytes::new()).await }
        })
        .await;
        println!("{} puts in {:?}", keys * puts, begun.elapsed());
    }
    for round in 0..6 {
        for bucket in [&plain, &versioned] {
            let (begun, spent) = (Instant::now(), cpu());
            let mut pages = 0;
            while begun.elapsed() < Duration::from_secs(2) {
                let request = ListObjects { max: 1000, ..Default::default() };
                let page = store.list_objects(bucket, &request).await.expect("a page");
                assert_eq!(page.entries.len() as u64, keys.min(1000));
                pages += 1;
            }
            let each = (cpu() - spent).as_secs_f64() * 1e6 / f64::from(pages);
            let name = bucket.name.as_str();
            println!("round {round}, {name}: {each:.0} µs CPU a page, {pages} pages");
        }
    }
}
