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
//! Replacing the root key follows the same order. Sub-users and what belongs to them
//! have rows of their own (`rows.rs`).

mod cache;
mod groups;
mod holders;
mod identity;
mod labels;
mod lists;
mod managed;
mod presets;
mod providers;
mod roles;
mod rows;
mod session;
mod texts;
mod users;
mod uses;
mod versions;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use costrel_policy::PolicyFault;
use parking_lot::Mutex;
use prost::Message;

use crate::engine::{
    Commit, CommitError, Engine, EngineError, Expect, Partition, RowRef, ScanRange, Step, Table,
    Tallies, Write,
};
use crate::env::{Clock, Entropy};
use crate::error::{Error, Result};
use crate::secret::MasterKey;

pub use cache::KEY_CACHE_MS;
pub use groups::{GROUPS_MAX, Group};
pub use holders::{
    ATTACHED_MAX, InAccount, InForce, InlinePolicy, NewHolder, Origin, PolicyHolder, PolicyUses,
};
pub use identity::{AccessKey, Account, AppId, Holder, InvalidIdentity, KeyPair, Uin};
pub use labels::{Labelled, Labels};
pub use lists::{HolderEntry, NamedPage};
pub use managed::ManagedPolicy;
pub use providers::{Provider, ProviderChanges};
pub use roles::{ROLE_SESSION_S_MAX, Role, RoleChanges};
pub use session::{
    GrantError, Session, SessionKind, SessionRequest, SessionTags, TOKEN_BYTES_MAX, TemporaryKey,
    Whose,
};
pub use users::{KeyInfo, USER_KEYS_MAX, User, UserDetails};
pub use uses::{LastUse, USE_WRITTEN_MS, UsedFor};
pub use versions::{PolicyVersion, VERSIONS_MAX};

use cache::Cache;
use holders::Counted;
use identity::{KEY_ID_LEN_MAX, random_below};
use session::SessionCache;
use texts::Texts;
use uses::Uses;

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
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    account: Arc<Account>,
    created_ms: u64,
    cache: Cache<AccessKey>,
    roles: Cache<Role>,
    counted: Counted,
    texts: Texts,
    sessions: SessionCache,
    uses: Uses,
}

/// Why users, keys and policies are not changed or shown.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("a user's name has 1 to {len_max} letters, digits and +=,.@_-")]
    UserName { len_max: usize },
    #[error("a policy's name has 1 to {len_max} letters, digits and +=,.@_-")]
    PolicyName { len_max: usize },
    #[error("remarks and descriptions have {max} bytes at most")]
    TextTooLong { max: usize },
    #[error("there is a user of this name")]
    UserExists,
    #[error("there is no such user")]
    NoSuchUser,
    #[error("the user has keys, policies or groups")]
    UserInUse,
    #[error("a user has {max} keys at most")]
    TooManyKeys { max: usize },
    #[error("the user has no such key")]
    NoSuchKey,
    #[error("there is a policy of this name")]
    PolicyExists,
    #[error("there is no such policy")]
    NoSuchPolicy,
    #[error("{max} policies at most can be attached")]
    TooManyPolicies { max: usize },
    #[error("policies of a single holder have {max} bytes at most together")]
    TooMuchInline { max: usize },
    #[error("the policy is not attached")]
    NotAttached,
    #[error("a group's name has 1 to {len_max} letters, digits and +=,.@_-")]
    GroupName { len_max: usize },
    #[error("there is a group of this name")]
    GroupExists,
    #[error("there is no such group")]
    NoSuchGroup,
    #[error("the group has members or policies")]
    GroupInUse,
    #[error("a user is in {max} groups at most")]
    TooManyGroups { max: usize },
    #[error("the user is not in this group")]
    NotMember,
    #[error("a role's name has 1 to {len_max} letters, digits and +=,.@_-")]
    RoleName { len_max: usize },
    #[error("there is a role of this name")]
    RoleExists,
    #[error("there is no such role")]
    NoSuchRole,
    #[error("the role has policies")]
    RoleInUse,
    #[error("a role can be had for 1 to {max} seconds at a time")]
    RoleDuration { max: u64 },
    #[error("a path begins and ends with a slash and has {max} visible ASCII characters at most")]
    Path { max: usize },
    #[error("a tag's key has 1 to 128 characters, its value 256 at most")]
    Tag,
    #[error("there are {max} tags at most")]
    TooManyTags { max: usize },
    #[error("a policy has {max} versions at most")]
    TooManyVersions { max: usize },
    #[error("the policy has no such version")]
    NoSuchVersion,
    #[error("the version is the policy's default")]
    DefaultVersion,
    #[error("the policy is there from the beginning, and stays as it is")]
    PresetPolicy,
    #[error("there is no permissions boundary")]
    NoBoundary,
    #[error("an identity provider's URL begins with https://, or is one of this machine")]
    ProviderUrl,
    #[error("an identity provider's name has 1 to {len_max} letters, digits and +=,.@_-")]
    ProviderName { len_max: usize },
    #[error("a client's id has 1 to {max} bytes")]
    ProviderClient { max: usize },
    #[error("there are {max} thumbprints at most, of 40 hexadecimal digits each")]
    Thumbprints { max: usize },
    #[error("there is an identity provider of this URL or name")]
    ProviderExists,
    #[error("there is no such identity provider")]
    NoSuchProvider,
    #[error("an identity provider's keys have {max} bytes at most")]
    ProviderKeys { max: usize },
    #[error("an account has {max} identity providers at most")]
    TooManyProviders { max: usize },
    #[error("an identity provider has {max} clients at most")]
    TooManyClients { max: usize },
    #[error(transparent)]
    Policy(#[from] PolicyFault),
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why nobody is found by a key id and a token.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such key, or it is disabled.
    #[error("unknown access key")]
    Unknown,
    /// The token was not made for this key, was changed on the way, or ended with the
    /// key that asked for it.
    #[error("unknown security token")]
    UnknownToken,
    #[error("the security token has expired")]
    ExpiredToken,
    #[error(transparent)]
    Store(#[from] Error),
}

impl Accounts {
    /// Opens the installation's account, making it at the first start. Safe to
    /// repeat after a crash at any point; of several gateways that make the first
    /// start at once, one decides the identity.
    pub async fn open(
        engine: Arc<dyn Engine>,
        master_key: MasterKey,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
        fixed: FixedIdentity,
    ) -> Result<(Accounts, Option<FirstStart>), OpenError> {
        let opening = Opening {
            engine: &*engine,
            master_key: &master_key,
            entropy: &*entropy,
            clock: &*clock,
        };
        let (row, first) = match opening.read_account().await? {
            Some(row) => (row, None),
            None => opening.create(&fixed).await?,
        };
        let (account, created_ms) = (account_of(&row), row.created_ms);
        check_fixed("owner uin", account.uin, fixed.uin)?;
        check_fixed("APPID", account.appid, fixed.appid)?;
        let root_key_id = match &fixed.root_key {
            Some(pair) => opening.replace_root_key(row, pair).await?,
            None => opening.check_root_key(row).await?,
        };
        opening.remove_keys_except(&root_key_id).await?;
        let accounts = Accounts {
            engine,
            master_key,
            entropy,
            clock,
            account: Arc::new(account),
            created_ms,
            cache: Cache::default(),
            roles: Cache::default(),
            counted: Counted::default(),
            texts: Texts::default(),
            sessions: SessionCache::default(),
            uses: Uses::default(),
        };
        Ok((accounts, first))
    }

    /// The account that owns what the root key makes.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// When the account was made, in milliseconds since the Unix epoch.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// The key that a request is signed with, by its id and, if it is temporary, by
    /// the token that came with it.
    pub async fn find(
        &self,
        key_id: &str,
        token: Option<&str>,
    ) -> Result<Arc<AccessKey>, KeyError> {
        match token {
            Some(token) => self.open_token(key_id, token).await,
            None => {
                let key = self.lookup(key_id).await?;
                key.filter(|key| key.enabled).ok_or(KeyError::Unknown)
            }
        }
    }

    /// The permanent key with this id, or none. A change made through another gateway is
    /// seen within [`KEY_CACHE_MS`].
    pub async fn lookup(&self, key_id: &str) -> Result<Option<Arc<AccessKey>>> {
        let now_ms = self.clock.now_ms();
        if let Some(key) = self.cache.get(key_id, now_ms) {
            return Ok(Some(key));
        }
        if key_id.is_empty() || key_id.len() > KEY_ID_LEN_MAX {
            return Ok(None);
        }
        let key = match read_key(&*self.engine, key_id).await? {
            Some(row) => self.root_key(key_id, row)?,
            None => self.user_key(key_id).await?,
        };
        let Some(key) = key.map(Arc::new) else { return Ok(None) };
        self.cache.put(key_id, key.clone(), key.policy_bytes(), now_ms);
        Ok(Some(key))
    }

    fn root_key(&self, key_id: &str, row: AccessKeyRow) -> Result<Option<AccessKey>> {
        if row.account_uin != self.account.uin.0 {
            return Ok(None);
        }
        let secret = self
            .master_key
            .unseal(&row.sealed_secret, &seal_context(key_id))
            .map_err(|error| Error::Damaged(format!("access key {key_id}: {error}")))?;
        Ok(Some(AccessKey {
            id: key_id.to_owned(),
            secret,
            account: self.account.clone(),
            enabled: !row.disabled,
            holder: Holder::Root,
            session: None,
        }))
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
            let commit = Commit::new(partition, group, vec![], writes);
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
            tallies: Tallies::default(),
        };
        self.engine.index().commit(commit).await.map_err(commit_failed)
    }

    async fn commit_account(&self, row: &AccountRow, expect: Expect) -> Result<(), CommitError> {
        let commit = Commit {
            partition: Partition::System,
            group: Bytes::from_static(ACCOUNT_GROUP),
            expects: vec![expect],
            writes: vec![Write::Put(RowRef::only(Table::Installation), row.encode_to_vec().into())],
            tallies: Tallies::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
