//! Listing keys: one engine for objects and for uploads.
//!
//! A page is one scan. With a delimiter, everything under a common prefix is
//! skipped by seeking past it, so a page costs by what it shows and not by what
//! lies beneath. Order is bytewise on the UTF-8 of the keys.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::bucket::Bucket;
use crate::checksum::Checksum;
use crate::engine::{Partition, ScanRange, Step, Table};
use crate::error::Result;
use crate::record::{AccessRecord, ListedRecord, RestoreRecord, StoredChecksum, decode_listed};
use crate::store::Store;
use crate::tiering::AccessTier;

#[derive(Clone, Debug, Default)]
pub struct ListObjects {
    pub prefix: String,
    /// Empty for none; may have several characters.
    pub delimiter: String,
    /// Exclusive. If it is itself a common prefix of this listing, everything
    /// under it is skipped.
    pub after: String,
    pub max: usize,
}

#[derive(Clone, Debug)]
pub struct ObjectEntry {
    pub size: u64,
    pub modified_ms: u64,
    /// Without quotes.
    pub etag: String,
    pub storage_class: String,
    pub checksums: Vec<Checksum>,
    pub restore: Option<RestoreRecord>,
    access: Option<AccessRecord>,
}

impl ObjectEntry {
    pub(crate) fn of(record: ListedRecord) -> ObjectEntry {
        ObjectEntry {
            size: record.size,
            modified_ms: record.modified_ms,
            etag: record.etag_text(),
            checksums: record.checksums.iter().filter_map(StoredChecksum::get).collect(),
            access: record.access,
            storage_class: record.storage_class,
            restore: record.restore,
        }
    }

    /// `None` for objects that are not in intelligent tiering.
    pub fn access_tier(&self, now_ms: u64) -> Option<AccessTier> {
        AccessTier::of(&self.storage_class, self.access.as_ref(), self.restore.as_ref(), now_ms)
    }
}

/// A page in order; entries and prefixes together are at most the maximum.
#[derive(Clone, Debug)]
pub struct KeyPage<E> {
    pub entries: Vec<(String, E)>,
    pub common_prefixes: Vec<String>,
    pub truncated: bool,
}

pub type ObjectPage = KeyPage<ObjectEntry>;

impl<E> KeyPage<E> {
    pub(crate) fn empty() -> KeyPage<E> {
        KeyPage { entries: Vec::new(), common_prefixes: Vec::new(), truncated: false }
    }

    pub(crate) fn map<F>(self, entry: impl Fn(E) -> F) -> KeyPage<F> {
        let KeyPage { entries, common_prefixes, truncated } = self;
        let entries = entries.into_iter().map(|(key, of)| (key, entry(of))).collect();
        KeyPage { entries, common_prefixes, truncated }
    }

    /// The last key or common prefix of the page: where the next one begins.
    pub fn last(&self) -> Option<&str> {
        let entry = self.entries.last().map(|(key, _)| key.as_str());
        let prefix = self.common_prefixes.last().map(String::as_str);
        entry.max(prefix)
    }
}

pub(crate) struct KeyQuery {
    pub prefix: String,
    pub delimiter: String,
    pub after_group: String,
    /// `None` skips all rows of `after_group`.
    pub after_suffix: Option<Bytes>,
    pub max: usize,
}

impl Store {
    pub async fn list_objects(&self, bucket: &Bucket, request: &ListObjects) -> Result<ObjectPage> {
        let query = KeyQuery {
            prefix: request.prefix.clone(),
            delimiter: request.delimiter.clone(),
            after_group: request.after.clone(),
            after_suffix: None,
            max: request.max,
        };
        self.list_rows(bucket.partition(), Table::Object, query, |key, _, value| {
            Some(ObjectEntry::of(decode_listed(key, value, "object record")))
        })
        .await
    }

    /// `read` makes an entry of a row's group, suffix and value, or leaves it out.
    pub(crate) async fn list_rows<E: Send + 'static>(
        &self,
        partition: Partition,
        table: Table,
        query: KeyQuery,
        read: impl Fn(&[u8], &[u8], &[u8]) -> Option<E> + Send + 'static,
    ) -> Result<KeyPage<E>> {
        let page = KeyPage::empty();
        if query.max == 0 {
            return Ok(page);
        }
        let range = start(&query);
        if range.end_group.as_ref().is_some_and(|end| range.start_group >= *end) {
            return Ok(page);
        }
        let shared = Arc::new(Mutex::new(page));
        let visit = {
            let shared = shared.clone();
            move |group: &[u8], suffix: &[u8], value: &[u8]| {
                visit_row(&query, &mut shared.lock(), &read, group, suffix, value)
            }
        };
        self.engine.index().scan(partition, table, range, Box::new(visit)).await?;
        let mut shared = shared.lock();
        Ok(std::mem::replace(&mut *shared, KeyPage::empty()))
    }
}

fn start(query: &KeyQuery) -> ScanRange {
    let after = query.after_group.as_bytes();
    let mut range = ScanRange::default();
    if query.delimiter.is_empty() {
        // One more, which tells that there are more.
        range.rows_wanted = query.max.saturating_add(1);
    }
    if !query.prefix.is_empty() {
        range.end_group = end_of_prefix(query.prefix.as_bytes());
    }
    if after < query.prefix.as_bytes() {
        range.start_group = Bytes::copy_from_slice(query.prefix.as_bytes());
    } else if let Some(suffix) = &query.after_suffix {
        range.start_group = Bytes::copy_from_slice(after);
        let mut beyond = suffix.to_vec();
        beyond.push(0);
        range.start_suffix = beyond.into();
    } else if is_common_prefix(query) {
        range.start_group = match end_of_prefix(after) {
            Some(end) => end,
            None => Bytes::copy_from_slice(after),
        };
    } else if !after.is_empty() {
        let mut beyond = after.to_vec();
        beyond.push(0);
        range.start_group = beyond.into();
    }
    range
}

/// Whether the marker is what an earlier page showed as a common prefix.
fn is_common_prefix(query: &KeyQuery) -> bool {
    !query.delimiter.is_empty()
        && query
            .after_group
            .strip_prefix(query.prefix.as_str())
            .and_then(|rest| Some((rest, rest.find(query.delimiter.as_str())?)))
            .is_some_and(|(rest, at)| at + query.delimiter.len() == rest.len())
}

fn visit_row<E>(
    query: &KeyQuery,
    page: &mut KeyPage<E>,
    read: &impl Fn(&[u8], &[u8], &[u8]) -> Option<E>,
    group: &[u8],
    suffix: &[u8],
    value: &[u8],
) -> Step {
    let Ok(key) = std::str::from_utf8(group) else {
        tracing::error!(key = ?group, "a list leaves out a key that is not UTF-8");
        return Step::Next;
    };
    let Some(rest) = key.strip_prefix(query.prefix.as_str()) else {
        return Step::Stop;
    };
    if page.entries.len() + page.common_prefixes.len() == query.max {
        page.truncated = true;
        return Step::Stop;
    }
    let rolled_up = match query.delimiter.is_empty() {
        true => None,
        false => rest.find(query.delimiter.as_str()),
    };
    match rolled_up {
        Some(at) => {
            let end = query.prefix.len() + at + query.delimiter.len();
            page.common_prefixes.push(key[..end].to_owned());
            match end_of_prefix(&group[..end]) {
                Some(beyond) => Step::SeekGroup(beyond),
                None => Step::Stop,
            }
        }
        None => {
            page.entries.extend(read(group, suffix, value).map(|entry| (key.to_owned(), entry)));
            Step::Next
        }
    }
}

/// The first byte string after all that begin with `prefix`.
fn end_of_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends() {
        assert_eq!(end_of_prefix(b"a/").as_deref(), Some(b"a0".as_slice()));
        assert_eq!(end_of_prefix(b"a\xff\xff").as_deref(), Some(b"b".as_slice()));
        assert_eq!(end_of_prefix(b"\xff"), None);
        assert_eq!(end_of_prefix(b""), None);
    }
}
