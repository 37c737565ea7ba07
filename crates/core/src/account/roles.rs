//! Roles: what one may take on for a while, if their trust policies let him.

use std::sync::Arc;

use bytes::Bytes;
use costrel_policy::{Grammar, Policy, PolicyFault};

use super::holders::{Held, InForce, NewHolder};
use super::identity::random_below;
use super::labels::Labels;
use super::rows::{RoleRow, RowDocument, decode, put, put_number, role_name_row, role_row};
use super::users::{check_text, is_name};
use super::{Accounts, IdentityError};
use crate::engine::Write;
use crate::error::{Error, Result};

/// Longest name of a role. (Tencent Cloud; AWS has 64.)
const NAME_LEN_MAX: usize = 128;

/// The longest that a role can be had at a time, in seconds. (AWS and Tencent Cloud.)
pub const ROLE_SESSION_S_MAX: u64 = 43_200;

#[derive(Clone, Debug)]
pub struct Role {
    pub id: u64,
    pub name: String,
    pub description: String,
    /// Who may take it on, as its author wrote it.
    pub trust: (Grammar, Bytes),
    /// The longest that one may have it at a time, in seconds.
    pub session_s_max: u64,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    pub updated_ms: u64,
    pub labels: Labels,
    /// Ids of the policies attached.
    pub attached: Vec<u64>,
    /// A policy that must allow whatever they do, by its id, if there is one.
    pub boundary: Option<u64>,
    /// That policy, where it counts.
    pub limits: InForce,
    /// Its policies, where they count.
    pub in_force: InForce,
}

/// What can be said of a role beside its name and whom it trusts.
#[derive(Clone, Debug, Default)]
pub struct RoleChanges<'a> {
    pub description: Option<&'a str>,
    pub session_s_max: Option<u64>,
    pub trust: Option<(Grammar, &'a [u8])>,
}

impl RoleChanges<'_> {
    fn check(&self) -> Result<(), IdentityError> {
        check_text(self.description.unwrap_or_default())?;
        if self.session_s_max.is_some_and(|seconds| !(1..=ROLE_SESSION_S_MAX).contains(&seconds)) {
            return Err(IdentityError::RoleDuration { max: ROLE_SESSION_S_MAX });
        }
        if let Some((grammar, document)) = self.trust {
            Policy::of_trust(grammar, document)?.check_sids()?;
        }
        Ok(())
    }

    fn apply(&self, row: &mut RoleRow, now_ms: u64) {
        if let Some(description) = self.description {
            row.description = description.to_owned();
        }
        if let Some(seconds) = self.session_s_max {
            row.session_s_max = seconds;
        }
        if let Some((grammar, document)) = self.trust {
            row.trust = Some(RowDocument::new(grammar, document));
        }
        row.updated_ms = now_ms;
    }
}

impl Role {
    pub(super) fn of(row: RoleRow) -> Result<Role> {
        let trust = row.trust.unwrap_or_default();
        Ok(Role {
            id: row.id,
            name: row.name,
            description: row.description,
            trust: (trust.language()?, trust.text),
            session_s_max: row.session_s_max,
            created_ms: row.created_ms,
            updated_ms: row.updated_ms,
            labels: Labels::of(row.labels),
            attached: row.policies.iter().map(|policy| policy.id).collect(),
            boundary: Some(row.boundary).filter(|id| *id != 0),
            limits: InForce::default(),
            in_force: InForce::default(),
        })
    }

    /// How long the texts of what judges whoever has taken it on are together.
    pub(super) fn policy_bytes(&self) -> usize {
        self.in_force.bytes + self.limits.bytes
    }

    /// Who may take it on, as it is judged.
    pub fn trust_policy(&self) -> Result<Arc<Policy>> {
        let (grammar, document) = &self.trust;
        let damaged = |fault: PolicyFault| Error::Damaged(format!("role {}: {fault}", self.name));
        Policy::of_trust(*grammar, document).map(Arc::new).map_err(damaged)
    }
}

impl Accounts {
    pub async fn create_role(
        &self,
        name: &str,
        trust: (Grammar, &[u8]),
        session_s_max: u64,
        description: &str,
    ) -> Result<Role, IdentityError> {
        let given = NewHolder::default();
        self.create_role_with(name, trust, session_s_max, description, &given).await
    }

    /// There is no moment in which it is there without its permissions boundary.
    pub async fn create_role_with(
        &self,
        name: &str,
        trust: (Grammar, &[u8]),
        session_s_max: u64,
        description: &str,
        given: &NewHolder,
    ) -> Result<Role, IdentityError> {
        if !is_name(name, NAME_LEN_MAX) {
            return Err(IdentityError::RoleName { len_max: NAME_LEN_MAX });
        }
        let said = RoleChanges {
            description: Some(description),
            session_s_max: Some(session_s_max),
            trust: Some(trust),
        };
        said.check()?;
        let now_ms = self.clock.now_ms();
        let mut row = RoleRow {
            // Of the length that Tencent Cloud gives out.
            id: 4_611_686_018_000_000_000 + random_below(1_000_000_000, &*self.entropy),
            name: name.to_owned(),
            created_ms: now_ms,
            labels: given.labels.row()?,
            boundary: given.boundary.unwrap_or(0),
            ..RoleRow::default()
        };
        said.apply(&mut row, now_ms);
        let mut rows = vec![role_name_row(name), role_row(row.id)];
        rows.extend(given.boundary_row());
        self.change(&rows, |found| match found {
            [None, None, ..] => {
                given.check_boundary(found.get(2))?;
                let writes =
                    vec![put_number(role_name_row(name), row.id), put(role_row(row.id), &row)];
                Ok((Role::of(row.clone())?, writes))
            }
            [None, ..] => Err(Error::Internal("a number was drawn twice".into()).into()),
            _ => Err(IdentityError::RoleExists),
        })
        .await
    }

    pub async fn role(&self, id: u64) -> Result<Role, IdentityError> {
        let row: Option<RoleRow> = self.read_identity(role_row(id)).await?;
        row.map(Role::of).transpose()?.ok_or(IdentityError::NoSuchRole)
    }

    pub async fn role_named(&self, name: &str) -> Result<Role, IdentityError> {
        let id = self.named(role_name_row(name)).await?.ok_or(IdentityError::NoSuchRole)?;
        self.role(id).await
    }

    /// Roles in the order of their numbers: how many there are, and some of them.
    pub async fn roles(&self, skip: usize, limit: usize) -> Result<(usize, Vec<Role>)> {
        let (count, rows) = self.page(b'r', |_: &RoleRow| true, skip, limit).await?;
        Ok((count, rows.into_iter().map(Role::of).collect::<Result<_>>()?))
    }

    pub async fn update_role(
        &self,
        id: u64,
        changes: &RoleChanges<'_>,
    ) -> Result<(), IdentityError> {
        changes.check()?;
        let now_ms = self.clock.now_ms();
        let role = role_row(id);
        self.change(std::slice::from_ref(&role), |found| {
            let [Some(bytes)] = found else { return Err(IdentityError::NoSuchRole) };
            let mut row: RoleRow = decode(bytes)?;
            changes.apply(&mut row, now_ms);
            Ok(((), vec![put(role.clone(), &row)]))
        })
        .await
    }

    /// `force` takes attachments along, without which there must be none. Whoever has
    /// taken it on has nothing any more.
    pub async fn delete_role(&self, id: u64, force: bool) -> Result<(), IdentityError> {
        let name = self.role(id).await?.name;
        let rows = [role_row(id), role_name_row(&name)];
        self.change(&rows, |found| {
            let [Some(bytes), _] = found else { return Err(IdentityError::NoSuchRole) };
            let row: RoleRow = decode(bytes)?;
            match (row.policies.is_empty() && row.inline.is_empty()) || force {
                true => Ok(((), rows.iter().cloned().map(Write::Delete).collect())),
                false => Err(IdentityError::RoleInUse),
            }
        })
        .await
    }

    /// A role with what it may do, or none. A change made through another gateway is
    /// seen as soon as one of a key.
    pub async fn role_in_force(&self, id: u64) -> Result<Option<Arc<Role>>> {
        let (name, now_ms) = (id.to_string(), self.clock.now_ms());
        if let Some(role) = self.roles.get(&name, now_ms) {
            return Ok(Some(role));
        }
        let Some(row) = self.read_identity::<RoleRow>(role_row(id)).await? else {
            return Ok(None);
        };
        let held = Held { group: None, attached: &row.policies, inline: &row.inline };
        let in_force = self.policies_in_force(&[held]).await?;
        let role = Role::of(row)?;
        let limits = self.limits_in_force(role.boundary).await?;
        let role = Arc::new(Role { in_force, limits, ..role });
        let size = role.policy_bytes();
        self.roles.put(&name, role.clone(), size, now_ms);
        Ok(Some(role))
    }
}
