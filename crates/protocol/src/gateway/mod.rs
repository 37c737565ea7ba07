//! From a request to its answer: address, dialect, authentication, routing,
//! authorization, handler, and a dialect's shape for whatever came of it.

mod perform;
mod refusal;
mod serve;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use costrel_core::Store;
use costrel_core::account::Accounts;
use costrel_core::logging::Logged;
use costrel_core::usage::{InternalNetworks, Meter};
use costrel_signature::{ChunkVerifier, Payload};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use crate::address::Domains;
use crate::auth::Authenticator;
use crate::body::{BodyLimits, Done, ErrorShape, Incoming, ResponseBody};
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::handlers;
use crate::ids::RequestIds;
use crate::logline::{Entry, Trace};
use crate::observe::{self, Notes, Observer, RequestRecord, Source};
use crate::oidc::Documents;
use crate::ops::Operation;
use crate::reply::Reply;
use crate::request::ConnectionInfo;
use crate::traffic::{self, Traffic};

pub struct GatewayOptions {
    pub domains: Domains,
    /// Spoken to clients whose requests tell nothing of their dialect.
    pub default_dialect: Dialect,
    pub body_limits: BodyLimits,
    /// Where keys of identity providers are to be had.
    pub documents: Arc<dyn Documents>,
    /// Where traffic comes from that no bill calls the internet's.
    pub internal_networks: InternalNetworks,
}

/// Serves requests of both dialects from one store.
pub struct Gateway {
    pub(crate) store: Arc<Store>,
    pub(crate) authenticator: Authenticator,
    pub(crate) options: GatewayOptions,
    observer: Arc<dyn Observer>,
    ids: RequestIds,
}

/// A request's body with what its signature says about it.
pub struct RequestBody<'a> {
    pub incoming: &'a mut Incoming,
    pub payload: Payload,
    pub chunks: Option<ChunkVerifier>,
}

/// What was found out about a request before it failed.
struct Progress {
    dialect: Dialect,
    /// Of requests to the services beside COS and S3.
    service: Option<&'static str>,
    /// Whether it is to change what somebody may do, or what a bucket does.
    administers: bool,
    /// Whether it fails for who asks or what he may do.
    refused: bool,
    /// The id in words of neither dialect, for requests to the services beside COS and S3.
    cloud_id: Option<String>,
    record: RequestRecord,
    /// What its line in a log needs besides.
    trace: Trace,
}

impl Progress {
    /// What came of a request to a service beside COS and S3.
    fn note(&mut self, outcome: observe::Outcome) {
        self.service = outcome.service.or(self.service);
        self.refused = outcome.refused;
        self.record.operation = outcome.operation;
        self.record.access_key_id = outcome.access_key_id;
        self.record.code = outcome.code;
        self.record.failure = outcome.failure;
    }
}

impl Gateway {
    pub fn new(
        store: Arc<Store>,
        accounts: Arc<Accounts>,
        options: GatewayOptions,
        observer: Arc<dyn Observer>,
    ) -> Arc<Gateway> {
        Arc::new(Gateway {
            authenticator: Authenticator::new(accounts, options.documents.clone()),
            ids: RequestIds::new(store.now_ms()),
            store,
            options,
            observer,
        })
    }

    /// Answers one request. The answer's body holds what the observer is told
    /// when it has been sent.
    pub async fn handle(
        self: &Arc<Self>,
        request: hyper::Request<hyper::body::Incoming>,
        connection: &ConnectionInfo,
    ) -> hyper::Response<ResponseBody> {
        self.answer(request, connection, None).await
    }

    /// Answers a request whose head the listener does not accept.
    pub async fn refuse_head(
        self: &Arc<Self>,
        status: StatusCode,
        request: hyper::Request<hyper::body::Incoming>,
        connection: &ConnectionInfo,
    ) -> hyper::Response<ResponseBody> {
        self.answer(request, connection, Some(Failure::Head(status))).await
    }

    /// `refusal` is why the request is not even looked at, if so.
    async fn answer(
        self: &Arc<Self>,
        request: hyper::Request<hyper::body::Incoming>,
        connection: &ConnectionInfo,
        refusal: Option<Failure>,
    ) -> hyper::Response<ResponseBody> {
        let begun = Instant::now();
        self.observer.request_begun();
        let (parts, body) = request.into_parts();
        let mut incoming = Incoming::new(body, self.options.body_limits);
        let id = self.ids.next();
        let mut progress = Progress {
            dialect: self.options.default_dialect,
            service: None,
            administers: false,
            refused: false,
            cloud_id: None,
            record: RequestRecord {
                request_id: String::new(),
                dialect: self.options.default_dialect,
                operation: "",
                method: parts.method.as_str().to_owned(),
                path: parts.uri.path().to_owned(),
                bucket: None,
                key: None,
                status: 0,
                code: None,
                message: None,
                failure: None,
                bytes_in: 0,
                bytes_out: 0,
                duration: Default::default(),
                remote: connection.peer,
                user_agent: crate::request::text(&parts.headers, &header::USER_AGENT)
                    .map(str::to_owned),
                access_key_id: None,
                audit: None,
            },
            trace: Trace::default(),
        };
        let mut notes = Notes::default();
        let outcome = match refusal {
            Some(refusal) => Err(refusal),
            None => {
                let noted = (&mut progress, &notes);
                let serving = self.serve(&parts, &mut incoming, *connection, &id, noted);
                let served = AssertUnwindSafe(serving).catch_unwind().await;
                served.unwrap_or(Err(Failure::Internal("a handler panicked")))
            }
        };
        let dialect = progress.dialect;
        let request_id = progress.cloud_id.take().unwrap_or_else(|| id.text(dialect));
        let mut reply = match outcome {
            Ok(reply) => reply,
            Err(failure) => {
                let reply = self.refuse(&parts, &failure, &id, &mut progress);
                let usable = incoming.drain(&parts.headers).await;
                close_unless(usable, reply)
            }
        };
        let is_preflight = parts.method == Method::OPTIONS;
        if let Some(bucket) = progress.record.bucket.as_deref().filter(|_| !is_preflight) {
            handlers::cors::share(self, &parts, dialect, bucket, &mut reply).await;
        }
        reply = close_unless(!expects_in_vain(&parts), reply);
        if parts.method == Method::HEAD {
            reply = headers_only(reply);
        }
        let headers = reply.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            headers.insert(dialect.headers().request_id.clone(), value);
        }
        headers.insert(header::DATE, crate::date::http_date(self.store.now_ms()));
        headers.insert(header::SERVER, HeaderValue::from_static("Costrel"));
        crate::wire::spell_headers(&mut reply);

        reply.body_mut().shape_late_errors(|| ErrorShape {
            dialect,
            resource: refusal::resource(&parts, dialect),
            request_id: request_id.clone(),
            second_id: id.second(dialect),
            now_ms: self.store.now_ms(),
        });
        let (source, deleted) = notes.take_besides();
        let (service, refused) = (progress.service, progress.refused || notes.refused_some());
        let administers = progress.administers || notes.administers();
        let mut record = progress.record;
        if refused || administers || service.is_some() {
            let service = service.unwrap_or(match dialect {
                Dialect::Cos => "cos",
                Dialect::S3 => "s3",
            });
            record.audit = Some(Box::new(notes.audit(service, refused, connection.is_secure())));
        }
        record.request_id = request_id;
        record.dialect = dialect;
        record.status = reply.status().as_u16();
        record.bytes_in = incoming.received();
        let mut trace = progress.trace;
        // What it was about may be there only now.
        let is_made = trace.operation == Some(Operation::CreateBucket)
            && trace.bucket.is_none()
            && reply.status().is_success();
        if let Some(bucket) = record.bucket.as_deref().filter(|_| is_made || !trace.looked_up) {
            self.trace(bucket, &mut trace).await;
        }
        let traffic = trace.bucket.take().map(|bucket| {
            let is_internal = self.options.internal_networks.contains(connection.peer.ip());
            let answer = (dialect, &reply);
            Traffic::new(&self.store, bucket, &trace, &parts, answer, is_internal)
        });
        let logged = trace.logged.take();
        let source = match source {
            Some(source) => self.logged_source(source).await,
            None => None,
        };
        let entry = (logged.is_some() || source.is_some()).then(|| {
            let received = incoming.last_received().unwrap_or(begun);
            let answer = (dialect, &reply);
            let second_id = id.second(dialect);
            let about = (logged, source, deleted);
            Box::new(Entry::new(&self.store, about, trace, &parts, answer, received, second_id))
        });
        let observer = self.observer.clone();
        reply.map(|body| body.observed(Done { observer, record, begun, entry, traffic }))
    }

    /// The source of a copy, if its bucket's log has a line for it.
    async fn logged_source(&self, source: Source) -> Option<(Logged, Source)> {
        match self.store.logged(&source.bucket).await {
            Ok(logged) => logged.filter(Entry::has_more_lines).map(|logged| (logged, source)),
            Err(error) => {
                let bucket = source.bucket.name.as_str();
                self.store.lose_request();
                tracing::warn!(bucket, %error, "whether a copy is logged is not known");
                None
            }
        }
    }

    /// Finds out whether a bucket is there, and whether its requests are logged. Cheap
    /// while the bucket is known.
    async fn trace(&self, name: &str, trace: &mut Trace) {
        trace.looked_up = true;
        let logged = match self.store.bucket(name).await {
            Err(costrel_core::Error::NoSuchBucket) => return,
            Err(error) => Err(error),
            Ok(bucket) => self.store.logged(trace.bucket.insert(bucket)).await,
        };
        match logged {
            Ok(logged) => trace.logged = logged,
            Err(error) => {
                self.store.lose_request();
                tracing::warn!(bucket = name, %error, "whether a request is logged is not known");
            }
        }
        if trace.logged.is_some() || trace.operation.is_some_and(traffic::needs_meter) {
            trace.meter = Some(Arc::new(Meter::default()));
        }
    }

    /// Does a request's work, metered if somebody wants to know what it does.
    async fn traced<T>(&self, meter: Option<Arc<Meter>>, work: impl Future<Output = T>) -> T {
        match meter {
            None => work.await,
            // Most requests need no room for it.
            Some(meter) => Box::pin(async move { meter.around(work).await }).await,
        }
    }
}

/// The answer to a HEAD: everything but the body.
fn headers_only(mut reply: Reply) -> Reply {
    use http_body::Body;
    if !reply.headers().contains_key(header::CONTENT_LENGTH)
        && let Some(length) = reply.body().size_hint().exact()
        && reply.status() != StatusCode::NOT_MODIFIED
        && !reply.status().is_client_error()
        && !reply.status().is_server_error()
    {
        reply.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    reply.map(|_| ResponseBody::headers_only())
}

/// Whether the client waits for a `100 Continue` that hyper does not send because
/// there is no body to continue with. botocore (and so the aws CLI, with every
/// empty file) misreads the next answer on such a connection, unless it ends.
fn expects_in_vain(parts: &Parts) -> bool {
    parts.headers.contains_key(header::EXPECT)
        && parts.headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
        && !parts.headers.contains_key(header::TRANSFER_ENCODING)
}

fn close_unless(usable: bool, mut reply: Reply) -> Reply {
    if !usable {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}
