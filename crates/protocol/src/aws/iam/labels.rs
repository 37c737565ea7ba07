//! Tags of users, roles, policies and identity providers.

use costrel_core::account::{Labelled, Labels};
use futures_util::future::BoxFuture;

use super::policies::{self, refuse_preset};
use super::{page, providers};
use crate::aws::tree::{Fields, Node};
use crate::aws::{Answered, Asked, AwsFailure};

pub(super) fn tag<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (whose, _) = meant(asked).await?;
        let tags = asked.call.tags()?;
        let add = |labels: &mut Labels| labels.tags.extend(tags.clone());
        asked.accounts.change_labels(whose, add).await?;
        Ok(None)
    })
}

pub(super) fn untag<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (whose, _) = meant(asked).await?;
        let names = asked.call.list("TagKeys")?;
        let remove = |labels: &mut Labels| {
            labels.tags.retain(|name, _| !names.contains(&name.as_str()));
        };
        asked.accounts.change_labels(whose, remove).await?;
        Ok(None)
    })
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let (_, labels) = meant(asked).await?;
        let Node::List(tags) = tags(&labels) else { return Ok(None) };
        Ok(Some(page(asked, "Tags", tags)?))
    })
}

/// What an action is about, and its labels.
async fn meant<'a>(asked: &Asked<'a>) -> Result<(Labelled<'a>, Labels), AwsFailure> {
    let (call, accounts) = (asked.call, asked.accounts);
    if call.text("OpenIDConnectProviderArn").is_some() {
        let place = providers::place(asked)?;
        let provider = accounts.provider(place).await?;
        return Ok((Labelled::Provider(place), provider.labels));
    }
    if call.text("PolicyArn").is_some() {
        let policy = policies::named(asked).await?;
        refuse_preset(&policy)?;
        return Ok((Labelled::Policy(policy.id), policy.labels));
    }
    if call.text("RoleName").is_some() {
        let role = accounts.role_named(call.required("RoleName")?).await?;
        return Ok((Labelled::Role(role.id), role.labels));
    }
    let user = accounts.user_named(call.required("UserName")?).await?;
    Ok((Labelled::User(user.uin), user.labels))
}

pub(super) fn tags(labels: &Labels) -> Node {
    let tag = |(name, value): (&String, &String)| {
        let fields: Fields = vec![("Key", name.as_str().into()), ("Value", value.as_str().into())];
        fields.into()
    };
    Node::List(labels.tags.iter().map(tag).collect())
}

/// A user or a role with what only a look at him alone shows: his tags, and the permissions
/// boundary.
pub(super) async fn details(
    asked: &Asked<'_>,
    mut fields: Fields,
    labels: &Labels,
    boundary: Option<u64>,
) -> Result<Fields, AwsFailure> {
    if let Some(id) = boundary {
        // One that was deleted has no name any more, but still allows nothing.
        if let Some(policy) = super::found(asked.accounts.managed_policy(id).await)? {
            let arn = policies::arn(&policy, asked.key.account.uin);
            fields.push((
                "PermissionsBoundary",
                Node::Fields(vec![
                    ("PermissionsBoundaryType", "Policy".into()),
                    ("PermissionsBoundaryArn", arn.into()),
                ]),
            ));
        }
    }
    if !labels.tags.is_empty() {
        fields.push(("Tags", tags(labels)));
    }
    Ok(fields)
}
