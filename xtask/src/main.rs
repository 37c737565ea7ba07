//! Automation of the project: `cargo xtask test` is everything CI checks about
//! behaviour, with all the set-up it needs.

mod coverage;
mod process;
mod report;
mod setup;
mod suites;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [--only SUITE]... [--no-build] [--crash-cycles N] [--power-cuts N]
    Set up what the suites need, build, run them, print a summary.
    --only SUITE      run just this suite (repeatable, comma-separated)
    --no-build        use the release binary that is there
    --crash-cycles N  kill the server N times in the crash suite, gateways on Ceph a
                      quarter as often (50)
    --power-cuts N    cut the power at N moments in the power-cut suite (48)
cargo xtask coverage
    Rewrite docs/coverage.md from the operation tables.
cargo xtask suites
    List the suites.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.first().map(String::as_str) {
        Some("test") => TestOptions::parse(&args[1..]).and_then(|options| suites::run(&options)),
        Some("coverage") if args.len() == 1 => coverage::rewrite().map(|()| true),
        Some("suites") if args.len() == 1 => {
            suites::print_list();
            Ok(true)
        }
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => Err(format!("no such command\n{USAGE}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}

/// What `cargo xtask test` was asked to do.
pub struct TestOptions {
    /// Names of the suites to run; empty means all.
    pub only: Vec<String>,
    pub build: bool,
    pub crash_cycles: u32,
    pub power_cuts: u32,
}

impl TestOptions {
    fn parse(args: &[String]) -> Result<TestOptions, String> {
        let mut options =
            TestOptions { only: Vec::new(), build: true, crash_cycles: 50, power_cuts: 48 };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--no-build" => options.build = false,
                "--crash-cycles" => options.crash_cycles = number(value()?)?,
                "--power-cuts" => options.power_cuts = number(value()?)?,
                _ => return Err(format!("unknown argument {arg}\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

/// The folder of the checkout.
pub fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// What cargo has built, by its path in the target folder.
pub fn built(path: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    root().join(target).join(path)
}
