//! The manual's page of settings, made from their definitions.

use super::keys::KEYS;

const HEAD: &str = "\
# Configuration

Costrel needs none: `costrel serve` keeps its data in `./costrel-data` and listens
on 127.0.0.1. What follows is made from the definitions in
`crates/server/src/config/keys.rs`; after changing them run
`COSTREL_UPDATE_DOCS=1 cargo test -p costrel docs`.

A setting is given in a TOML file (`costrel serve --config FILE`) under its name, or
as a flag: `data_dir = \"/srv/costrel\"` and `--data-dir /srv/costrel` say the same.
A flag wins over its environment variable, that over the file, and the file over the
default. A key that is not listed here is refused.

Sizes are written `4096`, `64KiB`, `8MB`, `2GiB`; times `500ms`, `30s`, `5m`, `1h`.
Secrets are given in files or environment variables, never as flags, which other
users of the machine can read.
";

/// The whole page.
pub fn settings_markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            page.push_str(&format!("\n## {section}\n"));
        }
        let default = match key.default {
            Some("") => "empty".to_owned(),
            Some(text) => format!("`{text}`"),
            None => "none".to_owned(),
        };
        let env = key.env.map(|env| format!(" Environment: `{env}`.")).unwrap_or_default();
        page.push_str(&format!(
            "\n### `{name}`\n\n{doc}\n\nDefault: {default}. Flag: `--{flag}`.{env}\n",
            name = key.name,
            doc = key.doc.trim(),
            flag = key.name.replace('_', "-"),
        ));
    }
    page.push_str(TAIL);
    page
}

const TAIL: &str = "
## Targets of events

Each `[[events.target]]` in the file is one that buckets' events may be told to;
`docs/operate/events.md` says what they are sent, and when. There is no flag for them.

| key | |
|---|---|
| `name` | how configurations of buckets name it: up to 64 letters, digits, hyphens and underscores |
| `kind` | `webhook`, `nats`, `mqtt` or `kafka` |
| `url` | where it is, see below |
| `form` | the form of its messages: `s3` (the default) or `cos` |
| `timeout` | how long it may take to acknowledge a message, `100ms` to `8s`; `5s` if not given |
| `authorization_file`, `authorization_env` | of a webhook: file, or environment variable, with the whole `Authorization` header of each request, such as `Bearer …` |
| `subject` | of NATS: what messages are published to; a stream must take it |
| `topic` | of MQTT and Kafka: the same; Kafka's must be there |
| `user`, with `password_file` or `password_env` | of NATS, MQTT and Kafka |
| `token_file`, `token_env` | of NATS, instead of a user |
| `mechanism` | of Kafka: how the password is shown, `plain` (the default), `scram-sha-256` or `scram-sha-512` |
| `ca_file` | PEM file of the authorities that its certificate may come from, instead of the system's |
| `client_cert`, `client_key` | PEM files of a certificate, and its key, that are shown to it |

| kind | `url` without TLS | with TLS |
|---|---|---|
| `webhook` | `http://host[:80]/path` | `https://host[:443]/path` |
| `nats` | `nats://host[:4222]`, more hosts of a cluster behind commas | `tls://…` |
| `mqtt` | `mqtt://host[:1883]` | `mqtts://host[:8883]` |
| `kafka` | `kafka://host[:9092]`, more brokers behind commas | `kafkas://host[:9093]…` |

A key that the kind does not have is refused, as is one that nothing has.
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_manual_is_in_step_with_the_settings() {
        crate::testing::check_document(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md"),
            &settings_markdown(),
        );
    }
}
