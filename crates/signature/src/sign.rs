//! Making signatures: what a client adds to its requests.
//!
//! Signers share the canonical forms with the verifier. Header forms answer the
//! headers to add; presigned forms answer the request target to use.

mod form;

use std::borrow::Cow;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::cache::{KeyCache, KeyName};
use crate::chunk::ChunkSigner;
use crate::cos::{self, NameList};
use crate::crypto::{cos_signing_key, hex_text};
use crate::encode::{self, QueryPair};
use crate::request::RequestView;
use crate::secret::Secret;
use crate::time::{http_date, iso_basic};
use crate::v2;
use crate::v4::{self, ALGORITHM, Scope, V4Key, push_canonical_request, push_scope};
use crate::verify::Payload;

pub use form::{OutgoingForm, SignedFields, cos_post, v4_post};

/// A key to sign with. Derived keys are kept, so one value should serve many
/// requests.
pub struct Identity {
    access_key_id: String,
    secret: Secret,
    security_token: Option<String>,
    keys: KeyCache,
}

impl Identity {
    pub fn new(access_key_id: &str, secret_key: &str) -> Self {
        Identity {
            access_key_id: access_key_id.to_owned(),
            secret: Secret::new(secret_key),
            security_token: None,
            keys: KeyCache::new(64),
        }
    }

    /// The same key with the token of a temporary credential.
    pub fn with_token(mut self, token: &str) -> Self {
        self.security_token = Some(token.to_owned());
        self
    }

    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }
}

/// A request about to be sent, in decoded form.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Upper-case.
    pub method: &'a str,
    /// The value of the `Host` header that will be sent.
    pub host: &'a str,
    /// The bucket when the host names it. Only SigV2 signs it.
    pub bucket_in_host: Option<&'a str>,
    /// Decoded, starting with `/`.
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    /// Headers to sign besides `host`; the caller sends them as given.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Headers to add to a request. Names are lower-case.
pub type SignedHeaders = Vec<(&'static str, String)>;

impl Outgoing<'_> {
    /// The request target on the wire: encoded path, and query if there is one.
    pub fn target(&self) -> String {
        join(&encode::path(self.path), &encode::query(self.query))
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }
}

fn join(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// COS, `Authorization` header. Signs every parameter, every given header and
/// the host, valid over the window (Unix seconds, both ends inclusive).
pub fn cos_header(
    identity: &Identity,
    request: &Outgoing<'_>,
    window: (i64, i64),
) -> SignedHeaders {
    let mut added = SignedHeaders::new();
    if let Some(token) = &identity.security_token {
        added.push(("x-cos-security-token", token.clone()));
    }
    let items = cos_items(identity, request, &added, window);
    let text: Vec<String> = items.iter().map(|(name, value)| format!("{name}={value}")).collect();
    added.push(("authorization", text.join("&")));
    added
}

/// COS, presigned: the target to request. With `merged` the whole authorization
/// is one parameter `sign`. A security token is added unsigned.
pub fn cos_presign(
    identity: &Identity,
    request: &Outgoing<'_>,
    window: (i64, i64),
    merged: bool,
) -> String {
    let items = cos_items(identity, request, &[], window);
    let join_items = |encode: fn(&str) -> Cow<'_, str>| {
        let text: Vec<String> =
            items.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        text.join("&")
    };
    let mut pieces = vec![encode::query(request.query)];
    pieces.retain(|piece| !piece.is_empty());
    if merged {
        let text = join_items(|value| Cow::Borrowed(value));
        pieces.push(format!("sign={}", encode::component(&text)));
    } else {
        pieces.push(join_items(|value| Cow::Owned(encode::component(value))));
    }
    if let Some(token) = &identity.security_token {
        pieces.push(format!("x-cos-security-token={}", encode::component(token)));
    }
    join(&encode::path(request.path), &pieces.join("&"))
}

/// The seven items, in the documented order, values not encoded.
fn cos_items(
    identity: &Identity,
    request: &Outgoing<'_>,
    added: &[(&'static str, String)],
    (start, end): (i64, i64),
) -> [(&'static str, String); 7] {
    let time = format!("{start};{end}");
    let names = request.headers.iter().map(|(name, _)| *name);
    let names = names.chain(added.iter().map(|(name, _)| *name)).chain(["host"]);
    let headers = NameList::of(names);
    let parameters = NameList::of(request.query.iter().map(|(name, _)| *name));
    let name =
        KeyName { secret: &identity.secret, parts: &[identity.access_key_id.as_str(), &time] };
    let key = identity.keys.get(name).unwrap_or_else(|| {
        let key = Arc::new(cos_signing_key(&identity.secret, &time));
        identity.keys.insert(name, &key);
        key
    });
    let signature = with_view(request, added, &[], |view| {
        cos::sign(view, request.path, &headers, &parameters, &key, &time)
    });
    [
        ("q-sign-algorithm", "sha1".to_owned()),
        ("q-ak", identity.access_key_id.clone()),
        ("q-sign-time", time.clone()),
        ("q-key-time", time),
        ("q-header-list", headers.joined()),
        ("q-url-param-list", parameters.joined()),
        ("q-signature", signature),
    ]
}

/// SigV4, `Authorization` header, for the S3 service. Signs every given header
/// besides the ones it adds.
pub fn v4_header(
    identity: &Identity,
    request: &Outgoing<'_>,
    region: &str,
    payload: Payload,
    now: i64,
) -> SignedHeaders {
    v4_signed(identity, request, (region, "s3"), payload, now).0
}

/// SigV4, `Authorization` header, for another service, of a request with this body.
pub fn v4_service(
    identity: &Identity,
    request: &Outgoing<'_>,
    (region, service): (&str, &str),
    body: &[u8],
    now: i64,
) -> SignedHeaders {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, body).as_ref());
    v4_signed(identity, request, (region, service), Payload::Sha256(hash), now).0
}

/// SigV4 for an aws-chunked body with signed chunks: the headers, and the
/// signer of the chunks. The caller gives the aws-chunked headers
/// (`content-encoding`, `x-amz-decoded-content-length`, `x-amz-trailer`) among
/// the request's own.
pub fn v4_chunked(
    identity: &Identity,
    request: &Outgoing<'_>,
    region: &str,
    trailer: bool,
    now: i64,
) -> (SignedHeaders, ChunkSigner) {
    v4_signed(identity, request, (region, "s3"), Payload::SignedChunks { trailer }, now)
}

fn v4_signed(
    identity: &Identity,
    request: &Outgoing<'_>,
    (region, service): (&str, &str),
    payload: Payload,
    now: i64,
) -> (SignedHeaders, ChunkSigner) {
    let time = iso_basic(now);
    let mut added: SignedHeaders = vec![
        ("x-amz-content-sha256", payload.header_value().into_owned()),
        ("x-amz-date", text(&time)),
    ];
    if let Some(token) = &identity.security_token {
        added.push(("x-amz-security-token", token.clone()));
    }
    let signed = v4_signed_headers(request, &added);
    let date = text(&time[..8]);
    let scope = Scope { date: &date, region, service };
    let key = v4_key(identity, &scope);
    let signature = with_view(request, &added, &[], |view| {
        v4_signature(view, &signed, &added[0].1, &time, &scope, &key)
    });
    let chunks = ChunkSigner::new(Arc::clone(&key.key), time, &scope, &signature);
    added.push((
        "authorization",
        format!(
            "{ALGORITHM} Credential={}/{},SignedHeaders={signed},Signature={signature}",
            identity.access_key_id,
            scope_text(&scope),
        ),
    ));
    (added, chunks)
}

/// SigV4, presigned: the target to request within `expires_s` seconds (1 to
/// 604,800). The body is not signed.
pub fn v4_presign(
    identity: &Identity,
    request: &Outgoing<'_>,
    region: &str,
    expires_s: u32,
    now: i64,
) -> String {
    let time = iso_basic(now);
    let date = text(&time[..8]);
    let scope = Scope { date: &date, region, service: "s3" };
    let signed = v4_signed_headers(request, &[]);
    let mut extra = vec![
        ("X-Amz-Algorithm", ALGORITHM.to_owned()),
        ("X-Amz-Credential", format!("{}/{}", identity.access_key_id, scope_text(&scope))),
        ("X-Amz-Date", text(&time)),
        ("X-Amz-Expires", expires_s.to_string()),
        ("X-Amz-SignedHeaders", signed.clone()),
    ];
    if let Some(token) = &identity.security_token {
        extra.push(("X-Amz-Security-Token", token.clone()));
    }
    let key = v4_key(identity, &scope);
    let signature = with_view(request, &[], &extra, |view| {
        v4_signature(view, &signed, v4::UNSIGNED, &time, &scope, &key)
    });
    extra.push(("X-Amz-Signature", signature));
    extended_target(request, &extra)
}

/// SigV2, `Authorization` header. Adds a `date` unless the request has one.
pub fn v2_header(identity: &Identity, request: &Outgoing<'_>, now: i64) -> SignedHeaders {
    let mut added = SignedHeaders::new();
    if let Some(token) = &identity.security_token {
        added.push(("x-amz-security-token", token.clone()));
    }
    let mut date = "";
    let made = http_date(now);
    if !request.has_header("x-amz-date") {
        let given = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("date"));
        date = given.map_or(&made, |(_, value)| value);
        if given.is_none() {
            added.push(("date", made.clone()));
        }
    }
    let to_sign = with_view(request, &added, &[], |view| v2::string_to_sign(view, date, false));
    let signature = v2::sign(&identity.secret, &to_sign);
    added.push(("authorization", format!("AWS {}:{signature}", identity.access_key_id)));
    added
}

/// SigV2, presigned: the target to request until `expires_at` (Unix seconds).
pub fn v2_presign(identity: &Identity, request: &Outgoing<'_>, expires_at: i64) -> String {
    let expires = expires_at.to_string();
    let mut extra = Vec::new();
    if let Some(token) = &identity.security_token {
        extra.push(("x-amz-security-token", token.clone()));
    }
    let to_sign = with_view(request, &[], &extra, |view| v2::string_to_sign(view, &expires, true));
    extra.push(("AWSAccessKeyId", identity.access_key_id.clone()));
    extra.push(("Expires", expires));
    extra.push(("Signature", v2::sign(&identity.secret, &to_sign)));
    extended_target(request, &extra)
}

fn extended_target(request: &Outgoing<'_>, extra: &[(&'static str, String)]) -> String {
    let mut pairs: Vec<(&str, &str)> = request.query.to_vec();
    pairs.extend(extra.iter().map(|(name, value)| (*name, value.as_str())));
    join(&encode::path(request.path), &encode::query(&pairs))
}

/// The request with what the signature adds to it, as a server would see it.
fn with_view<R>(
    request: &Outgoing<'_>,
    added_headers: &[(&'static str, String)],
    added_query: &[(&'static str, String)],
    use_view: impl FnOnce(&RequestView<'_, [(&str, &str)]>) -> R,
) -> R {
    let mut headers: Vec<(&str, &str)> = request.headers.to_vec();
    headers.extend(added_headers.iter().map(|(name, value)| (*name, value.as_str())));
    let query: Vec<QueryPair<'_>> = request
        .query
        .iter()
        .copied()
        .chain(added_query.iter().map(|(name, value)| (*name, value.as_str())))
        .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
        .collect();
    use_view(&RequestView {
        method: request.method,
        raw_path: &encode::path(request.path),
        query: &query,
        headers: headers.as_slice(),
        host: request.host,
        bucket_in_host: request.bucket_in_host,
    })
}

fn v4_key<'a>(identity: &'a Identity, scope: &Scope<'a>) -> V4Key<'a> {
    let key = V4Key::get(&identity.keys, &identity.access_key_id, &identity.secret, scope);
    key.remember(&identity.keys);
    key
}

fn v4_signed_headers(request: &Outgoing<'_>, added: &[(&'static str, String)]) -> String {
    let given = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let added = added.iter().map(|(name, _)| (*name).to_owned());
    let mut names: Vec<String> = given.chain(added).chain(["host".to_owned()]).collect();
    names.sort_unstable();
    names.dedup();
    names.join(";")
}

fn v4_signature(
    view: &RequestView<'_, [(&str, &str)]>,
    signed: &str,
    payload: &str,
    time: &[u8; 16],
    scope: &Scope<'_>,
    key: &V4Key<'_>,
) -> String {
    let mut canonical = Vec::with_capacity(512);
    let pushed = push_canonical_request(&mut canonical, view, signed, payload);
    debug_assert!(pushed.is_ok(), "a path that was just encoded can be decoded");
    hex_text(&hmac::sign(&key.key, &v4::string_to_sign(time, scope, &canonical)))
}

fn scope_text(scope: &Scope<'_>) -> String {
    let mut out = Vec::with_capacity(48);
    push_scope(&mut out, scope);
    text(&out)
}

fn text(ascii: &[u8]) -> String {
    String::from_utf8_lossy(ascii).into_owned()
}
