//! Percent-encoding as the signatures define it, and its inverse.
//!
//! Both families leave `A-Z a-z 0-9 - _ . ~` alone and write every other byte
//! as `%XX` with upper-case digits. They differ only in what they apply it to.

use std::borrow::Cow;

use thiserror::Error;

/// Why percent-encoded text could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A `%` not followed by two hexadecimal digits, at this byte offset.
    #[error("bad percent escape at byte {at}")]
    BadEscape { at: usize },
    /// The decoded bytes are not UTF-8.
    #[error("decoded text is not UTF-8")]
    NotUtf8,
}

/// A decoded query parameter: name and value (empty when there was no `=`).
pub type QueryPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Splits a raw query string and decodes each name and value once, in order.
///
/// `+` is a space, as the Python clients of both vendors and HTML forms write
/// it; a literal plus arrives as `%2B` from every official client. Only `&`
/// separates: some clients leave `;` raw inside values. Empty pieces are
/// dropped.
pub fn parse_query(raw: &str) -> Result<Vec<QueryPair<'_>>, DecodeError> {
    raw.split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Ok((decode_form(name)?, decode_form(value)?))
        })
        .collect()
}

/// Decodes `%XX` escapes once; `+` stays a plus.
pub fn decode(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    if !text.as_bytes().contains(&b'%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    decode_into(&mut out, text, false)?;
    String::from_utf8(out).map(Cow::Owned).map_err(|_| DecodeError::NotUtf8)
}

/// Decodes `%XX` escapes once and `+` to a space, as in query strings.
pub fn decode_form(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    decode_into(&mut out, text, true)?;
    String::from_utf8(out).map(Cow::Owned).map_err(|_| DecodeError::NotUtf8)
}

/// Encodes one name or value: everything but the unreserved set, `/` included.
pub fn component(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 8);
    push_component(&mut out, text.as_bytes());
    into_ascii(out)
}

/// Encodes a decoded path for the wire: as [`component`], but `/` stays.
pub fn path(decoded: &str) -> String {
    let mut out = Vec::with_capacity(decoded.len() + 8);
    push_path(&mut out, decoded.as_bytes());
    into_ascii(out)
}

/// Encodes pairs into a query string. A parameter with an empty value is
/// written as its name alone, as `?acl` and `?uploads` are.
pub fn query<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> String {
    let mut out = Vec::with_capacity(pairs.len() * 24);
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push(b'&');
        }
        push_component(&mut out, name.as_ref().as_bytes());
        if !value.as_ref().is_empty() {
            out.push(b'=');
            push_component(&mut out, value.as_ref().as_bytes());
        }
    }
    into_ascii(out)
}

const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        byte += 1;
    }
    table
};

pub(crate) fn is_unreserved(byte: u8) -> bool {
    UNRESERVED[byte as usize]
}

pub(crate) fn push_component(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if is_unreserved(byte) { out.push(byte) } else { push_escape(out, byte, UPPER) }
    }
}

/// A name in the lists of a COS signature: encoded, then lower-cased, so that
/// its escapes are lower-case too.
pub(crate) fn push_lower_component(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if is_unreserved(byte) {
            out.push(byte.to_ascii_lowercase())
        } else {
            push_escape(out, byte, LOWER)
        }
    }
}

pub(crate) fn push_path(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if is_unreserved(byte) || byte == b'/' {
            out.push(byte)
        } else {
            push_escape(out, byte, UPPER)
        }
    }
}

/// Writes the canonical form of a path as it came over the wire: each escape
/// decoded once and encoded again by our rule, nothing normalised.
pub(crate) fn push_recoded_path(out: &mut Vec<u8>, raw: &str) -> Result<(), DecodeError> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let (byte, width) =
            if bytes[at] == b'%' { (escaped(bytes, at)?, 3) } else { (bytes[at], 1) };
        if is_unreserved(byte) || byte == b'/' {
            out.push(byte)
        } else {
            push_escape(out, byte, UPPER)
        }
        at += width;
    }
    Ok(())
}

/// Appends the bytes that `text` stands for.
pub(crate) fn decode_into(
    out: &mut Vec<u8>,
    text: &str,
    plus_is_space: bool,
) -> Result<(), DecodeError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                out.push(escaped(bytes, at)?);
                at += 3;
            }
            b'+' if plus_is_space => {
                out.push(b' ');
                at += 1;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(())
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

fn push_escape(out: &mut Vec<u8>, byte: u8, digits: &[u8; 16]) {
    out.extend_from_slice(&[b'%', digits[(byte >> 4) as usize], digits[(byte & 15) as usize]]);
}

fn escaped(bytes: &[u8], at: usize) -> Result<u8, DecodeError> {
    let digit = |offset: usize| {
        bytes.get(at + offset).and_then(|&b| (b as char).to_digit(16)).map(|d| d as u8)
    };
    match (digit(1), digit(2)) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(DecodeError::BadEscape { at }),
    }
}

/// Text made only of ASCII bytes by this module.
fn into_ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_outside_the_unreserved_set_is_escaped() {
        assert_eq!(
            component("a/b c!'()*~+=&:;,@\"%-_."),
            "a%2Fb%20c%21%27%28%29%2A~%2B%3D%26%3A%3B%2C%40%22%25-_."
        );
        assert_eq!(path("/a b/腾"), "/a%20b/%E8%85%BE");
        assert_eq!(query(&[("acl", ""), ("prefix", "a/b")]), "acl&prefix=a%2Fb");
    }

    #[test]
    fn names_are_lowered_after_encoding() {
        let mut out = Vec::new();
        push_lower_component(&mut out, b"A/b");
        assert_eq!(out, b"a%2fb");
    }

    #[test]
    fn decoding_happens_once_and_refuses_what_it_cannot_read() {
        assert_eq!(decode("a%252F+").unwrap(), "a%2F+");
        assert_eq!(decode_form("a+b%2B").unwrap(), "a b+");
        assert_eq!(decode("%"), Err(DecodeError::BadEscape { at: 0 }));
        assert_eq!(decode("a%4"), Err(DecodeError::BadEscape { at: 1 }));
        assert_eq!(decode("%zz"), Err(DecodeError::BadEscape { at: 0 }));
        assert_eq!(decode("%ff"), Err(DecodeError::NotUtf8));
    }

    #[test]
    fn a_query_is_split_on_ampersands_only() {
        let pairs = parse_query("a=1;2&&b&c=x=y&d=%3B").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        assert_eq!(pairs, [("a", "1;2"), ("b", ""), ("c", "x=y"), ("d", ";")]);
    }

    #[test]
    fn recoding_a_path_makes_escapes_canonical_and_keeps_its_shape() {
        let mut out = Vec::new();
        push_recoded_path(&mut out, "//a/../%7e%2f%e8+(x)").unwrap();
        assert_eq!(out, b"//a/../~/%E8%2B%28x%29");
    }
}
