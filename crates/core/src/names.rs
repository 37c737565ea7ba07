//! Names with a meaning. A constructor is the only validation of its name.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::limits::{BUCKET_NAME_BYTES_MAX, KEY_BYTES_MAX};

/// Name of a bucket, as both dialects show it (for COS with the APPID at its
/// end): 3 to 63 bytes of lower-case letters, digits and hyphens in labels with
/// dots between them, each with a letter or digit at both ends, and not an IPv4
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(String);

impl BucketName {
    pub fn new(name: &str) -> Result<BucketName> {
        let invalid = |why| Err(Error::InvalidBucketName(why));
        if name.len() > BUCKET_NAME_BYTES_MAX {
            return Err(Error::BucketNameTooLong { max: BUCKET_NAME_BYTES_MAX });
        }
        if name.len() < 3 {
            return invalid("must have 3 characters at least");
        }
        let bytes = name.as_bytes();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !bytes.iter().all(|b| plain(*b) || *b == b'-' || *b == b'.') {
            return invalid("only lower-case letters, digits, hyphens and dots are allowed");
        }
        let ends_plain = |label: &[u8]| {
            label.first().is_some_and(|b| plain(*b)) && label.last().is_some_and(|b| plain(*b))
        };
        if !bytes.split(|b| *b == b'.').all(ends_plain) {
            return invalid("each label must begin and end with a letter or digit");
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return invalid("looks like an IP address");
        }
        Ok(BucketName(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The decimal APPID behind the last hyphen, if the name ends with one.
    pub fn appid(&self) -> Option<u64> {
        let (_, digits) = self.0.rsplit_once('-')?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    }
}

impl std::fmt::Display for BucketName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of an object: 1 to 1024 bytes of UTF-8. `/` has no meaning.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Bytes);

impl ObjectKey {
    pub fn new(key: &str) -> Result<ObjectKey> {
        if key.is_empty() {
            return Err(Error::InvalidKey("empty"));
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::KeyTooLong { max: KEY_BYTES_MAX });
        }
        Ok(ObjectKey(Bytes::copy_from_slice(key.as_bytes())))
    }

    /// From a stored group; anything stored passed `new` once.
    pub fn from_stored(bytes: &[u8]) -> Result<ObjectKey> {
        match std::str::from_utf8(bytes) {
            Ok(key) => ObjectKey::new(key),
            Err(_) => Err(Error::Damaged("a stored key is not UTF-8".into())),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The group of the key's rows.
    pub fn group(&self) -> Bytes {
        self.0.clone()
    }
}

impl std::fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Id of a multipart upload: 48 bits of its start in milliseconds, so that ids
/// of a key sort by age, then 80 random bits. Clients see 32 hex digits, which
/// pass through URLs unescaped (cos-go-sdk-v5 does not escape them).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub [u8; 16]);

impl UploadId {
    pub fn fresh(now_ms: u64, entropy: &dyn crate::env::Entropy) -> UploadId {
        let mut id = entropy.id();
        id[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        UploadId(id)
    }

    /// When the upload began, in ms since 1970.
    pub fn initiated_ms(&self) -> u64 {
        self.0[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }

    /// Whatever is not such an id names no upload.
    pub fn parse(text: &str) -> Option<UploadId> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(UploadId(id))
    }

    /// The suffix of the upload's row.
    pub fn suffix(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl std::fmt::Display for UploadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for UploadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for good in ["abc", "my-bucket-1250000000", "a.b.c", "0ab", &"a".repeat(63)] {
            assert!(BucketName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            &"a".repeat(64),
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "a..b",
            "a.-b",
            "a-.b",
            "10.0.0.1",
            "a/b",
        ] {
            assert!(BucketName::new(bad).is_err(), "{bad}");
        }
        assert_eq!(BucketName::new("x-y-125").unwrap().appid(), Some(125));
        assert_eq!(BucketName::new("x-y-12a").unwrap().appid(), None);
        assert_eq!(BucketName::new("plain").unwrap().appid(), None);
    }

    #[test]
    fn keys() {
        assert!(ObjectKey::new("").is_err());
        assert!(ObjectKey::new(&"k".repeat(1024)).is_ok());
        assert!(matches!(ObjectKey::new(&"k".repeat(1025)), Err(Error::KeyTooLong { max: 1024 })));
    }

    #[test]
    fn upload_ids_round_trip() {
        let id = UploadId([7; 16]);
        assert_eq!(UploadId::parse(&id.to_string()), Some(id));
        assert_eq!(UploadId::parse("nonsense"), None);
    }
}
