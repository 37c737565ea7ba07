//! Proves the invariants of a store that nobody writes: every row can be read,
//! every referenced byte exists and matches its digests, and nothing else is
//! left.
//!
//! What the collector has still to free (pending and garbage rows and what they
//! name) is counted, not found fault with.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::checksum::{Algorithm, Checksum, Digester, Digests, crc64_combine};
use crate::engine::{
    BlobId, BucketId, Engine, EngineError, Partition, PartitionState, RowRef, ScanRange, Table,
};
use crate::error::{Error, Result};
use crate::ingest::inline_bytes;
use crate::names::ObjectKey;
use crate::record::{
    BucketRecord, Content, GarbageRecord, LayoutRecord, ObjectRecord, PartRecord, PendingRecord,
    Run, StoredChecksum, UploadRecord, blob_id, decode, part_suffix, split_part_suffix,
};
use crate::scan::{OwnedRow, rows};

/// What a check saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub buckets: u64,
    pub objects: u64,
    pub uploads: u64,
    pub parts: u64,
    pub blobs: u64,
    /// Bytes of bodies that were read and compared.
    pub bytes: u64,
    /// Rows that name something the collector will free.
    pub collectable: u64,
    /// What is wrong, in words for the operator.
    pub findings: Vec<String>,
}

/// Rows read at once.
const ROWS: usize = 512;

/// Checks everything. `progress` is called now and then with the report so far.
pub async fn run(engine: &dyn Engine, mut progress: impl FnMut(&Report)) -> Result<Report> {
    let mut check = Check { engine, report: Report::default(), blobs: HashSet::new() };
    let mut named = HashSet::new();
    for row in rows(engine, Partition::System, Table::Bucket, ScanRange::all(), usize::MAX).await? {
        let name = String::from_utf8_lossy(&row.group).into_owned();
        match decode::<BucketRecord>(&row.value, "bucket record") {
            Ok(record) => {
                named.insert(BucketId(record.id));
            }
            Err(error) => check.found(format!("bucket {name}: {error}")),
        }
    }
    for (bucket, state) in engine.index().partitions().await? {
        check.report.buckets += u64::from(state == PartitionState::Live);
        if state == PartitionState::Live && !named.remove(&bucket) {
            // A creation that crashed; removed at the next start.
            check.report.collectable += 1;
        }
        check.partition(Partition::Bucket(bucket), &mut progress).await?;
    }
    // Names without a live partition are deletions that crashed.
    check.report.collectable += named.len() as u64;
    check.unreferenced_blobs().await?;
    progress(&check.report);
    Ok(check.report)
}

struct Check<'a> {
    engine: &'a dyn Engine,
    report: Report,
    /// Every blob that some row names.
    blobs: HashSet<BlobId>,
}

/// Sets of parts that rows of one partition name.
#[derive(Default)]
struct Sets {
    referenced: HashSet<(Bytes, Bytes)>,
    /// Single parts, and whole sets, that wait for the collector.
    collectable: HashSet<(Bytes, Bytes)>,
    collectable_parts: HashSet<(Bytes, Bytes)>,
}

impl Check<'_> {
    fn found(&mut self, finding: String) {
        tracing::error!(finding, "fsck");
        self.report.findings.push(finding);
    }

    async fn partition(
        &mut self,
        partition: Partition,
        progress: &mut impl FnMut(&Report),
    ) -> Result<()> {
        let mut sets = Sets::default();
        self.collectable(partition, &mut sets).await?;
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::Upload, range, ROWS).await?;
            let Some(next) = after(&page) else { break };
            for row in page {
                self.report.uploads += 1;
                if let Err(error) = decode::<UploadRecord>(&row.value, "upload record") {
                    self.found(format!("upload of {}: {error}", show(&row.group)));
                }
                sets.referenced.insert((row.group, row.suffix));
            }
            range = next;
        }
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::Object, range, ROWS).await?;
            let Some(next) = after(&page) else { break };
            for row in page {
                self.report.objects += 1;
                if let Err(error) = self.object(partition, &row, &mut sets).await {
                    self.found(format!("object {}: {error}", show(&row.group)));
                }
            }
            progress(&self.report);
            range = next;
        }
        self.parts(partition, &sets).await?;
        self.bodies(partition).await
    }

    async fn collectable(&mut self, partition: Partition, sets: &mut Sets) -> Result<()> {
        let all = ScanRange::all;
        for row in rows(self.engine, partition, Table::Pending, all(), usize::MAX).await? {
            self.report.collectable += 1;
            let checked = decode::<PendingRecord>(&row.value, "pending record")
                .and_then(|_| blob_id(&row.suffix));
            match checked {
                Ok(blob) => {
                    self.blobs.insert(blob);
                }
                Err(error) => self.found(format!("pending blob: {error}")),
            }
        }
        for row in rows(self.engine, partition, Table::Garbage, all(), usize::MAX).await? {
            self.report.collectable += 1;
            match decode::<GarbageRecord>(&row.value, "garbage record") {
                Ok(garbage) => {
                    self.blobs.extend(garbage.blobs.iter().filter_map(|b| blob_id(b).ok()));
                    let numbers = garbage.part_numbers;
                    if numbers.is_empty() && !garbage.part_set.is_empty() {
                        sets.collectable.insert((row.group, garbage.part_set));
                    } else {
                        sets.collectable_parts.extend(
                            numbers
                                .iter()
                                .map(|n| (row.group.clone(), part_suffix(&garbage.part_set, *n))),
                        );
                    }
                }
                Err(error) => self.found(format!("garbage of {}: {error}", show(&row.group))),
            }
        }
        Ok(())
    }

    async fn object(
        &mut self,
        partition: Partition,
        row: &OwnedRow,
        sets: &mut Sets,
    ) -> Result<()> {
        ObjectKey::from_stored(&row.group)?;
        let record: ObjectRecord = decode(&row.value, "object record")?;
        let runs = match &record.content {
            Some(Content::Parts(parts)) => {
                sets.referenced.insert((row.group.clone(), parts.set.clone()));
                match parts.runs.is_empty() {
                    false => parts.runs.clone(),
                    true => self.layout(partition, &row.group, &parts.set).await?,
                }
            }
            content => {
                let wanted: Vec<Checksum> =
                    record.checksums.iter().filter_map(StoredChecksum::get).collect();
                let content = content.clone();
                let body = Bytes::new();
                let digests = self.content(partition, &row.group, &body, &content, &wanted).await?;
                let etag = (record.etag_parts == 0).then_some(&record.etag);
                return compare(&digests, record.size, etag, record.crc64, &wanted);
            }
        };
        let set = match &record.content {
            Some(Content::Parts(parts)) => parts.set.clone(),
            _ => Bytes::new(),
        };
        let mut md5 = Md5::new();
        let (mut size, mut crc64) = (0, 0);
        for (number, expected_size) in numbers(&runs) {
            let suffix = part_suffix(&set, number);
            let rows = [RowRef { table: Table::Part, suffix }];
            let row = self.engine.index().read(partition, &row.group, &rows).await?;
            let row = row.into_iter().next().flatten();
            let row = row.ok_or_else(|| Error::Damaged(format!("part {number} is missing")))?;
            let part: PartRecord = decode(&row, "part record")?;
            if part.size != expected_size {
                return Err(Error::Damaged(format!("part {number} has a wrong size")));
            }
            md5.update(&part.md5);
            crc64 = match size {
                0 => part.crc64,
                _ => crc64_combine(crc64, part.crc64, part.size),
            };
            size += part.size;
        }
        let whole = Digests { md5: md5.finalize().into(), crc64, len: size, others: Vec::new() };
        match record.appendable {
            // Its segments carry no digests of their own and its ETag is a chain.
            true if size == record.size => Ok(()),
            _ => compare(&whole, record.size, Some(&record.etag), record.crc64, &[]),
        }
    }

    async fn layout(&self, partition: Partition, group: &Bytes, set: &[u8]) -> Result<Vec<Run>> {
        let rows = [RowRef { table: Table::Part, suffix: part_suffix(set, 0) }];
        match self.engine.index().read(partition, group, &rows).await?.pop().flatten() {
            Some(row) => Ok(decode::<LayoutRecord>(&row, "layout record")?.runs),
            None => Err(Error::Damaged("the layout is missing".into())),
        }
    }

    /// Every part row belongs to an upload or an object, and its bytes match.
    async fn parts(&mut self, partition: Partition, sets: &Sets) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::Part, range, ROWS).await?;
            let Some(next) = after(&page) else { return Ok(()) };
            for row in page {
                self.report.parts += 1;
                if let Err(error) = self.part(partition, &row, sets).await {
                    self.found(format!("part of {}: {error}", show(&row.group)));
                }
            }
            range = next;
        }
    }

    async fn part(&mut self, partition: Partition, row: &OwnedRow, sets: &Sets) -> Result<()> {
        let (set, number) = split_part_suffix(&row.suffix)
            .ok_or_else(|| Error::Damaged("a part row has a wrong name".into()))?;
        let named = (row.group.clone(), Bytes::copy_from_slice(set));
        let collectable = sets.collectable.contains(&named)
            || sets.collectable_parts.contains(&(row.group.clone(), row.suffix.clone()));
        if !collectable && !sets.referenced.contains(&named) {
            return Err(Error::Damaged(format!("part {number} belongs to nothing")));
        }
        if number == 0 {
            return decode::<LayoutRecord>(&row.value, "layout record").map(|_| ());
        }
        let part: PartRecord = decode(&row.value, "part record")?;
        if collectable {
            if let Some(Content::Blob(blob)) = &part.content {
                self.blobs.insert(blob_id(blob)?);
            }
            return Ok(());
        }
        let wanted: Vec<Checksum> = part.checksums.iter().filter_map(StoredChecksum::get).collect();
        let digests =
            self.content(partition, &row.group, &row.suffix, &part.content, &wanted).await?;
        let etag = (!part.md5.is_empty()).then_some(&part.md5);
        let crc64 = match etag {
            Some(_) => part.crc64,
            None => digests.crc64,
        };
        compare(&digests, part.size, etag, crc64, &wanted)
    }

    /// Reads a content and computes what can be compared.
    async fn content(
        &mut self,
        partition: Partition,
        group: &Bytes,
        body_suffix: &Bytes,
        content: &Option<Content>,
        wanted: &[Checksum],
    ) -> Result<Digests> {
        let algorithms = wanted.iter().filter(|c| c.composite_parts.is_none()).map(|c| c.algorithm);
        let mut digester = Digester::new(algorithms.collect::<Vec<Algorithm>>());
        match content {
            None => {}
            Some(Content::Inline(id)) => {
                let rows = [RowRef { table: Table::Body, suffix: body_suffix.clone() }];
                let row = self.engine.index().read(partition, group, &rows).await?.pop().flatten();
                let bytes = row
                    .and_then(|row| inline_bytes(&row, id))
                    .ok_or_else(|| Error::Damaged("the inline body is missing".into()))?;
                digester.update(&bytes);
            }
            Some(Content::Blob(id)) => {
                let id = blob_id(id)?;
                self.blobs.insert(id);
                let reader = self.engine.blobs().open(id).await?;
                digester = read_blob(reader, digester).await?;
            }
            Some(Content::Parts(_)) => {
                return Err(Error::Damaged("parts within a part".into()));
            }
        }
        let digests = digester.finish();
        self.report.bytes += digests.len;
        Ok(digests)
    }

    /// Every body row is the one that its object or part names.
    async fn bodies(&mut self, partition: Partition) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            // Bodies are large; a page of them must still be small.
            let page = rows(self.engine, partition, Table::Body, range, 64).await?;
            let Some(next) = after(&page) else { return Ok(()) };
            for row in page {
                let owner = match row.suffix.is_empty() {
                    true => RowRef::only(Table::Object),
                    false => RowRef { table: Table::Part, suffix: row.suffix.clone() },
                };
                let is_object = owner.table == Table::Object;
                let value = self.engine.index().read(partition, &row.group, &[owner]).await?;
                let content = match value.into_iter().next().flatten() {
                    None => None,
                    Some(value) if is_object => {
                        decode::<ObjectRecord>(&value, "object record")?.content
                    }
                    Some(value) => decode::<PartRecord>(&value, "part record")?.content,
                };
                let named =
                    matches!(&content, Some(Content::Inline(id)) if row.value.starts_with(id));
                if !named {
                    self.found(format!("body row of {} belongs to nothing", show(&row.group)));
                }
            }
            range = next;
        }
    }

    async fn unreferenced_blobs(&mut self) -> Result<()> {
        let mut last = None;
        loop {
            let page = self.engine.blobs().list(last, ROWS).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last = Some(end.id);
            for blob in page {
                self.report.blobs += 1;
                if !self.blobs.contains(&blob.id) {
                    self.found(format!("blob {} belongs to nothing", blob.id));
                }
            }
        }
    }
}

async fn read_blob(
    reader: Arc<dyn crate::engine::BlobReader>,
    mut digester: Digester,
) -> Result<Digester> {
    let mut offset = 0;
    while offset < reader.len() {
        let piece = reader.read_at(offset, 1 << 20).await?;
        if piece.is_empty() {
            return Err(EngineError::Corrupt("a blob ends early".into()).into());
        }
        offset += piece.len() as u64;
        digester.update(&piece);
    }
    Ok(digester)
}

fn compare(
    have: &Digests,
    size: u64,
    md5: Option<&Bytes>,
    crc64: u64,
    checksums: &[Checksum],
) -> Result<()> {
    let differs = |what: &str| Err(Error::Damaged(format!("{what} differs from the record's")));
    if have.len != size {
        return differs("size");
    }
    if md5.is_some_and(|md5| md5.as_ref() != have.md5) {
        return differs("MD5");
    }
    if have.crc64 != crc64 {
        return differs("CRC-64");
    }
    for checksum in checksums.iter().filter(|c| c.composite_parts.is_none()) {
        if have.of(checksum.algorithm) != Some(&checksum.value) {
            return differs(checksum.algorithm.name());
        }
    }
    Ok(())
}

fn numbers(runs: &[Run]) -> impl Iterator<Item = (u32, u64)> + '_ {
    runs.iter().flat_map(|run| (0..run.count).map(|i| (run.first_part + i, run.size)))
}

/// The range behind a page of rows; `None` when the page is empty.
fn after(page: &[OwnedRow]) -> Option<ScanRange> {
    let last = page.last()?;
    let mut suffix = last.suffix.to_vec();
    suffix.push(0);
    Some(ScanRange {
        start_group: last.group.clone(),
        start_suffix: suffix.into(),
        end_group: None,
    })
}

fn show(group: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(group))
}
