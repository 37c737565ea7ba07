//! Tags of objects and buckets.

use crate::error::{Error, Result};
use crate::limits::{BUCKET_TAGS_MAX, OBJECT_TAGS_MAX, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX};
use crate::record::Pair;

/// Tags within their limits: keys that differ, neither keys nor values too long
/// or with characters that the services do not take. They are in the order of
/// their keys, so that the same tags are the same record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Pair>);

impl Tags {
    pub fn of_object(tags: Vec<Pair>) -> Result<Tags> {
        Tags::new(tags, OBJECT_TAGS_MAX)
    }

    pub fn of_bucket(tags: Vec<Pair>) -> Result<Tags> {
        Tags::new(tags, BUCKET_TAGS_MAX)
    }

    /// Tags that were checked before they were stored.
    pub fn from_stored(tags: Vec<Pair>) -> Tags {
        Tags(tags)
    }

    fn new(mut tags: Vec<Pair>, max: usize) -> Result<Tags> {
        if tags.len() > max {
            return Err(Error::InvalidTag("There are more tags than there may be."));
        }
        for tag in &tags {
            if !(1..=TAG_KEY_CHARS_MAX).contains(&tag.name.chars().count()) {
                return Err(Error::InvalidTag("The TagKey you have provided is invalid"));
            }
            if tag.value.chars().count() > TAG_VALUE_CHARS_MAX {
                return Err(Error::InvalidTag("The TagValue you have provided is invalid"));
            }
            if !tag.name.chars().chain(tag.value.chars()).all(is_allowed) {
                return Err(Error::InvalidTag("A tag has a character that tags cannot have."));
            }
            if is_reserved(&tag.name) {
                return Err(Error::InvalidTag("System tags cannot be added/updated by requester"));
            }
        }
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        if tags.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return Err(Error::InvalidTag("Cannot provide multiple Tags with the same key"));
        }
        Ok(Tags(tags))
    }

    pub fn as_slice(&self) -> &[Pair] {
        &self.0
    }

    pub fn into_vec(self) -> Vec<Pair> {
        self.0
    }
}

/// Keys that the services keep for themselves.
fn is_reserved(key: &str) -> bool {
    let prefix = key.as_bytes().get(..4).unwrap_or_default();
    prefix.eq_ignore_ascii_case(b"aws:") || prefix.eq_ignore_ascii_case(b"qcs:")
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ' ' | '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Vec<Pair> {
        let pair = |(name, value): &(&str, &str)| Pair {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn limits() {
        let (key, value) = ("k".repeat(128), "v".repeat(256));
        let many = |count: usize| -> Vec<Pair> {
            (0..count).map(|n| Pair { name: format!("k{n}"), value: String::new() }).collect()
        };
        assert!(Tags::of_object(many(10)).is_ok() && Tags::of_bucket(many(50)).is_ok());
        let good = tags(&[(&key, &value), ("页 a/b", "+-=._:/@"), ("c", "")]);
        assert!(Tags::of_object(good).is_ok());
        let sorted = Tags::of_object(tags(&[("b", "1"), ("a", "2")])).unwrap();
        assert_eq!(sorted.as_slice(), tags(&[("a", "2"), ("b", "1")]));
        for bad in [
            many(11),
            tags(&[("", "v")]),
            tags(&[(&format!("{key}k"), "v")]),
            tags(&[("k", &format!("{value}v"))]),
            tags(&[("k", "a"), ("l", ""), ("k", "b")]),
            tags(&[("aws:k", "v")]),
            tags(&[("AWS:k", "v")]),
            tags(&[("qcs:k", "v")]),
            tags(&[("k", "a&b")]),
            tags(&[("k\n", "")]),
        ] {
            assert!(matches!(Tags::of_object(bad.clone()), Err(Error::InvalidTag(_))), "{bad:?}");
        }
        assert!(Tags::of_bucket(many(51)).is_err());
    }
}
