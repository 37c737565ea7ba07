//! Ends what somebody who died has begun with a partition: a creation, a
//! retirement, a change of shape. Anybody may do so who has waited for a while;
//! doing it twice, or while the other is only slow, harms nothing: every step
//! compares what it changes, and raising the epoch of a header takes the ground
//! from under steps that are late.

use std::time::Duration;

use costrel_core::engine::EngineError;

use super::change::{Change, Stage};
use super::header::{Header, Life, Phase, State};
use super::key::HEADER;
use super::reshape::now_ms;
use super::root::{self, Edit, Root};
use super::shard::{Context, Shard};
use crate::ffi::Errno;
use crate::remote::expect_equal;
use crate::status::count;

/// How long a change under way is waited for. It takes a few operations.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// The part of an object's name that names its partition.
fn partition_of(object: &str) -> &str {
    object.split_once('.').map_or(object, |(partition, _)| partition)
}

/// Recovers the partition of a shard that stays frozen.
pub(super) async fn shard(context: &Context, shard_object: &str) -> Result<(), EngineError> {
    let partition = partition_of(shard_object);
    let root_object = format!("{partition}.root");
    match root::read(&context.meta, &root_object).await? {
        Some(root) => self::partition(context, partition, &root).await,
        None => Ok(()),
    }
}

/// Moves a partition on from the state that was read, whatever it was.
pub(super) async fn partition(
    context: &Context,
    partition: &str,
    root: &Root,
) -> Result<(), EngineError> {
    let (meta, state) = (&context.meta, root.state);
    count(&meta.status().counters.recovered);
    let root_object = format!("{partition}.root");
    match state.life {
        Life::Creating => finish_creation(context, partition, root).await,
        Life::Live if !root.changes.is_empty() => {
            for change in &root.changes {
                end_change(context, partition, change.token).await?;
            }
            Ok(())
        }
        Life::Live => {
            // Headers are read before the state is compared: what is frozen now
            // belongs to no retirement that goes on.
            let mut frozen = Vec::new();
            for (_, id) in &root.ranges {
                let shard = Shard::new(format!("{partition}.{id:016x}"));
                match shard.read_header(context).await? {
                    Some(header) if header.phase == Phase::Frozen => frozen.push((shard, header)),
                    _ => {}
                }
            }
            if root::change(meta, &root_object, state, state.next(Life::Live)).await? {
                for (shard, header) in frozen {
                    shard.change_header(context, header, header.then(Phase::Active, 0)).await?;
                }
            }
            Ok(())
        }
        Life::Retiring => abort_retirement(context, partition, root, state).await,
        Life::Retired => finish_retirement(context, partition, root).await,
    }
}

/// Makes the first shard of a partition that is being created.
pub(super) async fn finish_creation(
    context: &Context,
    partition: &str,
    root: &Root,
) -> Result<(), EngineError> {
    let meta = &context.meta;
    for (_, id) in &root.ranges {
        let mut op = meta.write_op();
        op.create_exclusive();
        op.set(&[(HEADER, Header::new(Phase::Active, 0, 0).encode())]);
        match meta.apply(&format!("{partition}.{id:016x}"), op).await {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(meta.error("creating an index shard", errno)),
        }
    }
    let live = root.state.next(Life::Live);
    root::change(meta, &format!("{partition}.root"), root.state, live).await?;
    Ok(())
}

/// Gives a partition back to its writers. `retiring` is the state to end; when
/// it has been ended by another, only that one's headers are looked after.
pub(super) async fn abort_retirement(
    context: &Context,
    partition: &str,
    root: &Root,
    retiring: State,
) -> Result<(), EngineError> {
    let root_object = format!("{partition}.root");
    if !root::change(&context.meta, &root_object, retiring, retiring.next(Life::Live)).await? {
        return Ok(());
    }
    // From here on the retirement cannot be committed.
    for (_, id) in &root.ranges {
        let shard = Shard::new(format!("{partition}.{id:016x}"));
        loop {
            let header = match shard.read_header(context).await? {
                Some(header) => header,
                None => break,
            };
            let ours = header.phase == Phase::Frozen && header.token == retiring.token;
            // One that is still active is raised too, lest it is frozen late.
            if !ours && header.phase != Phase::Active {
                break;
            }
            if shard.change_header(context, header, header.then(Phase::Active, 0)).await? {
                break;
            }
        }
    }
    Ok(())
}

/// Lets the shards know what the root says.
pub(super) async fn finish_retirement(
    context: &Context,
    partition: &str,
    root: &Root,
) -> Result<(), EngineError> {
    for (_, id) in &root.ranges {
        let shard = Shard::new(format!("{partition}.{id:016x}"));
        loop {
            match shard.read_header(context).await? {
                Some(header) if header.phase != Phase::Retired => {
                    let retired = header.then(Phase::Retired, 0);
                    if shard.change_header(context, header, retired).await? {
                        break;
                    }
                }
                _ => break,
            }
        }
    }
    Ok(())
}

/// Ends a change of shape: forwards if the root names the new shards already,
/// backwards otherwise. Safe while its owner goes on: one of the two fails.
pub(super) async fn end_change(
    context: &Context,
    partition: &str,
    token: u64,
) -> Result<(), EngineError> {
    let (meta, object) = (&context.meta, format!("{partition}.root"));
    let change = loop {
        let Some(root) = root::read(meta, &object).await? else { return Ok(()) };
        let Some(change) = root.change(token).cloned() else { return Ok(()) };
        match change.stage {
            Stage::Committed => return finish_change(context, partition, &change).await,
            Stage::Abandoned => break change,
            Stage::Begun => {
                // From here on it cannot be committed.
                let mut edit = Edit::default();
                edit.set_change(&change.at(Stage::Abandoned));
                let next = root.state.next(root.state.life);
                if root::edit(meta, &object, root.state, next, &edit).await? {
                    break change;
                }
            }
        }
    };
    count(&meta.status().counters.abandoned);
    for id in &change.sources {
        let shard = Shard::new(format!("{partition}.{id:016x}"));
        while let Some(header) = shard.read_header(context).await? {
            let ours =
                matches!(header.phase, Phase::Logging | Phase::Frozen) && header.token == token;
            // One that is still active is raised too, lest it begins to log late.
            if !ours && header.phase != Phase::Active {
                break;
            }
            if shard.change_header(context, header, header.then(Phase::Active, 0)).await? {
                break;
            }
        }
    }
    for (_, id) in &change.targets {
        bury(context, &format!("{partition}.{id:016x}"), token).await?;
    }
    forget_change(context, &object, token, |edit| {
        for (_, id) in &change.targets {
            edit.add_leftover(*id, now_ms() + GRAVE.as_millis() as u64);
        }
    })
    .await
}

/// How long the name of a shard that never came to be is kept from an owner who is
/// late and would make it.
const GRAVE: Duration = Duration::from_secs(3600);

/// Makes sure that a target which was never in use takes nothing, and cannot be
/// made any more.
async fn bury(context: &Context, object: &str, token: u64) -> Result<(), EngineError> {
    let meta = &context.meta;
    let mut op = meta.write_op();
    op.create_exclusive();
    op.set(&[(HEADER, Header::new(Phase::Moved, token, 0).encode())]);
    match meta.apply(object, op).await {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(meta.error("burying an index shard", errno)),
    }
    let shard = Shard::new(object.to_owned());
    while let Some(header) = shard.read_header(context).await? {
        let ours = header.phase == Phase::Prepared && header.token == token;
        if !ours || shard.change_header(context, header, header.then(Phase::Moved, token)).await? {
            break;
        }
    }
    Ok(())
}

/// Lets the shards of a committed change know: first those that have nothing any
/// more, and only when none of them answers reads, those that have it all.
pub(super) async fn finish_change(
    context: &Context,
    partition: &str,
    change: &Change,
) -> Result<(), EngineError> {
    let token = change.token;
    let mut settings = 0;
    for id in &change.sources {
        let shard = Shard::new(format!("{partition}.{id:016x}"));
        while let Some(header) = shard.read_header(context).await? {
            // Whatever settings came into force there until now go along.
            settings = settings.max(header.settings);
            let frozen = header.phase == Phase::Frozen && header.token == token;
            if !frozen
                || shard.change_header(context, header, header.then(Phase::Moved, token)).await?
            {
                break;
            }
        }
    }
    for (_, id) in &change.targets {
        let shard = Shard::new(format!("{partition}.{id:016x}"));
        while let Some(header) = shard.read_header(context).await? {
            if header.phase != Phase::Prepared || header.token != token {
                break;
            }
            let mut active = header.then(Phase::Active, 0);
            active.settings = header.settings.max(settings);
            if shard.change_header(context, header, active).await? {
                break;
            }
        }
    }
    forget_change(context, &format!("{partition}.root"), token, |_| {}).await
}

async fn forget_change(
    context: &Context,
    object: &str,
    token: u64,
    also: impl Fn(&mut Edit),
) -> Result<(), EngineError> {
    loop {
        let Some(root) = root::read(&context.meta, object).await? else { return Ok(()) };
        let Some(change) = root.change(token) else { return Ok(()) };
        let mut edit = Edit::default();
        edit.remove_change(change);
        also(&mut edit);
        let next = root.state.next(root.state.life);
        if root::edit(&context.meta, object, root.state, next, &edit).await? {
            return Ok(());
        }
    }
}

impl Shard {
    /// Changes the header; false when it was no longer `old`.
    pub(super) async fn change_header(
        &self,
        context: &Context,
        old: Header,
        new: Header,
    ) -> Result<bool, EngineError> {
        let mut op = context.meta.write_op();
        expect_equal(&mut op, HEADER, &old.encode());
        op.set(&[(HEADER, new.encode())]);
        match context.meta.apply(&self.object, op).await {
            Ok(()) => {
                self.learn(new);
                Ok(true)
            }
            Err(Errno::CANCELED | Errno::NOENT) => Ok(false),
            Err(errno) => Err(context.meta.error("changing a shard's header", errno)),
        }
    }
}
