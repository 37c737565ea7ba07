//! COS's symlinks, and what both dialects read through them.

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, delete, get, head, put};
use crate::world::{BUCKET, World};

const TARGET: &str = "x-cos-symlink-target";

fn object(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

fn link(key: &str, target: &str) -> Call {
    put(Dialect::Cos, &object(key)).query("symlink", "").header(TARGET, target)
}

async fn target(world: &World, key: &str) -> Answer {
    get(Dialect::Cos, &object(key)).query("symlink", "").send(world).await
}

#[tokio::test]
async fn a_link_from_beginning_to_end() {
    let world = World::with_bucket().await;
    let made = link("link", "a/t.txt").header("x-cos-meta-mine", "1").send(&world).await;
    made.ok();
    // MD5 of the target's key.
    assert_eq!(made.header("ETag"), Some("\"bfec1286d450a46ba00fe99bf41caa57\""));
    for dialect in Dialect::ALL {
        get(dialect, &object("link")).send(&world).await.refused(404, "NoSuchKey");
    }
    let t = put(Dialect::S3, &object("a/t.txt")).header("Content-Type", "text/plain").body("data");
    let t = t.send(&world).await;
    for dialect in Dialect::ALL {
        let read = get(dialect, &object("link")).send(&world).await;
        assert_eq!((read.ok().text(), read.header("ETag")), ("data", t.header("ETag")));
        assert_eq!(read.header("Content-Type"), Some("text/plain"));
        let told = head(dialect, &object("link")).send(&world).await;
        assert_eq!(told.header("Content-Length"), Some("4"));
        assert_eq!(read.header(TARGET), None);
    }
    let itself = target(&world, "link").await;
    itself.ok();
    assert_eq!(itself.header(TARGET), Some("a/t.txt"));
    assert_eq!(itself.header("ETag"), made.header("ETag"));
    assert_eq!(itself.header("x-cos-meta-mine"), Some("1"));
    assert_eq!(itself.header("Content-Length"), Some("0"));
    assert!(itself.header("Last-Modified").is_some());
    let listed = get(Dialect::Cos, &format!("/{BUCKET}")).send(&world).await;
    assert_eq!(listed.elements("Key"), ["a/t.txt", "link"]);
    assert_eq!(listed.elements("Size"), ["4", "7"]);
    delete(Dialect::Cos, &object("link")).send(&world).await;
    target(&world, "link").await.refused(404, "NoSuchKey");
    assert_eq!(get(Dialect::Cos, &object("a/t.txt")).send(&world).await.text(), "data");
}

#[tokio::test]
async fn targets_are_encoded() {
    let world = World::with_bucket().await;
    for (sent, key, shown) in [
        ("a%20b%2Fc", "a b/c", "a%20b/c"),
        ("a/b+c", "a/b+c", "a/b%2Bc"),
        ("%E4%BD%A0%0A", "你\n", "%E4%BD%A0%0A"),
    ] {
        put(Dialect::Cos, &object(key)).body(key).send(&world).await.ok();
        link("link", sent).send(&world).await.ok();
        assert_eq!(get(Dialect::Cos, &object("link")).send(&world).await.text(), key);
        assert_eq!(target(&world, "link").await.header(TARGET), Some(shown));
    }
}

#[tokio::test]
async fn links_that_cannot_be() {
    let world = World::with_bucket().await;
    put(Dialect::Cos, &object("t")).body("data").send(&world).await.ok();
    link("link", "t").send(&world).await.ok();
    let stored = world.stored().await;
    let none = put(Dialect::Cos, &object("k")).query("symlink", "");
    none.send(&world).await.refused(400, "InvalidArgument");
    for (target, code) in [
        ("", "InvalidArgument"),
        ("%zz", "InvalidArgument"),
        ("%ff", "InvalidArgument"),
        ("k", "InvalidRequest"),
    ] {
        link("k", target).send(&world).await.refused(400, code);
    }
    let long = "k".repeat(1025);
    link("k", &long).send(&world).await.refused(400, "KeyTooLong");
    let class = link("k", "t").header("x-cos-storage-class", "ARCHIVE");
    class.send(&world).await.refused(400, "NotSupportedStorageClass");
    let over = link("t", "u").header("x-cos-forbid-overwrite", "true");
    over.send(&world).await.refused(409, "FileAlreadyExists");
    let encrypted = link("k", "t").header("x-cos-server-side-encryption", "AES256");
    encrypted.send(&world).await.refused(501, "NotImplemented");
    // On anything but a link it would mean something else.
    let plain = put(Dialect::Cos, &object("k")).header(TARGET, "t").body("data");
    plain.send(&world).await.refused(501, "NotImplemented");
    target(&world, "t").await.refused(400, "NotSymlink");
    target(&world, "none").await.refused(404, "NoSuchKey");
    let s3 = put(Dialect::S3, &object("k")).query("symlink", "");
    s3.send(&world).await.refused(501, "NotImplemented");
    assert_eq!(world.stored().await, stored);
    link("second", "link").send(&world).await.ok();
    for dialect in Dialect::ALL {
        get(dialect, &object("second")).send(&world).await.refused(400, "InvalidRequest");
    }
}

#[tokio::test]
async fn versions_tags_and_copies() {
    let world = World::with_bucket().await;
    let status = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let bucket = format!("/{BUCKET}");
    put(Dialect::Cos, &bucket).query("versioning", "").body(status).send(&world).await.ok();
    for key in ["t1", "t2"] {
        put(Dialect::Cos, &object(key)).body(key).send(&world).await.ok();
    }
    let first = link("link", "t1").header("x-cos-tagging", "a=1").send(&world).await;
    let second = link("link", "t2").send(&world).await;
    let versions = [&first, &second].map(|made| made.header("x-cos-version-id").unwrap());
    for (version, key) in versions.into_iter().zip(["t1", "t2"]) {
        let read = get(Dialect::Cos, &object("link")).query("versionId", version);
        let read = read.send(&world).await;
        assert_eq!((read.text(), read.header("x-cos-version-id")), (key, Some(version)));
        let itself = get(Dialect::Cos, &object("link")).query("symlink", "");
        let itself = itself.query("versionId", version).send(&world).await;
        assert_eq!(itself.header(TARGET), Some(key));
        assert_eq!(itself.header("x-cos-version-id"), Some(version));
    }
    // What is said about the link is not said about its target.
    let tags = get(Dialect::S3, &object("link")).query("tagging", "");
    let tags = tags.query("versionId", versions[0]).send(&world).await;
    assert_eq!(tags.elements("Value"), ["1"]);
    delete(Dialect::Cos, &object("t2")).send(&world).await;
    let lost = get(Dialect::Cos, &object("link")).send(&world).await;
    lost.refused(404, "NoSuchKey");
    assert_eq!(lost.header("x-cos-delete-marker"), None);
    let source = format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com/link?versionId={}", versions[0]);
    let copy = put(Dialect::Cos, &object("copy")).header("x-cos-copy-source", &source);
    copy.send(&world).await.ok();
    assert_eq!(get(Dialect::Cos, &object("copy")).send(&world).await.text(), "t1");
    target(&world, "copy").await.refused(400, "NotSymlink");
}
