//! The operations of S3, as AWS's service model of autumn 2026 lists them, and
//! the two it leaves out: the form upload and the preflight.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html>
//! Actions: <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>

use super::Param::{self, Is, Key, Sub};
use super::Shape::{self, Bucket, Object, Service};
use super::Verb::{self, Delete, Get, Head, Options, Post, Put};
use super::{OpRow, Operation};

const fn op(
    name: &'static str,
    action: &'static str,
    verb: Verb,
    shape: Shape,
    query: &'static [Param],
) -> OpRow {
    OpRow::new(name, action, verb, shape, query)
}

#[rustfmt::skip]
pub(super) const ROWS: &[OpRow] = &[
    // Service
    op("ListBuckets", "s3:ListAllMyBuckets", Get, Service, &[]).does(Operation::ListBuckets),
    op("ListDirectoryBuckets", "s3express:ListAllMyDirectoryBuckets", Get, Service, &[Is("x-id", "ListDirectoryBuckets")]),

    // Buckets
    op("CreateBucket", "s3:CreateBucket", Put, Bucket, &[]).does(Operation::CreateBucket),
    op("HeadBucket", "s3:ListBucket", Head, Bucket, &[]).does(Operation::HeadBucket),
    op("DeleteBucket", "s3:DeleteBucket", Delete, Bucket, &[]).does(Operation::DeleteBucket),
    op("GetBucketLocation", "s3:GetBucketLocation", Get, Bucket, &[Sub("location")]).does(Operation::GetBucketLocation),
    op("ListObjects", "s3:ListBucket", Get, Bucket, &[]).does(Operation::ListObjects),
    op("ListObjectsV2", "s3:ListBucket", Get, Bucket, &[Is("list-type", "2")]).does(Operation::ListObjectsV2),
    op("ListObjectVersions", "s3:ListBucketVersions", Get, Bucket, &[Sub("versions")]).does(Operation::ListObjectVersions),
    op("CreateSession", "s3express:CreateSession", Get, Bucket, &[Sub("session")]),

    // Bucket configuration
    op("GetBucketAbac", "s3:GetBucketAbac", Get, Bucket, &[Sub("abac")]),
    op("PutBucketAbac", "s3:PutBucketAbac", Put, Bucket, &[Sub("abac")]),
    op("GetBucketAccelerateConfiguration", "s3:GetAccelerateConfiguration", Get, Bucket, &[Sub("accelerate")]),
    op("PutBucketAccelerateConfiguration", "s3:PutAccelerateConfiguration", Put, Bucket, &[Sub("accelerate")]),
    op("GetBucketAcl", "s3:GetBucketAcl", Get, Bucket, &[Sub("acl")]).does(Operation::GetBucketAcl),
    op("PutBucketAcl", "s3:PutBucketAcl", Put, Bucket, &[Sub("acl")]).does(Operation::PutBucketAcl),
    op("GetBucketAnalyticsConfiguration", "s3:GetAnalyticsConfiguration", Get, Bucket, &[Sub("analytics"), Key("id")]),
    op("PutBucketAnalyticsConfiguration", "s3:PutAnalyticsConfiguration", Put, Bucket, &[Sub("analytics"), Key("id")]),
    op("DeleteBucketAnalyticsConfiguration", "s3:PutAnalyticsConfiguration", Delete, Bucket, &[Sub("analytics"), Key("id")]),
    op("ListBucketAnalyticsConfigurations", "s3:GetAnalyticsConfiguration", Get, Bucket, &[Sub("analytics")]),
    op("GetBucketCors", "s3:GetBucketCORS", Get, Bucket, &[Sub("cors")]).does(Operation::GetBucketCors),
    op("PutBucketCors", "s3:PutBucketCORS", Put, Bucket, &[Sub("cors")]).does(Operation::PutBucketCors),
    op("DeleteBucketCors", "s3:PutBucketCORS", Delete, Bucket, &[Sub("cors")]).does(Operation::DeleteBucketCors),
    op("GetBucketEncryption", "s3:GetEncryptionConfiguration", Get, Bucket, &[Sub("encryption")]),
    op("PutBucketEncryption", "s3:PutEncryptionConfiguration", Put, Bucket, &[Sub("encryption")]),
    op("DeleteBucketEncryption", "s3:PutEncryptionConfiguration", Delete, Bucket, &[Sub("encryption")]),
    op("GetBucketIntelligentTieringConfiguration", "s3:GetIntelligentTieringConfiguration", Get, Bucket, &[Sub("intelligent-tiering"), Key("id")]).does(Operation::GetIdentifiedTiering),
    op("PutBucketIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration", Put, Bucket, &[Sub("intelligent-tiering"), Key("id")]).does(Operation::PutIdentifiedTiering),
    op("DeleteBucketIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration", Delete, Bucket, &[Sub("intelligent-tiering"), Key("id")]).does(Operation::DeleteIdentifiedTiering),
    op("ListBucketIntelligentTieringConfigurations", "s3:GetIntelligentTieringConfiguration", Get, Bucket, &[Sub("intelligent-tiering")]).does(Operation::ListIdentifiedTiering),
    op("GetBucketInventoryConfiguration", "s3:GetInventoryConfiguration", Get, Bucket, &[Sub("inventory"), Key("id")]).does(Operation::GetInventory),
    op("PutBucketInventoryConfiguration", "s3:PutInventoryConfiguration", Put, Bucket, &[Sub("inventory"), Key("id")]).does(Operation::PutInventory),
    op("DeleteBucketInventoryConfiguration", "s3:PutInventoryConfiguration", Delete, Bucket, &[Sub("inventory"), Key("id")]).does(Operation::DeleteInventory),
    op("ListBucketInventoryConfigurations", "s3:GetInventoryConfiguration", Get, Bucket, &[Sub("inventory")]).does(Operation::ListInventories),
    op("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration", Get, Bucket, &[Sub("lifecycle")]).also(&["GetBucketLifecycle"]).does(Operation::GetBucketLifecycle),
    op("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration", Put, Bucket, &[Sub("lifecycle")]).also(&["PutBucketLifecycle"]).does(Operation::PutBucketLifecycle),
    op("DeleteBucketLifecycle", "s3:PutLifecycleConfiguration", Delete, Bucket, &[Sub("lifecycle")]).does(Operation::DeleteBucketLifecycle),
    op("GetBucketLogging", "s3:GetBucketLogging", Get, Bucket, &[Sub("logging")]).does(Operation::GetBucketLogging),
    op("PutBucketLogging", "s3:PutBucketLogging", Put, Bucket, &[Sub("logging")]).does(Operation::PutBucketLogging),
    op("CreateBucketMetadataConfiguration", "s3:CreateBucketMetadataTableConfiguration", Post, Bucket, &[Sub("metadataConfiguration")]),
    op("GetBucketMetadataConfiguration", "s3:GetBucketMetadataTableConfiguration", Get, Bucket, &[Sub("metadataConfiguration")]),
    op("DeleteBucketMetadataConfiguration", "s3:DeleteBucketMetadataTableConfiguration", Delete, Bucket, &[Sub("metadataConfiguration")]),
    op("CreateBucketMetadataTableConfiguration", "s3:CreateBucketMetadataTableConfiguration", Post, Bucket, &[Sub("metadataTable")]),
    op("GetBucketMetadataTableConfiguration", "s3:GetBucketMetadataTableConfiguration", Get, Bucket, &[Sub("metadataTable")]),
    op("DeleteBucketMetadataTableConfiguration", "s3:DeleteBucketMetadataTableConfiguration", Delete, Bucket, &[Sub("metadataTable")]),
    op("UpdateBucketMetadataAnnotationTableConfiguration", "s3:UpdateBucketMetadataAnnotationTableConfiguration", Put, Bucket, &[Sub("metadataAnnotationTable")]),
    op("UpdateBucketMetadataInventoryTableConfiguration", "s3:UpdateBucketMetadataInventoryTableConfiguration", Put, Bucket, &[Sub("metadataInventoryTable")]),
    op("UpdateBucketMetadataJournalTableConfiguration", "s3:UpdateBucketMetadataJournalTableConfiguration", Put, Bucket, &[Sub("metadataJournalTable")]),
    op("GetBucketMetricsConfiguration", "s3:GetMetricsConfiguration", Get, Bucket, &[Sub("metrics"), Key("id")]),
    op("PutBucketMetricsConfiguration", "s3:PutMetricsConfiguration", Put, Bucket, &[Sub("metrics"), Key("id")]),
    op("DeleteBucketMetricsConfiguration", "s3:PutMetricsConfiguration", Delete, Bucket, &[Sub("metrics"), Key("id")]),
    op("ListBucketMetricsConfigurations", "s3:GetMetricsConfiguration", Get, Bucket, &[Sub("metrics")]),
    op("GetBucketNotificationConfiguration", "s3:GetBucketNotification", Get, Bucket, &[Sub("notification")]).also(&["GetBucketNotification"]).does(Operation::GetBucketNotification),
    op("PutBucketNotificationConfiguration", "s3:PutBucketNotification", Put, Bucket, &[Sub("notification")]).also(&["PutBucketNotification"]).does(Operation::PutBucketNotification),
    op("GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration", Get, Bucket, &[Sub("object-lock")]).does(Operation::GetObjectLock),
    op("PutObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration", Put, Bucket, &[Sub("object-lock")]).does(Operation::PutObjectLock),
    op("GetBucketOwnershipControls", "s3:GetBucketOwnershipControls", Get, Bucket, &[Sub("ownershipControls")]).does(Operation::GetOwnershipControls),
    op("PutBucketOwnershipControls", "s3:PutBucketOwnershipControls", Put, Bucket, &[Sub("ownershipControls")]).does(Operation::PutOwnershipControls),
    op("DeleteBucketOwnershipControls", "s3:PutBucketOwnershipControls", Delete, Bucket, &[Sub("ownershipControls")]).does(Operation::DeleteOwnershipControls),
    op("GetBucketPolicy", "s3:GetBucketPolicy", Get, Bucket, &[Sub("policy")]).does(Operation::GetBucketPolicy),
    op("PutBucketPolicy", "s3:PutBucketPolicy", Put, Bucket, &[Sub("policy")]).does(Operation::PutBucketPolicy),
    op("DeleteBucketPolicy", "s3:DeleteBucketPolicy", Delete, Bucket, &[Sub("policy")]).does(Operation::DeleteBucketPolicy),
    op("GetBucketPolicyStatus", "s3:GetBucketPolicyStatus", Get, Bucket, &[Sub("policyStatus")]).does(Operation::GetBucketPolicyStatus),
    op("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock", Get, Bucket, &[Sub("publicAccessBlock")]).does(Operation::GetPublicAccessBlock),
    op("PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock", Put, Bucket, &[Sub("publicAccessBlock")]).does(Operation::PutPublicAccessBlock),
    op("DeletePublicAccessBlock", "s3:PutBucketPublicAccessBlock", Delete, Bucket, &[Sub("publicAccessBlock")]).does(Operation::DeletePublicAccessBlock),
    op("GetBucketReplication", "s3:GetReplicationConfiguration", Get, Bucket, &[Sub("replication")]),
    op("PutBucketReplication", "s3:PutReplicationConfiguration", Put, Bucket, &[Sub("replication")]),
    op("DeleteBucketReplication", "s3:PutReplicationConfiguration", Delete, Bucket, &[Sub("replication")]),
    op("GetBucketRequestPayment", "s3:GetBucketRequestPayment", Get, Bucket, &[Sub("requestPayment")]),
    op("PutBucketRequestPayment", "s3:PutBucketRequestPayment", Put, Bucket, &[Sub("requestPayment")]),
    op("GetBucketTagging", "s3:GetBucketTagging", Get, Bucket, &[Sub("tagging")]).does(Operation::GetBucketTagging),
    op("PutBucketTagging", "s3:PutBucketTagging", Put, Bucket, &[Sub("tagging")]).does(Operation::PutBucketTagging),
    op("DeleteBucketTagging", "s3:PutBucketTagging", Delete, Bucket, &[Sub("tagging")]).does(Operation::DeleteBucketTagging),
    op("GetBucketVersioning", "s3:GetBucketVersioning", Get, Bucket, &[Sub("versioning")]).does(Operation::GetBucketVersioning),
    op("PutBucketVersioning", "s3:PutBucketVersioning", Put, Bucket, &[Sub("versioning")]).does(Operation::PutBucketVersioning),
    op("GetBucketWebsite", "s3:GetBucketWebsite", Get, Bucket, &[Sub("website")]).does(Operation::GetWebsite),
    op("PutBucketWebsite", "s3:PutBucketWebsite", Put, Bucket, &[Sub("website")]).does(Operation::PutWebsite),
    op("DeleteBucketWebsite", "s3:DeleteBucketWebsite", Delete, Bucket, &[Sub("website")]).does(Operation::DeleteWebsite),

    // Objects
    op("PutObject", "s3:PutObject", Put, Object, &[]).does(Operation::PutObject),
    op("CopyObject", "s3:PutObject", Put, Object, &[]).with(&["x-amz-copy-source"]).does(Operation::CopyObject),
    op("PostObject", "s3:PutObject", Post, Bucket, &[]).does(Operation::PostObject),
    op("GetObject", "s3:GetObject", Get, Object, &[]).permitting(&["partNumber"]).does(Operation::GetObject),
    op("HeadObject", "s3:GetObject", Head, Object, &[]).permitting(&["partNumber"]).does(Operation::HeadObject),
    op("GetObjectAttributes", "s3:GetObjectAttributes", Get, Object, &[Sub("attributes")]).does(Operation::GetObjectAttributes),
    op("DeleteObject", "s3:DeleteObject", Delete, Object, &[]).does(Operation::DeleteObject),
    op("DeleteObjects", "s3:DeleteObject", Post, Bucket, &[Sub("delete")]).does(Operation::DeleteObjects),
    op("RenameObject", "s3express:CreateSession", Put, Object, &[Sub("renameObject")]),
    op("RestoreObject", "s3:RestoreObject", Post, Object, &[Sub("restore")]).does(Operation::RestoreObject),
    op("SelectObjectContent", "s3:GetObject", Post, Object, &[Sub("select"), Is("select-type", "2")]),
    op("UpdateObjectEncryption", "s3:UpdateObjectEncryption", Put, Object, &[Sub("encryption")]),
    op("GetObjectTorrent", "s3:GetObjectTorrent", Get, Object, &[Sub("torrent")]),
    op("WriteGetObjectResponse", "s3-object-lambda:WriteGetObjectResponse", Post, Bucket, &[]).with(&["x-amz-request-route"]),
    op("PreflightObject", "", Options, Object, &[]).public().does(Operation::Preflight),
    op("PreflightBucket", "", Options, Bucket, &[]).public().does(Operation::Preflight),

    // Object sub-resources
    op("GetObjectAcl", "s3:GetObjectAcl", Get, Object, &[Sub("acl")]).does(Operation::GetObjectAcl),
    op("PutObjectAcl", "s3:PutObjectAcl", Put, Object, &[Sub("acl")]).does(Operation::PutObjectAcl),
    op("GetObjectAnnotation", "s3:GetObjectAnnotation", Get, Object, &[Sub("annotation"), Key("annotationName")]),
    op("PutObjectAnnotation", "s3:PutObjectAnnotation", Put, Object, &[Sub("annotation"), Key("annotationName")]),
    op("DeleteObjectAnnotation", "s3:DeleteObjectAnnotation", Delete, Object, &[Sub("annotation"), Key("annotationName")]),
    op("ListObjectAnnotations", "s3:ListObjectAnnotations", Get, Object, &[Sub("annotation")]),
    op("GetObjectLegalHold", "s3:GetObjectLegalHold", Get, Object, &[Sub("legal-hold")]).does(Operation::GetObjectLegalHold),
    op("PutObjectLegalHold", "s3:PutObjectLegalHold", Put, Object, &[Sub("legal-hold")]).does(Operation::PutObjectLegalHold),
    op("GetObjectRetention", "s3:GetObjectRetention", Get, Object, &[Sub("retention")]).does(Operation::GetObjectRetention),
    op("PutObjectRetention", "s3:PutObjectRetention", Put, Object, &[Sub("retention")]).does(Operation::PutObjectRetention),
    op("GetObjectTagging", "s3:GetObjectTagging", Get, Object, &[Sub("tagging")]).does(Operation::GetObjectTagging),
    op("PutObjectTagging", "s3:PutObjectTagging", Put, Object, &[Sub("tagging")]).does(Operation::PutObjectTagging),
    op("DeleteObjectTagging", "s3:DeleteObjectTagging", Delete, Object, &[Sub("tagging")]).does(Operation::DeleteObjectTagging),

    // Multipart uploads
    op("CreateMultipartUpload", "s3:PutObject", Post, Object, &[Sub("uploads")]).does(Operation::CreateMultipartUpload),
    op("UploadPart", "s3:PutObject", Put, Object, &[Sub("partNumber"), Sub("uploadId")]).does(Operation::UploadPart),
    op("UploadPartCopy", "s3:PutObject", Put, Object, &[Sub("partNumber"), Sub("uploadId")]).with(&["x-amz-copy-source"]).does(Operation::UploadPartCopy),
    op("ListParts", "s3:ListMultipartUploadParts", Get, Object, &[Sub("uploadId")]).does(Operation::ListParts),
    op("CompleteMultipartUpload", "s3:PutObject", Post, Object, &[Sub("uploadId")]).does(Operation::CompleteMultipartUpload),
    op("AbortMultipartUpload", "s3:AbortMultipartUpload", Delete, Object, &[Sub("uploadId")]).does(Operation::AbortMultipartUpload),
    op("ListMultipartUploads", "s3:ListBucketMultipartUploads", Get, Bucket, &[Sub("uploads")]).does(Operation::ListMultipartUploads),
];
