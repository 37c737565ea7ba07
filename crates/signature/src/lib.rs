//! Request signatures of both dialects: verifying them for the server, making
//! them for clients.
//!
//! A server goes through three stages, so that it can look up the key between
//! the first and the last and answer every failure in the right dialect:
//!
//! 1. [`detect`] tells the form and never fails;
//! 2. [`parse`] takes the signature apart: key id, times, scope, token;
//! 3. [`Verifier::verify`] judges it by the key's secret.
//!
//! POST forms have the same stages over their fields: [`detect_post`],
//! [`parse_post`], [`Verifier::verify_post`], and then [`policy`] decides what
//! the form may do. A client uses [`sign`].
//!
//! Requests to Tencent Cloud API 3.0 are signed in ways of their own, which take the
//! body as well: [`CloudPresented`]. Whoever has no key yet may bring a [`Token`] of an
//! identity provider.
//!
//! The library has no clock and does no I/O: `now` is Unix seconds, requests
//! are borrowed as a [`RequestView`]. Nothing here panics on any input.

mod cache;
mod chunk;
mod cloud;
mod cos;
mod crypto;
pub mod encode;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod jwt;
pub mod policy;
mod post;
mod present;
mod request;
mod secret;
pub mod sign;
pub mod time;
mod v2;
mod v4;
mod verify;

pub use cache::KeyCache;
pub use chunk::{ChunkMismatch, ChunkSigner, ChunkVerifier};
pub use cloud::{CloudPresented, CloudRequest, CloudSignatureError};
pub use cos::{CosPresented, NameList, TimeWindow};
pub use error::{Explain, ParseError, VerifyError};
pub use jwt::{KeySet, KeySetError, Token, TokenError};
pub use post::{PostForm, PresentedPost, detect_post, parse_post};
pub use present::{Form, Presented, detect, parse};
pub use request::{HeaderSource, RequestView};
pub use secret::Secret;
pub use v2::V2Presented;
pub use v4::{Scope, V4Presented, unsigned_payload};
pub use verify::{Payload, Rules, Verified, Verifier};
