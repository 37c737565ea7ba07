//! A bucket's static website: what is shown for a folder, for what is not there, and
//! where else a visitor is sent.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::bucket::Bucket;
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::WEBSITE_RULES_MAX;
use crate::record::{decode, encode};
use crate::setting_cache::Setting;
use crate::store::Store;

/// A bucket's website, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Website {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    /// Put behind keys that are empty or end with a slash; empty where every visitor is
    /// sent elsewhere.
    #[prost(string, tag = "2")]
    pub index_suffix: String,
    /// Where every visitor is sent.
    #[prost(message, optional, tag = "3")]
    pub redirect_all: Option<RedirectAll>,
    /// COS: whether `a` is `a.html` where there is no `a`.
    #[prost(bool, tag = "4")]
    pub adds_extension: bool,
    /// What is shown in place of an error; empty for a page of the server's own.
    #[prost(string, tag = "5")]
    pub error_key: String,
    /// COS: whether it is shown as a success.
    #[prost(bool, tag = "6")]
    pub hides_errors: bool,
    #[prost(message, repeated, tag = "7")]
    pub rules: Vec<RoutingRule>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct RedirectAll {
    /// Empty for the host that was asked, which is left alone where the protocol is
    /// the one that is wanted.
    #[prost(string, tag = "1")]
    pub host: String,
    /// `http` or `https`; empty for that of the request.
    #[prost(string, tag = "2")]
    pub protocol: String,
}

/// A rule whose conditions must all hold.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RoutingRule {
    #[prost(string, optional, tag = "1")]
    pub prefix: Option<String>,
    /// The status of an error; 0 for a rule that does not wait for one.
    #[prost(uint32, tag = "2")]
    pub error: u32,
    #[prost(string, tag = "3")]
    pub host: String,
    #[prost(string, tag = "4")]
    pub protocol: String,
    /// Status of the redirect; 0 for the service's usual one.
    #[prost(uint32, tag = "5")]
    pub status: u32,
    #[prost(string, optional, tag = "6")]
    pub key: Option<String>,
    /// In place of the prefix, if no key is named.
    #[prost(string, optional, tag = "7")]
    pub key_prefix: Option<String>,
}

impl RoutingRule {
    /// Whether a visitor who asks for a key is sent elsewhere, before it is looked up
    /// or because of an error.
    fn applies(&self, key: &str, error: Option<u16>) -> bool {
        let by_error = match error {
            None => self.error == 0,
            Some(status) => self.error == u32::from(status),
        };
        by_error && self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix.as_str()))
    }

    /// The key that he is sent to.
    pub fn target(&self, key: &str) -> String {
        match (&self.key, &self.key_prefix) {
            (Some(key), _) => key.clone(),
            (None, Some(front)) => {
                let prefix = self.prefix.as_deref().unwrap_or_default();
                [front.as_str(), key.strip_prefix(prefix).unwrap_or(key)].concat()
            }
            (None, None) => key.to_owned(),
        }
    }

    fn check(&self) -> Result<()> {
        let says_something = !self.host.is_empty()
            || !self.protocol.is_empty()
            || self.status != 0
            || self.key.is_some()
            || self.key_prefix.is_some();
        if !says_something {
            return invalid("A redirect says where to.");
        }
        if self.key.is_some() && self.key_prefix.is_some() {
            return invalid("A redirect replaces the key or its prefix, not both.");
        }
        if self.error != 0 && !(400..600).contains(&self.error) {
            return invalid("The error of a condition is between 400 and 599.");
        }
        if self.status != 0 && !matches!(self.status, 301..=303 | 307 | 308) {
            return invalid("The status of a redirect is 301, 302, 303, 307 or 308.");
        }
        check_protocol(&self.protocol)
    }
}

fn invalid<T>(why: &'static str) -> Result<T> {
    Err(Error::InvalidWebsite(why))
}

fn check_protocol(protocol: &str) -> Result<()> {
    match protocol {
        "" | "http" | "https" => Ok(()),
        _ => invalid("The protocol is http or https."),
    }
}

impl Website {
    /// The key that is meant: a folder means its index.
    pub fn index_of(&self, key: &str) -> String {
        match key.is_empty() || key.ends_with('/') {
            true => [key, &self.index_suffix].concat(),
            false => key.to_owned(),
        }
    }

    /// The first rule for a key, before it is looked up or because of an error.
    pub fn rule(&self, key: &str, error: Option<u16>) -> Option<&RoutingRule> {
        self.rules.iter().find(|rule| rule.applies(key, error))
    }

    fn check(&self) -> Result<()> {
        if let Some(all) = &self.redirect_all {
            check_protocol(&all.protocol)?;
            if all.host.is_empty() && all.protocol.is_empty() {
                return invalid("A redirect says where to.");
            }
        }
        let has_index = !self.index_suffix.is_empty();
        if !has_index && self.redirect_all.as_ref().is_none_or(|all| all.host.is_empty()) {
            return invalid("A website has an index document.");
        }
        if self.index_suffix.contains('/') {
            return invalid("The suffix of the index document has no slash.");
        }
        if self.rules.len() > WEBSITE_RULES_MAX {
            return invalid("There are too many routing rules.");
        }
        self.rules.iter().try_for_each(RoutingRule::check)
    }
}

impl Setting for Website {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}

/// The row of a bucket's website, in the group of its name.
pub(crate) fn website_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"website") }
}

impl Store {
    /// Replaces a bucket's website, unless something is wrong with the new one.
    pub async fn set_website(self: &Arc<Self>, bucket: &Bucket, mut site: Website) -> Result<()> {
        site.check()?;
        site.write_id = self.fresh_id();
        self.change_rows(bucket, move |record| {
            record.website = site.write_id.clone();
            Ok(vec![Write::Put(website_row(), encode(&site))])
        })
        .await
    }

    pub async fn delete_website(self: &Arc<Self>, bucket: &Bucket) -> Result<()> {
        self.change_rows(bucket, |record| {
            record.website = Bytes::new();
            Ok(vec![Write::Delete(website_row())])
        })
        .await
    }

    pub async fn website(&self, bucket: &Bucket) -> Result<Arc<Website>> {
        let id = &bucket.settings().website;
        if id.is_empty() {
            return Err(Error::NoWebsite);
        }
        if let Some(known) = self.websites.get(bucket.id, id) {
            return Ok(known);
        }
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, website_row()).await?;
        // Gone, or newer than what is known of the bucket: changed meanwhile.
        let site: Arc<Website> = Arc::new(decode(&row.ok_or(Error::NoWebsite)?, "website")?);
        self.websites.put(bucket.id, &site);
        Ok(site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(rules: Vec<RoutingRule>) -> Website {
        Website { index_suffix: "index.html".into(), rules, ..Website::default() }
    }

    #[test]
    fn folders_and_rules() {
        let moved = RoutingRule {
            prefix: Some("docs/".into()),
            key_prefix: Some("documents/".into()),
            ..RoutingRule::default()
        };
        let missing =
            RoutingRule { error: 404, key: Some("sorry.html".into()), ..RoutingRule::default() };
        let site = site(vec![moved, missing]);
        assert!(site.check().is_ok());
        for (key, index) in [("", "index.html"), ("a/", "a/index.html"), ("a", "a")] {
            assert_eq!(site.index_of(key), index);
        }
        let target = |key: &str, error| site.rule(key, error).map(|rule| rule.target(key));
        assert_eq!(target("docs/a", None).as_deref(), Some("documents/a"));
        assert_eq!(target("a", None), None);
        assert_eq!(target("a", Some(404)).as_deref(), Some("sorry.html"));
        assert_eq!(target("a", Some(403)), None);
    }

    #[test]
    fn what_is_refused() {
        assert!(Website::default().check().is_err());
        let slash = Website { index_suffix: "a/b".into(), ..Website::default() };
        assert!(slash.check().is_err());
        let rule = RoutingRule { key: Some("a".into()), ..RoutingRule::default() };
        assert!(site(vec![rule.clone(); WEBSITE_RULES_MAX]).check().is_ok());
        assert!(site(vec![rule.clone(); WEBSITE_RULES_MAX + 1]).check().is_err());
        for bad in [
            RoutingRule::default(),
            RoutingRule { key_prefix: Some("b".into()), ..rule.clone() },
            RoutingRule { error: 200, ..rule.clone() },
            RoutingRule { status: 200, ..rule.clone() },
            RoutingRule { protocol: "ftp".into(), ..rule },
        ] {
            assert!(site(vec![bad.clone()]).check().is_err(), "{bad:?}");
        }
    }
}
