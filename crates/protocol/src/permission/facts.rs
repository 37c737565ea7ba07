//! What policies may know of a request.

use std::borrow::Cow;

use costrel_core::account::AccessKey;
use costrel_core::record::Pair;
use costrel_core::tags::Tags;
use costrel_policy::{Fact, Facts, Grant, Key, Value};
use costrel_signature::Form;
use costrel_signature::time::{parse_http_date, parse_iso_basic};
use http::header;

use super::{Need, names};
use crate::address::Domains;
use crate::attributes;
use crate::dialect::{Dialect, s3};
use crate::handlers::copy;
use crate::ops::Operation;
use crate::request::{ConnectionInfo, Request, TlsVersion};

/// Where it is to be done: in a bucket, or in an account that is to have one.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub region: &'a str,
    pub owner_uin: u64,
    /// The bucket's.
    pub tags: Option<&'a Tags>,
}

impl Place<'_> {
    /// What is known of the bucket's tags; `None` of anything else.
    pub fn fact(&self, key: &Key) -> Option<Fact<'static>> {
        match (key, self.tags) {
            (Key::ResourceTag(name), Some(tags)) => Some(tag_in_any_case(tags, name)),
            (Key::ResourceTags, Some(tags)) => {
                Some(Fact::Many(tags.as_slice().iter().map(pair).collect()))
            }
            (Key::ResourceTag(_) | Key::ResourceTags, None) => Some(Fact::Absent),
            _ => None,
        }
    }
}

/// A tag as CAM writes it.
fn pair(tag: &Pair) -> Cow<'static, str> {
    format!("{}&{}", tag.name, tag.value).into()
}

/// What a request says of the tags that it gives a bucket.
fn given_to_bucket(tags: &Tags, key: &Key) -> Fact<'static> {
    let given = tags.as_slice().iter();
    match key {
        Key::SessionTag(name) => tag_in_any_case(tags, name),
        Key::SessionTagKeys => Fact::Many(given.map(|tag| tag.name.clone().into()).collect()),
        _ => Fact::Many(given.map(pair).collect()),
    }
}

/// A request with what it is judged for.
pub(super) struct RequestFacts<'a> {
    pub request: &'a Request<'a>,
    pub place: Place<'a>,
    pub need: Need<'a>,
    pub existing_tags: Option<Tags>,
    pub now_ms: u64,
    /// By which hosts of buckets are known.
    pub domains: &'a Domains,
}

impl RequestFacts<'_> {
    /// A header of either dialect by its name behind the prefix, or a field of a
    /// form in its place.
    fn extension(&self, name: &str) -> Fact<'_> {
        let name = [self.request.dialect.headers().prefix, name].concat();
        self.header(&name)
    }

    fn header(&self, name: &str) -> Fact<'_> {
        if let Some(fields) = self.need.fields {
            let field = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
            return Fact::optional(field.map(|(_, value)| value.as_str()));
        }
        match self.request.headers.get(name).map(|value| std::str::from_utf8(value.as_bytes())) {
            None => Fact::Absent,
            Some(Ok(text)) => Fact::text(text),
            Some(Err(_)) => Fact::Unknown,
        }
    }

    /// What only requests have that say what a new object is like.
    fn of_new(&self, name: &str) -> Fact<'_> {
        match self.need.operation.creates() {
            true => self.extension(name),
            false => Fact::Absent,
        }
    }

    fn of_acl(&self, name: &str) -> Fact<'_> {
        match self.need.operation.takes_acl() {
            true => self.extension(name),
            false => Fact::Absent,
        }
    }

    /// Of a lock that may stand in a document as well, which is not read yet.
    fn of_lock(&self, name: &str) -> Fact<'_> {
        match self.need.operation {
            Operation::PutObjectRetention | Operation::PutObjectLegalHold => Fact::Unknown,
            _ => self.of_new(name),
        }
    }

    /// A date in whichever form it is obeyed in.
    fn lock_until(&self) -> Fact<'_> {
        match self.of_lock("object-lock-retain-until-date") {
            Fact::One(Value::Text(text)) => match attributes::lock_date(&text) {
                Some(ms) => Fact::One(Value::Time(ms as i64)),
                None => Fact::Unknown,
            },
            fact => fact,
        }
    }

    /// As it is obeyed: in any case, and in COS by another word too.
    fn metadata_directive(&self) -> Fact<'_> {
        match self.need.operation {
            Operation::CopyObject => {
                let name = &self.request.dialect.headers().metadata_directive;
                match copy::replaces(self.request, name) {
                    _ if self.request.header(name).is_none() => Fact::Absent,
                    Ok(true) => Fact::text("REPLACE"),
                    Ok(false) => Fact::text("COPY"),
                    Err(_) => Fact::Unknown,
                }
            }
            _ => Fact::Absent,
        }
    }

    /// However it is spelt, a policy means the same by `/bucket/key` and `bucket/key`, be
    /// it of a version or not: who is kept from a source is not to name it otherwise.
    fn copy_source(&self) -> Fact<'_> {
        if !matches!(self.need.operation, Operation::CopyObject | Operation::UploadPartCopy) {
            return Fact::Absent;
        }
        let text = match self.extension("copy-source") {
            Fact::One(Value::Text(text)) => text,
            fact => return fact,
        };
        match copy::parse_source(self.domains, self.request.dialect, &text) {
            Ok((bucket, key, _)) => {
                let plain = [bucket, key].join("/");
                Fact::Many(vec![text, ["/", &plain].concat().into(), plain.into()])
            }
            Err(_) => Fact::Unknown,
        }
    }

    /// A condition on what is there already. Forms have none that would be obeyed.
    fn condition(&self, name: &str) -> Fact<'_> {
        if self.need.fields.is_some() { Fact::Absent } else { self.header(name) }
    }

    /// A parameter of lists. Beside a key it means nothing.
    fn of_list(&self, name: &str) -> Option<&str> {
        let lists = self.need.operation.lists() && self.request.address.key.is_none();
        self.request.query.get(name).filter(|_| lists)
    }

    /// Whether what is tagged, if anything, is a bucket.
    fn tags_bucket(&self) -> bool {
        matches!(self.need.operation, Operation::CreateBucket | Operation::PutBucketTagging)
    }

    /// The tags that the request gives: `None` if they cannot be read.
    fn given_tags(&self) -> Option<Cow<'_, Tags>> {
        match self.need.tags {
            _ if self.tags_bucket() => Some(Cow::Owned(Tags::default())),
            Some(tags) => Some(Cow::Borrowed(tags)),
            None if self.need.operation == Operation::CopyObject => {
                let directive = &self.request.dialect.headers().tagging_directive;
                let replaces = self.request.header(directive).is_some_and(|directive| {
                    directive.get(..7).is_some_and(|front| front.eq_ignore_ascii_case("REPLACE"))
                });
                match replaces {
                    true => attributes::tags_of_request(self.request).ok().map(Cow::Owned),
                    false => Some(Cow::Owned(Tags::default())),
                }
            }
            None if self.need.operation.creates() => {
                attributes::tags_of_request(self.request).ok().map(Cow::Owned)
            }
            None => Some(Cow::Owned(Tags::default())),
        }
    }

    /// Of a signature of version 4, which says when it was made; others say when they end.
    fn signature_age(&self) -> Fact<'_> {
        let field = |fields: &'_ [(String, String)]| {
            let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("x-amz-date");
            fields.iter().find(named).and_then(|(_, date)| parse_iso_basic(date))
        };
        let made = match (self.need.fields, self.request.form) {
            (Some(fields), _) if self.request.identity.is_some() => field(fields),
            (Some(_), _) | (None, Form::Anonymous) => return Fact::Absent,
            (None, Form::S3V4Query) => {
                self.request.query.get("X-Amz-Date").and_then(parse_iso_basic)
            }
            (None, Form::S3V4Header) => match self.request.headers.get("x-amz-date") {
                Some(date) => date.to_str().ok().and_then(parse_iso_basic),
                None => self
                    .request
                    .header(&header::DATE)
                    .and_then(|date| parse_http_date(date).or_else(|| parse_iso_basic(date))),
            },
            (None, _) => None,
        };
        let made_ms = made.and_then(|made| u64::try_from(made).ok()).map(|made| made * 1000);
        number(made_ms.map(|made_ms| self.now_ms.saturating_sub(made_ms)))
    }

    fn content_length(&self) -> Fact<'_> {
        match self.request.header(&header::CONTENT_LENGTH) {
            Some(text) => number(text.trim().parse().ok()),
            None if self.request.headers.contains_key(header::TRANSFER_ENCODING) => Fact::Unknown,
            None => Fact::Absent,
        }
    }
}

fn number(number: Option<u64>) -> Fact<'static> {
    number.map_or(Fact::Unknown, |number| Fact::One(Value::Number(number)))
}

pub(super) fn tag(tags: &Tags, name: &str) -> Fact<'static> {
    let found = tags.as_slice().iter().find(|tag| tag.name == name);
    found.map_or(Fact::Absent, |tag| Fact::text(tag.value.clone()))
}

/// The same by a name that need not have its case: of all but objects, tags are asked for
/// so. (AWS.)
fn tag_in_any_case(tags: &Tags, name: &str) -> Fact<'static> {
    let lower = name.to_lowercase();
    let other = || tags.as_slice().iter().find(|tag| tag.name.to_lowercase() == lower);
    match tag(tags, name) {
        Fact::Absent => other().map_or(Fact::Absent, |tag| Fact::text(tag.value.clone())),
        exact => exact,
    }
}

/// What is known of the connection by itself, since headers say what their sender likes;
/// `None` of what a key has nothing to do with.
pub(super) fn of_connection(connection: &ConnectionInfo, key: &Key) -> Option<Fact<'static>> {
    Some(match key {
        Key::SourceIp => Fact::One(Value::Ip(connection.peer.ip().to_canonical())),
        Key::SecureTransport => Fact::One(Value::Bool(connection.is_secure())),
        Key::TlsVersion => Fact::optional(connection.tls.map(|version| match version {
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        })),
        _ => return None,
    })
}

/// What is known of whoever asks, and when; `None` of what a key has nothing to do with.
pub(super) fn of_caller<'a>(
    identity: Option<&'a AccessKey>,
    key: &Key,
    now_ms: u64,
) -> Option<Fact<'a>> {
    let account = identity.map(|key| &key.account);
    let session = identity.and_then(|key| key.session.as_deref());
    Some(match key {
        Key::CurrentTime => Fact::One(Value::Time(now_ms as i64)),
        Key::EpochTime => Fact::One(Value::Number(now_ms / 1000)),
        Key::UserId => match identity {
            Some(key) => Fact::text(names::user_id(key)),
            None => Fact::text("anonymous"),
        },
        Key::PrincipalAccount => match account {
            Some(account) => Fact::text(account.uin.to_string()),
            None => Fact::text("anonymous"),
        },
        Key::UserName => Fact::optional(identity.and_then(names::user_name)),
        Key::PrincipalType => Fact::text(identity.map_or("Anonymous", names::principal_type)),
        Key::PrincipalArn => {
            identity.map_or(Fact::Absent, |key| Fact::text(names::principal_arn(key)))
        }
        Key::PrincipalIsService | Key::ViaService => Fact::One(Value::Bool(false)),
        // Temporary keys may say of a second factor that it was shown; here none is.
        Key::MfaPresent if session.is_some() => Fact::One(Value::Bool(false)),
        Key::MfaPresent | Key::MfaAge => Fact::Absent,
        Key::TokenIssueTime => match session {
            Some(session) => Fact::One(Value::Time(session.issued_ms as i64)),
            None => Fact::Absent,
        },
        Key::SourceArn | Key::SourceAccount => Fact::Absent,
        Key::PrincipalTag(name) => Fact::optional(identity.and_then(|key| key.tag(name))),
        Key::SourceIdentity => {
            let said = session.map(|session| session.said.source_identity.as_str());
            Fact::optional(said.filter(|text| !text.is_empty()))
        }
        // A role has a number of another kind.
        Key::Uin => match identity.filter(|key| key.role().is_none()) {
            Some(key) => Fact::text(key.uin().to_string()),
            None => Fact::Absent,
        },
        Key::OwnerUin => {
            account.map_or(Fact::Absent, |account| Fact::text(account.uin.to_string()))
        }
        Key::AppId => account.map_or(Fact::Absent, |account| Fact::text(account.appid.to_string())),
        _ => return None,
    })
}

impl Facts for RequestFacts<'_> {
    fn fact(&self, key: &Key) -> Fact<'_> {
        let identity = self.request.identity.as_deref();
        if let Some(fact) = of_caller(identity, key, self.now_ms) {
            return fact;
        }
        if let Some(fact) = of_connection(&self.request.connection, key) {
            return fact;
        }
        let account = identity.map(|key| &key.account);
        match key {
            Key::UserAgent => Fact::optional(self.request.header(&header::USER_AGENT)),
            Key::Referer => Fact::optional(self.request.header(&header::REFERER)),
            // Of whoever takes on a role.
            Key::ExternalId
            | Key::RoleSessionName
            | Key::NewSourceIdentity
            | Key::TransitiveTagKeys
            | Key::Claim { .. } => Fact::Absent,
            Key::SessionTag(_) | Key::SessionTagKeys | Key::RequestTags => {
                match (self.tags_bucket(), self.need.tags) {
                    (false, _) => Fact::Absent,
                    (true, Some(tags)) => given_to_bucket(tags, key),
                    (true, None) => Fact::Unknown,
                }
            }
            // Told above.
            Key::SourceIp
            | Key::SecureTransport
            | Key::TlsVersion
            | Key::CurrentTime
            | Key::EpochTime
            | Key::UserId
            | Key::UserName
            | Key::PrincipalType
            | Key::PrincipalAccount
            | Key::PrincipalArn
            | Key::PrincipalIsService
            | Key::ViaService
            | Key::MfaPresent
            | Key::MfaAge
            | Key::TokenIssueTime
            | Key::SourceArn
            | Key::SourceAccount
            | Key::PrincipalTag(_)
            | Key::SourceIdentity
            | Key::Uin
            | Key::OwnerUin
            | Key::AppId => Fact::Unknown,
            Key::RequestedRegion => Fact::text(self.place.region),
            Key::ResourceAccount => Fact::text(format!("{:012}", self.place.owner_uin)),

            Key::AuthType => match self.request.form {
                _ if self.need.fields.is_some() && account.is_some() => Fact::text("POST"),
                Form::Anonymous | Form::Unknown => Fact::Absent,
                Form::CosHeader | Form::S3V4Header | Form::S3V2Header => Fact::text("REST-HEADER"),
                Form::CosQuery | Form::CosMerged | Form::S3V4Query | Form::S3V2Query => {
                    Fact::text("REST-QUERY-STRING")
                }
            },
            Key::SignatureVersion => match self.request.form {
                // Which one a form has, its fields say.
                _ if self.need.fields.is_some() => Fact::Unknown,
                Form::Anonymous | Form::Unknown => Fact::Absent,
                Form::CosHeader | Form::CosQuery | Form::CosMerged => Fact::text("sha1"),
                Form::S3V4Header | Form::S3V4Query => Fact::text("AWS4-HMAC-SHA256"),
                Form::S3V2Header | Form::S3V2Query => Fact::text("AWS"),
            },
            Key::SignatureAge => self.signature_age(),
            Key::ContentSha256 => self.header("x-amz-content-sha256"),

            Key::Prefix => Fact::optional(self.need.prefix.or(self.of_list("prefix"))),
            Key::Delimiter => Fact::optional(self.of_list("delimiter")),
            Key::MaxKeys => {
                let name = match self.need.operation {
                    Operation::ListMultipartUploads => "max-uploads",
                    _ => "max-keys",
                };
                match self.of_list(name) {
                    None => Fact::Absent,
                    Some(text) => number(text.parse().ok()),
                }
            }
            Key::VersionId => Fact::optional(self.need.version),
            Key::Acl => match self.of_acl("acl") {
                // A form has a field of its own for it.
                Fact::Absent if self.need.fields.is_some() => self.header("acl"),
                fact => fact,
            },
            Key::Grant(grant) => self.of_acl(match grant {
                Grant::Read => "grant-read",
                Grant::Write => "grant-write",
                Grant::ReadAcp => "grant-read-acp",
                Grant::WriteAcp => "grant-write-acp",
                Grant::FullControl => "grant-full-control",
            }),
            Key::StorageClass => self.of_new("storage-class"),
            Key::CopySource => self.copy_source(),
            Key::MetadataDirective => self.metadata_directive(),
            Key::Encryption => self.of_new("server-side-encryption"),
            Key::EncryptionKeyId => self.of_new("server-side-encryption-aws-kms-key-id"),
            Key::WebsiteRedirect => self.of_new("website-redirect-location"),
            Key::ObjectOwnership => match (self.need.operation, self.request.dialect) {
                (Operation::CreateBucket, Dialect::S3) => {
                    self.header(s3::OBJECT_OWNERSHIP.as_str())
                }
                // Of a bucket that is there, its body says it.
                (Operation::PutOwnershipControls, _) => Fact::Unknown,
                _ => Fact::Absent,
            },
            Key::IfMatch => self.condition("if-match"),
            Key::IfNoneMatch => self.condition("if-none-match"),
            Key::ContentType => self.header("content-type"),
            Key::ContentLength => self.content_length(),
            Key::ResponseContentType => {
                Fact::optional(self.request.query.get("response-content-type"))
            }
            Key::LockMode => self.of_lock("object-lock-mode"),
            Key::LockUntil => self.lock_until(),
            Key::LegalHold => self.of_lock("object-lock-legal-hold"),
            Key::RequestTag(name) => match self.given_tags() {
                Some(tags) => tag(&tags, name),
                None => Fact::Unknown,
            },
            Key::RequestTagKeys => match self.given_tags() {
                Some(tags) => {
                    let names = tags.as_slice().iter().map(|tag| tag.name.clone().into());
                    Fact::Many(names.collect())
                }
                None => Fact::Unknown,
            },
            Key::ExistingTag(name) => match &self.existing_tags {
                Some(tags) => tag(tags, name),
                None => Fact::Absent,
            },
            Key::ResourceTag(_) | Key::ResourceTags => self.place.fact(key).unwrap_or(Fact::Absent),
        }
    }
}

#[cfg(test)]
mod tests {
    use costrel_core::record::Pair;

    use super::*;

    /// A Deny on `prod` is one on `Prod`, too.
    #[test]
    fn tags_of_buckets_are_found_in_any_case() {
        let pair = |name: &str, value: &str| Pair { name: name.into(), value: value.into() };
        let tags = Tags::of_bucket(vec![pair("Team", "red"), pair("env", "1"), pair("ENV", "2")]);
        let tags = tags.unwrap();
        let place = Place { region: "", owner_uin: 1, tags: Some(&tags) };
        let said = |name: &str| place.fact(&Key::ResourceTag(name.into()));
        assert_eq!(said("Team"), Some(Fact::text("red")));
        assert_eq!(said("tEAM"), Some(Fact::text("red")));
        assert_eq!(said("teams"), Some(Fact::Absent));
        // One that is spelt so comes first.
        assert_eq!((said("env"), said("ENV")), (Some(Fact::text("1")), Some(Fact::text("2"))));
    }
}
