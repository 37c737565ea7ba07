//! What can be wrong with a signature, as meanings; each dialect maps them to
//! its own codes and words.

use thiserror::Error;

use crate::encode::DecodeError;

/// The request says something about a signature that cannot be understood.
/// Items are named as the family spells them on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// An `Authorization` header of no scheme this server knows.
    #[error("unknown authorization scheme")]
    UnknownScheme,
    /// More than one signature where only one may be given.
    #[error("more than one authentication mechanism")]
    SeveralMechanisms,
    /// A required item is absent or empty.
    #[error("missing {0}")]
    Missing(&'static str),
    /// An item cannot be read.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A signature algorithm other than `sha1` (COS) or `AWS4-HMAC-SHA256`.
    #[error("unsupported algorithm {0}")]
    UnsupportedAlgorithm(String),
    /// A time that is no time, or a window that ends before it starts.
    #[error("bad time in {item}: {value}")]
    BadTime { item: &'static str, value: String },
    /// SigV4: the credential is not `key/yyyymmdd/region/service/aws4_request`.
    #[error("bad credential: {0}")]
    BadCredential(String),
    /// SigV4: the credential's date is not the day of the request's time.
    #[error("credential is of {scope_date}, request is of {request_date}")]
    CredentialDate { scope_date: String, request_date: String },
    /// SigV4 presigned: `X-Amz-Expires` is not a number of 1 to 604,800 seconds.
    #[error("bad X-Amz-Expires: {0}")]
    BadExpires(String),
    /// SigV4: `x-amz-content-sha256` is neither a hash nor a known keyword.
    #[error("bad x-amz-content-sha256: {0}")]
    BadPayloadHash(String),
}

/// The signature was understood and is refused. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// There is no signature.
    #[error("the request is not signed")]
    Anonymous,
    /// The path cannot be decoded.
    #[error("undecodable path: {0}")]
    Path(#[from] DecodeError),
    /// The window closed. `lifetime_s` is what a presigned SigV4 URL asked for.
    #[error("expired at {expired_at}, now {now}")]
    Expired { expired_at: i64, now: i64, lifetime_s: Option<u32> },
    /// The window opens later than the allowed difference of clocks.
    #[error("not valid before {valid_from}, now {now}")]
    NotYetValid { valid_from: i64, now: i64 },
    /// The request's own time is too far from ours.
    #[error("request time {request_time} is more than {skew_s_max} s from {now}")]
    Skewed { request_time: i64, now: i64, skew_s_max: i64 },
    /// SigV4: the credential is scoped to another service.
    #[error("credential is scoped to service {found}, not {expected}")]
    WrongService { expected: &'static str, found: String },
    /// SigV4: `host` is not among the signed headers.
    #[error("the host header is not signed")]
    HostNotSigned,
    /// SigV4: `x-amz-…` headers that the signature does not cover.
    #[error("headers present but not signed: {}", .0.join(", "))]
    HeadersNotSigned(Vec<String>),
    /// The signature is not the one we compute.
    #[error("signature does not match")]
    Mismatch(Box<Explain>),
}

/// What the server computed, for a client's author to compare with. It never
/// holds a signature or a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explain {
    /// COS `HttpString`, SigV4 canonical request; empty for SigV2 and forms,
    /// which sign the string below directly.
    pub canonical_request: String,
    pub string_to_sign: String,
    /// COS: listed headers and parameters that the request does not have.
    pub missing: Vec<String>,
}

impl Explain {
    pub(crate) fn new(canonical_request: &[u8], string_to_sign: &[u8]) -> Box<Self> {
        Box::new(Explain {
            canonical_request: String::from_utf8_lossy(canonical_request).into_owned(),
            string_to_sign: String::from_utf8_lossy(string_to_sign).into_owned(),
            missing: Vec::new(),
        })
    }
}
