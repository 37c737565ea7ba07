//! Keys and roles that were looked up lately.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// How long a looked-up key is trusted without asking the engine again, in
/// milliseconds: other gateways may change it. A request that comes a second after a
/// change, by clocks that count ticks, obeys it.
pub const KEY_CACHE_MS: u64 = 800;

/// Keys of one generation of the cache, which holds at most two, and bytes of the
/// policies that come with them. Read, a policy takes several times its text.
const KEY_CACHE_GENERATION: usize = 4096;
const KEY_CACHE_POLICY_BYTES: usize = 4 << 20;

/// What was used lately, by name, in two generations: when the younger is full, the
/// elder is dropped. Bounded, and a hit takes one shared lock.
pub(super) struct Cache<T>(RwLock<Generations<T>>);

struct Generations<T> {
    young: HashMap<String, Cached<T>>,
    old: HashMap<String, Cached<T>>,
    young_policy_bytes: usize,
}

struct Cached<T> {
    value: Arc<T>,
    loaded_ms: u64,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache(RwLock::new(Generations::new()))
    }
}

impl<T> Generations<T> {
    fn new() -> Generations<T> {
        Generations { young: HashMap::new(), old: HashMap::new(), young_policy_bytes: 0 }
    }
}

impl<T> Cache<T> {
    pub fn get(&self, name: &str, now_ms: u64) -> Option<Arc<T>> {
        let generations = self.0.read();
        let cached = generations.young.get(name).or_else(|| generations.old.get(name))?;
        // A clock that went back makes the entry look unloaded yet: ask again.
        let age_ms = now_ms.checked_sub(cached.loaded_ms)?;
        (age_ms < KEY_CACHE_MS).then(|| cached.value.clone())
    }

    /// Forgets all: something was changed here.
    pub fn clear(&self) {
        *self.0.write() = Generations::new();
    }

    /// `policy_bytes` are those of the policies that come with it.
    pub fn put(&self, name: &str, value: Arc<T>, policy_bytes: usize, loaded_ms: u64) {
        let mut generations = self.0.write();
        if generations.young.len() >= KEY_CACHE_GENERATION
            || generations.young_policy_bytes + policy_bytes > KEY_CACHE_POLICY_BYTES
        {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_policy_bytes = 0;
        }
        generations.young_policy_bytes += policy_bytes;
        generations.young.insert(name.to_owned(), Cached { value, loaded_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_long_policies_is_less() {
        let cache = Cache::default();
        for n in 0..64 {
            cache.put(&format!("AKID{n}"), Arc::new(n), 1 << 20, 1000);
        }
        let generations = cache.0.read();
        let bytes = (generations.young.len() + generations.old.len()) << 20;
        assert!(bytes <= 2 * KEY_CACHE_POLICY_BYTES, "{bytes}");
        drop(generations);
        assert!(cache.get("AKID63", 1000).is_some());
    }

    #[test]
    fn the_cache_is_bounded_and_expires() {
        let cache = Cache::default();
        let id = |n: usize| format!("AKID{n}");
        for n in 0..10 * KEY_CACHE_GENERATION {
            cache.put(&id(n), Arc::new(n), 0, 1000);
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
