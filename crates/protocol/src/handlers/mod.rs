//! What the operations do, each once for both dialects.

pub mod acl;
pub mod bucket;
pub mod copy;
pub mod cors;
pub mod delete;
pub mod inventory;
pub mod lifecycle;
pub mod list;
pub mod lock;
pub mod logging;
pub mod multipart;
pub mod notification;
pub mod object;
pub mod policy;
pub mod post;
pub mod referer;
pub mod restore;
pub mod service;
pub mod symlink;
pub mod tags;
pub mod tiering;
mod upload;
pub mod versions;
pub mod website;

use costrel_core::bucket::Bucket;
use costrel_core::object::ObjectInfo;

use crate::gateway::Gateway;
use crate::request::{Outcome, Request};

/// The object or version that a request is about, though it were a symlink: what is
/// said about an object besides its bytes is said about the link.
async fn object_itself(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<ObjectInfo> {
    Ok(gateway.store.stat_object(bucket, &request.key()?, request.version()?).await?)
}
