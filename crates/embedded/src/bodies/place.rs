//! Where bodies lie: beside their keys, or in the log.

use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};

/// Unit of places in the log, in bytes: what a file system frees at once.
pub(crate) const PAGE_BYTES: usize = 4096;

/// What a body has beyond whole pages stays with its place up to this length, in
/// bytes. A body of a power of two and what the core puts in front of it then
/// needs no page for the few bytes more.
const TAIL_BYTES_MAX: usize = 512;

/// Shorter bodies would mostly be padding, in bytes.
const LOGGED_BYTES_MIN: usize = PAGE_BYTES;

/// A body may waste this part of its pages.
const WASTE_PART_MAX: usize = 4;

const TAG_BESIDE: u8 = 0;
const TAG_PLACED: u8 = 1;

/// Bytes of a place without its tail.
const PLACE_BYTES: usize = 1 + 4 * 4;

/// Some pages of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) segment: u32,
    pub(crate) page: u32,
    pub(crate) pages: u32,
}

impl Extent {
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.page) * PAGE_BYTES as u64
    }

    pub(crate) fn len(self) -> u64 {
        u64::from(self.pages) * PAGE_BYTES as u64
    }

    /// The first page behind it.
    pub(crate) fn end(self) -> u32 {
        self.page + self.pages
    }
}

/// A body in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) page: u32,
    /// Bytes in the log; never zero.
    pub(crate) len: u32,
    /// Of the bytes in the log, see [`checksum`].
    pub(crate) checksum: u32,
    /// The body's end, which is not in the log.
    pub(crate) tail: Bytes,
}

impl Place {
    pub(crate) fn extent(&self) -> Extent {
        Extent { segment: self.segment, page: self.page, pages: pages(self.len as usize) }
    }

    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.page) * PAGE_BYTES as u64
    }
}

pub(crate) fn pages(len: usize) -> u32 {
    len.div_ceil(PAGE_BYTES) as u32
}

/// How many of a body's bytes go to the log; `None` when it stays beside its key.
pub(crate) fn logged_len(len: usize) -> Option<usize> {
    let tail = len % PAGE_BYTES;
    let logged = if tail <= TAIL_BYTES_MAX { len - tail } else { len };
    let used = logged.next_multiple_of(PAGE_BYTES);
    let fits = u32::try_from(used).is_ok();
    (fits && logged >= LOGGED_BYTES_MIN && (used - logged) * WASTE_PART_MAX <= used)
        .then_some(logged)
}

/// CRC-32C over the place and the bytes, so that bytes from a wrong place do not
/// pass.
pub(crate) fn checksum(segment: u32, page: u32, data: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&segment.to_le_bytes());
    digest.update(&page.to_le_bytes());
    digest.update(data);
    digest.finalize() as u32
}

/// What the row store has of a body, or of any other row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Value(Bytes),
    Placed(Place),
}

impl Stored {
    /// The row of a body that stays beside its key.
    pub(crate) fn encode_beside(body: &[u8]) -> Bytes {
        let mut row = BytesMut::with_capacity(1 + body.len());
        row.put_u8(TAG_BESIDE);
        row.put_slice(body);
        row.freeze()
    }

    /// The row of a body in the log.
    pub(crate) fn encode_placed(place: &Place) -> Bytes {
        let mut row = BytesMut::with_capacity(PLACE_BYTES + place.tail.len());
        row.put_u8(TAG_PLACED);
        for number in [place.segment, place.page, place.len, place.checksum] {
            row.put_u32_le(number);
        }
        row.put_slice(&place.tail);
        row.freeze()
    }

    /// `None` for what no version of the program writes.
    pub(crate) fn decode(row: &Bytes) -> Option<Stored> {
        match *row.first()? {
            TAG_BESIDE => Some(Stored::Value(row.slice(1..))),
            TAG_PLACED if row.len() >= PLACE_BYTES => {
                let number = |n: usize| {
                    let at = 1 + 4 * n;
                    u32::from_le_bytes(row[at..at + 4].try_into().expect("four bytes"))
                };
                let (segment, page, len, checksum) = (number(0), number(1), number(2), number(3));
                let tail = row.slice(PLACE_BYTES..);
                page.checked_add(pages(len as usize))?;
                (len > 0).then_some(Stored::Placed(Place { segment, page, len, checksum, tail }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_would_waste_pages_stay_beside_their_keys() {
        assert_eq!(logged_len(0), None);
        assert_eq!(logged_len(LOGGED_BYTES_MIN - 1), None);
        assert_eq!(logged_len(LOGGED_BYTES_MIN), Some(LOGGED_BYTES_MIN));
        // As the core makes the body of an object of 64 KiB.
        assert_eq!(logged_len(65536 + 16), Some(65536));
        assert_eq!(logged_len(65536 + TAIL_BYTES_MAX), Some(65536));
        assert_eq!(logged_len(65536 + TAIL_BYTES_MAX + 1), Some(65536 + TAIL_BYTES_MAX + 1));
        for len in 0..200_000 {
            let Some(logged) = logged_len(len) else { continue };
            assert!(len - logged <= TAIL_BYTES_MAX);
            let used = pages(logged) as usize * PAGE_BYTES;
            assert!(used * 3 <= logged * 4, "{len} bytes take {used}");
        }
    }

    /// The bytes of docs/formats/embedded.md.
    #[test]
    fn rows_are_as_documented() {
        let body = Bytes::from_static(b"body");
        let row = Stored::encode_beside(&body);
        assert_eq!(row[..], *b"\0body");
        assert_eq!(Stored::decode(&row), Some(Stored::Value(body)));
        let tail = Bytes::from_static(b"tail");
        let place = Place { segment: 1, page: 0x0203, len: 0x04_0506, checksum: 0x0708_090A, tail };
        let row = Stored::encode_placed(&place);
        assert_eq!(row[..], *b"\x01\x01\0\0\0\x03\x02\0\0\x06\x05\x04\0\x0a\x09\x08\x07tail");
        assert_eq!(Stored::decode(&row), Some(Stored::Placed(place)));
        for broken in [&b""[..], b"\x02body", &row[..16], &[&[1][..], &[0xFF; 16]].concat()] {
            assert_eq!(Stored::decode(&Bytes::copy_from_slice(broken)), None, "{broken:?}");
        }
        let whole = crc_fast::crc32_iscsi(b"\x01\0\0\0\x03\x02\0\x00123456789");
        assert_eq!(checksum(1, 0x0203, b"123456789"), whole);
    }
}
