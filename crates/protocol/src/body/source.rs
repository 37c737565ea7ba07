use std::collections::VecDeque;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use costrel_core::body::BodySource;
use costrel_core::checksum::Algorithm;
use costrel_core::{BodyError, Error, Result};
use costrel_signature::ChunkVerifier;

use super::Incoming;
use crate::framing::{AwsChunked, ChunkCheck, FramingError};

struct Chunks(ChunkVerifier);

impl ChunkCheck for Chunks {
    fn chunk(&mut self, sha256: &[u8; 32], presented: &str) -> bool {
        self.0.chunk(sha256, presented).is_ok()
    }

    fn trailer(&mut self, sha256: &[u8; 32], presented: &str) -> bool {
        self.0.trailer_sha256(sha256, presented).is_ok()
    }
}

/// A body for the core: the framing, if any, is taken off.
pub struct PayloadSource<'a> {
    incoming: &'a mut Incoming,
    framing: Option<AwsChunked>,
    ready: VecDeque<Bytes>,
    scratch: Vec<Bytes>,
    trailing: Vec<(Algorithm, Bytes)>,
}

impl<'a> PayloadSource<'a> {
    pub fn plain(incoming: &'a mut Incoming) -> PayloadSource<'a> {
        PayloadSource {
            incoming,
            framing: None,
            ready: VecDeque::new(),
            scratch: Vec::new(),
            trailing: Vec::new(),
        }
    }

    /// `declared` is the decoded length; `trailers` are the names announced.
    pub fn framed(
        incoming: &'a mut Incoming,
        declared: u64,
        chunks: Option<ChunkVerifier>,
        trailers: Option<Vec<String>>,
    ) -> PayloadSource<'a> {
        let check = chunks.map(|chunks| Box::new(Chunks(chunks)) as Box<dyn ChunkCheck>);
        PayloadSource {
            framing: Some(AwsChunked::new(declared, check, trailers)),
            ..PayloadSource::plain(incoming)
        }
    }
}

#[async_trait]
impl BodySource for PayloadSource<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            let piece = self.incoming.next().await?;
            match (piece, &mut self.framing) {
                (piece, None) => return Ok(piece),
                (Some(piece), Some(framing)) => {
                    framing.feed(piece, &mut self.scratch).map_err(body_error)?;
                    self.ready.extend(self.scratch.drain(..).filter(|piece| !piece.is_empty()));
                }
                (None, framing) => {
                    let Some(framing) = framing.take() else {
                        return Ok(None);
                    };
                    let trailers = framing.finish().map_err(body_error)?;
                    self.trailing = checksums(&trailers)?;
                    return Ok(None);
                }
            }
        }
    }

    fn is_slowed(&self) -> bool {
        self.incoming.is_slowed()
    }

    fn trailing_checksums(&mut self) -> Vec<(Algorithm, Bytes)> {
        std::mem::take(&mut self.trailing)
    }
}

fn checksums(trailers: &[(String, String)]) -> Result<Vec<(Algorithm, Bytes)>> {
    let mut found = Vec::new();
    for (name, value) in trailers {
        let algorithm = name.strip_prefix("x-amz-checksum-").and_then(Algorithm::from_name);
        let Some(algorithm) = algorithm else {
            return Err(BodyError::MalformedTrailer.into());
        };
        match BASE64.decode(value) {
            Ok(value) if value.len() == algorithm.value_len() => {
                found.push((algorithm, value.into()));
            }
            _ => return Err(BodyError::MalformedTrailer.into()),
        }
    }
    Ok(found)
}

fn body_error(error: FramingError) -> Error {
    Error::Body(match error {
        FramingError::Malformed(_) => BodyError::MalformedFraming,
        FramingError::SignatureMismatch => BodyError::ChunkSignature,
        FramingError::LengthMismatch { .. } => BodyError::LengthMismatch,
        FramingError::TrailerMismatch(_) => BodyError::MalformedTrailer,
        FramingError::Incomplete => BodyError::Truncated,
    })
}
