//! From a document to a [`Policy`]: what both grammars share.

use std::collections::HashSet;

use crate::condition::{Condition, Operator};
use crate::fault::PolicyFault;
use crate::json::Json;
use crate::key::{Key, Unnamed};
use crate::pattern::{Pattern, Syntax};
use crate::principal::Principal;
use crate::resource::{Resource, Target};
use crate::span::{self, Span};
use crate::{cam, iam};

/// Both services' largest bucket policy.
pub const POLICY_BYTES_MAX: usize = 20 << 10;

/// The language a policy is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// Tencent Cloud's: `name/cos:…`, `qcs::cos:…`.
    Cam,
    /// AWS's: `s3:…`, `arn:aws:s3:::…`.
    Iam,
}

/// A policy that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub grammar: Grammar,
    pub(crate) statements: Vec<Statement>,
    /// Action patterns as they were written.
    actions: Vec<String>,
    spans: Box<[Span]>,
    asks_for_tags: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    /// What its author calls it.
    pub sid: Option<Box<str>>,
    pub allows: bool,
    pub principals: Principals,
    pub actions: Actions,
    pub resources: Resources,
    pub conditions: Vec<Condition>,
}

impl Statement {
    fn asks(&self, about: &impl Fn(&Key) -> bool) -> bool {
        let in_conditions = self.conditions.iter().any(|condition| condition.asks(about));
        in_conditions || self.resources.named.iter().any(|resource| resource.asks(about))
    }
}

/// Those named, or all but them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named<T> {
    pub named: Vec<T>,
    pub others: bool,
}

pub(crate) type Principals = Named<Principal>;
pub(crate) type Actions = Named<Pattern>;
pub(crate) type Resources = Named<Resource>;

/// What a grammar adds to [`read`].
pub(crate) struct Words {
    pub grammar: Grammar,
    /// Reads the name of a member as IAM spells it; `None` if there is none.
    pub member: fn(&str) -> Option<&'static str>,
    pub effect: fn(&str) -> Option<bool>,
    pub principal: fn(&Json) -> Result<Vec<Principal>, PolicyFault>,
    /// Whether it can be an action of this service.
    pub action: fn(&str) -> bool,
    pub resource: fn(&str, Variables) -> Result<Resource, PolicyFault>,
    /// Whether it can be an action or a resource of another service: policies of
    /// people and credentials may speak of several.
    pub other_action: fn(&str) -> bool,
    pub other_resource: fn(&str) -> bool,
    pub operator: fn(&str) -> Option<Operator>,
    pub key: fn(&str) -> Result<Key, Unnamed>,
    /// What values of a key stand for in conditions.
    pub value: fn(&Key, &str) -> Option<String>,
    /// Of a policy of this version, if there is such a version.
    pub variables: fn(Option<&str>) -> Option<Variables>,
}

pub(crate) type Variables = Option<fn(&str) -> Option<Key>>;

impl Policy {
    /// A policy that says nothing, and so allows nothing.
    pub fn nothing() -> Policy {
        let (statements, actions, spans) = (Vec::new(), Vec::new(), Box::default());
        Policy { grammar: Grammar::Iam, statements, actions, spans, asks_for_tags: false }
    }

    /// Reads the policy of a bucket.
    pub fn of_bucket(grammar: Grammar, document: &[u8]) -> Result<Policy, PolicyFault> {
        match grammar {
            Grammar::Cam => read(document, &cam::WORDS, Holder::Bucket),
            Grammar::Iam => read(document, &iam::WORDS, Holder::Bucket),
        }
    }

    /// Reads a policy that limits credentials. It is about whoever holds them, so
    /// it has no principals; those of CAM, which SDKs send, mean nothing.
    pub fn of_session(grammar: Grammar, document: &[u8]) -> Result<Policy, PolicyFault> {
        match grammar {
            Grammar::Cam => read(document, &cam::WORDS, Holder::Session),
            Grammar::Iam => read(document, &iam::WORDS, Holder::Session),
        }
    }

    /// Reads a policy of a user, which is about him and so names nobody.
    pub fn of_user(grammar: Grammar, document: &[u8]) -> Result<Policy, PolicyFault> {
        match grammar {
            Grammar::Cam => read(document, &cam::WORDS, Holder::User),
            Grammar::Iam => read(document, &iam::WORDS, Holder::User),
        }
    }

    /// Reads what a role says of who may take it on: it is about the role and so names
    /// no resource.
    pub fn of_trust(grammar: Grammar, document: &[u8]) -> Result<Policy, PolicyFault> {
        match grammar {
            Grammar::Cam => read(document, &cam::WORDS, Holder::Trust),
            Grammar::Iam => read(document, &iam::WORDS, Holder::Trust),
        }
    }

    /// The first action that is none of those that there are, by its pattern.
    pub fn unknown_action(&self, known: impl Fn() -> Vec<&'static str>) -> Option<&str> {
        let syntax =
            Syntax { wildcards: true, variables: None, fold: self.grammar == Grammar::Iam };
        let known = known();
        let unknown = |pattern: &&String| {
            let parsed = Pattern::parse(plain_action(pattern), syntax);
            parsed
                .is_ok_and(|parsed| !known.iter().any(|name| parsed.may_match(plain_action(name))))
        };
        self.actions.iter().find(unknown).map(String::as_str)
    }

    /// Whether a condition or a variable asks about the tags that an object has.
    pub fn asks_for_tags(&self) -> bool {
        self.asks_for_tags
    }

    /// Refuses two statements of one name, which IAM does not take. Asked of what is
    /// new alone: what was taken before goes on being read.
    pub fn check_sids(&self) -> Result<(), PolicyFault> {
        if self.grammar == Grammar::Cam {
            return Ok(());
        }
        let mut seen = HashSet::new();
        let mut sids = self.statements.iter().filter_map(|statement| statement.sid.as_deref());
        match sids.find(|sid| !sid.is_empty() && !seen.insert(*sid)) {
            Some(sid) => Err(PolicyFault::RepeatedSid(sid.to_owned())),
            None => Ok(()),
        }
    }

    /// What its author calls a statement, if anything.
    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }

    /// Where a statement stands in the document.
    pub fn span(&self, statement: usize) -> Option<Span> {
        self.spans.get(statement).copied()
    }

    /// Whether each of its resources can be the bucket or something in it.
    pub fn is_about(&self, target: &Target<'_>) -> bool {
        let resources = self.statements.iter().flat_map(|statement| &statement.resources.named);
        resources.into_iter().all(|resource| resource.may_be_in(target))
    }
}

/// An action's name without what CAM puts in front of it.
pub(crate) fn plain_action(name: &str) -> &str {
    name.strip_prefix("name/").unwrap_or(name)
}

/// What a policy belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Bucket,
    Session,
    User,
    /// A role, of who may take it on.
    Trust,
}

fn read(document: &[u8], words: &Words, holder: Holder) -> Result<Policy, PolicyFault> {
    if document.len() > POLICY_BYTES_MAX {
        return Err(PolicyFault::TooLarge);
    }
    if document.first() != Some(&b'{') {
        return Err(PolicyFault::NotJson);
    }
    let spans = span::of_statements(document);
    let document: Json = serde_json::from_slice(document).map_err(|_| PolicyFault::NotJson)?;
    let mut top = Members::of(document, words, &["Version", "Id", "Statement", "Principal"])?;
    let version = top.take("Version").map(|version| text(version, "Version")).transpose()?;
    let variables = (words.variables)(version.as_deref()).ok_or(PolicyFault::Version)?;
    top.take("Id").map(|id| text(id, "Id")).transpose()?;
    // In older policies of COS one principal stands for all statements.
    let for_all = top.take("Principal");
    if for_all.is_some() && (words.grammar == Grammar::Iam || holder == Holder::User) {
        return Err(PolicyFault::UnknownField("Principal".into()));
    }
    let statements = match top.take("Statement").ok_or(PolicyFault::Missing("Statement"))? {
        Json::List(list) if list.is_empty() => return Err(PolicyFault::Missing("Statement")),
        Json::List(list) => list,
        one @ Json::Object(_) => vec![one],
        _ => return Err(PolicyFault::Value("Statement")),
    };
    let mut policy = Policy { grammar: words.grammar, spans, ..Policy::nothing() };
    for json in statements {
        let mut members = Members::of(json, words, &MEMBERS)?;
        let sid = members.take("Sid").map(|sid| text(sid, "Sid")).transpose()?;
        let effect = effect(&mut members, words)?;
        let principals = match holder {
            Holder::Bucket | Holder::Trust => {
                principals(&mut members, words, for_all.as_ref(), effect)?
            }
            Holder::Session | Holder::User => no_principals(&mut members, words, holder)?,
        };
        let about = (effect, principals, holder);
        let statement = statement(members, words, variables, about, &mut policy.actions)?;
        policy.asks_for_tags |= statement.asks(&|key| matches!(key, Key::ExistingTag(_)));
        policy.statements.push(Statement { sid: sid.map(Into::into), ..statement });
    }
    Ok(policy)
}

const MEMBERS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn effect(members: &mut Members, words: &Words) -> Result<bool, PolicyFault> {
    let effect = text(members.take("Effect").ok_or(PolicyFault::Missing("Effect"))?, "Effect")?;
    (words.effect)(&effect).ok_or(PolicyFault::Effect(effect))
}

fn principals(
    members: &mut Members,
    words: &Words,
    for_all: Option<&Json>,
    allows: bool,
) -> Result<Principals, PolicyFault> {
    let (principal, others) = match members.either("Principal", "NotPrincipal")? {
        Some(found) => found,
        None => (for_all.cloned().ok_or(PolicyFault::Missing("Principal"))?, false),
    };
    if others && allows {
        return Err(PolicyFault::AllowNotPrincipal);
    }
    Ok(Named { named: (words.principal)(&principal)?, others })
}

fn no_principals(
    members: &mut Members,
    words: &Words,
    holder: Holder,
) -> Result<Principals, PolicyFault> {
    match members.either("Principal", "NotPrincipal")? {
        Some(_) if words.grammar == Grammar::Iam || holder == Holder::User => {
            Err(PolicyFault::UnknownField("Principal".into()))
        }
        _ => Ok(Named { named: vec![Principal::Anyone], others: false }),
    }
}

fn statement(
    mut members: Members,
    words: &Words,
    variables: Variables,
    (allows, principals, holder): (bool, Principals, Holder),
    written: &mut Vec<String>,
) -> Result<Statement, PolicyFault> {
    let action = members.either("Action", "NotAction")?.ok_or(PolicyFault::Missing("Action"))?;
    let actions = texts(action.0, "Action")?;
    let fold = words.grammar == Grammar::Iam;
    let of_bucket = holder == Holder::Bucket;
    let known = |name: &str| (words.action)(name) || (!of_bucket && (words.other_action)(name));
    let read = |name: &String| match known(name) {
        true => {
            Pattern::parse(plain_action(name), Syntax { wildcards: true, variables: None, fold })
        }
        false => Err(PolicyFault::Action(name.clone())),
    };
    let named = actions.iter().map(read).collect::<Result<_, _>>()?;
    let actions_of = Named { named, others: action.1 };
    written.extend(actions);

    let resources = match members.either("Resource", "NotResource")? {
        // SDKs and consoles put it there, where it can mean nothing else.
        Some((Json::Text(all), false)) if holder == Holder::Trust && all == "*" => all_resources(),
        Some(_) if holder == Holder::Trust => {
            return Err(PolicyFault::UnknownField("Resource".into()));
        }
        None if holder == Holder::Trust => all_resources(),
        None => return Err(PolicyFault::Missing("Resource")),
        Some((json, others)) => {
            let named = texts(json, "Resource")?;
            let named = named.iter().map(|name| match (words.other_resource)(name) {
                true if !of_bucket => {
                    let syntax = Syntax { wildcards: true, variables, fold: false };
                    Pattern::parse(name, syntax).map(Resource::Elsewhere)
                }
                _ => (words.resource)(name, variables),
            });
            Named { named: named.collect::<Result<_, _>>()?, others }
        }
    };

    let conditions = match members.take("Condition") {
        None => Vec::new(),
        Some(condition) => conditions(condition, words, variables, holder)?,
    };
    Ok(Statement { sid: None, allows, principals, actions: actions_of, resources, conditions })
}

fn all_resources() -> Resources {
    Named { named: vec![Resource::All], others: false }
}

fn conditions(
    json: Json,
    words: &Words,
    variables: Variables,
    holder: Holder,
) -> Result<Vec<Condition>, PolicyFault> {
    let Json::Object(operators) = json else { return Err(PolicyFault::Value("Condition")) };
    let mut all = Vec::new();
    for (name, keys) in operators {
        let operator = (words.operator)(&name).ok_or(PolicyFault::Operator(name))?;
        let Json::Object(keys) = keys else { return Err(PolicyFault::Value("Condition")) };
        for (name, values) in keys {
            let key = (words.key)(&name).map_err(|unnamed| match unnamed {
                Unnamed::Unsupported => PolicyFault::Unsupported(name.clone()),
                Unnamed::NoSuchKey => PolicyFault::Key(name.clone()),
            })?;
            // Tokens are shown when a role is taken on, and not remembered.
            if matches!(key, Key::Claim { .. }) && holder != Holder::Trust {
                return Err(PolicyFault::Unsupported(name));
            }
            let mut values = texts(values, "Condition")?;
            for value in &mut values {
                let meant = (words.value)(&key, value);
                *value = meant.ok_or_else(|| PolicyFault::ConditionValue(value.clone()))?;
            }
            all.push(Condition::new(key, &operator, &values, variables)?);
        }
    }
    Ok(all)
}

/// An object's members under the names that IAM has for them.
struct Members(Vec<(&'static str, Json)>);

impl Members {
    fn of(json: Json, words: &Words, allowed: &[&str]) -> Result<Members, PolicyFault> {
        let Json::Object(object) = json else { return Err(PolicyFault::Value("Statement")) };
        let mut members: Vec<(&'static str, Json)> = Vec::with_capacity(object.len());
        for (name, value) in object {
            let known = (words.member)(&name).filter(|known| allowed.contains(known));
            let known = known.ok_or_else(|| PolicyFault::UnknownField(name.clone()))?;
            if members.iter().any(|(other, _)| *other == known) {
                return Err(PolicyFault::Duplicate(name));
            }
            members.push((known, value));
        }
        Ok(Members(members))
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// A member or its opposite, and whether it is that.
    fn either(
        &mut self,
        name: &'static str,
        opposite: &str,
    ) -> Result<Option<(Json, bool)>, PolicyFault> {
        match (self.take(name), self.take(opposite)) {
            (Some(_), Some(_)) => Err(PolicyFault::Opposites(name)),
            (Some(json), None) => Ok(Some((json, false))),
            (None, Some(json)) => Ok(Some((json, true))),
            (None, None) => Ok(None),
        }
    }
}

fn text(json: Json, what: &'static str) -> Result<String, PolicyFault> {
    match json {
        Json::Text(text) => Ok(text),
        _ => Err(PolicyFault::Value(what)),
    }
}

/// One text or several. In conditions numbers and truths are texts too.
pub(crate) fn texts(json: Json, what: &'static str) -> Result<Vec<String>, PolicyFault> {
    let one = |json: Json| match json {
        Json::Text(text) => Ok(text),
        Json::Number(text) if what == "Condition" => Ok(text),
        Json::Bool(truth) if what == "Condition" => Ok(truth.to_string()),
        _ => Err(PolicyFault::Value(what)),
    };
    match json {
        Json::List(list) if list.is_empty() => Err(PolicyFault::Value(what)),
        Json::List(list) => list.into_iter().map(one).collect(),
        json => Ok(vec![one(json)?]),
    }
}
