//! What requests ask for: months, days, pages and filters.

use costrel_core::bill::{BillFilter, Month, PageOf, day_of_date};

use super::super::{Asked, CloudFailure};
use super::{
    ACTION_TYPE, ACTION_TYPE_ASKED, ACTION_TYPE_NAME, BUSINESS_CODE, PAY_MODE, PROJECT_ID,
};

const MONTH: &str = "a month like 2026-11";
const TIME: &str = "a time like 2026-11-28 00:00:00";

fn bad(parameter: &'static str, want: &'static str) -> CloudFailure {
    CloudFailure::Unwanted { parameter, want }
}

/// A month that has to be given.
pub(super) fn month(asked: &Asked<'_>, name: &'static str) -> Result<Month, CloudFailure> {
    Month::parse(asked.call.required(name)?).ok_or(bad(name, MONTH))
}

/// A day that has to be given.
pub(super) fn day(asked: &Asked<'_>, name: &'static str) -> Result<u64, CloudFailure> {
    day_of_date(asked.call.required(name)?).ok_or(bad(name, "a date like 2026-11-28"))
}

/// The month that a time is in: `2026-11-28 12:00:00`, `2026-11-28`.
fn month_of_time(text: &str) -> Option<Month> {
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let mut parts = time.split(':');
    let mut part = |max: u32| {
        let digits = parts.next().filter(|part| part.len() == 2)?;
        let is_number = digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.parse::<u32>().ok()).flatten().filter(|part| *part <= max)
    };
    for max in [23, 59, 59] {
        part(max)?;
    }
    parts.next().is_none().then(|| day_of_date(date).map(Month::of_day)).flatten()
}

/// `BeginTime` and `EndTime`, which are of one month and stand for all of it.
pub(super) fn span(asked: &Asked<'_>) -> Result<Month, CloudFailure> {
    let of = |name: &'static str| {
        let text = asked.call.required(name)?;
        Month::parse(text).or_else(|| month_of_time(text)).ok_or(bad(name, MONTH))
    };
    same(of("BeginTime")?, of("EndTime")?)
}

fn same(begin: Month, end: Month) -> Result<Month, CloudFailure> {
    match begin == end {
        true => Ok(begin),
        false => Err(bad("EndTime", "in the month of BeginTime")),
    }
}

/// `Month`, or `BeginTime` and `EndTime`, which win.
pub(super) fn month_or_span(asked: &Asked<'_>) -> Result<Month, CloudFailure> {
    let time = |name: &'static str| {
        let text = asked.call.text(name)?;
        text.map(|text| month_of_time(text).ok_or(bad(name, TIME))).transpose()
    };
    match (time("BeginTime")?, time("EndTime")?) {
        (Some(begin), Some(end)) => same(begin, end),
        (Some(_), None) => Err(CloudFailure::Missing("EndTime")),
        (None, Some(_)) => Err(CloudFailure::Missing("BeginTime")),
        (None, None) => month(asked, "Month"),
    }
}

/// Which of what is found is shown.
pub(super) fn page(
    asked: &Asked<'_>,
    limit_max: u64,
    want: &'static str,
) -> Result<PageOf, CloudFailure> {
    let number = |name: &'static str| {
        let number = asked.call.number(name)?.ok_or(CloudFailure::Missing(name))?;
        Ok::<_, CloudFailure>(u64::try_from(number).ok())
    };
    let offset = number("Offset")?.ok_or(bad("Offset", "0 or more"))?;
    let limit = number("Limit")?.filter(|limit| (1..=limit_max).contains(limit));
    let limit = limit.ok_or(bad("Limit", want))?;
    let counted = match asked.call.number("NeedRecordNum")? {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(bad("NeedRecordNum", "0 or 1")),
    };
    Ok(PageOf { offset, limit, counted })
}

/// What entries are to be shown.
pub(super) fn filter(asked: &Asked<'_>) -> Result<BillFilter, CloudFailure> {
    let call = asked.call;
    match call.text("PeriodType")? {
        None | Some("" | "byUsedTime") => {}
        // A day's charges would be the next day's, and so perhaps the next month's.
        Some("byPayTime") => {
            return Err(CloudFailure::Unsupported("PeriodType byPayTime"));
        }
        Some(_) => return Err(bad("PeriodType", "byUsedTime or byPayTime")),
    }
    payer(asked)?;
    let mut nothing = match call.text("PayMode")? {
        None | Some("" | PAY_MODE) => false,
        Some("prePay") => true,
        Some(_) => return Err(bad("PayMode", "prePay or postPay")),
    };
    let of = |name, known: &[&str]| {
        let text = call.text(name)?.filter(|text| !text.is_empty());
        Ok::<_, CloudFailure>(text.is_some_and(|text| !known.contains(&text)))
    };
    nothing |= of("BusinessCode", &[BUSINESS_CODE])?;
    nothing |= of("ActionType", &[ACTION_TYPE, ACTION_TYPE_NAME, ACTION_TYPE_ASKED])?;
    nothing |= call.number("ProjectId")?.is_some_and(|project| project != PROJECT_ID);
    let given = |name| {
        let text = call.text(name)?.filter(|text| !text.is_empty());
        Ok::<_, CloudFailure>(text.map(str::to_owned))
    };
    let tag = match (given("TagKey")?, given("TagValue")?) {
        (Some(key), value) => Some((key, value.unwrap_or_default())),
        (None, Some(_)) => return Err(CloudFailure::Missing("TagKey")),
        (None, None) => None,
    };
    Ok(BillFilter { nothing, bucket: given("ResourceId")?, tag })
}

/// Nobody's bills are here but the account's own.
pub(super) fn payer(asked: &Asked<'_>) -> Result<(), CloudFailure> {
    let account = asked.key.account.uin.to_string();
    match asked.call.text("PayerUin")? {
        None | Some("") => Ok(()),
        Some(uin) if uin == account => Ok(()),
        Some(_) => Err(bad("PayerUin", "the uin of the account")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let november = Month::parse("2026-11");
        assert_eq!(month_of_time("2026-11-01 00:00:00"), november);
        assert_eq!(month_of_time("2026-11-30 23:59:59"), november);
        assert_eq!(month_of_time("2026-11-30"), november);
        for bad in [
            "2026-11",
            "2026-11-31 00:00:00",
            "2026-11-30 24:00:00",
            "2026-11-30 00:60:00",
            "2026-11-30 00:00",
            "2026-11-30 00:00:00:00",
            "2026-11-30T00:00:00",
            "2026-11-30 +1:00:00",
            "",
        ] {
            assert_eq!(month_of_time(bad), None, "{bad}");
        }
    }
}
