//! Rules: what they are, which are refused, and what they apply to.

use bytes::Bytes;
use prost::Message;

use crate::error::Error;
use crate::limits::{
    KEY_BYTES_MAX, LIFECYCLE_ID_CHARS_MAX, LIFECYCLE_NEWER_MAX, LIFECYCLE_RULES_MAX,
};
use crate::record::Pair;
use crate::tags::Tags;
use crate::tier::{depth_of, may_sink, needs_restore};

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
    /// Which objects are too small for transitions.
    #[prost(enumeration = "TransitionMinimum", tag = "4")]
    pub minimum: i32,
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
    /// Of current objects.
    #[prost(message, repeated, tag = "15")]
    pub transitions: Vec<Transition>,
    #[prost(message, repeated, tag = "16")]
    pub noncurrent_transitions: Vec<NoncurrentTransition>,
}

/// A move to another storage class.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Transition {
    #[prost(oneof = "TransitionTime", tags = "1, 2")]
    pub time: Option<TransitionTime>,
    /// As the client named it.
    #[prost(string, tag = "3")]
    pub class: String,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub enum TransitionTime {
    /// After the object's last modification.
    #[prost(uint32, tag = "1")]
    Days(u32),
    /// Milliseconds since 1970.
    #[prost(uint64, tag = "2")]
    Date(u64),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NoncurrentTransition {
    /// Since the next version was written.
    #[prost(uint32, tag = "1")]
    pub days: u32,
    /// So many noncurrent versions stay where they are, the newest; 0 for none.
    #[prost(uint32, tag = "2")]
    pub newer: u32,
    #[prost(string, tag = "3")]
    pub class: String,
}

/// Which objects transitions pass over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum TransitionMinimum {
    /// All below 64 KiB: COS.
    Always64K = 0,
    /// All below 128 KiB, unless a rule's filter names sizes itself: S3's default.
    Always128K = 1,
    /// Those, but not on their way into an archive.
    Varies = 2,
}

/// What a client's service allows in rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleBounds {
    /// Longest time.
    pub days_max: u32,
    /// Shortest time before an object moves to a class of infrequent access, and before
    /// it moves on.
    pub infrequent_days_min: u32,
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
    #[error("no transition leads to such a class")]
    NoSuchTransition,
    #[error("a rule has two transitions to one class")]
    SameClass,
    #[error("a rule has both days and dates")]
    MixedTimes,
    #[error("{field} of a transition to {class} is less than {min}")]
    TooSoon { field: &'static str, class: &'static str, min: u32 },
    #[error("{field} of a transition from {class} is less than {min} after its own")]
    TooSoonAfter { field: &'static str, class: &'static str, min: u32 },
    #[error("a transition to a colder class is not after the one before")]
    TransitionOrder,
    #[error("an expiration is not after a transition")]
    ExpiresBefore { field: &'static str },
}

const DAY_S: u64 = 86_400;

impl Lifecycle {
    /// Judges rules that a client wants.
    pub(super) fn check(&self, bounds: &RuleBounds) -> Result<(), Error> {
        self.check_rules(bounds)?;
        for rule in self.rules.iter().filter(|rule| !rule.tags.is_empty()) {
            Tags::of_object(rule.tags.clone())?;
        }
        Ok(())
    }

    fn check_rules(&self, bounds: &RuleBounds) -> Result<(), LifecycleFault> {
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
            rule.check(bounds)?;
            let expires = match rule.expiration {
                Some(Expiration::Date(ms)) => Some(ms),
                _ => None,
            };
            let moves = rule.transitions.iter().filter_map(|transition| match transition.time {
                Some(TransitionTime::Date(ms)) => Some(ms),
                _ => None,
            });
            for ms in moves.chain(expires) {
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
    fn check(&self, bounds: &RuleBounds) -> Result<(), LifecycleFault> {
        let days_max = bounds.days_max;
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
        let ends = self.expiration.is_some() || self.noncurrent.is_some();
        let moves = !self.transitions.is_empty() || !self.noncurrent_transitions.is_empty();
        if !ends && !moves && self.abort_days.is_none() {
            return Err(LifecycleFault::NoAction);
        }
        self.check_transitions(bounds)?;
        self.check_filter()
    }

    fn check_transitions(&self, bounds: &RuleBounds) -> Result<(), LifecycleFault> {
        let days_max = bounds.days_max;
        let too_long = |action, field| LifecycleFault::TooLarge { action, field, max: days_max };
        let mut times = Vec::new();
        for transition in &self.transitions {
            let (is_days, time) = match transition.time {
                Some(TransitionTime::Days(days)) if days > days_max => {
                    return Err(too_long("Transition", "Days"));
                }
                Some(TransitionTime::Days(days)) => {
                    check_infrequent("Days", &transition.class, days, bounds)?;
                    (true, u64::from(days))
                }
                Some(TransitionTime::Date(ms)) => (false, ms),
                None => return Err(LifecycleFault::NoSuchTransition),
            };
            times.push((is_days, time, transition.class.as_str()));
        }
        let expires = match self.expiration {
            Some(Expiration::Days(days)) => Some((true, u64::from(days))),
            Some(Expiration::Date(ms)) => Some((false, ms)),
            Some(Expiration::LoneMarker(_)) | None => None,
        };
        let all = times.iter().map(|(is_days, ..)| *is_days);
        let mut all = all.chain(expires.map(|(is_days, _)| is_days));
        let first = all.next();
        if all.any(|is_days| Some(is_days) != first) {
            return Err(LifecycleFault::MixedTimes);
        }
        let field = if first == Some(true) { "Days" } else { "Date" };
        let gap = if first == Some(true) { bounds.infrequent_days_min } else { 0 };
        check_order(field, gap, times.iter().map(|(_, time, class)| (*time, *class)))?;
        if let Some((_, end)) = expires
            && times.iter().any(|(_, time, _)| *time >= end)
        {
            return Err(LifecycleFault::ExpiresBefore { field });
        }
        for transition in &self.noncurrent_transitions {
            let action = "NoncurrentVersionTransition";
            if transition.days > days_max {
                return Err(too_long(action, "NoncurrentDays"));
            }
            if transition.newer > LIFECYCLE_NEWER_MAX {
                let (field, max) = ("NewerNoncurrentVersions", LIFECYCLE_NEWER_MAX);
                return Err(LifecycleFault::TooLarge { action, field, max });
            }
            check_infrequent("NoncurrentDays", &transition.class, transition.days, bounds)?;
        }
        let field = "NoncurrentDays";
        let moves = self.noncurrent_transitions.iter();
        let steps = moves.clone().map(|each| (u64::from(each.days), each.class.as_str()));
        check_order(field, bounds.infrequent_days_min, steps)?;
        match &self.noncurrent {
            Some(end) if moves.clone().any(|each| each.days >= end.days) => {
                Err(LifecycleFault::ExpiresBefore { field })
            }
            _ => Ok(()),
        }
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

    /// Whether an object of this size may move to a class.
    pub(super) fn moves_size(&self, size: u64, class: &str, minimum: TransitionMinimum) -> bool {
        let named = self.size_greater.is_some() || self.size_less.is_some();
        let is_large = named || size >= 128 << 10;
        match minimum {
            TransitionMinimum::Always64K => size >= 64 << 10,
            TransitionMinimum::Always128K => is_large,
            TransitionMinimum::Varies => is_large || needs_restore(class),
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

const INFREQUENT: [&str; 2] = ["STANDARD_IA", "ONEZONE_IA"];

/// Classes of infrequent access want an object to have been there for a while.
fn check_infrequent(
    field: &'static str,
    class: &str,
    days: u32,
    bounds: &RuleBounds,
) -> Result<(), LifecycleFault> {
    let min = bounds.infrequent_days_min;
    match INFREQUENT.into_iter().find(|infrequent| *infrequent == class) {
        Some(class) if days < min => Err(LifecycleFault::TooSoon { field, class, min }),
        _ => Ok(()),
    }
}

/// Classes that transitions lead to, each once, and the colder the later; `gap` days
/// later than one of infrequent access at least.
fn check_order<'a>(
    field: &'static str,
    gap: u32,
    moves: impl Iterator<Item = (u64, &'a str)> + Clone,
) -> Result<(), LifecycleFault> {
    for (number, (time, class)) in moves.clone().enumerate() {
        if !may_sink("", class) && !may_sink("MAZ_STANDARD", class) {
            return Err(LifecycleFault::NoSuchTransition);
        }
        for (other_time, other) in moves.clone().take(number) {
            if depth_of(other) == depth_of(class) {
                return Err(LifecycleFault::SameClass);
            }
            if (depth_of(other) < depth_of(class)) != (other_time < time) {
                return Err(LifecycleFault::TransitionOrder);
            }
            let (early, late) = (other_time.min(time), other_time.max(time));
            let left = if early == time { class } else { other };
            if let Some(class) = INFREQUENT.into_iter().find(|infrequent| *infrequent == left)
                && late - early < u64::from(gap)
            {
                return Err(LifecycleFault::TooSoonAfter { field, class, min: gap });
            }
        }
    }
    Ok(())
}
