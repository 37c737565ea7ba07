//! Shows that an installation's identity is made once, survives restarts and
//! crashes between its commits, and obeys the configuration, on the memory
//! engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use costrel_core::account::{
    AccessKey, Accounts, FirstStart, FixedIdentity, GrantError, KEY_CACHE_MS, KeyError, KeyPair,
    OpenError, SessionRequest, TOKEN_BYTES_MAX, TemporaryKey, Whose,
};
use costrel_core::engine::{Commit, Engine, Partition, RowRef, ScanRange, Step, Table, Write};
use costrel_core::env::{Clock, Entropy};
use costrel_core::secret::MasterKey;
use costrel_policy::{Grammar, PolicyFault};
use costrel_testkit::MemoryEngine;

/// Never repeats, and is not random.
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[derive(Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Fixture {
    engine: Arc<dyn Engine>,
    entropy: Arc<Counter>,
    clock: Arc<Hands>,
}

impl Fixture {
    fn new() -> Self {
        Fixture {
            engine: Arc::new(MemoryEngine::new()),
            entropy: Arc::new(Counter(AtomicU64::new(1))),
            clock: Arc::default(),
        }
    }

    async fn open_with(
        &self,
        master: u8,
        fixed: FixedIdentity,
    ) -> Result<(Accounts, Option<FirstStart>), OpenError> {
        let master_key = MasterKey::new(&[master; 32]);
        let (engine, clock) = (self.engine.clone(), self.clock.clone());
        Accounts::open(engine, master_key, self.entropy.clone(), clock, fixed).await
    }

    async fn open(&self, fixed: FixedIdentity) -> (Accounts, Option<FirstStart>) {
        self.open_with(1, fixed).await.unwrap()
    }

    async fn change(&self, group: &str, write: Write) {
        let group = Bytes::copy_from_slice(group.as_bytes());
        let commit = Commit::new(Partition::System, group, vec![], vec![write]);
        self.engine.index().commit(commit).await.unwrap();
    }

    async fn key_ids(&self) -> Vec<String> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let visitor = Box::new(move |group: &[u8], _: &[u8], _: &[u8]| {
            sender.send(String::from_utf8(group.to_vec()).unwrap()).unwrap();
            Step::Next
        });
        let index = self.engine.index();
        index.scan(Partition::System, Table::AccessKey, ScanRange::all(), visitor).await.unwrap();
        receiver.iter().collect()
    }
}

async fn find(accounts: &Accounts, id: &str) -> Option<Arc<AccessKey>> {
    accounts.lookup(id).await.unwrap()
}

fn root_key(id: &str, secret: &str) -> FixedIdentity {
    let root_key = Some(KeyPair::new(id, secret).unwrap());
    FixedIdentity { root_key, ..FixedIdentity::default() }
}

#[tokio::test]
async fn the_first_start_makes_an_identity_and_the_second_keeps_it() {
    let fixture = Fixture::new();
    let (accounts, first) = fixture.open(FixedIdentity::default()).await;
    let pair = first.expect("a first start").root_key;
    assert!(pair.id().starts_with("AKID") && pair.id().len() == 36, "{}", pair.id());
    assert_eq!(pair.secret().expose().len(), 32);
    let account = accounts.account().clone();
    assert_eq!(account.uin.to_string().len(), 12);
    assert_eq!(account.appid.to_string().len(), 10);

    let (again, second) = fixture.open(FixedIdentity::default()).await;
    assert!(second.is_none());
    assert_eq!(*again.account(), account);
    let key = find(&again, pair.id()).await.unwrap();
    assert_eq!(key.secret, *pair.secret());
    assert!(key.enabled);
    assert_eq!(key.account, account);
    assert!(find(&again, "AKIDunknown").await.is_none());
    assert!(find(&again, "").await.is_none());
    assert!(find(&again, &"A".repeat(5000)).await.is_none());
}

#[tokio::test]
async fn a_fixed_identity_is_taken_and_not_reported() {
    let fixture = Fixture::new();
    let fixed = FixedIdentity {
        uin: Some("100000000001".parse().unwrap()),
        appid: Some("1250000000".parse().unwrap()),
        ..root_key("AKIDfixed", "fixed-secret")
    };
    let (accounts, first) = fixture.open(fixed.clone()).await;
    assert!(first.is_none());
    assert_eq!(accounts.account().uin.to_string(), "100000000001");
    assert_eq!(accounts.account().appid.get(), 1_250_000_000);
    assert_eq!(find(&accounts, "AKIDfixed").await.unwrap().secret.expose(), "fixed-secret");

    let other = FixedIdentity { appid: Some("1250000001".parse().unwrap()), ..fixed };
    let error = fixture.open_with(1, other).await.unwrap_err();
    assert!(matches!(error, OpenError::IdentityDiffers { what: "APPID", .. }), "{error}");
}

#[tokio::test]
async fn a_fixed_root_key_replaces_the_former_one_and_stays() {
    let fixture = Fixture::new();
    let (_, first) = fixture.open(FixedIdentity::default()).await;
    let former = first.unwrap().root_key;

    let (accounts, first) = fixture.open(root_key("AKIDfixed", "fixed-secret")).await;
    assert!(first.is_none());
    assert!(find(&accounts, former.id()).await.is_none());
    // The same id with another secret replaces too.
    fixture.open(root_key("AKIDfixed", "other-secret")).await;
    let (accounts, _) = fixture.open(FixedIdentity::default()).await;
    assert_eq!(find(&accounts, "AKIDfixed").await.unwrap().secret.expose(), "other-secret");
    assert_eq!(fixture.key_ids().await, ["AKIDfixed"]);
}

#[tokio::test]
async fn a_start_interrupted_between_its_commits_leaves_no_usable_key() {
    let fixture = Fixture::new();
    let (_, first) = fixture.open(FixedIdentity::default()).await;
    let orphan = first.unwrap().root_key;
    // As if the process had died before the account's row was written.
    fixture.change("account", Write::Delete(RowRef::only(Table::Installation))).await;

    let (accounts, first) = fixture.open(FixedIdentity::default()).await;
    let root = first.expect("no account was there").root_key;
    assert!(find(&accounts, orphan.id()).await.is_none());
    assert_eq!(fixture.key_ids().await, [root.id()]);
}

#[tokio::test]
async fn another_master_key_is_refused_unless_the_root_key_is_given_anew() {
    let fixture = Fixture::new();
    fixture.open_with(1, FixedIdentity::default()).await.unwrap();
    let error = fixture.open_with(2, FixedIdentity::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::WrongMasterKey), "{error}");

    let fixed = root_key("AKIDfixed", "fixed-secret");
    let (accounts, _) = fixture.open_with(2, fixed).await.unwrap();
    assert!(find(&accounts, "AKIDfixed").await.is_some());
}

#[tokio::test]
async fn a_key_removed_elsewhere_is_refused_after_the_cache_time() {
    let fixture = Fixture::new();
    let (accounts, first) = fixture.open(FixedIdentity::default()).await;
    let id = first.unwrap().root_key.id().to_owned();
    assert!(find(&accounts, &id).await.is_some());
    fixture.change(&id, Write::Delete(RowRef::only(Table::AccessKey))).await;
    assert!(find(&accounts, &id).await.is_some(), "served from the cache");
    fixture.clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert!(find(&accounts, &id).await.is_none());
}

#[tokio::test]
async fn a_damaged_key_row_is_an_error_and_not_an_unknown_key() {
    let fixture = Fixture::new();
    let (accounts, first) = fixture.open(FixedIdentity::default()).await;
    let id = first.unwrap().root_key.id().to_owned();
    let garbage = Bytes::from_static(&[0xff; 9]);
    fixture.change(&id, Write::Put(RowRef::only(Table::AccessKey), garbage)).await;
    assert!(accounts.lookup(&id).await.is_err());
}

const ALL: &str =
    r#"{"version": "2.0", "statement": [{"effect": "allow", "action": "*", "resource": "*"}]}"#;

/// What the first root key of an installation gets when it asks for a temporary one.
async fn ask(
    accounts: &Accounts,
    name: &str,
    duration_s: u64,
    policy: &str,
) -> Result<TemporaryKey, GrantError> {
    let root = find(accounts, "AKIDroot").await.unwrap();
    let policy = (Grammar::Cam, policy.as_bytes());
    accounts.grant(
        &root,
        &SessionRequest { name, duration_s, policy: Some(policy), whose: Whose::Federated },
    )
}

async fn opened(accounts: &Accounts, key: &TemporaryKey) -> Result<Arc<AccessKey>, KeyError> {
    accounts.find(key.pair.id(), Some(key.token.expose())).await
}

#[tokio::test]
async fn a_temporary_key_is_good_at_every_gateway_until_its_time() {
    let fixture = Fixture::new();
    fixture.clock.0.store(1_500, Ordering::Relaxed);
    let (one, _) = fixture.open(root_key("AKIDroot", "root-secret")).await;
    let (other, _) = fixture.open(FixedIdentity::default()).await;
    let rows = fixture.key_ids().await;
    let key = ask(&one, "cos-sts-python", 10, ALL).await.unwrap();
    assert_eq!(fixture.key_ids().await, rows, "nothing is stored");
    assert_eq!(key.expires_ms, 11_000);
    assert!(!key.token.expose().contains(key.pair.secret().expose()));
    for accounts in [&one, &other] {
        let found = opened(accounts, &key).await.unwrap();
        assert_eq!((&found.id[..], &found.secret), (key.pair.id(), key.pair.secret()));
        let session = found.session.as_ref().unwrap();
        assert_eq!((&session.name[..], session.policies.len()), ("cos-sts-python", 1));
        assert_eq!((session.issued_ms, session.expires_ms), (1_500, 11_000));
    }
    fixture.clock.0.store(10_999, Ordering::Relaxed);
    opened(&one, &key).await.unwrap();
    fixture.clock.0.store(11_000, Ordering::Relaxed);
    for accounts in [&one, &other] {
        assert!(matches!(opened(accounts, &key).await, Err(KeyError::ExpiredToken)));
    }
}

#[tokio::test]
async fn a_temporary_key_ends_with_the_key_that_asked_for_it() {
    let fixture = Fixture::new();
    let (accounts, _) = fixture.open(root_key("AKIDroot", "root-secret")).await;
    let key = ask(&accounts, "a", 7200, ALL).await.unwrap();
    opened(&accounts, &key).await.unwrap();
    let (replaced, _) = fixture.open(root_key("AKIDnext", "next-secret")).await;
    assert!(matches!(opened(&replaced, &key).await, Err(KeyError::UnknownToken)));
    fixture.clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
    assert!(matches!(opened(&accounts, &key).await, Err(KeyError::UnknownToken)));
}

#[tokio::test]
async fn what_a_temporary_key_may_not_be() {
    let fixture = Fixture::new();
    let (accounts, _) = fixture.open(root_key("AKIDroot", "root-secret")).await;
    for name in ["", "a b", "a:b", "ä", &"a".repeat(65)] {
        assert!(matches!(ask(&accounts, name, 1, ALL).await, Err(GrantError::Name)), "{name}");
    }
    assert!(matches!(ask(&accounts, "a", 0, ALL).await, Err(GrantError::NoDuration)));
    ask(&accounts, "a", 7200, ALL).await.unwrap();
    let long = ask(&accounts, "a", 7201, ALL).await;
    assert!(matches!(long, Err(GrantError::Duration { max: 7200 })));
    for policy in ["", "{}", "null", &ALL.replace("allow", "perhaps")] {
        let refused = ask(&accounts, "a", 1, policy).await;
        assert!(matches!(refused, Err(GrantError::Policy(_))), "{policy}");
    }
    let large = ALL.replace("{\"v", &format!("{{{}\"v", " ".repeat(20 << 10)));
    let refused = ask(&accounts, "a", 1, &large).await;
    assert!(matches!(refused, Err(GrantError::Policy(PolicyFault::TooLarge))));

    // What cannot be packed makes too long a token.
    let resources = |count: usize| {
        let entropy = Counter(AtomicU64::new(7));
        let mut bytes = vec![0; count * 24];
        entropy.fill(&mut bytes);
        let names: Vec<String> = bytes
            .chunks(24)
            .map(|chunk| {
                format!("\"qcs::cos:*:uid/1250000000:b-1250000000/{}*\"", hex::encode(chunk))
            })
            .collect();
        ALL.replace("\"resource\": \"*\"", &format!("\"resource\": [{}]", names.join(", ")))
    };
    let key = ask(&accounts, "a", 1, &resources(80)).await.unwrap();
    assert!(key.token.expose().len() <= TOKEN_BYTES_MAX);
    assert!(matches!(ask(&accounts, "a", 1, &resources(160)).await, Err(GrantError::TooLong)));

    let temporary = opened(&accounts, &key).await.unwrap();
    let policy = (Grammar::Cam, ALL.as_bytes());
    let request =
        SessionRequest { name: "a", duration_s: 1, policy: Some(policy), whose: Whose::Federated };
    let again = accounts.grant(&temporary, &request);
    assert!(matches!(again, Err(GrantError::Temporary)));
}
