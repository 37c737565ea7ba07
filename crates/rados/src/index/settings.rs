//! Putting a bucket's settings in force in all its shards.
//!
//! The header of each shard holds the epoch of the newest settings, and every
//! commit compares the header. So once the epoch is in all headers, nothing that
//! older settings have decided can take effect, whatever a gateway remembers and
//! however long it was away.

use costrel_core::engine::{EngineError, Partition};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::header::{Life, Phase};
use super::key::{root_object, shard_object};
use super::root;
use super::shard::{Context, Shard};
use super::{RadosIndex, Stale};

/// Headers changed at once.
const AT_ONCE: usize = 32;

impl RadosIndex {
    /// Returns when every shard of the partition, and every one that its rows are
    /// ever moved to, refuses commits by settings older than these.
    pub(crate) async fn enforce(
        &self,
        partition: Partition,
        settings: u64,
    ) -> Result<(), EngineError> {
        self.check_open()?;
        let context = &*self.context;
        let mut stale = Stale::new(context, partition);
        loop {
            let root = root::read(&context.meta, &root_object(partition)).await?;
            let Some(root) = root.filter(|root| root.state.life != Life::Retired) else {
                return Ok(());
            };
            let shards = stream::iter(root.ranges.into_iter().map(|(_, id)| id));
            let enforced = shards
                .map(|id| enforce_in(context, shard_object(partition, id), settings))
                .buffer_unordered(AT_ONCE)
                .try_fold(true, async |all, one| Ok(all & one));
            if enforced.await? {
                return Ok(());
            }
            stale.again().await?;
        }
    }
}

/// False when the shard's rows are elsewhere by now: the root says where.
async fn enforce_in(context: &Context, object: String, settings: u64) -> Result<bool, EngineError> {
    let shard = Shard::new(object);
    loop {
        match shard.read_header(context).await? {
            None => return Ok(false),
            // It handed on what was in force when it became so.
            Some(header) if header.phase == Phase::Moved => return Ok(false),
            Some(header) if header.settings >= settings => return Ok(true),
            Some(header) => {
                if shard.change_header(context, header, header.enforcing(settings)).await? {
                    return Ok(true);
                }
            }
        }
    }
}
