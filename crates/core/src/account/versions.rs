//! Versions of policies that stand by themselves. The one that counts is in the policy's
//! own row; the others each have one.

use bytes::Bytes;
use costrel_policy::{Grammar, Policy};

use super::presets::PRESETS_END;
use super::rows::{
    ManagedPolicyRow, PolicyVersionEntry, PolicyVersionRow, RowDocument, RowGrammar, decode,
    policy_row, policy_version_row, put,
};
use super::{Accounts, IdentityError};
use crate::engine::Write;
use crate::error::{Error, Result};

/// Most versions of a policy. (AWS.)
pub const VERSIONS_MAX: usize = 5;

/// A version of a policy, by its number from 1 on.
#[derive(Clone, Debug)]
pub struct PolicyVersion {
    pub number: u64,
    /// The one that counts.
    pub is_default: bool,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// The number of the version that counts, and the latest that there was: rows of before
/// there were versions do not say.
pub(super) fn default_number(row: &ManagedPolicyRow) -> u64 {
    row.default_version.max(1)
}

fn latest_number(row: &ManagedPolicyRow) -> u64 {
    row.latest_version.max(default_number(row))
}

fn document_of(row: &ManagedPolicyRow) -> PolicyVersionRow {
    let document = RowDocument { grammar: row.grammar, text: row.document.clone() };
    PolicyVersionRow { document: Some(document) }
}

/// Puts the version that counts among the others.
fn set_aside(row: &mut ManagedPolicyRow) -> Write {
    let (number, created_ms) = (default_number(row), row.updated_ms);
    row.others.push(PolicyVersionEntry { number, created_ms });
    put(policy_version_row(row.id, number), &document_of(row))
}

impl Accounts {
    /// Adds a version, which counts from now on if it is to be the default. Returns its
    /// number.
    pub async fn create_policy_version(
        &self,
        id: u64,
        (grammar, document): (Grammar, &[u8]),
        is_default: bool,
    ) -> Result<u64, IdentityError> {
        Policy::of_user(grammar, document)?.check_sids()?;
        let (now_ms, write_id) = (self.clock.now_ms(), self.entropy.id());
        self.change_policy(id, |row| {
            if row.others.len() + 1 >= VERSIONS_MAX {
                return Err(IdentityError::TooManyVersions { max: VERSIONS_MAX });
            }
            let number = latest_number(row) + 1;
            row.latest_version = number;
            if !is_default {
                row.others.push(PolicyVersionEntry { number, created_ms: now_ms });
                let document = Some(RowDocument::new(grammar, document));
                let version = PolicyVersionRow { document };
                return Ok((number, vec![put(policy_version_row(id, number), &version)]));
            }
            let aside = set_aside(row);
            row.default_version = number;
            row.grammar = RowGrammar::from(grammar).into();
            row.document = Bytes::copy_from_slice(document);
            row.updated_ms = now_ms;
            row.write_id = Bytes::copy_from_slice(&write_id);
            Ok((number, vec![aside]))
        })
        .await
    }

    /// All versions of a policy, the latest first.
    pub async fn policy_versions(&self, id: u64) -> Result<Vec<PolicyVersion>, IdentityError> {
        let row: Option<ManagedPolicyRow> = self.read_identity(policy_row(id)).await?;
        let row = row.ok_or(IdentityError::NoSuchPolicy)?;
        let other = |entry: &PolicyVersionEntry| PolicyVersion {
            number: entry.number,
            is_default: false,
            created_ms: entry.created_ms,
        };
        let mut versions: Vec<_> = row.others.iter().map(other).collect();
        let (number, created_ms) = (default_number(&row), row.updated_ms);
        versions.push(PolicyVersion { number, is_default: true, created_ms });
        versions.sort_by_key(|version| std::cmp::Reverse(version.number));
        Ok(versions)
    }

    /// A version and its document.
    pub async fn policy_version(
        &self,
        id: u64,
        number: u64,
    ) -> Result<(PolicyVersion, Bytes), IdentityError> {
        let rows = [policy_row(id), policy_version_row(id, number)];
        let found = self.read_identities(&rows).await?;
        let [policy, version] = &found[..] else { return Err(IdentityError::NoSuchPolicy) };
        let row: ManagedPolicyRow = decode(policy.as_ref().ok_or(IdentityError::NoSuchPolicy)?)?;
        if number == default_number(&row) {
            let version = PolicyVersion { number, is_default: true, created_ms: row.updated_ms };
            return Ok((version, row.document));
        }
        let entry = row.others.iter().find(|entry| entry.number == number);
        let created_ms = entry.ok_or(IdentityError::NoSuchVersion)?.created_ms;
        let bytes = version.as_ref().ok_or(IdentityError::NoSuchVersion)?;
        let version: PolicyVersionRow = decode(bytes)?;
        let document = version.document.unwrap_or_default().text;
        Ok((PolicyVersion { number, is_default: false, created_ms }, document))
    }

    /// Lets another version count.
    pub async fn set_default_version(&self, id: u64, number: u64) -> Result<(), IdentityError> {
        let write_id = self.entropy.id();
        let rows = [policy_row(id), policy_version_row(id, number)];
        self.change(&rows, |found| {
            let [Some(policy), version] = found else { return Err(IdentityError::NoSuchPolicy) };
            let mut row: ManagedPolicyRow = decode(policy)?;
            if number == default_number(&row) {
                return Ok(((), Vec::new()));
            }
            let at = row.others.iter().position(|entry| entry.number == number);
            let entry = row.others.swap_remove(at.ok_or(IdentityError::NoSuchVersion)?);
            let damaged = || Error::Damaged(format!("policy {id} lacks a version"));
            let version: PolicyVersionRow = decode(version.as_ref().ok_or_else(damaged)?)?;
            let document = version.document.ok_or_else(damaged)?;
            let latest = latest_number(&row);
            let aside = set_aside(&mut row);
            (row.default_version, row.latest_version) = (number, latest);
            (row.grammar, row.document) = (document.grammar, document.text);
            row.updated_ms = entry.created_ms;
            row.write_id = Bytes::copy_from_slice(&write_id);
            Ok(((), vec![aside, Write::Delete(rows[1].clone()), put(rows[0].clone(), &row)]))
        })
        .await
    }

    /// Takes away a version that does not count.
    pub async fn delete_policy_version(&self, id: u64, number: u64) -> Result<(), IdentityError> {
        self.change_policy(id, |row| {
            if number == default_number(row) {
                return Err(IdentityError::DefaultVersion);
            }
            row.latest_version = latest_number(row);
            let count = row.others.len();
            row.others.retain(|entry| entry.number != number);
            match row.others.len() < count {
                true => Ok(((), vec![Write::Delete(policy_version_row(id, number))])),
                false => Err(IdentityError::NoSuchVersion),
            }
        })
        .await
    }

    /// Changes a policy's row, together with whatever else is written.
    pub(super) async fn change_policy<T>(
        &self,
        id: u64,
        decide: impl Fn(&mut ManagedPolicyRow) -> Result<(T, Vec<Write>), IdentityError>,
    ) -> Result<T, IdentityError> {
        if id < PRESETS_END {
            return Err(IdentityError::PresetPolicy);
        }
        let policy = policy_row(id);
        self.change(std::slice::from_ref(&policy), |found| {
            let [Some(bytes)] = found else { return Err(IdentityError::NoSuchPolicy) };
            let mut row: ManagedPolicyRow = decode(bytes)?;
            let (value, mut writes) = decide(&mut row)?;
            writes.push(put(policy.clone(), &row));
            Ok((value, writes))
        })
        .await
    }
}
