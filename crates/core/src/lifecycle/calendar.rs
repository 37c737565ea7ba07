//! Days, which tests shorten.

/// A real day in milliseconds.
pub const DAY_MS: u64 = 86_400_000;

/// When things that are counted in days happen: at midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    day_ms: u64,
    /// What a clock at this place is ahead of UTC.
    ahead_ms: u64,
}

impl Calendar {
    /// `day_ms` is how long a day is taken to be; the place's distance from UTC
    /// shrinks with it.
    pub fn new(day_ms: u64, utc_offset_s: u32) -> Calendar {
        let day_ms = day_ms.max(1);
        let ahead = u128::from(utc_offset_s) * 1000 * u128::from(day_ms) / u128::from(DAY_MS);
        Calendar { day_ms, ahead_ms: ahead as u64 % day_ms }
    }

    /// The first midnight when so many whole days have passed.
    pub fn after_days(&self, since_ms: u64, days: u32) -> u64 {
        let passed = since_ms.saturating_add(u64::from(days).saturating_mul(self.day_ms));
        let local = passed.saturating_add(self.ahead_ms);
        let midnight = local.div_ceil(self.day_ms).saturating_mul(self.day_ms);
        midnight.saturating_sub(self.ahead_ms)
    }

    /// The number of the day of a moment at that place, from 1970 on.
    pub fn day(&self, at_ms: u64) -> i64 {
        (at_ms.saturating_add(self.ahead_ms) / self.day_ms) as i64
    }

    /// The last midnight until now.
    pub fn last_midnight(&self, now_ms: u64) -> u64 {
        let local = now_ms.saturating_add(self.ahead_ms);
        (local - local % self.day_ms).saturating_sub(self.ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    /// 2018-01-01T00:00:00Z
    const NEW_YEAR: u64 = 1_514_764_800_000;

    #[test]
    fn days_end_at_midnight() {
        let utc = Calendar::new(DAY_MS, 0);
        let noon = NEW_YEAR + 12 * HOUR;
        assert_eq!(utc.after_days(noon, 1), NEW_YEAR + 2 * DAY_MS);
        assert_eq!(utc.after_days(noon, 0), NEW_YEAR + DAY_MS);
        assert_eq!(utc.after_days(NEW_YEAR, 3), NEW_YEAR + 3 * DAY_MS);
        assert_eq!(utc.last_midnight(noon), NEW_YEAR);
        assert_eq!(utc.last_midnight(NEW_YEAR), NEW_YEAR);
    }

    #[test]
    fn cos_has_its_midnight_in_china() {
        let china = Calendar::new(DAY_MS, 8 * 3600);
        // Five minutes before midnight of the second of January there.
        let written = NEW_YEAR + 16 * HOUR - 300_000;
        assert_eq!(china.after_days(written, 0), NEW_YEAR + 16 * HOUR);
        assert_eq!(china.after_days(written, 1), NEW_YEAR + DAY_MS + 16 * HOUR);
        assert_eq!(china.last_midnight(written), NEW_YEAR - 8 * HOUR);
    }

    #[test]
    fn short_days_and_long_times() {
        let short = Calendar::new(10_000, 8 * 3600);
        assert_eq!(short.after_days(6_667, 0), 6_667);
        assert_eq!(short.after_days(6_668, 1), 26_667);
        assert_eq!(short.last_midnight(16_666), 6_667);
        let far = Calendar::new(DAY_MS, 0).after_days(u64::MAX - 5, u32::MAX);
        assert!(far > u64::MAX - DAY_MS);
    }
}
