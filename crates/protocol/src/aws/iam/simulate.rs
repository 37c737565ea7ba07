//! What policies would say of actions, and by which statement: those of a user, a group or
//! a role with some that are given besides, or those that are given alone. A permissions
//! boundary that is given takes the place of whatever boundary there is. Buckets that are
//! there are not looked at; a resource's policy has to be given.
//!
//! Source: "SimulateCustomPolicy" and "SimulatePrincipalPolicy" in the reference of IAM.

use std::sync::Arc;

use costrel_core::account::{AccessKey, Holder, IdentityError, InForce, Labels, Uin};
use costrel_policy::{Caller, Decision, Grammar, Policy, Position, Who};
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::page_of;
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};
use crate::permission::{Basis, Explained, Part, PolicyName, Trial, TrialFault, Tried};

pub(super) const OF_PRINCIPAL: &[&str] = &[
    "PolicySourceArn",
    "PolicyInputList",
    "PermissionsBoundaryPolicyInputList",
    "ActionNames",
    "ResourceArns",
    "ResourcePolicy",
    "ResourceOwner",
    "CallerArn",
    "ContextEntries",
    "MaxItems",
    "Marker",
];

/// The same, but for the principal.
pub(super) const PARAMETERS: &[&str] = OF_PRINCIPAL.split_at(1).1;

/// Results of one request, at most: each is a decision.
const RESULTS_MAX: usize = 1000;

pub(super) fn custom<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        if asked.call.list("PolicyInputList")?.is_empty() {
            return Err(AwsFailure::Missing("PolicyInputList.member.1"));
        }
        let source = match asked.call.text("CallerArn") {
            Some(arn) => whose(asked, arn, "CallerArn").await?,
            None => Source::Group(InForce::default()),
        };
        // Whose policies are tried is not who is supposed to ask.
        simulate(asked, source, false).await
    })
}

pub(super) fn principal<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let arn = asked.call.required("PolicySourceArn")?;
        let source = whose(asked, arn, "PolicySourceArn").await?;
        match asked.call.text("CallerArn") {
            // Of a group nobody in particular is supposed to ask.
            Some(caller) if !matches!(source, Source::Group(_)) && caller != arn => {
                Err(AwsFailure::BadValue("CallerArn"))
            }
            _ => simulate(asked, source, true).await,
        }
    })
}

/// Whose policies are tried.
enum Source {
    Somebody(Holder),
    Group(InForce),
}

/// `arn:aws:iam::<account>:user/<name>`, `group` or `role`.
async fn whose(
    asked: &Asked<'_>,
    arn: &str,
    parameter: &'static str,
) -> Result<Source, AwsFailure> {
    let bad = || AwsFailure::BadValue(parameter);
    let rest = arn.strip_prefix("arn:aws:iam::").ok_or_else(bad)?;
    let (account, path) = rest.split_once(':').ok_or_else(bad)?;
    let (kind, path) = path.split_once('/').ok_or_else(bad)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let ours = account.parse() == Ok(asked.key.account.uin);
    let accounts = asked.accounts;
    // Whoever may ask of those in one path may not ask of others by their names alone.
    let lies_there = |labels: &Labels| labels.place(name).strip_prefix('/') == Some(path);
    match kind {
        "user" if ours => {
            let user = accounts.user_in_force(name).await?;
            if lies_there(&user.labels) {
                return Ok(Source::Somebody(Holder::User(Arc::new(user))));
            }
        }
        "role" if ours => {
            let role = accounts.role_named(name).await?;
            if lies_there(&role.labels) {
                let role = accounts.role_in_force(role.id).await?;
                return Ok(Source::Somebody(Holder::Role(role.ok_or(IdentityError::NoSuchRole)?)));
            }
        }
        "group" if ours => {
            let group = accounts.group_named(name).await?;
            if lies_there(&group.labels) {
                return Ok(Source::Group(accounts.group_in_force(group.id).await?));
            }
        }
        "user" | "role" | "group" => {}
        _ => return Err(bad()),
    }
    Err(match kind {
        "role" => IdentityError::NoSuchRole,
        "group" => IdentityError::NoSuchGroup,
        _ => IdentityError::NoSuchUser,
    }
    .into())
}

async fn simulate(asked: &Asked<'_>, source: Source, with_own: bool) -> Answered {
    let call = asked.call;
    let account = &asked.key.account;
    let owner = call.text("ResourceOwner");
    if owner.is_some_and(|owner| !names_account(owner, account.uin)) {
        return Err(AwsFailure::BadValue("ResourceOwner"));
    }
    let actions = call.list("ActionNames")?;
    if actions.is_empty() {
        return Err(AwsFailure::Missing("ActionNames.member.1"));
    }
    let resources = match &call.list("ResourceArns")?[..] {
        [] => vec!["*"],
        given => given.to_vec(),
    };
    if actions.len() * resources.len() > RESULTS_MAX {
        return Err(AwsFailure::BadValue("ActionNames"));
    }
    actions.iter().try_for_each(|action| Part::Action.check(action)).map_err(fault)?;
    resources.iter().try_for_each(|resource| Part::Resource.check(resource)).map_err(fault)?;
    let every = actions.iter().flat_map(|action| resources.iter().map(move |one| (*action, *one)));
    let (shown, rest) = page_of(asked, every.collect())?;
    let given = given_policies(asked, "PolicyInputList")?;
    let boundary = given_policies(asked, "PermissionsBoundaryPolicyInputList")?;
    if boundary.len() > 1 {
        return Err(AwsFailure::BadValue("PermissionsBoundaryPolicyInputList"));
    }
    let of_resource = call
        .text("ResourcePolicy")
        .map(|text| Policy::of_bucket(Grammar::Iam, text.trim().as_bytes()).map(Arc::new));
    let of_resource = of_resource.transpose().map_err(IdentityError::Policy)?;
    let context = context(asked)?;

    let (holder, group) = match source {
        Source::Somebody(holder) => (Some(holder), InForce::default()),
        Source::Group(in_force) => (None, in_force),
    };
    let key = holder.clone().map(|holder| AccessKey::supposed(account.clone(), holder));
    let own = match (&holder, with_own) {
        (Some(holder), true) => holder.in_force().map(|in_force| in_force.policies.clone()),
        (None, true) => Some(group.policies.clone()),
        (_, false) => None,
    };
    let number = account.uin.get();
    let who = match &holder {
        Some(Holder::User(user)) => Who::User { account: number, uin: user.uin.get() },
        Some(Holder::Role(role)) => Who::Role { account: number, id: role.id },
        // Somebody of the account, and nobody in particular.
        Some(Holder::Root) | None => Who::User { account: number, uin: 0 },
    };
    let name = match &holder {
        Some(Holder::User(user)) => Some(user.name.as_str().into()),
        Some(Holder::Role(role)) => Some(role.name.as_str().into()),
        Some(Holder::Root) | None => None,
    };
    let policies: Vec<_> = own.into_iter().flatten().chain(given).collect();
    let own_limits = holder.as_ref().filter(|_| with_own).and_then(Holder::limits);
    let (limits, boundary) = match (&boundary[..], own_limits) {
        ([], Some(limits)) => (limits.policies.clone(), limits.origins.clone()),
        _ => (boundary, Vec::new()),
    };
    let trial = Arc::new(Trial {
        account: account.clone(),
        caller: Caller { name, policies, limits, ..Caller::new(who) },
        holder: holder.filter(|_| with_own),
        boundary,
        key,
        resource_policies: of_resource.into_iter().collect(),
        context,
        region: asked.region.to_owned(),
        now_ms: asked.now_ms,
    });
    let of_group = if with_own { &group } else { &InForce::default() };
    let mut results = Vec::with_capacity(shown.len());
    for (action, resource) in shown {
        let tried = judge(&trial, action, resource).await?;
        results.push(result(action, resource, tried, of_group));
    }
    let mut fields: Fields = vec![("EvaluationResults", Node::List(results))];
    fields.extend(rest);
    Ok(Some(fields))
}

/// One decision, which policies can make slow: it holds up no other request, and only one
/// is made at a time, whoever asks.
async fn judge(trial: &Arc<Trial>, action: &str, resource: &str) -> Result<Tried, AwsFailure> {
    static TURN: Semaphore = Semaphore::const_new(1);
    let turn = TURN.acquire().await.map_err(|_| AwsFailure::Internal("no turn".to_owned()))?;
    let (trial, action, resource) = (trial.clone(), action.to_owned(), resource.to_owned());
    let judging = tokio::task::spawn_blocking(move || {
        // Until it is over, even if nobody waits for it any more.
        let _turn = turn;
        trial.judge(&action, &resource)
    });
    let judged = judging.await.map_err(|error| AwsFailure::Internal(error.to_string()))?;
    judged.map_err(fault)
}

/// Policies that are given to be tried.
fn given_policies(
    asked: &Asked<'_>,
    parameter: &'static str,
) -> Result<Vec<Arc<Policy>>, AwsFailure> {
    let read = |text: &str| Policy::of_user(Grammar::Iam, text.trim().as_bytes()).map(Arc::new);
    let policies = asked.call.list(parameter)?.into_iter().map(read);
    Ok(policies.collect::<Result<_, _>>().map_err(IdentityError::Policy)?)
}

fn names_account(owner: &str, uin: Uin) -> bool {
    let number = owner.strip_prefix("arn:aws:iam::").unwrap_or(owner);
    let number = number.split(':').next().unwrap_or_default();
    number.parse() == Ok(uin)
}

/// Condition keys with their values.
fn context(asked: &Asked<'_>) -> Result<Vec<(String, Vec<String>)>, AwsFailure> {
    const BAD: AwsFailure = AwsFailure::BadValue("ContextEntries");
    let mut context = Vec::new();
    for fields in asked.call.records("ContextEntries")?.into_values() {
        let (mut name, mut values) = (None, Vec::new());
        for (field, value) in fields {
            match field {
                "ContextKeyName" => name = Some(value.to_owned()),
                // Values mean what conditions take them for.
                "ContextKeyType" => {}
                _ if field.starts_with("ContextKeyValues.member.") => values.push(value.to_owned()),
                _ => return Err(BAD),
            }
        }
        context.push((name.ok_or(BAD)?, values));
    }
    Ok(context)
}

fn fault(fault: TrialFault) -> AwsFailure {
    match fault {
        TrialFault::Identity(error) => error.into(),
        TrialFault::TooLong(part) => AwsFailure::BadValue(match part {
            Part::Action => "ActionNames",
            Part::Resource => "ResourceArns",
            Part::Context => "ContextEntries",
        }),
        other => AwsFailure::Invalid(other.to_string()),
    }
}

fn result(action: &str, resource: &str, tried: Tried, group: &InForce) -> Node {
    let Tried { explained, decision, within_boundary, missing } = tried;
    let by_statement = matches!(explained.basis, Basis::Statement { .. });
    let said = match (explained.allowed, decision == Decision::Denied && by_statement) {
        (true, _) => "allowed",
        (false, true) => "explicitDeny",
        (false, false) => "implicitDeny",
    };
    let missing = missing.into_iter().map(Node::from).collect();
    let mut fields: Fields = vec![
        ("EvalActionName", action.into()),
        ("EvalResourceName", resource.into()),
        ("EvalDecision", said.into()),
        ("MatchedStatements", Node::List(matched(&explained, group))),
        ("MissingContextValues", Node::List(missing)),
    ];
    if let Some(within) = within_boundary {
        let within = if within { "true" } else { "false" };
        let detail = Node::Fields(vec![("AllowedByPermissionsBoundary", within.into())]);
        fields.push(("PermissionsBoundaryDecisionDetail", detail));
    }
    fields.into()
}

/// The statement that decided.
fn matched(explained: &Explained, group: &InForce) -> Vec<Node> {
    let Basis::Statement { policy, span, .. } = &explained.basis else { return Vec::new() };
    let of_group = |number: &usize| group.origins.get(number - 1);
    let (kind, name) = match policy {
        PolicyName::User(name) => ("user", name.clone()),
        PolicyName::Group { policy, .. } => ("group", policy.clone()),
        PolicyName::Role(name) => ("role", name.clone()),
        PolicyName::Boundary(name) => ("user-managed", name.clone()),
        PolicyName::GivenBoundary => ("none", "PermissionsBoundaryPolicyInputList.1".into()),
        // Those of the group itself come before those that were given.
        PolicyName::Given(number) => match of_group(number) {
            Some(origin) => ("group", origin.name.to_string()),
            None => ("none", format!("PolicyInputList.{}", number - group.origins.len())),
        },
        PolicyName::Bucket(_) => ("resource", "ResourcePolicy".into()),
        PolicyName::Session(_) | PolicyName::Trust => ("none", policy.to_string()),
    };
    let mut fields: Fields =
        vec![("SourcePolicyId", name.into()), ("SourcePolicyType", kind.into())];
    if let Some((from, to)) = span {
        fields.extend([("StartPosition", position(*from)), ("EndPosition", position(*to))]);
    }
    vec![fields.into()]
}

fn position(position: Position) -> Node {
    Node::Fields(vec![
        ("Line", position.line.to_string().into()),
        ("Column", position.column.to_string().into()),
    ])
}
