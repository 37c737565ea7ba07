//! What a report says of an object, and in which words.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use super::Form;
use super::sheet::{Kind, Value};
use crate::acl::{Acl, Grantee, ObjectAcl};
use crate::bucket::Bucket;
use crate::checksum::Checksum;
use crate::error::Result;
use crate::lock::RetentionMode;
use crate::percent;
use crate::record::{Content, ObjectRecord, Pair, StoredChecksum};
use crate::tiering::AccessTier;
use crate::version::Listed;

/// One that a client may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Size,
    LastModified,
    ETag,
    StorageClass,
    Multipart,
    Replication,
    Encryption,
    RetainUntil,
    LockMode,
    LegalHold,
    AccessTier,
    BucketKey,
    Checksum,
    Acl,
    Owner,
    Expiration,
    Tags,
    Crc64,
    /// All user metadata together.
    Metadata,
    /// Of this name, in lower case.
    MetadataOf(String),
}

const METADATA: &str = "x-cos-meta-";

const BOTH: [(&str, Column); 6] = [
    ("Size", Column::Size),
    ("LastModifiedDate", Column::LastModified),
    ("ETag", Column::ETag),
    ("StorageClass", Column::StorageClass),
    ("IsMultipartUploaded", Column::Multipart),
    ("ReplicationStatus", Column::Replication),
];

const COS: [(&str, Column); 3] =
    [("Tag", Column::Tags), ("Crc64", Column::Crc64), ("x-cos-meta-*", Column::Metadata)];

const S3: [(&str, Column); 10] = [
    ("EncryptionStatus", Column::Encryption),
    ("ObjectLockRetainUntilDate", Column::RetainUntil),
    ("ObjectLockMode", Column::LockMode),
    ("ObjectLockLegalHoldStatus", Column::LegalHold),
    ("IntelligentTieringAccessTier", Column::AccessTier),
    ("BucketKeyStatus", Column::BucketKey),
    ("ChecksumAlgorithm", Column::Checksum),
    ("ObjectAccessControlList", Column::Acl),
    ("ObjectOwner", Column::Owner),
    ("LifecycleExpirationDate", Column::Expiration),
];

fn named(form: Form) -> impl Iterator<Item = &'static (&'static str, Column)> {
    static OF_COS: [(&str, Column); 3] = COS;
    static OF_S3: [(&str, Column); 10] = S3;
    static OF_BOTH: [(&str, Column); 6] = BOTH;
    let own: &'static [_] = match form {
        Form::Cos => &OF_COS,
        Form::S3 => &OF_S3,
    };
    OF_BOTH.iter().chain(own)
}

impl Column {
    /// The one of a service that is called so.
    pub fn named(name: &str, form: Form) -> Option<Column> {
        let found = named(form).find(|(known, _)| *known == name);
        if let Some((_, column)) = found {
            return Some(column.clone());
        }
        let metadata = name.to_ascii_lowercase();
        let of = metadata.strip_prefix(METADATA).filter(|of| !of.is_empty())?;
        (form == Form::Cos).then(|| Column::MetadataOf(of.to_owned()))
    }

    pub fn name(&self) -> String {
        let named = [Form::Cos, Form::S3].into_iter().flat_map(named);
        match (self, named.into_iter().find(|(_, column)| column == self)) {
            (Column::MetadataOf(name), _) => format!("{METADATA}{name}"),
            (_, Some((name, _))) => (*name).to_owned(),
            (_, None) => String::new(),
        }
    }

    /// What its values are.
    pub fn kind(&self) -> Kind {
        match self {
            Column::Size => Kind::Number,
            Column::LastModified | Column::RetainUntil | Column::Expiration => Kind::Moment,
            Column::Multipart => Kind::Flag,
            _ => Kind::Text,
        }
    }

    pub fn value(&self, listed: &Listed<ObjectRecord>, of: &Context<'_>) -> Result<Value> {
        let record = &listed.record;
        // There is no more to a delete marker.
        if record.delete_marker && !matches!(self, Column::LastModified | Column::Owner) {
            return Ok(Value::Nothing);
        }
        let lock = record.lock.as_ref();
        let at = |ms: u64| if ms == 0 { Value::Nothing } else { Value::Moment(ms) };
        let said = |text: &str| match text {
            "" => Value::Nothing,
            text => Value::Text(text.to_owned()),
        };
        Ok(match self {
            Column::Size => Value::Number(record.size),
            Column::LastModified => at(record.modified_ms),
            Column::ETag => Value::Text(record.etag_text()),
            Column::StorageClass => match record.storage_class.as_str() {
                "" => said("STANDARD"),
                class => said(class),
            },
            Column::Multipart => {
                let parts = matches!(record.content, Some(Content::Parts(_)));
                Value::Flag(parts && !record.appendable)
            }
            // There is none.
            Column::Replication => Value::Nothing,
            Column::Encryption => said("NOT-SSE"),
            Column::BucketKey => said("DISABLED"),
            Column::RetainUntil => at(lock.map_or(0, |lock| lock.until_ms)),
            Column::LockMode => {
                let mode = lock.and_then(|lock| RetentionMode::from_number(lock.mode));
                mode.map_or(Value::Nothing, |mode| said(mode.name()))
            }
            Column::LegalHold => match lock.map_or(0, |lock| lock.legal_hold) {
                1 => said("On"),
                2 => said("Off"),
                _ if of.bucket.settings().lock.is_some() => said("Off"),
                _ => Value::Nothing,
            },
            Column::AccessTier => {
                record.access_tier(of.now_ms).map_or(Value::Nothing, |tier| said(tier_name(tier)))
            }
            Column::Checksum => {
                let kept: Vec<Checksum> =
                    record.checksums.iter().filter_map(StoredChecksum::get).collect();
                let names: Vec<_> = kept.iter().map(|kept| kept.algorithm.name()).collect();
                said(&names.join(","))
            }
            Column::Acl => Value::Text(BASE64.encode(acl(record, of.bucket)?.to_string())),
            Column::Owner => Value::Text(of.bucket.owner_uin.to_string()),
            Column::Expiration => at(of.expires_ms.unwrap_or_default()),
            Column::Tags => said(&tags(&record.tags)),
            Column::Crc64 => Value::Text(record.crc64.to_string()),
            Column::Metadata => {
                let all = user_metadata(record);
                let all = all.iter().map(|pair| (pair.name.clone(), pair.value.clone().into()));
                match all.collect::<serde_json::Map<String, Json>>() {
                    map if map.is_empty() => Value::Nothing,
                    map => Value::Text(Json::from(map).to_string()),
                }
            }
            Column::MetadataOf(name) => {
                let found = user_metadata(record).iter().find(|pair| pair.name == *name);
                found.map_or(Value::Nothing, |pair| said(&pair.value))
            }
        })
    }
}

/// The archives have other names in reports than elsewhere.
fn tier_name(tier: AccessTier) -> &'static str {
    match tier {
        AccessTier::Archive => "ARCHIVE",
        AccessTier::DeepArchive => "DEEP_ARCHIVE",
        tier => tier.name(),
    }
}

/// What of a row is not in its record.
pub(super) struct Context<'a> {
    pub bucket: &'a Bucket,
    pub now_ms: u64,
    /// When a rule removes it, if one does.
    pub expires_ms: Option<u64>,
}

impl Form {
    pub(super) fn boolean(self, is: bool) -> &'static str {
        match (self, is) {
            (Form::Cos, true) => "True",
            (Form::Cos, false) => "False",
            (Form::S3, true) => "true",
            (Form::S3, false) => "false",
        }
    }
}

fn user_metadata(record: &ObjectRecord) -> &[Pair] {
    record.metadata.as_ref().map_or(&[], |metadata| &metadata.user)
}

/// As in a request's header.
fn tags(tags: &[Pair]) -> String {
    let mut text = String::new();
    for Pair { name, value } in tags {
        let and = if text.is_empty() { "" } else { "&" };
        let _ = write!(text, "{and}{}={}", percent::encode(name), percent::encode(value));
    }
    text
}

fn acl(record: &ObjectRecord, bucket: &Bucket) -> Result<Json> {
    let acl = match ObjectAcl::of(record)? {
        ObjectAcl::Private => Acl::private(bucket.owner_uin),
        ObjectAcl::Inherits => bucket.acl()?,
        ObjectAcl::Own(acl) => acl,
    };
    let group = |name: &str| format!("http://acs.amazonaws.com/groups/global/{name}");
    let grants: Vec<Json> = acl
        .grants
        .iter()
        .map(|grant| {
            let permission = grant.permission.name();
            let uri = match grant.grantee {
                Grantee::User { uin, .. } => {
                    let id = uin.to_string();
                    return json!({
                        "canonicalId": id, "type": "CanonicalUser", "permission": permission
                    });
                }
                Grantee::AllUsers => group("AllUsers"),
                Grantee::AuthenticatedUsers => group("AuthenticatedUsers"),
            };
            json!({ "uri": uri, "type": "Group", "permission": permission })
        })
        .collect();
    Ok(json!({ "version": "2022-11-10", "status": "AVAILABLE", "grants": grants }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_called_as_they_are_asked_for() {
        for form in [Form::Cos, Form::S3] {
            for (name, column) in named(form) {
                assert_eq!(Column::named(name, form).as_ref(), Some(column));
                assert_eq!(column.name(), *name);
            }
        }
        let colour = Column::named("X-COS-Meta-Colour", Form::Cos).unwrap();
        assert_eq!(colour, Column::MetadataOf("colour".into()));
        assert_eq!(colour.name(), "x-cos-meta-colour");
        assert_eq!(Column::named("x-cos-meta-", Form::Cos), None);
        assert_eq!(Column::named("size", Form::Cos), None);
    }

    #[test]
    fn tiers_are_called_as_reports_call_them() {
        use AccessTier::{Archive, DeepArchive, Frequent, Infrequent};
        let names = [Frequent, Infrequent, Archive, DeepArchive].map(tier_name);
        assert_eq!(names, ["FREQUENT", "INFREQUENT", "ARCHIVE", "DEEP_ARCHIVE"]);
    }

    #[test]
    fn tags_are_escaped() {
        let pair = |name: &str, value: &str| Pair { name: name.into(), value: value.into() };
        assert_eq!(tags(&[pair("a b", "1&2"), pair("c", "")]), "a%20b=1%262&c=");
        assert_eq!(tags(&[]), "");
    }
}
