//! What answers look like whatever they answer.

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Signing, get, head, put};
use crate::world::{BUCKET, World};

fn names(answer: &Answer) -> Vec<&str> {
    let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

fn request_id(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Cos => "x-cos-request-id",
        Dialect::S3 => "x-amz-request-id",
    }
}

#[tokio::test]
async fn names_are_spelt_as_the_services_spell_them() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    let object = put(Dialect::Cos, &path)
        .header("Content-Type", "text/plain")
        .header("Cache-Control", "no-cache")
        .header("Content-Disposition", "attachment")
        .header("Content-Language", "de")
        .header("Content-Encoding", "x")
        .header("Expires", "Tue, 19 Nov 2030 16:00:00 GMT")
        .header("x-cos-meta-Some-Name", "v")
        .header("x-cos-storage-class", "STANDARD_IA")
        .body("hello");
    let stored = object.send(&world).await;
    assert_eq!(stored.status, 200);
    assert_eq!(
        names(&stored),
        [
            "Connection",
            "Content-Length",
            "Date",
            "ETag",
            "Server",
            "x-cos-hash-crc64ecma",
            "x-cos-request-id"
        ]
    );
    let answer = get(Dialect::Cos, &path).header("Range", "bytes=1-2").send(&world).await;
    assert_eq!(answer.status, 206);
    assert_eq!(
        names(&answer),
        [
            "Accept-Ranges",
            "Cache-Control",
            "Connection",
            "Content-Disposition",
            "Content-Encoding",
            "Content-Language",
            "Content-Length",
            "Content-Range",
            "Content-Type",
            "Date",
            "ETag",
            "Expires",
            "Last-Modified",
            "Server",
            "x-cos-hash-crc64ecma",
            "x-cos-meta-some-name",
            "x-cos-object-type",
            "x-cos-request-id",
            "x-cos-storage-class",
        ]
    );
    let answer = head(Dialect::S3, &path).send(&world).await;
    assert_eq!(
        names(&answer),
        [
            "Accept-Ranges",
            "Cache-Control",
            "Connection",
            "Content-Disposition",
            "Content-Encoding",
            "Content-Language",
            "Content-Length",
            "Content-Type",
            "Date",
            "ETag",
            "Expires",
            "Last-Modified",
            "Server",
            "x-amz-meta-some-name",
            "x-amz-request-id",
            "x-amz-storage-class",
        ]
    );
    assert_eq!(answer.header("Content-Length"), Some("5"));
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let world = World::with_bucket().await;
    let mut seen = std::collections::HashSet::new();
    for dialect in Dialect::ALL {
        let path = format!("/{BUCKET}/key");
        let etag = put(dialect, &path).body("x").send(&world).await;
        let etag = etag.header("ETag").unwrap().to_owned();
        let calls = [
            (get(dialect, &path), 200),
            (head(dialect, &path), 200),
            (get(dialect, &path).header("If-None-Match", &etag), 304),
            (head(dialect, &path).header("If-None-Match", &etag), 304),
            (get(dialect, &path).header("If-Match", "\"other\""), 412),
            (head(dialect, "/no-such-1250000000"), 404),
            (get(dialect, "/no-such-1250000000"), 404),
            (get(dialect, &path).signing(Signing::Nothing), 403),
            (head(dialect, &path).signing(Signing::Nothing), 403),
            (get(dialect, &path).header("Range", "bytes=5-"), 416),
            (get(dialect, &format!("/{BUCKET}")), 200),
            (put(dialect, &path).query("live", ""), 501),
            (get(dialect, &path).method("PATCH"), 405),
        ];
        for (call, status) in calls {
            let answer = call.send(&world).await;
            assert_eq!(answer.status, status, "{call:?} {}", answer.dump());
            let id = answer.header(request_id(dialect)).unwrap_or_default().to_owned();
            assert!(!id.is_empty(), "{call:?}");
            assert!(answer.header("Date").is_some());
            if !answer.body.is_empty() && status >= 400 {
                assert_eq!(answer.element("RequestId"), Some(id.clone()));
                let second = match dialect {
                    Dialect::Cos => ("TraceId", "x-cos-trace-id"),
                    Dialect::S3 => ("HostId", "x-amz-id-2"),
                };
                assert_eq!(answer.element(second.0).as_deref(), answer.header(second.1));
            }
            if status == 304 {
                assert_eq!(answer.header("ETag"), Some(etag.as_str()));
                assert!(answer.header("Last-Modified").is_some());
            }
            assert!(seen.insert(id), "a request id came twice");
        }
    }
}

/// Answers to HEAD have the headers of a GET's and no body, failures included.
#[tokio::test]
async fn failures_of_heads_have_no_body() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let answer = head(dialect, &format!("/{BUCKET}/none")).send(&world).await;
        assert_eq!(answer.status, 404);
        assert!(answer.body.is_empty());
        // Not a length that a client would wait for.
        assert!(matches!(answer.header("Content-Length"), None | Some("0")), "{}", answer.dump());
    }
}

#[tokio::test]
async fn the_resource_of_an_error_is_what_was_asked_for() {
    let world = World::with_bucket().await;
    let host = format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com");
    let answer = get(Dialect::Cos, "/no key").host(&host).send(&world).await;
    answer.refused(404, "NoSuchKey");
    assert_eq!(answer.element("Resource"), Some(format!("{host}/no%20key")));
    let answer = get(Dialect::S3, &format!("/{BUCKET}/none")).send(&world).await;
    assert_eq!(answer.element("Resource"), Some(format!("/{BUCKET}/none")));
}

/// COS documents five elements in this order; whatever else there is comes after.
#[tokio::test]
async fn the_elements_of_an_error_of_cos_in_their_order() {
    let world = World::with_bucket().await;
    let answer = get(Dialect::Cos, &format!("/{BUCKET}")).query("max-keys", "x").send(&world).await;
    answer.refused(400, "InvalidArgument");
    let text = answer.text();
    let names = ["Code", "Message", "Resource", "RequestId", "TraceId", "ArgumentName"];
    let places = names.map(|name| text.find(&format!("<{name}>")).expect(name));
    assert!(places.is_sorted(), "{text}");
    assert_eq!(answer.header("Server"), Some("Costrel"));
}

/// A connection is used again after success and after a refusal whose body was
/// read to its end.
#[tokio::test]
async fn connections_are_kept() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    let keep = |call: crate::client::Call| {
        let text = String::from_utf8(call.bytes(&world)).unwrap();
        text.replace("Connection: close\r\n", "").into_bytes()
    };
    let mut stream = world.connect();
    stream.write_all(&keep(put(Dialect::S3, &path).body("one"))).await.unwrap();
    let refused = put(Dialect::S3, &path).query("renameObject", "").body("two");
    stream.write_all(&keep(refused)).await.unwrap();
    let last = get(Dialect::S3, &path).bytes(&world);
    stream.write_all(&last).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    let statuses: Vec<&str> =
        all.match_indices("HTTP/1.1 ").map(|(at, _)| &all[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "501", "200"]);
    assert!(all.ends_with("\r\n\r\none"));
}

/// `Expect: 100-continue`: the client sends its body only when it is wanted.
#[tokio::test]
async fn an_expected_body_is_asked_for_only_when_it_is_wanted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    let more = [("Content-Length", "3".to_owned()), ("Expect", "100-continue".to_owned())];
    let mut stream = world.connect();
    let call = put(Dialect::Cos, &path).body("abc");
    stream.write_all(&call.head_bytes(&world, &more)).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(Answer::parse(&rest, false).status, 200);

    let mut stream = world.connect();
    let refused = call.signing(Signing::Nothing);
    stream.write_all(&refused.head_bytes(&world, &more)).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&all));
}

/// Every request is reported once, with what came of it.
#[tokio::test]
async fn requests_are_reported() {
    let world = World::with_bucket().await;
    let path = format!("/{BUCKET}/key");
    put(Dialect::Cos, &path).body("hello").send(&world).await.ok();
    get(Dialect::S3, &path).send(&world).await.ok();
    get(Dialect::S3, &format!("/{BUCKET}/none")).send(&world).await;
    let records = world.records.all();
    let [_, stored, read, missing] = records.as_slice() else { panic!("{}", records.len()) };
    assert_eq!((stored.operation, stored.status, stored.bytes_in), ("PutObject", 200, 5));
    assert_eq!((read.operation, read.status, read.bytes_out), ("GetObject", 200, 5));
    assert_eq!((missing.status, missing.code), (404, Some("NoSuchKey")));
    assert_eq!(missing.bucket.as_deref(), Some(BUCKET));
    assert_eq!(missing.access_key_id.as_deref(), Some(crate::world::KEY_ID));
}
