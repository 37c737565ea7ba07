//! Kinds of flaws that advisories of other object stores tell of, each tried here.
//! `docs/advisories.md` says which test is about which.

use costrel_core::account::{KeyPair, SessionRequest, Whose};
use costrel_policy::Grammar;
use costrel_protocol::dialect::Dialect;
use costrel_signature::sign::{Identity, Outgoing, v4_service};

use crate::client::{Answer, Call, Signing, exchange, get, head, put, raw_head};
use crate::forms::Form;
use crate::policies::{iam, with_objects};
use crate::users::{Somebody, all};
use crate::world::{BUCKET, REGION, World};

/// A request to IAM or STS.
pub async fn asks(world: &World, service: &str, identity: &Identity, form: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let outgoing = Outgoing {
        method: "POST",
        host: "localhost",
        bucket_in_host: None,
        path: "/",
        query: &[],
        headers: &headers,
    };
    let added = v4_service(identity, &outgoing, (REGION, service), form.as_bytes(), world.now());
    let length = form.len().to_string();
    let mut all = headers.to_vec();
    all.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    all.push(("Content-Length", &length));
    let mut bytes = raw_head("POST", "/", "localhost", &all);
    bytes.extend_from_slice(form.as_bytes());
    exchange(world, &bytes, false).await
}

/// Errors of these services name no resource.
fn is_refused(answer: &Answer, code: &str) {
    assert_eq!((answer.status, answer.code()), (403, code.to_owned()), "{}", answer.dump());
}

#[tokio::test]
async fn an_unsigned_trailer_needs_a_good_signature() {
    let world = World::with_bucket().await;
    let before = world.stored().await;
    let body = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    let call = put(Dialect::S3, &format!("/{BUCKET}/key"))
        .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("x-amz-decoded-content-length", "5")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .header("content-encoding", "aws-chunked")
        .body(body);
    let wrong = call.clone().key(crate::world::KEY_ID, "not-the-secret-of-this-key-at-all");
    assert_eq!(wrong.send(&world).await.status, 403);
    let nobody = call.signing(Signing::Nothing);
    assert_eq!(nobody.send(&world).await.status, 403);
    // Who names a key where a signature would stand has not signed.
    let credential = format!("{}/20260102/{REGION}/s3/aws4_request", crate::world::KEY_ID);
    for more in [&[][..], &[("X-Amz-Signature", "0")], &[("X-Amz-Algorithm", "AWS4-HMAC-SHA256")]] {
        let mut named = nobody.clone().query("X-Amz-Credential", &credential);
        for (name, value) in more {
            named = named.query(name, value);
        }
        let unpacked = named.clone().header("x-amz-meta-snowball-auto-extract", "true");
        for call in [named, unpacked] {
            let answer = call.send(&world).await;
            assert!(matches!(answer.status, 400 | 403), "{}", answer.dump());
        }
    }
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn a_limited_key_makes_none_without_its_limits() {
    let world = World::with_bucket().await;
    let boss = Somebody::new(&world, "boss").await;
    boss.may(&world, &all("allow", r#""action": "*""#)).await;
    let key = world.accounts.create_key(boss.user.uin, "").await.unwrap();
    let own = world.accounts.find(key.id(), None).await.unwrap();
    let reads = iam(r#"{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}"#);
    let request = SessionRequest {
        name: "reader",
        duration_s: 900,
        policy: Some((Grammar::Iam, reads.as_bytes())),
        whose: Whose::Federated,
    };
    let limited = world.accounts.grant(&own, &request).unwrap();
    let identity = Identity::new(limited.pair.id(), limited.pair.secret().expose())
        .with_token(limited.token.expose());
    let before = world.stored().await;
    for form in [
        "Action=CreateAccessKey",
        "Action=CreateAccessKey&UserName=boss",
        "Action=CreateUser&UserName=more",
        "Action=PutUserPolicy&UserName=boss&PolicyName=p&PolicyDocument=%7B%7D",
    ] {
        is_refused(&asks(&world, "iam", &identity, form).await, "AccessDenied");
    }
    // Nobody chooses what a key is called, not the root either.
    let root = Identity::new(crate::world::KEY_ID, crate::world::SECRET);
    let chosen =
        format!("Action=CreateAccessKey&UserName=boss&AccessKeyId={}", crate::world::KEY_ID);
    for identity in [&identity, &root] {
        let answer = asks(&world, "iam", identity, &chosen).await;
        assert!(answer.status >= 400, "{}", answer.dump());
    }
    for form in ["Action=GetSessionToken", "Action=GetFederationToken&Name=more"] {
        is_refused(&asks(&world, "sts", &identity, form).await, "AccessDenied");
    }
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn whoever_may_nothing_administers_nothing() {
    let world = World::with_bucket().await;
    let nobody = Somebody::new(&world, "nobody").await;
    let pair = world.accounts.create_key(nobody.user.uin, "").await.unwrap();
    let identity = Identity::new(pair.id(), pair.secret().expose());
    let before = world.stored().await;
    let document = "PolicyDocument=%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C\
                    %22Action%22%3A%22*%22%2C%22Resource%22%3A%22*%22%7D%7D";
    for form in [
        "CreateUser&UserName=more".to_owned(),
        "DeleteUser&UserName=nobody".to_owned(),
        "ListUsers".to_owned(),
        "GetUser&UserName=nobody".to_owned(),
        "CreateAccessKey&UserName=nobody".to_owned(),
        "CreateAccessKey".to_owned(),
        "ListAccessKeys".to_owned(),
        format!("UpdateAccessKey&Status=Inactive&AccessKeyId={}", pair.id()),
        format!("PutUserPolicy&UserName=nobody&PolicyName=p&{document}"),
        format!("CreatePolicy&PolicyName=p&{document}"),
        "AttachUserPolicy&UserName=nobody&PolicyArn=arn:aws:iam::100000000001:policy/p".to_owned(),
        "CreateGroup&GroupName=g".to_owned(),
        "AddUserToGroup&GroupName=g&UserName=nobody".to_owned(),
        "ListRoles".to_owned(),
        "SimulatePrincipalPolicy&PolicySourceArn=arn:aws:iam::100000000001:user/nobody\
         &ActionNames.member.1=s3:GetObject"
            .to_owned(),
    ] {
        let form = format!("Action={form}");
        is_refused(&asks(&world, "iam", &identity, &form).await, "AccessDenied");
    }
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn unknown_keys_administer_nothing() {
    let world = World::with_bucket().await;
    let unknown = KeyPair::new("AKIDnobody", "a-secret-of-nobody").unwrap();
    let identity = Identity::new(unknown.id(), unknown.secret().expose());
    for (service, form) in [("iam", "Action=ListUsers"), ("sts", "Action=GetCallerIdentity")] {
        is_refused(&asks(&world, service, &identity, form).await, "InvalidClientTokenId");
    }
    let root = Identity::new(crate::world::KEY_ID, "");
    is_refused(&asks(&world, "iam", &root, "Action=ListUsers").await, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn there_are_no_internal_addresses() {
    let world = with_objects().await;
    let before = world.stored().await;
    for path in [
        "/minio/bootstrap/v1/verify",
        "/minio/admin/v3/info",
        "/minio/health/cluster",
        "/rustfs/rpc/read_file_stream",
        "/rustfs/admin/v3/list-users",
        "/node_service.NodeService/Ping",
        "/admin/user",
        "/policy/explain?root&action=s3:GetObject",
        "/metrics",
        "/rustfs/admin/v3/metrics",
        "/rustfs/console/license",
        "/profile/cpu",
        "/profile/memory",
        "/debug/pprof/heap",
        "/swift/v1//",
    ] {
        for method in ["GET", "POST", "PUT"] {
            let headers = [
                ("authorization", "rustfs rpc"),
                ("content-type", "application/grpc"),
                ("content-length", "0"),
            ];
            let request = raw_head(method, path, "localhost", &headers);
            let answer = exchange(&world, &request, false).await;
            assert!(answer.status >= 400, "{method} {path}: {}", answer.dump());
            let text = answer.dump();
            for secret in [crate::world::SECRET, "MINIO_", "kept"] {
                assert!(!text.contains(secret), "{method} {path}: {text}");
            }
        }
    }
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn a_form_goes_where_its_address_and_policy_say() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let other = "otherbucket-1250000000";
        world.make_bucket(other).await;
        // A field that names another bucket is no address.
        let form = Form::new(dialect).without_condition("bucket").field("bucket", other);
        form.send(&world).await;
        let listed = get(dialect, &format!("/{other}")).send(&world).await;
        assert!(!listed.ok().has_element("Key"), "{}", listed.dump());
        // Nor does its policy go for another bucket, key or type.
        let before = world.stored().await;
        let elsewhere = Form::new(dialect).without_condition("bucket");
        let elsewhere = elsewhere.condition(&format!(r#"{{"bucket": "{other}"}}"#));
        for form in [
            elsewhere,
            Form::new(dialect).field("key", "elsewhere/p.png"),
            Form::new(dialect).field("Content-Type", "text/html"),
        ] {
            assert_eq!(form.send(&world).await.status, 403);
        }
        assert_eq!(world.stored().await, before);
    }
}

#[tokio::test]
async fn conditions_tell_strangers_nothing() {
    let world = with_objects().await;
    let nobody = Somebody::new(&world, "nobody").await;
    let tag = head(Dialect::S3, &format!("/{BUCKET}/key")).send(&world).await;
    let tag = tag.header("ETag").unwrap().to_owned();
    for (name, value) in [
        ("If-Match", tag.as_str()),
        ("If-None-Match", &tag),
        ("If-Match", "\"0\""),
        ("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("If-Modified-Since", "Fri, 01 Jan 2027 00:00:00 GMT"),
        ("If-Unmodified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("Range", "bytes=100000-"),
    ] {
        for key in ["key", "missing"] {
            let call = get(Dialect::S3, &format!("/{BUCKET}/{key}")).header(name, value);
            let anonymous = call.clone().signing(Signing::Nothing);
            anonymous.send(&world).await.refused(403, "AccessDenied");
            nobody.signs(call).send(&world).await.refused(403, "AccessDenied");
        }
    }
}

#[tokio::test]
async fn parts_are_copied_from_what_may_be_read() {
    for dialect in Dialect::ALL {
        let world = with_objects().await;
        let writer = Somebody::new(&world, "writer").await;
        let writes = r#""action": ["name/cos:PutObject", "name/cos:InitiateMultipartUpload",
            "name/cos:UploadPart", "name/cos:UploadPartCopy"]"#;
        writer.may(&world, &all("allow", writes)).await;
        let begin = crate::client::post(dialect, &format!("/{BUCKET}/copy")).query("uploads", "");
        let begun = writer.signs(begin).send(&world).await;
        let upload = begun.ok().element("UploadId").unwrap();
        let source = match dialect {
            Dialect::S3 => format!("/{BUCKET}/source"),
            Dialect::Cos => format!("{BUCKET}.cos.{REGION}.myqcloud.com/source"),
        };
        let header = dialect.headers().copy_source.as_str().to_owned();
        let part = put(dialect, &format!("/{BUCKET}/copy"))
            .query("partNumber", "1")
            .query("uploadId", &upload)
            .header(&header, &source);
        let whole = put(dialect, &format!("/{BUCKET}/copy")).header(&header, &source);
        for call in [part, whole] {
            writer.signs(call.clone()).send(&world).await.refused(403, "AccessDenied");
            // It is the reading that was missing.
            call.send(&world).await.ok();
        }
    }
}

/// What a policy says of the sources of copies counts for parts as well.
#[tokio::test]
async fn policies_say_what_parts_are_copied_from() {
    for dialect in Dialect::ALL {
        let world = with_objects().await;
        let writer = Somebody::new(&world, "writer").await;
        writer.may(&world, &all("allow", r#""action": "*""#)).await;
        let source = |key: &str| match dialect {
            Dialect::S3 => format!("/{BUCKET}/{key}"),
            Dialect::Cos => format!("{BUCKET}.cos.{REGION}.myqcloud.com/{key}"),
        };
        let only = iam(&format!(
            r#"{{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                "Resource": "arn:aws:s3:::{BUCKET}/*",
                "Condition": {{"StringNotEquals": {{"s3:x-amz-copy-source": "{}"}},
                               "Null": {{"s3:x-amz-copy-source": "false"}}}}}}"#,
            source("source")
        ));
        crate::policies::set(&world, Dialect::S3, &only).await;
        let begin = crate::client::post(dialect, &format!("/{BUCKET}/copy")).query("uploads", "");
        let upload = writer.signs(begin).send(&world).await.ok().element("UploadId").unwrap();
        let header = dialect.headers().copy_source.as_str().to_owned();
        let part = |key: &str| {
            let part = put(dialect, &format!("/{BUCKET}/copy")).query("partNumber", "1");
            writer.signs(part.query("uploadId", &upload).header(&header, &source(key)))
        };
        part("key").send(&world).await.refused(403, "AccessDenied");
        part("source").send(&world).await.ok();
    }
}

/// Whoever is denied it sets no retention aside, one object at a time or many.
#[tokio::test]
async fn a_bypass_that_is_denied_sets_nothing_aside() {
    let world = World::new().await;
    let made = put(Dialect::S3, &format!("/{BUCKET}"));
    made.header("x-amz-bucket-object-lock-enabled", "true").send(&world).await.ok();
    let writer = Somebody::new(&world, "writer").await;
    writer.may(&world, &all("allow", r#""action": "*""#)).await;
    let deny = iam(&format!(
        r#"{{"Effect": "Deny", "Principal": "*", "Action": "s3:BypassGovernanceRetention",
            "Resource": "arn:aws:s3:::{BUCKET}/*"}}"#
    ));
    let kept = put(Dialect::S3, &format!("/{BUCKET}/kept"))
        .header("x-amz-object-lock-mode", "GOVERNANCE")
        .header("x-amz-object-lock-retain-until-date", "2140-01-01T00:00:00Z");
    let kept = kept.body("x").send(&world).await;
    let version = kept.ok().header("x-amz-version-id").unwrap().to_owned();
    crate::policies::set(&world, Dialect::S3, &deny).await;
    let name = "x-amz-bypass-governance-retention";
    let one = crate::client::delete(Dialect::S3, &format!("/{BUCKET}/kept"));
    let one = one.query("versionId", &version).header(name, "true");
    let list = format!(
        "<Delete><Object><Key>kept</Key><VersionId>{version}</VersionId></Object></Delete>"
    );
    let many = crate::client::post(Dialect::S3, &format!("/{BUCKET}")).query("delete", "");
    let many = writer.signs(many.header(name, "true").body(list));
    writer.signs(one.clone()).send(&world).await.refused(403, "AccessDenied");
    let answer = many.send(&world).await;
    assert_eq!(answer.ok().elements("Code"), ["AccessDenied"], "{}", answer.dump());
    let gone = crate::client::delete(Dialect::S3, &format!("/{BUCKET}")).query("policy", "");
    gone.send(&world).await.ok();
    writer.signs(one).send(&world).await.ok();
}

/// What servers say among themselves no client says: it is none of an object's metadata.
#[tokio::test]
async fn headers_of_other_servers_mean_nothing() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    let names = [
        "X-Minio-Replication-Server-Side-Encryption-Sealed-Key",
        "X-Minio-Replication-Server-Side-Encryption-Iv",
        "X-Minio-Internal-Server-Side-Encryption-Sealed-Key",
        "X-Minio-Source-Replication-Request",
        "X-Rustfs-Internal-Compression",
        "X-Rgw-Auth",
    ];
    let headers = |call| names.iter().fold(call, |call: Call, name| call.header(name, "true"));
    headers(put(Dialect::S3, &path)).body("whole").send(&world).await.ok();
    let read = get(Dialect::S3, &path).send(&world).await;
    assert_eq!(read.ok().text(), "whole");
    assert!(!read.dump().to_lowercase().contains("sealed"), "{}", read.dump());
    let nobody = headers(get(Dialect::S3, &path)).signing(Signing::Nothing);
    nobody.send(&world).await.refused(403, "AccessDenied");
}

/// What is logged of requests and of keys tells no secrets.
#[tokio::test]
async fn what_is_logged_tells_no_secrets() {
    let world = with_objects().await;
    let key = world
        .temporary(Grammar::Iam, &iam(r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}"#))
        .await;
    let path = format!("/{BUCKET}/key");
    get(Dialect::S3, &path).temporary(&key).send(&world).await.ok();
    let link = get(Dialect::S3, &path).signing(Signing::V4Query).temporary(&key);
    link.send(&world).await.ok();
    let (secret, token) = (key.pair.secret().expose(), key.token.expose());
    get(Dialect::S3, &path)
        .key(key.pair.id(), secret)
        .send(&world)
        .await
        .refused(403, "InvalidAccessKeyId");
    let root = Identity::new(crate::world::KEY_ID, crate::world::SECRET);
    let made = asks(&world, "iam", &root, "Action=CreateUser&UserName=one").await;
    assert_eq!(made.status, 200, "{}", made.dump());
    let made = asks(&world, "iam", &root, "Action=CreateAccessKey&UserName=one").await;
    let new = made.element("SecretAccessKey").unwrap();
    let found = world.accounts.find(key.pair.id(), Some(token)).await.unwrap();
    let told = format!("{:?} {key:?} {found:?}", world.records.all());
    assert!(told.contains(key.pair.id()));
    for hidden in [secret, token, &new, crate::world::SECRET] {
        assert!(!told.contains(hidden), "{told}");
    }
}

#[tokio::test]
async fn keys_stay_in_their_bucket() {
    let world = World::with_bucket().await;
    let other = "otherbucket-1250000000";
    world.make_bucket(other).await;
    for dialect in Dialect::ALL {
        for key in [
            "../otherbucket-1250000000/a",
            "a/../../otherbucket-1250000000/b",
            "..",
            "./c",
            "..\\otherbucket-1250000000\\a",
            "/../otherbucket-1250000000/a",
        ] {
            let call = put(dialect, &format!("/{BUCKET}/{key}")).body("x");
            // Kept under this very key, or refused; never anywhere else.
            let kept = call.send(&world).await.status == 200;
            let read = get(dialect, &format!("/{BUCKET}/{key}")).send(&world).await;
            assert_eq!(read.status == 200, kept, "{key}: {}", read.dump());
            let listed = get(dialect, &format!("/{other}")).send(&world).await;
            assert!(!listed.ok().has_element("Key"), "{key}: {}", listed.dump());
        }
    }
}

#[tokio::test]
async fn line_ends_make_no_headers() {
    let world = with_objects().await;
    let injected = |answer: &Answer| answer.header("X-Injected").is_some();
    for dialect in Dialect::ALL {
        for name in ["response-content-type", "response-content-disposition"] {
            let call = get(dialect, &format!("/{BUCKET}/key"));
            let answer = call.query(name, "a\r\nX-Injected: b").send(&world).await;
            assert!(!injected(&answer), "{name}: {}", answer.dump());
        }
        for expose in ["a&#13;&#10;X-Injected: b", "a\r\nX-Injected: b"] {
            let document = format!(
                "<CORSConfiguration><CORSRule><AllowedOrigin>http://a</AllowedOrigin>\
                 <AllowedMethod>GET</AllowedMethod><ExposeHeader>{expose}</ExposeHeader>\
                 </CORSRule></CORSConfiguration>"
            );
            put(dialect, &format!("/{BUCKET}")).query("cors", "").body(document).send(&world).await;
            let call = get(dialect, &format!("/{BUCKET}/key")).header("Origin", "http://a");
            let answer = call.send(&world).await;
            assert!(!injected(&answer), "{expose:?}: {}", answer.dump());
        }
    }
}
