//! What rules have in store for an object, a version, a delete marker or an
//! upload: plain functions of the rules, what is known of the thing, and a
//! calendar.

use super::calendar::Calendar;
use super::rules::{Expiration, Lifecycle, Rule, TransitionTime};
use crate::record::{ObjectRecord, Pair};
use crate::tier::{depth_of, may_sink};

/// When a rule ends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate<'a> {
    pub at_ms: u64,
    pub rule: &'a Rule,
}

/// A move that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sinking<'a> {
    pub class: &'a str,
    pub rule: &'a Rule,
}

/// What rules look at in an object or a version. A delete marker has no bytes and
/// no tags.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub key: &'a [u8],
    pub size: u64,
    pub tags: &'a [Pair],
    pub modified_ms: u64,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(key: &'a [u8], record: &'a ObjectRecord) -> Facts<'a> {
        Facts { key, size: record.size, tags: &record.tags, modified_ms: record.modified_ms }
    }
}

/// Where a version stands among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noncurrent {
    /// When the version after it was written.
    pub since_ms: u64,
    /// Noncurrent versions that are newer.
    pub newer: u32,
}

impl Lifecycle {
    pub fn calendar(&self, day_ms: u64) -> Calendar {
        Calendar::new(day_ms, self.utc_offset_s)
    }

    /// When the current object expires. Of several rules the first to come counts.
    pub fn expiration(&self, calendar: &Calendar, facts: &Facts<'_>) -> Option<Fate<'_>> {
        self.earliest(facts, |rule| match rule.expiration {
            Some(Expiration::Days(days)) => Some(calendar.after_days(facts.modified_ms, days)),
            Some(Expiration::Date(date)) => Some(date),
            Some(Expiration::LoneMarker(_)) | None => None,
        })
    }

    /// When a delete marker that nothing is below of goes. One goes at once where
    /// rules say so, and otherwise when an object of its age would expire.
    pub fn marker_removal(
        &self,
        calendar: &Calendar,
        key: &[u8],
        modified_ms: u64,
    ) -> Option<Fate<'_>> {
        let facts = Facts { key, size: 0, tags: &[], modified_ms };
        self.earliest(&facts, |rule| match rule.expiration {
            Some(Expiration::Days(days)) => Some(calendar.after_days(modified_ms, days)),
            Some(Expiration::Date(date)) => Some(date),
            Some(Expiration::LoneMarker(true)) => Some(modified_ms),
            Some(Expiration::LoneMarker(false)) | None => None,
        })
    }

    /// When a version that is not the current one goes for good.
    pub fn noncurrent_removal(
        &self,
        calendar: &Calendar,
        facts: &Facts<'_>,
        place: Noncurrent,
    ) -> Option<Fate<'_>> {
        self.earliest(facts, |rule| {
            let noncurrent = rule.noncurrent.as_ref()?;
            (place.newer >= noncurrent.newer)
                .then(|| calendar.after_days(place.since_ms, noncurrent.days))
        })
    }

    /// Where rules want a current object of this class to be by now: of several classes
    /// the coldest.
    pub fn transition(
        &self,
        calendar: &Calendar,
        facts: &Facts<'_>,
        class: &str,
        now_ms: u64,
    ) -> Option<Sinking<'_>> {
        self.deepest(facts, class, now_ms, |rule| {
            rule.transitions.iter().filter_map(|transition| {
                let at_ms = match transition.time? {
                    TransitionTime::Days(days) => calendar.after_days(facts.modified_ms, days),
                    TransitionTime::Date(date) => date,
                };
                Some((at_ms, transition.class.as_str()))
            })
        })
    }

    /// The same of a version that is not the current one.
    pub fn noncurrent_transition(
        &self,
        calendar: &Calendar,
        facts: &Facts<'_>,
        place: Noncurrent,
        class: &str,
        now_ms: u64,
    ) -> Option<Sinking<'_>> {
        self.deepest(facts, class, now_ms, |rule| {
            let moves = rule.noncurrent_transitions.iter();
            moves.filter(move |each| place.newer >= each.newer).map(move |each| {
                (calendar.after_days(place.since_ms, each.days), each.class.as_str())
            })
        })
    }

    fn deepest<'a, M: Iterator<Item = (u64, &'a str)>>(
        &'a self,
        facts: &Facts<'_>,
        class: &str,
        now_ms: u64,
        moves: impl Fn(&'a Rule) -> M,
    ) -> Option<Sinking<'a>> {
        let minimum = self.minimum();
        let due = self.enabled().flat_map(|rule| moves(rule).map(move |each| (rule, each)));
        let due = due.filter(|(rule, (at_ms, to))| {
            *at_ms <= now_ms
                && may_sink(class, to)
                && rule.moves_size(facts.size, to, minimum)
                && rule.applies(facts.key, facts.size, facts.tags)
        });
        let deepest = due.max_by_key(|(_, (_, to))| depth_of(to));
        deepest.map(|(rule, (_, class))| Sinking { class, rule })
    }

    /// When an upload that is still open is aborted.
    pub fn abortion(&self, calendar: &Calendar, key: &[u8], initiated_ms: u64) -> Option<Fate<'_>> {
        let facts = Facts { key, size: 0, tags: &[], modified_ms: initiated_ms };
        self.earliest(&facts, |rule| {
            rule.abort_days.map(|days| calendar.after_days(initiated_ms, days))
        })
    }

    fn earliest(&self, facts: &Facts<'_>, at: impl Fn(&Rule) -> Option<u64>) -> Option<Fate<'_>> {
        let applying = self.enabled().filter_map(|rule| {
            // The time first: most rules do not speak of this kind of thing at all.
            let at_ms = at(rule)?;
            let Facts { key, size, tags, .. } = *facts;
            rule.applies(key, size, tags).then_some(Fate { at_ms, rule })
        });
        applying.min_by_key(|fate| fate.at_ms)
    }
}

/// Follows the versions of one key after the other, each key's newest first, and
/// knows where among them each one stands.
#[derive(Debug, Default)]
pub struct Chain {
    key: Vec<u8>,
    /// The version before, which is the next newer one.
    newer: Option<Newer>,
}

#[derive(Debug)]
struct Newer {
    modified_ms: u64,
    /// `None` for the current version.
    place: Option<Noncurrent>,
}

impl Chain {
    /// `None`: it is its key's current version.
    pub fn next(&mut self, key: &[u8], modified_ms: u64) -> Option<Noncurrent> {
        if self.key != key {
            self.key.clear();
            self.key.extend_from_slice(key);
            self.newer = None;
        }
        let place = self.newer.as_ref().map(|newer| Noncurrent {
            since_ms: newer.modified_ms,
            newer: newer.place.map_or(0, |place| place.newer.saturating_add(1)),
        });
        self.newer = Some(Newer { modified_ms, place });
        place
    }
}
