//! The account of an installation and the keys that sign in its name.
//!
//! Rows, all in the system partition:
//!
//! | table | group | suffix | value |
//! |---|---|---|---|
//! | `Installation` | `account` | empty | [`AccountRow`] |
//! | `AccessKey` | the key id | empty | [`AccessKeyRow`] |
//!
//! The account's row names its root key. At first start the key's row is written
//! first and the account's row, under [`Expect::Absent`], is the commit point:
//! of several gateways starting at once one wins, and the others (like a start
//! after a crash between the two commits) remove the keys nobody was told of.
//! Replacing the root key follows the same order.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use prost::Message;

use crate::engine::{
    Commit, CommitError, Engine, EngineError, Expect, Partition, RowRef, ScanRange, Step, Table,
    Write,
};
use crate::env::{Clock, Entropy};
use crate::error::{Error, Result};
use crate::secret::{MasterKey, Secret};

/// Account number of an owner, always 12 digits; S3 clients see it as the
/// account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uin(u64);

/// Decimal number at the end of COS bucket names, 1 to 19 digits, not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(u64);

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

/// A key that signs requests of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
    pub account: Arc<Account>,
    /// Requests signed with a disabled key are refused.
    pub enabled: bool,
}

/// A key id and its secret, checked for shape: the id has 3 to 128 letters,
/// digits, `-`, `_` or `.`, the secret 8 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    id: String,
    secret: Secret,
}

const KEY_ID_LEN_MAX: usize = 128;

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
    fn generate(entropy: &dyn Entropy) -> Self {
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

/// What the operator fixed by configuration instead of leaving it to chance.
#[derive(Clone, Debug, Default)]
pub struct FixedIdentity {
    pub uin: Option<Uin>,
    pub appid: Option<AppId>,
    /// Replaces whatever root key the installation has.
    pub root_key: Option<KeyPair>,
}

/// What a first start made up and must be shown to the operator, once. A root
/// key that was given is not part of it.
#[derive(Clone, Debug)]
pub struct FirstStart {
    pub root_key: KeyPair,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Buckets belong to the stored account, so it is not changed quietly.
    #[error("this installation's {what} is {stored}, the configuration says {configured}")]
    IdentityDiffers { what: &'static str, stored: String, configured: String },
    #[error(
        "the stored root key does not open under this master key; restore the master key, \
         or set a root key by configuration to replace it"
    )]
    WrongMasterKey,
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<EngineError> for OpenError {
    fn from(error: EngineError) -> Self {
        OpenError::Store(error.into())
    }
}

/// The account as stored; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
struct AccountRow {
    #[prost(uint64, tag = "1")]
    uin: u64,
    #[prost(uint64, tag = "2")]
    appid: u64,
    #[prost(string, tag = "3")]
    root_key_id: String,
    #[prost(uint64, tag = "4")]
    created_ms: u64,
}

/// An access key as stored; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
struct AccessKeyRow {
    #[prost(uint64, tag = "1")]
    account_uin: u64,
    /// [`MasterKey::seal`] in the context [`seal_context`].
    #[prost(bytes = "bytes", tag = "2")]
    sealed_secret: Bytes,
    #[prost(bool, tag = "3")]
    disabled: bool,
    #[prost(uint64, tag = "4")]
    created_ms: u64,
}

const ACCOUNT_GROUP: &[u8] = b"account";

fn seal_context(key_id: &str) -> Vec<u8> {
    [b"access-key:", key_id.as_bytes()].concat()
}

/// The account and its keys, opened.
pub struct Accounts {
    engine: Arc<dyn Engine>,
    master_key: MasterKey,
    clock: Arc<dyn Clock>,
    account: Arc<Account>,
    cache: KeyCache,
}

impl Accounts {
    /// Opens the installation's account, making it at the first start. Safe to
    /// repeat after a crash at any point; of several gateways that make the first
    /// start at once, one decides the identity.
    pub async fn open(
        engine: Arc<dyn Engine>,
        master_key: MasterKey,
        entropy: &dyn Entropy,
        clock: Arc<dyn Clock>,
        fixed: FixedIdentity,
    ) -> Result<(Accounts, Option<FirstStart>), OpenError> {
        let opening =
            Opening { engine: &*engine, master_key: &master_key, entropy, clock: &*clock };
        let (row, first) = match opening.read_account().await? {
            Some(row) => (row, None),
            None => opening.create(&fixed).await?,
        };
        let account = account_of(&row);
        check_fixed("owner uin", account.uin, fixed.uin)?;
        check_fixed("APPID", account.appid, fixed.appid)?;
        let root_key_id = match &fixed.root_key {
            Some(pair) => opening.replace_root_key(row, pair).await?,
            None => opening.check_root_key(row).await?,
        };
        opening.remove_keys_except(&root_key_id).await?;
        let cache = KeyCache::default();
        Ok((Accounts { engine, master_key, clock, account: Arc::new(account), cache }, first))
    }

    /// The account that owns what the root key makes.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The key with this id, or none. A change made through another gateway is
    /// seen within [`KEY_CACHE_MS`].
    pub async fn lookup(&self, key_id: &str) -> Result<Option<Arc<AccessKey>>> {
        let now_ms = self.clock.now_ms();
        if let Some(key) = self.cache.get(key_id, now_ms) {
            return Ok(Some(key));
        }
        if key_id.is_empty() || key_id.len() > KEY_ID_LEN_MAX {
            return Ok(None);
        }
        let Some(row) = read_key(&*self.engine, key_id).await? else { return Ok(None) };
        if row.account_uin != self.account.uin.0 {
            return Ok(None);
        }
        let secret = self
            .master_key
            .unseal(&row.sealed_secret, &seal_context(key_id))
            .map_err(|error| Error::Damaged(format!("access key {key_id}: {error}")))?;
        let key = Arc::new(AccessKey {
            id: key_id.to_owned(),
            secret,
            account: self.account.clone(),
            enabled: !row.disabled,
        });
        self.cache.put(key.clone(), now_ms);
        Ok(Some(key))
    }
}

/// The account of an installation that has been started, and when it was made.
pub(crate) async fn read_account(engine: &dyn Engine) -> Result<Option<(Account, u64)>> {
    let row = read_account_row(engine).await?;
    Ok(row.map(|row| (account_of(&row), row.created_ms)))
}

async fn read_account_row(engine: &dyn Engine) -> Result<Option<AccountRow>> {
    let row = RowRef::only(Table::Installation);
    let rows = engine.index().read(Partition::System, ACCOUNT_GROUP, &[row]).await?;
    match rows.into_iter().next().flatten() {
        Some(bytes) => AccountRow::decode(bytes)
            .map(Some)
            .map_err(|error| Error::Damaged(format!("account row: {error}"))),
        None => Ok(None),
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("account", &self.account).finish_non_exhaustive()
    }
}

/// The work of [`Accounts::open`].
struct Opening<'a> {
    engine: &'a dyn Engine,
    master_key: &'a MasterKey,
    entropy: &'a dyn Entropy,
    clock: &'a dyn Clock,
}

impl Opening<'_> {
    async fn read_account(&self) -> Result<Option<AccountRow>> {
        read_account_row(self.engine).await
    }

    async fn create(
        &self,
        fixed: &FixedIdentity,
    ) -> Result<(AccountRow, Option<FirstStart>), OpenError> {
        let first_start = match &fixed.root_key {
            Some(_) => None,
            None => Some(FirstStart { root_key: KeyPair::generate(self.entropy) }),
        };
        let pair = first_start.as_ref().map(|first| &first.root_key).or(fixed.root_key.as_ref());
        let pair = pair.expect("a root key is either given or generated");
        // Numbers of the lengths that Tencent Cloud gives out; clients check them.
        let between = |low: u64, count: u64| low + random_below(count, self.entropy);
        let row = AccountRow {
            uin: fixed.uin.map_or_else(|| between(100_000_000_000, 100_000_000_000), |uin| uin.0),
            appid: fixed.appid.map_or_else(|| between(1_250_000_000, 150_000_000), |id| id.0),
            root_key_id: pair.id.clone(),
            created_ms: self.clock.now_ms(),
        };
        self.put_key(row.uin, pair).await?;
        match self.commit_account(&row, Expect::Absent(RowRef::only(Table::Installation))).await {
            Ok(()) => Ok((row, first_start)),
            Err(CommitError::Conflict(_)) => match self.read_account().await? {
                Some(winner) => Ok((winner, None)),
                None => Err(Error::Internal("the account row vanished".into()).into()),
            },
            Err(error) => Err(commit_failed(error).into()),
        }
    }

    /// Makes `pair` the root key, if it is not already. Returns its id.
    async fn replace_root_key(&self, old: AccountRow, pair: &KeyPair) -> Result<String, OpenError> {
        let context = seal_context(&pair.id);
        let stored = read_key(self.engine, &pair.id).await?;
        let current = stored.is_some_and(|row| {
            row.account_uin == old.uin
                && !row.disabled
                && self.master_key.unseal(&row.sealed_secret, &context).as_ref() == Ok(&pair.secret)
        });
        if !current {
            self.put_key(old.uin, pair).await?;
        }
        if old.root_key_id != pair.id {
            let before = Bytes::from(old.encode_to_vec());
            let expect = Expect::Equals(RowRef::only(Table::Installation), before);
            let new = AccountRow { root_key_id: pair.id.clone(), ..old };
            self.commit_account(&new, expect).await.map_err(commit_failed)?;
        }
        Ok(pair.id.clone())
    }

    /// Makes sure that the root key opens. Returns its id.
    async fn check_root_key(&self, row: AccountRow) -> Result<String, OpenError> {
        let id = row.root_key_id;
        let Some(key) = read_key(self.engine, &id).await? else {
            return Err(Error::Damaged(format!("root key {id} has no row")).into());
        };
        match self.master_key.unseal(&key.sealed_secret, &seal_context(&id)) {
            Ok(_) => Ok(id),
            Err(_) => Err(OpenError::WrongMasterKey),
        }
    }

    /// Removes root keys that were replaced or never became one.
    async fn remove_keys_except(&self, root_key_id: &str) -> Result<()> {
        let found = Arc::new(Mutex::new(Vec::new()));
        let visitor = {
            let (found, keep) = (found.clone(), root_key_id.as_bytes().to_vec());
            Box::new(move |group: &[u8], _: &[u8], _: &[u8]| {
                if group != keep {
                    found.lock().push(Bytes::copy_from_slice(group));
                }
                Step::Next
            })
        };
        let (partition, table) = (Partition::System, Table::AccessKey);
        self.engine.index().scan(partition, table, ScanRange::all(), visitor).await?;
        let stale = std::mem::take(&mut *found.lock());
        for group in stale {
            let writes = vec![Write::Delete(RowRef::only(table))];
            let commit = Commit { partition, group, expects: vec![], writes };
            self.engine.index().commit(commit).await.map_err(commit_failed)?;
        }
        Ok(())
    }

    async fn put_key(&self, account_uin: u64, pair: &KeyPair) -> Result<()> {
        let sealed = self.master_key.seal(&pair.secret, &seal_context(&pair.id), self.entropy);
        let row = AccessKeyRow {
            account_uin,
            sealed_secret: sealed.into(),
            disabled: false,
            created_ms: self.clock.now_ms(),
        };
        let commit = Commit {
            partition: Partition::System,
            group: Bytes::copy_from_slice(pair.id.as_bytes()),
            expects: vec![],
            writes: vec![Write::Put(RowRef::only(Table::AccessKey), row.encode_to_vec().into())],
        };
        self.engine.index().commit(commit).await.map_err(commit_failed)
    }

    async fn commit_account(&self, row: &AccountRow, expect: Expect) -> Result<(), CommitError> {
        let commit = Commit {
            partition: Partition::System,
            group: Bytes::from_static(ACCOUNT_GROUP),
            expects: vec![expect],
            writes: vec![Write::Put(RowRef::only(Table::Installation), row.encode_to_vec().into())],
        };
        self.engine.index().commit(commit).await
    }
}

async fn read_key(engine: &dyn Engine, key_id: &str) -> Result<Option<AccessKeyRow>> {
    let row = RowRef::only(Table::AccessKey);
    let rows = engine.index().read(Partition::System, key_id.as_bytes(), &[row]).await?;
    match rows.into_iter().next().flatten() {
        Some(bytes) => AccessKeyRow::decode(bytes)
            .map(Some)
            .map_err(|error| Error::Damaged(format!("access key {key_id}: {error}"))),
        None => Ok(None),
    }
}

fn account_of(row: &AccountRow) -> Account {
    Account { uin: Uin(row.uin), appid: AppId(row.appid) }
}

fn check_fixed<T: PartialEq + fmt::Display>(
    what: &'static str,
    stored: T,
    fixed: Option<T>,
) -> Result<(), OpenError> {
    match fixed {
        Some(fixed) if fixed != stored => Err(OpenError::IdentityDiffers {
            what,
            stored: stored.to_string(),
            configured: fixed.to_string(),
        }),
        _ => Ok(()),
    }
}

fn commit_failed(error: CommitError) -> Error {
    match error {
        CommitError::Engine(error) => error.into(),
        CommitError::Conflict(_) => Error::Internal("the account changed meanwhile".into()),
        CommitError::NoPartition | CommitError::Superseded => {
            Error::Internal("the system partition is missing".into())
        }
    }
}

/// A number below `count`, each equally likely.
fn random_below(count: u64, entropy: &dyn Entropy) -> u64 {
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

/// How long a looked-up key is trusted without asking the engine again, in
/// milliseconds: other gateways may change it.
pub const KEY_CACHE_MS: u64 = 10_000;

/// Keys of one generation of the cache; it holds at most two.
const KEY_CACHE_GENERATION: usize = 4096;

/// Recently used keys in two generations: when the younger is full, the elder is
/// dropped. Bounded, and a hit takes one shared lock.
#[derive(Default)]
struct KeyCache(RwLock<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<String, CachedKey>,
    old: HashMap<String, CachedKey>,
}

#[derive(Clone)]
struct CachedKey {
    key: Arc<AccessKey>,
    loaded_ms: u64,
}

impl KeyCache {
    fn get(&self, key_id: &str, now_ms: u64) -> Option<Arc<AccessKey>> {
        let generations = self.0.read();
        let cached = generations.young.get(key_id).or_else(|| generations.old.get(key_id))?;
        // A clock that went back makes the entry look unloaded yet: ask again.
        let age_ms = now_ms.checked_sub(cached.loaded_ms)?;
        (age_ms < KEY_CACHE_MS).then(|| cached.key.clone())
    }

    fn put(&self, key: Arc<AccessKey>, loaded_ms: u64) {
        let mut generations = self.0.write();
        if generations.young.len() >= KEY_CACHE_GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key.id.clone(), CachedKey { key, loaded_ms });
    }
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

    #[test]
    fn the_cache_is_bounded_and_expires() {
        let account = Arc::new(Account { uin: Uin(1), appid: AppId(1) });
        let cache = KeyCache::default();
        let id = |n: usize| format!("AKID{n}");
        for n in 0..10 * KEY_CACHE_GENERATION {
            let (secret, account) = (Secret::new("s"), account.clone());
            cache.put(Arc::new(AccessKey { id: id(n), secret, account, enabled: true }), 1000);
        }
        let generations = cache.0.read();
        assert!(generations.young.len() + generations.old.len() <= 2 * KEY_CACHE_GENERATION);
        drop(generations);
        let last = id(10 * KEY_CACHE_GENERATION - 1);
        assert!(cache.get(&id(0), 1000).is_none());
        assert!(cache.get(&last, 1000 + KEY_CACHE_MS - 1).is_some());
        assert!(cache.get(&last, 1000 + KEY_CACHE_MS).is_none());
        assert!(cache.get(&last, 999).is_none());
    }

    /// The first stored shapes, which must open for ever.
    #[test]
    fn the_first_row_shapes_open() {
        let row = AccountRow {
            uin: 100_000_000_001,
            appid: 1_250_000_000,
            root_key_id: "AKIDfixture".into(),
            created_ms: 1_700_000_000_000,
        };
        let bytes = hex::decode(ACCOUNT_ROW).unwrap();
        assert_eq!(AccountRow::decode(&bytes[..]).unwrap(), row);
        let key = AccessKeyRow {
            account_uin: 100_000_000_001,
            sealed_secret: Bytes::from_static(&[1, 2, 3]),
            disabled: true,
            created_ms: 1_700_000_000_000,
        };
        let bytes = hex::decode(ACCESS_KEY_ROW).unwrap();
        assert_eq!(AccessKeyRow::decode(&bytes[..]).unwrap(), key);
    }

    const ACCOUNT_ROW: &str = "0881d0dbc3f4021080f985d4041a0b414b4944666978747572652080d095ffbc31";
    const ACCESS_KEY_ROW: &str = "0881d0dbc3f402120301020318012080d095ffbc31";
}
