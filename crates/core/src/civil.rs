//! Dates of the calendar, in UTC.

/// Year, month and day of a number of days after 1970-01-01.
///
/// Years are counted from March, so that the leap day is a year's last, and in
/// eras of 400 years, which all have 146,097 days.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// Last second that has a four-digit year.
pub const SECOND_MAX: u64 = 253_402_300_799;

/// `2020-12-10T03:37:30.000Z`
pub fn iso_ms(unix_ms: u64) -> String {
    let mut out = String::with_capacity(24);
    iso_ms_into(&mut out, unix_ms);
    out
}

/// `2020-12-10T03:37:30Z`, as in COS's list of buckets and its copy results.
pub fn iso_seconds(unix_ms: u64) -> String {
    iso_ms_into_array(unix_ms)[..19].iter().map(|b| *b as char).chain(['Z']).collect()
}

/// Like [`iso_ms`], appending.
pub fn iso_ms_into(out: &mut String, unix_ms: u64) {
    let text = iso_ms_into_array(unix_ms);
    out.push_str(std::str::from_utf8(&text).expect("digits and punctuation are ASCII"));
}

fn iso_ms_into_array(unix_ms: u64) -> [u8; 24] {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let second = (unix_ms / 1000).min(SECOND_MAX);
    let (year, month, day) = civil_from_days((second / 86_400) as i64);
    let of_day = (second % 86_400) as u32;
    put_digits(&mut text[0..4], year as u32);
    put_digits(&mut text[5..7], month);
    put_digits(&mut text[8..10], day);
    put_digits(&mut text[11..13], of_day / 3600);
    put_digits(&mut text[14..16], of_day / 60 % 60);
    put_digits(&mut text[17..19], of_day % 60);
    put_digits(&mut text[20..23], (unix_ms % 1000) as u32);
    text
}

fn put_digits(place: &mut [u8], mut value: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The inverse of [`civil_from_days`]; `None` for a day that does not exist.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    let from_march = year - i64::from(month <= 2);
    let era = from_march.div_euclid(400);
    let year_of_era = from_march.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    (civil_from_days(days) == (year, month as u32, day as u32)).then_some(days)
}

/// A moment by the calendar and the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

impl Civil {
    pub fn of_ms(unix_ms: u64) -> Civil {
        let second = unix_ms / 1000;
        let (year, month, day) = civil_from_days((second / 86_400) as i64);
        let of_day = (second % 86_400) as u32;
        Civil {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}
