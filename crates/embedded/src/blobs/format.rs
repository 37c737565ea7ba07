//! The bytes of a blob file; `docs/formats/embedded.md` draws them.
//!
//! The data lies first and unbroken, so that a block's place follows from its
//! number; then a table with one checksum per block; then zeros as far as the
//! file's length needs to be aligned; then a footer. The footer is written last
//! and holds the length, so a file without a whole footer is one that was never
//! finished.

use costrel_core::engine::BlobId;
use crc_fast::{CrcAlgorithm, Digest};

use crate::disk::ALIGNMENT;

/// Bytes of data under one checksum. Small enough that a short range reads
/// little more than itself, large enough that the table is a 4096th of the data.
pub(crate) const BLOCK_BYTES: usize = 16 * 1024;

/// Bytes of one checksum in the table.
pub(crate) const CHECKSUM_BYTES: usize = 4;

pub(crate) const FOOTER_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"CSTRLBLB";
const VERSION: u32 = 1;

/// How many blocks hold `data_len` bytes.
pub(crate) fn block_count(data_len: u64) -> u64 {
    data_len.div_ceil(BLOCK_BYTES as u64)
}

/// Length of the whole file.
pub(crate) fn file_len(data_len: u64) -> u64 {
    let used = data_len + block_count(data_len) * CHECKSUM_BYTES as u64 + FOOTER_BYTES as u64;
    used.next_multiple_of(ALIGNMENT as u64)
}

/// The checksum of one block: CRC-32C over the blob's id, the block's number
/// and the data, so that a block read from a wrong place does not pass.
pub(crate) struct BlockChecksum(Digest);

impl BlockChecksum {
    pub(crate) fn new(id: BlobId, block: u64) -> Self {
        let mut place = [0; 24];
        place[..16].copy_from_slice(&id.0);
        place[16..].copy_from_slice(&block.to_le_bytes());
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        digest.update(&place);
        BlockChecksum(digest)
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(crate) fn finish(self) -> u32 {
        self.0.finalize() as u32
    }
}

/// The end of a finished blob file.
pub(crate) fn encode_footer(id: BlobId, data_len: u64) -> [u8; FOOTER_BYTES] {
    let mut footer = [0; FOOTER_BYTES];
    footer[..16].copy_from_slice(&id.0);
    footer[16..24].copy_from_slice(&data_len.to_le_bytes());
    footer[24..28].copy_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
    // Bytes 28 to 32 are zero.
    footer[32..36].copy_from_slice(&VERSION.to_le_bytes());
    footer[36..44].copy_from_slice(&MAGIC);
    let checksum = crc_fast::crc32_iscsi(&footer[..44]);
    footer[44..].copy_from_slice(&checksum.to_le_bytes());
    footer
}

/// The length of the data, if the footer is whole and belongs to this blob and
/// to a file of this length; else what is wrong.
pub(crate) fn decode_footer(
    footer: &[u8; FOOTER_BYTES],
    id: BlobId,
    file_bytes: u64,
) -> Result<u64, &'static str> {
    let data_len = u64::from_le_bytes(array(&footer[16..24]));
    if footer[36..44] != MAGIC {
        return Err("the file does not end as a blob does");
    }
    if footer[44..] != crc_fast::crc32_iscsi(&footer[..44]).to_le_bytes() {
        return Err("the footer does not match its checksum");
    }
    if u32::from_le_bytes(array(&footer[32..36])) != VERSION {
        return Err("the blob's format version is unknown");
    }
    if footer[..16] != id.0 {
        return Err("the file is another blob's");
    }
    if u32::from_le_bytes(array(&footer[24..28])) != BLOCK_BYTES as u32 {
        return Err("the block size is unknown");
    }
    if data_len > file_bytes || file_len(data_len) != file_bytes {
        return Err("the file does not have the length that its footer says");
    }
    Ok(data_len)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice has the array's length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BlobId = BlobId([7; 16]);

    #[test]
    fn every_change_of_a_footer_is_noticed() {
        let data_len = 3 * BLOCK_BYTES as u64 + 5;
        let footer = encode_footer(ID, data_len);
        let file_bytes = file_len(data_len);
        assert_eq!(decode_footer(&footer, ID, file_bytes), Ok(data_len));
        assert!(decode_footer(&footer, BlobId([8; 16]), file_bytes).is_err());
        assert!(decode_footer(&footer, ID, file_bytes + ALIGNMENT as u64).is_err());
        for byte in 0..FOOTER_BYTES {
            let mut changed = footer;
            changed[byte] ^= 0x10;
            assert!(decode_footer(&changed, ID, file_bytes).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn a_checksum_binds_data_blob_and_block() {
        let checksum = |id, block, data: &[u8]| {
            let mut checksum = BlockChecksum::new(id, block);
            checksum.update(data);
            checksum.finish()
        };
        let right = checksum(ID, 1, b"data");
        assert_eq!(right, checksum(ID, 1, b"data"));
        assert_ne!(right, checksum(ID, 2, b"data"));
        assert_ne!(right, checksum(BlobId([8; 16]), 1, b"data"));
        assert_ne!(right, checksum(ID, 1, b"dat4"));
    }

    /// The numbers of docs/formats/embedded.md.
    #[test]
    fn the_bytes_are_as_documented() {
        assert_eq!(BLOCK_BYTES, 16384);
        assert_eq!(FOOTER_BYTES, 48);
        assert_eq!(file_len(0), 4096);
        assert_eq!(file_len(16385), 20480);
        assert_eq!(file_len(20480 - 8 - 48), 20480);
        assert_eq!(file_len(20480 - 8 - 48 + 1), 24576);
        let footer = encode_footer(BlobId(*b"0123456789abcdef"), 16385);
        let mut want =
            b"0123456789abcdef\x01\x40\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\x01\0\0\0CSTRLBLB".to_vec();
        want.extend_from_slice(&crc_fast::crc32_iscsi(&want).to_le_bytes());
        assert_eq!(footer[..], want[..]);
        let mut checksum = BlockChecksum::new(BlobId(*b"0123456789abcdef"), 2);
        checksum.update(b"123456789");
        let whole = crc_fast::crc32_iscsi(b"0123456789abcdef\x02\0\0\0\0\0\0\x00123456789");
        assert_eq!(checksum.finish(), whole);
        assert_eq!(crc_fast::crc32_iscsi(b"123456789"), 0xE306_9283);
    }
}
