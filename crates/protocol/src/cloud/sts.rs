//! Security Token Service.

use std::borrow::Cow;
use std::collections::BTreeMap;

use costrel_core::account::{
    Accounts, Holder, IdentityError, Role, SessionKind, SessionRequest, SessionTags, TemporaryKey,
    Uin, Whose,
};
use costrel_policy::Grammar;
use costrel_signature::encode::decode_form;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::{
    Action, Answer, Answered, Asked, CloudFailure, Service, Unsigned, cam, not_yet, object,
};
use crate::permission::Shown;
use crate::{date, permission};

pub(super) const SERVICE: Service = Service {
    name: "sts",
    version: "2018-08-13",
    actions: &[
        Action {
            name: "GetCallerIdentity",
            permission: None,
            parameters: &[],
            answer: Answer::Signed(get_caller_identity),
        },
        Action {
            name: "GetFederationToken",
            permission: Some("name/sts:GetFederationToken"),
            parameters: &["Name", "Policy", "DurationSeconds"],
            answer: Answer::Signed(get_federation_token),
        },
        Action {
            name: "GetSessionToken",
            permission: None,
            parameters: &["SerialNumber", "TokenCode", "DurationSeconds"],
            answer: Answer::Signed(get_session_token),
        },
        Action {
            name: "AssumeRole",
            // Judged with the role's trust policy, by its name.
            permission: None,
            parameters: &[
                "RoleArn",
                "RoleSessionName",
                "DurationSeconds",
                "Policy",
                "ExternalId",
                "Tags",
                "SourceIdentity",
            ],
            answer: Answer::Signed(assume_role),
        },
        not_yet("AssumeRoleWithSAML"),
        // Nobody signs it: the token tells who asks.
        Action {
            name: "AssumeRoleWithWebIdentity",
            permission: None,
            parameters: &[
                "ProviderId",
                "WebIdentityToken",
                "RoleArn",
                "RoleSessionName",
                "DurationSeconds",
            ],
            answer: Answer::Anybody(assume_role_with_web_identity),
        },
        Action {
            name: "QueryApiKey",
            permission: Some("name/sts:QueryApiKey"),
            parameters: &["TargetUin"],
            answer: Answer::Signed(query_api_key),
        },
    ],
};

/// How long a key is good for if nobody says, in seconds.
const FEDERATION_DURATION_S: i64 = 1800;
const ROLE_DURATION_S: i64 = 7200;

/// Shortest name of whoever takes on a role, in bytes.
const ROLE_SESSION_LEN_MIN: usize = 2;

/// Whoever has a key may ask whose it is.
fn get_caller_identity<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    let (account, uin) = (asked.key.account.uin, asked.key.uin());
    let (arn, kind) = match (&asked.key.holder, &asked.key.session) {
        (Holder::Role(role), _) => {
            (format!("qcs::sts:{account}:assumed-role/{}", role.id), "CAMRole")
        }
        (_, Some(session)) if session.kind == SessionKind::Federated => {
            (format!("qcs::sts:{account}:federated-user/{uin}"), "FederatedUser")
        }
        _ => (format!("qcs::cam:{account}:uin/{uin}"), "CAMUser"),
    };
    let user = permission::user_id(asked.key);
    let answer = object([
        ("Arn", arn.into()),
        ("AccountId", account.to_string().into()),
        ("UserId", user.into()),
        ("PrincipalId", uin.to_string().into()),
        ("Type", kind.into()),
    ]);
    Box::pin(async { Ok(answer) })
}

/// A temporary key that may do what its policy says and the asking key may.
fn get_federation_token<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async { federation_token(asked) })
}

fn federation_token(asked: &Asked<'_>) -> Answered {
    let call = asked.call;
    let (name, policy) = (call.required("Name")?, call.required("Policy")?);
    let duration = call.number("DurationSeconds")?.unwrap_or(FEDERATION_DURATION_S);
    let policy = document(policy)?;
    let request = SessionRequest {
        name,
        duration_s: u64::try_from(duration).unwrap_or(0),
        policy: Some((Grammar::Cam, policy.as_bytes())),
        whose: Whose::Federated,
    };
    Ok(credentials(&asked.accounts.grant(asked.key, &request)?))
}

/// A temporary key of one's own.
fn get_session_token<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        if call.text("SerialNumber")?.is_some() || call.text("TokenCode")?.is_some() {
            return Err(CloudFailure::Unsupported("a second factor"));
        }
        let duration = call.number("DurationSeconds")?.unwrap_or(FEDERATION_DURATION_S);
        let duration_s = u64::try_from(duration).unwrap_or(0);
        let request = SessionRequest { name: "", duration_s, policy: None, whose: Whose::Own };
        Ok(credentials(&asked.accounts.grant(asked.key, &request)?))
    })
}

/// Somebody's keys, as the service numbers what they are: good or disabled.
fn query_api_key<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let keys = asked.accounts.keys(cam::key_owner(asked)?).await?;
        let keys: Vec<Value> = keys
            .iter()
            .map(|key| {
                json!({
                    "SecretId": key.id,
                    "CreateTime": key.created_ms / 1000,
                    "Status": if key.enabled { 2 } else { 3 },
                })
            })
            .collect();
        Ok(object([("IdKeys", keys.into())]))
    })
}

/// A temporary key of a role that trusts the caller.
fn assume_role<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let name = role_session_name(call)?;
        let external_id = call.text("ExternalId")?;
        let policy = call.text("Policy")?.filter(|text| !text.trim().is_empty());
        let policy = policy.map(document).transpose()?;
        let role = role(asked.accounts, call).await?;
        let (trust, now_ms) = (role.trust_policy()?, asked.now_ms);
        let (key, connection) = (asked.key, asked.connection);
        let said = SessionTags {
            tags: tags(call)?,
            source_identity: call.text("SourceIdentity")?.unwrap_or_default().to_owned(),
            ..SessionTags::default()
        };
        let said = said.inherited(key)?;
        let shown = Shown { external_id, session_name: name, said: &said };
        let judged = permission::judge_role(key, &role, &trust, shown, connection, now_ms);
        let allowed = judged.allowed;
        asked.notes.judged(judged);
        if !allowed {
            return Err(CloudFailure::RoleDenied);
        }
        let request = SessionRequest {
            name,
            duration_s: role_duration(call, &role)?,
            policy: policy.as_ref().map(|policy| (Grammar::Cam, policy.as_bytes())),
            whose: Whose::Role(&role),
        };
        Ok(credentials(&asked.accounts.grant_tagged(key, &request, &said)?))
    })
}

/// A temporary key of a role that trusts whoever brings such a token.
fn assume_role_with_web_identity<'a>(asked: &'a Unsigned<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (call, now_ms) = (asked.call, asked.now_ms);
        let (provider, name) = (call.required("ProviderId")?, role_session_name(call)?);
        let token = call.required("WebIdentityToken")?;
        let bearer = asked.authenticator.authenticate_bearer(token, now_ms).await?;
        asked.notes.bearer(&bearer);
        if provider.is_empty() || bearer.provider.name != provider {
            return Err(CloudFailure::ForeignToken);
        }
        let accounts = asked.authenticator.accounts();
        let role = role(accounts, call).await?;
        let (own, trust, said) = (accounts.account(), role.trust_policy()?, bearer.said()?);
        let shown = Shown { external_id: None, session_name: name, said: &said };
        let connection = asked.connection;
        let judged =
            permission::judge_bearer(&bearer, &role, own, shown, &trust, connection, now_ms);
        let allowed = judged.allowed;
        asked.notes.judged(judged);
        if !allowed {
            return Err(CloudFailure::RoleDenied);
        }
        let request = SessionRequest {
            name,
            duration_s: role_duration(call, &role)?,
            policy: None,
            whose: Whose::Role(&role),
        };
        Ok(credentials(&accounts.grant_to_bearer(&role, &request, &said)?))
    })
}

fn role_session_name<'a>(call: &'a Call<'_>) -> Result<&'a str, CloudFailure> {
    let name = call.required("RoleSessionName")?;
    match name.len() < ROLE_SESSION_LEN_MIN {
        true => Err(CloudFailure::BadValue("RoleSessionName")),
        false => Ok(name),
    }
}

fn role_duration(call: &Call<'_>, role: &Role) -> Result<u64, CloudFailure> {
    let default = ROLE_DURATION_S.min(role.session_s_max as i64);
    let seconds = call.number("DurationSeconds")?.unwrap_or(default);
    Ok(u64::try_from(seconds).unwrap_or(0))
}

/// The role that is meant. Who may not take it on does not learn whether it is there.
async fn role(accounts: &Accounts, call: &Call<'_>) -> Result<Role, CloudFailure> {
    let role = match role_named(call.required("RoleArn")?, accounts.account().uin)? {
        RoleName::Id(id) => accounts.role(id).await,
        RoleName::Name(name) => accounts.role_named(name).await,
    };
    match role {
        Err(IdentityError::NoSuchRole) => Err(CloudFailure::RoleDenied),
        role => Ok(role?),
    }
}

/// `[{"Key": …, "Value": …}, …]`
fn tags(call: &Call<'_>) -> Result<BTreeMap<String, String>, CloudFailure> {
    let bad = || CloudFailure::BadType("Tags");
    let given = match call.tree("Tags")? {
        Value::Null => Vec::new(),
        Value::Array(list) => list,
        _ => return Err(bad()),
    };
    let mut tags = BTreeMap::new();
    for tag in &given {
        let fields = tag.as_object().filter(|fields| fields.len() == 2).ok_or_else(bad)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).ok_or_else(bad);
        if tags.insert(text("Key")?.to_owned(), text("Value")?.to_owned()).is_some() {
            return Err(CloudFailure::BadValue("Tags"));
        }
    }
    Ok(tags)
}

enum RoleName<'a> {
    Id(u64),
    Name(&'a str),
}

/// `qcs::cam::uin/<uin>:role/<id>` or `…:roleName/<name>`, of the account itself.
fn role_named(arn: &str, account: Uin) -> Result<RoleName<'_>, CloudFailure> {
    let parsed = || {
        let (owner, role) = arn.strip_prefix("qcs::cam::uin/")?.split_once(':')?;
        if owner.parse() != Ok(account) {
            return None;
        }
        match role.split_once('/')? {
            ("role", id) => id.parse().ok().map(RoleName::Id),
            ("roleName", name) if !name.is_empty() => Some(RoleName::Name(name)),
            _ => None,
        }
    };
    match arn.starts_with("qcs::cam::") {
        true => parsed().ok_or(CloudFailure::RoleDenied),
        false => Err(CloudFailure::BadValue("RoleArn")),
    }
}

fn credentials(key: &TemporaryKey) -> Map<String, Value> {
    let credentials = json!({
        "TmpSecretId": key.pair.id(),
        "TmpSecretKey": key.pair.secret().expose(),
        "Token": key.token.expose(),
    });
    object([
        ("Credentials", credentials),
        ("ExpiredTime", (key.expires_ms / 1000).into()),
        ("Expiration", date::iso_seconds(key.expires_ms).into()),
    ])
}

/// A policy's document: clients encode it as in URLs, whatever carries it.
fn document(text: &str) -> Result<Cow<'_, str>, CloudFailure> {
    let text = text.trim();
    if text.starts_with('{') {
        return Ok(Cow::Borrowed(text));
    }
    let decoded = decode_form(text).map_err(|_| CloudFailure::NotUtf8)?;
    Ok(Cow::Owned(decoded.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_comes_plain_or_encoded() {
        let plain = r#"{"a": "b c+d/*"}"#;
        let python = "%7B%22a%22%3A%20%22b%20c%2Bd/%2A%22%7D";
        let java = "%7B%22a%22%3A+%22b+c%2Bd%2F*%22%7D";
        for text in [plain, python, java, &format!(" {plain}\n")] {
            assert_eq!(document(text).unwrap(), plain, "{text}");
        }
        assert!(document("%ff").is_err());
    }
}
