//! Counters of requests, by operation, dialect and status.
//!
//! The hot path takes one shared lock and adds to a few atomics; series appear
//! when first needed. Labels come from tables of the protocol, so that clients
//! cannot make up series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;

use super::exposition::Exposition;

/// Upper bounds of the latency histogram, in microseconds.
const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000, 60_000_000,
];

#[derive(Default)]
pub struct RequestCounters {
    operations: RwLock<BTreeMap<(&'static str, &'static str), Arc<Operation>>>,
}

/// One operation in one dialect.
#[derive(Default)]
struct Operation {
    /// A handful of statuses at most occur for an operation.
    statuses: RwLock<Vec<(u16, AtomicU64)>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Requests by bucket of the histogram, the last above all bounds.
    durations: [AtomicU64; BOUNDS_US.len() + 1],
    duration_us: AtomicU64,
}

impl RequestCounters {
    pub fn record(
        &self,
        (operation, dialect): (&'static str, &'static str),
        status: u16,
        (bytes_in, bytes_out): (u64, u64),
        duration: Duration,
    ) {
        let known = self.operations.read().get(&(operation, dialect)).cloned();
        let series = known.unwrap_or_else(|| {
            self.operations.write().entry((operation, dialect)).or_default().clone()
        });
        series.count_status(status);
        series.bytes_in.fetch_add(bytes_in, Relaxed);
        series.bytes_out.fetch_add(bytes_out, Relaxed);
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        series.durations[BOUNDS_US.partition_point(|bound| *bound < us)].fetch_add(1, Relaxed);
        series.duration_us.fetch_add(us, Relaxed);
    }

    pub fn write(&self, page: &mut Exposition) {
        let operations = self.operations.read().clone();
        let each = || {
            operations.iter().map(|((operation, dialect), series)| {
                ([("operation", *operation), ("dialect", *dialect)], series)
            })
        };
        let name = "costrel_requests_total";
        page.family(name, "counter", "Requests answered, by HTTP status.");
        for (labels, series) in each() {
            for (status, count) in series.statuses.read().iter() {
                let status = status.to_string();
                let labels = [labels[0], labels[1], ("status", &status)];
                page.sample(name, &labels, count.load(Relaxed));
            }
        }
        let name = "costrel_request_body_bytes_total";
        page.family(name, "counter", "Bytes of request bodies received.");
        for (labels, series) in each() {
            page.sample(name, &labels, series.bytes_in.load(Relaxed));
        }
        let name = "costrel_response_body_bytes_total";
        page.family(name, "counter", "Bytes of response bodies sent.");
        for (labels, series) in each() {
            page.sample(name, &labels, series.bytes_out.load(Relaxed));
        }
        let name = "costrel_request_duration_seconds";
        page.family(name, "histogram", "Time from a request's head to its answer's last byte.");
        for (labels, series) in each() {
            series.write_histogram(page, name, labels);
        }
    }
}

impl Operation {
    fn count_status(&self, status: u16) {
        if let Some((_, count)) = self.statuses.read().iter().find(|(known, _)| *known == status) {
            count.fetch_add(1, Relaxed);
            return;
        }
        let mut list = self.statuses.write();
        match list.iter().find(|(known, _)| *known == status) {
            Some((_, count)) => {
                count.fetch_add(1, Relaxed);
            }
            None => list.push((status, AtomicU64::new(1))),
        }
    }

    fn write_histogram(&self, page: &mut Exposition, name: &str, labels: [(&str, &str); 2]) {
        let mut total = 0;
        let bucket = format!("{name}_bucket");
        for (index, count) in self.durations.iter().enumerate() {
            total += count.load(Relaxed);
            let bound = match BOUNDS_US.get(index) {
                Some(us) => (*us as f64 / 1e6).to_string(),
                None => "+Inf".to_owned(),
            };
            page.sample(&bucket, &[labels[0], labels[1], ("le", &bound)], total);
        }
        let seconds = self.duration_us.load(Relaxed) as f64 / 1e6;
        page.sample(&format!("{name}_sum"), &labels, seconds);
        page.sample(&format!("{name}_count"), &labels, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_operation_and_status() {
        let counters = RequestCounters::default();
        let get = ("GetObject", "s3");
        counters.record(get, 200, (0, 4096), Duration::from_micros(100));
        counters.record(get, 200, (0, 4096), Duration::from_micros(101));
        counters.record(get, 404, (0, 200), Duration::from_secs(100));
        counters.record(("PutObject", "cos"), 200, (10, 0), Duration::ZERO);
        let mut page = Exposition::default();
        counters.write(&mut page);
        let page = page.finish();
        let labels = "operation=\"GetObject\",dialect=\"s3\"";
        for line in [
            format!("costrel_requests_total{{{labels},status=\"200\"}} 2"),
            format!("costrel_requests_total{{{labels},status=\"404\"}} 1"),
            format!("costrel_response_body_bytes_total{{{labels}}} 8392"),
            format!("costrel_request_duration_seconds_bucket{{{labels},le=\"0.0001\"}} 1"),
            format!("costrel_request_duration_seconds_bucket{{{labels},le=\"0.00025\"}} 2"),
            format!("costrel_request_duration_seconds_bucket{{{labels},le=\"60\"}} 2"),
            format!("costrel_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
            format!("costrel_request_duration_seconds_count{{{labels}}} 3"),
            "costrel_request_body_bytes_total{operation=\"PutObject\",dialect=\"cos\"} 10".into(),
        ] {
            assert!(page.lines().any(|have| have == line), "{line}\nnot in\n{page}");
        }
    }
}
