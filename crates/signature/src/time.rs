//! The spellings of time that signatures use. Times are Unix seconds.
//!
//! The library has no clock: callers pass `now`.

/// Last second of the year 9999, the end of what the formats can write.
pub(crate) const MAX: i64 = 253_402_300_799;
const DAY_S: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// `20130524T000000Z`, as SigV4 writes a time. Times outside the years
/// 1970–9999 are clamped.
pub fn iso_basic(time: i64) -> [u8; 16] {
    let (year, month, day, hour, minute, second) = civil(time);
    let mut out = *b"00000000T000000Z";
    put(&mut out[0..4], year);
    put(&mut out[4..6], month);
    put(&mut out[6..8], day);
    put(&mut out[9..11], hour);
    put(&mut out[11..13], minute);
    put(&mut out[13..15], second);
    out
}

/// `2013-05-24T00:00:00Z`. Clamped as [`iso_basic`].
pub fn iso_extended(time: i64) -> String {
    let (year, month, day, hour, minute, second) = civil(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `Fri, 24 May 2013 00:00:00 GMT`. Clamped as [`iso_basic`].
pub fn http_date(time: i64) -> String {
    let (year, month, day, hour, minute, second) = civil(time);
    let weekday = WEEKDAYS[((time.clamp(0, MAX) / DAY_S + 4) % 7) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads [`iso_basic`]'s form.
pub fn parse_iso_basic(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    if b.len() != 16 || b[8] != b'T' || b[15] != b'Z' {
        return None;
    }
    let date = (digits(&b[0..4])?, digits(&b[4..6])?, digits(&b[6..8])?);
    unix(date, (digits(&b[9..11])?, digits(&b[11..13])?, digits(&b[13..15])?))
}

/// Reads the dates HTTP allows (RFC 9110 section 5.6.7: IMF-fixdate, RFC 850,
/// asctime) and the `+0000` some S3 clients write for `GMT`. The day of the
/// week is not compared.
pub fn parse_http_date(text: &str) -> Option<i64> {
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let mut next = || words.next();
    let (_weekday, second) = (next()?, next()?);
    if let Some(month) = month(second) {
        // asctime: Sun Nov  6 08:49:37 1994
        let (day, clock, year) = (number(next()?)?, clock(next()?)?, number(next()?)?);
        return if next().is_none() { unix((year, month, day), clock) } else { None };
    }
    let (year, month, day) = match second.split_once('-') {
        // RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
        Some((day, rest)) => {
            let (name, year) = rest.split_once('-')?;
            let year = match (year.len(), number(year)?) {
                (2, year @ 0..=69) => 2000 + year,
                (2, year) => 1900 + year,
                (_, year) => year,
            };
            (year, month(name)?, number(day)?)
        }
        None => {
            let name = next()?;
            (number(next()?)?, month(name)?, number(second)?)
        }
    };
    let clock = clock(next()?)?;
    let offset = offset_s(next()?)?;
    if next().is_some() {
        return None;
    }
    Some(unix((year, month, day), clock)? - offset)
}

/// Reads `2015-12-30T12:00:00.000Z`, the expiration of a POST policy: fraction
/// optional and dropped, zone `Z` or `±hh:mm`.
pub fn parse_iso_extended(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    if b.len() < 20 || !text.is_ascii() {
        return None;
    }
    if b[4] != b'-' || b[7] != b'-' || b[10] != b'T' || b[13] != b':' || b[16] != b':' {
        return None;
    }
    let date = (digits(&b[0..4])?, digits(&b[5..7])?, digits(&b[8..10])?);
    let clock = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
    let mut zone = &text[19..];
    if let Some(fraction) = zone.strip_prefix('.') {
        let end = fraction.bytes().position(|c| !c.is_ascii_digit())?;
        if end == 0 {
            return None;
        }
        zone = &fraction[end..];
    }
    Some(unix(date, clock)? - if zone == "Z" { 0 } else { offset_s(zone)? })
}

/// Either of the two spellings a date header may have. What lies before 1970 is
/// no date to S3, however it is spelt.
pub(crate) fn parse_any(text: &str) -> Option<i64> {
    parse_iso_basic(text).or_else(|| parse_http_date(text)).filter(|time| *time >= 0)
}

fn month(name: &str) -> Option<i64> {
    MONTHS.iter().position(|m| m.eq_ignore_ascii_case(name)).map(|i| i as i64 + 1)
}

fn clock(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':').map(number);
    let clock = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(clock)
}

/// Seconds east of Greenwich.
fn offset_s(zone: &str) -> Option<i64> {
    if zone == "GMT" || zone == "UTC" {
        return Some(0);
    }
    let (sign, rest) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        4 => (rest.get(0..2)?, rest.get(2..4)?),
        5 => rest.split_once(':')?,
        _ => return None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn number(text: &str) -> Option<i64> {
    if text.len() > 4 { None } else { digits(text.as_bytes()) }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

fn put(out: &mut [u8], mut value: i64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Calendar to Unix seconds, by counting days from a March-based year
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn unix((year, month, day): (i64, i64, i64), (h, m, s): (i64, i64, i64)) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=length).contains(&day) || h > 23 || m > 59 || s > 60 {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) * DAY_S + h * 3600 + m * 60 + s)
}

/// The inverse: (year, month, day, hour, minute, second).
fn civil(time: i64) -> (i64, i64, i64, i64, i64, i64) {
    let time = time.clamp(0, MAX);
    let (days, second) = (time / DAY_S + 719_468, time % DAY_S);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAY_24: i64 = 1_369_353_600;

    #[test]
    fn every_spelling_of_one_moment() {
        assert_eq!(iso_basic(MAY_24), *b"20130524T000000Z");
        assert_eq!(http_date(MAY_24), "Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(parse_iso_basic("20130524T000000Z"), Some(MAY_24));
        for text in [
            "Fri, 24 May 2013 00:00:00 GMT",
            "Fri, 24 May 2013 00:00:00 +0000",
            "Fri, 24 May 2013 02:00:00 +0200",
            "Friday, 24-May-13 00:00:00 GMT",
            "Fri May 24 00:00:00 2013",
        ] {
            assert_eq!(parse_http_date(text), Some(MAY_24), "{text}");
        }
        for text in
            ["2013-05-24T00:00:00Z", "2013-05-24T00:00:00.123Z", "2013-05-24T01:00:00+01:00"]
        {
            assert_eq!(parse_iso_extended(text), Some(MAY_24), "{text}");
        }
    }

    #[test]
    fn written_times_are_read_back() {
        for time in
            (0..MAX).step_by(86_400 * 97 + 12_345).chain([0, MAX, 951_782_400, 4_107_542_399])
        {
            let text = String::from_utf8(iso_basic(time).to_vec()).unwrap();
            assert_eq!(parse_iso_basic(&text), Some(time), "{text}");
            assert_eq!(parse_http_date(&http_date(time)), Some(time));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "20130524",
            "20130230T000000Z",
            "20131324T000000Z",
            "20130524T240000Z",
            "2013052éT00000Z",
        ] {
            assert_eq!(parse_iso_basic(text), None, "{text}");
        }
        for text in [
            "",
            "Fri",
            "Fri, 24 Foo 2013 00:00:00 GMT",
            "Fri, 24 May 2013 00:00 GMT",
            "Fri, 24 May 2013 00:00:00 CET",
            "Fri, 24 May 2013 00:00:00 +é1",
            "Fri, 24-May 00:00:00 GMT",
        ] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
        for text in [
            "2013-05-24",
            "2013-05-24T00:00:00",
            "2013-05-24 00:00:00Z",
            "2013-05-24T00:00:00.Z",
            "2013-05-24T00:00:00éé",
        ] {
            assert_eq!(parse_iso_extended(text), None, "{text}");
        }
    }

    #[test]
    fn times_outside_the_calendar_are_clamped() {
        assert_eq!(iso_basic(i64::MIN), *b"19700101T000000Z");
        assert_eq!(iso_basic(i64::MAX), *b"99991231T235959Z");
    }
}
