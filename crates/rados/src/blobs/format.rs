//! A blob's objects: pieces of 4 MiB of plain data, each with its block
//! checksums in an extended attribute, written in one operation.
//! `docs/formats/rados.md` draws them.

use std::ffi::CStr;

use costrel_core::engine::BlobId;
use crc_fast::{CrcAlgorithm, Digest};

/// Bytes of data in each object but the last.
pub(super) const PIECE_BYTES: usize = 4 << 20;

/// Bytes of data under one checksum.
pub(super) const BLOCK_BYTES: usize = 16 << 10;
const BLOCKS_PER_PIECE: u64 = (PIECE_BYTES / BLOCK_BYTES) as u64;

/// The attribute with a piece's checksums.
pub(super) const SUMS: &CStr = c"sums";
/// The attribute of the first piece that makes the blob a finished one.
pub(super) const FINISHED: &CStr = c"finished";

const VERSION: u8 = 1;

pub(super) fn piece_name(id: BlobId, piece: u64) -> String {
    format!("{id}.{piece:08x}")
}

/// The blob and the piece that an object holds.
pub(super) fn parse_piece_name(name: &[u8]) -> Option<(BlobId, u64)> {
    let (id, piece) = std::str::from_utf8(name).ok()?.split_once('.')?;
    let mut bytes = [0; 16];
    hex::decode_to_slice(id, &mut bytes).ok()?;
    Some((BlobId(bytes), u64::from_str_radix(piece, 16).ok()?))
}

/// How many objects a blob of this length has: at least one.
pub(super) fn piece_count(len: u64) -> u64 {
    len.div_ceil(PIECE_BYTES as u64).max(1)
}

/// Bytes that a finished blob occupies.
pub(super) fn stored_bytes(len: u64) -> u64 {
    let blocks = len.div_ceil(BLOCK_BYTES as u64);
    len + blocks * 4 + piece_count(len) * 9 + 13
}

/// CRC-32C over the blob's id, the block's number in the blob and the data, so
/// that a block read from a wrong place does not pass.
fn block_sum(id: BlobId, block: u64, data: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&id.0);
    digest.update(&block.to_le_bytes());
    digest.update(data);
    digest.finalize() as u32
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc_fast::crc32_iscsi(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn opened(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, sum) = bytes.split_last_chunk::<4>()?;
    (crc_fast::crc32_iscsi(bytes).to_le_bytes() == *sum).then_some(bytes)
}

/// Version, length of the data, a sum per block, and a sum over all of that.
pub(super) fn encode_sums(id: BlobId, piece: u64, data: &[u8]) -> Vec<u8> {
    let blocks = data.len().div_ceil(BLOCK_BYTES);
    let mut bytes = Vec::with_capacity(5 + blocks * 4 + 4);
    bytes.push(VERSION);
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    for (number, block) in data.chunks(BLOCK_BYTES).enumerate() {
        let number = piece * BLOCKS_PER_PIECE + number as u64;
        bytes.extend_from_slice(&block_sum(id, number, block).to_le_bytes());
    }
    sealed(bytes)
}

/// A piece's checksums, read back.
pub(super) struct Sums<'a> {
    data_len: usize,
    sums: &'a [u8],
}

impl<'a> Sums<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Sums<'a>> {
        let (&[version, ref len @ ..], sums) = opened(bytes)?.split_first_chunk::<5>()?;
        let data_len = u32::from_le_bytes(*len) as usize;
        let fits = version == VERSION
            && data_len <= PIECE_BYTES
            && sums.len() == data_len.div_ceil(BLOCK_BYTES) * 4;
        fits.then_some(Sums { data_len, sums })
    }

    pub(super) fn data_len(&self) -> usize {
        self.data_len
    }

    /// Whether whole blocks, from the one with this number in the piece on, are
    /// as they were written.
    pub(super) fn verify(&self, id: BlobId, piece: u64, first: usize, data: &[u8]) -> bool {
        data.chunks(BLOCK_BYTES).enumerate().all(|(number, block)| {
            let number = first + number;
            let sum = self.sums.get(number * 4..number * 4 + 4);
            let number = piece * BLOCKS_PER_PIECE + number as u64;
            sum == Some(&block_sum(id, number, block).to_le_bytes()[..])
        })
    }
}

/// Version and length of the whole blob.
pub(super) fn encode_finished(len: u64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&len.to_le_bytes());
    sealed(bytes)
}

pub(super) fn decode_finished(bytes: &[u8]) -> Option<u64> {
    match opened(bytes)? {
        [VERSION, len @ ..] => Some(u64::from_le_bytes(len.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BlobId = BlobId([7; 16]);

    #[test]
    fn every_change_is_noticed() {
        let mut data = vec![1; 2 * BLOCK_BYTES + 5];
        let sums = encode_sums(ID, 3, &data);
        let decoded = Sums::decode(&sums).unwrap();
        assert_eq!(decoded.data_len(), data.len());
        assert!(decoded.verify(ID, 3, 0, &data));
        assert!(decoded.verify(ID, 3, 2, &data[2 * BLOCK_BYTES..]));
        assert!(!decoded.verify(ID, 2, 0, &data), "another piece");
        assert!(!decoded.verify(BlobId([8; 16]), 3, 0, &data), "another blob");
        assert!(!decoded.verify(ID, 3, 1, &data), "another block");
        data[BLOCK_BYTES] ^= 1;
        assert!(!decoded.verify(ID, 3, 0, &data));
        for encoded in [&sums, &encode_finished(77)] {
            for byte in 0..encoded.len() {
                let mut changed = encoded.clone();
                changed[byte] ^= 0x10;
                assert!(Sums::decode(&changed).is_none(), "byte {byte}");
                assert_eq!(decode_finished(&changed), None, "byte {byte}");
            }
        }
        assert_eq!(decode_finished(&encode_finished(77)), Some(77));
    }

    /// The numbers of docs/formats/rados.md.
    #[test]
    fn the_bytes_are_as_documented() {
        assert_eq!((PIECE_BYTES, BLOCK_BYTES), (4_194_304, 16_384));
        let id = BlobId(*b"0123456789abcdef");
        assert_eq!(piece_name(id, 18), "30313233343536373839616263646566.00000012");
        assert_eq!(parse_piece_name(piece_name(id, 18).as_bytes()), Some((id, 18)));
        for name in [&b"x.00000001"[..], b"30313233343536373839616263646566", b"\xff.1"] {
            assert_eq!(parse_piece_name(name), None);
        }
        assert_eq!((piece_count(0), piece_count(4_194_304), piece_count(4_194_305)), (1, 1, 2));
        let sum = crc_fast::crc32_iscsi(b"0123456789abcdef\x00\x02\0\0\0\0\0\x00123456789");
        let mut want = vec![1, 9, 0, 0, 0];
        want.extend_from_slice(&sum.to_le_bytes());
        want.extend_from_slice(&crc_fast::crc32_iscsi(&want).to_le_bytes());
        assert_eq!(encode_sums(id, 2, b"123456789"), want);
        let finished = encode_finished(0x0102);
        assert_eq!(finished[..9], [1, 2, 1, 0, 0, 0, 0, 0, 0]);
    }
}
