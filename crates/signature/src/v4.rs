//! AWS Signature Version 4 as S3 uses it: the path is encoded once and never
//! normalised, and the payload's hash is what `x-amz-content-sha256` says.
//!
//! Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API
//! reference. Any region is accepted and reported.

use std::borrow::Cow;
use std::sync::Arc;

use ring::hmac;

use crate::cache::{KeyCache, KeyName};
use crate::chunk::{ChunkSigner, ChunkVerifier};
use crate::crypto::{SigningKey, sha256_hex, unhex, v4_signing_key};
use crate::encode::{DecodeError, QueryPair, push_component, push_recoded_path};
use crate::error::{Explain, ParseError, VerifyError};
use crate::present::{Form, security_token};
use crate::request::{HeaderSource, RequestView};
use crate::secret::Secret;
use crate::time::{iso_basic, parse_any, parse_iso_basic};
use crate::verify::{Payload, Verified, Verifier};

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const SIGNED_CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_CHUNKS_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_CHUNKS: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
/// Longest life of a presigned URL: 7 days.
const EXPIRES_S_MAX: u32 = 604_800;

/// A presented SigV4 signature.
#[derive(Clone, Debug)]
pub struct V4Presented<'a> {
    pub form: Form,
    pub access_key_id: &'a str,
    pub scope: Scope<'a>,
    /// When the request says it was signed.
    pub time: i64,
    /// Presigned only: seconds the URL is valid from `time`.
    pub expires_s: Option<u32>,
    pub payload: Payload,
    pub security_token: Option<Cow<'a, str>>,
    payload_text: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// What a SigV4 key is derived for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `yyyymmdd`
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

impl<'a> V4Presented<'a> {
    pub(crate) fn from_header<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
        value: &'a str,
    ) -> Result<Self, ParseError> {
        let payload = required("x-amz-content-sha256", request.header("x-amz-content-sha256"))?;
        Self::from_header_and(request, value, payload)
    }

    /// `payload` is what the signature covers of the body, in the header's words.
    fn from_header_and<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
        value: &'a str,
        payload: &'a str,
    ) -> Result<Self, ParseError> {
        let (algorithm, rest) = value.trim_ascii().split_once(' ').unwrap_or((value, ""));
        check_algorithm(algorithm)?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for piece in rest.split(',') {
            match piece.trim_ascii().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => signed_headers = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                _ => {}
            }
        }
        let (access_key_id, scope) = parse_credential(required("Credential", credential)?)?;
        let dated = request.header("x-amz-date").or_else(|| request.header("date"));
        let date = required("x-amz-date", dated)?;
        let time = parse_any(date)
            .ok_or_else(|| ParseError::BadTime { item: "x-amz-date", value: date.to_owned() })?;
        V4Presented {
            form: Form::S3V4Header,
            access_key_id,
            scope,
            time,
            expires_s: None,
            payload: parse_payload(payload)?,
            payload_text: payload,
            signed_headers: required("SignedHeaders", signed_headers)?,
            signature: required("Signature", signature)?,
            security_token: security_token(request, "x-amz-security-token"),
        }
        .checked()
    }

    /// The signature in the header of a request to another service than S3. It covers a
    /// body that no header describes, so the body's SHA-256, in hexadecimal, comes along.
    pub fn of_service<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
        body_sha256: &'a str,
    ) -> Result<Self, ParseError> {
        let value = required("Authorization", request.header("authorization"))?;
        Self::from_header_and(request, value, body_sha256)
    }

    pub(crate) fn from_query<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
    ) -> Result<Self, ParseError> {
        let item = |name: &'static str| required(name, request.parameter_any_case(name));
        check_algorithm(item("X-Amz-Algorithm")?)?;
        let (access_key_id, scope) = parse_credential(item("X-Amz-Credential")?)?;
        let date = item("X-Amz-Date")?;
        let time = parse_iso_basic(date)
            .ok_or_else(|| ParseError::BadTime { item: "X-Amz-Date", value: date.to_owned() })?;
        let expires = item("X-Amz-Expires")?;
        let expires_s = expires
            .parse()
            .ok()
            .filter(|seconds| (1..=EXPIRES_S_MAX).contains(seconds))
            .ok_or_else(|| ParseError::BadExpires(expires.to_owned()))?;
        let signed_headers = item("X-Amz-SignedHeaders")?;
        // A presigned URL covers the body only when its maker said so, in the
        // query or in a header that is itself signed.
        let payload = request
            .parameter_any_case("X-Amz-Content-Sha256")
            .or_else(|| {
                request
                    .header("x-amz-content-sha256")
                    .filter(|_| contains(signed_headers, "x-amz-content-sha256"))
            })
            .unwrap_or(UNSIGNED);
        V4Presented {
            form: Form::S3V4Query,
            access_key_id,
            scope,
            time,
            expires_s: Some(expires_s),
            payload: parse_payload(payload)?,
            payload_text: payload,
            signed_headers,
            signature: item("X-Amz-Signature")?,
            security_token: security_token(request, "x-amz-security-token"),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, ParseError> {
        if self.signed_headers.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseError::Malformed("SignedHeaders"));
        }
        check_scope_date(&self.scope, self.time)?;
        Ok(self)
    }

    pub(crate) fn signs_header(&self, name: &str) -> bool {
        contains(self.signed_headers, name)
    }

    pub fn signed_headers(&self) -> impl Iterator<Item = &'a str> {
        self.signed_headers.split(';')
    }
}

pub(crate) fn required<'a>(
    name: &'static str,
    value: Option<&'a str>,
) -> Result<&'a str, ParseError> {
    value.filter(|text| !text.is_empty()).ok_or(ParseError::Missing(name))
}

pub(crate) fn check_algorithm(algorithm: &str) -> Result<(), ParseError> {
    if algorithm == ALGORITHM {
        Ok(())
    } else {
        Err(ParseError::UnsupportedAlgorithm(algorithm.to_owned()))
    }
}

/// `key/yyyymmdd/region/service/aws4_request`; only the key may hold slashes.
pub(crate) fn parse_credential(text: &str) -> Result<(&str, Scope<'_>), ParseError> {
    let bad = || ParseError::BadCredential(text.to_owned());
    let mut parts = text.rsplitn(5, '/');
    let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or_else(bad);
    let (terminator, service, region, date, key) = (next()?, next()?, next()?, next()?, next()?);
    if terminator != "aws4_request" || date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(bad());
    }
    Ok((key, Scope { date, region, service }))
}

pub(crate) fn check_scope_date(scope: &Scope<'_>, time: i64) -> Result<(), ParseError> {
    let stamp = iso_basic(time);
    if scope.date.as_bytes() == &stamp[..8] {
        return Ok(());
    }
    Err(ParseError::CredentialDate {
        scope_date: scope.date.to_owned(),
        request_date: String::from_utf8_lossy(&stamp[..8]).into_owned(),
    })
}

/// What a request that nobody signed says of its body, in the header that signed
/// ones have it in.
pub fn unsigned_payload<H: HeaderSource + ?Sized>(
    request: &RequestView<'_, H>,
) -> Result<Payload, ParseError> {
    match request.header("x-amz-content-sha256") {
        None => Ok(Payload::Unsigned),
        Some(text) => match parse_payload(text)? {
            Payload::SignedChunks { .. } => Err(ParseError::BadPayloadHash(text.to_owned())),
            payload => Ok(payload),
        },
    }
}

fn parse_payload(text: &str) -> Result<Payload, ParseError> {
    match text {
        UNSIGNED => Ok(Payload::Unsigned),
        SIGNED_CHUNKS => Ok(Payload::SignedChunks { trailer: false }),
        SIGNED_CHUNKS_TRAILER => Ok(Payload::SignedChunks { trailer: true }),
        UNSIGNED_CHUNKS => Ok(Payload::UnsignedChunks),
        text => unhex(text)
            .map(Payload::Sha256)
            .ok_or_else(|| ParseError::BadPayloadHash(text.to_owned())),
    }
}

impl Payload {
    /// The value of `x-amz-content-sha256`.
    pub fn header_value(&self) -> Cow<'static, str> {
        match self {
            Payload::Unsigned => UNSIGNED.into(),
            Payload::Sha256(hash) => hex::encode(hash).into(),
            Payload::SignedChunks { trailer: false } => SIGNED_CHUNKS.into(),
            Payload::SignedChunks { trailer: true } => SIGNED_CHUNKS_TRAILER.into(),
            Payload::UnsignedChunks => UNSIGNED_CHUNKS.into(),
        }
    }
}

fn contains(signed_headers: &str, name: &str) -> bool {
    signed_headers.split(';').any(|signed| signed == name)
}

pub(crate) fn verify<H: HeaderSource + ?Sized>(
    presented: &V4Presented<'_>,
    request: &RequestView<'_, H>,
    secret: &Secret,
    now: i64,
    verifier: &Verifier,
) -> Result<Verified, VerifyError> {
    verify_for(verifier.rules().service, presented, request, secret, now, verifier)
}

/// The same for a service that is not the verifier's own.
pub(crate) fn verify_for<H: HeaderSource + ?Sized>(
    service: &'static str,
    presented: &V4Presented<'_>,
    request: &RequestView<'_, H>,
    secret: &Secret,
    now: i64,
    verifier: &Verifier,
) -> Result<Verified, VerifyError> {
    check_service(&presented.scope, service)?;
    check_time(presented, now, verifier.rules().skew_s)?;
    check_signed_headers(presented, request)?;

    let mut canonical = Vec::with_capacity(512);
    let (signed, payload) = (presented.signed_headers, presented.payload_text);
    push_canonical_request(&mut canonical, request, signed, payload)?;
    let time = iso_basic(presented.time);
    let to_sign = string_to_sign(&time, &presented.scope, &canonical);

    let key = V4Key::get(verifier.keys(), presented.access_key_id, secret, &presented.scope);
    let good = unhex::<32>(presented.signature)
        .is_some_and(|signature| hmac::verify(&key.key, &to_sign, &signature).is_ok());
    if !good {
        return Err(VerifyError::Mismatch(Explain::new(&canonical, &to_sign)));
    }
    key.remember(verifier.keys());
    let chunks = match presented.payload {
        Payload::SignedChunks { .. } => {
            let signer =
                ChunkSigner::new(Arc::clone(&key.key), time, &presented.scope, presented.signature);
            Some(ChunkVerifier::new(signer))
        }
        _ => None,
    };
    Ok(Verified { payload: presented.payload, chunks })
}

pub(crate) fn check_service(scope: &Scope<'_>, expected: &'static str) -> Result<(), VerifyError> {
    if scope.service == expected {
        return Ok(());
    }
    Err(VerifyError::WrongService { expected, found: scope.service.to_owned() })
}

fn check_time(presented: &V4Presented<'_>, now: i64, skew_s: i64) -> Result<(), VerifyError> {
    let time = presented.time;
    match presented.expires_s {
        Some(lifetime) => {
            let expired_at = time.saturating_add(i64::from(lifetime));
            if now > expired_at {
                return Err(VerifyError::Expired { expired_at, now, lifetime_s: Some(lifetime) });
            }
            if time > now.saturating_add(skew_s) {
                return Err(VerifyError::NotYetValid { valid_from: time, now });
            }
        }
        None if time.abs_diff(now) > skew_s.unsigned_abs() => {
            return Err(VerifyError::Skewed { request_time: time, now, skew_s_max: skew_s });
        }
        None => {}
    }
    Ok(())
}

/// `host` must be signed, and so must every `x-amz-…` header: they change what
/// a request does, so none may be added to somebody else's signature. Only the
/// body's hash may stand unsigned beside a presigned URL, where it means
/// nothing.
fn check_signed_headers<H: HeaderSource + ?Sized>(
    presented: &V4Presented<'_>,
    request: &RequestView<'_, H>,
) -> Result<(), VerifyError> {
    if !presented.signs_header("host") {
        return Err(VerifyError::HostNotSigned);
    }
    let mut unsigned = Vec::new();
    for name in request.headers.names() {
        if !is_amz(name) {
            continue;
        }
        let signed = presented.signed_headers().any(|signed| signed.eq_ignore_ascii_case(name));
        let harmless =
            presented.form == Form::S3V4Query && name.eq_ignore_ascii_case("x-amz-content-sha256");
        if !signed && !harmless {
            unsigned.push(name.to_ascii_lowercase());
        }
    }
    if unsigned.is_empty() { Ok(()) } else { Err(VerifyError::HeadersNotSigned(unsigned)) }
}

pub(crate) fn is_amz(name: &str) -> bool {
    name.as_bytes().get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"x-amz-"))
}

/// A signing key, from the cache or just derived.
pub(crate) struct V4Key<'a> {
    pub key: Arc<SigningKey>,
    parts: [&'a str; 4],
    secret: &'a Secret,
    is_cached: bool,
}

impl<'a> V4Key<'a> {
    pub fn get(
        keys: &KeyCache,
        access_key_id: &'a str,
        secret: &'a Secret,
        scope: &Scope<'a>,
    ) -> Self {
        let parts = [access_key_id, scope.date, scope.region, scope.service];
        let cached = keys.get(KeyName { secret, parts: &parts });
        let is_cached = cached.is_some();
        let key = cached.unwrap_or_else(|| {
            Arc::new(v4_signing_key(secret, scope.date, scope.region, scope.service))
        });
        V4Key { key, parts, secret, is_cached }
    }

    /// Call when the key is known to be good.
    pub fn remember(&self, keys: &KeyCache) {
        if !self.is_cached {
            keys.insert(KeyName { secret: self.secret, parts: &self.parts }, &self.key);
        }
    }
}

pub(crate) fn push_canonical_request<H: HeaderSource + ?Sized>(
    out: &mut Vec<u8>,
    request: &RequestView<'_, H>,
    signed_headers: &str,
    payload: &str,
) -> Result<(), DecodeError> {
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    push_recoded_path(out, if request.raw_path.is_empty() { "/" } else { request.raw_path })?;
    out.push(b'\n');
    push_canonical_query(out, request.query);
    out.push(b'\n');
    for name in signed_headers.split(';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        if name == "host" {
            push_folded(out, request.host.as_bytes());
        } else {
            for (index, value) in request.headers.values(name).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_folded(out, value);
            }
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload.as_bytes());
    Ok(())
}

/// Parameters encoded, then sorted by name and value; the signature itself is
/// left out.
fn push_canonical_query(out: &mut Vec<u8>, query: &[QueryPair<'_>]) {
    let signed = |pair: &&QueryPair<'_>| !pair.0.eq_ignore_ascii_case("X-Amz-Signature");
    if query.is_empty() {
        return;
    }
    // Names and values encoded one after the other, then sorted by reference.
    let mut encoded = Vec::with_capacity(query.len() * 32);
    let mut spans = Vec::with_capacity(query.len());
    for (name, value) in query.iter().filter(signed) {
        let start = encoded.len();
        push_component(&mut encoded, name.as_bytes());
        let middle = encoded.len();
        push_component(&mut encoded, value.as_bytes());
        spans.push((start, middle, encoded.len()));
    }
    let pair = |&(start, middle, end): &(usize, usize, usize)| {
        (&encoded[start..middle], &encoded[middle..end])
    };
    spans.sort_unstable_by(|a, b| pair(a).cmp(&pair(b)));
    for (index, span) in spans.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        let (name, value) = pair(span);
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// A header value without surrounding blanks and with runs of blanks as one
/// space.
fn push_folded(out: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii();
    let has_runs = value.contains(&b'\t') || value.windows(2).any(|pair| pair == b"  ");
    if !has_runs {
        out.extend_from_slice(value);
        return;
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut after_blank = false;
    for byte in value {
        if !blank(byte) {
            out.push(*byte);
        } else if !after_blank {
            out.push(b' ');
        }
        after_blank = blank(byte);
    }
}

pub(crate) fn push_scope(out: &mut Vec<u8>, scope: &Scope<'_>) {
    for part in [scope.date, scope.region, scope.service] {
        out.extend_from_slice(part.as_bytes());
        out.push(b'/');
    }
    out.extend_from_slice(b"aws4_request");
}

pub(crate) fn string_to_sign(time: &[u8; 16], scope: &Scope<'_>, canonical: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    out.extend_from_slice(ALGORITHM.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(time);
    out.push(b'\n');
    push_scope(&mut out, scope);
    out.push(b'\n');
    out.extend_from_slice(&sha256_hex(canonical));
    out
}
