//! The rows of a report, a file of them at a time.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::column::Context;
use super::sheet::{self, Heading, Kind, Row, Sheet, Value};
use super::{Column, Form, Inventory, manifest};
use crate::body::BodySource;
use crate::bucket::Bucket;
use crate::claim::Claim;
use crate::engine::Table;
use crate::error::{Error, Result};
use crate::list::{KeyPage, KeyQuery};
use crate::names::ObjectKey;
use crate::pace::Pace;
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
    /// Of objects looked at.
    pace: Arc<Mutex<Pace>>,
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
        pace: Arc<Mutex<Pace>>,
    ) -> Result<Report> {
        let columns = inventory.columns()?;
        Ok(Report { store, bucket, inventory, columns, pace })
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

    async fn row(&self, key: &str, listed: &Listed<ObjectRecord>) -> Result<Row> {
        let record = &listed.record;
        let mut expires_ms = None;
        if self.columns.contains(&Column::Expiration) && listed.is_latest && !record.delete_marker {
            let (key, tags) = (ObjectKey::new(key)?, Tags::from_stored(record.tags.clone()));
            let (store, size, modified_ms) = (&self.store, record.size, record.modified_ms);
            let foreseen = store.foresee_expiration(&self.bucket, &key, size, modified_ms, &tags);
            expires_ms = foreseen.await?.map(|foreseen| foreseen.at_ms);
        }
        let of = Context { bucket: &self.bucket, now_ms: self.store.now_ms(), expires_ms };
        let name = &self.bucket.name;
        let mut row = Vec::with_capacity(self.columns.len() + 6);
        match self.inventory.form() {
            Form::Cos => {
                let appid = name.appid().map(|appid| Value::Text(appid.to_string()));
                row.push(appid.unwrap_or(Value::Nothing));
                row.push(Value::Text(manifest::short(name).to_owned()));
            }
            Form::S3 => row.push(Value::Text(name.as_str().to_owned())),
        }
        row.push(Value::Key(key.to_owned()));
        if self.inventory.all_versions {
            // S3 leaves out the id of what was written without one.
            let is_said = |version: &VersionRef| {
                self.inventory.form() == Form::Cos || *version != VersionRef::Null
            };
            let version = listed.version.filter(is_said);
            row.push(version.map_or(Value::Nothing, |version| Value::Text(version.to_string())));
            row.push(Value::Flag(listed.is_latest));
            row.push(Value::Flag(record.delete_marker));
        }
        for column in &self.columns {
            row.push(column.value(listed, &of)?);
        }
        Ok(row)
    }
}

impl Inventory {
    /// All columns, in their order, these behind those that are always there.
    fn headings(&self, columns: &[Column]) -> Vec<Heading> {
        let mut headings = Vec::new();
        if self.form() == Form::Cos {
            headings.push(("Appid".to_owned(), Kind::Text));
        }
        headings.extend(["Bucket", "Key"].map(|name| (name.to_owned(), Kind::Name)));
        if self.all_versions {
            headings.push(("VersionId".to_owned(), Kind::Text));
            let flags = ["IsLatest", "IsDeleteMarker"];
            headings.extend(flags.map(|name| (name.to_owned(), Kind::Flag)));
        }
        headings.extend(columns.iter().map(|column| (column.name(), column.kind())));
        headings
    }

    /// What the manifest says of the columns.
    pub(super) fn schema(&self) -> Result<String> {
        Ok(sheet::schema(self.format(), &self.headings(&self.columns()?)))
    }
}

/// A file of a report on its way: rows from a place on.
pub(super) struct ReportFile<'a> {
    report: &'a Report,
    claim: &'a Claim,
    page: Option<Page>,
    rows_left: usize,
    sheet: Option<Sheet>,
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
        claim: &'a Claim,
        place: Place,
        rows_max: usize,
    ) -> Result<Option<ReportFile<'a>>> {
        let page = report.page(&place, rows_max).await?;
        if page.entries.is_empty() {
            return Ok(None);
        }
        let inventory = &report.inventory;
        Ok(Some(ReportFile {
            report,
            claim,
            page: Some(page),
            rows_left: rows_max,
            sheet: Some(Sheet::new(
                inventory.format(),
                inventory.form(),
                &inventory.headings(&report.columns),
            )?),
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
            // It is another process's work by now.
            (None, Some(_)) if !self.claim.hold().await? => return Err(Error::StorageUnavailable),
            (None, Some(place)) => self.report.page(place, self.rows_left).await?,
        };
        let last = page.entries.last();
        self.next = last.filter(|_| page.truncated).map(|(key, listed)| Place {
            key: key.clone(),
            version: listed.version.filter(|_| self.report.inventory.all_versions),
        });
        self.rows_left = self.rows_left.saturating_sub(page.entries.len());
        self.report.pace.lock().await.spent(page.entries.len() as u64).await;
        Ok(Some(page))
    }
}

#[async_trait]
impl BodySource for ReportFile<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(page) = self.next_page().await? {
            let mut rows = Vec::with_capacity(page.entries.len());
            for (key, listed) in &page.entries {
                self.listed.add(&listed.record);
                if self.report.is_wanted(&listed.record) {
                    self.written.add(&listed.record);
                    rows.push(self.report.row(key, listed).await?);
                }
            }
            let Some(mut sheet) = self.sheet.take() else { return Ok(None) };
            let writing = tokio::task::spawn_blocking(move || {
                let piece = sheet.add(rows);
                piece.map(|piece| (piece, sheet))
            });
            let written = writing.await;
            let (piece, sheet) =
                written.map_err(|error| Error::Internal(format!("a task failed: {error}")))??;
            self.sheet = Some(sheet);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        self.sheet.take().map(Sheet::finish).transpose()
    }
}
