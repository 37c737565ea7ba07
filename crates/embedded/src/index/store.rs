//! The rows on fjall: one keyspace per table, one for the partitions and one for
//! what is known of the log of bodies.

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use costrel_core::engine::{EngineError, Partition, PartitionState, Table, Tallies};
use fjall::{Database, Keyspace, PersistMode, Readable, Snapshot};
use parking_lot::Mutex;

use super::carried;
use super::key;
use super::keyspaces::{self, KEYSPACE_BODIES_1, Opened, bodies_options};
use super::rewrites::Rewrites;
use crate::bodies::{Extent, Named, Stored};
use crate::options::{Durability, Memory};

const MIB: u64 = 1024 * 1024;

/// Bytes of bodies that are moved at once.
const MOVE_BYTES: usize = MIB as usize;

/// Keys of extents begin with one of these.
const EXTENTS_SEALED: u8 = 0;
const EXTENTS_NAMED: u8 = 1;
const EXTENTS_DEAD: u8 = 2;

const STATE_LIVE: u8 = 1;
const STATE_RETIRED: u8 = 2;

/// An open row store.
pub(super) struct Store {
    database: Database,
    /// In the order of [`Table::ALL`].
    tables: Vec<Keyspace>,
    partitions: Keyspace,
    extents: Keyspace,
    persist: PersistMode,
    /// Of the table of objects: lists walk over it.
    rewrites: Mutex<Rewrites>,
    /// Batches with this sequence number and later ones are not known to be stable.
    unacknowledged: AtomicU64,
}

impl Store {
    /// Opens the store, or makes it, and recovers from whatever ended the last
    /// run.
    pub(super) fn open(
        path: &Path,
        memory: Memory,
        durability: Durability,
    ) -> Result<Store, fjall::Error> {
        let Opened { database, partitions, extents, tables } = keyspaces::open(path, memory)?;
        let persist = match durability {
            Durability::Sync => PersistMode::SyncData,
            Durability::None => PersistMode::Buffer,
        };
        let unacknowledged = AtomicU64::new(database.visible_seqno());
        let rewrites = Mutex::default();
        let store =
            Store { database, tables, partitions, extents, persist, rewrites, unacknowledged };
        store.move_bodies()?;
        Ok(store)
    }

    /// Moves bodies from where format 1 had them.
    fn move_bodies(&self) -> Result<(), fjall::Error> {
        if !self.database.keyspace_exists(KEYSPACE_BODIES_1) {
            return Ok(());
        }
        let old = self.database.keyspace(KEYSPACE_BODIES_1, bodies_options)?;
        let mut moved = 0;
        // What was removed before need not be walked over again.
        let mut last: Option<fjall::UserKey> = None;
        loop {
            let mut changes = self.database.batch().durability(Some(self.persist));
            let mut bytes = 0;
            let from = last.clone().map_or(Bound::Unbounded, Bound::Excluded);
            for row in self.snapshot().range::<fjall::UserKey, _>(&old, (from, Bound::Unbounded)) {
                let (key, body) = row.into_inner()?;
                bytes += body.len();
                moved += 1;
                let row = Stored::encode_beside(&body);
                changes.insert(self.keyspace(Table::Body), key.clone(), row);
                changes.remove(&old, key.clone());
                last = Some(key);
                if bytes >= MOVE_BYTES {
                    break;
                }
            }
            if changes.is_empty() {
                break;
            }
            changes.commit()?;
        }
        self.unacknowledged.store(self.database.visible_seqno(), Ordering::Release);
        if moved > 0 {
            tracing::info!(bodies = moved, "moved bodies to where this version has them");
        }
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    pub(super) fn keyspace(&self, table: Table) -> &Keyspace {
        let position = Table::ALL.iter().position(|t| *t == table);
        &self.tables[position.expect("every table is in the list of all")]
    }

    pub(super) fn get(
        &self,
        snapshot: &Snapshot,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Stored>, EngineError> {
        let value = snapshot.get(self.keyspace(table), key).map_err(engine_error)?;
        value.map(|value| stored(table, value)).transpose()
    }

    /// An object's value, and the row of its body if it is carried along.
    pub(super) fn get_object(
        &self,
        snapshot: &Snapshot,
        key: &[u8],
    ) -> Result<Option<(Bytes, Option<Stored>)>, EngineError> {
        let row = snapshot.get(self.keyspace(Table::Object), key).map_err(engine_error)?;
        let Some(row) = row else { return Ok(None) };
        let (value, body) = object_row(row.into())?;
        Ok(Some((value, body.as_ref().map(body_row).transpose()?)))
    }

    /// What objects' rows carry of their bodies' rows that does not match, in words
    /// for the operator.
    pub(super) fn carried_amiss(&self) -> Result<Vec<String>, EngineError> {
        let (snapshot, mut findings) = (self.snapshot(), Vec::new());
        for row in snapshot.iter(self.keyspace(Table::Object)) {
            let (key, row) = row.into_inner().map_err(engine_error)?;
            let Some(carried) = object_row(row.into())?.1 else { continue };
            let body = snapshot.get(self.keyspace(Table::Body), &key).map_err(engine_error)?;
            if body.is_none_or(|body| body[..] != carried[..]) {
                findings.push(format!("the object at {key:?} carries another body than its own"));
            }
        }
        Ok(findings)
    }

    /// What the rows say of the log.
    pub(super) fn log_rows(&self) -> Result<LogRows, EngineError> {
        let mut rows = LogRows::default();
        for row in self.snapshot().iter(&self.extents) {
            let (key, value) = row.into_inner().map_err(engine_error)?;
            rows.take(&key, &value).ok_or_else(|| {
                EngineError::Corrupt(format!("row {key:?} of extents: {value:?}"))
            })?;
        }
        Ok(rows)
    }

    /// All bodies in the log. For checks.
    pub(super) fn placed(&self) -> Result<Vec<Extent>, EngineError> {
        let mut extents = Vec::new();
        for row in self.snapshot().iter(self.keyspace(Table::Body)) {
            let value = row.value().map_err(engine_error)?;
            if let Stored::Placed(place) = stored(Table::Body, value)? {
                extents.push(place.extent());
            }
        }
        Ok(extents)
    }

    /// Whether a partition has no row of a table.
    pub(super) fn is_empty(
        &self,
        snapshot: &Snapshot,
        partition: Partition,
        table: Table,
    ) -> Result<bool, EngineError> {
        Ok(self.first_keys(snapshot, partition, table, 1)?.is_empty())
    }

    /// The first keys of a partition's rows of a table.
    pub(super) fn first_keys(
        &self,
        snapshot: &Snapshot,
        partition: Partition,
        table: Table,
        limit: usize,
    ) -> Result<Vec<Bytes>, EngineError> {
        let range = key::partition_prefix(partition)..key::partition_end(partition);
        let rows = snapshot.range(self.keyspace(table), range);
        rows.take(limit).map(|row| Ok(row.key().map_err(engine_error)?.into())).collect()
    }

    /// State and counters of every partition.
    pub(super) fn partitions(
        &self,
    ) -> Result<Vec<(Partition, PartitionState, Tallies)>, EngineError> {
        let mut partitions = Vec::new();
        for row in self.snapshot().iter(&self.partitions) {
            let (key, value) = row.into_inner().map_err(engine_error)?;
            let Some(partition) = key::decode_partition(&key) else {
                return Err(EngineError::Corrupt(format!("partition row {key:?}: {value:?}")));
            };
            let (state, tallies) = partition_row(&value)?;
            partitions.push((partition, state, tallies));
        }
        Ok(partitions)
    }

    /// The counters of a partition; none if it does not exist.
    pub(super) fn tallies(&self, partition: Partition) -> Result<Tallies, EngineError> {
        let key = key::partition_prefix(partition);
        let row = self.snapshot().get(&self.partitions, key).map_err(engine_error)?;
        row.map_or_else(|| Ok(Tallies::default()), |row| Ok(partition_row(&row)?.1))
    }

    /// An empty set of changes, made stable as a whole when it is applied.
    pub(super) fn batch(&self) -> Batch<'_> {
        let changes = self.database.batch().durability(Some(self.persist));
        Batch { store: self, changes }
    }

    /// Makes everything stable; the last act before the store is dropped.
    pub(super) fn persist(&self) -> Result<(), fjall::Error> {
        self.database.persist(PersistMode::SyncAll)
    }

    /// Begins to give back space: what lies in memory goes to tables, after which
    /// journals can go, and deleted rows meet what they delete. Goes on in the
    /// background.
    pub(super) fn reclaim(&self) -> Result<(), fjall::Error> {
        for keyspace in self.tables.iter().chain([&self.partitions, &self.extents]) {
            keyspace.rotate_memtable()?;
        }
        Ok(())
    }

    /// Writes a table out, in the background, if a scan that has walked over so many
    /// rows had to step over values which are not theirs any more. The scan has seen
    /// its rows: a store that takes no more writes is none of its business.
    pub(super) fn tidy_after_scan(&self, table: Table, scanned: usize) {
        let are_in_the_way = || self.rewrites.lock().are_in_the_way(scanned, Instant::now());
        if table == Table::Object
            && are_in_the_way()
            && let Err(error) = self.keyspace(table).rotate_memtable()
        {
            tracing::warn!(%error, "rewritten rows could not be written out");
        }
    }

    fn note_write(&self, table: Table, key: &[u8]) {
        if table == Table::Object {
            self.rewrites.lock().note(key);
        }
    }

    /// The first sequence number that a batch which is not stable can have.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.unacknowledged.load(Ordering::Acquire)
    }

    /// Whether the row store has stopped by itself, because its work in the
    /// background failed.
    pub(super) fn has_stopped(&self) -> bool {
        matches!(self.database.persist(PersistMode::Buffer), Err(fjall::Error::Poisoned))
    }

    pub(super) fn journal_bytes(&self) -> Option<u64> {
        self.database.journal_disk_space().ok()
    }

    pub(super) fn block_cache_bytes(&self) -> u64 {
        self.database.cache_size()
    }

    /// Bytes of a table's files.
    pub(super) fn disk_bytes(&self, table: Table) -> u64 {
        self.keyspace(table).disk_space()
    }
}

/// Changes that happen together.
pub(super) struct Batch<'a> {
    store: &'a Store,
    changes: fjall::OwnedWriteBatch,
}

impl Batch<'_> {
    /// Puts any row but an object's.
    pub(super) fn put(&mut self, table: Table, key: Bytes, value: Stored) {
        debug_assert_ne!(table, Table::Object);
        let row = match value {
            Stored::Value(value) if table != Table::Body => value,
            body => encode_body(&body),
        };
        self.changes.insert(self.store.keyspace(table), key, row);
    }

    /// Puts an object's row. `body` is that of its body at the same key, if this batch
    /// puts one.
    pub(super) fn put_object(&mut self, key: Bytes, value: &Bytes, body: Option<&Stored>) {
        self.store.note_write(Table::Object, &key);
        let row = carried::encode(value, body.map(encode_body).as_ref());
        self.changes.insert(self.store.keyspace(Table::Object), key, row);
    }

    pub(super) fn delete(&mut self, table: Table, key: Bytes) {
        self.store.note_write(table, &key);
        self.changes.remove(self.store.keyspace(table), key);
    }

    /// Sets a partition's state and counters.
    pub(super) fn set_partition(
        &mut self,
        partition: Partition,
        state: PartitionState,
        tallies: &Tallies,
    ) {
        let mut row = vec![match state {
            PartitionState::Live => STATE_LIVE,
            PartitionState::Retired => STATE_RETIRED,
        }];
        row.extend_from_slice(&tallies.encode());
        self.changes.insert(&self.store.partitions, key::partition_prefix(partition), row);
    }

    pub(super) fn forget_partition(&mut self, partition: Partition) {
        self.changes.remove(&self.store.partitions, key::partition_prefix(partition));
    }

    /// Names bodies that lie in one open segment.
    pub(super) fn name(&mut self, named: &[Named]) {
        if let Some(first) = named.first() {
            let key = extent_key(EXTENTS_NAMED, first.extent);
            self.changes.insert(&self.store.extents, key, Named::encode(named));
        }
    }

    /// Notes that nothing uses an extent any more.
    pub(super) fn note_dead(&mut self, extent: Extent) {
        let key = extent_key(EXTENTS_DEAD, extent);
        self.changes.insert(&self.store.extents, key, extent.pages.to_le_bytes());
    }

    /// Forgets a dead extent, which has been given back.
    pub(super) fn forget_dead(&mut self, extent: Extent) {
        self.changes.remove(&self.store.extents, extent_key(EXTENTS_DEAD, extent));
    }

    /// Forgets what is used in segments below `segment`: they take no more bodies.
    pub(super) fn seal_below(&mut self, segment: u32) -> Result<(), EngineError> {
        let extents = &self.store.extents;
        let first = Extent { segment, page: 0, pages: 0 };
        let named = vec![EXTENTS_NAMED]..extent_key(EXTENTS_NAMED, first);
        for row in self.store.snapshot().range(extents, named) {
            self.changes.remove(extents, row.key().map_err(engine_error)?);
        }
        self.changes.insert(extents, [EXTENTS_SEALED], segment.to_le_bytes());
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Writes all changes to the journal, syncs it, and only then lets readers
    /// see them. An error means that the store takes no more changes.
    pub(super) fn apply(self) -> Result<(), fjall::Error> {
        self.changes.commit()?;
        // One thread applies batches: a later one has a number at least as high.
        let next = self.store.database.visible_seqno();
        self.store.unacknowledged.store(next, Ordering::Release);
        Ok(())
    }
}

/// What the rows say of the log of bodies.
#[derive(Default)]
pub(super) struct LogRows {
    /// Segments below take no more bodies.
    pub(super) sealed_below: u32,
    /// What commits have put into the others; it may have been replaced since.
    pub(super) named: Vec<Named>,
    /// What is to be given back.
    pub(super) dead: Vec<Extent>,
}

impl LogRows {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (tag, place) = key.split_first()?;
        if *tag == EXTENTS_SEALED && place.is_empty() {
            self.sealed_below = u32::from_le_bytes(value.try_into().ok()?);
            return Some(());
        }
        let (segment, page) = place.split_first_chunk()?;
        let segment = u32::from_be_bytes(*segment);
        match *tag {
            EXTENTS_NAMED => self.named.extend(Named::decode(segment, value)?),
            EXTENTS_DEAD => {
                let page = u32::from_be_bytes(page.try_into().ok()?);
                let pages = u32::from_le_bytes(value.try_into().ok()?);
                page.checked_add(pages)?;
                self.dead.push(Extent { segment, page, pages });
            }
            _ => return None,
        }
        Some(())
    }
}

/// What a partition's row says.
fn partition_row(value: &[u8]) -> Result<(PartitionState, Tallies), EngineError> {
    let state = match value.first() {
        Some(&STATE_LIVE) => PartitionState::Live,
        Some(&STATE_RETIRED) => PartitionState::Retired,
        _ => return Err(EngineError::Corrupt(format!("partition row {value:?}"))),
    };
    Ok((state, Tallies::decode(&value[1..])?))
}

fn extent_key(tag: u8, extent: Extent) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(&extent.segment.to_be_bytes());
    key.extend_from_slice(&extent.page.to_be_bytes());
    key
}

/// What a stored value is.
pub(super) fn stored(table: Table, value: fjall::UserValue) -> Result<Stored, EngineError> {
    let value = Bytes::from(value);
    match table {
        Table::Body => body_row(&value),
        Table::Object => carried::value(value).map(Stored::Value).ok_or_else(not_an_objects),
        _ => Ok(Stored::Value(value)),
    }
}

fn body_row(row: &Bytes) -> Result<Stored, EngineError> {
    Stored::decode(row)
        .ok_or_else(|| EngineError::Corrupt("a body's row is not one that is written".into()))
}

fn object_row(row: Bytes) -> Result<(Bytes, Option<Bytes>), EngineError> {
    carried::decode(row).ok_or_else(not_an_objects)
}

fn not_an_objects() -> EngineError {
    EngineError::Corrupt("an object's row is not one that is written".into())
}

fn encode_body(body: &Stored) -> Bytes {
    match body {
        Stored::Placed(place) => Stored::encode_placed(place),
        Stored::Value(body) => Stored::encode_beside(body),
    }
}

/// Whether a failed write of the row store only missed space.
pub(super) fn is_for_space(error: &fjall::Error) -> bool {
    let source = match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => source,
        _ => return false,
    };
    matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// What a failure of the row store means.
pub(super) fn engine_error(error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            match source.kind() {
                // A length in the file reaches past its end.
                std::io::ErrorKind::UnexpectedEof => {
                    EngineError::Corrupt(format!("the row store: {source}"))
                }
                _ => EngineError::io("the row store", source),
            }
        }
        fjall::Error::Poisoned => EngineError::Poisoned("the row store stopped".into()),
        other => EngineError::Corrupt(format!("the row store: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Store, fjall::Error> {
        Store::open(path, crate::Options::new(path).memory(), Durability::Sync)
    }

    #[test]
    fn bodies_of_format_1_are_moved_in_many_steps() {
        const ROWS: u32 = 40;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let body = |n: u32| n.to_le_bytes().repeat(MOVE_BYTES / 40);
        let store = open(&path).unwrap();
        let old = store.database.keyspace(KEYSPACE_BODIES_1, bodies_options).unwrap();
        for n in 0..ROWS {
            old.insert(n.to_be_bytes(), body(n)).unwrap();
        }
        store.persist().unwrap();
        drop((old, store));
        for _ in 0..2 {
            let store = open(&path).unwrap();
            for n in 0..ROWS {
                let row = store.get(&store.snapshot(), Table::Body, &n.to_be_bytes()).unwrap();
                assert_eq!(row, Some(Stored::Value(body(n).into())), "{n}");
            }
            let old = store.database.keyspace(KEYSPACE_BODIES_1, bodies_options).unwrap();
            assert_eq!(store.snapshot().iter(&old).count(), 0);
        }
    }

    #[test]
    fn what_was_rewritten_much_is_written_out_after_a_scan() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("index")).unwrap();
        let write = |times: u8| {
            for time in 0..times {
                let mut batch = store.batch();
                for row in 0..1000u32 {
                    let key = row.to_be_bytes().to_vec().into();
                    batch.put_object(key, &vec![time; 50].into(), None);
                }
                batch.apply().unwrap();
            }
        };
        let is_written_out = || store.disk_bytes(Table::Object) > 0;
        write(1);
        store.tidy_after_scan(Table::Object, 1000);
        write(9);
        store.tidy_after_scan(Table::Version, 1000);
        store.tidy_after_scan(Table::Object, 10);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!is_written_out(), "nothing was in the way of these scans");
        store.tidy_after_scan(Table::Object, 1000);
        while !is_written_out() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for row in 0..1000u32 {
            let seen = store.get(&store.snapshot(), Table::Object, &row.to_be_bytes()).unwrap();
            assert_eq!(seen, Some(Stored::Value(vec![8; 50].into())));
        }
    }

    #[test]
    fn what_an_object_carries_is_compared_with_its_bodys_row() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("index")).unwrap();
        let put = |key: &'static str, carried: &'static str, body: Option<&'static str>| {
            let mut batch = store.batch();
            let value = |of: &'static str| Stored::Value(of.into());
            batch.put_object(key.into(), &"object".into(), Some(&value(carried)));
            if let Some(body) = body {
                batch.put(Table::Body, key.into(), value(body));
            }
            batch.apply().unwrap();
        };
        put("same", "body", Some("body"));
        assert_eq!(store.carried_amiss().unwrap(), Vec::<String>::new());
        put("other", "body", Some("bodies"));
        put("none", "body", None);
        assert_eq!(store.carried_amiss().unwrap().len(), 2);
    }
}
