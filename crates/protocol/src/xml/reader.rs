//! Reading XML of a known form, one element after the other.
//!
//! A body is in memory as a whole and bounded by its caller. There is no DTD,
//! so there are no entities but the five predefined ones and character
//! references, and nothing can grow. Namespaces and attributes mean nothing.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// Deepest nesting of any body, with room to spare.
const DEPTH_MAX: usize = 16;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("the XML is not well-formed or not of the form the operation wants: {0}")]
    Malformed(&'static str),
    /// There is no body at all.
    #[error("the request body is empty")]
    Empty,
    #[error("the body has more than {max} bytes")]
    TooLarge { max: usize },
    #[error("the XML is nested too deeply")]
    TooDeep,
    #[error("a DTD is not allowed")]
    ForbiddenDtd,
    /// More repeated elements than the operation takes.
    #[error("more than {max} elements")]
    TooMany { max: usize },
}

/// A position in a document, always inside some element.
pub(super) struct Source<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

enum Token {
    Open(String),
    Close,
    Text(String),
    End,
}

impl<'a> Source<'a> {
    /// Enters the root element, which must have this name.
    pub fn root(body: &'a [u8], max: usize, name: &str) -> Result<Source<'a>, XmlError> {
        if body.len() > max {
            return Err(XmlError::TooLarge { max });
        }
        let text = std::str::from_utf8(body).map_err(|_| XmlError::Malformed("not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if is_blank(text) {
            return Err(XmlError::Empty);
        }
        if has_forbidden_character(text) {
            return Err(XmlError::Malformed("a character that XML does not have"));
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut source = Source { reader, depth: 0 };
        loop {
            match source.token()? {
                Token::Open(found) if found == name => return Ok(source),
                Token::Open(_) => return Err(XmlError::Malformed("unexpected root element")),
                Token::Text(text) if is_blank(&text) => {}
                _ => return Err(XmlError::Malformed("no root element")),
            }
        }
    }

    /// Enters the next child of the present element and returns its local name,
    /// or leaves the element and returns `None`.
    pub fn child(&mut self) -> Result<Option<String>, XmlError> {
        loop {
            match self.token()? {
                Token::Open(name) => return Ok(Some(name)),
                Token::Close => return Ok(None),
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) => return Err(XmlError::Malformed("text between elements")),
                Token::End => return Err(XmlError::Malformed("unexpected end")),
            }
        }
    }

    /// Reads the present element's text literally, white space included, and
    /// leaves it.
    pub fn text(&mut self) -> Result<String, XmlError> {
        let mut all = String::new();
        loop {
            match self.token()? {
                Token::Text(piece) if all.is_empty() => all = piece,
                Token::Text(piece) => all.push_str(&piece),
                Token::Close => return Ok(all),
                Token::Open(_) => return Err(XmlError::Malformed("an element inside text")),
                Token::End => return Err(XmlError::Malformed("unexpected end")),
            }
        }
    }

    /// Leaves the present element without looking at its content.
    pub fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.depth - 1;
        while self.depth > outside {
            if let Token::End = self.token()? {
                return Err(XmlError::Malformed("unexpected end"));
            }
        }
        Ok(())
    }

    /// After the root was left: nothing may follow.
    pub fn finish(mut self) -> Result<(), XmlError> {
        loop {
            match self.token()? {
                Token::End => return Ok(()),
                Token::Text(text) if is_blank(&text) => {}
                _ => return Err(XmlError::Malformed("content after the root element")),
            }
        }
    }

    fn token(&mut self) -> Result<Token, XmlError> {
        loop {
            let event =
                self.reader.read_event().map_err(|_| XmlError::Malformed("not well-formed"))?;
            return Ok(match event {
                Event::Start(_) if self.depth == DEPTH_MAX => return Err(XmlError::TooDeep),
                Event::Start(start) => {
                    self.depth += 1;
                    Token::Open(start.local_name().into_inner().to_owned())
                }
                Event::End(_) => {
                    self.depth -= 1;
                    Token::Close
                }
                Event::Text(text) => Token::Text(text.xml10_content().into_owned()),
                Event::CData(text) => Token::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(reference) => Token::Text(resolve(&reference)?.into()),
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding();
                    if !encoding.is_none_or(|name| name.is_ok_and(|name| is_utf8(&name))) {
                        return Err(XmlError::Malformed("an encoding other than UTF-8"));
                    }
                    continue;
                }
                Event::DocType(_) => return Err(XmlError::ForbiddenDtd),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Empty(_) => return Err(XmlError::Malformed("not well-formed")),
                Event::Eof => Token::End,
            });
        }
    }
}

/// The character of a reference.
fn resolve(reference: &BytesRef<'_>) -> Result<char, XmlError> {
    let unknown = XmlError::Malformed("an unknown entity");
    match reference.resolve_char_ref() {
        Ok(Some(c)) => Ok(c),
        Ok(None) => match &**reference {
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "amp" => Ok('&'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(unknown),
        },
        Err(_) => Err(unknown),
    }
}

fn is_utf8(encoding: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

/// Whether there is a character outside XML 1.0's production `Char`: most control
/// characters and two noncharacters. As references they are read all the same,
/// since a key may have them and S3's clients have no other way to name it.
fn has_forbidden_character(text: &str) -> bool {
    let control = |b: u8| b < b' ' && !matches!(b, b'\t' | b'\r' | b'\n');
    text.bytes().any(control)
        || ["\u{fffe}", "\u{ffff}"]
            .iter()
            .any(|c| memchr::memmem::find(text.as_bytes(), c.as_bytes()).is_some())
}

/// Whether there is nothing but XML white space.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}
