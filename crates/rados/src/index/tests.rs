//! What somebody who died, or an operation that is late, leaves behind. On a real
//! cluster, as `tests/cluster.rs`.

use std::time::Duration;

use costrel_core::engine::{Expect, Write};

use super::commit::{Settled, Work};
use super::header::{Header, Life};
use super::key::{partition_name, root_object};
use super::*;
use crate::ffi::{Cluster, Errno};
use crate::options::Options;
use crate::status::Status;
use crate::{check, ffi};

const BUCKET: Partition = Partition::Bucket(BucketId(7));

pub(super) fn namespace() -> String {
    format!("test-{:016x}", rand::random::<u64>())
}

/// A gateway's index, over a connection of its own.
pub(super) async fn open_in(namespace: &str, shard_rows_max: u64) -> RadosIndex {
    let conf = std::env::var("COSTREL_TEST_CEPH_CONF").expect("COSTREL_TEST_CEPH_CONF is set");
    let options = Options {
        namespace: namespace.to_owned(),
        shard_rows_max,
        ..Options::new(conf, "client.admin", "costrel-meta", "costrel-data")
    };
    let bounds = options.bounds();
    let connect = move || -> ffi::Pool {
        let settings = options.settings();
        let cluster = Cluster::connect(&options.conf, &options.user, &settings).unwrap();
        check::pool(&cluster, &options.meta_pool, &options).unwrap()
    };
    let pool = tokio::task::spawn_blocking(connect).await.unwrap();
    let meta = Arc::new(Remote::new(pool, "costrel-meta", Arc::new(Status::default())));
    RadosIndex::open(meta, Duration::from_secs(30), bounds).await.unwrap()
}

async fn open() -> RadosIndex {
    let index = open_in(&namespace(), 100_000).await;
    index.create_partition(BUCKET).await.unwrap();
    index
}

fn put(value: &'static str) -> Commit {
    let row = RowRef::only(Table::Object);
    let writes = vec![Write::Put(row, Bytes::from_static(value.as_bytes()))];
    Commit::new(BUCKET, Bytes::from_static(b"k"), vec![], writes)
}

/// The only shard, and its header.
async fn shard(index: &RadosIndex) -> (Arc<Shard>, Header) {
    let layout = index.layouts.get(&index.context, BUCKET).await.unwrap().unwrap();
    let shard = layout.find(b"").0.clone();
    let header = shard.read_header(&index.context).await.unwrap().unwrap();
    (shard, header)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn a_retirement_whose_owner_died_is_undone() {
    let index = open().await;
    let meta = &index.context.meta;
    let (shard, active) = shard(&index).await;
    let root = root::read(meta, &root_object(BUCKET)).await.unwrap().unwrap();
    let retiring = root.state.next(Life::Retiring);
    assert!(root::change(meta, &root_object(BUCKET), root.state, retiring).await.unwrap());
    let freeze = active.then(Phase::Frozen, retiring.token);
    assert!(shard.change_header(&index.context, active, freeze).await.unwrap());

    let begun = Instant::now();
    index.commit(put("v")).await.unwrap();
    assert!(begun.elapsed() >= recover::PATIENCE, "the owner was not waited for");
    // It was only slow, and goes on: nothing it does has any effect.
    assert!(!shard.change_header(&index.context, active, freeze).await.unwrap());
    let retired = retiring.next(Life::Retired);
    assert!(!root::change(meta, &root_object(BUCKET), retiring, retired).await.unwrap());
    index.commit(put("w")).await.unwrap();
    let retired = index.retire_partition(BUCKET, &[Table::Object]).await.unwrap();
    assert_eq!(retired, Retired::NotEmpty);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn a_retirement_that_was_decided_is_ended() {
    let index = open().await;
    let meta = &index.context.meta;
    let (shard, active) = shard(&index).await;
    let root = root::read(meta, &root_object(BUCKET)).await.unwrap().unwrap();
    let retired = root.state.next(Life::Retired);
    assert!(root::change(meta, &root_object(BUCKET), root.state, retired).await.unwrap());
    let freeze = active.then(Phase::Frozen, 99);
    assert!(shard.change_header(&index.context, active, freeze).await.unwrap());
    let refused = index.commit(put("v")).await;
    assert!(matches!(refused, Err(CommitError::NoPartition)), "{refused:?}");
    index.remove_partition(BUCKET).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn a_creation_whose_owner_died_is_ended() {
    let index = open().await;
    let meta = &index.context.meta;
    let other = Partition::Bucket(BucketId(8));
    let state = header::State { life: Life::Creating, epoch: 1, token: 5 };
    let mut op = meta.write_op();
    op.create_exclusive();
    op.set(&root::first_rows(state, 3));
    meta.apply(&root_object(other), op).await.unwrap();
    index.commit(Commit { partition: other, ..put("v") }).await.unwrap();
    let root = root::read(meta, &root_object(other)).await.unwrap().unwrap();
    assert_eq!(root.state.life, Life::Live, "{}", partition_name(other));
}

/// A commit's operation that times out is fenced: either it has taken effect and is
/// found to have, or it never will.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn the_outcome_of_a_lost_operation_is_found_out() {
    let index = open().await;
    let context = &index.context;
    let row = RowRef::only(Table::Object);
    for late in [false, true] {
        let (shard, header) = shard(&index).await;
        let number = context.number();
        let value = if late { "late" } else { "in time" };
        let expects = match late {
            false => vec![Expect::Absent(row.clone())],
            true => vec![Expect::Present(row.clone())],
        };
        let work = Work::test(Prepared::new(&Commit { expects, ..put(value) }, None).unwrap());
        let op = shard.operation(context, &[work], header, &number);
        if late {
            let settled = shard.settle(context, header, &number).await.unwrap();
            assert!(matches!(settled, Settled::NotApplied), "{settled:?}");
            let refused = context.meta.apply(&shard.object, op).await;
            assert_eq!(refused, Err(Errno::CANCELED), "it took effect after all");
        } else {
            context.meta.apply(&shard.object, op).await.unwrap();
            // Another gateway's commit comes in between.
            let other = Context::new(context.meta.clone(), context.patience, context.bounds);
            let other = RadosIndex::new(Arc::new(other));
            other.commit(put("over it")).await.unwrap();
            let settled = shard.settle(context, header, &number).await.unwrap();
            assert!(matches!(settled, Settled::Applied), "{settled:?}");
        }
        let rows = index.read(BUCKET, b"k", std::slice::from_ref(&row)).await.unwrap();
        assert_eq!(rows[0].as_deref(), Some(&b"over it"[..]));
    }
}
