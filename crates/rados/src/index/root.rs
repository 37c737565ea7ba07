//! The root object of a partition: its state, and which shard holds which range
//! of groups. Every change compares the state and writes a new one, so changes
//! of one partition happen one after the other.

use costrel_core::engine::EngineError;

use super::header::{Life, State};
use super::shard::Shard;
use crate::ffi::{Errno, Values};
use crate::remote::{Remote, expect_equal};

/// The state's row.
const STATE: &[u8] = b"e";
/// Before a shard's low bound, an escaped group: the shard's number.
const SHARD: u8 = b's';

/// Rows asked for at once.
const PAGE: usize = 1000;

#[derive(Clone, Debug)]
pub(super) struct Root {
    pub state: State,
    /// Low bounds, ascending from the empty one, and shards.
    pub ranges: Vec<(Vec<u8>, u64)>,
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
    let (mut state, mut ranges) = (None, Vec::new());
    let mut after = Vec::new();
    loop {
        let mut op = meta.read_op();
        op.keys(&[STATE]);
        let asked = op.page(&after, &[SHARD], PAGE);
        let done = match asked {
            Ok(()) => meta.read(object, op, 0).await,
            Err(errno) => Err(errno),
        };
        let done = match done {
            Ok(done) => done,
            Err(Errno::NOENT) => return Ok(Some(None)),
            Err(errno) => return Err(meta.error("reading a partition's root", errno)),
        };
        let damaged = |what| meta.status().corrupt(format!("{object}: {what}"));
        let row = done.keys();
        let row = Shard::value(&row, STATE).ok_or_else(|| damaged("no state"))?;
        let now = State::decode(row)?;
        if *state.get_or_insert(now) != now {
            return Ok(None);
        }
        let (rows, more) = done.page();
        for (key, value) in &rows {
            let shard = value[..].try_into().map_err(|_| damaged("a shard's number"))?;
            ranges.push((key[1..].to_vec(), u64::from_be_bytes(shard)));
        }
        match rows.last() {
            Some((key, _)) if more => after = key.to_vec(),
            _ => break,
        }
    }
    let starts = ranges.first().is_some_and(|(low, _)| low.is_empty());
    match state {
        Some(state) if starts => Ok(Some(Some(Root { state, ranges }))),
        _ => Err(meta.status().corrupt(format!("{object}: no first shard"))),
    }
}

/// The rows of a new partition with one shard.
pub(super) fn first_rows(state: State, shard: u64) -> Values {
    let row = |key: &[u8], value: &[u8]| (key.to_vec().into(), value.to_vec().into());
    vec![row(STATE, &state.encode()), row(&[SHARD], &shard.to_be_bytes())]
}

/// Changes the state; false when it was no longer `old`.
pub(super) async fn change(
    meta: &Remote,
    object: &str,
    old: State,
    new: State,
) -> Result<bool, EngineError> {
    let mut op = meta.write_op();
    expect_equal(&mut op, STATE, &old.encode());
    op.set(&[(STATE, new.encode())]);
    match meta.apply(object, op).await {
        Ok(()) => Ok(true),
        Err(Errno::CANCELED | Errno::NOENT) => Ok(false),
        Err(errno) => Err(meta.error("changing a partition's state", errno)),
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
