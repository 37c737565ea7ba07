//! What policies call an operation. A policy of either grammar judges requests of
//! both dialects, so every operation has a name in both, whichever it came from.

use costrel_core::acl::Permission;
use costrel_policy::Action;

use super::Operation;
use crate::dialect::Dialect;

/// The action that an operation is. IAM has actions of their own for what names a
/// version.
pub fn action(operation: Operation, versioned: bool) -> Action {
    let (cam, iam) = match operation {
        Operation::ListBuckets => ("name/cos:GetService", "s3:ListAllMyBuckets"),
        Operation::CreateBucket => ("name/cos:PutBucket", "s3:CreateBucket"),
        Operation::HeadBucket => ("name/cos:HeadBucket", "s3:ListBucket"),
        Operation::DeleteBucket => ("name/cos:DeleteBucket", "s3:DeleteBucket"),
        Operation::GetBucketLocation => ("name/cos:GetBucketLocation", "s3:GetBucketLocation"),
        Operation::GetBucketVersioning => {
            ("name/cos:GetBucketVersioning", "s3:GetBucketVersioning")
        }
        Operation::PutBucketVersioning => {
            ("name/cos:PutBucketVersioning", "s3:PutBucketVersioning")
        }
        Operation::GetBucketLifecycle => {
            ("name/cos:GetBucketLifecycle", "s3:GetLifecycleConfiguration")
        }
        Operation::PutBucketLifecycle => {
            ("name/cos:PutBucketLifecycle", "s3:PutLifecycleConfiguration")
        }
        Operation::DeleteBucketLifecycle => {
            ("name/cos:DeleteBucketLifecycle", "s3:PutLifecycleConfiguration")
        }
        Operation::GetBucketAcl => ("name/cos:GetBucketACL", "s3:GetBucketAcl"),
        Operation::PutBucketAcl => ("name/cos:PutBucketACL", "s3:PutBucketAcl"),
        Operation::GetObjectAcl if versioned => ("name/cos:GetObjectACL", "s3:GetObjectVersionAcl"),
        Operation::GetObjectAcl => ("name/cos:GetObjectACL", "s3:GetObjectAcl"),
        Operation::PutObjectAcl if versioned => ("name/cos:PutObjectACL", "s3:PutObjectVersionAcl"),
        Operation::PutObjectAcl => ("name/cos:PutObjectACL", "s3:PutObjectAcl"),
        Operation::GetOwnershipControls => {
            ("name/cos:GetBucketOwnershipControls", "s3:GetBucketOwnershipControls")
        }
        Operation::PutOwnershipControls | Operation::DeleteOwnershipControls => {
            ("name/cos:PutBucketOwnershipControls", "s3:PutBucketOwnershipControls")
        }
        Operation::GetBucketPolicy => ("name/cos:GetBucketPolicy", "s3:GetBucketPolicy"),
        Operation::PutBucketPolicy => ("name/cos:PutBucketPolicy", "s3:PutBucketPolicy"),
        Operation::DeleteBucketPolicy => ("name/cos:DeleteBucketPolicy", "s3:DeleteBucketPolicy"),
        Operation::GetBucketPolicyStatus => {
            ("name/cos:GetBucketPolicy", "s3:GetBucketPolicyStatus")
        }
        Operation::GetPublicAccessBlock => {
            ("name/cos:GetBucketPublicAccessBlock", "s3:GetBucketPublicAccessBlock")
        }
        Operation::PutPublicAccessBlock | Operation::DeletePublicAccessBlock => {
            ("name/cos:PutBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock")
        }
        Operation::ListObjectVersions => {
            ("name/cos:GetBucketObjectVersions", "s3:ListBucketVersions")
        }
        Operation::ListObjects | Operation::ListObjectsV2 => {
            ("name/cos:GetBucket", "s3:ListBucket")
        }
        Operation::PutObject | Operation::CopyObject => ("name/cos:PutObject", "s3:PutObject"),
        Operation::AppendObject => ("name/cos:AppendObject", "s3:PutObject"),
        Operation::RestoreObject => ("name/cos:PostObjectRestore", "s3:RestoreObject"),
        Operation::PostObject => ("name/cos:PostObject", "s3:PutObject"),
        Operation::GetObject if versioned => ("name/cos:GetObject", "s3:GetObjectVersion"),
        Operation::GetObject => ("name/cos:GetObject", "s3:GetObject"),
        Operation::HeadObject if versioned => ("name/cos:HeadObject", "s3:GetObjectVersion"),
        Operation::HeadObject => ("name/cos:HeadObject", "s3:GetObject"),
        // COS has no such operation; it tells what a HEAD does.
        Operation::GetObjectAttributes if versioned => {
            ("name/cos:HeadObject", "s3:GetObjectVersionAttributes")
        }
        Operation::GetObjectAttributes => ("name/cos:HeadObject", "s3:GetObjectAttributes"),
        Operation::DeleteObject if versioned => ("name/cos:DeleteObject", "s3:DeleteObjectVersion"),
        Operation::DeleteObject | Operation::DeleteObjects => {
            ("name/cos:DeleteObject", "s3:DeleteObject")
        }
        Operation::CreateMultipartUpload => ("name/cos:InitiateMultipartUpload", "s3:PutObject"),
        Operation::UploadPart => ("name/cos:UploadPart", "s3:PutObject"),
        Operation::UploadPartCopy => ("name/cos:UploadPartCopy", "s3:PutObject"),
        Operation::ListParts => ("name/cos:ListParts", "s3:ListMultipartUploadParts"),
        Operation::CompleteMultipartUpload => ("name/cos:CompleteMultipartUpload", "s3:PutObject"),
        Operation::AbortMultipartUpload => {
            ("name/cos:AbortMultipartUpload", "s3:AbortMultipartUpload")
        }
        Operation::ListMultipartUploads => {
            ("name/cos:ListMultipartUploads", "s3:ListBucketMultipartUploads")
        }
        Operation::GetObjectLock => {
            ("name/cos:GetBucketObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration")
        }
        Operation::PutObjectLock => {
            ("name/cos:PutBucketObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration")
        }
        Operation::GetObjectRetention => ("name/cos:GetObjectRetention", "s3:GetObjectRetention"),
        Operation::PutObjectRetention => ("name/cos:PutObjectRetention", "s3:PutObjectRetention"),
        Operation::GetObjectLegalHold => ("name/cos:GetObjectLegalHold", "s3:GetObjectLegalHold"),
        Operation::PutObjectLegalHold => ("name/cos:PutObjectLegalHold", "s3:PutObjectLegalHold"),
        Operation::GetObjectTagging if versioned => {
            ("name/cos:GetObjectTagging", "s3:GetObjectVersionTagging")
        }
        Operation::GetObjectTagging => ("name/cos:GetObjectTagging", "s3:GetObjectTagging"),
        Operation::PutObjectTagging if versioned => {
            ("name/cos:PutObjectTagging", "s3:PutObjectVersionTagging")
        }
        Operation::PutObjectTagging => ("name/cos:PutObjectTagging", "s3:PutObjectTagging"),
        Operation::DeleteObjectTagging if versioned => {
            ("name/cos:DeleteObjectTagging", "s3:DeleteObjectVersionTagging")
        }
        Operation::DeleteObjectTagging => {
            ("name/cos:DeleteObjectTagging", "s3:DeleteObjectTagging")
        }
        Operation::GetWebsite => ("name/cos:GetBucketWebsite", "s3:GetBucketWebsite"),
        Operation::PutWebsite => ("name/cos:PutBucketWebsite", "s3:PutBucketWebsite"),
        Operation::DeleteWebsite => ("name/cos:DeleteBucketWebsite", "s3:DeleteBucketWebsite"),
        // S3 has no such list; its policies have conditions on the referer.
        Operation::GetReferer => ("name/cos:GetBucketReferer", "s3:GetBucketReferer"),
        Operation::PutReferer => ("name/cos:PutBucketReferer", "s3:PutBucketReferer"),
        Operation::GetBucketCors => ("name/cos:GetBucketCORS", "s3:GetBucketCORS"),
        Operation::PutBucketCors => ("name/cos:PutBucketCORS", "s3:PutBucketCORS"),
        Operation::DeleteBucketCors => ("name/cos:DeleteBucketCORS", "s3:PutBucketCORS"),
        Operation::GetBucketTiering | Operation::GetIdentifiedTiering => {
            ("name/cos:GetBucketIntelligentTiering", "s3:GetIntelligentTieringConfiguration")
        }
        Operation::PutBucketTiering | Operation::PutIdentifiedTiering => {
            ("name/cos:PutBucketIntelligentTiering", "s3:PutIntelligentTieringConfiguration")
        }
        Operation::DeleteIdentifiedTiering => {
            ("name/cos:DeleteBucketIntelligentTiering", "s3:PutIntelligentTieringConfiguration")
        }
        Operation::ListIdentifiedTiering => {
            ("name/cos:ListBucketIntelligentTiering", "s3:GetIntelligentTieringConfiguration")
        }
        // Never judged, and IAM has no name for it.
        Operation::Preflight => ("name/cos:OptionsObject", ""),
        // IAM has none; a link is an object of its key.
        Operation::GetSymlink if versioned => ("name/cos:GetSymlink", "s3:GetObjectVersion"),
        Operation::GetSymlink => ("name/cos:GetSymlink", "s3:GetObject"),
        Operation::PutSymlink => ("name/cos:PutSymlink", "s3:PutObject"),
        Operation::GetBucketTagging => ("name/cos:GetBucketTagging", "s3:GetBucketTagging"),
        Operation::PutBucketTagging => ("name/cos:PutBucketTagging", "s3:PutBucketTagging"),
        Operation::DeleteBucketTagging => ("name/cos:DeleteBucketTagging", "s3:PutBucketTagging"),
        Operation::GetBucketLogging => ("name/cos:GetBucketLogging", "s3:GetBucketLogging"),
        Operation::PutBucketLogging => ("name/cos:PutBucketLogging", "s3:PutBucketLogging"),
        Operation::GetInventory => ("name/cos:GetBucketInventory", "s3:GetInventoryConfiguration"),
        Operation::PutInventory => ("name/cos:PutBucketInventory", "s3:PutInventoryConfiguration"),
        // S3 has no such operation.
        Operation::PostInventory => {
            ("name/cos:PostBucketInventory", "s3:PutInventoryConfiguration")
        }
        Operation::DeleteInventory => {
            ("name/cos:DeleteBucketInventory", "s3:PutInventoryConfiguration")
        }
        Operation::ListInventories => {
            ("name/cos:ListBucketInventory", "s3:GetInventoryConfiguration")
        }
        Operation::GetBucketNotification => {
            ("name/cos:GetBucketNotification", "s3:GetBucketNotification")
        }
        Operation::PutBucketNotification => {
            ("name/cos:PutBucketNotification", "s3:PutBucketNotification")
        }
    };
    Action { cam, iam }
}

/// What an ACL has to grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// By the bucket's list.
    OfBucket(Permission),
    /// By the object's.
    OfObject(Permission),
}

/// What an ACL has to grant for an operation, if any can: what both services list.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html>
pub fn granted(operation: Operation, versioned: bool) -> Option<Granted> {
    Some(match operation {
        Operation::HeadBucket
        | Operation::ListObjects
        | Operation::ListObjectsV2
        | Operation::ListObjectVersions
        | Operation::ListMultipartUploads => Granted::OfBucket(Permission::Read),
        // Who may write may not remove what was there before him.
        Operation::DeleteObject | Operation::DeleteObjects if versioned => return None,
        Operation::PutObject
        | Operation::CopyObject
        | Operation::AppendObject
        | Operation::PutSymlink
        | Operation::PostObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::UploadPartCopy
        | Operation::CompleteMultipartUpload
        | Operation::DeleteObject
        | Operation::DeleteObjects => Granted::OfBucket(Permission::Write),
        Operation::GetBucketAcl => Granted::OfBucket(Permission::ReadAcp),
        Operation::PutBucketAcl => Granted::OfBucket(Permission::WriteAcp),
        Operation::GetObject | Operation::HeadObject => Granted::OfObject(Permission::Read),
        Operation::GetObjectAcl => Granted::OfObject(Permission::ReadAcp),
        Operation::PutObjectAcl => Granted::OfObject(Permission::WriteAcp),
        _ => return None,
    })
}

/// What an action's name, in either grammar, is the action of: an operation, whether of a
/// version, and its names in both. Of several operations it is the one whose name it has.
pub fn named(name: &str) -> Option<(Operation, bool, Action)> {
    let plain = name.strip_prefix("name/").unwrap_or(name);
    let is = |known: &str| known.strip_prefix("name/").unwrap_or(known).eq_ignore_ascii_case(plain);
    if is(BYPASS_GOVERNANCE.iam) || is(BYPASS_GOVERNANCE.cam) {
        return Some((Operation::DeleteObject, false, BYPASS_GOVERNANCE));
    }
    let (_, own) = plain.split_once(':')?;
    let candidates = Dialect::ALL.into_iter().flat_map(super::rows).flat_map(|row| {
        let operation = row.operation.filter(|operation| *operation != Operation::Preflight);
        operation.into_iter().flat_map(move |operation| {
            [false, true].map(|versioned| (row.name, operation, versioned))
        })
    });
    let candidates = candidates
        .map(|(name, operation, versioned)| {
            (name, operation, versioned, action(operation, versioned))
        })
        .filter(|(.., action)| is(action.cam) || is(action.iam));
    let best = candidates.min_by_key(|(name, operation, versioned, _)| {
        let begins = own.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name));
        let is_it = name.eq_ignore_ascii_case(own);
        (!is_it, !begins, *versioned, *operation != Operation::ListObjects)
    });
    best.map(|(_, operation, versioned, action)| (operation, versioned, action))
}

/// Deleting or loosening what a governance retention keeps.
pub const BYPASS_GOVERNANCE: Action =
    Action { cam: "name/cos:BypassGovernanceRetention", iam: "s3:BypassGovernanceRetention" };

/// Actions of IAM that are not a row's own: of requests that name a version, and of
/// what AWS itself does with a bucket; and those of operations that only COS has.
const IAM_BESIDES: &[&str] = &[
    "s3:BypassGovernanceRetention",
    "s3:DeleteObjectVersion",
    "s3:GetBucketReferer",
    "s3:PutBucketReferer",
    "s3:DeleteObjectVersionTagging",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionAttributes",
    "s3:GetObjectVersionForReplication",
    "s3:GetObjectVersionTagging",
    "s3:GetObjectVersionTorrent",
    "s3:InitiateReplication",
    "s3:ObjectOwnerOverrideToBucketOwner",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectVersionTagging",
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
    "s3:ReplicateTags",
    "s3:DeleteBucketWebsite",
];

/// Every action of IAM that a policy of a bucket may name.
pub fn iam_actions() -> Vec<&'static str> {
    let of_rows = super::s3::ROWS.iter().filter_map(|row| row.action);
    of_rows.chain(IAM_BESIDES.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::rows;

    #[test]
    fn an_operation_is_called_what_its_row_says() {
        for dialect in Dialect::ALL {
            for row in rows(dialect) {
                let Some(operation) = row.operation else { continue };
                let action = action(operation, false);
                let name = match dialect {
                    Dialect::Cos => action.cam,
                    Dialect::S3 => action.iam,
                };
                assert_eq!(row.action.unwrap_or_default(), name, "{}", row.name);
            }
        }
    }
}
