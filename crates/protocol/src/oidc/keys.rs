//! Keys of identity providers, fetched from where they publish them.
//!
//! Nothing but what a provider of the account stands for is ever fetched, and of each
//! one thing at a time, so that no token makes the server call anybody else, or often.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use costrel_core::account::Provider;
use costrel_signature::{KeySet, Token, TokenError};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Mutex;

/// How long fetched keys are good: one that its provider has withdrawn is so for as long
/// at most.
const GOOD_MS: u64 = 3_600_000;

/// Least time between two calls for the keys of a provider, whatever they are for.
const BETWEEN_MS: u64 = 10_000;

/// Providers whose keys are remembered. More than an account has.
const REMEMBERED_MAX: usize = 256;

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Documents of identity providers over HTTP.
pub trait Documents: Send + Sync {
    /// What a GET of a URL answers with status 200. Over TLS the server has a
    /// certificate that the system trusts, or one with such a SHA-1; without TLS it is
    /// this machine. Redirects are not followed, size and time are bounded.
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        thumbprints: &'a [String],
    ) -> BoxFuture<'a, Result<Bytes, FetchError>>;
}

pub(crate) enum KeyError {
    Token(TokenError),
    Fetch(FetchError),
}

/// The keys of all providers that were asked for lately.
pub(crate) struct Keys {
    documents: Arc<dyn Documents>,
    known: parking_lot::Mutex<HashMap<Source, Arc<Known>>>,
}

/// What keys depend on: a provider with other certificates is asked anew.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Source {
    url: String,
    thumbprints: Vec<String>,
}

#[derive(Default)]
struct Known {
    state: parking_lot::Mutex<State>,
    fetching: Mutex<()>,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    fetched_ms: u64,
    /// When the provider was last asked, and what came of it if it was nothing.
    asked_ms: u64,
    failure: Option<FetchError>,
}

impl State {
    /// A clock that went back makes what is known unknown.
    fn keys(&self, now_ms: u64) -> Option<&Arc<KeySet>> {
        let age_ms = now_ms.checked_sub(self.fetched_ms)?;
        self.keys.as_ref().filter(|_| age_ms < GOOD_MS)
    }

    fn may_ask(&self, now_ms: u64) -> bool {
        self.asked_ms == 0
            || now_ms.checked_sub(self.asked_ms).is_none_or(|since| since >= BETWEEN_MS)
    }
}

impl Keys {
    pub fn new(documents: Arc<dyn Documents>) -> Keys {
        Keys { documents, known: Default::default() }
    }

    /// Whether a provider's key has signed a token. A key that is not known yet is looked
    /// for where the provider publishes them: they change. A provider whose keys are
    /// written down is never asked.
    pub async fn verify(
        &self,
        token: &Token<'_>,
        provider: &Provider,
        now_ms: u64,
    ) -> Result<(), KeyError> {
        if !provider.keys.is_empty() {
            let keys = KeySet::parse(&provider.keys)
                .map_err(|error| KeyError::Fetch(FetchError(error.to_string())))?;
            return token.verify(&keys).map_err(KeyError::Token);
        }
        let known = self.known(provider);
        let state = known.state.lock().clone();
        let judged = state.keys(now_ms).map(|keys| token.verify(keys));
        match judged {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) if !state.may_ask(now_ms) => return Err(KeyError::Token(error)),
            _ => {}
        }
        // Whoever waited here finds what was fetched meanwhile.
        let _turn = known.fetching.lock().await;
        let mut state = known.state.lock().clone();
        if state.may_ask(now_ms) {
            state.asked_ms = now_ms;
            match self.fetch(provider).await {
                Ok(keys) => {
                    (state.keys, state.fetched_ms) = (Some(Arc::new(keys)), now_ms);
                    state.failure = None;
                }
                Err(error) => state.failure = Some(error),
            }
            *known.state.lock() = state.clone();
        }
        match state.keys(now_ms) {
            Some(keys) => token.verify(keys).map_err(KeyError::Token),
            None => {
                let none = || FetchError("there are no keys".into());
                Err(KeyError::Fetch(state.failure.unwrap_or_else(none)))
            }
        }
    }

    fn known(&self, provider: &Provider) -> Arc<Known> {
        let source =
            Source { url: provider.url.clone(), thumbprints: provider.thumbprints.clone() };
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED_MAX && !known.contains_key(&source) {
            known.clear();
        }
        known.entry(source).or_default().clone()
    }

    /// Finds where the keys are, and gets them.
    async fn fetch(&self, provider: &Provider) -> Result<KeySet, FetchError> {
        let wrong = |what: String| FetchError(format!("{}: {what}", provider.url));
        let base = provider.url.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let document = self.documents.fetch(&url, &provider.thumbprints).await?;
        let document: Value =
            serde_json::from_slice(&document).map_err(|error| wrong(error.to_string()))?;
        if document.get("issuer").and_then(Value::as_str) != Some(&provider.url) {
            return Err(wrong("its configuration is another issuer's".into()));
        }
        let place = document.get("jwks_uri").and_then(Value::as_str);
        let place = place.ok_or_else(|| wrong("its configuration names no keys".into()))?;
        if provider.url.starts_with("https://") && !place.starts_with("https://") {
            return Err(wrong("its keys are to be had without TLS".into()));
        }
        let keys = self.documents.fetch(place, &provider.thumbprints).await?;
        let keys = KeySet::parse(&keys).map_err(|error| wrong(error.to_string()))?;
        match keys.is_empty() {
            true => Err(wrong("it publishes no key that is of use".into())),
            false => Ok(keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A provider with keys that are not the token's. Counts what it is asked for.
    struct Publisher {
        asked: AtomicUsize,
        there: bool,
    }

    const URL: &str = "https://token.example.com/a/";
    const JWKS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "k",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

    impl Documents for Publisher {
        fn fetch<'a>(
            &'a self,
            url: &'a str,
            _: &'a [String],
        ) -> BoxFuture<'a, Result<Bytes, FetchError>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                tokio::task::yield_now().await;
                match url {
                    _ if !self.there => Err(FetchError("gone".into())),
                    "https://token.example.com/a/.well-known/openid-configuration" => Ok(format!(
                        r#"{{"issuer": "{URL}", "jwks_uri": "https://keys.example.com/a"}}"#
                    )
                    .into()),
                    "https://keys.example.com/a" => Ok(JWKS.into()),
                    other => panic!("{other} was fetched"),
                }
            })
        }
    }

    fn provider() -> Provider {
        Provider {
            url: URL.into(),
            name: String::new(),
            description: String::new(),
            clients: Vec::new(),
            thumbprints: Vec::new(),
            created_ms: 0,
            labels: Default::default(),
            keys: Default::default(),
        }
    }

    /// RFC 7515, A.3; and a token whose key nobody has published.
    const GOOD: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const UNKNOWN: &str = "eyJhbGciOiJSUzI1NiJ9.e30.AA";

    fn keys(there: bool) -> (Keys, Arc<Publisher>) {
        let publisher = Arc::new(Publisher { asked: AtomicUsize::new(0), there });
        (Keys::new(publisher.clone()), publisher)
    }

    async fn is_good(keys: &Keys, token: &str, now_ms: u64) -> Option<bool> {
        match keys.verify(&Token::parse(token).unwrap(), &provider(), now_ms).await {
            Ok(()) => Some(true),
            Err(KeyError::Token(_)) => Some(false),
            Err(KeyError::Fetch(_)) => None,
        }
    }

    #[tokio::test]
    async fn keys_are_fetched_seldom_whatever_tokens_come() {
        let (keys, publisher) = keys(true);
        let asked = || publisher.asked.load(Ordering::Relaxed) / 2;
        let start = 1_000_000;
        for _ in 0..5 {
            assert_eq!(is_good(&keys, GOOD, start).await, Some(true));
            assert_eq!(is_good(&keys, UNKNOWN, start).await, Some(false));
        }
        assert_eq!(asked(), 1);
        // Unknown keys make it look again, but not at once.
        let later = start + BETWEEN_MS;
        assert_eq!(is_good(&keys, UNKNOWN, later - 1).await, Some(false));
        assert_eq!(asked(), 1);
        for _ in 0..5 {
            assert_eq!(is_good(&keys, UNKNOWN, later).await, Some(false));
        }
        assert_eq!(asked(), 2);
        assert_eq!(is_good(&keys, GOOD, later + GOOD_MS - 1).await, Some(true));
        assert_eq!(asked(), 2);
        assert_eq!(is_good(&keys, GOOD, later + GOOD_MS).await, Some(true));
        assert_eq!(asked(), 3);
    }

    #[tokio::test]
    async fn many_at_once_fetch_once() {
        let (keys, publisher) = keys(true);
        let all = (0..50).map(|_| is_good(&keys, GOOD, 1_000_000));
        let judged = futures_util::future::join_all(all).await;
        assert!(judged.iter().all(|good| *good == Some(true)));
        assert_eq!(publisher.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_provider_that_does_not_answer_is_not_asked_again_at_once() {
        let (keys, publisher) = keys(false);
        for _ in 0..5 {
            assert_eq!(is_good(&keys, GOOD, 1_000_000).await, None);
        }
        assert_eq!(publisher.asked.load(Ordering::Relaxed), 1);
        assert_eq!(is_good(&keys, GOOD, 1_000_000 + BETWEEN_MS).await, None);
        assert_eq!(publisher.asked.load(Ordering::Relaxed), 2);
    }
}
