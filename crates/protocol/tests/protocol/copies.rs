//! Copies, in every spelling of their source and their directive.

use costrel_protocol::dialect::Dialect;

use crate::client::{Call, delete, get, head, post, put};
use crate::world::{BUCKET, World};

const ODD: &str = "dir//a +%?#&=你😀";

fn target() -> String {
    format!("/{BUCKET}/copy")
}

fn copy(dialect: Dialect, source: &str) -> Call {
    put(dialect, &target()).header(dialect.headers().copy_source.as_str(), source)
}

fn encoded(text: &str) -> String {
    costrel_protocol::percent::encode(text).into_owned()
}

#[tokio::test]
async fn sources_in_every_spelling() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/{ODD}")).body("odd").send(&world).await.ok();
    let key = encoded(ODD);
    let everywhere = [
        format!("{BUCKET}/{key}"),
        format!("/{BUCKET}/{key}"),
        format!("{BUCKET}%2F{}", key.replace('/', "%2F")),
        format!("%2F{BUCKET}%2F{}", key.replace('/', "%2f")),
        format!("/{BUCKET}/{key}?versionId=null"),
        format!("/{BUCKET}/{key}?versionId="),
        // The key is decoded once; what needs no encoding may go without.
        format!("/{BUCKET}/{}", key.replace("%2B", "+").replace("%26", "&").replace("%3D", "=")),
    ];
    let hosts = [
        "cos.ap-guangzhou.myqcloud.com",
        "cos.ap-shanghai.tencentcos.cn",
        "cos-internal.ap-guangzhou.tencentcos.cn",
        "cosv6.ap-guangzhou.myqcloud.com",
        "cos.accelerate.myqcloud.com",
        "objects.example",
        "localhost:9000",
    ];
    let by_host = hosts.iter().map(|host| (Dialect::Cos, format!("{BUCKET}.{host}/{key}")));
    let sources = Dialect::ALL
        .into_iter()
        .flat_map(|dialect| everywhere.iter().map(move |source| (dialect, source.clone())))
        .chain(by_host);
    for (dialect, source) in sources {
        let answer = copy(dialect, &source).send(&world).await;
        assert_eq!(answer.status, 200, "{source} {}", answer.dump());
        let root = "CopyObjectResult";
        assert!(answer.text().contains(root));
        let etag = answer.element("ETag").unwrap();
        assert!(answer.element("LastModified").is_some());
        assert_eq!(answer.element("CRC64").is_some(), dialect == Dialect::Cos);
        let read = get(dialect, &target()).send(&world).await;
        assert_eq!((read.text(), read.header("ETag")), ("odd", Some(etag.as_str())), "{source}");
        delete(dialect, &target()).send(&world).await.ok();
    }
}

/// A bucket of S3 may have the name of a host.
#[tokio::test]
async fn a_bucket_named_like_a_host_is_a_bucket() {
    let world = World::with_bucket().await;
    world.make_bucket("www.objects.example").await;
    let call = put(Dialect::S3, "/www.objects.example/key").host("storage").body("site");
    call.send(&world).await.ok();
    copy(Dialect::S3, "www.objects.example/key").send(&world).await.ok();
    assert_eq!(get(Dialect::S3, &target()).send(&world).await.text(), "site");
}

#[tokio::test]
async fn sources_that_cannot_be() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/dir/")).send(&world).await.ok();
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        let malformed = match dialect {
            Dialect::Cos => "InvalidCopySource",
            Dialect::S3 => "InvalidArgument",
        };
        for source in ["", "/", "nothing", "/bucket/", "/bucket", "%zz/key", "b/%ff", "b/%", "//x"]
        {
            let answer = copy(dialect, source).send(&world).await;
            answer.refused(400, malformed);
        }
        let missing = copy(dialect, &format!("/{BUCKET}/none")).send(&world).await;
        missing.refused(404, "NoSuchKey");
        // A folder without its slash is another key.
        copy(dialect, &format!("/{BUCKET}/dir")).send(&world).await.refused(404, "NoSuchKey");
        copy(dialect, "/no-1250000000/key").send(&world).await.refused(404, "NoSuchBucket");
        let version = copy(dialect, &format!("/{BUCKET}/dir/?versionId=abc")).send(&world).await;
        version.refused(404, "NoSuchVersion");
    }
    assert_eq!(world.stored().await, stored);
}

#[tokio::test]
async fn metadata_is_copied_or_replaced() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let names = dialect.headers();
        let (meta, class) = (format!("{}a", names.meta_prefix), names.storage_class.as_str());
        put(dialect, &format!("/{BUCKET}/key"))
            .header(&meta, "old")
            .header("Content-Type", "text/plain")
            .header(class, "STANDARD_IA")
            .body("x")
            .send(&world)
            .await
            .ok();
        let source = format!("/{BUCKET}/key");
        for directive in [None, Some("COPY"), Some("Copy"), Some("copy")] {
            let mut call = copy(dialect, &source).header(&meta, "new");
            if let Some(directive) = directive {
                call = call.header(names.metadata_directive.as_str(), directive);
            }
            call.send(&world).await.ok();
            let found = head(dialect, &target()).send(&world).await;
            assert_eq!(found.header(&meta), Some("old"), "{directive:?}");
            assert_eq!(found.header("Content-Type"), Some("text/plain"));
            // The class is never inherited.
            assert_eq!(found.header(class), None);
        }
        for directive in ["REPLACE", "Replaced", "replaced"] {
            let call = copy(dialect, &source)
                .header(names.metadata_directive.as_str(), directive)
                .header(&meta, "new")
                .header("Content-Type", "image/png")
                .header(class, "STANDARD_IA");
            call.send(&world).await.ok();
            let found = head(dialect, &target()).send(&world).await;
            assert_eq!(found.header(&meta), Some("new"), "{directive}");
            assert_eq!(found.header("Content-Type"), Some("image/png"));
            assert_eq!(found.header(class), Some("STANDARD_IA"));
        }
        let wrong = copy(dialect, &source).header(names.metadata_directive.as_str(), "KEEP");
        wrong.send(&world).await.refused(400, "InvalidArgument");
        let wrong = copy(dialect, &source).header(names.tagging_directive.as_str(), "KEEP");
        wrong.send(&world).await.refused(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn onto_itself() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let names = dialect.headers();
        put(dialect, &target()).body("same").send(&world).await.ok();
        let source = format!("/{BUCKET}/copy");
        copy(dialect, &source).send(&world).await.refused(400, "InvalidRequest");
        let class = copy(dialect, &source).header(names.storage_class.as_str(), "STANDARD_IA");
        class.send(&world).await.ok();
        let replaced = copy(dialect, &source)
            .header(names.metadata_directive.as_str(), "REPLACE")
            .header("Content-Type", "a/b");
        let answer = replaced.send(&world).await;
        let found = get(dialect, &target()).send(&world).await;
        assert_eq!(found.header("ETag"), answer.element("ETag").as_deref());
        assert_eq!((found.text(), found.header("Content-Type")), ("same", Some("a/b")));
    }
}

#[tokio::test]
async fn conditions_on_the_source() {
    let world = World::with_bucket().await;
    let stored = put(Dialect::S3, &format!("/{BUCKET}/key")).body("x").send(&world).await;
    let etag = stored.header("ETag").unwrap();
    let found = head(Dialect::S3, &format!("/{BUCKET}/key")).send(&world).await;
    let at = found.header("Last-Modified").unwrap();
    let before = "Thu, 01 Jan 2026 00:00:00 GMT";
    for dialect in Dialect::ALL {
        let names = dialect.headers();
        let (matches, none) = (&names.copy_source_if_match, &names.copy_source_if_none_match);
        let (since, until) =
            (&names.copy_source_if_modified_since, &names.copy_source_if_unmodified_since);
        let copy = || copy(dialect, &format!("/{BUCKET}/key"));
        let with = |name: &http::HeaderName, value: &str| copy().header(name.as_str(), value);
        for (call, status) in [
            (with(matches, etag), 200),
            (with(matches, etag.trim_matches('"')), 200),
            (with(matches, "\"other\""), 412),
            (with(none, etag), 412),
            (with(none, "\"other\""), 200),
            (with(since, before), 200),
            (with(since, at), 412),
            (with(until, at), 200),
            (with(until, before), 412),
            // A matching tag outranks the date, a failing one too.
            (with(matches, etag).header(until.as_str(), before), 200),
            (with(none, etag).header(since.as_str(), before), 412),
        ] {
            let answer = call.send(&world).await;
            assert_eq!(answer.status, status, "{call:?}");
            if status == 412 {
                answer.refused(412, "PreconditionFailed");
            }
        }
    }
}

#[tokio::test]
async fn parts_are_copied_with_ranges() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/key")).body("0123456789").send(&world).await.ok();
    for dialect in Dialect::ALL {
        let begun = post(dialect, &target()).query("uploads", "").send(&world).await;
        let id = begun.element("UploadId").unwrap();
        let names = dialect.headers();
        let part = |range: Option<&str>| {
            let call = copy(dialect, &format!("/{BUCKET}/key"))
                .query("partNumber", "1")
                .query("uploadId", &id);
            match range {
                Some(range) => call.header(names.copy_source_range.as_str(), range),
                None => call,
            }
        };
        for (range, want) in
            [(None, "0123456789"), (Some("bytes=2-4"), "234"), (Some("bytes=0-9"), "0123456789")]
        {
            let answer = part(range).send(&world).await;
            assert_eq!(answer.status, 200, "{}", answer.dump());
            assert!(answer.text().contains("<CopyPartResult"));
            let etag = answer.element("ETag").unwrap();
            let md5 = costrel_core::checksum::Digester::new([]);
            let mut md5 = md5;
            md5.update(want.as_bytes());
            assert_eq!(etag.trim_matches('"'), hex::encode(md5.finish().md5));
        }
        for range in ["bytes=0-10", "bytes=5-21"] {
            part(Some(range)).send(&world).await.refused(400, "InvalidArgument");
        }
        part(Some("bytes=10-10")).send(&world).await.refused(416, "InvalidRange");
        for range in ["bytes=2-", "bytes=-3", "0-3", "bytes=3-2", "bytes=0-1,3-4", "bytes=a-b", ""]
        {
            part(Some(range)).send(&world).await.refused(400, "InvalidArgument");
        }
    }
}

/// The conditions of a copy on its target.
#[tokio::test]
async fn conditions_on_the_target() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &format!("/{BUCKET}/key")).body("x").send(&world).await.ok();
    let source = format!("/{BUCKET}/key");
    copy(Dialect::S3, &source).header("If-Match", "*").send(&world).await.refused(404, "NoSuchKey");
    let first = copy(Dialect::S3, &source).header("If-None-Match", "*");
    first.send(&world).await.ok();
    first.send(&world).await.refused(412, "PreconditionFailed");
    let forbidden = copy(Dialect::Cos, &source).header("x-cos-forbid-overwrite", "true");
    forbidden.send(&world).await.refused(409, "FileAlreadyExists");
}
