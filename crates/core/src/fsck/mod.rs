//! Proves the invariants of a store that nobody writes: every row can be read,
//! every referenced byte exists and matches its digests, and nothing else is
//! left.
//!
//! What the collector has still to free (pending and garbage rows and what they
//! name) is counted, not found fault with.

mod access;
mod bills;
mod events;
mod lifecycle;
mod logs;
mod settings;
mod usage;
mod versions;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::checksum::{Algorithm, Checksum, Digester, Digests, crc64_combiner};
use crate::engine::{
    BlobId, BucketId, Engine, EngineError, Partition, PartitionState, RowRef, ScanRange, Table,
};
use crate::error::{Error, Result};
use crate::ingest::inline_bytes;
use crate::names::ObjectKey;
use crate::object::checked;
use crate::record::{
    BucketRecord, Content, GarbageRecord, LayoutRecord, ObjectRecord, PartRecord, PendingRecord,
    Run, StoredChecksum, UploadRecord, decode, part_suffix, split_part_suffix,
};
use crate::scan::{OwnedRow, behind, rows};
use crate::tier::{BlobAddress, blobs, open_blob};
use crate::version::VersionId;

/// What a check saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub buckets: u64,
    pub objects: u64,
    /// Versions of buckets that keep them, delete markers and current ones among
    /// them.
    pub versions: u64,
    pub uploads: u64,
    pub parts: u64,
    pub blobs: u64,
    /// Bytes of bodies that were read and compared.
    pub bytes: u64,
    /// Rows that name something the collector will free.
    pub collectable: u64,
    /// Rows that no counter has yet: they are from before there were counters.
    pub uncounted: u64,
    /// What is wrong, in words for the operator.
    pub findings: Vec<String>,
}

impl Report {
    /// What keeps a bucket from being empty.
    fn holdings(&self) -> u64 {
        self.objects + self.versions + self.uploads
    }
}

/// Rows read at once.
const ROWS: usize = 512;

/// Checks everything. `progress` is called now and then with the report so far.
pub async fn run(engine: &dyn Engine, mut progress: impl FnMut(&Report)) -> Result<Report> {
    let mut check = Check { engine, report: Report::default(), blobs: HashSet::new() };
    let mut named = HashSet::new();
    let mut range = ScanRange::all();
    loop {
        let page = rows(engine, Partition::System, Table::Bucket, range, ROWS).await?;
        let Some(next) = behind(&page) else { break };
        for row in page {
            match decode::<BucketRecord>(&row.value, "bucket record") {
                Ok(record) if named.insert(BucketId(record.id)) => {
                    check.lifecycle(&row.group, &record).await?;
                    check.access(&row.group, &record).await?;
                    check.settings(&row.group, &record).await?;
                    check.notification(&row.group, &record).await?;
                }
                Ok(_) => check.found(format!("bucket {}: shares its rows", show(&row.group))),
                Err(error) => check.found(format!("bucket {}: {error}", show(&row.group))),
            }
        }
        range = next;
    }
    for (bucket, state) in engine.index().partitions().await? {
        let before = check.report.holdings();
        check.partition(Partition::Bucket(bucket), &mut progress).await?;
        check.events(bucket).await?;
        check.dues(bucket).await?;
        if state == PartitionState::Retired {
            check.report.collectable += 1;
            continue;
        }
        check.usage(bucket).await?;
        check.report.buckets += 1;
        if !named.remove(&bucket) {
            // A creation that crashed; removed at the next start.
            check.report.collectable += 1;
            if check.report.holdings() > before {
                check.found(format!("bucket {:016x} holds objects and has no name", bucket.0));
            }
        }
    }
    check.logs().await?;
    check.counts().await?;
    check.bills().await?;
    // Names without a live partition are deletions that crashed.
    check.report.collectable += named.len() as u64;
    check.unreferenced_blobs(None).await?;
    for place in engine.places() {
        check.unreferenced_blobs(Some(place)).await?;
    }
    check.report.findings.extend(engine.audit().await?);
    progress(&check.report);
    Ok(check.report)
}

struct Check<'a> {
    engine: &'a dyn Engine,
    report: Report,
    /// Every blob that some row names.
    blobs: HashSet<BlobId>,
}

/// Sets of parts that rows of one partition name, by their group and id.
#[derive(Default)]
struct Sets {
    referenced: HashMap<(Bytes, Bytes), Owner>,
    /// Single parts, and whole sets, that wait for the collector.
    collectable: HashSet<(Bytes, Bytes)>,
    collectable_parts: HashSet<(Bytes, Bytes)>,
}

/// Whose parts a set holds.
enum Owner {
    /// Any number may be there.
    Upload,
    /// Exactly the parts of these runs, and the layout's row if it has one.
    Object { runs: Vec<Run>, has_layout_row: bool, appendable: bool },
}

impl Owner {
    /// Whether the part is one of its owner's.
    fn has(&self, number: u32) -> bool {
        match self {
            Owner::Upload => number > 0,
            // Shrinking runs leave the row of an appended object's layout.
            Owner::Object { has_layout_row, appendable, .. } if number == 0 => {
                *has_layout_row || *appendable
            }
            Owner::Object { runs, .. } => {
                let behind = runs.partition_point(|run| run.first_part <= number);
                let run = behind.checked_sub(1).map(|at| &runs[at]);
                run.is_some_and(|run| number - run.first_part < run.count)
            }
        }
    }
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
            let Some(next) = behind(&page) else { break };
            for row in page {
                self.report.uploads += 1;
                if let Err(error) = decode::<UploadRecord>(&row.value, "upload record") {
                    self.found(format!("upload of {}: {error}", show(&row.group)));
                }
                sets.referenced.insert((row.group, row.suffix), Owner::Upload);
            }
            range = next;
        }
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::Object, range, ROWS).await?;
            let Some(next) = behind(&page) else { break };
            for row in page {
                self.report.objects += 1;
                if let Err(error) = self.object_row(partition, &row, &mut sets).await {
                    self.found(format!("object {}: {error}", show(&row.group)));
                }
            }
            progress(&self.report);
            range = next;
        }
        self.versions(partition, &mut sets).await?;
        progress(&self.report);
        self.parts(partition, &sets).await?;
        self.bodies(partition).await
    }

    async fn collectable(&mut self, partition: Partition, sets: &mut Sets) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::Pending, range, ROWS).await?;
            let Some(next) = behind(&page) else { break };
            for row in page {
                self.report.collectable += 1;
                let checked = decode::<PendingRecord>(&row.value, "pending record")
                    .and_then(|_| self.claim(&row.suffix));
                if let Err(error) = checked {
                    self.found(format!("pending blob of {}: {error}", show(&row.group)));
                }
            }
            range = next;
        }
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::Garbage, range, ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for row in page {
                self.report.collectable += 1;
                if let Err(error) = self.garbage(&row, sets) {
                    self.found(format!("garbage of {}: {error}", show(&row.group)));
                }
            }
            range = next;
        }
    }

    fn garbage(&mut self, row: &OwnedRow, sets: &mut Sets) -> Result<()> {
        let garbage: GarbageRecord = decode(&row.value, "garbage record")?;
        garbage.blobs.iter().try_for_each(|blob| self.claim(blob).map(|_| ()))?;
        if garbage.part_set.is_empty() {
            return Ok(());
        }
        if garbage.part_numbers.is_empty() {
            sets.collectable.insert((row.group.clone(), garbage.part_set));
            return Ok(());
        }
        let suffixes = garbage.part_numbers.iter().map(|n| part_suffix(&garbage.part_set, *n));
        sets.collectable_parts.extend(suffixes.map(|suffix| (row.group.clone(), suffix)));
        Ok(())
    }

    /// Notes a blob whose address is in a row. What two rows name would be freed with the
    /// first and be missed by the second.
    fn claim(&mut self, id: &[u8]) -> Result<BlobId> {
        let blob = BlobAddress::decode(id)?.id;
        match self.blobs.insert(blob) {
            true => Ok(blob),
            false => Err(Error::Damaged(format!("blob {blob} belongs to another row as well"))),
        }
    }

    /// The content of an object or a version.
    async fn object(
        &mut self,
        partition: Partition,
        row: &OwnedRow,
        record: &ObjectRecord,
        sets: &mut Sets,
    ) -> Result<()> {
        let runs = match &record.content {
            Some(Content::Parts(parts)) => {
                let has_layout_row = parts.runs.is_empty();
                let runs = match has_layout_row {
                    false => checked(parts.runs.clone())?,
                    true => self.layout(partition, &row.group, &parts.set).await?,
                };
                let named = (row.group.clone(), parts.set.clone());
                let freed = sets.collectable.contains(&named);
                let owner = Owner::Object {
                    runs: runs.clone(),
                    has_layout_row,
                    appendable: record.appendable,
                };
                if sets.referenced.insert(named, owner).is_some() || freed {
                    return Err(Error::Damaged(
                        "its parts belong to something else as well".into(),
                    ));
                }
                runs
            }
            content => {
                let wanted: Vec<Checksum> =
                    record.checksums.iter().filter_map(StoredChecksum::get).collect();
                let content = content.clone();
                let body = record.body_suffix();
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
        let mut crc64s = crc64_combiner();
        for (number, expected_size) in numbers(&runs) {
            let suffix = part_suffix(&set, number);
            if sets.collectable_parts.contains(&(row.group.clone(), suffix.clone())) {
                return Err(Error::Damaged(format!("part {number} is to be freed")));
            }
            let rows = [RowRef { table: Table::Part, suffix }];
            let row = self.engine.index().read(partition, &row.group, &rows).await?;
            let row = row.into_iter().next().flatten();
            let row = row.ok_or_else(|| Error::Damaged(format!("part {number} is missing")))?;
            let part: PartRecord = decode(&row, "part record")?;
            if part.size != expected_size {
                return Err(Error::Damaged(format!("part {number} has a wrong size")));
            }
            md5.update(&part.md5);
            crc64 = crc64s.combine(crc64, part.crc64, part.size);
            size += part.size;
        }
        let whole = Digests { md5: md5.finalize().into(), crc64, len: size, others: Vec::new() };
        match record.appendable {
            // Its ETag is a chain over the appends.
            true => compare(&whole, record.size, None, record.crc64, &[]),
            false => compare(&whole, record.size, Some(&record.etag), record.crc64, &[]),
        }
    }

    async fn layout(&self, partition: Partition, group: &Bytes, set: &[u8]) -> Result<Vec<Run>> {
        let rows = [RowRef { table: Table::Part, suffix: part_suffix(set, 0) }];
        match self.engine.index().read(partition, group, &rows).await?.pop().flatten() {
            Some(row) => checked(decode::<LayoutRecord>(&row, "layout record")?.runs),
            None => Err(Error::Damaged("the layout is missing".into())),
        }
    }

    /// Every part row belongs to an upload or an object, and its bytes match.
    async fn parts(&mut self, partition: Partition, sets: &Sets) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::Part, range, ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
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
        let owned = sets.referenced.get(&named).is_some_and(|owner| owner.has(number));
        if !collectable && !owned {
            return Err(Error::Damaged(format!("part {number} belongs to nothing")));
        }
        if number == 0 {
            return decode::<LayoutRecord>(&row.value, "layout record").map(|_| ());
        }
        let part: PartRecord = decode(&row.value, "part record")?;
        if collectable {
            if let Some(Content::Blob(blob)) = &part.content {
                self.claim(blob)?;
            }
            return Ok(());
        }
        let wanted: Vec<Checksum> = part.checksums.iter().filter_map(StoredChecksum::get).collect();
        let digests =
            self.content(partition, &row.group, &row.suffix, &part.content, &wanted).await?;
        // Segments of appended objects have no MD5: they are rewritten by merging.
        let md5 = (!part.md5.is_empty()).then_some(&part.md5);
        compare(&digests, part.size, md5, part.crc64, &wanted)
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
                self.claim(id)?;
                let reader = open_blob(self.engine, id).await?;
                digester = read_blob(reader, digester).await?;
            }
            Some(Content::Link(target)) => {
                ObjectKey::from_stored(target.as_bytes())?;
                digester.update(target.as_bytes());
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
            // Bodies are large; a page of them must still be small. Each is read alone:
            // one that is damaged keeps the check from nothing else.
            range.names_only = true;
            let page = rows(self.engine, partition, Table::Body, range, 64).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for row in page {
                let body = [RowRef { table: Table::Body, suffix: row.suffix.clone() }];
                let body = self.engine.index().read(partition, &row.group, &body).await;
                let body = body.map(|found| found.into_iter().next().flatten());
                let mut named = false;
                for owner in owners(&row.suffix) {
                    let is_part = owner.table == Table::Part;
                    let value = self.engine.index().read(partition, &row.group, &[owner]).await?;
                    let Some(value) = value.into_iter().next().flatten() else { continue };
                    named |= match content_of(&value, &row.suffix, is_part) {
                        Ok(Some(Content::Inline(id))) => match &body {
                            Ok(body) => body.as_ref().is_some_and(|body| body.starts_with(&id)),
                            // As below.
                            Err(_) => true,
                        },
                        Ok(_) => false,
                        // Found when the owner itself was checked.
                        Err(_) => true,
                    };
                }
                if !named {
                    self.found(format!("body row of {} belongs to nothing", show(&row.group)));
                }
            }
            range = next;
        }
    }

    async fn unreferenced_blobs(&mut self, place: Option<&str>) -> Result<()> {
        let mut last = None;
        loop {
            let page = blobs(self.engine, place)?.list(last, ROWS).await?;
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

/// Where the record can be to which a body row with this suffix belongs.
fn owners(suffix: &Bytes) -> Vec<RowRef> {
    match suffix.len() {
        // An object from before its bucket kept versions, current or not.
        0 => {
            let oldest = VersionId::OLDEST.suffix();
            vec![RowRef::only(Table::Object), RowRef { table: Table::Version, suffix: oldest }]
        }
        VersionId::LEN => vec![RowRef { table: Table::Version, suffix: suffix.clone() }],
        _ => vec![RowRef { table: Table::Part, suffix: suffix.clone() }],
    }
}

fn content_of(row: &[u8], body_suffix: &[u8], is_part: bool) -> Result<Option<Content>> {
    if is_part {
        return Ok(decode::<PartRecord>(row, "part record")?.content);
    }
    let record: ObjectRecord = decode(row, "object record")?;
    Ok(record.content.filter(|_| record.version == body_suffix))
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

fn show(group: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(group))
}
