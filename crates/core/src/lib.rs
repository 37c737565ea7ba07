//! The meaning of an object store, over an engine seam.
//!
//! The core knows no HTTP, no files, no wall clock and no random source of its
//! own: engine, clock and randomness come in from outside.

pub mod access;
pub mod account;
pub mod acl;
pub mod bill;
pub mod body;
pub mod bucket;
pub mod checksum;
pub mod civil;
mod claim;
pub mod collector;
pub mod cors;
pub mod engine;
pub mod env;
pub mod error;
pub mod events;
pub mod fsck;
pub mod identified;
mod ingest;
pub mod inventory;
pub mod lifecycle;
pub mod limits;
pub mod list;
pub mod lock;
pub mod logging;
pub mod names;
mod naming;
pub mod object;
mod pace;
pub mod percent;
pub mod precondition;
pub mod range;
pub mod record;
pub mod referer;
pub mod restore;
mod scan;
pub mod scrub;
pub mod secret;
mod setting_cache;
mod steady;
mod store;
pub mod tags;
pub mod tend;
pub mod tier;
pub mod tiering;
pub mod transfer;
pub mod upload;
pub mod usage;
pub mod version;
pub mod website;

pub use error::{BodyError, Error, Result};
pub use store::{Store, StoreOptions};
