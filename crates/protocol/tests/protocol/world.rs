//! A gateway over a store in memory, and what a test wants to know of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use costrel_core::account::{
    Accounts, FixedIdentity, KeyPair, SessionRequest, TemporaryKey, Whose,
};
use costrel_core::collector::Collector;
use costrel_core::engine::{Engine, Partition, ScanRange, Step, Table};
use costrel_core::env::{Clock, Entropy};
use costrel_core::events::Courier;
use costrel_core::restore::RestoreDelays;
use costrel_core::secret::MasterKey;
use costrel_core::usage::InternalNetworks;
use costrel_core::{Store, StoreOptions};
use costrel_policy::Grammar;
use costrel_protocol::address::Domains;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::{
    BodyLimits, ConnectionInfo, Documents, FetchError, Gateway, GatewayOptions, Observer,
    RequestRecord,
};
use costrel_signature::sign::Identity;
use costrel_testkit::MemoryEngine;
use futures_util::future::BoxFuture;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::RngCore;
use tokio::io::DuplexStream;

pub const APPID: &str = "1250000000";
pub const UIN: &str = "100000000001";
pub const KEY_ID: &str = "AKIDtest00000000000000000000000000000";
pub const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";
pub const BUCKET: &str = "examplebucket-1250000000";
pub const REGION: &str = "ap-guangzhou";

/// 2026-01-02T03:04:05Z, in ms.
const START_MS: u64 = 1_767_323_045_000;

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// There are no identity providers to be asked for anything.
struct NoDocuments;

impl Documents for NoDocuments {
    fn fetch<'a>(
        &'a self,
        _: &'a str,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async { Err(FetchError("there is no network".into())) })
    }
}

/// Keeps what the gateway reports of each request.
#[derive(Default)]
pub struct Records(std::sync::Mutex<Vec<RequestRecord>>);

impl Observer for Records {
    fn request_done(&self, record: &RequestRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

impl Records {
    pub fn all(&self) -> Vec<RequestRecord> {
        self.0.lock().unwrap().clone()
    }
}

pub struct World {
    pub gateway: Arc<Gateway>,
    pub store: Arc<Store>,
    pub engine: Arc<dyn Engine>,
    pub accounts: Arc<Accounts>,
    pub identity: Identity,
    pub records: Arc<Records>,
    clock: Arc<TestClock>,
}

impl World {
    pub async fn new() -> World {
        World::with_limits(BodyLimits::default()).await
    }

    /// A world with one empty bucket, [`BUCKET`].
    pub async fn with_bucket() -> World {
        let world = World::new().await;
        world.make_bucket(BUCKET).await;
        world
    }

    pub async fn with_limits(body_limits: BodyLimits) -> World {
        let (world, collector) = World::build(body_limits).await;
        tokio::spawn(collector.run());
        world
    }

    /// A world with one empty bucket whose restores take a second, a minute or an hour.
    pub async fn with_restore_delays() -> World {
        let restore_delays =
            RestoreDelays { expedited_ms: 1000, standard_ms: 60_000, bulk_ms: 3_600_000 };
        let options = StoreOptions { restore_delays, ..StoreOptions::default() };
        let (world, collector) = World::build_with(BodyLimits::default(), options).await;
        tokio::spawn(collector.run());
        world.make_bucket(BUCKET).await;
        world
    }

    /// A world with one empty bucket whose events this one carries.
    pub async fn with_courier(courier: Arc<dyn Courier>) -> World {
        let options = StoreOptions { courier, ..StoreOptions::default() };
        let (world, collector) = World::build_with(BodyLimits::default(), options).await;
        tokio::spawn(collector.run());
        world.make_bucket(BUCKET).await;
        world
    }

    /// A world with one empty bucket in which nothing is ever collected.
    pub async fn uncollected() -> World {
        let (world, _) = World::build(BodyLimits::default()).await;
        world.make_bucket(BUCKET).await;
        world
    }

    async fn build(body_limits: BodyLimits) -> (World, Collector) {
        World::build_with(body_limits, StoreOptions::default()).await
    }

    async fn build_with(body_limits: BodyLimits, options: StoreOptions) -> (World, Collector) {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::with_inline_max(4096));
        let clock = Arc::new(TestClock(AtomicU64::new(START_MS)));
        let fixed = FixedIdentity {
            uin: Some(UIN.parse().unwrap()),
            appid: Some(APPID.parse().unwrap()),
            root_key: Some(KeyPair::new(KEY_ID, SECRET).unwrap()),
        };
        let master = MasterKey::new(&[7; 32]);
        let (accounts, _) =
            Accounts::open(engine.clone(), master, Arc::new(Random), clock.clone(), fixed)
                .await
                .unwrap();
        let options = StoreOptions { region: REGION.into(), ..options };
        let (store, collector) =
            Store::new(engine.clone(), clock.clone(), Arc::new(Random), options);
        let records = Arc::new(Records::default());
        let options = GatewayOptions {
            domains: Domains::new([("objects.example".to_owned(), None)])
                .with_website("web.example", None)
                .with_website("www.example", Some(BUCKET.to_owned())),
            default_dialect: Dialect::S3,
            body_limits,
            documents: Arc::new(NoDocuments),
            internal_networks: InternalNetworks::default(),
        };
        let accounts = Arc::new(accounts);
        let world = World {
            gateway: Gateway::new(store.clone(), accounts.clone(), options, records.clone()),
            store,
            engine,
            accounts,
            identity: Identity::new(KEY_ID, SECRET),
            records,
            clock,
        };
        (world, collector)
    }

    pub async fn make_bucket(&self, name: &str) {
        let call = crate::client::put(Dialect::S3, &format!("/{name}"));
        assert_eq!(call.send(self).await.status, 200, "{name}");
    }

    /// A temporary key of the root's, good for half an hour.
    pub async fn temporary(&self, grammar: Grammar, policy: &str) -> TemporaryKey {
        let root = self.accounts.find(KEY_ID, None).await.unwrap();
        let policy = (grammar, policy.as_bytes());
        let request = SessionRequest {
            name: "somebody",
            duration_s: 1800,
            policy: Some(policy),
            whose: Whose::Federated,
        };
        self.accounts.grant(&root, &request).unwrap()
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        (self.clock.now_ms() / 1000) as i64
    }

    pub fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// A connection to the gateway; the other end is served in the background.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 << 10);
        let gateway = self.gateway.clone();
        let connection = ConnectionInfo { peer: "127.0.0.1:4711".parse().unwrap(), tls: None };
        let service = service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, std::convert::Infallible>(gateway.handle(request, &connection).await) }
        });
        tokio::spawn(async move {
            let mut builder = hyper::server::conn::http1::Builder::new();
            // An error of the connection is the client's to see.
            let _ = builder
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(server), service)
                .await;
        });
        client
    }

    /// Everything that is stored for good, as text: what a refused request must
    /// not change.
    pub async fn stored(&self) -> String {
        let index = self.engine.index();
        let mut partitions = vec![Partition::System];
        let mut buckets = index.partitions().await.unwrap();
        buckets.sort_unstable_by_key(|(id, _)| *id);
        partitions.extend(buckets.iter().map(|(id, _)| Partition::Bucket(*id)));
        let tables = [
            Table::Bucket,
            Table::Object,
            Table::Body,
            Table::Upload,
            Table::Part,
            Table::Version,
            Table::History,
        ];
        let all = Arc::new(std::sync::Mutex::new(format!("{buckets:?}\n")));
        for partition in partitions {
            for table in tables {
                let all = all.clone();
                let visitor = move |group: &[u8], suffix: &[u8], value: &[u8]| {
                    use std::fmt::Write;
                    let value = hex::encode(value);
                    let mut all = all.lock().unwrap();
                    writeln!(all, "{partition:?} {table:?} {group:?} {suffix:?} {value}").unwrap();
                    Step::Next
                };
                index.scan(partition, table, ScanRange::all(), Box::new(visitor)).await.unwrap();
            }
        }
        std::mem::take(&mut *all.lock().unwrap())
    }
}
