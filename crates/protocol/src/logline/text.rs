//! Text of clients on a line of a log: whatever they send, it stays one field of one
//! line. What would break out of it is percent-encoded; a percent sign stays as it is,
//! since most of what is logged is escaped already.

use std::fmt::Write;

/// Parameters whose values let others send the request again.
const SECRETS: [&str; 6] = [
    "q-signature",
    "sign",
    "signature",
    "x-amz-signature",
    "x-amz-security-token",
    "x-cos-security-token",
];

/// What of a field is kept, at most: a row of lines is to hold any of them, however long
/// the heads are that a server takes.
const FIELD_BYTES_MAX: usize = 64 << 10;

fn escape(line: &mut String, text: &[u8], keeps: impl Fn(u8) -> bool) {
    for &byte in text.iter().take(FIELD_BYTES_MAX) {
        match keeps(byte) {
            true => line.push(char::from(byte)),
            false => {
                // Writing to a string cannot fail.
                let _ = write!(line, "%{byte:02X}");
            }
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
}

/// A field between spaces; `-` if there is nothing in it.
pub(super) fn field(line: &mut String, text: &[u8]) {
    line.push(' ');
    match text.is_empty() {
        true => line.push('-'),
        false => escape(line, text, is_plain),
    }
}

pub(super) fn optional(line: &mut String, text: Option<&str>) {
    field(line, text.unwrap_or_default().as_bytes());
}

pub(super) fn number(line: &mut String, number: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(line, " {number}");
}

/// A field in quotes, in which spaces may stand.
pub(super) fn quoted(line: &mut String, text: &[u8]) {
    line.push_str(" \"");
    match text.is_empty() {
        true => line.push('-'),
        false => escape(line, text, |byte| is_plain(byte) || byte == b' '),
    }
    line.push('"');
}

/// A target whose query does not let others send the request again.
pub(super) fn without_signature(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs = query.split('&').map(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let decoded = crate::percent::decode_query(name).unwrap_or_default();
        match SECRETS.iter().any(|secret| decoded.eq_ignore_ascii_case(secret)) {
            true => [name, "=***"].concat(),
            false => pair.to_owned(),
        }
    });
    [path, "?", &pairs.collect::<Vec<_>>().join("&")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_field() {
        let hostile: Vec<u8> = (0..=255).collect();
        let mut line = String::new();
        field(&mut line, &hostile);
        assert!(line[1..].bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'), "{line}");
        let mut line = String::new();
        quoted(&mut line, &hostile);
        let inner = line.strip_prefix(" \"").and_then(|line| line.strip_suffix('"')).unwrap();
        let allowed = |byte: u8| byte == b' ' || (byte.is_ascii_graphic() && byte != b'"');
        assert!(inner.bytes().all(allowed) && !inner.contains('\\'), "{line}");
        let mut line = String::new();
        field(&mut line, b"");
        quoted(&mut line, b"");
        optional(&mut line, None);
        assert_eq!(line, " - \"-\" -");
        line.clear();
        field(&mut line, &vec![b' '; 2 * FIELD_BYTES_MAX]);
        assert_eq!(line.len(), 1 + 3 * FIELD_BYTES_MAX);
    }

    #[test]
    fn signatures_are_left_out() {
        for (target, expected) in [
            ("/a%20b", "/a%20b"),
            ("/a?acl", "/a?acl"),
            ("/a?q-ak=1&q-signature=abc&x=y", "/a?q-ak=1&q-signature=***&x=y"),
            ("/a?X-Amz-Signature=abc", "/a?X-Amz-Signature=***"),
            ("/a?X-Amz%2DSignature=abc&sign=", "/a?X-Amz%2DSignature=***&sign=***"),
            ("/a?x-cos-security-token=t&Signature=s", "/a?x-cos-security-token=***&Signature=***"),
            ("/a?%zz=1", "/a?%zz=1"),
        ] {
            assert_eq!(without_signature(target), expected);
        }
    }
}
