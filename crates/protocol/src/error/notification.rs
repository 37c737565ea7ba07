//! Configurations of event notifications that are refused.

use costrel_core::events::EventFault;
use http::StatusCode as S;

use super::{Code, Described};

pub(super) fn describe(fault: &EventFault) -> Described {
    let bad =
        |text: &'static str| Described::new(S::BAD_REQUEST, Code::both("InvalidArgument"), text);
    let named = |text: &'static str, name: &str, value: &str| {
        bad(text).with("ArgumentName", name).with("ArgumentValue", value)
    };
    let destination = "Unable to validate the following destination configurations";
    match fault {
        EventFault::TooMany { max } => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            format!("There may be {max} notification configurations at most."),
        ),
        EventFault::NoEvents => Described::new(
            S::BAD_REQUEST,
            Code::both("MalformedXML"),
            "The XML you provided was not well-formed or did not validate against our \
             published schema",
        ),
        EventFault::UnknownEvent(name) => {
            named("A specified event is not supported for notifications.", "Event", name)
        }
        EventFault::NeverHappens(name) => Described::new(
            S::NOT_IMPLEMENTED,
            Code::both("NotImplemented"),
            "An event that is asked for never happens here, so it cannot be told.",
        )
        .with("ArgumentName", "Event")
        .with("ArgumentValue", name),
        EventFault::SameId => bad("Same ID used for multiple configurations. IDs must be unique."),
        EventFault::IdTooLong { max } => Described::new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            format!("An Id may have {max} bytes at most."),
        ),
        EventFault::FilterTooLong { .. } => {
            bad("Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation")
        }
        EventFault::MalformedArn(arn) => named("The ARN is not well formed", "ARN", arn),
        EventFault::OtherRegion(arn) => named(
            "The notification destination service region is not valid for the bucket \
             location constraint",
            "ARN",
            arn,
        ),
        EventFault::NoTarget(arn) => named(destination, arn, "The destination does not exist."),
        // Why not is for the log: it may tell of places that the client has no business with.
        EventFault::Unreachable { arn, .. } => {
            named(destination, arn, "The destination did not take a test message.")
        }
        EventFault::Overlap => {
            bad("Configurations overlap. Configurations on the same bucket cannot share a common \
             event type.")
        }
    }
}
