//! Answers to work that may take longer than clients wait for a first byte.
//!
//! Both services begin such an answer with status 200 and the XML declaration,
//! send white space while they work, and say at the end whether it succeeded:
//! clients of copies look for `<Error>` under a 200.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use costrel_core::{Error, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Sleep;

use super::ResponseBody;
use crate::reply::{self, Reply};
use crate::request::Outcome;
use crate::xml::DECLARATION;

/// How long the status is held back: what fails sooner has its own. Clients of
/// COS give up after 30 seconds of silence, most others after 60.
const STATUS_AFTER: Duration = Duration::from_secs(10);
const PULSE: Duration = Duration::from_secs(5);

/// Work under way after its answer has begun.
pub struct Late {
    /// Makes the whole document, declaration included.
    work: BoxFuture<'static, Result<Bytes>>,
    pulse: Pin<Box<Sleep>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unbegun,
    Working,
    Over,
}

/// What of a late answer is there.
pub enum Progress {
    /// To be sent, with more to come.
    Piece(Bytes),
    /// The end of the document, or what went wrong; nothing comes after it.
    Done(Result<Bytes>),
    Over,
}

/// What work comes to.
pub struct Document {
    pub body: Bytes,
    /// Said only if the work is done before the answer begins; the document then
    /// says the same.
    pub headers: Vec<(HeaderName, String)>,
}

/// The answer to work that makes a document: all at once if the work is done
/// soon, else bit by bit.
pub async fn answer(
    work: impl Future<Output = Result<Document>> + Send + 'static,
) -> Outcome<Reply> {
    let mut work = AssertUnwindSafe(work)
        .catch_unwind()
        .map(|done| done.unwrap_or_else(|_| Err(Error::Internal("a handler panicked".into()))))
        .boxed();
    if let Ok(document) = tokio::time::timeout(STATUS_AFTER, &mut work).await {
        let document = document?;
        let mut reply = reply::xml(document.body);
        for (name, value) in document.headers {
            reply::set(&mut reply, name, &value);
        }
        return Ok(reply);
    }
    let work = work.map(|done| done.map(|document| document.body)).boxed();
    let pulse = Box::pin(tokio::time::sleep(PULSE));
    let late = Late { work, pulse, state: State::Unbegun };
    let mut reply = reply::with_body(StatusCode::OK, ResponseBody::late(late));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(reply)
}

impl Late {
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        match self.state {
            State::Over => return Poll::Ready(Progress::Over),
            State::Unbegun => {
                self.state = State::Working;
                return Poll::Ready(Progress::Piece(Bytes::from_static(DECLARATION.as_bytes())));
            }
            State::Working => {}
        }
        if let Poll::Ready(done) = self.work.as_mut().poll(cx) {
            self.state = State::Over;
            return Poll::Ready(Progress::Done(done.map(|document| undeclared(&document))));
        }
        if self.pulse.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pulse.as_mut().reset(tokio::time::Instant::now() + PULSE);
        // The timer must know whom to wake next.
        let _ = self.pulse.as_mut().poll(cx);
        Poll::Ready(Progress::Piece(Bytes::from_static(b" ")))
    }
}

/// A document behind its declaration, which has been sent.
pub fn undeclared(document: &Bytes) -> Bytes {
    match document.starts_with(DECLARATION.as_bytes()) {
        true => document.slice(DECLARATION.len()..),
        false => document.clone(),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::body::ErrorShape;
    use crate::dialect::Dialect;

    const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Result/>";

    /// Work that takes so long and ends so.
    async fn after(
        wait: Duration,
        done: impl FnOnce() -> Result<Bytes> + Send + 'static,
    ) -> Outcome<Reply> {
        answer(async move {
            sleep(wait).await;
            Ok(Document { body: done()?, headers: vec![(header::ETAG, "\"e\"".into())] })
        })
        .await
    }

    fn document() -> Result<Bytes> {
        Ok(Bytes::from_static(DOCUMENT.as_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_soon_has_its_own_status() {
        let begun = Instant::now();
        let reply = after(STATUS_AFTER - Duration::from_millis(1), document).await.unwrap();
        assert!(begun.elapsed() < STATUS_AFTER);
        assert_eq!(reply.headers()[header::ETAG], "\"e\"");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, DOCUMENT);
        let failed = after(Duration::from_secs(1), || Err(Error::NoSuchKey)).await;
        assert!(failed.is_err());
        let panicked = after(Duration::from_secs(1), || panic!("a bug")).await;
        assert!(panicked.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_hears_something() {
        let begun = Instant::now();
        let reply = after(Duration::from_secs(600), document).await.unwrap();
        assert_eq!((reply.status(), begun.elapsed()), (StatusCode::OK, STATUS_AFTER));
        let mut body = reply.into_body();
        let (mut all, mut last) = (Vec::new(), Instant::now());
        while let Some(frame) = body.frame().await {
            all.extend_from_slice(&frame.unwrap().into_data().unwrap());
            assert!(last.elapsed() <= PULSE + Duration::from_millis(10));
            last = Instant::now();
        }
        assert_eq!(begun.elapsed().as_secs(), 600);
        let text = String::from_utf8(all).unwrap();
        let (declaration, rest) = text.split_at(DECLARATION.len());
        assert_eq!((declaration, rest.trim_start()), (DECLARATION, "<Result/>"));
        assert!(rest.starts_with("   "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_is_told_at_the_end() {
        for (dialect, second) in [(Dialect::Cos, "TraceId"), (Dialect::S3, "HostId")] {
            let mut reply =
                after(Duration::from_secs(20), || Err(Error::StorageFull)).await.unwrap();
            reply.body_mut().shape_late_errors(|| ErrorShape {
                dialect,
                resource: "/bucket/key".into(),
                request_id: "id".into(),
                second_id: "second".into(),
                now_ms: 0,
            });
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            let text = std::str::from_utf8(&body).unwrap();
            let rest = text.strip_prefix(DECLARATION).unwrap().trim_start();
            assert!(rest.starts_with("<Error><Code>InsufficientStorage</Code>"), "{rest}");
            assert!(rest.contains("<Resource>/bucket/key</Resource><RequestId>id</RequestId>"));
            assert!(rest.ends_with(&format!("<{second}>second</{second}></Error>")), "{rest}");
        }
    }
}
