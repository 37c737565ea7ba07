//! Identity and Access Management: the users, groups, roles and policies that CAM has,
//! under AWS's names.

mod authorization;
mod groups;
mod labels;
mod policies;
mod providers;
mod roles;
mod simulate;
mod summary;
mod users;
mod versions;

use costrel_core::account::{Accounts, IdentityError, Labels, PolicyHolder, User};
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

pub(super) const SERVICE: Service = Service {
    name: "iam",
    version: "2010-05-08",
    namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
    actions: ACTIONS,
};

const ACTIONS: &[Action] = &[
    iam!("CreateUser" as "AddUser", &["UserName", "Path", "Tags", "PermissionsBoundary"], users::create),
    iam!("GetUser", &["UserName"], users::get),
    iam!("ListUsers", &["PathPrefix", "Marker", "MaxItems"], users::list),
    iam!("DeleteUser", &["UserName"], users::delete),
    iam!("CreateAccessKey", &["UserName"], users::create_key),
    iam!("ListAccessKeys", &["UserName", "Marker", "MaxItems"], users::list_keys),
    iam!("UpdateAccessKey", &["UserName", "AccessKeyId", "Status"], users::update_key),
    iam!("DeleteAccessKey", &["UserName", "AccessKeyId"], users::delete_key),
    iam!("GetAccessKeyLastUsed" as "GetSecurityLastUsed", &["AccessKeyId"], users::last_use),
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
    iam!("UpdateGroup", &["GroupName", "NewGroupName", "NewPath"], groups::update),
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
        &[
            "RoleName",
            "Path",
            "AssumeRolePolicyDocument",
            "Description",
            "MaxSessionDuration",
            "Tags",
            "PermissionsBoundary"
        ],
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
        &["PolicyName", "Path", "PolicyDocument", "Description", "Tags"],
        policies::create
    ),
    iam!("GetPolicy", &["PolicyArn"], policies::get),
    iam!("GetPolicyVersion", &["PolicyArn", "VersionId"], versions::get),
    iam!("ListPolicyVersions", &["PolicyArn", "Marker", "MaxItems"], versions::list),
    iam!(
        "ListPolicies",
        &["Scope", "OnlyAttached", "PolicyUsageFilter", "PathPrefix", "Marker", "MaxItems"],
        policies::list
    ),
    iam!("DeletePolicy", &["PolicyArn"], policies::delete),
    iam!(
        "CreateOpenIDConnectProvider" as "CreateOIDCConfig",
        &["Url", "ClientIDList", "ThumbprintList", "Tags"],
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
    iam!("UpdateUser", &["UserName", "NewUserName", "NewPath"], users::update),
    iam!("TagUser", &["UserName", "Tags"], labels::tag),
    iam!("UntagUser", &["UserName", "TagKeys"], labels::untag),
    iam!("ListUserTags", &["UserName", "Marker", "MaxItems"], labels::list),
    iam!("TagRole", &["RoleName", "Tags"], labels::tag),
    iam!("UntagRole", &["RoleName", "TagKeys"], labels::untag),
    iam!("ListRoleTags", &["RoleName", "Marker", "MaxItems"], labels::list),
    iam!("TagPolicy", &["PolicyArn", "Tags"], labels::tag),
    iam!("UntagPolicy", &["PolicyArn", "TagKeys"], labels::untag),
    iam!("ListPolicyTags", &["PolicyArn", "Marker", "MaxItems"], labels::list),
    iam!("CreatePolicyVersion", &["PolicyArn", "PolicyDocument", "SetAsDefault"], versions::create),
    iam!("SetDefaultPolicyVersion", &["PolicyArn", "VersionId"], versions::set_default),
    iam!("DeletePolicyVersion", &["PolicyArn", "VersionId"], versions::delete),
    iam!(
        "PutUserPermissionsBoundary",
        &["UserName", "PermissionsBoundary"],
        policies::put_boundary
    ),
    iam!("DeleteUserPermissionsBoundary", &["UserName"], policies::delete_boundary),
    iam!(
        "PutRolePermissionsBoundary",
        &["RoleName", "PermissionsBoundary"],
        policies::put_boundary
    ),
    iam!("DeleteRolePermissionsBoundary", &["RoleName"], policies::delete_boundary),
    iam!(
        "ListEntitiesForPolicy",
        &["PolicyArn", "EntityFilter", "PathPrefix", "PolicyUsageFilter", "Marker", "MaxItems"],
        summary::list_entities
    ),
    iam!("GetAccountSummary", &[], summary::get),
    iam!("GetLoginProfile", &["UserName"], users::no_login_profile),
    iam!("DeleteLoginProfile", &["UserName"], users::no_login_profile),
    iam!("ListMFADevices", &["UserName", "Marker", "MaxItems"], users::list_mfa_devices),
    iam!(
        "ListVirtualMFADevices",
        &["AssignmentStatus", "Marker", "MaxItems"],
        users::list_virtual_mfa_devices
    ),
    iam!("ListSSHPublicKeys", &["UserName", "Marker", "MaxItems"], users::list_ssh_keys),
    iam!("ListSigningCertificates", &["UserName", "Marker", "MaxItems"], users::list_certificates),
    iam!(
        "ListServiceSpecificCredentials",
        &["UserName", "ServiceName"],
        users::list_service_credentials
    ),
    iam!("SimulateCustomPolicy", simulate::PARAMETERS, simulate::custom),
    iam!("SimulatePrincipalPolicy", simulate::OF_PRINCIPAL, simulate::principal),
    iam!(
        "GetAccountAuthorizationDetails",
        &["Filter", "Marker", "MaxItems"],
        authorization::details
    ),
    iam!("TagOpenIDConnectProvider", &["OpenIDConnectProviderArn", "Tags"], labels::tag),
    iam!("UntagOpenIDConnectProvider", &["OpenIDConnectProviderArn", "TagKeys"], labels::untag),
    iam!(
        "ListOpenIDConnectProviderTags",
        &["OpenIDConnectProviderArn", "Marker", "MaxItems"],
        labels::list
    ),
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

/// Something that an action is about.
#[derive(Default)]
pub(super) struct Resource {
    /// What policies call it; nothing if it is the account.
    pub names: Vec<String>,
    /// Its tags; nothing if it is not there yet.
    pub labels: Labels,
}

/// What an action is about. All of it must be allowed: what is renamed is about both names.
pub(super) async fn resources(
    call: &Call<'_>,
    accounts: &Accounts,
    caller: Option<&User>,
) -> Result<Vec<Resource>, AwsFailure> {
    let account = accounts.account().uin;
    let of = |parameter: &str| call.text(parameter);
    let action = of("Action").unwrap_or_default();
    let one = |kind: &str, place: String, labels: Labels| Resource {
        names: vec![format!("arn:aws:iam::{account}:{kind}{place}")],
        labels,
    };
    // What is not there has no path yet, and no tags.
    let new = |kind: &str, name: &str| {
        vec![one(kind, [of("Path").unwrap_or("/"), name].concat(), Labels::default())]
    };
    let there = |kind: &str, name: &str, labels: Option<Labels>, renamed: Option<&str>| {
        let labels = labels.unwrap_or_default();
        let mut all = vec![one(kind, labels.place(name), labels.clone())];
        if let Some(parameter) = renamed {
            let path = of("NewPath").unwrap_or(&labels.path);
            let place = [path, of(parameter).unwrap_or(name)].concat();
            all.push(one(kind, place, labels));
        }
        all
    };
    if let Some(name) = of("GroupName") {
        if action == "CreateGroup" {
            return Ok(new("group", name));
        }
        let labels = found(accounts.group_named(name).await)?.map(|group| group.labels);
        return Ok(there(
            "group",
            name,
            labels,
            (action == "UpdateGroup").then_some("NewGroupName"),
        ));
    }
    if let Some(name) = of("UserName") {
        if action == "CreateUser" {
            return Ok(new("user", name));
        }
        let labels = found(accounts.user_named(name).await)?.map(|user| user.labels);
        return Ok(there("user", name, labels, (action == "UpdateUser").then_some("NewUserName")));
    }
    if let Some(name) = of("RoleName") {
        if action == "CreateRole" {
            return Ok(new("role", name));
        }
        let labels = found(accounts.role_named(name).await)?.map(|role| role.labels);
        return Ok(there("role", name, labels, None));
    }
    let known = of("PolicyArn").or(of("OpenIDConnectProviderArn")).or(of("PolicySourceArn"));
    if let Some(arn) = known {
        let labels = labels_of_arn(accounts, arn).await?.unwrap_or_default();
        return Ok(vec![Resource { names: vec![arn.to_owned()], labels }]);
    }
    if let Some(url) = of("Url") {
        let place = url.split_once("://").map_or(url, |(_, place)| place);
        return Ok(vec![one("oidc-provider", ["/", place].concat(), Labels::default())]);
    }
    if let Some(name) = of("PolicyName") {
        return Ok(new("policy", name));
    }
    let user = |user: &User| one("user", user.labels.place(&user.name), user.labels.clone());
    // Of a key that nobody names the user of; the root's has none.
    if action == "GetAccessKeyLastUsed" {
        let owner = match of("AccessKeyId") {
            Some(id) => found(accounts.key_owner(id).await)?,
            None => None,
        };
        return Ok(vec![owner.as_ref().map(user).unwrap_or_default()]);
    }
    let own = matches!(
        action,
        "GetUser" | "CreateAccessKey" | "ListAccessKeys" | "UpdateAccessKey" | "DeleteAccessKey"
    );
    Ok(vec![caller.filter(|_| own).map(user).unwrap_or_default()])
}

/// The tags of what an ARN names, if it is there.
async fn labels_of_arn(accounts: &Accounts, arn: &str) -> Result<Option<Labels>, AwsFailure> {
    let own = format!("arn:aws:iam::{}:", accounts.account().uin);
    let Some((kind, place)) = arn.strip_prefix(&own).and_then(|rest| rest.split_once('/')) else {
        return Ok(None);
    };
    let name = place.rsplit('/').next().unwrap_or(place);
    Ok(match kind {
        "policy" => found(accounts.managed_policy_named(name).await)?.map(|found| found.labels),
        "oidc-provider" => found(accounts.provider(place).await)?.map(|found| found.labels),
        "user" => found(accounts.user_named(name).await)?.map(|found| found.labels),
        "role" => found(accounts.role_named(name).await)?.map(|found| found.labels),
        "group" => found(accounts.group_named(name).await)?.map(|found| found.labels),
        _ => None,
    })
}

/// What is there, if it is.
fn found<T>(looked_up: Result<T, IdentityError>) -> Result<Option<T>, AwsFailure> {
    match looked_up {
        Ok(found) => Ok(Some(found)),
        Err(IdentityError::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// The path and the tags that something new is to have.
fn labels(asked: &Asked<'_>) -> Result<Labels, AwsFailure> {
    let path = asked.call.text("Path").unwrap_or("/").to_owned();
    Ok(Labels { path, tags: asked.call.tags()? })
}

/// Sorts what a short list shows by names in any case, and leaves out what lies in other
/// paths.
fn listed<T>(
    asked: &Asked<'_>,
    mut list: Vec<T>,
    labelled: impl Fn(&T) -> (&str, &Labels),
) -> Vec<T> {
    let prefix = asked.call.text("PathPrefix").unwrap_or("/");
    list.retain(|one| labelled(one).1.path.starts_with(prefix));
    list.sort_by_cached_key(|one| labelled(one).0.to_ascii_lowercase());
    list
}

/// Entries of a page if nobody says, and at most.
const PAGE: u64 = 100;
const PAGE_MAX: u64 = 1000;

/// A page of a short list under a name.
fn page(asked: &Asked<'_>, name: &'static str, list: Vec<Node>) -> Result<Fields, AwsFailure> {
    let (shown, rest) = page_of(asked, list)?;
    let mut fields: Fields = vec![(name, Node::List(shown))];
    fields.extend(rest);
    Ok(fields)
}

/// A page of a short list, and what is said of the rest. A marker is the number of entries
/// before it.
fn page_of<T>(asked: &Asked<'_>, list: Vec<T>) -> Result<(Vec<T>, Fields), AwsFailure> {
    let limit = page_limit(asked)?;
    let skip = asked.call.number("Marker")?.unwrap_or(0);
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    let end = skip.saturating_add(limit);
    let next = (end < list.len()).then(|| end.to_string());
    let shown = list.into_iter().skip(skip).take(limit).collect();
    Ok((shown, rest(next)))
}

/// What is wanted of a list by names: from behind which, how many at once, and in which
/// path. A marker is the name before it.
fn by_name<'a>(asked: &Asked<'a>) -> Result<(&'a str, usize, &'a str), AwsFailure> {
    let marker = asked.call.text("Marker").unwrap_or_default();
    let prefix = asked.call.text("PathPrefix").unwrap_or("/");
    Ok((marker, page_limit(asked)?, prefix))
}

/// How many entries of a list are wanted at once.
fn page_limit(asked: &Asked<'_>) -> Result<usize, AwsFailure> {
    match asked.call.number("MaxItems")?.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit as usize),
        _ => Err(AwsFailure::BadValue("MaxItems")),
    }
}

/// What is said of a list behind the entries that are shown.
fn rest(next: Option<String>) -> Fields {
    let truncated = if next.is_some() { "true" } else { "false" };
    let marker = next.map(|marker| ("Marker", marker.into()));
    [("IsTruncated", truncated.into())].into_iter().chain(marker).collect()
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
