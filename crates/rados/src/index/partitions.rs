//! Making, retiring and removing partitions.
//!
//! A partition exists when its root does. Before that its number stands in the
//! directory, so that nothing exists unnamed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use costrel_core::engine::{
    BucketId, EngineError, Partition, PartitionState, Retired, ScanRange, Table,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::RadosIndex;
use super::header::{Life, Phase, State};
use super::key::{Place, partition_name, root_object, shard_object};
use super::recover;
use super::root::{self, Root, random_token};
use super::shard::Shard;
use crate::ffi::{Errno, Values};
use crate::remote::expect_equal;

/// Names every partition but the system's.
const DIRECTORY: &str = "partitions";
const PAGE: usize = 1000;
/// Roots read at once.
const AT_ONCE: usize = 32;

const PAUSE: Duration = Duration::from_millis(20);

fn directory_key(partition: Partition) -> Option<Vec<u8>> {
    match partition {
        Partition::System => None,
        Partition::Bucket(_) => Some(partition_name(partition).into_bytes()),
    }
}

impl RadosIndex {
    async fn read_root(&self, partition: Partition) -> Result<Option<Root>, EngineError> {
        root::read(&self.context.meta, &root_object(partition)).await
    }

    pub(super) async fn create(&self, partition: Partition) -> Result<(), EngineError> {
        let meta = &self.context.meta;
        loop {
            match self.read_root(partition).await? {
                Some(root) => match root.state.life {
                    Life::Creating => {
                        let name = partition_name(partition);
                        recover::finish_creation(&self.context, &name, &root).await?;
                    }
                    Life::Live | Life::Retiring => return Ok(()),
                    Life::Retired => {
                        let reason = format!("{partition:?} is being removed");
                        return Err(EngineError::Unavailable(reason));
                    }
                },
                None => {
                    if let Some(key) = directory_key(partition) {
                        // Fresh, so that a removal that is late leaves it alone.
                        let mut op = meta.write_op();
                        op.set(&[(key, random_token().to_be_bytes())]);
                        let entered = meta.apply(DIRECTORY, op).await;
                        entered.map_err(|e| meta.error("entering a partition", e))?;
                    }
                    let state = State { life: Life::Creating, epoch: 1, token: random_token() };
                    let mut op = meta.write_op();
                    op.create_exclusive();
                    op.set(&root::first_rows(state, random_token()));
                    match meta.apply(&root_object(partition), op).await {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(meta.error("creating a partition", errno)),
                    }
                }
            }
        }
    }

    pub(super) async fn retire(
        &self,
        partition: Partition,
        must_be_empty: &[Table],
    ) -> Result<Retired, EngineError> {
        if partition == Partition::System {
            return Ok(Retired::Missing);
        }
        let deadline = Instant::now() + self.context.patience;
        let mut waiting: Option<(State, Instant)> = None;
        let name = partition_name(partition);
        loop {
            let Some(root) = self.read_root(partition).await? else {
                return Ok(Retired::Missing);
            };
            match root.state.life {
                Life::Retired => return Ok(Retired::Missing),
                // It would only be in the way, and of no use if it came to its end.
                Life::Live if !root.changes.is_empty() => {
                    recover::partition(&self.context, &name, &root).await?;
                    continue;
                }
                Life::Live => {
                    if let Some(retired) = self.retire_once(partition, &root, must_be_empty).await?
                    {
                        return Ok(retired);
                    }
                }
                Life::Creating => recover::partition(&self.context, &name, &root).await?,
                Life::Retiring => {}
            }
            // Another changes the partition, or a shard is frozen: a moment, or
            // what somebody who died has left.
            match waiting {
                Some((same, since)) if same == root.state => {
                    if since.elapsed() >= recover::PATIENCE {
                        waiting = None;
                        recover::partition(&self.context, &name, &root).await?;
                    }
                }
                _ => waiting = Some((root.state, Instant::now())),
            }
            if Instant::now() >= deadline {
                return Err(EngineError::Unavailable("a bucket changes without end".into()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// `None` when somebody came between.
    async fn retire_once(
        &self,
        partition: Partition,
        root: &Root,
        must_be_empty: &[Table],
    ) -> Result<Option<Retired>, EngineError> {
        let (context, meta) = (&*self.context, &self.context.meta);
        let (name, root_object) = (partition_name(partition), root_object(partition));
        let shards = root.ranges.iter();
        let shards: Vec<_> =
            shards.map(|(_, id)| Shard::new(shard_object(partition, *id))).collect();
        // Rows that are there now are reason enough, without stopping anybody.
        if !self.are_empty(&shards, must_be_empty).await? {
            return Ok(Some(Retired::NotEmpty));
        }
        // Read before the intent is written: a header that changes after this
        // cannot be frozen by us.
        let mut headers = Vec::with_capacity(shards.len());
        for shard in &shards {
            match shard.read_header(context).await? {
                Some(header) if header.phase == Phase::Active => headers.push(header),
                _ => return Ok(None),
            }
        }
        let retiring = root.state.next(Life::Retiring);
        if !root::change(meta, &root_object, root.state, retiring).await? {
            return Ok(None);
        }
        let mut frozen = true;
        for (shard, header) in shards.iter().zip(headers) {
            let freeze = header.then(Phase::Frozen, retiring.token);
            frozen = frozen && shard.change_header(context, header, freeze).await?;
        }
        let empty = frozen && self.are_empty(&shards, must_be_empty).await?;
        if empty && root::change(meta, &root_object, retiring, retiring.next(Life::Retired)).await?
        {
            recover::finish_retirement(context, &name, root).await?;
            return Ok(Some(Retired::Done));
        }
        recover::abort_retirement(context, &name, root, retiring).await?;
        Ok((frozen && !empty).then_some(Retired::NotEmpty))
    }

    async fn are_empty(
        &self,
        shards: &[Arc<Shard>],
        tables: &[Table],
    ) -> Result<bool, EngineError> {
        for shard in shards {
            for &table in tables {
                let start = Place::start(table, &ScanRange::all());
                let page = shard.page(&self.context, table, &start, 1).await?;
                if page.is_some_and(|(_, page)| !page.rows.is_empty()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub(super) async fn remove(&self, partition: Partition) -> Result<(), EngineError> {
        let in_use = || EngineError::Unavailable(format!("{partition:?} is in use"));
        let key = directory_key(partition).ok_or_else(in_use)?;
        let meta = &self.context.meta;
        let entry = self.directory_entry(&key).await?;
        if let Some(root) = self.read_root(partition).await? {
            if root.state.life != Life::Retired {
                return Err(in_use());
            }
            for shard in root.shards() {
                let mut op = meta.write_op();
                op.remove_object();
                match meta.apply(&shard_object(partition, shard), op).await {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(meta.error("removing an index shard", errno)),
                }
            }
            if !root::remove(meta, &root_object(partition), root.state).await? {
                return Err(EngineError::Unavailable("a retired bucket has changed".into()));
            }
        }
        self.layouts.outdate(partition);
        let Some(entry) = entry else { return Ok(()) };
        let mut op = meta.write_op();
        expect_equal(&mut op, &key, &entry);
        op.remove_keys(&[key]);
        match meta.apply(DIRECTORY, op).await {
            Ok(()) | Err(Errno::CANCELED | Errno::NOENT) => Ok(()),
            Err(errno) => Err(meta.error("taking a partition off the directory", errno)),
        }
    }

    async fn directory_entry(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, EngineError> {
        let meta = &self.context.meta;
        let mut op = meta.read_op();
        op.keys(&[key]);
        match meta.read(DIRECTORY, op, 0).await {
            Ok(done) => Ok(Shard::value(&done.keys(), key).cloned()),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(meta.error("reading the directory of partitions", errno)),
        }
    }

    async fn directory_page(&self, after: &[u8]) -> Result<(Values, bool), EngineError> {
        let meta = &self.context.meta;
        let mut op = meta.read_op();
        let asked = op.page(after, b"", PAGE);
        let done = match asked {
            Ok(()) => meta.read(DIRECTORY, op, 0).await,
            Err(errno) => Err(errno),
        };
        match done {
            Ok(done) => Ok(done.page()),
            Err(Errno::NOENT) => Ok((Vec::new(), false)),
            Err(errno) => Err(meta.error("reading the directory of partitions", errno)),
        }
    }

    pub(super) async fn all(&self) -> Result<Vec<(BucketId, PartitionState)>, EngineError> {
        let (mut found, mut after) = (Vec::new(), Vec::new());
        loop {
            let (rows, more) = self.directory_page(&after).await?;
            let damaged = || EngineError::Corrupt("the directory of partitions".into());
            let mut ids = Vec::with_capacity(rows.len());
            for (key, _) in &rows {
                let text = std::str::from_utf8(key).map_err(|_| damaged())?;
                ids.push(BucketId(u64::from_str_radix(text, 16).map_err(|_| damaged())?));
            }
            let states = stream::iter(ids).map(|id| async move {
                let root = self.read_root(Partition::Bucket(id)).await?;
                Ok::<_, EngineError>(root.map(|root| match root.state.life {
                    Life::Retired => (id, PartitionState::Retired),
                    Life::Creating | Life::Live | Life::Retiring => (id, PartitionState::Live),
                }))
            });
            let states: Vec<_> = states.buffered(AT_ONCE).try_collect().await?;
            found.extend(states.into_iter().flatten());
            match rows.last() {
                Some((key, _)) if more => after = key.to_vec(),
                _ => return Ok(found),
            }
        }
    }
}
