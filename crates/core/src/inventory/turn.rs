//! A turn of a bucket: one step of one of its reports, which writes at most one file.
//!
//! How far a report has come is written behind each file, so that whoever goes on, with
//! the next turn, after a restart or in the place of a gateway that is gone, begins with
//! the file that was being written. He gives his files names of their own, since another
//! may be at work still without knowing; each change of the row expects it as he has
//! left it, so one of them gives way.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::job::Rest;
use super::ledger::{Ledger, Progress};
use super::manifest::Closing;
use super::report::{Place, Report, ReportFile};
use super::{Inventory, InventoryJob};
use crate::acl::ObjectAcl;
use crate::body::{BodySource, BytesSource};
use crate::bucket::Bucket;
use crate::checksum::Expected;
use crate::error::{Error, Result};
use crate::identified::AllOf;
use crate::names::ObjectKey;
use crate::object::{Attributes, PutOutcome, PutRequest};
use crate::precondition::WriteConditions;
use crate::record::{Metadata, ReportFileRecord};
use crate::version::VersionRef;

/// What comes behind a bucket's turn.
pub(super) enum Next {
    /// Another turn.
    More,
    /// A look, some time: somebody else is at its reports, or there is nothing to do at all.
    Later,
    Nothing(Rest),
}

/// What comes behind a file.
enum Step {
    Next,
    Last,
    /// Whoever else was at it has changed the row first.
    Overtaken,
}

impl InventoryJob {
    /// Does a step of what is due of a bucket. What fails does not keep the rest waiting.
    pub(super) async fn serve(&self, bucket: &Arc<Bucket>) -> Result<Next> {
        let mut ledger = Ledger::read(&self.store, bucket).await?;
        // Read behind it, so that what is begun by none of them is begun by none any more.
        let AllOf { write_id, all } = self.store.stored_identified::<Inventory>(bucket).await?;
        if !self.give_up(bucket, &all, &mut ledger).await? {
            return Ok(Next::Later);
        }
        if all.is_empty() && ledger.runs.all.is_empty() {
            self.store.forget_inventories(bucket, write_id).await?;
            return Ok(Next::Later);
        }
        // One that is made and was not forgotten then.
        let is_over = |one: &&Inventory| one.is_once() && ledger.last_ms(one).is_some();
        if let Some(over) = all.iter().find(is_over) {
            self.forget(bucket, over).await?;
            return Ok(Next::More);
        }
        let name = bucket.name.as_str();
        let (now_ms, day_ms) = (self.store.now_ms(), self.store.options.day_ms);
        let may_be = |one: &&Inventory| self.again(name, &one.token).is_none();
        let ready = || all.iter().filter(may_be).filter(|one| ledger.is_free_for(one));
        let is_due = |one: &&Inventory| one.is_due(ledger.last_ms(one), now_ms, day_ms);
        // One after the other, so that the row has the files of few reports.
        let begun = ready().find(|one| ledger.is_begun(one));
        // The one that waits longest, as reports may take longer than a day.
        let next = || ready().filter(is_due).min_by_key(|one| ledger.last_ms(one));
        let Some(inventory) = begun.or_else(next) else {
            let tokens = all.iter().map(|one| &one.token);
            let abandoned = ledger.runs.all.iter().filter_map(|run| run.progress.as_ref());
            let abandoned = abandoned.map(|progress| &progress.token);
            return Ok(Next::Nothing(Rest {
                write_id,
                from_ms: now_ms,
                until_ms: all
                    .iter()
                    .map(|one| one.rests_until_ms(now_ms, day_ms))
                    .min()
                    .unwrap_or(u64::MAX),
                again: tokens.chain(abandoned).filter_map(|token| self.again(name, token)).min(),
            }));
        };
        let token = &inventory.token;
        match self.advance(bucket, inventory, &mut ledger).await {
            Ok(Step::Overtaken) => Ok(Next::Later),
            Ok(Step::Next | Step::Last) => {
                self.recovered(name, token);
                Ok(Next::More)
            }
            Err(_) if !self.claim.hold().await? => Ok(Next::Later),
            Err(error) => {
                self.failed(name, &inventory.id, token, &error);
                Ok(Next::More)
            }
        }
    }

    /// Removes what was written of reports whose configuration is gone, has been
    /// replaced, or is not in force, and what is known of inventories that are gone.
    /// False: somebody else is at them.
    async fn give_up(
        &self,
        bucket: &Bucket,
        inventories: &[Inventory],
        ledger: &mut Ledger,
    ) -> Result<bool> {
        let is_wanted = |progress: &Progress| {
            let wanted = |one: &Inventory| one.enabled && progress.inventory.as_ref() == Some(one);
            inventories.iter().any(wanted)
        };
        let (name, mut is_changed) = (bucket.name.as_str(), false);
        for run in &mut ledger.runs.all {
            let Some(progress) = run.progress.as_ref().filter(|begun| !is_wanted(begun)) else {
                continue;
            };
            if self.again(name, &progress.token).is_some() {
                continue;
            }
            match self.store.remove_report(&bucket.name, bucket.owner_uin, progress).await {
                Ok(()) => {
                    self.recovered(name, &progress.token);
                    run.progress = None;
                    is_changed = true;
                }
                Err(error) => self.failed(name, &run.id, &progress.token, &error),
            }
        }
        let before = ledger.runs.all.len();
        let is_there = |id: &str| inventories.iter().any(|one| one.id == id);
        ledger.runs.all.retain(|run| run.progress.is_some() || is_there(&run.id));
        is_changed |= ledger.runs.all.len() < before;
        match is_changed {
            true => ledger.write(&self.store, bucket).await,
            false => Ok(true),
        }
    }

    /// Begins a report, or goes on with it, by a file, and completes it behind the last.
    async fn advance(
        &self,
        bucket: &Arc<Bucket>,
        inventory: &Inventory,
        ledger: &mut Ledger,
    ) -> Result<Step> {
        let at = ledger.place(inventory);
        let run = &mut ledger.runs.all[at];
        let token = self.store.fresh_id();
        match &mut run.progress {
            Some(progress) => {
                progress.left.push(inventory.file_key(&bucket.name, progress));
                progress.token = token;
            }
            None => {
                let (began_ms, inventory) = (self.store.now_ms(), Some(inventory.clone()));
                run.progress = Some(Progress { began_ms, token, inventory, ..Progress::default() });
            }
        }
        if !ledger.write(&self.store, bucket).await? {
            return Ok(Step::Overtaken);
        }
        let (store, inventory) = (self.store.clone(), Arc::new(inventory.clone()));
        if let Some(progress) = &mut ledger.runs.all[at].progress {
            let left = progress.left.clone();
            store.remove_files(&inventory.target, bucket.owner_uin, left).await?;
            // They are named until the row is written the next time.
            progress.left.clear();
        }
        let report = Report::new(store, bucket.clone(), inventory, self.pace.clone())?;
        let step = self.write_file(&report, ledger, at).await?;
        match step {
            Step::Last => self.close(&report, ledger, at).await,
            step => Ok(step),
        }
    }

    /// Removes the configuration, if it is still this one.
    async fn forget(&self, bucket: &Bucket, inventory: &Inventory) -> Result<()> {
        let change = |all: &mut Vec<Inventory>| {
            all.retain(|other| other.token != inventory.token);
            Ok(())
        };
        self.store.change_identified(bucket, change).await
    }

    /// Writes the next file.
    async fn write_file(&self, report: &Report, ledger: &mut Ledger, at: usize) -> Result<Step> {
        let progress = ledger.runs.all[at].progress.get_or_insert_default();
        if progress.is_walked() {
            return Ok(Step::Last);
        }
        let place =
            Place { key: progress.key.clone(), version: VersionRef::parse(&progress.version) };
        let file = ReportFile::open(report, &self.claim, place, self.file_rows_max).await?;
        let Some(mut file) = file else { return Ok(Step::Last) };
        let Report { bucket, inventory, .. } = report;
        let key = inventory.file_key(&bucket.name, progress);
        let media_type = inventory.format().media_type();
        let done = self.put(report, &key, media_type, &mut file).await?;
        let (next, listed, written) = (file.next, file.listed, file.written);
        let record = ReportFileRecord { key: key.clone(), size: done.size, md5: done.etag };
        progress.files.push(record);
        progress.listed_count += listed.count;
        progress.listed_bytes += listed.bytes;
        progress.written_count += written.count;
        progress.written_bytes += written.bytes;
        let goes_on = next.is_some();
        let Place { key: behind, version } = next.unwrap_or_default();
        progress.key = behind;
        progress.version = version.map_or(String::new(), |version| version.to_string());
        if !ledger.write(&self.store, bucket).await? {
            // Whoever has changed the row does not know of the file, or the bucket is gone.
            if !Ledger::read(&self.store, bucket).await?.names(&key) {
                self.store.remove_files(&inventory.target, bucket.owner_uin, vec![key]).await?;
            }
            return Ok(Step::Overtaken);
        }
        self.stats.rows.fetch_add(written.count, Relaxed);
        Ok(if goes_on { Step::Next } else { Step::Last })
    }

    /// Writes what belongs to the files, the manifest last, and remembers that it is done.
    async fn close(&self, report: &Report, ledger: &mut Ledger, at: usize) -> Result<Step> {
        let Report { bucket, inventory, .. } = report;
        let progress = ledger.runs.all[at].progress.clone().unwrap_or_default();
        if !self.are_there(report, &progress.files).await? {
            // A manifest must not name what is not there, so it begins anew.
            self.store.remove_report(&bucket.name, bucket.owner_uin, &progress).await?;
            ledger.runs.all[at].progress = None;
            let is_written = ledger.write(&self.store, bucket).await?;
            return Ok(if is_written { Step::Next } else { Step::Overtaken });
        }
        let closing = Closing::of(&bucket.name, inventory, &progress)?;
        for (key, content, media_type) in closing.objects {
            self.put(report, &key, media_type, &mut BytesSource::new(content.into())).await?;
        }
        let run = &mut ledger.runs.all[at];
        run.progress = None;
        run.last_ms = Some(progress.began_ms);
        run.made_by = inventory.token.clone();
        if !ledger.write(&self.store, bucket).await? {
            return Ok(Step::Overtaken);
        }
        self.stats.reports.fetch_add(1, Relaxed);
        if inventory.is_once() {
            self.forget(bucket, inventory).await?;
        }
        Ok(Step::Last)
    }

    /// Nobody has taken away a file, or emptied the target and made it again.
    async fn are_there(&self, report: &Report, files: &[ReportFileRecord]) -> Result<bool> {
        let target = self.target(report).await?;
        for file in files {
            let found = self.store.current_object(&target, &ObjectKey::new(&file.key)?).await?;
            if found.record.is_none_or(|record| record.etag_text() != file.md5) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn target(&self, report: &Report) -> Result<Arc<Bucket>> {
        let target = self.store.bucket(&report.inventory.target).await?;
        // Another one of that name, whose owner has asked for nothing.
        match target.owner_uin == report.bucket.owner_uin {
            true => Ok(target),
            false => Err(Error::NoSuchBucket),
        }
    }

    async fn put(
        &self,
        report: &Report,
        key: &str,
        media_type: &str,
        body: &mut dyn BodySource,
    ) -> Result<PutOutcome> {
        let target = self.target(report).await?;
        let metadata = Metadata { content_type: media_type.into(), ..Metadata::default() };
        let request = PutRequest {
            key: ObjectKey::new(key)?,
            attributes: Attributes { metadata, acl: ObjectAcl::Private, ..Attributes::default() },
            conditions: WriteConditions::default(),
            checksums: Vec::new(),
            expected: Expected::default(),
            size: None,
        };
        self.store.put_object(&target, request, body).await
    }
}
