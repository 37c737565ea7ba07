//! The load generator on its own: `cargo run --release -p costrel-bench --example bench -- run …`

use clap::Parser;
use costrel_bench::{BenchArgs, BenchError, run};

#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

fn main() -> Result<(), BenchError> {
    run(Cli::parse().bench)
}
