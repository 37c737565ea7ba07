//! Every operation, perhaps on a version × whoever may ask × what ACLs, the bucket's
//! policies, those of the bucket that a copy is from, his own, his permissions boundary, his
//! session's policy, the public access block and the ownership controls say, drawn at random:
//! what the gateway does has to be what a slow reference says, which is told what
//! is said and not how it is written. What is refused must have changed nothing.
//! `IDENTITIES_SEED` repeats a run.

mod reference;
mod said;

use std::collections::BTreeMap;
use std::time::Duration;

use costrel_core::account::{PolicyHolder, SessionRequest, SessionTags, UserDetails, Whose};
use costrel_policy::{Action, Grammar};
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, OpRow, Operation};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::{Answer, Call, Signing, put};
use crate::forms::Form;
use crate::policies::{is_denied, judged, with_objects};
use crate::world::{BUCKET, KEY_ID, SECRET, UIN, World};
use reference::Case;
use said::{Document, Said};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Nobody,
    /// By a key that there is not.
    Unknown,
    /// By a temporary key that is over.
    Expired,
    Root,
    RootSession,
    /// His policy is his own, or of his group.
    User,
    Member,
    BoundedUser,
    UserSession,
    Role,
    BoundedRole,
    /// Whoever has it on asked for less than it may.
    RoleSession,
    /// The same by a token of an identity provider, without a key of his own before.
    Bearer,
}

impl Kind {
    const ALL: [Kind; 13] = [
        Kind::Nobody,
        Kind::Unknown,
        Kind::Expired,
        Kind::Root,
        Kind::RootSession,
        Kind::User,
        Kind::Member,
        Kind::BoundedUser,
        Kind::UserSession,
        Kind::Role,
        Kind::BoundedRole,
        Kind::RoleSession,
        Kind::Bearer,
    ];

    fn has_session(self) -> bool {
        matches!(self, Kind::RootSession | Kind::UserSession | Kind::RoleSession | Kind::Bearer)
    }

    fn is_the_user(self) -> bool {
        matches!(self, Kind::User | Kind::Member | Kind::BoundedUser | Kind::UserSession)
    }

    fn is_role(self) -> bool {
        matches!(self, Kind::Role | Kind::BoundedRole | Kind::RoleSession | Kind::Bearer)
    }

    fn has_policies(self) -> bool {
        self.is_the_user() || self.is_role()
    }

    fn has_boundary(self) -> bool {
        matches!(self, Kind::BoundedUser | Kind::BoundedRole)
    }
}

/// Where copies are from.
const SOURCE: &str = "source-1250000000";

/// What is asked for: an operation, perhaps on a version.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub operation: Operation,
    pub versioned: bool,
}

impl Asked {
    fn action(self) -> Action {
        ops::action(self.operation, self.versioned)
    }
}

/// Whether an operation may be asked for on a version, which may be something else.
fn has_versions(operation: Operation) -> bool {
    use Operation::*;
    matches!(
        operation,
        GetObject
            | HeadObject
            | DeleteObject
            | GetObjectAcl
            | PutObjectAcl
            | GetObjectTagging
            | PutObjectTagging
            | DeleteObjectTagging
    )
}

/// A key, with its token if it is temporary.
struct Signer {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Signer {
    fn new(id: &str, secret: &str) -> Signer {
        Signer { id: id.to_owned(), secret: secret.to_owned(), token: None }
    }

    fn signs(&self, call: Call) -> Call {
        let mut call = call.key(&self.id, &self.secret);
        call.token = self.token.clone();
        call
    }
}

fn grammar_of(document: &Document) -> Grammar {
    match document.grammar {
        Dialect::Cos => Grammar::Cam,
        Dialect::S3 => Grammar::Iam,
    }
}

/// Objects in the bucket, and one in another that copies are from.
async fn with_source() -> World {
    let world = with_objects().await;
    world.make_bucket(SOURCE).await;
    put(Dialect::S3, &format!("/{SOURCE}/source")).body("kept").send(&world).await.ok();
    world
}

/// A world in which all of this is said, and the number of its user.
async fn world_of(said: &Said, asked: Asked) -> (World, u64) {
    let world = with_source().await;
    let user = world.accounts.add_user("asker", UserDetails::default()).await.unwrap();
    let uin = user.uin.get();
    let lists = [
        (format!("/{BUCKET}"), said.bucket_acl),
        (format!("/{BUCKET}/key"), said.object_acl),
        (format!("/{SOURCE}/source"), said.source_acl),
    ];
    for (path, acl) in lists {
        let call = put(Dialect::S3, &path).query("acl", "").header("x-amz-acl", acl);
        call.send(&world).await.ok();
    }
    let root = "PublicAccessBlockConfiguration";
    let block = format!(
        "<{root}><IgnorePublicAcls>{}</IgnorePublicAcls>\
         <RestrictPublicBuckets>{}</RestrictPublicBuckets></{root}>",
        said.ignores_public_acls, said.restricts_public_policies
    );
    let call = put(Dialect::S3, &format!("/{BUCKET}")).query("publicAccessBlock", "");
    call.body(block).send(&world).await.ok();
    if said.owner_owns {
        let root = "OwnershipControls";
        let rule = "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>";
        let call = put(Dialect::S3, &format!("/{BUCKET}")).query("ownershipControls", "");
        call.body(format!("<{root}>{rule}</{root}>")).send(&world).await.ok();
    }
    // A bucket's policy speaks of what is done to buckets that are there.
    if !matches!(asked.operation, Operation::ListBuckets | Operation::CreateBucket) {
        let of_source = said.of_source.iter().map(|document| (SOURCE, document));
        let of_bucket = said.of_bucket.iter().map(|document| (BUCKET, document));
        for (bucket, document) in of_bucket.chain(of_source) {
            let text = document.of_bucket(asked.action(), uin, bucket);
            let call = put(document.grammar, &format!("/{bucket}")).query("policy", "").body(text);
            call.send(&world).await.ok();
        }
    }
    (world, uin)
}

/// Makes whoever asks. Nobody has no key.
async fn signer(world: &World, kind: Kind, said: &Said, asked: Asked) -> Option<Signer> {
    let accounts = &world.accounts;
    let action = asked.action();
    let written = |document: &Document| (grammar_of(document), document.of_holder(action));
    let root = accounts.find(KEY_ID, None).await.unwrap();
    let session = written(&said.session);
    let session = (session.0, session.1.as_bytes());
    let ask = |policy, whose| SessionRequest { name: "asker", duration_s: 900, policy, whose };
    let user = accounts.user_named("asker").await.unwrap().uin;

    let holder: Option<PolicyHolder> = match kind {
        Kind::Member => {
            let group = accounts.create_group("group", "").await.unwrap().id;
            accounts.add_to_group(user, group).await.unwrap();
            Some(PolicyHolder::Group(group))
        }
        _ if kind.is_the_user() => Some(PolicyHolder::User(user)),
        _ if kind.is_role() => {
            let trust = format!(
                r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow",
                    "Principal": {{"AWS": "{UIN}"}}, "Action": "sts:AssumeRole"}}}}"#
            );
            let trust = (Grammar::Iam, trust.as_bytes());
            let role = accounts.create_role("role", trust, 3600, "").await.unwrap();
            Some(PolicyHolder::Role(role.id))
        }
        _ => None,
    };
    if let (Some(holder), Some(own)) = (holder, &said.own) {
        let (grammar, text) = written(own);
        accounts.put_inline_policy(holder, "own", (grammar, text.as_bytes())).await.unwrap();
    }
    if let Some(holder) = holder.filter(|_| kind.has_boundary()) {
        let (grammar, text) = written(&said.boundary);
        let id = accounts.create_policy("limit", "", (grammar, text.as_bytes())).await.unwrap();
        accounts.set_boundary(holder, Some(id)).await.unwrap();
    }

    let temporary = match kind {
        Kind::Nobody => return None,
        Kind::Unknown => return Some(Signer::new("AKIDnobody", SECRET)),
        Kind::Root => return Some(Signer::new(KEY_ID, SECRET)),
        Kind::User | Kind::Member | Kind::BoundedUser => {
            let pair = accounts.create_key(user, "").await.unwrap();
            return Some(Signer::new(pair.id(), pair.secret().expose()));
        }
        Kind::Expired => {
            let own = SessionRequest { name: "", ..ask(None, Whose::Own) };
            let key = accounts.grant(&root, &own).unwrap();
            world.pass(Duration::from_secs(901));
            key
        }
        Kind::RootSession => accounts.grant(&root, &ask(Some(session), Whose::Federated)).unwrap(),
        Kind::UserSession => {
            let pair = accounts.create_key(user, "").await.unwrap();
            let key = accounts.find(pair.id(), None).await.unwrap();
            accounts.grant(&key, &ask(Some(session), Whose::Federated)).unwrap()
        }
        Kind::Bearer => {
            let role = accounts.role_named("role").await.unwrap();
            let request = ask(Some(session), Whose::Role(&role));
            accounts.grant_to_bearer(&role, &request, &SessionTags::default()).unwrap()
        }
        Kind::Role | Kind::BoundedRole | Kind::RoleSession => {
            let role = accounts.role_named("role").await.unwrap();
            let policy = kind.has_session().then_some(session);
            accounts.grant(&root, &ask(policy, Whose::Role(&role))).unwrap()
        }
    };
    let mut signer = Signer::new(temporary.pair.id(), temporary.pair.secret().expose());
    signer.token = Some(temporary.token.expose().to_owned());
    Some(signer)
}

/// Sends the row's request, and tells whether it was turned away.
async fn is_refused(
    world: &World,
    dialect: Dialect,
    (row, asked): (&OpRow, Asked),
    signer: Option<&Signer>,
) -> (bool, Answer) {
    let answer = match row.operation {
        Some(Operation::PostObject) => {
            let form = Form::new(dialect);
            let form = match signer {
                Some(Signer { id, secret, token }) => form.by(id, secret, token.as_deref()),
                None => form.unsigned(),
            };
            form.send(world).await
        }
        _ => {
            let call = match row.operation {
                Some(Operation::DeleteObjects) => {
                    judged(dialect, row).body("<Delete><Object><Key>key</Key></Object></Delete>")
                }
                Some(Operation::CopyObject | Operation::UploadPartCopy) => {
                    let mut call = judged(dialect, row);
                    for (_, value) in &mut call.headers {
                        *value = value.replace(BUCKET, SOURCE);
                    }
                    call
                }
                _ => judged(dialect, row),
            };
            let call = if asked.versioned { call.query("versionId", "null") } else { call };
            let call = match signer {
                Some(signer) => signer.signs(call),
                None => call.signing(Signing::Nothing),
            };
            call.send(world).await
        }
    };
    let by_key = row.operation == Some(Operation::DeleteObjects)
        && answer.status == 200
        && answer.elements("Code") == ["AccessDenied"];
    (by_key || is_denied(row, &answer), answer)
}

/// How often each kind was let in and kept out.
type Counts = BTreeMap<Kind, [usize; 2]>;

async fn every_operation(dialect: Dialect) {
    let seed = std::env::var("IDENTITIES_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut counts = Counts::new();
    for row in ops::rows(dialect) {
        let Some(asked) = row.operation else { continue };
        // Anybody may ask what may be asked.
        if asked == Operation::Preflight {
            continue;
        }
        let root = Signer::new(KEY_ID, SECRET);
        for kind in Kind::ALL {
            let versioned = has_versions(asked) && rng.random_bool(0.3);
            let asked = Asked { operation: asked, versioned };
            let row = (row, asked);
            let (_, answer) = is_refused(&with_source().await, dialect, row, Some(&root)).await;
            let is_missing = answer.status == 404;
            let said = Said::draw(&mut rng);
            let (world, uin) = world_of(&said, asked).await;
            let signer = signer(&world, kind, &said, asked).await;
            let stored = world.stored().await;
            let (refused, answer) = is_refused(&world, dialect, row, signer.as_ref()).await;
            let context = || {
                let action = asked.action();
                let texts = said.of_bucket.iter().map(|one| one.of_bucket(action, uin, BUCKET));
                let texts = texts.collect::<Vec<_>>().join("\n");
                format!(
                    "seed {seed}: {kind:?} {dialect:?} {} {asked:?}: {}\n{said:#?}\n{texts}",
                    row.0.name,
                    answer.dump()
                )
            };
            if matches!(kind, Kind::Unknown | Kind::Expired) {
                assert!(matches!(answer.status, 400 | 403), "{}", context());
                assert_eq!(world.stored().await, stored, "{}", context());
                continue;
            }
            let case = Case { kind, said: &said, asked };
            let allowed = case.is_allowed();
            // Of what is not there, only those learn who may list.
            let hidden = allowed && refused && is_missing && !case.may_list();
            assert!(hidden || refused != allowed, "{}", context());
            if refused {
                assert_eq!(world.stored().await, stored, "{}", context());
            }
            counts.entry(kind).or_default()[usize::from(refused)] += 1;
        }
    }
    // A table in which somebody is never let in, or never kept out, would show nothing. Only
    // one kind of denial holds for the root, so that it may not have been drawn.
    for (kind, [let_in, kept_out]) in &counts {
        assert!(*let_in > 0 && (*kept_out > 0 || *kind == Kind::Root), "{counts:?}: {kind:?}");
    }
}

#[tokio::test]
async fn every_operation_of_cos_by_everybody() {
    every_operation(Dialect::Cos).await;
}

#[tokio::test]
async fn every_operation_of_s3_by_everybody() {
    every_operation(Dialect::S3).await;
}
