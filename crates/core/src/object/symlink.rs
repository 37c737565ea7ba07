//! Symlinks: objects whose content is the key of another object of their bucket,
//! their target.
//!
//! A link is an object like any other to whatever lists, tags, locks, expires,
//! overwrites or deletes it, with versions of its own. Whoever reads it gets what
//! the target's current version is, and nothing if there is none. A link leads one
//! step far: one that leads to another link cannot be read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::get::{Found, ROUNDS_MAX};
use super::{
    Attributes, GetRequest, Links, ObjectInfo, ObjectReader, PutOutcome, Replacement, Selection,
};
use crate::bucket::Bucket;
use crate::checksum::Digester;
use crate::error::{Error, Result};
use crate::events::EventKind;
use crate::names::ObjectKey;
use crate::precondition::{ReadConditions, WriteConditions};
use crate::record::{Content, ObjectRecord};
use crate::store::Store;
use crate::version::VersionRef;

#[derive(Clone, Debug)]
pub struct SymlinkRequest {
    pub key: ObjectKey,
    /// Need not exist.
    pub target: ObjectKey,
    /// The link's own.
    pub attributes: Attributes,
    pub conditions: WriteConditions,
}

/// The link through which an object was found.
#[derive(Clone, Debug)]
pub struct Link {
    pub target: ObjectKey,
    /// The link's own record.
    pub record: ObjectRecord,
}

/// What a record leads to, if it is a link's.
pub(super) fn target_of(record: &ObjectRecord) -> Result<Option<ObjectKey>> {
    match &record.content {
        Some(Content::Link(target)) => ObjectKey::from_stored(target.as_bytes()).map(Some),
        _ => Ok(None),
    }
}

impl ObjectInfo {
    /// The record of the key that was asked for, which is not the one of the bytes
    /// if it is a link.
    pub fn own_record(&self) -> &ObjectRecord {
        self.link.as_ref().map_or(&self.record, |link| &link.record)
    }

    /// Where the bytes are.
    pub(crate) fn key_of_bytes<'a>(&'a self, asked: &'a ObjectKey) -> &'a ObjectKey {
        self.link.as_ref().map_or(asked, |link| &link.target)
    }

    /// What was found through a link. A version's name in an answer is one of the
    /// key that was asked for, so it is the link's.
    fn through(mut self, bucket: &Bucket, link: &Link) -> Result<ObjectInfo> {
        self.version = ObjectInfo::new(bucket, link.record.clone())?.version;
        self.link = Some(Box::new(link.clone()));
        Ok(self)
    }
}

impl Store {
    /// Makes a link the current object of its key.
    pub async fn put_symlink(
        &self,
        bucket: &Bucket,
        request: SymlinkRequest,
    ) -> Result<PutOutcome> {
        let SymlinkRequest { key, target, attributes, conditions } = request;
        if target == key {
            return Err(Error::LinkToLink);
        }
        // There are no bytes that could lie elsewhere.
        if !attributes.storage_class.is_empty() {
            return Err(Error::InvalidStorageClass);
        }
        self.check_attributes(bucket, &attributes)?;
        let mut digester = Digester::new([]);
        digester.update(target.as_str().as_bytes());
        let digests = digester.finish();
        let record = ObjectRecord {
            write_id: self.fresh_id(),
            size: digests.len,
            modified_ms: self.now_ms(),
            etag: Bytes::copy_from_slice(&digests.md5),
            crc64: digests.crc64,
            metadata: Some(attributes.metadata),
            tags: attributes.tags.into_vec(),
            lock: attributes.lock.to_record(),
            acl: attributes.acl.to_record(bucket.owner_uin),
            content: Some(Content::Link(target.as_str().to_owned())),
            counted: true,
            ..Default::default()
        };
        let outcome = PutOutcome::of(&record);
        let replacement = Replacement {
            kind: EventKind::Put,
            record,
            body: None,
            conditions: &conditions,
            expects: Vec::new(),
            writes: Vec::new(),
        };
        match self.replace(bucket, &key, replacement).await? {
            Ok(version) => Ok(PutOutcome { version, ..outcome }),
            Err(_) => Err(Error::Internal("a symlink expects nothing".into())),
        }
    }

    /// What is known of an object or a version itself, link or not.
    pub async fn stat_object(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
    ) -> Result<ObjectInfo> {
        let request = GetRequest {
            key: key.clone(),
            version,
            selection: Selection::Whole,
            conditions: ReadConditions::default(),
            links: Links::Nowhere,
            seen: None,
        };
        match self.read_itself(bucket, &request, false).await? {
            Found::Object(info, ..) => Ok(info),
            Found::Link(link) => ObjectInfo::new(bucket, link.record),
        }
    }

    /// A link and what it leads to.
    pub async fn symlink(
        self: &Arc<Self>,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<VersionRef>,
    ) -> Result<(ObjectInfo, ObjectKey)> {
        let info = self.stat_object(bucket, key, version).await?;
        let target = target_of(&info.record)?.ok_or(Error::NotALink)?;
        Ok((info, target))
    }

    /// Reads an object, or what the link in its place leads to.
    pub(super) async fn read_through(
        self: &Arc<Self>,
        bucket: &Bucket,
        request: &GetRequest,
        with_body: bool,
    ) -> Result<(ObjectInfo, Range<u64>, Option<ObjectReader>)> {
        for _ in 0..ROUNDS_MAX {
            let link = match self.read_itself(bucket, request, with_body).await? {
                Found::Object(info, range, reader) => return Ok((info, range, reader)),
                Found::Link(link) => link,
            };
            if !request.links.may_lead_to(&link.target) {
                return Err(Error::LinkLeadsTo { target: link.target });
            }
            let aimed = GetRequest {
                key: link.target.clone(),
                version: None,
                seen: request.links.seen().cloned(),
                ..request.clone()
            };
            let found = self.read_itself(bucket, &aimed, with_body).await;
            // The target was what was found while the link led to it, or both were
            // changed in between and were never so at the same time.
            let again = self.stat_object(bucket, &request.key, request.version).await;
            if !again.is_ok_and(|again| again.record.write_id == link.record.write_id) {
                if request.seen.is_some() {
                    return Err(Error::Overtaken);
                }
                continue;
            }
            return match found {
                Ok(Found::Object(info, range, reader)) => {
                    Ok((info.through(bucket, &link)?, range, reader))
                }
                Ok(Found::Link(_)) => Err(Error::LinkToLink),
                Err(Error::NotModified(info)) => {
                    Err(Error::NotModified(Box::new(info.through(bucket, &link)?)))
                }
                // The marker is not one of the key that was asked for.
                Err(Error::CurrentIsMarker { .. }) => Err(Error::NoSuchKey),
                Err(error) => Err(error),
            };
        }
        Err(Error::StorageUnavailable)
    }
}
