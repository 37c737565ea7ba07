//! Carrying the bytes of one body.

use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};

use super::plan::Body;
use crate::engine::{Engine, EngineError, Partition, RowRef, Table};
use crate::error::Error;
use crate::ingest::{body_row, inline_bytes};
use crate::naming::{Named, Place};
use crate::record::blob_id;
use crate::tier::{BlobAddress, Coding, blobs, open_blob};

/// Bytes read and written at once.
const PIECE: usize = 4 << 20;

/// Why a body was not carried.
pub(super) enum Obstacle {
    /// It is missing on the source, or its bytes are not what they were.
    Source(String),
    /// The pass cannot go on.
    Fatal(Error),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Obstacle::Fatal(error)
    }
}

impl From<EngineError> for Obstacle {
    fn from(error: EngineError) -> Self {
        Obstacle::Fatal(error.into())
    }
}

fn of_source(error: EngineError) -> Obstacle {
    match error {
        EngineError::NotFound(_) | EngineError::Corrupt(_) => Obstacle::Source(error.to_string()),
        error => Obstacle::Fatal(error.into()),
    }
}

fn of_target(error: EngineError) -> Obstacle {
    Obstacle::Fatal(error.into())
}

/// What is known of some bytes.
#[derive(PartialEq, Eq)]
struct Sum {
    len: u64,
    crc64: u64,
}

impl Body {
    fn sum(&self) -> Sum {
        Sum { len: self.size, crc64: self.crc64 }
    }

    /// Where a blob of it is.
    fn address(&self, named: &Named) -> Result<BlobAddress, Error> {
        let place = match &named.place {
            Place::Blob(place) => place.clone(),
            Place::Row(_) => None,
        };
        Ok(BlobAddress { id: blob_id(&named.id)?, coding: self.coding, place })
    }

    fn check(&self, found: &Sum) -> Result<(), Obstacle> {
        match *found == self.sum() {
            true => Ok(()),
            false => Err(Obstacle::Source("its bytes are not what its record says".into())),
        }
    }
}

/// The value of the body's row on the target.
pub(super) async fn row_value(
    source: &dyn Engine,
    partition: Partition,
    group: &Bytes,
    body: &Body,
) -> Result<Bytes, Obstacle> {
    let data = small(source, partition, group, body).await?;
    Ok(body_row(&body.to.id, &data))
}

/// A body whose bytes may all be in memory.
async fn small(
    source: &dyn Engine,
    partition: Partition,
    group: &Bytes,
    body: &Body,
) -> Result<Bytes, Obstacle> {
    let data = match &body.from.place {
        Place::Row(suffix) => {
            let rows = [RowRef { table: Table::Body, suffix: suffix.clone() }];
            let read = source.index().read(partition, group, &rows).await.map_err(of_source)?;
            let row = read.into_iter().next().flatten();
            row.and_then(|row| inline_bytes(&row, &body.from.id))
                .ok_or_else(|| Obstacle::Source("its body is missing".into()))?
        }
        Place::Blob(_) => {
            let mut data = BytesMut::new();
            let longest = body.size;
            read(source, &body.address(&body.from)?, |piece| {
                if data.len() as u64 <= longest {
                    data.extend_from_slice(&piece);
                }
            })
            .await
            .map_err(of_source)?;
            data.freeze()
        }
    };
    body.check(&sum_of(&data))?;
    Ok(data)
}

/// Makes the blob on the target and reads it back. `anew`: nothing of it is there
/// yet; otherwise what is there may be the blob, or the beginning of it.
pub(super) async fn blob(
    source: &dyn Engine,
    target: &dyn Engine,
    partition: Partition,
    group: &Bytes,
    body: &Body,
    anew: bool,
) -> Result<(), Obstacle> {
    let address = body.address(&body.to)?;
    if !anew {
        match sum(target, &address).await {
            Ok(found) if found == body.sum() => return Ok(()),
            Ok(_) | Err(EngineError::NotFound(_) | EngineError::Corrupt(_)) => {}
            Err(error) => return Err(of_target(error)),
        }
        delete(target, &address).await?;
    }
    let mut written = write(source, target, partition, group, body, &address).await;
    if written.is_ok() && body.coding == Coding::Framed {
        // What is in frames was carried as it is: whether that is the body shows only now.
        let found = sum(target, &address).await;
        if !found.is_ok_and(|found| found == body.sum()) {
            let read = sum(source, &body.address(&body.from)?).await.map_err(of_source);
            written = read.and_then(|found| body.check(&found));
        }
    }
    if let Err(Obstacle::Source(_)) = written {
        delete(target, &address).await?;
    }
    written?;
    let back = sum(target, &address).await.map_err(of_target)?;
    match back == body.sum() {
        true => Ok(()),
        false => {
            let id = address.id;
            Err(Error::Damaged(format!("blob {id} reads otherwise than written")).into())
        }
    }
}

async fn delete(target: &dyn Engine, address: &BlobAddress) -> Result<(), Obstacle> {
    Ok(blobs(target, address.place.as_deref())?.delete(address.id).await?)
}

async fn write(
    source: &dyn Engine,
    target: &dyn Engine,
    partition: Partition,
    group: &Bytes,
    body: &Body,
    address: &BlobAddress,
) -> Result<(), Obstacle> {
    let there = blobs(target, address.place.as_deref()).map_err(of_target)?;
    if let Place::Row(_) = body.from.place {
        let data = small(source, partition, group, body).await?;
        let mut writer = there.create(address.id, Some(body.size)).await.map_err(of_target)?;
        writer.write(data).await.map_err(of_target)?;
        return writer.finish().await.map_err(of_target);
    }
    let from = body.address(&body.from)?;
    let here = blobs(source, from.place.as_deref())?;
    let reader = here.open(from.id).await.map_err(of_source)?;
    let len = reader.len();
    let mut writer = there.create(address.id, Some(len)).await.map_err(of_target)?;
    let mut digest = Digest::new(CrcAlgorithm::Crc64Xz);
    let mut at = 0;
    while at < len {
        let piece = reader.read_at(at, PIECE).await.map_err(of_source)?;
        if piece.is_empty() {
            return Err(Obstacle::Source("it ends early".into()));
        }
        digest.update(&piece);
        at += piece.len() as u64;
        writer.write(piece).await.map_err(of_target)?;
    }
    if body.coding != Coding::Framed {
        body.check(&Sum { len, crc64: digest.finalize() })?;
    }
    writer.finish().await.map_err(of_target)
}

/// Of the body, however its bytes are written.
async fn sum(engine: &dyn Engine, address: &BlobAddress) -> Result<Sum, EngineError> {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Xz);
    let len = read(engine, address, |piece| digest.update(&piece)).await?;
    Ok(Sum { len, crc64: digest.finalize() })
}

fn sum_of(data: &[u8]) -> Sum {
    let crc64 = crc_fast::checksum(CrcAlgorithm::Crc64Xz, data);
    Sum { len: data.len() as u64, crc64 }
}

/// Reads a body to its end; its length.
async fn read(
    engine: &dyn Engine,
    address: &BlobAddress,
    mut each: impl FnMut(Bytes),
) -> Result<u64, EngineError> {
    let reader = open_blob(engine, &address.encode()).await?;
    let mut len = 0;
    while len < reader.len() {
        let piece = reader.read_at(len, PIECE).await?;
        if piece.is_empty() {
            return Err(EngineError::Corrupt(format!("blob {} ends early", address.id)));
        }
        len += piece.len() as u64;
        each(piece);
    }
    Ok(len)
}
