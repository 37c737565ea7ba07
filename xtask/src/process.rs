//! Running other programs.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Finds a program the way a shell does.
pub fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Runs to the end with output on the terminal; an exit code other than zero is
/// an error.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

/// Runs to the end and returns what it wrote to standard output.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("{command:?} wrote bytes that are no text"))
}

/// How a program ended that was given a limit.
pub enum Ended {
    Success,
    Failure,
    TimedOut,
}

/// Runs with both outputs in `log`; when `limit` has passed, ends the program
/// and everything it started.
pub fn run_logged(command: &mut Command, log: &Path, limit: Duration) -> Result<Ended, String> {
    let out = File::create(log).map_err(|e| format!("cannot create {}: {e}", log.display()))?;
    let err = out.try_clone().map_err(|e| format!("cannot share {}: {e}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    wait(&mut child, limit)
}

fn wait(child: &mut Child, limit: Duration) -> Result<Ended, String> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(|e| format!("cannot wait for a program: {e}"))? {
            Some(status) if status.success() => return Ok(Ended::Success),
            Some(_) => return Ok(Ended::Failure),
            None if Instant::now() > deadline => {
                let group = format!("-{}", child.id());
                run(Command::new("kill").args(["-KILL", "--", &group]))?;
                child.wait().map_err(|e| format!("cannot wait for a program: {e}"))?;
                return Ok(Ended::TimedOut);
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
