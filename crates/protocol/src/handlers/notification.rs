//! What of a bucket's events is told to whom. COS has this only as a part of another
//! service, so it is configured as in S3.

use std::sync::Arc;

use costrel_core::bucket::Bucket;
use http::{HeaderName, StatusCode};

use super::upload;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request, bad_header};
use crate::xml::{CONFIGURATION_BYTES_MAX, parse_notification, write_notification};

const SKIPS_TEST: HeaderName = HeaderName::from_static("x-amz-skip-destination-validation");

pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let notification = gateway.store.notification(bucket).await?;
    let rules = notification.as_ref().map(|it| it.rules.as_slice()).unwrap_or_default();
    Ok(reply::xml(write_notification(rules, request.dialect)))
}

pub async fn put(
    gateway: &Arc<Gateway>,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let skips = match request.header(&SKIPS_TEST) {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(text) => return Err(bad_header(&SKIPS_TEST, text, "Neither true nor false.")),
    };
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let rules = parse_notification(&document)?;
    let (request_id, second_id) =
        (request.id.text(request.dialect), request.id.second(request.dialect));
    let tested = (!skips).then_some((request_id.as_str(), second_id.as_str()));
    gateway.store.set_notification(bucket, rules, tested).await?;
    Ok(reply::empty(StatusCode::OK))
}
