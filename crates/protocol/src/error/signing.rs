//! Answers to signatures that do not hold.
//!
//! SDKs of COS read two of these words for word: the message `Request has
//! expired` and the code `RequestTimeTooSkewed` make them correct their clock by
//! the `Date` header or the `ServerTime` element and try again.

use costrel_signature::policy::{Condition, PolicyError};
use costrel_signature::{ParseError, VerifyError};
use http::StatusCode as S;

use super::{Code, Described, access_denied};
use crate::date;
use crate::dialect::Dialect;

pub(super) fn describe_form(error: &ParseError, dialect: Dialect) -> Described {
    let malformed = |message: String| match dialect {
        Dialect::Cos => Described::new(S::FORBIDDEN, Code::both("AccessDenied"), message),
        Dialect::S3 => {
            Described::new(S::BAD_REQUEST, Code::both("AuthorizationHeaderMalformed"), message)
        }
    };
    match error {
        ParseError::UnknownScheme => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "Unsupported Authorization Type",
        )
        .with("ArgumentName", "Authorization"),
        ParseError::SeveralMechanisms => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "Only one auth mechanism allowed",
        ),
        ParseError::UnsupportedAlgorithm(algorithm) => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "The signature algorithm is not supported.",
        )
        .with("ArgumentValue", algorithm),
        ParseError::BadPayloadHash(value) => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
             STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
             STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        )
        .with("ArgumentName", "x-amz-content-sha256")
        .with("ArgumentValue", value),
        ParseError::BadExpires(_) => Described::new(
            S::BAD_REQUEST,
            Code::both("AuthorizationQueryParametersError"),
            "X-Amz-Expires must be a number of seconds between 1 and 604800",
        ),
        // A date is needed to judge anything else, so AWS calls this a refusal.
        ParseError::Missing("x-amz-date" | "date" | "Date") => Described::new(
            S::FORBIDDEN,
            Code::both("AccessDenied"),
            "AWS authentication requires a valid Date or x-amz-date header",
        ),
        ParseError::Missing("x-amz-content-sha256") => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "Missing required header for this request: x-amz-content-sha256",
        ),
        // What a presigned URL says wrongly is named by its parameter.
        ParseError::Missing(item) | ParseError::BadTime { item, .. }
            if item.starts_with("X-Amz-") =>
        {
            Described::new(
                S::BAD_REQUEST,
                Code::both("AuthorizationQueryParametersError"),
                error.to_string(),
            )
        }
        ParseError::BadTime { .. } if dialect == Dialect::S3 => Described::new(
            S::FORBIDDEN,
            Code::both("AccessDenied"),
            "AWS authentication requires a valid Date or x-amz-date header",
        ),
        ParseError::Missing(_)
        | ParseError::Malformed(_)
        | ParseError::BadTime { .. }
        | ParseError::BadCredential(_)
        | ParseError::CredentialDate { .. } => malformed(error.to_string()),
    }
}

pub(super) fn describe(error: &VerifyError, dialect: Dialect, now_ms: u64) -> Described {
    let denied =
        |message: String| Described::new(S::FORBIDDEN, Code::both("AccessDenied"), message);
    let server_time = date::iso_seconds(now_ms);
    match error {
        VerifyError::Anonymous => access_denied(dialect),
        VerifyError::Path(_) => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidURI"),
            "Couldn't parse the specified URI.",
        ),
        VerifyError::Expired { expired_at, .. } => {
            let described = denied("Request has expired".into()).with("ServerTime", server_time);
            match dialect {
                Dialect::Cos => described,
                Dialect::S3 => {
                    described.with("Expires", date::iso_seconds((*expired_at).max(0) as u64 * 1000))
                }
            }
        }
        VerifyError::NotYetValid { .. } => match dialect {
            Dialect::Cos => denied("Request has expired".into()),
            Dialect::S3 => denied("Request is not yet valid".into()),
        }
        .with("ServerTime", server_time),
        VerifyError::Skewed { request_time, skew_s_max, .. } => Described::new(
            S::FORBIDDEN,
            Code::both("RequestTimeTooSkewed"),
            "The difference between the request time and the current time is too large.",
        )
        .with("RequestTime", date::iso_seconds((*request_time).max(0) as u64 * 1000))
        .with("ServerTime", server_time)
        .with("MaxAllowedSkewMilliseconds", skew_s_max * 1000),
        VerifyError::WrongService { .. } => Described::new(
            S::BAD_REQUEST,
            Code::both("AuthorizationHeaderMalformed"),
            error.to_string(),
        ),
        VerifyError::HostNotSigned | VerifyError::HeadersNotSigned(_) => {
            denied("There were headers present in the request which were not signed".into())
        }
        VerifyError::Mismatch(explain) => {
            let message = match dialect {
                Dialect::Cos => "The Signature you specified is invalid.",
                Dialect::S3 => {
                    "The request signature we calculated does not match the signature you \
                     provided. Check your key and signing method."
                }
            };
            // What the server computed holds nothing that its sender did not
            // send, and is what both services print.
            Described::new(S::FORBIDDEN, Code::both("SignatureDoesNotMatch"), message)
                .with("StringToSign", &explain.string_to_sign)
                .with("CanonicalRequest", &explain.canonical_request)
        }
    }
}

/// COS names the key and what it was to be, a bucket's in brackets.
fn unmatched(condition: &Condition) -> String {
    let (key, value) = match condition {
        Condition::Equals { field, value } if field == "bucket" => (field, format!("[{value}]")),
        Condition::Equals { field, value } => (field, value.clone()),
        Condition::StartsWith { field, prefix } => (field, prefix.clone()),
        // The size is judged apart.
        Condition::LengthRange { .. } => return condition.text(),
    };
    format!("Condition key {key} doesn't match the value {value}")
}

pub(super) fn describe_policy(error: &PolicyError, dialect: Dialect) -> Described {
    let denied =
        |message: String| Described::new(S::FORBIDDEN, Code::both("AccessDenied"), message);
    let invalid = |message: String| {
        Described::new(S::BAD_REQUEST, Code::both("InvalidPolicyDocument"), message)
    };
    match error {
        PolicyError::Malformed(_) => invalid(error.to_string()),
        PolicyError::MissingCondition(_) => invalid(
            "You must provide condition if you specify a policy in post object request.".into(),
        ),
        PolicyError::PrefixNotAllowed(_) => invalid(error.to_string()),
        PolicyError::Expired { expiration, now } => match dialect {
            Dialect::Cos => denied(format!(
                "You post object request has been expired, expiration time: {expiration} but the \
                 time now : {now}"
            )),
            Dialect::S3 => denied("Invalid according to Policy: Policy expired.".into()),
        },
        PolicyError::ConditionFailed { condition, .. } => match dialect {
            Dialect::Cos => denied(unmatched(condition)),
            Dialect::S3 => denied(format!(
                "Invalid according to Policy: Policy Condition failed: {}",
                condition.text()
            )),
        },
        PolicyError::FieldsNotCovered(fields) => denied(format!(
            "Invalid according to Policy: Extra input fields: {}",
            fields.join(", ")
        )),
        PolicyError::TooSmall { size, min } => Described::new(
            S::BAD_REQUEST,
            Code::both("EntityTooSmall"),
            "Your proposed upload is smaller than the minimum allowed size",
        )
        .with("ProposedSize", size)
        .with("MinSizeAllowed", min),
        PolicyError::TooLarge { size, max } => Described::new(
            S::BAD_REQUEST,
            Code::both("EntityTooLarge"),
            "Your proposed upload exceeds the maximum allowed size",
        )
        .with("ProposedSize", size)
        .with("MaxSizeAllowed", max),
    }
}
