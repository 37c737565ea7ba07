//! Buckets: a directory of names in the system partition, a partition of rows
//! for each.
//!
//! Creation makes the partition first and then the name; deletion retires the
//! partition (atomically with every commit to it) and then removes the name. A
//! crash in between leaves an empty partition that no name leads to, which the
//! next start removes (or, where other processes serve, the collector, after a
//! while), or a name whose partition is retired, which the collector
//! removes before the partition. Both run to their end when their client goes
//! away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::access::policy_rows;
use crate::acl::{Acl, Ownership};
use crate::cors::cors_row;
use crate::engine::{BucketId, Expect, Partition, Retired, RowRef, ScanRange, Step, Table, Write};
use crate::error::{Error, Result};
use crate::events::Happening;
use crate::identified::identified_row;
use crate::inventory::{Inventory, runs_row};
use crate::lifecycle::lifecycle_row;
use crate::limits::BUCKETS_MAX;
use crate::lock::BucketLock;
use crate::logging::logging_row;
use crate::names::BucketName;
use crate::record::{AccessRef, BucketRecord, LifecycleRef, decode, encode};
use crate::referer::referer_row;
use crate::store::{Store, detached};
use crate::tags::Tags;
use crate::tiering::{Archiving, Tiering};
use crate::usage::Counters;
use crate::version::Versioning;
use crate::website::website_row;

/// A bucket that exists, as far as this process knows.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub id: BucketId,
    pub name: BucketName,
    pub created_ms: u64,
    pub region: String,
    pub owner_uin: u64,
    state: Arc<State>,
}

/// What of a bucket may change. All who know the bucket share it.
#[derive(Debug)]
struct State {
    settings: RwLock<Arc<BucketSettings>>,
    /// Held by writes while they commit by these settings, and by whoever
    /// changes them: what was begun under the old ones is over when the change
    /// is acknowledged.
    gate: tokio::sync::RwLock<()>,
    /// Counts of its requests.
    counters: Arc<Counters>,
}

/// What its owner decides about a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketSettings {
    pub versioning: Versioning,
    pub tags: Tags,
    /// There if the bucket has object lock.
    pub lock: Option<BucketLock>,
    /// How often they have been changed.
    epoch: u64,
    /// Where its lifecycle's rules are, if it has any.
    pub lifecycle: Option<LifecycleRef>,
    /// Who may use it besides its owner, if anything has been said about that.
    pub access: Option<AccessRef>,
    /// Names its CORS rules; empty if it has none.
    pub cors: Bytes,
    /// There once it has, or may have, objects in intelligent tiering.
    pub tiering: Option<Tiering>,
    /// Names its referer list; empty if it has none.
    pub referer: Bytes,
    /// Names its website; empty if it has none.
    pub website: Bytes,
    /// Names where its logs go; empty if its requests are not logged.
    pub logging: Bytes,
    /// The write id of its inventories; empty without.
    pub inventories: Bytes,
    /// Names what of its events goes where; empty if nothing does.
    pub notification: Bytes,
}

impl BucketSettings {
    fn from_record(record: &BucketRecord) -> Result<BucketSettings> {
        Ok(BucketSettings {
            versioning: Versioning::from_number(record.versioning)?,
            tags: Tags::from_stored(record.tags.clone()),
            lock: record.lock.as_ref().map(BucketLock::from_record).transpose()?,
            epoch: record.epoch,
            lifecycle: record.lifecycle.clone(),
            access: record.access.clone(),
            cors: record.cors.clone(),
            tiering: record.tiering.as_ref().map(Tiering::from_record),
            referer: record.referer.clone(),
            website: record.website.clone(),
            logging: record.logging.clone(),
            inventories: record.inventories.clone(),
            notification: record.notification.clone(),
        })
    }
}

/// What a bucket is made with.
#[derive(Clone, Debug, Default)]
pub struct InitialSettings {
    /// Object lock, and so versions.
    pub object_lock: bool,
    pub tags: Tags,
    /// Its owner's alone if nothing is said.
    pub acl: Option<Acl>,
    pub ownership: Option<Ownership>,
}

impl InitialSettings {
    fn access_record(&self, owner_uin: u64) -> Option<AccessRef> {
        let acl = self.acl.as_ref().and_then(|acl| acl.to_record(owner_uin));
        let ownership = self.ownership.map_or(0, |ownership| ownership as u32);
        let access = AccessRef { acl, ownership, ..AccessRef::default() };
        Some(access).filter(|access| *access != AccessRef::default())
    }

    fn check(&self, owner_uin: u64) -> Result<()> {
        let Some(acl) = &self.acl else { return Ok(()) };
        let is_open = acl.to_record(owner_uin).is_some();
        match self.ownership {
            Some(Ownership::BucketOwnerEnforced) if is_open => Err(Error::AclInTheWay),
            _ => acl.check(),
        }
    }

    fn lock_record(&self) -> BucketRecord {
        match self.object_lock {
            false => BucketRecord::default(),
            true => BucketRecord {
                versioning: Versioning::Enabled as u32,
                lock: Some(BucketLock::default().to_record()),
                ..Default::default()
            },
        }
    }
}

/// What a write of an object is decided by. While it lives, this process does not
/// change the settings; what is committed under it takes effect only if no other
/// has.
pub(crate) struct Settled<'a> {
    pub bucket: &'a Bucket,
    pub settings: Arc<BucketSettings>,
    _gate: tokio::sync::RwLockReadGuard<'a, ()>,
}

impl Settled<'_> {
    /// What a commit does, if somebody may want to be told.
    pub fn happening(&self, of: impl FnOnce() -> Result<Happening>) -> Result<Option<Happening>> {
        match self.settings.notification.is_empty() {
            true => Ok(None),
            false => of().map(Some),
        }
    }

    pub fn epoch(&self) -> u64 {
        self.settings.epoch
    }
}

impl Bucket {
    pub fn partition(&self) -> Partition {
        Partition::Bucket(self.id)
    }

    pub fn settings(&self) -> Arc<BucketSettings> {
        self.state.settings.read().clone()
    }

    pub fn versioning(&self) -> Versioning {
        self.state.settings.read().versioning
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.state.counters
    }

    fn from_record(name: BucketName, record: BucketRecord) -> Result<Bucket> {
        let settings = BucketSettings::from_record(&record)?;
        Ok(Bucket {
            id: BucketId(record.id),
            name: name.clone(),
            created_ms: record.created_ms,
            region: record.region,
            owner_uin: record.owner_uin,
            state: Arc::new(State {
                settings: RwLock::new(Arc::new(settings)),
                gate: tokio::sync::RwLock::default(),
                counters: Arc::new(Counters::new(name)),
            }),
        })
    }
}

/// Buckets that were looked up, by name.
pub(crate) struct BucketDirectory {
    known: RwLock<Known>,
    /// How long they are remembered, where other processes change them too.
    memory_max: Option<Duration>,
}

#[derive(Default)]
struct Known {
    buckets: HashMap<String, Remembered>,
    /// How often a bucket was forgotten. What was read before the last time may
    /// be a bucket that is gone, and must not be remembered.
    forgotten: u64,
}

struct Remembered {
    bucket: Arc<Bucket>,
    until: Option<Instant>,
}

/// When something was about to be read.
#[derive(Clone, Copy)]
struct Moment {
    forgotten: u64,
    until: Option<Instant>,
}

impl BucketDirectory {
    pub(crate) fn new(memory_max: Option<Duration>) -> Self {
        BucketDirectory { known: RwLock::default(), memory_max }
    }

    fn get(&self, name: &str) -> Option<Arc<Bucket>> {
        let known = self.known.read();
        let found = known.buckets.get(name)?;
        match found.until {
            Some(until) if Instant::now() >= until => None,
            _ => Some(found.bucket.clone()),
        }
    }

    fn moment(&self) -> Moment {
        let until = self.memory_max.map(|max| Instant::now() + max);
        Moment { forgotten: self.known.read().forgotten, until }
    }

    /// Remembers a bucket that was read, or made, after this moment, and gives
    /// back the one that everybody shares. `None`: it must be read again.
    fn remember(&self, bucket: Bucket, moment: Moment) -> Option<Arc<Bucket>> {
        let mut known = self.known.write();
        if known.forgotten != moment.forgotten {
            return None;
        }
        let name = bucket.name.as_str().to_owned();
        let shared = match known.buckets.get(&name).filter(|known| known.bucket.id == bucket.id) {
            Some(known) => {
                // Another process may have changed what was remembered.
                *known.bucket.state.settings.write() = bucket.settings();
                known.bucket.clone()
            }
            None => Arc::new(bucket),
        };
        let remembered = Remembered { bucket: shared.clone(), until: moment.until };
        known.buckets.insert(name, remembered);
        Some(shared)
    }

    /// What was read until now may be older than the settings that are known.
    fn changed(&self) {
        self.known.write().forgotten += 1;
    }

    pub(crate) fn forget(&self, partition: Partition) {
        let mut known = self.known.write();
        known.forgotten += 1;
        known.buckets.retain(|_, known| known.bucket.partition() != partition);
    }

    pub(crate) fn forget_all(&self) {
        let mut known = self.known.write();
        known.forgotten += 1;
        known.buckets.clear();
    }
}

#[derive(Clone, Debug, Default)]
pub struct ListBuckets {
    pub owner_uin: u64,
    pub prefix: String,
    pub region: Option<String>,
    /// Exclusive.
    pub after: String,
    pub max: usize,
}

#[derive(Clone, Debug, Default)]
pub struct BucketPage {
    pub buckets: Vec<Bucket>,
    /// Name of the last bucket of the page, when there are more.
    pub next: Option<String>,
}

impl Store {
    /// Finds a bucket. One map look-up when it is known already.
    pub async fn bucket(&self, name: &str) -> Result<Arc<Bucket>> {
        if let Some(bucket) = self.buckets.get(name) {
            return Ok(bucket);
        }
        // A name that could not have been created is simply not there.
        let name = BucketName::new(name).map_err(|_| Error::NoSuchBucket)?;
        loop {
            let moment = self.buckets.moment();
            let row = self.bucket_row(&name).await?.ok_or(Error::NoSuchBucket)?;
            let bucket = Bucket::from_record(name.clone(), decode(&row, "bucket record")?)?;
            // Writes must see what others do to its settings.
            if let Some(bucket) = self.buckets.remember(bucket, moment) {
                return Ok(bucket);
            }
        }
    }

    async fn bucket_row(&self, name: &BucketName) -> Result<Option<bytes::Bytes>> {
        let group = name.as_str().as_bytes();
        self.read_row(Partition::System, group, RowRef::only(Table::Bucket)).await
    }

    /// Takes over what a bucket's row says, for all who know the bucket: those who
    /// looked it up before must not go by other settings, under another gate, than
    /// those who look it up now.
    async fn read_settings_again(&self, bucket: &Bucket) {
        let read = async {
            let row = self.bucket_row(&bucket.name).await?.ok_or(Error::NoSuchBucket)?;
            BucketSettings::from_record(&decode(&row, "bucket record")?)
        };
        match read.await {
            Ok(settings) => *bucket.state.settings.write() = Arc::new(settings),
            Err(_) => self.buckets.forget(bucket.partition()),
        }
        if self.engine.peers().is_some() {
            self.buckets.forget(bucket.partition());
        }
    }

    /// The settings for the commit of a write.
    pub(crate) async fn settled<'a>(&self, bucket: &'a Bucket) -> Result<Settled<'a>> {
        if self.engine.peers().is_some() {
            // Another process may have changed them since the request began.
            let known = self.bucket(bucket.name.as_str()).await?;
            if known.id != bucket.id {
                return Err(Error::NoSuchBucket);
            }
            *bucket.state.settings.write() = known.settings();
        }
        let gate = bucket.state.gate.read().await;
        Ok(Settled { bucket, settings: bucket.settings(), _gate: gate })
    }

    /// Turns versioning on or off; a bucket with object lock cannot do without it
    /// any more. It goes on to its end when its client goes away, and every write
    /// that is begun after its answer obeys it.
    pub async fn set_versioning(
        self: &Arc<Self>,
        bucket: &Bucket,
        versioning: Versioning,
    ) -> Result<()> {
        self.change_settings(bucket, move |record| {
            if record.lock.is_some() && versioning != Versioning::Enabled {
                return Err(Error::LockNeedsVersions);
            }
            record.versioning = versioning as u32;
            Ok(())
        })
        .await
    }

    /// Gives a bucket object lock, or changes what it says about it. What has been
    /// locked before stays as it is. Beside versions, only one that never had any
    /// can have it, if `without_versions`: then locked objects are not replaced
    /// either.
    pub async fn set_object_lock(
        self: &Arc<Self>,
        bucket: &Bucket,
        lock: BucketLock,
        without_versions: bool,
    ) -> Result<()> {
        if let Some(default) = lock.default_retention {
            default.check()?;
        }
        self.change_settings(bucket, move |record| {
            let suits = match Versioning::from_number(record.versioning)? {
                Versioning::Enabled => true,
                Versioning::Never => without_versions || record.lock.is_some(),
                Versioning::Suspended => false,
            };
            if !suits {
                return Err(Error::LockNeedsVersions);
            }
            record.lock = Some(lock.to_record());
            Ok(())
        })
        .await
    }

    /// Replaces a bucket's tags.
    pub async fn set_bucket_tags(self: &Arc<Self>, bucket: &Bucket, tags: Tags) -> Result<()> {
        self.change_settings(bucket, move |record| {
            record.tags = tags.as_slice().to_vec();
            Ok(())
        })
        .await
    }

    /// Changes a bucket's record when no write of this process is being committed
    /// by the old one.
    pub(crate) async fn change_settings(
        self: &Arc<Self>,
        bucket: &Bucket,
        change: impl Fn(&mut BucketRecord) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.change_rows(bucket, move |record| change(record).map(|()| Vec::new())).await
    }

    /// Changes a bucket's record, and what else the name's group has of it, when no
    /// write of this process is being committed by the old one.
    pub(crate) async fn change_rows(
        self: &Arc<Self>,
        bucket: &Bucket,
        change: impl Fn(&mut BucketRecord) -> Result<Vec<Write>> + Send + 'static,
    ) -> Result<()> {
        let (store, bucket) = (self.clone(), bucket.clone());
        detached(async move {
            let _closed = bucket.state.gate.write().await;
            let group = bucket.name.as_str().to_owned().into();
            loop {
                let old = store.bucket_row(&bucket.name).await?.ok_or(Error::NoSuchBucket)?;
                let mut record: BucketRecord = decode(&old, "bucket record")?;
                if BucketId(record.id) != bucket.id {
                    return Err(Error::NoSuchBucket);
                }
                let mut writes = change(&mut record)?;
                record.epoch += 1;
                let settings = BucketSettings::from_record(&record)?;
                let row = RowRef::only(Table::Bucket);
                let expects = vec![Expect::Equals(row.clone(), old)];
                writes.push(Write::Put(row, encode(&record)));
                match store.try_commit(Partition::System, &group, expects, writes).await {
                    Ok(Ok(())) => {
                        *bucket.state.settings.write() = Arc::new(settings);
                        store.buckets.changed();
                        if let Some(peers) = store.engine.peers() {
                            peers.enforce(bucket.id, record.epoch).await?;
                            peers.announce(bucket.id).await;
                        }
                        return Ok(());
                    }
                    Ok(Err(_)) => {}
                    Err(error) => {
                        // Nobody knows which settings count; the row does.
                        store.read_settings_again(&bucket).await;
                        return Err(error);
                    }
                }
            }
        })
        .await
    }

    pub async fn create_bucket(
        self: &Arc<Self>,
        name: BucketName,
        owner_uin: u64,
        region: Option<&str>,
    ) -> Result<Arc<Bucket>> {
        self.create_bucket_with(name, owner_uin, region, InitialSettings::default()).await
    }

    pub async fn create_bucket_with(
        self: &Arc<Self>,
        name: BucketName,
        owner_uin: u64,
        region: Option<&str>,
        initial: InitialSettings,
    ) -> Result<Arc<Bucket>> {
        initial.check(owner_uin)?;
        let store = self.clone();
        let region = region.unwrap_or(&self.options.region).to_owned();
        detached(async move {
            loop {
                match store.create_once(&name, owner_uin, &region, &initial).await {
                    // Whoever made it first has deleted it again.
                    Err(Error::NoSuchBucket) => continue,
                    created => return created,
                }
            }
        })
        .await
    }

    async fn create_once(
        &self,
        name: &BucketName,
        owner_uin: u64,
        region: &str,
        initial: &InitialSettings,
    ) -> Result<Arc<Bucket>> {
        let group = name.as_str().to_owned().into();
        match self.bucket(name.as_str()).await {
            Ok(existing) if existing.owner_uin == owner_uin => {
                return Err(Error::BucketAlreadyOwnedByYou);
            }
            Ok(_) => return Err(Error::BucketAlreadyExists),
            Err(Error::NoSuchBucket) => {}
            Err(error) => return Err(error),
        }
        let everything = ListBuckets { owner_uin, max: BUCKETS_MAX, ..Default::default() };
        if self.list_buckets(&everything).await?.buckets.len() >= BUCKETS_MAX {
            return Err(Error::TooManyBuckets { max: BUCKETS_MAX });
        }
        let mut id = [0; 8];
        self.entropy.fill(&mut id);
        let record = BucketRecord {
            id: u64::from_le_bytes(id),
            created_ms: self.now_ms(),
            region: region.to_owned(),
            owner_uin,
            tags: initial.tags.as_slice().to_vec(),
            access: initial.access_record(owner_uin),
            ..initial.lock_record()
        };
        let bucket = Bucket::from_record(name.clone(), record.clone())?;
        let moment = self.buckets.moment();
        self.engine.index().create_partition(bucket.partition()).await?;
        let row = RowRef::only(Table::Bucket);
        let committed = self
            .try_commit(
                Partition::System,
                &group,
                vec![Expect::Absent(row.clone())],
                vec![Write::Put(row, encode(&record))],
            )
            .await?;
        if committed.is_err() {
            self.engine.index().retire_partition(bucket.partition(), &[]).await?;
            self.engine.index().remove_partition(bucket.partition()).await?;
            let existing = self.bucket(bucket.name.as_str()).await?;
            return Err(match existing.owner_uin == owner_uin {
                true => Error::BucketAlreadyOwnedByYou,
                false => Error::BucketAlreadyExists,
            });
        }
        if self.engine.peers().is_some() {
            self.mark_named(&bucket, &record).await?;
        }
        match self.buckets.remember(bucket, moment) {
            Some(bucket) => Ok(bucket),
            None => self.bucket(name.as_str()).await,
        }
    }

    /// Where a collector of another process may have taken the partition for what
    /// a crash has left: a row in it keeps that from happening after this. If it
    /// has happened, the name goes and the creation begins anew.
    async fn mark_named(&self, bucket: &Bucket, record: &BucketRecord) -> Result<()> {
        let mark = vec![Write::Put(RowRef::only(Table::Installation), encode(record))];
        let group = bytes::Bytes::new();
        match self.try_commit(bucket.partition(), &group, vec![], mark).await {
            Err(Error::NoSuchBucket) => {
                self.remove_name(bucket.name.as_str(), bucket.id).await?;
                Err(Error::NoSuchBucket)
            }
            other => other.map(|_| ()),
        }
    }

    /// Deletes a bucket that holds no object and no open upload.
    pub async fn delete_bucket(self: &Arc<Self>, bucket: &Bucket) -> Result<()> {
        let (store, bucket) = (self.clone(), bucket.clone());
        detached(async move { store.delete_to_the_end(&bucket).await }).await
    }

    async fn delete_to_the_end(&self, bucket: &Bucket) -> Result<()> {
        let retired =
            self.engine.index().retire_partition(bucket.partition(), &Table::HOLDINGS).await?;
        if retired == Retired::NotEmpty {
            return Err(Error::BucketNotEmpty);
        }
        // From here on the collector finishes what this does not.
        self.collect_partition(bucket.id);
        self.remove_name(bucket.name.as_str(), bucket.id).await?;
        if let Some(peers) = self.engine.peers() {
            peers.announce(bucket.id).await;
        }
        match retired {
            Retired::Missing => Err(Error::NoSuchBucket),
            _ => Ok(()),
        }
    }

    /// Removes a name if it still leads to this bucket.
    pub(crate) async fn remove_name(&self, name: &str, id: BucketId) -> Result<()> {
        let row = RowRef::only(Table::Bucket);
        let group: bytes::Bytes = name.to_owned().into();
        let current = self.read_row(Partition::System, &group, row.clone()).await?;
        if let Some(current) = current
            && decode::<BucketRecord>(&current, "bucket record")?.id == id.0
        {
            // A conflict means that somebody else has removed the name by now.
            let _ = self.remove_name_once(&group, current).await?;
        }
        self.buckets.forget(Partition::Bucket(id));
        Ok(())
    }

    /// Removes a bucket's record and what it refers to, if it is still this one.
    pub(crate) async fn remove_name_once(
        &self,
        group: &bytes::Bytes,
        record: bytes::Bytes,
    ) -> Result<bool> {
        let row = RowRef::only(Table::Bucket);
        let bucket: BucketRecord = decode(&record, "bucket record")?;
        if !bucket.inventories.is_empty() {
            self.remove_reports(group, &bucket).await?;
        }
        let expects = vec![Expect::Equals(row.clone(), record)];
        let [cam, iam] = policy_rows();
        let settings = [
            lifecycle_row(),
            cors_row(),
            referer_row(),
            website_row(),
            identified_row::<Archiving>(),
            logging_row(),
            identified_row::<Inventory>(),
            runs_row(),
        ];
        let rows = [row, cam, iam].into_iter().chain(settings);
        let mut writes: Vec<Write> = rows.map(Write::Delete).collect();
        if !bucket.notification.is_empty() {
            writes.push(self.notifications_left(BucketId(bucket.id)));
        }
        Ok(self.try_commit(Partition::System, group, expects, writes).await?.is_ok())
    }

    pub async fn list_buckets(&self, request: &ListBuckets) -> Result<BucketPage> {
        let found = Arc::new(Mutex::new(BucketPage::default()));
        let visit = {
            let (found, request) = (found.clone(), request.clone());
            move |group: &[u8], _: &[u8], value: &[u8]| {
                let parsed = std::str::from_utf8(group)
                    .map_err(|_| Error::Damaged("a bucket's name is not UTF-8".into()))
                    .and_then(BucketName::new)
                    .and_then(|name| Bucket::from_record(name, decode(value, "bucket record")?));
                let bucket = match parsed {
                    Ok(bucket) => bucket,
                    // Whose it is cannot be told, so nobody is shown it.
                    Err(error) => {
                        let name = String::from_utf8_lossy(group);
                        tracing::error!(%name, %error, "a list leaves out a bucket");
                        return Step::Next;
                    }
                };
                let name = bucket.name.as_str();
                if !name.starts_with(&request.prefix) {
                    return match name > request.prefix.as_str() {
                        true => Step::Stop,
                        false => Step::SeekGroup(request.prefix.clone().into()),
                    };
                }
                let wanted = name > request.after.as_str()
                    && bucket.owner_uin == request.owner_uin
                    && request.region.as_ref().is_none_or(|region| *region == bucket.region);
                if wanted {
                    let mut page = found.lock();
                    if page.buckets.len() == request.max {
                        page.next = page.buckets.last().map(|b| b.name.as_str().to_owned());
                        return Step::Stop;
                    }
                    page.buckets.push(bucket);
                }
                Step::Next
            }
        };
        let range = ScanRange { start_group: request.after.clone().into(), ..Default::default() };
        self.engine.index().scan(Partition::System, Table::Bucket, range, Box::new(visit)).await?;
        let page = std::mem::take(&mut *found.lock());
        Ok(page)
    }
}
