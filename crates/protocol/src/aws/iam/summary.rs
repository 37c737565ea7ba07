//! What there is in the account, and who has a policy.

use costrel_core::account::{
    ATTACHED_MAX, GROUPS_MAX, HolderEntry, PolicyHolder, USER_KEYS_MAX, VERSIONS_MAX,
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

/// Kinds of those who have policies.
const USER: &str = "User";
const GROUP: &str = "Group";
const ROLE: &str = "Role";

/// What somebody is, and his number.
fn kind_of(holder: PolicyHolder) -> (&'static str, String) {
    match holder {
        PolicyHolder::User(uin) => (USER, uin.to_string()),
        PolicyHolder::Group(id) => (GROUP, id.to_string()),
        PolicyHolder::Role(id) => (ROLE, id.to_string()),
    }
}

fn holder_of(kind: &str, number: &str) -> Option<PolicyHolder> {
    Some(match kind {
        USER => PolicyHolder::User(number.parse().ok()?),
        GROUP => PolicyHolder::Group(number.parse().ok()?),
        ROLE => PolicyHolder::Role(number.parse().ok()?),
        _ => return None,
    })
}

/// Whom a policy is attached to, or whose permissions boundary it is.
pub(super) fn list_entities<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let policy = policies::named(asked).await?;
        let kind = match call.text("EntityFilter") {
            None | Some("LocalManagedPolicy" | "AWSManagedPolicy") => None,
            Some(kind @ (USER | GROUP | ROLE)) => Some(kind),
            Some(_) => return Err(AwsFailure::BadValue("EntityFilter")),
        };
        let as_boundary = match call.text("PolicyUsageFilter") {
            None | Some("PermissionsPolicy") => false,
            Some("PermissionsBoundary") => true,
            Some(_) => return Err(AwsFailure::BadValue("PolicyUsageFilter")),
        };
        let after = call.text("Marker").map(|marker| {
            let (kind, number) = marker.split_once('/')?;
            holder_of(kind, number)
        });
        let after = match after {
            Some(None) => return Err(AwsFailure::BadValue("Marker")),
            Some(after) => after,
            None => None,
        };
        let prefix = call.text("PathPrefix").unwrap_or("/");
        let wanted = |holder: PolicyHolder, path: &str| {
            kind.is_none_or(|kind| kind == kind_of(holder).0) && path.starts_with(prefix)
        };
        // One page goes through all three lists.
        let (asked_for, limit) = ((policy.id, as_boundary), super::page_limit(asked)?);
        let (shown, more) = asked.accounts.holders_behind(asked_for, after, limit, wanted).await?;
        let next = shown.last().filter(|_| more).map(|last| {
            let (kind, number) = kind_of(last.holder);
            format!("{kind}/{number}")
        });
        let mut lists: [Vec<Node>; 3] = Default::default();
        for HolderEntry { holder, name } in shown {
            let (at, name_of, id_of) = match holder {
                PolicyHolder::User(_) => (0, "UserName", "UserId"),
                PolicyHolder::Group(_) => (1, "GroupName", "GroupId"),
                PolicyHolder::Role(_) => (2, "RoleName", "RoleId"),
            };
            let id = kind_of(holder).1;
            lists[at].push(Node::Fields(vec![(name_of, name.into()), (id_of, id.into())]));
        }
        let [users, groups, roles] = lists;
        let mut fields: Fields = vec![
            ("PolicyUsers", Node::List(users)),
            ("PolicyGroups", Node::List(groups)),
            ("PolicyRoles", Node::List(roles)),
        ];
        fields.extend(super::rest(next));
        Ok(Some(fields))
    })
}
