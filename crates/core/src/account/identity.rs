//! What names an account and its keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use costrel_policy::Policy;

use super::holders::InForce;
use super::roles::Role;
use super::session::Session;
use super::users::User;
use crate::env::Entropy;
use crate::secret::Secret;

/// Account number of an owner, always 12 digits; S3 clients see it as the
/// account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uin(pub(super) u64);

/// Decimal number at the end of COS bucket names, 1 to 19 digits, not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(pub(super) u64);

/// Why a text is not an identity. The text itself is not repeated: it may be a
/// secret in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidIdentity(&'static str);

fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

impl FromStr for Uin {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        match decimal(text) {
            Some(number) if text.len() == 12 => Ok(Uin(number)),
            _ => Err(InvalidIdentity("an owner uin has exactly 12 digits")),
        }
    }
}

impl fmt::Display for Uin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl Uin {
    pub fn get(self) -> u64 {
        self.0
    }
}

impl AppId {
    pub fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for AppId {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        match decimal(text) {
            Some(number) if number > 0 && text.len() <= 19 && !text.starts_with('0') => {
                Ok(AppId(number))
            }
            _ => Err(InvalidIdentity("an APPID is a decimal number without leading zeros")),
        }
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Owner of buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub uin: Uin,
    pub appid: AppId,
}

/// In whose name a key signs.
#[derive(Clone, Debug)]
pub enum Holder {
    /// The account's own.
    Root,
    User(Arc<User>),
    /// Whoever has taken on the role.
    Role(Arc<Role>),
}

impl Holder {
    /// What policies say of him; nothing of the root.
    pub fn in_force(&self) -> Option<&InForce> {
        match self {
            Holder::Root => None,
            Holder::User(user) => Some(&user.in_force),
            Holder::Role(role) => Some(&role.in_force),
        }
    }

    /// His permissions boundary, where it counts; none of the root.
    pub fn limits(&self) -> Option<&InForce> {
        match self {
            Holder::Root => None,
            Holder::User(user) => Some(&user.limits),
            Holder::Role(role) => Some(&role.limits),
        }
    }
}

/// A key that signs requests of an account.
#[derive(Clone, Debug)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
    pub account: Arc<Account>,
    /// Requests signed with a disabled key are refused.
    pub enabled: bool,
    pub holder: Holder,
    /// What a temporary key is limited to; a permanent one has no limits of its own.
    pub session: Option<Arc<Session>>,
}

impl AccessKey {
    /// A key for somebody who need not have one, to judge what he might do. It signs
    /// nothing.
    pub fn supposed(account: Arc<Account>, holder: Holder) -> AccessKey {
        let (id, secret) = (String::new(), Secret::new(""));
        AccessKey { id, secret, account, enabled: true, holder, session: None }
    }

    pub fn is_root(&self) -> bool {
        matches!(self.holder, Holder::Root)
    }

    pub fn user(&self) -> Option<&User> {
        match &self.holder {
            Holder::User(user) => Some(user),
            Holder::Root | Holder::Role(_) => None,
        }
    }

    pub fn role(&self) -> Option<&Role> {
        match &self.holder {
            Holder::Role(role) => Some(role),
            Holder::Root | Holder::User(_) => None,
        }
    }

    /// A tag that policies know him by, by its name in any case: of a role's key, else of
    /// the user or the role.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let of_session = self.session.as_ref().and_then(|session| session.said.tag(name));
        let of_holder = || match &self.holder {
            Holder::Root => None,
            Holder::User(user) => user.labels.tag(name),
            Holder::Role(role) => role.labels.tag(name),
        };
        of_session.or_else(of_holder)
    }

    /// The user's number, or the account's.
    pub fn uin(&self) -> Uin {
        self.user().map_or(self.account.uin, |user| user.uin)
    }

    /// What the user or the role may do. The root needs no policies.
    pub fn policies(&self) -> &[Arc<Policy>] {
        self.holder.in_force().map_or(&[], |in_force| &in_force.policies)
    }

    /// What the user or the role may do at most, whatever his policies say.
    pub fn limits(&self) -> &[Arc<Policy>] {
        self.holder.limits().map_or(&[], |limits| &limits.policies)
    }

    pub(super) fn policy_bytes(&self) -> usize {
        let bytes = |said: Option<&InForce>| said.map_or(0, |said| said.bytes);
        bytes(self.holder.in_force()) + bytes(self.holder.limits())
    }
}

/// A key id and its secret, checked for shape: the id has 3 to 128 letters,
/// digits, `-`, `_` or `.`, the secret 8 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub(super) id: String,
    pub(super) secret: Secret,
}

pub(super) const KEY_ID_LEN_MAX: usize = 128;

impl KeyPair {
    pub fn new(id: &str, secret: &str) -> Result<Self, InvalidIdentity> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(3..=KEY_ID_LEN_MAX).contains(&id.len()) || !id.bytes().all(plain) {
            return Err(InvalidIdentity(
                "a secret id has 3 to 128 characters out of letters, digits, '-', '_' and '.'",
            ));
        }
        if !(8..=128).contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidIdentity("a secret key has 8 to 128 visible ASCII characters"));
        }
        Ok(KeyPair { id: id.to_owned(), secret: Secret::new(secret) })
    }

    /// A fresh pair as Tencent Cloud's look: `AKID` and 32 characters, and a
    /// secret of 32 (190 random bits).
    pub(super) fn generate(entropy: &dyn Entropy) -> Self {
        KeyPair {
            id: format!("AKID{}", random_letters(32, entropy)),
            secret: Secret::new(random_letters(32, entropy)),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// A number below `count`, each equally likely.
pub(super) fn random_below(count: u64, entropy: &dyn Entropy) -> u64 {
    let whole = u64::MAX - u64::MAX % count;
    loop {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        let number = u64::from_le_bytes(bytes);
        if number < whole {
            return number % count;
        }
    }
}

fn random_letters(len: usize, entropy: &dyn Entropy) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..len).map(|_| char::from(LETTERS[random_below(62, entropy) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_one_shape() {
        assert_eq!("100000000001".parse::<Uin>().unwrap().to_string(), "100000000001");
        assert_eq!("012345678901".parse::<Uin>().unwrap().to_string(), "012345678901");
        for bad in ["", "1", "10000000000a", "1000000000011", "+10000000001"] {
            assert!(bad.parse::<Uin>().is_err(), "{bad}");
        }
        assert_eq!("1250000000".parse::<AppId>().unwrap().get(), 1_250_000_000);
        for bad in ["", "0", "01", "+5", "x", "99999999999999999999"] {
            assert!(bad.parse::<AppId>().is_err(), "{bad}");
        }
        assert!(KeyPair::new("AKIDx", "12345678").is_ok());
        for (id, secret) in [("ab", "12345678"), ("AK/D", "12345678"), ("AKID", "1234567")] {
            assert!(KeyPair::new(id, secret).is_err(), "{id} {secret}");
        }
    }
}
