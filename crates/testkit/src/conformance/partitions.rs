//! Partitions: creating, retiring, removing.

use bytes::Bytes;
use costrel_core::engine::{
    CommitError, Expect, Partition, PartitionState, Retired, RowRef, ScanRange, Table, Write,
};

use super::{Lab, object, put};

pub(super) async fn check(lab: &Lab) {
    creating_is_repeatable(lab).await;
    only_empty_partitions_retire(lab).await;
    retired_partitions_only_shrink(lab).await;
    removing_forgets_every_row(lab).await;
    the_system_partition_stays(lab).await;
    retiring_races_with_commits(lab).await;
}

async fn state(lab: &Lab, partition: Partition) -> Option<PartitionState> {
    let partitions = lab.engine.index().partitions().await.unwrap();
    let found: Vec<_> =
        partitions.iter().filter(|(id, _)| Partition::Bucket(*id) == partition).collect();
    assert!(found.len() <= 1, "a partition is listed once");
    found.first().map(|(_, state)| *state)
}

async fn retire(lab: &Lab, partition: Partition, tables: &[Table]) -> Retired {
    lab.engine.index().retire_partition(partition, tables).await.unwrap()
}

async fn creating_is_repeatable(lab: &Lab) {
    let p = lab.unused();
    assert_eq!(state(lab, p).await, None);
    for _ in 0..2 {
        lab.engine.index().create_partition(p).await.unwrap();
        assert_eq!(state(lab, p).await, Some(PartitionState::Live));
        lab.put(p, b"k", object(), b"v").await;
    }
    assert_eq!(lab.get(p, b"k", object()).await.as_deref(), Some(&b"v"[..]), "rows stay");
}

async fn only_empty_partitions_retire(lab: &Lab) {
    assert_eq!(retire(lab, lab.unused(), &[Table::Object]).await, Retired::Missing);
    let p = lab.bucket().await;
    lab.put(p, b"k", RowRef::new(Table::Upload, "u"), b"v").await;
    assert_eq!(retire(lab, p, &[Table::Object, Table::Upload]).await, Retired::NotEmpty);
    assert_eq!(state(lab, p).await, Some(PartitionState::Live));
    lab.put(p, b"k", object(), b"v").await;
    assert_eq!(retire(lab, p, &[Table::Object]).await, Retired::NotEmpty);
    lab.commit(p, b"k", vec![], vec![Write::Delete(object())]).await.unwrap();
    assert_eq!(retire(lab, p, &[Table::Object]).await, Retired::Done, "other tables may hold rows");
    assert_eq!(state(lab, p).await, Some(PartitionState::Retired));
    assert_eq!(retire(lab, p, &[Table::Object]).await, Retired::Missing, "retired already");
}

async fn retired_partitions_only_shrink(lab: &Lab) {
    let p = lab.bucket().await;
    let pending = RowRef::new(Table::Pending, "b");
    lab.put(p, b"k", pending.clone(), b"v").await;
    assert_eq!(retire(lab, p, &[Table::Object]).await, Retired::Done);
    let refused = async |writes: Vec<Write>| {
        let result = lab.commit(p, b"k", vec![], writes).await;
        assert!(matches!(result, Err(CommitError::NoPartition)), "{result:?}");
    };
    refused(vec![put(object(), b"v")]).await;
    refused(vec![put(pending.clone(), b"w")]).await;
    refused(vec![Write::Delete(pending.clone()), put(object(), b"v")]).await;
    assert!(lab.get(p, b"k", pending.clone()).await.is_some(), "a refused commit writes nothing");
    assert!(lab.engine.index().create_partition(p).await.is_err(), "it cannot come back");
    let garbage = RowRef::new(Table::Garbage, "b");
    let writes = vec![Write::Delete(pending.clone()), put(garbage.clone(), b"v")];
    let expects = vec![Expect::Present(pending.clone())];
    lab.commit(p, b"k", expects, writes).await.unwrap();
    assert!(lab.get(p, b"k", garbage.clone()).await.is_some());
    let expects = vec![Expect::Present(pending)];
    let result = lab.commit(p, b"k", expects, vec![Write::Delete(garbage.clone())]).await;
    assert!(matches!(result, Err(CommitError::Conflict(0))), "{result:?}");
    lab.commit(p, b"k", vec![], vec![Write::Delete(garbage)]).await.unwrap();
}

async fn removing_forgets_every_row(lab: &Lab) {
    let neighbours = [lab.bucket().await, lab.unused(), lab.bucket().await];
    let p = neighbours[1];
    for neighbour in neighbours {
        lab.engine.index().create_partition(neighbour).await.unwrap();
        for n in 0..25u32 {
            let writes = (0..100u32).map(|s| {
                let row = RowRef::new(Table::Garbage, s.to_be_bytes().to_vec());
                Write::Put(row, Bytes::from_static(b"v"))
            });
            lab.commit(neighbour, &n.to_be_bytes(), vec![], writes.collect()).await.unwrap();
        }
        lab.put(neighbour, b"k", RowRef::only(Table::Body), b"v").await;
    }
    let index = lab.engine.index();
    assert!(index.remove_partition(p).await.is_err(), "a live partition is not removed");
    assert_eq!(retire(lab, p, &[Table::Object]).await, Retired::Done);
    index.remove_partition(p).await.unwrap();
    index.remove_partition(p).await.unwrap();
    assert_eq!(state(lab, p).await, None);
    assert_eq!(lab.get(p, b"k", RowRef::only(Table::Body)).await, None);
    assert!(lab.scan(p, Table::Garbage, ScanRange::all()).await.is_empty());
    let result = lab.commit(p, b"k", vec![], vec![Write::Delete(object())]).await;
    assert!(matches!(result, Err(CommitError::NoPartition)), "{result:?}");
    for neighbour in [neighbours[0], neighbours[2]] {
        assert_eq!(lab.scan(neighbour, Table::Garbage, ScanRange::all()).await.len(), 2500);
        assert!(lab.get(neighbour, b"k", RowRef::only(Table::Body)).await.is_some());
    }
    index.remove_partition(lab.unused()).await.unwrap();
}

async fn the_system_partition_stays(lab: &Lab) {
    let index = lab.engine.index();
    index.create_partition(Partition::System).await.unwrap();
    assert_eq!(retire(lab, Partition::System, &[]).await, Retired::Missing);
    assert!(index.remove_partition(Partition::System).await.is_err());
    lab.put(Partition::System, b"k", RowRef::only(Table::AccessKey), b"v").await;
}

/// Each commit is either seen by the check or refused afterwards: a partition
/// never ends up retired with a row in it.
async fn retiring_races_with_commits(lab: &Lab) {
    for round in 0..40u32 {
        let p = lab.bucket().await;
        let writers: Vec<_> = (0..4u32)
            .map(|writer| {
                let lab = lab.clone();
                tokio::spawn(async move {
                    for _ in 0..(round + writer) % 5 {
                        tokio::task::yield_now().await;
                    }
                    let group = writer.to_be_bytes();
                    lab.commit(p, &group, vec![], vec![put(object(), b"v")]).await.is_ok()
                })
            })
            .collect();
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        let retired = retire(lab, p, &[Table::Object]).await;
        let mut accepted = 0;
        for writer in writers {
            accepted += usize::from(writer.await.unwrap());
        }
        let rows = lab.scan(p, Table::Object, ScanRange::all()).await.len();
        assert_eq!(rows, accepted, "acknowledged commits and rows");
        match retired {
            Retired::Done => assert_eq!(rows, 0, "a retired partition has rows"),
            Retired::NotEmpty => assert!(rows > 0, "an empty partition was not retired"),
            Retired::Missing => panic!("the partition exists"),
        }
    }
}
