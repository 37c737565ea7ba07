//! Blobs on a disk that crashes and fails.
//!
//! Whatever happens, a blob whose writing was acknowledged is there, and no
//! blob ever reads as bytes that were not written to it. Work, crash point and
//! what survives the crash follow from a seed that is printed on failure.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use costrel_core::engine::{BlobId, Blobs, EngineError, Health};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::EmbeddedBlobs;
use super::buffers::{Buffers, PIECE_BYTES};
use super::tree::BlobPath;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::options::Durability;
use crate::space::SpaceGuard;
use crate::status::Status;

/// Seeds per test; `COSTREL_TEST_SEED` runs one instead.
const SEEDS: u64 = 50;

struct Store {
    blobs: EmbeddedBlobs,
    status: Arc<Status>,
}

fn open(disk: &SimDisk, reserve: u64) -> Result<Store, EngineError> {
    let disk = Arc::new(disk.clone());
    let status = Arc::new(Status::default());
    let space = Arc::new(SpaceGuard::new(disk.clone(), status.clone(), reserve));
    // A tight budget, so that small buffers are used as well.
    let buffers = Buffers::new(3 * PIECE_BYTES as u64);
    let blobs = EmbeddedBlobs::open(disk, space, status.clone(), Durability::Sync, buffers)?;
    Ok(Store { blobs, status })
}

/// Runs a test with each seed, one blocking thread so that the order of the
/// disk's work follows from the seed.
fn with_seeds(test: impl AsyncFn(u64)) {
    let seeds = match std::env::var("COSTREL_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).map(|_| rand::random()).collect(),
    };
    for seed in seeds {
        println!("COSTREL_TEST_SEED={seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
        runtime.unwrap().block_on(test(seed));
    }
}

fn data_of(id: BlobId, len: usize) -> Bytes {
    let mut data = vec![0; len];
    StdRng::seed_from_u64(u64::from_le_bytes(id.0[..8].try_into().unwrap())).fill(&mut data[..]);
    data.into()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Writing has begun; nothing is promised.
    Begun,
    Acknowledged,
    /// A deletion has begun; nothing is promised.
    Deleting,
    Deleted,
}

type Ledger = BTreeMap<BlobId, (usize, Fate)>;

/// Writes and deletes blobs until a step fails.
async fn work(store: &Store, rng: &mut StdRng, ledger: &mut Ledger) -> Result<(), EngineError> {
    let mut writers = Vec::new();
    for _ in 0..40 {
        match rng.random_range(0..10) {
            0..3 => {
                let mut id: [u8; 16] = rng.random();
                // Few directories, so that blobs meet in them.
                id[0] %= 2;
                id[1] %= 2;
                let len = match rng.random_range(0..3) {
                    0 => rng.random_range(0..100),
                    1 => rng.random_range(0..PIECE_BYTES),
                    _ => rng.random_range(PIECE_BYTES - 20_000..3 * PIECE_BYTES),
                };
                let id = BlobId(id);
                ledger.insert(id, (len, Fate::Begun));
                writers.push((id, store.blobs.create(id, None).await?, data_of(id, len)));
            }
            3..8 if !writers.is_empty() => {
                let position = rng.random_range(0..writers.len());
                let (_, writer, rest) = &mut writers[position];
                if rest.is_empty() {
                    let (id, writer, _) = writers.swap_remove(position);
                    writer.finish().await?;
                    ledger.get_mut(&id).unwrap().1 = Fate::Acknowledged;
                } else {
                    let len = rng.random_range(1..=rest.len());
                    writer.write(rest.split_to(len)).await?;
                }
            }
            8 if !writers.is_empty() => {
                writers.swap_remove(rng.random_range(0..writers.len()));
            }
            _ => {
                let kept = ledger.iter().filter(|(_, (_, fate))| *fate != Fate::Deleted);
                let ids: Vec<_> = kept.map(|(id, _)| *id).collect();
                if ids.is_empty() {
                    continue;
                }
                let id = ids[rng.random_range(0..ids.len())];
                ledger.get_mut(&id).unwrap().1 = Fate::Deleting;
                store.blobs.delete(id).await?;
                ledger.get_mut(&id).unwrap().1 = Fate::Deleted;
            }
        }
    }
    Ok(())
}

async fn read(store: &Store, id: BlobId) -> Result<Vec<u8>, EngineError> {
    let reader = store.blobs.open(id).await?;
    let mut data = Vec::new();
    while (data.len() as u64) < reader.len() {
        data.extend_from_slice(&reader.read_at(data.len() as u64, usize::MAX).await?);
    }
    Ok(data)
}

/// Every acknowledged blob reads as written, and no blob as anything else.
async fn check(store: &Store, ledger: &Ledger) {
    let listed = store.blobs.list(None, usize::MAX).await.unwrap();
    for info in &listed {
        assert!(ledger.contains_key(&info.id), "nobody wrote blob {}", info.id);
    }
    for (id, (len, fate)) in ledger {
        let result = read(store, *id).await;
        match (&result, fate) {
            (Ok(_), Fate::Deleted) => panic!("blob {id} came back"),
            (Ok(data), _) => assert!(data == &data_of(*id, *len), "blob {id} has changed"),
            (Err(error), Fate::Acknowledged) => panic!("blob {id} is lost: {error}"),
            (Err(_), _) => {}
        }
        assert!(*fate != Fate::Deleted || listed.iter().all(|info| info.id != *id));
        if *fate == Fate::Acknowledged {
            assert!(listed.iter().any(|info| info.id == *id), "blob {id} is not listed");
        }
    }
}

#[test]
fn acknowledged_blobs_survive_crashes() {
    with_seeds(async |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut disk = SimDisk::new(seed);
        let mut ledger = Ledger::new();
        for _ in 0..3 {
            // The first opening makes 257 directories; crash there as well.
            let crash_at = if rng.random_bool(0.2) { 300 } else { 60 };
            let store = match rng.random_bool(0.2) {
                true => {
                    disk.crash_at_nth(rng.random_range(1..crash_at));
                    open(&disk, 0)
                }
                false => {
                    let store = open(&disk, 0);
                    disk.crash_at_nth(rng.random_range(1..crash_at));
                    store
                }
            };
            if let Ok(store) = store {
                let _ = work(&store, &mut rng, &mut ledger).await;
            }
            disk = disk.crash(rng.random());
            let store = open(&disk, 0).expect("a crashed store opens");
            check(&store, &ledger).await;
            // After a crash the survivors are as good as acknowledged: a second
            // crash takes nothing from them.
            for (id, (_, fate)) in &mut ledger {
                *fate = match (read(&store, *id).await, *fate) {
                    (Ok(_), _) => Fate::Acknowledged,
                    (Err(_), Fate::Deleted) => Fate::Deleted,
                    (Err(_), _) => Fate::Deleting,
                };
            }
        }
    });
}

/// A process that is killed while it deletes may have got as far as the page cache.
/// The next one finds nothing to delete, forgets the blob, and then the power goes.
#[test]
fn a_blob_deleted_by_two_processes_stays_deleted() {
    with_seeds(async |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let (id, never_written) = (BlobId(rng.random()), BlobId(rng.random()));
        let store = open(&disk, 0).unwrap();
        let mut writer = store.blobs.create(id, None).await.unwrap();
        writer.write(data_of(id, 100)).await.unwrap();
        writer.finish().await.unwrap();
        // The file is removed, its directory not synced.
        disk.crash_at_nth(2);
        store.blobs.delete(id).await.unwrap_err();
        disk.kill();
        let store = open(&disk, 0).unwrap();
        store.blobs.delete(id).await.unwrap();
        store.blobs.delete(never_written).await.unwrap();
        assert_eq!(store.status.health(), Health::Ready);
        let store = open(&disk.crash(rng.random()), 0).unwrap();
        assert!(read(&store, id).await.is_err(), "blob {id} came back");
    });
}

#[test]
fn a_failed_sync_stops_writes_but_not_reads() {
    with_seeds(async |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let store = open(&disk, 0).unwrap();
        let mut ledger = Ledger::new();
        disk.fail_nth(rng.random_range(1..60), io::ErrorKind::Other);
        let result = work(&store, &mut rng, &mut ledger).await;
        check(&store, &ledger).await;
        if let Health::ReadOnly(_) = store.status.health() {
            assert!(matches!(result, Err(EngineError::Poisoned(_))), "{result:?}");
            let refused = store.blobs.create(BlobId([9; 16]), None).await.map(drop);
            assert!(matches!(refused, Err(EngineError::Poisoned(_))), "{refused:?}");
        }
        let disk = disk.crash(rng.random());
        check(&open(&disk, 0).unwrap(), &ledger).await;
    });
}

#[test]
fn a_full_disk_fails_one_blob_and_not_the_engine() {
    with_seeds(async |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let store = open(&disk, 0).unwrap();
        let id = BlobId([7; 16]);
        let data = data_of(id, rng.random_range(0..3 * PIECE_BYTES));
        let write = async || {
            let mut writer = store.blobs.create(id, None).await?;
            writer.write(data.clone()).await?;
            writer.finish().await
        };
        // Of the first blob of a directory, operations one and two make the
        // directory; the writes follow.
        disk.fail_nth(
            3 + rng.random_range(0..=data.len() / PIECE_BYTES) as u64,
            io::ErrorKind::StorageFull,
        );
        let result = write().await;
        assert!(matches!(result, Err(EngineError::Full(_))), "{result:?}");
        assert_eq!(store.status.health(), Health::Ready);
        assert!(read(&store, id).await.is_err());
        store.blobs.delete(id).await.unwrap();
        write().await.unwrap();
        assert!(read(&store, id).await.unwrap() == data);
    });
}

#[test]
fn the_reserve_is_kept() {
    with_seeds(async |seed| {
        let disk = SimDisk::new(seed);
        let store = open(&disk, 1000).unwrap();
        let id = BlobId([7; 16]);
        let write = async || {
            let mut writer = store.blobs.create(id, None).await?;
            writer.write(data_of(id, 1000)).await?;
            writer.finish().await
        };
        disk.set_free_bytes(999);
        let before = disk.ops();
        assert!(matches!(write().await, Err(EngineError::Full(_))));
        assert_eq!(disk.ops(), before, "nothing was written");
        disk.set_free_bytes(1000);
        write().await.unwrap();
        disk.set_free_bytes(0);
        assert!(read(&store, id).await.unwrap() == data_of(id, 1000));
        store.blobs.delete(id).await.unwrap();
    });
}

#[test]
fn corrupt_bytes_are_never_returned() {
    with_seeds(async |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let store = open(&disk, 0).unwrap();
        let id = BlobId(rng.random());
        let data = data_of(id, rng.random_range(1..2 * PIECE_BYTES));
        let mut writer = store.blobs.create(id, None).await.unwrap();
        writer.write(data.clone()).await.unwrap();
        writer.finish().await.unwrap();
        let file_len = super::format::file_len(data.len() as u64) as usize;
        let byte = rng.random_range(0..file_len);
        disk.corrupt(&BlobPath(id).file(), byte);
        match read(&store, id).await {
            // The zeros before the footer say nothing.
            Ok(read) => assert!(read == data && byte >= data.len()),
            Err(EngineError::Corrupt(_)) => {
                let corrupt = &store.status.counters.corrupt;
                assert!(corrupt.load(std::sync::atomic::Ordering::Relaxed) > 0);
            }
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn a_new_data_directory_survives_crashes() {
    with_seeds(async |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut disk = SimDisk::new(seed);
        let dir = Path::new("/data");
        for _ in 0..4 {
            disk.crash_at_nth(rng.random_range(1..9));
            let claimed = crate::data_dir::claim(&disk, dir).is_ok();
            disk = disk.crash(rng.random());
            if claimed {
                assert!(disk.open(Path::new("format")).is_ok(), "the format file is lost");
            }
        }
        assert!(crate::data_dir::claim(&disk, dir).is_ok(), "a crash left it unusable");
    });
}
