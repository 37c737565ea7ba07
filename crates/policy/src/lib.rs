//! What policies say. Two grammars, CAM's of Tencent Cloud and IAM's of AWS, are
//! read into one form ([`Policy`]), and one function ([`decide`]) judges by it.
//!
//! A request is judged by every policy in force, whichever dialect it came in: it
//! brings the name of its action in both grammars, and condition keys of both mean
//! the same [`Key`]. What a condition asks for and nobody can know counts against
//! the caller, in an Allow and in a Deny.
//!
//! No I/O, no clock, no HTTP: facts about a request come in through [`Facts`].

mod cam;
mod condition;
mod decide;
mod fault;
mod iam;
mod json;
mod key;
mod parse;
mod pattern;
mod principal;
mod public;
mod resource;
mod span;
mod time;
mod value;
mod verdict;

pub use decide::{Action, Attempt, Caller, Grants, Who, decide, decide_trust};
pub use fault::PolicyFault;
pub use key::{Claim, Grant, Key};
pub use parse::{Grammar, POLICY_BYTES_MAX, Policy};
pub use resource::Target;
pub use span::{Position, Span};
pub use value::{Fact, Facts, Value};
pub use verdict::{Decision, Ground, Place, Source, Verdict};
