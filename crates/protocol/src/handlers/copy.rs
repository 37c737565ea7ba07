//! Copies: of whole objects, and of objects as parts.

use std::sync::Arc;

use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::names::{ObjectKey, UploadId};
use costrel_core::object::{CopyRequest, CopySource, GetRequest, Links, PutOutcome, Selection};
use costrel_core::precondition::ReadConditions;
use costrel_core::range::ByteRange;
use costrel_core::upload::PartCopyRequest;
use costrel_core::version::VersionRef;
use http::{HeaderName, Uri};

use super::lifecycle;
use super::multipart::upload_id;
use crate::acl;
use crate::address::{self, Domains, Style};
use crate::attributes::{
    self, checksum_element, checksum_text, checksum_type_text, refuse_unsupported, storage_class,
    written_version,
};
use crate::body::{Document, answer_late};
use crate::date;
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::observe::Source;
use crate::ops::{OpRow, Operation};
use crate::percent;
use crate::permission::{self, Need};
use crate::reply::Reply;
use crate::request::{Outcome, Request, bad_header};
use crate::xml::XmlWriter;

pub async fn copy_object(
    gateway: &Arc<Gateway>,
    request: &Request<'_>,
    row: &OpRow,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let obeyed = [attributes::OF_NEW_OBJECTS, &["tagging-directive"]].concat();
    attributes::refuse_unsupported_but(request.dialect, request.headers, &obeyed)?;
    let names = request.dialect.headers();
    let metadata = match replaces(request, &names.metadata_directive)? {
        true => Some(attributes::metadata_of_request(request)?),
        false => None,
    };
    let tags = match replaces(request, &names.tagging_directive)? {
        true => Some(attributes::tags_of_request(request)?),
        false => None,
    };
    let class = request.header(&names.storage_class);
    let copy = CopyRequest {
        source: source(gateway, request, row).await?,
        key: request.new_key()?,
        metadata,
        website_redirect: attributes::website_redirect(
            request.header(&names.website_redirect_location).unwrap_or_default(),
        )?,
        tags,
        lock: attributes::lock_of_request(request)?,
        acl: acl::of_new_object(gateway, request, bucket).await?,
        storage_class: class.map(|class| storage_class(Some(class))).transpose()?,
        checksum: match request.dialect {
            Dialect::S3 => attributes::named_algorithm(request, &dialect::s3::CHECKSUM_ALGORITHM)?,
            Dialect::Cos => None,
        },
        conditions: request.write_conditions()?,
    };
    let (gateway, bucket, dialect) = (gateway.clone(), bucket.clone(), request.dialect);
    answer_late(async move {
        let key = copy.key.clone();
        let outcome = gateway.store.copy_object(&bucket, copy).await?;
        let mut document = result(dialect, "CopyObjectResult", &outcome);
        let facts = (outcome.size, outcome.modified_ms, &outcome.tags);
        let expiration = lifecycle::expiration(&gateway, &bucket, &key, facts).await;
        let name = dialect.headers().expiration.clone();
        document.headers.extend(expiration.map(|text| (name, text)));
        Ok(document)
    })
    .await
}

pub async fn copy_part(
    gateway: &Arc<Gateway>,
    request: &Request<'_>,
    row: &OpRow,
    bucket: &Bucket,
) -> Outcome<Reply> {
    refuse_unsupported(request.dialect, request.headers)?;
    let (upload, number) = part(request)?;
    let mut source = source(gateway, request, row).await?;
    let name = &request.dialect.headers().copy_source_range;
    if let Some(text) = request.header(name) {
        // Only the full form means something here.
        source.range = match ByteRange::parse(text) {
            Some(range @ ByteRange::FromTo(..)) => Some(range),
            _ => {
                let why = match request.dialect {
                    Dialect::S3 => {
                        "The x-amz-copy-source-range value must be of the form bytes=first-last \
                         where first and last are the zero-based offsets of the first and last \
                         bytes to copy"
                    }
                    Dialect::Cos => {
                        "The x-cos-copy-source-range value must be of the form bytes=first-last"
                    }
                };
                return Err(bad_header(name, text, why));
            }
        };
    }
    let copy = PartCopyRequest { source, key: request.key()?, upload, number };
    let (store, bucket, dialect) = (gateway.store.clone(), bucket.clone(), request.dialect);
    answer_late(async move {
        let outcome = store.copy_part(&bucket, copy).await?;
        Ok(result(dialect, "CopyPartResult", &outcome))
    })
    .await
}

/// Whether a directive says that the request's own replaces the source's.
pub fn replaces(request: &Request<'_>, name: &HeaderName) -> Outcome<bool> {
    match request.header(name) {
        None => Ok(false),
        Some(directive) if directive.eq_ignore_ascii_case("COPY") => Ok(false),
        // COS's documents say `Replaced`, S3 clients `REPLACE`.
        Some(directive)
            if directive.eq_ignore_ascii_case("REPLACE")
                || directive.eq_ignore_ascii_case("REPLACED") =>
        {
            Ok(true)
        }
        Some(directive) => Err(bad_header(name, directive, "Unknown directive.")),
    }
}

/// The upload and part number in a request's query.
pub fn part(request: &Request<'_>) -> Outcome<(UploadId, u32)> {
    let number = request.number("partNumber")?.unwrap_or_default();
    let number = u32::try_from(number).map_err(|_| Error::PartNumberOutOfRange)?;
    Ok((upload_id(request)?, number))
}

fn result(dialect: Dialect, root: &'static str, outcome: &PutOutcome) -> Document {
    let names = dialect.headers();
    let versions = [
        (&names.version_id, written_version(dialect, outcome.version)),
        (&names.copy_source_version_id, outcome.source_version),
    ];
    let headers = versions
        .into_iter()
        .filter_map(|(name, version)| Some((name.clone(), version?.to_string())))
        .collect();
    let mut xml = XmlWriter::new(512);
    xml.root(root, dialect.xml_namespace(), |xml| {
        xml.etag(&outcome.etag);
        match dialect {
            Dialect::Cos => {
                xml.number("CRC64", outcome.crc64);
                xml.text("LastModified", &date::iso_seconds(outcome.modified_ms));
                if let Some(version) = outcome.version {
                    xml.text("VersionId", &version.to_string());
                }
            }
            Dialect::S3 => {
                xml.time("LastModified", outcome.modified_ms);
                for checksum in &outcome.checksums {
                    xml.text(checksum_element(checksum.algorithm), &checksum_text(checksum));
                    if root == "CopyObjectResult" {
                        xml.text("ChecksumType", checksum_type_text(checksum.kind()));
                    }
                }
            }
        }
    });
    Document { body: xml.finish(), headers }
}

/// The object that a copy reads, which the caller must be allowed to read too.
async fn source(gateway: &Arc<Gateway>, request: &Request<'_>, row: &OpRow) -> Outcome<CopySource> {
    let text = request.header(&request.dialect.headers().copy_source).unwrap_or_default();
    let domains = &gateway.options.domains;
    let (bucket, key, version) = parse_source(domains, request.dialect, text)?;
    let bucket = gateway.known_bucket(request, &bucket).await?;
    let named = version.map(|version| version.to_string());
    let need = Need::new(Operation::GetObject, Some(&key), named.as_deref());
    gateway.require(request, &bucket, need).await?;
    let (of, version_text) = (bucket.clone(), named.clone());
    request.notes.copies(Source { bucket: of, key: key.clone(), version: version_text });
    let key = ObjectKey::new(&key)?;
    let links = match permission::links_of(request, &bucket) {
        Links::Anywhere => Links::Anywhere,
        _ => {
            may_take_all(gateway, request, row, &bucket, (&key, version, named.as_deref())).await?
        }
    };
    let conditions = request.copy_source_conditions();
    Ok(CopySource { bucket, key, version, range: None, conditions, links })
}

/// Whether the caller may learn that the source is not there, if so, and read the
/// tags that a copy takes along, if it has any; and where a link may lead the copy.
async fn may_take_all(
    gateway: &Arc<Gateway>,
    request: &Request<'_>,
    row: &OpRow,
    bucket: &Bucket,
    (key, version, named): (&ObjectKey, Option<VersionRef>, Option<&str>),
) -> Outcome<Links> {
    let head = GetRequest {
        key: key.clone(),
        version,
        selection: Selection::Whole,
        conditions: ReadConditions::default(),
        links: Links::Nowhere,
        seen: None,
    };
    let operation = Operation::GetObject;
    let info = match gateway.look_at_object(request, bucket, operation, &head).await {
        Ok((info, _)) => info,
        Err(failure) if failure.is_absence() => {
            return match gateway.permits_listing(request, bucket, key.as_str()).await? {
                true => Err(failure),
                false => Err(permission::refusal(request)),
            };
        }
        Err(failure) => return Err(failure),
    };
    let copies = row.operation == Some(Operation::CopyObject)
        && !replaces(request, &request.dialect.headers().tagging_directive)?;
    let (tagged, version) = match &info.link {
        Some(link) => (&link.target, None),
        None => (key, named),
    };
    if copies && !info.tags().as_slice().is_empty() {
        let need = Need::new(Operation::GetObjectTagging, Some(tagged.as_str()), version);
        gateway.require(request, bucket, need).await?;
    }
    Ok(info.link.map_or(Links::Nowhere, |link| Links::Only(link.target, None)))
}

/// Reads `<bucket host>/<key>` (COS) or `[/]<bucket>/<key>` (S3), the key
/// percent-encoded, with a version behind it or without.
pub fn parse_source(
    domains: &Domains,
    dialect: Dialect,
    text: &str,
) -> Outcome<(String, String, Option<VersionRef>)> {
    let malformed = || {
        Failure::InvalidCopySource(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        )
    };
    let (path, version) = match text.rsplit_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (text, None),
    };
    let version = match version {
        None | Some("") => None,
        Some(text) => Some(VersionRef::parse(text).ok_or(Error::NoSuchVersion)?),
    };
    let path =
        split_slash(path).filter(|(front, _)| front.is_empty()).map_or(path, |(_, rest)| rest);
    let (first, key) = split_slash(path).ok_or_else(malformed)?;
    let first = percent::decode(first).map_err(|_| malformed())?;
    // S3 has no such form, but buckets whose names are host names.
    let host = (dialect == Dialect::Cos).then(|| bucket_of_host(domains, &first)).flatten();
    let bucket = host.unwrap_or_else(|| first.into_owned());
    let key = percent::decode(key).map_err(|_| malformed())?;
    if bucket.is_empty() || key.is_empty() {
        return Err(malformed());
    }
    Ok((bucket, key.into_owned(), version))
}

/// What stands before and behind the first slash. Some SDKs encode the slash
/// between bucket and key as well.
fn split_slash(text: &str) -> Option<(&str, &str)> {
    let slashes = ["/", "%2F", "%2f"];
    let found = slashes.iter().filter_map(|slash| Some((text.find(slash)?, slash.len())));
    let (at, len) = found.min()?;
    Some((&text[..at], &text[at + len..]))
}

/// The bucket in a host name, if it is the name of a bucket's host.
fn bucket_of_host(domains: &Domains, host: &str) -> Option<String> {
    let uri: Uri = format!("http://{host}/").parse().ok()?;
    let address = address::resolve(&uri, None, domains).ok()?;
    match address.style {
        Style::VirtualHosted => address.bucket,
        Style::Path => None,
    }
}
