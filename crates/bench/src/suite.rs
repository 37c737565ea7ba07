//! `costrel bench suite`: one table of workloads, the same for every server.
//!
//! Servers are measured in turns, row by row and round by round, so that what
//! else happens on the machine meets all of them alike; the figures of a row are
//! those of its median round by CPU time, or by throughput without a meter.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::command::{clock_seed, default_threads};
use crate::error::BenchError;
use crate::keys::KeySpace;
use crate::payload::Data;
use crate::prepare::{check_list, create_bucket, fill};
use crate::report::{Report, markdown};
use crate::runner::execute;
use crate::target::{Target, TargetArgs};
use crate::units::{micros_text, parse_duration, parse_span, size_text};
use crate::workload::{Limit, Mix, Plan, Workload};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Folders of the listed keys.
const LIST_FOLDERS: u64 = 100;
/// Objects in a folder elsewhere: no more than a directory takes well, for the
/// servers that make one of each folder.
const FOLDER_LEN: u64 = 1_000;

/// Options of `costrel bench suite`.
#[derive(Clone, Debug, clap::Args)]
pub struct SuiteArgs {
    #[command(flatten)]
    pub target: TargetArgs,

    /// A server to measure, as name=…,endpoint=…,pid=…; may be given several times.
    /// Keys: name, endpoint, bucket, create-bucket, access-key, secret-key, region, dialect,
    /// addressing, domain, pid (several joined by +), metrics. What is not given
    /// is taken from the other options.
    #[arg(long = "target", value_name = "KEY=VALUE,…", verbatim_doc_comment)]
    pub targets: Vec<String>,

    /// Measured time of each run
    #[arg(short, long, value_parser = parse_span, default_value = "4s")]
    pub duration: Duration,

    /// Time before measuring begins
    #[arg(long, value_parser = parse_duration, default_value = "1s")]
    pub warmup: Duration,

    /// How often each row is measured on each server
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,

    /// Objects of 4 KiB to read; larger ones are fewer in proportion
    #[arg(long, default_value_t = 10_000)]
    pub object_count: u64,

    /// Keys to list; 0 leaves the rows of lists out
    #[arg(long, default_value_t = 100_000)]
    pub list_keys: u64,

    /// What all keys begin with
    #[arg(long, default_value = "suite/")]
    pub prefix: String,

    /// Only rows whose name contains this text; may be given several times
    #[arg(long)]
    pub only: Vec<String>,

    /// Threads of the client; half of the processors if not given
    #[arg(long)]
    pub threads: Option<usize>,

    /// Seed of choices and content; taken from the clock if not given
    #[arg(long)]
    pub seed: Option<u64>,

    /// Print every run as JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// One line of the table.
#[derive(Clone, Copy)]
struct Row {
    workload: Workload,
    size: u64,
    concurrency: usize,
}

const fn row(workload: Workload, size: u64, concurrency: usize) -> Row {
    Row { workload, size, concurrency }
}

/// Deletes follow the puts whose objects they remove.
const ROWS: [Row; 17] = [
    row(Workload::Get, 4 * KIB, 16),
    row(Workload::Head, 4 * KIB, 16),
    row(Workload::Put, 4 * KIB, 16),
    row(Workload::Put, 4 * KIB, 64),
    row(Workload::Delete, 4 * KIB, 16),
    row(Workload::Mixed, 4 * KIB, 16),
    row(Workload::Get, 64 * KIB, 16),
    row(Workload::Put, 64 * KIB, 16),
    row(Workload::Get, MIB, 8),
    row(Workload::Put, MIB, 8),
    row(Workload::Get, 16 * MIB, 4),
    row(Workload::Put, 16 * MIB, 4),
    row(Workload::Range, 16 * MIB, 16),
    row(Workload::Multipart, 32 * MIB, 4),
    row(Workload::List, 0, 4),
    row(Workload::ListDelimiter, 0, 1),
    row(Workload::ListDelimiter, 0, 4),
];

impl Row {
    fn name(&self) -> String {
        let work = match self.workload {
            Workload::List => "list a page of 1,000".to_owned(),
            Workload::ListDelimiter => "list with delimiter".to_owned(),
            Workload::Range => format!("range 64 KiB of {}", size_text(self.size)),
            other => format!("{} {}", other.name(), size_text(self.size)),
        };
        format!("{work}, {}", self.concurrency)
    }

    fn is_list(&self) -> bool {
        matches!(self.workload, Workload::List | Workload::ListDelimiter)
    }

    /// About the same number of bytes for every size, within reason.
    fn objects(&self, args: &SuiteArgs) -> u64 {
        match self.size {
            _ if self.is_list() => args.list_keys,
            size if size <= 4 * KIB => args.object_count,
            size if size <= 64 * KIB => (args.object_count / 10).max(1),
            size if size <= MIB => 64,
            _ => 8,
        }
    }

    fn plan(&self, args: &SuiteArgs, seed: u64) -> Plan {
        let objects = self.objects(args);
        let (folder, size) = match self.workload {
            Workload::List | Workload::ListDelimiter => ("list", 64),
            Workload::Put | Workload::Delete => ("write", self.size),
            Workload::Multipart => ("parts", self.size),
            _ => ("read", self.size),
        };
        let folders = if self.is_list() { LIST_FOLDERS } else { objects.div_ceil(FOLDER_LEN) };
        Plan {
            workload: self.workload,
            concurrency: self.concurrency,
            threads: args.threads.unwrap_or_else(default_threads),
            limit: Limit::Time { warmup: args.warmup, measured: args.duration },
            keys: KeySpace::new(
                format!("{}{folder}-{}/", args.prefix, self.size),
                objects,
                folders,
                vec![size],
            ),
            first: 0,
            objects,
            range_len: 64 * KIB,
            part_size: 8 * MIB,
            page_len: 1_000,
            mix: Mix::default(),
            data: Data::Random,
            seed,
        }
    }
}

/// A server with what has been written to it so far, by row of put.
struct Subject {
    target: Arc<Target>,
    /// Numbers handed out to puts of each size.
    written: Vec<(u64, u64)>,
    /// Objects of the smallest size already deleted again.
    deleted: u64,
}

impl Subject {
    fn written(&mut self, size: u64) -> &mut u64 {
        let at = self.written.iter().position(|(known, _)| *known == size).unwrap_or_else(|| {
            self.written.push((size, 0));
            self.written.len() - 1
        });
        &mut self.written[at].1
    }
}

/// Measures all rows on all servers and prints tables.
pub fn run(args: &SuiteArgs) -> Result<(), BenchError> {
    let seed = args.seed.unwrap_or_else(clock_seed);
    let mut subjects = Vec::new();
    let specs: Vec<(String, TargetArgs)> = if args.targets.is_empty() {
        vec![("server".to_owned(), args.target.clone())]
    } else {
        let parsed = args.targets.iter().map(|spec| args.target.with_overrides(spec));
        parsed.collect::<Result<_, _>>()?
    };
    for (name, options) in specs {
        let target = Arc::new(options.resolve(&name)?);
        create_bucket(&target)?;
        subjects.push(Subject { target, written: Vec::new(), deleted: 0 });
    }
    eprintln!("seed {seed}");

    let mut all = Vec::new();
    let mut table = Vec::new();
    for row in selected(args) {
        let mut plan = row.plan(args, seed);
        let mut rounds: Vec<Vec<Report>> = vec![Vec::new(); subjects.len()];
        let mut able = vec![true; subjects.len()];
        for (subject, able) in subjects.iter().zip(&mut able) {
            if let Err(error) = prepare(&subject.target, &plan) {
                eprintln!("{}: {}: left out: {error}", row.name(), subject.target.name);
                *able = false;
            }
        }
        for round in 0..args.rounds.max(1) {
            // Another seed for each round, so that no body is ever repeated.
            plan.seed = seed.wrapping_add(all.len() as u64 + 1);
            for (index, subject) in subjects.iter_mut().enumerate() {
                if !able[index] {
                    continue;
                }
                let Some(report) = measure(subject, &row, &plan, args.rounds - round)? else {
                    continue;
                };
                eprintln!("{report}");
                all.push(report.clone());
                rounds[index].push(report);
            }
        }
        table.push((row, rounds.into_iter().map(median).collect::<Vec<_>>()));
        for subject in &mut subjects {
            clear(subject, &row, &plan)?;
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        print!("{}", comparison(&subjects, &table));
        let medians: Vec<Report> =
            table.into_iter().flat_map(|(_, reports)| reports.into_iter().flatten()).collect();
        print!("\n{}", markdown(&medians));
    }
    Ok(())
}

fn selected(args: &SuiteArgs) -> Vec<Row> {
    let wanted = |row: &Row| {
        let name = row.name();
        (args.only.is_empty() || args.only.iter().any(|part| name.contains(part)))
            && (args.list_keys > 0 || !row.is_list())
    };
    ROWS.into_iter().filter(wanted).collect()
}

fn prepare(target: &Arc<Target>, plan: &Plan) -> Result<(), BenchError> {
    let is_list = matches!(plan.workload, Workload::List | Workload::ListDelimiter);
    if is_list
        && check_list(target, plan).is_err_and(|e| !matches!(e, BenchError::NothingListed { .. }))
    {
        // Refused, so that writing many objects first would be in vain.
        return check_list(target, plan).map(|_| ());
    }
    if plan.workload.needs_objects() && plan.workload != Workload::Delete {
        fill(target, plan)?;
    }
    if is_list {
        check_list(target, plan)?;
    }
    Ok(())
}

/// One run; `None` where there is nothing to do.
fn measure(
    subject: &mut Subject,
    row: &Row,
    plan: &Plan,
    rounds_left: usize,
) -> Result<Option<Report>, BenchError> {
    let mut plan = plan.clone();
    let written = *subject.written(row.size);
    match row.workload {
        Workload::Put | Workload::Multipart => plan.first = written,
        Workload::Delete => {
            // What the puts have left, shared among the rounds.
            plan.first = subject.deleted;
            plan.objects = (written - subject.deleted) / rounds_left.max(1) as u64;
            if plan.objects == 0 {
                return Ok(None);
            }
        }
        _ => {}
    }
    let outcome = execute(&subject.target, &plan)?;
    match row.workload {
        Workload::Put | Workload::Multipart => *subject.written(row.size) += outcome.issued,
        Workload::Delete => subject.deleted += outcome.issued.min(plan.objects),
        _ => {}
    }
    Ok(Some(Report::new(&subject.target, &plan, &outcome)))
}

/// Deletes what a row has written, so that a suite needs no more space than its
/// largest row. Small objects stay until the row that deletes them.
fn clear(subject: &mut Subject, row: &Row, plan: &Plan) -> Result<(), BenchError> {
    let writes = matches!(row.workload, Workload::Put | Workload::Multipart);
    if !writes || row.size <= 4 * KIB {
        return Ok(());
    }
    let written = std::mem::take(subject.written(row.size));
    let plan = Plan {
        workload: Workload::Delete,
        limit: Limit::Operations(written),
        objects: written,
        first: 0,
        ..plan.clone()
    };
    let outcome = execute(&subject.target, &plan)?;
    if let Some(answer) = outcome.tally.commonest_error() {
        eprintln!("{}: not all objects could be deleted: {answer}", subject.target.name);
    }
    Ok(())
}

/// The round in the middle, by CPU time per operation where it is known.
fn median(mut rounds: Vec<Report>) -> Option<Report> {
    rounds.retain(|report| report.operations > 0);
    let cost = |report: &Report| match report.server {
        Some(server) => server.cpu_us_per_op,
        None => 1.0 / report.operations_per_second,
    };
    rounds.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    let middle = rounds.len().checked_sub(1)? / 2;
    Some(rounds.swap_remove(middle))
}

/// A cell of a table.
type Figure = fn(&Report) -> String;

/// Servers side by side: CPU time per operation, operations per second, and the
/// p50 and p99 latencies.
fn comparison(subjects: &[Subject], table: &[(Row, Vec<Option<Report>>)]) -> String {
    let figures: [(&str, Figure); 3] = [
        ("server CPU per operation", |r| {
            r.server.map_or("–".to_owned(), |s| micros_text(s.cpu_us_per_op))
        }),
        ("operations per second", |r| format!("{:.0}", r.operations_per_second)),
        ("latency p50 / p99", |r| {
            format!("{} / {}", micros_text(r.latency_us.p50), micros_text(r.latency_us.p99))
        }),
    ];
    let mut out = String::new();
    for (title, figure) in figures {
        // Writing to a string succeeds.
        let _ = write!(out, "| {title} |");
        for subject in subjects {
            let _ = write!(out, " {} |", subject.target.name);
        }
        let _ = writeln!(out, "\n|---|{}", "---|".repeat(subjects.len()));
        for (row, reports) in table {
            let _ = write!(out, "| {} |", row.name());
            for report in reports {
                let _ = write!(out, " {} |", report.as_ref().map_or("–".to_owned(), figure));
            }
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names: Vec<String> = ROWS.iter().map(Row::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn deletes_come_after_puts_of_their_size() {
        for (at, row) in ROWS.iter().enumerate() {
            if row.workload == Workload::Delete {
                let put = |r: &Row| r.workload == Workload::Put && r.size == row.size;
                assert!(ROWS[..at].iter().any(put));
            }
        }
    }
}
