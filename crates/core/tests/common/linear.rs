//! Whether a history of one key can be explained by operations that each
//! happened at one instant between their call and their return.
//!
//! The search walks the calls and returns in order and keeps every
//! configuration that is still possible: the key's value, and which of the
//! running operations have happened already. An operation that returns must have
//! happened; equal configurations are kept once, which is the memory of Wing and
//! Gong's search as Lowe improved it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a key holds. Every write has a value of its own.
pub type Value = Option<u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Put(u64),
    /// `If-None-Match: *`; whether it was taken.
    PutIfAbsent(u64, bool),
    /// `If-Match` with the ETag of the first value; whether it was taken.
    PutIfMatch(u64, u64, bool),
    Delete,
    /// `If-Match` on a delete; whether it was taken.
    DeleteIfMatch(u64, bool),
    Read(Value),
}

impl Operation {
    /// The value afterwards, if the operation can have happened at this value.
    fn apply(self, value: Value) -> Option<Value> {
        match self {
            Operation::Put(new) => Some(Some(new)),
            Operation::PutIfAbsent(new, true) => value.is_none().then_some(Some(new)),
            Operation::PutIfAbsent(_, false) => value.is_some().then_some(value),
            Operation::PutIfMatch(old, new, true) => (value == Some(old)).then_some(Some(new)),
            Operation::PutIfMatch(old, _, false) => (value != Some(old)).then_some(value),
            Operation::Delete => Some(None),
            Operation::DeleteIfMatch(old, true) => (value == Some(old)).then_some(None),
            Operation::DeleteIfMatch(old, false) => (value != Some(old)).then_some(value),
            Operation::Read(seen) => (seen == value).then_some(value),
        }
    }
}

/// An operation and when it ran, on one clock that never shows a time twice.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub called: u64,
    /// `None` when nobody knows whether it happened.
    pub returned: Option<u64>,
    pub operation: Operation,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration {
    value: Value,
    /// Running operations that have happened.
    happened: BTreeSet<usize>,
}

/// Explains the history from an absent key, or names the return that nothing
/// explains.
pub fn check(history: &[Event]) -> Result<(), String> {
    let mut moments = BTreeMap::new();
    for (number, event) in history.iter().enumerate() {
        moments.insert(event.called, (number, false));
        if let Some(returned) = event.returned {
            moments.insert(returned, (number, true));
        }
    }
    let mut running: BTreeSet<usize> = BTreeSet::new();
    let mut possible = HashSet::from([Configuration { value: None, happened: BTreeSet::new() }]);
    for (time, (number, is_return)) in moments {
        if !is_return {
            running.insert(number);
            continue;
        }
        possible = after_return(history, &running, possible, number);
        running.remove(&number);
        if possible.is_empty() {
            let near: Vec<&Event> =
                history.iter().filter(|e| e.called <= time && e.returned >= Some(time)).collect();
            return Err(format!("nothing explains {:?}; beside it {near:?}", history[number]));
        }
    }
    Ok(())
}

/// The configurations in which operation `number` has happened.
fn after_return(
    history: &[Event],
    running: &BTreeSet<usize>,
    possible: HashSet<Configuration>,
    number: usize,
) -> HashSet<Configuration> {
    let mut seen = possible.clone();
    let mut open: Vec<Configuration> = possible.into_iter().collect();
    let mut explained = HashSet::new();
    while let Some(mut configuration) = open.pop() {
        if configuration.happened.contains(&number) {
            configuration.happened.remove(&number);
            explained.insert(configuration);
            continue;
        }
        for next in running.iter().filter(|next| !configuration.happened.contains(next)) {
            let Some(value) = history[*next].operation.apply(configuration.value) else {
                continue;
            };
            let mut happened = configuration.happened.clone();
            happened.insert(*next);
            let reached = Configuration { value, happened };
            if seen.insert(reached.clone()) {
                open.push(reached);
            }
        }
    }
    explained
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(called: u64, returned: u64, operation: Operation) -> Event {
        Event { called, returned: Some(returned), operation }
    }

    #[test]
    fn good_histories_are_explained() {
        use Operation::*;
        // Concurrent writes in either order, a read that overlaps both.
        let history = [
            event(1, 5, Put(1)),
            event(2, 6, Put(2)),
            event(3, 4, Read(Some(2))),
            event(7, 8, Read(Some(1))),
        ];
        assert_eq!(check(&history), Ok(()));
        // Of two creations that overlap, one is refused.
        let history = [
            event(1, 3, PutIfAbsent(1, true)),
            event(2, 4, PutIfAbsent(2, false)),
            event(5, 6, PutIfMatch(1, 3, true)),
            event(7, 8, DeleteIfMatch(1, false)),
            event(9, 10, Read(Some(3))),
        ];
        assert_eq!(check(&history), Ok(()));
        // A write without an answer happens late, or never.
        let lost = Event { called: 1, returned: None, operation: Put(1) };
        assert_eq!(check(&[lost, event(2, 3, Read(None)), event(4, 5, Read(Some(1)))]), Ok(()));
        assert_eq!(check(&[lost, event(2, 3, Read(None))]), Ok(()));
    }

    #[test]
    fn bad_histories_are_refused() {
        use Operation::*;
        let bad = [
            // A stale read.
            vec![event(1, 2, Put(1)), event(3, 4, Put(2)), event(5, 6, Read(Some(1)))],
            // A lost update: both conditional writes won over the same value.
            vec![
                event(1, 2, Put(1)),
                event(3, 6, PutIfMatch(1, 2, true)),
                event(4, 5, PutIfMatch(1, 3, true)),
            ],
            // Two creations without a deletion.
            vec![event(1, 3, PutIfAbsent(1, true)), event(2, 4, PutIfAbsent(2, true))],
            // A creation refused although nothing was there.
            vec![event(1, 2, PutIfAbsent(1, false))],
            // A ghost after an acknowledged deletion.
            vec![event(1, 2, Put(1)), event(3, 4, Delete), event(5, 6, Read(Some(1)))],
            // New, then old.
            vec![
                event(1, 2, Put(1)),
                event(3, 8, Put(2)),
                event(4, 5, Read(Some(2))),
                event(6, 7, Read(Some(1))),
            ],
        ];
        for history in bad {
            assert!(check(&history).is_err(), "{history:?}");
        }
    }
}
