//! The meaning of an object store, over an engine seam.
//!
//! The core knows no HTTP, no files, no wall clock and no random source of its
//! own: engine, clock and randomness come in from outside.

pub mod engine;
