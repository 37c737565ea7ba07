//! What tests of several crates share: the engine that keeps everything in
//! memory and serves as the oracle for the others.

mod memory;

pub use memory::MemoryEngine;
