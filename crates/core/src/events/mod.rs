//! Event notifications: what happens to a bucket's objects, told to others.
//!
//! An event is a row that is written by the very commit that it tells of ([`queue`]), so
//! there is none without the other. A job ([`delivery`]) hands the rows of each key, in
//! order, to whoever carries messages ([`courier`]), and removes each when its target has
//! acknowledged it. What is lost on the way is sent again: targets may get an event
//! twice, and none not at all.
//!
//! Which events go where, a bucket's configuration says ([`settings`]). Nothing is done
//! for buckets without one.

mod courier;
mod delivery;
mod due;
mod due_job;
mod kinds;
mod lane;
mod occasion;
mod queue;
mod settings;
mod tending;
mod walk;

use bytes::Bytes;
use prost::Message;

pub use courier::{Courier, Dispatch, NoTargets, Undelivered};
pub use delivery::{DELIVERY_MAX, EventJob, EventOptions};
pub use due::DueRecord;
pub(crate) use due::{DuePlace, Dues, check_due_row, due_row};
pub use kinds::{EventKind, NameFault, check_name};
pub use lane::{LaneStats, Lanes};
pub use occasion::Occasion;
pub(crate) use occasion::carried;
pub(crate) use queue::{Cause, Happening, Told, check_row};
pub use settings::{EventFault, target_row};

use crate::record::Metadata;
use crate::setting_cache::Setting;

/// What of a bucket's events goes where, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Notification {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub rules: Vec<Rule>,
}

/// One configuration.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Rule {
    #[prost(string, tag = "1")]
    pub id: String,
    /// [`Service`].
    #[prost(uint32, tag = "2")]
    pub service: u32,
    /// As it was named.
    #[prost(string, tag = "3")]
    pub arn: String,
    /// The target that it means.
    #[prost(string, tag = "4")]
    pub target: String,
    /// S3's names, as they were said.
    #[prost(string, repeated, tag = "5")]
    pub events: Vec<String>,
    /// Absent if nothing was said.
    #[prost(string, optional, tag = "6")]
    pub prefix: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub suffix: Option<String>,
}

/// As what AWS's clients name a target. It makes no difference. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Topic = 1,
    Queue = 2,
    Function = 3,
}

impl Service {
    pub const ALL: [Service; 3] = [Service::Topic, Service::Queue, Service::Function];
}

impl Rule {
    /// What is not known any more is a queue.
    pub fn service(&self) -> Service {
        let known = Service::ALL.into_iter().find(|service| *service as u32 == self.service);
        known.unwrap_or(Service::Queue)
    }

    fn wants(&self, kind: EventKind, key: &str) -> bool {
        key.starts_with(self.prefix())
            && key.ends_with(self.suffix())
            && self.events.iter().any(|name| kind.is_named(name))
    }
}

impl Notification {
    /// The rule that an event goes by. There is never a second one, as configurations
    /// that overlap are refused.
    fn rule(&self, kind: EventKind, key: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.wants(kind, key))
    }
}

impl Setting for Notification {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}

/// An event that waits for its delivery, as it is stored. It says all that its message
/// needs: its bucket and its configuration may be gone by then.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EventRecord {
    /// [`EventKind`].
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint64, tag = "2")]
    pub at_ms: u64,
    #[prost(string, tag = "3")]
    pub target: String,
    /// The configuration's.
    #[prost(string, tag = "4")]
    pub rule_id: String,
    #[prost(string, tag = "5")]
    pub bucket: String,
    #[prost(uint64, tag = "6")]
    pub owner_uin: u64,
    #[prost(string, tag = "7")]
    pub region: String,
    /// Absent where nothing is left of the object.
    #[prost(uint64, optional, tag = "8")]
    pub size: Option<u64>,
    /// Without quotes; empty where nothing is left.
    #[prost(string, tag = "9")]
    pub etag: String,
    /// Empty in a bucket that keeps no versions, and for the `null` version.
    #[prost(string, tag = "10")]
    pub version: String,
    /// Who did it; empty if nobody signed.
    #[prost(string, tag = "11")]
    pub principal: String,
    /// Of the server's own work.
    #[prost(bool, tag = "12")]
    pub by_server: bool,
    #[prost(string, tag = "13")]
    pub source_ip: String,
    #[prost(string, tag = "14")]
    pub request_id: String,
    #[prost(string, tag = "15")]
    pub second_id: String,
    /// The class, or the access tier, that the object is in now, where that is the event;
    /// of the end of a restore the class.
    #[prost(string, tag = "16")]
    pub destination: String,
    /// What clients have said about the object, where the target's messages say it and
    /// something is left of it.
    #[prost(message, optional, tag = "17")]
    pub metadata: Option<Metadata>,
    /// Until when what was restored can be read; 0 for no end, and where that is not the
    /// event.
    #[prost(uint64, tag = "18")]
    pub until_ms: u64,
}

impl EventRecord {
    pub fn kind(&self) -> Option<EventKind> {
        EventKind::from_number(self.kind)
    }
}

/// Beside the events of a key while there are any: the number of the last.
#[derive(Clone, PartialEq, Message)]
pub struct QueueHead {
    #[prost(fixed64, tag = "1")]
    pub last: u64,
}
