//! Listing objects, in both versions of the request.

use costrel_core::bucket::Bucket;
use costrel_core::list::{ListObjects, ObjectEntry, ObjectPage};

use super::restore;
use super::service::{decode_token, encode_token};
use crate::attributes::{checksum_type_text, shown_class};
use crate::dialect::Dialect;
use crate::gateway::Gateway;
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request};
use crate::xml::XmlWriter;

/// What both versions show of a page.
struct Shown<'a> {
    gateway: &'a Gateway,
    request: &'a Request<'a>,
    page: &'a ObjectPage,
    encoded: bool,
    owner: Option<String>,
    /// What restores are is told.
    restores: bool,
}

pub async fn version_1(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let max = request.page_size("max-keys")?;
    let delimiter = request.delimiter()?;
    let encoded = request.url_encoded()?;
    let restores = restore::is_listed(request)?;
    let prefix = request.query.get("prefix").unwrap_or_default();
    let marker = request.query.get("marker").unwrap_or_default();
    let query = ListObjects {
        prefix: prefix.to_owned(),
        delimiter: delimiter.to_owned(),
        after: marker.to_owned(),
        max,
    };
    let page = gateway.store.list_objects(bucket, &query).await?;
    let owner = Some(owner(gateway, request, bucket));
    let shown = Shown { gateway, request, page: &page, encoded, owner, restores };
    let mut xml = XmlWriter::new(512 + page.entries.len() * 384);
    xml.root("ListBucketResult", request.dialect.xml_namespace(), |xml| {
        xml.text("Name", bucket.name.as_str());
        if encoded {
            xml.text("EncodingType", "url");
        }
        xml.key("Prefix", prefix, encoded);
        xml.key("Marker", marker, encoded);
        xml.number("MaxKeys", max as u64);
        if !delimiter.is_empty() {
            xml.key("Delimiter", delimiter, encoded);
        }
        xml.boolean("IsTruncated", page.truncated);
        // S3 leaves it to clients to take the last key where there are no
        // prefixes; COS always names it.
        let named = request.dialect == Dialect::Cos || !delimiter.is_empty();
        if let Some(last) = page.last().filter(|_| page.truncated && named) {
            xml.key("NextMarker", last, encoded);
        }
        shown.write(xml);
    });
    let mut reply = reply::xml(xml.finish());
    set(&mut reply, request.dialect.headers().bucket_region.clone(), &bucket.region);
    Ok(reply)
}

pub async fn version_2(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let max = request.page_size("max-keys")?;
    let delimiter = request.delimiter()?;
    let encoded = request.url_encoded()?;
    let restores = restore::is_listed(request)?;
    let prefix = request.query.get("prefix").unwrap_or_default();
    let start_after = request.query.get("start-after").unwrap_or_default();
    // An empty token is that of the first page.
    let token = request.query.get("continuation-token");
    let after = match token {
        None | Some("") => start_after.to_owned(),
        Some(token) => decode_token(token)?,
    };
    let query =
        ListObjects { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, max };
    let page = gateway.store.list_objects(bucket, &query).await?;
    let wants_owner = request.query.get("fetch-owner").is_some_and(|v| v == "true");
    let owner = wants_owner.then(|| owner(gateway, request, bucket));
    let shown = Shown { gateway, request, page: &page, encoded, owner, restores };
    let mut xml = XmlWriter::new(512 + page.entries.len() * 320);
    xml.root("ListBucketResult", request.dialect.xml_namespace(), |xml| {
        xml.text("Name", bucket.name.as_str());
        if encoded {
            xml.text("EncodingType", "url");
        }
        xml.key("Prefix", prefix, encoded);
        if !start_after.is_empty() {
            xml.key("StartAfter", start_after, encoded);
        }
        if let Some(token) = token {
            xml.text("ContinuationToken", token);
        }
        xml.number("KeyCount", (page.entries.len() + page.common_prefixes.len()) as u64);
        xml.number("MaxKeys", max as u64);
        if !delimiter.is_empty() {
            xml.key("Delimiter", delimiter, encoded);
        }
        xml.boolean("IsTruncated", page.truncated);
        if let Some(last) = page.last().filter(|_| page.truncated) {
            xml.text("NextContinuationToken", &encode_token(last));
        }
        shown.write(xml);
    });
    let mut reply = reply::xml(xml.finish());
    set(&mut reply, request.dialect.headers().bucket_region.clone(), &bucket.region);
    Ok(reply)
}

/// The owner as listings name it: COS by APPID, S3 by account.
pub fn owner(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> String {
    match request.dialect {
        Dialect::Cos => gateway.appid_of(bucket).to_string(),
        Dialect::S3 => bucket.owner_uin.to_string(),
    }
}

/// Which access tier a listed object lies in, where its class has several.
pub(super) fn write_access_tier(
    gateway: &Gateway,
    xml: &mut XmlWriter,
    dialect: Dialect,
    entry: &ObjectEntry,
) {
    // Most objects are of this class, and the clock is not asked for them.
    if dialect != Dialect::Cos || entry.storage_class.is_empty() {
        return;
    }
    if let Some(tier) = entry.access_tier(gateway.store.now_ms()) {
        xml.text("StorageTier", tier.name());
    }
}

impl Shown<'_> {
    fn write(&self, xml: &mut XmlWriter) {
        for (key, entry) in &self.page.entries {
            self.entry(xml, key, entry);
        }
        for prefix in &self.page.common_prefixes {
            xml.element("CommonPrefixes", |xml| xml.key("Prefix", prefix, self.encoded));
        }
    }

    fn entry(&self, xml: &mut XmlWriter, key: &str, entry: &ObjectEntry) {
        xml.element("Contents", |xml| {
            xml.key("Key", key, self.encoded);
            xml.time("LastModified", entry.modified_ms);
            xml.etag(&entry.etag);
            if self.request.dialect == Dialect::S3 {
                for checksum in &entry.checksums {
                    xml.text("ChecksumAlgorithm", checksum.algorithm.name());
                    xml.text("ChecksumType", checksum_type_text(checksum.kind()));
                }
            }
            xml.number("Size", entry.size);
            if let Some(owner) = &self.owner {
                xml.element("Owner", |xml| {
                    xml.text("ID", owner);
                    xml.text("DisplayName", owner);
                });
            }
            xml.text("StorageClass", shown_class(&entry.storage_class));
            write_access_tier(self.gateway, xml, self.request.dialect, entry);
            if self.restores {
                let record = entry.restore.as_ref();
                restore::write_status(self.gateway, xml, self.request.dialect, record);
            }
        });
    }
}
