//! Policies of buckets and what they block: kept, remembered and gone with their
//! bucket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use costrel_core::Error;
use costrel_core::access::{BucketPolicy, PublicAccessBlock};
use costrel_core::bucket::Bucket;
use costrel_policy::Grammar;
use costrel_testkit::SharedMemory;

use crate::common::World;

/// A policy that lets everybody do something, in a grammar.
fn open(grammar: Grammar, sid: &str) -> BucketPolicy {
    let text = match grammar {
        Grammar::Iam => format!(
            r#"{{"Statement": {{"Sid": "{sid}", "Effect": "Allow", "Principal": "*",
                "Action": "s3:GetObject", "Resource": "*"}}}}"#
        ),
        Grammar::Cam => format!(
            r#"{{"statement": [{{"sid": "{sid}", "effect": "allow", "principal": "*",
                "action": "cos:GetObject", "resource": "*"}}]}}"#
        ),
    };
    BucketPolicy::read(grammar, text.into()).unwrap()
}

async fn text(world: &World, bucket: &Bucket, grammar: Grammar) -> Option<Bytes> {
    match world.store.policy_document(bucket, grammar).await {
        Ok(text) => Some(text),
        Err(Error::NoPolicy) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn count(world: &World, bucket: &Bucket) -> usize {
    world.store.policies(bucket).await.unwrap().len()
}

async fn policies_are_kept_and_forgotten(world: &mut World) {
    let bucket = world.bucket("bucket").await;
    assert_eq!(count(world, &bucket).await, 0);
    assert!(bucket.settings().access.is_none());
    for grammar in [Grammar::Cam, Grammar::Iam] {
        world.store.set_policy(&bucket, open(grammar, "first")).await.unwrap();
        world.store.set_policy(&bucket, open(grammar, "second")).await.unwrap();
        let kept = text(world, &bucket, grammar).await.unwrap();
        assert!(kept.windows(6).any(|piece| piece == b"second"));
    }
    assert_eq!(count(world, &bucket).await, 2);
    world.settle().await;

    world.restart();
    let bucket = world.store.bucket("bucket").await.unwrap();
    assert_eq!(count(world, &bucket).await, 2);
    world.store.delete_policy(&bucket, Grammar::Cam).await.unwrap();
    assert_eq!(text(world, &bucket, Grammar::Cam).await, None);
    let policies = world.store.policies(&bucket).await.unwrap();
    assert_eq!(policies.iter().map(|one| one.grammar).collect::<Vec<_>>(), [Grammar::Iam]);
    world.store.delete_policy(&bucket, Grammar::Iam).await.unwrap();
    assert!(bucket.settings().access.is_none(), "nothing is said any more");
    assert_eq!(count(world, &bucket).await, 0);

    world.store.set_policy(&bucket, open(Grammar::Cam, "third")).await.unwrap();
    world.store.delete_bucket(&bucket).await.unwrap();
    let bucket = world.bucket("bucket").await;
    assert_eq!(text(world, &bucket, Grammar::Cam).await, None);
    world.settle().await;
}

async fn public_policies_are_blocked(world: &World) {
    let bucket = world.bucket("bucket").await;
    assert_eq!(bucket.public_access_block(), None);
    let block = PublicAccessBlock { public_policy: true, ..Default::default() };
    world.store.set_public_access_block(&bucket, Some(block)).await.unwrap();
    assert_eq!(bucket.public_access_block(), Some(block));
    for grammar in [Grammar::Cam, Grammar::Iam] {
        let refused = world.store.set_policy(&bucket, open(grammar, "open")).await;
        assert!(matches!(refused, Err(Error::PublicPolicyBlocked)));
        assert_eq!(text(world, &bucket, grammar).await, None);
    }
    world.store.set_public_access_block(&bucket, None).await.unwrap();
    assert!(bucket.settings().access.is_none());
    world.store.set_policy(&bucket, open(Grammar::Iam, "open")).await.unwrap();
    world.settle().await;
}

#[tokio::test]
async fn in_memory() {
    policies_are_kept_and_forgotten(&mut World::memory()).await;
    public_policies_are_blocked(&World::memory()).await;
}

#[tokio::test]
async fn on_disk() {
    policies_are_kept_and_forgotten(&mut World::embedded()).await;
    public_policies_are_blocked(&World::embedded()).await;
}

/// What one gateway answers, the others obey.
#[tokio::test]
async fn other_processes_obey_at_once() {
    let hour = Duration::from_secs(3600);
    let engine = SharedMemory::new(hour, hour);
    let other = engine.another();
    let one = World::over(Arc::new(engine));
    let two = one.beside(Arc::new(other));
    let first = one.bucket("shared").await;
    let seen = async || {
        let bucket = two.store.bucket("shared").await.unwrap();
        two.store.policies(&bucket).await.unwrap()
    };
    assert_eq!(seen().await.len(), 0);
    one.store.set_policy(&first, open(Grammar::Iam, "one")).await.unwrap();
    let open_to_all = seen().await;
    assert_eq!(open_to_all.len(), 1);
    let closed =
        r#"{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}}"#;
    let closed = BucketPolicy::read(Grammar::Iam, closed.into()).unwrap();
    one.store.set_policy(&first, closed).await.unwrap();
    assert_ne!(seen().await[..], open_to_all[..]);
    one.store.delete_policy(&first, Grammar::Iam).await.unwrap();
    assert_eq!(seen().await.len(), 0);
}

/// A policy that cannot be read must not be taken for none.
#[test]
fn what_is_no_policy_is_not_kept() {
    for bad in ["", "{}", "[]", r#"{"Statement": []}"#] {
        let read = BucketPolicy::read(Grammar::Iam, bad.into());
        assert!(matches!(read, Err(Error::InvalidPolicy(_))), "{bad}");
    }
}
