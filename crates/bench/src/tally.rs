//! What was counted during a run, per connection and then altogether.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::workload::Kind;

/// Counts of one kind of operation.
#[derive(Clone)]
pub struct KindTally {
    pub latency: Histogram,
    /// Bytes of bodies sent and received.
    pub bytes: u64,
}

/// Counts of finished operations.
#[derive(Clone, Default)]
pub struct Tally {
    pub kinds: BTreeMap<Kind, KindTally>,
    /// Failures by status and code.
    pub errors: BTreeMap<String, u64>,
    /// When the last operation finished.
    pub last: Option<Instant>,
}

impl Tally {
    pub fn success(&mut self, kind: Kind, finished: Instant, latency: Duration, bytes: u64) {
        let tally = self
            .kinds
            .entry(kind)
            .or_insert_with(|| KindTally { latency: Histogram::new(), bytes: 0 });
        tally.latency.record(latency);
        tally.bytes += bytes;
        self.last = self.last.max(Some(finished));
    }

    pub fn failure(&mut self, code: String, finished: Instant) {
        *self.errors.entry(code).or_default() += 1;
        self.last = self.last.max(Some(finished));
    }

    pub fn merge(&mut self, other: Tally) {
        for (kind, theirs) in other.kinds {
            match self.kinds.get_mut(&kind) {
                Some(mine) => {
                    mine.latency.merge(&theirs.latency);
                    mine.bytes += theirs.bytes;
                }
                None => {
                    self.kinds.insert(kind, theirs);
                }
            }
        }
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        self.last = self.last.max(other.last);
    }

    /// Whole operations of all kinds; steps of longer ones are not among them.
    pub fn whole(&self) -> KindTally {
        let mut sum = KindTally { latency: Histogram::new(), bytes: 0 };
        for tally in self.kinds.iter().filter(|(kind, _)| !kind.is_step()).map(|(_, t)| t) {
            sum.latency.merge(&tally.latency);
            sum.bytes += tally.bytes;
        }
        sum
    }

    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The failure that was seen most.
    pub fn commonest_error(&self) -> Option<&str> {
        self.errors.iter().max_by_key(|(_, count)| **count).map(|(code, _)| code.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_up_and_steps_stay_out_of_the_whole() {
        let now = Instant::now();
        let latency = Duration::from_micros(10);
        let mut one = Tally::default();
        one.success(Kind::Multipart, now, latency, 100);
        one.success(Kind::UploadPart, now, latency, 100);
        one.failure("503 SlowDown".into(), now);
        let mut two = Tally::default();
        two.success(Kind::Multipart, now + latency, latency, 50);
        two.failure("503 SlowDown".into(), now);
        two.failure("timeout".into(), now);
        one.merge(two);
        assert_eq!(one.whole().bytes, 150);
        assert_eq!(one.whole().latency.count(), 2);
        assert_eq!(one.error_count(), 3);
        assert_eq!(one.commonest_error(), Some("503 SlowDown"));
        assert_eq!(one.last, Some(now + latency));
    }
}
