//! How the operator's commands ask the running server.
//!
//! At its console endpoint, since no other process may open its data; the master key,
//! which both have, makes the pass for that.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use costrel_core::env::Clock;
use http::Method;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cli::ServeArgs;
use crate::config::{self, ConfigError};
use crate::identity::{self, IdentityError};
use crate::operator::Operator;
use crate::world::SystemClock;

/// Time for the server to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum AskError {
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

/// What the server answers; `query` is a path with its query.
pub fn ask(args: ServeArgs, query: &str) -> Result<String, AskError> {
    Asker::new(args)?.ask(query)
}

/// Somebody who may have several questions.
pub struct Asker {
    address: SocketAddr,
    operator: Operator,
    runtime: tokio::runtime::Runtime,
}

impl Asker {
    pub fn new(args: ServeArgs) -> Result<Asker, AskError> {
        let config = config::load(args.given, args.config.as_deref())?;
        let operator = Operator::new(identity::known_master_key(&config, &identity::process_env)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Asker { address: config.console_listen, operator, runtime })
    }

    /// What the server answers.
    pub fn ask(&self, target: &str) -> Result<String, AskError> {
        self.runtime.block_on(ask_at(self.address, &self.operator, Method::GET, target))
    }

    /// What the server answers to what it is told to do.
    pub fn tell(&self, target: &str) -> Result<String, AskError> {
        self.runtime.block_on(ask_at(self.address, &self.operator, Method::POST, target))
    }
}

/// The target of a question about one bucket.
pub fn about(path: &str, bucket: &str) -> Result<String, AskError> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    match bucket.bytes().all(valid) {
        true => Ok(format!("{path}?bucket={bucket}")),
        false => Err(AskError::Refused(format!("'{bucket}' is no bucket's name"))),
    }
}

async fn ask_at(
    mut address: SocketAddr,
    operator: &Operator,
    method: Method,
    target: &str,
) -> Result<String, AskError> {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let connected = connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(|source| AskError::Connect { address, source })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong with it, its request hears.
    let driver = tokio::spawn(connection);
    let pass = operator.pass(&method, target, SystemClock.now_ms());
    let request = http::Request::builder()
        .method(method)
        .uri(target)
        .header(http::header::HOST, address.to_string())
        .header(http::header::AUTHORIZATION, pass)
        .body(Empty::<Bytes>::new())
        .map_err(|error| AskError::Refused(error.to_string()))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    driver.abort();
    let text = String::from_utf8_lossy(&body).into_owned();
    match status.is_success() {
        true => Ok(text),
        false => Err(AskError::Refused(text.trim_end().to_owned())),
    }
}
