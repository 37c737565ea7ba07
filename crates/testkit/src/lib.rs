//! What tests of several crates share: the engine that keeps everything in
//! memory and serves as the oracle for the others, the suite of promises that
//! every engine must keep, and random workloads that compare an engine with the
//! oracle.

pub mod conformance;
mod memory;
mod seed;
mod workload;

pub use memory::{ELSEWHERE, MemoryEngine, SharedMemory};
pub use seed::seed;
pub use workload::Workload;
