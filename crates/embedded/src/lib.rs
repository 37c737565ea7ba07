//! The engine that keeps rows and bodies on local disks.
//!
//! Rows and small bodies lie in a log-structured store (fjall) that one thread
//! writes; larger bodies lie in files of their own. `docs/formats/embedded.md`
//! describes every byte.
//!
//! Invariants:
//!
//! 1. A commit is answered after its rows are synced, and readers see it only
//!    then. A blob is finished after its bytes and its name are synced.
//! 2. A blob's file is never written again after it was finished.
//! 3. Every byte of a blob is compared with its checksum before it is returned.
//! 4. After a failed sync nothing is written until the engine is reopened. When the
//!    rows only missed space, it reopens them itself once there is some.

mod blobs;
mod blocking;
mod data_dir;
mod disk;
mod engine;
mod index;
mod metrics;
mod options;
mod space;
mod status;

pub use data_dir::OpenError;
pub use engine::EmbeddedEngine;
pub use options::{Durability, Options};
