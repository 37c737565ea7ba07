//! Everything that says who may do what, in one list: users, groups, roles and policies,
//! each with all its policies.

use std::collections::HashMap;
use std::sync::Arc;

use costrel_core::account::{Group, ManagedPolicy, PolicyHolder, PolicyUses, Role, User};
use futures_util::future::BoxFuture;

use super::labels::details as with_labels;
use super::{document, groups, page_limit, policies, rest, roles, users, versions};
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

/// So many entries are read at once, and no more once their documents have so many bytes.
const STEP: usize = 20;
const PAGE_BYTES: usize = 1 << 20;

/// What the list has, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Kind {
    User,
    Group,
    Role,
    LocalManagedPolicy,
    AwsManagedPolicy,
}

impl Kind {
    const ALL: [Kind; 5] =
        [Kind::User, Kind::Group, Kind::Role, Kind::LocalManagedPolicy, Kind::AwsManagedPolicy];

    fn name(self) -> &'static str {
        match self {
            Kind::User => "User",
            Kind::Group => "Group",
            Kind::Role => "Role",
            Kind::LocalManagedPolicy => "LocalManagedPolicy",
            Kind::AwsManagedPolicy => "AWSManagedPolicy",
        }
    }

    fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Where its entries are in the answer.
    fn list(self) -> usize {
        match self {
            Kind::User => 0,
            Kind::Group => 1,
            Kind::Role => 2,
            Kind::LocalManagedPolicy | Kind::AwsManagedPolicy => 3,
        }
    }
}

/// One of what the list has.
enum Entry {
    User(User),
    Group(Group),
    Role(Role),
    Policy(ManagedPolicy),
}

pub(super) fn details<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (kinds, limit) = (kinds(asked)?, page_limit(asked)?);
        let (first, mut from) = match asked.call.text("Marker") {
            None => (Kind::User, String::new()),
            Some(marker) => place(marker, &kinds).ok_or(AwsFailure::BadValue("Marker"))?,
        };
        let mut lists: [Vec<Node>; 4] = Default::default();
        let (mut shown, mut bytes, mut next) = (0, 0, None);
        let with_policies = kinds.last() >= Some(&Kind::LocalManagedPolicy);
        let uses = match with_policies {
            true => asked.accounts.policy_uses().await?,
            false => Arc::default(),
        };
        'kinds: for kind in kinds.into_iter().skip_while(|kind| *kind < first) {
            loop {
                if shown >= limit || bytes >= PAGE_BYTES {
                    next = Some(format!("{}/{from}", kind.name()));
                    break 'kinds;
                }
                let (entries, more) = entries(asked, kind, &from, STEP.min(limit - shown)).await?;
                shown += entries.len();
                for entry in entries {
                    lists[kind.list()].push(node(asked, entry, &uses, &mut bytes).await?);
                }
                from = more.unwrap_or_default();
                if from.is_empty() {
                    break;
                }
            }
        }
        let [users, groups, roles, policies] = lists;
        let mut answer: Fields = vec![
            ("UserDetailList", Node::List(users)),
            ("GroupDetailList", Node::List(groups)),
            ("RoleDetailList", Node::List(roles)),
            ("Policies", Node::List(policies)),
        ];
        answer.extend(rest(next));
        Ok(Some(answer))
    })
}

/// What a marker says: a kind, and to which name it is shown already.
fn place(marker: &str, kinds: &[Kind]) -> Option<(Kind, String)> {
    let (kind, from) = marker.split_once('/')?;
    Some((*kinds.iter().find(|known| known.name() == kind)?, from.to_owned()))
}

/// What is wanted: all if nothing is said.
fn kinds(asked: &Asked<'_>) -> Result<Vec<Kind>, AwsFailure> {
    let names = asked.call.list("Filter")?;
    let wanted: Option<Vec<Kind>> = names.into_iter().map(Kind::named).collect();
    let wanted = wanted.ok_or(AwsFailure::BadValue("Filter"))?;
    let is_wanted = |kind: &Kind| wanted.is_empty() || wanted.contains(kind);
    Ok(Kind::ALL.into_iter().filter(is_wanted).collect())
}

/// Some entries of a kind, and with what to go on behind them if there are more.
async fn entries(
    asked: &Asked<'_>,
    kind: Kind,
    from: &str,
    limit: usize,
) -> Result<(Vec<Entry>, Option<String>), AwsFailure> {
    let accounts = asked.accounts;
    Ok(match kind {
        Kind::User => {
            let (users, next) = accounts.users_by_name(from, limit, |_| true).await?;
            (users.into_iter().map(Entry::User).collect(), next)
        }
        Kind::Group => {
            let (groups, next) = accounts.groups_by_name(from, limit, |_| true).await?;
            (groups.into_iter().map(Entry::Group).collect(), next)
        }
        Kind::Role => {
            let (roles, next) = accounts.roles_by_name(from, limit, |_| true).await?;
            (roles.into_iter().map(Entry::Role).collect(), next)
        }
        Kind::LocalManagedPolicy => {
            let (policies, next) = accounts.policies_by_name(from, limit, |_| true).await?;
            (policies.into_iter().map(Entry::Policy).collect(), next)
        }
        Kind::AwsManagedPolicy => {
            let mut presets = ManagedPolicy::presets_behind(from);
            let more = presets.len() > limit;
            presets.truncate(limit);
            let next = presets.last().filter(|_| more).map(|last| last.name.clone());
            (presets.into_iter().map(Entry::Policy).collect(), next)
        }
    })
}

/// An entry with all that is to be said of it. `bytes` counts its documents.
async fn node(
    asked: &Asked<'_>,
    entry: Entry,
    uses: &HashMap<u64, PolicyUses>,
    bytes: &mut usize,
) -> Result<Node, AwsFailure> {
    let account = asked.key.account.uin;
    let (mut fields, holder, own) = match &entry {
        Entry::User(user) => {
            let fields = users::fields(user, account);
            let mut fields = with_labels(asked, fields, &user.labels, user.boundary).await?;
            let groups = super::found(asked.accounts.groups_of(user.uin).await)?;
            let names = groups.unwrap_or_default().into_iter().map(|group| group.name.into());
            fields.push(("GroupList", Node::List(names.collect())));
            (fields, PolicyHolder::User(user.uin), "UserPolicyList")
        }
        Entry::Group(group) => {
            (groups::fields(group, account), PolicyHolder::Group(group.id), "GroupPolicyList")
        }
        Entry::Role(role) => {
            let fields = roles::fields(role, account);
            let mut fields = with_labels(asked, fields, &role.labels, role.boundary).await?;
            fields.push(("InstanceProfileList", Node::List(Vec::new())));
            *bytes += role.trust.1.len();
            (fields, PolicyHolder::Role(role.id), "RolePolicyList")
        }
        Entry::Policy(policy) => {
            let uses = uses.get(&policy.id).copied().unwrap_or_default();
            return of_policy(asked, policy, uses, bytes).await;
        }
    };
    // Whoever went meanwhile has no policies.
    let inline = super::found(asked.accounts.inline_policies(holder).await)?.unwrap_or_default();
    let inline = inline.into_iter().map(|policy| {
        *bytes += policy.document.len();
        let text = document(&policy.document);
        Node::Fields(vec![("PolicyName", policy.name.into()), ("PolicyDocument", text)])
    });
    fields.push((own, Node::List(inline.collect())));
    let attached = super::found(asked.accounts.attached_policies(holder).await)?;
    let attached = attached.unwrap_or_default().into_iter().map(|(policy, _)| {
        *bytes += policy.name.len();
        let arn = policies::arn(&policy, account).into();
        Node::Fields(vec![("PolicyName", policy.name.into()), ("PolicyArn", arn)])
    });
    fields.push(("AttachedManagedPolicies", Node::List(attached.collect())));
    Ok(fields.into())
}

/// A policy with all its versions.
async fn of_policy(
    asked: &Asked<'_>,
    policy: &ManagedPolicy,
    uses: PolicyUses,
    bytes: &mut usize,
) -> Result<Node, AwsFailure> {
    let mut fields = policies::fields(policy, uses, asked.key.account.uin);
    let mut list = Vec::new();
    for (version, text) in versions::all(asked, policy).await? {
        *bytes += text.len();
        let mut shown: Fields = vec![("Document", document(&text))];
        shown.extend(versions::fields(&version));
        list.push(shown.into());
    }
    fields.push(("PolicyVersionList", Node::List(list)));
    Ok(fields.into())
}
