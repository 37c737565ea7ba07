//! The operations of COS: those documented and those only its SDKs send.
//! <https://cloud.tencent.com/document/product/436/10111>

use super::Param::{self, Is, Key, Sub};
use super::Shape::{
    self, Bucket, FetchQueue, FetchTask, Job, JobPriority, JobStatus, Jobs, Object, Service,
};
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
    op("GetService", "name/cos:GetService", Get, Service, &[]).does(Operation::ListBuckets),

    // Buckets
    op("PutBucket", "name/cos:PutBucket", Put, Bucket, &[]).does(Operation::CreateBucket),
    op("HeadBucket", "name/cos:HeadBucket", Head, Bucket, &[]).does(Operation::HeadBucket),
    op("DeleteBucket", "name/cos:DeleteBucket", Delete, Bucket, &[]).does(Operation::DeleteBucket),
    op("GetBucketLocation", "name/cos:GetBucketLocation", Get, Bucket, &[Sub("location")]).does(Operation::GetBucketLocation),
    op("GetBucket", "name/cos:GetBucket", Get, Bucket, &[]).does(Operation::ListObjects),
    op("GetBucketV2", "name/cos:GetBucket", Get, Bucket, &[Is("list-type", "2")]).does(Operation::ListObjectsV2),
    op("GetBucketObjectVersions", "name/cos:GetBucketObjectVersions", Get, Bucket, &[Sub("versions")]).does(Operation::ListObjectVersions),

    // Bucket configuration
    op("GetBucketACL", "name/cos:GetBucketACL", Get, Bucket, &[Sub("acl")]).does(Operation::GetBucketAcl),
    op("PutBucketACL", "name/cos:PutBucketACL", Put, Bucket, &[Sub("acl")]).does(Operation::PutBucketAcl),
    op("GetBucketCORS", "name/cos:GetBucketCORS", Get, Bucket, &[Sub("cors")]).does(Operation::GetBucketCors),
    op("PutBucketCORS", "name/cos:PutBucketCORS", Put, Bucket, &[Sub("cors")]).does(Operation::PutBucketCors),
    op("DeleteBucketCORS", "name/cos:DeleteBucketCORS", Delete, Bucket, &[Sub("cors")]).does(Operation::DeleteBucketCors),
    op("GetBucketLifecycle", "name/cos:GetBucketLifecycle", Get, Bucket, &[Sub("lifecycle")]).does(Operation::GetBucketLifecycle),
    op("PutBucketLifecycle", "name/cos:PutBucketLifecycle", Put, Bucket, &[Sub("lifecycle")]).does(Operation::PutBucketLifecycle),
    op("DeleteBucketLifecycle", "name/cos:DeleteBucketLifecycle", Delete, Bucket, &[Sub("lifecycle")]).does(Operation::DeleteBucketLifecycle),
    op("GetBucketPolicy", "name/cos:GetBucketPolicy", Get, Bucket, &[Sub("policy")]).does(Operation::GetBucketPolicy),
    op("PutBucketPolicy", "name/cos:PutBucketPolicy", Put, Bucket, &[Sub("policy")]).does(Operation::PutBucketPolicy),
    op("DeleteBucketPolicy", "name/cos:DeleteBucketPolicy", Delete, Bucket, &[Sub("policy")]).does(Operation::DeleteBucketPolicy),
    op("GetBucketReferer", "name/cos:GetBucketReferer", Get, Bucket, &[Sub("referer")]).does(Operation::GetReferer),
    op("PutBucketReferer", "name/cos:PutBucketReferer", Put, Bucket, &[Sub("referer")]).does(Operation::PutReferer),
    op("GetBucketTagging", "name/cos:GetBucketTagging", Get, Bucket, &[Sub("tagging")]).does(Operation::GetBucketTagging),
    op("PutBucketTagging", "name/cos:PutBucketTagging", Put, Bucket, &[Sub("tagging")]).does(Operation::PutBucketTagging),
    op("DeleteBucketTagging", "name/cos:DeleteBucketTagging", Delete, Bucket, &[Sub("tagging")]).does(Operation::DeleteBucketTagging),
    op("GetBucketWebsite", "name/cos:GetBucketWebsite", Get, Bucket, &[Sub("website")]).does(Operation::GetWebsite),
    op("PutBucketWebsite", "name/cos:PutBucketWebsite", Put, Bucket, &[Sub("website")]).does(Operation::PutWebsite),
    op("DeleteBucketWebsite", "name/cos:DeleteBucketWebsite", Delete, Bucket, &[Sub("website")]).does(Operation::DeleteWebsite),
    op("GetBucketIntelligentTiering", "name/cos:GetBucketIntelligentTiering", Get, Bucket, &[Sub("intelligenttiering")]).does(Operation::GetBucketTiering),
    op("PutBucketIntelligentTiering", "name/cos:PutBucketIntelligentTiering", Put, Bucket, &[Sub("intelligenttiering")]).does(Operation::PutBucketTiering),
    op("GetBucketIntelligentTieringV2", "name/cos:GetBucketIntelligentTiering", Get, Bucket, &[Sub("intelligent-tiering"), Key("id")]).does(Operation::GetIdentifiedTiering),
    op("PutBucketIntelligentTieringV2", "name/cos:PutBucketIntelligentTiering", Put, Bucket, &[Sub("intelligent-tiering"), Key("id")]).does(Operation::PutIdentifiedTiering),
    op("DeleteBucketIntelligentTieringV2", "name/cos:DeleteBucketIntelligentTiering", Delete, Bucket, &[Sub("intelligent-tiering"), Key("id")]).does(Operation::DeleteIdentifiedTiering),
    op("ListBucketIntelligentTiering", "name/cos:ListBucketIntelligentTiering", Get, Bucket, &[Sub("intelligent-tiering")]).does(Operation::ListIdentifiedTiering),
    op("GetBucketVersioning", "name/cos:GetBucketVersioning", Get, Bucket, &[Sub("versioning")]).does(Operation::GetBucketVersioning),
    op("PutBucketVersioning", "name/cos:PutBucketVersioning", Put, Bucket, &[Sub("versioning")]).does(Operation::PutBucketVersioning),
    op("GetBucketReplication", "name/cos:GetBucketReplication", Get, Bucket, &[Sub("replication")]),
    op("PutBucketReplication", "name/cos:PutBucketReplication", Put, Bucket, &[Sub("replication")]),
    op("DeleteBucketReplication", "name/cos:DeleteBucketReplication", Delete, Bucket, &[Sub("replication")]),
    op("GetBucketLogging", "name/cos:GetBucketLogging", Get, Bucket, &[Sub("logging")]).does(Operation::GetBucketLogging),
    op("PutBucketLogging", "name/cos:PutBucketLogging", Put, Bucket, &[Sub("logging")]).does(Operation::PutBucketLogging),
    op("GetBucketAccelerate", "name/cos:GetBucketAccelerate", Get, Bucket, &[Sub("accelerate")]),
    op("PutBucketAccelerate", "name/cos:PutBucketAccelerate", Put, Bucket, &[Sub("accelerate")]),
    op("GetBucketEncryption", "name/cos:GetBucketEncryption", Get, Bucket, &[Sub("encryption")]),
    op("PutBucketEncryption", "name/cos:PutBucketEncryption", Put, Bucket, &[Sub("encryption")]),
    op("DeleteBucketEncryption", "name/cos:DeleteBucketEncryption", Delete, Bucket, &[Sub("encryption")]),
    op("GetBucketObjectLockConfiguration", "name/cos:GetBucketObjectLockConfiguration", Get, Bucket, &[Sub("object-lock")]).does(Operation::GetObjectLock),
    op("PutBucketObjectLockConfiguration", "name/cos:PutBucketObjectLockConfiguration", Put, Bucket, &[Sub("object-lock")]).does(Operation::PutObjectLock),
    op("GetBucketDomain", "name/cos:GetBucketDomain", Get, Bucket, &[Sub("domain")]),
    op("PutBucketDomain", "name/cos:PutBucketDomain", Put, Bucket, &[Sub("domain")]),
    op("DeleteBucketDomain", "name/cos:DeleteBucketDomain", Delete, Bucket, &[Sub("domain")]),
    op("GetBucketDomainCertificate", "name/cos:GetBucketDomainCertificate", Get, Bucket, &[Sub("domaincertificate")]),
    op("PutBucketDomainCertificate", "name/cos:PutBucketDomainCertificate", Put, Bucket, &[Sub("domaincertificate")]),
    op("DeleteBucketDomainCertificate", "name/cos:DeleteBucketDomainCertificate", Delete, Bucket, &[Sub("domaincertificate")]),
    op("GetBucketInventory", "name/cos:GetBucketInventory", Get, Bucket, &[Sub("inventory"), Key("id")]).does(Operation::GetInventory),
    op("PutBucketInventory", "name/cos:PutBucketInventory", Put, Bucket, &[Sub("inventory"), Key("id")]).does(Operation::PutInventory),
    op("PostBucketInventory", "name/cos:PostBucketInventory", Post, Bucket, &[Sub("inventory"), Key("id")]).does(Operation::PostInventory),
    op("DeleteBucketInventory", "name/cos:DeleteBucketInventory", Delete, Bucket, &[Sub("inventory"), Key("id")]).does(Operation::DeleteInventory),
    op("ListBucketInventory", "name/cos:ListBucketInventory", Get, Bucket, &[Sub("inventory")]).does(Operation::ListInventories),
    op("GetBucketOrigin", "name/cos:GetBucketOrigin", Get, Bucket, &[Sub("origin")]),
    op("PutBucketOrigin", "name/cos:PutBucketOrigin", Put, Bucket, &[Sub("origin")]),
    op("DeleteBucketOrigin", "name/cos:DeleteBucketOrigin", Delete, Bucket, &[Sub("origin")]),
    op("GetBucketStrictSignature", "name/cos:GetBucketStrictSignature", Get, Bucket, &[Sub("strict-signature")]),
    op("PutBucketStrictSignature", "name/cos:PutBucketStrictSignature", Put, Bucket, &[Sub("strict-signature")]),
    op("DeleteBucketStrictSignature", "name/cos:DeleteBucketStrictSignature", Delete, Bucket, &[Sub("strict-signature")]),
    op("GetBucketResponseControl", "name/cos:GetBucketResponseControl", Get, Bucket, &[Sub("response-control")]),
    op("PutBucketResponseControl", "name/cos:PutBucketResponseControl", Put, Bucket, &[Sub("response-control")]),
    op("DeleteBucketResponseControl", "name/cos:DeleteBucketResponseControl", Delete, Bucket, &[Sub("response-control")]),
    op("GetBucketNotification", "name/cos:GetBucketNotification", Get, Bucket, &[Sub("notification")]),
    op("PutBucketNotification", "name/cos:PutBucketNotification", Put, Bucket, &[Sub("notification")]),
    op("DeleteBucketNotification", "name/cos:DeleteBucketNotification", Delete, Bucket, &[Sub("notification")]),

    // Objects
    op("PutObject", "name/cos:PutObject", Put, Object, &[]).does(Operation::PutObject),
    op("PutObjectCopy", "name/cos:PutObject", Put, Object, &[]).with(&["x-cos-copy-source"]).does(Operation::CopyObject),
    op("AppendObject", "name/cos:AppendObject", Post, Object, &[Sub("append")]).does(Operation::AppendObject),
    op("PostObject", "name/cos:PostObject", Post, Bucket, &[]).does(Operation::PostObject),
    op("GetObject", "name/cos:GetObject", Get, Object, &[]).permitting(&["partNumber"]).does(Operation::GetObject),
    op("HeadObject", "name/cos:HeadObject", Head, Object, &[]).permitting(&["partNumber"]).does(Operation::HeadObject),
    op("DeleteObject", "name/cos:DeleteObject", Delete, Object, &[]).does(Operation::DeleteObject),
    op("DeleteMultipleObjects", "name/cos:DeleteObject", Post, Bucket, &[Sub("delete")]).does(Operation::DeleteObjects),
    op("OptionsObject", "name/cos:OptionsObject", Options, Object, &[]).does(Operation::Preflight),
    op("OptionsBucket", "name/cos:OptionsObject", Options, Bucket, &[]).does(Operation::Preflight),
    op("PostObjectRestore", "name/cos:PostObjectRestore", Post, Object, &[Sub("restore")]).does(Operation::RestoreObject),
    op("SelectObjectContent", "name/cos:GetObject", Post, Object, &[Sub("select"), Is("select-type", "2")]),
    op("RenameObject", "name/cos:RenameObject", Put, Object, &[Sub("rename")]),

    // Object sub-resources
    op("GetObjectACL", "name/cos:GetObjectACL", Get, Object, &[Sub("acl")]).does(Operation::GetObjectAcl),
    op("PutObjectACL", "name/cos:PutObjectACL", Put, Object, &[Sub("acl")]).does(Operation::PutObjectAcl),
    op("GetObjectTagging", "name/cos:GetObjectTagging", Get, Object, &[Sub("tagging")]).does(Operation::GetObjectTagging),
    op("PutObjectTagging", "name/cos:PutObjectTagging", Put, Object, &[Sub("tagging")]).does(Operation::PutObjectTagging),
    op("DeleteObjectTagging", "name/cos:DeleteObjectTagging", Delete, Object, &[Sub("tagging")]).does(Operation::DeleteObjectTagging),
    op("GetObjectRetention", "name/cos:GetObjectRetention", Get, Object, &[Sub("retention")]).does(Operation::GetObjectRetention),
    op("PutObjectRetention", "name/cos:PutObjectRetention", Put, Object, &[Sub("retention")]).does(Operation::PutObjectRetention),
    op("GetSymlink", "name/cos:GetSymlink", Get, Object, &[Sub("symlink")]).does(Operation::GetSymlink),
    op("PutSymlink", "name/cos:PutSymlink", Put, Object, &[Sub("symlink")]).does(Operation::PutSymlink),

    // Multipart uploads
    op("InitiateMultipartUpload", "name/cos:InitiateMultipartUpload", Post, Object, &[Sub("uploads")]).does(Operation::CreateMultipartUpload),
    op("UploadPart", "name/cos:UploadPart", Put, Object, &[Sub("partNumber"), Sub("uploadId")]).does(Operation::UploadPart),
    op("UploadPartCopy", "name/cos:UploadPartCopy", Put, Object, &[Sub("partNumber"), Sub("uploadId")]).with(&["x-cos-copy-source"]).does(Operation::UploadPartCopy),
    op("ListParts", "name/cos:ListParts", Get, Object, &[Sub("uploadId")]).does(Operation::ListParts),
    op("CompleteMultipartUpload", "name/cos:CompleteMultipartUpload", Post, Object, &[Sub("uploadId")]).does(Operation::CompleteMultipartUpload),
    op("AbortMultipartUpload", "name/cos:AbortMultipartUpload", Delete, Object, &[Sub("uploadId")]).does(Operation::AbortMultipartUpload),
    op("ListMultipartUploads", "name/cos:ListMultipartUploads", Get, Bucket, &[Sub("uploads")]).does(Operation::ListMultipartUploads),

    // Batch jobs
    op("CreateJob", "name/cos:CreateJob", Post, Jobs, &[]),
    op("ListJobs", "name/cos:ListJobs", Get, Jobs, &[]),
    op("DescribeJob", "name/cos:DescribeJob", Get, Job, &[]),
    op("DeleteJob", "name/cos:DeleteJob", Delete, Job, &[]),
    op("UpdateJobPriority", "name/cos:UpdateJobPriority", Post, JobPriority, &[]),
    op("UpdateJobStatus", "name/cos:UpdateJobStatus", Post, JobStatus, &[]),

    // Asynchronous fetching
    op("PutAsyncFetchTask", "name/cos:PutAsyncFetchTask", Post, FetchQueue, &[]),
    op("GetAsyncFetchTask", "name/cos:GetAsyncFetchTask", Get, FetchTask, &[]),

    // Live channels
    op("PutLiveChannel", "name/cos:PutLiveChannel", Put, Object, &[Sub("live")]),
    op("PutLiveChannelSwitch", "name/cos:PutLiveChannelSwitch", Put, Object, &[Sub("live"), Key("switch")]),
    op("GetLiveChannelInfo", "name/cos:GetLiveChannelInfo", Get, Object, &[Sub("live")]),
    op("GetLiveChannelStat", "name/cos:GetLiveChannelStat", Get, Object, &[Sub("live"), Is("comp", "status")]),
    op("GetLiveChannelHistory", "name/cos:GetLiveChannelHistory", Get, Object, &[Sub("live"), Is("comp", "history")]),
    op("DeleteLiveChannel", "name/cos:DeleteLiveChannel", Delete, Object, &[Sub("live")]),
    op("ListLiveChannel", "name/cos:ListLiveChannel", Get, Bucket, &[Sub("live")]),
    op("PostVodPlaylist", "name/cos:PostVodPlaylist", Post, Object, &[Sub("vod")]),
    op("GetVodPlaylist", "name/cos:GetVodPlaylist", Get, Object, &[Sub("vod")]),
];
