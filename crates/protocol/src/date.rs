//! The forms of a point in time that the dialects read and write. Inside, time
//! is milliseconds since 1970 in UTC.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use costrel_core::civil::{SECOND_MAX, days_from_civil};
pub use costrel_core::civil::{iso_ms, iso_ms_into, iso_seconds};
use http::HeaderValue;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// `Tue, 19 Nov 2019 16:00:00 GMT`, for `Date`, `Last-Modified` and their like.
/// A thread keeps the last one it made: answers of one second share it.
pub fn http_date(unix_ms: u64) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
    }
    let second = (unix_ms / 1000).min(SECOND_MAX);
    LAST.with_borrow_mut(|last| match last {
        Some((kept, value)) if *kept == second => value.clone(),
        _ => {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            let value = HeaderValue::try_from(text).expect("a date is plain ASCII");
            *last = Some((second, value.clone()));
            value
        }
    })
}

/// Reads RFC 1123, RFC 850 and asctime dates; anything else, and years before
/// 1970, is `None`. RFC 9110 tells servers to ignore conditions with such dates.
pub fn parse_http(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Reads `YYYY-MM-DDTHH:MM:SS`, with a fraction of any length or without, and
/// with `Z`, an offset like `+08:00`, or nothing (UTC). `None` for anything
/// else, for dates that do not exist and for times before 1970.
pub fn parse_iso(text: &str) -> Option<u64> {
    let bytes = text.trim().as_bytes();
    let (main, rest) = bytes.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, b)| main[*at] != *b) {
        return None;
    }
    let year = digits(&main[0..4])?;
    let (month, day) = (digits(&main[5..7])?, digits(&main[8..10])?);
    let (hour, minute, second) =
        (digits(&main[11..13])?, digits(&main[14..16])?, digits(&main[17..19])?);
    // Second 60 is a leap second; it counts as the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    let (millisecond, zone) = fraction(rest)?;
    let offset_minutes = offset(zone)?;
    let of_day = ((hour * 60 + minute - offset_minutes) * 60 + second) * 1000 + millisecond;
    u64::try_from(days * DAY_MS + of_day).ok()
}

/// The milliseconds of a leading fraction, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let (fraction, rest) = text.split_at(count);
    let mut millisecond = 0;
    for place in 0..3 {
        let digit = fraction.get(place).map_or(0, |b| i64::from(b - b'0'));
        millisecond = millisecond * 10 + digit;
    }
    Some((millisecond, rest))
}

/// Minutes that local time is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"" | b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), clock @ ..] => {
            let (hour, minute) = match clock {
                [a, b, b':', c, d] | [a, b, c, d] => (digits(&[*a, *b])?, digits(&[*c, *d])?),
                _ => return None,
            };
            if hour > 23 || minute > 59 {
                return None;
            }
            let ahead = hour * 60 + minute;
            Some(if *sign == b'+' { ahead } else { -ahead })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use costrel_core::civil::civil_from_days;

    use super::*;

    #[test]
    fn writes_the_services_forms() {
        let at = 1_574_179_200_123;
        assert_eq!(http_date(at), "Tue, 19 Nov 2019 16:00:00 GMT");
        assert_eq!(http_date(at + 800), http_date(at));
        assert_eq!(http_date(at + 1000), "Tue, 19 Nov 2019 16:00:01 GMT");
        assert_eq!(iso_ms(at), "2019-11-19T16:00:00.123Z");
        assert_eq!(iso_seconds(at), "2019-11-19T16:00:00Z");
        assert_eq!(iso_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso_ms(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(iso_seconds(u64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn reads_the_three_http_forms() {
        let want = Some(784_111_777_000);
        assert_eq!(parse_http("Sun, 06 Nov 1994 08:49:37 GMT"), want);
        assert_eq!(parse_http("Sunday, 06-Nov-94 08:49:37 GMT"), want);
        assert_eq!(parse_http("Sun Nov  6 08:49:37 1994"), want);
        for bad in ["", "yesterday", "Sun, 06 Nov 1994", "Sun, 31 Feb 1994 08:49:37 GMT"] {
            assert_eq!(parse_http(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_iso_with_and_without_fraction_and_offset() {
        let want = Some(1_567_154_292_000);
        for text in [
            "2019-08-30T08:38:12Z",
            "2019-08-30T08:38:12",
            "2019-08-30T08:38:12.000Z",
            "2019-08-30T16:38:12+08:00",
            "2019-08-30T16:38:12+0800",
            "2019-08-30T07:38:12.0-01:00",
        ] {
            assert_eq!(parse_iso(text), want, "{text}");
        }
        assert_eq!(parse_iso("2019-08-30T08:38:12.414159Z"), Some(1_567_154_292_414));
        assert_eq!(parse_iso("2019-08-30T08:38:12.4Z"), Some(1_567_154_292_400));
        for bad in [
            "",
            "2019-08-30",
            "2019-02-29T00:00:00Z",
            "2019-13-01T00:00:00Z",
            "2019-00-01T00:00:00Z",
            "2019-01-00T00:00:00Z",
            "2019-01-01T24:00:00Z",
            "2019-01-01T00:00:00.Z",
            "2019-01-01T00:00:00+8",
            "2019-01-01T00:00:00 GMT",
            "1969-12-31T23:59:59Z",
            "2019-01-0éT00:00:00Z",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..146_097 {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, i64::from(month), i64::from(date)), Some(day));
            let ms = (day * DAY_MS) as u64 + 86_399_999;
            assert_eq!(parse_iso(&iso_ms(ms)), Some(ms));
        }
    }
}
