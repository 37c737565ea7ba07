//! Identity and Access Management: the users, groups, roles and policies that CAM has,
//! under AWS's names.

mod groups;
mod policies;
mod providers;
mod roles;
mod users;

use costrel_core::account::{PolicyHolder, Uin, User};
use costrel_policy::Action as PolicyAction;

use super::call::Call;
use super::tree::{Fields, Node};
use super::{Action, Answer, Asked, AwsFailure, Service, action};
use crate::{date, percent};

/// An action that policies call as IAM does and, in CAM's grammar, as CAM calls the same.
macro_rules! iam {
    ($name:literal as $cam:literal, $parameters:expr, $answer:expr) => {
        action!(
            $name,
            Some(PolicyAction { cam: concat!("name/cam:", $cam), iam: concat!("iam:", $name) }),
            $parameters,
            Answer::Signed($answer)
        )
    };
    ($name:literal, $parameters:expr, $answer:expr) => {
        iam!($name as $name, $parameters, $answer)
    };
}

macro_rules! not_yet {
    ($name:literal) => {
        action!($name, None, &[], Answer::NotYet)
    };
}

pub(super) const SERVICE: Service = Service {
    name: "iam",
    version: "2010-05-08",
    namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
    actions: ACTIONS,
};

const ACTIONS: &[Action] = &[
    iam!("CreateUser" as "AddUser", &["UserName", "Path"], users::create),
    iam!("GetUser", &["UserName"], users::get),
    iam!("ListUsers", &["PathPrefix", "Marker", "MaxItems"], users::list),
    iam!("DeleteUser", &["UserName"], users::delete),
    iam!("CreateAccessKey", &["UserName"], users::create_key),
    iam!("ListAccessKeys", &["UserName", "Marker", "MaxItems"], users::list_keys),
    iam!("UpdateAccessKey", &["UserName", "AccessKeyId", "Status"], users::update_key),
    iam!("DeleteAccessKey", &["UserName", "AccessKeyId"], users::delete_key),
    iam!("ListGroupsForUser", &["UserName", "Marker", "MaxItems"], groups::list_of_user),
    iam!("PutUserPolicy", &["UserName", "PolicyName", "PolicyDocument"], policies::put_inline),
    iam!("GetUserPolicy", &["UserName", "PolicyName"], policies::get_inline),
    iam!("DeleteUserPolicy", &["UserName", "PolicyName"], policies::delete_inline),
    iam!("ListUserPolicies", &["UserName", "Marker", "MaxItems"], policies::list_inline),
    iam!("AttachUserPolicy", &["UserName", "PolicyArn"], policies::attach),
    iam!("DetachUserPolicy", &["UserName", "PolicyArn"], policies::detach),
    iam!(
        "ListAttachedUserPolicies",
        &["UserName", "PathPrefix", "Marker", "MaxItems"],
        policies::list_attached
    ),
    iam!("CreateGroup", &["GroupName", "Path"], groups::create),
    iam!("GetGroup", &["GroupName", "Marker", "MaxItems"], groups::get),
    iam!("ListGroups", &["PathPrefix", "Marker", "MaxItems"], groups::list),
    iam!("UpdateGroup", &["GroupName", "NewGroupName"], groups::update),
    iam!("DeleteGroup", &["GroupName"], groups::delete),
    iam!("AddUserToGroup", &["GroupName", "UserName"], groups::add_user),
    iam!("RemoveUserFromGroup", &["GroupName", "UserName"], groups::remove_user),
    iam!("PutGroupPolicy", &["GroupName", "PolicyName", "PolicyDocument"], policies::put_inline),
    iam!("GetGroupPolicy", &["GroupName", "PolicyName"], policies::get_inline),
    iam!("DeleteGroupPolicy", &["GroupName", "PolicyName"], policies::delete_inline),
    iam!("ListGroupPolicies", &["GroupName", "Marker", "MaxItems"], policies::list_inline),
    iam!("AttachGroupPolicy", &["GroupName", "PolicyArn"], policies::attach),
    iam!("DetachGroupPolicy", &["GroupName", "PolicyArn"], policies::detach),
    iam!(
        "ListAttachedGroupPolicies",
        &["GroupName", "PathPrefix", "Marker", "MaxItems"],
        policies::list_attached
    ),
    iam!(
        "CreateRole",
        &["RoleName", "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration"],
        roles::create
    ),
    iam!("GetRole", &["RoleName"], roles::get),
    iam!("ListRoles" as "DescribeRoleList", &["PathPrefix", "Marker", "MaxItems"], roles::list),
    iam!("UpdateRole", &["RoleName", "Description", "MaxSessionDuration"], roles::update),
    iam!("UpdateRoleDescription", &["RoleName", "Description"], roles::describe),
    iam!("UpdateAssumeRolePolicy", &["RoleName", "PolicyDocument"], roles::set_trust),
    iam!("DeleteRole", &["RoleName"], roles::delete),
    iam!("PutRolePolicy", &["RoleName", "PolicyName", "PolicyDocument"], policies::put_inline),
    iam!("GetRolePolicy", &["RoleName", "PolicyName"], policies::get_inline),
    iam!("DeleteRolePolicy", &["RoleName", "PolicyName"], policies::delete_inline),
    iam!("ListRolePolicies", &["RoleName", "Marker", "MaxItems"], policies::list_inline),
    iam!("AttachRolePolicy", &["RoleName", "PolicyArn"], policies::attach),
    iam!("DetachRolePolicy", &["RoleName", "PolicyArn"], policies::detach),
    iam!(
        "ListAttachedRolePolicies",
        &["RoleName", "PathPrefix", "Marker", "MaxItems"],
        policies::list_attached
    ),
    iam!(
        "ListInstanceProfilesForRole",
        &["RoleName", "Marker", "MaxItems"],
        roles::list_instance_profiles
    ),
    iam!(
        "CreatePolicy",
        &["PolicyName", "Path", "PolicyDocument", "Description"],
        policies::create
    ),
    iam!("GetPolicy", &["PolicyArn"], policies::get),
    iam!("GetPolicyVersion", &["PolicyArn", "VersionId"], policies::get_version),
    iam!("ListPolicyVersions", &["PolicyArn", "Marker", "MaxItems"], policies::list_versions),
    iam!(
        "ListPolicies",
        &["Scope", "OnlyAttached", "PathPrefix", "Marker", "MaxItems"],
        policies::list
    ),
    iam!("DeletePolicy", &["PolicyArn"], policies::delete),
    iam!(
        "CreateOpenIDConnectProvider" as "CreateOIDCConfig",
        &["Url", "ClientIDList", "ThumbprintList"],
        providers::create
    ),
    iam!(
        "GetOpenIDConnectProvider" as "DescribeOIDCConfig",
        &["OpenIDConnectProviderArn"],
        providers::get
    ),
    iam!("ListOpenIDConnectProviders" as "ListOIDCConfigs", &[], providers::list),
    iam!(
        "AddClientIDToOpenIDConnectProvider" as "UpdateOIDCConfig",
        &["OpenIDConnectProviderArn", "ClientID"],
        providers::add_client
    ),
    iam!(
        "RemoveClientIDFromOpenIDConnectProvider" as "UpdateOIDCConfig",
        &["OpenIDConnectProviderArn", "ClientID"],
        providers::remove_client
    ),
    iam!(
        "UpdateOpenIDConnectProviderThumbprint" as "UpdateOIDCConfig",
        &["OpenIDConnectProviderArn", "ThumbprintList"],
        providers::set_thumbprints
    ),
    iam!(
        "DeleteOpenIDConnectProvider" as "DeleteOIDCConfig",
        &["OpenIDConnectProviderArn"],
        providers::delete
    ),
    not_yet!("UpdateUser"),
    not_yet!("TagUser"),
    not_yet!("UntagUser"),
    not_yet!("ListUserTags"),
    not_yet!("GetAccessKeyLastUsed"),
    not_yet!("PutUserPermissionsBoundary"),
    not_yet!("DeleteUserPermissionsBoundary"),
    not_yet!("TagRole"),
    not_yet!("UntagRole"),
    not_yet!("ListRoleTags"),
    not_yet!("CreatePolicyVersion"),
    not_yet!("SetDefaultPolicyVersion"),
    not_yet!("DeletePolicyVersion"),
    not_yet!("ListEntitiesForPolicy"),
    not_yet!("SimulatePrincipalPolicy"),
];

/// What policies call an action of CAM in IAM's grammar.
pub(crate) fn same_as(cam: &str) -> Option<&'static str> {
    // What IAM has in one action, or in one of another name, CAM has in several.
    match cam {
        "name/cam:UpdateUser" => return Some("iam:UpdateUser"),
        "name/cam:UpdatePolicy" => return Some("iam:CreatePolicyVersion"),
        "name/cam:ListUsersForGroup" => return Some("iam:GetGroup"),
        _ => {}
    }
    let mut known = ACTIONS.iter().filter_map(|action| action.permission);
    known.find(|known| known.cam == cam).map(|known| known.iam)
}

/// What an action is about, as policies call it; nothing if it is about the account.
pub(super) fn resources(call: &Call<'_>, account: Uin, caller: Option<&User>) -> Vec<String> {
    let arn = |kind: &str, name: &str| vec![format!("arn:aws:iam::{account}:{kind}/{name}")];
    let of = |parameter: &str| call.text(parameter);
    if let Some(name) = of("GroupName") {
        return arn("group", name);
    }
    if let Some(name) = of("UserName") {
        return arn("user", name);
    }
    if let Some(name) = of("RoleName") {
        return arn("role", name);
    }
    if let Some(known) = of("PolicyArn").or(of("OpenIDConnectProviderArn")) {
        return vec![known.to_owned()];
    }
    if let Some(url) = of("Url") {
        let place = url.split_once("://").map_or(url, |(_, place)| place);
        return arn("oidc-provider", place);
    }
    if let Some(name) = of("PolicyName") {
        return arn("policy", name);
    }
    let own = matches!(
        of("Action"),
        Some(
            "GetUser"
                | "CreateAccessKey"
                | "ListAccessKeys"
                | "UpdateAccessKey"
                | "DeleteAccessKey"
        )
    );
    caller.filter(|_| own).map(|user| arn("user", &user.name)).unwrap_or_default()
}

/// There are no paths but the one that all have who have none.
fn refuse_path(asked: &Asked<'_>) -> Result<(), AwsFailure> {
    match asked.call.text("Path") {
        None | Some("/") => Ok(()),
        Some(_) => Err(AwsFailure::UnknownParameter("Path".into())),
    }
}

/// Whether everything is meant, or nothing.
fn in_path(asked: &Asked<'_>) -> bool {
    asked.call.text("PathPrefix").is_none_or(|prefix| prefix == "/")
}

/// Entries of a page if nobody says, and at most.
const PAGE: u64 = 100;
const PAGE_MAX: u64 = 1000;

/// A page of a list under a name. A marker is the number of entries before it.
fn page(asked: &Asked<'_>, name: &'static str, list: Vec<Node>) -> Result<Fields, AwsFailure> {
    let limit = asked.call.number("MaxItems")?.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(AwsFailure::BadValue("MaxItems"));
    }
    let skip = asked.call.number("Marker")?.unwrap_or(0);
    let (skip, limit) = (usize::try_from(skip).unwrap_or(usize::MAX), limit as usize);
    let end = skip.saturating_add(limit);
    let truncated = end < list.len();
    let shown = list.into_iter().skip(skip).take(limit).collect();
    let mut fields: Fields = vec![
        (name, Node::List(shown)),
        ("IsTruncated", if truncated { "true" } else { "false" }.into()),
    ];
    if truncated {
        fields.push(("Marker", end.to_string().into()));
    }
    Ok(fields)
}

fn time(unix_ms: u64) -> Node {
    date::iso_seconds(unix_ms).into()
}

/// A policy's document, as in URLs. (AWS.)
fn document(text: &[u8]) -> Node {
    percent::encode(&String::from_utf8_lossy(text)).into_owned().into()
}

/// Whose policies an action is about.
async fn holder(asked: &Asked<'_>) -> Result<(&'static str, PolicyHolder), AwsFailure> {
    let call = asked.call;
    if call.text("GroupName").is_some() {
        let group = asked.accounts.group_named(call.required("GroupName")?).await?;
        return Ok(("GroupName", PolicyHolder::Group(group.id)));
    }
    if call.text("RoleName").is_some() {
        let role = asked.accounts.role_named(call.required("RoleName")?).await?;
        return Ok(("RoleName", PolicyHolder::Role(role.id)));
    }
    let user = asked.accounts.user_named(call.required("UserName")?).await?;
    Ok(("UserName", PolicyHolder::User(user.uin)))
}
