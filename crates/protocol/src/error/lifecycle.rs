//! Answers to lifecycles that are refused; both services use the same codes.

use costrel_core::lifecycle::LifecycleFault;
use http::StatusCode as S;

use super::{Code, Described};

pub(super) fn describe(fault: LifecycleFault) -> Described {
    use LifecycleFault::{
        DuplicateId, ExpiresBefore, IdTooLong, MixedForms, MixedTimes, NoAction, NoRules, NoSize,
        NoSuchTransition, NotMidnight, NotPositive, PrefixTooLong, SameClass, TooLarge,
        TooManyRules, TooSoon, TooSoonAfter, TransitionOrder, WithSize, WithTags,
    };
    let argument =
        |text: String| Described::new(S::BAD_REQUEST, Code::both("InvalidArgument"), text);
    let request = |text: String| Described::new(S::BAD_REQUEST, Code::both("InvalidRequest"), text);
    match fault {
        NoRules | NoSuchTransition => super::malformed_xml(),
        SameClass => request(
            "'StorageClass' must be different for 'Transition' actions in same 'Rule'".into(),
        ),
        MixedTimes => request(
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle \
             rule"
                .into(),
        ),
        TooSoon { field, class, min } => argument(format!(
            "'{field}' in Transition action must be greater than or equal to {min} for \
             storageClass '{class}'"
        )),
        TooSoonAfter { field, class, min } => argument(format!(
            "'{field}' in Transition actions to colder classes must be {min} days more than \
             '{field}' in the Transition action for StorageClass '{class}'"
        )),
        TransitionOrder => argument(
            "Transitions of a rule to colder storage classes must be later than those to others"
                .into(),
        ),
        ExpiresBefore { field } => argument(format!(
            "'{field}' in the Expiration action must be greater than '{field}' in the Transition \
             action"
        )),
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
