//! A small bounded cache of derived signing keys.
//!
//! Deriving a SigV4 key costs four HMACs, several times the rest of a
//! verification, and is the same for every request of a key's day. Keys enter
//! the cache only after a signature made with them was found valid, so requests
//! without the secret can't push out keys that are in use.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::crypto::SigningKey;
use crate::secret::Secret;

const SHARDS: usize = 16;

/// Derived keys by key id, secret and scope. Bounded: at most `capacity` keys
/// rounded up to a multiple of 16, about 500 bytes each plus the key id's
/// length.
pub struct KeyCache {
    shards: Box<[Mutex<Shard>]>,
    ways: usize,
    hasher: RandomState,
}

/// One set of the cache, replaced by the clock rule.
#[derive(Default)]
struct Shard {
    entries: Vec<Entry>,
    hand: usize,
}

struct Entry {
    hash: u64,
    fingerprint: u64,
    name: Box<[Box<str>]>,
    key: Arc<SigningKey>,
    used: bool,
}

/// What a derived key was derived from.
#[derive(Clone, Copy)]
pub(crate) struct KeyName<'a> {
    pub secret: &'a Secret,
    /// Key id, then what went into the derivation.
    pub parts: &'a [&'a str],
}

impl Default for KeyCache {
    fn default() -> Self {
        KeyCache::new(256)
    }
}

impl KeyCache {
    /// A cache of about `capacity` keys; zero keeps nothing.
    pub fn new(capacity: usize) -> Self {
        KeyCache {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            ways: capacity.div_ceil(SHARDS),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn get(&self, name: KeyName<'_>) -> Option<Arc<SigningKey>> {
        if self.ways == 0 {
            return None;
        }
        let hash = self.hash(name);
        let mut shard = self.shard(hash).lock();
        let entry = shard.entries.iter_mut().find(|entry| entry.is(hash, name))?;
        entry.used = true;
        Some(Arc::clone(&entry.key))
    }

    pub(crate) fn insert(&self, name: KeyName<'_>, key: &Arc<SigningKey>) {
        if self.ways == 0 {
            return;
        }
        let hash = self.hash(name);
        let entry = Entry {
            hash,
            fingerprint: name.secret.fingerprint(),
            name: name.parts.iter().map(|&part| part.into()).collect(),
            key: Arc::clone(key),
            used: false,
        };
        let mut shard = self.shard(hash).lock();
        let shard = &mut *shard;
        if shard.entries.iter().any(|entry| entry.is(hash, name)) {
            return;
        }
        if shard.entries.len() < self.ways {
            shard.entries.push(entry);
            return;
        }
        while std::mem::take(&mut shard.entries[shard.hand].used) {
            shard.hand = (shard.hand + 1) % self.ways;
        }
        shard.entries[shard.hand] = entry;
        shard.hand = (shard.hand + 1) % self.ways;
    }

    fn hash(&self, name: KeyName<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(name.secret.fingerprint());
        for part in name.parts {
            hasher.write(part.as_bytes());
        }
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[hash as usize % SHARDS]
    }
}

impl Entry {
    fn is(&self, hash: u64, name: KeyName<'_>) -> bool {
        self.hash == hash
            && self.fingerprint == name.secret.fingerprint()
            && self.name.iter().map(|part| part.as_ref()).eq(name.parts.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hmac_sha1_key;

    #[test]
    fn keys_are_found_by_everything_they_were_made_from() {
        let cache = KeyCache::new(64);
        let (one, two) = (Secret::new("one"), Secret::new("two"));
        let key = Arc::new(hmac_sha1_key(b"k"));
        let name = KeyName { secret: &one, parts: &["AK", "20130524", "r", "s3"] };
        assert!(cache.get(name).is_none());
        cache.insert(name, &key);
        assert!(cache.get(name).is_some());
        assert!(cache.get(KeyName { secret: &two, ..name }).is_none());
        // The same letters in other parts are another name.
        assert!(cache.get(KeyName { parts: &["AK2", "0130524", "r", "s3"], ..name }).is_none());
        assert!(cache.get(KeyName { parts: &["AK", "20130524", "r"], ..name }).is_none());
    }

    #[test]
    fn it_stays_within_its_capacity_and_keeps_what_is_used() {
        let cache = KeyCache::new(32);
        let secret = Secret::new("s");
        let key = Arc::new(hmac_sha1_key(b"k"));
        let hot = KeyName { secret: &secret, parts: &["hot"] };
        cache.insert(hot, &key);
        for round in 0..5_000 {
            assert!(cache.get(hot).is_some(), "evicted while in use, round {round}");
            let cold = round.to_string();
            cache.insert(KeyName { secret: &secret, parts: &[&cold] }, &key);
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().entries.len()).sum();
        assert!(kept <= 32, "{kept} keys kept");
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let cache = KeyCache::new(0);
        let secret = Secret::new("s");
        let name = KeyName { secret: &secret, parts: &["x"] };
        cache.insert(name, &Arc::new(hmac_sha1_key(b"k")));
        assert!(cache.get(name).is_none());
    }
}
