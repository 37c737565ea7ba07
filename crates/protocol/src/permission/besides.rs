//! What a new object is given beside its body, which has to be allowed as well: tags, locks
//! and rights of others.

use costrel_core::bucket::Bucket;

use super::{Basis, Explained, Need, is_unlimited};
use crate::acl;
use crate::gateway::Gateway;
use crate::ops::{self, Operation};
use crate::request::{Outcome, Request};

/// What a request gives a new object beside its body.
#[derive(Clone, Copy, Default)]
pub(super) struct Besides {
    /// Rights for others than the bucket's owner.
    acl: bool,
    tags: bool,
    retention: bool,
    hold: bool,
}

impl Besides {
    pub fn of(request: &Request<'_>, bucket: &Bucket, need: Need<'_>) -> Outcome<Besides> {
        if !need.operation.creates() {
            return Ok(Besides::default());
        }
        let names = request.dialect.headers();
        let given = |name: &http::HeaderName| match need.fields {
            Some(fields) => {
                fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name.as_str()))
            }
            None => request.headers.contains_key(name),
        };
        let is_private = match need.fields {
            Some(fields) => acl::of_fields(request.dialect, fields)?.is_private(bucket.owner_uin),
            None => acl::of_object_headers(request)?.is_private(bucket.owner_uin),
        };
        let has_tags = need.tags.is_some_and(|tags| !tags.as_slice().is_empty());
        Ok(Besides {
            acl: !is_private,
            tags: has_tags || given(&names.tagging),
            retention: given(&names.object_lock_mode)
                || given(&names.object_lock_retain_until_date),
            hold: given(&names.object_lock_legal_hold),
        })
    }

    /// Tells whoever audits the request, if it says who may use the object or remove it.
    pub fn note(self, request: &Request<'_>, unlimited: bool) {
        if !(self.acl || self.retention || self.hold) {
            return;
        }
        request.notes.administer();
        if unlimited {
            request.notes.judged(Explained { allowed: true, basis: Basis::Root });
        }
    }
}

impl Gateway {
    /// What a new object's tags, lock and ACL need besides the object itself.
    pub(crate) async fn require_besides(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        need: Need<'_>,
    ) -> Outcome<()> {
        let (besides, unlimited) = match Besides::of(request, bucket, need) {
            Ok(besides) => (besides, is_unlimited(request, bucket)),
            // What cannot be read is refused by whoever obeys it.
            Err(_) if is_unlimited(request, bucket) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        besides.note(request, unlimited);
        if unlimited {
            return Ok(());
        }
        // Whom an ACL lets write, it lets say who may read that.
        if besides.acl {
            let action = ops::action(Operation::PutObjectAcl, false);
            self.require(request, bucket, Need { action, ..need }).await?;
        }
        let further = [
            (besides.tags, Operation::PutObjectTagging),
            (besides.retention, Operation::PutObjectRetention),
            (besides.hold, Operation::PutObjectLegalHold),
        ];
        for (_, operation) in further.into_iter().filter(|(asked, _)| *asked) {
            self.require(request, bucket, need.besides(ops::action(operation, false))).await?;
        }
        Ok(())
    }
}
