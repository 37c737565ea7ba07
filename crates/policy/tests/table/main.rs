//! Random policies, callers and requests, judged by the evaluator and by a slow one
//! that reads the JSON afresh each time and knows nothing of the other's types.
//! `POLICY_SEED` repeats a run.

mod making;
mod reference;

use std::sync::Arc;

use costrel_policy::{
    Attempt, Decision, Grammar, Grants, Ground, Policy, Source, Who, decide, decide_trust,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn seeded() -> (u64, StdRng) {
    let seed = std::env::var("POLICY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    (seed, StdRng::seed_from_u64(seed))
}

/// Documents with a few bytes changed are read or refused, by either grammar.
#[test]
fn whatever_is_broken_breaks_nothing() {
    let (_, mut rng) = seeded();
    let mut read = 0;
    for _ in 0..3000 {
        for made in making::world(&mut rng).policies {
            let mut bytes = made.text().into_bytes();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..3) {
                    0 => _ = bytes.remove(at),
                    1 => bytes[at] = rng.random(),
                    _ => bytes.insert(at, *b"*?$:/{}[],\"\\".get(at % 12).unwrap()),
                }
            }
            for grammar in [Grammar::Cam, Grammar::Iam] {
                if let Ok(policy) = Policy::of_bucket(grammar, &bytes) {
                    policy.is_public();
                    read += 1;
                }
            }
        }
    }
    assert!(read > 20, "{read}");
}

#[test]
fn both_evaluators_agree() {
    let (seed, mut rng) = seeded();
    let (mut allowed, mut denied_by_policy, mut total) = (0, 0, 0);
    let (mut users, mut trusted, mut cited) = (0, 0, 0);
    // By permissions boundaries: what they do not allow, and what they deny.
    let (mut beyond, mut forbidden) = (0, 0);
    for _ in 0..2500 {
        let world = making::world(&mut rng);
        let parsed: Vec<Arc<Policy>> =
            world.policies.iter().map(|made| made.parse(Policy::of_bucket)).collect();
        let own: Vec<Arc<Policy>> =
            world.own.iter().map(|made| made.parse(Policy::of_user)).collect();
        let limits: Vec<Arc<Policy>> =
            world.limits.iter().map(|made| made.parse(Policy::of_user)).collect();
        let session: Vec<Arc<Policy>> =
            world.session.iter().map(|made| made.parse(Policy::of_session)).collect();
        let trust = world.trust.parse(Policy::of_trust);
        for _ in 0..8 {
            let request = making::request(&mut rng, &making::ACTIONS, (&own, &limits), &session);
            let attempt = Attempt {
                caller: &request.caller,
                action: request.action,
                target: request.target(),
                on_policy: request.on_policy,
                facts: &request,
            };
            let grants = Grants { policies: &parsed, restrict_public: false };
            let verdict = decide(&attempt, grants);
            let expected = reference::decide(&world, &request);
            let all = || format!("seed {seed}: {verdict:?} {request:#?}\n{:#?}", world.texts());
            assert_eq!(verdict.decision, expected, "{}", all());
            assert!(reference::bears_out(&world, &request, verdict), "{}", all());
            match verdict.ground {
                Ground::Silent(place) if place.source == Source::Boundary => beyond += 1,
                Ground::Statement { policy, .. } => {
                    cited += 1;
                    forbidden += usize::from(policy.source == Source::Boundary);
                }
                _ => {}
            }
            total += 1;
            let expected = expected == Decision::Allowed;
            match request.caller.who {
                Who::Anonymous if expected => allowed += 1,
                Who::Root(making::OWNER) if !expected => denied_by_policy += 1,
                Who::User { .. } | Who::Role { .. } if expected => users += 1,
                _ => {}
            }

            let request = making::request(&mut rng, &[making::ASSUME], (&own, &limits), &session);
            let attempt = Attempt {
                caller: &request.caller,
                action: request.action,
                target: request.target(),
                on_policy: false,
                facts: &request,
            };
            let expected = reference::decide_trust(&world, &request);
            let verdict = decide_trust(&attempt, &trust);
            let all = || format!("seed {seed}: {verdict:?} {request:#?}\n{:#?}", world.texts());
            assert_eq!(verdict.decision == Decision::Allowed, expected, "{}", all());
            assert!(reference::bears_out(&world, &request, verdict), "{}", all());
            trusted += usize::from(expected);
        }
    }
    assert!(cited > total / 10, "{cited} of {total}");
    assert!(beyond > total / 200, "{beyond} of {total}");
    assert!(forbidden > total / 200, "{forbidden} of {total}");
    assert!(users > total / 100, "{users} of {total}");
    assert!(trusted > total / 200, "{trusted} of {total}");
    // A table in which nothing is ever let in, or kept out, would show nothing.
    assert!(allowed > total / 100, "{allowed} of {total}");
    assert!(denied_by_policy > total / 100, "{denied_by_policy} of {total}");
}
