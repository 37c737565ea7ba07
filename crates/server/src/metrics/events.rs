//! Events on their way to their targets.

use std::sync::atomic::Ordering::Relaxed;

use costrel_core::events::{LaneStats, Lanes};

use super::exposition::Exposition;

pub fn write_events(page: &mut Exposition, lanes: &Lanes, now_ms: u64) {
    let mut family = |name, kind, help, value: &dyn Fn(&LaneStats) -> u64| {
        page.family(name, kind, help);
        for (target, stats) in lanes.stats() {
            page.sample(name, &[("target", target)], value(stats));
        }
    };
    let help = "Events that their target has taken.";
    family("costrel_events_sent_total", "counter", help, &|it| it.sent.load(Relaxed));
    let help = "Tries to send an event that failed; it is sent again.";
    family("costrel_events_failures_total", "counter", help, &|it| it.failures.load(Relaxed));
    let help = "Events that waited for too long, and are lost.";
    family("costrel_events_expired_total", "counter", help, &|it| it.expired.load(Relaxed));
    let help = "Events that wait for their target, as far as this process knows.";
    family("costrel_events_waiting", "gauge", help, &|it| it.waiting.load(Relaxed));
    let help = "Age of the oldest of them.";
    family("costrel_events_oldest_seconds", "gauge", help, &|it| age_s(it, now_ms));
}

/// Of the oldest event that waits.
pub fn age_s(stats: &LaneStats, now_ms: u64) -> u64 {
    match stats.oldest_ms.load(Relaxed) {
        0 => 0,
        oldest_ms => now_ms.saturating_sub(oldest_ms) / 1000,
    }
}
