//! Whether a history can be explained by operations that each
//! happened at one instant between their call and their return.
//!
//! The search walks the calls and returns in order and keeps every
//! configuration that is still possible: what the key holds, and which of the
//! running operations have happened already. An operation that returns must have
//! happened; equal configurations are kept once, which is the memory of Wing and
//! Gong's search as Lowe improved it.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

/// An operation and what its caller was told of it.
pub trait Step: Clone + Debug {
    /// What there is between operations; before the first, the default.
    type State: Clone + Default + Eq + Hash;

    /// The state afterwards, if the operation can have happened at this state.
    fn apply(&self, state: &Self::State) -> Option<Self::State>;

    /// Whether it leaves every state as it is. Such an operation need not be tried
    /// at several moments: the first at which it can have happened is as good as any.
    fn changes_nothing(&self) -> bool;
}

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

impl Step for Operation {
    type State = Value;

    fn apply(&self, value: &Value) -> Option<Value> {
        let value = *value;
        match *self {
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

    fn changes_nothing(&self) -> bool {
        matches!(
            self,
            Operation::Read(_)
                | Operation::PutIfAbsent(_, false)
                | Operation::PutIfMatch(.., false)
                | Operation::DeleteIfMatch(_, false)
        )
    }
}

/// An operation and when it ran, on one clock.
#[derive(Clone, Copy, Debug)]
pub struct Event<S> {
    pub called: u64,
    /// `None` when nobody knows whether it happened.
    pub returned: Option<u64>,
    pub operation: S,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration<T> {
    state: T,
    /// Running operations that have happened.
    happened: BTreeSet<usize>,
}

/// Explains the history from the first state, or names the return that nothing
/// explains.
pub fn check<S: Step>(history: &[Event<S>]) -> Result<(), String> {
    // Operations may be called at once, as those that one call stands for are.
    let mut moments = Vec::new();
    for (number, event) in history.iter().enumerate() {
        moments.push((event.called, false, number));
        moments.extend(event.returned.map(|returned| (returned, true, number)));
    }
    moments.sort_unstable();
    let mut running: BTreeSet<usize> = BTreeSet::new();
    let mut possible =
        HashSet::from([Configuration { state: S::State::default(), happened: BTreeSet::new() }]);
    for (time, is_return, number) in moments {
        if !is_return {
            running.insert(number);
            continue;
        }
        possible = after_return(history, &running, possible, number);
        running.remove(&number);
        if possible.is_empty() {
            let near: Vec<&Event<S>> =
                history.iter().filter(|e| e.called <= time && e.returned >= Some(time)).collect();
            return Err(format!("nothing explains {:?}; beside it {near:?}", history[number]));
        }
    }
    Ok(())
}

/// The configurations in which operation `number` has happened.
fn after_return<S: Step>(
    history: &[Event<S>],
    running: &BTreeSet<usize>,
    possible: HashSet<Configuration<S::State>>,
    number: usize,
) -> HashSet<Configuration<S::State>> {
    let settled = |mut configuration: Configuration<S::State>| {
        for next in running {
            let operation = &history[*next].operation;
            if operation.changes_nothing() && operation.apply(&configuration.state).is_some() {
                configuration.happened.insert(*next);
            }
        }
        configuration
    };
    let mut seen: HashSet<_> = possible.into_iter().map(settled).collect();
    let mut open: Vec<Configuration<S::State>> = seen.iter().cloned().collect();
    let mut explained = HashSet::new();
    while let Some(mut configuration) = open.pop() {
        if configuration.happened.contains(&number) {
            configuration.happened.remove(&number);
            explained.insert(configuration);
            continue;
        }
        for next in running.iter().filter(|next| !configuration.happened.contains(next)) {
            let Some(state) = history[*next].operation.apply(&configuration.state) else {
                continue;
            };
            let mut happened = configuration.happened.clone();
            happened.insert(*next);
            let reached = settled(Configuration { state, happened });
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

    fn event(called: u64, returned: u64, operation: Operation) -> Event<Operation> {
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
