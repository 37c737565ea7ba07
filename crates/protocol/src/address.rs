//! What a request is about, from its host and path: service, bucket or object.
//!
//! Keys are decoded exactly once and nothing in a path is normalised: `//`,
//! `.`, `..` and `+` are parts of a key. The raw path, which signatures need,
//! stays in the request's URI.

mod host;

use std::net::IpAddr;

use http::Uri;

use crate::dialect::Dialect;
use crate::ops::Shape;
use crate::percent::{self, PercentError};

use host::HostFacts;

/// A domain under which the server is reached, by configuration. May be an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    name: String,
    purpose: Purpose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// `D` is path style, `<bucket>.D` virtual-hosted.
    Rest(Option<Dialect>),
    /// `<bucket>.D` is the bucket's website.
    Websites,
    /// `D` is this bucket's website.
    Website(String),
}

impl Domain {
    fn new(name: &str, purpose: Purpose) -> Domain {
        Domain { name: name.trim_end_matches('.').to_ascii_lowercase(), purpose }
    }

    /// What it says of a host; `None` if that is no name of its.
    fn facts(&self, host: &str) -> Option<HostFacts> {
        let bucket = below(host, &self.name)?;
        let website = |bucket: &str| {
            let facts = HostFacts::plain(Some(bucket), None);
            Some(HostFacts { endpoint: Endpoint::Website, ..facts })
        };
        match (&self.purpose, bucket) {
            (Purpose::Rest(dialect), bucket) => Some(HostFacts::plain(bucket, *dialect)),
            (Purpose::Websites, Some(bucket)) => website(bucket),
            (Purpose::Website(bucket), None) => website(bucket),
            (Purpose::Websites, None) | (Purpose::Website(_), Some(_)) => None,
        }
    }
}

/// The configured domains.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    /// Longest first, so that `s3.example.com` wins over `example.com`.
    list: Vec<Domain>,
}

impl Domains {
    /// Each name with the dialect its clients speak where nothing else in the
    /// request tells; `None` leaves it open. Names are compared without case.
    pub fn new(names: impl IntoIterator<Item = (String, Option<Dialect>)>) -> Domains {
        let names = names.into_iter();
        let list = names.map(|(name, dialect)| Domain::new(&name, Purpose::Rest(dialect)));
        Domains { list: list.collect() }.sorted()
    }

    /// With one more: the website of a bucket, or of each whose name stands before it.
    pub fn with_website(mut self, name: &str, bucket: Option<String>) -> Domains {
        self.list.push(Domain::new(name, bucket.map_or(Purpose::Websites, Purpose::Website)));
        self.sorted()
    }

    fn sorted(mut self) -> Domains {
        self.list.sort_by_key(|domain| std::cmp::Reverse(domain.name.len()));
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The bucket is the path's first segment.
    Path,
    /// The bucket is in the host name.
    VirtualHosted,
}

/// Kind of service a host name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Rest,
    /// COS's list of the buckets of all regions.
    Service,
    /// The accelerated host, for buckets that have it enabled.
    Accelerate,
    /// A bucket's static website: errors are pages and `/` is an index.
    Website,
    /// COS batch jobs.
    Control,
    /// COS asynchronous fetching.
    Fetch,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The dialect that the host name suggests.
    pub dialect: Option<Dialect>,
    pub endpoint: Endpoint,
    pub style: Style,
    pub shape: Shape,
    /// As sent; whether it can be a bucket's name is not judged here.
    pub bucket: Option<String>,
    /// Decoded once. Never empty.
    pub key: Option<String>,
    /// The region in the host name, if any.
    pub region: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the request names no host")]
    MissingHost,
    #[error("the host name is malformed")]
    BadHost,
    /// The request target is absolute (as sent to a proxy) and names a host
    /// that is not served here. Nothing is ever forwarded.
    #[error("the host {0} is not served here")]
    ForeignHost(String),
    #[error("the path cannot be decoded: {0}")]
    Path(#[from] PercentError),
}

/// Resolves a request's target. `host` is the `Host` header; an absolute target
/// has its own host, which wins (RFC 9112 section 3.2.2).
///
/// A host that nothing is known about is taken for a name of this server, and
/// so for path style: names given by container networks or `/etc/hosts` work
/// without configuration.
pub fn resolve(uri: &Uri, host: Option<&str>, domains: &Domains) -> Result<Address, AddressError> {
    let absolute = uri.authority().map(|authority| authority.as_str());
    let named = absolute.or(host).ok_or(AddressError::MissingHost)?;
    let name = bare_host(named)?;
    if uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(AddressError::ForeignHost(name));
    }
    let facts = match host_facts(&name, domains) {
        Some(facts) => facts,
        None if absolute.is_some() => return Err(AddressError::ForeignHost(name)),
        None => HostFacts::path_style(None),
    };
    locate(facts, uri.path())
}

/// The host in lower case, without port, brackets and final dot.
fn bare_host(text: &str) -> Result<String, AddressError> {
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host).trim();
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, port) = rest.split_once(']').ok_or(AddressError::BadHost)?;
        let address: IpAddr = name.parse().map_err(|_| AddressError::BadHost)?;
        if !address.is_ipv6() {
            return Err(AddressError::BadHost);
        }
        match port.strip_prefix(':') {
            Some(port) => (name, port),
            None if port.is_empty() => (name, ""),
            None => return Err(AddressError::BadHost),
        }
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    if name.is_empty() || port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressError::BadHost);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if !name.bytes().all(allowed) {
        return Err(AddressError::BadHost);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(AddressError::BadHost);
    }
    Ok(name.to_ascii_lowercase())
}

/// What the host name says; `None` if it is no name of ours that can be told
/// from the name alone.
fn host_facts(name: &str, domains: &Domains) -> Option<HostFacts> {
    if let Some(facts) = domains.list.iter().find_map(|domain| domain.facts(name)) {
        return Some(facts);
    }
    if let Some(bucket) = below(name, "localhost") {
        return Some(HostFacts::plain(bucket, None));
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.is_loopback().then(|| HostFacts::path_style(None));
    }
    host::cos(name).or_else(|| host::s3(name))
}

/// `Some(None)` for the domain itself, `Some(Some(label))` for names under it.
fn below<'a>(name: &'a str, domain: &str) -> Option<Option<&'a str>> {
    let front = name.strip_suffix(domain)?;
    if front.is_empty() {
        return Some(None);
    }
    front.strip_suffix('.').filter(|bucket| !bucket.is_empty()).map(Some)
}

fn locate(facts: HostFacts, path: &str) -> Result<Address, AddressError> {
    let mut address = Address {
        dialect: facts.dialect,
        endpoint: facts.endpoint,
        style: Style::Path,
        shape: Shape::Service,
        bucket: facts.bucket,
        key: None,
        region: facts.region,
    };
    // `OPTIONS *` asks about the server as a whole.
    let path = path.strip_prefix('/').unwrap_or("");
    if facts.endpoint == Endpoint::Control {
        address.shape = control_shape(path);
        return Ok(address);
    }
    let rest = if address.bucket.is_some() {
        address.style = Style::VirtualHosted;
        path
    } else {
        if path.is_empty() || facts.endpoint == Endpoint::Service {
            return Ok(address);
        }
        let (bucket, rest) = path.split_once('/').unwrap_or((path, ""));
        address.bucket = Some(percent::decode(bucket)?.into_owned());
        rest
    };
    address.key = (!rest.is_empty())
        .then(|| percent::decode(rest).map(|key| key.into_owned()))
        .transpose()?;
    address.shape = match (facts.endpoint, address.key.is_some()) {
        (Endpoint::Website, _) => Shape::Website,
        (Endpoint::Fetch, false) => Shape::FetchQueue,
        (Endpoint::Fetch, true) => Shape::FetchTask,
        (_, false) => Shape::Bucket,
        (_, true) => Shape::Object,
    };
    Ok(address)
}

/// Paths of the batch service; the job's id is for its handler to read.
fn control_shape(path: &str) -> Shape {
    let mut segments = path.trim_end_matches('/').split('/');
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (Some("jobs"), None, None, None) => Shape::Jobs,
        (Some("jobs"), Some(_), None, None) => Shape::Job,
        (Some("jobs"), Some(_), Some("priority"), None) => Shape::JobPriority,
        (Some("jobs"), Some(_), Some("status"), None) => Shape::JobStatus,
        _ => Shape::UnknownJobPath,
    }
}

#[cfg(test)]
mod tests;
