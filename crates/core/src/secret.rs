//! Secrets: how they are held in memory and sealed at rest.
//!
//! A sealed secret is `version (1 byte, 1) | nonce (12 bytes) | ciphertext | tag
//! (16 bytes)`, AES-256-GCM under the master key. The *context* (what the secret
//! belongs to) is authenticated with it, so a sealed value moved to another row
//! does not open. Nonces are random: with 96 bits, 2^32 seals under one key still
//! leave a collision less likely than 2^-32. What clients may have sealed as often
//! as they like is therefore sealed under keys of its own, derived from the master
//! key by HKDF-SHA256.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use crate::env::Entropy;

/// Length of a master key in bytes.
pub const MASTER_KEY_LEN: usize = 32;

const VERSION: u8 = 1;

/// Text that must not reach a log: `Debug` hides it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for computing signatures and for showing a new key once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// A sealed value did not open: wrong master key, wrong context, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open under this master key")]
pub struct UnsealError;

/// The key under which an installation's secrets are sealed.
pub struct MasterKey {
    sealing: SealingKey,
    deriving: Prk,
}

/// A key that seals bytes.
pub struct SealingKey(LessSafeKey);

/// Sets the derivation apart from any other use of the same bytes.
const DERIVATION: &[u8] = b"costrel derived keys 1";

impl MasterKey {
    pub fn new(bytes: &[u8; MASTER_KEY_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("the length is AES-256's");
        MasterKey {
            sealing: SealingKey(LessSafeKey::new(key)),
            deriving: Salt::new(HKDF_SHA256, DERIVATION).extract(bytes),
        }
    }

    /// The key for one purpose and one thing: whoever has it knows nothing of the
    /// others.
    pub fn derived(&self, purpose: &[u8], thing: &[u8]) -> SealingKey {
        // A purpose is no other one's beginning: its length stands in front.
        let length = [u8::try_from(purpose.len()).expect("purposes are short names")];
        let info = [&length[..], purpose, thing];
        let key = self.deriving.expand(&info, &AES_256_GCM).expect("one block is short enough");
        SealingKey(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// Seals `secret` for the place named by `context`.
    pub fn seal(&self, secret: &Secret, context: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        self.sealing.seal(secret.expose().as_bytes(), context, entropy)
    }

    /// Opens what [`MasterKey::seal`] made with the same key and context.
    pub fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Secret, UnsealError> {
        let text = self.sealing.unseal(sealed, context)?;
        String::from_utf8(text).map(Secret::new).map_err(|_| UnsealError)
    }
}

impl SealingKey {
    pub fn seal(&self, plain: &[u8], context: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut text = plain.to_vec();
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut text,
            )
            .expect("a secret is far shorter than the cipher's limit");
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len() + tag.as_ref().len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    pub fn unseal(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(UnsealError)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(UnsealError)?;
        let mut text = rest.to_vec();
        let opened = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut text)
            .map_err(|_| UnsealError)?
            .len();
        text.truncate(opened);
        Ok(text)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    fn entropy() -> Counting {
        Counting(std::sync::atomic::AtomicU8::new(1))
    }

    #[test]
    fn opens_only_under_the_same_key_and_context() {
        let key = MasterKey::new(&[7; 32]);
        let secret = Secret::new("BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz");
        let sealed = key.seal(&secret, b"here", &entropy());
        assert_eq!(key.unseal(&sealed, b"here"), Ok(secret));
        assert_eq!(key.unseal(&sealed, b"there"), Err(UnsealError));
        assert_eq!(MasterKey::new(&[8; 32]).unseal(&sealed, b"here"), Err(UnsealError));
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let key = MasterKey::new(&[7; 32]);
        let sealed = key.seal(&Secret::new("secret"), b"", &entropy());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.unseal(&changed, b""), Err(UnsealError), "byte {at}");
            assert_eq!(key.unseal(&sealed[..at], b""), Err(UnsealError), "length {at}");
        }
    }

    #[test]
    fn sealing_twice_gives_different_bytes_without_the_text() {
        let key = MasterKey::new(&[7; 32]);
        let (secret, entropy) = (Secret::new("plain-to-see"), entropy());
        let first = key.seal(&secret, b"", &entropy);
        assert_ne!(first, key.seal(&secret, b"", &entropy));
        assert!(!first.windows(5).any(|window| window == b"plain"));
    }

    #[test]
    fn derived_keys_open_nothing_of_each_other() {
        let master = MasterKey::new(&[7; 32]);
        let sealed = master.derived(b"ab", b"c").seal(b"text", b"here", &entropy());
        assert_eq!(master.derived(b"ab", b"c").unseal(&sealed, b"here").unwrap(), b"text");
        for (purpose, thing) in [(&b"a"[..], &b"bc"[..]), (b"abc", b""), (b"ab", b"d")] {
            assert!(master.derived(purpose, thing).unseal(&sealed, b"here").is_err());
        }
        assert!(master.unseal(&sealed, b"here").is_err());
        assert!(MasterKey::new(&[8; 32]).derived(b"ab", b"c").unseal(&sealed, b"here").is_err());
    }

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(hidden)");
    }

    /// The first stored shape, which must open for ever.
    #[test]
    fn the_first_sealed_shape_opens() {
        let sealed = hex::decode(FIRST_SHAPE).unwrap();
        let opened = MasterKey::new(&[7; 32]).unseal(&sealed, b"fixture").unwrap();
        assert_eq!(opened.expose(), "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz");
    }

    const FIRST_SHAPE: &str = "0101010101010101010101010134b0d0fedd88d97ee9acec4827613662e19c\
                               65b153e07d632a41113130fc5ac1f0b96da91cf214526a7861f2db7d2f23";
}
