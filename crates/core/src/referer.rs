//! A bucket's referer list, COS's protection against hotlinks: from which pages
//! objects may be read by whoever does not sign.
//!
//! It is a courtesy of browsers, which say where a link stood. It lets nobody in whom
//! nothing else lets in.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::bucket::Bucket;
use crate::engine::{Partition, RowRef, Table, Write};
use crate::error::Result;
use crate::record::{decode, encode};
use crate::setting_cache::Setting;
use crate::store::Store;

/// A bucket's list, as it is stored.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RefererList {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    /// Whether it counts.
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    /// Whether it names those who may not, instead of those who may.
    #[prost(bool, tag = "3")]
    pub is_black: bool,
    /// Hosts, each perhaps with a port and the beginning of a path.
    #[prost(string, repeated, tag = "4")]
    pub domains: Vec<String>,
    /// Whether those may who do not say where they come from.
    #[prost(bool, tag = "5")]
    pub allows_empty: bool,
    /// Whether signed links are judged too.
    #[prost(bool, tag = "6")]
    pub judges_links: bool,
}

impl RefererList {
    /// Whether an object may be read from a page, by what the `Referer` says.
    pub fn allows(&self, referer: Option<&str>) -> bool {
        match referer.filter(|referer| !referer.is_empty()) {
            _ if !self.enabled => true,
            None => self.allows_empty,
            Some(referer) => {
                let listed = self.domains.iter().any(|domain| fits(domain, referer));
                listed != self.is_black
            }
        }
    }
}

/// Whether a page is of a domain. The scheme means nothing; a host without a port is
/// meant with any; `*.example.com` is `example.com` and whatever is below it, and any
/// other `*` stands for any part of a host.
fn fits(domain: &str, referer: &str) -> bool {
    let (wanted, wanted_path) = split(without_scheme(domain));
    let (found, path) = split(without_scheme(referer));
    // Who is asked for, not by whom: `http://good.example@bad.example/`.
    let found = found.rsplit_once('@').map_or(found, |(_, host)| host);
    let host = if has_port(wanted) { found } else { without_port(found) };
    let is_host = match wanted.strip_prefix("*.") {
        Some(above) if glob(above, host) => true,
        _ => glob(wanted, host),
    };
    is_host && path.starts_with(wanted_path)
}

fn without_scheme(text: &str) -> &str {
    text.split_once("://").map_or(text, |(_, rest)| rest)
}

/// The host with its port, and the rest.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()))
}

fn has_port(host: &str) -> bool {
    without_port(host) != host
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a host is what a pattern says, in either case. Each `*` is met as soon as
/// it can be, so the time is bounded by the product of their lengths.
fn glob(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.as_bytes(), host.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Behind the last `*`, and how much of the host it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while from < host.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, from));
            }
            Some(byte) if byte.eq_ignore_ascii_case(&host[from]) => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((behind, until)) => {
                    *until += 1;
                    (at, from) = (*behind, *until);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl Setting for RefererList {
    fn write_id(&self) -> &Bytes {
        &self.write_id
    }
}

/// The row of a bucket's list, in the group of its name.
pub(crate) fn referer_row() -> RowRef {
    RowRef { table: Table::Installation, suffix: Bytes::from_static(b"referer") }
}

impl Store {
    pub async fn set_referer_list(
        self: &Arc<Self>,
        bucket: &Bucket,
        mut list: RefererList,
    ) -> Result<()> {
        list.write_id = self.fresh_id();
        self.change_rows(bucket, move |record| {
            record.referer = list.write_id.clone();
            Ok(vec![Write::Put(referer_row(), encode(&list))])
        })
        .await
    }

    pub async fn delete_referer_list(self: &Arc<Self>, bucket: &Bucket) -> Result<()> {
        self.change_rows(bucket, |record| {
            record.referer = Bytes::new();
            Ok(vec![Write::Delete(referer_row())])
        })
        .await
    }

    /// A bucket's list, if it has one.
    pub async fn referer_list(&self, bucket: &Bucket) -> Result<Option<Arc<RefererList>>> {
        let id = &bucket.settings().referer;
        if id.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.referer_lists.get(bucket.id, id) {
            return Ok(Some(known));
        }
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, referer_row()).await?;
        // Gone, or newer than what is known of the bucket: changed meanwhile.
        let Some(row) = row else { return Ok(None) };
        let list: Arc<RefererList> = Arc::new(decode(&row, "referer list")?);
        self.referer_lists.put(bucket.id, &list);
        Ok(Some(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_domains() {
        for (domain, referer, expected) in [
            ("example.com", "http://example.com", true),
            ("example.com", "https://EXAMPLE.com/123?a#b", true),
            ("example.com", "https://example.com:8080/", true),
            ("example.com:8080", "https://example.com:8080/x", true),
            ("example.com:8080", "https://example.com/", false),
            ("example.com:8080", "https://example.com:80/", false),
            ("example.com", "https://www.example.com/", false),
            ("example.com", "https://example.com.evil.example/", false),
            ("example.com", "https://example.com@evil.example/", false),
            ("example.com", "https://evil.example/example.com", false),
            ("example.com", "example.com/123", true),
            ("https://example.com", "http://example.com/", true),
            ("example.com/a", "http://example.com/abc", true),
            ("example.com/a", "http://example.com/b", false),
            ("*.example.com", "http://example.com/", true),
            ("*.example.com", "http://b.example.com/", true),
            ("*.example.com", "http://a.b.example.com:81/x", true),
            ("*.example.com", "http://badexample.com/", false),
            ("*.example.com:81", "http://a.example.com/", false),
            ("img*.example.*", "http://img7.example.org/", true),
            ("*", "http://anything/", true),
            ("10.1.2.3:8080", "http://10.1.2.3:8080/", true),
            ("192.168.*", "http://192.168.0.1/", true),
            ("a*b*c", "http://axxbxxbc/", true),
            ("a*b*c", "http://axxbxxb/", false),
        ] {
            assert_eq!(fits(domain, referer), expected, "{domain} {referer}");
        }
    }

    #[test]
    fn lists() {
        let domains = vec!["example.com".to_owned()];
        let white = RefererList { enabled: true, domains, ..RefererList::default() };
        let black = RefererList { is_black: true, allows_empty: true, ..white.clone() };
        let (good, bad) = (Some("http://example.com/"), Some("http://example.org/"));
        assert!(white.allows(good) && !white.allows(bad));
        assert!(!white.allows(None) && !white.allows(Some("")));
        assert!(!black.allows(good) && black.allows(bad) && black.allows(None));
        let off = RefererList { enabled: false, ..white };
        assert!(off.allows(bad) && off.allows(None));
    }
}
