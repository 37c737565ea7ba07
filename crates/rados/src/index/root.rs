//! The root object of a partition: its state, which shard holds which range of
//! groups, and what is under way to change that. Every change compares the state
//! and writes a new one, so changes of one partition happen one after the other.

use costrel_core::engine::EngineError;

use super::change::Change;
use super::header::{Life, State};
use super::shard::Shard;
use crate::ffi::{Errno, Values};
use crate::remote::{Remote, expect_equal};

/// The state's row.
const STATE: &[u8] = b"e";
/// Before a shard's low bound, an escaped group: the shard's number.
const SHARD: u8 = b's';
/// Before a token, 16 hexadecimal digits: a change of shape under way.
const CHANGE: u8 = b'x';
/// Before a shard's number, 16 hexadecimal digits: it holds nothing, and when it
/// may be removed.
const LEFTOVER: u8 = b'r';

/// Rows asked for at once.
const PAGE: usize = 1000;

#[derive(Clone, Debug)]
pub(super) struct Root {
    pub state: State,
    /// Low bounds, ascending from the empty one, and shards.
    pub ranges: Vec<(Vec<u8>, u64)>,
    /// Changes of shape under way, of different shards.
    pub changes: Vec<Change>,
    /// Shards that are not in use any more, and when they may be removed, in
    /// milliseconds since 1970.
    pub leftovers: Vec<(u64, u64)>,
}

impl Root {
    pub(super) fn change(&self, token: u64) -> Option<&Change> {
        self.changes.iter().find(|change| change.token == token)
    }

    /// Every shard that may be there.
    pub(super) fn shards(&self) -> impl Iterator<Item = u64> + '_ {
        let targets = self.changes.iter().flat_map(|change| &change.targets);
        let named = self.ranges.iter().chain(targets).map(|(_, id)| *id);
        named.chain(self.leftovers.iter().map(|(id, _)| *id))
    }
}

pub(super) fn random_token() -> u64 {
    rand::random::<u64>() | 1
}

impl State {
    /// The next state, which no other change can write as well.
    pub(super) fn next(self, life: Life) -> State {
        self.then(life, random_token())
    }
}

/// Reads a root; `None` when there is none.
pub(super) async fn read(meta: &Remote, object: &str) -> Result<Option<Root>, EngineError> {
    loop {
        if let Some(read) = read_once(meta, object).await? {
            return Ok(read);
        }
    }
}

/// `None` when the root changed between two pages.
async fn read_once(meta: &Remote, object: &str) -> Result<Option<Option<Root>>, EngineError> {
    let damaged = |what| meta.status().corrupt(format!("{object}: {what}"));
    let (mut state, mut after) = (None, Vec::new());
    let (mut ranges, mut changes, mut leftovers) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let mut op = meta.read_op();
        op.keys(&[STATE]);
        let asked = op.page(&after, b"", PAGE);
        let done = match asked {
            Ok(()) => meta.read(object, op, 0).await,
            Err(errno) => Err(errno),
        };
        let done = match done {
            Ok(done) => done,
            Err(Errno::NOENT) => return Ok(Some(None)),
            Err(errno) => return Err(meta.error("reading a partition's root", errno)),
        };
        let row = done.keys();
        let row = Shard::value(&row, STATE).ok_or_else(|| damaged("no state"))?;
        let now = State::decode(row)?;
        if *state.get_or_insert(now) != now {
            return Ok(None);
        }
        let (rows, more) = done.page();
        for (key, value) in &rows {
            let number = || value[..].try_into().map(u64::from_be_bytes).ok();
            let name = || u64::from_str_radix(std::str::from_utf8(&key[1..]).ok()?, 16).ok();
            match key[0] {
                SHARD => {
                    let shard = number().ok_or_else(|| damaged("a shard's number"))?;
                    ranges.push((key[1..].to_vec(), shard));
                }
                CHANGE => {
                    let change = name().and_then(|token| Change::decode(token, value));
                    changes.push(change.ok_or_else(|| damaged("a change under way"))?);
                }
                LEFTOVER => {
                    let leftover = name().zip(number());
                    leftovers.push(leftover.ok_or_else(|| damaged("a shard left over"))?);
                }
                _ => {}
            }
        }
        match rows.last() {
            Some((key, _)) if more => after = key.to_vec(),
            _ => break,
        }
    }
    let starts = ranges.first().is_some_and(|(low, _)| low.is_empty());
    match state {
        Some(state) if starts => Ok(Some(Some(Root { state, ranges, changes, leftovers }))),
        _ => Err(damaged("no first shard")),
    }
}

/// The rows of a new partition with one shard.
pub(super) fn first_rows(state: State, shard: u64) -> Values {
    let row = |key: &[u8], value: &[u8]| (key.to_vec().into(), value.to_vec().into());
    vec![row(STATE, &state.encode()), row(&[SHARD], &shard.to_be_bytes())]
}

/// What changes in a root besides its state. Rows are removed before others are
/// set.
#[derive(Default)]
pub(super) struct Edit {
    removals: Vec<Vec<u8>>,
    sets: Vec<(Vec<u8>, Vec<u8>)>,
}

fn range_key(low: &[u8]) -> Vec<u8> {
    [&[SHARD], low].concat()
}

fn named_key(letter: u8, number: u64) -> Vec<u8> {
    [&[letter], format!("{number:016x}").as_bytes()].concat()
}

impl Edit {
    pub(super) fn add_range(&mut self, low: &[u8], shard: u64) {
        self.sets.push((range_key(low), shard.to_be_bytes().to_vec()));
    }

    pub(super) fn remove_range(&mut self, low: &[u8]) {
        self.removals.push(range_key(low));
    }

    pub(super) fn set_change(&mut self, change: &Change) {
        self.sets.push((named_key(CHANGE, change.token), change.encode()));
    }

    pub(super) fn remove_change(&mut self, change: &Change) {
        self.removals.push(named_key(CHANGE, change.token));
    }

    pub(super) fn add_leftover(&mut self, shard: u64, until_ms: u64) {
        self.sets.push((named_key(LEFTOVER, shard), until_ms.to_be_bytes().to_vec()));
    }

    pub(super) fn remove_leftover(&mut self, shard: u64) {
        self.removals.push(named_key(LEFTOVER, shard));
    }
}

/// Changes the state; false when it was no longer `old`.
pub(super) async fn change(
    meta: &Remote,
    object: &str,
    old: State,
    new: State,
) -> Result<bool, EngineError> {
    edit(meta, object, old, new, &Edit::default()).await
}

/// Changes the state and other rows; false when the state was no longer `old`.
pub(super) async fn edit(
    meta: &Remote,
    object: &str,
    old: State,
    new: State,
    edit: &Edit,
) -> Result<bool, EngineError> {
    let mut op = meta.write_op();
    expect_equal(&mut op, STATE, &old.encode());
    op.remove_keys(&edit.removals);
    op.set(&edit.sets);
    op.set(&[(STATE, new.encode())]);
    match meta.apply(object, op).await {
        Ok(()) => Ok(true),
        Err(Errno::CANCELED | Errno::NOENT) => Ok(false),
        Err(errno) => Err(meta.error("changing a partition's root", errno)),
    }
}

/// Removes a root in a state; false when it was no longer so.
pub(super) async fn remove(meta: &Remote, object: &str, old: State) -> Result<bool, EngineError> {
    let mut op = meta.write_op();
    expect_equal(&mut op, STATE, &old.encode());
    op.remove_object();
    match meta.apply(object, op).await {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::CANCELED) => Ok(false),
        Err(errno) => Err(meta.error("removing a partition's root", errno)),
    }
}
