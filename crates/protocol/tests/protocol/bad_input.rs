//! Input that no honest client sends, and what broken connections leave of
//! honest ones. After each of it the store is unchanged and the gateway well.

use std::time::Duration;

use costrel_protocol::BodyLimits;
use costrel_protocol::dialect::Dialect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Answer, Signing, endpoint, exchange, get, post, put, raw_head};
use crate::world::{BUCKET, World};

fn object() -> String {
    format!("/{BUCKET}/key")
}

/// A store with something in it, and what is stored.
async fn filled(world: &World) -> String {
    put(Dialect::S3, &object()).body("kept").send(world).await.ok();
    world.stored().await
}

/// Nothing changed, nothing panicked, and the next request is served.
async fn unharmed(world: &World, stored: &str, what: &str) {
    assert_eq!(world.stored().await, stored, "{what}");
    let answer = get(Dialect::Cos, &object()).send(world).await;
    assert_eq!((answer.status, answer.text()), (200, "kept"), "{what}");
    let internal = world.records.all().into_iter().find(|record| record.status == 500);
    assert!(internal.is_none(), "{what}: {internal:?}");
}

/// A proxy in front may have obeyed the one that we do not.
#[tokio::test]
async fn two_hosts() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    for dialect in Dialect::ALL {
        let other = [("Host", format!("other.{}", endpoint(dialect)))];
        let head = get(dialect, &object()).head_bytes(&world, &other);
        exchange(&world, &head, false).await.refused(400, "InvalidURI");
    }
    unharmed(&world, &stored, "two hosts").await;
}

/// A form that nobody signed may be meant for another service; the one that it is not
/// meant for leaves it whole.
#[tokio::test]
async fn forms_for_other_services() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    let asked = async |form: String| {
        let call = post(Dialect::S3, "/").signing(Signing::Nothing).body(form);
        call.header("content-type", "application/x-www-form-urlencoded").send(&world).await
    };
    let long = "a".repeat(200 << 10);
    for (form, status, code) in [
        ("Action=GetCallerIdentity&Version=2011-06-15".to_owned(), 403, "MissingAuthentic"),
        ("Action=GetCallerIdentity&Version=2018-08-13".to_owned(), 200, "MissingParameter"),
        ("".to_owned(), 200, "MissingParameter"),
        ("%ff".to_owned(), 200, "InvalidRequest"),
        (format!("Action=GetCallerIdentity&Version=2018-08-13&A={long}"), 200, "RequestSizeLimit"),
        (format!("A={long}&Action=GetCallerIdentity&Version=2011-06-15"), 200, "RequestSizeLimit"),
    ] {
        let answer = asked(form.clone()).await;
        let front = form.get(..60).unwrap_or(&form);
        assert_eq!(answer.status, status, "{front}: {}", answer.text());
        assert!(answer.text().contains(code), "{front}: {}", answer.text());
    }
    unharmed(&world, &stored, "forms").await;
}

#[tokio::test]
async fn documents() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\">\
                <!ENTITY lol2 \"&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;\">]>";
    let key = "<Object><Key>key</Key></Object>";
    let deep = format!("{}{}", "<Delete>".repeat(10_000), "</Delete>".repeat(10_000));
    let nested = format!("<Delete>{}{}</Delete>", "<a>".repeat(200_000), "</a>".repeat(200_000));
    let cases = [
        format!("{bomb}<Delete><Object><Key>&lol2;</Key></Object></Delete>"),
        format!("<!DOCTYPE Delete SYSTEM \"file:///etc/passwd\"><Delete>{key}</Delete>"),
        "<Delete><Object><Key>&xxe;</Key></Object></Delete>".into(),
        "<Delete><Object><Key>&#x110000;</Key></Object></Delete>".into(),
        "<Delete><Object><Key>&#xD800;</Key></Object></Delete>".into(),
        format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?><Delete>{key}</Delete>"),
        format!("<Delete>{key}</Delet>"),
        format!("<Delete>{key}</Delete><Delete>{key}</Delete>"),
        format!("<Delete>{key}"),
        key.into(),
        format!("<Delete>{key}text</Delete>"),
        "<Delete".into(),
        "<".into(),
        "]]>".into(),
        "{\"Delete\": true}".into(),
        deep,
        nested,
    ];
    for dialect in Dialect::ALL {
        for body in &cases {
            let call = post(dialect, &format!("/{BUCKET}")).query("delete", "").body(body);
            let answer = call.send(&world).await;
            answer.refused(400, "MalformedXML");
        }
        for body in
            [&b"<Delete><Object><Key>\xff</Key></Object></Delete>"[..], b"\xff\xfe<\0", b"\0"]
        {
            let call = post(dialect, &format!("/{BUCKET}")).query("delete", "").body(body);
            call.send(&world).await.refused(400, "MalformedXML");
        }
        let huge = format!("<Delete>{}</Delete>", " ".repeat(5 << 20));
        let call = post(dialect, &format!("/{BUCKET}")).query("delete", "").body(huge);
        let code = match dialect {
            Dialect::Cos => "XMLSizeLimit",
            Dialect::S3 => "MaxMessageLengthExceeded",
        };
        call.send(&world).await.refused(400, code);
        let bucket = |body: &str| {
            put(dialect, "/other-1250000000").body(format!("<CreateBucketConfiguration>{body}"))
        };
        for body in ["", "<LocationConstraint>a</LocationConstraint>", "</Other>"] {
            bucket(body).send(&world).await.refused(400, "MalformedXML");
        }
        let place = "<LocationConstraint>No Where</LocationConstraint></CreateBucketConfiguration>";
        bucket(place).send(&world).await.refused(400, "InvalidArgument");
        let unknown = "<Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>";
        bucket(unknown).send(&world).await.refused(501, "NotImplemented");
    }
    unharmed(&world, &stored, "documents").await;
}

#[tokio::test]
async fn a_length_is_required() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    for dialect in Dialect::ALL {
        let call = put(dialect, &object());
        let answer = exchange(&world, &call.head_bytes(&world, &[]), false).await;
        answer.refused(411, "MissingContentLength");
    }
    unharmed(&world, &stored, "no length").await;
    // What is coded otherwise within HTTP's own chunks is not stored as it came.
    for codings in [&["gzip, chunked"][..], &["gzip", "chunked"]] {
        for dialect in Dialect::ALL {
            let codings = codings.iter().map(|coding| ("Transfer-Encoding", (*coding).to_owned()));
            let mut bytes =
                put(dialect, &object()).head_bytes(&world, &codings.collect::<Vec<_>>());
            bytes.extend_from_slice(b"3\r\nabc\r\n0\r\n\r\n");
            exchange(&world, &bytes, false).await.refused(501, "NotImplemented");
            unharmed(&world, &stored, "a coding that nobody takes off").await;
        }
    }
    // Those chunks need no length.
    let call = put(Dialect::Cos, &format!("/{BUCKET}/chunks"));
    let mut bytes = call.head_bytes(&world, &[("Transfer-Encoding", "chunked".into())]);
    bytes.extend_from_slice(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    exchange(&world, &bytes, false).await.ok();
    let read = get(Dialect::Cos, &format!("/{BUCKET}/chunks")).send(&world).await;
    assert_eq!(read.text(), "abcde");
}

#[tokio::test]
async fn lengths_that_lie() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    for length in ["-1", "abc", "99999999999999999999", "5, 6", ""] {
        let call = put(Dialect::S3, &object());
        let mut bytes = call.head_bytes(&world, &[("Content-Length", length.into())]);
        bytes.extend_from_slice(b"hello");
        let answer = exchange(&world, &bytes, false).await;
        assert_eq!(answer.status, 400, "{length:?}");
        unharmed(&world, &stored, length).await;
    }
    let both = put(Dialect::S3, &object());
    let more = [("Content-Length", "5".into()), ("Content-Length", "6".into())];
    let mut bytes = both.head_bytes(&world, &more);
    bytes.extend_from_slice(b"hello!");
    assert_eq!(exchange(&world, &bytes, false).await.status, 400);
    let large = put(Dialect::Cos, &object());
    let five_gib_and_one = ((5u64 << 30) + 1).to_string();
    let more = [("Content-Length", five_gib_and_one), ("Expect", "100-continue".into())];
    let answer = exchange(&world, &large.head_bytes(&world, &more), false).await;
    answer.refused(400, "EntityTooLarge");
    unharmed(&world, &stored, "lengths").await;
}

/// The client goes away in the middle of its body.
#[tokio::test]
async fn truncated_bodies() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    let begun = post(Dialect::S3, &format!("/{BUCKET}/up")).query("uploads", "").send(&world).await;
    let id = begun.element("UploadId").unwrap();
    let with_upload = world.stored().await;
    assert_ne!(stored, with_upload);
    let whole = vec![b'x'; 100_000];
    let part = put(Dialect::S3, &format!("/{BUCKET}/up")).query("partNumber", "1");
    let delete = post(Dialect::S3, &format!("/{BUCKET}")).query("delete", "");
    let calls = [
        put(Dialect::S3, &object()),
        put(Dialect::Cos, &object()),
        part.query("uploadId", &id),
        post(Dialect::Cos, &format!("/{BUCKET}/new")).query("append", "").query("position", "0"),
        delete,
    ];
    for call in calls {
        for sent in [0, 1, 50_000, 99_999] {
            let bytes = call.clone().body(&whole).bytes(&world);
            let end = bytes.len() - whole.len() + sent;
            let mut stream = world.connect();
            stream.write_all(&bytes[..end]).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            if !answer.is_empty() {
                let answer = Answer::parse(&answer, false);
                assert_eq!((answer.status, &*answer.code()), (400, "IncompleteBody"), "{call:?}");
            }
            assert_eq!(world.stored().await, with_upload, "{call:?} {sent}");
        }
    }
    unharmed(&world, &with_upload, "truncated").await;
}

/// Real time passes here, so the limits are short.
#[tokio::test]
async fn slow_bodies() {
    let limits = BodyLimits { idle: Duration::from_millis(150), bytes_per_second_min: 100_000 };
    let world = World::with_limits(limits).await;
    world.make_bucket(BUCKET).await;
    let stored = filled(&world).await;
    for dialect in Dialect::ALL {
        // Silence in the middle.
        let bytes = put(dialect, &object()).body([b'x'; 1000]).bytes(&world);
        let mut stream = world.connect();
        stream.write_all(&bytes[..bytes.len() - 10]).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::parse(&answer, false).refused(400, "RequestTimeout");
        unharmed(&world, &stored, "silence").await;
    }
    // Never silent for long, but a drop at a time.
    let bytes = put(Dialect::S3, &object()).body([b'x'; 1000]).bytes(&world);
    let (mut read, mut write) = tokio::io::split(world.connect());
    let (head, body) = bytes.split_at(bytes.len() - 1000);
    write.write_all(head).await.unwrap();
    let dripping = async {
        for byte in body {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        _ = dripping => panic!("the whole body was awaited"),
        read = read.read_to_end(&mut answer) => { read.unwrap(); }
    }
    Answer::parse(&answer, false).refused(400, "RequestTimeout");
    unharmed(&world, &stored, "dripping").await;
}

#[tokio::test]
async fn targets() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    let authorization = [("Authorization", "AWS4-HMAC-SHA256 nonsense")];
    for target in [
        "/%",
        "/b/%2",
        "/b/%zz",
        "/b/%ff",
        "/b/%e4%bd",
        "/b/%C0%80",
        "/b/%ED%A0%80",
        "/%ff/key",
        "/b/key?a=%",
        "/b/key?%zz=1",
        "/b/key?a=%ff",
    ] {
        for method in ["GET", "PUT", "DELETE", "POST", "HEAD"] {
            let bytes = raw_head(method, target, endpoint(Dialect::S3), &authorization);
            let answer = exchange(&world, &bytes, method == "HEAD").await;
            match method {
                "HEAD" => assert_eq!(answer.status, 400, "{target}"),
                _ => {
                    answer.refused(400, "InvalidURI");
                }
            }
        }
    }
    for host in ["", "a b", "a/b", "host:port", "[::1", "[nonsense]", "é"] {
        let answer = exchange(&world, &raw_head("GET", "/", host, &[]), false).await;
        assert_eq!(answer.status, 400, "{host:?}");
    }
    let no_host = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    exchange(&world, no_host, false).await.refused(400, "InvalidRequest");
    unharmed(&world, &stored, "targets").await;
}

/// hyper refuses these before they come to the gateway.
#[tokio::test]
async fn requests_that_are_no_http() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "k".repeat(200_000));
    let many: String = (0..500).map(|n| format!("X-Header-{n}: v\r\n")).collect();
    let flood = format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n");
    let wide = format!("GET / HTTP/1.1\r\nHost: h\r\nX-Wide: {}\r\n\r\n", "v".repeat(200_000));
    let cases: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nBad Header: 1\r\n\r\n",
        long.as_bytes(),
        flood.as_bytes(),
        wide.as_bytes(),
    ];
    for bytes in cases {
        let mut stream = world.connect();
        let (mut read, mut write) = tokio::io::split(&mut stream);
        let mut answer = Vec::new();
        let sending = async {
            let _ = write.write_all(bytes).await;
        };
        let (_, _) = tokio::join!(sending, read.read_to_end(&mut answer));
        let text = String::from_utf8_lossy(&answer);
        let refused = text.is_empty() || text.starts_with("HTTP/1.1 4");
        assert!(refused, "{text}");
        unharmed(&world, &stored, &text).await;
    }
}

/// Any bytes in the places where clients put theirs.
#[tokio::test]
async fn values_of_headers() {
    let world = World::with_bucket().await;
    let stored = filled(&world).await;
    let path = object();
    for (name, value) in [
        ("Range", "bytes=\u{e9}-"),
        ("If-Modified-Since", "\u{1F600}"),
        ("Content-MD5", "\u{e9}"),
        ("x-amz-copy-source", "\u{e9}%"),
        ("x-amz-date", "99999999T999999Z"),
        ("x-amz-checksum-crc32", "\u{1F600}"),
        ("x-amz-metadata-directive", "\u{e9}"),
        ("x-amz-decoded-content-length", "-5"),
        ("x-amz-object-attributes", "\u{e9}"),
    ] {
        for signing in [Signing::V4, Signing::Nothing] {
            let call = put(Dialect::S3, &path).signing(signing).header(name, value).body("x");
            let answer = call.query("attributes", "").send(&world).await;
            assert!((400..500).contains(&answer.status), "{name} {}", answer.dump());
        }
    }
    // Not UTF-8 at all.
    let mut bytes = put(Dialect::Cos, &path).bytes(&world);
    let at = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    bytes.splice(at..at, b"x-cos-meta-a: \xff\xfe\r\n".iter().copied());
    exchange(&world, &bytes, false).await.refused(400, "InvalidArgument");
    unharmed(&world, &stored, "values").await;
}
