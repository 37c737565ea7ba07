//! What the engine shows at `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::engine::{Metric, MetricKind};

use crate::status::Counters;

pub(crate) fn collect(counters: &Counters) -> Vec<Metric> {
    let counter = |name, help, value: &AtomicU64| Metric {
        name,
        help,
        kind: MetricKind::Counter,
        value: value.load(Ordering::Relaxed) as f64,
    };
    vec![
        counter("costrel_engine_commits_total", "Commits written", &counters.commits),
        counter(
            "costrel_engine_conflicts_total",
            "Commits whose expectations did not hold",
            &counters.conflicts,
        ),
        counter(
            "costrel_engine_commit_groups_total",
            "Write operations that carried commits",
            &counters.groups,
        ),
        counter(
            "costrel_engine_corrupt_total",
            "Stored data that did not match its checksum or its format",
            &counters.corrupt,
        ),
        counter(
            "costrel_engine_refused_full_total",
            "Writes refused for want of space",
            &counters.refused_full,
        ),
        counter(
            "costrel_engine_blob_written_bytes_total",
            "Bytes of blobs written",
            &counters.blob_bytes_written,
        ),
        counter(
            "costrel_engine_blob_read_bytes_total",
            "Bytes of blobs read and verified",
            &counters.blob_bytes_read,
        ),
        counter("costrel_rados_reads_total", "Read operations on RADOS", &counters.reads),
        counter("costrel_rados_writes_total", "Write operations on RADOS", &counters.writes),
        counter(
            "costrel_rados_timeouts_total",
            "Operations on RADOS that got no answer in time",
            &counters.timeouts,
        ),
        counter(
            "costrel_rados_resolved_total",
            "Commits that timed out and whose outcome was found out",
            &counters.resolved,
        ),
        counter(
            "costrel_rados_layouts_total",
            "Times that a partition's root was read",
            &counters.layouts,
        ),
        counter(
            "costrel_rados_recovered_total",
            "Changes of partitions begun by somebody who died that were ended",
            &counters.recovered,
        ),
        counter("costrel_rados_splits_total", "Index shards split", &counters.splits),
        counter(
            "costrel_rados_merges_total",
            "Times that index shards were put together",
            &counters.merges,
        ),
        counter(
            "costrel_rados_abandoned_total",
            "Splits and merges of index shards given up halfway, to be begun anew",
            &counters.abandoned,
        ),
    ]
}
