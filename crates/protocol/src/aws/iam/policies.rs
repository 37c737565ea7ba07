//! Policies: those that stand by themselves and are attached, and those of one holder.

use costrel_core::account::{ManagedPolicy, Uin};
use costrel_policy::Grammar;
use futures_util::future::BoxFuture;

use super::{document, holder, in_path, page, refuse_path, time};
use crate::aws::tree::Node;
use crate::aws::{Answered, Asked, AwsFailure};

/// The one version that a policy has.
const VERSION: &str = "v1";

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        refuse_path(asked)?;
        let call = asked.call;
        let (name, text) = (call.required("PolicyName")?, call.required("PolicyDocument")?);
        let description = call.text("Description").unwrap_or_default();
        let text = (Grammar::Iam, text.trim().as_bytes());
        let id = asked.accounts.create_policy(name, description, text).await?;
        let policy = asked.accounts.managed_policy(id).await?;
        Ok(Some(vec![("Policy", fields(asked, &policy).await?)]))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        Ok(Some(vec![("Policy", fields(asked, &policy).await?)]))
    })
}

pub(super) fn get_version<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        if asked.call.required("VersionId")? != VERSION {
            return Err(AwsFailure::NoSuchVersion);
        }
        let mut fields = vec![("Document", document(&policy.document))];
        fields.extend(version(&policy));
        Ok(Some(vec![("PolicyVersion", Node::Fields(fields))]))
    })
}

pub(super) fn list_versions<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        Ok(Some(page(asked, "Versions", vec![Node::Fields(version(&policy).into())])?))
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let ours = match asked.call.text("Scope") {
            None | Some("All" | "Local") => in_path(asked),
            // There are no policies but those that were made.
            Some("AWS") => false,
            Some(_) => return Err(AwsFailure::BadValue("Scope")),
        };
        let only_attached = match asked.call.text("OnlyAttached") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(AwsFailure::BadValue("OnlyAttached")),
        };
        let mut list = Vec::new();
        if ours {
            for policy in asked.accounts.managed_policies("", 0, usize::MAX).await?.1 {
                if !only_attached || asked.accounts.attachments(policy.id).await? > 0 {
                    list.push(fields(asked, &policy).await?);
                }
            }
        }
        Ok(Some(page(asked, "Policies", list)?))
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let policy = named(asked).await?;
        if asked.accounts.attachments(policy.id).await? > 0 {
            return Err(AwsFailure::PolicyInUse);
        }
        asked.accounts.delete_policy(policy.id).await?;
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
        let attached = match in_path(asked) {
            true => asked.accounts.attached_policies(holder).await?,
            false => Vec::new(),
        };
        let account = asked.key.account.uin;
        let list = attached.iter().map(|(policy, _)| {
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
        let names = policies.into_iter().map(|policy| policy.name.into());
        Ok(Some(page(asked, "PolicyNames", names.collect())?))
    })
}

/// The policy of `arn:aws:iam::<account>:policy/<name>`.
async fn named(asked: &Asked<'_>) -> Result<ManagedPolicy, AwsFailure> {
    let arn = asked.call.required("PolicyArn")?;
    let rest = arn.strip_prefix("arn:aws:iam::").ok_or(AwsFailure::BadValue("PolicyArn"))?;
    let (account, name) = rest.split_once(":policy/").ok_or(AwsFailure::BadValue("PolicyArn"))?;
    // AWS's own are not there.
    if account.parse() != Ok(asked.key.account.uin) {
        return Err(costrel_core::account::IdentityError::NoSuchPolicy.into());
    }
    Ok(asked.accounts.managed_policy_named(name).await?)
}

fn arn(policy: &ManagedPolicy, account: Uin) -> String {
    format!("arn:aws:iam::{account}:policy/{}", policy.name)
}

async fn fields(asked: &Asked<'_>, policy: &ManagedPolicy) -> Result<Node, AwsFailure> {
    let attachments = asked.accounts.attachments(policy.id).await?;
    let mut fields = vec![
        ("PolicyName", policy.name.as_str().into()),
        ("PolicyId", policy.id.to_string().into()),
        ("Arn", arn(policy, asked.key.account.uin).into()),
        ("Path", "/".into()),
        ("DefaultVersionId", VERSION.into()),
        ("AttachmentCount", attachments.to_string().into()),
        ("PermissionsBoundaryUsageCount", "0".into()),
        ("IsAttachable", "true".into()),
    ];
    if !policy.description.is_empty() {
        fields.push(("Description", policy.description.as_str().into()));
    }
    fields.push(("CreateDate", time(policy.created_ms)));
    fields.push(("UpdateDate", time(policy.updated_ms)));
    Ok(Node::Fields(fields))
}

fn version(policy: &ManagedPolicy) -> [(&'static str, Node); 3] {
    [
        ("VersionId", VERSION.into()),
        ("IsDefaultVersion", "true".into()),
        ("CreateDate", time(policy.updated_ms)),
    ]
}
