//! Signatures of the chunks of an aws-chunked body.
//!
//! Each chunk's signature covers the one before it, starting from the
//! request's own (the seed), so chunks can be neither reordered nor left out. A
//! trailer is signed the same way after the final, empty chunk.

use std::sync::Arc;

use ring::{digest, hmac};

use crate::crypto::{EMPTY_SHA256, SigningKey, hex_array, unhex};
use crate::v4::{Scope, push_scope};

/// Signs chunks in order.
#[derive(Clone)]
pub struct ChunkSigner {
    key: Arc<SigningKey>,
    /// `\n<time>\n<scope>\n`: the same in every string to sign.
    context: Box<[u8]>,
    previous: [u8; 64],
}

/// Verifies chunks in order.
#[derive(Clone)]
pub struct ChunkVerifier(ChunkSigner);

/// A chunk or trailer whose signature is not the one that follows from what
/// came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk signature does not match")]
pub struct ChunkMismatch;

impl ChunkSigner {
    /// `seed` is the hexadecimal signature of the request.
    pub(crate) fn new(key: Arc<SigningKey>, time: [u8; 16], scope: &Scope<'_>, seed: &str) -> Self {
        let mut context = Vec::with_capacity(64);
        context.push(b'\n');
        context.extend_from_slice(&time);
        context.push(b'\n');
        push_scope(&mut context, scope);
        context.push(b'\n');
        let mut previous = [b'0'; 64];
        for (to, from) in previous.iter_mut().zip(seed.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        ChunkSigner { key, context: context.into(), previous }
    }

    /// The hexadecimal signature of the next chunk, by the SHA-256 of its data.
    /// The last chunk of a body is the empty one.
    pub fn chunk(&mut self, data_sha256: &[u8; 32]) -> [u8; 64] {
        let to_sign = self.chunk_string(data_sha256);
        self.advance(&to_sign)
    }

    /// [`chunk`](Self::chunk) of data that is at hand.
    pub fn chunk_of(&mut self, data: &[u8]) -> [u8; 64] {
        self.chunk(&sha256(data))
    }

    /// The hexadecimal signature of the trailer. `canonical` is each trailing
    /// header as `name:value\n`, names lower-case, in order sent.
    pub fn trailer(&mut self, canonical: &[u8]) -> [u8; 64] {
        let to_sign = self.trailer_string(&sha256(canonical));
        self.advance(&to_sign)
    }

    fn chunk_string(&self, data_sha256: &[u8; 32]) -> Vec<u8> {
        let mut out = self.string_to_sign(b"AWS4-HMAC-SHA256-PAYLOAD");
        out.extend_from_slice(EMPTY_SHA256.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&hex_array::<64>(data_sha256));
        out
    }

    fn trailer_string(&self, canonical_sha256: &[u8; 32]) -> Vec<u8> {
        let mut out = self.string_to_sign(b"AWS4-HMAC-SHA256-TRAILER");
        out.extend_from_slice(&hex_array::<64>(canonical_sha256));
        out
    }

    fn string_to_sign(&self, algorithm: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(320);
        out.extend_from_slice(algorithm);
        out.extend_from_slice(&self.context);
        out.extend_from_slice(&self.previous);
        out.push(b'\n');
        out
    }

    fn advance(&mut self, to_sign: &[u8]) -> [u8; 64] {
        self.previous = hex_array(hmac::sign(&self.key, to_sign).as_ref());
        self.previous
    }
}

impl ChunkVerifier {
    pub(crate) fn new(signer: ChunkSigner) -> Self {
        ChunkVerifier(signer)
    }

    /// Checks the next chunk. After a mismatch the chain is of no more use.
    pub fn chunk(&mut self, data_sha256: &[u8; 32], signature: &str) -> Result<(), ChunkMismatch> {
        let to_sign = self.0.chunk_string(data_sha256);
        self.check(&to_sign, signature)
    }

    /// [`chunk`](Self::chunk) of data that is at hand.
    pub fn chunk_of(&mut self, data: &[u8], signature: &str) -> Result<(), ChunkMismatch> {
        self.chunk(&sha256(data), signature)
    }

    /// Checks the trailer, given as for [`ChunkSigner::trailer`].
    pub fn trailer(&mut self, canonical: &[u8], signature: &str) -> Result<(), ChunkMismatch> {
        self.trailer_sha256(&sha256(canonical), signature)
    }

    /// [`trailer`](Self::trailer) by the SHA-256 of its canonical form.
    pub fn trailer_sha256(
        &mut self,
        canonical_sha256: &[u8; 32],
        signature: &str,
    ) -> Result<(), ChunkMismatch> {
        let to_sign = self.0.trailer_string(canonical_sha256);
        self.check(&to_sign, signature)
    }

    fn check(&mut self, to_sign: &[u8], signature: &str) -> Result<(), ChunkMismatch> {
        let presented = unhex::<32>(signature).ok_or(ChunkMismatch)?;
        hmac::verify(&self.0.key, to_sign, &presented).map_err(|_| ChunkMismatch)?;
        self.0.previous = hex_array(&presented);
        Ok(())
    }
}

fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}
