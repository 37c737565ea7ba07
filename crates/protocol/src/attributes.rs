//! What a request says about the object it makes, in headers or form fields,
//! and how answers say it again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::checksum::{Algorithm, Checksum, ChecksumType};
use costrel_core::lock::{Retention, RetentionMode, VersionLock};
use costrel_core::object::{Attributes, ObjectInfo};
use costrel_core::record::{Content, Metadata, Pair};
use costrel_core::tags::Tags;
use costrel_core::tier::StorageClass;
use costrel_core::version::VersionRef;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::acl;
use crate::date;
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::query::Query;
use crate::reply::{Reply, set, set_etag, set_number};
use crate::request::{Outcome, Request, bad_header};

/// The class as it is kept: empty for STANDARD.
pub fn storage_class(name: Option<&str>) -> Outcome<String> {
    match name {
        None | Some("" | "STANDARD") => Ok(String::new()),
        Some(name) if StorageClass::from_name(name).is_some() => Ok(name.to_owned()),
        Some(_) => Err(Error::InvalidStorageClass.into()),
    }
}

pub fn shown_class(class: &str) -> &str {
    match class {
        "" => "STANDARD",
        class => class,
    }
}

/// Headers that say something of the object that is made, by their names behind
/// the prefix. Other operations would not obey them.
pub const OF_NEW_OBJECTS: &[&str] = &[
    "website-redirect-location",
    "tagging",
    "object-lock-mode",
    "object-lock-retain-until-date",
    "object-lock-legal-hold",
    "acl",
    "grant-read",
    "grant-write",
    "grant-read-acp",
    "grant-write-acp",
    "grant-full-control",
];

/// Longest location of a redirect, in bytes. (AWS.)
const REDIRECT_BYTES_MAX: usize = 2048;

/// Those of ACLs alone.
pub const OF_ACLS: &[&str] = OF_NEW_OBJECTS.split_at(5).1;

/// Refuses headers that ask for what is not there yet, so that nothing is
/// accepted that would not be obeyed.
pub fn refuse_unsupported(dialect: Dialect, headers: &HeaderMap) -> Outcome<()> {
    refuse_unsupported_but(dialect, headers, &[])
}

/// The same in an operation that obeys some headers more.
pub fn refuse_unsupported_but(
    dialect: Dialect,
    headers: &HeaderMap,
    obeyed: &[&str],
) -> Outcome<()> {
    for (name, value) in headers {
        let Some(rest) = name.as_str().strip_prefix(dialect.headers().prefix) else {
            if matches!(name.as_str(), "pic-operations") {
                return Err(Failure::NotImplemented("Pic-Operations".into()));
            }
            continue;
        };
        if !obeyed.contains(&rest) && !supported(dialect, rest, value.to_str().unwrap_or_default())
        {
            return Err(Failure::NotImplemented(name.as_str().to_owned().into()));
        }
    }
    Ok(())
}

/// Whether a header of the dialect, by its name behind the prefix, or a form
/// field, may be accepted with this value.
pub fn supported(dialect: Dialect, name: &str, value: &str) -> bool {
    match name {
        // S3 has none.
        "traffic-limit" => dialect == Dialect::Cos || value.is_empty(),
        // Where nothing is made that could have one, these change nothing.
        "acl" => matches!(value, "" | "private" | "default" | "bucket-owner-full-control"),
        "object-ownership" => false,
        "bucket-object-lock-enabled" => value.eq_ignore_ascii_case("false"),
        "tagging-directive" => !value.to_ascii_uppercase().starts_with("REPLACE"),
        "tagging"
        | "website-redirect-location"
        | "callback"
        | "callback-var"
        | "return-body"
        | "mime-limit"
        | "symlink-target"
        | "rename-source"
        // Appending to an object of S3, which would be replaced instead.
        | "write-offset-bytes"
        | "if-match-initiated-time" => value.is_empty(),
        "bucket-namespace" => matches!(value, "" | "global"),
        "checksum-algorithm" | "checksum-mode" | "checksum-type" => true,
        _ => {
            // A checksum that cannot be verified must not look as if it had been.
            if let Some(algorithm) = name.strip_prefix("checksum-") {
                return Algorithm::from_name(algorithm).is_some();
            }
            !(name.starts_with("grant-")
                || name.starts_with("server-side-encryption")
                || name.starts_with("copy-source-server-side-encryption")
                || name.starts_with("object-lock-"))
        }
    }
}

/// The attributes in a request's headers.
pub async fn of_request(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<Attributes> {
    Ok(Attributes {
        metadata: metadata_of_request(request)?,
        storage_class: storage_class(request.header(&request.dialect.headers().storage_class))?,
        tags: tags_of_request(request)?,
        lock: lock_of_request(request)?,
        acl: acl::of_new_object(gateway, request, bucket).await?,
    })
}

/// The lock in a request's headers.
pub fn lock_of_request(request: &Request<'_>) -> Outcome<VersionLock> {
    lock(request.dialect, |name| request.header(name))
}

/// The lock in headers or form fields.
pub fn lock<'a>(
    dialect: Dialect,
    value: impl Fn(&HeaderName) -> Option<&'a str>,
) -> Outcome<VersionLock> {
    let names = dialect.headers();
    let (mode, until) = (&names.object_lock_mode, &names.object_lock_retain_until_date);
    let retention = match (value(mode), value(until)) {
        (None, None) => None,
        (Some(mode_name), Some(date)) => {
            let mode = RetentionMode::from_name(mode_name)
                .filter(|mode| dialect == Dialect::S3 || *mode == RetentionMode::Compliance)
                .ok_or_else(|| bad_header(mode, mode_name, "Unknown wormMode directive."))?;
            let until_ms = lock_date(date)
                .ok_or_else(|| bad_header(until, date, "Not a date of ISO 8601."))?;
            Some(Retention { mode, until_ms })
        }
        (mode_name, date) => {
            let (name, given) = if mode_name.is_some() { (mode, mode_name) } else { (until, date) };
            let why = "The mode and the retain until date must both be supplied.";
            return Err(bad_header(name, given.unwrap_or_default(), why));
        }
    };
    let hold = &names.object_lock_legal_hold;
    let legal_hold = match value(hold) {
        None => None,
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        Some(other) => {
            return Err(bad_header(hold, other, "Legal Hold must be either of 'ON' or 'OFF'"));
        }
    };
    Ok(VersionLock { retention, legal_hold })
}

/// When a retention ends, milliseconds since the epoch.
pub fn lock_date(text: &str) -> Option<u64> {
    date::parse_iso(text).or_else(|| date::parse_http(text))
}

/// The tags in a request's header.
pub fn tags_of_request(request: &Request<'_>) -> Outcome<Tags> {
    let name = &request.dialect.headers().tagging;
    match request.headers.get(name) {
        None => Ok(Tags::default()),
        Some(value) => parse_tags(name.as_str(), value.to_str().unwrap_or("%")),
    }
}

/// Reads `key=value&key=value`, percent-encoded: the tags of an object.
pub fn parse_tags(name: &str, text: &str) -> Outcome<Tags> {
    Ok(Tags::of_object(tag_pairs(name, text)?)?)
}

pub fn tag_pairs(name: &str, text: &str) -> Outcome<Vec<Pair>> {
    let query = Query::parse(text).map_err(|_| Failure::InvalidArgument {
        name: name.to_owned().into(),
        value: text.into(),
        why: "The tags shall be encoded as UTF-8 then URLEncoded URL query parameters without tag \
              name duplicates.",
    })?;
    let pairs = query.iter().map(|(name, value)| Pair { name: name.into(), value: value.into() });
    Ok(pairs.collect())
}

pub fn metadata_of_request(request: &Request<'_>) -> Outcome<Metadata> {
    let mut metadata = Metadata::default();
    for name in request.headers.keys() {
        let name = name.as_str();
        let names = request.dialect.headers();
        let is_metadata =
            name.starts_with(names.meta_prefix) || name == names.website_redirect_location.as_str();
        if !is_metadata && !is_standard(name) {
            continue;
        }
        let mut values = request.headers.get_all(name).iter().map(|value| {
            std::str::from_utf8(value.as_bytes()).map_err(|_| Failure::InvalidArgument {
                name: name.to_owned().into(),
                value: String::new(),
                why: "Header values must be UTF-8.",
            })
        });
        let first = values.next().transpose()?.unwrap_or_default();
        match values.next().transpose()? {
            None => put(&mut metadata, request.dialect, name, first)?,
            Some(second) => {
                let mut joined = format!("{first},{second}");
                for more in values {
                    joined.push(',');
                    joined.push_str(more?);
                }
                put(&mut metadata, request.dialect, name, &joined)?;
            }
        }
    }
    Ok(metadata)
}

fn is_standard(name: &str) -> bool {
    matches!(
        name,
        "content-type"
            | "content-encoding"
            | "content-disposition"
            | "content-language"
            | "cache-control"
            | "expires"
    )
}

/// Notes one header or form field, if it describes the object. `name` is
/// lower-case.
pub fn put(metadata: &mut Metadata, dialect: Dialect, name: &str, value: &str) -> Outcome<()> {
    match name {
        "content-type" => metadata.content_type = value.into(),
        "content-encoding" => metadata.content_encoding = without_framing(value),
        "content-disposition" => metadata.content_disposition = value.into(),
        "content-language" => metadata.content_language = value.into(),
        "cache-control" => metadata.cache_control = value.into(),
        "expires" => metadata.expires = value.into(),
        name if name == dialect.headers().website_redirect_location.as_str() => {
            metadata.website_redirect = website_redirect(value)?;
        }
        _ => {
            if let Some(user) = name.strip_prefix(dialect.headers().meta_prefix) {
                let sendable = HeaderName::from_bytes(name.as_bytes()).is_ok()
                    && HeaderValue::from_bytes(value.as_bytes()).is_ok();
                if user.is_empty() || !sendable {
                    return Err(Failure::InvalidArgument {
                        name: name.to_owned().into(),
                        value: value.into(),
                        why: "Metadata must be representable as a header.",
                    });
                }
                metadata.user.push(Pair { name: user.into(), value: value.into() });
            }
        }
    }
    Ok(())
}

/// Where visitors of a website's host are sent instead; empty for nowhere.
pub fn website_redirect(location: &str) -> Outcome<String> {
    let is_place = ["/", "http://", "https://"].iter().any(|front| location.starts_with(front));
    let sendable = HeaderValue::from_bytes(location.as_bytes()).is_ok();
    match location.is_empty() || (is_place && sendable && location.len() <= REDIRECT_BYTES_MAX) {
        true => Ok(location.to_owned()),
        false => Err(Failure::RedirectLocation),
    }
}

/// `aws-chunked` is how the body travels, not what it is. What else there is
/// stays as it was written.
fn without_framing(encoding: &str) -> String {
    let is_framing = |token: &str| token.trim().eq_ignore_ascii_case("aws-chunked");
    if !encoding.split(',').any(is_framing) {
        return encoding.to_owned();
    }
    let kept: Vec<&str> = encoding.split(',').filter(|token| !is_framing(token)).collect();
    kept.join(",").trim().to_owned()
}

/// Names the version that an answer is about.
pub fn set_version(reply: &mut Reply, dialect: Dialect, version: Option<VersionRef>) {
    if let Some(version) = version {
        set(reply, dialect.headers().version_id.clone(), &version.to_string());
    }
}

/// The version that an answer to a write names. S3 names none while versioning is
/// suspended, although what was written is the version `null`.
pub fn written_version(dialect: Dialect, version: Option<VersionRef>) -> Option<VersionRef> {
    match dialect {
        Dialect::Cos => version,
        Dialect::S3 => version.filter(|version| *version != VersionRef::Null),
    }
}

/// Sets what every answer about an object carries.
pub fn describe(reply: &mut Reply, dialect: Dialect, info: &ObjectInfo, now_ms: u64) {
    let record = &info.record;
    set_etag(reply, &info.etag);
    set_version(reply, dialect, info.version);
    reply.headers_mut().insert(header::LAST_MODIFIED, date::http_date(record.modified_ms));
    let default_type = match dialect {
        Dialect::Cos => "application/octet-stream",
        Dialect::S3 => "binary/octet-stream",
    };
    let fallback = Metadata::default();
    let metadata = record.metadata.as_ref().unwrap_or(&fallback);
    match metadata.content_type.is_empty() {
        true => set(reply, header::CONTENT_TYPE, default_type),
        false => set(reply, header::CONTENT_TYPE, &metadata.content_type),
    }
    let standard = [
        (header::CONTENT_ENCODING, &metadata.content_encoding),
        (header::CONTENT_DISPOSITION, &metadata.content_disposition),
        (header::CONTENT_LANGUAGE, &metadata.content_language),
        (header::CACHE_CONTROL, &metadata.cache_control),
        (header::EXPIRES, &metadata.expires),
    ];
    for (name, value) in standard {
        if !value.is_empty() {
            set(reply, name, value);
        }
    }
    if !metadata.website_redirect.is_empty() {
        let name = dialect.headers().website_redirect_location.clone();
        set(reply, name, &metadata.website_redirect);
    }
    for pair in &metadata.user {
        let name = [dialect.headers().meta_prefix, &pair.name].concat();
        if let Ok(name) = HeaderName::try_from(name) {
            set(reply, name, &pair.value);
        }
    }
    if !record.tags.is_empty() {
        set_number(reply, dialect.headers().tagging_count.clone(), record.tags.len() as u64);
    }
    set_lock(reply, dialect, info.lock());
    if !record.storage_class.is_empty() {
        set(reply, dialect.headers().storage_class.clone(), &record.storage_class);
    }
    let access_tier = record.access_tier(now_ms);
    if let (Dialect::S3, Some(tier)) = (dialect, access_tier.filter(|tier| tier.is_archived())) {
        set(reply, dialect::s3::ARCHIVE_STATUS, tier.name());
    }
    if dialect == Dialect::Cos {
        if let Some(Content::Link(_)) = record.content {
            // No body comes with it that a checksum could be compared with.
            set(reply, dialect::cos::OBJECT_TYPE, "symlink");
            return;
        }
        if let Some(tier) = access_tier {
            set(reply, dialect::cos::STORAGE_TIER, tier.name());
        }
        set_number(reply, dialect::cos::HASH_CRC64ECMA, record.crc64);
        let kind = if record.appendable { "appendable" } else { "normal" };
        set(reply, dialect::cos::OBJECT_TYPE, kind);
        if record.appendable {
            set_number(reply, dialect::cos::NEXT_APPEND_POSITION, record.size);
        }
    }
}

fn set_lock(reply: &mut Reply, dialect: Dialect, lock: VersionLock) {
    let names = dialect.headers();
    if let Some(retention) = lock.retention {
        set(reply, names.object_lock_mode.clone(), retention.mode.name());
        let until = date::iso_ms(retention.until_ms);
        set(reply, names.object_lock_retain_until_date.clone(), &until);
    }
    if let Some(hold) = lock.legal_hold {
        set(reply, names.object_lock_legal_hold.clone(), if hold { "ON" } else { "OFF" });
    }
}

/// The header that carries a checksum.
pub fn checksum_header(algorithm: Algorithm) -> HeaderName {
    match algorithm {
        Algorithm::Crc32 => dialect::s3::CHECKSUM_CRC32,
        Algorithm::Crc32c => dialect::s3::CHECKSUM_CRC32C,
        Algorithm::Crc64Nvme => dialect::s3::CHECKSUM_CRC64NVME,
        Algorithm::Sha1 => dialect::s3::CHECKSUM_SHA1,
        Algorithm::Sha256 => dialect::s3::CHECKSUM_SHA256,
    }
}

/// The XML element that carries a checksum.
pub fn checksum_element(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Crc32 => "ChecksumCRC32",
        Algorithm::Crc32c => "ChecksumCRC32C",
        Algorithm::Crc64Nvme => "ChecksumCRC64NVME",
        Algorithm::Sha1 => "ChecksumSHA1",
        Algorithm::Sha256 => "ChecksumSHA256",
    }
}

/// A checksum as headers and XML show it.
pub fn checksum_text(checksum: &Checksum) -> String {
    let mut text = BASE64.encode(&checksum.value);
    if let Some(parts) = checksum.composite_parts {
        text.push('-');
        text.push_str(&parts.to_string());
    }
    text
}

pub fn checksum_type_text(kind: ChecksumType) -> &'static str {
    match kind {
        ChecksumType::FullObject => "FULL_OBJECT",
        ChecksumType::Composite => "COMPOSITE",
    }
}

/// Sets the checksums of an answer, and their type once.
pub fn set_checksums<'a>(reply: &mut Reply, checksums: impl IntoIterator<Item = &'a Checksum>) {
    for checksum in checksums {
        set(reply, checksum_header(checksum.algorithm), &checksum_text(checksum));
        set(reply, dialect::s3::CHECKSUM_TYPE, checksum_type_text(checksum.kind()));
    }
}

/// Reads a checksum's text; a composite's part count is dropped.
pub fn parse_checksum(algorithm: Algorithm, text: &str) -> Option<Bytes> {
    let text = text.split_once('-').map_or(text, |(value, _)| value);
    let value = BASE64.decode(text.trim()).ok()?;
    (value.len() == algorithm.value_len()).then(|| value.into())
}

/// The checksums that a request declares for its body in headers; S3 takes one.
pub fn declared_checksums(request: &Request<'_>) -> Outcome<Vec<(Algorithm, Bytes)>> {
    let mut declared = Vec::new();
    if request.dialect != Dialect::S3 {
        return Ok(declared);
    }
    for algorithm in Algorithm::ALL {
        if let Some(text) = request.header(&checksum_header(algorithm)) {
            let value = parse_checksum(algorithm, text)
                .ok_or(Failure::InvalidRequest("Value for x-amz-checksum header is invalid."))?;
            declared.push((algorithm, value));
        }
    }
    match declared.len() > 1 {
        true => Err(Failure::InvalidRequest(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )),
        false => Ok(declared),
    }
}

/// An algorithm named by a header, if the header is there.
pub fn named_algorithm(request: &Request<'_>, name: &HeaderName) -> Outcome<Option<Algorithm>> {
    match request.header(name) {
        None => Ok(None),
        Some(text) => match Algorithm::from_name(text) {
            Some(algorithm) => Ok(Some(algorithm)),
            None => Err(Failure::InvalidRequest(
                "Checksum algorithm provided is unsupported. Please try again with any of the \
                 valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
            )),
        },
    }
}
