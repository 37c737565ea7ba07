//! Every action of the services beside COS and S3 × whoever may ask: API 3.0 and AWS, by
//! the list that `docs/coverage.md` is made of, so that no action is left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use costrel_policy::Grammar;
use costrel_protocol::ops;
use costrel_signature::sign::Identity;
use ring::hmac;

use crate::advisories::asks;
use crate::client::{exchange, raw_head};
use crate::policies::{cam, iam};
use crate::users::{Somebody, all};
use crate::world::{KEY_ID, SECRET, World};

/// What whoever has a key may do, and what is asked of the role that is named.
const OPEN: [&str; 4] = ["GetCallerIdentity", "GetSessionToken", "GetUserAppId", "AssumeRole"];

/// Whose provider's token is shown instead of a key.
const UNSIGNED: &str = "AssumeRoleWithWebIdentity";

/// The actions of a service that are done here.
fn actions(heading: &str) -> Vec<String> {
    let page = ops::coverage_markdown();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_suffix(" | yes |"));
    rows.map(|row| row.trim_start_matches("| ").to_owned()).collect()
}

/// A key, with its token if it is temporary.
#[derive(Clone)]
struct Key {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Key {
    fn permanent(id: &str, secret: &str) -> Key {
        Key { id: id.into(), secret: secret.into(), token: None }
    }

    /// Of a user who may do this.
    async fn of_user(world: &World, name: &str, statements: &[String]) -> Key {
        let user = Somebody::new(world, name).await;
        for statement in statements {
            user.may(world, statement).await;
        }
        let pair = world.accounts.create_key(user.user.uin, "").await.unwrap();
        Key::permanent(pair.id(), pair.secret().expose())
    }

    /// The root's, for as much as a policy lets it.
    async fn temporary(world: &World, grammar: Grammar, policy: &str) -> Key {
        let key = world.temporary(grammar, policy).await;
        let permanent = Key::permanent(key.pair.id(), key.pair.secret().expose());
        Key { token: Some(key.token.expose().to_owned()), ..permanent }
    }
}

/// Whether a service of AWS turns a call of an action away.
async fn aws_refuses(world: &World, service: &str, key: &Key, action: &str) -> bool {
    let identity = Identity::new(&key.id, &key.secret);
    let identity = match &key.token {
        Some(token) => identity.with_token(token),
        None => identity,
    };
    let answer = asks(world, service, &identity, &format!("Action={action}")).await;
    assert_ne!(answer.status, 500, "{action}: {}", answer.dump());
    let refused = answer.status == 403;
    assert_eq!(refused, answer.code() == "AccessDenied", "{action}: {}", answer.dump());
    refused
}

/// Whether a service of API 3.0 does.
async fn cloud_refuses(
    world: &World,
    (service, version): (&str, &str),
    key: &Key,
    action: &str,
) -> bool {
    let host = format!("{service}.tencentcloudapi.com");
    let now = world.now().to_string();
    let mut pairs = vec![
        ("Action", action),
        ("Nonce", "1"),
        ("Region", "ap-guangzhou"),
        ("SecretId", &key.id),
        ("SignatureMethod", "HmacSHA256"),
        ("Timestamp", &now),
        ("Version", version),
    ];
    pairs.extend(key.token.as_deref().map(|token| ("Token", token)));
    pairs.sort_unstable();
    let plain: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = format!("POST{host}/?{}", plain.join("&"));
    let signing = hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes());
    let signature = BASE64.encode(hmac::sign(&signing, text.as_bytes()));
    let escaped = |value: &str| value.replace('+', "%2B").replace('=', "%3D").replace('/', "%2F");
    let mut form: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    form.push(format!("Signature={}", escaped(&signature)));
    let body = form.join("&");
    let length = body.len().to_string();
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let mut bytes = raw_head("POST", "/", &host, &[kind, ("Content-Length", &length)]);
    bytes.extend_from_slice(body.as_bytes());
    let answer = exchange(world, &bytes, false).await;
    let text = answer.text();
    assert!(!text.contains("InternalError") && !text.contains("SignatureFailure"), "{text}");
    text.contains("UnauthorizedOperation")
}

#[tokio::test]
async fn every_action_of_aws_is_what_a_policy_says_it_is() {
    let world = World::with_bucket().await;
    let root = Key::permanent(KEY_ID, SECRET);
    let nobody = Key::of_user(&world, "nobody", &[]).await;
    let mut count = 0;
    for service in ["sts", "iam"] {
        for action in actions(&format!("AWS `{service}`")) {
            if action == UNSIGNED {
                continue;
            }
            count += 1;
            let refused = async |key: &Key| aws_refuses(&world, service, key, &action).await;
            let open = OPEN.contains(&action.as_str());
            assert!(!refused(&root).await, "{action} by the root");
            assert_eq!(refused(&nobody).await, !open, "{action} by nobody in particular");
            if open {
                continue;
            }
            let named = format!("{service}:{action}");
            let only =
                iam(&format!(r#"{{"Effect": "Allow", "Action": "{named}", "Resource": "*"}}"#));
            let all_but =
                iam(&format!(r#"{{"Effect": "Allow", "NotAction": "{named}", "Resource": "*"}}"#));
            let denied = iam(&format!(
                r#"{{"Effect": "Allow", "Action": "*", "Resource": "*"}},
                   {{"Effect": "Deny", "Action": "{named}", "Resource": "*"}}"#
            ));
            for (policy, allows) in [(&only, true), (&all_but, false), (&denied, false)] {
                let user = Somebody::new(&world, "user").await;
                let text = (Grammar::Iam, policy.as_bytes());
                world.accounts.put_inline_policy(user.user.uin, "own", text).await.unwrap();
                let pair = world.accounts.create_key(user.user.uin, "").await.unwrap();
                let key = Key::permanent(pair.id(), pair.secret().expose());
                assert_eq!(refused(&key).await, !allows, "{action} by a user: {policy}");
                // Whoever may do just this may have removed himself.
                let _ = world.accounts.delete_user("user", true).await;
                let session = Key::temporary(&world, Grammar::Iam, policy).await;
                assert_eq!(refused(&session).await, !allows, "{action} by a session: {policy}");
            }
        }
    }
    assert!(count > 80, "{count}");
}

#[tokio::test]
async fn every_action_of_api_3_is_what_a_policy_says_it_is() {
    let world = World::with_bucket().await;
    let root = Key::permanent(KEY_ID, SECRET);
    let nobody = Key::of_user(&world, "nobody", &[]).await;
    let mut count = 0;
    for service in [("sts", "2018-08-13"), ("cam", "2019-01-16")] {
        for action in actions(&format!("API 3.0 `{}`", service.0)) {
            if action == UNSIGNED {
                continue;
            }
            count += 1;
            let refused = async |key: &Key| cloud_refuses(&world, service, key, &action).await;
            let open = OPEN.contains(&action.as_str());
            assert!(!refused(&root).await || open, "{action} by the root");
            assert_eq!(refused(&nobody).await, !open, "{action} by nobody in particular");
            if open {
                continue;
            }
            let named = format!("name/{}:{action}", service.0);
            let only = vec![all("allow", &format!(r#""action": "{named}""#))];
            let denied = vec![
                all("allow", r#""action": "*""#),
                all("deny", &format!(r#""action": "{named}""#)),
            ];
            for (at, (statements, allows)) in [(only, true), (denied, false)].iter().enumerate() {
                let key = Key::of_user(&world, &format!("{action}{at}"), statements).await;
                assert_eq!(refused(&key).await, !allows, "{action} by a user: {statements:?}");
                let policy = cam(&statements.join(", "));
                let session = Key::temporary(&world, Grammar::Cam, &policy).await;
                assert_eq!(refused(&session).await, !*allows, "{action} by a session: {policy}");
            }
        }
    }
    assert!(count > 40, "{count}");
}
