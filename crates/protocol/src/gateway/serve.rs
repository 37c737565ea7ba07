//! Whose words a request speaks, whose it is and what it asks for: address, dialect,
//! authentication, routing.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use costrel_signature::{Form, Payload, RequestView, detect, parse, unsigned_payload};
use http::request::Parts;
use http::{Method, header};

use super::{Gateway, Progress, RequestBody};
use crate::address::{self, AddressError, Style};
use crate::auth;
use crate::aws;
use crate::body::Incoming;
use crate::cloud;
use crate::dialect::Dialect;
use crate::error::{self, Failure};
use crate::handlers;
use crate::ids::RequestId;
use crate::observe::Notes;
use crate::ops::{self, Operation, Shape};
use crate::query::Query;
use crate::reply::Reply;
use crate::request::{ConnectionInfo, Outcome, Request, guess_dialect, host_of, with_hoisted};

impl Gateway {
    pub(super) async fn serve(
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
        // hyper takes off the chunks alone, and the rest would be stored as it came.
        let codings = parts.headers.get_all(header::TRANSFER_ENCODING);
        if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Err(Failure::NotImplemented("Transfer-Encoding".into()));
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
            acl: OnceLock::new(),
            notes,
            id,
        };
        progress.trace.form = Some(form);
        if request.address.shape == Shape::Website {
            let speed = request.speed(None)?;
            let mut reply = self.serve_website(&request, incoming, progress).await?;
            reply.body_mut().slow_to(speed);
            return Ok(reply);
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
                let key_id = &mut progress.record.access_key_id;
                let told = (&mut progress.dialect, &mut signer, key_id);
                let work = handlers::post::post_object(self, request, row, incoming, told);
                let outcome = self.traced(meter, work).await;
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
                (authenticated.verified.payload, authenticated.verified.chunks)
            }
        };
        let row = routed?;
        let speed = request.speed(None)?;
        incoming.slow_to(speed);
        let body = RequestBody { incoming, payload, chunks };
        // Before anything is done: it may be the bucket's end.
        if let Some(bucket) = progress.record.bucket.as_deref() {
            self.trace(bucket, &mut progress.trace).await;
        }
        let meter = progress.trace.meter.clone();
        let mut reply = self.traced(meter, self.dispatch(&request, row, body)).await?;
        reply.body_mut().slow_to(speed);
        Ok(reply)
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
        progress.note(outcome);
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
        progress.note(outcome);
        reply
    }
}

fn is_signed(form: Form) -> bool {
    auth::dialect_of(form).is_some()
}
