//! What a policy opens to everybody, and what a bucket blocks of that.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, Signing, delete, endpoint, get, head, post, put};
use crate::policies::{cam, iam, put_policy, set, statement, with_objects};
use crate::world::{APPID, BUCKET, UIN, World};

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
