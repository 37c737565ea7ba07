//! Opens what a power cut left and compares it with what was promised.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use costrel_core::fsck;

use crate::promises::{Promises, is_bucket};
use crate::store::{self, BUCKET, Requests};

/// A key that is written after the cut.
const LATER: &str = "later";

/// Opens the data directory and proves that every promise is kept; that what is
/// written then is kept as well; and that nothing else is left.
pub async fn check(dir: &Path, promises: &Promises) -> Result<(), String> {
    let (store, collector) = store::open(dir).await?;
    let name = promises.keys.get(BUCKET).cloned().unwrap_or_default();
    for (name, promised) in promises.keys.iter().filter(|(key, _)| is_bucket(key)) {
        let found = store::bucket(&store, name).await?.is_some();
        if promised.found(found).is_none() {
            return Err(format!("bucket {name} is there: {found}; promised: {promised:?}"));
        }
    }
    let bucket = match store::bucket(&store, BUCKET).await? {
        Some(bucket) => bucket,
        None if name.answered.is_none() => store::make_bucket(&store, BUCKET).await?,
        None => return Err("the bucket is not there".into()),
    };
    let requests = Requests { store: &store, bucket: &bucket };
    let seen = keys(&requests, promises).await?;
    uploads(&requests, promises).await?;
    collector.sweep().await.map_err(|e| format!("sweeping: {e}"))?;
    requests.put(LATER, Bytes::from_static(b"after the cut")).await?;
    store.engine().close().await.map_err(|e| format!("closing: {e}"))?;
    drop((store, collector));

    // And what was written after it is found the next time.
    let (store, collector) = store::open(dir).await?;
    let bucket = store::bucket(&store, BUCKET).await?.ok_or("the bucket is gone")?;
    let requests = Requests { store: &store, bucket: &bucket };
    if requests.get(LATER).await?.as_deref() != Some(b"after the cut") {
        return Err("what was written after the cut is gone".into());
    }
    requests.delete(LATER).await?;
    if requests.list().await? != seen {
        return Err("the next start shows other objects".into());
    }
    for _ in 0..3 {
        collector.sweep().await.map_err(|e| format!("sweeping: {e}"))?;
    }
    let report = fsck::run(&**store.engine(), |_| ()).await.map_err(|e| format!("fsck: {e}"))?;
    if !report.findings.is_empty() {
        return Err(format!("fsck: {:?}", report.findings));
    }
    if report.collectable > 0 {
        return Err(format!("the collector leaves something: {report:?}"));
    }
    store.engine().close().await.map_err(|e| format!("closing again: {e}"))
}

/// Compares all keys, by reading and by listing; what is there, as listed.
async fn keys(requests: &Requests<'_>, promises: &Promises) -> Result<Vec<(String, u64)>, String> {
    let mut seen = BTreeMap::new();
    for (key, promised) in promises.keys.iter().filter(|(key, _)| !is_bucket(key)) {
        let data = requests.get(key).await?;
        if promised.holds(data.as_ref()).is_none() {
            let len = data.map(|data| data.len());
            return Err(format!("{key} holds {len:?} bytes; promised: {promised:?}"));
        }
        if let Some(data) = data {
            seen.insert(key.clone(), data.len() as u64);
        }
    }
    let (seen, listed) = (Vec::from_iter(seen), requests.list().await?);
    match listed == seen {
        true => Ok(listed),
        false => Err(format!("listed: {listed:?}; read: {seen:?}")),
    }
}

async fn uploads(requests: &Requests<'_>, promises: &Promises) -> Result<(), String> {
    for ((key, upload), promised) in &promises.parts {
        let Some(parts) = requests.parts(key, *upload).await? else {
            return Err(format!("upload {upload:?} of {key} is gone; promised: {promised:?}"));
        };
        for (number, piece) in promised {
            let sizes = parts.iter().filter(|part| part.number == *number).map(|part| part.size);
            if !sizes.eq([piece.len as u64]) {
                return Err(format!("part {number} of upload {upload:?} of {key}: {parts:?}"));
            }
        }
    }
    for (key, upload) in &promises.ended {
        if requests.parts(key, *upload).await?.is_some() {
            return Err(format!("upload {upload:?} of {key} is back"));
        }
    }
    Ok(())
}
