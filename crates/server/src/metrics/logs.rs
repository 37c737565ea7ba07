//! Access logs of buckets on their way.

use std::sync::atomic::Ordering::Relaxed;

use costrel_core::engine::MetricKind::{Counter, Gauge};
use costrel_core::logging::LogStats;

use super::exposition::Exposition;

pub fn write_logs(page: &mut Exposition, stats: &LogStats, dropped: u64) {
    let help = "Log objects delivered.";
    page.single("costrel_logs_objects_total", Counter, help, stats.objects.load(Relaxed));
    let help = "Requests in delivered log objects.";
    page.single("costrel_logs_requests_total", Counter, help, stats.requests.load(Relaxed));
    let help = "Deliveries of logs that failed and are tried again.";
    page.single("costrel_logs_failures_total", Counter, help, stats.failures.load(Relaxed));
    let name = "costrel_logs_lost_total";
    page.family(name, "counter", "Requests of logged buckets that no log will hold, by reason.");
    page.sample(name, &[("reason", "memory")], dropped);
    page.sample(name, &[("reason", "waiting")], stats.lost.load(Relaxed));
    let help = "Requests that waited for another try of their delivery, by the last look.";
    let waiting = stats.waiting_requests.load(Relaxed);
    page.single("costrel_logs_waiting_requests", Gauge, help, waiting);
    let help = "Compressed bytes of those requests.";
    let waiting = stats.waiting_bytes.load(Relaxed);
    page.single("costrel_logs_waiting_bytes", Gauge, help, waiting);
}
