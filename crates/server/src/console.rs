//! The console endpoint: whether the server lives, whether it serves, and its
//! counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use costrel_core::Store;
use costrel_core::engine::Health;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::RwLock;

use crate::listen::Handler;
use crate::logs::LogSink;
use crate::metrics::{self, Exposition, Metrics};

/// Answers on the console endpoint, from before the store is open until the end.
pub struct Console {
    metrics: Arc<Metrics>,
    log: LogSink,
    running: RwLock<Option<Running>>,
    draining: AtomicBool,
}

/// What there is to tell once the store is open.
#[derive(Clone)]
pub struct Running {
    pub store: Arc<Store>,
    pub collector: Arc<costrel_core::collector::CollectorStats>,
    pub lifecycle: Arc<costrel_core::lifecycle::LifecycleStats>,
}

impl Console {
    pub fn new(metrics: Arc<Metrics>, log: LogSink) -> Arc<Self> {
        let draining = AtomicBool::new(false);
        Arc::new(Console { metrics, log, running: RwLock::new(None), draining })
    }

    /// From now on the server is ready, as far as its engine is.
    pub fn set_running(&self, running: Running) {
        *self.running.write() = Some(running);
    }

    /// From now on the server is not ready.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Why the server does not serve everything, if so.
    fn obstacle(&self) -> Option<String> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("stopping".into());
        }
        match &*self.running.read() {
            None => Some("starting".into()),
            Some(running) => match running.store.engine().health() {
                Health::Ready => None,
                Health::ReadOnly(why) => Some(format!("read-only: {why}")),
                Health::Down(why) => Some(format!("down: {why}")),
            },
        }
    }

    fn page(&self) -> String {
        let mut page = Exposition::default();
        self.metrics.write(&mut page, &self.log);
        if let Some(running) = self.running.read().clone() {
            metrics::write_store(&mut page, &running.store, &running.collector);
            metrics::write_lifecycle(&mut page, &running.lifecycle, running.store.now_ms());
        }
        page.finish()
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.obstacle() {
                None => text(StatusCode::OK, "ready\n"),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            "/metrics" => {
                let mut answer = text(StatusCode::OK, self.page());
                let media_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
                answer.headers_mut().insert(CONTENT_TYPE, media_type);
                answer
            }
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

impl Handler for Console {
    type Body = Full<Bytes>;
    type Connection = ();

    fn connection(_: std::net::SocketAddr, _: bool) {}

    async fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        (): &(),
    ) -> Response<Full<Bytes>> {
        self.answer(request.method(), request.uri().path())
    }

    async fn refuse(
        self: &Arc<Self>,
        status: StatusCode,
        _: Request<Incoming>,
        (): &(),
    ) -> Response<Full<Bytes>> {
        text(status, "the head of the request cannot be read\n")
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> Arc<Console> {
        let (log, _) = crate::logs::start(std::io::sink()).unwrap();
        Console::new(Arc::default(), log)
    }

    #[track_caller]
    fn check(console: &Console, method: Method, path: &str, expected: u16) {
        assert_eq!(console.answer(&method, path).status().as_u16(), expected, "{method} {path}");
    }

    #[test]
    fn alive_but_not_ready_before_the_store_is_open() {
        let console = console();
        check(&console, Method::GET, "/healthz", 200);
        check(&console, Method::GET, "/readyz", 503);
        check(&console, Method::GET, "/metrics", 200);
        check(&console, Method::GET, "/other", 404);
        check(&console, Method::PUT, "/healthz", 405);
        assert_eq!(console.obstacle().unwrap(), "starting");
        console.set_draining();
        assert_eq!(console.obstacle().unwrap(), "stopping");
    }
}
