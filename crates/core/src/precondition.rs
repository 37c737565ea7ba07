//! Conditions of requests on the present object, judged by one function for
//! reads and one for writes, in the order of RFC 9110 section 13.2.2.

use crate::error::{Error, Result};

/// ETags as objects have them, without quotes. A weak one keeps its `W/`, which no
/// object's has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtagCondition {
    Any,
    OneOf(Vec<String>),
}

impl EtagCondition {
    /// Parses an `If-Match` style header: `*`, or ETags with or without quotes. Among
    /// ETags `*` still means any.
    pub fn parse(header: &str) -> EtagCondition {
        if header.split(',').any(|tag| tag.trim() == "*") {
            return EtagCondition::Any;
        }
        let tags = header.split(',').map(|tag| {
            let tag = tag.trim();
            match tag.strip_prefix("W/") {
                Some(weak) => format!("W/{}", weak.trim_matches('"')),
                None => tag.trim_matches('"').to_owned(),
            }
        });
        EtagCondition::OneOf(tags.collect())
    }

    /// As `If-Match` compares (RFC 9110 section 13.1.1): a weak tag says that the
    /// bytes may differ, and matches nothing.
    fn matches(&self, etag: &str) -> bool {
        match self {
            EtagCondition::Any => true,
            EtagCondition::OneOf(tags) => tags.iter().any(|tag| tag == etag),
        }
    }

    /// As `If-None-Match` compares (RFC 9110 section 13.1.2): a weak tag is as good
    /// as another.
    fn matches_weakly(&self, etag: &str) -> bool {
        match self {
            EtagCondition::Any => true,
            EtagCondition::OneOf(tags) => {
                tags.iter().any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
            }
        }
    }
}

/// Conditions of a get, head or copy source. Times in whole seconds.
#[derive(Clone, Debug, Default)]
pub struct ReadConditions {
    pub if_match: Option<EtagCondition>,
    pub if_none_match: Option<EtagCondition>,
    pub if_modified_since: Option<u64>,
    pub if_unmodified_since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadVerdict {
    Proceed,
    NotModified,
    Failed { condition: &'static str },
}

impl ReadConditions {
    pub fn judge(&self, etag: &str, modified_ms: u64) -> ReadVerdict {
        let modified = modified_ms / 1000;
        if let Some(tags) = &self.if_match {
            if !tags.matches(etag) {
                return ReadVerdict::Failed { condition: "If-Match" };
            }
        } else if self.if_unmodified_since.is_some_and(|since| modified > since) {
            return ReadVerdict::Failed { condition: "If-Unmodified-Since" };
        }
        if let Some(tags) = &self.if_none_match {
            if tags.matches_weakly(etag) {
                return ReadVerdict::NotModified;
            }
        } else if self.if_modified_since.is_some_and(|since| modified <= since) {
            return ReadVerdict::NotModified;
        }
        ReadVerdict::Proceed
    }

    /// As a copy's source: there is no "not modified", only failure.
    pub fn judge_copy_source(&self, etag: &str, modified_ms: u64) -> Result<()> {
        match self.judge(etag, modified_ms) {
            ReadVerdict::Proceed => Ok(()),
            ReadVerdict::Failed { condition } => Err(Error::PreconditionFailed { condition }),
            ReadVerdict::NotModified => Err(Error::PreconditionFailed {
                condition: match self.if_none_match {
                    Some(_) => "If-None-Match",
                    None => "If-Modified-Since",
                },
            }),
        }
    }
}

/// Conditions of a put, complete, copy target or delete.
#[derive(Clone, Debug, Default)]
pub struct WriteConditions {
    pub if_match: Option<EtagCondition>,
    pub if_none_match: Option<EtagCondition>,
    /// `x-cos-forbid-overwrite: true`.
    pub forbid_overwrite: bool,
    /// `x-amz-if-match-last-modified-time` of a delete, in seconds.
    pub if_match_modified: Option<u64>,
    /// `x-amz-if-match-size` of a delete.
    pub if_match_size: Option<u64>,
}

/// What a write condition looks at.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    pub etag: &'a str,
    pub modified_ms: u64,
    pub size: u64,
}

impl WriteConditions {
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none()
            && self.if_none_match.is_none()
            && !self.forbid_overwrite
            && self.if_match_modified.is_none()
            && self.if_match_size.is_none()
    }

    pub fn judge(&self, current: Option<Current<'_>>) -> Result<()> {
        let failed = |condition| Err(Error::PreconditionFailed { condition });
        let Some(current) = current else {
            // AWS answers 404 to a conditional write that needs an object. What
            // a deletion asks of size or time holds where nothing is left to
            // delete.
            let needs_object = self.if_match.is_some();
            return if needs_object { Err(Error::NoSuchKey) } else { Ok(()) };
        };
        if self.forbid_overwrite {
            return Err(Error::AlreadyExists);
        }
        if self.if_match.as_ref().is_some_and(|tags| !tags.matches(current.etag)) {
            return failed("If-Match");
        }
        if self.if_none_match.as_ref().is_some_and(|tags| tags.matches_weakly(current.etag)) {
            return failed("If-None-Match");
        }
        if self.if_match_modified.is_some_and(|time| time != current.modified_ms / 1000) {
            return failed("x-amz-if-match-last-modified-time");
        }
        if self.if_match_size.is_some_and(|size| size != current.size) {
            return failed("x-amz-if-match-size");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_700_000_000;

    fn read(f: impl FnOnce(&mut ReadConditions)) -> ReadVerdict {
        let mut conditions = ReadConditions::default();
        f(&mut conditions);
        conditions.judge("abc", T * 1000 + 400)
    }

    #[test]
    fn reads() {
        use ReadVerdict::*;
        let tags = |t: &str| Some(EtagCondition::parse(t));
        assert_eq!(read(|_| ()), Proceed);
        assert_eq!(read(|c| c.if_match = tags("\"abc\"")), Proceed);
        assert_eq!(read(|c| c.if_match = tags("\"x\", \"abc\"")), Proceed);
        assert_eq!(read(|c| c.if_match = tags("*")), Proceed);
        assert_eq!(read(|c| c.if_match = tags("x")), Failed { condition: "If-Match" });
        assert_eq!(read(|c| c.if_match = tags("W/\"abc\"")), Failed { condition: "If-Match" });
        assert_eq!(read(|c| c.if_match = tags("W/\"abc\", \"abc\"")), Proceed);
        assert_eq!(read(|c| c.if_none_match = tags("W/\"abc\"")), NotModified);
        assert_eq!(read(|c| c.if_none_match = tags("x")), Proceed);
        assert_eq!(read(|c| c.if_modified_since = Some(T)), NotModified);
        assert_eq!(read(|c| c.if_modified_since = Some(T - 1)), Proceed);
        assert_eq!(read(|c| c.if_unmodified_since = Some(T)), Proceed);
        assert_eq!(
            read(|c| c.if_unmodified_since = Some(T - 1)),
            Failed { condition: "If-Unmodified-Since" }
        );
        // A matching If-Match makes If-Unmodified-Since irrelevant, and a
        // failing If-None-Match outranks If-Modified-Since.
        assert_eq!(
            read(|c| {
                c.if_match = tags("abc");
                c.if_unmodified_since = Some(T - 1);
            }),
            Proceed
        );
        assert_eq!(
            read(|c| {
                c.if_none_match = tags("x");
                c.if_modified_since = Some(T + 1);
            }),
            Proceed
        );
    }

    #[test]
    fn writes() {
        let current = Some(Current { etag: "abc", modified_ms: T * 1000, size: 3 });
        let check = |f: fn(&mut WriteConditions), current| {
            let mut conditions = WriteConditions::default();
            f(&mut conditions);
            conditions.judge(current)
        };
        assert!(check(|_| (), current).is_ok());
        assert!(check(|_| (), None).is_ok());
        let star: fn(&mut WriteConditions) = |c| c.if_none_match = Some(EtagCondition::Any);
        assert!(check(star, None).is_ok());
        assert!(matches!(check(star, current), Err(Error::PreconditionFailed { .. })));
        let matching: fn(&mut WriteConditions) =
            |c| c.if_match = Some(EtagCondition::parse("\"abc\""));
        assert!(check(matching, current).is_ok());
        assert!(matches!(check(matching, None), Err(Error::NoSuchKey)));
        let forbid: fn(&mut WriteConditions) = |c| c.forbid_overwrite = true;
        assert!(check(forbid, None).is_ok());
        assert!(matches!(check(forbid, current), Err(Error::AlreadyExists)));
        let size: fn(&mut WriteConditions) = |c| c.if_match_size = Some(4);
        assert!(matches!(check(size, current), Err(Error::PreconditionFailed { .. })));
    }
}
