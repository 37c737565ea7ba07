//! Security Token Service.

use std::borrow::Cow;

use costrel_core::account::SessionRequest;
use costrel_policy::Grammar;
use costrel_signature::encode::decode_form;
use serde_json::{Map, Value, json};

use super::{Action, Asked, CloudFailure, Service};
use crate::date;

pub(super) const SERVICE: Service = Service {
    name: "sts",
    version: "2018-08-13",
    actions: &[
        Action { name: "GetCallerIdentity", parameters: &[], answer: Some(get_caller_identity) },
        Action {
            name: "GetFederationToken",
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

const fn not_yet(name: &'static str) -> Action {
    Action { name, parameters: &[], answer: None }
}

/// Whoever has a key may ask whose it is.
fn get_caller_identity(asked: &Asked<'_>) -> Result<Map<String, Value>, CloudFailure> {
    let uin = asked.key.account.uin;
    let (arn, user, kind) = match &asked.key.session {
        None => (format!("qcs::cam:{uin}:uin/{uin}"), uin.to_string(), "CAMUser"),
        Some(session) => (
            format!("qcs::sts:{uin}:federated-user/{uin}"),
            format!("{uin}:{}", session.name),
            "FederatedUser",
        ),
    };
    Ok(object([
        ("Arn", arn.into()),
        ("AccountId", uin.to_string().into()),
        ("UserId", user.into()),
        ("PrincipalId", uin.to_string().into()),
        ("Type", kind.into()),
    ]))
}

/// A temporary key that may do what its policy says and the asking key may.
fn get_federation_token(asked: &Asked<'_>) -> Result<Map<String, Value>, CloudFailure> {
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

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
