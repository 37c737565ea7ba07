//! Rows of objects that carry their body's row along.
//!
//! Who reads an object reads its row and, at the same key, the row of its body. Out of
//! millions of rows each lookup costs as much as everything else in a small read, so
//! an object's row has a copy of the body's row in front of its value, if that is
//! short: a place in the log, or a body of some hundred bytes.
//!
//! The body's own row stays, and is what counts. Both are of the same batch: whoever
//! changes the body's row alone has the object's written again.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Begins a row whose value has something in front of it. A value of the core never
/// begins so, and one that did would be stored with nothing in front of it.
const TAG: u8 = 0;

/// Bytes in front of the body's row: the tag and a length.
const HEAD_BYTES: usize = 3;

/// Longest row of a body that is carried: one of a body of 256 bytes, behind the tag
/// and the 16 bytes that the core puts in front. Lists walk over what is carried.
const CARRIED_BYTES_MAX: usize = 1 + 16 + 256;

/// The row of an object whose body's row is `body`.
pub(super) fn encode(value: &Bytes, body: Option<&Bytes>) -> Bytes {
    let body = body.filter(|body| body.len() <= CARRIED_BYTES_MAX);
    if body.is_none() && value.first() != Some(&TAG) {
        return value.clone();
    }
    let body = body.map_or(&[][..], |body| body);
    let mut row = BytesMut::with_capacity(HEAD_BYTES + body.len() + value.len());
    row.put_u8(TAG);
    row.put_u16_le(u16::try_from(body.len()).expect("a short row"));
    row.put_slice(body);
    row.put_slice(value);
    row.freeze()
}

/// The value of an object's row; `None` for what no version of the program writes.
pub(super) fn value(mut row: Bytes) -> Option<Bytes> {
    // Not a slice of the row: lists run side by side, and would contend for the count
    // of references of every row.
    let value_at = value_at(&row)?;
    row.advance(value_at);
    Some(row)
}

/// The same, and the row of the body if it is carried.
pub(super) fn decode(row: Bytes) -> Option<(Bytes, Option<Bytes>)> {
    let value_at = value_at(&row)?;
    let body = (value_at > HEAD_BYTES).then(|| row.slice(HEAD_BYTES..value_at));
    Some((value(row)?, body))
}

fn value_at(row: &[u8]) -> Option<usize> {
    if row.first() != Some(&TAG) {
        return Some(0);
    }
    let len = u16::from_le_bytes(row.get(1..HEAD_BYTES)?.try_into().ok()?);
    let value_at = HEAD_BYTES + usize::from(len);
    (row.len() > value_at).then_some(value_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of docs/formats/embedded.md.
    #[test]
    fn rows_are_as_documented() {
        let (value, body) = (Bytes::from_static(b"value"), Bytes::from_static(b"\0body"));
        assert_eq!(encode(&value, None), value);
        let row = encode(&value, Some(&body));
        assert_eq!(row[..], *b"\0\x05\0\0bodyvalue");
        assert_eq!(super::value(row.clone()), Some(value.clone()));
        assert_eq!(decode(row), Some((value.clone(), Some(body))));
        assert_eq!(decode(value.clone()), Some((value.clone(), None)));
        let odd = Bytes::from_static(b"\0value");
        let row = encode(&odd, None);
        assert_eq!(row[..], *b"\0\0\0\0value");
        assert_eq!(decode(row), Some((odd, None)));
        for broken in [&b"\0"[..], b"\0\0", b"\0\0\0", b"\0\x05\0body", b"\0\x05\0\0body"] {
            assert_eq!(decode(Bytes::copy_from_slice(broken)), None, "{broken:?}");
        }
    }

    #[test]
    fn only_short_rows_are_carried() {
        let value = Bytes::from_static(b"value");
        let body = |len| Bytes::from(vec![7; len]);
        let row = encode(&value, Some(&body(CARRIED_BYTES_MAX)));
        assert_eq!(decode(row), Some((value.clone(), Some(body(CARRIED_BYTES_MAX)))));
        assert_eq!(encode(&value, Some(&body(CARRIED_BYTES_MAX + 1))), value);
    }
}
