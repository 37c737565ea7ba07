//! In which slots of time usage is counted.

use crate::lifecycle::{Calendar, DAY_MS};

/// Days of bills and of charts begin at midnight in China, as COS's do.
const UTC_OFFSET_S: u32 = 8 * 3600;

/// How time is cut: slots, blocks of slots, days of blocks. By the calendar these are a
/// minute, an hour and a day; while tests shorten the day, a second, a day and a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageCalendar {
    pub slot_ms: u64,
    pub block_ms: u64,
    pub day_ms: u64,
    /// What a clock in China is ahead of UTC. Whole slots.
    pub ahead_ms: u64,
}

impl UsageCalendar {
    /// `day_ms` is how long a day is taken to be, in whole seconds.
    pub fn new(day_ms: u64) -> UsageCalendar {
        let day_ms = day_ms.max(1000);
        let (slot_ms, block_ms) = match day_ms >= DAY_MS {
            true => (60_000, 3_600_000),
            false => (1000, day_ms),
        };
        let midnight = Calendar::new(day_ms, UTC_OFFSET_S).last_midnight(day_ms);
        let ahead_ms = (day_ms - midnight) % day_ms;
        UsageCalendar { slot_ms, block_ms, day_ms, ahead_ms: ahead_ms - ahead_ms % slot_ms }
    }

    /// When the slot begins that a moment is in.
    pub fn slot(&self, ms: u64) -> u64 {
        ms - ms % self.slot_ms
    }

    /// The same for the block.
    pub fn block(&self, ms: u64) -> u64 {
        let local = ms.saturating_add(self.ahead_ms);
        (local - local % self.block_ms).saturating_sub(self.ahead_ms)
    }

    /// Number of the day that a moment is in: days after the first of January 1970.
    pub fn day(&self, ms: u64) -> u64 {
        ms.saturating_add(self.ahead_ms) / self.day_ms
    }

    /// When a day begins.
    pub fn day_begin(&self, day: u64) -> u64 {
        day.saturating_mul(self.day_ms).saturating_sub(self.ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2018-01-01T00:00:00Z
    const NEW_YEAR: u64 = 1_514_764_800_000;
    const HOUR: u64 = 3_600_000;

    #[test]
    fn days_are_those_of_china() {
        let calendar = UsageCalendar::new(DAY_MS);
        let midnight = NEW_YEAR + 16 * HOUR;
        assert_eq!(calendar.day(midnight - 1) + 1, calendar.day(midnight));
        assert_eq!(calendar.day(midnight - 1), NEW_YEAR / DAY_MS);
        assert_eq!(calendar.day_begin(calendar.day(midnight)), midnight);
        assert_eq!(calendar.block(midnight + HOUR - 1), midnight);
        assert_eq!(calendar.slot(midnight + 59_999), midnight);
    }

    #[test]
    fn blocks_and_slots_never_cross_a_midnight() {
        for seconds in [1, 2, 3, 7, 10, 25, 100, 3600, 5000, 86_399, 86_400] {
            let calendar = UsageCalendar::new(seconds * 1000);
            for ms in (NEW_YEAR..NEW_YEAR + 2 * calendar.day_ms).step_by(997.max(seconds as usize))
            {
                let begin = calendar.day_begin(calendar.day(ms));
                assert!(begin <= calendar.block(ms), "{calendar:?}");
                assert!(calendar.block(ms) <= calendar.slot(ms), "{calendar:?}");
                assert!(calendar.slot(ms) <= ms && ms < begin + calendar.day_ms, "{calendar:?}");
            }
        }
    }
}
