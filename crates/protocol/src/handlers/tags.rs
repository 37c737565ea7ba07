//! Tags of objects and of buckets.

use costrel_core::bucket::Bucket;
use costrel_core::tags::Tags;
use http::StatusCode;

use super::{object_itself, upload};
use crate::attributes::set_version;
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::ops::Operation;
use crate::permission::Need;
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, XmlWriter, parse_tagging};

fn document(request: &Request<'_>, tags: &Tags) -> Reply {
    let mut xml = XmlWriter::new(256 + tags.as_slice().len() * 96);
    xml.root("Tagging", request.dialect.xml_namespace(), |xml| {
        xml.element("TagSet", |xml| {
            for tag in tags.as_slice() {
                xml.element("Tag", |xml| {
                    xml.text("Key", &tag.name);
                    xml.text("Value", &tag.value);
                });
            }
        });
    });
    reply::xml(xml.finish())
}

pub async fn of_object(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let info = object_itself(gateway, request, bucket).await?;
    let mut reply = document(request, &info.tags());
    set_version(&mut reply, request.dialect, info.version);
    Ok(reply)
}

pub async fn set_of_object(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let tags = Tags::of_object(parse_tagging(&document)?)?;
    // Policies may ask for the tags, so it is judged here.
    let key = request.address.key.as_deref();
    let need = Need::new(Operation::PutObjectTagging, key, request.query.get_any_case("versionId"));
    gateway.require(request, bucket, need.with_tags(&tags)).await?;
    change(gateway, request, bucket, &tags, StatusCode::OK).await
}

pub async fn delete_of_object(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    change(gateway, request, bucket, &Tags::default(), StatusCode::NO_CONTENT).await
}

async fn change(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    tags: &Tags,
    status: StatusCode,
) -> Outcome<Reply> {
    let (key, version) = (request.key()?, request.version()?);
    let version = gateway.store.set_object_tags(bucket, &key, version, tags).await?;
    let mut reply = reply::empty(status);
    set_version(&mut reply, request.dialect, version);
    Ok(reply)
}

pub fn of_bucket(request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let settings = bucket.settings();
    match settings.tags.as_slice().is_empty() {
        true => Err(Failure::NoTags),
        false => Ok(document(request, &settings.tags)),
    }
}

pub async fn set_of_bucket(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let tags = Tags::of_bucket(parse_tagging(&document)?)?;
    // As those of an object.
    let need = Need::new(Operation::PutBucketTagging, None, None);
    gateway.require(request, bucket, need.with_tags(&tags)).await?;
    gateway.store.set_bucket_tags(bucket, tags).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub async fn delete_of_bucket(gateway: &Gateway, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.set_bucket_tags(bucket, Tags::default()).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
