//! librados, opened at run time: the only unsafe code of the project.
//!
//! What leaves this module is safe to use in any way. Rules that hold inside:
//!
//! * An operation on its way is owned by one box: the operation, its results and
//!   the sender of the answer. librados' callback takes the box back, so dropping
//!   the future that waits changes nothing for librados.
//! * Callbacks run on librados' own thread. They only hand the box over and drop
//!   permits; they never hold a reference to the cluster or a pool, since the last
//!   one shuts librados down, which joins that thread.
//! * Handles are used from many threads: librados locks inside.

#![allow(unsafe_code)]

mod cluster;
mod library;
mod listing;
mod ops;
mod watch;

pub(crate) use cluster::{Cluster, ConnectError, Pool, Stage};
pub use library::LoadError;
pub(crate) use ops::{Comparison, Done, ReadOp, Values, WriteOp, Written};
pub(crate) use watch::{Heard, Told, Watch};

/// A negative errno of librados, as a positive number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub i32);

impl Errno {
    pub(crate) const PERM: Errno = Errno(1);
    pub(crate) const NOENT: Errno = Errno(2);
    pub(crate) const ACCES: Errno = Errno(13);
    pub(crate) const EXIST: Errno = Errno(17);
    pub(crate) const NOSPC: Errno = Errno(28);
    pub(crate) const OPNOTSUPP: Errno = Errno(95);
    /// librados' own client was shut out of the cluster.
    pub(crate) const SHUTDOWN: Errno = Errno(108);
    pub(crate) const TIMEDOUT: Errno = Errno(110);
    pub(crate) const DQUOT: Errno = Errno(122);
    pub(crate) const CANCELED: Errno = Errno(125);

    fn check(code: i32) -> Result<i32, Errno> {
        if code < 0 { Err(Errno(-code)) } else { Ok(code) }
    }

    pub(crate) fn io(self) -> std::io::Error {
        std::io::Error::from_raw_os_error(self.0)
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io().fmt(f)
    }
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io().fmt(f)
    }
}

/// A text without NUL bytes for C. Names and settings come from configuration.
fn c_string(text: impl Into<Vec<u8>>) -> Result<std::ffi::CString, Errno> {
    const INVAL: Errno = Errno(22);
    std::ffi::CString::new(text).map_err(|_| INVAL)
}
