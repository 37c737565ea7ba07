//! Identity providers by OpenID Connect, whose tokens roles are taken on with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use costrel_core::account::ProviderChanges;
use costrel_signature::KeySet;
use futures_util::future::BoxFuture;
use serde_json::Map;

use super::object;
use crate::cloud::{Answered, Asked, CloudFailure};

pub(super) const PARAMETERS: &[&str] =
    &["IdentityUrl", "ClientId", "Name", "IdentityKey", "Description", "AutoRotateKey"];

/// Kind of a provider that roles trust, and its state: it is good.
const OF_ROLES: i64 = 11;
const ENABLED: i64 = 11;

pub(super) fn create<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let (url, name) = (call.required("IdentityUrl")?, call.required("Name")?);
        let (clients, keys) = (clients(asked)?, keys(asked)?);
        let said = ProviderChanges {
            description: call.text("Description")?,
            clients: Some(&clients),
            keys: Some(&keys),
            ..ProviderChanges::default()
        };
        asked.accounts.create_provider(url, Some(name), &said).await?;
        Ok(Map::new())
    })
}

pub(super) fn update<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let call = asked.call;
        let provider = asked.accounts.provider_named(call.required("Name")?).await?;
        if call.required("IdentityUrl")? != provider.url {
            return Err(CloudFailure::Unsupported("changing the URL of an identity provider"));
        }
        let (clients, keys) = (clients(asked)?, keys(asked)?);
        let changes = ProviderChanges {
            description: call.text("Description")?,
            clients: Some(&clients),
            keys: Some(&keys),
            ..ProviderChanges::default()
        };
        asked.accounts.update_provider(provider.place(), &changes).await?;
        Ok(Map::new())
    })
}

pub(super) fn get<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let provider = asked.accounts.provider_named(asked.call.required("Name")?).await?;
        let rotates = i64::from(provider.keys.is_empty());
        let keys = BASE64.encode(&provider.keys);
        Ok(object([
            ("ProviderType", OF_ROLES.into()),
            ("IdentityUrl", provider.url.into()),
            ("IdentityKey", keys.into()),
            ("ClientId", provider.clients.into()),
            ("Status", ENABLED.into()),
            ("Description", provider.description.into()),
            ("Name", provider.name.into()),
            ("AutoRotateKey", rotates.into()),
        ]))
    })
}

pub(super) fn delete<'a>(asked: &'a Asked<'a>) -> BoxFuture<'a, Answered> {
    Box::pin(async {
        let provider = asked.accounts.provider_named(asked.call.required("Name")?).await?;
        asked.accounts.delete_provider(provider.place()).await?;
        Ok(Map::new())
    })
}

fn clients<'a>(asked: &'a Asked<'_>) -> Result<Vec<&'a str>, CloudFailure> {
    let clients = asked.call.texts("ClientId")?;
    match clients.is_empty() {
        true => Err(CloudFailure::Missing("ClientId")),
        false => Ok(clients),
    }
}

/// The keys that alone sign tokens; none if they are those that the provider publishes.
fn keys(asked: &Asked<'_>) -> Result<Vec<u8>, CloudFailure> {
    match asked.call.number("AutoRotateKey")? {
        None | Some(0) => {}
        Some(1) => return Ok(Vec::new()),
        Some(_) => return Err(CloudFailure::BadValue("AutoRotateKey")),
    }
    let bad = CloudFailure::BadValue("IdentityKey");
    let keys = BASE64.decode(asked.call.required("IdentityKey")?.trim());
    let keys = keys.ok().filter(|keys| KeySet::parse(keys).is_ok_and(|set| !set.is_empty()));
    keys.ok_or(bad)
}
