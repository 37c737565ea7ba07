//! The engine that keeps rows and bodies on a Ceph cluster (RADOS), so that any
//! number of gateways serve the same buckets.
//!
//! librados is opened at run time: building this crate, and running anything
//! else, needs no Ceph. `docs/formats/rados.md` describes every object.
//!
//! Invariants:
//!
//! 1. A commit is one operation on one index object, so it happens as a whole or
//!    not at all, in an order that all gateways agree on.
//! 2. Nothing a gateway remembers is trusted: each operation carries the
//!    conditions under which it may happen. No lease and no clock decides.
//! 3. What became of an operation that timed out is found out before its commit
//!    is answered, or the answer says that it is not known.
//! 4. A blob's objects are never changed once it is finished, and every byte is
//!    compared with its checksum before it is returned.

mod blobs;
mod check;
mod engine;
mod ffi;
mod index;
mod metrics;
mod options;
mod peers;
mod remote;
mod status;

pub use check::OpenError;
pub use engine::RadosEngine;
pub use options::{INLINE_MAX_DEFAULT, Options};
