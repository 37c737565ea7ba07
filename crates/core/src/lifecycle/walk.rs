//! Walking a bucket for what is due.
//!
//! Each kind of thing has a walk of its own over the one table that shows it, so
//! that rules about current objects never meet a version, and only below the
//! prefixes that rules name: what lies between is passed by seeking. A walk holds
//! one page of rows, whatever the bucket holds.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::calendar::Calendar;
use super::fate::{Chain, Facts, Sinking};
use super::removal::Found;
use super::rules::{Expiration, Lifecycle, Rule};
use super::sinking::Older;
use crate::engine::{Engine, Partition, ScanRange, Step, Table};
use crate::error::Result;
use crate::names::{ObjectKey, UploadId};
use crate::record::{HistoryRecord, ObjectRecord, UploadRecord, decode};
use crate::scan::{OwnedRow, behind};
use crate::tiering::TieringLaw;

/// Rows in memory at once.
const PAGE_ROWS: usize = 512;

/// What is walked, in this order: when the versions are gone, the marker on top of
/// them may go in the same round. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Aspect {
    Objects = 0,
    Noncurrent = 1,
    Markers = 2,
    Uploads = 3,
}

impl Aspect {
    pub const ALL: [Aspect; 4] =
        [Aspect::Objects, Aspect::Noncurrent, Aspect::Markers, Aspect::Uploads];

    fn table(self) -> Table {
        match self {
            Aspect::Objects => Table::Object,
            Aspect::Noncurrent => Table::Version,
            // A key has such a row while a delete marker is its current version.
            Aspect::Markers => Table::History,
            Aspect::Uploads => Table::Upload,
        }
    }

    /// Whether it is of things that may be moved.
    fn has_bytes(self) -> bool {
        matches!(self, Aspect::Objects | Aspect::Noncurrent)
    }

    /// Whether a rule has anything to do with it.
    fn concerns(self, rule: &Rule) -> bool {
        use Expiration::{Date, Days, LoneMarker};
        match self {
            Aspect::Objects => {
                let expires = matches!(rule.expiration, Some(Days(_) | Date(_)));
                expires || !rule.transitions.is_empty()
            }
            Aspect::Noncurrent => {
                rule.noncurrent.is_some() || !rule.noncurrent_transitions.is_empty()
            }
            Aspect::Markers => {
                let expires = matches!(rule.expiration, Some(Days(_) | Date(_) | LoneMarker(true)));
                expires && rule.tags.is_empty()
            }
            Aspect::Uploads => rule.abort_days.is_some(),
        }
    }
}

/// One aspect of one bucket.
pub(super) struct Walk {
    aspect: Aspect,
    partition: Partition,
    lifecycle: Arc<Lifecycle>,
    calendar: Calendar,
    tiering: Option<TieringLaw>,
    /// Sorted, and none begins with another.
    prefixes: Arc<Vec<Bytes>>,
    chain: Chain,
    /// `None` at the end.
    next: Option<ScanRange>,
}

/// Where a walk goes on after a restart: the first row it looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub group: Bytes,
    pub suffix: Bytes,
}

/// Something to be ended.
pub(super) struct Due {
    pub found: Found,
    /// Of an object or a version.
    pub bytes: u64,
    /// Whose doing it is; empty while that is not known.
    pub rule_id: String,
}

/// What a page has shown.
#[derive(Default)]
pub(super) struct Page {
    pub rows: usize,
    pub found: Vec<Due>,
    /// Rows that cannot be read.
    pub damaged: usize,
    /// Where to go on.
    pub place: Place,
}

impl Walk {
    /// `None`: no rule is about it, nor is intelligent tiering.
    pub fn begin(
        aspect: Aspect,
        partition: Partition,
        lifecycle: &Arc<Lifecycle>,
        tiering: Option<&TieringLaw>,
        day_ms: u64,
        place: &Place,
    ) -> Option<Walk> {
        let rules = lifecycle.enabled().filter(|rule| aspect.concerns(rule));
        let tiering = tiering.filter(|_| aspect.has_bytes());
        let prefixes = rules.map(Rule::prefix).chain(tiering.map(|_| ""));
        let prefixes = disjoint(prefixes.collect());
        let first = prefixes.first()?.clone();
        let next = match place.group < first {
            true => ScanRange { start_group: first, ..ScanRange::all() },
            false => ScanRange {
                start_group: place.group.clone(),
                start_suffix: place.suffix.clone(),
                ..ScanRange::all()
            },
        };
        Some(Walk {
            aspect,
            partition,
            calendar: lifecycle.calendar(day_ms),
            lifecycle: lifecycle.clone(),
            tiering: tiering.cloned(),
            prefixes: Arc::new(prefixes),
            chain: Chain::default(),
            next: Some(next),
        })
    }

    /// The next page; `None` at the end.
    pub async fn page(&mut self, engine: &dyn Engine, now_ms: u64) -> Result<Option<Page>> {
        let Some(range) = self.next.take() else { return Ok(None) };
        let rows = self.rows(engine, range).await?;
        let Some(next) = behind(&rows) else { return Ok(None) };
        let last = rows.last().map(|row| row.group.clone()).unwrap_or_default();
        let mut page = Page { rows: rows.len(), ..Page::default() };
        for row in rows {
            match self.judge(&row, now_ms) {
                Ok(found) => page.found.extend(found),
                Err(error) => {
                    let key = String::from_utf8_lossy(&row.group);
                    tracing::error!(%key, %error, "lifecycle passes over a damaged row");
                    page.damaged += 1;
                }
            }
        }
        page.place = match self.aspect {
            // Where a version stands is known from the versions before it.
            Aspect::Noncurrent => Place { group: last, suffix: Bytes::new() },
            _ => Place { group: next.start_group.clone(), suffix: next.start_suffix.clone() },
        };
        self.next = Some(next);
        Ok(Some(page))
    }

    async fn rows(&self, engine: &dyn Engine, range: ScanRange) -> Result<Vec<OwnedRow>> {
        let found = Arc::new(Mutex::new(Vec::new()));
        let visit = {
            let (found, prefixes) = (found.clone(), self.prefixes.clone());
            move |group: &[u8], suffix: &[u8], value: &[u8]| {
                // The only prefix that the key may have is the last one up to it.
                let behind = prefixes.partition_point(|prefix| prefix.as_ref() <= group);
                let has_one = behind > 0 && group.starts_with(&prefixes[behind - 1]);
                if !has_one {
                    return prefixes.get(behind).map_or(Step::Stop, |p| Step::SeekGroup(p.clone()));
                }
                let mut found = found.lock();
                found.push(OwnedRow {
                    group: Bytes::copy_from_slice(group),
                    suffix: Bytes::copy_from_slice(suffix),
                    value: Bytes::copy_from_slice(value),
                });
                if found.len() < PAGE_ROWS { Step::Next } else { Step::Stop }
            }
        };
        let table = self.aspect.table();
        engine.index().scan(self.partition, table, range, Box::new(visit)).await?;
        let rows = std::mem::take(&mut *found.lock());
        Ok(rows)
    }

    /// What a row shows to be due.
    fn judge(&mut self, row: &OwnedRow, now_ms: u64) -> Result<Option<Due>> {
        let (rules, calendar, key) = (&self.lifecycle, &self.calendar, row.group.as_ref());
        let (fate, found, bytes) = match self.aspect {
            Aspect::Objects => {
                let record: ObjectRecord = decode(&row.value, "object record")?;
                let (facts, object) = (Facts::of(key, &record), ObjectKey::from_stored(key)?);
                let fate = rules.expiration(calendar, &facts);
                if fate.is_none_or(|fate| fate.at_ms > now_ms) {
                    let sinking = rules.transition(calendar, &facts, &record.storage_class, now_ms);
                    let found = Found::Sinking(object, None);
                    return Ok(self.moves(key, &record, sinking, found, now_ms));
                }
                (fate, Found::Object(object), record.size)
            }
            Aspect::Noncurrent => {
                let record: ObjectRecord = decode(&row.value, "version record")?;
                let Some(place) = self.chain.next(key, record.modified_ms) else {
                    return Ok(None);
                };
                let (facts, object) = (Facts::of(key, &record), ObjectKey::from_stored(key)?);
                let fate = rules.noncurrent_removal(calendar, &facts, place);
                let (suffix, row) = (row.suffix.clone(), row.value.clone());
                if fate.is_none_or(|fate| fate.at_ms > now_ms) {
                    let class = &record.storage_class;
                    let sinking =
                        rules.noncurrent_transition(calendar, &facts, place, class, now_ms);
                    let older = Some(Older { suffix, row, place });
                    let found = Found::Sinking(object, older);
                    return Ok(self.moves(key, &record, sinking, found, now_ms));
                }
                (fate, Found::Version { key: object, suffix, row, place }, record.size)
            }
            Aspect::Markers => {
                let record: HistoryRecord = decode(&row.value, "history record")?;
                // How old it is, is in another row.
                if record.marker.is_empty() {
                    return Ok(None);
                }
                let found = Found::Marker(ObjectKey::from_stored(key)?);
                return Ok(Some(Due { found, bytes: 0, rule_id: String::new() }));
            }
            Aspect::Uploads => {
                let record: UploadRecord = decode(&row.value, "upload record")?;
                let id = row.suffix.as_ref().try_into().map(UploadId);
                let id = id.map_err(|_| damaged("an upload has a wrong name"))?;
                let fate = rules.abortion(calendar, key, record.initiated_ms);
                (fate, Found::Upload(ObjectKey::from_stored(key)?, id), 0)
            }
        };
        let due = fate.filter(|fate| fate.at_ms <= now_ms);
        Ok(due.map(|fate| Due { found, bytes, rule_id: fate.rule.id.clone() }))
    }

    /// What becomes of something that stays, but not where it is.
    fn moves(
        &self,
        key: &[u8],
        record: &ObjectRecord,
        sinking: Option<Sinking<'_>>,
        found: Found,
        now_ms: u64,
    ) -> Option<Due> {
        if !record.may_move() {
            return None;
        }
        let bytes = record.size;
        if let Some(sinking) = sinking {
            return Some(Due { found, bytes, rule_id: sinking.rule.id.clone() });
        }
        self.tiering.as_ref()?.settles(key, record, now_ms)?;
        Some(Due { found, bytes, rule_id: String::new() })
    }
}

fn damaged(what: &str) -> crate::Error {
    crate::Error::Damaged(what.to_owned())
}

/// The prefixes that cover all keys which these cover, sorted, none beginning with
/// another.
fn disjoint(mut prefixes: Vec<&str>) -> Vec<Bytes> {
    prefixes.sort_unstable();
    let mut kept: Vec<Bytes> = Vec::new();
    for prefix in prefixes {
        if !kept.last().is_some_and(|last| prefix.as_bytes().starts_with(last)) {
            kept.push(Bytes::copy_from_slice(prefix.as_bytes()));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_within_others_are_dropped() {
        let check = |given: &[&str], want: &[&str]| {
            let kept = disjoint(given.to_vec());
            let want: Vec<_> = want.iter().map(|p| Bytes::copy_from_slice(p.as_bytes())).collect();
            assert_eq!(kept, want);
        };
        check(&["b", "a/b", "a/", "a", "b", "ab"], &["a", "b"]);
        check(&["x", "", "y"], &[""]);
        check(&["log/", "logs/"], &["log/", "logs/"]);
        check(&[], &[]);
    }
}
