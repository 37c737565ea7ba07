//! Failures and their answers.
//!
//! A [`Failure`] is what went wrong while a request was served; [`describe`]
//! gives every one its status, its code in each dialect and its words, in one
//! exhaustive match per kind. Nothing of an operator's concern reaches a client:
//! texts about damage go to the log.

mod acl;
mod core_errors;
mod cors;
mod inventory;
mod lifecycle;
mod logging;
mod notification;
mod policy;
mod signing;
mod tiering;

use std::borrow::Cow;

use bytes::Bytes;
use costrel_core::{BodyError, Error};
use costrel_signature::policy::PolicyError;
use costrel_signature::{ParseError, VerifyError};
use http::StatusCode;

pub use acl::AclFault;
pub use cors::PreflightFault;

use crate::address::AddressError;
use crate::dialect::Dialect;
use crate::ops::RouteError;
use crate::percent::PercentError;
use crate::xml::{XmlError, XmlWriter};

/// Why a request is not answered with success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Core(#[from] Error),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Xml(#[from] XmlError),
    #[error(transparent)]
    SignatureForm(#[from] ParseError),
    #[error(transparent)]
    Signature(#[from] VerifyError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The query string cannot be decoded.
    #[error("the query string cannot be decoded: {0}")]
    Query(PercentError),
    #[error("unknown access key")]
    UnknownKey(String),
    /// A token that was not made for the key it came with, or ended with its maker.
    #[error("unknown security token")]
    UnknownToken,
    #[error("the security token has expired")]
    ExpiredToken,
    /// A presigned URL was given a parameter or header that makes another request
    /// of it.
    #[error("the URL was presigned without {0}")]
    NotSigned(&'static str),
    #[error(transparent)]
    Preflight(#[from] PreflightFault),
    #[error(transparent)]
    Acl(#[from] AclFault),
    #[error("anonymous access is not allowed")]
    Anonymous,
    #[error("access denied")]
    AccessDenied,
    /// Whoever may use a bucket of another account may not see or change its policies.
    #[error("a bucket's policies are for its owner's account alone")]
    ForeignPolicy,
    /// What an object's visitors are to be sent to is no place.
    #[error("a redirect leads to a path, or to an address of http or https")]
    RedirectLocation,
    /// The page that the request comes from may not show the bucket's objects.
    #[error("the bucket's referer list does not allow the page")]
    Referer,
    /// The request's line and headers are too large (431), cannot be read (400),
    /// or have too long a target (414).
    #[error("the head of the request is refused with {0}")]
    Head(StatusCode),
    /// A header, parameter or field has a value that cannot be.
    #[error("invalid argument {name}: {why}")]
    InvalidArgument { name: Cow<'static, str>, value: String, why: &'static str },
    /// The request as a whole makes no sense.
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
    /// A header or parameter asks for something that is not there yet.
    #[error("{0} is not implemented")]
    NotImplemented(Cow<'static, str>),
    #[error("the length of the body is not declared")]
    MissingContentLength,
    #[error("malformed Content-MD5")]
    InvalidDigest,
    /// A versioning configuration that neither enables nor suspends.
    #[error("the versioning configuration has no status")]
    NoVersioningStatus,
    /// A bucket has no tags.
    #[error("the bucket has no tags")]
    NoTags,
    #[error("the bucket has no object lock")]
    NoLockConfiguration,
    /// A version that has no retention, or of which nobody has said whether it is
    /// held.
    #[error("the version has no such lock")]
    NoLockOfVersion,
    /// `response-…` parameters on a request that nobody has signed.
    #[error("response overrides need a signature")]
    AnonymousOverride,
    /// COS knows only delimiters of one character.
    #[error("the delimiter has several characters")]
    InvalidDelimiter,
    #[error("the upload id is empty")]
    EmptyUploadId,
    #[error("malformed copy source")]
    InvalidCopySource(&'static str),
    #[error("malformed form")]
    MalformedForm(&'static str),
    #[error("the form has no file, or several")]
    FileCount,
    #[error("a form field is too large")]
    FormTooLarge,
    #[error("handling the request took too long or panicked")]
    Internal(&'static str),
}

impl Failure {
    /// Whether it is about who asks, or what he may do.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Failure::SignatureForm(_)
            | Failure::Signature(_)
            | Failure::Policy(_)
            | Failure::UnknownKey(_)
            | Failure::UnknownToken
            | Failure::ExpiredToken
            | Failure::NotSigned(_)
            | Failure::Anonymous
            | Failure::AccessDenied
            | Failure::ForeignPolicy
            | Failure::Referer
            | Failure::Preflight(
                PreflightFault::Disabled { .. } | PreflightFault::NotAllowed { .. },
            )
            | Failure::AnonymousOverride => true,
            Failure::Core(error) => matches!(
                error,
                Error::Locked
                    | Error::RetentionLoosened
                    | Error::PublicPolicyBlocked
                    | Error::PublicAclBlocked
                    | Error::Body(BodyError::ChunkSignature)
            ),
            _ => false,
        }
    }

    /// Whether it tells that there is no such object.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Failure::Core(error) if error.is_absence())
    }
}

/// An answer to a failure, before it has a dialect's shape.
pub struct Described {
    pub status: StatusCode,
    pub code: Code,
    pub message: Cow<'static, str>,
    /// Further elements of the error document.
    pub details: Vec<(&'static str, String)>,
}

/// A code in both dialects.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub cos: &'static str,
    pub s3: &'static str,
}

impl Code {
    const fn both(code: &'static str) -> Code {
        Code { cos: code, s3: code }
    }

    const fn each(cos: &'static str, s3: &'static str) -> Code {
        Code { cos, s3 }
    }

    pub fn of(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Cos => self.cos,
            Dialect::S3 => self.s3,
        }
    }
}

impl Described {
    fn new(status: StatusCode, code: Code, message: impl Into<Cow<'static, str>>) -> Described {
        Described { status, code, message: message.into(), details: Vec::new() }
    }

    fn with(mut self, element: &'static str, text: impl ToString) -> Described {
        self.details.push((element, text.to_string()));
        self
    }
}

/// The meaning of a failure to a client of a dialect.
pub fn describe(failure: &Failure, dialect: Dialect, now_ms: u64) -> Described {
    use StatusCode as S;
    let new = Described::new;
    match failure {
        Failure::Core(error) => core_errors::describe(error, dialect),
        Failure::SignatureForm(error) => signing::describe_form(error, dialect),
        Failure::Signature(error) => signing::describe(error, dialect, now_ms),
        Failure::Policy(error) => signing::describe_policy(error, dialect),
        Failure::Address(AddressError::ForeignHost(host)) => {
            new(S::BAD_REQUEST, Code::both("InvalidURI"), "This host is not served here.")
                .with("Host", host)
        }
        Failure::Address(AddressError::MissingHost) => {
            new(S::BAD_REQUEST, Code::both("InvalidRequest"), "Missing Host header.")
        }
        Failure::Address(AddressError::BadHost) => {
            new(S::BAD_REQUEST, Code::both("InvalidURI"), "The Host header is malformed.")
        }
        Failure::Address(AddressError::Path(_)) | Failure::Query(_) => {
            new(S::BAD_REQUEST, Code::both("InvalidURI"), "Couldn't parse the specified URI.")
        }
        Failure::Route(RouteError::MethodNotAllowed) | Failure::ForeignPolicy => new(
            S::METHOD_NOT_ALLOWED,
            Code::both("MethodNotAllowed"),
            "The specified method is not allowed against this resource.",
        ),
        Failure::RedirectLocation => new(
            S::BAD_REQUEST,
            Code::both("InvalidRedirectLocation"),
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        ),
        Failure::Route(RouteError::MissingParameter { missing, .. }) => {
            new(S::BAD_REQUEST, Code::both("InvalidArgument"), "A required parameter is missing.")
                .with("ArgumentName", missing)
        }
        Failure::Route(RouteError::Conflict(one, other)) => new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "Conflicting query string parameters.",
        )
        .with("ArgumentName", format!("{one}, {other}")),
        Failure::Route(RouteError::NotImplemented(what)) => not_implemented(what),
        Failure::NotImplemented(what) => not_implemented(what),
        Failure::Xml(XmlError::Empty) => {
            new(S::BAD_REQUEST, Code::both("MissingRequestBodyError"), "Request body is empty.")
        }
        Failure::Xml(XmlError::TooLarge { .. }) => new(
            S::BAD_REQUEST,
            Code::each("XMLSizeLimit", "MaxMessageLengthExceeded"),
            "Your request was too big.",
        ),
        Failure::Xml(
            XmlError::Malformed(_)
            | XmlError::TooDeep
            | XmlError::ForbiddenDtd
            | XmlError::TooMany { .. },
        ) => malformed_xml(),
        Failure::UnknownKey(key) => new(
            S::FORBIDDEN,
            Code::both("InvalidAccessKeyId"),
            match dialect {
                Dialect::Cos => "The access key Id you provided does not exist in our records.",
                Dialect::S3 => "The AWS Access Key Id you provided does not exist in our records.",
            },
        )
        .with("AWSAccessKeyId", key),
        Failure::UnknownToken => match dialect {
            Dialect::Cos => new(S::FORBIDDEN, Code::both("InvalidAccessKeyId"), "Invalid token."),
            Dialect::S3 => new(
                S::BAD_REQUEST,
                Code::both("InvalidToken"),
                "The provided token is malformed or otherwise invalid.",
            ),
        },
        Failure::ExpiredToken => {
            new(S::BAD_REQUEST, Code::both("ExpiredToken"), "The provided token has expired.")
        }
        Failure::NotSigned(name) => {
            let message = format!("The URL was presigned without {name}");
            Described::new(S::FORBIDDEN, Code::both("AccessDenied"), message)
        }
        Failure::Acl(fault) => acl::describe(fault, dialect),
        Failure::Preflight(fault) => cors::describe_preflight(fault),
        Failure::Referer => {
            new(S::FORBIDDEN, Code::both("AccessDenied"), "You are denied by bucket referer rule")
        }
        Failure::Anonymous | Failure::AccessDenied => access_denied(dialect),
        Failure::Head(status @ S::REQUEST_HEADER_FIELDS_TOO_LARGE) => new(
            *status,
            Code::each("InvalidRequest", "RequestHeaderSectionTooLarge"),
            "The request's line and headers exceed the maximum allowed size.",
        ),
        Failure::Head(status @ S::URI_TOO_LONG) => {
            new(*status, Code::both("InvalidURI"), "The specified URI is too long.")
        }
        Failure::Head(status) => new(
            *status,
            Code::each("InvalidRequest", "BadRequest"),
            "An error occurred when parsing the HTTP request.",
        ),
        Failure::InvalidArgument { name, value, why } => {
            new(S::BAD_REQUEST, Code::both("InvalidArgument"), why)
                .with("ArgumentName", name)
                .with("ArgumentValue", value)
        }
        Failure::InvalidRequest(why) => new(S::BAD_REQUEST, Code::both("InvalidRequest"), why),
        Failure::MissingContentLength => new(
            S::LENGTH_REQUIRED,
            Code::both("MissingContentLength"),
            "You must provide the Content-Length HTTP header.",
        ),
        Failure::InvalidDigest => new(
            S::BAD_REQUEST,
            Code::both("InvalidDigest"),
            "The Content-MD5 you specified is not valid.",
        ),
        Failure::NoVersioningStatus => new(
            S::BAD_REQUEST,
            Code::each("MalformedXML", "IllegalVersioningConfigurationException"),
            "The versioning configuration specified in the request is invalid.",
        ),
        Failure::NoTags => {
            new(S::NOT_FOUND, Code::both("NoSuchTagSet"), "The TagSet does not exist")
        }
        Failure::NoLockConfiguration => new(
            S::NOT_FOUND,
            Code::each("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
            "Object Lock configuration does not exist for this bucket",
        ),
        Failure::NoLockOfVersion => new(
            S::NOT_FOUND,
            Code::both("NoSuchObjectLockConfiguration"),
            "The specified object does not have a ObjectLock configuration",
        ),
        Failure::AnonymousOverride => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "Request specific response headers cannot be used for anonymous GET requests.",
        ),
        Failure::InvalidDelimiter => new(
            S::BAD_REQUEST,
            Code::each("InvalidDelimiter", "InvalidArgument"),
            "The delimiter must be a single character.",
        ),
        Failure::EmptyUploadId => new(
            S::BAD_REQUEST,
            Code::each("ListPartUploadIdIsEmpty", "NoSuchUpload"),
            "The upload id must not be empty.",
        )
        .with("ArgumentName", "uploadId"),
        Failure::InvalidCopySource(why) => {
            new(S::BAD_REQUEST, Code::each("InvalidCopySource", "InvalidArgument"), why)
        }
        Failure::MalformedForm(_) => new(
            S::BAD_REQUEST,
            Code::both("MalformedPOSTRequest"),
            "The body of your POST request is not well-formed multipart/form-data.",
        ),
        Failure::FileCount => new(
            S::BAD_REQUEST,
            Code::both("IncorrectNumberOfFilesInPostRequest"),
            "POST requires exactly one file upload per request.",
        ),
        Failure::FormTooLarge => new(
            S::BAD_REQUEST,
            Code::both("MaxPostPreDataLengthExceeded"),
            "Your POST request fields preceding the upload file were too large.",
        ),
        Failure::Internal(_) => core_errors::internal(),
    }
}

fn not_implemented(what: &str) -> Described {
    Described::new(
        StatusCode::NOT_IMPLEMENTED,
        Code::both("NotImplemented"),
        format!("What you asked for is not implemented: {what}"),
    )
    .with("Feature", what)
}

fn malformed_xml() -> Described {
    Described::new(
        StatusCode::BAD_REQUEST,
        Code::both("MalformedXML"),
        "The XML you provided was not well-formed or did not validate against our published schema.",
    )
}

pub(super) fn access_denied(dialect: Dialect) -> Described {
    let message = match dialect {
        Dialect::Cos => "Access Denied.",
        Dialect::S3 => "Access Denied",
    };
    Described::new(StatusCode::FORBIDDEN, Code::both("AccessDenied"), message)
}

/// The error document.
pub fn document(
    described: &Described,
    dialect: Dialect,
    resource: &str,
    request_id: &str,
    second_id: &str,
) -> Bytes {
    let mut xml = XmlWriter::new(512);
    xml.element("Error", |xml| {
        xml.text("Code", described.code.of(dialect));
        xml.text("Message", &described.message);
        let details = |xml: &mut XmlWriter| {
            described.details.iter().for_each(|(name, text)| xml.text(name, text));
        };
        if dialect == Dialect::S3 {
            details(xml);
        }
        xml.text("Resource", resource);
        xml.text("RequestId", request_id);
        xml.text(dialect.error_second_id_element(), second_id);
        // The documents of COS have these five and nothing between them.
        if dialect == Dialect::Cos {
            details(xml);
        }
    });
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_is_told_from_whoever_asks_wrongly() {
        use Error::{Body, Locked, NoSuchKey, RetentionLoosened};
        for refusal in [Locked, RetentionLoosened, Body(BodyError::ChunkSignature)] {
            assert!(Failure::Core(refusal).is_refusal());
        }
        assert!(Failure::ForeignPolicy.is_refusal());
        for other in [Failure::Core(NoSuchKey), RouteError::MethodNotAllowed.into()] {
            assert!(!other.is_refusal());
        }
    }
}
