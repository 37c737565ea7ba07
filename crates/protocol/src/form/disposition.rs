//! The two headers of a form that mean something: the body's `Content-Type` and
//! each part's `Content-Disposition`.

use super::FormError;
use crate::percent;

/// Longest boundary, RFC 2046.
const BOUNDARY_BYTES_MAX: usize = 70;

/// The boundary of a `multipart/form-data` content type.
pub fn boundary(content_type: &str) -> Result<String, FormError> {
    let (kind, rest) = content_type.split_once(';').ok_or(FormError::ContentType)?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(FormError::ContentType);
    }
    let mut found = None;
    parameters(rest, |name, value| {
        if name.eq_ignore_ascii_case("boundary") && found.is_none() {
            found = Some(value);
        }
    })
    .ok_or(FormError::ContentType)?;
    let boundary = found.ok_or(FormError::ContentType)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len());
    if fits && boundary.bytes().all(allowed) && !boundary.ends_with(' ') {
        Ok(boundary)
    } else {
        Err(FormError::ContentType)
    }
}

/// A part's name and, for a file, the file's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub name: String,
    pub file_name: Option<String>,
}

impl Disposition {
    pub fn parse(value: &str) -> Result<Disposition, FormError> {
        let malformed = FormError::Malformed("a part's disposition");
        let (kind, rest) = value.split_once(';').unwrap_or((value, ""));
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(malformed);
        }
        let (mut name, mut plain, mut extended) = (None, None, None);
        parameters(rest, |parameter, value| match parameter.to_ascii_lowercase().as_str() {
            "name" => name = Some(value),
            "filename" => plain = Some(value),
            "filename*" => extended = decode_extended(&value),
            _ => {}
        })
        .ok_or(malformed.clone())?;
        Ok(Disposition { name: name.ok_or(malformed)?, file_name: extended.or(plain) })
    }
}

/// `UTF-8''%e4%bd%a0.txt`, RFC 8187; Python clients send names so.
fn decode_extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    percent::decode(encoded).ok().map(|name| name.into_owned())
}

/// Calls back for each `name=value` of a list separated by semicolons. A value
/// is a token or a quoted string, in which only `\"` is an escape: browsers send
/// Windows paths with their backslashes. `None` if the list is malformed.
fn parameters(list: &str, mut found: impl FnMut(&str, String)) -> Option<()> {
    let mut rest = list.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let value;
        if let Some(quoted) = after.strip_prefix('"') {
            (value, rest) = quoted_string(quoted)?;
        } else {
            let end = after.find(';').unwrap_or(after.len());
            value = after[..end].trim_end().to_owned();
            rest = &after[end..];
        }
        found(name.trim(), value);
        rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
    }
    Some(())
}

/// The string up to its closing quote, and what follows that.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' if text[at + 1..].starts_with('"') => {
                value.push('"');
                chars.next();
            }
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries() {
        let ok = [
            ("multipart/form-data; boundary=abc", "abc"),
            ("Multipart/Form-Data;charset=utf-8; Boundary=\"a b=:c\" ", "a b=:c"),
            (
                "multipart/form-data; boundary=----WebKitFormBoundaryX; x=y",
                "----WebKitFormBoundaryX",
            ),
        ];
        for (text, want) in ok {
            assert_eq!(boundary(text).as_deref(), Ok(want), "{text}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for text in [
            "",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=\"a\"b",
            "multipart/form-data; boundary=\"a \"",
            "multipart/form-data; boundary=\"a\r\n\"",
            "multipart/form-data; boundary=ä",
            "multipart/mixed; boundary=abc",
            &long,
        ] {
            assert_eq!(boundary(text), Err(FormError::ContentType), "{text}");
        }
    }

    #[test]
    fn dispositions() {
        let ok = [
            ("form-data; name=\"key\"", "key", None),
            (" FORM-DATA ;name=key", "key", None),
            ("form-data; name=\"a;b=\\\"c\"; filename=\"x;y\"", "a;b=\"c", Some("x;y")),
            ("form-data; name=\"file\"; filename=\"C:\\d\\n.txt\"", "file", Some("C:\\d\\n.txt")),
            ("form-data; name=\"file\"; filename=\"\"", "file", Some("")),
            (
                "form-data; name=\"file\"; filename=\"x\"; filename*=utf-8''%E4%BD%A0.txt",
                "file",
                Some("你.txt"),
            ),
            ("form-data; name=\"file\"; filename=\"x\"; filename*=latin1''%E4", "file", Some("x")),
            ("form-data; name=\"名\"", "名", None),
        ];
        for (text, name, file_name) in ok {
            let got = Disposition::parse(text).unwrap();
            assert_eq!((got.name.as_str(), got.file_name.as_deref()), (name, file_name), "{text}");
        }
        for text in [
            "",
            "form-data",
            "form-data; filename=\"x\"",
            "attachment; name=\"x\"",
            "form-data; name=\"x",
            "form-data; name=\"x\\\"",
            "form-data; name=\"x\"y",
            "form-data; name",
        ] {
            assert!(Disposition::parse(text).is_err(), "{text}");
        }
    }
}
