//! How events of objects reach their targets.
//!
//! The core decides what is told, keeps it until it has arrived and says in which order
//! ([`costrel_core::events`]). Here a message gets its form ([`form`]), S3's or COS's, and
//! a way: one module for each kind of target, behind one trait ([`Sender`]). A kind is a
//! client library with its own connections; none knows what a message says.

mod form;
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
}

/// Why a target's description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {target}: {why}")]
pub struct BadTarget {
    pub target: String,
    pub why: String,
}

/// Sends messages to one target.
#[async_trait]
trait Sender: Send + Sync {
    /// Returns when the target has acknowledged the message. Messages of one `key` are
    /// sent one after the other.
    async fn send(&self, key: &str, message: Bytes) -> Result<(), Undelivered>;
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
        let mut lines = BTreeMap::new();
        for Target { name, form, timeout, way } in targets {
            let sender: Result<Box<dyn Sender>, String> = match way {
                Way::Webhook(options) => webhook::Webhook::new(options, &agent).map(boxed),
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

    async fn deliver(&self, target: &str, dispatch: Dispatch<'_>) -> Result<(), Undelivered> {
        let missing = || Undelivered(format!("there is no target {target}"));
        let line = self.lines.get(target).ok_or_else(missing)?;
        let key = match dispatch {
            Dispatch::Event { key, .. } => key,
            Dispatch::Test { bucket, .. } => bucket,
        };
        let message = line.form.message(dispatch).ok_or_else(|| {
            Undelivered("this version does not know what has happened".to_owned())
        })?;
        let sending = line.sender.send(key, message.into());
        let sent = tokio::time::timeout(line.timeout, sending).await;
        sent.unwrap_or_else(|_| Err(Undelivered("it takes too long".into())))
    }
}
