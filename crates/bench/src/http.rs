//! The part of HTTP/1.1 that a load generator needs, and nothing that costs more
//! than the kernel does: one connection, one request at a time, keep-alive,
//! answers with a length, in chunks, or up to the end of the connection.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use rustix::net::sockopt::set_tcp_quickack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::payload::Body;

/// Size of the read buffer, and so the longest head of an answer.
const BUFFER_LEN: usize = 256 << 10;
/// What is kept of a body that somebody wants to see.
const CAPTURE_MAX: usize = 8 << 20;

/// What a request asks to keep of its answer, and then holds.
#[derive(Default)]
pub struct Capture {
    /// Keep the body of an answer below 300 as well; others are always kept.
    pub want_body: bool,
    pub body: Vec<u8>,
    pub etag: String,
}

/// An answer that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Length of the body without framing.
    pub body_len: u64,
}

/// How an exchange fails below HTTP's own status codes.
#[derive(Debug)]
pub enum ExchangeError {
    Io(io::Error),
    /// The server's bytes are not an HTTP/1.x answer.
    Malformed(&'static str),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        ExchangeError::Io(error)
    }
}

/// A connection to the server. After an error it is of no further use.
pub struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// Bytes of the buffer that were received and not yet used.
    start: usize,
    end: usize,
    reusable: bool,
    quick_ack: bool,
}

impl Connection {
    /// `quick_ack`: acknowledge what arrives without waiting for something to
    /// send along with it.
    pub async fn open(address: SocketAddr, quick_ack: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = vec![0; BUFFER_LEN].into_boxed_slice();
        Ok(Connection { stream, buffer, start: 0, end: 0, reusable: true, quick_ack })
    }

    /// Whether another exchange may follow.
    pub fn reusable(&self) -> bool {
        self.reusable
    }

    /// Sends one request and reads its answer to the end. `is_head`: the answer
    /// has no body whatever its headers say.
    pub async fn exchange(
        &mut self,
        head: &[u8],
        body: &Body<'_>,
        is_head: bool,
        capture: &mut Capture,
    ) -> Result<Answer, ExchangeError> {
        capture.body.clear();
        capture.etag.clear();
        if let Err(error) = self.send(head, body).await {
            // A server that refuses a request may close before it has read all of
            // the body; its answer says more than the broken pipe.
            self.reusable = false;
            return self.receive(is_head, capture).await.map_err(|_| error.into());
        }
        self.receive(is_head, capture).await
    }

    async fn send(&mut self, head: &[u8], body: &Body<'_>) -> io::Result<()> {
        let head_len = head.len() as u64;
        let total = head_len + body.len();
        let mut sent = 0;
        while sent < total {
            let head_left = &head[sent.min(head_len) as usize..];
            let [a, b, c] = body.pieces(sent.saturating_sub(head_len));
            let written = self.stream.write_vectored(&[IoSlice::new(head_left), a, b, c]).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            sent += written as u64;
        }
        Ok(())
    }

    async fn receive(
        &mut self,
        is_head: bool,
        capture: &mut Capture,
    ) -> Result<Answer, ExchangeError> {
        let head = loop {
            let head = self.receive_head(capture).await?;
            if head.status >= 200 {
                break head;
            }
        };
        if !head.keep_alive {
            self.reusable = false;
        }
        let keep = capture.want_body || head.status >= 300;
        let sink = keep.then_some(&mut capture.body);
        let bodiless = is_head || head.status == 204 || head.status == 304;
        let body_len = match head.framing {
            _ if bodiless => 0,
            Framing::Length(len) => self.receive_exactly(len, sink).await?,
            Framing::Chunked => self.receive_chunks(sink).await?,
            Framing::UntilClose => {
                self.reusable = false;
                self.receive_rest(sink).await?
            }
        };
        Ok(Answer { status: head.status, body_len })
    }

    async fn receive_head(&mut self, capture: &mut Capture) -> Result<Head, ExchangeError> {
        loop {
            if let Some((head, used)) =
                parse_head(&self.buffer[self.start..self.end], &mut capture.etag)?
            {
                self.start += used;
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Receives more bytes behind those not yet used.
    async fn fill(&mut self) -> Result<(), ExchangeError> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buffer.len() {
            if self.start == 0 {
                return Err(ExchangeError::Malformed("head of the answer is too long"));
            }
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.quick_ack {
            // The kernel forgets the wish after a while, so it is said each time.
            set_tcp_quickack(&self.stream, true).map_err(io::Error::from)?;
        }
        let read = self.stream.read(&mut self.buffer[self.end..]).await?;
        if read == 0 {
            return Err(ExchangeError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.end += read;
        Ok(())
    }

    async fn receive_exactly(
        &mut self,
        len: u64,
        mut sink: Option<&mut Vec<u8>>,
    ) -> Result<u64, ExchangeError> {
        let mut left = len;
        while left > 0 {
            if self.start == self.end {
                self.fill().await?;
            }
            let taken = left.min((self.end - self.start) as u64) as usize;
            keep(&mut sink, &self.buffer[self.start..self.start + taken]);
            self.start += taken;
            left -= taken as u64;
        }
        Ok(len)
    }

    async fn receive_chunks(
        &mut self,
        mut sink: Option<&mut Vec<u8>>,
    ) -> Result<u64, ExchangeError> {
        let mut decoder = ChunkDecoder::new();
        loop {
            if self.start == self.end {
                self.fill().await?;
            }
            let received = &self.buffer[self.start..self.end];
            self.start += decoder.feed(received, |data| keep(&mut sink, data))?;
            if decoder.done() {
                return Ok(decoder.total);
            }
        }
    }

    async fn receive_rest(&mut self, mut sink: Option<&mut Vec<u8>>) -> Result<u64, ExchangeError> {
        let mut total = 0;
        loop {
            keep(&mut sink, &self.buffer[self.start..self.end]);
            total += (self.end - self.start) as u64;
            self.start = 0;
            self.end = self.stream.read(&mut self.buffer).await?;
            if self.end == 0 {
                return Ok(total);
            }
        }
    }
}

fn keep(sink: &mut Option<&mut Vec<u8>>, data: &[u8]) {
    if let Some(sink) = sink {
        let room = CAPTURE_MAX.saturating_sub(sink.len());
        sink.extend_from_slice(&data[..room.min(data.len())]);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    framing: Framing,
    keep_alive: bool,
}

/// Reads the head of an answer, if all of it is there; also gives its length.
fn parse_head(bytes: &[u8], etag: &mut String) -> Result<Option<(Head, usize)>, ExchangeError> {
    let Some(len) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let malformed = ExchangeError::Malformed;
    let text = std::str::from_utf8(&bytes[..len]).map_err(|_| malformed("head is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let (version, rest) = status_line.split_once(' ').ok_or(malformed("no status line"))?;
    let status = rest.get(..3).and_then(|code| code.parse().ok());
    let status = status.ok_or(malformed("no status code"))?;
    if !version.starts_with("HTTP/1.") {
        return Err(malformed("not HTTP/1"));
    }
    let mut head = Head { status, framing: Framing::UntilClose, keep_alive: version == "HTTP/1.1" };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(malformed("header without colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let len = value.parse().map_err(|_| malformed("Content-Length is no number"))?;
            if head.framing != Framing::Chunked {
                head.framing = Framing::Length(len);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            head.keep_alive = !value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("etag") {
            etag.push_str(value.trim_matches('"'));
        }
    }
    Ok(Some((head, len + 4)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// In the digits of a chunk's size.
    Size,
    /// After the digits, before the end of the line.
    SizeLine,
    Data,
    /// Before the line end that follows a chunk's data.
    DataEnd,
    /// At the start of a trailer line or of the empty last one.
    TrailerStart,
    TrailerLine,
    Done,
}

/// Takes chunked framing off a body that arrives in any pieces.
struct ChunkDecoder {
    state: ChunkState,
    /// The size being read, then what is left of the chunk.
    left: u64,
    total: u64,
}

impl ChunkDecoder {
    fn new() -> Self {
        ChunkDecoder { state: ChunkState::Size, left: 0, total: 0 }
    }

    fn done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// Hands data to `sink` and returns how many bytes were used: all, unless
    /// the body has ended.
    fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, ExchangeError> {
        let mut used = 0;
        while used < bytes.len() && !self.done() {
            let byte = bytes[used];
            if self.state == ChunkState::Data {
                let taken = self.left.min((bytes.len() - used) as u64) as usize;
                sink(&bytes[used..used + taken]);
                used += taken;
                self.left -= taken as u64;
                self.total += taken as u64;
                if self.left == 0 {
                    self.state = ChunkState::DataEnd;
                }
                continue;
            }
            used += 1;
            self.state = match (self.state, byte) {
                (ChunkState::Size, b'\n') | (ChunkState::SizeLine, b'\n') => {
                    if self.left == 0 {
                        ChunkState::TrailerStart
                    } else {
                        ChunkState::Data
                    }
                }
                (ChunkState::Size, byte) => match char::from(byte).to_digit(16) {
                    Some(digit) if self.left >> 60 == 0 => {
                        self.left = self.left * 16 + u64::from(digit);
                        ChunkState::Size
                    }
                    Some(_) => return Err(ExchangeError::Malformed("chunk is too long")),
                    None => ChunkState::SizeLine,
                },
                (ChunkState::DataEnd, b'\n') => ChunkState::Size,
                (ChunkState::TrailerStart, b'\r') => ChunkState::TrailerStart,
                (ChunkState::TrailerStart, b'\n') => ChunkState::Done,
                (ChunkState::TrailerStart, _) => ChunkState::TrailerLine,
                (ChunkState::TrailerLine, b'\n') => ChunkState::TrailerStart,
                (state, _) => state,
            };
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let mut etag = String::new();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nETag: \"abc\"\r\n\r\nrest";
        for cut in 0..answer.len() - 4 {
            assert!(parse_head(&answer[..cut], &mut etag).expect("a prefix").is_none());
        }
        let (head, used) = parse_head(answer, &mut etag).expect("well-formed").expect("complete");
        let want = Head { status: 200, framing: Framing::Length(12), keep_alive: true };
        assert_eq!(head, want);
        assert_eq!(&answer[used..], b"rest");
        assert_eq!(etag, "abc");

        let answer = b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        let (head, _) = parse_head(answer, &mut etag).expect("well-formed").expect("complete");
        assert_eq!(head, Head { status: 500, framing: Framing::Chunked, keep_alive: false });

        for bad in ["SSH-2.0 x\r\n\r\n", "HTTP/1.1 2x\r\n\r\n", "HTTP/1.1 200\r\nabc\r\n\r\n"] {
            assert!(parse_head(bad.as_bytes(), &mut etag).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn chunks_come_apart_wherever_they_are_cut() {
        let framed = b"5\r\nhello\r\nA;name=value\r\n, chunked!\r\n0\r\nx-sum: 1\r\n\r\nNEXT";
        for cut in 0..framed.len() - 4 {
            let mut decoder = ChunkDecoder::new();
            let mut body = Vec::new();
            for piece in [&framed[..cut], &framed[cut..]] {
                let used = decoder.feed(piece, |data| body.extend_from_slice(data));
                assert!(used.expect("well-formed") <= piece.len());
            }
            assert!(decoder.done());
            assert_eq!(body, b"hello, chunked!", "cut at {cut}");
            assert_eq!(decoder.total, 15);
        }
        let mut decoder = ChunkDecoder::new();
        let used = decoder.feed(framed, |_| ()).expect("well-formed");
        assert_eq!(&framed[used..], b"NEXT");
        assert!(ChunkDecoder::new().feed(b"11112222333344445\r\n", |_| ()).is_err());
    }
}
