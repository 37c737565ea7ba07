//! The one place that decides whether a presented signature is good.

use crate::cache::KeyCache;
use crate::chunk::ChunkVerifier;
use crate::error::VerifyError;
use crate::present::Presented;
use crate::request::{HeaderSource, RequestView};
use crate::secret::Secret;
use crate::v4::V4Presented;
use crate::{cos, v2, v4};

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The service that SigV4 credentials must be scoped to.
    pub service: &'static str,
    /// How far a client's clock may be from ours, seconds. Both vendors
    /// document 15 minutes.
    pub skew_s: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { service: "s3", skew_s: 15 * 60 }
    }
}

/// Verifies requests and forms, remembering derived keys. Shared by all threads.
#[derive(Default)]
pub struct Verifier {
    rules: Rules,
    keys: KeyCache,
}

/// What a good signature says about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: the body is whatever arrives.
    Unsigned,
    /// The body must have this SHA-256.
    Sha256([u8; 32]),
    /// aws-chunked, every chunk signed, and the trailer too if there is one.
    SignedChunks { trailer: bool },
    /// aws-chunked without chunk signatures, with a trailer.
    UnsignedChunks,
}

/// A request whose signature is good.
pub struct Verified {
    pub payload: Payload,
    /// Verifies the chunks of a [`Payload::SignedChunks`] body.
    pub chunks: Option<ChunkVerifier>,
}

impl Verifier {
    pub fn new(rules: Rules, keys: KeyCache) -> Self {
        Verifier { rules, keys }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn keys(&self) -> &KeyCache {
        &self.keys
    }

    /// Judges a presented signature of `request` by the secret of its key id.
    /// `now` is Unix seconds. Times are judged before the signature.
    pub fn verify<H: HeaderSource + ?Sized>(
        &self,
        presented: &Presented<'_>,
        request: &RequestView<'_, H>,
        secret: &Secret,
        now: i64,
    ) -> Result<Verified, VerifyError> {
        match presented {
            Presented::Anonymous => Err(VerifyError::Anonymous),
            Presented::Cos(cos) => cos::verify(cos, request, secret, now, self),
            Presented::V4(v4) => v4::verify(v4, request, secret, now, self),
            Presented::V2(v2) => v2::verify(v2, request, secret, now, self),
        }
    }

    /// The same for a request to another service of AWS, which [`V4Presented::of_service`]
    /// took apart.
    pub fn verify_service<H: HeaderSource + ?Sized>(
        &self,
        service: &'static str,
        presented: &V4Presented<'_>,
        request: &RequestView<'_, H>,
        secret: &Secret,
        now: i64,
    ) -> Result<(), VerifyError> {
        v4::verify_for(service, presented, request, secret, now, self).map(|_| ())
    }
}
