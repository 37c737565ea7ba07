//! A disk in memory that crashes and fails as told.
//!
//! It keeps, beside what programs see, what is certain to last: bytes as of the
//! last sync of their file, names as of the last sync of their directory. A crash
//! goes back to that and then lets any part of what was not synced survive:
//! writes whole, torn into sectors, or not at all, and names in any combination.
//! A sync that fails loses for good what it was to make last; every handle of the
//! file that was open is told so once, by its next sync.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{ALIGNMENT, DirEntry, Disk, DiskFile};

/// Unit in which a device writes or does not write.
const SECTOR_BYTES: usize = 512;

type NodeId = u64;
const ROOT: NodeId = 0;

#[derive(Clone)]
enum Change {
    Add(String, NodeId),
    Remove(String),
    Rename(String, String, NodeId),
}

#[derive(Clone, Default)]
struct Names {
    entries: BTreeMap<String, NodeId>,
}

impl Names {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Add(name, node) => {
                self.entries.insert(name.clone(), *node);
            }
            Change::Remove(name) => {
                self.entries.remove(name);
            }
            Change::Rename(from, to, node) => {
                self.entries.remove(from);
                self.entries.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Clone, Default)]
struct Dir {
    live: Names,
    durable: Names,
    unsynced: Vec<Change>,
}

#[derive(Clone, Default)]
struct Bytes {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
    /// Syncs that have failed.
    failed_syncs: u64,
}

#[derive(Clone)]
enum Node {
    Dir(Dir),
    File(Bytes),
}

struct State {
    nodes: HashMap<NodeId, Node>,
    next_node: NodeId,
    rng: StdRng,
    /// Operations that change something, so far.
    ops: u64,
    fail_at: Option<(u64, io::ErrorKind)>,
    crash_at: Option<u64>,
    free_bytes: u64,
    /// What can be a hole begins and ends at multiples of this.
    hole_bytes: usize,
}

/// What happens to an operation that changes something.
enum Fate {
    Done,
    Fails(io::Error),
}

#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(HashMap::from([(ROOT, Node::Dir(Dir::default()))]), 1, seed)
    }

    fn with(nodes: HashMap<NodeId, Node>, next_node: NodeId, seed: u64) -> Self {
        let state = State {
            nodes,
            next_node,
            rng: StdRng::seed_from_u64(seed),
            ops: 0,
            fail_at: None,
            crash_at: None,
            free_bytes: u64::MAX,
            hole_bytes: ALIGNMENT,
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets the `n`-th change from now on fail, counted from one.
    pub(crate) fn fail_nth(&self, n: u64, kind: io::ErrorKind) {
        let mut state = self.state.lock();
        state.fail_at = Some((state.ops + n, kind));
    }

    /// Lets the `n`-th change from now on, and everything after it, fail, until the
    /// process is [killed](Self::kill) or the machine [crashes](Self::crash).
    pub(crate) fn crash_at_nth(&self, n: u64) {
        let mut state = self.state.lock();
        state.crash_at = Some(state.ops + n);
    }

    pub(crate) fn set_free_bytes(&self, free_bytes: u64) {
        self.state.lock().free_bytes = free_bytes;
    }

    pub(crate) fn set_hole_bytes(&self, hole_bytes: usize) {
        self.state.lock().hole_bytes = hole_bytes;
    }

    /// Changes so far.
    pub(crate) fn ops(&self) -> u64 {
        self.state.lock().ops
    }

    /// Flips a bit of a file, live and durable.
    pub(crate) fn corrupt(&self, path: &Path, byte: usize) {
        let mut state = self.state.lock();
        let node = state.find(path).unwrap();
        let file = state.file(node).unwrap();
        file.live[byte] ^= 1;
        file.durable[byte] ^= 1;
    }

    /// The disk as the next process finds it after one was killed: everything is
    /// there, whether it was synced or not.
    pub(crate) fn kill(&self) {
        let mut state = self.state.lock();
        (state.fail_at, state.crash_at) = (None, None);
    }

    /// The disk as a machine may find it that lost power now.
    pub(crate) fn crash(&self, seed: u64) -> SimDisk {
        let state = self.state.lock();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut nodes = HashMap::new();
        let mut ids: Vec<_> = state.nodes.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let node = match &state.nodes[&id] {
                Node::Dir(dir) => {
                    let mut names = dir.durable.clone();
                    let survive = rng.random_range(0.0..=1.0);
                    for change in &dir.unsynced {
                        if rng.random_bool(survive) {
                            names.apply(change);
                        }
                    }
                    Node::Dir(Dir { live: names.clone(), durable: names, unsynced: Vec::new() })
                }
                Node::File(file) => {
                    let mut bytes = file.durable.clone();
                    let survive = rng.random_range(0.0..=1.0);
                    for (offset, data) in &file.unsynced {
                        for (n, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                            if rng.random_bool(survive) {
                                write(&mut bytes, *offset + (n * SECTOR_BYTES) as u64, sector);
                            }
                        }
                    }
                    Node::File(Bytes { live: bytes.clone(), durable: bytes, ..Bytes::default() })
                }
            };
            nodes.insert(id, node);
        }
        SimDisk::with(nodes, state.next_node, seed)
    }
}

fn write(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + data.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(data);
}

impl State {
    /// Counts an operation; an error when the machine has crashed before it.
    fn change(&mut self) -> io::Result<Fate> {
        self.ops += 1;
        if self.crash_at.is_some_and(|at| self.ops >= at) {
            return Err(io::Error::other("the machine has crashed"));
        }
        Ok(match self.fail_at {
            Some((at, kind)) if at == self.ops => Fate::Fails(kind.into()),
            _ => Fate::Done,
        })
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for component in path.components() {
            let Component::Normal(name) = component else { panic!("{path:?} is not plain") };
            let Some(Node::Dir(dir)) = self.nodes.get(&node) else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            let found = dir.live.entries.get(name.to_str().unwrap());
            node = *found.ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn parent(&mut self, path: &Path) -> io::Result<(&mut Dir, String)> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let node = self.find(path.parent().unwrap())?;
        match self.nodes.get_mut(&node) {
            Some(Node::Dir(dir)) => Ok((dir, name)),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, node: NodeId) -> io::Result<&mut Bytes> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn add(&mut self, path: &Path, new: Node) -> io::Result<NodeId> {
        if let Fate::Fails(error) = self.change()? {
            return Err(error);
        }
        let node = self.next_node;
        let (dir, name) = self.parent(path)?;
        if dir.live.entries.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        dir.log(Change::Add(name, node));
        self.nodes.insert(node, new);
        self.next_node += 1;
        Ok(node)
    }
}

impl Dir {
    fn log(&mut self, change: Change) {
        self.live.apply(&change);
        self.unsynced.push(change);
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let node = self.state.lock().add(path, Node::File(Bytes::default()))?;
        Ok(Arc::new(SimFile { disk: self.clone(), node, told: AtomicU64::new(0) }))
    }

    fn create_direct(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let node = state.find(path)?;
        let told = AtomicU64::new(state.file(node)?.failed_syncs);
        Ok(Arc::new(SimFile { disk: self.clone(), node, told }))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn open_cached(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        if self.state.lock().rng.random_bool(0.5) {
            return Ok(None);
        }
        self.open(path).map(Some)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.state.lock().add(path, Node::Dir(Dir::default())).map(drop)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.change()?;
        let node = state.find(path)?;
        let Some(Node::Dir(dir)) = state.nodes.get_mut(&node) else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let unsynced = std::mem::take(&mut dir.unsynced);
        match fate {
            Fate::Done => {
                for change in &unsynced {
                    dir.durable.apply(change);
                }
                Ok(())
            }
            Fate::Fails(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Fate::Fails(error) = state.change()? {
            return Err(error);
        }
        assert_eq!(from.parent(), to.parent(), "only renames inside a directory are modelled");
        let node = state.find(from)?;
        let to = to.file_name().unwrap().to_str().unwrap().to_owned();
        let (dir, from) = state.parent(from)?;
        dir.log(Change::Rename(from, to, node));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.find(path)?;
        if let Fate::Fails(error) = state.change()? {
            return Err(error);
        }
        let (dir, name) = state.parent(path)?;
        dir.log(Change::Remove(name));
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        let node = state.find(path)?;
        let Some(Node::Dir(dir)) = state.nodes.get(&node) else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let entries = dir.live.entries.iter().map(|(name, node)| DirEntry {
            name: name.clone(),
            is_dir: matches!(state.nodes[node], Node::Dir(_)),
        });
        Ok(entries.collect())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.state.lock().free_bytes)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut state = self.state.lock();
        if state.find(path).is_err() {
            state.add(path, Node::File(Bytes::default()))?;
        }
        Ok(Some(Box::new(())))
    }
}

struct SimFile {
    disk: SimDisk,
    node: NodeId,
    /// Failed syncs of the file that this handle has been told of.
    told: AtomicU64,
}

impl SimFile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.disk.state.lock()
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().file(self.node)?.live.len() as u64)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.change()?;
        // A write that fails may have got some way.
        let done = match &fate {
            Fate::Done => data.len(),
            Fate::Fails(_) => state.rng.random_range(0..data.len()),
        };
        let file = state.file(self.node)?;
        write(&mut file.live, offset, &data[..done]);
        file.unsynced.push((offset, data[..done].to_vec()));
        match fate {
            Fate::Done => Ok(()),
            Fate::Fails(error) => Err(error),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state();
        let live = &state.file(self.node)?.live;
        let range = offset as usize..offset as usize + buffer.len();
        buffer.copy_from_slice(live.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let cached = match self.state().rng.random_range(0..3) {
            0 => 0,
            1 => buffer.len() / 2,
            _ => buffer.len(),
        };
        self.read_at(&mut buffer[..cached], offset)?;
        Ok(cached)
    }

    fn expect_random_reads(&self) {}

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let mut state = self.state();
        if let Fate::Fails(error) = state.change()? {
            return Err(error);
        }
        let file = state.file(self.node)?;
        assert_eq!(range.start, file.live.len() as u64, "only what follows is allocated");
        let zeros = vec![0; (range.end - range.start) as usize];
        write(&mut file.live, range.start, &zeros);
        file.unsynced.push((range.start, zeros));
        Ok(())
    }

    /// Lasts at once: what a lost cut leaves is of no use to anybody.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if let Fate::Fails(error) = state.change()? {
            return Err(error);
        }
        let file = state.file(self.node)?;
        file.live.resize(len as usize, 0);
        file.durable.truncate(len as usize);
        for (offset, data) in &mut file.unsynced {
            data.truncate(len.saturating_sub(*offset) as usize);
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = self.len()?.min(offset + len);
        match end.checked_sub(offset) {
            None | Some(0) => Ok(()),
            Some(len) => self.write_at(&vec![0; len as usize], offset),
        }
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let mut state = self.state();
        let unit = state.hole_bytes;
        let live = &state.file(self.node)?.live;
        let first = offset as usize / unit;
        let pages = live.chunks(unit).skip(first);
        let is_hole = |page: &&[u8]| page.iter().all(|byte| *byte == 0);
        let holes = pages.clone().take_while(is_hole).count();
        let data = pages.skip(holes).take_while(|page| !is_hole(page)).count();
        let start = (first + holes) * unit;
        let end = (start + data * unit).min(live.len());
        Ok((data > 0).then(|| (start as u64).max(offset)..end as u64))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.change()?;
        let file = state.file(self.node)?;
        let unsynced = std::mem::take(&mut file.unsynced);
        match fate {
            Fate::Done => {
                for (offset, data) in unsynced {
                    write(&mut file.durable, offset, &data);
                }
            }
            Fate::Fails(error) => {
                file.failed_syncs += 1;
                self.told.store(file.failed_syncs, Ordering::Relaxed);
                return Err(error);
            }
        }
        match self.told.swap(file.failed_syncs, Ordering::Relaxed) {
            told if told < file.failed_syncs => Err(io::Error::other("a sync of it has failed")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model itself: what is synced survives every crash, what is not
    /// survives some.
    #[test]
    fn crashes_keep_what_is_synced_and_some_of_the_rest() {
        let disk = SimDisk::new(1);
        let path = Path::new("file");
        let file = disk.create(path).unwrap();
        file.write_at(&[1; 4096], 0).unwrap();
        let survived = |disk: &SimDisk| {
            (0..50).map(|seed| disk.crash(seed)).filter(|d| d.open(path).is_ok()).count()
        };
        assert!((1..50).contains(&survived(&disk)), "an unsynced name");
        disk.sync_dir(Path::new("")).unwrap();
        assert_eq!(survived(&disk), 50);
        let wholes = |disk: &SimDisk| {
            let whole = |disk: SimDisk| {
                let mut bytes = [0; 4096];
                let read = disk.open(path).unwrap().read_at(&mut bytes, 0);
                read.is_ok() && bytes == [1; 4096]
            };
            (0..50).filter(|seed| whole(disk.crash(*seed))).count()
        };
        assert!(wholes(&disk) < 50, "unsynced bytes");
        file.sync_data().unwrap();
        assert_eq!(wholes(&disk), 50);
        disk.fail_nth(2, io::ErrorKind::Other);
        file.write_at(&[2; 512], 0).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(wholes(&disk), 50, "what a failed sync was to keep is lost for good");
    }
}
