//! The console endpoint: whether the server lives, whether it serves, and its
//! counters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use costrel_core::bill::LedgerError;
use costrel_core::engine::Health;
use costrel_core::{Error, Store};
use costrel_protocol::dialect::Dialect;
use costrel_protocol::{Audit, ConnectionInfo, Gateway, RequestRecord, TlsVersion};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::RwLock;

use crate::audit::AuditLog;
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

/// A request, and where it comes from.
#[derive(Clone, Copy)]
struct Asked<'a> {
    request: &'a Request<Incoming>,
    connection: &'a ConnectionInfo,
}

impl Asked<'_> {
    /// Tells the audit log what came of it.
    fn audit(self, running: &Running, command: &'static str, answer: &Response<Full<Bytes>>) {
        let Some(sink) = &running.audit else { return };
        let status = answer.status();
        let refused = status == StatusCode::FORBIDDEN;
        let agent = self.request.headers().get(USER_AGENT);
        let record = RequestRecord {
            request_id: String::new(),
            dialect: Dialect::S3,
            operation: command,
            method: self.request.method().as_str().to_owned(),
            path: self.request.uri().path().to_owned(),
            bucket: None,
            key: None,
            status: status.as_u16(),
            code: status.canonical_reason().filter(|_| !status.is_success()),
            message: None,
            failure: refused.then(|| "no pass of the operator's".to_owned()),
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            remote: self.connection.peer,
            user_agent: agent.and_then(|agent| agent.to_str().ok()).map(str::to_owned),
            access_key_id: None,
            audit: Some(Box::new(Audit {
                service: "console",
                refused,
                caller: (!refused).then(|| "the operator".to_owned()),
                session: None,
                issuer: None,
                explained: None,
                about: self.about(),
                refused_keys: None,
                secure: self.connection.is_secure(),
            })),
        };
        AuditLog::new(sink.clone()).write(&record);
    }

    /// Which bucket or month it is about.
    fn about(self) -> Vec<(&'static str, String)> {
        let pairs = self.request.uri().query().unwrap_or_default().split('&');
        let pairs: Vec<(&str, &str)> = pairs.filter_map(|pair| pair.split_once('=')).collect();
        let value = |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let known = ["bucket", "month"].into_iter();
        known.filter_map(|name| Some((name, value(name)?.chars().take(256).collect()))).collect()
    }
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

    /// What there is to tell the operator; or the refusal of who is not, which is audited.
    fn for_operator(
        &self,
        asked: Asked<'_>,
        command: &'static str,
    ) -> Result<Running, Box<Response<Full<Bytes>>>> {
        let Some(running) = self.running.read().clone() else {
            return Err(text(StatusCode::SERVICE_UNAVAILABLE, "starting\n").into());
        };
        let request = asked.request;
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let pass = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let now_ms = running.store.now_ms();
        match pass
            .is_some_and(|pass| running.operator.admits(pass, request.method(), target, now_ms))
        {
            true => Ok(running),
            false => {
                let why = format!("for the operator: ask with `costrel {command}`\n");
                let refusal = text(StatusCode::FORBIDDEN, why);
                asked.audit(&running, command, &refusal);
                Err(refusal.into())
            }
        }
    }

    /// What would come of a request, and by what: it tells what policies say.
    async fn explain(&self, asked: Asked<'_>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(asked, "policy explain") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        match explain::answer(&running.gateway, asked.request.uri().query().unwrap_or_default())
            .await
        {
            Ok(answer) => text(StatusCode::OK, answer),
            Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        }
    }

    /// Bills, and closing months.
    async fn bill(&self, asked: Asked<'_>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(asked, "bill") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let (method, uri) = (asked.request.method(), asked.request.uri());
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let answer = match bill::answer(&running.store, method, path, query).await {
            Ok((status, said)) => text(status, said),
            Err(LedgerError::Store(error)) => {
                tracing::error!(%error, "a bill cannot be made");
                text(StatusCode::INTERNAL_SERVER_ERROR, "that failed: see the log\n")
            }
            Err(error) => text(StatusCode::CONFLICT, format!("{error}\n")),
        };
        if method != Method::GET {
            asked.audit(&running, "bill", &answer);
        }
        answer
    }

    /// What buckets hold: it names them.
    async fn usage(&self, asked: Asked<'_>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(asked, "usage show") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let bucket = asked.request.uri().query().and_then(|query| query.strip_prefix("bucket="));
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
    fn events(&self, asked: Asked<'_>) -> Response<Full<Bytes>> {
        match self.for_operator(asked, "events") {
            Ok(running) => text(StatusCode::OK, events::page(&running.store, running.uin)),
            Err(refusal) => *refusal,
        }
    }

    /// How often each object of a bucket was requested: it names keys.
    async fn logs_top(&self, asked: Asked<'_>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(asked, "logs top BUCKET") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let Ok(_alone) = self.reading_logs.try_lock() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "other logs are being read\n");
        };
        let pairs = asked.request.uri().query().unwrap_or_default().split('&');
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
    async fn preview(&self, asked: Asked<'_>) -> Response<Full<Bytes>> {
        let running = match self.for_operator(asked, "lifecycle preview BUCKET") {
            Ok(running) => running,
            Err(refusal) => return *refusal,
        };
        let Ok(_alone) = self.previewing.try_lock() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "another preview is under way\n");
        };
        let query = asked.request.uri().query().unwrap_or_default();
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
    type Connection = ConnectionInfo;

    fn connection(peer: SocketAddr, tls: Option<TlsVersion>) -> ConnectionInfo {
        ConnectionInfo { peer, tls }
    }

    async fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &ConnectionInfo,
    ) -> Response<Full<Bytes>> {
        let asked = Asked { request: &request, connection };
        match request.uri().path() {
            lifecycle::PREVIEW_PATH if request.method() == Method::GET => self.preview(asked).await,
            explain::PATH if request.method() == Method::GET => self.explain(asked).await,
            usage::PATH if request.method() == Method::GET => self.usage(asked).await,
            events::PATH if request.method() == Method::GET => self.events(asked),
            logs_top::PATH if request.method() == Method::GET => self.logs_top(asked).await,
            path if path.starts_with(bill::PREFIX) => self.bill(asked).await,
            path => self.answer(request.method(), path).await,
        }
    }

    async fn refuse(
        self: &Arc<Self>,
        status: StatusCode,
        _: Request<Incoming>,
        _: &ConnectionInfo,
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
