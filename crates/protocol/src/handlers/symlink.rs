//! COS's symlinks. Reading through one is a get like any other.

use costrel_core::bucket::Bucket;
use costrel_core::object::SymlinkRequest;
use http::StatusCode;

use super::lifecycle;
use crate::attributes::{self, OF_NEW_OBJECTS, refuse_unsupported_but, set_version};
use crate::dialect::cos::SYMLINK_TARGET;
use crate::gateway::Gateway;
use crate::percent;
use crate::reply::{self, Reply, set, set_etag};
use crate::request::{Outcome, Request, bad_header, new_object_key};

pub async fn put(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let mut obeyed = [OF_NEW_OBJECTS, &["symlink-target"]].concat();
    // Visitors are shown the target.
    obeyed.retain(|name| *name != "website-redirect-location");
    refuse_unsupported_but(request.dialect, request.headers, &obeyed)?;
    let name = &SYMLINK_TARGET;
    let text = request.header(name).unwrap_or_default();
    if text.is_empty() {
        return Err(bad_header(name, text, "The target of the symlink is missing."));
    }
    // The Go SDK encodes it, the Python SDK does not.
    let target = percent::decode(text)
        .map_err(|_| bad_header(name, text, "The target shall be URL-encoded UTF-8."))?;
    let put = SymlinkRequest {
        key: request.new_key()?,
        target: new_object_key(request.dialect, &target)?,
        attributes: attributes::of_request(gateway, request, bucket).await?,
        conditions: request.write_conditions()?,
    };
    let key = put.key.clone();
    let outcome = gateway.store.put_symlink(bucket, put).await?;
    let mut reply = reply::empty(StatusCode::OK);
    let facts = (outcome.size, outcome.modified_ms, &outcome.tags);
    lifecycle::set_expiration(gateway, &mut reply, request, bucket, &key, facts).await;
    set_etag(&mut reply, &outcome.etag);
    set_version(&mut reply, request.dialect, outcome.version);
    Ok(reply)
}

/// What a link is itself, and what it leads to.
pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let (key, version) = (request.key()?, request.version()?);
    let (info, target) = gateway.store.symlink(bucket, &key, version).await?;
    let mut reply = reply::empty(StatusCode::OK);
    attributes::describe(&mut reply, request.dialect, &info, gateway.store.now_ms());
    set(&mut reply, SYMLINK_TARGET, &percent::encode(target.as_str()));
    Ok(reply)
}
