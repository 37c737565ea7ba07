//! Immutable bodies as striped objects of the data pool.
//!
//! A blob is there when its first piece says that it was finished; pieces are
//! never changed. A deletion takes the first piece last, so that one that was
//! interrupted finds the others again.

mod format;
mod list;
mod reader;
mod under_way;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use costrel_core::engine::{BlobId, BlobInfo, BlobReader, BlobWriter, Blobs, EngineError};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::ffi::Errno;
use crate::remote::Remote;
use format::{FINISHED, decode_finished, piece_count, piece_name};
use list::Listing;
use reader::{Budget, Reader};
use under_way::UnderWay;
use writer::Writer;

/// Pieces of one blob on their way at once. Missing pieces of an unfinished blob
/// are fewer in a row than this.
const PIECES_AT_ONCE: usize = 4;

/// Pieces of one blob deleted at once.
const DELETIONS_AT_ONCE: usize = 8;

pub(crate) struct RadosBlobs {
    data: Arc<Remote>,
    under_way: Arc<UnderWay>,
    budget: Budget,
    listing: tokio::sync::Mutex<Listing>,
}

impl RadosBlobs {
    pub(crate) fn new(data: Remote) -> Self {
        RadosBlobs {
            data: Arc::new(data),
            under_way: Arc::default(),
            budget: Budget::default(),
            listing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) async fn settle(&self) {
        self.data.settle().await;
    }

    fn check_open(&self) -> Result<(), EngineError> {
        self.data.status().check_open()
    }

    /// How many pieces there may be: all of a finished blob's, and of another one
    /// those behind which a run of pieces is missing, or that this process has sent.
    async fn extent(&self, id: BlobId) -> Result<u64, EngineError> {
        let mut end = self.under_way.given_up(id);
        let mut piece = end;
        while piece < end + PIECES_AT_ONCE as u64 {
            let mut op = self.data.read_op();
            match piece {
                0 => op.xattrs(),
                _ => op.stat(),
            }
            match self.data.read(&piece_name(id, piece), op, 0).await {
                Ok(done) if piece == 0 => {
                    let finished =
                        done.xattrs().into_iter().find(|(name, _)| name == FINISHED.to_bytes());
                    if let Some(len) = finished.and_then(|(_, value)| decode_finished(&value)) {
                        return Ok(piece_count(len));
                    }
                    end = 1;
                }
                Ok(_) => end = piece + 1,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.data.error("looking for pieces of a blob", errno)),
            }
            piece += 1;
        }
        Ok(end)
    }

    async fn delete_piece(&self, id: BlobId, piece: u64) -> Result<(), EngineError> {
        let mut op = self.data.write_op();
        op.remove_object();
        match self.data.apply(&piece_name(id, piece), op).await {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.data.error("deleting a blob", errno)),
        }
    }
}

#[async_trait]
impl Blobs for RadosBlobs {
    async fn create(
        &self,
        id: BlobId,
        expected_len: Option<u64>,
    ) -> Result<Box<dyn BlobWriter>, EngineError> {
        self.check_open()?;
        Ok(Box::new(Writer::new(self.data.clone(), self.under_way.begin(id), id, expected_len)))
    }

    async fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, EngineError> {
        self.check_open()?;
        Ok(Arc::new(Reader::open(self.data.clone(), id, self.budget.clone()).await?))
    }

    async fn delete(&self, id: BlobId) -> Result<(), EngineError> {
        self.check_open()?;
        self.under_way.end(id).await;
        let pieces = self.extent(id).await?;
        let behind_first =
            stream::iter((1..pieces).rev()).map(|piece| self.delete_piece(id, piece));
        behind_first.buffered(DELETIONS_AT_ONCE).try_collect::<()>().await?;
        if pieces > 0 {
            self.delete_piece(id, 0).await?;
        }
        self.under_way.deleted(id);
        Ok(())
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, EngineError> {
        self.check_open()?;
        self.listing.lock().await.page(&self.data, after, limit).await
    }
}
