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

    fn rotate(&mut self) -> io::Result<()> {
        if self.kept == 0 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        for number in (1..self.kept).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.file = append(&self.path)?;
        self.size = 0;
        Ok(())
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
    fn without_files_to_keep_it_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut log = Rotating::open(path.clone(), 8, 0).unwrap();
        log.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "three\n");
    }
}
