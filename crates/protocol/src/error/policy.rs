//! Policies that are refused.

use costrel_policy::PolicyFault;
use http::StatusCode;

use super::{Code, Described, not_implemented};

pub fn describe(fault: &PolicyFault) -> Described {
    let malformed = Code::both("MalformedPolicy");
    let detail = match fault {
        PolicyFault::Unsupported(what) => return not_implemented(what),
        PolicyFault::TooLarge => {
            let code = Code::each("EntityTooLarge", "PolicyTooLarge");
            return Described::new(StatusCode::BAD_REQUEST, code, fault.to_string());
        }
        PolicyFault::Principal(detail)
        | PolicyFault::Action(detail)
        | PolicyFault::Resource(detail)
        | PolicyFault::Key(detail) => Some(detail),
        PolicyFault::NotJson
        | PolicyFault::UnknownField(_)
        | PolicyFault::Duplicate(_)
        | PolicyFault::RepeatedSid(_)
        | PolicyFault::Missing(_)
        | PolicyFault::Opposites(_)
        | PolicyFault::Value(_)
        | PolicyFault::Version
        | PolicyFault::Effect(_)
        | PolicyFault::AllowNotPrincipal
        | PolicyFault::Operator(_)
        | PolicyFault::ConditionValue(_)
        | PolicyFault::Variable(_) => None,
    };
    let described = Described::new(StatusCode::BAD_REQUEST, malformed, fault.to_string());
    match detail {
        Some(detail) => described.with("Detail", detail),
        None => described,
    }
}
