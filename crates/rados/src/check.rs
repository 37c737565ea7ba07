//! The check at start: what is wrong with the cluster, the pools or the rights,
//! in words, before a client meets it.

use std::path::PathBuf;

use serde::Deserialize;

use crate::ffi::{Cluster, ConnectError, Errno, LoadError, Pool, Stage};
use crate::options::Options;
use crate::remote::{Remote, expect_present};

/// Oldest release of the cluster that was tried.
const RELEASE_MIN: u32 = 16;

/// Why the engine does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Library(#[from] LoadError),
    #[error("cannot read Ceph's configuration {path}: {reason}")]
    Conf { path: PathBuf, reason: String },
    #[error("{user} is not a user of Ceph; it looks like client.costrel")]
    User { user: String },
    #[error("Ceph's configuration {path} names no keyring with a key for {user}")]
    NoKey { path: PathBuf, user: String },
    #[error(
        "the cluster refuses {user}: the keyring of {path} has no key for that user, or not the \
         cluster's"
    )]
    WrongKey { path: PathBuf, user: String },
    #[error("no monitor of {path} answers")]
    NoMonitor { path: PathBuf },
    #[error("cannot connect to the cluster of {path}: {reason}")]
    Connect { path: PathBuf, reason: String },
    #[error("{user} may not read the cluster's map; it needs: mon 'allow r'")]
    NoMonitorRights { user: String },
    #[error("the cluster runs {version}; Ceph 16 (Pacific) or newer is needed")]
    ClusterTooOld { version: String },
    #[error(
        "there is no pool {pool}; make it with: ceph osd pool create {pool} 32 32 {kind} && \
         ceph osd pool application enable {pool} costrel"
    )]
    NoPool { pool: String, kind: &'static str },
    #[error(
        "pool {pool} is erasure-coded; rows need a replicated pool (erasure-coded pools keep no \
         omap)"
    )]
    MetaErasureCoded { pool: String },
    #[error(
        "{user} may not read and write pool {pool}; give it the rights with: ceph auth caps \
         {user} mon 'allow r' osd 'allow rwx pool={meta}, allow rwx pool={data}'"
    )]
    NoRights { user: String, pool: String, meta: String, data: String },
    #[error("pool {pool} does not answer within the time of an operation; see: ceph health detail")]
    Silent { pool: String },
    #[error("pool {pool} is full")]
    Full { pool: String },
    #[error("pool {pool} does not do what the engine needs: {reason}")]
    Unable { pool: String, reason: String },
    #[error("cannot open {pool}: {reason}")]
    Failed { pool: String, reason: String },
    #[error(
        "namespace {namespace:?} of pool {pool} holds data of format {found}, and this program \
         knows format {known}"
    )]
    Format { pool: String, namespace: String, found: String, known: &'static str },
    #[error("namespace {namespace:?} of pool {pool} holds no installation")]
    Nothing { pool: String, namespace: String },
    #[error(transparent)]
    Engine(#[from] costrel_core::engine::EngineError),
}

/// Says what a failure to connect means.
pub(crate) fn explain(error: ConnectError, options: &Options) -> OpenError {
    let (path, user) = (options.conf.clone(), options.user.clone());
    match error {
        ConnectError::Load(error) => OpenError::Library(error),
        ConnectError::Failed(Stage::User, _) => OpenError::User { user },
        ConnectError::Failed(Stage::ConfigFile, errno) => {
            OpenError::Conf { path, reason: errno.to_string() }
        }
        ConnectError::Failed(Stage::Setting | Stage::Connect, errno) => match errno {
            Errno::NOENT => OpenError::NoKey { path, user },
            Errno::PERM | Errno::ACCES => OpenError::WrongKey { path, user },
            Errno::TIMEDOUT => OpenError::NoMonitor { path },
            errno => OpenError::Connect { path, reason: errno.to_string() },
        },
    }
}

#[derive(Deserialize)]
struct PoolDetail {
    pool_name: String,
    #[serde(rename = "type")]
    kind: u32,
    size: u32,
    min_size: u32,
}

const REPLICATED: u32 = 1;

/// Checks versions and pools. Blocks.
pub(crate) fn cluster(cluster: &Cluster, options: &Options) -> Result<(), OpenError> {
    let ask = |command| match cluster.monitor(command) {
        Ok(answer) => Ok(answer),
        Err(Errno::ACCES | Errno::PERM) => {
            Err(OpenError::NoMonitorRights { user: options.user.clone() })
        }
        Err(Errno::TIMEDOUT) => Err(OpenError::NoMonitor { path: options.conf.clone() }),
        Err(errno) => {
            Err(OpenError::Connect { path: options.conf.clone(), reason: errno.to_string() })
        }
    };
    let unclear = |what: &str| OpenError::Connect {
        path: options.conf.clone(),
        reason: format!("the monitor's answer about {what} makes no sense"),
    };
    let answer = ask(r#"{"prefix":"version","format":"json"}"#)?;
    let version = String::from_utf8_lossy(&answer);
    let release = release(&version).ok_or_else(|| unclear("its version"))?;
    if release < RELEASE_MIN {
        return Err(OpenError::ClusterTooOld { version: version.trim().to_owned() });
    }
    let answer = ask(r#"{"prefix":"osd pool ls","detail":"detail","format":"json"}"#)?;
    let pools: Vec<PoolDetail> =
        serde_json::from_slice(&answer).map_err(|_| unclear("its pools"))?;
    let find = |name: &str, kind| {
        let pool = pools.iter().find(|pool| pool.pool_name == name);
        pool.ok_or(OpenError::NoPool { pool: name.to_owned(), kind })
    };
    let meta = find(&options.meta_pool, "replicated")?;
    if meta.kind != REPLICATED {
        return Err(OpenError::MetaErasureCoded { pool: options.meta_pool.clone() });
    }
    let bodies = options.body_pools().map(|pool| find(pool, "replicated"));
    let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
    for pool in [meta].into_iter().chain(bodies) {
        if pool.kind == REPLICATED && pool.min_size < 2 {
            tracing::warn!(
                pool = pool.pool_name,
                size = pool.size,
                min_size = pool.min_size,
                "a write to this pool is acknowledged when ONE disk has it; that disk's end loses it"
            );
        }
    }
    Ok(())
}

/// The major number in a text such as `ceph version 16.2.15 (…) pacific (stable)`.
fn release(version: &str) -> Option<u32> {
    let number = version.split("ceph version ").nth(1)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Opens a pool.
pub(crate) fn pool(
    cluster: &std::sync::Arc<Cluster>,
    name: &str,
    options: &Options,
) -> Result<Pool, OpenError> {
    cluster.pool(name, &options.namespace).map_err(|errno| refused(name, errno, options))
}

fn refused(pool: &str, errno: Errno, options: &Options) -> OpenError {
    let pool = pool.to_owned();
    match errno {
        Errno::PERM | Errno::ACCES => OpenError::NoRights {
            user: options.user.clone(),
            pool,
            meta: options.meta_pool.clone(),
            data: options.data_pool.clone(),
        },
        Errno::TIMEDOUT => OpenError::Silent { pool },
        Errno::NOSPC | Errno::DQUOT => OpenError::Full { pool },
        Errno::OPNOTSUPP => OpenError::Unable { pool, reason: errno.to_string() },
        errno => OpenError::Failed { pool, reason: errno.to_string() },
    }
}

/// Tries on an object of its own what the engine will do. Works on a full
/// cluster, where what is there can still be read and deleted.
pub(crate) async fn rights(
    remote: &Remote,
    name: &str,
    rows: bool,
    options: &Options,
) -> Result<(), OpenError> {
    let object = format!("check.{}", hex::encode(rand::random::<[u8; 8]>()));
    let failed = |errno| refused(name, errno, options);
    let mut op = remote.write_op();
    op.create_exclusive();
    op.set_xattr(c"check", b"1");
    if rows {
        op.set(&[(b"present", b"1")]);
    }
    match remote.apply(&object, op).await {
        Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => {
            remote.error("checking the pool", errno);
            return Ok(());
        }
        done => done.map_err(failed)?,
    }
    let mut op = remote.read_op();
    op.xattrs();
    let read = remote.read(&object, op, 0).await.map(|_| ());
    let mut op = remote.write_op();
    if rows {
        expect_present(&mut op, b"absent");
        op.set(&[(b"absent", b"1")]);
    } else {
        op.set_xattr(c"check", b"2");
    }
    let compared = remote.apply(&object, op).await;
    let mut op = remote.write_op();
    op.remove_object();
    let removed = remote.apply(&object, op).await;
    read.map_err(failed)?;
    match (rows, compared) {
        (true, Err(Errno::CANCELED)) => {}
        (true, Ok(())) => {
            let reason = "a condition that does not hold did not stop a write".into();
            return Err(OpenError::Unable { pool: name.to_owned(), reason });
        }
        (_, other) => other.map_err(failed)?,
    }
    removed.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        let version = r#"{"version":"ceph version 16.2.15 (618f440892) pacific (stable)"}"#;
        assert_eq!(release(version), Some(16));
        assert_eq!(release("ceph version 20.2.4"), Some(20));
        assert_eq!(release("ceph"), None);
    }
}
