//! Writing XML. Elements nest by closures, so that every tag is closed.

use bytes::Bytes;

use crate::{date, percent};

/// What every document begins with. An answer that takes long may send it first
/// and then white space, until an [`XmlWriter::after_declaration`] is ready.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// An append-only XML document.
#[derive(Debug)]
pub struct XmlWriter {
    out: String,
    /// The last time that was written: second and text. Neighbours in a list often
    /// share one.
    written_time: Option<(u64, String)>,
}

impl XmlWriter {
    /// A document with its declaration. `capacity` is a guess at its bytes.
    pub fn new(capacity: usize) -> XmlWriter {
        let mut out = String::with_capacity(capacity.max(256));
        out.push_str(DECLARATION);
        XmlWriter { out, written_time: None }
    }

    /// A document whose declaration was sent before.
    pub fn after_declaration(capacity: usize) -> XmlWriter {
        XmlWriter { out: String::with_capacity(capacity), written_time: None }
    }

    pub fn finish(self) -> Bytes {
        Bytes::from(self.out)
    }

    /// The root element, in the dialect's namespace if it has one.
    pub fn root(
        &mut self,
        name: &'static str,
        namespace: Option<&'static str>,
        content: impl FnOnce(&mut XmlWriter),
    ) {
        match namespace {
            Some(uri) => self.element_with(name, &[("xmlns", uri)], content),
            None => self.element(name, content),
        }
    }

    pub fn element(&mut self, name: &'static str, content: impl FnOnce(&mut XmlWriter)) {
        self.open(name);
        content(self);
        self.end(name);
    }

    pub fn element_with(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, &str)],
        content: impl FnOnce(&mut XmlWriter),
    ) {
        self.start(name);
        for (attribute, value) in attributes {
            self.out.push(' ');
            self.out.push_str(attribute);
            self.out.push_str("=\"");
            escape_into(&mut self.out, value, true);
            self.out.push('"');
        }
        self.out.push('>');
        content(self);
        self.end(name);
    }

    /// An element with text; without any it is written `<Name/>`.
    pub fn text(&mut self, name: &'static str, text: &str) {
        if text.is_empty() {
            return self.empty(name);
        }
        self.open(name);
        escape_into(&mut self.out, text, false);
        self.end(name);
    }

    /// An element with attributes and text.
    pub fn text_with(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, &str)],
        text: &str,
    ) {
        self.element_with(name, attributes, |xml| {
            escape_into(&mut xml.out, text, false);
        });
    }

    /// An element with a key or prefix, percent-encoded if `encoding-type=url`
    /// was asked for.
    pub fn key(&mut self, name: &'static str, text: &str, url_encoded: bool) {
        if !url_encoded || text.is_empty() {
            return self.text(name, text);
        }
        self.open(name);
        percent::encode_into(&mut self.out, text);
        self.end(name);
    }

    pub fn number(&mut self, name: &'static str, value: u64) {
        self.open(name);
        self.out.push_str(itoa::Buffer::new().format(value));
        self.end(name);
    }

    pub fn boolean(&mut self, name: &'static str, value: bool) {
        self.text(name, if value { "true" } else { "false" });
    }

    /// `2020-12-10T03:37:30.000Z`: whole seconds in the form of milliseconds, as
    /// both services write them, so that a listing's times equal `Last-Modified`.
    pub fn time(&mut self, name: &'static str, unix_ms: u64) {
        self.open(name);
        let second = unix_ms / 1000;
        match &self.written_time {
            Some((known, text)) if *known == second => self.out.push_str(text),
            _ => {
                let mut text = String::with_capacity(24);
                date::iso_ms_into(&mut text, second * 1000);
                self.out.push_str(&text);
                self.written_time = Some((second, text));
            }
        }
        self.end(name);
    }

    /// An ETag, in the quotes that both services write as references. It is of
    /// digits and a dash, so nothing else in it needs an escape.
    pub fn etag(&mut self, etag: &str) {
        self.open("ETag");
        self.out.push_str("&quot;");
        self.out.push_str(etag);
        self.out.push_str("&quot;");
        self.end("ETag");
    }

    pub fn empty(&mut self, name: &'static str) {
        self.start(name);
        self.out.push_str("/>");
    }

    /// `<Name>`, with room for what a short element still needs, so that the
    /// pieces of it need not look for room each.
    fn open(&mut self, name: &'static str) {
        self.out.reserve(2 * name.len() + 64);
        self.start(name);
        self.out.push('>');
    }

    fn start(&mut self, name: &'static str) {
        self.out.push('<');
        self.out.push_str(name);
    }

    fn end(&mut self, name: &'static str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }
}

/// Whether a byte may have to be written otherwise: markup, quotes (the services
/// write an ETag's as `&quot;`), and control characters. `0xEF` may begin
/// U+FFFE or U+FFFF, which XML lacks. Compares only, so that the compiler can
/// look at many bytes at once.
fn may_need_escape(b: u8) -> bool {
    (b < b' ') | (b == b'<') | (b == b'>') | (b == b'&') | (b == b'"') | (b == b'\'') | (b == 0xEF)
}

/// Bytes that certainly need no escape at the text's start; a multiple of the
/// step, or all of them.
fn plain_prefix(bytes: &[u8]) -> usize {
    const STEP: usize = 16;
    let mut at = 0;
    for step in bytes.chunks(STEP) {
        if step.iter().fold(false, |any, b| any | may_need_escape(*b)) {
            return at + step.iter().position(|b| may_need_escape(*b)).unwrap_or(0);
        }
        at += step.len();
    }
    at
}

/// A carriage return becomes a reference, since parsers turn it into a line
/// feed; in attributes so do tabs and line feeds, which would become spaces.
/// XML 1.0 has no way to carry the other control characters; S3 writes them as
/// references all the same, and so do we: a client that must read such keys asks
/// for `encoding-type=url`.
fn escape_into(out: &mut String, text: &str, in_attribute: bool) {
    let mut rest = text;
    loop {
        let (plain, tail) = rest.split_at(plain_prefix(rest.as_bytes()));
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            None => return,
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('&') => out.push_str("&amp;"),
            Some('"') => out.push_str("&quot;"),
            Some('\'') => out.push_str("&apos;"),
            Some(c @ ('\t' | '\n')) if !in_attribute => out.push(c),
            Some(c) if c < ' ' || c == '\u{FFFE}' || c == '\u{FFFF}' => push_reference(out, c),
            Some(c) => out.push(c),
        }
        rest = chars.as_str();
    }
}

/// `&#xD;`
#[cold]
fn push_reference(out: &mut String, c: char) {
    out.push_str("&#x");
    let mut shift = 28;
    let code = c as u32;
    while shift > 0 && code >> shift == 0 {
        shift -= 4;
    }
    loop {
        let digit = (code >> shift) & 15;
        out.push(char::from_digit(digit, 16).map_or('0', |c| c.to_ascii_uppercase()));
        if shift == 0 {
            break;
        }
        shift -= 4;
    }
    out.push(';');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    fn body(write: impl FnOnce(&mut XmlWriter)) -> String {
        let mut writer = XmlWriter::after_declaration(0);
        write(&mut writer);
        String::from_utf8(writer.finish().to_vec()).unwrap()
    }

    #[test]
    fn a_document() {
        let mut writer = XmlWriter::new(100);
        writer.root("Result", Dialect::S3.xml_namespace(), |w| {
            w.text("Name", "a");
            w.text("Prefix", "");
            w.element("Contents", |w| {
                w.number("Size", u64::MAX);
                w.boolean("Last", false);
                w.time("At", 0);
            });
        });
        assert_eq!(
            writer.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Result xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>a</Name><Prefix/>\
             <Contents><Size>18446744073709551615</Size><Last>false</Last>\
             <At>1970-01-01T00:00:00.000Z</At></Contents></Result>"
        );
        let bare = body(|w| w.root("R", Dialect::Cos.xml_namespace(), |_| {}));
        assert_eq!(bare, "<R></R>");
    }

    #[test]
    fn text_is_escaped() {
        let cases = [
            ("\"d41d\"", "&quot;d41d&quot;"),
            ("a<b>&'c", "a&lt;b&gt;&amp;&apos;c"),
            ("\t\n x ", "\t\n x "),
            ("a\rb\0\u{1}\u{1f}\u{7f}", "a&#xD;b&#x0;&#x1;&#x1F;\u{7f}"),
            ("\u{fffe}\u{ffff}\u{fffd}ﬁ", "&#xFFFE;&#xFFFF;\u{fffd}ﬁ"),
            ("]]>", "]]&gt;"),
            ("你😀", "你😀"),
        ];
        for (text, want) in cases {
            assert_eq!(body(|w| w.text("K", text)), format!("<K>{want}</K>"));
        }
        let attribute = body(|w| w.element_with("A", &[("x", "a\"\t\n<")], |_| {}));
        assert_eq!(attribute, "<A x=\"a&quot;&#x9;&#xA;&lt;\"></A>");
    }

    #[test]
    fn keys_are_encoded_on_request() {
        assert_eq!(body(|w| w.key("Key", "a b/\u{1}&", true)), "<Key>a%20b/%01%26</Key>");
        assert_eq!(body(|w| w.key("Key", "a b&", false)), "<Key>a b&amp;</Key>");
        assert_eq!(body(|w| w.key("Key", "", true)), "<Key/>");
    }
}
