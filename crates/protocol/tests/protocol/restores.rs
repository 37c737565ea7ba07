//! Archived objects: read only after a restore, in both dialects.

use std::time::Duration;

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, delete, get, head, post, put};
use crate::world::{BUCKET, World};

fn object(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

fn restore(dialect: Dialect, at: &str, days: &str, tier: &str) -> Call {
    let parameters = match dialect {
        Dialect::Cos => "CASJobParameters",
        Dialect::S3 => "GlacierJobParameters",
    };
    post(dialect, at).query("restore", "").body(format!(
        "<RestoreRequest><Days>{days}</Days><{parameters}><Tier>{tier}</Tier></{parameters}>\
         </RestoreRequest>"
    ))
}

fn archived(dialect: Dialect, at: &str, class: &str) -> Call {
    put(dialect, at).header(dialect.headers().storage_class.as_str(), class).body("archived")
}

async fn shown(world: &World, dialect: Dialect, at: &str) -> Option<String> {
    let found = head(dialect, at).send(world).await;
    assert_eq!(found.status, 200);
    found.header(dialect.headers().restore.as_str()).map(str::to_owned)
}

fn refused(answer: &Answer, dialect: Dialect, class: &str) {
    answer.refused(403, "InvalidObjectState");
    assert_eq!(answer.header(dialect.headers().storage_class.as_str()), Some(class));
}

#[tokio::test]
async fn archived_objects_are_read_while_they_are_restored() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        for class in ["ARCHIVE", "DEEP_ARCHIVE", "GLACIER"] {
            let (at, copied) = (object(class), object("copied"));
            archived(dialect, &at, class).send(&world).await.ok();
            let source = dialect.headers().copy_source.as_str();
            let copy = || put(dialect, &copied).header(source, at.trim_start_matches('/'));
            for reader in Dialect::ALL {
                refused(&get(reader, &at).send(&world).await, reader, class);
                assert_eq!(shown(&world, reader, &at).await, None);
            }
            refused(&copy().send(&world).await, dialect, class);

            let begun = restore(dialect, &at, "2", "Standard").send(&world).await;
            assert_eq!(begun.status, 202, "{}", begun.dump());
            // The clock is at 2026-01-02T03:04:05Z.
            let until = match dialect {
                Dialect::Cos => "Sun, 04 Jan 2026 16:00:00 GMT",
                Dialect::S3 => "Mon, 05 Jan 2026 00:00:00 GMT",
            };
            let said = format!(r#"ongoing-request="false", expiry-date="{until}""#);
            for reader in Dialect::ALL {
                assert_eq!(get(reader, &at).send(&world).await.text(), "archived");
                assert_eq!(shown(&world, reader, &at).await.as_deref(), Some(said.as_str()));
            }
            copy().send(&world).await.ok();
            assert_eq!(shown(&world, dialect, &copied).await, None);

            let longer = restore(dialect, &at, "5", "Standard").send(&world).await;
            assert_eq!(longer.status, 200, "{}", longer.dump());
            assert!(!shown(&world, dialect, &at).await.unwrap().contains(until));
        }
        put(dialect, &object("plain")).body("plain").send(&world).await.ok();
        archived(dialect, &object("at-once"), "GLACIER_IR").send(&world).await.ok();
        get(dialect, &object("at-once")).send(&world).await.ok();
        let (status, code) = match dialect {
            Dialect::Cos => (405, "RestoreNonArchiveObject"),
            Dialect::S3 => (403, "InvalidObjectState"),
        };
        for at in ["plain", "at-once"] {
            restore(dialect, &object(at), "1", "Bulk").send(&world).await.refused(status, code);
        }
        restore(dialect, &object("no"), "1", "Bulk").send(&world).await.refused(404, "NoSuchKey");
    }
    world.pass(Duration::from_secs(6 * 86_400));
    for dialect in Dialect::ALL {
        refused(&get(dialect, &object("ARCHIVE")).send(&world).await, dialect, "ARCHIVE");
        assert_eq!(shown(&world, dialect, &object("ARCHIVE")).await, None);
    }
    let again = restore(Dialect::S3, &object("ARCHIVE"), "1", "Expedited").send(&world).await;
    assert_eq!(again.status, 202, "it is a new one");
}

#[tokio::test]
async fn a_copy_onto_itself_ends_the_restore() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let at = object("k");
        archived(dialect, &at, "ARCHIVE").send(&world).await.ok();
        let names = dialect.headers();
        let renew = |class: &str| {
            put(dialect, &at)
                .header(names.copy_source.as_str(), at.trim_start_matches('/'))
                .header(names.storage_class.as_str(), class)
        };
        // The bytes stay where they are, which is no way around the archive.
        refused(&renew("GLACIER").send(&world).await, dialect, "ARCHIVE");
        restore(dialect, &at, "1", "Standard").send(&world).await;
        renew("GLACIER").send(&world).await.ok();
        refused(&get(dialect, &at).send(&world).await, dialect, "GLACIER");
        restore(dialect, &at, "1", "Standard").send(&world).await;
        renew("STANDARD").send(&world).await.ok();
        assert_eq!(shown(&world, dialect, &at).await, None);
        get(dialect, &at).send(&world).await.ok();
    }
}

#[tokio::test]
async fn parts_are_not_copied_from_what_is_archived() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let (from, to) = (object("from"), object("to"));
        archived(dialect, &from, "DEEP_ARCHIVE").send(&world).await.ok();
        let begun = post(dialect, &to).query("uploads", "").send(&world).await;
        let upload = begun.element("UploadId").unwrap();
        let source = dialect.headers().copy_source.as_str();
        let part = || {
            put(dialect, &to)
                .query("partNumber", "1")
                .query("uploadId", &upload)
                .header(source, from.trim_start_matches('/'))
        };
        refused(&part().send(&world).await, dialect, "DEEP_ARCHIVE");
        restore(dialect, &from, "1", "Bulk").send(&world).await;
        part().send(&world).await.ok();
        delete(dialect, &to).query("uploadId", &upload).send(&world).await;
    }
}

#[tokio::test]
async fn markers_and_versions_that_are_not_there() {
    let world = World::with_bucket().await;
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let bucket = format!("/{BUCKET}");
    put(Dialect::S3, &bucket).query("versioning", "").body(on).send(&world).await.ok();
    for dialect in Dialect::ALL {
        let at = object("k");
        let header = dialect.headers().version_id.as_str();
        let first = archived(dialect, &at, "ARCHIVE").send(&world).await;
        let first = first.header(header).unwrap().to_owned();
        let marker = delete(dialect, &at).send(&world).await.header(header).unwrap().to_owned();
        let of = |version: &str| restore(dialect, &at, "1", "Bulk").query("versionId", version);
        restore(dialect, &at, "1", "Bulk").send(&world).await.refused(404, "NoSuchKey");
        let (status, code) = match dialect {
            Dialect::Cos => (404, "NoSuchKey"),
            Dialect::S3 => (405, "MethodNotAllowed"),
        };
        of(&marker).send(&world).await.refused(status, code);
        let begun = of(&first).send(&world).await;
        assert_eq!((begun.status, begun.header(header)), (202, Some(first.as_str())));
        get(dialect, &at).query("versionId", &first).send(&world).await.ok();
    }
}

#[tokio::test]
async fn lists_can_be_asked_for_restores_and_nothing_else() {
    let world = World::with_bucket().await;
    for query in [("prefix", ""), ("list-type", "2"), ("versions", "")] {
        let list = |dialect: Dialect, wanted: &str| {
            let call = get(dialect, &format!("/{BUCKET}")).query(query.0, query.1);
            call.header("x-amz-optional-object-attributes", wanted)
        };
        for wanted in ["", "RestoreStatus", "RestoreStatus, RestoreStatus"] {
            list(Dialect::S3, wanted).send(&world).await.ok();
        }
        for wrong in ["ETag", "RestoreStatus,Owner", "restorestatus"] {
            list(Dialect::S3, wrong).send(&world).await.refused(400, "InvalidArgument");
        }
        list(Dialect::Cos, "ETag").send(&world).await.ok();
    }
}

#[tokio::test]
async fn restores_take_their_time_and_lists_tell() {
    let world = World::with_restore_delays().await;
    for dialect in Dialect::ALL {
        let at = object("k");
        archived(dialect, &at, "ARCHIVE").send(&world).await.ok();
        let list = async |query: (&str, &str)| {
            let call = get(dialect, &format!("/{BUCKET}")).query(query.0, query.1);
            let call = match dialect {
                Dialect::Cos => call,
                Dialect::S3 => call.header("x-amz-optional-object-attributes", "RestoreStatus"),
            };
            call.send(&world).await
        };
        assert!(!list(("prefix", "k")).await.has_element("RestoreStatus"));
        assert_eq!(restore(dialect, &at, "1", "Bulk").send(&world).await.status, 202);
        let said = Some(r#"ongoing-request="true""#.to_owned());
        assert_eq!(shown(&world, dialect, &at).await, said);
        refused(&get(dialect, &at).send(&world).await, dialect, "ARCHIVE");
        let again = restore(dialect, &at, "1", "Bulk").send(&world).await;
        again.refused(409, "RestoreAlreadyInProgress");
        for query in [("prefix", "k"), ("list-type", "2"), ("versions", "")] {
            let page = list(query).await;
            match dialect {
                Dialect::Cos => {
                    assert_eq!(page.element("RestoreStatus").as_deref(), Some("ONGOING"));
                }
                Dialect::S3 => {
                    assert_eq!(page.element("IsRestoreInProgress").as_deref(), Some("true"));
                    assert!(!page.has_element("RestoreExpiryDate"));
                }
            }
        }
        if dialect == Dialect::Cos {
            let found = head(dialect, &at).send(&world).await;
            let status = found.header("x-cos-restore-status").unwrap();
            assert!(status.starts_with(r#"tier="bulk"; request-date=""#), "{status}");
        }
        // A faster one is taken.
        assert_eq!(restore(dialect, &at, "1", "Expedited").send(&world).await.status, 202);
        world.pass(Duration::from_secs(2));
        get(dialect, &at).send(&world).await.ok();
        let page = list(("prefix", "k")).await;
        match dialect {
            Dialect::Cos => assert_eq!(page.element("RestoreStatus").as_deref(), Some("DONE")),
            Dialect::S3 => {
                assert_eq!(page.element("IsRestoreInProgress").as_deref(), Some("false"));
                assert!(page.has_element("RestoreExpiryDate"));
            }
        }
        let plain = get(Dialect::S3, &format!("/{BUCKET}")).send(&world).await;
        assert!(!plain.has_element("RestoreStatus"), "only when it is asked for");
        delete(dialect, &at).send(&world).await;
    }
}

#[tokio::test]
async fn bad_orders_change_nothing() {
    let world = World::with_bucket().await;
    for dialect in Dialect::ALL {
        let (at, deep) = (object("k"), object("deep"));
        archived(dialect, &at, "ARCHIVE").send(&world).await.ok();
        archived(dialect, &deep, "DEEP_ARCHIVE").send(&world).await.ok();
        for days in ["0", "-1", "99999999999"] {
            restore(dialect, &at, days, "Bulk").send(&world).await.refused(400, "InvalidArgument");
        }
        let long = restore(dialect, &at, "366", "Bulk").send(&world).await;
        match dialect {
            Dialect::Cos => _ = long.refused(400, "InvalidArgument"),
            Dialect::S3 => assert_eq!(long.status, 202),
        }
        let fast = restore(dialect, &deep, "1", "Expedited").send(&world).await;
        fast.refused(400, "InvalidArgument");
        for body in [
            "<RestoreRequest>",
            "<RestoreRequest/>",
            "<Restore/>",
            "<RestoreRequest><Days>x</Days></RestoreRequest>",
        ] {
            let call = post(dialect, &deep).query("restore", "").body(body);
            call.send(&world).await.refused(400, "MalformedXML");
        }
        restore(dialect, &deep, "1", "Fast").send(&world).await.refused(400, "MalformedXML");
        let select = "<RestoreRequest><Type>SELECT</Type></RestoreRequest>";
        let call = post(dialect, &deep).query("restore", "").body(select);
        call.send(&world).await.refused(501, "NotImplemented");
        assert_eq!(shown(&world, dialect, &deep).await, None);
    }
}
