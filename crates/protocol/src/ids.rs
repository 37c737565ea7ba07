//! Ids of requests, which go into answers and logs.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::dialect::Dialect;

/// Makes ids that do not repeat within a process, nor between processes that
/// start in different milliseconds.
pub struct RequestIds {
    started_ms: u64,
    count: AtomicU64,
}

/// Fourteen bytes as 28 hexadecimal digits: start of the process, then a counter.
pub struct RequestId(String);

impl RequestIds {
    pub fn new(started_ms: u64) -> RequestIds {
        RequestIds { started_ms, count: AtomicU64::new(0) }
    }

    pub fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 14];
        bytes[..6].copy_from_slice(&self.started_ms.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&count.to_be_bytes());
        RequestId(hex::encode(bytes))
    }
}

impl RequestId {
    /// As the dialect's own ids look: base64 for COS, upper-case hex for S3.
    pub fn text(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Cos => BASE64.encode(&self.0),
            Dialect::S3 => self.0.to_ascii_uppercase(),
        }
    }

    /// As API 3.0 writes ids: a UUID.
    pub fn uuid(&self) -> String {
        let id = &self.0;
        format!("{}-{}-4{}-8{}-{}00", &id[..8], &id[8..12], &id[12..15], &id[15..18], &id[18..])
    }

    /// The id beside the request id, derived from it.
    pub fn second(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Cos => BASE64.encode(["trace-", &self.0].concat()),
            Dialect::S3 => BASE64.encode(["host-", &self.0].concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_fit_their_dialect() {
        let ids = RequestIds::new(1_700_000_000_000);
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a.text(Dialect::S3), b.text(Dialect::S3));
        assert!(a.text(Dialect::S3).bytes().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(BASE64.decode(a.text(Dialect::Cos)).unwrap(), a.0.as_bytes());
        assert_ne!(a.uuid(), b.uuid());
        assert_eq!(a.uuid().split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}
