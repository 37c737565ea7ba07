//! What a bucket's rules would end now, without ending it.

use std::sync::Arc;

use bytes::Bytes;

use super::calendar::Calendar;
use super::fate::{Chain, Facts};
use super::removal::Found;
use super::rules::Lifecycle;
use super::sinking::Older;
use super::walk::{Aspect, Due, Place, Walk};
use crate::bucket::Bucket;
use crate::engine::{ScanRange, Table};
use crate::error::{Error, Result};
use crate::names::ObjectKey;
use crate::pace::Pace;
use crate::record::{ObjectRecord, decode};
use crate::scan::{behind, rows};
use crate::store::Store;
use crate::version::{VersionId, VersionRef};

/// Rows of one key in memory at once.
const PAGE_ROWS: usize = 512;

/// What would become of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The object goes for good.
    Deleted,
    /// A delete marker is put on top of the object, or in the place of the `null`
    /// version.
    Marked,
    VersionRemoved,
    MarkerRemoved,
    UploadAborted,
    /// The object or the version gets another class.
    Moved,
}

impl Ending {
    pub const ALL: [Ending; 6] = [
        Ending::Deleted,
        Ending::Marked,
        Ending::VersionRemoved,
        Ending::MarkerRemoved,
        Ending::UploadAborted,
        Ending::Moved,
    ];
}

/// Everything that would end in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foretold {
    pub count: u64,
    /// Of objects and versions.
    pub bytes: u64,
    /// The first ones.
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub key: String,
    /// Of a version that is not the current one.
    pub version: Option<VersionRef>,
    pub rule_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Rows looked at.
    pub rows: u64,
    /// In the order of [`Ending::ALL`].
    pub endings: [Foretold; 6],
}

impl Store {
    /// Walks a bucket as a round would that began now, at this rate.
    pub async fn preview_lifecycle(
        &self,
        bucket: &Bucket,
        rows_per_second: u64,
        examples_max: usize,
    ) -> Result<Preview> {
        let rules = self.lifecycle(bucket).await?;
        let (day_ms, partition) = (self.options.day_ms, bucket.partition());
        let mut pace = Pace::new(rows_per_second);
        let mut preview = Preview::default();
        for aspect in Aspect::ALL {
            let walk = Walk::begin(aspect, partition, &rules, None, day_ms, &Place::default());
            let Some(mut walk) = walk else { continue };
            while let Some(page) = walk.page(&*self.engine, self.now_ms()).await? {
                preview.rows += page.rows as u64;
                for due in &page.found {
                    if let Some((ending, example)) = self.foretell(bucket, &rules, due).await? {
                        let told = &mut preview.endings[ending as usize];
                        told.count += 1;
                        told.bytes += due.bytes;
                        if told.examples.len() < examples_max {
                            told.examples.push(example);
                        }
                    }
                }
                pace.spent(page.rows as u64).await;
            }
        }
        Ok(preview)
    }

    async fn foretell(
        &self,
        bucket: &Bucket,
        rules: &Arc<Lifecycle>,
        due: &Due,
    ) -> Result<Option<(Ending, Example)>> {
        let mut version = None;
        let mut rule_id = due.rule_id.clone();
        let (ending, key) = match &due.found {
            Found::Object(key) if bucket.versioning().has_versions() => (Ending::Marked, key),
            Found::Object(key) => {
                if bucket.settings().lock.is_some()
                    && let Some(record) = self.current_object(bucket, key).await?.record
                    && self.is_locked(&record).await?
                {
                    return Ok(None);
                }
                (Ending::Deleted, key)
            }
            Found::Version { key, suffix, row, .. } => {
                let record: ObjectRecord = decode(row, "version record")?;
                if self.is_locked(&record).await? {
                    return Ok(None);
                }
                version = Some(named(suffix, &record)?);
                (Ending::VersionRemoved, key)
            }
            Found::Sinking(key, older) => {
                if let Some(Older { suffix, row, .. }) = older {
                    let record: ObjectRecord = decode(row, "version record")?;
                    version = Some(named(suffix, &record)?);
                }
                (Ending::Moved, key)
            }
            Found::Marker(key) => match self.last_marker(bucket, key, rules).await? {
                Some(rule) => {
                    rule_id = rule;
                    (Ending::MarkerRemoved, key)
                }
                None => return Ok(None),
            },
            Found::Upload(key, _) => (Ending::UploadAborted, key),
        };
        let example = Example { key: key.as_str().to_owned(), version, rule_id };
        Ok(Some((ending, example)))
    }

    async fn is_locked(&self, record: &ObjectRecord) -> Result<bool> {
        match self.check_unlocked(record, false).await {
            Err(Error::Locked) => Ok(true),
            judged => judged.map(|()| false),
        }
    }

    /// The rule that removes a key's delete marker, when there is nothing below it
    /// but what the same round removes before.
    async fn last_marker(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        rules: &Lifecycle,
    ) -> Result<Option<String>> {
        let calendar: Calendar = rules.calendar(self.options.day_ms);
        let (now_ms, group): (u64, Bytes) = (self.now_ms(), key.group());
        let (mut chain, mut marker) = (Chain::default(), None);
        let mut range = ScanRange::group(group.clone());
        let end_group = range.end_group.clone();
        loop {
            let (engine, partition) = (&*self.engine, bucket.partition());
            let page = rows(engine, partition, Table::Version, range, PAGE_ROWS).await?;
            let Some(next) = behind(&page) else { break };
            for row in &page {
                let record: ObjectRecord = decode(&row.value, "version record")?;
                let facts = Facts::of(&group, &record);
                let goes = match chain.next(&group, record.modified_ms) {
                    None if record.delete_marker => {
                        marker = Some(record.modified_ms);
                        true
                    }
                    None => false,
                    Some(place) => {
                        let fate = rules.noncurrent_removal(&calendar, &facts, place);
                        fate.is_some_and(|fate| fate.at_ms <= now_ms)
                            && !self.is_locked(&record).await?
                    }
                };
                if !goes {
                    return Ok(None);
                }
            }
            range = ScanRange { end_group: end_group.clone(), ..next };
        }
        let Some(modified_ms) = marker else { return Ok(None) };
        let fate = rules.marker_removal(&calendar, &group, modified_ms);
        Ok(fate.filter(|fate| fate.at_ms <= now_ms).map(|fate| fate.rule.id.clone()))
    }
}

/// What clients call the version of a row.
fn named(suffix: &Bytes, record: &ObjectRecord) -> Result<VersionRef> {
    let is_null = record.null_version || *suffix == VersionId::OLDEST.suffix();
    VersionRef::of(suffix, is_null)
}
