//! `costrel fsck`: proves that what is stored can be read and nothing else is
//! there.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use costrel_core::fsck::{self, Report};

use crate::cli::ServeArgs;
use crate::config::{self, ConfigError};
use crate::engine::{self, EngineOpenError};

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Open(#[from] EngineOpenError),
    #[error("the check stopped: {0}")]
    Check(#[source] costrel_core::Error),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Checks and prints; succeeds if there are no findings.
pub fn run(args: ServeArgs) -> Result<ExitCode, FsckError> {
    let config = config::load(args.given, args.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let engine = engine::open_to_check(&config).await?;
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
        report.map_err(FsckError::Check)
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
        (report.versions, "versions"),
        (report.uploads, "open uploads"),
        (report.parts, "parts"),
        (report.blobs, "blobs"),
        (report.bytes, "bytes read and compared"),
        (report.collectable, "left to the collector"),
        (report.uncounted, "rows not counted yet"),
        (report.findings.len() as u64, "findings"),
    ] {
        text.push_str(&format!("{count:>16} {what}\n"));
    }
    text
}
