//! Roles.

use costrel_core::account::{ROLE_SESSION_S_MAX, Role, RoleChanges, Uin};
use costrel_policy::Grammar;
use futures_util::future::BoxFuture;

use super::labels::details;
use super::{by_name, document, page, policies, rest, time};
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

/// The longest that one may have a role at a time, at least and if nobody says, in
/// seconds.
const SESSION_S: u64 = 3600;

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let name = call.required("RoleName")?;
        let trust = call.required("AssumeRolePolicyDocument")?.trim().as_bytes();
        let seconds = session(asked)?.unwrap_or(SESSION_S);
        let description = call.text("Description").unwrap_or_default();
        let trust = (Grammar::Iam, trust);
        let given = policies::given(asked).await?;
        let accounts = asked.accounts;
        let role = accounts.create_role_with(name, trust, seconds, description, &given).await?;
        let shown = fields(&role, asked.key.account.uin);
        let shown = details(asked, shown, &role.labels, role.boundary).await?;
        Ok(Some(vec![("Role", shown.into())]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let role = named(asked).await?;
        let shown = fields(&role, asked.key.account.uin);
        let shown = details(asked, shown, &role.labels, role.boundary).await?;
        Ok(Some(vec![("Role", shown.into())]))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (after, limit, prefix) = by_name(asked)?;
        let wanted = |role: &Role| role.labels.path.starts_with(prefix);
        let (roles, next) = asked.accounts.roles_by_name(after, limit, wanted).await?;
        let roles = roles.iter().map(|role| fields(role, asked.key.account.uin).into()).collect();
        let mut answer: Fields = vec![("Roles", Node::List(roles))];
        answer.extend(rest(next));
        Ok(Some(answer))
    })
}

pub(super) fn update<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let changes = RoleChanges {
            description: asked.call.text("Description"),
            session_s_max: session(asked)?,
            trust: None,
        };
        asked.accounts.update_role(named(asked).await?.id, &changes).await?;
        Ok(Some(Vec::new()))
    })
}

pub(super) fn describe<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        // An empty one takes it away.
        let description = asked.call.text("Description");
        let description = Some(description.ok_or(AwsFailure::Missing("Description"))?);
        let changes = RoleChanges { description, ..RoleChanges::default() };
        let id = named(asked).await?.id;
        asked.accounts.update_role(id, &changes).await?;
        let role = asked.accounts.role(id).await?;
        Ok(Some(vec![("Role", fields(&role, asked.key.account.uin).into())]))
    })
}

pub(super) fn set_trust<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let trust = asked.call.required("PolicyDocument")?.trim().as_bytes();
        let changes = RoleChanges { trust: Some((Grammar::Iam, trust)), ..RoleChanges::default() };
        asked.accounts.update_role(named(asked).await?.id, &changes).await?;
        Ok(None)
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        asked.accounts.delete_role(named(asked).await?.id, false).await?;
        Ok(None)
    })
}

/// There are no instances here that could have a role.
pub(super) fn list_instance_profiles<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        named(asked).await?;
        Ok(Some(page(asked, "InstanceProfiles", Vec::new())?))
    })
}

fn session(asked: &Asked<'_>) -> Result<Option<u64>, AwsFailure> {
    match asked.call.number("MaxSessionDuration")? {
        Some(seconds) if !(SESSION_S..=ROLE_SESSION_S_MAX).contains(&seconds) => {
            Err(AwsFailure::BadValue("MaxSessionDuration"))
        }
        seconds => Ok(seconds),
    }
}

async fn named(asked: &Asked<'_>) -> Result<Role, AwsFailure> {
    Ok(asked.accounts.role_named(asked.call.required("RoleName")?).await?)
}

pub(super) fn fields(role: &Role, account: Uin) -> Fields {
    let mut fields = vec![
        ("Path", role.labels.path.as_str().into()),
        ("RoleName", role.name.as_str().into()),
        ("RoleId", role.id.to_string().into()),
        ("Arn", format!("arn:aws:iam::{account}:role{}", role.labels.place(&role.name)).into()),
        ("CreateDate", time(role.created_ms)),
        ("AssumeRolePolicyDocument", document(&role.trust.1)),
    ];
    if !role.description.is_empty() {
        fields.push(("Description", role.description.as_str().into()));
    }
    fields.push(("MaxSessionDuration", role.session_s_max.to_string().into()));
    fields
}
