//! Turns recorded system calls into changes of the modelled disk.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, NodeId, ROOT, SyncBegun};
use crate::promises::Note;
use crate::trace::{Arg, Call, Line};

/// The calls that can change files, or what a descriptor stands for.
pub const TRACED: &str = "open,openat,creat,close,write,writev,pwrite64,pwritev,pwritev2,\
    ftruncate,truncate,fallocate,lseek,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,\
    rmdir,link,linkat,symlink,symlinkat,fsync,fdatasync,sync_file_range,syncfs,sync,dup,dup2,\
    dup3,fcntl,copy_file_range,sendfile,splice,io_uring_setup,io_submit";

/// What kind of step a line was: cuts are spread over the kinds, for the rare
/// ones are the interesting ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    Promise,
    Sync,
    Name,
    Bytes,
}

#[derive(Clone)]
struct Open {
    node: NodeId,
    dir: NodeId,
    append: bool,
    position: u64,
}

pub struct Replay {
    pub disk: Disk,
    data_dir: PathBuf,
    notes: PathBuf,
    open: HashMap<i64, Open>,
    /// Descriptors of the file of notes.
    note_fds: Vec<i64>,
    syncs: HashMap<u32, SyncBegun>,
    /// What each thread is in.
    under_way: HashMap<u32, Call>,
    /// What threads were in when they ended.
    broken_off: Vec<Call>,
}

impl Replay {
    pub fn new(disk: Disk, data_dir: &Path, notes: &Path) -> Replay {
        Replay {
            disk,
            data_dir: data_dir.to_owned(),
            notes: notes.to_owned(),
            open: HashMap::new(),
            note_fds: Vec::new(),
            syncs: HashMap::new(),
            under_way: HashMap::new(),
            broken_off: Vec::new(),
        }
    }

    /// The process has ended and left the directory `left`, which tells whether
    /// the calls that it was in have happened.
    pub fn end_process(&mut self, left: &Path) -> Result<(), String> {
        let mut calls = std::mem::take(&mut self.broken_off);
        calls.extend(self.under_way.drain().map(|(_, call)| call));
        for call in calls {
            if self.has_happened(&call, left).unwrap_or(false) {
                let written = call.args.get(1).and_then(Arg::bytes).map_or(0, <[u8]>::len);
                self.apply(call, written as i64)?;
            }
        }
        self.open.clear();
        self.note_fds.clear();
        self.syncs.clear();
        Ok(())
    }

    fn has_happened(&self, call: &Call, left: &Path) -> Option<bool> {
        let here = Arg::Word("AT_FDCWD".into());
        let place = |at: &Arg, path: &Arg| {
            let (dir, name) = self.place(at, path)?;
            Some(left.join(self.disk.path(dir)?).join(name))
        };
        let args = &call.args[..];
        match (&call.name[..], args) {
            ("openat", [at, path, flags, ..]) if flags.word().contains("O_CREAT") => {
                Some(place(at, path)?.exists())
            }
            ("mkdir", [path, ..]) => Some(place(&here, path)?.exists()),
            ("unlink" | "rmdir", [path]) => Some(!place(&here, path)?.exists()),
            ("unlinkat", [at, path, ..]) => Some(!place(at, path)?.exists()),
            ("rename", [from, _]) => Some(!place(&here, from)?.exists()),
            ("renameat", [at, from, ..]) => Some(!place(at, from)?.exists()),
            ("fallocate", [fd, mode, offset, len]) => {
                let open = self.open.get(&fd.number()?)?;
                let path = left.join(self.disk.path(open.node)?);
                let (offset, len) = (offset.number()? as u64, len.number()? as u64);
                let file_len = path.metadata().ok()?.len();
                if !is_punch(mode) {
                    return Some(file_len >= offset + len);
                }
                let mut found = vec![0; file_len.saturating_sub(offset).min(len) as usize];
                File::open(path).ok()?.read_exact_at(&mut found, offset).ok()?;
                Some(found.iter().all(|byte| *byte == 0))
            }
            ("write" | "pwrite64" | "ftruncate", [fd, what, rest @ ..]) => {
                let open = self.open.get(&fd.number()?)?;
                let path = left.join(self.disk.path(open.node)?);
                let Some(bytes) = what.bytes() else {
                    return Some(path.metadata().ok()?.len() == what.number()? as u64);
                };
                let offset = match rest {
                    [_, offset] => offset.number()? as u64,
                    _ if open.append => self.disk.len(open.node).ok()?,
                    _ => open.position,
                };
                let mut found = vec![0; bytes.len()];
                File::open(path).ok()?.read_exact_at(&mut found, offset).ok()?;
                Some(found == bytes)
            }
            _ => None,
        }
    }

    /// Takes the next line; tells what it did to the disk and what was noted.
    pub fn take(&mut self, line: Line) -> Result<(Option<Step>, Option<Note>), String> {
        match line {
            Line::Begun(call) => {
                self.begin(&call);
                self.under_way.insert(call.thread, call);
                Ok((None, None))
            }
            Line::Returned(call, result) => {
                self.under_way.remove(&call.thread);
                self.end(call, result)
            }
            Line::Done(call, result) => {
                self.begin(&call);
                self.end(call, result)
            }
        }
    }

    fn begin(&mut self, call: &Call) {
        match &call.name[..] {
            "fsync" | "fdatasync" => {
                self.syncs.insert(call.thread, self.disk.begin_sync());
            }
            // The number may be another file's before the call returns.
            "close" => {
                let fd = call.args.first().and_then(Arg::number).unwrap_or(-1);
                self.open.remove(&fd);
                self.note_fds.retain(|note_fd| *note_fd != fd);
            }
            _ => {}
        }
    }

    fn end(
        &mut self,
        call: Call,
        result: Option<i64>,
    ) -> Result<(Option<Step>, Option<Note>), String> {
        let result = match result {
            Some(result) if result >= 0 => result,
            Some(_) => return Ok((None, None)),
            None => {
                self.broken_off.push(call);
                return Ok((None, None));
            }
        };
        let what = format!("{}({:?}…)", call.name, call.args.first());
        let failed = |why: String| format!("{what}: {why}");
        if call.name == "write" && self.note_fds.contains(&fd(&call)?) {
            let text = call.args.get(1).and_then(Arg::bytes).unwrap_or_default();
            let text = std::str::from_utf8(text).map_err(|e| failed(e.to_string()))?;
            return Ok((Some(Step::Promise), Some(text.trim_end().parse().map_err(failed)?)));
        }
        Ok((self.apply(call, result).map_err(failed)?, None))
    }

    fn apply(&mut self, call: Call, result: i64) -> Result<Option<Step>, String> {
        let arg = |at: usize| call.args.get(at).ok_or("too few arguments");
        let here = Arg::Word("AT_FDCWD".into());
        match &call.name[..] {
            "openat" => self.opened(arg(0)?, arg(1)?, arg(2)?.word(), result),
            "close" => Ok(None),
            "fsync" | "fdatasync" => {
                let begun = self.syncs.remove(&call.thread).ok_or("a sync that did not begin")?;
                let Some(open) = self.open.get(&fd(&call)?) else { return Ok(None) };
                self.disk.end_sync(open.node, begun)?;
                if self.disk.path(open.dir).is_some_and(|dir| keeps_names_of_files(&dir)) {
                    self.disk.keep_name(open.dir, open.node)?;
                }
                Ok(Some(Step::Sync))
            }
            "write" => {
                let Some(open) = self.open.get_mut(&fd(&call)?) else { return Ok(None) };
                let mut data = arg(1)?.bytes().ok_or("no bytes")?.to_vec();
                data.truncate(result as usize);
                if open.append {
                    open.position = self.disk.len(open.node)?;
                }
                let offset = open.position;
                open.position += data.len() as u64;
                self.disk.write(open.node, offset, data)?;
                Ok(Some(Step::Bytes))
            }
            "pwrite64" => {
                let Some(open) = self.open.get(&fd(&call)?) else { return Ok(None) };
                let mut data = arg(1)?.bytes().ok_or("no bytes")?.to_vec();
                data.truncate(result as usize);
                let offset = arg(3)?.number().ok_or("no offset")?;
                self.disk.write(open.node, offset as u64, data)?;
                Ok(Some(Step::Bytes))
            }
            "lseek" => {
                if let Some(open) = self.open.get_mut(&fd(&call)?)
                    // The others ask for data and holes, or where the file is.
                    && matches!(arg(2)?.word(), "SEEK_SET" | "SEEK_END")
                {
                    open.position = result as u64;
                }
                Ok(None)
            }
            "ftruncate" => {
                let Some(open) = self.open.get(&fd(&call)?) else { return Ok(None) };
                self.disk.resize(open.node, arg(1)?.number().ok_or("no length")? as u64)?;
                Ok(Some(Step::Bytes))
            }
            "fallocate" => {
                let Some(open) = self.open.get(&fd(&call)?) else { return Ok(None) };
                let number = |at: usize| arg(at)?.number().ok_or("no number");
                let (start, end) = (number(2)? as u64, (number(2)? + number(3)?) as u64);
                let len = self.disk.len(open.node)?;
                if !is_punch(arg(1)?) {
                    self.disk.resize(open.node, end.max(len))?;
                } else if start < len {
                    let zeros = vec![0; (end.min(len) - start) as usize];
                    self.disk.write(open.node, start, zeros)?;
                }
                Ok(Some(Step::Bytes))
            }
            "rename" => self.renamed((&here, arg(0)?), (&here, arg(1)?)),
            "renameat" => self.renamed((arg(0)?, arg(1)?), (arg(2)?, arg(3)?)),
            "unlink" | "rmdir" => self.removed(&here, arg(0)?),
            "unlinkat" => self.removed(arg(0)?, arg(1)?),
            "mkdir" => {
                let Some((dir, name)) = self.place(&here, arg(0)?) else { return Ok(None) };
                self.disk.create(dir, &name, true)?;
                Ok(Some(Step::Name))
            }
            "fcntl" if !arg(1)?.word().starts_with("F_DUPFD") => Ok(None),
            "fcntl" | "dup" => {
                if let Some(open) = self.open.get(&fd(&call)?).cloned() {
                    self.open.insert(result, open);
                }
                Ok(None)
            }
            // Made for event loops; nothing is written through one.
            "io_uring_setup" => Ok(None),
            _ => self.unknown(&call),
        }
    }

    /// Fails when a call touches a file of the data directory in a way that is not
    /// modelled.
    fn unknown(&self, call: &Call) -> Result<Option<Step>, String> {
        let ours = call.args.iter().any(|arg| match arg {
            Arg::Bytes(path) => path.starts_with(self.data_dir.as_os_str().as_encoded_bytes()),
            Arg::Word(_) => arg.number().is_some_and(|fd| self.open.contains_key(&fd)),
        });
        match ours || call.name.starts_with("sync") {
            true => Err("this call is not modelled".into()),
            false => Ok(None),
        }
    }

    fn opened(
        &mut self,
        at: &Arg,
        path: &Arg,
        flags: &str,
        fd: i64,
    ) -> Result<Option<Step>, String> {
        if path.bytes() == Some(self.notes.as_os_str().as_encoded_bytes()) {
            self.note_fds.push(fd);
            return Ok(None);
        }
        // Compared as paths: one has a slash at its end.
        if path.bytes().and_then(as_path) == Some(&*self.data_dir) {
            self.open.insert(fd, Open { node: ROOT, dir: ROOT, append: false, position: 0 });
            return Ok(None);
        }
        let Some((dir, name)) = self.place(at, path) else { return Ok(None) };
        let has = |flag| flags.split('|').any(|word| word == flag);
        let (node, step) = match self.disk.lookup(dir, &name) {
            Some(node) if has("O_TRUNC") => {
                self.disk.resize(node, 0)?;
                (node, Some(Step::Bytes))
            }
            Some(node) => (node, None),
            None if has("O_CREAT") => (self.disk.create(dir, &name, false)?, Some(Step::Name)),
            None => return Err(format!("{name} is not there")),
        };
        self.open.insert(fd, Open { node, dir, append: has("O_APPEND"), position: 0 });
        Ok(step)
    }

    fn renamed(&mut self, from: (&Arg, &Arg), to: (&Arg, &Arg)) -> Result<Option<Step>, String> {
        match (self.place(from.0, from.1), self.place(to.0, to.1)) {
            (Some((dir, from)), Some((other, to))) if dir == other => {
                self.disk.rename(dir, &from, &to)?;
                Ok(Some(Step::Name))
            }
            (None, None) => Ok(None),
            _ => Err("a rename between directories is not modelled".into()),
        }
    }

    fn removed(&mut self, at: &Arg, path: &Arg) -> Result<Option<Step>, String> {
        let Some((dir, name)) = self.place(at, path) else { return Ok(None) };
        self.disk.remove(dir, &name)?;
        Ok(Some(Step::Name))
    }

    /// The directory and the name that a path stands for; `None` outside of the
    /// data directory.
    fn place(&self, at: &Arg, path: &Arg) -> Option<(NodeId, String)> {
        let path = as_path(path.bytes()?)?;
        let (mut dir, relative) = match path.strip_prefix(&self.data_dir) {
            Ok(relative) => (ROOT, relative),
            Err(_) if path.is_relative() => (self.open.get(&at.number()?)?.node, path),
            Err(_) => return None,
        };
        let name = relative.file_name()?.to_str()?.to_owned();
        for part in relative.parent()?.components() {
            dir = self.disk.lookup(dir, part.as_os_str().to_str()?)?;
        }
        Some((dir, name))
    }
}

/// Whether a call of fallocate makes a hole; otherwise it makes the file longer.
fn is_punch(mode: &Arg) -> bool {
    mode.word().split('|').any(|flag| flag == "FALLOC_FL_PUNCH_HOLE")
}

/// The one place where the engine relies on more than POSIX gives: the row store
/// syncs its files of values and not the directory that they are made in. On the
/// file systems that `docs/formats/embedded.md` names, syncing a new file makes
/// its name last as well.
fn keeps_names_of_files(dir: &Path) -> bool {
    dir.starts_with("index/keyspaces") && dir.ends_with("blobs")
}

fn as_path(bytes: &[u8]) -> Option<&Path> {
    std::str::from_utf8(bytes).ok().map(Path::new)
}

fn fd(call: &Call) -> Result<i64, String> {
    call.args.first().and_then(Arg::number).ok_or_else(|| "no descriptor".into())
}
