//! `costrel bench`: a load generator for any S3 or COS endpoint.
//!
//! It is made to measure a server on the machine it runs on: the client costs
//! little (raw sockets, bodies and hashes made beforehand, kept signing keys),
//! and it can say what the server used meanwhile, by process or by its metrics
//! page. Every request is signed. The loop is closed: each connection has one
//! request under way, so a slow answer delays the next request, and latencies
//! say nothing about queues that an open system would build.
//!
//! [`run`] blocks and starts its own threads and runtimes; it may be called from
//! a plain `main` as well as from inside a runtime.

mod client;
mod command;
mod endpoint;
mod error;
mod histogram;
mod http;
mod keys;
mod meter;
mod payload;
mod prepare;
mod report;
mod runner;
mod sign;
mod suite;
mod tally;
mod target;
mod units;
mod worker;
mod workload;

pub use command::{BenchArgs, BenchCommand};
pub use error::BenchError;

/// Does what the arguments say and prints the figures to standard output;
/// progress goes to standard error.
pub fn run(args: BenchArgs) -> Result<(), BenchError> {
    match args.command {
        BenchCommand::Run(args) => command::run(&args),
        BenchCommand::Suite(args) => suite::run(&args),
    }
}
