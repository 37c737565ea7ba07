//! Kinds of flaws that advisories of other object stores tell of, each tried here.
//!
//! | Advisory | Kind | Test |
//! |---|---|---|
//! | MinIO CVE-2025-31489 | a body with an unsigned trailer was taken without its signature being looked at | `an_unsigned_trailer_needs_a_good_signature` |
//! | MinIO CVE-2025-62506 | a temporary key made keys without its own limits | `a_limited_key_makes_none_without_its_limits` |
//! | MinIO CVE-2022-24842, CVE-2024-24747, CVE-2024-55949; RustFS on `ImportIam`, `ListServiceAccount` | whoever had any key could administer, or give himself more | `whoever_may_nothing_administers_nothing` |
//! | MinIO CVE-2020-11012 | an unknown key was let in to administer | `unknown_keys_administer_nothing` |
//! | MinIO CVE-2023-28432; RustFS CVE-2025-68926 | internal addresses answered anybody, or whoever knew a fixed token | `there_are_no_internal_addresses` |
//! | MinIO CVE-2021-21362, CVE-2023-28434; RGW CVE-2023-43040 | a form put an object where its policy, or its address, did not say | `a_form_goes_where_its_address_and_policy_say` |
//! | MinIO CVE-2024-36107 | conditional headers told strangers of objects | `conditions_tell_strangers_nothing` |
//! | RustFS on `X-Forwarded-For` | a header said where a request came from | `policies::addresses_are_the_connection_s` |
//! | RustFS on `UploadPartCopy` | a part was copied from what its author could not read | `parts_are_copied_from_what_may_be_read` |
//! | RustFS on paths | a key with dots led out of its bucket | `keys_stay_in_their_bucket` |
//! | RGW CVE-2020-10753, CVE-2021-3524 | line ends in a configuration or a parameter made headers | `line_ends_make_no_headers` |

use costrel_core::account::{KeyPair, SessionRequest, Whose};
use costrel_policy::Grammar;
use costrel_protocol::dialect::Dialect;
use costrel_signature::sign::{Identity, Outgoing, v4_service};

use crate::client::{Answer, Signing, exchange, get, head, put, raw_head};
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

#[tokio::test]
async fn keys_stay_in_their_bucket() {
    let world = World::with_bucket().await;
    let other = "otherbucket-1250000000";
    world.make_bucket(other).await;
    for dialect in Dialect::ALL {
        for key in ["../otherbucket-1250000000/a", "a/../../otherbucket-1250000000/b", "..", "./c"]
        {
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
