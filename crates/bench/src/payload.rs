//! Bodies that cost the client next to nothing: one buffer made before the run,
//! sent from any offset, with a unique tail so that no two bodies are equal and a
//! server that stores equal content once gains nothing.
//!
//! Hashes of a body would cost far more than sending it. Where they are wanted,
//! all bodies of one size share everything but the tail, and the state of the
//! hash before the tail is kept.

use std::collections::HashMap;
use std::io::IoSlice;

use base64::Engine as _;
use md5::{Digest, Md5};
use ring::digest;

use crate::keys::Random;

/// Bytes at the end of a body that differ between bodies.
const TAIL_LEN: usize = 16;
/// Bounds of the shared buffer; longer bodies repeat it. The lower one leaves
/// room for many different offsets, and keeps the buffer out of the CPU caches
/// as real bodies would be.
const BUFFER_MIN: u64 = 4 << 20;
const BUFFER_MAX: u64 = 32 << 20;

/// What bodies consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Data {
    /// Bytes without pattern, which do not compress.
    Random,
    /// A short text repeated, which compresses well.
    Pattern,
}

/// State of the hashes of a body before its tail.
#[derive(Clone)]
struct Prefix {
    sha256: Option<digest::Context>,
    md5: Option<Md5>,
}

/// The bodies of a run.
pub struct Payloads {
    buffer: Vec<u8>,
    /// By body size; empty when no hash is wanted.
    prefixes: HashMap<u64, Prefix>,
    seed: u64,
}

/// Values of the headers that cover a body.
#[derive(Default)]
pub struct BodyHashes {
    pub sha256: Option<[u8; 32]>,
    pub md5_base64: Option<String>,
}

impl BodyHashes {
    /// The hash that S3 signatures cover, of a body made during the run.
    pub fn of(body: &[u8]) -> Self {
        let sha256 = digest::digest(&digest::SHA256, body);
        BodyHashes { sha256: sha256.as_ref().try_into().ok(), md5_base64: None }
    }
}

impl Payloads {
    /// Prepares bodies of the given sizes, with the hashes that will be asked for.
    pub fn new(data: Data, sizes: &[u64], sha256: bool, md5: bool, seed: u64) -> Self {
        let longest = sizes.iter().copied().max().unwrap_or(0);
        let mut buffer = vec![0; longest.clamp(BUFFER_MIN, BUFFER_MAX) as usize];
        match data {
            Data::Random => {
                let mut random = Random::new(seed);
                for piece in buffer.chunks_mut(8) {
                    piece.copy_from_slice(&random.next().to_le_bytes()[..piece.len()]);
                }
            }
            Data::Pattern => {
                const TEXT: &[u8] = b"all work and no play makes this a dull object\n";
                for piece in buffer.chunks_mut(TEXT.len()) {
                    piece.copy_from_slice(&TEXT[..piece.len()]);
                }
            }
        }
        let mut payloads = Payloads { buffer, prefixes: HashMap::new(), seed };
        if sha256 || md5 {
            for &size in sizes {
                let prefix = payloads.hash_prefix(size, sha256, md5);
                payloads.prefixes.insert(size, prefix);
            }
        }
        payloads
    }

    fn hash_prefix(&self, size: u64, sha256: bool, md5: bool) -> Prefix {
        let mut prefix = Prefix {
            sha256: sha256.then(|| digest::Context::new(&digest::SHA256)),
            md5: md5.then(Md5::new),
        };
        let mut left = size.saturating_sub(TAIL_LEN as u64);
        while left > 0 {
            let piece = &self.buffer[..left.min(self.buffer.len() as u64) as usize];
            if let Some(state) = &mut prefix.sha256 {
                state.update(piece);
            }
            if let Some(state) = &mut prefix.md5 {
                state.update(piece);
            }
            left -= piece.len() as u64;
        }
        prefix
    }

    /// The body of `size` bytes that belongs to operation `number`.
    pub fn body(&self, size: u64, number: u64) -> Body<'_> {
        let shared_prefix = self.prefixes.contains_key(&size);
        let start = if shared_prefix {
            0
        } else {
            // Numbers in sequence land far apart, and no two on the same offset
            // before all have been used.
            (number.wrapping_mul(0x9e37_79b1) % self.buffer.len() as u64) as usize
        };
        let mut tail = [0; TAIL_LEN];
        tail[..8].copy_from_slice(&number.to_le_bytes());
        tail[8..].copy_from_slice(&self.seed.to_le_bytes());
        let tail_len = size.min(TAIL_LEN as u64) as usize;
        Body { buffer: &self.buffer, start, len: size, tail, tail_len }
    }

    /// Hashes of a body made by [`Payloads::body`], as far as they were prepared.
    pub fn hashes(&self, body: &Body<'_>) -> BodyHashes {
        let Some(prefix) = self.prefixes.get(&body.len) else { return BodyHashes::default() };
        let prefix = prefix.clone();
        let sha256 = prefix.sha256.and_then(|mut state| {
            state.update(body.tail());
            state.finish().as_ref().try_into().ok()
        });
        let md5_base64 = prefix.md5.map(|mut state| {
            state.update(body.tail());
            base64::engine::general_purpose::STANDARD.encode(state.finalize())
        });
        BodyHashes { sha256, md5_base64 }
    }
}

/// One body: the shared buffer read in a circle from some offset, then the tail.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    buffer: &'a [u8],
    start: usize,
    len: u64,
    tail: [u8; TAIL_LEN],
    tail_len: usize,
}

impl<'a> Body<'a> {
    /// A body that is exactly these bytes.
    pub fn bytes(bytes: &'a [u8]) -> Self {
        let len = bytes.len() as u64;
        Body { buffer: bytes, start: 0, len, tail: [0; TAIL_LEN], tail_len: 0 }
    }

    /// No body at all.
    pub fn empty() -> Self {
        Body::bytes(&[])
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    fn tail(&self) -> &[u8] {
        &self.tail[..self.tail_len]
    }

    /// What to send at `offset`: up to three pieces that follow one another, not
    /// necessarily all that is left. The pieces are empty only at the end.
    pub fn pieces(&self, offset: u64) -> [IoSlice<'_>; 3] {
        let mut pieces = [IoSlice::new(&[]), IoSlice::new(&[]), IoSlice::new(&[])];
        let tail_start = self.len - self.tail_len as u64;
        if offset >= tail_start {
            let skipped = (offset - tail_start).min(self.tail_len as u64) as usize;
            pieces[0] = IoSlice::new(&self.tail[skipped..self.tail_len]);
            return pieces;
        }
        let left = tail_start - offset;
        let circle = self.buffer.len() as u64;
        let from = ((self.start as u64 + offset) % circle) as usize;
        let first = left.min(circle - from as u64);
        let second = (left - first).min(from as u64);
        pieces[0] = IoSlice::new(&self.buffer[from..from + first as usize]);
        pieces[1] = IoSlice::new(&self.buffer[..second as usize]);
        if first + second == left {
            pieces[2] = IoSlice::new(self.tail());
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = 1 << 40;

    /// All bytes of a body, taken `step` bytes at a time as a socket might.
    fn collect(body: &Body<'_>, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            for piece in body.pieces(before as u64) {
                let room = (before + step).saturating_sub(all.len());
                all.extend_from_slice(&piece[..room.min(piece.len())]);
            }
            if all.len() == before {
                return all;
            }
        }
    }

    #[test]
    fn pieces_give_the_same_body_whatever_the_steps() {
        for size in [0, 1, 15, 16, 17, 4096, BUFFER_MIN + 5, 2 * BUFFER_MIN + 33] {
            let payloads = Payloads::new(Data::Random, &[1], false, false, 3);
            let body = payloads.body(size, 12_345);
            let whole = collect(&body, ALL);
            assert_eq!(whole.len() as u64, size);
            assert_eq!(whole, collect(&body, 65_521), "size {size}");
        }
        assert_eq!(collect(&Body::bytes(b"<xml/>"), 4), b"<xml/>");
    }

    #[test]
    fn bodies_differ_from_each_other() {
        for hashed in [false, true] {
            let payloads = Payloads::new(Data::Random, &[4096], hashed, false, 3);
            let one = collect(&payloads.body(4096, 1), ALL);
            let two = collect(&payloads.body(4096, 2), ALL);
            assert_ne!(one, two);
        }
    }

    #[test]
    fn hashes_cover_the_bytes_that_are_sent() {
        for size in [0, 5, 16, 100, BUFFER_MIN + 100] {
            let payloads = Payloads::new(Data::Pattern, &[7, size], true, true, 9);
            let body = payloads.body(size, 77);
            let sent = collect(&body, ALL);
            let hashes = payloads.hashes(&body);
            let sha256 = digest::digest(&digest::SHA256, &sent);
            assert_eq!(
                hashes.sha256.as_ref().map(|hash| &hash[..]),
                Some(sha256.as_ref()),
                "size {size}"
            );
            let md5 = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&sent));
            assert_eq!(hashes.md5_base64, Some(md5), "size {size}");
        }
    }
}
