//! A bucket's intelligent tiering: the infrequent tier, as COS has it configured, and
//! the archive tiers, as both do.

use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::tiering::{DAYS_DEFAULT, Tiering};
use http::StatusCode;

use super::upload;
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{
    CONFIGURATION_BYTES_MAX, IdentifiedTiering, XmlError, XmlWriter, parse_identified_tiering,
    parse_tiering, write_archiving, write_infrequent,
};

/// What COS calls the configuration of the infrequent tier.
const DEFAULT: &str = "default";

/// What somebody has said of the infrequent tier.
fn said(bucket: &Bucket) -> Option<Tiering> {
    bucket.settings().tiering.clone().filter(|tiering| !tiering.implied)
}

/// Where nobody has said anything the answer is empty, as COS's is.
pub fn get(request: &Request<'_>, bucket: &Bucket) -> Reply {
    let mut xml = XmlWriter::new(256);
    xml.root("IntelligentTieringConfiguration", request.dialect.xml_namespace(), |xml| {
        if let Some(tiering) = said(bucket) {
            xml.text("Status", "Enabled");
            xml.element("Transition", |xml| {
                xml.number("Days", tiering.days.into());
                xml.number("RequestFrequent", 1);
            });
        }
    });
    reply::xml(xml.finish())
}

pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let days = parse_tiering(&document)?.unwrap_or(DAYS_DEFAULT);
    gateway.store.set_tiering(bucket, days).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// The id in a request, and whether it is that of the infrequent tier.
fn id<'a>(request: &'a Request<'_>) -> (&'a str, bool) {
    let id = request.query.get("id").unwrap_or_default();
    (id, request.dialect == Dialect::Cos && id == DEFAULT)
}

pub async fn get_identified(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let (id, is_infrequent) = id(request);
    let archivings = gateway.store.archivings(bucket).await?;
    let archiving = archivings.get(id);
    let mut xml = XmlWriter::new(512);
    let namespace = request.dialect.xml_namespace();
    match (is_infrequent.then(|| said(bucket)), archiving) {
        (Some(Some(tiering)), _) => {
            xml.root("IntelligentTieringConfiguration", namespace, |xml| {
                write_infrequent(xml, DEFAULT, tiering.days);
            });
        }
        (None, Some(archiving)) => {
            xml.root("IntelligentTieringConfiguration", namespace, |xml| {
                write_archiving(xml, archiving);
            });
        }
        _ => return Err(Error::NoArchiving.into()),
    }
    Ok(reply::xml(xml.finish()))
}

pub async fn put_identified(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let (id, is_infrequent) = id(request);
    let configuration = parse_identified_tiering(&document)?;
    let named = match &configuration {
        IdentifiedTiering::Infrequent { id, .. } => id,
        IdentifiedTiering::Archiving(archiving) => &archiving.id,
    };
    if named != id {
        return Err(Failure::InvalidArgument {
            name: "id".into(),
            value: id.into(),
            why: "The configuration has another id than the request.",
        });
    }
    match configuration {
        IdentifiedTiering::Infrequent { days, .. } if is_infrequent => {
            gateway.store.set_tiering(bucket, days).await?;
        }
        IdentifiedTiering::Archiving(archiving) if !is_infrequent => {
            gateway.store.set_archiving(bucket, archiving).await?;
        }
        _ => return Err(XmlError::Malformed("the id is that of another tier").into()),
    }
    Ok(reply::empty(StatusCode::OK))
}

pub async fn delete_identified(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let (id, is_infrequent) = id(request);
    if is_infrequent {
        return Err(Failure::InvalidRequest("Intelligent tiering cannot be disabled."));
    }
    gateway.store.delete_archiving(bucket, id).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// All at once: there are a thousand at most.
pub async fn list_identified(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    if let Some(token) = request.query.get("continuation-token").filter(|token| !token.is_empty()) {
        return Err(Failure::InvalidArgument {
            name: "continuation-token".into(),
            value: token.into(),
            why: "The continuation token provided is incorrect",
        });
    }
    let archivings = gateway.store.archivings(bucket).await?;
    let mut xml = XmlWriter::new(512 + archivings.all.len() * 512);
    let root = "ListBucketIntelligentTieringConfigurationsOutput";
    xml.root(root, request.dialect.xml_namespace(), |xml| {
        let configuration = "IntelligentTieringConfiguration";
        match request.dialect {
            Dialect::S3 => xml.boolean("IsTruncated", false),
            Dialect::Cos => {
                if let Some(tiering) = said(bucket) {
                    xml.element(configuration, |xml| write_infrequent(xml, DEFAULT, tiering.days));
                }
            }
        }
        for archiving in &archivings.all {
            xml.element(configuration, |xml| write_archiving(xml, archiving));
        }
    });
    Ok(reply::xml(xml.finish()))
}
