//! The engine as a whole: opening, closing, health and metrics.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use costrel_core::engine::{Blobs, Engine, EngineError, Health, Index, Metric, Peers};
use parking_lot::Mutex;

use crate::blobs::{Buffers, EmbeddedBlobs};
use crate::blocking::run_blocking;
use crate::bodies::BodyLog;
use crate::data_dir::{self, OpenError};
use crate::disk::{Disk, RealDisk};
use crate::index::{self, EmbeddedIndex};
use crate::metrics;
use crate::options::{Durability, Options};
use crate::places::{self, BLOBS_DIR};
use crate::space::SpaceGuard;
use crate::status::Status;

const INDEX_DIR: &str = "index";

/// Rows and bodies in one directory of a local disk.
pub struct EmbeddedEngine {
    index: Arc<EmbeddedIndex>,
    blobs: EmbeddedBlobs,
    places: Vec<(String, EmbeddedBlobs)>,
    space: Arc<SpaceGuard>,
    status: Arc<Status>,
    inline_max: usize,
    /// Given back when the engine has closed.
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

impl EmbeddedEngine {
    /// Opens the data directory, or makes it, and recovers from whatever ended
    /// the last run. Blocks.
    pub fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let dir = &options.data_dir;
        let disk = directory(dir)?;
        let lock = data_dir::claim(&*disk, dir)?;
        if options.durability == Durability::None {
            tracing::warn!(
                data_dir = %dir.display(),
                "durability is \"none\": nothing is synced, and a crash of the machine LOSES \
                 acknowledged writes; for throw-away test servers only"
            );
        }
        let failed = |problem| OpenError::Engine { dir: dir.clone(), problem };
        let status = Arc::new(Status::default());
        let space = SpaceGuard::new(disk.clone(), status.clone(), options.reserve_bytes);
        let space = Arc::new(space);
        let path = dir.join(INDEX_DIR);
        let log = BodyLog::open(disk.clone(), space.clone(), status.clone(), options.durability);
        let log = log.map_err(failed)?;
        // A start frees what no row names, and without rows that would be everything.
        // Bodies have a place only once there is a row store: a first start that was cut
        // short before is made again.
        match dir.join(BLOBS_DIR).exists() || log.has_segments().map_err(failed)? {
            true => index::check_whole(&path, &status).map_err(failed)?,
            false => index::remove_unmade(&path).map_err(failed)?,
        }
        let index = EmbeddedIndex::open(&path, &options, log, space.clone(), status.clone());
        let index = Arc::new(index.map_err(failed)?);
        let buffers = Buffers::new(options.memory().blob_buffers);
        let blobs = |disk: &Arc<dyn Disk>, space: Arc<SpaceGuard>| {
            let (status, buffers) = (status.clone(), buffers.clone());
            EmbeddedBlobs::open(disk.clone(), space, status, options.durability, buffers)
        };
        let mut others = Vec::new();
        places::check(&*disk, dir, &options.places)?;
        for (name, place_dir) in &options.places {
            let place = directory(place_dir)?;
            places::claim((&*disk, dir), (&*place, place_dir), name)?;
            let space = SpaceGuard::new(place.clone(), status.clone(), options.reserve_bytes);
            let opened = blobs(&place, Arc::new(space));
            let failed = |problem| OpenError::Engine { dir: place_dir.clone(), problem };
            others.push((name.clone(), opened.map_err(failed)?));
        }
        Ok(Arc::new(EmbeddedEngine {
            index,
            blobs: blobs(&disk, space.clone()).map_err(failed)?,
            places: others,
            space,
            status,
            inline_max: options.inline_max,
            lock: Mutex::new(Some(lock)),
        }))
    }
}

/// Makes a directory, for nobody else on the machine: it holds everybody's objects.
fn directory(dir: &Path) -> Result<Arc<dyn Disk>, OpenError> {
    let failed = |action| move |source| OpenError::Io { dir: dir.to_path_buf(), action, source };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| sync_parent(dir)).map_err(failed("make it"))?;
    Ok(Arc::new(RealDisk::open(dir).map_err(failed("read it"))?))
}

/// Makes the directory's own name last.
fn sync_parent(dir: &Path) -> std::io::Result<()> {
    match dir.canonicalize()?.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[async_trait]
impl Engine for EmbeddedEngine {
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
        None
    }

    fn inline_max(&self) -> usize {
        self.inline_max
    }

    /// Zero: a deleted file can be read by whoever has it open.
    fn reader_grace(&self) -> Duration {
        Duration::ZERO
    }

    fn pending_age_max(&self) -> Option<Duration> {
        None
    }

    fn health(&self) -> Health {
        self.status.health()
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::collect(&self.status.counters, self.space.free_bytes().ok(), self.index.sizes())
    }

    async fn audit(&self) -> Result<Vec<String>, EngineError> {
        self.index.audit().await
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.status.close();
        let index = self.index.clone();
        let closed = run_blocking(move || index.close()).await;
        *self.lock.lock() = None;
        closed
    }
}
