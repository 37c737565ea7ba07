//! What messages look like.

mod cos;
mod s3;

use costrel_core::civil::Civil;
use costrel_core::events::Dispatch;

/// Whose messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    S3,
    Cos,
}

impl Form {
    /// A message as it is sent; `None` for what has a number that is not known here.
    pub fn message(self, dispatch: Dispatch<'_>) -> Option<String> {
        match self {
            Form::S3 => s3::message(dispatch),
            Form::Cos => cos::message(dispatch),
        }
    }

    pub fn wants_metadata(self) -> bool {
        self == Form::Cos
    }
}

/// `1970-01-01T00:00:00.000Z`
fn iso(at_ms: u64) -> String {
    let at = Civil::of_ms(at_ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year,
        at.month,
        at.day,
        at.hour,
        at.minute,
        at.second,
        at_ms % 1000
    )
}
