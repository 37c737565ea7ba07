//! Lifecycles in the words of both dialects: what is taken and shown, what is
//! refused, and what answers about objects and uploads say.

use std::time::Duration;

use costrel_protocol::dialect::Dialect;

use crate::client::{Answer, delete, get, head, post, put};
use crate::world::{BUCKET, World};

fn bucket() -> String {
    format!("/{BUCKET}")
}

fn object(key: &str) -> String {
    format!("/{BUCKET}/{key}")
}

async fn set(world: &World, dialect: Dialect, rules: &str) -> Answer {
    let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    put(dialect, &bucket()).query("lifecycle", "").body(body).send(world).await
}

async fn shown(world: &World, dialect: Dialect) -> Answer {
    get(dialect, &bucket()).query("lifecycle", "").send(world).await
}

fn rule(id: &str, filter: &str, actions: &str) -> String {
    format!("<Rule><ID>{id}</ID>{filter}<Status>Enabled</Status>{actions}</Rule>")
}

const ALL: &str = "<Filter><Prefix></Prefix></Filter>";
const DAY: &str = "<Expiration><Days>1</Days></Expiration>";

#[tokio::test]
async fn rules_are_set_shown_and_taken_back() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let missing = "NoSuchLifecycleConfiguration";
        shown(&world, dialect).await.refused(404, missing);
        let filter = "<Filter><And><Prefix>a/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And>\
                      </Filter>";
        let rules = [
            rule("one", filter, DAY),
            rule(
                "two",
                "<Filter></Filter>",
                "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>\
                 </AbortIncompleteMultipartUpload>",
            ),
        ]
        .concat();
        set(&world, dialect, &rules).await.ok();
        for reader in Dialect::ALL {
            let answer = shown(&world, reader).await;
            assert!(answer.ok().text().contains(&rules), "{}", answer.text());
        }
        // A rule without a name gets one.
        let nameless = format!("<Rule>{ALL}<Status>Disabled</Status>{DAY}</Rule>");
        set(&world, dialect, &nameless).await.ok();
        let id = shown(&world, dialect).await.element("ID").unwrap();
        assert!(!id.is_empty() && id.len() <= 255);
        for _ in 0..2 {
            let gone = delete(dialect, &bucket()).query("lifecycle", "").send(&world).await;
            assert_eq!(gone.ok().status, 204);
            shown(&world, dialect).await.refused(404, missing);
        }
        set(&world, dialect, &rules).await.ok();
        assert_eq!(delete(dialect, &bucket()).send(&world).await.ok().status, 204);
        world.make_bucket(BUCKET).await;
        shown(&world, dialect).await.refused(404, missing);
    }
}

#[tokio::test]
async fn what_is_refused_leaves_the_old_rules() {
    let malformed = (400, "MalformedXML");
    let argument = (400, "InvalidArgument");
    let request = (400, "InvalidRequest");
    let missing = (501, "NotImplemented");
    let days = |n: u64| format!("<Expiration><Days>{n}</Days></Expiration>");
    let noncurrent = |inner: &str| {
        let action = "NoncurrentVersionExpiration";
        rule("r", ALL, &format!("<{action}>{inner}</{action}>"))
    };
    let abort = |n: u64| {
        let action = "AbortIncompleteMultipartUpload";
        format!("<{action}><DaysAfterInitiation>{n}</DaysAfterInitiation></{action}>")
    };
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let one_tag = format!("<Filter>{tag}</Filter>");
    let same_tags = format!("<Filter><And>{tag}{tag}</And></Filter>");
    let bounds = "<Filter><And><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan>\
                  <ObjectSizeLessThan>10</ObjectSizeLessThan></And></Filter>";
    let marker =
        "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
    let often = "<Transition><Days>1</Days><StorageClass>ARCHIVE</StorageClass>\
                 <AccessFrequency><RecentDays>3</RecentDays></AccessFrequency></Transition>";
    let cases = [
        (String::new(), malformed),
        (rule("r", "", DAY), malformed),
        (rule("r", "<Filter/><Prefix>a</Prefix>", DAY), malformed),
        (rule("r", ALL, DAY).replace("Enabled", "enabled"), malformed),
        (rule("r", ALL, "<Expiration></Expiration>"), malformed),
        (rule("r", ALL, "<Expiration><Days>-1</Days></Expiration>"), malformed),
        (rule("r", ALL, "<Expiration><Date>yesterday</Date></Expiration>"), malformed),
        (rule("r", &format!("<Filter><Prefix>a</Prefix>{tag}</Filter>"), DAY), malformed),
        (rule("r", ALL, ""), request),
        (rule("r", ALL, &days(0)), argument),
        (rule(&"x".repeat(256), ALL, DAY), argument),
        (rule("r", ALL, DAY).repeat(2), argument),
        (rule("r", ALL, "<Expiration><Date>2030-01-01T01:00:00Z</Date></Expiration>"), argument),
        (noncurrent("<NoncurrentDays>0</NoncurrentDays>"), argument),
        (
            noncurrent(
                "<NoncurrentDays>1</NoncurrentDays>\
                 <NewerNoncurrentVersions>101</NewerNoncurrentVersions>",
            ),
            argument,
        ),
        (noncurrent("<NewerNoncurrentVersions>1</NewerNoncurrentVersions>"), malformed),
        (rule("r", ALL, &abort(0)), argument),
        (rule("r", &one_tag, &abort(1)), request),
        (rule("r", &one_tag, marker), request),
        (rule("r", &same_tags, DAY), (400, "InvalidTag")),
        (rule("r", bounds, DAY), request),
        (rule("r", &format!("<Prefix>{}</Prefix>", "p".repeat(1025)), DAY), request),
        (rule("a", "<Prefix>a</Prefix>", DAY) + &rule("b", ALL, DAY), request),
        ((0..1001).map(|n| rule(&n.to_string(), ALL, DAY)).collect(), request),
        (rule("r", ALL, often), missing),
        // What is malformed is said first.
        (rule("r", ALL, often) + &rule("s", ALL, "<Expiration/>"), malformed),
    ];
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        set(&world, dialect, &rule("old", ALL, &days(7))).await.ok();
        let before = shown(&world, dialect).await.text().to_owned();
        for (rules, (status, code)) in &cases {
            set(&world, dialect, rules).await.refused(*status, code);
            assert_eq!(shown(&world, dialect).await.text(), before, "{rules}");
        }
        let empty = put(dialect, &bucket()).query("lifecycle", "").body("").send(&world).await;
        empty.refused(400, "MissingRequestBodyError");
        let year = set(&world, dialect, &rule("r", ALL, &days(3651))).await;
        match dialect {
            Dialect::Cos => year.refused(400, "InvalidArgument"),
            Dialect::S3 => year.ok(),
        };
        let many: String = (0..1000).map(|n| rule(&n.to_string(), ALL, DAY)).collect();
        set(&world, dialect, &many).await.ok();
        assert_eq!(shown(&world, dialect).await.elements("ID").len(), 1000);
    }
}

#[tokio::test]
async fn transitions_are_judged_as_the_services_do() {
    let step = |time: &str, class: &str| {
        format!("<Transition>{time}<StorageClass>{class}</StorageClass></Transition>")
    };
    let day = |days: u32, class: &str| step(&format!("<Days>{days}</Days>"), class);
    let older = |days: u32, class: &str| {
        format!(
            "<NoncurrentVersionTransition><NoncurrentDays>{days}</NoncurrentDays>\
             <StorageClass>{class}</StorageClass></NoncurrentVersionTransition>"
        )
    };
    let date = |text: &str| step(&format!("<Date>{text}</Date>"), "ARCHIVE");
    let (malformed, argument, request) =
        ((400, "MalformedXML"), (400, "InvalidArgument"), (400, "InvalidRequest"));
    let refused = [
        (day(1, "COLD"), malformed),
        (day(1, "STANDARD"), malformed),
        (step("", "ARCHIVE"), malformed),
        (step("<Days>1</Days><Date>2030-01-01T00:00:00Z</Date>", "ARCHIVE"), malformed),
        ("<Transition><Days>1</Days></Transition>".into(), malformed),
        (older(1, "COLD"), malformed),
        (date("2030-01-01T01:00:00Z"), argument),
        (day(9, "ARCHIVE") + &day(9, "DEEP_ARCHIVE"), argument),
        (day(9, "ARCHIVE") + &day(8, "DEEP_ARCHIVE"), argument),
        (day(1, "ARCHIVE") + DAY, argument),
        (day(1, "ARCHIVE") + &day(2, "GLACIER"), request),
        (date("2030-01-01T00:00:00+08:00") + DAY, request),
        (older(9, "ARCHIVE") + &older(9, "DEEP_ARCHIVE"), argument),
    ];
    let kept = [
        day(0, "GLACIER"),
        day(9, "ARCHIVE") + &day(7, "GLACIER_IR"),
        day(30, "STANDARD_IA") + &day(60, "ARCHIVE") + &day(90, "DEEP_ARCHIVE"),
        day(1, "MAZ_STANDARD_IA") + &day(2, "MAZ_INTELLIGENT_TIERING"),
        older(30, "STANDARD_IA") + &older(60, "ARCHIVE"),
    ];
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        for rules in &kept {
            set(&world, dialect, &rule("r", ALL, rules)).await.ok();
            let read = shown(&world, dialect).await;
            assert!(read.text().contains(rules), "{rules}: {}", read.text());
        }
        let before = shown(&world, dialect).await.text().to_owned();
        for (rules, (status, code)) in &refused {
            // Midnight is another for each of them.
            let is_other = rules.contains("+08:00") && dialect == Dialect::S3;
            let answer = set(&world, dialect, &rule("r", ALL, rules)).await;
            if !is_other {
                answer.refused(*status, code);
            }
            assert_eq!(shown(&world, dialect).await.text(), before, "{rules}");
        }
        let soon = day(29, "STANDARD_IA");
        let next = day(30, "STANDARD_IA") + &day(59, "ARCHIVE");
        for rules in [soon, next, older(29, "ONEZONE_IA")] {
            let answer = set(&world, dialect, &rule("r", ALL, &rules)).await;
            match dialect {
                Dialect::Cos => answer.ok(),
                Dialect::S3 => answer.refused(400, "InvalidArgument"),
            };
        }
    }
}

#[tokio::test]
async fn the_smallest_object_of_transitions_is_s3_s_default() {
    let world = World::with_bucket().await;
    let name = "x-amz-transition-default-minimum-object-size";
    let (default, other) = ("all_storage_classes_128K", "varies_by_storage_class");
    let body = format!("<LifecycleConfiguration>{}</LifecycleConfiguration>", rule("r", ALL, DAY));
    let call = || put(Dialect::S3, &bucket()).query("lifecycle", "").body(&body);
    for call in [call(), call().header(name, default)] {
        assert_eq!(call.send(&world).await.ok().header(name), Some(default));
    }
    assert_eq!(shown(&world, Dialect::S3).await.header(name), Some(default));
    assert_eq!(shown(&world, Dialect::Cos).await.header(name), None);
    assert_eq!(call().header(name, other).send(&world).await.ok().header(name), Some(other));
    assert_eq!(shown(&world, Dialect::S3).await.header(name), Some(other));
    call().header(name, "tiny").send(&world).await.refused(400, "InvalidArgument");
}

/// 2026-01-04T00:00:00Z and the same in China: the first midnight a day after the
/// world's beginning.
fn expiry(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::S3 => "expiry-date=\"Sun, 04 Jan 2026 00:00:00 GMT\", rule-id=\"a%20rule\"",
        Dialect::Cos => "expiry-date=\"Sat, 03 Jan 2026 16:00:00 GMT\", rule-id=\"a%20rule\"",
    }
}

#[tokio::test]
async fn answers_say_when_an_object_expires() {
    for dialect in Dialect::ALL {
        let world = World::with_bucket().await;
        let name = dialect.headers().expiration.as_str();
        let late = rule("late", ALL, "<Expiration><Days>2</Days></Expiration>");
        let tagged =
            rule("a rule", "<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>", DAY);
        set(&world, dialect, &(late + &tagged)).await.ok();
        let tagging = dialect.headers().tagging.as_str();
        let made = put(dialect, &object("k")).header(tagging, "k=v").body("data");
        let want = Some(expiry(dialect));
        assert_eq!(made.send(&world).await.ok().header(name), want);
        assert_eq!(get(dialect, &object("k")).send(&world).await.ok().header(name), want);
        assert_eq!(head(dialect, &object("k")).send(&world).await.header(name), want);
        let copy = put(dialect, &object("copy"))
            .header(dialect.headers().copy_source.as_str(), &object("k"));
        assert_eq!(copy.send(&world).await.ok().header(name), want);
        if dialect == Dialect::Cos {
            let grown = post(dialect, &object("grown")).query("append", "").query("position", "0");
            let grown = grown.header(tagging, "k=v").body("data").send(&world).await;
            assert_eq!(grown.ok().header(name), want);
        }
        put(dialect, &object("other")).body("data").send(&world).await.ok();
        let other = get(dialect, &object("other")).send(&world).await;
        assert!(other.header(name).unwrap().ends_with("rule-id=\"late\""), "{}", other.dump());
        delete(dialect, &bucket()).query("lifecycle", "").send(&world).await.ok();
        assert_eq!(get(dialect, &object("k")).send(&world).await.ok().header(name), None);
    }
}

#[tokio::test]
async fn a_date_is_for_what_is_put_later_too() {
    let world = World::with_bucket().await;
    let past = "<Expiration><Date>2026-01-01T00:00:00+08:00</Date></Expiration>";
    set(&world, Dialect::Cos, &rule("past", ALL, past)).await.ok();
    let made = put(Dialect::Cos, &object("k")).body("data").send(&world).await;
    let told = made.ok().header("x-cos-expiration").unwrap();
    assert!(told.contains("rule-id=\"past\""), "{told}");
}

#[tokio::test]
async fn answers_say_when_an_upload_is_aborted() {
    let world = World::with_bucket().await;
    let abort = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
                 </AbortIncompleteMultipartUpload>";
    set(&world, Dialect::S3, &rule("a rule", "<Filter><Prefix>a</Prefix></Filter>", abort))
        .await
        .ok();
    let names = ["x-amz-abort-date", "x-amz-abort-rule-id"];
    let want = [Some("Sun, 04 Jan 2026 00:00:00 GMT"), Some("a%20rule")];
    for (key, want) in [("a/b", want), ("b", [None, None])] {
        let begun = post(Dialect::S3, &object(key)).query("uploads", "").send(&world).await;
        assert_eq!(names.map(|name| begun.ok().header(name)), want);
        let id = begun.element("UploadId").unwrap();
        world.pass(Duration::from_secs(60));
        let parts = get(Dialect::S3, &object(key)).query("uploadId", &id).send(&world).await;
        assert_eq!(names.map(|name| parts.ok().header(name)), want);
        let parts = get(Dialect::Cos, &object(key)).query("uploadId", &id).send(&world).await;
        assert_eq!(names.map(|name| parts.ok().header(name)), [None, None]);
    }
}
