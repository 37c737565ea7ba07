//! Identity providers by OpenID Connect.

use costrel_core::account::{IdentityError, Provider, ProviderChanges, Uin};
use futures_util::future::BoxFuture;

use super::labels::tags;
use super::time;
use crate::aws::tree::Node;
use crate::aws::{Answered, Asked, AwsFailure};

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let (clients, thumbprints) = (call.list("ClientIDList")?, call.list("ThumbprintList")?);
        let tags = call.tags()?;
        let said = ProviderChanges {
            clients: Some(&clients),
            thumbprints: Some(&thumbprints),
            tags: Some(&tags),
            ..ProviderChanges::default()
        };
        let url = call.required("Url")?;
        let provider = asked.accounts.create_provider(url, None, &said).await?;
        let mut answer =
            vec![("OpenIDConnectProviderArn", arn(&provider, asked.key.account.uin).into())];
        answer.extend(shown_tags(&provider));
        Ok(Some(answer))
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let provider = asked.accounts.provider(place(asked)?).await?;
        let list =
            |texts: &[String]| Node::List(texts.iter().map(|text| text.as_str().into()).collect());
        let mut answer = vec![
            ("Url", provider.place().into()),
            ("ClientIDList", list(&provider.clients)),
            ("ThumbprintList", list(&provider.thumbprints)),
            ("CreateDate", time(provider.created_ms)),
        ];
        answer.extend(shown_tags(&provider));
        Ok(Some(answer))
    })
}

fn shown_tags(provider: &Provider) -> Option<(&'static str, Node)> {
    (!provider.labels.tags.is_empty()).then(|| ("Tags", tags(&provider.labels)))
}

pub(super) fn list<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let providers = asked.accounts.providers().await?;
        let account = asked.key.account.uin;
        let entry = |provider| Node::Fields(vec![("Arn", arn(provider, account).into())]);
        let list = providers.iter().map(entry).collect();
        Ok(Some(vec![("OpenIDConnectProviderList", Node::List(list))]))
    })
}

pub(super) fn add_client<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let client = asked.call.required("ClientID")?;
        asked.accounts.set_provider_client(place(asked)?, client, true).await?;
        Ok(None)
    })
}

pub(super) fn remove_client<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let client = asked.call.required("ClientID")?;
        asked.accounts.set_provider_client(place(asked)?, client, false).await?;
        Ok(None)
    })
}

pub(super) fn set_thumbprints<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let thumbprints = asked.call.list("ThumbprintList")?;
        let thumbprints = Some(&thumbprints[..]);
        let changes = ProviderChanges { thumbprints, ..ProviderChanges::default() };
        asked.accounts.update_provider(place(asked)?, &changes).await?;
        Ok(None)
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        asked.accounts.delete_provider(place(asked)?).await?;
        Ok(None)
    })
}

/// What stands behind `arn:aws:iam::<account>:oidc-provider/`.
pub(super) fn place<'a>(asked: &Asked<'a>) -> Result<&'a str, AwsFailure> {
    const NAME: &str = "OpenIDConnectProviderArn";
    let rest = asked.call.required(NAME)?.strip_prefix("arn:aws:iam::");
    let (account, place) = rest
        .and_then(|rest| rest.split_once(":oidc-provider/"))
        .ok_or(AwsFailure::BadValue(NAME))?;
    match account.parse() == Ok(asked.key.account.uin) {
        true => Ok(place),
        false => Err(IdentityError::NoSuchProvider.into()),
    }
}

fn arn(provider: &Provider, account: Uin) -> String {
    format!("arn:aws:iam::{account}:oidc-provider/{}", provider.place())
}
