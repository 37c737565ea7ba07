//! Access control lists: who besides the owner may do what to a bucket or an object,
//! grant by grant. What they count for beside policies, `costrel_policy::decide` says.
//!
//! An object's list is part of its record and a bucket's of the bucket's; neither is
//! there while everything is its owner's alone. Whatever is in a bucket belongs to
//! the bucket's owner, who never depends on a grant.

use std::sync::Arc;

use costrel_policy::Who;

use crate::bucket::{Bucket, BucketSettings};
use crate::error::{Error, Result};
use crate::events::EventKind;
use crate::limits::ACL_GRANTS_MAX;
use crate::names::ObjectKey;
use crate::object::ObjectInfo;
use crate::record::{AccessRef, AclRecord, GrantRecord, ObjectRecord};
use crate::store::Store;
use crate::version::VersionRef;

/// What a grant allows. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Of a bucket: listing it.
    Read = 1,
    /// Of a bucket: making and deleting objects. Of an object: nothing.
    Write = 2,
    /// Reading the list.
    ReadAcp = 3,
    /// Replacing the list.
    WriteAcp = 4,
    FullControl = 5,
}

impl Permission {
    const ALL: [Permission; 5] = [
        Permission::Read,
        Permission::Write,
        Permission::ReadAcp,
        Permission::WriteAcp,
        Permission::FullControl,
    ];

    /// As both dialects write it.
    pub fn name(self) -> &'static str {
        match self {
            Permission::Read => "READ",
            Permission::Write => "WRITE",
            Permission::ReadAcp => "READ_ACP",
            Permission::WriteAcp => "WRITE_ACP",
            Permission::FullControl => "FULL_CONTROL",
        }
    }

    pub fn from_name(name: &str) -> Option<Permission> {
        Permission::ALL.into_iter().find(|permission| permission.name() == name)
    }

    /// By the number that is stored, which is its place in the list of all.
    fn from_number(number: u32) -> Option<Permission> {
        Permission::ALL.get((number as usize).checked_sub(1)?).copied()
    }
}

/// Whom a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// An account, if both numbers are its own, or one of its users.
    User { account: u64, uin: u64 },
    /// Everybody, signed or not.
    AllUsers,
    /// Whoever signs, of any account.
    AuthenticatedUsers,
}

impl Grantee {
    pub fn account(account: u64) -> Grantee {
        Grantee::User { account, uin: account }
    }

    fn is_public(self) -> bool {
        matches!(self, Grantee::AllUsers | Grantee::AuthenticatedUsers)
    }

    /// What is granted to an account its root has, and users of it whose own policies
    /// allow it, as those of another account's must before they come to this. Those
    /// of the owner's account have what the owner's policies say.
    fn includes(self, who: Who, owner_uin: u64) -> bool {
        match self {
            Grantee::AllUsers => true,
            Grantee::AuthenticatedUsers => who != Who::Anonymous,
            Grantee::User { account, uin } if account == uin => {
                who == Who::Root(account)
                    || (account != owner_uin && who.account() == Some(account))
            }
            Grantee::User { account, uin } => who == Who::User { account, uin },
        }
    }
}

/// What lists say of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclVerdict {
    /// A grant of the object's own list, or of the bucket's, lets him.
    Granted {
        grant: Grant,
        of_object: bool,
    },
    /// A grant would, but the bucket ignores those to everybody.
    PublicIgnored,
    /// A grant would, but the bucket's owner owns whatever is in it.
    Disabled,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub grantee: Grantee,
    pub permission: Permission,
}

/// The grants of a bucket or an object, in the order in which they were given, the
/// owner's own included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    pub grants: Vec<Grant>,
}

/// A list by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannedAcl {
    Private,
    PublicRead,
    PublicReadWrite,
    AuthenticatedRead,
    /// These give an object's bucket's owner what he has anyhow.
    BucketOwnerRead,
    BucketOwnerFullControl,
}

impl CannedAcl {
    pub fn from_name(name: &str) -> Option<CannedAcl> {
        Some(match name {
            "private" => CannedAcl::Private,
            "public-read" => CannedAcl::PublicRead,
            "public-read-write" => CannedAcl::PublicReadWrite,
            "authenticated-read" => CannedAcl::AuthenticatedRead,
            "bucket-owner-read" => CannedAcl::BucketOwnerRead,
            "bucket-owner-full-control" => CannedAcl::BucketOwnerFullControl,
            _ => return None,
        })
    }

    /// Whether it leaves everything to the owner.
    pub fn is_private(self) -> bool {
        self.groups().is_empty()
    }

    fn groups(self) -> &'static [Grant] {
        const fn all(permission: Permission) -> Grant {
            Grant { grantee: Grantee::AllUsers, permission }
        }
        match self {
            CannedAcl::Private | CannedAcl::BucketOwnerRead | CannedAcl::BucketOwnerFullControl => {
                &[]
            }
            CannedAcl::PublicRead => const { &[all(Permission::Read)] },
            // Two grants, by which clients know it.
            CannedAcl::PublicReadWrite => {
                const { &[all(Permission::Read), all(Permission::Write)] }
            }
            CannedAcl::AuthenticatedRead => {
                &[Grant { grantee: Grantee::AuthenticatedUsers, permission: Permission::Read }]
            }
        }
    }
}

impl Acl {
    pub fn private(owner_uin: u64) -> Acl {
        Acl::canned(CannedAcl::Private, owner_uin)
    }

    pub fn canned(canned: CannedAcl, owner_uin: u64) -> Acl {
        let mut grants = canned.groups().to_vec();
        grants.push(owner_grant(owner_uin));
        Acl { grants }
    }

    /// Adds what the owner has, if it is not there.
    pub fn with_owner(mut self, owner_uin: u64) -> Acl {
        let owner = owner_grant(owner_uin);
        if !self.grants.contains(&owner) {
            self.grants.push(owner);
        }
        self
    }

    pub fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| grant.grantee.is_public())
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.grants.len() > ACL_GRANTS_MAX {
            true => Err(Error::TooManyGrants { max: ACL_GRANTS_MAX }),
            false => Ok(()),
        }
    }

    fn from_record(record: &AclRecord) -> Result<Acl> {
        let grants = record.grants.iter().map(Grant::from_record).collect::<Result<_>>()?;
        Ok(Acl { grants })
    }

    /// `None` if it is private.
    pub(crate) fn to_record(&self, owner_uin: u64) -> Option<AclRecord> {
        (*self != Acl::private(owner_uin)).then(|| AclRecord {
            grants: self.grants.iter().copied().map(Grant::to_record).collect(),
            inherits: false,
        })
    }
}

fn owner_grant(owner_uin: u64) -> Grant {
    Grant { grantee: Grantee::account(owner_uin), permission: Permission::FullControl }
}

impl Grant {
    fn allows(&self, permission: Permission) -> bool {
        self.permission == permission || self.permission == Permission::FullControl
    }

    pub(crate) fn from_record(record: &GrantRecord) -> Result<Grant> {
        let damaged = || Error::Damaged(format!("a grant is unknown: {record:?}"));
        Ok(Grant {
            grantee: match record.grantee {
                1 => Grantee::User { account: record.account, uin: record.uin },
                2 => Grantee::AllUsers,
                3 => Grantee::AuthenticatedUsers,
                _ => return Err(damaged()),
            },
            permission: Permission::from_number(record.permission).ok_or_else(damaged)?,
        })
    }

    pub(crate) fn to_record(self) -> GrantRecord {
        let (grantee, account, uin) = match self.grantee {
            Grantee::User { account, uin } => (1, account, uin),
            Grantee::AllUsers => (2, 0, 0),
            Grantee::AuthenticatedUsers => (3, 0, 0),
        };
        GrantRecord { grantee, account, uin, permission: self.permission as u32 }
    }
}

/// Who owns what others write into a bucket, and whether ACLs count there. Here the
/// bucket's owner owns it in any case; in S3 an account that writes into another
/// one's bucket does, by the first, and by the second unless it says otherwise. The
/// numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    ObjectWriter = 1,
    BucketOwnerPreferred = 2,
    /// No ACL counts, and none is taken.
    BucketOwnerEnforced = 3,
}

impl Ownership {
    const ALL: [Ownership; 3] =
        [Ownership::ObjectWriter, Ownership::BucketOwnerPreferred, Ownership::BucketOwnerEnforced];

    pub fn name(self) -> &'static str {
        match self {
            Ownership::ObjectWriter => "ObjectWriter",
            Ownership::BucketOwnerPreferred => "BucketOwnerPreferred",
            Ownership::BucketOwnerEnforced => "BucketOwnerEnforced",
        }
    }

    pub fn from_name(name: &str) -> Option<Ownership> {
        Ownership::ALL.into_iter().find(|ownership| ownership.name() == name)
    }
}

/// What an object says of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObjectAcl {
    /// Its owner's alone, whatever its bucket says.
    #[default]
    Private,
    /// Nothing: its bucket's list is its own too. COS.
    Inherits,
    Own(Acl),
}

impl ObjectAcl {
    pub(crate) fn of(record: &ObjectRecord) -> Result<ObjectAcl> {
        match &record.acl {
            None => Ok(ObjectAcl::Private),
            Some(record) if record.inherits => Ok(ObjectAcl::Inherits),
            Some(record) => Acl::from_record(record).map(ObjectAcl::Own),
        }
    }

    pub(crate) fn to_record(&self, owner_uin: u64) -> Option<AclRecord> {
        match self {
            ObjectAcl::Private => None,
            ObjectAcl::Inherits => Some(AclRecord { inherits: true, grants: Vec::new() }),
            ObjectAcl::Own(acl) => acl.to_record(owner_uin),
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            ObjectAcl::Private | ObjectAcl::Inherits => Ok(()),
            ObjectAcl::Own(acl) => acl.check(),
        }
    }
}

impl ObjectInfo {
    pub fn acl(&self) -> Result<ObjectAcl> {
        ObjectAcl::of(&self.record)
    }
}

impl Bucket {
    /// Who owns what is in it; `None` if nobody has said, and ACLs count.
    pub fn ownership(&self) -> Option<Ownership> {
        let number = self.settings().access.as_ref()?.ownership;
        Ownership::ALL.into_iter().find(|ownership| *ownership as u32 == number)
    }

    /// Whether ACLs count for nothing.
    pub fn disables_acls(&self) -> bool {
        self.ownership() == Some(Ownership::BucketOwnerEnforced)
    }

    pub fn acl(&self) -> Result<Acl> {
        match self.settings().access.as_ref().and_then(|access| access.acl.as_ref()) {
            None => Ok(Acl::private(self.owner_uin)),
            Some(record) => Acl::from_record(record),
        }
    }

    /// What its list, or that of an object in it, says of somebody else than its owner who
    /// wants to do something. Read as it is stored: it is asked for many requests.
    pub fn acl_says(
        &self,
        who: Who,
        permission: Permission,
        object: Option<&ObjectRecord>,
    ) -> Result<AclVerdict> {
        let settings = self.settings();
        let own = object.map(|record| record.acl.as_ref());
        let (list, of_object) = match own {
            Some(None) => (None, true),
            Some(Some(list)) if !list.inherits => (Some(list), true),
            None | Some(Some(_)) => {
                (settings.access.as_ref().and_then(|access| access.acl.as_ref()), false)
            }
        };
        let ignores_public = self.public_access_block().is_some_and(|b| b.ignore_public_acls);
        let mut verdict = AclVerdict::Nothing;
        for record in list.map_or(&[][..], |list| &list.grants) {
            let grant = Grant::from_record(record)?;
            if !grant.allows(permission) || !grant.grantee.includes(who, self.owner_uin) {
                continue;
            }
            if self.disables_acls() {
                return Ok(AclVerdict::Disabled);
            }
            if !(ignores_public && grant.grantee.is_public()) {
                return Ok(AclVerdict::Granted { grant, of_object });
            }
            verdict = AclVerdict::PublicIgnored;
        }
        Ok(verdict)
    }
}

impl BucketSettings {
    /// Whether the bucket takes a list, its own or an object's. Judged by the
    /// settings that the list is committed under.
    pub(crate) fn check_acl(&self, acl: Option<&AclRecord>) -> Result<()> {
        self.access.as_ref().map_or(Ok(()), |access| access.check_acl(acl))
    }
}

impl AccessRef {
    fn check_acl(&self, acl: Option<&AclRecord>) -> Result<()> {
        let Some(acl) = acl.filter(|acl| !acl.inherits) else { return Ok(()) };
        if self.ownership == Ownership::BucketOwnerEnforced as u32 {
            return Err(Error::AclsDisabled);
        }
        let blocks_public = self.block.as_ref().is_some_and(|block| block.public_acls);
        match blocks_public && Acl::from_record(acl)?.is_public() {
            true => Err(Error::PublicAclBlocked),
            false => Ok(()),
        }
    }
}

impl Store {
    /// Whether a bucket takes an object with this list; judged again at the commit.
    pub(crate) fn check_new_acl(&self, bucket: &Bucket, acl: &ObjectAcl) -> Result<()> {
        acl.check()?;
        bucket.settings().check_acl(acl.to_record(bucket.owner_uin).as_ref())
    }

    pub async fn set_bucket_acl(self: &Arc<Self>, bucket: &Bucket, acl: &Acl) -> Result<()> {
        acl.check()?;
        let record = acl.to_record(bucket.owner_uin);
        self.change_access(bucket, move |access| {
            access.check_acl(record.as_ref())?;
            access.acl = record.clone();
            Ok(Vec::new())
        })
        .await
    }

    /// Says who owns what is in a bucket, or takes that back. A bucket that is open
    /// by its ACL does not lose it on the way.
    pub async fn set_ownership(
        self: &Arc<Self>,
        bucket: &Bucket,
        ownership: Option<Ownership>,
    ) -> Result<()> {
        self.change_access(bucket, move |access| {
            if ownership == Some(Ownership::BucketOwnerEnforced) && access.acl.is_some() {
                return Err(Error::AclInTheWay);
            }
            access.ownership = ownership.map_or(0, |ownership| ownership as u32);
            Ok(Vec::new())
        })
        .await
    }

    /// Replaces the list of an object or of one of its versions, which is named in the
    /// answer. Nothing else of it changes, its time neither.
    pub async fn set_object_acl(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
        acl: &ObjectAcl,
    ) -> Result<Option<VersionRef>> {
        acl.check()?;
        let new = acl.to_record(bucket.owner_uin);
        self.change_version(bucket, key, version, |record| {
            bucket.settings().check_acl(new.as_ref())?;
            // One that says the same again is no event.
            let kind = (record.acl != new).then_some(EventKind::AclSet.into());
            record.acl = new.clone();
            Ok(kind)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u64 = 100_000_000_001;
    const OTHER: u64 = 100_000_000_002;

    #[test]
    fn whom_a_grant_includes() {
        let user = |account| Who::User { account, uin: account + 10 };
        let callers =
            [Who::Anonymous, Who::Root(OWNER), user(OWNER), Who::Root(OTHER), user(OTHER)];
        let check = |grantee: Grantee, expected: [bool; 5]| {
            assert_eq!(callers.map(|who| grantee.includes(who, OWNER)), expected, "{grantee:?}");
        };
        check(Grantee::AllUsers, [true; 5]);
        check(Grantee::AuthenticatedUsers, [false, true, true, true, true]);
        check(Grantee::account(OWNER), [false, true, false, false, false]);
        check(Grantee::account(OTHER), [false, false, false, true, true]);
        let one = Grantee::User { account: OWNER, uin: OWNER + 10 };
        check(one, [false, false, true, false, false]);
    }

    #[test]
    fn permissions_have_numbers() {
        for permission in Permission::ALL {
            assert_eq!(Permission::from_number(permission as u32), Some(permission));
        }
        assert_eq!([0, 6, u32::MAX].map(Permission::from_number), [None; 3]);
    }

    #[test]
    fn lists_are_kept_as_they_were_given() {
        for canned in [CannedAcl::Private, CannedAcl::BucketOwnerFullControl] {
            assert_eq!(Acl::canned(canned, OWNER).to_record(OWNER), None);
        }
        let names = ["public-read", "public-read-write", "authenticated-read"];
        for canned in names.map(|name| CannedAcl::from_name(name).unwrap()) {
            let acl = Acl::canned(canned, OWNER);
            assert!(acl.is_public());
            assert_eq!(Acl::from_record(&acl.to_record(OWNER).unwrap()).unwrap(), acl);
        }
        let nobodys = Acl { grants: Vec::new() };
        assert_eq!(Acl::from_record(&nobodys.to_record(OWNER).unwrap()).unwrap(), nobodys);
        assert_eq!(nobodys.with_owner(OWNER), Acl::private(OWNER));
        let unknown = GrantRecord { grantee: 9, permission: 1, ..GrantRecord::default() };
        assert!(Grant::from_record(&unknown).is_err());
    }
}
