//! Looking identities up among many users, each of whom has a key, a policy of his own
//! and one of his group's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::account::{Accounts, FixedIdentity, KEY_CACHE_MS, PolicyHolder, UserDetails};
use costrel_core::env::Clock;
use costrel_core::secret::MasterKey;
use costrel_policy::Grammar;

use crate::{Machine, cpu, open, spread};

/// So many that the writers at work at the same time have one each.
const GROUPS: u64 = 100;
const LOOKUPS: u64 = 20_000;
const PAGES: u64 = 500;

/// What each user may do, and each group.
const POLICY: &[u8] = br#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::home/*"}]}"#;

/// A clock that is set forward by hand, so that what is remembered for a second can be
/// forgotten at once.
struct Steps(AtomicU64);

impl Clock for Steps {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn name(n: u64) -> String {
    format!("user-{n:07}")
}

/// Makes users if there are none, then looks them up.
pub async fn users(dir: PathBuf, users: u64) {
    let (engine, _store) = open(dir);
    let (master, machine) = (MasterKey::new(&[7; 32]), Arc::new(Machine));
    let clock = Arc::new(Steps(machine.now_ms().into()));
    let opened =
        Accounts::open(engine, master, machine, clock.clone(), FixedIdentity::default()).await;
    let accounts = Arc::new(opened.expect("the account").0);
    if accounts.users_by_name("", 1, |_| true).await.expect("a page").0.is_empty() {
        make(&accounts, users).await;
    }

    let mut random = Vec::with_capacity(LOOKUPS as usize);
    let mut keys = Vec::with_capacity(LOOKUPS as usize);
    for _ in 0..LOOKUPS {
        let name = name(rand::random_range(0..users));
        let user = accounts.user_named(&name).await.expect("a user");
        keys.push(accounts.keys(user.uin).await.expect("his keys").remove(0).id);
        random.push(name);
    }
    measure("an identity by its key, remembered", LOOKUPS, async |_| {
        let key = accounts.find(&keys[0], None).await.expect("the key");
        assert_eq!(key.policies().len(), 2);
    })
    .await;
    // Of a thousand users, each would come twenty times within that second.
    measure("an identity by its key", LOOKUPS, async |n| {
        clock.0.fetch_add(KEY_CACHE_MS, Ordering::Relaxed);
        let key = accounts.find(&keys[n as usize], None).await.expect("the key");
        assert_eq!(key.policies().len(), 2);
    })
    .await;
    measure("a key that is not there", LOOKUPS, async |n| {
        let absent = format!("AKIDabsent{n}");
        assert!(accounts.find(&absent, None).await.is_err());
    })
    .await;
    measure("a user by his name", LOOKUPS, async |n| {
        accounts.user_named(&random[n as usize]).await.expect("the user");
    })
    .await;
    measure("a page of 100 users", PAGES, async |n| {
        let after = &random[n as usize];
        accounts.users_by_name(after, 100, |_| true).await.expect("a page");
    })
    .await;
}

async fn make(accounts: &Arc<Accounts>, users: u64) {
    let mut groups = Vec::new();
    for n in 0..GROUPS {
        let group = accounts.create_group(&format!("group-{n}"), "").await.expect("a group");
        let (holder, policy) = (PolicyHolder::Group(group.id), (Grammar::Iam, POLICY));
        accounts.put_inline_policy(holder, "home", policy).await.expect("a policy");
        groups.push(group.id);
    }
    let spent = cpu();
    let (making, groups) = (accounts.clone(), Arc::new(groups));
    spread(users, move |n| {
        let (accounts, groups) = (making.clone(), groups.clone());
        async move {
            let user = accounts.add_user(&name(n), UserDetails::default()).await;
            let uin = user.expect("a user").uin;
            let policy = (Grammar::Iam, POLICY);
            accounts.put_inline_policy(uin, "home", policy).await.expect("a policy");
            accounts.add_to_group(uin, groups[(n % GROUPS) as usize]).await.expect("a member");
            accounts.create_key(uin, "").await.expect("a key");
        }
    })
    .await;
    let each = (cpu() - spent).as_secs_f64() * 1e6 / users as f64;
    println!("{users} users with keys, policies and groups: {each:.0} µs CPU each");
}

async fn measure(what: &str, count: u64, work: impl AsyncFn(u64)) {
    let spent = cpu();
    for n in 0..count {
        work(n).await;
    }
    let each = (cpu() - spent).as_secs_f64() * 1e6 / count as f64;
    println!("{what}: {each:.2} µs CPU each");
}
