//! Doing what a request asks for, once it is known who asks: permission, then the
//! operation's handler.

use std::sync::Arc;

use costrel_core::tags::Tags;
use futures_util::future::BoxFuture;

use super::{Gateway, RequestBody};
use crate::error::Failure;
use crate::handlers;
use crate::ops::{OpRow, Operation, Shape};
use crate::permission::{self, Permitted};
use crate::reply::Reply;
use crate::request::{Outcome, Request};

impl Gateway {
    pub(crate) async fn dispatch(
        self: &Arc<Self>,
        request: &Request<'_>,
        row: &'static OpRow,
        mut body: RequestBody<'_>,
    ) -> Outcome<Reply> {
        use handlers::{bucket, service};
        let Some(operation) = row.operation else {
            // Nobody else can be granted it, so nobody else is told.
            return Err(match row.action.is_some() && request.identity.is_some() {
                true => Failure::NotImplemented(row.name.into()),
                false => permission::refusal(request),
            });
        };
        request.refuse_foreign_copy()?;
        request.refuse_unsupported_parameters()?;
        if row.shape == Shape::Object && !operation.takes_version() {
            request.refuse_version()?;
        }
        match operation {
            // What is done in an account, and no bucket's policy grants.
            Operation::ListBuckets | Operation::CreateBucket => {
                let key = request.identity.as_ref().ok_or(Failure::Anonymous)?;
                permission::check_expected_owner(request, key.account.uin.get())?;
                return match operation {
                    Operation::ListBuckets => {
                        let region = request.address.region.as_deref();
                        self.require_of_account(request, operation, "", region, &Tags::default())?;
                        service::list_buckets(self, request).await
                    }
                    // Where it is to be, its document says.
                    _ => bucket::create(self, request, &mut body).await,
                };
            }
            _ => {}
        }
        let permitted = self.permitted_bucket(request, row, request.bucket_name()?).await?;
        let bucket = &permitted.bucket;
        let outcome = match request.occasion(self.store.event_lanes()) {
            None => self.perform(request, row, operation, &permitted, body).await,
            Some(occasion) => {
                let work = self.perform_apart(request, row, operation, &permitted, body);
                occasion.around(work).await
            }
        };
        match outcome {
            // Which keys there are not is for those to know who may list.
            Err(failure) if failure.is_absence() && !permission::is_unlimited(request, bucket) => {
                let key = request.address.key.as_deref().unwrap_or_default();
                match self.permits_listing(request, bucket, key).await? {
                    true => Err(failure),
                    false => Err(permission::refusal(request)),
                }
            }
            outcome => outcome,
        }
    }

    /// Does what has been permitted, with room of its own: most requests need none for what
    /// is put around it.
    fn perform_apart<'a>(
        self: &'a Arc<Self>,
        request: &'a Request<'_>,
        row: &'static OpRow,
        operation: Operation,
        permitted: &'a Permitted,
        body: RequestBody<'a>,
    ) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(self.perform(request, row, operation, permitted, body))
    }

    /// Does what has been permitted.
    async fn perform(
        self: &Arc<Self>,
        request: &Request<'_>,
        row: &'static OpRow,
        operation: Operation,
        permitted: &Permitted,
        mut body: RequestBody<'_>,
    ) -> Outcome<Reply> {
        use handlers::{
            acl, bucket, copy, cors, delete, inventory, lifecycle, list, lock, logging, multipart,
            notification, object, policy, referer, restore, symlink, tags, tiering, versions,
            website,
        };
        let Permitted { bucket: target, seen } = permitted;
        match operation {
            Operation::ListBuckets | Operation::CreateBucket | Operation::Preflight => {
                Err(Failure::Internal("answered above"))
            }
            Operation::HeadBucket => Ok(bucket::head(request, target)),
            Operation::DeleteBucket => bucket::delete(self, request, target).await,
            Operation::GetBucketLocation => Ok(bucket::location(request, target)),
            Operation::GetBucketVersioning => Ok(versions::versioning(request, target)),
            Operation::PutBucketVersioning => {
                versions::set_versioning(self, request, target, &mut body).await
            }
            Operation::GetObjectLock => lock::of_bucket(request, target),
            Operation::PutObjectLock => lock::set_of_bucket(self, request, target, &mut body).await,
            Operation::GetObjectRetention => lock::retention(self, request, target).await,
            Operation::PutObjectRetention => {
                lock::set_retention(self, request, target, &mut body).await
            }
            Operation::GetObjectLegalHold => lock::legal_hold(self, request, target).await,
            Operation::PutObjectLegalHold => {
                lock::set_legal_hold(self, request, target, &mut body).await
            }
            Operation::GetObjectTagging => tags::of_object(self, request, target).await,
            Operation::PutObjectTagging => {
                tags::set_of_object(self, request, target, &mut body).await
            }
            Operation::DeleteObjectTagging => tags::delete_of_object(self, request, target).await,
            Operation::GetSymlink => symlink::get(self, request, target).await,
            Operation::PutSymlink => symlink::put(self, request, target).await,
            Operation::GetWebsite => website::get(self, request, target).await,
            Operation::PutWebsite => website::put(self, request, target, &mut body).await,
            Operation::DeleteWebsite => website::delete(self, target).await,
            Operation::GetReferer => referer::get(self, target).await,
            Operation::PutReferer => referer::put(self, request, target, &mut body).await,
            Operation::GetBucketCors => cors::get(self, request, target).await,
            Operation::PutBucketCors => cors::put(self, request, target, &mut body).await,
            Operation::DeleteBucketCors => cors::delete(self, target).await,
            Operation::GetBucketTiering => Ok(tiering::get(request, target)),
            Operation::PutBucketTiering => tiering::put(self, request, target, &mut body).await,
            Operation::GetIdentifiedTiering => tiering::get_identified(self, request, target).await,
            Operation::PutIdentifiedTiering => {
                tiering::put_identified(self, request, target, &mut body).await
            }
            Operation::DeleteIdentifiedTiering => {
                tiering::delete_identified(self, request, target).await
            }
            Operation::ListIdentifiedTiering => {
                tiering::list_identified(self, request, target).await
            }
            Operation::GetBucketTagging => tags::of_bucket(request, target),
            Operation::PutBucketTagging => {
                tags::set_of_bucket(self, request, target, &mut body).await
            }
            Operation::DeleteBucketTagging => tags::delete_of_bucket(self, target).await,
            Operation::GetBucketLifecycle => lifecycle::get(self, request, target).await,
            Operation::PutBucketLifecycle => lifecycle::put(self, request, target, &mut body).await,
            Operation::DeleteBucketLifecycle => lifecycle::delete(self, target).await,
            Operation::GetBucketAcl => acl::of_bucket(request, target),
            Operation::PutBucketAcl => acl::set_of_bucket(self, request, target, &mut body).await,
            Operation::GetObjectAcl => acl::of_object(self, request, target).await,
            Operation::PutObjectAcl => acl::set_of_object(self, request, target, &mut body).await,
            Operation::GetOwnershipControls => acl::ownership(request, target),
            Operation::PutOwnershipControls => {
                acl::set_ownership(self, request, target, &mut body).await
            }
            Operation::DeleteOwnershipControls => acl::delete_ownership(self, target).await,
            Operation::GetBucketLogging => logging::get(self, request, target).await,
            Operation::PutBucketLogging => logging::put(self, request, target, &mut body).await,
            Operation::GetInventory => inventory::get(self, request, target).await,
            Operation::PutInventory => {
                inventory::put(self, request, target, false, &mut body).await
            }
            Operation::PostInventory => {
                inventory::put(self, request, target, true, &mut body).await
            }
            Operation::DeleteInventory => inventory::delete(self, request, target).await,
            Operation::ListInventories => inventory::list(self, request, target).await,
            Operation::GetBucketNotification => notification::get(self, request, target).await,
            Operation::PutBucketNotification => {
                notification::put(self, request, target, &mut body).await
            }
            Operation::GetBucketPolicy => policy::get(self, request, target).await,
            Operation::PutBucketPolicy => policy::put(self, request, target, &mut body).await,
            Operation::DeleteBucketPolicy => policy::delete(self, request, target).await,
            Operation::GetBucketPolicyStatus => policy::status(self, request, target).await,
            Operation::GetPublicAccessBlock => policy::block(request, target),
            Operation::PutPublicAccessBlock => {
                policy::set_block(self, request, target, &mut body).await
            }
            Operation::DeletePublicAccessBlock => policy::delete_block(self, target).await,
            Operation::ListObjectVersions => versions::list(self, request, target).await,
            Operation::ListObjects => list::version_1(self, request, target).await,
            Operation::ListObjectsV2 => list::version_2(self, request, target).await,
            Operation::PutObject => object::put(self, request, target, &mut body).await,
            Operation::CopyObject => copy::copy_object(self, request, row, target).await,
            Operation::AppendObject => object::append(self, request, target, &mut body).await,
            Operation::RestoreObject => restore::restore(self, request, target, &mut body).await,
            Operation::PostObject => {
                Err(Failure::InvalidRequest("A POST form carries its signature in its fields."))
            }
            Operation::GetObject => object::get(self, request, target, seen).await,
            Operation::HeadObject => object::head(self, request, target, seen).await,
            Operation::GetObjectAttributes => object::attributes(self, request, target, seen).await,
            Operation::DeleteObject => delete::delete_object(self, request, target).await,
            Operation::DeleteObjects => {
                delete::delete_objects(self, request, target, &mut body).await
            }
            Operation::CreateMultipartUpload => multipart::initiate(self, request, target).await,
            Operation::UploadPart => multipart::upload_part(self, request, target, &mut body).await,
            Operation::UploadPartCopy => copy::copy_part(self, request, row, target).await,
            Operation::ListParts => multipart::list_parts(self, request, target).await,
            Operation::CompleteMultipartUpload => {
                multipart::complete(self, request, target, &mut body).await
            }
            Operation::AbortMultipartUpload => multipart::abort(self, request, target).await,
            Operation::ListMultipartUploads => multipart::list_uploads(self, request, target).await,
        }
    }
}
