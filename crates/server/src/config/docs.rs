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
| `kind` | `webhook` |
| `url` | where it is: `http://` or `https://` |
| `form` | the form of its messages: `s3` (the default) |
| `timeout` | how long it may take to acknowledge a message, `100ms` to `8s`; `5s` if not given |
| `authorization_file`, `authorization_env` | file, or environment variable, with the `Authorization` header of each request |
| `ca_file` | PEM file of the authorities that its certificate may come from, instead of the system's |
| `client_cert`, `client_key` | PEM files of a certificate, and its key, that are shown to it |
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
