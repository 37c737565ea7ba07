//! Signs requests the way clients do, cheaply: derived keys are kept, and a
//! signature costs a few hash blocks and no allocation once the buffers have
//! grown.
//!
//! The server verifies with code of its own, so a mistake here shows as refused
//! requests and cannot hide one there.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::{digest, hmac};

use crate::endpoint::percent_encode;

/// Whose signature and whose header and parameter names requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    S3,
    Cos,
}

/// A pair of secret id and secret key.
#[derive(Clone)]
pub struct Credentials {
    pub id: String,
    pub secret: String,
}

/// What a signature covers.
pub struct Signed<'a> {
    /// In upper case.
    pub method: &'a str,
    /// The path on the wire without query, percent-encoded.
    pub encoded_path: &'a str,
    /// The same before encoding.
    pub raw_path: &'a str,
    /// Names are sorted in both dialects' order, values not yet encoded.
    pub query: &'a [(&'a str, &'a str)],
    pub host: &'a str,
    /// Text for `x-amz-content-sha256`; COS does not cover the body.
    pub payload_hash: &'a str,
}

/// SHA-256 of nothing, in hex.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// How long a COS signature is made valid. A run that outlives it gets new ones.
const COS_VALID_SECONDS: u64 = 12 * 3600;

/// Makes the headers that authenticate a request.
pub struct Signer {
    credentials: Credentials,
    scheme: Scheme,
    canonical: String,
    to_sign: String,
}

enum Scheme {
    V4(V4),
    Cos(Cos),
}

struct V4 {
    region: String,
    /// Second to which `stamp` belongs.
    second: u64,
    /// `20130524T000000Z`
    stamp: String,
    /// `20130524/us-east-1/s3/aws4_request`
    scope: String,
    /// Key for the day in `scope`.
    key: Option<hmac::Key>,
}

struct Cos {
    valid_until: u64,
    /// `start;end` in Unix seconds.
    key_time: String,
    key: Option<hmac::Key>,
}

impl Signer {
    pub fn new(dialect: Dialect, credentials: Credentials, region: &str) -> Self {
        let scheme = match dialect {
            Dialect::S3 => Scheme::V4(V4 {
                region: region.to_owned(),
                second: 0,
                stamp: String::new(),
                scope: String::new(),
                key: None,
            }),
            Dialect::Cos => Scheme::Cos(Cos { valid_until: 0, key_time: String::new(), key: None }),
        };
        Signer { credentials, scheme, canonical: String::new(), to_sign: String::new() }
    }

    /// Appends the authentication headers, each with its line end.
    pub fn write_headers(&mut self, signed: &Signed<'_>, now: SystemTime, out: &mut String) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        self.canonical.clear();
        self.to_sign.clear();
        match &mut self.scheme {
            Scheme::V4(v4) => {
                let key = v4.key_at(now, &self.credentials.secret);
                let (canonical, to_sign) = (&mut self.canonical, &mut self.to_sign);
                canonical.push_str(signed.method);
                canonical.push('\n');
                canonical.push_str(signed.encoded_path);
                canonical.push('\n');
                write_query(signed.query, false, canonical);
                for piece in [
                    "\nhost:",
                    signed.host,
                    "\nx-amz-content-sha256:",
                    signed.payload_hash,
                    "\nx-amz-date:",
                    &v4.stamp,
                    "\n\nhost;x-amz-content-sha256;x-amz-date\n",
                    signed.payload_hash,
                ] {
                    canonical.push_str(piece);
                }
                for piece in ["AWS4-HMAC-SHA256\n", &v4.stamp, "\n", &v4.scope, "\n"] {
                    to_sign.push_str(piece);
                }
                push_hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref(), to_sign);
                for piece in [
                    "x-amz-date: ",
                    &v4.stamp,
                    "\r\nx-amz-content-sha256: ",
                    signed.payload_hash,
                    "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=",
                    &self.credentials.id,
                    "/",
                    &v4.scope,
                    ", SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=",
                ] {
                    out.push_str(piece);
                }
                push_hex(hmac::sign(&key, to_sign.as_bytes()).as_ref(), out);
            }
            Scheme::Cos(cos) => {
                let key = cos.key_at(now, &self.credentials.secret);
                let (canonical, to_sign) = (&mut self.canonical, &mut self.to_sign);
                canonical.extend(signed.method.chars().map(|c| c.to_ascii_lowercase()));
                canonical.push('\n');
                canonical.push_str(signed.raw_path);
                canonical.push('\n');
                write_query(signed.query, true, canonical);
                canonical.push_str("\nhost=");
                percent_encode(signed.host, false, canonical);
                canonical.push('\n');
                for piece in ["sha1\n", &cos.key_time, "\n"] {
                    to_sign.push_str(piece);
                }
                let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, canonical.as_bytes());
                push_hex(hash.as_ref(), to_sign);
                to_sign.push('\n');
                for piece in [
                    "Authorization: q-sign-algorithm=sha1&q-ak=",
                    &self.credentials.id,
                    "&q-sign-time=",
                    &cos.key_time,
                    "&q-key-time=",
                    &cos.key_time,
                    "&q-header-list=host&q-url-param-list=",
                ] {
                    out.push_str(piece);
                }
                for (index, (name, _)) in signed.query.iter().enumerate() {
                    if index > 0 {
                        out.push(';');
                    }
                    out.extend(name.chars().map(|c| c.to_ascii_lowercase()));
                }
                out.push_str("&q-signature=");
                push_hex(hmac::sign(&key, to_sign.as_bytes()).as_ref(), out);
            }
        }
        out.push_str("\r\n");
    }
}

impl V4 {
    fn key_at(&mut self, now: u64, secret: &str) -> hmac::Key {
        let known = self.key.as_ref().filter(|_| now / 86_400 == self.second / 86_400).cloned();
        if now != self.second {
            self.second = now;
            self.stamp = amz_date(now);
        }
        if let Some(key) = known {
            return key;
        }
        let day = &self.stamp[..8];
        self.scope = format!("{day}/{}/s3/aws4_request", self.region);
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
        for part in [day, &self.region, "s3", "aws4_request"] {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        self.key = Some(key.clone());
        key
    }
}

impl Cos {
    fn key_at(&mut self, now: u64, secret: &str) -> hmac::Key {
        // Renewed an hour early, so that no request leaves with a signature that
        // ends before it arrives.
        if let Some(key) = self.key.as_ref().filter(|_| now + 3600 < self.valid_until) {
            return key.clone();
        }
        self.valid_until = now + COS_VALID_SECONDS;
        // A minute of difference between the clocks is nothing unusual.
        self.key_time = format!("{};{}", now.saturating_sub(60), self.valid_until);
        let secret = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        let sign_key = hex(hmac::sign(&secret, self.key_time.as_bytes()).as_ref());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, sign_key.as_bytes());
        self.key = Some(key.clone());
        key
    }
}

/// Appends `name=value&…`, encoded, as both dialects sign it.
pub fn write_query(query: &[(&str, &str)], lower_case_names: bool, out: &mut String) {
    for (index, (name, value)) in query.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        if lower_case_names {
            out.extend(name.chars().map(|c| c.to_ascii_lowercase()));
        } else {
            out.push_str(name);
        }
        out.push('=');
        percent_encode(value, false, out);
    }
}

/// Lower-case hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    push_hex(bytes, &mut out);
    out
}

fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// ISO 8601 basic form in UTC of a time in Unix seconds.
fn amz_date(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years are counted from March 1st of the year 0, so that a leap day is the
    // last day of its year; 719,468 days lie between that day and 1970-01-01.
    let day = days + 719_468;
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut out = String::with_capacity(16);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let written =
        write!(out, "{year:04}{month:02}{day_of_month:02}T{hour:02}{minute:02}{second:02}Z");
    debug_assert!(written.is_ok(), "writing to a string succeeds");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(unix)
    }

    #[test]
    fn dates() {
        for (unix, want) in [
            (0, "19700101T000000Z"),
            (1_369_353_600, "20130524T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_868_799, "20000229T235959Z"),
            (1_735_689_599, "20241231T235959Z"),
        ] {
            assert_eq!(amz_date(unix), want);
        }
    }

    fn check(dialect: Dialect, id: &str, secret: &str, signed: &Signed<'_>, now: u64, want: &str) {
        let credentials = Credentials { id: id.into(), secret: secret.into() };
        let mut signer = Signer::new(dialect, credentials, "us-east-1");
        let mut first = String::new();
        signer.write_headers(signed, at(now), &mut first);
        assert!(first.ends_with(want), "{first}");
        let mut second = String::new();
        signer.write_headers(signed, at(now), &mut second);
        assert_eq!(first, second, "a kept key signs like a fresh one");
    }

    /// AWS, "Signature Calculations for the Authorization Header", GET Bucket
    /// (List Objects).
    #[test]
    fn sigv4_of_the_published_list_example() {
        let signed = Signed {
            method: "GET",
            encoded_path: "/",
            raw_path: "/",
            query: &[("max-keys", "2"), ("prefix", "J")],
            host: "examplebucket.s3.amazonaws.com",
            payload_hash: EMPTY_SHA256,
        };
        check(
            Dialect::S3,
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            &signed,
            1_369_353_600,
            "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\r\n",
        );
    }

    /// No published example signs the host alone, so the parts come from the
    /// definition: HMAC-SHA1 over the text written out here.
    #[test]
    fn cos_signature_follows_its_definition() {
        let (id, secret) =
            ("AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q", "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz");
        let now = 1_557_989_213;
        let key_time = format!("1557989153;{}", now + COS_VALID_SECONDS);
        let hmac_hex = |key: &str, text: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
            hex(hmac::sign(&key, text.as_bytes()).as_ref())
        };
        // The derivation of the key is the documentation's own example.
        assert_eq!(
            hmac_hex(secret, "1557989151;1557996351"),
            "eb2519b498b02ac213cb1f3d1a3d27a3b3c9bc5f"
        );
        let request = "put\n/folder/a b\npartnumber=1&uploadid=x%2Fy\nhost=h%3A9000\n";
        let request = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, request.as_bytes());
        let to_sign = format!("sha1\n{key_time}\n{}\n", hex(request.as_ref()));
        let signature = hmac_hex(&hmac_hex(secret, &key_time), &to_sign);
        let signed = Signed {
            method: "PUT",
            encoded_path: "/folder/a%20b",
            raw_path: "/folder/a b",
            query: &[("partNumber", "1"), ("uploadId", "x/y")],
            host: "h:9000",
            payload_hash: UNSIGNED_PAYLOAD,
        };
        let want = format!(
            "&q-header-list=host&q-url-param-list=partnumber;uploadid&q-signature={signature}\r\n"
        );
        check(Dialect::Cos, id, secret, &signed, now, &want);
    }
}
