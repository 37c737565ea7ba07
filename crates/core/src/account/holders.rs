//! Who has policies: users, groups and roles, each in the same way.

use std::sync::Arc;

use bytes::Bytes;
use costrel_policy::Policy;

use super::managed::ManagedPolicy;
use super::rows::{
    AttachedPolicy, GroupRow, RoleRow, UserRow, decode, group_row, policy_row, put, role_row,
    user_row,
};
use super::{Accounts, IdentityError, Uin};
use crate::engine::{RowRef, Write};
use crate::error::Result;

/// Most policies attached to a user, a group or a role. (Tencent Cloud's limit of a user is
/// 200; each of these judges every request.)
const ATTACHED_MAX: usize = 50;

/// A user, a group or a role, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyHolder {
    User(Uin),
    Group(u64),
    Role(u64),
}

impl From<Uin> for PolicyHolder {
    fn from(uin: Uin) -> PolicyHolder {
        PolicyHolder::User(uin)
    }
}

impl PolicyHolder {
    fn row(self) -> RowRef {
        match self {
            PolicyHolder::User(uin) => user_row(uin.0),
            PolicyHolder::Group(id) => group_row(id),
            PolicyHolder::Role(id) => role_row(id),
        }
    }

    fn missing(self) -> IdentityError {
        match self {
            PolicyHolder::User(_) => IdentityError::NoSuchUser,
            PolicyHolder::Group(_) => IdentityError::NoSuchGroup,
            PolicyHolder::Role(_) => IdentityError::NoSuchRole,
        }
    }

    fn decode(self, bytes: &Bytes) -> Result<HolderRow> {
        Ok(match self {
            PolicyHolder::User(_) => HolderRow::User(decode(bytes)?),
            PolicyHolder::Group(_) => HolderRow::Group(decode(bytes)?),
            PolicyHolder::Role(_) => HolderRow::Role(decode(bytes)?),
        })
    }
}

enum HolderRow {
    User(UserRow),
    Group(GroupRow),
    Role(RoleRow),
}

impl HolderRow {
    fn attached(&mut self) -> &mut Vec<AttachedPolicy> {
        match self {
            HolderRow::User(row) => &mut row.policies,
            HolderRow::Group(row) => &mut row.policies,
            HolderRow::Role(row) => &mut row.policies,
        }
    }

    fn write(&self, row: RowRef) -> Write {
        match self {
            HolderRow::User(record) => put(row, record),
            HolderRow::Group(record) => put(row, record),
            HolderRow::Role(record) => put(row, record),
        }
    }
}

impl Accounts {
    /// Attaching one that is attached changes nothing.
    pub async fn attach_policy(
        &self,
        holder: impl Into<PolicyHolder>,
        id: u64,
    ) -> Result<(), IdentityError> {
        let (holder, now_ms) = (holder.into(), self.clock.now_ms());
        // The policy must still be there when it is attached.
        self.change(&[holder.row(), policy_row(id)], |found| {
            let [Some(bytes), policy] = found else { return Err(holder.missing()) };
            if policy.is_none() {
                return Err(IdentityError::NoSuchPolicy);
            }
            let mut row = holder.decode(bytes)?;
            let attached = row.attached();
            if attached.iter().any(|policy| policy.id == id) {
                return Ok(((), Vec::new()));
            }
            if attached.len() >= ATTACHED_MAX {
                return Err(IdentityError::TooManyPolicies { max: ATTACHED_MAX });
            }
            attached.push(AttachedPolicy { id, attached_ms: now_ms });
            Ok(((), vec![row.write(holder.row())]))
        })
        .await
    }

    pub async fn detach_policy(
        &self,
        holder: impl Into<PolicyHolder>,
        id: u64,
    ) -> Result<(), IdentityError> {
        let holder = holder.into();
        self.change(&[holder.row()], |found| {
            let [Some(bytes)] = found else { return Err(holder.missing()) };
            let mut row = holder.decode(bytes)?;
            let attached = row.attached();
            let count = attached.len();
            attached.retain(|policy| policy.id != id);
            match attached.len() < count {
                true => Ok(((), vec![row.write(holder.row())])),
                false => Err(IdentityError::NotAttached),
            }
        })
        .await
    }

    /// The policies attached and since when, in milliseconds.
    pub async fn attached_policies(
        &self,
        holder: impl Into<PolicyHolder>,
    ) -> Result<Vec<(ManagedPolicy, u64)>, IdentityError> {
        let holder = holder.into();
        let found = self.read_identities(&[holder.row()]).await?.into_iter().next().flatten();
        let mut row = holder.decode(&found.ok_or_else(|| holder.missing())?)?;
        let attached = std::mem::take(row.attached());
        let rows: Vec<_> = attached.iter().map(|policy| policy_row(policy.id)).collect();
        let mut policies = Vec::with_capacity(rows.len());
        for (bytes, policy) in self.read_policies(&rows).await?.into_iter().zip(attached) {
            if let Some(bytes) = bytes {
                policies.push((ManagedPolicy::of(decode(&bytes)?), policy.attached_ms));
            }
        }
        Ok(policies)
    }

    /// Policies by their ids, as they judge, and the bytes of their rows. One that is
    /// not there was deleted.
    pub(super) async fn policies_in_force(
        &self,
        mut ids: Vec<u64>,
    ) -> Result<(Vec<Arc<Policy>>, usize)> {
        ids.sort_unstable();
        ids.dedup();
        let rows: Vec<_> = ids.into_iter().map(policy_row).collect();
        let (mut policies, mut size) = (Vec::with_capacity(rows.len()), 0);
        for bytes in self.read_policies(&rows).await?.into_iter().flatten() {
            size += bytes.len();
            // What cannot be read might forbid anything.
            policies.push(ManagedPolicy::of(decode(&bytes)?).read()?);
        }
        Ok((policies, size))
    }

    async fn read_policies(&self, rows: &[RowRef]) -> Result<Vec<Option<Bytes>>> {
        match rows {
            [] => Ok(Vec::new()),
            rows => self.read_identities(rows).await,
        }
    }
}
