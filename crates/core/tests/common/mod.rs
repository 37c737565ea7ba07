//! What the tests of the store share: a store over each engine, with clock and
//! chance that repeat, and the check that nothing is left behind.

pub mod faulty;
pub mod linear;
pub mod random;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::body::{BodySource, BytesSource};
use costrel_core::bucket::Bucket;
use costrel_core::checksum::Expected;
use costrel_core::collector::Collector;
use costrel_core::engine::Engine;
use costrel_core::env::{Clock, Entropy};
use costrel_core::fsck;
use costrel_core::names::{BucketName, ObjectKey, UploadId};
use costrel_core::object::{
    AppendOutcome, AppendRequest, Attributes, DeleteOutcome, DeleteRequest, GetRequest, Links,
    ObjectInfo, PutOutcome, PutRequest, Selection,
};
use costrel_core::precondition::{ReadConditions, WriteConditions};
use costrel_core::tier::{Codec, StorageClass, Tier};
use costrel_core::upload::{CompletePart, CompleteRequest, InitiateRequest, PartRequest};
use costrel_core::version::{ListVersions, VersionEntry, VersionRef, Versioning};
use costrel_core::{BodyError, Result, Store, StoreOptions};
use costrel_embedded::{Durability, EmbeddedEngine};
use costrel_testkit::{ELSEWHERE, MemoryEngine};

use random::Random;

/// Bodies up to this many bytes are inline in every world.
pub const INLINE_MAX: usize = 1024;
/// Length of a body that is inline.
pub const SMALL: usize = 100;
/// Length of a body that is a blob.
pub const LARGE: usize = 5000;

pub const OWNER: u64 = 100_000_000_001;

/// A clock that ticks whenever it is read.
pub struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Ids that differ from each other and are the same in every run.
struct Ids(parking_lot::Mutex<Random>);

impl Entropy for Ids {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill(bytes);
    }
}

/// A store over an engine, and its collector, which works when it is told to.
pub struct World {
    pub engine: Arc<dyn Engine>,
    pub store: Arc<Store>,
    pub collector: Collector,
    clock: Arc<Hands>,
    entropy: Arc<Ids>,
    _dir: Option<tempfile::TempDir>,
}

/// Options of every world: some classes are kept elsewhere, some are compressed.
pub fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    let tier = |place: Option<&str>, codec| Tier { place: place.map(Into::into), codec };
    options.tiers.set(StorageClass::StandardIa, tier(Some(ELSEWHERE), Codec::None));
    options.tiers.set(StorageClass::Archive, tier(Some(ELSEWHERE), Codec::Zstd(1)));
    options.tiers.set(StorageClass::OnezoneIa, tier(None, Codec::Zstd(1)));
    options
}

impl World {
    pub fn over(engine: Arc<dyn Engine>) -> World {
        World::with_dir(engine, None, options())
    }

    fn with_dir(
        engine: Arc<dyn Engine>,
        dir: Option<tempfile::TempDir>,
        options: StoreOptions,
    ) -> World {
        let clock = Arc::new(Hands(AtomicU64::new(1_700_000_000_000)));
        let entropy = Arc::new(Ids(parking_lot::Mutex::new(Random::new(1))));
        let (store, collector) =
            Store::new(engine.clone(), clock.clone(), entropy.clone(), options);
        World { engine, store, collector, clock, entropy, _dir: dir }
    }

    /// Another process over what the engine keeps.
    pub fn beside(&self, engine: Arc<dyn Engine>) -> World {
        self.beside_with(engine, options())
    }

    /// The same with other options.
    pub fn beside_with(&self, engine: Arc<dyn Engine>, options: StoreOptions) -> World {
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        let (store, collector) =
            Store::new(engine.clone(), clock.clone(), entropy.clone(), options);
        World { engine, store, collector, clock, entropy, _dir: None }
    }

    pub fn memory() -> World {
        World::memory_with(options())
    }

    pub fn memory_with(options: StoreOptions) -> World {
        World::with_dir(Arc::new(MemoryEngine::with_inline_max(INLINE_MAX)), None, options)
    }

    /// Without syncs, which nothing but a crash of the machine tells apart.
    pub fn embedded() -> World {
        World::embedded_with(Durability::None)
    }

    pub fn embedded_with(durability: Durability) -> World {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut opening = costrel_embedded::Options::new(dir.path().join("data"));
        opening.places = vec![(ELSEWHERE.to_owned(), dir.path().join(ELSEWHERE))];
        opening.durability = durability;
        opening.inline_max = INLINE_MAX;
        opening.reserve_bytes = 0;
        let engine = EmbeddedEngine::open(opening).expect("the engine opens");
        World::with_dir(engine, Some(dir), options())
    }

    /// Its clock and its chance.
    pub fn outside(&self) -> (Arc<dyn Clock>, Arc<dyn Entropy>) {
        (self.clock.clone(), self.entropy.clone())
    }

    /// So much time passes.
    pub fn advance(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Somebody puts the clock right.
    pub fn set_back(&self, ms: u64) {
        self.clock.0.fetch_sub(ms, Ordering::Relaxed);
    }

    /// The process ends and another begins over what the engine keeps.
    pub fn restart(&mut self) {
        self.restart_with(options());
    }

    pub fn restart_with(&mut self, options: StoreOptions) {
        let (store, collector) =
            Store::new(self.engine.clone(), self.clock.clone(), self.entropy.clone(), options);
        (self.store, self.collector) = (store, collector);
    }

    /// Lets the collector do all there is and proves that nothing is wrong and
    /// that nothing else is left.
    pub async fn settle(&self) -> fsck::Report {
        for _ in 0..3 {
            self.collector.sweep().await.expect("the sweep works");
        }
        let report = fsck::run(&*self.engine, |_| ()).await.expect("the check works");
        assert_eq!(report.findings, Vec::<String>::new());
        assert_eq!(report.collectable, 0, "{report:?}");
        assert_eq!(report.uncounted, 0, "{report:?}");
        report
    }

    pub async fn bucket(&self, name: &str) -> Arc<Bucket> {
        let name = BucketName::new(name).expect("a valid name");
        self.store.create_bucket(name, OWNER, None).await.expect("the bucket is made")
    }

    pub async fn put(&self, bucket: &Bucket, at: &str, data: Bytes) -> Result<PutOutcome> {
        self.put_if(bucket, at, data, WriteConditions::default()).await
    }

    pub async fn put_if(
        &self,
        bucket: &Bucket,
        at: &str,
        data: Bytes,
        conditions: WriteConditions,
    ) -> Result<PutOutcome> {
        let size = Some(data.len() as u64);
        let request = PutRequest { conditions, size, ..put_request(at) };
        self.store.put_object(bucket, request, &mut BytesSource::new(data)).await
    }

    pub async fn get(&self, bucket: &Bucket, at: &str) -> Result<Bytes> {
        Ok(self.get_part(bucket, at, Selection::Whole).await?.1)
    }

    pub async fn get_part(
        &self,
        bucket: &Bucket,
        at: &str,
        selection: Selection,
    ) -> Result<(ObjectInfo, Bytes)> {
        self.read(bucket, &GetRequest { selection, ..get_request(at) }).await
    }

    pub async fn head(&self, bucket: &Bucket, at: &str) -> Result<ObjectInfo> {
        Ok(self.store.head_object(bucket, &get_request(at)).await?.0)
    }

    pub async fn delete(&self, bucket: &Bucket, at: &str) -> Result<DeleteOutcome> {
        self.store.delete_object(bucket, &delete_request(at)).await
    }

    pub async fn delete_version(
        &self,
        bucket: &Bucket,
        at: &str,
        version: VersionRef,
    ) -> Result<DeleteOutcome> {
        let request = DeleteRequest { version: Some(version), ..delete_request(at) };
        self.store.delete_object(bucket, &request).await
    }

    pub async fn get_version(
        &self,
        bucket: &Bucket,
        at: &str,
        version: VersionRef,
    ) -> Result<Bytes> {
        let request = GetRequest { version: Some(version), ..get_request(at) };
        Ok(self.read(bucket, &request).await?.1)
    }

    pub async fn read(&self, bucket: &Bucket, request: &GetRequest) -> Result<(ObjectInfo, Bytes)> {
        let (info, range, mut reader) = self.store.get_object(bucket, request).await?;
        let mut data = Vec::new();
        while let Some(piece) = reader.next_piece().await? {
            data.extend_from_slice(&piece);
        }
        assert_eq!(data.len() as u64, range.end - range.start);
        Ok((info, data.into()))
    }

    /// A new bucket in this state of versioning.
    pub async fn versioned(&self, name: &str, versioning: Versioning) -> Arc<Bucket> {
        let bucket = self.bucket(name).await;
        self.store.set_versioning(&bucket, versioning).await.expect("versioning is set");
        bucket
    }

    /// All versions of a bucket, in pages of so many.
    pub async fn versions(&self, bucket: &Bucket, page: usize) -> Vec<(String, VersionEntry)> {
        let mut all = Vec::new();
        let mut request = ListVersions { max: page, ..Default::default() };
        loop {
            let page =
                self.store.list_versions(bucket, &request).await.expect("versions are listed");
            let last = page.last().unwrap_or_default().to_owned();
            (request.key_marker, request.version_marker) = (last, page.last_version());
            let truncated = page.truncated;
            all.extend(page.entries);
            if !truncated {
                return all;
            }
        }
    }

    pub async fn append(
        &self,
        bucket: &Bucket,
        at: &str,
        position: u64,
        data: Bytes,
    ) -> Result<AppendOutcome> {
        let request = AppendRequest {
            key: key(at),
            position,
            attributes: Attributes::default(),
            expected: Expected::default(),
            size: Some(data.len() as u64),
        };
        self.store.append_object(bucket, request, &mut BytesSource::new(data)).await
    }

    pub async fn initiate(&self, bucket: &Bucket, at: &str) -> Result<UploadId> {
        self.store.initiate_upload(bucket, initiate_request(at)).await
    }

    /// Uploads a part and returns it as a completion names it.
    pub async fn part(
        &self,
        bucket: &Bucket,
        at: &str,
        upload: UploadId,
        number: u32,
        data: Bytes,
    ) -> Result<CompletePart> {
        let request = part_request(at, upload, number, data.len());
        let outcome = self.store.upload_part(bucket, request, &mut BytesSource::new(data)).await?;
        let checksums = outcome.checksums.into_iter().map(|c| (c.algorithm, c.value)).collect();
        Ok(CompletePart { number, etag: outcome.etag, checksums })
    }

    pub async fn complete(
        &self,
        bucket: &Bucket,
        at: &str,
        upload: UploadId,
        parts: Vec<CompletePart>,
    ) -> Result<PutOutcome> {
        self.store.complete_upload(bucket, complete_request(at, upload, parts)).await
    }

    pub async fn abort(&self, bucket: &Bucket, at: &str, upload: UploadId) -> Result<()> {
        self.store.abort_upload(bucket, &key(at), upload).await
    }
}

pub fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("a valid key")
}

pub fn put_request(at: &str) -> PutRequest {
    PutRequest {
        key: key(at),
        attributes: Attributes::default(),
        conditions: WriteConditions::default(),
        checksums: Vec::new(),
        expected: Expected::default(),
        size: None,
    }
}

pub fn get_request(at: &str) -> GetRequest {
    GetRequest {
        key: key(at),
        version: None,
        selection: Selection::Whole,
        conditions: ReadConditions::default(),
        links: Links::Anywhere,
        seen: None,
    }
}

pub fn delete_request(at: &str) -> DeleteRequest {
    DeleteRequest {
        key: key(at),
        version: None,
        conditions: WriteConditions::default(),
        bypass_governance: false,
    }
}

pub fn initiate_request(at: &str) -> InitiateRequest {
    InitiateRequest { key: key(at), attributes: Attributes::default(), checksum: None }
}

pub fn part_request(at: &str, upload: UploadId, number: u32, len: usize) -> PartRequest {
    PartRequest {
        key: key(at),
        upload,
        number,
        expected: Expected::default(),
        checksums: Vec::new(),
        size: Some(len as u64),
    }
}

pub fn complete_request(at: &str, upload: UploadId, parts: Vec<CompletePart>) -> CompleteRequest {
    CompleteRequest {
        key: key(at),
        upload,
        parts,
        conditions: WriteConditions::default(),
        part_bytes_min: 1,
        expected: Expected::default(),
        expected_kind: None,
        expected_size: None,
    }
}

/// Bytes that differ from those of every other seed.
pub fn body(seed: u64, len: usize) -> Bytes {
    let mut data = vec![0; len];
    Random::new(seed ^ 0x5eed_0000).fill(&mut data);
    data.into()
}

/// A body that arrives in pieces, with a pause before each, and may break.
pub struct Pieces {
    pub rest: Bytes,
    pub piece: usize,
    pub broken: bool,
}

impl Pieces {
    pub fn new(data: Bytes, piece: usize) -> Pieces {
        Pieces { rest: data, piece, broken: false }
    }
}

#[async_trait]
impl BodySource for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        tokio::task::yield_now().await;
        if self.rest.is_empty() {
            return match self.broken {
                true => Err(BodyError::Disconnected.into()),
                false => Ok(None),
            };
        }
        let len = self.piece.min(self.rest.len());
        Ok(Some(self.rest.split_to(len)))
    }
}

/// Makes a test of each function for each engine. The functions take a `&World`;
/// afterwards nothing may be left that is not referenced.
#[macro_export]
macro_rules! on_every_engine {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let world = $crate::common::World::memory();
                super::$name(&world).await;
                world.settle().await;
            })*
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let world = $crate::common::World::embedded();
                super::$name(&world).await;
                world.settle().await;
            })*
        }
    };
}
