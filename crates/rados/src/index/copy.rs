//! Copying the rows of shards to others while their writers go on.
//!
//! Writers mark each row that they change from before the copying begins. First
//! all rows are copied, then, again and again, those that are marked; the last
//! ones when the writers have been stopped.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use costrel_core::engine::{EngineError, ScanRange, Table, Tallies};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::change::Change;
use super::header::{Header, Phase};
use super::key::{self, CHANGED, HEADER, Place};
use super::shard::{Context, Shard};
use super::size::{self, Size};
use super::tallies::CARRIED;
use crate::ffi::Errno;
use crate::remote::expect_equal;

/// Rows of one operation, and the same where values are large.
const ROWS: usize = 512;
const LARGE_ROWS: usize = 128;
/// Marked rows of one operation. Values may be large.
const MARKS: usize = 256;
/// Operations on their way at once.
const AT_ONCE: usize = 4;

pub(super) struct Copying<'a> {
    context: &'a Context,
    token: u64,
    sources: &'a [Arc<Shard>],
    targets: Vec<Target>,
}

struct Target {
    low: Vec<u8>,
    shard: Arc<Shard>,
    header: Header,
    size: Size,
}

/// Rows to be set, and keys to be removed, in one target.
type Rows = (Vec<(Bytes, Bytes)>, Vec<Bytes>);

/// The change was ended by somebody else.
pub(super) struct Ended;

type Copied<T> = Result<Result<T, Ended>, EngineError>;

macro_rules! going_on {
    ($copied:expr) => {
        match $copied? {
            Ok(value) => value,
            Err(ended) => return Ok(Err(ended)),
        }
    };
}

impl<'a> Copying<'a> {
    /// Makes the targets, which belong to nobody yet. The sources' writers leave
    /// marks already.
    pub(super) async fn begin(
        context: &'a Context,
        partition: &str,
        change: &Change,
        sources: &'a [Arc<Shard>],
        settings: u64,
    ) -> Copied<Copying<'a>> {
        let header = Header::new(Phase::Prepared, change.token, settings);
        let mut targets = Vec::with_capacity(change.targets.len());
        for (low, id) in &change.targets {
            let shard = Shard::new(format!("{partition}.{id:016x}"));
            let mut op = context.meta.write_op();
            op.create_exclusive();
            op.set(&[(HEADER, header.encode())]);
            match context.meta.apply(&shard.object, op).await {
                Ok(()) => {}
                Err(Errno::EXIST) => return Ok(Err(Ended)),
                Err(errno) => return Err(context.meta.error("creating an index shard", errno)),
            }
            targets.push(Target { low: low.clone(), shard, header, size: Size::default() });
        }
        Ok(Ok(Copying { context, token: change.token, sources, targets }))
    }

    fn is_ours(&self, header: Header) -> bool {
        matches!(header.phase, Phase::Logging | Phase::Frozen) && header.token == self.token
    }

    /// Copies every row.
    pub(super) async fn all_rows(&mut self) -> Copied<()> {
        let context = self.context;
        let mut on_their_way = FuturesUnordered::new();
        for source in self.sources {
            for table in Table::ALL {
                let max = if table.has_large_values() { LARGE_ROWS } else { ROWS };
                let mut place = Place::start(table, &ScanRange::all());
                loop {
                    let (header, page) = match source.page(context, table, &place, max).await? {
                        Some(found) => found,
                        None => return Ok(Err(Ended)),
                    };
                    if !self.is_ours(header) {
                        return Ok(Err(Ended));
                    }
                    let last = page.rows.last().map(|(key, _)| key.to_vec());
                    for (number, rows) in self.sort(source, page.rows, Vec::new())? {
                        let target = &mut self.targets[number];
                        for (key, value) in &rows.0 {
                            target.size += Size::of(key, value);
                        }
                        let (shard, header) = (target.shard.clone(), target.header);
                        on_their_way
                            .push(async move { write(context, &shard, header, rows).await });
                        while on_their_way.len() >= AT_ONCE {
                            if let Some(written) = on_their_way.next().await {
                                going_on!(written);
                            }
                        }
                    }
                    match last {
                        Some(last) if page.more => place = Place::behind(last),
                        _ => break,
                    }
                }
            }
        }
        while let Some(written) = on_their_way.next().await {
            going_on!(written);
        }
        Ok(Ok(()))
    }

    /// Copies marked rows as they are now, and takes their marks away before it
    /// reads them. How many there were.
    pub(super) async fn marked_rows(&self) -> Copied<usize> {
        let mut count = 0;
        for source in self.sources {
            let Some(page) = source.rows(self.context, &[], &[CHANGED], &[CHANGED], MARKS).await?
            else {
                return Ok(Err(Ended));
            };
            if !self.is_ours(page.header) {
                return Ok(Err(Ended));
            }
            count += page.rows.len();
            let marks: Vec<_> = page.rows.into_iter().map(|(mark, _)| mark).collect();
            if marks.is_empty() {
                continue;
            }
            let mut op = self.context.meta.write_op();
            expect_equal(&mut op, HEADER, &page.header.encode());
            op.remove_keys(&marks);
            match self.context.meta.apply(&source.object, op).await {
                Ok(()) => {}
                // The header has a new epoch, or the change is over: the next
                // round tells.
                Err(Errno::CANCELED | Errno::NOENT) => continue,
                Err(errno) => return Err(self.context.meta.error("taking marks away", errno)),
            }
            going_on!(self.copy_again(source, &marks).await);
        }
        Ok(Ok(count))
    }

    /// Copies all rows that are still marked. Nobody changes them any more.
    pub(super) async fn last_rows(&self) -> Copied<()> {
        for source in self.sources {
            let mut after = vec![CHANGED];
            loop {
                let page = source.rows(self.context, &[], &[CHANGED], &after, MARKS).await?;
                let Some(page) = page.filter(|page| self.is_ours(page.header)) else {
                    return Ok(Err(Ended));
                };
                let marks: Vec<_> = page.rows.into_iter().map(|(mark, _)| mark).collect();
                going_on!(self.copy_again(source, &marks).await);
                match marks.last() {
                    Some(last) if page.more => after = last.to_vec(),
                    _ => break,
                }
            }
        }
        Ok(Ok(()))
    }

    async fn copy_again(&self, source: &Shard, marks: &[Bytes]) -> Copied<()> {
        if marks.is_empty() {
            return Ok(Ok(()));
        }
        let keys: Vec<_> = marks.iter().map(|mark| mark[1..].to_vec()).collect();
        let Some((header, rows)) = source.fetch(self.context, &keys).await? else {
            return Ok(Err(Ended));
        };
        if !self.is_ours(header) {
            return Ok(Err(Ended));
        }
        let found: HashMap<Bytes, Bytes> = rows.into_iter().collect();
        let gone = marks.iter().map(|mark| mark.slice(1..));
        let gone = gone.filter(|key| !found.contains_key(key)).collect();
        for (number, rows) in self.sort(source, found.into_iter().collect(), gone)? {
            let target = &self.targets[number];
            going_on!(write(self.context, &target.shard, target.header, rows).await);
        }
        Ok(Ok(()))
    }

    /// Tells the targets how large they are.
    pub(super) async fn leave_sizes(&self) -> Copied<()> {
        for target in &self.targets {
            let row = (Bytes::from_static(size::BASE), target.size.encode().into());
            let rows = (vec![row], Vec::new());
            going_on!(write(self.context, &target.shard, target.header, rows).await);
        }
        Ok(Ok(()))
    }

    /// Lets the first target go on with what the sources have counted. Their writers
    /// have been stopped.
    pub(super) async fn leave_tallies(&self) -> Copied<()> {
        let mut sum = Tallies::default();
        for source in self.sources {
            match source.tallies(self.context).await? {
                Some((header, tallies)) if self.is_ours(header) => sum.add_all(&tallies),
                _ => return Ok(Err(Ended)),
            }
        }
        let Some(first) = self.targets.first().filter(|_| !sum.is_empty()) else {
            return Ok(Ok(()));
        };
        let row = (Bytes::from_static(CARRIED), sum.encode().into());
        write(self.context, &first.shard, first.header, (vec![row], Vec::new())).await
    }

    /// What goes to which target.
    fn sort(
        &self,
        source: &Shard,
        rows: Vec<(Bytes, Bytes)>,
        gone: Vec<Bytes>,
    ) -> Result<HashMap<usize, Rows>, EngineError> {
        let mut sorted: HashMap<usize, Rows> = HashMap::new();
        let target = |key: &[u8]| {
            let group = key::group_of(key).ok_or_else(|| {
                self.context.meta.status().corrupt(format!("{}: a row's key", source.object))
            })?;
            let behind = self.targets.partition_point(|target| target.low[..] <= *group);
            Ok::<_, EngineError>(behind.saturating_sub(1))
        };
        for (key, value) in rows {
            sorted.entry(target(&key)?).or_default().0.push((key, value));
        }
        for key in gone {
            sorted.entry(target(&key)?).or_default().1.push(key);
        }
        Ok(sorted)
    }
}

async fn write(context: &Context, target: &Shard, header: Header, rows: Rows) -> Copied<()> {
    let mut op = context.meta.write_op();
    expect_equal(&mut op, HEADER, &header.encode());
    op.set(&rows.0);
    op.remove_keys(&rows.1);
    match context.meta.apply(&target.object, op).await {
        Ok(()) => Ok(Ok(())),
        Err(Errno::CANCELED | Errno::NOENT) => Ok(Err(Ended)),
        Err(errno) => Err(context.meta.error("copying rows", errno)),
    }
}
