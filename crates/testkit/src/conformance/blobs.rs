//! Immutable bodies.

use bytes::Bytes;
use costrel_core::engine::{BlobId, BlobReader, EngineError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Lab;
use crate::seed;

pub(super) async fn check(lab: &Lab) {
    blobs_of_every_length_come_back(lab).await;
    pieces_of_any_size_are_joined(lab).await;
    ranges_are_read(lab).await;
    only_finished_blobs_open(lab).await;
    ids_are_used_once(lab).await;
    deleting_is_repeatable(lab).await;
    deleting_ends_what_is_being_written(lab).await;
    an_open_blob_outlives_its_deletion(lab).await;
    listing_finds_every_blob(lab).await;
    many_blobs_are_written_at_once(lab).await;
}

fn id() -> BlobId {
    BlobId(rand::random())
}

/// Bytes that differ at every place and from other blobs'.
fn data(len: usize, salt: u64) -> Bytes {
    let mut data = vec![0; len];
    StdRng::seed_from_u64(salt).fill(&mut data[..]);
    data.into()
}

async fn write(lab: &Lab, id: BlobId, pieces: impl IntoIterator<Item = Bytes>) {
    let mut writer = lab.blobs().create(id, None).await.unwrap();
    for piece in pieces {
        writer.write(piece).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn read_range(reader: &dyn BlobReader, mut offset: u64, end: u64) -> Vec<u8> {
    let mut data = Vec::new();
    while offset < end {
        let max = usize::try_from(end - offset).unwrap();
        let piece = reader.read_at(offset, max).await.unwrap();
        assert!(!piece.is_empty() && piece.len() <= max, "{} of {max} bytes", piece.len());
        offset += piece.len() as u64;
        data.extend_from_slice(&piece);
    }
    data
}

async fn assert_holds(lab: &Lab, id: BlobId, data: &[u8]) {
    let reader = lab.blobs().open(id).await.unwrap();
    assert_eq!(reader.len(), data.len() as u64);
    let read = read_range(&*reader, 0, reader.len()).await;
    assert!(read == data, "a blob of {} bytes changed", data.len());
}

async fn blobs_of_every_length_come_back(lab: &Lab) {
    let lens = [0, 1, 511, 4096, 16_383, 16_384, 16_385, 65_535, 65_537, 262_143, 262_144, 262_145];
    for len in lens.into_iter().chain([3 << 20, 4 << 20, (4 << 20) + 1, (8 << 20) + 7]) {
        let (id, data) = (id(), data(len, len as u64));
        write(lab, id, [data.clone()]).await;
        assert_holds(lab, id, &data).await;
    }
}

async fn pieces_of_any_size_are_joined(lab: &Lab) {
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..8 {
        let data = data(rng.random_range(0..2_000_000), round);
        let mut pieces = Vec::new();
        let mut rest = data.clone();
        while !rest.is_empty() {
            let most = if rng.random_bool(0.5) { 300 } else { 300_000 };
            pieces.push(rest.split_to(rng.random_range(0..=rest.len().min(most))));
        }
        let id = id();
        write(lab, id, pieces).await;
        assert_holds(lab, id, &data).await;
    }
}

async fn ranges_are_read(lab: &Lab) {
    let mut rng = StdRng::seed_from_u64(seed());
    let (id, data) = (id(), data(1_500_001, 7));
    write(lab, id, [data.clone()]).await;
    let reader = lab.blobs().open(id).await.unwrap();
    for _ in 0..200 {
        let start = rng.random_range(0..data.len());
        let end = rng.random_range(start..=data.len().min(start + 200_000));
        let read = read_range(&*reader, start as u64, end as u64).await;
        assert!(read == data[start..end], "range {start}..{end}");
    }
    for offset in [1_500_001, 1_500_002, u64::MAX] {
        assert!(reader.read_at(offset, 10).await.unwrap().is_empty(), "at {offset}");
    }
    let last = reader.read_at(1_500_000, usize::MAX).await.unwrap();
    assert_eq!(last, data.slice(1_500_000..));
}

async fn only_finished_blobs_open(lab: &Lab) {
    let blobs = lab.blobs();
    let missing = id();
    let result = blobs.open(missing).await.map(|_| ());
    assert!(matches!(result, Err(EngineError::NotFound(id)) if id == missing), "{result:?}");
    let abandoned = id();
    let mut writer = blobs.create(abandoned, Some(10)).await.unwrap();
    assert!(blobs.open(abandoned).await.is_err());
    writer.write(data(1_000_000, 1)).await.unwrap();
    assert!(blobs.open(abandoned).await.is_err());
    drop(writer);
    assert!(blobs.open(abandoned).await.is_err());
    blobs.delete(abandoned).await.unwrap();
}

async fn ids_are_used_once(lab: &Lab) {
    let (id, data) = (id(), data(1000, 2));
    write(lab, id, [data.clone()]).await;
    let again = async {
        let mut writer = lab.blobs().create(id, None).await?;
        writer.write(data.slice(1..)).await?;
        writer.finish().await
    };
    assert!(again.await.is_err(), "a blob was written twice");
    assert_holds(lab, id, &data).await;
}

async fn deleting_is_repeatable(lab: &Lab) {
    let id = id();
    write(lab, id, [data(100_000, 3)]).await;
    for _ in 0..2 {
        lab.blobs().delete(id).await.unwrap();
        let result = lab.blobs().open(id).await.map(|_| ());
        assert!(matches!(result, Err(EngineError::NotFound(_))), "{result:?}");
    }
}

/// A writer that is dropped may leave work on its way; a deletion after that is
/// final all the same.
async fn deleting_ends_what_is_being_written(lab: &Lab) {
    let blobs = lab.blobs();
    let mut ids = Vec::new();
    for round in 0..20 {
        let id = id();
        let mut writer = blobs.create(id, None).await.unwrap();
        writer.write(data(300_000 * (round % 3 + 1), 8)).await.unwrap();
        drop(writer);
        blobs.delete(id).await.unwrap();
        ids.push(id);
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let listed = blobs.list(None, usize::MAX).await.unwrap();
    assert!(listed.iter().all(|info| !ids.contains(&info.id)), "a deleted blob came back");
}

async fn an_open_blob_outlives_its_deletion(lab: &Lab) {
    let (id, data) = (id(), data(500_000, 4));
    write(lab, id, [data.clone()]).await;
    let reader = lab.blobs().open(id).await.unwrap();
    lab.blobs().delete(id).await.unwrap();
    if lab.engine.reader_grace().is_zero() {
        // A grace of zero says that open blobs keep their bytes.
        assert!(read_range(&*reader, 0, reader.len()).await == data);
    } else {
        let result = reader.read_at(0, 10).await;
        assert!(matches!(result, Ok(_) | Err(EngineError::NotFound(_))), "{result:?}");
    }
}

async fn listing_finds_every_blob(lab: &Lab) {
    let blobs = lab.blobs();
    for info in blobs.list(None, usize::MAX).await.unwrap() {
        blobs.delete(info.id).await.unwrap();
    }
    assert_eq!(blobs.list(None, 10).await.unwrap(), []);
    let mut ids: Vec<_> = (0..40).map(|_| id()).collect();
    // Neighbours, to be told apart by their last bytes.
    ids.extend((0..10).map(|n| BlobId([n % 2, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, n])));
    for id in &ids {
        write(lab, *id, [data(100, 5)]).await;
    }
    let unfinished = id();
    let mut writer = blobs.create(unfinished, None).await.unwrap();
    // More than an engine gathers before it writes.
    for salt in 0..9 {
        writer.write(data(1_000_000, salt)).await.unwrap();
    }
    drop(writer);
    ids.push(unfinished);
    ids.sort();
    // What was on its way when the writer was dropped may still be.
    let mut all = blobs.list(None, usize::MAX).await.unwrap();
    for _ in 0..100 {
        if all.len() == ids.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        all = blobs.list(None, usize::MAX).await.unwrap();
    }
    assert_eq!(all.iter().map(|info| info.id).collect::<Vec<_>>(), ids);
    let finished = all.iter().filter(|info| info.id != unfinished);
    assert!(finished.clone().count() == 50 && finished.into_iter().all(|i| i.stored_bytes >= 100));
    for limit in [1, 7, 51, 100] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = blobs.list(after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            paged.extend(page.into_iter().map(|info| info.id));
        }
        assert_eq!(paged, ids, "in pages of {limit}");
    }
    assert_eq!(blobs.list(None, 0).await.unwrap(), []);
}

async fn many_blobs_are_written_at_once(lab: &Lab) {
    let tasks: Vec<_> = (0..16u64)
        .map(|task| {
            let lab = lab.clone();
            tokio::spawn(async move {
                let (id, data) = (id(), data(700_000 + task as usize, task));
                let pieces = data.chunks(50_000).map(Bytes::copy_from_slice).collect::<Vec<_>>();
                write(&lab, id, pieces).await;
                assert_holds(&lab, id, &data).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
