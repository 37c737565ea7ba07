//! Actions of Tencent Cloud API 3.0 and of AWS's services beside S3. They are about an
//! account and none of its buckets.

use std::sync::Arc;

use costrel_core::account::{AccessKey, Account, Labels, Provider, Role, SessionTags};
use costrel_policy::{
    Action, Attempt, Caller, Fact, Facts, Grants, Key, Policy, Target, Value, Who, decide,
    decide_trust,
};

use super::caller_of;
use super::explained::{Explained, Judges};
use super::facts::{of_caller, of_connection};
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
    /// What is to be said of whoever has the key, or of what is made; nothing if that is
    /// not known.
    pub said: Option<&'a SessionTags>,
    /// What it is about has these; nothing if that is not known.
    pub labels: Option<&'a Labels>,
}

/// What whoever takes on a role says beside its name.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    /// What its owner has told him.
    pub external_id: Option<&'a str>,
    /// What he wants to be called.
    pub session_name: &'a str,
    pub said: &'a SessionTags,
}

impl Shown<'_> {
    /// What has to be allowed besides for it.
    fn further(&self) -> impl Iterator<Item = &'static str> {
        let tags = (!self.said.tags.is_empty()).then_some("name/sts:TagSession");
        let is_said = !self.said.source_identity.is_empty();
        tags.into_iter().chain(is_said.then_some("name/sts:SetSourceIdentity"))
    }
}

/// What is to be said of whoever has the key that is asked for.
fn of_said<'a>(said: Option<&'a SessionTags>, key: &Key) -> Option<Fact<'a>> {
    fn many<'a>(names: impl Iterator<Item = &'a String>) -> Fact<'a> {
        let names: Vec<_> = names.map(|name| name.as_str().into()).collect();
        if names.is_empty() { Fact::Absent } else { Fact::Many(names) }
    }
    Some(match (key, said) {
        (Key::SessionTag(name), Some(said)) => Fact::optional(said.tag(name)),
        (Key::SessionTagKeys, Some(said)) => many(said.tags.keys()),
        (Key::RequestTags, Some(said)) => {
            let pairs = said.tags.iter().map(|(name, value)| format!("{name}&{value}").into());
            Fact::Many(pairs.collect())
        }
        (Key::TransitiveTagKeys, Some(said)) => many(said.transitive.iter()),
        (Key::NewSourceIdentity, Some(said)) => {
            Fact::optional(Some(&*said.source_identity).filter(|text| !text.is_empty()))
        }
        _ => return None,
    })
}

/// What is known of the tags of whomever or whatever it is about.
fn of_resource<'a>(labels: Option<&'a Labels>, key: &Key) -> Option<Fact<'a>> {
    Some(match (key, labels) {
        (Key::ResourceTag(name), Some(labels)) => Fact::optional(labels.tag(name)),
        (Key::ResourceTags, Some(labels)) => {
            let pairs = labels.tags.iter().map(|(name, value)| format!("{name}&{value}").into());
            Fact::Many(pairs.collect())
        }
        _ => return None,
    })
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
            said: None,
            labels: None,
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
        if let Some(fact) = of_connection(&self.connection, key) {
            return fact;
        }
        match key {
            Key::ExternalId => Fact::optional(self.named.external_id),
            Key::RoleSessionName => Fact::optional(self.named.session_name),
            // Who has a key brings no token.
            Key::Claim { .. } => Fact::Absent,
            key => {
                let of_resource = || of_resource(self.named.labels, key);
                let of_caller = || of_caller(Some(self.key), key, self.now_ms);
                let known = of_said(self.named.said, key).or_else(of_resource);
                known.or_else(of_caller).unwrap_or(Fact::Unknown)
            }
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
    shown: Shown<'_>,
    connection: ConnectionInfo,
    now_ms: u64,
) -> Explained {
    let account = key.account.uin;
    let resources = [
        format!("qcs::cam::uin/{account}:roleName/{}", role.name),
        format!("qcs::cam::uin/{account}:role/{}", role.id),
        format!("arn:aws:iam::{account}:role{}", role.labels.place(&role.name)),
    ];
    let judge = |action| {
        let named = Named {
            resources: &resources,
            external_id: shown.external_id,
            session_name: Some(shown.session_name),
            said: Some(shown.said),
            labels: Some(&role.labels),
            ..Named::of_cam(action)
        };
        judged(key, named, connection, now_ms, Some(trust))
    };
    let further = shown.further().map(judge);
    all_of(judge("name/sts:AssumeRole"), further)
}

/// The first that is refused, or else the first.
fn all_of(first: Explained, mut further: impl Iterator<Item = Explained>) -> Explained {
    let refused = if first.allowed { further.find(|judged| !judged.allowed) } else { None };
    refused.unwrap_or(first)
}

/// Whether a key asks for something that whoever brings a token has not: he has no name in
/// any account.
pub(super) fn is_of_holders(key: &Key) -> bool {
    matches!(
        key,
        Key::Uin
            | Key::PrincipalAccount
            | Key::UserName
            | Key::UserId
            | Key::PrincipalArn
            | Key::ExternalId
            | Key::PrincipalTag(_)
            | Key::SourceIdentity
    )
}

/// Whoever brings a provider's token, to a trust policy.
pub(super) fn bearer_of(account: &Account, provider: &Provider) -> Caller {
    let mut caller = Caller::new(Who::Bearer(account.uin.get()));
    caller.name = Some(provider.place().into());
    caller.session_name =
        Some(provider.name.as_str()).filter(|name| !name.is_empty()).map(Into::into);
    caller
}

/// What is known of a request by whoever brings a token.
struct BearerFacts<'a> {
    bearer: &'a Bearer,
    role: &'a Role,
    account: &'a Account,
    shown: Shown<'a>,
    connection: ConnectionInfo,
    now_ms: u64,
}

impl Facts for BearerFacts<'_> {
    fn fact(&self, key: &Key) -> Fact<'_> {
        if let Some(fact) = of_connection(&self.connection, key) {
            return fact;
        }
        match key {
            Key::CurrentTime => Fact::One(Value::Time(self.now_ms as i64)),
            Key::EpochTime => Fact::One(Value::Number(self.now_ms / 1000)),
            Key::RoleSessionName => Fact::text(self.shown.session_name),
            Key::Claim { issuer, claim } => self.bearer.fact(issuer.as_deref(), *claim),
            Key::OwnerUin => Fact::text(self.account.uin.to_string()),
            Key::AppId => Fact::text(self.account.appid.to_string()),
            key if is_of_holders(key) => Fact::Absent,
            key => {
                let of_role = || of_resource(Some(&self.role.labels), key);
                of_said(Some(self.shown.said), key).or_else(of_role).unwrap_or(Fact::Unknown)
            }
        }
    }
}

/// Whether whoever brings a token may take on a role: as far as the role's trust policy
/// goes, since he has none of his own.
pub(crate) fn judge_bearer(
    bearer: &Bearer,
    role: &Role,
    account: &Account,
    shown: Shown<'_>,
    trust: &Arc<Policy>,
    connection: ConnectionInfo,
    now_ms: u64,
) -> Explained {
    let caller = bearer_of(account, &bearer.provider);
    let judge = |action| {
        let attempt = Attempt {
            caller: &caller,
            action: Named::of_cam(action).action,
            target: Named::target(account),
            on_policy: false,
            facts: &BearerFacts { bearer, role, account, shown, connection, now_ms },
        };
        let judges = Judges { trust: Some(trust), ..Judges::of(&caller, None) };
        judges.explain(decide_trust(&attempt, trust), None)
    };
    let further = shown.further().map(judge);
    all_of(judge("name/sts:AssumeRoleWithWebIdentity"), further)
}
