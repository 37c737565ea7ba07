//! Reads everything back in the background, at a bounded rate, so that decay is
//! found while there is still another copy somewhere. The engine verifies its
//! block checksums as it reads; the scrub compares the whole-body CRC besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::bucket::{Bucket, ListBuckets};
use crate::checksum::{Digester, crc64_combiner};
use crate::claim::{self, Claim};
use crate::engine::{Expect, Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::BUCKETS_MAX;
use crate::names::ObjectKey;
use crate::object::{Found, GetRequest, Links, Selection};
use crate::pace::Pace;
use crate::precondition::ReadConditions;
use crate::record::{Pair, decode, encode};
use crate::store::{Store, unchanged};
use crate::version::{ListVersions, VersionRef};

/// Counters of the scrub, since the process began.
#[derive(Default, Debug)]
pub struct ScrubProgress {
    pub objects: AtomicU64,
    pub bytes: AtomicU64,
    pub findings: AtomicU64,
    pub passes: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub struct ScrubOptions {
    /// 0 turns the scrub off.
    pub bytes_per_second: u64,
    /// Rest between two passes.
    pub pause: Duration,
}

/// Bytes that count for an object besides its own, so that many small ones are
/// read at a bounded rate as well.
const BYTES_PER_OBJECT: u64 = 4096;
const CURSOR: &[u8] = b"scrub";
const PAGE: usize = 100;

/// Scrubs until the future is dropped. The cursor is kept, so that a restart
/// goes on where the last run stopped.
pub async fn run(store: Arc<Store>, owner_uin: u64, options: ScrubOptions) {
    if options.bytes_per_second == 0 {
        return;
    }
    let claim = Claim::new(store.clone(), "scrub");
    loop {
        let pause = match pass(&store, owner_uin, options, &claim).await {
            Ok(true) => {
                store.scrub.passes.fetch_add(1, Ordering::Relaxed);
                options.pause
            }
            Ok(false) => claim::BEAT,
            Err(error) => {
                tracing::warn!(%error, "scrub stopped early");
                options.pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Reads everything behind the cursor; false when it is another process's work.
async fn pass(
    store: &Arc<Store>,
    owner_uin: u64,
    options: ScrubOptions,
    claim: &Claim,
) -> Result<bool> {
    if !claim.hold().await? {
        return Ok(false);
    }
    let mut pace = Pace::new(options.bytes_per_second);
    let (first, key) = read_cursor(store).await?;
    let buckets = ListBuckets { owner_uin, max: BUCKETS_MAX, ..Default::default() };
    let buckets = store.list_buckets(&buckets).await?.buckets;
    // The bucket of the cursor itself, then those behind it.
    for bucket in buckets.into_iter().filter(|bucket| bucket.name.as_str() >= first.as_str()) {
        let key_marker = match bucket.name.as_str() == first {
            true => key.clone(),
            false => String::new(),
        };
        let mut request = ListVersions { key_marker, max: PAGE, ..ListVersions::default() };
        loop {
            let page = store.list_versions(&bucket, &request).await?;
            for (key, entry) in page.entries.iter().filter(|(_, entry)| !entry.delete_marker) {
                if !claim.hold().await? {
                    return Ok(false);
                }
                check(store, &bucket, key, entry.version, &mut pace).await?;
                pace.spent(BYTES_PER_OBJECT).await;
            }
            let Some(last) = page.last() else { break };
            if last != request.key_marker {
                // All of the keys before; a restart goes over this one again.
                write_cursor(store, bucket.name.as_str(), &request.key_marker).await?;
            }
            (request.key_marker, request.version_marker) = (last.to_owned(), page.last_version());
            if !page.truncated {
                break;
            }
        }
    }
    write_cursor(store, "", "").await?;
    Ok(true)
}

/// Counts what one object's bytes are like; fails when that cannot be told now.
async fn check(
    store: &Arc<Store>,
    bucket: &Bucket,
    key: &str,
    version: Option<VersionRef>,
    pace: &mut Pace,
) -> Result<()> {
    let progress = &store.scrub;
    match read_back(store, bucket, key, version, pace).await {
        Ok(bytes) => {
            progress.objects.fetch_add(1, Ordering::Relaxed);
            progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        // Deleted since it was listed.
        Err(Error::NoSuchKey | Error::NoSuchVersion | Error::NoSuchBucket) => {}
        Err(error @ (Error::Damaged(_) | Error::Internal(_))) => {
            progress.findings.fetch_add(1, Ordering::Relaxed);
            tracing::error!(bucket = %bucket.name, key, %error, "scrub found a damaged object");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn read_back(
    store: &Arc<Store>,
    bucket: &Bucket,
    key: &str,
    version: Option<VersionRef>,
    pace: &mut Pace,
) -> Result<u64> {
    let request = GetRequest {
        key: ObjectKey::from_stored(key.as_bytes())?,
        version,
        selection: Selection::Whole,
        conditions: ReadConditions::default(),
        links: Links::Nowhere,
        seen: None,
    };
    // A link's target is read where it lies.
    let Found::Object(info, range, Some(mut reader)) =
        store.read_itself(bucket, &request, true).await?
    else {
        return Ok(0);
    };
    let mut crc64 = None;
    let mut crc64s = crc64_combiner();
    while let Some(piece) = reader.next_piece().await? {
        pace.spent(piece.len() as u64).await;
        let piece_crc = Digester::crc64(&piece);
        crc64 = Some(match crc64 {
            None => piece_crc,
            Some(before) => crc64s.combine(before, piece_crc, piece.len() as u64),
        });
    }
    match crc64 {
        Some(crc64) if crc64 != info.record.crc64 => {
            Err(Error::Damaged("CRC-64 differs from the record's".into()))
        }
        _ => Ok(range.end),
    }
}

async fn read_cursor(store: &Store) -> Result<(String, String)> {
    let row = store.read_row(Partition::System, CURSOR, RowRef::only(Table::Installation)).await?;
    match row {
        Some(row) => {
            let cursor: Pair = decode(&row, "scrub cursor")?;
            Ok((cursor.name, cursor.value))
        }
        None => Ok(Default::default()),
    }
}

async fn write_cursor(store: &Store, bucket: &str, key: &str) -> Result<()> {
    let row = RowRef::only(Table::Installation);
    let old = store.read_row(Partition::System, CURSOR, row.clone()).await?;
    let expects: Vec<Expect> = vec![unchanged(Table::Installation, Default::default(), &old)];
    let write = match bucket.is_empty() {
        true => Write::Delete(row),
        false => Write::Put(row, encode(&Pair { name: bucket.to_owned(), value: key.to_owned() })),
    };
    // A conflict means that another gateway scrubs as well; either cursor serves.
    let _ = store
        .try_commit(Partition::System, &bytes::Bytes::from_static(CURSOR), expects, vec![write])
        .await?;
    Ok(())
}
