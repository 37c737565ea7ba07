//! Points in time as policies write them: ISO 8601, or seconds since the epoch.

/// Milliseconds since the epoch. `2026-01-02`, `2026-01-02T03:04Z`,
/// `2026-01-02T03:04:05.678+08:00` or `1767323045`.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (number(date, 0, 4)?, number(date, 5, 7)?, number(date, 8, 10)?);
    let dashes = date.as_bytes()[4] == b'-' && date.as_bytes()[7] == b'-';
    if !dashes || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let midnight = days_from_epoch(year, month, day) * 86_400_000;
    if rest.is_empty() {
        return Some(midnight);
    }
    let clock = rest.strip_prefix('T')?;
    let (clock, offset_min) = split_zone(clock)?;
    Some(midnight + time_of_day(clock)? - offset_min * 60_000)
}

fn number(text: &str, from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A time of day and minutes ahead of UTC.
fn split_zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = clock.rfind(['+', '-'])?;
    let zone = clock.get(at + 1..)?;
    let minutes = number(zone, 0, 2)? * 60 + number(zone, zone.len().checked_sub(2)?, zone.len())?;
    let shaped = zone.len() == 4 || (zone.len() == 5 && zone.as_bytes()[2] == b':');
    let sign = if clock.as_bytes()[at] == b'-' { -1 } else { 1 };
    (shaped && minutes < 24 * 60).then_some((&clock[..at], sign * minutes))
}

/// Milliseconds since midnight.
fn time_of_day(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let seconds = match whole.len() {
        5 => 0,
        8 if whole.as_bytes()[5] == b':' => number(whole, 6, 8)?,
        _ => return None,
    };
    let (hours, minutes) = (number(whole, 0, 2)?, number(whole, 3, 5)?);
    let sane = whole.as_bytes()[2] == b':' && hours < 24 && minutes < 60 && seconds < 61;
    if !sane || !(1..=9).contains(&fraction.len()) || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + ms)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch in the Gregorian calendar, counted in years that begin
/// with March.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

pub(crate) fn format_iso(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) / 1000);
    let since = days + 719_468;
    let era = since.div_euclid(146_097);
    let of_era = since.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("1767323045", 1_767_323_045_000),
            ("2026-01-02T03:04:05Z", 1_767_323_045_000),
            ("2026-01-02T11:04:05.678+08:00", 1_767_323_045_678),
            ("2026-01-01T22:04:05-0500", 1_767_323_045_000),
            ("2024-02-29T00:00Z", 1_709_164_800_000),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "2023-02-29",
            "2026-13-01",
            "2026-01-02T24:00:00Z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-1-2",
            "2026-01-02T03:04:05.Z",
            "1234567890123",
            "٢٠٢٦-01-02",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for ms in (-10_000_000..3_000_000_000).step_by(86_399_777).map(|s: i64| s * 1000) {
            assert_eq!(parse(&format_iso(ms)), Some(ms));
        }
    }
}
