//! The promises of [`costrel_core::engine`], as tests that run on any engine.
//!
//! An engine's crate calls [`run`] from a test with a function that makes a new,
//! empty engine, which has a place named [`ELSEWHERE`]. A broken promise panics.

mod blobs;
mod closing;
mod commits;
mod concurrency;
mod partitions;
mod scans;
mod tallies;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use costrel_core::engine::{
    Blobs, BucketId, Commit, CommitError, Engine, Expect, Partition, RowRef, ScanRange, Step,
    Table, Write,
};
use parking_lot::Mutex;

use crate::memory::ELSEWHERE;

/// Checks every promise, on a few engines from `factory` one after the other.
pub async fn run<F, A>(factory: F)
where
    F: Fn() -> A,
    A: Future<Output = Arc<dyn Engine>>,
{
    commits::check(&Lab::new(factory().await)).await;
    scans::check(&Lab::new(factory().await)).await;
    partitions::check(&Lab::new(factory().await)).await;
    concurrency::check(&Lab::new(factory().await)).await;
    blobs::check(&Lab::new(factory().await)).await;
    blobs::check(&Lab { elsewhere: true, ..Lab::new(factory().await) }).await;
    tallies::check(&Lab::new(factory().await)).await;
    closing::check(&Lab::new(factory().await)).await;
}

/// An engine under test, with partitions that no check shares with another.
#[derive(Clone)]
struct Lab {
    engine: Arc<dyn Engine>,
    buckets: Arc<AtomicU64>,
    /// Whether blobs are those of the other place.
    elsewhere: bool,
}

/// One visited row.
type Visited = (Vec<u8>, Vec<u8>, Vec<u8>);

impl Lab {
    fn new(engine: Arc<dyn Engine>) -> Self {
        Lab { engine, buckets: Arc::new(AtomicU64::new(1)), elsewhere: false }
    }

    fn blobs(&self) -> &dyn Blobs {
        match self.elsewhere {
            false => self.engine.blobs(),
            true => self.engine.place(ELSEWHERE).expect("the engine has the place"),
        }
    }

    /// A bucket that was never used.
    fn unused(&self) -> Partition {
        Partition::Bucket(BucketId(self.buckets.fetch_add(1, Ordering::Relaxed)))
    }

    /// A new live partition.
    async fn bucket(&self) -> Partition {
        let partition = self.unused();
        self.engine.index().create_partition(partition).await.unwrap();
        partition
    }

    async fn commit(
        &self,
        partition: Partition,
        group: &[u8],
        expects: Vec<Expect>,
        writes: Vec<Write>,
    ) -> Result<(), CommitError> {
        let group = Bytes::copy_from_slice(group);
        self.engine.index().commit(Commit::new(partition, group, expects, writes)).await
    }

    /// Writes one row without conditions.
    async fn put(&self, partition: Partition, group: &[u8], row: RowRef, value: &[u8]) {
        let write = Write::Put(row, Bytes::copy_from_slice(value));
        self.commit(partition, group, vec![], vec![write]).await.unwrap();
    }

    async fn get(&self, partition: Partition, group: &[u8], row: RowRef) -> Option<Bytes> {
        let mut rows = self.engine.index().read(partition, group, &[row]).await.unwrap();
        assert_eq!(rows.len(), 1);
        rows.pop().unwrap()
    }

    /// Scans with a visitor that decides by the row it is shown; the rows it saw.
    async fn scan_with(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
        mut decide: impl FnMut(&[u8], &[u8]) -> Step + Send + 'static,
    ) -> Vec<Visited> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = seen.clone();
        let visitor = Box::new(move |group: &[u8], suffix: &[u8], value: &[u8]| {
            into.lock().push((group.to_vec(), suffix.to_vec(), value.to_vec()));
            decide(group, suffix)
        });
        self.engine.index().scan(partition, table, range, visitor).await.unwrap();
        std::mem::take(&mut *seen.lock())
    }

    async fn scan(&self, partition: Partition, table: Table, range: ScanRange) -> Vec<Visited> {
        self.scan_with(partition, table, range, |_, _| Step::Next).await
    }
}

fn bytes(text: &[u8]) -> Bytes {
    Bytes::copy_from_slice(text)
}

fn object() -> RowRef {
    RowRef::only(Table::Object)
}

fn put(row: RowRef, value: &[u8]) -> Write {
    Write::Put(row, bytes(value))
}

fn conflict(result: Result<(), CommitError>) -> Option<usize> {
    match result {
        Err(CommitError::Conflict(number)) => Some(number),
        _ => None,
    }
}
