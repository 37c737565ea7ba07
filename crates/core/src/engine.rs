//! The engine seam: what the core asks of whatever keeps its rows and bytes.
//!
//! An engine is an [`Index`] (ordered rows with atomic conditional commits) and
//! a [`Blobs`] store (immutable bodies). The seam promises only what both a
//! local log-structured store and RADOS can do atomically, so everything above
//! it holds on one machine and on a cluster with many gateways alike.
//!
//! Rows are addressed by *partition*, *table*, *group* and *suffix*:
//!
//! * a **partition** is one bucket's rows, or the installation's own;
//! * a **table** separates kinds of rows so that scanning one kind never reads
//!   another (a listing never meets an inline body);
//! * a **group** is the unit of atomicity. All rows of one object key share the
//!   group; an engine may move groups between shards but never splits one;
//! * a **suffix** tells rows of one table and group apart.
//!
//! Within a partition and table, rows are ordered by group, then suffix, both
//! bytewise. Groups and suffixes are arbitrary bytes (NUL included); an engine
//! encodes them as it must.

mod tally;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use tally::{Counter, Tallies, Tally};

/// Number of a bucket inside the installation, never used again after deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId(pub u64);

/// One independently ordered set of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// Rows of the installation: accounts, keys, the directory of buckets.
    System,
    /// Rows of one bucket.
    Bucket(BucketId),
}

/// Kind of a row. The numbers are stored; they never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// System partition: settings of the installation; in the group of a bucket's
    /// name, those of the bucket that are too large for its record. A bucket's
    /// partition: that it has been named, where several processes share the store.
    Installation = 1,
    /// System partition: access keys by id.
    AccessKey = 2,
    /// System partition: buckets by name.
    Bucket = 3,
    /// The current object of a key; the group is the key, the suffix is empty.
    /// Absent when the current version is a delete marker, so that a listing
    /// meets neither markers nor older versions.
    Object = 10,
    /// Body of a small object or part, by the suffix of its owner. Values are large (up
    /// to the engine's [`Engine::inline_max`]).
    Body = 11,
    /// Open multipart uploads of a key; the suffix is the upload id.
    Upload = 12,
    /// Parts of open uploads and of objects completed from them; the suffix is
    /// the upload id and the part number.
    Part = 13,
    /// Blobs that are being written and that nothing references yet; the suffix
    /// is the blob id.
    Pending = 14,
    /// What a commit has unreferenced and the collector is to free.
    Garbage = 15,
    /// Every version of a key that was written while its bucket kept versions,
    /// the current one and delete markers among them; the suffix is the
    /// version's id, so that the newest is first.
    Version = 16,
    /// What is known of a key's versions together; the suffix is empty.
    History = 17,
    /// System partition: requests of a bucket, by its name, that no log object holds
    /// yet, and the log objects that are being made of them. Values may be large.
    Log = 18,
    /// System partition: what was counted of a bucket's requests, and what it held, by
    /// its name and the time.
    Usage = 19,
    /// Events of objects that wait to be told, in the key's group, by their numbers. System
    /// partition: what of a bucket's events is told to whom, by its name and number.
    Event = 20,
    /// What happens to an object by the clock alone and is to be told then, in the key's
    /// group, by its version.
    Due = 21,
}

impl Table {
    pub const ALL: [Table; 15] = [
        Table::Installation,
        Table::AccessKey,
        Table::Bucket,
        Table::Object,
        Table::Body,
        Table::Upload,
        Table::Part,
        Table::Pending,
        Table::Garbage,
        Table::Version,
        Table::History,
        Table::Log,
        Table::Usage,
        Table::Event,
        Table::Due,
    ];

    /// Tables that are empty when a bucket holds nothing.
    pub const HOLDINGS: [Table; 3] = [Table::Object, Table::Upload, Table::Version];

    /// Whether an engine should keep this table's values apart from its keys.
    pub fn has_large_values(self) -> bool {
        matches!(self, Table::Body | Table::Log)
    }

    pub fn from_number(number: u8) -> Option<Table> {
        Table::ALL.into_iter().find(|t| *t as u8 == number)
    }
}

/// Names one row inside a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowRef {
    pub table: Table,
    pub suffix: Bytes,
}

impl RowRef {
    pub fn new(table: Table, suffix: impl Into<Bytes>) -> Self {
        RowRef { table, suffix: suffix.into() }
    }

    /// The row with the empty suffix.
    pub fn only(table: Table) -> Self {
        RowRef { table, suffix: Bytes::new() }
    }
}

/// A condition of a commit, on a row of the commit's group.
#[derive(Clone, Debug)]
pub enum Expect {
    Absent(RowRef),
    Present(RowRef),
    /// The row's value is exactly these bytes. Records carry a unique write id,
    /// so equal bytes mean the same write.
    Equals(RowRef, Bytes),
}

impl Expect {
    pub fn row(&self) -> &RowRef {
        match self {
            Expect::Absent(row) | Expect::Present(row) | Expect::Equals(row, _) => row,
        }
    }

    /// Whether the condition holds for the row's present value.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match self {
            Expect::Absent(_) => value.is_none(),
            Expect::Present(_) => value.is_some(),
            Expect::Equals(_, want) => value == Some(want.as_ref()),
        }
    }
}

/// A change of a commit, to a row of the commit's group.
#[derive(Clone, Debug)]
pub enum Write {
    /// Values are never empty: on RADOS an empty value looks like absence.
    Put(RowRef, Bytes),
    Delete(RowRef),
}

/// Writes that happen together, if every expectation holds.
#[derive(Clone, Debug)]
pub struct Commit {
    pub partition: Partition,
    pub group: Bytes,
    pub expects: Vec<Expect>,
    pub writes: Vec<Write>,
    /// By how much counters of the partition change, in the same moment. A commit may
    /// do nothing else.
    pub tallies: Tallies,
}

impl Commit {
    /// One that changes no counter.
    pub fn new(
        partition: Partition,
        group: Bytes,
        expects: Vec<Expect>,
        writes: Vec<Write>,
    ) -> Commit {
        Commit { partition, group, expects, writes, tallies: Tallies::default() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Expectation number `.0` was the first that did not hold; nothing was
    /// written.
    #[error("expectation {0} does not hold")]
    Conflict(usize),
    /// The partition does not exist, or is retired and the commit is not one of
    /// the collector's (see [`Index::retire_partition`]); nothing was written.
    #[error("no such partition")]
    NoPartition,
    /// Newer settings of the bucket are in force than those by which the commit
    /// was decided (see [`Peers::commit_by`]); nothing was written.
    #[error("decided by settings that are no longer in force")]
    Superseded,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a visitor of a scan wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The following row.
    Next,
    /// The first row whose group is at or after these bytes, found by seeking:
    /// the cost does not depend on the rows between. Seeking backwards is the
    /// same as `Next`.
    SeekGroup(Bytes),
    Stop,
}

/// Called for each row of a scan with group, suffix and value.
pub type Visitor = Box<dyn FnMut(&[u8], &[u8], &[u8]) -> Step + Send>;

/// Where a scan begins and ends. Both ends are optional.
#[derive(Clone, Debug, Default)]
pub struct ScanRange {
    /// First group to visit, inclusive; with `start_suffix`, rows of exactly
    /// this group begin at that suffix, inclusive.
    pub start_group: Bytes,
    pub start_suffix: Bytes,
    /// First group not to visit.
    pub end_group: Option<Bytes>,
    /// How many rows the visitor is likely to take if it does not seek; 0 if nobody
    /// knows. What it is given does not depend on it.
    pub rows_wanted: usize,
    /// The visitor does without the values: it may be given empty ones, so that one that
    /// cannot be read keeps nobody from the others' names.
    pub names_only: bool,
}

impl ScanRange {
    /// All rows.
    pub fn all() -> Self {
        ScanRange::default()
    }

    /// All rows of one group.
    pub fn group(group: Bytes) -> Self {
        let mut end = group.to_vec();
        end.push(0);
        ScanRange { start_group: group, end_group: Some(end.into()), ..ScanRange::default() }
    }
}

/// State of a partition as [`Index::partitions`] reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionState {
    Live,
    /// Takes no new rows; only the collector's deletions.
    Retired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    Done,
    NotEmpty,
    /// No such partition, or retired already.
    Missing,
}

/// Ordered rows.
#[async_trait]
pub trait Index: Send + Sync {
    /// Reads rows of one group. Each row is read at some moment during the call;
    /// there is no common snapshot. A row acknowledged by [`Index::commit`]
    /// before the call is seen by it, through every gateway. Rows of a missing
    /// partition are absent.
    async fn read(
        &self,
        partition: Partition,
        group: &[u8],
        rows: &[RowRef],
    ) -> Result<Vec<Option<Bytes>>, EngineError>;

    /// Visits a table's rows in order until the range ends or the visitor
    /// stops. Every row that was acknowledged before the call and not changed
    /// during it is visited; rows changed meanwhile may be seen in either state.
    /// The visitor runs on a thread that may block; it must be quick.
    async fn scan(
        &self,
        partition: Partition,
        table: Table,
        range: ScanRange,
        visitor: Visitor,
    ) -> Result<(), EngineError>;

    /// Applies all writes if all expectations hold, and returns when they are on
    /// stable storage. Readers see all of the commit or nothing, and see it only
    /// once it is stable. Commits to one group are linearizable. Dropping the
    /// future does not undo the commit: its outcome is then unknown.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// What the partition's counters are at: the sum of all commits that were
    /// acknowledged before the call, through every gateway, and of some that were under
    /// way. Nothing for a missing partition.
    async fn tallies(&self, partition: Partition) -> Result<Tallies, EngineError>;

    /// Makes an empty live partition; succeeds when it exists and is live.
    async fn create_partition(&self, partition: Partition) -> Result<(), EngineError>;

    /// Turns a live partition into a retired one if all the given tables are
    /// empty, atomically with respect to commits: each commit is either seen by
    /// the check or refused afterwards. A retired partition accepts only
    /// commits whose writes are all deletions, or puts into [`Table::Garbage`].
    async fn retire_partition(
        &self,
        partition: Partition,
        must_be_empty: &[Table],
    ) -> Result<Retired, EngineError>;

    /// Forgets a retired partition with all rows left in it. Safe to repeat.
    async fn remove_partition(&self, partition: Partition) -> Result<(), EngineError>;

    /// All partitions but the system's, in no order.
    async fn partitions(&self) -> Result<Vec<(BucketId, PartitionState)>, EngineError>;
}

/// Name of an immutable body: random, so never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub [u8; 16]);

impl std::fmt::Display for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Receives one blob's bytes. Dropping it before `finish` abandons the blob;
/// what is left of it is freed by [`Blobs::delete`].
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends. Pieces may have any size; the engine does its own blocking.
    async fn write(&mut self, data: Bytes) -> Result<(), EngineError>;

    /// Returns when every byte and every directory entry that leads to them is
    /// on stable storage.
    async fn finish(self: Box<Self>) -> Result<(), EngineError>;
}

/// An open blob. Keeps its bytes readable for as long as it lives, on engines
/// where a deleted blob can still be read through an open handle; elsewhere
/// reads may fail with [`EngineError::NotFound`] after a deletion.
// Emptiness is no question anybody asks of a blob.
#[allow(clippy::len_without_is_empty)]
#[async_trait]
pub trait BlobReader: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Reads verified bytes at `offset`: at least one and at most `max`, as many
    /// as the engine likes to give at once; empty only at the end. Whoever asks for
    /// more than he gets is likely to ask for what follows.
    async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, EngineError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    pub id: BlobId,
    /// Bytes it occupies on the engine, checksums included.
    pub stored_bytes: u64,
}

/// Immutable bodies.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Begins a blob under a fresh id. The core has recorded the id as pending
    /// in the index before this call, so a crash at any point leaves nothing
    /// unnamed. `expected_len` is a hint for placement and may be wrong.
    async fn create(
        &self,
        id: BlobId,
        expected_len: Option<u64>,
    ) -> Result<Box<dyn BlobWriter>, EngineError>;

    async fn open(&self, id: BlobId) -> Result<Arc<dyn BlobReader>, EngineError>;

    /// Frees a blob, finished or abandoned. Succeeds when there is none.
    async fn delete(&self, id: BlobId) -> Result<(), EngineError>;

    /// Blobs after `after` in id order, finished or not, at most `limit`. For
    /// checks; never on the path of a request.
    async fn list(&self, after: Option<BlobId>, limit: usize)
    -> Result<Vec<BlobInfo>, EngineError>;
}

/// Called with a bucket that another process has changed or removed, and with
/// `None` when announcements may have been missed.
pub type Listener = Box<dyn Fn(Option<BucketId>) + Send + Sync>;

/// Other processes that have the same store open.
#[async_trait]
pub trait Peers: Send + Sync {
    /// How long a process may go by what it remembers of a bucket before it asks
    /// again, whatever it was told.
    fn memory_max(&self) -> Duration;

    /// Sets who is told of the announcements of others.
    fn listen(&self, listener: Listener);

    /// Announces that a bucket has changed or is gone. Returns when every other
    /// process has been told, or when what those remember that did not answer is
    /// older than [`Peers::memory_max`].
    async fn announce(&self, bucket: BucketId);

    /// Commits as [`Index::commit`] does, to a bucket's partition, what was decided
    /// by the bucket's settings of this epoch; refuses what newer ones were enforced
    /// against.
    async fn commit_by(&self, epoch: u64, commit: Commit) -> Result<(), CommitError>;

    /// Puts a bucket's settings in force: returns when no commit by settings of an
    /// earlier epoch can take effect any more, however late it is. The row that
    /// says what they are has been changed before.
    async fn enforce(&self, bucket: BucketId, epoch: u64) -> Result<(), EngineError>;

    /// How many other processes have the store open. One that has died may be counted
    /// for a while.
    async fn others(&self) -> Result<usize, EngineError>;

    /// Does what the shared rows need now and then, and returns when there is nothing
    /// to do. Called again and again by the one process that holds the claim to this
    /// work; that two do it for a moment is harmless, and so is dropping the future.
    async fn tend(&self) -> Result<(), EngineError>;
}

/// Where rows and bytes stay.
#[async_trait]
pub trait Engine: Send + Sync {
    fn index(&self) -> &dyn Index;

    /// Blobs where the engine keeps its own.
    fn blobs(&self) -> &dyn Blobs;

    /// Blobs of another place (another disk, another pool), by the name that the
    /// configuration gives it; `None` if it gives none that name. Ids are unique over
    /// all places.
    fn place(&self, name: &str) -> Option<&dyn Blobs>;

    /// Names of the other places.
    fn places(&self) -> Vec<&str>;

    /// `None` where this process is the only one that has the store open.
    fn peers(&self) -> Option<&dyn Peers>;

    /// Largest body, in bytes, that is better kept in [`Table::Body`] than as a
    /// blob.
    fn inline_max(&self) -> usize;

    /// How long after unreferencing a blob other gateways may still be reading
    /// it. Zero where this process is the only one.
    fn reader_grace(&self) -> Duration;

    /// How old a pending blob must be before it can be taken for abandoned while
    /// other gateways may be writing. `None` where this process is the only
    /// writer: then a pending blob not known to it is abandoned.
    fn pending_age_max(&self) -> Option<Duration>;

    fn health(&self) -> Health;

    /// Counters and gauges of the engine for `/metrics`: name, help, value.
    fn metrics(&self) -> Vec<Metric>;

    /// What is wrong, or left over, in what the engine keeps beside rows and blobs, in
    /// words for the operator. Nothing may be written meanwhile.
    async fn audit(&self) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }

    /// Refuses further work, waits for what is under way and makes all of it
    /// stable.
    async fn close(&self) -> Result<(), EngineError>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// Reads are served, writes are refused; the text says why.
    ReadOnly(String),
    /// Nothing is served; the text says why.
    Down(String),
}

/// One sample of an engine's counter or gauge.
#[derive(Clone, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
}

/// How an engine fails.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("blob {0} does not exist")]
    NotFound(BlobId),
    /// Stored bytes do not match their checksum or their format.
    #[error("stored data is corrupt: {0}")]
    Corrupt(String),
    /// No space for more. Nothing was written; works again when there is.
    #[error("storage is full: {0}")]
    Full(String),
    /// The engine refuses writes until it is reopened, because an earlier write
    /// or sync failed and what is on stable storage is no longer known.
    #[error("storage refuses writes after an earlier failure: {0}")]
    Poisoned(String),
    /// Not now; the same call may succeed later. Its outcome is unknown.
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    #[error("{context}: {source}")]
    Io {
        context: String,
        #[source]
        source: std::io::Error,
    },
}

impl EngineError {
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        EngineError::Io { context: context.into(), source }
    }
}
