//! Decisions about requests that nobody has made: what would come of one, and by what.
//! It is judged by everything in force, as if it had been made now.

use std::sync::Arc;

use costrel_core::Error;
use costrel_core::account::{AccessKey, Holder, IdentityError, Role};
use costrel_core::tags::Tags;
use costrel_policy::{Action, Attempt, Fact, Facts, Grants, Key, Target, decide, decide_trust};
use parking_lot::Mutex;

use super::cloud::{bearer_of, is_of_holders};
use super::explained::{Explained, Judges};
use super::facts::{Place, of_caller, tag};
use super::{Named, Need, caller_of};
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::ops::{self, Operation};
use crate::{aws, cloud};

/// Whose request it is supposed to be.
#[derive(Clone, Copy, Debug)]
pub enum Asker<'a> {
    Anonymous,
    Root,
    /// By his name.
    User(&'a str),
    /// Whoever has taken it on, by its name.
    Role(&'a str),
    /// Whose permanent key this is.
    Key(&'a str),
    /// Whoever brings a token of this identity provider, by its URL or its name in CAM.
    Bearer(&'a str),
}

/// A request that is only supposed.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub asker: Asker<'a>,
    /// By its name in either grammar: `s3:GetObject`, `name/cos:GetObject`.
    pub action: &'a str,
    /// As policies name it, or a bucket, or a bucket and a key with a slash between.
    pub resource: &'a str,
    pub version: Option<&'a str>,
    /// Condition keys of either grammar, each with its values.
    pub context: &'a [(String, Vec<String>)],
}

/// What would come of it.
#[derive(Clone, Debug)]
pub struct Supposed {
    pub explained: Explained,
    pub action: Action,
    /// Condition keys that were asked for and not given; what they stand for is supposed
    /// not to be there.
    pub missing: Vec<String>,
}

/// A part of a question. Policies compare all of them with their patterns, which takes as
/// long as both are, so each has its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Action,
    Resource,
    /// All values of condition keys together.
    Context,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Action => "the name of an action",
            Part::Resource => "a resource",
            Part::Context => "the context",
        }
    }

    /// As AWS has it, which tells none of the context.
    const fn chars_max(self) -> usize {
        match self {
            Part::Action => 128,
            Part::Resource => 2048,
            Part::Context => 8192,
        }
    }

    pub(crate) fn check(self, text: &str) -> Result<(), SupposedFault> {
        let max = self.chars_max();
        match text.len() > max && text.chars().count() > max {
            true => Err(SupposedFault::TooLong(self)),
            false => Ok(()),
        }
    }
}

/// Why nothing can be said of a question.
#[derive(Debug, thiserror::Error)]
pub enum SupposedFault {
    #[error("there is no action {0}")]
    NoSuchAction(String),
    #[error("'{0}' names no bucket and nothing in one")]
    Resource(String),
    #[error("there is no bucket {0}")]
    NoSuchBucket(String),
    #[error("{0} is about an object: name one as BUCKET/KEY")]
    NoKey(String),
    #[error("{0} is about a bucket and not about an object in it")]
    NoBucket(String),
    #[error("{0} is about a role: name one by its Arn")]
    NoRole(String),
    #[error("there is no condition key {0}")]
    NoSuchContext(String),
    #[error("{} has {} characters at most", .0.name(), .0.chars_max())]
    TooLong(Part),
    #[error("there is no such key")]
    NoSuchKey,
    #[error(
        "whoever brings a token asks for sts:AssumeRoleWithWebIdentity of a role, and nothing else"
    )]
    NotForBearers,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for SupposedFault {
    fn from(error: Error) -> SupposedFault {
        SupposedFault::Failed(error.to_string())
    }
}

impl From<Failure> for SupposedFault {
    fn from(failure: Failure) -> SupposedFault {
        SupposedFault::Failed(failure.to_string())
    }
}

/// What is said about a supposed request, and which keys nothing was said about.
pub(super) struct Context<'a> {
    given: Vec<(Key, Fact<'a>)>,
    missing: Mutex<Vec<String>>,
}

impl<'a> Context<'a> {
    pub fn new(context: &'a [(String, Vec<String>)]) -> Result<Context<'a>, SupposedFault> {
        let chars = context.iter().flat_map(|(_, values)| values).map(|text| text.chars().count());
        if chars.sum::<usize>() > Part::Context.chars_max() {
            return Err(SupposedFault::TooLong(Part::Context));
        }
        let given = context.iter().map(|(name, values)| {
            let key = Key::named(name).ok_or_else(|| SupposedFault::NoSuchContext(name.clone()))?;
            let fact = match &values[..] {
                [one] => Fact::text(one.as_str()),
                several => Fact::Many(several.iter().map(|text| text.as_str().into()).collect()),
            };
            Ok((key, fact))
        });
        Ok(Context {
            given: given.collect::<Result<_, SupposedFault>>()?,
            missing: Mutex::default(),
        })
    }

    pub fn missing(self) -> Vec<String> {
        let mut missing = self.missing.into_inner();
        missing.sort();
        missing.dedup();
        missing
    }

    fn given(&self, key: &Key) -> Option<Fact<'a>> {
        self.given.iter().find(|(known, _)| known == key).map(|(_, fact)| fact.clone())
    }
}

/// The facts of a supposed request.
pub(super) struct SupposedFacts<'a> {
    pub context: &'a Context<'a>,
    pub key: Option<&'a AccessKey>,
    /// He brings a token, and has no key.
    pub is_bearer: bool,
    pub place: Place<'a>,
    pub version: Option<&'a str>,
    pub existing_tags: Option<Tags>,
    pub resources: &'a [String],
    pub now_ms: u64,
}

impl<'a> SupposedFacts<'a> {
    /// Of a request with a key or without, about nothing that is there.
    pub fn of(
        context: &'a Context<'a>,
        key: Option<&'a AccessKey>,
        place: Place<'a>,
        now_ms: u64,
    ) -> SupposedFacts<'a> {
        SupposedFacts {
            context,
            key,
            is_bearer: false,
            place,
            version: None,
            existing_tags: None,
            resources: &[],
            now_ms,
        }
    }
}

impl Facts for SupposedFacts<'_> {
    fn fact(&self, key: &Key) -> Fact<'_> {
        if let Some(fact) = self.context.given(key) {
            return fact;
        }
        match key {
            Key::VersionId => return Fact::optional(self.version),
            Key::RequestedRegion => return Fact::text(self.place.region),
            Key::ResourceAccount => return Fact::text(format!("{:012}", self.place.owner_uin)),
            Key::ExistingTag(name) => {
                if let Some(tags) = &self.existing_tags {
                    return tag(tags, name);
                }
            }
            _ => {}
        }
        if self.place.tags.is_some()
            && let Some(fact) = self.place.fact(key)
        {
            return fact;
        }
        if self.is_bearer && is_of_holders(key) {
            return Fact::Absent;
        }
        if let Some(fact) = of_caller(self.key, key, self.now_ms) {
            return fact;
        }
        self.context.missing.lock().push(key.name());
        Fact::Absent
    }

    fn resources(&self) -> &[String] {
        self.resources
    }
}

/// Actions that a role's trust policy judges.
const OF_ROLES: [&str; 4] =
    ["name/sts:AssumeRole", BY_TOKEN, "name/sts:TagSession", "name/sts:SetSourceIdentity"];

/// The one of them that is for whoever brings a token.
const BY_TOKEN: &str = "name/sts:AssumeRoleWithWebIdentity";

/// What an action's name stands for.
pub(super) enum Meant {
    /// Something that is done to a bucket or an object.
    Operation(Operation, bool, Action),
    /// Something that is done in the account.
    Account(Action),
}

impl Meant {
    pub fn of(name: &str) -> Result<Meant, SupposedFault> {
        if let Some((operation, versioned, action)) = ops::named(name) {
            return Ok(Meant::Operation(operation, versioned, action));
        }
        // Judged by roles, not by the actions' own permission.
        let plain = name.strip_prefix("name/").unwrap_or(name);
        if let Some(of_role) = OF_ROLES.iter().find(|of_role| of_role[5..] == *plain) {
            return Ok(Meant::Account(Named::of_cam(of_role).action));
        }
        let action = aws::action_named(name).or_else(|| cloud::action_named(name));
        action.map(Meant::Account).ok_or_else(|| SupposedFault::NoSuchAction(name.to_owned()))
    }
}

/// The bucket and the key that a resource names: `arn:aws:s3:::bucket/key`,
/// `qcs::cos:region:uid/appid:bucket/key`, `bucket/key`, or as the vendors' commands have
/// it, `s3://bucket/key` and `cos://bucket/key`.
pub(super) fn bucket_and_key(resource: &str) -> (&str, Option<&str>) {
    let path = match resource.split_once(':') {
        Some(("arn" | "qcs", _)) => resource.splitn(6, ':').nth(5).unwrap_or_default(),
        Some(("s3" | "cos", rest)) => rest.trim_start_matches('/'),
        _ => resource,
    };
    match path.split_once('/') {
        Some((bucket, key)) => (bucket, Some(key).filter(|key| !key.is_empty())),
        None => (path, None),
    }
}

/// The region that a resource of CAM names.
pub(super) fn region_of(resource: &str) -> Option<&str> {
    let region = resource.strip_prefix("qcs:")?.split(':').nth(2)?;
    Some(region).filter(|region| !region.is_empty())
}

impl Gateway {
    /// What would come of a request.
    pub async fn suppose(&self, question: &Question<'_>) -> Result<Supposed, SupposedFault> {
        Part::Action.check(question.action)?;
        Part::Resource.check(question.resource)?;
        let meant = Meant::of(question.action)?;
        let key = self.supposed_key(question.asker).await?;
        let context = Context::new(question.context)?;
        if let Asker::Bearer(provider) = question.asker {
            let Meant::Account(action) = meant else { return Err(SupposedFault::NotForBearers) };
            let explained = self.suppose_token(question, action, provider, &context).await?;
            return Ok(Supposed { explained, action, missing: context.missing() });
        }
        let (explained, action) = match meant {
            Meant::Account(action) => {
                (self.suppose_in_account(question, action, key.as_ref(), &context).await?, action)
            }
            Meant::Operation(operation, versioned, action) => {
                let asked = (operation, versioned, action);
                (self.suppose_in_bucket(question, asked, key.as_ref(), &context).await?, action)
            }
        };
        Ok(Supposed { explained, action, missing: context.missing() })
    }

    async fn supposed_key(&self, asker: Asker<'_>) -> Result<Option<AccessKey>, SupposedFault> {
        let accounts = self.authenticator.accounts();
        let holder = match asker {
            Asker::Anonymous | Asker::Bearer(_) => return Ok(None),
            Asker::Root => Holder::Root,
            Asker::User(name) => Holder::User(Arc::new(accounts.user_in_force(name).await?)),
            Asker::Role(name) => {
                let id = accounts.role_named(name).await?.id;
                let role = accounts.role_in_force(id).await?;
                Holder::Role(role.ok_or(IdentityError::NoSuchRole)?)
            }
            Asker::Key(id) => {
                let key = accounts.lookup(id).await?.ok_or(SupposedFault::NoSuchKey)?;
                return Ok(Some((*key).clone()));
            }
        };
        let account = self.authenticator.account().clone();
        Ok(Some(AccessKey::supposed(account, holder)))
    }

    async fn suppose_in_bucket(
        &self,
        question: &Question<'_>,
        (operation, versioned, action): (Operation, bool, Action),
        key: Option<&AccessKey>,
        context: &Context<'_>,
    ) -> Result<Explained, SupposedFault> {
        let (name, object) = bucket_and_key(question.resource);
        let (caller, holder) = (caller_of(key), key.map(|key| &key.holder));
        let now_ms = self.store.now_ms();
        if matches!(operation, Operation::ListBuckets | Operation::CreateBucket) {
            let account = self.authenticator.account();
            let region = self.store.region();
            let place = Place { region, owner_uin: account.uin.get(), tags: None };
            let facts = SupposedFacts::of(context, key, place, now_ms);
            let attempt = Attempt {
                caller: &caller,
                action,
                target: Target {
                    bucket: name,
                    region,
                    owner_uin: place.owner_uin,
                    owner_appid: account.appid.get(),
                    key: None,
                },
                on_policy: false,
                facts: &facts,
            };
            let judges = Judges::of(&caller, holder);
            return Ok(judges.explain(decide(&attempt, Grants::default()), None));
        }
        if name.is_empty() {
            return Err(SupposedFault::Resource(question.resource.to_owned()));
        }
        let asked = || question.action.to_owned();
        let object = match (operation.is_about_keys(), object) {
            (true, None) => return Err(SupposedFault::NoKey(asked())),
            // As policies of CAM name a bucket.
            (false, None | Some("*")) => None,
            (false, Some(_)) => return Err(SupposedFault::NoBucket(asked())),
            (true, object) => object,
        };
        let bucket = self.store.bucket(name).await.map_err(|error| match error {
            Error::NoSuchBucket => SupposedFault::NoSuchBucket(name.to_owned()),
            other => other.into(),
        })?;
        let version = question.version.or(versioned.then_some("null"));
        let need = Need::new(operation, object, version).besides_if(action);
        let settings = bucket.settings();
        let place = Place {
            region: &bucket.region,
            owner_uin: bucket.owner_uin,
            tags: Some(&settings.tags),
        };
        let facts = |existing_tags| SupposedFacts {
            version: question.version,
            existing_tags,
            ..SupposedFacts::of(context, key, place, now_ms)
        };
        let judged = self.judge(&bucket, &caller, need, facts).await?;
        Ok(judged.explained(&caller, holder))
    }

    async fn suppose_in_account(
        &self,
        question: &Question<'_>,
        action: Action,
        key: Option<&AccessKey>,
        context: &Context<'_>,
    ) -> Result<Explained, SupposedFault> {
        let role = match OF_ROLES.contains(&action.cam) && action.cam != BY_TOKEN {
            true => {
                let role = self.supposed_role(question.resource).await?;
                Some(role.ok_or_else(|| SupposedFault::NoRole(question.action.to_owned()))?)
            }
            false => None,
        };
        let resources = match question.resource {
            "" | "*" => Vec::new(),
            named => vec![named.to_owned()],
        };
        let account = self.authenticator.account();
        let trust = role.as_ref().map(Role::trust_policy).transpose()?;
        let caller = caller_of(key);
        let place = Place { region: self.store.region(), owner_uin: account.uin.get(), tags: None };
        let facts = SupposedFacts {
            resources: &resources,
            ..SupposedFacts::of(context, key, place, self.store.now_ms())
        };
        let attempt = Attempt {
            caller: &caller,
            action,
            target: Named::target(account),
            on_policy: false,
            facts: &facts,
        };
        let verdict = match &trust {
            Some(trust) => decide_trust(&attempt, trust),
            None => decide(&attempt, Grants::default()),
        };
        let holder = key.map(|key| &key.holder);
        let judges = Judges { trust: trust.as_ref(), ..Judges::of(&caller, holder) };
        Ok(judges.explain(verdict, None))
    }

    /// What would come of a token.
    async fn suppose_token(
        &self,
        question: &Question<'_>,
        action: Action,
        provider: &str,
        context: &Context<'_>,
    ) -> Result<Explained, SupposedFault> {
        let role = self.supposed_role(question.resource).await?;
        let role = role.filter(|_| OF_ROLES[1..].contains(&action.cam));
        let role = role.ok_or(SupposedFault::NotForBearers)?;
        let accounts = self.authenticator.accounts();
        let place = provider.split_once("://").map_or(provider, |(_, place)| place);
        let found = match accounts.provider(place).await {
            Err(IdentityError::NoSuchProvider) => accounts.provider_named(provider).await,
            found => found,
        };
        let account = self.authenticator.account();
        let caller = bearer_of(account, &found?);
        let here = Place { region: self.store.region(), owner_uin: account.uin.get(), tags: None };
        let facts = SupposedFacts {
            is_bearer: true,
            ..SupposedFacts::of(context, None, here, self.store.now_ms())
        };
        let attempt = Attempt {
            caller: &caller,
            action,
            target: Named::target(account),
            on_policy: false,
            facts: &facts,
        };
        let trust = role.trust_policy()?;
        let judges = Judges { trust: Some(&trust), ..Judges::of(&caller, None) };
        Ok(judges.explain(decide_trust(&attempt, &trust), None))
    }

    /// The role that is to be taken on, by what policies call it.
    async fn supposed_role(&self, resource: &str) -> Result<Option<Role>, SupposedFault> {
        let name = resource.rsplit('/').next().unwrap_or_default();
        match resource.contains(":role") {
            true => Ok(Some(self.authenticator.accounts().role_named(name).await?)),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_name_buckets_and_keys() {
        for (resource, expected) in [
            ("b-1250000000", ("b-1250000000", None)),
            ("b-1250000000/", ("b-1250000000", None)),
            ("b-1250000000/a/b:c", ("b-1250000000", Some("a/b:c"))),
            ("arn:aws:s3:::b-1250000000/a", ("b-1250000000", Some("a"))),
            ("arn:aws:s3:::b-1250000000", ("b-1250000000", None)),
            (
                "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/a:b",
                ("b-1250000000", Some("a:b")),
            ),
            ("s3://b-1250000000/a", ("b-1250000000", Some("a"))),
            ("cos://b-1250000000/a:b", ("b-1250000000", Some("a:b"))),
            ("*", ("*", None)),
            ("arn:aws", ("", None)),
        ] {
            assert_eq!(bucket_and_key(resource), expected, "{resource}");
        }
    }

    #[test]
    fn resources_of_cam_name_regions() {
        let region = |resource: &str| region_of(resource).map(str::to_owned);
        let named = "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/a:b";
        assert_eq!(region(named), Some("ap-guangzhou".into()));
        assert_eq!(region("qcs:id/0:cos:ap-x:uid/1:b/*"), Some("ap-x".into()));
        for nowhere in ["qcs::cos::uid/1250000000:b/*", "arn:aws:s3:::b/k", "qcs:", "b/k", "*"] {
            assert_eq!(region(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn what_is_compared_has_limits() {
        let fits = |part: Part, text: &str| part.check(text).is_ok();
        assert!(fits(Part::Action, &"云".repeat(128)));
        assert!(!fits(Part::Action, &"a".repeat(129)));
        assert!(fits(Part::Resource, &"a".repeat(2048)));
        assert!(!fits(Part::Resource, &"a".repeat(2049)));
        let said = |count: usize| [("aws:UserAgent".to_owned(), vec!["a".repeat(64); count])];
        assert!(Context::new(&said(128)).is_ok());
        let fault = Context::new(&said(129)).err().unwrap();
        assert_eq!(fault.to_string(), "the context has 8192 characters at most");
    }

    #[test]
    fn actions_have_names_in_both_grammars() {
        let operation = |name: &str| match Meant::of(name) {
            Ok(Meant::Operation(operation, versioned, _)) => Some((operation, versioned)),
            _ => None,
        };
        assert_eq!(operation("s3:GetObject"), Some((Operation::GetObject, false)));
        assert_eq!(operation("S3:getobjectversion"), Some((Operation::GetObject, true)));
        assert_eq!(operation("name/cos:HeadObject"), Some((Operation::HeadObject, false)));
        assert_eq!(operation("cos:GetBucket"), Some((Operation::ListObjects, false)));
        assert_eq!(operation("s3:ListBucket"), Some((Operation::ListObjects, false)));
        assert_eq!(operation("s3:PutObject"), Some((Operation::PutObject, false)));
        assert!(matches!(Meant::of("iam:CreateUser"), Ok(Meant::Account(_))));
        assert!(matches!(Meant::of("name/cam:AddUser"), Ok(Meant::Account(_))));
        assert!(matches!(Meant::of("sts:AssumeRole"), Ok(Meant::Account(_))));
        assert!(Meant::of("s3:*").is_err());
        assert!(Meant::of("s3:GetNothing").is_err());
    }
}
