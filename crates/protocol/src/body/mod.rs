//! Bodies between the connection and the core: in with their framing taken off,
//! out with their length known.

mod incoming;
mod late;
mod outgoing;
mod source;
mod speed;

pub use incoming::{BodyLimits, Incoming};
pub use late::{Document, answer as answer_late};
pub use outgoing::{Done, ErrorShape, ResponseBody};
pub use source::PayloadSource;
pub use speed::Speed;
