//! Users and their keys.

use costrel_core::account::{KeyInfo, Uin, UsedFor, User, UserDetails};
use futures_util::future::BoxFuture;

use super::labels::details;
use super::{by_name, page, policies, rest, time};
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let name = asked.call.required("UserName")?;
        let given = policies::given(asked).await?;
        let user = asked.accounts.add_user_with(name, UserDetails::default(), &given).await?;
        let shown = fields(&user, asked.key.account.uin);
        let shown = details(asked, shown, &user.labels, user.boundary).await?;
        Ok(Some(vec![("User", shown.into())]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let account = asked.key.account.uin;
        let fields = match (asked.call.text("UserName"), asked.key.user()) {
            (Some(name), _) => {
                let user = asked.accounts.user_named(name).await?;
                details(asked, fields(&user, account), &user.labels, user.boundary).await?
            }
            (None, Some(user)) => {
                details(asked, fields(user, account), &user.labels, user.boundary).await?
            }
            (None, None) if asked.key.is_root() => vec![
                ("UserId", account.to_string().into()),
                ("Arn", format!("arn:aws:iam::{account}:root").into()),
                ("CreateDate", time(asked.accounts.created_ms())),
            ],
            (None, None) => return Err(AwsFailure::Missing("UserName")),
        };
        Ok(Some(vec![("User", fields.into())]))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (after, limit, prefix) = by_name(asked)?;
        let wanted = |user: &User| user.labels.path.starts_with(prefix);
        let (users, next) = asked.accounts.users_by_name(after, limit, wanted).await?;
        let users = users.iter().map(|user| fields(user, asked.key.account.uin).into()).collect();
        let mut answer: Fields = vec![("Users", Node::List(users))];
        answer.extend(rest(next));
        Ok(Some(answer))
    })
}

pub(super) fn update<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (call, accounts) = (asked.call, asked.accounts);
        let uin = accounts.user_named(call.required("UserName")?).await?.uin;
        accounts.move_user(uin, call.text("NewUserName"), call.text("NewPath")).await?;
        Ok(None)
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        asked.accounts.delete_user(asked.call.required("UserName")?, false).await?;
        Ok(None)
    })
}

pub(super) fn create_key<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let user = key_owner(asked).await?;
        let pair = asked.accounts.create_key(user.uin, "").await?;
        let keys = asked.accounts.keys(user.uin).await?;
        let info = keys.iter().find(|key| key.id == pair.id());
        let mut fields = info.map(|key| key_fields(&user, key)).unwrap_or_default();
        fields.push(("SecretAccessKey", pair.secret().expose().into()));
        Ok(Some(vec![("AccessKey", fields.into())]))
    })
}

pub(super) fn list_keys<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let user = key_owner(asked).await?;
        let keys = asked.accounts.keys(user.uin).await?;
        let keys = keys.iter().map(|key| key_fields(&user, key).into());
        Ok(Some(page(asked, "AccessKeyMetadata", keys.collect())?))
    })
}

pub(super) fn update_key<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let enabled = match asked.call.required("Status")? {
            "Active" => true,
            "Inactive" => false,
            _ => return Err(AwsFailure::BadValue("Status")),
        };
        let id = asked.call.required("AccessKeyId")?;
        asked.accounts.enable_key(key_owner(asked).await?.uin, id, enabled).await?;
        Ok(None)
    })
}

pub(super) fn delete_key<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let id = asked.call.required("AccessKeyId")?;
        asked.accounts.delete_key(key_owner(asked).await?.uin, id).await?;
        Ok(None)
    })
}

/// Of a key of the root's, too, which has no user.
pub(super) fn last_use<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (id, accounts) = (asked.call.required("AccessKeyId")?, asked.accounts);
        let name = match accounts.lookup(id).await?.is_some_and(|key| key.is_root()) {
            true => None,
            false => Some(accounts.key_owner(id).await?.name),
        };
        let last = accounts.last_use(id).await?;
        // As AWS says it of a key that was never used.
        let service = last.and_then(|last| last.service).map_or("N/A", UsedFor::name);
        let mut used: Fields = vec![("ServiceName", service.into()), ("Region", "N/A".into())];
        used.extend(last.map(|last| ("LastUsedDate", time(last.used_ms))));
        let mut fields: Fields = name.map(|name| ("UserName", name.into())).into_iter().collect();
        fields.push(("AccessKeyLastUsed", used.into()));
        Ok(Some(fields))
    })
}

/// Whose keys are meant: the caller's own if nobody is named. The root's key is a matter
/// of the configuration.
async fn key_owner(asked: &Asked<'_>) -> Result<User, AwsFailure> {
    match (asked.call.text("UserName"), asked.key.user()) {
        (Some(name), _) => Ok(asked.accounts.user_named(name).await?),
        (None, Some(user)) => Ok(user.clone()),
        (None, None) => Err(AwsFailure::NotImplemented("changing keys of the account itself")),
    }
}

pub(super) fn fields(user: &User, account: Uin) -> Fields {
    vec![
        ("Path", user.labels.path.as_str().into()),
        ("UserName", user.name.as_str().into()),
        ("UserId", user.uin.to_string().into()),
        ("Arn", format!("arn:aws:iam::{account}:user{}", user.labels.place(&user.name)).into()),
        ("CreateDate", time(user.created_ms)),
    ]
}

/// Nobody signs in with a password.
pub(super) fn no_login_profile<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        asked.accounts.user_named(asked.call.required("UserName")?).await?;
        Err(AwsFailure::None("login profile"))
    })
}

/// A list of what nobody has here, under its name.
macro_rules! nobody_has {
    ($function:ident, $list:literal) => {
        pub(super) fn $function<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
            Box::pin(async {
                if let Some(name) = asked.call.text("UserName") {
                    asked.accounts.user_named(name).await?;
                }
                Ok(Some(page(asked, $list, Vec::new())?))
            })
        }
    };
}

nobody_has!(list_mfa_devices, "MFADevices");
nobody_has!(list_virtual_mfa_devices, "VirtualMFADevices");
nobody_has!(list_ssh_keys, "SSHPublicKeys");
nobody_has!(list_certificates, "Certificates");
nobody_has!(list_service_credentials, "ServiceSpecificCredentials");

fn key_fields(user: &User, key: &KeyInfo) -> Fields {
    vec![
        ("UserName", user.name.as_str().into()),
        ("AccessKeyId", key.id.as_str().into()),
        ("Status", if key.enabled { "Active" } else { "Inactive" }.into()),
        ("CreateDate", time(key.created_ms)),
    ]
}
