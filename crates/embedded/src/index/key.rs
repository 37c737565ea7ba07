//! How a row's address becomes the key of a stored row.
//!
//! `partition ++ escaped group ++ terminator ++ suffix`, so that the bytewise
//! order of keys is the order of groups and then suffixes that the engine seam
//! asks for, whatever bytes they hold:
//!
//! * the partition is `00` for the system's and `01` with the bucket's number,
//!   big-endian, for a bucket's;
//! * in the group each `00` is written as `00 FF`;
//! * the terminator is `00 01`, which sorts before every continuation of the
//!   group: before `00 FF` and before every other byte.

use std::borrow::Cow;

use costrel_core::engine::{BucketId, Partition};

const TAG_SYSTEM: u8 = 0x00;
const TAG_BUCKET: u8 = 0x01;
const ESCAPE: u8 = 0x00;
const ESCAPED_NUL: u8 = 0xFF;
const TERMINATOR: u8 = 0x01;

/// Longest key that fjall takes.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// The bytes that begin the keys of all rows of a partition.
pub(crate) fn partition_prefix(partition: Partition) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    match partition {
        Partition::System => key.push(TAG_SYSTEM),
        Partition::Bucket(BucketId(number)) => {
            key.push(TAG_BUCKET);
            key.extend_from_slice(&number.to_be_bytes());
        }
    }
    key
}

/// The first key after all rows of a partition.
pub(crate) fn partition_end(partition: Partition) -> Vec<u8> {
    let mut key = partition_prefix(partition);
    // A big-endian number is incremented like any string of bytes; the tag in
    // front takes the carry of the last bucket.
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    key
}

/// The partition whose prefix this is.
pub(crate) fn decode_partition(prefix: &[u8]) -> Option<Partition> {
    match prefix {
        [TAG_SYSTEM] => Some(Partition::System),
        [TAG_BUCKET, number @ ..] => {
            let number = number.try_into().ok()?;
            Some(Partition::Bucket(BucketId(u64::from_be_bytes(number))))
        }
        _ => None,
    }
}

/// The bytes that begin the keys of all rows of a group.
pub(crate) fn group_prefix(partition: Partition, group: &[u8]) -> Vec<u8> {
    let mut key = partition_prefix(partition);
    key.reserve(group.len() + 2);
    for &byte in group {
        key.push(byte);
        if byte == ESCAPE {
            key.push(ESCAPED_NUL);
        }
    }
    key.extend_from_slice(&[ESCAPE, TERMINATOR]);
    key
}

/// The key of one row.
pub(crate) fn row_key(partition: Partition, group: &[u8], suffix: &[u8]) -> Vec<u8> {
    let mut key = group_prefix(partition, group);
    key.extend_from_slice(suffix);
    key
}

/// Whether keys of this group and suffix can be stored.
pub(crate) fn fits(group: &[u8], suffix: &[u8]) -> bool {
    let escapes = group.iter().filter(|&&byte| byte == ESCAPE).count();
    1 + 8 + group.len() + escapes + 2 + suffix.len() <= KEY_BYTES_MAX
}

/// Group and suffix of a key without its partition's prefix; `None` when it was
/// not made by [`row_key`].
pub(crate) fn split(key: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut group: Option<Vec<u8>> = None;
    let mut start = 0;
    loop {
        let nul = start + key[start..].iter().position(|&byte| byte == ESCAPE)?;
        let piece = &key[start..nul];
        match *key.get(nul + 1)? {
            TERMINATOR => {
                let suffix = &key[nul + 2..];
                return Some(match group {
                    None => (Cow::Borrowed(piece), suffix),
                    Some(mut group) => {
                        group.extend_from_slice(piece);
                        (Cow::Owned(group), suffix)
                    }
                });
            }
            ESCAPED_NUL => {
                let group = group.get_or_insert_default();
                group.extend_from_slice(piece);
                group.push(ESCAPE);
                start = nul + 2;
            }
            _ => return None,
        }
    }
}

/// Whether this is the key of a row with the empty suffix.
pub(crate) fn has_empty_suffix(key: &[u8]) -> bool {
    let prefix_len = match key.first() {
        Some(&TAG_BUCKET) => 1 + 8,
        _ => 1,
    };
    let rest = key.get(prefix_len..).and_then(split);
    rest.is_some_and(|(_, suffix)| suffix.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Partition = Partition::Bucket(BucketId(7));

    #[test]
    fn keys_sort_as_groups_and_suffixes_do() {
        let parts: [&[u8]; 9] =
            [b"", b"\0", b"\0\0", b"\0\x01", b"\0\xff", b"\x01", b"a", b"a\0", b"\xff"];
        let mut rows = Vec::new();
        for group in parts {
            for suffix in parts {
                rows.push((group, suffix));
            }
        }
        rows.sort();
        let keys: Vec<_> = rows.iter().map(|(g, s)| row_key(BUCKET, g, s)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        for ((group, suffix), key) in rows.iter().zip(&keys) {
            let prefix = partition_prefix(BUCKET);
            let (g, s) = split(key.strip_prefix(&prefix[..]).unwrap()).unwrap();
            assert_eq!((g.as_ref(), s), (*group, *suffix));
            assert_eq!(has_empty_suffix(key), suffix.is_empty());
        }
    }

    #[test]
    fn partitions_do_not_overlap() {
        let partitions = [
            Partition::System,
            Partition::Bucket(BucketId(0)),
            Partition::Bucket(BucketId(255)),
            Partition::Bucket(BucketId(256)),
            Partition::Bucket(BucketId(u64::MAX)),
        ];
        for pair in partitions.windows(2) {
            assert!(row_key(pair[0], &[0xFF; 20], b"") < partition_end(pair[0]));
            assert!(partition_end(pair[0]) <= partition_prefix(pair[1]));
        }
        for partition in partitions {
            assert_eq!(decode_partition(&partition_prefix(partition)), Some(partition));
            assert!(partition_prefix(partition) < partition_end(partition));
        }
    }

    #[test]
    fn foreign_keys_are_not_decoded() {
        for key in [&b""[..], b"abc", b"abc\0", b"abc\0\x02x"] {
            assert_eq!(split(key), None, "{key:?}");
        }
        assert_eq!(decode_partition(b"\x01\x02"), None);
        assert_eq!(decode_partition(b"\x02"), None);
    }
}
