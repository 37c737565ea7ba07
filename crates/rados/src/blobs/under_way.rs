//! Blobs that this process is writing, so that a deletion can be final.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use costrel_core::engine::BlobId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::PIECES_AT_ONCE;

/// Unfinished blobs that are remembered at most. Each is deleted soon after its
/// writer is gone.
const GIVEN_UP_MAX: usize = 100_000;

#[derive(Default)]
pub(super) struct UnderWay {
    blobs: Mutex<HashMap<BlobId, Weak<Tracker>>>,
    /// How many pieces this process has sent of blobs that it did not finish. Another
    /// gateway may have deleted the first of them when the later ones came: then
    /// nothing else tells where a blob ends.
    given_up: Mutex<HashMap<BlobId, u64>>,
}

/// Held by a blob's writer and by each of its pieces on their way.
pub(super) struct Tracker {
    id: BlobId,
    under_way: Arc<UnderWay>,
    /// A permit per piece on its way; closed when the blob is deleted.
    pub(super) pieces: Arc<Semaphore>,
    /// Pieces sent.
    sent: AtomicU64,
    finished: AtomicBool,
}

impl Tracker {
    /// Counts a piece; its number.
    pub(super) fn send(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Notes that the first piece tells the blob's length.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let sent = *self.sent.get_mut();
        if sent > 0 && !*self.finished.get_mut() {
            let mut given_up = self.under_way.given_up.lock();
            if given_up.len() < GIVEN_UP_MAX {
                given_up.insert(self.id, sent);
            }
        }
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
            sent: AtomicU64::new(0),
            finished: AtomicBool::new(false),
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

    /// How many pieces of an unfinished blob this process has sent.
    pub(super) fn given_up(&self, id: BlobId) -> u64 {
        self.given_up.lock().get(&id).copied().unwrap_or(0)
    }

    /// Notes that none of them is there any more.
    pub(super) fn deleted(&self, id: BlobId) {
        self.given_up.lock().remove(&id);
    }
}
