//! Versions of objects: their ids, and whether a bucket keeps them.

mod list;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;

use crate::env::Entropy;
use crate::error::{Error, Result};

pub(crate) use list::Listed;
pub use list::{ListVersions, VersionEntry, VersionPage};

/// Whether a bucket keeps the versions that a write replaces. The numbers are
/// stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Versioning {
    /// Never had it: an object has no versions.
    #[default]
    Never = 0,
    /// Each write makes a version with an id of its own.
    Enabled = 1,
    /// Writes replace the version `null` and keep the others.
    Suspended = 2,
}

impl Versioning {
    pub fn from_number(number: u32) -> Result<Versioning> {
        let all = [Versioning::Never, Versioning::Enabled, Versioning::Suspended];
        let found = all.into_iter().find(|versioning| *versioning as u32 == number);
        found.ok_or_else(|| Error::Damaged("unknown state of versioning".into()))
    }

    /// Whether objects may have versions.
    pub fn has_versions(self) -> bool {
        self != Versioning::Never
    }
}

/// Names a version of a key: the complement of its sequence number, so that the
/// newest sorts first, then four random bytes, so that no id comes again after
/// its version was deleted.
///
/// Clients see base64 of decimal digits, as COS's ids are (S3's may be any text):
/// twenty of the first number, ten of the second.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId([u8; 12]);

/// Sequence numbers are the time with this many bits behind each millisecond.
const BITS_PER_MS: u32 = 20;

impl VersionId {
    /// Stands for a version written before the bucket kept any. Clients never
    /// see it.
    pub const OLDEST: VersionId = VersionId([255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]);

    /// Bytes of a stored id.
    pub const LEN: usize = 12;

    /// An id for the version that follows `latest`, whatever the clock says.
    pub fn after(latest: VersionId, now_ms: u64, entropy: &dyn Entropy) -> VersionId {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let fraction = u64::from_le_bytes(random) >> (64 - BITS_PER_MS);
        let time = (now_ms << BITS_PER_MS) | fraction;
        let sequence = time.max(latest.sequence().saturating_add(1));
        let mut id = [0; 12];
        id[..8].copy_from_slice(&(!sequence).to_be_bytes());
        id[8..].copy_from_slice(&random[..4]);
        VersionId(id)
    }

    fn first(&self) -> u64 {
        self.0[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn second(&self) -> u32 {
        self.0[8..].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    fn sequence(&self) -> u64 {
        !self.first()
    }

    /// Whatever is not such an id names no version.
    pub fn parse(text: &str) -> Option<VersionId> {
        let digits = BASE64.decode(text).ok()?;
        if digits.len() != 30 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = std::str::from_utf8(&digits).ok()?;
        let (first, second): (u64, u32) = (digits[..20].parse().ok()?, digits[20..].parse().ok()?);
        let mut id = [0; 12];
        id[..8].copy_from_slice(&first.to_be_bytes());
        id[8..].copy_from_slice(&second.to_be_bytes());
        Some(VersionId(id)).filter(|id| id.sequence() > 0)
    }

    /// The id in a record or in the suffix of a row.
    pub fn from_stored(bytes: &[u8]) -> Result<VersionId> {
        let id = bytes.try_into().map(VersionId);
        id.map_err(|_| Error::Damaged("a version id has a wrong length".into()))
    }

    /// The suffix of the version's row.
    pub fn suffix(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64.encode(format!("{:020}{:010}", self.first(), self.second())))
    }
}

impl std::fmt::Debug for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A version as clients name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionRef {
    /// The one that was written while the bucket gave out no ids.
    Null,
    Id(VersionId),
}

impl VersionRef {
    pub fn parse(text: &str) -> Option<VersionRef> {
        match text {
            "null" => Some(VersionRef::Null),
            text => VersionId::parse(text).map(VersionRef::Id),
        }
    }

    /// The name of a record's version.
    pub(crate) fn of(version: &[u8], is_null: bool) -> Result<VersionRef> {
        match is_null || version.is_empty() {
            true => Ok(VersionRef::Null),
            false => VersionId::from_stored(version).map(VersionRef::Id),
        }
    }
}

impl std::fmt::Display for VersionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VersionRef::Null => f.write_str("null"),
            VersionRef::Id(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(u8);

    impl Entropy for Bytes {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    const NOW: u64 = 1_795_000_000_123;

    #[test]
    fn newer_ones_sort_first_whatever_the_clock_says() {
        let mut latest = VersionId::OLDEST;
        for (now, chance) in
            [(NOW, 255), (NOW, 0), (NOW, 7), (NOW + 1, 0), (NOW - 9999, 255), (0, 1)]
        {
            let next = VersionId::after(latest, now, &Bytes(chance));
            assert!(next < latest, "{now} {chance}");
            latest = next;
        }
    }

    #[test]
    fn texts_round_trip() {
        let id = VersionId::after(VersionId::OLDEST, NOW, &Bytes(255));
        let text = id.to_string();
        assert!(text.len() == 40 && text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}");
        assert_eq!(VersionId::parse(&text), Some(id));
        assert_eq!(VersionId::from_stored(&id.suffix()).unwrap(), id);
        assert_eq!(VersionRef::parse("null"), Some(VersionRef::Null));
        assert_eq!(VersionRef::Id(id).to_string(), text);
        let oldest = VersionId::OLDEST.to_string();
        for bad in ["", "x", "Null", &text[1..], &oldest, &BASE64.encode("9".repeat(30))] {
            assert_eq!(VersionRef::parse(bad), None, "{bad}");
        }
    }
}
