//! What a signature sees of a request.

use crate::encode::QueryPair;

/// Headers of a request, however the caller keeps them.
pub trait HeaderSource {
    /// The values of one header in the order received. `name` is lower-case.
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]>;

    /// The names of all headers, in any case; a repeated header may be named
    /// once or several times.
    fn names(&self) -> impl Iterator<Item = &str>;
}

impl HeaderSource for http::HeaderMap {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).into_iter().map(|value| value.as_bytes())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.keys().map(|name| name.as_str())
    }
}

impl HeaderSource for [(&str, &str)] {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_bytes())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| *name)
    }
}

/// A request as it came over the wire, borrowed.
pub struct RequestView<'a, H: ?Sized> {
    /// Upper-case, as in the request line.
    pub method: &'a str,
    /// The path of the request line up to `?`, still encoded, never normalised.
    pub raw_path: &'a str,
    /// [`parse_query`](crate::encode::parse_query) of the rest.
    pub query: &'a [QueryPair<'a>],
    pub headers: &'a H,
    /// The `Host` header, or the authority of an absolute-form request. It
    /// stands for the `host` header in signatures.
    pub host: &'a str,
    /// The bucket when the host names it: SigV2 signs it as part of the path.
    pub bucket_in_host: Option<&'a str>,
}

impl<H: ?Sized> Clone for RequestView<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: ?Sized> Copy for RequestView<'_, H> {}

impl<'a, H: HeaderSource + ?Sized> RequestView<'a, H> {
    /// The first value of a header, if it is text. `name` is lower-case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let headers: &'a H = self.headers;
        first_text(headers, name)
    }

    /// The first value of a query parameter, by exact name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        let query: &'a [QueryPair<'a>] = self.query;
        query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// The first value of a query parameter, in any case: clients differ in how
    /// they write `X-Amz-…`.
    pub(crate) fn parameter_any_case(&self, name: &str) -> Option<&'a str> {
        let query: &'a [QueryPair<'a>] = self.query;
        query.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }
}

fn first_text<'a, H: HeaderSource + ?Sized>(headers: &'a H, name: &str) -> Option<&'a str> {
    // The iterator's type also borrows the name; its items do not.
    let value = headers.values(name).next()?;
    std::str::from_utf8(value).ok()
}
