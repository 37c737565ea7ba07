//! What authorizing a request costs: whole requests for one object, over a connection in
//! memory to a store in memory, by the root of an account in which nothing was said, and
//! by a user with a temporary key where 100 statements are in force. Whatever else is done
//! for them is the same, so the difference is what deciding costs.
//!
//! `cargo run --release -p costrel-protocol --example authorization_speed`

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::access::{BucketPolicy, PublicAccessBlock};
use costrel_core::account::{SessionRequest, Uin, UserDetails, Whose};
use costrel_core::acl::{Acl, Grant, Grantee, ObjectAcl, Permission};
use costrel_core::bucket::Bucket;
use costrel_core::names::ObjectKey;
use costrel_policy::Grammar;
use costrel_signature::Payload;
use costrel_signature::sign::{Identity, Outgoing, v4_header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use world::{APPID, BUCKET, KEY_ID, REGION, SECRET, World};

// The world of the tests, of which this program needs a part.
#[allow(dead_code)]
#[path = "../tests/protocol/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../tests/protocol/world.rs"]
mod world;

const HOST: &str = "s3.ap-guangzhou.amazonaws.com";
const KEY: &str = "folder/key";
const BODY: &[u8] = b"the end of an answer";
/// Short enough for some of them to run without a break.
const REQUESTS: u32 = 100;
const ROUNDS: u32 = 300;
/// As many as there may be beside the owner's.
const GRANTS_MAX: u64 = 99;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let quiet = World::with_bucket().await;
    let root = Identity::new(KEY_ID, SECRET);
    let least = measure("the root, and nothing in force", &quiet, root).await;

    let plain = World::with_bucket().await;
    let user = add_user(&plain).await;
    allow(&plain, user, &["s3:GetObject"]).await;
    let identity = permanent(&plain, user).await;
    let one = measure("a user with one statement", &plain, identity).await;

    let by_policy = World::with_bucket().await;
    let identity = with_statements(&by_policy, "s3:GetObject").await.1;
    let name = "100 statements, the last of his own decides";
    let decided = measure(name, &by_policy, identity).await;

    println!("more than the root's: {:.2}, {:.2} µs", more(one, least), more(decided, least));

    // An ACL makes the object's row longer for whoever reads it.
    for grants in [1, GRANTS_MAX] {
        let quiet = World::with_bucket().await;
        let user = add_user(&quiet).await;
        grant(&quiet, user, grants).await;
        let root = Identity::new(KEY_ID, SECRET);
        let name = format!("the root, an object with {grants} grants");
        let least = measure(&name, &quiet, root).await;

        let by_acl = World::with_bucket().await;
        let (user, identity) = with_statements(&by_acl, "s3:PutObject").await;
        grant(&by_acl, user, grants).await;
        let name = format!("100 statements in vain, the last of {grants} decides");
        let granted = measure(&name, &by_acl, identity).await;
        println!("more than the root's: {:.2} µs", more(granted, least));
    }
}

fn more(took: Duration, least: Duration) -> f64 {
    (took.as_secs_f64() - least.as_secs_f64()) * 1e6
}

fn document(statements: Vec<String>) -> Vec<u8> {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(",")).into_bytes()
}

fn key() -> ObjectKey {
    ObjectKey::new(KEY).expect("a key")
}

async fn bucket(world: &World) -> Arc<Bucket> {
    world.store.bucket(BUCKET).await.expect("the bucket")
}

async fn add_user(world: &World) -> Uin {
    world.accounts.add_user("user", UserDetails::default()).await.expect("a user").uin
}

/// Gives a policy of a statement for each action.
async fn allow(world: &World, user: Uin, actions: &[&str]) {
    let statement = |action: &&str| {
        format!(
            r#"{{"Effect": "Allow", "Action": "{action}",
                "Resource": ["arn:aws:s3:::other/*", "arn:aws:s3:::{BUCKET}/folder/*"]}}"#
        )
    };
    let document = document(actions.iter().map(statement).collect());
    let policy = (Grammar::Iam, &document[..]);
    world.accounts.put_inline_policy(user, "own", policy).await.expect("a policy");
}

async fn permanent(world: &World, user: Uin) -> Identity {
    let pair = world.accounts.create_key(user, "").await.expect("a key");
    Identity::new(pair.id(), pair.secret().expose())
}

/// 25 statements of the bucket's in each grammar, 40 of a user's own, the last of
/// which is about this action, and 10 that limit his key. All public access is
/// blocked.
async fn with_statements(world: &World, last: &str) -> (Uin, Identity) {
    let away = |n: usize| {
        format!(
            r#"{{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": ["arn:aws:s3:::{BUCKET}", "arn:aws:s3:::{BUCKET}/*"],
                "Condition": {{"IpAddress": {{"aws:SourceIp": "192.168.{n}.0/24"}}}}}}"#
        )
    };
    let folder = |n: usize| {
        format!(
            r#"{{"effect": "allow", "principal": {{"qcs": "qcs::cam::anyone:anyone"}},
                "action": "name/cos:Get*", "resource":
                "qcs::cos:{REGION}:uid/{APPID}:{BUCKET}/folder-{n}/*"}}"#
        )
    };
    let bucket = bucket(world).await;
    let cam = (0..25).map(folder).collect::<Vec<_>>().join(",");
    let cam = format!(r#"{{"version": "2.0", "statement": [{cam}]}}"#).into_bytes();
    let iam = document((0..25).map(away).collect());
    for (grammar, document) in [(Grammar::Cam, cam), (Grammar::Iam, iam)] {
        let policy = BucketPolicy::read(grammar, document.into()).expect("a policy");
        world.store.set_policy(&bucket, policy).await.expect("it is taken");
    }
    let block = PublicAccessBlock {
        public_acls: true,
        ignore_public_acls: true,
        public_policy: true,
        restrict_public_buckets: true,
    };
    world.store.set_public_access_block(&bucket, Some(block)).await.expect("it is taken");

    let user = add_user(world).await;
    let mut actions = vec!["s3:DeleteObject"; 39];
    actions.push(last);
    allow(world, user, &actions).await;
    let permanent = permanent(world, user).await;
    let issuer = world.accounts.find(permanent.access_key_id(), None).await.expect("his key");
    let limit = |n: usize| {
        let action = if n == 9 { "s3:Get*" } else { "s3:List*" };
        format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "arn:aws:s3:::*"}}"#)
    };
    let limits = document((0..10).map(limit).collect());
    let request = SessionRequest {
        name: "somebody",
        duration_s: 3600,
        policy: Some((Grammar::Iam, &limits)),
        whose: Whose::Federated,
    };
    let key = world.accounts.grant(&issuer, &request).expect("a temporary key");
    let identity = Identity::new(key.pair.id(), key.pair.secret().expose());
    (user, identity.with_token(key.token.expose()))
}

/// Gives the object so many grants, the last of them the user's.
async fn grant(world: &World, user: Uin, grants: u64) {
    let account = world.accounts.account().uin.get();
    let grant =
        |uin| Grant { grantee: Grantee::User { account, uin }, permission: Permission::Read };
    let grants = (user.get() - (grants - 1)..=user.get()).map(grant).collect();
    let acl = ObjectAcl::Own(Acl { grants }.with_owner(account));
    put(world).await;
    let bucket = bucket(world).await;
    world.store.set_object_acl(&bucket, &key(), None, &acl).await.expect("it is taken");
}

async fn put(world: &World) {
    let request = costrel_core::object::PutRequest {
        key: key(),
        attributes: Default::default(),
        conditions: Default::default(),
        checksums: Vec::new(),
        expected: Default::default(),
        size: Some(BODY.len() as u64),
    };
    let body = &mut costrel_core::body::BytesSource::new(Bytes::from_static(BODY));
    let bucket = bucket(world).await;
    world.store.put_object(&bucket, request, body).await.expect("a put");
}

/// The time of a request: the best of the rounds.
async fn measure(name: &str, world: &World, identity: Identity) -> Duration {
    if world.store.stat_object(&*bucket(world).await, &key(), None).await.is_err() {
        put(world).await;
    }
    let path = format!("/{BUCKET}/{KEY}");
    let outgoing = Outgoing {
        method: "GET",
        host: HOST,
        bucket_in_host: None,
        path: &path,
        query: &[],
        headers: &[],
    };
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n");
    for (name, value) in v4_header(&identity, &outgoing, REGION, Payload::Unsigned, world.now()) {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";

    let mut stream = world.connect();
    let mut buffer = vec![0; 64 << 10];
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..REQUESTS {
            stream.write_all(request.as_bytes()).await.expect("a connection");
            let mut read = 0;
            while !buffer[..read].ends_with(BODY) {
                read += stream.read(&mut buffer[read..]).await.expect("a connection");
                let answer = String::from_utf8_lossy(&buffer[..read.min(400)]);
                assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            }
        }
        best = best.min(begun.elapsed() / REQUESTS);
    }
    println!("{name:44} {:6.2} µs", best.as_secs_f64() * 1e6);
    best
}
