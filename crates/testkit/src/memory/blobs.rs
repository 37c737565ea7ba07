//! Bodies in memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use costrel_core::engine::{BlobId, BlobInfo, BlobReader, BlobWriter, Blobs, EngineError};
use parking_lot::Mutex;

use super::check_open;

/// What is kept under an id.
enum Blob {
    /// Being written, or abandoned: its length so far.
    Unfinished(u64),
    Finished(Bytes),
}

type BlobMap = Arc<Mutex<BTreeMap<BlobId, Blob>>>;

pub(super) struct MemoryBlobs {
    blobs: BlobMap,
    open: Arc<AtomicBool>,
}

impl MemoryBlobs {
    pub(super) fn new(open: Arc<AtomicBool>) -> Self {
        MemoryBlobs { blobs: BlobMap::default(), open }
    }

    pub(super) fn len(&self) -> usize {
        self.blobs.lock().len()
    }
}

struct Writer {
    id: BlobId,
    data: BytesMut,
    blobs: BlobMap,
    open: Arc<AtomicBool>,
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, data: Bytes) -> Result<(), EngineError> {
        check_open(&self.open)?;
        self.data.extend_from_slice(&data);
        match self.blobs.lock().get_mut(&self.id) {
            Some(Blob::Unfinished(len)) => *len = self.data.len() as u64,
            Some(Blob::Finished(_)) => unreachable!("only one writer exists for an id"),
            // Deleted while being written: the bytes have nowhere to go.
            None => return Err(EngineError::NotFound(self.id)),
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), EngineError> {
        check_open(&self.open)?;
        match self.blobs.lock().get_mut(&self.id) {
            Some(blob) => {
                *blob = Blob::Finished(self.data.freeze());
                Ok(())
            }
            None => Err(EngineError::NotFound(self.id)),
        }
    }
}

struct Reader(Bytes);

#[async_trait]
impl BlobReader for Reader {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, EngineError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(max).min(self.0.len());
        Ok(self.0.slice(start..end))
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn create(
        &self,
        id: BlobId,
        _expected_len: Option<u64>,
    ) -> Result<Box<dyn BlobWriter>, EngineError> {
        check_open(&self.open)?;
        let mut blobs = self.blobs.lock();
        if blobs.contains_key(&id) {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(EngineError::io(format!("creating blob {id}"), source));
        }
        blobs.insert(id, Blob::Unfinished(0));
        let (blobs, open) = (self.blobs.clone(), self.open.clone());
        Ok(Box::new(Writer { id, data: BytesMut::new(), blobs, open }))
    }

    async fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, EngineError> {
        check_open(&self.open)?;
        match self.blobs.lock().get(&id) {
            Some(Blob::Finished(data)) => Ok(Arc::new(Reader(data.clone()))),
            Some(Blob::Unfinished(_)) | None => Err(EngineError::NotFound(id)),
        }
    }

    async fn delete(&self, id: BlobId) -> Result<(), EngineError> {
        check_open(&self.open)?;
        self.blobs.lock().remove(&id);
        Ok(())
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, EngineError> {
        check_open(&self.open)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.blobs.lock();
        let infos = blobs.range((start, Bound::Unbounded)).take(limit).map(|(id, blob)| BlobInfo {
            id: *id,
            stored_bytes: match blob {
                Blob::Unfinished(len) => *len,
                Blob::Finished(data) => data.len() as u64,
            },
        });
        Ok(infos.collect())
    }
}
