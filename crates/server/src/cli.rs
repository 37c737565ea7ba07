//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use costrel_bench::BenchArgs;

use crate::config::Given;

/// Object storage server that speaks Tencent Cloud COS and AWS S3.
///
/// Without a command it serves, as `costrel serve` does.
#[derive(Debug, Parser)]
#[command(name = "costrel", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve
    Serve(Box<ServeArgs>),
    /// Read everything that is stored and compare it with its checksums and
    /// references; exits with 1 if anything is wrong. No server may be using it.
    /// Takes the settings of `serve`
    Fsck(Box<ServeArgs>),
    /// Lifecycle rules of a running server's buckets
    #[command(subcommand)]
    Lifecycle(LifecycleCommand),
    /// Put load on a COS or S3 endpoint and measure
    Bench(Box<BenchArgs>),
    /// Print which operations of COS and S3 are implemented, as Markdown
    Coverage,
    /// Print every setting with its meaning and default, as Markdown
    Settings,
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub enum LifecycleCommand {
    /// Show what a bucket's rules would end now, without ending it: counts, bytes and
    /// the first examples. Takes the settings of `serve`, to find the server's console
    /// endpoint and the master key, which shows that its operator asks
    Preview(Box<PreviewArgs>),
}

#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// The bucket's whole name
    pub bucket: String,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub given: Given,
}
