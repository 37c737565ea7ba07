//! Whether rows are read where the caller runs or on a thread that may block.
//!
//! A row that lies in memory costs a few microseconds, less than handing the
//! read to another thread. A row on a slow device costs milliseconds, in which
//! the caller's thread would serve nobody. Which of the two it will be is not
//! known beforehand, so the next reads go by what the last ones took.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A read that takes longer has waited for a slow device.
const SLOW: Duration = Duration::from_millis(2);

/// How many reads keep away from the caller's thread after a slow one.
const WARY_READS: u32 = 32;

#[derive(Default)]
pub(super) struct Pace {
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
        if took >= SLOW {
            self.wary.store(WARY_READS, order);
        } else if self.is_slow() {
            let _ = self.wary.fetch_update(order, order, |wary| wary.checked_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_reads_make_the_next_ones_wary() {
        let pace = Pace::default();
        pace.note(Duration::from_micros(20));
        assert!(!pace.is_slow());
        pace.note(SLOW);
        for _ in 0..WARY_READS {
            assert!(pace.is_slow());
            pace.note(Duration::from_micros(20));
        }
        assert!(!pace.is_slow());
    }
}
