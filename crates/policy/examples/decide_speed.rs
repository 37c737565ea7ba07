//! CPU time of one decision with 100 statements in force.
//!
//! `cargo run --release -p costrel-policy --example decide_speed`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use costrel_policy::{
    Action, Attempt, Caller, Fact, Facts, Grammar, Grants, Key, Policy, Target, Value, Who, decide,
};

struct Request;

impl Facts for Request {
    fn fact(&self, key: &Key) -> Fact<'_> {
        match key {
            Key::SourceIp => Fact::One(Value::Ip([10, 1, 2, 3].into())),
            Key::SecureTransport => Fact::One(Value::Bool(true)),
            _ => Fact::Absent,
        }
    }
}

/// Statements of which the last is the one that counts.
fn policy(grammar: Grammar, count: usize, one: impl Fn(usize) -> String) -> Arc<Policy> {
    let statements: Vec<String> = (0..count).map(one).collect();
    let document = format!(r#"{{"Statement": [{}]}}"#, statements.join(","));
    Arc::new(Policy::of_bucket(grammar, document.as_bytes()).expect("a policy"))
}

fn main() {
    let plain = |n: usize| {
        format!(
            r#"{{"Effect": "Allow", "Principal": "*", "Action": ["s3:PutObject", "s3:GetObject"],
                "Resource": "arn:aws:s3:::b-1250000000/folder-{n}/*"}}"#
        )
    };
    let conditions = |n: usize| {
        format!(
            r#"{{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
                "Condition": {{"IpAddress": {{"aws:SourceIp": ["192.168.{n}.0/24"]}}}}}}"#
        )
    };
    let cam = |n: usize| {
        format!(
            r#"{{"effect": "allow", "principal": {{"qcs": "qcs::cam::anyone:anyone"}},
                "action": "name/cos:Get*",
                "resource": "qcs::cos:ap-guangzhou:uid/1250000000:b-1250000000/folder-{n}/*"}}"#
        )
    };
    measure("no statements", &[], None);
    measure("100 that allow", &[policy(Grammar::Iam, 100, plain)], Some(99));
    let halves = [policy(Grammar::Cam, 50, cam), policy(Grammar::Cam, 50, |n| cam(n + 50))];
    measure("100 that allow, in CAM", &halves, Some(99));
    let both = [policy(Grammar::Iam, 50, conditions), policy(Grammar::Cam, 50, cam)];
    measure("50 conditions on addresses and 50 that allow", &both, Some(49));
}

fn measure(name: &str, policies: &[Arc<Policy>], folder: Option<usize>) {
    let caller = Caller::new(Who::Anonymous);
    let key = format!("folder-{}/object", folder.unwrap_or(1000));
    let attempt = Attempt {
        caller: &caller,
        action: Action { cam: "name/cos:GetObject", iam: "s3:GetObject" },
        target: Target {
            bucket: "b-1250000000",
            region: "ap-guangzhou",
            owner_uin: 100_000_000_001,
            owner_appid: 1_250_000_000,
            key: Some(&key),
        },
        on_policy: false,
        facts: &Request,
    };
    let grants = Grants { policies, restrict_public: false };
    // Short enough for some of them to run without a break.
    let rounds = 1000;
    let mut best = f64::MAX;
    for _ in 0..300 {
        let begun = Instant::now();
        for _ in 0..rounds {
            black_box(decide(black_box(&attempt), grants));
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(rounds));
    }
    println!("{name:46} {best:8.0} ns, {:?}", decide(&attempt, grants));
}
