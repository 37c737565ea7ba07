//! What the jobs have done that apply lifecycle rules and intelligent tiering.

use std::sync::atomic::Ordering::Relaxed;

use costrel_core::engine::MetricKind::{Counter, Gauge};
use costrel_core::lifecycle::LifecycleStats;
use costrel_core::tiering::AccessStats;

use super::exposition::Exposition;

pub fn write_lifecycle(page: &mut Exposition, stats: &LifecycleStats, now_ms: u64) {
    let help = "Rows that lifecycle rules were compared with.";
    page.single("costrel_lifecycle_rows_total", Counter, help, stats.rows.load(Relaxed));
    let name = "costrel_lifecycle_ended_total";
    page.family(
        name,
        "counter",
        "What lifecycle rules and intelligent tiering have ended or moved, by kind.",
    );
    for (kind, counter) in [
        ("object", &stats.deleted),
        ("object_marked", &stats.marked),
        ("version", &stats.versions_removed),
        ("marker", &stats.markers_removed),
        ("upload", &stats.uploads_aborted),
        ("moved", &stats.moved),
        ("cooled", &stats.cooled),
        ("archived", &stats.archived),
        ("raised", &stats.raised),
    ] {
        page.sample(name, &[("kind", kind)], counter.load(Relaxed));
    }
    let help = "Bytes of objects and versions that lifecycle rules have removed for good.";
    page.single("costrel_lifecycle_bytes_total", Counter, help, stats.bytes.load(Relaxed));
    let help = "Bytes of objects and versions that were moved, by rules or intelligent tiering.";
    let moved = stats.moved_bytes.load(Relaxed);
    page.single("costrel_lifecycle_moved_bytes_total", Counter, help, moved);
    let help = "Rows that could not be read, and steps of the lifecycle that are tried again.";
    page.single("costrel_lifecycle_failures_total", Counter, help, stats.failures.load(Relaxed));
    let help = "Rounds of the lifecycle over all buckets that this process has ended.";
    page.single("costrel_lifecycle_rounds_total", Counter, help, stats.rounds.load(Relaxed));
    let began_ms = stats.round_began_ms.load(Relaxed);
    let lag = if began_ms > 0 { now_ms.saturating_sub(began_ms) } else { 0 };
    let help = "Age of the round of the lifecycle that this process is at; 0 between rounds.";
    page.single("costrel_lifecycle_lag_seconds", Gauge, help, lag as f64 / 1000.0);
    let last = stats.last_round_ms.load(Relaxed) as f64 / 1000.0;
    let help = "When the last complete round of the lifecycle began, in seconds since 1970.";
    page.single("costrel_lifecycle_last_round_timestamp_seconds", Gauge, help, last);
}

pub fn write_accesses(page: &mut Exposition, stats: &AccessStats, dropped: u64) {
    let help = "Objects in intelligent tiering whose records tell of a later read.";
    page.single("costrel_tiering_reads_noted_total", Counter, help, stats.noted.load(Relaxed));
    let help = "Reads of objects in intelligent tiering that were not noted: too many at once.";
    page.single("costrel_tiering_reads_dropped_total", Counter, help, dropped);
    let help = "Objects that a read or a restore has brought back from the tiers below.";
    page.single("costrel_tiering_raised_total", Counter, help, stats.raised.load(Relaxed));
    let help = "Reads of objects in intelligent tiering that could not be written down.";
    page.single("costrel_tiering_failures_total", Counter, help, stats.failures.load(Relaxed));
}
