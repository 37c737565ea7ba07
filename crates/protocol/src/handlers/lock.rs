//! Object lock: the bucket's setting, retention and legal hold.

use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::lock::VersionLock;
use costrel_core::lock::{BucketLock, DefaultRetention, Period, Retention, RetentionMode};
use http::StatusCode;

use super::{object_itself, upload};
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{
    CONFIGURATION_BYTES_MAX, LockRule, XmlError, XmlWriter, parse_legal_hold,
    parse_lock_configuration, parse_retention,
};

pub fn of_bucket(request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let lock = bucket.settings().lock.ok_or(Failure::NoLockConfiguration)?;
    let mut xml = XmlWriter::new(512);
    xml.root("ObjectLockConfiguration", request.dialect.xml_namespace(), |xml| {
        xml.text("ObjectLockEnabled", "Enabled");
        if let Some(default) = lock.default_retention {
            xml.element("Rule", |xml| {
                xml.element("DefaultRetention", |xml| {
                    xml.text("Mode", default.mode.name());
                    match default.period {
                        Period::Days(days) => xml.number("Days", days),
                        Period::Years(years) => xml.number("Years", years),
                    }
                });
            });
        }
    });
    Ok(reply::xml(xml.finish()))
}

pub async fn set_of_bucket(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let rule = parse_lock_configuration(&document)?;
    let default_retention =
        rule.map(|rule| default_retention(request.dialect, rule)).transpose()?;
    let lock = BucketLock { default_retention };
    // COS has object lock only in buckets without versions.
    let without_versions = request.dialect == Dialect::Cos;
    gateway.store.set_object_lock(bucket, lock, without_versions).await?;
    Ok(reply::empty(StatusCode::OK))
}

fn default_retention(dialect: Dialect, rule: LockRule) -> Outcome<DefaultRetention> {
    let mode = mode(dialect, rule.mode)?.ok_or(XmlError::Malformed("no Mode"))?;
    // What is negative is as much out of range as zero.
    let positive = |number: i64| u64::try_from(number).unwrap_or_default();
    let period = match (rule.days, rule.years, dialect) {
        (Some(days), None, _) => Period::Days(positive(days)),
        (None, Some(years), Dialect::S3) => Period::Years(positive(years)),
        _ => return Err(XmlError::Malformed("not one period").into()),
    };
    Ok(DefaultRetention { mode, period })
}

/// The mode that is meant: COS has one, which need not be said.
fn mode(dialect: Dialect, named: Option<RetentionMode>) -> Outcome<Option<RetentionMode>> {
    match (dialect, named) {
        (Dialect::S3, named) => Ok(named),
        (Dialect::Cos, None | Some(RetentionMode::Compliance)) => {
            Ok(Some(RetentionMode::Compliance))
        }
        (Dialect::Cos, Some(RetentionMode::Governance)) => {
            Err(XmlError::Malformed("not a mode of COS").into())
        }
    }
}

/// Whether a request says that a retention in governance mode is no obstacle.
pub async fn bypasses(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
) -> Outcome<bool> {
    let asked = request.dialect == Dialect::S3
        && request
            .header(&dialect::s3::BYPASS_GOVERNANCE)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Ok(asked && gateway.permits_bypass(request, bucket, key, version).await?)
}

async fn lock_of(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<VersionLock> {
    if bucket.settings().lock.is_none() {
        return Err(Error::NoObjectLock.into());
    }
    Ok(object_itself(gateway, request, bucket).await?.lock())
}

pub async fn retention(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let lock = lock_of(gateway, request, bucket).await?;
    let retention = lock.retention.ok_or(Failure::NoLockOfVersion)?;
    let mut xml = XmlWriter::new(256);
    xml.root("Retention", request.dialect.xml_namespace(), |xml| {
        xml.text("Mode", retention.mode.name());
        xml.time("RetainUntilDate", retention.until_ms);
    });
    Ok(reply::xml(xml.finish()))
}

pub async fn set_retention(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let (named, until_ms) = parse_retention(&document)?;
    let retention = match (mode(request.dialect, named)?, until_ms) {
        (Some(mode), Some(until_ms)) => Some(Retention { mode, until_ms }),
        // S3's way to take a retention away.
        (None, None) => None,
        _ => return Err(XmlError::Malformed("half a retention").into()),
    };
    let (key, version) = (request.key()?, request.version()?);
    let named = request.query.get_any_case("versionId");
    let bypass = bypasses(gateway, request, bucket, key.as_str(), named).await?;
    gateway.store.set_retention(bucket, &key, version, retention, bypass).await?;
    Ok(reply::empty(StatusCode::OK))
}

pub async fn legal_hold(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let lock = lock_of(gateway, request, bucket).await?;
    let hold = lock.legal_hold.ok_or(Failure::NoLockOfVersion)?;
    let mut xml = XmlWriter::new(256);
    xml.root("LegalHold", request.dialect.xml_namespace(), |xml| {
        xml.text("Status", if hold { "ON" } else { "OFF" });
    });
    Ok(reply::xml(xml.finish()))
}

pub async fn set_legal_hold(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let hold = parse_legal_hold(&document)?;
    let (key, version) = (request.key()?, request.version()?);
    gateway.store.set_legal_hold(bucket, &key, version, hold).await?;
    Ok(reply::empty(StatusCode::OK))
}
