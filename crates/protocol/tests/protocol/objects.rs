//! Puts, their attributes, and appends.

use std::time::Duration;

use costrel_core::checksum::Digester;
use costrel_protocol::BodyLimits;
use costrel_protocol::dialect::Dialect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::client::{Answer, Call, Signing, delete, get, head, post, put};
use crate::world::{BUCKET, World};

fn object() -> String {
    format!("/{BUCKET}/key")
}

#[tokio::test]
async fn declared_digests_are_verified() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    let (right, wrong) = ("XUFAKrxLKna5cZ2REBfFkg==", "1B2M2Y8AsgTpgAmY7PhCfg==");
    for dialect in Dialect::ALL {
        let md5 = |value: &str| put(dialect, &object()).header("Content-MD5", value).body("hello");
        md5(wrong).send(&world).await.refused(400, "BadDigest");
        for malformed in ["", "x", "XUFAKrxLKna5cZ2REBfF", "5d41402abc4b2a76b9719d911017c592"] {
            md5(malformed).send(&world).await.refused(400, "InvalidDigest");
        }
    }
    let cos =
        |name: &str, value: &str| put(Dialect::Cos, &object()).header(name, value).body("hello");
    cos("x-cos-hash-crc64ecma", "1").send(&world).await.refused(400, "BadDigest");
    cos("x-cos-hash-crc64ecma", "x").send(&world).await.refused(400, "InvalidArgument");
    let sha1 = "0000000000000000000000000000000000000000";
    cos("x-cos-content-sha1", sha1).send(&world).await.refused(400, "InvalidSHA1Digest");
    assert_eq!(world.stored().await, stored);
    put(Dialect::S3, &object()).header("Content-MD5", right).body("hello").send(&world).await.ok();
    let mut digester = Digester::new([]);
    digester.update(b"hello");
    let crc64 = digester.finish().crc64.to_string();
    let answer = cos("x-cos-hash-crc64ecma", &crc64).send(&world).await;
    assert_eq!(answer.ok().header("x-cos-hash-crc64ecma"), Some(crc64.as_str()));
}

#[tokio::test]
async fn limits_of_keys_and_metadata() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    let cases = [(Dialect::Cos, 850, "KeyTooLong"), (Dialect::S3, 1024, "KeyTooLongError")];
    for (dialect, max, code) in cases {
        let key = |len: usize| put(dialect, &format!("/{BUCKET}/{}", "k".repeat(len))).body("x");
        key(max + 1).send(&world).await.refused(400, code);
        // Bytes count, not characters.
        let wide = put(dialect, &format!("/{BUCKET}/{}", "你".repeat(max / 3 + 1)));
        wide.send(&world).await.refused(400, code);
        let meta = |len: usize| {
            let name = format!("{}a", dialect.headers().meta_prefix);
            put(dialect, &object()).header(&name, &"v".repeat(len)).body("x")
        };
        let code = match dialect {
            Dialect::Cos => "InvalidArgument",
            Dialect::S3 => "MetadataTooLarge",
        };
        meta(2048).send(&world).await.refused(400, code);
    }
    assert_eq!(world.stored().await, stored);
    for (dialect, max, _) in cases {
        let path = format!("/{BUCKET}/{}", "k".repeat(max));
        put(dialect, &path).body("x").send(&world).await.ok();
        assert_eq!(get(dialect, &path).send(&world).await.text(), "x");
        let name = format!("{}a", dialect.headers().meta_prefix);
        let most = put(dialect, &object()).header(&name, &"v".repeat(2047)).send(&world).await;
        assert_eq!(most.status, 200);
    }
}

#[tokio::test]
async fn metadata_comes_back_as_it_was_sent() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let prefix = dialect.headers().meta_prefix;
        let named = |name: &str| format!("{prefix}{name}");
        put(dialect, &object())
            .header(&named("Upper-Case"), "Value  with  spaces")
            .header(&named("utf8"), "你好")
            .header(&named("encoded"), "%E4%BD%A0")
            .header(&named("empty"), "")
            .header(&named("under_score"), "x")
            .header("Content-Encoding", "deflate, gzip")
            .header("Expires", "never")
            .body("x")
            .send(&world)
            .await
            .ok();
        let found = head(dialect, &object()).send(&world).await;
        for (name, value) in [
            ("upper-case", "Value  with  spaces"),
            ("utf8", "你好"),
            ("encoded", "%E4%BD%A0"),
            ("empty", ""),
            ("under_score", "x"),
        ] {
            assert_eq!(found.header(&named(name)), Some(value), "{dialect:?}");
        }
        assert_eq!(found.header("Content-Encoding"), Some("deflate, gzip"));
        assert_eq!(found.header("Expires"), Some("never"));
    }
}

#[tokio::test]
async fn storage_classes_are_kept() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let header = dialect.headers().storage_class.as_str();
        let with = |class: &str| put(dialect, &object()).header(header, class).body("x");
        for class in ["STANDARD_IA", "ARCHIVE", "DEEP_ARCHIVE", "INTELLIGENT_TIERING", "GLACIER"] {
            with(class).send(&world).await.ok();
            let found = head(dialect, &object()).send(&world).await;
            assert_eq!(found.header(header), Some(class));
        }
        with("STANDARD").send(&world).await.ok();
        assert_eq!(head(dialect, &object()).send(&world).await.header(header), None);
        let code = match dialect {
            Dialect::Cos => "NotSupportedStorageClass",
            Dialect::S3 => "InvalidStorageClass",
        };
        for wrong in ["standard", "COLD"] {
            with(wrong).send(&world).await.refused(400, code);
        }
    }
}

/// How long a call takes that succeeds.
async fn time_of(world: &World, call: Call) -> Duration {
    let begun = Instant::now();
    call.send(world).await.ok();
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn bodies_keep_to_the_speed_limit_of_their_request() {
    const LIMIT: &str = "x-cos-traffic-limit";
    let (mib, slowest) = (vec![b'x'; 1 << 20], "819200");
    let world = World::with_bucket().await;
    let ten_seconds = |took: Duration| (10.0..10.4).contains(&took.as_secs_f64());
    for by_header in [true, false] {
        let limited = |call: Call, limit: &str| match by_header {
            true => call.header(LIMIT, limit),
            false => call.query(LIMIT, limit),
        };
        let stored = world.stored().await;
        for wrong in ["819199", "838860801", "fast"] {
            let call = limited(put(Dialect::Cos, &object()).body("x"), wrong);
            call.send(&world).await.refused(400, "InvalidArgument");
        }
        assert_eq!(world.stored().await, stored);
        let written = time_of(&world, limited(put(Dialect::Cos, &object()).body(&mib), slowest));
        let written = written.await;
        assert!(ten_seconds(written), "{written:?}");
        let read = time_of(&world, limited(get(Dialect::Cos, &object()), slowest)).await;
        assert!(ten_seconds(read), "{read:?}");
        let half = get(Dialect::Cos, &object()).header("Range", "bytes=0-524287");
        let half = time_of(&world, limited(half, slowest)).await;
        assert!(half > read / 3 && half < read / 2 + read / 9, "{half:?}");
        let faster = time_of(&world, limited(get(Dialect::Cos, &object()), "8192000")).await;
        assert!(faster > read / 11 && faster < read / 9, "{faster:?}");
        let none = time_of(&world, limited(get(Dialect::Cos, &object()), "")).await;
        assert!(none < Duration::from_millis(100), "{none:?}");
    }
    // Whoever was given a URL that is signed with a limit cannot raise it.
    for other in ["8192000", ""] {
        let url = get(Dialect::Cos, &object()).query(LIMIT, slowest).signing(Signing::CosQuery);
        let begun = Instant::now();
        let answer = url.header(LIMIT, other).send(&world).await;
        assert!(answer.ok().body == mib && ten_seconds(begun.elapsed()), "{other:?}");
    }
    for call in [get(Dialect::Cos, "/"), put(Dialect::Cos, "/limited-1250000000")] {
        call.query(LIMIT, "fast").send(&world).await.refused(400, "InvalidArgument");
    }
}

/// Its client sends as it is told to.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_kept_slow_is_not_too_slow() {
    let limits = BodyLimits { idle: Duration::from_secs(1), bytes_per_second_min: 1 << 20 };
    let world = World::with_limits(limits).await;
    world.make_bucket(BUCKET).await;
    for (is_limited, status) in [(true, 200), (false, 400)] {
        let mut call = put(Dialect::Cos, &object()).body(vec![b'x'; 500_000]);
        if is_limited {
            call = call.header("x-cos-traffic-limit", "819200");
        }
        let (mut read, mut write) = tokio::io::split(world.connect());
        let sending = async {
            for piece in call.bytes(&world).chunks(10_000) {
                let _ = write.write_all(piece).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let mut answer = Vec::new();
        let (_, answered) = tokio::join!(sending, read.read_to_end(&mut answer));
        answered.unwrap();
        assert_eq!(Answer::parse(&answer, false).status, status, "{is_limited}");
    }
}

/// What is not there yet is refused and not ignored.
#[tokio::test]
async fn headers_that_would_not_be_obeyed() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        let prefix = dialect.headers().prefix;
        let name = format!("{prefix}server-side-encryption");
        let call = put(dialect, &object()).header(&name, "AES256").body("x");
        call.send(&world).await.refused(501, "NotImplemented");
    }
    let limit = put(Dialect::S3, &object()).header("x-amz-traffic-limit", "819200").body("x");
    limit.send(&world).await.refused(501, "NotImplemented");
    let name = "x-cos-server-side-encryption";
    let query = put(Dialect::Cos, &object()).query(name, "AES256").body("x");
    query.send(&world).await.refused(501, "NotImplemented");
    let picture = put(Dialect::Cos, &object()).header("Pic-Operations", "{}").body("x");
    picture.send(&world).await.refused(501, "NotImplemented");
    // Appending is not replacing, and a bucket's name is everybody's.
    let offset = put(Dialect::S3, &object()).header("x-amz-write-offset-bytes", "0").body("x");
    offset.send(&world).await.refused(501, "NotImplemented");
    let regional =
        put(Dialect::S3, "/regional").header("x-amz-bucket-namespace", "account-regional");
    regional.send(&world).await.refused(501, "NotImplemented");
    assert_eq!(world.stored().await, stored);
    let begun = post(Dialect::S3, &object()).query("uploads", "").send(&world).await;
    let stored = world.stored().await;
    let abort = delete(Dialect::S3, &object())
        .query("uploadId", &begun.element("UploadId").unwrap())
        .header("x-amz-if-match-initiated-time", "Sat, 01 Jan 2000 00:00:00 GMT");
    abort.send(&world).await.refused(501, "NotImplemented");
    assert_eq!(world.stored().await, stored);
}

fn append(position: &str) -> Call {
    post(Dialect::Cos, &object()).query("append", "").query("position", position)
}

#[tokio::test]
async fn appends() {
    let world = World::with_bucket().await;
    let first = append("0").header("x-cos-meta-a", "b").body("hello ").send(&world).await;
    assert_eq!(first.status, 200, "{}", first.dump());
    assert_eq!(first.header("x-cos-next-append-position"), Some("6"));
    // What the Go SDK compares with the MD5 of what it sent.
    let mut digester = Digester::new([]);
    digester.update(b"world");
    let second = append("6").body("world").send(&world).await;
    let md5 = hex::encode(digester.finish().md5);
    assert_eq!(second.header("x-cos-content-sha1"), Some(md5.as_str()));
    assert_eq!(second.header("x-cos-next-append-position"), Some("11"));
    assert!(second.header("ETag").is_some() && second.header("x-cos-hash-crc64ecma").is_some());
    let read = get(Dialect::Cos, &object()).send(&world).await;
    assert_eq!(read.text(), "hello world");
    assert_eq!(read.header("x-cos-object-type"), Some("appendable"));
    assert_eq!(read.header("x-cos-next-append-position"), Some("11"));
    assert_eq!(read.header("x-cos-meta-a"), Some("b"));
    assert_eq!(read.header("x-cos-hash-crc64ecma"), second.header("x-cos-hash-crc64ecma"));
    assert_eq!(get(Dialect::S3, &object()).send(&world).await.text(), "hello world");
}

#[tokio::test]
async fn appends_that_are_refused() {
    let world = World::with_bucket().await;
    append("5").body("x").send(&world).await.refused(409, "AppendPositionErr");
    append("0").body("hello").send(&world).await.ok();
    let stored = world.stored().await;
    for position in ["0", "4", "6", "99999999999"] {
        append(position).body("x").send(&world).await.refused(409, "AppendPositionErr");
    }
    for position in ["", "-1", "x"] {
        append(position).body("x").send(&world).await.refused(400, "InvalidArgument");
    }
    let missing = post(Dialect::Cos, &object()).query("append", "").body("x");
    missing.send(&world).await.refused(400, "InvalidArgument");
    let wrong = append("5").header("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==").body("x");
    wrong.send(&world).await.refused(400, "BadDigest");
    assert_eq!(world.stored().await, stored);
    // A put makes a normal object of it.
    put(Dialect::S3, &object()).body("normal").send(&world).await.ok();
    append("6").body("x").send(&world).await.refused(409, "ObjectNotAppendable");
    let found = head(Dialect::Cos, &object()).send(&world).await;
    assert_eq!(found.header("x-cos-object-type"), Some("normal"));
}
