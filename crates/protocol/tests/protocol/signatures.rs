//! Signatures of every form, end to end.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, Signing, exchange, get, put, raw_head};
use crate::world::{BUCKET, KEY_ID, World};

fn object() -> String {
    format!("/{BUCKET}/a b+c%d/你")
}

#[tokio::test]
async fn every_form_signs_every_kind_of_request() {
    let world = World::with_bucket().await;
    for signing in Signing::ALL {
        let dialect = signing.dialect();
        for host in ["localhost:9000".to_owned(), format!("{BUCKET}.objects.example")] {
            let path = match host.starts_with(BUCKET) {
                true => "/a b+c%d/你".to_owned(),
                false => object(),
            };
            let bucket = path.strip_suffix("a b+c%d/你").unwrap().to_owned();
            let call =
                |method, path: &str| put(dialect, path).method(method).host(&host).signing(signing);
            let stored = call("PUT", &path).body(format!("{signing:?}")).send(&world).await;
            assert_eq!(stored.status, 200, "{signing:?} {host} {}", stored.dump());
            let read = call("GET", &path).send(&world).await;
            assert_eq!((read.status, read.text()), (200, &*format!("{signing:?}")), "{host}");
            assert_eq!(call("HEAD", &path).send(&world).await.status, 200);
            let list = call("GET", &bucket).query("prefix", "a b+").query("delimiter", "/");
            let list = list.send(&world).await;
            assert_eq!(list.status, 200, "{signing:?} {}", list.dump());
            assert!(list.text().contains("<Prefix>a b+c%d/</Prefix>"));
            let begun = call("POST", &path).query("uploads", "").send(&world).await;
            assert_eq!(begun.status, 200, "{signing:?} {}", begun.dump());
            assert_eq!(call("DELETE", &path).send(&world).await.status, 204);
        }
    }
}

/// A signature is for one request.
#[tokio::test]
async fn what_is_signed_cannot_be_changed() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/key")).body("kept").send(&world).await.ok();
    put(Dialect::S3, &format!("/{BUCKET}/other")).body("kept").send(&world).await.ok();
    let stored = world.stored().await;
    for signing in Signing::ALL {
        let path = format!("/{BUCKET}/key");
        let call = put(signing.dialect(), &path).signing(signing);
        let call = call.query("response-content-type", "a/b").method("GET").body("body");
        let text = String::from_utf8(call.bytes(&world)).unwrap();
        let changes = [
            ("GET /", "PUT /"),
            ("GET /", "DELETE /"),
            ("/key", "/other"),
            ("/key?", "/key?acl&"),
            ("a%2Fb", "a%2Fc"),
        ];
        for (from, to) in changes {
            assert!(text.contains(from), "{signing:?} {from}");
            // COS signs only the parameters that it lists.
            if to.contains("acl") && signing.dialect() == Dialect::Cos {
                continue;
            }
            let changed = text.replacen(from, to, 1);
            let answer = exchange(&world, changed.as_bytes(), false).await;
            answer.refused(403, "SignatureDoesNotMatch");
        }
    }
    assert_eq!(world.stored().await, stored);
}

/// A COS signature covers what it lists. Who is given a URL can add what is not in
/// the list, but not so as to make another request of it.
#[tokio::test]
async fn a_presigned_url_is_for_one_operation() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/secret")).body("secret").send(&world).await.ok();
    let stored = world.stored().await;
    let (object, bucket) = (format!("/{BUCKET}/key"), format!("/{BUCKET}/"));
    let copy = format!("x-cos-copy-source: {BUCKET}.localhost:9000/secret\r\n");
    for signing in [Signing::CosQuery, Signing::CosMerged] {
        let text = |method, path: &str, body: &str| {
            let call = put(Dialect::Cos, path).signing(signing).method(method);
            String::from_utf8(call.body(body).bytes(&world)).unwrap()
        };
        let delete = "<Delete><Object><Key>secret</Key></Object></Delete>";
        let changed = [
            text("PUT", &object, "").replacen("\r\n", &format!("\r\n{copy}"), 1),
            text("POST", &bucket, delete).replacen(" HTTP/1.1", "&delete HTTP/1.1", 1),
            text("GET", &bucket, "").replacen(" HTTP/1.1", "&uploads HTTP/1.1", 1),
        ];
        for changed in changed {
            let answer = exchange(&world, changed.as_bytes(), false).await;
            answer.refused(403, "AccessDenied");
            assert!(answer.text().contains("was presigned without"), "{}", answer.dump());
        }
        // What changes nothing may be added.
        let more = text("GET", &bucket, "").replacen(" HTTP/1.1", "&prefix=a HTTP/1.1", 1);
        assert_eq!(exchange(&world, more.as_bytes(), false).await.status, 200);
    }
    assert_eq!(world.stored().await, stored);
}

#[tokio::test]
async fn the_body_is_what_was_signed() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    let stored = world.stored().await;
    let mut bytes = put(Dialect::S3, &path).body("hello").bytes(&world);
    *bytes.last_mut().unwrap() = b'!';
    exchange(&world, &bytes, false).await.refused(400, "XAmzContentSHA256Mismatch");
    assert_eq!(world.stored().await, stored);
    // Documents are no exception.
    let delete = put(Dialect::S3, &format!("/{BUCKET}")).method("POST").query("delete", "");
    let mut bytes = delete.body("<Delete><Object><Key>k</Key></Object></Delete>").bytes(&world);
    let at = bytes.len() - "k</Key></Object></Delete>".len();
    bytes[at] = b'l';
    exchange(&world, &bytes, false).await.refused(400, "XAmzContentSHA256Mismatch");
}

#[tokio::test]
async fn overrides_are_for_signed_requests() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    put(Dialect::S3, &path).header("Content-Type", "text/plain").body("x").send(&world).await.ok();
    let overrides = [
        ("response-content-type", "Content-Type", "image/png"),
        ("response-content-language", "Content-Language", "zh-CN"),
        ("response-expires", "Expires", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("response-cache-control", "Cache-Control", "no-store"),
        ("response-content-disposition", "Content-Disposition", "attachment; filename=\"a b.txt\""),
        ("response-content-encoding", "Content-Encoding", "gzip"),
    ];
    for signing in Signing::ALL {
        for method in ["GET", "HEAD"] {
            let mut call = get(signing.dialect(), &path).method(method).signing(signing);
            for (parameter, _, value) in overrides {
                call = call.query(parameter, value);
            }
            let answer = call.send(&world).await;
            assert_eq!(answer.status, 200, "{signing:?} {}", answer.dump());
            for (_, header, value) in overrides {
                assert_eq!(answer.header(header), Some(value), "{signing:?}");
            }
        }
    }
    // COS's SDKs make URLs that sign for no parameter; the vendor's documents say to append
    // this one, as it stands, to have a browser keep what they lead to.
    for signing in [Signing::CosQuery, Signing::CosMerged] {
        let plain = get(Dialect::Cos, &path).signing(signing);
        let text = String::from_utf8(plain.bytes(&world)).unwrap();
        let named = "response-content-disposition=attachment;filename=a.txt";
        for appended in [
            text.replacen(" HTTP/1.1", &format!("&{named} HTTP/1.1"), 1),
            text.replacen("/key?", &format!("/key?{named}&"), 1),
        ] {
            let answer = exchange(&world, appended.as_bytes(), false).await;
            let disposition = answer.header("Content-Disposition");
            assert_eq!(disposition, Some("attachment;filename=a.txt"), "{}", answer.dump());
        }
    }
    // What it does is another thing than how it is shown.
    for signing in [Signing::CosQuery, Signing::CosMerged] {
        for method in ["GET", "HEAD", "DELETE"] {
            let call = get(Dialect::Cos, &path).method(method).signing(signing);
            for name in ["versionId", "VersionId"] {
                let text = String::from_utf8(call.bytes(&world)).unwrap();
                let added = text.replacen(" HTTP/1.1", &format!("&{name}=null HTTP/1.1"), 1);
                let answer = exchange(&world, added.as_bytes(), method == "HEAD").await;
                assert_eq!(answer.status, 403, "{method} {name} {}", answer.dump());
            }
        }
        let signed = get(Dialect::Cos, &path).signing(signing).query("versionId", "null");
        signed.send(&world).await.ok();
    }
    // Of S3 every parameter is signed.
    for signing in [Signing::V4Query, Signing::V2Query] {
        let plain = get(Dialect::S3, &path).signing(signing);
        let text = String::from_utf8(plain.bytes(&world)).unwrap();
        let added = text.replacen("/key?", "/key?response-content-type=text/html&", 1);
        exchange(&world, added.as_bytes(), false).await.refused(403, "SignatureDoesNotMatch");
    }
    let anonymous = get(Dialect::S3, &path).signing(Signing::Nothing);
    let anonymous = anonymous.query("response-content-type", "text/html");
    assert_eq!(anonymous.send(&world).await.status, 403);
    // Line breaks cannot be smuggled into an answer's head.
    let split = get(Dialect::S3, &path).query("response-content-type", "a\r\nX-Evil: 1");
    let answer = split.send(&world).await;
    answer.refused(400, "InvalidArgument");
    assert!(answer.header("X-Evil").is_none());
}

#[tokio::test]
async fn urls_live_as_long_as_they_say() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    put(Dialect::S3, &path).body("x").send(&world).await.ok();
    for signing in [Signing::CosQuery, Signing::CosMerged, Signing::V4Query, Signing::V2Query] {
        let call = get(signing.dialect(), &path).signing(signing);
        for (offset, works) in [(0, true), (-599, true), (-601, false), (50, true), (5000, false)] {
            let answer = call.clone().clock_offset(offset).send(&world).await;
            // SigV2 says only when a URL ends.
            if works || (signing == Signing::V2Query && offset > 0) {
                assert_eq!(answer.status, 200, "{signing:?} {offset} {}", answer.dump());
                continue;
            }
            assert_eq!(answer.status, 403, "{signing:?} {offset}");
            if offset < 0 || signing.dialect() == Dialect::Cos {
                answer.refused(403, "AccessDenied");
                assert_eq!(answer.element("Message").as_deref(), Some("Request has expired"));
            }
        }
    }
}

/// A permanent key's COS signature may be valid for 50 years.
#[tokio::test]
async fn a_signature_for_half_a_century() {
    use costrel_signature::sign::{Outgoing, cos_presign};
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    put(Dialect::Cos, &path).body("x").send(&world).await.ok();
    let host = "cos.ap-guangzhou.myqcloud.com";
    let request = Outgoing {
        method: "GET",
        host,
        bucket_in_host: None,
        path: &path,
        query: &[],
        headers: &[],
    };
    let window = (world.now(), world.now() + 50 * 365 * 86_400);
    let target = cos_presign(&world.identity, &request, window, false);
    for years in [0, 1, 48] {
        world.pass(std::time::Duration::from_secs(years * 365 * 86_400));
        let answer = exchange(&world, &raw_head("GET", &target, host, &[]), false).await;
        assert_eq!(answer.status, 200, "{years}");
    }
    world.pass(std::time::Duration::from_secs(2 * 365 * 86_400));
    let answer = exchange(&world, &raw_head("GET", &target, host, &[]), false).await;
    answer.refused(403, "AccessDenied");
}

/// What no signature is.
#[tokio::test]
async fn malformed_signatures() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    let target = format!("/{BUCKET}/key");
    let send = async |target: &str, headers: &[(&str, &str)]| {
        let head = raw_head("GET", target, "localhost", headers);
        exchange(&world, &head, false).await
    };
    let date = ("x-amz-date", "20260102T030405Z");
    let hash = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let scope = format!("{KEY_ID}/20260102/r/s3/aws4_request");
    let good = format!(
        "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={}",
        "0".repeat(64)
    );
    type Headers<'a> = Vec<(&'a str, &'a str)>;
    let by_header: Vec<(String, Headers<'_>, u16, &str)> = vec![
        ("Bearer token".into(), vec![], 400, "InvalidArgument"),
        ("AWS4-HMAC-SHA256".into(), vec![date, hash], 400, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA512 Credential=x".into(), vec![date, hash], 400, "InvalidArgument"),
        (good.replace("20260102/", "2026/"), vec![date, hash], 400, "AuthorizationHeaderMalformed"),
        (good.replace("20260102/", "20260103/"), vec![date, hash], 400, "AuthorizationHeaderMalformed"),
        (good.replace("/s3/", "/ec2/"), vec![date, hash], 400, "AuthorizationHeaderMalformed"),
        (good.clone(), vec![hash], 403, "AccessDenied"),
        (good.clone(), vec![date], 400, "InvalidRequest"),
        (good.clone(), vec![date, ("x-amz-content-sha256", "nonsense")], 400, "InvalidArgument"),
        (good.clone(), vec![("x-amz-date", "today"), hash], 403, "AccessDenied"),
        (good.clone(), vec![date, hash, ("x-amz-acl", "private")], 403, "AccessDenied"),
        ("AWS nonsense".into(), vec![("Date", "Fri, 02 Jan 2026 03:04:05 GMT")], 400, "AuthorizationHeaderMalformed"),
        ("q-sign-algorithm=sha1&q-ak=x".into(), vec![], 403, "AccessDenied"),
        ("q-sign-algorithm=md5&q-ak=x&q-sign-time=1;2&q-key-time=1;2&q-header-list=&q-url-param-list=&q-signature=x".into(), vec![], 400, "InvalidArgument"),
    ];
    for (authorization, headers, status, code) in by_header {
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend_from_slice(&headers);
        let answer = send(&target, &all).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (status, code),
            "{authorization} {headers:?} {}",
            answer.dump()
        );
    }
    let twice = [("Authorization", good.as_str()), ("Authorization", good.as_str()), date, hash];
    send(&target, &twice).await.refused(400, "InvalidArgument");
    let credential = scope.replace('/', "%2F");
    let query = |date: &str, expires: &str| {
        format!(
            "{target}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}\
             &X-Amz-Date={date}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
        )
    };
    for target in [
        query("20260102T030405Z", "0"),
        query("20260102T030405Z", "-5"),
        query("20260102T030405Z", "604801"),
        query("20260102T030405Z", ""),
        query("today", "60"),
        query("20260102T030405Z", "60").replace("&X-Amz-Signature=00", ""),
    ] {
        let answer = send(&target, &[]).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (400, "AuthorizationQueryParametersError"),
            "{target} {}",
            answer.dump()
        );
    }
    let both = get(Dialect::S3, &target).signing(Signing::V4Query);
    let both = Call { headers: Vec::new(), ..both };
    let text = String::from_utf8(both.bytes(&world)).unwrap();
    let both = text.replacen("\r\n", &format!("\r\nAuthorization: {good}\r\n"), 1);
    exchange(&world, both.as_bytes(), false).await.refused(400, "InvalidArgument");
    assert_eq!(world.stored().await, stored);
}

/// The Python SDK of COS signs the host without its port, and sends an empty
/// `Authorization` when it has no key.
#[tokio::test]
async fn quirks_of_clients() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    put(Dialect::Cos, &path).body("x").send(&world).await.ok();
    let call = get(Dialect::Cos, &path).host("127.0.0.1");
    let text = String::from_utf8(call.bytes(&world)).unwrap();
    let with_port = text.replacen("Host: 127.0.0.1\r\n", "Host: 127.0.0.1:9000\r\n", 1);
    assert_eq!(exchange(&world, with_port.as_bytes(), false).await.status, 200);

    let head = raw_head("GET", &path, "localhost", &[("Authorization", "")]);
    exchange(&world, &head, false).await.refused(403, "AccessDenied");

    // Node.js leaves semicolons as they are in URLs.
    let url = get(Dialect::Cos, &path).signing(Signing::CosQuery);
    let text = String::from_utf8(url.bytes(&world)).unwrap();
    assert!(text.contains("%3B"));
    let raw = text.replace("%3B", ";");
    assert_eq!(exchange(&world, raw.as_bytes(), false).await.status, 200);
    let lower = text.replace("%3B", "%3b");
    assert_eq!(exchange(&world, lower.as_bytes(), false).await.status, 200);
}

/// One installation stands for all regions.
#[tokio::test]
async fn any_region_may_be_signed_for() {
    use costrel_signature::Payload;
    use costrel_signature::sign::{Outgoing, v4_header};
    let world = World::with_bucket().await;
    let (host, path) = ("localhost", format!("/{BUCKET}"));
    let request = Outgoing {
        method: "GET",
        host,
        bucket_in_host: None,
        path: &path,
        query: &[],
        headers: &[],
    };
    for region in ["us-east-1", "auto", "mars-north-1"] {
        let added = v4_header(&world.identity, &request, region, Payload::Unsigned, world.now());
        let headers: Vec<(&str, &str)> =
            added.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = exchange(&world, &raw_head("GET", &path, host, &headers), false).await;
        assert_eq!(answer.status, 200, "{region}");
    }
}

/// As sent through an HTTP proxy; only hosts of ours are served so.
#[tokio::test]
async fn absolute_targets() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    put(Dialect::Cos, &path).body("x").send(&world).await.ok();
    for signing in [Signing::CosHeader, Signing::V4] {
        let call = get(signing.dialect(), &path).signing(signing);
        let text = String::from_utf8(call.bytes(&world)).unwrap();
        let absolute = text.replacen("GET /", &format!("GET http://{}/", call.host), 1);
        assert_eq!(exchange(&world, absolute.as_bytes(), false).await.status, 200, "{signing:?}");
        let foreign = text.replacen("GET /", "GET http://elsewhere.example/", 1);
        exchange(&world, foreign.as_bytes(), false).await.refused(400, "InvalidURI");
    }
}

/// Signers of S3 move headers into the URL, so that whoever uses it need not
/// send them.
#[tokio::test]
async fn headers_in_a_presigned_url() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    let url = || put(Dialect::S3, &path).signing(Signing::V4Query).body("hello");
    let call = url()
        .query("x-amz-meta-Author", "Zoë")
        .query("X-Amz-Storage-Class", "STANDARD_IA")
        .query("x-amz-checksum-crc32", "NhCmhg==")
        .query("x-id", "PutObject");
    call.send(&world).await.ok();
    let found = get(Dialect::S3, &path).send(&world).await;
    assert_eq!(found.header("x-amz-meta-author"), Some("Zoë"));
    assert_eq!(found.header("x-amz-storage-class"), Some("STANDARD_IA"));
    let copy = url().query("x-amz-copy-source", &format!("/{BUCKET}/none"));
    copy.send(&world).await.refused(404, "NoSuchKey");
    for (name, value, status, code) in [
        ("x-amz-checksum-crc32", "AAAAAA==", 400, "BadDigest"),
        ("x-amz-acl", "open", 400, "InvalidArgument"),
        ("x-amz-server-side-encryption", "AES256", 501, "NotImplemented"),
        ("x-amz-meta-a", "line\nbreak", 400, "InvalidArgument"),
    ] {
        url().query(name, value).send(&world).await.refused(status, code);
    }
    assert_eq!(get(Dialect::S3, &path).send(&world).await.text(), "hello");
}
