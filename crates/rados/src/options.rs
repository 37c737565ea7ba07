//! How the engine is opened.

use std::path::PathBuf;
use std::time::Duration;

use crate::index::Bounds;

/// Where the cluster is and what the engine may take of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ceph's own configuration: monitors, keyring.
    pub conf: PathBuf,
    /// `client.name`.
    pub user: String,
    /// Replicated pool for rows.
    pub meta_pool: String,
    /// Replicated or erasure-coded pool for bodies.
    pub data_pool: String,
    /// Other places for bodies, each a name and a pool. Default none.
    pub places: Vec<(String, String)>,
    /// Namespace in both pools; several installations can share them.
    pub namespace: String,
    /// Whether a namespace that holds nothing is made ready. A check does not make
    /// what it is to check.
    pub make: bool,
    /// How long one operation may take. Longer than the cluster's ordinary
    /// failover, which takes about 25 seconds when an OSD hangs.
    pub op_timeout: Duration,
    /// Largest body kept beside its row, in bytes.
    pub inline_max: usize,
    /// Rows that an index shard may hold before it is split.
    pub shard_rows_max: u64,
    /// How long a blob stays readable after it was unreferenced.
    pub reader_grace: Duration,
    /// Age at which an unfinished blob of another gateway counts as abandoned.
    pub pending_age_max: Duration,
}

/// Where a body in the omap is no longer twice as fast as one of its own.
pub const INLINE_MAX_DEFAULT: usize = 4 << 10;

/// Half of where Ceph warns of large omaps.
const SHARD_ROWS_MAX_DEFAULT: u64 = 100_000;
/// Bytes of keys and values that an index shard may hold. A shard is recovered as
/// a whole, and blocked meanwhile.
const SHARD_BYTES_MAX: i64 = 256 << 20;

impl Options {
    pub fn new(conf: impl Into<PathBuf>, user: &str, meta_pool: &str, data_pool: &str) -> Self {
        Options {
            conf: conf.into(),
            user: user.to_owned(),
            meta_pool: meta_pool.to_owned(),
            data_pool: data_pool.to_owned(),
            places: Vec::new(),
            namespace: String::new(),
            make: true,
            op_timeout: Duration::from_secs(30),
            inline_max: INLINE_MAX_DEFAULT,
            shard_rows_max: SHARD_ROWS_MAX_DEFAULT,
            reader_grace: Duration::from_secs(3600),
            pending_age_max: Duration::from_secs(24 * 3600),
        }
    }

    /// The pools for bodies, that of the engine's own place first.
    pub(crate) fn body_pools(&self) -> impl Iterator<Item = &str> {
        let others = self.places.iter().map(|(_, pool)| pool.as_str());
        std::iter::once(self.data_pool.as_str()).chain(others)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let rows = i64::try_from(self.shard_rows_max).unwrap_or(i64::MAX);
        Bounds { rows, bytes: SHARD_BYTES_MAX }
    }

    /// Settings of librados that the engine depends on.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let op_timeout = self.op_timeout.as_secs_f64().to_string();
        let monitor_timeout = self.op_timeout.as_secs_f64().min(10.0).to_string();
        vec![
            // Without these an operation waits for ever.
            ("rados_osd_op_timeout", op_timeout),
            ("rados_mon_op_timeout", monitor_timeout.clone()),
            ("client_mount_timeout", monitor_timeout),
            // At these limits librados blocks the thread that asks; the engine
            // keeps its own, far lower, and waits without a thread.
            ("objecter_inflight_ops", "24576".into()),
            ("objecter_inflight_op_bytes", (1u64 << 30).to_string()),
        ]
    }
}
