//! Kafka: each message is one record, acknowledged when all replicas in sync have it.
//!
//! A record's key is `bucket/key`, and its partition the one that other clients' producers
//! choose for it ([`partition`]), so that whoever reads a partition sees each object's
//! events in order.

mod partition;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use costrel_core::events::Undelivered;
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::error::Error;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use rustls::ClientConfig;
use tokio::sync::{Mutex, OnceCell};

use crate::address::Scheme;
use crate::tls::{self, TlsOptions};
use crate::{Login, Parcel, Sender, whole};

const SCHEME: Scheme =
    Scheme { plain: ("kafka", 9092), secure: ("kafkas", 9093), has_clusters: true };
/// No answer of a broker to a producer is longer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Longest name of a topic. (Kafka.)
const TOPIC_BYTES_MAX: usize = 249;

#[derive(Clone)]
pub struct KafkaOptions {
    /// `kafka://` or `kafkas://`, with one broker to begin with or several.
    pub url: String,
    /// One that is there.
    pub topic: String,
    pub login: Option<(KafkaMechanism, Login)>,
    pub tls: TlsOptions,
}

/// How a password is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

pub(crate) struct Kafka {
    brokers: Vec<String>,
    topic: String,
    name: String,
    sasl: Option<SaslConfig>,
    tls: Option<Arc<ClientConfig>>,
    cluster: Mutex<Option<Arc<Cluster>>>,
    /// A record had no answer, or a bad one: nothing is known of the connections.
    is_in_doubt: AtomicBool,
}

struct Cluster {
    client: Client,
    partitions: Vec<(i32, OnceCell<PartitionClient>)>,
}

impl Kafka {
    pub fn new(options: KafkaOptions, name: &str) -> Result<Kafka, String> {
        let address = SCHEME.parse(&options.url)?;
        let topic = options.topic;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_path = topic == "." || topic == "..";
        if !(1..=TOPIC_BYTES_MAX).contains(&topic.len()) || !topic.bytes().all(plain) || is_path {
            return Err(format!("'{topic}' is no topic"));
        }
        let sasl = options.login.map(|(mechanism, login)| {
            let credentials = Credentials::new(login.user, login.password);
            match mechanism {
                KafkaMechanism::Plain => SaslConfig::Plain(credentials),
                KafkaMechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                KafkaMechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            }
        });
        let tls = match address.is_secure {
            false => None,
            true => Some(Arc::new(tls::config(&options.tls)?)),
        };
        let brokers = address.servers.iter().map(|(host, port)| format!("{host}:{port}"));
        Ok(Kafka {
            brokers: brokers.collect(),
            topic,
            name: name.to_owned(),
            sasl,
            tls,
            cluster: Mutex::default(),
            is_in_doubt: AtomicBool::new(false),
        })
    }

    async fn cluster(&self) -> Result<Arc<Cluster>, Undelivered> {
        // Who comes meanwhile waits for the same connection.
        let mut cluster = self.cluster.lock().await;
        if self.is_in_doubt.swap(false, Relaxed) {
            *cluster = None;
        }
        if let Some(known) = cluster.as_ref() {
            return Ok(known.clone());
        }
        Ok(cluster.insert(Arc::new(self.connect().await?)).clone())
    }

    async fn connect(&self) -> Result<Cluster, Undelivered> {
        // The queue tries again, in its own time.
        let once = BackoffConfig { deadline: Some(Duration::ZERO), ..BackoffConfig::default() };
        let mut builder = ClientBuilder::new(self.brokers.clone())
            .client_id(self.name.as_str())
            .max_message_size(ANSWER_BYTES_MAX)
            .backoff_config(once);
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(tls.clone());
        }
        if let Some(sasl) = &self.sasl {
            builder = builder.sasl_config(sasl.clone());
        }
        let client = builder.build().await.map_err(|error| undelivered(&error))?;
        let topics = client.list_topics().await.map_err(|error| undelivered(&error))?;
        let topic = topics.into_iter().find(|topic| topic.name == self.topic);
        let Some(topic) = topic.filter(|topic| !topic.partitions.is_empty()) else {
            return Err(Undelivered(format!("there is no topic {}", self.topic)));
        };
        let partitions = topic.partitions.into_iter().map(|it| (it, OnceCell::new())).collect();
        Ok(Cluster { client, partitions })
    }

    async fn produce(&self, cluster: &Cluster, key: String, message: Vec<u8>) -> Result<(), Error> {
        let at = partition::of(key.as_bytes(), cluster.partitions.len());
        let (number, cell) = &cluster.partitions[at];
        let unknown = UnknownTopicHandling::Error;
        let partition =
            cell.get_or_try_init(|| cluster.client.partition_client(&self.topic, *number, unknown));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let record = Record {
            key: Some(key.into_bytes()),
            value: Some(message),
            headers: Default::default(),
            timestamp: DateTime::from_timestamp_millis(now as i64).unwrap_or_default(),
        };
        partition.await?.produce(vec![record], Compression::NoCompression).await.map(|_| ())
    }
}

#[async_trait]
impl Sender for Kafka {
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), Undelivered> {
        let cluster = self.cluster().await?;
        let key = match parcel.key {
            "" => parcel.bucket.to_owned(),
            key => format!("{}/{key}", parcel.bucket),
        };
        // Also if this is given up before the answer is there.
        let doubt = Doubt(&self.is_in_doubt);
        let produced = self.produce(&cluster, key, parcel.message.to_vec()).await;
        produced.map_err(|error| undelivered(&error))?;
        std::mem::forget(doubt);
        Ok(())
    }
}

struct Doubt<'a>(&'a AtomicBool);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// What a broker says is enough; the library repeats the request besides, and speaks of
/// tries that it was told not to make.
fn undelivered(error: &Error) -> Undelivered {
    use rskafka::{BackoffError, ConnectionError};
    Undelivered(match error {
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. })
        | Error::Connection(ConnectionError::RetryFailed(BackoffError::DeadlineExceded {
            source,
            ..
        })) => source.to_string(),
        Error::ServerError { protocol_error, error_message: None, .. } => {
            protocol_error.to_string()
        }
        Error::ServerError { protocol_error, error_message: Some(message), .. } => {
            format!("{protocol_error}: {message}")
        }
        other => whole(other),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn kafka(url: &str, topic: &str) -> Result<Kafka, String> {
        let (url, topic) = (url.to_owned(), topic.to_owned());
        Kafka::new(KafkaOptions { url, topic, login: None, tls: TlsOptions::default() }, "n")
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let found = kafka("kafka://a,b:9094", "objects.events").unwrap();
        assert_eq!(found.brokers, ["a:9092", "b:9094"]);
        assert!(kafka("kafkas://a", "t").unwrap().tls.is_some());
        assert!(kafka("a:9092", "t").is_err());
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        for topic in ["", ".", "..", "a/b", "a b", "ü", &long] {
            assert!(kafka("kafka://a", topic).err().unwrap().contains("no topic"), "{topic}");
        }
    }

    #[tokio::test]
    async fn nobody_there() {
        let kafka = kafka("kafka://127.0.0.1:1", "t").unwrap();
        let parcel =
            Parcel { bucket: "b", key: "k", id: "1".into(), message: Bytes::from_static(b"{}") };
        let error = kafka.send(parcel).await.unwrap_err();
        assert!(error.0.contains("refused"), "{error}");
    }
}
