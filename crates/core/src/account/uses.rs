//! When permanent keys were last used. Requests whose signature is good note it in memory;
//! a job writes the notes down now and then, all in one commit, so that a request costs
//! none. Other processes see it by the rows, this one by its notes as well.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message;

use super::rows::{self, decode, key_row, use_row};
use super::{AccessKey, Accounts};
use crate::engine::{CommitError, Expect, RowRef, Write};
use crate::error::Result;

/// How long a use is kept in memory alone at most, while its key goes on being used, in
/// milliseconds: how far another process may be behind.
pub const USE_WRITTEN_MS: u64 = 600_000;

/// How often the job looks.
const LOOK: Duration = Duration::from_secs(60);

/// Keys whose use is remembered between two looks at most.
const KEYS_MAX: usize = 16_384;

/// Notes of one commit at most.
const COMMIT_MAX: usize = 512;

/// What a key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum UsedFor {
    Cos = 1,
    S3 = 2,
    Cam = 3,
    Iam = 4,
    Sts = 5,
}

impl UsedFor {
    const ALL: [UsedFor; 5] = [UsedFor::Cos, UsedFor::S3, UsedFor::Cam, UsedFor::Iam, UsedFor::Sts];

    /// As both services call it.
    pub fn name(self) -> &'static str {
        match self {
            UsedFor::Cos => "cos",
            UsedFor::S3 => "s3",
            UsedFor::Cam => "cam",
            UsedFor::Iam => "iam",
            UsedFor::Sts => "sts",
        }
    }

    fn numbered(number: u32) -> Option<UsedFor> {
        UsedFor::ALL.into_iter().find(|service| *service as u32 == number)
    }
}

/// The last use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// Milliseconds since the Unix epoch.
    pub used_ms: u64,
    /// Nothing if it was one that is not known here.
    pub service: Option<UsedFor>,
}

/// The last use as stored; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct UseRow {
    #[prost(uint64, tag = "1")]
    pub used_ms: u64,
    #[prost(uint32, tag = "2")]
    pub service: u32,
}

impl UseRow {
    fn known(&self) -> LastUse {
        LastUse { used_ms: self.used_ms, service: UsedFor::numbered(self.service) }
    }
}

/// Uses by the keys' ids.
#[derive(Default)]
pub(super) struct Uses {
    noted: RwLock<HashMap<String, Noted>>,
    /// Uses that there was no room for since the last look.
    lost: AtomicU64,
}

struct Noted {
    used_ms: AtomicU64,
    service: AtomicU8,
    /// The last use that was written down by this process.
    written_ms: AtomicU64,
}

impl Uses {
    fn note(&self, id: &str, service: UsedFor, now_ms: u64) {
        if let Some(noted) = self.noted.read().get(id) {
            noted.used_ms.store(now_ms, Relaxed);
            noted.service.store(service as u8, Relaxed);
            return;
        }
        let mut uses = self.noted.write();
        if uses.len() >= KEYS_MAX {
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        let (used_ms, service) = (AtomicU64::new(now_ms), AtomicU8::new(service as u8));
        let noted = Noted { used_ms, service, written_ms: AtomicU64::new(0) };
        uses.insert(id.to_owned(), noted);
    }

    fn last(&self, id: &str) -> Option<LastUse> {
        self.noted.read().get(id).map(Noted::last)
    }

    fn is_full(&self) -> bool {
        self.noted.read().len() >= KEYS_MAX
    }

    /// Those that are to be written down: all of them, or those of which nothing was
    /// written for a while.
    fn due(&self, all: bool, now_ms: u64) -> Vec<(String, LastUse)> {
        let mut uses = self.noted.write();
        uses.retain(|_, noted| noted.is_news());
        let due = uses.iter().filter(|(_, noted)| {
            all || now_ms >= noted.written_ms.load(Relaxed).saturating_add(USE_WRITTEN_MS)
        });
        due.map(|(id, noted)| (id.clone(), noted.last())).collect()
    }

    fn written(&self, id: &str, used_ms: u64) {
        if let Some(noted) = self.noted.read().get(id) {
            noted.written_ms.store(used_ms, Relaxed);
        }
    }

    /// Forgets all that were written down, whatever has come since, so that there is room
    /// for other keys.
    fn make_room(&self) {
        self.noted.write().retain(|_, noted| noted.written_ms.load(Relaxed) == 0);
    }
}

impl Noted {
    fn is_news(&self) -> bool {
        self.used_ms.load(Relaxed) > self.written_ms.load(Relaxed)
    }

    fn last(&self) -> LastUse {
        LastUse {
            used_ms: self.used_ms.load(Relaxed),
            service: UsedFor::numbered(self.service.load(Relaxed).into()),
        }
    }
}

impl Accounts {
    /// Notes that a request of this key was taken for its holder's. Temporary keys have
    /// uses of their own, which nobody asks for.
    pub fn note_use(&self, key: &AccessKey, service: UsedFor) {
        if key.session.is_none() {
            self.uses.note(&key.id, service, self.clock.now_ms());
        }
    }

    /// The last use of a permanent key, if there was one. What another process knows may
    /// be missing for [`USE_WRITTEN_MS`].
    pub async fn last_use(&self, id: &str) -> Result<Option<LastUse>> {
        let noted = self.uses.last(id);
        let stored = self.read_identity::<UseRow>(use_row(id)).await?.map(|row| row.known());
        Ok(noted.into_iter().chain(stored).max_by_key(|last| last.used_ms))
    }

    /// Writes uses down for as long as the process runs.
    pub async fn keep_uses(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.write_uses(false).await {
                tracing::warn!(%error, "when keys were last used is not written down");
            }
            let lost = self.uses.lost.swap(0, Relaxed);
            if lost > 0 {
                tracing::warn!(lost, "more keys are in use than are remembered between two looks");
            }
        }
    }

    /// Writes down what is due, or all of it.
    pub async fn write_uses(&self, all: bool) -> Result<()> {
        let is_full = self.uses.is_full();
        for some in self.uses.due(all || is_full, self.clock.now_ms()).chunks(COMMIT_MAX) {
            self.write_some_uses(some).await?;
        }
        if is_full {
            self.uses.make_room();
        }
        Ok(())
    }

    async fn write_some_uses(&self, uses: &[(String, LastUse)]) -> Result<()> {
        let rows: Vec<RowRef> =
            uses.iter().flat_map(|(id, _)| [use_row(id), key_row(id)]).collect();
        let found = self.read_identities(&rows).await?;
        let (mut expects, mut writes) = (Vec::new(), Vec::new());
        for ((id, last), rows) in uses.iter().zip(found.chunks(2)) {
            let [before, key] = rows else { continue };
            let newer = match before {
                Some(bytes) => decode::<UseRow>(bytes)?.used_ms < last.used_ms,
                None => true,
            };
            // Of the root's key, the row is elsewhere; a user's may have gone.
            let is_there = match key {
                Some(_) => true,
                None => self.lookup(id).await?.is_some_and(|key| key.is_root()),
            };
            if !newer || !is_there {
                continue;
            }
            expects.push(match before {
                Some(bytes) => Expect::Equals(use_row(id), bytes.clone()),
                None => Expect::Absent(use_row(id)),
            });
            expects.extend(key.clone().map(|key| Expect::Equals(key_row(id), key)));
            let service = last.service.map_or(0, |service| service as u32);
            let row = UseRow { used_ms: last.used_ms, service };
            writes.push(Write::Put(use_row(id), Bytes::from(row.encode_to_vec())));
        }
        if !writes.is_empty() {
            match self.engine.index().commit(rows::commit(expects, writes)).await {
                // Somebody else wrote, or took a key away: the next look sees it.
                Err(CommitError::Conflict(_)) => return Ok(()),
                committed => committed.map_err(super::commit_failed)?,
            }
        }
        for (id, last) in uses {
            self.uses.written(id, last.used_ms);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN_MS: u64 = 1_000_000_000;

    #[test]
    fn notes_are_bounded_and_make_room() {
        let uses = Uses::default();
        for n in 0..2 * KEYS_MAX {
            uses.note(&format!("AKID{n}"), UsedFor::S3, BEGUN_MS);
        }
        assert_eq!(uses.noted.read().len(), KEYS_MAX);
        assert_eq!(uses.lost.load(Relaxed), KEYS_MAX as u64);
        assert!(uses.is_full());
        // All of them go on being used.
        for (id, last) in uses.due(true, BEGUN_MS) {
            uses.written(&id, last.used_ms);
            uses.note(&id, UsedFor::S3, BEGUN_MS + 1);
        }
        uses.make_room();
        uses.note("new", UsedFor::S3, BEGUN_MS + 2);
        assert!(uses.last("new").is_some());
    }

    #[test]
    fn notes_are_due_once_in_a_while_and_when_a_key_rests() {
        let uses = Uses::default();
        uses.note("a", UsedFor::Cos, BEGUN_MS);
        assert_eq!(uses.due(false, BEGUN_MS).len(), 1);
        uses.written("a", BEGUN_MS);
        uses.note("a", UsedFor::S3, BEGUN_MS + 1);
        assert_eq!(uses.due(false, BEGUN_MS + 2).len(), 0);
        assert_eq!(uses.due(true, BEGUN_MS + 2).len(), 1);
        let last = LastUse { used_ms: BEGUN_MS + 1, service: Some(UsedFor::S3) };
        assert_eq!(uses.last("a"), Some(last));
        // It is not used any more, and is written down all the same.
        assert_eq!(uses.due(false, BEGUN_MS + USE_WRITTEN_MS), [("a".to_owned(), last)]);
        // What was written is not kept in memory for ever.
        uses.written("a", BEGUN_MS + 1);
        assert_eq!(uses.due(true, BEGUN_MS + USE_WRITTEN_MS).len(), 0);
        assert_eq!(uses.last("a"), None);
    }
}
