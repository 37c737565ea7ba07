//! Configurations of access logs that are refused.

use costrel_core::logging::LogFault;
use http::StatusCode as S;

use super::{Code, Described};
use crate::dialect::Dialect;

pub(super) fn describe(fault: LogFault, dialect: Dialect) -> Described {
    let bad = |code, text: &'static str| Described::new(S::BAD_REQUEST, code, text);
    let target = Code::both("InvalidTargetBucketForLogging");
    match fault {
        LogFault::TargetName => bad(
            Code::each("TargetBucketNameInvalid", "InvalidTargetBucketForLogging"),
            "The name of the target bucket is not valid.",
        ),
        LogFault::NoTarget => bad(target, "The target bucket for logging does not exist"),
        LogFault::ForeignTarget => bad(
            target,
            "The owner for the bucket to be logged and the target bucket must be the same.",
        ),
        LogFault::OtherRegion => match dialect {
            Dialect::Cos => bad(target, "The target bucket for logging is in another region."),
            Dialect::S3 => Described::new(
                S::FORBIDDEN,
                // The word is misspelt there.
                Code::both("CrossLocationLoggingProhibitted"),
                "Cross S3 location logging not allowed. ",
            ),
        },
        LogFault::RetainingTarget => {
            bad(target, "The target bucket for logging must not retain objects by default.")
        }
        LogFault::Grants => bad(
            Code::both("InvalidArgument"),
            "Target grants are not allowed with a target bucket whose ACLs are disabled.",
        ),
        LogFault::TooManyGrants { max } => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            format!("There may be {max} grants at most."),
        ),
        LogFault::PrefixTooLong { max } => Described::new(
            S::BAD_REQUEST,
            Code::each("LoggingPrefixInvalid", "InvalidArgument"),
            format!("The prefix of log objects may have {max} bytes at most."),
        ),
        LogFault::Denied => {
            Described::new(S::FORBIDDEN, Code::both("AccessDenied"), "Access Denied")
        }
    }
}
