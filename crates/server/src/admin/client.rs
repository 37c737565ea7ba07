//! Calls to a running server's IAM, by whoever has the root's key or another that may.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use costrel_core::env::Clock;
use costrel_protocol::{date, percent};
use costrel_signature::sign::{Identity, Outgoing, v4_service};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::AdminError;
use super::xml;
use crate::cli::ServerArgs;
use crate::fetch::system_roots;
use crate::sign::Key;
use crate::world::SystemClock;

const VERSION: &str = "2010-05-08";

/// Time for the server to accept the connection, and to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest answer: a page of a list.
const ANSWER_BYTES_MAX: usize = 16 << 20;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Where the server is, and who asks.
pub struct Client {
    host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    region: String,
    identity: Identity,
    /// When the server answered last, by its own clock, in milliseconds since the Unix
    /// epoch.
    server_ms: Cell<u64>,
}

impl Client {
    pub fn new(args: &ServerArgs) -> Result<Client, AdminError> {
        let wrong = || AdminError::Endpoint(args.endpoint.clone());
        let (scheme, rest) = args.endpoint.split_once("://").ok_or_else(wrong)?;
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '@']) {
            return Err(wrong());
        }
        let tls = match scheme {
            "http" => None,
            "https" => Some(tls(args, host)?),
            _ => return Err(wrong()),
        };
        let key = Key::of(&args.key)?;
        let mut identity = Identity::new(&key.id, &key.secret);
        if let Some(token) = &key.token {
            identity = identity.with_token(token);
        }
        let (host, region) = (host.to_owned(), args.region.clone());
        Ok(Client { host, tls, region, identity, server_ms: Cell::new(SystemClock.now_ms()) })
    }

    /// The time at the server, when it answered last.
    pub fn server_ms(&self) -> u64 {
        self.server_ms.get()
    }

    /// What an action tells, without the parts of it that every answer has.
    pub async fn call(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Value, AdminError> {
        let common = [("Action", action), ("Version", VERSION)];
        let pairs = common.iter().chain(parameters);
        let pairs = pairs.map(|(name, value)| format!("{name}={}", percent::encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let headers = [("content-type", FORM)];
        let outgoing = Outgoing {
            method: "POST",
            host: &self.host,
            bucket_in_host: None,
            path: "/",
            query: &[],
            headers: &headers,
        };
        let now = (SystemClock.now_ms() / 1000) as i64;
        let added =
            v4_service(&self.identity, &outgoing, (&self.region, "iam"), body.as_bytes(), now);
        let mut request = http::Request::post("/").header(http::header::HOST, &self.host);
        request = request.header(http::header::CONTENT_TYPE, FORM);
        for (name, value) in &added {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| AdminError::Answer(error.to_string()))?;
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(self.silent(io::ErrorKind::TimedOut)))?;
        if let Some(server_ms) = answered.date_ms {
            self.server_ms.set(server_ms);
        }
        let status = answered.status;
        let mut answer = match xml::read(&answered.text) {
            Ok(answer) if status.is_success() || answer.get("Error").is_some() => answer,
            Err(error) if status.is_success() => return Err(AdminError::Answer(error.to_string())),
            // A refusal by somebody else.
            _ => return Err(AdminError::NotIam { host: self.host.clone(), status }),
        };
        if let Some(error) = answer.get("Error") {
            let told = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            return Err(AdminError::Refused { code: told("Code"), message: told("Message") });
        }
        let result = answer.get_mut(format!("{action}Result")).map(Value::take);
        Ok(result.unwrap_or(Value::Null))
    }

    /// All entries of a list, page by page.
    pub async fn list(
        &self,
        action: &str,
        name: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<Value>, AdminError> {
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let mut asked = parameters.to_vec();
            asked.push(("MaxItems", "1000"));
            asked.extend(marker.as_deref().map(|marker| ("Marker", marker)));
            let mut page = self.call(action, &asked).await?;
            if let Some(Value::Array(entries)) = page.get_mut(name).map(Value::take) {
                all.extend(entries);
            }
            match page["IsTruncated"].as_str() {
                Some("true") => marker = page["Marker"].as_str().map(str::to_owned),
                _ => return Ok(all),
            }
        }
    }

    fn silent(&self, kind: io::ErrorKind) -> AdminError {
        AdminError::Connect { host: self.host.clone(), source: kind.into() }
    }

    async fn exchange(&self, request: http::Request<Full<Bytes>>) -> Result<Answered, AdminError> {
        let failed = |source| AdminError::Connect { host: self.host.clone(), source };
        let default = if self.tls.is_some() { ":443" } else { ":80" };
        let address = match has_port(&self.host) {
            true => self.host.clone(),
            false => format!("{}{default}", self.host),
        };
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(failed)?;
        match &self.tls {
            None => send(TokioIo::new(stream), request).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(failed)?;
                send(TokioIo::new(stream), request).await
            }
        }
    }
}

struct Answered {
    status: http::StatusCode,
    date_ms: Option<u64>,
    text: String,
}

async fn send<S>(stream: S, request: http::Request<Full<Bytes>>) -> Result<Answered, AdminError>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| AdminError::Answer(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
    // What goes wrong with it, its request hears.
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let (status, date_ms) = (answer.status(), date.and_then(date::parse_http));
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| AdminError::Answer(error.to_string()))?.to_bytes();
    driver.abort();
    Ok(Answered { status, date_ms, text: String::from_utf8_lossy(&body).into_owned() })
}

/// Whether a host stands with a port: `[::1]:9000`, but not `[::1]`.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
}

/// Only what the given certificates vouch for is believed, or the system's.
fn tls(args: &ServerArgs, host: &str) -> Result<(TlsConnector, ServerName<'static>), AdminError> {
    let roots = match &args.ca_file {
        None => system_roots(),
        Some(path) => {
            read_roots(path).map_err(|why| AdminError::Certificates { path: path.clone(), why })?
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AdminError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name =
        if has_port(host) { host.rsplit_once(':').map_or(host, |(name, _)| name) } else { host };
    let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name =
        ServerName::try_from(name).map_err(|_| AdminError::Endpoint(args.endpoint.clone()))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn read_roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_ports_or_not() {
        for (host, expected) in
            [("a:1", true), ("a", false), ("[::1]:9000", true), ("[::1]", false), ("::x", false)]
        {
            assert_eq!(has_port(host), expected, "{host}");
        }
    }
}
