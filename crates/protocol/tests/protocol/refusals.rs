//! Every operation × every way not to be let in.

use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, OpRow, Operation, Verb};

use crate::client::{Answer, Call, Signing, put};
use crate::routing::request_of;
use crate::world::{BUCKET, KEY_ID, World};

/// Asserts a refusal; the answer to a HEAD has no code to compare.
#[track_caller]
fn refused(row: &OpRow, answer: &Answer, code: &str) {
    match row.verb {
        Verb::Head => assert_eq!(answer.status, 403, "{}", row.name),
        _ => {
            answer.refused(403, code);
        }
    }
}

/// A signature of a form is in its fields.
fn is_form(row: &OpRow) -> bool {
    row.operation == Some(Operation::PostObject)
}

fn message(answer: &Answer) -> String {
    answer.element("Message").unwrap_or_default()
}

#[tokio::test]
async fn every_operation_by_everybody_who_may_not() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/key")).body("kept").send(&world).await.ok();
    put(Dialect::S3, &format!("/{BUCKET}/source")).body("kept").send(&world).await.ok();
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        for row in ops::rows(dialect) {
            // Nobody signs one; what it tells, `cors::preflights` says.
            if row.operation == Some(Operation::Preflight) {
                continue;
            }
            let plain = request_of(dialect, row).body("new");
            let send = |call: Call| {
                let world = &world;
                async move { call.send(world).await }
            };
            if !is_form(row) {
                let anonymous = send(plain.clone().signing(Signing::Nothing)).await;
                refused(row, &anonymous, "AccessDenied");
            }
            let wrong = send(plain.clone().key(KEY_ID, "wrong-secret-wrong-secret")).await;
            refused(row, &wrong, "SignatureDoesNotMatch");
            let unknown = send(plain.clone().key("AKIDunknown", "any-secret")).await;
            refused(row, &unknown, "InvalidAccessKeyId");
            let old = send(plain.clone().clock_offset(-100_000)).await;
            match dialect {
                Dialect::Cos => {
                    refused(row, &old, "AccessDenied");
                    if row.verb != Verb::Head {
                        assert_eq!(message(&old), "Request has expired");
                        assert!(old.element("ServerTime").is_some());
                    }
                }
                Dialect::S3 => {
                    refused(row, &old, "RequestTimeTooSkewed");
                    let presigned = plain.clone().signing(Signing::V4Query);
                    let old = send(presigned.clock_offset(-100_000)).await;
                    refused(row, &old, "AccessDenied");
                    if row.verb != Verb::Head {
                        assert_eq!(message(&old), "Request has expired");
                        assert!(old.element("ServerTime").is_some());
                    }
                }
            }
            assert!(old.header("Date").is_some(), "clients correct their clocks by it");
        }
    }
    assert_eq!(world.stored().await, stored);
}

/// Nobody learns what exists before he has said who he is.
#[tokio::test]
async fn strangers_cannot_tell_what_exists() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/key")).body("x").send(&world).await.ok();
    for dialect in Dialect::ALL {
        for signing in [Signing::Nothing, Signing::V4, Signing::CosHeader] {
            let mut bodies = Vec::new();
            for path in
                [format!("/{BUCKET}/key"), format!("/{BUCKET}/none"), "/no-1250000000/k".into()]
            {
                let call = put(dialect, &path).method("GET").signing(signing);
                let answer = call.key(KEY_ID, "not-the-secret").send(&world).await;
                assert_eq!(answer.status, 403);
                bodies.push((answer.code(), message(&answer)));
            }
            assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
        }
    }
}

#[tokio::test]
async fn an_owner_that_is_expected_must_be_the_owner() {
    let world = World::with_bucket().await;
    let list = |owner: &str| {
        let call = put(Dialect::S3, &format!("/{BUCKET}")).method("GET");
        call.header("x-amz-expected-bucket-owner", owner)
    };
    list(crate::world::UIN).send(&world).await.ok();
    list("100000000002").send(&world).await.refused(403, "AccessDenied");
    // In the other dialect the header means nothing.
    let cos = list("100000000002").signing(Signing::CosHeader);
    assert_eq!(cos.send(&world).await.status, 200);
}

/// The name of a COS bucket ends with its owner's APPID, and what stands before
/// it has rules of its own.
#[tokio::test]
async fn names_that_a_bucket_of_cos_cannot_have() {
    let world = World::new().await;
    let long = |length: usize| format!("{}-1250000000", "a".repeat(length));
    for (name, code) in [
        ("bucket-1250000001", "InvalidBucketName"),
        ("bucket", "InvalidBucketName"),
        ("a.b-1250000000", "InvalidBucketName"),
        ("ab--1250000000", "InvalidBucketName"),
        ("-ab-1250000000", "InvalidBucketName"),
        (&long(51), "BucketNameTooLong"),
        (&long(60), "BucketNameTooLong"),
    ] {
        put(Dialect::Cos, &format!("/{name}")).send(&world).await.refused(400, code);
    }
    put(Dialect::Cos, &format!("/{}", long(50))).send(&world).await.ok();
    put(Dialect::S3, "/bucket").send(&world).await.ok();
    put(Dialect::S3, "/a.b").send(&world).await.ok();
    put(Dialect::S3, &format!("/{}", long(60)))
        .send(&world)
        .await
        .refused(400, "InvalidBucketName");
}

#[tokio::test]
async fn more_buckets_than_cos_allows_by_default() {
    let world = World::new().await;
    for number in 0..=200 {
        put(Dialect::Cos, &format!("/b{number}-1250000000")).send(&world).await.ok();
    }
}
