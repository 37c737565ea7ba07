//! Where a blob is and how its bytes are written.

use std::sync::Arc;

use bytes::Bytes;

use super::frames::FramedReader;
use crate::engine::{BlobId, BlobReader, Blobs, Engine, EngineError};
use crate::error::{Error, Result};

/// What the bytes of a blob are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Coding {
    /// The body.
    Plain = 0,
    /// The body in frames.
    Framed = 1,
    /// The body: a codec was tried and it did not shrink.
    Kept = 2,
}

/// What a record says of a blob: the id alone for a plain body in the engine's own
/// place; else the id, the coding and the place's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobAddress {
    pub id: BlobId,
    pub coding: Coding,
    /// `None` for the engine's own.
    pub place: Option<Arc<str>>,
}

const ID_BYTES: usize = 16;

impl BlobAddress {
    pub fn encode(&self) -> Bytes {
        let place = self.place.as_deref().unwrap_or_default();
        let mut bytes = self.id.0.to_vec();
        if self.coding != Coding::Plain || !place.is_empty() {
            bytes.push(self.coding as u8);
            bytes.extend_from_slice(place.as_bytes());
        }
        bytes.into()
    }

    pub fn decode(bytes: &[u8]) -> Result<BlobAddress> {
        let wrong = || Error::Damaged("a blob's address makes no sense".into());
        let (id, rest) = bytes.split_first_chunk::<ID_BYTES>().ok_or_else(wrong)?;
        let (coding, place) = match rest.split_first() {
            None => (Coding::Plain, None),
            Some((coding, place)) => {
                let coding = match coding {
                    0 => Coding::Plain,
                    1 => Coding::Framed,
                    2 => Coding::Kept,
                    _ => return Err(wrong()),
                };
                let place = std::str::from_utf8(place).map_err(|_| wrong())?;
                (coding, (!place.is_empty()).then(|| place.into()))
            }
        };
        Ok(BlobAddress { id: BlobId(*id), coding, place })
    }
}

/// The blobs of a place.
pub(crate) fn blobs<'a>(
    engine: &'a dyn Engine,
    place: Option<&str>,
) -> Result<&'a dyn Blobs, EngineError> {
    let Some(name) = place else { return Ok(engine.blobs()) };
    engine.place(name).ok_or_else(|| {
        tracing::error!(place = name, "bodies lie in a place that the configuration does not name");
        EngineError::Unavailable(format!("there is no place '{name}'"))
    })
}

/// Opens a body by what its record says of it.
pub(crate) async fn open_blob(
    engine: &dyn Engine,
    address: &[u8],
) -> Result<Arc<dyn BlobReader>, EngineError> {
    let corrupt = |error: Error| EngineError::Corrupt(error.to_string());
    let address = BlobAddress::decode(address).map_err(corrupt)?;
    let blob = blobs(engine, address.place.as_deref())?.open(address.id).await?;
    match address.coding {
        Coding::Plain | Coding::Kept => Ok(blob),
        Coding::Framed => Ok(Arc::new(FramedReader::open(blob).await?)),
    }
}

pub(crate) async fn delete_blob(engine: &dyn Engine, address: &[u8]) -> Result<()> {
    let address = BlobAddress::decode(address)?;
    Ok(blobs(engine, address.place.as_deref())?.delete(address.id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for (place, coding, len) in [
            (None, Coding::Plain, 16),
            (None, Coding::Framed, 17),
            (Some("cold"), Coding::Plain, 21),
            (Some("cold"), Coding::Kept, 21),
        ] {
            let place = place.map(Arc::from);
            let address = BlobAddress { id: BlobId(*b"0123456789abcdef"), coding, place };
            let bytes = address.encode();
            assert_eq!(bytes.len(), len);
            assert_eq!(BlobAddress::decode(&bytes).unwrap(), address);
        }
        for bad in
            [&b""[..], b"0123456789abcde", b"0123456789abcdef\x03", b"0123456789abcdef\0\xff"]
        {
            assert!(BlobAddress::decode(bad).is_err(), "{bad:?}");
        }
    }
}
