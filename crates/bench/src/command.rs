//! `costrel bench run`: workloads, one after another, on one server.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::BenchError;
use crate::keys::KeySpace;
use crate::payload::Data;
use crate::prepare::{check_list, create_bucket, fill};
use crate::report::{Report, markdown};
use crate::runner::execute;
use crate::target::TargetArgs;
use crate::units::{parse_connections, parse_duration, parse_size, parse_span};
use crate::workload::{Limit, Mix, Plan, Workload};

/// Load generator for S3 and COS endpoints
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: BenchCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// Run workloads at one or several numbers of connections
    Run(RunArgs),
    /// Run a fixed table of workloads against one server, or several in turns
    Suite(crate::suite::SuiteArgs),
}

/// Objects that a run works on when it is not told how many.
const OBJECTS: u64 = 10_000;
/// Fewer when they are large: no more than this many bytes in all,
const FILL_BYTES: u64 = 1 << 30;
/// but enough that connections do not share one.
const OBJECTS_MIN: u64 = 64;

/// Options of `costrel bench run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub target: TargetArgs,

    /// Work to do; several run one after another
    #[arg(short, long, value_enum, value_delimiter = ',', default_value = "get")]
    pub workload: Vec<Workload>,

    /// Size of the objects; with several, objects take turns
    #[arg(short, long, value_parser = parse_size, value_delimiter = ',', default_value = "4KiB")]
    pub size: Vec<u64>,

    /// Connections with one request each; with several, a run for each
    #[arg(short, long, value_parser = parse_connections, value_delimiter = ',', default_value = "16")]
    pub concurrency: Vec<usize>,

    /// Measured time of each run
    #[arg(short, long, value_parser = parse_span, default_value = "10s")]
    pub duration: Duration,

    /// Time before measuring begins
    #[arg(long, value_parser = parse_duration, default_value = "1s")]
    pub warmup: Duration,

    /// Do this many operations instead of running for a time
    #[arg(short = 'n', long, conflicts_with_all = ["duration", "warmup"])]
    pub operations: Option<u64>,

    /// Objects to read, list or delete; written first unless they are there.
    /// If not given: 10,000, or as many as make 1 GiB when that is fewer
    #[arg(long)]
    pub object_count: Option<u64>,

    /// Number of the first object to write or delete
    #[arg(long, default_value_t = 0)]
    pub first_object: u64,

    /// Take the objects for granted and write none first
    #[arg(long)]
    pub no_fill: bool,

    /// What all keys begin with
    #[arg(long, default_value = "bench/")]
    pub prefix: String,

    /// Folders that the objects are spread over
    #[arg(long, default_value_t = 100)]
    pub folders: u64,

    /// Length of the ranges to read
    #[arg(long, value_parser = parse_size, default_value = "64KiB")]
    pub range_size: u64,

    /// Size of the parts of a multipart upload
    #[arg(long, value_parser = parse_size, default_value = "5MiB")]
    pub part_size: u64,

    /// Entries asked for in a list
    #[arg(long, default_value_t = 1_000)]
    pub page_size: u32,

    /// Weights of the mixed workload; get=70,put=20,head=5,delete=5 if not given
    #[arg(long, value_parser = Mix::parse)]
    pub mix: Option<Mix>,

    /// Content of the objects
    #[arg(long, value_enum, default_value = "random")]
    pub data: Data,

    /// Threads of the client; half of the processors if not given
    #[arg(long)]
    pub threads: Option<usize>,

    /// Seed of choices and content; taken from the clock if not given
    #[arg(long)]
    pub seed: Option<u64>,

    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// Print a Markdown table instead of text
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Threads that leave half of the machine to a server on the same one.
pub fn default_threads() -> usize {
    (thread::available_parallelism().map_or(1, usize::from) / 2).max(1)
}

/// A seed that differs from run to run.
pub fn clock_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_nanos() as u64
}

impl RunArgs {
    /// How many objects there are to work on. Writing them first must neither
    /// take minutes nor fill the disk unless somebody asked for it.
    fn object_count(&self) -> u64 {
        self.object_count.unwrap_or_else(|| {
            let mean = self.size.iter().sum::<u64>() / self.size.len().max(1) as u64;
            (FILL_BYTES / mean.max(1)).clamp(OBJECTS_MIN, OBJECTS)
        })
    }

    fn plan(&self, seed: u64) -> Result<Plan, BenchError> {
        let objects = self.object_count();
        if objects == 0 {
            return Err(BenchError::setting("object-count", "must be at least 1"));
        }
        if self.part_size == 0 {
            return Err(BenchError::setting("part-size", "must be at least 1 byte"));
        }
        Ok(Plan {
            workload: Workload::Get,
            concurrency: 1,
            threads: self.threads.unwrap_or_else(default_threads),
            limit: match self.operations {
                Some(operations) => Limit::Operations(operations),
                None => Limit::Time { warmup: self.warmup, measured: self.duration },
            },
            keys: KeySpace::new(self.prefix.clone(), objects, self.folders, self.size.clone()),
            first: self.first_object,
            objects,
            range_len: self.range_size,
            part_size: self.part_size,
            page_len: self.page_size,
            mix: self.mix.clone().unwrap_or_default(),
            data: self.data,
            seed,
        })
    }
}

/// Does all runs that the options ask for and prints what they found.
pub fn run(args: &RunArgs) -> Result<(), BenchError> {
    let target = Arc::new(args.target.resolve("server")?);
    let seed = args.seed.unwrap_or_else(clock_seed);
    let base = args.plan(seed)?;
    create_bucket(&target)?;
    if !args.json && !args.markdown {
        println!("seed {seed}");
    }
    let mut reports = Vec::new();
    let mut next_first = args.first_object;
    for &workload in &args.workload {
        for &concurrency in &args.concurrency {
            let mut plan = Plan { workload, concurrency, ..base.clone() };
            if workload.needs_objects() && !args.no_fill {
                fill(&target, &plan)?;
            }
            if matches!(workload, Workload::List | Workload::ListDelimiter) {
                check_list(&target, &plan)?;
            }
            if workload.uses_up_numbers() {
                plan.first = next_first;
            }
            let outcome = execute(&target, &plan)?;
            if workload.uses_up_numbers() {
                next_first += outcome.issued;
            }
            let report = Report::new(&target, &plan, &outcome);
            if !args.json && !args.markdown {
                println!("\n{report}");
            }
            reports.push(report);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    } else if args.markdown {
        print!("{}", markdown(&reports));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    #[test]
    fn large_objects_are_fewer() {
        let count = |args: &[&str]| Cli::parse_from([&["bench"], args].concat()).run.object_count();
        assert_eq!(count(&[]), 10_000);
        assert_eq!(count(&["--size", "64KiB"]), 10_000);
        assert_eq!(count(&["--size", "1MiB"]), 1_024);
        assert_eq!(count(&["--size", "1GiB"]), 64);
        assert_eq!(count(&["--size", "0"]), 10_000);
        assert_eq!(count(&["--size", "1GiB", "--object-count", "9"]), 9);
    }
}
