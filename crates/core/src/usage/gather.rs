//! Counts of requests between their end and the rows that they are stored in.
//!
//! Each bucket that a process knows has its own counters in memory, so that a request
//! that ends takes one lock for some additions. Once a second those of which something
//! is new are written, each as one row of its slot of time: the row holds all that these
//! counters have counted in the slot and is written over as long as the slot lasts, so
//! writing it again does no harm, and no two processes write the same. What was counted
//! more than a second or so before a crash is not lost; a clean stop loses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::series::{TRAFFIC, suffix};
use super::traffic::{Figures, Served};
use crate::bucket::Bucket;
use crate::engine::{Expect, Partition, RowRef, Table, Write};
use crate::error::Result;
use crate::names::BucketName;
use crate::record::encode;
use crate::restore::Speed;
use crate::store::{Store, detached};

/// How long counts are gathered.
const GATHER: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Rows written at once, so that their commits share syncs.
const AT_ONCE: usize = 16;
/// A clock that was put back by no more than this leaves what it counts in the last slot.
const AHEAD_MS: u64 = 3_600_000;
/// Slots of one bucket that wait to be written; more are put together.
const SLOTS_MAX: usize = 4;

/// Counters of one bucket, as long as somebody knows the bucket.
#[derive(Debug)]
pub(crate) struct Counters {
    name: BucketName,
    inner: Mutex<Inner>,
}

#[derive(Default, Debug)]
struct Inner {
    /// In the order of time. Only the last one still grows.
    slots: Vec<Slot>,
    /// Tells these rows from those of other counters. Made when it is needed.
    id: Option<[u8; 8]>,
    /// Whether somebody will look here.
    listed: bool,
}

#[derive(Debug, Default)]
struct Slot {
    begin_ms: u64,
    /// What its row holds.
    stored: Figures,
    /// What is being written besides, and is tried again if that fails.
    leaving: Figures,
    fresh: Figures,
}

impl Slot {
    fn at(begin_ms: u64) -> Slot {
        Slot { begin_ms, ..Slot::default() }
    }

    fn is_stored(&self) -> bool {
        self.fresh.is_empty() && self.leaving.is_empty()
    }

    /// What of it is in no row.
    fn unstored(&mut self) -> &mut Figures {
        let fresh = std::mem::take(&mut self.fresh);
        self.leaving.add_all(&fresh);
        &mut self.leaving
    }
}

impl Inner {
    /// The clock was far ahead: goes on from the present with rows of their own, so that
    /// nothing is written over when the slots come that it has seen too early.
    fn begin_anew(&mut self, begin_ms: u64) {
        let mut present = Slot::at(begin_ms);
        for mut slot in self.slots.drain(..) {
            present.fresh.add_all(slot.unstored());
        }
        self.slots.push(present);
        self.id = None;
    }

    /// The slot that grows at a moment. A clock that was put back changes nothing of
    /// what is over.
    fn present(&mut self, begin_ms: u64) -> &mut Slot {
        let is_new = self.slots.last().is_none_or(|slot| slot.begin_ms < begin_ms);
        if is_new {
            self.slots.retain(|slot| !slot.is_stored());
            if self.slots.len() < SLOTS_MAX {
                self.slots.push(Slot::at(begin_ms));
            }
        }
        let last = self.slots.len() - 1;
        &mut self.slots[last]
    }
}

impl Counters {
    pub(crate) fn new(name: BucketName) -> Counters {
        Counters { name, inner: Mutex::default() }
    }

    /// Changes the counts of a moment. True if somebody has to look here from now on.
    fn change(&self, begin_ms: u64, change: impl FnOnce(&mut Figures)) -> bool {
        let mut inner = self.inner.lock();
        change(&mut inner.present(begin_ms).fresh);
        !std::mem::replace(&mut inner.listed, true)
    }

    /// Rows that are to be written: when their slots begin, and their values.
    fn take(&self, begin_ms: u64) -> Vec<(u64, Bytes)> {
        let mut inner = self.inner.lock();
        if inner.slots.last().is_some_and(|slot| slot.begin_ms > begin_ms + AHEAD_MS) {
            inner.begin_anew(begin_ms);
        }
        let unstored = inner.slots.iter_mut().filter(|slot| !slot.is_stored());
        let rows = unstored.map(|slot| {
            let mut whole = slot.stored.clone();
            whole.add_all(slot.unstored());
            (slot.begin_ms, encode(&whole))
        });
        rows.collect()
    }

    /// What was taken of a slot is in its row. Gives back what is new there.
    fn stored(&self, begin_ms: u64) -> Figures {
        let mut inner = self.inner.lock();
        let slot = inner.slots.iter_mut().find(|slot| slot.begin_ms == begin_ms);
        let Some(slot) = slot else { return Figures::default() };
        let left = std::mem::take(&mut slot.leaving);
        slot.stored.add_all(&left);
        left
    }

    /// A slot's row is gone, as its rows are put together: what it has not had counts for
    /// the present slot.
    fn too_late(&self, begin_ms: u64, present_ms: u64) {
        let mut inner = self.inner.lock();
        let slot = inner.slots.iter_mut().find(|slot| slot.begin_ms == begin_ms);
        let Some(slot) = slot else { return };
        let late = std::mem::take(slot.unstored());
        inner.present(present_ms).fresh.add_all(&late);
    }

    /// Whether there is something new again; if not, nobody will look until there is.
    fn is_listed(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.listed = inner.slots.iter().any(|slot| !slot.is_stored());
        inner.listed
    }

    fn id(&self, make: impl FnOnce() -> [u8; 8]) -> [u8; 8] {
        *self.inner.lock().id.get_or_insert_with(make)
    }
}

/// What all counters of a process have in common.
#[derive(Default)]
pub(crate) struct Gathering {
    /// Those with something new.
    listed: Mutex<Vec<Arc<Counters>>>,
    wake: Notify,
    writing: tokio::sync::Mutex<()>,
    totals: Mutex<BTreeMap<String, Figures>>,
}

/// Buckets of which totals are kept; those of more are under no name.
const TOTALS_MAX: usize = 1000;

impl Gathering {
    fn add_total(&self, name: &BucketName, figures: &Figures) {
        let mut totals = self.totals.lock();
        let is_known = totals.contains_key(name.as_str()) || totals.len() < TOTALS_MAX;
        let name = if is_known { name.as_str() } else { "" };
        match totals.get_mut(name) {
            Some(total) => total.add_all(figures),
            None => drop(totals.insert(name.to_owned(), figures.clone())),
        }
    }

    fn list(&self, counters: Arc<Counters>) {
        self.listed.lock().push(counters);
        self.wake.notify_one();
    }
}

impl Store {
    /// Counts a request that is over. Never waits.
    pub fn count_request(&self, bucket: &Bucket, served: &Served) {
        self.count(bucket, |figures| figures.add_request(served));
    }

    pub(crate) fn count_restore(&self, bucket: &Bucket, class: &str, speed: Speed, bytes: u64) {
        self.count(bucket, |figures| figures.add_restore(class, speed, bytes));
    }

    fn count(&self, bucket: &Bucket, change: impl FnOnce(&mut Figures)) {
        let begin_ms = self.usage_calendar().slot(self.now_ms());
        let counters = bucket.counters();
        if counters.change(begin_ms, change) {
            self.gathering.list(counters.clone());
        }
    }

    /// What requests of buckets have done since the process began, by their names; of a
    /// thousand buckets, and of all others together under the empty name.
    pub fn request_totals(&self) -> BTreeMap<String, Figures> {
        self.gathering.totals.lock().clone()
    }

    /// Puts everything that was counted on stable storage. Goes on to its end if the
    /// future is dropped, and waits for others that do.
    pub async fn keep_counts(self: &Arc<Self>) -> Result<()> {
        let store = self.clone();
        detached(async move {
            let _alone = store.gathering.writing.lock().await;
            let mut outcome = Ok(());
            // What comes in meanwhile is for the next time.
            let listed = std::mem::take(&mut *store.gathering.listed.lock());
            let keeping = listed.into_iter().map(|counters| store.keep_counters(counters));
            let mut kept = stream::iter(keeping).buffer_unordered(AT_ONCE);
            while let Some(kept) = kept.next().await {
                outcome = outcome.and(kept);
            }
            outcome
        })
        .await
    }

    async fn keep_counters(&self, counters: Arc<Counters>) -> Result<()> {
        let calendar = self.usage_calendar();
        let now_ms = self.now_ms();
        // A moment before anybody puts them together.
        let over_ms = calendar.block(now_ms.saturating_sub(self.options.usage_settle_ms / 2));
        let present_ms = calendar.slot(now_ms);
        let group = Bytes::copy_from_slice(counters.name.as_str().as_bytes());
        let mut outcome = Ok(());
        let mut again = true;
        while std::mem::take(&mut again) {
            for (begin_ms, value) in counters.take(present_ms) {
                let id = counters.id(|| {
                    let mut id = [0; 8];
                    self.entropy.fill(&mut id);
                    id
                });
                let suffix = [&suffix(TRAFFIC, begin_ms)[..], &id].concat().into();
                let row = RowRef { table: Table::Usage, suffix };
                // One that is there still holds all that it ever did, also if nobody knows
                // whether it was written last time; one that was taken away must not come
                // again with what it had.
                let is_over = begin_ms < over_ms;
                let expects = is_over.then(|| Expect::Present(row.clone())).into_iter().collect();
                let writes = vec![Write::Put(row, value)];
                match self.try_commit(Partition::System, &group, expects, writes).await {
                    Ok(Ok(())) => {
                        let new = counters.stored(begin_ms);
                        self.gathering.add_total(&counters.name, &new);
                    }
                    Ok(Err(_)) => {
                        counters.too_late(begin_ms, present_ms);
                        again = true;
                    }
                    Err(error) => outcome = Err(error),
                }
            }
        }
        if counters.is_listed() {
            self.gathering.list(counters);
        }
        outcome
    }

    /// The same again and again, until the future is dropped.
    pub(super) async fn keep_counts_coming(self: &Arc<Self>) {
        loop {
            self.gathering.wake.notified().await;
            tokio::time::sleep(GATHER).await;
            if let Err(error) = self.keep_counts().await {
                tracing::warn!(%error, "counts of requests wait in memory");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::decode;
    use crate::usage::{RequestKind, class_number};

    fn counters() -> Counters {
        Counters::new(BucketName::new("examplebucket-1250000000").unwrap())
    }

    fn count(counters: &Counters, begin_ms: u64, requests: u64) -> bool {
        counters.change(begin_ms, |figures| {
            for _ in 0..requests {
                figures.add_request(&Served {
                    class: class_number(""),
                    kind: RequestKind::Read,
                    status: 200,
                    is_internal: true,
                    bytes_in: 0,
                    bytes_out: 1,
                    is_retrieval: true,
                });
            }
        })
    }

    fn take(counters: &Counters, now_ms: u64) -> Vec<(u64, u64)> {
        let rows = counters.take(now_ms).into_iter();
        rows.map(|(at, row)| (at, decode::<Figures>(&row, "").unwrap().reads())).collect()
    }

    #[test]
    fn a_row_holds_all_of_its_slot_however_often_it_is_written() {
        let counters = counters();
        assert!(count(&counters, 60_000, 2));
        assert!(!count(&counters, 60_000, 1));
        assert_eq!(take(&counters, 60_000), [(60_000, 3)]);
        // That failed, and more comes.
        count(&counters, 60_000, 1);
        assert_eq!(take(&counters, 60_000), [(60_000, 4)]);
        count(&counters, 60_000, 5);
        let _ = counters.stored(60_000);
        assert!(counters.is_listed());
        assert_eq!(take(&counters, 60_000), [(60_000, 9)]);
        let _ = counters.stored(60_000);
        assert!(!counters.is_listed());
        assert!(count(&counters, 120_000, 1));
        assert_eq!(take(&counters, 120_000), [(120_000, 1)]);
    }

    #[test]
    fn what_comes_too_late_for_its_slot_counts_for_the_present_one() {
        let counters = counters();
        count(&counters, 60_000, 2);
        take(&counters, 60_000);
        let _ = counters.stored(60_000);
        // In no row until now.
        count(&counters, 60_000, 3);
        assert_eq!(take(&counters, 180_000), [(60_000, 5)]);
        counters.too_late(60_000, 180_000);
        assert_eq!(take(&counters, 180_000), [(180_000, 3)]);
        let _ = counters.stored(180_000);
        assert!(!counters.is_listed());
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nothing_up() {
        let counters = counters();
        let (present, ahead) = (60_000, 3 * AHEAD_MS);
        count(&counters, ahead, 1);
        assert_eq!(take(&counters, ahead), [(ahead, 1)]);
        let _ = counters.stored(ahead);
        let first = counters.id(|| [1; 8]);
        count(&counters, present, 2);
        assert_eq!(take(&counters, present), [(present, 2)]);
        let _ = counters.stored(present);
        assert_ne!(counters.id(|| [2; 8]), first, "rows of their own");
        count(&counters, present, 1);
        assert_eq!(take(&counters, present), [(present, 3)]);
    }

    #[test]
    fn slots_that_cannot_be_written_are_put_together() {
        let counters = counters();
        for slot in 1..=20 {
            count(&counters, slot * 60_000, 1);
        }
        let rows = take(&counters, 1_200_000);
        assert_eq!(rows.len(), SLOTS_MAX);
        assert_eq!(rows.iter().map(|(_, requests)| requests).sum::<u64>(), 20);
    }
}
