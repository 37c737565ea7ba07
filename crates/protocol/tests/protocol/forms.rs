//! Form uploads, with every condition of a policy kept and broken in turn.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use costrel_core::account::TemporaryKey;
use costrel_policy::Grammar;
use costrel_protocol::dialect::Dialect;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::hmac;
use tokio::time::Instant;

use crate::client::{Answer, endpoint, exchange, get, raw_head};
use crate::policies::iam;
use crate::world::{BUCKET, KEY_ID, REGION, SECRET, World};

const BOUNDARY: &str = "----boundary7MA4YWxk";
const LATER: &str = "2026-01-02T04:00:00.000Z";

fn hmac_of(algorithm: hmac::Algorithm, key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
}

/// A form and its policy, to be spoilt before it is signed.
#[derive(Clone)]
pub struct Form {
    dialect: Dialect,
    fields: Vec<(String, String)>,
    conditions: Vec<String>,
    expiration: String,
    file: Vec<u8>,
    id: String,
    secret: String,
    /// After the signature was made.
    added: Vec<(String, String)>,
    omitted: Vec<String>,
}

impl Form {
    /// One that is accepted: key `photos/${filename}`, an exact and a prefix
    /// condition, a range of lengths.
    pub fn new(dialect: Dialect) -> Form {
        let meta = format!("{}a", dialect.headers().meta_prefix);
        let mut form = Form {
            dialect,
            fields: Vec::new(),
            conditions: vec![
                format!(r#"{{"bucket": "{BUCKET}"}}"#),
                r#"["starts-with", "$key", "photos/"]"#.into(),
                r#"["starts-with", "$Content-Type", "image/"]"#.into(),
                format!(r#"["eq", "${meta}", "value"]"#),
                r#"["content-length-range", 2, 10]"#.into(),
            ],
            expiration: LATER.into(),
            file: b"hello".to_vec(),
            id: KEY_ID.into(),
            secret: SECRET.into(),
            added: Vec::new(),
            omitted: Vec::new(),
        };
        form = form.field("key", "photos/${filename}").field("Content-Type", "image/png");
        form.field(&meta, "value")
    }

    pub fn field(mut self, name: &str, value: &str) -> Form {
        self.fields.retain(|(n, _)| n != name);
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn condition(mut self, text: &str) -> Form {
        self.conditions.push(text.into());
        self
    }

    pub fn without_condition(mut self, part: &str) -> Form {
        self.conditions.retain(|text| !text.contains(part));
        self
    }

    fn file(mut self, file: &[u8]) -> Form {
        self.file = file.to_vec();
        self
    }

    fn add(mut self, name: &str, value: &str) -> Form {
        self.added.push((name.into(), value.into()));
        self
    }

    fn omit(mut self, name: &str) -> Form {
        self.omitted.push(name.into());
        self
    }

    /// Signed by this key, for as long as a temporary one may last.
    pub fn by(mut self, id: &str, secret: &str, token: Option<&str>) -> Form {
        (self.id, self.secret) = (id.into(), secret.into());
        let Some(token) = token else { return self };
        let name = self.dialect.headers().security_token.as_str().to_owned();
        self.expiration = "2027-01-01T00:00:00Z".into();
        self.field(&name, token).condition(&format!(r#"{{"{name}": "{token}"}}"#))
    }

    /// Nobody's.
    pub fn unsigned(self) -> Form {
        let signing = match self.dialect {
            Dialect::Cos => &["q-sign-algorithm", "q-ak", "q-key-time", "q-signature"][..],
            Dialect::S3 => {
                &["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"]
            }
        };
        signing.iter().fold(self.omit("policy"), |form, name| form.omit(name))
    }

    /// All fields in order, signed.
    fn signed(&self, world: &World) -> Vec<(String, String)> {
        let (mut fields, mut conditions) = (self.fields.clone(), self.conditions.clone());
        let mut with = |name: &str, value: String| {
            fields.push((name.to_owned(), value));
        };
        let key_time = format!("{};{}", world.now() - 60, world.now() + 600);
        let scope = format!("20260102/{REGION}/s3/aws4_request");
        match self.dialect {
            Dialect::Cos => {
                conditions.push(r#"{"q-sign-algorithm": "sha1"}"#.into());
                conditions.push(format!(r#"{{"q-ak": "{}"}}"#, self.id));
                conditions.push(format!(r#"{{"q-sign-time": "{key_time}"}}"#));
                with("q-sign-algorithm", "sha1".into());
                with("q-ak", self.id.clone());
                with("q-key-time", key_time.clone());
            }
            Dialect::S3 => {
                let credential = format!("{}/{scope}", self.id);
                let own = [
                    ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
                    ("x-amz-credential", &credential),
                    ("x-amz-date", "20260102T030405Z"),
                ];
                for (name, value) in own {
                    conditions.push(format!(r#"{{"{name}": "{value}"}}"#));
                    with(name, value.into());
                }
            }
        }
        let policy = format!(
            r#"{{"expiration": "{}", "conditions": [{}]}}"#,
            self.expiration,
            conditions.join(", ")
        );
        let encoded = BASE64.encode(&policy);
        let (name, signature) = match self.dialect {
            Dialect::Cos => {
                let sha1 = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
                let key = hex::encode(hmac_of(sha1, self.secret.as_bytes(), key_time.as_bytes()));
                let text = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, policy.as_bytes()));
                ("q-signature", hmac_of(sha1, key.as_bytes(), text.as_bytes()))
            }
            Dialect::S3 => {
                let mut key = format!("AWS4{}", self.secret).into_bytes();
                for piece in scope.split('/') {
                    key = hmac_of(hmac::HMAC_SHA256, &key, piece.as_bytes());
                }
                ("x-amz-signature", hmac_of(hmac::HMAC_SHA256, &key, encoded.as_bytes()))
            }
        };
        with("policy", encoded);
        with(name, hex::encode(signature));
        fields.extend(self.added.clone());
        fields.retain(|(name, _)| !self.omitted.contains(name));
        fields
    }

    fn body(&self, world: &World) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in self.signed(world) {
            let part = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            body.extend_from_slice(part.as_bytes());
        }
        let file = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\my\\p.png\"\
             \r\nContent-Type: text/evil\r\n\r\n"
        );
        body.extend_from_slice(file.as_bytes());
        body.extend_from_slice(&self.file);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        body
    }

    pub async fn send(&self, world: &World) -> Answer {
        post_body(world, self.dialect, &self.body(world)).await
    }
}

async fn post_body(world: &World, dialect: Dialect, body: &[u8]) -> Answer {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let length = body.len().to_string();
    let headers = [("Content-Type", content_type.as_str()), ("Content-Length", &length)];
    let mut bytes = raw_head("POST", &format!("/{BUCKET}"), endpoint(dialect), &headers);
    bytes.extend_from_slice(body);
    exchange(world, &bytes, false).await
}

#[tokio::test]
async fn a_form_makes_an_object() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let answer = Form::new(dialect).send(&world).await;
        assert_eq!(answer.status, 204, "{}", answer.dump());
        assert_eq!(answer.header("ETag"), Some("\"5d41402abc4b2a76b9719d911017c592\""));
        let place = format!("http://{}/{BUCKET}/photos/p.png", endpoint(dialect));
        assert_eq!(answer.header("Location"), Some(place.as_str()));
        let read = get(dialect, &format!("/{BUCKET}/photos/p.png")).send(&world).await;
        assert_eq!(read.text(), "hello");
        // The type is the field's, never the file part's.
        assert_eq!(read.header("Content-Type"), Some("image/png"));
        let meta = format!("{}a", dialect.headers().meta_prefix);
        assert_eq!(read.header(&meta), Some("value"));
    }
}

#[tokio::test]
async fn a_form_of_a_temporary_key_goes_as_far_as_its_policy_and_its_time() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let policy = |prefix: &str| {
            iam(&format!(
                r#"{{"Effect": "Allow", "Action": "s3:PutObject",
                    "Resource": "arn:aws:s3:::{BUCKET}/{prefix}*"}}"#
            ))
        };
        let key = world.temporary(Grammar::Iam, &policy("photos/")).await;
        let other = world.temporary(Grammar::Iam, &policy("other/")).await;
        let name = dialect.headers().security_token.as_str().to_owned();
        let form = |key: &TemporaryKey| {
            let (id, secret) = (key.pair.id(), key.pair.secret().expose());
            Form::new(dialect).by(id, secret, Some(key.token.expose()))
        };
        let answer = form(&key).send(&world).await;
        assert_eq!(answer.status, 204, "{}", answer.dump());
        form(&other).send(&world).await.refused(403, "AccessDenied");
        form(&key).omit(&name).send(&world).await.refused(403, "InvalidAccessKeyId");
        let borrowed = Form { id: other.pair.id().into(), ..form(&key) };
        let code = if dialect == Dialect::Cos { "InvalidAccessKeyId" } else { "InvalidToken" };
        assert_eq!(borrowed.send(&world).await.code(), code);
        world.pass(Duration::from_secs(1800));
        form(&key).send(&world).await.refused(400, "ExpiredToken");
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_keeps_to_its_speed_limit() {
    let world = World::with_bucket().await;
    let form = Form::new(Dialect::Cos).without_condition("content-length-range");
    let form = form.file(&vec![b'x'; 1 << 20]);
    let limited = |limit: &str| form.clone().add("x-cos-traffic-limit", limit);
    limited("819199").send(&world).await.refused(400, "InvalidArgument");
    let begun = Instant::now();
    assert_eq!(limited("819200").send(&world).await.status, 204);
    let took = begun.elapsed().as_secs_f64();
    assert!((10.0..10.4).contains(&took), "{took}");
}

#[tokio::test]
async fn the_answer_is_what_the_form_asks_for() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        for (asked, status) in [("200", 200), ("201", 201), ("204", 204), ("404", 204)] {
            let form = Form::new(dialect)
                .field("success_action_status", asked)
                .condition(&format!(r#"{{"success_action_status": "{asked}"}}"#));
            let answer = form.send(&world).await;
            assert_eq!(answer.status, status, "{}", answer.dump());
            match status {
                201 => {
                    assert_eq!(answer.element("Bucket").as_deref(), Some(BUCKET));
                    assert_eq!(answer.element("Key").as_deref(), Some("photos/p.png"));
                    assert_eq!(answer.element("Location").as_deref(), answer.header("Location"));
                    assert_eq!(answer.element("ETag").as_deref(), answer.header("ETag"));
                }
                _ => assert!(answer.body.is_empty()),
            }
        }
        let redirect = |url: &str| {
            Form::new(dialect)
                .field("success_action_redirect", url)
                .condition(r#"["starts-with", "$success_action_redirect", ""]"#)
        };
        let answer = redirect("http://site.example/done?x=1").send(&world).await;
        assert_eq!(answer.status, 303);
        let want = format!(
            "http://site.example/done?x=1&bucket={BUCKET}&key=photos/p.png\
             &etag=%225d41402abc4b2a76b9719d911017c592%22"
        );
        assert_eq!(answer.header("Location"), Some(want.as_str()));
        let answer = redirect("no address").send(&world).await;
        assert_eq!(answer.status, 204);
    }
}

/// COS's words for a condition that fails, as its documents print them.
#[tokio::test]
async fn conditions_of_cos_are_named_with_their_values() {
    let world = World::with_bucket().await;
    let form = || Form::new(Dialect::Cos);
    let bucket = form().without_condition("bucket").condition(r#"{"bucket": "other"}"#);
    let field = form().condition(r#"{"x-cos-meta-q": "1"}"#);
    for (form, key, value) in [(bucket, "bucket", "[other]"), (field, "x-cos-meta-q", "1")] {
        let answer = form.send(&world).await;
        answer.refused(403, "AccessDenied");
        let message = format!("Condition key {key} doesn't match the value {value}");
        assert_eq!(answer.element("Message"), Some(message));
    }
}

#[tokio::test]
async fn every_condition_is_checked() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let stored = world.stored().await;
        let form = || Form::new(dialect);
        let meta = format!("{}a", dialect.headers().meta_prefix);
        let class = dialect.headers().storage_class.as_str();
        let mut cases: Vec<(&str, Form, u16, &str)> = vec![
            ("key", form().field("key", "private/x"), 403, "AccessDenied"),
            ("type", form().field("Content-Type", "text/html"), 403, "AccessDenied"),
            ("meta", form().field(&meta, "other"), 403, "AccessDenied"),
            ("no meta", form().omit(&meta), 403, "AccessDenied"),
            (
                "bucket",
                form().without_condition("bucket").condition(r#"{"bucket": "other"}"#),
                403,
                "AccessDenied",
            ),
            (
                "a field that is not there",
                form().condition(r#"["starts-with", "$Cache-Control", ""]"#),
                403,
                "AccessDenied",
            ),
            ("too small", form().file(b"x"), 400, "EntityTooSmall"),
            ("too large", form().file(b"0123456789a"), 400, "EntityTooLarge"),
            (
                "expired",
                Form { expiration: "2026-01-02T03:00:00Z".into(), ..form() },
                403,
                "AccessDenied",
            ),
            (
                "no date",
                Form { expiration: "tomorrow".into(), ..form() },
                400,
                "InvalidPolicyDocument",
            ),
            (
                "unknown operator",
                form().condition(r#"["contains", "$key", "x"]"#),
                400,
                "InvalidPolicyDocument",
            ),
            ("no condition", form().condition("7"), 400, "InvalidPolicyDocument"),
            ("not JSON", form().condition("]"), 400, "InvalidPolicyDocument"),
            (
                "wrong secret",
                Form { secret: "some-other-secret".into(), ..form() },
                403,
                "SignatureDoesNotMatch",
            ),
            ("no key", form().without_condition("$key").omit("key"), 400, "InvalidArgument"),
            ("two keys", form().add("Key", "photos/other"), 400, "InvalidArgument"),
            (
                "class",
                form().field(class, "COLD").condition(&format!(r#"{{"{class}": "COLD"}}"#)),
                400,
                match dialect {
                    Dialect::Cos => "NotSupportedStorageClass",
                    Dialect::S3 => "InvalidStorageClass",
                },
            ),
            (
                "acl",
                form().field("acl", "open").condition(r#"{"acl": "open"}"#),
                400,
                "InvalidArgument",
            ),
            (
                "wrong MD5",
                form()
                    .field("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")
                    .condition(r#"["starts-with", "$Content-MD5", ""]"#),
                400,
                "BadDigest",
            ),
            (
                "no MD5",
                form()
                    .field("Content-MD5", "x")
                    .condition(r#"["starts-with", "$Content-MD5", ""]"#),
                400,
                "InvalidDigest",
            ),
            ("no policy", form().omit("policy"), 400, "AuthorizationHeaderMalformed"),
        ];
        if dialect == Dialect::Cos {
            cases.last_mut().unwrap().2 = 403;
            cases.last_mut().unwrap().3 = "AccessDenied";
            cases.push((
                "prefix of the bucket",
                form().condition(r#"["starts-with", "$bucket", ""]"#),
                400,
                "InvalidPolicyDocument",
            ));
        } else {
            cases.push((
                "not covered",
                form().add("Cache-Control", "no-cache"),
                403,
                "AccessDenied",
            ));
            cases.push((
                "bucket not named",
                form().without_condition("bucket"),
                403,
                "AccessDenied",
            ));
            let checksum = form()
                .field("x-amz-checksum-crc32", "AAAAAA==")
                .condition(r#"["starts-with", "$x-amz-checksum-crc32", ""]"#);
            cases.push(("checksum", checksum, 400, "BadDigest"));
            let unknown = form()
                .field("x-amz-checksum-sha512", "AAAA")
                .condition(r#"["starts-with", "$x-amz-checksum-sha512", ""]"#);
            cases.push(("unknown checksum", unknown, 501, "NotImplemented"));
        }
        for (what, form, status, code) in cases {
            let answer = form.send(&world).await;
            assert_eq!(
                (answer.status, &*answer.code()),
                (status, code),
                "{dialect:?} {what}: {}",
                answer.dump()
            );
            assert_eq!(world.stored().await, stored, "{what}");
        }
        // The ends of a range of lengths belong to it.
        for file in [&b"01"[..], b"0123456789"] {
            assert_eq!(form().file(file).send(&world).await.status, 204);
        }
        if dialect == Dialect::S3 {
            let ignored = form().add("x-ignore-anything", "x").send(&world).await;
            assert_eq!(ignored.status, 204);
        }
    }
}

/// Words that COS's documents give for these failures.
#[tokio::test]
async fn messages_of_cos() {
    let world = World::with_bucket().await;
    let expired = Form { expiration: "2026-01-02T03:00:00Z".into(), ..Form::new(Dialect::Cos) };
    let message = expired.send(&world).await.element("Message").unwrap();
    let want = format!(
        "You post object request has been expired, expiration time: 1767322800 but the time now : {}",
        world.now()
    );
    assert_eq!(message, want);
    let wrong = Form { secret: "some-other-secret".into(), ..Form::new(Dialect::Cos) };
    let message = wrong.send(&world).await.element("Message").unwrap();
    assert_eq!(message, "The Signature you specified is invalid.");
    let mut form = Form::new(Dialect::Cos);
    form.conditions.clear();
    // The mandatory conditions are the signer's.
    assert_eq!(form.send(&world).await.status, 204);
}

/// A form without a signature is anonymous.
#[tokio::test]
async fn anonymous_forms_are_refused() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        let body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n\
             --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--{BOUNDARY}--\r\n"
        );
        post_body(&world, dialect, body.as_bytes()).await.refused(403, "AccessDenied");
    }
    assert_eq!(world.stored().await, stored);
}

#[tokio::test]
async fn malformed_forms() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        let whole = Form::new(dialect).body(&world);
        let text = String::from_utf8(whole.clone()).unwrap();
        let many: String = (0..300)
            .map(|n| {
                format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"f{n}\"\r\n\r\nv\r\n"
                )
            })
            .collect();
        let huge = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n{}\r\n{text}",
            "v".repeat(100_000)
        );
        let cases = [
            (String::new(), 400, "MalformedPOSTRequest"),
            ("no form at all".into(), 400, "MalformedPOSTRequest"),
            (text[..text.len() - 20].into(), 400, "MalformedPOSTRequest"),
            (text[..text.len() / 2].into(), 400, "MalformedPOSTRequest"),
            (
                text.replace("name=\"file\"", "name=\"other\""),
                400,
                "IncorrectNumberOfFilesInPostRequest",
            ),
            (
                text.replacen("Content-Disposition", "Content-Something", 1),
                400,
                "MalformedPOSTRequest",
            ),
            (text.replacen("form-data; name=\"key\"", "form-data", 1), 400, "MalformedPOSTRequest"),
            (format!("{many}{text}"), 400, "MaxPostPreDataLengthExceeded"),
            (huge, 400, "MaxPostPreDataLengthExceeded"),
        ];
        for (body, status, code) in cases {
            let answer = post_body(&world, dialect, body.as_bytes()).await;
            assert_eq!((answer.status, &*answer.code()), (status, code), "{}", answer.dump());
        }
        let length = whole.len().to_string();
        for content_type in
            ["text/plain", "multipart/form-data", "multipart/form-data; boundary=", ""]
        {
            let headers = [("Content-Type", content_type), ("Content-Length", length.as_str())];
            let mut bytes = raw_head("POST", &format!("/{BUCKET}"), endpoint(dialect), &headers);
            bytes.extend_from_slice(&whole);
            exchange(&world, &bytes, false).await.refused(400, "MalformedPOSTRequest");
        }
    }
    assert_eq!(world.stored().await, stored);
}
