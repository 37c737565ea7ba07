//! Changing which shards hold a partition's rows while it is in use: one shard's
//! rows go to several, or several neighbours' to one.
//!
//! A shard's range never changes. The rows move to new shards, and the root names
//! those instead, in one operation. The order of the steps is what keeps every
//! row, whoever dies or hangs between two of them:
//!
//! 1. read the headers of the sources, *then* write into the root what is begun;
//! 2. let the sources' writers leave marks; a header that changed since step 1 ends
//!    the change, which may have been abandoned by somebody already;
//! 3. make the targets, and only now begin to read what is copied to them;
//! 4. copy rows, then marked rows, until few are left;
//! 5. stop the writers, copy the rest, and carry over what they have counted;
//! 6. change the root, if the change was not abandoned: this decides;
//! 7. let the sources refuse everything, and only then let the targets take it.
//!
//! Somebody who finds a change whose owner does not go on ends it: forwards from
//! step 6 on, backwards before (`recover.rs`).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costrel_core::engine::{EngineError, Partition};

use super::change::{Change, Stage};
use super::copy::{Copying, Ended};
use super::header::{Header, Life, Phase};
use super::key::{partition_name, root_object, shard_object};
use super::root::{self, Edit, Root, random_token};
use super::shard::{Context, Shard};
use super::{RadosIndex, recover, tend};
use crate::status::count;

/// Rounds of copying what changed in the round before, and with how many rows left
/// the writers are stopped.
const ROUNDS_MAX: usize = 100;
const ROWS_LEFT: usize = 64;

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// Where neighbouring shards stand in the root; `None` when they are not there any
/// more, or another change has them.
fn place(root: &Root, sources: &[u64]) -> Option<usize> {
    let first = root.ranges.iter().position(|(_, id)| Some(id) == sources.first())?;
    let ids = root.ranges.get(first..first + sources.len())?;
    let are_there = ids.iter().zip(sources).all(|((_, id), source)| id == source);
    let is_taken = |change: &Change| change.sources.iter().any(|id| sources.contains(id));
    (are_there && !root.changes.iter().any(is_taken)).then_some(first)
}

impl RadosIndex {
    /// Moves the rows of neighbouring shards to new ones: the first takes over the
    /// lowest bound, the others begin at `cuts`. False when somebody came between;
    /// then nothing has changed.
    pub(super) async fn reshape(
        &self,
        partition: Partition,
        sources: &[u64],
        cuts: &[Vec<u8>],
    ) -> Result<bool, EngineError> {
        let context = &*self.context;
        let (meta, object) = (&context.meta, root_object(partition));
        let root = root::read(meta, &object).await?;
        let Some(root) = root.filter(|root| root.state.life == Life::Live) else {
            return Ok(false);
        };
        let Some(first) = place(&root, sources) else { return Ok(false) };
        let lows = std::iter::once(&root.ranges[first].0).chain(cuts);
        let change = Change {
            token: random_token(),
            stage: Stage::Begun,
            sources: sources.to_vec(),
            targets: lows.map(|low| (low.clone(), random_token())).collect(),
        };
        let shards = sources.iter().map(|id| Shard::new(shard_object(partition, *id)));
        let shards: Vec<_> = shards.collect();
        let mut headers = Vec::with_capacity(shards.len());
        for shard in &shards {
            match shard.read_header(context).await? {
                Some(header) if header.phase == Phase::Active => headers.push(header),
                _ => return Ok(false),
            }
        }
        // Whoever comes after us looks here for what we have begun.
        tend::note(meta, &object).await?;
        let mut edit = Edit::default();
        edit.set_change(&change);
        if !root::edit(meta, &object, root.state, root.state.next(Life::Live), &edit).await? {
            return Ok(false);
        }
        let name = partition_name(partition);
        let done = self.carry_out(&name, &change, &shards, headers).await;
        if !matches!(done, Ok(Ok(()))) {
            recover::end_change(context, &name, change.token).await?;
        }
        self.layouts.outdate(partition);
        Ok(done?.is_ok())
    }

    async fn carry_out(
        &self,
        partition: &str,
        change: &Change,
        sources: &[Arc<Shard>],
        headers: Vec<Header>,
    ) -> Result<Result<(), Ended>, EngineError> {
        let context = &*self.context;
        let settings = headers.iter().map(|header| header.settings).max().unwrap_or_default();
        for (source, header) in sources.iter().zip(headers) {
            let logging = header.then(Phase::Logging, change.token);
            if !source.change_header(context, header, logging).await? {
                return Ok(Err(Ended));
            }
        }
        let begun = Copying::begin(context, partition, change, sources, settings).await?;
        let Ok(mut copying) = begun else { return Ok(Err(Ended)) };
        if copying.all_rows().await?.is_err() {
            return Ok(Err(Ended));
        }
        for _ in 0..ROUNDS_MAX {
            match copying.marked_rows().await? {
                Ok(rows) if rows > ROWS_LEFT => {}
                Ok(_) => break,
                Err(ended) => return Ok(Err(ended)),
            }
        }
        if copying.leave_sizes().await?.is_err() {
            return Ok(Err(Ended));
        }
        // From here on writers wait.
        for source in sources {
            if !freeze(context, source, change.token).await? {
                return Ok(Err(Ended));
            }
        }
        if copying.last_rows().await?.is_err() || copying.leave_tallies().await?.is_err() {
            return Ok(Err(Ended));
        }
        if !self.commit_change(partition, change).await? {
            return Ok(Err(Ended));
        }
        recover::finish_change(context, partition, change).await?;
        let counters = &context.meta.status().counters;
        match change.targets.len() > change.sources.len() {
            true => count(&counters.splits),
            false => count(&counters.merges),
        }
        Ok(Ok(()))
    }

    /// Lets the root name the new shards. False when the change was abandoned.
    async fn commit_change(&self, partition: &str, change: &Change) -> Result<bool, EngineError> {
        let context = &*self.context;
        let object = format!("{partition}.root");
        loop {
            let Some(root) = root::read(&context.meta, &object).await? else { return Ok(false) };
            match root.change(change.token) {
                Some(now) if now.stage == Stage::Begun && root.state.life == Life::Live => {}
                _ => return Ok(false),
            }
            let mut edit = Edit::default();
            for (low, id) in &root.ranges {
                if change.sources.contains(id) {
                    edit.remove_range(low);
                    edit.add_leftover(*id, now_ms() + context.source_grace().as_millis() as u64);
                }
            }
            for (low, id) in &change.targets {
                edit.add_range(low, *id);
            }
            edit.set_change(&change.at(Stage::Committed));
            let next = root.state.next(Life::Live);
            if root::edit(&context.meta, &object, root.state, next, &edit).await? {
                return Ok(true);
            }
        }
    }
}

impl Context {
    /// How long a shard whose rows have moved is kept, for gateways that have yet to
    /// find out what became of a commit there.
    fn source_grace(&self) -> Duration {
        self.patience * 2
    }
}

/// Stops the writers of a shard. False when the change was abandoned.
async fn freeze(context: &Context, source: &Shard, token: u64) -> Result<bool, EngineError> {
    loop {
        match source.read_header(context).await? {
            Some(header) if header.phase == Phase::Logging && header.token == token => {
                let frozen = header.then(Phase::Frozen, token);
                if source.change_header(context, header, frozen).await? {
                    return Ok(true);
                }
            }
            _ => return Ok(false),
        }
    }
}
