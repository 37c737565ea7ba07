//! Answers to CORS rules and to preflights that are refused.

use costrel_core::cors::CorsFault;
use http::StatusCode as S;

use super::{Code, Described};

/// Why a preflight is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightFault {
    #[error("the preflight names no origin")]
    NoOrigin,
    #[error("the preflight is for the method {0:?}")]
    Method(String),
    /// The bucket has no rules, or there is none.
    #[error("the bucket has no CORS rules")]
    Disabled { method: String },
    #[error("no CORS rule allows the request")]
    NotAllowed { method: String },
}

pub(super) fn describe_preflight(fault: &PreflightFault) -> Described {
    let bad = |text: String| {
        Described::new(S::BAD_REQUEST, Code::each("InvalidRequest", "BadRequest"), text)
    };
    let forbidden = |text: &'static str, method: &String| {
        Described::new(S::FORBIDDEN, Code::both("AccessForbidden"), text).with("Method", method)
    };
    match fault {
        PreflightFault::NoOrigin => {
            bad("Insufficient information. Origin request header needed.".into())
        }
        PreflightFault::Method(method) if method.is_empty() => {
            bad("Invalid Access-Control-Request-Method: null".into())
        }
        PreflightFault::Method(method) => {
            bad(format!("Invalid Access-Control-Request-Method: {method}"))
        }
        PreflightFault::Disabled { method } => {
            forbidden("CORSResponse: CORS is not enabled for this bucket.", method)
        }
        // The word is misspelt in both services.
        PreflightFault::NotAllowed { method } => forbidden(
            "CORSResponse: This CORS request is not allowed. This is usually because the \
             evalution of Origin, request method / Access-Control-Request-Method or \
             Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
            method,
        ),
    }
}

pub(super) fn describe_fault(fault: &CorsFault) -> Described {
    let request = |text: String| {
        Described::new(S::BAD_REQUEST, Code::each("InvalidArgument", "InvalidRequest"), text)
    };
    match fault {
        CorsFault::NoRules | CorsFault::Incomplete => super::malformed_xml(),
        CorsFault::TooManyRules { max } => request(format!(
            "The number of CORS rules should not exceed allowed limit of {max} rules."
        )),
        CorsFault::IdTooLong { max } => {
            request(format!("The ID of a CORS rule should not exceed {max} characters."))
        }
        CorsFault::Method(method) => request(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        )),
        CorsFault::Wildcards { field, value } => {
            request(format!("{field} \"{value}\" can not have more than one wildcard."))
        }
        CorsFault::ExposedWildcard(value) => request(format!(
            "ExposeHeader \"{value}\" contains wildcard. We currently do not support wildcard for \
             ExposeHeader."
        )),
        CorsFault::HeaderName(name) => {
            request(format!("\"{name}\" in the CORS config is not the name of a header."))
        }
    }
}
