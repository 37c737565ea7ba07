//! Reads what strace wrote: one system call a line, or its beginning and its end
//! on two when another thread's came between.

use std::collections::HashMap;

/// An argument of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A file's name or bytes.
    Bytes(Vec<u8>),
    /// Anything else, as it stands.
    Word(String),
}

impl Arg {
    pub fn number(&self) -> Option<i64> {
        match self {
            Arg::Word(word) => word.parse().ok(),
            Arg::Bytes(_) => None,
        }
    }

    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Arg::Bytes(bytes) => Some(bytes),
            Arg::Word(_) => None,
        }
    }

    pub fn word(&self) -> &str {
        match self {
            Arg::Word(word) => word,
            Arg::Bytes(_) => "",
        }
    }
}

/// A system call. When it has begun only, what the kernel fills in is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub thread: u32,
    pub name: String,
    pub args: Vec<Arg>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A call has begun and is under way.
    Begun(Call),
    /// A call that had begun has returned; with nothing, when its thread ended in
    /// it.
    Returned(Call, Option<i64>),
    /// Both at once.
    Done(Call, Option<i64>),
}

/// Reads lines in order.
#[derive(Default)]
pub struct Reader {
    /// The beginning of the call that each thread is in.
    under_way: HashMap<u32, Vec<u8>>,
}

impl Reader {
    /// `None` for lines that tell of no call.
    pub fn read(&mut self, line: &[u8]) -> Result<Option<Line>, String> {
        let broken = || format!("not a line of strace: {}", excerpt(line));
        let space = line.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let thread = std::str::from_utf8(&line[..space]).map_err(|_| broken())?;
        let thread = thread.parse().map_err(|_| broken())?;
        let text = line[space..].trim_ascii();
        if text.starts_with(b"+++") || text.starts_with(b"---") {
            return Ok(None);
        }
        if let Some(begun) = text.strip_suffix(b"<unfinished ...>") {
            let begun = begun.trim_ascii_end();
            let call = call(thread, begun, false).ok_or_else(broken)?.0;
            self.under_way.insert(thread, begun.to_vec());
            return Ok(Some(Line::Begun(call)));
        }
        // The process ended in the call that the last line tells of.
        if let Some(begun) = text.strip_suffix(b"<detached ...>") {
            let call = call(thread, begun.trim_ascii_end(), false).ok_or_else(broken)?.0;
            return Ok(Some(Line::Begun(call)));
        }
        if text.starts_with(b"<... ") {
            let marker = b" resumed>";
            let at = text.windows(marker.len()).position(|window| window == marker);
            let rest = &text[at.ok_or_else(broken)? + marker.len()..];
            let whole = [&self.under_way.remove(&thread).ok_or_else(broken)?[..], rest].concat();
            let (call, result) = call(thread, &whole, true).ok_or_else(broken)?;
            return Ok(Some(Line::Returned(call, result)));
        }
        let (call, result) = call(thread, text, true).ok_or_else(broken)?;
        Ok(Some(Line::Done(call, result)))
    }
}

/// Both ends of a line, which may hold megabytes.
fn excerpt(line: &[u8]) -> String {
    const END: usize = 100;
    let text = String::from_utf8_lossy;
    match line.len() {
        0..=200 => text(line).into_owned(),
        len => format!("{} … {}", text(&line[..END]), text(&line[len - END..])),
    }
}

/// `name(args) = result …`, or the front part of it.
fn call(thread: u32, text: &[u8], whole: bool) -> Option<(Call, Option<i64>)> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let name = String::from_utf8(text[..open].to_vec()).ok()?;
    let (args, rest) = args(&text[open + 1..])?;
    let call = Call { thread, name, args };
    if !whole {
        return Some((call, None));
    }
    let result = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let end = result.iter().position(|byte| *byte == b' ').unwrap_or(result.len());
    let result = match &result[..end] {
        b"?" => return Some((call, None)),
        number => match std::str::from_utf8(number).ok()? {
            flags if flags.starts_with("0x") => i64::from_str_radix(&flags[2..], 16).ok()?,
            number => number.parse().ok()?,
        },
    };
    Some((call, Some(result)))
}

/// The arguments up to the closing parenthesis, and what is behind it.
fn args(text: &[u8]) -> Option<(Vec<Arg>, &[u8])> {
    let mut args = Vec::new();
    let mut word = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    let end_word = |word: &mut Vec<u8>, args: &mut Vec<Arg>| {
        let text = String::from_utf8_lossy(word.trim_ascii()).into_owned();
        word.clear();
        if !text.is_empty() {
            args.push(Arg::Word(text));
        }
    };
    while at < text.len() {
        match text[at] {
            b'"' if depth == 0 => {
                let (bytes, len) = string(&text[at + 1..])?;
                args.push(Arg::Bytes(bytes));
                at += len;
            }
            b',' if depth == 0 => end_word(&mut word, &mut args),
            b')' if depth == 0 => {
                end_word(&mut word, &mut args);
                return Some((args, &text[at + 1..]));
            }
            byte => {
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth -= 1,
                    _ => {}
                }
                word.push(byte);
            }
        }
        at += 1;
    }
    end_word(&mut word, &mut args);
    Some((args, &[]))
}

/// A string behind its opening quote: its bytes, and its length with the closing
/// quote.
fn string(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    loop {
        let run = text[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        bytes.extend_from_slice(&text[at..at + run]);
        at += run;
        if text[at] == b'"' {
            // A string that was cut short would be bytes that are not known.
            return (!text[at + 1..].starts_with(b"...")).then_some((bytes, at + 1));
        }
        at += 1;
        let byte = match *text.get(at)? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'0'..=b'7' => {
                let digits = text[at..].iter().take(3).take_while(|d| matches!(d, b'0'..=b'7'));
                let value = digits.clone().fold(0, |value, d| value * 8 + u32::from(d - b'0'));
                at += digits.count() - 1;
                u8::try_from(value).ok()?
            }
            other => other,
        };
        bytes.push(byte);
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Arg {
        Arg::Word(text.into())
    }

    fn bytes(bytes: &[u8]) -> Arg {
        Arg::Bytes(bytes.to_vec())
    }

    #[test]
    fn a_call_on_one_line() {
        let mut reader = Reader::default();
        let line = br#"12 openat(AT_FDCWD, "/a b", O_RDWR|O_CREAT, 0666) = 5"#;
        let args = vec![word("AT_FDCWD"), bytes(b"/a b"), word("O_RDWR|O_CREAT"), word("0666")];
        let call = Call { thread: 12, name: "openat".into(), args };
        assert_eq!(reader.read(line), Ok(Some(Line::Done(call, Some(5)))));
        let failed = br#"12 unlink("/x") = -1 ENOENT (No such file or directory)"#;
        let Ok(Some(Line::Done(call, Some(-1)))) = reader.read(failed) else { panic!() };
        assert_eq!(call.args, [bytes(b"/x")]);
        assert_eq!(reader.read(b"12 +++ exited with 0 +++"), Ok(None));
        assert!(reader.read(b"nonsense").is_err());
    }

    #[test]
    fn a_call_on_two_lines() {
        let mut reader = Reader::default();
        let begun = br#"1 write(3, "a,b) = 1", 8 <unfinished ...>"#;
        let Ok(Some(Line::Begun(call))) = reader.read(begun) else { panic!() };
        assert_eq!(call.args, [word("3"), bytes(b"a,b) = 1"), word("8")]);
        let Ok(Some(Line::Done(..))) = reader.read(b"2 fsync(4) = 0") else { panic!() };
        let returned = reader.read(b"1 <... write resumed>) = 8").unwrap();
        assert_eq!(returned, Some(Line::Returned(call, Some(8))));
        let ended = reader.read(b"1 fsync(3) = ?").unwrap();
        assert!(matches!(ended, Some(Line::Done(_, None))), "{ended:?}");
        let left = reader.read(br#"1 write(3, "ab", 2 <detached ...>"#).unwrap();
        let Some(Line::Begun(call)) = left else { panic!("{left:?}") };
        assert_eq!(call.args, [word("3"), bytes(b"ab"), word("2")]);
    }

    #[test]
    fn escapes() {
        let line = br#"1 write(3, "\0\1\0017\37\"\\\n\t\v\f\r\3779\n0", 14) = 14"#;
        let Ok(Some(Line::Done(call, Some(14)))) = Reader::default().read(line) else { panic!() };
        let expected = b"\0\x01\x017\x1f\"\\\n\t\x0b\x0c\r\xff9\n0";
        assert_eq!(call.args[1], bytes(expected));
        let cut = br#"1 write(3, "ab"..., 14) = 14"#;
        assert!(Reader::default().read(cut).is_err(), "bytes that are not known");
    }
}
