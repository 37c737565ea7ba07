//! The hashes and keyed hashes of the signature families, in the shapes they
//! are used in, and the derivation of their signing keys.

use ring::{digest, hmac};

use crate::secret::Secret;

/// A key made from a secret for one day and place (SigV4) or one key-time
/// (COS), ready to sign with.
pub type SigningKey = hmac::Key;

pub(crate) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) fn sha256_hex(data: &[u8]) -> [u8; 64] {
    hex_array(digest::digest(&digest::SHA256, data).as_ref())
}

pub(crate) fn sha1_hex(data: &[u8]) -> [u8; 40] {
    hex_array(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref())
}

/// Lower-case hexadecimal of a hash whose size the caller's type states.
pub(crate) fn hex_array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [b'0'; N];
    // Sizes agree by construction: the digests have N/2 bytes.
    let _ = hex::encode_to_slice(bytes, &mut out);
    out
}

/// Lower-case hexadecimal of a signature.
pub(crate) fn hex_text(tag: &hmac::Tag) -> String {
    let bytes = tag.as_ref();
    let mut out = vec![b'0'; bytes.len() * 2];
    let _ = hex::encode_to_slice(bytes, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The bytes behind a presented hexadecimal signature, if it is one.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

pub(crate) fn hmac_sha1_key(key: &[u8]) -> SigningKey {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key)
}

pub(crate) fn hmac_sha256(key: &[u8], data: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
}

/// COS `SignKey`: hex(HMAC-SHA1(secret, key-time)), used as text.
pub fn cos_signing_key(secret: &Secret, key_time: &str) -> SigningKey {
    let tag = hmac::sign(&hmac_sha1_key(secret.bytes()), key_time.as_bytes());
    hmac_sha1_key(&hex_array::<40>(tag.as_ref()))
}

/// SigV4's key for one day (`yyyymmdd`), region and service.
pub fn v4_signing_key(secret: &Secret, date: &str, region: &str, service: &str) -> SigningKey {
    let mut seed = Vec::with_capacity(4 + secret.bytes().len());
    seed.extend_from_slice(b"AWS4");
    seed.extend_from_slice(secret.bytes());
    let mut tag = hmac_sha256(&seed, date.as_bytes());
    seed.fill(0);
    for step in [region, service, "aws4_request"] {
        tag = hmac_sha256(tag.as_ref(), step.as_bytes());
    }
    hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
}
