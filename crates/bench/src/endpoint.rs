//! Where requests go: endpoint URLs and addressing styles.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::error::BenchError;

/// A plain-text HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address without port; IPv6 addresses keep their brackets.
    host: String,
    port: u16,
}

impl Endpoint {
    /// Looks the name up once; all connections go to the first address.
    pub fn resolve(&self) -> Result<SocketAddr, BenchError> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let context = || format!("cannot resolve {}", self.host);
        let mut found =
            (name, self.port).to_socket_addrs().map_err(|e| BenchError::io(context(), e))?;
        found.next().ok_or_else(|| BenchError::setting("endpoint", context()))
    }

    /// The value of `Host` for a name served at this endpoint.
    fn authority_of(&self, name: &str) -> String {
        if self.port == 80 { name.to_owned() } else { format!("{name}:{}", self.port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self, BenchError> {
        let wrong =
            || BenchError::setting("endpoint", format!("{text:?} is not like http://host:9000"));
        if text.starts_with("https://") {
            return Err(BenchError::TlsEndpoint(text.to_owned()));
        }
        let authority = text.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        // A colon inside the brackets of an IPv6 address begins no port.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, 80),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let usable = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || (!bracketed && !host.chars().all(usable)) {
            return Err(wrong());
        }
        Ok(Endpoint { host: host.to_owned(), port })
    }
}

/// Where the bucket's name stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Addressing {
    /// `http://host/bucket/key`
    Path,
    /// `http://bucket.host/key`; the connection still goes to the endpoint's
    /// address, so the bucket's name needs no DNS entry.
    Virtual,
}

/// The constant parts of every request to one bucket.
#[derive(Clone, Debug)]
pub struct Place {
    /// Value of the `Host` header.
    pub host: String,
    /// What comes before an object's key in the path, with the final slash.
    pub key_base: String,
    /// Path of the bucket itself.
    pub bucket_path: String,
    /// The bucket, where `host` names it.
    pub bucket_in_host: Option<String>,
}

impl Place {
    /// `domain` replaces the endpoint's own name in `Host`.
    pub fn new(
        endpoint: &Endpoint,
        domain: Option<&str>,
        bucket: &str,
        addressing: Addressing,
    ) -> Self {
        let domain = domain.unwrap_or(&endpoint.host);
        match addressing {
            Addressing::Path => Place {
                host: endpoint.authority_of(domain),
                key_base: format!("/{bucket}/"),
                bucket_path: format!("/{bucket}"),
                bucket_in_host: None,
            },
            Addressing::Virtual => Place {
                host: endpoint.authority_of(&format!("{bucket}.{domain}")),
                key_base: "/".to_owned(),
                bucket_path: "/".to_owned(),
                bucket_in_host: Some(bucket.to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (text, host, port) in [
            ("http://127.0.0.1:9000", "127.0.0.1", 9000),
            ("http://cos.ap-x.myqcloud.com/", "cos.ap-x.myqcloud.com", 80),
            ("http://[::1]:9000", "[::1]", 9000),
            ("http://[::1]", "[::1]", 80),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port), "{text}");
        }
        for text in ["", "localhost:9000", "http://", "http://a:b", "http://a/b", "http://a b"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        let refused = "https://a".parse::<Endpoint>().expect_err("TLS is not measured");
        assert!(matches!(refused, BenchError::TlsEndpoint(_)));
    }

    #[test]
    fn places() {
        let endpoint: Endpoint = "http://127.0.0.1:9000".parse().expect("an endpoint");
        let path = Place::new(&endpoint, None, "b", Addressing::Path);
        assert_eq!((path.host.as_str(), path.key_base.as_str()), ("127.0.0.1:9000", "/b/"));
        let virt = Place::new(&endpoint, Some("s3.local"), "b", Addressing::Virtual);
        assert_eq!((virt.host.as_str(), virt.key_base.as_str()), ("b.s3.local:9000", "/"));
    }
}
