//! Identity providers by OpenID Connect: whose tokens are taken for what they say of
//! their bearers, if a role's trust policy lets those in.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::labels::Labels;
use super::rows::{ProviderRow, decode, provider_name_row, provider_row, put};
use super::users::{check_text, is_name};
use super::{Accounts, IdentityError};
use crate::engine::{RowRef, Write};
use crate::error::Result;

/// Most identity providers of an account. (AWS.)
const PROVIDERS_MAX: usize = 100;

/// Longest URL, and longest client id, in bytes. (AWS.)
const URL_BYTES_MAX: usize = 255;
const CLIENT_BYTES_MAX: usize = 255;

/// Most clients and certificates of a provider. (AWS.)
const CLIENTS_MAX: usize = 100;
const THUMBPRINTS_MAX: usize = 5;

/// Longest set of keys that is kept with a provider, in bytes.
const KEYS_BYTES_MAX: usize = 16 << 10;

/// Longest name that CAM has for a provider. (Tencent Cloud.)
const NAME_LEN_MAX: usize = 128;

/// Whoever issues tokens at a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// As its tokens spell it.
    pub url: String,
    /// What CAM calls it; empty if it was not made there.
    pub name: String,
    pub description: String,
    /// Whom its tokens must be for: one of these.
    pub clients: Vec<String>,
    /// SHA-1 of certificates, in lower-case hexadecimal, that are trusted beside those
    /// of the system when its keys are fetched.
    pub thumbprints: Vec<String>,
    /// A JWK set of the keys that alone sign its tokens; empty if they are those that it
    /// publishes.
    pub keys: Bytes,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Its tags. A provider lies in no path.
    pub labels: Labels,
}

/// What can be said of a provider.
#[derive(Clone, Debug, Default)]
pub struct ProviderChanges<'a> {
    pub description: Option<&'a str>,
    pub clients: Option<&'a [&'a str]>,
    pub thumbprints: Option<&'a [&'a str]>,
    pub tags: Option<&'a BTreeMap<String, String>>,
    /// As they are: it is not looked into them here.
    pub keys: Option<&'a [u8]>,
}

impl Provider {
    fn of(row: ProviderRow) -> Provider {
        Provider {
            url: row.url,
            name: row.name,
            description: row.description,
            clients: row.clients,
            thumbprints: row.thumbprints,
            keys: row.keys,
            created_ms: row.created_ms,
            labels: Labels::of(row.labels),
        }
    }

    /// What IAM calls it: its URL without the scheme.
    pub fn place(&self) -> &str {
        place(&self.url).unwrap_or_default()
    }
}

/// A URL without its scheme, if it may be a provider's: over TLS, or of this machine.
/// A token tells its issuer by the whole of it, to the letter.
fn place(url: &str) -> Option<&str> {
    let (secure, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |b: u8| b.is_ascii_graphic() && !b"?#@\\\"<>".contains(&b);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_host = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.[:]".contains(&b))
        && port.is_none_or(|port| port.parse::<u16>().is_ok());
    let is_local = matches!(name, "localhost" | "[::1]")
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    let known = is_host && (secure || is_local) && path.bytes().all(plain);
    (known && url.len() <= URL_BYTES_MAX).then_some(rest)
}

impl ProviderChanges<'_> {
    fn apply(&self, row: &mut ProviderRow) -> Result<(), IdentityError> {
        if let Some(description) = self.description {
            check_text(description)?;
            row.description = description.to_owned();
        }
        if let Some(clients) = self.clients {
            let fits = |id: &&str| (1..=CLIENT_BYTES_MAX).contains(&id.len());
            if !clients.iter().all(fits) {
                return Err(IdentityError::ProviderClient { max: CLIENT_BYTES_MAX });
            }
            row.clients.clear();
            for id in clients {
                if !row.clients.iter().any(|known| known == id) {
                    row.clients.push((*id).to_owned());
                }
            }
            if row.clients.len() > CLIENTS_MAX {
                return Err(IdentityError::TooManyClients { max: CLIENTS_MAX });
            }
        }
        if let Some(thumbprints) = self.thumbprints {
            let is_hash =
                |text: &&str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
            if thumbprints.len() > THUMBPRINTS_MAX || !thumbprints.iter().all(is_hash) {
                return Err(IdentityError::Thumbprints { max: THUMBPRINTS_MAX });
            }
            row.thumbprints = thumbprints.iter().map(|text| text.to_ascii_lowercase()).collect();
        }
        if let Some(keys) = self.keys {
            if keys.len() > KEYS_BYTES_MAX {
                return Err(IdentityError::ProviderKeys { max: KEYS_BYTES_MAX });
            }
            row.keys = Bytes::copy_from_slice(keys);
        }
        if let Some(tags) = self.tags {
            row.labels = Labels { tags: tags.clone(), ..Labels::default() }.row()?;
        }
        Ok(())
    }
}

impl Accounts {
    /// `name` is what CAM calls it, if it is made there.
    pub async fn create_provider(
        &self,
        url: &str,
        name: Option<&str>,
        said: &ProviderChanges<'_>,
    ) -> Result<Provider, IdentityError> {
        let place = place(url).ok_or(IdentityError::ProviderUrl)?;
        if name.is_some_and(|name| !is_name(name, NAME_LEN_MAX)) {
            return Err(IdentityError::ProviderName { len_max: NAME_LEN_MAX });
        }
        if self.page(b'o', |_: &ProviderRow| true, 0, 0).await?.0 >= PROVIDERS_MAX {
            return Err(IdentityError::TooManyProviders { max: PROVIDERS_MAX });
        }
        let mut row = ProviderRow {
            url: url.to_owned(),
            name: name.unwrap_or_default().to_owned(),
            created_ms: self.clock.now_ms(),
            ..ProviderRow::default()
        };
        said.apply(&mut row)?;
        let mut rows = vec![provider_row(place)];
        let mut writes = vec![put(provider_row(place), &row)];
        if let Some(name) = name {
            rows.push(provider_name_row(name));
            let place = Bytes::copy_from_slice(place.as_bytes());
            writes.push(Write::Put(provider_name_row(name), place));
        }
        self.change(&rows, |found| match found.iter().all(Option::is_none) {
            true => Ok((Provider::of(row.clone()), writes.clone())),
            false => Err(IdentityError::ProviderExists),
        })
        .await
    }

    /// A provider by its URL without the scheme.
    pub async fn provider(&self, place: &str) -> Result<Provider, IdentityError> {
        let missing = IdentityError::NoSuchProvider;
        if place.len() > URL_BYTES_MAX {
            return Err(missing);
        }
        let row = self.read_identity(provider_row(place)).await?;
        row.map(Provider::of).ok_or(missing)
    }

    /// A provider by the name that CAM has for it.
    pub async fn provider_named(&self, name: &str) -> Result<Provider, IdentityError> {
        let missing = IdentityError::NoSuchProvider;
        if name.len() > NAME_LEN_MAX {
            return Err(missing);
        }
        let found = self.read_identities(&[provider_name_row(name)]).await?;
        let Some(place) = found.into_iter().next().flatten() else { return Err(missing) };
        self.provider(&String::from_utf8_lossy(&place)).await
    }

    /// All providers, in the order of their URLs without the schemes.
    pub async fn providers(&self) -> Result<Vec<Provider>> {
        let (_, rows) = self.page(b'o', |_: &ProviderRow| true, 0, usize::MAX).await?;
        Ok(rows.into_iter().map(Provider::of).collect())
    }

    /// The provider that issues tokens in the name of this URL, if there is one.
    pub async fn provider_of_issuer(&self, url: &str) -> Result<Option<Provider>, IdentityError> {
        let Some(place) = place(url) else { return Ok(None) };
        match self.provider(place).await {
            // The same place over another scheme is another issuer.
            Ok(provider) => Ok(Some(provider).filter(|provider| provider.url == url)),
            Err(IdentityError::NoSuchProvider) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces what is given.
    pub async fn update_provider(
        &self,
        place: &str,
        changes: &ProviderChanges<'_>,
    ) -> Result<(), IdentityError> {
        self.change_provider(place, |row| changes.apply(row)).await
    }

    /// Adding a client that is there changes nothing, and so does removing one that is
    /// not.
    pub async fn set_provider_client(
        &self,
        place: &str,
        id: &str,
        present: bool,
    ) -> Result<(), IdentityError> {
        self.change_provider(place, |row| {
            let others = row.clients.iter().map(String::as_str).filter(|known| *known != id);
            let clients: Vec<&str> = match present {
                true if row.clients.iter().any(|known| known == id) => return Ok(()),
                true => others.chain([id]).collect(),
                false => others.collect(),
            };
            let mut changed = row.clone();
            let clients = Some(&clients[..]);
            ProviderChanges { clients, ..ProviderChanges::default() }.apply(&mut changed)?;
            *row = changed;
            Ok(())
        })
        .await
    }

    async fn change_provider(
        &self,
        place: &str,
        change: impl Fn(&mut ProviderRow) -> Result<(), IdentityError>,
    ) -> Result<(), IdentityError> {
        let rows = [provider_row(place)];
        self.change(&rows, |found| {
            let [Some(bytes)] = found else { return Err(IdentityError::NoSuchProvider) };
            let mut row: ProviderRow = decode(bytes)?;
            change(&mut row)?;
            Ok(((), vec![put(rows[0].clone(), &row)]))
        })
        .await
    }

    /// Nobody takes on a role by its tokens any more. Keys that were had by them are good
    /// to their end.
    pub async fn delete_provider(&self, place: &str) -> Result<(), IdentityError> {
        let provider = self.provider(place).await?;
        let mut rows: Vec<RowRef> = vec![provider_row(place)];
        if !provider.name.is_empty() {
            rows.push(provider_name_row(&provider.name));
        }
        self.change(&rows, |found| match found.first() {
            Some(Some(_)) => Ok(((), rows.iter().cloned().map(Write::Delete).collect())),
            _ => Err(IdentityError::NoSuchProvider),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_provider_s_url_is_secure_or_of_this_machine() {
        for (url, known) in [
            ("https://token.example.com", Some("token.example.com")),
            ("https://token.example.com:8443/realms/a", Some("token.example.com:8443/realms/a")),
            ("https://token.example.com/", Some("token.example.com/")),
            ("https://[2001:db8::1]/a", Some("[2001:db8::1]/a")),
            ("http://localhost:8080/realms/a", Some("localhost:8080/realms/a")),
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://[::1]:8080/a", Some("[::1]:8080/a")),
            ("http://token.example.com", None),
            ("http://127.0.0.1.example.com", None),
            ("http://169.254.169.254/latest", None),
            ("ftp://token.example.com", None),
            ("https://", None),
            ("https:///path", None),
            ("https://user@token.example.com", None),
            ("https://token.example.com?a=b", None),
            ("https://token.example.com/a?b", None),
            ("https://token.example.com/a#b", None),
            ("https://token.example.com/a b", None),
            ("https://token.example.com:99999", None),
            ("token.example.com", None),
        ] {
            assert_eq!(place(url), known, "{url}");
        }
        assert_eq!(place(&format!("https://a.example/{}", "x".repeat(240))), None);
    }
}
