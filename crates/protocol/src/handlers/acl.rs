//! ACLs of buckets and objects, and who owns what is in a bucket.

use costrel_core::Error;
use costrel_core::acl::{Acl, ObjectAcl, Ownership};
use costrel_core::bucket::Bucket;
use http::StatusCode;

use super::{object_itself, upload};
use crate::acl::{self, Said, Subject};
use crate::attributes::set_version;
use crate::dialect::Dialect;
use crate::error::AclFault;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request};
use crate::xml::{
    CONFIGURATION_BYTES_MAX, XmlError, XmlWriter, parse_acl, parse_ownership, write_acl,
};

fn document(request: &Request<'_>, bucket: &Bucket, acl: &Acl) -> Reply {
    let owner = (bucket.owner_uin, bucket.owner_uin);
    reply::xml(write_acl(acl, owner, request.dialect))
}

pub fn of_bucket(request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let acl = match bucket.disables_acls() {
        true => Acl::private(bucket.owner_uin),
        false => bucket.acl()?,
    };
    Ok(document(request, bucket, &acl))
}

pub async fn set_of_bucket(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let (dialect, owner) = (request.dialect, bucket.owner_uin);
    let said = acl::of_headers(request, Subject::Bucket)?;
    let acl = match from_body(gateway, request, bucket, body, Subject::Bucket, &said).await? {
        Some(acl) => acl,
        None if !said.suits(request.dialect, bucket) => return Err(Error::AclsDisabled.into()),
        None => gateway.bucket_acl(dialect, owner, said).await?.ok_or(AclFault::Missing)?,
    };
    gateway.store.set_bucket_acl(bucket, &acl).await?;
    Ok(reply::empty(StatusCode::OK))
}

pub async fn of_object(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let info = object_itself(gateway, request, bucket).await?;
    let private = Acl::private(bucket.owner_uin);
    let mut reply = match info.acl()? {
        _ if bucket.disables_acls() => document(request, bucket, &private),
        ObjectAcl::Private => document(request, bucket, &private),
        ObjectAcl::Own(acl) => document(request, bucket, &acl),
        ObjectAcl::Inherits => match request.dialect {
            Dialect::Cos => {
                let mut reply = document(request, bucket, &private);
                set(&mut reply, request.dialect.headers().acl.clone(), "default");
                reply
            }
            // It has no word for this, so the list that counts is shown.
            Dialect::S3 => document(request, bucket, &bucket.acl()?),
        },
    };
    set_version(&mut reply, request.dialect, info.version);
    Ok(reply)
}

pub async fn set_of_object(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let said = acl::of_headers(request, Subject::Object)?;
    let acl = match from_body(gateway, request, bucket, body, Subject::Object, &said).await? {
        Some(acl) => ObjectAcl::Own(acl),
        None if said == Said::Nothing => return Err(AclFault::Missing.into()),
        None => gateway.object_acl(request.dialect, bucket, said).await?,
    };
    let (key, version) = (request.key()?, request.version()?);
    let version = gateway.store.set_object_acl(bucket, &key, version, &acl).await?;
    let mut reply = reply::empty(StatusCode::OK);
    set_version(&mut reply, request.dialect, version);
    Ok(reply)
}

/// The list in a request's body, which is read whatever the headers say. What both
/// say, S3 refuses; in COS the headers count.
async fn from_body(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
    subject: Subject,
    said: &Said,
) -> Outcome<Option<Acl>> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    match (said, document.is_empty(), request.dialect) {
        (_, true, _) => return Ok(None),
        (Said::Nothing, false, _) => {}
        (_, false, Dialect::Cos) => return Ok(None),
        (_, false, Dialect::S3) => return Err(AclFault::BodyAndHeaders.into()),
    }
    let document = match parse_acl(&document) {
        Err(error @ (XmlError::TooLarge { .. } | XmlError::Empty)) => return Err(error.into()),
        Err(_) => return Err(AclFault::Malformed.into()),
        Ok(document) => document,
    };
    let dialect = request.dialect;
    gateway.acl_of_document(dialect, subject, bucket.owner_uin, &document).await.map(Some)
}

pub fn ownership(request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let ownership = bucket.ownership().ok_or(Error::NoOwnershipControls)?;
    let mut xml = XmlWriter::new(256);
    xml.root("OwnershipControls", request.dialect.xml_namespace(), |xml| {
        xml.element("Rule", |xml| xml.text("ObjectOwnership", ownership.name()));
    });
    Ok(reply::xml(xml.finish()))
}

pub async fn set_ownership(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let ownership: Ownership = parse_ownership(&document)?;
    gateway.store.set_ownership(bucket, Some(ownership)).await?;
    Ok(reply::empty(StatusCode::OK))
}

pub async fn delete_ownership(gateway: &Gateway, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.set_ownership(bucket, None).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
