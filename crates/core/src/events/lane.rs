//! What this process knows of each target's events: which keys have some, so that nobody
//! has to look for what was just queued, and how its deliveries go.
//!
//! All of it may be lost: the rows are found again by a walk.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::BucketId;

/// Keys of one target that are remembered, at most.
const KEYS_MAX: usize = 1 << 14;
/// Failures in a row after which a target is left alone for a while.
const STOP_AFTER: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A key with events.
pub(super) type Place = (BucketId, Bytes);

/// The targets that there are, by their names.
#[derive(Debug)]
pub struct Lanes {
    lanes: BTreeMap<String, Arc<Lane>>,
    /// The last number that was given by the time.
    sequence: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub name: String,
    pub stats: LaneStats,
    pub wake: Notify,
    pending: Mutex<Pending>,
    troubles: Mutex<Troubles>,
}

/// How deliveries to one target go, since the process began.
#[derive(Debug, Default)]
pub struct LaneStats {
    pub sent: AtomicU64,
    /// Tries that failed.
    pub failures: AtomicU64,
    /// Events that waited for too long, and are lost.
    pub expired: AtomicU64,
    /// Events that wait, as far as is known: what others queue is counted now and then.
    pub waiting: AtomicU64,
    /// When the oldest that waits happened; 0 for none.
    pub oldest_ms: AtomicU64,
    /// Whether the last try failed.
    pub is_failing: AtomicBool,
    pub last_error: Mutex<String>,
}

#[derive(Debug, Default)]
struct Pending {
    keys: VecDeque<Place>,
    members: HashSet<Place>,
    overflowed: bool,
}

#[derive(Debug, Default)]
struct Troubles {
    keys: HashMap<Place, (u32, Instant)>,
    in_a_row: u32,
    pauses: u32,
    until: Option<Instant>,
}

impl Lanes {
    pub(crate) fn new(targets: Vec<String>) -> Lanes {
        let lane = |name: String| {
            let lane = Lane {
                name: name.clone(),
                stats: LaneStats::default(),
                wake: Notify::new(),
                pending: Mutex::default(),
                troubles: Mutex::default(),
            };
            (name, Arc::new(lane))
        };
        Lanes { lanes: targets.into_iter().map(lane).collect(), sequence: AtomicU64::new(0) }
    }

    pub fn has(&self, target: &str) -> bool {
        self.lanes.contains_key(target)
    }

    pub fn stats(&self) -> impl Iterator<Item = (&str, &LaneStats)> {
        self.lanes.values().map(|lane| (lane.name.as_str(), &lane.stats))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.values()
    }

    pub(super) fn get(&self, target: &str) -> Option<&Arc<Lane>> {
        self.lanes.get(target)
    }

    /// A number that this process has not given before, though its clock be set back.
    pub(super) fn sequence(&self, by_time: u64) -> u64 {
        let last = self.sequence.fetch_update(Relaxed, Relaxed, |last| Some(by_time.max(last + 1)));
        by_time.max(last.unwrap_or_default() + 1)
    }

    /// An event was queued.
    pub(super) fn queued(&self, target: &str, bucket: BucketId, group: &Bytes, at_ms: u64) {
        let Some(lane) = self.lanes.get(target) else { return };
        lane.stats.waiting.fetch_add(1, Relaxed);
        // The first that waits is the oldest.
        let _ = lane.stats.oldest_ms.compare_exchange(0, at_ms, Relaxed, Relaxed);
        lane.remember((bucket, group.clone()));
    }
}

impl Lane {
    pub fn remember(&self, place: Place) {
        let mut pending = self.pending.lock();
        if pending.members.contains(&place) {
            return;
        }
        if pending.keys.len() == KEYS_MAX {
            pending.overflowed = true;
            return;
        }
        pending.members.insert(place.clone());
        pending.keys.push_back(place);
        self.wake.notify_one();
    }

    /// What there is to do now, at most so much.
    pub fn take(&self, max: usize) -> Vec<Place> {
        let now = Instant::now();
        let mut troubles = self.troubles.lock();
        let due = troubles.keys.iter().filter(|(_, (_, again))| *again <= now);
        let mut places: Vec<Place> = due.map(|(place, _)| place.clone()).take(max).collect();
        // They are back if they fail once more, and not taken twice if not.
        let later = now + PAUSE_MAX;
        for place in &places {
            troubles.keys.get_mut(place).expect("it was there").1 = later;
        }
        let mut pending = self.pending.lock();
        while places.len() < max
            && let Some(place) = pending.keys.pop_front()
        {
            pending.members.remove(&place);
            // One that has failed waits for its time.
            if !troubles.keys.contains_key(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Whether some keys could not be remembered.
    pub fn take_overflow(&self) -> bool {
        std::mem::take(&mut self.pending.lock().overflowed)
    }

    pub fn forget(&self) {
        *self.pending.lock() = Pending::default();
        *self.troubles.lock() = Troubles::default();
    }

    /// Whether a key has failed and waits for another try.
    pub fn has_failed(&self, place: &Place) -> bool {
        self.troubles.lock().keys.contains_key(place)
    }

    /// When the next key that has failed may be tried again.
    pub fn next_try(&self) -> Option<Instant> {
        self.troubles.lock().keys.values().map(|(_, again)| *again).min()
    }

    /// Whether the target has failed so often that no more is sent for now.
    pub fn is_stopped(&self) -> bool {
        self.troubles.lock().in_a_row >= STOP_AFTER
    }

    /// Until when nothing is sent, if so.
    pub fn paused_until(&self) -> Option<Instant> {
        let mut troubles = self.troubles.lock();
        if troubles.in_a_row >= STOP_AFTER && troubles.until.is_none() {
            let pause = PAUSE.saturating_mul(1 << troubles.pauses.min(8)).min(PAUSE_MAX);
            troubles.pauses += 1;
            troubles.until = Some(Instant::now() + pause);
        }
        let until = troubles.until?;
        if Instant::now() < until {
            return Some(until);
        }
        troubles.until = None;
        // One more failure is enough.
        troubles.in_a_row = STOP_AFTER - 1;
        None
    }

    /// A message has arrived.
    pub fn arrived(&self) {
        self.stats.sent.fetch_add(1, Relaxed);
        self.stats.is_failing.store(false, Relaxed);
        let mut troubles = self.troubles.lock();
        (troubles.in_a_row, troubles.pauses, troubles.until) = (0, 0, None);
    }

    /// A message has not.
    pub fn failed(&self, place: Place, why: String) {
        self.stats.failures.fetch_add(1, Relaxed);
        self.stats.is_failing.store(true, Relaxed);
        *self.stats.last_error.lock() = why;
        let mut troubles = self.troubles.lock();
        troubles.in_a_row += 1;
        let is_known = troubles.keys.contains_key(&place);
        if !is_known && troubles.keys.len() == KEYS_MAX {
            self.pending.lock().overflowed = true;
            return;
        }
        let (failures, again) = troubles.keys.entry(place).or_insert((0, Instant::now()));
        *again = Instant::now() + PAUSE.saturating_mul(1 << (*failures).min(8)).min(PAUSE_MAX);
        *failures += 1;
    }

    /// Nothing of a key waits any more for another try.
    pub fn done(&self, place: &Place) {
        self.troubles.lock().keys.remove(place);
    }

    /// An event waits no longer.
    pub fn left(&self) {
        let counted = self.stats.waiting.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
        if counted.unwrap_or(0) <= 1 {
            self.stats.oldest_ms.store(0, Relaxed);
        }
    }

    /// What waits, by a look at all of it.
    pub fn counted(&self, waiting: u64, oldest_ms: u64) {
        self.stats.waiting.store(waiting, Relaxed);
        self.stats.oldest_ms.store(oldest_ms, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: usize) -> Place {
        (BucketId(1), number.to_string().into())
    }

    fn lane() -> Arc<Lane> {
        Lanes::new(vec!["t".into()]).get("t").unwrap().clone()
    }

    #[test]
    fn numbers_grow_though_the_clock_does_not() {
        let lanes = Lanes::new(Vec::new());
        assert_eq!(lanes.sequence(100), 100);
        assert_eq!(lanes.sequence(100), 101);
        assert_eq!(lanes.sequence(50), 102);
        assert_eq!(lanes.sequence(200), 200);
    }

    #[tokio::test]
    async fn keys_are_remembered_once_and_within_bounds() {
        let lane = lane();
        for number in 0..KEYS_MAX {
            lane.remember(place(number));
            lane.remember(place(number));
        }
        assert!(!lane.take_overflow());
        lane.remember(place(KEYS_MAX));
        assert!(lane.take_overflow() && !lane.take_overflow());
        assert_eq!(lane.take(usize::MAX).len(), KEYS_MAX);
        assert!(lane.take(usize::MAX).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_that_fails_waits_alone() {
        let lane = lane();
        lane.failed(place(1), "no".into());
        lane.remember(place(1));
        lane.remember(place(2));
        assert_eq!(lane.take(9), [place(2)]);
        lane.arrived();
        assert!(lane.paused_until().is_none());
        tokio::time::advance(PAUSE).await;
        assert_eq!(lane.take(9), [place(1)]);
        lane.done(&place(1));
        assert!(lane.next_try().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_target_is_left_alone_for_longer_and_longer() {
        let lane = lane();
        for number in 0..STOP_AFTER as usize {
            assert!(lane.paused_until().is_none());
            lane.failed(place(number), "no".into());
        }
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let until = lane.paused_until().unwrap();
            pauses.push((until - Instant::now()).as_secs());
            tokio::time::advance(until - Instant::now()).await;
            assert!(lane.paused_until().is_none() && !lane.is_stopped());
            lane.failed(place(0), "no".into());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        lane.arrived();
        assert!(lane.paused_until().is_none());
    }
}
