//! The engine as a whole: opening, closing, health and metrics.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use costrel_core::engine::{Blobs, Engine, EngineError, Health, Index, Metric, Peers};

use crate::blobs::RadosBlobs;
use crate::check::{self, OpenError};
use crate::ffi::{Cluster, Errno};
use crate::index::RadosIndex;
use crate::metrics;
use crate::options::Options;
use crate::peers::RadosPeers;
use crate::remote::Remote;
use crate::status::Status;

/// The format of everything in a namespace.
const FORMAT: &str = "2";
/// The object that says so, and its row.
const INSTALLATION: &str = "installation";
const FORMAT_ROW: &[u8] = b"format";

/// Rows and bodies in two pools of a Ceph cluster, shared with any number of
/// other processes.
pub struct RadosEngine {
    index: Arc<RadosIndex>,
    blobs: RadosBlobs,
    places: Vec<(String, RadosBlobs)>,
    peers: RadosPeers,
    status: Arc<Status>,
    options: Options,
}

impl RadosEngine {
    /// Connects, checks that the cluster can do what is needed, and makes what a
    /// first start needs.
    pub async fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let connecting = {
            let options = options.clone();
            move || {
                let connected = Cluster::connect(&options.conf, &options.user, &options.settings());
                let cluster = connected.map_err(|error| check::explain(error, &options))?;
                check::cluster(&cluster, &options)?;
                let meta = check::pool(&cluster, &options.meta_pool, &options)?;
                let bodies = options.body_pools().map(|pool| {
                    let opened = check::pool(&cluster, pool, &options)?;
                    Ok::<_, OpenError>((pool.to_owned(), opened))
                });
                Ok::<_, OpenError>((meta, bodies.collect::<Result<Vec<_>, _>>()?))
            }
        };
        let connected = tokio::task::spawn_blocking(connecting).await;
        let (meta, bodies) = connected.map_err(|error| {
            EngineError::io("connecting to the cluster", std::io::Error::other(error))
        })??;
        let status = Arc::new(Status::default());
        let meta = Remote::new(meta, &options.meta_pool, status.clone());
        check::rights(&meta, &options.meta_pool, true, &options).await?;
        let mut stores = Vec::new();
        for (pool, opened) in bodies {
            let data = Remote::new(opened, &pool, status.clone());
            check::rights(&data, &pool, false, &options).await?;
            stores.push(RadosBlobs::new(data));
        }
        let mut stores = stores.into_iter();
        let blobs = stores.next().expect("the data pool is the first");
        let places = options.places.iter().map(|(name, _)| name.clone()).zip(stores).collect();
        check_format(&meta, &options).await?;
        let meta = Arc::new(meta);
        let index =
            Arc::new(RadosIndex::open(meta.clone(), options.op_timeout, options.bounds()).await?);
        let peers = RadosPeers::open(meta, index.clone()).await?;
        Ok(Arc::new(RadosEngine { index, blobs, places, peers, status, options }))
    }
}

/// Writes the format at the first start and refuses one that is not known.
async fn check_format(meta: &Remote, options: &Options) -> Result<(), OpenError> {
    if options.make {
        let mut op = meta.write_op();
        op.create_exclusive();
        op.set(&[(FORMAT_ROW, FORMAT)]);
        match meta.apply(INSTALLATION, op).await {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(meta.error("writing the format", errno).into()),
        }
    }
    let mut op = meta.read_op();
    op.keys(&[FORMAT_ROW]);
    let done = match meta.read(INSTALLATION, op, 0).await {
        Ok(done) => done,
        Err(Errno::NOENT) => {
            return Err(OpenError::Nothing {
                pool: options.meta_pool.clone(),
                namespace: options.namespace.clone(),
            });
        }
        Err(errno) => return Err(meta.error("reading the format", errno).into()),
    };
    let found = done.keys().into_iter().next().map(|(_, value)| value).unwrap_or_default();
    if found == FORMAT.as_bytes() {
        return Ok(());
    }
    Err(OpenError::Format {
        pool: options.meta_pool.clone(),
        namespace: options.namespace.clone(),
        found: String::from_utf8_lossy(&found).into_owned(),
        known: FORMAT,
    })
}

#[async_trait]
impl Engine for RadosEngine {
    fn index(&self) -> &dyn Index {
        &*self.index
    }

    fn blobs(&self) -> &dyn Blobs {
        &self.blobs
    }

    fn place(&self, name: &str) -> Option<&dyn Blobs> {
        let found = self.places.iter().find(|(known, _)| known == name);
        found.map(|(_, blobs)| blobs as &dyn Blobs)
    }

    fn places(&self) -> Vec<&str> {
        self.places.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn peers(&self) -> Option<&dyn Peers> {
        Some(&self.peers)
    }

    fn inline_max(&self) -> usize {
        self.options.inline_max
    }

    fn reader_grace(&self) -> Duration {
        self.options.reader_grace
    }

    fn pending_age_max(&self) -> Option<Duration> {
        Some(self.options.pending_age_max)
    }

    fn health(&self) -> Health {
        self.status.health()
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::collect(&self.status.counters)
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.status.close();
        self.peers.close().await;
        // librados ends every operation, if only with a timeout.
        self.index.settle().await;
        self.blobs.settle().await;
        for (_, blobs) in &self.places {
            blobs.settle().await;
        }
        Ok(())
    }
}
