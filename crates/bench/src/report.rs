//! Figures of a run, as text for people, JSON for programs, Markdown for pages.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::histogram::Histogram;
use crate::runner::Outcome;
use crate::target::Target;
use crate::units::{micros_text, size_text};
use crate::workload::Plan;

const MIB: f64 = (1 << 20) as f64;

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        Latency {
            mean: histogram.mean_us(),
            p50: histogram.quantile_us(0.5),
            p90: histogram.quantile_us(0.9),
            p99: histogram.quantile_us(0.99),
            p999: histogram.quantile_us(0.999),
            max: histogram.max_us(),
        }
    }
}

/// One kind of operation inside a mixed or multipart run.
#[derive(Clone, Debug, Serialize)]
pub struct KindReport {
    pub kind: &'static str,
    pub operations: u64,
    pub latency_us: Latency,
}

/// What the server used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ServerReport {
    pub cpu_seconds: f64,
    /// CPU time per successful operation in microseconds, user and system.
    pub cpu_us_per_op: f64,
    pub rss_before_bytes: u64,
    pub rss_peak_bytes: u64,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub target: String,
    pub workload: &'static str,
    /// Sizes of the objects in bytes.
    pub sizes: Vec<u64>,
    pub concurrency: usize,
    pub seconds: f64,
    pub operations: u64,
    pub operations_per_second: f64,
    pub mib_per_second: f64,
    /// Of whole operations.
    pub latency_us: Latency,
    pub kinds: Vec<KindReport>,
    /// Failed operations by status and code.
    pub errors: BTreeMap<String, u64>,
    pub client_cpu_us_per_op: f64,
    pub server: Option<ServerReport>,
}

impl Report {
    pub fn new(target: &Target, plan: &Plan, outcome: &Outcome) -> Self {
        let whole = outcome.tally.whole();
        let operations = whole.latency.count();
        let seconds = outcome.elapsed.as_secs_f64();
        let per_second = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let per_op_us = |cpu_seconds: f64| cpu_seconds * 1e6 / operations.max(1) as f64;
        let kinds = &outcome.tally.kinds;
        Report {
            target: target.name.clone(),
            workload: plan.workload.name(),
            sizes: plan.keys.sizes().to_vec(),
            concurrency: plan.concurrency,
            seconds,
            operations,
            operations_per_second: per_second(operations as f64),
            mib_per_second: per_second(whole.bytes as f64 / MIB),
            latency_us: Latency::of(&whole.latency),
            kinds: if kinds.len() < 2 { Vec::new() } else { kind_reports(outcome) },
            errors: outcome.tally.errors.clone(),
            client_cpu_us_per_op: per_op_us(outcome.client_cpu_seconds),
            server: outcome.server.map(|used| ServerReport {
                cpu_seconds: used.cpu_seconds,
                cpu_us_per_op: per_op_us(used.cpu_seconds),
                rss_before_bytes: used.rss_before_bytes,
                rss_peak_bytes: used.rss_peak_bytes,
            }),
        }
    }

    fn sizes_text(&self) -> String {
        self.sizes.iter().map(|size| size_text(*size)).collect::<Vec<_>>().join(", ")
    }
}

fn kind_reports(outcome: &Outcome) -> Vec<KindReport> {
    let report = |(kind, tally): (&crate::workload::Kind, &crate::tally::KindTally)| KindReport {
        kind: kind.name(),
        operations: tally.latency.count(),
        latency_us: Latency::of(&tally.latency),
    };
    outcome.tally.kinds.iter().map(report).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} · {} · {} · {} connections · {:.1} s",
            self.target,
            self.workload,
            self.sizes_text(),
            self.concurrency,
            self.seconds
        )?;
        writeln!(
            f,
            "  {:.0} op/s, {:.1} MiB/s, {} operations",
            self.operations_per_second, self.mib_per_second, self.operations
        )?;
        writeln!(f, "  latency      {}", LatencyLine(&self.latency_us))?;
        for kind in &self.kinds {
            let line = LatencyLine(&kind.latency_us);
            writeln!(f, "  {:<12} {line}, {} done", kind.kind, kind.operations)?;
        }
        write!(f, "  CPU per op   client {}", micros_text(self.client_cpu_us_per_op))?;
        if let Some(server) = &self.server {
            write!(
                f,
                ", server {}; server memory {} MiB, at most {} MiB",
                micros_text(server.cpu_us_per_op),
                server.rss_before_bytes >> 20,
                server.rss_peak_bytes >> 20
            )?;
        }
        for (code, count) in &self.errors {
            write!(f, "\n  failed       {count} × {code}")?;
        }
        Ok(())
    }
}

struct LatencyLine<'a>(&'a Latency);

impl fmt::Display for LatencyLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l = self.0;
        let named =
            [("p50", l.p50), ("p90", l.p90), ("p99", l.p99), ("p99.9", l.p999), ("max", l.max)];
        for (index, (name, us)) in named.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {}", micros_text(us))?;
        }
        Ok(())
    }
}

/// A Markdown table with one line for each run.
pub fn markdown(reports: &[Report]) -> String {
    let mut out = String::from(
        "| server | work | size | connections | op/s | MiB/s | p50 | p99 | p99.9 | max | server CPU/op | client CPU/op | errors |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for r in reports {
        let server = r.server.map_or("–".to_owned(), |s| micros_text(s.cpu_us_per_op));
        // Writing to a string succeeds.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {:.0} | {:.1} | {} | {} | {} | {} | {} | {} | {} |",
            r.target,
            r.workload,
            r.sizes_text(),
            r.concurrency,
            r.operations_per_second,
            r.mib_per_second,
            micros_text(r.latency_us.p50),
            micros_text(r.latency_us.p99),
            micros_text(r.latency_us.p999),
            micros_text(r.latency_us.max),
            server,
            micros_text(r.client_cpu_us_per_op),
            r.errors.values().sum::<u64>(),
        );
    }
    out
}
