//! MQTT 5: each message is published with quality of service 1, acknowledged by the
//! broker's PUBACK.
//!
//! Version 3.1.1 has no way to say that a client may not publish: its brokers acknowledge
//! what they drop.

mod session;

use std::sync::Arc;

use async_trait::async_trait;
use costrel_core::events::Undelivered;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use self::session::{Session, Stream};
use crate::address::Scheme;
use crate::tls::{self, TlsOptions};
use crate::{Login, Parcel, Sender};

const SCHEME: Scheme =
    Scheme { plain: ("mqtt", 1883), secure: ("mqtts", 8883), has_clusters: false };

#[derive(Clone)]
pub struct MqttOptions {
    /// `mqtt://` or `mqtts://`.
    pub url: String,
    pub topic: String,
    pub login: Option<Login>,
    pub tls: TlsOptions,
}

pub(crate) struct Mqtt {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    topic: String,
    login: Option<Login>,
    client: String,
    /// The connection, by which messages go in the order in which they were handed over.
    session: Mutex<Option<Arc<Session>>>,
}

impl Mqtt {
    pub fn new(options: MqttOptions, name: &str) -> Result<Mqtt, String> {
        let address = SCHEME.parse(&options.url)?;
        let (host, port) = address.servers.into_iter().next().expect("there is one");
        let host = host.trim_matches(['[', ']']).to_owned();
        let topic = options.topic;
        let is_long = topic.len() > usize::from(u16::MAX);
        if topic.is_empty() || is_long || topic.starts_with('$') || topic.contains(['+', '#', '\0'])
        {
            return Err(format!("'{topic}' is no topic to publish to"));
        }
        let tls = match address.is_secure {
            false => None,
            true => Some(connector(&host, tls::config(&options.tls)?)?),
        };
        // Brokers end the older of two connections of one name.
        let client = format!("{name}-{:016x}", rand::random::<u64>());
        let (login, session) = (options.login, Mutex::default());
        Ok(Mqtt { host, port, tls, topic, login, client, session })
    }

    async fn session(&self) -> Result<Arc<Session>, Undelivered> {
        // Who comes meanwhile waits for the same connection.
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref().filter(|it| it.is_open()) {
            return Ok(open.clone());
        }
        *session = None;
        let stream = self.connect().await.map_err(|error| Undelivered(error.to_string()))?;
        let login = self.login.as_ref();
        let opened = Arc::new(Session::open(stream, &self.client, login, &self.topic).await?);
        Ok(session.insert(opened).clone())
    }

    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((tls, name)) => Box::new(tls.connect(name.clone(), stream).await?),
        })
    }
}

fn connector(
    host: &str,
    config: ClientConfig,
) -> Result<(TlsConnector, ServerName<'static>), String> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| format!("{host} is no name that a certificate could have"))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

#[async_trait]
impl Sender for Mqtt {
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), Undelivered> {
        self.session().await?.send(parcel.message).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_target_is_refused() {
        let mqtt = |url: &str, topic: &str| {
            let (url, topic) = (url.to_owned(), topic.to_owned());
            Mqtt::new(MqttOptions { url, topic, login: None, tls: TlsOptions::default() }, "n")
        };
        assert!(mqtt("mqtt://h", "objects/events").is_ok());
        assert!(mqtt("mqtts://[::1]:8884", "t").is_ok());
        for url in ["tcp://h", "mqtt://a,b", "mqtt://u:p@h"] {
            assert!(mqtt(url, "t").err().unwrap().contains("its URL is not"), "{url}");
        }
        let long = "x".repeat(65_536);
        for topic in ["", "a/#", "a/+/b", "$SYS/x", &long] {
            assert!(mqtt("mqtt://h", topic).err().unwrap().contains("no topic"), "{topic}");
        }
    }
}
