//! Types of settings. Each is written and read as one text, the same in the
//! file, on the command line and in the manual.

use std::str::FromStr;
use std::time::Duration;

use costrel_core::tier::{Codec, StorageClass, Tier};
use costrel_core::usage::InternalNetworks;
use serde::{Deserialize, Deserializer};

/// Why a text is not a value of its setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(String);

/// A setting's text from the file, where it is a string, an integer without unit
/// or an array of strings.
pub fn text_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string, an integer or an array of strings")]
    enum Raw {
        Text(String),
        Number(i64),
        List(Vec<String>),
    }
    Ok(match Raw::deserialize(deserializer)? {
        Raw::Text(text) => text,
        Raw::Number(number) => number.to_string(),
        Raw::List(texts) => texts.join(","),
    })
}

/// A whole number split from its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Bytes, as `4096`, `64KiB`, `8MB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const BYTE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl FromStr for ByteSize {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bytes = number_and_unit(text).and_then(|(number, unit)| {
            let (_, factor) =
                BYTE_UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
            number.checked_mul(*factor)
        });
        bytes.map(ByteSize).ok_or_else(|| {
            InvalidValue(format!("'{text}' is not a size such as 4096, 64KiB, 8MB or 2GiB"))
        })
    }
}

impl ByteSize {
    /// For settings counted in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A length of time, as `500ms`, `30s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let millis = number_and_unit(text).and_then(|(number, unit)| {
            let factor = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return None,
            };
            number.checked_mul(factor)
        });
        millis.map(|millis| Span(Duration::from_millis(millis))).ok_or_else(|| {
            InvalidValue(format!("'{text}' is not a time such as 500ms, 30s, 5m or 1h"))
        })
    }
}

/// A count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u32);

impl FromStr for Number {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let number = text.parse().map(Number);
        number.map_err(|_| InvalidValue(format!("'{text}' is not a whole number")))
    }
}

macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($variant),+ }

        impl $name {
            const TEXTS: &[&str] = &[$($text),+];
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err(InvalidValue(format!(
                        "'{text}' is none of {}", $name::TEXTS.join(", ")
                    ))),
                }
            }
        }
    };
}

choice! {
    /// What is on stable storage when a write is acknowledged.
    Durability { Full = "full", None = "none" }
}

choice! {
    /// Where rows and bodies stay.
    EngineKind { Embedded = "embedded", Rados = "rados" }
}

choice! {
    LogFormat { Text = "text", Json = "json" }
}

choice! {
    /// From the fewest lines to the most.
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
}

choice! {
    Dialect { Cos = "cos", S3 = "s3" }
}

/// A domain under which the server is reached, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    pub name: String,
    pub purpose: Purpose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Buckets and objects, in this dialect where a request does not show its own:
    /// `example.com`, `cos:example.com`.
    Rest(Option<Dialect>),
    /// Websites, of the buckets below it or of a single one:
    /// `website:web.example.com`, `website:www.example.com=bucket-1250000000`.
    Website(Option<String>),
}

/// Separated by commas; in the file an array as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains(pub Vec<Domain>);

impl FromStr for Domain {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (purpose, name) = match text.split_once(':') {
            Some(("website", site)) => match site.split_once('=') {
                Some((name, bucket)) => (Purpose::Website(Some(bucket.to_owned())), name),
                None => (Purpose::Website(None), site),
            },
            Some((dialect, name)) => (Purpose::Rest(Some(dialect.parse()?)), name),
            None => (Purpose::Rest(None), text),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(plain);
        let is_bucket = !matches!(&purpose, Purpose::Website(Some(bucket)) if !is_name(bucket));
        if !is_name(name) || !is_bucket {
            return Err(InvalidValue(format!("'{text}' is not a domain")));
        }
        Ok(Domain { name: name.to_ascii_lowercase(), purpose })
    }
}

impl FromStr for Domains {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        listed(text).map(str::parse).collect::<Result<_, _>>().map(Domains)
    }
}

/// Places beside the engine's own, by name: directories or pools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(pub Vec<(String, String)>);

/// How the engine's own place is called.
const MAIN: &str = "main";

impl FromStr for Places {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut places: Vec<(String, String)> = Vec::new();
        for text in listed(text) {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let (name, at) = text.split_once('=').unwrap_or_default();
            let is_name = (1..=32).contains(&name.len()) && name.bytes().all(plain);
            if !is_name || name == MAIN || at.is_empty() {
                return Err(InvalidValue(format!(
                    "'{text}' is not a place such as cold=/srv/cold; a name is up to 32 lower-case \
                     letters, digits and hyphens, and not {MAIN}"
                )));
            }
            if places.iter().any(|(known, there)| known == name || there == at) {
                return Err(InvalidValue(format!("'{text}' is there twice")));
            }
            places.push((name.to_owned(), at.to_owned()));
        }
        Ok(Places(places))
    }
}

/// Storage classes that are kept in another way than they are by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassTiers(pub Vec<(StorageClass, Tier)>);

impl FromStr for ClassTiers {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        listed(text).map(class_tier).collect::<Result<_, _>>().map(ClassTiers)
    }
}

fn class_tier(text: &str) -> Result<(StorageClass, Tier), InvalidValue> {
    let wrong = |why: &str| InvalidValue(format!("'{text}' is not a tier: {why}"));
    let (class, tier) = text.split_once('=').ok_or_else(|| wrong("ARCHIVE=cold:zstd-3 is one"))?;
    let class = Some(class).filter(|class| !class.is_empty()).and_then(StorageClass::from_name);
    let class = class.ok_or_else(|| wrong("there is no such storage class"))?;
    let (place, codec) = tier.split_once(':').unwrap_or((tier, "none"));
    let place = match place {
        "" => return Err(wrong("it names no place")),
        MAIN => None,
        place => Some(place.into()),
    };
    let codec = match codec {
        "none" => Codec::None,
        "zstd" => Codec::Zstd(3),
        level => {
            let level = level.strip_prefix("zstd-").and_then(|level| level.parse().ok());
            let level = level.filter(|level| (1..=19).contains(level));
            Codec::Zstd(level.ok_or_else(|| wrong("codecs are none, zstd and zstd-1 to zstd-19"))?)
        }
    };
    Ok((class, Tier { place, codec }))
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|text| !text.is_empty())
}

/// Networks whose traffic is internal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(pub InternalNetworks);

impl FromStr for Networks {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let networks = match text {
            "private" => Some(InternalNetworks::default()),
            text => InternalNetworks::parse(text),
        };
        networks.map(Networks).ok_or_else(|| {
            InvalidValue(format!(
                "'{text}' is neither private nor networks such as 10.0.0.0/8, 2001:db8::/32"
            ))
        })
    }
}

/// Name of a region: 1 to 32 lower-case letters, digits and hyphens, since it
/// stands in host names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(pub String);

impl FromStr for Region {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=32).contains(&text.len()) || !text.bytes().all(plain) {
            return Err(InvalidValue(format!("'{text}' is not a region such as ap-guangzhou")));
        }
        Ok(Region(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[track_caller]
    fn check<T: FromStr + PartialEq + fmt::Debug>(text: &str, expected: Option<T>) {
        assert_eq!(text.parse::<T>().ok(), expected, "{text:?}");
    }

    #[test]
    fn sizes() {
        check("0", Some(ByteSize(0)));
        check("4096", Some(ByteSize(4096)));
        check("512MiB", Some(ByteSize(512 << 20)));
        check("512 mib", Some(ByteSize(512 << 20)));
        check("8MB", Some(ByteSize(8_000_000)));
        check::<ByteSize>("", None);
        check::<ByteSize>("MiB", None);
        check::<ByteSize>("-1", None);
        check::<ByteSize>("1.5GiB", None);
        check::<ByteSize>("99999999999TiB", None);
    }

    #[test]
    fn times() {
        check("250ms", Some(Span(Duration::from_millis(250))));
        check("30s", Some(Span(Duration::from_secs(30))));
        check("5m", Some(Span(Duration::from_secs(300))));
        check("2h", Some(Span(Duration::from_secs(7200))));
        // A bare number could be any unit.
        check::<Span>("30", None);
        check::<Span>("s", None);
    }

    #[test]
    fn choices_and_names() {
        check("none", Some(Durability::None));
        check::<Durability>("off", None);
        check("ap-guangzhou", Some(Region("ap-guangzhou".into())));
        check::<Region>("Ap", None);
        let error = "yaml".parse::<LogFormat>().unwrap_err();
        assert_eq!(error.to_string(), "'yaml' is none of text, json");
    }

    #[test]
    fn places_and_tiers() {
        let place = |name: &str, at: &str| (name.to_owned(), at.to_owned());
        let two = Places(vec![place("cold", "/srv/cold"), place("deep", "pool")]);
        check("cold=/srv/cold, deep=pool", Some(two));
        check("", Some(Places::default()));
        for bad in ["cold", "cold=", "=/srv", "main=/srv", "Cold=/srv", "a=/x,a=/y", "a=/x,b=/x"] {
            check::<Places>(bad, None);
        }
        let tier = |place: Option<&str>, codec| Tier { place: place.map(Into::into), codec };
        check(
            "ARCHIVE=cold:zstd, STANDARD_IA=cold,DEEP_ARCHIVE=main:zstd-19",
            Some(ClassTiers(vec![
                (StorageClass::Archive, tier(Some("cold"), Codec::Zstd(3))),
                (StorageClass::StandardIa, tier(Some("cold"), Codec::None)),
                (StorageClass::DeepArchive, tier(None, Codec::Zstd(19))),
            ])),
        );
        for bad in ["ARCHIVE", "=cold", "COLD=main", "ARCHIVE=", "ARCHIVE=main:zstd-20"] {
            check::<ClassTiers>(bad, None);
        }
    }

    #[test]
    fn domains() {
        let domain =
            |name: &str, dialect| Domain { name: name.into(), purpose: Purpose::Rest(dialect) };
        let website = |name: &str, bucket: Option<&str>| {
            let purpose = Purpose::Website(bucket.map(str::to_owned));
            Some(Domains(vec![Domain { name: name.into(), purpose }]))
        };
        check("website:Web.example.com", website("web.example.com", None));
        check("website:www.example.com=b-1", website("www.example.com", Some("b-1")));
        check::<Domains>("website:", None);
        check::<Domains>("website:a=", None);
        check::<Domains>("website:a=b/c", None);
        check(
            "Example.com, s3:s3.example.com",
            Some(Domains(vec![
                domain("example.com", None),
                domain("s3.example.com", Some(Dialect::S3)),
            ])),
        );
        check("", Some(Domains::default()));
        check::<Domains>("ftp:example.com", None);
        check::<Domains>("exa mple", None);
    }
}
