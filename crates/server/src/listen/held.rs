//! A stream that holds back hyper's own answer to a head it cannot read.
//!
//! Such a head never becomes a request, so hyper answers by itself, with a bare
//! status, and offers no say in it. But that answer always looks the same, is
//! written at once, and is the last that the connection writes: so what looks
//! like it waits here, until it is seen whether the connection ends with it.
//! Whatever else happens (a read, another write) shows that the bytes were part
//! of an ordinary answer, and sends them on first; nothing is ever lost.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

pub struct Held<S> {
    stream: S,
    /// What is held back, and how much of it has been sent on after all.
    held: Vec<u8>,
    sent: usize,
}

impl<S> Held<S> {
    pub fn new(stream: S) -> Held<S> {
        Held { stream, held: Vec::new(), sent: 0 }
    }

    /// The status of hyper's own answer, which is then dropped. To be asked when
    /// the connection has ended with an error of parsing.
    pub fn take_refusal(&mut self) -> Option<StatusCode> {
        own_answer(&std::mem::take(&mut self.held))
    }
}

impl<S: AsyncWrite + Unpin> Held<S> {
    /// Ends a connection that ended otherwise.
    pub async fn finish(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            // Then it was shut down together with the connection.
            return Ok(());
        }
        std::future::poll_fn(|cx| self.poll_send_on(cx)).await?;
        self.stream.shutdown().await
    }

    fn poll_send_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            let rest = &self.held[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

/// The status, if these bytes are an answer as hyper makes it without a service:
/// an error, nothing but hyper's own headers, and no body.
fn own_answer(bytes: &[u8]) -> Option<StatusCode> {
    // Most writes end here.
    if !bytes.starts_with(b"HTTP/1.1 4") || bytes.len() > 256 {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.get("HTTP/1.1 ".len()..)?.get(..3)?.parse().ok()?;
    let own = |line: &str| {
        matches!(line, "connection: close" | "content-length: 0") || line.starts_with("date: ")
    };
    (lines.all(own) && head.contains("\r\ncontent-length: 0")).then_some(status)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_send_on(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send_on(cx))?;
        if own_answer(bytes).is_some() {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        ready!(self.poll_send_on(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Holds on: hyper flushes its own answer before it ends the connection.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Leaves the stream open while something is held: whoever owns it decides
    /// what comes of that, and shuts it down again.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.held.is_empty() {
            true => Pin::new(&mut self.stream).poll_shutdown(cx),
            false => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Full;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What the client gets for these requests, each answered with this body, and
    /// the refusal that was held back at the end.
    async fn served(requests: &str, body: &[u8]) -> (Vec<u8>, Option<StatusCode>) {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let body = Bytes::copy_from_slice(body);
        let serving = tokio::spawn(async move {
            let mut held = Held::new(server);
            let service = service_fn(|_| {
                std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(body.clone()))))
            });
            let mut http = http1::Builder::new();
            http.half_close(true);
            let served = http.serve_connection(TokioIo::new(&mut held), service).await;
            match served {
                Ok(()) => held.finish().await.map(|()| None).unwrap(),
                Err(error) if error.is_parse() => held.take_refusal(),
                Err(error) => panic!("{error}"),
            }
        });
        client.write_all(requests.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        (answers, serving.await.unwrap())
    }

    #[tokio::test]
    async fn what_hyper_says_by_itself_is_recognised() {
        for (head, status) in [
            ("NOT HTTP\r\n\r\n".to_owned(), StatusCode::BAD_REQUEST),
            ("GET / HTTP/9.9\r\n\r\n".to_owned(), StatusCode::BAD_REQUEST),
            (
                format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200)),
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            ),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)), StatusCode::URI_TOO_LONG),
        ] {
            assert_eq!(served(&head, b"").await, (Vec::new(), Some(status)), "{head:.20}");
            // What was answered before is not touched.
            let before = format!("GET / HTTP/1.1\r\n\r\n{head}");
            let (answers, refusal) = served(&before, b"first").await;
            assert!(answers.ends_with(b"first") && refusal == Some(status), "{answers:?}");
        }
    }

    /// A body may hold the very bytes that hyper would write.
    #[tokio::test]
    async fn bodies_that_look_like_it_are_sent() {
        let own = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
            date: Fri, 27 Nov 2026 17:50:00 GMT\r\n\r\n";
        assert_eq!(own_answer(own), Some(StatusCode::BAD_REQUEST));
        let keep = "GET / HTTP/1.1\r\n\r\n";
        let close = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        for (requests, count) in
            [(keep.to_owned(), 1), (close.to_owned(), 1), ([keep, keep, close].concat(), 3)]
        {
            let (answers, refusal) = served(&requests, own).await;
            let answers = String::from_utf8(answers).unwrap();
            assert_eq!(answers.matches("400 Bad Request").count(), count, "{answers}");
            assert!(answers.as_bytes().ends_with(own) && refusal.is_none());
        }
    }
}
