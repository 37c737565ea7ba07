//! A file that is put aside when it is full: `audit.log` becomes `audit.log.1`, that
//! `audit.log.2`, and so on to as many as are kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    size_max: u64,
    /// Files that are kept beside the one that is written.
    kept: u32,
}

impl Rotating {
    /// Goes on with what is there.
    pub fn open(path: PathBuf, size_max: u64, kept: u32) -> io::Result<Rotating> {
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(Rotating { path, file, size, size_max, kept })
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Puts the file aside, if it is still there: who moves it away puts it aside himself,
    /// and what was kept before stays. What fails here is tried again with the next line.
    fn rotate(&mut self) -> io::Result<()> {
        if self.kept > 0 && self.path.try_exists()? {
            for number in (1..self.kept).rev() {
                rename(&self.numbered(number), &self.numbered(number + 1))?;
            }
            rename(&self.path, &self.numbered(1))?;
        }
        self.file = append(&self.path)?;
        if self.kept == 0 {
            self.file.set_len(0)?;
        }
        self.size = self.file.metadata()?.len();
        Ok(())
    }
}

/// Renames a file, if it is there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// Nobody but the server's user reads who did what.
fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Write for Rotating {
    /// Lines as a whole: they are never torn over two files.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.size_max.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let fits = match bytes.get(..room) {
            None => bytes.len(),
            Some(front) => front.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
        };
        let end = match fits {
            0 => {
                if self.size > 0 {
                    self.rotate()?;
                }
                // A line that is longer than a file may be has one to itself.
                let line = bytes.iter().position(|byte| *byte == b'\n');
                line.map_or(bytes.len(), |at| at + 1)
            }
            fits => fits,
        };
        self.file.write_all(&bytes[..end])?;
        self.size += end as u64;
        Ok(end)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_put_aside_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let mut log = Rotating::open(path.clone(), 10, 2).unwrap();
        log.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(
            (read("audit.log"), read("audit.log.1")),
            ("three\n".into(), "one\ntwo\n".into())
        );
        drop(log);

        let mut log = Rotating::open(path, 10, 2).unwrap();
        log.write_all(b"abc\nlonger than a file\nd\n").unwrap();
        assert_eq!(read("audit.log"), "d\n");
        assert_eq!(read("audit.log.1"), "longer than a file\n");
        assert_eq!(read("audit.log.2"), "three\nabc\n");
        log.write_all(b"12345678\n").unwrap();
        assert_eq!(read("audit.log.2"), "longer than a file\n");
        assert_eq!(read("audit.log.3"), "");
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let mut log = Rotating::open(path.clone(), 8, 3).unwrap();
        log.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(read("audit.log.1"), "one\ntwo\n");
        fs::rename(&path, dir.path().join("taken")).unwrap();
        log.write_all(b"four\n").unwrap();
        assert_eq!(read("audit.log"), "four\n");
        // What was put aside before is where it was.
        assert_eq!(read("audit.log.1"), "one\ntwo\n");
        assert_eq!(read("audit.log.2"), "");
    }

    #[test]
    fn what_fails_once_loses_no_file_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("audit.log");
        let mut log = Rotating::open(path.clone(), 8, 3).unwrap();
        log.write_all(b"one\ntwo\n").unwrap();
        // There is no place for a new file for a while.
        let away = dir.path().join("away");
        fs::rename(&folder, &away).unwrap();
        for _ in 0..3 {
            log.write_all(b"three\n").unwrap_err();
        }
        fs::rename(&away, &folder).unwrap();
        log.write_all(b"four\n").unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(
            (read("audit.log.1"), read("audit.log")),
            ("one\ntwo\n".into(), "four\n".into())
        );
        // The file was put aside, and nothing came in its place.
        fs::rename(&path, folder.join("audit.log.1")).unwrap();
        log.write_all(b"five\n").unwrap();
        assert_eq!((read("audit.log.1"), read("audit.log")), ("four\n".into(), "five\n".into()));
        assert_eq!(read("audit.log.2"), "");
    }

    #[test]
    fn without_files_to_keep_it_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut log = Rotating::open(path.clone(), 8, 0).unwrap();
        log.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "three\n");
    }
}
