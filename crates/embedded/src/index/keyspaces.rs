//! The keyspaces of the row store: how they are made, opened and set up.

use std::path::Path;

use costrel_core::engine::Table;
use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

use crate::open_files;
use crate::options::Memory;

const MIB: u64 = 1024 * 1024;

/// What a table gathers in memory before it becomes a file, in bytes. Stored
/// when the keyspace is made; up to five such pieces may wait for the disk.
const MEMTABLE_BYTES: u64 = 8 * MIB;
/// Bodies come in fast: larger pieces make fewer and larger files.
const MEMTABLE_BYTES_BODY: u64 = 16 * MIB;
/// Bodies from this length on lie apart from their keys.
const SEPARATE_FROM_BYTES: u32 = 1024;
/// Part of a file of bodies that may be dead before the live ones are moved out
/// of it: moving costs writes, not moving costs space.
const STALE_PART_MAX: f32 = 0.4;
/// Journal on disk before tables are written out to shorten it: what a start
/// has to read again.
const JOURNAL_BYTES_MAX: u64 = 96 * MIB;

const KEYSPACE_PARTITIONS: &str = "partitions";
const KEYSPACE_BODIES: &str = "bodies";
const KEYSPACE_EXTENTS: &str = "extents";
/// Where format 1 had bodies, as they are.
pub(super) const KEYSPACE_BODIES_1: &str = "table-11";

/// Opens the keyspaces, or makes them.
pub(super) fn open(path: &Path, memory: Memory) -> Result<Opened, fjall::Error> {
    if !path.try_exists()? {
        make(path, memory)?;
    }
    if !path.join("version").try_exists()? {
        // fjall would begin a new database over what is there.
        return Err(std::io::Error::other("the row store's version file is missing").into());
    }
    open_keyspaces(path, memory)
}

/// Makes an empty row store under a name of its own and gives it its place when it
/// is whole and stable: fjall does not open what a first start has left that was
/// cut short.
fn make(path: &Path, memory: Memory) -> Result<(), fjall::Error> {
    let new = path.with_extension("new");
    match std::fs::remove_dir_all(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    drop(open_keyspaces(&new, memory)?);
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(parent) => Ok(sync_dir(parent)?),
        None => Ok(()),
    }
}

/// An open row store's parts.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) partitions: Keyspace,
    pub(super) extents: Keyspace,
    /// In the order of [`Table::ALL`].
    pub(super) tables: Vec<Keyspace>,
}

fn open_keyspaces(path: &Path, memory: Memory) -> Result<Opened, fjall::Error> {
    let database = Database::builder(path)
        .cache_size(memory.block_cache)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .max_cached_files(Some(open_files::rows_max()))
        .worker_threads(2)
        .open()?;
    let partitions = database.keyspace(KEYSPACE_PARTITIONS, rows_options)?;
    let extents = database.keyspace(KEYSPACE_EXTENTS, rows_options)?;
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        tables.push(match table {
            Table::Body => database.keyspace(KEYSPACE_BODIES, bodies_options)?,
            table => database.keyspace(&format!("table-{}", table as u8), rows_options)?,
        });
    }
    // fjall syncs what is in a keyspace's directory and not its name. Without
    // the directory it drops the keyspace's rows from the journal as well.
    sync_dir(&path.join("keyspaces"))?;
    Ok(Opened { database, partitions, extents, tables })
}

fn sync_dir(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

fn rows_options() -> KeyspaceCreateOptions {
    options().max_memtable_size(MEMTABLE_BYTES)
}

/// What all keyspaces have in common: indexes and filters are cut into pieces of a
/// block's size on every level. By default they are whole on the upper levels, where
/// they are small or kept in memory; but a table that nothing overlaps, as when keys
/// come in order, moves down as it is. There its index and its filter, each of some
/// hundred kilobytes, would compete for the cache with blocks, and lookups would read
/// and verify them whole again and again. Nor are they kept in memory, which makes
/// lookups cheaper: what they take grows with the objects and has no bound, and a
/// table with a damaged block in them could not be opened, nor the store with it.
fn options() -> KeyspaceCreateOptions {
    let every_level = PartitioningPolicy::all(true);
    KeyspaceCreateOptions::default()
        .index_block_partitioning_policy(every_level.clone())
        .filter_block_partitioning_policy(every_level)
}

pub(super) fn bodies_options() -> KeyspaceCreateOptions {
    let separation = KvSeparationOptions::default()
        .separation_threshold(SEPARATE_FROM_BYTES)
        .staleness_threshold(STALE_PART_MAX);
    // Every body that is written is asked for before, as it may replace one, so
    // that filters pay for themselves.
    options().max_memtable_size(MEMTABLE_BYTES_BODY).with_kv_separation(Some(separation))
}

/// Makes everything that the row store's manifests name last, after syncs that
/// failed for want of space: opening it removes what they do not name.
pub(super) fn sync_manifests(path: &Path) -> std::io::Result<()> {
    for keyspace in std::fs::read_dir(path.join("keyspaces"))? {
        let keyspace = keyspace?.path();
        for entry in std::fs::read_dir(&keyspace)? {
            // Files of the manifest, and the directories of tables and of values.
            std::fs::File::open(entry?.path())?.sync_all()?;
        }
        sync_dir(&keyspace)?;
    }
    sync_dir(path)
}

#[cfg(test)]
mod tests {
    use fjall::Readable;

    use super::*;

    fn open_default(path: &Path) -> Result<Opened, fjall::Error> {
        open(path, crate::Options::new(path).memory())
    }

    #[test]
    fn an_unfinished_first_start_is_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let new = dir.path().join("index.new");
        std::fs::create_dir_all(new.join("keyspaces/1")).unwrap();
        std::fs::write(new.join("0.jnl"), "").unwrap();
        drop(open_default(&path).unwrap());
        assert!(!new.exists());
        std::fs::remove_file(path.join("version")).unwrap();
        assert!(open_default(&path).is_err(), "a database without its version file");
        assert!(path.join("keyspaces/1").exists(), "it was not touched");
    }

    #[test]
    fn a_damaged_block_of_an_index_or_a_filter_is_its_rows_alone() {
        const ROWS: u32 = 20_000;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let opened = open_default(&path).unwrap();
        for n in 0..ROWS {
            opened.tables[0].insert(n.to_be_bytes(), [n as u8; 200]).unwrap();
        }
        opened.tables[0].rotate_memtable_and_wait().unwrap();
        let files = opened.tables[0].path().join("tables");
        drop(opened);
        let files: Vec<_> = std::fs::read_dir(files).unwrap().map(|f| f.unwrap().path()).collect();
        let [table] = &files[..] else { panic!("{files:?}") };
        let whole = std::fs::read(table).unwrap();
        let mut damaged = 0;
        // Blocks of rows come first; indexes and filters are in the last twentieth. The
        // last pages name them, and the table is nothing without those.
        for at in (whole.len() / 20 * 19..whole.len() - 8 * 1024).step_by(4096) {
            let mut bytes = whole.clone();
            bytes[at..at + 64].iter_mut().for_each(|byte| *byte = !*byte);
            std::fs::write(table, bytes).unwrap();
            let opened = open_default(&path).unwrap_or_else(|e| panic!("damaged at {at}: {e}"));
            let snapshot = opened.database.snapshot();
            let fails = |n: &u32| snapshot.get(&opened.tables[0], n.to_be_bytes()).is_err();
            let failed = (0..ROWS).step_by(7).filter(fails).count() as u32;
            assert!(failed < ROWS / 7 / 2, "{failed} rows are damaged at {at}");
            damaged += failed;
        }
        assert!(damaged > 0, "no damage was seen");
    }
}
