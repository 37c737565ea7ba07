//! Policies tried on actions, as IAM's simulation does: by what is given alone, whatever
//! buckets there are.

use std::sync::Arc;

use costrel_core::account::{AccessKey, Account, Holder, Origin};
use costrel_policy::{Attempt, Caller, Decision, Grants, Policy, Target, decide};

use super::explained::{Explained, Judges};
use super::facts::Place;
use super::supposing::{Context, Meant, SupposedFacts, SupposedFault, bucket_and_key, region_of};

/// What policies are tried on.
pub(crate) struct Trial {
    pub account: Arc<Account>,
    pub caller: Caller,
    /// Whose policies the caller's first ones are.
    pub holder: Option<Holder>,
    /// Where the caller's permissions boundary is from; nowhere if it was given.
    pub boundary: Vec<Origin>,
    /// His key, if there is somebody behind it.
    pub key: Option<AccessKey>,
    /// The resource's.
    pub resource_policies: Vec<Arc<Policy>>,
    pub context: Vec<(String, Vec<String>)>,
    /// Where resources are that do not say it.
    pub region: String,
    pub now_ms: u64,
}

pub(crate) type TrialFault = SupposedFault;

/// What comes of an action.
pub(crate) struct Tried {
    pub explained: Explained,
    pub decision: Decision,
    /// Whether the caller's permissions boundary allows it, if he has one.
    pub within_boundary: Option<bool>,
    pub missing: Vec<String>,
}

impl Trial {
    /// Takes as long as policies are, times what they are compared with.
    pub fn judge(&self, action: &str, resource: &str) -> Result<Tried, TrialFault> {
        let context = Context::new(&self.context)?;
        let resources = [resource.to_owned()];
        let owner_uin = self.account.uin.get();
        let (action, in_bucket) = match Meant::of(action)? {
            Meant::Operation(_, _, action) => (action, true),
            Meant::Account(action) => (action, false),
        };
        let (bucket, key) = if in_bucket { bucket_and_key(resource) } else { ("", None) };
        let region = region_of(resource).unwrap_or(&self.region);
        let place = Place { region, owner_uin, tags: None };
        let facts = SupposedFacts {
            resources: if in_bucket || resource == "*" { &[] } else { &resources[..] },
            ..SupposedFacts::of(&context, self.key.as_ref(), place, self.now_ms)
        };
        let attempt = Attempt {
            caller: &self.caller,
            action,
            target: Target {
                bucket,
                region,
                owner_uin,
                owner_appid: self.account.appid.get(),
                key,
            },
            on_policy: false,
            facts: &facts,
        };
        let bucket = &self.resource_policies[..];
        let verdict = decide(&attempt, Grants { policies: bucket, restrict_public: false });
        let boundary = &self.boundary[..];
        let judges = Judges { boundary, bucket, ..Judges::of(&self.caller, self.holder.as_ref()) };
        let explained = judges.explain(verdict, None);
        let within_boundary = (!self.caller.limits.is_empty()).then(|| {
            // What it would allow if it were all there is.
            let policies = self.caller.limits.clone();
            let caller = Caller { policies, ..Caller::new(self.caller.who) };
            let alone = Attempt { caller: &caller, ..attempt };
            decide(&alone, Grants::default()).decision == Decision::Allowed
        });
        drop(facts);
        let decision = verdict.decision;
        Ok(Tried { explained, decision, within_boundary, missing: context.missing() })
    }
}
