//! A bill as a file: RFC 4180, UTF-8, one line for each charge.

use costrel_core::bill::{Bill, Entry, TIME_SPAN, date};
use serde_json::{Map, Value};

pub const HEAD: &str = "Month,State,PriceBook,Currency,Day,Bucket,Region,Tags,Product,Item,\
     ItemCode,SinglePrice,PriceUnit,UsedAmount,UsedAmountUnit,TimeSpan,TimeUnit,Cost\r\n";

/// An entry's lines.
pub fn lines(bill: &Bill, entry: &Entry) -> String {
    let (month, day, bucket) = (bill.month.to_string(), date(entry.day), &*entry.bucket);
    let state = if bill.is_final() { "final" } else { "estimate" };
    let tags: Map<String, Value> =
        bucket.tags.iter().map(|tag| (tag.name.clone(), tag.value.as_str().into())).collect();
    let tags = if tags.is_empty() { String::new() } else { Value::Object(tags).to_string() };
    let mut text = String::new();
    for charge in &entry.charges {
        let (item, unit) = (charge.item, charge.item.kind.unit().name);
        let (time_unit, per_time) = match item.kind.is_by_time() {
            true => ("day", "/day"),
            false => ("", ""),
        };
        let fields = [
            &month,
            state,
            &bill.book,
            &bill.currency,
            &day,
            &bucket.name,
            &bucket.region,
            &tags,
            &item.product(),
            &item.name(),
            &item.code(),
            &charge.price.to_string(),
            &format!("{}/{unit}{per_time}", bill.currency),
            &charge.used.to_string(),
            unit,
            TIME_SPAN,
            time_unit,
            &charge.cost().to_string(),
        ];
        let fields: Vec<String> = fields.into_iter().map(quoted).collect();
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

/// In quotes if it has to be.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_it_takes_that() {
        for (field, written) in [
            ("", ""),
            ("plain text; no more", "plain text; no more"),
            ("10,000 requests", "\"10,000 requests\""),
            ("{\"a\":\"b\"}", "\"{\"\"a\"\":\"\"b\"\"}\""),
            ("a\r\nb", "\"a\r\nb\""),
        ] {
            assert_eq!(quoted(field), written);
        }
        assert_eq!(HEAD.matches(',').count(), 17);
    }
}
