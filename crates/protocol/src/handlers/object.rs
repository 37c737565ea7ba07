//! Putting, appending and reading objects.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use costrel_core::bucket::Bucket;
use costrel_core::checksum::Algorithm;
use costrel_core::object::{AppendRequest, GetRequest, ObjectInfo, PutRequest, Seen, Selection};
use costrel_core::precondition::EtagCondition;
use costrel_core::range::ByteRange;
use costrel_core::tags::Tags;
use costrel_core::{Error, limits};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{lifecycle, restore, upload};
use crate::attributes::{
    self, OF_NEW_OBJECTS, checksum_element, checksum_text, checksum_type_text, refuse_unsupported,
    refuse_unsupported_but, set_checksums, set_version, shown_class, written_version,
};
use crate::body::ResponseBody;
use crate::date;
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::ops::Operation;
use crate::permission::links_of;
use crate::reply::{self, Reply, set, set_etag, set_number};
use crate::request::{Outcome, Request, seconds};
use crate::xml::XmlWriter;

pub async fn put(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    refuse_unsupported_but(request.dialect, request.headers, OF_NEW_OBJECTS)?;
    let attributes = attributes::of_request(gateway, request, bucket).await?;
    let key = request.new_key()?;
    let conditions = request.write_conditions()?;
    let mut upload = upload::upload(request, body)?;
    let mut checksums = std::mem::take(&mut upload.announced);
    if request.dialect == Dialect::S3
        && checksums.is_empty()
        && upload.expected.checksums.is_empty()
    {
        // What AWS keeps of an object whose client asks for nothing.
        checksums.push(Algorithm::Crc64Nvme);
    }
    let put = PutRequest {
        key,
        attributes,
        conditions,
        checksums,
        expected: upload.expected,
        size: upload.size,
    };
    let key = put.key.clone();
    let outcome = gateway.store.put_object(bucket, put, &mut upload.source).await?;
    let mut reply = reply::empty(StatusCode::OK);
    let facts = (outcome.size, outcome.modified_ms, &outcome.tags);
    lifecycle::set_expiration(gateway, &mut reply, request, bucket, &key, facts).await;
    set_etag(&mut reply, &outcome.etag);
    set_version(&mut reply, request.dialect, written_version(request.dialect, outcome.version));
    match request.dialect {
        Dialect::Cos => set_number(&mut reply, dialect::cos::HASH_CRC64ECMA, outcome.crc64),
        Dialect::S3 => set_checksums(&mut reply, &outcome.checksums),
    }
    Ok(reply)
}

pub async fn append(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    refuse_unsupported_but(request.dialect, request.headers, OF_NEW_OBJECTS)?;
    let position = request.number("position")?.ok_or(Failure::InvalidArgument {
        name: "position".into(),
        value: String::new(),
        why: "The append position is missing.",
    })?;
    let attributes = attributes::of_request(gateway, request, bucket).await?;
    let mut upload = upload::upload(request, body)?;
    let append = AppendRequest {
        key: request.new_key()?,
        position,
        attributes,
        expected: upload.expected,
        size: upload.size,
    };
    let key = append.key.clone();
    let outcome = gateway.store.append_object(bucket, append, &mut upload.source).await?;
    let mut reply = reply::empty(StatusCode::OK);
    let facts = (outcome.next_position, outcome.modified_ms, &outcome.tags);
    lifecycle::set_expiration(gateway, &mut reply, request, bucket, &key, facts).await;
    set_etag(&mut reply, &outcome.etag);
    set_number(&mut reply, dialect::cos::NEXT_APPEND_POSITION, outcome.next_position);
    // The Go SDK compares this with the MD5 of what it sent.
    set(&mut reply, dialect::cos::CONTENT_SHA1, &hex::encode(outcome.appended_md5));
    set_number(&mut reply, dialect::cos::HASH_CRC64ECMA, outcome.crc64);
    Ok(reply)
}

/// What let the caller in has been seen, and is what he gets.
pub async fn get(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    seen: &Option<Arc<Seen>>,
) -> Outcome<Reply> {
    let mut get = read_request(request, bucket, seen)?;
    let operation = Operation::GetObject;
    let guarded = if_range(request, &get);
    let (info, range, reader) =
        match gateway.open_object(request, bucket, operation, &guarded).await {
            Err(Failure::Core(Error::PreconditionFailed { .. })) if is_ranged(request, &get) => {
                get.selection = Selection::Whole;
                gateway.open_object(request, bucket, operation, &get).await?
            }
            found => found?,
        };
    let mut reply = reply::with_body(StatusCode::OK, ResponseBody::object(reader).await?);
    describe(gateway, &mut reply, request, &get, (&info, &range))?;
    restore::describe(gateway, &mut reply, request.dialect, &info);
    expiration(gateway, &mut reply, request, bucket, &get, &info).await;
    checksums(gateway, &mut reply, request, bucket, &get, &info, &range).await?;
    Ok(reply)
}

/// A version that was asked for by its id may not be the one that expires.
async fn expiration(
    gateway: &Gateway,
    reply: &mut Reply,
    request: &Request<'_>,
    bucket: &Bucket,
    get: &GetRequest,
    info: &ObjectInfo,
) {
    if get.version.is_none() {
        let record = info.own_record();
        let tags = Tags::from_stored(record.tags.clone());
        let facts = (record.size, record.modified_ms, &tags);
        lifecycle::set_expiration(gateway, reply, request, bucket, &get.key, facts).await;
    }
}

pub async fn head(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    seen: &Option<Arc<Seen>>,
) -> Outcome<Reply> {
    let mut get = read_request(request, bucket, seen)?;
    let operation = Operation::HeadObject;
    let guarded = if_range(request, &get);
    let (info, range) = match gateway.look_at_object(request, bucket, operation, &guarded).await {
        Err(Failure::Core(Error::PreconditionFailed { .. })) if is_ranged(request, &get) => {
            get.selection = Selection::Whole;
            gateway.look_at_object(request, bucket, operation, &get).await?
        }
        found => found?,
    };
    let mut reply = reply::with_body(StatusCode::OK, ResponseBody::headers_only());
    describe(gateway, &mut reply, request, &get, (&info, &range))?;
    restore::describe(gateway, &mut reply, request.dialect, &info);
    expiration(gateway, &mut reply, request, bucket, &get, &info).await;
    checksums(gateway, &mut reply, request, bucket, &get, &info, &range).await?;
    Ok(reply)
}

fn read_request(
    request: &Request<'_>,
    bucket: &Bucket,
    seen: &Option<Arc<Seen>>,
) -> Outcome<GetRequest> {
    refuse_unsupported(request.dialect, request.headers)?;
    Ok(GetRequest {
        key: request.key()?,
        version: request.version()?,
        selection: selection(request)?,
        conditions: request.read_conditions(),
        links: links_of(request, bucket),
        seen: seen.clone(),
    })
}

/// Whether a range is wanted only of the object that the client has begun to
/// read; of any other it gets all, with the same request. A condition on the
/// object that fails the whole request makes the question moot.
fn is_ranged(request: &Request<'_>, get: &GetRequest) -> bool {
    matches!(get.selection, Selection::Range(_))
        && request.headers.contains_key(header::IF_RANGE)
        && get.conditions.if_match.is_none()
        && get.conditions.if_unmodified_since.is_none()
}

/// The request with `If-Range` as a further condition. A weak tag and what is
/// neither tag nor date never hold.
fn if_range<'a>(request: &Request<'_>, get: &'a GetRequest) -> Cow<'a, GetRequest> {
    let mut guarded = Cow::Borrowed(get);
    if is_ranged(request, get) {
        let text = request.header(&header::IF_RANGE).unwrap_or_default().trim();
        let conditions = &mut guarded.to_mut().conditions;
        match date::parse_http(text) {
            Some(time) => conditions.if_unmodified_since = Some(seconds(time)),
            None if text.starts_with('"') => conditions.if_match = Some(EtagCondition::parse(text)),
            None => conditions.if_match = Some(EtagCondition::OneOf(Vec::new())),
        }
    }
    guarded
}

fn selection(request: &Request<'_>) -> Outcome<Selection> {
    let range = request.header(&header::RANGE).and_then(ByteRange::parse);
    let part = request.number("partNumber")?;
    match (range, part) {
        (Some(_), Some(_)) => Err(Failure::InvalidRequest(
            "Cannot specify both Range header and partNumber query parameter",
        )),
        (Some(range), None) => Ok(Selection::Range(range)),
        (None, Some(part)) if (1..=u64::from(limits::PART_NUMBER_MAX)).contains(&part) => {
            Ok(Selection::Part(part as u32))
        }
        (None, Some(_)) => Err(Error::PartNumberOutOfRange.into()),
        (None, None) => Ok(Selection::Whole),
    }
}

fn describe(
    gateway: &Gateway,
    reply: &mut Reply,
    request: &Request<'_>,
    get: &GetRequest,
    (info, range): (&ObjectInfo, &Range<u64>),
) -> Outcome<()> {
    attributes::describe(reply, request.dialect, info, gateway.store.now_ms());
    set(reply, header::ACCEPT_RANGES, "bytes");
    set_number(reply, header::CONTENT_LENGTH, range.end - range.start);
    let size = info.record.size;
    let partial = match get.selection {
        Selection::Whole => false,
        Selection::Range(_) => true,
        Selection::Part(_) => info.parts_count().is_some(),
    };
    if partial && size > 0 && range.start < range.end {
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = range.end - 1;
        set(reply, header::CONTENT_RANGE, &format!("bytes {}-{last}/{size}", range.start));
    }
    if let (Selection::Part(_), Some(count)) = (get.selection, info.parts_count()) {
        set_number(reply, request.dialect.headers().parts_count.clone(), u64::from(count));
    }
    override_headers(reply, request)
}

/// What verifies the bytes of the answer, if S3's client asks for it: a checksum
/// of the object for all of it, a part's own for a part, nothing for a range.
async fn checksums(
    gateway: &Gateway,
    reply: &mut Reply,
    request: &Request<'_>,
    bucket: &Bucket,
    get: &GetRequest,
    info: &ObjectInfo,
    range: &Range<u64>,
) -> Outcome<()> {
    let mode = request.header(&dialect::s3::CHECKSUM_MODE);
    let wanted = mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"));
    if request.dialect != Dialect::S3 || !wanted {
        return Ok(());
    }
    let of_object: Vec<_> = info.checksums().collect();
    match get.selection {
        Selection::Part(count) if info.parts_count().is_some() => {
            let of_part = gateway.store.part_checksums(bucket, &get.key, info, count).await?;
            for whole in &of_object {
                set_checksums(reply, of_part.iter().filter(|c| c.algorithm == whole.algorithm));
                set(reply, dialect::s3::CHECKSUM_TYPE, checksum_type_text(whole.kind()));
            }
        }
        _ if *range == (0..info.record.size) => set_checksums(reply, &of_object),
        _ => {}
    }
    Ok(())
}

const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-content-type", header::CONTENT_TYPE),
    ("response-content-language", header::CONTENT_LANGUAGE),
    ("response-expires", header::EXPIRES),
    ("response-cache-control", header::CACHE_CONTROL),
    ("response-content-disposition", header::CONTENT_DISPOSITION),
    ("response-content-encoding", header::CONTENT_ENCODING),
];

fn override_headers(reply: &mut Reply, request: &Request<'_>) -> Outcome<()> {
    if request.query.is_empty() {
        return Ok(());
    }
    for (parameter, name) in OVERRIDES {
        if let Some(value) = request.query.get(parameter) {
            // Of a URL of COS they need not be among what is signed: its SDKs' documents
            // tell everybody to append them to one.
            if request.identity.is_none() {
                return Err(Failure::AnonymousOverride);
            }
            let unfit = |_| Failure::InvalidArgument {
                name: parameter.into(),
                value: value.to_owned(),
                why: "The parameter must be representable as a header.",
            };
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(unfit)?;
            reply.headers_mut().insert(name, value);
        }
    }
    Ok(())
}

/// S3's GetObjectAttributes.
pub async fn attributes(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    seen: &Option<Arc<Seen>>,
) -> Outcome<Reply> {
    let asked = request.header(&dialect::s3::OBJECT_ATTRIBUTES).unwrap_or_default();
    let asked: Vec<&str> =
        asked.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];
    if asked.is_empty() || asked.iter().any(|name| !known.contains(name)) {
        return Err(Failure::InvalidArgument {
            name: "x-amz-object-attributes".into(),
            value: asked.join(","),
            why: "Invalid attribute name specified.",
        });
    }
    let wants = |name: &str| asked.contains(&name);
    let get = GetRequest {
        key: request.key()?,
        version: request.version()?,
        selection: Selection::Whole,
        conditions: request.read_conditions(),
        links: links_of(request, bucket),
        seen: seen.clone(),
    };
    let operation = Operation::GetObjectAttributes;
    let (info, _) = gateway.look_at_object(request, bucket, operation, &get).await?;
    let parts = match wants("ObjectParts") && info.parts_count().is_some() {
        true => {
            let after = header_number(request, &dialect::s3::PART_NUMBER_MARKER)?.unwrap_or(0);
            let max = header_number(request, &dialect::s3::MAX_PARTS)?
                .map_or(limits::PAGE_ENTRIES_MAX, |max| max as usize)
                .min(limits::PAGE_ENTRIES_MAX);
            let page = gateway.store.object_parts(bucket, &get.key, &info, after, max).await?;
            Some((after, max, page))
        }
        false => None,
    };

    let mut xml = XmlWriter::new(1024);
    xml.root("GetObjectAttributesResponse", request.dialect.xml_namespace(), |xml| {
        if wants("ETag") {
            xml.text("ETag", &info.etag);
        }
        let checksums: Vec<_> = info.checksums().collect();
        if wants("Checksum") && !checksums.is_empty() {
            xml.element("Checksum", |xml| {
                for checksum in &checksums {
                    xml.text(checksum_element(checksum.algorithm), &checksum_text(checksum));
                    xml.text("ChecksumType", checksum_type_text(checksum.kind()));
                }
            });
        }
        if let Some((after, max, (page, truncated))) = &parts {
            xml.element("ObjectParts", |xml| {
                xml.number("PartsCount", u64::from(info.parts_count().unwrap_or_default()));
                xml.number("PartNumberMarker", u64::from(*after));
                if let Some(last) = page.last().filter(|_| *truncated) {
                    xml.number("NextPartNumberMarker", u64::from(last.number));
                }
                xml.number("MaxParts", *max as u64);
                xml.boolean("IsTruncated", *truncated);
                for part in page {
                    xml.element("Part", |xml| {
                        xml.number("PartNumber", u64::from(part.number));
                        xml.number("Size", part.size);
                        for checksum in &part.checksums {
                            xml.text(
                                checksum_element(checksum.algorithm),
                                &checksum_text(checksum),
                            );
                        }
                    });
                }
            });
        }
        if wants("StorageClass") {
            xml.text("StorageClass", shown_class(&info.record.storage_class));
        }
        if wants("ObjectSize") {
            xml.number("ObjectSize", info.record.size);
        }
    });
    let mut reply = reply::xml(xml.finish());
    set_version(&mut reply, request.dialect, info.version);
    let modified = date::http_date(info.record.modified_ms);
    reply.headers_mut().insert(header::LAST_MODIFIED, modified);
    Ok(reply)
}

fn header_number(request: &Request<'_>, name: &HeaderName) -> Outcome<Option<u32>> {
    match request.header(name) {
        None => Ok(None),
        Some(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| crate::request::bad_header(name, text, "Not a number.")),
    }
}
