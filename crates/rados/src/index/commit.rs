//! Group commit: per shard and gateway one operation is on its way at a time,
//! and everything that arrives meanwhile goes into the next.
//!
//! Conditional changes of one RADOS object do not overlap, so more operations
//! would only queue at the OSD. Each operation compares the shard's header and
//! the conditions of its commits and makes all their changes, or none.
//!
//! It also leaves its number in a row of this gateway's own. When an operation
//! times out, the header's epoch is raised: from then on the operation can no
//! longer take effect, and the number tells whether it had.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::engine::{Commit, CommitError, EngineError, Expect, Table, Tallies, Write};
use tokio::sync::oneshot;

use super::header::{Header, Phase};
use super::key::{self, CHANGED, HEADER};
use super::recover;
use super::shard::{Context, Shard};
use super::size::{self, Size};
use crate::ffi::{Errno, WriteOp};
use crate::remote::{expect_absent, expect_equal, expect_present};
use crate::status::{add, count};

/// Bounds of one operation: it holds the placement group while it runs.
const COMMITS_MAX: usize = 256;
const ROWS_MAX: usize = 512;
const BYTES_MAX: usize = 1 << 20;

/// How long an operation that timed out is looked into before its commits are
/// answered with "unknown".
const RESOLVE_PATIENCE: Duration = Duration::from_secs(2);
const RESOLVE_PAUSE: Duration = Duration::from_millis(500);

/// Pauses between looks at a frozen shard.
const FROZEN_PAUSE: Duration = Duration::from_millis(10);

/// A commit as it goes into an operation.
pub(crate) struct Prepared {
    pub(super) group: Vec<u8>,
    conditions: Vec<Condition>,
    /// By key; `None` deletes.
    changes: BTreeMap<Vec<u8>, Option<Bytes>>,
    bytes: usize,
    /// By how much it makes its shard grow, as far as it tells.
    growth: Size,
    /// By how much it moves the partition's counters.
    tallies: Tallies,
    /// Only takes rows away, or gives the collector work.
    shrinks: bool,
    /// Epoch of the settings that decided it.
    settings: Option<u64>,
}

struct Condition {
    key: Vec<u8>,
    wanted: Wanted,
}

enum Wanted {
    Absent,
    Present,
    Value(Bytes),
}

impl Condition {
    fn holds(&self, value: Option<&Bytes>) -> bool {
        match &self.wanted {
            Wanted::Absent => value.is_none(),
            Wanted::Present => value.is_some(),
            Wanted::Value(wanted) => value == Some(wanted),
        }
    }

    fn compare(&self, op: &mut WriteOp) {
        match &self.wanted {
            Wanted::Absent => expect_absent(op, &self.key),
            Wanted::Present => expect_present(op, &self.key),
            Wanted::Value(value) => expect_equal(op, &self.key, value),
        }
    }
}

impl Prepared {
    pub(super) fn new(commit: &Commit, settings: Option<u64>) -> Result<Prepared, EngineError> {
        let group = key::escape(&commit.group);
        let mut conditions = Vec::with_capacity(commit.expects.len());
        for expect in &commit.expects {
            let key = key::row_key(&group, expect.row());
            key::check_length(&key)?;
            let wanted = match expect {
                Expect::Absent(_) => Wanted::Absent,
                Expect::Present(_) => Wanted::Present,
                Expect::Equals(_, value) => Wanted::Value(value.clone()),
            };
            conditions.push(Condition { key, wanted });
        }
        let (mut changes, mut bytes, mut shrinks) = (BTreeMap::new(), 0, true);
        let mut growth = Size::default();
        for write in &commit.writes {
            let (row, value) = match write {
                Write::Put(row, value) => {
                    debug_assert!(!value.is_empty(), "the value of {row:?} is empty");
                    shrinks &= row.table == Table::Garbage;
                    bytes += value.len();
                    (row, Some(value.clone()))
                }
                Write::Delete(row) => (row, None),
            };
            let key = key::row_key(&group, row);
            key::check_length(&key)?;
            let before = conditions.iter().find(|condition| condition.key == key);
            growth += expected_growth(&key, before.map(|c| &c.wanted), value.as_ref());
            changes.insert(key, value);
        }
        let tallies = commit.tallies.clone();
        Ok(Prepared { group, conditions, changes, bytes, growth, tallies, shrinks, settings })
    }
}

/// What a write changes if the row was as its condition says. A row without one
/// is taken for new, or for one that was there: most are.
fn expected_growth(key: &[u8], before: Option<&Wanted>, value: Option<&Bytes>) -> Size {
    let old = match before {
        Some(Wanted::Absent) => None,
        Some(Wanted::Value(old)) => Some(&old[..]),
        Some(Wanted::Present) => Some(&[][..]),
        None => value.is_none().then_some(&[][..]),
    };
    let size = |value: Option<&[u8]>| value.map(|v| Size::of(key, v)).unwrap_or_default();
    size(value.map(|value| &value[..])).minus(size(old))
}

/// A commit that waits for its operation.
pub(super) struct Work {
    commit: Arc<Prepared>,
    deadline: Instant,
    reply: oneshot::Sender<Outcome>,
}

impl Work {
    #[cfg(test)]
    pub(super) fn test(commit: Prepared) -> Work {
        let (reply, _) = oneshot::channel();
        Work { commit: Arc::new(commit), deadline: Instant::now(), reply }
    }
}

pub(super) enum Outcome {
    Done(Result<(), CommitError>),
    /// The shard is not, or no longer, the place of this group.
    Moved,
}

fn unavailable(reason: &str) -> Outcome {
    Outcome::Done(Err(EngineError::Unavailable(reason.into()).into()))
}

const STUCK: &str = "the outcome of an earlier commit cannot be found out now";

impl Shard {
    /// Queues a commit. `None` when it was dropped without an answer.
    pub(super) async fn commit(
        self: &Arc<Self>,
        context: &Arc<Context>,
        commit: Arc<Prepared>,
        deadline: Instant,
    ) -> Option<Outcome> {
        let (reply, answer) = oneshot::channel();
        let start = {
            let mut queue = self.queue.lock();
            if self.stuck.load(Ordering::Relaxed) {
                return Some(unavailable(STUCK));
            }
            queue.waiting.push_back(Work { commit, deadline, reply });
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            tokio::spawn(self.clone().run(context.clone()));
        }
        answer.await.ok()
    }

    async fn run(self: Arc<Self>, context: Arc<Context>) {
        let ending = Ending(&self);
        let mut batch = Vec::new();
        let mut frozen = None;
        while self.take(&mut batch) {
            self.step(&context, &mut batch, &mut frozen).await;
        }
        // The queue says already that nobody runs.
        std::mem::forget(ending);
    }

    /// Fills the batch with what waits, a group at most once: the conditions of
    /// an operation see no change of its own. False when there is nothing.
    fn take(&self, batch: &mut Vec<Work>) -> bool {
        let mut queue = self.queue.lock();
        let mut groups: HashSet<Vec<u8>> = HashSet::new();
        let (mut rows, mut bytes) = (0, 0);
        let mut count = |work: &Work| {
            rows += work.commit.conditions.len() + work.commit.changes.len();
            bytes += work.commit.bytes;
            rows < ROWS_MAX && bytes < BYTES_MAX
        };
        let mut room = true;
        for work in batch.iter() {
            groups.insert(work.commit.group.clone());
            room &= count(work);
        }
        let mut left = std::collections::VecDeque::new();
        while let Some(work) = queue.waiting.pop_front() {
            // A commit whose client is gone before it was sent was never made.
            if work.reply.is_closed() {
                continue;
            }
            if !room || batch.len() >= COMMITS_MAX {
                left.push_back(work);
                break;
            }
            if groups.insert(work.commit.group.clone()) {
                room &= count(&work);
                batch.push(work);
            } else {
                left.push_back(work);
            }
        }
        left.append(&mut queue.waiting);
        queue.waiting = left;
        queue.running = !batch.is_empty();
        queue.running
    }

    /// One operation, or one look at what hinders it. Commits that are answered
    /// leave the batch.
    async fn step(
        &self,
        context: &Arc<Context>,
        batch: &mut Vec<Work>,
        frozen: &mut Option<(Header, Instant)>,
    ) {
        let now = Instant::now();
        for late in batch.extract_if(.., |work| work.deadline <= now) {
            let _ = late.reply.send(unavailable("not committed in time; nothing was written"));
        }
        if batch.is_empty() {
            return;
        }
        let known = *self.header.lock();
        let header = match known {
            Some(header) => header,
            None => match self.read_header(context).await {
                Ok(Some(header)) => header,
                Ok(None) => return answer_all(batch, || Outcome::Moved),
                Err(error) => return fail_all(batch, &error),
            },
        };
        match header.phase {
            Phase::Active | Phase::Logging => {}
            Phase::Retired => {
                for refused in batch.extract_if(.., |work| !work.commit.shrinks) {
                    let _ = refused.reply.send(Outcome::Done(Err(CommitError::NoPartition)));
                }
                if batch.is_empty() {
                    return;
                }
            }
            Phase::Frozen => return self.wait_frozen(context, batch, header, frozen).await,
            Phase::Moved | Phase::Prepared => {
                // It may have become active since.
                *self.header.lock() = None;
                return answer_all(batch, || Outcome::Moved);
            }
        }
        if !self.agree_on_settings(context, batch, header).await {
            return;
        }
        match self.know_own_counters(context).await {
            Ok(true) => {}
            Ok(false) => {
                *self.header.lock() = None;
                return answer_all(batch, || Outcome::Moved);
            }
            Err(error) => return fail_all(batch, &error),
        }
        let number = context.number();
        let op = self.operation(context, batch, header, &number);
        count(&context.meta.status().counters.groups);
        let written = match context.meta.write(&self.object, op).await {
            Ok(written) => written,
            Err(errno) => {
                self.tally.lock().counters = None;
                return fail_all(batch, &context.meta.error("committing rows", errno));
            }
        };
        match written.code {
            Ok(_) => {
                add(&context.meta.status().counters.commits, batch.len() as u64);
                context.meta.status().note_space();
                self.grown(context, growth_of(batch));
                if let Some(counters) = &mut self.tally.lock().counters {
                    add_tallies(counters, batch);
                }
                answer_all(batch, || Outcome::Done(Ok(())));
            }
            Err(Errno::CANCELED) => {
                self.sort_out(context, batch, header, written.failed_comparison).await;
            }
            Err(Errno::NOENT) => {
                *self.header.lock() = None;
                answer_all(batch, || Outcome::Moved);
            }
            Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => {
                fail_all(batch, &context.meta.error("committing rows", errno));
            }
            Err(_) => self.resolve(context, batch, header, number).await,
        }
    }

    /// Whether everything left in the batch may be committed under the header:
    /// refuses what older settings have decided, and puts newer ones in force.
    async fn agree_on_settings(
        &self,
        context: &Context,
        batch: &mut Vec<Work>,
        header: Header,
    ) -> bool {
        let is_old = |work: &mut Work| work.commit.settings.is_some_and(|by| by < header.settings);
        for refused in batch.extract_if(.., is_old) {
            let _ = refused.reply.send(Outcome::Done(Err(CommitError::Superseded)));
        }
        let newest = batch.iter().filter_map(|work| work.commit.settings).max();
        if let Some(newest) = newest.filter(|newest| *newest > header.settings) {
            match self.change_header(context, header, header.enforcing(newest)).await {
                Ok(true) => {}
                // It is read again.
                Ok(false) => *self.header.lock() = None,
                Err(error) => fail_all(batch, &error),
            }
            return false;
        }
        !batch.is_empty()
    }

    pub(super) fn operation(
        &self,
        context: &Context,
        batch: &[Work],
        header: Header,
        number: &[u8; 8],
    ) -> WriteOp {
        let mut op = context.meta.write_op();
        expect_equal(&mut op, HEADER, &header.encode());
        for condition in batch.iter().flat_map(|work| &work.commit.conditions) {
            condition.compare(&mut op);
        }
        let (mut growth, counters) = {
            let tally = self.tally.lock();
            (tally.growth, tally.counters.clone())
        };
        growth += growth_of(batch);
        let mut counters = counters.unwrap_or_default();
        add_tallies(&mut counters, batch);
        let marker = size::marker_value(number, growth, &counters);
        let (mut puts, mut removals) = (vec![(&context.marker[..], &marker[..])], Vec::new());
        for (key, value) in batch.iter().flat_map(|work| &work.commit.changes) {
            match value {
                Some(value) => puts.push((key, value)),
                None => removals.push(key),
            }
        }
        op.set(&puts);
        if header.phase == Phase::Logging {
            let keys = batch.iter().flat_map(|work| work.commit.changes.keys());
            let marks: Vec<_> = keys.map(|key| (changed(key), [1])).collect();
            op.set(&marks);
        }
        op.remove_keys(&removals);
        op
    }

    /// After an operation whose conditions did not all hold: answers the commits
    /// whose own do not, so that the others can go on.
    async fn sort_out(
        &self,
        context: &Context,
        batch: &mut Vec<Work>,
        header: Header,
        failed: Option<usize>,
    ) {
        // Comparison 0 is the header's, the others follow in order.
        let mut first = 1;
        let failed = batch.iter().enumerate().find_map(|(number, work)| {
            let condition = failed?.checked_sub(first);
            first += work.commit.conditions.len();
            condition.filter(|c| *c < work.commit.conditions.len()).map(|c| (number, c))
        });
        if let Some((number, condition)) = failed {
            count(&context.meta.status().counters.conflicts);
            let conflict = Err(CommitError::Conflict(condition));
            let _ = batch.remove(number).reply.send(Outcome::Done(conflict));
            if batch.is_empty() {
                return;
            }
        }
        let keys = batch.iter().flat_map(|work| &work.commit.conditions);
        let keys: Vec<_> = keys.map(|condition| condition.key.clone()).collect();
        let (now, rows) = match self.fetch(context, &keys).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                *self.header.lock() = None;
                return answer_all(batch, || Outcome::Moved);
            }
            Err(error) => return fail_all(batch, &error),
        };
        if now != header {
            // Whether conditions hold is for the next operation to say.
            *self.header.lock() = Some(now);
            return;
        }
        let mut index: BTreeMap<&[u8], &Bytes> = BTreeMap::new();
        index.extend(rows.iter().map(|(key, value)| (key.as_ref(), value)));
        let mut left = Vec::with_capacity(batch.len());
        for work in batch.drain(..) {
            let holds = |c: &Condition| c.holds(index.get(&c.key[..]).copied());
            match work.commit.conditions.iter().position(|condition| !holds(condition)) {
                Some(condition) => {
                    count(&context.meta.status().counters.conflicts);
                    let conflict = Err(CommitError::Conflict(condition));
                    let _ = work.reply.send(Outcome::Done(conflict));
                }
                None => left.push(work),
            }
        }
        *batch = left;
    }

    /// Somebody decides whether the partition is retired, or a split is about to
    /// commit: a moment, unless they have died.
    async fn wait_frozen(
        &self,
        context: &Arc<Context>,
        batch: &mut Vec<Work>,
        header: Header,
        frozen: &mut Option<(Header, Instant)>,
    ) {
        match *frozen {
            Some((same, since)) if same == header => {
                if since.elapsed() >= recover::PATIENCE {
                    *frozen = None;
                    if let Err(error) = recover::shard(context, &self.object).await {
                        tracing::warn!(shard = self.object, %error, "a frozen shard stays frozen");
                    }
                }
            }
            _ => *frozen = Some((header, Instant::now())),
        }
        tokio::time::sleep(FROZEN_PAUSE).await;
        match self.read_header(context).await {
            Ok(Some(header)) => *self.header.lock() = Some(header),
            Ok(None) => {
                *self.header.lock() = None;
                answer_all(batch, || Outcome::Moved);
            }
            Err(error) => fail_all(batch, &error),
        }
    }

    /// Finds out what became of an operation that did not come back. Nothing
    /// else is sent to the shard before that is known.
    async fn resolve(
        &self,
        context: &Arc<Context>,
        batch: &mut Vec<Work>,
        header: Header,
        number: [u8; 8],
    ) {
        let begun = Instant::now();
        loop {
            let settling = self.settle(context, header, &number);
            let settled = match batch.is_empty() {
                false => tokio::time::timeout(RESOLVE_PATIENCE, settling).await.ok(),
                true => Some(settling.await),
            };
            if let Some(Ok(settled)) = settled {
                // Commits that were answered already may be in the row now.
                self.tally.lock().counters = None;
                self.stuck.store(false, Ordering::Relaxed);
                count(&context.meta.status().counters.resolved);
                tracing::info!(
                    shard = self.object,
                    ?settled,
                    after = ?begun.elapsed(),
                    "found out what became of a commit that timed out"
                );
                match settled {
                    Settled::Applied => {
                        self.grown(context, growth_of(batch));
                        answer_all(batch, || Outcome::Done(Ok(())));
                    }
                    // It can be made again.
                    Settled::NotApplied => {}
                    Settled::Gone => answer_all(batch, || {
                        unavailable("the index shard of a commit that timed out is gone")
                    }),
                }
                return;
            }
            {
                let mut queue = self.queue.lock();
                self.stuck.store(true, Ordering::Relaxed);
                batch.extend(queue.waiting.drain(..));
            }
            answer_all(batch, || unavailable("the cluster did not say whether it committed"));
            if context.meta.status().check_open().is_err() {
                self.stuck.store(false, Ordering::Relaxed);
                return;
            }
            tokio::time::sleep(RESOLVE_PAUSE).await;
        }
    }

    pub(super) async fn settle(
        &self,
        context: &Context,
        header: Header,
        number: &[u8; 8],
    ) -> Result<Settled, EngineError> {
        loop {
            let Some((now, rows)) =
                self.fetch(context, std::slice::from_ref(&context.marker)).await?
            else {
                return Ok(Settled::Gone);
            };
            if now != header {
                let marked = Shard::value(&rows, &context.marker);
                return Ok(match marked.is_some_and(|value| value.starts_with(number)) {
                    true => Settled::Applied,
                    false => Settled::NotApplied,
                });
            }
            let mut op = context.meta.write_op();
            expect_equal(&mut op, HEADER, &header.encode());
            op.set(&[(HEADER, header.then(header.phase, header.token).encode())]);
            match context.meta.apply(&self.object, op).await {
                Ok(()) | Err(Errno::CANCELED) => {}
                Err(errno) => return Err(context.meta.error("fencing a commit", errno)),
            }
        }
    }
}

/// Lets others commit when the task is ended from outside.
struct Ending<'a>(&'a Shard);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.running = false;
        queue.waiting.clear();
    }
}

#[derive(Debug)]
pub(super) enum Settled {
    Applied,
    NotApplied,
    Gone,
}

/// The mark of a row that changed while rows are being copied.
fn changed(key: &[u8]) -> Vec<u8> {
    [&[CHANGED], key].concat()
}

fn growth_of(batch: &[Work]) -> Size {
    let mut growth = Size::default();
    batch.iter().for_each(|work| growth += work.commit.growth);
    growth
}

fn add_tallies(counters: &mut Tallies, batch: &[Work]) {
    batch.iter().for_each(|work| counters.add_all(&work.commit.tallies));
}

fn answer_all(batch: &mut Vec<Work>, outcome: impl Fn() -> Outcome) {
    for work in batch.drain(..) {
        // Its client may be gone.
        let _ = work.reply.send(outcome());
    }
}

/// Answers every commit with the same error. Nothing was written.
fn fail_all(batch: &mut Vec<Work>, error: &EngineError) {
    answer_all(batch, || {
        let error = match error {
            EngineError::Unavailable(reason) => EngineError::Unavailable(reason.clone()),
            EngineError::Full(reason) => EngineError::Full(reason.clone()),
            EngineError::Corrupt(what) => EngineError::Corrupt(what.clone()),
            other => EngineError::io("committing rows", std::io::Error::other(other.to_string())),
        };
        Outcome::Done(Err(error.into()))
    });
}
