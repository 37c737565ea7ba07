//! Failures of API 3.0 and the codes they have there.

use costrel_core::account::{GrantError, IdentityError};
use costrel_core::{BodyError, Error};
use costrel_policy::PolicyFault;
use costrel_signature::CloudSignatureError;

use crate::error::Failure;
use crate::oidc::BearerError;

/// Why an action is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloudFailure {
    #[error(transparent)]
    Signature(#[from] CloudSignatureError),
    #[error("unknown secret id")]
    UnknownKey,
    #[error("unknown token")]
    UnknownToken,
    #[error("expired token")]
    ExpiredToken,
    #[error("there is no service {0}")]
    NoSuchProduct(String),
    #[error("the service has no such version")]
    NoSuchVersion,
    #[error("there is no action {0}")]
    InvalidAction(String),
    #[error("{0} is not implemented")]
    NotImplemented(&'static str),
    #[error("missing {0}")]
    Missing(&'static str),
    #[error("the type of value of parameter `{0}` is not valid")]
    BadType(&'static str),
    #[error("unknown parameter {0}")]
    UnknownParameter(String),
    #[error(transparent)]
    Grant(GrantError),
    #[error(transparent)]
    Identity(IdentityError),
    #[error("no permission for {0}")]
    Denied(&'static str),
    /// A role that is not there, and one that does not trust the caller or that he may
    /// not take on, are the same to him.
    #[error("there is no such role, or it may not be assumed")]
    RoleDenied,
    #[error(transparent)]
    Bearer(BearerError),
    #[error("the token is another identity provider's")]
    ForeignToken,
    #[error("{0} cannot have this value")]
    BadValue(&'static str),
    /// The same, where the services have a code of their own for it.
    #[error("{0}")]
    InvalidValue(&'static str),
    #[error("{parameter} is to be {want}")]
    Unwanted { parameter: &'static str, want: &'static str },
    #[error("no bucket that is billed has the tag")]
    NoTagKey,
    /// The service does it, this server does not.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    #[error("the parameters cannot be decoded")]
    NotUtf8,
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("the body is longer than {max} bytes")]
    TooLarge { max: usize },
    #[error(transparent)]
    Body(BodyError),
    #[error(transparent)]
    Core(Error),
    #[error("{0}")]
    Internal(String),
}

impl From<Failure> for CloudFailure {
    fn from(failure: Failure) -> CloudFailure {
        match failure {
            Failure::UnknownKey(_) => CloudFailure::UnknownKey,
            Failure::UnknownToken => CloudFailure::UnknownToken,
            Failure::ExpiredToken => CloudFailure::ExpiredToken,
            Failure::Core(Error::Body(error)) => CloudFailure::Body(error),
            Failure::Core(error) => CloudFailure::Core(error),
            other => CloudFailure::Internal(other.to_string()),
        }
    }
}

impl From<GrantError> for CloudFailure {
    fn from(error: GrantError) -> CloudFailure {
        match error {
            GrantError::Store(error) => CloudFailure::Core(error),
            error => CloudFailure::Grant(error),
        }
    }
}

impl From<BearerError> for CloudFailure {
    fn from(error: BearerError) -> CloudFailure {
        match error {
            BearerError::Store(error) => CloudFailure::Core(error),
            error => CloudFailure::Bearer(error),
        }
    }
}

impl From<IdentityError> for CloudFailure {
    fn from(error: IdentityError) -> CloudFailure {
        match error {
            IdentityError::Store(error) => CloudFailure::Core(error),
            error => CloudFailure::Identity(error),
        }
    }
}

impl From<Error> for CloudFailure {
    fn from(error: Error) -> CloudFailure {
        CloudFailure::Core(error)
    }
}

impl CloudFailure {
    pub fn code(&self) -> &'static str {
        use CloudSignatureError as Signature;
        match self {
            CloudFailure::Signature(error) => match error {
                Signature::Anonymous | Signature::Missing(_) => "MissingParameter",
                Signature::Malformed(_) => "AuthFailure.InvalidAuthorization",
                Signature::Expired { .. } => "AuthFailure.SignatureExpire",
                Signature::Mismatch(_) => "AuthFailure.SignatureFailure",
            },
            CloudFailure::UnknownKey => "AuthFailure.SecretIdNotFound",
            CloudFailure::UnknownToken | CloudFailure::ExpiredToken => "AuthFailure.TokenFailure",
            CloudFailure::NoSuchProduct(_) => "NoSuchProduct",
            CloudFailure::NoSuchVersion => "NoSuchVersion",
            CloudFailure::InvalidAction(_) => "InvalidAction",
            CloudFailure::NotImplemented(_) => "UnsupportedOperation",
            CloudFailure::Missing(_) => "MissingParameter",
            CloudFailure::BadType(_) => "InvalidParameter",
            CloudFailure::BadValue(_) => "InvalidParameter.ParamError",
            CloudFailure::InvalidValue(_) => "InvalidParameterValue",
            CloudFailure::Unwanted { .. } => "InvalidParameterValue",
            CloudFailure::NoTagKey => "FailedOperation.TagKeyNotExist",
            CloudFailure::Denied(_) => "AuthFailure.UnauthorizedOperation",
            CloudFailure::RoleDenied => "UnauthorizedOperation",
            CloudFailure::Bearer(_) | CloudFailure::ForeignToken => {
                "InvalidParameter.WebIdentityTokenError"
            }
            CloudFailure::Unsupported(_) => "UnsupportedOperation",
            CloudFailure::Identity(error) => code_of_identity(error),
            CloudFailure::Grant(error) => match error {
                GrantError::Temporary => "FailedOperation.TempKeyNotAllowed",
                GrantError::Name
                | GrantError::NoDuration
                | GrantError::NoPolicy
                | GrantError::Tags
                | GrantError::TagInherited(_)
                | GrantError::SourceIdentity => "InvalidParameter.ParamError",
                GrantError::Duration { .. } => "InvalidParameter.OverTimeError",
                GrantError::Policy(PolicyFault::TooLarge) | GrantError::TooLong => {
                    "InvalidParameter.PolicyTooLong"
                }
                // The service spells it so.
                GrantError::Policy(PolicyFault::Resource(_)) => "InvalidParameter.ResouceError",
                GrantError::Policy(PolicyFault::Unsupported(_)) => "UnsupportedOperation",
                GrantError::Policy(_) => "InvalidParameter.StrategyFormatError",
                GrantError::Store(_) => "InternalError",
            },
            CloudFailure::UnknownParameter(_) => "UnknownParameter",
            CloudFailure::NotUtf8 | CloudFailure::BadRequest(_) | CloudFailure::Body(_) => {
                "InvalidRequest"
            }
            CloudFailure::TooLarge { .. } => "RequestSizeLimitExceeded",
            CloudFailure::Core(Error::StorageUnavailable) => "ServiceUnavailable",
            CloudFailure::Core(_) | CloudFailure::Internal(_) => "InternalError",
        }
    }

    /// Whether it is for who asks or what he may do.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            CloudFailure::Signature(_)
                | CloudFailure::UnknownKey
                | CloudFailure::UnknownToken
                | CloudFailure::ExpiredToken
                | CloudFailure::Denied(_)
                | CloudFailure::RoleDenied
                | CloudFailure::Bearer(_)
                | CloudFailure::ForeignToken
        )
    }

    /// What the client is told.
    pub fn message(&self) -> String {
        use CloudSignatureError as Signature;
        match self {
            CloudFailure::Signature(Signature::Mismatch(_)) => "The provided credentials could \
                not be validated. Please check your signature is correct."
                .into(),
            CloudFailure::Signature(Signature::Anonymous) => "The request is not signed.".into(),
            CloudFailure::UnknownKey => "The SecretId is not found.".into(),
            CloudFailure::UnknownToken => "The token is not valid.".into(),
            CloudFailure::ExpiredToken => "The token has expired.".into(),
            CloudFailure::UnknownParameter(name) => {
                format!("The parameter `{name}` is not recognized.")
            }
            // What went wrong tells of what is behind a URL.
            CloudFailure::Bearer(BearerError::Unreachable(_)) => {
                "The keys of the identity provider cannot be fetched.".into()
            }
            // What is wrong inside is for the log.
            CloudFailure::Core(_) | CloudFailure::Internal(_) => {
                "The service cannot answer at the moment.".into()
            }
            other => other.to_string(),
        }
    }
}

/// Codes of CAM.
fn code_of_identity(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::UserName { .. } => "InvalidParameter.UserNameIllegal",
        IdentityError::PolicyName { .. } => "InvalidParameter.PolicyNameError",
        IdentityError::TextTooLong { .. } => "InvalidParameter.DescriptionLengthOverlimit",
        IdentityError::UserExists => "InvalidParameter.SubUserNameInUse",
        IdentityError::NoSuchUser => "ResourceNotFound.UserNotExist",
        IdentityError::UserInUse => "OperationDenied.HaveKeys",
        IdentityError::TooManyKeys { .. } => "OperationDenied.AccessKeyOverLimit",
        IdentityError::NoSuchKey | IdentityError::NotAttached => "ResourceNotFound.NotFound",
        IdentityError::PolicyExists => "FailedOperation.PolicyNameInUse",
        IdentityError::NoSuchPolicy => "ResourceNotFound.PolicyIdNotFound",
        IdentityError::TooManyPolicies { .. } | IdentityError::TooMuchInline { .. } => {
            "FailedOperation.PolicyFull"
        }
        IdentityError::GroupName { .. } => "InvalidParameter.ParamError",
        IdentityError::GroupExists => "InvalidParameter.GroupNameInUse",
        IdentityError::NoSuchGroup => "ResourceNotFound.GroupNotExist",
        IdentityError::GroupInUse => "FailedOperation",
        IdentityError::TooManyGroups { .. } => "InvalidParameter.UserGroupFull",
        IdentityError::NotMember => "ResourceNotFound.NotFound",
        IdentityError::RoleName { .. } => "InvalidParameter.RoleNameError",
        IdentityError::RoleExists => "InvalidParameter.RoleNameInUse",
        IdentityError::NoSuchRole => "InvalidParameter.RoleNotExist",
        IdentityError::RoleInUse => "FailedOperation",
        IdentityError::RoleDuration { .. } => "InvalidParameter.ParamError",
        // What IAM alone has.
        IdentityError::Path { .. }
        | IdentityError::Tag
        | IdentityError::TooManyTags { .. }
        | IdentityError::TooManyVersions { .. }
        | IdentityError::NoSuchVersion
        | IdentityError::DefaultVersion
        | IdentityError::PresetPolicy
        | IdentityError::NoBoundary => "InvalidParameter.ParamError",
        IdentityError::ProviderUrl
        | IdentityError::ProviderClient { .. }
        | IdentityError::ProviderKeys { .. }
        | IdentityError::Thumbprints { .. } => "InvalidParameterValue.InvalidParameterValue",
        IdentityError::ProviderName { .. } => "InvalidParameterValue.NameError",
        IdentityError::ProviderExists => "InvalidParameter.IdentityNameInUse",
        IdentityError::NoSuchProvider => "InvalidParameter.IdentityNotExist",
        IdentityError::TooManyProviders { .. } | IdentityError::TooManyClients { .. } => {
            "LimitExceeded.IdentityFull"
        }
        IdentityError::Policy(fault) => match fault {
            PolicyFault::TooLarge => "InvalidParameter.PolicyDocumentLengthOverLimit",
            PolicyFault::Version => "InvalidParameter.VersionError",
            PolicyFault::Effect(_) => "InvalidParameter.EffectError",
            PolicyFault::Principal(_) | PolicyFault::AllowNotPrincipal => {
                "InvalidParameter.PrincipalError"
            }
            PolicyFault::Action(_) => "InvalidParameter.ActionError",
            PolicyFault::Resource(_) => "InvalidParameter.ResourceError",
            PolicyFault::Operator(_) => "InvalidParameter.ConditionTypeError",
            PolicyFault::Key(_) | PolicyFault::ConditionValue(_) | PolicyFault::Variable(_) => {
                "InvalidParameter.ConditionContentError"
            }
            PolicyFault::Unsupported(_) => "UnsupportedOperation",
            PolicyFault::NotJson
            | PolicyFault::UnknownField(_)
            | PolicyFault::Duplicate(_)
            | PolicyFault::RepeatedSid(_)
            | PolicyFault::Missing(_)
            | PolicyFault::Opposites(_)
            | PolicyFault::Value(_) => "InvalidParameter.PolicyDocumentError",
        },
        IdentityError::Store(_) => "InternalError",
    }
}
