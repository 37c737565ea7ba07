//! When reports are due.
//!
//! The first one as soon as it is wanted, the others at the midnights that the service
//! has. Days are those of the store, which tests shorten: they are numbered from 1970 on,
//! and weeks and months are those of the days of that number.

use super::{Form, Frequency, Inventory};
use crate::civil::civil_from_days;
use crate::lifecycle::Calendar;

/// COS's days end in China.
pub(super) const COS_AHEAD_S: u32 = 8 * 3600;

impl Inventory {
    /// Whether a report is due when the last one was begun then.
    pub(super) fn is_due(&self, last_ms: Option<u64>, now_ms: u64, day_ms: u64) -> bool {
        if !self.enabled {
            return false;
        }
        // One that was begun by a clock that was ahead would keep all others away.
        let ahead_ms = if self.frequency() == Frequency::Once { u64::MAX } else { day_ms };
        let is_past = |last_ms: &u64| *last_ms <= now_ms.saturating_add(ahead_ms);
        let Some(last_ms) = last_ms.filter(is_past) else { return true };
        let calendar = self.calendar(day_ms);
        let day = calendar.day(now_ms);
        let from = match self.frequency() {
            // It is gone when it is done.
            Frequency::Once => return false,
            Frequency::Daily => day,
            // The day of number 0 was a Thursday.
            Frequency::Weekly => day - (day + 4) % 7,
            Frequency::Monthly => {
                let is_wanted = |day: &i64| {
                    let (this, next) = (civil_from_days(*day).2, civil_from_days(*day + 1).2);
                    this == self.month_day || (next == 1 && self.month_day > this)
                };
                (day - 31..=day).rev().find(is_wanted).unwrap_or(day)
            }
        };
        calendar.day(last_ms) < from
    }
}

impl Inventory {
    /// When a report may be due again, if none is now.
    pub(super) fn rests_until_ms(&self, now_ms: u64, day_ms: u64) -> u64 {
        match self.enabled {
            true => self.calendar(day_ms).after_days(now_ms.saturating_add(1), 0),
            false => u64::MAX,
        }
    }

    fn calendar(&self, day_ms: u64) -> Calendar {
        let ahead_s = match self.form() {
            Form::Cos => COS_AHEAD_S,
            Form::S3 => 0,
        };
        Calendar::new(day_ms, ahead_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;
    /// Thursday, 2026-01-01T00:00:00Z
    const NEW_YEAR: u64 = 1_767_225_600_000;

    fn due(form: Form, frequency: Frequency, month_day: u32) -> impl Fn(u64, u64) -> bool {
        let inventory = Inventory {
            enabled: true,
            form: form as u32,
            frequency: frequency as u32,
            month_day,
            ..Default::default()
        };
        move |last, now| inventory.is_due(Some(NEW_YEAR + last), NEW_YEAR + now, DAY)
    }

    #[test]
    fn the_first_comes_at_once() {
        let mut inventory = Inventory { enabled: true, ..Default::default() };
        assert!(inventory.is_due(None, NEW_YEAR, DAY));
        assert!(!inventory.is_due(Some(NEW_YEAR), NEW_YEAR + 40 * DAY, DAY), "only once");
        inventory.enabled = false;
        assert!(!inventory.is_due(None, NEW_YEAR, DAY));
    }

    #[test]
    fn days_end_at_the_services_midnight() {
        let s3 = due(Form::S3, Frequency::Daily, 0);
        assert!(!s3(0, DAY - 1));
        assert!(s3(DAY - 1, DAY));
        let cos = due(Form::Cos, Frequency::Daily, 0);
        assert!(!cos(0, 16 * HOUR - 1));
        assert!(cos(0, 16 * HOUR));
    }

    #[test]
    fn weeks_begin_on_sunday() {
        let weekly = due(Form::S3, Frequency::Weekly, 0);
        assert!(!weekly(0, 3 * DAY - 1));
        assert!(weekly(0, 3 * DAY));
        assert!(!weekly(3 * DAY, 10 * DAY - 1));
        assert!(weekly(3 * DAY, 10 * DAY));
        assert!(weekly(0, 5 * DAY), "a server that was down makes up for it");
    }

    #[test]
    fn months_have_their_day() {
        let tenth = due(Form::S3, Frequency::Monthly, 10);
        assert!(!tenth(0, 9 * DAY - 1));
        assert!(tenth(0, 9 * DAY));
        assert!(!tenth(9 * DAY, 40 * DAY - 1));
        assert!(tenth(9 * DAY, 40 * DAY));
        // The last of January, and of February.
        let last = due(Form::S3, Frequency::Monthly, 31);
        assert!(!last(0, 30 * DAY - 1));
        assert!(last(0, 30 * DAY));
        assert!(!last(30 * DAY, 58 * DAY - 1));
        assert!(last(30 * DAY, 58 * DAY));
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_no_report_away() {
        let daily = due(Form::S3, Frequency::Daily, 0);
        assert!(daily(400 * DAY, 10 * DAY));
        assert!(!daily(10 * DAY + HOUR, 10 * DAY));
        let once = due(Form::S3, Frequency::Once, 0);
        assert!(!once(400 * DAY, 10 * DAY));
    }

    #[test]
    fn nothing_is_due_before_the_next_midnight() {
        let mut inventory =
            Inventory { enabled: true, form: Form::Cos as u32, ..Default::default() };
        let rests = |inventory: &Inventory, after| {
            inventory.rests_until_ms(NEW_YEAR + after, DAY).saturating_sub(NEW_YEAR)
        };
        assert_eq!(rests(&inventory, 0), 16 * HOUR);
        assert_eq!(rests(&inventory, 16 * HOUR), 40 * HOUR);
        inventory.form = Form::S3 as u32;
        assert_eq!(rests(&inventory, 0), DAY);
        inventory.enabled = false;
        assert_eq!(rests(&inventory, 0), u64::MAX - NEW_YEAR);
    }

    #[test]
    fn short_days_are_days() {
        let weekly =
            Inventory { enabled: true, frequency: Frequency::Weekly as u32, ..Default::default() };
        // Days of a second; number 3 was a Sunday.
        assert!(!weekly.is_due(Some(3_000), 9_999, 1_000));
        assert!(weekly.is_due(Some(3_000), 10_000, 1_000));
    }
}
