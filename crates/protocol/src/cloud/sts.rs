//! Security Token Service.

use std::borrow::Cow;

use costrel_core::account::SessionRequest;
use costrel_policy::Grammar;
use costrel_signature::encode::decode_form;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::{Action, Answered, Asked, CloudFailure, Service, not_yet, object};
use crate::date;

pub(super) const SERVICE: Service = Service {
    name: "sts",
    version: "2018-08-13",
    actions: &[
        Action {
            name: "GetCallerIdentity",
            permission: None,
            parameters: &[],
            answer: Some(get_caller_identity),
        },
        Action {
            name: "GetFederationToken",
            permission: Some("name/sts:GetFederationToken"),
            parameters: &["Name", "Policy", "DurationSeconds"],
            answer: Some(get_federation_token),
        },
        not_yet("GetSessionToken"),
        not_yet("AssumeRole"),
        not_yet("AssumeRoleWithSAML"),
        not_yet("AssumeRoleWithWebIdentity"),
        not_yet("QueryApiKey"),
    ],
};

/// How long a key is good for if nobody says, in seconds.
const FEDERATION_DURATION_S: i64 = 1800;

/// Whoever has a key may ask whose it is.
fn get_caller_identity<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    let account = asked.key.account.uin;
    let uin = asked.key.user.as_ref().map_or(account, |user| user.uin);
    let (arn, user, kind) = match &asked.key.session {
        None => (format!("qcs::cam:{account}:uin/{uin}"), uin.to_string(), "CAMUser"),
        Some(session) => (
            format!("qcs::sts:{account}:federated-user/{uin}"),
            format!("{uin}:{}", session.name),
            "FederatedUser",
        ),
    };
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
        policy: (Grammar::Cam, policy.as_bytes()),
    };
    let key = asked.accounts.grant(asked.key, &request)?;
    let credentials = json!({
        "TmpSecretId": key.pair.id(),
        "TmpSecretKey": key.pair.secret().expose(),
        "Token": key.token.expose(),
    });
    Ok(object([
        ("Credentials", credentials),
        ("ExpiredTime", (key.expires_ms / 1000).into()),
        ("Expiration", date::iso_seconds(key.expires_ms).into()),
    ]))
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
