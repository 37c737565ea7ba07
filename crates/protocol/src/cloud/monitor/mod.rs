//! Monitor: series of what buckets hold and of what their requests do.
//!
//! Source: the API documents of the service, version 2018-07-24, and its page of COS's
//! metrics. Times without a distance from UTC are China's.

mod metrics;

use std::collections::BTreeMap;

use costrel_core::usage::Series;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{Action, Answer, Answered, Asked, CloudFailure, Service, not_yet, object};
use crate::date;
use metrics::{METRICS, Measure, Metric};

pub(super) const SERVICE: Service = Service {
    name: "monitor",
    version: "2018-07-24",
    actions: &[
        Action {
            name: "GetMonitorData",
            permission: Some("name/monitor:GetMonitorData"),
            parameters: &[
                "Namespace",
                "MetricName",
                "Instances",
                "Period",
                "StartTime",
                "EndTime",
                "SpecifyStatistics",
            ],
            answer: Answer::Signed(get_monitor_data),
        },
        Action {
            name: "DescribeBaseMetrics",
            permission: Some("name/monitor:DescribeBaseMetrics"),
            parameters: &["Namespace", "MetricName", "Dimensions"],
            answer: Answer::Signed(describe_base_metrics),
        },
        not_yet("DescribeStatisticData"),
        not_yet("PutMonitorData"),
    ],
};

const NAMESPACE: &str = "QCE/COS";
const DIMENSIONS: [&str; 2] = ["appid", "bucket"];
const INSTANCES_MAX: usize = 10;
const PERIOD_S: u64 = 300;
const CHINA_MS: u64 = 8 * 3_600_000;
const DAY_S: u64 = 86_400;

/// Periods that one answer may be of.
const POINTS_MAX: u64 = 1440;

/// How long a span may be at a period, and how old, in seconds.
fn bounds(period_s: u64) -> (u64, u64) {
    let age_s = match period_s {
        60 => 15 * DAY_S,
        300 => 31 * DAY_S,
        _ => 93 * DAY_S,
    };
    (age_s.min(POINTS_MAX * period_s), age_s)
}

fn namespace(asked: &Asked<'_>) -> Result<(), CloudFailure> {
    match asked.call.required("Namespace")? {
        name if name.eq_ignore_ascii_case(NAMESPACE) => Ok(()),
        _ => Err(CloudFailure::InvalidValue("Namespace: only QCE/COS is here")),
    }
}

fn describe_base_metrics<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async { base_metrics(asked) })
}

fn base_metrics(asked: &Asked<'_>) -> Answered {
    namespace(asked)?;
    let name = asked.call.text("MetricName")?.filter(|name| !name.is_empty());
    if let Some(name) = name
        && Metric::find(name).is_none()
    {
        return Err(CloudFailure::InvalidValue("MetricName: there is no such metric"));
    }
    let dimensions = asked.call.tree("Dimensions")?;
    let wanted = dimensions.as_array().map(Vec::as_slice).unwrap_or_default();
    let are_ours =
        wanted.iter().all(|one| one.as_str().is_some_and(|one| DIMENSIONS.contains(&one)));
    let found = METRICS.iter().filter(|metric| are_ours && name.is_none_or(|n| n == metric.name));
    let set: Vec<Value> = found.map(described).collect();
    Ok(object([("MetricSet", set.into())]))
}

fn described(metric: &Metric) -> Value {
    let periods = metric.periods();
    let kinds: Vec<Value> = periods
        .iter()
        .map(|period| json!({ "Period": period.to_string(), "StatType": [metric.statistic()] }))
        .collect();
    json!({
        "Namespace": NAMESPACE,
        "MetricName": metric.name,
        "MetricEName": metric.english,
        "MetricCName": metric.english,
        "Unit": metric.unit,
        "UnitCname": metric.unit,
        "Period": periods,
        "Periods": kinds,
        "Meaning": { "En": metric.english, "Zh": metric.english },
        "Dimensions": [{ "Dimensions": DIMENSIONS }],
    })
}

fn get_monitor_data<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(monitor_data(asked))
}

/// What is asked for, of each instance.
struct Span {
    period_s: u64,
    /// Beginnings of the first and the last period.
    from_ms: u64,
    to_ms: u64,
}

impl Span {
    /// When the period begins that a moment is in.
    fn period(&self, ms: u64) -> u64 {
        let period_ms = self.period_s * 1000;
        (ms + CHINA_MS - (ms + CHINA_MS) % period_ms).saturating_sub(CHINA_MS)
    }

    fn of(asked: &Asked<'_>, metric: &Metric) -> Result<Span, CloudFailure> {
        let period = asked.call.number("Period")?.unwrap_or(PERIOD_S as i64);
        let known = u64::try_from(period).ok().filter(|period| metric.periods().contains(period));
        let period_s =
            known.ok_or(CloudFailure::InvalidValue("Period: not one of the metric's"))?;
        let mut span = Span { period_s, from_ms: 0, to_ms: 0 };
        let now_ms = asked.now_ms;
        let time = |name: &'static str| {
            let text = asked.call.text(name)?.filter(|text| !text.is_empty());
            text.map(|text| parse_time(text).ok_or(CloudFailure::InvalidValue(name))).transpose()
        };
        let today_ms = Span { period_s: DAY_S, ..span }.period(now_ms);
        let end_ms = time("EndTime")?.unwrap_or(now_ms);
        let (span_s, age_s) = bounds(period_s);
        let start_ms = time("StartTime")?
            .unwrap_or_else(|| today_ms.max(end_ms.saturating_sub(span_s * 1000)).min(end_ms));
        if end_ms < start_ms {
            return Err(CloudFailure::InvalidValue("EndTime: before StartTime"));
        }
        if end_ms - start_ms > span_s * 1000 {
            return Err(CloudFailure::InvalidValue("StartTime: the span is too long for Period"));
        }
        if now_ms.saturating_sub(start_ms) > age_s * 1000 {
            return Err(CloudFailure::InvalidValue("StartTime: too long ago for Period"));
        }
        (span.from_ms, span.to_ms) = (span.period(start_ms), span.period(end_ms));
        Ok(span)
    }
}

async fn monitor_data(asked: &Asked<'_>) -> Answered {
    namespace(asked)?;
    let name = asked.call.required("MetricName")?;
    let metric = Metric::find(name)
        .ok_or(CloudFailure::InvalidValue("MetricName: there is no such metric"))?;
    if asked.call.number("SpecifyStatistics")?.is_some_and(|mask| mask != 0) {
        return Err(CloudFailure::Unsupported("SpecifyStatistics"));
    }
    let span = Span::of(asked, metric)?;
    let tree = asked.call.tree("Instances")?;
    let instances = tree.as_array().ok_or(CloudFailure::Missing("Instances"))?;
    if instances.is_empty() {
        return Err(CloudFailure::Missing("Instances"));
    }
    if instances.len() > INSTANCES_MAX {
        return Err(CloudFailure::InvalidValue("Instances: more than 10"));
    }
    let mut points = Vec::new();
    for instance in instances {
        let bucket = bucket_of(asked, instance)?;
        let series = async {
            let to_ms = span.to_ms + span.period_s * 1000;
            asked.store.usage_series(&bucket, (span.from_ms, to_ms), |at| span.period(at)).await
        };
        let found = values(metric, &series.await?, &span, asked.now_ms);
        let (timestamps, values): (Vec<u64>, Vec<f64>) =
            found.into_iter().map(|(at, value)| (at / 1000, value)).unzip();
        points.push(json!({
            "Dimensions": instance.get("Dimensions"),
            "Timestamps": timestamps,
            "Values": values,
        }));
    }
    Ok(object([
        ("Period", span.period_s.into()),
        ("MetricName", metric.name.into()),
        ("DataPoints", points.into()),
        ("StartTime", china_time(span.from_ms).into()),
        ("EndTime", china_time(span.to_ms).into()),
    ]))
}

/// The bucket of an instance. Whether it is there plays no part: of one that is not, or
/// no longer, there is what was counted.
fn bucket_of(asked: &Asked<'_>, instance: &Value) -> Result<String, CloudFailure> {
    let bad = || CloudFailure::InvalidValue("Instances: each has the dimensions appid and bucket");
    let dimensions = instance.get("Dimensions").and_then(Value::as_array).ok_or_else(bad)?;
    let (mut appid, mut bucket) = (None, None);
    for dimension in dimensions {
        let value = dimension.get("Value").and_then(Value::as_str).ok_or_else(bad)?;
        match dimension.get("Name").and_then(Value::as_str) {
            Some("appid") => appid = Some(value),
            Some("bucket") => bucket = Some(value),
            _ => return Err(bad()),
        }
    }
    let (appid, bucket) = appid.zip(bucket).ok_or_else(bad)?;
    match appid == asked.key.account.appid.to_string() {
        true => Ok(bucket.to_owned()),
        false => Err(CloudFailure::Denied("an appid of another account")),
    }
}

/// What the metric says of each period of which it says something.
fn values(metric: &Metric, series: &Series, span: &Span, now_ms: u64) -> BTreeMap<u64, f64> {
    let mut values = BTreeMap::new();
    match metric.measure {
        Measure::Count(count) => {
            for (at, figures) in &series.figures {
                values.insert(*at, count(figures, metric.of) as f64);
            }
        }
        Measure::Share(count) => {
            for (at, figures) in &series.figures {
                let all: u64 = figures.statuses.iter().map(|known| known.requests).sum();
                if all > 0 {
                    let some = count(figures, metric.of);
                    values.insert(*at, some as f64 * 100.0 / all as f64);
                }
            }
        }
        Measure::Amount(amount, unit) => {
            if series.before.is_empty() && series.changes.is_empty() {
                return values;
            }
            let mut at = span.from_ms;
            let mut changes = series.changes.iter().peekable();
            let mut held = &series.before;
            while at <= span.to_ms && at <= now_ms {
                let end_ms = at + span.period_s * 1000;
                while let Some((_, next)) = changes.next_if(|(changed, _)| **changed < end_ms) {
                    held = next;
                }
                values.insert(at, amount(held, metric.of) as f64 / f64::from(unit));
                at = end_ms;
            }
        }
    }
    values
}

/// `2018-09-22T19:51:23+08:00`, `2018-09-22 19:51:23`.
fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim().replacen(' ', "T", 1);
    match text.len() {
        19 => date::parse_iso(&[&text, "+08:00"].concat()),
        _ => date::parse_iso(&text),
    }
}

fn china_time(ms: u64) -> String {
    let text = date::iso_seconds(ms + CHINA_MS);
    text.trim_end_matches('Z').replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_china_s_unless_they_say_otherwise() {
        let ms = 1_537_617_083_000;
        for text in [
            "2018-09-22T19:51:23+08:00",
            "2018-09-22 19:51:23",
            "2018-09-22T11:51:23Z",
            "2018-09-22T06:51:23-05:00",
        ] {
            assert_eq!(parse_time(text), Some(ms), "{text}");
        }
        assert_eq!(china_time(ms), "2018-09-22 19:51:23");
        for wrong in ["", "2018-09-22", "2018-09-22 19:51:23+8", "2018-09-22 19:51:23+é8:0"] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
        let span = Span { period_s: 300, from_ms: 0, to_ms: 0 };
        assert_eq!(china_time(span.period(ms)), "2018-09-22 19:50:00");
        let day = Span { period_s: DAY_S, from_ms: 0, to_ms: 0 };
        assert_eq!(china_time(day.period(ms)), "2018-09-22 00:00:00");
    }
}
