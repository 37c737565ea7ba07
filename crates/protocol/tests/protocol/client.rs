//! A client that writes requests and reads answers byte by byte.

use std::fmt::Debug;

use costrel_core::account::TemporaryKey;
use costrel_protocol::dialect::Dialect;
use costrel_signature::Payload;
use costrel_signature::sign::{self, Identity, Outgoing, SignedHeaders};
use ring::digest::{SHA256, digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{REGION, World};

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    Nothing,
    CosHeader,
    CosQuery,
    CosMerged,
    V4,
    V4Unsigned,
    V4Query,
    V2,
    V2Query,
}

impl Signing {
    pub const ALL: [Signing; 8] = [
        Signing::CosHeader,
        Signing::CosQuery,
        Signing::CosMerged,
        Signing::V4,
        Signing::V4Unsigned,
        Signing::V4Query,
        Signing::V2,
        Signing::V2Query,
    ];

    pub fn dialect(self) -> Dialect {
        match self {
            Signing::CosHeader | Signing::CosQuery | Signing::CosMerged => Dialect::Cos,
            _ => Dialect::S3,
        }
    }
}

/// The plain endpoint of a dialect's service, for path style.
pub fn endpoint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Cos => "cos.ap-guangzhou.myqcloud.com",
        Dialect::S3 => "s3.ap-guangzhou.amazonaws.com",
    }
}

/// A request to be made.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    pub host: String,
    /// Decoded; the signer encodes it.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub signing: Signing,
    /// Added to the world's time when signing, in seconds.
    pub clock_offset: i64,
    pub key: Option<(String, String)>,
    pub token: Option<String>,
}

fn call(dialect: Dialect, method: &'static str, path: &str) -> Call {
    Call {
        method,
        host: endpoint(dialect).to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        signing: match dialect {
            Dialect::Cos => Signing::CosHeader,
            Dialect::S3 => Signing::V4,
        },
        clock_offset: 0,
        key: None,
        token: None,
    }
}

pub fn get(dialect: Dialect, path: &str) -> Call {
    call(dialect, "GET", path)
}

pub fn head(dialect: Dialect, path: &str) -> Call {
    call(dialect, "HEAD", path)
}

pub fn put(dialect: Dialect, path: &str) -> Call {
    call(dialect, "PUT", path)
}

pub fn post(dialect: Dialect, path: &str) -> Call {
    call(dialect, "POST", path)
}

pub fn delete(dialect: Dialect, path: &str) -> Call {
    call(dialect, "DELETE", path)
}

impl Call {
    pub fn method(mut self, method: &'static str) -> Call {
        self.method = method;
        self
    }

    pub fn host(mut self, host: &str) -> Call {
        self.host = host.to_owned();
        self
    }

    pub fn query(mut self, name: &str, value: &str) -> Call {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Call {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn signing(mut self, signing: Signing) -> Call {
        self.signing = signing;
        self
    }

    pub fn clock_offset(mut self, seconds: i64) -> Call {
        self.clock_offset = seconds;
        self
    }

    pub fn key(mut self, id: &str, secret: &str) -> Call {
        self.key = Some((id.to_owned(), secret.to_owned()));
        self
    }

    /// Signs with a temporary key.
    pub fn temporary(self, key: &TemporaryKey) -> Call {
        let mut call = self.key(key.pair.id(), key.pair.secret().expose());
        call.token = Some(key.token.expose().to_owned());
        call
    }

    pub async fn send(&self, world: &World) -> Answer {
        exchange(world, &self.bytes(world), self.method == "HEAD").await
    }

    /// For calls that are built where they are sent.
    pub async fn send_owned(self, world: &World) -> Answer {
        self.send(world).await
    }

    /// The request on the wire, with its `Content-Length`.
    pub fn bytes(&self, world: &World) -> Vec<u8> {
        let mut bytes = self.head_bytes(world, &[("Content-Length", self.body.len().to_string())]);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The request's head, with further headers that are not signed.
    pub fn head_bytes(&self, world: &World, more: &[(&str, String)]) -> Vec<u8> {
        let (target, added) = self.signed(world);
        let added = added.iter().map(|(name, value)| (*name, value.as_str()));
        let given = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let more = more.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = given.chain(added).chain(more).collect();
        raw_head(self.method, &target, &self.host, &headers)
    }

    /// The target and the headers that the signature adds.
    fn signed(&self, world: &World) -> (String, SignedHeaders) {
        let query: Vec<(&str, &str)> =
            self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let bucket_in_host = self.host.split_once(".objects.example").map(|(bucket, _)| bucket);
        let request = Outgoing {
            method: self.method,
            host: &self.host,
            bucket_in_host,
            path: &self.path,
            query: &query,
            headers: &headers,
        };
        let other = self.key.as_ref().map(|(id, secret)| {
            let identity = Identity::new(id, secret);
            match &self.token {
                Some(token) => identity.with_token(token),
                None => identity,
            }
        });
        let identity = other.as_ref().unwrap_or(&world.identity);
        let now = world.now() + self.clock_offset;
        let window = (now - 60, now + 600);
        let hash = || {
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, &self.body).as_ref());
            Payload::Sha256(hash)
        };
        let plain = request.target();
        match self.signing {
            Signing::Nothing => (plain, Vec::new()),
            Signing::CosHeader => (plain, sign::cos_header(identity, &request, window)),
            Signing::CosQuery => (sign::cos_presign(identity, &request, window, false), Vec::new()),
            Signing::CosMerged => (sign::cos_presign(identity, &request, window, true), Vec::new()),
            Signing::V4 => (plain, sign::v4_header(identity, &request, REGION, hash(), now)),
            Signing::V4Unsigned => {
                (plain, sign::v4_header(identity, &request, REGION, Payload::Unsigned, now))
            }
            Signing::V4Query => {
                (sign::v4_presign(identity, &request, REGION, 600, now), Vec::new())
            }
            Signing::V2 => (plain, sign::v2_header(identity, &request, now)),
            Signing::V2Query => (sign::v2_presign(identity, &request, now + 600), Vec::new()),
        }
    }
}

pub fn raw_head(method: &str, target: &str, host: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Sends bytes on a fresh connection and reads the answer to its end.
pub async fn exchange(world: &World, request: &[u8], is_head: bool) -> Answer {
    let mut stream = world.connect();
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let mut received = Vec::new();
    let sending = async {
        // A server that has answered may close before it has read everything.
        let _ = write.write_all(request).await;
    };
    let (_, result) = tokio::join!(sending, read.read_to_end(&mut received));
    result.expect("a duplex stream does not fail");
    Answer::parse(&received, is_head)
}

/// An answer with its header names as they came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn parse(bytes: &[u8], is_head: bool) -> Answer {
        let mut rest = bytes;
        loop {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
            let end = end.unwrap_or_else(|| {
                panic!("no answer: {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(400)]))
            });
            let head = std::str::from_utf8(&rest[..end]).expect("an answer's head is text");
            rest = &rest[end + 4..];
            let mut lines = head.split("\r\n");
            let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
            if status == 100 {
                continue;
            }
            let headers: Vec<(String, String)> = lines
                .map(|line| {
                    let (name, value) = line.split_once(':').expect("a header line");
                    (name.to_owned(), value.trim().to_owned())
                })
                .collect();
            let mut answer = Answer { status, headers, body: rest.to_vec() };
            if answer.header("Transfer-Encoding") == Some("chunked") && !is_head {
                answer.body = unchunked(rest);
            }
            if is_head || status == 204 || status == 304 {
                assert!(answer.body.is_empty(), "{answer:?}");
            } else if let Some(length) = answer.header("Content-Length") {
                assert_eq!(length.parse(), Ok(answer.body.len()), "{:?}", answer.headers);
            }
            return answer;
        }
    }

    /// By its exact spelling.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The text of the first element with this name.
    pub fn element(&self, name: &str) -> Option<String> {
        self.elements(name).into_iter().next()
    }

    /// The contents of all elements with this name, in order, unescaped.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let mut found = Vec::new();
        let mut rest = self.text();
        while let Some(at) = rest.find(&open) {
            rest = &rest[at + open.len()..];
            let end = rest.find(&close).expect("the element is closed");
            found.push(unescaped(&rest[..end]));
            rest = &rest[end..];
        }
        found
    }

    pub fn has_element(&self, name: &str) -> bool {
        let text = self.text();
        text.contains(&format!("<{name}>")) || text.contains(&format!("<{name}/>"))
    }

    pub fn code(&self) -> String {
        self.element("Code").unwrap_or_default()
    }

    /// Asserts status and error code, and that the error document is complete.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Answer {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.dump());
        for name in ["Code", "Message", "Resource", "RequestId"] {
            let text = self.element(name);
            assert!(text.is_some_and(|text| !text.is_empty()), "{name}: {}", self.dump());
        }
        assert_eq!(self.header("Content-Type"), Some("application/xml"));
        self
    }

    #[track_caller]
    pub fn ok(&self) -> &Answer {
        assert!((200..300).contains(&self.status), "{}", self.dump());
        self
    }

    pub fn dump(&self) -> String {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]);
        format!("{} {:?}\n{body}", self.status, self.headers)
    }
}

fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for code in 1..32u8 {
        out = out.replace(&format!("&#{code};"), &char::from(code).to_string());
        out = out.replace(&format!("&#x{code:X};"), &char::from(code).to_string());
    }
    for (from, to) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        out = out.replace(from, to);
    }
    out
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = std::str::from_utf8(&rest[..end]).expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}
