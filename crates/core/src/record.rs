//! The rows of a bucket: protobuf messages whose fields are only ever added.
//!
//! Field numbers are the format. `tests/fixtures` holds the first shape of every
//! record; a test opens them. Each record that others compare with carries a
//! fresh 16-byte write id, so that equal bytes mean the same write (and so that
//! a writer whose commit timed out recognises its own).

use bytes::Bytes;
use prost::Message;

use crate::checksum::{Algorithm, Checksum};
use crate::engine::BlobId;
use crate::error::{Error, Result};

/// A header-like pair.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Pair {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// What clients say about an object and get back with it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Metadata {
    #[prost(string, tag = "1")]
    pub content_type: String,
    #[prost(string, tag = "2")]
    pub content_encoding: String,
    #[prost(string, tag = "3")]
    pub content_disposition: String,
    #[prost(string, tag = "4")]
    pub content_language: String,
    #[prost(string, tag = "5")]
    pub cache_control: String,
    #[prost(string, tag = "6")]
    pub expires: String,
    /// Lower-case names without the dialect's prefix.
    #[prost(message, repeated, tag = "7")]
    pub user: Vec<Pair>,
    /// `x-amz-website-redirect-location`.
    #[prost(string, tag = "8")]
    pub website_redirect: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct StoredChecksum {
    /// [`Algorithm`].
    #[prost(uint32, tag = "1")]
    pub algorithm: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// Parts of a composite checksum; 0 for one of the whole object.
    #[prost(uint32, tag = "3")]
    pub composite_parts: u32,
}

impl StoredChecksum {
    pub fn new(checksum: &Checksum) -> StoredChecksum {
        StoredChecksum {
            algorithm: checksum.algorithm as u32,
            value: checksum.value.clone(),
            composite_parts: checksum.composite_parts.unwrap_or(0),
        }
    }

    pub fn get(&self) -> Option<Checksum> {
        Some(Checksum {
            algorithm: Algorithm::from_number(self.algorithm)?,
            value: self.value.clone(),
            composite_parts: (self.composite_parts > 0).then_some(self.composite_parts),
        })
    }
}

/// Parts with consecutive numbers and equal sizes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Run {
    #[prost(uint32, tag = "1")]
    pub first_part: u32,
    #[prost(uint32, tag = "2")]
    pub count: u32,
    #[prost(uint64, tag = "3")]
    pub size: u64,
}

/// A body made of part rows, in order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Parts {
    /// Names the part rows: suffix = set ++ part number. An upload's id for a
    /// completed upload.
    #[prost(bytes = "bytes", tag = "1")]
    pub set: Bytes,
    #[prost(uint32, tag = "2")]
    pub count: u32,
    /// Empty when the layout has a row of its own (part number 0 of the set).
    #[prost(message, repeated, tag = "3")]
    pub runs: Vec<Run>,
    /// As in the rows of the parts.
    #[prost(string, tag = "4")]
    pub storage_class: String,
}

/// The layout of an object with many runs, in the set's part row number 0.
#[derive(Clone, PartialEq, Message)]
pub struct LayoutRecord {
    #[prost(message, repeated, tag = "1")]
    pub runs: Vec<Run>,
    #[prost(bytes = "bytes", tag = "2")]
    pub write_id: Bytes,
}

/// Where the bytes of a body are.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Content {
    /// In the body row beside the record, whose first 16 bytes repeat the
    /// record's `inline` id. An empty body has no row.
    #[prost(bytes = "bytes", tag = "10")]
    Inline(Bytes),
    /// [`crate::tier::BlobAddress`].
    #[prost(bytes = "bytes", tag = "11")]
    Blob(Bytes),
    #[prost(message, tag = "12")]
    Parts(Parts),
    /// A symlink: the key of the object that it leads to. Never of a part.
    #[prost(string, tag = "24")]
    Link(String),
}

/// The current object of a key.
#[derive(Clone, PartialEq, Message)]
pub struct ObjectRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(uint64, tag = "2")]
    pub size: u64,
    #[prost(uint64, tag = "3")]
    pub modified_ms: u64,
    /// Sixteen bytes: the MD5 of the body, or of the parts' MD5s.
    #[prost(bytes = "bytes", tag = "4")]
    pub etag: Bytes,
    /// The `-N` of a multipart ETag; 0 when the ETag is the body's MD5.
    #[prost(uint32, tag = "5")]
    pub etag_parts: u32,
    #[prost(fixed64, tag = "6")]
    pub crc64: u64,
    /// As the client named it; empty for STANDARD.
    #[prost(string, tag = "7")]
    pub storage_class: String,
    #[prost(message, optional, tag = "8")]
    pub metadata: Option<Metadata>,
    #[prost(message, repeated, tag = "9")]
    pub checksums: Vec<StoredChecksum>,
    #[prost(oneof = "Content", tags = "10, 11, 12, 24")]
    pub content: Option<Content>,
    #[prost(bool, tag = "13")]
    pub appendable: bool,
    /// [`crate::version::VersionId`]; empty when the bucket kept no versions.
    #[prost(bytes = "bytes", tag = "14")]
    pub version: Bytes,
    /// The version that clients call `null`, written while versioning was
    /// suspended. One without an id is called so too.
    #[prost(bool, tag = "15")]
    pub null_version: bool,
    /// Stands for a deletion; never in an object row.
    #[prost(bool, tag = "16")]
    pub delete_marker: bool,
    #[prost(message, repeated, tag = "17")]
    pub tags: Vec<Pair>,
    #[prost(message, optional, tag = "18")]
    pub lock: Option<LockRecord>,
    /// Of an archived object that was ever to be restored.
    #[prost(message, optional, tag = "19")]
    pub restore: Option<RestoreRecord>,
    /// Absent while it is its owner's alone.
    #[prost(message, optional, tag = "20")]
    pub acl: Option<AclRecord>,
    /// Of an object in intelligent tiering; none while it was not read since the day of
    /// its making.
    #[prost(message, optional, tag = "23")]
    pub access: Option<AccessRecord>,
    /// It is in the bucket's counters; see [`crate::usage`].
    #[prost(bool, tag = "26")]
    pub counted: bool,
}

/// An access control list, the owner's own grant included.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AclRecord {
    #[prost(message, repeated, tag = "1")]
    pub grants: Vec<GrantRecord>,
    /// Of an object: its bucket's list counts, and there are no grants.
    #[prost(bool, tag = "2")]
    pub inherits: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GrantRecord {
    /// 1: an account or a user, 2: everybody, 3: everybody who signs.
    #[prost(uint32, tag = "1")]
    pub grantee: u32,
    #[prost(uint64, tag = "2")]
    pub account: u64,
    /// The account's own number if it is the account that is meant.
    #[prost(uint64, tag = "3")]
    pub uin: u64,
    /// [`crate::acl::Permission`].
    #[prost(uint32, tag = "4")]
    pub permission: u32,
}

/// When an object in intelligent tiering was last read, and where it lies.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccessRecord {
    /// True to the day.
    #[prost(uint64, tag = "1")]
    pub accessed_ms: u64,
    /// In the infrequent tier.
    #[prost(bool, tag = "2")]
    pub infrequent: bool,
    /// Below that one: 1: in the archive tier, 2: in the deep archive tier.
    #[prost(uint32, tag = "3")]
    pub archive: u32,
}

/// A restore, begun, done or expired by now.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RestoreRecord {
    #[prost(uint64, tag = "1")]
    pub asked_ms: u64,
    /// From then on the object can be read.
    #[prost(uint64, tag = "2")]
    pub ready_ms: u64,
    /// And not from then on. 0 in intelligent tiering, where it is in the frequent tier
    /// from `ready_ms` on, and no restored object any more.
    #[prost(uint64, tag = "3")]
    pub until_ms: u64,
    /// [`crate::restore::Speed`].
    #[prost(uint32, tag = "4")]
    pub speed: u32,
}

/// What keeps a version from being removed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LockRecord {
    /// 0: not retained, 1: governance, 2: compliance.
    #[prost(uint32, tag = "1")]
    pub mode: u32,
    /// End of the retention by the machine's clock.
    #[prost(uint64, tag = "2")]
    pub until_ms: u64,
    /// By the store's own; 0 in what is not made yet.
    #[prost(uint64, tag = "3")]
    pub store_until_ms: u64,
    /// 0: nobody has said, 1: on, 2: off.
    #[prost(uint32, tag = "4")]
    pub legal_hold: u32,
}

/// The time of the store's own clock.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClockRecord {
    #[prost(uint64, tag = "1")]
    pub ms: u64,
}

/// What is known of a key's versions together. Every change of which version is
/// current changes this row or the object row; neither is there when there are
/// no versions.
#[derive(Clone, PartialEq, Message)]
pub struct HistoryRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    /// The delete marker that is the current version; empty for none.
    #[prost(bytes = "bytes", tag = "2")]
    pub marker: Bytes,
    /// Where the `null` version has a version row; empty for none.
    #[prost(bytes = "bytes", tag = "3")]
    pub null_version: Bytes,
}

/// The fields of an [`ObjectRecord`] that a listing shows; the rest is skipped.
#[derive(Clone, PartialEq, Message)]
pub struct ListedRecord {
    #[prost(uint64, tag = "2")]
    pub size: u64,
    #[prost(uint64, tag = "3")]
    pub modified_ms: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub etag: Bytes,
    #[prost(uint32, tag = "5")]
    pub etag_parts: u32,
    #[prost(string, tag = "7")]
    pub storage_class: String,
    #[prost(message, repeated, tag = "9")]
    pub checksums: Vec<StoredChecksum>,
    #[prost(bytes = "bytes", tag = "14")]
    pub version: Bytes,
    #[prost(bool, tag = "15")]
    pub null_version: bool,
    #[prost(bool, tag = "16")]
    pub delete_marker: bool,
    #[prost(message, optional, tag = "19")]
    pub restore: Option<RestoreRecord>,
    #[prost(message, optional, tag = "23")]
    pub access: Option<AccessRecord>,
}

/// An open multipart upload.
#[derive(Clone, PartialEq, Message)]
pub struct UploadRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(uint64, tag = "2")]
    pub initiated_ms: u64,
    #[prost(string, tag = "3")]
    pub storage_class: String,
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<Metadata>,
    /// [`Algorithm`]; 0 for none.
    #[prost(uint32, tag = "5")]
    pub checksum_algorithm: u32,
    #[prost(bool, tag = "6")]
    pub checksum_composite: bool,
    /// A completion has frozen the parts.
    #[prost(bool, tag = "7")]
    pub completing: bool,
    /// The object's to be.
    #[prost(message, repeated, tag = "8")]
    pub tags: Vec<Pair>,
    #[prost(message, optional, tag = "9")]
    pub lock: Option<LockRecord>,
    #[prost(message, optional, tag = "10")]
    pub acl: Option<AclRecord>,
    /// Its parts say their class.
    #[prost(bool, tag = "11")]
    pub parts_by_class: bool,
    /// As in [`ObjectRecord`].
    #[prost(bool, tag = "26")]
    pub counted: bool,
}

impl UploadRecord {
    /// What its parts count as until an object is made of them.
    pub fn class_of_parts(&self) -> String {
        match self.parts_by_class {
            true => self.storage_class.clone(),
            false => String::new(),
        }
    }
}

/// One part of an upload, or of an object completed from it.
#[derive(Clone, PartialEq, Message)]
pub struct PartRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(uint64, tag = "2")]
    pub size: u64,
    #[prost(uint64, tag = "3")]
    pub modified_ms: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub md5: Bytes,
    #[prost(fixed64, tag = "6")]
    pub crc64: u64,
    #[prost(message, repeated, tag = "9")]
    pub checksums: Vec<StoredChecksum>,
    /// Never [`Content::Parts`] or [`Content::Link`].
    #[prost(oneof = "Content", tags = "10, 11, 12")]
    pub content: Option<Content>,
    /// What it counts as while no object is made of it: its upload's class. It stays what
    /// it is when the object moves to another.
    #[prost(string, tag = "13")]
    pub storage_class: String,
    /// As in [`ObjectRecord`].
    #[prost(bool, tag = "26")]
    pub counted: bool,
}

/// A blob being written.
#[derive(Clone, PartialEq, Message)]
pub struct PendingRecord {
    #[prost(uint64, tag = "1")]
    pub started_ms: u64,
    /// Which run of which process writes it.
    #[prost(bytes = "bytes", tag = "2")]
    pub writer: Bytes,
    /// Empty for the engine's own.
    #[prost(string, tag = "3")]
    pub place: String,
}

/// What a commit unreferenced, for the collector.
#[derive(Clone, PartialEq, Message)]
pub struct GarbageRecord {
    #[prost(uint64, tag = "1")]
    pub queued_ms: u64,
    /// [`crate::tier::BlobAddress`]es.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub blobs: Vec<Bytes>,
    /// Part rows of this set, with what they reference.
    #[prost(bytes = "bytes", tag = "3")]
    pub part_set: Bytes,
    /// Only these parts of the set; empty for the whole set.
    #[prost(uint32, repeated, tag = "4")]
    pub part_numbers: Vec<u32>,
}

/// A bucket, in the system partition under its name.
#[derive(Clone, PartialEq, Message)]
pub struct BucketRecord {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
    #[prost(string, tag = "3")]
    pub region: String,
    #[prost(uint64, tag = "4")]
    pub owner_uin: u64,
    /// 0: never had versioning, 1: enabled, 2: suspended.
    #[prost(uint32, tag = "5")]
    pub versioning: u32,
    #[prost(message, repeated, tag = "6")]
    pub tags: Vec<Pair>,
    /// There if the bucket has object lock.
    #[prost(message, optional, tag = "7")]
    pub lock: Option<BucketLockRecord>,
    #[prost(message, optional, tag = "10")]
    pub lifecycle: Option<LifecycleRef>,
    #[prost(message, optional, tag = "12")]
    pub access: Option<AccessRef>,
    /// The write id of its CORS rules, which have a row of their own; empty without.
    #[prost(bytes = "bytes", tag = "13")]
    pub cors: Bytes,
    /// The write id of its referer list, which has a row of its own; empty without.
    #[prost(bytes = "bytes", tag = "17")]
    pub referer: Bytes,
    /// The write id of its website, which has a row of its own; empty without.
    #[prost(bytes = "bytes", tag = "18")]
    pub website: Bytes,
    /// The write id of where its logs go, which has a row of its own; empty without.
    #[prost(bytes = "bytes", tag = "21")]
    pub logging: Bytes,
    /// The write id of its inventories, which have a row of their own; empty without.
    #[prost(bytes = "bytes", tag = "22")]
    pub inventories: Bytes,
    /// How often the settings have been changed.
    #[prost(uint64, tag = "15")]
    pub epoch: u64,
    /// There once the bucket has, or may have, objects in intelligent tiering.
    #[prost(message, optional, tag = "20")]
    pub tiering: Option<TieringRecord>,
    /// The write id of what of its events goes where, which has a row of its own; empty
    /// without.
    #[prost(bytes = "bytes", tag = "25")]
    pub notification: Bytes,
}

/// [`crate::tiering::Tiering`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TieringRecord {
    #[prost(uint32, tag = "1")]
    pub days: u32,
    #[prost(bool, tag = "2")]
    pub implied: bool,
    /// The write id of its archivings, which have a row of their own; empty without.
    #[prost(bytes = "bytes", tag = "3")]
    pub archiving: Bytes,
}

/// A file of an inventory's report.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReportFileRecord {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// In hexadecimal digits.
    #[prost(string, tag = "3")]
    pub md5: String,
}

/// What a bucket's record says of its lifecycle's rules, which have a row of their
/// own: there may be many, and lists of buckets have no use for them.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LifecycleRef {
    /// The rules' write id.
    #[prost(bytes = "bytes", tag = "1")]
    pub id: Bytes,
    #[prost(uint64, tag = "2")]
    pub changed_ms: u64,
    /// As in the rules.
    #[prost(uint32, tag = "3")]
    pub utc_offset_s: u32,
}

/// What a bucket's record says of who may use it. The policies have rows of their
/// own, each with the id that is here; an empty one is none.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccessRef {
    /// The policy in CAM's grammar.
    #[prost(bytes = "bytes", tag = "1")]
    pub cam_policy: Bytes,
    /// The policy in IAM's grammar.
    #[prost(bytes = "bytes", tag = "2")]
    pub iam_policy: Bytes,
    /// There once somebody has said what of public access is blocked.
    #[prost(message, optional, tag = "3")]
    pub block: Option<BlockRecord>,
    /// Absent while the bucket is its owner's alone.
    #[prost(message, optional, tag = "4")]
    pub acl: Option<AclRecord>,
    /// [`crate::acl::Ownership`]; 0 while nobody has said.
    #[prost(uint32, tag = "5")]
    pub ownership: u32,
}

impl AccessRef {
    /// Whether anything could deny something to the owner's root.
    pub fn has_policies(&self) -> bool {
        !self.cam_policy.is_empty() || !self.iam_policy.is_empty()
    }
}

/// What of public access is blocked.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BlockRecord {
    #[prost(bool, tag = "1")]
    pub public_acls: bool,
    #[prost(bool, tag = "2")]
    pub ignore_public_acls: bool,
    #[prost(bool, tag = "3")]
    pub public_policy: bool,
    #[prost(bool, tag = "4")]
    pub restrict_public_buckets: bool,
}

/// A policy as its author wrote it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PolicyRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub write_id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub document: Bytes,
}

/// How long new versions of a bucket are retained; nothing of it, if not at all.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BucketLockRecord {
    /// 1: governance, 2: compliance.
    #[prost(uint32, tag = "1")]
    pub mode: u32,
    /// One of both.
    #[prost(uint64, tag = "2")]
    pub days: u64,
    #[prost(uint64, tag = "3")]
    pub years: u64,
}

/// Decodes a stored record.
pub fn decode<R: Message + Default>(bytes: &[u8], what: &'static str) -> Result<R> {
    R::decode(bytes).map_err(|e| Error::Damaged(format!("{what}: {e}")))
}

/// Decodes a stored record for a list. A row that cannot be read hides neither
/// the others nor itself, since a mirror that misses a key deletes its own copy:
/// it is shown by its name alone, and whoever reads it hears what is wrong.
pub fn decode_listed<R: Message + Default>(key: &[u8], bytes: &[u8], what: &'static str) -> R {
    decode(bytes, what).unwrap_or_else(|error| {
        let key = String::from_utf8_lossy(key);
        tracing::error!(%key, %error, "a list shows a row that cannot be read");
        R::default()
    })
}

/// Encodes a record; never empty, because every record has a set field.
pub fn encode<R: Message>(record: &R) -> Bytes {
    record.encode_to_vec().into()
}

pub fn blob_id(bytes: &[u8]) -> Result<BlobId> {
    bytes.try_into().map(BlobId).map_err(|_| Error::Damaged("a blob id has a wrong length".into()))
}

/// Suffix of a part row.
pub fn part_suffix(set: &[u8], number: u32) -> Bytes {
    let mut suffix = Vec::with_capacity(set.len() + 4);
    suffix.extend_from_slice(set);
    suffix.extend_from_slice(&number.to_be_bytes());
    suffix.into()
}

/// Set and number of a part row.
pub fn split_part_suffix(suffix: &[u8]) -> Option<(&[u8], u32)> {
    let (set, number) = suffix.split_at_checked(16)?;
    Some((set, u32::from_be_bytes(number.try_into().ok()?)))
}

/// An ETag without quotes.
pub fn etag_text(etag: &[u8], parts: u32) -> String {
    let mut digits = vec![0; 2 * etag.len()];
    hex::encode_to_slice(etag, &mut digits).expect("there is room for two digits a byte");
    let mut text = String::from_utf8(digits).expect("digits are ASCII");
    if parts > 0 {
        text.push('-');
        text.push_str(&parts.to_string());
    }
    text
}

impl ObjectRecord {
    pub fn etag_text(&self) -> String {
        etag_text(&self.etag, self.etag_parts)
    }

    /// Whether there is something to be moved to another storage class.
    pub fn may_move(&self) -> bool {
        !self.delete_marker && !matches!(self.content, Some(Content::Link(_)))
    }

    /// Suffix of the row of an inline body. Each version has its own, so that no
    /// body moves when another version becomes the current one.
    pub fn body_suffix(&self) -> Bytes {
        self.version.clone()
    }
}

impl ListedRecord {
    pub fn etag_text(&self) -> String {
        etag_text(&self.etag, self.etag_parts)
    }
}
