//! Signs requests the way the clients of each dialect do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costrel_signature::Payload;
use costrel_signature::sign::{Identity, Outgoing, SignedHeaders, cos_header, v4_header};

/// Whose signature and whose header and parameter names requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    S3,
    Cos,
}

/// A pair of secret id and secret key.
#[derive(Clone)]
pub struct Credentials {
    pub id: String,
    pub secret: String,
}

/// How long a COS signature is made valid, in seconds. One window serves many
/// requests, so that its key is derived once.
const COS_VALID: i64 = 12 * 3600;
/// A window is replaced this long before its end, so that no request leaves with
/// a signature that ends before it arrives.
const COS_RENEWED: i64 = 3600;
/// Difference of the clocks that is nothing unusual, in seconds.
const CLOCK_SKEW: i64 = 60;

/// Makes the headers that authenticate a request. Derived keys are kept.
pub struct Signer {
    identity: Identity,
    dialect: Dialect,
    region: String,
    cos_window: (i64, i64),
}

impl Signer {
    pub fn new(dialect: Dialect, credentials: &Credentials, region: &str) -> Self {
        Signer {
            identity: Identity::new(&credentials.id, &credentials.secret),
            dialect,
            region: region.to_owned(),
            cos_window: (0, 0),
        }
    }

    /// `payload` is what an S3 signature says of the body; COS says nothing.
    pub fn headers(
        &mut self,
        request: &Outgoing<'_>,
        payload: Payload,
        now: SystemTime,
    ) -> SignedHeaders {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64;
        match self.dialect {
            Dialect::S3 => v4_header(&self.identity, request, &self.region, payload, now),
            Dialect::Cos => {
                if now > self.cos_window.1 - COS_RENEWED {
                    self.cos_window = (now - CLOCK_SKEW, now + COS_VALID);
                }
                cos_header(&self.identity, request, self.cos_window)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cos_window_holds_until_shortly_before_its_end() {
        let credentials = Credentials { id: "AKID".into(), secret: "secret".into() };
        let mut signer = Signer::new(Dialect::Cos, &credentials, "");
        let request = Outgoing {
            method: "GET",
            host: "h",
            bucket_in_host: None,
            path: "/",
            query: &[],
            headers: &[],
        };
        let start = 1_700_000_000;
        let mut at = |seconds: i64| {
            let now = UNIX_EPOCH + Duration::from_secs((start + seconds) as u64);
            signer.headers(&request, Payload::Unsigned, now)
        };
        let first = at(0);
        assert_eq!(first, at(COS_VALID - COS_RENEWED));
        assert_ne!(first, at(COS_VALID - COS_RENEWED + 1));
    }
}
