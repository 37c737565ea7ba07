//! Condition keys: what policies may ask about a request. The two services have
//! names of their own for mostly the same things.

/// What a condition or a variable asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    SourceIp,
    SecureTransport,
    /// Of an encrypted connection, as a number: 1.2.
    TlsVersion,
    CurrentTime,
    EpochTime,
    UserAgent,
    Referer,
    UserId,
    UserName,
    PrincipalType,
    PrincipalAccount,
    PrincipalArn,
    PrincipalIsService,
    ViaService,
    /// Whether a second factor was shown, and how long ago: keys have none.
    MfaPresent,
    MfaAge,
    TokenIssueTime,
    /// On whose behalf a service asks.
    SourceArn,
    SourceAccount,
    RequestedRegion,
    ResourceAccount,
    AuthType,
    SignatureVersion,
    /// How long ago it was made, in milliseconds.
    SignatureAge,
    ContentSha256,
    Prefix,
    Delimiter,
    MaxKeys,
    VersionId,
    Acl,
    Grant(Grant),
    StorageClass,
    CopySource,
    MetadataDirective,
    Encryption,
    EncryptionKeyId,
    WebsiteRedirect,
    /// Of a new bucket.
    ObjectOwnership,
    IfMatch,
    IfNoneMatch,
    ContentType,
    ContentLength,
    ResponseContentType,
    LockMode,
    LockUntil,
    LegalHold,
    /// A tag that the request gives.
    RequestTag(Box<str>),
    RequestTagKeys,
    /// Tags that the request gives a bucket, or a role's key, as CAM writes them: `key&value`.
    RequestTags,
    /// A tag that the object has.
    ExistingTag(Box<str>),
    /// A tag of the bucket, or of whomever or whatever in the account it is done to; and
    /// all of them, as CAM writes them: `key&value`.
    ResourceTag(Box<str>),
    ResourceTags,
    /// What whoever takes on a role says that its owner told him.
    ExternalId,
    /// What he wants to be called.
    RoleSessionName,
    /// Who he says that he is in truth.
    NewSourceIdentity,
    /// A tag that he wants his key to have, and the names of all of them.
    SessionTag(Box<str>),
    SessionTagKeys,
    /// The names of those that keys have, too, which are asked for with it.
    TransitiveTagKeys,
    /// A tag of the caller: of his key, else of the user or the role.
    PrincipalTag(Box<str>),
    /// Who whoever took on a role said that he is in truth.
    SourceIdentity,
    /// What the token says by which he takes it on: to an issuer's name in IAM, whoever
    /// issued it in CAM.
    Claim {
        issuer: Option<Box<str>>,
        claim: Claim,
    },
    /// CAM's numbers of the caller.
    Uin,
    OwnerUin,
    AppId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    Read,
    Write,
    ReadAcp,
    WriteAcp,
    FullControl,
}

/// What an identity provider's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    Issuer,
    /// Whom it is for: the party that asked for it, if it names one.
    Audience,
    /// Whom it is for beside the party that asked for it.
    OriginalAudience,
    AuthorizedParty,
    Subject,
    /// How the subject has shown who he is.
    Methods,
}

impl Claim {
    /// What policies call it, in lower case.
    fn name(self) -> &'static str {
        match self {
            Claim::Issuer => "iss",
            Claim::Audience => "aud",
            Claim::OriginalAudience => "oaud",
            Claim::AuthorizedParty => "azp",
            Claim::Subject => "sub",
            Claim::Methods => "amr",
        }
    }
}

impl Key {
    /// The key of a name in either grammar, if it can be known.
    pub fn named(name: &str) -> Option<Key> {
        of_iam(name).or_else(|_| of_cam(name)).ok()
    }

    /// Its name, IAM's where both have one.
    pub fn name(&self) -> String {
        let known = |known: &&(&str, Key)| known.1 == *self;
        match (self, IAM.iter().chain(CAM).find(known)) {
            (_, Some((name, _))) => (*name).to_owned(),
            (Key::RequestTag(tag), _) => format!("s3:requestobjecttag/{tag}"),
            (Key::ExistingTag(tag), _) => format!("s3:existingobjecttag/{tag}"),
            (Key::SessionTag(tag), _) => format!("aws:requesttag/{tag}"),
            (Key::ResourceTag(tag), _) => format!("aws:resourcetag/{tag}"),
            (Key::PrincipalTag(tag), _) => format!("aws:principaltag/{tag}"),
            (Key::Claim { issuer, claim }, _) => {
                let issuer = issuer.as_deref().unwrap_or("oidc");
                format!("{issuer}:{}", claim.name())
            }
            (Key::Uin, _) => "uin".to_owned(),
            (Key::OwnerUin, _) => "owner_uin".to_owned(),
            (_, None) => "app_id".to_owned(),
        }
    }
}

/// A name that means nothing here.
pub(crate) enum Unnamed {
    /// The service has it; it cannot be known here.
    Unsupported,
    NoSuchKey,
}

/// IAM's keys, by their lower-case names.
const IAM: &[(&str, Key)] = &[
    ("aws:sourceip", Key::SourceIp),
    ("aws:securetransport", Key::SecureTransport),
    ("s3:tlsversion", Key::TlsVersion),
    ("aws:currenttime", Key::CurrentTime),
    ("aws:epochtime", Key::EpochTime),
    ("aws:useragent", Key::UserAgent),
    ("aws:referer", Key::Referer),
    ("aws:userid", Key::UserId),
    ("aws:username", Key::UserName),
    ("aws:principaltype", Key::PrincipalType),
    ("aws:principalaccount", Key::PrincipalAccount),
    ("aws:principalarn", Key::PrincipalArn),
    ("aws:principalisawsservice", Key::PrincipalIsService),
    ("aws:viaawsservice", Key::ViaService),
    ("aws:multifactorauthpresent", Key::MfaPresent),
    ("aws:multifactorauthage", Key::MfaAge),
    ("aws:tokenissuetime", Key::TokenIssueTime),
    ("aws:sourcearn", Key::SourceArn),
    ("aws:sourceaccount", Key::SourceAccount),
    ("aws:requestedregion", Key::RequestedRegion),
    ("aws:resourceaccount", Key::ResourceAccount),
    ("s3:resourceaccount", Key::ResourceAccount),
    ("s3:authtype", Key::AuthType),
    ("s3:signatureversion", Key::SignatureVersion),
    ("s3:signatureage", Key::SignatureAge),
    ("s3:x-amz-content-sha256", Key::ContentSha256),
    ("s3:prefix", Key::Prefix),
    ("s3:delimiter", Key::Delimiter),
    ("s3:max-keys", Key::MaxKeys),
    ("s3:versionid", Key::VersionId),
    ("s3:x-amz-acl", Key::Acl),
    ("s3:x-amz-grant-read", Key::Grant(Grant::Read)),
    ("s3:x-amz-grant-write", Key::Grant(Grant::Write)),
    ("s3:x-amz-grant-read-acp", Key::Grant(Grant::ReadAcp)),
    ("s3:x-amz-grant-write-acp", Key::Grant(Grant::WriteAcp)),
    ("s3:x-amz-grant-full-control", Key::Grant(Grant::FullControl)),
    ("s3:x-amz-storage-class", Key::StorageClass),
    ("s3:x-amz-copy-source", Key::CopySource),
    ("s3:x-amz-metadata-directive", Key::MetadataDirective),
    ("s3:x-amz-server-side-encryption", Key::Encryption),
    ("s3:x-amz-server-side-encryption-aws-kms-key-id", Key::EncryptionKeyId),
    ("s3:x-amz-website-redirect-location", Key::WebsiteRedirect),
    ("s3:x-amz-object-ownership", Key::ObjectOwnership),
    ("s3:if-match", Key::IfMatch),
    ("s3:if-none-match", Key::IfNoneMatch),
    ("s3:object-lock-mode", Key::LockMode),
    ("s3:object-lock-retain-until-date", Key::LockUntil),
    ("s3:object-lock-legal-hold", Key::LegalHold),
    ("s3:requestobjecttagkeys", Key::RequestTagKeys),
    ("sts:externalid", Key::ExternalId),
    ("sts:rolesessionname", Key::RoleSessionName),
    ("sts:sourceidentity", Key::NewSourceIdentity),
    ("sts:transitivetagkeys", Key::TransitiveTagKeys),
    ("aws:tagkeys", Key::SessionTagKeys),
    ("aws:sourceidentity", Key::SourceIdentity),
];

/// IAM's keys that exist and cannot be known here, lower-case; with a slash at the
/// end those that have a name behind it.
const IAM_UNSUPPORTED: &[&str] = &[
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourcevpcarn",
    "aws:vpcsourceip",
    "aws:vpceaccount",
    "aws:vpceorgid",
    "aws:vpceorgpaths",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:principalservicenameslist",
    "aws:resourceorgid",
    "aws:resourceorgpaths",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:federatedprovider",
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:assumedroot",
    "s3:x-amz-server-side-encryption-customer-algorithm",
    "s3:object-lock-remaining-retention-days",
    "s3:objectcreationoperation",
    "s3:locationconstraint",
    "s3:inventoryaccessibleoptionalfields",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:accesspointnetworkorigin",
    "s3:accesspointtag/",
];

pub(crate) fn of_iam(name: &str) -> Result<Key, Unnamed> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, key)) = IAM.iter().find(|(known, _)| *known == lower) {
        return Ok(key.clone());
    }
    // What stands behind the slash is a tag's name, as it is.
    if let Some((kind, tag)) = name.split_once('/').filter(|(_, tag)| !tag.is_empty()) {
        match kind.to_ascii_lowercase().as_str() {
            "s3:requestobjecttag" => return Ok(Key::RequestTag(tag.into())),
            "s3:existingobjecttag" => return Ok(Key::ExistingTag(tag.into())),
            "aws:requesttag" => return Ok(Key::SessionTag(tag.into())),
            "aws:principaltag" => return Ok(Key::PrincipalTag(tag.into())),
            "aws:resourcetag" | "iam:resourcetag" | "s3:buckettag" => {
                return Ok(Key::ResourceTag(tag.into()));
            }
            _ => {}
        }
    }
    if let Some(key) = claim_of_issuer(name) {
        return Ok(key);
    }
    let known = |known: &&str| match known.strip_suffix('/') {
        Some(kind) => lower.split_once('/').is_some_and(|(front, _)| front == kind),
        None => **known == lower,
    };
    match IAM_UNSUPPORTED.iter().any(known) {
        true => Err(Unnamed::Unsupported),
        false => Err(Unnamed::NoSuchKey),
    }
}

/// Those that a key of IAM may ask for: it has the issuer in its name.
const CLAIMS_OF_ISSUER: [Claim; 5] = [
    Claim::Audience,
    Claim::OriginalAudience,
    Claim::AuthorizedParty,
    Claim::Subject,
    Claim::Methods,
];

/// `token.example.com/path:sub`. What has neither a dot nor a port is a service of AWS.
fn claim_of_issuer(name: &str) -> Option<Key> {
    let (issuer, claim) = name.rsplit_once(':')?;
    let mut claims = CLAIMS_OF_ISSUER.into_iter();
    let claim = claims.find(|known| claim.eq_ignore_ascii_case(known.name()))?;
    let host = issuer.split('/').next().filter(|host| host.contains(['.', ':']))?;
    let is_host = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-_[]".contains(&b));
    is_host.then(|| Key::Claim { issuer: Some(issuer.into()), claim })
}

/// Keys of CAM and of COS, which tell cases apart.
const CAM: &[(&str, Key)] = &[
    ("qcs:ip", Key::SourceIp),
    ("qcs:current_time", Key::CurrentTime),
    ("qcs:resource_tag", Key::ResourceTags),
    ("qcs:request_tag", Key::RequestTags),
    ("cos:secure-transport", Key::SecureTransport),
    ("cos:tls-version", Key::TlsVersion),
    ("cos:prefix", Key::Prefix),
    ("cos:delimiter", Key::Delimiter),
    ("cos:max-keys", Key::MaxKeys),
    ("cos:versionid", Key::VersionId),
    ("cos:x-cos-acl", Key::Acl),
    ("cos:x-cos-storage-class", Key::StorageClass),
    ("cos:x-cos-server-side-encryption", Key::Encryption),
    ("cos:content-type", Key::ContentType),
    ("cos:content-length", Key::ContentLength),
    ("cos:response-content-type", Key::ResponseContentType),
    ("sts:external_id", Key::ExternalId),
    ("oidc:iss", Key::Claim { issuer: None, claim: Claim::Issuer }),
    ("oidc:aud", Key::Claim { issuer: None, claim: Claim::Audience }),
    ("oidc:sub", Key::Claim { issuer: None, claim: Claim::Subject }),
];

const CAM_UNSUPPORTED: &[&str] = &["qcs:vpc", "vpc:requester_vpc", "vpc:requester_vpcid"];

pub(crate) fn of_cam(name: &str) -> Result<Key, Unnamed> {
    if let Some((_, key)) = CAM.iter().find(|(known, _)| *known == name) {
        return Ok(key.clone());
    }
    match CAM_UNSUPPORTED.contains(&name) {
        true => Err(Unnamed::Unsupported),
        false => Err(Unnamed::NoSuchKey),
    }
}

/// What may stand as a variable in a policy of IAM: keys of one value.
pub(crate) fn variable_of_iam(name: &str) -> Option<Key> {
    let one = |key: &Key| {
        let several = matches!(
            key,
            Key::RequestTagKeys
                | Key::SessionTagKeys
                | Key::TransitiveTagKeys
                | Key::ResourceTags
                | Key::Claim { .. }
        );
        !several
    };
    of_iam(name).ok().filter(one)
}

pub(crate) fn variable_of_cam(name: &str) -> Option<Key> {
    match name {
        "uin" => Some(Key::Uin),
        "owner_uin" => Some(Key::OwnerUin),
        "app_id" => Some(Key::AppId),
        _ => None,
    }
}
