//! Who carries messages to targets. The core knows targets by their names alone.

use std::fmt::Debug;

use async_trait::async_trait;

use super::EventRecord;

/// What is to be told.
#[derive(Clone, Copy, Debug)]
pub enum Dispatch<'a> {
    Event {
        event: &'a EventRecord,
        key: &'a str,
        /// Greater than that of every event of the key before.
        sequence: u64,
    },
    /// That events of a bucket are to come, so that whoever configures them hears at once
    /// when they cannot.
    Test { bucket: &'a str, at_ms: u64, request_id: &'a str, second_id: &'a str },
}

/// Why a message did not arrive, or may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Undelivered(pub String);

#[async_trait]
pub trait Courier: Send + Sync + Debug {
    /// Names of the targets that there are, each once.
    fn targets(&self) -> Vec<String>;

    /// Whether messages to it say what clients have said about the object.
    fn wants_metadata(&self, target: &str) -> bool;

    /// Returns when the target has acknowledged the message, or fails within
    /// [`DELIVERY_MAX`](super::DELIVERY_MAX). Dropping the future leaves open whether it
    /// arrives.
    async fn deliver(&self, target: &str, dispatch: Dispatch<'_>) -> Result<(), Undelivered>;
}

/// Where there are no targets.
#[derive(Debug)]
pub struct NoTargets;

#[async_trait]
impl Courier for NoTargets {
    fn targets(&self) -> Vec<String> {
        Vec::new()
    }

    fn wants_metadata(&self, _: &str) -> bool {
        false
    }

    async fn deliver(&self, target: &str, _: Dispatch<'_>) -> Result<(), Undelivered> {
        Err(Undelivered(format!("there is no target {target}")))
    }
}
