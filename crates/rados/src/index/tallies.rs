//! The counters of a partition.
//!
//! In each shard, each gateway's row says by how much its commits have moved them; it
//! is part of every commit, so no row is written for their sake and none is shared.
//! What a shard's rows said whose groups have moved is carried along by the change of
//! shape, in a row of one of the shards that take over. The sum over all shards in
//! the root is what the counters are at.

use costrel_core::engine::{EngineError, Partition, Tallies};

use super::header::Header;
use super::key::MARKER;
use super::shard::{Context, Shard};
use super::{RadosIndex, Stale, size};

/// The row of what shards that are gone have counted.
pub(super) const CARRIED: &[u8] = b"t";

const PAGE: usize = 512;

impl Shard {
    /// What the shard's rows say together; `None` when the shard is not there.
    pub(super) async fn tallies(
        &self,
        context: &Context,
    ) -> Result<Option<(Header, Tallies)>, EngineError> {
        let (mut tallies, mut after, mut carried) = (Tallies::default(), vec![MARKER], None);
        loop {
            let Some(page) = self.rows(context, &[CARRIED], &[MARKER], &after, PAGE).await? else {
                return Ok(None);
            };
            for (_, value) in &page.rows {
                tallies.add_all(&size::marker_counters(value)?);
            }
            carried = Shard::value(&page.keys, CARRIED).cloned().or(carried);
            match page.rows.last() {
                Some((key, _)) if page.more => after = key.to_vec(),
                _ => {
                    if let Some(carried) = carried {
                        tallies.add_all(&Tallies::decode(&carried)?);
                    }
                    return Ok(Some((page.header, tallies)));
                }
            }
        }
    }

    /// Reads what this process has counted in the shard, if it does not know. False
    /// when the shard is not there. Nothing of this process's may be on its way there.
    pub(super) async fn know_own_counters(&self, context: &Context) -> Result<bool, EngineError> {
        if self.tally.lock().counters.is_some() {
            return Ok(true);
        }
        let found = self.fetch(context, std::slice::from_ref(&context.marker)).await?;
        let Some((_, rows)) = found else { return Ok(false) };
        let own = Shard::value(&rows, &context.marker);
        let counters = own.map_or_else(|| Ok(Tallies::default()), |v| size::marker_counters(v))?;
        let mut tally = self.tally.lock();
        tally.growth = own.map(|value| size::marker_growth(value)).unwrap_or_default();
        tally.counters = Some(counters);
        Ok(true)
    }
}

impl RadosIndex {
    pub(super) async fn sum_tallies(&self, partition: Partition) -> Result<Tallies, EngineError> {
        let mut stale = Stale::new(&self.context, partition);
        'anew: loop {
            let Some(layout) = self.layouts.get(&self.context, partition).await? else {
                return Ok(Tallies::default());
            };
            let mut sum = Tallies::default();
            for shard in layout.shards() {
                match shard.tallies(&self.context).await? {
                    Some((header, tallies)) if header.phase.is_readable() => sum.add_all(&tallies),
                    // Another shard has its share, which may have been added already.
                    _ => {
                        layout.outdate();
                        stale.again().await?;
                        continue 'anew;
                    }
                }
            }
            return Ok(sum);
        }
    }
}
