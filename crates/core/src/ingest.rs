//! Taking a body in: every byte is hashed once and put where it stays.
//!
//! A small body is gathered in memory and travels inside the commit. A larger
//! one becomes a blob: its id is recorded as pending first, then pieces are
//! hashed on a blocking thread while the engine writes them and the next piece
//! arrives. Memory per body is bounded by a few pieces, over all bodies by the
//! store's two semaphores.
//!
//! A body goes to its class's tier, through the codec on its way to the blob. One that
//! is small enough to be inline stays so, uncoded, if its tier is in the engine's own
//! place: there is little to be saved in it, and a blob would cost more than that. In
//! a tier elsewhere every body is a blob: whoever gives a class a place of its own
//! wants its bytes there.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::body::BodySource;
use crate::checksum::{Algorithm, Digester, Digests, Expected, Hasher};
use crate::collector::Collectable;
use crate::engine::{BlobId, BlobWriter, Expect, Partition, RowRef, Table, Write};
use crate::error::{BodyError, Error, Result};
use crate::limits::INGEST_CHUNK_BYTES;
use crate::record::{Content, PendingRecord, encode};
use crate::store::{Store, detached};
use crate::tier::{BlobAddress, Codec, Coding, Packer, Tier, blobs};

/// Where a body goes and what is wanted of it.
pub(crate) struct Intake<'a> {
    pub partition: Partition,
    pub group: &'a Bytes,
    /// Holds when the body's commit must not happen otherwise (an open upload);
    /// checked already when the blob is announced.
    pub guard: Option<Expect>,
    pub wanted: Vec<Algorithm>,
    pub expected: Expected,
    pub size_hint: Option<u64>,
    pub size_max: u64,
    pub tier: &'a Tier,
}

/// A body that is stored but not yet referenced. Dropping it abandons a blob.
pub(crate) struct Ingested {
    pub digests: Digests,
    pub content: Option<Content>,
    /// Value of the body row, for inline content.
    body_row: Option<Bytes>,
    pending: Option<PendingBlob>,
}

struct PendingBlob {
    store: Arc<Store>,
    partition: Partition,
    group: Bytes,
    blob: BlobId,
    place: Option<Arc<str>>,
    referenced: bool,
}

impl PendingBlob {
    fn address(&self, coding: Coding) -> Bytes {
        BlobAddress { id: self.blob, coding, place: self.place.clone() }.encode()
    }
}

impl Drop for PendingBlob {
    fn drop(&mut self) {
        self.store.writing.lock().remove(&self.blob);
        if !self.referenced {
            self.store.offer(Collectable::Abandoned {
                partition: self.partition,
                group: self.group.clone(),
                blob: self.blob,
                place: self.place.clone(),
            });
        }
    }
}

impl Ingested {
    /// What the commit that references this content must expect and write.
    /// `suffix` is that of the body row.
    pub fn commit_parts(&self, suffix: &Bytes) -> (Option<Expect>, Vec<Write>) {
        if let Some(value) = &self.body_row {
            let row = RowRef { table: Table::Body, suffix: suffix.clone() };
            return (None, vec![Write::Put(row, value.clone())]);
        }
        match self.pending_parts() {
            Some((expect, write)) => (Some(expect), vec![write]),
            None => (None, Vec::new()),
        }
    }

    /// The value of an inline body's row.
    pub fn body_row(&self) -> Option<Bytes> {
        self.body_row.clone()
    }

    /// What the commit that references a blob must expect and write.
    pub fn pending_parts(&self) -> Option<(Expect, Write)> {
        let pending = self.pending.as_ref()?;
        let row = RowRef::new(Table::Pending, pending.blob.0.to_vec());
        Some((Expect::Present(row.clone()), Write::Delete(row)))
    }

    /// The bytes, when they are inline.
    pub fn inline_data(&self) -> Option<Bytes> {
        match &self.content {
            Some(Content::Inline(id)) => inline_bytes(self.body_row.as_ref()?, id),
            _ => None,
        }
    }

    /// After the commit: the blob is somebody's now.
    pub fn referenced(mut self) -> Digests {
        if let Some(pending) = &mut self.pending {
            pending.referenced = true;
        }
        self.digests
    }
}

/// An inline body's row: the id that its record repeats, then the bytes.
pub(crate) fn body_row(id: &[u8], data: &[u8]) -> Bytes {
    let mut row = Vec::with_capacity(id.len() + data.len());
    row.extend_from_slice(id);
    row.extend_from_slice(data);
    row.into()
}

/// The bytes of an inline body's row, if it is the one with this id.
pub(crate) fn inline_bytes(row: &Bytes, id: &[u8]) -> Option<Bytes> {
    row.starts_with(id).then(|| row.slice(id.len()..))
}

impl Store {
    pub(crate) async fn ingest(
        self: &Arc<Self>,
        intake: Intake<'_>,
        body: &mut dyn BodySource,
    ) -> Result<Ingested> {
        if let Some(size) = intake.size_hint.filter(|size| *size > intake.size_max) {
            return Err(Error::TooLarge { size, max: intake.size_max });
        }
        let algorithms: Vec<Algorithm> =
            intake.wanted.iter().copied().chain(intake.expected.algorithms()).collect();
        let inline_max = match intake.tier.place {
            None => self.engine.inline_max(),
            Some(_) => 0,
        };
        let small = intake.size_hint.is_none_or(|size| size <= inline_max as u64);

        let mut first = Gathered::default();
        let mut ended = false;
        if small {
            let kib = intake.size_hint.map_or(inline_max, |size| size as usize) / 1024 + 1;
            let _permit = self.small_bodies.acquire_many(kib.min(self.pool_kib) as u32).await;
            while !ended && first.len <= inline_max {
                match body.next().await? {
                    Some(piece) => first.push(piece),
                    None => ended = true,
                }
            }
            if ended {
                let size = first.len as u64;
                if size > intake.size_max {
                    return Err(Error::TooLarge { size, max: intake.size_max });
                }
                let mut digester = Digester::new(algorithms);
                let pieces = first.take();
                pieces.iter().for_each(|piece| digester.update(piece));
                let digests = digester.finish();
                check(&digests, intake.expected, body)?;
                return Ok(self.inline(digests, &pieces));
            }
        }
        self.ingest_blob(intake, algorithms, first, body).await
    }

    fn inline(&self, digests: Digests, pieces: &[Bytes]) -> Ingested {
        let len: usize = pieces.iter().map(Bytes::len).sum();
        if len == 0 {
            return Ingested { digests, content: None, body_row: None, pending: None };
        }
        let id = self.entropy.id();
        let mut row = BytesMut::with_capacity(id.len() + len);
        row.extend_from_slice(&id);
        pieces.iter().for_each(|piece| row.extend_from_slice(piece));
        let row = row.freeze();
        let content = Some(Content::Inline(row.slice(..id.len())));
        Ingested { digests, content, body_row: Some(row), pending: None }
    }

    async fn ingest_blob(
        self: &Arc<Self>,
        intake: Intake<'_>,
        algorithms: Vec<Algorithm>,
        first: Gathered,
        body: &mut dyn BodySource,
    ) -> Result<Ingested> {
        // Gathering, hashing and the engine's writer hold a piece each, and a codec
        // what it takes and what it makes of that.
        let pieces = if intake.tier.codec == Codec::None { 3 } else { 5 };
        let permit_kib = (pieces * INGEST_CHUNK_BYTES / 1024).min(self.pool_kib) as u32;
        // Those that are kept slow hold what they have for long, and leave half to others.
        let _share = match body.is_slowed() {
            true => {
                let share_kib = permit_kib.min(self.pool_kib as u32 / 2);
                Some(self.slowed_bodies.acquire_many(share_kib).await)
            }
            false => None,
        };
        let _permit = self.large_bodies.acquire_many(permit_kib).await;
        let (pending, writer) = self.begin_blob(&intake).await?;
        let mut writer = Packer::new(writer, intake.tier.codec);

        let mut hashing = Hashing::Idle(Box::new(Digester::new(algorithms)));
        let mut chunk = first;
        let mut total = 0u64;
        loop {
            let ended = loop {
                if chunk.len >= INGEST_CHUNK_BYTES {
                    break false;
                }
                match body.next().await? {
                    Some(piece) => chunk.push(piece),
                    None => break true,
                }
            };
            total += chunk.len as u64;
            if total > intake.size_max {
                return Err(Error::TooLarge { size: total, max: intake.size_max });
            }
            if chunk.len > 0 {
                let pieces = chunk.take();
                hashing = hashing.start(&self.hasher, pieces.clone()).await?;
                for piece in pieces {
                    writer.write(piece).await?;
                }
            }
            if ended {
                break;
            }
        }
        let digests = hashing.finish().await?;
        check(&digests, intake.expected, body)?;
        if total == 0 {
            return Ok(self.inline(digests, &[]));
        }
        let coding = writer.finish().await?;
        let content = Some(Content::Blob(pending.address(coding)));
        Ok(Ingested { digests, content, body_row: None, pending: Some(pending) })
    }

    /// Records a fresh blob id as pending, and then begins the blob.
    ///
    /// In a task of its own: an engine may go on making a blob after the future
    /// that asked for it is dropped, and a blob that comes to exist after the
    /// collector freed its id would be nobody's.
    async fn begin_blob(
        self: &Arc<Self>,
        intake: &Intake<'_>,
    ) -> Result<(PendingBlob, Box<dyn BlobWriter>)> {
        let (store, size_hint) = (self.clone(), intake.size_hint);
        let (partition, group) = (intake.partition, intake.group.clone());
        let (guard, place) = (intake.guard.clone(), intake.tier.place.clone());
        detached(async move {
            let pending = store.announce(partition, group, guard, place).await?;
            let blobs = blobs(&*store.engine, pending.place.as_deref())?;
            let writer = blobs.create(pending.blob, size_hint).await?;
            Ok((pending, writer))
        })
        .await
    }

    /// Records a fresh blob id as pending; nothing of the blob exists before.
    async fn announce(
        self: &Arc<Self>,
        partition: Partition,
        group: Bytes,
        guard: Option<Expect>,
        place: Option<Arc<str>>,
    ) -> Result<PendingBlob> {
        let blob = BlobId(self.entropy.id());
        let record = PendingRecord {
            started_ms: self.now_ms(),
            writer: Bytes::copy_from_slice(&self.writer),
            place: place.as_deref().unwrap_or_default().to_owned(),
        };
        // Made before the commit: whatever its outcome, the row may exist and
        // must be collected.
        let pending = PendingBlob {
            store: self.clone(),
            partition,
            group: group.clone(),
            blob,
            place,
            referenced: false,
        };
        self.writing.lock().insert(blob);
        let row = RowRef::new(Table::Pending, blob.0.to_vec());
        let expects = guard.into_iter().collect();
        let writes = vec![Write::Put(row, encode(&record))];
        match self.try_commit(partition, &group, expects, writes).await? {
            Ok(()) => Ok(pending),
            Err(_) => Err(Error::NoSuchUpload),
        }
    }
}

/// Pieces shorter than this are copied together, in bytes.
const SMALL_PIECE_BYTES: usize = 4096;
/// Until so many are together, in bytes.
const COPIED_BYTES: usize = 64 << 10;

/// Pieces that wait to be hashed and written.
///
/// A client chooses their sizes. One of a single byte would hold many times that
/// by what names it, and by the buffer it was read into, and no budget would hold.
#[derive(Default)]
struct Gathered {
    pieces: Vec<Bytes>,
    /// Small pieces, copied.
    copied: BytesMut,
    len: usize,
}

impl Gathered {
    fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if piece.len() < SMALL_PIECE_BYTES {
            self.copied.extend_from_slice(&piece);
            if self.copied.len() < COPIED_BYTES {
                return;
            }
        }
        self.end_copied();
        if piece.len() >= SMALL_PIECE_BYTES {
            self.pieces.push(piece);
        }
    }

    fn end_copied(&mut self) {
        if !self.copied.is_empty() {
            self.pieces.push(std::mem::take(&mut self.copied).freeze());
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.end_copied();
        self.len = 0;
        std::mem::take(&mut self.pieces)
    }
}

fn check(digests: &Digests, mut expected: Expected, body: &mut dyn BodySource) -> Result<()> {
    let trailing = body.trailing_checksums();
    if trailing.iter().any(|(algorithm, _)| digests.of(*algorithm).is_none()) {
        // The trailer names an algorithm that its announcement did not.
        return Err(BodyError::MalformedTrailer.into());
    }
    expected.extend(trailing);
    digests.check(&expected)
}

/// One digester that wanders between this task and blocking threads.
enum Hashing {
    Idle(Box<Digester>),
    Busy(oneshot::Receiver<Box<Digester>>),
}

impl Hashing {
    async fn idle(self) -> Result<Box<Digester>> {
        match self {
            Hashing::Idle(digester) => Ok(digester),
            Hashing::Busy(task) => {
                task.await.map_err(|e| Error::Internal(format!("hashing failed: {e}")))
            }
        }
    }

    async fn start(self, hasher: &Arc<Hasher>, pieces: Vec<Bytes>) -> Result<Hashing> {
        Ok(Hashing::Busy(hasher.update(self.idle().await?, pieces)))
    }

    async fn finish(self) -> Result<Digests> {
        Ok(self.idle().await?.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_gathered_into_few() {
        let mut gathered = Gathered::default();
        let mut expected = Vec::new();
        for number in 0..200_000usize {
            let len = if number % 50_000 == 7 { SMALL_PIECE_BYTES } else { 1 };
            let piece = Bytes::from(vec![number as u8; len]);
            expected.extend_from_slice(&piece);
            gathered.push(piece);
        }
        assert_eq!(gathered.len, expected.len());
        let pieces = gathered.take();
        assert!(pieces.len() < 16, "{} pieces", pieces.len());
        assert_eq!(pieces.concat(), expected);
        assert_eq!((gathered.len, gathered.take().len()), (0, 0));
    }
}
