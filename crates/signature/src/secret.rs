//! Secret keys in memory.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::LazyLock;

/// A secret key. It has no textual form and is overwritten when dropped.
#[derive(Clone)]
pub struct Secret {
    bytes: Box<[u8]>,
    fingerprint: u64,
}

impl Secret {
    pub fn new(text: &str) -> Self {
        let bytes: Box<[u8]> = text.as_bytes().into();
        Secret { fingerprint: FINGERPRINTS.hash_one(&bytes), bytes }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells two secrets of one key id apart in the key cache, so that a
    /// replaced secret never meets keys derived from the old one. The hash is
    /// keyed at random per process and says nothing about the secret outside.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.fill(0);
        // Keeps the compiler from seeing the writes as dead.
        std::hint::black_box(&self.bytes);
    }
}
