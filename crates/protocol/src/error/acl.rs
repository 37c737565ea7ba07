//! ACLs that are refused.

use http::StatusCode as S;

use super::{Code, Described};
use crate::dialect::Dialect;

/// Why an ACL is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AclFault {
    #[error("the ACL document is malformed")]
    Malformed,
    /// Neither headers nor a body say anything.
    #[error("there is no ACL in the request")]
    Missing,
    #[error("a canned ACL and grants in headers exclude each other")]
    CannedAndGrants,
    #[error("ACL headers and an ACL document exclude each other")]
    BodyAndHeaders,
    #[error("{0:?} is no permission that can be granted here")]
    Permission(String),
    #[error("there is nobody with the id {0:?}")]
    Id(String),
    #[error("there is no group {0:?}")]
    Group(String),
    #[error("nobody is known by his address")]
    Email(String),
}

pub(super) fn describe(fault: &AclFault, dialect: Dialect) -> Described {
    let bad = |code, text: &'static str| Described::new(S::BAD_REQUEST, code, text);
    match fault {
        AclFault::Malformed | AclFault::Permission(_) => bad(
            Code::each("MalformedXML", "MalformedACLError"),
            "The XML you provided was not well-formed or did not validate against our published \
             schema.",
        ),
        AclFault::Missing => match dialect {
            Dialect::Cos => bad(Code::both("MissingRequestBodyError"), "Request body is empty."),
            Dialect::S3 => bad(
                Code::both("MissingSecurityHeader"),
                "Your request was missing a required header.",
            ),
        },
        AclFault::CannedAndGrants => bad(
            Code::each("InvalidArgument", "InvalidRequest"),
            "Specifying both Canned ACLs and Header Grants is not allowed",
        ),
        AclFault::BodyAndHeaders => {
            bad(Code::both("UnexpectedContent"), "This request does not support content.")
        }
        AclFault::Id(id) => bad(Code::both("InvalidArgument"), "Invalid id")
            .with("ArgumentName", "CanonicalUser/ID")
            .with("ArgumentValue", id),
        AclFault::Group(uri) => bad(Code::both("InvalidArgument"), "Invalid group uri")
            .with("ArgumentName", "Group/URI")
            .with("ArgumentValue", uri),
        AclFault::Email(address) => bad(
            Code::each("InvalidArgument", "UnresolvableGrantByEmailAddress"),
            "The e-mail address you provided does not match any account on record.",
        )
        .with("EmailAddress", address),
    }
}
