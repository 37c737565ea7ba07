//! Storage classes: what a class is kept by.
//!
//! Clients name classes, each dialect its own; a name stands for one of the
//! [`StorageClass`]es, which has a [`Tier`]: a place for its bytes and the codec that
//! they are written with. What is stored says itself where it is and how it is
//! written ([`BlobAddress`]), so a change of the configuration concerns what is
//! written after it.

mod address;
mod frames;

use std::sync::Arc;

pub use address::{BlobAddress, Coding};
pub(crate) use address::{blobs, delete_blob, open_blob};
pub(crate) use frames::Packer;

use crate::record::Content;

/// What a class's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageClass {
    Standard,
    StandardIa,
    IntelligentTiering,
    Archive,
    DeepArchive,
    MazStandard,
    MazStandardIa,
    MazIntelligentTiering,
    MazArchive,
    ReducedRedundancy,
    OnezoneIa,
    Outposts,
    Snow,
    ExpressOnezone,
    FsxOpenzfs,
}

use StorageClass::*;

/// The names of both dialects. Each is accepted in both, as an object's class must
/// survive being copied by a client of the other.
const NAMES: [(&str, StorageClass); 17] = [
    ("STANDARD", Standard),
    ("STANDARD_IA", StandardIa),
    ("INTELLIGENT_TIERING", IntelligentTiering),
    ("ARCHIVE", Archive),
    ("DEEP_ARCHIVE", DeepArchive),
    ("MAZ_STANDARD", MazStandard),
    ("MAZ_STANDARD_IA", MazStandardIa),
    ("MAZ_INTELLIGENT_TIERING", MazIntelligentTiering),
    ("MAZ_ARCHIVE", MazArchive),
    ("REDUCED_REDUNDANCY", ReducedRedundancy),
    ("ONEZONE_IA", OnezoneIa),
    ("GLACIER", Archive),
    (READ_AT_ONCE, Archive),
    ("OUTPOSTS", Outposts),
    ("SNOW", Snow),
    ("EXPRESS_ONEZONE", ExpressOnezone),
    ("FSX_OPENZFS", FsxOpenzfs),
];

/// Kept as ARCHIVE is, but whoever asks S3 for it counts on reading it at once.
const READ_AT_ONCE: &str = "GLACIER_IR";

impl StorageClass {
    /// The names that clients can give.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// By the name that a client gives; the empty one is STANDARD's.
    pub fn from_name(name: &str) -> Option<StorageClass> {
        if name.is_empty() {
            return Some(Standard);
        }
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class)
    }

    /// The class whose tier it has while none is configured for it.
    fn stands_in(self) -> Option<StorageClass> {
        match self {
            MazStandardIa | OnezoneIa => Some(StandardIa),
            MazIntelligentTiering => Some(IntelligentTiering),
            MazArchive => Some(Archive),
            Standard => None,
            _ => Some(Standard),
        }
    }
}

/// Whether an object of the class of this name has to be restored before it is read.
pub fn needs_restore(name: &str) -> bool {
    let archived =
        || matches!(StorageClass::from_name(name), Some(Archive | DeepArchive | MazArchive));
    !name.is_empty() && name != READ_AT_ONCE && archived()
}

/// How far down the classes by these names are that lifecycles move objects through,
/// and whether they are of several zones, which no move leaves or enters.
fn depth(name: &str) -> Option<(bool, u8)> {
    Some(match name {
        "" | "STANDARD" => (false, 0),
        "STANDARD_IA" => (false, 1),
        "INTELLIGENT_TIERING" => (false, 2),
        "ONEZONE_IA" => (false, 3),
        "GLACIER_IR" => (false, 4),
        "ARCHIVE" | "GLACIER" => (false, 5),
        "DEEP_ARCHIVE" => (false, 6),
        "MAZ_STANDARD" => (true, 0),
        "MAZ_STANDARD_IA" => (true, 1),
        "MAZ_INTELLIGENT_TIERING" => (true, 2),
        _ => return None,
    })
}

/// Whether a lifecycle may move an object of the one class to the other: down only.
/// From one zone to colder ones of several there is no way.
pub(crate) fn may_sink(from: &str, to: &str) -> bool {
    match (depth(from), depth(to)) {
        // What is kept in one zone is not to be taken for what is read at once in all.
        _ if from == "ONEZONE_IA" && to == "GLACIER_IR" => false,
        (Some((zones, above)), Some((same, below))) => zones == same && above < below,
        _ => false,
    }
}

/// Of classes to which the same object may sink, the deepest is the greatest.
pub(crate) fn depth_of(name: &str) -> u8 {
    depth(name).map_or(0, |(_, depth)| depth)
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    #[default]
    None,
    /// In frames, each by itself, at this level (1 to 19).
    Zstd(i32),
}

/// Where the bytes of a class are kept, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    /// A place that the engine knows; `None` for its own.
    pub place: Option<Arc<str>>,
    pub codec: Codec,
}

impl Tier {
    /// Whether bytes that were written for this tier are kept so. Small bodies beside
    /// their rows belong to every tier of the engine's own place.
    pub(crate) fn holds(&self, content: &Option<Content>) -> bool {
        match content {
            None => true,
            Some(Content::Inline(_)) => self.place.is_none(),
            Some(Content::Blob(address)) => BlobAddress::decode(address).is_ok_and(|address| {
                let coded = address.coding != Coding::Plain;
                address.place == self.place && coded == (self.codec != Codec::None)
            }),
            // Its target's are somewhere else.
            Some(Content::Link(_)) => true,
            // What its parts are is said by their rows.
            Some(Content::Parts(_)) => false,
        }
    }

    /// Whether both have one place and one codec, at different levels.
    pub(crate) fn differs_in_level(&self, other: &Tier) -> bool {
        let coded = |tier: &Tier| tier.codec != Codec::None;
        self.place == other.place && coded(self) && coded(other) && self.codec != other.codec
    }
}

/// The tier of each class.
#[derive(Clone, Debug)]
pub struct Tiers(Vec<(StorageClass, Tier)>);

impl Default for Tiers {
    fn default() -> Self {
        let zstd = |level| Tier { place: None, codec: Codec::Zstd(level) };
        Tiers(vec![(Archive, zstd(3)), (DeepArchive, zstd(9))])
    }
}

impl Tiers {
    pub fn set(&mut self, class: StorageClass, tier: Tier) {
        self.0.retain(|(known, _)| *known != class);
        self.0.push((class, tier));
    }

    /// The tier for objects of the class of this name.
    pub fn of(&self, name: &str) -> &Tier {
        static PLAIN: Tier = Tier { place: None, codec: Codec::None };
        let mut class = StorageClass::from_name(name);
        while let Some(looked_up) = class {
            if let Some((_, tier)) = self.0.iter().find(|(known, _)| *known == looked_up) {
                return tier;
            }
            class = looked_up.stands_in();
        }
        &PLAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_dialects() {
        assert_eq!(StorageClass::from_name(""), Some(Standard));
        assert_eq!(StorageClass::from_name("GLACIER"), Some(Archive));
        assert_eq!(StorageClass::from_name("GLACIER_IR"), Some(Archive));
        assert_eq!(StorageClass::from_name("glacier"), None);
        for name in ["ARCHIVE", "GLACIER", "DEEP_ARCHIVE", "MAZ_ARCHIVE"] {
            assert!(needs_restore(name), "{name}");
        }
        for name in ["", "STANDARD", "STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"] {
            assert!(!needs_restore(name), "{name}");
        }
    }

    #[test]
    fn objects_only_sink() {
        let down = ["", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER"];
        for (above, from) in down.iter().enumerate() {
            for (below, to) in down.iter().enumerate() {
                assert_eq!(may_sink(from, to), above < below, "{from} to {to}");
            }
        }
        assert!(may_sink("GLACIER_IR", "ARCHIVE") && may_sink("GLACIER", "DEEP_ARCHIVE"));
        assert!(!may_sink("GLACIER", "ARCHIVE") && !may_sink("ONEZONE_IA", "GLACIER_IR"));
        assert!(may_sink("MAZ_STANDARD", "MAZ_STANDARD_IA"));
        assert!(!may_sink("MAZ_STANDARD", "STANDARD_IA") && !may_sink("", "MAZ_STANDARD_IA"));
        assert!(!may_sink("SNOW", "DEEP_ARCHIVE") && !may_sink("", "STANDARD"));
    }

    #[test]
    fn a_class_without_a_tier_has_that_of_another() {
        let cold = Tier { place: Some("cold".into()), codec: Codec::None };
        let mut tiers = Tiers::default();
        assert_eq!(tiers.of("MAZ_ARCHIVE").codec, Codec::Zstd(3));
        assert_eq!(tiers.of("GLACIER_IR").codec, Codec::Zstd(3));
        assert_eq!(*tiers.of("ONEZONE_IA"), Tier::default());
        tiers.set(StandardIa, cold.clone());
        assert_eq!(*tiers.of("ONEZONE_IA"), cold);
        assert_eq!(*tiers.of("MAZ_STANDARD_IA"), cold);
        assert_eq!(*tiers.of(""), Tier::default());
        tiers.set(Standard, cold.clone());
        assert_eq!(*tiers.of("SNOW"), cold);
        assert_eq!(tiers.of("GLACIER").codec, Codec::Zstd(3));
    }
}
