//! Configuration: one TOML file, each of whose keys is a flag as well. A flag
//! (or its environment variable) wins over the file, the file over the default.

mod docs;
mod keys;
mod targets;
mod values;

use std::path::{Path, PathBuf};

pub use docs::settings_markdown;
pub use keys::{Config, Given};
pub use targets::TargetError;
pub use values::{ByteSize, Dialect, Durability, EngineKind, LogFormat, LogLevel, Purpose, Span};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {text}")]
    Syntax { path: PathBuf, text: String },
    #[error("{path}: unknown key '{key}'{}", did_you_mean(.nearest))]
    UnknownKey { path: PathBuf, key: String, nearest: Option<&'static str> },
    #[error("{0}")]
    Contradiction(&'static str),
    #[error("tiers: there is no place '{0}' in places")]
    NoPlace(String),
    #[error(transparent)]
    Target(#[from] TargetError),
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}

/// The settings in force, from the command line and the file.
pub fn load(given: Given, file: Option<&Path>) -> Result<Config, ConfigError> {
    let from_file = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            parse(&text, path)?
        }
        None => Given::default(),
    };
    let config = given.or(from_file);
    check(&config)?;
    Ok(config)
}

/// The one key that is a table of its own.
const TABLE: &str = "events";

fn parse(text: &str, path: &Path) -> Result<Given, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        text: error.to_string(),
    };
    let table: toml::Table = text.parse().map_err(syntax)?;
    let is_unknown =
        |key: &&String| *key != TABLE && keys::KEYS.iter().all(|known| known.name != **key);
    if let Some(key) = table.keys().find(is_unknown) {
        let (path, key) = (path.to_owned(), key.clone());
        return Err(ConfigError::UnknownKey { path, nearest: nearest_name(&key), key });
    }
    toml::from_str(text).map_err(syntax)
}

/// The known key that the reader most likely meant, if any is near.
fn nearest_name(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let names = keys::KEYS.iter().map(|known| known.name);
    let scored = names.map(|name| (strsim::jaro_winkler(&key, name), name));
    let (score, name) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.75).then_some(name)
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let contradiction = |text| Err(ConfigError::Contradiction(text));
    if config.tls_cert.is_some() != config.tls_key.is_some() {
        return contradiction("tls_cert and tls_key are set together or not at all");
    }
    if config.tls_listen.is_some() && config.tls_cert.is_none() {
        return contradiction("tls_listen needs tls_cert and tls_key");
    }
    if config.rados_op_timeout.0 < std::time::Duration::from_secs(1) {
        return contradiction("rados_op_timeout is at least 1s");
    }
    if config.rados_shard_rows.0 < 100 {
        return contradiction("rados_shard_rows is at least 100");
    }
    if config.max_connections.0 == 0 {
        return contradiction("max_connections is at least 1");
    }
    if config.lifecycle_scan_rate.0 == 0 || config.lifecycle_end_rate.0 == 0 {
        return contradiction("lifecycle_scan_rate and lifecycle_end_rate are at least 1");
    }
    if config.lifecycle_move_rate.0 == 0 {
        return contradiction("lifecycle_move_rate is at least 1");
    }
    if config.day_seconds.0 == 0 {
        return contradiction("day_seconds is at least 1");
    }
    for (_, tier) in &config.tiers.0 {
        let known = |place: &str| config.places.0.iter().any(|(name, _)| name == place);
        if let Some(place) = tier.place.as_deref().filter(|place| !known(place)) {
            return Err(ConfigError::NoPlace(place.to_owned()));
        }
    }
    config.events.check()?;
    if config.events_at_once.0 == 0 || config.events_at_once.0 > 256 {
        return contradiction("events_at_once is 1 to 256");
    }
    if config.memory.0 < 64 << 20 {
        return contradiction("memory is at least 64MiB");
    }
    if config.header_size.0 < 8 << 10 {
        return contradiction("header_size is at least 8KiB");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::values::ByteSize;
    use super::*;

    fn parse_text(text: &str) -> Result<Config, ConfigError> {
        let config = Given::default().or(parse(text, Path::new("costrel.toml"))?);
        check(&config)?;
        Ok(config)
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = parse_text("").unwrap();
        assert_eq!(config.data_dir, Path::new("./costrel-data"));
        assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
        assert_eq!(config.console_listen.to_string(), "127.0.0.1:9001");
        assert_eq!(config.durability, Durability::Full);
        assert!(config.domains.0.is_empty() && config.appid.is_none());
    }

    #[test]
    fn values_are_read_from_strings_numbers_and_arrays() {
        let config = parse_text(
            "memory = 134217728\nscrub_rate = '1MiB'\nmax_connections = 7\nappid = 1250000000\n\
             domains = ['example.com', 'cos:cos.example.com']\nowner_uin = '100000000001'",
        )
        .unwrap();
        assert_eq!(config.memory, ByteSize(128 << 20));
        assert_eq!(config.scrub_rate, ByteSize(1 << 20));
        assert_eq!(config.max_connections.0, 7);
        assert_eq!(config.appid.unwrap().get(), 1_250_000_000);
        assert_eq!(config.domains.0.len(), 2);
        assert_eq!(config.domains.0[1].purpose, Purpose::Rest(Some(Dialect::Cos)));
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let flags = Given { listen: Some("127.0.0.1:1".parse().unwrap()), ..Given::default() };
        let file = parse("listen = '127.0.0.1:2'\nregion = 'ap-test'", Path::new("f")).unwrap();
        let config = flags.or(file);
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.region.0, "ap-test");
    }

    #[track_caller]
    fn check_refusal(text: &str, expected: &str) {
        let message = parse_text(text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_name() {
        check_refusal("dta_dir = 'x'", "unknown key 'dta_dir'; did you mean 'data_dir'?");
        check_refusal("data-dir = 'x'", "did you mean 'data_dir'?");
        check_refusal("drain-timout = '1s'", "did you mean 'drain_timeout'?");
        check_refusal("[listen]\nport = 1", "listen");
        let message = parse_text("xyzzy = 1").unwrap_err().to_string();
        assert!(message.ends_with("unknown key 'xyzzy'"), "{message}");
    }

    #[test]
    fn bad_values_and_contradictions_are_refused() {
        check_refusal("memory = '12 parsecs'", "is not a size");
        check_refusal("drain_timeout = 5", "is not a time");
        check_refusal("owner_uin = 12", "exactly 12 digits");
        check_refusal("memory = true", "expected a string, an integer");
        check_refusal("tls_cert = 'c.pem'", "set together");
        check_refusal("tls_listen = '127.0.0.1:9443'", "needs tls_cert");
        check_refusal("max_connections = 0", "at least 1");
        check_refusal("rados_op_timeout = '10ms'", "at least 1s");
        check_refusal("lifecycle_end_rate = 0", "at least 1");
        check_refusal("day_seconds = 0", "at least 1");
        check_refusal("rados_shard_rows = 99", "at least 100");
        check_refusal("events_at_once = 0", "is 1 to 256");
        check_refusal("tiers = ['ARCHIVE=cold']", "no place 'cold'");
        check_refusal("tiers = ['COLD=main']", "no such storage class");
        check_refusal("places = 'cold'", "is not a place");
        check_refusal("engine = 'floppy'", "is none of embedded, rados");
    }
}
