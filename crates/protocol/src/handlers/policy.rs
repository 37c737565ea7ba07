//! A bucket's policy in the dialect's grammar, and what it blocks of public access.

use costrel_core::access::{BucketPolicy, PublicAccessBlock};
use costrel_core::bucket::Bucket;
use costrel_policy::{Grammar, POLICY_BYTES_MAX, PolicyFault};
use http::{HeaderValue, StatusCode, header};

use super::upload;
use crate::body::ResponseBody;
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::ops;
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, XmlError, XmlWriter, parse_public_access_block};

fn grammar(dialect: Dialect) -> Grammar {
    match dialect {
        Dialect::Cos => Grammar::Cam,
        Dialect::S3 => Grammar::Iam,
    }
}

pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = match upload::document(request, body, POLICY_BYTES_MAX).await {
        Err(Failure::Xml(XmlError::TooLarge { .. })) => {
            return Err(costrel_core::Error::from(PolicyFault::TooLarge).into());
        }
        document => document?,
    };
    let read = BucketPolicy::read(grammar(request.dialect), document)?;
    if request.dialect == Dialect::S3
        && let Some(action) = read.policy.unknown_action(ops::iam_actions)
    {
        return Err(costrel_core::Error::from(PolicyFault::Action(action.to_owned())).into());
    }
    if !read.policy.is_about(&gateway.target(bucket, None)) {
        let elsewhere = PolicyFault::Resource(bucket.name.as_str().to_owned());
        return Err(costrel_core::Error::from(elsewhere).into());
    }
    gateway.store.set_policy(bucket, read).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let document = gateway.store.policy_document(bucket, grammar(request.dialect)).await?;
    let mut reply = reply::with_body(StatusCode::OK, ResponseBody::memory(document));
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(reply)
}

pub async fn delete(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.delete_policy(bucket, grammar(request.dialect)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// S3: whether the bucket's policies let anybody in, whichever dialect they are in.
pub async fn status(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let policies = gateway.store.policies(bucket).await?;
    if policies.is_empty() {
        return Err(costrel_core::Error::NoPolicy.into());
    }
    let public = policies.iter().any(|policy| policy.is_public());
    let mut xml = XmlWriter::new(256);
    xml.root("PolicyStatus", request.dialect.xml_namespace(), |xml| {
        xml.boolean("IsPublic", public);
    });
    Ok(reply::xml(xml.finish()))
}

pub fn block(request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let block = bucket.public_access_block();
    let block = block.ok_or(costrel_core::Error::NoPublicAccessBlock)?;
    let mut xml = XmlWriter::new(512);
    xml.root("PublicAccessBlockConfiguration", request.dialect.xml_namespace(), |xml| {
        xml.boolean("BlockPublicAcls", block.public_acls);
        xml.boolean("IgnorePublicAcls", block.ignore_public_acls);
        xml.boolean("BlockPublicPolicy", block.public_policy);
        xml.boolean("RestrictPublicBuckets", block.restrict_public_buckets);
    });
    Ok(reply::xml(xml.finish()))
}

pub async fn set_block(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let block: PublicAccessBlock = parse_public_access_block(&document)?;
    gateway.store.set_public_access_block(bucket, Some(block)).await?;
    Ok(reply::empty(StatusCode::OK))
}

pub async fn delete_block(gateway: &Gateway, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.set_public_access_block(bucket, None).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
