//! `multipart/form-data` of a form upload: some fields, then the file.
//!
//! The parser is a pure state machine over pieces of any size. What precedes
//! the file is collected within limits; the file's content passes through
//! without copying; fields that follow the file are ignored, as both services
//! do, but a second file is an error.
//!
//! RFC 2046 section 5.1, RFC 7578.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>

mod disposition;
mod fields;
mod scanner;

use bytes::{Buf, Bytes};

use disposition::Disposition;
pub use disposition::boundary;
pub use fields::FormFields;
use scanner::Scanner;

/// Most bytes before the file's content, boundaries included. AWS allows 20 KB;
/// forms with a long policy and a temporary key's token need more room.
pub const FIELDS_BYTES_MAX: usize = 64 << 10;
/// Most fields before the file.
pub const FIELDS_MAX: usize = 200;
/// Most bytes of one part's headers.
const PART_HEADERS_BYTES_MAX: usize = 8 << 10;
/// Most white space after a boundary.
const PADDING_BYTES_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The `Content-Type` is not `multipart/form-data` with a valid boundary.
    #[error("the content type is not multipart/form-data with a boundary")]
    ContentType,
    #[error("the form is malformed: {0}")]
    Malformed(&'static str),
    #[error("the fields before the file have more than {FIELDS_BYTES_MAX} bytes")]
    FieldsTooLarge,
    #[error("there are more than {FIELDS_MAX} fields before the file")]
    TooManyFields,
    /// Which of two values a policy speaks of would be a guess.
    #[error("the field {0} is there twice")]
    Duplicate(String),
    /// The form ended and had no field `file`.
    #[error("the form has no file")]
    NoFile,
    /// The form has more than one field `file`.
    #[error("the form has several files")]
    SecondFile,
    /// The body ended before the form did.
    #[error("the form is incomplete")]
    Incomplete,
}

/// What the parser found.
#[derive(Debug, PartialEq, Eq)]
pub enum FormEvent {
    /// Everything before the file's content. Comes once, first.
    File(FormFields),
    /// A piece of the file's content.
    Data(Bytes),
    /// The file is complete. Only a second file could still be wrong.
    End,
}

/// Parses one form.
pub struct FormParser {
    state: State,
    scanner: Scanner,
    /// A line, or a field's value, as far as it has come.
    buffer: Vec<u8>,
    /// Bytes taken before the file's content.
    before_file: usize,
    header_bytes: usize,
    disposition: Option<Disposition>,
    fields: FormFields,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Right after a boundary: a line break, or the two hyphens of the last.
    Boundary,
    Headers,
    Field,
    File,
    /// Right after the boundary that ends the file.
    FileEnd,
    /// In the headers, the content, or behind the boundary, of a part that
    /// follows the file.
    LaterHeaders,
    LaterContent,
    LaterEnd,
    Done,
}

impl State {
    /// Whether the file's content has begun, so that nothing is collected.
    fn is_bounded(self) -> bool {
        !matches!(self, State::Preamble | State::Boundary | State::Headers | State::Field)
    }
}

impl FormParser {
    /// `boundary` as returned by [`boundary`].
    pub fn new(boundary: &str) -> FormParser {
        FormParser {
            state: State::Preamble,
            scanner: Scanner::new(boundary),
            buffer: Vec::new(),
            before_file: 0,
            header_bytes: 0,
            disposition: None,
            fields: FormFields::default(),
        }
    }

    /// Takes the next piece of the body and appends what it completes to
    /// `events`. After an error the parser must not be used again.
    pub fn feed(&mut self, mut input: Bytes, events: &mut Vec<FormEvent>) -> Result<(), FormError> {
        while !input.is_empty() {
            if self.state.is_bounded() {
                self.step(&mut input, events)?;
                continue;
            }
            // Never more than the limit is looked at, however large the piece.
            let room = (FIELDS_BYTES_MAX - self.before_file).min(input.len());
            if room == 0 {
                return Err(FormError::FieldsTooLarge);
            }
            let mut head = input.slice(..room);
            self.step(&mut head, events)?;
            let taken = room - head.len();
            self.before_file += taken;
            input.advance(taken);
        }
        Ok(())
    }

    /// Whether the rest of the body means nothing.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// After the body's last piece.
    pub fn finish(self) -> Result<(), FormError> {
        match self.state {
            State::LaterHeaders | State::LaterContent | State::LaterEnd | State::Done => Ok(()),
            _ => Err(FormError::Incomplete),
        }
    }

    fn step(&mut self, input: &mut Bytes, events: &mut Vec<FormEvent>) -> Result<(), FormError> {
        match self.state {
            State::Preamble => {
                if self.scanner.scan(input, &mut |_| {}) {
                    self.state = State::Boundary;
                }
            }
            State::Boundary => match self.after_boundary(input)? {
                Some(Delimiter::Next) => {
                    self.state = State::Headers;
                    self.header_bytes = 0;
                }
                Some(Delimiter::Last) => return Err(FormError::NoFile),
                None => {}
            },
            State::Headers => {
                let room = PART_HEADERS_BYTES_MAX - self.header_bytes;
                if self.collect_line(input, room)? {
                    self.header_bytes += self.buffer.len();
                    self.header_line(events)?;
                    self.buffer.clear();
                }
            }
            State::Field => {
                let value = &mut self.buffer;
                if self.scanner.scan(input, &mut |data| value.extend_from_slice(&data)) {
                    self.end_field()?;
                }
            }
            State::File => {
                let found =
                    self.scanner.scan(input, &mut |data| events.push(FormEvent::Data(data)));
                if found {
                    self.state = State::FileEnd;
                }
            }
            State::FileEnd => {
                if let Some(delimiter) = self.after_boundary(input)? {
                    events.push(FormEvent::End);
                    self.begin_later(delimiter);
                }
            }
            State::LaterHeaders => self.later_header(input)?,
            State::LaterContent => {
                if self.scanner.scan(input, &mut |_| {}) {
                    self.state = State::LaterEnd;
                }
            }
            State::LaterEnd => match self.after_boundary(input) {
                Ok(Some(delimiter)) => self.begin_later(delimiter),
                Ok(None) => {}
                Err(_) => self.state = State::Done,
            },
            State::Done => input.clear(),
        }
        Ok(())
    }
}

/// What follows a boundary.
enum Delimiter {
    Next,
    Last,
}

impl FormParser {
    /// Reads what follows a boundary: two hyphens after the last part, else
    /// white space and a line break.
    fn after_boundary(&mut self, input: &mut Bytes) -> Result<Option<Delimiter>, FormError> {
        while let Some(&byte) = input.first() {
            input.advance(1);
            self.buffer.push(byte);
            let found = match self.buffer.as_slice() {
                b"--" => Delimiter::Last,
                [padding @ .., b'\r', b'\n'] if padding.iter().all(is_padding) => Delimiter::Next,
                b"-" => continue,
                [padding @ .., b'\r'] | padding
                    if padding.len() < PADDING_BYTES_MAX && padding.iter().all(is_padding) =>
                {
                    continue;
                }
                _ => return Err(FormError::Malformed("text after a boundary")),
            };
            self.buffer.clear();
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// Moves bytes up to and including a line feed into the buffer; true when
    /// the line is complete.
    fn collect_line(&mut self, input: &mut Bytes, max: usize) -> Result<bool, FormError> {
        let room = max.saturating_sub(self.buffer.len()).min(input.len());
        let found = memchr::memchr(b'\n', &input[..room]);
        let take = found.map_or(room, |at| at + 1);
        self.buffer.extend_from_slice(&input[..take]);
        input.advance(take);
        if found.is_none() && self.buffer.len() >= max {
            return Err(FormError::Malformed("a part's headers are too long"));
        }
        Ok(found.is_some())
    }

    /// Takes the line in the buffer; an empty one ends the headers.
    fn header_line(&mut self, events: &mut Vec<FormEvent>) -> Result<(), FormError> {
        let line = std::str::from_utf8(&self.buffer)
            .map_err(|_| FormError::Malformed("a part's headers are not UTF-8"))?
            .trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return self.begin_content(events);
        }
        let (name, value) =
            line.split_once(':').ok_or(FormError::Malformed("a header without a colon"))?;
        if name.trim().eq_ignore_ascii_case("content-disposition") {
            let found = Disposition::parse(value)?;
            if self.disposition.replace(found).is_some() {
                return Err(FormError::Malformed("two dispositions of one part"));
            }
        }
        Ok(())
    }

    fn begin_content(&mut self, events: &mut Vec<FormEvent>) -> Result<(), FormError> {
        let part =
            self.disposition.as_ref().ok_or(FormError::Malformed("a part without a name"))?;
        if !part.name.eq_ignore_ascii_case("file") {
            self.state = State::Field;
            return Ok(());
        }
        let mut fields = std::mem::take(&mut self.fields);
        fields.set_file_name(self.disposition.take().and_then(|part| part.file_name));
        events.push(FormEvent::File(fields));
        self.state = State::File;
        Ok(())
    }

    fn begin_later(&mut self, delimiter: Delimiter) {
        self.header_bytes = 0;
        self.state = match delimiter {
            Delimiter::Next => State::LaterHeaders,
            Delimiter::Last => State::Done,
        };
    }

    /// A header line of a part behind the file. Whatever is wrong with it means
    /// nothing, unless the part is a file.
    fn later_header(&mut self, input: &mut Bytes) -> Result<(), FormError> {
        let room = PART_HEADERS_BYTES_MAX - self.header_bytes;
        match self.collect_line(input, room) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(_) => {
                self.state = State::Done;
                return Ok(());
            }
        }
        self.header_bytes += self.buffer.len();
        let line = std::mem::take(&mut self.buffer);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            self.state = State::LaterContent;
        } else if let Some((name, value)) = line.split_once(':')
            && name.trim().eq_ignore_ascii_case("content-disposition")
            && Disposition::parse(value).is_ok_and(|part| part.name.eq_ignore_ascii_case("file"))
        {
            return Err(FormError::SecondFile);
        }
        Ok(())
    }

    fn end_field(&mut self) -> Result<(), FormError> {
        let value = String::from_utf8(std::mem::take(&mut self.buffer))
            .map_err(|_| FormError::Malformed("a field is not UTF-8"))?;
        let part = self.disposition.take().ok_or(FormError::Malformed("a part without a name"))?;
        self.fields.add(part.name, value)?;
        self.state = State::Boundary;
        Ok(())
    }
}

fn is_padding(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests;
