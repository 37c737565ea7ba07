//! Sub-users: what their policies say, what a bucket's policy says of them, and
//! nothing else.

use costrel_core::account::{KeyPair, SessionRequest, User, UserDetails, Whose};
use costrel_policy::Grammar;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, Operation};

use crate::client::{Call, delete, get, post, put};
use crate::policies::{cam, iam, is_denied, judged, set, with_objects};
use crate::world::{APPID, BUCKET, UIN, World};

pub struct Somebody {
    pub user: User,
    pair: KeyPair,
}

impl Somebody {
    pub async fn new(world: &World, name: &str) -> Somebody {
        let user = world.accounts.add_user(name, UserDetails::default()).await.unwrap();
        let pair = world.accounts.create_key(user.uin, "").await.unwrap();
        Somebody { user, pair }
    }

    /// Gives a further policy.
    pub async fn may(&self, world: &World, statements: &str) {
        let name = format!("p{}", world.accounts.managed_policies("", 0, 1).await.unwrap().0);
        let accounts = &world.accounts;
        let id = accounts
            .create_policy(&name, "", (Grammar::Cam, cam(statements).as_bytes()))
            .await
            .unwrap();
        accounts.attach_policy(self.user.uin, id).await.unwrap();
    }

    pub fn signs(&self, call: Call) -> Call {
        call.key(self.pair.id(), self.pair.secret().expose())
    }
}

pub fn all(effect: &str, actions: &str) -> String {
    format!(r#"{{"effect": "{effect}", {actions}, "resource": "*"}}"#)
}

/// Every operation × a user's policy × what it says of it.
#[tokio::test]
async fn every_operation_is_what_a_users_policy_says_it_is() {
    for dialect in Dialect::ALL {
        for row in ops::rows(dialect) {
            let Some(operation) = row.operation else { continue };
            // Nobody signs one.
            let is_open = operation == Operation::Preflight;
            // Judged by their bodies, below.
            if is_open || matches!(operation, Operation::DeleteObjects | Operation::PostObject) {
                continue;
            }
            let action = ops::action(operation, false).cam;
            let read = ops::action(Operation::GetObject, false).cam;
            let context = format!("{}: {action}", row.name);
            let world = with_objects().await;
            let nobody = Somebody::new(&world, "nobody").await;
            let answer = nobody.signs(judged(dialect, row)).send(&world).await;
            assert!(is_denied(row, &answer), "{context}: {}", answer.dump());

            let most = Somebody::new(&world, "most").await;
            most.may(&world, &all("allow", r#""action": "*""#)).await;
            most.may(&world, &all("deny", &format!(r#""action": ["{action}"]"#))).await;
            let answer = most.signs(judged(dialect, row)).send(&world).await;
            assert!(is_denied(row, &answer), "{context}: {}", answer.dump());

            // What is not there is for those to know who may list.
            let list = ops::action(Operation::ListObjects, false).cam;
            let some = Somebody::new(&world, "some").await;
            let actions = format!(r#""action": ["{action}", "{read}", "{list}"]"#);
            some.may(&world, &all("allow", &actions)).await;
            let answer = some.signs(judged(dialect, row)).send(&world).await;
            assert!(!is_denied(row, &answer), "{context}: {}", answer.dump());
        }
    }
}

#[tokio::test]
async fn bodies_that_name_objects_are_judged_object_by_object() {
    let list = "<Delete><Object><Key>key</Key></Object><Object><Key>source</Key></Object></Delete>";
    for dialect in Dialect::ALL {
        let world = with_objects().await;
        let some = Somebody::new(&world, "some").await;
        let call = post(dialect, &format!("/{BUCKET}")).query("delete", "").body(list);
        let call = some.signs(call);
        let answer = call.send(&world).await;
        assert_eq!(answer.elements("Code"), ["AccessDenied", "AccessDenied"], "{}", answer.text());
        let one = format!(
            r#"{{"effect": "allow", "action": "cos:DeleteObject",
                "resource": "qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}/key"}}"#
        );
        some.may(&world, &one).await;
        let answer = call.send(&world).await;
        assert_eq!(answer.elements("Code"), ["AccessDenied"], "{}", answer.text());
    }
}

/// A bucket's policy can let a user in, and keep one out who may do everything.
#[tokio::test]
async fn a_bucket_says_which_users_it_means() {
    let path = format!("/{BUCKET}/key");
    for grammar in Dialect::ALL {
        let world = with_objects().await;
        let (one, other) = (Somebody::new(&world, "one").await, Somebody::new(&world, "two").await);
        let third = Somebody::new(&world, "three").await;
        third.may(&world, &all("allow", r#""action": "*""#)).await;
        let names = |who: &Somebody| match grammar {
            Dialect::S3 => format!(r#"{{"AWS": "arn:aws:iam::{UIN}:user/{}"}}"#, who.user.name),
            Dialect::Cos => format!(r#"{{"qcs": ["qcs::cam::uin/{UIN}:uin/{}"]}}"#, who.user.uin),
        };
        let of = |effect: &str, who: String| match grammar {
            Dialect::S3 => format!(
                r#"{{"Effect": "{effect}", "Principal": {who}, "Action": "s3:GetObject",
                    "Resource": "arn:aws:s3:::{BUCKET}/*"}}"#
            ),
            Dialect::Cos => format!(
                r#"{{"effect": "{}", "principal": {who}, "action": "cos:GetObject",
                    "resource": "qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}/*"}}"#,
                effect.to_lowercase()
            ),
        };
        let document = |statements: String| match grammar {
            Dialect::S3 => iam(&statements),
            Dialect::Cos => cam(&statements),
        };
        let both = format!("{}, {}", of("Allow", names(&one)), of("Deny", names(&third)));
        set(&world, grammar, &document(both)).await;
        for dialect in Dialect::ALL {
            let read = get(dialect, &path);
            assert_eq!(one.signs(read.clone()).send(&world).await.status, 200, "{grammar:?}");
            other.signs(read.clone()).send(&world).await.refused(403, "AccessDenied");
            third.signs(read.clone()).send(&world).await.refused(403, "AccessDenied");
            one.signs(delete(dialect, &path)).send(&world).await.refused(403, "AccessDenied");
            assert_eq!(read.send(&world).await.status, 200);
        }
        // The account itself: in IAM what is allowed to it is its root's to pass on,
        // and what is denied to it is denied to all of it; in CAM it is its root.
        let (account, passes_on, denies) = match grammar {
            Dialect::S3 => (format!(r#"{{"AWS": "{UIN}"}}"#), 403, 403),
            Dialect::Cos => (format!(r#"{{"qcs": ["qcs::cam::uin/{UIN}:uin/{UIN}"]}}"#), 403, 200),
        };
        let read = get(grammar, &path);
        set(&world, grammar, &document(of("Allow", account.clone()))).await;
        assert_eq!(one.signs(read.clone()).send(&world).await.status, passes_on, "{grammar:?}");
        set(&world, grammar, &document(of("Deny", account))).await;
        assert_eq!(third.signs(read.clone()).send(&world).await.status, denies, "{grammar:?}");
    }
    // CAM has a name for all of an account.
    let world = with_objects().await;
    let one = Somebody::new(&world, "one").await;
    let everybody = cam(&format!(
        r#"{{"effect": "allow", "principal": {{"qcs": ["qcs::cam::uin/{UIN}:uin/*"]}},
            "action": "cos:GetObject", "resource": "qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}/*"}}"#
    ));
    set(&world, Dialect::Cos, &everybody).await;
    assert_eq!(one.signs(get(Dialect::Cos, &path)).send(&world).await.status, 200);
}

#[tokio::test]
async fn a_users_temporary_key_goes_as_far_as_both_policies() {
    let world = with_objects().await;
    let some = Somebody::new(&world, "some").await;
    some.may(&world, &all("allow", r#""action": ["cos:GetObject", "cos:HeadObject"]"#)).await;
    let key = world.accounts.find(some.pair.id(), None).await.unwrap();
    let policy = cam(&all("allow", r#""action": ["cos:GetObject", "cos:DeleteObject"]"#));
    let policy = (Grammar::Cam, policy.as_bytes());
    let request = SessionRequest {
        name: "browser",
        duration_s: 129_600,
        policy: Some(policy),
        whose: Whose::Federated,
    };
    let temporary = world.accounts.grant(&key, &request).unwrap();
    let path = format!("/{BUCKET}/key");
    for dialect in Dialect::ALL {
        let status = async |call: Call| call.temporary(&temporary).send(&world).await.status;
        assert_eq!(status(get(dialect, &path)).await, 200);
        assert_eq!(status(delete(dialect, &path)).await, 403);
        assert_eq!(status(get(dialect, &path).method("HEAD")).await, 403);
    }
    // What the user loses, the key loses, and with his key it ends.
    for (id, _) in world.accounts.user(some.user.uin).await.unwrap().attached {
        world.accounts.detach_policy(some.user.uin, id).await.unwrap();
    }
    let read = get(Dialect::S3, &path).temporary(&temporary);
    read.send(&world).await.refused(403, "AccessDenied");
    world.accounts.enable_key(some.user.uin, some.pair.id(), false).await.unwrap();
    read.send(&world).await.refused(400, "InvalidToken");
    some.signs(get(Dialect::S3, &path)).send(&world).await.refused(403, "InvalidAccessKeyId");
}

/// Whoever may make buckets may have to say that nothing in them has an ACL.
#[tokio::test]
async fn new_buckets_may_have_to_be_without_acls() {
    let world = World::new().await;
    let some = Somebody::new(&world, "some").await;
    let makes =
        iam(r#"{"Effect": "Allow", "Action": ["s3:CreateBucket", "s3:PutBucketOwnershipControls"],
            "Resource": "*", "Condition":
            {"StringEquals": {"s3:x-amz-object-ownership": "BucketOwnerEnforced"}}}"#);
    let policy = (Grammar::Iam, makes.as_bytes());
    world.accounts.put_inline_policy(some.user.uin, "makes", policy).await.unwrap();
    let path = format!("/made-{APPID}");
    let with = |ownership: &str| {
        some.signs(put(Dialect::S3, &path).header("x-amz-object-ownership", ownership))
    };
    some.signs(put(Dialect::S3, &path)).send(&world).await.refused(403, "AccessDenied");
    some.signs(put(Dialect::Cos, &path)).send(&world).await.refused(403, "AccessDenied");
    with("ObjectWriter").send(&world).await.refused(403, "AccessDenied");
    with("BucketOwnerEnforced").send(&world).await.ok();
    // Of a bucket that is there its body says it, and a header says nothing.
    let root = "OwnershipControls";
    let body =
        format!("<{root}><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></{root}>");
    let changes = with("BucketOwnerEnforced").query("ownershipControls", "").body(body);
    changes.send(&world).await.refused(403, "AccessDenied");
}

/// What users make belongs to the account.
#[tokio::test]
async fn a_bucket_that_a_user_makes_is_the_accounts() {
    let world = World::new().await;
    let some = Somebody::new(&world, "some").await;
    let name = format!("/made-{APPID}");
    some.signs(put(Dialect::Cos, &name)).send(&world).await.refused(403, "AccessDenied");
    let makes = format!(
        r#"{{"effect": "allow", "action": "cos:PutBucket",
            "resource": "qcs::cos:ap-guangzhou:uid/{APPID}:made-{APPID}/*"}}"#
    );
    some.may(&world, &makes).await;
    let elsewhere = put(Dialect::Cos, &name).host("cos.ap-beijing.myqcloud.com");
    some.signs(elsewhere).send(&world).await.refused(403, "AccessDenied");
    assert_eq!(some.signs(put(Dialect::Cos, &name)).send(&world).await.status, 200);
    let listed = get(Dialect::S3, "/").send(&world).await;
    assert_eq!(listed.elements("Name"), [&name[1..]]);
    some.signs(get(Dialect::Cos, &name)).send(&world).await.refused(403, "AccessDenied");
}
