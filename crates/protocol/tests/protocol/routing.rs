//! One request to every row of the operation tables: what is implemented is
//! done, what is not says so.

use costrel_protocol::dialect::Dialect;
use costrel_protocol::ops::{self, OpRow, Param, Shape, Verb};

use crate::client::{Call, Signing, put};
use crate::world::{BUCKET, World};

/// A request that matches a row, and nothing more.
pub fn request_of(dialect: Dialect, row: &OpRow) -> Call {
    let control = "100000000001.cos-control.ap-guangzhou.myqcloud.com";
    let fetch = "ap-guangzhou.migration.myqcloud.com";
    let (host, path) = match row.shape {
        Shape::Service => (None, "/".to_owned()),
        Shape::Bucket => (None, format!("/{BUCKET}")),
        Shape::Object => (None, format!("/{BUCKET}/key")),
        Shape::Jobs => (Some(control), "/jobs".to_owned()),
        Shape::Job => (Some(control), "/jobs/1".to_owned()),
        Shape::JobPriority => (Some(control), "/jobs/1/priority".to_owned()),
        Shape::JobStatus => (Some(control), "/jobs/1/status".to_owned()),
        Shape::FetchQueue => (Some(fetch), format!("/{BUCKET}/")),
        Shape::FetchTask => (Some(fetch), format!("/{BUCKET}/task")),
        Shape::Website | Shape::UnknownJobPath => panic!("no row has this shape"),
    };
    let method = match row.verb {
        Verb::Get => "GET",
        Verb::Head => "HEAD",
        Verb::Put => "PUT",
        Verb::Post => "POST",
        Verb::Delete => "DELETE",
        Verb::Options => "OPTIONS",
    };
    let mut call = put(dialect, &path).method(method);
    if let Some(host) = host {
        call = call.host(host);
    }
    for param in row.query {
        call = match *param {
            Param::Sub("partNumber") => call.query("partNumber", "1"),
            Param::Sub("uploadId") => call.query("uploadId", "00112233445566778899aabbccddeeff"),
            Param::Is(name, value) => call.query(name, value),
            Param::Sub(name) | Param::Key(name) => call.query(name, ""),
        };
    }
    for name in row.headers {
        call = call.header(name, &format!("{BUCKET}/source"));
    }
    call
}

#[tokio::test]
async fn every_row_is_done_or_says_that_it_is_not() {
    for dialect in Dialect::ALL {
        for row in ops::rows(dialect) {
            let world = World::with_bucket().await;
            let call = request_of(dialect, row);
            let stored = world.stored().await;
            let answer = call.send(&world).await;
            let known = world.records.all();
            let record = known.last().unwrap();
            assert_eq!(record.operation, row.name, "{dialect:?} {call:?}");
            if row.implemented() {
                assert!(!matches!(answer.status, 405 | 501), "{}: {}", row.name, answer.dump());
                assert_ne!(answer.status, 500, "{}", row.name);
                continue;
            }
            match row.verb {
                Verb::Head => assert_eq!(answer.status, 501, "{}", row.name),
                _ => {
                    answer.refused(501, "NotImplemented");
                    let root = answer.text().split_once("?>").unwrap().1.trim_start();
                    assert!(root.starts_with("<Error>"), "{}", answer.text());
                    let second = match dialect {
                        Dialect::Cos => "TraceId",
                        Dialect::S3 => "HostId",
                    };
                    assert!(answer.element(second).is_some_and(|id| !id.is_empty()));
                }
            }
            assert_eq!(world.stored().await, stored, "{} changed something", row.name);
        }
    }
}

/// A sub-resource of one dialect is not a plain request in the other.
#[tokio::test]
async fn what_only_looks_like_an_operation_is_refused() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    let cases = [
        (Dialect::S3, "PUT", "key", "symlink", 501),
        (Dialect::S3, "POST", "key", "append", 501),
        (Dialect::Cos, "PUT", "key", "legal-hold", 501),
        (Dialect::Cos, "GET", "key", "imageMogr2/thumbnail/50x", 501),
        (Dialect::S3, "PUT", "key", "uploadId", 400),
        (Dialect::S3, "DELETE", "", "location", 405),
        (Dialect::S3, "PUT", "key", "attributes", 405),
        (Dialect::Cos, "PUT", "", "uploads", 405),
        (Dialect::S3, "GET", "", "ci-process", 501),
    ];
    for (dialect, method, key, query, status) in cases {
        let path = format!("/{BUCKET}/{key}");
        let answer =
            put(dialect, &path).method(method).query(query, "").body("x").send(&world).await;
        assert_eq!(answer.status, status, "{method} {key}?{query}: {}", answer.dump());
    }
    for method in ["PATCH", "TRACE", "PROPFIND", "MKCOL", "BREW"] {
        let path = format!("/{BUCKET}/key");
        let answer = put(Dialect::S3, &path).method(method).send(&world).await;
        answer.refused(405, "MethodNotAllowed");
    }
    let conflict =
        put(Dialect::S3, &format!("/{BUCKET}/key")).query("acl", "").query("tagging", "");
    conflict.send(&world).await.refused(400, "InvalidArgument");
    assert_eq!(world.stored().await, stored);
}

/// Hosts in every form lead to the same bucket.
#[tokio::test]
async fn addresses() {
    let world = World::with_bucket().await;
    put(Dialect::Cos, &format!("/{BUCKET}/a/b")).body("x").send(&world).await.ok();
    let virtual_hosts = [
        format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com"),
        format!("{BUCKET}.cos.ap-guangzhou.tencentcos.cn:8080"),
        format!("{BUCKET}.cos-internal.ap-guangzhou.tencentcos.cn"),
        format!("{BUCKET}.cosgz.myqcloud.com"),
        format!("{BUCKET}.s3.amazonaws.com"),
        format!("{BUCKET}.localhost:9000"),
        format!("{BUCKET}.objects.example"),
        format!("{}.objects.example.", BUCKET.to_uppercase()),
    ];
    for host in &virtual_hosts {
        for signing in [Signing::CosHeader, Signing::CosQuery, Signing::V4, Signing::V4Query] {
            let call = put(signing.dialect(), "/a/b").method("GET").host(host).signing(signing);
            let answer = call.send(&world).await;
            assert_eq!((answer.status, answer.text()), (200, "x"), "{host} {signing:?}");
        }
    }
    for host in ["127.0.0.1:9000", "localhost", "[::1]:9000", "storage", "objects.example"] {
        for signing in [Signing::CosHeader, Signing::V4, Signing::V2] {
            let path = format!("/{BUCKET}/a/b");
            let call = put(signing.dialect(), &path).method("GET").host(host).signing(signing);
            let answer = call.send(&world).await;
            assert_eq!((answer.status, answer.text()), (200, "x"), "{host} {signing:?}");
        }
    }
}
