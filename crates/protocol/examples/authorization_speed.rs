//! What authorizing a request costs: whole requests for one object, over a connection in
//! memory to a store in memory, by the root of an account in which nothing was said, and
//! by a user with a temporary key where 100 statements are in force. Whatever else is done
//! for them is the same, so the difference is what deciding costs.
//!
//! `cargo run --release -p costrel-protocol --example authorization_speed`

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use costrel_core::access::{BucketPolicy, PublicAccessBlock};
use costrel_core::account::{
    Accounts, FixedIdentity, KeyPair, SessionRequest, Uin, UserDetails, Whose,
};
use costrel_core::acl::{Acl, Grant, Grantee, ObjectAcl, Permission};
use costrel_core::bucket::Bucket;
use costrel_core::env::{Clock, Entropy};
use costrel_core::names::{BucketName, ObjectKey};
use costrel_core::secret::MasterKey;
use costrel_core::usage::InternalNetworks;
use costrel_core::{Store, StoreOptions};
use costrel_policy::Grammar;
use costrel_protocol::address::Domains;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::{
    BodyLimits, ConnectionInfo, Documents, FetchError, Gateway, GatewayOptions, NoObserver,
};
use costrel_signature::Payload;
use costrel_signature::sign::{Identity, Outgoing, v4_header};
use costrel_testkit::MemoryEngine;
use futures_util::future::BoxFuture;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const BUCKET: &str = "b-1250000000";
const HOST: &str = "s3.ap-guangzhou.amazonaws.com";
const KEY: &str = "folder/key";
const BODY: &[u8] = b"the end of an answer";
const NOW_S: i64 = 1_767_323_045;
/// Short enough for some of them to run without a break.
const REQUESTS: u32 = 100;
const ROUNDS: u32 = 300;

struct World;

impl Clock for World {
    fn now_ms(&self) -> u64 {
        NOW_S as u64 * 1000
    }
}

impl Entropy for World {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }
}

impl Documents for World {
    fn fetch<'a>(
        &'a self,
        _: &'a str,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async { Err(FetchError("there is no network".into())) })
    }
}

/// What a gateway is to be made of.
struct Case {
    store: Arc<Store>,
    accounts: Accounts,
}

const ROOT: (&str, &str) = ("AKIDroot", "root-secret");

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let quiet = Case::new().await;
    let root = quiet.root();
    let least = measure("the root, and nothing in force", quiet, root).await;

    let plain = Case::new().await;
    let user = plain.user().await;
    plain.may(user, &["s3:GetObject"]).await;
    let identity = plain.permanent(user).await;
    let one = measure("a user with one statement", plain, identity).await;

    let by_policy = Case::new().await;
    let identity = by_policy.with_statements("s3:GetObject").await.1;
    let decided = measure("100 statements, the last of his own decides", by_policy, identity).await;

    let by_acl = Case::new().await;
    let (user, identity) = by_acl.with_statements("s3:PutObject").await;
    by_acl.grant(user).await;
    let granted = measure("100 statements in vain, a grant decides", by_acl, identity).await;

    let more = |took: Duration| (took.as_secs_f64() - least.as_secs_f64()) * 1e6;
    println!(
        "more than the root's: {:.2}, {:.2}, {:.2} µs",
        more(one),
        more(decided),
        more(granted)
    );
}

fn document(statements: Vec<String>) -> Vec<u8> {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(",")).into_bytes()
}

fn key() -> ObjectKey {
    ObjectKey::new(KEY).expect("a key")
}

impl Case {
    async fn new() -> Case {
        let engine = Arc::new(MemoryEngine::with_inline_max(4096));
        let root_key = KeyPair::new(ROOT.0, ROOT.1).expect("a key");
        let fixed = FixedIdentity { root_key: Some(root_key), ..FixedIdentity::default() };
        let (master, world) = (MasterKey::new(&[7; 32]), Arc::new(World));
        let opened =
            Accounts::open(engine.clone(), master, world.clone(), world.clone(), fixed).await;
        let accounts = opened.expect("the account").0;
        let options = StoreOptions { region: "ap-guangzhou".into(), ..StoreOptions::default() };
        let (store, collector) = Store::new(engine, world.clone(), world, options);
        tokio::spawn(collector.run());
        let owner = accounts.account().uin.get();
        let name = BucketName::new(BUCKET).expect("a name");
        store.create_bucket(name, owner, None).await.expect("a bucket");
        Case { store, accounts }
    }

    fn root(&self) -> Identity {
        Identity::new(ROOT.0, ROOT.1)
    }

    async fn bucket(&self) -> Arc<Bucket> {
        self.store.bucket(BUCKET).await.expect("the bucket")
    }

    async fn user(&self) -> Uin {
        self.accounts.add_user("user", UserDetails::default()).await.expect("a user").uin
    }

    /// Gives a policy of a statement for each action.
    async fn may(&self, user: Uin, actions: &[&str]) {
        let statement = |action: &&str| {
            format!(
                r#"{{"Effect": "Allow", "Action": "{action}",
                    "Resource": ["arn:aws:s3:::other/*", "arn:aws:s3:::{BUCKET}/folder/*"]}}"#
            )
        };
        let document = document(actions.iter().map(statement).collect());
        let policy = (Grammar::Iam, &document[..]);
        self.accounts.put_inline_policy(user, "own", policy).await.expect("a policy");
    }

    async fn permanent(&self, user: Uin) -> Identity {
        let pair = self.accounts.create_key(user, "").await.expect("a key");
        Identity::new(pair.id(), pair.secret().expose())
    }

    /// 25 statements of the bucket's in each grammar, 40 of a user's own, the last of
    /// which is about this action, and 10 that limit his key. All public access is
    /// blocked.
    async fn with_statements(&self, last: &str) -> (Uin, Identity) {
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
                    "qcs::cos:ap-guangzhou:uid/1250000000:{BUCKET}/folder-{n}/*"}}"#
            )
        };
        let bucket = self.bucket().await;
        let cam = (0..25).map(folder).collect::<Vec<_>>().join(",");
        let cam = format!(r#"{{"version": "2.0", "statement": [{cam}]}}"#).into_bytes();
        let iam = document((0..25).map(away).collect());
        for (grammar, document) in [(Grammar::Cam, cam), (Grammar::Iam, iam)] {
            let policy = BucketPolicy::read(grammar, document.into()).expect("a policy");
            self.store.set_policy(&bucket, policy).await.expect("it is taken");
        }
        let block = PublicAccessBlock {
            public_acls: true,
            ignore_public_acls: true,
            public_policy: true,
            restrict_public_buckets: true,
        };
        self.store.set_public_access_block(&bucket, Some(block)).await.expect("it is taken");

        let user = self.user().await;
        let mut actions = vec!["s3:DeleteObject"; 39];
        actions.push(last);
        self.may(user, &actions).await;
        let permanent = self.permanent(user).await;
        let issuer = self.accounts.find(permanent.access_key_id(), None).await.expect("his key");
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
        let key = self.accounts.grant(&issuer, &request).expect("a temporary key");
        let identity = Identity::new(key.pair.id(), key.pair.secret().expose());
        (user, identity.with_token(key.token.expose()))
    }

    /// Gives the object as many grants as there may be, the last of them the user's.
    async fn grant(&self, user: Uin) {
        let account = self.accounts.account().uin.get();
        let grant =
            |uin| Grant { grantee: Grantee::User { account, uin }, permission: Permission::Read };
        let grants = (user.get() - 98..=user.get()).map(grant).collect();
        let acl = ObjectAcl::Own(Acl { grants }.with_owner(account));
        self.put().await;
        let bucket = self.bucket().await;
        self.store.set_object_acl(&bucket, &key(), None, &acl).await.expect("it is taken");
    }

    async fn put(&self) {
        let request = costrel_core::object::PutRequest {
            key: key(),
            attributes: Default::default(),
            conditions: Default::default(),
            checksums: Vec::new(),
            expected: Default::default(),
            size: Some(BODY.len() as u64),
        };
        let body = &mut costrel_core::body::BytesSource::new(Bytes::from_static(BODY));
        let bucket = self.bucket().await;
        self.store.put_object(&bucket, request, body).await.expect("a put");
    }

    fn connect(self) -> DuplexStream {
        let options = GatewayOptions {
            domains: Domains::new([("objects.example".to_owned(), None)]),
            default_dialect: Dialect::S3,
            body_limits: BodyLimits::default(),
            documents: Arc::new(World),
            internal_networks: InternalNetworks::default(),
        };
        let accounts = Arc::new(self.accounts);
        let gateway = Gateway::new(self.store, accounts, options, Arc::new(NoObserver));
        let (client, server) = tokio::io::duplex(64 << 10);
        let connection = ConnectionInfo { peer: "127.0.0.1:4711".parse().unwrap(), secure: false };
        let service = service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(gateway.handle(request, &connection).await) }
        });
        tokio::spawn(async move {
            let server = TokioIo::new(server);
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(server, service).await;
        });
        client
    }
}

/// The time of a request: the best of the rounds.
async fn measure(name: &str, case: Case, identity: Identity) -> Duration {
    let bucket = case.bucket().await;
    if case.store.stat_object(&bucket, &key(), None).await.is_err() {
        case.put().await;
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
    for (name, value) in v4_header(&identity, &outgoing, "ap-guangzhou", Payload::Unsigned, NOW_S) {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";

    let mut stream = case.connect();
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
