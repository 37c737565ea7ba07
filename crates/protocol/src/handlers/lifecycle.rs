//! A bucket's lifecycle, and what answers about objects and uploads say of it.

use costrel_core::bucket::Bucket;
use costrel_core::lifecycle::{Foreseen, TransitionMinimum};
use costrel_core::names::ObjectKey;
use costrel_core::tags::Tags;
use http::StatusCode;

use super::upload;
use crate::date;
use crate::dialect::{self, Dialect};
use crate::gateway::{Gateway, RequestBody};
use crate::percent;
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request, bad_header};
use crate::xml::{LIFECYCLE_BYTES_MAX, parse_lifecycle, write_lifecycle};

/// Which objects transitions pass over, in the words of S3.
const ALWAYS_128K: &str = "all_storage_classes_128K";
const VARIES: &str = "varies_by_storage_class";

pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, LIFECYCLE_BYTES_MAX).await?;
    let name = dialect::s3::TRANSITION_MINIMUM_SIZE;
    let minimum = match (request.dialect, request.header(&name)) {
        (Dialect::Cos, _) => TransitionMinimum::Always64K,
        (Dialect::S3, None | Some(ALWAYS_128K)) => TransitionMinimum::Always128K,
        (Dialect::S3, Some(VARIES)) => TransitionMinimum::Varies,
        (Dialect::S3, Some(other)) => {
            return Err(bad_header(&name, other, "Not a minimum object size."));
        }
    };
    let mut lifecycle = parse_lifecycle(&document, request.dialect)?;
    lifecycle.minimum = minimum.into();
    gateway.store.set_lifecycle(bucket, lifecycle, request.dialect.lifecycle_bounds()).await?;
    Ok(with_minimum_size(request, reply::empty(StatusCode::OK), minimum))
}

pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let lifecycle = gateway.store.lifecycle(bucket).await?;
    let document = write_lifecycle(&lifecycle, request.dialect);
    Ok(with_minimum_size(request, reply::xml(document), lifecycle.minimum()))
}

pub async fn delete(gateway: &Gateway, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.delete_lifecycle(bucket).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn with_minimum_size(request: &Request<'_>, mut reply: Reply, minimum: TransitionMinimum) -> Reply {
    if request.dialect == Dialect::S3 {
        let name = match minimum {
            TransitionMinimum::Varies => VARIES,
            TransitionMinimum::Always64K | TransitionMinimum::Always128K => ALWAYS_128K,
        };
        set(&mut reply, dialect::s3::TRANSITION_MINIMUM_SIZE, name);
    }
    reply
}

/// Says when the current object of a key will expire, if a rule says so.
pub async fn set_expiration(
    gateway: &Gateway,
    reply: &mut Reply,
    request: &Request<'_>,
    bucket: &Bucket,
    key: &ObjectKey,
    (size, modified_ms, tags): (u64, u64, &Tags),
) {
    if let Some(text) = expiration(gateway, bucket, key, (size, modified_ms, tags)).await {
        set(reply, request.dialect.headers().expiration.clone(), &text);
    }
}

/// What is said of it.
pub async fn expiration(
    gateway: &Gateway,
    bucket: &Bucket,
    key: &ObjectKey,
    (size, modified_ms, tags): (u64, u64, &Tags),
) -> Option<String> {
    let foreseen = gateway.store.foresee_expiration(bucket, key, size, modified_ms, tags).await;
    let Foreseen { at_ms, rule_id } = told(foreseen)?;
    let date = date::http_date(at_ms);
    let date = date.to_str().unwrap_or_default();
    let mut text = format!("expiry-date=\"{date}\", rule-id=\"");
    percent::encode_into(&mut text, &rule_id);
    text.push('"');
    Some(text)
}

/// Says in S3 when an upload will be aborted, if a rule says so.
pub async fn set_abortion(
    gateway: &Gateway,
    reply: &mut Reply,
    request: &Request<'_>,
    bucket: &Bucket,
    key: &ObjectKey,
    initiated_ms: u64,
) {
    if request.dialect != Dialect::S3 {
        return;
    }
    let foreseen = gateway.store.foresee_abortion(bucket, key, initiated_ms).await;
    if let Some(Foreseen { at_ms, rule_id }) = told(foreseen) {
        reply.headers_mut().insert(dialect::s3::ABORT_DATE, date::http_date(at_ms));
        let mut text = String::new();
        percent::encode_into(&mut text, &rule_id);
        set(reply, dialect::s3::ABORT_RULE_ID, &text);
    }
}

/// What was asked for is done by now, whatever becomes of this.
fn told(foreseen: costrel_core::Result<Option<Foreseen>>) -> Option<Foreseen> {
    foreseen.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer says nothing of the lifecycle");
        None
    })
}
