//! `costrel copy`: moves an installation from one engine to another.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use costrel_core::engine::EngineError;
use costrel_core::transfer::{self, Report, TransferError};

use crate::cli::{CopyArgs, ServeArgs};
use crate::config::{self, Config, ConfigError, EngineKind};
use crate::engine::{self, EngineOpenError};
use crate::identity::{self, IdentityError};

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Memory, in bytes, for the target's caches and buffers.
const TARGET_MEMORY: u64 = 256 << 20;

/// Exit code when the source was served, so that another run has to follow.
const ANOTHER_RUN: u8 = 3;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The data directory.
    Embedded(PathBuf),
    /// The file with its settings, or those that are given to the command.
    Rados(Option<PathBuf>),
}

impl FromStr for End {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("embedded", dir) if !dir.is_empty() => Ok(End::Embedded(dir.into())),
            ("rados", "") => Ok(End::Rados(None)),
            ("rados", file) => Ok(End::Rados(Some(file.into()))),
            _ => Err("embedded:DIRECTORY, rados:FILE or rados"),
        }
    }
}

impl End {
    /// What `serve` would go by there.
    fn config(&self, given: &ServeArgs) -> Result<Config, ConfigError> {
        let mut flags = given.given.clone();
        let mut file = given.config.as_deref();
        match self {
            End::Embedded(dir) => {
                flags.engine = Some(EngineKind::Embedded);
                flags.data_dir = Some(dir.clone());
            }
            End::Rados(own) => {
                if let Some(own) = own {
                    (flags, file) = (config::Given::default(), Some(own.as_path()));
                }
                flags.engine = Some(EngineKind::Rados);
            }
        }
        config::load(flags, file)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the source: {0}")]
    Source(#[source] EngineOpenError),
    #[error("the target: {0}")]
    Target(#[source] EngineOpenError),
    #[error("source and target are the same")]
    Same,
    #[error(transparent)]
    MasterKey(#[from] IdentityError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("closing the target: {0}")]
    Close(#[source] EngineError),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Copies and prints what was done.
pub fn run(args: CopyArgs) -> Result<ExitCode, CopyError> {
    let (from, to) = (args.from.config(&args.serve)?, args.to.config(&args.serve)?);
    if engine::place(&from) == engine::place(&to) && from.rados_namespace == to.rados_namespace {
        return Err(CopyError::Same);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(copy(&from, &to))?;
    print!("{}", summary(&report));
    let code = if report.is_finished() {
        println!("The copy is finished and may be served.{}", key_advice(&from, &to));
        ExitCode::SUCCESS
    } else if report.findings.is_empty() {
        println!(
            "The copy is not finished: the source was being served. Run this again; for the \
             last time when nothing serves it."
        );
        ExitCode::from(ANOTHER_RUN)
    } else {
        println!(
            "The copy is not finished: what is damaged cannot be copied. Delete it, or restore \
             it, and run this again."
        );
        ExitCode::FAILURE
    };
    Ok(code)
}

async fn copy(from: &Config, to: &Config) -> Result<Report, CopyError> {
    let source = engine::open_to_check(from).await.map_err(CopyError::Source)?;
    let target = engine::open(to, TARGET_MEMORY).await.map_err(CopyError::Target)?;
    if from.engine == EngineKind::Embedded && to.engine == EngineKind::Embedded {
        identity::copy_master_key(&from.data_dir, &to.data_dir)?;
    }
    let mut last = Instant::now();
    let copied = transfer::run(source.clone(), target.clone(), move |report| {
        if last.elapsed() >= PROGRESS_EVERY {
            last = Instant::now();
            eprintln!(
                "{} rows compared, {} written, {} bytes of bodies so far",
                report.rows, report.rows_written, report.bytes
            );
        }
    })
    .await;
    // Nothing was written there.
    let _ = source.close().await;
    let closed = target.close().await;
    let report = copied?;
    closed.map_err(CopyError::Close)?;
    Ok(report)
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&format!("finding: {finding}\n"));
    }
    for (count, what) in [
        (report.rows, "rows compared"),
        (report.rows_written, "rows written"),
        (report.rows_removed, "rows removed"),
        (report.bodies, "bodies copied and read back"),
        (report.bytes, "bytes of them"),
        (report.moved, "rows that changed meanwhile"),
        (report.findings.len() as u64, "findings"),
    ] {
        text.push_str(&format!("{count:>16} {what}\n"));
    }
    text
}

/// Keys are carried as they are sealed.
fn key_advice(from: &Config, to: &Config) -> &'static str {
    match (from.engine, to.engine) {
        (EngineKind::Embedded, EngineKind::Embedded) => "",
        _ => " It needs the master key of the source.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read() {
        assert_eq!("embedded:/a:b".parse(), Ok(End::Embedded("/a:b".into())));
        assert_eq!("rados".parse(), Ok(End::Rados(None)));
        assert_eq!("rados:a.toml".parse(), Ok(End::Rados(Some("a.toml".into()))));
        for wrong in ["", "embedded", "embedded:", "memory:x", "/data"] {
            assert!(wrong.parse::<End>().is_err(), "{wrong}");
        }
    }
}
