//! The store that is cut off, and its requests in short.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use costrel_core::body::BytesSource;
use costrel_core::bucket::Bucket;
use costrel_core::checksum::Expected;
use costrel_core::collector::Collector;
use costrel_core::env::{Clock, Entropy};
use costrel_core::list::ListObjects;
use costrel_core::names::{BucketName, ObjectKey, UploadId};
use costrel_core::object::{
    AppendRequest, Attributes, DeleteRequest, GetRequest, Links, PutRequest, Selection,
};
use costrel_core::precondition::{ReadConditions, WriteConditions};
use costrel_core::upload::{
    CompletePart, CompleteRequest, InitiateRequest, ListParts, PartEntry, PartRequest,
};
use costrel_core::{Error, Store, StoreOptions};
use costrel_embedded::{EmbeddedEngine, Options};
use rand::RngCore;

/// The bucket that holds everything.
pub const BUCKET: &str = "cut-1250000000";
pub const OWNER: u64 = 100_000_000_001;

/// Keys of one listing.
const PAGE: usize = 1000;

type Result<T> = std::result::Result<T, String>;

struct System;

impl Clock for System {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as u64
    }
}

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Opens a data directory as `costrel serve` does.
pub async fn open(dir: &Path) -> Result<(Arc<Store>, Collector)> {
    let options = Options { reserve_bytes: 0, ..Options::new(dir) };
    let engine = EmbeddedEngine::open(options).map_err(|e| format!("opening: {e}"))?;
    let (clock, entropy) = (Arc::new(System), Arc::new(System));
    let (store, collector) = Store::new(engine, clock, entropy, StoreOptions::default());
    collector.recover().await.map_err(|e| format!("recovering: {e}"))?;
    Ok((store, collector))
}

pub async fn bucket(store: &Store, name: &str) -> Result<Option<Arc<Bucket>>> {
    match store.bucket(name).await {
        Ok(bucket) => Ok(Some(bucket)),
        Err(Error::NoSuchBucket) => Ok(None),
        Err(error) => Err(format!("bucket {name}: {error}")),
    }
}

pub async fn make_bucket(store: &Arc<Store>, name: &str) -> Result<Arc<Bucket>> {
    let named = BucketName::new(name).map_err(|e| format!("{name}: {e}"))?;
    store.create_bucket(named, OWNER, None).await.map_err(|e| format!("making {name}: {e}"))
}

/// Requests to one bucket.
pub struct Requests<'a> {
    pub store: &'a Arc<Store>,
    pub bucket: &'a Bucket,
}

impl Requests<'_> {
    pub async fn put(&self, at: &str, data: Bytes) -> Result<()> {
        let request = PutRequest {
            key: key(at),
            attributes: Attributes::default(),
            conditions: WriteConditions::default(),
            checksums: Vec::new(),
            expected: Expected::default(),
            size: Some(data.len() as u64),
        };
        let mut body = BytesSource::new(data);
        let put = self.store.put_object(self.bucket, request, &mut body);
        put.await.map(drop).map_err(|e| format!("putting {at}: {e}"))
    }

    pub async fn append(&self, at: &str, position: u64, data: Bytes) -> Result<()> {
        let request = AppendRequest {
            key: key(at),
            position,
            attributes: Attributes::default(),
            expected: Expected::default(),
            size: Some(data.len() as u64),
        };
        let mut body = BytesSource::new(data);
        let append = self.store.append_object(self.bucket, request, &mut body);
        append.await.map(drop).map_err(|e| format!("appending to {at}: {e}"))
    }

    pub async fn delete(&self, at: &str) -> Result<()> {
        let request = DeleteRequest {
            key: key(at),
            version: None,
            conditions: WriteConditions::default(),
            bypass_governance: false,
        };
        let delete = self.store.delete_object(self.bucket, &request);
        delete.await.map(|_| ()).map_err(|e| format!("deleting {at}: {e}"))
    }

    pub async fn get(&self, at: &str) -> Result<Option<Bytes>> {
        let failed = |e| format!("getting {at}: {e}");
        let conditions = ReadConditions::default();
        let request = GetRequest {
            key: key(at),
            version: None,
            selection: Selection::Whole,
            conditions,
            links: Links::Anywhere,
            seen: None,
        };
        let (_, _, mut reader) = match self.store.get_object(self.bucket, &request).await {
            Ok(opened) => opened,
            Err(Error::NoSuchKey) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut data = Vec::new();
        while let Some(piece) = reader.next_piece().await.map_err(failed)? {
            data.extend_from_slice(&piece);
        }
        Ok(Some(data.into()))
    }

    /// Every key with its size.
    pub async fn list(&self) -> Result<Vec<(String, u64)>> {
        let mut request = ListObjects { max: PAGE, ..ListObjects::default() };
        let mut listed = Vec::new();
        loop {
            let page = self.store.list_objects(self.bucket, &request).await;
            let page = page.map_err(|e| format!("listing: {e}"))?;
            request.after = page.last().unwrap_or_default().to_owned();
            listed.extend(page.entries.into_iter().map(|(key, entry)| (key, entry.size)));
            if !page.truncated {
                return Ok(listed);
            }
        }
    }

    pub async fn initiate(&self, at: &str) -> Result<UploadId> {
        let request =
            InitiateRequest { key: key(at), attributes: Attributes::default(), checksum: None };
        let initiated = self.store.initiate_upload(self.bucket, request).await;
        initiated.map_err(|e| format!("beginning an upload of {at}: {e}"))
    }

    pub async fn part(
        &self,
        at: &str,
        upload: UploadId,
        number: u32,
        data: Bytes,
    ) -> Result<CompletePart> {
        let request = PartRequest {
            key: key(at),
            upload,
            number,
            expected: Expected::default(),
            checksums: Vec::new(),
            size: Some(data.len() as u64),
        };
        let part = self.store.upload_part(self.bucket, request, &mut BytesSource::new(data)).await;
        let part = part.map_err(|e| format!("uploading part {number} of {at}: {e}"))?;
        Ok(CompletePart { number, etag: part.etag, checksums: Vec::new() })
    }

    pub async fn complete(
        &self,
        at: &str,
        upload: UploadId,
        parts: Vec<CompletePart>,
    ) -> Result<()> {
        let request = CompleteRequest {
            key: key(at),
            upload,
            parts,
            conditions: WriteConditions::default(),
            part_bytes_min: 1,
            expected: Expected::default(),
            expected_kind: None,
            expected_size: None,
        };
        let completed = self.store.complete_upload(self.bucket, request).await;
        completed.map(drop).map_err(|e| format!("completing {at}: {e}"))
    }

    pub async fn abort(&self, at: &str, upload: UploadId) -> Result<()> {
        let aborted = self.store.abort_upload(self.bucket, &key(at), upload).await;
        aborted.map_err(|e| format!("aborting an upload of {at}: {e}"))
    }

    /// The parts of an open upload; `None` when there is no such upload.
    pub async fn parts(&self, at: &str, upload: UploadId) -> Result<Option<Vec<PartEntry>>> {
        let request = ListParts { key: key(at), upload, after: 0, max: PAGE };
        match self.store.list_parts(self.bucket, &request).await {
            Ok(page) => Ok(Some(page.parts)),
            Err(Error::NoSuchUpload) => Ok(None),
            Err(error) => Err(format!("listing parts of {at}: {error}")),
        }
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).expect("the keys here are valid")
}
