//! The `costrel` program: the server and its tools.

mod access_log;
mod admin;
mod asking;
mod audit;
mod banner;
mod bill;
mod cli;
mod config;
mod console;
mod engine;
mod events;
mod explain;
mod fetch;
mod fsck;
mod gateway;
mod identity;
mod lifecycle;
mod listen;
mod logs;
mod logs_top;
mod metrics;
mod operator;
mod prices;
mod requests;
mod serve;
mod sign;
mod signals;
#[cfg(test)]
mod testing;
mod transfer;
mod usage;
mod world;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::cli::{
    AdminCommand, Cli, Command, LifecycleCommand, LogsCommand, PolicyCommand, ServeArgs,
    SignCommand, UsageCommand,
};
use crate::serve::ServeError;

/// A request allocates some dozens of times, on whichever thread it runs; the
/// system's allocator spends a sixth of a small request's CPU time on that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => finish(serve(cli.serve)),
        Some(Command::Serve(args)) => finish(serve(*args)),
        Some(Command::Fsck(args)) => match fsck::run(*args) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Some(Command::Copy(args)) => match transfer::run(*args) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Some(Command::Lifecycle(LifecycleCommand::Preview(args))) => finish(lifecycle::run(*args)),
        Some(Command::Events(args)) => finish(events::run(*args)),
        Some(Command::Usage(UsageCommand::Show(args))) => finish(usage::show(*args)),
        Some(Command::Bill(command)) => finish(bill::run(command)),
        Some(Command::Logs(LogsCommand::Top(args))) => finish(logs_top::run(*args)),
        Some(Command::Usage(UsageCommand::Recount(args))) => match usage::recount(*args) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Some(Command::Policy(PolicyCommand::Explain(args))) => match explain::run(*args) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Some(Command::User(command)) => finish(admin::run(AdminCommand::User(command))),
        Some(Command::Group(command)) => finish(admin::run(AdminCommand::Group(command))),
        Some(Command::Role(command)) => finish(admin::run(AdminCommand::Role(command))),
        Some(Command::Key(command)) => finish(admin::run(AdminCommand::Key(command))),
        Some(Command::Policy(PolicyCommand::Managed(command))) => {
            finish(admin::run(AdminCommand::Policy(command)))
        }
        Some(Command::Sign(SignCommand::Url(args))) => finish(sign::url(&args)),
        Some(Command::Sign(SignCommand::Form(args))) => finish(sign::form(&args)),
        Some(Command::Sign(SignCommand::Explain(args))) => match sign::explain(&args) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Some(Command::Bench(args)) => finish(costrel_bench::run(*args)),
        Some(Command::Coverage) => {
            print!("{}", costrel_protocol::ops::coverage_markdown());
            ExitCode::SUCCESS
        }
        Some(Command::Settings) => {
            print!("{}", config::settings_markdown());
            ExitCode::SUCCESS
        }
        Some(Command::Version) => {
            println!("costrel {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

fn finish<E: Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn Display) -> ExitCode {
    eprintln!("costrel: {error}");
    ExitCode::FAILURE
}

/// How long tasks that a drained server left behind may hold the process up.
const LEFTOVERS: Duration = Duration::from_secs(1);

fn serve(args: ServeArgs) -> Result<(), ServeError> {
    let config = config::load(args.given, args.config.as_deref())?;
    raise_file_limit();
    let (sink, log) = logs::start(io::stderr())?;
    logs::install(sink.clone(), config.log_format, config.log_level);
    log_panics();
    // More workers than cores would only contend; one would stand still behind a
    // slow read.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .max_blocking_threads(128)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve::run(config, sink));
    runtime.shutdown_timeout(LEFTOVERS);
    // Before an error goes to the standard error stream by itself.
    drop(log);
    outcome
}

/// A panic of one request goes to the log like any other failure.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("?"), "{panic}");
    }));
}

/// Connections and blobs each take a file descriptor; the usual soft limit of
/// 1024 is for programs that use `select`.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, the limit stays and `accept` waits at it.
    let _ = setrlimit(Resource::Nofile, limit);
}
