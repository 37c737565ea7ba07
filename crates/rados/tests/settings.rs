//! A gateway that hangs between its last look at a bucket's settings and its commit
//! cannot get round settings that were acknowledged meanwhile.
//!
//! Needs the cluster that `cargo xtask test --only rados-engine` starts.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::body::BytesSource;
use costrel_core::bucket::Bucket;
use costrel_core::engine::{
    Blobs, BucketId, Commit, CommitError, Engine, EngineError, Health, Index, Listener, Metric,
    Peers,
};
use costrel_core::env::{Clock, Entropy};
use costrel_core::names::{BucketName, ObjectKey};
use costrel_core::object::{Attributes, GetRequest, Links, PutOutcome, PutRequest, Selection};
use costrel_core::precondition::ReadConditions;
use costrel_core::version::{VersionRef, Versioning};
use costrel_core::{Result, Store, StoreOptions};
use costrel_rados::{Options, RadosEngine};
use rand::RngCore;
use tokio::sync::watch;

struct World;

impl Clock for World {
    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    }
}

impl Entropy for World {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// A gateway that can be made to hang just before its commits of objects.
struct Hanging {
    engine: Arc<RadosEngine>,
    hangs: watch::Sender<bool>,
    /// Commits that have come so far.
    came: watch::Sender<u32>,
}

impl Hanging {
    fn peers(&self) -> &dyn Peers {
        self.engine.peers().unwrap()
    }
}

#[async_trait]
impl Peers for Hanging {
    fn memory_max(&self) -> Duration {
        self.peers().memory_max()
    }

    fn listen(&self, listener: Listener) {
        self.peers().listen(listener);
    }

    async fn announce(&self, bucket: BucketId) {
        self.peers().announce(bucket).await;
    }

    async fn commit_by(&self, epoch: u64, commit: Commit) -> Result<(), CommitError> {
        self.came.send_modify(|came| *came += 1);
        self.hangs.subscribe().wait_for(|hangs| !hangs).await.unwrap();
        self.peers().commit_by(epoch, commit).await
    }

    async fn enforce(&self, bucket: BucketId, epoch: u64) -> Result<(), EngineError> {
        self.peers().enforce(bucket, epoch).await
    }

    async fn others(&self) -> Result<usize, EngineError> {
        self.peers().others().await
    }

    async fn tend(&self) -> Result<(), EngineError> {
        self.peers().tend().await
    }
}

#[async_trait]
impl Engine for Hanging {
    fn index(&self) -> &dyn Index {
        self.engine.index()
    }

    fn blobs(&self) -> &dyn Blobs {
        self.engine.blobs()
    }

    fn place(&self, name: &str) -> Option<&dyn Blobs> {
        self.engine.place(name)
    }

    fn places(&self) -> Vec<&str> {
        self.engine.places()
    }

    fn peers(&self) -> Option<&dyn Peers> {
        Some(self)
    }

    fn inline_max(&self) -> usize {
        self.engine.inline_max()
    }

    fn reader_grace(&self) -> Duration {
        self.engine.reader_grace()
    }

    fn pending_age_max(&self) -> Option<Duration> {
        self.engine.pending_age_max()
    }

    fn health(&self) -> Health {
        self.engine.health()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.engine.metrics()
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.engine.close().await
    }
}

async fn engine(namespace: &str) -> Arc<RadosEngine> {
    let conf = std::env::var("COSTREL_TEST_CEPH_CONF").expect("COSTREL_TEST_CEPH_CONF is set");
    let options = Options::new(conf, "client.admin", "costrel-meta", "costrel-data");
    RadosEngine::open(Options { namespace: namespace.into(), ..options }).await.unwrap()
}

fn store(engine: Arc<dyn Engine>) -> Arc<Store> {
    Store::new(engine, Arc::new(World), Arc::new(World), StoreOptions::default()).0
}

fn key() -> ObjectKey {
    ObjectKey::new("k").unwrap()
}

async fn put(store: &Arc<Store>, bucket: &Bucket, body: &'static str) -> Result<PutOutcome> {
    let request = PutRequest {
        key: key(),
        attributes: Attributes::default(),
        conditions: Default::default(),
        checksums: Vec::new(),
        expected: Default::default(),
        size: None,
    };
    let mut body = BytesSource::new(Bytes::from_static(body.as_bytes()));
    store.put_object(bucket, request, &mut body).await
}

async fn get(store: &Arc<Store>, bucket: &Bucket, version: Option<VersionRef>) -> Result<Bytes> {
    let (selection, conditions) = (Selection::Whole, ReadConditions::default());
    let links = Links::Anywhere;
    let request = GetRequest { key: key(), version, selection, conditions, links, seen: None };
    let (_, _, mut reader) = store.get_object(bucket, &request).await?;
    let mut body = Vec::new();
    while let Some(piece) = reader.next_piece().await? {
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn a_write_that_hangs_meanwhile_obeys_the_new_settings() {
    let namespace = format!("test-{:016x}", rand::random::<u64>());
    let hanging = Arc::new(Hanging {
        engine: engine(&namespace).await,
        hangs: watch::Sender::new(false),
        came: watch::Sender::new(0),
    });
    let one = store(hanging.clone());
    let two = store(engine(&namespace).await);
    let name = BucketName::new("shared-1250000000").unwrap();
    let bucket = two.create_bucket(name, 1, None).await.unwrap();
    for (round, versioning) in [Versioning::Enabled, Versioning::Suspended].into_iter().enumerate()
    {
        put(&two, &bucket, "old").await.unwrap();
        let seen = one.bucket("shared-1250000000").await.unwrap();
        let (before, mut came) = (*hanging.came.borrow(), hanging.came.subscribe());
        hanging.hangs.send_replace(true);
        let late = tokio::spawn({
            let (one, seen) = (one.clone(), seen.clone());
            async move { put(&one, &seen, "late").await }
        });
        came.wait_for(|came| *came > before).await.unwrap();
        two.set_versioning(&bucket, versioning).await.unwrap();
        hanging.hangs.send_replace(false);
        let late = late.await.unwrap().unwrap();
        match versioning {
            // The old object is not lost, but a version.
            Versioning::Enabled => {
                assert!(matches!(late.version, Some(VersionRef::Id(_))), "{late:?}");
                let old = get(&two, &bucket, Some(VersionRef::Null)).await.unwrap();
                assert_eq!(old, "old");
            }
            // The late one is the null version.
            _ => assert_eq!(late.version, Some(VersionRef::Null)),
        }
        assert_eq!(get(&two, &bucket, None).await.unwrap(), "late", "round {round}");
    }
}
