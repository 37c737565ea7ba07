//! The console endpoint: whether the server lives, whether it serves, and its
//! counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use costrel_core::bill::LedgerError;
use costrel_core::engine::Health;
use costrel_core::{Error, Store};
use costrel_protocol::Gateway;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::RwLock;

use crate::bill;
use crate::events;
use crate::explain;
use crate::lifecycle;
use crate::listen::Handler;
use crate::logs::LogSink;
use crate::logs_top;
use crate::metrics::{self, Exposition, Metrics};
use crate::operator::Operator;
use crate::usage;

/// Answers on the console endpoint, from before the store is open until the end.
pub struct Console {
    metrics: Arc<Metrics>,
    log: LogSink,
    running: RwLock<Option<Running>>,
    draining: AtomicBool,
    holdings: metrics::Holdings,
    /// Held by the one preview that may be under way.
    previewing: tokio::sync::Mutex<()>,
    /// Held by the one reader of delivered logs that there may be.
    reading_logs: tokio::sync::Mutex<()>,
}

/// What there is to tell once the store is open.
#[derive(Clone)]
pub struct Running {
    pub store: Arc<Store>,
    pub gateway: Arc<Gateway>,
    pub audit: Option<LogSink>,
    pub collector: Arc<costrel_core::collector::CollectorStats>,
    pub lifecycle: Arc<costrel_core::lifecycle::LifecycleStats>,
    pub accesses: Arc<costrel_core::tiering::AccessStats>,
    pub counting: Arc<costrel_core::usage::CountingStats>,
    pub logs: Arc<costrel_core::logging::LogStats>,
    pub inventories: Arc<costrel_core::inventory::InventoryStats>,
    pub usage: Arc<costrel_core::usage::UsageStats>,
    /// Whose buckets there are.
    pub uin: u64,
    pub operator: Arc<Operator>,
    /// Rows that a preview looks at in a second, at most.
    pub scan_rate: u64,
}

impl Console {
    pub fn new(metrics: Arc<Metrics>, log: LogSink) -> Arc<Self> {
        Arc::new(Console {
            metrics,
            log,
            running: RwLock::new(None),
            draining: AtomicBool::new(false),
            holdings: metrics::Holdings::default(),
            previewing: tokio::sync::Mutex::new(()),
            reading_logs: tokio::sync::Mutex::new(()),
        })
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

    async fn page(&self) -> String {
        let mut page = Exposition::default();
        self.metrics.write(&mut page, &self.log);
        let running = self.running.read().clone();
        if let Some(running) = running {
            metrics::write_audit(&mut page, running.audit.as_ref());
            metrics::write_store(&mut page, &running.store, &running.collector);
            metrics::write_lifecycle(&mut page, &running.lifecycle, running.store.now_ms());
            metrics::write_accesses(&mut page, &running.accesses, running.store.accesses_dropped());
            metrics::write_logs(&mut page, &running.logs, running.store.requests_dropped());
            metrics::write_inventories(&mut page, &running.inventories);
            metrics::write_upkeep(&mut page, &running.usage);
            metrics::write_traffic(&mut page, &running.store.request_totals());
            let (lanes, now_ms) = (running.store.event_lanes(), running.store.now_ms());
            metrics::write_events(&mut page, lanes, now_ms);
            let (store, counting) = (&running.store, &running.counting);
            let holdings = &self.holdings;
            metrics::write_usage(&mut page, holdings, store, counting, running.uin).await;
        }
        page.finish()
    }

    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
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
                let mut answer = text(StatusCode::OK, self.page().await);
                let media_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
                answer.headers_mut().insert(CONTENT_TYPE, media_type);
                answer
            }
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    /// What there is to tell the operator; or the refusal of who is not.
    fn for_operator(
        &self,
        request: &Request<Incoming>,
        command: &str,
    ) -> Result<Running, Box<Response<Full<Bytes>>>> {
        let Some(running) = self.running.read().clone() else {
            return Err(text(StatusCode::SERVICE_UNAVAILABLE, "starting\n").into());
        };
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let pass = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let now_ms = running.store.now_ms();
        match pass
            .is_some_and(|pass| running.operator.admits(pass, request.method(), target, now_ms))
        {
            true => Ok(running),
            false => {
                let why = format!("for the operator: ask with `costrel {command}`\n");
                Err(text(StatusCode::FORBIDDEN, why).into())
            }
        }
    }

    /// What would come of a request, and by what: it tells what policies say.
    async fn explain(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(request, "policy explain") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        match explain::answer(&running.gateway, request.uri().query().unwrap_or_default()).await {
            Ok(answer) => text(StatusCode::OK, answer),
            Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        }
    }

    /// Bills, and closing months.
    async fn bill(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(request, "bill") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        match bill::answer(&running.store, request.method(), path, query).await {
            Ok((status, said)) => text(status, said),
            Err(LedgerError::Store(error)) => {
                tracing::error!(%error, "a bill cannot be made");
                text(StatusCode::INTERNAL_SERVER_ERROR, "that failed: see the log\n")
            }
            Err(error) => text(StatusCode::CONFLICT, format!("{error}\n")),
        }
    }

    /// What buckets hold: it names them.
    async fn usage(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(request, "usage show") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let bucket = request.uri().query().and_then(|query| query.strip_prefix("bucket="));
        match usage::page(&running.store, running.uin, bucket).await {
            Ok(page) => text(StatusCode::OK, page),
            Err(error @ Error::NoSuchBucket) => {
                text(StatusCode::NOT_FOUND, format!("{}: {error}\n", bucket.unwrap_or_default()))
            }
            Err(error) => {
                tracing::error!(%error, "what buckets hold cannot be read");
                text(StatusCode::INTERNAL_SERVER_ERROR, "that failed: see the log\n")
            }
        }
    }

    /// How deliveries of events go: it names targets, and says why they fail.
    fn events(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        match self.for_operator(request, "events") {
            Ok(running) => text(StatusCode::OK, events::page(&running.store, running.uin)),
            Err(refusal) => *refusal,
        }
    }

    /// How often each object of a bucket was requested: it names keys.
    async fn logs_top(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(request, "logs top BUCKET") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let Ok(_alone) = self.reading_logs.try_lock() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "other logs are being read\n");
        };
        let pairs = request.uri().query().unwrap_or_default().split('&');
        let pairs: Vec<(&str, &str)> = pairs.filter_map(|pair| pair.split_once('=')).collect();
        let value = |name| pairs.iter().find(|pair| pair.0 == name).map_or("", |pair| pair.1);
        let (name, count) = (value("bucket"), value("count").parse());
        match logs_top::page(&running.store, name, count.unwrap_or(logs_top::COUNT_MAX)).await {
            Ok(page) => text(StatusCode::OK, page),
            Err(error @ Error::NoSuchBucket) => {
                text(StatusCode::NOT_FOUND, format!("{name}, or where its logs go: {error}\n"))
            }
            Err(error) => {
                tracing::error!(bucket = name, %error, "delivered logs cannot be read");
                text(StatusCode::INTERNAL_SERVER_ERROR, "that failed: see the log\n")
            }
        }
    }

    /// What a bucket's lifecycle would end now, for the operator alone: it names keys.
    async fn preview(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(request, "lifecycle preview BUCKET") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let Ok(_alone) = self.previewing.try_lock() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "another preview is under way\n");
        };
        let query = request.uri().query().unwrap_or_default();
        let name = query.strip_prefix("bucket=").unwrap_or_default();
        let found = async {
            let bucket = running.store.bucket(name).await?;
            let store = &running.store;
            store.preview_lifecycle(&bucket, running.scan_rate, lifecycle::EXAMPLES).await
        };
        match found.await {
            Ok(preview) => text(StatusCode::OK, lifecycle::text(&preview)),
            Err(error @ (Error::NoSuchBucket | Error::NoLifecycle)) => {
                text(StatusCode::NOT_FOUND, format!("{name}: {error}\n"))
            }
            Err(error) => {
                tracing::error!(bucket = name, %error, "a preview of a lifecycle failed");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the preview failed: see the log\n")
            }
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
        match request.uri().path() {
            lifecycle::PREVIEW_PATH if request.method() == Method::GET => {
                self.preview(&request).await
            }
            explain::PATH if request.method() == Method::GET => self.explain(&request).await,
            usage::PATH if request.method() == Method::GET => self.usage(&request).await,
            events::PATH if request.method() == Method::GET => self.events(&request),
            logs_top::PATH if request.method() == Method::GET => self.logs_top(&request).await,
            path if path.starts_with(bill::PREFIX) => self.bill(&request).await,
            path => self.answer(request.method(), path).await,
        }
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

    async fn check(console: &Console, method: Method, path: &str, expected: u16) {
        assert_eq!(
            console.answer(&method, path).await.status().as_u16(),
            expected,
            "{method} {path}"
        );
    }

    #[tokio::test]
    async fn alive_but_not_ready_before_the_store_is_open() {
        let console = console();
        check(&console, Method::GET, "/healthz", 200).await;
        check(&console, Method::GET, "/readyz", 503).await;
        check(&console, Method::GET, "/metrics", 200).await;
        check(&console, Method::GET, "/other", 404).await;
        check(&console, Method::PUT, "/healthz", 405).await;
        assert_eq!(console.obstacle().unwrap(), "starting");
        console.set_draining();
        assert_eq!(console.obstacle().unwrap(), "stopping");
    }
}
