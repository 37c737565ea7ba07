//! Who has policies: users, groups and roles, each in the same way.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use costrel_policy::{Grammar, Policy};
use parking_lot::Mutex;

use super::cache::KEY_CACHE_MS;
use super::labels::Labels;
use super::managed::{ManagedPolicy, NAME_LEN_MAX};
use super::presets::PRESETS_END;
use super::rows::{
    AttachedPolicy, GroupRow, InlinePolicyEntry, ManagedPolicyRow, ProviderRow, RoleRow,
    RowDocument, UserRow, decode, group_row, policy_row, put, role_row, user_row,
};
use super::texts::Texts;
use super::users::is_name;
use super::{Accounts, IdentityError, Uin};
use crate::engine::{RowRef, Write};
use crate::error::{Error, Result};

/// Most policies attached to a user, a group or a role. (Tencent Cloud's limit of a user is
/// 200; each of these judges every request.)
pub const ATTACHED_MAX: usize = 50;

/// Longest texts together of the policies that one holder has alone. (AWS's limit of a
/// role.)
const INLINE_BYTES_MAX: usize = 10_240;

/// A policy that one holder has alone.
#[derive(Clone, Debug)]
pub struct InlinePolicy {
    pub name: String,
    pub grammar: Grammar,
    /// As its author wrote it.
    pub document: Bytes,
}

/// Where a policy that judges somebody is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub name: Box<str>,
    /// Whether one holder alone has it.
    pub inline: bool,
    /// The group that has it, if he has not got it himself.
    pub group: Option<Arc<str>>,
}

/// What policies say of somebody, as they judge him, and where each is from.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    pub policies: Vec<Arc<Policy>>,
    /// In the order of the policies.
    pub origins: Vec<Origin>,
    /// How long their texts are together.
    pub(super) bytes: usize,
}

/// How many have a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyUses {
    /// Users, groups and roles that it is attached to.
    pub attached: usize,
    /// Users and roles whose permissions boundary it is.
    pub bounds: usize,
}

/// How much policies are used, as it was counted lately.
#[derive(Default)]
pub(super) struct Counted(Mutex<Lately>);

#[derive(Default)]
struct Lately {
    /// How often something was changed here.
    changes: u64,
    /// With the time when counting began.
    uses: Option<(Arc<HashMap<u64, PolicyUses>>, u64)>,
}

impl Counted {
    /// What was counted, or with what to keep what is counted now.
    fn get(&self, now_ms: u64) -> Result<Arc<HashMap<u64, PolicyUses>>, u64> {
        let lately = self.0.lock();
        let is_young =
            |since_ms: u64| now_ms.checked_sub(since_ms).is_some_and(|age| age < KEY_CACHE_MS);
        match &lately.uses {
            Some((uses, since_ms)) if is_young(*since_ms) => Ok(uses.clone()),
            _ => Err(lately.changes),
        }
    }

    /// Keeps what was counted, if nothing was changed here meanwhile.
    fn put(&self, changes: u64, uses: Arc<HashMap<u64, PolicyUses>>, since_ms: u64) {
        let mut lately = self.0.lock();
        if lately.changes == changes {
            lately.uses = Some((uses, since_ms));
        }
    }

    /// Forgets it: something was changed here.
    pub fn clear(&self) {
        let mut lately = self.0.lock();
        lately.changes += 1;
        lately.uses = None;
    }
}

/// How much there is in the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InAccount {
    pub users: usize,
    pub groups: usize,
    pub roles: usize,
    /// Policies that were made, and all their versions.
    pub policies: usize,
    pub versions: usize,
    pub providers: usize,
}

/// What a new user or role has from the beginning.
#[derive(Clone, Debug, Default)]
pub struct NewHolder {
    pub labels: Labels,
    /// A policy that must allow whatever his others do, by its id, if there is to be one.
    pub boundary: Option<u64>,
}

impl NewHolder {
    /// The row that must be there for the boundary to be there.
    pub(super) fn boundary_row(&self) -> Option<RowRef> {
        self.boundary.map(policy_row)
    }

    /// Whether the boundary is there, by what was found in that row.
    pub(super) fn check_boundary(
        &self,
        found: Option<&Option<Bytes>>,
    ) -> Result<(), IdentityError> {
        let Some(id) = self.boundary else { return Ok(()) };
        let is_there = found.is_some_and(Option::is_some) || ManagedPolicy::preset(id).is_some();
        if is_there { Ok(()) } else { Err(IdentityError::NoSuchPolicy) }
    }
}

/// What a holder has, whose name is that of a group if it is one.
pub(super) struct Held<'a> {
    pub group: Option<Arc<str>>,
    pub attached: &'a [AttachedPolicy],
    pub inline: &'a [InlinePolicyEntry],
}

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

    fn inline(&mut self) -> &mut Vec<InlinePolicyEntry> {
        match self {
            HolderRow::User(row) => &mut row.inline,
            HolderRow::Group(row) => &mut row.inline,
            HolderRow::Role(row) => &mut row.inline,
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

impl InForce {
    fn push_managed(
        &mut self,
        policy: ManagedPolicy,
        group: Option<Arc<str>>,
        texts: &Texts,
    ) -> Result<()> {
        // What cannot be read might forbid anything.
        let read = texts
            .read(policy.grammar, &policy.document)
            .map_err(|fault| Error::Damaged(format!("policy {}: {fault}", policy.name)))?;
        let origin = Origin { name: policy.name.into(), inline: false, group };
        self.push(read, origin, policy.document.len());
        Ok(())
    }

    fn push(&mut self, policy: Arc<Policy>, origin: Origin, bytes: usize) {
        self.policies.push(policy);
        self.origins.push(origin);
        self.bytes += bytes;
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
        let preset = ManagedPolicy::preset(id).is_some();
        // The policy must still be there when it is attached.
        self.change(&[holder.row(), policy_row(id)], |found| {
            let [Some(bytes), policy] = found else { return Err(holder.missing()) };
            if policy.is_none() && !preset {
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
            let found = match bytes {
                Some(bytes) => Some(ManagedPolicy::of(decode(&bytes)?)?),
                None => ManagedPolicy::preset(policy.id),
            };
            policies.extend(found.map(|found| (found, policy.attached_ms)));
        }
        Ok(policies)
    }

    /// Lets a user or a role do only what this policy allows, too; nothing lets him do
    /// again what his policies say.
    pub async fn set_boundary(
        &self,
        holder: impl Into<PolicyHolder>,
        id: Option<u64>,
    ) -> Result<(), IdentityError> {
        let holder = holder.into();
        let mut rows = vec![holder.row()];
        rows.extend(id.map(policy_row));
        let preset = id.and_then(ManagedPolicy::preset).is_some();
        self.change(&rows, |found| {
            let (Some(Some(bytes)), policy) = (found.first(), found.get(1)) else {
                return Err(holder.missing());
            };
            if policy.is_some_and(Option::is_none) && !preset {
                return Err(IdentityError::NoSuchPolicy);
            }
            let mut row = holder.decode(bytes)?;
            let boundary = match &mut row {
                HolderRow::User(row) => &mut row.boundary,
                HolderRow::Role(row) => &mut row.boundary,
                HolderRow::Group(_) => return Err(IdentityError::NoBoundary),
            };
            if *boundary == 0 && id.is_none() {
                return Err(IdentityError::NoBoundary);
            }
            *boundary = id.unwrap_or(0);
            Ok(((), vec![row.write(holder.row())]))
        })
        .await
    }

    /// How much each policy is used, by its id. All users, groups and roles are looked at,
    /// once for all policies together and for whoever asks within a second; a change that
    /// another gateway makes is counted after that.
    pub async fn policy_uses(&self) -> Result<Arc<HashMap<u64, PolicyUses>>> {
        let now_ms = self.clock.now_ms();
        let changes = match self.counted.get(now_ms) {
            Ok(uses) => return Ok(uses),
            Err(changes) => changes,
        };
        let uses = Arc::new(self.count_uses().await?);
        self.counted.put(changes, uses.clone(), now_ms);
        Ok(uses)
    }

    /// Whether anybody has a policy, at this moment.
    pub async fn is_used(&self, id: u64) -> Result<bool> {
        for as_boundary in [false, true] {
            if self.holders_behind((id, as_boundary), None, 0, |_, _| true).await?.1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn count_uses(&self) -> Result<HashMap<u64, PolicyUses>> {
        let mut uses: HashMap<u64, PolicyUses> = HashMap::new();
        let mut count = |attached: &[AttachedPolicy], boundary: u64| {
            attached.iter().for_each(|policy| uses.entry(policy.id).or_default().attached += 1);
            if boundary != 0 {
                uses.entry(boundary).or_default().bounds += 1;
            }
            false
        };
        self.page(b'u', |row: &UserRow| count(&row.policies, row.boundary), 0, 0).await?;
        self.page(b'g', |row: &GroupRow| count(&row.policies, 0), 0, 0).await?;
        self.page(b'r', |row: &RoleRow| count(&row.policies, row.boundary), 0, 0).await?;
        Ok(uses)
    }

    /// How much there is in the account. All of it is looked at, and none of it kept.
    pub async fn held(&self) -> Result<InAccount> {
        let mut versions = 0;
        let mut count = |row: &ManagedPolicyRow| {
            versions += 1 + row.others.len();
            true
        };
        Ok(InAccount {
            policies: self.page(b'p', &mut count, 0, 0).await?.0,
            versions,
            users: self.page(b'u', |_: &UserRow| true, 0, 0).await?.0,
            groups: self.page(b'g', |_: &GroupRow| true, 0, 0).await?.0,
            roles: self.page(b'r', |_: &RoleRow| true, 0, 0).await?.0,
            providers: self.page(b'o', |_: &ProviderRow| true, 0, 0).await?.0,
        })
    }

    /// Gives somebody a policy of his own, in place of one of the same name.
    pub async fn put_inline_policy(
        &self,
        holder: impl Into<PolicyHolder>,
        name: &str,
        (grammar, document): (Grammar, &[u8]),
    ) -> Result<(), IdentityError> {
        let holder = holder.into();
        if !is_name(name, NAME_LEN_MAX) {
            return Err(IdentityError::PolicyName { len_max: NAME_LEN_MAX });
        }
        Policy::of_user(grammar, document)?.check_sids()?;
        let document = Some(RowDocument::new(grammar, document));
        let entry = InlinePolicyEntry { name: name.to_owned(), document };
        self.change(&[holder.row()], |found| {
            let [Some(bytes)] = found else { return Err(holder.missing()) };
            let mut row = holder.decode(bytes)?;
            let inline = row.inline();
            inline.retain(|known| known.name != name);
            inline.push(entry.clone());
            let text = |entry: &InlinePolicyEntry| {
                entry.document.as_ref().map_or(0, |document| document.text.len())
            };
            if inline.iter().map(text).sum::<usize>() > INLINE_BYTES_MAX {
                return Err(IdentityError::TooMuchInline { max: INLINE_BYTES_MAX });
            }
            Ok(((), vec![row.write(holder.row())]))
        })
        .await
    }

    pub async fn delete_inline_policy(
        &self,
        holder: impl Into<PolicyHolder>,
        name: &str,
    ) -> Result<(), IdentityError> {
        let holder = holder.into();
        self.change(&[holder.row()], |found| {
            let [Some(bytes)] = found else { return Err(holder.missing()) };
            let mut row = holder.decode(bytes)?;
            let inline = row.inline();
            let count = inline.len();
            inline.retain(|policy| policy.name != name);
            match inline.len() < count {
                true => Ok(((), vec![row.write(holder.row())])),
                false => Err(IdentityError::NoSuchPolicy),
            }
        })
        .await
    }

    /// The policies that somebody alone has, in the order in which they were given.
    pub async fn inline_policies(
        &self,
        holder: impl Into<PolicyHolder>,
    ) -> Result<Vec<InlinePolicy>, IdentityError> {
        let holder = holder.into();
        let found = self.read_identities(&[holder.row()]).await?.into_iter().next().flatten();
        let mut row = holder.decode(&found.ok_or_else(|| holder.missing())?)?;
        let policies = std::mem::take(row.inline()).into_iter().map(|entry| {
            let document = entry.document.unwrap_or_default();
            Ok(InlinePolicy {
                name: entry.name,
                grammar: document.language()?,
                document: document.text,
            })
        });
        policies.collect()
    }

    /// What a group's policies say.
    pub async fn group_in_force(&self, id: u64) -> Result<InForce, IdentityError> {
        let row: Option<GroupRow> = self.read_identity(group_row(id)).await?;
        let row = row.ok_or(IdentityError::NoSuchGroup)?;
        let group = Some(row.name.as_str().into());
        let held = Held { group, attached: &row.policies, inline: &row.inline };
        Ok(self.policies_in_force(&[held]).await?)
    }

    /// The policies of several holders together, as they judge. One that is not there was
    /// deleted.
    pub(super) async fn policies_in_force(&self, held: &[Held<'_>]) -> Result<InForce> {
        let each = |holder: &Held<'_>| {
            let group = holder.group.clone();
            let ids = holder.attached.iter().map(move |policy| (policy.id, group.clone()));
            ids.collect::<Vec<_>>()
        };
        let mut attached: Vec<_> = held.iter().flat_map(each).collect();
        // What somebody has himself comes before what a group of his has.
        attached.sort_unstable();
        attached.dedup_by_key(|(id, _)| *id);
        let made = attached.split_off(attached.partition_point(|(id, _)| *id < PRESETS_END));
        let mut found = InForce::default();
        for (id, group) in attached {
            if let Some(preset) = ManagedPolicy::preset(id) {
                found.push_managed(preset, group, &self.texts)?;
            }
        }
        let rows: Vec<_> = made.iter().map(|(id, _)| policy_row(*id)).collect();
        for (bytes, (_, group)) in self.read_policies(&rows).await?.into_iter().zip(made) {
            if let Some(bytes) = bytes {
                found.push_managed(ManagedPolicy::of(decode(&bytes)?)?, group, &self.texts)?;
            }
        }
        for Held { group, inline, .. } in held {
            for InlinePolicyEntry { name, document } in *inline {
                let document = document.clone().unwrap_or_default();
                let policy = self
                    .texts
                    .read(document.language()?, &document.text)
                    .map_err(|fault| Error::Damaged(format!("policy {name}: {fault}")))?;
                let name = name.as_str().into();
                let origin = Origin { name, inline: true, group: group.clone() };
                found.push(policy, origin, document.text.len());
            }
        }
        Ok(found)
    }

    /// A permissions boundary as it judges. One that was deleted allows nothing any more,
    /// and goes by its number.
    pub(super) async fn limits_in_force(&self, boundary: Option<u64>) -> Result<InForce> {
        let mut limits = InForce::default();
        let Some(id) = boundary else { return Ok(limits) };
        match self.managed_policy(id).await {
            Ok(policy) => limits.push_managed(policy, None, &self.texts)?,
            Err(IdentityError::NoSuchPolicy) => {
                let origin = Origin { name: id.to_string().into(), inline: false, group: None };
                limits.push(Arc::new(Policy::nothing()), origin, 0);
            }
            Err(IdentityError::Store(error)) => return Err(error),
            Err(other) => return Err(Error::Internal(other.to_string())),
        }
        Ok(limits)
    }

    async fn read_policies(&self, rows: &[RowRef]) -> Result<Vec<Option<Bytes>>> {
        match rows {
            [] => Ok(Vec::new()),
            rows => self.read_identities(rows).await,
        }
    }
}
