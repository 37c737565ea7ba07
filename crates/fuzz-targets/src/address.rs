//! Hosts and paths.

use costrel_protocol::address::{Address, AddressError, Domains, Endpoint, Style, resolve};
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::Shape;
use costrel_protocol::percent;
use costrel_signature::encode;
use http::Uri;

/// A line with the host, then a path.
pub fn address(data: &[u8]) {
    let Some((host, path)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n'))
    else {
        return;
    };
    let Ok(uri) = path.parse::<Uri>() else { return };
    let domains = Domains::new(
        [
            ("s3.example.com", Some(Dialect::S3)),
            ("example.com", None),
            ("cos.example.com", Some(Dialect::Cos)),
            ("192.0.2.7", None),
        ]
        .map(|(name, dialect)| (name.to_owned(), dialect)),
    );
    let resolved = resolve(&uri, Some(host), &domains);
    if let Ok(address) = &resolved {
        consistent(address);
        located_again(address, &domains);
    }
    if uri.authority().is_some() {
        // The target's own host wins.
        assert_eq!(resolve(&uri, None, &domains), resolved);
        return;
    }
    if resolved.is_ok() {
        let shouted = host.to_ascii_uppercase();
        assert_eq!(resolve(&uri, Some(&shouted), &domains), resolved, "case of {host}");
    }
    as_to_a_proxy(host, path, &resolved, &domains);
}

fn consistent(address: &Address) {
    assert!(address.key.as_deref() != Some(""), "an empty key");
    match address.shape {
        Shape::Object | Shape::FetchTask => {
            assert!(address.bucket.is_some() && address.key.is_some());
        }
        Shape::Bucket | Shape::FetchQueue => {
            assert!(address.bucket.is_some() && address.key.is_none());
        }
        Shape::Service => assert!(address.bucket.is_none() && address.key.is_none()),
        Shape::Website => assert_eq!(address.endpoint, Endpoint::Website),
        Shape::Jobs
        | Shape::Job
        | Shape::JobPriority
        | Shape::JobStatus
        | Shape::UnknownJobPath => {
            assert_eq!(address.endpoint, Endpoint::Control);
        }
    }
    assert!(
        address.style == Style::Path || address.bucket.as_deref().is_some_and(|b| !b.is_empty())
    );
}

/// The same bucket and key, written as a path, are found again.
fn located_again(address: &Address, domains: &Domains) {
    let Some(bucket) = &address.bucket else { return };
    let key = address.key.as_deref().unwrap_or_default();
    let path = format!("/{}/{}", encode::component(bucket), percent::encode(key));
    let uri: Uri = path.parse().expect("an encoded path");
    let again = resolve(&uri, Some("127.0.0.1:9000"), domains).expect("it was decoded before");
    assert_eq!((&again.bucket, &again.key), (&address.bucket, &address.key), "{path}");
}

/// A client that takes us for its proxy gets the same, or is sent away where
/// the name alone does not say that it is ours.
fn as_to_a_proxy(
    host: &str,
    path: &str,
    direct: &Result<Address, AddressError>,
    domains: &Domains,
) {
    let Ok(uri) = format!("http://{host}{path}").parse::<Uri>() else { return };
    // Where the host ends may have moved.
    if uri.authority().map(|authority| authority.as_str()) != Some(host)
        || uri.path_and_query().map(|found| found.as_str()) != Some(path)
    {
        return;
    }
    match resolve(&uri, Some("elsewhere.test"), domains) {
        Err(AddressError::ForeignHost(_)) => {
            if let Ok(address) = direct {
                assert_eq!((address.style, address.dialect), (Style::Path, None));
            }
        }
        through_proxy => assert_eq!(through_proxy, *direct),
    }
}
