//! Answers to what the core refuses.

use costrel_core::error::Declared;
use costrel_core::{BodyError, Error};
use http::StatusCode as S;

use super::{Code, Described};
use crate::dialect::Dialect;

pub(super) fn internal() -> Described {
    Described::new(
        S::INTERNAL_SERVER_ERROR,
        Code::both("InternalError"),
        "We encountered an internal error. Please try again.",
    )
}

fn unavailable() -> Described {
    Described::new(
        S::SERVICE_UNAVAILABLE,
        Code::both("ServiceUnavailable"),
        "Storage is temporarily unable to handle the request. Please try again.",
    )
}

pub(super) fn describe(error: &Error, dialect: Dialect) -> Described {
    let new = Described::new;
    match error {
        Error::InvalidBucketName(why) => new(
            S::BAD_REQUEST,
            Code::both("InvalidBucketName"),
            "The specified bucket is not valid.",
        )
        .with("Reason", why),
        Error::BucketNameTooLong { max } => new(
            S::BAD_REQUEST,
            Code::each("BucketNameTooLong", "InvalidBucketName"),
            "The specified bucket name is too long.",
        )
        .with("MaxSizeAllowed", max),
        Error::KeyTooLong { max } => new(
            S::BAD_REQUEST,
            Code::each("KeyTooLong", "KeyTooLongError"),
            "Your key is too long.",
        )
        .with("MaxSizeAllowed", max),
        Error::InvalidKey(why) => {
            new(S::BAD_REQUEST, Code::each("InvalidObjectName", "InvalidArgument"), why)
        }
        Error::MetadataTooLarge { size, max } => new(
            S::BAD_REQUEST,
            Code::each("InvalidArgument", "MetadataTooLarge"),
            "Your metadata headers exceed the maximum allowed metadata size.",
        )
        .with("Size", size)
        .with("MaxSizeAllowed", max),
        Error::InvalidStorageClass => new(
            S::BAD_REQUEST,
            Code::each("NotSupportedStorageClass", "InvalidStorageClass"),
            "The storage class you specified is not valid.",
        ),
        Error::InvalidTag(why) => new(S::BAD_REQUEST, Code::both("InvalidTag"), why),
        Error::NoSuchBucket => {
            new(S::NOT_FOUND, Code::both("NoSuchBucket"), "The specified bucket does not exist.")
        }
        Error::BucketAlreadyOwnedByYou => new(
            S::CONFLICT,
            Code::both("BucketAlreadyOwnedByYou"),
            "Your previous request to create the named bucket succeeded and you already own it.",
        ),
        Error::BucketAlreadyExists => new(
            S::CONFLICT,
            Code::both("BucketAlreadyExists"),
            "The requested bucket name is not available. Please select a different name and try again.",
        ),
        Error::BucketNotEmpty => new(
            S::CONFLICT,
            Code::both("BucketNotEmpty"),
            "The bucket you tried to delete is not empty.",
        ),
        Error::TooManyBuckets { .. } => new(
            S::BAD_REQUEST,
            Code::both("TooManyBuckets"),
            "You have attempted to create more buckets than allowed.",
        ),
        Error::NoSuchKey => {
            new(S::NOT_FOUND, Code::both("NoSuchKey"), "The specified key does not exist.")
        }
        Error::NoSuchVersion => {
            new(S::NOT_FOUND, Code::both("NoSuchVersion"), "The specified version does not exist.")
        }
        Error::CurrentIsMarker { .. } => describe(&Error::NoSuchKey, dialect),
        Error::VersionIsMarker { .. } => match dialect {
            Dialect::Cos => describe(&Error::NoSuchKey, dialect),
            Dialect::S3 => new(
                S::METHOD_NOT_ALLOWED,
                Code::both("MethodNotAllowed"),
                "The specified method is not allowed against this resource.",
            )
            .with("ResourceType", "DeleteMarker"),
        },
        Error::SourceIsMarker => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "The source of a copy request may not specifically refer to a delete marker by \
             version id.",
        ),
        Error::NoSuchUpload => new(
            S::NOT_FOUND,
            Code::both("NoSuchUpload"),
            "The specified multipart upload does not exist. The upload ID might be invalid, or the \
             multipart upload might have been aborted or completed.",
        ),
        Error::InvalidLifecycle(fault) => super::lifecycle::describe(*fault),
        Error::NoLifecycle => new(
            S::NOT_FOUND,
            Code::both("NoSuchLifecycleConfiguration"),
            "The lifecycle configuration does not exist.",
        ),
        Error::InvalidCors(fault) => super::cors::describe_fault(fault),
        Error::NoCors => new(
            S::NOT_FOUND,
            Code::both("NoSuchCORSConfiguration"),
            "The CORS configuration does not exist",
        ),
        Error::InvalidWebsite(why) => new(S::BAD_REQUEST, Code::both("InvalidArgument"), why),
        Error::NoWebsite => new(
            S::NOT_FOUND,
            Code::both("NoSuchWebsiteConfiguration"),
            "The specified bucket does not have a website configuration",
        ),
        Error::InvalidInventory(fault) => super::inventory::describe(fault),
        Error::TooManyInventories { max } => super::inventory::too_many(*max),
        Error::NoInventory => super::inventory::absent(),
        Error::InvalidLogging(fault) => super::logging::describe(*fault, dialect),
        Error::InvalidNotification(fault) => super::notification::describe(fault),
        Error::InvalidPolicy(fault) => super::policy::describe(fault),
        Error::NoPolicy => new(
            S::NOT_FOUND,
            Code::each("NoSuchPolicy", "NoSuchBucketPolicy"),
            "The bucket policy does not exist",
        ),
        Error::TooManyGrants { max } => new(
            S::BAD_REQUEST,
            Code::each("InvalidArgument", "MalformedACLError"),
            "The ACL has too many grants.",
        )
        .with("MaxGrantsAllowed", max),
        Error::AclsDisabled => new(
            S::BAD_REQUEST,
            Code::both("AccessControlListNotSupported"),
            "The bucket does not allow ACLs",
        ),
        Error::AclInTheWay => new(
            S::BAD_REQUEST,
            Code::both("InvalidBucketAclWithObjectOwnership"),
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ),
        Error::NoOwnershipControls => new(
            S::NOT_FOUND,
            Code::both("OwnershipControlsNotFoundError"),
            "The bucket ownership controls were not found",
        ),
        Error::PublicPolicyBlocked | Error::PublicAclBlocked => {
            new(S::FORBIDDEN, Code::both("AccessDenied"), "Access Denied")
        }
        Error::NoPublicAccessBlock => new(
            S::NOT_FOUND,
            Code::both("NoSuchPublicAccessBlockConfiguration"),
            "The public access block configuration was not found",
        ),
        Error::PreconditionFailed { condition } => new(
            S::PRECONDITION_FAILED,
            Code::both("PreconditionFailed"),
            match dialect {
                Dialect::Cos => "Precondition not match.",
                Dialect::S3 => "At least one of the pre-conditions you specified did not hold",
            },
        )
        .with("Condition", condition),
        // Answered without a body, before it comes to this.
        Error::NotModified(_) => new(S::NOT_MODIFIED, Code::both("NotModified"), "Not Modified"),
        Error::AlreadyExists => new(
            S::CONFLICT,
            Code::each("FileAlreadyExists", "PreconditionFailed"),
            "The object already exists and the request forbids overwriting it.",
        ),
        Error::InvalidRange { size } => new(
            S::RANGE_NOT_SATISFIABLE,
            Code::both("InvalidRange"),
            "The requested range is not satisfiable",
        )
        .with("ActualObjectSize", size),
        Error::CopyRange { size } => new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "The copy's range is not valid for the source object.",
        )
        .with("ActualObjectSize", size),
        Error::InvalidPartNumber => new(
            S::RANGE_NOT_SATISFIABLE,
            Code::each("InvalidRange", "InvalidPartNumber"),
            "The requested partnumber is not satisfiable",
        ),
        Error::DigestMismatch { declared } => digest_mismatch(*declared),
        Error::TooLarge { size, max } => too_large(*max).with("ProposedSize", size),
        Error::Body(error) => body(*error, dialect),
        Error::PartTooSmall { number, size, min, etag } => new(
            S::BAD_REQUEST,
            Code::both("EntityTooSmall"),
            "Your proposed upload is smaller than the minimum allowed size",
        )
        .with("PartNumber", number)
        .with("ProposedSize", size)
        .with("MinSizeAllowed", min)
        .with("ETag", etag),
        Error::InvalidPart { number } => new(
            S::BAD_REQUEST,
            Code::both("InvalidPart"),
            "One or more of the specified parts could not be found. The part may not have been \
             uploaded, or the specified entity tag may not match the part's entity tag.",
        )
        .with("PartNumber", number),
        Error::InvalidPartOrder => new(
            S::BAD_REQUEST,
            Code::both("InvalidPartOrder"),
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ),
        Error::PartNumberOutOfRange => new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "Part number must be an integer between 1 and 10000, inclusive",
        )
        .with("ArgumentName", "partNumber"),
        Error::NoParts => super::malformed_xml(),
        Error::UploadSizeMismatch { .. } => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "The provided object size does not match the size of the completed upload.",
        ),
        Error::ChecksumAlgorithmMismatch { upload } => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "Checksum type mismatch: the upload was created with another checksum.",
        )
        .with("ChecksumAlgorithm", upload.map_or("none", |algorithm| algorithm.name())),
        Error::ChecksumTypeUnsupported { algorithm } => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "The checksum type is not supported with the checksum algorithm.",
        )
        .with("ChecksumAlgorithm", algorithm.name()),
        Error::AppendPosition { length } => new(
            S::CONFLICT,
            Code::each("AppendPositionErr", "InvalidWriteOffset"),
            "The append position is not the object's length.",
        )
        .with("Length", length),
        Error::NotAppendable => new(
            S::CONFLICT,
            Code::each("ObjectNotAppendable", "InvalidRequest"),
            "The object is not appendable.",
        ),
        Error::AppendToVersions => new(
            S::CONFLICT,
            Code::each("InvalidBucketState", "InvalidRequest"),
            "Objects of a bucket with versioning cannot be appended to.",
        ),
        Error::Locked => match dialect {
            Dialect::Cos => new(S::CONFLICT, Code::both("ObjectLocked"), "The object is locked."),
            Dialect::S3 => new(
                S::FORBIDDEN,
                Code::both("AccessDenied"),
                "Access Denied because object protected by object lock.",
            ),
        },
        Error::RetentionLoosened => match dialect {
            Dialect::Cos => new(
                S::CONFLICT,
                Code::both("InvalidLockedTime"),
                "The retention of a locked object can only be extended.",
            ),
            Dialect::S3 => describe(&Error::Locked, dialect),
        },
        Error::RetentionInThePast => new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "The retain until date must be in the future!",
        ),
        Error::RetentionPeriod => match dialect {
            Dialect::Cos => new(
                S::CONFLICT,
                Code::both("InvalidLockedTime"),
                "The retention period must be of 1 to 36500 days.",
            ),
            Dialect::S3 => new(
                S::BAD_REQUEST,
                Code::both("InvalidRetentionPeriod"),
                "The default retention period must be of 1 to 36500 days or 1 to 100 years.",
            ),
        },
        Error::NoObjectLock => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "Bucket is missing Object Lock Configuration",
        ),
        Error::LockNeedsVersions => new(
            S::CONFLICT,
            Code::both("InvalidBucketState"),
            "Object lock and the versioning of the bucket do not go together so.",
        ),
        Error::TooManyAppends { max } => new(
            S::BAD_REQUEST,
            Code::each("InvalidRequest", "TooManyParts"),
            "The object has been appended to too many times.",
        )
        .with("MaxAppends", max),
        Error::NotALink => {
            new(S::BAD_REQUEST, Code::both("NotSymlink"), "The object is not a symlink.")
        }
        Error::LinkToLink => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "The target of the symlink is a symlink.",
        ),
        Error::LinkLeadsTo { .. } => super::access_denied(dialect),
        Error::CopyOntoItself => new(
            S::BAD_REQUEST,
            Code::both("InvalidRequest"),
            "This copy request is illegal because it is trying to copy an object to itself without \
             changing the object's metadata, storage class, website redirect location or \
             encryption attributes.",
        ),
        Error::Archived { class, tier } => {
            let described = new(
                S::FORBIDDEN,
                Code::both("InvalidObjectState"),
                match (dialect, tier) {
                    (Dialect::Cos, _) => "The operation is not valid for the object storage class.",
                    (Dialect::S3, None) => {
                        "The operation is not valid for the object's storage class"
                    }
                    (Dialect::S3, Some(_)) => {
                        "The operation is not valid for the object's access tier"
                    }
                },
            )
            .with("StorageClass", class);
            match tier {
                Some(tier) => described.with("AccessTier", tier.name()),
                None => described,
            }
        }
        Error::NotArchived => match dialect {
            Dialect::Cos => new(
                S::METHOD_NOT_ALLOWED,
                Code::both("RestoreNonArchiveObject"),
                "Restore is not allowed, as the object's storage class is not archived.",
            ),
            Dialect::S3 => new(
                S::FORBIDDEN,
                Code::both("InvalidObjectState"),
                "Restore is not allowed for the object's current storage class",
            ),
        },
        Error::InvalidTiering => new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "Objects move after 30, 60 or 90 days.",
        ),
        Error::Archiving(fault) => super::tiering::describe(fault),
        Error::TooManyArchivings { max } => super::tiering::too_many(*max),
        Error::NoArchiving => new(
            S::NOT_FOUND,
            Code::both("NoSuchConfiguration"),
            "The specified configuration does not exist.",
        ),
        Error::RestoreWithoutDays => super::malformed_xml(),
        Error::RestoreWithDays => new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "Days must not be given for an object in an archive tier of intelligent tiering",
        ),
        Error::RestoreUnderWay => new(
            S::CONFLICT,
            Code::both("RestoreAlreadyInProgress"),
            "Object restore is already in progress",
        ),
        Error::RestoreSpeed => new(
            S::BAD_REQUEST,
            Code::both("InvalidArgument"),
            "Retrieval option is not supported by this storage class",
        ),
        Error::StorageFull => new(
            S::INSUFFICIENT_STORAGE,
            Code::both("InsufficientStorage"),
            "The server has no space left to store this.",
        ),
        Error::StorageReadOnly => new(
            S::SERVICE_UNAVAILABLE,
            Code::both("ServiceUnavailable"),
            "The server serves reads only at the moment.",
        ),
        Error::StorageUnavailable | Error::Overtaken => unavailable(),
        Error::Damaged(_) | Error::Internal(_) => internal(),
    }
}

fn digest_mismatch(declared: Declared) -> Described {
    match declared {
        Declared::ContentSha256 => Described::new(
            S::BAD_REQUEST,
            Code::each("BadDigest", "XAmzContentSHA256Mismatch"),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        Declared::ContentSha1 => Described::new(
            S::BAD_REQUEST,
            Code::each("InvalidSHA1Digest", "BadDigest"),
            "The SHA-1 you specified did not match what we received.",
        ),
        Declared::ContentMd5 => Described::new(
            S::BAD_REQUEST,
            Code::both("BadDigest"),
            "The Content-MD5 you specified did not match what we received.",
        ),
        Declared::Crc64 => Described::new(
            S::BAD_REQUEST,
            Code::both("BadDigest"),
            "The CRC64 you specified did not match what we received.",
        ),
        Declared::Checksum(algorithm) => Described::new(
            S::BAD_REQUEST,
            Code::both("BadDigest"),
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ),
        ),
    }
}

fn too_large(max: u64) -> Described {
    Described::new(
        S::BAD_REQUEST,
        Code::both("EntityTooLarge"),
        "Your proposed upload exceeds the maximum allowed size",
    )
    .with("MaxSizeAllowed", max)
}

fn body(error: BodyError, dialect: Dialect) -> Described {
    let new = Described::new;
    match error {
        BodyError::Truncated | BodyError::Disconnected | BodyError::LengthMismatch => new(
            S::BAD_REQUEST,
            Code::both("IncompleteBody"),
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        ),
        BodyError::TooSlow => new(
            S::BAD_REQUEST,
            Code::both("RequestTimeout"),
            "Your socket connection to the server was not read from or written to within the \
             timeout period.",
        ),
        BodyError::MalformedFraming => new(
            S::BAD_REQUEST,
            Code::each("InvalidRequest", "IncompleteBody"),
            "The request body is not well-formed aws-chunked content.",
        ),
        BodyError::ChunkSignature => new(
            S::FORBIDDEN,
            Code::both("SignatureDoesNotMatch"),
            "The signature of a chunk does not match.",
        ),
        BodyError::MalformedTrailer => new(
            S::BAD_REQUEST,
            Code::each("InvalidRequest", "MalformedTrailerError"),
            "The request contained trailing data that was not well-formed or did not conform to \
             our published schema.",
        ),
        BodyError::MalformedForm => new(
            S::BAD_REQUEST,
            Code::both("MalformedPOSTRequest"),
            "The body of your POST request is not well-formed multipart/form-data.",
        ),
        BodyError::SecondFile => new(
            S::BAD_REQUEST,
            Code::both("IncorrectNumberOfFilesInPostRequest"),
            "POST requires exactly one file upload per request.",
        ),
        BodyError::TooLarge { max } => too_large(max),
        BodyError::TooSmall { min } => new(
            S::BAD_REQUEST,
            Code::both("EntityTooSmall"),
            match dialect {
                Dialect::Cos => "The file is smaller than the policy allows.",
                Dialect::S3 => "Your proposed upload is smaller than the minimum allowed size",
            },
        )
        .with("MinSizeAllowed", min),
        BodyError::Source => internal(),
    }
}
