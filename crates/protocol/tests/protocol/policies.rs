//! What policies of buckets say, in both dialects and for both. Their conditions are
//! in `policy_conditions.rs`, what they open to everybody in `public.rs`.

use costrel_policy::Grammar;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, OpRow, Operation, Verb};

use crate::client::{Answer, Call, Signing, delete, get, head, post, put};
use crate::routing::request_of;
use crate::world::{APPID, BUCKET, World};

pub fn iam(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

pub fn cam(statements: &str) -> String {
    format!(r#"{{"version": "2.0", "statement": [{statements}]}}"#)
}

/// A statement about everybody and all of the bucket.
pub fn statement(dialect: Dialect, effect: &str, actions: &str, more: &str) -> String {
    match dialect {
        Dialect::S3 => format!(
            r#"{{"Effect": "{effect}", "Principal": "*", {actions},
                "Resource": ["arn:aws:s3:::{BUCKET}", "arn:aws:s3:::{BUCKET}/*"]{more}}}"#
        ),
        Dialect::Cos => format!(
            r#"{{"effect": "{}", "principal": {{"qcs": ["qcs::cam::anyone:anyone"]}}, {},
                "resource": ["qcs::cos:ap-guangzhou:uid/{APPID}:{BUCKET}/*"]{more}}}"#,
            effect.to_lowercase(),
            actions.replace("Action", "action").replace("Notaction", "NotAction"),
        ),
    }
}

pub fn document(dialect: Dialect, statements: &str) -> String {
    match dialect {
        Dialect::S3 => iam(statements),
        Dialect::Cos => cam(statements),
    }
}

pub fn put_policy(dialect: Dialect, policy: &str) -> Call {
    put(dialect, &format!("/{BUCKET}")).query("policy", "").body(policy)
}

pub async fn set(world: &World, dialect: Dialect, policy: &str) {
    let answer = put_policy(dialect, policy).send(world).await;
    assert_eq!(answer.status, 204, "{policy}: {}", answer.dump());
}

pub async fn with_objects() -> World {
    let world = World::with_bucket().await;
    for key in ["key", "source"] {
        put(Dialect::S3, &format!("/{BUCKET}/{key}")).body("kept").send(&world).await.ok();
    }
    world
}

/// Whether a request was turned away for want of a permission.
pub fn is_denied(row: &OpRow, answer: &Answer) -> bool {
    answer.status == 403 && (row.verb == Verb::Head || answer.code() == "AccessDenied")
}

/// A request of a row that its handler gets to judge.
pub fn judged(dialect: Dialect, row: &OpRow) -> Call {
    let body = match row.operation {
        Some(Operation::PutObjectTagging | Operation::PutBucketTagging) => {
            "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
        }
        // Where the bucket is to be is part of what is judged.
        Some(Operation::CreateBucket) => "",
        _ => "new",
    };
    request_of(dialect, row).body(body)
}

/// Every operation × a policy in either grammar × what it says of it.
#[tokio::test]
async fn every_operation_is_what_a_policy_says_it_is() {
    for dialect in Dialect::ALL {
        for row in ops::rows(dialect) {
            let Some(operation) = row.operation else { continue };
            let of_no_bucket =
                matches!(operation, Operation::ListBuckets | Operation::CreateBucket);
            // Judged by their bodies, below.
            // Nobody signs one.
            let is_open = operation == Operation::Preflight;
            let by_body = matches!(operation, Operation::DeleteObjects | Operation::PostObject);
            if of_no_bucket || by_body || is_open {
                continue;
            }
            for grammar in Dialect::ALL {
                let action = ops::action(operation, false);
                let action = if grammar == Dialect::S3 { action.iam } else { action.cam };
                // Copies read, too.
                let read = ops::action(Operation::GetObject, false);
                let read = if grammar == Dialect::S3 { read.iam } else { read.cam };
                let only = format!(r#""Action": ["{action}", "{read}"]"#);
                let all_but = format!(r#""NotAction": ["{action}"]"#);
                let context = format!("{} by {grammar:?}: {action}", row.name);

                let world = with_objects().await;
                let anonymous = judged(dialect, row).signing(Signing::Nothing);
                let allow =
                    |actions: &str| document(grammar, &statement(grammar, "Allow", actions, ""));
                set(&world, grammar, &allow(&all_but)).await;
                let answer = anonymous.send(&world).await;
                assert!(is_denied(row, &answer), "{context}: {}", answer.dump());

                set(&world, grammar, &allow(&only)).await;
                let answer = anonymous.send(&world).await;
                match operation.on_policy() {
                    true => assert_eq!(answer.status, 405, "{context}"),
                    false => assert!(!is_denied(row, &answer), "{context}: {}", answer.dump()),
                }

                // The owner's root: AWS denies to it what a policy denies, but the
                // policy itself; COS does not.
                let world = with_objects().await;
                let deny = statement(grammar, "Deny", &format!(r#""Action": ["{action}"]"#), "");
                set(&world, grammar, &document(grammar, &deny)).await;
                let answer = judged(dialect, row).send(&world).await;
                let denied = grammar == Dialect::S3 && !operation.on_policy();
                assert_eq!(is_denied(row, &answer), denied, "{context}: {}", answer.dump());
            }
        }
    }
}

#[tokio::test]
async fn a_policy_comes_back_as_it_was_written_in_its_own_dialect() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}");
    let show = |dialect| get(dialect, &path).query("policy", "");
    let gone = |dialect| delete(dialect, &path).query("policy", "");
    show(Dialect::S3).send(&world).await.refused(404, "NoSuchBucketPolicy");
    show(Dialect::Cos).send(&world).await.refused(404, "NoSuchPolicy");
    let [cos, s3] = [Dialect::Cos, Dialect::S3].map(|dialect| {
        let statement = statement(dialect, "Allow", r#""Action":  ["*"]"#, "");
        document(dialect, &statement)
    });
    set(&world, Dialect::S3, &s3).await;
    show(Dialect::Cos).send(&world).await.refused(404, "NoSuchPolicy");
    set(&world, Dialect::Cos, &cos).await;
    for (dialect, text) in [(Dialect::Cos, &cos), (Dialect::S3, &s3)] {
        let answer = show(dialect).send(&world).await;
        assert_eq!((answer.status, answer.text()), (200, text.as_str()));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    assert_eq!(gone(Dialect::S3).send(&world).await.status, 204);
    assert_eq!(gone(Dialect::S3).send(&world).await.status, 204);
    show(Dialect::S3).send(&world).await.refused(404, "NoSuchBucketPolicy");
    assert_eq!(show(Dialect::Cos).send(&world).await.text(), cos);
    // A bucket of the same name has nothing of it.
    delete(Dialect::S3, &path).send(&world).await;
    world.make_bucket(BUCKET).await;
    show(Dialect::Cos).send(&world).await.refused(404, "NoSuchPolicy");
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_policy() {
    let world = World::with_bucket().await;
    let old = iam(&statement(Dialect::S3, "Allow", r#""Action": "s3:GetObject""#, ""));
    set(&world, Dialect::S3, &old).await;
    let of = |action: &str, more: &str| {
        iam(&statement(Dialect::S3, "Allow", &format!(r#""Action": "{action}""#), more))
    };
    let named = |sid: &str| {
        let more = format!(r#", "Sid": "{sid}""#);
        statement(Dialect::S3, "Allow", r#""Action": "s3:GetObject""#, &more)
    };
    let condition = |text: &str| of("s3:GetObject", &format!(r#", "Condition": {text}"#));
    let large =
        condition(&format!(r#"{{"StringEquals": {{"aws:UserAgent": "{}"}}}}"#, "a".repeat(21_000)));
    let cases = [
        ("not json".to_owned(), 400, "MalformedPolicy"),
        ("[]".to_owned(), 400, "MalformedPolicy"),
        (r#"{"Version": "2012-10-17"}"#.to_owned(), 400, "MalformedPolicy"),
        (old.replace("2012-10-17", "2013-01-01"), 400, "MalformedPolicy"),
        (old.replace("Effect", "effect"), 400, "MalformedPolicy"),
        (old.replace("Allow", "allow"), 400, "MalformedPolicy"),
        (old.replace(r#""Principal": "*""#, r#""Principal": "me""#), 400, "MalformedPolicy"),
        (old.replace("Principal", "NotPrincipal"), 400, "MalformedPolicy"),
        (old.replace(BUCKET, "other"), 400, "MalformedPolicy"),
        (of("s3:GetObjct", ""), 400, "MalformedPolicy"),
        (of("ec2:RunInstances", ""), 400, "MalformedPolicy"),
        (of("s3:GetObject", r#", "Effect": "Deny""#), 400, "MalformedPolicy"),
        (iam(&[named("a"), named("a")].join(", ")), 400, "MalformedPolicy"),
        (condition(r#"{"StringEqual": {"aws:UserAgent": "x"}}"#), 400, "MalformedPolicy"),
        (condition(r#"{"StringEquals": {"aws:NoSuchKey": "x"}}"#), 400, "MalformedPolicy"),
        (condition(r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}"#), 400, "MalformedPolicy"),
        (condition(r#"{"StringEquals": {"aws:SourceVpc": "vpc-1"}}"#), 501, "NotImplemented"),
        (large, 400, "PolicyTooLarge"),
    ];
    for (policy, status, code) in cases {
        let answer = put_policy(Dialect::S3, &policy).send(&world).await;
        answer.refused(status, code);
    }
    put_policy(Dialect::Cos, &old).send(&world).await.refused(400, "MalformedPolicy");
    let vpc = statement(
        Dialect::Cos,
        "Allow",
        r#""Action": "cos:*""#,
        r#", "condition": {"string_equal": {"vpc:requester_vpc": "vpc-1"}}"#,
    );
    let answer = put_policy(Dialect::Cos, &cam(&vpc)).send(&world).await;
    answer.refused(501, "NotImplemented");
    // Commands show the message and nothing else.
    let message = answer.element("Message").unwrap();
    assert!(message.ends_with(": vpc:requester_vpc"), "{message}");
    let shown = get(Dialect::S3, &format!("/{BUCKET}")).query("policy", "").send(&world).await;
    assert_eq!(shown.text(), old);
}

/// What a request is about to call a bucket is for policies to ask for, in both grammars.
#[tokio::test]
async fn tags_that_a_bucket_is_given_may_be_asked_for() {
    let world = World::with_bucket().await;
    for (grammar, condition) in [
        (Dialect::Cos, r#"{"for_any_value:string_equal": {"qcs:request_tag": ["team&red"]}}"#),
        (Dialect::S3, r#"{"StringEquals": {"aws:RequestTag/team": "red"}}"#),
        (Dialect::S3, r#"{"ForAnyValue:StringEquals": {"aws:TagKeys": ["team"]}}"#),
    ] {
        let actions = match grammar {
            Dialect::Cos => r#""Action": "name/cos:PutBucketTagging""#,
            Dialect::S3 => r#""Action": "s3:PutBucketTagging""#,
        };
        let when = format!(r#", "Condition": {condition}"#);
        let allow = document(grammar, &statement(grammar, "Allow", actions, &when));
        set(&world, grammar, &allow).await;
        for dialect in Dialect::ALL {
            let tag = |name: &str, value: &str| {
                let set = format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>");
                let body = format!("<Tagging><TagSet>{set}</TagSet></Tagging>");
                let call = put(dialect, &format!("/{BUCKET}")).query("tagging", "");
                call.signing(Signing::Nothing).body(body)
            };
            assert_eq!(tag("team", "red").send(&world).await.status, 204, "{condition}");
            tag("other", "red").send(&world).await.refused(403, "AccessDenied");
            let by_value = !condition.contains("TagKeys");
            let other = tag("team", "blue").send(&world).await;
            assert_eq!(other.status == 403, by_value, "{condition}: {}", other.dump());
        }
        let call = put(grammar, &format!("/{BUCKET}")).method("DELETE").query("policy", "");
        call.send(&world).await;
    }
}

/// What cannot go together is accepted, and lets nobody in.
#[tokio::test]
async fn actions_are_about_their_own_kind_of_resource() {
    let world = with_objects().await;
    let of = |action: &str, resource: &str| {
        iam(&format!(
            r#"{{"Effect": "Allow", "Principal": "*", "Action": "{action}",
                "Resource": "arn:aws:s3:::{BUCKET}{resource}"}}"#
        ))
    };
    let list = get(Dialect::S3, &format!("/{BUCKET}")).signing(Signing::Nothing);
    let read = get(Dialect::S3, &format!("/{BUCKET}/key")).signing(Signing::Nothing);
    set(&world, Dialect::S3, &of("s3:ListBucket", "/*")).await;
    list.send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &of("s3:GetObject", "")).await;
    read.send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &of("s3:*", "*")).await;
    list.send(&world).await.ok();
    read.send(&world).await.ok();
}

#[tokio::test]
async fn many_deletions_are_judged_one_by_one() {
    for dialect in Dialect::ALL {
        let world = with_objects().await;
        let list =
            "<Delete><Object><Key>key</Key></Object><Object><Key>source</Key></Object></Delete>";
        let call = post(dialect, &format!("/{BUCKET}")).query("delete", "").body(list);
        let only = iam(&format!(
            r#"{{"Effect": "Allow", "Principal": "*", "Action": "s3:DeleteObject",
                "Resource": "arn:aws:s3:::{BUCKET}/key"}},
               {{"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject",
                "Resource": "arn:aws:s3:::{BUCKET}/source"}}"#
        ));
        call.clone().signing(Signing::Nothing).send(&world).await.refused(403, "AccessDenied");
        set(&world, Dialect::S3, &only).await;
        for signing in [Signing::Nothing, call.signing] {
            let answer = call.clone().signing(signing).send(&world).await;
            assert_eq!(answer.status, 200, "{}", answer.dump());
            assert_eq!(answer.elements("Code"), ["AccessDenied"], "{}", answer.text());
            assert!(answer.text().contains("<Deleted><Key>key</Key>"), "{}", answer.text());
        }
        let left = get(dialect, &format!("/{BUCKET}")).send(&world).await;
        assert_eq!(left.elements("Key"), ["source"]);
    }
}

/// A copy needs its source to be readable, and its tags if it takes them along.
#[tokio::test]
async fn copies_need_their_source() {
    let world = with_objects().await;
    let source = format!("/{BUCKET}/tagged");
    put(Dialect::S3, &source).header("x-amz-tagging", "a=b").body("x").send(&world).await.ok();
    let copy = |from: &str| {
        let call = put(Dialect::S3, &format!("/{BUCKET}/copy")).signing(Signing::Nothing);
        call.header("x-amz-copy-source", from)
    };
    let allow = |actions: &str| {
        iam(&statement(Dialect::S3, "Allow", &format!(r#""Action": {actions}"#), ""))
    };
    set(&world, Dialect::S3, &allow(r#""s3:PutObject""#)).await;
    copy(&source).send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &allow(r#"["s3:PutObject", "s3:GetObject"]"#)).await;
    copy(&source).send(&world).await.refused(403, "AccessDenied");
    copy(&format!("/{BUCKET}/none")).send(&world).await.refused(403, "AccessDenied");
    copy(&format!("/{BUCKET}/key")).send(&world).await.ok();
    let untagged = copy(&source).header("x-amz-tagging-directive", "REPLACE");
    untagged.send(&world).await.ok();
    let tagging = untagged.header("x-amz-tagging", "c=d");
    tagging.send(&world).await.refused(403, "AccessDenied");
    set(
        &world,
        Dialect::S3,
        &allow(r#"["s3:PutObject", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging"]"#),
    )
    .await;
    copy(&source).send(&world).await.ok();
    tagging.send(&world).await.ok();
}

/// Who may read a link may not read what it leads to for that.
#[tokio::test]
async fn links_open_nothing() {
    let world = with_objects().await;
    let secret = format!("/{BUCKET}/secret/tagged");
    put(Dialect::S3, &secret).header("x-amz-tagging", "a=b").body("x").send(&world).await.ok();
    let link = |key: &str, target: &str| {
        let call = put(Dialect::Cos, &format!("/{BUCKET}/{key}"));
        call.query("symlink", "").header("x-cos-symlink-target", target)
    };
    for (key, target) in [
        ("open/closed", "secret/tagged"),
        ("open/gone", "secret/none"),
        ("open/open", "open/target"),
        ("open/missing", "open/none"),
    ] {
        link(key, target).send(&world).await.ok();
    }
    let target = format!("/{BUCKET}/open/target");
    put(Dialect::S3, &target).body("seen").send(&world).await.ok();
    let open = |actions: &str, resource: &str| {
        format!(
            r#"{{"Effect": "Allow", "Principal": "*", "Action": {actions},
                "Resource": "arn:aws:s3:::{BUCKET}{resource}"}}"#
        )
    };
    let read = open(r#"["s3:GetObject", "s3:GetObjectAttributes", "s3:PutObject"]"#, "/open/*");
    let list = open(r#""s3:ListBucket""#, "");
    let anonymous = |call: Call| call.signing(Signing::Nothing);
    let copy = |from: &str| {
        let call = put(Dialect::S3, &format!("/{BUCKET}/open/copy"));
        anonymous(call.header("x-amz-copy-source", &format!("/{BUCKET}/{from}")))
    };
    let attributes = |key: &str| {
        let call = get(Dialect::S3, &format!("/{BUCKET}/{key}")).query("attributes", "");
        anonymous(call.header("x-amz-object-attributes", "ETag,ObjectSize"))
    };
    set(&world, Dialect::S3, &iam(&read)).await;
    for dialect in Dialect::ALL {
        let ask = |key: &str| anonymous(get(dialect, &format!("/{BUCKET}/{key}")));
        assert_eq!(ask("open/open").send(&world).await.ok().text(), "seen");
        for key in ["open/closed", "open/gone", "open/missing"] {
            ask(key).send(&world).await.refused(403, "AccessDenied");
            let told = anonymous(head(dialect, &format!("/{BUCKET}/{key}"))).send(&world).await;
            assert_eq!(told.status, 403);
        }
        // Conditions and ranges tell nothing either.
        let ranged = ask("open/closed").header("Range", "bytes=90-99");
        ranged.send(&world).await.refused(403, "AccessDenied");
        let changed = ask("open/closed").header("If-None-Match", "*");
        changed.send(&world).await.refused(403, "AccessDenied");
    }
    assert_eq!(attributes("open/open").send(&world).await.element("ObjectSize").unwrap(), "4");
    attributes("open/closed").send(&world).await.refused(403, "AccessDenied");
    // Who may not read an object does not learn what it is like.
    let only = open(r#""s3:GetObjectAttributes""#, "/open/*");
    set(&world, Dialect::S3, &iam(&only)).await;
    attributes("open/target").send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &iam(&read)).await;
    copy("open/open").send(&world).await.ok();
    for key in ["open/closed", "open/gone", "open/missing"] {
        copy(key).send(&world).await.refused(403, "AccessDenied");
    }
    // Making one is writing its key, and reading where it leads is reading it.
    anonymous(link("open/own", "secret/tagged")).send(&world).await.ok();
    anonymous(link("secret/own", "open/target")).send(&world).await.refused(403, "AccessDenied");
    let tagged = anonymous(link("open/own", "open/target").header("x-cos-tagging", "a=b"));
    tagged.send(&world).await.refused(403, "AccessDenied");
    let own = anonymous(get(Dialect::Cos, &format!("/{BUCKET}/open/own"))).query("symlink", "");
    let own = own.send(&world).await;
    assert_eq!(own.ok().header("x-cos-symlink-target"), Some("secret/tagged"));

    // Who may list learns what is not there, and only of what he may read.
    set(&world, Dialect::S3, &iam(&format!("{read}, {list}"))).await;
    let ask = |key: &str| anonymous(get(Dialect::S3, &format!("/{BUCKET}/{key}")));
    ask("open/missing").send(&world).await.refused(404, "NoSuchKey");
    ask("open/gone").send(&world).await.refused(403, "AccessDenied");
    copy("open/missing").send(&world).await.refused(404, "NoSuchKey");

    // A copy takes the tags of the target, which have to be permitted there.
    let secret = open(r#"["s3:GetObject"]"#, "/secret/*");
    let tags = |resource: &str| open(r#"["s3:GetObjectTagging"]"#, resource);
    set(&world, Dialect::S3, &iam(&format!("{read}, {secret}, {}", tags("/open/*")))).await;
    assert_eq!(ask("open/closed").send(&world).await.ok().text(), "x");
    copy("open/closed").send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &iam(&format!("{read}, {secret}, {}", tags("/secret/*")))).await;
    copy("open/closed").send(&world).await.ok();

    // The owner's root, too, is denied what a policy denies.
    let deny = open(r#""s3:GetObject""#, "/secret/*").replace("Allow", "Deny");
    set(&world, Dialect::S3, &iam(&deny)).await;
    for dialect in Dialect::ALL {
        let closed = get(dialect, &format!("/{BUCKET}/open/closed")).send(&world).await;
        closed.refused(403, "AccessDenied");
    }

    // And a temporary key what its own policy does not allow.
    delete(Dialect::S3, &format!("/{BUCKET}")).query("policy", "").send(&world).await;
    let own = iam(&read.replace(r#""Principal": "*","#, ""));
    let limited = world.temporary(Grammar::Iam, &own).await;
    for dialect in Dialect::ALL {
        let ask = |key: &str| get(dialect, &format!("/{BUCKET}/{key}")).temporary(&limited);
        assert_eq!(ask("open/open").send(&world).await.ok().text(), "seen");
        ask("open/closed").send(&world).await.refused(403, "AccessDenied");
        ask("open/gone").send(&world).await.refused(403, "AccessDenied");
    }
}
