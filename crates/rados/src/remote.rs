//! Sending operations to a pool: bounded, counted, and with errors in words.

use std::sync::Arc;

use costrel_core::engine::EngineError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ffi::{Comparison, Errno, Pool, ReadOp, WriteOp};
use crate::ffi::{Done, Written};
use crate::status::{Status, count};

/// What may be on its way to one pool: operations, each counted once and once
/// more for every 16 KiB that it carries. librados' own limits, at which it
/// would block the calling thread, lie far above (see [`crate::options`]).
const UNITS: u32 = 4096;
const UNIT_BYTES: usize = 16 << 10;

/// One pool.
pub(crate) struct Remote {
    pool: Arc<Pool>,
    name: String,
    units: Arc<Semaphore>,
    status: Arc<Status>,
}

impl Remote {
    pub(crate) fn new(pool: Pool, name: &str, status: Arc<Status>) -> Self {
        let units = Arc::new(Semaphore::new(UNITS as usize));
        Remote { pool: Arc::new(pool), name: name.to_owned(), units, status }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    pub(crate) fn write_op(&self) -> WriteOp {
        WriteOp::new(self.pool.cluster())
    }

    pub(crate) fn read_op(&self) -> ReadOp {
        ReadOp::new(self.pool.cluster())
    }

    /// Waits until an operation that carries so many bytes may be sent.
    pub(crate) async fn permit(&self, bytes: usize) -> OwnedSemaphorePermit {
        let units = (1 + bytes / UNIT_BYTES).min(UNITS as usize) as u32;
        let permit = self.units.clone().acquire_many_owned(units).await;
        permit.expect("the semaphore is never closed")
    }

    /// Sends a write and waits for its end. The outer error says that it was
    /// not sent.
    pub(crate) async fn write(&self, object: &str, op: WriteOp) -> Result<Written, Errno> {
        let permit = self.permit(0).await;
        let answer = op.submit(&self.pool, object, permit)?;
        let unanswered = Written { code: Err(Errno::TIMEDOUT), failed_comparison: None };
        let written = answer.await.unwrap_or(unanswered);
        count(&self.status.counters.writes);
        self.status.heard(written.code.map(|_| ()));
        Ok(written)
    }

    /// A write of which only success or failure counts.
    pub(crate) async fn apply(&self, object: &str, op: WriteOp) -> Result<(), Errno> {
        self.write(object, op).await?.code.map(|_| ())
    }

    pub(crate) async fn read(&self, object: &str, op: ReadOp, bytes: usize) -> Result<Done, Errno> {
        let permit = self.permit(bytes).await;
        let answer = op.submit(&self.pool, object, permit)?;
        let done = answer.await.map_err(|_| Errno::TIMEDOUT)?;
        count(&self.status.counters.reads);
        self.status.heard(done.as_ref().map(|_| ()).map_err(|errno| *errno));
        done
    }

    /// Waits until nothing is on its way.
    pub(crate) async fn settle(&self) {
        let _ = self.units.acquire_many(UNITS).await;
    }

    /// An error that was not expected, for the layers above.
    pub(crate) fn error(&self, doing: &str, errno: Errno) -> EngineError {
        match errno {
            Errno::NOSPC | Errno::DQUOT => {
                self.status.note_full(errno, &format!("pool {}", self.name))
            }
            Errno::TIMEDOUT => {
                EngineError::Unavailable(format!("{doing}: pool {} does not answer", self.name))
            }
            Errno::SHUTDOWN => {
                EngineError::Unavailable(format!("{doing}: this client is blocklisted"))
            }
            _ => EngineError::io(format!("{doing} in pool {}", self.name), errno.io()),
        }
    }
}

/// The condition that a key is absent: an absent one counts as empty.
pub(crate) fn expect_absent(op: &mut WriteOp, key: &[u8]) {
    op.compare(key, Comparison::Equal, b"");
}

pub(crate) fn expect_present(op: &mut WriteOp, key: &[u8]) {
    op.compare(key, Comparison::Greater, b"");
}

pub(crate) fn expect_equal(op: &mut WriteOp, key: &[u8], value: &[u8]) {
    op.compare(key, Comparison::Equal, value);
}
