//! Query strings, decoded once.

use std::borrow::Cow;

use crate::percent::{PercentError, decode_query};

/// The decoded parameters of a query string in their order. `?acl` and `?acl=`
/// are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Parses what follows the question mark. Empty pieces (`a&&b`) are nothing.
    /// The length is bounded by the listener's limit on the request line.
    pub fn parse(text: &'a str) -> Result<Query<'a>, PercentError> {
        let mut pairs = Vec::new();
        for piece in text.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            pairs.push((decode_query(name)?, decode_query(value)?));
        }
        Ok(Query { pairs })
    }

    /// The first value under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// The first value under this name in any case: COS's clients write
    /// `versionId` and `VersionId`.
    pub fn get_any_case(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs as signatures see them.
    pub fn pairs(&self) -> &[(Cow<'a, str>, Cow<'a, str>)] {
        &self.pairs
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_before_it_decodes() {
        let query = Query::parse("acl&prefix=a%26b%3Dc+d&marker=x=y&&empty=&%61=1").unwrap();
        let pairs: Vec<_> = query.iter().collect();
        assert_eq!(
            pairs,
            [("acl", ""), ("prefix", "a&b=c d"), ("marker", "x=y"), ("empty", ""), ("a", "1")]
        );
        assert!(query.has("acl") && !query.has("ACL"));
        assert_eq!(query.get_any_case("Prefix"), Some("a&b=c d"));
    }

    #[test]
    fn refuses_bad_escapes_anywhere() {
        assert_eq!(Query::parse("a=%"), Err(PercentError::InvalidEscape));
        assert_eq!(Query::parse("a%f=1"), Err(PercentError::InvalidEscape));
        assert_eq!(Query::parse("a=%ff"), Err(PercentError::NotUtf8));
        assert!(Query::parse("").unwrap().is_empty());
    }
}
