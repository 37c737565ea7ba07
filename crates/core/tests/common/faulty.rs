//! An engine over another that fails when it is told to, and lets other tasks
//! run at every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{
    BlobId, BlobInfo, BlobReader, BlobWriter, Blobs, BucketId, Commit, CommitError, Engine,
    EngineError, Health, Index, Metric, Partition, PartitionState, Peers, Retired, RowRef,
    ScanRange, Table, Tallies, Visitor,
};
use parking_lot::Mutex;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call does nothing and fails.
    Before,
    /// The call does its work, and then its answer is lost.
    After,
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of the first call that fails, counted from 0.
    pub at: u64,
    pub fault: Fault,
    /// Whether all later calls fail as well, as if the process had ended.
    pub forever: bool,
}

/// What the engine does that the seam allows and the memory engine does not.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// Rows of one read are read one by one, the last first.
    pub torn: bool,
    /// A blob takes a while to be made, and is made even if the future that
    /// asked for it is dropped.
    pub lingering: bool,
}

struct Control {
    calls: AtomicU64,
    plan: Mutex<Option<Plan>>,
    manner: Manner,
}

impl Control {
    /// Passes one call; the fault that it meets, if any.
    async fn enter(&self) -> Result<Option<Fault>, EngineError> {
        tokio::task::yield_now().await;
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        match *self.plan.lock() {
            Some(plan) if call == plan.at => match plan.fault {
                Fault::Before => Err(lost()),
                Fault::After => Ok(Some(Fault::After)),
            },
            Some(plan) if call > plan.at && plan.forever => Err(lost()),
            _ => Ok(None),
        }
    }

    async fn leave<T>(&self, fault: Option<Fault>, result: T) -> Result<T, EngineError> {
        tokio::task::yield_now().await;
        match fault {
            None => Ok(result),
            Some(_) => Err(lost()),
        }
    }
}

fn lost() -> EngineError {
    EngineError::Unavailable("the test wants it so".into())
}

pub struct Faulty {
    index: FaultyIndex,
    blobs: FaultyBlobs,
    places: Vec<FaultyBlobs>,
    inner: Arc<dyn Engine>,
    control: Arc<Control>,
}

struct FaultyIndex(Arc<dyn Engine>, Arc<Control>);
/// Of the engine's own place or of another.
struct FaultyBlobs(Arc<dyn Engine>, Arc<Control>, Option<String>);

impl FaultyBlobs {
    fn inner(&self) -> &dyn Blobs {
        blobs(&*self.0, self.2.as_deref())
    }
}

fn blobs<'a>(engine: &'a dyn Engine, place: Option<&str>) -> &'a dyn Blobs {
    match place {
        None => engine.blobs(),
        Some(place) => engine.place(place).expect("the place was there"),
    }
}

impl Faulty {
    pub fn new(inner: Arc<dyn Engine>) -> Arc<Faulty> {
        Faulty::with(inner, Manner::default())
    }

    pub fn with(inner: Arc<dyn Engine>, manner: Manner) -> Arc<Faulty> {
        let control =
            Arc::new(Control { calls: AtomicU64::new(0), plan: Mutex::new(None), manner });
        let place = |name: Option<&str>| {
            FaultyBlobs(inner.clone(), control.clone(), name.map(str::to_owned))
        };
        Arc::new(Faulty {
            index: FaultyIndex(inner.clone(), control.clone()),
            blobs: place(None),
            places: inner.places().into_iter().map(|name| place(Some(name))).collect(),
            inner,
            control,
        })
    }

    /// Counts from here on and fails by this plan.
    pub fn plan(&self, plan: Option<Plan>) {
        *self.control.plan.lock() = plan;
        self.control.calls.store(0, Ordering::SeqCst);
    }

    pub fn calls(&self) -> u64 {
        self.control.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Engine for Faulty {
    fn index(&self) -> &dyn Index {
        &self.index
    }

    fn blobs(&self) -> &dyn Blobs {
        &self.blobs
    }

    fn place(&self, name: &str) -> Option<&dyn Blobs> {
        let found = self.places.iter().find(|place| place.2.as_deref() == Some(name));
        found.map(|place| place as &dyn Blobs)
    }

    fn places(&self) -> Vec<&str> {
        self.inner.places()
    }

    fn peers(&self) -> Option<&dyn Peers> {
        self.inner.peers()
    }

    fn inline_max(&self) -> usize {
        self.inner.inline_max()
    }

    fn reader_grace(&self) -> Duration {
        self.inner.reader_grace()
    }

    fn pending_age_max(&self) -> Option<Duration> {
        self.inner.pending_age_max()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.inner.metrics()
    }

    async fn close(&self) -> Result<(), EngineError> {
        self.inner.close().await
    }
}

#[async_trait]
impl Index for FaultyIndex {
    async fn read(
        &self,
        partition: Partition,
        group: &[u8],
        rows: &[RowRef],
    ) -> Result<Vec<Option<Bytes>>, EngineError> {
        let fault = self.1.enter().await?;
        let mut result = Vec::new();
        if self.1.manner.torn {
            for row in rows.iter().rev() {
                tokio::task::yield_now().await;
                let row = std::slice::from_ref(row);
                result.extend(self.0.index().read(partition, group, row).await?);
            }
            result.reverse();
        } else {
            result = self.0.index().read(partition, group, rows).await?;
        }
        self.1.leave(fault, result).await
    }

    async fn scan(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
        visitor: Visitor,
    ) -> Result<(), EngineError> {
        let fault = self.1.enter().await?;
        self.0.index().scan(partition, table, range, visitor).await?;
        self.1.leave(fault, ()).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let fault = self.1.enter().await?;
        self.0.index().commit(commit).await?;
        Ok(self.1.leave(fault, ()).await?)
    }

    async fn tallies(&self, partition: Partition) -> Result<Tallies, EngineError> {
        let fault = self.1.enter().await?;
        let tallies = self.0.index().tallies(partition).await?;
        self.1.leave(fault, tallies).await
    }

    async fn create_partition(&self, partition: Partition) -> Result<(), EngineError> {
        let fault = self.1.enter().await?;
        self.0.index().create_partition(partition).await?;
        self.1.leave(fault, ()).await
    }

    async fn retire_partition(
        &self,
        partition: Partition,
        must_be_empty: &[Table],
    ) -> Result<Retired, EngineError> {
        let fault = self.1.enter().await?;
        let retired = self.0.index().retire_partition(partition, must_be_empty).await?;
        self.1.leave(fault, retired).await
    }

    async fn remove_partition(&self, partition: Partition) -> Result<(), EngineError> {
        let fault = self.1.enter().await?;
        self.0.index().remove_partition(partition).await?;
        self.1.leave(fault, ()).await
    }

    async fn partitions(&self) -> Result<Vec<(BucketId, PartitionState)>, EngineError> {
        let fault = self.1.enter().await?;
        let partitions = self.0.index().partitions().await?;
        self.1.leave(fault, partitions).await
    }
}

#[async_trait]
impl Blobs for FaultyBlobs {
    async fn create(
        &self,
        id: BlobId,
        expected_len: Option<u64>,
    ) -> Result<Box<dyn BlobWriter>, EngineError> {
        let fault = self.1.enter().await?;
        let writer = match self.1.manner.lingering {
            false => self.inner().create(id, expected_len).await?,
            true => {
                let (inner, place) = (self.0.clone(), self.2.clone());
                let making = tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    blobs(&*inner, place.as_deref()).create(id, expected_len).await
                });
                making.await.expect("the task does not panic")?
            }
        };
        let writer = Box::new(FaultyWriter(writer, self.1.clone()));
        self.1.leave(fault, writer as Box<dyn BlobWriter>).await
    }

    async fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, EngineError> {
        let fault = self.1.enter().await?;
        let reader = self.inner().open(id).await?;
        self.1.leave(fault, reader).await
    }

    async fn delete(&self, id: BlobId) -> Result<(), EngineError> {
        let fault = self.1.enter().await?;
        self.inner().delete(id).await?;
        self.1.leave(fault, ()).await
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, EngineError> {
        let fault = self.1.enter().await?;
        let blobs = self.inner().list(after, limit).await?;
        self.1.leave(fault, blobs).await
    }
}

struct FaultyWriter(Box<dyn BlobWriter>, Arc<Control>);

#[async_trait]
impl BlobWriter for FaultyWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), EngineError> {
        let fault = self.1.enter().await?;
        self.0.write(data).await?;
        self.1.leave(fault, ()).await
    }

    async fn finish(self: Box<Self>) -> Result<(), EngineError> {
        let FaultyWriter(writer, control) = *self;
        let fault = control.enter().await?;
        writer.finish().await?;
        control.leave(fault, ()).await
    }
}
