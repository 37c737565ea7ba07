//! Whether a bucket keeps versions, and lists of them.

use costrel_core::bucket::Bucket;
use costrel_core::version::{ListVersions, VersionEntry, VersionRef, Versioning};
use http::StatusCode;

use super::list::{owner, write_access_tier};
use super::{restore, upload};
use crate::attributes::{checksum_type_text, shown_class};
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request};
use crate::xml::{CONFIGURATION_BYTES_MAX, XmlWriter, parse_versioning};

pub fn versioning(request: &Request<'_>, bucket: &Bucket) -> Reply {
    let mut xml = XmlWriter::new(256);
    xml.root("VersioningConfiguration", request.dialect.xml_namespace(), |xml| {
        match bucket.versioning() {
            Versioning::Never => {}
            Versioning::Enabled => xml.text("Status", "Enabled"),
            Versioning::Suspended => xml.text("Status", "Suspended"),
        }
    });
    reply::xml(xml.finish())
}

pub async fn set_versioning(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let asked = parse_versioning(&document)?;
    if asked.mfa_delete {
        return Err(Failure::NotImplemented("MfaDelete".into()));
    }
    let versioning = match asked.enabled {
        Some(true) => Versioning::Enabled,
        Some(false) => Versioning::Suspended,
        None => return Err(Failure::NoVersioningStatus),
    };
    gateway.store.set_versioning(bucket, versioning).await?;
    Ok(reply::empty(StatusCode::OK))
}

pub async fn list(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    let max = request.page_size("max-keys")?;
    let delimiter = request.delimiter()?;
    let encoded = request.url_encoded()?;
    let restores = restore::is_listed(request)?;
    let parameter = |name| request.query.get(name).unwrap_or_default();
    let (prefix, key_marker) = (parameter("prefix"), parameter("key-marker"));
    let version_marker = match parameter("version-id-marker") {
        "" => None,
        _ if key_marker.is_empty() => {
            return Err(Failure::InvalidArgument {
                name: "version-id-marker".into(),
                value: parameter("version-id-marker").into(),
                why: "A version-id marker cannot be specified without a key marker.",
            });
        }
        text => Some(request.named_version("version-id-marker", text)?),
    };
    let query = ListVersions {
        prefix: prefix.to_owned(),
        delimiter: delimiter.to_owned(),
        key_marker: key_marker.to_owned(),
        version_marker,
        max,
    };
    let page = gateway.store.list_versions(bucket, &query).await?;
    let owner = owner(gateway, request, bucket);
    let mut xml = XmlWriter::new(512 + page.entries.len() * 448);
    xml.root("ListVersionsResult", request.dialect.xml_namespace(), |xml| {
        xml.text("Name", bucket.name.as_str());
        if encoded {
            xml.text("EncodingType", "url");
        }
        xml.key("Prefix", prefix, encoded);
        xml.key("KeyMarker", key_marker, encoded);
        xml.text("VersionIdMarker", parameter("version-id-marker"));
        xml.number("MaxKeys", max as u64);
        if !delimiter.is_empty() {
            xml.key("Delimiter", delimiter, encoded);
        }
        xml.boolean("IsTruncated", page.truncated);
        if let Some(last) = page.last().filter(|_| page.truncated) {
            xml.key("NextKeyMarker", last, encoded);
            let version = page.last_version().map(|version| version.to_string());
            xml.text("NextVersionIdMarker", &version.unwrap_or_default());
        }
        for (key, entry) in &page.entries {
            write_entry(xml, gateway, request, &owner, (key, entry), (encoded, restores));
        }
        for prefix in &page.common_prefixes {
            xml.element("CommonPrefixes", |xml| xml.key("Prefix", prefix, encoded));
        }
    });
    let mut reply = reply::xml(xml.finish());
    set(&mut reply, request.dialect.headers().bucket_region.clone(), &bucket.region);
    Ok(reply)
}

fn write_entry(
    xml: &mut XmlWriter,
    gateway: &Gateway,
    request: &Request<'_>,
    owner: &str,
    (key, entry): (&str, &VersionEntry),
    (encoded, restores): (bool, bool),
) {
    // What has no versions is `null` to clients of S3 and has no id in COS.
    let version = match (entry.version, request.dialect) {
        (Some(version), _) => version.to_string(),
        (None, Dialect::S3) => VersionRef::Null.to_string(),
        (None, Dialect::Cos) => String::new(),
    };
    let object = &entry.object;
    let element = if entry.delete_marker { "DeleteMarker" } else { "Version" };
    xml.element(element, |xml| {
        xml.key("Key", key, encoded);
        xml.text("VersionId", &version);
        xml.boolean("IsLatest", entry.is_latest);
        xml.time("LastModified", object.modified_ms);
        if !entry.delete_marker {
            xml.etag(&object.etag);
            if request.dialect == Dialect::S3 {
                for checksum in &object.checksums {
                    xml.text("ChecksumAlgorithm", checksum.algorithm.name());
                    xml.text("ChecksumType", checksum_type_text(checksum.kind()));
                }
            }
            xml.number("Size", object.size);
            xml.text("StorageClass", shown_class(&object.storage_class));
            write_access_tier(gateway, xml, request.dialect, object);
            if restores {
                restore::write_status(gateway, xml, request.dialect, object.restore.as_ref());
            }
        }
        xml.element("Owner", |xml| {
            xml.text("ID", owner);
            xml.text("DisplayName", owner);
        });
    });
}
