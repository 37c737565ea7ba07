//! AWS Signature Version 2, header and presigned.
//!
//! Source: "Signing and authenticating REST requests", Amazon S3 user guide.
//! The list of signed sub-resources is what botocore's signer uses: it is the
//! V2 signer still in service and a superset of the guide's list.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::crypto::hmac_sha1_key;
use crate::error::{Explain, ParseError, VerifyError};
use crate::present::{Form, security_token, unspaced};
use crate::request::{HeaderSource, RequestView};
use crate::secret::Secret;
use crate::time::parse_any;
use crate::v4::{is_amz, required};
use crate::verify::{Payload, Verified, Verifier};

/// A presented SigV2 signature.
#[derive(Clone, Debug)]
pub struct V2Presented<'a> {
    pub form: Form,
    pub access_key_id: &'a str,
    /// Header form: when the request says it was signed. Presigned: when it
    /// expires.
    pub time: i64,
    pub security_token: Option<Cow<'a, str>>,
    /// The date line of the string to sign.
    date: &'a str,
    signature: Cow<'a, str>,
}

/// Query parameters that name a part of a resource or change an answer and are
/// therefore signed. Sorted.
const SUB_RESOURCES: [&str; 35] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

pub(crate) fn is_signed_parameter(name: &str) -> bool {
    SUB_RESOURCES.binary_search(&name).is_ok()
}

impl<'a> V2Presented<'a> {
    pub(crate) fn from_header<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
        value: &'a str,
    ) -> Result<Self, ParseError> {
        let rest = value.trim_ascii().strip_prefix("AWS").unwrap_or_default().trim_ascii();
        let (access_key_id, signature) =
            rest.rsplit_once(':').ok_or(ParseError::Malformed("Authorization"))?;
        // With an x-amz-date the date line is empty: it is signed as a header.
        let amz_date = request.header("x-amz-date");
        let written = required("Date", amz_date.or_else(|| request.header("date")))?;
        let time = parse_any(written)
            .ok_or_else(|| ParseError::BadTime { item: "Date", value: written.to_owned() })?;
        Ok(V2Presented {
            form: Form::S3V2Header,
            access_key_id: required("AWSAccessKeyId", Some(access_key_id))?,
            time,
            security_token: security_token(request, "x-amz-security-token"),
            date: if amz_date.is_some() { "" } else { written },
            signature: Cow::Borrowed(required("Signature", Some(signature))?),
        })
    }

    pub(crate) fn from_query<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
    ) -> Result<Self, ParseError> {
        let item = |name: &'static str| required(name, request.parameter(name));
        let date = item("Expires")?;
        let time = date
            .parse::<i64>()
            .ok()
            .filter(|time| *time >= 0)
            .ok_or_else(|| ParseError::BadTime { item: "Expires", value: date.to_owned() })?;
        Ok(V2Presented {
            form: Form::S3V2Query,
            access_key_id: item("AWSAccessKeyId")?,
            time,
            security_token: security_token(request, "x-amz-security-token"),
            date,
            signature: unspaced(item("Signature")?),
        })
    }
}

pub(crate) fn verify<H: HeaderSource + ?Sized>(
    presented: &V2Presented<'_>,
    request: &RequestView<'_, H>,
    secret: &Secret,
    now: i64,
    verifier: &Verifier,
) -> Result<Verified, VerifyError> {
    let (time, skew_s) = (presented.time, verifier.rules().skew_s);
    let from_query = presented.form == Form::S3V2Query;
    if from_query && now > time {
        return Err(VerifyError::Expired { expired_at: time, now, lifetime_s: None });
    }
    if !from_query && time.abs_diff(now) > skew_s.unsigned_abs() {
        return Err(VerifyError::Skewed { request_time: time, now, skew_s_max: skew_s });
    }
    let to_sign = string_to_sign(request, presented.date, from_query);
    let good = signature_matches(secret, &to_sign, &presented.signature)
        || bucket_root(request).is_some_and(|path| {
            let request = RequestView { raw_path: &path, ..*request };
            let to_sign = string_to_sign(&request, presented.date, from_query);
            signature_matches(secret, &to_sign, &presented.signature)
        });
    if !good {
        return Err(VerifyError::Mismatch(Explain::new(b"", &to_sign)));
    }
    Ok(Verified { payload: Payload::Unsigned, chunks: None })
}

/// For `/bucket`, which botocore sends in path style, what it signs instead:
/// `/bucket/`. Both name the same bucket.
fn bucket_root<H: ?Sized>(request: &RequestView<'_, H>) -> Option<String> {
    let bucket = request.raw_path.strip_prefix('/')?;
    let is_root = request.bucket_in_host.is_none() && !bucket.is_empty() && !bucket.contains('/');
    is_root.then(|| format!("/{bucket}/"))
}

/// Whether `signature` is the base64 HMAC-SHA1 of a message.
pub(crate) fn signature_matches(secret: &Secret, message: &[u8], signature: &str) -> bool {
    BASE64.decode(signature).is_ok_and(|signature| {
        hmac::verify(&hmac_sha1_key(secret.bytes()), message, &signature).is_ok()
    })
}

pub(crate) fn sign(secret: &Secret, message: &[u8]) -> String {
    BASE64.encode(hmac::sign(&hmac_sha1_key(secret.bytes()), message))
}

/// `date` is the date line. In a presigned URL the headers that V2 signs may
/// stand in the query instead, where botocore puts them.
pub(crate) fn string_to_sign<H: HeaderSource + ?Sized>(
    request: &RequestView<'_, H>,
    date: &str,
    from_query: bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    for name in ["content-md5", "content-type"] {
        let value = request
            .header(name)
            .or_else(|| if from_query { request.parameter(name) } else { None })
            .unwrap_or_default();
        out.extend_from_slice(value.trim_ascii().as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(date.as_bytes());
    out.push(b'\n');
    push_amz_headers(&mut out, request, from_query);
    push_resource(&mut out, request);
    out
}

fn push_amz_headers<H: HeaderSource + ?Sized>(
    out: &mut Vec<u8>,
    request: &RequestView<'_, H>,
    from_query: bool,
) {
    let mut lines: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for name in request.headers.names().filter(|name| is_amz(name)) {
        let name = name.to_ascii_lowercase();
        let mut joined = Vec::new();
        for (index, value) in request.headers.values(&name).enumerate() {
            if index > 0 {
                joined.push(b',');
            }
            joined.extend_from_slice(value.trim_ascii());
        }
        lines.insert(name, joined);
    }
    if from_query {
        for (name, value) in request.query.iter().filter(|(name, _)| is_amz(name)) {
            lines.entry(name.to_ascii_lowercase()).or_insert_with(|| value.as_bytes().to_vec());
        }
    }
    for (name, value) in lines {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(&value);
        out.push(b'\n');
    }
}

/// The bucket if the host names it, the path as sent, and the signed
/// sub-resources with decoded values.
fn push_resource<H: HeaderSource + ?Sized>(out: &mut Vec<u8>, request: &RequestView<'_, H>) {
    if let Some(bucket) = request.bucket_in_host {
        out.push(b'/');
        out.extend_from_slice(bucket.as_bytes());
    }
    let path = if request.raw_path.is_empty() { "/" } else { request.raw_path };
    out.extend_from_slice(path.as_bytes());
    let mut signed: Vec<(&str, &str)> = request
        .query
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .filter(|(name, _)| is_signed_parameter(name))
        .collect();
    signed.sort_unstable();
    for (index, (name, value)) in signed.into_iter().enumerate() {
        out.push(if index == 0 { b'?' } else { b'&' });
        out.extend_from_slice(name.as_bytes());
        if !value.is_empty() {
            out.push(b'=');
            out.extend_from_slice(value.as_bytes());
        }
    }
}
