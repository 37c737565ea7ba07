//! Object lock, in both dialects.

use std::time::Duration;

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, Call, delete, get, head, post, put};
use crate::world::{BUCKET, World};

/// Long after the clock of these tests.
const UNTIL: &str = "2140-01-01T00:00:00.000Z";
const LATER: &str = "2141-01-01T00:00:00.000Z";

fn object(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn configuration(rule: &str) -> String {
    let rule = match rule {
        "" => String::new(),
        rule => format!("<Rule><DefaultRetention>{rule}</DefaultRetention></Rule>"),
    };
    format!(
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}\
         </ObjectLockConfiguration>"
    )
}

fn set_lock(dialect: Dialect, rule: &str) -> Call {
    put(dialect, &bucket()).query("object-lock", "").body(configuration(rule))
}

fn set_versioning(status: &str) -> Call {
    let body =
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    put(Dialect::S3, &bucket()).query("versioning", "").body(body)
}

fn retain(dialect: Dialect, key: &str, mode: &str, until: &str) -> Call {
    let body = format!(
        "<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
    );
    put(dialect, &object(key)).query("retention", "").body(body)
}

fn version(answer: &Answer) -> String {
    answer.ok().header("x-amz-version-id").expect("a version").to_owned()
}

/// A bucket that had object lock from the beginning.
async fn locking() -> World {
    let world = World::new().await;
    let made = put(Dialect::S3, &bucket()).header("x-amz-bucket-object-lock-enabled", "true");
    made.send(&world).await.ok();
    world
}

#[tokio::test]
async fn of_a_bucket() {
    let world = World::with_bucket().await;
    for (dialect, code) in [
        (Dialect::Cos, "NoSuchObjectLockConfiguration"),
        (Dialect::S3, "ObjectLockConfigurationNotFoundError"),
    ] {
        get(dialect, &bucket()).query("object-lock", "").send(&world).await.refused(404, code);
    }
    // S3 wants versions, which then cannot be suspended any more.
    for status in ["", "Suspended"] {
        if !status.is_empty() {
            set_versioning(status).send(&world).await.ok();
        }
        set_lock(Dialect::S3, "").send(&world).await.refused(409, "InvalidBucketState");
    }
    set_lock(Dialect::Cos, "").send(&world).await.refused(409, "InvalidBucketState");
    set_versioning("Enabled").send(&world).await.ok();
    set_lock(Dialect::S3, "<Mode>GOVERNANCE</Mode><Years>1</Years>").send(&world).await.ok();
    set_versioning("Suspended").send(&world).await.refused(409, "InvalidBucketState");
    let read = get(Dialect::S3, &bucket()).query("object-lock", "").send(&world).await;
    assert_eq!(read.element("Mode").as_deref(), Some("GOVERNANCE"));
    assert_eq!(read.element("Years").as_deref(), Some("1"));
    // COS has one mode, which need not be said.
    set_lock(Dialect::Cos, "<Days>30</Days>").send(&world).await.ok();
    for dialect in Dialect::ALL {
        let read = get(dialect, &bucket()).query("object-lock", "").send(&world).await;
        assert_eq!(read.element("ObjectLockEnabled").as_deref(), Some("Enabled"));
        assert_eq!(read.element("Mode").as_deref(), Some("COMPLIANCE"));
        assert_eq!(read.element("Days").as_deref(), Some("30"));
    }
    set_lock(Dialect::S3, "").send(&world).await.ok();
    let read = get(Dialect::S3, &bucket()).query("object-lock", "").send(&world).await;
    assert_eq!(read.element("Rule"), None);
}

#[tokio::test]
async fn bad_settings_change_nothing() {
    let world = locking().await;
    set_lock(Dialect::S3, "<Mode>COMPLIANCE</Mode><Days>3</Days>").send(&world).await.ok();
    let stored = world.stored().await;
    for (dialect, rule, status, code) in [
        (Dialect::S3, "<Mode>GOVERNANCE</Mode><Days>0</Days>", 400, "InvalidRetentionPeriod"),
        (Dialect::S3, "<Mode>GOVERNANCE</Mode><Years>-1</Years>", 400, "InvalidRetentionPeriod"),
        (Dialect::S3, "<Mode>GOVERNANCE</Mode><Years>101</Years>", 400, "InvalidRetentionPeriod"),
        (Dialect::S3, "<Mode>governance</Mode><Days>1</Days>", 400, "MalformedXML"),
        (Dialect::S3, "<Days>1</Days>", 400, "MalformedXML"),
        (Dialect::S3, "<Mode>GOVERNANCE</Mode>", 400, "MalformedXML"),
        (Dialect::S3, "<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>", 400, "MalformedXML"),
        (Dialect::Cos, "<Days>0</Days>", 409, "InvalidLockedTime"),
        (Dialect::Cos, "<Days>36501</Days>", 409, "InvalidLockedTime"),
        (Dialect::Cos, "<Mode>GOVERNANCE</Mode><Days>1</Days>", 400, "MalformedXML"),
        (Dialect::Cos, "<Years>1</Years>", 400, "MalformedXML"),
    ] {
        set_lock(dialect, rule).send(&world).await.refused(status, code);
    }
    for dialect in Dialect::ALL {
        let names = dialect.headers();
        let (mode, until) =
            (names.object_lock_mode.as_str(), names.object_lock_retain_until_date.as_str());
        for headers in [
            &[(mode, "COMPLIANCE")][..],
            &[(until, UNTIL)],
            &[(mode, "compliance"), (until, UNTIL)],
            &[(mode, "COMPLIANCE"), (until, "tomorrow")],
            &[(mode, "COMPLIANCE"), (until, "2020-01-01T00:00:00Z")],
            &[(names.object_lock_legal_hold.as_str(), "on")],
        ] {
            let made = put(dialect, &object("bad")).body("data");
            let made = headers.iter().fold(made, |call, (name, value)| call.header(name, value));
            made.send(&world).await.refused(400, "InvalidArgument");
        }
    }
    assert_eq!(world.stored().await, stored);
    let made = put(Dialect::S3, "/other-1250000000");
    let made = made.header("x-amz-bucket-object-lock-enabled", "maybe");
    made.send(&world).await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn retention_of_versions() {
    let world = locking().await;
    let made = version(&put(Dialect::S3, &object("k")).body("data").send(&world).await);
    for dialect in Dialect::ALL {
        let read = get(dialect, &object("k")).query("retention", "").send(&world).await;
        read.refused(404, "NoSuchObjectLockConfiguration");
    }
    retain(Dialect::S3, "k", "GOVERNANCE", UNTIL).send(&world).await.ok();
    for dialect in Dialect::ALL {
        let read = get(dialect, &object("k")).query("retention", "").send(&world).await;
        assert_eq!(read.element("Mode").as_deref(), Some("GOVERNANCE"));
        assert_eq!(read.element("RetainUntilDate").as_deref(), Some(UNTIL));
        let names = dialect.headers();
        for read in [get(dialect, &object("k")), head(dialect, &object("k"))] {
            let read = read.send(&world).await;
            assert_eq!(read.header(names.object_lock_mode.as_str()), Some("GOVERNANCE"));
            let until = names.object_lock_retain_until_date.as_str();
            assert_eq!(read.header(until), Some(UNTIL));
        }
    }
    let remove = |dialect| delete(dialect, &object("k")).query("versionId", &made);
    remove(Dialect::S3).send(&world).await.refused(403, "AccessDenied");
    remove(Dialect::Cos).send(&world).await.refused(409, "ObjectLocked");
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    put(Dialect::Cos, &object("k")).query("tagging", "").body(tags).send(&world).await.ok();
    // Of a longer retention nobody complains; a shorter one must be bypassed.
    retain(Dialect::S3, "k", "GOVERNANCE", LATER).send(&world).await.ok();
    retain(Dialect::S3, "k", "GOVERNANCE", UNTIL).send(&world).await.refused(403, "AccessDenied");
    let bypass = |call: Call| call.header("x-amz-bypass-governance-retention", "true");
    bypass(retain(Dialect::S3, "k", "COMPLIANCE", UNTIL)).send(&world).await.ok();
    let shorter = "2139-01-01T00:00:00Z";
    let shortened = bypass(retain(Dialect::S3, "k", "COMPLIANCE", shorter)).send(&world).await;
    shortened.refused(403, "AccessDenied");
    let shortened = retain(Dialect::Cos, "k", "COMPLIANCE", shorter).send(&world).await;
    shortened.refused(409, "InvalidLockedTime");
    bypass(remove(Dialect::S3)).send(&world).await.refused(403, "AccessDenied");
    let past = retain(Dialect::S3, "k", "COMPLIANCE", "2020-01-01T00:00:00Z");
    past.send(&world).await.refused(400, "InvalidArgument");
    let half = put(Dialect::S3, &object("k")).query("retention", "");
    let half = half.body("<Retention><Mode>GOVERNANCE</Mode></Retention>");
    half.send(&world).await.refused(400, "MalformedXML");
    // Markers may be put and removed, and the object goes on beneath.
    let marker = version(&delete(Dialect::S3, &object("k")).send(&world).await);
    retain(Dialect::S3, "k", "COMPLIANCE", LATER).send(&world).await.refused(404, "NoSuchKey");
    delete(Dialect::S3, &object("k")).query("versionId", &marker).send(&world).await.ok();
    assert_eq!(get(Dialect::S3, &object("k")).send(&world).await.text(), "data");
}

#[tokio::test]
async fn legal_holds_and_many_deletions() {
    let world = locking().await;
    let held = version(&put(Dialect::S3, &object("held")).body("data").send(&world).await);
    let free = version(&put(Dialect::S3, &object("free")).body("data").send(&world).await);
    let hold = |status: &str| {
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        put(Dialect::S3, &object("held")).query("legal-hold", "").body(body)
    };
    let read = get(Dialect::S3, &object("held")).query("legal-hold", "").send(&world).await;
    read.refused(404, "NoSuchObjectLockConfiguration");
    hold("ON").send(&world).await.ok();
    hold("maybe").send(&world).await.refused(400, "MalformedXML");
    let read = get(Dialect::S3, &object("held")).query("legal-hold", "").send(&world).await;
    assert_eq!(read.element("Status").as_deref(), Some("ON"));
    let list = format!(
        "<Delete><Object><Key>held</Key><VersionId>{held}</VersionId></Object>\
         <Object><Key>free</Key><VersionId>{free}</VersionId></Object></Delete>"
    );
    for (dialect, code) in [(Dialect::S3, "AccessDenied"), (Dialect::Cos, "ObjectLocked")] {
        let call = post(dialect, &bucket()).query("delete", "").body(&list);
        let call = call.header("x-amz-bypass-governance-retention", "true");
        let answer = call.send(&world).await;
        assert_eq!(answer.ok().elements("Code"), [code]);
        assert_eq!(answer.elements("Key").len(), 2);
    }
    hold("OFF").send(&world).await.ok();
    let read = head(Dialect::S3, &object("held")).send(&world).await;
    assert_eq!(read.header("x-amz-object-lock-legal-hold"), Some("OFF"));
    delete(Dialect::S3, &object("held")).query("versionId", &held).send(&world).await.ok();
}

/// COS's way: without versions, what is locked is not replaced.
#[tokio::test]
async fn without_versions() {
    let world = World::with_bucket().await;
    set_lock(Dialect::Cos, "").send(&world).await.ok();
    let names = Dialect::Cos.headers();
    let made = put(Dialect::Cos, &object("k"))
        .header(names.object_lock_mode.as_str(), "COMPLIANCE")
        .header(names.object_lock_retain_until_date.as_str(), UNTIL)
        .body("data");
    made.send(&world).await.ok();
    for (dialect, status, code) in
        [(Dialect::Cos, 409, "ObjectLocked"), (Dialect::S3, 403, "AccessDenied")]
    {
        put(dialect, &object("k")).body("new").send(&world).await.refused(status, code);
        delete(dialect, &object("k")).send(&world).await.refused(status, code);
        let copy = put(dialect, &object("k"))
            .header(dialect.headers().copy_source.as_str(), &object("k"))
            .header(dialect.headers().metadata_directive.as_str(), "REPLACE");
        copy.send(&world).await.refused(status, code);
        assert_eq!(get(dialect, &object("k")).send(&world).await.text(), "data");
    }
    // What has no lock is as free as ever.
    for _ in 0..2 {
        put(Dialect::Cos, &object("free")).body("data").send(&world).await.ok();
    }
    assert_eq!(delete(Dialect::Cos, &object("free")).send(&world).await.status, 204);
}

#[tokio::test]
async fn where_there_is_none() {
    let world = World::with_bucket().await;
    put(Dialect::S3, &object("k")).body("data").send(&world).await.ok();
    let stored = world.stored().await;
    for dialect in Dialect::ALL {
        let read = get(dialect, &object("k")).query("retention", "").send(&world).await;
        read.refused(400, "InvalidRequest");
        let set = retain(dialect, "k", "COMPLIANCE", UNTIL).send(&world).await;
        set.refused(400, "InvalidRequest");
        let names = dialect.headers();
        let made = put(dialect, &object("k"))
            .header(names.object_lock_mode.as_str(), "COMPLIANCE")
            .header(names.object_lock_retain_until_date.as_str(), UNTIL)
            .body("data");
        made.send(&world).await.refused(400, "InvalidRequest");
    }
    assert_eq!(world.stored().await, stored);
}

#[tokio::test]
async fn the_machine_s_clock_alone_ends_nothing() {
    let world = locking().await;
    let made = version(&put(Dialect::S3, &object("k")).body("data").send(&world).await);
    retain(Dialect::S3, "k", "COMPLIANCE", "2026-02-02T00:00:00Z").send(&world).await.ok();
    world.pass(Duration::from_secs(365 * 86_400));
    let removed = delete(Dialect::S3, &object("k")).query("versionId", &made).send(&world).await;
    removed.refused(403, "AccessDenied");
}

/// COS once refused the one where the other was; S3 never did.
#[tokio::test]
async fn beside_a_lifecycle() {
    let world = locking().await;
    for dialect in Dialect::ALL {
        let rules = "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status>\
                     <Filter><Prefix/></Filter><Expiration><Days>1</Days></Expiration></Rule>\
                     </LifecycleConfiguration>";
        let set = put(dialect, &bucket()).query("lifecycle", "").body(rules);
        set.send(&world).await.ok();
        set_lock(dialect, "<Mode>COMPLIANCE</Mode><Days>3</Days>").send(&world).await.ok();
        get(dialect, &bucket()).query("lifecycle", "").send(&world).await.ok();
    }
}
