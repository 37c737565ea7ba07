//! What a bucket has used, day by day.

use costrel_core::Error;
use costrel_core::bill::{Month, date, quantities};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::{Answered, Asked, CloudFailure, object};
use super::asked;

pub(super) fn by_date<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (start, end) = (asked::day(asked, "StartDate")?, asked::day(asked, "EndDate")?);
        if end < start || Month::of_day(start) != Month::of_day(end) {
            let want = "a day of the month of StartDate, and not before it";
            return Err(CloudFailure::Unwanted { parameter: "EndDate", want });
        }
        let name = asked.call.required("BucketName")?;
        let days = asked.store.days_used(name, (start, end)).await?;
        if days.is_empty() {
            // One that is gone has used something, if it is meant.
            match asked.store.bucket(name).await {
                Ok(_) => {}
                Err(Error::NoSuchBucket) => {
                    let want = "the whole name of a bucket";
                    return Err(CloudFailure::Unwanted { parameter: "BucketName", want });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut sets: Vec<Value> = Vec::new();
        for day in days {
            let on = date(day.day);
            for quantity in quantities(&day) {
                let item = quantity.item;
                sets.push(json!({
                    "BucketName": name,
                    "DosageBeginTime": format!("{on} 00:00:00"),
                    "DosageEndTime": format!("{on} 23:59:59"),
                    "SubProductCodeName": item.product(),
                    "BillingItemCodeName": item.name(),
                    "DosageValue": quantity.used().to_string(),
                    "Unit": item.kind.unit().name,
                }));
            }
        }
        Ok(object([("DetailSets", sets.into())]))
    })
}
