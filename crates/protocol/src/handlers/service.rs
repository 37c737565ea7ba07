use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use costrel_core::bucket::ListBuckets;

use crate::date;
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::reply::{self, Reply};
use crate::request::{Outcome, Request};
use crate::xml::XmlWriter;

/// COS's page when none is asked for; AWS's largest is 10,000.
const COS_PAGE: u64 = 2000;
const PAGE_MAX: u64 = 10_000;

pub async fn list_buckets(gateway: &Gateway, request: &Request<'_>) -> Outcome<Reply> {
    match request.dialect {
        Dialect::Cos => cos(gateway, request).await,
        Dialect::S3 => s3(gateway, request).await,
    }
}

async fn cos(gateway: &Gateway, request: &Request<'_>) -> Outcome<Reply> {
    for unsupported in ["tagkey", "tagvalue", "create-time", "range"] {
        if request.query.has(unsupported) {
            return Err(Failure::NotImplemented(unsupported.into()));
        }
    }
    let max = request.number("max-keys")?.unwrap_or(COS_PAGE).min(PAGE_MAX);
    let marker = request.query.get("marker").unwrap_or_default();
    let region = request.query.get("region").filter(|region| !region.is_empty());
    let query = ListBuckets {
        owner_uin: request.owner_uin(),
        prefix: String::new(),
        region: region.map(str::to_owned).or(request.address.region.clone()),
        after: marker.to_owned(),
        max: max as usize,
    };
    let page = gateway.store.list_buckets(&query).await?;
    let owner = request.owner_uin();
    let mut xml = XmlWriter::new(256 + page.buckets.len() * 200);
    xml.root("ListAllMyBucketsResult", request.dialect.xml_namespace(), |xml| {
        xml.element("Owner", |xml| {
            xml.text("ID", &cam_id(owner));
            xml.text("DisplayName", &owner.to_string());
        });
        xml.text("Marker", marker);
        if let Some(next) = &page.next {
            xml.text("NextMarker", next);
        }
        xml.boolean("IsTruncated", page.next.is_some());
        if page.buckets.is_empty() {
            return xml.empty("Buckets");
        }
        xml.element("Buckets", |xml| {
            for bucket in &page.buckets {
                xml.element("Bucket", |xml| {
                    xml.text("Name", bucket.name.as_str());
                    xml.text("Location", &bucket.region);
                    xml.text("CreationDate", &date::iso_seconds(bucket.created_ms));
                    xml.text("BucketType", "cos");
                });
            }
        });
    });
    Ok(reply::xml(xml.finish()))
}

async fn s3(gateway: &Gateway, request: &Request<'_>) -> Outcome<Reply> {
    let max = match request.number("max-buckets")? {
        None => PAGE_MAX,
        Some(max @ 1..=PAGE_MAX) => max,
        Some(max) => {
            return Err(Failure::InvalidArgument {
                name: "max-buckets".into(),
                value: max.to_string(),
                why: "Argument max-buckets must be an integer between 1 and 10000",
            });
        }
    };
    let prefix = request.query.get("prefix").unwrap_or_default();
    let token = request.query.get("continuation-token").filter(|token| !token.is_empty());
    let after = token.map(decode_token).transpose()?.unwrap_or_default();
    let query = ListBuckets {
        owner_uin: request.owner_uin(),
        prefix: prefix.to_owned(),
        region: request.query.get("bucket-region").map(str::to_owned),
        after,
        max: max as usize,
    };
    let page = gateway.store.list_buckets(&query).await?;
    let owner = request.owner_uin().to_string();
    let mut xml = XmlWriter::new(256 + page.buckets.len() * 200);
    xml.root("ListAllMyBucketsResult", request.dialect.xml_namespace(), |xml| {
        xml.element("Owner", |xml| {
            xml.text("ID", &owner);
            xml.text("DisplayName", &owner);
        });
        xml.element("Buckets", |xml| {
            for bucket in &page.buckets {
                xml.element("Bucket", |xml| {
                    xml.text("Name", bucket.name.as_str());
                    xml.time("CreationDate", bucket.created_ms);
                    xml.text("BucketRegion", &bucket.region);
                });
            }
        });
        if !prefix.is_empty() {
            xml.text("Prefix", prefix);
        }
        if let Some(next) = &page.next {
            xml.text("ContinuationToken", &encode_token(next));
        }
    });
    Ok(reply::xml(xml.finish()))
}

/// An identity as COS shows it outside of listings.
pub fn cam_id(uin: u64) -> String {
    format!("qcs::cam::uin/{uin}:uin/{uin}")
}

/// Continuation tokens are opaque to clients; here they hold the last name.
pub fn encode_token(last: &str) -> String {
    BASE64.encode(last)
}

pub fn decode_token(token: &str) -> Outcome<String> {
    let decoded = BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| Failure::InvalidArgument {
        name: "continuation-token".into(),
        value: token.into(),
        why: "The continuation token provided is incorrect",
    })
}
