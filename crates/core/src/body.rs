//! A body on its way in.

use async_trait::async_trait;
use bytes::Bytes;

use crate::checksum::Algorithm;
use crate::error::Result;

/// Yields a body's bytes, already freed of any framing.
#[async_trait]
pub trait BodySource: Send {
    /// The next piece, of any size; `None` at the end, and only if the body was
    /// complete. After an error or the end it is not called again.
    async fn next(&mut self) -> Result<Option<Bytes>>;

    /// Whether it is kept slower than it might come.
    fn is_slowed(&self) -> bool {
        false
    }

    /// Checksums that came behind the body. Called once, after the end.
    fn trailing_checksums(&mut self) -> Vec<(Algorithm, Bytes)> {
        Vec::new()
    }
}

/// A body that is in memory.
pub struct BytesSource(Option<Bytes>);

impl BytesSource {
    pub fn new(bytes: Bytes) -> BytesSource {
        BytesSource(Some(bytes))
    }
}

#[async_trait]
impl BodySource for BytesSource {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}
