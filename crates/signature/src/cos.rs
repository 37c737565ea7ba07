//! COS request signatures ("q-sign", document 436/7778): parsing, the canonical
//! form, and verifying with the habits of the official SDKs.
//!
//! What is signed: method, decoded path, the listed parameters and the listed
//! headers. Nothing is mandatory by protocol, so an empty list is valid.

use std::borrow::Cow;
use std::sync::Arc;

use ring::hmac;

use crate::cache::KeyName;
use crate::crypto::{SigningKey, cos_signing_key, hex_text, sha1_hex, unhex};
use crate::encode::{
    QueryPair, decode, decode_into, is_unreserved, push_component, push_lower_component,
};
use crate::error::{Explain, ParseError, VerifyError};
use crate::present::{Form, security_token};
use crate::request::{HeaderSource, RequestView};
use crate::secret::Secret;
use crate::verify::{Payload, Verified, Verifier};

/// A presented COS signature.
#[derive(Clone, Debug)]
pub struct CosPresented<'a> {
    pub form: Form,
    /// `q-ak`, the SecretId.
    pub access_key_id: &'a str,
    /// `q-sign-time`: when the signature is valid.
    pub sign_time: TimeWindow<'a>,
    /// `q-key-time`: when the derived key is valid. Equal to `sign_time` from
    /// every official SDK.
    pub key_time: TimeWindow<'a>,
    /// `q-header-list`.
    pub headers: NameList<'a>,
    /// `q-url-param-list`.
    pub parameters: NameList<'a>,
    pub security_token: Option<Cow<'a, str>>,
    signature: &'a str,
}

/// `start;end` in Unix seconds, both inclusive. The text goes into the
/// signature, so it is kept as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeWindow<'a> {
    pub text: Cow<'a, str>,
    pub start: i64,
    pub end: i64,
}

/// A list of signed names: encoded, lower-case, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameList<'a>(Vec<Cow<'a, str>>);

/// The seven items as found, by position in [`ITEMS`].
type Items<'a> = [Option<&'a str>; 7];

const ITEMS: [&str; 7] = [
    "q-sign-algorithm",
    "q-ak",
    "q-sign-time",
    "q-key-time",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
];

impl<'a> CosPresented<'a> {
    /// From an authorization string: the header's, or the decoded `sign`
    /// parameter. Items come in any order; unknown ones are ignored.
    pub(crate) fn from_text<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
        text: &'a str,
        form: Form,
    ) -> Result<Self, ParseError> {
        let mut items = Items::default();
        for piece in text.trim_ascii().split('&') {
            if let Some((name, value)) = piece.split_once('=') {
                keep_first(&mut items, name, value);
            }
        }
        Self::from_items(request, items, form)
    }

    /// From the query parameters of a presigned URL.
    pub(crate) fn from_query<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
    ) -> Result<Self, ParseError> {
        let mut items = Items::default();
        let query: &'a [QueryPair<'a>] = request.query;
        for (name, value) in query {
            keep_first(&mut items, name, value);
        }
        Self::from_items(request, items, Form::CosQuery)
    }

    fn from_items<H: HeaderSource + ?Sized>(
        request: &RequestView<'a, H>,
        items: Items<'a>,
        form: Form,
    ) -> Result<Self, ParseError> {
        let item = |index: usize| items[index].ok_or(ParseError::Missing(ITEMS[index]));
        let filled = |index: usize| match item(index)? {
            "" => Err(ParseError::Missing(ITEMS[index])),
            text => Ok(text),
        };
        let algorithm = filled(0)?;
        if algorithm != "sha1" {
            return Err(ParseError::UnsupportedAlgorithm(algorithm.to_owned()));
        }
        // Some carriers are escaped once more than they need to be. It shows in
        // the times, where nothing but the separator can be escaped; in a list
        // an escaped semicolon may also belong to a name.
        let escaped = filled(2)?.contains('%');
        Ok(CosPresented {
            form,
            access_key_id: filled(1)?,
            sign_time: TimeWindow::parse(ITEMS[2], filled(2)?)?,
            key_time: TimeWindow::parse(ITEMS[3], filled(3)?)?,
            headers: NameList::parse(ITEMS[4], item(4)?, escaped)?,
            parameters: NameList::parse(ITEMS[5], item(5)?, escaped)?,
            signature: filled(6)?,
            security_token: security_token(request, "x-cos-security-token"),
        })
    }
}

fn keep_first<'a>(items: &mut Items<'a>, name: &str, value: &'a str) {
    if let Some(index) = ITEMS.iter().position(|item| *item == name) {
        items[index].get_or_insert(value);
    }
}

impl<'a> TimeWindow<'a> {
    /// `item` names the source in errors. The `;` may have arrived escaped once
    /// more than its carrier needs.
    pub(crate) fn parse(item: &'static str, text: &'a str) -> Result<Self, ParseError> {
        let bad = || ParseError::BadTime { item, value: text.to_owned() };
        let decoded = decode(text).map_err(|_| bad())?;
        let (start, end) = decoded.split_once(';').ok_or_else(bad)?;
        let seconds = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if digits { text.parse::<i64>().ok() } else { None }
        };
        let (start, end) = (seconds(start).ok_or_else(bad)?, seconds(end).ok_or_else(bad)?);
        if end < start {
            return Err(bad());
        }
        Ok(TimeWindow { text: decoded, start, end })
    }

    /// Before the start the allowed difference of clocks is tolerated; after
    /// the end nothing is. There is no greatest length: a permanent key may
    /// sign for decades.
    pub(crate) fn check(&self, now: i64, skew_s: i64) -> Result<(), VerifyError> {
        if now > self.end {
            return Err(VerifyError::Expired { expired_at: self.end, now, lifetime_s: None });
        }
        if self.start.saturating_sub(skew_s) > now {
            return Err(VerifyError::NotYetValid { valid_from: self.start, now });
        }
        Ok(())
    }
}

impl<'a> NameList<'a> {
    /// With `escaped`, the separators themselves arrived escaped.
    fn parse(item: &'static str, text: &'a str, escaped: bool) -> Result<Self, ParseError> {
        let malformed = |_| ParseError::Malformed(item);
        let names: Result<Vec<Cow<'a, str>>, _> = if escaped {
            let decoded = decode(text).map_err(malformed)?;
            split(&decoded).map(|name| Ok(Cow::Owned(normal(name)?.into_owned()))).collect()
        } else {
            split(text).map(normal).collect()
        };
        let mut names = names.map_err(malformed)?;
        names.sort_unstable();
        names.dedup();
        Ok(NameList(names))
    }

    /// Whether a decoded name is in the list.
    pub fn contains(&self, name: &str) -> bool {
        self.position(name, &mut Vec::new()).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| name.as_ref())
    }

    fn position(&self, name: &str, scratch: &mut Vec<u8>) -> Option<usize> {
        scratch.clear();
        push_lower_component(scratch, name.as_bytes());
        self.0.binary_search_by(|listed| listed.as_bytes().cmp(scratch)).ok()
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').filter(|name| !name.is_empty())
}

/// One listed name in the spelling it is signed in.
fn normal(name: &str) -> Result<Cow<'_, str>, crate::encode::DecodeError> {
    if name.bytes().all(|byte| is_unreserved(byte) && !byte.is_ascii_uppercase()) {
        return Ok(Cow::Borrowed(name));
    }
    let mut out = Vec::with_capacity(name.len());
    push_lower_component(&mut out, decode(name)?.as_bytes());
    Ok(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
}

/// The listed `name=value` pairs of a request, joined by `&`, and the listed
/// names it does not have.
#[derive(Default)]
struct Pairs {
    text: Vec<u8>,
    missing: Vec<String>,
}

impl Pairs {
    /// One pair per value, values of one name in byte order (as the Go SDK
    /// writes repeated parameters).
    fn of_query(list: &NameList<'_>, query: &[QueryPair<'_>]) -> Self {
        let mut pairs = Pairs::default();
        if list.0.is_empty() {
            return pairs;
        }
        let mut scratch = Vec::new();
        let mut found: Vec<(usize, &str)> = query
            .iter()
            .filter_map(|(name, value)| Some((list.position(name, &mut scratch)?, value.as_ref())))
            .collect();
        found.sort_unstable();
        let mut next = found.iter().peekable();
        for (index, name) in list.0.iter().enumerate() {
            if next.peek().is_none_or(|(at, _)| *at != index) {
                pairs.missing.push(name.to_string());
            }
            while let Some((_, value)) = next.next_if(|(at, _)| *at == index) {
                pairs.push(name, value.as_bytes());
            }
        }
        pairs
    }

    fn of_headers<H: HeaderSource + ?Sized>(list: &NameList<'_>, headers: &H, host: &str) -> Self {
        let mut pairs = Pairs { text: Vec::with_capacity(192), missing: Vec::new() };
        for name in &list.0 {
            if name == "host" {
                pairs.push(name, host.as_bytes());
                continue;
            }
            // Header names hold no byte that decoding could refuse twice.
            let plain = decode(name).unwrap_or(Cow::Borrowed(name));
            let mut values = headers.values(&plain);
            match (values.next(), values.next()) {
                (None, _) => pairs.missing.push(name.to_string()),
                (Some(value), None) => pairs.push_header(name, value),
                (Some(first), Some(second)) => {
                    let mut all = vec![first, second];
                    all.extend(values);
                    all.sort_unstable();
                    for value in all {
                        pairs.push_header(name, value);
                    }
                }
            }
        }
        pairs
    }

    /// Clients sign text as UTF-8; a value that is not UTF-8 on the wire was
    /// sent in Latin-1 by an HTTP library that knows nothing else.
    fn push_header(&mut self, name: &str, value: &[u8]) {
        if std::str::from_utf8(value).is_ok() {
            self.push(name, value)
        } else {
            let text: String = value.iter().map(|&byte| byte as char).collect();
            self.push(name, text.as_bytes())
        }
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        if !self.text.is_empty() {
            self.text.push(b'&');
        }
        self.text.extend_from_slice(name.as_bytes());
        self.text.push(b'=');
        push_component(&mut self.text, value);
    }
}

fn http_string(out: &mut Vec<u8>, method: &str, path: &[u8], parameters: &[u8], headers: &[u8]) {
    out.clear();
    out.extend(method.bytes().map(|byte| byte.to_ascii_lowercase()));
    for part in [path, parameters, headers] {
        out.push(b'\n');
        out.extend_from_slice(part);
    }
    out.push(b'\n');
}

fn string_to_sign(out: &mut Vec<u8>, time: &str, http_string: &[u8]) {
    out.clear();
    out.extend_from_slice(b"sha1\n");
    out.extend_from_slice(time.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&sha1_hex(http_string));
    out.push(b'\n');
}

/// The signature over the decoded `path` and the listed parts of a request.
pub(crate) fn sign<H: HeaderSource + ?Sized>(
    request: &RequestView<'_, H>,
    path: &str,
    headers: &NameList<'_>,
    parameters: &NameList<'_>,
    key: &SigningKey,
    time: &str,
) -> String {
    let parameters = Pairs::of_query(parameters, request.query);
    let headers = Pairs::of_headers(headers, request.headers, request.host);
    let (mut canonical, mut to_sign) = (Vec::new(), Vec::new());
    http_string(&mut canonical, request.method, path.as_bytes(), &parameters.text, &headers.text);
    string_to_sign(&mut to_sign, time, &canonical);
    hex_text(&hmac::sign(key, &to_sign))
}

impl NameList<'static> {
    /// The list of these decoded names.
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut names: Vec<_> = names
            .map(|name| {
                let mut out = Vec::with_capacity(name.len());
                push_lower_component(&mut out, name.as_bytes());
                Cow::Owned(String::from_utf8_lossy(&out).into_owned())
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        NameList(names)
    }

    pub(crate) fn joined(&self) -> String {
        self.0.join(";")
    }
}

/// Verifies, trying what the official clients are known to sign differently
/// from what they send, each only after the plain reading failed:
///
/// * the host without its port and in lower case (the Python SDK signs so);
/// * the path without a doubled leading slash (the Python SDK, keys with a
///   leading slash);
/// * `q-key-time` in the string to sign instead of `q-sign-time` (the Go SDK).
pub(crate) fn verify<H: HeaderSource + ?Sized>(
    presented: &CosPresented<'_>,
    request: &RequestView<'_, H>,
    secret: &Secret,
    now: i64,
    verifier: &Verifier,
) -> Result<Verified, VerifyError> {
    let skew_s = verifier.rules().skew_s;
    presented.sign_time.check(now, skew_s)?;
    presented.key_time.check(now, skew_s)?;

    let mut path = Vec::with_capacity(request.raw_path.len());
    decode_into(&mut path, request.raw_path, false)?;
    let paths = [Some(&path[..]), path.strip_prefix(b"/").filter(|rest| rest.starts_with(b"/"))];
    let hosts = std::iter::once(Cow::Borrowed(request.host)).chain(
        std::iter::once_with(|| bare_host(request.host))
            .flatten()
            .filter(|_| presented.headers.contains("host"))
            .map(Cow::Owned),
    );
    let times = [
        Some(&presented.sign_time.text),
        Some(&presented.key_time.text).filter(|text| **text != presented.sign_time.text),
    ];

    let name =
        KeyName { secret, parts: &[presented.access_key_id, presented.key_time.text.as_ref()] };
    let cached = verifier.keys().get(name);
    let is_cached = cached.is_some();
    let key = cached.unwrap_or_else(|| Arc::new(cos_signing_key(secret, name.parts[1])));

    // Text that is no hash matches nothing, but is explained like any other.
    let signature = unhex::<20>(presented.signature);
    let parameters = Pairs::of_query(&presented.parameters, request.query);
    let (mut canonical, mut to_sign) = (Vec::with_capacity(384), Vec::with_capacity(96));
    let mut explain = None;
    for host in hosts {
        let headers = Pairs::of_headers(&presented.headers, request.headers, &host);
        let complete = parameters.missing.is_empty() && headers.missing.is_empty();
        for path in paths.into_iter().flatten() {
            http_string(&mut canonical, request.method, path, &parameters.text, &headers.text);
            for time in times.into_iter().flatten() {
                string_to_sign(&mut to_sign, time, &canonical);
                if let Some(signature) = signature.filter(|_| complete)
                    && hmac::verify(&key, &to_sign, &signature).is_ok()
                {
                    if !is_cached {
                        verifier.keys().insert(name, &key);
                    }
                    return Ok(Verified { payload: Payload::Unsigned, chunks: None });
                }
                explain.get_or_insert_with(|| {
                    let mut explain = Explain::new(&canonical, &to_sign);
                    explain.missing = [&parameters.missing[..], &headers.missing[..]].concat();
                    explain
                });
            }
        }
    }
    Err(VerifyError::Mismatch(explain.unwrap_or_default()))
}

/// The host without port, in lower case, if that is another text.
fn bare_host(host: &str) -> Option<String> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.to_ascii_lowercase();
    (bare != host).then_some(bare)
}
