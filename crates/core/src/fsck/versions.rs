//! What holds between a key's object row, its version rows and its history row.

use bytes::Bytes;

use super::{Check, ROWS, Sets, show};
use crate::engine::{Partition, RowRef, ScanRange, Table};
use crate::error::{Error, Result};
use crate::names::ObjectKey;
use crate::record::{HistoryRecord, ObjectRecord, decode};
use crate::scan::{OwnedRow, behind, rows};
use crate::version::VersionId;

fn damaged(what: &str) -> Error {
    Error::Damaged(what.to_owned())
}

fn of_version(suffix: &Bytes) -> RowRef {
    RowRef { table: Table::Version, suffix: suffix.clone() }
}

impl Check<'_> {
    async fn row(&self, partition: Partition, group: &[u8], row: RowRef) -> Result<Option<Bytes>> {
        Ok(self.engine.index().read(partition, group, &[row]).await?.pop().flatten())
    }

    async fn history(&self, partition: Partition, group: &[u8]) -> Result<HistoryRecord> {
        let row = self.row(partition, group, RowRef::only(Table::History)).await?;
        row.map_or_else(|| Ok(HistoryRecord::default()), |row| decode(&row, "history record"))
    }

    /// An object row is the only row of its object, or a copy of the newest
    /// version's.
    pub(super) async fn object_row(
        &mut self,
        partition: Partition,
        row: &OwnedRow,
        sets: &mut Sets,
    ) -> Result<()> {
        ObjectKey::from_stored(&row.group)?;
        let record: ObjectRecord = decode(&row.value, "object record")?;
        let oldest = VersionId::OLDEST.suffix();
        let version = match record.version.is_empty() {
            false => record.version.clone(),
            true if self.history(partition, &row.group).await?.null_version == oldest => oldest,
            true => return self.object(partition, row, &record, sets).await,
        };
        match self.row(partition, &row.group, of_version(&version)).await? {
            Some(value) if value == row.value => Ok(()),
            Some(_) => Err(damaged("it differs from its version")),
            None => Err(damaged("its version is missing")),
        }
    }

    pub(super) async fn versions(&mut self, partition: Partition, sets: &mut Sets) -> Result<()> {
        let mut range = ScanRange::all();
        let mut key: Option<(Bytes, HistoryRecord)> = None;
        loop {
            let page = rows(self.engine, partition, Table::Version, range, ROWS).await?;
            let Some(next) = behind(&page) else { break };
            for row in page {
                self.report.versions += 1;
                let newest = key.as_ref().is_none_or(|(group, _)| *group != row.group);
                if newest {
                    let history = self.history(partition, &row.group).await;
                    key = Some((row.group.clone(), history.unwrap_or_default()));
                }
                let history = key.as_ref().map(|(_, history)| history.clone()).unwrap_or_default();
                if let Err(error) = self.version(partition, &row, &history, newest, sets).await {
                    self.found(format!("version of {}: {error}", show(&row.group)));
                }
            }
            range = next;
        }
        self.histories(partition).await
    }

    async fn version(
        &mut self,
        partition: Partition,
        row: &OwnedRow,
        history: &HistoryRecord,
        newest: bool,
        sets: &mut Sets,
    ) -> Result<()> {
        ObjectKey::from_stored(&row.group)?;
        let id = VersionId::from_stored(&row.suffix)?;
        let record: ObjectRecord = decode(&row.value, "version record")?;
        let is_old = record.version.is_empty() && id == VersionId::OLDEST;
        if !is_old && record.version != row.suffix {
            return Err(damaged("it has another id than its row"));
        }
        if (is_old || record.null_version) != (history.null_version == row.suffix) {
            return Err(damaged("the history disagrees about which one is null"));
        }
        if newest {
            let object = self.row(partition, &row.group, RowRef::only(Table::Object)).await?;
            let marker = if record.delete_marker { &row.suffix[..] } else { &[] };
            let current = (!record.delete_marker).then_some(&row.value);
            if object.as_ref() != current || history.marker != marker {
                return Err(damaged("it is the newest and not the current one"));
            }
        }
        match (record.delete_marker, &record.content) {
            (true, Some(_)) => Err(damaged("a delete marker has content")),
            (true, None) => Ok(()),
            (false, _) => self.object(partition, row, &record, sets).await,
        }
    }

    /// What a history names exists; that it names all there is was checked with
    /// the versions.
    async fn histories(&mut self, partition: Partition) -> Result<()> {
        let mut range = ScanRange::all();
        loop {
            let page = rows(self.engine, partition, Table::History, range, ROWS).await?;
            let Some(next) = behind(&page) else { return Ok(()) };
            for row in page {
                if let Err(error) = self.history_row(partition, &row).await {
                    self.found(format!("history of {}: {error}", show(&row.group)));
                }
            }
            range = next;
        }
    }

    async fn history_row(&self, partition: Partition, row: &OwnedRow) -> Result<()> {
        let history: HistoryRecord = decode(&row.value, "history record")?;
        if history.marker.is_empty() && history.null_version.is_empty() {
            return Err(damaged("it names nothing"));
        }
        for version in [&history.marker, &history.null_version] {
            if !version.is_empty()
                && self.row(partition, &row.group, of_version(version)).await?.is_none()
            {
                return Err(damaged("it names a version that is missing"));
            }
        }
        Ok(())
    }
}
