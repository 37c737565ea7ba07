//! Policies of buckets in both grammars.

use std::sync::Arc;

use costrel_policy::{
    Action, Attempt, Caller, Decision, Fact, Facts, Grammar, Grants, Key, POLICY_BYTES_MAX, Policy,
    Target, Who, decide,
};

pub fn policy_cam(data: &[u8]) {
    policy(Grammar::Cam, data);
}

pub fn policy_iam(data: &[u8]) {
    policy(Grammar::Iam, data);
}

/// A request of which nothing is known, or nothing is there.
struct Blank(Fact<'static>);

impl Facts for Blank {
    fn fact(&self, _: &Key) -> Fact<'_> {
        self.0.clone()
    }
}

const OWNER: u64 = 100_000_000_001;

/// What is read as a policy decides about anything, the same each time, and never
/// more for the caller than it would if everything were known to suit him.
fn policy(grammar: Grammar, data: &[u8]) {
    // Whoever it is of, it is read or refused.
    let readers = [Policy::of_session, Policy::of_user, Policy::of_trust];
    readers.into_iter().for_each(|read| drop(read(grammar, data)));
    // Documents of the other grammar are none, but those that say the same in both.
    let Ok(policy) = Policy::of_bucket(grammar, data) else { return };
    assert!(data.len() <= POLICY_BYTES_MAX);
    assert_eq!(Policy::of_bucket(grammar, data).as_ref(), Ok(&policy));
    policy.is_public();
    policy.unknown_action(|| vec!["s3:GetObject", "name/cos:GetObject"]);
    let policies = [Arc::new(policy)];
    let action = Action { cam: "name/cos:GetObject", iam: "s3:GetObject" };
    for key in [None, Some("a"), Some("folder/\u{4e91}*?${aws:username}")] {
        let target = Target {
            bucket: "examplebucket-1250000000",
            region: "ap-guangzhou",
            owner_uin: OWNER,
            owner_appid: 1_250_000_000,
            key,
        };
        policies[0].is_about(&target);
        let user = |account| Who::User { account, uin: OWNER + 2 };
        let roots = [Who::Anonymous, Who::Root(OWNER), Who::Root(OWNER + 1)];
        for who in roots.into_iter().chain([user(OWNER), user(OWNER + 1)]) {
            let caller = Caller::new(who);
            let ask = |facts: Blank, restrict_public: bool, on_policy: bool| {
                let attempt = Attempt { caller: &caller, action, target, on_policy, facts: &facts };
                decide(&attempt, Grants { policies: &policies, restrict_public }).decision
            };
            let unknown = ask(Blank(Fact::Unknown), false, false);
            // Whatever may be known of a request, knowing nothing of it allows less.
            for fact in [Fact::Absent, Fact::text("a")] {
                let known = ask(Blank(fact), false, false);
                assert!(unknown <= known);
            }
            if ask(Blank(Fact::Absent), true, false) == Decision::Allowed {
                assert_eq!(ask(Blank(Fact::Absent), false, false), Decision::Allowed);
            }
            if who == Who::Root(OWNER) {
                assert_eq!(ask(Blank(Fact::Unknown), true, true), Decision::Allowed);
            }
        }
    }
}
