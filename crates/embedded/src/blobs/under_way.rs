//! Which blobs are being written.
//!
//! A writer that is dropped may leave a write on its way, and the collector may
//! delete the blob at that moment. The write must not bring the file back: so a
//! deletion waits for a write that is on its way and forbids those to come.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use costrel_core::engine::BlobId;
use parking_lot::{Condvar, Mutex};

#[derive(Default)]
struct Progress {
    /// A write is on its way.
    busy: bool,
    /// The blob was deleted; nothing more is written to it.
    deleted: bool,
}

/// The blobs between their creation and their end.
#[derive(Default)]
pub(super) struct UnderWay {
    blobs: Mutex<HashMap<BlobId, Progress>>,
    idle: Condvar,
}

impl UnderWay {
    /// Notes a new blob; `false` if it is being written already.
    pub(super) fn begin(&self, id: BlobId) -> bool {
        match self.blobs.lock().entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(Progress::default());
                true
            }
        }
    }

    /// Does a write, unless the blob was deleted.
    pub(super) fn write<T>(&self, id: BlobId, write: impl FnOnce() -> T) -> Option<T> {
        {
            let mut blobs = self.blobs.lock();
            let progress = blobs.get_mut(&id).filter(|progress| !progress.deleted)?;
            progress.busy = true;
        }
        let written = write();
        if let Some(progress) = self.blobs.lock().get_mut(&id) {
            progress.busy = false;
        }
        self.idle.notify_all();
        Some(written)
    }

    /// Forbids further writes and waits for the one that is on its way. Blocks.
    pub(super) fn delete(&self, id: BlobId) {
        let mut blobs = self.blobs.lock();
        while let Some(progress) = blobs.get_mut(&id) {
            progress.deleted = true;
            if !progress.busy {
                break;
            }
            self.idle.wait(&mut blobs);
        }
    }

    /// Notes that there will be no more writes: the blob is finished, or its
    /// writer and the last write are gone.
    pub(super) fn end(&self, id: BlobId) {
        self.blobs.lock().remove(&id);
        self.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    const ID: BlobId = BlobId([1; 16]);

    #[test]
    fn a_deletion_waits_for_the_write_and_forbids_the_next() {
        let under_way = Arc::new(UnderWay::default());
        assert!(under_way.begin(ID));
        assert!(!under_way.begin(ID));
        let done = Arc::new(AtomicBool::new(false));
        let (begun, has_begun) = std::sync::mpsc::channel();
        let writer = std::thread::spawn({
            let (under_way, done) = (under_way.clone(), done.clone());
            move || {
                under_way.write(ID, || {
                    begun.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                    done.store(true, Ordering::Release);
                })
            }
        });
        has_begun.recv().unwrap();
        under_way.delete(ID);
        assert!(done.load(Ordering::Acquire), "the deletion did not wait");
        assert!(writer.join().unwrap().is_some());
        assert!(under_way.write(ID, || ()).is_none(), "a write after the deletion");
        under_way.end(ID);
        under_way.delete(ID);
    }
}
