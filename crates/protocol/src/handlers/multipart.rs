use costrel_core::bucket::Bucket;
use costrel_core::checksum::{Algorithm, ChecksumType, Expected};
use costrel_core::names::UploadId;
use costrel_core::upload::{
    CompletePart, CompleteRequest, InitiateRequest, ListParts, ListUploads, PartRequest,
    UploadChecksum,
};
use costrel_core::{Error, limits};
use http::{HeaderName, StatusCode};

use super::list::owner;
use super::service::cam_id;
use super::{copy, lifecycle, upload};
use crate::attributes::{
    self, checksum_element, checksum_text, checksum_type_text, declared_checksums, named_algorithm,
    parse_checksum, refuse_unsupported, shown_class,
};
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::percent;
use crate::reply::{self, Reply, set, set_etag, set_number};
use crate::request::{Outcome, Request, bad_header};
use crate::xml::{COMPLETE_UPLOAD_BYTES_MAX, XmlError, XmlWriter, parse_complete_upload};

pub async fn initiate(gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) -> Outcome<Reply> {
    attributes::refuse_unsupported_but(
        request.dialect,
        request.headers,
        attributes::OF_NEW_OBJECTS,
    )?;
    let checksum = match request.dialect {
        Dialect::S3 => upload_checksum(request)?,
        Dialect::Cos => None,
    };
    let initiate = InitiateRequest {
        key: request.new_key()?,
        attributes: attributes::of_request(gateway, request, bucket).await?,
        checksum,
    };
    let key = initiate.key.clone();
    let id = gateway.store.initiate_upload(bucket, initiate).await?;
    let mut xml = XmlWriter::new(512);
    xml.root("InitiateMultipartUploadResult", request.dialect.xml_namespace(), |xml| {
        xml.text("Bucket", bucket.name.as_str());
        xml.text("Key", key.as_str());
        xml.text("UploadId", &id.to_string());
    });
    let mut reply = reply::xml(xml.finish());
    let initiated_ms = id.initiated_ms();
    lifecycle::set_abortion(gateway, &mut reply, request, bucket, &key, initiated_ms).await;
    if let Some(checksum) = checksum {
        set(&mut reply, dialect::s3::CHECKSUM_ALGORITHM, checksum.algorithm.name());
        set(&mut reply, dialect::s3::CHECKSUM_TYPE, checksum_type_text(checksum.kind));
    }
    Ok(reply)
}

fn upload_checksum(request: &Request<'_>) -> Outcome<Option<UploadChecksum>> {
    let algorithm = named_algorithm(request, &dialect::s3::CHECKSUM_ALGORITHM)?;
    let kind = checksum_type(request)?;
    match (algorithm, kind) {
        (Some(algorithm), kind) => Ok(Some(UploadChecksum::new(algorithm, kind)?)),
        (None, Some(_)) => Err(Failure::InvalidRequest(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )),
        // What AWS keeps when its client asks for nothing.
        (None, None) => Ok(Some(UploadChecksum::new(Algorithm::Crc64Nvme, None)?)),
    }
}

fn checksum_type(request: &Request<'_>) -> Outcome<Option<ChecksumType>> {
    let name: HeaderName = dialect::s3::CHECKSUM_TYPE;
    match request.header(&name) {
        None => Ok(None),
        Some("FULL_OBJECT") => Ok(Some(ChecksumType::FullObject)),
        Some("COMPOSITE") => Ok(Some(ChecksumType::Composite)),
        Some(_) => Err(Failure::InvalidRequest("Value for x-amz-checksum-type header is invalid.")),
    }
}

/// An id that is none of ours names no upload.
pub fn upload_id(request: &Request<'_>) -> Outcome<UploadId> {
    let text = request.query.get("uploadId").unwrap_or_default();
    Ok(UploadId::parse(text).ok_or(Error::NoSuchUpload)?)
}

pub async fn upload_part(
    gateway: &std::sync::Arc<Gateway>,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    refuse_unsupported(request.dialect, request.headers)?;
    let (id, number) = copy::part(request)?;
    let mut upload = upload::upload(request, body)?;
    let part = PartRequest {
        key: request.key()?,
        upload: id,
        number,
        expected: upload.expected,
        checksums: upload.announced,
        size: upload.size,
    };
    let outcome = gateway.store.upload_part(bucket, part, &mut upload.source).await?;
    let mut reply = reply::empty(StatusCode::OK);
    set_etag(&mut reply, &outcome.etag);
    match request.dialect {
        Dialect::Cos => set_number(&mut reply, dialect::cos::HASH_CRC64ECMA, outcome.crc64),
        Dialect::S3 => {
            for checksum in &outcome.checksums {
                let name = attributes::checksum_header(checksum.algorithm);
                set(&mut reply, name, &checksum_text(checksum));
            }
        }
    }
    Ok(reply)
}

pub async fn list_parts(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    if request.dialect == Dialect::Cos && request.query.get("uploadId") == Some("") {
        return Err(Failure::EmptyUploadId);
    }
    let after = request.number("part-number-marker")?.unwrap_or(0);
    let list = ListParts {
        key: request.key()?,
        upload: upload_id(request)?,
        after: after.min(u64::from(limits::PART_NUMBER_MAX)) as u32,
        max: request.page_size("max-parts")?,
    };
    let encoded = request.url_encoded()?;
    let page = gateway.store.list_parts(bucket, &list).await?;
    let mut xml = XmlWriter::new(512 + page.parts.len() * 256);
    xml.root("ListPartsResult", request.dialect.xml_namespace(), |xml| {
        xml.text("Bucket", bucket.name.as_str());
        if encoded {
            write_encoding(xml, request.dialect, "Encoding-type");
        }
        xml.key("Key", list.key.as_str(), encoded);
        xml.text("UploadId", &list.upload.to_string());
        write_people(xml, gateway, request, bucket);
        xml.number("PartNumberMarker", u64::from(list.after));
        if let Some(last) = page.parts.last() {
            xml.number("NextPartNumberMarker", u64::from(last.number));
        }
        xml.number("MaxParts", list.max as u64);
        xml.boolean("IsTruncated", page.truncated);
        if let (Dialect::S3, Some(checksum)) = (request.dialect, page.checksum) {
            xml.text("ChecksumAlgorithm", checksum.algorithm.name());
            xml.text("ChecksumType", checksum_type_text(checksum.kind));
        }
        for part in &page.parts {
            xml.element("Part", |xml| {
                xml.number("PartNumber", u64::from(part.number));
                xml.time("LastModified", part.modified_ms);
                xml.etag(&part.etag);
                xml.number("Size", part.size);
                match request.dialect {
                    Dialect::Cos => xml.number("CRC64", part.crc64),
                    Dialect::S3 => {
                        for checksum in &part.checksums {
                            let name = checksum_element(checksum.algorithm);
                            xml.text(name, &checksum_text(checksum));
                        }
                    }
                }
            });
        }
        xml.text("StorageClass", shown_class(&page.storage_class));
    });
    let mut reply = reply::xml(xml.finish());
    let initiated_ms = list.upload.initiated_ms();
    lifecycle::set_abortion(gateway, &mut reply, request, bucket, &list.key, initiated_ms).await;
    Ok(reply)
}

/// COS's SDKs disagree about this element's name; both spellings serve all.
fn write_encoding(xml: &mut XmlWriter, dialect: Dialect, cos_name: &'static str) {
    if dialect == Dialect::Cos {
        xml.text(cos_name, "url");
    }
    xml.text("EncodingType", "url");
}

fn write_people(xml: &mut XmlWriter, gateway: &Gateway, request: &Request<'_>, bucket: &Bucket) {
    let owner = owner(gateway, request, bucket);
    let (initiator, initiator_name) = match request.dialect {
        Dialect::Cos => (cam_id(bucket.owner_uin), bucket.owner_uin.to_string()),
        Dialect::S3 => (owner.clone(), owner.clone()),
    };
    xml.element("Initiator", |xml| {
        xml.text("ID", &initiator);
        xml.text("DisplayName", &initiator_name);
    });
    xml.element("Owner", |xml| {
        xml.text("ID", &owner);
        xml.text("DisplayName", &owner);
    });
}

pub async fn list_uploads(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    let max = request.page_size("max-uploads")?;
    let encoded = request.url_encoded()?;
    let delimiter = request.delimiter()?;
    let parameter = |name| request.query.get(name).unwrap_or_default();
    let (prefix, key_marker) = (parameter("prefix"), parameter("key-marker"));
    // Without a key an upload id marks nothing, as in S3.
    let upload_marker = Some(parameter("upload-id-marker"))
        .filter(|marker| !marker.is_empty() && !key_marker.is_empty());
    let list = ListUploads {
        prefix: prefix.to_owned(),
        delimiter: delimiter.to_owned(),
        key_marker: key_marker.to_owned(),
        upload_marker: upload_marker.and_then(UploadId::parse),
        max,
    };
    let page = gateway.store.list_uploads(bucket, &list).await?;
    let mut xml = XmlWriter::new(512 + page.entries.len() * 384);
    xml.root("ListMultipartUploadsResult", request.dialect.xml_namespace(), |xml| {
        xml.text("Bucket", bucket.name.as_str());
        if encoded {
            write_encoding(xml, request.dialect, "Encoding-Type");
        }
        xml.key("KeyMarker", key_marker, encoded);
        xml.text("UploadIdMarker", parameter("upload-id-marker"));
        if page.truncated {
            let last = page.last().unwrap_or_default();
            xml.key("NextKeyMarker", last, encoded);
            let id = page.entries.last().filter(|(key, _)| key == last);
            let id = id.map(|(_, entry)| entry.id.to_string()).unwrap_or_default();
            xml.text("NextUploadIdMarker", &id);
        }
        xml.key("Prefix", prefix, encoded);
        if !delimiter.is_empty() {
            xml.key("Delimiter", delimiter, encoded);
            if request.dialect == Dialect::Cos {
                // What the Go SDK reads.
                xml.key("delimiter", delimiter, encoded);
            }
        }
        xml.number("MaxUploads", max as u64);
        xml.boolean("IsTruncated", page.truncated);
        for (key, entry) in &page.entries {
            xml.element("Upload", |xml| {
                xml.key("Key", key, encoded);
                xml.text("UploadId", &entry.id.to_string());
                write_people(xml, gateway, request, bucket);
                xml.text("StorageClass", shown_class(&entry.storage_class));
                xml.time("Initiated", entry.initiated_ms);
                if let (Dialect::S3, Some(checksum)) = (request.dialect, entry.checksum) {
                    xml.text("ChecksumAlgorithm", checksum.algorithm.name());
                    xml.text("ChecksumType", checksum_type_text(checksum.kind));
                }
            });
        }
        for prefix in &page.common_prefixes {
            xml.element("CommonPrefixes", |xml| xml.key("Prefix", prefix, encoded));
            if request.dialect == Dialect::Cos {
                xml.element("CommonPrefixs", |xml| xml.key("Prefix", prefix, encoded));
            }
        }
    });
    Ok(reply::xml(xml.finish()))
}

pub async fn complete(
    gateway: &std::sync::Arc<Gateway>,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    refuse_unsupported(request.dialect, request.headers)?;
    let upload = upload_id(request)?;
    // Checksum headers of this request are the object's, not its document's.
    let document = upload::undeclared_document(request, body, COMPLETE_UPLOAD_BYTES_MAX).await?;
    let asked = parse_complete_upload(&document).map_err(|error| match error {
        XmlError::Empty => Error::NoParts.into(),
        error => Failure::Xml(error),
    })?;
    let mut parts = Vec::with_capacity(asked.parts.len());
    for part in asked.parts {
        let number = u32::try_from(part.number).map_err(|_| Error::PartNumberOutOfRange)?;
        let mut checksums = Vec::new();
        for (name, text) in &part.checksums {
            let algorithm = Algorithm::from_name(name);
            let parsed = algorithm.and_then(|a| Some((a, parse_checksum(a, text)?)));
            checksums.push(parsed.ok_or(Error::InvalidPart { number })?);
        }
        let etag = part.etag.trim().trim_matches('"').to_owned();
        parts.push(CompletePart { number, etag, checksums });
    }
    let expected_size = match request.header(&dialect::s3::MP_OBJECT_SIZE) {
        Some(text) if request.dialect == Dialect::S3 => Some(
            text.trim()
                .parse()
                .map_err(|_| bad_header(&dialect::s3::MP_OBJECT_SIZE, text, "Not a size."))?,
        ),
        _ => None,
    };
    let complete = CompleteRequest {
        key: request.key()?,
        upload,
        parts,
        conditions: request.write_conditions()?,
        part_bytes_min: request.dialect.part_bytes_min(),
        expected: Expected {
            checksums: declared_checksums(request)?,
            crc64: upload::declared_crc64(request)?,
            ..Expected::default()
        },
        expected_kind: match request.dialect {
            Dialect::S3 => checksum_type(request)?,
            Dialect::Cos => None,
        },
        expected_size,
    };
    let key = complete.key.clone();
    let outcome = gateway.store.complete_upload(bucket, complete).await?;
    let mut xml = XmlWriter::new(512);
    xml.root("CompleteMultipartUploadResult", request.dialect.xml_namespace(), |xml| {
        xml.text("Location", &location(request, key.as_str()));
        xml.text("Bucket", bucket.name.as_str());
        xml.text("Key", key.as_str());
        xml.etag(&outcome.etag);
        if request.dialect == Dialect::S3 {
            for checksum in &outcome.checksums {
                xml.text(checksum_element(checksum.algorithm), &checksum_text(checksum));
                xml.text("ChecksumType", checksum_type_text(checksum.kind()));
            }
        }
    });
    let mut reply = reply::xml(xml.finish());
    let version = attributes::written_version(request.dialect, outcome.version);
    attributes::set_version(&mut reply, request.dialect, version);
    let facts = (outcome.size, outcome.modified_ms, &outcome.tags);
    lifecycle::set_expiration(gateway, &mut reply, request, bucket, &key, facts).await;
    if request.dialect == Dialect::Cos {
        set_number(&mut reply, dialect::cos::HASH_CRC64ECMA, outcome.crc64);
    }
    Ok(reply)
}

/// The object's address as the client reached it.
pub fn location(request: &Request<'_>, key: &str) -> String {
    let scheme = if request.connection.is_secure() { "https" } else { "http" };
    let mut location = format!("{scheme}://{}/", request.host());
    if request.address.style == crate::address::Style::Path
        && let Some(bucket) = &request.address.bucket
    {
        location.push_str(bucket);
        location.push('/');
    }
    percent::encode_into(&mut location, key);
    location
}

pub async fn abort(
    gateway: &std::sync::Arc<Gateway>,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Reply> {
    refuse_unsupported(request.dialect, request.headers)?;
    let id = upload_id(request)?;
    gateway.store.abort_upload(bucket, &request.key()?, id).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
