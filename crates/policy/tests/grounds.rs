//! What a verdict cites when permissions boundaries have a say, case by case. The table of
//! random policies has the rest.

use std::sync::Arc;

use costrel_policy::{
    Action, Attempt, Caller, Decision, Fact, Facts, Grammar, Grants, Ground, Key, Place, Policy,
    Source, Target, Verdict, Who, decide, decide_trust,
};

const OWNER: u64 = 100_000_000_001;
const STRANGER: u64 = 100_000_000_002;

struct Nothing;

impl Facts for Nothing {
    fn fact(&self, _: &Key) -> Fact<'_> {
        Fact::Absent
    }
}

const READ: Action = Action { cam: "name/cos:GetObject", iam: "s3:GetObject" };
const ASSUME: Action = Action { cam: "name/sts:AssumeRole", iam: "sts:AssumeRole" };

fn user(account: u64) -> Who {
    Who::User { account, uin: account + 10 }
}

fn role(account: u64) -> Who {
    Who::Role { account, id: 31 }
}

/// Each an effect and an action.
type Statements = &'static [(&'static str, &'static str)];

fn document(statements: Statements) -> String {
    let one = |(effect, action): &(&str, &str)| {
        format!(r#"{{"Effect": "{effect}", "Action": "{action}", "Resource": "*"}}"#)
    };
    let statements: Vec<_> = statements.iter().map(one).collect();
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(","))
}

fn caller(who: Who, own: Statements, boundary: Statements) -> Caller {
    let read = |statements: Statements| match statements {
        [] => vec![],
        some => {
            vec![Arc::new(Policy::of_user(Grammar::Iam, document(some).as_bytes()).unwrap())]
        }
    };
    Caller { policies: read(own), limits: read(boundary), ..Caller::new(who) }
}

fn attempt(caller: &Caller, action: Action) -> Attempt<'_> {
    let key = action.cam.starts_with("name/cos:").then_some("key");
    let target = Target {
        bucket: "bucket",
        region: "region",
        owner_uin: OWNER,
        owner_appid: 1_250_000_000,
        key,
    };
    Attempt { caller, action, target, on_policy: false, facts: &Nothing }
}

/// By a bucket without a policy, or with one that lets whom this names read.
fn read(caller: &Caller, let_in: Option<&str>) -> Verdict {
    let of_bucket = let_in.map(|name| {
        let document = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow",
                "Principal": {{"AWS": "{name}"}}, "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::bucket/*"}}}}"#
        );
        Arc::new(Policy::of_bucket(Grammar::Iam, document.as_bytes()).unwrap())
    });
    let policies: Vec<_> = of_bucket.into_iter().collect();
    decide(&attempt(caller, READ), Grants { policies: &policies, restrict_public: false })
}

fn by(source: Source, statement: usize) -> Ground {
    Ground::Statement { policy: Place { source, at: 0 }, statement, certain: true }
}

fn silent(source: Source) -> Ground {
    Ground::Silent(Place { source, at: 0 })
}

const READS: Statements = &[("Allow", "s3:GetObject")];
const WRITES: Statements = &[("Allow", "s3:PutObject")];
const READS_NOT: Statements = &[("Allow", "s3:*"), ("Deny", "s3:GetObject")];

#[test]
fn a_boundary_is_cited_where_it_stands_in_the_way() {
    use Decision::{Allowed, Denied, LeftToAcls};
    let (boundary, own) = (Source::Boundary, Source::Own);
    let cases: &[(Who, Statements, Statements, Decision, Ground)] = &[
        (user(OWNER), READS, &[], Allowed, by(own, 0)),
        (user(OWNER), READS, READS, Allowed, by(own, 0)),
        (user(OWNER), READS, WRITES, LeftToAcls, silent(boundary)),
        (user(OWNER), READS, READS_NOT, Denied, by(boundary, 1)),
        (user(OWNER), READS_NOT, READS_NOT, Denied, by(own, 1)),
        // It allows nothing by itself, so that it is no reason where nothing else does.
        (user(OWNER), WRITES, READS, LeftToAcls, Ground::Nothing),
        (user(OWNER), WRITES, WRITES, LeftToAcls, Ground::Nothing),
        (user(STRANGER), READS, READS, LeftToAcls, Ground::Nothing),
        (user(STRANGER), READS, WRITES, Denied, silent(boundary)),
        (user(STRANGER), WRITES, WRITES, Denied, Ground::Nothing),
        (role(OWNER), READS, WRITES, Denied, silent(boundary)),
        // Not even the bucket's policy can let a role do this.
        (role(OWNER), WRITES, WRITES, Denied, silent(boundary)),
        (role(OWNER), WRITES, READS, LeftToAcls, Ground::Nothing),
    ];
    for (at, (who, own, boundary, decision, ground)) in cases.iter().enumerate() {
        let verdict = read(&caller(*who, own, boundary), None);
        assert_eq!((verdict.decision, verdict.ground), (*decision, *ground), "case {at}");
    }
}

#[test]
fn a_bucket_lets_users_do_what_their_boundary_does_not() {
    let bounded = caller(user(OWNER), READS, WRITES);
    let verdict = read(&bounded, Some("*"));
    assert_eq!(verdict.decision, Decision::Allowed);
    assert_eq!(verdict.ground, by(Source::Bucket, 0));

    let bounded = caller(role(OWNER), READS, WRITES);
    let verdict = read(&bounded, Some("*"));
    assert_eq!(verdict.decision, Decision::Denied);
    assert_eq!(verdict.ground, silent(Source::Boundary));
}

#[test]
fn roles_are_taken_on_within_a_boundary() {
    let takes_on: Statements = &[("Allow", "sts:AssumeRole")];
    let never: Statements = &[("Allow", "*"), ("Deny", "sts:*")];
    let trust = |name: &str| {
        let document = format!(
            r#"{{"version": "2.0", "statement": [{{"effect": "allow",
                "principal": {{"qcs": ["{name}"]}}, "action": "name/sts:AssumeRole"}}]}}"#
        );
        Arc::new(Policy::of_trust(Grammar::Cam, document.as_bytes()).unwrap())
    };
    let trusted = trust("qcs::cam::uin/100000000001:root");
    let other = trust("qcs::cam::uin/100000000009:root");
    let root = Caller::new(Who::Root(OWNER));
    let cases = [
        (caller(user(OWNER), takes_on, &[]), &trusted, by(Source::Own, 0)),
        (caller(user(OWNER), takes_on, takes_on), &trusted, by(Source::Own, 0)),
        (caller(user(OWNER), takes_on, READS), &trusted, silent(Source::Boundary)),
        (caller(user(OWNER), takes_on, never), &trusted, by(Source::Boundary, 1)),
        (caller(user(OWNER), READS, READS), &trusted, Ground::Nothing),
        (caller(user(OWNER), takes_on, READS), &other, silent(Source::Trust)),
        (root, &trusted, Ground::Root),
    ];
    for (at, (caller, trust, ground)) in cases.iter().enumerate() {
        let verdict = decide_trust(&attempt(caller, ASSUME), trust);
        assert_eq!(verdict.ground, *ground, "case {at}");
        let may = matches!(at, 0 | 1 | 6);
        assert_eq!(verdict.decision == Decision::Allowed, may, "case {at}");
    }
}

/// Of AWS: what a policy of a resource allows a role's bearer, its permissions boundary has
/// to allow too; what it allows a user, his does not.
#[test]
fn no_role_leads_to_another_beyond_its_boundary() {
    let takes_on: Statements = &[("Allow", "sts:AssumeRole")];
    let trust = |name: &str| {
        let document = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow",
                "Principal": {{"AWS": "arn:aws:iam::{OWNER}:{name}"}},
                "Action": "sts:AssumeRole"}}}}"#
        );
        Arc::new(Policy::of_trust(Grammar::Iam, document.as_bytes()).unwrap())
    };
    let named = |who, name: &str, boundary| {
        let mut caller = caller(who, READS, boundary);
        caller.name = Some(name.into());
        caller
    };
    let cases = [
        (named(role(OWNER), "r", &[]), "role/r", by(Source::Trust, 0)),
        (named(role(OWNER), "r", takes_on), "role/r", by(Source::Trust, 0)),
        (named(role(OWNER), "r", READS), "role/r", silent(Source::Boundary)),
        (named(user(OWNER), "ann", READS), "user/ann", by(Source::Trust, 0)),
    ];
    for (at, (caller, name, ground)) in cases.iter().enumerate() {
        let verdict = decide_trust(&attempt(caller, ASSUME), &trust(name));
        assert_eq!(verdict.ground, *ground, "case {at}");
        assert_eq!(verdict.decision == Decision::Allowed, at != 2, "case {at}");
    }
}

#[test]
fn what_is_allowed_to_bearers_is_cited_from_the_trust_policy() {
    let mut bearer = Caller::new(Who::Bearer(OWNER));
    bearer.session_name = Some("realm".into());
    let takes_on =
        Action { cam: "name/sts:AssumeRoleWithWebIdentity", iam: "sts:AssumeRoleWithWebIdentity" };
    let trust = |provider: &str| {
        let document = format!(
            r#"{{"version": "2.0", "statement": [{{"effect": "allow", "principal":
                {{"federated": ["qcs::cam::uin/100000000001:oidc-provider/{provider}"]}},
                "action": "name/sts:AssumeRoleWithWebIdentity"}}]}}"#
        );
        Arc::new(Policy::of_trust(Grammar::Cam, document.as_bytes()).unwrap())
    };
    let verdict = decide_trust(&attempt(&bearer, takes_on), &trust("realm"));
    assert_eq!(verdict.decision, Decision::Allowed);
    assert_eq!(verdict.ground, by(Source::Trust, 0));
    let verdict = decide_trust(&attempt(&bearer, takes_on), &trust("other"));
    assert_eq!(verdict.decision, Decision::Denied);
    assert_eq!(verdict.ground, silent(Source::Trust));
}
