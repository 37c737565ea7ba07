//! Months of the calendar, by the days that usage is kept for.

use std::fmt;
use std::ops::Range;

use crate::civil::{civil_from_days, days_from_civil};

/// A day is its number after 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u32,
    /// From 1.
    month: u32,
}

/// Years behind it do not exist: tests with short days get far.
const YEAR_MAX: u32 = 9_999_999;

impl Month {
    /// `2026-11`.
    pub fn parse(text: &str) -> Option<Month> {
        let (year, month) = text.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if year.len() < 4 || (year.len() > 4 && year.starts_with('0')) || month.len() != 2 {
            return None;
        }
        if !digits(year) || !digits(month) {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        ((1970..=YEAR_MAX).contains(&year) && (1..=12).contains(&month))
            .then_some(Month { year, month })
    }

    pub fn of_day(day: u64) -> Month {
        let (year, month, _) = civil_from_days(i64::try_from(day).unwrap_or(i64::MAX / 2));
        Month { year: u32::try_from(year).unwrap_or(YEAR_MAX).min(YEAR_MAX), month }
    }

    pub fn next(self) -> Month {
        match self.month {
            12 => Month { year: self.year + 1, month: 1 },
            month => Month { month: month + 1, ..self },
        }
    }

    /// None before the first there is.
    pub fn previous(self) -> Option<Month> {
        match self.month {
            1 if self.year == 1970 => None,
            1 => Some(Month { year: self.year - 1, month: 12 }),
            month => Some(Month { month: month - 1, ..self }),
        }
    }

    /// Its days, and the first behind them.
    pub fn days(self) -> Range<u64> {
        let first = |month: Month| {
            // Each month has a first day, none of them before 1970.
            days_from_civil(month.year.into(), month.month.into(), 1).unwrap_or_default() as u64
        };
        first(self)..first(self.next())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// `2026-11-28`.
pub fn date(day: u64) -> String {
    let (year, month, day) = civil_from_days(i64::try_from(day).unwrap_or(i64::MAX / 2));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day of `2026-11-28`.
pub fn day_of_date(text: &str) -> Option<u64> {
    let (month, day) = text.rsplit_once('-')?;
    let days = Month::parse(month)?.days();
    let of_month = match day.as_bytes() {
        [tens @ b'0'..=b'3', ones @ b'0'..=b'9'] => {
            u64::from(tens - b'0') * 10 + u64::from(ones - b'0')
        }
        _ => return None,
    };
    let day = days.start + of_month.checked_sub(1)?;
    days.contains(&day).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_their_days() {
        let month = |text| Month::parse(text).unwrap();
        for (text, first, count) in [
            ("1970-01", 0, 31),
            ("2024-02", 19_754, 29),
            ("2026-02", 20_485, 28),
            ("2026-11", 20_758, 30),
            ("2459000-07", 897_411_961, 31),
        ] {
            let days = month(text).days();
            assert_eq!((days.start, days.end - days.start), (first, count), "{text}");
            assert_eq!(Month::of_day(days.start), month(text));
            assert_eq!(Month::of_day(days.end - 1), month(text));
            assert_eq!(Month::of_day(days.end), month(text).next());
            assert_eq!(month(text).to_string(), text);
            assert_eq!(month(text).next().previous(), Some(month(text)));
        }
        assert_eq!(month("1970-01").previous(), None);
        for bad in ["", "2026", "2026-13", "2026-00", "2026-1", "26-01", "1969-12", "2026-011"] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
        for bad in ["02026-01", "-026-01", "2026-+1", "10000000-01", "２０２６-01"] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(date(20_785), "2026-11-28");
        assert_eq!(day_of_date("2026-11-28"), Some(20_785));
        assert_eq!(day_of_date("2024-02-29"), Some(19_782));
        for bad in ["2026-02-29", "2026-11-31", "2026-11-00", "2026-11-1", "2026-11", "2026-11-28 "]
        {
            assert_eq!(day_of_date(bad), None, "{bad}");
        }
    }
}
