//! Policies: those that stand by themselves and are attached, and those of one holder.

use costrel_core::account::{IdentityError, ManagedPolicy, NewHolder, PolicyUses, Uin};
use costrel_policy::Grammar;
use futures_util::future::BoxFuture;

use super::labels::tags;
use super::{by_name, document, holder, labels, listed, page, rest, time};
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let (name, text) = (call.required("PolicyName")?, call.required("PolicyDocument")?);
        let description = call.text("Description").unwrap_or_default();
        let text = (Grammar::Iam, text.trim().as_bytes());
        let labels = labels(asked)?;
        let id = asked.accounts.create_labelled_policy(name, description, text, &labels).await?;
        let policy = asked.accounts.managed_policy(id).await?;
        Ok(Some(vec![("Policy", shown(asked, &policy).await?.into())]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        Ok(Some(vec![("Policy", shown(asked, &policy).await?.into())]))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let (made, presets) = match call.text("Scope") {
            None | Some("All") => (true, true),
            Some("Local") => (true, false),
            Some("AWS") => (false, true),
            Some(_) => return Err(AwsFailure::BadValue("Scope")),
        };
        let as_boundary = match call.text("PolicyUsageFilter") {
            None => None,
            Some("PermissionsPolicy") => Some(false),
            Some("PermissionsBoundary") => Some(true),
            Some(_) => return Err(AwsFailure::BadValue("PolicyUsageFilter")),
        };
        let only_attached = call.truth("OnlyAttached")?.unwrap_or(false);
        let uses = asked.accounts.policy_uses().await?;
        let of = |policy: &ManagedPolicy| uses.get(&policy.id).copied().unwrap_or_default();
        let (marker, limit, prefix) = by_name(asked)?;
        let wanted = |policy: &ManagedPolicy| {
            let is_used = match (as_boundary, only_attached) {
                (None, false) => true,
                (Some(true), _) => of(policy).bounds > 0,
                (None | Some(false), _) => of(policy).attached > 0,
            };
            is_used && policy.labels.path.starts_with(prefix)
        };
        // Those that are there from the beginning come first. Their markers have a slash,
        // which no name has.
        let (after_preset, after) = match marker.strip_prefix('/') {
            Some(name) => (Some(name), ""),
            None if marker.is_empty() => (Some(""), ""),
            None => (None, marker),
        };
        let mut list = match after_preset {
            Some(name) if presets => ManagedPolicy::presets_behind(name),
            _ => Vec::new(),
        };
        list.retain(wanted);
        let mut next = None;
        if list.len() > limit {
            list.truncate(limit);
            next = list.last().map(|last| format!("/{}", last.name));
        } else if made {
            let room = limit - list.len();
            let (found, more) = asked.accounts.policies_by_name(after, room, wanted).await?;
            let before = list.last().map(|last| format!("/{}", last.name));
            list.extend(found);
            // Behind no name: the page is full of the others.
            next = more.and_then(|name| if name.is_empty() { before } else { Some(name) });
        }
        let account = asked.key.account.uin;
        let shown = list.iter().map(|policy| fields(policy, of(policy), account).into());
        let mut answer: Fields = vec![("Policies", Node::List(shown.collect()))];
        answer.extend(rest(next));
        Ok(Some(answer))
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        refuse_preset(&policy)?;
        let accounts = asked.accounts;
        if accounts.is_used(policy.id).await? {
            return Err(AwsFailure::PolicyInUse);
        }
        // Its versions would go with it. (AWS.)
        if accounts.policy_versions(policy.id).await?.len() > 1 {
            return Err(AwsFailure::PolicyInUse);
        }
        accounts.delete_policy(policy.id).await?;
        Ok(None)
    })
}

pub(super) fn attach<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, holder) = holder(asked).await?;
        asked.accounts.attach_policy(holder, named(asked).await?.id).await?;
        Ok(None)
    })
}

pub(super) fn detach<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, holder) = holder(asked).await?;
        asked.accounts.detach_policy(holder, named(asked).await?.id).await?;
        Ok(None)
    })
}

pub(super) fn list_attached<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, holder) = holder(asked).await?;
        let attached = asked.accounts.attached_policies(holder).await?.into_iter();
        let attached = attached.map(|(policy, _)| policy).collect();
        let attached = listed(asked, attached, |policy| (&policy.name, &policy.labels));
        let account = asked.key.account.uin;
        let list = attached.iter().map(|policy| {
            Node::Fields(vec![
                ("PolicyName", policy.name.as_str().into()),
                ("PolicyArn", arn(policy, account).into()),
            ])
        });
        Ok(Some(page(asked, "AttachedPolicies", list.collect())?))
    })
}

pub(super) fn put_inline<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let (name, text) = (call.required("PolicyName")?, call.required("PolicyDocument")?);
        let (_, holder) = holder(asked).await?;
        let text = (Grammar::Iam, text.trim().as_bytes());
        asked.accounts.put_inline_policy(holder, name, text).await?;
        Ok(None)
    })
}

pub(super) fn get_inline<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let name = asked.call.required("PolicyName")?;
        let (whose, holder) = holder(asked).await?;
        let policies = asked.accounts.inline_policies(holder).await?;
        let found = policies.iter().find(|policy| policy.name == name);
        let found = found.ok_or(AwsFailure::NoSuchInline)?;
        Ok(Some(vec![
            (whose, asked.call.required(whose)?.into()),
            ("PolicyName", name.into()),
            ("PolicyDocument", document(&found.document)),
        ]))
    })
}

pub(super) fn delete_inline<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, holder) = holder(asked).await?;
        let name = asked.call.required("PolicyName")?;
        asked.accounts.delete_inline_policy(holder, name).await?;
        Ok(None)
    })
}

pub(super) fn list_inline<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, holder) = holder(asked).await?;
        let policies = asked.accounts.inline_policies(holder).await?;
        let mut names: Vec<String> = policies.into_iter().map(|policy| policy.name).collect();
        names.sort_unstable();
        let names = names.into_iter().map(Node::from);
        Ok(Some(page(asked, "PolicyNames", names.collect())?))
    })
}

/// Lets a user or a role do only what a policy allows, too.
pub(super) fn put_boundary<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, holder) = holder(asked).await?;
        let policy = of_arn(asked, "PermissionsBoundary").await?;
        asked.accounts.set_boundary(holder, Some(policy.id)).await?;
        Ok(None)
    })
}

pub(super) fn delete_boundary<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, holder) = holder(asked).await?;
        asked.accounts.set_boundary(holder, None).await?;
        Ok(None)
    })
}

/// What somebody new is to have from the beginning.
pub(super) async fn given(asked: &Asked<'_>) -> Result<NewHolder, AwsFailure> {
    let boundary = match asked.call.text("PermissionsBoundary") {
        None => None,
        Some(_) => Some(of_arn(asked, "PermissionsBoundary").await?.id),
    };
    Ok(NewHolder { labels: labels(asked)?, boundary })
}

/// What was there from the beginning stays as it is.
pub(super) fn refuse_preset(policy: &ManagedPolicy) -> Result<(), AwsFailure> {
    match policy.is_preset() {
        true => Err(IdentityError::PresetPolicy.into()),
        false => Ok(()),
    }
}

pub(super) async fn named(asked: &Asked<'_>) -> Result<ManagedPolicy, AwsFailure> {
    of_arn(asked, "PolicyArn").await
}

/// The policy of `arn:aws:iam::<account>:policy<path><name>`, or of those that are there
/// from the beginning and belong to the account `aws`.
async fn of_arn(asked: &Asked<'_>, parameter: &'static str) -> Result<ManagedPolicy, AwsFailure> {
    let bad = AwsFailure::BadValue(parameter);
    let rest = asked.call.required(parameter)?.strip_prefix("arn:aws:iam::");
    let Some((owner, place)) = rest.and_then(|rest| rest.split_once(":policy/")) else {
        return Err(bad);
    };
    let name = place.rsplit('/').next().unwrap_or(place);
    let missing = || AwsFailure::from(IdentityError::NoSuchPolicy);
    let policy = match owner {
        "aws" => ManagedPolicy::preset_named(name).ok_or_else(missing)?,
        _ if owner.parse() == Ok(asked.key.account.uin) => {
            asked.accounts.managed_policy_named(name).await?
        }
        _ => return Err(missing()),
    };
    match policy.labels.place(name).strip_prefix('/') == Some(place) {
        true => Ok(policy),
        false => Err(missing()),
    }
}

pub(super) fn arn(policy: &ManagedPolicy, account: Uin) -> String {
    let place = policy.labels.place(&policy.name);
    match policy.is_preset() {
        true => format!("arn:aws:iam::aws:policy{place}"),
        false => format!("arn:aws:iam::{account}:policy{place}"),
    }
}

async fn shown(asked: &Asked<'_>, policy: &ManagedPolicy) -> Result<Fields, AwsFailure> {
    let uses = asked.accounts.policy_uses().await?.get(&policy.id).copied();
    Ok(fields(policy, uses.unwrap_or_default(), asked.key.account.uin))
}

pub(super) fn fields(policy: &ManagedPolicy, uses: PolicyUses, account: Uin) -> Fields {
    let mut fields = vec![
        ("PolicyName", policy.name.as_str().into()),
        ("PolicyId", policy.id.to_string().into()),
        ("Arn", arn(policy, account).into()),
        ("Path", policy.labels.path.as_str().into()),
        ("DefaultVersionId", format!("v{}", policy.default_version).into()),
        ("AttachmentCount", uses.attached.to_string().into()),
        ("PermissionsBoundaryUsageCount", uses.bounds.to_string().into()),
        ("IsAttachable", "true".into()),
    ];
    if !policy.description.is_empty() {
        fields.push(("Description", policy.description.as_str().into()));
    }
    fields.push(("CreateDate", time(policy.created_ms)));
    fields.push(("UpdateDate", time(policy.updated_ms)));
    if !policy.labels.tags.is_empty() {
        fields.push(("Tags", tags(&policy.labels)));
    }
    fields
}
