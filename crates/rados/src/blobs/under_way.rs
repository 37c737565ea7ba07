//! Blobs that this process is writing, so that a deletion can be final.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use costrel_core::engine::BlobId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::PIECES_AT_ONCE;

#[derive(Default)]
pub(super) struct UnderWay {
    blobs: Mutex<HashMap<BlobId, Weak<Tracker>>>,
}

/// Held by a blob's writer and by each of its pieces on their way.
pub(super) struct Tracker {
    id: BlobId,
    under_way: Arc<UnderWay>,
    /// A permit per piece on its way; closed when the blob is deleted.
    pub(super) pieces: Arc<Semaphore>,
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let mut blobs = self.under_way.blobs.lock();
        // Another writer of the same blob, which will fail, may have come since.
        if blobs.get(&self.id).is_some_and(|tracker| tracker.strong_count() == 0) {
            blobs.remove(&self.id);
        }
    }
}

impl UnderWay {
    pub(super) fn begin(self: &Arc<Self>, id: BlobId) -> Arc<Tracker> {
        let tracker = Arc::new(Tracker {
            id,
            under_way: self.clone(),
            pieces: Arc::new(Semaphore::new(PIECES_AT_ONCE)),
        });
        self.blobs.lock().insert(id, Arc::downgrade(&tracker));
        tracker
    }

    /// Returns when nothing of the blob is on its way, nor will be.
    pub(super) async fn end(&self, id: BlobId) {
        let tracker = self.blobs.lock().get(&id).and_then(Weak::upgrade);
        if let Some(tracker) = tracker {
            let all = tracker.pieces.acquire_many(PIECES_AT_ONCE as u32).await;
            tracker.pieces.close();
            drop(all);
        }
    }
}
