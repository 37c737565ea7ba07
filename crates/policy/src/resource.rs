//! What a statement is about: buckets and objects.

use crate::condition::Truth;
use crate::key::Key;
use crate::pattern::Pattern;
use crate::value::Facts;

/// What a request is about: a bucket, or an object of one.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub bucket: &'a str,
    pub region: &'a str,
    pub owner_uin: u64,
    pub owner_appid: u64,
    /// `None` for the bucket itself.
    pub key: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resource {
    All,
    /// Something of another service, by its whole name.
    Elsewhere(Pattern),
    /// IAM: `bucket` or `bucket/key`.
    Arn {
        path: Pattern,
        front: Front,
    },
    /// CAM: the bucket's region, its owner, and `bucket/key`; the bucket itself is
    /// `bucket/`.
    Qcs {
        region: Pattern,
        owner: Owner,
        path: Pattern,
        front: Front,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Owner {
    Any,
    AppId(u64),
    Uin(u64),
}

impl Owner {
    fn matches(self, target: &Target<'_>) -> bool {
        match self {
            Owner::Any => true,
            Owner::AppId(appid) => appid == target.owner_appid,
            Owner::Uin(uin) => uin == target.owner_uin,
        }
    }
}

/// A target's names in both grammars, made once for all statements.
pub(crate) struct Names {
    path: String,
    arn_len: usize,
}

impl Names {
    pub(crate) fn of(target: &Target<'_>) -> Names {
        let path = [target.bucket, "/", target.key.unwrap_or_default()].concat();
        let arn_len = if target.key.is_some() { path.len() } else { target.bucket.len() };
        Names { path, arn_len }
    }
}

impl Resource {
    pub(crate) fn matches(&self, target: &Target<'_>, names: &Names, facts: &dyn Facts) -> Truth {
        match self {
            Resource::All => Truth::True,
            Resource::Elsewhere(_) => Truth::False,
            Resource::Arn { path, .. } => path.matches(&names.path[..names.arn_len], facts),
            Resource::Qcs { region, owner, path, .. } => match owner.matches(target) {
                true => region.matches(target.region, facts).min(path.matches(&names.path, facts)),
                false => Truth::False,
            },
        }
    }

    /// Whether it can be what an action of another service is about.
    pub(crate) fn matches_elsewhere(&self, facts: &dyn Facts) -> Truth {
        match self {
            Resource::All => Truth::True,
            Resource::Elsewhere(pattern) => match facts.resources() {
                [] => Truth::Unknown,
                names => Truth::any(names.iter().map(|name| pattern.matches(name, facts))),
            },
            Resource::Arn { .. } | Resource::Qcs { .. } => Truth::False,
        }
    }

    pub(crate) fn asks(&self, about: &impl Fn(&Key) -> bool) -> bool {
        match self {
            Resource::All => false,
            Resource::Elsewhere(path) | Resource::Arn { path, .. } => path.asks(about),
            Resource::Qcs { region, path, .. } => region.asks(about) || path.asks(about),
        }
    }

    /// Whether it can be about a bucket or something in it.
    pub(crate) fn may_be_in(&self, target: &Target<'_>) -> bool {
        match self {
            Resource::All => true,
            Resource::Elsewhere(_) => false,
            Resource::Arn { front, .. } => front.begins(target.bucket),
            Resource::Qcs { region, owner, front, .. } => {
                owner.matches(target)
                    && region.may_match(target.region)
                    && front.begins(target.bucket)
            }
        }
    }
}

/// What a pattern's texts begin with: as far as it means itself, or to the end of
/// the bucket's name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Front {
    text: Box<str>,
    whole: bool,
}

impl Front {
    pub(crate) fn of(pattern: &str) -> Front {
        let end = pattern.find(['/', '*', '?', '$']).unwrap_or(pattern.len());
        let whole = pattern.as_bytes().get(end).is_none_or(|byte| *byte == b'/');
        Front { text: pattern[..end].into(), whole }
    }

    fn begins(&self, bucket: &str) -> bool {
        if self.whole { bucket == &*self.text } else { bucket.starts_with(&*self.text) }
    }
}
