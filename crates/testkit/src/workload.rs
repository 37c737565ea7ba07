//! Random work done on an engine and on the oracle, which must agree.

use std::sync::Arc;

use bytes::Bytes;
use costrel_core::engine::{
    BlobId, BucketId, Commit, CommitError, Engine, Expect, Partition, RowRef, ScanRange, Step,
    Table, Write,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::MemoryEngine;

/// Few enough that operations meet.
const BUCKETS: u64 = 3;
const GROUPS: usize = 12;
const BLOBS_MAX: usize = 20;

const TABLES: [Table; 7] = [
    Table::Object,
    Table::Body,
    Table::Upload,
    Table::Part,
    Table::Garbage,
    Table::Version,
    Table::History,
];

/// A sequence of operations that a seed determines, and the oracle's state after
/// them. The engine may be closed and reopened between calls.
pub struct Workload {
    rng: StdRng,
    oracle: MemoryEngine,
    blobs: Vec<BlobId>,
    step: u64,
}

impl Workload {
    pub fn new(seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Workload { rng, oracle: MemoryEngine::new(), blobs: Vec::new(), step: 0 }
    }

    /// Does `steps` operations on the engine and the oracle.
    ///
    /// # Panics
    ///
    /// When their answers differ.
    pub async fn run(&mut self, engine: &dyn Engine, steps: usize) {
        for _ in 0..steps {
            self.step += 1;
            match self.rng.random_range(0..100) {
                0..60 => self.commit(engine).await,
                60..80 => self.read(engine).await,
                80..88 => self.scan(engine).await,
                88..94 => self.change_partition(engine).await,
                94..97 => self.write_blob(engine).await,
                _ => self.read_or_delete_blob(engine).await,
            }
        }
    }

    /// Compares everything that the engine holds with the oracle.
    ///
    /// # Panics
    ///
    /// When they differ.
    pub async fn compare(&mut self, engine: &dyn Engine) {
        let mut partitions = engine.index().partitions().await.unwrap();
        partitions.sort_by_key(|(id, _)| *id);
        assert_eq!(partitions, self.oracle.index().partitions().await.unwrap());
        for bucket in 0..BUCKETS {
            for table in TABLES {
                let partition = Partition::Bucket(BucketId(bucket));
                let rows = scan(engine, partition, table, ScanRange::all(), 0).await;
                let want = scan(&self.oracle, partition, table, ScanRange::all(), 0).await;
                assert_eq!(rows, want, "{partition:?} {table:?} after step {}", self.step);
            }
        }
        for id in self.blobs.clone() {
            self.compare_blob(engine, id).await;
        }
        // An unfinished blob may have left nothing.
        let listed = engine.blobs().list(None, usize::MAX).await.unwrap();
        let listed: Vec<_> = listed.into_iter().map(|info| info.id).collect();
        assert!(
            listed.is_sorted_by(|a, b| a < b) && listed.iter().all(|id| self.blobs.contains(id))
        );
        for id in &self.blobs {
            let finished = self.oracle.blobs().open(*id).await.is_ok();
            assert!(listed.contains(id) || !finished, "blob {id} is not listed");
        }
    }

    fn partition(&mut self) -> Partition {
        Partition::Bucket(BucketId(self.rng.random_range(0..BUCKETS)))
    }

    fn group(&mut self) -> Bytes {
        let n = self.rng.random_range(0..GROUPS);
        let pieces: [&[u8]; 4] = [b"a", b"\0", b"\xff", b"/"];
        let group = [pieces[n % 4], pieces[n / 4 % 4], b"g", pieces[n * 3 % 4]].concat();
        group[..self.rng.random_range(1..=group.len())].to_vec().into()
    }

    fn row(&mut self) -> RowRef {
        let table = TABLES[self.rng.random_range(0..TABLES.len())];
        let suffix: &[u8] = [&b""[..], b"\0", b"s", b"\xff\xff"][self.rng.random_range(0..4)];
        RowRef::new(table, Bytes::from_static(suffix))
    }

    fn value(&mut self) -> Bytes {
        let len = match self.rng.random_range(0..10) {
            0..6 => 8,
            6..9 => self.rng.random_range(8..2000),
            _ => self.rng.random_range(8..20_000),
        };
        let mut value = vec![self.rng.random(); len];
        value[..8].copy_from_slice(&self.step.to_le_bytes());
        value.into()
    }

    async fn expect(&mut self, partition: Partition, group: &[u8]) -> Expect {
        let row = self.row();
        let value =
            self.oracle.index().read(partition, group, std::slice::from_ref(&row)).await.unwrap();
        // Mostly what holds, so that commits go through.
        match (value.into_iter().next().flatten(), self.rng.random_range(0..8)) {
            (_, 0) => Expect::Absent(row),
            (_, 1) => Expect::Present(row),
            (_, 2) => Expect::Equals(row, self.value()),
            (None, _) => Expect::Absent(row),
            (Some(_), 3 | 4) => Expect::Present(row),
            (Some(value), _) => Expect::Equals(row, value),
        }
    }

    async fn commit(&mut self, engine: &dyn Engine) {
        let (partition, group) = (self.partition(), self.group());
        let mut expects = Vec::new();
        for _ in 0..self.rng.random_range(0..3) {
            expects.push(self.expect(partition, &group).await);
        }
        let writes = (0..self.rng.random_range(0..4)).map(|_| {
            let row = self.row();
            if self.rng.random_bool(0.6) {
                Write::Put(row, self.value())
            } else {
                Write::Delete(row)
            }
        });
        let writes = writes.collect();
        let commit = Commit::new(partition, group, expects, writes);
        let want = self.oracle.index().commit(commit.clone()).await;
        let got = engine.index().commit(commit.clone()).await;
        assert_eq!(outcome(&got), outcome(&want), "step {}: {commit:?}", self.step);
    }

    async fn read(&mut self, engine: &dyn Engine) {
        let (partition, group) = (self.partition(), self.group());
        let rows: Vec<_> = (0..self.rng.random_range(1..4)).map(|_| self.row()).collect();
        let got = engine.index().read(partition, &group, &rows).await.unwrap();
        let want = self.oracle.index().read(partition, &group, &rows).await.unwrap();
        assert_eq!(got, want, "step {}: {partition:?} {group:?} {rows:?}", self.step);
    }

    async fn scan(&mut self, engine: &dyn Engine) {
        let (partition, table) = (self.partition(), self.row().table);
        let end_group = if self.rng.random_bool(0.5) { Some(self.group()) } else { None };
        let range = ScanRange {
            start_group: if self.rng.random_bool(0.5) { self.group() } else { Bytes::new() },
            start_suffix: self.row().suffix,
            end_group,
            rows_wanted: self.rng.random_range(0..5),
            names_only: false,
        };
        let steps = self.rng.random();
        let got = scan(engine, partition, table, range.clone(), steps).await;
        let want = scan(&self.oracle, partition, table, range.clone(), steps).await;
        assert_eq!(got, want, "step {}: {partition:?} {table:?} {range:?}", self.step);
    }

    async fn change_partition(&mut self, engine: &dyn Engine) {
        let partition = self.partition();
        let (got, want) = (engine.index(), self.oracle.index());
        match self.rng.random_range(0..10) {
            0..6 => {
                let want = want.create_partition(partition).await.is_ok();
                assert_eq!(got.create_partition(partition).await.is_ok(), want);
            }
            6..8 => {
                let tables = Table::HOLDINGS;
                let want = want.retire_partition(partition, &tables).await.unwrap();
                assert_eq!(got.retire_partition(partition, &tables).await.unwrap(), want);
            }
            _ => {
                let want = want.remove_partition(partition).await.is_ok();
                assert_eq!(got.remove_partition(partition).await.is_ok(), want);
            }
        }
    }

    async fn write_blob(&mut self, engine: &dyn Engine) {
        if self.blobs.len() >= BLOBS_MAX {
            return;
        }
        let id = BlobId(self.rng.random());
        let mut data = vec![0; self.rng.random_range(0..600_000)];
        self.rng.fill(&mut data[..]);
        let mut rest = Bytes::from(data);
        let mut got = engine.blobs().create(id, None).await.unwrap();
        let mut want = self.oracle.blobs().create(id, None).await.unwrap();
        while !rest.is_empty() {
            let most = rest.len().min(200_000);
            let piece = rest.split_to(self.rng.random_range(1..=most));
            got.write(piece.clone()).await.unwrap();
            want.write(piece).await.unwrap();
        }
        if self.rng.random_bool(0.8) {
            got.finish().await.unwrap();
            want.finish().await.unwrap();
        }
        self.blobs.push(id);
    }

    async fn read_or_delete_blob(&mut self, engine: &dyn Engine) {
        if self.blobs.is_empty() {
            return;
        }
        let position = self.rng.random_range(0..self.blobs.len());
        let id = self.blobs[position];
        if self.rng.random_bool(0.6) {
            self.compare_blob(engine, id).await;
        } else {
            self.blobs.swap_remove(position);
            engine.blobs().delete(id).await.unwrap();
            self.oracle.blobs().delete(id).await.unwrap();
        }
    }

    async fn compare_blob(&mut self, engine: &dyn Engine, id: BlobId) {
        let got = engine.blobs().open(id).await;
        let want = self.oracle.blobs().open(id).await;
        let (got, want) = match (got, want) {
            (Ok(got), Ok(want)) => (got, want),
            // What opening an unfinished blob answers is the engine's affair.
            (got, want) => {
                assert_eq!(got.is_ok(), want.is_ok(), "step {}: blob {id}", self.step);
                return;
            }
        };
        assert_eq!(got.len(), want.len());
        let mut offset = 0;
        while offset < want.len() {
            let max = self.rng.random_range(1..400_000);
            let piece = got.read_at(offset, max).await.unwrap();
            let same = want.read_at(offset, piece.len()).await.unwrap();
            assert!(!piece.is_empty() && piece.len() <= max && piece == same, "blob {id}");
            offset += piece.len() as u64;
        }
    }
}

/// What a commit came to, without the words.
fn outcome(result: &Result<(), CommitError>) -> Result<(), Option<usize>> {
    match result {
        Ok(()) => Ok(()),
        Err(CommitError::Conflict(number)) => Err(Some(*number)),
        Err(CommitError::NoPartition | CommitError::Superseded) => Err(None),
        Err(CommitError::Engine(error)) => panic!("the engine failed: {error}"),
    }
}

type Visited = (Vec<u8>, Vec<u8>, Vec<u8>);

/// The rows that a visitor sees who takes the step after each row from the bits
/// of `steps`.
async fn scan(
    engine: &dyn Engine,
    partition: Partition,
    table: Table,
    range: ScanRange,
    mut steps: u64,
) -> Vec<Visited> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = seen.clone();
    let visitor = Box::new(move |group: &[u8], suffix: &[u8], value: &[u8]| {
        into.lock().push((group.to_vec(), suffix.to_vec(), value.to_vec()));
        let step = steps % 16;
        steps /= 16;
        match step {
            1 => Step::Stop,
            2 | 3 => Step::SeekGroup([group, b"\0"].concat().into()),
            4 => Step::SeekGroup(Bytes::from_static(b"/")),
            _ => Step::Next,
        }
    });
    engine.index().scan(partition, table, range, visitor).await.unwrap();
    std::mem::take(&mut *seen.lock())
}
