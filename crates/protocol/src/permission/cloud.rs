//! Actions of Tencent Cloud API 3.0. They are about an account and none of its
//! buckets.

use costrel_core::account::AccessKey;
use costrel_policy::{Action, Attempt, Decision, Fact, Facts, Grants, Key, Target, Value, decide};

use super::caller_of;
use crate::request::ConnectionInfo;

/// What is known of a request to the API.
struct CloudFacts<'a> {
    key: &'a AccessKey,
    connection: ConnectionInfo,
    now_ms: u64,
}

impl Facts for CloudFacts<'_> {
    fn fact(&self, key: &Key) -> Fact<'_> {
        let (account, user) = (&self.key.account, self.key.user.as_deref());
        let uin = user.map_or(account.uin, |user| user.uin);
        match key {
            Key::SourceIp => Fact::One(Value::Ip(self.connection.peer.ip().to_canonical())),
            Key::SecureTransport => Fact::One(Value::Bool(self.connection.secure)),
            Key::CurrentTime => Fact::One(Value::Time(self.now_ms as i64)),
            Key::EpochTime => Fact::One(Value::Number(self.now_ms / 1000)),
            Key::Uin => Fact::text(uin.to_string()),
            Key::OwnerUin | Key::PrincipalAccount => Fact::text(account.uin.to_string()),
            Key::AppId => Fact::text(account.appid.to_string()),
            _ => Fact::Unknown,
        }
    }
}

/// Whether a caller may do an action, by its name in CAM: `name/sts:AssumeRole`.
pub(crate) fn permits_action(
    key: &AccessKey,
    action: &'static str,
    connection: ConnectionInfo,
    now_ms: u64,
) -> bool {
    let account = &key.account;
    let attempt = Attempt {
        caller: &caller_of(Some(key)),
        action: Action { cam: action, iam: action.strip_prefix("name/").unwrap_or(action) },
        target: Target {
            bucket: "",
            region: "",
            owner_uin: account.uin.get(),
            owner_appid: account.appid.get(),
            key: None,
        },
        on_policy: false,
        facts: &CloudFacts { key, connection, now_ms },
    };
    decide(&attempt, Grants::default()) == Decision::Allowed
}
