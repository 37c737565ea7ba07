//! Names and sizes of the objects a run works on, known from an object's number
//! alone, so that nothing about them has to be kept.

use std::fmt::Write;

/// Digits of an object's number in its key.
const NUMBER_DIGITS: usize = 10;

/// The objects of a run. Key order is number order, as long as there are no more
/// than 10,000 folders.
#[derive(Clone, Debug)]
pub struct KeySpace {
    prefix: String,
    per_folder: u64,
    /// Object `n` has size `sizes[n % sizes.len()]`; never empty.
    sizes: Vec<u64>,
}

impl KeySpace {
    /// `objects` are spread over `folders`; numbers beyond `objects` go on into
    /// further folders of the same population.
    pub fn new(prefix: String, objects: u64, folders: u64, sizes: Vec<u64>) -> Self {
        assert!(!sizes.is_empty(), "a key space needs a size");
        let per_folder = objects.div_ceil(folders.max(1)).max(1);
        KeySpace { prefix, per_folder, sizes }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Replaces `key` by the key of object `number`.
    pub fn write_key(&self, number: u64, key: &mut String) {
        key.clear();
        key.push_str(&self.prefix);
        let folder = number / self.per_folder;
        let written = write!(key, "{folder:04}/{number:0NUMBER_DIGITS$}");
        debug_assert!(written.is_ok(), "writing to a string succeeds");
    }

    /// Size of object `number` in bytes.
    pub fn size(&self, number: u64) -> u64 {
        self.sizes[(number % self.sizes.len() as u64) as usize]
    }

    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }
}

/// A fast generator (splitmix64) for choosing objects and filling bodies; its
/// numbers need no secrecy, only no pattern that a cache could learn.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_numbers_and_fill_the_folders_asked_for() {
        let keys = KeySpace::new("p/".into(), 1_000, 10, vec![1, 2]);
        let mut all = Vec::new();
        let mut key = String::from("left over");
        for number in 0..1_000 {
            keys.write_key(number, &mut key);
            all.push(key.clone());
        }
        assert_eq!(all[0], "p/0000/0000000000");
        assert_eq!(all[999], "p/0009/0000000999");
        assert!(all.is_sorted());
        assert_eq!((keys.size(4), keys.size(5)), (1, 2));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(1);
        let mut seen = [false; 7];
        for _ in 0..1_000 {
            seen[random.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
    }
}
