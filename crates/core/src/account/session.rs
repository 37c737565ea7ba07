//! Temporary keys: an id, a secret, and a token that says what they are for.
//!
//! The token is everything that is known of such a key, sealed under a key that is
//! derived from the master key and the id. So nothing is stored, every gateway that
//! has the master key can open it, and a token opens for no other id. It ends at its
//! time, with the permanent key that asked for it, or with the role that it is for. One
//! that an identity provider's token was shown for has no such key behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use costrel_policy::{Grammar, POLICY_BYTES_MAX, Policy, PolicyFault};
use parking_lot::Mutex;
use prost::Message;
use ring::digest::{SHA256, digest};

use super::labels::Labels;
use super::users::is_name;
use super::{AccessKey, Accounts, Holder, KeyError, KeyPair, Role};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// Longest token in bytes. (Tencent Cloud.)
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Longest life of a key that a root key or a user's asked for, in seconds. (Tencent
/// Cloud.)
const ROOT_DURATION_S_MAX: u64 = 7200;
const USER_DURATION_S_MAX: u64 = 129_600;

/// Longest life of a role's key that was asked for by a temporary one. (AWS.)
const CHAINED_DURATION_S_MAX: u64 = 3600;

/// Longest name of who is to use a key, in bytes.
const NAME_BYTES_MAX: usize = 64;

const PURPOSE: &[u8] = b"security token";

/// Zstandard's level for policies in tokens: they are small, and made seldom.
const LEVEL: i32 = 19;

/// What a temporary key is limited to.
#[derive(Clone, Debug)]
pub struct Session {
    pub kind: SessionKind,
    /// Who is to use the key, as whoever asked for it calls him; empty for oneself.
    pub name: String,
    /// Milliseconds since the Unix epoch, as are all times here.
    pub issued_ms: u64,
    pub expires_ms: u64,
    /// Each of them must allow what is asked for.
    pub policies: Vec<Arc<Policy>>,
    /// The permanent key that asked for it; empty if a token was shown for it.
    pub issuer: String,
    pub said: SessionTags,
}

/// What is said of whoever has a role's key, for policies to ask about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionTags {
    /// Values by names, no two of which differ in nothing but case.
    pub tags: BTreeMap<String, String>,
    /// Names of those that keys of further roles have as well, which are asked for with
    /// this one.
    pub transitive: BTreeSet<String>,
    /// Who he is in truth; empty if nobody has said so. Keys of further roles say the same.
    pub source_identity: String,
}

impl SessionTags {
    /// A tag by its name in any case.
    pub fn tag(&self, name: &str) -> Option<&str> {
        named(&self.tags, name)
    }

    /// With what goes on from the key that asks.
    pub fn inherited(mut self, issuer: &AccessKey) -> Result<SessionTags, GrantError> {
        let Some(session) = &issuer.session else { return Ok(self) };
        for name in &session.said.transitive {
            let Some(value) = session.said.tags.get(name) else { continue };
            if self.tag(name).is_some() {
                return Err(GrantError::TagInherited(name.clone()));
            }
            self.tags.insert(name.clone(), value.clone());
            self.transitive.insert(name.clone());
        }
        let identity = &session.said.source_identity;
        if !identity.is_empty() {
            if !self.source_identity.is_empty() && self.source_identity != *identity {
                return Err(GrantError::SourceIdentity);
            }
            self.source_identity.clone_from(identity);
        }
        Ok(self)
    }

    fn check(&self) -> Result<(), GrantError> {
        let tags = Labels { tags: self.tags.clone(), ..Labels::default() };
        let mut lower = BTreeSet::new();
        let distinct = self.tags.keys().all(|name| lower.insert(name.to_lowercase()));
        let known = self.transitive.iter().all(|name| self.tags.contains_key(name));
        if tags.row().is_err() || !distinct || !known {
            return Err(GrantError::Tags);
        }
        let identity = &*self.source_identity;
        match identity.is_empty() || (identity.len() >= 2 && is_name(identity, NAME_BYTES_MAX)) {
            true => Ok(()),
            false => Err(GrantError::SourceIdentity),
        }
    }
}

/// A tag by its name in any case.
pub(super) fn named<'a>(tags: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let exact = tags.get(name);
    let other = || tags.iter().find(|(known, _)| known.to_lowercase() == name.to_lowercase());
    exact.or_else(|| Some(other()?.1)).map(String::as_str)
}

/// Whose temporary key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// Somebody's whom the holder of the asking key lets in.
    Federated,
    /// His who has taken on a role.
    Role,
    /// The asker's own.
    Own,
}

/// What a temporary key is asked for with.
#[derive(Clone, Debug)]
pub struct SessionRequest<'a> {
    pub name: &'a str,
    pub duration_s: u64,
    /// Limits it beside what the asking key or the role may do.
    pub policy: Option<(Grammar, &'a [u8])>,
    pub whose: Whose<'a>,
}

/// Whose temporary key is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Somebody's whom the asker lets in, by a policy.
    Federated,
    /// His who takes on the role, as the asker may.
    Role(&'a Role),
    /// The asker's own.
    Own,
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
    #[error("a key that is for no role needs a policy")]
    NoPolicy,
    #[error("the name must have 1 to {NAME_BYTES_MAX} letters, digits and +=,.@_-")]
    Name,
    #[error("a key must be good for a second at least")]
    NoDuration,
    /// In seconds.
    #[error("this key may be good for {max} seconds at most")]
    Duration { max: u64 },
    #[error(transparent)]
    Policy(#[from] PolicyFault),
    #[error("tags have distinct names of 1 to 128 characters, values of 256 at most, and are 50")]
    Tags,
    /// By its name.
    #[error("the key that asks has a tag {0} that goes on and cannot be changed")]
    TagInherited(String),
    #[error("the source identity has 2 to {NAME_BYTES_MAX} letters, digits and +=,.@_-, and stays")]
    SourceIdentity,
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
    /// Nothing if it is for no role.
    #[prost(uint64, tag = "7")]
    role: u64,
    /// It is its issuer's own. If it is neither this nor a role's, there is a policy.
    #[prost(bool, tag = "8")]
    own: bool,
    #[prost(message, repeated, tag = "9")]
    tags: Vec<TokenTag>,
    #[prost(string, tag = "10")]
    source_identity: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct TokenTag {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bool, tag = "3")]
    transitive: bool,
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

impl TokenPolicy {
    fn new(grammar: Grammar, document: &[u8]) -> Result<TokenPolicy, GrantError> {
        Policy::of_session(grammar, document)?.check_sids()?;
        let packed = zstd::bulk::compress(document, LEVEL)
            .map_err(|error| Error::Internal(format!("compressing a policy: {error}")))?;
        let grammar = match grammar {
            Grammar::Cam => TokenGrammar::Cam,
            Grammar::Iam => TokenGrammar::Iam,
        };
        Ok(TokenPolicy { grammar: grammar.into(), document: packed.into() })
    }
}

/// A token that was opened: its key, but for whose it is at the moment, and the role
/// that it is for.
#[derive(Clone)]
struct Opened {
    key: AccessKey,
    role: Option<u64>,
}

impl Accounts {
    /// Makes a temporary key in the name of `issuer`.
    pub fn grant(
        &self,
        issuer: &AccessKey,
        request: &SessionRequest<'_>,
    ) -> Result<TemporaryKey, GrantError> {
        self.grant_tagged(issuer, request, &SessionTags::default().inherited(issuer)?)
    }

    /// The same, of which something is said besides: all of it, with what goes on from the
    /// key that asks.
    pub fn grant_tagged(
        &self,
        issuer: &AccessKey,
        request: &SessionRequest<'_>,
        said: &SessionTags,
    ) -> Result<TemporaryKey, GrantError> {
        // What was asked for with a temporary key ends with the permanent one behind it.
        let origin = match &issuer.session {
            None => &issuer.id,
            Some(session) if matches!(request.whose, Whose::Role(_)) => &session.issuer,
            Some(_) => return Err(GrantError::Temporary),
        };
        let max = match (request.whose, &issuer.holder) {
            (Whose::Role(role), _) if issuer.session.is_some() => {
                role.session_s_max.min(CHAINED_DURATION_S_MAX)
            }
            (Whose::Role(role), _) => role.session_s_max,
            (Whose::Federated | Whose::Own, Holder::Root) => ROOT_DURATION_S_MAX,
            (Whose::Federated | Whose::Own, _) => USER_DURATION_S_MAX,
        };
        self.issue(origin, max, request, said)
    }

    /// Makes a temporary key of a role for whoever has shown an identity provider's
    /// token.
    pub fn grant_to_bearer(
        &self,
        role: &Role,
        request: &SessionRequest<'_>,
        said: &SessionTags,
    ) -> Result<TemporaryKey, GrantError> {
        let request = SessionRequest { whose: Whose::Role(role), ..request.clone() };
        self.issue("", role.session_s_max, &request, said)
    }

    fn issue(
        &self,
        origin: &str,
        duration_s_max: u64,
        request: &SessionRequest<'_>,
        said: &SessionTags,
    ) -> Result<TemporaryKey, GrantError> {
        said.check()?;
        let named = is_name(request.name, NAME_BYTES_MAX);
        if named == matches!(request.whose, Whose::Own) {
            return Err(GrantError::Name);
        }
        match request.duration_s {
            0 => return Err(GrantError::NoDuration),
            duration_s if duration_s > duration_s_max => {
                return Err(GrantError::Duration { max: duration_s_max });
            }
            _ => {}
        }
        let policies = match request.policy {
            Some((grammar, document)) => vec![TokenPolicy::new(grammar, document)?],
            None if matches!(request.whose, Whose::Federated) => return Err(GrantError::NoPolicy),
            None => Vec::new(),
        };
        let (role, own) = match request.whose {
            Whose::Federated => (0, false),
            Whose::Role(role) => (role.id, false),
            Whose::Own => (0, true),
        };

        let now_ms = self.clock.now_ms();
        let expires_ms = (now_ms / 1000 + request.duration_s) * 1000;
        let pair = KeyPair::generate(&*self.entropy);
        let record = TokenRecord {
            secret: pair.secret.expose().to_owned(),
            issuer: origin.to_owned(),
            issued_ms: now_ms,
            expires_ms,
            name: request.name.to_owned(),
            policies,
            role,
            own,
            tags: said
                .tags
                .iter()
                .map(|(name, value)| TokenTag {
                    name: name.clone(),
                    value: value.clone(),
                    transitive: said.transitive.contains(name),
                })
                .collect(),
            source_identity: said.source_identity.clone(),
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
        let opened = match self.sessions.get(&name) {
            Some(opened) => opened,
            None => {
                let opened = Arc::new(self.unseal_token(key_id, token)?);
                self.sessions.put(name, opened.clone(), token.len());
                opened
            }
        };
        let session = opened.key.session.as_ref().ok_or(KeyError::UnknownToken)?;
        if self.clock.now_ms() >= session.expires_ms {
            return Err(KeyError::ExpiredToken);
        }
        let issuer = match session.issuer.is_empty() {
            true => None,
            false => {
                let issuer = self.lookup(&session.issuer).await?;
                Some(issuer.filter(|key| key.enabled).ok_or(KeyError::UnknownToken)?)
            }
        };
        // What the user or the role may do now is what counts, not what it was when the
        // key was asked for.
        let holder = match opened.role {
            None => issuer.ok_or(KeyError::UnknownToken)?.holder.clone(),
            Some(id) => Holder::Role(self.role_in_force(id).await?.ok_or(KeyError::UnknownToken)?),
        };
        Ok(Arc::new(AccessKey { holder, ..opened.key.clone() }))
    }

    fn unseal_token(&self, key_id: &str, token: &str) -> Result<Opened, KeyError> {
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
        if record.policies.is_empty() && record.role == 0 && !record.own {
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
        let role = (record.role != 0).then_some(record.role);
        let session = Session {
            kind: match (role, record.own) {
                (Some(_), _) => SessionKind::Role,
                (None, true) => SessionKind::Own,
                (None, false) => SessionKind::Federated,
            },
            name: record.name,
            issued_ms: record.issued_ms,
            expires_ms: record.expires_ms,
            policies,
            issuer: record.issuer,
            said: SessionTags {
                transitive: record
                    .tags
                    .iter()
                    .filter(|tag| tag.transitive)
                    .map(|tag| tag.name.clone())
                    .collect(),
                tags: record.tags.into_iter().map(|tag| (tag.name, tag.value)).collect(),
                source_identity: record.source_identity,
            },
        };
        let key = AccessKey {
            id: key_id.to_owned(),
            secret: Secret::new(record.secret),
            account: self.account.clone(),
            enabled: true,
            holder: Holder::Root,
            session: Some(Arc::new(session)),
        };
        Ok(Opened { key, role })
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
    young: HashMap<SessionName, Arc<Opened>>,
    old: HashMap<SessionName, Arc<Opened>>,
    young_bytes: usize,
}

/// Bytes of tokens of one generation. Opened and read, the policy of a token takes
/// some ten times its length.
const GENERATION_BYTES: usize = 1 << 20;

/// What an entry takes besides.
const ENTRY_BYTES: usize = 512;

impl SessionCache {
    fn get(&self, name: &SessionName) -> Option<Arc<Opened>> {
        let generations = self.0.lock();
        generations.young.get(name).or_else(|| generations.old.get(name)).cloned()
    }

    fn put(&self, name: SessionName, opened: Arc<Opened>, token_bytes: usize) {
        let bytes = token_bytes + ENTRY_BYTES;
        let mut generations = self.0.lock();
        if generations.young_bytes + bytes > GENERATION_BYTES {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
        if generations.young.insert(name, opened).is_none() {
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
        let key = AccessKey {
            id: "AKID".into(),
            secret: Secret::new("secret"),
            account: Arc::new(Account { uin: Uin(1), appid: AppId(1) }),
            enabled: true,
            holder: Holder::Root,
            session: None,
        };
        let opened = Arc::new(Opened { key, role: None });
        let name = |n: usize| SessionName::of("AKID", &n.to_string());
        let count = 10 * GENERATION_BYTES / (400 + ENTRY_BYTES);
        for n in 0..count {
            cache.put(name(n), opened.clone(), 400);
        }
        let generations = cache.0.lock();
        let kept = generations.young.len() + generations.old.len();
        assert!(kept * (400 + ENTRY_BYTES) <= 2 * GENERATION_BYTES, "{kept}");
        drop(generations);
        assert!(cache.get(&name(count - 1)).is_some());
        assert!(cache.get(&name(0)).is_none());
    }
}
