//! NATS: each message is published to a stream of JetStream, acknowledged when the stream
//! has stored it.
//!
//! Plain subjects promise nothing to whoever is not listening at that moment, so a subject
//! that no stream takes does not take messages either.

use std::sync::Arc;

use async_nats::connection::State;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::message::PublishMessage;
use async_nats::{ConnectOptions, Event};
use async_trait::async_trait;
use costrel_core::events::{DELIVERY_MAX, Undelivered};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::address::Scheme;
use crate::tls::{self, TlsOptions};
use crate::{Login, Parcel, Sender, whole};

const SCHEME: Scheme = Scheme { plain: ("nats", 4222), secure: ("tls", 4222), has_clusters: true };

#[derive(Clone)]
pub struct NatsOptions {
    /// `nats://` or `tls://`, with one server of a cluster or several.
    pub url: String,
    /// One that a stream takes.
    pub subject: String,
    pub access: NatsAccess,
    pub tls: TlsOptions,
}

#[derive(Clone)]
pub enum NatsAccess {
    Free,
    Login(Login),
    Token(String),
}

pub(crate) struct Nats {
    servers: Vec<String>,
    subject: String,
    options: ConnectOptions,
    /// One connection for all: what is sent over it arrives in order, and it is made
    /// again by itself.
    stream: OnceCell<Context>,
    trouble: Arc<Trouble>,
}

/// What servers have said since the last failure, or why none is there.
#[derive(Default)]
struct Trouble(Mutex<Option<String>>);

impl Nats {
    pub fn new(options: NatsOptions, name: &str) -> Result<Nats, String> {
        let address = SCHEME.parse(&options.url)?;
        let (scheme, _) = if address.is_secure { SCHEME.secure } else { SCHEME.plain };
        let server = |(host, port): &(String, u16)| format!("{scheme}://{host}:{port}");
        let subject = options.subject;
        let is_plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"*>".contains(&b))
        };
        if !subject.split('.').all(is_plain) || subject.starts_with('$') {
            return Err(format!("'{subject}' is no subject to publish to"));
        }
        let trouble = Arc::new(Trouble::default());
        let heard = trouble.clone();
        let connect = ConnectOptions::new()
            .name(name)
            .connection_timeout(DELIVERY_MAX)
            .event_callback(move |event| {
                heard.hear(&event);
                async {}
            });
        let connect = match options.access {
            NatsAccess::Free => connect,
            NatsAccess::Login(login) => connect.user_and_password(login.user, login.password),
            NatsAccess::Token(token) => connect.token(token),
        };
        let connect = match address.is_secure {
            false => connect,
            true => connect.require_tls(true).tls_client_config(tls::config(&options.tls)?),
        };
        let servers = address.servers.iter().map(server).collect();
        Ok(Nats { servers, subject, options: connect, stream: OnceCell::new(), trouble })
    }

    async fn connect(&self) -> Result<Context, Undelivered> {
        let client = self.options.clone().connect(&self.servers).await;
        let client = client.map_err(|error| Undelivered(whole(&error)))?;
        // How long an answer may take is said by the target.
        let stream = async_nats::jetstream::context::ContextBuilder::new().timeout(DELIVERY_MAX);
        Ok(stream.build(client))
    }
}

impl Trouble {
    fn hear(&self, event: &Event) {
        let said = match event {
            Event::ServerError(error) => error.to_string(),
            Event::ClientError(error) => error.to_string(),
            Event::Disconnected => "the connection is lost".to_owned(),
            _ => return,
        };
        *self.0.lock() = Some(said);
    }

    fn instead_of(&self, why: String) -> Undelivered {
        let heard = self.0.lock().take();
        Undelivered(match heard {
            Some(heard) => format!("{why} ({heard})"),
            None => why,
        })
    }
}

#[async_trait]
impl Sender for Nats {
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), Undelivered> {
        let stream = self.stream.get_or_try_init(|| self.connect()).await?;
        if stream.client().connection_state() != State::Connected {
            // What waited for a connection could arrive long after it was given up.
            return Err(self.trouble.instead_of("there is no connection".into()));
        }
        // A stream drops what it has had within its window.
        let message = PublishMessage::build().payload(parcel.message).message_id(parcel.id);
        let sent = async { stream.send_publish(self.subject.clone(), message).await?.await };
        sent.await.map(|_| ()).map_err(|error| self.trouble.instead_of(whole(&error)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn options(url: &str, subject: &str) -> NatsOptions {
        let (url, subject) = (url.to_owned(), subject.to_owned());
        NatsOptions { url, subject, access: NatsAccess::Free, tls: TlsOptions::default() }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        assert!(Nats::new(options("nats://a:1,b:2", "objects.events"), "n").is_ok());
        assert!(Nats::new(options("ws://a", "s"), "n").is_err());
        for subject in ["", ".", "a..b", "a.*", "a.>", "a b", "$SYS.x", "a."] {
            let error = Nats::new(options("nats://a", subject), "n").err().unwrap();
            assert!(error.contains("no subject"), "{subject}: {error}");
        }
    }

    #[tokio::test]
    async fn nobody_there() {
        let nats = Nats::new(options("nats://127.0.0.1:1", "s"), "n").unwrap();
        let parcel =
            Parcel { bucket: "b", key: "k", id: "1".into(), message: Bytes::from_static(b"{}") };
        let error = nats.send(parcel).await.unwrap_err();
        assert!(error.0.contains("refused"), "{error}");
    }
}
