//! The engine that keeps rows and bodies on local disks.
//!
//! Rows and the smallest bodies lie in a log-structured store (fjall) that one
//! thread writes; bodies of tens of kilobytes in a log that another appends to;
//! larger ones in files of their own. `docs/formats/embedded.md` describes every
//! byte.
//!
//! Invariants:
//!
//! 1. A commit is answered after its rows are synced, and readers see it only
//!    then; bodies in the log are synced before the commit is written. A blob is
//!    finished after its bytes and its name are synced.
//! 2. A blob's file is never written again after it was finished, nor is a page of
//!    the log.
//! 3. Every byte of a body is compared with its checksum before it is returned.
//! 4. After a failed sync nothing is written until the engine is reopened. When the
//!    rows only missed space, it reopens them itself once there is some.

mod blobs;
mod blocking;
mod bodies;
mod data_dir;
mod disk;
mod engine;
mod index;
mod metrics;
mod open_files;
mod options;
mod places;
mod queue;
mod space;
mod status;

pub use data_dir::OpenError;
pub use engine::EmbeddedEngine;
pub use options::{Durability, Options};
