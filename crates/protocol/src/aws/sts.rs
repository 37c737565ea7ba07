//! Security Token Service.

use costrel_core::account::{
    Accounts, IdentityError, Role, SessionRequest, SessionTags, TemporaryKey, Uin, Whose,
};
use costrel_policy::{Action as PolicyAction, Grammar};
use futures_util::future::BoxFuture;

use super::call::Call;
use super::tree::{Fields, Node};
use super::{Answer, Answered, Asked, AwsFailure, Service, Unsigned, action};
use crate::permission::{Named, Shown};
use crate::{date, permission};

pub(super) const SERVICE: Service = Service {
    name: "sts",
    version: "2011-06-15",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    actions: &[
        action!("GetCallerIdentity", None, &[], Answer::Signed(get_caller_identity)),
        action!("GetSessionToken", None, &["DurationSeconds"], Answer::Signed(get_session_token)),
        action!(
            "GetFederationToken",
            Some(PolicyAction {
                cam: "name/sts:GetFederationToken",
                iam: "sts:GetFederationToken",
            }),
            &["Name", "Policy", "DurationSeconds", "Tags"],
            Answer::Signed(get_federation_token)
        ),
        // Judged with the role's trust policy, by its name.
        action!(
            "AssumeRole",
            None,
            &[
                "RoleArn",
                "RoleSessionName",
                "Policy",
                "DurationSeconds",
                "ExternalId",
                "Tags",
                "TransitiveTagKeys",
                "SourceIdentity"
            ],
            Answer::Signed(assume_role)
        ),
        action!("AssumeRoleWithSAML", None, &[], Answer::NotYet),
        // Nobody signs it: the token tells who asks.
        action!(
            "AssumeRoleWithWebIdentity",
            None,
            &["RoleArn", "RoleSessionName", "WebIdentityToken", "Policy", "DurationSeconds"],
            Answer::Anybody(assume_role_with_web_identity)
        ),
        action!("AssumeRoot", None, &[], Answer::NotYet),
        action!("DecodeAuthorizationMessage", None, &[], Answer::NotYet),
        action!("GetAccessKeyInfo", None, &[], Answer::NotYet),
    ],
};

/// The shortest life of a key, and what it is if nobody says, in seconds.
const DURATION_S_MIN: u64 = 900;
const USER_DURATION_S: u64 = 43_200;
const ROOT_DURATION_S: u64 = 3600;

/// What whoever may do nothing may do.
const NOTHING: &[u8] =
    br#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}"#;

/// Whoever has a key may ask whose it is.
fn get_caller_identity<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    let fields = vec![
        ("Arn", permission::caller_arn(asked.key).into()),
        ("UserId", permission::user_id(asked.key).into()),
        ("Account", asked.key.account.uin.to_string().into()),
    ];
    Box::pin(async { Ok(Some(fields)) })
}

/// A temporary key of one's own.
fn get_session_token<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let duration_s = duration(asked.call, own_duration(asked))?;
        let request = SessionRequest { name: "", duration_s, policy: None, whose: Whose::Own };
        let key = asked.accounts.grant(asked.key, &request)?;
        Ok(Some(vec![("Credentials", credentials(&key))]))
    })
}

/// A temporary key for somebody else, who may do what the policy says and the asking
/// key may; without a policy, nothing.
fn get_federation_token<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let name = session_name(asked.call, "Name", 32)?;
        let policy = asked.call.text("Policy").map_or(NOTHING, |text| text.trim().as_bytes());
        let request = SessionRequest {
            name,
            duration_s: duration(asked.call, own_duration(asked))?,
            policy: Some((Grammar::Iam, policy)),
            whose: Whose::Federated,
        };
        let said = SessionTags { tags: asked.call.tags()?, ..SessionTags::default() };
        if !said.tags.is_empty() {
            let named = Named { said: Some(&said), ..Named::of_cam("name/sts:TagSession") };
            let judged = permission::judge_action(asked.key, named, asked.connection, asked.now_ms);
            let allowed = judged.allowed;
            asked.notes.judged(judged);
            if !allowed {
                return Err(AwsFailure::denied(asked.key, "sts", "TagSession"));
            }
        }
        let key = asked.accounts.grant_tagged(asked.key, &request, &said)?;
        let account = asked.key.account.uin;
        let user: Fields = vec![
            ("FederatedUserId", format!("{account}:{name}").into()),
            ("Arn", format!("arn:aws:sts::{account}:federated-user/{name}").into()),
        ];
        Ok(Some(vec![("Credentials", credentials(&key)), ("FederatedUser", user.into())]))
    })
}

/// A temporary key of a role that trusts the caller.
fn assume_role<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let arn = call.required("RoleArn")?;
        let name = session_name(asked.call, "RoleSessionName", 64)?;
        let denied = || AwsFailure::denied(asked.key, "sts", &format!("AssumeRole on {arn}"));
        let role = role(asked.accounts, arn).await?.ok_or_else(denied)?;
        let trust = role.trust_policy()?;
        let (key, external_id) = (asked.key, call.text("ExternalId"));
        let (connection, now_ms) = (asked.connection, asked.now_ms);
        let said = SessionTags {
            tags: call.tags()?,
            transitive: call.list("TransitiveTagKeys")?.into_iter().map(str::to_owned).collect(),
            source_identity: call.text("SourceIdentity").unwrap_or_default().to_owned(),
        };
        let said = said.inherited(key)?;
        let shown = Shown { external_id, session_name: name, said: &said };
        let judged = permission::judge_role(key, &role, &trust, shown, connection, now_ms);
        let allowed = judged.allowed;
        asked.notes.judged(judged);
        if !allowed {
            return Err(denied());
        }
        let policy = call.text("Policy").map(|text| (Grammar::Iam, text.trim().as_bytes()));
        let request = SessionRequest {
            name,
            duration_s: duration(asked.call, ROOT_DURATION_S.min(role.session_s_max))?,
            policy,
            whose: Whose::Role(&role),
        };
        let granted = asked.accounts.grant_tagged(key, &request, &said)?;
        let user = role_user(key.account.uin, &role, name);
        let mut answer = vec![("Credentials", credentials(&granted)), ("AssumedRoleUser", user)];
        answer.extend(source_identity(&said));
        Ok(Some(answer))
    })
}

/// A temporary key of a role that trusts whoever brings such a token.
fn assume_role_with_web_identity<'a>(asked: &'a Unsigned<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let arn = call.required("RoleArn")?;
        let name = session_name(call, "RoleSessionName", 64)?;
        let token = call.required("WebIdentityToken")?;
        let bearer = asked.authenticator.authenticate_bearer(token, asked.now_ms).await?;
        asked.notes.bearer(&bearer);
        let accounts = asked.authenticator.accounts();
        let account = accounts.account().uin;
        let denied = || AwsFailure::BearerDenied("sts:AssumeRoleWithWebIdentity");
        let role = role(accounts, arn).await?.ok_or_else(denied)?;
        let trust = role.trust_policy()?;
        let (connection, now_ms) = (asked.connection, asked.now_ms);
        let own = accounts.account();
        let said = bearer.said()?;
        let shown = Shown { external_id: None, session_name: name, said: &said };
        let judged =
            permission::judge_bearer(&bearer, &role, own, shown, &trust, connection, now_ms);
        let allowed = judged.allowed;
        asked.notes.judged(judged);
        if !allowed {
            return Err(denied());
        }
        let request = SessionRequest {
            name,
            duration_s: duration(call, ROOT_DURATION_S.min(role.session_s_max))?,
            policy: call.text("Policy").map(|text| (Grammar::Iam, text.trim().as_bytes())),
            whose: Whose::Role(&role),
        };
        let granted = accounts.grant_to_bearer(&role, &request, &said)?;
        let mut answer = vec![
            ("Credentials", credentials(&granted)),
            ("SubjectFromWebIdentityToken", bearer.subject.as_str().into()),
            ("AssumedRoleUser", role_user(account, &role, name)),
            ("Provider", bearer.provider.url.as_str().into()),
            ("Audience", bearer.audience().into()),
        ];
        answer.extend(source_identity(&said));
        Ok(Some(answer))
    })
}

fn source_identity(said: &SessionTags) -> Option<(&'static str, Node)> {
    let identity = &*said.source_identity;
    (!identity.is_empty()).then(|| ("SourceIdentity", identity.into()))
}

fn role_user(account: Uin, role: &Role, name: &str) -> Node {
    let arn = format!("arn:aws:sts::{account}:assumed-role/{}/{name}", role.name);
    let fields: Fields =
        vec![("AssumedRoleId", format!("{}:{name}", role.id).into()), ("Arn", arn.into())];
    fields.into()
}

/// The role of `arn:aws:iam::<account>:role/<path><name>`, if there is one here.
async fn role(accounts: &Accounts, arn: &str) -> Result<Option<Role>, AwsFailure> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next().ok_or(AwsFailure::BadValue("RoleArn"));
    let (prefix, _, service, _) = (next()?, next()?, next()?, next()?);
    let (account, role) = (next()?, next()?);
    let place = role.strip_prefix("role").filter(|place| place.starts_with('/'));
    let name = place.and_then(|place| place.rsplit('/').next());
    let name = name.filter(|name| !name.is_empty() && prefix == "arn" && service == "iam");
    let name = name.ok_or(AwsFailure::BadValue("RoleArn"))?;
    if account.parse() != Ok(accounts.account().uin) {
        return Ok(None);
    }
    match accounts.role_named(name).await {
        Ok(role) => Ok(Some(role).filter(|role| Some(&*role.labels.place(name)) == place)),
        Err(IdentityError::NoSuchRole) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What somebody calls himself, of two bytes at least.
fn session_name<'a>(
    call: &Call<'a>,
    parameter: &'static str,
    len_max: usize,
) -> Result<&'a str, AwsFailure> {
    let name = call.required(parameter)?;
    match (2..=len_max).contains(&name.len()) {
        true => Ok(name),
        false => Err(AwsFailure::BadValue(parameter)),
    }
}

fn own_duration(asked: &Asked<'_>) -> u64 {
    if asked.key.is_root() { ROOT_DURATION_S } else { USER_DURATION_S }
}

fn duration(call: &Call<'_>, default: u64) -> Result<u64, AwsFailure> {
    match call.number("DurationSeconds")? {
        Some(seconds) if seconds < DURATION_S_MIN => Err(AwsFailure::BadValue("DurationSeconds")),
        seconds => Ok(seconds.unwrap_or(default)),
    }
}

fn credentials(key: &TemporaryKey) -> Node {
    let fields: Fields = vec![
        ("AccessKeyId", key.pair.id().into()),
        ("SecretAccessKey", key.pair.secret().expose().into()),
        ("SessionToken", key.token.expose().into()),
        ("Expiration", date::iso_seconds(key.expires_ms).into()),
    ];
    fields.into()
}
