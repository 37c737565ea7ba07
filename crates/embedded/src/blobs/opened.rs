//! Blobs that were opened a moment ago.
//!
//! Opening a file and checking its footer is a tenth of what a short read costs, and
//! hot objects are read thousands of times a second. So a reader is used again for a
//! moment; not longer, so that a file that somebody takes away is soon missed, by
//! requests and by the scrub alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use costrel_core::engine::{BlobId, BlobReader};
use parking_lot::Mutex;

/// How long a reader is used again after it was opened.
const FRESH: Duration = Duration::from_secs(1);

/// How many readers are kept at most; each holds a file open.
const SLOTS: usize = 512;

#[derive(Default)]
struct Slot {
    kept: Option<(BlobId, Instant, Arc<dyn BlobReader>)>,
    /// Deletions so far of blobs that belong here.
    deletions: u64,
}

/// Every blob has one place, which it shares: ids are random.
pub(super) struct Opened(Box<[Mutex<Slot>]>);

/// A place that had nothing of use, and what had happened there by then.
#[derive(Clone, Copy)]
pub(super) struct Vacancy {
    deletions: u64,
}

impl Default for Opened {
    fn default() -> Self {
        Opened((0..SLOTS).map(|_| Mutex::default()).collect())
    }
}

impl Opened {
    fn slot(&self, id: BlobId) -> &Mutex<Slot> {
        let [.., high, low] = id.0;
        &self.0[usize::from(u16::from_be_bytes([high, low])) % SLOTS]
    }

    /// A reader that was opened a moment ago, or where to put the one that is opened
    /// now.
    pub(super) fn find(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, Vacancy> {
        let slot = self.slot(id).lock();
        match &slot.kept {
            Some((kept, since, reader)) if *kept == id && since.elapsed() < FRESH => {
                Ok(reader.clone())
            }
            _ => Err(Vacancy { deletions: slot.deletions }),
        }
    }

    /// Keeps a reader, unless the blob may have been deleted since `vacancy` was found:
    /// its file would take space for as long as nothing else comes here.
    pub(super) fn keep(&self, id: BlobId, vacancy: Vacancy, reader: &Arc<dyn BlobReader>) {
        let mut slot = self.slot(id).lock();
        if slot.deletions == vacancy.deletions {
            slot.kept = Some((id, Instant::now(), reader.clone()));
        }
    }

    /// Lets go of a blob that is being deleted.
    pub(super) fn forget(&self, id: BlobId) {
        let mut slot = self.slot(id).lock();
        slot.deletions += 1;
        slot.kept.take_if(|(kept, ..)| *kept == id);
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use costrel_core::engine::EngineError;

    use super::*;

    struct Nothing;

    #[async_trait]
    impl BlobReader for Nothing {
        fn len(&self) -> u64 {
            0
        }

        async fn read_at(&self, _: u64, _: usize) -> Result<Bytes, EngineError> {
            Ok(Bytes::new())
        }
    }

    #[test]
    fn a_reader_is_kept_until_the_blob_is_deleted_or_another_comes() {
        let opened = Opened::default();
        let reader: Arc<dyn BlobReader> = Arc::new(Nothing);
        // Both belong to the same place.
        let (id, other) =
            (BlobId([1; 16]), BlobId([[2; 14].as_slice(), &[1; 2]].concat().try_into().unwrap()));
        let kept = |id| opened.find(id).is_ok();

        let vacancy = opened.find(id).err().unwrap();
        opened.keep(id, vacancy, &reader);
        assert!(kept(id) && !kept(other));
        opened.forget(other);
        assert!(kept(id));
        opened.forget(id);
        assert!(!kept(id));

        let before_deletion = opened.find(id).err().unwrap();
        opened.forget(id);
        opened.keep(id, before_deletion, &reader);
        assert!(!kept(id), "deleted while it was opened");
        assert_eq!(Arc::strong_count(&reader), 1);

        let vacancy = opened.find(other).err().unwrap();
        opened.keep(id, vacancy, &reader);
        opened.keep(other, vacancy, &reader);
        assert!(kept(other) && !kept(id));
        std::thread::sleep(FRESH);
        assert!(!kept(other), "opened too long ago");
    }
}
