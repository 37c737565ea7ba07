//! Digests and checksums of bodies: computed once while the bytes pass, combined
//! from parts without reading them again.

mod combining;
mod hasher;
mod md5;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest as CrcDigest};

use crate::error::{Declared, Error, Result};

pub use combining::Combiner;
pub(crate) use hasher::Hasher;
use md5::Md5;

/// Checksums a client may ask for (AWS S3's set). The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Algorithm {
    Crc32 = 1,
    Crc32c = 2,
    Crc64Nvme = 3,
    Sha1 = 4,
    Sha256 = 5,
}

impl Algorithm {
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];

    pub fn from_number(number: u32) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|a| *a as u32 == number)
    }

    /// As in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// Length of a value in bytes.
    pub fn value_len(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme => 8,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        }
    }

    /// The type a multipart upload gets when none is asked for, as AWS does.
    pub fn default_type(self) -> ChecksumType {
        match self {
            Algorithm::Crc64Nvme => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        }
    }

    pub fn supports(self, kind: ChecksumType) -> bool {
        match kind {
            ChecksumType::FullObject => self.crc().is_some(),
            ChecksumType::Composite => self != Algorithm::Crc64Nvme,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 | Algorithm::Sha256 => None,
        }
    }
}

/// Whether a multipart object's checksum covers its bytes or its parts' sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumType {
    FullObject,
    Composite,
}

/// A checksum and what it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: Algorithm,
    pub value: Bytes,
    /// Number of parts when the value is a checksum of part checksums.
    pub composite_parts: Option<u32>,
}

impl Checksum {
    pub fn kind(&self) -> ChecksumType {
        match self.composite_parts {
            Some(_) => ChecksumType::Composite,
            None => ChecksumType::FullObject,
        }
    }
}

/// What a request declares about its body. Several may be given; all must hold.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub content_md5: Option<[u8; 16]>,
    pub content_sha256: Option<[u8; 32]>,
    pub content_sha1: Option<[u8; 20]>,
    pub crc64: Option<u64>,
    pub checksums: Vec<(Algorithm, Bytes)>,
}

impl Expected {
    /// Adds what a trailer declared.
    pub fn extend(&mut self, trailing: Vec<(Algorithm, Bytes)>) {
        self.checksums.extend(trailing);
    }
}

/// Combines values of CRC-64/XZ, the `crc64ecma` of COS.
pub fn crc64_combiner() -> Combiner {
    Combiner::new(CrcAlgorithm::Crc64Xz).expect("a CRC that objects have")
}

/// One combination; for many pieces [`crc64_combiner`] is cheaper.
pub fn crc64_combine(first: u64, second: u64, second_len: u64) -> u64 {
    crc64_combiner().combine(first, second, second_len)
}

/// Combines the full checksums of consecutive pieces; `None` when the algorithm
/// cannot be combined or a value has the wrong length.
pub fn combine(algorithm: Algorithm, pieces: &[(Bytes, u64)]) -> Option<Bytes> {
    let mut combiner = Combiner::new(algorithm.crc()?)?;
    let mut whole: Option<u64> = None;
    for (value, len) in pieces {
        let value = to_u64(value, algorithm.value_len())?;
        whole = Some(match whole {
            None => value,
            Some(first) => combiner.combine(first, value, *len),
        });
    }
    Some(from_u64(whole?, algorithm.value_len()))
}

/// The checksum of the parts' checksums.
pub fn composite(algorithm: Algorithm, values: &[Bytes]) -> Bytes {
    let mut one = One::new(algorithm);
    for value in values {
        one.update(value);
    }
    one.finish()
}

fn to_u64(value: &[u8], len: usize) -> Option<u64> {
    if value.len() != len || len > 8 {
        return None;
    }
    Some(value.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn from_u64(value: u64, len: usize) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes()[8 - len..])
}

enum One {
    Crc(Algorithm, CrcDigest),
    Ring(ring::digest::Context),
}

impl One {
    fn new(algorithm: Algorithm) -> One {
        match algorithm.crc() {
            Some(crc) => One::Crc(algorithm, CrcDigest::new(crc)),
            None if algorithm == Algorithm::Sha1 => {
                One::Ring(ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY))
            }
            None => One::Ring(ring::digest::Context::new(&ring::digest::SHA256)),
        }
    }

    fn update(&mut self, data: &[u8]) {
        match self {
            One::Crc(_, digest) => digest.update(data),
            One::Ring(context) => context.update(data),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            One::Crc(algorithm, digest) => from_u64(digest.finalize(), algorithm.value_len()),
            One::Ring(context) => Bytes::copy_from_slice(context.finish().as_ref()),
        }
    }
}

/// Computes everything wanted of one body: always MD5 (the ETag) and CRC-64 (for
/// COS), and each further algorithm once however often it is asked for.
pub struct Digester {
    md5: Md5,
    crc64: CrcDigest,
    others: Vec<(Algorithm, One)>,
    len: u64,
}

/// What a [`Digester`] found.
#[derive(Clone, Debug)]
pub struct Digests {
    pub md5: [u8; 16],
    pub crc64: u64,
    pub len: u64,
    pub others: Vec<(Algorithm, Bytes)>,
}

impl Digester {
    pub fn new(wanted: impl IntoIterator<Item = Algorithm>) -> Digester {
        let mut others: Vec<(Algorithm, One)> = Vec::new();
        for algorithm in wanted {
            if !others.iter().any(|(a, _)| *a == algorithm) {
                others.push((algorithm, One::new(algorithm)));
            }
        }
        Digester { md5: Md5::new(), crc64: CrcDigest::new(CrcAlgorithm::Crc64Xz), others, len: 0 }
    }

    /// The CRC-64 of bytes in memory, for comparing with a kept one.
    pub fn crc64(data: &[u8]) -> u64 {
        crc_fast::checksum(CrcAlgorithm::Crc64Xz, data)
    }

    pub fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.update_all_but_md5(data);
    }

    fn update_all_but_md5(&mut self, data: &[u8]) {
        self.crc64.update(data);
        for (_, one) in &mut self.others {
            one.update(data);
        }
        self.len += data.len() as u64;
    }

    pub fn finish(self) -> Digests {
        Digests {
            md5: self.md5.finish(),
            crc64: self.crc64.finalize(),
            len: self.len,
            others: self.others.into_iter().map(|(a, one)| (a, one.finish())).collect(),
        }
    }
}

impl Digests {
    pub fn of(&self, algorithm: Algorithm) -> Option<&Bytes> {
        self.others.iter().find(|(a, _)| *a == algorithm).map(|(_, value)| value)
    }

    /// Compares with what the request declared.
    pub fn check(&self, expected: &Expected) -> Result<()> {
        let mismatch = |declared| Err(Error::DigestMismatch { declared });
        if expected
            .content_sha256
            .is_some_and(|want| self.of(Algorithm::Sha256).is_none_or(|have| have.as_ref() != want))
        {
            return mismatch(Declared::ContentSha256);
        }
        if expected.content_md5.is_some_and(|want| want != self.md5) {
            return mismatch(Declared::ContentMd5);
        }
        if expected.crc64.is_some_and(|want| want != self.crc64) {
            return mismatch(Declared::Crc64);
        }
        if expected
            .content_sha1
            .is_some_and(|want| self.of(Algorithm::Sha1).is_none_or(|have| have.as_ref() != want))
        {
            return mismatch(Declared::ContentSha1);
        }
        for (algorithm, want) in &expected.checksums {
            if self.of(*algorithm) != Some(want) {
                return mismatch(Declared::Checksum(*algorithm));
            }
        }
        Ok(())
    }
}

impl Expected {
    /// The algorithms that must be computed to check this.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        let sha256 = self.content_sha256.map(|_| Algorithm::Sha256);
        let sha1 = self.content_sha1.map(|_| Algorithm::Sha1);
        self.checksums.iter().map(|(a, _)| *a).chain(sha256).chain(sha1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(data: &[u8]) -> Digests {
        let mut digester = Digester::new(Algorithm::ALL);
        digester.update(data);
        digester.finish()
    }

    #[test]
    fn published_check_values() {
        let d = digests(b"123456789");
        assert_eq!(d.crc64, 11051210869376104954, "COS documentation, CRC64");
        assert_eq!(hex::encode(d.of(Algorithm::Crc32).unwrap()), "cbf43926");
        assert_eq!(hex::encode(d.of(Algorithm::Crc32c).unwrap()), "e3069283");
        assert_eq!(hex::encode(d.of(Algorithm::Crc64Nvme).unwrap()), "ae8b14860a799888");
        let d = digests(b"[Object Content]");
        assert_eq!(d.crc64, 16749565679157681890, "COS documentation");
        assert_eq!(hex::encode(d.md5), "ee8de918d05640145b18f70f4c3aa602");
    }

    #[test]
    fn combining_equals_computing() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
        let whole = digests(&data);
        let parts: Vec<Digests> = data.chunks(33_333).map(digests).collect();
        let mut crc64s = crc64_combiner();
        let crc64 = parts.iter().fold(0, |a, p| crc64s.combine(a, p.crc64, p.len));
        assert_eq!(crc64, whole.crc64);
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let pieces: Vec<_> =
                parts.iter().map(|p| (p.of(algorithm).unwrap().clone(), p.len)).collect();
            assert_eq!(combine(algorithm, &pieces).as_ref(), whole.of(algorithm));
        }
        assert_eq!(combine(Algorithm::Sha256, &[]), None);
    }

    #[test]
    fn each_declaration_is_checked() {
        let d = digests(b"abc");
        let good = Expected {
            content_md5: Some(d.md5),
            content_sha256: Some(d.of(Algorithm::Sha256).unwrap().as_ref().try_into().unwrap()),
            content_sha1: Some(d.of(Algorithm::Sha1).unwrap().as_ref().try_into().unwrap()),
            crc64: Some(d.crc64),
            checksums: vec![(Algorithm::Crc32, d.of(Algorithm::Crc32).unwrap().clone())],
        };
        assert!(d.check(&good).is_ok());
        let bad = |f: fn(&mut Expected)| {
            let mut expected = good.clone();
            f(&mut expected);
            match d.check(&expected) {
                Err(Error::DigestMismatch { declared }) => declared,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(bad(|e| e.content_md5 = Some([0; 16])), Declared::ContentMd5);
        assert_eq!(bad(|e| e.content_sha256 = Some([0; 32])), Declared::ContentSha256);
        assert_eq!(bad(|e| e.content_sha1 = Some([0; 20])), Declared::ContentSha1);
        assert_eq!(bad(|e| e.crc64 = Some(1)), Declared::Crc64);
        assert_eq!(
            bad(|e| e.checksums[0].1 = Bytes::from_static(b"zzzz")),
            Declared::Checksum(Algorithm::Crc32)
        );
    }
}
