use thiserror::Error;

use crate::parse::POLICY_BYTES_MAX;

/// Why a document is not taken as a policy. The texts are for its author.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyFault {
    #[error(
        "Normalized policy document exceeds the maximum allowed size of {POLICY_BYTES_MAX} bytes"
    )]
    TooLarge,
    #[error("Policies must be valid JSON and the first byte must be '{{'")]
    NotJson,
    #[error("Unknown field {0}")]
    UnknownField(String),
    #[error("Duplicate field {0}")]
    Duplicate(String),
    #[error("Statement IDs (SID) in a single policy must be unique: {0}")]
    RepeatedSid(String),
    #[error("Missing required field {0}")]
    Missing(&'static str),
    #[error("{0} must not be there twice, nor together with its opposite")]
    Opposites(&'static str),
    #[error("Invalid value of {0}")]
    Value(&'static str),
    #[error("The policy must contain a valid version string")]
    Version,
    #[error("Invalid effect: {0}")]
    Effect(String),
    #[error("Invalid principal in policy")]
    Principal(String),
    #[error("Allow with NotPrincipal is not supported")]
    AllowNotPrincipal,
    #[error("Policy has invalid action")]
    Action(String),
    #[error("Policy has invalid resource")]
    Resource(String),
    #[error("Invalid Condition type : {0}")]
    Operator(String),
    #[error("Policy has an invalid condition key")]
    Key(String),
    #[error("Invalid value of a condition: {0}")]
    ConditionValue(String),
    #[error("Invalid policy variable: {0}")]
    Variable(String),
    /// The service knows it, this server cannot obey it.
    #[error("{0} is not implemented")]
    Unsupported(String),
}
