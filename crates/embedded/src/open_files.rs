//! How many files are kept open: parts of what the process may open, so that
//! connections and blobs have the rest.

use rustix::process::{Resource, getrlimit};

/// Tables of the row store: half.
pub(crate) fn rows_max() -> usize {
    part(2, 8192)
}

/// Segments of the log of bodies: a quarter. A body in one that is not open is read
/// by a thread that may wait, for several times the cost.
pub(crate) fn segments_max() -> usize {
    part(4, 16384)
}

fn part(of: u64, most: u64) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let part = limit.map_or(u64::MAX, |limit| limit / of);
    usize::try_from(part.clamp(64, most)).unwrap_or(64)
}
