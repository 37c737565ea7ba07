//! Temporary keys: what their policies say and nothing else, in every form of a
//! signature, until they expire.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use costrel_core::account::TemporaryKey;
use costrel_policy::Grammar;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, Operation};

use crate::client::{Answer, Call, Signing, delete, get, head, post, put};
use crate::policies::{cam, iam, is_denied, judged, set, with_objects};
use crate::world::{APPID, BUCKET, KEY_ID, SECRET, World};

/// A policy about everything, in a grammar.
fn document(grammar: Grammar, effect: &str, actions: &str) -> String {
    match grammar {
        Grammar::Iam => iam(&format!(r#"{{"Effect": "{effect}", {actions}, "Resource": "*"}}"#)),
        Grammar::Cam => {
            let actions = actions.replace("\"Action", "\"action");
            let effect = effect.to_lowercase();
            cam(&format!(r#"{{"effect": "{effect}", {actions}, "resource": "*"}}"#))
        }
    }
}

async fn all(world: &World) -> TemporaryKey {
    let policy = document(Grammar::Cam, "Allow", r#""Action": "*""#);
    world.temporary(Grammar::Cam, &policy).await
}

/// Every operation × a policy in either grammar × what it says of it.
#[tokio::test]
async fn every_operation_is_what_a_session_policy_says_it_is() {
    for dialect in Dialect::ALL {
        for row in ops::rows(dialect) {
            let Some(operation) = row.operation else { continue };
            // Nobody signs one.
            let is_open = operation == Operation::Preflight;
            // Judged by their bodies, below.
            if is_open || matches!(operation, Operation::DeleteObjects | Operation::PostObject) {
                continue;
            }
            for grammar in [Grammar::Cam, Grammar::Iam] {
                let action = ops::action(operation, false);
                let read = ops::action(Operation::GetObject, false);
                let (action, read) = match grammar {
                    Grammar::Cam => (action.cam, read.cam),
                    Grammar::Iam => (action.iam, read.iam),
                };
                let context = format!("{} by {grammar:?}: {action}", row.name);
                let world = with_objects().await;
                let ask = async |policy: String| {
                    let key = world.temporary(grammar, &policy).await;
                    judged(dialect, row).temporary(&key).send(&world).await
                };
                let but = document(grammar, "Allow", &format!(r#""NotAction": ["{action}"]"#));
                let answer = ask(but).await;
                assert!(is_denied(row, &answer), "{context}: {}", answer.dump());
                let nothing = document(grammar, "Deny", r#""Action": ["*"]"#);
                let answer = ask(nothing).await;
                assert!(is_denied(row, &answer), "{context}: {}", answer.dump());
                let only = format!(r#""Action": ["{action}", "{read}"]"#);
                let answer = ask(document(grammar, "Allow", &only)).await;
                // What is not there is for those to know who may list.
                let missing = answer.status == 403 && {
                    let list = r#""Action": ["*"]"#;
                    ask(document(grammar, "Allow", list)).await.status == 404
                };
                assert!(missing || !is_denied(row, &answer), "{context}: {}", answer.dump());
            }
        }
    }
}

#[tokio::test]
async fn a_prefix_is_a_prefix_in_every_form_of_a_signature() {
    let world = with_objects().await;
    put(Dialect::S3, &format!("/{BUCKET}/mine/a")).body("mine").send(&world).await.ok();
    let policy = cam(&format!(
        r#"{{"effect": "allow", "principal": {{"qcs": ["*"]}},
            "action": ["name/cos:GetObject", "name/cos:PutObject", "name/cos:PostObject"],
            "resource": ["qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}/mine/*",
                         "qcs::ci:ap-guangzhou:uid/{APPID}:bucket/{BUCKET}/*"]}}"#
    ));
    let key = world.temporary(Grammar::Cam, &policy).await;
    for signing in Signing::ALL {
        let call = |call: Call| call.signing(signing).temporary(&key);
        let dialect = signing.dialect();
        let mine = call(get(dialect, &format!("/{BUCKET}/mine/a"))).send(&world).await;
        assert_eq!((mine.status, mine.text()), (200, "mine"), "{signing:?}: {}", mine.dump());
        let stored = call(put(dialect, &format!("/{BUCKET}/mine/a")).body("mine"));
        assert_eq!(stored.send(&world).await.status, 200, "{signing:?}");
        for denied in [
            get(dialect, &format!("/{BUCKET}/key")),
            put(dialect, &format!("/{BUCKET}/other")).body("x"),
            delete(dialect, &format!("/{BUCKET}/mine/a")),
            get(dialect, &format!("/{BUCKET}")),
            get(dialect, "/"),
            put(dialect, &format!("/new-{APPID}")),
        ] {
            let context = format!("{signing:?} {} {}", denied.method, denied.path);
            let answer = call(denied).send(&world).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "AccessDenied"), "{context}");
        }
    }
    // A copy reads what it copies.
    for dialect in Dialect::ALL {
        let copy = |source: &str| {
            let name = dialect.headers().copy_source.as_str().to_owned();
            let source = match dialect {
                Dialect::Cos => format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/{source}"),
                Dialect::S3 => format!("{BUCKET}/{source}"),
            };
            put(dialect, &format!("/{BUCKET}/mine/copy")).header(&name, &source).temporary(&key)
        };
        copy("key").send(&world).await.refused(403, "AccessDenied");
        assert_eq!(copy("mine/a").send(&world).await.status, 200);
    }
}

#[tokio::test]
async fn many_deletions_are_judged_one_by_one() {
    let world = with_objects().await;
    let policy = iam(&format!(
        r#"{{"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::{BUCKET}/key"}}"#
    ));
    let key = world.temporary(Grammar::Iam, &policy).await;
    let list = "<Delete><Object><Key>key</Key></Object><Object><Key>source</Key></Object></Delete>";
    for dialect in Dialect::ALL {
        let call = post(dialect, &format!("/{BUCKET}")).query("delete", "").body(list);
        let answer = call.temporary(&key).send(&world).await;
        assert_eq!(answer.status, 200, "{}", answer.dump());
        assert_eq!(answer.elements("Code"), ["AccessDenied"], "{}", answer.text());
    }
    assert_eq!(head(Dialect::S3, &format!("/{BUCKET}/source")).send(&world).await.status, 200);
}

/// The session and the bucket's policy must both agree.
#[tokio::test]
async fn a_policy_of_the_bucket_takes_away_and_adds_nothing() {
    let world = with_objects().await;
    let of = |effect: &str, action: &str| {
        iam(&format!(
            r#"{{"Effect": "{effect}", "Principal": "*", "Action": "{action}",
                "Resource": ["arn:aws:s3:::{BUCKET}", "arn:aws:s3:::{BUCKET}/*"]}}"#
        ))
    };
    let read = iam(r#"{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}"#);
    let key = world.temporary(Grammar::Iam, &read).await;
    let path = format!("/{BUCKET}/key");
    let reads = get(Dialect::S3, &path).temporary(&key);
    let deletes = delete(Dialect::S3, &path).temporary(&key);
    set(&world, Dialect::S3, &of("Allow", "s3:*")).await;
    reads.send(&world).await.ok();
    deletes.send(&world).await.refused(403, "AccessDenied");
    let policy = get(Dialect::S3, &format!("/{BUCKET}")).query("policy", "");
    policy.temporary(&key).send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &of("Deny", "s3:GetObject")).await;
    reads.send(&world).await.refused(403, "AccessDenied");
}

fn refused(answer: &Answer, signing: Signing, cos: (u16, &str), s3: (u16, &str)) {
    let expected = if signing.dialect() == Dialect::Cos { cos } else { s3 };
    let found = (answer.status, answer.code());
    assert_eq!((found.0, found.1.as_str()), expected, "{signing:?}: {}", answer.dump());
}

#[tokio::test]
async fn tokens_that_are_wrong_missing_or_late() {
    let world = with_objects().await;
    let key = all(&world).await;
    let another = all(&world).await;
    let (id, secret, token) = (key.pair.id(), key.pair.secret().expose(), key.token.expose());
    let unknown = ((403, "InvalidAccessKeyId"), (400, "InvalidToken"));
    let sealed = BASE64.decode(token).unwrap();
    for signing in Signing::ALL {
        let call = get(signing.dialect(), &format!("/{BUCKET}/key")).signing(signing);
        let with = async |token: &str| {
            let mut call = call.clone().key(id, secret);
            call.token = Some(token.to_owned());
            call.send(&world).await
        };
        assert_eq!(with(token).await.status, 200, "{signing:?}");
        for at in [0, 1, 14, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            refused(&with(&BASE64.encode(changed)).await, signing, unknown.0, unknown.1);
        }
        let cut = &token[..token.len() - 4];
        let longer = format!("{token}AAAA");
        for wrong in ["t", "not base64!", cut, &longer, another.token.expose(), &"A".repeat(4200)] {
            refused(&with(wrong).await, signing, unknown.0, unknown.1);
        }
        // Without its token the key is nobody's, and a token makes no other key good.
        let bare = call.clone().key(id, secret).send(&world).await;
        refused(&bare, signing, (403, "InvalidAccessKeyId"), (403, "InvalidAccessKeyId"));
        let mut root = call.clone().key(KEY_ID, SECRET);
        root.token = Some(token.to_owned());
        refused(&root.send(&world).await, signing, unknown.0, unknown.1);
        // Whoever has the token and not the secret has nothing.
        let mut stolen = call.clone().key(id, "not-the-secret");
        stolen.token = Some(token.to_owned());
        let wrong = (403, "SignatureDoesNotMatch");
        refused(&stolen.send(&world).await, signing, wrong, wrong);
    }
    world.pass(Duration::from_secs(1799));
    for signing in Signing::ALL {
        let call = get(signing.dialect(), &format!("/{BUCKET}/key")).signing(signing);
        assert_eq!(call.temporary(&key).send(&world).await.status, 200, "{signing:?}");
    }
    world.pass(Duration::from_secs(1));
    for signing in Signing::ALL {
        let call = get(signing.dialect(), &format!("/{BUCKET}/key")).signing(signing);
        let late = (400, "ExpiredToken");
        refused(&call.temporary(&key).send(&world).await, signing, late, late);
    }
}

/// A link's own time may be as long as it likes.
#[tokio::test]
async fn a_link_ends_with_the_token_that_it_was_made_with() {
    let world = with_objects().await;
    let key = all(&world).await;
    for signing in [Signing::CosQuery, Signing::CosMerged, Signing::V4Query, Signing::V2Query] {
        let link = get(signing.dialect(), &format!("/{BUCKET}/key")).signing(signing);
        let early = link.temporary(&key).send(&world).await;
        assert_eq!(early.status, 200, "{signing:?}: {}", early.dump());
    }
    // These are good for ten minutes after the token has ended.
    let links = [Signing::CosQuery, Signing::CosMerged, Signing::V4Query, Signing::V2Query];
    let links = links.map(|signing| {
        let link = get(signing.dialect(), &format!("/{BUCKET}/key")).signing(signing);
        (signing, link.clock_offset(1790).temporary(&key).bytes(&world))
    });
    world.pass(Duration::from_secs(1801));
    for (signing, bytes) in links {
        let answer = crate::client::exchange(&world, &bytes, false).await;
        refused(&answer, signing, (400, "ExpiredToken"), (400, "ExpiredToken"));
    }
}
