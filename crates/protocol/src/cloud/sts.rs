//! Security Token Service.

use costrel_core::account::AccessKey;
use serde_json::{Map, Value, json};

use super::{Action, CloudFailure, Service};

pub(super) const SERVICE: Service = Service {
    name: "sts",
    version: "2018-08-13",
    actions: &[
        Action { name: "GetCallerIdentity", parameters: &[], answer: Some(get_caller_identity) },
        not_yet("GetFederationToken"),
        not_yet("GetSessionToken"),
        not_yet("AssumeRole"),
        not_yet("AssumeRoleWithSAML"),
        not_yet("AssumeRoleWithWebIdentity"),
        not_yet("QueryApiKey"),
    ],
};

const fn not_yet(name: &'static str) -> Action {
    Action { name, parameters: &[], answer: None }
}

/// Whoever has a key may ask whose it is.
fn get_caller_identity(key: &AccessKey) -> Result<Map<String, Value>, CloudFailure> {
    let uin = key.account.uin;
    let fields = [
        ("Arn", format!("qcs::cam:{uin}:uin/{uin}")),
        ("AccountId", uin.to_string()),
        ("UserId", uin.to_string()),
        ("PrincipalId", uin.to_string()),
        ("Type", "CAMUser".to_owned()),
    ];
    Ok(fields.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect())
}
