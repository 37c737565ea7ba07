//! What this process knows of each target's events: which keys have some, so that nobody
//! has to look for what was just queued, and how its deliveries go.
//!
//! All of it may be lost: the rows are found again by a walk.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::BucketId;

/// Keys of one target that are remembered, at most; as many again may wait for another
/// try.
const KEYS_MAX: usize = 1 << 14;
/// Failures in a row after which a target is left alone for a while.
const STOP_AFTER: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Of the keys that are taken while others wait, one of so many has failed before, and of
/// those at work at once not more.
const RETRIES_ONE_OF: usize = 4;

/// A key with events, in the order in which a walk finds them.
pub(super) type Place = (BucketId, Bytes);

/// The targets that there are, by their names.
#[derive(Debug)]
pub struct Lanes {
    lanes: BTreeMap<String, Arc<Lane>>,
    /// The last number that was given by the time.
    sequence: AtomicU64,
    /// A lane has room again for what it left out.
    pub(super) room: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub name: String,
    pub stats: LaneStats,
    /// There is something to do.
    pub wake: Notify,
    room: Arc<Notify>,
    keys: Mutex<Keys>,
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
struct Keys {
    pending: VecDeque<Place>,
    members: HashSet<Place>,
    /// Each is delivered by one at a time. True if it was remembered meanwhile.
    at_work: HashMap<Place, bool>,
    /// Of those at work, how many have failed before.
    retries: usize,
    taken: usize,
    failed: HashMap<Place, Failed>,
    /// Those of `failed` that are not at work, by when they may be tried again.
    due: BTreeSet<(Instant, Place)>,
    /// The first that found no room here.
    left_out: Option<Place>,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    first: Instant,
    again: Instant,
}

#[derive(Debug, Default)]
struct Troubles {
    in_a_row: u32,
    pauses: u32,
    until: Option<Instant>,
    last_arrival: Option<Instant>,
}

impl Lanes {
    pub(crate) fn new(targets: Vec<String>) -> Lanes {
        let room: Arc<Notify> = Arc::default();
        let lane = |name: String| {
            let lane = Lane {
                name: name.clone(),
                stats: LaneStats::default(),
                wake: Notify::new(),
                room: room.clone(),
                keys: Mutex::default(),
                troubles: Mutex::default(),
            };
            (name, Arc::new(lane))
        };
        let lanes = targets.into_iter().map(lane).collect();
        Lanes { lanes, sequence: AtomicU64::new(0), room }
    }

    /// Whether nothing is told to anybody.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
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

impl Keys {
    fn push(&mut self, place: Place) {
        if self.members.contains(&place) {
            return;
        }
        if self.pending.len() >= KEYS_MAX {
            return self.leave_out(place);
        }
        self.members.insert(place.clone());
        self.pending.push_back(place);
    }

    fn leave_out(&mut self, place: Place) {
        if self.left_out.as_ref().is_none_or(|first| place < *first) {
            self.left_out = Some(place);
        }
    }

    fn pop(&mut self) -> Option<Place> {
        while let Some(place) = self.pending.pop_front() {
            self.members.remove(&place);
            if let Some(again) = self.at_work.get_mut(&place) {
                *again = true;
            // One that has failed waits for its time.
            } else if !self.failed.contains_key(&place) {
                return Some(place);
            }
        }
        None
    }

    fn pop_due(&mut self, at_once: usize) -> Option<Place> {
        let (again, _) = self.due.first()?;
        if *again > Instant::now() || self.retries >= retries_max(at_once) {
            return None;
        }
        let (_, place) = self.due.pop_first()?;
        self.retries += 1;
        Some(place)
    }

    fn has_room_for_left_out(&self) -> bool {
        self.left_out.is_some()
            && self.pending.len() <= KEYS_MAX / 2
            && self.failed.len() <= KEYS_MAX / 2
    }

    /// A key is at work no longer; whether it was remembered meanwhile.
    fn ended(&mut self, place: &Place) -> bool {
        if self.failed.contains_key(place) {
            self.retries = self.retries.saturating_sub(1);
        }
        self.at_work.remove(place).unwrap_or(false)
    }
}

fn retries_max(at_once: usize) -> usize {
    (at_once / RETRIES_ONE_OF).max(1)
}

impl Lane {
    pub fn remember(&self, place: Place) {
        self.keys.lock().push(place);
        self.wake.notify_one();
    }

    pub fn is_full(&self) -> bool {
        self.keys.lock().pending.len() >= KEYS_MAX
    }

    /// A key to deliver now, where so many are at work at once. It is at work until
    /// [`Lane::done`], [`Lane::put_back`] or [`Lane::failed`].
    pub fn take(&self, at_once: usize) -> Option<Place> {
        let mut keys = self.keys.lock();
        keys.taken = keys.taken.wrapping_add(1);
        let place = if keys.taken.is_multiple_of(RETRIES_ONE_OF) {
            keys.pop_due(at_once).or_else(|| keys.pop())
        } else {
            keys.pop().or_else(|| keys.pop_due(at_once))
        };
        if let Some(place) = &place {
            keys.at_work.insert(place.clone(), false);
        }
        self.tell_of_room(&keys);
        place
    }

    /// From where on some keys could not be remembered, once there is room again.
    pub fn take_left_out(&self) -> Option<Place> {
        let mut keys = self.keys.lock();
        if keys.has_room_for_left_out() { keys.left_out.take() } else { None }
    }

    fn tell_of_room(&self, keys: &Keys) {
        if keys.has_room_for_left_out() {
            self.room.notify_one();
        }
    }

    /// Starts anew. Nothing is at work.
    pub fn forget(&self) {
        *self.keys.lock() = Keys::default();
        *self.troubles.lock() = Troubles::default();
    }

    /// When the next key that has failed may be tried again.
    pub fn next_try(&self, at_once: usize) -> Option<Instant> {
        let keys = self.keys.lock();
        if keys.retries >= retries_max(at_once) {
            return None;
        }
        keys.due.first().map(|(again, _)| *again)
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
        let last_arrival = Some(Instant::now());
        *self.troubles.lock() = Troubles { last_arrival, ..Troubles::default() };
    }

    /// A message has not, and its key waits for another try.
    pub fn failed(&self, place: Place, why: String) {
        self.stats.failures.fetch_add(1, Relaxed);
        self.stats.is_failing.store(true, Relaxed);
        *self.stats.last_error.lock() = why;
        let now = Instant::now();
        let mut keys = self.keys.lock();
        keys.ended(&place);
        let is_known = keys.failed.contains_key(&place);
        let mut troubles = self.troubles.lock();
        // What is refused while others arrive says nothing of the target.
        let known_for = keys.failed.get(&place).map(|failed| failed.first);
        if known_for.is_none_or(|first| troubles.last_arrival.is_none_or(|at| at <= first)) {
            troubles.in_a_row += 1;
        }
        if !is_known && keys.failed.len() >= KEYS_MAX {
            keys.leave_out(place);
            return;
        }
        let first = Failed { times: 0, first: now, again: now };
        let failed = keys.failed.entry(place.clone()).or_insert(first);
        failed.again = now + PAUSE.saturating_mul(1 << failed.times.min(8)).min(PAUSE_MAX);
        failed.times += 1;
        let again = failed.again;
        keys.due.insert((again, place));
    }

    /// Nothing of a key waits any more.
    pub fn done(&self, place: Place) {
        self.end(place, false);
    }

    /// More of a key waits, for its turn or for better times.
    pub fn put_back(&self, place: Place) {
        self.end(place, true);
    }

    fn end(&self, place: Place, waits: bool) {
        let mut keys = self.keys.lock();
        let again = keys.ended(&place);
        keys.failed.remove(&place);
        if again || waits {
            keys.push(place);
        }
        self.tell_of_room(&keys);
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
            assert!(!lane.is_full());
            lane.remember(place(number));
            lane.remember(place(number));
        }
        assert!(lane.is_full());
        let (later, first) = ((BucketId(3), "b".into()), (BucketId(2), "a".into()));
        [&later, &first, &later].into_iter().for_each(|place| lane.remember(place.clone()));
        // There is no room for them yet.
        assert!(lane.take_left_out().is_none());
        let mut taken = 0;
        while let Some(place) = lane.take(1) {
            lane.done(place);
            taken += 1;
        }
        assert_eq!(taken, KEYS_MAX);
        assert_eq!(lane.take_left_out(), Some(first));
        assert!(lane.take_left_out().is_none());
    }

    #[test]
    fn a_key_is_delivered_by_one_at_a_time() {
        let lane = lane();
        lane.remember(place(1));
        assert_eq!(lane.take(9), Some(place(1)));
        lane.remember(place(1));
        assert_eq!(lane.take(9), None);
        lane.done(place(1));
        assert_eq!(lane.take(9), Some(place(1)));
        lane.done(place(1));
        assert_eq!(lane.take(9), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_that_fails_waits_alone() {
        let lane = lane();
        lane.failed(place(1), "no".into());
        lane.remember(place(1));
        lane.remember(place(2));
        assert_eq!(lane.take(9), Some(place(2)));
        assert_eq!(lane.take(9), None);
        lane.arrived();
        assert!(lane.paused_until().is_none());
        tokio::time::advance(PAUSE).await;
        assert_eq!(lane.take(9), Some(place(1)));
        lane.done(place(1));
        assert!(lane.next_try(9).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_always_refused_hold_up_no_other() {
        let lane = lane();
        for number in 0..300 {
            lane.failed(place(number), "no".into());
        }
        lane.arrived();
        tokio::time::advance(PAUSE).await;
        (1000..1100).for_each(|number| lane.remember(place(number)));
        let taken: Vec<Place> = std::iter::from_fn(|| lane.take(16)).take(16).collect();
        let retried = taken.iter().filter(|taken| (0..300).any(|it| place(it) == **taken));
        assert_eq!(retried.count(), 16 / RETRIES_ONE_OF);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_while_others_arrive_stops_nothing() {
        let lane = lane();
        (0..5).for_each(|number| lane.failed(place(number), "no".into()));
        tokio::time::advance(PAUSE).await;
        lane.arrived();
        for _ in 0..5 {
            tokio::time::advance(PAUSE_MAX).await;
            for _ in 0..5 {
                let place = lane.take(16).unwrap();
                lane.failed(place, "no".into());
            }
            assert!(!lane.is_stopped());
        }
        // Others fail now, too.
        (10..13).for_each(|number| lane.failed(place(number), "no".into()));
        assert!(lane.is_stopped());
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
