//! `costrel fsck`: proves that what is stored can be read and nothing else is
//! there.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use costrel_core::engine::Engine;
use costrel_core::fsck::{self, Report};
use costrel_embedded::{EmbeddedEngine, Options};

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// A check does not make what it is to check.
    #[error("{0} is not a directory")]
    NoData(std::path::PathBuf),
    #[error(transparent)]
    Open(#[from] costrel_embedded::OpenError),
    #[error("the check stopped: {0}")]
    Check(#[from] costrel_core::Error),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Checks and prints; succeeds if there are no findings.
pub fn run(data_dir: &Path) -> Result<ExitCode, FsckError> {
    if !data_dir.is_dir() {
        return Err(FsckError::NoData(data_dir.to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let engine = EmbeddedEngine::open(Options::new(data_dir))?;
    let report = runtime.block_on(async {
        let mut last = Instant::now();
        let report = fsck::run(&*engine, |report| {
            if last.elapsed() >= PROGRESS_EVERY {
                last = Instant::now();
                eprintln!("{} objects, {} bytes so far", report.objects, report.bytes);
            }
        })
        .await;
        // Nothing was written; that closing fails says nothing about the data.
        let _ = engine.close().await;
        report
    })?;
    print!("{}", summary(&report));
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&format!("finding: {finding}\n"));
    }
    for (count, what) in [
        (report.buckets, "buckets"),
        (report.objects, "objects"),
        (report.uploads, "open uploads"),
        (report.parts, "parts"),
        (report.blobs, "blobs"),
        (report.bytes, "bytes read and compared"),
        (report.collectable, "left to the collector"),
        (report.findings.len() as u64, "findings"),
    ] {
        text.push_str(&format!("{count:>16} {what}\n"));
    }
    text
}
