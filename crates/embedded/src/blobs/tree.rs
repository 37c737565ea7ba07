//! Where blob files lie: `blobs/xx/yy/<id>`, by the first two bytes of the id.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use costrel_core::engine::{BlobId, EngineError};
use parking_lot::Mutex;

use crate::disk::Disk;
use crate::status::{Status, count};

const ROOT: &str = "blobs";

const LEAVES: usize = 1 << 16;

/// Where one blob's file lies.
#[derive(Clone, Copy)]
pub(super) struct BlobPath(pub(super) BlobId);

impl BlobPath {
    pub(super) fn file(self) -> PathBuf {
        self.leaf_dir().join(self.0.to_string())
    }

    fn leaf_dir(self) -> PathBuf {
        branch_dir(self.0.0[0]).join(hex_byte(self.0.0[1]))
    }

    /// Number of the leaf directory.
    fn leaf(self) -> usize {
        usize::from(u16::from_be_bytes([self.0.0[0], self.0.0[1]]))
    }
}

fn hex_byte(byte: u8) -> String {
    format!("{byte:02x}")
}

fn branch_dir(branch: u8) -> PathBuf {
    Path::new(ROOT).join(hex_byte(branch))
}

/// The directories, and which of them are known to last.
pub(super) struct Tree {
    disk: Arc<dyn Disk>,
    status: Arc<Status>,
    /// Whether names are made to last at all.
    sync: bool,
    /// One bit per leaf whose directory exists and lasts.
    known: Mutex<Vec<u64>>,
}

impl Tree {
    /// Makes the first level of directories, where it is missing. Blocks.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        status: Arc<Status>,
        sync: bool,
    ) -> Result<Self, EngineError> {
        let tree = Tree { disk, status, sync, known: Mutex::new(vec![0; LEAVES / 64]) };
        let made = make_dir(&*tree.disk, Path::new(ROOT)).and_then(|()| {
            (0..=u8::MAX).try_for_each(|branch| make_dir(&*tree.disk, &branch_dir(branch)))
        });
        made.map_err(|e| EngineError::io("making the directories of blobs", e))?;
        // Also when all existed: the run that made them may have ended between
        // making and syncing.
        tree.sync_dir(Path::new(""))?;
        tree.sync_dir(Path::new(ROOT))?;
        Ok(tree)
    }

    /// Makes sure that the directory of a blob exists and lasts. Blocks.
    pub(super) fn ensure_leaf(&self, path: BlobPath) -> Result<(), EngineError> {
        let (word, bit) = (path.leaf() / 64, 1 << (path.leaf() % 64));
        if self.known.lock()[word] & bit != 0 {
            return Ok(());
        }
        make_dir(&*self.disk, &path.leaf_dir())
            .map_err(|e| EngineError::io("making a directory of blobs", e))?;
        self.sync_dir(&branch_dir(path.0.0[0]))?;
        self.known.lock()[word] |= bit;
        Ok(())
    }

    /// Makes the name of a blob's file last. Blocks.
    pub(super) fn sync_leaf(&self, path: BlobPath) -> Result<(), EngineError> {
        self.sync_dir(&path.leaf_dir())
    }

    /// Makes the removal of a blob's file last, whoever removed it. Blocks.
    pub(super) fn sync_removal(&self, path: BlobPath) -> Result<(), EngineError> {
        let dir = path.leaf_dir();
        match self.try_sync_dir(&dir) {
            // Directories stay: where none is, no file was, and none comes back.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(|e| self.sync_failed(&dir, &e)),
        }
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), EngineError> {
        self.try_sync_dir(dir).map_err(|e| self.sync_failed(dir, &e))
    }

    fn try_sync_dir(&self, dir: &Path) -> io::Result<()> {
        if !self.sync {
            return Ok(());
        }
        count(&self.status.counters.syncs);
        self.disk.sync_dir(dir)
    }

    fn sync_failed(&self, dir: &Path, error: &io::Error) -> EngineError {
        self.status.poison(format!("syncing directory {dir:?}: {error}"))
    }

    /// Ids of the blobs that have a file, in one branch after the other, each
    /// branch sorted: begins at the branch of `after` and ends when there are
    /// `limit` ids after it. Blocks.
    pub(super) fn list(&self, after: Option<BlobId>, limit: usize) -> io::Result<Vec<BlobId>> {
        let mut ids = Vec::new();
        let start = after.map_or(0, |id| BlobPath(id).leaf());
        'branches: for branch in (start >> 8) as u8..=u8::MAX {
            let mut twigs: Vec<u8> = self
                .disk
                .list_dir(&branch_dir(branch))?
                .into_iter()
                .filter(|entry| entry.is_dir && entry.name.len() == 2)
                .filter_map(|entry| u8::from_str_radix(&entry.name, 16).ok())
                .collect();
            twigs.sort_unstable();
            for twig in twigs {
                let leaf = branch_dir(branch).join(hex_byte(twig));
                let before = ids.len();
                for entry in self.disk.list_dir(&leaf)? {
                    let id = parse_id(&entry.name).filter(|id| id.0[..2] == [branch, twig]);
                    ids.extend(id.filter(|id| Some(*id) > after));
                }
                ids[before..].sort_unstable();
                if ids.len() >= limit {
                    break 'branches;
                }
            }
        }
        ids.truncate(limit);
        Ok(ids)
    }
}

fn make_dir(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// The id that a file is named by; `None` for other files.
fn parse_id(name: &str) -> Option<BlobId> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if name.len() != 32 || !name.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(name, 16).ok().map(|id| BlobId(id.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_lies_where_its_id_says() {
        let mut id = BlobId([0x0f; 16]);
        id.0[1] = 0xa0;
        let path = BlobPath(id).file();
        assert_eq!(path, Path::new("blobs/0f/a0/0fa00f0f0f0f0f0f0f0f0f0f0f0f0f0f"));
        assert_eq!(parse_id("0fa00f0f0f0f0f0f0f0f0f0f0f0f0f0f"), Some(id));
        for name in ["", "0FA00f0f0f0f0f0f0f0f0f0f0f0f0f0f", "+fa00f0f0f0f0f0f0f0f0f0f0f0f0f0f"] {
            assert_eq!(parse_id(name), None, "{name}");
        }
    }
}
