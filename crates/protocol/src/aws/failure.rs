//! Failures of AWS's services beside S3, and the codes they have there.

use costrel_core::account::{AccessKey, GrantError, IdentityError};
use costrel_core::{BodyError, Error};
use costrel_policy::PolicyFault;
use costrel_signature::{ParseError, VerifyError};
use http::StatusCode;

use crate::error::Failure;
use crate::oidc::BearerError;
use crate::permission;

/// Why an action is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AwsFailure {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("unknown access key")]
    UnknownKey,
    #[error("unknown security token")]
    UnknownToken,
    #[error("expired security token")]
    ExpiredToken,
    #[error("no action is named")]
    MissingAction,
    #[error("there is no action {0} of this version")]
    InvalidAction(String),
    #[error("{0} is not implemented")]
    NotImplemented(&'static str),
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    #[error("{0} cannot have this value")]
    BadValue(&'static str),
    #[error("{0}")]
    Invalid(String),
    /// What is not known here would not be obeyed.
    #[error("the parameter {0} is not supported")]
    UnknownParameter(String),
    /// There is nothing of this kind here.
    #[error("there is no {0}")]
    None(&'static str),
    #[error("there is no policy of this name")]
    NoSuchInline,
    #[error("the policy is attached")]
    PolicyInUse,
    #[error("User: {who} is not authorized to perform: {action}")]
    Denied { who: String, action: String },
    /// Whoever brings a token has no name of his own.
    #[error("Not authorized to perform {0}")]
    BearerDenied(&'static str),
    #[error(transparent)]
    Bearer(BearerError),
    #[error(transparent)]
    Grant(GrantError),
    #[error(transparent)]
    Identity(IdentityError),
    #[error("the parameters cannot be decoded")]
    NotUtf8,
    #[error("the body is longer than {max} bytes")]
    TooLarge { max: usize },
    #[error(transparent)]
    Body(BodyError),
    #[error(transparent)]
    Core(Error),
    #[error("{0}")]
    Internal(String),
}

impl From<Failure> for AwsFailure {
    fn from(failure: Failure) -> AwsFailure {
        match failure {
            Failure::UnknownKey(_) => AwsFailure::UnknownKey,
            Failure::UnknownToken => AwsFailure::UnknownToken,
            Failure::ExpiredToken => AwsFailure::ExpiredToken,
            Failure::Core(Error::Body(error)) => AwsFailure::Body(error),
            Failure::Core(error) => AwsFailure::Core(error),
            other => AwsFailure::Internal(other.to_string()),
        }
    }
}

impl From<GrantError> for AwsFailure {
    fn from(error: GrantError) -> AwsFailure {
        match error {
            GrantError::Store(error) => AwsFailure::Core(error),
            error => AwsFailure::Grant(error),
        }
    }
}

impl From<BearerError> for AwsFailure {
    fn from(error: BearerError) -> AwsFailure {
        match error {
            BearerError::Store(error) => AwsFailure::Core(error),
            error => AwsFailure::Bearer(error),
        }
    }
}

impl From<IdentityError> for AwsFailure {
    fn from(error: IdentityError) -> AwsFailure {
        match error {
            IdentityError::Store(error) => AwsFailure::Core(error),
            error => AwsFailure::Identity(error),
        }
    }
}

impl From<Error> for AwsFailure {
    fn from(error: Error) -> AwsFailure {
        AwsFailure::Core(error)
    }
}

impl AwsFailure {
    pub fn denied(key: &AccessKey, service: &str, action: &str) -> AwsFailure {
        AwsFailure::Denied {
            who: permission::caller_arn(key),
            action: format!("{service}:{action}"),
        }
    }

    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        match self {
            AwsFailure::Parse(ParseError::Missing("Authorization")) => {
                (FORBIDDEN, "MissingAuthenticationToken")
            }
            AwsFailure::Parse(_) => (BAD, "IncompleteSignature"),
            AwsFailure::Verify(_) => (FORBIDDEN, "SignatureDoesNotMatch"),
            AwsFailure::UnknownKey | AwsFailure::UnknownToken => {
                (FORBIDDEN, "InvalidClientTokenId")
            }
            AwsFailure::ExpiredToken => (FORBIDDEN, "ExpiredToken"),
            AwsFailure::MissingAction => (BAD, "MissingAction"),
            AwsFailure::InvalidAction(_) => (BAD, "InvalidAction"),
            AwsFailure::NotImplemented(_) | AwsFailure::UnknownParameter(_) => {
                (StatusCode::NOT_IMPLEMENTED, "NotImplemented")
            }
            AwsFailure::Missing(_) | AwsFailure::BadValue(_) => (BAD, "ValidationError"),
            AwsFailure::Invalid(_) => (BAD, "InvalidInput"),
            AwsFailure::Denied { .. } | AwsFailure::BearerDenied(_) => (FORBIDDEN, "AccessDenied"),
            AwsFailure::Bearer(error) => match error {
                BearerError::Expired(_) => (BAD, "ExpiredTokenException"),
                BearerError::Unreachable(_) => (BAD, "IDPCommunicationError"),
                BearerError::TooLong => (BAD, "ValidationError"),
                BearerError::Token(_)
                | BearerError::Claim(_)
                | BearerError::UnknownIssuer(_)
                | BearerError::Audience
                | BearerError::NotYet => (BAD, "InvalidIdentityToken"),
                BearerError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
            },
            AwsFailure::Grant(error) => match error {
                GrantError::Temporary => (FORBIDDEN, "AccessDenied"),
                GrantError::Policy(PolicyFault::TooLarge) | GrantError::TooLong => {
                    (BAD, "PackedPolicyTooLarge")
                }
                GrantError::Policy(fault) => malformed(fault),
                GrantError::Name
                | GrantError::NoDuration
                | GrantError::NoPolicy
                | GrantError::Tags
                | GrantError::SourceIdentity
                | GrantError::Duration { .. } => (BAD, "ValidationError"),
                GrantError::TagInherited(_) => (BAD, "InvalidParameterValue"),
                GrantError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
            },
            AwsFailure::Identity(error) => match error {
                IdentityError::Policy(fault) => malformed(fault),
                IdentityError::UserName { .. }
                | IdentityError::PolicyName { .. }
                | IdentityError::GroupName { .. }
                | IdentityError::RoleName { .. }
                | IdentityError::RoleDuration { .. }
                | IdentityError::TextTooLong { .. }
                | IdentityError::Path { .. }
                | IdentityError::ProviderName { .. } => (BAD, "ValidationError"),
                IdentityError::Tag
                | IdentityError::ProviderUrl
                | IdentityError::ProviderClient { .. }
                | IdentityError::ProviderKeys { .. }
                | IdentityError::Thumbprints { .. } => (BAD, "InvalidInput"),
                IdentityError::UserExists
                | IdentityError::PolicyExists
                | IdentityError::GroupExists
                | IdentityError::RoleExists
                | IdentityError::ProviderExists => (StatusCode::CONFLICT, "EntityAlreadyExists"),
                IdentityError::NoSuchUser
                | IdentityError::NoSuchKey
                | IdentityError::NoSuchPolicy
                | IdentityError::NotAttached
                | IdentityError::NoSuchGroup
                | IdentityError::NotMember
                | IdentityError::NoSuchRole
                | IdentityError::NoSuchProvider
                | IdentityError::NoSuchVersion
                | IdentityError::NoBoundary => (StatusCode::NOT_FOUND, "NoSuchEntity"),
                IdentityError::UserInUse
                | IdentityError::GroupInUse
                | IdentityError::RoleInUse
                | IdentityError::DefaultVersion => (StatusCode::CONFLICT, "DeleteConflict"),
                IdentityError::PresetPolicy => (FORBIDDEN, "AccessDenied"),
                IdentityError::TooManyKeys { .. }
                | IdentityError::TooManyPolicies { .. }
                | IdentityError::TooMuchInline { .. }
                | IdentityError::TooManyGroups { .. }
                | IdentityError::TooManyProviders { .. }
                | IdentityError::TooManyTags { .. }
                | IdentityError::TooManyVersions { .. }
                | IdentityError::TooManyClients { .. } => (StatusCode::CONFLICT, "LimitExceeded"),
                IdentityError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
            },
            AwsFailure::None(_) | AwsFailure::NoSuchInline => {
                (StatusCode::NOT_FOUND, "NoSuchEntity")
            }
            AwsFailure::PolicyInUse => (StatusCode::CONFLICT, "DeleteConflict"),
            AwsFailure::NotUtf8 | AwsFailure::Body(_) => (BAD, "MalformedQueryString"),
            AwsFailure::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            AwsFailure::Core(Error::StorageUnavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
            }
            AwsFailure::Core(_) | AwsFailure::Internal(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure")
            }
        }
    }

    /// Whether it is for who asks or what he may do.
    pub fn is_refusal(&self) -> bool {
        let of_token = matches!(
            self,
            AwsFailure::Bearer(
                BearerError::Token(_)
                    | BearerError::Claim(_)
                    | BearerError::UnknownIssuer(_)
                    | BearerError::Audience
                    | BearerError::Expired(_)
                    | BearerError::NotYet
            )
        );
        of_token || self.status_and_code().0 == StatusCode::FORBIDDEN
    }

    /// What the client is told.
    pub fn message(&self) -> String {
        match self {
            AwsFailure::Verify(VerifyError::Mismatch(_)) => "The request signature we calculated \
                does not match the signature you provided. Check your secret access key and \
                signing method."
                .into(),
            AwsFailure::UnknownKey | AwsFailure::UnknownToken => {
                "The security token included in the request is invalid.".into()
            }
            AwsFailure::ExpiredToken => {
                "The security token included in the request is expired".into()
            }
            AwsFailure::Bearer(BearerError::Unreachable(_)) => {
                "Couldn't retrieve verification key from your identity provider".into()
            }
            // What is wrong inside is for the log.
            AwsFailure::Core(_) | AwsFailure::Internal(_) => {
                "The service cannot answer at the moment.".into()
            }
            other => other.to_string(),
        }
    }
}

fn malformed(fault: &PolicyFault) -> (StatusCode, &'static str) {
    match fault {
        PolicyFault::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        _ => (StatusCode::BAD_REQUEST, "MalformedPolicyDocument"),
    }
}
