//! One store, two dialects: what is put through one is read through the other,
//! and neither acts on the other's headers.

use costrel_protocol::dialect::Dialect;

use crate::client::{delete, get, head, post, put};
use crate::world::{BUCKET, World};

fn object() -> String {
    format!("/{BUCKET}/key")
}

#[tokio::test]
async fn an_object_is_the_same_in_both() {
    let world = World::with_bucket().await;
    let pairs = [(Dialect::Cos, Dialect::S3), (Dialect::S3, Dialect::Cos)];
    for (writer, reader) in pairs {
        let stored = put(writer, &object())
            .header(&format!("{}meta-author", writer.headers().prefix), "Zoë")
            .header(writer.headers().storage_class.as_str(), "STANDARD_IA")
            .header("Content-Type", "text/plain; charset=utf-8")
            .header("Cache-Control", "max-age=5")
            .body("hello")
            .send(&world)
            .await;
        let read = get(reader, &object()).send(&world).await;
        assert_eq!((read.status, read.text()), (200, "hello"));
        assert_eq!(read.header("ETag"), stored.header("ETag"));
        let meta = format!("{}meta-author", reader.headers().prefix);
        assert_eq!(read.header(&meta), Some("Zoë"));
        assert_eq!(read.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(read.header("Cache-Control"), Some("max-age=5"));
        assert_eq!(read.header(reader.headers().storage_class.as_str()), Some("STANDARD_IA"));
        let listed = get(reader, &format!("/{BUCKET}")).send(&world).await;
        assert_eq!(listed.element("StorageClass").as_deref(), Some("STANDARD_IA"));
    }
}

#[tokio::test]
async fn a_type_that_nobody_named_is_each_dialect_s_own() {
    let world = World::with_bucket().await;
    put(Dialect::Cos, &object()).body("x").send(&world).await.ok();
    for (dialect, kind) in
        [(Dialect::Cos, "application/octet-stream"), (Dialect::S3, "binary/octet-stream")]
    {
        let answer = head(dialect, &object()).send(&world).await;
        assert_eq!(answer.header("Content-Type"), Some(kind));
    }
}

#[tokio::test]
async fn an_upload_can_be_continued_in_the_other() {
    let world = World::with_bucket().await;
    let begun = post(Dialect::Cos, &object()).query("uploads", "").send(&world).await;
    let id = begun.element("UploadId").unwrap();
    let part = |dialect, number: &str, body: Vec<u8>| {
        put(dialect, &object()).query("partNumber", number).query("uploadId", &id).body(body)
    };
    let one = part(Dialect::S3, "1", vec![b'a'; 1 << 20]).send(&world).await;
    let two = part(Dialect::Cos, "2", vec![b'b'; 3]).send(&world).await;
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
         <Part><PartNumber>2</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        one.header("ETag").unwrap(),
        two.header("ETag").unwrap(),
    );
    let complete = |dialect| post(dialect, &object()).query("uploadId", &id).body(&document);
    // The smallest part is each dialect's own.
    complete(Dialect::S3).send(&world).await.refused(400, "EntityTooSmall");
    complete(Dialect::Cos).send(&world).await.ok();
    let read = get(Dialect::S3, &object()).send(&world).await;
    assert_eq!(read.body.len(), (1 << 20) + 3);
}

/// A header of the other dialect neither restricts nor describes anything.
#[tokio::test]
async fn the_other_dialect_s_headers_mean_nothing() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &object()).body("one").send(&world).await.ok();
    let answer = put(Dialect::S3, &object())
        .header("x-cos-forbid-overwrite", "true")
        .header("x-cos-meta-a", "b")
        .header("x-cos-storage-class", "nonsense")
        .header("x-cos-acl", "public-read")
        .body("two");
    answer.send(&world).await.ok();
    let read = get(Dialect::Cos, &object()).send(&world).await;
    assert_eq!((read.text(), read.header("x-cos-meta-a")), ("two", None));
    assert_eq!(read.header("x-cos-storage-class"), None);
    let answer = put(Dialect::Cos, &object())
        .header("x-amz-meta-a", "b")
        .header("x-amz-expected-bucket-owner", "somebody")
        .header("x-amz-checksum-crc32", "nonsense")
        .body("three");
    answer.send(&world).await.ok();
    let read = get(Dialect::S3, &object()).send(&world).await;
    assert_eq!((read.text(), read.header("x-amz-meta-a")), ("three", None));
}

/// COS makes no such keys, but reads, copies and deletes them.
#[tokio::test]
async fn keys_that_only_s3_makes() {
    let world = World::with_bucket().await;
    let (long, odd) = ("k".repeat(1000), "bell\u{7}".to_owned());
    for key in [&long, &odd] {
        let path = format!("/{BUCKET}/{key}");
        put(Dialect::S3, &path).body("x").send(&world).await.ok();
        assert_eq!(put(Dialect::Cos, &path).body("y").send(&world).await.status, 400);
        assert_eq!(post(Dialect::Cos, &path).query("uploads", "").send(&world).await.status, 400);
        assert_eq!(get(Dialect::Cos, &path).send(&world).await.text(), "x");
        assert_eq!(head(Dialect::Cos, &path).send(&world).await.status, 200);
        let source = costrel_protocol::percent::encode(&path).into_owned();
        put(Dialect::Cos, &object()).header("x-cos-copy-source", &source).send(&world).await.ok();
        assert_eq!(delete(Dialect::Cos, &path).send(&world).await.status, 204);
        get(Dialect::S3, &path).send(&world).await.refused(404, "NoSuchKey");
    }
}

/// Ignoring the source of a copy would empty the object.
#[tokio::test]
async fn a_copy_in_the_wrong_words_is_refused() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &object()).body("kept").send(&world).await.ok();
    let begun = post(Dialect::S3, &object()).query("uploads", "").send(&world).await;
    let id = begun.element("UploadId").unwrap();
    let stored = world.stored().await;
    for (dialect, name) in [(Dialect::Cos, "x-amz-copy-source"), (Dialect::S3, "x-cos-copy-source")]
    {
        let copy = put(dialect, &object()).header(name, &format!("/{BUCKET}/key"));
        copy.send(&world).await.refused(400, "InvalidArgument");
        let part = copy.query("partNumber", "1").query("uploadId", &id);
        part.send(&world).await.refused(400, "InvalidArgument");
    }
    assert_eq!(world.stored().await, stored);
}

/// There is one directory of buckets.
#[tokio::test]
async fn buckets_are_shared() {
    let world = World::new().await;
    put(Dialect::Cos, &format!("/{BUCKET}")).send(&world).await.ok();
    put(Dialect::S3, &format!("/{BUCKET}"))
        .send(&world)
        .await
        .refused(409, "BucketAlreadyOwnedByYou");
    for dialect in Dialect::ALL {
        let listed = get(dialect, "/").send(&world).await;
        assert_eq!(listed.elements("Name"), [BUCKET]);
        let found = head(dialect, &format!("/{BUCKET}")).send(&world).await;
        let region = dialect.headers().bucket_region.as_str();
        assert_eq!((found.status, found.header(region)), (200, Some(crate::world::REGION)));
        let place = get(dialect, &format!("/{BUCKET}")).query("location", "").send(&world).await;
        assert!(place.text().ends_with(">ap-guangzhou</LocationConstraint>"), "{}", place.text());
        let versioning = get(dialect, &format!("/{BUCKET}")).query("versioning", "");
        let versioning = versioning.send(&world).await;
        assert_eq!(versioning.status, 200);
        assert!(!versioning.text().contains("Status"));
    }
    delete(Dialect::S3, &format!("/{BUCKET}")).send(&world).await.ok();
    get(Dialect::Cos, &format!("/{BUCKET}")).send(&world).await.refused(404, "NoSuchBucket");
}
