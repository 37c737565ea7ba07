//! COS's referer list.

use costrel_core::bucket::Bucket;
use http::StatusCode;

use super::upload;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, parse_referer, write_referer};

/// An empty body takes the list back, which is how SDKs delete it.
pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    match document.is_empty() {
        true => gateway.store.delete_referer_list(bucket).await?,
        false => gateway.store.set_referer_list(bucket, parse_referer(&document)?).await?,
    }
    Ok(reply::empty(StatusCode::OK))
}

pub async fn get(gateway: &Gateway, bucket: &Bucket) -> Outcome<Reply> {
    let list = gateway.store.referer_list(bucket).await?;
    Ok(reply::xml(write_referer(list.as_deref())))
}
