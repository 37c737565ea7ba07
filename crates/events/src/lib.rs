//! How events of objects reach their targets.
//!
//! The core decides what is told, keeps it until it has arrived and says in which order
//! ([`costrel_core::events`]). Here a message gets its form ([`form`]), S3's or COS's, and
//! a way: one module for each kind of target, behind one trait ([`Sender`]). A kind is a
//! client library with its own connections; none knows what a message says.

mod address;
mod form;
mod kafka;
mod mqtt;
mod nats;
mod tls;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::events::{Courier, Dispatch, Undelivered};

pub use form::Form;
pub use kafka::{KafkaMechanism, KafkaOptions};
pub use mqtt::MqttOptions;
pub use nats::{NatsAccess, NatsOptions};
pub use tls::TlsOptions;
pub use webhook::WebhookOptions;

/// A target as its operator describes it.
#[derive(Clone)]
pub struct Target {
    /// How configurations of buckets name it.
    pub name: String,
    pub form: Form,
    /// How long a message may take to be acknowledged.
    pub timeout: Duration,
    pub way: Way,
}

/// How a target is reached.
#[derive(Clone)]
pub enum Way {
    Webhook(WebhookOptions),
    Nats(NatsOptions),
    Mqtt(MqttOptions),
    Kafka(KafkaOptions),
}

/// Who a broker is told that it talks with.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// Why a target's description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {target}: {why}")]
pub struct BadTarget {
    pub target: String,
    pub why: String,
}

/// A message on its way.
struct Parcel<'a> {
    bucket: &'a str,
    /// Empty for a test.
    key: &'a str,
    /// The same at every try, and no other message's. Plain, whatever the key is.
    id: String,
    message: Bytes,
}

/// Sends messages to one target. It connects when there is something to send, and again
/// at the next message when that has failed; it keeps nothing that it could not send.
#[async_trait]
trait Sender: Send + Sync {
    /// Returns when the target has acknowledged the message. Messages of one key are sent
    /// one after the other. Dropping the future gives the message up.
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), Undelivered>;
}

struct Line {
    form: Form,
    timeout: Duration,
    sender: Box<dyn Sender>,
}

/// Carries messages to all targets of a process.
pub struct Post {
    lines: BTreeMap<String, Line>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines.keys()).finish()
    }
}

impl Post {
    /// Nobody is called before there is something to be told.
    pub fn new(targets: Vec<Target>, version: &str) -> Result<Arc<Post>, BadTarget> {
        let agent = format!("Costrel/{version}");
        // To brokers it is the name of a client.
        let client = "costrel";
        let mut lines = BTreeMap::new();
        for Target { name, form, timeout, way } in targets {
            let sender: Result<Box<dyn Sender>, String> = match way {
                Way::Webhook(options) => webhook::Webhook::new(options, &agent).map(boxed),
                Way::Nats(options) => nats::Nats::new(options, client).map(boxed),
                Way::Mqtt(options) => mqtt::Mqtt::new(options, client).map(boxed),
                Way::Kafka(options) => kafka::Kafka::new(options, client).map(boxed),
            };
            let sender = sender.map_err(|why| BadTarget { target: name.clone(), why })?;
            lines.insert(name, Line { form, timeout, sender });
        }
        Ok(Arc::new(Post { lines }))
    }
}

fn boxed(sender: impl Sender + 'static) -> Box<dyn Sender> {
    Box::new(sender)
}

#[async_trait]
impl Courier for Post {
    fn targets(&self) -> Vec<String> {
        self.lines.keys().cloned().collect()
    }

    fn wants_metadata(&self, target: &str) -> bool {
        self.lines.get(target).is_some_and(|line| line.form.wants_metadata())
    }

    async fn deliver(&self, target: &str, dispatch: Dispatch<'_>) -> Result<(), Undelivered> {
        let missing = || Undelivered(format!("there is no target {target}"));
        let line = self.lines.get(target).ok_or_else(missing)?;
        let message = line.form.message(dispatch).ok_or_else(|| {
            Undelivered("this version does not know what has happened".to_owned())
        })?;
        let message = message.into();
        let parcel = match dispatch {
            Dispatch::Event { event, key, sequence } => {
                let id = id(&event.bucket, key, sequence);
                Parcel { bucket: &event.bucket, key, id, message }
            }
            Dispatch::Test { bucket, request_id, .. } => {
                Parcel { bucket, key: "", id: request_id.to_owned(), message }
            }
        };
        let sending = line.sender.send(parcel);
        let sent = tokio::time::timeout(line.timeout, sending).await;
        sent.unwrap_or_else(|_| Err(Undelivered("it takes too long".into())))
    }
}

/// A key may have lines, and be long; numbers are unique within a key.
fn id(bucket: &str, key: &str, sequence: u64) -> String {
    let key = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let key = u128::from_be_bytes(*key.as_ref().first_chunk().expect("it is longer"));
    format!("{bucket}/{key:032x}/{sequence:016X}")
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say their cause themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_differ() {
        let one = id("b-1", "a\r\nNats-Rollup: all", 0xAB);
        assert!(one.starts_with("b-1/") && one.ends_with("/00000000000000AB"), "{one}");
        assert!(one.len() == 53 && one.bytes().all(|b| b.is_ascii_graphic()), "{one}");
        assert_ne!(one, id("b-1", "a", 0xAB));
    }
}
