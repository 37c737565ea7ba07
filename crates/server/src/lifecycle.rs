//! `costrel lifecycle preview`: what a bucket's rules would end now.
//!
//! It asks the running server, at its console endpoint, since no other process may
//! open its data; the master key, which both have, makes the pass for that.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use costrel_core::env::Clock;
use costrel_core::lifecycle::{Ending, Preview};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cli::PreviewArgs;
use crate::config::{self, ConfigError};
use crate::identity::{self, IdentityError};
use crate::operator::Operator;
use crate::world::SystemClock;

/// Path of the preview at the console endpoint.
pub const PREVIEW_PATH: &str = "/lifecycle/preview";

/// Examples of each kind that are shown.
pub const EXAMPLES: usize = 5;

/// Time for the server to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("no server answers at {address}, its console endpoint: {source}")]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("the server's answer cannot be read: {0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Refused(String),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// The request's target for a bucket.
pub fn target(bucket: &str) -> String {
    format!("{PREVIEW_PATH}?bucket={bucket}")
}

pub fn run(args: PreviewArgs) -> Result<(), PreviewError> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if !args.bucket.bytes().all(valid) {
        return Err(PreviewError::Refused(format!("'{}' is no bucket's name", args.bucket)));
    }
    let config = config::load(args.serve.given, args.serve.config.as_deref())?;
    let operator = Operator::new(identity::known_master_key(&config, &identity::process_env)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(config.console_listen, &operator, &target(&args.bucket)))?;
    print!("{answer}");
    Ok(())
}

async fn ask(
    mut address: SocketAddr,
    operator: &Operator,
    target: &str,
) -> Result<String, PreviewError> {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let connected = connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(|source| PreviewError::Connect { address, source })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong with it, its request hears.
    let driver = tokio::spawn(connection);
    let request = http::Request::get(target)
        .header(http::header::HOST, address.to_string())
        .header(http::header::AUTHORIZATION, operator.pass(target, SystemClock.now_ms()))
        .body(Empty::<Bytes>::new())
        .map_err(|error| PreviewError::Refused(error.to_string()))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    driver.abort();
    let text = String::from_utf8_lossy(&body).into_owned();
    match status.is_success() {
        true => Ok(text),
        false => Err(PreviewError::Refused(text.trim_end().to_owned())),
    }
}

/// A preview as people read it.
pub fn text(preview: &Preview) -> String {
    let mut text = String::new();
    for (ending, told) in Ending::ALL.into_iter().zip(&preview.endings) {
        let what = match ending {
            Ending::Deleted => "objects deleted for good",
            Ending::Marked => "objects under a new delete marker",
            Ending::VersionRemoved => "versions removed for good",
            Ending::MarkerRemoved => "delete markers removed",
            Ending::UploadAborted => "uploads aborted",
            Ending::Moved => "objects and versions moved to another storage class",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>16} {what}, {} bytes", told.count, told.bytes);
        for example in &told.examples {
            // A key may have any character; escapes keep it on its line.
            let _ = write!(text, "{:>18} {:?}", "", example.key);
            if let Some(version) = example.version {
                let _ = write!(text, " version {version}");
            }
            let _ = writeln!(text, " by rule {:?}", example.rule_id);
        }
    }
    let _ = writeln!(text, "{:>16} rows looked at", preview.rows);
    text
}

#[cfg(test)]
mod tests {
    use costrel_core::lifecycle::Example;

    use super::*;

    #[test]
    fn previews_are_lines() {
        let mut preview = Preview { rows: 7, ..Preview::default() };
        let example = Example { key: "a\nb".into(), version: None, rule_id: "rule \"one\"".into() };
        preview.endings[0].count = 1;
        preview.endings[0].bytes = 42;
        preview.endings[0].examples.push(example);
        let text = text(&preview);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("               1 objects deleted for good, 42 bytes"));
        let shown = "                   \"a\\nb\" by rule \"rule \\\"one\\\"\"";
        assert_eq!(lines.next(), Some(shown));
        assert_eq!(
            lines.next(),
            Some("               0 objects under a new delete marker, 0 bytes")
        );
        assert_eq!(lines.last(), Some("               7 rows looked at"));
    }
}
