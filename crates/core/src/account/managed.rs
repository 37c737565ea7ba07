//! Policies that stand by themselves and are attached to users and groups.

use bytes::Bytes;
use costrel_policy::{Grammar, Policy};

use super::identity::random_below;
use super::labels::Labels;
use super::presets::PRESETS_END;
use super::rows::{
    ManagedPolicyRow, RowGrammar, decode, policy_name_row, policy_row, policy_version_row, put,
    put_number,
};
use super::users::{check_text, is_name};
use super::versions::default_number;
use super::{Accounts, IdentityError};
use crate::engine::Write;
use crate::error::{Error, Result};

/// Longest name of a policy. (Tencent Cloud.)
pub(super) const NAME_LEN_MAX: usize = 128;

/// A policy that stands by itself.
#[derive(Clone, Debug)]
pub struct ManagedPolicy {
    pub id: u64,
    pub name: String,
    pub description: String,
    /// As its author wrote it, in this grammar.
    pub document: Bytes,
    pub grammar: Grammar,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    pub updated_ms: u64,
    /// The number of the version that counts.
    pub default_version: u64,
    pub labels: Labels,
}

impl ManagedPolicy {
    pub(super) fn of(row: ManagedPolicyRow) -> Result<ManagedPolicy> {
        Ok(ManagedPolicy {
            id: row.id,
            grammar: RowGrammar::language(row.grammar)?,
            default_version: default_number(&row),
            labels: Labels::of(row.labels),
            name: row.name,
            description: row.description,
            document: row.document,
            created_ms: row.created_ms,
            updated_ms: row.updated_ms,
        })
    }
}

impl Accounts {
    pub async fn create_policy(
        &self,
        name: &str,
        description: &str,
        document: (Grammar, &[u8]),
    ) -> Result<u64, IdentityError> {
        self.create_labelled_policy(name, description, document, &Labels::default()).await
    }

    pub async fn create_labelled_policy(
        &self,
        name: &str,
        description: &str,
        (grammar, document): (Grammar, &[u8]),
        labels: &Labels,
    ) -> Result<u64, IdentityError> {
        if !is_name(name, NAME_LEN_MAX) {
            return Err(IdentityError::PolicyName { len_max: NAME_LEN_MAX });
        }
        check_text(description)?;
        Policy::of_user(grammar, document)?.check_sids()?;
        let now_ms = self.clock.now_ms();
        let row = ManagedPolicyRow {
            id: 100_000_000 + random_below(900_000_000, &*self.entropy),
            name: name.to_owned(),
            description: description.to_owned(),
            document: Bytes::copy_from_slice(document),
            created_ms: now_ms,
            updated_ms: now_ms,
            write_id: Bytes::copy_from_slice(&self.entropy.id()),
            grammar: RowGrammar::from(grammar).into(),
            labels: labels.row()?,
            ..ManagedPolicyRow::default()
        };
        self.change(&[policy_name_row(name), policy_row(row.id)], |found| match found {
            [None, None] => Ok((
                row.id,
                vec![put_number(policy_name_row(name), row.id), put(policy_row(row.id), &row)],
            )),
            [None, _] => Err(Error::Internal("a number was drawn twice".into()).into()),
            _ => Err(IdentityError::PolicyExists),
        })
        .await
    }

    pub async fn managed_policy(&self, id: u64) -> Result<ManagedPolicy, IdentityError> {
        if let Some(preset) = ManagedPolicy::preset(id) {
            return Ok(preset);
        }
        let row = self.read_identity(policy_row(id)).await?;
        row.map(ManagedPolicy::of).transpose()?.ok_or(IdentityError::NoSuchPolicy)
    }

    pub async fn managed_policy_named(&self, name: &str) -> Result<ManagedPolicy, IdentityError> {
        let id = self.named(policy_name_row(name)).await?.ok_or(IdentityError::NoSuchPolicy)?;
        self.managed_policy(id).await
    }

    /// Policies that were made and whose name holds a text, in the order of their numbers: how many there
    /// are, and some of them.
    pub async fn managed_policies(
        &self,
        keyword: &str,
        skip: usize,
        limit: usize,
    ) -> Result<(usize, Vec<ManagedPolicy>)> {
        let keep = |row: &ManagedPolicyRow| row.name.contains(keyword);
        let (count, rows) = self.page(b'p', keep, skip, limit).await?;
        Ok((count, rows.into_iter().map(ManagedPolicy::of).collect::<Result<_>>()?))
    }

    /// Replaces what is given.
    pub async fn update_policy(
        &self,
        id: u64,
        description: Option<&str>,
        document: Option<(Grammar, &[u8])>,
    ) -> Result<(), IdentityError> {
        check_text(description.unwrap_or_default())?;
        if let Some((grammar, document)) = document {
            Policy::of_user(grammar, document)?.check_sids()?;
        }
        let (now_ms, write_id) = (self.clock.now_ms(), self.entropy.id());
        self.change_policy(id, |row| {
            if let Some(description) = description {
                row.description = description.to_owned();
            }
            if let Some((grammar, document)) = document {
                row.grammar = RowGrammar::from(grammar).into();
                row.document = Bytes::copy_from_slice(document);
            }
            row.updated_ms = now_ms;
            row.write_id = Bytes::copy_from_slice(&write_id);
            Ok(((), Vec::new()))
        })
        .await
    }

    /// Whoever had it has it no more. Its versions go with it.
    pub async fn delete_policy(&self, id: u64) -> Result<(), IdentityError> {
        if id < PRESETS_END {
            return Err(IdentityError::PresetPolicy);
        }
        let name = self.managed_policy(id).await?.name;
        let rows = [policy_row(id), policy_name_row(&name)];
        self.change(&rows, |found| {
            let [Some(bytes), _] = found else { return Err(IdentityError::NoSuchPolicy) };
            let row: ManagedPolicyRow = decode(bytes)?;
            let others = row.others.iter().map(|entry| policy_version_row(id, entry.number));
            Ok(((), rows.iter().cloned().chain(others).map(Write::Delete).collect()))
        })
        .await
    }
}
