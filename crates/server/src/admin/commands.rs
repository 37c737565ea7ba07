//! What each command asks the server for.

use costrel_protocol::date::iso_seconds;
use costrel_protocol::percent;
use serde_json::{Map, Value, json};

use super::AdminError;
use super::client::Client;
use crate::cli::{
    AdminCommand, AttachArgs, DeleteArgs, GroupCommand, KeyCommand, KeyNameArgs,
    ManagedPolicyCommand, RevokeArgs, RoleCommand, UserCommand,
};

type Answer = Result<Value, AdminError>;

/// Name of the policy that takes tokens back; one for each name of a session besides.
const REVOKED: &str = "RevokedTokens";

/// Versions that a policy has at most.
const VERSIONS_MAX: usize = 5;

/// Whose policies, keys and members are meant.
#[derive(Clone, Copy)]
struct Holder<'a> {
    /// As actions have it in their names: `ListUserPolicies`.
    kind: &'static str,
    parameter: &'static str,
    name: &'a str,
}

impl<'a> Holder<'a> {
    fn user(name: &'a str) -> Holder<'a> {
        Holder { kind: "User", parameter: "UserName", name }
    }

    fn group(name: &'a str) -> Holder<'a> {
        Holder { kind: "Group", parameter: "GroupName", name }
    }

    fn role(name: &'a str) -> Holder<'a> {
        Holder { kind: "Role", parameter: "RoleName", name }
    }

    fn named(self) -> (&'static str, &'a str) {
        (self.parameter, self.name)
    }
}

pub async fn perform(client: &Client, command: AdminCommand) -> Answer {
    match command {
        AdminCommand::User(command) => user(client, command).await,
        AdminCommand::Group(command) => group(client, command).await,
        AdminCommand::Role(command) => role(client, command).await,
        AdminCommand::Key(command) => key(client, command).await,
        AdminCommand::Policy(command) => policy(client, command).await,
    }
}

async fn user(client: &Client, command: UserCommand) -> Answer {
    match command {
        UserCommand::Create(args) => {
            made(client, "CreateUser", "User", Holder::user(&args.name)).await
        }
        UserCommand::List(_) => Ok(client.list("ListUsers", "Users", &[]).await?.into()),
        UserCommand::Show(args) => {
            let user = Holder::user(&args.name);
            let mut shown = client.call("GetUser", &[user.named()]).await?["User"].take();
            shown["Keys"] = keys_with_uses(client, &args.name).await?.into();
            shown["Groups"] = names(groups_of(client, &args.name).await?, "GroupName");
            show_policies(client, user, &mut shown).await?;
            Ok(shown)
        }
        UserCommand::Delete(args) => {
            let user = Holder::user(&args.name);
            if args.force {
                for key in keys(client, &args.name).await? {
                    let id = key["AccessKeyId"].as_str().unwrap_or_default();
                    client.call("DeleteAccessKey", &[user.named(), ("AccessKeyId", id)]).await?;
                }
                for group in groups_of(client, &args.name).await? {
                    let group = group["GroupName"].as_str().unwrap_or_default();
                    let parameters = [user.named(), ("GroupName", group)];
                    client.call("RemoveUserFromGroup", &parameters).await?;
                }
            }
            delete(client, user, &args).await
        }
        UserCommand::Revoke(args) => revoke(client, Holder::user(&args.name), &args).await,
    }
}

async fn group(client: &Client, command: GroupCommand) -> Answer {
    match command {
        GroupCommand::Create(args) => {
            made(client, "CreateGroup", "Group", Holder::group(&args.name)).await
        }
        GroupCommand::List(_) => Ok(client.list("ListGroups", "Groups", &[]).await?.into()),
        GroupCommand::Show(args) => {
            let group = Holder::group(&args.name);
            let mut shown = client.call("GetGroup", &[group.named()]).await?["Group"].take();
            let users = client.list("GetGroup", "Users", &[group.named()]).await?;
            shown["Users"] = names(users, "UserName");
            show_policies(client, group, &mut shown).await?;
            Ok(shown)
        }
        GroupCommand::Delete(args) => {
            let group = Holder::group(&args.name);
            if args.force {
                for user in client.list("GetGroup", "Users", &[group.named()]).await? {
                    let user = user["UserName"].as_str().unwrap_or_default();
                    let parameters = [group.named(), ("UserName", user)];
                    client.call("RemoveUserFromGroup", &parameters).await?;
                }
            }
            delete(client, group, &args).await
        }
        GroupCommand::Add(args) => {
            let parameters = [("GroupName", &args.group[..]), ("UserName", &args.user[..])];
            client.call("AddUserToGroup", &parameters).await
        }
        GroupCommand::Remove(args) => {
            let parameters = [("GroupName", &args.group[..]), ("UserName", &args.user[..])];
            client.call("RemoveUserFromGroup", &parameters).await
        }
    }
}

async fn role(client: &Client, command: RoleCommand) -> Answer {
    match command {
        RoleCommand::Create(args) => {
            let (trust, seconds) = (args.trust.read()?, args.session_duration.to_string());
            let mut parameters = vec![
                ("RoleName", &args.name[..]),
                ("AssumeRolePolicyDocument", trust.trim()),
                ("MaxSessionDuration", &seconds[..]),
            ];
            if !args.description.is_empty() {
                parameters.push(("Description", &args.description));
            }
            let mut answer = client.call("CreateRole", &parameters).await?;
            Ok(readable(answer["Role"].take()))
        }
        RoleCommand::Trust(args) => {
            let trust = args.trust.read()?;
            let parameters = [("RoleName", &args.name[..]), ("PolicyDocument", trust.trim())];
            client.call("UpdateAssumeRolePolicy", &parameters).await
        }
        RoleCommand::List(_) => {
            let roles = client.list("ListRoles", "Roles", &[]).await?;
            let roles = roles.into_iter().map(|mut role| {
                if let Some(fields) = role.as_object_mut() {
                    fields.remove("AssumeRolePolicyDocument");
                }
                role
            });
            Ok(roles.collect::<Vec<_>>().into())
        }
        RoleCommand::Show(args) => {
            let role = Holder::role(&args.name);
            let mut shown = readable(client.call("GetRole", &[role.named()]).await?["Role"].take());
            show_policies(client, role, &mut shown).await?;
            Ok(shown)
        }
        RoleCommand::Delete(args) => delete(client, Holder::role(&args.name), &args).await,
        RoleCommand::Revoke(args) => revoke(client, Holder::role(&args.name), &args).await,
    }
}

async fn key(client: &Client, command: KeyCommand) -> Answer {
    match command {
        KeyCommand::Create(args) => {
            let parameters = [("UserName", &args.user[..])];
            Ok(client.call("CreateAccessKey", &parameters).await?["AccessKey"].take())
        }
        KeyCommand::List(args) => Ok(keys_with_uses(client, &args.user).await?.into()),
        KeyCommand::Disable(args) => set_status(client, &args, "Inactive").await,
        KeyCommand::Enable(args) => set_status(client, &args, "Active").await,
        KeyCommand::Delete(args) => {
            let parameters = [("UserName", &args.user[..]), ("AccessKeyId", &args.id[..])];
            client.call("DeleteAccessKey", &parameters).await
        }
    }
}

async fn set_status(client: &Client, args: &KeyNameArgs, status: &str) -> Answer {
    let user = ("UserName", &args.user[..]);
    let parameters = [user, ("AccessKeyId", &args.id[..]), ("Status", status)];
    client.call("UpdateAccessKey", &parameters).await
}

async fn policy(client: &Client, command: ManagedPolicyCommand) -> Answer {
    match command {
        ManagedPolicyCommand::Create(args) => {
            let document = args.document.read()?;
            let mut parameters =
                vec![("PolicyName", &args.name[..]), ("PolicyDocument", document.trim())];
            if !args.description.is_empty() {
                parameters.push(("Description", &args.description));
            }
            Ok(client.call("CreatePolicy", &parameters).await?["Policy"].take())
        }
        ManagedPolicyCommand::List(_) => {
            Ok(client.list("ListPolicies", "Policies", &[]).await?.into())
        }
        ManagedPolicyCommand::Show(args) => {
            let arn = arn(client, &args.name).await?;
            let policy = ("PolicyArn", &arn[..]);
            let mut shown = client.call("GetPolicy", &[policy]).await?["Policy"].take();
            let version = shown["DefaultVersionId"].as_str().unwrap_or("v1").to_owned();
            let parameters = [policy, ("VersionId", &version[..])];
            let version = client.call("GetPolicyVersion", &parameters).await?;
            shown["Document"] = version["PolicyVersion"]["Document"].clone();
            Ok(readable(shown))
        }
        ManagedPolicyCommand::Update(args) => {
            let (document, arn) = (args.document.read()?, arn(client, &args.name).await?);
            let old = former_versions(client, &arn).await?;
            if old.len() + 1 >= VERSIONS_MAX
                && let Some(oldest) = old.last()
            {
                delete_version(client, &arn, oldest).await?;
            }
            let parameters = [
                ("PolicyArn", &arn[..]),
                ("PolicyDocument", document.trim()),
                ("SetAsDefault", "true"),
            ];
            let mut made = client.call("CreatePolicyVersion", &parameters).await?;
            Ok(made["PolicyVersion"].take())
        }
        ManagedPolicyCommand::Delete(args) => {
            let arn = arn(client, &args.name).await?;
            let policy = client.call("GetPolicy", &[("PolicyArn", &arn)]).await?;
            let uses = ["AttachmentCount", "PermissionsBoundaryUsageCount"];
            // Of one that somebody has, nothing is taken away.
            if uses.iter().all(|uses| policy["Policy"][uses] == "0") {
                for version in former_versions(client, &arn).await? {
                    delete_version(client, &arn, &version).await?;
                }
            }
            client.call("DeletePolicy", &[("PolicyArn", &arn)]).await
        }
        ManagedPolicyCommand::Attach(args) => attach(client, "Attach", &args).await,
        ManagedPolicyCommand::Detach(args) => attach(client, "Detach", &args).await,
    }
}

async fn made(client: &Client, action: &str, what: &str, holder: Holder<'_>) -> Answer {
    Ok(client.call(action, &[holder.named()]).await?[what].take())
}

async fn keys(client: &Client, user: &str) -> Result<Vec<Value>, AdminError> {
    client.list("ListAccessKeys", "AccessKeyMetadata", &[("UserName", user)]).await
}

/// A user's keys, with when they were last used.
async fn keys_with_uses(client: &Client, user: &str) -> Result<Vec<Value>, AdminError> {
    let mut keys = keys(client, user).await?;
    for key in &mut keys {
        let id = key["AccessKeyId"].as_str().unwrap_or_default().to_owned();
        key["LastUsed"] = match client.call("GetAccessKeyLastUsed", &[("AccessKeyId", &id)]).await {
            Ok(mut last) => match last["AccessKeyLastUsed"]["LastUsedDate"].take() {
                Value::Null => "never".into(),
                last => last,
            },
            // Who asks may know the keys and not this, or the key went a moment ago.
            Err(AdminError::Refused { .. }) => "unknown".into(),
            Err(error) => return Err(error),
        };
    }
    Ok(keys)
}

async fn groups_of(client: &Client, user: &str) -> Result<Vec<Value>, AdminError> {
    client.list("ListGroupsForUser", "Groups", &[("UserName", user)]).await
}

fn names(entries: Vec<Value>, field: &str) -> Value {
    entries.into_iter().map(|mut entry| entry[field].take()).collect::<Vec<_>>().into()
}

/// Adds what a holder has: policies that are attached, and those that are his alone.
async fn show_policies(
    client: &Client,
    holder: Holder<'_>,
    shown: &mut Value,
) -> Result<(), AdminError> {
    let attached = attached(client, holder).await?;
    shown["AttachedPolicies"] = names(attached, "PolicyName");
    let mut inline = Map::new();
    for name in inline_of(client, holder).await? {
        let action = format!("Get{}Policy", holder.kind);
        let parameters = [holder.named(), ("PolicyName", &name[..])];
        let document = client.call(&action, &parameters).await?["PolicyDocument"].take();
        inline.insert(name, decoded(document));
    }
    if !inline.is_empty() {
        shown["OwnPolicies"] = inline.into();
    }
    Ok(())
}

async fn attached(client: &Client, holder: Holder<'_>) -> Result<Vec<Value>, AdminError> {
    let action = format!("ListAttached{}Policies", holder.kind);
    client.list(&action, "AttachedPolicies", &[holder.named()]).await
}

async fn inline_of(client: &Client, holder: Holder<'_>) -> Result<Vec<String>, AdminError> {
    let action = format!("List{}Policies", holder.kind);
    let names = client.list(&action, "PolicyNames", &[holder.named()]).await?;
    Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

async fn delete(client: &Client, holder: Holder<'_>, args: &DeleteArgs) -> Answer {
    if args.force {
        for policy in attached(client, holder).await? {
            let arn = policy["PolicyArn"].as_str().unwrap_or_default();
            let action = format!("Detach{}Policy", holder.kind);
            client.call(&action, &[holder.named(), ("PolicyArn", arn)]).await?;
        }
        for name in inline_of(client, holder).await? {
            let action = format!("Delete{}Policy", holder.kind);
            client.call(&action, &[holder.named(), ("PolicyName", &name)]).await?;
        }
    }
    client.call(&format!("Delete{}", holder.kind), &[holder.named()]).await
}

/// Denies everything to tokens that were issued until now, as the console of AWS does:
/// permanent keys, and tokens of later, are not meant by the condition.
async fn revoke(client: &Client, holder: Holder<'_>, args: &RevokeArgs) -> Answer {
    let Holder { kind, .. } = holder;
    let shown = client.call(&format!("Get{kind}"), &[holder.named()]).await?;
    // By the clock that tokens are issued by, to the end of its second.
    let until = iso_seconds(client.server_ms() + 1000);
    let mut condition = json!({ "DateLessThan": { "aws:TokenIssueTime": until } });
    let mut name = REVOKED.to_owned();
    if let Some(session) = &args.session {
        let id = shown[kind][format!("{kind}Id")].as_str().unwrap_or_default();
        // What looks like a variable is none.
        let session_id = format!("{id}:{session}").replace('$', "${$}");
        condition["StringEquals"] = json!({ "aws:userid": session_id });
        name = format!("{REVOKED}-{session}");
    }
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "Revoked",
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": condition,
        }],
    });
    let document = document.to_string();
    let action = format!("Put{}Policy", holder.kind);
    let parameters = [holder.named(), ("PolicyName", &name[..]), ("PolicyDocument", &document)];
    client.call(&action, &parameters).await?;
    Ok(json!({ "RevokedUntil": until, "PolicyName": name }))
}

/// Ids of a policy's versions that are not in force, the oldest last.
async fn former_versions(client: &Client, arn: &str) -> Result<Vec<String>, AdminError> {
    let versions = client.list("ListPolicyVersions", "Versions", &[("PolicyArn", arn)]).await?;
    let former = versions.iter().filter(|version| version["IsDefaultVersion"] != "true");
    let ids = former.filter_map(|version| version["VersionId"].as_str());
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    // `v2` before `v10`.
    ids.sort_by_key(|id| {
        std::cmp::Reverse(id.trim_start_matches('v').parse::<u64>().unwrap_or_default())
    });
    Ok(ids)
}

async fn delete_version(client: &Client, arn: &str, id: &str) -> Answer {
    client.call("DeletePolicyVersion", &[("PolicyArn", arn), ("VersionId", id)]).await
}

async fn attach(client: &Client, verb: &str, args: &AttachArgs) -> Answer {
    let to = &args.to;
    let holder = match (&to.user, &to.group, &to.role) {
        (Some(name), ..) => Holder::user(name),
        (_, Some(name), _) => Holder::group(name),
        (.., Some(name)) => Holder::role(name),
        (None, None, None) => return Err(AdminError::Arguments("whose policy is it?".into())),
    };
    let arn = arn(client, &args.name).await?;
    let action = format!("{verb}{}Policy", holder.kind);
    client.call(&action, &[holder.named(), ("PolicyArn", &arn)]).await
}

/// The Arn of a policy of the account.
async fn arn(client: &Client, name: &str) -> Result<String, AdminError> {
    if name.starts_with("arn:") {
        return Ok(name.to_owned());
    }
    let policies = client.list("ListPolicies", "Policies", &[]).await?;
    let found = policies.iter().find(|policy| policy["PolicyName"] == name);
    match found.and_then(|policy| policy["Arn"].as_str()) {
        Some(arn) => Ok(arn.to_owned()),
        None => Err(AdminError::Arguments(format!("there is no policy of the name {name}"))),
    }
}

/// Documents stand in answers as in URLs.
fn readable(mut value: Value) -> Value {
    for field in ["AssumeRolePolicyDocument", "Document"] {
        if let Some(document) = value.get_mut(field) {
            *document = decoded(document.take());
        }
    }
    value
}

/// A document as JSON, or as the text that it is.
fn decoded(document: Value) -> Value {
    let text = document.as_str().unwrap_or_default();
    let text = percent::decode(text).map(|text| text.into_owned()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_as_they_were_written() {
        let role = json!({ "AssumeRolePolicyDocument": "%7B%22a%22%3A%201%7D", "RoleName": "r" });
        let expected = json!({ "AssumeRolePolicyDocument": { "a": 1 }, "RoleName": "r" });
        assert_eq!(readable(role), expected);
        assert_eq!(decoded(json!("%7B")), json!("{"));
    }
}
