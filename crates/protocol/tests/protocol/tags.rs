//! Tags of objects, versions and buckets, in both dialects.

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, delete, get, head, post, put};
use crate::world::{BUCKET, World};

fn object(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

fn document(tags: &[(&str, &str)]) -> String {
    let tag =
        |(key, value): &(&str, &str)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    let tags: String = tags.iter().map(tag).collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

async fn tags(world: &World, dialect: Dialect, path: &str) -> Vec<(String, String)> {
    let answer = get(dialect, path).query("tagging", "").send(world).await;
    answer.ok();
    answer.elements("Key").into_iter().zip(answer.elements("Value")).collect()
}

fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn count(answer: &Answer, dialect: Dialect) -> Option<&str> {
    answer.header(dialect.headers().tagging_count.as_str())
}

#[tokio::test]
async fn of_objects() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let at = object(dialect.name());
        put(dialect, &at).body("data").send(&world).await.ok();
        assert!(tags(&world, dialect, &at).await.is_empty());
        let plain = get(dialect, &at).send(&world).await;
        assert_eq!(count(&plain, dialect), None);
        let set = put(dialect, &at).query("tagging", "");
        let set = set.body(document(&[("b c", "2"), ("a", "1")])).send(&world).await;
        assert_eq!(set.status, 200, "{}", set.dump());
        for reader in Dialect::ALL {
            assert_eq!(tags(&world, reader, &at).await, pairs(&[("a", "1"), ("b c", "2")]));
            assert_eq!(count(&get(reader, &at).send(&world).await, reader), Some("2"));
            assert_eq!(count(&head(reader, &at).send(&world).await, reader), Some("2"));
        }
        let after = get(dialect, &at).send(&world).await;
        assert_eq!(after.header("Last-Modified"), plain.header("Last-Modified"));
        let gone = delete(dialect, &at).query("tagging", "").send(&world).await;
        assert_eq!(gone.status, 204);
        assert!(tags(&world, dialect, &at).await.is_empty());
        assert_eq!(get(dialect, &at).send(&world).await.text(), "data");
        let missing = object("missing");
        get(dialect, &missing).query("tagging", "").send(&world).await.refused(404, "NoSuchKey");
        let set = put(dialect, &missing).query("tagging", "").body(document(&[]));
        set.send(&world).await.refused(404, "NoSuchKey");
    }
}

#[tokio::test]
async fn bad_ones_change_nothing() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &object("k")).body("data").send(&world).await.ok();
    let set = put(Dialect::S3, &object("k")).query("tagging", "");
    set.body(document(&[("a", "1")])).send(&world).await.ok();
    let stored = world.stored().await;
    let many: Vec<String> = (0..11).map(|n| format!("k{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
    let long = "k".repeat(129);
    for dialect in Dialect::ALL {
        for (body, code) in [
            (document(&many), "InvalidTag"),
            (document(&[(&long, "")]), "InvalidTag"),
            (document(&[("a", "1"), ("a", "2")]), "InvalidTag"),
            (document(&[("", "1")]), "InvalidTag"),
            ("<Tagging/>".to_owned(), "MalformedXML"),
            ("<Tagging>".to_owned(), "MalformedXML"),
            (String::new(), "MissingRequestBodyError"),
        ] {
            let set = put(dialect, &object("k")).query("tagging", "").body(&body);
            set.send(&world).await.refused(400, code);
            let set = put(dialect, &format!("/{BUCKET}")).query("tagging", "").body(&body);
            if many.len() > 10 && body == document(&many) {
                continue;
            }
            set.send(&world).await.refused(400, code);
        }
        let name = dialect.headers().tagging.as_str();
        for (value, code) in [("a=1&a=2", "InvalidTag"), ("a=%", "InvalidArgument")] {
            let made = put(dialect, &object("new")).header(name, value).body("x");
            made.send(&world).await.refused(400, code);
        }
        // Where nothing would obey them.
        let part = put(dialect, &object("k")).query("partNumber", "1").query("uploadId", "x");
        part.header(name, "a=1").body("x").send(&world).await.refused(501, "NotImplemented");
    }
    assert_eq!(world.stored().await, stored);
}

#[tokio::test]
async fn of_what_is_made() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let names = dialect.headers();
        let header = names.tagging.as_str();
        let given = pairs(&[("a", "1"), ("b c", "x/y")]);
        let made = put(dialect, &object("k")).header(header, "a=1&b+c=x%2Fy").body("data");
        made.send(&world).await.ok();
        assert_eq!(tags(&world, dialect, &object("k")).await, given);

        let copy = |directive: Option<&'static str>, value: &'static str| {
            let call =
                put(dialect, &object("copy")).header(names.copy_source.as_str(), &object("k"));
            match directive {
                Some(directive) => {
                    call.header(names.tagging_directive.as_str(), directive).header(header, value)
                }
                None => call,
            }
        };
        for directive in [None, Some("COPY"), Some("Copy")] {
            copy(directive, "c=3").send(&world).await.ok();
            assert_eq!(tags(&world, dialect, &object("copy")).await, given);
        }
        for directive in ["REPLACE", "Replaced"] {
            copy(Some(directive), "c=3").send(&world).await.ok();
            assert_eq!(tags(&world, dialect, &object("copy")).await, pairs(&[("c", "3")]));
        }
        // In place, with the metadata.
        let source = object("k");
        let changed = put(dialect, &source)
            .header(names.copy_source.as_str(), &source)
            .header(names.metadata_directive.as_str(), "REPLACE");
        changed.send(&world).await.ok();
        assert_eq!(tags(&world, dialect, &source).await, given);
        let changed = put(dialect, &source)
            .header(names.copy_source.as_str(), &source)
            .header(names.metadata_directive.as_str(), "REPLACE")
            .header(names.tagging_directive.as_str(), "REPLACE")
            .header(header, "d=4");
        changed.send(&world).await.ok();
        assert_eq!(tags(&world, dialect, &source).await, pairs(&[("d", "4")]));
        // An overwritten object's tags are gone.
        put(dialect, &source).body("new").send(&world).await.ok();
        assert!(tags(&world, dialect, &source).await.is_empty());

        let begun = post(dialect, &object("parts")).query("uploads", "").header(header, "p=1");
        let upload = begun.send(&world).await.element("UploadId").unwrap();
        let part =
            put(dialect, &object("parts")).query("partNumber", "1").query("uploadId", &upload);
        let part = part.body("part").send(&world).await;
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             </CompleteMultipartUpload>",
            part.header("ETag").unwrap()
        );
        let done = post(dialect, &object("parts")).query("uploadId", &upload).body(list);
        done.send(&world).await.ok();
        assert_eq!(tags(&world, dialect, &object("parts")).await, pairs(&[("p", "1")]));
        if dialect == Dialect::Cos {
            let grown = post(dialect, &object("grown")).query("append", "").query("position", "0");
            grown.header(header, "g=1").body("data").send(&world).await.ok();
            assert_eq!(tags(&world, dialect, &object("grown")).await, pairs(&[("g", "1")]));
        }
    }
}

#[tokio::test]
async fn of_versions() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let set = put(dialect, &format!("/{BUCKET}")).query("versioning", "").body(enabled);
        set.send(&world).await.ok();
        let version = dialect.headers().version_id.as_str();
        let first = put(dialect, &object("k")).body("one").send(&world).await;
        let first = first.header(version).unwrap().to_owned();
        put(dialect, &object("k")).body("two").send(&world).await.ok();
        for parameter in ["versionId", "VersionId"] {
            let set = put(dialect, &object("k")).query("tagging", "").query(parameter, &first);
            let set = set.body(document(&[("a", parameter)])).send(&world).await;
            assert_eq!(set.ok().header(version), Some(first.as_str()));
            let read = get(dialect, &object("k")).query("tagging", "").query(parameter, &first);
            let read = read.send(&world).await;
            assert_eq!(read.elements("Value"), [parameter]);
            assert_eq!(read.header(version), Some(first.as_str()));
        }
        assert!(tags(&world, dialect, &object("k")).await.is_empty());
        let gone = delete(dialect, &object("k")).query("tagging", "").query("versionId", &first);
        assert_eq!(gone.send(&world).await.header(version), Some(first.as_str()));
    }
}

#[tokio::test]
async fn of_a_bucket_from_the_beginning() {
    let world = World::new().await;
    let bucket = format!("/{BUCKET}");
    let bad = put(Dialect::Cos, &bucket).header("x-cos-tagging", "a=1&a=2");
    bad.send(&world).await.refused(400, "InvalidTag");
    let made = put(Dialect::Cos, &bucket).header("x-cos-tagging", "a=1&b=x%2Fy");
    made.send(&world).await.ok();
    for dialect in Dialect::ALL {
        assert_eq!(tags(&world, dialect, &bucket).await, pairs(&[("a", "1"), ("b", "x/y")]));
    }
}

#[tokio::test]
async fn lists_of_buckets_by_tag_are_refused() {
    let world = World::with_bucket().await;
    let list = get(Dialect::Cos, "/").query("tagkey", "a").query("tagvalue", "1");
    list.send(&world).await.refused(501, "NotImplemented");
}

#[tokio::test]
async fn of_buckets() {
    let world = World::with_bucket().await;
    let bucket = format!("/{BUCKET}");
    for dialect in Dialect::ALL {
        let none = get(dialect, &bucket).query("tagging", "").send(&world).await;
        none.refused(404, "NoSuchTagSet");
        let many: Vec<String> = (10..60).map(|n| format!("k{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "v")).collect();
        let set = put(dialect, &bucket).query("tagging", "").body(document(&many));
        assert_eq!(set.send(&world).await.status, 204);
        for reader in Dialect::ALL {
            assert_eq!(tags(&world, reader, &bucket).await, pairs(&many));
        }
        let gone = delete(dialect, &bucket).query("tagging", "").send(&world).await;
        assert_eq!(gone.status, 204);
    }
}
