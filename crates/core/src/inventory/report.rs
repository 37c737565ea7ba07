//! The rows of a report, a file of them at a time.

use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::column::Context;
use super::{Column, Form, Inventory};
use crate::body::BodySource;
use crate::bucket::Bucket;
use crate::engine::Table;
use crate::error::{Error, Result};
use crate::list::{KeyPage, KeyQuery};
use crate::names::ObjectKey;
use crate::pace::Pace;
use crate::percent;
use crate::record::{ObjectRecord, decode_listed};
use crate::store::Store;
use crate::tags::Tags;
use crate::version::{ListVersions, Listed, VersionRef};

/// Rows in memory at once.
const PAGE_ROWS: usize = 1000;

/// A bucket as an inventory shows it.
pub(super) struct Report {
    pub store: Arc<Store>,
    pub bucket: Arc<Bucket>,
    pub inventory: Arc<Inventory>,
    /// Those that were asked for.
    columns: Vec<Column>,
    pub rows_per_second: u64,
}

/// Where a walk goes on: behind this key, or within its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub key: String,
    pub version: Option<VersionRef>,
}

/// Objects, or versions, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub count: u64,
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, record: &ObjectRecord) {
        self.count += 1;
        self.bytes += record.size;
    }
}

type Page = KeyPage<Listed<ObjectRecord>>;

impl Report {
    pub fn new(
        store: Arc<Store>,
        bucket: Arc<Bucket>,
        inventory: Arc<Inventory>,
        rows_per_second: u64,
    ) -> Result<Report> {
        let columns = inventory.columns()?;
        Ok(Report { store, bucket, inventory, columns, rows_per_second })
    }

    /// The names of all columns.
    pub fn schema(&self) -> String {
        let mut names = Vec::new();
        if self.inventory.form() == Form::Cos {
            names.push("Appid".to_owned());
        }
        names.extend(["Bucket", "Key"].map(str::to_owned));
        if self.inventory.all_versions {
            names.extend(["VersionId", "IsLatest", "IsDeleteMarker"].map(str::to_owned));
        }
        names.extend(self.columns.iter().map(Column::name));
        names.join(", ")
    }

    fn prefix(&self) -> &str {
        let filter = self.inventory.filter.as_ref();
        filter.and_then(|filter| filter.prefix.as_deref()).unwrap_or_default()
    }

    async fn page(&self, place: &Place, max: usize) -> Result<Page> {
        let max = max.min(PAGE_ROWS);
        if self.inventory.all_versions {
            let request = ListVersions {
                prefix: self.prefix().to_owned(),
                delimiter: String::new(),
                key_marker: place.key.clone(),
                version_marker: place.version,
                max,
            };
            return self.store.list_version_records(&self.bucket, &request).await;
        }
        let query = KeyQuery {
            prefix: self.prefix().to_owned(),
            delimiter: String::new(),
            after_group: place.key.clone(),
            after_suffix: None,
            max,
        };
        let read = |key: &[u8], _: &[u8], value: &[u8]| {
            let record = decode_listed(key, value, "object record");
            Some(Listed { version: None, is_latest: true, record })
        };
        self.store.list_rows(self.bucket.partition(), Table::Object, query, read).await
    }

    fn is_wanted(&self, record: &ObjectRecord) -> bool {
        let Some(filter) = &self.inventory.filter else { return true };
        let class = match record.storage_class.as_str() {
            "" => "STANDARD",
            class => class,
        };
        let modified_s = record.modified_ms / 1000;
        filter.tags.iter().all(|tag| record.tags.contains(tag))
            && (filter.class.is_empty() || filter.class == class)
            && filter.from_s.is_none_or(|from| modified_s >= from)
            && filter.to_s.is_none_or(|to| modified_s <= to)
    }

    async fn write_row(
        &self,
        text: &mut Vec<u8>,
        key: &str,
        listed: &Listed<ObjectRecord>,
    ) -> Result<()> {
        let form = self.inventory.form();
        let record = &listed.record;
        let mut expires_ms = None;
        if self.columns.contains(&Column::Expiration) && listed.is_latest && !record.delete_marker {
            let (key, tags) = (ObjectKey::new(key)?, Tags::from_stored(record.tags.clone()));
            let (store, size, modified_ms) = (&self.store, record.size, record.modified_ms);
            let foreseen = store.foresee_expiration(&self.bucket, &key, size, modified_ms, &tags);
            expires_ms = foreseen.await?.map(|foreseen| foreseen.at_ms);
        }
        let of = Context { form, bucket: &self.bucket, now_ms: self.store.now_ms(), expires_ms };
        let name = &self.bucket.name;
        let mut row = Row { text, is_first: true };
        if form == Form::Cos {
            row.value(&name.appid().map_or(String::new(), |appid| appid.to_string()));
        }
        let without_appid = match (form, name.as_str().rsplit_once('-')) {
            (Form::Cos, Some((short, _))) if name.appid().is_some() => short,
            _ => name.as_str(),
        };
        row.value(without_appid);
        row.value(&percent::encode(key));
        if self.inventory.all_versions {
            row.value(&listed.version.map_or(String::new(), |version| version.to_string()));
            row.value(&form.boolean(listed.is_latest));
            row.value(&form.boolean(record.delete_marker));
        }
        for column in &self.columns {
            row.value(&column.value(listed, &of)?);
        }
        row.end();
        Ok(())
    }
}

/// A line of comma-separated values, each in quotes.
struct Row<'a> {
    text: &'a mut Vec<u8>,
    is_first: bool,
}

impl Row<'_> {
    fn value(&mut self, value: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.text.push(b',');
        }
        self.text.push(b'"');
        for byte in value.bytes() {
            if byte == b'"' {
                self.text.push(b'"');
            }
            self.text.push(byte);
        }
        self.text.push(b'"');
    }

    fn end(self) {
        self.text.push(b'\n');
    }
}

/// A file of a report on its way: gzipped rows from a place on.
pub(super) struct ReportFile<'a> {
    report: &'a Report,
    page: Option<Page>,
    rows_left: usize,
    gzip: Option<GzEncoder<Vec<u8>>>,
    pace: Pace,
    /// Where the next file begins; `None` at the end of the bucket.
    pub next: Option<Place>,
    /// What was looked at.
    pub listed: Sum,
    /// What is in the file.
    pub written: Sum,
}

impl<'a> ReportFile<'a> {
    /// `None`: there is nothing behind the place.
    pub async fn open(
        report: &'a Report,
        place: Place,
        rows_max: usize,
    ) -> Result<Option<ReportFile<'a>>> {
        let page = report.page(&place, rows_max).await?;
        if page.entries.is_empty() {
            return Ok(None);
        }
        Ok(Some(ReportFile {
            report,
            page: Some(page),
            rows_left: rows_max,
            gzip: Some(GzEncoder::new(Vec::new(), Compression::default())),
            pace: Pace::new(report.rows_per_second),
            next: Some(place),
            listed: Sum::default(),
            written: Sum::default(),
        }))
    }

    /// The next page, while there is room for one.
    async fn next_page(&mut self) -> Result<Option<Page>> {
        let page = match (self.page.take(), &self.next) {
            (Some(page), _) => page,
            (None, None) => return Ok(None),
            (None, Some(_)) if self.rows_left == 0 => return Ok(None),
            (None, Some(place)) => self.report.page(place, self.rows_left).await?,
        };
        let last = page.entries.last();
        self.next = last.filter(|_| page.truncated).map(|(key, listed)| Place {
            key: key.clone(),
            version: listed.version.filter(|_| self.report.inventory.all_versions),
        });
        self.rows_left = self.rows_left.saturating_sub(page.entries.len());
        self.pace.spent(page.entries.len() as u64).await;
        Ok(Some(page))
    }
}

#[async_trait]
impl BodySource for ReportFile<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let failed = |error: std::io::Error| Error::Internal(format!("compressing: {error}"));
        while let Some(page) = self.next_page().await? {
            let mut text = Vec::with_capacity(page.entries.len() * 160);
            for (key, listed) in &page.entries {
                self.listed.add(&listed.record);
                if self.report.is_wanted(&listed.record) {
                    self.written.add(&listed.record);
                    self.report.write_row(&mut text, key, listed).await?;
                }
            }
            let Some(mut gzip) = self.gzip.take() else { return Ok(None) };
            // Milliseconds for a page.
            let compressing = tokio::task::spawn_blocking(move || {
                gzip.write_all(&text).map(|()| (std::mem::take(gzip.get_mut()), gzip))
            });
            let compressed = compressing
                .await
                .map_err(|error| Error::Internal(format!("a task failed: {error}")))?;
            let (piece, gzip) = compressed.map_err(failed)?;
            self.gzip = Some(gzip);
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        match self.gzip.take() {
            None => Ok(None),
            Some(gzip) => Ok(Some(gzip.finish().map_err(failed)?.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        let mut text = Vec::new();
        let mut row = Row { text: &mut text, is_first: true };
        for value in ["a", "", "say \"hi\", twice", "x"] {
            row.value(value);
        }
        row.end();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "\"a\",\"\",\"say \"\"hi\"\", twice\",\"x\"\n"
        );
    }
}
