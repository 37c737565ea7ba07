//! Which blobs were deleted a moment ago. A reader has read a row that names one, is
//! overtaken by whoever replaces the object, and comes too late to open it: that is no
//! loss, and the reader looks at the row again.

use std::collections::{HashSet, VecDeque};

use costrel_core::engine::BlobId;
use parking_lot::Mutex;

/// Blobs that are remembered at most: what a fast disk deletes in a second.
const REMEMBERED_MAX: usize = 1 << 14;

#[derive(Debug, Default)]
pub(super) struct Freed(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    known: HashSet<BlobId>,
    /// The oldest first.
    order: VecDeque<BlobId>,
}

impl Freed {
    /// To be called before the blob's file goes.
    pub(super) fn note(&self, id: BlobId) {
        let mut recent = self.0.lock();
        if !recent.known.insert(id) {
            return;
        }
        recent.order.push_back(id);
        if recent.order.len() > REMEMBERED_MAX
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.known.remove(&oldest);
        }
    }

    pub(super) fn knows(&self, id: BlobId) -> bool {
        self.0.lock().known.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let freed = Freed::default();
        let id = |n: usize| BlobId((n as u128).to_be_bytes());
        for n in 0..=REMEMBERED_MAX {
            freed.note(id(n));
            freed.note(id(n));
        }
        assert!(!freed.knows(id(0)));
        assert!(freed.knows(id(1)) && freed.knows(id(REMEMBERED_MAX)));
    }
}
