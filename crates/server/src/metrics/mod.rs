//! Counters for `/metrics`.

mod events;
mod exposition;
mod inventories;
mod lifecycle;
mod logs;
mod process;
mod requests;
mod usage;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use costrel_core::Store;
use costrel_core::collector::CollectorStats;
use costrel_core::engine::{Health, MetricKind};

pub use events::{age_s, write_events};
pub use exposition::{CONTENT_TYPE, Exposition};
pub use inventories::write_inventories;
pub use lifecycle::{write_accesses, write_lifecycle};
pub use logs::write_logs;
pub use requests::RequestCounters;
pub use usage::{Holdings, write_traffic, write_upkeep, write_usage};

use crate::logs::LogSink;

/// What this process counts itself. The engine and the scrub count their own.
#[derive(Default)]
pub struct Metrics {
    pub requests: RequestCounters,
    pub connections: Gauge,
    pub connections_total: AtomicU64,
    pub in_flight: Gauge,
}

/// A number of things that exist now.
#[derive(Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn enter(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn leave(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Metrics {
    /// Everything that is known before the engine is open.
    pub fn write(&self, page: &mut Exposition, log: &LogSink) {
        use MetricKind::{Counter, Gauge};
        page.family("costrel_build_info", "gauge", "The version that runs.");
        page.sample("costrel_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let help = "Open client connections.";
        page.single("costrel_connections", Gauge, help, self.connections.get());
        let help = "Client connections accepted.";
        page.single(
            "costrel_connections_total",
            Counter,
            help,
            self.connections_total.load(Relaxed),
        );
        let help = "Requests whose answer is not sent yet.";
        page.single("costrel_requests_in_flight", Gauge, help, self.in_flight.get());
        let help = "Log lines dropped because the log's reader was too slow.";
        page.single("costrel_log_lines_dropped_total", Counter, help, log.dropped());
        self.requests.write(page);
        process::write(page);
    }
}

/// What is lost of the audit log, if there is one.
pub fn write_audit(page: &mut Exposition, audit: Option<&LogSink>) {
    let help = "Lines of the audit log that were lost.";
    let dropped = audit.map_or(0, LogSink::dropped);
    page.single("costrel_audit_lines_dropped_total", MetricKind::Counter, help, dropped);
}

/// What the store, its engine and its background work count.
pub fn write_store(page: &mut Exposition, store: &Store, collector: &CollectorStats) {
    let engine = store.engine();
    let ready = u8::from(engine.health() == Health::Ready);
    let help = "1 while the engine reads and writes, 0 when it does not.";
    page.single("costrel_engine_ready", MetricKind::Gauge, help, ready);
    for metric in engine.metrics() {
        page.single(metric.name, metric.kind, metric.help, metric.value);
    }
    let scrub = store.scrub_progress();
    for (name, help, counter) in [
        ("costrel_scrub_objects_total", "Objects read back by the scrub.", &scrub.objects),
        ("costrel_scrub_bytes_total", "Bytes read back by the scrub.", &scrub.bytes),
        ("costrel_scrub_findings_total", "Objects the scrub found damaged.", &scrub.findings),
        ("costrel_scrub_passes_total", "Passes of the scrub over everything.", &scrub.passes),
        (
            "costrel_collector_blobs_freed_total",
            "Blobs freed because nothing referred to them any more.",
            &collector.blobs_freed,
        ),
        (
            "costrel_collector_abandoned_freed_total",
            "Blobs freed because their writer never finished.",
            &collector.abandoned_freed,
        ),
        (
            "costrel_collector_failures_total",
            "Steps of the collector that failed and are tried again.",
            &collector.failures,
        ),
    ] {
        page.single(name, MetricKind::Counter, help, counter.load(Relaxed));
    }
}
