//! One signed request and its answer, on a connection that is kept.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::endpoint::percent_encode;
use crate::http::{Answer, Capture, Connection, ExchangeError};
use crate::payload::{Body, BodyHashes};
use crate::sign::{EMPTY_SHA256, Signed, Signer, UNSIGNED_PAYLOAD, write_query};
use crate::target::{PayloadSigning, Target};

/// A request before it is signed.
pub struct Call<'a> {
    pub method: &'static str,
    /// `None` addresses the bucket.
    pub key: Option<&'a str>,
    /// Sorted by name, values not encoded.
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
    raw_path: String,
    encoded_path: String,
    head: String,
    /// What the last answer held, as far as it was asked for.
    pub capture: Capture,
}

impl Client {
    pub fn new(target: Arc<Target>) -> Self {
        let signer = Signer::new(target.dialect, target.credentials.clone(), &target.region);
        Client {
            target,
            signer,
            connection: None,
            raw_path: String::new(),
            encoded_path: String::new(),
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
        self.raw_path.clear();
        match call.key {
            Some(key) => {
                self.raw_path.push_str(&place.key_base);
                self.raw_path.push_str(key);
            }
            None => self.raw_path.push_str(&place.bucket_path),
        }
        self.encoded_path.clear();
        percent_encode(&self.raw_path, true, &mut self.encoded_path);

        let head = &mut self.head;
        head.clear();
        head.push_str(call.method);
        head.push(' ');
        head.push_str(&self.encoded_path);
        if !call.query.is_empty() {
            head.push('?');
            write_query(call.query, false, head);
        }
        head.push_str(" HTTP/1.1\r\nHost: ");
        head.push_str(&place.host);
        head.push_str("\r\n");
        // Writing to a string succeeds.
        if let Some((first, last)) = call.range {
            let _ = write!(head, "Range: bytes={first}-{last}\r\n");
        }
        if matches!(call.method, "PUT" | "POST") {
            let _ = write!(head, "Content-Length: {}\r\n", call.body.len());
        }
        if let Some(md5) = &call.hashes.md5_base64 {
            head.push_str("Content-MD5: ");
            head.push_str(md5);
            head.push_str("\r\n");
        }
        let payload_hash = match (&call.hashes.sha256_hex, self.target.payload) {
            (Some(hash), PayloadSigning::Signed) => hash,
            _ if call.body.len() == 0 => EMPTY_SHA256,
            _ => UNSIGNED_PAYLOAD,
        };
        let signed = Signed {
            method: call.method,
            encoded_path: &self.encoded_path,
            raw_path: &self.raw_path,
            query: call.query,
            host: &place.host,
            payload_hash,
        };
        self.signer.write_headers(&signed, SystemTime::now(), head);
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
    fn elements() {
        let xml = "<?xml?><Error><Code>NoSuchKey</Code><Message/></Error>";
        assert_eq!(element(xml, "Code"), Some("NoSuchKey"));
        assert_eq!(element(xml, "UploadId"), None);
        assert_eq!(element("<Code>cut", "Code"), None);
    }
}
