//! ACLs in the words of both dialects: canned by name, grants in headers or fields of
//! a form, documents.
//!
//! A grantee is an account or one of its users, by the number that COS calls uin. S3's
//! canonical id is that number; COS writes `qcs::cam::uin/ACCOUNT:uin/USER`, in headers
//! also `ACCOUNT/USER` or the number alone. Each form is understood in both dialects.

use costrel_core::account::{IdentityError, Uin};
use costrel_core::acl::{Acl, CannedAcl, Grant, Grantee, ObjectAcl, Permission};
use costrel_core::bucket::Bucket;
use http::HeaderName;

use crate::dialect::Dialect;
use crate::error::{AclFault, Failure};
use crate::gateway::Gateway;
use crate::request::{Outcome, Request, bad_header};
use crate::xml::{AclDocument, GranteeName};

/// What a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Bucket,
    Object,
}

/// What headers say, before anybody is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Nothing,
    /// COS: the bucket's.
    Default,
    Canned(CannedAcl),
    Grants(Vec<(GranteeName, Permission)>),
}

impl Said {
    /// Whether it leaves everything to the owner.
    pub fn is_private(&self, owner_uin: u64) -> bool {
        let is_owners = |name: &GranteeName| match name {
            GranteeName::Id(id) => split_id(id).is_some_and(|(_, uin)| uin.get() == owner_uin),
            GranteeName::Group(_) | GranteeName::Email(_) => false,
        };
        match self {
            Said::Nothing | Said::Default => true,
            Said::Canned(canned) => canned.is_private(),
            Said::Grants(grants) => grants.iter().all(|(name, _)| is_owners(name)),
        }
    }

    /// Whether it may be said of something in a bucket. Where ACLs count for nothing,
    /// S3 lets nobody speak of them but to give the owner everything.
    pub fn suits(&self, dialect: Dialect, bucket: &Bucket) -> bool {
        !bucket.disables_acls()
            || match (self, dialect) {
                (Said::Canned(canned), Dialect::S3) => *canned == CannedAcl::BucketOwnerFullControl,
                _ => self.is_private(bucket.owner_uin),
            }
    }
}

/// What a request's headers say.
pub fn of_headers(request: &Request<'_>, subject: Subject) -> Outcome<Said> {
    let values = |name: &HeaderName| {
        let values = request.headers.get_all(name).iter();
        let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!texts.is_empty()).then(|| texts.join(","))
    };
    said(request.dialect, subject, values)
}

/// What a request's headers say of the object that it makes. Both whoever permits it and
/// whoever obeys it ask.
pub fn of_object_headers<'a>(request: &'a Request<'_>) -> Outcome<&'a Said> {
    if let Some(said) = request.acl.get() {
        return Ok(said);
    }
    let said = of_headers(request, Subject::Object)?;
    Ok(request.acl.get_or_init(|| said))
}

/// What a form's fields say. The canned name has a field of its own.
pub fn of_fields(dialect: Dialect, fields: &[(String, String)]) -> Outcome<Said> {
    let acl = &dialect.headers().acl;
    let value = |name: &HeaderName| {
        let is_meant = |field: &str| {
            field.eq_ignore_ascii_case(name.as_str())
                || (name == acl && field.eq_ignore_ascii_case("acl"))
        };
        fields.iter().find(|(field, _)| is_meant(field)).map(|(_, value)| value.clone())
    };
    said(dialect, Subject::Object, value)
}

fn said(
    dialect: Dialect,
    subject: Subject,
    value: impl Fn(&HeaderName) -> Option<String>,
) -> Outcome<Said> {
    let names = dialect.headers();
    let mut grants = Vec::new();
    for (name, permission) in &names.grants {
        let Some(text) = value(name).filter(|text| !text.trim().is_empty()) else { continue };
        // S3 keeps it of an object, though it means nothing there.
        if *permission == Permission::Write && (subject, dialect) == (Subject::Object, Dialect::Cos)
        {
            return Err(bad_header(name, &text, "Objects have no such permission."));
        }
        for grantee in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let named = grantee_name(grantee);
            let named = named.ok_or_else(|| bad_header(name, grantee, "Not a grantee."))?;
            grants.push((named, *permission));
        }
    }
    let canned = value(&names.acl).filter(|text| !text.is_empty());
    match (canned, grants.is_empty()) {
        (None, true) => Ok(Said::Nothing),
        (None, false) => Ok(Said::Grants(grants)),
        (Some(_), false) => Err(AclFault::CannedAndGrants.into()),
        (Some(text), true) => canned_acl(dialect, subject, &text),
    }
}

fn canned_acl(dialect: Dialect, subject: Subject, text: &str) -> Outcome<Said> {
    let name = &dialect.headers().acl;
    if let "log-delivery-write" | "aws-exec-read" = text
        && dialect == Dialect::S3
    {
        return Err(Failure::NotImplemented(text.to_owned().into()));
    }
    let canned = CannedAcl::from_name(text);
    let known = match (dialect, subject) {
        (Dialect::Cos, Subject::Object) if text == "default" => return Ok(Said::Default),
        (Dialect::Cos, Subject::Object) => canned.filter(|c| *c != CannedAcl::PublicReadWrite),
        (Dialect::Cos, Subject::Bucket) => canned.filter(|canned| {
            !matches!(canned, CannedAcl::BucketOwnerRead | CannedAcl::BucketOwnerFullControl)
        }),
        // Of a bucket, S3 passes over what is about objects.
        (Dialect::S3, _) => canned,
    };
    match known {
        Some(canned) => Ok(Said::Canned(canned)),
        None => Err(bad_header(name, text, "Not a canned ACL.")),
    }
}

/// `id="…"`, `uin="…"`, `uri="…"` or `emailAddress="…"`, the quotes being optional.
fn grantee_name(text: &str) -> Option<GranteeName> {
    let (kind, value) = text.split_once('=')?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    Some(match kind.trim().to_ascii_lowercase().as_str() {
        "id" | "uin" => GranteeName::Id(value.into()),
        "uri" => GranteeName::Group(value.into()),
        "emailaddress" => GranteeName::Email(value.into()),
        _ => return None,
    })
}

/// The list that a request's headers give to a new object.
pub async fn of_new_object(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
) -> Outcome<ObjectAcl> {
    let said = of_object_headers(request)?.clone();
    gateway.object_acl(request.dialect, bucket, said).await
}

impl Gateway {
    /// What is said of an object. Who says nothing means its bucket's list in COS, and
    /// a private one in S3.
    pub(crate) async fn object_acl(
        &self,
        dialect: Dialect,
        bucket: &Bucket,
        said: Said,
    ) -> Outcome<ObjectAcl> {
        let owner = bucket.owner_uin;
        if !said.suits(dialect, bucket) {
            return Err(costrel_core::Error::AclsDisabled.into());
        }
        Ok(match said {
            Said::Nothing if dialect == Dialect::Cos => ObjectAcl::Inherits,
            Said::Default => ObjectAcl::Inherits,
            Said::Nothing => ObjectAcl::Private,
            Said::Canned(canned) if canned.is_private() => ObjectAcl::Private,
            Said::Canned(canned) => ObjectAcl::Own(Acl::canned(canned, owner)),
            Said::Grants(grants) => ObjectAcl::Own(self.resolve(dialect, owner, &grants).await?),
        })
    }

    /// What is said of a bucket whose owner this is; `None` if nothing is.
    pub(crate) async fn bucket_acl(
        &self,
        dialect: Dialect,
        owner: u64,
        said: Said,
    ) -> Outcome<Option<Acl>> {
        Ok(match said {
            Said::Nothing | Said::Default => None,
            Said::Canned(canned) => Some(Acl::canned(canned, owner)),
            Said::Grants(grants) => Some(self.resolve(dialect, owner, &grants).await?),
        })
    }

    /// The list of a document.
    pub(crate) async fn acl_of_document(
        &self,
        dialect: Dialect,
        subject: Subject,
        owner: u64,
        document: &AclDocument,
    ) -> Outcome<Acl> {
        // What is in a bucket belongs to its owner, and is not given away.
        if let Some(named) = &document.owner
            && self.user(named).await?.is_none_or(|user| user != Grantee::account(owner))
        {
            return Err(Failure::AccessDenied);
        }
        let mut grants = Vec::with_capacity(document.grants.len());
        for grant in &document.grants {
            let permission = Permission::from_name(&grant.permission)
                .filter(|permission| {
                    let writes = *permission == Permission::Write && subject == Subject::Object;
                    !(writes && dialect == Dialect::Cos)
                })
                .ok_or_else(|| AclFault::Permission(grant.permission.clone()))?;
            grants.push((grant.grantee.clone(), permission));
        }
        self.resolve(dialect, owner, &grants).await
    }

    async fn resolve(
        &self,
        dialect: Dialect,
        owner: u64,
        named: &[(GranteeName, Permission)],
    ) -> Outcome<Acl> {
        let max = costrel_core::limits::ACL_GRANTS_MAX;
        if named.len() > max {
            return Err(costrel_core::Error::TooManyGrants { max }.into());
        }
        let mut grants = Vec::with_capacity(named.len());
        for (name, permission) in named {
            let grantee = self.grantee(name).await?;
            grants.push(Grant { grantee, permission: *permission });
        }
        let acl = Acl { grants };
        Ok(match dialect {
            // What the owner has cannot be taken from him.
            Dialect::Cos => acl.with_owner(owner),
            Dialect::S3 => acl,
        })
    }

    pub(crate) async fn grantee(&self, name: &GranteeName) -> Outcome<Grantee> {
        match name {
            GranteeName::Id(id) if id == "qcs::cam::anyone:anyone" => Ok(Grantee::AllUsers),
            GranteeName::Id(id) => {
                self.user(id).await?.ok_or_else(|| AclFault::Id(id.clone()).into())
            }
            GranteeName::Group(uri) => match uri.rsplit_once("/groups/") {
                Some((_, "global/AllUsers")) => Ok(Grantee::AllUsers),
                Some((_, "global/AuthenticatedUsers")) => Ok(Grantee::AuthenticatedUsers),
                Some((_, "s3/LogDelivery")) => Err(Failure::NotImplemented("LogDelivery".into())),
                _ => Err(AclFault::Group(uri.clone()).into()),
            },
            GranteeName::Email(address) => Err(AclFault::Email(address.clone()).into()),
        }
    }

    /// Who has an id, if anybody here.
    async fn user(&self, id: &str) -> Outcome<Option<Grantee>> {
        let own = self.authenticator.account().uin;
        let (account, uin) = match split_id(id) {
            Some((account, uin)) => (account, uin),
            None => return Ok(None),
        };
        if account.is_some_and(|account| account != own) {
            return Ok(None);
        }
        if uin == own {
            return Ok(Some(Grantee::account(own.get())));
        }
        match self.authenticator.accounts().user(uin).await {
            Ok(_) => Ok(Some(Grantee::User { account: own.get(), uin: uin.get() })),
            Err(IdentityError::NoSuchUser) => Ok(None),
            Err(IdentityError::Store(error)) => Err(error.into()),
            Err(_) => Err(Failure::Internal("a user cannot be looked up")),
        }
    }
}

/// The account, if it is named, and the user of an id.
fn split_id(id: &str) -> Option<(Option<Uin>, Uin)> {
    if let Some(rest) = id.strip_prefix("qcs::cam::uin/") {
        let (account, uin) = rest.split_once(":uin/")?;
        return Some((Some(number(account)?), number(uin)?));
    }
    match id.split_once('/') {
        Some((account, uin)) => Some((Some(number(account)?), number(uin)?)),
        None => Some((None, number(id)?)),
    }
}

fn number(text: &str) -> Option<Uin> {
    text.parse().ok()
}

/// An id as the dialect writes it.
pub fn shown_id(account: u64, uin: u64, dialect: Dialect) -> String {
    match dialect {
        Dialect::Cos => format!("qcs::cam::uin/{account}:uin/{uin}"),
        Dialect::S3 => uin.to_string(),
    }
}

pub fn group_uri(group: &str, dialect: Dialect) -> String {
    let host = match dialect {
        Dialect::Cos => "cam.qcloud.com",
        Dialect::S3 => "acs.amazonaws.com",
    };
    format!("http://{host}/groups/global/{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grantees_of_headers() {
        let id = |text: &str| Some(GranteeName::Id(text.into()));
        assert_eq!(grantee_name(r#"id="100000000001""#), id("100000000001"));
        assert_eq!(grantee_name("ID = 1/2"), id("1/2"));
        assert_eq!(grantee_name(r#"uin="qcs::cam::anyone:anyone""#), id("qcs::cam::anyone:anyone"));
        let group = GranteeName::Group("http://x/AllUsers".into());
        assert_eq!(grantee_name("uri=http://x/AllUsers"), Some(group));
        assert_eq!(grantee_name("100000000001"), None);
        assert_eq!(grantee_name("name=x"), None);
    }

    #[test]
    fn ids() {
        let uin = |text: &str| text.parse::<Uin>().unwrap();
        let (one, two) = (uin("100000000001"), uin("100000000002"));
        assert_eq!(split_id("100000000001"), Some((None, one)));
        let both = Some((Some(one), two));
        assert_eq!(split_id("100000000001/100000000002"), both);
        assert_eq!(split_id("qcs::cam::uin/100000000001:uin/100000000002"), both);
        for bad in ["", "_foo", "1", "100000000001/", "qcs::cam::uin/100000000001"] {
            assert_eq!(split_id(bad), None, "{bad}");
        }
    }
}
