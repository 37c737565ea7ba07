//! One shard of a partition: an index object that holds a range of groups.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use costrel_core::engine::{EngineError, Table, Tallies};
use parking_lot::Mutex;

use super::commit::Work;
use super::header::Header;
use super::key::{self, HEADER, MARKER, Place};
use super::size::Size;
use super::tend::Bounds;
use crate::ffi::{Errno, Values};
use crate::remote::Remote;

/// Keys asked for in one operation.
const KEYS_AT_ONCE: usize = 512;

/// What all shards of an engine share.
pub(crate) struct Context {
    pub meta: Arc<Remote>,
    /// How long a request is worked on before it is given up.
    pub patience: Duration,
    /// The row in which this run of this process marks its commits.
    pub marker: Vec<u8>,
    /// What a shard may hold before it is split.
    pub bounds: Bounds,
    numbers: AtomicU64,
}

impl Context {
    pub(crate) fn new(meta: Arc<Remote>, patience: Duration, bounds: Bounds) -> Self {
        let mut marker = vec![MARKER];
        marker.extend_from_slice(hex::encode(rand::random::<[u8; 8]>()).as_bytes());
        Context { meta, patience, marker, bounds, numbers: AtomicU64::new(1) }
    }

    /// A number for one commit operation, never given twice.
    pub(crate) fn number(&self) -> [u8; 8] {
        self.numbers.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }
}

pub(crate) struct Shard {
    pub(super) object: String,
    /// As far as this process knows; every operation compares it or reads it.
    pub(super) header: Mutex<Option<Header>>,
    pub(super) queue: Mutex<Queue>,
    pub(super) tally: Mutex<Tally>,
    /// The outcome of a commit is not known and cannot be found out now.
    pub(super) stuck: AtomicBool,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Work>,
    /// A task takes what waits.
    pub(super) running: bool,
}

/// What the commits of this process have changed in a shard.
#[derive(Default)]
pub(super) struct Tally {
    /// By how much they have made it grow.
    pub(super) growth: Size,
    /// By how much they have moved the partition's counters; `None` while only the
    /// process's row in the shard knows.
    pub(super) counters: Option<Tallies>,
    /// What has changed since the shard was noted, without signs.
    pub(super) unnoted: Size,
}

/// Rows of a shard at one moment.
pub(crate) struct Page {
    pub rows: Values,
    /// There are more behind them in this shard.
    pub more: bool,
}

/// Rows of any kind at one moment.
pub(super) struct AnyPage {
    pub header: Header,
    /// Those that were asked for by their keys, as far as they exist.
    pub keys: Values,
    pub rows: Values,
    pub more: bool,
}

impl Shard {
    pub(super) fn new(object: String) -> Arc<Shard> {
        Arc::new(Shard {
            object,
            header: Mutex::new(None),
            queue: Mutex::default(),
            tally: Mutex::default(),
            stuck: AtomicBool::new(false),
        })
    }

    /// Keeps the newest header that was seen.
    pub(super) fn learn(&self, header: Header) {
        let mut known = self.header.lock();
        if known.is_none_or(|known| known.epoch < header.epoch) {
            *known = Some(header);
        }
    }

    /// The header as it is in the cluster; `None` when the shard is not there.
    pub(super) async fn read_header(
        &self,
        context: &Context,
    ) -> Result<Option<Header>, EngineError> {
        Ok(self.fetch(context, &[]).await?.map(|(header, _)| header))
    }

    /// Header and rows, the latter where they exist, in no order. `None` when the
    /// shard is not there.
    pub(super) async fn fetch(
        &self,
        context: &Context,
        keys: &[Vec<u8>],
    ) -> Result<Option<(Header, Values)>, EngineError> {
        let meta = &context.meta;
        let mut found = Values::new();
        let mut header = None;
        let mut chunks = keys.chunks(KEYS_AT_ONCE);
        let mut chunk: &[Vec<u8>] = chunks.next().unwrap_or_default();
        loop {
            let mut op = meta.read_op();
            let mut wanted = vec![HEADER];
            wanted.extend(chunk.iter().map(Vec::as_slice));
            op.keys(&wanted);
            let done = match meta.read(&self.object, op, 0).await {
                Ok(done) => done,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(meta.error("reading rows", errno)),
            };
            for (key, value) in done.keys() {
                match key.as_ref() == HEADER {
                    true => header = Some(Header::decode(&value)?),
                    false => found.push((key, value)),
                }
            }
            chunk = match chunks.next() {
                Some(chunk) => chunk,
                None => break,
            };
        }
        let header = header.ok_or_else(|| self.headless(context))?;
        self.learn(header);
        Ok(Some((header, found)))
    }

    /// Header and the rows of a table behind a place, at most `max`.
    pub(super) async fn page(
        &self,
        context: &Context,
        table: Table,
        place: &Place,
        max: usize,
    ) -> Result<Option<(Header, Page)>, EngineError> {
        let wanted: Vec<&[u8]> = place.first.iter().map(Vec::as_slice).collect();
        let prefix = [key::letter(table)];
        let page = self.rows(context, &wanted, &prefix, &place.after, max).await?;
        Ok(page.map(|page| {
            let rows = page.keys.into_iter().chain(page.rows).collect();
            (page.header, Page { rows, more: page.more })
        }))
    }

    /// Header, rows with these keys, and at most `max` rows behind `after` whose keys
    /// begin with a prefix. `None` when the shard is not there.
    pub(super) async fn rows(
        &self,
        context: &Context,
        keys: &[&[u8]],
        prefix: &[u8],
        after: &[u8],
        max: usize,
    ) -> Result<Option<AnyPage>, EngineError> {
        let meta = &context.meta;
        let mut op = meta.read_op();
        let mut wanted = vec![HEADER];
        wanted.extend(keys);
        op.keys(&wanted);
        let asked = op.page(after, prefix, max);
        let done = match asked {
            Ok(()) => meta.read(&self.object, op, 0).await,
            Err(errno) => Err(errno),
        };
        let done = match done {
            Ok(done) => done,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(meta.error("reading a page of rows", errno)),
        };
        let (mut header, mut found) = (None, Values::new());
        for (key, value) in done.keys() {
            match key.as_ref() == HEADER {
                true => header = Some(Header::decode(&value)?),
                false => found.push((key, value)),
            }
        }
        let header = header.ok_or_else(|| self.headless(context))?;
        self.learn(header);
        let (rows, more) = done.page();
        Ok(Some(AnyPage { header, keys: found, rows, more }))
    }

    fn headless(&self, context: &Context) -> EngineError {
        context.meta.status().corrupt(format!("index shard {} has no header", self.object))
    }

    /// The value of a key among fetched rows.
    pub(super) fn value<'a>(rows: &'a Values, key: &[u8]) -> Option<&'a Bytes> {
        rows.iter().find(|(found, _)| found.as_ref() == key).map(|(_, value)| value)
    }
}
