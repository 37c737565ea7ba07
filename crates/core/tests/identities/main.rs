//! Shows that users, their keys and policies change together, at once where they are
//! changed and within a second at another gateway, on the memory engine.

#[path = "../common/faulty.rs"]
mod faulty;
mod pages;
mod policies;
mod roles;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::account::{Accounts, FixedIdentity, KeyError, KeyPair, Labels};
use costrel_core::engine::Engine;
use costrel_core::env::{Clock, Entropy};
use costrel_core::secret::MasterKey;
use costrel_testkit::MemoryEngine;
use rand::RngCore;

struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

const ALL: &[u8] =
    br#"{"version": "2.0", "statement": [{"effect": "allow", "action": "*", "resource": "*"}]}"#;

const READS: &[u8] = br#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Action": "s3:GetObject", "Resource": "*"}}"#;

const TRUST: &[u8] = br#"{"version": "2.0", "statement": [{"effect": "allow",
    "action": "name/sts:AssumeRole", "principal": {"qcs": "qcs::cam::uin/100000000001:root"}}]}"#;

/// Two gateways on one store.
async fn gateways() -> (Accounts, Accounts, Arc<Hands>) {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let clock = Arc::new(Hands(AtomicU64::new(1_700_000_000_000)));
    (opened(engine.clone(), &clock).await, opened(engine, &clock).await, clock)
}

async fn opened(engine: Arc<dyn Engine>, clock: &Arc<Hands>) -> Accounts {
    let fixed = FixedIdentity {
        root_key: Some(KeyPair::new("AKIDroot", "root-secret").unwrap()),
        ..FixedIdentity::default()
    };
    let (key, entropy) = (MasterKey::new(&[1; 32]), Arc::new(Random));
    Accounts::open(engine, key, entropy, clock.clone(), fixed).await.unwrap().0
}

async fn is_known(accounts: &Accounts, id: &str) -> bool {
    match accounts.find(id, None).await {
        Ok(_) => true,
        Err(KeyError::Unknown) => false,
        Err(error) => panic!("{error}"),
    }
}

/// How many of his policies count for the user whose key it is.
async fn policies_in_force(accounts: &Accounts, pair: &KeyPair) -> usize {
    let key = accounts.find(pair.id(), None).await.unwrap();
    key.user().unwrap().in_force.policies.len()
}

fn labels(path: &str, tags: &[(&str, &str)]) -> Labels {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Labels { path: path.to_owned(), tags: tags.iter().map(owned).collect() }
}
