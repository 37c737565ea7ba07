//! Keys that were looked up lately.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::AccessKey;

/// How long a looked-up key is trusted without asking the engine again, in
/// milliseconds: other gateways may change it.
pub const KEY_CACHE_MS: u64 = 1000;

/// Keys of one generation of the cache, which holds at most two, and bytes of the
/// policies that come with them. Read, a policy takes several times its text.
const KEY_CACHE_GENERATION: usize = 4096;
const KEY_CACHE_POLICY_BYTES: usize = 4 << 20;

/// Recently used keys in two generations: when the younger is full, the elder is
/// dropped. Bounded, and a hit takes one shared lock.
#[derive(Default)]
pub(super) struct KeyCache(RwLock<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<String, CachedKey>,
    old: HashMap<String, CachedKey>,
    young_policy_bytes: usize,
}

#[derive(Clone)]
struct CachedKey {
    key: Arc<AccessKey>,
    loaded_ms: u64,
}

impl KeyCache {
    pub fn get(&self, key_id: &str, now_ms: u64) -> Option<Arc<AccessKey>> {
        let generations = self.0.read();
        let cached = generations.young.get(key_id).or_else(|| generations.old.get(key_id))?;
        // A clock that went back makes the entry look unloaded yet: ask again.
        let age_ms = now_ms.checked_sub(cached.loaded_ms)?;
        (age_ms < KEY_CACHE_MS).then(|| cached.key.clone())
    }

    /// Forgets all: something was changed here.
    pub fn clear(&self) {
        *self.0.write() = Generations::default();
    }

    pub fn put(&self, key: Arc<AccessKey>, loaded_ms: u64) {
        let mut generations = self.0.write();
        let policy_bytes = key.user.as_ref().map_or(0, |user| user.policy_bytes);
        if generations.young.len() >= KEY_CACHE_GENERATION
            || generations.young_policy_bytes + policy_bytes > KEY_CACHE_POLICY_BYTES
        {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_policy_bytes = 0;
        }
        generations.young_policy_bytes += policy_bytes;
        generations.young.insert(key.id.clone(), CachedKey { key, loaded_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Account, AppId, Uin, User, UserDetails};
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn keys_with_long_policies_are_fewer() {
        let account = Arc::new(Account { uin: Uin(1), appid: AppId(1) });
        let cache = KeyCache::default();
        for n in 0..64 {
            let user = User {
                uin: Uin(2),
                uid: 2,
                name: "reader".into(),
                details: UserDetails::default(),
                created_ms: 0,
                attached: Vec::new(),
                groups: Vec::new(),
                policies: Vec::new(),
                policy_bytes: 1 << 20,
            };
            let (secret, account) = (Secret::new("s"), account.clone());
            let (id, enabled, user) = (format!("AKID{n}"), true, Some(Arc::new(user)));
            let key = AccessKey { id, secret, account, enabled, user, session: None };
            cache.put(Arc::new(key), 1000);
        }
        let generations = cache.0.read();
        let bytes = (generations.young.len() + generations.old.len()) << 20;
        assert!(bytes <= 2 * KEY_CACHE_POLICY_BYTES, "{bytes}");
        drop(generations);
        assert!(cache.get("AKID63", 1000).is_some());
    }

    #[test]
    fn the_cache_is_bounded_and_expires() {
        let account = Arc::new(Account { uin: Uin(1), appid: AppId(1) });
        let cache = KeyCache::default();
        let id = |n: usize| format!("AKID{n}");
        for n in 0..10 * KEY_CACHE_GENERATION {
            let (secret, account) = (Secret::new("s"), account.clone());
            let (id, enabled) = (id(n), true);
            let key = AccessKey { id, secret, account, enabled, user: None, session: None };
            cache.put(Arc::new(key), 1000);
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
}
