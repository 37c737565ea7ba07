//! Looks through the row store's journal before the row store does.
//!
//! Every commit group is synced before the next is written, so a loss of power
//! can tear only the last group of the newest journal that holds any. Such a tail was never
//! acknowledged and is cut off here: fjall refuses to open when the group's end
//! is there but its middle is not. Damage anywhere else is lost data: fjall
//! would drop what follows it without a word, so it is refused here.
//!
//! fjall removes journals oldest first, when their rows are in tables, and does
//! not sync that: after a loss of power some of the removed ones may be there
//! again. One without its successor would bring back rows that the successor
//! deletes. Numbers are given without gaps, so what lies before a gap was removed.
//!
//! The journal's format is fjall's (version 3). A journal is a sequence of
//! groups: `01`, number of entries (u32), sequence number (u64); the entries;
//! `03`, XXH3-64 of the entries (u64), `46 4A 4C 03`. An entry is `02`, type of
//! value (u8), compression (u8), keyspace (u64), length of the key (u16), of the
//! value (u32) and of the stored value (u32), key, stored value; or `04` and a
//! keyspace (u64) to be emptied. Numbers are little-endian. What follows the
//! last group is zero.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";

/// What is wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error("the journal {0:?} is damaged at byte {1}, before its end")]
    Damaged(PathBuf, u64),
    #[error("reading the journal: {0}")]
    Io(#[from] io::Error),
}

/// Checks all journals in the row store's directory, removes what was removed
/// before and cuts off a torn tail.
pub(super) fn check(dir: &Path) -> Result<(), JournalError> {
    let journals = remove_again(dir, journals(dir)?)?;
    // Behind a write that failed there may be journals, but they are empty.
    let mut is_last = true;
    for path in journals.iter().rev() {
        let mut window = Window::open(path)?;
        window.pass_groups(u64::MAX)?;
        let whole = window.offset;
        let rest = window.read_rest()?;
        let may_be_torn = is_last;
        is_last &= whole == 0;
        if rest.iter().all(|byte| *byte == 0) {
            continue;
        }
        is_last = false;
        if !may_be_torn || holds_a_group(&rest[1..]) {
            return Err(JournalError::Damaged(path.clone(), whole));
        }
        tracing::warn!(
            journal = %path.display(),
            bytes = rest.len(),
            "cutting off the end of a group of commits that was never acknowledged"
        );
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Cuts off the groups with the sequence number `first` and later ones, and
/// whatever lies behind them: nobody was told that they are stable.
pub(super) fn cut(dir: &Path, first: u64) -> Result<(), JournalError> {
    for (_, path) in journals(dir)? {
        let mut window = Window::open(&path)?;
        window.pass_groups(first)?;
        let acknowledged = window.offset;
        let file = OpenOptions::new().write(true).open(&path)?;
        if window.read_rest()?.iter().any(|byte| *byte != 0) {
            tracing::warn!(journal = %path.display(), "cutting off commits that failed");
            file.set_len(acknowledged)?;
        }
        file.sync_all()?;
    }
    Ok(())
}

/// Removes the journals before the last gap; the others.
fn remove_again(dir: &Path, mut journals: Vec<(u64, PathBuf)>) -> io::Result<Vec<PathBuf>> {
    let gap = journals.windows(2).rposition(|pair| pair[0].0 + 1 != pair[1].0);
    let removed: Vec<_> = journals.drain(..gap.map_or(0, |gap| gap + 1)).collect();
    for (_, path) in &removed {
        tracing::warn!(journal = %path.display(), "removing a journal that had been removed");
        std::fs::remove_file(path)?;
    }
    if !removed.is_empty() {
        File::open(dir)?.sync_all()?;
    }
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// Whether there is none, which is never so once there has been one.
pub(super) fn is_missing(dir: &Path) -> io::Result<bool> {
    Ok(journals(dir)?.is_empty())
}

/// The journals with their numbers, oldest first.
fn journals(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut journals = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            // fjall itself refuses other names.
            if let Some(number) = number {
                journals.push((number, path));
            }
        }
    }
    journals.sort();
    Ok(journals)
}

/// How far a window moves on at once, in bytes.
const WINDOW_STEP_BYTES: u64 = 1024 * 1024;

/// A part of a journal that moves from front to back.
struct Window {
    file: File,
    /// Where the window begins; what lies before has been passed.
    offset: u64,
    /// From `offset` on; its first `passed` bytes have been passed as well.
    bytes: Vec<u8>,
    passed: usize,
}

impl Window {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Window { file: File::open(path)?, offset: 0, bytes: Vec::new(), passed: 0 })
    }

    /// Moves past the whole groups at the front whose sequence numbers are below
    /// `end`.
    fn pass_groups(&mut self, end: u64) -> io::Result<()> {
        let mut last = None;
        loop {
            match group(&self.bytes[self.passed..]) {
                // The checksum does not cover the sequence number, but it only
                // rises.
                Group::Whole { len, number }
                    if number < end && last.is_none_or(|last| number > last) =>
                {
                    last = Some(number);
                    self.passed += len;
                }
                Group::Cut if self.read_on()? => {}
                Group::Whole { .. } | Group::Cut | Group::Broken => break,
            }
        }
        self.drop_passed();
        Ok(())
    }

    /// Everything that has not been passed, up to the file's last hole.
    fn read_rest(&mut self) -> io::Result<&[u8]> {
        while self.read_on()? {}
        Ok(&self.bytes)
    }

    fn drop_passed(&mut self) {
        self.bytes.drain(..self.passed);
        self.offset += self.passed as u64;
        self.passed = 0;
    }

    /// Reads some more; `false` when nothing follows but a hole. Journals are
    /// made long and empty: reading their holes would cost more than their data.
    fn read_on(&mut self) -> io::Result<bool> {
        self.drop_passed();
        let end = self.offset + self.bytes.len() as u64;
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(end)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let hole = rustix::fs::seek(&self.file, SeekFrom::Hole(data))?;
        let start = (data - self.offset) as usize;
        let new_end = start + hole.min(data + WINDOW_STEP_BYTES).saturating_sub(data) as usize;
        self.bytes.resize(new_end, 0);
        self.file.read_exact_at(&mut self.bytes[start..], data)?;
        Ok(true)
    }
}

/// Whether a whole group begins anywhere.
fn holds_a_group(bytes: &[u8]) -> bool {
    let mut starts = (0..bytes.len()).filter(|start| bytes[*start] == TAG_START);
    starts.any(|start| matches!(group(&bytes[start..]), Group::Whole { .. }))
}

/// What lies at the front of some bytes.
enum Group {
    /// A group that matches its checksum: its length and sequence number.
    Whole { len: usize, number: u64 },
    /// Perhaps the beginning of one.
    Cut,
    /// No group.
    Broken,
}

fn group(bytes: &[u8]) -> Group {
    let mut rest = Fields(bytes);
    match rest.group() {
        Some(Some(number)) => Group::Whole { len: bytes.len() - rest.0.len(), number },
        Some(None) => Group::Broken,
        None => Group::Cut,
    }
}

/// Takes fields from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The sequence number of a whole group; `Some(None)` when it is none, and
    /// `None` when the bytes end before that is known.
    fn group(&mut self) -> Option<Option<u64>> {
        if self.u8()? != TAG_START {
            return Some(None);
        }
        let entries = self.u32()?;
        let number = self.u64()?;
        let before_entries = self.0;
        for _ in 0..entries {
            match self.u8()? {
                TAG_ITEM => {
                    let _type_and_compression = self.skip(2)?;
                    let _keyspace = self.u64()?;
                    let key_len = self.u16()?;
                    let _value_len = self.u32()?;
                    let stored_len = self.u32()?;
                    self.skip(usize::from(key_len))?;
                    self.skip(stored_len as usize)?;
                }
                TAG_CLEAR => {
                    let _keyspace = self.u64()?;
                }
                _ => return Some(None),
            }
        }
        let entries = &before_entries[..before_entries.len() - self.0.len()];
        let end = self.u8()?;
        let checksum = self.u64()?;
        let magic = self.skip(MAGIC.len())?;
        let whole =
            end == TAG_END && magic == MAGIC && checksum == xxhash_rust::xxh3::xxh3_64(entries);
        Some(whole.then_some(number))
    }

    fn skip(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.skip(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use fjall::{Database, KeyspaceCreateOptions, PersistMode};

    use super::*;

    /// Longer than a window's step.
    const VALUE_BYTES: usize = 1_200_000;

    /// A row store with three groups of several pages in its journal: its
    /// directory, its journal, and where each group ends.
    fn three_groups() -> (tempfile::TempDir, PathBuf, Vec<usize>) {
        let dir = tempfile::tempdir().unwrap();
        let mut ends = Vec::new();
        {
            let database = Database::builder(dir.path()).open().unwrap();
            let rows = database.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
            for group in 0..3u8 {
                let mut batch = database.batch().durability(Some(PersistMode::SyncData));
                batch.insert(&rows, vec![group], vec![group + 1; VALUE_BYTES]);
                batch.remove(&rows, vec![group, 0]);
                batch.commit().unwrap();
                let journal = &journals(dir.path()).unwrap()[0].1;
                let mut window = Window::open(journal).unwrap();
                window.pass_groups(u64::MAX).unwrap();
                ends.push(window.offset as usize);
            }
        }
        let (_, journal) = journals(dir.path()).unwrap().remove(0);
        (dir, journal, ends)
    }

    fn rows_in(dir: &Path) -> usize {
        let database = Database::builder(dir).open().unwrap();
        let rows = database.keyspace("rows", KeyspaceCreateOptions::default).unwrap();
        (0..3u8).filter(|group| rows.get([*group]).unwrap().is_some()).count()
    }

    fn overwrite(journal: &Path, at: usize, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(journal).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
    }

    #[test]
    fn groups_are_recognised() {
        let (dir, _, ends) = three_groups();
        assert!(
            ends[0] > VALUE_BYTES && ends.is_sorted_by(|a, b| a + VALUE_BYTES < *b),
            "{ends:?}"
        );
        check(dir.path()).unwrap();
        assert_eq!(rows_in(dir.path()), 3);
    }

    /// Whatever part of the last group was lost, the others are kept.
    #[test]
    fn a_torn_tail_is_cut_off() {
        let (_, _, ends) = three_groups();
        let lost = [
            (ends[1], 512),
            (ends[1] + 4096, 4096),
            (ends[2] - 600, 512),
            (ends[2] - 5, 5),
            (ends[1] + 20, VALUE_BYTES),
        ];
        for (at, len) in lost {
            let (dir, journal, _) = three_groups();
            overwrite(&journal, at, &vec![0; len]);
            check(dir.path()).unwrap();
            assert_eq!(rows_in(dir.path()), 2, "{len} bytes lost at {at}");
            // And what is written after that is found again.
            check(dir.path()).unwrap();
        }
    }

    /// Those that were removed and are there again are not read again.
    #[test]
    fn a_journal_before_a_gap_is_removed() {
        let (dir, journal, _) = three_groups();
        assert_eq!(journal.file_name().unwrap(), "0.jnl");
        let numbers = |dir: &Path| -> Vec<u64> {
            journals(dir).unwrap().into_iter().map(|(number, _)| number).collect()
        };
        std::fs::write(dir.path().join("1.jnl"), [0; 100]).unwrap();
        check(dir.path()).unwrap();
        assert_eq!(numbers(dir.path()), [0, 1]);
        for number in [3, 5, 6] {
            std::fs::write(dir.path().join(format!("{number}.jnl")), [0; 100]).unwrap();
        }
        check(dir.path()).unwrap();
        assert_eq!(numbers(dir.path()), [5, 6]);
        assert_eq!(rows_in(dir.path()), 0);
    }

    #[test]
    fn a_torn_tail_may_have_empty_journals_behind_it() {
        let (dir, journal, ends) = three_groups();
        overwrite(&journal, ends[1], &[0; 512]);
        let next = dir.path().join("1.jnl");
        std::fs::copy(&journal, &next).unwrap();
        let result = check(dir.path());
        assert!(matches!(result, Err(JournalError::Damaged(..))), "{result:?}");
        std::fs::write(&next, [0; 100]).unwrap();
        check(dir.path()).unwrap();
        assert_eq!(rows_in(dir.path()), 2);
    }

    #[test]
    fn groups_are_cut_off_by_number() {
        let (dir, journal, ends) = three_groups();
        let bytes = std::fs::read(&journal).unwrap();
        let number = |at: usize| match group(&bytes[at..]) {
            Group::Whole { number, .. } => number,
            _ => panic!("no group at {at}"),
        };
        cut(dir.path(), number(ends[1]) + 1).unwrap();
        assert_eq!(rows_in(dir.path()), 3);
        let (dir, journal, _) = three_groups();
        // Half a group behind the last.
        overwrite(&journal, ends[2], &bytes[..100]);
        cut(dir.path(), number(ends[1])).unwrap();
        assert_eq!(journal.metadata().unwrap().len(), ends[1] as u64);
        assert_eq!(rows_in(dir.path()), 2);
    }

    #[test]
    fn damage_before_the_end_is_refused() {
        let (_, _, ends) = three_groups();
        for at in [0, 5, 100, ends[0] - 2, ends[0], ends[0] + 14, ends[1] - 8] {
            let (dir, journal, _) = three_groups();
            let mut byte = [0];
            File::open(&journal).unwrap().read_exact_at(&mut byte, at as u64).unwrap();
            overwrite(&journal, at, &[byte[0] ^ 0x40]);
            let result = check(dir.path());
            assert!(matches!(result, Err(JournalError::Damaged(..))), "byte {at}: {result:?}");
        }
    }
}
