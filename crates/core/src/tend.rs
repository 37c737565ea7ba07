//! Work on the rows that several processes share: one does it for all of them, and
//! another takes over when it dies.

use std::sync::Arc;
use std::time::Duration;

use crate::claim::Claim;
use crate::store::Store;

/// Rest between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Rest after a look that failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Tends until the future is dropped, if the store is shared.
pub async fn run(store: Arc<Store>) {
    let Some(peers) = store.engine.peers() else { return };
    let claim = Claim::new(store.clone(), "shards");
    loop {
        let pause = match claim.hold().await {
            Ok(true) => {
                // A look may take long; the claim is kept meanwhile.
                let tended = tokio::select! {
                    tended = peers.tend() => tended,
                    () = lost(&claim) => Ok(()),
                };
                match tended {
                    Ok(()) => PAUSE,
                    Err(error) => {
                        tracing::warn!(%error, "index shards were not looked after");
                        RETRY_AFTER
                    }
                }
            }
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "nobody can claim to look after index shards");
                RETRY_AFTER
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Returns when the work is another's.
async fn lost(claim: &Claim) {
    loop {
        tokio::time::sleep(PAUSE).await;
        // A cluster that does not answer is nobody else's reason to take over yet.
        if let Ok(false) = claim.hold().await {
            return;
        }
    }
}
