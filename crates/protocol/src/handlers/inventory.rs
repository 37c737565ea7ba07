//! A bucket's inventories. There is one set of them, which each dialect shows as far as it
//! has words for it; the one that has configured an inventory lends its reports their form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::inventory::InventoryFault;
use http::StatusCode;

use super::upload;
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::ops::Operation;
use crate::permission::Need;
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, XmlWriter, parse_inventory, write_inventory};

/// Configurations of one answer, in both services.
const PAGE: usize = 100;

const ROOT: &str = "InventoryConfiguration";

fn id<'a>(request: &'a Request<'_>) -> &'a str {
    request.query.get("id").unwrap_or_default()
}

pub async fn get(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let inventories = gateway.store.inventories(bucket).await?;
    let inventory = inventories.get(id(request)).ok_or(Error::NoInventory)?;
    let mut xml = XmlWriter::new(1024);
    xml.root(ROOT, request.dialect.xml_namespace(), |xml| {
        write_inventory(xml, inventory, &bucket.region, request.dialect);
    });
    Ok(reply::xml(xml.finish()))
}

/// Whoever wants an inventory must be allowed to write what its reports are called, as
/// with logs. One to be made once begins with the answer.
pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    once: bool,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let document = parse_inventory(&document, request.dialect, once)?;
    if let Some(what) = document.lacking {
        return Err(Failure::NotImplemented(what.into()));
    }
    let inventory = document.inventory;
    if inventory.id != id(request) {
        return Err(Failure::InvalidArgument {
            name: "id".into(),
            value: id(request).into(),
            why: "The configuration has another id than the request.",
        });
    }
    if !document.region.is_empty() && document.region != bucket.region {
        return Err(Error::from(InventoryFault::Target).into());
    }
    match gateway.store.bucket(&inventory.target).await {
        Ok(target) => {
            let key = inventory.folder(&bucket.name) + "x";
            let need = Need::new(Operation::PutObject, Some(&key), None);
            gateway.require(request, &target, need).await?;
        }
        // Said by the core.
        Err(
            Error::NoSuchBucket | Error::InvalidBucketName(_) | Error::BucketNameTooLong { .. },
        ) => {}
        Err(error) => return Err(error.into()),
    }
    let token = gateway.store.set_inventory(bucket, inventory).await?;
    if !once {
        return Ok(reply::empty(StatusCode::OK));
    }
    let mut xml = XmlWriter::new(256);
    xml.root("PostInventoryResult", request.dialect.xml_namespace(), |xml| {
        xml.text("JobId", &BASE64.encode(token));
    });
    Ok(reply::xml(xml.finish()))
}

pub async fn delete(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    gateway.store.delete_inventory(bucket, id(request)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// A page goes on behind the id that its token holds.
pub async fn list(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let token = request.query.get("continuation-token").filter(|token| !token.is_empty());
    let after = match token.map(|token| (token, hex::decode(token).map(String::from_utf8))) {
        None => None,
        Some((_, Ok(Ok(after)))) => Some(after),
        Some((token, _)) => {
            return Err(Failure::InvalidArgument {
                name: "continuation-token".into(),
                value: token.into(),
                why: "The continuation token provided is incorrect",
            });
        }
    };
    let inventories = gateway.store.inventories(bucket).await?.all;
    let from = inventories.partition_point(|one| after.as_ref().is_some_and(|id| one.id <= *id));
    let page = &inventories[from..inventories.len().min(from + PAGE)];
    let goes_on = from + page.len() < inventories.len();
    let mut xml = XmlWriter::new(512 + page.len() * 1024);
    let root = match request.dialect {
        Dialect::Cos => "ListInventoryConfigurationResult",
        Dialect::S3 => "ListInventoryConfigurationsResult",
    };
    xml.root(root, request.dialect.xml_namespace(), |xml| {
        for inventory in page {
            xml.element(ROOT, |xml| {
                write_inventory(xml, inventory, &bucket.region, request.dialect);
            });
        }
        xml.boolean("IsTruncated", goes_on);
        if let Some(token) = token {
            xml.text("ContinuationToken", token);
        }
        if let Some(last) = page.last().filter(|_| goes_on) {
            xml.text("NextContinuationToken", &hex::encode(&last.id));
        }
    });
    Ok(reply::xml(xml.finish()))
}
