//! Reading an object's bytes, wherever they lie.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::body::BodySource;
use crate::bucket::Bucket;
use crate::collector::PinGuard;
use crate::engine::{BlobReader, EngineError, Partition, RowRef, Table};
use crate::error::{Error, Result};
use crate::ingest::inline_bytes;
use crate::limits::{PART_NUMBER_MAX, PUT_BYTES_MAX};
use crate::names::ObjectKey;
use crate::record::{
    Content, LayoutRecord, ObjectRecord, PartRecord, Parts, Run, decode, part_suffix,
};
use crate::store::Store;
use crate::tier::open_blob;

/// How often a segment is read again when an append was rewriting it.
const ROUNDS_MAX: usize = 10;

/// The bytes of a range of one object, piece by piece. The object may be
/// overwritten or deleted meanwhile: its bytes stay readable to the end.
pub struct ObjectReader {
    source: Source,
    /// Bytes not yet handed out.
    remaining: u64,
}

enum Source {
    Memory(Bytes),
    Blob { reader: Arc<dyn BlobReader>, offset: u64 },
    Parts(PartsReader),
}

struct PartsReader {
    store: Arc<Store>,
    partition: Partition,
    group: Bytes,
    set: Bytes,
    /// Part numbers to read, and the first one's offset to begin at.
    numbers: VecDeque<u32>,
    skip: u64,
    open: Option<Box<ObjectReader>>,
    _pin: PinGuard,
}

impl ObjectReader {
    /// Bytes still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The whole rest, if it is in memory already.
    pub fn take_memory(&mut self) -> Option<Bytes> {
        match &mut self.source {
            Source::Memory(bytes) => {
                self.remaining = 0;
                Some(std::mem::take(bytes))
            }
            _ => None,
        }
    }

    /// The next piece; `None` at the end of the range.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        if self.remaining == 0 {
            return Ok(None);
        }
        // How much of it comes at once is the engine's to say: it knows what that costs,
        // and learns here how much is going to be read.
        let max = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let piece = match &mut self.source {
            Source::Memory(bytes) => bytes.split_to(max.min(bytes.len())),
            Source::Blob { reader, offset } => {
                let piece = reader.read_at(*offset, max).await?;
                *offset += piece.len() as u64;
                piece
            }
            Source::Parts(parts) => parts.next_piece(self.remaining).await?,
        };
        if piece.is_empty() {
            return Err(Error::Damaged("a body is shorter than its record says".into()));
        }
        self.remaining -= piece.len() as u64;
        Ok(Some(piece))
    }
}

#[async_trait]
impl BodySource for ObjectReader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.next_piece().await
    }
}

impl PartsReader {
    /// The next piece; no more than `wanted` bytes will be asked for from now on.
    async fn next_piece(&mut self, wanted: u64) -> Result<Bytes> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(piece) = Box::pin(open.next_piece()).await? {
                    return Ok(piece);
                }
                self.open = None;
            }
            let Some(number) = self.numbers.pop_front() else {
                return Ok(Bytes::new());
            };
            let skip = std::mem::take(&mut self.skip);
            let mut part = self.open_part(number, skip).await?;
            // The range may end inside a part. What lies behind it is not read, nor
            // read ahead.
            part.remaining = part.remaining.min(wanted);
            self.open = Some(Box::new(part));
        }
    }

    async fn open_part(&self, number: u32, skip: u64) -> Result<ObjectReader> {
        let mut rounds = 0;
        loop {
            let (part, body) =
                self.store.part_rows(self.partition, &self.group, &self.set, number).await?;
            let remaining = part.size.saturating_sub(skip);
            match self.store.open_content(&part.content, body, skip, remaining).await {
                // An append rewrote the segment between the two rows.
                Err(Error::Damaged(_)) if rounds < ROUNDS_MAX => rounds += 1,
                opened => return opened,
            }
        }
    }
}

impl Store {
    /// Opens `range` of an object whose row was just read. `Ok(None)` when the
    /// content is gone because the object was replaced in between: the caller
    /// reads the row again.
    pub(crate) async fn open_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &ObjectKey,
        row: RowRef,
        record: &ObjectRecord,
        body: Option<Bytes>,
        range: Range<u64>,
    ) -> Result<Option<ObjectReader>> {
        let remaining = range.end - range.start;
        if remaining == 0 {
            let source = Source::Memory(Bytes::new());
            return Ok(Some(ObjectReader { source, remaining }));
        }
        match &record.content {
            Some(Content::Inline(id)) => match body.and_then(|row| inline_bytes(&row, id)) {
                Some(_) if range.end > record.size => {
                    Err(Error::Damaged("a range exceeds its object".into()))
                }
                Some(bytes) if bytes.len() as u64 == record.size => {
                    let bytes = bytes.slice(range.start as usize..range.end as usize);
                    Ok(Some(ObjectReader { source: Source::Memory(bytes), remaining }))
                }
                Some(_) => Err(Error::Damaged("an inline body has a wrong length".into())),
                None => Ok(None),
            },
            Some(Content::Blob(id)) => match open_blob(&*self.engine, id).await {
                Ok(reader) if reader.len() == record.size => {
                    let source = Source::Blob { reader, offset: range.start };
                    Ok(Some(ObjectReader { source, remaining }))
                }
                Ok(_) => {
                    Err(Error::Damaged(format!("blob {} has a wrong length", hex::encode(id))))
                }
                Err(EngineError::NotFound(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Some(Content::Parts(parts)) => {
                let Some(pin) = self.pin(&parts.set) else {
                    return Ok(None);
                };
                // The set may have been freed before the pin was there.
                let again = self.read_row(bucket.partition(), &key.group(), row).await?;
                let again = again.map(|row| decode::<ObjectRecord>(&row, "object record"));
                if again.transpose()?.is_none_or(|again| again.content != record.content) {
                    return Ok(None);
                }
                let Some(runs) = self.layout(bucket.partition(), &key.group(), parts).await? else {
                    return Ok(None);
                };
                let (numbers, skip) = locate(&runs, &range);
                let source = Source::Parts(PartsReader {
                    store: self.clone(),
                    partition: bucket.partition(),
                    group: key.group(),
                    set: parts.set.clone(),
                    numbers,
                    skip,
                    open: None,
                    _pin: pin,
                });
                Ok(Some(ObjectReader { source, remaining }))
            }
            Some(Content::Link(_)) | None => {
                Err(Error::Damaged("an object of some size has no content".into()))
            }
        }
    }

    /// Opens the content of a part.
    pub(crate) async fn open_content(
        &self,
        content: &Option<Content>,
        body: Option<Bytes>,
        skip: u64,
        remaining: u64,
    ) -> Result<ObjectReader> {
        let source = match content {
            Some(Content::Inline(id)) => {
                let bytes = body
                    .and_then(|row| inline_bytes(&row, id))
                    .filter(|bytes| bytes.len() as u64 == skip + remaining)
                    .ok_or_else(|| Error::Damaged("an inline part is missing".into()))?;
                Source::Memory(bytes.slice(skip as usize..))
            }
            Some(Content::Blob(id)) => {
                let reader = open_blob(&*self.engine, id).await?;
                Source::Blob { reader, offset: skip }
            }
            Some(Content::Parts(_) | Content::Link(_)) | None => {
                return Err(Error::Damaged("a part of some size has no content".into()));
            }
        };
        Ok(ObjectReader { source, remaining })
    }

    /// A part's record and, beside it, the row of an inline body.
    pub(crate) async fn part_rows(
        &self,
        partition: Partition,
        group: &Bytes,
        set: &[u8],
        number: u32,
    ) -> Result<(PartRecord, Option<Bytes>)> {
        let suffix = part_suffix(set, number);
        let rows = [
            RowRef { table: Table::Part, suffix: suffix.clone() },
            RowRef { table: Table::Body, suffix },
        ];
        let mut rows = self.engine.index().read(partition, group, &rows).await?;
        let body = rows.pop().flatten();
        match rows.pop().flatten() {
            Some(row) => Ok((decode(&row, "part record")?, body)),
            None => Err(Error::Damaged(format!("part {number} of an object is missing"))),
        }
    }

    /// The runs of a body made of parts; `None` when their row is gone.
    pub(crate) async fn layout(
        &self,
        partition: Partition,
        group: &Bytes,
        parts: &Parts,
    ) -> Result<Option<Vec<Run>>> {
        if !parts.runs.is_empty() {
            return checked(parts.runs.clone()).map(Some);
        }
        let row = RowRef { table: Table::Part, suffix: part_suffix(&parts.set, 0) };
        match self.read_row(partition, group, row).await? {
            Some(row) => checked(decode::<LayoutRecord>(&row, "layout record")?.runs).map(Some),
            None => Ok(None),
        }
    }
}

/// Runs as they were stored, if the sums over them make sense: parts in order,
/// numbers and sizes within their limits.
pub(crate) fn checked(runs: Vec<Run>) -> Result<Vec<Run>> {
    let mut next = 1;
    for run in &runs {
        let end = run.first_part.checked_add(run.count);
        let end = end.filter(|end| *end <= PART_NUMBER_MAX + 1);
        next = match end {
            Some(end) if run.first_part >= next && run.count > 0 && run.size <= PUT_BYTES_MAX => {
                end
            }
            _ => return Err(Error::Damaged("a layout makes no sense".into())),
        };
    }
    Ok(runs)
}

/// Which parts hold a range, and where in the first of them it begins.
fn locate(runs: &[Run], range: &Range<u64>) -> (VecDeque<u32>, u64) {
    let mut numbers = VecDeque::new();
    let mut skip = 0;
    let mut offset = 0u64;
    for run in runs {
        let end = offset + run.size * u64::from(run.count);
        if run.size > 0 && end > range.start && offset < range.end {
            let first = range.start.saturating_sub(offset) / run.size;
            let last = (range.end.min(end) - offset - 1) / run.size;
            if numbers.is_empty() {
                skip = range.start.saturating_sub(offset) % run.size;
            }
            numbers.extend((first..=last).map(|i| run.first_part + i as u32));
        }
        offset = end;
    }
    (numbers, skip)
}

/// Groups parts in order into runs.
pub(crate) fn runs(parts: impl IntoIterator<Item = (u32, u64)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, size) in parts {
        match runs.last_mut() {
            Some(run) if run.size == size && run.first_part + run.count == number => run.count += 1,
            _ => runs.push(Run { first_part: number, count: 1, size }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_layouts_are_refused() {
        let run = |first_part, count, size| Run { first_part, count, size };
        assert!(checked(runs((1..=10_000).map(|n| (n, u64::from(n))))).is_ok());
        for bad in [
            vec![run(0, 1, 1)],
            vec![run(1, 0, 1)],
            vec![run(1, 10_001, 1)],
            vec![run(10_001, 1, 1)],
            vec![run(1, u32::MAX, 1)],
            vec![run(1, 1, u64::MAX)],
            vec![run(1, 3, 1), run(3, 1, 2)],
            vec![run(5, 1, 1), run(2, 1, 1)],
        ] {
            assert!(checked(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn locating_equals_walking() {
        let sizes = [(1, 5u64), (2, 5), (3, 5), (5, 2), (6, 2), (9, 7)];
        let runs = runs(sizes);
        assert_eq!(runs.len(), 3);
        let bytes: Vec<(u32, u64)> =
            sizes.iter().flat_map(|(n, size)| (0..*size).map(|i| (*n, i))).collect();
        for start in 0..bytes.len() {
            for end in start + 1..=bytes.len() {
                let (numbers, skip) = locate(&runs, &(start as u64..end as u64));
                let mut want: Vec<u32> = bytes[start..end].iter().map(|(n, _)| *n).collect();
                want.dedup();
                assert_eq!(Vec::from(numbers), want, "{start}..{end}");
                assert_eq!(skip, bytes[start].1, "{start}..{end}");
            }
        }
    }
}
