//! A disk that is told of every change, knows which of them are certain to last,
//! and lays out what a power cut may leave.
//!
//! Bytes last when their file was synced after they were written, names when
//! their directory was; nothing else is certain, and of what is not, any part may
//! be there: writes whole, torn into sectors or not at all, in any combination.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

/// Unit in which a device writes or does not write.
const SECTOR_BYTES: usize = 512;

/// Journals are made long and empty; their holes are not written out.
const HOLE_BYTES: usize = 16 * 1024;

pub type NodeId = usize;

pub const ROOT: NodeId = 0;

enum FileChange {
    Write(u64, Vec<u8>),
    Resize(u64),
}

enum NameChange {
    Add(String, NodeId),
    Remove(String),
    /// From, to: one change, so both or neither.
    Rename(String, String, NodeId),
}

/// Changes since the last sync, numbered in order.
type Unsynced<T> = Vec<(u64, T)>;

#[derive(Default)]
struct FileNode {
    durable: Vec<u8>,
    unsynced: Unsynced<FileChange>,
    /// Where the next byte behind the end goes.
    len: u64,
    /// Counts the syncs that made something last.
    version: u32,
}

#[derive(Default)]
struct DirNode {
    names: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
    unsynced: Unsynced<NameChange>,
}

enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// A sync that has begun: it covers the changes before it.
#[derive(Clone, Copy, Debug)]
pub struct SyncBegun(u64);

pub struct Disk {
    nodes: Vec<Node>,
    changes: u64,
    /// Where contents of files that never change again are kept, to be linked
    /// into images instead of being written into each.
    kept: PathBuf,
    kept_files: HashMap<(NodeId, u32), PathBuf>,
}

impl Disk {
    pub fn new(kept: PathBuf) -> Disk {
        let nodes = vec![Node::Dir(DirNode::default())];
        Disk { nodes, changes: 0, kept, kept_files: HashMap::new() }
    }

    fn dir(&mut self, id: NodeId) -> Result<&mut DirNode, String> {
        match self.nodes.get_mut(id) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(format!("node {id} is no directory")),
        }
    }

    fn file(&mut self, id: NodeId) -> Result<&mut FileNode, String> {
        match self.nodes.get_mut(id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(format!("node {id} is no file")),
        }
    }

    pub fn lookup(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        match self.nodes.get(dir) {
            Some(Node::Dir(dir)) => dir.names.get(name).copied(),
            _ => None,
        }
    }

    fn change_names(&mut self, dir: NodeId, change: NameChange) -> Result<(), String> {
        self.changes += 1;
        let number = self.changes;
        let dir = self.dir(dir)?;
        apply_names(&mut dir.names, &change);
        dir.unsynced.push((number, change));
        Ok(())
    }

    pub fn create(&mut self, dir: NodeId, name: &str, is_dir: bool) -> Result<NodeId, String> {
        let id = self.nodes.len();
        self.nodes.push(match is_dir {
            true => Node::Dir(DirNode::default()),
            false => Node::File(FileNode::default()),
        });
        self.change_names(dir, NameChange::Add(name.to_owned(), id))?;
        Ok(id)
    }

    pub fn remove(&mut self, dir: NodeId, name: &str) -> Result<(), String> {
        self.change_names(dir, NameChange::Remove(name.to_owned()))
    }

    pub fn rename(&mut self, dir: NodeId, from: &str, to: &str) -> Result<(), String> {
        let id = self.lookup(dir, from).ok_or_else(|| format!("{from} is not there"))?;
        self.change_names(dir, NameChange::Rename(from.to_owned(), to.to_owned(), id))
    }

    fn change_file(&mut self, id: NodeId, change: FileChange) -> Result<(), String> {
        self.changes += 1;
        let number = self.changes;
        let file = self.file(id)?;
        file.len = match &change {
            FileChange::Write(offset, data) => file.len.max(offset + data.len() as u64),
            FileChange::Resize(len) => *len,
        };
        file.unsynced.push((number, change));
        Ok(())
    }

    pub fn write(&mut self, id: NodeId, offset: u64, data: Vec<u8>) -> Result<(), String> {
        self.change_file(id, FileChange::Write(offset, data))
    }

    pub fn resize(&mut self, id: NodeId, len: u64) -> Result<(), String> {
        self.change_file(id, FileChange::Resize(len))
    }

    pub fn len(&self, id: NodeId) -> Result<u64, String> {
        match self.nodes.get(id) {
            Some(Node::File(file)) => Ok(file.len),
            _ => Err(format!("node {id} is no file")),
        }
    }

    /// Where a node is found at the moment, from the root.
    pub fn path(&self, id: NodeId) -> Option<PathBuf> {
        if id == ROOT {
            return Some(PathBuf::new());
        }
        let parents = self.nodes.iter().enumerate().find_map(|(parent, node)| match node {
            Node::Dir(dir) => {
                let name = dir.names.iter().find(|(_, node)| **node == id)?.0;
                Some((parent, name))
            }
            Node::File(_) => None,
        });
        let (parent, name) = parents?;
        Some(self.path(parent)?.join(name))
    }

    pub fn begin_sync(&self) -> SyncBegun {
        SyncBegun(self.changes)
    }

    /// A sync that has succeeded.
    pub fn end_sync(&mut self, id: NodeId, begun: SyncBegun) -> Result<(), String> {
        let covered = |number: &u64| *number <= begun.0;
        match self.nodes.get_mut(id).ok_or_else(|| format!("no node {id}"))? {
            Node::File(file) => {
                let count = file.unsynced.partition_point(|(number, _)| covered(number));
                for (_, change) in file.unsynced.drain(..count) {
                    apply_bytes(&mut file.durable, &change);
                }
                file.version += 1;
            }
            Node::Dir(dir) => {
                let count = dir.unsynced.partition_point(|(number, _)| covered(number));
                for (_, change) in dir.unsynced.drain(..count) {
                    apply_names(&mut dir.durable, &change);
                }
            }
        }
        Ok(())
    }

    /// Makes the name of a file last with its bytes.
    pub fn keep_name(&mut self, dir: NodeId, id: NodeId) -> Result<(), String> {
        let dir = self.dir(dir)?;
        let at = dir
            .unsynced
            .iter()
            .position(|(_, change)| matches!(change, NameChange::Add(_, node) if *node == id));
        if let Some(at) = at {
            let (_, change) = dir.unsynced.remove(at);
            apply_names(&mut dir.durable, &change);
        }
        Ok(())
    }

    /// Lays out what a power cut at this moment may leave.
    pub fn image(&mut self, luck: &mut Luck, into: &Path) -> io::Result<()> {
        self.lay_out(ROOT, luck, into)
    }

    fn lay_out(&mut self, id: NodeId, luck: &mut Luck, path: &Path) -> io::Result<()> {
        match &self.nodes[id] {
            Node::Dir(dir) => {
                let names = luck.names(dir);
                std::fs::create_dir_all(path)?;
                for (name, id) in names {
                    self.lay_out(id, luck, &path.join(name))?;
                }
                Ok(())
            }
            Node::File(file) if file.unsynced.is_empty() && never_changes(path) => {
                let key = (id, file.version);
                if let Some(kept) = self.kept_files.get(&key) {
                    return std::fs::hard_link(kept, path);
                }
                let kept = self.kept.join(format!("{id}-{}", file.version));
                write_out(&file.durable, &kept)?;
                std::fs::hard_link(&kept, path)?;
                self.kept_files.insert(key, kept);
                Ok(())
            }
            Node::File(file) => write_out(&luck.bytes(file), path),
        }
    }
}

/// Whether the engine writes such a file once and never again.
fn never_changes(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tables" || part.as_os_str() == "blobs")
}

fn apply_names(names: &mut BTreeMap<String, NodeId>, change: &NameChange) {
    match change {
        NameChange::Add(name, id) => {
            names.insert(name.clone(), *id);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to, id) => {
            names.remove(from);
            names.insert(to.clone(), *id);
        }
    }
}

fn apply_bytes(bytes: &mut Vec<u8>, change: &FileChange) {
    match change {
        FileChange::Write(offset, data) => put(bytes, *offset as usize, data),
        FileChange::Resize(len) => bytes.resize(*len as usize, 0),
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn write_out(bytes: &[u8], path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    for (number, piece) in bytes.chunks(HOLE_BYTES).enumerate() {
        if piece.iter().any(|byte| *byte != 0) {
            file.write_all_at(piece, (number * HOLE_BYTES) as u64)?;
        }
    }
    file.set_len(bytes.len() as u64)
}

/// Which of the changes that were not synced are there after the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    Nothing,
    Everything,
    Names,
    Bytes,
    /// Those up to some moment, as on a device that writes in order.
    Front,
    /// Any, and of writes any sectors.
    Any,
}

impl Survivors {
    pub const ALL: [Survivors; 6] = [
        Survivors::Nothing,
        Survivors::Any,
        Survivors::Names,
        Survivors::Bytes,
        Survivors::Front,
        Survivors::Everything,
    ];
}

/// Decides for one image.
pub struct Luck {
    survivors: Survivors,
    rng: StdRng,
    /// Changes after this number are lost, if they go by order.
    front: u64,
}

impl Luck {
    pub fn new(survivors: Survivors, mut rng: StdRng, disk: &Disk) -> Luck {
        // Most of what is unsynced is young.
        let back = rng.random_range(0..=20.min(disk.changes));
        Luck { survivors, rng, front: disk.changes - back }
    }

    fn name_survives(&mut self, number: u64) -> bool {
        match self.survivors {
            Survivors::Nothing | Survivors::Bytes => false,
            Survivors::Everything | Survivors::Names => true,
            Survivors::Front => number <= self.front,
            Survivors::Any => self.rng.random(),
        }
    }

    fn names(&mut self, dir: &DirNode) -> BTreeMap<String, NodeId> {
        let mut names = dir.durable.clone();
        for (number, change) in &dir.unsynced {
            if self.name_survives(*number) {
                apply_names(&mut names, change);
            }
        }
        names
    }

    fn bytes(&mut self, file: &FileNode) -> Vec<u8> {
        let mut bytes = file.durable.clone();
        for (number, change) in &file.unsynced {
            match self.survivors {
                Survivors::Nothing | Survivors::Names => {}
                Survivors::Everything | Survivors::Bytes => apply_bytes(&mut bytes, change),
                Survivors::Front if *number <= self.front => apply_bytes(&mut bytes, change),
                Survivors::Front => {}
                Survivors::Any => self.some_bytes(&mut bytes, change),
            }
        }
        bytes
    }

    fn some_bytes(&mut self, bytes: &mut Vec<u8>, change: &FileChange) {
        let FileChange::Write(offset, data) = change else {
            if self.rng.random() {
                apply_bytes(bytes, change);
            }
            return;
        };
        match self.rng.random_range(0..4) {
            0 => {}
            1 => apply_bytes(bytes, change),
            kind => {
                // The file may have become longer although the bytes are lost.
                if kind == 2 && (bytes.len() as u64) < offset + data.len() as u64 {
                    bytes.resize(*offset as usize + data.len(), 0);
                }
                let mut at = 0;
                while at < data.len() {
                    // Sectors end where the device's do.
                    let start = *offset as usize + at;
                    let len = (SECTOR_BYTES - start % SECTOR_BYTES).min(data.len() - at);
                    if self.rng.random() {
                        put(bytes, start, &data[at..at + len]);
                    }
                    at += len;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn image(disk: &mut Disk, survivors: Survivors, seed: u64) -> BTreeMap<String, Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let mut luck = Luck::new(survivors, StdRng::seed_from_u64(seed), disk);
        disk.image(&mut luck, dir.path()).unwrap();
        let entries = std::fs::read_dir(dir.path()).unwrap();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let bytes = std::fs::read(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), bytes)
            })
            .collect()
    }

    fn sync(disk: &mut Disk, id: NodeId) {
        let begun = disk.begin_sync();
        disk.end_sync(id, begun).unwrap();
    }

    #[test]
    fn what_was_synced_is_in_every_image() {
        let mut disk = Disk::new(PathBuf::new());
        let file = disk.create(ROOT, "old", false).unwrap();
        disk.write(file, 0, vec![1; 2000]).unwrap();
        sync(&mut disk, file);
        assert!(image(&mut disk, Survivors::Nothing, 0).is_empty(), "a name without a sync");
        assert_eq!(image(&mut disk, Survivors::Names, 0)["old"], vec![1; 2000]);
        sync(&mut disk, ROOT);
        disk.write(file, 1000, vec![2; 2000]).unwrap();
        disk.rename(ROOT, "old", "new").unwrap();
        let (mut torn, mut renamed) = (0, 0);
        for seed in 0..200 {
            let any = image(&mut disk, Survivors::Any, seed);
            let (name, bytes) = any.first_key_value().unwrap();
            assert_eq!((any.len(), &bytes[..1000]), (1, &[1; 1000][..]));
            let written = bytes[1000..].iter().filter(|byte| **byte == 2).count();
            torn += usize::from(written > 0 && written < 2000);
            renamed += usize::from(name == "new");
        }
        assert!(torn > 50 && (50..150).contains(&renamed), "{torn} torn, {renamed} renamed");
        let nothing = image(&mut disk, Survivors::Nothing, 0);
        assert_eq!(nothing, BTreeMap::from([("old".into(), vec![1; 2000])]));
        let everything = image(&mut disk, Survivors::Everything, 0);
        assert_eq!(everything["new"], [vec![1; 1000], vec![2; 2000]].concat());
    }

    #[test]
    fn a_sync_covers_what_was_before_it() {
        let mut disk = Disk::new(PathBuf::new());
        let file = disk.create(ROOT, "file", false).unwrap();
        sync(&mut disk, ROOT);
        disk.write(file, 0, vec![1]).unwrap();
        let begun = disk.begin_sync();
        disk.write(file, 1, vec![2]).unwrap();
        disk.end_sync(file, begun).unwrap();
        assert_eq!(image(&mut disk, Survivors::Nothing, 0)["file"], [1]);
        assert_eq!(disk.len(file), Ok(2));
    }
}
