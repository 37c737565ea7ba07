//! Listing versions: each key's, newest first.
//!
//! A page is made of two scans. Objects from before the bucket kept versions have
//! only their object row, everything else a version row. The object rows are read
//! first: an object that gets its version row meanwhile is then seen in one or
//! both, never in neither.

use bytes::Bytes;
use prost::Message;

use super::{VersionId, VersionRef};
use crate::bucket::Bucket;
use crate::engine::{RowRef, Table};
use crate::error::Result;
use crate::list::{KeyPage, KeyQuery, ObjectEntry};
use crate::names::ObjectKey;
use crate::object::History;
use crate::record::{ListedRecord, ObjectRecord, decode_listed};
use crate::store::Store;

#[derive(Clone, Debug, Default)]
pub struct ListVersions {
    pub prefix: String,
    /// Empty for none; may have several characters.
    pub delimiter: String,
    /// Versions of later keys; of this very key only those older than
    /// `version_marker`, and none without one.
    pub key_marker: String,
    pub version_marker: Option<VersionRef>,
    pub max: usize,
}

#[derive(Clone, Debug)]
pub struct VersionEntry {
    /// `None` in a bucket that never kept versions.
    pub version: Option<VersionRef>,
    pub is_latest: bool,
    pub delete_marker: bool,
    pub object: ObjectEntry,
}

pub type VersionPage = KeyPage<VersionEntry>;

/// A record of an object or a version, as far as whoever lists them wants to know it.
pub(crate) trait VersionRow: Message + Default + 'static {
    /// Empty without a version row.
    fn version(&self) -> &Bytes;
    fn is_null(&self) -> bool;
    fn is_marker(&self) -> bool;
}

macro_rules! version_row {
    ($($record:ty),*) => {$(
        impl VersionRow for $record {
            fn version(&self) -> &Bytes {
                &self.version
            }

            fn is_null(&self) -> bool {
                self.null_version
            }

            fn is_marker(&self) -> bool {
                self.delete_marker
            }
        }
    )*};
}

version_row!(ListedRecord, ObjectRecord);

/// A version and its record.
#[derive(Clone, Debug)]
pub(crate) struct Listed<R> {
    /// `None` in a bucket that never kept versions.
    pub version: Option<VersionRef>,
    pub is_latest: bool,
    pub record: R,
}

/// A row of either scan. Object rows whose record has a version row say only how
/// far the scan came.
struct Row<R> {
    /// `None` in an object row.
    id: Option<VersionId>,
    record: R,
}

impl Store {
    pub async fn list_versions(
        &self,
        bucket: &Bucket,
        request: &ListVersions,
    ) -> Result<VersionPage> {
        Ok(self.list_version_records(bucket, request).await?.map(VersionEntry::of))
    }

    pub(crate) async fn list_version_records<R: VersionRow>(
        &self,
        bucket: &Bucket,
        request: &ListVersions,
    ) -> Result<KeyPage<Listed<R>>> {
        if request.max == 0 {
            return Ok(KeyPage::empty());
        }
        loop {
            let page = self.list_versions_once(bucket, request).await?;
            // What the first scan met may be gone before the second.
            if page.last().is_some() || !page.truncated {
                return Ok(page);
            }
        }
    }

    async fn list_versions_once<R: VersionRow>(
        &self,
        bucket: &Bucket,
        request: &ListVersions,
    ) -> Result<KeyPage<Listed<R>>> {
        let marker = self.marker_suffix(bucket, request).await?;
        let query = |after_suffix| KeyQuery {
            prefix: request.prefix.clone(),
            delimiter: request.delimiter.clone(),
            after_group: request.key_marker.clone(),
            after_suffix,
            max: request.max.saturating_add(1),
        };
        let partition = bucket.partition();
        let read_object = |key: &[u8], _: &[u8], value: &[u8]| {
            Some(Row { id: None, record: decode_listed(key, value, "object record") })
        };
        let objects = self.list_rows(partition, Table::Object, query(None), read_object).await?;
        let has_versions = bucket.versioning().has_versions();
        let versions = match has_versions {
            true => {
                let read_version = |key: &[u8], suffix: &[u8], value: &[u8]| {
                    let Ok(id) = VersionId::from_stored(suffix) else {
                        tracing::error!(
                            ?key,
                            ?suffix,
                            "a list leaves out a version with a wrong name"
                        );
                        return None;
                    };
                    Some(Row { id: Some(id), record: decode_listed(key, value, "version record") })
                };
                self.list_rows(partition, Table::Version, query(marker), read_version).await?
            }
            false => KeyPage::empty(),
        };
        Ok(merge(request, has_versions, objects, versions))
    }

    /// Where in the rows of the marker's key the page begins.
    async fn marker_suffix(
        &self,
        bucket: &Bucket,
        request: &ListVersions,
    ) -> Result<Option<Bytes>> {
        match request.version_marker {
            None => Ok(None),
            Some(VersionRef::Id(id)) => Ok(Some(id.suffix())),
            Some(VersionRef::Null) => {
                let Ok(key) = ObjectKey::new(&request.key_marker) else {
                    return Ok(None);
                };
                let row = RowRef::only(Table::History);
                let row = self.read_row(bucket.partition(), &key.group(), row).await?;
                let null = History::read(row)?.record.null_version;
                // Without a row it is the key's only version.
                Ok((!null.is_empty()).then_some(null))
            }
        }
    }
}

fn merge<R: VersionRow>(
    request: &ListVersions,
    has_versions: bool,
    objects: KeyPage<Row<R>>,
    versions: KeyPage<Row<R>>,
) -> KeyPage<Listed<R>> {
    // Beyond the end of the shorter scan nobody knows what comes first.
    let ends = [&objects, &versions].map(|page| page.truncated.then(|| page.last()).flatten());
    let end = ends.iter().flatten().min().map(|end| (*end).to_owned());
    let mut truncated = end.is_some();
    let within = |key: &str| end.as_deref().is_none_or(|end| key <= end);

    let mut page = KeyPage::empty();
    let mut prefixes: Vec<String> =
        objects.common_prefixes.into_iter().chain(versions.common_prefixes).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let mut prefixes = prefixes.into_iter().filter(|prefix| within(prefix)).peekable();
    let mut objects = objects
        .entries
        .into_iter()
        .filter(|(key, row)| row.record.version().is_empty() && within(key))
        .peekable();
    let mut versions = versions.entries.into_iter().filter(|(key, _)| within(key)).peekable();
    // The key before: its newest version is behind us.
    let mut before = request.version_marker.map(|_| request.key_marker.clone());
    loop {
        // An object that has a version row is listed with the versions.
        if let (Some((object, _)), Some((version, _))) = (objects.peek(), versions.peek())
            && object == version
        {
            objects.next();
            continue;
        }
        let next = [
            prefixes.peek().map(String::as_str),
            objects.peek().map(|(key, _)| key.as_str()),
            versions.peek().map(|(key, _)| key.as_str()),
        ];
        let Some(first) = next.into_iter().flatten().min() else { break };
        if page.entries.len() + page.common_prefixes.len() == request.max {
            truncated = true;
            break;
        }
        if next[0] == Some(first) {
            page.common_prefixes.extend(prefixes.next());
            continue;
        }
        let from_objects = next[1] == Some(first);
        let entry = if from_objects { objects.next() } else { versions.next() };
        let Some((key, row)) = entry else { break };
        let is_latest = from_objects || before.as_ref() != Some(&key);
        page.entries.push((key.clone(), describe(row, is_latest, has_versions)));
        before = Some(key);
    }
    page.truncated = truncated;
    page
}

fn describe<R: VersionRow>(
    Row { id, record }: Row<R>,
    is_latest: bool,
    has_versions: bool,
) -> Listed<R> {
    let named = id.filter(|id| *id != VersionId::OLDEST && !record.is_null());
    let version = has_versions.then(|| named.map_or(VersionRef::Null, VersionRef::Id));
    Listed { version, is_latest, record }
}

impl VersionEntry {
    fn of(Listed { version, is_latest, record }: Listed<ListedRecord>) -> VersionEntry {
        let delete_marker = record.is_marker();
        VersionEntry { version, is_latest, delete_marker, object: ObjectEntry::of(record) }
    }
}

impl VersionPage {
    /// The version of the page's last entry, if that is not a common prefix.
    pub fn last_version(&self) -> Option<VersionRef> {
        let (key, entry) = self.entries.last()?;
        (self.last() == Some(key)).then_some(entry.version).flatten()
    }
}
