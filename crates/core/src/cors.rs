//! Cross-origin resource sharing: which pages of other origins may use a bucket
//! through the browsers of their visitors.
//!
//! A browser asks before it sends what a page could not send by itself (the
//! preflight), and shows a page no answer that does not name its origin. The first
//! rule that allows an origin, a method and all headers is the one that counts.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::bucket::Bucket;
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::limits::{CORS_ID_CHARS_MAX, CORS_RULES_MAX};
use crate::record::{decode, encode};
use crate::setting_cache::Setting;
use crate::store::Store;

/// A bucket's rules, as they are stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Cors {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub rules: Vec<CorsRule>,
    /// Whether answers tell caches that they depend on the origin.
    #[prost(bool, tag = "3")]
    pub vary: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CorsRule {
    #[prost(string, tag = "1")]
    pub id: String,
    /// With at most one `*` in each.
    #[prost(string, repeated, tag = "2")]
    pub origins: Vec<String>,
    /// Of [`METHODS`].
    #[prost(string, repeated, tag = "3")]
    pub methods: Vec<String>,
    /// Of requests, with at most one `*` in each.
    #[prost(string, repeated, tag = "4")]
    pub headers: Vec<String>,
    /// Of answers, that a page may see besides those that any may.
    #[prost(string, repeated, tag = "5")]
    pub exposed: Vec<String>,
    /// How long a browser may remember a preflight's answer, in seconds.
    #[prost(uint32, optional, tag = "6")]
    pub max_age_s: Option<u32>,
}

/// Methods that a rule can allow.
pub const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// Why rules are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorsFault {
    #[error("there is no rule")]
    NoRules,
    #[error("there are more than {max} rules")]
    TooManyRules { max: usize },
    #[error("a rule's id has more than {max} characters")]
    IdTooLong { max: usize },
    #[error("a rule has no origin or no method")]
    Incomplete,
    #[error("{0:?} is not a method that can be allowed")]
    Method(String),
    #[error("{field} {value:?} has more than one wildcard")]
    Wildcards { field: &'static str, value: String },
    #[error("the exposed header {0:?} has a wildcard")]
    ExposedWildcard(String),
    #[error("{0:?} is not the name of a header")]
    HeaderName(String),
}

/// What a page of another origin wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Crossing<'a> {
    pub origin: &'a str,
    pub method: &'a str,
    /// Names of the headers that it would send.
    pub headers: &'a [&'a str],
}

/// The rule by which it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed<'a> {
    pub rule: &'a CorsRule,
    /// Whether all origins may, so that none has to be named.
    pub any_origin: bool,
}

impl Cors {
    pub fn allows(&self, crossing: &Crossing<'_>) -> Option<Allowed<'_>> {
        self.rules.iter().find_map(|rule| {
            let by = rule.origins.iter().find(|origin| fits(origin, crossing.origin, same))?;
            let method = rule.methods.iter().any(|method| method == crossing.method);
            let allowed = |name: &&str| {
                rule.headers.iter().any(|pattern| fits(pattern, name, <[u8]>::eq_ignore_ascii_case))
            };
            let allows = method && crossing.headers.iter().all(allowed);
            allows.then_some(Allowed { rule, any_origin: by == "*" })
        })
    }

    fn check(&self) -> std::result::Result<(), CorsFault> {
        if self.rules.is_empty() {
            return Err(CorsFault::NoRules);
        }
        if self.rules.len() > CORS_RULES_MAX {
            return Err(CorsFault::TooManyRules { max: CORS_RULES_MAX });
        }
        self.rules.iter().try_for_each(CorsRule::check)
    }
}

impl CorsRule {
    fn check(&self) -> std::result::Result<(), CorsFault> {
        if self.id.chars().count() > CORS_ID_CHARS_MAX {
            return Err(CorsFault::IdTooLong { max: CORS_ID_CHARS_MAX });
        }
        if self.methods.is_empty() || self.origins.is_empty() || self.origins.contains(&"".into()) {
            return Err(CorsFault::Incomplete);
        }
        if let Some(other) = self.methods.iter().find(|method| !METHODS.contains(&method.as_str()))
        {
            return Err(CorsFault::Method(other.clone()));
        }
        for (field, values) in [("AllowedOrigin", &self.origins), ("AllowedHeader", &self.headers)]
        {
            if let Some(value) = values.iter().find(|value| value.matches('*').count() > 1) {
                return Err(CorsFault::Wildcards { field, value: value.clone() });
            }
        }
        if let Some(exposed) = self.exposed.iter().find(|name| name.contains('*')) {
            return Err(CorsFault::ExposedWildcard(exposed.clone()));
        }
        let named = self.headers.iter().chain(&self.exposed);
        match named.into_iter().find(|name| !is_header_name(name)) {
            Some(other) => Err(CorsFault::HeaderName(other.clone())),
            None => Ok(()),
        }
    }
}

/// A token of HTTP, `*` among its characters.
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a == b
}

/// Whether a text is what a pattern with at most one `*` says.
fn fits(pattern: &str, text: &str, same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let text = text.as_bytes();
    match pattern.split_once('*') {
        None => same(pattern.as_bytes(), text),
        Some((front, rear)) => {
            text.len() >= front.len() + rear.len()
                && same(front.as_bytes(), &text[..front.len()])
                && same(rear.as_bytes(), &text[text.len() - rear.len()..])
        }
    }
}

impl Setting for Cors {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}

/// The row of a bucket's rules, in the group of its name.
pub(crate) fn cors_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"cors") }
}

impl Store {
    /// Replaces a bucket's rules, unless something is wrong with the new ones.
    pub async fn set_cors(self: &Arc<Self>, bucket: &Bucket, mut cors: Cors) -> Result<()> {
        cors.check()?;
        cors.write_id = self.fresh_id();
        self.change_rows(bucket, move |record| {
            record.cors = cors.write_id.clone();
            Ok(vec![Write::Put(cors_row(), encode(&cors))])
        })
        .await
    }

    pub async fn delete_cors(self: &Arc<Self>, bucket: &Bucket) -> Result<()> {
        self.change_rows(bucket, |record| {
            record.cors = Bytes::new();
            Ok(vec![Write::Delete(cors_row())])
        })
        .await
    }

    /// A bucket's rules.
    pub async fn cors(&self, bucket: &Bucket) -> Result<Arc<Cors>> {
        let id = &bucket.settings().cors;
        if id.is_empty() {
            return Err(Error::NoCors);
        }
        if let Some(known) = self.cors_rules.get(bucket.id, id) {
            return Ok(known);
        }
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, cors_row()).await?;
        // Gone, or newer than what is known of the bucket: changed meanwhile.
        let rules: Arc<Cors> = Arc::new(decode(&row.ok_or(Error::NoCors)?, "CORS rules")?);
        self.cors_rules.put(bucket.id, &rules);
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        CorsRule {
            origins: owned(origins),
            methods: owned(methods),
            headers: owned(headers),
            ..Default::default()
        }
    }

    fn cors(rules: Vec<CorsRule>) -> Cors {
        Cors { rules, ..Default::default() }
    }

    #[test]
    fn wildcards() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("*", "http://a.b", true),
            ("http://a", "http://a", true),
            ("http://a", "http://A", false),
            ("http://*.a", "http://x.y.a", true),
            ("http://*.a", "http://.a", true),
            ("http://*.a", "http://a", false),
            ("http://*.a", "https://x.a", false),
            ("start*end", "startend", true),
            ("start*tart", "start", false),
            ("a*", "b", false),
            ("*b", "b", true),
        ] {
            assert_eq!(fits(pattern, text, same), want, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_allows_everything_counts() {
        let rules = cors(vec![
            rule(&["http://a"], &["GET"], &["X-A*"]),
            rule(&["http://b", "*"], &["GET", "PUT"], &["content-*", "X-B"]),
        ]);
        let ask = |origin: &str, method: &str, headers: &[&str]| {
            let allowed = rules.allows(&Crossing { origin, method, headers })?;
            let at = rules.rules.iter().position(|rule| rule == allowed.rule)?;
            Some((at, allowed.any_origin))
        };
        assert_eq!(ask("http://a", "GET", &[]), Some((0, false)));
        assert_eq!(ask("http://a", "GET", &["x-abc"]), Some((0, false)));
        assert_eq!(ask("http://a", "GET", &["x-b", "Content-MD5"]), Some((1, true)));
        assert_eq!(ask("http://a", "GET", &["x-a", "x-b"]), None);
        assert_eq!(ask("http://b", "PUT", &[]), Some((1, false)));
        assert_eq!(ask("http://c", "PUT", &[]), Some((1, true)));
        assert_eq!(ask("http://c", "DELETE", &[]), None);
        assert_eq!(ask("http://c", "put", &[]), None);
        let none = cors(vec![rule(&["*"], &["GET"], &[])]);
        let crossing = Crossing { origin: "x", method: "GET", headers: &["a"] };
        assert_eq!(none.allows(&crossing), None);
    }

    #[test]
    fn rules_that_cannot_be() {
        let good = rule(&["*"], &["GET"], &["*"]);
        assert_eq!(cors(vec![good.clone(); 100]).check(), Ok(()));
        let with = |change: fn(&mut CorsRule)| {
            let mut rule = good.clone();
            change(&mut rule);
            cors(vec![good.clone(), rule]).check().unwrap_err()
        };
        assert_eq!(cors(Vec::new()).check(), Err(CorsFault::NoRules));
        let many = CorsFault::TooManyRules { max: 100 };
        assert_eq!(cors(vec![good.clone(); 101]).check(), Err(many));
        assert_eq!(with(|rule| rule.id = "é".repeat(256)), CorsFault::IdTooLong { max: 255 });
        assert_eq!(with(|rule| rule.origins.clear()), CorsFault::Incomplete);
        assert_eq!(with(|rule| rule.origins[0].clear()), CorsFault::Incomplete);
        assert_eq!(with(|rule| rule.methods.clear()), CorsFault::Incomplete);
        let method = with(|rule| rule.methods.push("OPTIONS".into()));
        assert_eq!(method, CorsFault::Method("OPTIONS".into()));
        let origin = with(|rule| rule.origins[0] = "*.*".into());
        assert_eq!(origin, CorsFault::Wildcards { field: "AllowedOrigin", value: "*.*".into() });
        let header = with(|rule| rule.headers[0] = "**".into());
        assert_eq!(header, CorsFault::Wildcards { field: "AllowedHeader", value: "**".into() });
        let exposed = with(|rule| rule.exposed.push("x-*".into()));
        assert_eq!(exposed, CorsFault::ExposedWildcard("x-*".into()));
        for name in ["", "a b", "a,b", "a\r\nb", "é"] {
            let mut rule = good.clone();
            rule.exposed.push(name.into());
            let refused = cors(vec![rule]).check();
            assert_eq!(refused, Err(CorsFault::HeaderName(name.into())));
        }
    }
}
