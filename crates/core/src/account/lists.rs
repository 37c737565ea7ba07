//! Lists of users, groups, roles and policies, a page at a time: what a page costs does not
//! grow with what is before it, and nothing is kept that it does not show.

use bytes::Bytes;

use super::groups::Group;
use super::holders::PolicyHolder;
use super::managed::ManagedPolicy;
use super::roles::Role;
use super::rows::{
    AttachedPolicy, GroupRow, LabelsRow, RoleRow, UserRow, decode, group_name_row, group_row,
    policy_name_row, policy_row, role_name_row, role_row, user_name_row, user_row,
};
use super::users::User;
use super::{Accounts, Uin};
use crate::engine::RowRef;
use crate::error::Result;

/// Entries looked at for a page of a list by names, where most of them are not wanted.
const LOOKED_AT_MAX: usize = 4096;

/// What has a name that leads to it.
trait Named: Sized {
    fn name_row(name: &str) -> RowRef;
    fn row(number: u64) -> RowRef;
    fn read(bytes: &Bytes) -> Result<Self>;
    fn name(&self) -> &str;
}

impl Named for User {
    fn name_row(name: &str) -> RowRef {
        user_name_row(name)
    }

    fn row(number: u64) -> RowRef {
        user_row(number)
    }

    fn read(bytes: &Bytes) -> Result<User> {
        Ok(User::of(decode(bytes)?))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Group {
    fn name_row(name: &str) -> RowRef {
        group_name_row(name)
    }

    fn row(number: u64) -> RowRef {
        group_row(number)
    }

    fn read(bytes: &Bytes) -> Result<Group> {
        Ok(Group::of(decode(bytes)?))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Role {
    fn name_row(name: &str) -> RowRef {
        role_name_row(name)
    }

    fn row(number: u64) -> RowRef {
        role_row(number)
    }

    fn read(bytes: &Bytes) -> Result<Role> {
        Role::of(decode(bytes)?)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for ManagedPolicy {
    fn name_row(name: &str) -> RowRef {
        policy_name_row(name)
    }

    fn row(number: u64) -> RowRef {
        policy_row(number)
    }

    fn read(bytes: &Bytes) -> Result<ManagedPolicy> {
        ManagedPolicy::of(decode(bytes)?)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Some of a list by names, and behind which name to go on, if there may be more.
pub type NamedPage<T> = (Vec<T>, Option<String>);

/// Whoever has a policy, with his name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderEntry {
    pub holder: PolicyHolder,
    pub name: String,
}

impl Accounts {
    /// Users in the order of their names' bytes, from behind `after`: those that are wanted,
    /// `limit` at most. A page costs the same however many users there are; where few are
    /// wanted, it may be short.
    pub async fn users_by_name(
        &self,
        after: &str,
        limit: usize,
        wanted: impl Fn(&User) -> bool,
    ) -> Result<NamedPage<User>> {
        self.by_name(after, limit, wanted).await
    }

    /// As [`users_by_name`](Accounts::users_by_name).
    pub async fn groups_by_name(
        &self,
        after: &str,
        limit: usize,
        wanted: impl Fn(&Group) -> bool,
    ) -> Result<NamedPage<Group>> {
        self.by_name(after, limit, wanted).await
    }

    /// As [`users_by_name`](Accounts::users_by_name).
    pub async fn roles_by_name(
        &self,
        after: &str,
        limit: usize,
        wanted: impl Fn(&Role) -> bool,
    ) -> Result<NamedPage<Role>> {
        self.by_name(after, limit, wanted).await
    }

    /// As [`users_by_name`](Accounts::users_by_name), of policies that were made.
    pub async fn policies_by_name(
        &self,
        after: &str,
        limit: usize,
        wanted: impl Fn(&ManagedPolicy) -> bool,
    ) -> Result<NamedPage<ManagedPolicy>> {
        self.by_name(after, limit, wanted).await
    }

    async fn by_name<T: Named>(
        &self,
        after: &str,
        limit: usize,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<NamedPage<T>> {
        let (mut page, mut looked_at, mut after) = (Vec::new(), 0, after.to_owned());
        while looked_at < LOOKED_AT_MAX {
            let rows_max = (limit - page.len() + 1).clamp(64, 512);
            let named = self.names_behind(&T::name_row(&after), rows_max).await?;
            let rows: Vec<RowRef> = named.iter().map(|(_, number)| T::row(*number)).collect();
            let found = self.read_identities(&rows).await?;
            looked_at += rows.len();
            let is_last = rows.len() < rows_max;
            for ((name, _), row) in named.into_iter().zip(found) {
                if page.len() == limit {
                    return Ok((page, Some(after)));
                }
                after = name;
                // Whatever was renamed or deleted meanwhile is left out.
                let Some(row) = row else { continue };
                let one = T::read(&row)?;
                if one.name() == after && wanted(&one) {
                    page.push(one);
                }
            }
            if is_last {
                return Ok((page, None));
            }
        }
        Ok((page, Some(after)))
    }

    /// Users of a group in the order of their numbers, from behind `after`: `limit` at most,
    /// and whether there are more. Users are looked at from there on until there are as
    /// many, so that all pages together look at each once.
    pub async fn members_behind(
        &self,
        id: u64,
        after: Option<Uin>,
        limit: usize,
    ) -> Result<(Vec<User>, bool)> {
        let after = after.map(|uin| uin.0);
        let keep = |row: &UserRow| row.groups.iter().any(|member| member.group == id);
        let (rows, more) = self.behind(b'u', after, limit, keep).await?;
        Ok((rows.into_iter().map(User::of).collect(), more))
    }

    /// All users in the order of their numbers, from behind `after`: `limit` at most, and
    /// whether there are more.
    pub async fn users_behind(
        &self,
        after: Option<Uin>,
        limit: usize,
    ) -> Result<(Vec<User>, bool)> {
        let after = after.map(|uin| uin.0);
        let (rows, more) = self.behind(b'u', after, limit, |_: &UserRow| true).await?;
        Ok((rows.into_iter().map(User::of).collect(), more))
    }

    /// The users, groups and roles that a policy is attached to, or the users and roles whose
    /// permissions boundary it is, from behind `after`: those that are wanted by whether they
    /// are what they are and by their path, `limit` at most, and whether there are more. All
    /// pages together look at everybody once.
    pub async fn holders_behind(
        &self,
        (id, as_boundary): (u64, bool),
        after: Option<PolicyHolder>,
        limit: usize,
        wanted: impl Fn(PolicyHolder, &str) -> bool,
    ) -> Result<(Vec<HolderEntry>, bool)> {
        let has = |policies: &[AttachedPolicy], boundary: u64| match as_boundary {
            true => boundary == id,
            false => policies.iter().any(|policy| policy.id == id),
        };
        let path = |labels: &Option<LabelsRow>| match labels {
            Some(labels) if !labels.path.is_empty() => labels.path.clone(),
            _ => "/".to_owned(),
        };
        let mut list = Vec::new();
        let (users, groups, roles) = match after {
            None => (Some(None), Some(None), Some(None)),
            Some(PolicyHolder::User(uin)) => (Some(Some(uin.0)), Some(None), Some(None)),
            Some(PolicyHolder::Group(id)) => (None, Some(Some(id)), Some(None)),
            Some(PolicyHolder::Role(id)) => (None, None, Some(Some(id))),
        };
        if let Some(after) = users {
            let keep = |row: &UserRow| {
                has(&row.policies, row.boundary)
                    && wanted(PolicyHolder::User(Uin(row.uin)), &path(&row.labels))
            };
            let (rows, more) = self.behind(b'u', after, limit, keep).await?;
            list.extend(rows.into_iter().map(|row| HolderEntry {
                holder: PolicyHolder::User(Uin(row.uin)),
                name: row.name,
            }));
            if more {
                return Ok((list, true));
            }
        }
        if let Some(after) = groups {
            let keep = |row: &GroupRow| {
                has(&row.policies, 0) && wanted(PolicyHolder::Group(row.id), &path(&row.labels))
            };
            let (rows, more) = self.behind(b'g', after, limit - list.len(), keep).await?;
            list.extend(
                rows.into_iter()
                    .map(|row| HolderEntry { holder: PolicyHolder::Group(row.id), name: row.name }),
            );
            if more {
                return Ok((list, true));
            }
        }
        if let Some(after) = roles {
            let keep = |row: &RoleRow| {
                has(&row.policies, row.boundary)
                    && wanted(PolicyHolder::Role(row.id), &path(&row.labels))
            };
            let (rows, more) = self.behind(b'r', after, limit - list.len(), keep).await?;
            list.extend(
                rows.into_iter()
                    .map(|row| HolderEntry { holder: PolicyHolder::Role(row.id), name: row.name }),
            );
            if more {
                return Ok((list, true));
            }
        }
        Ok((list, false))
    }
}
