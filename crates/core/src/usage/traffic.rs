//! What requests of a bucket have done, as it is counted and stored.

use std::net::IpAddr;

use prost::Message;

use super::classes;
use crate::restore::Speed;

/// Whether a request reads or writes, as COS bills it: by its method, whatever comes of
/// it. What deletes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Read,
    Write,
}

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Class of the object that it was about; STANDARD's if there was none. By
    /// [`class_number`].
    pub class: u8,
    pub kind: RequestKind,
    pub status: u16,
    /// It came from a network that the installation calls its own.
    pub is_internal: bool,
    /// Bytes of bodies.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// What went out was an object's content.
    pub is_retrieval: bool,
}

/// Number of a storage class in counters, by the name that the client gave.
pub fn class_number(name: &str) -> u8 {
    classes::number(name)
}

/// The name of a number.
pub fn class_name(number: u32) -> &'static str {
    classes::name(u8::try_from(number).unwrap_or(u8::MAX))
}

/// What requests of a bucket have done in some time.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Figures {
    /// In the order of the classes' numbers.
    #[prost(message, repeated, tag = "1")]
    pub classes: Vec<ClassFigures>,
    /// In the order of the statuses.
    #[prost(message, repeated, tag = "2")]
    pub statuses: Vec<StatusFigures>,
    #[prost(message, optional, tag = "3")]
    pub traffic: Option<Traffic>,
    /// In the order of classes and speeds.
    #[prost(message, repeated, tag = "4")]
    pub restored: Vec<RestoredFigures>,
}

/// Requests about objects of one class.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClassFigures {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(uint64, tag = "2")]
    pub reads: u64,
    #[prost(uint64, tag = "3")]
    pub writes: u64,
    /// Bytes of their content that were read.
    #[prost(uint64, tag = "4")]
    pub retrieved_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct StatusFigures {
    #[prost(uint32, tag = "1")]
    pub status: u32,
    #[prost(uint64, tag = "2")]
    pub requests: u64,
}

/// Bytes of bodies, by where clients are.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Traffic {
    #[prost(uint64, tag = "1")]
    pub internet_in: u64,
    #[prost(uint64, tag = "2")]
    pub internet_out: u64,
    #[prost(uint64, tag = "3")]
    pub internal_in: u64,
    #[prost(uint64, tag = "4")]
    pub internal_out: u64,
}

/// Restores that have begun.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RestoredFigures {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    /// [`Speed`].
    #[prost(uint32, tag = "2")]
    pub speed: u32,
    #[prost(uint64, tag = "3")]
    pub objects: u64,
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
}

impl Figures {
    pub fn is_empty(&self) -> bool {
        *self == Figures::default()
    }

    pub(super) fn add_request(&mut self, served: &Served) {
        let class = self.class(u32::from(served.class));
        match served.kind {
            RequestKind::Read => class.reads += 1,
            RequestKind::Write => class.writes += 1,
        }
        if served.is_retrieval {
            class.retrieved_bytes += served.bytes_out;
        }
        self.status(u32::from(served.status)).requests += 1;
        if served.bytes_in == 0 && served.bytes_out == 0 {
            return;
        }
        let traffic = self.traffic.get_or_insert_default();
        let (into, out) = match served.is_internal {
            true => (&mut traffic.internal_in, &mut traffic.internal_out),
            false => (&mut traffic.internet_in, &mut traffic.internet_out),
        };
        *into += served.bytes_in;
        *out += served.bytes_out;
    }

    pub(super) fn add_restore(&mut self, class: &str, speed: Speed, bytes: u64) {
        let restored = self.restore(u32::from(classes::number(class)), speed as u32);
        restored.objects += 1;
        restored.bytes += bytes;
    }

    /// Adds all of what others have counted. What was stored is taken as it is, however
    /// large.
    pub fn add_all(&mut self, other: &Figures) {
        let add = |sum: &mut u64, by: u64| *sum = sum.saturating_add(by);
        for class in &other.classes {
            let mine = self.class(class.class);
            add(&mut mine.reads, class.reads);
            add(&mut mine.writes, class.writes);
            add(&mut mine.retrieved_bytes, class.retrieved_bytes);
        }
        for status in &other.statuses {
            add(&mut self.status(status.status).requests, status.requests);
        }
        if let Some(traffic) = &other.traffic {
            let mine = self.traffic.get_or_insert_default();
            add(&mut mine.internet_in, traffic.internet_in);
            add(&mut mine.internet_out, traffic.internet_out);
            add(&mut mine.internal_in, traffic.internal_in);
            add(&mut mine.internal_out, traffic.internal_out);
        }
        for restored in &other.restored {
            let mine = self.restore(restored.class, restored.speed);
            add(&mut mine.objects, restored.objects);
            add(&mut mine.bytes, restored.bytes);
        }
    }

    /// Requests of all classes.
    pub fn reads(&self) -> u64 {
        self.classes.iter().fold(0, |sum, class| sum.saturating_add(class.reads))
    }

    pub fn writes(&self) -> u64 {
        self.classes.iter().fold(0, |sum, class| sum.saturating_add(class.writes))
    }

    fn class(&mut self, class: u32) -> &mut ClassFigures {
        at(
            &mut self.classes,
            |known| known.class.cmp(&class),
            || ClassFigures { class, ..Default::default() },
        )
    }

    fn status(&mut self, status: u32) -> &mut StatusFigures {
        at(
            &mut self.statuses,
            |known| known.status.cmp(&status),
            || StatusFigures { status, requests: 0 },
        )
    }

    fn restore(&mut self, class: u32, speed: u32) -> &mut RestoredFigures {
        let order = |known: &RestoredFigures| (known.class, known.speed).cmp(&(class, speed));
        let new = || RestoredFigures { class, speed, ..Default::default() };
        at(&mut self.restored, order, new)
    }
}

/// The entry of a sorted list, made if it is missing. Lists have a few entries.
fn at<T>(
    list: &mut Vec<T>,
    order: impl FnMut(&T) -> std::cmp::Ordering,
    new: impl FnOnce() -> T,
) -> &mut T {
    let index = list.binary_search_by(order).unwrap_or_else(|index| {
        list.insert(index, new());
        index
    });
    &mut list[index]
}

/// Networks that an installation calls its own: an address and a length of prefix each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalNetworks(Vec<(u128, u32)>);

/// Bits before an IPv4 address that is written as an IPv6 one.
const MAPPED: u32 = 96;

impl InternalNetworks {
    /// Loopback, link-local and private addresses (RFC 1918, 3927, 4193, 4291, 6598).
    pub const PRIVATE: &str = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,\
                               169.254.0.0/16,100.64.0.0/10,::1/128,fc00::/7,fe80::/10";

    /// Parses networks separated by commas. `None`: one of them is none.
    pub fn parse(text: &str) -> Option<InternalNetworks> {
        let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
        networks.map(network).collect::<Option<Vec<_>>>().map(InternalNetworks)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.0.iter().any(|(network, length)| (bits ^ network) & mask(*length) == 0)
    }
}

impl Default for InternalNetworks {
    fn default() -> Self {
        InternalNetworks::parse(InternalNetworks::PRIVATE).unwrap_or(InternalNetworks(Vec::new()))
    }
}

fn network(text: &str) -> Option<(u128, u32)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (before, max) = if address.is_ipv4() { (MAPPED, 32) } else { (0, 128) };
    let length = length.unwrap_or(max);
    (length <= max).then(|| (bits(address), before + length))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(bytes_out: u64) -> Served {
        Served {
            class: class_number("STANDARD_IA"),
            kind: RequestKind::Read,
            status: 200,
            is_internal: false,
            bytes_in: 0,
            bytes_out,
            is_retrieval: true,
        }
    }

    #[test]
    fn requests_add_up_however_they_are_grouped() {
        let put = Served {
            class: 0,
            kind: RequestKind::Write,
            is_internal: true,
            bytes_in: 7,
            bytes_out: 1,
            is_retrieval: false,
            ..get(0)
        };
        let gone = Served { status: 404, bytes_out: 300, is_retrieval: false, ..get(0) };
        let mut whole = Figures::default();
        let mut parts = [Figures::default(), Figures::default()];
        for (n, served) in [get(5), put, gone, get(10), put].iter().enumerate() {
            whole.add_request(served);
            parts[n % 2].add_request(served);
        }
        whole.add_restore("ARCHIVE", Speed::Bulk, 9);
        parts[1].add_restore("ARCHIVE", Speed::Bulk, 9);
        let mut sum = Figures::default();
        parts.iter().for_each(|part| sum.add_all(part));
        assert_eq!(sum, whole);
        assert_eq!((sum.reads(), sum.writes()), (3, 2));
        let ia = &sum.classes[1];
        assert_eq!((ia.class, ia.reads, ia.retrieved_bytes), (1, 3, 15));
        let traffic =
            Traffic { internet_in: 0, internet_out: 315, internal_in: 14, internal_out: 2 };
        assert_eq!(sum.traffic, Some(traffic));
        let statuses = sum.statuses.iter().map(|known| (known.status, known.requests));
        assert_eq!(statuses.collect::<Vec<_>>(), [(200, 4), (404, 1)]);
    }

    #[test]
    fn own_networks_are_told_by_their_prefix() {
        let networks = InternalNetworks::default();
        for (address, is_internal) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:10.9.8.7", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
            ("fd00::1", true),
            ("::2", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), is_internal, "{address}");
        }
        let all = InternalNetworks::parse("0.0.0.0/0, 2001:db8::/32").unwrap();
        assert!(all.contains("9.9.9.9".parse().unwrap()));
        assert!(all.contains("2001:db8:1::1".parse().unwrap()));
        assert!(!all.contains("2001:db9::1".parse().unwrap()));
        let none = InternalNetworks::parse("").unwrap();
        assert!(!none.contains("127.0.0.1".parse().unwrap()));
        for wrong in ["10.0.0.0/33", "10.0.0/8", "::/129", "a", "10.0.0.0/-1", "10.0.0.0/8;::1"] {
            assert_eq!(InternalNetworks::parse(wrong), None, "{wrong}");
        }
    }
}
