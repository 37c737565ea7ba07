//! Moves a whole installation from one engine to another.
//!
//! A pass compares the rows of both, in order, and makes the target's equal to the
//! source's. So an interrupted one is resumed by another, and one that follows a
//! whole one carries only what has changed. Rows are carried as they are, whatever
//! they mean; what is known of them is where they name bodies (`naming.rs`, `plan.rs`), because
//! engines differ in which bodies they keep as rows (`bodies.rs`).
//!
//! What holds on the target at any moment, so that a pass may end anywhere:
//!
//! 1. The marker (`marker.rs`) says that the copy is not finished. No server starts
//!    on it.
//! 2. A row that names a body is written when the body is stable and has been read
//!    back. So a row that equals the source's needs no look at its body.
//! 3. A body that may be named by nothing is named by a pending row
//!    (`leftovers.rs`), written before the body or with the commit that takes its
//!    name away.
//!
//! The source may be served by others meanwhile, where several processes can have it
//! open. Then the copy is not finished, however much was carried: a last pass is
//! made when nobody serves it.

mod bodies;
mod differences;
mod leftovers;
mod marker;
mod pass;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Engine, EngineError, PartitionState};
use crate::error::Error;
use crate::usage;
use marker::Marker;
pub use marker::{Unfinished, admit};
use pass::Pass;

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows of the source that were compared.
    pub rows: u64,
    pub rows_written: u64,
    /// Rows that the source does not have any more.
    pub rows_removed: u64,
    pub bodies: u64,
    /// Bytes of these bodies; each was read back and compared.
    pub bytes: u64,
    /// Rows that changed while they were carried. Another pass finds them.
    pub moved: u64,
    /// Whether others had the source open.
    pub source_served: bool,
    /// What cannot be carried because the source is damaged, in words for the
    /// operator.
    pub findings: Vec<String>,
}

impl Report {
    /// Whether the target holds all that the source does, and may be served.
    pub fn is_finished(&self) -> bool {
        self.findings.is_empty() && self.moved == 0 && !self.source_served
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("the source holds no installation")]
    SourceEmpty,
    #[error("the source is a copy that is not finished itself")]
    SourceUnfinished,
    #[error(
        "the target holds an installation that is no copy, or a copy that has been served since"
    )]
    TargetInUse,
    #[error("the target is the copy of another installation")]
    TargetOfAnother,
    #[error("others have the target open")]
    TargetOpen,
    #[error("copying: {0}")]
    Store(#[from] Error),
    #[error("copying: {0}")]
    Engine(#[from] EngineError),
}

/// How long another process that has died may be counted as one that has the store
/// open.
const DEAD_FOR_SURE: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long the work on the shape of the target's rows rests when there is none.
const TEND_PAUSE: Duration = Duration::from_secs(1);

/// Makes one pass, and marks the copy as finished if it is. `progress` is called now
/// and then with the report so far.
pub async fn run(
    source: Arc<dyn Engine>,
    target: Arc<dyn Engine>,
    progress: impl FnMut(&Report) + Send,
) -> Result<Report, TransferError> {
    let Some(wanted) = Marker::of(&*source).await? else {
        return Err(TransferError::SourceEmpty);
    };
    if marker::read(&*source).await?.is_some_and(|marker| !marker.finished) {
        return Err(TransferError::SourceUnfinished);
    }
    wait_alone(&*target).await?;
    let served_before = others(&*source).await? > 0;
    let is_fresh = wanted.begin(&*target).await?;
    let pass = Pass::new(&*source, &*target, is_fresh, progress);
    // Rows by the million would pile up in one place.
    let mut report = tokio::select! {
        done = pass.run() => done?,
        error = tend(&*target) => return Err(error.into()),
    };
    report.source_served = served_before || others(&*source).await? > 0;
    // The target's rows were written as they are, and count for what they count for.
    for (bucket, state) in target.index().partitions().await? {
        if state == PartitionState::Live {
            let recount = usage::recount(&*target, bucket).await?;
            if !recount.agrees() {
                usage::correct(&*target, bucket, &recount).await?;
            }
        }
    }
    if report.is_finished() {
        wanted.finish(&*target).await?;
    }
    Ok(report)
}

/// Waits until a run that was killed just now is known to be dead.
async fn wait_alone(target: &dyn Engine) -> Result<(), TransferError> {
    let begun = tokio::time::Instant::now();
    while others(target).await? > 0 {
        if begun.elapsed() >= DEAD_FOR_SURE {
            return Err(TransferError::TargetOpen);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    Ok(())
}

async fn others(engine: &dyn Engine) -> Result<usize, EngineError> {
    match engine.peers() {
        Some(peers) => peers.others().await,
        None => Ok(0),
    }
}

/// Looks after the shape of the target's rows. Ends only by failing.
async fn tend(target: &dyn Engine) -> EngineError {
    let Some(peers) = target.peers() else { return std::future::pending().await };
    loop {
        if let Err(error) = peers.tend().await {
            return error;
        }
        tokio::time::sleep(TEND_PAUSE).await;
    }
}
