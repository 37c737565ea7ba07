//! Where brokers are: `scheme://host:port`, with more hosts behind commas where a kind has
//! clusters.

use http::uri::Authority;

/// What a kind's URLs look like.
pub(crate) struct Scheme {
    /// Without TLS and with it, each with its usual port.
    pub plain: (&'static str, u16),
    pub secure: (&'static str, u16),
    pub has_clusters: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Names, or addresses as URLs write them, and ports.
    pub servers: Vec<(String, u16)>,
    pub is_secure: bool,
}

impl Scheme {
    pub fn parse(&self, url: &str) -> Result<Address, String> {
        let wrong = || {
            let Scheme { plain: (plain, _), secure: (secure, _), .. } = self;
            let more = if self.has_clusters { "[,host[:port]…]" } else { "" };
            // It is not shown: there may be a password in it.
            Err(format!("its URL is not {plain}:// or {secure}:// with host[:port]{more}"))
        };
        let Some((scheme, rest)) = url.split_once("://") else { return wrong() };
        let (is_secure, usual_port) = match scheme {
            scheme if scheme == self.plain.0 => (false, self.plain.1),
            scheme if scheme == self.secure.0 => (true, self.secure.1),
            _ => return wrong(),
        };
        let mut servers = Vec::new();
        for server in rest.strip_suffix('/').unwrap_or(rest).split(',') {
            let Ok(authority) = server.parse::<Authority>() else { return wrong() };
            // Names and passwords are not part of an address.
            let host = authority.host();
            let port = match server.strip_prefix(host) {
                Some("") => usual_port,
                Some(_) => match authority.port_u16() {
                    Some(port) if port > 0 => port,
                    _ => return wrong(),
                },
                None => return wrong(),
            };
            if host.is_empty() {
                return wrong();
            }
            servers.push((host.to_owned(), port));
        }
        match servers.len() > 1 && !self.has_clusters {
            true => wrong(),
            false => Ok(Address { servers, is_secure }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: Scheme =
        Scheme { plain: ("nats", 4222), secure: ("tls", 4222), has_clusters: true };
    const ONE: Scheme =
        Scheme { plain: ("mqtt", 1883), secure: ("mqtts", 8883), has_clusters: false };

    #[test]
    fn addresses() {
        let of = |servers: &[(&str, u16)], is_secure| {
            let servers = servers.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
            Ok(Address { servers, is_secure })
        };
        assert_eq!(CLUSTER.parse("nats://a"), of(&[("a", 4222)], false));
        assert_eq!(CLUSTER.parse("tls://a:1,b,[::1]:2"), {
            of(&[("a", 1), ("b", 4222), ("[::1]", 2)], true)
        });
        assert_eq!(ONE.parse("mqtt://a.example/"), of(&[("a.example", 1883)], false));
        assert_eq!(ONE.parse("mqtts://[::1]"), of(&[("[::1]", 8883)], true));
    }

    #[test]
    fn what_is_none() {
        for url in [
            "",
            "a",
            "a:1",
            "nats://",
            "nats://:1",
            "http://a",
            "nats://a:0",
            "nats://a:x",
            "nats://a:70000",
            "nats://user:secret@a",
            "nats://a,",
            "nats://a,,b",
            "nats://a/x",
            "nats://a,nats://b",
            "nats://a b",
            "nats://a?x",
        ] {
            assert!(CLUSTER.parse(url).is_err(), "{url}");
        }
        let error = ONE.parse("mqtt://a,b").unwrap_err();
        assert_eq!(error, "its URL is not mqtt:// or mqtts:// with host[:port]");
    }
}
