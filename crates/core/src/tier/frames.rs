//! Bodies in frames: pieces of fixed length, each compressed by itself, with an
//! index behind them, so that a range reads the frames it lies in and no others.
//! `docs/formats/rows.md` draws the bytes.
//!
//! A frame that does not shrink is kept as it is, and so is the body if it is no
//! longer than one. Frames have no checksums of their own: what the engine gives back
//! is verified already.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{Codec, Coding};
use crate::engine::{BlobReader, BlobWriter, EngineError};

/// Bytes of the body in each frame but the last.
pub(super) const FRAME_BYTES: usize = 128 << 10;
/// Frames that are compressed in one piece of work.
const BATCH_FRAMES: usize = 4;
/// A frame shrinks if it becomes shorter by this part of itself.
const SHRINKS_BY: usize = 16;
/// Frames that are not even tried in a row, when those before did not shrink.
const UNTRIED_MAX: u32 = 31;

const TRAILER_BYTES: usize = 28;
const MAGIC: [u8; 8] = *b"CSTRLFRM";
const VERSION: u32 = 1;
/// Bytes at the end that opening reads at once; holds the index of a gigabyte.
const TAIL_BYTES: usize = 32 << 10;

/// Writes a body as its tier's codec has it.
pub(crate) struct Packer {
    writer: Box<dyn BlobWriter>,
    framing: Option<Framing>,
}

struct Framing {
    buffer: BytesMut,
    compressor: Option<Box<Compressor>>,
    /// Length of each frame as it was written.
    lens: Vec<u32>,
    plain_len: u64,
}

/// Wanders between the writer's task and blocking threads.
struct Compressor {
    level: i32,
    /// Frames that did not shrink, the last ones in a row.
    unshrunk: u32,
    untried: u32,
}

impl Compressor {
    /// One frame as it is to be written.
    fn frame(&mut self, plain: Bytes) -> Result<Bytes, EngineError> {
        if self.untried > 0 {
            self.untried -= 1;
            return Ok(plain);
        }
        let failed = |e| EngineError::io("compressing a body", e);
        let packed = zstd::bulk::compress(&plain, self.level).map_err(failed)?;
        if packed.len() + plain.len() / SHRINKS_BY < plain.len() {
            self.unshrunk = 0;
            return Ok(packed.into());
        }
        self.unshrunk += 1;
        self.untried = (self.unshrunk - 1).min(UNTRIED_MAX);
        Ok(plain)
    }
}

impl Packer {
    pub fn new(writer: Box<dyn BlobWriter>, codec: Codec) -> Packer {
        let framing = match codec {
            Codec::None => None,
            Codec::Zstd(level) => Some(Framing {
                buffer: BytesMut::new(),
                compressor: Some(Box::new(Compressor { level, unshrunk: 0, untried: 0 })),
                lens: Vec::new(),
                plain_len: 0,
            }),
        };
        Packer { writer, framing }
    }

    pub async fn write(&mut self, data: Bytes) -> Result<(), EngineError> {
        let Some(framing) = &mut self.framing else { return self.writer.write(data).await };
        framing.plain_len += data.len() as u64;
        framing.buffer.extend_from_slice(&data);
        let batch = BATCH_FRAMES * FRAME_BYTES;
        while framing.buffer.len() > batch {
            let plain = framing.buffer.split_to(batch).freeze();
            for frame in framing.frames(plain).await? {
                self.writer.write(frame).await?;
            }
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<Coding, EngineError> {
        let Some(mut framing) = self.framing else {
            self.writer.finish().await?;
            return Ok(Coding::Plain);
        };
        let plain = std::mem::take(&mut framing.buffer).freeze();
        let frames = framing.frames(plain.clone()).await?;
        if framing.lens.len() <= 1 && frames.first().is_none_or(|frame| frame.len() == plain.len())
        {
            self.writer.write(plain).await?;
            self.writer.finish().await?;
            return Ok(Coding::Kept);
        }
        for frame in frames {
            self.writer.write(frame).await?;
        }
        self.writer.write(framing.index()).await?;
        self.writer.finish().await?;
        Ok(Coding::Framed)
    }
}

impl Framing {
    async fn frames(&mut self, plain: Bytes) -> Result<Vec<Bytes>, EngineError> {
        let stopped = || EngineError::Unavailable("a body's compression has stopped".into());
        let mut compressor = self.compressor.take().ok_or_else(stopped)?;
        let work = tokio::task::spawn_blocking(move || {
            let starts = (0..plain.len()).step_by(FRAME_BYTES);
            let frames = starts.map(|at| {
                let end = plain.len().min(at + FRAME_BYTES);
                compressor.frame(plain.slice(at..end))
            });
            let frames = frames.collect::<Result<Vec<_>, _>>()?;
            Ok::<_, EngineError>((compressor, frames))
        });
        let (compressor, frames) = work.await.map_err(|_| stopped())??;
        self.compressor = Some(compressor);
        self.lens.extend(frames.iter().map(|frame| frame.len() as u32));
        Ok(frames)
    }

    /// What stands behind the frames.
    fn index(&self) -> Bytes {
        let mut index = Vec::with_capacity(self.lens.len() * 4 + TRAILER_BYTES);
        self.lens.iter().for_each(|len| index.extend_from_slice(&len.to_le_bytes()));
        index.extend_from_slice(&self.plain_len.to_le_bytes());
        index.extend_from_slice(&(FRAME_BYTES as u32).to_le_bytes());
        index.extend_from_slice(&VERSION.to_le_bytes());
        index.extend_from_slice(&MAGIC);
        let sum = crc_fast::crc32_iscsi(&index);
        index.extend_from_slice(&sum.to_le_bytes());
        index.into()
    }
}

/// A body in frames as the body that it is.
pub(super) struct FramedReader {
    blob: Arc<dyn BlobReader>,
    plain_len: u64,
    /// Where each frame begins, and where the last one ends.
    bounds: Vec<u64>,
}

fn corrupt(what: &str) -> EngineError {
    EngineError::Corrupt(format!("a body in frames: {what}"))
}

/// Exactly these bytes of a blob.
async fn read_exactly(
    blob: &dyn BlobReader,
    offset: u64,
    len: usize,
) -> Result<Bytes, EngineError> {
    let first = blob.read_at(offset, len).await?;
    if first.len() == len {
        return Ok(first);
    }
    let mut bytes = BytesMut::with_capacity(len);
    bytes.extend_from_slice(&first);
    while bytes.len() < len {
        let piece = blob.read_at(offset + bytes.len() as u64, len - bytes.len()).await?;
        if piece.is_empty() {
            return Err(corrupt("it ends early"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

impl FramedReader {
    pub async fn open(blob: Arc<dyn BlobReader>) -> Result<FramedReader, EngineError> {
        let len = blob.len();
        let tail_len = len.min(TAIL_BYTES as u64) as usize;
        let mut tail = read_exactly(&*blob, len - tail_len as u64, tail_len).await?;
        let Some(trailer) = tail.last_chunk::<TRAILER_BYTES>() else {
            return Err(corrupt("it is too short"));
        };
        let word = |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("4 bytes"));
        let plain_len = u64::from_le_bytes(trailer[..8].try_into().expect("8 bytes"));
        if trailer[16..24] != MAGIC || word(12) != VERSION || word(8) != FRAME_BYTES as u32 {
            return Err(corrupt("its end is not one's that is known"));
        }
        let count = plain_len.div_ceil(FRAME_BYTES as u64);
        let index_len = count.checked_mul(4).filter(|index| *index + TRAILER_BYTES as u64 <= len);
        let index_len = index_len.ok_or_else(|| corrupt("its index is too long"))? as usize;
        let index_start = len - (TRAILER_BYTES + index_len) as u64;
        let sum = word(24);
        if TRAILER_BYTES + index_len > tail.len() {
            tail = read_exactly(&*blob, index_start, index_len + TRAILER_BYTES).await?;
        }
        let index = &tail[tail.len() - TRAILER_BYTES - index_len..];
        if crc_fast::crc32_iscsi(&index[..index.len() - 4]) != sum {
            return Err(corrupt("its index does not match its checksum"));
        }
        let mut bounds = Vec::with_capacity(count as usize + 1);
        let mut end = 0u64;
        bounds.push(end);
        for len in index[..index_len].chunks_exact(4) {
            end += u64::from(u32::from_le_bytes(len.try_into().expect("4 bytes")));
            bounds.push(end);
        }
        match end == index_start {
            true => Ok(FramedReader { blob, plain_len, bounds }),
            false => Err(corrupt("its frames do not end at its index")),
        }
    }
}

#[async_trait]
impl BlobReader for FramedReader {
    fn len(&self) -> u64 {
        self.plain_len
    }

    async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, EngineError> {
        if offset >= self.plain_len || max == 0 {
            return Ok(Bytes::new());
        }
        let number = (offset / FRAME_BYTES as u64) as usize;
        let start = number as u64 * FRAME_BYTES as u64;
        let plain_len = (self.plain_len - start).min(FRAME_BYTES as u64) as usize;
        let skip = (offset - start) as usize;
        let wanted = skip..plain_len.min(skip.saturating_add(max));
        let (at, end) = (self.bounds[number], self.bounds[number + 1]);
        if end - at == plain_len as u64 {
            return read_exactly(&*self.blob, at + skip as u64, wanted.len()).await;
        }
        if end - at > plain_len as u64 {
            return Err(corrupt("a frame is longer than what it holds"));
        }
        let packed = read_exactly(&*self.blob, at, (end - at) as usize).await?;
        let work = tokio::task::spawn_blocking(move || zstd::bulk::decompress(&packed, plain_len));
        let plain = work
            .await
            .map_err(|_| EngineError::Unavailable("a body's decompression has stopped".into()))?;
        let plain = plain.map_err(|_| corrupt("a frame cannot be decompressed"))?;
        match plain.len() == plain_len {
            true => Ok(Bytes::from(plain).slice(wanted)),
            false => Err(corrupt("a frame has a wrong length")),
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    #[async_trait]
    impl BlobWriter for Kept {
        async fn write(&mut self, data: Bytes) -> Result<(), EngineError> {
            self.0.lock().extend_from_slice(&data);
            Ok(())
        }

        async fn finish(self: Box<Self>) -> Result<(), EngineError> {
            Ok(())
        }
    }

    /// Gives no more than a few bytes at once, and counts them.
    struct Given(Vec<u8>, Arc<Mutex<usize>>);

    #[async_trait]
    impl BlobReader for Given {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, EngineError> {
            let start = (offset as usize).min(self.0.len());
            let end = self.0.len().min(start + max.min(50_000));
            *self.1.lock() += end - start;
            Ok(Bytes::copy_from_slice(&self.0[start..end]))
        }
    }

    async fn packed(data: &[u8], piece: usize) -> (Vec<u8>, Coding) {
        let kept = Kept::default();
        let mut packer = Packer::new(Box::new(kept.clone()), Codec::Zstd(3));
        for piece in data.chunks(piece) {
            packer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let coding = packer.finish().await.unwrap();
        let bytes = kept.0.lock().clone();
        (bytes, coding)
    }

    fn random(len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        StdRng::seed_from_u64(7).fill(&mut data[..]);
        data
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| b"a line of some log "[at % 19] ^ (at / 4096) as u8).collect()
    }

    #[tokio::test]
    async fn ranges_of_frames_come_back() {
        let mixed =
            [text(FRAME_BYTES), random(2 * FRAME_BYTES), text(3 * FRAME_BYTES + 7)].concat();
        for data in [text(1000), text(FRAME_BYTES), text(9 * FRAME_BYTES + 1), mixed] {
            let (bytes, coding) = packed(&data, 100_000).await;
            assert_eq!(coding, Coding::Framed);
            assert!(bytes.len() < data.len());
            let read = Arc::new(Mutex::new(0));
            let reader = FramedReader::open(Arc::new(Given(bytes, read))).await.unwrap();
            assert_eq!(reader.len(), data.len() as u64);
            let mut at = 0;
            while at < data.len() {
                let piece = reader.read_at(at as u64, 70_001).await.unwrap();
                assert_eq!(piece[..], data[at..at + piece.len()]);
                at += piece.len();
            }
            assert!(reader.read_at(data.len() as u64, 1).await.unwrap().is_empty());
            let last = data.len() - 1;
            assert_eq!(reader.read_at(last as u64, 100).await.unwrap()[..], data[last..]);
        }
    }

    #[tokio::test]
    async fn a_range_reads_its_frames_alone() {
        let data = text(40 * FRAME_BYTES);
        let (bytes, _) = packed(&data, 1 << 20).await;
        let read = Arc::new(Mutex::new(0));
        let reader =
            FramedReader::open(Arc::new(Given(bytes.clone(), read.clone()))).await.unwrap();
        *read.lock() = 0;
        let at = 17 * FRAME_BYTES + 5;
        assert_eq!(reader.read_at(at as u64, 10).await.unwrap()[..], data[at..at + 10]);
        assert!(*read.lock() <= bytes.len() / 20, "{} of {}", read.lock(), bytes.len());
    }

    #[tokio::test]
    async fn what_does_not_shrink_is_kept() {
        let data = random(FRAME_BYTES);
        assert_eq!(packed(&data, 1000).await, (data, Coding::Kept));
        let data = random(100 * FRAME_BYTES);
        let (bytes, coding) = packed(&data, 1 << 20).await;
        assert_eq!(coding, Coding::Framed);
        assert_eq!(bytes.len(), data.len() + 400 + TRAILER_BYTES);
        assert_eq!(bytes[..data.len()], data);
    }

    #[tokio::test]
    async fn damage_is_noticed() {
        let (bytes, _) = packed(&text(3 * FRAME_BYTES), 1 << 20).await;
        let open = async |bytes: &[u8]| {
            FramedReader::open(Arc::new(Given(bytes.to_vec(), Arc::default()))).await.map(|_| ())
        };
        assert!(open(&bytes).await.is_ok());
        for at in bytes.len() - TRAILER_BYTES - 12..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(open(&changed).await.is_err(), "byte {at}");
        }
        assert!(open(&bytes[1..]).await.is_err());
        assert!(open(&bytes[..10]).await.is_err());
        assert!(open(b"").await.is_err());
    }

    /// The numbers of docs/formats/rows.md.
    #[tokio::test]
    async fn the_bytes_are_as_documented() {
        assert_eq!(FRAME_BYTES, 131_072);
        let (bytes, _) = packed(&[0; FRAME_BYTES + 1], 1 << 20).await;
        let (frames, index) = bytes.split_at(bytes.len() - 28 - 8);
        let first = frames.len() as u32 - 1;
        let mut want = first.to_le_bytes().to_vec();
        want.extend_from_slice(b"\x01\0\0\0\x01\0\x02\0\0\0\0\0\0\0\x02\0\x01\0\0\0CSTRLFRM");
        want.extend_from_slice(&crc_fast::crc32_iscsi(&want).to_le_bytes());
        assert_eq!(index, want);
        assert_eq!(
            zstd::bulk::decompress(&frames[..first as usize], 131_072).unwrap().len(),
            131_072
        );
        assert_eq!(frames[first as usize..], [0]);
    }
}
