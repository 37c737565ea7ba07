//! Numbers of storage classes in counters, by the name that the client gave. A name
//! keeps its number for ever.

/// Names that nobody could give when they were counted.
const OTHER: u8 = 255;

const NUMBERS: [(&str, u8); 17] = [
    ("STANDARD", 0),
    ("STANDARD_IA", 1),
    ("INTELLIGENT_TIERING", 2),
    ("ARCHIVE", 3),
    ("DEEP_ARCHIVE", 4),
    ("MAZ_STANDARD", 5),
    ("MAZ_STANDARD_IA", 6),
    ("MAZ_INTELLIGENT_TIERING", 7),
    ("MAZ_ARCHIVE", 8),
    ("REDUCED_REDUNDANCY", 9),
    ("ONEZONE_IA", 10),
    ("GLACIER", 11),
    ("GLACIER_IR", 12),
    ("OUTPOSTS", 13),
    ("SNOW", 14),
    ("EXPRESS_ONEZONE", 15),
    ("FSX_OPENZFS", 16),
];

/// The empty name is STANDARD's.
pub(super) fn number(name: &str) -> u8 {
    if name.is_empty() {
        return 0;
    }
    NUMBERS.iter().find(|(known, _)| *known == name).map_or(OTHER, |(_, number)| *number)
}

pub(super) fn name(number: u8) -> &'static str {
    NUMBERS.iter().find(|(_, known)| *known == number).map_or("OTHER", |(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::StorageClass;

    #[test]
    fn each_class_that_can_be_given_has_its_number() {
        for (name, number) in NUMBERS {
            assert!(StorageClass::from_name(name).is_some(), "{name}");
            assert_eq!((super::number(name), super::name(number)), (number, name));
        }
        for name in StorageClass::names() {
            assert_ne!(number(name), OTHER, "{name}");
        }
        assert_eq!((number(""), number("COLD"), super::name(77)), (0, OTHER, "OTHER"));
    }
}
