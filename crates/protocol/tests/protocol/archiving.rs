//! The archive tiers of intelligent tiering: configured by ids in both dialects, shown,
//! and left by a restore.

use std::time::Duration;

use costrel_core::lifecycle::{LifecycleJob, LifecycleOptions};
use costrel_protocol::dialect::Dialect;

use crate::client::{Call, delete, get, head, post, put};
use crate::world::{BUCKET, UIN, World};

const CLASS: &str = "INTELLIGENT_TIERING";
const ROOT: &str = "IntelligentTieringConfiguration";

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn identified(call: fn(Dialect, &str) -> Call, dialect: Dialect, id: &str) -> Call {
    call(dialect, &bucket()).query("intelligent-tiering", "").query("id", id)
}

fn tier(name: &str, days: u32) -> String {
    format!("<Tiering><Days>{days}</Days><AccessTier>{name}</AccessTier></Tiering>")
}

fn configuration(id: &str, inner: &str) -> String {
    format!("<{ROOT}><Id>{id}</Id>{inner}</{ROOT}>")
}

fn set(dialect: Dialect, id: &str, inner: &str) -> Call {
    identified(put, dialect, id).body(configuration(id, inner))
}

#[tokio::test]
async fn configurations_have_ids_and_are_the_same_in_both_dialects() {
    let world = World::with_bucket().await;
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let archive = tier("ARCHIVE_ACCESS", 90);
    let both = archive.clone() + &tier("DEEP_ARCHIVE_ACCESS", 180);
    let joined = format!("<Filter><And><Prefix>a/</Prefix>{tag}</And></Filter>");
    for (dialect, other) in [(Dialect::S3, Dialect::Cos), (Dialect::Cos, Dialect::S3)] {
        identified(get, dialect, "a").send(&world).await.refused(404, "NoSuchConfiguration");
        identified(delete, dialect, "a").send(&world).await.refused(404, "NoSuchConfiguration");
        let inner = format!("{joined}<Status>Disabled</Status>{both}");
        set(dialect, "b", &inner).send(&world).await.ok();
        let every = format!("<Status>Enabled</Status>{archive}");
        set(dialect, "a", &every).send(&world).await.ok();
        for reader in [dialect, other] {
            let found = identified(get, reader, "b").send(&world).await;
            assert!(
                found.ok().text().contains(&format!("<Id>b</Id>{inner}</")),
                "{}",
                found.dump()
            );
            let listed = get(reader, &bucket()).query("intelligent-tiering", "").send(&world).await;
            let (first, second) = (format!("<Id>a</Id>{every}</"), format!("<Id>b</Id>{inner}</"));
            let text = listed.ok().text();
            assert!(text.find(&first).unwrap() < text.find(&second).unwrap());
        }
        // What is refused leaves what was there.
        let order = tier("ARCHIVE_ACCESS", 200) + &tier("DEEP_ARCHIVE_ACCESS", 190);
        for (wrong, code) in [
            (tier("ARCHIVE_ACCESS", 89), "InvalidArgument"),
            (tier("DEEP_ARCHIVE_ACCESS", 179), "InvalidArgument"),
            (tier("ARCHIVE_ACCESS", 731), "InvalidArgument"),
            (order, "InvalidArgument"),
            (String::new(), "MalformedXML"),
            (tier("INFREQUENT", 30), "MalformedXML"),
            (archive.clone() + &archive, "MalformedXML"),
            (format!("<Filter><Prefix>a</Prefix>{tag}</Filter>{archive}"), "MalformedXML"),
        ] {
            let wrong = set(dialect, "b", &format!("<Status>Enabled</Status>{wrong}"));
            wrong.send(&world).await.refused(400, code);
        }
        let other_id = identified(put, dialect, "b").body(configuration("c", &every));
        other_id.send(&world).await.refused(400, "InvalidArgument");
        let long = "x".repeat(65);
        set(dialect, &long, &every).send(&world).await.refused(400, "InvalidArgument");
        let found = identified(get, dialect, "b").send(&world).await;
        assert!(found.text().contains(&inner));
        for id in ["a", "b"] {
            let gone = identified(delete, other, id).send(&world).await;
            assert_eq!(gone.status, 204, "{}", gone.dump());
        }
    }
    let token = get(Dialect::S3, &bucket()).query("intelligent-tiering", "");
    let token = token.query("continuation-token", "x");
    token.send(&world).await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn the_infrequent_tier_is_the_configuration_named_default_in_cos() {
    let world = World::with_bucket().await;
    let default = |call| identified(call, Dialect::Cos, "default");
    default(get).send(&world).await.refused(404, "NoSuchConfiguration");
    let of = |days: &str| {
        format!(
            "<Status>Enabled</Status><Tiering><AccessTier>INFREQUENT</AccessTier>\
             <Days>{days}</Days><RequestFrequent>1</RequestFrequent></Tiering>"
        )
    };
    set(Dialect::Cos, "default", &of("60")).send(&world).await.ok();
    let first = get(Dialect::Cos, &bucket()).query("intelligenttiering", "").send(&world).await;
    assert_eq!(first.ok().element("Days").as_deref(), Some("60"));
    assert!(default(get).send(&world).await.ok().text().contains(&of("60")));
    let listed = get(Dialect::Cos, &bucket()).query("intelligent-tiering", "").send(&world).await;
    assert!(listed.ok().text().contains(&configuration("default", &of("60"))));
    let listed = get(Dialect::S3, &bucket()).query("intelligent-tiering", "").send(&world).await;
    assert!(!listed.ok().text().contains("INFREQUENT"));
    set(Dialect::Cos, "default", &of("31")).send(&world).await.refused(400, "InvalidArgument");
    let archive = format!("<Status>Enabled</Status>{}", tier("ARCHIVE_ACCESS", 90));
    set(Dialect::Cos, "default", &archive).send(&world).await.refused(400, "MalformedXML");
    default(delete).send(&world).await.refused(400, "InvalidRequest");
    assert!(default(get).send(&world).await.ok().text().contains(&of("60")));
    // To S3 it is an id like any other.
    set(Dialect::S3, "default", &of("30")).send(&world).await.refused(400, "MalformedXML");
    set(Dialect::S3, "default", &archive).send(&world).await.ok();
    assert!(default(get).send(&world).await.ok().text().contains(&of("60")));
    let found = identified(get, Dialect::S3, "default").send(&world).await;
    assert!(found.ok().text().contains(&archive));
}

async fn round(world: &World) {
    let options = LifecycleOptions {
        owner_uin: UIN.parse().unwrap(),
        rows_per_second: 1 << 30,
        ends_per_second: 1 << 30,
        moved_bytes_per_second: 1 << 40,
    };
    assert!(LifecycleJob::new(world.store.clone(), options).round().await.unwrap());
}

fn restore(dialect: Dialect, at: &str, days: &str, speed: &str) -> Call {
    let parameters = match dialect {
        Dialect::Cos => "CASJobParameters",
        Dialect::S3 => "GlacierJobParameters",
    };
    post(dialect, at).query("restore", "").body(format!(
        "<RestoreRequest>{days}<{parameters}><Tier>{speed}</Tier></{parameters}></RestoreRequest>"
    ))
}

#[tokio::test]
async fn what_is_archived_says_so_and_comes_back_for_good() {
    let world = World::with_restore_delays().await;
    for (round_of, dialect) in Dialect::ALL.into_iter().enumerate() {
        let archive = format!("<Status>Enabled</Status>{}", tier("ARCHIVE_ACCESS", 90));
        set(dialect, "a", &archive).send(&world).await.ok();
        let at = format!("{}/{round_of}", bucket());
        let header = dialect.headers().storage_class.as_str();
        let data = "x".repeat(70_000);
        put(dialect, &at).header(header, CLASS).body(data.clone()).send(&world).await.ok();
        world.pass(Duration::from_secs(92 * 86_400));
        round(&world).await;
        let shown = async |s3: Option<&str>, cos: &str, restore: Option<&str>| {
            let found = head(Dialect::S3, &at).send(&world).await;
            assert_eq!(found.status, 200);
            assert_eq!(found.header("x-amz-archive-status"), s3);
            assert_eq!(found.header("x-amz-restore"), restore);
            let found = head(Dialect::Cos, &at).send(&world).await;
            assert_eq!(found.header("x-cos-storage-tier"), Some(cos));
            assert_eq!(found.header("x-cos-restore"), restore);
            for list in ["list-type", "versions"] {
                let listed = |reader| {
                    let listed = get(reader, &bucket()).query(list, "2");
                    listed.query("prefix", &round_of.to_string())
                };
                let found = listed(Dialect::Cos).send(&world).await;
                assert_eq!(found.element("StorageTier").as_deref(), Some(cos));
                let ongoing = restore.map(|_| "ONGOING");
                assert_eq!(found.element("RestoreStatus").as_deref(), ongoing);
                let wanted = ("x-amz-optional-object-attributes", "RestoreStatus");
                let found = listed(Dialect::S3).header(wanted.0, wanted.1).send(&world).await;
                let ongoing = restore.map(|_| "true");
                assert_eq!(found.ok().element("IsRestoreInProgress").as_deref(), ongoing);
            }
        };
        shown(Some("ARCHIVE_ACCESS"), "ARCHIVE_ACCESS", None).await;
        for reader in Dialect::ALL {
            let refused = get(reader, &at).send(&world).await;
            refused.refused(403, "InvalidObjectState");
            assert_eq!(refused.element("StorageClass").as_deref(), Some(CLASS));
            assert_eq!(refused.element("AccessTier").as_deref(), Some("ARCHIVE_ACCESS"));
            let source = reader.headers().copy_source.as_str();
            let copy = put(reader, &format!("{at}-copy"));
            let copy = copy.header(source, at.trim_start_matches('/'));
            copy.send(&world).await.refused(403, "InvalidObjectState");
        }
        let with_days = restore(Dialect::S3, &at, "<Days>1</Days>", "Standard");
        with_days.send(&world).await.refused(400, "InvalidArgument");
        // coscmd and coscli name days, whatever they restore.
        let days = if dialect == Dialect::Cos { "<Days>3</Days>" } else { "" };
        let begun = restore(dialect, &at, days, "Standard").send(&world).await;
        assert_eq!(begun.status, 202, "{}", begun.dump());
        let ongoing = Some(r#"ongoing-request="true""#);
        shown(Some("ARCHIVE_ACCESS"), "ARCHIVE_ACCESS", ongoing).await;
        let again = restore(dialect, &at, "", "Standard").send(&world).await;
        again.refused(409, "RestoreAlreadyInProgress");
        get(dialect, &at).send(&world).await.refused(403, "InvalidObjectState");
        world.pass(Duration::from_secs(60));
        shown(None, "FREQUENT", None).await;
        assert_eq!(get(dialect, &at).send(&world).await.ok().text(), data);
        let again = restore(dialect, &at, "", "Standard").send(&world).await;
        let code = match dialect {
            Dialect::Cos => (405, "RestoreNonArchiveObject"),
            Dialect::S3 => (403, "InvalidObjectState"),
        };
        again.refused(code.0, code.1);
        world.pass(Duration::from_secs(20 * 86_400));
        shown(None, "FREQUENT", None).await;
        assert_eq!(identified(delete, dialect, "a").send(&world).await.status, 204);
    }
}
