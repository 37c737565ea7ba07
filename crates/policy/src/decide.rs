//! The one place that decides.

use std::sync::Arc;

use crate::condition::Truth;
use crate::parse::{Grammar, Named, Policy, Statement, plain_action};
use crate::pattern::folded;
use crate::principal::Principal;
use crate::resource::{Names, Target};
use crate::value::Facts;
use crate::verdict::{Decision, Found, Ground, Source, Verdict};

/// An action by its names: `name/cos:GetObject` and `s3:GetObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    pub cam: &'static str,
    pub iam: &'static str,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    pub who: Who,
    /// A user's name, a role's, or an identity provider's.
    pub name: Option<Arc<str>>,
    /// What whoever took on a role calls himself, or what CAM calls an identity provider.
    pub session_name: Option<Arc<str>>,
    /// A user's or a role's own policies, each of which counts.
    pub policies: Vec<Arc<Policy>>,
    /// What those policies may allow at most: a permissions boundary, all of which must
    /// allow what they do.
    pub limits: Vec<Arc<Policy>>,
    /// What the credentials are limited to, if they are: all of it must allow what
    /// is asked for. Permanent keys have no such limits.
    pub session: Vec<Arc<Policy>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody has signed.
    Anonymous,
    /// The root of the account with this number.
    Root(u64),
    /// A user of an account, by their numbers.
    User { account: u64, uin: u64 },
    /// Whoever has taken on a role of an account, by their numbers.
    Role { account: u64, id: u64 },
    /// Whoever brings a token of an identity provider of this account, and has no key
    /// yet.
    Bearer(u64),
}

impl Who {
    /// The account that he belongs to.
    pub fn account(self) -> Option<u64> {
        match self {
            Who::Anonymous | Who::Bearer(_) => None,
            Who::Root(account) | Who::User { account, .. } | Who::Role { account, .. } => {
                Some(account)
            }
        }
    }
}

impl Caller {
    /// A caller without policies or limits of his own.
    pub fn new(who: Who) -> Caller {
        let (policies, limits, session) = (Vec::new(), Vec::new(), Vec::new());
        Caller { who, name: None, session_name: None, policies, limits, session }
    }

    /// All policies that come with him.
    pub fn own(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.iter().chain(&self.limits).chain(&self.session)
    }
}

/// What is asked for, by whom.
pub struct Attempt<'a> {
    pub caller: &'a Caller,
    pub action: Action,
    pub target: Target<'a>,
    /// Reading, replacing or deleting the bucket's policy itself.
    pub on_policy: bool,
    pub facts: &'a dyn Facts,
}

/// What speaks for or against it on the bucket's side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grants<'a> {
    /// The bucket's policies, of any grammar.
    pub policies: &'a [Arc<Policy>],
    /// Policies that let anybody in count only for the owner's account.
    pub restrict_public: bool,
}

/// Decides. In this order; the first that applies counts:
///
/// 1. A session policy that denies, or one that does not allow: denied.
/// 2. The owner's root on the bucket's policy itself: allowed, so that nobody can
///    lock himself out. (AWS.)
/// 3. A policy of the bucket, of the user or of the role that denies, or a permissions
///    boundary that does: denied. A bucket's policy of IAM denies to the owner's root
///    too; one of CAM does not, since in COS the root may always do everything.
/// 4. The owner's root: allowed.
/// 5. A user or a role of another account whose own policies do not allow, as far as a
///    permissions boundary lets them: denied.
/// 6. A policy of a user or a role of the owner's that allows, as far as a permissions
///    boundary lets it: allowed.
/// 7. A policy of the bucket that allows: allowed, unless the policy lets anybody
///    in, the bucket restricts such policies, and the caller is not of the owner's
///    account; or unless the caller has a role whose permissions boundary does not
///    allow. (AWS. A user's does not limit what a bucket allows him.)
/// 8. An ACL that allows: allowed. The object's own counts for what is done to the
///    object, and that of its bucket where it has none of its own; the bucket's
///    for everything else. Grants to everybody are passed over where the bucket
///    ignores public ACLs, and all grants where its owner owns whatever is in it.
///    ACLs are no policies and are not read here: [`Decision::LeftToAcls`] leaves
///    them to whoever asks, so that an object is looked up only if all depends on
///    it. (`Bucket::acl_says` in the core.)
/// 9. Otherwise: denied.
///
/// A Deny applies unless it is certain that it does not, an Allow only if it is
/// certain that it does: conditions on what cannot be known never let anybody in.
pub fn decide(attempt: &Attempt<'_>, grants: Grants<'_>) -> Verdict {
    let caller = attempt.caller;
    let owner_root = caller.who == Who::Root(attempt.target.owner_uin);
    let judge = Judge::new(attempt);
    if let Some(refused) = judge.refused_by_session() {
        return refused;
    }
    if owner_root && attempt.on_policy {
        return Verdict::new(Decision::Allowed, Ground::Root);
    }
    let counts = |policy: &Policy| !(owner_root && policy.grammar == Grammar::Cam);
    let denied = judge.denied_by_any(grants.policies, Source::Bucket, counts);
    if let Some(ground) = denied.or_else(|| judge.denied_by_own()) {
        return Verdict::new(Decision::Denied, ground);
    }
    if owner_root {
        return Verdict::new(Decision::Allowed, Ground::Root);
    }
    let of_owner = caller.who.account() == Some(attempt.target.owner_uin);
    // What there is to say if the bucket allows nothing either.
    let mut without = Ground::Nothing;
    if matches!(caller.who, Who::User { .. } | Who::Role { .. }) {
        match (judge.allowed_by_own(), of_owner) {
            (Ok(ground), true) => return Verdict::new(Decision::Allowed, ground),
            (Err(ground), false) => return Verdict::new(Decision::Denied, ground),
            (Ok(_), false) => {}
            (Err(ground), true) => without = ground,
        }
    }
    if matches!(caller.who, Who::Role { .. })
        && let Some(ground) = judge.beyond_boundary()
    {
        return Verdict::new(Decision::Denied, ground);
    }
    let restricts = grants.restrict_public && !of_owner;
    let counts = |policy: &Policy| !(restricts && policy.is_public());
    if let Some(ground) = judge.allowed_by_any(grants.policies, Source::Bucket, counts) {
        return Verdict::new(Decision::Allowed, ground);
    }
    let in_vain = restricts && judge.allowed_by_any(grants.policies, Source::Bucket, all).is_some();
    let ground = if in_vain { Ground::PublicBlocked } else { without };
    Verdict::new(Decision::LeftToAcls, ground)
}

/// Every policy counts.
fn all(_: &Policy) -> bool {
    true
}

/// Decides whether somebody may take on a role, whose trust policy says who may. In this
/// order; the first that applies counts:
///
/// 1. A session policy that denies, or one that does not allow: denied.
/// 2. The trust policy or one of the caller's that denies, or his permissions boundary:
///    denied.
/// 3. A trust policy of IAM that allows the caller himself, or one of any grammar that
///    allows whoever brings a token of an identity provider, who has no policies: allowed,
///    unless the caller has a role whose permissions boundary does not allow. (AWS. A
///    user's does not limit what a trust policy allows him.)
/// 4. A trust policy that allows neither him nor his account: denied.
/// 5. His account's root: allowed.
/// 6. A policy of his that allows, as far as his permissions boundary lets it: allowed.
/// 7. Otherwise: denied.
pub fn decide_trust(attempt: &Attempt<'_>, trust: &Arc<Policy>) -> Verdict {
    let caller = attempt.caller;
    let judge = Judge::new(attempt);
    if let Some(refused) = judge.refused_by_session() {
        return refused;
    }
    let trust_alone = std::slice::from_ref(trust);
    let by_trust = || judge.denied_by_any(trust_alone, Source::Trust, all);
    if let Some(ground) = judge.denied_by_own().or_else(by_trust) {
        return Verdict::new(Decision::Denied, ground);
    }
    let himself = judge.allowed_by_any(trust_alone, Source::Trust, all);
    if matches!(caller.who, Who::Role { .. })
        && himself.is_some()
        && let Some(ground) = judge.beyond_boundary()
    {
        return Verdict::new(Decision::Denied, ground);
    }
    let is_bearer = matches!(caller.who, Who::Bearer(_));
    if let Some(ground) = himself
        && (trust.grammar == Grammar::Iam || is_bearer)
    {
        return Verdict::new(Decision::Allowed, ground);
    }
    let through_account = |one: &Principal| {
        caller.who.account().is_some_and(|account| one.trusts_account(account)).into()
    };
    if himself.is_none() && judge.allows(trust, &through_account).is_none() {
        return Verdict::new(Decision::Denied, Ground::Silent(Source::Trust.first()));
    }
    if matches!(caller.who, Who::Root(_)) {
        return Verdict::new(Decision::Allowed, Ground::Root);
    }
    match judge.allowed_by_own() {
        Ok(ground) => Verdict::new(Decision::Allowed, ground),
        Err(ground) => Verdict::new(Decision::Denied, ground),
    }
}

/// An attempt with what is made once for all statements.
struct Judge<'a> {
    attempt: &'a Attempt<'a>,
    names: Names,
    cam: &'a str,
    iam: String,
    /// The action is of another service, whose resources are not known here.
    elsewhere: bool,
}

impl<'a> Judge<'a> {
    fn new(attempt: &'a Attempt<'a>) -> Judge<'a> {
        Judge {
            names: Names::of(&attempt.target),
            cam: plain_action(attempt.action.cam),
            iam: folded(attempt.action.iam, true).into_owned(),
            elsewhere: !plain_action(attempt.action.cam).starts_with("cos:"),
            attempt,
        }
    }

    /// Whether a policy that limits the credentials speaks against it, or none for it.
    fn refused_by_session(&self) -> Option<Verdict> {
        let session = &self.attempt.caller.session;
        let (mut policies, source) = (session.iter().enumerate(), Source::Session);
        policies.find_map(|(at, policy)| {
            let denied = self.denied_by(policy).map(|found| found.ground(source, at));
            let ground = denied.or_else(|| match self.allowed_by(policy) {
                Some(_) => None,
                None => Some(Ground::Silent(source.nth(at))),
            });
            ground.map(|ground| Verdict::new(Decision::Denied, ground))
        })
    }

    /// Whether one of the caller's policies, or his permissions boundary, speaks against it.
    fn denied_by_own(&self) -> Option<Ground> {
        let caller = self.attempt.caller;
        let denied = self.denied_by_any(&caller.policies, Source::Own, all);
        denied.or_else(|| self.denied_by_any(&caller.limits, Source::Boundary, all))
    }

    /// By what one of the caller's policies allows it, as far as his permissions boundary
    /// lets it; or why none does.
    fn allowed_by_own(&self) -> Result<Ground, Ground> {
        let own = &self.attempt.caller.policies;
        let ground = self.allowed_by_any(own, Source::Own, all).ok_or(Ground::Nothing)?;
        self.beyond_boundary().map_or(Ok(ground), Err)
    }

    /// A permissions boundary that does not allow it.
    fn beyond_boundary(&self) -> Option<Ground> {
        let mut limits = self.attempt.caller.limits.iter();
        let at = limits.position(|policy| self.allowed_by(policy).is_none())?;
        Some(Ground::Silent(Source::Boundary.nth(at)))
    }

    fn denied_by_any(
        &self,
        policies: &[Arc<Policy>],
        source: Source,
        counts: impl Fn(&Policy) -> bool,
    ) -> Option<Ground> {
        let mut counting = policies.iter().enumerate().filter(|(_, policy)| counts(policy));
        counting.find_map(|(at, policy)| Some(self.denied_by(policy)?.ground(source, at)))
    }

    fn allowed_by_any(
        &self,
        policies: &[Arc<Policy>],
        source: Source,
        counts: impl Fn(&Policy) -> bool,
    ) -> Option<Ground> {
        let mut counting = policies.iter().enumerate().filter(|(_, policy)| counts(policy));
        counting.find_map(|(at, policy)| Some(self.allowed_by(policy)?.ground(source, at)))
    }

    fn denied_by(&self, policy: &Policy) -> Option<Found> {
        let mut statements = policy.statements.iter().enumerate();
        statements.find_map(|(at, statement)| {
            if statement.allows {
                return None;
            }
            let others = statement.principals.others;
            let about = |one: &Principal| one.matches(self.attempt.caller, false, others).into();
            match self.applies(policy, statement, &about) {
                Truth::False => None,
                truth => Some(Found { statement: at, certain: truth == Truth::True }),
            }
        })
    }

    fn allowed_by(&self, policy: &Policy) -> Option<Found> {
        // Those whom it allows something it names.
        self.allows(policy, &|one| one.matches(self.attempt.caller, true, false).into())
    }

    fn allows(&self, policy: &Policy, about: &impl Fn(&Principal) -> Truth) -> Option<Found> {
        let mut statements = policy.statements.iter().enumerate();
        statements.find_map(|(at, statement)| {
            let applies = statement.allows && self.applies(policy, statement, about) == Truth::True;
            applies.then_some(Found { statement: at, certain: true })
        })
    }

    /// Whether a statement is about the attempt. What is cheap to tell comes first.
    fn applies(
        &self,
        policy: &Policy,
        statement: &Statement,
        about: &impl Fn(&Principal) -> Truth,
    ) -> Truth {
        let facts = self.attempt.facts;
        let action = match policy.grammar {
            Grammar::Cam => self.cam,
            Grammar::Iam => &self.iam,
        };
        let by_action = statement.actions.holds(|pattern| pattern.matches_folded(action).into());
        if by_action == Truth::False {
            return Truth::False;
        }
        if statement.principals.holds(about) == Truth::False {
            return Truth::False;
        }
        let mut truth = statement.resources.holds(|resource| match self.elsewhere {
            true => resource.matches_elsewhere(facts),
            false => resource.matches(&self.attempt.target, &self.names, facts),
        });
        for condition in &statement.conditions {
            if truth == Truth::False {
                break;
            }
            truth = truth.min(condition.holds(facts));
        }
        truth
    }
}

impl<T> Named<T> {
    fn holds(&self, one: impl Fn(&T) -> Truth) -> Truth {
        let any = Truth::any(self.named.iter().map(one));
        if self.others { any.not() } else { any }
    }
}
