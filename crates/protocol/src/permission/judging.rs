//! A need judged by everything in force: a request's, or one that is only supposed.

use std::sync::Arc;

use costrel_core::account::Holder;
use costrel_core::acl::AclVerdict;
use costrel_core::bucket::Bucket;
use costrel_core::names::ObjectKey;
use costrel_core::object::Seen;
use costrel_core::tags::Tags;
use costrel_core::version::VersionRef;
use costrel_policy::{Attempt, Caller, Decision, Facts, Grants, Policy, Verdict, Who, decide};

use super::Need;
use super::explained::{Explained, Judges};
use crate::gateway::Gateway;
use crate::ops::{Granted, Operation};
use crate::request::Outcome;

/// What came of a need, with what is left to be said of it.
pub(super) struct Judged {
    verdict: Verdict,
    /// What the ACL says, where the policies leave it to that.
    acl: Option<AclVerdict>,
    bucket: Arc<[Arc<Policy>]>,
    /// The object that is meant, if what it says was asked for.
    pub seen: Option<Arc<Seen>>,
}

impl Judged {
    pub fn allowed(&self) -> bool {
        match self.verdict.decision {
            Decision::Allowed => true,
            Decision::Denied => false,
            Decision::LeftToAcls => matches!(self.acl, Some(AclVerdict::Granted { .. })),
        }
    }

    pub fn explained(&self, caller: &Caller, holder: Option<&Holder>) -> Explained {
        let judges = Judges { bucket: &self.bucket, ..Judges::of(caller, holder) };
        judges.explain(self.verdict, self.acl)
    }
}

impl Gateway {
    /// `facts` are given the tags of the object that is meant, if a policy asks for them.
    pub(super) async fn judge<F: Facts>(
        &self,
        bucket: &Bucket,
        caller: &Caller,
        need: Need<'_>,
        facts: impl FnOnce(Option<Tags>) -> F,
    ) -> Outcome<Judged> {
        let owner_root = caller.who == Who::Root(bucket.owner_uin);
        let on_policy = need.operation.on_policy();
        // A policy that cannot be read can still be replaced.
        let policies: Arc<[Arc<Policy>]> = match owner_root && on_policy {
            true => Arc::new([]),
            false => self.store.policies(bucket).await?,
        };
        let mut seen = match policies.iter().chain(caller.own()).any(|one| one.asks_for_tags()) {
            true => self.object_meant(bucket, need).await?,
            false => None,
        };
        let existing_tags = seen.as_ref().and_then(|seen| seen.tags());
        let block = bucket.public_access_block();
        let restrict_public = block.is_some_and(|block| block.restrict_public_buckets);
        let verdict = {
            let attempt = Attempt {
                caller,
                action: need.action,
                target: self.target(bucket, need.key),
                on_policy,
                facts: &facts(existing_tags),
            };
            decide(&attempt, Grants { policies: &policies, restrict_public })
        };
        let acl = match verdict.decision {
            Decision::Allowed | Decision::Denied => None,
            Decision::LeftToAcls => self.acl_says(bucket, need, caller.who, &mut seen).await?,
        };
        Ok(Judged { verdict, acl, bucket: policies, seen })
    }

    /// What an ACL says where no policy says anything; nothing if none can. An object that
    /// is not there has none of its own: who may list its bucket may look for it.
    async fn acl_says(
        &self,
        bucket: &Bucket,
        need: Need<'_>,
        who: Who,
        seen: &mut Option<Arc<Seen>>,
    ) -> Outcome<Option<AclVerdict>> {
        Ok(match need.granted {
            None => None,
            Some(Granted::OfBucket(permission)) => Some(bucket.acl_says(who, permission, None)?),
            Some(Granted::OfObject(permission)) => {
                if seen.is_none() {
                    *seen = self.object_meant(bucket, need).await?;
                }
                let record = seen.as_ref().and_then(|seen| seen.record());
                Some(bucket.acl_says(who, permission, record)?)
            }
        })
    }

    /// The object that is meant, as it is at the moment. Nobody looks where no key or
    /// version is named.
    async fn object_meant(&self, bucket: &Bucket, need: Need<'_>) -> Outcome<Option<Arc<Seen>>> {
        let Some(key) = need.key.and_then(|key| ObjectKey::new(key).ok()) else { return Ok(None) };
        let version = match need.version.map(VersionRef::parse) {
            Some(None) => return Ok(None),
            version => version.flatten(),
        };
        // Whoever is let in reads it next.
        let with_body = need.operation == Operation::GetObject;
        let seen = self.store.see(bucket, &key, version, with_body).await?;
        Ok(Some(Arc::new(seen)))
    }
}
