//! What can go wrong, as meanings. Each dialect maps every variant to its own
//! code, status and words in one exhaustive match; engines' failures are lifted
//! here once.

use crate::checksum::Algorithm;
use crate::engine::EngineError;
use crate::names::ObjectKey;
use crate::tiering::{AccessTier, ArchivingFault};
use crate::version::VersionRef;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    // Names
    #[error("invalid bucket name: {0}")]
    InvalidBucketName(&'static str),
    #[error("bucket name is longer than {max} characters")]
    BucketNameTooLong { max: usize },
    #[error("object key is longer than {max} bytes")]
    KeyTooLong { max: usize },
    #[error("invalid object key: {0}")]
    InvalidKey(&'static str),
    #[error("user metadata exceeds {max} bytes")]
    MetadataTooLarge { size: usize, max: usize },
    #[error("unknown storage class")]
    InvalidStorageClass,
    #[error("invalid tag: {0}")]
    InvalidTag(&'static str),

    // Existence
    #[error("no such bucket")]
    NoSuchBucket,
    #[error("bucket exists and belongs to the caller")]
    BucketAlreadyOwnedByYou,
    #[error("bucket exists and belongs to another account")]
    BucketAlreadyExists,
    #[error("bucket is not empty")]
    BucketNotEmpty,
    #[error("account has {max} buckets already")]
    TooManyBuckets { max: usize },
    #[error("no such key")]
    NoSuchKey,
    #[error("no such version")]
    NoSuchVersion,
    /// A delete marker is the current version: there is no object.
    #[error("the current version is a delete marker")]
    CurrentIsMarker { version: VersionRef },
    /// The version that was named is a delete marker.
    #[error("the version is a delete marker")]
    VersionIsMarker { version: VersionRef, modified_ms: u64 },
    #[error("no such upload")]
    NoSuchUpload,

    // Settings
    #[error("the lifecycle's rules are refused: {0}")]
    InvalidLifecycle(#[from] crate::lifecycle::LifecycleFault),
    #[error("the bucket has no lifecycle")]
    NoLifecycle,
    #[error("the CORS rules are refused: {0}")]
    InvalidCors(#[from] crate::cors::CorsFault),
    #[error("the bucket has no CORS rules")]
    NoCors,
    #[error("the website is refused: {0}")]
    InvalidWebsite(&'static str),
    #[error("the bucket has no website")]
    NoWebsite,
    #[error("the logging is refused: {0}")]
    InvalidLogging(#[from] crate::logging::LogFault),
    #[error("the inventory is refused: {0}")]
    InvalidInventory(#[from] crate::inventory::InventoryFault),
    #[error("the bucket has {max} inventories already")]
    TooManyInventories { max: usize },
    #[error("the bucket has no inventory of that id")]
    NoInventory,
    #[error(transparent)]
    InvalidNotification(#[from] crate::events::EventFault),
    #[error("the policy is refused: {0}")]
    InvalidPolicy(#[from] costrel_policy::PolicyFault),
    #[error("the bucket has no policy")]
    NoPolicy,
    /// The bucket takes no policy that lets anybody in.
    #[error("public policies are blocked")]
    PublicPolicyBlocked,
    /// The bucket takes no ACL that lets anybody in, for itself and for its objects.
    #[error("public ACLs are blocked")]
    PublicAclBlocked,
    /// The bucket's owner owns whatever is in it, and ACLs count for nothing.
    #[error("the bucket has no ACLs")]
    AclsDisabled,
    /// A bucket that is open by its ACL cannot be one without ACLs.
    #[error("the bucket's ACL lets others in")]
    AclInTheWay,
    #[error("nothing is said of who owns the bucket's objects")]
    NoOwnershipControls,
    #[error("the ACL has more than {max} grants")]
    TooManyGrants { max: usize },
    #[error("the bucket blocks no public access")]
    NoPublicAccessBlock,

    // Conditions
    /// The named request condition does not hold.
    #[error("precondition {condition} failed")]
    PreconditionFailed { condition: &'static str },
    /// A read whose condition says the caller's copy is current. Carries what
    /// the answer must repeat.
    #[error("not modified")]
    NotModified(Box<crate::object::ObjectInfo>),
    /// A create that must not overwrite met an existing object.
    #[error("object exists already")]
    AlreadyExists,
    #[error("range not satisfiable")]
    InvalidRange { size: u64 },
    /// A copy's range must lie within its source.
    #[error("range ends beyond the source of {size} bytes")]
    CopyRange { size: u64 },
    #[error("no such part of the object")]
    InvalidPartNumber,

    // Bodies
    #[error("the body does not match the {declared:?} the request declares")]
    DigestMismatch { declared: Declared },
    #[error("body exceeds {max} bytes")]
    TooLarge { size: u64, max: u64 },
    #[error(transparent)]
    Body(#[from] BodyError),

    // Uploads
    #[error("part {number} is smaller than {min} bytes")]
    PartTooSmall { number: u32, size: u64, min: u64, etag: String },
    #[error("part {number} was not uploaded or has another ETag or checksum")]
    InvalidPart { number: u32 },
    #[error("parts are not in ascending order")]
    InvalidPartOrder,
    #[error("part number outside 1..=10000")]
    PartNumberOutOfRange,
    #[error("the list of parts is empty")]
    NoParts,
    #[error("the completed object has {size} bytes, the request declares {declared}")]
    UploadSizeMismatch { size: u64, declared: u64 },
    #[error("checksum algorithm differs from the upload's")]
    ChecksumAlgorithmMismatch { upload: Option<Algorithm> },
    #[error("checksum type does not suit the algorithm")]
    ChecksumTypeUnsupported { algorithm: Algorithm },

    // Append
    #[error("append position is not the object's length {length}")]
    AppendPosition { length: u64 },
    #[error("object was not made by append")]
    NotAppendable,
    #[error("objects of a bucket that keeps versions cannot grow")]
    AppendToVersions,
    #[error("appendable object has its maximum of {max} segments")]
    TooManyAppends { max: u32 },

    // Object lock
    /// A retention or a legal hold keeps the version.
    #[error("the version is locked")]
    Locked,
    #[error("a retention in force cannot be loosened")]
    RetentionLoosened,
    #[error("the end of the retention is in the past")]
    RetentionInThePast,
    #[error("the retention period is out of range")]
    RetentionPeriod,
    #[error("the bucket has no object lock")]
    NoObjectLock,
    #[error("object lock needs versioning")]
    LockNeedsVersions,

    // Symlinks
    #[error("the object is no symlink")]
    NotALink,
    #[error("the symlink leads to a symlink")]
    LinkToLink,
    /// Nobody has said that the reader may see what is there.
    #[error("the symlink leads to {target:?}")]
    LinkLeadsTo { target: ObjectKey },

    // Copy
    /// The version to copy is a delete marker.
    #[error("the copy's source is a delete marker")]
    SourceIsMarker,
    #[error("copy onto itself changes nothing")]
    CopyOntoItself,

    // Archive
    /// Archived, and not restored at the moment.
    #[error("the object is archived")]
    Archived { class: String, tier: Option<AccessTier> },
    #[error("the object's class needs no restore")]
    NotArchived,
    #[error("the object is being restored")]
    RestoreUnderWay,
    #[error("the object's class cannot be restored so fast")]
    RestoreSpeed,
    #[error("a restore says for how long it is to be")]
    RestoreWithoutDays,
    /// In intelligent tiering, where it lasts until the object is not read again.
    #[error("a restore that lasts does not say for how long")]
    RestoreWithDays,

    // Intelligent tiering
    #[error("intelligent tiering does not know these days")]
    InvalidTiering,
    #[error("an archiving is wrong: {0:?}")]
    Archiving(ArchivingFault),
    #[error("more than {max} archivings")]
    TooManyArchivings { max: usize },
    #[error("no archiving has this id")]
    NoArchiving,

    // Storage
    /// An object was replaced since it was seen, and its bytes are gone.
    #[error("an object was replaced meanwhile")]
    Overtaken,
    #[error("storage is full")]
    StorageFull,
    #[error("storage refuses writes")]
    StorageReadOnly,
    #[error("storage is unavailable")]
    StorageUnavailable,
    /// A stored row or body is damaged or missing. The text is for the log.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// Anything else the operator must look at. The text is for the log.
    #[error("internal failure: {0}")]
    Internal(String),
}

/// What a request declared about its body's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    ContentMd5,
    /// `x-cos-hash-crc64ecma` style whole-body CRC.
    Crc64,
    /// `x-amz-content-sha256`, part of the signature.
    ContentSha256,
    /// `x-cos-content-sha1`.
    ContentSha1,
    Checksum(Algorithm),
}

/// Why a body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body ended before its declared length")]
    Truncated,
    #[error("the body arrives too slowly")]
    TooSlow,
    #[error("the body's framing is malformed")]
    MalformedFraming,
    #[error("the signature of a chunk does not match")]
    ChunkSignature,
    #[error("the trailer is malformed or missing")]
    MalformedTrailer,
    #[error("the decoded length differs from the declared one")]
    LengthMismatch,
    #[error("the connection broke")]
    Disconnected,
    #[error("the form around the file is malformed")]
    MalformedForm,
    #[error("the form has several files")]
    SecondFile,
    #[error("the body exceeds the limit of {max} bytes")]
    TooLarge { max: u64 },
    #[error("the body is smaller than the {min} bytes its policy demands")]
    TooSmall { min: u64 },
    /// The source of a copy broke while it was read.
    #[error("the source could not be read")]
    Source,
}

impl Error {
    /// Whether it says that there is no such object.
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Error::NoSuchKey
                | Error::NoSuchVersion
                | Error::CurrentIsMarker { .. }
                | Error::VersionIsMarker { .. }
                | Error::SourceIsMarker
        )
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full(_) => Error::StorageFull,
            EngineError::Poisoned(_) => Error::StorageReadOnly,
            EngineError::Unavailable(_) => Error::StorageUnavailable,
            EngineError::NotFound(id) => Error::Damaged(format!("blob {id} is missing")),
            EngineError::Corrupt(what) => Error::Damaged(what),
            EngineError::Io { context, source } => Error::Internal(format!("{context}: {source}")),
        }
    }
}
