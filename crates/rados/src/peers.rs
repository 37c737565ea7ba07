//! Other gateways on the same namespace: they are told by notifications on one
//! object that all of them watch.
//!
//! Being told is a courtesy. What a gateway remembers of a bucket it remembers for
//! a second; whoever announces waits longer than that for those that are silent.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use costrel_core::engine::{
    BucketId, Commit, CommitError, EngineError, Listener, Partition, Peers,
};
use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::ffi::{Errno, Heard, Told, Watch};
use crate::index::RadosIndex;
use crate::remote::Remote;

const OBJECT: &str = "peers";

const MEMORY_MAX: Duration = Duration::from_secs(1);
/// A watcher that has not answered by then goes by nothing old any more.
const NOTIFY_TIMEOUT_MS: u64 = 1500;

/// Silence after which the cluster takes a watcher for dead.
const WATCH_TIMEOUT_S: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct RadosPeers {
    meta: Arc<Remote>,
    index: Arc<RadosIndex>,
    listener: Arc<RwLock<Option<Listener>>>,
    stop: watch::Sender<bool>,
    following: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl RadosPeers {
    pub(crate) async fn open(
        meta: Arc<Remote>,
        index: Arc<RadosIndex>,
    ) -> Result<Self, EngineError> {
        let mut op = meta.write_op();
        op.create_exclusive();
        match meta.apply(OBJECT, op).await {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(meta.error("making the object that gateways watch", errno)),
        }
        let listener: Arc<RwLock<Option<Listener>>> = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let following = tokio::spawn(follow(meta.clone(), listener.clone(), stopped));
        let following = parking_lot::Mutex::new(Some(following));
        Ok(RadosPeers { meta, index, listener, stop, following })
    }

    async fn notify(&self, data: &[u8]) -> Result<Heard, Errno> {
        let permit = self.meta.permit(0).await;
        let sent = self.meta.pool().notify(OBJECT, data, NOTIFY_TIMEOUT_MS, permit)?;
        sent.await.map_err(|_| Errno::TIMEDOUT)
    }

    /// Ends the watch.
    pub(crate) async fn close(&self) {
        let _ = self.stop.send(true);
        let following = self.following.lock().take();
        if let Some(following) = following {
            let _ = following.await;
        }
    }
}

/// Watches, and watches anew when a watch breaks.
async fn follow(
    meta: Arc<Remote>,
    listener: Arc<RwLock<Option<Listener>>>,
    mut stopped: watch::Receiver<bool>,
) {
    let tell = |bucket| {
        if let Some(listener) = &*listener.read() {
            listener(bucket);
        }
    };
    let mut failing = false;
    loop {
        let (told, mut hears) = mpsc::unbounded_channel();
        let pool = meta.pool().clone();
        let watching =
            tokio::task::spawn_blocking(move || Watch::new(pool, OBJECT, WATCH_TIMEOUT_S, told));
        match watching.await {
            Ok(Ok(watch)) => {
                failing = false;
                // Whatever was announced before was missed.
                tell(None);
                loop {
                    let told = tokio::select! {
                        told = hears.recv() => told,
                        _ = stopped.changed() => None,
                    };
                    match told {
                        Some(Told::Notified { id, cookie, data }) => {
                            let bucket = data[..].try_into().map(u64::from_be_bytes);
                            tell(bucket.ok().map(BucketId));
                            watch.acknowledge(id, cookie);
                        }
                        Some(Told::Broken(error)) => {
                            tracing::debug!(%error, "a watch broke and is made anew");
                            break;
                        }
                        None => break,
                    }
                }
                let _ = tokio::task::spawn_blocking(move || drop(watch)).await;
            }
            Ok(Err(error)) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(%error, "this gateway is not told of others' changes for now");
            }
            Ok(Err(_)) | Err(_) => {}
        }
        tell(None);
        if *stopped.borrow() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stopped.changed() => return,
        }
    }
}

#[async_trait]
impl Peers for RadosPeers {
    fn memory_max(&self) -> Duration {
        MEMORY_MAX
    }

    fn listen(&self, listener: Listener) {
        *self.listener.write() = Some(listener);
    }

    async fn announce(&self, bucket: BucketId) {
        let begun = tokio::time::Instant::now();
        let told = self.notify(&bucket.0.to_be_bytes()).await.and_then(|heard| heard.outcome);
        if told.is_err() {
            tokio::time::sleep_until(begun + MEMORY_MAX).await;
        }
    }

    async fn commit_by(&self, epoch: u64, commit: Commit) -> Result<(), CommitError> {
        self.index.commit_by(Some(epoch), &commit).await
    }

    async fn enforce(&self, bucket: BucketId, epoch: u64) -> Result<(), EngineError> {
        self.index.enforce(Partition::Bucket(bucket), epoch).await
    }

    async fn others(&self) -> Result<usize, EngineError> {
        // That means no bucket in particular, and is always true.
        let asked = self.notify(&[]).await;
        let failed = |errno| self.meta.error("asking who else is there", errno);
        let Heard { outcome, watchers } = asked.map_err(failed)?;
        // Those who are silent are named too.
        if watchers.is_empty() {
            outcome.map_err(failed)?;
        }
        let mine = self.meta.pool().cluster().client();
        Ok(watchers.into_iter().filter(|watcher| *watcher != mine).count())
    }

    async fn tend(&self) -> Result<(), EngineError> {
        self.index.tend().await
    }
}
