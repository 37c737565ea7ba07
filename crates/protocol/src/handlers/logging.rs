//! Where a bucket's access logs go. A bucket has one configuration, which each dialect
//! shows as far as it has words for it; the one that has set it lends the logs its form.

use costrel_core::Error;
use costrel_core::acl::Grant;
use costrel_core::bucket::Bucket;
use costrel_core::logging::{Form, Logging};
use http::StatusCode;
use std::sync::Arc;

use super::upload;
use crate::dialect::Dialect;
use crate::gateway::{Gateway, RequestBody};
use crate::ops::Operation;
use crate::permission::Need;
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, LoggingDocument, parse_logging, write_logging};

pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let logging = gateway.store.logging(bucket).await?;
    let grants = logging.as_ref().map(|logging| logging.grants()).transpose()?.unwrap_or_default();
    Ok(reply::xml(write_logging(logging.as_deref(), &grants, request.dialect)))
}

/// Whoever has a bucket logged must be allowed to write what its logs are called: nobody
/// gets to write by somebody else's hand.
pub async fn put(
    gateway: &Arc<Gateway>,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let Some(document) = parse_logging(&document, request.dialect)? else {
        gateway.store.delete_logging(bucket).await?;
        return Ok(reply::empty(StatusCode::OK));
    };
    let logging = logging(gateway, request.dialect, &document).await?;
    match gateway.store.bucket(&logging.target).await {
        Ok(target) => {
            let key = [&logging.prefix, "x"].concat();
            let need = Need::new(Operation::PutObject, Some(&key), None);
            gateway.require(request, &target, need).await?;
        }
        // Said by the core.
        Err(Error::NoSuchBucket) => {}
        Err(error) => return Err(error.into()),
    }
    gateway.store.set_logging(bucket, logging).await?;
    Ok(reply::empty(StatusCode::OK))
}

async fn logging(
    gateway: &Gateway,
    dialect: Dialect,
    document: &LoggingDocument,
) -> Outcome<Logging> {
    let form = match dialect {
        Dialect::Cos => Form::Cos,
        Dialect::S3 => Form::S3,
    };
    let mut grants = Vec::with_capacity(document.grants.len());
    for (name, permission) in &document.grants {
        let grantee = gateway.grantee(name).await?;
        grants.push(Grant { grantee, permission: *permission });
    }
    let mut logging = Logging {
        target: document.target.clone(),
        prefix: document.prefix.clone(),
        form: form as u32,
        layout: document.layout.map_or(0, |layout| layout as u32),
        ..Logging::default()
    };
    logging.set_grants(&grants);
    Ok(logging)
}
