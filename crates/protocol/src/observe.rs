//! What is known of a request when it is over, for logs and metrics.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use crate::dialect::Dialect;

/// One served request. `bytes_out` counts the body that was handed to the
/// connection, which may be less than was promised if the client went away.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    pub request_id: String,
    pub dialect: Dialect,
    /// The vendor's name of the operation; empty if none was found.
    pub operation: &'static str,
    pub method: String,
    /// The raw path, without the query, which may hold a signature.
    pub path: String,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub status: u16,
    /// The error code, in the dialect's words.
    pub code: Option<&'static str>,
    /// The error's words, as the client gets them.
    pub message: Option<Cow<'static, str>>,
    /// What an operator should know of the failure, if anything.
    pub failure: Option<String>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From the request's head to the end of the answer's body.
    pub duration: Duration,
    pub remote: SocketAddr,
    pub user_agent: Option<String>,
    pub access_key_id: Option<String>,
}

/// Is told of every request, once, when its answer has been sent or given up.
/// Called on the connection's task: it must be quick and must not block.
pub trait Observer: Send + Sync {
    fn request_begun(&self) {}
    fn request_done(&self, record: &RequestRecord);
}

/// Ignores everything.
pub struct NoObserver;

impl Observer for NoObserver {
    fn request_done(&self, _: &RequestRecord) {}
}
