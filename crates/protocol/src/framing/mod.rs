//! `aws-chunked`: the framing inside a body whose `x-amz-content-sha256` begins
//! with `STREAMING-`.
//!
//! ```text
//! 10000;chunk-signature=<64 hex>\r\n     without the signature if unsigned
//! <65536 bytes>\r\n
//! 0;chunk-signature=<64 hex>\r\n
//! x-amz-checksum-crc32c:<base64>\r\n     only with -TRAILER
//! x-amz-trailer-signature:<64 hex>\r\n   only if signed and with -TRAILER
//! \r\n
//! ```
//!
//! The decoder is a pure state machine over pieces of any size. Data is passed
//! on as it arrives, without copying; whether a chunk's signature holds is known
//! at the chunk's end, so nothing decoded may become visible before
//! [`AwsChunked::finish`] has succeeded.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

mod trailer;

use bytes::{Buf, Bytes};
use ring::digest::{Context, SHA256};

use trailer::TrailerLines;

/// Longest line before a chunk, in bytes. Real ones have fewer than 110.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Judges signatures that each cover the one before.
pub trait ChunkCheck: Send {
    /// Whether `presented` (hexadecimal) is the signature of the next chunk,
    /// whose data has this SHA-256. The last chunk has no data.
    fn chunk(&mut self, sha256: &[u8; 32], presented: &str) -> bool;

    /// Whether `presented` is the signature of the trailers, whose canonical
    /// form (`name:value\n` for each, by name) has this SHA-256.
    fn trailer(&mut self, sha256: &[u8; 32], presented: &str) -> bool;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("the chunked framing is malformed: {0}")]
    Malformed(&'static str),
    #[error("a chunk's or the trailers' signature does not match")]
    SignatureMismatch,
    /// The chunks hold more or fewer bytes than `x-amz-decoded-content-length`
    /// says. `received` is what they hold, or more than what was announced.
    #[error("{declared} bytes were announced, the chunks hold {received}")]
    LengthMismatch { declared: u64, received: u64 },
    /// A trailer that `x-amz-trailer` does not name, or one that it names and
    /// that is missing.
    #[error("the trailers differ from x-amz-trailer at {0}")]
    TrailerMismatch(String),
    /// The body ended before its last chunk and trailers.
    #[error("the chunked body is incomplete")]
    Incomplete,
}

/// A trailer's name in lower case and its value.
pub type Trailer = (String, String);

/// Decodes one body.
pub struct AwsChunked {
    state: State,
    /// The line being collected.
    line: Vec<u8>,
    declared: u64,
    /// Bytes of data that the chunk lines so far announce.
    announced: u64,
    check: Option<Box<dyn ChunkCheck>>,
    hash: Context,
    /// As presented for the present chunk.
    signature: String,
    trailers: TrailerLines,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the line before a chunk.
    ChunkLine,
    /// This many bytes of the chunk are still to come.
    Data(u64),
    /// In the line break after a chunk's data.
    DataEnd,
    /// In the lines after the last chunk.
    Trailers,
    Done,
}

impl AwsChunked {
    /// `declared` is `x-amz-decoded-content-length`. `check` is there for signed
    /// payloads. `trailers` is there for payloads with trailers, and has the
    /// names in `x-amz-trailer`.
    pub fn new(
        declared: u64,
        check: Option<Box<dyn ChunkCheck>>,
        trailers: Option<Vec<String>>,
    ) -> AwsChunked {
        let signed_trailers = check.is_some() && trailers.is_some();
        AwsChunked {
            state: State::ChunkLine,
            line: Vec::new(),
            declared,
            announced: 0,
            check,
            hash: Context::new(&SHA256),
            signature: String::new(),
            trailers: TrailerLines::new(trailers.unwrap_or_default(), signed_trailers),
        }
    }

    /// Takes the next piece of the body and appends the data in it to `out`.
    /// Hashes what is signed. After an error the decoder must not be used again.
    pub fn feed(&mut self, mut input: Bytes, out: &mut Vec<Bytes>) -> Result<(), FramingError> {
        while !input.is_empty() {
            match self.state {
                State::ChunkLine => {
                    if self.collect_line(&mut input, CHUNK_LINE_BYTES_MAX)? {
                        self.begin_chunk()?;
                        self.line.clear();
                    }
                }
                State::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(take);
                    if self.check.is_some() {
                        self.hash.update(&data);
                    }
                    out.push(data);
                    self.state = match left - take as u64 {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    };
                }
                State::DataEnd => {
                    if self.collect_line(&mut input, 2)? {
                        if self.line != b"\r\n" {
                            return Err(FramingError::Malformed("no line break after a chunk"));
                        }
                        self.line.clear();
                        self.check_chunk()?;
                        self.state = State::ChunkLine;
                    }
                }
                State::Trailers => {
                    if self.collect_line(&mut input, trailer::LINE_BYTES_MAX)? {
                        let last = self.trailers.line(&self.line)?;
                        self.line.clear();
                        if last {
                            self.state = State::Done;
                        }
                    }
                }
                State::Done => return Err(FramingError::Malformed("data after the end")),
            }
        }
        Ok(())
    }

    /// After the body's last piece: the trailers, in the order sent. A missing
    /// empty line at the very end is forgiven.
    pub fn finish(mut self) -> Result<Vec<Trailer>, FramingError> {
        if !matches!(self.state, State::Trailers | State::Done) || !self.line.is_empty() {
            return Err(FramingError::Incomplete);
        }
        let done = self.state == State::Done;
        self.trailers.finish(self.check.as_deref_mut(), done)
    }

    /// Moves bytes up to and including a line feed into `self.line`; true when
    /// the line is complete.
    fn collect_line(&mut self, input: &mut Bytes, max: usize) -> Result<bool, FramingError> {
        let room = max - self.line.len();
        let found = memchr::memchr(b'\n', &input[..input.len().min(room)]);
        let take = found.map_or(input.len().min(room), |at| at + 1);
        self.line.extend_from_slice(&input[..take]);
        input.advance(take);
        if found.is_none() && self.line.len() == max {
            return Err(FramingError::Malformed("a line is too long"));
        }
        Ok(found.is_some())
    }

    /// Reads the collected line before a chunk.
    fn begin_chunk(&mut self) -> Result<(), FramingError> {
        let line = self
            .line
            .strip_suffix(b"\r\n")
            .and_then(|line| std::str::from_utf8(line).ok())
            .ok_or(FramingError::Malformed("a chunk's line"))?;
        let mut pieces = line.split(';');
        let size = hexadecimal(pieces.next().unwrap_or_default().trim())
            .ok_or(FramingError::Malformed("a chunk's size"))?;
        let signature = pieces.find_map(|piece| piece.trim().strip_prefix("chunk-signature="));
        if self.check.is_some() {
            self.signature.clear();
            self.signature.push_str(
                signature.ok_or(FramingError::Malformed("a chunk without its signature"))?,
            );
        }
        self.announced = self.announced.saturating_add(size);
        if self.announced > self.declared || (size == 0 && self.announced < self.declared) {
            return Err(FramingError::LengthMismatch {
                declared: self.declared,
                received: self.announced,
            });
        }
        if size > 0 {
            self.state = State::Data(size);
        } else {
            self.check_chunk()?;
            self.state = State::Trailers;
        }
        Ok(())
    }

    fn check_chunk(&mut self) -> Result<(), FramingError> {
        let Some(check) = &mut self.check else { return Ok(()) };
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256));
        if check.chunk(&digest(hash), &self.signature) {
            Ok(())
        } else {
            Err(FramingError::SignatureMismatch)
        }
    }
}

fn digest(hash: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

fn hexadecimal(text: &str) -> Option<u64> {
    // `from_str_radix` would take a sign.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests;
