//! The operations of both dialects as tables: what a request must look like,
//! what policies call it, and what it means here, if it means anything yet.
//!
//! Routing, authorization, logs, metrics and `docs/coverage.md` all read these
//! rows. Every operation of the real services has one, so that a request for
//! something unsupported is told so and never taken for something else: `PUT
//! /key?acl` must not overwrite the object.

mod actions;
mod cos;
mod coverage;
mod route;
mod s3;

use http::Method;

use crate::dialect::Dialect;

pub use actions::{BYPASS_GOVERNANCE, Granted, action, granted, iam_actions, named};
pub use coverage::coverage_markdown;
pub use route::{RouteError, route};

/// What an implemented operation means, whichever dialect asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    ListBuckets,
    CreateBucket,
    HeadBucket,
    DeleteBucket,
    GetBucketLocation,
    GetBucketVersioning,
    PutBucketVersioning,
    GetBucketLifecycle,
    PutBucketLifecycle,
    DeleteBucketLifecycle,
    GetBucketAcl,
    PutBucketAcl,
    GetObjectAcl,
    PutObjectAcl,
    GetOwnershipControls,
    PutOwnershipControls,
    DeleteOwnershipControls,
    GetBucketPolicy,
    PutBucketPolicy,
    DeleteBucketPolicy,
    GetBucketPolicyStatus,
    GetPublicAccessBlock,
    PutPublicAccessBlock,
    DeletePublicAccessBlock,
    ListObjectVersions,
    ListObjects,
    ListObjectsV2,
    PutObject,
    CopyObject,
    AppendObject,
    RestoreObject,
    PostObject,
    GetObject,
    HeadObject,
    GetObjectAttributes,
    DeleteObject,
    DeleteObjects,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    ListParts,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListMultipartUploads,
    GetObjectLock,
    PutObjectLock,
    GetObjectRetention,
    PutObjectRetention,
    GetObjectLegalHold,
    PutObjectLegalHold,
    GetObjectTagging,
    PutObjectTagging,
    DeleteObjectTagging,
    GetSymlink,
    PutSymlink,
    GetWebsite,
    PutWebsite,
    DeleteWebsite,
    GetReferer,
    PutReferer,
    GetBucketCors,
    PutBucketCors,
    DeleteBucketCors,
    GetBucketTiering,
    PutBucketTiering,
    GetIdentifiedTiering,
    PutIdentifiedTiering,
    DeleteIdentifiedTiering,
    ListIdentifiedTiering,
    /// Asked by browsers before what a page wants to send, of buckets and objects.
    Preflight,
    GetBucketTagging,
    PutBucketTagging,
    DeleteBucketTagging,
    GetBucketLogging,
    PutBucketLogging,
    GetInventory,
    PutInventory,
    /// COS: makes a report at once, and no other.
    PostInventory,
    DeleteInventory,
    ListInventories,
    GetBucketNotification,
    PutBucketNotification,
}

impl Operation {
    /// Whether it is about the policy itself.
    pub fn on_policy(self) -> bool {
        matches!(
            self,
            Operation::GetBucketPolicy | Operation::PutBucketPolicy | Operation::DeleteBucketPolicy
        )
    }

    /// Whether it makes or removes a bucket, changes how one behaves, or says who may use
    /// or remove what is in it.
    pub fn administers(self) -> bool {
        matches!(
            self,
            Operation::CreateBucket
                | Operation::DeleteBucket
                | Operation::PutBucketVersioning
                | Operation::PutBucketLifecycle
                | Operation::DeleteBucketLifecycle
                | Operation::PutBucketAcl
                | Operation::PutObjectAcl
                | Operation::PutOwnershipControls
                | Operation::DeleteOwnershipControls
                | Operation::PutBucketPolicy
                | Operation::DeleteBucketPolicy
                | Operation::PutPublicAccessBlock
                | Operation::DeletePublicAccessBlock
                | Operation::PutObjectLock
                | Operation::PutObjectRetention
                | Operation::PutObjectLegalHold
                | Operation::PutWebsite
                | Operation::DeleteWebsite
                | Operation::PutReferer
                | Operation::PutBucketCors
                | Operation::DeleteBucketCors
                | Operation::PutBucketTiering
                | Operation::PutIdentifiedTiering
                | Operation::DeleteIdentifiedTiering
                | Operation::PutBucketLogging
                | Operation::PutBucketNotification
                | Operation::PutInventory
                | Operation::PostInventory
                | Operation::DeleteInventory
                | Operation::PutBucketTagging
                | Operation::DeleteBucketTagging
        )
    }

    /// Whether it is about keys, and not about their bucket.
    pub fn is_about_keys(self) -> bool {
        let mut known = Dialect::ALL.into_iter().flat_map(rows);
        matches!(self, Operation::PostObject | Operation::DeleteObjects)
            || known.any(|row| row.operation == Some(self) && row.shape == Shape::Object)
    }

    /// Whether it makes an object, or begins to, of what its headers say.
    pub fn creates(self) -> bool {
        matches!(
            self,
            Operation::PutObject
                | Operation::CopyObject
                | Operation::AppendObject
                | Operation::PutSymlink
                | Operation::PostObject
                | Operation::CreateMultipartUpload
        )
    }

    /// Whether its headers may say who may use what it makes or is about.
    pub fn takes_acl(self) -> bool {
        self.creates()
            || matches!(
                self,
                Operation::CreateBucket | Operation::PutBucketAcl | Operation::PutObjectAcl
            )
    }

    /// Whether it lists what a bucket holds.
    pub fn lists(self) -> bool {
        matches!(
            self,
            Operation::ListObjects
                | Operation::ListObjectsV2
                | Operation::ListObjectVersions
                | Operation::ListMultipartUploads
        )
    }

    /// Whether a request may name the version that it means.
    pub fn takes_version(self) -> bool {
        matches!(
            self,
            Operation::GetObject
                | Operation::HeadObject
                | Operation::GetObjectAttributes
                | Operation::DeleteObject
                | Operation::RestoreObject
                | Operation::GetObjectAcl
                | Operation::PutObjectAcl
                | Operation::GetObjectRetention
                | Operation::PutObjectRetention
                | Operation::GetObjectLegalHold
                | Operation::PutObjectLegalHold
                | Operation::GetObjectTagging
                | Operation::PutObjectTagging
                | Operation::DeleteObjectTagging
                | Operation::GetSymlink
        )
    }
}

/// Methods that operations have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Get,
    Head,
    Put,
    Post,
    Delete,
    Options,
}

impl Verb {
    pub const ALL: [Verb; 6] =
        [Verb::Get, Verb::Head, Verb::Put, Verb::Post, Verb::Delete, Verb::Options];

    pub fn of(method: &Method) -> Option<Verb> {
        match *method {
            Method::GET => Some(Verb::Get),
            Method::HEAD => Some(Verb::Head),
            Method::PUT => Some(Verb::Put),
            Method::POST => Some(Verb::Post),
            Method::DELETE => Some(Verb::Delete),
            Method::OPTIONS => Some(Verb::Options),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Head => "HEAD",
            Verb::Put => "PUT",
            Verb::Post => "POST",
            Verb::Delete => "DELETE",
            Verb::Options => "OPTIONS",
        }
    }
}

/// What the address of a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    Service,
    Bucket,
    Object,
    /// Anything on a static website's host.
    Website,
    /// COS batch: `/jobs`
    Jobs,
    /// COS batch: `/jobs/<id>`
    Job,
    /// COS batch: `/jobs/<id>/priority`
    JobPriority,
    /// COS batch: `/jobs/<id>/status`
    JobStatus,
    /// Any other path on the batch host.
    UnknownJobPath,
    /// COS fetch: `/<bucket>/`
    FetchQueue,
    /// COS fetch: `/<bucket>/<task>`
    FetchTask,
}

impl Shape {
    /// As the coverage page shows it.
    pub fn pattern(self) -> &'static str {
        match self {
            Shape::Service => "/",
            Shape::Bucket => "/{bucket}",
            Shape::Object => "/{bucket}/{key}",
            Shape::Website => "website host",
            Shape::Jobs => "batch host, /jobs",
            Shape::Job => "batch host, /jobs/{id}",
            Shape::JobPriority => "batch host, /jobs/{id}/priority",
            Shape::JobStatus => "batch host, /jobs/{id}/status",
            Shape::UnknownJobPath => "batch host",
            Shape::FetchQueue => "fetch host, /{bucket}/",
            Shape::FetchTask => "fetch host, /{bucket}/{task}",
        }
    }
}

/// A query parameter that an operation's requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// A key that selects the operation. It is reserved: on any other row it is
    /// an error, unless [`OpRow::permits`] it.
    Sub(&'static str),
    /// A further key that must be present; harmless elsewhere.
    Key(&'static str),
    /// A key with a certain value; harmless elsewhere and with other values.
    Is(&'static str, &'static str),
}

impl Param {
    pub fn name(self) -> &'static str {
        match self {
            Param::Sub(name) | Param::Key(name) | Param::Is(name, _) => name,
        }
    }
}

/// One operation of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpRow {
    /// The vendor's name of the operation, for logs, metrics and documents.
    pub name: &'static str,
    /// What policies call it, `name/cos:…` or `s3:…`. `None` where nothing is to
    /// be permitted: S3's preflight.
    pub action: Option<&'static str>,
    pub verb: Verb,
    pub shape: Shape,
    /// Parameters that a request must carry. Others may be there.
    pub query: &'static [Param],
    /// Headers that a request must carry.
    pub headers: &'static [&'static str],
    /// Keys reserved elsewhere that are plain parameters of this operation.
    pub permits: &'static [&'static str],
    /// Older names of the same request, which clients may still know.
    pub also: &'static [&'static str],
    /// What it means. `None`: not implemented.
    pub operation: Option<Operation>,
}

impl OpRow {
    const fn new(
        name: &'static str,
        action: &'static str,
        verb: Verb,
        shape: Shape,
        query: &'static [Param],
    ) -> OpRow {
        OpRow {
            name,
            action: Some(action),
            verb,
            shape,
            query,
            headers: &[],
            permits: &[],
            also: &[],
            operation: None,
        }
    }

    const fn with(mut self, headers: &'static [&'static str]) -> OpRow {
        self.headers = headers;
        self
    }

    const fn permitting(mut self, keys: &'static [&'static str]) -> OpRow {
        self.permits = keys;
        self
    }

    const fn also(mut self, names: &'static [&'static str]) -> OpRow {
        self.also = names;
        self
    }

    const fn public(mut self) -> OpRow {
        self.action = None;
        self
    }

    const fn does(mut self, operation: Operation) -> OpRow {
        self.operation = Some(operation);
        self
    }

    pub fn implemented(&self) -> bool {
        self.operation.is_some()
    }
}

/// All operations of a dialect.
pub fn rows(dialect: Dialect) -> &'static [OpRow] {
    match dialect {
        Dialect::Cos => cos::ROWS,
        Dialect::S3 => s3::ROWS,
    }
}

/// What a dialect calls an operation, if it has it.
pub fn name_in(dialect: Dialect, operation: Operation) -> Option<&'static str> {
    rows(dialect).iter().find(|row| row.operation == Some(operation)).map(|row| row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_a_bucket_administers() {
        for row in Dialect::ALL.into_iter().flat_map(rows) {
            let changes =
                row.shape == Shape::Bucket && matches!(row.verb, Verb::Put | Verb::Delete);
            let Some(operation) = row.operation.filter(|_| changes) else { continue };
            assert!(operation.administers(), "{}", row.name);
        }
    }
}
