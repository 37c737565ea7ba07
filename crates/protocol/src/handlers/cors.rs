//! A bucket's CORS rules, what preflights are told of them, and what every other
//! answer tells the browser that gets it.

use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::cors::{Allowed, Cors, Crossing};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};

use super::upload;
use crate::dialect::Dialect;
use crate::error::PreflightFault;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply, set, set_number};
use crate::request::{Outcome, Request, text};
use crate::xml::{CONFIGURATION_BYTES_MAX, parse_cors, write_cors};

/// Most headers that a preflight may name; more are allowed by no rule. Browsers
/// name those that a page sets itself.
const NAMED_HEADERS_MAX: usize = 256;

pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let cors = parse_cors(&document, request.dialect)?;
    gateway.store.set_cors(bucket, cors).await?;
    Ok(reply::empty(StatusCode::OK))
}

pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let cors = gateway.store.cors(bucket).await?;
    Ok(reply::xml(write_cors(&cors, request.dialect)))
}

pub async fn delete(gateway: &Gateway, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.delete_cors(bucket).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Answers a preflight, which nobody signs. It tells a bucket without rules from
/// none as little as anything else that nobody signed.
pub async fn preflight(gateway: &Gateway, request: &Request<'_>) -> Outcome<Reply> {
    let Some(origin) = request.header(&header::ORIGIN) else {
        return Err(PreflightFault::NoOrigin.into());
    };
    let method = request.header(&header::ACCESS_CONTROL_REQUEST_METHOD).unwrap_or_default();
    if !costrel_core::cors::METHODS.contains(&method) {
        return Err(PreflightFault::Method(method.to_owned()).into());
    }
    let disabled = || PreflightFault::Disabled { method: method.to_owned() };
    let cors = match gateway.store.bucket(request.bucket_name()?).await {
        Ok(bucket) => gateway.store.cors(&bucket).await,
        Err(error) => Err(error),
    };
    let cors = match cors {
        Err(Error::NoSuchBucket | Error::NoCors) => return Err(disabled().into()),
        cors => cors?,
    };
    let Some(headers) = named_headers(request.headers) else {
        return Err(PreflightFault::NotAllowed { method: method.to_owned() }.into());
    };
    let crossing = Crossing { origin, method, headers: &headers };
    let Some(allowed) = cors.allows(&crossing) else {
        return Err(PreflightFault::NotAllowed { method: method.to_owned() }.into());
    };
    let mut reply = reply::empty(StatusCode::OK);
    vary(&mut reply, request.dialect, &cors);
    allow(&mut reply, &crossing, allowed);
    Ok(reply)
}

/// Tells the browser whether the page may see the answer, be it an error: one that
/// a page cannot read looks to it like a network that is down. A request that no
/// rule allows is served all the same, since it may come from anything but a page.
pub async fn share(
    gateway: &Gateway,
    parts: &Parts,
    dialect: Dialect,
    bucket: &str,
    reply: &mut Reply,
) {
    let origin = text(&parts.headers, &header::ORIGIN);
    let is_cached = matches!(parts.method, Method::GET | Method::HEAD);
    if origin.is_none() && !is_cached {
        return;
    }
    let Ok(bucket) = gateway.store.bucket(bucket).await else { return };
    let cors = match gateway.store.cors(&bucket).await {
        Ok(cors) => cors,
        Err(Error::NoCors) => return,
        Err(error) => {
            tracing::warn!(bucket = %bucket.name, %error, "an answer goes without its CORS headers");
            return;
        }
    };
    // Also where there is no origin: the answer without these headers must not
    // be taken from a cache for a page that needs them.
    vary(reply, dialect, &cors);
    let (Some(origin), Some(headers)) = (origin, named_headers(&parts.headers)) else { return };
    let method = text(&parts.headers, &header::ACCESS_CONTROL_REQUEST_METHOD);
    let method = method.unwrap_or(parts.method.as_str());
    let crossing = Crossing { origin, method, headers: &headers };
    if let Some(allowed) = cors.allows(&crossing) {
        allow(reply, &crossing, allowed);
    }
}

/// The headers that a request of another origin would send; `None` if they cannot be
/// read or are too many.
fn named_headers(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for value in headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        let list = value.to_str().ok()?.split(',').map(str::trim);
        for name in list.filter(|name| !name.is_empty()) {
            if names.len() == NAMED_HEADERS_MAX {
                return None;
            }
            names.push(name);
        }
    }
    Some(names)
}

fn vary(reply: &mut Reply, dialect: Dialect, cors: &Cors) {
    if dialect == Dialect::S3 || cors.vary {
        let names = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
        set(reply, header::VARY, names);
    }
}

fn allow(reply: &mut Reply, crossing: &Crossing<'_>, allowed: Allowed<'_>) {
    let rule = allowed.rule;
    if allowed.any_origin {
        set(reply, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        set(reply, header::ACCESS_CONTROL_ALLOW_ORIGIN, crossing.origin);
        set(reply, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    set(reply, header::ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
    if !crossing.headers.is_empty() {
        set(reply, header::ACCESS_CONTROL_ALLOW_HEADERS, &crossing.headers.join(", "));
    }
    if !rule.exposed.is_empty() {
        set(reply, header::ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed.join(", "));
    }
    if let Some(seconds) = rule.max_age_s {
        set_number(reply, header::ACCESS_CONTROL_MAX_AGE, seconds.into());
    }
}
