//! Closing, health and metrics.

use costrel_core::engine::{BlobId, EngineError, Health, ScanRange, Step, Table};

use super::{Lab, object, put};

pub(super) async fn check(lab: &Lab) {
    let p = lab.bucket().await;
    assert_eq!(lab.engine.health(), Health::Ready);
    let metrics = lab.engine.metrics();
    assert!(metrics.iter().all(|metric| metric.name.starts_with("costrel_")));
    let mut names: Vec<_> = metrics.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "a metric is listed twice: {names:?}");
    assert!(lab.engine.inline_max() > 0);
    close_waits_for_commits(lab, p).await;
    closed_engines_refuse_everything(lab, p).await;
}

/// Commits that race with closing are acknowledged or refused, never left
/// hanging.
async fn close_waits_for_commits(lab: &Lab, p: costrel_core::engine::Partition) {
    let tasks: Vec<_> = (0..50u8)
        .map(|n| {
            let lab = lab.clone();
            tokio::spawn(
                async move { lab.commit(p, &[n], vec![], vec![put(object(), b"v")]).await },
            )
        })
        .collect();
    tokio::task::yield_now().await;
    lab.engine.close().await.unwrap();
    for task in tasks {
        let _ = task.await.unwrap();
    }
    lab.engine.close().await.unwrap();
}

async fn closed_engines_refuse_everything(lab: &Lab, p: costrel_core::engine::Partition) {
    let index = lab.engine.index();
    assert!(index.read(p, b"k", &[object()]).await.is_err());
    let visitor = Box::new(|_: &[u8], _: &[u8], _: &[u8]| Step::Next);
    assert!(index.scan(p, Table::Object, ScanRange::all(), visitor).await.is_err());
    assert!(lab.commit(p, b"k", vec![], vec![put(object(), b"v")]).await.is_err());
    assert!(index.create_partition(p).await.is_err());
    let blobs = lab.engine.blobs();
    assert!(blobs.create(BlobId([1; 16]), None).await.is_err());
    let result = blobs.open(BlobId([1; 16])).await.map(|_| ());
    assert!(matches!(result, Err(EngineError::Unavailable(_))), "{result:?}");
    assert!(matches!(lab.engine.health(), Health::Down(_)));
}
