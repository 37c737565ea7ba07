//! Actions of Tencent Cloud API 3.0 and of AWS's services beside S3. They are about an
//! account and none of its buckets.

use std::sync::Arc;

use costrel_core::account::{AccessKey, Account, Role};
use costrel_policy::{
    Action, Attempt, Caller, Fact, Facts, Grants, Key, Policy, Target, Value, Who, decide,
    decide_trust,
};

use super::caller_of;
use super::explained::{Explained, Judges};
use super::facts::of_caller;
use crate::aws::iam;
use crate::oidc::Bearer;
use crate::request::ConnectionInfo;

/// An action by its names in both grammars, and what of the account it is about, as far
/// as that is known.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub action: Action,
    pub resources: &'a [String],
    /// What is shown of a secret that whoever takes on a role was told.
    pub external_id: Option<&'a str>,
    /// What he wants to be called.
    pub session_name: Option<&'a str>,
}

impl Named<'_> {
    /// An action by its name in CAM: `name/sts:AssumeRole`.
    pub(crate) fn of_cam(action: &'static str) -> Self {
        let alone = action.strip_prefix("name/").unwrap_or(action);
        let iam = iam::same_as(action).unwrap_or(alone);
        Named {
            action: Action { cam: action, iam },
            resources: &[],
            external_id: None,
            session_name: None,
        }
    }

    /// What is done in an account is done to none of its buckets.
    pub(super) fn target(account: &Account) -> Target<'static> {
        Target {
            bucket: "",
            region: "",
            owner_uin: account.uin.get(),
            owner_appid: account.appid.get(),
            key: None,
        }
    }
}

/// What is known of a request to the API.
struct CloudFacts<'a> {
    key: &'a AccessKey,
    named: Named<'a>,
    connection: ConnectionInfo,
    now_ms: u64,
}

impl Facts for CloudFacts<'_> {
    fn fact(&self, key: &Key) -> Fact<'_> {
        match key {
            Key::SourceIp => Fact::One(Value::Ip(self.connection.peer.ip().to_canonical())),
            Key::SecureTransport => Fact::One(Value::Bool(self.connection.secure)),
            Key::ExternalId => Fact::optional(self.named.external_id),
            Key::RoleSessionName => Fact::optional(self.named.session_name),
            // Who has a key brings no token.
            Key::Claim { .. } => Fact::Absent,
            key => of_caller(Some(self.key), key, self.now_ms).unwrap_or(Fact::Unknown),
        }
    }

    fn resources(&self) -> &[String] {
        self.named.resources
    }
}

/// Judges what somebody asks for of his account.
fn judged(
    key: &AccessKey,
    named: Named<'_>,
    connection: ConnectionInfo,
    now_ms: u64,
    trust: Option<&Arc<Policy>>,
) -> Explained {
    let caller = caller_of(Some(key));
    let attempt = Attempt {
        caller: &caller,
        action: named.action,
        target: Named::target(&key.account),
        on_policy: false,
        facts: &CloudFacts { key, named, connection, now_ms },
    };
    let verdict = match trust {
        Some(trust) => decide_trust(&attempt, trust),
        None => decide(&attempt, Grants::default()),
    };
    Judges { trust, ..Judges::of(&caller, Some(&key.holder)) }.explain(verdict, None)
}

/// Whether a caller may do an action, and by what.
pub(crate) fn judge_action(
    key: &AccessKey,
    named: Named<'_>,
    connection: ConnectionInfo,
    now_ms: u64,
) -> Explained {
    judged(key, named, connection, now_ms, None)
}

/// Whether a caller may take on a role, as far as the role's trust policy and his own
/// policies go.
pub(crate) fn judge_role(
    key: &AccessKey,
    role: &Role,
    trust: &Arc<Policy>,
    (external_id, session_name): (Option<&str>, &str),
    connection: ConnectionInfo,
    now_ms: u64,
) -> Explained {
    let account = key.account.uin;
    let resources = [
        format!("qcs::cam::uin/{account}:roleName/{}", role.name),
        format!("qcs::cam::uin/{account}:role/{}", role.id),
        format!("arn:aws:iam::{account}:role{}", role.labels.place(&role.name)),
    ];
    let named = Named {
        resources: &resources,
        external_id,
        session_name: Some(session_name),
        ..Named::of_cam("name/sts:AssumeRole")
    };
    judged(key, named, connection, now_ms, Some(trust))
}

/// What is known of a request by whoever brings a token.
struct BearerFacts<'a> {
    bearer: &'a Bearer,
    account: &'a Account,
    session_name: &'a str,
    connection: ConnectionInfo,
    now_ms: u64,
}

impl Facts for BearerFacts<'_> {
    fn fact(&self, key: &Key) -> Fact<'_> {
        match key {
            Key::SourceIp => Fact::One(Value::Ip(self.connection.peer.ip().to_canonical())),
            Key::SecureTransport => Fact::One(Value::Bool(self.connection.secure)),
            Key::CurrentTime => Fact::One(Value::Time(self.now_ms as i64)),
            Key::EpochTime => Fact::One(Value::Number(self.now_ms / 1000)),
            Key::RoleSessionName => Fact::text(self.session_name),
            Key::Claim { issuer, claim } => self.bearer.fact(issuer.as_deref(), *claim),
            Key::OwnerUin => Fact::text(self.account.uin.to_string()),
            Key::AppId => Fact::text(self.account.appid.to_string()),
            // He has no name in any account.
            Key::Uin
            | Key::PrincipalAccount
            | Key::UserName
            | Key::UserId
            | Key::PrincipalArn
            | Key::ExternalId => Fact::Absent,
            _ => Fact::Unknown,
        }
    }
}

/// Whether whoever brings a token may take on a role: as far as the role's trust policy
/// goes, since he has none of his own.
pub(crate) fn judge_bearer(
    bearer: &Bearer,
    account: &Account,
    session_name: &str,
    trust: &Arc<Policy>,
    connection: ConnectionInfo,
    now_ms: u64,
) -> Explained {
    let provider = &bearer.provider;
    let mut caller = Caller::new(Who::Bearer(account.uin.get()));
    caller.name = Some(provider.place().into());
    caller.session_name =
        Some(provider.name.as_str()).filter(|name| !name.is_empty()).map(Into::into);
    let attempt = Attempt {
        caller: &caller,
        action: Action {
            cam: "name/sts:AssumeRoleWithWebIdentity",
            iam: "sts:AssumeRoleWithWebIdentity",
        },
        target: Named::target(account),
        on_policy: false,
        facts: &BearerFacts { bearer, account, session_name, connection, now_ms },
    };
    let judges = Judges { trust: Some(trust), ..Judges::of(&caller, None) };
    judges.explain(decide_trust(&attempt, trust), None)
}
