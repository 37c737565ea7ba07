//! Access logs: every finished request of a bucket, delivered as objects of another.
//!
//! Whoever serves requests hands in a line for each ([`Store::log_request`]). Lines are
//! gathered in memory for a second at most and then written as one row for each bucket
//! ([`spool`]), so any process can deliver what another has left. A job ([`delivery`])
//! makes objects of the rows, and removes them when the object is there.
//!
//! The line's form belongs to the service whose client has configured the logs; what a
//! line says is for the protocol to know. Deliveries are no requests, so none is logged:
//! a bucket may hold its own logs.

mod delivery;
mod naming;
mod permission;
mod settings;
mod spool;

use bytes::Bytes;
use prost::Message;

pub(crate) use delivery::check_row;
pub use delivery::{Announced, LogBounds, LogJob, LogStats};
pub(crate) use settings::logging_row;
pub use settings::{LogFault, Logged};
pub use spool::ChunkRecord;
pub(crate) use spool::Spool;

use crate::record::GrantRecord;
use crate::setting_cache::Setting;

/// Where a bucket's logs go and what they look like, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Logging {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    /// Name of the bucket that the logs are put into.
    #[prost(string, tag = "2")]
    pub target: String,
    /// What the names of log objects begin with.
    #[prost(string, tag = "3")]
    pub prefix: String,
    /// [`Form`].
    #[prost(uint32, tag = "4")]
    pub form: u32,
    /// [`Layout`]; 0 while nobody has said.
    #[prost(uint32, tag = "5")]
    pub layout: u32,
    /// Who may use the log objects, besides the target's owner.
    #[prost(message, repeated, tag = "6")]
    pub grants: Vec<GrantRecord>,
}

/// Whose lines and names. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Cos = 1,
    S3 = 2,
}

/// How S3 names log objects. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Simple = 1,
    /// In folders by account, region, bucket and the day of the requests.
    ByEvent = 2,
    /// The same by the day of the delivery.
    ByDelivery = 3,
}

impl Logging {
    /// What is not known any more was S3's.
    pub fn form(&self) -> Form {
        match self.form {
            1 => Form::Cos,
            _ => Form::S3,
        }
    }

    pub fn layout(&self) -> Option<Layout> {
        match self.layout {
            1 => Some(Layout::Simple),
            2 => Some(Layout::ByEvent),
            3 => Some(Layout::ByDelivery),
            _ => None,
        }
    }
}

impl Setting for Logging {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}
