//! Conditional requests and ranges.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, delete, exchange, get, head, post, put};
use crate::world::{BUCKET, World};

fn object() -> String {
    format!("/{BUCKET}/key")
}

/// A condition that cannot be read holds for nothing, instead of not being there.
#[tokio::test]
async fn tags_that_are_no_text() {
    let world = World::with_bucket().await;
    put(Dialect::Cos, &object()).body("hello").send(&world).await.ok();
    let call = put(Dialect::Cos, &object());
    let mut bytes = call.head_bytes(&world, &[("Content-Length", "1".into())]);
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(b"If-Match: \"\xff\"\r\n\r\nx");
    exchange(&world, &bytes, false).await.refused(412, "PreconditionFailed");
    assert_eq!(get(Dialect::Cos, &object()).send(&world).await.text(), "hello");
}

#[tokio::test]
async fn reads() {
    let world = World::with_bucket().await;
    let stored = put(Dialect::Cos, &object()).body("hello").send(&world).await;
    let etag = stored.header("ETag").unwrap();
    let found = head(Dialect::S3, &object()).send(&world).await;
    let at = found.header("Last-Modified").unwrap();
    let (before, after) = ("Thu, 01 Jan 2026 00:00:00 GMT", "Sun, 01 Feb 2026 00:00:00 GMT");
    let other = "\"00000000000000000000000000000000\"";
    let several = format!("{other}, {etag}");
    let weak = format!("W/{etag}");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("If-Match", etag)], 200),
        (&[("If-Match", etag.trim_matches('"'))], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Match", &several)], 200),
        (&[("If-Match", other), ("If-Match", etag)], 200),
        (&[("If-Match", other)], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-None-Match", other), ("If-None-Match", etag)], 304),
        (&[("If-None-Match", "*"), ("If-None-Match", "*")], 304),
        (&[("If-None-Match", etag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", other)], 200),
        (&[("If-Modified-Since", at)], 304),
        (&[("If-Modified-Since", before)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-Unmodified-Since", at)], 200),
        (&[("If-Unmodified-Since", after)], 200),
        (&[("If-Unmodified-Since", before)], 412),
        (&[("If-Match", etag), ("If-Unmodified-Since", before)], 200),
        (&[("If-None-Match", other), ("If-Modified-Since", after)], 200),
        (&[("If-None-Match", etag), ("If-Modified-Since", before)], 304),
        (&[("If-Match", other), ("Range", "bytes=0-1")], 412),
        (&[("If-Match", etag), ("Range", "bytes=0-1")], 206),
    ];
    for dialect in Dialect::ALL {
        for (conditions, status) in cases {
            for method in ["GET", "HEAD"] {
                let mut call = get(dialect, &object()).method(method);
                for (name, value) in *conditions {
                    call = call.header(name, value);
                }
                let answer = call.send(&world).await;
                assert_eq!(answer.status, *status, "{method} {conditions:?}");
                match status {
                    304 => {
                        assert_eq!(answer.header("ETag"), Some(etag));
                        assert_eq!(answer.header("Last-Modified"), Some(at));
                        assert_eq!(answer.header("Content-Length"), None);
                    }
                    412 if method == "GET" => {
                        answer.refused(412, "PreconditionFailed");
                        if dialect == Dialect::Cos {
                            let message = answer.element("Message");
                            assert_eq!(message.as_deref(), Some("Precondition not match."));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn ranges() {
    let world = World::with_bucket().await;
    let inline = "0123456789".to_owned();
    let blob = "0123456789".repeat(1000);
    for body in [inline, blob] {
        put(Dialect::Cos, &object()).body(&body).send(&world).await.ok();
        let size = body.len();
        let tail = format!("bytes={}-", size - 1);
        let beyond = format!("bytes={}-{}", size - 2, size + 100);
        let cases = [
            ("bytes=0-0", Some((0, 0))),
            ("bytes=2-5", Some((2, 5))),
            ("bytes=5-", Some((5, size - 1))),
            (tail.as_str(), Some((size - 1, size - 1))),
            (beyond.as_str(), Some((size - 2, size - 1))),
            ("bytes=-3", Some((size - 3, size - 1))),
            ("bytes=-99999999", Some((0, size - 1))),
            ("bytes=0-99999999999999999999", Some((0, size - 1))),
            // What is no range is ignored, and so are several.
            ("bytes=5-2", None),
            ("bytes=a-b", None),
            ("bytes=", None),
            ("chars=0-1", None),
            ("bytes=0-1,3-4", None),
        ];
        for dialect in Dialect::ALL {
            for (range, want) in cases {
                let answer = get(dialect, &object()).header("Range", range).send(&world).await;
                let Some((first, last)) = want else {
                    assert_eq!((answer.status, answer.text()), (200, body.as_str()), "{range}");
                    assert_eq!(answer.header("Content-Range"), None);
                    continue;
                };
                assert_eq!(answer.status, 206, "{range}");
                assert_eq!(answer.text(), &body[first..=last], "{range}");
                let shown = format!("bytes {first}-{last}/{size}");
                assert_eq!(answer.header("Content-Range"), Some(shown.as_str()));
                assert_eq!(answer.header("Accept-Ranges"), Some("bytes"));
                let same = head(dialect, &object()).header("Range", range).send(&world).await;
                assert_eq!(
                    (same.status, same.header("Content-Range")),
                    (206, Some(shown.as_str()))
                );
                assert_eq!(same.header("Content-Length"), Some(&*(last - first + 1).to_string()));
            }
            for range in
                [format!("bytes={size}-"), format!("bytes={size}-{}", size + 5), "bytes=-0".into()]
            {
                let answer = get(dialect, &object()).header("Range", &range).send(&world).await;
                answer.refused(416, "InvalidRange");
                let same = head(dialect, &object()).header("Range", &range).send(&world).await;
                assert_eq!(same.status, 416);
            }
            let both =
                get(dialect, &object()).header("Range", "bytes=0-1").query("partNumber", "1");
            both.send(&world).await.refused(400, "InvalidRequest");
        }
    }
}

/// An object that was put at once is its own and only part.
#[tokio::test]
async fn the_part_of_a_simple_object() {
    let world = World::with_bucket().await;
    put(Dialect::Cos, &object()).body("hello").send(&world).await.ok();
    for dialect in Dialect::ALL {
        let one = get(dialect, &object()).query("partNumber", "1").send(&world).await;
        assert_eq!((one.status, one.text()), (200, "hello"));
        assert_eq!(one.header(dialect.headers().parts_count.as_str()), None);
        let two = get(dialect, &object()).query("partNumber", "2").send(&world).await;
        assert_eq!(two.status, 416);
    }
}

/// A download goes on only if the object is still the one it was begun with.
#[tokio::test]
async fn ranges_of_what_has_not_changed() {
    let world = World::with_bucket().await;
    let stored = put(Dialect::Cos, &object()).body("0123456789").send(&world).await;
    let etag = stored.header("ETag").unwrap();
    let found = head(Dialect::S3, &object()).send(&world).await;
    let at = found.header("Last-Modified").unwrap();
    let weak = format!("W/{etag}");
    for dialect in Dialect::ALL {
        for (value, status) in [
            (etag, 206),
            (at, 206),
            ("\"other\"", 200),
            (weak.as_str(), 200),
            ("Thu, 01 Jan 2026 00:00:00 GMT", 200),
            ("nonsense", 200),
            ("*", 200),
        ] {
            let call = get(dialect, &object()).header("If-Range", value);
            let ranged = call.clone().header("Range", "bytes=5-");
            let answer = ranged.send(&world).await;
            let want = if status == 206 { "56789" } else { "0123456789" };
            assert_eq!((answer.status, answer.text()), (status, want), "{value}");
            assert_eq!(ranged.method("HEAD").send(&world).await.status, status);
            // Without a range it means nothing.
            assert_eq!(call.send(&world).await.status, 200);
        }
        let failed = get(dialect, &object()).header("If-Range", etag).header("If-Match", "\"x\"");
        assert_eq!(failed.header("Range", "bytes=0-1").send(&world).await.status, 412);
    }
}

#[tokio::test]
async fn of_an_empty_object_there_is_no_range() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &object()).send(&world).await.ok();
    for dialect in Dialect::ALL {
        let answer = get(dialect, &object()).send(&world).await;
        assert_eq!((answer.status, answer.header("Content-Length")), (200, Some("0")));
        assert_eq!(answer.header("ETag"), Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            let answer = get(dialect, &object()).header("Range", range).send(&world).await;
            answer.refused(416, "InvalidRange");
        }
    }
}

#[tokio::test]
async fn writes() {
    let world = World::with_bucket().await;
    let put = || put(Dialect::S3, &object());
    put().header("If-Match", "\"x\"").body("0").send(&world).await.refused(404, "NoSuchKey");
    put().header("If-Match", "*").body("0").send(&world).await.refused(404, "NoSuchKey");
    let first = put().header("If-None-Match", "*").body("1").send(&world).await;
    let etag = first.ok().header("ETag").unwrap().to_owned();
    let stored = world.stored().await;
    let again = put().header("If-None-Match", "*").body("2").send(&world).await;
    again.refused(412, "PreconditionFailed");
    let wrong = put().header("If-Match", "\"x\"").body("2").send(&world).await;
    wrong.refused(412, "PreconditionFailed");
    assert_eq!(world.stored().await, stored);
    // AWS takes only the star here.
    let same = put().header("If-None-Match", &etag).body("2").send(&world).await;
    same.refused(412, "PreconditionFailed");
    assert_eq!(world.stored().await, stored);
    put().header("If-None-Match", "\"x\"").body("1").send(&world).await.ok();
    put().header("If-Match", &etag).body("2").send(&world).await.ok();

    // A completion is a write like any other.
    let begun = post(Dialect::S3, &object()).query("uploads", "").send(&world).await;
    let id = begun.element("UploadId").unwrap();
    let part = put().query("partNumber", "1").query("uploadId", &id).body("3").send(&world).await;
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
         </CompleteMultipartUpload>",
        part.header("ETag").unwrap()
    );
    let complete = || post(Dialect::S3, &object()).query("uploadId", &id).body(&document);
    let refused = complete().header("If-None-Match", "*").send(&world).await;
    refused.refused(412, "PreconditionFailed");
    let refused = complete().header("If-Match", &etag).send(&world).await;
    refused.refused(412, "PreconditionFailed");
    complete().header("If-Match", "*").send(&world).await.ok();
}

#[tokio::test]
async fn overwriting_is_forbidden_on_request() {
    let world = World::with_bucket().await;
    let put = |value: &str| {
        put(Dialect::Cos, &object()).header("x-cos-forbid-overwrite", value).body("x")
    };
    put("true").send(&world).await.ok();
    put("true").send(&world).await.refused(409, "FileAlreadyExists");
    put("false").send(&world).await.ok();
    put("perhaps").send(&world).await.refused(400, "InvalidArgument");
    // COS documents no conditions on puts; those of HTTP are obeyed.
    let once = put("false").header("If-None-Match", "*").send(&world).await;
    once.refused(412, "PreconditionFailed");
}

#[tokio::test]
async fn deletions() {
    let world = World::with_bucket().await;
    let delete = || delete(Dialect::S3, &object());
    let make = || async {
        put(Dialect::S3, &object()).body("hello").send(&world).await;
        let found = head(Dialect::S3, &object()).send(&world).await;
        (
            found.header("ETag").unwrap().to_owned(),
            found.header("Last-Modified").unwrap().to_owned(),
        )
    };
    let (etag, at) = make().await;
    let stored = world.stored().await;
    let wrong: [Call; 5] = [
        delete().header("If-Match", "\"x\""),
        delete().header("x-amz-if-match-size", "4"),
        delete().header("x-amz-if-match-last-modified-time", "Thu, 01 Jan 2026 00:00:00 GMT"),
        delete().header("If-Match", &etag).header("x-amz-if-match-size", "4"),
        delete().header("If-Match", "\"x\"").header("x-amz-if-match-size", "5"),
    ];
    for call in wrong {
        call.send(&world).await.refused(412, "PreconditionFailed");
    }
    delete()
        .header("x-amz-if-match-size", "five")
        .send(&world)
        .await
        .refused(400, "InvalidArgument");
    assert_eq!(world.stored().await, stored);
    let right = [
        delete().header("If-Match", &etag),
        delete().header("If-Match", "*"),
        delete().header("x-amz-if-match-size", "5"),
        delete().header("x-amz-if-match-last-modified-time", &at),
    ];
    for call in right {
        make().await;
        assert_eq!(call.send(&world).await.status, 204, "{call:?}");
        get(Dialect::S3, &object()).send(&world).await.refused(404, "NoSuchKey");
    }
    delete().header("If-Match", "*").send(&world).await.refused(404, "NoSuchKey");
    let of_nothing = delete().header("x-amz-if-match-size", "5");
    assert_eq!(of_nothing.send(&world).await.status, 204);
    assert_eq!(delete().send(&world).await.status, 204);
}
