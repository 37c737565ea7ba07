//! `[[events.target]]`: whom events of buckets may be told to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use costrel_core::events::DELIVERY_MAX;
use costrel_events::{
    Form, KafkaMechanism, KafkaOptions, Login, MqttOptions, NatsAccess, NatsOptions, Target,
    TlsOptions, Way, WebhookOptions,
};
use serde::{Deserialize, Deserializer};

use super::values::Span;

const TIMEOUT: Duration = Duration::from_secs(5);
const NAME_BYTES_MAX: usize = 64;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    #[serde(default)]
    pub target: Vec<TargetTable>,
}

/// One target as the file has it. Some keys are of some kinds alone ([`TargetTable::keys`]).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetTable {
    name: String,
    kind: Kind,
    url: String,
    #[serde(default)]
    form: FormName,
    timeout: Option<Timeout>,
    authorization_file: Option<PathBuf>,
    authorization_env: Option<String>,
    subject: Option<String>,
    topic: Option<String>,
    mechanism: Option<Mechanism>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    ca_file: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Webhook,
    Nats,
    Mqtt,
    Kafka,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mechanism {
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormName {
    #[default]
    S3,
    Cos,
}

#[derive(Clone, Copy, Debug)]
struct Timeout(Duration);

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span: Span = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Timeout(span.0))
    }
}

/// Why a target is refused.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("events.target: '{0}' is not a name: up to 64 letters, digits, hyphens, underscores")]
    Name(String),
    #[error("events.target: there are two named {0}")]
    Twice(String),
    #[error("events.target {0}: {1}")]
    Contradiction(String, String),
    #[error("events.target {target}: {place}: {why}")]
    Secret { target: String, place: String, why: String },
}

impl Events {
    pub fn check(&self) -> Result<(), TargetError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        for (number, target) in self.target.iter().enumerate() {
            let name = &target.name;
            if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
                return Err(TargetError::Name(name.clone()));
            }
            if self.target[..number].iter().any(|other| other.name == *name) {
                return Err(TargetError::Twice(name.clone()));
            }
            target.check().map_err(|why| TargetError::Contradiction(name.clone(), why))?;
        }
        Ok(())
    }

    /// The targets with their secrets.
    pub fn targets(&self, env: crate::identity::Env<'_>) -> Result<Vec<Target>, TargetError> {
        self.target.iter().map(|table| table.target(env)).collect()
    }
}

impl TargetTable {
    /// Whether a key is there, and the kinds that have it.
    fn keys(&self) -> [(&'static str, bool, &'static [Kind]); 10] {
        use Kind::{Kafka, Mqtt, Nats, Webhook};
        [
            ("authorization_file", self.authorization_file.is_some(), &[Webhook]),
            ("authorization_env", self.authorization_env.is_some(), &[Webhook]),
            ("subject", self.subject.is_some(), &[Nats]),
            ("topic", self.topic.is_some(), &[Mqtt, Kafka]),
            ("mechanism", self.mechanism.is_some(), &[Kafka]),
            ("user", self.user.is_some(), &[Nats, Mqtt, Kafka]),
            ("password_file", self.password_file.is_some(), &[Nats, Mqtt, Kafka]),
            ("password_env", self.password_env.is_some(), &[Nats, Mqtt, Kafka]),
            ("token_file", self.token_file.is_some(), &[Nats]),
            ("token_env", self.token_env.is_some(), &[Nats]),
        ]
    }

    fn check(&self) -> Result<(), String> {
        for (key, is_set, kinds) in self.keys() {
            if is_set && !kinds.contains(&self.kind) {
                return Err(format!("{key} is nothing that this kind of target has"));
            }
        }
        let secrets = [
            ("authorization", &self.authorization_file, &self.authorization_env),
            ("password", &self.password_file, &self.password_env),
            ("token", &self.token_file, &self.token_env),
        ];
        for (name, file, variable) in secrets {
            if file.is_some() && variable.is_some() {
                return Err(format!("{name}_file and {name}_env are both set"));
            }
        }
        let contradiction = |why: &str| Err(why.to_owned());
        let has_password = self.password_file.is_some() || self.password_env.is_some();
        if self.user.is_some() != has_password {
            return contradiction("user and its password are set together or not at all");
        }
        if self.mechanism.is_some() && self.user.is_none() {
            return contradiction("mechanism is set without a user");
        }
        if self.user.is_some() && (self.token_file.is_some() || self.token_env.is_some()) {
            return contradiction("a user and a token are both set");
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            return contradiction("client_cert and client_key are set together or not at all");
        }
        let timeout = self.timeout.map_or(TIMEOUT, |timeout| timeout.0);
        if timeout > DELIVERY_MAX || timeout < Duration::from_millis(100) {
            return contradiction("timeout is 100ms to 8s");
        }
        Ok(())
    }

    fn target(&self, env: crate::identity::Env<'_>) -> Result<Target, TargetError> {
        let tls = TlsOptions {
            authorities: self.ca_file.clone(),
            identity: self.client_cert.clone().zip(self.client_key.clone()),
        };
        let secret = |file: &Option<PathBuf>, variable: &Option<String>| {
            self.secret(env, file.as_deref(), variable.as_deref())
        };
        let password = secret(&self.password_file, &self.password_env)?;
        let login = self.user.clone().zip(password);
        let login = login.map(|(user, password)| Login { user, password });
        let url = self.url.clone();
        let way = match self.kind {
            Kind::Webhook => {
                let authorization = secret(&self.authorization_file, &self.authorization_env)?;
                Way::Webhook(WebhookOptions { url, authorization, tls })
            }
            Kind::Nats => {
                let token = secret(&self.token_file, &self.token_env)?;
                let access = match (login, token) {
                    (Some(login), _) => NatsAccess::Login(login),
                    (None, Some(token)) => NatsAccess::Token(token),
                    (None, None) => NatsAccess::Free,
                };
                let subject = self.needed("subject", &self.subject)?;
                Way::Nats(NatsOptions { url, subject, access, tls })
            }
            Kind::Mqtt => {
                let topic = self.needed("topic", &self.topic)?;
                Way::Mqtt(MqttOptions { url, topic, login, tls })
            }
            Kind::Kafka => {
                let topic = self.needed("topic", &self.topic)?;
                let mechanism = match self.mechanism {
                    None | Some(Mechanism::Plain) => KafkaMechanism::Plain,
                    Some(Mechanism::ScramSha256) => KafkaMechanism::ScramSha256,
                    Some(Mechanism::ScramSha512) => KafkaMechanism::ScramSha512,
                };
                let login = login.map(|login| (mechanism, login));
                Way::Kafka(KafkaOptions { url, topic, login, tls })
            }
        };
        let form = match self.form {
            FormName::S3 => Form::S3,
            FormName::Cos => Form::Cos,
        };
        let timeout = self.timeout.map_or(TIMEOUT, |timeout| timeout.0);
        Ok(Target { name: self.name.clone(), form, timeout, way })
    }

    fn needed(&self, key: &str, value: &Option<String>) -> Result<String, TargetError> {
        let missing = || TargetError::Contradiction(self.name.clone(), format!("{key} is missing"));
        value.clone().ok_or_else(missing)
    }

    fn secret(
        &self,
        env: crate::identity::Env<'_>,
        file: Option<&Path>,
        variable: Option<&str>,
    ) -> Result<Option<String>, TargetError> {
        let failed = |place: String, why: String| {
            Err(TargetError::Secret { target: self.name.clone(), place, why })
        };
        match (file, variable) {
            (Some(file), _) => match std::fs::read_to_string(file) {
                Ok(text) => Ok(Some(text.trim().to_owned())),
                Err(error) => failed(file.display().to_string(), error.to_string()),
            },
            (None, Some(variable)) => match env(variable) {
                Some(text) => Ok(Some(text)),
                None => failed(variable.to_owned(), "it is not set".into()),
            },
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Events, String> {
        let table: Events = toml::from_str(text).map_err(|error| error.to_string())?;
        table.check().map_err(|error| error.to_string())?;
        Ok(table)
    }

    const ONE: &str = "[[target]]\nname = 'a'\nkind = 'webhook'\nurl = 'http://127.0.0.1/'\n";

    #[test]
    fn targets_and_their_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "Bearer x\n").unwrap();
        let by_file = format!("{ONE}authorization_file = '{}'\ntimeout = '2s'", file.display());
        let found = read(&by_file).unwrap().targets(&|_| None).unwrap();
        let Way::Webhook(hook) = &found[0].way else { panic!("another kind") };
        assert_eq!(
            (hook.url.as_str(), hook.authorization.as_deref()),
            ("http://127.0.0.1/", Some("Bearer x"))
        );
        assert_eq!(found[0].timeout, Duration::from_secs(2));
        let by_env = read(&format!("{ONE}authorization_env = 'TOKEN'")).unwrap();
        let env = |name: &str| (name == "TOKEN").then(|| "Bearer y".to_owned());
        let found = by_env.targets(&env).unwrap();
        let Way::Webhook(hook) = &found[0].way else { panic!("another kind") };
        assert_eq!(hook.authorization.as_deref(), Some("Bearer y"));
        let missing = by_env.targets(&|_| None).err().unwrap().to_string();
        assert_eq!(missing, "events.target a: TOKEN: it is not set");
        assert!(read("").unwrap().targets(&|_| None).unwrap().is_empty());
    }

    const NATS: &str = "[[target]]\nname = 'a'\nkind = 'nats'\nurl = 'nats://h'\nsubject = 's'\n";

    #[test]
    fn ways_to_be_let_in() {
        let env = |name: &str| (name == "SECRET").then(|| "x".to_owned());
        let access = |more: &str| {
            let found = read(&format!("{NATS}{more}")).unwrap().targets(&env).unwrap();
            let Way::Nats(nats) = found.into_iter().next().unwrap().way else { panic!() };
            nats.access
        };
        assert!(matches!(access(""), NatsAccess::Free));
        assert!(matches!(access("token_env = 'SECRET'"), NatsAccess::Token(it) if it == "x"));
        let login = access("user = 'u'\npassword_env = 'SECRET'");
        assert!(matches!(login, NatsAccess::Login(it) if (it.user == "u" && it.password == "x")));
        let nameless = read(&NATS.replace("subject = 's'", "")).unwrap();
        let error = nameless.targets(&env).err().unwrap().to_string();
        assert_eq!(error, "events.target a: subject is missing");
    }

    #[test]
    fn topics() {
        let env = |_: &str| Some("x".to_owned());
        let login = "user = 'u'\npassword_env = 'P'\n";
        let way = |kind: &str, more: &str| {
            let text = NATS
                .replace("'nats'", &format!("'{kind}'"))
                .replace("subject = 's'", "topic = 't'");
            read(&format!("{text}{more}")).unwrap().targets(&env).unwrap().remove(0).way
        };
        let Way::Mqtt(mqtt) = way("mqtt", login) else { panic!() };
        assert_eq!((mqtt.topic.as_str(), mqtt.login.unwrap().password.as_str()), ("t", "x"));
        let mechanism = |more: &str| {
            let Way::Kafka(kafka) = way("kafka", more) else { panic!() };
            kafka.login.map(|(mechanism, _)| mechanism)
        };
        assert_eq!(mechanism(""), None);
        assert_eq!(mechanism(login), Some(KafkaMechanism::Plain));
        let scram = format!("{login}mechanism = 'scram-sha-512'");
        assert_eq!(mechanism(&scram), Some(KafkaMechanism::ScramSha512));
    }

    #[test]
    fn bad_targets() {
        for (text, expected) in [
            (ONE.replace("'a'", "'a b'"), "'a b' is not a name"),
            (ONE.replace("'a'", "''"), "'' is not a name"),
            (ONE.repeat(2), "two named a"),
            (ONE.replace("webhook", "pigeon"), "pigeon"),
            (ONE.replace("url", "uri"), "uri"),
            (format!("{ONE}timeout = '9s'"), "100ms to 8s"),
            (format!("{ONE}timeout = '5'"), "is not a time"),
            (format!("{ONE}client_cert = 'c'"), "set together"),
            (format!("{ONE}authorization_env = 'A'\nauthorization_file = 'b'"), "both set"),
            (format!("{ONE}form = 'swift'"), "swift"),
            (format!("{ONE}subject = 's'"), "subject is nothing that"),
            (format!("{NATS}authorization_env = 'A'"), "authorization_env is nothing that"),
            (format!("{NATS}mechanism = 'plain'"), "mechanism is nothing that"),
            (format!("{NATS}topic = 't'"), "topic is nothing that"),
            (NATS.replace("'nats'", "'kafka'"), "subject is nothing that"),
            (format!("{NATS}user = 'u'"), "user and its password"),
            (format!("{NATS}password_env = 'P'"), "user and its password"),
            (format!("{NATS}token_env = 'T'\ntoken_file = 't'"), "both set"),
            (format!("{NATS}user = 'u'\npassword_env = 'P'\ntoken_env = 'T'"), "both set"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
