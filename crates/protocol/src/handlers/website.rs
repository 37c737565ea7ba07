//! Static websites: their settings, and what visitors of their hosts get. Nobody signs
//! there, errors are pages, and whatever is shown has to be open to everybody.

use std::sync::{Arc, OnceLock};

use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::website::{RoutingRule, Website};
use costrel_signature::{Form, Payload};
use http::{HeaderMap, Method, StatusCode, header};

use super::upload;
use crate::address::{Address, Endpoint};
use crate::body::{Incoming, ResponseBody};
use crate::dialect::Dialect;
use crate::error::{self, Failure};
use crate::gateway::{Gateway, RequestBody};
use crate::ops::{self, RouteError, Shape};
use crate::percent;
use crate::query::Query;
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, parse_website, write_website};

pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let site = parse_website(&document, request.dialect)?;
    gateway.store.set_website(bucket, site).await?;
    Ok(reply::empty(StatusCode::OK))
}

pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let site = gateway.store.website(bucket).await?;
    Ok(reply::xml(write_website(&site, request.dialect)))
}

pub async fn delete(gateway: &Gateway, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.delete_website(bucket).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// A visitor's request to a website's host.
struct Visit<'a> {
    gateway: &'a Arc<Gateway>,
    request: &'a Request<'a>,
    incoming: &'a mut Incoming,
    /// As it was asked for; empty for the website itself.
    key: &'a str,
}

/// What comes of a visit. An answer may stand for a failure; where there is none, the
/// dialect's own does.
pub struct Visited {
    pub reply: Option<Reply>,
    pub failure: Option<Failure>,
}

impl Visited {
    fn shown(reply: Reply) -> Visited {
        Visited { reply: Some(reply), failure: None }
    }

    fn failed(failure: Failure, reply: Option<Reply>) -> Visited {
        Visited { reply, failure: Some(failure) }
    }
}

/// Answers a visitor.
pub async fn visit(
    gateway: &Arc<Gateway>,
    request: &Request<'_>,
    incoming: &mut Incoming,
) -> Visited {
    let key = request.address.key.as_deref().unwrap_or_default();
    let mut visit = Visit { gateway, request, incoming, key };
    let site = match visit.site().await {
        Ok(site) => site,
        Err(failure) => {
            let page = page(&failure, request, gateway.store.now_ms());
            return Visited::failed(failure, Some(page));
        }
    };
    match visit.answer(&site).await {
        Ok(reply) => Visited::shown(reply),
        // The dialect's own answer has no body either.
        Err(failure @ Failure::Core(Error::NotModified(_))) => Visited::failed(failure, None),
        Err(failure) => visit.answer_error(&site, failure).await,
    }
}

impl Visit<'_> {
    /// Whether there is a bucket without a website is nobody's business.
    async fn site(&mut self) -> Outcome<Arc<Website>> {
        if !matches!(*self.request.method, Method::GET | Method::HEAD) {
            return Err(RouteError::MethodNotAllowed.into());
        }
        let store = &self.gateway.store;
        match store.bucket(self.request.bucket_name()?).await {
            Ok(bucket) => Ok(store.website(&bucket).await?),
            Err(Error::NoSuchBucket) => Err(Error::NoWebsite.into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn answer(&mut self, site: &Website) -> Outcome<Reply> {
        if let Some(all) = &site.redirect_all
            && (!all.host.is_empty() || all.protocol != self.scheme())
        {
            let location = self.location(&all.protocol, &all.host, self.key);
            return Ok(redirect(StatusCode::MOVED_PERMANENTLY, &location));
        }
        if let Some(rule) = site.rule(self.key, None) {
            return Ok(self.routed(rule));
        }
        let key = site.index_of(self.key);
        let failure = match self.fetch(self.request.method, &key, self.request.headers).await {
            Ok(reply) => return Ok(self.redirected(reply)),
            Err(failure) => failure,
        };
        if !self.is_missing(&failure) || key != self.key {
            return Err(failure);
        }
        if site.adds_extension {
            let page = format!("{key}.html");
            if let Ok(reply) = self.fetch(self.request.method, &page, self.request.headers).await {
                return Ok(self.redirected(reply));
            }
        }
        // Links in a folder's index are relative to the folder.
        let folder = format!("{key}/");
        match self.fetch(&Method::HEAD, &site.index_of(&folder), &HeaderMap::new()).await {
            Ok(_) => Ok(redirect(StatusCode::FOUND, &self.location("", "", &folder))),
            Err(_) => Err(failure),
        }
    }

    async fn answer_error(&mut self, site: &Website, failure: Failure) -> Visited {
        let now_ms = self.gateway.store.now_ms();
        let status = error::describe(&failure, self.request.dialect, now_ms).status;
        if let Some(rule) = site.rule(self.key, Some(status.as_u16())) {
            return Visited::failed(failure, Some(self.routed(rule)));
        }
        if status.is_client_error() && !site.error_key.is_empty() {
            // Conditions and ranges are about what was asked for.
            let mut headers = HeaderMap::new();
            for name in [header::HOST, header::REFERER, header::ORIGIN] {
                if let Some(value) = self.request.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            let shown = self.fetch(self.request.method, &site.error_key, &headers).await;
            if let Ok(mut reply) = shown {
                if !site.hides_errors {
                    *reply.status_mut() = status;
                }
                return Visited::failed(failure, Some(reply));
            }
        }
        let page = page(&failure, self.request, now_ms);
        Visited::failed(failure, Some(page))
    }

    /// Whether there may be something else in its place. Who may not list is told of
    /// nothing that it is not there.
    fn is_missing(&self, failure: &Failure) -> bool {
        failure.is_absence() || matches!(failure, Failure::Anonymous)
    }

    /// Gets an object as anybody may at the bucket's own address.
    async fn fetch(&mut self, method: &Method, key: &str, headers: &HeaderMap) -> Outcome<Reply> {
        let request = Request {
            method,
            uri: self.request.uri,
            headers,
            query: Query::default(),
            address: Address {
                endpoint: Endpoint::Rest,
                shape: Shape::Object,
                key: Some(key.to_owned()),
                ..self.request.address.clone()
            },
            dialect: self.request.dialect,
            connection: self.request.connection,
            form: Form::Anonymous,
            identity: None,
            acl: OnceLock::new(),
            notes: self.request.notes,
            id: self.request.id,
        };
        let row = ops::route(request.dialect, method, Shape::Object, &request.query, headers)?;
        let body =
            RequestBody { incoming: self.incoming, payload: Payload::Unsigned, chunks: None };
        self.gateway.dispatch(&request, row, body).await
    }

    /// What an object that has a place to send visitors to is shown as.
    fn redirected(&self, reply: Reply) -> Reply {
        let name = &self.request.dialect.headers().website_redirect_location;
        match reply.headers().get(name).and_then(|value| value.to_str().ok()) {
            None => reply,
            Some(place) => {
                let here = match place.starts_with('/') {
                    true => format!("{}://{}", self.scheme(), self.request.host()),
                    false => String::new(),
                };
                redirect(StatusCode::MOVED_PERMANENTLY, &[&here, place].concat())
            }
        }
    }

    fn routed(&self, rule: &RoutingRule) -> Reply {
        let usual = match self.request.dialect {
            Dialect::Cos => StatusCode::FOUND,
            Dialect::S3 => StatusCode::MOVED_PERMANENTLY,
        };
        let status = u16::try_from(rule.status).ok().and_then(|s| StatusCode::from_u16(s).ok());
        let location = self.location(&rule.protocol, &rule.host, &rule.target(self.key));
        redirect(status.unwrap_or(usual), &location)
    }

    fn scheme(&self) -> &'static str {
        if self.request.connection.is_secure() { "https" } else { "http" }
    }

    /// A URL; what is empty is as in the request.
    fn location(&self, protocol: &str, host: &str, key: &str) -> String {
        let protocol = if protocol.is_empty() { self.scheme() } else { protocol };
        let host = if host.is_empty() { self.request.host() } else { host };
        let key: Vec<_> = key.split('/').map(percent::encode).collect();
        format!("{protocol}://{host}/{}", key.join("/"))
    }
}

fn redirect(status: StatusCode, location: &str) -> Reply {
    let mut reply = reply::empty(status);
    set(&mut reply, header::LOCATION, location);
    reply
}

/// What a browser shows of an error.
fn page(failure: &Failure, request: &Request<'_>, now_ms: u64) -> Reply {
    let described = error::describe(failure, request.dialect, now_ms);
    let (status, code) = (described.status, described.code.of(request.dialect));
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let message = described.message.replace('&', "&amp;").replace('<', "&lt;");
    let html = format!(
        "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n<ul>\n<li>Code: {code}</li>\n<li>Message: {message}</li>\n</ul>\n\
         </body>\n</html>\n"
    );
    let mut reply = reply::with_body(status, ResponseBody::memory(html.into()));
    set(&mut reply, header::CONTENT_TYPE, "text/html; charset=utf-8");
    reply
}
