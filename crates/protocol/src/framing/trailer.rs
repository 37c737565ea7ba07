//! The lines after the last chunk.

use ring::digest::{Context, SHA256};

use super::{ChunkCheck, FramingError, Trailer, digest};

/// Longest trailer line, and most bytes of all of them.
pub(super) const LINE_BYTES_MAX: usize = 1024;
const TRAILER_BYTES_MAX: usize = 4096;

const SIGNATURE: &str = "x-amz-trailer-signature";

/// Collects trailers and judges them at the end.
pub(super) struct TrailerLines {
    /// Names announced by `x-amz-trailer`, in lower case.
    expected: Vec<String>,
    signed: bool,
    signature: Option<String>,
    found: Vec<Trailer>,
    bytes: usize,
}

impl TrailerLines {
    pub fn new(expected: Vec<String>, signed: bool) -> TrailerLines {
        let expected = expected.into_iter().map(|name| name.trim().to_ascii_lowercase());
        TrailerLines {
            expected: expected.filter(|name| !name.is_empty()).collect(),
            signed,
            signature: None,
            found: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes a line with its break; true after the last. AWS's own description
    /// ends trailers with a bare line feed and has an empty line before the
    /// signature; SDKs send neither. Both are read.
    pub fn line(&mut self, line: &[u8]) -> Result<bool, FramingError> {
        self.bytes += line.len();
        if self.bytes > TRAILER_BYTES_MAX {
            return Err(FramingError::Malformed("too many trailers"));
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| FramingError::Malformed("a trailer is not UTF-8"))?
            .trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Ok(!self.signed || self.signature.is_some());
        }
        let (name, value) =
            line.split_once(':').ok_or(FramingError::Malformed("a trailer without a colon"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == SIGNATURE {
            if self.signature.replace(value.to_owned()).is_some() {
                return Err(FramingError::Malformed("two trailer signatures"));
            }
            return Ok(false);
        }
        if self.found.iter().any(|(known, _)| *known == name) {
            return Err(FramingError::Malformed("a trailer is there twice"));
        }
        if !self.expected.contains(&name) {
            return Err(FramingError::TrailerMismatch(name));
        }
        self.found.push((name, value.to_owned()));
        Ok(false)
    }

    /// The trailers, if they are complete and rightly signed. `ended` tells
    /// whether their empty line was seen.
    pub fn finish(
        self,
        check: Option<&mut (dyn ChunkCheck + 'static)>,
        ended: bool,
    ) -> Result<Vec<Trailer>, FramingError> {
        let missing =
            self.expected.iter().find(|name| !self.found.iter().any(|(found, _)| found == *name));
        match missing {
            Some(_) if !ended => return Err(FramingError::Incomplete),
            Some(name) => return Err(FramingError::TrailerMismatch(name.clone())),
            None => {}
        }
        if let Some(check) = check
            && self.signed
        {
            let presented = self.signature.as_deref().ok_or(FramingError::Incomplete)?;
            if !check.trailer(&self.canonical_sha256(), presented) {
                return Err(FramingError::SignatureMismatch);
            }
        }
        Ok(self.found)
    }

    fn canonical_sha256(&self) -> [u8; 32] {
        let mut sorted: Vec<&Trailer> = self.found.iter().collect();
        sorted.sort();
        let mut hash = Context::new(&SHA256);
        for (name, value) in sorted {
            for piece in [name.as_str(), ":", value.as_str(), "\n"] {
                hash.update(piece.as_bytes());
            }
        }
        digest(hash)
    }
}
