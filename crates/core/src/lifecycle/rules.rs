//! Rules: what they are, which are refused, and what they apply to.

use bytes::Bytes;
use prost::Message;

use crate::error::Error;
use crate::limits::{
    KEY_BYTES_MAX, LIFECYCLE_ID_CHARS_MAX, LIFECYCLE_NEWER_MAX, LIFECYCLE_RULES_MAX,
};
use crate::record::Pair;
use crate::tags::Tags;

/// A bucket's rules, as they are stored beside its record.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Lifecycle {
    /// The bucket's record repeats it.
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    /// What midnight is to the service that the rules were written for, in seconds
    /// ahead of UTC: 0 for S3, eight hours for COS.
    #[prost(uint32, tag = "2")]
    pub utc_offset_s: u32,
    /// In the order in which they were sent.
    #[prost(message, repeated, tag = "3")]
    pub rules: Vec<Rule>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Rule {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    #[prost(enumeration = "FilterForm", tag = "3")]
    pub form: i32,
    #[prost(string, optional, tag = "4")]
    pub prefix: Option<String>,
    /// All of them.
    #[prost(message, repeated, tag = "5")]
    pub tags: Vec<Pair>,
    /// Only objects of more bytes.
    #[prost(uint64, optional, tag = "6")]
    pub size_greater: Option<u64>,
    /// Only objects of fewer bytes.
    #[prost(uint64, optional, tag = "7")]
    pub size_less: Option<u64>,
    #[prost(oneof = "Expiration", tags = "10, 11, 12")]
    pub expiration: Option<Expiration>,
    #[prost(message, optional, tag = "13")]
    pub noncurrent: Option<NoncurrentExpiration>,
    /// Days after which an upload that was not completed is aborted.
    #[prost(uint32, optional, tag = "14")]
    pub abort_days: Option<u32>,
}

/// How a rule's filter was written, to be shown the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum FilterForm {
    /// A prefix and no filter, S3's first form.
    Prefix = 0,
    /// A filter with one condition or none.
    One = 1,
    /// A filter with several.
    And = 2,
}

/// When a current object expires.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Expiration {
    /// After its last modification.
    #[prost(uint32, tag = "10")]
    Days(u32),
    /// Milliseconds since 1970.
    #[prost(uint64, tag = "11")]
    Date(u64),
    /// Not the object: a delete marker with nothing below, if true.
    #[prost(bool, tag = "12")]
    LoneMarker(bool),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NoncurrentExpiration {
    /// Since the next version was written.
    #[prost(uint32, tag = "1")]
    pub days: u32,
    /// So many noncurrent versions are kept, the newest; 0 for none.
    #[prost(uint32, tag = "2")]
    pub newer: u32,
}

/// Why rules are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleFault {
    #[error("there is no rule")]
    NoRules,
    #[error("there are more than {max} rules")]
    TooManyRules { max: usize },
    #[error("a rule's id has more than {max} characters")]
    IdTooLong { max: usize },
    #[error("two rules have the same id")]
    DuplicateId,
    #[error("a rule's prefix has more than {max} bytes")]
    PrefixTooLong { max: usize },
    #[error("some rules have a prefix, others a filter")]
    MixedForms,
    #[error("a rule does nothing")]
    NoAction,
    #[error("{field} of {action} is not a positive number")]
    NotPositive { action: &'static str, field: &'static str },
    #[error("{field} of {action} is more than {max}")]
    TooLarge { action: &'static str, field: &'static str, max: u32 },
    #[error("a date is not at midnight")]
    NotMidnight,
    #[error("{action} cannot depend on tags")]
    WithTags { action: &'static str },
    #[error("{action} cannot depend on sizes")]
    WithSize { action: &'static str },
    #[error("no size is within the filter's bounds")]
    NoSize,
}

const DAY_S: u64 = 86_400;

impl Lifecycle {
    /// Judges rules that a client wants. `days_max` is the longest time of the
    /// client's service.
    pub(super) fn check(&self, days_max: u32) -> Result<(), Error> {
        self.check_rules(days_max)?;
        for rule in self.rules.iter().filter(|rule| !rule.tags.is_empty()) {
            Tags::of_object(rule.tags.clone())?;
        }
        Ok(())
    }

    fn check_rules(&self, days_max: u32) -> Result<(), LifecycleFault> {
        if self.rules.is_empty() {
            return Err(LifecycleFault::NoRules);
        }
        if self.rules.len() > LIFECYCLE_RULES_MAX {
            return Err(LifecycleFault::TooManyRules { max: LIFECYCLE_RULES_MAX });
        }
        let mut ids = std::collections::HashSet::new();
        for rule in &self.rules {
            if rule.id.chars().count() > LIFECYCLE_ID_CHARS_MAX {
                return Err(LifecycleFault::IdTooLong { max: LIFECYCLE_ID_CHARS_MAX });
            }
            if !rule.id.is_empty() && !ids.insert(&rule.id) {
                return Err(LifecycleFault::DuplicateId);
            }
            rule.check(days_max)?;
            if let Some(Expiration::Date(ms)) = rule.expiration {
                let of_day = (ms / 1000 + u64::from(self.utc_offset_s)) % DAY_S;
                if of_day != 0 || ms % 1000 != 0 {
                    return Err(LifecycleFault::NotMidnight);
                }
            }
        }
        let old = self.rules.iter().filter(|rule| rule.form() == FilterForm::Prefix).count();
        match old {
            0 => Ok(()),
            all if all == self.rules.len() => Ok(()),
            _ => Err(LifecycleFault::MixedForms),
        }
    }

    /// The rules in force.
    pub fn enabled(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.enabled)
    }
}

impl Rule {
    fn check(&self, days_max: u32) -> Result<(), LifecycleFault> {
        if self.prefix.as_ref().is_some_and(|prefix| prefix.len() > KEY_BYTES_MAX) {
            return Err(LifecycleFault::PrefixTooLong { max: KEY_BYTES_MAX });
        }
        let days = |action, field, days: u32| match days {
            0 => Err(LifecycleFault::NotPositive { action, field }),
            days if days > days_max => {
                Err(LifecycleFault::TooLarge { action, field, max: days_max })
            }
            _ => Ok(()),
        };
        if let Some(Expiration::Days(count)) = self.expiration {
            days("Expiration", "Days", count)?;
        }
        if let Some(noncurrent) = &self.noncurrent {
            let action = "NoncurrentVersionExpiration";
            days(action, "NoncurrentDays", noncurrent.days)?;
            if noncurrent.newer > LIFECYCLE_NEWER_MAX {
                let field = "NewerNoncurrentVersions";
                return Err(LifecycleFault::TooLarge { action, field, max: LIFECYCLE_NEWER_MAX });
            }
        }
        if let Some(count) = self.abort_days {
            days("AbortIncompleteMultipartUpload", "DaysAfterInitiation", count)?;
        }
        if self.expiration.is_none() && self.noncurrent.is_none() && self.abort_days.is_none() {
            return Err(LifecycleFault::NoAction);
        }
        self.check_filter()
    }

    fn check_filter(&self) -> Result<(), LifecycleFault> {
        let above = self.size_greater.map_or(Some(0), |size| size.checked_add(1));
        match (above, self.size_less) {
            (None, _) => return Err(LifecycleFault::NoSize),
            (Some(above), Some(less)) if above >= less => return Err(LifecycleFault::NoSize),
            _ => {}
        }
        if self.abort_days.is_some() {
            let action = "AbortIncompleteMultipartUpload";
            if !self.tags.is_empty() {
                return Err(LifecycleFault::WithTags { action });
            }
            if self.size_greater.is_some() || self.size_less.is_some() {
                return Err(LifecycleFault::WithSize { action });
            }
        }
        match self.expiration {
            Some(Expiration::LoneMarker(_)) if !self.tags.is_empty() => {
                Err(LifecycleFault::WithTags { action: "ExpiredObjectDeleteMarker" })
            }
            _ => Ok(()),
        }
    }

    /// Whether an object, or a delete marker, which has no bytes and no tags, is one
    /// of the rule's.
    pub(super) fn applies(&self, key: &[u8], size: u64, tags: &[Pair]) -> bool {
        key.starts_with(self.prefix().as_bytes())
            && self.size_greater.is_none_or(|bound| size > bound)
            && self.size_less.is_none_or(|bound| size < bound)
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}
