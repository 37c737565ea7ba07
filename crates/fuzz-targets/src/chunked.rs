//! `aws-chunked` bodies.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use costrel_protocol::framing::{AwsChunked, ChunkCheck, FramingError, Trailer};

use crate::pieces::{cuts, scattered};

const TRAILERS: [&str; 2] = ["x-amz-checksum-crc32c", "x-amz-meta-t"];

/// One byte, whose lowest bit asks for signatures and the next for trailers,
/// then a body.
pub fn chunked(data: &[u8]) {
    let Some((flags, body)) = data.split_first() else { return };
    let kind = Kind { signed: flags & 1 != 0, trailers: flags & 2 != 0 };

    // Asked for more than any body has, the decoder tells the true length.
    let unbounded = kind.decode_all(u64::MAX, body);
    let Err(FramingError::LengthMismatch { received, .. }) = unbounded.result else {
        assert!(unbounded.result.is_err(), "no body is as long as announced");
        return;
    };
    let decoded = kind.decode_all(received, body);
    let Ok(trailers) = &decoded.result else { return };
    assert_eq!(decoded.data.len() as u64, received);

    let again = kind.encode(&decoded.data, trailers);
    let again = kind.decode(received, vec![again.into()]);
    assert_eq!((&again.data, &again.result), (&decoded.data, &decoded.result));
}

#[derive(Clone, Copy)]
struct Kind {
    signed: bool,
    trailers: bool,
}

/// What came out of a body.
#[derive(Debug, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    result: Result<Vec<Trailer>, FramingError>,
    /// What was asked about signatures.
    asked: Vec<Asked>,
}

/// A SHA-256 and the signature presented for it.
type Asked = ([u8; 32], String);

/// Believes every signature and notes what it was asked.
struct Believer(Arc<Mutex<Vec<Asked>>>);

impl ChunkCheck for Believer {
    fn chunk(&mut self, sha256: &[u8; 32], presented: &str) -> bool {
        self.0.lock().expect("one thread").push((*sha256, presented.to_owned()));
        true
    }

    fn trailer(&mut self, sha256: &[u8; 32], presented: &str) -> bool {
        self.chunk(sha256, presented)
    }
}

impl Kind {
    /// Decodes every cut of the body; all must say the same.
    fn decode_all(self, declared: u64, body: &[u8]) -> Decoded {
        let [whole, bytes, scattered] = cuts(body).map(|pieces| self.decode(declared, pieces));
        assert_eq!(whole, bytes, "byte by byte");
        assert_eq!(whole, scattered, "in pieces");
        assert!(whole.data.len() <= body.len());
        assert!(whole.data.len() as u64 <= declared);
        whole
    }

    fn decode(self, declared: u64, pieces: Vec<Bytes>) -> Decoded {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let check = self.signed.then(|| Box::new(Believer(asked.clone())) as Box<dyn ChunkCheck>);
        let names = self.trailers.then(|| TRAILERS.map(str::to_owned).to_vec());
        let mut decoder = AwsChunked::new(declared, check, names);
        let mut out = Vec::new();
        let fed = pieces.into_iter().try_for_each(|piece| decoder.feed(piece, &mut out));
        let result = fed.and_then(|()| decoder.finish());
        let asked = std::mem::take(&mut *asked.lock().expect("one thread"));
        Decoded { data: out.concat(), result, asked }
    }

    fn encode(self, data: &[u8], trailers: &[Trailer]) -> Vec<u8> {
        let mut body = Vec::new();
        let signature = if self.signed { ";chunk-signature=0f" } else { "" };
        let chunks = scattered(&Bytes::copy_from_slice(data));
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            body.extend_from_slice(format!("{:X}{signature}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("0{signature}\r\n").as_bytes());
        for (name, value) in trailers {
            body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        }
        if self.signed && self.trailers {
            body.extend_from_slice(b"x-amz-trailer-signature:0f\r\n");
        }
        body.extend_from_slice(b"\r\n");
        body
    }
}
