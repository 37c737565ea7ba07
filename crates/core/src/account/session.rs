//! Temporary keys: an id, a secret, and a token that says what they are for.
//!
//! The token is everything that is known of such a key, sealed under a key that is
//! derived from the master key and the id. So nothing is stored, every gateway that
//! has the master key can open it, and a token opens for no other id. It ends at its
//! time, or with the permanent key that asked for it.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use costrel_policy::{Grammar, POLICY_BYTES_MAX, Policy, PolicyFault};
use parking_lot::Mutex;
use prost::Message;
use ring::digest::{SHA256, digest};

use super::{AccessKey, Accounts, KeyError, KeyPair};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// Longest token in bytes. (Tencent Cloud.)
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Longest life of a key that a root key or a user's asked for, in seconds. (Tencent
/// Cloud.)
const ROOT_DURATION_S_MAX: u64 = 7200;
const USER_DURATION_S_MAX: u64 = 129_600;

/// Longest name of who is to use a key, in bytes.
const NAME_BYTES_MAX: usize = 64;

const PURPOSE: &[u8] = b"security token";

/// Zstandard's level for policies in tokens: they are small, and made seldom.
const LEVEL: i32 = 19;

/// What a temporary key is limited to.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who is to use the key, as whoever asked for it calls him.
    pub name: String,
    /// Milliseconds since the Unix epoch, as are all times here.
    pub issued_ms: u64,
    pub expires_ms: u64,
    /// Each of them must allow what is asked for.
    pub policies: Vec<Arc<Policy>>,
    /// The permanent key that asked for it.
    pub issuer: String,
}

/// What a temporary key is asked for with.
#[derive(Clone, Debug)]
pub struct SessionRequest<'a> {
    pub name: &'a str,
    pub duration_s: u64,
    /// Limits it beside what the asking key may do.
    pub policy: (Grammar, &'a [u8]),
}

/// A temporary key as it is handed out, once.
#[derive(Clone, Debug)]
pub struct TemporaryKey {
    pub pair: KeyPair,
    pub token: Secret,
    pub expires_ms: u64,
}

/// Why there is no temporary key.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("a temporary key cannot ask for another one")]
    Temporary,
    #[error("the name must have 1 to {NAME_BYTES_MAX} letters, digits and +=,.@_-")]
    Name,
    #[error("a key must be good for a second at least")]
    NoDuration,
    /// In seconds.
    #[error("the key that asks may ask for {max} seconds at most")]
    Duration { max: u64 },
    #[error(transparent)]
    Policy(#[from] PolicyFault),
    #[error("the policy makes a token of more than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Store(#[from] Error),
}

/// What is in a token; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
struct TokenRecord {
    #[prost(string, tag = "1")]
    secret: String,
    #[prost(string, tag = "2")]
    issuer: String,
    #[prost(uint64, tag = "3")]
    issued_ms: u64,
    #[prost(uint64, tag = "4")]
    expires_ms: u64,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(message, repeated, tag = "6")]
    policies: Vec<TokenPolicy>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct TokenPolicy {
    #[prost(enumeration = "TokenGrammar", tag = "1")]
    grammar: i32,
    /// The document, compressed by Zstandard.
    #[prost(bytes = "bytes", tag = "2")]
    document: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum TokenGrammar {
    Unknown = 0,
    Cam = 1,
    Iam = 2,
}

impl Accounts {
    /// Makes a temporary key in the name of `issuer`.
    pub fn grant(
        &self,
        issuer: &AccessKey,
        request: &SessionRequest<'_>,
    ) -> Result<TemporaryKey, GrantError> {
        if issuer.session.is_some() {
            return Err(GrantError::Temporary);
        }
        let named = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        if !(1..=NAME_BYTES_MAX).contains(&request.name.len()) || !request.name.bytes().all(named) {
            return Err(GrantError::Name);
        }
        let max = match issuer.user {
            None => ROOT_DURATION_S_MAX,
            Some(_) => USER_DURATION_S_MAX,
        };
        match request.duration_s {
            0 => return Err(GrantError::NoDuration),
            duration_s if duration_s > max => return Err(GrantError::Duration { max }),
            _ => {}
        }
        let (grammar, document) = request.policy;
        Policy::of_session(grammar, document)?;
        let packed = zstd::bulk::compress(document, LEVEL)
            .map_err(|error| Error::Internal(format!("compressing a policy: {error}")))?;
        let grammar = match grammar {
            Grammar::Cam => TokenGrammar::Cam,
            Grammar::Iam => TokenGrammar::Iam,
        };

        let now_ms = self.clock.now_ms();
        let expires_ms = (now_ms / 1000 + request.duration_s) * 1000;
        let pair = KeyPair::generate(&*self.entropy);
        let record = TokenRecord {
            secret: pair.secret.expose().to_owned(),
            issuer: issuer.id.clone(),
            issued_ms: now_ms,
            expires_ms,
            name: request.name.to_owned(),
            policies: vec![TokenPolicy { grammar: grammar.into(), document: packed.into() }],
        };
        let key = self.master_key.derived(PURPOSE, pair.id.as_bytes());
        let token = BASE64.encode(key.seal(&record.encode_to_vec(), b"", &*self.entropy));
        if token.len() > TOKEN_BYTES_MAX {
            return Err(GrantError::TooLong);
        }
        Ok(TemporaryKey { pair, token: Secret::new(token), expires_ms })
    }

    /// The key that a token was made for.
    pub(super) async fn open_token(
        &self,
        key_id: &str,
        token: &str,
    ) -> Result<Arc<AccessKey>, KeyError> {
        let name = SessionName::of(key_id, token);
        let key = match self.sessions.get(&name) {
            Some(key) => key,
            None => {
                let key = Arc::new(self.unseal_token(key_id, token)?);
                self.sessions.put(name, key.clone(), token.len());
                key
            }
        };
        let session = key.session.as_ref().ok_or(KeyError::UnknownToken)?;
        if self.clock.now_ms() >= session.expires_ms {
            return Err(KeyError::ExpiredToken);
        }
        match self.lookup(&session.issuer).await? {
            // What the user may do now is what counts, not what he might when he asked.
            Some(issuer) if issuer.enabled => Ok(match &issuer.user {
                None => key,
                user => Arc::new(AccessKey { user: user.clone(), ..AccessKey::clone(&key) }),
            }),
            _ => Err(KeyError::UnknownToken),
        }
    }

    fn unseal_token(&self, key_id: &str, token: &str) -> Result<AccessKey, KeyError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(KeyError::UnknownToken);
        }
        let sealed = BASE64.decode(token).map_err(|_| KeyError::UnknownToken)?;
        let opening = self.master_key.derived(PURPOSE, key_id.as_bytes());
        let opened = opening.unseal(&sealed, b"").map_err(|_| KeyError::UnknownToken)?;
        // From here on it is one of ours: what cannot be read is damage, and never a
        // key without its limits.
        let damaged = |what: String| Error::Damaged(format!("token of {key_id}: {what}"));
        let record = TokenRecord::decode(&opened[..]).map_err(|e| damaged(e.to_string()))?;
        if record.policies.is_empty() {
            return Err(damaged("no policy".into()).into());
        }
        let mut policies = Vec::with_capacity(record.policies.len());
        for policy in &record.policies {
            let grammar = match policy.grammar() {
                TokenGrammar::Cam => Grammar::Cam,
                TokenGrammar::Iam => Grammar::Iam,
                TokenGrammar::Unknown => return Err(damaged("unknown grammar".into()).into()),
            };
            let document = zstd::bulk::decompress(&policy.document, POLICY_BYTES_MAX)
                .map_err(|e| damaged(e.to_string()))?;
            let policy =
                Policy::of_session(grammar, &document).map_err(|e| damaged(e.to_string()))?;
            policies.push(Arc::new(policy));
        }
        Ok(AccessKey {
            id: key_id.to_owned(),
            secret: Secret::new(record.secret),
            account: self.account.clone(),
            enabled: true,
            user: None,
            session: Some(Session {
                name: record.name,
                issued_ms: record.issued_ms,
                expires_ms: record.expires_ms,
                policies,
                issuer: record.issuer,
            }),
        })
    }
}

/// A hash of a key id and the token beside it. Looking one up tells by its time
/// nothing of other tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SessionName([u8; 32]);

impl SessionName {
    fn of(key_id: &str, token: &str) -> SessionName {
        // Ids come from clients; a token has no such byte.
        let hash = digest(&SHA256, &[token.as_bytes(), b"\0", key_id.as_bytes()].concat());
        let mut name = [0; 32];
        name.copy_from_slice(hash.as_ref());
        SessionName(name)
    }
}

/// Tokens that were opened lately, in two generations as in the cache of keys.
#[derive(Default)]
pub(super) struct SessionCache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<SessionName, Arc<AccessKey>>,
    old: HashMap<SessionName, Arc<AccessKey>>,
    young_bytes: usize,
}

/// Bytes of tokens of one generation. Opened and read, the policy of a token takes
/// some ten times its length.
const GENERATION_BYTES: usize = 1 << 20;

/// What an entry takes besides.
const ENTRY_BYTES: usize = 512;

impl SessionCache {
    fn get(&self, name: &SessionName) -> Option<Arc<AccessKey>> {
        let generations = self.0.lock();
        generations.young.get(name).or_else(|| generations.old.get(name)).cloned()
    }

    fn put(&self, name: SessionName, key: Arc<AccessKey>, token_bytes: usize) {
        let bytes = token_bytes + ENTRY_BYTES;
        let mut generations = self.0.lock();
        if generations.young_bytes + bytes > GENERATION_BYTES {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
        if generations.young.insert(name, key).is_none() {
            generations.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Account, AppId, Uin};

    #[test]
    fn opened_tokens_are_bounded_and_the_latest_stay() {
        let cache = SessionCache::default();
        let key = Arc::new(AccessKey {
            id: "AKID".into(),
            secret: Secret::new("secret"),
            account: Arc::new(Account { uin: Uin(1), appid: AppId(1) }),
            enabled: true,
            user: None,
            session: None,
        });
        let name = |n: usize| SessionName::of("AKID", &n.to_string());
        let count = 10 * GENERATION_BYTES / (400 + ENTRY_BYTES);
        for n in 0..count {
            cache.put(name(n), key.clone(), 400);
        }
        let generations = cache.0.lock();
        let kept = generations.young.len() + generations.old.len();
        assert!(kept * (400 + ENTRY_BYTES) <= 2 * GENERATION_BYTES, "{kept}");
        drop(generations);
        assert!(cache.get(&name(count - 1)).is_some());
        assert!(cache.get(&name(0)).is_none());
    }
}
