//! Policies of buckets, in both dialects and for both.

use costrel_policy::Grammar;
use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, OpRow, Operation, Verb};

use crate::client::{Answer, Call, Signing, delete, endpoint, get, head, post, put};
use crate::routing::request_of;
use crate::world::{APPID, BUCKET, UIN, World};

pub fn iam(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

pub fn cam(statements: &str) -> String {
    format!(r#"{{"version": "2.0", "statement": [{statements}]}}"#)
}

/// A statement about everybody and all of the bucket.
fn statement(dialect: Dialect, effect: &str, actions: &str, more: &str) -> String {
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

fn document(dialect: Dialect, statements: &str) -> String {
    match dialect {
        Dialect::S3 => iam(statements),
        Dialect::Cos => cam(statements),
    }
}

fn put_policy(dialect: Dialect, policy: &str) -> Call {
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
        Some(Operation::PutObjectTagging) => {
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
    put_policy(Dialect::Cos, &cam(&vpc)).send(&world).await.refused(501, "NotImplemented");
    let shown = get(Dialect::S3, &format!("/{BUCKET}")).query("policy", "").send(&world).await;
    assert_eq!(shown.text(), old);
}

/// Anybody may read, write and list as far as the policy goes, in both dialects.
#[tokio::test]
async fn anonymous_access() {
    let world = with_objects().await;
    let anonymous = |call: Call| call.signing(Signing::Nothing);
    let path = format!("/{BUCKET}/public/a");
    let read = iam(&format!(
        r#"{{"Effect": "Allow", "Principal": {{"AWS": "*"}}, "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": "arn:aws:s3:::{BUCKET}/public/*"}}"#
    ));
    set(&world, Dialect::S3, &read).await;
    for dialect in Dialect::ALL {
        let stored = anonymous(put(dialect, &path).body("open")).send(&world).await;
        assert_eq!(stored.status, 200, "{}", stored.dump());
        let answer = anonymous(get(dialect, &path)).send(&world).await;
        assert_eq!((answer.status, answer.text()), (200, "open"));
        assert_eq!(anonymous(head(dialect, &path)).send(&world).await.status, 200);
        let secret = anonymous(get(dialect, &format!("/{BUCKET}/key"))).send(&world).await;
        secret.refused(403, "AccessDenied");
        anonymous(delete(dialect, &path)).send(&world).await.refused(403, "AccessDenied");
        // Overrides need somebody who answers for them.
        let overridden = get(dialect, &path).query("response-content-type", "text/html");
        anonymous(overridden).send(&world).await.refused(400, "InvalidRequest");
        // Who may not list does not learn what is not there.
        let missing = format!("/{BUCKET}/public/none");
        anonymous(get(dialect, &missing)).send(&world).await.refused(403, "AccessDenied");
        assert_eq!(anonymous(head(dialect, &missing)).send(&world).await.status, 403);
        anonymous(get(dialect, &format!("/{BUCKET}")))
            .send(&world)
            .await
            .refused(403, "AccessDenied");
        // A wrong signature is not no signature.
        let wrong =
            get(dialect, &path).key(crate::world::KEY_ID, "not-the-secret").send(&world).await;
        wrong.refused(403, "SignatureDoesNotMatch");
    }
    let also_list =
        statement(Dialect::S3, "Allow", r#""Action": ["s3:ListBucket", "s3:GetObject"]"#, "");
    set(&world, Dialect::S3, &iam(&also_list)).await;
    for dialect in Dialect::ALL {
        let missing = anonymous(get(dialect, &format!("/{BUCKET}/none"))).send(&world).await;
        missing.refused(404, "NoSuchKey");
        let listed = anonymous(get(dialect, &format!("/{BUCKET}"))).send(&world).await;
        assert_eq!(listed.elements("Key"), ["key", "public/a", "source"]);
        let owner = if dialect == Dialect::Cos { APPID } else { UIN };
        assert_eq!(listed.element("ID").as_deref(), Some(owner));
    }
    // Who may list some keys learns which of those there are not.
    let only = r#", "Condition": {"StringLike": {"s3:prefix": "public/*"}}"#;
    let list = statement(Dialect::S3, "Allow", r#""Action": "s3:ListBucket""#, only);
    let read = statement(Dialect::S3, "Allow", r#""Action": "s3:GetObject""#, "");
    set(&world, Dialect::S3, &iam(&format!("{list}, {read}"))).await;
    for dialect in Dialect::ALL {
        let missing = |key: &str| {
            let call = get(dialect, &format!("/{BUCKET}/{key}")).signing(Signing::Nothing);
            call.query("prefix", "public/")
        };
        missing("public/none").send(&world).await.refused(404, "NoSuchKey");
        missing("other/none").send(&world).await.refused(403, "AccessDenied");
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

/// Unsigned bodies may come in chunks of their own, as SDKs send them.
#[tokio::test]
async fn anonymous_bodies() {
    let world = with_objects().await;
    let all = statement(Dialect::S3, "Allow", r#""Action": "s3:*""#, "");
    set(&world, Dialect::S3, &iam(&all)).await;
    let path = format!("/{BUCKET}/chunked");
    let chunked = put(Dialect::S3, &path)
        .signing(Signing::Nothing)
        .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("x-amz-decoded-content-length", "5")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n");
    chunked.send(&world).await.ok();
    assert_eq!(get(Dialect::S3, &path).send(&world).await.text(), "hello");
    let signed = put(Dialect::S3, &path)
        .signing(Signing::Nothing)
        .header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        .header("x-amz-decoded-content-length", "5");
    assert_eq!(signed.send(&world).await.status, 400);
    let lie = put(Dialect::S3, &path)
        .signing(Signing::Nothing)
        .header("x-amz-content-sha256", &"0".repeat(64))
        .body("hello");
    lie.send(&world).await.refused(400, "XAmzContentSHA256Mismatch");
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

/// One condition after the other, each met and not met.
#[tokio::test]
async fn conditions() {
    let world = with_objects().await;
    let tagged = format!("/{BUCKET}/tagged");
    put(Dialect::S3, &tagged)
        .header("x-amz-tagging", "team=blue")
        .body("x")
        .send(&world)
        .await
        .ok();
    let key = format!("/{BUCKET}/key");
    let new = format!("/{BUCKET}/new");
    let bucket = format!("/{BUCKET}");
    let tagging = |tag: &str| {
        let body = format!(
            "<Tagging><TagSet><Tag><Key>team</Key><Value>{tag}</Value></Tag></TagSet></Tagging>"
        );
        put(Dialect::S3, &key).query("tagging", "").body(body)
    };
    let s3 = Dialect::S3;
    // Condition, what meets it, what does not.
    let iam_cases: Vec<(&str, Call, Option<Call>)> = vec![
        (r#""IpAddress": {"aws:SourceIp": "127.0.0.0/8"}"#, get(s3, &key), None),
        (r#""Bool": {"aws:SecureTransport": "false"}"#, get(s3, &key), None),
        (r#""DateLessThan": {"aws:CurrentTime": "2026-01-03T00:00:00Z"}"#, get(s3, &key), None),
        (r#""NumericGreaterThan": {"aws:EpochTime": 1767000000}"#, get(s3, &key), None),
        (
            r#""StringLike": {"aws:UserAgent": "good/*"}"#,
            get(s3, &key).header("User-Agent", "good/1"),
            Some(get(s3, &key).header("User-Agent", "bad")),
        ),
        (
            r#""StringEquals": {"aws:Referer": "http://a/"}"#,
            get(s3, &key).header("Referer", "http://a/"),
            Some(get(s3, &key)),
        ),
        (
            r#""StringEquals": {"s3:prefix": "home/"}"#,
            get(s3, &bucket).query("prefix", "home/"),
            Some(get(s3, &bucket)),
        ),
        (
            r#""NumericLessThanEquals": {"s3:max-keys": "10"}"#,
            get(s3, &bucket).query("max-keys", "10"),
            Some(get(s3, &bucket).query("max-keys", "11")),
        ),
        (
            r#""StringEquals": {"s3:delimiter": "/"}"#,
            get(s3, &bucket).query("delimiter", "/"),
            Some(get(s3, &bucket).query("delimiter", "-")),
        ),
        (
            r#""StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}"#,
            put(s3, &new).header("x-amz-storage-class", "STANDARD_IA"),
            Some(put(s3, &new)),
        ),
        (
            r#""StringEquals": {"s3:x-amz-acl": "private"}"#,
            put(s3, &new).header("x-amz-acl", "private"),
            Some(put(s3, &new)),
        ),
        (
            r#""StringEquals": {"s3:x-amz-copy-source": "/examplebucket-1250000000/key"}"#,
            put(s3, &new).header("x-amz-copy-source", &key),
            None,
        ),
        (
            r#""StringEquals": {"s3:RequestObjectTag/team": "blue"}"#,
            put(s3, &new).header("x-amz-tagging", "team=blue"),
            Some(put(s3, &new).header("x-amz-tagging", "team=red")),
        ),
        (
            r#""StringEquals": {"s3:RequestObjectTag/team": "blue"}"#,
            tagging("blue"),
            Some(tagging("red")),
        ),
        (r#""ForAllValues:StringLike": {"s3:RequestObjectTagKeys": "te*"}"#, tagging("blue"), None),
        (
            r#""StringEquals": {"s3:ExistingObjectTag/team": "blue"}"#,
            get(s3, &tagged),
            Some(get(s3, &format!("/{BUCKET}/source"))),
        ),
        (
            r#""StringEquals": {"s3:versionid": "null"}"#,
            get(s3, &key).query("versionId", "null"),
            Some(get(s3, &key)),
        ),
        (
            r#""Null": {"s3:if-none-match": "false"}"#,
            put(s3, &format!("{new}2")).header("If-None-Match", "*"),
            Some(put(s3, &new)),
        ),
        (r#""StringEquals": {"aws:PrincipalType": "Anonymous"}"#, get(s3, &key), None),
        // The other dialect's requests mean the same.
        (
            r#""StringEquals": {"s3:prefix": "home/"}"#,
            get(Dialect::Cos, &bucket).query("prefix", "home/"),
            Some(get(Dialect::Cos, &bucket)),
        ),
        (
            r#""StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}"#,
            put(Dialect::Cos, &new).header("x-cos-storage-class", "STANDARD_IA"),
            Some(put(Dialect::Cos, &new)),
        ),
    ];
    let cos = Dialect::Cos;
    let cam_cases: Vec<(&str, Call, Option<Call>)> = vec![
        (r#""ip_equal": {"qcs:ip": ["10.0.0.0/8", "127.0.0.1"]}"#, get(cos, &key), None),
        (r#""ip_not_equal": {"qcs:ip": "10.0.0.0/8"}"#, get(cos, &key), None),
        (r#""bool_equal": {"cos:secure-transport": "false"}"#, get(cos, &key), None),
        (
            r#""string_like": {"cos:prefix": "home/*"}"#,
            get(cos, &bucket).query("prefix", "home/a"),
            Some(get(cos, &bucket)),
        ),
        (
            r#""numeric_less_than": {"cos:content-length": 10}"#,
            put(cos, &new).body("short"),
            Some(put(cos, &new).body("long enough")),
        ),
        (
            r#""string_equal": {"cos:content-type": "image/jpeg"}"#,
            put(cos, &new).header("Content-Type", "image/jpeg"),
            Some(put(cos, &new).header("Content-Type", "text/html")),
        ),
        (
            r#""string_equal_if_exist": {"cos:x-cos-storage-class": "STANDARD"}"#,
            put(cos, &new),
            Some(put(cos, &new).header("x-cos-storage-class", "STANDARD_IA")),
        ),
        (
            r#""string_equal": {"cos:versionid": "null"}"#,
            get(cos, &key).query("versionId", "null"),
            Some(get(cos, &key)),
        ),
        // Not there is not unequal, in CAM.
        (
            r#""string_not_equal": {"cos:versionid": "1"}"#,
            get(cos, &key).query("versionId", "null"),
            Some(get(cos, &key)),
        ),
    ];
    let all = iam_cases.into_iter().map(|case| (Dialect::S3, case));
    let all = all.chain(cam_cases.into_iter().map(|case| (Dialect::Cos, case)));
    for (grammar, (condition, good, bad)) in all {
        let action = if grammar == Dialect::S3 { "s3:*" } else { "cos:*" };
        let name = if grammar == Dialect::S3 { "Condition" } else { "condition" };
        let action = format!(r#""Action": "{action}""#);
        let read = if grammar == Dialect::S3 { "s3:GetObject" } else { "cos:GetObject" };
        // A copy's source is read under no such condition.
        let source = match condition.contains("copy-source") {
            true => {
                format!(", {}", statement(grammar, "Allow", &format!(r#""Action": "{read}""#), ""))
            }
            false => String::new(),
        };
        let more = format!(r#", "{name}": {{{condition}}}"#);
        let allow = statement(grammar, "Allow", &action, &more);
        set(&world, grammar, &document(grammar, &format!("{allow}{source}"))).await;
        let answer = good.clone().signing(Signing::Nothing).send(&world).await;
        assert_eq!(answer.status, 200, "{condition}: {}", answer.dump());
        if let Some(bad) = bad {
            let answer = bad.signing(Signing::Nothing).send(&world).await;
            answer.refused(403, "AccessDenied");
        }
        let gone = delete(grammar, &bucket).query("policy", "").send(&world).await;
        assert_eq!(gone.status, 204);
    }
}

/// No header says where a request comes from.
#[tokio::test]
async fn addresses_are_the_connection_s() {
    let world = with_objects().await;
    let key = format!("/{BUCKET}/key");
    let away = statement(
        Dialect::S3,
        "Allow",
        r#""Action": "s3:*""#,
        r#", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
    );
    set(&world, Dialect::S3, &iam(&away)).await;
    let call = get(Dialect::S3, &key).signing(Signing::Nothing);
    for name in ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"] {
        let forged = call.clone().header(name, "10.0.0.1").header("X-Forwarded-Proto", "https");
        forged.send(&world).await.refused(403, "AccessDenied");
    }
}

/// What `aws:SecureTransport` is mostly used for.
#[tokio::test]
async fn a_policy_may_forbid_plain_http_to_everybody() {
    let world = with_objects().await;
    let plain = statement(
        Dialect::S3,
        "Deny",
        r#""Action": "s3:*""#,
        r#", "Condition": {"Bool": {"aws:SecureTransport": "false"}}"#,
    );
    set(&world, Dialect::S3, &iam(&plain)).await;
    for dialect in Dialect::ALL {
        get(dialect, &format!("/{BUCKET}/key")).send(&world).await.refused(403, "AccessDenied");
    }
    let gone = delete(Dialect::S3, &format!("/{BUCKET}")).query("policy", "").send(&world).await;
    assert_eq!(gone.status, 204, "{}", gone.dump());
    get(Dialect::S3, &format!("/{BUCKET}/key")).send(&world).await.ok();
}

#[tokio::test]
async fn public_access_is_told_and_blocked() {
    let world = with_objects().await;
    let bucket = format!("/{BUCKET}");
    let ask = |what: &str| get(Dialect::S3, &bucket).query(what, "");
    ask("policyStatus").send(&world).await.refused(404, "NoSuchBucketPolicy");
    let none = "NoSuchPublicAccessBlockConfiguration";
    ask("publicAccessBlock").send(&world).await.refused(404, none);
    let read =
        |more: &str| iam(&statement(Dialect::S3, "Allow", r#""Action": "s3:GetObject""#, more));
    let address =
        |net: &str| format!(r#", "Condition": {{"IpAddress": {{"aws:SourceIp": "{net}"}}}}"#);
    let owner = read("").replace(r#""*""#, &format!(r#"{{"AWS": "arn:aws:iam::{UIN}:root"}}"#));
    for (policy, public) in [
        (read(""), "true"),
        (read(&address("127.0.0.0/8")), "false"),
        (read(&address("0.0.0.0/0")), "true"),
        (read(r#", "Condition": {"StringLike": {"aws:UserAgent": "x"}}"#), "true"),
        (owner.clone(), "false"),
    ] {
        set(&world, Dialect::S3, &policy).await;
        let answer = ask("policyStatus").send(&world).await;
        assert_eq!(answer.element("IsPublic").as_deref(), Some(public), "{policy}");
    }
    let block = |setting: &str| {
        let root = "PublicAccessBlockConfiguration";
        let body = format!("<{root}><{setting}>true</{setting}></{root}>");
        put(Dialect::S3, &bucket).query("publicAccessBlock", "").body(body)
    };
    block("BlockPublicPolicy").send(&world).await.ok();
    let shown = ask("publicAccessBlock").send(&world).await;
    assert_eq!(shown.element("BlockPublicPolicy").as_deref(), Some("true"));
    assert_eq!(shown.element("RestrictPublicBuckets").as_deref(), Some("false"));
    put_policy(Dialect::S3, &read("")).send(&world).await.refused(403, "AccessDenied");
    let open = cam(&statement(Dialect::Cos, "Allow", r#""Action": "cos:*""#, ""));
    put_policy(Dialect::Cos, &open).send(&world).await.refused(403, "AccessDenied");
    set(&world, Dialect::S3, &read(&address("127.0.0.0/8"))).await;
    let anonymous = get(Dialect::S3, &format!("/{BUCKET}/key")).signing(Signing::Nothing);
    anonymous.send(&world).await.ok();

    block("RestrictPublicBuckets").send(&world).await.ok();
    anonymous.send(&world).await.ok();
    set(&world, Dialect::S3, &read("")).await;
    anonymous.send(&world).await.refused(403, "AccessDenied");
    let gone = delete(Dialect::S3, &bucket).query("publicAccessBlock", "").send(&world).await;
    assert_eq!(gone.status, 204);
    anonymous.send(&world).await.ok();
}

/// Forms that nobody signed.
#[tokio::test]
async fn anonymous_forms() {
    let world = World::with_bucket().await;
    let form = |fields: &[(&str, &str)]| {
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        body += "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nhello\r\n--b--\r\n";
        let call = post(Dialect::S3, &format!("/{BUCKET}")).signing(Signing::Nothing);
        call.header("Content-Type", "multipart/form-data; boundary=b").body(body)
    };
    let open = form(&[("key", "in/a")]);
    open.send(&world).await.refused(403, "AccessDenied");
    let allow = iam(&format!(
        r#"{{"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::{BUCKET}/in/*",
            "Condition": {{"StringEqualsIfExists": {{"s3:x-amz-storage-class": "STANDARD"}}}}}}"#
    ));
    set(&world, Dialect::S3, &allow).await;
    let answer = open.send(&world).await;
    assert_eq!(answer.status, 204, "{}", answer.dump());
    form(&[("key", "out/a")]).send(&world).await.refused(403, "AccessDenied");
    let class = form(&[("key", "in/b"), ("x-amz-storage-class", "STANDARD_IA")]);
    class.send(&world).await.refused(403, "AccessDenied");
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    form(&[("key", "in/b"), ("tagging", tags)]).send(&world).await.refused(403, "AccessDenied");
    form(&[("key", "in/b"), ("policy", "e30=")]).send(&world).await.refused(403, "AccessDenied");
    let listed = get(Dialect::S3, &format!("/{BUCKET}")).send(&world).await;
    assert_eq!(listed.elements("Key"), ["in/a"]);
}

/// Who does not say who he is does not learn which buckets there are.
#[tokio::test]
async fn buckets_that_nobody_opened_look_like_none() {
    let world = with_objects().await;
    let ask =
        |path: &str| get(Dialect::S3, path).signing(Signing::Nothing).host(endpoint(Dialect::S3));
    let closed = ask(&format!("/{BUCKET}/key")).send(&world).await;
    let missing = ask("/no-such-bucket/key").send(&world).await;
    assert_eq!((closed.status, closed.code()), (missing.status, missing.code()));
}
