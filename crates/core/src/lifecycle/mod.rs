//! Lifecycle: rules by which objects, versions, delete markers and uploads end by
//! themselves, and objects and versions move to colder storage classes.
//!
//! What rules have in store for something is a plain function (`fate.rs`) of the
//! rules (`rules.rs`), the thing and a calendar (`calendar.rs`). A job in the
//! background (`job.rs`) walks the buckets that have rules (`walk.rs`), ends what is
//! due (`removal.rs`), by the same commits as a client's deletes, and moves what is to
//! be moved (`sinking.rs`).
//! What it would end can be asked for before (`preview.rs`).

mod calendar;
mod fate;
mod job;
mod preview;
mod removal;
mod rules;
mod settings;
mod sinking;
mod walk;

pub use calendar::{Calendar, DAY_MS};
pub use fate::{Chain, Facts, Fate, Noncurrent};
pub use job::{LifecycleJob, LifecycleOptions, LifecycleStats};
pub use preview::{Ending, Example, Foretold, Preview};
pub use rules::{
    Expiration, FilterForm, Lifecycle, LifecycleFault, NoncurrentExpiration, NoncurrentTransition,
    Rule, RuleBounds, Transition, TransitionMinimum, TransitionTime,
};
pub use settings::Foreseen;
pub(crate) use settings::lifecycle_row;
