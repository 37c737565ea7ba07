//! The data directory as a whole: its lock and its format file.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;

/// The format that this program writes.
pub(crate) const FORMAT_VERSION: u32 = 3;

/// The oldest format that it can make that of. Since format 2 bodies may lie in a
/// log; since format 3 partitions have counters, and objects' rows may carry bodies.
const FORMAT_OLDEST: u32 = 1;

const FORMAT_FILE: &str = "format";
const FORMAT_FILE_NEW: &str = "format.new";
const LOCK_FILE: &str = "lock";
const FORMAT_PREFIX: &str = "costrel embedded ";

/// How much of a small file is looked at, in bytes.
const SHORT_BYTES_MAX: u64 = 64;

/// Why the engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another costrel process")]
    Locked(PathBuf),
    #[error(
        "{dir} has format {found}, and this program reads format {FORMAT_VERSION}: \
         it was written by a newer version of costrel"
    )]
    Newer { dir: PathBuf, found: u32 },
    #[error("{dir} is not a costrel data directory: {problem}")]
    Foreign { dir: PathBuf, problem: String },
    /// A place cannot be what the configuration says it is.
    #[error("place '{name}' in {dir}: {problem}")]
    Place { name: String, dir: PathBuf, problem: String },
    #[error("cannot open {dir}: {problem}")]
    Engine { dir: PathBuf, problem: costrel_core::engine::EngineError },
    #[error("cannot {action} in {dir}: {source}")]
    Io {
        dir: PathBuf,
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Takes the directory's lock and checks its format, or writes the format file
/// of a new directory or of one that an older program has left: from then on such
/// a program refuses it. The lock is held until the answer is dropped. Blocks.
pub(crate) fn claim(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Send + Sync>, OpenError> {
    let failed = |action| move |source| OpenError::Io { dir: dir.to_path_buf(), action, source };
    let lock = disk
        .lock(Path::new(LOCK_FILE))
        .map_err(failed("take the lock"))?
        .ok_or_else(|| OpenError::Locked(dir.to_path_buf()))?;
    match read_format(disk).map_err(failed("read the format file"))? {
        Some(text) => {
            if check_format(dir, &text)? != FORMAT_VERSION {
                write_format(disk).map_err(failed("write the format file"))?;
            }
        }
        None => {
            let entries = disk.list_dir(Path::new("")).map_err(failed("list the files"))?;
            let ours = [LOCK_FILE, FORMAT_FILE_NEW, "lost+found"];
            if let Some(entry) = entries.iter().find(|entry| !ours.contains(&&entry.name[..])) {
                let problem = format!("it has no format file but holds {:?}", entry.name);
                return Err(OpenError::Foreign { dir: dir.to_path_buf(), problem });
            }
            write_format(disk).map_err(failed("write the format file"))?;
        }
    }
    Ok(lock)
}

fn read_format(disk: &dyn Disk) -> io::Result<Option<Vec<u8>>> {
    read_short(disk, Path::new(FORMAT_FILE))
}

/// The front of a small file; `None` if there is no such file.
pub(crate) fn read_short(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut text = vec![0; file.len()?.min(SHORT_BYTES_MAX) as usize];
    file.read_at(&mut text, 0)?;
    Ok(Some(text))
}

fn format_text() -> String {
    format!("{FORMAT_PREFIX}{FORMAT_VERSION}\n")
}

/// The format, if this program can open it.
fn check_format(dir: &Path, text: &[u8]) -> Result<u32, OpenError> {
    let version = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.strip_prefix(FORMAT_PREFIX)?.strip_suffix('\n')?.parse().ok());
    match version {
        Some(found) if (FORMAT_OLDEST..=FORMAT_VERSION).contains(&found) => Ok(found),
        Some(found) if found > FORMAT_VERSION => {
            Err(OpenError::Newer { dir: dir.to_path_buf(), found })
        }
        _ => {
            let problem = "its format file cannot be read".to_owned();
            Err(OpenError::Foreign { dir: dir.to_path_buf(), problem })
        }
    }
}

fn write_format(disk: &dyn Disk) -> io::Result<()> {
    let (new, named) = (Path::new(FORMAT_FILE_NEW), Path::new(FORMAT_FILE));
    write_short(disk, new, named, format_text().as_bytes())
}

/// Under its name the file is always whole: it gets the name after its bytes
/// last. Both names are in the same directory.
pub(crate) fn write_short(
    disk: &dyn Disk,
    new: &Path,
    named: &Path,
    text: &[u8],
) -> io::Result<()> {
    match disk.remove_file(new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = disk.create(new)?;
    file.write_at(text, 0)?;
    file.sync_data()?;
    disk.rename(new, named)?;
    disk.sync_dir(Path::new(""))
}
