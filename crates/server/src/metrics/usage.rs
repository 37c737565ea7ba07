//! What buckets hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use costrel_core::Store;
use costrel_core::engine::MetricKind;
use costrel_core::usage::{BucketUsage, CountingStats, Figures, UsageStats, class_name};
use parking_lot::RwLock;

use super::exposition::Exposition;
use crate::usage;

/// Buckets that are shown: each is some lines, and, on a cluster, some reads.
const BUCKETS_MAX: usize = 1000;
/// How long a scrape waits for them. When the engine hangs, it is its own figures that are
/// wanted.
const READING_MAX: Duration = Duration::from_secs(2);
/// How old what is shown may be.
const HELD_MAX: Duration = Duration::from_secs(300);

/// What the job has done that keeps figures over time.
pub fn write_upkeep(page: &mut Exposition, stats: &UsageStats) {
    for (name, help, counter) in [
        (
            "costrel_usage_samples_total",
            "Times that what a bucket holds was seen to have changed.",
            &stats.samples,
        ),
        ("costrel_usage_slots_total", "Rows of counts put together.", &stats.slots),
        ("costrel_usage_days_total", "Days of buckets summed up.", &stats.days),
        (
            "costrel_usage_upkeep_failures_total",
            "Rounds of that work that failed and are tried again.",
            &stats.failures,
        ),
    ] {
        page.single(name, MetricKind::Counter, help, counter.load(Relaxed));
    }
}

/// What requests of buckets have done in this process.
pub fn write_traffic(page: &mut Exposition, totals: &BTreeMap<String, Figures>) {
    let name = "costrel_bucket_requests_total";
    page.family(name, "counter", "Requests of a bucket, by the class of the object.");
    for (bucket, figures) in totals {
        for class in &figures.classes {
            for (kind, requests) in [("read", class.reads), ("write", class.writes)] {
                let class = class_name(class.class);
                let labels = [("bucket", &bucket[..]), ("class", class), ("kind", kind)];
                page.sample(name, &labels, requests);
            }
        }
    }
    let name = "costrel_bucket_retrieved_bytes_total";
    page.family(name, "counter", "Bytes of objects' content that a bucket sent, by class.");
    for (bucket, figures) in totals {
        for class in figures.classes.iter().filter(|class| class.retrieved_bytes > 0) {
            let labels = [("bucket", &bucket[..]), ("class", class_name(class.class))];
            page.sample(name, &labels, class.retrieved_bytes);
        }
    }
    let name = "costrel_bucket_responses_total";
    page.family(name, "counter", "Answers to requests of a bucket, by their status.");
    for (bucket, figures) in totals {
        for known in &figures.statuses {
            let labels = [("bucket", &bucket[..]), ("status", &known.status.to_string())];
            page.sample(name, &labels, known.requests);
        }
    }
    let name = "costrel_bucket_traffic_bytes_total";
    page.family(name, "counter", "Bytes of bodies of a bucket's requests and answers.");
    for (bucket, figures) in totals {
        let traffic = figures.traffic.unwrap_or_default();
        for (network, direction, bytes) in [
            ("internet", "in", traffic.internet_in),
            ("internet", "out", traffic.internet_out),
            ("internal", "in", traffic.internal_in),
            ("internal", "out", traffic.internal_out),
        ] {
            let labels = [("bucket", &bucket[..]), ("network", network), ("direction", direction)];
            page.sample(name, &labels, bytes);
        }
    }
}

/// What buckets held when they were read last.
#[derive(Default)]
pub struct Holdings {
    /// Held while they are read, by one at a time whoever asks.
    reading: Arc<tokio::sync::Mutex<()>>,
    latest: Arc<RwLock<Option<Arc<Held>>>>,
}

struct Held {
    at: Instant,
    is_complete: bool,
    buckets: Vec<(String, BucketUsage)>,
}

impl Holdings {
    /// Reads them, within a time that a scrape has: what takes longer is of the next.
    async fn read(&self, store: &Arc<Store>, uin: u64) -> Option<Arc<Held>> {
        if let Ok(alone) = self.reading.clone().try_lock_owned() {
            let (store, latest) = (store.clone(), self.latest.clone());
            tokio::spawn(async move {
                let _alone = alone;
                let found = async {
                    let is_complete = store.is_all_counted().await?;
                    Ok::<_, costrel_core::Error>((
                        is_complete,
                        usage::all(&store, uin, BUCKETS_MAX).await?,
                    ))
                };
                match found.await {
                    Ok((is_complete, buckets)) => {
                        let held = Held { at: Instant::now(), is_complete, buckets };
                        *latest.write() = Some(Arc::new(held));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "what buckets hold is left out of the metrics");
                    }
                }
            });
        }
        let _ = tokio::time::timeout(READING_MAX, self.reading.lock()).await;
        let held = self.latest.read().clone();
        held.filter(|held| held.at.elapsed() < HELD_MAX)
    }
}

pub async fn write_usage(
    page: &mut Exposition,
    holdings: &Holdings,
    store: &Arc<Store>,
    counting: &CountingStats,
    uin: u64,
) {
    let help = "Rows from before anything was counted that were counted since.";
    let rows = counting.rows.load(Relaxed);
    page.single("costrel_usage_rows_counted_total", MetricKind::Counter, help, rows);
    let help = "Steps of that counting that failed and are tried again.";
    let failures = counting.failures.load(Relaxed);
    page.single("costrel_usage_failures_total", MetricKind::Counter, help, failures);
    let Some(held) = holdings.read(store, uin).await else { return };
    let buckets = &held.buckets;
    let help = "Seconds since what buckets hold was read.";
    let age = held.at.elapsed().as_secs();
    page.single("costrel_usage_age_seconds", MetricKind::Gauge, help, age);
    let help = "1 when the figures of buckets hold everything, 0 while that is being counted.";
    let complete = u8::from(held.is_complete);
    page.single("costrel_usage_complete", MetricKind::Gauge, help, complete);
    let (bytes, objects) = ("costrel_bucket_bytes", "costrel_bucket_objects");
    page.family(bytes, "gauge", "Bytes of bodies in a bucket.");
    for_each(buckets, |labels, tally| page.sample(bytes, labels, tally.bytes));
    page.family(objects, "gauge", "Objects, versions and parts in a bucket.");
    for_each(buckets, |labels, tally| page.sample(objects, labels, tally.count));
    let uploads = "costrel_bucket_uploads";
    page.family(uploads, "gauge", "Open multipart uploads of a bucket.");
    for (name, usage) in buckets {
        let open: i64 = usage.classes.iter().map(|class| class.uploads).sum();
        page.sample(uploads, &[("bucket", name)], open);
    }
    let markers = "costrel_bucket_delete_markers";
    page.family(markers, "gauge", "Delete markers in a bucket.");
    for (name, usage) in buckets {
        page.sample(markers, &[("bucket", name)], usage.delete_markers);
    }
}

type Labels<'a> = &'a [(&'a str, &'a str)];

fn for_each(
    buckets: &[(String, costrel_core::usage::BucketUsage)],
    mut sample: impl FnMut(Labels<'_>, costrel_core::engine::Tally),
) {
    for (name, usage) in buckets {
        for class in &usage.classes {
            for (kind, tally) in [
                ("current", class.current),
                ("noncurrent", class.noncurrent),
                ("parts", class.parts),
            ] {
                sample(&[("bucket", name), ("class", class.class), ("kind", kind)], tally);
            }
        }
    }
}
