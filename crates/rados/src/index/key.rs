//! How a row's address becomes a key of an omap.
//!
//! `table ++ escaped group ++ 01 ++ escaped suffix`, so that the bytewise order
//! of keys is the order of groups and then suffixes that the engine seam asks
//! for. librados passes the key that a page begins behind as a C string, so no
//! key may hold a NUL:
//!
//! * the table is one letter, which leaves other letters to the shard itself;
//! * in groups and suffixes the bytes `00`, `01` and `02` are written as `02 02`,
//!   `02 03` and `02 04`;
//! * the terminator `01` sorts before every continuation of the group.

use std::borrow::Cow;

use costrel_core::engine::{BucketId, EngineError, Partition, RowRef, ScanRange, Table};

const ESCAPE: u8 = 0x02;
const TERMINATOR: u8 = 0x01;

/// The shard's header.
pub(crate) const HEADER: &[u8] = b"h";
/// Before a gateway's name: the last commit of that gateway.
pub(crate) const MARKER: u8 = b'w';
/// Before the key of a row: it changed while the shard's rows are being copied.
pub(crate) const CHANGED: u8 = b'l';

/// Longest key in bytes; Ceph itself takes 64 KiB.
const KEY_BYTES_MAX: usize = 60 << 10;

/// The letter that begins the keys of a table's rows.
pub(crate) fn letter(table: Table) -> u8 {
    match table {
        Table::Installation => b'c',
        Table::AccessKey => b'a',
        Table::Bucket => b'b',
        Table::Object => b'o',
        Table::Body => b'i',
        Table::Upload => b'u',
        Table::Part => b'q',
        Table::Pending => b'p',
        Table::Garbage => b'g',
        Table::Version => b'v',
        Table::History => b'y',
        Table::Log => b'd',
        Table::Usage => b'k',
        Table::Event => b'e',
        Table::Due => b'm',
    }
}

fn escape_into(key: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if byte <= ESCAPE {
            key.extend_from_slice(&[ESCAPE, byte + 2]);
        } else {
            key.push(byte);
        }
    }
}

/// A group as it stands in keys, and in the bounds of shards.
pub(crate) fn escape(group: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(group.len() + 8);
    escape_into(&mut escaped, group);
    escaped
}

fn unescape(escaped: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !escaped.contains(&ESCAPE) {
        return Some(Cow::Borrowed(escaped));
    }
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            ESCAPE => bytes.push(rest.next()?.checked_sub(2).filter(|b| *b <= ESCAPE)?),
            _ => bytes.push(byte),
        }
    }
    Some(Cow::Owned(bytes))
}

/// The key of one row; the group is escaped already.
pub(crate) fn row_key(escaped_group: &[u8], row: &RowRef) -> Vec<u8> {
    let mut key = Vec::with_capacity(escaped_group.len() + row.suffix.len() + 10);
    key.push(letter(row.table));
    key.extend_from_slice(escaped_group);
    key.push(TERMINATOR);
    escape_into(&mut key, &row.suffix);
    key
}

pub(crate) fn check_length(key: &[u8]) -> Result<(), EngineError> {
    if key.len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    let context = format!("a row's name takes {} bytes, {KEY_BYTES_MAX} is the most", key.len());
    Err(EngineError::io(context, std::io::ErrorKind::InvalidInput.into()))
}

/// Group and suffix.
pub(crate) type Name<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// What a row's key names; `None` when it was not made by [`row_key`].
pub(crate) fn split(key: &[u8]) -> Option<Name<'_>> {
    let (_, name) = key.split_first()?;
    let end = name.iter().position(|&byte| byte == TERMINATOR)?;
    Some((unescape(&name[..end])?, unescape(&name[end + 1..])?))
}

/// The escaped group of a row's key.
pub(crate) fn group_of(key: &[u8]) -> Option<&[u8]> {
    let (_, name) = key.split_first()?;
    let end = name.iter().position(|&byte| byte == TERMINATOR)?;
    Some(&name[..end])
}

/// A place between the keys of a table: behind all rows before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Pages begin behind this key.
    pub after: Vec<u8>,
    /// The one key that the place itself includes, if pages cannot.
    pub first: Option<Vec<u8>>,
}

impl Place {
    /// Before the first row of a group, escaped, or of what follows it. Nothing
    /// but the group's own rows lies between its name without the terminator and
    /// those rows.
    pub(crate) fn group(table: Table, escaped_group: &[u8]) -> Place {
        let mut after = vec![letter(table)];
        after.extend_from_slice(escaped_group);
        Place { after, first: None }
    }

    /// Behind the row with this key.
    pub(crate) fn behind(key: Vec<u8>) -> Place {
        Place { after: key, first: None }
    }

    /// Where a scan begins.
    pub(crate) fn start(table: Table, range: &ScanRange) -> Place {
        let group = escape(&range.start_group);
        if range.start_suffix.is_empty() {
            return Place::group(table, &group);
        }
        let key = row_key(&group, &RowRef { table, suffix: range.start_suffix.clone() });
        Place { after: key.clone(), first: Some(key) }
    }

    /// The escaped group that decides which shard the place is in.
    pub(crate) fn escaped_group(&self) -> &[u8] {
        let name = &self.after[1..];
        let end = name.iter().position(|&byte| byte == TERMINATOR).unwrap_or(name.len());
        &name[..end]
    }
}

/// What begins the names of a partition's objects.
pub(crate) fn partition_name(partition: Partition) -> String {
    match partition {
        Partition::System => "system".into(),
        Partition::Bucket(BucketId(number)) => format!("{number:016x}"),
    }
}

pub(crate) fn root_object(partition: Partition) -> String {
    format!("{}.root", partition_name(partition))
}

pub(crate) fn shard_object(partition: Partition, shard: u64) -> String {
    format!("{}.{shard:016x}", partition_name(partition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{size, tallies};

    const PARTS: [&[u8]; 13] = [
        b"",
        b"\0",
        b"\0\0",
        b"\0\x01",
        b"\0\xff",
        b"\x01",
        b"\x01\x02",
        b"\x02",
        b"\x02\x02",
        b"\x03",
        b"a",
        b"a\0",
        b"\xff",
    ];

    #[test]
    fn keys_sort_as_groups_and_suffixes_do_and_hold_no_nul() {
        let mut rows = Vec::new();
        for group in PARTS {
            for suffix in PARTS {
                rows.push((group, suffix));
            }
        }
        rows.sort();
        let key = |(group, suffix): &(&[u8], &[u8])| {
            row_key(&escape(group), &RowRef::new(Table::Part, suffix.to_vec()))
        };
        let keys: Vec<_> = rows.iter().map(key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        for ((group, suffix), key) in rows.iter().zip(&keys) {
            assert!(!key.contains(&0));
            let (g, s) = split(key).unwrap();
            assert_eq!((g.as_ref(), s.as_ref()), (*group, *suffix));
        }
    }

    #[test]
    fn a_group_begins_right_behind_its_place() {
        for group in PARTS {
            let place = Place::group(Table::Part, &escape(group));
            for other in PARTS {
                for suffix in PARTS {
                    let row = RowRef::new(Table::Part, suffix.to_vec());
                    let behind = row_key(&escape(other), &row) > place.after;
                    assert_eq!(behind, other >= group, "{other:?} {suffix:?} at {group:?}");
                }
            }
        }
    }

    #[test]
    fn foreign_keys_are_not_taken_apart() {
        for key in [&b""[..], b"o", b"oabc", b"oabc\x02\x01", b"oa\x02\x09\x01", b"oa\x01\x02"] {
            assert_eq!(split(key), None, "{key:?}");
        }
    }

    #[test]
    fn no_two_kinds_of_keys_share_a_letter() {
        let mut letters: Vec<u8> = Table::ALL.into_iter().map(letter).collect();
        letters.extend([HEADER[0], MARKER, CHANGED, size::BASE[0], tallies::CARRIED[0]]);
        letters.sort_unstable();
        assert!(letters.is_sorted_by(|a, b| a < b));
    }
}
