//! Moving what is due to a colder class, or in intelligent tiering to another access
//! tier.
//!
//! Bytes take their time, so they are brought before the settings' gate is taken. What
//! was judged before is judged again under it, and the commit holds only if it is still
//! the same: nothing moves once the rules are taken back.

use std::sync::Arc;

use bytes::Bytes;

use super::fate::{Facts, Noncurrent};
use super::removal::Ended;
use crate::bucket::{Bucket, Settled};
use crate::error::Result;
use crate::names::ObjectKey;
use crate::object::{Brought, Destination, MovePace, Moved, version_row};
use crate::record::decode;
use crate::store::Store;

/// A version that is not the current one, as a walk has read it.
#[derive(Clone, Debug)]
pub(super) struct Older {
    pub suffix: Bytes,
    pub row: Bytes,
    pub place: Noncurrent,
}

/// How often a move begins again because somebody writes; a later round will do it.
const TRIES_MAX: usize = 4;

impl Store {
    /// Moves a key's current object, or an older version, if it is still due.
    pub(super) async fn sink(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &ObjectKey,
        older: Option<&Older>,
        pace: &MovePace,
    ) -> Result<Option<Ended>> {
        for _ in 0..TRIES_MAX {
            let Some(moved) = self.to_move(bucket, key, older).await? else { return Ok(None) };
            let judged = self.due_move(bucket, key, &moved, older).await?;
            let Some(destination) = judged.map(|(_, to)| to) else { return Ok(None) };
            self.expect_class(bucket, &destination.class).await?;
            let brought = self.bring(bucket, key, &moved, &destination, pace).await?;
            if matches!(brought, Brought::Gone) {
                continue;
            }
            let judged = self.due_move(bucket, key, &moved, older).await?;
            let Some((settled, again)) = judged else { return Ok(None) };
            let bytes = moved.record.size;
            let ended = match &again.access {
                Some(access) if again.class == moved.record.storage_class => {
                    Ended::Settled { tier: access.tier(), bytes }
                }
                _ => Ended::Moved { bytes },
            };
            if again.is_beside(&destination)
                && self.commit_move(&settled, key, &moved, brought, again).await?
            {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    async fn to_move(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        older: Option<&Older>,
    ) -> Result<Option<Moved>> {
        let current = self.current_object(bucket, key).await?;
        let Some(Older { suffix, row, .. }) = older else {
            let record = current.record.clone();
            return Ok(record.map(|record| Moved { current, record, older: None }));
        };
        let Some(history) = &current.history else { return Ok(None) };
        if current.version_suffix().as_ref() == Some(suffix) || history.record.marker == *suffix {
            // Those that were newer are gone.
            return Ok(None);
        }
        let now = self.read_row(bucket.partition(), &key.group(), version_row(suffix)).await?;
        if now.as_ref() != Some(row) {
            return Ok(None);
        }
        let record = decode(row, "version record")?;
        Ok(Some(Moved { current, record, older: Some((suffix.clone(), row.clone())) }))
    }

    /// Where a version should be by now, and the gate that this is in force under.
    async fn due_move<'b>(
        &self,
        bucket: &'b Bucket,
        key: &ObjectKey,
        moved: &Moved,
        older: Option<&Older>,
    ) -> Result<Option<(Settled<'b>, Destination)>> {
        let settled = self.settled(bucket).await?;
        let Some(law) = self.in_force(bucket, &settled.settings).await? else { return Ok(None) };
        if !moved.record.may_move() {
            return Ok(None);
        }
        let facts = Facts::of(key.as_str().as_bytes(), &moved.record);
        let class = &moved.record.storage_class;
        let (rules, calendar) = (&law.rules, &law.calendar);
        let sinking = match older {
            None => rules.transition(calendar, &facts, class, law.now_ms),
            Some(older) => {
                rules.noncurrent_transition(calendar, &facts, older.place, class, law.now_ms)
            }
        };
        let destination = match sinking {
            Some(sinking) => Some(Destination {
                class: sinking.class.to_owned(),
                access: moved.record.access_on_entering(sinking.class, law.now_ms),
            }),
            None => law
                .settles(key, &moved.record)
                .map(|access| Destination { class: class.clone(), access: Some(access) }),
        };
        Ok(destination.map(|destination| (settled, destination)))
    }
}
