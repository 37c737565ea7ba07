//! One signed request and its answer, on a connection that is kept.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use costrel_signature::Payload;
use costrel_signature::sign::Outgoing;

use crate::http::{Answer, Capture, Connection, ExchangeError};
use crate::payload::{Body, BodyHashes};
use crate::sign::Signer;
use crate::target::{PayloadSigning, Target};

/// SHA-256 of nothing, which the signature of a request without body carries.
const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// A request before it is signed.
pub struct Call<'a> {
    pub method: &'static str,
    /// `None` addresses the bucket.
    pub key: Option<&'a str>,
    /// Names and values, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// First and last byte wanted.
    pub range: Option<(u64, u64)>,
    pub body: Body<'a>,
    pub hashes: BodyHashes,
}

impl<'a> Call<'a> {
    /// A request without body on an object.
    pub fn object(method: &'static str, key: &'a str) -> Self {
        Call {
            method,
            key: Some(key),
            query: &[],
            range: None,
            body: Body::empty(),
            hashes: BodyHashes::default(),
        }
    }

    /// A request without body on the bucket.
    pub fn bucket(method: &'static str, query: &'a [(&'a str, &'a str)]) -> Self {
        Call { key: None, query, ..Call::object(method, "") }
    }
}

/// Sends requests one after another. Buffers are kept between requests.
pub struct Client {
    target: Arc<Target>,
    signer: Signer,
    connection: Option<Connection>,
    /// Decoded path of the request under way.
    path: String,
    head: String,
    /// What the last answer held, as far as it was asked for.
    pub capture: Capture,
}

impl Client {
    pub fn new(target: Arc<Target>) -> Self {
        let signer = Signer::new(target.dialect, &target.credentials, &target.region);
        Client {
            target,
            signer,
            connection: None,
            path: String::new(),
            head: String::new(),
            capture: Capture::default(),
        }
    }

    /// Does one request. Everything but a 2xx answer is a failure, named by a
    /// short text to count it by.
    pub async fn call(&mut self, call: &Call<'_>) -> Result<Answer, String> {
        self.write_head(call);
        let limit = self.target.timeout;
        let Ok(outcome) = tokio::time::timeout(limit, self.exchange(call)).await else {
            self.connection = None;
            return Err("timeout".to_owned());
        };
        match outcome {
            Ok(answer) if answer.status < 300 => Ok(answer),
            Ok(answer) => Err(self.refusal(answer.status)),
            Err(ExchangeError::Io(error)) => Err(io_code(&error)),
            Err(ExchangeError::Malformed(problem)) => Err(format!("not HTTP: {problem}")),
        }
    }

    async fn exchange(&mut self, call: &Call<'_>) -> Result<Answer, ExchangeError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.target.address, self.target.quick_ack).await?,
        };
        let is_head = call.method == "HEAD";
        let outcome =
            connection.exchange(self.head.as_bytes(), &call.body, is_head, &mut self.capture).await;
        if outcome.is_ok() && connection.reusable() {
            self.connection = Some(connection);
        }
        outcome
    }

    fn write_head(&mut self, call: &Call<'_>) {
        let place = &self.target.place;
        self.path.clear();
        match call.key {
            Some(key) => {
                self.path.push_str(&place.key_base);
                self.path.push_str(key);
            }
            None => self.path.push_str(&place.bucket_path),
        }
        let request = Outgoing {
            method: call.method,
            host: &place.host,
            bucket_in_host: place.bucket_in_host.as_deref(),
            path: &self.path,
            query: call.query,
            headers: &[],
        };
        let payload = match (call.hashes.sha256, self.target.payload) {
            (Some(hash), PayloadSigning::Signed) => Payload::Sha256(hash),
            _ if call.body.len() == 0 => Payload::Sha256(EMPTY_SHA256),
            _ => Payload::Unsigned,
        };
        let signed = self.signer.headers(&request, payload, SystemTime::now());

        let head = &mut self.head;
        head.clear();
        // Writing to a string succeeds.
        let _ = write!(head, "{} {} HTTP/1.1\r\n", call.method, request.target());
        let _ = write!(head, "Host: {}\r\n", place.host);
        if let Some((first, last)) = call.range {
            let _ = write!(head, "Range: bytes={first}-{last}\r\n");
        }
        if matches!(call.method, "PUT" | "POST") {
            let _ = write!(head, "Content-Length: {}\r\n", call.body.len());
        }
        if let Some(md5) = &call.hashes.md5_base64 {
            let _ = write!(head, "Content-MD5: {md5}\r\n");
        }
        for (name, value) in signed {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
    }

    /// `404 NoSuchKey`, or the bare status where there is no error document.
    fn refusal(&self, status: u16) -> String {
        let body = String::from_utf8_lossy(&self.capture.body);
        match element(&body, "Code") {
            Some(code) => format!("{status} {code}"),
            None => status.to_string(),
        }
    }
}

/// Text of the first element of that name. Good for the flat answers that are
/// read here, which hold neither attributes nor comments.
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let after = xml.split_once(&format!("<{name}>"))?.1;
    Some(after.split_once(&format!("</{name}>"))?.0)
}

fn io_code(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection closed".to_owned(),
        kind => format!("connection: {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing() {
        let hash = ring::digest::digest(&ring::digest::SHA256, b"");
        assert_eq!(hash.as_ref(), EMPTY_SHA256);
    }

    #[test]
    fn elements() {
        let xml = "<?xml?><Error><Code>NoSuchKey</Code><Message/></Error>";
        assert_eq!(element(xml, "Code"), Some("NoSuchKey"));
        assert_eq!(element(xml, "UploadId"), None);
        assert_eq!(element("<Code>cut", "Code"), None);
    }
}
