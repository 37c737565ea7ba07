//! The engine's counters and gauges under the names that `/metrics` shows.

use std::sync::atomic::Ordering;

use costrel_core::engine::{Metric, MetricKind};

use crate::index::IndexSizes;
use crate::status::Counters;

/// All samples that can be had at this moment.
pub(crate) fn collect(
    counters: &Counters,
    free_bytes: Option<u64>,
    sizes: Option<IndexSizes>,
) -> Vec<Metric> {
    let counter = |name, help, value: &std::sync::atomic::AtomicU64| {
        let value = value.load(Ordering::Relaxed) as f64;
        Metric { name, help, kind: MetricKind::Counter, value }
    };
    let gauge = |name, help, value: u64| Metric {
        name,
        help,
        kind: MetricKind::Gauge,
        value: value as f64,
    };
    let c = counters;
    let mut metrics = vec![
        counter("costrel_engine_commits_total", "Commits written", &c.commits),
        counter("costrel_engine_commit_groups_total", "Commit groups, one sync each", &c.groups),
        counter("costrel_engine_conflicts_total", "Commits refused by a condition", &c.conflicts),
        counter("costrel_engine_syncs_total", "Syncs of files and directories", &c.syncs),
        counter(
            "costrel_engine_corrupt_total",
            "Reads that met stored data not matching its checksum or format",
            &c.corrupt,
        ),
        counter("costrel_engine_unreadable_total", "Reads that the disk failed", &c.unreadable),
        counter(
            "costrel_engine_missing_blobs_total",
            "Reads of blobs that have no file",
            &c.missing_blobs,
        ),
        counter(
            "costrel_engine_refused_full_total",
            "Writes refused for want of disk space",
            &c.refused_full,
        ),
        counter(
            "costrel_engine_blob_written_bytes_total",
            "Bytes written to blobs",
            &c.blob_bytes_written,
        ),
        counter(
            "costrel_engine_blob_read_bytes_total",
            "Bytes read from blobs",
            &c.blob_bytes_read,
        ),
        counter(
            "costrel_engine_log_written_bytes_total",
            "Bytes appended to the log of bodies",
            &c.log_bytes_written,
        ),
        counter(
            "costrel_engine_log_read_bytes_total",
            "Bytes read from the log of bodies",
            &c.log_bytes_read,
        ),
    ];
    if let Some(free) = free_bytes {
        let help = "Bytes free on the file system of the data directory";
        metrics.push(gauge("costrel_engine_free_bytes", help, free));
    }
    if let Some(sizes) = sizes {
        let help = "Bytes of the journal of rows";
        metrics.push(gauge("costrel_engine_journal_bytes", help, sizes.journal_bytes));
        let help = "Bytes of the tables of rows and small bodies";
        metrics.push(gauge("costrel_engine_table_bytes", help, sizes.table_bytes));
        let help = "Bytes of the row store's block cache in use";
        metrics.push(gauge("costrel_engine_block_cache_bytes", help, sizes.block_cache_bytes));
    }
    metrics
}
