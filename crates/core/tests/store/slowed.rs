//! Bodies that are kept slower than they might come.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::body::BodySource;
use costrel_core::object::PutRequest;
use costrel_core::{Result, StoreOptions};

use crate::common::{LARGE, World, body, options, put_request};

/// The slowest.
struct Held;

#[async_trait]
impl BodySource for Held {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        std::future::pending().await
    }

    fn is_slowed(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn they_leave_memory_to_others() {
    let world = World::memory_with(StoreOptions { ingest_bytes_max: 8 << 20, ..options() });
    let bucket = world.bucket("slowed").await;
    for _ in 0..8 {
        let (store, bucket) = (world.store.clone(), bucket.clone());
        tokio::spawn(async move {
            let request = PutRequest { size: Some(1 << 30), ..put_request("slow") };
            store.put_object(&bucket, request, &mut Held).await
        });
    }
    // They take what they get.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let put = world.put(&bucket, "fast", body(1, LARGE));
    tokio::time::timeout(Duration::from_secs(60), put).await.expect("room").unwrap();
}
