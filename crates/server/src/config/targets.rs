//! `[[events.target]]`: whom events of buckets may be told to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use costrel_core::events::DELIVERY_MAX;
use costrel_events::{Form, Target, TlsOptions, Way, WebhookOptions};
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

/// One target as the file has it.
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
    ca_file: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Webhook,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormName {
    #[default]
    S3,
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
    Contradiction(String, &'static str),
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
            let contradiction = |why| Err(TargetError::Contradiction(name.clone(), why));
            if target.client_cert.is_some() != target.client_key.is_some() {
                return contradiction("client_cert and client_key are set together or not at all");
            }
            if target.authorization_file.is_some() && target.authorization_env.is_some() {
                return contradiction("authorization_file and authorization_env are both set");
            }
            let timeout = target.timeout.map_or(TIMEOUT, |timeout| timeout.0);
            if timeout > DELIVERY_MAX || timeout < Duration::from_millis(100) {
                return contradiction("timeout is 100ms to 8s");
            }
        }
        Ok(())
    }

    /// The targets with their secrets.
    pub fn targets(&self, env: crate::identity::Env<'_>) -> Result<Vec<Target>, TargetError> {
        self.target.iter().map(|table| table.target(env)).collect()
    }
}

impl TargetTable {
    fn target(&self, env: crate::identity::Env<'_>) -> Result<Target, TargetError> {
        let tls = TlsOptions {
            authorities: self.ca_file.clone(),
            identity: self.client_cert.clone().zip(self.client_key.clone()),
        };
        let (file, variable) = (&self.authorization_file, &self.authorization_env);
        let authorization = self.secret(env, file.as_deref(), variable.as_deref())?;
        let way = match self.kind {
            Kind::Webhook => {
                Way::Webhook(WebhookOptions { url: self.url.clone(), authorization, tls })
            }
        };
        let form = match self.form {
            FormName::S3 => Form::S3,
        };
        let timeout = self.timeout.map_or(TIMEOUT, |timeout| timeout.0);
        Ok(Target { name: self.name.clone(), form, timeout, way })
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
        let Way::Webhook(hook) = &found[0].way;
        assert_eq!(
            (hook.url.as_str(), hook.authorization.as_deref()),
            ("http://127.0.0.1/", Some("Bearer x"))
        );
        assert_eq!(found[0].timeout, Duration::from_secs(2));
        let by_env = read(&format!("{ONE}authorization_env = 'TOKEN'")).unwrap();
        let env = |name: &str| (name == "TOKEN").then(|| "Bearer y".to_owned());
        let Way::Webhook(hook) = &by_env.targets(&env).unwrap()[0].way;
        assert_eq!(hook.authorization.as_deref(), Some("Bearer y"));
        let missing = by_env.targets(&|_| None).err().unwrap().to_string();
        assert_eq!(missing, "events.target a: TOKEN: it is not set");
        assert!(read("").unwrap().targets(&|_| None).unwrap().is_empty());
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
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
