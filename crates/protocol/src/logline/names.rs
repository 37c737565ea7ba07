//! What each service's logs call a request, whichever dialect it came in.

use super::Trace;
use crate::dialect::Dialect;
use crate::observe::RequestRecord;
use crate::ops::{self, Operation};

/// By COS's own name of the operation, if it has one.
pub(super) fn in_cos(trace: &Trace, record: &RequestRecord) -> &'static str {
    if trace.is_visit {
        return match record.method.as_str() {
            "HEAD" => "HeadObject",
            "OPTIONS" => "OptionsObject",
            _ => "GetObject",
        };
    }
    let named = trace.operation.and_then(|operation| ops::name_in(Dialect::Cos, operation));
    named.unwrap_or(record.operation)
}

/// `REST.GET.OBJECT`: the method, and what it is about.
pub(super) fn in_s3(trace: &Trace, record: &RequestRecord) -> String {
    let door = if trace.is_visit { "WEBSITE" } else { "REST" };
    let method = match trace.operation {
        // S3 gives them a method of their own.
        Some(Operation::CopyObject | Operation::UploadPartCopy) => "COPY",
        _ => &record.method,
    };
    let is_object = record.key.as_deref().is_some_and(|key| !key.is_empty());
    let subject = match trace.operation {
        Some(operation) => subject(operation),
        None if is_object || trace.is_visit => "OBJECT",
        None => "BUCKET",
    };
    let method = method.bytes().filter(u8::is_ascii_alphanumeric).map(char::from);
    [door, ".", &method.collect::<String>(), ".", subject].concat()
}

fn subject(operation: Operation) -> &'static str {
    match operation {
        Operation::ListBuckets => "SERVICE",
        Operation::CreateBucket
        | Operation::HeadBucket
        | Operation::DeleteBucket
        | Operation::ListObjects
        | Operation::ListObjectsV2 => "BUCKET",
        Operation::ListObjectVersions => "BUCKETVERSIONS",
        Operation::GetBucketLocation => "LOCATION",
        Operation::GetBucketVersioning | Operation::PutBucketVersioning => "VERSIONING",
        Operation::GetBucketLifecycle
        | Operation::PutBucketLifecycle
        | Operation::DeleteBucketLifecycle => "LIFECYCLE",
        Operation::GetBucketAcl | Operation::PutBucketAcl => "ACL",
        Operation::GetObjectAcl | Operation::PutObjectAcl => "OBJECT_ACL",
        Operation::GetOwnershipControls
        | Operation::PutOwnershipControls
        | Operation::DeleteOwnershipControls => "OWNERSHIP_CONTROLS",
        Operation::GetBucketPolicy | Operation::PutBucketPolicy | Operation::DeleteBucketPolicy => {
            "BUCKETPOLICY"
        }
        Operation::GetBucketPolicyStatus => "POLICY_STATUS",
        Operation::GetPublicAccessBlock
        | Operation::PutPublicAccessBlock
        | Operation::DeletePublicAccessBlock => "PUBLIC_ACCESS_BLOCK",
        Operation::PutObject
        | Operation::CopyObject
        | Operation::AppendObject
        | Operation::PostObject
        | Operation::GetObject
        | Operation::HeadObject
        | Operation::DeleteObject => "OBJECT",
        Operation::RestoreObject => "RESTORE",
        Operation::GetObjectAttributes => "OBJECT_ATTRIBUTES",
        Operation::DeleteObjects => "MULTI_OBJECT_DELETE",
        Operation::CreateMultipartUpload | Operation::ListMultipartUploads => "UPLOADS",
        Operation::UploadPart | Operation::UploadPartCopy => "PART",
        Operation::ListParts
        | Operation::CompleteMultipartUpload
        | Operation::AbortMultipartUpload => "UPLOAD",
        Operation::GetObjectLock | Operation::PutObjectLock => "OBJECT_LOCK_CONFIGURATION",
        Operation::GetObjectRetention | Operation::PutObjectRetention => "OBJECT_LOCK_RETENTION",
        Operation::GetObjectLegalHold | Operation::PutObjectLegalHold => "OBJECT_LOCK_LEGALHOLD",
        Operation::GetObjectTagging
        | Operation::PutObjectTagging
        | Operation::DeleteObjectTagging => "OBJECT_TAGGING",
        Operation::GetSymlink | Operation::PutSymlink => "SYMLINK",
        Operation::GetWebsite | Operation::PutWebsite | Operation::DeleteWebsite => "WEBSITE",
        Operation::GetReferer | Operation::PutReferer => "REFERER",
        Operation::GetBucketCors | Operation::PutBucketCors | Operation::DeleteBucketCors => "CORS",
        Operation::GetBucketTiering
        | Operation::PutBucketTiering
        | Operation::GetIdentifiedTiering
        | Operation::PutIdentifiedTiering
        | Operation::DeleteIdentifiedTiering
        | Operation::ListIdentifiedTiering => "INTELLIGENT_TIERING",
        Operation::Preflight => "PREFLIGHT",
        Operation::GetBucketTagging
        | Operation::PutBucketTagging
        | Operation::DeleteBucketTagging => "TAGGING",
        Operation::GetBucketLogging | Operation::PutBucketLogging => "LOGGING_STATUS",
        Operation::GetInventory
        | Operation::PutInventory
        | Operation::PostInventory
        | Operation::DeleteInventory
        | Operation::ListInventories => "INVENTORY",
        Operation::GetBucketNotification | Operation::PutBucketNotification => "NOTIFICATION",
    }
}
