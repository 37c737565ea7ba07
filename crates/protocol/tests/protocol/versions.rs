//! Versions in the words of both dialects.

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, delete, get, head, post, put};
use crate::world::{BUCKET, World};

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn object(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

async fn set(world: &World, dialect: Dialect, status: &str) -> Answer {
    let body =
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    put(dialect, &bucket()).query("versioning", "").body(body).send(world).await
}

fn version(answer: &Answer, dialect: Dialect) -> String {
    let header = answer.header(dialect.headers().version_id.as_str());
    header.unwrap_or_else(|| panic!("no version: {}", answer.dump())).to_owned()
}

fn is_marker(answer: &Answer, dialect: Dialect) -> bool {
    answer.header(dialect.headers().delete_marker.as_str()) == Some("true")
}

#[tokio::test]
async fn versioning_is_turned_on_and_suspended() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        for status in ["Enabled", "Suspended", "Enabled"] {
            set(&world, dialect, status).await.ok();
            for reader in Dialect::ALL {
                let shown = get(reader, &bucket()).query("versioning", "").send(&world).await;
                assert_eq!(shown.element("Status").as_deref(), Some(status));
            }
        }
        let stored = world.stored().await;
        let wrong = match dialect {
            Dialect::Cos => "MalformedXML",
            Dialect::S3 => "IllegalVersioningConfigurationException",
        };
        let call = |body: &'static str| put(dialect, &bucket()).query("versioning", "").body(body);
        call("<VersioningConfiguration/>").send(&world).await.refused(400, wrong);
        set(&world, dialect, "Disabled").await.refused(400, "MalformedXML");
        call("").send(&world).await.refused(400, "MissingRequestBodyError");
        let mfa = "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>\
                   </VersioningConfiguration>";
        call(mfa).send(&world).await.refused(501, "NotImplemented");
        assert_eq!(world.stored().await, stored);
    }
}

#[tokio::test]
async fn objects_without_versioning_have_no_versions() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let names = dialect.headers();
        let made = put(dialect, &object("k")).body("data").send(&world).await;
        assert_eq!(made.ok().header(names.version_id.as_str()), None);
        for named in ["", "null"] {
            let read = get(dialect, &object("k")).query("versionId", named).send(&world).await;
            assert_eq!((read.ok().text(), read.header(names.version_id.as_str())), ("data", None));
        }
        let code =
            if dialect == Dialect::S3 { (400, "InvalidArgument") } else { (404, "NoSuchVersion") };
        let read = get(dialect, &object("k")).query("versionId", "abc").send(&world).await;
        read.refused(code.0, code.1);
        let listed = get(dialect, &bucket()).query("versions", "").send(&world).await;
        let want = match dialect {
            Dialect::Cos => "<VersionId/>",
            Dialect::S3 => "<VersionId>null</VersionId>",
        };
        assert!(listed.text().contains(want), "{}", listed.text());
        assert_eq!(listed.elements("IsLatest"), ["true"]);
        let gone = delete(dialect, &object("k")).send(&world).await;
        assert_eq!((gone.status, is_marker(&gone, dialect)), (204, false));
    }
}

#[tokio::test]
async fn versions_from_put_to_removal() {
    for (dialect, other) in [(Dialect::Cos, Dialect::S3), (Dialect::S3, Dialect::Cos)] {
        let world = World::with_bucket().await;
        set(&world, dialect, "Enabled").await.ok();
        let mut ids = Vec::new();
        for body in ["one", "two"] {
            let made = put(dialect, &object("k")).body(body).send(&world).await;
            ids.push(version(made.ok(), dialect));
        }
        // A version has one name, in both dialects, and keys of any case name it.
        for (id, body) in ids.iter().zip(["one", "two"]) {
            for parameter in ["versionId", "VersionId", "versionid"] {
                for reader in [dialect, other] {
                    let read = get(reader, &object("k")).query(parameter, id).send(&world).await;
                    assert_eq!((read.ok().text(), version(&read, reader)), (body, id.clone()));
                    let read = head(reader, &object("k")).query(parameter, id).send(&world).await;
                    assert_eq!(version(read.ok(), reader), *id);
                }
            }
        }
        let read = get(dialect, &object("k")).send(&world).await;
        assert_eq!((read.text(), version(&read, dialect)), ("two", ids[1].clone()));

        let gone = delete(dialect, &object("k")).send(&world).await;
        assert_eq!((gone.status, is_marker(&gone, dialect)), (204, true));
        let marker = version(&gone, dialect);
        for reader in [dialect, other] {
            for call in [get(reader, &object("k")), head(reader, &object("k"))] {
                let missing = call.send(&world).await;
                assert_eq!((missing.status, is_marker(&missing, reader)), (404, true));
                assert_eq!(version(&missing, reader), marker);
            }
            get(reader, &object("k")).send(&world).await.refused(404, "NoSuchKey");
            let of_marker =
                get(reader, &object("k")).query("versionId", &marker).send(&world).await;
            match reader {
                Dialect::Cos => of_marker.refused(404, "NoSuchKey"),
                Dialect::S3 => of_marker.refused(405, "MethodNotAllowed"),
            };
            assert!(is_marker(&of_marker, reader) && of_marker.header("Last-Modified").is_some());
            assert_eq!(of_marker.header("Allow").is_some(), reader == Dialect::S3);
            let listed = get(reader, &bucket()).query("versions", "").send(&world).await;
            assert_eq!(listed.elements("VersionId"), [marker.as_str(), &ids[1], &ids[0]]);
            assert_eq!(listed.elements("IsLatest"), ["true", "false", "false"]);
            assert_eq!(listed.elements("Size"), ["3", "3"]);
            assert!(listed.text().contains("<DeleteMarker><Key>k</Key>"));
            let current = get(reader, &bucket()).send(&world).await;
            assert!(current.elements("Key").is_empty());
        }
        // Removing the marker brings the object back.
        let gone = delete(dialect, &object("k")).query("versionId", &marker).send(&world).await;
        assert_eq!((gone.status, is_marker(&gone, dialect)), (204, true));
        assert_eq!(version(&gone, dialect), marker);
        assert_eq!(get(other, &object("k")).send(&world).await.text(), "two");
        for id in &ids {
            let gone = delete(dialect, &object("k")).query("versionId", id).send(&world).await;
            assert_eq!((gone.status, is_marker(&gone, dialect)), (204, false));
            let missing = get(dialect, &object("k")).query("versionId", id).send(&world).await;
            missing.refused(404, "NoSuchVersion");
        }
        delete(dialect, &bucket()).send(&world).await.ok();
    }
}

#[tokio::test]
async fn suspended_writes_are_null() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let at = object(dialect.name());
        set(&world, dialect, "Enabled").await.ok();
        let first = put(dialect, &at).body("one").send(&world).await;
        let first = version(first.ok(), dialect);
        set(&world, dialect, "Suspended").await.ok();
        let names = dialect.headers();
        let source = format!("/{BUCKET}/{}", dialect.name());
        for write in [
            put(dialect, &at).body("two"),
            put(dialect, &object("copy")).header(names.copy_source.as_str(), &source),
            put(dialect, &at).body("three"),
        ] {
            let made = write.send(&world).await;
            let named = made.ok().header(names.version_id.as_str());
            // S3 names none in answers to writes.
            assert_eq!(named, (dialect == Dialect::Cos).then_some("null"));
        }
        let read = get(dialect, &at).query("versionId", "null").send(&world).await;
        assert_eq!((read.text(), version(&read, dialect)), ("three", "null".to_owned()));
        let gone = delete(dialect, &at).send(&world).await;
        assert_eq!((version(&gone, dialect), is_marker(&gone, dialect)), ("null".to_owned(), true));
        let listed = get(dialect, &bucket()).query("versions", "").query("prefix", dialect.name());
        let listed = listed.send(&world).await;
        assert_eq!(listed.elements("VersionId"), ["null".to_owned(), first]);
    }
}

#[tokio::test]
async fn every_way_to_make_an_object_names_its_version() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        set(&world, dialect, "Enabled").await.ok();
        let names = dialect.headers();
        let made = put(dialect, &object("k")).body("data").send(&world).await;
        let source = version(made.ok(), dialect);
        put(dialect, &object("k")).body("newer").send(&world).await.ok();
        let named = format!("/{BUCKET}/k?versionId={source}");
        let copied = put(dialect, &object("copy")).header(names.copy_source.as_str(), &named);
        let copied = copied.send(&world).await;
        assert_ne!(version(copied.ok(), dialect), source);
        assert_eq!(copied.header(names.copy_source_version_id.as_str()), Some(source.as_str()));
        assert_eq!(get(dialect, &object("copy")).send(&world).await.text(), "data");
        assert_eq!(copied.has_element("VersionId"), dialect == Dialect::Cos);

        let begun = post(dialect, &object("parts")).query("uploads", "").send(&world).await;
        let upload = begun.element("UploadId").unwrap();
        let part = put(dialect, &object("parts"))
            .query("partNumber", "1")
            .query("uploadId", &upload)
            .header(names.copy_source.as_str(), &named)
            .send(&world)
            .await;
        assert_eq!(part.ok().header(names.copy_source_version_id.as_str()), Some(source.as_str()));
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             </CompleteMultipartUpload>",
            part.element("ETag").unwrap()
        );
        let done = post(dialect, &object("parts")).query("uploadId", &upload).body(list);
        let done = done.send(&world).await;
        version(done.ok(), dialect);

        let gone = delete(dialect, &object("copy")).send(&world).await;
        let marker = format!("/{BUCKET}/copy?versionId={}", version(&gone, dialect));
        let call = put(dialect, &object("x")).header(names.copy_source.as_str(), &marker);
        call.send(&world).await.refused(400, "InvalidRequest");
        let call = put(dialect, &object("x"))
            .header(names.copy_source.as_str(), &format!("/{BUCKET}/copy"));
        call.send(&world).await.refused(404, "NoSuchKey");
    }
}

#[tokio::test]
async fn many_are_deleted_by_version() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        set(&world, dialect, "Enabled").await.ok();
        let made = put(dialect, &object("k")).body("data").send(&world).await;
        let id = version(made.ok(), dialect);
        let many = async |entries: &str| {
            let body = format!("<Delete>{entries}</Delete>");
            post(dialect, &bucket()).query("delete", "").body(body).send(&world).await
        };
        let made = many("<Object><Key>k</Key></Object>").await;
        let marker = made.ok().element("DeleteMarkerVersionId").unwrap();
        assert_eq!(made.element("DeleteMarker").as_deref(), Some("true"));
        assert!(!made.has_element("VersionId"));
        let gone = many(&format!(
            "<Object><Key>k</Key><VersionId>{marker}</VersionId></Object>\
             <Object><Key>k</Key><VersionId>{id}</VersionId></Object>\
             <Object><Key>k</Key><VersionId>nonsense</VersionId></Object>\
             <Object><Key>k</Key><VersionId>null</VersionId></Object>"
        ))
        .await;
        assert_eq!(gone.ok().elements("DeleteMarkerVersionId"), [marker.as_str()]);
        assert_eq!(gone.elements("VersionId"), [marker, id, "nonsense".into(), "null".into()]);
        assert_eq!(gone.elements("Code"), ["NoSuchVersion"]);
        let listed = get(dialect, &bucket()).query("versions", "").send(&world).await;
        assert!(listed.elements("Key").is_empty());
    }
}

#[tokio::test]
async fn lists_in_pages() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        put(dialect, &object("a b/old")).body("old").send(&world).await.ok();
        set(&world, dialect, "Enabled").await.ok();
        for key in ["a b/old", "k", "k", "k", "z"] {
            put(dialect, &object(key)).body("data").send(&world).await.ok();
        }
        let list = || get(dialect, &bucket()).query("versions", "");
        let whole = list().send(&world).await;
        let ids = whole.elements("VersionId");
        assert_eq!((ids.len(), ids[1].as_str()), (6, "null"));
        for page in 1..=6 {
            let (mut seen, mut marker) = (Vec::new(), (String::new(), String::new()));
            loop {
                let answer = list()
                    .query("max-keys", &page.to_string())
                    .query("key-marker", &marker.0)
                    .query("version-id-marker", &marker.1)
                    .send(&world)
                    .await;
                seen.extend(answer.ok().elements("VersionId"));
                if answer.element("IsTruncated").as_deref() == Some("false") {
                    break;
                }
                marker = (
                    answer.element("NextKeyMarker").unwrap(),
                    answer.element("NextVersionIdMarker").unwrap(),
                );
            }
            assert_eq!(seen, ids, "{page}");
        }
        let rolled =
            list().query("delimiter", "/").query("encoding-type", "url").send(&world).await;
        assert!(rolled.text().contains("<CommonPrefixes><Prefix>a%20b/</Prefix></CommonPrefixes>"));
        assert_eq!(rolled.elements("VersionId").len(), 4);
        list()
            .query("version-id-marker", &ids[0])
            .send(&world)
            .await
            .refused(400, "InvalidArgument");
        let bad =
            list().query("key-marker", "k").query("version-id-marker", "x").send(&world).await;
        let want =
            if dialect == Dialect::S3 { (400, "InvalidArgument") } else { (404, "NoSuchVersion") };
        bad.refused(want.0, want.1);
    }
}

#[tokio::test]
async fn a_version_where_none_can_be_meant() {
    let world = World::with_bucket().await;
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        let named = put(dialect, &object("k")).query("versionId", "null").body("data");
        named.send(&world).await.refused(400, "InvalidArgument");
        let named = post(dialect, &object("k")).query("uploads", "").query("versionId", "null");
        named.send(&world).await.refused(400, "InvalidArgument");
    }
    set(&world, Dialect::Cos, "Enabled").await.ok();
    let append = post(Dialect::Cos, &object("k")).query("append", "").query("position", "0");
    append.body("data").send(&world).await.refused(409, "InvalidBucketState");
    let listed = get(Dialect::Cos, &bucket()).query("versions", "").send(&world).await;
    assert!(listed.elements("Key").is_empty());
    assert_ne!(world.stored().await, stored);
}
