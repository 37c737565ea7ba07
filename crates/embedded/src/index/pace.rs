//! Whether rows are read where the caller runs or on a thread that may block.
//!
//! A row that lies in memory costs a few microseconds, less than handing the
//! read to another thread. A row on a slow device costs milliseconds, in which
//! the caller's thread would serve nobody. Which of the two it will be is not
//! known beforehand, so the next reads go by what the last ones took. One slow
//! read alone says little: on a busy machine it may have waited for its turn.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A read that takes longer may have waited for a slow device.
const SLOW: Duration = Duration::from_millis(2);

/// A second slow read among this many is proof.
const ALERT_READS: u32 = 16;

/// How many reads keep away from the caller's thread after that.
const WARY_READS: u32 = 32;

#[derive(Default)]
pub(super) struct Pace {
    /// Reads left in which a slow one is the second.
    alert: AtomicU32,
    /// Reads left that keep away.
    wary: AtomicU32,
}

impl Pace {
    /// Whether the next read should run on a thread that may block.
    pub(super) fn is_slow(&self) -> bool {
        self.wary.load(Ordering::Relaxed) > 0
    }

    /// Takes in how long a read took.
    pub(super) fn note(&self, took: Duration) {
        let order = Ordering::Relaxed;
        if took < SLOW {
            for reads in [&self.alert, &self.wary] {
                if reads.load(order) > 0 {
                    let _ = reads.fetch_update(order, order, |reads| reads.checked_sub(1));
                }
            }
        } else if self.alert.swap(ALERT_READS, order) > 0 {
            self.wary.store(WARY_READS, order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(20);

    #[test]
    fn two_slow_reads_make_the_next_ones_wary() {
        let pace = Pace::default();
        pace.note(FAST);
        pace.note(SLOW);
        assert!(!pace.is_slow(), "one alone says little");
        pace.note(FAST);
        pace.note(SLOW);
        for _ in 0..WARY_READS {
            assert!(pace.is_slow());
            pace.note(FAST);
        }
        assert!(!pace.is_slow());
        pace.note(SLOW);
        for _ in 0..ALERT_READS {
            pace.note(FAST);
        }
        pace.note(SLOW);
        assert!(!pace.is_slow(), "the last one is long ago");
    }
}
