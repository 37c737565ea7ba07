//! The suites and how they are run: unit tests first, then every black-box suite
//! against the release binary, side by side.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::{self, Ended};
use crate::report::{Counts, Format, tail};
use crate::setup::{Need, Tools};
use crate::{TestOptions, built, coverage, root};

/// Longer than any suite takes on two slow cores; what exceeds it hangs.
const SUITE_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Crashes of the embedded server for each of the gateways on a cluster.
const CYCLES_PER_CYCLE_ON_CEPH: u32 = 4;

struct Suite {
    name: &'static str,
    about: &'static str,
    needs: &'static [Need],
    runner: Runner,
}

/// What every cargo command here selects: the features of a library follow from what
/// is selected, and another choice would compile everything once more.
const WORKSPACE_TESTS: &[&str] = &["--workspace", "--lib", "--bins", "--tests"];

enum Runner {
    /// `cargo test --workspace`.
    Cargo,
    /// The page of operations against the tables.
    Coverage,
    /// `crates/power-cut`.
    PowerCut,
    /// Files below `tests/`, separated by spaces.
    Pytest(&'static str),
    /// `tests/node`.
    Node,
    /// `tests/go`.
    Go,
    /// A file below `tests/` against two gateways on a cluster, with this data pool.
    PytestOnCeph(&'static str, &'static str),
    /// The ignored tests, which need the cluster that runs beside them.
    CargoBesideCeph,
}

impl Runner {
    /// Whether it runs what cargo made of the workspace for tests.
    fn needs_workspace(&self) -> bool {
        matches!(self, Runner::Cargo | Runner::PowerCut | Runner::CargoBesideCeph)
    }
}

use Need::{Brokers, Ceph, Coscli, Go, Node, Python, Rclone, Strace};

/// Unit tests first; then the longest, so that the ends of the others meet.
const SUITES: &[Suite] = &[
    suite("unit", "cargo test --workspace", &[], Runner::Cargo),
    suite("coverage", "docs/coverage.md says what the tables say", &[], Runner::Coverage),
    suite(
        "rados-engine",
        "the RADOS engine on a real cluster",
        &[Python, Ceph],
        Runner::CargoBesideCeph,
    ),
    suite(
        "rados-boto3",
        "boto3, two gateways on a cluster",
        &[Python, Ceph],
        Runner::PytestOnCeph("sdk/test_boto3.py", "costrel-data"),
    ),
    suite(
        "rados-cos-python",
        "cos-python-sdk-v5, two gateways, erasure-coded bodies",
        &[Python, Ceph],
        Runner::PytestOnCeph("sdk/test_cos_python.py", "costrel-data-ec"),
    ),
    suite(
        "rados-identities",
        "users and temporary keys of one gateway at the other",
        &[Python, Ceph],
        Runner::PytestOnCeph("sdk/test_users.py sdk/test_temporary_keys.py", "costrel-data"),
    ),
    suite(
        "rados-gateways",
        "several gateways: what one does, the others obey; failures of the cluster",
        &[Python, Ceph],
        Runner::Pytest("rados/test_gateways.py"),
    ),
    suite(
        "rados-changes",
        "splits, copies to a cluster and back, rolling restarts behind proxies",
        &[Python, Ceph],
        Runner::Pytest("rados/test_shards.py rados/test_copy.py rados/test_front.py"),
    ),
    suite("crash", "SIGKILL under load, nothing lost", &[Python], Runner::Pytest("crash")),
    suite(
        "rados-crash",
        "SIGKILL of both gateways under load, nothing lost or leaked",
        &[Python, Ceph],
        Runner::PytestOnCeph("crash/test_crash.py", "costrel-data"),
    ),
    suite(
        "rados-reports",
        "logs, inventories and events of two gateways",
        &[Python, Ceph],
        Runner::PytestOnCeph(
            "sdk/test_logs.py sdk/test_inventories.py \
             sdk/test_events.py::test_events_say_what_happened \
             sdk/test_events.py::test_versions_are_named \
             sdk/test_events.py::test_a_killed_server_loses_nothing_and_keeps_the_order",
            "costrel-data",
        ),
    ),
    suite(
        "rados-usage",
        "counts of two gateways added up, series gathered and months closed once",
        &[Python, Ceph],
        Runner::PytestOnCeph(
            "sdk/test_monitor.py::test_series_say_what_clients_have_counted \
             sdk/test_monitor.py::test_a_clean_stop_loses_nothing_and_a_kill_the_last_second \
             sdk/test_bills.py::test_usage_is_what_the_client_has_counted \
             sdk/test_bills.py::test_a_bill_is_usage_times_prices \
             sdk/test_bills.py::test_a_closed_month_keeps_its_prices",
            "costrel-data",
        ),
    ),
    suite("power-cut", "nothing lost without power", &[Strace], Runner::PowerCut),
    suite("awscli", "aws CLI", &[Python], Runner::Pytest("sdk/test_awscli.py")),
    suite("coscmd", "coscmd", &[Python], Runner::Pytest("sdk/test_coscmd.py")),
    suite(
        "rclone",
        "rclone, both dialects' hosts",
        &[Python, Rclone],
        Runner::Pytest("sdk/test_rclone.py"),
    ),
    suite("s3cmd", "s3cmd", &[Python], Runner::Pytest("sdk/test_s3cmd.py")),
    suite("cos-python", "cos-python-sdk-v5", &[Python], Runner::Pytest("sdk/test_cos_python.py")),
    suite("boto3", "boto3", &[Python], Runner::Pytest("sdk/test_boto3.py")),
    suite(
        "versions",
        "versions in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_versions.py"),
    ),
    suite(
        "policies",
        "bucket policies in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_policies.py"),
    ),
    suite("cors", "CORS in both dialects", &[Python], Runner::Pytest("sdk/test_cors.py")),
    suite("symlinks", "symlinks of COS", &[Python], Runner::Pytest("sdk/test_symlinks.py")),
    suite("acls", "ACLs in both dialects", &[Python], Runner::Pytest("sdk/test_acls.py")),
    suite("referers", "referer lists of COS", &[Python], Runner::Pytest("sdk/test_referers.py")),
    suite(
        "websites",
        "static websites, configured in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_websites.py"),
    ),
    suite("tags", "tags in both dialects", &[Python], Runner::Pytest("sdk/test_tags.py")),
    suite(
        "lifecycle",
        "lifecycles in both dialects, with short days",
        &[Python],
        Runner::Pytest("sdk/test_lifecycle.py"),
    ),
    suite(
        "storage-classes",
        "storage classes with places and codecs of their own, in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_storage_classes.py"),
    ),
    suite("usage", "what buckets hold", &[Python], Runner::Pytest("sdk/test_usage.py")),
    suite(
        "monitor",
        "series of buckets, compared with what clients have counted",
        &[Python],
        Runner::Pytest("sdk/test_monitor.py"),
    ),
    suite(
        "dashboard",
        "the dashboard and the alert rules, against what a server exports",
        &[Python],
        Runner::Pytest("sdk/test_dashboard.py"),
    ),
    suite(
        "bills",
        "usage and bills over a month of short days",
        &[Python],
        Runner::Pytest("sdk/test_bills.py"),
    ),
    suite(
        "day",
        "a day, and one with a kill: logs, series, usage and bill are the clients' own count",
        &[Python],
        Runner::Pytest("sdk/test_day.py"),
    ),
    suite("logs", "access logs in both dialects", &[Python], Runner::Pytest("sdk/test_logs.py")),
    suite(
        "inventories",
        "reports of what buckets hold, in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_inventories.py"),
    ),
    suite(
        "events",
        "event notifications, and who takes them",
        &[Python],
        Runner::Pytest("sdk/test_events.py"),
    ),
    suite(
        "brokers",
        "events to NATS, MQTT and Kafka, which come and go",
        &[Python, Brokers],
        Runner::Pytest("sdk/test_brokers.py"),
    ),
    suite("locks", "object lock", &[Python], Runner::Pytest("sdk/test_locks.py")),
    suite("minio", "minio-py", &[Python], Runner::Pytest("sdk/test_minio.py")),
    suite(
        "cross-dialect",
        "put in one dialect, read in the other",
        &[Python],
        Runner::Pytest("sdk/test_cross_dialect.py"),
    ),
    suite(
        "addressing",
        "host names, IPs, proxies",
        &[Python],
        Runner::Pytest("sdk/test_addressing.py"),
    ),
    suite(
        "cloud-api",
        "Tencent Cloud API 3.0: tencentcloud-sdk-python",
        &[Python],
        Runner::Pytest("sdk/test_cloud_api.py"),
    ),
    suite(
        "users",
        "sub-users, keys and policies by the vendor's SDK, in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_users.py"),
    ),
    suite(
        "groups",
        "groups of sub-users by the vendor's SDK, in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_groups.py"),
    ),
    suite(
        "roles",
        "roles by the vendor's SDK, taken on through STS, in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_roles.py"),
    ),
    suite(
        "aws-sts",
        "AWS STS through boto3, and what it says of whoever has a key",
        &[Python],
        Runner::Pytest("sdk/test_aws_sts.py sdk/test_session_tags.py"),
    ),
    suite(
        "web-identity",
        "roles by tokens of an identity provider, which the suite is",
        &[Python],
        Runner::Pytest("sdk/test_web_identity.py"),
    ),
    suite(
        "aws-iam",
        "AWS IAM through boto3, on the objects that CAM has",
        &[Python],
        Runner::Pytest("sdk/test_aws_iam.py sdk/test_aws_iam_labels.py"),
    ),
    suite(
        "decisions",
        "what is decided and by which statement: simulation, explanation, audit log",
        &[Python],
        Runner::Pytest("sdk/test_decisions.py"),
    ),
    suite(
        "commands",
        "costrel user, group, role, key and policy",
        &[Python],
        Runner::Pytest("sdk/test_commands.py"),
    ),
    suite(
        "temporary-keys",
        "temporary keys by the vendor's libraries, in both dialects",
        &[Python],
        Runner::Pytest("sdk/test_temporary_keys.py"),
    ),
    suite("sign", "costrel sign", &[Python], Runner::Pytest("sdk/test_sign.py")),
    suite("bad-input", "hostile requests", &[Python], Runner::Pytest("sdk/test_bad_input.py")),
    suite(
        "operation",
        "start, stop, identity, fsck, damage",
        &[Python],
        Runner::Pytest("sdk/test_operation.py"),
    ),
    suite("node", "cos-nodejs-sdk-v5", &[Python, Node], Runner::Node),
    suite("go", "cos-go-sdk-v5", &[Python, Go], Runner::Go),
    suite("coscli", "coscli", &[Python, Coscli], Runner::Pytest("sdk/test_coscli.py")),
];

const fn suite(
    name: &'static str,
    about: &'static str,
    needs: &'static [Need],
    runner: Runner,
) -> Suite {
    Suite { name, about, needs, runner }
}

pub fn print_list() {
    for suite in SUITES {
        println!("{:14} {}", suite.name, suite.about);
    }
}

enum Outcome {
    Ran {
        counts: Counts,
        took: Duration,
    },
    /// Not run: the machine lacks this.
    LeftOut(Need),
}

/// Runs the suites; true when nothing failed.
pub fn run(options: &TestOptions) -> Result<bool, String> {
    if let Some(name) = options.only.iter().find(|n| SUITES.iter().all(|s| s.name != **n)) {
        return Err(format!("no suite is called {name}; see cargo xtask suites"));
    }
    let chosen: Vec<&Suite> = SUITES
        .iter()
        .filter(|s| options.only.is_empty() || options.only.iter().any(|n| n == s.name))
        .collect();
    let needed: Vec<Need> = chosen.iter().flat_map(|s| s.needs).copied().collect();
    let tools = Tools::set_up(&needed)?;
    let logs = fresh_logs(&tools.cache.join("logs"))?;

    // Outside the suites' time limit, which is for tests that hang, and not beside
    // suites, which would only measure the compiler.
    if options.build && chosen.iter().any(|s| !matches!(s.runner, Runner::Cargo)) {
        process::run(Command::new("cargo").args(["build", "--release"]).current_dir(root()))?;
    }
    if chosen.iter().any(|s| s.runner.needs_workspace()) {
        process::run(Command::new("cargo").arg("build").args(WORKSPACE_TESTS).current_dir(root()))?;
    }
    let runs = Runs { options, tools: &tools, logs: &logs };
    // Unit tests take every core for minutes, and others wait for things beside them.
    let (alone, together): (Vec<&Suite>, Vec<&Suite>) =
        chosen.iter().partition(|s| matches!(s.runner, Runner::Cargo));
    let mut outcomes = runs.side_by_side(&alone, 1)?;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    outcomes.extend(runs.side_by_side(&together, cores + 1)?);
    Ok(summarize(&chosen, &outcomes))
}

/// A folder for this run's logs; those of runs a week ago go.
fn fresh_logs(all: &Path) -> Result<PathBuf, String> {
    let week = Duration::from_secs(7 * 24 * 3600);
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|m| m.modified());
        if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > week)) {
            // Another run may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let logs = all.join(std::process::id().to_string());
    std::fs::create_dir_all(&logs).map_err(|e| format!("cannot create {}: {e}", logs.display()))?;
    Ok(logs)
}

fn summarize(chosen: &[&Suite], outcomes: &[(&'static str, Outcome)]) -> bool {
    println!();
    let mut total = Counts::default();
    for suite in chosen {
        match outcomes.iter().find(|(name, _)| *name == suite.name) {
            Some((_, Outcome::Ran { counts, took })) => {
                total += *counts;
                println!(
                    "{:14} {:5} passed {:4} failed {:4} skipped {:6.1} s",
                    suite.name,
                    counts.passed,
                    counts.failed,
                    counts.skipped,
                    took.as_secs_f32()
                );
            }
            Some((_, Outcome::LeftOut(missing))) => {
                total.skipped += 1;
                println!("{:14} left out: no {missing:?}", suite.name);
            }
            None => {
                total.failed += 1;
                println!("{:14} did not run", suite.name);
            }
        }
    }
    if total.skipped > 0 {
        println!("{} skipped", total.skipped);
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    total.failed == 0
}

struct Runs<'a> {
    options: &'a TestOptions,
    tools: &'a Tools,
    logs: &'a Path,
}

impl Runs<'_> {
    /// Runs suites on up to `width` threads, taking them in order.
    fn side_by_side(
        &self,
        suites: &[&Suite],
        width: usize,
    ) -> Result<Vec<(&'static str, Outcome)>, String> {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::new());
        let work = || -> Result<(), String> {
            while let Some(suite) = suites.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = self.one(suite)?;
                outcomes.lock().map_err(|e| e.to_string())?.push((suite.name, outcome));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..width.min(suites.len())).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().map_err(|_| "a suite's thread panicked".to_owned())?
            })
        })?;
        outcomes.into_inner().map_err(|e| e.to_string())
    }

    fn one(&self, suite: &Suite) -> Result<Outcome, String> {
        if let Some(missing) = suite.needs.iter().find(|need| !self.tools.has(**need)) {
            println!("{:14} left out: no {missing:?}", suite.name);
            return Ok(Outcome::LeftOut(*missing));
        }
        println!("{:14} running", suite.name);
        let begun = Instant::now();
        // pytest's own choice of a folder is not safe against runs beside it.
        let scratch = self.logs.join(format!("{}.files", suite.name));
        let (mut command, format) = match suite.runner {
            Runner::Coverage => {
                let current = coverage::is_current()?;
                let counts =
                    Counts { passed: current.into(), failed: (!current).into(), skipped: 0 };
                if !current {
                    println!("coverage       docs/coverage.md is stale: run cargo xtask coverage");
                }
                return Ok(Outcome::Ran { counts, took: begun.elapsed() });
            }
            Runner::Cargo => (self.cargo_test(), Format::CargoTest),
            Runner::PowerCut => (self.power_cut(), Format::CargoTest),
            Runner::Pytest(path) => (self.pytest(path, &scratch), Format::Pytest),
            Runner::Node => (self.node_test(), Format::Tap),
            Runner::Go => (self.go_test(), Format::GoTest),
            Runner::PytestOnCeph(path, pool) => {
                (self.pytest_on_ceph(path, pool, &scratch), Format::Pytest)
            }
            Runner::CargoBesideCeph => {
                let test = [&["cargo", "test"], WORKSPACE_TESTS, &["--", "--ignored"]].concat();
                (self.beside_ceph(&test), Format::CargoTest)
            }
        };
        command.env("COSTREL_BIN", built("release/costrel"));

        let log_path = self.logs.join(format!("{}.log", suite.name));
        let ended = process::run_logged(&mut command, &log_path, SUITE_LIMIT)?;
        let log = std::fs::read(&log_path)
            .map_err(|e| format!("cannot read {}: {e}", log_path.display()))?;
        let log = String::from_utf8_lossy(&log);
        let mut counts = format.count(&log);
        // A runner that broke off before it counted has failed all the same.
        if !matches!(ended, Ended::Success) && counts.failed == 0 {
            counts.failed = 1;
        }
        let took = begun.elapsed();
        // Only pytest makes the folder, and empties it.
        let _ = std::fs::remove_dir_all(&scratch);
        if counts.failed > 0 {
            println!("---- {} ----\n{}", suite.name, tail(&log, 120));
            println!("---- whole log: {} ----", log_path.display());
        }
        let word = match ended {
            Ended::TimedOut => "timed out",
            _ if counts.failed > 0 => "FAILED",
            _ => "passed",
        };
        println!("{:14} {word} in {:.1} s", suite.name, took.as_secs_f32());
        Ok(Outcome::Ran { counts, took })
    }

    fn cargo_test(&self) -> Command {
        let mut command = Command::new("cargo");
        command.arg("test").args(WORKSPACE_TESTS).arg("--no-fail-fast").current_dir(root());
        command
    }

    fn power_cut(&self) -> Command {
        let mut command = Command::new(built("debug/costrel-power-cut"));
        command.args(["--cuts", &self.options.power_cuts.to_string()]).current_dir(root());
        command
    }

    fn pytest(&self, path: &str, scratch: &Path) -> Command {
        let bin = self.tools.python.clone().unwrap_or_default();
        let mut command = Command::new(bin.join("python"));
        command
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rs"])
            .args(path.split(' '))
            .arg("--basetemp")
            .arg(scratch)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("COSTREL_CRASH_CYCLES", self.options.crash_cycles.to_string())
            .env("COSTREL_CLIENTS", &bin)
            .current_dir(root().join("tests"));
        if let Some(coscli) = &self.tools.coscli {
            command.env("COSTREL_COSCLI", coscli);
        }
        command
    }

    /// A command that runs with a server beside it, see `tests/harness.py`.
    fn beside_a_server(&self, folder: &str, command_line: &[&str]) -> Command {
        let python = self.tools.python.clone().unwrap_or_default().join("python");
        let mut command = Command::new(python);
        command
            .arg("../harness.py")
            .args(command_line)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(root().join("tests").join(folder));
        command
    }

    /// A command that runs with a Ceph cluster beside it, see
    /// `tests/rados/cluster.py`.
    fn beside_ceph(&self, command_line: &[&str]) -> Command {
        let python = self.tools.python.clone().unwrap_or_default().join("python");
        let mut command = Command::new(python);
        command
            .arg(root().join("tests/rados/cluster.py"))
            .args(command_line)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(root());
        command
    }

    fn pytest_on_ceph(&self, path: &str, pool: &str, scratch: &Path) -> Command {
        let pytest = self.pytest(path, scratch);
        let words: Vec<_> = std::iter::once(pytest.get_program())
            .chain(pytest.get_args())
            .filter_map(std::ffi::OsStr::to_str)
            .collect();
        let mut command = self.beside_ceph(&words);
        for (name, value) in pytest.get_envs() {
            value.map(|value| command.env(name, value));
        }
        // Starts and checks take longer there.
        let crashes = (self.options.crash_cycles / CYCLES_PER_CYCLE_ON_CEPH).max(1);
        command.env("COSTREL_CRASH_CYCLES", crashes.to_string());
        command.env("COSTREL_TEST_DATA_POOL", pool).current_dir(root().join("tests"));
        command
    }

    fn node_test(&self) -> Command {
        let mut command = self
            .beside_a_server("node", &["node", "--test", "--test-reporter=tap", "suite.test.js"]);
        command.env("NODE_PATH", self.tools.node.clone().unwrap_or_default());
        command
    }

    fn go_test(&self) -> Command {
        let mut command = self.beside_a_server("go", &["go", "test", "-count=1", "-v", "./..."]);
        command.env("GOFLAGS", "-mod=readonly");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_tests_is_in_a_suite() {
        let in_suites: Vec<&str> = SUITES
            .iter()
            .filter_map(|suite| match suite.runner {
                Runner::Pytest(files) | Runner::PytestOnCeph(files, _) => Some(files),
                _ => None,
            })
            .flat_map(|files| files.split(' '))
            .collect();
        for folder in ["sdk", "crash", "rados"] {
            for entry in std::fs::read_dir(root().join("tests").join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name.starts_with("test_") && name.ends_with(".py") {
                    let path = format!("{folder}/{name}");
                    let is_run = [path.as_str(), folder].iter().any(|of| in_suites.contains(of));
                    assert!(is_run, "{path} is run by no suite");
                }
            }
        }
    }
}
