//! Bodies between the connection and the core: in with their framing taken off,
//! out with their length known.

mod incoming;
mod outgoing;
mod source;

pub use incoming::{BodyLimits, Incoming};
pub use outgoing::{Done, ResponseBody};
pub use source::PayloadSource;
