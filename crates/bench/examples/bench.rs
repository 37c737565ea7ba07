//! The load generator on its own: `cargo run --release -p costrel-bench --example bench -- run …`

use std::process::ExitCode;

use clap::Parser;
use costrel_bench::{BenchArgs, run};

#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

fn main() -> ExitCode {
    match run(Cli::parse().bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
