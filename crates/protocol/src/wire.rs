//! Header names on the wire as the real services spell them: `ETag` and
//! `Content-Length`, but `x-cos-request-id`. The Python SDK of COS hands them to
//! its users in a case-sensitive dictionary, so `etag` breaks programs.
//!
//! hyper writes names in lower case, unless a response carries the map of
//! spellings that hyper itself makes when it parses a message with
//! `preserve_header_case`. That type is private, so the map is learnt once per
//! thread by letting hyper's client read a template from memory. The template
//! holds the names that have capitals; every other name, user metadata among
//! them, stays in lower case, which is how both services write `x-cos-*` and
//! `x-amz-*`. The server must therefore not use `title_case_headers`.
//!
//! A name is spelt so once per response: a second line with the same name falls
//! back to lower case. Lists (`Vary`) belong into one line.

use std::cell::OnceCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Extensions, HeaderName, Request, Response};
use http_body_util::Empty;
use hyper::rt::{Read, ReadBufCursor, Write};

/// What hyper's client reads to learn the spellings. Each header that an answer
/// may have and whose name has a capital is here.
const ALL: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Accept-Ranges: x\r\n\
    Access-Control-Allow-Credentials: x\r\n\
    Access-Control-Allow-Headers: x\r\n\
    Access-Control-Allow-Methods: x\r\n\
    Access-Control-Allow-Origin: x\r\n\
    Access-Control-Expose-Headers: x\r\n\
    Access-Control-Max-Age: x\r\n\
    Allow: x\r\n\
    Cache-Control: x\r\n\
    Connection: close\r\n\
    Content-Disposition: x\r\n\
    Content-Encoding: x\r\n\
    Content-Language: x\r\n\
    Content-Length: 0\r\n\
    Content-Range: x\r\n\
    Content-Type: x\r\n\
    Date: x\r\n\
    ETag: x\r\n\
    Expires: x\r\n\
    Last-Modified: x\r\n\
    Location: x\r\n\
    Retry-After: x\r\n\
    Server: x\r\n\
    Transfer-Encoding: identity\r\n\
    Vary: x\r\n\
    \r\n";

/// The names that nearly every answer has, and those that hyper adds by itself.
/// Copying the map is most of what the spelling costs, and this one has less
/// than half as much.
const USUAL: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Accept-Ranges: x\r\n\
    Connection: close\r\n\
    Content-Length: 0\r\n\
    Content-Range: x\r\n\
    Content-Type: x\r\n\
    Date: x\r\n\
    ETag: x\r\n\
    Last-Modified: x\r\n\
    Server: x\r\n\
    Transfer-Encoding: identity\r\n\
    \r\n";

/// Whether [`USUAL`] knows the name, or no template need know it.
fn is_usual(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-")
        || matches!(
            name,
            "accept-ranges"
                | "connection"
                | "content-length"
                | "content-range"
                | "content-type"
                | "date"
                | "etag"
                | "last-modified"
                | "server"
                | "transfer-encoding"
        )
}

/// Makes hyper spell the response's header names as the services do. Called on
/// every response, last.
pub fn spell_headers<B>(response: &mut Response<B>) {
    // Per thread, since all clones of a map share one reference count.
    thread_local! {
        static SPELLINGS: OnceCell<(Extensions, Extensions)> = const { OnceCell::new() };
    }
    SPELLINGS.with(|spellings| {
        let (usual, all) = spellings.get_or_init(|| (learn_or_log(USUAL), learn_or_log(ALL)));
        let fits = response.headers().keys().all(is_usual);
        let spelling = if fits { usual.clone() } else { all.clone() };
        response.extensions_mut().extend(spelling);
    });
}

/// Only a hyper that no longer reads its own kind of message can fail here; the
/// tests would show it. Names then go out in lower case, which HTTP allows.
fn learn_or_log(template: &'static [u8]) -> Extensions {
    learn(template).unwrap_or_else(|error| {
        tracing::error!(%error, "header names will be written in lower case");
        Extensions::new()
    })
}

/// The extensions of the template's response. All of it is in memory, so
/// polling by hand in turns gets there without a runtime.
fn learn(template: &'static [u8]) -> Result<Extensions, LearnError> {
    let mut context = Context::from_waker(Waker::noop());
    let handshake = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake(Memory { unread: template, asked: false });
    let Poll::Ready(ready) = pin!(handshake).poll(&mut context) else {
        return Err(LearnError::Stalled);
    };
    let (mut sender, connection) = ready?;
    let mut connection = pin!(connection);
    let mut answer = pin!(sender.send_request(Request::new(Empty::<Bytes>::new())));
    for _ in 0..16 {
        // An error of the connection reaches the answer as well.
        let _ = connection.as_mut().poll(&mut context);
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return Ok(answer?.into_parts().0.extensions);
        }
    }
    Err(LearnError::Stalled)
}

#[derive(Debug, thiserror::Error)]
enum LearnError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("hyper's client did not finish reading from memory")]
    Stalled,
}

/// A connection whose other side has one answer to anything.
struct Memory {
    unread: &'static [u8],
    /// Whether there was a request; hyper takes an earlier answer for an error.
    asked: bool,
}

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            return Poll::Pending;
        }
        let (now, later) = self.unread.split_at(buffer.remaining().min(self.unread.len()));
        buffer.put_slice(now);
        self.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::header;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The bytes a hyper server sends for a response.
    async fn on_the_wire(request: &str, response: fn() -> Response<Full<Bytes>>) -> String {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let service = service_fn(move |_| async move {
            let mut response = response();
            spell_headers(&mut response);
            Ok::<_, Infallible>(response)
        });
        let serving = tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(server), service),
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        serving.await.unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_real_server_writes_the_services_spelling() {
        let response = || {
            Response::builder()
                .header(header::ETAG, "\"e\"")
                .header(header::LAST_MODIFIED, "Tue, 19 Nov 2019 16:00:00 GMT")
                .header(header::CONTENT_TYPE, "text/plain")
                .header(header::CONTENT_RANGE, "bytes 0-2/9")
                .header(header::ACCEPT_RANGES, "bytes")
                .header(header::SERVER, "costrel")
                .header("x-cos-request-id", "NWU5")
                .header("x-cos-hash-crc64ecma", "1")
                .header("x-cos-meta-foo-bar", "1")
                .header("x-amz-meta-any-name", "2")
                .header("x-amz-id-2", "3")
                .body(Full::new(Bytes::from_static(b"abc")))
                .unwrap()
        };
        let text =
            on_the_wire("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", response).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut names: Vec<&str> =
            head.lines().skip(1).map(|line| line.split_once(": ").unwrap().0).collect();
        names.sort_unstable();
        let want = [
            "Accept-Ranges",
            "Connection",
            "Content-Length",
            "Content-Range",
            "Content-Type",
            "Date",
            "ETag",
            "Last-Modified",
            "Server",
            "x-amz-id-2",
            "x-amz-meta-any-name",
            "x-cos-hash-crc64ecma",
            "x-cos-meta-foo-bar",
            "x-cos-request-id",
        ];
        assert_eq!(names, want);
        assert_eq!(body, "abc");
    }

    /// Every name of the template is written as the template has it, on
    /// keep-alive connections and with chunked bodies too.
    #[tokio::test]
    async fn every_name_of_the_template() {
        let response = || {
            let mut builder = Response::builder();
            for line in std::str::from_utf8(ALL).unwrap().lines().skip(1) {
                if let Some((name, _)) = line.split_once(": ") {
                    let value = match name {
                        "Connection" | "Content-Length" => continue,
                        "Transfer-Encoding" => "chunked",
                        _ => "x",
                    };
                    builder = builder.header(name.to_ascii_lowercase(), value);
                }
            }
            builder.body(Full::new(Bytes::from_static(b"abc"))).unwrap()
        };
        let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n\
                        GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let text = on_the_wire(requests, response).await;
        for line in std::str::from_utf8(ALL).unwrap().lines().skip(1) {
            let name = line.split_once(": ").map_or("", |(name, _)| name);
            if !matches!(name, "" | "Connection" | "Content-Length") {
                let count = text.matches(&format!("\r\n{name}: ")).count();
                assert_eq!(count, 2, "{name}");
            }
        }
    }

    #[test]
    fn the_usual_names_are_those_of_their_template() {
        let names = |template: &'static [u8]| {
            let lines = std::str::from_utf8(template).unwrap().lines().skip(1);
            lines.filter_map(|line| line.split_once(": ")).map(|(name, _)| name)
        };
        let usual: Vec<&str> = names(ALL)
            .filter(|name| is_usual(&name.to_ascii_lowercase().parse().unwrap()))
            .collect();
        assert_eq!(usual, names(USUAL).collect::<Vec<_>>());
        assert!(!learn(USUAL).unwrap().is_empty());
    }
}
