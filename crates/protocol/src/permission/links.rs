//! Reading through symlinks. A link is not a permission: what it leads to has to be
//! permitted by its own key, to the one who reads.

use std::ops::Range;

use costrel_core::Error;
use costrel_core::bucket::Bucket;
use costrel_core::object::{GetRequest, Links, ObjectInfo, ObjectReader};

use super::{Need, is_unlimited, refusal};
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::ops::Operation;
use crate::request::{Outcome, Request};

/// How often what is read may be replaced, or a link pointed elsewhere, while it is
/// judged.
pub(super) const ROUNDS_MAX: usize = 100;

/// An object's description, the bytes that are meant, and a reader of them.
type Opened<R> = (ObjectInfo, Range<u64>, R);

/// How far links lead whom nothing has been judged for.
pub(crate) fn links_of(request: &Request<'_>, bucket: &Bucket) -> Links {
    match is_unlimited(request, bucket) {
        true => Links::Anywhere,
        false => Links::Nowhere,
    }
}

impl Gateway {
    /// Opens an object, which has been permitted, for an operation that has to be
    /// permitted to a link's target as well.
    pub(crate) async fn open_object(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        operation: Operation,
        get: &GetRequest,
    ) -> Outcome<Opened<ObjectReader>> {
        let (info, range, reader) = self.through(request, bucket, operation, get, true).await?;
        let reader = reader.ok_or(Failure::Internal("no body was opened"))?;
        Ok((info, range, reader))
    }

    /// The same without its body.
    pub(crate) async fn look_at_object(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        operation: Operation,
        get: &GetRequest,
    ) -> Outcome<(ObjectInfo, Range<u64>)> {
        let (info, range, _) = self.through(request, bucket, operation, get, false).await?;
        Ok((info, range))
    }

    async fn through(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        operation: Operation,
        get: &GetRequest,
        with_body: bool,
    ) -> Outcome<Opened<Option<ObjectReader>>> {
        let mut aimed: Option<GetRequest> = None;
        for _ in 0..ROUNDS_MAX {
            let get = aimed.as_ref().unwrap_or(get);
            let found = match with_body {
                true => self.store.get_object(bucket, get).await.map(|(i, r, b)| (i, r, Some(b))),
                false => self.store.head_object(bucket, get).await.map(|(i, r)| (i, r, None)),
            };
            match (found, &get.links) {
                (Err(Error::LinkLeadsTo { target }), _) => {
                    let need = Need::new(operation, Some(target.as_str()), None);
                    let seen = self.require_reading(request, bucket, need).await?;
                    aimed = Some(GetRequest { links: Links::Only(target, seen), ..get.clone() });
                }
                // What is there now may be for others.
                (Err(Error::Overtaken), _) => {
                    let version = get.version.map(|version| version.to_string());
                    let need = Need::new(operation, Some(get.key.as_str()), version.as_deref());
                    let seen = self.require_reading(request, bucket, need).await?;
                    let links = links_of(request, bucket);
                    aimed = Some(GetRequest { links, seen, ..get.clone() });
                }
                // Whether the target is there is for those to know who may list it.
                (Err(error), Links::Only(target, _))
                    if error.is_absence()
                        && !is_unlimited(request, bucket)
                        && !self.permits_listing(request, bucket, target.as_str()).await? =>
                {
                    return Err(refusal(request));
                }
                (found, _) => return Ok(found?),
            }
        }
        Err(Error::StorageUnavailable.into())
    }
}
