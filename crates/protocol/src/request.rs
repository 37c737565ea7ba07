//! A request taken apart, with typed access to what handlers ask of it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use costrel_core::account::AccessKey;
use costrel_core::events::{Lanes, Occasion};
use costrel_core::names::ObjectKey;
use costrel_core::precondition::{EtagCondition, ReadConditions, WriteConditions};
use costrel_core::version::VersionRef;
use costrel_core::{Error, limits};
use costrel_signature::Form;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use crate::acl::Said;
use crate::address::Address;
use crate::attributes::supported;
use crate::body::Speed;
use crate::date;
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::ids::RequestId;
use crate::observe::Notes;
use crate::permission;
use crate::query::Query;

/// What the listener knows of a request's connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionInfo {
    pub peer: std::net::SocketAddr,
    /// What it is encrypted by, if it is.
    pub tls: Option<TlsVersion>,
}

impl ConnectionInfo {
    /// Whether the connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }
}

/// The versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// Everything but the body.
pub struct Request<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub query: Query<'a>,
    pub address: Address,
    pub dialect: Dialect,
    pub connection: ConnectionInfo,
    /// How it is signed.
    pub form: Form,
    /// Who sent it, set by authentication; `None` if nobody signed.
    pub identity: Option<Arc<AccessKey>>,
    /// What its headers say of the ACL of the object that it makes, once that was read.
    pub(crate) acl: OnceLock<Said>,
    pub(crate) notes: &'a Notes,
    pub id: &'a RequestId,
}

pub type Outcome<T> = Result<T, Failure>;

impl Request<'_> {
    /// Takes it for somebody's whose signature is good.
    pub(crate) fn identify(&mut self, key: Arc<AccessKey>) {
        self.notes.caller(&key);
        self.identity = Some(key);
    }

    /// A header's value, if it is text. Repeated headers count once.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        text(self.headers, name)
    }

    /// The host that the client used, with its port.
    pub fn host(&self) -> &str {
        host_of(self.uri, self.headers).unwrap_or_default()
    }

    /// Whether its signature is in its URL, which anybody may have been given.
    pub fn is_link(&self) -> bool {
        matches!(self.form, Form::CosQuery | Form::CosMerged | Form::S3V4Query | Form::S3V2Query)
    }

    /// What events say of the request, if it may make some: also where nobody is told of
    /// those of the bucket now, as somebody may be by the time it commits.
    pub fn occasion(&self, targets: &Lanes) -> Option<Occasion> {
        let reads = matches!(*self.method, Method::GET | Method::HEAD);
        if reads || targets.is_empty() {
            return None;
        }
        Some(Occasion {
            principal: self.identity.as_deref().map(permission::user_id).unwrap_or_default(),
            source_ip: self.connection.peer.ip().to_canonical().to_string(),
            request_id: self.id.text(self.dialect),
            second_id: self.id.second(self.dialect),
            is_form: false,
        })
    }

    /// The owner of whatever the caller makes.
    pub fn owner_uin(&self) -> u64 {
        self.identity.as_ref().map_or(0, |key| key.account.uin.get())
    }

    pub fn appid(&self) -> u64 {
        self.identity.as_ref().map_or(0, |key| key.account.appid.get())
    }

    pub fn bucket_name(&self) -> Outcome<&str> {
        self.address.bucket.as_deref().ok_or(Failure::InvalidRequest("No bucket is named."))
    }

    /// The key of what may exist already, perhaps made in the other dialect.
    pub fn key(&self) -> Outcome<ObjectKey> {
        Ok(ObjectKey::new(self.address.key.as_deref().unwrap_or_default())?)
    }

    /// The key of what is to be made, within the limits of the dialect.
    pub fn new_key(&self) -> Outcome<ObjectKey> {
        new_object_key(self.dialect, self.address.key.as_deref().unwrap_or_default())
    }

    /// The version that is meant. An empty name is none: COS lists it for objects
    /// of buckets without versions, and clients send it back.
    pub fn version(&self) -> Outcome<Option<VersionRef>> {
        match self.query.get_any_case("versionId") {
            None | Some("") => Ok(None),
            Some(text) => self.named_version("versionId", text).map(Some),
        }
    }

    /// A version by its name in a parameter.
    pub fn named_version(&self, parameter: &'static str, text: &str) -> Outcome<VersionRef> {
        match (VersionRef::parse(text), self.dialect) {
            (Some(version), _) => Ok(version),
            (None, Dialect::Cos) => Err(Error::NoSuchVersion.into()),
            (None, Dialect::S3) => Err(Failure::InvalidArgument {
                name: parameter.into(),
                value: text.into(),
                why: "Invalid version id specified",
            }),
        }
    }

    /// An operation that would not obey a version must not look as if it had.
    pub fn refuse_version(&self) -> Outcome<()> {
        match self.query.get_any_case("versionId") {
            None | Some("") => Ok(()),
            Some(text) => Err(Failure::InvalidArgument {
                name: "versionId".into(),
                value: text.into(),
                why: "This operation does not accept a version-id.",
            }),
        }
    }

    /// The other dialect's headers mean nothing in this one, except where the
    /// request would then be taken for something else: a copy whose source is
    /// ignored replaces the object by an empty one.
    pub fn refuse_foreign_copy(&self) -> Outcome<()> {
        let foreign = Dialect::ALL.into_iter().filter(|dialect| *dialect != self.dialect);
        for name in foreign.map(|dialect| &dialect.headers().copy_source) {
            if let Some(value) = self.header(name) {
                let why = "The copy source is not spelt in the dialect of the signature.";
                return Err(bad_header(name, value, why));
            }
        }
        Ok(())
    }

    /// How fast bodies may travel at most, if a client of COS says that: in a header, a
    /// parameter or a form's field. The least counts: a URL may be signed with a limit,
    /// and who was given it could add another.
    pub fn speed(&self, field: Option<&str>) -> Outcome<Option<Speed>> {
        if self.dialect != Dialect::Cos {
            return Ok(None);
        }
        let name = &dialect::cos::TRAFFIC_LIMIT;
        let said = [self.header(name), self.query.get_any_case(name.as_str()), field];
        let mut least = None;
        for said in said {
            least = [least, Speed::parse(said)?].into_iter().flatten().min();
        }
        Ok(least)
    }

    /// COS takes some headers as parameters too. Those of S3 that a signer has moved
    /// there are headers by now, judged as such.
    pub fn refuse_unsupported_parameters(&self) -> Outcome<()> {
        let prefix = self.dialect.headers().prefix;
        for (name, value) in self.query.iter() {
            let name = name.to_ascii_lowercase();
            if self.dialect == Dialect::S3 && self.headers.contains_key(name.as_str()) {
                continue;
            }
            if name.strip_prefix(prefix).is_some_and(|rest| !supported(self.dialect, rest, value)) {
                return Err(Failure::NotImplemented(name.into()));
            }
        }
        Ok(())
    }

    /// A decimal query parameter; `None` if it is absent or empty.
    pub fn number(&self, name: &'static str) -> Outcome<Option<u64>> {
        let Some(value) = self.query.get(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| Failure::InvalidArgument {
            name: name.into(),
            value: value.into(),
            why: "Provided value is not an integer or is outside the valid range",
        })
    }

    /// A page size: at most what both services give at once.
    pub fn page_size(&self, name: &'static str) -> Outcome<usize> {
        let asked = self.number(name)?.unwrap_or(limits::PAGE_ENTRIES_MAX as u64);
        if asked > i32::MAX as u64 {
            return Err(Failure::InvalidArgument {
                name: name.into(),
                value: asked.to_string(),
                why: "Argument must be an integer between 0 and 2147483647",
            });
        }
        Ok(asked.min(limits::PAGE_ENTRIES_MAX as u64) as usize)
    }

    pub fn url_encoded(&self) -> Outcome<bool> {
        match self.query.get("encoding-type") {
            None | Some("") => Ok(false),
            Some(kind) if kind.eq_ignore_ascii_case("url") => Ok(true),
            Some(kind) => Err(Failure::InvalidArgument {
                name: "encoding-type".into(),
                value: kind.into(),
                why: "Invalid Encoding Method specified in Request",
            }),
        }
    }

    pub fn delimiter(&self) -> Outcome<&str> {
        let delimiter = self.query.get("delimiter").unwrap_or_default();
        if self.dialect == Dialect::Cos && delimiter.chars().count() > 1 {
            return Err(Failure::InvalidDelimiter);
        }
        Ok(delimiter)
    }

    pub fn content_md5(&self) -> Outcome<Option<[u8; 16]>> {
        let Some(value) = self.headers.get("content-md5") else {
            return Ok(None);
        };
        let digest = BASE64.decode(value.as_bytes()).ok().and_then(|d| d.try_into().ok());
        digest.map(Some).ok_or(Failure::InvalidDigest)
    }

    /// A condition's ETags, which may be a list in several lines. What is no text is the
    /// ETag of nothing.
    fn tags(&self, name: &HeaderName) -> Option<EtagCondition> {
        let mut lines = self.headers.get_all(name).iter();
        let mut all = String::from_utf8_lossy(lines.next()?.as_bytes());
        for line in lines {
            all.to_mut().push(',');
            all.to_mut().push_str(&String::from_utf8_lossy(line.as_bytes()));
        }
        Some(EtagCondition::parse(&all))
    }

    pub fn read_conditions(&self) -> ReadConditions {
        let time = |name: HeaderName| self.header(&name).and_then(date::parse_http).map(seconds);
        ReadConditions {
            if_match: self.tags(&header::IF_MATCH),
            if_none_match: self.tags(&header::IF_NONE_MATCH),
            if_modified_since: time(header::IF_MODIFIED_SINCE),
            if_unmodified_since: time(header::IF_UNMODIFIED_SINCE),
        }
    }

    pub fn copy_source_conditions(&self) -> ReadConditions {
        let names = self.dialect.headers();
        let time = |name: &HeaderName| self.header(name).and_then(date::parse_http).map(seconds);
        ReadConditions {
            if_match: self.tags(&names.copy_source_if_match),
            if_none_match: self.tags(&names.copy_source_if_none_match),
            if_modified_since: time(&names.copy_source_if_modified_since),
            if_unmodified_since: time(&names.copy_source_if_unmodified_since),
        }
    }

    pub fn write_conditions(&self) -> Outcome<WriteConditions> {
        Ok(WriteConditions {
            if_match: self.tags(&header::IF_MATCH),
            if_none_match: self.tags(&header::IF_NONE_MATCH),
            forbid_overwrite: self.dialect == Dialect::Cos && self.forbid_overwrite()?,
            if_match_modified: None,
            if_match_size: None,
        })
    }

    fn forbid_overwrite(&self) -> Outcome<bool> {
        match self.header(&dialect::cos::FORBID_OVERWRITE) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) => Err(Failure::InvalidArgument {
                name: "x-cos-forbid-overwrite".into(),
                value: value.into(),
                why: "The value must be true or false.",
            }),
        }
    }
}

/// A key that the dialect lets its clients make.
pub fn new_object_key(dialect: Dialect, key: &str) -> Outcome<ObjectKey> {
    let max = dialect.key_bytes_max();
    if key.len() > max {
        return Err(Error::KeyTooLong { max }.into());
    }
    // COS takes no key that its XML could not show; S3 does.
    let unshowable = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    if dialect == Dialect::Cos && key.contains(unshowable) {
        return Err(Error::InvalidKey("The key holds characters that XML cannot carry.").into());
    }
    Ok(ObjectKey::new(key)?)
}

pub fn seconds(unix_ms: u64) -> u64 {
    unix_ms / 1000
}

pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?;
    std::str::from_utf8(value.as_bytes()).ok()
}

/// What a presigned SigV4 URL says about its own signature.
const SIGNATURE_PARAMETERS: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// The headers together with those that a presigned URL of S3 has in its query:
/// signers move `x-amz-…` headers there, so that whoever uses the URL need not
/// send them. A header that is sent wins.
pub fn with_hoisted<'a>(headers: &'a HeaderMap, query: &Query<'_>) -> Outcome<Cow<'a, HeaderMap>> {
    let mut all = Cow::Borrowed(headers);
    for (parameter, text) in query.iter() {
        let lower = parameter.to_ascii_lowercase();
        if !lower.starts_with("x-amz-") || SIGNATURE_PARAMETERS.contains(&lower.as_str()) {
            continue;
        }
        let unfit = |_| Failure::InvalidArgument {
            name: parameter.to_owned().into(),
            value: text.into(),
            why: "The parameter must be representable as a header.",
        };
        let name = HeaderName::try_from(lower).map_err(|_| unfit(()))?;
        let value = HeaderValue::try_from(text).map_err(|_| unfit(()))?;
        if !headers.contains_key(&name) {
            all.to_mut().append(name, value);
        }
    }
    Ok(all)
}

/// The authority of an absolute target, else the `Host` header.
pub fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => text(headers, &header::HOST),
    }
}

/// The dialect where no signature tells: by host, then by the headers that only
/// one dialect has, then the listener's default.
pub fn guess_dialect(address: Option<&Address>, headers: &HeaderMap, default: Dialect) -> Dialect {
    if let Some(dialect) = address.and_then(|address| address.dialect) {
        return dialect;
    }
    let has = |prefix: &str| headers.keys().any(|name| name.as_str().starts_with(prefix));
    if has("x-cos-") {
        Dialect::Cos
    } else if has("x-amz-") {
        Dialect::S3
    } else {
        default
    }
}

/// The value of a header as an argument error.
pub fn bad_header(name: &HeaderName, value: &str, why: &'static str) -> Failure {
    Failure::InvalidArgument {
        name: Cow::Owned(name.as_str().to_owned()),
        value: value.into(),
        why,
    }
}
