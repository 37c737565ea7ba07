//! Roles: who may take them on, and what they may do.

use costrel_core::account::{PolicyHolder, Role, RoleChanges, Uin};
use costrel_policy::Grammar;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{attached_fields, object, page, time};
use crate::cloud::{Answered, Asked, CloudFailure};

/// The longest that one may have a role at a time if nobody says, in seconds.
const SESSION_S: i64 = 7200;

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let (name, trust) = (call.required("RoleName")?, call.required("PolicyDocument")?);
        if call.number("ConsoleLogin")?.unwrap_or(0) != 0 {
            return Err(CloudFailure::Unsupported("a login to the console"));
        }
        // Nothing said and 0 are the same. (The documents of the API.)
        let seconds = call.number("SessionDuration")?.filter(|seconds| *seconds != 0);
        let seconds = u64::try_from(seconds.unwrap_or(SESSION_S)).unwrap_or(0);
        let trust = (Grammar::Cam, trust.trim().as_bytes());
        let description = call.text("Description")?.unwrap_or_default();
        let role = asked.accounts.create_role(name, trust, seconds, description).await?;
        Ok(object([("RoleId", role.id.to_string().into())]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let role = meant(asked, "RoleId", "RoleName").await?;
        Ok(object([("RoleInfo", fields(&role, asked.key.account.uin))]))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (skip, limit) = page(asked)?;
        let (count, roles) = asked.accounts.roles(skip, limit).await?;
        let roles = roles.iter().map(|role| fields(role, asked.key.account.uin));
        Ok(object([("TotalNum", count.into()), ("List", roles.collect())]))
    })
}

pub(super) fn set_trust<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let trust = asked.call.required("PolicyDocument")?.trim().as_bytes();
        let changes = RoleChanges { trust: Some((Grammar::Cam, trust)), ..RoleChanges::default() };
        let role = meant(asked, "RoleId", "RoleName").await?;
        asked.accounts.update_role(role.id, &changes).await?;
        Ok(Map::new())
    })
}

pub(super) fn describe<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let description = Some(asked.call.required("Description")?);
        let role = meant(asked, "RoleId", "RoleName").await?;
        let changes = RoleChanges { description, ..RoleChanges::default() };
        asked.accounts.update_role(role.id, &changes).await?;
        Ok(Map::new())
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let role = meant(asked, "RoleId", "RoleName").await?;
        asked.accounts.delete_role(role.id, true).await?;
        Ok(Map::new())
    })
}

pub(super) fn attach_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let role = meant(asked, "AttachRoleId", "AttachRoleName").await?;
        asked.accounts.attach_policy(PolicyHolder::Role(role.id), policy(asked).await?).await?;
        Ok(Map::new())
    })
}

pub(super) fn detach_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let role = meant(asked, "DetachRoleId", "DetachRoleName").await?;
        asked.accounts.detach_policy(PolicyHolder::Role(role.id), policy(asked).await?).await?;
        Ok(Map::new())
    })
}

pub(super) fn list_policies<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let role = meant(asked, "RoleId", "RoleName").await?;
        attached_fields(asked, PolicyHolder::Role(role.id), "Description").await
    })
}

/// The role that is named by its number, a text, or else by its name.
async fn meant(
    asked: &Asked<'_>,
    id: &'static str,
    name: &'static str,
) -> Result<Role, CloudFailure> {
    Ok(match (asked.call.text(id)?, asked.call.text(name)?) {
        (Some(text), _) => {
            asked.accounts.role(text.parse().map_err(|_| CloudFailure::BadValue(id))?).await?
        }
        (None, Some(name)) => asked.accounts.role_named(name).await?,
        (None, None) => return Err(CloudFailure::Missing(id)),
    })
}

/// The policy that is named by its number, or else by its name.
async fn policy(asked: &Asked<'_>) -> Result<u64, CloudFailure> {
    match (asked.call.number("PolicyId")?, asked.call.text("PolicyName")?) {
        (None, Some(name)) => Ok(asked.accounts.managed_policy_named(name).await?.id),
        _ => super::id(asked, "PolicyId"),
    }
}

fn fields(role: &Role, account: Uin) -> Value {
    let document = String::from_utf8_lossy(&role.trust.1).into_owned();
    let fields = object([
        ("RoleId", role.id.to_string().into()),
        ("RoleName", role.name.as_str().into()),
        ("PolicyDocument", document.into()),
        ("Description", role.description.as_str().into()),
        ("AddTime", time(role.created_ms)),
        ("UpdateTime", time(role.updated_ms)),
        ("ConsoleLogin", 0.into()),
        ("RoleType", "user".into()),
        ("SessionDuration", role.session_s_max.into()),
        ("RoleArn", format!("qcs::cam::uin/{account}:roleName/{}", role.name).into()),
    ]);
    fields.into()
}
