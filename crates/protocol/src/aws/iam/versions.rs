//! Versions of policies that stand by themselves.

use bytes::Bytes;
use costrel_core::account::{ManagedPolicy, PolicyVersion};
use costrel_policy::Grammar;
use futures_util::future::BoxFuture;

use super::policies::{named, refuse_preset};
use super::{document, page, time};
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        refuse_preset(&policy)?;
        let text = asked.call.required("PolicyDocument")?.trim().as_bytes();
        let is_default = asked.call.truth("SetAsDefault")?.unwrap_or(false);
        let text = (Grammar::Iam, text);
        let number = asked.accounts.create_policy_version(policy.id, text, is_default).await?;
        let (version, _) = asked.accounts.policy_version(policy.id, number).await?;
        Ok(Some(vec![("PolicyVersion", fields(&version).into())]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        let (version, text) = match policy.is_preset() {
            true if number(asked)? == 1 => (of_preset(), policy.document),
            true => return Err(costrel_core::account::IdentityError::NoSuchVersion.into()),
            false => asked.accounts.policy_version(policy.id, number(asked)?).await?,
        };
        let mut shown: Fields = vec![("Document", document(&text))];
        shown.extend(fields(&version));
        Ok(Some(vec![("PolicyVersion", shown.into())]))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        let versions = match policy.is_preset() {
            true => vec![of_preset()],
            false => asked.accounts.policy_versions(policy.id).await?,
        };
        let versions = versions.iter().map(|version| Node::Fields(fields(version)));
        Ok(Some(page(asked, "Versions", versions.collect())?))
    })
}

pub(super) fn set_default<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        refuse_preset(&policy)?;
        asked.accounts.set_default_version(policy.id, number(asked)?).await?;
        Ok(None)
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        refuse_preset(&policy)?;
        asked.accounts.delete_policy_version(policy.id, number(asked)?).await?;
        Ok(None)
    })
}

/// `v1`
fn number(asked: &Asked<'_>) -> Result<u64, AwsFailure> {
    let number = asked.call.required("VersionId")?.strip_prefix('v');
    let number = number.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|digits| digits.parse().ok()).ok_or(AwsFailure::BadValue("VersionId"))
}

fn of_preset() -> PolicyVersion {
    PolicyVersion { number: 1, is_default: true, created_ms: 0 }
}

/// All versions of a policy with their texts, the one that counts first.
pub(super) async fn all(
    asked: &Asked<'_>,
    policy: &ManagedPolicy,
) -> Result<Vec<(PolicyVersion, Bytes)>, AwsFailure> {
    if policy.is_preset() {
        return Ok(vec![(of_preset(), policy.document.clone())]);
    }
    let versions = super::found(asked.accounts.policy_versions(policy.id).await)?;
    let mut all = Vec::new();
    for version in versions.unwrap_or_default() {
        let number = version.number;
        all.extend(super::found(asked.accounts.policy_version(policy.id, number).await)?);
    }
    Ok(all)
}

pub(super) fn fields(version: &PolicyVersion) -> Fields {
    vec![
        ("VersionId", format!("v{}", version.number).into()),
        ("IsDefaultVersion", if version.is_default { "true" } else { "false" }.into()),
        ("CreateDate", time(version.created_ms)),
    ]
}
