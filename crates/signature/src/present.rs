//! Which signature a request presents, before anything is known about its key.

use std::borrow::Cow;

use crate::cos::CosPresented;
use crate::error::ParseError;
use crate::request::{HeaderSource, RequestView};
use crate::v2::{self, V2Presented};
use crate::v4::V4Presented;

/// Where and in which family a signature is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// No signature.
    Anonymous,
    /// `Authorization: q-sign-algorithm=…`
    CosHeader,
    /// `?q-sign-algorithm=…&q-ak=…`
    CosQuery,
    /// `?sign=<the whole authorization, encoded>`
    CosMerged,
    /// `Authorization: AWS4-HMAC-SHA256 …`
    S3V4Header,
    /// `?X-Amz-Algorithm=…`
    S3V4Query,
    /// `Authorization: AWS key:signature`
    S3V2Header,
    /// `?AWSAccessKeyId=…&Signature=…&Expires=…`
    S3V2Query,
    /// An `Authorization` header of another scheme.
    Unknown,
}

impl Form {
    pub fn is_cos(self) -> bool {
        matches!(self, Form::CosHeader | Form::CosQuery | Form::CosMerged)
    }

    pub fn is_s3(self) -> bool {
        matches!(self, Form::S3V4Header | Form::S3V4Query | Form::S3V2Header | Form::S3V2Query)
    }

    /// Carried by the query string, as in a presigned URL.
    pub fn is_query(self) -> bool {
        matches!(self, Form::CosQuery | Form::CosMerged | Form::S3V4Query | Form::S3V2Query)
    }
}

/// A presented signature, taken apart but not verified.
#[derive(Clone, Debug)]
pub enum Presented<'a> {
    Anonymous,
    Cos(CosPresented<'a>),
    V4(V4Presented<'a>),
    V2(V2Presented<'a>),
}

/// Tells the form without judging the contents, so that even a malformed
/// signature is answered in its own dialect. A non-empty `Authorization` header
/// goes before the query; an empty one counts as absent (the COS Python SDK
/// sends it for anonymous requests).
pub fn detect<H: HeaderSource + ?Sized>(request: &RequestView<'_, H>) -> Form {
    match authorizations(request).next() {
        Some(value) => header_form(value),
        None => query_form(request),
    }
}

/// Takes the presented signature apart.
///
/// An S3 signature in the header beside one in the query is refused, as AWS
/// does; for COS the header wins.
pub fn parse<'a, H: HeaderSource + ?Sized>(
    request: &RequestView<'a, H>,
) -> Result<Presented<'a>, ParseError> {
    let mut values = authorizations(request);
    let Some(value) = values.next() else {
        return parse_query_form(request);
    };
    if values.next().is_some() {
        return Err(ParseError::SeveralMechanisms);
    }
    let form = header_form(value);
    let value = std::str::from_utf8(value).map_err(|_| ParseError::Malformed("Authorization"))?;
    if form.is_s3() && query_form(request).is_s3() {
        return Err(ParseError::SeveralMechanisms);
    }
    match form {
        Form::CosHeader => CosPresented::from_text(request, value, form).map(Presented::Cos),
        Form::S3V4Header => V4Presented::from_header(request, value).map(Presented::V4),
        Form::S3V2Header => V2Presented::from_header(request, value).map(Presented::V2),
        _ => Err(ParseError::UnknownScheme),
    }
}

fn parse_query_form<'a, H: HeaderSource + ?Sized>(
    request: &RequestView<'a, H>,
) -> Result<Presented<'a>, ParseError> {
    match query_form(request) {
        Form::CosQuery => CosPresented::from_query(request).map(Presented::Cos),
        form @ Form::CosMerged => {
            let text = request.parameter("sign").ok_or(ParseError::Missing("sign"))?;
            CosPresented::from_text(request, text, form).map(Presented::Cos)
        }
        Form::S3V4Query => V4Presented::from_query(request).map(Presented::V4),
        Form::S3V2Query => V2Presented::from_query(request).map(Presented::V2),
        _ => Ok(Presented::Anonymous),
    }
}

fn authorizations<'a, H: HeaderSource + ?Sized>(
    request: &RequestView<'a, H>,
) -> impl Iterator<Item = &'a [u8]> {
    let headers: &'a H = request.headers;
    headers.values("authorization").map(|value| value.trim_ascii()).filter(|v| !v.is_empty())
}

fn header_form(value: &[u8]) -> Form {
    if value.starts_with(b"AWS4-") {
        Form::S3V4Header
    } else if value.starts_with(b"AWS ") {
        Form::S3V2Header
    } else if value.starts_with(b"q-") {
        // The items may come in any order, but all are named `q-…`.
        Form::CosHeader
    } else {
        Form::Unknown
    }
}

fn query_form<H: HeaderSource + ?Sized>(request: &RequestView<'_, H>) -> Form {
    let mut v2 = (false, false, false);
    let mut merged = false;
    for (name, value) in request.query {
        match name.as_ref() {
            "q-sign-algorithm" | "q-signature" => return Form::CosQuery,
            "sign" => merged |= value.trim_start().starts_with("q-"),
            "AWSAccessKeyId" => v2.0 = true,
            "Signature" => v2.1 = true,
            "Expires" => v2.2 = true,
            name if ["X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name)) =>
            {
                return Form::S3V4Query;
            }
            _ => {}
        }
    }
    match v2 {
        _ if merged => Form::CosMerged,
        (true, _, _) | (_, true, true) => Form::S3V2Query,
        _ => Form::Anonymous,
    }
}

impl<'a> Presented<'a> {
    pub fn form(&self) -> Form {
        match self {
            Presented::Anonymous => Form::Anonymous,
            Presented::Cos(cos) => cos.form,
            Presented::V4(v4) => v4.form,
            Presented::V2(v2) => v2.form,
        }
    }

    /// SecretId or access key id.
    pub fn access_key_id(&self) -> Option<&'a str> {
        match self {
            Presented::Anonymous => None,
            Presented::Cos(cos) => Some(cos.access_key_id),
            Presented::V4(v4) => Some(v4.access_key_id),
            Presented::V2(v2) => Some(v2.access_key_id),
        }
    }

    /// The session token of a temporary key, from the header or else the query.
    pub fn security_token(&self) -> Option<&str> {
        match self {
            Presented::Anonymous => None,
            Presented::Cos(cos) => cos.security_token.as_deref(),
            Presented::V4(v4) => v4.security_token.as_deref(),
            Presented::V2(v2) => v2.security_token.as_deref(),
        }
    }

    /// Whether the signature covers this query parameter (decoded name).
    pub fn signs_parameter(&self, name: &str) -> bool {
        match self {
            Presented::Anonymous => false,
            Presented::Cos(cos) => cos.parameters.contains(name),
            Presented::V4(_) => !name.eq_ignore_ascii_case("X-Amz-Signature"),
            Presented::V2(_) => v2::is_signed_parameter(name),
        }
    }

    /// Whether the signature covers this header (lower-case name).
    pub fn signs_header(&self, name: &str) -> bool {
        match self {
            Presented::Anonymous => false,
            Presented::Cos(cos) => cos.headers.contains(name),
            Presented::V4(v4) => v4.signs_header(name),
            Presented::V2(_) => {
                matches!(name, "content-md5" | "content-type" | "date")
                    || name.starts_with("x-amz-")
            }
        }
    }
}

/// The token of a temporary key: header first, else query. Tokens are base64 or
/// URL-safe text and hold no spaces, so a space can only be a plus that a
/// client left unescaped.
pub(crate) fn security_token<'a, H: HeaderSource + ?Sized>(
    request: &RequestView<'a, H>,
    header: &str,
) -> Option<Cow<'a, str>> {
    if let Some(token) = request.header(header).filter(|token| !token.is_empty()) {
        return Some(Cow::Borrowed(token));
    }
    let token = request.parameter_any_case(header).filter(|token| !token.is_empty())?;
    Some(unspaced(token))
}

/// Text of an alphabet without spaces, whose pluses a client did not escape.
pub(crate) fn unspaced(text: &str) -> Cow<'_, str> {
    if text.contains(' ') { Cow::Owned(text.replace(' ', "+")) } else { Cow::Borrowed(text) }
}
