//! What fuzzers run: any bytes in, no panic out, and in between what must hold
//! of every input, not only that nothing breaks. Decoders give the same for a
//! body in pieces as for the whole, what was read can be written and is read
//! again as the same, and what comes out is bounded by what went in.
//!
//! The harness for cargo-fuzz is in `fuzz/` at the top of the checkout, where
//! the kept corpus is too; `tests/corpus.rs` runs that on every build.

mod address;
mod chunked;
mod condition;
mod form;
mod pieces;
mod policy;
mod range;
mod record;
mod text;
mod xml;

pub use address::address;
pub use chunked::chunked;
pub use condition::etag_condition;
pub use costrel_signature::fuzz::{
    policy as signature_policy, post as signature_post, request as signature_request,
    times as signature_times,
};
pub use form::form;
pub use policy::{policy_cam, policy_iam};
pub use range::range;
pub use record::record;
pub use text::percent;
pub use xml::xml;

/// A target takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

/// Every target by its name in `fuzz/`.
pub const TARGETS: [(&str, Target); 14] = [
    ("address", address),
    ("chunked", chunked),
    ("etag_condition", etag_condition),
    ("form", form),
    ("percent", percent),
    ("policy_cam", policy_cam),
    ("policy_iam", policy_iam),
    ("range", range),
    ("record", record),
    ("signature_policy", signature_policy),
    ("signature_post", signature_post),
    ("signature_request", signature_request),
    ("signature_times", signature_times),
    ("xml", xml),
];
