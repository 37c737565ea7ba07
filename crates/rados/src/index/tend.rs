//! Keeping shards at a good size: which ones to look at, and what to do with them.
//!
//! Who makes a shard grow or shrink by some part of what it may hold notes it in one
//! object, `noted`; so does who begins to change a partition's shape. One gateway
//! works the notes off. A note is lost with a gateway that dies at the wrong moment,
//! so now and then everything is looked at.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::engine::{BucketId, EngineError, Partition};
use parking_lot::Mutex;

use super::header::{Life, Phase};
use super::key::{root_object, shard_object};
use super::reshape::now_ms;
use super::root::{self, Edit, Root, random_token};
use super::shard::{Context, Shard};
use super::size::{Estimate, Size};
use super::{RadosIndex, recover};
use crate::ffi::Errno;
use crate::remote::{Remote, expect_equal};

/// By the name of a shard's or a root's object: a random number.
const NOTED: &str = "noted";
const PAGE: usize = 256;

/// Which part of what a shard may hold it grows by before it is noted.
const NOTE_PART: i64 = 20;
/// Neighbours are put together when they hold this part of that.
const MERGE_PART: i64 = 4;
/// Most shards that one is cut into, or that are put together, at once.
const AT_ONCE: usize = 16;

const LOOK_AT_EVERYTHING: Duration = Duration::from_secs(3600);

/// Most rows, and bytes, of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub rows: i64,
    pub bytes: i64,
}

impl Bounds {
    fn part(self, part: i64) -> Bounds {
        Bounds { rows: self.rows / part, bytes: self.bytes / part }
    }

    fn hold(self, size: Size) -> bool {
        size.rows < self.rows && size.bytes < self.bytes
    }
}

/// What the gateway that tends has seen.
#[derive(Default)]
pub(super) struct Seen {
    everything: Mutex<Option<Instant>>,
    /// Shards that hold too much and cannot be cut, and how many rows.
    whole: Mutex<HashMap<u64, i64>>,
}

/// Notes that a shard, or a partition, is to be looked at.
pub(super) async fn note(meta: &Remote, object: &str) -> Result<(), EngineError> {
    let mut op = meta.write_op();
    op.set(&[(object.as_bytes(), random_token().to_be_bytes())]);
    let noted = meta.apply(NOTED, op).await;
    noted.map_err(|errno| meta.error("noting a shard", errno))
}

impl Shard {
    /// Counts what commits of this process have changed.
    pub(super) fn grown(&self, context: &Arc<Context>, growth: Size) {
        let is_due = {
            let mut tally = self.tally.lock();
            tally.growth += growth;
            tally.unnoted += Size { rows: growth.rows.abs(), bytes: growth.bytes.abs() };
            let is_due = !context.bounds.part(NOTE_PART).hold(tally.unnoted);
            if is_due {
                tally.unnoted = Size::default();
            }
            is_due
        };
        if is_due {
            let (context, object) = (context.clone(), self.object.clone());
            tokio::spawn(async move {
                if let Err(error) = note(&context.meta, &object).await {
                    tracing::debug!(%error, object, "a shard's growth was not noted");
                }
            });
        }
    }
}

/// What a note names.
fn parse(object: &str) -> Option<(Partition, Option<u64>)> {
    let (partition, shard) = object.split_once('.')?;
    let partition = match partition {
        "system" => Partition::System,
        number => Partition::Bucket(BucketId(u64::from_str_radix(number, 16).ok()?)),
    };
    match shard {
        "root" => Some((partition, None)),
        number => Some((partition, Some(u64::from_str_radix(number, 16).ok()?))),
    }
}

type Notes = Vec<(Bytes, Bytes)>;

impl RadosIndex {
    /// Looks at what was noted and does what is to be done. May be dropped at any
    /// point; what it had begun is ended by whoever is next.
    pub(crate) async fn tend(&self) -> Result<(), EngineError> {
        self.check_open()?;
        let looked = *self.seen.everything.lock();
        if looked.is_none_or(|at| at.elapsed() >= LOOK_AT_EVERYTHING) {
            let begun = Instant::now();
            self.look_at_everything().await?;
            *self.seen.everything.lock() = Some(begun);
        }
        let mut by_partition: BTreeMap<Partition, (Vec<u64>, Notes)> = BTreeMap::new();
        for (key, value) in self.notes().await? {
            match std::str::from_utf8(&key).ok().and_then(parse) {
                Some((partition, shard)) => {
                    let (shards, notes) = by_partition.entry(partition).or_default();
                    shards.extend(shard);
                    notes.push((key, value));
                }
                None => self.forget_notes(&[(key, value)]).await?,
            }
        }
        for (partition, (shards, notes)) in by_partition {
            let (settled, is_clean) = self.tend_partition(partition, &shards).await?;
            let root = root_object(partition);
            let done = |(key, _): &&(Bytes, Bytes)| match key[..] == *root.as_bytes() {
                true => is_clean,
                false => settled,
            };
            let done: Vec<_> = notes.iter().filter(done).cloned().collect();
            self.forget_notes(&done).await?;
        }
        Ok(())
    }

    async fn notes(&self) -> Result<Notes, EngineError> {
        let meta = &self.context.meta;
        let (mut notes, mut after) = (Vec::new(), Vec::new());
        loop {
            let mut op = meta.read_op();
            let asked = op.page(&after, b"", PAGE);
            let done = match asked {
                Ok(()) => meta.read(NOTED, op, 0).await,
                Err(errno) => Err(errno),
            };
            let (rows, more) = match done {
                Ok(done) => done.page(),
                Err(Errno::NOENT) => return Ok(notes),
                Err(errno) => return Err(meta.error("reading which shards were noted", errno)),
            };
            let last = rows.last().map(|(key, _)| key.to_vec());
            notes.extend(rows);
            match last {
                Some(last) if more => after = last,
                _ => return Ok(notes),
            }
        }
    }

    /// Removes notes that nobody has renewed.
    async fn forget_notes(&self, notes: &[(Bytes, Bytes)]) -> Result<(), EngineError> {
        let meta = &self.context.meta;
        for (key, value) in notes {
            let mut op = meta.write_op();
            expect_equal(&mut op, key, value);
            op.remove_keys(&[key]);
            match meta.apply(NOTED, op).await {
                Ok(()) | Err(Errno::CANCELED | Errno::NOENT) => {}
                Err(errno) => return Err(meta.error("forgetting a note", errno)),
            }
        }
        Ok(())
    }

    async fn look_at_everything(&self) -> Result<(), EngineError> {
        let buckets = self.all().await?.into_iter().map(|(id, _)| Partition::Bucket(id));
        for partition in std::iter::once(Partition::System).chain(buckets) {
            let root = root::read(&self.context.meta, &root_object(partition)).await?;
            let Some(root) = root else { continue };
            let shards: Vec<_> = root.ranges.iter().map(|(_, id)| *id).collect();
            if !root.changes.is_empty() || !root.leftovers.is_empty() {
                note(&self.context.meta, &root_object(partition)).await?;
            }
            self.tend_partition(partition, &shards).await?;
        }
        Ok(())
    }

    /// Ends what somebody has left, then looks at these shards. Whether they are as
    /// they should be, and whether nothing is left over.
    async fn tend_partition(
        &self,
        partition: Partition,
        shards: &[u64],
    ) -> Result<(bool, bool), EngineError> {
        let Some(root) = self.clean(partition).await? else { return Ok((true, true)) };
        let is_clean = root.leftovers.is_empty() && root.changes.is_empty();
        if root.state.life != Life::Live {
            return Ok((true, is_clean));
        }
        let mut settled = true;
        let mut root = Some(root);
        for &shard in shards {
            let now = match root.take() {
                Some(root) => root,
                None => match root::read(&self.context.meta, &root_object(partition)).await? {
                    Some(root) => root,
                    None => return Ok((true, true)),
                },
            };
            match self.consider(partition, &now, shard).await? {
                Wish::Nothing => root = Some(now),
                Wish::Done => {}
                Wish::Later => settled = false,
            }
        }
        Ok((settled, is_clean))
    }

    /// Ends changes of shape that nobody goes on with, and removes shards that are
    /// not in use.
    async fn clean(&self, partition: Partition) -> Result<Option<Root>, EngineError> {
        let (context, object) = (&*self.context, root_object(partition));
        let name = super::key::partition_name(partition);
        loop {
            let Some(root) = root::read(&context.meta, &object).await? else { return Ok(None) };
            if !root.changes.is_empty() {
                for change in &root.changes {
                    recover::end_change(context, &name, change.token).await?;
                }
                continue;
            }
            let now = now_ms();
            let due = root.leftovers.iter().filter(|(_, until)| *until <= now);
            let due: Vec<u64> = due.map(|(id, _)| *id).collect();
            if due.is_empty() {
                return Ok(Some(root));
            }
            let mut edit = Edit::default();
            for id in due {
                let mut op = context.meta.write_op();
                op.remove_object();
                match context.meta.apply(&shard_object(partition, id), op).await {
                    Ok(()) | Err(Errno::NOENT) => edit.remove_leftover(id),
                    Err(errno) => {
                        return Err(context.meta.error("removing an index shard", errno));
                    }
                }
            }
            let next = root.state.next(root.state.life);
            root::edit(&context.meta, &object, root.state, next, &edit).await?;
        }
    }

    async fn consider(
        &self,
        partition: Partition,
        root: &Root,
        id: u64,
    ) -> Result<Wish, EngineError> {
        let context = &*self.context;
        let Some(at) = root.ranges.iter().position(|(_, shard)| *shard == id) else {
            return Ok(Wish::Nothing);
        };
        let shard = Shard::new(shard_object(partition, id));
        let Some(estimate) = shard.estimate(context).await? else { return Ok(Wish::Later) };
        if estimate.header.phase != Phase::Active {
            return Ok(Wish::Later);
        }
        if !context.bounds.hold(estimate.size) {
            return self.split(partition, &shard, id, &estimate).await;
        }
        let neighbours = self.small_neighbours(partition, root, at, estimate.size).await?;
        if neighbours.len() < 2 {
            return Ok(Wish::Nothing);
        }
        let sources: Vec<_> = root.ranges[neighbours].iter().map(|(_, id)| *id).collect();
        let merged = self.reshape(partition, &sources, &[]).await?;
        tracing::info!(?partition, shards = sources.len(), merged, "put index shards together");
        Ok(if merged { Wish::Done } else { Wish::Later })
    }

    async fn split(
        &self,
        partition: Partition,
        shard: &Shard,
        id: u64,
        estimate: &Estimate,
    ) -> Result<Wish, EngineError> {
        let context = &*self.context;
        let known = self.seen.whole.lock().get(&id).copied();
        if known.is_some_and(|rows| estimate.size.rows < rows + rows / 2) {
            return Ok(Wish::Nothing);
        }
        let Some(count) = shard.count(context, estimate.size).await? else {
            return Ok(Wish::Later);
        };
        if context.bounds.hold(count.size) {
            shard.leave_size(context, estimate, count.size).await?;
            return Ok(Wish::Nothing);
        }
        let half = context.bounds.part(2);
        let parts = (count.size.rows / half.rows.max(1)).max(count.size.bytes / half.bytes.max(1));
        let cuts = count.cuts((parts as usize).clamp(2, AT_ONCE));
        if cuts.is_empty() {
            self.seen.whole.lock().insert(id, count.size.rows);
            tracing::warn!(
                shard = shard.object,
                rows = count.size.rows,
                "an index shard is large and cannot be split: all of it belongs to one key"
            );
            return Ok(Wish::Nothing);
        }
        let split = self.reshape(partition, &[id], &cuts).await?;
        tracing::info!(
            ?partition,
            rows = count.size.rows,
            parts = cuts.len() + 1,
            split,
            "split an index shard"
        );
        // Parts of one that was far too large may still be.
        if split && parts as usize > AT_ONCE {
            self.look_again(partition).await?;
        }
        Ok(if split { Wish::Done } else { Wish::Later })
    }

    async fn look_again(&self, partition: Partition) -> Result<(), EngineError> {
        let root = root::read(&self.context.meta, &root_object(partition)).await?;
        for (_, id) in root.into_iter().flat_map(|root| root.ranges) {
            note(&self.context.meta, &shard_object(partition, id)).await?;
        }
        Ok(())
    }

    /// The shards around one that fit into one together with it.
    async fn small_neighbours(
        &self,
        partition: Partition,
        root: &Root,
        at: usize,
        mut size: Size,
    ) -> Result<Range<usize>, EngineError> {
        let fits = self.context.bounds.part(MERGE_PART);
        let mut found = at..at + 1;
        if root.ranges.len() == 1 || !fits.hold(size) {
            return Ok(found);
        }
        for forward in [false, true] {
            while found.len() < AT_ONCE {
                let next = match forward {
                    false => found.start.checked_sub(1),
                    true => Some(found.end).filter(|next| *next < root.ranges.len()),
                };
                let Some(next) = next else { break };
                let shard = Shard::new(shard_object(partition, root.ranges[next].1));
                let estimate = shard.estimate(&self.context).await?;
                let estimate = estimate.filter(|found| found.header.phase == Phase::Active);
                let Some(estimate) = estimate else { break };
                let mut together = size;
                together += estimate.size;
                if !fits.hold(together) {
                    break;
                }
                size = together;
                found = found.start.min(next)..found.end.max(next + 1);
            }
        }
        Ok(found)
    }
}

/// What is to be done with a shard.
enum Wish {
    Nothing,
    /// It was done, and the root has changed.
    Done,
    /// Somebody else changes it now.
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_name_shards_and_roots() {
        assert_eq!(parse("system.root"), Some((Partition::System, None)));
        let bucket = Partition::Bucket(BucketId(0x1f));
        assert_eq!(parse(&root_object(bucket)), Some((bucket, None)));
        assert_eq!(parse(&shard_object(bucket, 9)), Some((bucket, Some(9))));
        for text in ["", "peers", "system.", "x.root", "1f.g"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
