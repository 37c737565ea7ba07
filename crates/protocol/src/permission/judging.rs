//! A need judged by everything in force: a request's, or one that is only supposed.

use std::sync::Arc;

use costrel_core::account::Holder;
use costrel_core::acl::AclVerdict;
use costrel_core::bucket::Bucket;
use costrel_core::names::ObjectKey;
use costrel_core::object::ObjectInfo;
use costrel_core::tags::Tags;
use costrel_core::version::VersionRef;
use costrel_policy::{Attempt, Caller, Decision, Facts, Grants, Key, Policy, Verdict, Who, decide};

use super::explained::{Explained, Judges};
use super::{Need, is_absence};
use crate::gateway::Gateway;
use crate::ops::Granted;
use crate::request::Outcome;

/// What came of a need, with what is left to be said of it.
pub(super) struct Judged {
    verdict: Verdict,
    /// What the ACL says, where the policies leave it to that.
    acl: Option<AclVerdict>,
    bucket: Arc<[Arc<Policy>]>,
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
        let asks = |policy: &Arc<Policy>| policy.asks(|key| matches!(key, Key::ExistingTag(_)));
        let existing_tags = match policies.iter().chain(caller.own()).any(asks) {
            true => self.object_meant(bucket, need).await?.map(|info| info.tags()),
            false => None,
        };
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
            Decision::LeftToAcls => self.acl_says(bucket, need, caller.who).await?,
        };
        Ok(Judged { verdict, acl, bucket: policies })
    }

    /// What an ACL says where no policy says anything; nothing if none can. An object that
    /// is not there has none of its own: who may list its bucket may look for it.
    async fn acl_says(
        &self,
        bucket: &Bucket,
        need: Need<'_>,
        who: Who,
    ) -> Outcome<Option<AclVerdict>> {
        Ok(match need.granted {
            None => None,
            Some(Granted::OfBucket(permission)) => Some(bucket.acl_says(who, permission, None)?),
            Some(Granted::OfObject(permission)) => {
                let info = self.object_meant(bucket, need).await?;
                let acl = info.map(|info| info.acl()).transpose()?;
                Some(bucket.acl_says(who, permission, acl.as_ref())?)
            }
        })
    }

    /// The object that is meant, as it is at the moment, if there is one: who
    /// overwrites an object with another one's tags or ACL may still be seen by
    /// readers of before.
    async fn object_meant(&self, bucket: &Bucket, need: Need<'_>) -> Outcome<Option<ObjectInfo>> {
        let Some(key) = need.key.and_then(|key| ObjectKey::new(key).ok()) else { return Ok(None) };
        let version = match need.version.map(VersionRef::parse) {
            Some(None) => return Ok(None),
            version => version.flatten(),
        };
        match self.store.stat_object(bucket, &key, version).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
