//! Percent-encoding, decoded exactly once and encoded as the services do it.

use std::borrow::Cow;

/// Why an escaped text cannot be decoded; both are the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    #[error("a percent sign is not followed by two hexadecimal digits")]
    InvalidEscape,
    #[error("the decoded text is not UTF-8")]
    NotUtf8,
}

/// Decodes a path, a header value or a form value: `+` is a plus sign.
pub fn decode(text: &str) -> Result<Cow<'_, str>, PercentError> {
    decode_with(text, false)
}

/// Decodes a name or a value of a query string, where clients (Go's among them)
/// write a space as `+` and a plus sign as `%2B`.
pub fn decode_query(text: &str) -> Result<Cow<'_, str>, PercentError> {
    decode_with(text, true)
}

fn decode_with(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>, PercentError> {
    let special = |b: u8| b == b'%' || (plus_is_space && b == b'+');
    let bytes = text.as_bytes();
    let Some(first) = bytes.iter().position(|b| special(*b)) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match b {
            b'%' => {
                let (&high, tail) = rest.split_first().ok_or(PercentError::InvalidEscape)?;
                let (&low, tail) = tail.split_first().ok_or(PercentError::InvalidEscape)?;
                out.push(nibble(high)? << 4 | nibble(low)?);
                rest = tail;
            }
            b'+' if plus_is_space => out.push(b' '),
            _ => out.push(b),
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| PercentError::NotUtf8)
}

fn nibble(digit: u8) -> Result<u8, PercentError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(PercentError::InvalidEscape),
    }
}

/// Bytes that stand for themselves: RFC 3986's unreserved characters and the
/// slash, which both services keep in keys.
const KEPT: [bool; 256] = {
    let mut kept = [false; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        kept[b] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
        b += 1;
    }
    kept
};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes for `encoding-type=url` and for URLs in answers. A space becomes
/// `%20` and a plus sign `%2B`, so that decoders of either kind agree.
pub fn encode(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| KEPT[b as usize]) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 2 + 8);
    encode_into(&mut out, text);
    Cow::Owned(out)
}

/// Like [`encode`], appending. What is appended needs no XML escaping.
pub fn encode_into(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| !KEPT[b as usize]) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        let c = chars.next().unwrap_or_default();
        for b in c.encode_utf8(&mut [0; 4]).bytes() {
            out.push('%');
            out.push(HEX[(b >> 4) as usize] as char);
            out.push(HEX[(b & 15) as usize] as char);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once() {
        assert_eq!(decode("a%20b").unwrap(), "a b");
        assert_eq!(decode("%2520").unwrap(), "%20");
        assert_eq!(decode("a+b%2Bc").unwrap(), "a+b+c");
        assert_eq!(decode_query("a+b%2Bc").unwrap(), "a b+c");
        assert_eq!(decode("%e4%bd%a0%E5%A5%BD").unwrap(), "你好");
        assert!(matches!(decode("plain/./..//x"), Ok(Cow::Borrowed(_))));
        assert_eq!(decode("%00").unwrap(), "\0");
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        for text in ["%", "%2", "%zz", "a%2", "%%20", "%+1", "%é"] {
            assert_eq!(decode(text), Err(PercentError::InvalidEscape), "{text}");
            assert_eq!(decode_query(text), Err(PercentError::InvalidEscape), "{text}");
        }
        for text in ["%ff", "%e4%bd", "%C0%80", "%ED%A0%80"] {
            assert_eq!(decode(text), Err(PercentError::NotUtf8), "{text}");
        }
    }

    #[test]
    fn encodes_what_decodes_to_the_same() {
        let all: String = (0..0x250).filter_map(char::from_u32).chain("😀".chars()).collect();
        let encoded = encode(&all);
        assert_eq!(decode(&encoded).unwrap(), all);
        assert_eq!(decode_query(&encoded).unwrap(), all);
        assert_eq!(encode("a b/c+d&<你>"), "a%20b/c%2Bd%26%3C%E4%BD%A0%3E");
        assert!(matches!(encode("dir/file-1_2.~x"), Cow::Borrowed(_)));
    }
}
