//! What there is in the account, and who has a policy.

use costrel_core::account::{
    ATTACHED_MAX, GROUPS_MAX, Group, PolicyHolder, Role, USER_KEYS_MAX, User, VERSIONS_MAX,
};
use costrel_policy::POLICY_BYTES_MAX;
use futures_util::future::BoxFuture;

use super::policies;
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

/// Numbers of what there is, and what it is limited to.
pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let held = asked.accounts.held().await?;
        let entries = [
            ("Users", held.users),
            ("Groups", held.groups),
            ("Roles", held.roles),
            ("Policies", held.policies),
            ("PolicyVersionsInUse", held.versions),
            ("Providers", held.providers),
            ("MFADevices", 0),
            ("MFADevicesInUse", 0),
            ("AccountMFAEnabled", 0),
            ("AccountAccessKeysPresent", 1),
            ("ServerCertificates", 0),
            ("AccessKeysPerUserQuota", USER_KEYS_MAX),
            ("GroupsPerUserQuota", GROUPS_MAX),
            ("AttachedPoliciesPerUserQuota", ATTACHED_MAX),
            ("AttachedPoliciesPerGroupQuota", ATTACHED_MAX),
            ("AttachedPoliciesPerRoleQuota", ATTACHED_MAX),
            ("VersionsPerPolicyQuota", VERSIONS_MAX),
            ("PolicySizeQuota", POLICY_BYTES_MAX),
        ];
        let entry = |(name, number): &(&'static str, usize)| {
            (
                "entry",
                Node::Fields(vec![("key", (*name).into()), ("value", number.to_string().into())]),
            )
        };
        let map: Fields = entries.iter().map(entry).collect();
        Ok(Some(vec![("SummaryMap", map.into())]))
    })
}

/// Whom a policy is attached to, or whose permissions boundary it is.
pub(super) fn list_entities<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let policy = policies::named(asked).await?;
        let kind = match call.text("EntityFilter") {
            None | Some("LocalManagedPolicy" | "AWSManagedPolicy") => None,
            Some(kind @ ("User" | "Group" | "Role")) => Some(kind),
            Some(_) => return Err(AwsFailure::BadValue("EntityFilter")),
        };
        let (users, groups, roles) = match call.text("PolicyUsageFilter") {
            None | Some("PermissionsPolicy") => asked.accounts.holders_of(policy.id).await?,
            Some("PermissionsBoundary") => {
                let (users, roles) = asked.accounts.bounded_by(policy.id).await?;
                (users, Vec::new(), roles)
            }
            Some(_) => return Err(AwsFailure::BadValue("PolicyUsageFilter")),
        };
        let prefix = call.text("PathPrefix").unwrap_or("/");
        let wanted =
            |of: &str, path: &str| kind.is_none_or(|kind| kind == of) && path.starts_with(prefix);
        let users = users.iter().filter(|user| wanted("User", &user.labels.path));
        let groups = groups.iter().filter(|group| wanted("Group", &group.labels.path));
        let roles = roles.iter().filter(|role| wanted("Role", &role.labels.path));
        let all: Vec<(PolicyHolder, &str)> = users
            .map(|User { uin, name, .. }| (PolicyHolder::User(*uin), name.as_str()))
            .chain(groups.map(|Group { id, name, .. }| (PolicyHolder::Group(*id), name.as_str())))
            .chain(roles.map(|Role { id, name, .. }| (PolicyHolder::Role(*id), name.as_str())))
            .collect();
        // One page goes through all three lists.
        let (shown, rest) = super::page_of(asked, all)?;
        let mut lists: [Vec<Node>; 3] = Default::default();
        for (holder, name) in shown {
            let (at, name_of, id_of, id) = match holder {
                PolicyHolder::User(uin) => (0, "UserName", "UserId", uin.to_string()),
                PolicyHolder::Group(id) => (1, "GroupName", "GroupId", id.to_string()),
                PolicyHolder::Role(id) => (2, "RoleName", "RoleId", id.to_string()),
            };
            lists[at].push(Node::Fields(vec![(name_of, name.into()), (id_of, id.into())]));
        }
        let [users, groups, roles] = lists;
        let mut fields: Fields = vec![
            ("PolicyUsers", Node::List(users)),
            ("PolicyGroups", Node::List(groups)),
            ("PolicyRoles", Node::List(roles)),
        ];
        fields.extend(rest);
        Ok(Some(fields))
    })
}
