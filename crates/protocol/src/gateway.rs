//! From a request to its answer: address, dialect, authentication, routing,
//! authorization, handler, and a dialect's shape for whatever came of it.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use costrel_core::Store;
use costrel_core::account::Accounts;
use costrel_core::bucket::Bucket;
use costrel_core::logging::Logged;
use costrel_core::usage::{InternalNetworks, Meter};
use costrel_signature::{
    ChunkVerifier, Form, Payload, RequestView, detect, parse, unsigned_payload,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use crate::address::{self, AddressError, Domains, Style};
use crate::auth::{self, Authenticator};
use crate::aws;
use crate::body::{BodyLimits, Done, ErrorShape, Incoming, ResponseBody};
use crate::cloud;
use crate::dialect::Dialect;
use crate::error::{self, Failure};
use crate::handlers;
use crate::ids::{RequestId, RequestIds};
use crate::logline::{Entry, Trace};
use crate::observe::{Notes, Observer, RequestRecord, Source};
use crate::oidc::Documents;
use crate::ops::{self, OpRow, Operation, Shape};
use crate::permission;
use crate::query::Query;
use crate::reply::{self, Reply};
use crate::request::{ConnectionInfo, Outcome, Request, guess_dialect, host_of, with_hoisted};
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
            resource: resource(&parts, dialect),
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
            record.audit = Some(Box::new(notes.audit(service, refused, connection.secure)));
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

    async fn serve(
        self: &Arc<Self>,
        parts: &Parts,
        incoming: &mut Incoming,
        connection: ConnectionInfo,
        id: &RequestId,
        (progress, notes): (&mut Progress, &Notes),
    ) -> Outcome<Reply> {
        let host = host_of(&parts.uri, &parts.headers);
        if let Some(service) = aws::service_of_form(parts, host, incoming).await? {
            let asked = (parts, host, connection);
            return Ok(self.serve_aws(service, asked, incoming, id, (progress, notes)).await);
        }
        if cloud::is_addressed(parts, host) {
            let asked = (parts, host, connection);
            return Ok(self.serve_cloud(asked, incoming, id, (progress, notes)).await);
        }
        if let Some(service) = aws::service_of(parts) {
            let asked = (parts, host, connection);
            return Ok(self.serve_aws(service, asked, incoming, id, (progress, notes)).await);
        }
        let resolved = address::resolve(&parts.uri, host, &self.options.domains);
        let query = Query::parse(parts.uri.query().unwrap_or_default());

        // The dialect first, so that whatever fails is said in the right words.
        let known = resolved.as_ref().ok();
        let pairs = query.as_ref().map(Query::pairs).unwrap_or_default();
        let view = RequestView {
            method: parts.method.as_str(),
            raw_path: parts.uri.path(),
            query: pairs,
            headers: &parts.headers,
            host: host.unwrap_or_default(),
            bucket_in_host: known
                .filter(|address| address.style == Style::VirtualHosted)
                .and_then(|address| address.bucket.as_deref()),
        };
        let form = detect(&view);
        progress.dialect = auth::dialect_of(form)
            .unwrap_or_else(|| guess_dialect(known, &parts.headers, self.options.default_dialect));
        let address = resolved.clone()?;
        // Whoever stands in between may have read the other one.
        if parts.headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(AddressError::BadHost.into());
        }
        let query = query.clone().map_err(Failure::Query)?;
        progress.record.bucket = address.bucket.clone();
        progress.record.key = address.key.clone();

        let headers = match form {
            Form::S3V4Query => with_hoisted(&parts.headers, &query)?,
            _ => Cow::Borrowed(&parts.headers),
        };
        let mut request = Request {
            method: &parts.method,
            uri: &parts.uri,
            headers: &headers,
            query,
            address,
            dialect: progress.dialect,
            connection,
            form,
            identity: None,
            overrides_signed: false,
            notes,
            id,
        };
        progress.trace.form = Some(form);
        if request.address.shape == Shape::Website {
            return self.serve_website(&request, incoming, progress).await;
        }
        let routed = ops::route(
            request.dialect,
            request.method,
            request.address.shape,
            &request.query,
            request.headers,
        );
        if let Ok(row) = &routed {
            progress.record.operation = row.name;
            progress.administers = row.operation.is_some_and(Operation::administers);
            progress.trace.operation = row.operation;
            // Nobody signs one.
            if row.operation == Some(Operation::Preflight) {
                return handlers::cors::preflight(self, &request).await;
            }
            // A form carries its signature among its fields.
            if row.operation == Some(Operation::PostObject) && !is_signed(form) {
                if let Some(bucket) = progress.record.bucket.as_deref() {
                    self.trace(bucket, &mut progress.trace).await;
                }
                let (meter, mut signer) = (progress.trace.meter.clone(), None);
                let told = (&mut progress.dialect, &mut signer);
                let work = handlers::post::post_object(self, request, row, incoming, told);
                let outcome = self.traced(meter, work).await;
                progress.record.access_key_id = signer.as_ref().map(|key| key.id.clone());
                progress.trace.key = signer;
                return outcome;
            }
        }
        let (payload, chunks) = match form {
            Form::Anonymous => match routed {
                Ok(_) if request.dialect == Dialect::S3 => (unsigned_payload(&view)?, None),
                Ok(_) => (Payload::Unsigned, None),
                // Nobody may do what is not there.
                Err(_) => return Err(Failure::Anonymous),
            },
            _ => {
                let row = routed.as_ref().ok().copied();
                let now_ms = self.store.now_ms();
                let authenticated = self.authenticator.authenticate(&view, row, now_ms).await;
                let authenticated = authenticated.inspect_err(|_| {
                    // Whose key was tried is for the logs all the same.
                    let named = parse(&view).ok();
                    let id = named.and_then(|named| named.access_key_id().map(str::to_owned));
                    progress.record.access_key_id = id;
                })?;
                progress.record.access_key_id = Some(authenticated.key.id.clone());
                progress.trace.key = Some(authenticated.key.clone());
                request.identify(authenticated.key);
                request.overrides_signed = authenticated.overrides_signed;
                (authenticated.verified.payload, authenticated.verified.chunks)
            }
        };
        let row = routed?;
        let body = RequestBody { incoming, payload, chunks };
        // Before anything is done: it may be the bucket's end.
        if let Some(bucket) = progress.record.bucket.as_deref() {
            self.trace(bucket, &mut progress.trace).await;
        }
        let meter = progress.trace.meter.clone();
        self.traced(meter, self.dispatch(&request, row, body)).await
    }

    /// Answers a request to a static website's host, whoever signed it.
    async fn serve_website(
        self: &Arc<Self>,
        request: &Request<'_>,
        incoming: &mut Incoming,
        progress: &mut Progress,
    ) -> Outcome<Reply> {
        progress.record.operation = "VisitWebsite";
        progress.trace.is_visit = true;
        if *request.method == Method::OPTIONS {
            return handlers::cors::preflight(self, request).await;
        }
        let visited = handlers::website::visit(self, request, incoming).await;
        match (visited.reply, visited.failure) {
            (Some(reply), failure) => {
                if let Some(failure) = failure {
                    let now_ms = self.store.now_ms();
                    let described = error::describe(&failure, request.dialect, now_ms);
                    progress.record.code = Some(described.code.of(request.dialect));
                    progress.record.failure = Some(failure.to_string());
                    progress.record.message = Some(described.message);
                    progress.refused = failure.is_refusal();
                }
                Ok(reply)
            }
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(Failure::Internal("a visit without an answer")),
        }
    }

    /// Answers a request to Tencent Cloud API 3.0.
    async fn serve_cloud(
        &self,
        asked: (&Parts, Option<&str>, ConnectionInfo),
        incoming: &mut Incoming,
        id: &RequestId,
        (progress, notes): (&mut Progress, &Notes),
    ) -> Reply {
        progress.dialect = Dialect::Cos;
        // Known whatever becomes of it.
        progress.service = Some("cloud");
        let id = progress.cloud_id.insert(id.uuid());
        let (reply, outcome) =
            cloud::serve(&self.authenticator, &self.store, asked, incoming, id, notes).await;
        progress.service = outcome.service.or(progress.service);
        progress.refused = outcome.refused;
        let record = &mut progress.record;
        record.operation = outcome.operation;
        record.access_key_id = outcome.access_key_id;
        record.code = outcome.code;
        record.failure = outcome.failure;
        reply
    }

    /// Answers a request to another service of AWS.
    async fn serve_aws(
        &self,
        service: &'static aws::Service,
        asked: (&Parts, Option<&str>, ConnectionInfo),
        incoming: &mut Incoming,
        id: &RequestId,
        (progress, notes): (&mut Progress, &Notes),
    ) -> Reply {
        progress.dialect = Dialect::S3;
        progress.service = Some(service.name);
        let id = progress.cloud_id.insert(id.uuid());
        let here = (self.store.region(), self.store.now_ms());
        let (reply, outcome) =
            aws::serve(service, &self.authenticator, here, asked, incoming, (&*id, notes)).await;
        progress.refused = outcome.refused;
        let record = &mut progress.record;
        record.operation = outcome.operation;
        record.access_key_id = outcome.access_key_id;
        record.code = outcome.code;
        record.failure = outcome.failure;
        reply
    }

    pub(crate) async fn dispatch(
        self: &Arc<Self>,
        request: &Request<'_>,
        row: &'static OpRow,
        mut body: RequestBody<'_>,
    ) -> Outcome<Reply> {
        use handlers::{bucket, service};
        let Some(operation) = row.operation else {
            // Nobody else can be granted it, so nobody else is told.
            return Err(match row.action.is_some() && request.identity.is_some() {
                true => Failure::NotImplemented(row.name.into()),
                false => permission::refusal(request),
            });
        };
        request.refuse_foreign_copy()?;
        request.refuse_unsupported_parameters()?;
        if row.shape == Shape::Object && !operation.takes_version() {
            request.refuse_version()?;
        }
        match operation {
            // What is done in an account, and no bucket's policy grants.
            Operation::ListBuckets | Operation::CreateBucket => {
                let key = request.identity.as_ref().ok_or(Failure::Anonymous)?;
                permission::check_expected_owner(request, key.account.uin.get())?;
                return match operation {
                    Operation::ListBuckets => {
                        let region = request.address.region.as_deref();
                        self.require_of_account(request, operation, "", region)?;
                        service::list_buckets(self, request).await
                    }
                    // Where it is to be, its document says.
                    _ => bucket::create(self, request, &mut body).await,
                };
            }
            _ => {}
        }
        let bucket = self.permitted_bucket(request, row, request.bucket_name()?).await?;
        let outcome = match request.occasion(&bucket) {
            None => self.perform(request, row, operation, &bucket, body).await,
            Some(occasion) => {
                let work = self.perform_apart(request, row, operation, &bucket, body);
                occasion.around(work).await
            }
        };
        match outcome {
            // Which keys there are not is for those to know who may list.
            Err(failure) if failure.is_absence() && !permission::is_unlimited(request, &bucket) => {
                let key = request.address.key.as_deref().unwrap_or_default();
                match self.permits_listing(request, &bucket, key).await? {
                    true => Err(failure),
                    false => Err(permission::refusal(request)),
                }
            }
            outcome => outcome,
        }
    }

    /// Does what has been permitted, with room of its own: most requests need none for what
    /// is put around it.
    fn perform_apart<'a>(
        self: &'a Arc<Self>,
        request: &'a Request<'_>,
        row: &'static OpRow,
        operation: Operation,
        target: &'a Arc<Bucket>,
        body: RequestBody<'a>,
    ) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(self.perform(request, row, operation, target, body))
    }

    /// Does what has been permitted.
    async fn perform(
        self: &Arc<Self>,
        request: &Request<'_>,
        row: &'static OpRow,
        operation: Operation,
        target: &Arc<Bucket>,
        mut body: RequestBody<'_>,
    ) -> Outcome<Reply> {
        use handlers::{
            acl, bucket, copy, cors, delete, inventory, lifecycle, list, lock, logging, multipart,
            notification, object, policy, referer, restore, symlink, tags, tiering, versions,
            website,
        };
        match operation {
            Operation::ListBuckets | Operation::CreateBucket | Operation::Preflight => {
                Err(Failure::Internal("answered above"))
            }
            Operation::HeadBucket => Ok(bucket::head(request, target)),
            Operation::DeleteBucket => bucket::delete(self, target).await,
            Operation::GetBucketLocation => Ok(bucket::location(request, target)),
            Operation::GetBucketVersioning => Ok(versions::versioning(request, target)),
            Operation::PutBucketVersioning => {
                versions::set_versioning(self, request, target, &mut body).await
            }
            Operation::GetObjectLock => lock::of_bucket(request, target),
            Operation::PutObjectLock => lock::set_of_bucket(self, request, target, &mut body).await,
            Operation::GetObjectRetention => lock::retention(self, request, target).await,
            Operation::PutObjectRetention => {
                lock::set_retention(self, request, target, &mut body).await
            }
            Operation::GetObjectLegalHold => lock::legal_hold(self, request, target).await,
            Operation::PutObjectLegalHold => {
                lock::set_legal_hold(self, request, target, &mut body).await
            }
            Operation::GetObjectTagging => tags::of_object(self, request, target).await,
            Operation::PutObjectTagging => {
                tags::set_of_object(self, request, target, &mut body).await
            }
            Operation::DeleteObjectTagging => tags::delete_of_object(self, request, target).await,
            Operation::GetSymlink => symlink::get(self, request, target).await,
            Operation::PutSymlink => symlink::put(self, request, target).await,
            Operation::GetWebsite => website::get(self, request, target).await,
            Operation::PutWebsite => website::put(self, request, target, &mut body).await,
            Operation::DeleteWebsite => website::delete(self, target).await,
            Operation::GetReferer => referer::get(self, target).await,
            Operation::PutReferer => referer::put(self, request, target, &mut body).await,
            Operation::GetBucketCors => cors::get(self, request, target).await,
            Operation::PutBucketCors => cors::put(self, request, target, &mut body).await,
            Operation::DeleteBucketCors => cors::delete(self, target).await,
            Operation::GetBucketTiering => Ok(tiering::get(request, target)),
            Operation::PutBucketTiering => tiering::put(self, request, target, &mut body).await,
            Operation::GetIdentifiedTiering => tiering::get_identified(self, request, target).await,
            Operation::PutIdentifiedTiering => {
                tiering::put_identified(self, request, target, &mut body).await
            }
            Operation::DeleteIdentifiedTiering => {
                tiering::delete_identified(self, request, target).await
            }
            Operation::ListIdentifiedTiering => {
                tiering::list_identified(self, request, target).await
            }
            Operation::GetBucketTagging => tags::of_bucket(request, target),
            Operation::PutBucketTagging => {
                tags::set_of_bucket(self, request, target, &mut body).await
            }
            Operation::DeleteBucketTagging => tags::delete_of_bucket(self, target).await,
            Operation::GetBucketLifecycle => lifecycle::get(self, request, target).await,
            Operation::PutBucketLifecycle => lifecycle::put(self, request, target, &mut body).await,
            Operation::DeleteBucketLifecycle => lifecycle::delete(self, target).await,
            Operation::GetBucketAcl => acl::of_bucket(request, target),
            Operation::PutBucketAcl => acl::set_of_bucket(self, request, target, &mut body).await,
            Operation::GetObjectAcl => acl::of_object(self, request, target).await,
            Operation::PutObjectAcl => acl::set_of_object(self, request, target, &mut body).await,
            Operation::GetOwnershipControls => acl::ownership(request, target),
            Operation::PutOwnershipControls => {
                acl::set_ownership(self, request, target, &mut body).await
            }
            Operation::DeleteOwnershipControls => acl::delete_ownership(self, target).await,
            Operation::GetBucketLogging => logging::get(self, request, target).await,
            Operation::PutBucketLogging => logging::put(self, request, target, &mut body).await,
            Operation::GetInventory => inventory::get(self, request, target).await,
            Operation::PutInventory => {
                inventory::put(self, request, target, false, &mut body).await
            }
            Operation::PostInventory => {
                inventory::put(self, request, target, true, &mut body).await
            }
            Operation::DeleteInventory => inventory::delete(self, request, target).await,
            Operation::ListInventories => inventory::list(self, request, target).await,
            Operation::GetBucketNotification => notification::get(self, request, target).await,
            Operation::PutBucketNotification => {
                notification::put(self, request, target, &mut body).await
            }
            Operation::GetBucketPolicy => policy::get(self, request, target).await,
            Operation::PutBucketPolicy => policy::put(self, request, target, &mut body).await,
            Operation::DeleteBucketPolicy => policy::delete(self, request, target).await,
            Operation::GetBucketPolicyStatus => policy::status(self, request, target).await,
            Operation::GetPublicAccessBlock => policy::block(request, target),
            Operation::PutPublicAccessBlock => {
                policy::set_block(self, request, target, &mut body).await
            }
            Operation::DeletePublicAccessBlock => policy::delete_block(self, target).await,
            Operation::ListObjectVersions => versions::list(self, request, target).await,
            Operation::ListObjects => list::version_1(self, request, target).await,
            Operation::ListObjectsV2 => list::version_2(self, request, target).await,
            Operation::PutObject => object::put(self, request, target, &mut body).await,
            Operation::CopyObject => copy::copy_object(self, request, row, target).await,
            Operation::AppendObject => object::append(self, request, target, &mut body).await,
            Operation::RestoreObject => restore::restore(self, request, target, &mut body).await,
            Operation::PostObject => {
                Err(Failure::InvalidRequest("A POST form carries its signature in its fields."))
            }
            Operation::GetObject => object::get(self, request, target).await,
            Operation::HeadObject => object::head(self, request, target).await,
            Operation::GetObjectAttributes => object::attributes(self, request, target).await,
            Operation::DeleteObject => delete::delete_object(self, request, target).await,
            Operation::DeleteObjects => {
                delete::delete_objects(self, request, target, &mut body).await
            }
            Operation::CreateMultipartUpload => multipart::initiate(self, request, target).await,
            Operation::UploadPart => multipart::upload_part(self, request, target, &mut body).await,
            Operation::UploadPartCopy => copy::copy_part(self, request, row, target).await,
            Operation::ListParts => multipart::list_parts(self, request, target).await,
            Operation::CompleteMultipartUpload => {
                multipart::complete(self, request, target, &mut body).await
            }
            Operation::AbortMultipartUpload => multipart::abort(self, request, target).await,
            Operation::ListMultipartUploads => multipart::list_uploads(self, request, target).await,
        }
    }

    /// A failure in its dialect's shape.
    fn refuse(
        &self,
        parts: &Parts,
        failure: &Failure,
        id: &RequestId,
        progress: &mut Progress,
    ) -> Reply {
        let dialect = progress.dialect;
        if let Failure::Core(costrel_core::Error::NotModified(info)) = failure {
            let mut reply = reply::empty(StatusCode::NOT_MODIFIED);
            crate::attributes::describe(&mut reply, dialect, info, self.store.now_ms());
            return reply;
        }
        let described = error::describe(failure, dialect, self.store.now_ms());
        progress.record.code = Some(described.code.of(dialect));
        progress.record.failure = Some(failure.to_string());
        progress.refused = failure.is_refusal();
        let resource = resource(parts, dialect);
        let second_id = id.second(dialect);
        let document =
            error::document(&described, dialect, &resource, &id.text(dialect), &second_id);
        progress.record.message = Some(described.message);
        let mut reply = reply::xml(document);
        *reply.status_mut() = described.status;
        reply::set(&mut reply, dialect.headers().second_id.clone(), &second_id);
        if let Failure::Core(costrel_core::Error::InvalidRange { size }) = failure {
            reply::set(&mut reply, header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
        if let Failure::Core(error) = failure {
            describe_marker(&mut reply, dialect, error);
            if let costrel_core::Error::Archived { class, .. } = error {
                reply::set(&mut reply, dialect.headers().storage_class.clone(), class);
            }
        }
        if described.status == StatusCode::SERVICE_UNAVAILABLE {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }
}

/// Says that there is a delete marker where an object was looked for.
fn describe_marker(reply: &mut Reply, dialect: Dialect, error: &costrel_core::Error) {
    use costrel_core::Error::{CurrentIsMarker, VersionIsMarker};
    let version = match error {
        CurrentIsMarker { version } => version,
        VersionIsMarker { version, modified_ms } => {
            let modified = crate::date::http_date(*modified_ms);
            reply.headers_mut().insert(header::LAST_MODIFIED, modified);
            version
        }
        _ => return,
    };
    if reply.status() == StatusCode::METHOD_NOT_ALLOWED {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("DELETE"));
    }
    reply::set(reply, dialect.headers().delete_marker.clone(), "true");
    crate::attributes::set_version(reply, dialect, Some(*version));
}

/// What was asked for, as errors of the dialect name it.
fn resource(parts: &Parts, dialect: Dialect) -> String {
    match dialect {
        Dialect::Cos => {
            let host = host_of(&parts.uri, &parts.headers).unwrap_or_default();
            [host, parts.uri.path()].concat()
        }
        Dialect::S3 => parts.uri.path().to_owned(),
    }
}

fn is_signed(form: Form) -> bool {
    auth::dialect_of(form).is_some()
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
