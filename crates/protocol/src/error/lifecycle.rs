//! Answers to lifecycles that are refused; both services use the same codes.

use costrel_core::lifecycle::LifecycleFault;
use http::StatusCode as S;

use super::{Code, Described};

pub(super) fn describe(fault: LifecycleFault) -> Described {
    use LifecycleFault::{
        DuplicateId, IdTooLong, MixedForms, NoAction, NoRules, NoSize, NotMidnight, NotPositive,
        PrefixTooLong, TooLarge, TooManyRules, WithSize, WithTags,
    };
    let argument =
        |text: String| Described::new(S::BAD_REQUEST, Code::both("InvalidArgument"), text);
    let request = |text: String| Described::new(S::BAD_REQUEST, Code::both("InvalidRequest"), text);
    match fault {
        NoRules => super::malformed_xml(),
        TooManyRules { max } => request(format!(
            "The number of lifecycle rules must not exceed the allowed limit of {max} rules"
        )),
        IdTooLong { max } => {
            argument(format!("ID length should not exceed allowed limit of {max}"))
        }
        DuplicateId => {
            argument("Rule ID must be unique. Found same ID for more than one rule".into())
        }
        PrefixTooLong { max } => request(format!("The maximum size of a prefix is {max}.")),
        MixedForms => request(
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the \
             Filter."
                .into(),
        ),
        NoAction => request("At least one action needs to be specified in a rule".into()),
        NotPositive { action, field } => {
            argument(format!("'{field}' for {action} action must be a positive integer"))
        }
        TooLarge { action, field, max } => {
            argument(format!("'{field}' for {action} action must not exceed {max}"))
        }
        NotMidnight => argument("'Date' must be at midnight".into()),
        WithTags { action } => request(format!("{action} cannot be specified with Tags.")),
        WithSize { action } => request(format!("{action} cannot be specified with object sizes.")),
        NoSize => request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'".into(),
        ),
    }
}
