//! Blobs in the order of their ids, for checks.
//!
//! A pool lists its objects in an order of its own, so each pass over the pool
//! keeps the lowest ids behind the last page, as many as memory allows; pages are
//! cut from them.

use std::collections::BTreeMap;

use costrel_core::engine::{BlobId, BlobInfo, EngineError};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::format::{FINISHED, decode_finished, parse_piece_name, piece_name, stored_bytes};
use crate::ffi::Errno;
use crate::remote::Remote;

/// Blobs that one pass over the pool keeps.
const WINDOW: usize = 500_000;

/// Blobs whose length is asked for at once.
const AT_ONCE: usize = 16;

/// What the last pass kept.
#[derive(Default)]
pub(super) struct Listing {
    /// Where the last page ended; the window goes on from there.
    at: Option<BlobId>,
    /// Highest piece of each blob.
    window: BTreeMap<BlobId, u64>,
    /// There may be more behind the window.
    more: bool,
}

impl Listing {
    pub(super) async fn page(
        &mut self,
        data: &Remote,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, EngineError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let goes_on = after.is_some() && after == self.at;
        if !goes_on || (self.window.is_empty() && self.more) {
            self.fill(data, after).await?;
        }
        let mut page = Vec::new();
        while page.len() < limit {
            let Some((id, last)) = self.window.pop_first() else {
                if !self.more {
                    break;
                }
                self.fill(data, self.at).await?;
                continue;
            };
            self.at = Some(id);
            page.push((id, last));
        }
        let sizes = stream::iter(page).map(|(id, last)| async move {
            let stored_bytes = size(data, id, last).await?;
            Ok::<_, EngineError>(BlobInfo { id, stored_bytes })
        });
        sizes.buffered(AT_ONCE).try_collect().await
    }

    async fn fill(&mut self, data: &Remote, after: Option<BlobId>) -> Result<(), EngineError> {
        self.at = after;
        let pool = data.pool().clone();
        let pass = tokio::task::spawn_blocking(move || {
            let mut window: BTreeMap<BlobId, u64> = BTreeMap::new();
            let mut more = false;
            pool.list(|name| {
                // What is not a piece of ours is not ours to judge.
                if let Some((id, piece)) = parse_piece_name(name)
                    && after.is_none_or(|after| id > after)
                {
                    let last = window.entry(id).or_default();
                    *last = piece.max(*last);
                    if window.len() > WINDOW {
                        window.pop_last();
                        more = true;
                    }
                }
                true
            })?;
            Ok((window, more))
        });
        let pass = pass.await.unwrap_or(Err(Errno::TIMEDOUT));
        (self.window, self.more) = pass.map_err(|errno| data.error("listing blobs", errno))?;
        Ok(())
    }
}

/// Bytes that a blob occupies; those of its last known piece alone where it was
/// not finished and the others are whole.
async fn size(data: &Remote, id: BlobId, last: u64) -> Result<u64, EngineError> {
    let mut op = data.read_op();
    op.xattrs();
    match data.read(&piece_name(id, 0), op, 0).await {
        Ok(done) => {
            let mut attributes = done.xattrs().into_iter();
            let finished = attributes.find(|(name, _)| name == FINISHED.to_bytes());
            if let Some(len) = finished.and_then(|(_, value)| decode_finished(&value)) {
                return Ok(stored_bytes(len));
            }
        }
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(data.error("reading a blob's length", errno)),
    }
    let mut op = data.read_op();
    op.stat();
    match data.read(&piece_name(id, last), op, 0).await {
        Ok(done) => Ok(last * super::format::PIECE_BYTES as u64 + done.size()),
        // Deleted since it was listed.
        Err(Errno::NOENT) => Ok(0),
        Err(errno) => Err(data.error("reading a piece's length", errno)),
    }
}
