//! Cloud Access Management: users of the account, their keys, groups and roles, and
//! policies.
//!
//! Source: CAM's API documents, version 2019-01-16.

mod groups;
mod providers;
mod roles;

use std::sync::Arc;

use costrel_core::account::{
    Accounts, KeyInfo, ManagedPolicy, PolicyHolder, Uin, User, UserDetails,
};
use costrel_policy::Grammar;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::listing::{Listing, Pages};
use super::{Action, Answer, Answered, Asked, CloudFailure, Listed, Service, Signed, object};
use crate::date;

/// What is said of a user beside his name. There is no console to log in to, so
/// whatever would open it is refused.
const USER: &[&str] = &[
    "Name",
    "Remark",
    "ConsoleLogin",
    "Password",
    "NeedResetPassword",
    "PhoneNum",
    "CountryCode",
    "Email",
];

/// And of one that is to be.
const NEW_USER: &[&str] = &[
    "Name",
    "Remark",
    "ConsoleLogin",
    "UseApi",
    "Password",
    "NeedResetPassword",
    "PhoneNum",
    "CountryCode",
    "Email",
];

/// Keys whose last use is told at once. (Tencent Cloud.)
const LAST_USED_MAX: usize = 10;

pub(super) const SERVICE: Service = Service {
    name: "cam",
    version: "2019-01-16",
    actions: &[
        action("AddUser", "name/cam:AddUser", NEW_USER, add_user),
        action("GetUser", "name/cam:GetUser", &["Name"], get_user),
        listed("ListUsers", "name/cam:ListUsers", &[], list_users),
        action("UpdateUser", "name/cam:UpdateUser", USER, update_user),
        action("DeleteUser", "name/cam:DeleteUser", &["Name", "Force"], delete_user),
        action(
            "CreateAccessKey",
            "name/cam:CreateAccessKey",
            &["TargetUin", "Description"],
            create_access_key,
        ),
        action("ListAccessKeys", "name/cam:ListAccessKeys", &["TargetUin"], list_access_keys),
        action(
            "UpdateAccessKey",
            "name/cam:UpdateAccessKey",
            &["AccessKeyId", "Status", "TargetUin"],
            update_access_key,
        ),
        action(
            "DeleteAccessKey",
            "name/cam:DeleteAccessKey",
            &["AccessKeyId", "TargetUin"],
            delete_access_key,
        ),
        action(
            "CreatePolicy",
            "name/cam:CreatePolicy",
            &["PolicyName", "PolicyDocument", "Description"],
            create_policy,
        ),
        action("GetPolicy", "name/cam:GetPolicy", &["PolicyId"], get_policy),
        action(
            "ListPolicies",
            "name/cam:ListPolicies",
            &["Rp", "Page", "Scope", "Keyword"],
            list_policies,
        ),
        action(
            "UpdatePolicy",
            "name/cam:UpdatePolicy",
            &["PolicyId", "PolicyName", "PolicyDocument", "Description"],
            update_policy,
        ),
        action("DeletePolicy", "name/cam:DeletePolicy", &["PolicyId"], delete_policy),
        action(
            "AttachUserPolicy",
            "name/cam:AttachUserPolicy",
            &["PolicyId", "AttachUin"],
            attach_user_policy,
        ),
        action(
            "DetachUserPolicy",
            "name/cam:DetachUserPolicy",
            &["PolicyId", "DetachUin"],
            detach_user_policy,
        ),
        action(
            "ListAttachedUserPolicies",
            "name/cam:ListAttachedUserPolicies",
            &["TargetUin", "Page", "Rp"],
            list_attached_user_policies,
        ),
        action("CreateGroup", "name/cam:CreateGroup", &["GroupName", "Remark"], groups::create),
        listed("GetGroup", "name/cam:GetGroup", &["GroupId"], groups::get),
        action("ListGroups", "name/cam:ListGroups", &["Page", "Rp", "Keyword"], groups::list),
        action(
            "UpdateGroup",
            "name/cam:UpdateGroup",
            &["GroupId", "GroupName", "Remark"],
            groups::update,
        ),
        action("DeleteGroup", "name/cam:DeleteGroup", &["GroupId"], groups::delete),
        action("AddUserToGroup", "name/cam:AddUserToGroup", &["Info"], groups::add_user),
        action(
            "RemoveUserFromGroup",
            "name/cam:RemoveUserFromGroup",
            &["Info"],
            groups::remove_user,
        ),
        action(
            "ListUsersForGroup",
            "name/cam:ListUsersForGroup",
            &["GroupId", "Page", "Rp"],
            groups::list_users,
        ),
        action(
            "ListGroupsForUser",
            "name/cam:ListGroupsForUser",
            &["Uid", "SubUin", "Page", "Rp"],
            groups::list_of_user,
        ),
        action(
            "AttachGroupPolicy",
            "name/cam:AttachGroupPolicy",
            &["PolicyId", "AttachGroupId"],
            groups::attach_policy,
        ),
        action(
            "DetachGroupPolicy",
            "name/cam:DetachGroupPolicy",
            &["PolicyId", "DetachGroupId"],
            groups::detach_policy,
        ),
        action(
            "ListAttachedGroupPolicies",
            "name/cam:ListAttachedGroupPolicies",
            &["TargetGroupId", "Page", "Rp"],
            groups::list_policies,
        ),
        action(
            "CreateRole",
            "name/cam:CreateRole",
            &["RoleName", "PolicyDocument", "Description", "ConsoleLogin", "SessionDuration"],
            roles::create,
        ),
        action("GetRole", "name/cam:GetRole", &["RoleId", "RoleName"], roles::get),
        action("DescribeRoleList", "name/cam:DescribeRoleList", &["Page", "Rp"], roles::list),
        action(
            "UpdateAssumeRolePolicy",
            "name/cam:UpdateAssumeRolePolicy",
            &["PolicyDocument", "RoleId", "RoleName"],
            roles::set_trust,
        ),
        action(
            "UpdateRoleDescription",
            "name/cam:UpdateRoleDescription",
            &["Description", "RoleId", "RoleName"],
            roles::describe,
        ),
        action("DeleteRole", "name/cam:DeleteRole", &["RoleId", "RoleName"], roles::delete),
        action(
            "AttachRolePolicy",
            "name/cam:AttachRolePolicy",
            &["PolicyId", "PolicyName", "AttachRoleId", "AttachRoleName"],
            roles::attach_policy,
        ),
        action(
            "DetachRolePolicy",
            "name/cam:DetachRolePolicy",
            &["PolicyId", "PolicyName", "DetachRoleId", "DetachRoleName"],
            roles::detach_policy,
        ),
        action(
            "ListAttachedRolePolicies",
            "name/cam:ListAttachedRolePolicies",
            &["RoleId", "RoleName", "Page", "Rp"],
            roles::list_policies,
        ),
        action(
            "CreateOIDCConfig",
            "name/cam:CreateOIDCConfig",
            providers::PARAMETERS,
            providers::create,
        ),
        action(
            "UpdateOIDCConfig",
            "name/cam:UpdateOIDCConfig",
            providers::PARAMETERS,
            providers::update,
        ),
        action("DescribeOIDCConfig", "name/cam:DescribeOIDCConfig", &["Name"], providers::get),
        action("DeleteOIDCConfig", "name/cam:DeleteOIDCConfig", &["Name"], providers::delete),
        // Whoever has a key may ask whose it is.
        Action {
            name: "GetUserAppId",
            permission: None,
            parameters: &[],
            answer: Answer::Signed(get_user_app_id),
        },
        action(
            "GetSecurityLastUsed",
            "name/cam:GetSecurityLastUsed",
            &["SecretIdList"],
            get_security_last_used,
        ),
    ],
};

/// Entries of a page if nobody says, and at most.
const PAGE: i64 = 20;
const PAGE_MAX: i64 = 200;

const fn action(
    name: &'static str,
    permission: &'static str,
    parameters: &'static [&'static str],
    answer: Signed,
) -> Action {
    let answer = Answer::Signed(answer);
    Action { name, permission: Some(permission), parameters, answer }
}

const fn listed(
    name: &'static str,
    permission: &'static str,
    parameters: &'static [&'static str],
    answer: Listed,
) -> Action {
    let answer = Answer::Listed(answer);
    Action { name, permission: Some(permission), parameters, answer }
}

fn get_user_app_id<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    let account = &asked.key.account;
    let answer = object([
        ("Uin", asked.key.uin().to_string().into()),
        ("OwnerUin", account.uin.to_string().into()),
        ("AppId", account.appid.get().into()),
    ]);
    Box::pin(async { Ok(answer) })
}

fn add_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let name = asked.call.required("Name")?;
        refuse_login(asked)?;
        let with_key = match asked.call.number("UseApi")? {
            None | Some(0) => false,
            Some(1) => true,
            Some(_) => return Err(CloudFailure::BadValue("UseApi")),
        };
        let details = details(asked, UserDetails::default())?;
        let user = asked.accounts.add_user(name, details).await?;
        let mut answer = object([
            ("Uin", user.uin.get().into()),
            ("Name", user.name.into()),
            ("Uid", user.uid.into()),
        ]);
        if with_key {
            let pair = asked.accounts.create_key(user.uin, "").await?;
            answer.insert("SecretId".into(), pair.id().into());
            answer.insert("SecretKey".into(), pair.secret().expose().into());
        }
        Ok(answer)
    })
}

fn get_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let user = asked.accounts.user_named(asked.call.required("Name")?).await?;
        Ok(user_fields(&user))
    })
}

fn list_users<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Listing, CloudFailure>> {
    let shown = |user: &User| {
        let mut fields = user_fields(user);
        fields.insert("CreateTime".into(), time(user.created_ms));
        Value::Object(fields)
    };
    let pages = users(asked.accounts, None, shown);
    Box::pin(async { Ok(Listing { fields: Map::new(), name: "Data", pages }) })
}

/// All users, or those of a group, for a list that has no pages of its own.
fn users(accounts: &Arc<Accounts>, group: Option<u64>, shown: fn(&User) -> Value) -> Pages {
    const AT_ONCE: usize = 256;
    let accounts = accounts.clone();
    let pages = stream::try_unfold(Some(None), move |from: Option<Option<Uin>>| {
        let accounts = accounts.clone();
        async move {
            let Some(after) = from else { return Ok(None) };
            let (users, more) = match group {
                None => accounts.users_behind(after, AT_ONCE).await?,
                Some(group) => accounts.members_behind(group, after, AT_ONCE).await?,
            };
            let next = users.last().filter(|_| more).map(|last| Some(last.uin));
            Ok(Some((users.iter().map(shown).collect(), next)))
        }
    });
    pages.boxed()
}

fn update_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        refuse_login(asked)?;
        let user = asked.accounts.user_named(asked.call.required("Name")?).await?;
        let details = details(asked, user.details)?;
        asked.accounts.set_user_details(user.uin, details).await?;
        Ok(Map::new())
    })
}

fn delete_user<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let force = match asked.call.number("Force")? {
            None | Some(0) => false,
            Some(1) => true,
            Some(_) => return Err(CloudFailure::BadValue("Force")),
        };
        asked.accounts.delete_user(asked.call.required("Name")?, force).await?;
        Ok(Map::new())
    })
}

fn create_access_key<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let uin = key_owner(asked)?;
        let description = asked.call.text("Description")?.unwrap_or_default();
        let pair = asked.accounts.create_key(uin, description).await?;
        let keys = asked.accounts.keys(uin).await?;
        let info = keys.iter().find(|key| key.id == pair.id());
        let mut fields = info.map(key_fields).unwrap_or_default();
        fields.insert("AccessKeyId".into(), pair.id().into());
        fields.insert("SecretAccessKey".into(), pair.secret().expose().into());
        Ok(object([("AccessKey", fields.into())]))
    })
}

fn list_access_keys<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let keys = asked.accounts.keys(key_owner(asked)?).await?;
        let keys: Vec<Value> = keys.iter().map(|key| key_fields(key).into()).collect();
        Ok(object([("AccessKeys", keys.into())]))
    })
}

/// When keys were last used, in this order.
fn get_security_last_used<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let ids = asked.call.texts("SecretIdList")?;
        if ids.is_empty() || ids.len() > LAST_USED_MAX {
            return Err(CloudFailure::BadValue("SecretIdList"));
        }
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let known = asked.accounts.lookup(id).await?.is_some();
            if !known {
                asked.accounts.key_owner(id).await?;
            }
            let last = asked.accounts.last_use(id).await?;
            let date = last.map(|last| date::iso_seconds(last.used_ms)[..10].to_owned());
            let seconds = last.map_or(0, |last| last.used_ms / 1000);
            rows.push(json!({
                "SecretId": id,
                "LastUsedDate": date.unwrap_or_default(),
                "LastSecretUsedDate": seconds,
            }));
        }
        Ok(object([("SecretIdLastUsedRows", rows.into())]))
    })
}

fn update_access_key<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let enabled = match asked.call.required("Status")? {
            "Active" => true,
            "Inactive" => false,
            _ => return Err(CloudFailure::BadValue("Status")),
        };
        let id = asked.call.required("AccessKeyId")?;
        asked.accounts.enable_key(key_owner(asked)?, id, enabled).await?;
        Ok(Map::new())
    })
}

fn delete_access_key<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let id = asked.call.required("AccessKeyId")?;
        asked.accounts.delete_key(key_owner(asked)?, id).await?;
        Ok(Map::new())
    })
}

fn create_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let (name, document) = (call.required("PolicyName")?, call.required("PolicyDocument")?);
        let description = call.text("Description")?.unwrap_or_default();
        let document = (Grammar::Cam, document.trim().as_bytes());
        let id = asked.accounts.create_policy(name, description, document).await?;
        Ok(object([("PolicyId", id.into())]))
    })
}

fn get_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = asked.accounts.managed_policy(id(asked, "PolicyId")?).await?;
        let document = String::from_utf8_lossy(&policy.document).into_owned();
        Ok(object([
            ("PolicyName", policy.name.into()),
            ("Description", policy.description.into()),
            ("Type", CUSTOM.into()),
            ("AddTime", time(policy.created_ms)),
            ("UpdateTime", time(policy.updated_ms)),
            ("PolicyDocument", document.into()),
            ("IsServiceLinkedRolePolicy", 0.into()),
        ]))
    })
}

fn list_policies<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (skip, limit) = page(asked)?;
        let keyword = asked.call.text("Keyword")?.unwrap_or_default();
        let (count, policies) = match asked.call.text("Scope")? {
            None | Some("All" | "Local") => {
                asked.accounts.managed_policies(keyword, skip, limit).await?
            }
            // There are no policies but those that were made.
            Some("QCS") => (0, Vec::new()),
            Some(_) => return Err(CloudFailure::BadValue("Scope")),
        };
        let list: Vec<Value> = policies.iter().map(policy_fields).collect();
        Ok(object([
            ("TotalNum", count.into()),
            ("List", list.into()),
            ("ServiceTypeList", json!([])),
        ]))
    })
}

fn update_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let id = match (call.number("PolicyId")?, call.text("PolicyName")?) {
            (Some(_), _) => id(asked, "PolicyId")?,
            (None, Some(name)) => asked.accounts.managed_policy_named(name).await?.id,
            (None, None) => return Err(CloudFailure::Missing("PolicyId")),
        };
        // Beside an id a name would be a new one.
        if call.number("PolicyId")?.is_some() && call.text("PolicyName")?.is_some() {
            let name = asked.accounts.managed_policy(id).await?.name;
            if call.text("PolicyName")? != Some(&name) {
                return Err(CloudFailure::Unsupported("renaming a policy"));
            }
        }
        let document = call.text("PolicyDocument")?;
        let document = document.map(|text| (Grammar::Cam, text.trim().as_bytes()));
        asked.accounts.update_policy(id, call.text("Description")?, document).await?;
        Ok(object([("PolicyId", id.into())]))
    })
}

fn delete_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let ids = asked.call.numbers("PolicyId")?;
        if ids.is_empty() {
            return Err(CloudFailure::Missing("PolicyId"));
        }
        for id in ids {
            let id = u64::try_from(id).map_err(|_| CloudFailure::BadValue("PolicyId"))?;
            asked.accounts.delete_policy(id).await?;
        }
        Ok(Map::new())
    })
}

fn attach_user_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (id, uin) = (id(asked, "PolicyId")?, user(asked, "AttachUin")?);
        asked.accounts.attach_policy(uin, id).await?;
        Ok(Map::new())
    })
}

fn detach_user_policy<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (id, uin) = (id(asked, "PolicyId")?, user(asked, "DetachUin")?);
        asked.accounts.detach_policy(uin, id).await?;
        Ok(Map::new())
    })
}

fn list_attached_user_policies<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let holder = PolicyHolder::User(user(asked, "TargetUin")?);
        attached_fields(asked, holder, "Remark").await
    })
}

/// A page of the policies that somebody has. Their description is called otherwise
/// for each kind of holder.
async fn attached_fields(
    asked: &Asked<'_>,
    holder: PolicyHolder,
    description: &'static str,
) -> Answered {
    let (skip, limit) = page(asked)?;
    let attached = asked.accounts.attached_policies(holder).await?;
    let list = attached.iter().skip(skip).take(limit).map(|(policy, since_ms)| {
        Value::Object(object([
            ("PolicyId", policy.id.into()),
            ("PolicyName", policy.name.as_str().into()),
            ("AddTime", time(*since_ms)),
            ("CreateMode", BY_SYNTAX.into()),
            ("PolicyType", "User".into()),
            (description, policy.description.as_str().into()),
        ]))
    });
    Ok(object([("TotalNum", attached.len().into()), ("List", list.collect())]))
}

/// Kind of a policy that somebody wrote, and how he did.
const CUSTOM: i64 = 1;
const BY_SYNTAX: i64 = 2;

/// A password or a login would open nothing.
fn refuse_login(asked: &Asked<'_>) -> Result<(), CloudFailure> {
    let login = asked.call.number("ConsoleLogin")?.unwrap_or(0) != 0;
    let password = asked.call.text("Password")?.is_some_and(|text| !text.is_empty());
    let reset = asked.call.number("NeedResetPassword")?.unwrap_or(0) != 0;
    match login || password || reset {
        true => Err(CloudFailure::Unsupported("a login to the console")),
        false => Ok(()),
    }
}

/// What the request says of a user, and of the rest what was known.
fn details(asked: &Asked<'_>, known: UserDetails) -> Result<UserDetails, CloudFailure> {
    let text = |name, known: String| -> Result<String, CloudFailure> {
        Ok(asked.call.text(name)?.map_or(known, str::to_owned))
    };
    Ok(UserDetails {
        remark: text("Remark", known.remark)?,
        phone: text("PhoneNum", known.phone)?,
        country_code: text("CountryCode", known.country_code)?,
        email: text("Email", known.email)?,
    })
}

/// Whose keys are meant: the caller's own if nobody is named. The root's key is a
/// matter of the configuration.
pub(super) fn key_owner(asked: &Asked<'_>) -> Result<Uin, CloudFailure> {
    let uin = match asked.call.number("TargetUin")? {
        Some(_) => user(asked, "TargetUin")?,
        None => asked.key.uin(),
    };
    match uin == asked.key.account.uin {
        true => Err(CloudFailure::Unsupported("changing keys of the account itself")),
        false => Ok(uin),
    }
}

fn user(asked: &Asked<'_>, name: &'static str) -> Result<Uin, CloudFailure> {
    let number = asked.call.number(name)?.ok_or(CloudFailure::Missing(name))?;
    format!("{number:012}").parse().map_err(|_| CloudFailure::BadValue(name))
}

fn id(asked: &Asked<'_>, name: &'static str) -> Result<u64, CloudFailure> {
    let number = asked.call.number(name)?.ok_or(CloudFailure::Missing(name))?;
    u64::try_from(number).map_err(|_| CloudFailure::BadValue(name))
}

/// How many entries to leave out, and how many to show.
fn page(asked: &Asked<'_>) -> Result<(usize, usize), CloudFailure> {
    let size = asked.call.number("Rp")?.unwrap_or(PAGE);
    let page = asked.call.number("Page")?.unwrap_or(1);
    if !(1..=PAGE_MAX).contains(&size) {
        return Err(CloudFailure::BadValue("Rp"));
    }
    if !(1..=1_000_000).contains(&page) {
        return Err(CloudFailure::BadValue("Page"));
    }
    Ok((((page - 1) * size) as usize, size as usize))
}

fn user_fields(user: &User) -> Map<String, Value> {
    object([
        ("Uin", user.uin.get().into()),
        ("Name", user.name.as_str().into()),
        ("Uid", user.uid.into()),
        ("Remark", user.details.remark.as_str().into()),
        ("ConsoleLogin", 0.into()),
        ("PhoneNum", user.details.phone.as_str().into()),
        ("CountryCode", user.details.country_code.as_str().into()),
        ("Email", user.details.email.as_str().into()),
    ])
}

fn key_fields(key: &KeyInfo) -> Map<String, Value> {
    object([
        ("AccessKeyId", key.id.as_str().into()),
        ("Status", if key.enabled { "Active" } else { "Inactive" }.into()),
        ("CreateTime", time(key.created_ms)),
        ("Description", key.description.as_str().into()),
    ])
}

fn policy_fields(policy: &ManagedPolicy) -> Value {
    json!({
        "PolicyId": policy.id,
        "PolicyName": policy.name,
        "AddTime": time(policy.created_ms),
        "UpdateTime": time(policy.updated_ms),
        "Type": CUSTOM,
        "Description": policy.description,
        "CreateMode": BY_SYNTAX,
        "ServiceType": "",
        "Deactived": 0,
        "IsServiceLinkedPolicy": 0,
    })
}

/// `2019-10-21 15:05:03`, in the time of China, as the service has it.
fn time(unix_ms: u64) -> Value {
    const CHINA_MS: u64 = 8 * 3_600_000;
    date::iso_seconds(unix_ms + CHINA_MS).replace('T', " ").trim_end_matches('Z').into()
}
